"""The mean of each batch's extremes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qsim.ranges.calibrator import Array, Calibrator
from qsim.ranges.exact import UNIT, float32_nearest, integers


class MeanMinMax(Calibrator):
    """low and high are the means over the batches of min(x, 0) and max(x, 0), symmetric: of max |x|; once to float32.

    The sums are exact integers, so that the order of the batches does not matter and merging is exact.
    """

    def __init__(self, *, symmetric: bool = True, axis: int | None = None, group: int | None = None) -> None:
        """Check the settings."""
        super().__init__(symmetric=symmetric, axis=axis, group=group)
        self._sums: tuple[list[int], list[int]] = ([], [])

    def _start(self, count: int) -> None:
        self._sums = ([0] * count, [0] * count)

    def _update(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        if self.symmetric:
            high = np.maximum(-low, high)
            low = -high
        self._add((integers(low), integers(high)))

    def _merge(self, other: MeanMinMax) -> None:
        self._add(other._sums)

    def _add(self, ends: tuple[list[int], list[int]]) -> None:
        low, high = ([a + b for a, b in zip(mine, more, strict=True)] for mine, more in zip(self._sums, ends, strict=True))
        self._sums = (low, high)

    def _range(self) -> tuple[Array, Array]:
        unit = self.batches << UNIT
        low, high = (np.array([float32_nearest(Fraction(s, unit)) for s in ends]) for ends in self._sums)
        return low, high
