"""Mistakes in one step of shift and rounding (rule Q2), and the arguments that prove some of them harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qsim.golden.mutants.mutant import Mutant, changed
from qsim.spec.requantizer import STEP_ROUNDINGS, Interval, Step

WHY = {
    "half_even": "a tie goes to the even neighbour",
    "half_away": "a tie goes away from zero",
    "half_up": "a tie goes up: half is added, then the bits are cut",
    "half_down": "a tie goes down",
    "half_zero": "a tie goes toward zero",
    "toward_zero": "the fraction is cut off the magnitude",
    "away_from_zero": "any fraction rounds away from zero",
    "floor": "the fraction is cut off, without rounding",
    "ceil": "any fraction rounds up",
    "to_odd": "any fraction sets the last bit",
}
#: Modes that agree on values >= 0.
AS_POSITIVE = ({"half_up", "half_away"}, {"half_down", "half_zero"}, {"floor", "toward_zero"}, {"ceil", "away_from_zero"})
#: Modes that the first dropped bit alone decides.
FIRST_BIT = ("half_up", "floor")


def rounding_proof(mine: str, other: str, amounts: Interval, values: Interval) -> str:
    """Why two roundings agree: nothing is dropped, or their values have one sign."""
    if amounts[1] <= 0:
        return "it shifts by 0 or to the left only: nothing is rounded"
    if values[0] >= 0 and any({mine, other} <= group for group in AS_POSITIVE):
        return f"its values are 0 or more, where {mine} and {other} agree"
    return ""


def rounding_mutants(name: str, mine: str, make: Callable[[str], Any], amounts: Interval, values: Interval) -> Iterator[Mutant]:
    """Every other mode."""
    for mode in STEP_ROUNDINGS:
        if mode != mine:
            yield Mutant(f"{name}: {mode}", WHY[mode], make(mode), proof=rounding_proof(mine, mode, amounts, values))


def step_mutants(
    name: str, step: Step, amounts: Interval, values: Interval, make: Callable[[Step], Any], *, shifts: bool = True
) -> Iterator[Mutant]:
    """Roundings, shifts, a dropped register, dropped sticky bits. amounts: least and largest shift; values: what enters."""
    yield from rounding_mutants(name, step.rounding, lambda mode: make(changed(step, rounding=mode)), amounts, values)
    if shifts:
        for by, what in ((1, "one too far"), (-1, "one too short")):
            moved = changed(
                step.shift, offset=step.shift.offset + by, low=_moved(step.shift.low, by), high=_moved(step.shift.high, by)
            )
            if amounts[0] + by >= 0 or amounts[0] < 0:
                yield Mutant(f"{name}: shifts {what}", "the shift amount is off by one", make(changed(step, shift=moved)))
    if step.sticky_bits is None:
        for kept in [kept for kept in (0, 1) if amounts[1] > kept + 1]:
            harmless = step.rounding in FIRST_BIT
            proof = f"{step.rounding} looks at the first dropped bit only" if harmless else ""
            what = "guard bit only" if kept == 0 else "guard and round bit only"
            yield Mutant(f"{name}: {what}", "the sticky bit is not collected", make(changed(step, sticky_bits=kept)), proof=proof)
    else:
        yield Mutant(f"{name}: every sticky bit", "all dropped bits are collected", make(changed(step, sticky_bits=None)))


def _moved(bound: int | None, by: int) -> int | None:
    return None if bound is None else bound + by
