"""The requantizer's arguments: those of a case that is about something else, and which ones its domain allows (rule Q5)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from qsim.golden.unit import Unit
from qsim.reference.numbers import FLOAT64, round_to_float
from qsim.reference.requantize import requantize
from qsim.spec import FLOAT32
from qsim.spec.requantizer import Interval, Requantizer

Inputs = dict[str, int]
TYPICAL = 1 << 18  # an accumulator where no operands bound it


def at_rest(unit: Unit) -> Inputs:
    """Arguments that bring the largest accumulator to between a quarter and the whole of the output's range."""
    if unit.datapath is None or unit.datapath.requantizer is None or unit.kind == "chain":
        return {}
    q, out = unit.datapath.requantizer, unit.out_format
    assert q is not None
    assert out is not None
    largest = largest_sum(unit)
    if "scale" in q.prep.takes:
        real = min(max(Fraction(out.element.qmax * 3, largest * 4), q.scale[0]), q.scale[1] / 2)
        return {"scale": scale_pattern(q, real)}
    multiplier = q.multiplier[1] - (q.multiplier[1] >> 2) if q.multiplier[1] > 1 else q.multiplier[1]
    shift = min(range(q.shift[0], q.shift[1] + 1), key=lambda s: (_distance(q, largest, multiplier, s, out.element.qmax), abs(s)))
    given = {"multiplier": multiplier, "shift": shift}
    return {name: unit.port(name).join([given[name]]) for name in q.prep.takes if name in given}


def _distance(q: Requantizer, acc: int, multiplier: int, shift: int, top: int) -> int:
    """How far the largest accumulator lands from the upper part of the output's range."""
    if not _within_shift(q, acc, shift):
        return 1 << 62
    try:
        value = requantize([acc], q, multiplier=[multiplier], shift=[shift], out=None)[0][0]
    except ValueError:
        return 1 << 62
    return 0 if top // 3 < value <= top - top // 8 else abs(value - top) + 1


def largest_sum(unit: Unit) -> int:
    """The largest accumulator that the operands give, within its register."""
    assert unit.datapath is not None
    q = unit.datapath.requantizer
    if unit.kind == "requantize" or unit.integer is None:
        return min(TYPICAL, (1 << (q.acc_bits - 2)) if q else TYPICAL)
    sides = [max(map(abs, unit.datapath.operand_interval(side))) for side in ("activation", "weight")]
    found = unit.k * sides[0] * sides[1]
    step = unit.integer.product
    found = found >> step.shift.offset if step else found
    return max(1, min(found, unit.integer.register.range[1]))


def scale_pattern(q: Requantizer, real: Fraction) -> int:
    """The pattern of a scale in the preset's float type."""
    return round_to_float(real, FLOAT64 if q.prep.kind == "f64" else FLOAT32)


def scale_value(q: Requantizer, pattern: int) -> Fraction | str:
    """The scale of a pattern."""
    return (FLOAT64 if q.prep.kind == "f64" else FLOAT32).value(pattern)


def refusal(unit: Unit, inputs: Mapping[str, int], acc: int | None) -> str:
    """Why the requantizer's domain does not hold these arguments; empty where it does. acc: what is requantized, if known."""
    d = unit.datapath
    q = d.requantizer if d is not None else None
    if q is None or d is None or unit.kind == "chain":
        return ""
    given = {name: unit.port(name).split(inputs[name])[0] for name in inputs if unit.port(name).kind == "signed"}
    for name, domain in (("multiplier", q.multiplier), ("shift", q.shift)):
        if name in given and not domain[0] <= given[name] <= domain[1]:
            return f"{name} {given[name]} is outside the domain of {q.name}; allowed: {domain[0]} to {domain[1]} (rule Q5)"
    if "scale" in inputs:
        real = scale_value(q, inputs["scale"])
        if isinstance(real, str) or not q.scale[0] <= real < q.scale[1]:
            return f"scale {real} is outside the domain of {q.name}; allowed: {q.scale[0]} <= scale < {q.scale[1]} (rule Q5)"
    output = _output(unit, q)
    zero = given.get("out_zero_point", 0)
    zeros = (0, 0) if q.zero_point == "none" else output if q.zero_point == "after" else (zero, zero)
    known = q.zero_points.get(d.out_format or "")
    if not zeros[0] <= zero <= zeros[1] or (known is not None and zero not in known):
        return f"out_zero_point {zero} is wrong for {q.name} (rule Q5)"
    low, high = given.get("clamp_low", output[0]), given.get("clamp_high", output[1])
    if not output[0] <= low <= high <= output[1]:
        return f"clamp ({low}, {high}); allowed: {output[0]} <= low <= high <= {output[1]} (rule Q1)"
    if acc is None:
        return ""
    if not -(1 << (q.acc_bits - 1)) <= acc < 1 << (q.acc_bits - 1):
        return f"acc {acc} is outside the domain of {q.name}; allowed: {q.acc_bits} bits (rule Q5)"
    if not _within_shift(q, acc, given.get("shift", 0)):
        return f"acc {acc} is outside the domain of {q.name} for its shift (rule Q5)"
    return ""


def _output(unit: Unit, q: Requantizer) -> Interval:
    out = unit.out_format
    assert out is not None
    return q.output.resolved(out.element.bits, out.element.qmin < 0).range


def _within_shift(q: Requantizer, acc: int, shift: int) -> bool:
    return not q.acc_within_shift or -(1 << max(shift - 1, 0)) <= acc < 1 << max(shift - 1, 0)
