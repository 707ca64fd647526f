"""Sums of squared errors that do not depend on the order: each square is rounded to an integer first (rule C4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.threads import pieces, run

Array = NDArray[Any]


def error_unit(amax: Array) -> NDArray[np.float64]:
    """A power of two by which every error of a row with this largest magnitude, at most 2 * amax, becomes at most 2^26."""
    return np.asarray(np.ldexp(1.0, 25 - np.frexp(np.asarray(amax, np.float64))[1]))


def squared_errors(x: NDArray[np.float32], y: NDArray[np.float32], unit: NDArray[np.float64]) -> tuple[Array, Array]:
    """(low, high), int64: low + high * 2^32 is the sum of ((x - y) * unit)^2 of each row, each square rounded to an integer."""
    from qsim.kernels.ranges import error_sums

    def task(r: slice, c: slice) -> tuple[slice, Array, Array]:
        low, high = np.zeros(r.stop - r.start, np.int64), np.zeros(r.stop - r.start, np.int64)
        error_sums(x[r, c], y[r, c], unit[r], low, high)
        return r, low, high

    low, high = np.zeros(x.shape[0], np.int64), np.zeros(x.shape[0], np.int64)
    for r, a, b in run(task, pieces(*x.shape)):
        low[r] += a
        high[r] += b
    return low & 0xFFFFFFFF, high + (low >> 32)
