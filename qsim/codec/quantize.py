"""quantize: decode(encode(x)) in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.decode import check_out, decode
from qsim.codec.encode import encode
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
    out: NDArray[np.float32] | None = None,
    **options: Any,
) -> NDArray[np.float32]:
    """The float32 values that a format can hold: decode(encode(x, ...)), same arguments as `encode`.

    Args:
        x, fmt, axis, granularity, channel_axis, convention, random, scales, zero_point, options: see `encode`.
        out: C-contiguous float32 array of x's shape to write into.

    Returns:
        float32 array of x's shape.
    """
    check_out(out, np.shape(x), np.dtype(np.float32))  # type: ignore[arg-type]
    q = encode(
        x,
        fmt,
        axis=axis,
        granularity=granularity,
        channel_axis=channel_axis,
        convention=convention,
        random=random,
        scales=scales,
        zero_point=zero_point,
        **options,
    )
    return decode(q, np.float32, out=out)
