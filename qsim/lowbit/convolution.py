"""Convolution of signs by XNOR and popcount: windows of words are the rows of a product (rules B, L2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.threads import pieces
from qsim.datapath.gemm import exact_gemm
from qsim.datapath.windows import Padding, Window, windows
from qsim.lowbit.products import sums_of_signs
from qsim.lowbit.scales import times
from qsim.lowbit.words import Words, pack_bits, words_of

PATCHES = 1 << 20  # words of the matrix of windows that exists at once


def xnor_conv2d(
    x: object,
    w: object,
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    pad_value: int = 0,
    alpha: object = None,
    k: object = None,
) -> NDArray[Any]:
    """Convolve signs with signs by XNOR and popcount, then times alpha and K.

    The row "Binary Weight, Binary Input" of the XNOR-Net table (Rastegari et al. 2016, arXiv:1603.05279, section 3.2). For
    real x and w: `xnor_conv2d(sign(x), sign(w), alpha=alpha(w), k=activation_scale(x, w.shape[1:3]))`, with the same windows.

    Args:
        x: (N, H, W, C) signs, as `sign` makes them.
        w: (O, KH, KW, C) signs.
        stride: one number or (vertical, horizontal).
        padding: "valid", "same", a number of lines on every side, or (top, bottom, left, right), as of `conv2d`.
        dilation: distance of the taps, one number or (vertical, horizontal).
        pad_value: what stands in the padding. 0: nothing, a tap there adds 0, as zero padding of a real image does. One bit has
            no 0: hardware that cannot leave taps out pads with -1 (bit 0) or +1.
        alpha: None, or float32, () or (O,), as `alpha` makes it.
        k: None, or float32, () or (N, OH, OW), as `activation_scale` makes it.

    Returns:
        (N, OH, OW, O): int32, exact, or with alpha or k float32, the exact product rounded once.

    Raises:
        ValueError: values that are no signs, shapes that do not match, windows that do not fit (rule L2), another pad_value.
    """
    image, kernel = np.asarray(x), np.asarray(w)
    if image.ndim != 4 or kernel.ndim != 4 or image.shape[3] != kernel.shape[3] or min(kernel.shape[1:3]) < 1:
        raise ValueError(f"x {image.shape} and w {kernel.shape}; allowed: (N, H, W, C) and (O, KH, KW, C), one tap or more")
    if isinstance(pad_value, bool) or pad_value not in (-1, 0, 1):
        raise ValueError(f"pad_value={pad_value!r}; allowed: -1, 0, 1")
    channels, outputs, taps = image.shape[3], len(kernel), (kernel.shape[1], kernel.shape[2])
    axes = windows((image.shape[1], image.shape[2]), taps, stride, dilation, padding)
    n, weights = math.prod(taps) * channels, pack_bits(kernel)
    fill = words_of(np.full(channels, pad_value == 1))
    padded = np.empty((len(image), *(a.before + a.size + a.after for a in axes), fill.size), np.uint64)
    padded[:] = fill
    (v, h), rows = axes, weights.reshape(outputs, math.prod(weights.shape[1:]))
    padded[:, v.before : v.before + v.size, h.before : h.before + h.size] = pack_bits(image)
    # Words of a tap have bits beyond its C, 0 in both operands: they differ nowhere, so that n counts the C of each tap alone.
    result = np.empty((len(image), v.out, h.out, outputs), np.int32)
    view = _windows_of(padded, axes)
    lines = max(PATCHES // max(h.out * rows.shape[1], 1), 1)
    for some, part in pieces(len(image), v.out, piece=lines):
        block = view[some, part]
        patches = block.reshape(math.prod(block.shape[:3]), rows.shape[1])
        result[some, part] = sums_of_signs(patches, rows, n).reshape(*block.shape[:3], outputs)
    if pad_value == 0 and any(a.before or a.after for a in axes):
        counts = np.bitwise_count(weights).sum(axis=3, dtype=np.int32) * 2 - channels
        result += _outside(axes, counts)
    return times(result, alpha, k)


def _windows_of(image: Words, axes: tuple[Window, Window]) -> Words:
    """A view of the padded image, (N, OH, OW, KH, KW, words)."""
    v, h = axes
    n, y, x, c = image.strides
    shape = (len(image), v.out, h.out, v.taps, h.taps, image.shape[3])
    strides = (n, y * v.stride, x * h.stride, y * v.dilation, x * h.dilation, c)
    return np.lib.stride_tricks.as_strided(image, shape, strides, writeable=False)


def _outside(axes: tuple[Window, Window], sums: NDArray[np.int32]) -> NDArray[np.int32]:
    """(OH, OW, O): the sum of the weights of the taps that lie in the padding, which counted as -1 each; sums: (O, KH, KW)."""
    vertical, horizontal = (
        (place >= 0) & (place < a.size)
        for a in axes
        for place in (np.arange(a.out)[:, np.newaxis] * a.stride + np.arange(a.taps) * a.dilation - a.before,)
    )
    outside = ~(vertical[:, np.newaxis, :, np.newaxis] & horizontal[:, np.newaxis, :])
    places = outside.reshape(-1, math.prod(sums.shape[1:])).astype(np.int8)
    return exact_gemm(places, sums.reshape(len(sums), places.shape[1]).T).reshape(*outside.shape[:2], len(sums)).astype(np.int32)
