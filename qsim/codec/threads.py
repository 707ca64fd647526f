"""Work in pieces on threads. Kernels release the GIL; pieces are independent, so that bits never depend on their number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

T = TypeVar("T")
PIECE = 1 << 18
_threads: int | None = None


def set_num_threads(n: int | None) -> None:
    """Use n threads from now on; None: QSIM_NUM_THREADS, or every core that this process may use."""
    global _threads  # noqa: PLW0603 - the one setting of the package, as numba.set_num_threads
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 1):
        raise ValueError(f"set_num_threads({n!r}); allowed: 1 or more, or None")
    _threads = n


def num_threads() -> int:
    """Threads in use."""
    if _threads is not None:
        return _threads
    text = os.environ.get("QSIM_NUM_THREADS", "")
    if text:
        if not text.isdigit() or int(text) < 1:
            raise ValueError(f"QSIM_NUM_THREADS={text!r}; allowed: 1 or more")
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(n: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n, thread_name_prefix="qsim")


if hasattr(os, "register_at_fork"):  # the threads of a pool do not live on in a forked child
    os.register_at_fork(after_in_child=_pool.cache_clear)


def pieces(rows: int, length: int, unit: int = 1, piece: int | None = None) -> list[tuple[slice, slice]]:
    """(rows, columns) slices of about `piece` (PIECE) elements: whole rows, or parts of one row cut at multiples of `unit`."""
    piece = piece or PIECE
    if rows == 0 or length == 0:
        return []
    if length >= piece:
        step = max(piece // unit, 1) * unit
        return [(slice(r, r + 1), slice(c, min(c + step, length))) for r in range(rows) for c in range(0, length, step)]
    step = max(piece // length, 1)
    return [(slice(r, min(r + step, rows)), slice(0, length)) for r in range(0, rows, step)]


def run(task: Callable[[slice, slice], T], work: list[tuple[slice, slice]]) -> list[T]:
    """task(rows, columns) for each piece, results in the order of the pieces."""
    n = min(num_threads(), len(work))
    if n <= 1:
        return [task(r, c) for r, c in work]
    results: list[T | None] = [None] * len(work)
    queue: Iterator[int] = iter(range(len(work)))

    def worker() -> None:
        for i in queue:
            results[i] = task(*work[i])

    futures = [_pool(n).submit(worker) for _ in range(n)]
    wait(futures)  # also after an error: no thread may still write when this returns
    for future in futures:
        future.result()
    return results  # type: ignore[return-value]
