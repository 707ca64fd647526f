"""Sums that meet the accumulator's ends in every lane (rule A1), and one pair that differs in every lane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from qsim.golden.cases.draft import Draft, defaults, integers, signed
from qsim.golden.cases.integer import MAX_HOT, Pair, ends, factor, has, held, only_signs, pairs_for
from qsim.golden.unit import Unit


class Row(NamedTuple):
    """The operands of a dot product as pairs of integers, and its parameters."""

    comment: str
    pairs: list[Pair]
    extra: dict[str, int]


def every_lane(unit: Unit) -> Iterator[Draft]:
    """Drafts of the rows at the accumulator's ends."""
    rest = defaults(unit)
    for comment, pairs, extra in end_rows(unit):
        operands = integers(unit, [a for a, _ in pairs], [w for _, w in pairs])
        yield Draft(("EveryLane",), comment, rest | operands | signed(unit, extra))


def end_rows(unit: Unit) -> Iterator[Row]:
    """The accumulator brought to an end as early as can be, and all lanes after it beyond that end, at it, and back.

    Beyond by the largest product and by one, each in every lane; and by turns with the way back, beginning with either, so that
    every lane overflows from inside the range, and every lane comes back.
    """
    acc = unit.integer
    assert acc is not None
    largest = {1: max(corners(unit), key=product), -1: min(corners(unit), key=product)}
    for end, name in zip(acc.register.range, ("low", "high"), strict=True):
        out = 1 if end > 0 else -1
        unit_out, unit_back, half = factor(unit, out), factor(unit, -out), (largest[-out][0] // 2, largest[-out][1])
        if unit_out is None or unit_back is None or product(largest[out]) * out <= 0 or product(largest[-out]) * out >= 0:
            continue
        for text, start, turns in (
            ("exceeded by one in every lane", end, [unit_out]),
            ("exceeded by the largest product in every lane", end, [largest[out]]),
            ("exceeded and left by turns", end, [largest[out], half]),
            ("left and exceeded by turns", end, [half, largest[out]]),
            ("reached and left by turns", end - out, [unit_out, unit_back]),
            ("left and reached by turns", end, [unit_back, unit_out]),
        ):
            first, found = starting(unit, end), starting(unit, start)
            if first is None or found is None:
                continue
            odd = (len(found.pairs) - len(first.pairs)) % 2  # turns begin in the same lane, whatever the way to the start takes
            pairs = [nothing(unit)] * odd + found.pairs
            pairs += [turns[i % len(turns)] for i in range(unit.k - len(pairs))]
            if len(found.pairs) + odd < unit.k and held(unit, pairs):
                yield Row(f"{name} end {text}", pairs, found.extra)


def nothing(unit: Unit) -> Pair:
    """A pair of product 0, where there is one."""
    return next((pair for pair in ((0, 0), (0, 1), (1, 0)) if held(unit, [pair])), (0, 0))


def product(pair: Pair) -> int:
    """Of a pair."""
    return pair[0] * pair[1]


def corners(unit: Unit) -> list[Pair]:
    """Pairs of the operands' ends."""
    rows = ends(unit)
    return [(a, w) for a in rows[0] for w in rows[1]]


def starting(unit: Unit, value: int) -> Row | None:
    """What brings the accumulator to a value as early as can be: a bias that it starts from, else large products."""
    acc = unit.integer
    assert acc is not None
    if acc.bias == "first" and acc.order == "sequential" and has(unit, "bias"):
        return Row("", [], {"bias": value})
    pairs = pairs_for(unit, value, unit.k) if acc.product is None else None
    return None if pairs is None else Row("", pairs, {})


def one_unlike(unit: Unit) -> Iterator[Draft]:
    """Operands without a zero: one lane unlike all others, and a run of unlike lanes before the others."""
    if not only_signs(unit):
        return
    rest, k = defaults(unit), unit.k
    for sign in (1, -1):
        for lane in range(min(k, MAX_HOT)):
            w = [-1 if i == lane else 1 for i in range(k)]
            yield Draft(("OneHot",), f"lane {lane} alone gives {-sign}", rest | integers(unit, [sign] * k, w))
        for run in (1 << i for i in range(1, k.bit_length()) if 1 << i < k):
            w = [-1 if i < run else 1 for i in range(k)]
            yield Draft(("Extremes",), f"{run} lanes give {-sign}, the rest {sign}", rest | integers(unit, [sign] * k, w))
