"""Ports of the registers of a block accumulator (rule A2): how many values, and the width that holds the largest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsim.golden.unit import Port, signed_bits
from qsim.reference.block_dot import sum_fraction, tap_names
from qsim.reference.numbers import power
from qsim.spec import Format
from qsim.spec.block_accumulator import BlockAccumulator

if TYPE_CHECKING:
    from qsim.golden.unit import Unit

EXPONENT = 12  # bits of an exponent: the sum of two E8M0 exponents and of two elements'


def block_taps(unit: Unit, acc: BlockAccumulator) -> list[Port]:
    """Taps in the order of the data."""
    from qsim.golden.ports import formats

    a, w = formats(unit)
    block = max(fmt.block_size for fmt in (a, w) if fmt.block_scales)
    length = 1 if acc.terms == "products" else acc.sum_length(block)
    terms = -(-unit.k // length)
    dot = largest_integer(a) * largest_integer(w) * min(length, unit.k)
    if acc.dot is not None:
        dot = max(map(abs, acc.dot.range))
    scale = largest_scale(a) * largest_scale(w)
    if acc.scale_bits is not None:
        scale = (1 << acc.scale_bits) - 1
    widths = {"block_dots": (signed_bits((-dot, dot)), "signed"), "scale_products": (scale.bit_length(), "unsigned")}
    widths["exponents"] = (EXPONENT, "signed")
    names = ("exponents",) if acc.terms == "products" else tap_names(a, w, acc)
    found = [Port(name, "tap", widths[name][0], terms, widths[name][1]) for name in names]
    largest = dot * scale
    if acc.terms == "products":
        largest = largest_significand(a) * largest_significand(w) * scale
    term = acc.term.bits if acc.term is not None else signed_bits((-largest, largest))
    found.append(Port("terms", "tap", term, terms, "signed"))
    if acc.sums is not None:
        return [*found, *_integer(acc, terms)]
    return [*found, *_float(acc, terms, largest, fraction(a, w, acc), acc.promoted_terms(block))]


def _integer(acc: BlockAccumulator, terms: int) -> list[Port]:
    sums = acc.sums
    assert sums is not None
    found = [Port("partial_sums", "tap", sums.bits, max(terms - 1, 1) if sums.order == "tree" else terms, "signed")]
    if sums.order == "chunked":
        assert sums.chunk is not None
        found.append(Port("spill", "tap", sums.last.bits, -(-terms // sums.chunk), "signed"))
    return [*found, Port("accumulator", "tap", sums.last.bits, kind="signed")]


def _float(acc: BlockAccumulator, terms: int, largest: int, fraction_bits: int, promoted: int) -> list[Port]:
    unit = acc.unit
    assert unit is not None
    starts = range(0, terms, promoted or terms)
    steps = [-(-(min(start + (promoted or terms), terms) - start) // acc.nfma) for start in starts]
    found = []
    if unit.fraction is not None:
        shift = unit.fraction - fraction_bits
        aligned = (largest << shift if shift > 0 else largest >> -shift) + 1
        found.append(Port("largest_exponents", "tap", EXPONENT, sum(steps), "signed"))
        found.append(Port("aligned", "tap", signed_bits((-aligned, aligned)), terms, "signed"))
        if unit.c != "late_f32":
            found.append(Port("aligned_c", "tap", unit.fraction + 3, sum(steps), "signed"))
    sums = sum(2 * s - 1 if unit.order == "pairwise" else s for s in steps)
    found.append(Port("partial_sums", "tap", 32, sums, "float32"))
    if promoted:
        found.append(Port("promoted", "tap", 32, len(steps), "float32"))
    return [*found, Port("accumulator", "tap", 32, kind="float32")]


def largest_integer(fmt: Format) -> int:
    """The largest magnitude of an element as it enters a block sum: in units of the last bit, microexponents included."""
    e = fmt.element
    value = max(abs(e.qmin), e.qmax) * power(e.lsb_exponent) if not e.is_float else e.largest
    whole = value * power(sum_fraction(fmt))
    assert whole.denominator == 1
    return whole.numerator


def largest_significand(fmt: Format) -> int:
    """The largest significand of an element."""
    e = fmt.element
    return (2 << e.mantissa_bits) - 1 if e.is_float else max(abs(e.qmin), e.qmax)


def largest_scale(fmt: Format) -> int:
    """The largest significand of a block scale; 1 of a power of two."""
    found = 1
    for s in fmt.block_scales:
        if s.kind == "float":
            found *= (2 << s.float_type.mantissa_bits) - 1
        elif s.kind == "uint":
            found *= (1 << s.bits) - 1
    return found


def fraction(a: Format, w: Format, acc: BlockAccumulator) -> int:
    """Fraction bits of a term."""
    scales = sum(s.float_type.mantissa_bits for fmt in (a, w) for s in fmt.block_scales if s.kind == "float")
    if acc.terms == "sums":
        return scales + sum_fraction(a) + sum_fraction(w)
    elements = (fmt.element.mantissa_bits if fmt.element.is_float else -fmt.element.lsb_exponent for fmt in (a, w))
    return scales + sum(elements)
