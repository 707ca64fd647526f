"""Binary and ternary QTensors as packed words, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsim.codec.lower import scale_values
from qsim.codec.qtensor import QTensor
from qsim.lowbit.words import Planes, Words, bits_of, check_planes, check_words, unpack_ternary, words_of
from qsim.spec import Geometry, Options, load_format

Array = NDArray[Any]


class Binary(NamedTuple):
    """Packed signs of n elements a row, and what they are times: alpha float32, (), (channels,) of axis 0, or (..., groups)."""

    words: Words
    n: int
    alpha: NDArray[np.float32]


class Ternary(NamedTuple):
    """Bit-planes of n elements a row, and what they are times: alpha float32, (), (channels,) of axis 0, or (..., groups)."""

    planes: Planes
    n: int
    alpha: NDArray[np.float32]


def from_qtensor(q: QTensor) -> Binary | Ternary:
    """Words of a binary, planes of a ternary QTensor, packed along its axis, which is moved last.

    `from_qtensor(qsim.encode(w, "binary", granularity="channel"))` binarizes weights with alpha a channel.

    Raises:
        ValueError: a QTensor of another family; a scale a channel whose channels are not the first dimension of the words.
    """
    family = q.format.family
    if family not in ("binary", "ternary"):
        raise ValueError(f"QTensor of {q.format.name}, family {family}; allowed: binary or ternary")
    first = 1 if q.geometry.axis == 0 else 0
    if q.geometry.fmt.granularity == "channel" and len(q.shape) > 1 and q.geometry.channel_axis != first:
        raise ValueError(
            f"channels along axis {q.geometry.channel_axis} of {q.shape}, packed along axis {q.geometry.axis};"
            f" allowed: channels along axis {first}, the first of the words"
        )
    alpha = scale_values(q.scales_moved[0], q.format.scales[0]).astype(np.float32)
    n = q.geometry.length
    if family == "binary":
        return Binary(words_of(q.codes_moved), n, alpha)
    return Ternary(Planes(words_of(q.codes_moved & 1), words_of(q.codes_moved >> 1)), n, alpha)


def to_qtensor(x: Binary | Ternary) -> QTensor:
    """The QTensor of packed bits: format binary or ternary, packed along the last axis, channels along axis 0.

    Args:
        x: words or planes of any shape; alpha of shape (), or (channels,), the first dimension: positive, or 0 for binary.

    Raises:
        ValueError: as `check_words` and `check_planes`; another alpha.
    """
    if isinstance(x, Binary):
        codes = bits_of(check_words(x.words, x.n), x.n)
    else:
        codes = (unpack_ternary(check_planes(x.planes, x.n), x.n) & 3).astype(np.uint8)
    alpha = np.asarray(x.alpha)
    shapes = ((), (codes.shape[0] if codes.ndim > 1 else 1,))
    least = 0.0 if isinstance(x, Binary) else np.finfo(np.float32).smallest_subnormal
    if alpha.dtype != np.float32 or alpha.shape not in shapes or not (np.isfinite(alpha) & (alpha >= least)).all():
        what = f"float32, finite and {'0 or more' if isinstance(x, Binary) else 'above 0'}, of shape {shapes[1]} or ()"
        raise ValueError(f"alpha is {alpha.dtype} of shape {alpha.shape}, from {alpha.min(initial=0)}; allowed: {what}")
    fmt = load_format("binary" if isinstance(x, Binary) else "ternary")
    geometry = Geometry.of(fmt, codes.shape, granularity="channel" if alpha.shape else "tensor")
    scales = (np.abs(alpha).view(np.uint32).reshape(geometry.scale_shapes[0]),)
    return QTensor(geometry.fmt, codes.shape, geometry, np.ascontiguousarray(codes), scales, None, Options())
