"""Calibrators on 2^24 float32 values, in units of numpy's x.min() and x.max() of the same array in the same run.

Targets: 3 or less for those of extremes, 10 or less for OCTAV. The whole of observe and limits is timed, state and all.
"""

from __future__ import annotations

from collections.abc import Callable

import click
import numpy as np
from tabulate import tabulate

from benchmarks.dot import best
from qsim import ranges

SIZE = 1 << 24
#: name -> (calibrator, target, share of the values)
CASES: dict[str, tuple[Callable[[], ranges.Calibrator], float | None, float]] = {
    "AbsMax": (ranges.AbsMax, 3, 1),
    "MinMax": (lambda: ranges.MinMax(symmetric=False), 3, 1),
    "EMA": (ranges.EMA, 3, 1),
    "MeanMinMax": (ranges.MeanMinMax, 3, 1),
    "MinMax, 1024 channels": (lambda: ranges.MinMax(axis=0), 3, 1),
    "OCTAV, 8 bits": (lambda: ranges.OCTAV(bits=8), 10, 1),
    "OCTAV, 4 bits": (lambda: ranges.OCTAV(bits=4), 10, 1),
    "OCTAV, 4 bits, 1024 channels": (lambda: ranges.OCTAV(bits=4, axis=0), 10, 1),
    "Analytic, laplace": (ranges.Analytic, None, 1),
    "Analytic, gauss": (lambda: ranges.Analytic(distribution="gauss"), None, 1),
    "Percentile, exact": (ranges.Percentile, None, 1),
    "Percentile, modelopt": (lambda: ranges.Percentile(variant="modelopt"), None, 1),
    "KL, tensorrt": (ranges.KL, None, 1),
    "KL, onnxruntime": (lambda: ranges.KL(variant="onnxruntime"), None, 1),
    "MSE, 4 bits, on 2^20 values": (lambda: ranges.MSE(bits=4), None, 1 / 16),
}


@click.command("calibrate", help=__doc__)
@click.option("--method", "names", multiple=True, help="Only these rows, by the start of their name.")
def command(names: tuple[str, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(SIZE).astype(np.float32).reshape(1024, -1)
    pair = best(lambda: (x.min(), x.max()))
    rows = [["numpy x.min(), x.max()", f"{SIZE / pair / 1e6:.0f}", "1.00", "", ""]]
    for name, (make, target, share) in CASES.items():
        if names and not name.lower().startswith(tuple(n.lower() for n in names)):
            continue
        part = x[: int(len(x) * share)]
        seconds = best(lambda make=make, part=part: make().observe(part).limits())
        ratio = seconds / pair / share
        verdict = "" if target is None else "yes" if ratio <= target else "no"
        rows.append([name, f"{part.size / seconds / 1e6:.0f}", f"{ratio:.2f}", target or "", verdict])
    headers = ("calibrator", "M values/s", "times numpy's pair", "target, at most", "reached")
    click.echo(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))
