"""What bits mean: fields and exact values of codes and of packed words, numbers as text."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from qsim.golden.bits import hexed

if TYPE_CHECKING:
    from qsim.spec import Element, Format


def number_text(value: Fraction | str) -> str:
    """A value in decimal: exact where 17 digits hold it, else 9 digits after `~`."""
    if isinstance(value, str):
        return value
    for digits, mark in ((17, ""), (9, "~")):
        context = Context(prec=digits)
        context.traps[Inexact] = False
        number = context.divide(Decimal(value.numerator), Decimal(value.denominator))
        if mark or not context.flags[Inexact]:
            break
    return f"{mark}{number.normalize(context):g}"


def exact_text(value: Fraction | str) -> str:
    """A value exactly: an integer, a decimal of at most 17 digits, or n*2^e; a fraction where none of them holds it."""
    if isinstance(value, str):
        return value
    if value.denominator == 1 and abs(value) < 10**20:
        return str(value)
    text = number_text(value)
    if not text.startswith("~"):
        return text
    twos = (value.numerator & -value.numerator).bit_length() - value.denominator.bit_length()
    odd = value / Fraction(2) ** twos
    factor = {1: "", -1: "-"}.get(odd.numerator, f"{odd}*")
    return f"{factor}2^{twos}" if odd.denominator == 1 else str(value)


def exact(value: Fraction | str) -> dict[str, str]:
    """A value as an exact fraction and in decimal."""
    return {"exact": str(value), "decimal": number_text(value)}


def read_word(fmt: Format, text: str) -> dict[str, Any]:
    """Fields and exact values of a packed word, given in hexadecimal with all its digits."""
    digits = text.lower().removeprefix("0x").replace("_", "")
    wanted = -(-fmt.word_bits // 4)
    if not digits or any(c not in "0123456789abcdef" for c in digits):
        raise ValueError(f"word {text!r} is not hexadecimal")
    word = int(digits, 16)
    if len(digits) != wanted or word >> fmt.word_bits:
        raise ValueError(
            f"word {text!r} has {len(digits)} hexadecimal digits and {word.bit_length()} significant bits;"
            f" a word of {fmt.name} has {wanted} digits for {fmt.word_bits} bits, leading zeros included"
        )
    codes, low = {}, 0
    for name, width, count in fmt.word_fields:
        codes[name] = [word >> (low + i * width) & ((1 << width) - 1) for i in range(count)]
        low += width * count
    if word >> low:
        raise ValueError(f"word {text!r}: pad bits {fmt.word_bits - 1}:{low} are not zero")
    scales = {
        name: [{"code": hexed(c, s.bits), **exact(s.value(c))} for c in codes[name]]
        for i, s in enumerate(fmt.block_scales)
        if (name := f"scale{i}") in codes
    }
    inside = [s for i, s in enumerate(fmt.block_scales) if f"scale{i}" in codes]
    units = [f"{s.type} scale per {s.group}" for s in fmt.scales if s not in inside]
    return {
        "format": fmt.name,
        "word": f"0x{digits}",
        "word_bits": fmt.word_bits,
        "scales": scales,
        "elements": [_element_row(fmt, codes, i) for i in range(fmt.block_size)],
        "in_units_of": units,
        "zero_point": "not in the word: taken as 0" if fmt.zero_point else None,
    }


def _element_row(fmt: Format, codes: dict[str, list[int]], i: int) -> dict[str, Any]:
    element, code = fmt.element, codes["element"][i]
    if element.kind == "ternary" and code == 2:
        raise ValueError(f"element {i} has code 0x2; allowed for {fmt.name}: 0x0, 0x1 and 0x3 (0, +1 and -1, rule P1)")
    value: Fraction | str = element.value(code)
    for level, scale in enumerate(fmt.block_scales):
        if f"scale{level}" in codes:
            assert isinstance(scale.group, int)
            value = times(value, scale.value(codes[f"scale{level}"][i // scale.group]))
    return {"index": i, "code": hexed(code, element.bits), "fields": fields_text(element, code), **exact(value)}


def fields_text(element: Element, code: int) -> str:
    """sign|exponent|mantissa, sign|magnitude, or the signed integer."""
    if element.kind not in ("float", "sign_magnitude"):
        return str(element.integer(code))
    bits = f"{code:0{element.bits}b}"
    parts = (bits[0], bits[1 : 1 + element.exponent_bits], bits[1 + element.exponent_bits :])
    return "|".join(part for part in parts if part)


def times(a: Fraction | str, b: Fraction | str) -> Fraction | str:
    """Product of two values, NaN and Inf among them."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a * b
    if "nan" in (a, b):
        return "nan"
    sign = (str(a)[0] == "-") != (str(b)[0] == "-")
    return "nan" if 0 in (a, b) else "-inf" if sign else "inf"
