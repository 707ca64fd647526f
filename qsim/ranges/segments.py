"""Which values share a range: the whole tensor, a channel, or a group of k along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.spec.geometry import normalize_axis

Array = NDArray[Any]
#: Rows of float32, and the number of the segment that each row belongs to.
Piece = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True)
class Segments:
    """Segments as the first batch fixes them. axis None: one; group None: one a channel; else one for each k along `axis`.

    shape: of the limits, as the scales of a QTensor have it. batch: what the shape of every batch must agree with.
    """

    axis: int | None
    group: int | None
    shape: tuple[int, ...]
    batch: tuple[int, ...]

    @classmethod
    def of(cls, axis: int | None, group: int | None, shape: tuple[int, ...]) -> Segments:
        """The segments of a first batch of this shape."""
        if axis is None and group is None:
            return cls(None, None, (), ())
        place = normalize_axis(-1 if axis is None else axis, len(shape))
        if group is None:
            return cls(axis, None, shape[place : place + 1], shape[place : place + 1])
        groups = -(-shape[place] // group)
        return cls(axis, group, (*shape[:place], groups, *shape[place + 1 :]), shape)

    @property
    def count(self) -> int:
        """Number of segments."""
        return prod(self.shape)

    def mismatch(self, shape: tuple[int, ...]) -> str | None:
        """Why a later batch of this shape does not fit, or None."""
        if self.axis is None and self.group is None:
            return None
        other = Segments.of(self.axis, self.group, shape)
        if other.batch == self.batch:
            return None
        if self.group is None:
            return f"{other.batch[0]} channels along axis {self.axis}; the first batch had {self.batch[0]}"
        return f"shape {shape}; with group={self.group} every batch has the shape of the first, {self.batch}"

    def split(self, x: NDArray[np.float32]) -> list[Piece]:
        """Every value, as C-contiguous rows; a partial last group comes as a second piece."""
        if self.axis is None and self.group is None:
            return [(np.zeros(1, np.int64), np.ascontiguousarray(x).reshape(1, -1))]
        place = normalize_axis(-1 if self.axis is None else self.axis, x.ndim)
        if self.group is None:
            rows = np.ascontiguousarray(np.moveaxis(x, place, 0)).reshape(x.shape[place], -1)
            return [(np.arange(rows.shape[0]), rows)]
        moved = np.moveaxis(x, place, -1)
        length = moved.shape[-1]
        ids = np.arange(self.count).reshape(-1, -(-length // self.group))
        whole = length // self.group
        pieces = []
        for columns, width in ((slice(0, whole), self.group), (slice(whole, None), length - whole * self.group)):
            if width and ids[:, columns].size:
                start = columns.start * self.group
                part = moved[..., start : start + ids[:, columns].shape[1] * width]
                pieces.append((ids[:, columns].reshape(-1), np.ascontiguousarray(part).reshape(-1, width)))
        return pieces

    def shaped(self, flat: Array) -> Any:
        """One value a segment, in the shape of the limits; a scalar for one range."""
        if self.group is None:
            return flat.reshape(self.shape)[()]
        place = normalize_axis(-1 if self.axis is None else self.axis, len(self.shape))
        moved = self.shape[:place] + self.shape[place + 1 :] + self.shape[place : place + 1]
        return np.ascontiguousarray(np.moveaxis(flat.reshape(moved), -1, place))
