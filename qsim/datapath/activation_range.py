"""`activation_range`: a fused activation as a range of output codes, as TFLite computes it (rule L7)."""

from __future__ import annotations

import re

import numpy as np

#: activation -> (lowest, highest) real value; None: the code's own end
ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "none": (None, None),
    "relu": (0.0, None),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


def activation_range(activation: str, out_format: str, scale: float, zero_point: int = 0) -> tuple[int, int]:
    """The codes (low, high) to which a fused activation clamps: the `clamp` of requantize, matmul, conv2d and the pools.

    Each end f becomes zero_point + round(f / scale), the quotient in float32, its ties away from zero (TFLite, kernel_util.cc
    CalculateActivationRangeQuantized). out_format: intN or uintN, 2 to 32 bits.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}; allowed: {', '.join(ACTIVATIONS)} (rule L7)")
    match = re.fullmatch(r"(u?)int([1-9]\d?)", out_format)
    if not match or not 2 <= int(match[2]) <= 32:
        raise ValueError(f"out_format={out_format!r}; allowed: int2 to int32, uint2 to uint32")
    bits = int(match[2])
    low, high = (0, (1 << bits) - 1) if match[1] else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    with np.errstate(over="ignore"):
        step = np.float32(scale)
    if not (np.isfinite(step) and step > 0):
        raise ValueError(f"scale={scale} in float32; allowed: positive and finite (rule Q4)")
    if not low <= zero_point <= high:
        raise ValueError(f"zero_point={zero_point}; allowed: {low} to {high}")

    def code(value: float) -> int:
        with np.errstate(over="ignore"):
            quotient = float(np.float32(value) / step)  # exact: a float32 is a float64
        if not abs(quotient) < 1 << 31:
            raise ValueError(
                f"scale={scale}: {value} is beyond int32 codes; allowed: a scale for which it is not, as in TFLite (rule L7)"
            )
        magnitude = int(abs(quotient))
        magnitude += abs(quotient) - magnitude >= 0.5
        return zero_point + (-magnitude if quotient < 0 else magnitude)

    least, most = ACTIVATIONS[activation]
    return low if least is None else max(low, code(least)), high if most is None else min(high, code(most))
