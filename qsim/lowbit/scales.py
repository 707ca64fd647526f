"""Scales of binary and ternary products: alpha of the weights, K of the activations, and integers times them (rule B)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.input import as_float32, refuse_nonfinite
from qsim.codec.low_bit import magnitude_sums
from qsim.datapath.windows import Padding, windows
from qsim.spec import load_format
from qsim.spec.geometry import normalize_axis

Array = NDArray[Any]
SMALLEST = np.float32(2.0**-149)
EXACT = 1 << 53  # up to here float64 holds all integers


def alpha(w: object, *, threshold: object = None, channel_axis: int | None = 0) -> NDArray[np.float32]:
    """Mean of |w|, or of the |w| above a threshold: the scale of binary and of ternary weights.

    alpha = ||W||_1 / n: Rastegari et al. 2016, arXiv:1603.05279, (6); over the kept: Li et al. 2016, arXiv:1605.04711. The sum is
    exact, once to float64, divided once in float64, then once to float32 (rule B), as `encode` of binary and ternary has it.

    Args:
        w: finite floats (rule R4).
        threshold: None: all of w. Else float64, () or (channels,), as `ternary_threshold` makes it: only |w| > threshold counts.
        channel_axis: one alpha an index of it (a 1-D w is one channel, rule S11); None: one for all of w.

    Returns:
        float32 (channels,), or () without channel_axis. 0 for an all-zero channel; 1 where a threshold keeps nothing; never 0
        else (rule S9).

    Raises:
        ValueError: NaN or Inf, a threshold that is negative or of another shape.
    """
    rows = channel_rows(w, channel_axis)
    limits = np.full(len(rows), -1.0) if threshold is None else thresholds_of(threshold, len(rows), channel_axis)
    sums, counts = magnitude_sums(rows, np.arange(len(rows)), limits)
    empty = 0.0 if threshold is None else 1.0
    means = np.array([s / n if n else empty for s, n in zip(sums, counts, strict=True)], np.float64)
    result = means.astype(np.float32)
    result[(result == 0) & (means > 0)] = SMALLEST
    return result.reshape(() if channel_axis is None else -1)


def activation_scale(
    x: object,
    taps: tuple[int, int] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
) -> NDArray[np.float32]:
    """Scale of binarized activations: K of XNOR-Net, the mean of |x| under each window, or beta, the mean of each row.

    K = A * k, A the mean of |x| over the channels and k a box of 1 / (KH * KW): Rastegari et al. 2016, arXiv:1603.05279, section
    3.2. So K is the sum of |x| under the window over KH * KW * C; places in the padding add 0 and count. The sum is exact, once
    to float64, divided once in float64, then once to float32 (rule B).

    Args:
        x: finite floats (rule R4): (N, H, W, C) with taps, (M, K) without.
        taps: (KH, KW) of the convolution.
        stride: as of `conv2d`.
        padding: as of `conv2d`.
        dilation: as of `conv2d`.

    Returns:
        float32 (N, OH, OW), or (M,).

    Raises:
        ValueError: NaN or Inf, another shape, windows that do not fit (rule L2).
    """
    values = finite_values(x)
    if values.ndim != (2 if taps is None else 4):
        allowed = "(M, K), or (N, H, W, C) with taps" if taps is None else "(N, H, W, C), or (M, K) without taps"
        raise ValueError(f"x has shape {values.shape}; allowed: {allowed}")
    axes = () if taps is None else windows((values.shape[1], values.shape[2]), taps, stride, dilation, padding)
    number = values.shape[-1] * math.prod(axis.taps for axis in axes)
    integers, exponent = _integers(values, number)
    sums = integers.sum(axis=-1)
    if axes:
        vertical, horizontal = axes
        shape = [axis.before + axis.size + axis.after for axis in (vertical, horizontal)]
        padded = np.zeros((len(sums), *shape), sums.dtype)
        padded[:, vertical.before :, horizontal.before :][:, : vertical.size, : horizontal.size] = sums
        sums = np.zeros((len(sums), vertical.out, horizontal.out), sums.dtype)
        for i in range(vertical.taps):
            lines = padded[:, i * vertical.dilation :: vertical.stride][:, : vertical.out]
            for j in range(horizontal.taps):
                sums += lines[:, :, j * horizontal.dilation :: horizontal.stride][:, :, : horizontal.out]
    exact: Array = np.ldexp(sums.astype(np.float64), exponent)  # one rounding; 2^exponent moves no bit
    means: NDArray[np.float32] = (exact / max(number, 1)).astype(np.float32)
    return means


def scaled(integers: object, *scales: object) -> NDArray[np.float32]:
    """The exact product of integers and one or two float32 scales, which broadcast, rounded once to float32 (as rule S10).

    Args:
        integers: of any shape, magnitudes up to 2^53.
        *scales: float32 each, finite: alpha of the columns, K of the rows.

    Returns:
        float32; Inf above its range.

    Raises:
        ValueError: integers beyond 2^53, scales that are no finite float32 or more than two.
    """
    y = np.asarray(integers)
    if y.dtype.kind not in "iu" or (y.size and (int(y.max()) > EXACT or int(y.min()) < -EXACT)):
        raise ValueError(f"integers of dtype {y.dtype}; allowed: integers from -2^53 to 2^53")
    factors = [np.asarray(s) for s in scales]
    if not 1 <= len(factors) <= 2 or any(f.dtype != np.float32 or not np.isfinite(f).all() for f in factors):
        raise ValueError(f"scales of {', '.join(str(f.dtype) for f in factors)}; allowed: one or two arrays of finite float32")
    scale = factors[0].astype(np.float64)
    if len(factors) == 2:
        scale = scale * factors[1]  # 24 times 24 bits: exact
    product, rest = _two_product(y.astype(np.float64), scale)
    even = product.view(np.int64) & 1 == 0
    odd = np.where((rest != 0) & even, np.nextafter(product, np.copysign(np.inf, rest)), product)
    with np.errstate(over="ignore", under="ignore"):
        return odd.astype(np.float32)  # rounded to odd at 53 bits before: the second rounding is as if it were the only one


def times(sums: NDArray[np.int32], alpha: object, k: object) -> NDArray[Any]:
    """Sums (..., N) times alpha of the last axis and K of the others, where given."""
    factors = [] if alpha is None else [column_scale(alpha, sums.shape[-1])]
    if k is not None:
        places = np.asarray(k)
        if places.dtype != np.float32 or places.shape not in ((), sums.shape[:-1]):
            raise ValueError(f"k is {places.dtype} of shape {places.shape}; allowed: float32 of shape {sums.shape[:-1]} or ()")
        factors.append(places[..., np.newaxis])
    return scaled(sums, *factors) if factors else sums


def column_scale(alpha: object, columns: int) -> NDArray[np.float32]:
    """alpha, if it is float32 for one or for all of the columns."""
    values = np.asarray(alpha)
    if values.dtype != np.float32 or values.shape not in ((), (columns,)):
        raise ValueError(f"alpha is {values.dtype} of shape {values.shape}; allowed: float32 of shape ({columns},) or ()")
    return values


def channel_rows(w: object, channel_axis: int | None) -> NDArray[np.float32]:
    """Finite w as (channels, elements), C-contiguous."""
    values = finite_values(w)
    if channel_axis is None or values.ndim < 2:
        if channel_axis is not None:
            normalize_axis(channel_axis, max(values.ndim, 1), "channel_axis")
        return np.ascontiguousarray(values).reshape(1, values.size)
    moved = np.moveaxis(values, normalize_axis(channel_axis, values.ndim, "channel_axis"), 0)
    return np.ascontiguousarray(moved).reshape(len(moved), math.prod(moved.shape[1:]))


def finite_values(x: object) -> NDArray[np.float32]:
    """x as float32; ValueError for NaN and Inf (rule S7)."""
    values = as_float32(x)
    if not np.isfinite(values).all():
        refuse_nonfinite(values, load_format("binary"))
    return values


def thresholds_of(threshold: object, channels: int, channel_axis: int | None) -> NDArray[np.float64]:
    """One a channel, float64."""
    t = np.asarray(threshold, np.float64)
    shape = () if channel_axis is None else (channels,)
    if t.shape not in ((), shape) or not (np.isfinite(t) & (t >= 0)).all():
        raise ValueError(f"threshold of shape {t.shape}, from {t.min(initial=0)}; allowed: finite, 0 or more, of shape {shape}")
    return np.broadcast_to(t, (channels,)).copy()


def _integers(x: NDArray[np.float32], number: int) -> tuple[Array, int]:
    """|x| = integers * 2^exponent, exactly: int64 where sums of `number` of them fit, else Python's integers."""
    fields = (x.view(np.uint32) >> 23 & 0xFF).astype(np.int64)
    present = np.maximum(fields, 1)[x != 0]
    if not present.size:
        return np.zeros(x.shape, np.int64), 0
    low, high = int(present.min()), int(present.max())
    exponent = low - 150
    if 24 + high - low + max(number, 1).bit_length() < 64:
        return np.ldexp(np.abs(x).astype(np.float64), -exponent).astype(np.int64), exponent
    exact = [int(v) for v in np.ldexp(np.abs(x).astype(np.float64), -exponent).reshape(-1).tolist()]
    return np.array(exact, object).reshape(x.shape), exponent


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """(p, e): p = a * b rounded to float64, p + e = a * b exactly (Dekker 1971; exponents here lie far inside float64's)."""
    p = a * b
    (a_high, a_low), (b_high, b_low) = _split(a), _split(b)
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: Array) -> tuple[Array, Array]:
    """Two halves of at most 26 bits."""
    c = a * 134217729.0
    high = c - (c - a)
    return high, a - high
