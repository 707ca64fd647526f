"""Cases of a requantizer alone, brought about through the sums before it."""

from __future__ import annotations

from collections.abc import Iterator

from qsim.golden.cases.draft import Draft, Inputs, defaults, integers, signed
from qsim.golden.cases.integer import has, pairs_for
from qsim.golden.unit import Unit
from qsim.spec.requantizer import Interval

SMALL = 1000  # what the products give where a bias gives the rest


def through_sums(unit: Unit, each: int) -> Iterator[Draft]:
    """Every directed case of the requantizer whose accumulator operands, or operands and a bias, can give."""
    from qsim.golden.cases import select
    from qsim.golden.cases.requantizer import candidates

    alone = Unit(
        "requantize", unit.datapath, None, 1, parameters=tuple(p for p in unit.parameters if p in ("out_zero_point", "clamp"))
    )
    rest = defaults(unit)
    for case in select(alone, candidates(alone, reach(unit)), each).cases:
        acc = alone.port("acc").split(case.values["acc"])[0]
        given = {p.name: case.values[p.name] for p in alone.inputs if p.name != "acc"}
        operands = sum_of(unit, acc)
        if operands is not None:
            yield Draft(case.flags, case.comment, rest | operands | given)


def reach(unit: Unit) -> Interval:
    """Accumulators that operands or a bias can give."""
    assert unit.integer is not None
    if has(unit, "bias"):
        return unit.integer.last.range
    from qsim.golden.cases.rest import largest_sum

    return -largest_sum(unit), largest_sum(unit)


def sum_of(unit: Unit, acc: int) -> Inputs | None:
    """Operands, and a bias where there is one, whose accumulator is acc."""
    assert unit.integer is not None
    if unit.integer.product is not None and not has(unit, "bias"):
        return None
    wide = has(unit, "bias") and abs(acc) > 2 * SMALL and unit.integer.product is None
    small = (SMALL if acc > 0 else -SMALL) if wide else acc
    pairs = [] if has(unit, "bias") and small == acc else pairs_for(unit, small, unit.k)
    if pairs is None:
        return None
    bias = acc - sum(a * w for a, w in pairs)
    low, high = unit.integer.last.range
    if bias and not (has(unit, "bias") and low <= bias <= high):
        return None
    found = integers(unit, [a for a, _ in pairs], [w for _, w in pairs])
    return found | (signed(unit, {"bias": bias}) if has(unit, "bias") else {})
