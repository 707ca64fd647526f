"""Products of packed signs and ternary planes beside numpy's float32 product of the same shape, in one run.

An operation is a product or a sum of it: 2 * side^3 in all, whatever the row does inside. Every row is timed in bursts, in rounds
over all rows; the shortest call counts. `same bits`: the result is the exact product. On a busy machine, with the environment
variables OPENBLAS_NUM_THREADS=1 QSIM_NUM_THREADS=1, --processor-time compares one thread with one thread.
"""

from __future__ import annotations

import time
from unittest.mock import patch

import click
import numba
import numpy as np
from tabulate import tabulate

from benchmarks.gemm import NUMPY, Row
from qsim import lowbit
from qsim.codec.threads import num_threads, pieces, run
from qsim.datapath.gemm import exact_gemm
from qsim.kernels import xnor as kernels
from qsim.kernels.xnor import popcount

SMALL = 256  # side of numpy's own popcounts, which need a word of memory a product
LIMIT = "the tile alone, operands in the cache"
CLAIM = 58  # Rastegari et al. 2016, arXiv:1603.05279, abstract: 58x faster convolutional operations
GOAL = 22


def time_on_processor(row: Row, seconds: float) -> None:
    """`Row.time` by the clock of the calling thread, which stands still while others run."""
    assert row.call is not None
    row.call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.thread_time()
        row.call()
        row.seconds = min(row.seconds, time.thread_time() - start)


@numba.njit(nogil=True)
def plain(a: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """What one writes first: a loop over words for every pair of rows."""
    bits = 32 * a.shape[1]
    for i in range(a.shape[0]):
        for j in range(w.shape[0]):
            count = 0
            for k in range(a.shape[1]):
                count += popcount(a[i, k] ^ w[j, k])
            out[i, j] = bits - 2 * count


def plain_loop(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    out = np.empty((len(a), len(w)), np.int32)
    x, y = a.view(np.int32), w.view(np.int32)
    run(lambda r, _: plain(x[r], y, out[r]), pieces(len(a), 1, piece=max(len(a) // (8 * num_threads()), 1)))
    return out


def by_numpy(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    return 64 * a.shape[1] - 2 * np.bitwise_count(a[:, np.newaxis] ^ w).sum(axis=2, dtype=np.int32)


def portable(call: object, *args: object) -> np.ndarray:
    """A product as it runs without AVX512-VPOPCNTDQ."""
    with patch.object(kernels, "available", lambda: False):
        return call(*args)  # type: ignore[operator]


def limit_row() -> Row:
    """Tiles over one panel that stays in the first cache, on every thread: what loads, packing and memory leave to gain."""
    rows, words, threads = 64 * kernels.ROWS, 64, num_threads()
    rng = np.random.default_rng(1)
    a = rng.integers(0, 1 << 31, (threads, 1, rows, words), dtype=np.int32)
    packed = rng.integers(0, 1 << 31, (threads, 1, words, 1, kernels.COLUMNS), dtype=np.int32)
    terms, out = np.zeros(rows, np.int32), np.empty((threads, rows, kernels.COLUMNS), np.int32)

    multiply = kernels.multiply if kernels.available() else kernels.multiply_portable

    def task(i: int) -> None:
        for _ in range(64):
            multiply(kernels.XNOR, a[i], packed[i], terms, out[i], 0, rows)

    work = 64 * 2 * threads * rows * kernels.COLUMNS * 32 * words / 1e6
    return Row(LIMIT, lambda: run(lambda t, _: task(t.start), pieces(threads, 1, piece=1)), work)


def rows_of(side: int) -> list[Row]:
    rng = np.random.default_rng(0)
    f, g = rng.standard_normal((2, side, side), dtype=np.float32)
    a, w = lowbit.sign(f), lowbit.sign(g)
    x, y = lowbit.pack_bits(a), lowbit.pack_bits(w)
    s, t = (lowbit.ternary_signs(v, lowbit.ternary_threshold(v)) for v in (f, g))
    p, q = lowbit.pack_ternary(s), lowbit.pack_ternary(t)
    small, columns = x[:SMALL, : SMALL // 64], y[:SMALL, : SMALL // 64]
    work = 2 * side**3 / 1e6
    signs, mixed, ternary = (
        (lambda: exact_gemm(a, w.T)),
        (lambda: exact_gemm(s, w.T)),
        (lambda: exact_gemm(s, t.T)),
    )
    ours, theirs = (lowbit.xnor_matmul, x, y, side), (lowbit.ternary_matmul, p, q, side)
    return [
        Row(NUMPY, lambda: f @ g, work),
        Row("exact int8 product of the signs", signs, work),
        Row(f"numpy xor and bitwise_count, side {SMALL}", lambda: by_numpy(small, columns), 2 * SMALL**3 / 1e6),
        Row("plain loop", lambda: plain_loop(x, y), work, signs),
        Row("xnor_matmul", lambda: lowbit.xnor_matmul(x, y, side), work, signs, NUMPY, GOAL),
        Row("xnor_matmul, portable", lambda: portable(*ours), work, signs),
        Row("ternary_binary_matmul", lambda: lowbit.ternary_binary_matmul(p, y, side), work, mixed),
        Row("ternary_matmul", lambda: lowbit.ternary_matmul(p, q, side), work, ternary),
        Row("ternary_matmul, portable", lambda: portable(*theirs), work, ternary),
        Row("pack_bits, then xnor_matmul", lambda: lowbit.xnor_matmul(lowbit.pack_bits(a), y, side), work, signs),
        limit_row(),
    ]


def show(row: Row, base: Row) -> list[str]:
    """A row of the table."""
    same = "" if row.exact is None else "yes" if np.array_equal(row.call(), row.exact()) else "NO"  # type: ignore[misc]
    goal = [f"{row.target:g}", f"{row.rate / base.rate:.1f}"] if row.target else ["", ""]
    return [row.name, f"{row.rate / 1e3:.0f}", f"{row.rate / base.rate:.2f}", same, *goal]


@click.command("lowbit", help=__doc__)
@click.option("--side", default=2048, show_default=True, help="Side of the square matrices, a multiple of 256.")
@click.option("--rounds", default=8, show_default=True, help="Rounds over all rows.")
@click.option("--burst", default=0.25, show_default=True, help="Seconds of a burst.")
@click.option("--row", "parts", multiple=True, help="Only rows whose name contains this, and numpy's.")
@click.option("--processor-time", "processor", is_flag=True, help="Time of this thread on its processor, for one thread.")
def command(side: int, rounds: int, burst: float, parts: tuple[str, ...], processor: bool) -> None:
    if processor and num_threads() != 1:
        raise click.BadParameter("allowed: with OPENBLAS_NUM_THREADS=1 QSIM_NUM_THREADS=1", param_hint="--processor-time")
    if side < SMALL or side % SMALL:
        raise click.BadParameter(f"{side}; allowed: a multiple of {SMALL}", param_hint="--side")
    rows = [row for row in rows_of(side) if not parts or row.name == NUMPY or any(part in row.name for part in parts)]
    for _ in range(rounds):
        for row in rows:
            (time_on_processor if processor else Row.time)(row, burst)
    words = lowbit.pack_bits(np.ones((side, side), np.int8))
    claim = ["the paper's claim", "", f"{CLAIM}", "", "", ""]
    headers = ("", "Gop/s", "/ numpy float32", "same bits", "goal", "reached")
    clock = "processor time" if processor else "wall time"
    click.echo(f"side {side}, {num_threads()} threads, {clock}")
    click.echo(f"packed weights {words.nbytes} bytes, float32 {4 * side * side}: 1/{4 * side * side / words.nbytes:g}\n")
    click.echo(
        tabulate([*(show(row, rows[0]) for row in rows), claim], headers=headers, tablefmt="github", disable_numparse=True)
    )
