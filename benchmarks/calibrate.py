"""Calibrators on 2^24 float32 values, in units of numpy's x.min() and x.max() of the same array in the same run.

Targets: 3 or less for those of extremes, 10 or less for OCTAV. The whole of observe and limits is timed, state and all: wall
time, which other processes disturb, and processor time of all threads, which says what the work is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

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


def processor(call: Callable[[], Any], seconds: float = 0.5) -> float:
    """Least processor time of repeated calls, all threads, in seconds."""
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        call()
        shortest = min(shortest, time.process_time() - start)
    return shortest


@click.command("calibrate", help=__doc__)
@click.option("--method", "names", multiple=True, help="Only these rows, by the start of their name.")
def command(names: tuple[str, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(SIZE).astype(np.float32).reshape(1024, -1)

    def pair(a: np.ndarray = x) -> None:
        a.min()
        a.max()

    wall, cpu = best(pair), processor(pair)
    rows = [["numpy x.min(), x.max()", f"{SIZE / wall / 1e6:.0f}", "1.0", "1.0", "", ""]]
    for name, (make, target, share) in CASES.items():
        if names and not name.lower().startswith(tuple(n.lower() for n in names)):
            continue
        part = x[: int(len(x) * share)]

        def whole(make: Callable[[], ranges.Calibrator] = make, part: np.ndarray = part) -> None:
            make().observe(part).limits()

        seconds = best(whole)
        ratio, work = seconds / wall / share, processor(whole) / cpu / share
        verdict = "" if target is None else "yes" if ratio <= target else "no"
        rows.append([name, f"{part.size / seconds / 1e6:.1f}", f"{ratio:.1f}", f"{work:.1f}", target or "", verdict])
    headers = ("calibrator", "M values/s", "wall time", "processor time", "target, at most", "reached")
    click.echo(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))
