"""Rule A2 in ints and Fractions: one dot product of two rows of blocks, and every value on its way."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import Any

from qsim.reference.float_dot import INF, add, exponent, rounded, sum_of_specials, value
from qsim.reference.int_dot import _Registers, chunked, sequential, tree
from qsim.reference.numbers import (
    Real,
    floor_log2,
    multiply,
    power,
    round_to_float,
    round_to_integer,
    sign_of,
)
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.float_accumulator import ALIGNMENTS, FloatAccumulator
from qsim.spec.format import Format
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.number import FLOAT32, Scale

NONE = -1000  # the largest exponent of no term: below every other one


@dataclass(frozen=True)
class Row:
    """K codes of one operand with the scale codes of its blocks (levels finest first) and of its channel and tensor levels."""

    fmt: Format
    codes: list[int]
    scales: tuple[list[int], ...] = ()
    outer: tuple[int, ...] = ()
    zero_point: int = 0


@dataclass(frozen=True)
class Dot:
    """The float32 pattern of the result, the integer accumulator (not for `float`), taps, and events of every register (A4)."""

    result: int
    accumulator: int | None
    taps: dict[str, list[int]]
    events: dict[str, int]


@dataclass(frozen=True)
class Term:
    """A sum or a product of elements with its scales: integer * 2^(exponent - fraction); special: its value is no number."""

    integer: int
    exponent: int
    fraction: int
    special: Real | None = None

    @property
    def value(self) -> Real:
        """Exact value."""
        return self.integer * power(self.exponent - self.fraction) if self.special is None else self.special


def block_dot(a: Row, w: Row, acc: BlockAccumulator, c: int = 0) -> Dot:
    """c + the sum of a * w, as `acc` sums it; c is a float32 pattern, +0 unless the accumulator is a float."""
    registers = _Registers(acc.sums or IntAccumulator())
    registers.narrows, registers.events = acc.narrows, dict.fromkeys(acc.registers, 0)
    taps: dict[str, list[int]] = {}
    terms = _products(a, w, taps) if acc.terms == "products" else _sums(a, w, acc, registers, taps)
    outer = prod((_outer(s, code) for row in (a, w) for s, code in zip(_levels(row), row.outer, strict=True)), start=Fraction(1))
    if acc.into == "float":
        assert acc.unit is not None
        total = _float_sum(terms, c, acc, block_of(a, w), taps)
        scaled = multiply(value(total), outer)
        if scaled == "nan":
            return Dot(acc.unit.nan, None, taps, registers.events)
        return Dot(round_to_float(scaled, FLOAT32, sign=total >> 31 ^ sign_of(outer)), None, taps, registers.events)
    if c:
        raise ValueError(f"c = {c:#x} with into = {acc.into!r}; allowed: +0 (rule A2)")
    _refuse_specials(terms)
    values = [registers.enter("term", _term(t, acc), j) for j, t in enumerate(terms)]
    taps["terms"] = values
    assert acc.sums is not None
    if acc.sums.order == "tree":
        total, taps["partial_sums"] = tree(values, acc.sums, registers)
    elif acc.sums.order == "chunked":
        total, taps["partial_sums"], taps["spill"] = chunked(0, values, acc.sums, registers)
    else:
        taps["partial_sums"] = sequential(0, values, 0, acc.sums, registers)
        total = [0, *taps["partial_sums"]][-1]
    taps["accumulator"] = [total]
    exact = total * power(final_exponent(a.fmt, w.fmt, acc)) * outer
    return Dot(round_to_float(exact, FLOAT32), total, taps, registers.events)


def final_exponent(a: Format, w: Format, acc: BlockAccumulator) -> int:
    """The exponent of the integer accumulator's last bit, channel and tensor scales apart."""
    if acc.into == "fixed":
        return acc.lsb
    widths = sum(s.bits for fmt in (a, w) for s in fmt.block_scales if s.kind == "uint")
    return acc.dropped_bits(widths) - sum_fraction(a) - sum_fraction(w)


def sum_fraction(fmt: Format) -> int:
    """Fraction bits of the integers that stand for a format's elements in a block sum, its scales' apart."""
    e = fmt.element
    last = e.mantissa_bits - e.emin if e.is_float else -e.lsb_exponent
    return last + sum(s.kind == "microexponent" for s in fmt.scales)


def tap_names(a: Format, w: Format, acc: BlockAccumulator) -> tuple[str, ...]:
    """Taps of a block sum: scale products where scales have significands, exponents where the accumulator takes them."""
    significands = any(s.kind in ("uint", "float") for fmt in (a, w) for s in fmt.block_scales)
    return ("block_dots", *["scale_products"] * significands, *["exponents"] * (acc.into != "integer"))


def block_of(a: Row, w: Row) -> int:
    """Elements of a block: that of the operands that have block scales."""
    sizes = {row.fmt.block_size for row in (a, w) if row.fmt.block_scales}
    if len(sizes) != 1:
        raise ValueError(f"blocks of {a.fmt.block_size} and of {w.fmt.block_size}; allowed: the same, or one operand without")
    return sizes.pop()


def _sums(a: Row, w: Row, acc: BlockAccumulator, registers: _Registers, taps: dict[str, list[int]]) -> list[Term]:
    """One term for `length` elements: their exact sum, its register, times the scales' significands."""
    block, K = block_of(a, w), len(a.codes)
    length = acc.sum_length(block)
    unit = power(-sum_fraction(a.fmt) - sum_fraction(w.fmt))
    terms = []
    names = tap_names(a.fmt, w.fmt, acc)
    taps |= {name: [] for name in names}
    for j, k in enumerate(range(0, K, length)):
        span = range(k, min(k + length, K))
        values = [multiply(element(a, i), element(w, i)) for i in span]
        special = _special([*values, *(multiply(block_scale(row, i)[2], Fraction(1)) for row in (a, w) for i in span)])
        dot = 0
        if special is None:
            exact = sum((v for v in values if isinstance(v, Fraction)), Fraction(0)) / unit
            assert exact.denominator == 1
            dot = registers.enter("dot", exact.numerator, j)
        scale, e, bits = _scale_of(a, w, k)
        scale = _rounded_scale(scale, acc, registers, j, a, w)
        for name, found in (("block_dots", dot), ("scale_products", scale), ("exponents", e)):
            if name in names:
                taps[name].append(found)
        terms.append(Term(dot * scale, e, bits + sum_fraction(a.fmt) + sum_fraction(w.fmt), special))
    return terms


def _products(a: Row, w: Row, taps: dict[str, list[int]]) -> list[Term]:
    """One term for each element: product of significands and of the scales' significands."""
    terms = []
    for k in range(len(a.codes)):
        special = _special([multiply(element(a, k), element(w, k)), *(block_scale(row, k)[2] for row in (a, w))])
        scale, e, bits = _scale_of(a, w, k)
        integer = scale
        for row in (a, w):
            significand, exp, fraction = significand_of(row, k)
            integer, e, bits = integer * significand, e + exp, bits + fraction
        terms.append(Term(0 if special is not None else integer, e, bits, special))
    taps["exponents"] = [t.exponent for t in terms]
    return terms


def element(row: Row, k: int) -> Real:
    """Exact value of element k with its zero point and its microexponent; no other scale."""
    e, code = row.fmt.element, row.codes[k]
    exact: Real = e.value(code) if not row.zero_point else (e.integer(code) - row.zero_point) * power(e.lsb_exponent)
    return multiply(exact, power(-_micro(row, k)))


def significand_of(row: Row, k: int) -> tuple[int, int, int]:
    """(significand, exponent, fraction bits) of element k: a float's own, kept at the smallest normal's; 0 of an integer."""
    e, code = row.fmt.element, row.codes[k]
    if not e.is_float:
        return e.integer(code) - row.zero_point, -_micro(row, k), -e.lsb_exponent
    exact = e.value(code)
    if isinstance(exact, str):
        return 0, 0, e.mantissa_bits
    exp = e.emin if exact == 0 else max(floor_log2(abs(exact)), e.emin)
    return (exact / power(exp - e.mantissa_bits)).numerator, exp, e.mantissa_bits


def _micro(row: Row, k: int) -> int:
    """Microexponent of element k."""
    return sum(
        codes[k // _group(s)] for s, codes in zip(row.fmt.block_scales, row.scales, strict=True) if s.kind == "microexponent"
    )


def block_scale(row: Row, k: int) -> tuple[int, int, Real]:
    """(significand, exponent, value) of the block scale at element k, without the microexponent; 1 where there is none."""
    for s, codes in zip(row.fmt.block_scales, row.scales, strict=True):
        if s.kind == "microexponent":
            continue
        v = s.value(codes[k // _group(s)])
        if isinstance(v, str):
            return int(s.kind == "exponent"), 0, "nan"
        if s.kind == "exponent":
            return 1, floor_log2(v), v
        if s.kind == "uint":
            return v.numerator, 0, v
        e = s.float_type.emin if v == 0 else max(floor_log2(abs(v)), s.float_type.emin)
        return (v / power(e - s.float_type.mantissa_bits)).numerator, e, v
    return 1, 0, Fraction(1)


def _scale_of(a: Row, w: Row, k: int) -> tuple[int, int, int]:
    """(product of significands, sum of exponents, fraction bits) of both block scales."""
    (sa, ea, _), (sw, ew, _) = block_scale(a, k), block_scale(w, k)
    bits = sum(s.float_type.mantissa_bits for row in (a, w) for s in row.fmt.block_scales if s.kind == "float")
    return sa * sw, ea + ew, bits


def _rounded_scale(scale: int, acc: BlockAccumulator, registers: _Registers, j: int, a: Row, w: Row) -> int:
    """The scale product, rounded to scale_bits and saturated, where the accumulator does that."""
    if acc.scale_bits is None:
        return scale
    dropped = acc.dropped_bits(sum(s.bits for row in (a, w) for s in row.fmt.block_scales if s.kind == "uint"))
    return registers.enter("scale", round_to_integer(scale * power(-dropped), acc.scale_rounding), j)


def _term(term: Term, acc: BlockAccumulator) -> int:
    """What enters the integer registers: the integer, or for `fixed` the value rounded once to the grid."""
    assert isinstance(term.value, Fraction)
    return term.integer if acc.into == "integer" else round_to_integer(term.value * power(-acc.lsb), acc.rounding)


def _float_sum(terms: list[Term], c: int, acc: BlockAccumulator, block: int, taps: dict[str, list[int]]) -> int:
    """The float32 pattern of c + terms, as a unit of A3 sums them."""
    assert acc.unit is not None
    taps["terms"] = [t.integer for t in terms]
    for name in ("largest_exponents", "aligned", "aligned_c") if acc.unit.fraction is not None else ():
        taps[name] = []
    taps["partial_sums"] = []
    every = acc.promoted_terms(block)
    if not every:
        total = _chain(terms, c, acc, acc.unit, taps)
    else:
        total, taps["promoted"] = c, []
        for t in range(0, len(terms), every):
            total = add(total, _chain(terms[t : t + every], 0, acc, acc.unit, taps), acc.unit.nan)
            taps["promoted"].append(total)
    if acc.unit.c == "late_f32":
        taps.pop("aligned_c", None)
    taps["accumulator"] = [total]
    return total


def _chain(terms: list[Term], c: int, acc: BlockAccumulator, unit: FloatAccumulator, taps: dict[str, list[int]]) -> int:
    """Steps of nfma terms: each result is the next step's c; or a tree of them, then c."""
    groups = [terms[t : t + acc.nfma] for t in range(0, len(terms), acc.nfma)]
    if unit.order == "pairwise":
        sums = [_step(group, None, unit, taps) for group in groups]
        while len(sums) > 1:
            odd = sums[len(sums) // 2 * 2 :]
            sums = [add(x, y, unit.nan) for x, y in zip(sums[::2], sums[1::2], strict=False)]
            taps["partial_sums"] += sums
            sums += odd
        return add(sums[0], c, unit.nan) if sums else c
    for group in groups:
        if unit.c == "late_f32":
            c = add(_step(group, None, unit, taps, late=True), c, unit.nan)
            taps["partial_sums"].append(c)
        else:
            c = _step(group, c, unit, taps)
    return c


def _step(group: list[Term], c: int | None, unit: FloatAccumulator, taps: dict[str, list[int]], *, late: bool = False) -> int:
    """Terms and c cut to multiples of 2^(E - F), E the largest exponent of those that are not zero; summed, rounded once."""
    result, mode = unit.result("float32")
    addend = [] if c is None else [(value(c), exponent(c, result.emin))]
    found = [(t.value, t.exponent) for t in group] + addend
    special = sum_of_specials([v for v, _ in found], unit.nan)
    aligned = [0] * len(found)
    E = max([e for v, e in found if v != 0 and isinstance(v, Fraction)], default=NONE)
    E = E if unit.min_exponent is None else max(E, unit.min_exponent)
    if special is not None:
        total = special
    else:
        values = [v for v, _ in found if isinstance(v, Fraction)]
        exact = sum(values, Fraction(0))
        if unit.fraction is not None:
            grid = power(E - unit.fraction)
            aligned = [round_to_integer(v / grid, ALIGNMENTS[unit.alignment]) for v in values]
            exact = grid * sum(aligned)
        minus = int(unit.signed_zero and all(v < 0 for v in values[: len(group)]) and (c is None or c >> 31 == 1))
        total = rounded(exact, minus, result, mode, unit)
    if unit.fraction is not None:
        taps["largest_exponents"].append(0 if special is not None or E == NONE else E)
        taps["aligned"] += aligned[: len(group)]
        taps["aligned_c"] += aligned[len(group) :]
    if not late:
        taps["partial_sums"].append(total)
    return total


def _special(values: list[Real]) -> Real | None:
    """The sum of values where one of them is no number, else None."""
    found = sum_of_specials(values, -1)
    return None if found is None else {-1: "nan", INF: "inf"}.get(found, "-inf")


def _refuse_specials(terms: list[Term]) -> None:
    for j, term in enumerate(terms):
        if term.special is not None:
            raise ValueError(f"block {j} is {term.special}; allowed: finite values, or into = 'float' (rule A2)")


def _levels(row: Row) -> list[Scale]:
    """The channel and tensor levels."""
    levels = [s for s in row.fmt.scales if not isinstance(s.group, int)]
    assert all(x is not y for x, y in pairwise(levels))
    return levels


def _outer(scale: Scale, code: int) -> Any:
    exact = scale.value(code)
    if isinstance(exact, str):
        raise ValueError(f"a {scale.group} scale is {exact}; allowed: a finite number")
    return exact


def _group(scale: Scale) -> int:
    assert isinstance(scale.group, int)
    return scale.group
