"""What a case exercises, seen in the values of its taps: (flag, detail) of every numeric event, recomputed in exact integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from qsim.golden.cases.rest import scale_value
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.reference.numbers import FLOAT64
from qsim.spec.requantizer import Narrow, Requantizer, Step

Seen = set[tuple[str, str]]
NEAR = 10  # a near tie lies within 2^-10 of a step of the tie


class Write(NamedTuple):
    """A value that entered a register, and what it kept."""

    name: str
    entering: int
    kept: int
    register: Narrow


def observe(unit: Unit, values: Mapping[str, int]) -> Seen:
    """Events of a case: values holds the patterns of all its ports."""
    if unit.kind == "matmul":
        from qsim.golden.cases.tiles import outputs_of

        return {found for one, inside in outputs_of(unit, values) for found in observe(one, inside)}
    seen: Seen = set()
    split = {port.name: port.split(values[port.name]) for port in unit.ports}
    if unit.kind in ("dot", "chain"):
        if unit.integer is not None:
            writes = list(integer_writes(unit, values, split))
            seen |= of_writes(writes) | of_sum(unit, writes, split)
            seen |= product_ties(unit, values)
        elif unit.block is not None:
            from qsim.golden.cases.observe_block import of_block

            seen |= of_block(unit, values, split)
        else:
            from qsim.golden.cases.observe_float import of_float

            seen |= of_float(unit, split)
    if unit.kind in ("dot", "chain", "requantize") and unit.datapath is not None and unit.datapath.requantizer is not None:
        acc = split["acc" if unit.kind == "requantize" else "accumulator"][0]
        seen |= of_requantizer(unit, unit.datapath.requantizer, acc, split, values)
    return seen


def operand_integers(unit: Unit, values: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """The integers of both operands' codes."""
    found = []
    for side, fmt in zip(("activation", "weight"), formats(unit), strict=True):
        found.append([fmt.element.integer(code) for code in unit.port(side).split(values[side])])
    return found[0], found[1]


def integer_writes(unit: Unit, values: Mapping[str, int], split: Mapping[str, list[int]]) -> Iterator[Write]:
    """Every write of a register of rule A1, in the order of the data, from the taps."""
    acc = unit.integer
    assert acc is not None
    narrows, lanes = acc.narrows, split["lane_sums"]
    zero_a, zero_w, bias = (split.get(name, [0])[0] for name in ("a_zero_point", "w_zero_point", "bias"))
    a, w = operand_integers(unit, values)
    correction = unit.k * zero_a * zero_w - zero_a * sum(w) - zero_w * sum(a)
    if acc.zero_points == "before":
        a, w, correction = [x - zero_a for x in a], [y - zero_w for y in w], 0
    if acc.zero_points == "folded":
        bias, correction = bias + correction, 0
    if "product" in narrows and acc.product is not None:
        from qsim.reference.requantize import shifted

        for x, y, kept in zip(a, w, split["products"], strict=True):
            yield Write("product", shifted(x * y, acc.product, 0)[0], kept, narrows["product"])
    if "lane" in narrows:
        for j, kept in enumerate(lanes):
            yield Write("lane", sum(split["products"][j * acc.lanes : (j + 1) * acc.lanes]), kept, narrows["lane"])
    sums, register = iter(split["partial_sums"]), narrows["accumulator"]
    start = 0
    if acc.bias == "first":
        start = _kept(bias, acc.last)
        yield Write("bias", bias, start, acc.last)
    value = start
    if acc.order == "tree":
        nodes = lanes
        if len(nodes) < 2:
            value = next(sums)
            yield Write("accumulator", sum(nodes), value, register)
        while len(nodes) > 1:
            odd = nodes[len(nodes) // 2 * 2 :]
            added = []
            for left, right in zip(nodes[::2], nodes[1::2], strict=False):
                added.append(next(sums))
                yield Write("accumulator", left + right, added[-1], register)
            nodes = added + odd
            value = nodes[0]
    elif acc.order == "chunked":
        each = (acc.chunk or 1) // acc.lanes
        for c, spill in enumerate(split["spill"]):
            total = 0
            for term in lanes[c * each : (c + 1) * each]:
                kept = next(sums)
                yield Write("accumulator", total + term, kept, register)
                total = kept
            yield Write("spill", value + total, spill, narrows["spill"])
            value = spill
    else:
        for term, kept in zip(lanes, sums, strict=True):
            yield Write("accumulator", value + term, kept, register)
            value = kept
    if acc.zero_points == "after":
        yield Write("zero_points", value + correction, split["corrected"][0], narrows["zero_points"])
        value = split["corrected"][0]
    if acc.bias == "last":
        yield Write("bias", value + bias, split["accumulator"][0], narrows["bias"])


def _kept(value: int, register: Narrow) -> int:
    from qsim.reference.requantize import narrow

    return narrow(value, value, register)


def of_writes(writes: list[Write]) -> Seen:
    """Overflows and edges of every register."""
    seen: Seen = set()
    for name, entering, kept, register in writes:
        low, high = register.range
        if entering in (low, high):
            seen.add(("JustReaches", f"{name} {'low' if entering == low else 'high'}"))
        if entering in (low - 1, high + 1):
            seen.add(("JustExceeds", f"{name} {'low' if entering < low else 'high'}"))
        if kept != entering:
            flag = "Wrap" if register.overflow.startswith("wrap") else "Saturation"
            seen.add((flag, f"{name} {'low' if entering < low else 'high'}"))
    return seen


def of_sum(unit: Unit, writes: list[Write], split: Mapping[str, list[int]]) -> Seen:
    """A sum that leaves its register and comes back; large partial sums whose total is small."""
    seen: Seen = set()
    acc = unit.integer
    assert acc is not None
    adds = [w for w in writes if w.name in ("lane", "accumulator", "spill")]
    final, (low, high) = split["accumulator"][0], acc.last.range
    over = [w for w in adds[:-1] if w.kept != w.entering]
    if over and adds[-1].kept == adds[-1].entering and low < final < high:
        flag = "MidWrap" if over[0].register.overflow == "wrap" else "MidSaturation"
        seen.add((flag, "high" if over[0].entering > 0 else "low"))
    largest = max((abs(v) for v in split["partial_sums"]), default=0)
    if largest > 64 and abs(split["partial_sums"][-1]) <= largest >> 5:
        seen.add(("Cancellation", "sum"))
    return seen


def product_ties(unit: Unit, values: Mapping[str, int]) -> Seen:
    """Ties of the products' own shift."""
    acc = unit.integer
    assert acc is not None
    if acc.product is None:
        return set()
    return {
        found
        for x, y in zip(*operand_integers(unit, values), strict=True)
        for found in rounding("product", Fraction(x * y), acc.product.shift.offset)
    }


def rounding(name: str, value: Fraction, amount: int) -> Iterator[tuple[str, str]]:
    """Where value / 2^amount lies between two integers: at half way, or close to it on either side."""
    if amount <= 0 or value == 0:
        return
    scaled = abs(value) / (1 << amount)
    yield from fraction(name, scaled, value < 0)


def fraction(name: str, scaled: Fraction, negative: bool) -> Iterator[tuple[str, str]]:
    """The same of a magnitude in units of the last place."""
    whole = scaled.numerator // scaled.denominator
    rest = scaled - whole - Fraction(1, 2)
    sign = "-" if negative else "+"
    if rest == 0:
        yield "Tie", f"{name} {sign} {'odd' if whole % 2 else 'even'}"
    elif abs(rest) <= Fraction(1, 1 << NEAR):
        yield "NearTie", f"{name} {sign} {'above' if rest > 0 else 'below'}"


def of_requantizer(unit: Unit, q: Requantizer, acc: int, split: Mapping[str, list[int]], values: Mapping[str, int]) -> Seen:
    """Events of rule Q1, from the requantizer's taps."""
    seen: Seen = set()
    if q.prep.kind == "thresholds":
        return seen
    shift = split["shift"][0] if "shift" in split else 0
    zero = split.get("out_zero_point", [0])[0]
    taps = {name.removeprefix("requantizer."): found[0] for name, found in split.items() if name.startswith("requantizer.")}
    if "scale" in values and q.prep.kind == "significand":
        from qsim.reference.requantize import significand

        real = scale_value(q, values["scale"])
        assert isinstance(real, Fraction)
        shift = significand(real, q.prep.bits)[1]
    value = Fraction(acc - zero if q.zero_point == "before" else acc)
    for i, step in enumerate(q.before):
        seen |= of_step(f"before{i}", value, step, shift, taps[f"before{i}"])
        value = Fraction(taps[f"before{i}"])
    if q.prep.is_float:
        product = FLOAT64.value(taps["product"])
        assert isinstance(product, Fraction)
        if product:
            seen |= set(fraction("step0", abs(product), product < 0))
        if q.prep.kind == "f32" and abs(acc) >> 24 and acc % (1 << max(abs(acc).bit_length() - 24, 0)):
            seen.add(("FloatRounding", "accumulator"))
        value = Fraction(taps["step0"])
    else:
        value = Fraction(taps["product"])
        for i, step in enumerate(q.steps):
            seen |= of_step(f"step{i}", value, step, shift, taps[f"step{i}"])
            value = Fraction(taps[f"step{i}"])
    if q.zero_point == "after" and q.zero_add is not None:
        seen |= of_writes([Write("zero_add", int(value) + zero, taps["zero_add"], q.zero_add)])
    return seen | of_finish(unit, q, taps, split)


def of_step(name: str, value: Fraction, step: Step, shift: int, kept: int) -> Seen:
    """A shift: ties, and the register after it."""
    from qsim.reference.requantize import shifted

    seen = set(rounding(name, value, step.shift(shift)))
    if step.narrow is not None:
        seen |= of_writes([Write(name, shifted(int(value), step, shift)[0], kept, step.narrow)])
    return seen


def of_finish(unit: Unit, q: Requantizer, taps: Mapping[str, int], split: Mapping[str, list[int]]) -> Seen:
    """The output's and the clamp's edges."""
    out = unit.out_format
    assert out is not None
    output = q.output.resolved(out.element.bits, out.element.qmin < 0)
    stages = [name for name in taps if name.startswith(("step", "zero_add"))]
    value = taps[stages[-1]]
    limits = (split["clamp_low"][0], split["clamp_high"][0]) if "clamp_low" in split else output.range
    if limits == output.range:
        return of_writes([Write("output", value, split["result"][0], output)])
    seen: Seen = set()
    for edge, name, outward in ((limits[0], "low", -1), (limits[1], "high", 1)):
        if edge not in output.range and value in (edge, edge + outward):
            seen.add(("ClampEdge", f"{name} {'reached' if value == edge else 'exceeded'}"))
    return seen
