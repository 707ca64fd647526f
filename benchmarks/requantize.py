"""Requantization of an int32 array to int8, in units of numpy.copyto of that array in the same run (target: 8 or less)."""

from __future__ import annotations

import click
import numpy as np
from tabulate import tabulate

import qsim
from benchmarks.dot import best

ROWS, CHANNELS = 16384, 1024


@click.command("requantize", help=__doc__)
@click.option("--preset", "names", multiple=True, help="Only these presets (of those that take a scale).")
def command(names: tuple[str, ...]) -> None:
    acc = np.random.default_rng(0).integers(-(1 << 20), 1 << 20, (ROWS, CHANNELS), dtype=np.int32)
    copy = np.empty_like(acc)
    unit = best(lambda: np.copyto(copy, acc))
    scales = np.linspace(1e-4, 5e-4, CHANNELS).astype(np.float32)
    rows = [["numpy.copyto", f"{acc.size / unit / 1e6:.0f}", "1.0", ""]]
    presets = {name: qsim.load_requantizer(name) for name in names or qsim.preset_names()}
    for name, q in presets.items():
        if "scale" not in q.prep.takes and not (q.prep.kind == "fixed" and q.prep.shift):
            continue
        one, per = (best(lambda s=s, name=name: qsim.requantize(acc, name, scale=s)) for s in (scales[0], scales))
        rows.append([name, f"{acc.size / one / 1e6:.0f}", f"{one / unit:.1f}", f"{per / unit:.1f}"])
    click.echo(tabulate(rows, headers=("preset", "M values/s", "copies", "copies, per channel"), tablefmt="github"))
