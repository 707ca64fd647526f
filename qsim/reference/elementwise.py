"""add, sub and mul (rules L5 to L7) of codes of different scales, one element at a time, in Python ints and Fractions."""

from __future__ import annotations

from fractions import Fraction

from qsim.reference.numbers import fl32, fl64, floor_log2, power, round_to_integer
from qsim.reference.requantize import quantize_multiplier, requantize
from qsim.spec.requantizer import Requantizer

Scales = tuple[Fraction, Fraction, Fraction]  # of a, b and the output, float32 values
Format = tuple[int, bool]  # bits, signed


def in_float32(value: Fraction) -> Fraction:
    """Once to float32, for a value that it holds as a finite number."""
    result = fl32(value)
    assert isinstance(result, Fraction)
    return result


def rescaled(value: int, real: Fraction, q: Requantizer, zero: int, out: Format | None, clamp: tuple[int, int] | None) -> int:
    """One value through a requantizer, prepared from a real multiplier."""
    if q.prep.kind != "fixed":
        return requantize([value], q, scale=[real], zero_point=[zero], out=out, clamp=clamp)[0][0]
    multiplier, exponent = quantize_multiplier(real, q.prep)
    assert q.prep.shift is not None
    shift = q.prep.shift(exponent)
    return requantize([value], q, multiplier=[multiplier], shift=[shift], zero_point=[zero], out=out, clamp=clamp)[0][0]


def add(
    a: int,
    b: int,
    scales: Scales,
    out_zero: int,
    q: Requantizer,
    out: Format,
    clamp: tuple[int, int] | None,
    *,
    negate: bool = False,
) -> int:
    """TFLite: both operands (minus zero points) left by 20 bits, 15 of 16-bit codes; three rescales. `negate` subtracts b."""
    headroom = power(15 if out[0] == 16 else 20)
    twice = 2 * max(scales[0], scales[1])
    u = rescaled(int(a * headroom), fl64(scales[0] / twice), q, 0, None, None)
    v = rescaled(int(b * headroom), fl64(scales[1] / twice), q, 0, None, None)
    total = u - v if negate else u + v
    return rescaled(total, fl64(twice / (headroom * scales[2])), q, out_zero, out, clamp)


def xnnpack_add(
    a: int, b: int, scales: Scales, out_zero: int, out: Format, clamp: tuple[int, int] | None, *, negate: bool = False
) -> int:
    """XNNPACK: multipliers round(2^shift * s / so), the larger one of 21 bits; one sum; half_up. `negate` subtracts b."""
    ratio_a, ratio_b = in_float32(scales[0] / scales[2]), in_float32(scales[1] / scales[2])
    shift = 20 - floor_log2(max(ratio_a, ratio_b))
    by_a, by_b = (round_to_integer(ratio * power(shift), "half_even") for ratio in (ratio_a, ratio_b))
    exact = a * by_a - b * by_b if negate else a * by_a + b * by_b
    return clamped(round_to_integer(exact / power(shift), "half_up") + out_zero, out, clamp)


def mul(a: int, b: int, scales: Scales, out_zero: int, q: Requantizer, out: Format, clamp: tuple[int, int] | None) -> int:
    """The product (of operands minus zero points) rescaled by sa * sb / so, in float32."""
    return rescaled(a * b, in_float32(in_float32(scales[0] * scales[1]) / scales[2]), q, out_zero, out, clamp)


def activation_end(value: int, scale: Fraction, zero: int) -> int:
    """The code of an activation's end: zero + value / scale, in float32, half_away."""
    return zero + round_to_integer(in_float32(value / scale), "half_away")


def clamped(value: int, out: Format, clamp: tuple[int, int] | None) -> int:
    """Inside the clamp, else inside the format."""
    bits, signed = out
    low, high = clamp or ((-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1))
    return min(max(value, low), high)
