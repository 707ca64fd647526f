"""What a case of block formats exercises (rule A2): registers, roundings, alignments, from its taps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

from qsim.golden.block_ports import fraction as term_fraction
from qsim.golden.cases.observe import Seen, Write, fraction, of_writes
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.golden.unit_reference import _row
from qsim.reference.block_dot import Row, block_dot, block_of, block_scale, final_exponent
from qsim.reference.numbers import floor_log2, power, round_to_integer
from qsim.spec import FLOAT32
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.format import Format
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.number import Scale

INF = 0x7F800000


def rows(unit: Unit, values: Mapping[str, int]) -> tuple[Row, Row]:
    """Both operands as the reference has them."""
    found = [_row(unit, values, side, fmt) for side, fmt in zip(("activation", "weight"), formats(unit), strict=True)]
    return found[0], found[1]


def of_block(unit: Unit, values: Mapping[str, int], split: Mapping[str, list[int]]) -> Seen:
    """Events of a block accumulator."""
    acc = unit.block
    assert acc is not None
    a, w = rows(unit, values)
    seen: Seen = set()
    if acc.dot is not None:
        exact = block_dot(a, w, replace(acc, dot=None), values.get("bias", 0)).taps["block_dots"]
        seen |= of_writes([Write("dot", e, k, acc.dot) for e, k in zip(exact, split["block_dots"], strict=True)])
    if acc.scale_bits is not None:
        seen |= set(of_scales(a, w, acc))
    if acc.sums is not None:
        return seen | of_integers(unit, acc, (a, w), split)
    return seen | of_floats(unit, acc, split) | of_result(values["result"])


def of_scales(a: Row, w: Row, acc: BlockAccumulator) -> Iterator[tuple[str, str]]:
    """Roundings and saturation of the product of scales."""
    dropped = acc.dropped_bits(sum(s.bits for row in (a, w) for s in row.fmt.block_scales if s.kind == "uint"))
    top = (1 << (acc.scale_bits or 0)) - 1
    for k in range(0, len(a.codes), acc.sum_length(block_of(a, w))):
        exact = block_scale(a, k)[0] * block_scale(w, k)[0] * power(-dropped)
        yield from fraction("scale", exact, False)
        rounded = round_to_integer(exact, acc.scale_rounding)
        if rounded in (top, top + 1):
            yield ("JustReaches" if rounded == top else "JustExceeds"), "scale high"


def of_integers(unit: Unit, acc: BlockAccumulator, sides: tuple[Row, Row], split: Mapping[str, list[int]]) -> Seen:
    """Terms and sums in integer registers, the last rounding to float32."""
    assert acc.sums is not None
    seen: Seen = set()
    bits = term_fraction(*formats(unit), acc)
    scales = split.get("scale_products") or [1] * len(split["block_dots"])
    writes = []
    for j, (dot, scale, kept) in enumerate(zip(split["block_dots"], scales, split["terms"], strict=True)):
        entering = dot * scale
        if acc.into == "fixed":
            exact = dot * scale * power(split["exponents"][j] - bits - acc.lsb)
            seen |= set(fraction("term", abs(exact), exact < 0)) if exact else set()
            if exact and abs(exact) < 1:
                seen.add(("ExtremeExponents", "a term below the last bit"))
            entering = round_to_integer(exact, acc.rounding)
        if acc.term is not None:
            writes.append(Write("term", entering, kept, acc.term))
    terms, final = split["terms"], split["accumulator"][0]
    sums = list(sum_writes(terms, split["partial_sums"], split.get("spill", []), acc.sums))
    seen |= of_writes([*writes, *sums])
    over = [w for w in [*writes, *sums[:-1]] if w.kept != w.entering]
    low, high = acc.sums.last.range
    if over and sums[-1].kept == sums[-1].entering and low < final < high:
        seen.add(
            ("MidWrap" if over[0].register.overflow == "wrap" else "MidSaturation", "high" if over[0].entering > 0 else "low")
        )
    if any(abs(p) > 64 and abs(final) <= abs(p) >> 4 for p in split["partial_sums"]):
        seen.add(("Cancellation", "sum"))
    if unit.out_format is None:
        outer = prod(
            (_number(s.value(c)) for row in sides for s, c in zip(_outer(row.fmt), row.outer, strict=True)), start=Fraction(1)
        )
        seen |= of_rounding("result", final * power(final_exponent(sides[0].fmt, sides[1].fmt, acc)) * outer, 23)
        seen |= of_result(split["result"][0])
    return seen


def _outer(fmt: Format) -> list[Scale]:
    return [s for s in fmt.scales if not isinstance(s.group, int)]


def _number(value: Fraction | str) -> Fraction:
    assert isinstance(value, Fraction)
    return value


def sum_writes(terms: Sequence[int], kept: Sequence[int], spills: Sequence[int], sums: IntAccumulator) -> Iterator[Write]:
    """Every add of the registers behind the terms."""
    partial, register = iter(kept), sums.register
    if sums.order == "tree":
        nodes = list(terms)
        if len(nodes) < 2:
            yield Write("accumulator", sum(nodes), next(partial), register)
        while len(nodes) > 1:
            odd, added = nodes[len(nodes) // 2 * 2 :], []
            for left, right in zip(nodes[::2], nodes[1::2], strict=False):
                added.append(next(partial))
                yield Write("accumulator", left + right, added[-1], register)
            nodes = added + odd
        return
    each = (sums.chunk or 1) // sums.lanes if sums.order == "chunked" else len(terms)
    value = 0
    for c in range(0, len(terms), max(each, 1)):
        total = 0
        for term in terms[c : c + each]:
            found = next(partial)
            yield Write("accumulator", total + term, found, register)
            total = found
        if sums.order == "chunked":
            yield Write("spill", value + total, spills[c // each], sums.last)
            value = spills[c // each]


def of_rounding(name: str, exact: Fraction, bits: int) -> Seen:
    """One rounding of a value to a significand of 1 + bits."""
    if exact == 0:
        return set()
    exponent = max(floor_log2(abs(exact)), -126)
    scaled = abs(exact) / power(exponent - bits)
    seen = set(fraction(name, scaled, exact < 0))
    if scaled != int(scaled) and int(scaled) == (2 << bits) - 1:
        seen.add(("Carry", name))
    if exponent == -126 and scaled < 1 << bits:
        seen.add(("Subnormal", name))
    return seen


def of_result(pattern: int) -> Seen:
    """NaN and infinity."""
    magnitude = pattern & 0x7FFFFFFF
    return (
        {("NaN", "result")} if magnitude > INF else {("Infinity", "-" if pattern >> 31 else "+")} if magnitude == INF else set()
    )


def of_floats(unit: Unit, acc: BlockAccumulator, split: Mapping[str, list[int]]) -> Seen:
    """Terms aligned, cut, summed and rounded in a float accumulator."""
    assert acc.unit is not None
    bits = term_fraction(*formats(unit), acc)
    values = [t * power(e - bits) for t, e in zip(split["terms"], split["exponents"], strict=True)]
    seen: Seen = set()
    fractions, late = acc.unit.fraction, acc.unit.c == "late_f32"
    bias = split.get("bias", [0])[0]
    every = acc.promoted_terms(max(f.block_size for f in formats(unit) if f.block_scales)) or len(values)
    starts = [t for chunk in range(0, len(values), every) for t in range(chunk, min(chunk + every, len(values)), acc.nfma)]
    for number, t in enumerate(starts):
        group = values[t : min(t + acc.nfma, t // every * every + every)]
        previous = FLOAT32.value(
            bias if t == 0 and every == len(values) else 0 if t % every == 0 else split["partial_sums"][number - 1]
        )
        if isinstance(previous, str):
            continue
        exact = sum(group, Fraction(0)) + (0 if late else previous)
        if fractions is not None:
            grid = power(split["largest_exponents"][number] - fractions)
            aligned = split["aligned"][t : t + len(group)]
            if any(group) and not any(aligned) and isinstance(FLOAT32.value(split["partial_sums"][number]), str):
                continue  # a NaN or infinite operand: the step's taps are 0, nothing was cut
            exact = grid * (sum(aligned) + (0 if late or "aligned_c" not in split else split["aligned_c"][number]))
            seen |= set(_cut(group, aligned, grid))
            largest = max((abs(v) for v in aligned), default=0)
            if largest > 64 and abs(sum(aligned)) <= largest >> 4:
                seen.add(("Cancellation", "zero" if sum(aligned) == 0 else "sum"))
        elif any(group) and abs(exact) * 16 <= max(abs(v) for v in [*group, previous]):
            seen.add(("Cancellation", "zero" if exact == 0 else "sum"))
        seen |= of_rounding("sum", exact, acc.unit.out_fraction)
    return seen


def _cut(values: Sequence[Fraction], aligned: Sequence[int], grid: Fraction) -> Iterator[tuple[str, str]]:
    for value, kept in zip(values, aligned, strict=True):
        if value != kept * grid:
            yield "Aligned", f"{'-' if value < 0 else '+'} {'to nothing' if abs(value) < grid else 'cut'}"
        if value and abs(value) < grid:
            yield "ExtremeExponents", "a term below the last bit"
