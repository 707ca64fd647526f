"""Each shift of a requantizer, and each bit of its multiplier, accumulator, zero point and clamp alone (rules Q1, Q2)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from qsim.golden.cases.draft import Draft, Inputs, defaults, signed
from qsim.golden.cases.requantizer import gain_of, requantizer_of
from qsim.golden.cases.rest import refusal
from qsim.golden.unit import Unit
from qsim.spec.requantizer import Interval

FLAG = "EveryBit"


def every_bit(unit: Unit) -> Iterator[Draft]:
    """Cases of a `requantize` unit with a multiplier and a shift, those that no domain refuses."""
    if not {"multiplier", "shift"} <= set(requantizer_of(unit).prep.takes):
        return
    for comment, given in (*_ties(unit), *_values(unit), *_bounds(unit)):
        inputs = defaults(unit) | signed(unit, given)
        if not refusal(unit, inputs, given["acc"]):
            yield Draft((FLAG,), comment, inputs)


def _ties(unit: Unit) -> Iterator[tuple[str, dict[str, int]]]:
    """Half a step of either sign at every shift: one bit of the multiplier, one of the accumulator, one of the zero point.

    The bits go through all places.
    """
    q = requantizer_of(unit)
    top = q.multiplier[1].bit_length() - 1
    zeros = cycle(_zeros(unit))
    for shift in range(q.shift[0], q.shift[1] + 1):
        gain = gain_of(q, 1, shift)
        bits = (gain.denominator // gain.numerator).bit_length() - 2  # of multiplier times accumulator: half of 1 / gain
        for sign, widest in ((1, q.acc_bits - 2), (-1, q.acc_bits - 1)):
            places = [j for j in range(max(bits - widest, 0), min(bits, top) + 1) if q.multiplier[0] <= 1 << j]
            if not places:
                continue
            middle = (bits + (sign < 0)) // 2  # so that over all shifts both go through all their bits
            place = min(places, key=lambda j: abs(j - middle))
            given = {"shift": shift, "multiplier": 1 << place, "acc": sign << (bits - place)}
            yield f"half a step, {'+' if sign > 0 else '-'}, at shift {shift}", given | next(zeros)


def _values(unit: Unit) -> Iterator[tuple[str, dict[str, int]]]:
    """Each power of two, and its complement, before the clamp, whose ends have one bit."""
    q = requantizer_of(unit)
    low, high = _output(unit)
    places, zeros = high.bit_length(), _zeros(unit)
    for bit in range(q.acc_bits - 1):
        near, far = 1 << bit % places, 1 << (bit + 3) % places
        zero = zeros[bit % len(zeros)] if bit % 2 else {}
        for value, ends in ((1 << bit, (-far, near)), (~(1 << bit), (-near, far))):
            given = _passed(unit, value - zero.get("out_zero_point", 0)) | zero
            yield f"{value} before the clamp", given | _clamp(unit, max(ends[0], low), ends[1])


def _bounds(unit: Unit) -> Iterator[tuple[str, dict[str, int]]]:
    """A clamp with one end of one bit, and a value one beyond it."""
    low, high = _output(unit)
    for end in (sign << bit for bit in range(high.bit_length()) for sign in (1, -1)):
        for name, value, ends in (("low", end - 1, (end, high)), ("high", end + 1, (low, end))):
            if clamp := _clamp(unit, *ends):
                yield f"one beyond the {name} end {end}", _passed(unit, value) | clamp


def _passed(unit: Unit, acc: int) -> dict[str, int]:
    """An accumulator with the largest multiplier, and the shift that brings the gain nearest to 1."""
    q = requantizer_of(unit)
    multiplier = q.multiplier[1]
    shift = min(range(q.shift[0], q.shift[1] + 1), key=lambda s: abs(gain_of(q, multiplier, s) - 1))
    return {"shift": shift, "multiplier": multiplier, "acc": acc}


def _output(unit: Unit) -> Interval:
    out = unit.out_format
    assert out is not None
    return out.element.qmin, out.element.qmax


def _zeros(unit: Unit) -> list[Inputs]:
    """Zero points of one bit and of all but one; none where the unit has no port for it."""
    low, high = _output(unit)
    if "out_zero_point" not in [p.name for p in unit.inputs]:
        return [{}]
    places = range(high.bit_length())
    return [{"out_zero_point": zero} for j in places for zero in (1 << j, ~(1 << j) if low < 0 else high ^ 1 << j)]


def _clamp(unit: Unit, low: int, high: int) -> Inputs:
    """The ends, where the unit has ports for them."""
    return {"clamp_low": low, "clamp_high": high} if "clamp_low" in [p.name for p in unit.inputs] else {}
