"""What the code of an element means, read wrong: signs, lowest codes, subnormals, bias, NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.mutant import changed
from qsim.golden.mutants.words import groups
from qsim.reference.block_dot import Row
from qsim.spec import Format
from qsim.spec.number import Element

Change = Callable[[Row], Row]
Misreading = tuple[str, str, Change]


def with_codes(change: Callable[[list[int]], list[int]]) -> Change:
    """Other codes in the lanes."""
    return lambda row: replace(row, codes=change(row.codes))


def _reading(fmt: Format, value: Callable[[Element, int], Any]) -> Change:
    """Elements whose codes mean something else."""
    known = {f.name: getattr(fmt.element, f.name) for f in fields(fmt.element)}

    class Misread(Element):
        """The element as the designer understood it."""

        def integer(self, code: int) -> int:
            return int(value(fmt.element, code))

        def value(self, code: int) -> Any:
            found = value(fmt.element, code)
            return found * Fraction(2) ** self.lsb_exponent if isinstance(found, int) else found

    element = Misread(**known)
    return lambda row: replace(row, fmt=changed(row.fmt, element=element))


def element_mistakes(fmt: Format) -> Iterator[tuple[str, str, Change]]:
    """Every mistake in the reading of an element."""
    e = fmt.element
    sign, low = 1 << (e.bits - 1), (1 << (e.bits - 1)) - 1
    if e.kind != "binary":
        yield "lowest bit lost", "the last bit of an element is not connected", with_codes(lambda c: [v & ~1 for v in c])
        yield (
            "bits of an element reversed",
            "they are numbered from the other end",
            with_codes(lambda c: [groups(v, e.bits, 1, reverse=True) for v in c]),
        )
    if e.kind == "binary":
        yield "inverted", "the code 0 is read as +1", with_codes(lambda c: [1 - v for v in c])
        yield "code 0 is zero", "the sign is read as a number", _reading(fmt, lambda e, v: v)
    elif e.kind in ("int", "ternary"):
        yield "unsigned", "the sign bit has a positive weight", _reading(fmt, lambda e, v: v)
        yield "sign ignored", "the sign bit is not connected", with_codes(lambda c: [v & low for v in c])
        yield (
            "one's complement",
            "the sign inverts without adding 1",
            _reading(fmt, lambda e, v: e.integer(v) + (v >> (e.bits - 1))),
        )
        yield "sign and magnitude", "two's complement is read as sign and magnitude", _reading(fmt, _sign_magnitude)
        yield (
            "lowest code is its neighbour",
            f"{e.qmin} is read as {e.qmin + 1}",
            _reading(fmt, lambda e, v: max(e.integer(v), e.qmin + 1)),
        )
    elif e.kind == "uint":
        yield "signed", "the top bit is read as a sign", _reading(fmt, lambda e, v: v - (v >> (e.bits - 1) << e.bits))
        yield "top bit lost", "the top bit is not connected", with_codes(lambda c: [v & low for v in c])
    else:
        yield "sign ignored", "the sign bit is not connected", with_codes(lambda c: [v & ~sign for v in c])
        yield "sign inverted", "the sign bit is read the other way", with_codes(lambda c: [v ^ sign for v in c])
    if e.kind == "sign_magnitude":
        yield (
            "two's complement",
            "sign and magnitude is read as two's complement",
            _reading(fmt, lambda e, v: v - (v >> (e.bits - 1) << e.bits)),
        )
    if e.is_float:
        yield from _floats(fmt)


def _sign_magnitude(e: Element, code: int) -> int:
    magnitude = code & ((1 << (e.bits - 1)) - 1)
    return -magnitude if code >> (e.bits - 1) else magnitude


def _floats(fmt: Format) -> Iterator[tuple[str, str, Change]]:
    e, low = fmt.element, (1 << (fmt.element.bits - 1)) - 1

    def field(code: int) -> int:
        return (code & low) >> e.mantissa_bits

    def sign(code: int) -> int:
        return -1 if code >> (e.bits - 1) else 1

    def number(code: int, exponent: int, fraction: int) -> Fraction:
        return sign(code) * fraction * Fraction(2) ** (exponent - e.bias - e.mantissa_bits)

    hidden, mask = 1 << e.mantissa_bits, (1 << e.mantissa_bits) - 1
    if e.mantissa_bits:
        yield (
            "subnormals are zero",
            "an exponent field of 0 is read as zero",
            _reading(fmt, lambda e, v: e.value(v) if field(v) else Fraction(0)),
        )
        yield (
            "hidden bit of a subnormal",
            "the hidden bit does not depend on the exponent field",
            _reading(fmt, lambda e, v: e.value(v) if field(v) or not v & low else number(v, 1, (v & mask) | hidden)),
        )
        yield (
            "subnormal exponent one low",
            "a subnormal's exponent is its field",
            _reading(fmt, lambda e, v: e.value(v) if field(v) else number(v, 0, v & mask)),
        )
    yield (
        "exponent bias one off",
        "the bias is one too small",
        _reading(fmt, lambda e, v: found * 2 if isinstance(found := e.value(v), Fraction) else found),
    )
    if e.specials != "none":
        top = e.max_code + 1
        yield (
            "NaN is a number",
            "codes above the largest value are read as numbers",
            _reading(fmt, lambda e, v: number(v, field(v), (v & mask) | hidden) if v & low >= top else e.value(v)),
        )
        yield (
            "NaN is zero",
            "codes above the largest value are read as zero",
            _reading(fmt, lambda e, v: Fraction(0) if isinstance(e.value(v), str) else e.value(v)),
        )
    else:
        yield (
            "top exponent is NaN",
            "the all-ones exponent is read as NaN, as IEEE 754 has it",
            _reading(fmt, lambda e, v: "nan" if field(v) == (1 << e.exponent_bits) - 1 else e.value(v)),
        )
