"""QTensor: the codes, scales and zero points of one encoded tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from qsim.spec import Format, Geometry, Options

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

Array = NDArray[Any]


def unsigned_dtype(bits: int) -> np.dtype[Any]:
    """Smallest of uint8, uint16 and uint32 that holds `bits`."""
    return np.dtype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)


@dataclass(frozen=True, eq=False, repr=False)
class QTensor:
    """An encoded tensor: unsigned bit patterns as hardware stores them (rule P1).

    codes_moved: C-contiguous, the tensor's shape with `axis` moved last, uint8, uint16 or uint32, no padding.
    scales_moved: one C-contiguous array of codes a level, finest first: groups of `axis` last; (channels,); or ().
    zero_point_moved: int32, laid out as scales_moved[0], or None.
    """

    format: Format
    shape: tuple[int, ...]
    geometry: Geometry
    codes_moved: Array
    scales_moved: tuple[Array, ...] = ()
    zero_point_moved: Array | None = None
    options: Options = field(default_factory=Options)

    @property
    def axis(self) -> int:
        """The dimension along which groups run, from 0."""
        return self.geometry.axis

    @property
    def codes(self) -> Array:
        """Unsigned bit patterns, the tensor's shape (a view)."""
        return np.moveaxis(self.codes_moved, -1, self.axis).reshape(self.shape)

    @property
    def scales(self) -> tuple[Array, ...]:
        """Scale codes, finest level first: (..., groups, ...) with the groups at `axis`, (channels,) or () (views)."""
        levels = zip(self.format.scales, self.scales_moved, strict=True)
        return tuple(np.moveaxis(a, -1, self.axis) if isinstance(s.group, int) else a for s, a in levels)

    @property
    def zero_point(self) -> NDArray[np.int32] | None:
        """Zero points of an affine format, int32, the shape of `scales[0]` (a view), else None."""
        if self.zero_point_moved is None or not isinstance(self.format.scales[0].group, int):
            return self.zero_point_moved
        return np.moveaxis(self.zero_point_moved, -1, self.axis)

    @property
    def integers(self) -> NDArray[np.int32]:
        """Signed integers of integer-like elements, int32, the tensor's shape; ValueError for float elements."""
        from qsim.codec.decode import code_integers

        return code_integers(self.codes, self.format)

    def decode(self, dtype: DTypeLike = np.float32, *, out: Array | None = None) -> Array:
        """Values, each the exact product of its parts rounded once to float32 or float64 (rule S10)."""
        from qsim.codec.decode import decode

        return decode(self, dtype, out=out)

    def pack(self, layout: Literal["block", "planar"] = "block") -> bytes:
        """The tensor as bytes (rules P2 to P5)."""
        from qsim.layout import pack

        return pack(self, layout)

    def to_words(self) -> list[int]:
        """One Python int a block word, in C order with `axis` moved last (rule P3)."""
        from qsim.layout import to_words

        return to_words(self)

    @property
    def storage_bits(self) -> int:
        """Exact bits of layout `block`."""
        return self.geometry.storage_bits

    def __repr__(self) -> str:
        """Format, shape and size, not the data."""
        return f"QTensor({self.format.name}, shape={self.shape}, axis={self.axis}, {self.storage_bits} bits)"


def refuse_scale(q: QTensor, level: int, index: int) -> None:
    """Raise the ValueError of rule S9 for group number `index` of a level, in C order of the stored scales."""
    s = q.format.scales[level]
    shape = q.scales_moved[level].shape
    place = ", ".join(str(int(i)) for i in np.unravel_index(index, shape)) if shape else ""
    raise ValueError(
        f"{q.format.name}: the scale of group [{place}] (level L{level}, {s.group}) is above the largest {s.type},"
        f" {float(s.float_type.largest):g}; scale the tensor, or use scale_overflow='saturate' (rule S9)"
    )
