"""Histograms that grow, by the rules of two stacks, or on a grid given in advance (rule C5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qsim.codec.threads import pieces, run

Array = NDArray[Any]
Counts = NDArray[np.int64]
MOST = 1 << 22  # bins


class Histogram(Protocol):
    """counts of values between neighbouring edges (float32)."""

    @property
    def counts(self) -> Counts:
        """Counts, ascending."""

    @property
    def edges(self) -> NDArray[np.float32]:
        """Edges, ascending, at least one more than counts."""

    def check(self, amax: np.float32) -> None:
        """ValueError where a row of this largest magnitude needs too many bins."""

    def add(self, x: NDArray[np.float32]) -> None:
        """Count a row of values."""

    def merge(self, other: Any) -> None:
        """Add the counts of a histogram of the same kind."""


class Magnitudes:
    """|x| as nvidia-modelopt 0.47 (pytorch-quantization) counts it with torch.histc, in float32.

    The first batch that is not all zero sets the grid, 0 to its amax; a larger batch adds bins of the same width. Zeros before
    it are in the first bin.
    """

    def __init__(self, bins: int) -> None:
        """No values yet."""
        self.bins = bins
        self.counts: Counts = np.zeros(bins, np.int64)
        self.edges = np.zeros(bins + 1, np.float32)

    def check(self, amax: np.float32) -> None:
        """ValueError where a row of this largest magnitude needs too many bins."""
        if amax > self.edges[-1] > 0:
            checked(np.ceil(amax / (self.edges[1] - self.edges[0])))

    def add(self, x: NDArray[np.float32]) -> None:
        """Count a row of values."""
        amax = np.abs(x).max()
        if amax == 0:
            self.counts[0] += x.size
            return
        if self.edges[-1] == 0:
            zeros = self.counts[0]
            self.edges = amax / np.float32(self.bins) * np.arange(self.bins + 1, dtype=np.float32)
            self.counts = self._count(x, self.bins, amax)
            self.counts[0] += zeros
            return
        n = self.counts.size
        if amax > self.edges[-1]:
            width = self.edges[1] - self.edges[0]
            n = int(np.ceil(amax / width))
            size = int(np.ceil((np.float64(amax + width)) / np.float64(width)))
            self.edges = torch_arange(float(width), size)
        before = self.counts
        self.counts = self._count(x, n, self.edges[-1])
        self.counts[: before.size] += before

    @staticmethod
    def _count(x: NDArray[np.float32], n: int, top: np.float32) -> Counts:
        from qsim.kernels.ranges import count_scaled

        def count(part: NDArray[np.float32]) -> list[Counts]:
            counts = np.zeros(n, np.int64)
            count_scaled(part, np.float32(n), top, counts)
            return [counts]

        return summed(count, x, n)[0]

    def merge(self, other: Magnitudes) -> None:
        """Refused: the first batch of each has set another grid."""
        raise ValueError(
            "merge of histograms whose grid is that of their first batch; allowed: with amax= given to both (rule C5)"
        )


def summed(count: Callable[[NDArray[np.float32]], list[Counts]], x: NDArray[np.float32], bins: int) -> list[Counts]:
    """The counts of all pieces of x, on threads."""
    found = run(lambda _, c: count(x[c]), pieces(1, x.size, piece=max(1 << 20, 4 * bins)))
    return [np.sum(side, axis=0) for side in zip(*found, strict=True)]


def checked(bins: np.floating[Any]) -> None:
    """ValueError where a batch lies too far beyond the grid of the first."""
    if not bins < MOST:
        raise ValueError(
            f"a batch needs {float(bins):.3g} bins of the width that the first batch has set;"
            " allowed: below 2^22, or amax= (rule C5)"
        )


def torch_arange(step: float, size: int) -> NDArray[np.float32]:
    """torch.arange(0, size * step, step) in float32 as torch 2.13 computes it with AVX2, to the last bit.

    i * step in float64, once to float32; but whole sixteens as two vectors of eight, each from a start in float32.
    """
    i = np.arange(size)
    start = (step * (i // 8 * 8)).astype(np.float32).astype(np.float64)
    return np.where(i < size // 16 * 16, start + i % 8 * step, i * step).astype(np.float32)


class Signed:
    """x as onnxruntime 1.32 (HistogramCollector) counts it with numpy.histogram, between plus and minus a threshold.

    The first batch sets the grid by its amax; a larger batch adds as many bins of the same width on both sides.
    """

    def __init__(self, bins: int) -> None:
        """No values yet."""
        self.bins = bins
        self.counts: Counts = np.zeros(bins, np.int64)
        self.edges = np.zeros(bins + 1, np.float32)
        self.threshold = np.float32(0)
        self._zeros = 0

    def check(self, amax: np.float32) -> None:
        """ValueError where a row of this largest magnitude needs too many bins."""
        if amax > self.threshold > 0:
            checked((amax - self.threshold) // (np.float32(2) * self.threshold / np.float32(self.counts.size)) + 1)

    def add(self, x: NDArray[np.float32]) -> None:
        """Count a row of values."""
        amax = np.abs(x).max()
        if self.threshold == 0:
            if amax == 0:
                self._zeros += x.size
                return
            self.threshold = amax
            self._count(x, self.bins)
            self.counts[self.bins // 2] += self._zeros
            return
        before, added = self.counts, 0
        if amax > self.threshold:
            stride = np.float32(2) * self.threshold / np.float32(before.size)
            added = int((amax - self.threshold) // stride + 1)
            self.threshold = np.float32(added) * stride + self.threshold
        self._count(x, before.size + 2 * added)
        self.counts[added : added + before.size] += before

    def _count(self, x: NDArray[np.float32], n: int) -> None:
        counts, edges = np.histogram(x, n, range=(-self.threshold, self.threshold))  # type: ignore[arg-type]  # float32 edges
        self.counts, self.edges = counts.astype(np.int64), edges.astype(np.float32)

    def merge(self, other: Signed) -> None:
        """Refused: the first batch of each has set another grid."""
        raise ValueError(
            "merge of histograms whose grid is that of their first batch; allowed: with amax= given to both (rule C5)"
        )


class Given:
    """A grid of `bins` bins from 0 to amax, or from -amax to amax (`signed`), known before any value; it grows as far as needed.

    A magnitude m is in bin ceil(m / width) - 1 of its side, zero in the first positive one: the counts do not depend on the
    order of batches, and merging is exact.
    """

    def __init__(self, bins: int, amax: float, signed: bool) -> None:
        """No values yet."""
        self.signed, self.per_side = signed, bins // 2 if signed else bins
        self.width = float(np.float32(amax)) / self.per_side
        self._sides = [np.zeros(self.per_side, np.int64) for _ in range(1 + signed)]

    def check(self, amax: np.float32) -> None:
        """ValueError where a row of this largest magnitude needs too many bins."""
        if float(amax) / self.width >= MOST:
            raise ValueError(f"a value of {amax:g} lies 2^22 or more bins of {self.width:g} from 0; allowed: a larger amax=")

    def add(self, x: NDArray[np.float32]) -> None:
        """Count a row of values."""
        from qsim.kernels.ranges import count_sides

        amax = float(np.abs(x).max())
        n = int(np.ceil(amax / self.width)) + 1

        def count(part: NDArray[np.float32]) -> list[Counts]:
            positive, negative = np.zeros(n, np.int64), np.zeros(n if self.signed else 0, np.int64)
            count_sides(part, self.width, positive, negative)
            return [positive, negative]

        self._add([np.trim_zeros(side, "b") for side in summed(count, x, n)[: 1 + self.signed]])

    def _add(self, sides: list[Array]) -> None:
        size = max(self._sides[0].size, *(side.size for side in sides))
        for i, more in enumerate(sides):
            grown = np.zeros(size, np.int64)
            grown[: self._sides[i].size] = self._sides[i]
            grown[: more.size] += more
            self._sides[i] = grown

    def merge(self, other: Given) -> None:
        """Add the counts of the same grid."""
        self._add(other._sides)

    @property
    def counts(self) -> Counts:
        """Counts, ascending."""
        return np.concatenate([self._sides[1][::-1], self._sides[0]]) if self.signed else self._sides[0]

    @property
    def edges(self) -> NDArray[np.float32]:
        """Edges, ascending."""
        n = self._sides[0].size
        return (np.arange(-n if self.signed else 0, n + 1) * self.width).astype(np.float32)
