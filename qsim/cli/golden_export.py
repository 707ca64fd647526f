"""`qsim golden export` and `qsim golden import`: suites as files for simulators, C and numpy, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qsim.cli.common import refuse_overwrite, written
from qsim.cli.verify import find_suite

if TYPE_CHECKING:
    from qsim.golden.suite import Suite

TO = ("readmemh", "readmemb", "sv", "c", "npz", "jsonl")


@click.command()
@click.argument("suite")
@click.option("--to", type=click.Choice(TO), required=True, help="What to write.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--case", type=click.IntRange(1), metavar="ID", help="This case alone, as for a bench to look at waves.")
@click.option("--ports", metavar="TOML", help="Datapath file whose [ports] table is the design's, instead of the suite's own.")
def export(suite: str, to: str, folder: Path, case: int | None, ports: str | None) -> None:
    """Write the vectors of SUITE (a file, or the name of a checked-in one) into FOLDER: new, empty, or an earlier export.

    \b
    readmemh, readmemb  a memory image a port, and tb.sv, a self-checking testbench of the [ports] table's design
    sv                  the same, and a SystemVerilog package of the formats
    c                   a header with an array of structs
    npz, jsonl          arrays, or a line of JSON a case

    \b
    Example:
      qsim golden export dot/mx9_bdr --to readmemh vectors
      qsim golden export dot/my_mac.json --to sv wave --case 17
      iverilog -g2012 -s tb -o tb.vvp vectors/tb.sv my_mac.sv && vvp -n tb.vvp +vectors=vectors +out=given
    """  # noqa: D301
    from qsim.datapath.datapaths import load_datapath
    from qsim.golden.export import export as write

    read = find_suite(suite)
    table = load_datapath(ports).ports if ports else None
    if ports is not None:
        _check_ports(ports, read)
    found = write(read, to, folder, case=case, ports=table)
    bench = found["bench"]
    click.echo(
        f"{folder}: {found['cases']} cases, {len(found['files'])} files"
        + ("" if bench or to not in TO[:3] else "; no [ports], no testbench")
    )
    if bench:
        click.echo(f"tb.sv drives {bench['module']} and compares {', '.join(bench['compared'])}")


def _check_ports(path: str, suite: Suite) -> None:
    """ValueError unless the file has a [ports] table, of a design that computes what the suite does."""
    from qsim.datapath.datapaths import load_datapath
    from qsim.spec.differences import differences

    design = load_datapath(path)
    if not design.ports:
        raise ValueError(f"{path}: no [ports] table; allowed: a datapath file with one")
    parts = {"requantize": ("requantizer", "out_format"), "encode": (), "pack": ()}.get(suite.unit.kind)
    found = [key for key in differences(suite.unit.datapath, design) if parts is None or key.split(".")[0] in parts]
    fmt = suite.unit.fmt
    own = design.activation
    if fmt is not None and (own is None or (own.element, own.scales, own.layout) != (fmt.element, fmt.scales, fmt.layout)):
        found.append("activation")
    if found:
        raise ValueError(f"{path}: differs from suite {suite.name} in {', '.join(found[:4])}; allowed: a design that computes it")


@click.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The suite's file.")
def import_(folder: Path, out: Path) -> None:
    """Read FOLDER, or a vectors.npz or vectors.jsonl, back into a suite, with every digest checked.

    \b
    Example:
      qsim golden import vectors --out my_mac.json
    """  # noqa: D301
    from qsim.golden.export import import_suite

    suite = import_suite(folder)
    refuse_overwrite(out, folder)
    with written(out) as (file,):
        file.write(suite.text().encode())
    click.echo(f"{out}: suite {suite.name}, {len(suite.cases)} cases")
