"""`average_pool2d` and `max_pool2d` on integer codes (rules L3 and L4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.datapath.windows import LAYOUTS, Padding, Window, windows
from qsim.spec.requantizer import STEP_ROUNDINGS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CODES = ("int8", "uint8", "int16")
MAX_TAPS = 1 << 16  # a sum of more int16 codes may leave int32, which TFLite leaves undefined

Ints = "NDArray[np.int64]"
#: rounding -> does floor(s / n) go up by 1? Of the sum s, the floor q, twice the rest r against n.
GOES_UP: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "half_even": lambda s, q, r, n: (r > n) | ((r == n) & (q & 1 == 1)),
    "half_away": lambda s, q, r, n: (r > n) | ((r == n) & (s >= 0)),
    "half_up": lambda s, q, r, n: r >= n,
    "half_down": lambda s, q, r, n: r > n,
    "half_zero": lambda s, q, r, n: (r > n) | ((r == n) & (s < 0)),
    "toward_zero": lambda s, q, r, n: (r > 0) & (s < 0),
    "away_from_zero": lambda s, q, r, n: (r > 0) & (s > 0),
    "floor": lambda s, q, r, n: r < 0,
    "ceil": lambda s, q, r, n: r > 0,
    "to_odd": lambda s, q, r, n: (r > 0) & (q & 1 == 0),
}
assert tuple(sorted(GOES_UP)) == tuple(sorted(STEP_ROUNDINGS))


def average_pool2d(
    x: ArrayLike,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    layout: str = "NHWC",
    rounding: str = "half_away",
    clamp: tuple[int, int] | None = None,
    in_zero_point: int = 0,
    out_zero_point: int = 0,
) -> NDArray[Any]:
    """The mean of the codes in each window; padding is not counted. Input and output have the same scale.

    Args:
        x: int8, uint8 or int16 codes, (N, H, W, C), or (N, C, H, W) for layout NCHW.
        window: taps, one number or (vertical, horizontal).
        stride: the same; None: the window.
        padding: "valid", "same" (the odd line below and right), a number, or (top, bottom, left, right), less than the window.
        layout: "NHWC" or "NCHW".
        rounding: of sum / taps: "half_away" as TFLite and CMSIS-NN, any other rounding of a step (rule Q2), or "tosa": the
            reciprocal multiply of TOSA AVG_POOL2D, which is half_away for windows of fewer than 16579 taps.
        clamp: activation range (low, high) in output codes, see `activation_range`.
        in_zero_point: subtracted from every code in an image, before the division; TFLite has none, TOSA does.
        out_zero_point: added after the division.

    Returns:
        Codes of x's type, (N, OH, OW, C) or (N, C, OH, OW).
    """
    if rounding not in (*GOES_UP, "tosa"):
        raise ValueError(f"rounding={rounding!r}; allowed: {', '.join(GOES_UP)}, tosa (rule L3)")
    values, axes = _prepare(x, window, stride, padding, layout)
    sums = np.zeros((len(values), axes[0].out, axes[1].out, values.shape[3]), dtype=np.int64)
    for image, out in _taps(values, axes):
        sums[out] += image
    counts = np.outer(*(_counts(axis) for axis in axes))[:, :, None]
    sums -= counts * in_zero_point
    if rounding == "tosa":
        means = _tosa_mean(sums, counts)
    else:
        floor = sums // counts
        means = floor + GOES_UP[rounding](sums, floor, 2 * (sums - floor * counts), counts)
    return _codes(means + out_zero_point, values.dtype, clamp, layout)


def max_pool2d(
    x: ArrayLike,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    layout: str = "NHWC",
    clamp: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """The largest code in each window, of the image only. Arguments and result as `average_pool2d`."""
    values, axes = _prepare(x, window, stride, padding, layout)
    largest = np.full((len(values), axes[0].out, axes[1].out, values.shape[3]), np.iinfo(values.dtype).min, dtype=values.dtype)
    for image, out in _taps(values, axes):
        largest[out] = np.maximum(largest[out], image)
    return _codes(largest, values.dtype, clamp, layout)


def _prepare(
    x: ArrayLike, window: int | Sequence[int], stride: int | Sequence[int] | None, padding: Padding, layout: str
) -> tuple[NDArray[Any], tuple[Window, Window]]:
    """NHWC codes and their windows."""
    values = np.asarray(x)
    if values.dtype.name not in CODES:
        raise ValueError(f"x is {values.dtype}; allowed: {', '.join(CODES)}")
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}; allowed: {', '.join(LAYOUTS)}")
    if values.ndim != 4:
        raise ValueError(f"x has shape {values.shape}; allowed: four axes, {layout}")
    if layout == "NCHW":
        values = values.transpose(0, 2, 3, 1)
    taps = (window, window) if isinstance(window, int) else tuple(window)
    if (
        len(taps) != 2
        or any(not isinstance(t, int) or isinstance(t, bool) or t < 1 for t in taps)
        or taps[0] * taps[1] > MAX_TAPS
    ):
        raise ValueError(f"window={window!r}; allowed: one or two integers of 1 or more, their product at most {MAX_TAPS}")
    axes = windows(values.shape[1:3], taps, taps if stride is None else stride, 1, padding)
    if any(max(axis.before, axis.after) >= axis.taps for axis in axes):
        raise ValueError(
            f"padding={padding!r} with window={window!r}; allowed: less than the window, else a window may be empty (rule L2)"
        )
    return values, axes


def _taps(values: NDArray[Any], axes: tuple[Window, Window]) -> list[tuple[NDArray[Any], Any]]:
    """For every tap: the image's values under it, and the outputs whose windows they belong to."""
    return [
        (values[:, rows, columns], (slice(None), out_rows, out_columns))
        for rows, out_rows in _inside(axes[0])
        for columns, out_columns in _inside(axes[1])
    ]


def _inside(axis: Window) -> list[tuple[slice, slice]]:
    """For every tap along an axis: positions on the image, and the windows they belong to."""
    found = []
    for tap in range(axis.taps):
        offset = tap - axis.before
        first = max(-(offset // axis.stride), 0)
        last = min((axis.size - 1 - offset) // axis.stride, axis.out - 1)
        if first <= last:
            start = first * axis.stride + offset
            found.append((slice(start, last * axis.stride + offset + 1, axis.stride), slice(first, last + 1)))
    return found


def _counts(axis: Window) -> NDArray[np.int64]:
    """How many taps of each window lie on the image."""
    counts = np.zeros(axis.out, dtype=np.int64)
    for _, out in _inside(axis):
        counts[out] += 1
    return counts


def _tosa_mean(sums: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """TOSA's reciprocal: k = bits of n - 1, multiplier ((2^30 + 1) << k) / n, shift 30 + k, one rounding half_up.

    The multiplier is above 2^(30 + k) / n, so that a tie of either sign goes away from zero.
    """
    k = np.frexp((counts - 1).astype(np.float64))[1].astype(np.int64)  # exact: n - 1 is below 2^53
    multiplier, shift = ((np.int64((1 << 30) + 1)) << k) // counts, 30 + k
    means: NDArray[np.int64] = (sums * multiplier + (np.int64(1) << (shift - 1))) >> shift
    return means


def _codes(values: NDArray[Any], dtype: np.dtype[Any], clamp: tuple[int, int] | None, layout: str) -> NDArray[Any]:
    """Clamped to the activation and to the type."""
    info = np.iinfo(dtype)
    low, high = clamp or (info.min, info.max)
    if not info.min <= low <= high <= info.max:
        raise ValueError(f"clamp={clamp}; allowed: {info.min} <= low <= high <= {info.max} (rule Q1)")
    codes = np.clip(values, low, high).astype(dtype)
    return np.ascontiguousarray(codes.transpose(0, 3, 1, 2)) if layout == "NCHW" else codes
