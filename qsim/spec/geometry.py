"""Where the groups of a tensor lie: shapes and counts only, no values.

A tensor is seen with `axis` moved last: R rows of L elements. Groups run along a row, the last of a row may be partial.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from operator import index

from qsim.spec.format import Format


def normalize_axis(axis: int, ndim: int, name: str = "axis") -> int:
    """`axis` as a number from 0 to ndim - 1, or ValueError."""
    try:
        value = index(axis)
        if isinstance(axis, bool):
            raise TypeError
    except TypeError:
        raise TypeError(f"{name}={axis!r} is not an integer") from None
    if not -ndim <= value < ndim:
        raise ValueError(f"{name}={value} is out of range for an array of {ndim} dimensions; allowed: {-ndim} to {ndim - 1}")
    return value % ndim


@dataclass(frozen=True)
class Geometry:
    """The groups of one tensor. A 0-dimensional tensor counts as one of shape (1,)."""

    fmt: Format
    shape: tuple[int, ...]
    axis: int
    channel_axis: int

    @classmethod
    def of(
        cls, fmt: Format, shape: tuple[int, ...], *, axis: int = -1, granularity: int | str | None = None, channel_axis: int = 0
    ) -> Geometry:
        """Check the arguments and resolve granularity and negative axes."""
        fmt = fmt.with_granularity(granularity)
        full = tuple(int(n) for n in shape) or (1,)
        if any(n < 0 for n in full):
            raise ValueError(f"shape {shape} has a negative dimension")
        place = normalize_axis(axis, len(full))
        channel = normalize_axis(channel_axis, len(full), "channel_axis")
        has_channel = any(s.group == "channel" for s in fmt.scales)
        if has_channel and fmt.block_scales and len(full) > 1 and place == channel:
            raise ValueError(
                f"channel_axis={channel_axis} and axis={axis} are the same dimension; {fmt.name} needs two (rule S11)"
            )
        return cls(fmt, full, place, channel)

    @property
    def moved_shape(self) -> tuple[int, ...]:
        """The shape with `axis` moved last: the order of codes in memory and of words in a buffer."""
        return self.shape[: self.axis] + self.shape[self.axis + 1 :] + (self.shape[self.axis],)

    @property
    def rows(self) -> int:
        """R."""
        return prod(self.moved_shape[:-1])

    @property
    def length(self) -> int:
        """L."""
        return self.moved_shape[-1]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def blocks_per_row(self) -> int:
        """Block words of one row, a partial one included."""
        return -(-self.length // self.fmt.block_size)

    @property
    def words(self) -> int:
        """Block words of the tensor; a format without blocks has one element a word."""
        return self.rows * self.blocks_per_row

    @property
    def channels(self) -> int:
        """Number of channels; a 1-D tensor is one channel (rule S11)."""
        return self.shape[self.channel_axis] if len(self.shape) > 1 else 1

    @property
    def row_stride_of_channel(self) -> int:
        """Rows from one channel to the next."""
        if len(self.shape) == 1:
            return max(self.rows, 1)
        if self.channel_axis == self.axis:
            raise ValueError("rows cross channels: channel_axis equals axis")
        place = self.channel_axis - (self.channel_axis > self.axis)
        return max(prod(self.moved_shape[place + 1 : -1]), 1)

    def groups_per_row(self, group: int) -> int:
        """Groups of a row, a partial one included."""
        return -(-self.length // group)

    @cached_property
    def scale_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each scale array, finest first: (..., groups along axis, ...) in place, (channels,) or ()."""
        shapes: list[tuple[int, ...]] = []
        for s in self.fmt.scales:
            if isinstance(s.group, int):
                shapes.append((*self.shape[: self.axis], self.groups_per_row(s.group), *self.shape[self.axis + 1 :]))
            else:
                shapes.append((self.channels,) if s.group == "channel" else ())
        return tuple(shapes)

    @property
    def trailing_scales(self) -> tuple[tuple[int, int], ...]:
        """(width, count) of each channel or tensor level, finest first: what follows the words (rule P3)."""
        return tuple(
            (s.bits, self.channels if s.group == "channel" else 1) for s in self.fmt.scales if not isinstance(s.group, int)
        )

    @property
    def zero_points(self) -> int:
        """Number of zero points."""
        return prod(self.scale_shapes[0]) if self.fmt.zero_point else 0

    @property
    def storage_bits(self) -> int:
        """Exact bits of layout `block`: words, planes of scales, trailing scales, zero points."""
        bits = self.words * self.fmt.word_bits
        if self.fmt.layout.scales == "plane":
            bits += sum(
                s.bits * self.words * (self.fmt.block_size // s.group) for s in self.fmt.block_scales if isinstance(s.group, int)
            )
        bits += sum(width * count for width, count in self.trailing_scales)
        return bits + self.zero_points * self.fmt.element.bits
