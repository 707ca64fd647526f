"""The windows of a convolution as rows: what its weight, seen as a matrix, multiplies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qsim.codec.input import as_float32
from qsim.datapath.windows import LAYOUTS, Padding, windows


def image_rows(
    x: object,
    taps: tuple[int, int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    layout: str = "NHWC",
) -> NDArray[np.float32]:
    """The windows of images as rows, zeros outside: (N * OH * OW, KH * KW * C), what `adaptive_round` takes for a convolution.

    Args:
        x: images (N, H, W, C), or (N, C, H, W) for layout NCHW; float.
        taps: (KH, KW).
        stride: one number or (vertical, horizontal), as in `conv2d`.
        padding: as in `conv2d`.
        dilation: as in `conv2d`.
        groups: with more than one, (groups, N * OH * OW, KH * KW * C / groups).
        layout: "NHWC": columns run over kh, kw, c, as those of a weight (O, KH, KW, C). "NCHW": over c, kh, kw.
    """
    images = as_float32(x)
    if layout not in LAYOUTS or images.ndim != 4:
        raise ValueError(f"layout={layout!r}, x of shape {images.shape}; allowed: {', '.join(LAYOUTS)}, and four dimensions")
    if layout == "NCHW":
        images = images.transpose(0, 2, 3, 1)
    channels = images.shape[3]
    if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1 or channels % groups:
        raise ValueError(f"groups={groups!r}; allowed: a divisor of {channels} channels")
    v, h = windows((images.shape[1], images.shape[2]), taps, stride, dilation, padding)
    padded = np.pad(images, [(0, 0), (v.before, v.after), (h.before, h.after), (0, 0)])
    seen = np.lib.stride_tricks.sliding_window_view(padded, (v.span, h.span), axis=(1, 2))
    seen = seen[:, :: v.stride, :: h.stride, :, :: v.dilation, :: h.dilation]  # (N, OH, OW, C, KH, KW)
    split = seen.reshape(*seen.shape[:3], groups, channels // groups, v.taps, h.taps)
    order = (3, 0, 1, 2, 5, 6, 4) if layout == "NHWC" else (3, 0, 1, 2, 4, 5, 6)
    rows = np.ascontiguousarray(split.transpose(order)).reshape(
        groups, math.prod(seen.shape[:3]), v.taps * h.taps * channels // groups
    )
    return rows if groups > 1 else rows[0]
