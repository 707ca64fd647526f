"""Requantization (rules Q) in Python ints and Fractions: one element at a time, as the rules read."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from qsim.reference.numbers import FLOAT64, fl32, floor_log2, power, round_to_float, round_to_integer, rounded
from qsim.spec.requantizer import Narrow, Requantizer, ScalePrep, Step

Events = dict[str, int]
Taps = dict[str, list[int]]


def quantize_multiplier(real: Fraction, prep: ScalePrep) -> tuple[int, int]:
    """Rule Q4: (multiplier, exponent) of real >= 0: real = m * 2^(exponent - bits), m of `bits` bits, half_away."""
    if real == 0:
        return 0, 0
    exponent = floor_log2(real) + 1
    multiplier = round_to_integer(real * power(prep.bits - exponent), "half_away")
    if prep.normalise and multiplier == 1 << prep.bits:
        multiplier, exponent = multiplier // 2, exponent + 1
    if prep.flush is not None and exponent < prep.flush:
        return 0, 0
    if prep.cap is not None and exponent > prep.cap:
        return (1 << prep.bits) - 1, prep.cap
    return multiplier, exponent


def significand(scale: Fraction, bits: int) -> tuple[int, int]:
    """Rule Q4: (m, shift) of a normal float32: scale = m * 2^-shift, m of `bits` bits."""
    shift = bits - 1 - floor_log2(scale)
    return int(scale * power(shift)), shift


def reduced(multiplier: int, bits: int, to: int) -> int:
    """A multiplier of `bits` bits rounded to one of `to` bits, sign included, half_up; the largest where that would carry."""
    step = power(bits + 1 - to)
    return min(round_to_integer(multiplier / step, "half_up"), (1 << (to - 1)) - 1)


def narrow(value: int, floored: int, register: Narrow) -> int:
    """Rule Q3; `floored` is the value before it was rounded, toward -inf."""
    low, high = register.range
    if low <= value <= high:
        return value
    modulus = high - low + 1
    if register.overflow in ("saturate", "saturate_symmetric"):
        return low if value < low else high
    if register.overflow == "wrap":
        return (value - low) % modulus + low
    if register.overflow == "saturate_zero":
        return 0
    if register.overflow == "x86_indefinite":
        return low
    if register.overflow == "wrap_sign_magnitude":
        sign, top = floored >> register.bits & 1, value >> (register.bits - 1) & 1
        rest = value & high if sign == top else ~value & high
        return rest - (high + 1) if sign else rest
    raise ValueError(f"value {value} leaves {register.bits} bits; allowed: {low} to {high} (rule Q3, overflow = error)")


def shifted(value: int, step: Step, shift: int) -> tuple[int, int]:
    """Rule Q2: the rounded value and its floor."""
    amount = step.shift(shift)
    exact = value / power(amount)
    if step.sticky_bits is not None:
        grid = power(step.sticky_bits + 1)
        exact = round_to_integer(exact * grid, "floor") / grid
    return round_to_integer(exact, step.rounding), round_to_integer(exact, "floor")


class _Element:
    """One value on its way through the registers, counting events."""

    def __init__(self, value: int, events: Events, taps: Taps) -> None:
        self.value, self.floored, self.events, self.taps = value, value, events, taps

    def tap(self, name: str) -> None:
        self.taps.setdefault(name, []).append(self.value)

    def enter(self, name: str, register: Narrow | None) -> None:
        if register is not None:
            value = narrow(self.value, self.floored, register)
            self.events[name] += value != self.value
            self.value = self.floored = value

    def clamp(self, name: str, low: int, high: int) -> None:
        value = min(max(self.value, low), high)
        self.events[name] += value != self.value
        self.value = self.floored = value

    def pass_through(self, steps: tuple[Step, ...], name: str, shift: int) -> None:
        for i, step in enumerate(steps):
            self.value, self.floored = shifted(self.value, step, shift)
            self.enter(f"{name}{i}", step.narrow)
            self.tap(f"{name}{i}")


def requantize(
    acc: Sequence[int],
    requantizer: Requantizer,
    *,
    multiplier: Sequence[int] = (1,),
    shift: Sequence[int] = (0,),
    scale: Sequence[Fraction] = (Fraction(1),),
    thresholds: Sequence[Sequence[int]] = ((),),
    zero_point: Sequence[int] = (0,),
    out: tuple[int, bool] | None = (8, True),
    clamp: tuple[int, int] | None = None,
    float_bias: Sequence[Fraction] = (Fraction(0),),
    taps: Taps | None = None,
) -> tuple[list[int], Events]:
    """Values and event counts; element i takes parameter i modulo their number (channels stand last). Domains are not checked.

    out: (bits, signed) of the output format; None gives the value before the zero point.
    taps: filled with the values after every stage: before0..., product (of a float the pattern of a float64, before any clamp),
        step0..., zero_add, clamped.
    """
    events = dict.fromkeys(requantizer.registers, 0)
    taps = {} if taps is None else taps
    values = []
    for i, a in enumerate(acc):
        m, s, z = (p[i % len(p)] for p in (multiplier, shift, zero_point))
        real = scale[i % len(scale)]
        levels = thresholds[i % len(thresholds)]
        bias = float_bias[i % len(float_bias)]
        values.append(_requantize(a, requantizer, m, s, real, levels, z, out, clamp, bias, events, taps))
    return values, events


def _requantize(
    acc: int,
    q: Requantizer,
    multiplier: int,
    shift: int,
    scale: Fraction,
    thresholds: Sequence[int],
    zero: int,
    out: tuple[int, bool] | None,
    clamp: tuple[int, int] | None,
    bias: Fraction,
    events: Events,
    taps: Taps,
) -> int:
    output = q.output.resolved(*out) if out else None
    low, high = output.range if output else (0, 0)
    if clamp:
        low, high = max(low, clamp[0]), min(high, clamp[1])
    element = _Element(acc - zero if q.zero_point == "before" else acc, events, taps)
    if q.prep.kind == "thresholds":
        element.value = element.floored = sum(acc >= t for t in thresholds)
    elif q.prep.is_float:
        product = _float_product(acc, scale, q.prep.kind, bias)
        taps.setdefault("product", []).append(round_to_float(product, FLOAT64))
        if output and q.clamp_first:
            clamped = min(max(product, Fraction(low - zero)), Fraction(high - zero))
            events["output"] += clamped != product
            product = clamped
        element.value = round_to_integer(product, q.steps[0].rounding)
        element.floored = element.value
        for i, step in enumerate(q.steps):
            element.enter(f"step{i}", step.narrow)
            element.tap(f"step{i}")
    else:
        if q.prep.kind == "significand":
            multiplier, shift = significand(scale, q.prep.bits)
        elif q.prep.reduce:
            multiplier = reduced(multiplier, q.prep.bits, q.prep.reduce)
        elif q.prep.kind == "one":
            multiplier = 1
        element.pass_through(q.before, "before", shift)
        element.value *= multiplier
        element.tap("product")
        element.pass_through(q.steps, "step", shift)
    if output is None:
        return element.value
    if q.zero_point == "after":
        element.value += zero
        element.floored = element.value
        element.enter("zero_add", q.zero_add)
        element.tap("zero_add")
    if clamp and not q.clamp_first:
        element.clamp("clamp", *clamp)
    element.tap("clamped")
    element.enter("output", output)
    return element.value


def _float_product(acc: int, scale: Fraction, kind: str, bias: Fraction) -> Fraction:
    """Rule Q6: the accumulator once to the type, its sum with a float bias and the product once to the type."""
    if kind == "f32":
        product = fl32(_number(fl32(_number(fl32(Fraction(acc))) + bias)) * scale)
    else:
        product = rounded(_number(rounded(Fraction(acc), FLOAT64)) * scale, FLOAT64)
    return _number(product)


def _number(value: Fraction | str) -> Fraction:
    assert isinstance(value, Fraction)  # the domain (rule Q5) keeps every product finite
    return value
