"""What can enter each register of a requantizer."""

from __future__ import annotations

from fractions import Fraction

from qsim.golden.mutants.reach import Reach, add, sum_interval
from qsim.golden.unit import Unit
from qsim.reference.requantize import shifted
from qsim.spec.requantizer import Interval, Narrow, Requantizer, Step


def narrows_of(unit: Unit, q: Requantizer) -> dict[str, Narrow]:
    """The registers of the requantizer, the output's among them."""
    out = unit.out_format
    assert out is not None
    found = {f"before{i}": s.narrow for i, s in enumerate(q.before)} | {f"step{i}": s.narrow for i, s in enumerate(q.steps)}
    found |= {"zero_add": q.zero_add if q.zero_point == "after" else None}
    found |= {"output": q.output.resolved(out.element.bits, out.element.qmin < 0)}
    return {name: register for name, register in found.items() if register is not None}


def requantizer_reach(unit: Unit, q: Requantizer) -> Reach:
    """What can enter each register: roundings and registers that saturate are monotone, so the ends give the ends.

    A register that wraps hands on anything it holds.
    """
    out, acc = unit.out_format, accumulator_interval(unit, q)
    assert out is not None
    output = q.output.resolved(out.element.bits, out.element.qmin < 0).range
    zero = _domain(unit, "out_zero_point")
    found: Reach = {}
    if q.prep.is_float:
        if q.clamp_first:
            return {"zero_add": output, "output": output}
        return {}
    multipliers = (
        (0, (1 << q.prep.bits) - 1) if q.prep.kind == "significand" else q.multiplier if q.prep.kind == "fixed" else (1, 1)
    )
    if q.prep.reduce:
        multipliers = 0, (1 << (q.prep.reduce - 1)) - 1
    shifts = significand_shifts(q) if q.prep.kind == "significand" else q.shift
    for shift in range(shifts[0], shifts[1] + 1):
        values = (acc[0] - zero[1], acc[1] - zero[0]) if q.zero_point == "before" else acc
        if q.acc_within_shift:
            values = max(values[0], -(1 << max(shift - 1, 0))), min(values[1], (1 << max(shift - 1, 0)) - 1)
        values = _through(values, q.before, "before", shift, found)
        products = [v * m for v in values for m in multipliers]
        values = _through((min(products), max(products)), q.steps, "step", shift, found)
        if q.zero_point == "after":
            values = add(values, zero)
            _widen(found, "zero_add", values)
            values = q.zero_add.interval(values) if q.zero_add else values
        if "clamp" in unit.parameters or (unit.datapath is not None and unit.datapath.clamp is not None):
            values = max(values[0], output[0]), min(values[1], output[1])
        _widen(found, "output", values)
    return found


def _through(values: Interval, steps: tuple[Step, ...], name: str, shift: int, found: Reach) -> Interval:
    for i, step in enumerate(steps):
        values = shifted(values[0], step, shift)[0], shifted(values[1], step, shift)[0]
        _widen(found, f"{name}{i}", values)
        values = step.narrow.interval(values) if step.narrow else values
    return values


def _widen(found: Reach, name: str, values: Interval) -> None:
    low, high = found.get(name, values)
    found[name] = min(low, values[0]), max(high, values[1])


def _domain(unit: Unit, port: str) -> Interval:
    """Values of an output zero point."""
    out = unit.out_format
    assert out is not None
    return (out.element.qmin, out.element.qmax) if port in unit.parameters else (0, 0)


def accumulator_interval(unit: Unit, q: Requantizer) -> Interval:
    """Accumulators that the requantizer is given."""
    own = -(1 << (q.acc_bits - 1)), (1 << (q.acc_bits - 1)) - 1
    if unit.kind == "requantize":
        return own
    found = sum_interval(unit)
    return own if found is None else (max(found[0], own[0]), min(found[1], own[1]))


def significand_shifts(q: Requantizer) -> Interval:
    """The least and the largest shift of scales in the domain."""
    from qsim.reference.requantize import significand

    low = max(q.scale[0], Fraction(1, 1 << 149))
    return significand(q.scale[1], q.prep.bits)[1], significand(low, q.prep.bits)[1]
