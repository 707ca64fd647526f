"""Mistakes in a requantizer (rule Q1): multiplier, shifts, roundings, registers, zero point, clamp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.mutant import Mutant, changed, replaced
from qsim.golden.mutants.registers import Reach, add, register_mutants, sum_interval
from qsim.golden.mutants.rounding import rounding_mutants, step_mutants
from qsim.golden.unit import Unit, signed_bits
from qsim.reference.numbers import FLOAT64, round_to_float
from qsim.reference.requantize import narrow, shifted
from qsim.spec import FLOAT32
from qsim.spec.requantizer import Interval, Narrow, Requantizer, Step

REQUANTIZE = "qsim.golden.unit_reference:requantize"
ELEMENT = "qsim.reference.requantize:_Element"
INT8_LIKE = 2


def requantizer_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake that fits the datapath's requantizer."""
    q = unit.datapath.requantizer if unit.datapath is not None else None
    if q is None or unit.kind not in ("requantize", "dot", "matmul", "chain") or q.prep.kind == "thresholds":
        return
    acc = _acc(unit, q)
    reach = requantizer_reach(unit, q)
    yield from register_mutants(narrows_of(unit, q), reach, f"{ELEMENT}.enter", "requantizer.")
    yield from _steps(q, reach)
    yield from _float_product(q)
    yield from _arguments(unit, q, acc)
    yield from _zero_point(unit, q)
    yield from _clamp(unit)


def with_requantizer(**fields: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The requantizer with other facts."""
    return lambda original: lambda acc, q, **rest: original(acc, changed(q, **fields), **rest)


def _acc(unit: Unit, q: Requantizer) -> Interval:
    own = -(1 << (q.acc_bits - 1)), (1 << (q.acc_bits - 1)) - 1
    if unit.kind == "requantize":
        return own
    found = sum_interval(unit)
    return own if found is None else (max(found[0], own[0]), min(found[1], own[1]))


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
    out, acc = unit.out_format, _acc(unit, q)
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
    shifts = _significand_shifts(q) if q.prep.kind == "significand" else q.shift
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


def _steps(q: Requantizer, reach: Reach) -> Iterator[Mutant]:
    if q.prep.is_float:
        mine = q.steps[0].rounding
        yield from rounding_mutants(
            "requantizer.step0", mine, lambda mode: _replace_step(q, "steps", 0, rounding=mode), (1, 1), (-1, 1)
        )
        return
    shifts = q.shift
    if q.prep.kind == "significand":
        shifts = _significand_shifts(q)
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


def _significand_shifts(q: Requantizer) -> Interval:
    from qsim.reference.requantize import significand

    low = max(q.scale[0], Fraction(1, 1 << 149))
    return significand(q.scale[1], q.prep.bits)[1], significand(low, q.prep.bits)[1]


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


def _arguments(unit: Unit, q: Requantizer, acc: Interval) -> Iterator[Mutant]:
    """Multiplier, shift and accumulator as the wires bring them."""

    def given(name: str, change: Callable[[Any], Any]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            return lambda acc, q, **rest: original(acc, q, **rest | {name: [change(v) for v in rest[name]]})

        return replaced(REQUANTIZE, make)

    def of_acc(change: Callable[[int], int]) -> Any:
        return replaced(REQUANTIZE, lambda original: lambda acc, q, **rest: original([change(v) for v in acc], q, **rest))

    bits = signed_bits(acc)
    yield Mutant("requantizer: accumulator one bit short", "its top bit is not connected", of_acc(lambda v: _signed(v, bits - 1)))
    yield Mutant(
        "requantizer: accumulator unsigned",
        "its sign is not extended",
        of_acc(lambda v: v % (1 << bits)),
        proof=wraps_back(q, bits),
    )
    if "multiplier" in q.prep.takes:
        width = signed_bits(q.multiplier)
        magnitude = max(map(abs, q.multiplier)).bit_length()
        if magnitude > 1:
            yield Mutant(
                "multiplier: top bit lost",
                "its wires are one too few",
                given("multiplier", lambda m: m & ((1 << (magnitude - 1)) - 1) if m >= 0 else m),
            )
            yield Mutant("multiplier: lowest bit lost", "it is one bit short", given("multiplier", lambda m: m & ~1))
        if magnitude > 16:
            yield Mutant(
                "multiplier: low half lost", "a multiplier of half the width", given("multiplier", lambda m: m >> 16 << 16)
            )
        if q.multiplier[0] < 0:
            yield Mutant("multiplier: unsigned", "its sign is not extended", given("multiplier", lambda m: m % (1 << width)))
    if "shift" in q.prep.takes and q.shift[0] < q.shift[1]:
        if q.shift[0] < 0:
            yield Mutant("shift: magnitude", "its sign is ignored", given("shift", abs))
        for bit in (3, 4, 5):
            if max(map(abs, q.shift)) >> bit:
                yield Mutant(f"shift: {bit} bits", "the shifter has too few stages", given("shift", _short(bit)))
    if "scale" in q.prep.takes:
        for factor, what in ((Fraction(2), "doubled"), (Fraction(1, 2), "halved")):
            yield Mutant(f"scale: {what}", "its exponent's bias is one off", given("scale", lambda s, f=factor: s * f))  # type: ignore[misc]
        yield Mutant("scale: lowest bit lost", "its significand is one bit short", given("scale", _short_significand))
        yield Mutant("scale: bfloat16", "its significand has 8 bits", given("scale", lambda s: _truncated(s, 16)))
    yield from _product_wires(q, acc)


def wraps_back(q: Requantizer, bits: int) -> str:
    """Why bits of the accumulator above the given width change nothing; empty where they do."""
    if not q.before or q.zero_point == "before":
        return ""
    first = q.before[0]
    left = max(first.shift(s) for s in q.shift) <= 0
    wraps = first.narrow is not None and first.narrow.overflow == "wrap" and first.narrow.bits <= bits
    return f"before0 shifts to the left and wraps at {bits} bits" if left and wraps else ""


def _short(bits: int) -> Callable[[int], int]:
    return lambda s: s % (1 << bits) if s >= 0 else -(-s % (1 << bits))


def _short_significand(scale: Fraction) -> Fraction:
    return _truncated(scale, 1)


def _truncated(scale: Fraction, bits: int) -> Fraction:
    found = FLOAT32.value(round_to_float(scale, FLOAT32) >> bits << bits)
    assert isinstance(found, Fraction)
    return found


def _signed(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def _product_wires(q: Requantizer, acc: Interval) -> Iterator[Mutant]:
    """The integer product."""
    if q.prep.is_float or q.prep.kind == "one":
        return

    def product(change: Callable[[int], int]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def tap(self: Any, name: str) -> None:
                if name == "product":
                    self.value = change(self.value)
                original(self, name)

            return tap

        return replaced(f"{ELEMENT}.tap", make)

    if q.prep.kind == "fixed" and not q.prep.reduce:
        largest = max(abs(a * m) for a in acc for m in q.multiplier).bit_length() + 1
        for bits, what in ((largest - 2, "two top bits lost"), (48, "48 bits")):
            if bits < largest:
                yield Mutant(f"requantizer.product: {what}", "its wires are too few", product(lambda v, b=bits: _signed(v, b)))  # type: ignore[misc]
    yield Mutant("requantizer.product: lowest bit lost", "a truncated multiplier", product(lambda v: v & ~1))
    yield Mutant(
        "requantizer.product: low bits lost",
        "a truncated multiplier: its 8 lowest columns are left out",
        product(lambda v: v >> 8 << 8),
    )
    yield Mutant(
        "requantizer.product: one's complement",
        "a negative product is inverted without adding 1",
        product(lambda v: v - 1 if v < 0 else v),
    )


def _zero_point(unit: Unit, q: Requantizer) -> Iterator[Mutant]:
    if "out_zero_point" not in unit.parameters or q.zero_point == "none":
        return
    out = unit.out_format
    assert out is not None
    output = q.output.resolved(out.element.bits, out.element.qmin < 0)

    def zero(change: Callable[[int], int]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            return lambda acc, q, **rest: original(acc, q, **rest | {"zero_point": [change(z) for z in rest["zero_point"]]})

        return replaced(REQUANTIZE, make)

    def after_the_clamp(original: Callable[..., Any]) -> Callable[..., Any]:
        def requantize(acc: Any, q: Requantizer, **rest: Any) -> Any:
            values, events = original(acc, q, **rest | {"zero_point": [0]})
            return [narrow(v + z, v + z, output) for v, z in zip(values, rest["zero_point"], strict=False)], events

        return requantize

    yield Mutant("out_zero_point: ignored", "it is not connected", zero(lambda z: 0))
    yield Mutant("out_zero_point: subtracted", "its sign is wrong", zero(lambda z: -z))
    yield Mutant("out_zero_point: one off", "it is one too large", zero(lambda z: z + 1))
    if out.element.qmin < 0:
        yield Mutant("out_zero_point: unsigned", "its sign is not extended", zero(lambda z: z % (1 << out.element.bits)))
    yield Mutant(
        "out_zero_point: after the clamp",
        "the clamp sees the value without its zero point",
        replaced(REQUANTIZE, after_the_clamp),
        ("requantizer.zero_add", "requantizer.clamped"),
    )
    other = "before" if q.zero_point == "after" else "after"
    yield Mutant(
        f"out_zero_point: {other} the product",
        "it is added at another stage",
        replaced(REQUANTIZE, with_requantizer(zero_point=other)),
        ("requantizer.zero_add",),
    )


def _clamp(unit: Unit) -> Iterator[Mutant]:
    d = unit.datapath
    assert d is not None
    if "clamp" not in unit.parameters and d.clamp is None:
        return

    def bounds(change: Callable[[int, int], tuple[int, int] | None]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def requantize(acc: Any, q: Requantizer, **rest: Any) -> Any:
                given = rest["clamp"]
                return original(acc, q, **rest | {"clamp": change(*given) if given is not None else None})

            return requantize

        return replaced(REQUANTIZE, make)

    least, most = -(1 << 40), 1 << 40
    for what, why, change in (
        ("none", "no clamp", lambda low, high: None),
        ("low only", "the upper bound is not connected", lambda low, high: (low, most)),
        ("high only", "the lower bound is not connected", lambda low, high: (least, high)),
        ("swapped", "the bounds are exchanged", lambda low, high: (high, low)),
        ("low excluded", "> instead of >=", lambda low, high: (low + 1, high)),
        ("high excluded", "< instead of <=", lambda low, high: (low, high - 1)),
        ("high one late", "<= of the bound plus 1", lambda low, high: (low, high + 1)),
        ("low one late", ">= of the bound minus 1", lambda low, high: (low - 1, high)),
    ):
        yield Mutant(f"clamp: {what}", why, bounds(change))
