"""`qsim golden`: write golden vectors from the reference, or check that kernels and reference reproduce them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qsim.cli.common import print_json, print_table, written
from qsim.cli.golden_export import export, import_
from qsim.cli.golden_strength import coverage, mutants
from qsim.cli.golden_suite import Wanted, is_suite, named_suites, write_suites
from qsim.spec import Format, format_names, load_format

if TYPE_CHECKING:
    from qsim.golden.check import Mismatch
    from qsim.golden.suite import Suite
    from qsim.golden.vectors import GoldenFile

T = TypeVar("T")
KINDS = ("dot", "matmul", "requantize", "encode", "pack", "chain")
SHOWN = 20  # mismatches printed in full


@click.group()
def command() -> None:
    """Golden vectors: formats at element and block level, units of datapaths as suites; checked in under golden/.

    \b
    Example:
      qsim golden check
      qsim golden write mx9 --check-only
    """  # noqa: D301


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME_OR_TOML]...")
@click.option(
    "--out", metavar="FOLDER", help="Instead of the checked-in folder (of your own files: this one); - for the cases on stdout."
)
@click.option("--check-only", is_flag=True, help="Write nothing; exit 1 if a file would change.")
@click.option("--kind", type=click.Choice(KINDS), help="Unit of a suite; of a datapath dot unless given.")
@click.option("--cases", default="directed,random", show_default=True, help="Also: exhaustive, where the inputs are few.")
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), default=0, show_default=True, help="Of the random cases.")
@click.option("--count", type=click.IntRange(0), default=10, show_default=True, help="Random cases.")
@click.option("--k", type=click.IntRange(1, 4096), help="Elements of a sum; the design's [ports] say it unless given.")
@click.option("--parameters", metavar="LIST", help="Optional ports of the unit, with commas: bias, clamp, ...; or none.")
@click.option("--operands", metavar="FILE.npz", help="Cases of your own arrays, named like the ports; - for JSONL on stdin.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Of the encoder, with --kind encode or chain: rounding=floor, scale_rule=ceil ...; may be repeated. With"
    " rounding=stochastic (and random_bits=8) the unit has a port `random`: the random words, element 0 lowest.",
)
@click.option("--bulk", is_flag=True, help="Kernels compute the undirected cases; the reference checks 1 % of them.")
def write(names: tuple[str, ...], out: str | None, check_only: bool, **suite: Any) -> None:
    """Write the vectors of the formats named (all of the catalogue unless named), or suites of datapaths.

    NAME is a format (element and block vectors; with --kind encode or pack a suite) or a datapath (a suite). With --kind
    and no name: the checked-in suites of that kind.

    Each file of a format is read back and checked against reference and kernels first. If that fails, the candidate
    stands beside the file as FILE.rej, the file is as it was, and the exit code is 1.

    \b
    Example:
      qsim golden write
      qsim golden write my_mac.toml --kind dot
      qsim golden write my_format.toml --out vectors
      qsim golden write tflite_conv --kind dot --seed 1 --count 1000 --out vectors
      qsim golden write my_mac.toml --kind dot --operands captured.npz --out vectors
      my_simulator | qsim golden write tflite_conv --operands - --out -
    """  # noqa: D301
    if out is None and any(name.endswith(".toml") for name in names):
        out = "."  # what belongs to qsim holds the catalogue alone
    if suite["kind"] or any(is_suite(name, None) for name in names):
        write_suites(names, Wanted(**suite, out=out, check_only=check_only))
        return
    if out == "-" or suite["operands"] or suite["options"]:
        raise ValueError("--out -, --operands and --option are for suites; allowed: with a datapath, or with --kind")
    write_formats(names, Path(out) if out else None, check_only)


def write_formats(names: tuple[str, ...], out: Path | None, check_only: bool) -> None:
    """Element and block vectors, from the reference only."""
    from qsim.golden.generate import generate, levels_of
    from qsim.golden.vectors import golden_path

    jobs = [(fmt, level) for fmt in map(load_format, names or format_names()) for level in levels_of(fmt)]
    changed, rejected = [], []
    for fmt, level in _progress(jobs, "writing"):
        path = golden_path(out, level, fmt.name)
        file = generate(fmt, level)
        text = file.text()
        before = path.read_text() if path.exists() else None
        if check_only:
            changed += [str(path)] if text != before else []
        elif problem := self_check(text, fmt):
            rejected.append(f"{path}.rej: {problem}")
            _save(path.with_name(path.name + ".rej"), text)
        elif text != before:
            changed.append(str(path))
            _save(path, text)
    for line in rejected:
        click.echo(f"rejected, nothing written: {line}", err=True)
    for line in changed:
        click.echo(f"{'would change' if check_only else 'written'}: {line}")
    click.echo(f"{len(jobs)} files, {len(changed)} {'would change' if check_only else 'written'}, {len(rejected)} rejected")
    if rejected or (check_only and changed):
        raise SystemExit(1)


def self_check(text: str, fmt: Format) -> str:
    """What is wrong with a candidate: its form, or a test that reference or kernels do not reproduce; else nothing."""
    from qsim.golden.check import check_file
    from qsim.golden.machines import Kernels, Reference
    from qsim.golden.vectors import GoldenError, parse_golden

    try:
        file = parse_golden(text)
    except GoldenError as error:
        return str(error)
    found = [m for machine in (Reference(), Kernels()) for m in check_file(file, fmt, machine)]
    return f"{len(found)} mismatches, the first: {found[0].text()}" if found else ""


def _save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as (file,):
        file.write(text.encode())


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME_OR_FILE]...")
@click.option("--folder", type=click.Path(path_type=Path), help="Folder of the vectors, instead of the checked-in one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def check(names: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Check that the kernels and the reference of this qsim reproduce the vectors, bit for bit.

    NAME is a format, a datapath, or the .json file of a suite or of golden vectors. This tests qsim itself. For the outputs of
    a device or of RTL use `qsim verify`.

    \b
    Example:
      qsim golden check
      qsim golden check mx9 nvfp4 --json
      qsim golden check tflite_conv --folder vectors
    """  # noqa: D301
    from qsim.golden.check import check_file, check_suite
    from qsim.golden.machines import Kernels, Reference

    files, suites = load_files(names, folder)
    rows: list[dict[str, Any]] = []
    found: list[Mismatch] = []
    for file, fmt in _progress(files, "checking"):
        by_machine = {machine.name: check_file(file, fmt, machine) for machine in (Kernels(), Reference())}
        row = {"level": file.level, "format": file.format, "tests": len(file.tests)}
        rows.append(row | {name: len(some) for name, some in by_machine.items()} | {"verified_by": file.verified_by})
        found += [m for some in by_machine.values() for m in some]
    for suite in _progress(suites, "checking"):
        by_machine = {machine: check_suite(suite, machine) for machine in ("kernels", "reference")}
        row = {"level": suite.unit.kind, "format": suite.name, "tests": len(suite.cases)}
        rows.append(row | {name: len(some) for name, some in by_machine.items()} | {"verified_by": list(suite.verified_by)})
        found += [m for some in by_machine.values() for m in some]
    if as_json:
        print_json({"files": rows, "mismatches": [m.table() for m in found]})
    else:
        headers = ["level", "format", "tests", "kernels", "reference", "verified by"]
        print_table(
            [[*map(str, list(row.values())[:5]), "; ".join(row["verified_by"])] for row in rows], headers, maxcolwidths=70
        )
        for mismatch in found[:SHOWN]:
            click.echo(mismatch.text())
        more = f", {len(found) - SHOWN} of them not shown" if len(found) > SHOWN else ""
        click.echo(f"{len(rows)} files, {sum(row['tests'] for row in rows)} tests, {len(found)} mismatches{more}")
    if found:
        raise SystemExit(1)


def load_files(names: tuple[str, ...], folder: Path | None) -> tuple[list[tuple[GoldenFile, Format]], list[Suite]]:
    """Every file of the formats and every suite of the datapaths named, or of the folder; ValueError names a file that lies."""
    from qsim.golden.generate import levels_of
    from qsim.golden.suite import read_suite
    from qsim.golden.vectors import golden_path, golden_paths, load_golden
    from qsim.golden.write_suite import suite_paths

    paths = suite_paths(folder)
    given = [Path(name) for name in names if name.endswith(".json")]
    names = tuple(name for name in names if not name.endswith(".json"))
    if given:
        own = [path for path in given if is_suite_file(path)]
        files, suites = load_files(names, folder) if names else ([], [])
        return files + [load_golden(p) for p in given if p not in own], suites + [read_suite(p) for p in own]
    if names:
        formats = [load_format(name) for name in names if not is_suite(name, None)]
        files = [load_golden(golden_path(folder, level, fmt.name), fmt) for fmt in formats for level in levels_of(fmt)]
        suites = [suite for name in names if is_suite(name, None) for suite in named_suites(name, paths, folder)]
        return files, suites + [read_suite(p) for p in paths if p.stem in [fmt.name for fmt in formats]]
    files = [load_golden(path) for path in golden_paths(folder)]
    if not files and not paths:
        raise ValueError(f"{folder}: no golden files; allowed: a folder with element/NAME.json, dot/NAME.json, ...")
    return files, [read_suite(path) for path in paths]


def is_suite_file(path: Path) -> bool:
    """Whether a file states the schema of suites; ValueError where there is none."""
    from qsim.golden.suite import SCHEMA

    if not path.is_file():
        raise ValueError(f"{path}: no such file; allowed: a suite or a golden file, a format, a datapath")
    with path.open(errors="replace") as file:
        return SCHEMA in file.read(100)


def _progress(items: list[T], what: str) -> Iterable[T]:
    """The items, with a bar on a terminal only."""
    from tqdm import tqdm

    return tqdm(items, what, leave=False, disable=None)


command.add_command(export)
command.add_command(import_)
command.add_command(mutants)
command.add_command(coverage)
