"""Mistakes in a sum of scaled blocks (rule A2) and in a float unit (rule A3): exponents, alignment, order, rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from qsim.golden.mutants.float_unit import SUMS, float_mutants, step_order_mutants
from qsim.golden.mutants.integer_products import losing_carry
from qsim.golden.mutants.mutant import Hook, Mutant, changed, replaced
from qsim.golden.mutants.places import ENTER, INNER, block_with, float_with
from qsim.golden.mutants.reach import inside, reach_of
from qsim.golden.mutants.registers import register_mutants
from qsim.golden.mutants.rounding import rounding_mutants
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec.block_accumulator import BlockAccumulator


def block_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake that fits the accumulator."""
    if unit.kind not in ("dot", "matmul", "chain"):
        return
    if unit.block is not None:
        yield from _of_block(unit, unit.block)
    elif unit.float is not None:
        yield from float_mutants(unit.float, float_with, unit)


def _of_block(unit: Unit, acc: BlockAccumulator) -> Iterator[Mutant]:
    yield from register_mutants(acc.narrows, reach_of(unit), ENTER)
    yield from _scales(unit, acc)
    if acc.into == "float":
        assert acc.unit is not None
        own = acc.unit
        yield from float_mutants(own, lambda **found: block_with(unit=changed(own, **found)), unit)
        yield from step_order_mutants(unit, acc)
        return
    assert acc.sums is not None
    sums = acc.sums
    if acc.into == "fixed":
        yield from rounding_mutants("term", acc.rounding, lambda mode: block_with(rounding=mode), (1, 1), (-1, 1))
        for by in (1, -1):
            yield Mutant(
                f"term: lsb {'one high' if by > 0 else 'one low'}",
                "the grid of the accumulator is one bit off",
                block_with(lsb=acc.lsb + by),
                ("partial_sums",),
            )
    reach = reach_of(unit)
    names = [name for name in ("accumulator", "spill") if name in acc.narrows]
    exact = all(name in reach and inside(reach[name], acc.narrows[name].range) for name in names)
    wraps = len(names) == 1 and sums.overflow == "wrap"
    proof = (
        "no register of the sum overflows" if exact else f"additions modulo 2^{sums.bits} may stand in any order" if wraps else ""
    )
    if unit.k > max(f.block_size for f in formats(unit)):
        yield Mutant(
            "sum: last block first", "the sequencer counts down", replaced(INNER + ":sequential", _backwards), SUMS, proof
        )
        if sums.order == "sequential":
            yield Mutant(
                "sum: tree", "a tree instead of a running sum", block_with(sums=changed(sums, order="tree")), SUMS, proof
            )
        for bit in (4, 8, 16):
            if bit < sums.bits:
                yield Mutant(f"accumulator: carry into bit {bit} lost", "two adders are not chained", losing_carry(bit))


def _backwards(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value, terms, k, acc, registers: original(value, list(terms)[::-1], k, acc, registers)


def _scales(unit: Unit, acc: BlockAccumulator) -> Iterator[Mutant]:
    """The products of scales and the sums of exponents."""
    kinds = {s.kind for fmt in formats(unit) for s in fmt.block_scales}

    def scaled(change: Callable[[int, int, int], tuple[int, int, int]]) -> tuple[Hook, ...]:
        return replaced(INNER + ":_scale_of", lambda original: lambda a, w, k: change(*original(a, w, k)))

    if kinds & {"exponent", "float"}:
        for by in (1, -1):
            yield Mutant(
                f"exponents: one {'high' if by > 0 else 'low'}",
                "the bias is subtracted once, or one off",
                scaled(lambda s, e, b, by=by: (s, e + by, b)),  # type: ignore[misc]
            )
        yield Mutant("exponents: of the activation only", "the weight's exponent is not added", scaled_side(0))
        yield Mutant("exponents: of the weight only", "the activation's exponent is not added", scaled_side(1))
    if "exponent" in kinds:
        yield Mutant(
            "exponents: 8 bits", "their sum is kept in 8 bits and wraps", scaled(lambda s, e, b: (s, (e + 128) % 256 - 128, b))
        )
    if kinds & {"uint", "float"}:
        yield Mutant("scale product: lowest bit lost", "a truncated multiplier", scaled(lambda s, e, b: (s & ~1, e, b)))
        widest = max(
            (1 << s.bits) - 1 if s.kind == "uint" else 15
            for fmt in formats(unit)
            for s in fmt.block_scales
            if s.kind != "microexponent"
        )
        bits = (widest * widest).bit_length()
        yield Mutant(
            "scale product: top bit lost", "its wires are one too few", scaled(lambda s, e, b: (s & (1 << (bits - 1)) - 1, e, b))
        )
    if acc.scale_bits is not None:
        yield from rounding_mutants(
            "scale product", acc.scale_rounding, lambda mode: block_with(scale_rounding=mode), (1, 2), (0, 1)
        )
    if "microexponent" in kinds:

        def micro(change: Callable[[int], int]) -> tuple[Hook, ...]:
            return replaced(INNER + ":_micro", lambda original: lambda row, k: change(original(row, k)))

        yield Mutant("microexponents: shift by two", "the shift is made twice", micro(lambda m: 2 * m), ("block_dots", "terms"))
        yield Mutant("microexponents: shift left", "the shift goes the other way", micro(lambda m: -m))
        yield Mutant(
            "microexponents: of one operand",
            "a product is shifted once, where both operands ask for a shift",
            replaced(INNER + ":_sums", _once),
        )
    if acc.length is None and acc.terms == "sums" and unit.k > max(f.block_size for f in formats(unit)):
        yield Mutant("block dots: of the first block", "the block's sum is not cleared", replaced(INNER + ":_sums", _not_cleared))


def scaled_side(side: int) -> tuple[Hook, ...]:
    """The exponent of one operand's scale only."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def scale_of(a: Any, w: Any, k: int) -> tuple[int, int, int]:
            from qsim.reference.block_dot import block_scale

            significand, _, bits = original(a, w, k)
            return significand, block_scale((a, w)[side], k)[1], bits

        return scale_of

    return replaced(INNER + ":_scale_of", make)


def _once(original: Callable[..., Any]) -> Callable[..., Any]:
    """Where both elements of a product have a microexponent, one of them counts."""

    def sums(a: Any, w: Any, acc: Any, registers: Any, taps: Any) -> Any:
        from qsim.reference.block_dot import _micro

        marked = [_micro(w, k) for k in range(len(w.codes))]
        finest = [next((s.group for s in row.fmt.block_scales if s.kind == "microexponent"), 0) for row in (a, w)]
        if not all(finest) or finest[0] != finest[1]:
            return original(a, w, acc, registers, taps)
        kept = tuple(
            [c & (1 - marked[i * int(finest[0])]) for i, c in enumerate(codes)] if s.kind == "microexponent" else codes
            for s, codes in zip(a.fmt.block_scales, a.scales, strict=True)
        )
        return original(replace(a, scales=kept), w, acc, registers, taps)

    return sums


def _not_cleared(original: Callable[..., Any]) -> Callable[..., Any]:
    def sums(a: Any, w: Any, acc: Any, registers: Any, taps: Any) -> Any:
        terms = original(a, w, acc, registers, taps)
        total = 0
        found = []
        for term, scale in zip(terms, taps.get("scale_products", [1] * len(terms)), strict=True):
            dot = term.integer // scale if scale else 0
            total += dot
            found.append(replace(term, integer=total * scale))
        return found

    return sums
