"""`limits=`: a range given by the caller, in place of the extremes of the tensor (rules S4 to S6, S8, C1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.spec import Geometry

Array = NDArray[Any]
#: Families whose outermost scale is a float that a range determines.
RANGED = ("absmax", "affine", "vsq", "nvfp4")


def given_limits(limits: object, geometry: Geometry) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """(largest positive, largest negative) magnitude pattern of each outermost scale, flat, as it lies in memory.

    limits: a pair (low, high) of scalars or of arrays of the shape of the outermost scales, or an object whose method
    `limits()` gives one. The range is widened to contain 0 (rule S6); a symmetric format takes the larger magnitude.
    """
    fmt = geometry.fmt
    if fmt.family not in RANGED:
        why = "its scales are powers of two of each block" if fmt.block_scales else "it has no scale that a range determines"
        raise ValueError(
            f"limits does not apply to {fmt.name} (family {fmt.family}): {why}; allowed: {', '.join(RANGED)} (rule C1)"
        )
    method = getattr(limits, "limits", None)
    pair = method() if callable(method) else limits
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(
            f"limits: {type(pair).__name__}; allowed: a pair (low, high), or an object with a method limits() (rule C1)"
        )
    shape = geometry.scale_shapes[-1]
    low, high = (_ends(end, name, shape, fmt.name) for end, name in zip(pair, ("low", "high"), strict=True))
    if (low > high).any():
        at = np.unravel_index(int(np.argmax(low > high)), shape) if shape else ()
        place = ", ".join(str(int(i)) for i in at)
        raise ValueError(
            f"limits of {fmt.name}: low {low[at]} is above high {high[at]} at [{place}]; allowed: low <= high (rule C1)"
        )
    if isinstance(fmt.scales[-1].group, int):
        low, high = np.moveaxis(low, geometry.axis, -1), np.moveaxis(high, geometry.axis, -1)
    positive, negative = np.maximum(high, np.float32(0)), np.maximum(-low, np.float32(0))
    return _patterns(positive), _patterns(negative)


def _ends(value: object, name: str, shape: tuple[int, ...], fmt: str) -> NDArray[np.float32]:
    """One end of the range as float32 of the scales' shape; a float64 is rounded once (rule R4)."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"limits of {fmt}: {name} of dtype {array.dtype}; allowed: real numbers")
    with np.errstate(over="ignore", under="ignore"):
        ends = array.astype(np.float32)
    if not np.isfinite(ends).all():
        raise ValueError(f"limits of {fmt}: {name} holds {ends[~np.isfinite(ends)][0]} as float32; allowed: finite (rule C1)")
    if ends.shape not in ((), shape):
        raise ValueError(
            f"limits of {fmt}: {name} of shape {ends.shape}; allowed: a scalar, or {shape}, one for each scale (rule C1)"
        )
    return np.broadcast_to(ends, shape)


def _patterns(magnitudes: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Bit patterns of magnitudes, flat."""
    return np.abs(np.ascontiguousarray(magnitudes)).reshape(-1).view(np.uint32)
