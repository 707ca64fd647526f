"""quantize: decode(encode(x)) in one pass over the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.decode import check_out, decode, value_frame
from qsim.codec.encode import encode_into, prepare
from qsim.codec.lanes import lanes_decoder
from qsim.spec import Format


def quantize(
    x: object,
    fmt: str | Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
    convention: str | None = None,
    random: object = None,
    scales: Sequence[object] | None = None,
    zero_point: object = None,
    limits: object = None,
    out: NDArray[np.float32] | None = None,
    **options: Any,
) -> NDArray[np.float32]:
    """The float32 values that a format can hold, in x's shape: decode(encode(x, ...)). Errors are those of `encode`.

    The arguments are those of `encode`, and `out`: a C-contiguous float32 array of x's shape to write into; its content is
    undefined after an error.
    """
    q, values = prepare(x, fmt, axis, granularity, channel_axis, convention, scales, zero_point, options)
    result = check_out(out, values.shape, np.dtype(np.float32))
    if result is not None and np.may_share_memory(values, result):
        values = values.copy()
    last = q.axis == len(q.geometry.shape) - 1
    shape = q.geometry.moved_shape
    moved = result.reshape(shape) if result is not None and last else np.empty(shape, np.float32)
    frame = value_frame(q)
    if q.format.family in ("binary", "ternary") or lanes_decoder(q, frame, moved) is None:
        encode_into(q, values, random, scales is not None, limits)
        return decode(q, np.float32, out=result)
    encode_into(q, values, random, scales is not None, limits, moved)
    in_place = np.moveaxis(moved, -1, q.axis).reshape(values.shape)
    if result is None:
        return in_place
    if not last:
        result[...] = in_place
    return result
