"""`qsim verify`: do the outputs of a device, or of a simulation, equal a suite?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qsim.cli.common import print_json, written

if TYPE_CHECKING:
    from qsim.golden.suite import Suite

SHOWN = 20


@click.command()
@click.argument("output", type=click.Path(path_type=Path), metavar="OUTPUT")
@click.option("--suite", "suite_name", required=True, metavar="S", help="A suite's file, or the name of a checked-in suite.")
@click.option("--case", type=click.IntRange(1), metavar="ID", help="Only this case, as after `qsim golden export --case ID`.")
@click.option("--ignore", default="", metavar="CLASSES", help="zero_sign, nan_payload, or both with a comma: they do not count.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
@click.option("--junit", "junit_path", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML for a CI system.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=SHOWN, show_default=True, help="Mismatches in full; all of them are counted."
)
def command(
    output: Path, suite_name: str, case: int | None, ignore: str, as_json: bool, junit_path: Path | None, limit: int
) -> None:
    """Compare OUTPUT with a suite, bit by bit, and name the first stage that differs.

    OUTPUT is a file of results (.hex as $readmemh reads it, .bin as $readmemb does, .npy, .npz, .csv), or a folder with one
    file a port, named as `qsim golden export` names them (result.hex, partial_sums.hex, requantizer_step0.hex). Line i is case
    i, or lines are `id value`. Taps are compared where they are given; X and Z, missing and extra results are mismatches.

    Exit code: 0 all cases were compared and agree, 1 a mismatch, 2 OUTPUT or the suite cannot be read.

    \b
    Example:
      qsim verify sim/result.hex --suite dot/mx9_bdr
      qsim verify sim/ --suite int8_dot.json --junit report.xml
      qsim verify device.csv --suite mx9_dot.json --ignore zero_sign,nan_payload --json
    """  # noqa: D301
    from qsim.golden.export import only
    from qsim.golden.mismatch import junit, report_table, report_text
    from qsim.golden.outputs import read_outputs
    from qsim.golden.verify import verify

    suite = find_suite(suite_name) if case is None else only(find_suite(suite_name), case)
    classes = [name.strip() for name in ignore.split(",") if name.strip()]
    verdict = verify(suite, read_outputs(output, suite.unit), ignore=classes)
    if junit_path is not None:
        with written(junit_path) as (file,):
            file.write(junit(verdict, limit))
    if as_json:
        print_json(report_table(verdict, limit))
    else:
        click.echo(report_text(verdict, limit))
    if not verdict.agrees:
        raise SystemExit(1)


def find_suite(name: str) -> Suite:
    """A suite by the path of its file, or by the name of a checked-in one, with its kind (dot/mx9) or alone."""
    from qsim.golden.suite import read_suite
    from qsim.golden.unit import KINDS
    from qsim.spec.load import data_folder

    if name.endswith(".json") or Path(name).is_file():
        return read_suite(Path(name))
    folder = data_folder("golden")
    found = [
        path for kind in KINDS for path in sorted((folder / kind).glob("*.json")) if name in (path.stem, f"{kind}/{path.stem}")
    ]
    if len(found) == 1:
        return read_suite(found[0])
    names = [f"{kind}/{path.stem}" for kind in KINDS for path in sorted((folder / kind).glob("*.json"))]
    if found:
        raise ValueError(
            f"suite {name!r} is there {len(found)} times; allowed: {', '.join(f'{p.parent.name}/{p.stem}' for p in found)}"
        )
    raise ValueError(f"no suite {name!r}; allowed: the path of a .json file, or one of {', '.join(names) or '(none checked in)'}")
