"""float32 bits -> codes, scales and zero points, one element at a time, from the rules of DESIGN section 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

from qsim.reference.choose import choose_scales, choose_zero_points
from qsim.reference.numbers import Real, divide, fl32, multiply, power, round_to_float, round_to_integer
from qsim.reference.scaling import ternary_kept
from qsim.reference.tensor import Encoded, Tensor, cleaned, finite, is_special
from qsim.spec.format import Format
from qsim.spec.geometry import Geometry
from qsim.spec.number import E8M0_NAN, FLOAT32
from qsim.spec.options import Options

#: Families whose outermost scale is a float that a range determines (rule C1).
RANGED = ("absmax", "affine", "vsq", "nvfp4")


def encode(
    bits: Sequence[int],
    shape: Sequence[int],
    fmt: Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
    options: Options = Options(),  # noqa: B008 (frozen)
    words: Sequence[int] | None = None,
    scales: Sequence[Sequence[int]] | None = None,
    zero_point: Sequence[int] | None = None,
    limits: Sequence[tuple[int, int]] | None = None,
) -> Encoded:
    """Encode float32 bit patterns, in C order of `shape`.

    words: random words of options.random_bits bits, one an element, for `stochastic`.
    scales, zero_point: held fixed instead of chosen.
    limits: (low, high) float32 bits of each outermost scale, instead of the extremes of its elements (rule C1).
    """
    geometry = Geometry.of(fmt, tuple(shape), axis=axis, granularity=granularity, channel_axis=channel_axis)
    if len(bits) != geometry.size:
        raise ValueError(f"{len(bits)} values for shape {geometry.shape}; allowed: {geometry.size}")
    words = _checked_words(words, geometry, options)
    tensor, nan_blocks = cleaned(list(map(int, bits)), geometry, options)
    if limits is not None:
        tensor = replace(tensor, limits=_held_limits(limits, geometry))
    chosen = choose_scales(tensor) if scales is None else _held_scales(scales, geometry)
    for block in nan_blocks:
        chosen[-1][block] = E8M0_NAN
    zeros = _zero_points(tensor, chosen, zero_point)
    return Encoded(element_codes(tensor, chosen, zeros, words), tuple(chosen), zeros)


def _checked_words(words: Sequence[int] | None, geometry: Geometry, options: Options) -> list[int]:
    if options.rounding != "stochastic":
        return [0] * geometry.size
    if words is None or len(words) != geometry.size:
        given = "none" if words is None else len(words)
        raise ValueError(f"rounding='stochastic' needs {geometry.size} random words, given: {given} (rule R2)")
    for i, w in enumerate(words):
        if not 0 <= w < 1 << options.random_bits:
            raise ValueError(f"random word {w} at index {i}; allowed: 0 to {(1 << options.random_bits) - 1} (rule R2)")
    return list(map(int, words))


def _held_limits(limits: Sequence[tuple[int, int]], geometry: Geometry) -> tuple[tuple[int, int], ...]:
    if geometry.fmt.family not in RANGED:
        raise ValueError(f"limits does not apply to {geometry.fmt.name} (family {geometry.fmt.family}; rule C1)")
    count = prod(geometry.scale_shapes[-1])
    if len(limits) != count:
        raise ValueError(f"{len(limits)} limits given; allowed: {count}, one for each outermost scale (rule C1)")
    for low, high in limits:
        if is_special(low) or is_special(high) or finite(FLOAT32.value(low)) > finite(FLOAT32.value(high)):
            raise ValueError(f"limits {low:#x} to {high:#x}; allowed: finite, low <= high (rule C1)")
    return tuple(limits)


def _held_scales(scales: Sequence[Sequence[int]], geometry: Geometry) -> list[list[int]]:
    if len(scales) != len(geometry.fmt.scales):
        raise ValueError(f"{len(scales)} scale levels given; {geometry.fmt.name} has {len(geometry.fmt.scales)}")
    held = [list(map(int, codes)) for codes in scales]
    for level, (scale, codes, shape) in enumerate(zip(geometry.fmt.scales, held, geometry.scale_shapes, strict=True)):
        if len(codes) != prod(shape):
            raise ValueError(f"scale level {level} has {len(codes)} codes; allowed: {prod(shape)}, of shape {shape}")
        for i, code in enumerate(codes):
            value = scale.value(code)
            if scale.kind == "float" and code > scale.float_type.max_code:
                raise ValueError(f"scale level {level}, group {i}: code {code:#x} is {value}; allowed: finite, sign bit 0 (S9)")
    return held


def _zero_points(t: Tensor, scales: list[list[int]], held: Sequence[int] | None) -> list[int] | None:
    """S6: Z of each group, chosen or held."""
    if not t.fmt.zero_point:
        if held is not None:
            raise ValueError(f"zero_point does not apply to {t.fmt.name} (family {t.fmt.family}; rule S6)")
        return None
    element, count = t.fmt.element, len(t.groups[0])
    if held is not None:
        if len(held) != count or not all(element.qmin <= z <= element.qmax for z in held):
            raise ValueError(
                f"zero_point={list(held)}; allowed: {count} integers from {element.qmin} to {element.qmax} (rule S6)"
            )
        return list(map(int, held))
    return choose_zero_points(t, scales)


# --- elements ---


def element_codes(t: Tensor, scales: list[list[int]], zeros: list[int] | None, words: list[int]) -> list[int]:
    """The code of every element against chosen scales."""
    if t.fmt.family == "binary":
        return _binary_codes(t, words)
    if t.fmt.family == "ternary":
        return _ternary_codes(t)
    decoded = [[s.value(code) for code in codes] for s, codes in zip(t.fmt.scales, scales, strict=True)]
    vector_amax = [t.amax(0, g) for g in range(len(t.groups[0]))] if t.options.order == "float_first" else []
    codes = []
    for i, value in enumerate(t.values):
        parts = [level[indices[i]] for level, indices in zip(decoded, t.indices, strict=True)]
        if "nan" in parts:
            codes.append(0)
            continue
        ratio = quotient(value, parts, t)
        if t.options.order == "float_first" and ratio != 0:
            ratio = finite(value) / vector_amax[t.indices[0][i]] * t.fmt.element.largest
        zero = zeros[t.indices[0][i]] if zeros is not None else 0
        codes.append(element_code(ratio, t, t.bits[i] >> 31, words[i], zero))
    return codes


def quotient(value: Real, parts: Sequence[Real], t: Tensor) -> Real:
    """The value over s_L0 * s_L1 * ..., exact or through the float32 operations that an option names. Over a zero scale: 0."""
    exact: Real = Fraction(1)
    for part in parts:
        exact = multiply(exact, part)
    if value == 0 or exact == 0:
        return Fraction(0)
    one = Fraction(1)
    if t.options.arithmetic == "torchao":
        s, g = parts
        return fl32(multiply(value, fl32(divide(fl32(divide(one, g)), s))))
    if t.options.arithmetic == "modelopt":
        return fl32(divide(value, fl32(exact)))
    if t.options.division == "reciprocal":
        return fl32(multiply(value, fl32(divide(one, exact))))
    if t.options.arithmetic == "onnxruntime" or t.options.division == "float32":
        return fl32(divide(value, exact))
    return divide(value, exact)


def element_code(ratio: Real, t: Tensor, sign: int, word: int, zero: int) -> int:
    """One rounding of a ratio into the element; all but plain floats saturate. `sign` is the input's sign bit."""
    element, mode, r = t.fmt.element, t.options.rounding, t.options.random_bits
    if element.is_float:
        saturate = t.fmt.family != "float" or t.options.overflow == "saturate"
        return round_to_float(ratio, element, mode, word, r, sign=sign, saturate=saturate)
    low = element.qmin if t.fmt.family == "affine" or not t.options.narrow_range else -element.qmax
    if isinstance(ratio, str):
        q = element.qmax if ratio == "inf" else low
    else:
        q = round_to_integer(ratio / power(element.lsb_exponent), mode, word, r) + zero
    q = min(max(q, low), element.qmax)
    if element.kind != "sign_magnitude":
        return q % (1 << element.bits)
    sign = int(q < 0) if q or t.options.signed_zero == "positive" else sign
    return abs(q) | sign << element.magnitude_bits


def _binary_codes(t: Tensor, words: list[int]) -> list[int]:
    """B: +1 where x >= 0, or with probability clip((x + 1) / 2, 0, 1); an all-zero group is all +1 (S9)."""
    codes = [int(finite(v) >= 0) for v in t.values]
    if t.options.rounding == "stochastic":
        for g, group in enumerate(t.groups[0]):
            for i in group if t.amax(0, g) else []:
                p = min(max((finite(t.values[i]) + 1) / 2, Fraction(0)), Fraction(1))
                codes[i] = int(words[i] < p * (1 << t.options.random_bits))
    return codes


def _ternary_codes(t: Tensor) -> list[int]:
    """B: the sign of the kept weights, 0 elsewhere."""
    codes = [0] * len(t.values)
    for g, group in enumerate(t.groups[0]):
        for i, keep in zip(group, ternary_kept(t.values_of(0, g)), strict=True):
            codes[i] = (3 if t.bits[i] >> 31 else 1) if keep else 0
    return codes
