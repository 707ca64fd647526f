"""decode: codes and scales to values, exact products rounded once (rule S10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.frame import Frame, block_frame, by_row, segment_frame
from qsim.codec.lanes import LANES, Task, lanes_decoder
from qsim.codec.lower import element_table, groups, scale_values
from qsim.codec.qtensor import QTensor
from qsim.codec.threads import pieces, run
from qsim.spec import Format

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

Array = NDArray[Any]


def decode(q: QTensor, dtype: DTypeLike = np.float32, *, out: Array | None = None) -> Array:
    """Values of a QTensor, each the exact product of its parts rounded once to `dtype` (rule S10).

    Args:
        q: what `encode` or `unpack` returned.
        dtype: float32 or float64; float64 holds every catalogue format exactly.
        out: C-contiguous array of q.shape and `dtype` to write into.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"decode to {dtype}; allowed: float32 or float64")
    out = check_out(out, q.shape, dtype)
    moved = out if out is not None and q.axis == len(q.geometry.shape) - 1 else np.empty(q.geometry.moved_shape, dtype)
    with np.errstate(all="ignore"):
        _decode_moved(q, moved.reshape(q.geometry.moved_shape))
    if out is None:
        return np.moveaxis(moved, -1, q.axis).reshape(q.shape)
    if moved is not out:
        out[...] = np.moveaxis(moved, -1, q.axis).reshape(q.shape)
    return out


def check_out(out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    """`out` if it can take the result, else ValueError."""
    if out is not None and not isinstance(out, np.ndarray):
        raise TypeError(f"out is of type {type(out).__name__}; allowed: a numpy array")
    if out is not None and (out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable):
        kind = f"{'writable' if out.flags.writeable else 'read-only'}, {'contiguous' if out.flags.c_contiguous else 'strided'}"
        raise ValueError(
            f"out: {kind} {out.dtype} array of shape {out.shape}; allowed: a writable C-contiguous {dtype} array of shape {shape}"
        )
    return out


def _decode_moved(q: QTensor, out: Array) -> None:
    frame = value_frame(q)
    codes = frame.view(q.codes_moved)
    values = np.empty(codes.shape, out.dtype) if frame.swap else out.reshape(codes.shape)
    task = lanes_decoder(q, frame, values) or _portable(q, frame, values)
    run(lambda r, c: task(r, c, codes[r, c]), pieces(frame.rows, frame.length, max(q.format.block_size, LANES)))
    frame.restore(values, out)


def _portable(q: QTensor, frame: Frame, values: Array) -> Task:
    from qsim.kernels import decode as kernels

    dtype = values.dtype
    inner, outer, g0, g1 = _scale_arrays(q, frame, dtype)
    zeros: Array = np.zeros((0, 0), dtype)
    if q.zero_point_moved is not None:
        zeros = q.zero_point_moved.astype(dtype).reshape(outer.shape)
    table = element_table(q.format.element, dtype.name)

    def task(r: slice, c: slice, codes: Array) -> None:
        a = inner[r, groups(c, g0)] if g0 else inner
        b = outer[r, groups(c, g1)] if g1 else outer
        z = zeros[r, groups(c, g1)] if zeros.size and g1 else zeros
        kernels.decode_table(codes, table, a, b, g0, g1, frame.segment[r], z, dtype.type(1), values[r, c])

    return task


def value_frame(q: QTensor) -> Frame:
    """The rows in which a format's scales are looked up."""
    if q.format.block_scales or not q.format.scales:
        return block_frame(q.geometry, flat=q.format.family != "vsq")
    return segment_frame(q.geometry)


def _scale_arrays(q: QTensor, frame: Frame, dtype: np.dtype[Any]) -> tuple[Array, Array, int, int]:
    """(inner, outer, g0, g1) of kernels.decode.decode_table."""
    none = np.zeros((0, 0), dtype)
    blocks: list[tuple[Array, int]] = []
    outer = np.ones((1, 1), dtype)
    for codes, scale in zip(q.scales_moved, q.format.scales, strict=True):
        values = scale_values(codes, scale).astype(dtype)
        if isinstance(scale.group, int):
            blocks.append((by_row(values, frame), scale.group))
        else:
            outer = values.reshape(-1, 1)
            if outer.shape[0] < frame.segments:
                outer = np.repeat(outer, frame.segments, axis=0)
    trailing = any(not isinstance(s.group, int) for s in q.format.scales)
    if len(blocks) == 2:
        return blocks[0][0], blocks[1][0], blocks[0][1], blocks[1][1]
    if len(blocks) == 1:
        array, group = blocks[0]
        return (array, outer, group, 0) if trailing else (none, array, 0, group)
    return none, outer, 0, 0


def code_integers(codes: Array, fmt: Format) -> NDArray[np.int32]:
    """Signed integers of the codes of an integer-like element, int32; ValueError for a float element."""
    e = fmt.element
    if e.is_float:
        raise ValueError(f"{fmt.name} has float elements; .integers is for integer-like ones, use .decode()")
    scaled = element_table(e, "float64")[codes]
    return np.ldexp(scaled, -e.lsb_exponent).astype(np.int32)
