"""The threshold of least squared error, by exhaustive search with the codec's own quantizer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qsim.codec.quantize import quantize
from qsim.ranges.calibrator import Array, Calibrator
from qsim.ranges.errors import error_unit, squared_errors
from qsim.ranges.levels import level_bits
from qsim.ranges.stores import Values
from qsim.spec import Format, load_format
from qsim.spec.geometry import normalize_axis
from qsim.spec.load import parse_format

STEPS = 16  # candidates an octave
FINE = 16  # candidates on each side of the best of those, out to its next neighbour but less


class MSE(Calibrator):
    """Of the candidates t, the one with the least sum of (x - quantize(x, fmt, limits of t))^2; of equal ones the first.

    Candidates: amax * m / 32 * 2^-k for m = 32 .. 17 and k = 0 .. octaves - 1, 16 an octave, from the largest down; then
    around the best of them t * (1 + j / 256), j = 15 .. -15, at most amax; each once to float32; all are tried.
    fmt: any format with a float outermost scale (int, uint, vsq, nvfp4); bits=N instead: intN, or affine uintN with
    symmetric=False. A format with blocks has them along the last dimension, with axis= the last of the others, and takes
        batches in which that is a multiple of its block.

    Keeps the values, 4 bytes each. Each squared error is rounded to an integer in units of 2^-50 to 2^-48 of amax^2, and the
    integers are added: the result does not depend on order, batches or threads, and merging is exact.
    """

    def __init__(
        self,
        *,
        bits: int | None = None,
        fmt: str | Format | None = None,
        octaves: int = 10,
        symmetric: bool = True,
        axis: int | None = None,
        group: int | None = None,
    ) -> None:
        """Check the settings."""
        if not isinstance(octaves, int) or isinstance(octaves, bool) or not 1 <= octaves <= 32:
            raise ValueError(f"octaves={octaves!r}; allowed: 1 to 32")
        width = level_bits(bits, fmt)
        self.format = integer_format(width, symmetric) if fmt is None else load_format(fmt)
        name, family = self.format.name, self.format.family
        if symmetric == (family == "affine"):
            raise ValueError(f"symmetric={symmetric} with {name}; allowed: {not symmetric}")
        several = axis is not None if family == "nvfp4" else group is not None
        if self.format.granularity is None and several:
            raise ValueError(f"{name} has one outermost scale a {self.format.scales[-1].group}; allowed: as many ranges")
        if self.format.granularity is not None:
            self.format = self.format.with_granularity("channel")
        super().__init__(fmt=name, octaves=octaves, symmetric=symmetric, axis=axis, group=group)
        self._store = Values()
        self._chosen: tuple[Array, Array] | None = None

    def observe(self, batch: object) -> Self:
        """Take a batch into account; returns the calibrator."""
        shape, block, axis = np.asarray(batch).shape, self.format.block_size, self.settings["axis"]
        along = list(range(len(shape)))
        if axis is not None and shape:
            along.remove(normalize_axis(axis, len(shape)))
        if block > 1 and (not along or shape[along[-1]] % block):
            which = "last dimension" if axis is None else f"last dimension, axis {axis} apart,"
            raise ValueError(
                f"batch {self.batches} has shape {shape}; allowed for {self.format.name}: a {which} that is a multiple"
                f" of {block} (rule C2)"
            )
        return super().observe(batch)

    def _update_rows(self, number: int, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        self._chosen = None
        self._store.add(number, ids, rows)

    def _merge(self, other: MSE) -> None:
        self._chosen = None
        self._store.merge(other._store)

    def _range(self) -> tuple[Array, Array]:
        if self._chosen is None:
            best = Best(self._amax)
            for k in range(self.settings["octaves"]):
                for m in range(32, 32 - STEPS, -1):
                    self._try(best, self._amax * (m / 32 * 2.0**-k))
            centre = best.threshold.astype(np.float64)
            for j in range(FINE - 1, -FINE, -1):
                self._try(best, np.minimum(centre * (1 + j / 256), self._amax))
            self._chosen = self._clipped(best.threshold)
        return self._chosen

    def _try(self, best: Best, candidate: NDArray[np.float64]) -> None:
        """Replace the best thresholds where a candidate's error is less."""
        with np.errstate(under="ignore"):
            threshold = candidate.astype(np.float32)
        ends = self._clipped(threshold)
        unit = error_unit(self._amax)
        for ids, rows in self._store.joined():
            pair = tuple(end[ids] if self.format.scales[-1].group == "channel" else end[0] for end in ends)
            y = quantize(rows, self.format, axis=-1, channel_axis=0, limits=pair, scale_overflow="saturate")
            best.take(ids, threshold[ids], *squared_errors(rows, y, unit[ids]))


class Best:
    """The threshold of least error so far, and that error, of each segment."""

    def __init__(self, amax: NDArray[np.float64]) -> None:
        """Nothing tried yet."""
        self.threshold = amax.astype(np.float32)
        self._low = np.zeros(amax.shape, np.int64)
        self._high = np.full(amax.shape, np.iinfo(np.int64).max)

    def take(self, ids: NDArray[np.int64], threshold: NDArray[np.float32], low: Array, high: Array) -> None:
        """Keep what is less than the best of its segment."""
        less = (high < self._high[ids]) | ((high == self._high[ids]) & (low < self._low[ids]))
        at = ids[less]
        self.threshold[at], self._low[at], self._high[at] = threshold[less], low[less], high[less]


def integer_format(bits: int, symmetric: bool) -> Format:
    """intN, or affine uintN, with a scale a channel."""
    table: dict[str, Any] = {"name": f"{'int' if symmetric else 'uint'}{bits}", "zero_point": not symmetric}
    table["element"] = {"kind": "int" if symmetric else "uint", "bits": bits}
    return parse_format(table | {"scale": [{"type": "FP32", "group": "channel"}]})
