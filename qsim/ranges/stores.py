"""What a calibrator keeps of its batches when running extremes are not enough: the values, or a histogram of each segment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qsim.ranges.histogram import Given, Histogram, Magnitudes, Signed

ORDINARY = 60  # exponents within which float32 bins of any number are exact enough to be those of the stacks

Ids = NDArray[np.int64]
Rows = NDArray[np.float32]


class Values:
    """Every value, 4 bytes each."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._pieces: list[tuple[Ids, list[Rows]]] = []

    def add(self, number: int, ids: Ids, rows: Rows) -> None:
        """Keep piece `number` of a batch."""
        if number == len(self._pieces):
            self._pieces.append((ids, []))
        self._pieces[number][1].append(rows.copy())

    def merge(self, other: Values) -> None:
        """Keep another's values too."""
        for (_, mine), (_, more) in zip(self._pieces, other._pieces, strict=True):
            mine.extend(more)

    def joined(self) -> Iterator[tuple[Ids, Rows]]:
        """All values of each piece: segments, and a row of values for each."""
        for i, (ids, rows) in enumerate(self._pieces):
            if len(rows) > 1:
                self._pieces[i] = (ids, [np.concatenate(rows, axis=1)])
            yield ids, self._pieces[i][1][0]


class Histograms:
    """One histogram a segment: on the grid of amax, or on that of the first batch as a stack has it."""

    def __init__(self, bins: int, amax: float | None, *, signed: bool) -> None:
        """Nothing yet."""
        self._bins, self._amax, self._signed = bins, amax, signed
        self.of: dict[int, Histogram] = {}
        self._shift: dict[int, int] = {}

    def _make(self) -> Histogram:
        if self._amax is not None:
            return Given(self._bins, self._amax, self._signed)
        return Signed(self._bins) if self._signed else Magnitudes(self._bins)

    def check(self, amax: NDArray[np.float32]) -> None:
        """ValueError where a segment's largest magnitude lies too far beyond its grid."""
        fresh = self._make()
        with np.errstate(over="ignore", invalid="ignore"):
            for i, top in enumerate(amax):
                self.of.get(i, fresh).check(np.ldexp(top, self._shift.get(i, 0)))

    def add(self, number: int, ids: Ids, rows: Rows) -> None:
        """Count the rows of a piece."""
        for i, row in zip(ids.tolist(), rows, strict=True):
            if i not in self.of:
                self.of[i] = self._make()
            self.of[i].add(self._scaled(i, row))

    def _scaled(self, i: int, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """A row times the power of two that keeps the grid of a first batch of extreme magnitude within float32."""
        if self._amax is None and self._shift.get(i) is None and row.any():
            exponent = int(np.frexp(np.abs(row).max())[1])
            self._shift[i] = 0 if abs(exponent) < ORDINARY else -exponent
        with np.errstate(over="ignore"):
            return np.asarray(np.ldexp(row, self._shift[i])) if self._shift.get(i) else row

    def counts_and_edges(self, i: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Of segment i."""
        with np.errstate(under="ignore"):
            return self.of[i].counts, np.asarray(np.ldexp(self.of[i].edges, -self._shift.get(i, 0)))

    def merge(self, other: Histograms) -> None:
        """Add the counts of another's histograms."""
        for i, histogram in other.of.items():
            self.of[i].merge(histogram)
