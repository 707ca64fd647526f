"""Mistakes in a float unit (rule A3): alignment, order, rounding, special values, the exponent that a step aligns to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.mutant import Hook, Mutant, replaced
from qsim.golden.mutants.places import INNER, block_with
from qsim.golden.mutants.rounding import WHY
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.float_accumulator import ALIGNMENTS, FloatAccumulator
from qsim.spec.options import ROUNDINGS

SUMS = ("partial_sums", "spill", "promoted")
STEPS = ("largest_exponents", "exponents", "aligned", "aligned_c", *SUMS)


def float_mutants(own: FloatAccumulator, make: Callable[..., tuple[Hook, ...]], unit: Unit) -> Iterator[Mutant]:
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
    alone = "the sum is one step: a tree of one leaf, and c is added to it either way" if _steps(unit, own) == 1 else ""
    if own.order == "ascending" and own.c == "late_f32":
        yield Mutant("sum: pairwise", "a tree of steps instead of a running sum", make(order="pairwise"), STEPS, alone)
    if own.order == "pairwise":
        yield Mutant("sum: ascending", "a running sum instead of a tree of steps", make(order="ascending"), STEPS, alone)
    if own.daz:
        yield Mutant("operands: subnormals", "subnormal operands are kept", make(daz=False))


def _steps(unit: Unit, own: FloatAccumulator) -> int:
    """Steps of a sum."""
    acc = unit.block
    if acc is None:
        return -(-unit.k // own.nfma(formats(unit)[0].name))
    block = max(f.block_size for f in formats(unit) if f.block_scales)
    return -(-unit.k // (acc.nfma * (1 if acc.terms == "products" else acc.sum_length(block))))


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


def step_order_mutants(unit: Unit, acc: BlockAccumulator) -> Iterator[Mutant]:
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
