"""Mistakes in a sum of scaled blocks (rule A2) and in a float unit (rule A3): exponents, alignment, order, rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.integer import losing_carry
from qsim.golden.mutants.mutant import Hook, Mutant, changed, replaced
from qsim.golden.mutants.registers import inside, reach_of, register_mutants
from qsim.golden.mutants.rounding import WHY, rounding_mutants
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.float_accumulator import ALIGNMENTS, FloatAccumulator
from qsim.spec.options import ROUNDINGS

BLOCK = "qsim.golden.unit_reference:block_dot"
FLOAT = "qsim.golden.unit_reference:float_dot"
INNER = "qsim.reference.block_dot"
ENTER = "qsim.reference.int_dot:_Registers.enter"
SUMS = ("partial_sums", "spill", "promoted")
STEPS = ("largest_exponents", "exponents", "aligned", "aligned_c", *SUMS)


def block_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake that fits the accumulator."""
    if unit.kind not in ("dot", "matmul", "chain"):
        return
    if unit.block is not None:
        yield from _of_block(unit, unit.block)
    elif unit.float is not None:
        yield from _of_unit(unit.float, lambda **found: replaced(FLOAT, _float_with(**found)), unit)


def _float_with(**found: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda original: lambda a, b, c, acc, operand, **rest: original(a, b, c, changed(acc, **found), operand, **rest)


def block_with(**found: Any) -> tuple[Hook, ...]:
    """The block accumulator with other facts."""
    return replaced(BLOCK, lambda original: lambda a, w, acc, c=0: original(a, w, changed(acc, **found), c))


def _of_block(unit: Unit, acc: BlockAccumulator) -> Iterator[Mutant]:
    yield from register_mutants(acc.narrows, reach_of(unit), ENTER)
    yield from _scales(unit, acc)
    if acc.into == "float":
        assert acc.unit is not None
        own = acc.unit
        yield from _of_unit(own, lambda **found: block_with(unit=changed(own, **found)), unit)
        yield from _terms(unit, acc)
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


def _of_unit(own: FloatAccumulator, make: Callable[..., tuple[Hook, ...]], unit: Unit) -> Iterator[Mutant]:
    """The float unit: fraction, alignment, c, rounding of the result, special values."""
    if own.fraction is not None:
        for by in (1, -1):
            yield Mutant(
                f"alignment: fraction {own.fraction + by}",
                f"the aligned terms have a bit {'more' if by > 0 else 'less'}",
                make(fraction=own.fraction + by),
                ("aligned", "aligned_c"),
            )
        for mode in ALIGNMENTS:
            if mode not in (own.alignment, "exact"):
                yield Mutant(f"alignment: {mode}", "bits that are shifted out are dropped in another way", make(alignment=mode))
        yield Mutant("alignment: exact", "no bit is shifted out", make(fraction=200), ("aligned", "aligned_c"))
    for mode in ROUNDINGS:
        if mode not in (own.out_rounding, "stochastic"):
            yield Mutant(f"result: {mode}", WHY[mode], make(out_rounding=mode))
    if own.out_fraction > 2:
        yield Mutant(
            f"result: {own.out_fraction - 1} fraction bits",
            "the result's mantissa is one bit short",
            make(out_fraction=own.out_fraction - 1),
        )
    if own.min_exponent is not None:
        yield Mutant("exponent: no lower bound", "the largest exponent has no lower bound", make(min_exponent=None))
    yield Mutant("result: subnormals are zero", "a result below the smallest normal is flushed", make(ftz=not own.ftz))
    yield Mutant(
        "result: sign of zero",
        "the sign of a zero sum is kept" if not own.signed_zero else "every zero is +0",
        make(signed_zero=not own.signed_zero),
        proof=_never_underflows(unit),
    )
    other = "largest" if own.overflow == "inf" else "inf"
    yield Mutant(
        f"result: overflow to {other}", "overflow gives the other value", make(overflow=other), proof=_never_overflows(unit, own)
    )
    yield Mutant(
        "result: NaN has another pattern",
        "the sign or payload of the NaN",
        make(nan=0x7FC00000 if own.nan != 0x7FC00000 else 0x7FFFFFFF),
    )
    if own.c == "aligned" and "bias" in unit.parameters and own.order != "pairwise":
        yield Mutant("c: late", "c is added in float32 after the products", make(c="late_f32"), STEPS)
    if own.order == "ascending" and own.c == "late_f32":
        yield Mutant("sum: pairwise", "a tree of steps instead of a running sum", make(order="pairwise"), STEPS)
    if own.order == "pairwise":
        yield Mutant("sum: ascending", "a running sum instead of a tree of steps", make(order="ascending"), STEPS)
    if own.daz:
        yield Mutant("operands: subnormals", "subnormal operands are kept", make(daz=False))


def _largest_product(unit: Unit) -> Fraction | None:
    """A bound of every product with its block scales; None where a scale is an exponent, and a product may be anything."""
    found = Fraction(1)
    for fmt in formats(unit):
        if any(s.kind == "exponent" for s in fmt.block_scales):
            return None
        found *= fmt.element.largest
        for s in fmt.block_scales:
            found *= s.float_type.largest if s.kind == "float" else (1 << s.bits) - 1 if s.kind == "uint" else 1
    return found


def _never_overflows(unit: Unit, own: FloatAccumulator) -> str:
    """Where c is so large that a sum could overflow, every product lies below the last bit that is kept."""
    if own.fraction is None or own.alignment != "trunc" or own.c != "aligned":
        return ""
    if own.fraction > own.out_fraction and own.out_rounding != "toward_zero":
        return ""
    largest = _largest_product(unit)
    if largest is None or unit.k * largest >= 1 << 126 - own.fraction:
        return ""
    return f"products are below 2^{126 - own.fraction}: a c of 2^126 or more cuts them off whole, and c alone does not overflow"


def _never_underflows(unit: Unit) -> str:
    """A zero term of a block sum has no sign, so that -0 can come from a negative sum that underflows only."""
    if unit.block is None or _largest_product(unit) is None:
        return ""
    return "without exponents as scales no sum of products underflows, and a zero term counts as +0"


def _terms(unit: Unit, acc: BlockAccumulator) -> Iterator[Mutant]:
    """The terms of a step: which exponent is the largest, how many enter a step, in which order."""
    own = acc.unit
    assert own is not None
    block = max(f.block_size for f in formats(unit) if f.block_scales)
    terms = -(-unit.k // (1 if acc.terms == "products" else acc.sum_length(block)))
    for what, why in EXPONENTS.items() if own.fraction is not None else ():
        with_c = own.c == "aligned" and own.order != "pairwise" and (terms > acc.nfma or "bias" in unit.parameters)
        several = min(terms, acc.nfma) > 1 or own.c == "aligned"
        if (what != "without c" or with_c) and (what not in ("of the first term", "smallest") or several):
            yield Mutant(f"largest exponent: {what}", why, replaced(INNER + ":_step", _step_of(what)))
    if terms > 1:
        for nfma in sorted({1, acc.nfma * 2, max(acc.nfma // 2, 1)} - {acc.nfma}):
            if min(nfma, terms) != min(acc.nfma, terms):
                yield Mutant(f"steps: {nfma} terms", "a step takes more or fewer terms", block_with(nfma=nfma), STEPS)
        if terms > acc.nfma:
            yield Mutant(
                "steps: last first",
                "the sequencer counts down",
                replaced(INNER + ":_chain", lambda original: lambda t, *rest: original(t[::-1], *rest)),
                ("aligned", *STEPS),
            )
    if acc.promote_every is not None:
        yield Mutant("promotion: never", "sums are not moved into float32", block_with(promote_every=None), STEPS)
    elif terms > acc.nfma and own.c == "aligned":
        every = acc.nfma * max(block if acc.terms == "products" else acc.sum_length(block), 1)
        yield Mutant("promotion: every step", "each step is added in float32", block_with(promote_every=every), STEPS)


EXPONENTS = {
    "zeros take part": "a zero term's exponent is not left out",
    "of the first term": "the comparison with the other terms is left out",
    "without c": "c does not take part",
    "smallest": "the comparison goes the wrong way",
    "one high": "an exponent is kept for the carry",
    "unsigned compare": "a negative exponent compares as a large one",
}


def _step_of(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A step whose grid follows another exponent."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(
            group: list[Any], c: int | None, unit: FloatAccumulator, taps: dict[str, list[int]], *, late: bool = False
        ) -> int:
            from qsim.reference.float_dot import exponent, rounded, sum_of_specials, value
            from qsim.reference.numbers import power, round_to_integer

            result, mode = unit.result("float32")
            addend = [] if c is None else [(value(c), exponent(c, result.emin))]
            found = [(t.value, t.exponent) for t in group] + addend
            special = sum_of_specials([v for v, _ in found], unit.nan)
            finite = [e for v, e in found if isinstance(v, Fraction) and (v != 0 or what == "zeros take part")]
            if special is not None or not finite:
                return int(original(group, c, unit, taps, late=late))
            E = _chosen(what, finite, [(v, e) for v, e in found[: len(group)] if v != 0])
            E = E if unit.min_exponent is None else max(E, unit.min_exponent)
            assert unit.fraction is not None
            grid = power(E - unit.fraction)
            values = [v for v, _ in found if isinstance(v, Fraction)]
            aligned = [round_to_integer(v / grid, ALIGNMENTS[unit.alignment]) for v in values]
            minus = int(unit.signed_zero and all(v < 0 for v in values[: len(group)]) and (c is None or c >> 31 == 1))
            total = rounded(grid * sum(aligned), minus, result, mode, unit)
            taps["largest_exponents"].append(E)
            taps["aligned"] += aligned[: len(group)]
            taps["aligned_c"] += aligned[len(group) :]
            if not late:
                taps["partial_sums"].append(total)
            return total

        return step

    return make


def _chosen(what: str, finite: list[int], terms: list[tuple[Any, int]]) -> int:
    if what == "of the first term":
        return terms[0][1] if terms else max(finite)
    if what == "without c":
        return max((e for _, e in terms), default=max(finite))
    if what == "smallest":
        return min(finite)
    if what == "unsigned compare":
        return max(finite, key=lambda e: e % 1024)
    return max(finite) + (what == "one high")
