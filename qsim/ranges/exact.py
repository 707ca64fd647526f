"""Exact sums of float32 values as integers, and one rounding back."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

UNIT = 149  # every finite float32 is an integer times 2^-149


def integers(values: NDArray[np.float32]) -> list[int]:
    """float32 values in units of 2^-149, exact."""
    pairs = (float(v).as_integer_ratio() for v in values)
    return [n * ((1 << UNIT) // d) for n, d in pairs]


def float32_nearest(value: Fraction) -> np.float32:
    """The value once to float32, half_even: float64 with the last bit sticky decides as the exact value does."""
    near = float(value)
    if Fraction(near) != value:
        if abs(Fraction(near)) > abs(value):
            near = math.nextafter(near, 0.0)
        bits = np.float64(near).view(np.uint64) | np.uint64(1)
        near = float(bits.view(np.float64))
    with np.errstate(over="ignore", under="ignore"):
        return np.float32(near)
