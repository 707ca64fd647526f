"""`dynamic_quantize_linear`: ONNX DynamicQuantizeLinear as onnxruntime computes it (rule L8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qsim.codec.encode import encode

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def dynamic_quantize_linear(x: ArrayLike) -> tuple[NDArray[np.uint8], np.float32, int]:
    """Quantize a float32 array of any shape to uint8 by its own range, 0 included: (codes, scale, zero point).

    It is encode(x, "uint8", granularity="tensor", convention="onnxruntime") as three plain values: scale = (max - min) / 255 in
    float32, 1 where the array is all zero; zero point = round(-min / scale) and code = round(x / scale) + zero point, half_even.

    Raises:
        ValueError: another type than float32, no element, NaN, infinity, or a range that float32 does not hold or whose scale
            underflows to 0: onnxruntime divides by zero there.
    """
    values = np.asarray(x)
    if values.dtype != np.float32 or values.size == 0:
        raise ValueError(f"x is {values.dtype} of shape {values.shape}; allowed: float32, one element or more")
    low, high = min(values.min(), np.float32(0)), max(values.max(), np.float32(0))
    with np.errstate(over="ignore", invalid="ignore"):
        span = high - low
        scale = span / np.float32(255)
    if np.isfinite(values).all() and ((scale == 0 and span > 0) or not np.isfinite(scale)):
        raise ValueError(
            f"range {low} to {high} gives scale {scale}; allowed: a finite scale above 0, as onnxruntime divides by it (rule L8)"
        )
    q = encode(values, "uint8", granularity="tensor", convention="onnxruntime")
    assert q.zero_point is not None
    return q.codes.reshape(values.shape), np.float32(1) if span == 0 else scale, int(np.asarray(q.zero_point).reshape(()))
