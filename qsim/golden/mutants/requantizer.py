"""Mistakes in a requantizer (rule Q1): multiplier, shifts, roundings, registers, zero point, clamp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.mutant import Mutant, changed, replaced
from qsim.golden.mutants.places import ELEMENT, REQUANTIZE, with_requantizer
from qsim.golden.mutants.reach import Reach
from qsim.golden.mutants.registers import register_mutants
from qsim.golden.mutants.requantizer_arguments import argument_mutants, clamp_mutants, result_mutants, zero_point_mutants
from qsim.golden.mutants.requantizer_reach import accumulator_interval, narrows_of, requantizer_reach, significand_shifts
from qsim.golden.mutants.rounding import rounding_mutants, step_mutants
from qsim.golden.unit import Unit
from qsim.reference.numbers import FLOAT64, round_to_float
from qsim.spec import FLOAT32
from qsim.spec.requantizer import Requantizer, Step

INT8_LIKE = 2


def requantizer_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake that fits the datapath's requantizer."""
    q = unit.datapath.requantizer if unit.datapath is not None else None
    if q is None or unit.kind not in ("requantize", "dot", "matmul", "chain") or q.prep.kind == "thresholds":
        return
    acc = accumulator_interval(unit, q)
    reach = requantizer_reach(unit, q)
    yield from register_mutants(narrows_of(unit, q), reach, f"{ELEMENT}.enter", "requantizer.")
    yield from _steps(q, reach)
    yield from _float_product(q)
    yield from argument_mutants(unit, q, acc)
    yield from zero_point_mutants(unit, q)
    yield from clamp_mutants(unit)
    yield from result_mutants(unit)


def _steps(q: Requantizer, reach: Reach) -> Iterator[Mutant]:
    if q.prep.is_float:
        mine = q.steps[0].rounding
        yield from rounding_mutants(
            "requantizer.step0", mine, lambda mode: _replace_step(q, "steps", 0, rounding=mode), (1, 1), (-1, 1)
        )
        return
    shifts = q.shift
    if q.prep.kind == "significand":
        shifts = significand_shifts(q)
    for place in ("before", "steps"):
        for i, step in enumerate(getattr(q, place)):
            name = f"{'step' if place == 'steps' else 'before'}{i}"
            edges = [step.shift(s) for s in shifts]
            amounts = min(edges), max(edges)
            values = reach.get(name, (-1, 1))

            def make(other: Step, place: str = place, i: int = i) -> Any:
                steps = getattr(q, place)
                return replaced(REQUANTIZE, with_requantizer(**{place: (*steps[:i], other, *steps[i + 1 :])}))

            yield from step_mutants(f"requantizer.{name}", step, amounts, values, make, shifts=amounts != (0, 0))
    if len(q.steps) == INT8_LIKE and q.steps[0].shift.factor == 0:
        first, second = q.steps
        once = changed(second, shift=lambda s: first.shift(s) + second.shift(s))
        exact = changed(first, shift=changed(first.shift, offset=0), narrow=None)
        yield Mutant(
            "requantizer: rounds once",
            "both shifts are made in one step",
            replaced(REQUANTIZE, with_requantizer(steps=(exact, once))),
            ("requantizer.step0",),
        )
    for i, step in enumerate(q.before):
        if any(step.shift(s) for s in q.shift):
            none = changed(step, shift=changed(step.shift, offset=0, factor=0, low=None, high=None))
            yield Mutant(
                f"requantizer.before{i}: no shift",
                "the shift to the left is left out",
                replaced(REQUANTIZE, with_requantizer(before=(*q.before[:i], none, *q.before[i + 1 :]))),
            )


def _replace_step(q: Requantizer, place: str, i: int, **fields: Any) -> Any:
    steps = getattr(q, place)
    return replaced(REQUANTIZE, with_requantizer(**{place: (*steps[:i], changed(steps[i], **fields), *steps[i + 1 :])}))


def _float_product(q: Requantizer) -> Iterator[Mutant]:
    if not q.prep.is_float:
        return
    other = {"f32": "f64", "f64": "f32"}[q.prep.kind]
    yield Mutant(
        f"requantizer.product: {other}",
        "the product is made in another float type",
        replaced(REQUANTIZE, with_requantizer(prep=changed(q.prep, kind=other))),
    )

    def truncated(_: Callable[..., Any]) -> Callable[..., Any]:
        element = FLOAT32 if q.prep.kind == "f32" else FLOAT64

        def product(acc: int, scale: Fraction, kind: str, bias: Fraction) -> Any:
            kept = element.value(round_to_float(Fraction(acc), element, "toward_zero"))
            assert isinstance(kept, Fraction)
            return element.value(round_to_float((kept + bias) * scale, element, "toward_zero"))

        return product

    place = "qsim.reference.requantize:_float_product"
    yield Mutant("requantizer.product: truncated", "the multiplier does not round", replaced(place, truncated))
    if q.clamp_first:
        yield Mutant(
            "requantizer: clamped after rounding",
            "the clamp stands after the conversion",
            replaced(REQUANTIZE, with_requantizer(clamp_first=False)),
            proof="" if q.zero_point != "after" or q.zero_add else "a clamp at integers and rounding commute",
        )
