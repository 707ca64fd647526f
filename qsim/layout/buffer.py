"""QTensor <-> one buffer (rules P2 to P5)."""

from __future__ import annotations

from operator import index
from pathlib import Path
from typing import Literal

import numpy as np

from qsim.codec.qtensor import QTensor
from qsim.layout.arrays import empty_arrays, from_arrays, to_arrays
from qsim.layout.plan import buffer_sections
from qsim.layout.stream import Bytes, read, write
from qsim.spec import Format, Geometry, load_format

LayoutName = Literal["block", "planar"]
#: Bits of a byte, reversed.
REVERSED = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], np.uint8)


def pack(q: QTensor, layout: LayoutName = "block") -> bytes:
    """The tensor as bytes: one word a block (`block`, rule P3) or one plane a field (`planar`, rule P4)."""
    data, stream = write(buffer_sections(q.geometry, layout), to_arrays(q))
    memory = _swapped(stream, q.geometry, layout)
    if memory is not stream:
        stream[...] = memory
    return data


def unpack(
    buf: bytes | bytearray | memoryview | Bytes,
    fmt: str | Path | Format,
    shape: tuple[int, ...],
    *,
    axis: int = -1,
    layout: LayoutName = "block",
    granularity: int | str | None = None,
    channel_axis: int = 0,
) -> QTensor:
    """The tensor of a buffer that `pack` or hardware wrote; the other arguments must be those of its encode.

    Raises ValueError for a buffer of any other length, for pad bits and fill codes that are not 0, and for codes that the
    format does not have; TypeError for a `buf` or a `shape` of another type (rule P5).
    """
    shape = _checked_shape(shape)
    geometry = Geometry.of(load_format(fmt), shape, axis=axis, granularity=granularity, channel_axis=channel_axis)
    memory, sections = _checked_bytes(buf), buffer_sections(geometry, layout)
    what = f"{geometry.fmt.name} of shape {shape} in layout {layout!r}"
    size = sum(s.bits for s in sections) // 8
    if len(memory) != size:
        raise ValueError(f"{what} has {size} bytes, the buffer has {len(memory)} (rule P5)")
    arrays = empty_arrays(geometry)
    try:
        read(sections, _swapped(memory, geometry, layout), arrays)
        return from_arrays(arrays, geometry, shape)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def _swapped(stream: Bytes, geometry: Geometry, layout: LayoutName) -> Bytes:
    """A stream in the memory order of a format's `[layout]`, or the other way round: both swaps are their own inverses."""
    order = geometry.fmt.layout
    if layout == "block" and order.byte_order == "big":
        size = geometry.fmt.word_bits // 8
        end = geometry.words * size
        stream = np.concatenate([stream[:end].reshape(-1, size)[:, ::-1].ravel(), stream[end:]])
    return REVERSED[stream] if layout == "block" and order.bit_order == "msb" else stream


def _checked_bytes(buf: object) -> Bytes:
    """Any contiguous buffer of bytes."""
    try:
        view = memoryview(buf)  # type: ignore[arg-type]  # the next line says what is allowed
    except TypeError:
        view = None
    if view is None or view.itemsize != 1 or not view.c_contiguous:
        raise TypeError(f"buf is of type {type(buf).__name__}; allowed: bytes, or a contiguous buffer of bytes")
    return np.frombuffer(view, np.uint8)


def _checked_shape(shape: object) -> tuple[int, ...]:
    try:
        return tuple(index(n) for n in shape)  # type: ignore[attr-defined]  # the next line says what is allowed
    except TypeError:
        raise TypeError(f"shape={shape!r}; allowed: a tuple of integers") from None
