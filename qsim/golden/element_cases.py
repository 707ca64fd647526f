"""Inputs of element-level vectors: codes to decode, and float32 patterns to encode, every scale held at 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from qsim.golden.bits import INF, LARGEST, NAN, SIGN, float32, hexed, next_down, next_up, value_of
from qsim.spec import Element, Format
from qsim.spec.options import allowed_values

NOTES = {
    "Decode": "A code alone; catches a wrong bias, a wrong subnormal, a lost sign.",
    "Midpoint": "Half way between two neighbouring codes; catches a wrong tie rule.",
    "NearMidpoint": "One float32 beside a midpoint; catches double rounding and a lost sticky bit.",
    "TopOfRange": "At and around the value where rounding leaves the range; catches wrap, and saturation against overflow codes.",
    "SpecialValue": "Zeros, smallest subnormal, largest float, Inf, NaN.",
    "RoundingMode": "Ties and their neighbours in a mode other than half_even; catches names of modes mixed up.",
    "Stochastic": "Random words just below and at the carry; catches a word added at the wrong place.",
    "Saturate": "overflow = saturate: the largest finite value instead of Inf or NaN.",
}
#: Formats whose options stand in the files of other integers and floats.
DEFAULTS_ONLY = ("int2", "int3", "int5", "int6", "int16", "uint8", "fp6_e2m3", "tf32")


@dataclass(frozen=True)
class ElementCase:
    """One float32 input. random: the word of stochastic rounding."""

    flags: tuple[str, ...]
    comment: str
    bits: int
    options: dict[str, Any] = field(default_factory=dict)
    random: int | None = None


def held(fmt: Format) -> tuple[list[int], int | None]:
    """The code of 1.0 in each scale type, and a zero point in the middle of the range."""
    ones = {"exponent": 127, "microexponent": 0, "uint": 1}
    scales = [ones[s.kind] if s.kind in ones else _one(s.float_type) for s in fmt.scales]
    return scales, (fmt.element.qmin + fmt.element.qmax + 1) // 2 if fmt.zero_point else None


def _one(element: Element) -> int:
    return element.bias << element.mantissa_bits


def codes_to_decode(fmt: Format) -> list[int]:
    """Every code of 8 bits or fewer; of a wider type those around its ends and around powers of two."""
    element = fmt.element
    if element.kind == "ternary":
        return [0, 1, 3]  # 2 is no code of ternary
    if element.bits <= 8:
        return list(range(1 << element.bits))
    half, m = 1 << (element.bits - 1), element.mantissa_bits
    if element.is_float:
        top = element.max_code >> m
        fields = {0, 1, 2, element.bias - 1, element.bias, element.bias + 1, top - 1, top}
        low = {(f << m) + fraction for f in fields for fraction in (0, 1, 1 << (m - 1), (1 << m) - 1)}
        low |= {element.max_code + 1, half - 1} | ({element.nan_code} if element.nan_code else set())
    else:
        low = {n for k in range(element.bits) for n in ((1 << k) - 1, 1 << k) if n < half} | {5, half - 2}
    return sorted(low) + sorted(half + code for code in low)


def encode_cases(fmt: Format) -> Iterator[ElementCase]:
    """Every input of the file, in order. Ternary has none: its threshold belongs to a group."""
    if fmt.element.kind == "ternary":
        return
    middles = midpoints(fmt)
    near = sorted(middles, key=lambda m: (abs(m[0]), m[0]))
    for value, between in near[:16] + near[-4:] if shares_element(fmt) else middles:
        yield from _around(value, between, {})
    yield from _top_of_range(fmt, {})
    yield from _specials(fmt, {})
    if fmt.block_scales or fmt.name in DEFAULTS_ONLY:
        return  # the rounding modes of blocks stand at block level
    for mode in allowed_values("rounding", fmt):
        if mode not in ("half_even", "stochastic"):
            options = {"rounding": mode}
            for value, between in near[:4]:
                yield from _around(value, between, options)
            yield from _top_of_range(fmt, options)
    yield from _stochastic(near[:4])
    if allowed_values("overflow", fmt):
        yield from _top_of_range(fmt, {"overflow": "saturate"})
        yield from _specials(fmt, {"overflow": "saturate"})


def shares_element(fmt: Format) -> bool:
    """Whether all midpoints of the element stand in another file: ExMy in fpN_exmy, S1M7 in mx9."""
    return bool(fmt.block_scales) and (fmt.element.is_float or (fmt.family == "microexponent" and len(fmt.scales) == 1))


def midpoints(fmt: Format) -> list[tuple[Fraction, str]]:
    """Half way between each code of `codes_to_decode` and its neighbour above in magnitude (floats) or in value."""
    element = fmt.element
    if element.kind == "binary":
        return [(Fraction(0), "-1 | +1")]
    if element.is_float:
        found = []
        for sign in (0, 1 << (element.bits - 1)):
            for code in (sign | c for c in codes_to_decode(fmt) if c < element.max_code):
                middle = (_value(element, code) + _value(element, code + 1)) / 2
                found.append((middle, f"{hexed(code, element.bits)} | {hexed(code + 1, element.bits)}"))
        return found
    step, zero = Fraction(2) ** element.lsb_exponent, held(fmt)[1] or 0
    integers = sorted({element.integer(c) for c in codes_to_decode(fmt)})
    return [((2 * n + 1 - 2 * zero) * step / 2, f"{n - zero} | {n + 1 - zero}") for n in integers if n < element.qmax]


def _value(element: Element, code: int) -> Fraction:
    value = element.value(code)
    assert isinstance(value, Fraction)
    return value


def _around(value: Fraction, between: str, options: dict[str, Any]) -> Iterator[ElementCase]:
    """A midpoint and the float32 on either side."""
    bits = float32(value)
    assert value_of(bits) == value
    extra = ("RoundingMode",) if options else ()
    yield ElementCase(("Midpoint", *extra), between, bits, options)
    yield ElementCase(("NearMidpoint", *extra), f"{between}, lower", next_down(bits), options)
    yield ElementCase(("NearMidpoint", *extra), f"{between}, higher", next_up(bits), options)


def _top_of_range(fmt: Format, options: dict[str, Any]) -> Iterator[ElementCase]:
    """Both ends of the range, half a step and a step beyond."""
    element, zero = fmt.element, held(fmt)[1] or 0
    step = Fraction(2) ** (element.emax - element.mantissa_bits if element.is_float else element.lsb_exponent)
    largest = element.largest if element.is_float else (element.qmax - zero) * step
    ends = [largest, -largest]
    if not element.is_float and element.qmin - zero != -largest / step:
        ends.append((element.qmin - zero) * step)  # the end that narrow_range cuts off
    for end in ends:
        sign = -1 if end < 0 else 1
        half = float32(end + sign * step / 2)
        outward, inward = (next_down, next_up) if sign < 0 else (next_up, next_down)
        inputs = {"one float32 beyond the range": outward(float32(end)), "half a step beyond the range": half}
        if "rounding" not in options:
            inputs |= {"just short of half a step beyond": inward(half), "just over half a step beyond": outward(half)}
            inputs |= {"the end of the range": float32(end), "a step beyond the range": float32(end + sign * step)}
        for comment, bits in inputs.items():
            if bits & ~SIGN <= LARGEST:  # a step beyond bf16 and tf32 is no float32
                yield ElementCase(("TopOfRange", *_mode_flags(options)), comment, bits, options)


def _mode_flags(options: dict[str, Any]) -> tuple[str, ...]:
    return ("RoundingMode",) * ("rounding" in options) + ("Saturate",) * ("overflow" in options)


def _specials(fmt: Format, options: dict[str, Any]) -> Iterator[ElementCase]:
    """Both signs of each special; with E8M0 scales Inf and NaN belong to the block level."""
    specials = [
        ("zero", 0),
        ("smallest subnormal", 1),
        ("largest subnormal", 0x7FFFFF),
        ("smallest normal", 0x800000),
        ("largest float", LARGEST),
    ]
    if not any(s.kind == "exponent" for s in fmt.scales):
        specials += [("Inf", INF), ("NaN", NAN), ("NaN with another payload", INF + 1)]
    for name, bits in specials:
        for sign, text in ((0, "+"), (SIGN, "-")):
            yield ElementCase(("SpecialValue", *_mode_flags(options)), f"{text}{name}", bits | sign, options)


def _stochastic(near: list[tuple[Fraction, str]]) -> Iterator[ElementCase]:
    """A half needs a word of 0x80 or more to go up; one float32 below it needs 0x81."""
    options = {"rounding": "stochastic"}
    for value, between in near:
        bits = float32(value)
        inward = next_up(bits) if value < 0 else next_down(bits)
        for x, place in ((bits, "the midpoint"), (inward, "one float32 short of it")):
            for word in (0x7F, 0x80, 0x81):
                yield ElementCase(("Stochastic",), f"{between}, {place}", x, options, word)
