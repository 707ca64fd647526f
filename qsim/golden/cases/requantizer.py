"""Accumulators and arguments around every tie, register edge and clamp of a requantizer."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from qsim.golden.cases.draft import Draft, Inputs, defaults
from qsim.golden.cases.rest import refusal, scale_pattern, scale_value
from qsim.golden.unit import Unit
from qsim.spec.requantizer import Interval, Requantizer

ODD = (1, 3, 5, 17)
SHIFTS = (0, 1, -1, 2, -2, 3, -3, 8, -8)


def requantizer_of(unit: Unit) -> Requantizer:
    """The unit's requantizer."""
    assert unit.datapath is not None
    assert unit.datapath.requantizer is not None
    return unit.datapath.requantizer


def candidates(unit: Unit, reach: Interval | None = None) -> Iterator[Draft]:
    """Cases of a `requantize` unit, those that no domain refuses; reach: accumulators that the unit around it can give."""
    for draft in _candidates(unit, reach or _signed(requantizer_of(unit).acc_bits)):
        if not refusal(unit, draft.inputs, unit.port("acc").split(draft.inputs["acc"])[0]):
            yield draft


def _candidates(unit: Unit, reach: Interval) -> Iterator[Draft]:
    q, rest = requantizer_of(unit), defaults(unit)
    for arguments, gain in _arguments(unit, q, rest):
        for i, acc in enumerate(sorted(a for a in _accumulators(unit, q, arguments, gain) if reach[0] <= a <= reach[1])):
            zero = _zeros(unit)[i % len(_zeros(unit))]
            yield Draft((), "", rest | arguments | zero | {"acc": unit.port("acc").join([acc])})
    yield from _edges(unit, q, rest, reach)
    yield from _clamps(unit, q, rest, reach)


def _signed(bits: int) -> Interval:
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def _zeros(unit: Unit) -> list[Inputs]:
    """Zero points of the output: 0, both ends, one beside 0."""
    out = unit.out_format
    assert out is not None
    if "out_zero_point" not in [p.name for p in unit.inputs]:
        return [{}]
    return [{"out_zero_point": unit.port("out_zero_point").join([z])} for z in (0, out.element.qmin, out.element.qmax, 3)]


def _arguments(unit: Unit, q: Requantizer, rest: Inputs) -> Iterator[tuple[Inputs, Fraction]]:
    """Multipliers and shifts, or scales, and the gain from accumulator to output before rounding."""
    if "scale" in q.prep.takes:
        at_rest = scale_value(q, rest["scale"])
        assert isinstance(at_rest, Fraction)
        for real in (Fraction(1, 2), Fraction(1, 4), at_rest, Fraction(1), Fraction(3, 4), q.scale[0], q.scale[1]):
            pattern = scale_pattern(q, real)
            for beside in (-1, 0, 1):
                value = scale_value(q, pattern + beside) if pattern + beside >= 0 else "negative"
                if isinstance(value, Fraction) and q.scale[0] <= value < q.scale[1]:
                    yield {"scale": pattern + beside}, value
        return
    top = q.multiplier[1]
    power = 1 << (top.bit_length() - 1)
    factors = sorted({power, power + 1, power - 1, power + 3, top, top - 1, q.multiplier[0], 1, 3 * power // 4})
    factors = [m for m in factors if q.multiplier[0] <= m <= q.multiplier[1]] if "multiplier" in q.prep.takes else [1]
    shift = unit.port("shift").split(rest["shift"])[0] if "shift" in rest else 0
    shifts = {q.shift[0], q.shift[0] + 1, q.shift[1], q.shift[1] - 1, *(shift + s for s in (-1, 0, 1)), *SHIFTS}
    for s in sorted(s for s in shifts if q.shift[0] <= s <= q.shift[1]):
        for m in factors:
            given = {"multiplier": m, "shift": s}
            yield {name: unit.port(name).join([given[name]]) for name in q.prep.takes}, gain_of(q, m, s)


def gain_of(q: Requantizer, multiplier: int, shift: int) -> Fraction:
    """The multiplier over the powers of two that all steps together divide by."""
    amount = sum(step.shift(shift) for step in (*q.before, *q.steps))
    if q.prep.reduce:
        amount -= q.prep.bits + 1 - q.prep.reduce
    return Fraction(multiplier) / (Fraction(2) ** amount)


def _accumulators(unit: Unit, q: Requantizer, arguments: Inputs, gain: Fraction) -> set[int]:
    """Accumulators whose outputs lie at ties, at the output's ends and at the ends of the registers on the way."""
    low, high = _signed(q.acc_bits)
    found = {0, 1, -1, low, low + 1, high, high - 1, 12345, -54321}
    if gain > 0:
        out = unit.out_format
        assert out is not None
        ends = [
            out.element.qmin,
            out.element.qmax,
            out.element.qmin - out.element.qmax,
            out.element.qmax - out.element.qmin,
            -3,
            3,
        ]
        wanted = [Fraction(sign * n, 2) for n in ODD for sign in (1, -1)]
        wanted += [Fraction(end + beside) for end in ends for beside in (-1, Fraction(-1, 2), 0, Fraction(1, 2), 1)]
        registers = [step.narrow for step in (*q.before, *q.steps) if step.narrow] + ([q.zero_add] if q.zero_add else [])
        wanted += [Fraction(end + beside) for r in registers for end in r.range for beside in (-1, 0, 1)]
        for value in wanted:
            base = value / gain
            found |= {base.numerator // base.denominator + beside for beside in (-1, 0, 1)}
    for step in q.before:  # a shift to the left that leaves its register
        amount = -step.shift(unit.port("shift").split(arguments["shift"])[0]) if "shift" in arguments else 0
        if step.narrow and amount > 0:
            found |= {(end >> amount) + beside for end in step.narrow.range for beside in (-1, 0, 1)}
    return {acc for acc in found if low <= acc <= high}


def _edges(unit: Unit, q: Requantizer, rest: Inputs, reach: Interval) -> Iterator[Draft]:
    """Ends of the arguments' domains, alone."""
    accs = [acc for acc in (1000, -1000, reach[0] // 2, reach[1] // 2) if reach[0] <= acc <= reach[1]]
    for name, flag, domain in (("shift", "ShiftEdge", q.shift), ("multiplier", "MultiplierEdge", q.multiplier)):
        if name not in q.prep.takes:
            continue
        values = {"lowest": domain[0], "highest": domain[1]} | ({"0": 0} if domain[0] < 0 < domain[1] else {})
        for text, value in values.items():
            for acc in accs:
                given = {name: unit.port(name).join([value]), "acc": unit.port("acc").join([acc])}
                yield Draft((flag,), f"{name} {text}: {value}", rest | given)
    if "out_zero_point" in [p.name for p in unit.inputs]:
        for zero in _zeros(unit)[1:3]:
            for acc in (0, *accs[:2]):
                yield Draft(
                    ("ZeroPointEdge",), "the output's zero point at its end", rest | zero | {"acc": unit.port("acc").join([acc])}
                )


def _clamps(unit: Unit, q: Requantizer, rest: Inputs, reach: Interval) -> Iterator[Draft]:
    """Values at a clamp's ends and one beyond, a clamp of one code."""
    if "clamp_low" not in [p.name for p in unit.inputs]:
        return
    out = unit.out_format
    assert out is not None
    gain = _rest_gain(unit, q, rest)
    for low, high in ((0, 6), (-5, 9), (2, 2), (out.element.qmin + 1, out.element.qmax - 1)):
        if low < out.element.qmin:
            continue
        given = rest | {"clamp_low": unit.port("clamp_low").join([low]), "clamp_high": unit.port("clamp_high").join([high])}
        for value in (low - 1, low, high, high + 1):
            base = Fraction(value) / gain
            for acc in {base.numerator // base.denominator + beside for beside in (0, 1)}:
                if reach[0] <= acc <= reach[1]:
                    yield Draft((), f"clamp {low} to {high}", given | {"acc": unit.port("acc").join([acc])})


def _rest_gain(unit: Unit, q: Requantizer, rest: Inputs) -> Fraction:
    given = {name: unit.port(name).split(rest[name])[0] for name in q.prep.takes}
    if "scale" in given:
        value = scale_value(q, rest["scale"])
        assert isinstance(value, Fraction)
        return value
    return gain_of(q, given.get("multiplier", 1), given.get("shift", 0))
