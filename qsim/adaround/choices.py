"""The two codes of each weight: what `encode` chose, and the neighbour on the other side of the weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.lower import element_table, integer_range
from qsim.codec.qtensor import QTensor

Array = NDArray[Any]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Choices:
    """Two codes a weight, in the weight's shape, their values exact in float64.

    near: value of the code that `encode` chose. other: value of the next code towards the weight and beyond it; where the
    weight is on the grid, the one above. Equal to `near` where there is none: at the edge of the codes, or where the scale is 0.
    codes: the code of `other`.
    """

    q: QTensor
    near: Float64
    other: Float64
    codes: Array

    @classmethod
    def of(cls, w: NDArray[np.float32], q: QTensor) -> Choices:
        """The choices of float32 weights around q, their encoding."""
        near = q.decode(np.float64)
        if not np.isfinite(near).all():
            first = np.unravel_index(np.flatnonzero(~np.isfinite(near))[0], near.shape)
            place = ", ".join(str(int(i)) for i in first)
            raise ValueError(f"{q.format.name} holds w[{place}] = {w[first]!s} as {near[first]!s}; allowed: finite values")
        above, below = _neighbours(q)
        codes = np.where(near <= w, above[q.codes], below[q.codes]).astype(q.codes.dtype)
        return cls(q, near, with_codes(q, codes).decode(np.float64), codes)

    def chosen(self, flipped: NDArray[np.bool_]) -> QTensor:
        """The encoding with the other code where `flipped`."""
        return with_codes(self.q, np.where(flipped, self.codes, self.q.codes))


def with_codes(q: QTensor, codes: Array) -> QTensor:
    """The same scales and zero points under other codes, which have q's shape."""
    moved = np.moveaxis(codes.reshape(q.geometry.shape), q.axis, -1)
    return replace(q, codes_moved=np.ascontiguousarray(moved, dtype=q.codes_moved.dtype))


def _neighbours(q: QTensor) -> tuple[Array, Array]:
    """Of every code, the code of the next larger and of the next smaller value that the encoder writes; at an end, the same."""
    e = q.format.element
    values = element_table(e, "float64")
    usable = np.isfinite(values)
    if not e.is_float:
        low, high = integer_range(q.format, q.options)
        usable &= (values >= np.ldexp(float(low), e.lsb_exponent)) & (values <= np.ldexp(float(high), e.lsb_exponent))
    codes = np.flatnonzero(usable)
    ordered, first = np.unique(values[codes], return_index=True)  # of the two zeros the first, +0
    grid = codes[first]
    place = np.clip(np.searchsorted(ordered, np.nan_to_num(values)), 0, grid.size - 1)
    return grid[np.minimum(place + 1, grid.size - 1)], grid[np.maximum(place - 1, 0)]
