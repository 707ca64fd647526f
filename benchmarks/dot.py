"""Million products per second of float accumulation (rule A3), beside the float32 products of numpy and torch in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from tabulate import tabulate

import qsim

N, K = 2048, 2048
SIDE = 1024  # matrix product of the peers


def best(call: Callable[[], Any], seconds: float = 0.5) -> float:
    """Shortest wall time of repeated calls, in seconds."""
    call()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def operands(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian rows of values that the format has."""
    x = np.random.default_rng(0).standard_normal((2, N, K)).astype(np.float32)
    a, b = x if name == "fp32" else (qsim.quantize(v, name) for v in x)
    return a, b


def peers() -> list[list[str]]:
    """Matrix products in float32: not the same bits, but what the machine does."""
    x, y = np.random.default_rng(0).standard_normal((2, SIDE, SIDE)).astype(np.float32)
    rows = [["numpy float32 matrix product", f"{SIDE**3 / best(lambda: x @ y) / 1e6:.0f}", ""]]
    try:
        import torch
    except ImportError:
        return rows
    t, u = torch.from_numpy(x), torch.from_numpy(y)
    return [*rows, ["torch float32 matrix product", f"{SIDE**3 / best(lambda: t @ u) / 1e6:.0f}", ""]]


@click.command("dot", help=__doc__)
@click.option("--preset", "names", multiple=True, help="Only these units.")
def command(names: tuple[str, ...]) -> None:
    rows = []
    for name in names or qsim.float_accumulator_names():
        operand = qsim.load_float_accumulator(name).operands[0][0]
        a, b = operands(operand)
        seconds = best(lambda a=a, b=b, name=name, operand=operand: qsim.dot(a, b, None, name, operand=operand))
        rows.append([name, f"{N * K / seconds / 1e6:.0f}", operand])
    click.echo(tabulate([*rows, *peers()], headers=("unit", "M products/s", "operand"), tablefmt="github"))
