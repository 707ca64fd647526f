"""How a tensor lies before a kernel: a 2-D array of rows, and which segment (tensor or channel) a row belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.spec import Geometry

Array = NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """rows x length elements; row r belongs to segment[r] of `segments`. `swap`: the channel is the axis itself, moved first."""

    geometry: Geometry
    rows: int
    length: int
    segment: NDArray[np.int64]
    segments: int
    swap: bool = False

    def view(self, moved: Array) -> Array:
        """The tensor (axis moved last) as (rows, length), C-contiguous; a copy only with `swap`."""
        if self.swap:
            moved = np.ascontiguousarray(np.moveaxis(moved, -1, 0))
        return moved.reshape(self.rows, self.length)

    def restore(self, framed: Array, moved: Array) -> None:
        """Write a framed array back into its tensor, needed with `swap` only."""
        if self.swap:
            shape = self.geometry.moved_shape
            moved[...] = np.moveaxis(framed.reshape(shape[-1:] + shape[:-1]), 0, -1)


def by_row(groups: Array, frame: Frame) -> Array:
    """An array of one value a group as (rows, groups of a row), empty ones included."""
    return groups.reshape(frame.rows, groups.size // max(frame.rows, 1))


def block_frame(geometry: Geometry, *, flat: bool) -> Frame:
    """Rows along `axis`; one long row where blocks do not cross rows and `flat` (no scale depends on the row)."""
    rows, length = geometry.rows, geometry.length
    if flat and length % geometry.fmt.block_size == 0:
        rows, length = 1, rows * length
    if flat:
        return Frame(geometry, rows, length, np.zeros(rows, np.int64), 1)
    segment = np.arange(rows) // geometry.row_stride_of_channel % max(geometry.channels, 1)
    return Frame(geometry, rows, length, segment.astype(np.int64), geometry.channels)


def segment_frame(geometry: Geometry) -> Frame:
    """Rows of one scale each: the whole tensor, or channels."""
    shape = geometry.moved_shape
    if geometry.fmt.scales[-1].group != "channel" or len(shape) == 1:
        return Frame(geometry, 1, geometry.size, np.zeros(1, np.int64), 1)
    channels = geometry.channels
    if geometry.channel_axis == geometry.axis:
        return Frame(geometry, channels, geometry.size // max(channels, 1), np.arange(channels), channels, swap=True)
    place = geometry.channel_axis - (geometry.channel_axis > geometry.axis)
    rows = prod(shape[: place + 1])
    segment = np.arange(rows) % max(channels, 1)
    return Frame(geometry, rows, prod(shape[place + 1 :]), segment, channels)
