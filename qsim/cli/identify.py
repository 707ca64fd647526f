"""`qsim identify`: which preset, or which option, explains a device's outputs?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qsim.cli.common import print_json, refuse_overwrite, written
from qsim.cli.verify import find_suite

SHOWN = 10


@click.command()
@click.argument("output", type=click.Path(path_type=Path), metavar="OUTPUT")
@click.option("--suite", "suite_name", required=True, metavar="S", help="A suite's file, or the name of a checked-in suite.")
@click.option(
    "--scales",
    "scales_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="npz with input_scale, weight_scale, output_scale, one or one a case: each preset prepares its multiplier from them.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the cases that tell the best designs apart.")
@click.option("--pairs/--no-pairs", default=True, help="Try pairs of options where no single one agrees.  [default: pairs]")
@click.option("--seconds", type=click.FloatRange(min=0), default=60, show_default=True, help="Nothing more is tried after them.")
@click.option("--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="Candidates in the report.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
def command(
    output: Path,
    suite_name: str,
    scales_path: Path | None,
    out: Path | None,
    pairs: bool,
    seconds: float,
    limit: int,
    as_json: bool,
) -> None:
    """Say which design gave OUTPUT: presets, single options of the suite's datapath, pairs of them, ranked by agreement.

    OUTPUT is read as `qsim verify` reads it. Candidates that gave the same on the whole suite have one class; those that are the
    same by definition (gemmlowp = cmsis_double = tflite_double) are one candidate. Where the best class holds different designs,
    inputs are searched that tell them apart; --out writes them as a suite: run the device on it and identify again.

    Exit code: 0 a candidate agrees in every case, 1 none does, 2 OUTPUT or the suite cannot be read.

    \b
    Example:
      qsim identify sim/result.hex --suite requantize.json
      qsim identify device.npy --suite probe.json --scales scales.npz --out apart.json
    """  # noqa: D301
    from qsim.golden.identify import investigate
    from qsim.golden.identify.apart import tell_apart
    from qsim.golden.identify.report import report_table, report_text
    from qsim.golden.identify.search import PAIRS

    if out is not None:
        refuse_overwrite(out, output, Path(suite_name))
    scales = _scales(scales_path)
    found = investigate(output, find_suite(suite_name), scales=scales, pairs=PAIRS if pairs else 0, seconds=seconds)
    apart = tell_apart(found.suite, found.best, found.port) if len(found.best) > 1 else None
    if out is not None and apart is not None and apart.suite is not None:
        with written(out) as (file,):
            file.write(apart.suite.text().encode())
    if as_json:
        print_json(report_table(found, apart, limit))
    else:
        click.echo(report_text(found, apart, limit))
        if out is not None:
            none = "nothing to write: no input was found that tells designs apart"
            click.echo(f"{out}: {len(apart.suite.cases)} cases" if apart is not None and apart.suite is not None else none)
    if not found.agrees:
        raise SystemExit(1)


def _scales(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    from qsim.cli.files import read_arrays

    return read_arrays(path)
