"""How each family chooses its scales (rules S2 to S9, B): one small function a rule, exact values in, scale codes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

from qsim.reference.numbers import (
    Real,
    divide,
    fl32,
    fl64,
    floor_log2,
    magnitude_code,
    one_code,
    power,
    round_to_float,
    round_to_grid,
    round_to_integer,
)
from qsim.spec.number import E8M0_BIAS, FLOAT32, Element, Scale
from qsim.spec.options import Options

TERNARY_THRESHOLD = Fraction(0.7)  # the float64 number that rule B multiplies by


def exponent_field(bits: int) -> int:
    """Biased exponent field of float32 bits (rule S1)."""
    return bits >> 23 & 0xFF


def block_exponent(bits: Iterable[int]) -> int:
    """S2: the largest exponent field, which is the E8M0 code."""
    return max(map(exponent_field, bits), default=0)


def microexponent(block: int, bits: Iterable[int]) -> int:
    """S2: tau of a sub-block."""
    return min(block - block_exponent(bits), 1)


def ocp_scale(amax_bits: int, element: Element, rule: str) -> int:
    """S3: the E8M0 code for the bits of the largest magnitude of a block."""
    if amax_bits == 0:
        return 0
    amax = FLOAT32.value(amax_bits)
    assert isinstance(amax, Fraction)
    floor = exponent_field(amax_bits) - 127 - element.emax
    if rule == "floor":
        exponent = floor
    elif rule == "even":
        k = element.mantissa_bits if element.is_float else element.bits - 2
        exponent = exponent_field(amax_bits + (1 << (22 - k))) - 127 - element.emax
    elif rule == "ceil":
        exponent = floor + (amax_bits & 0x7FFFFF != 0)
    elif rule == "rceil":
        ratio = amax / element.largest
        exponent = floor_log2(ratio)  # 2^exponent <= ratio: least exponent, or one below it
        exponent += power(exponent) < ratio
    else:  # no_overflow
        exponent = floor + (_round_element(amax / power(floor), element) > element.largest)
    return min(max(exponent + E8M0_BIAS, 0), 254)


def _round_element(value: Fraction, element: Element) -> Fraction:
    """half_even to the element's precision, without an upper end."""
    if element.is_float:
        return round_to_grid(value, element)
    step = power(element.lsb_exponent)
    return round_to_integer(value / step) * step


def float_scale(value: Real, scale: Scale, overflow: str, where: str) -> int:
    """S9: a positive value once to a float scale's type; never zero; above the type an error or the largest finite."""
    element = scale.float_type
    code = round_to_float(value, element)
    if code > element.max_code:
        if overflow == "error":
            raise ValueError(
                f"{where}: the scale {float(value):.9g} is above {scale.type}'s largest value {float(element.largest):.9g}"
                " (rule S9); allowed: smaller inputs, or scale_overflow='saturate'"
            )
        return element.max_code
    return max(code, 1)


def absmax_scale(amax: Fraction, element: Element, scale: Scale, overflow: str, where: str) -> int:
    """S4: amax / largest, once to the scale's type; 1.0 for an all-zero group."""
    if amax == 0:
        return one_code(scale.float_type)
    return float_scale(amax / element.largest, scale, overflow, where)


def vsq_channel_scale(amax: Fraction, element: Element, vector: Scale, channel: Scale, overflow: str, where: str) -> int:
    """S5: gamma = amax_channel / (qmax * (2^M - 1)), once to its type."""
    if amax == 0:
        return one_code(channel.float_type)
    return float_scale(amax / (element.largest * ((1 << vector.bits) - 1)), channel, overflow, where)


def vsq_vector_scale(amax: Fraction, gamma: Fraction, element: Element, vector: Scale) -> int:
    """S5: s_q = half_even(amax_vector / (qmax * gamma)) clamped to 1 .. 2^M - 1; 0 for an all-zero vector."""
    if amax == 0:
        return 0
    return min(max(round_to_integer(amax / (element.largest * gamma)), 1), (1 << vector.bits) - 1)


def affine_scale(low: Fraction, high: Fraction, element: Element, scale: Scale, options: Options, where: str) -> int:
    """S6: S = (rmax - rmin) / (qmax - qmin), for a range that contains 0."""
    if low == high:
        return one_code(scale.float_type)
    steps = (element.qmax - element.qmin) * power(element.lsb_exponent)
    if options.arithmetic == "onnxruntime":
        return float_scale(fl32(divide(fl32(high - low), steps)), scale, options.scale_overflow, where)
    return float_scale((high - low) / steps, scale, options.scale_overflow, where)


def affine_zero_point(low: Fraction, step: Fraction, element: Element, arithmetic: str) -> int:
    """S6: Z = clamp(half_even(qmin - rmin / S)); `step` is S times the weight of the element's last bit."""
    if low == 0 or step == 0:  # a held scale may be 0
        return element.qmin
    if arithmetic == "onnxruntime":
        quotient = fl32(divide(low, step))
        offset = element.qmin - quotient if isinstance(quotient, Fraction) else Fraction(element.qmax)
        chained = fl32(offset)
        assert isinstance(chained, Fraction)
        return round_to_integer(min(max(chained, Fraction(element.qmin)), Fraction(element.qmax)))
    return min(max(round_to_integer(element.qmin - low / step), element.qmin), element.qmax)


def nvfp4_tensor_scale(amax: Fraction, element: Element, block: Scale, tensor: Scale, overflow: str, where: str) -> int:
    """S8: g = amax_tensor / (448 * 6), once to FP32."""
    if amax == 0:
        return one_code(tensor.float_type)
    return float_scale(amax / (block.float_type.largest * element.largest), tensor, overflow, where)


def nvfp4_block_scale(amax: Fraction, g: Fraction, element: Element, block: Scale, options: Options) -> int:
    """S8: amax_block / (6 * g), once to E4M3, saturating, at least the smallest (or smallest normal) positive value."""
    kind = block.float_type
    ratio = NVFP4_RATIOS[options.arithmetic](amax, element.largest, g)
    if ratio == 0 and options.arithmetic != "torchao":  # S9: an all-zero block, and a ratio that modelopt's float32 loses
        return one_code(kind)
    least = magnitude_code(power(kind.emin), kind) if options.min_scale == "normal" else 1
    return max(round_to_float(ratio, kind, saturate=True), least)


#: amax_block / (largest * g), exactly or as a stack chains it in float32.
NVFP4_RATIOS: dict[str, Callable[[Fraction, Fraction, Fraction], Real]] = {
    "exact": lambda amax, largest, g: divide(amax, largest * g),
    "modelopt": lambda amax, largest, g: fl32(divide(amax, fl32(largest * g))),
    "torchao": lambda amax, largest, g: fl32(divide(fl32(amax / largest), g)),
}


def mean_of_magnitudes(values: list[Fraction]) -> Fraction:
    """B: fsum(|x|) / n, each operation once to float64."""
    return fl64(fl64(sum(map(abs, values), Fraction(0))) / len(values))


def binary_scale(values: list[Fraction], scale: Scale, overflow: str, where: str) -> int:
    """B: alpha = mean |x|, once to its type; code 0 for an all-zero group (S9)."""
    if not any(values):
        return 0
    return float_scale(mean_of_magnitudes(values), scale, overflow, where)


def ternary_kept(values: list[Fraction]) -> list[bool]:
    """B: |w| > 0.7 * mean, strictly, the product once to float64."""
    if not any(values):
        return [False] * len(values)
    threshold = fl64(TERNARY_THRESHOLD * mean_of_magnitudes(values))
    return [abs(v) > threshold for v in values]


def ternary_scale(values: list[Fraction], scale: Scale, overflow: str, where: str) -> int:
    """B: alpha = mean of the kept |w|, once to its type; 1.0 for an all-zero group (S9)."""
    kept = [v for v, keep in zip(values, ternary_kept(values), strict=True) if keep]
    if not kept:
        return one_code(scale.float_type)
    return float_scale(mean_of_magnitudes(kept), scale, overflow, where)
