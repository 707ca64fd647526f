"""Operands that drive the registers of an integer accumulator (rule A1) to their edges, beyond, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qsim.golden.cases.draft import Draft, Words, codes, defaults, integers, signed
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec.requantizer import Interval

Pair = tuple[int, int]
SIDES = ("activation", "weight")
SEARCHED = 300  # random extremes that `select` looks through
MAX_HOT = 64


def has(unit: Unit, name: str) -> bool:
    """Whether the unit has an input of this name."""
    return any(port.name == name for port in unit.inputs)


def ends(unit: Unit) -> tuple[Interval, Interval]:
    """Lowest and highest integer of activation and weight."""
    found = [sorted(codes(fmt.element)) for fmt in formats(unit)]
    return (found[0][0], found[0][-1]), (found[1][0], found[1][-1])


def pairs_for(unit: Unit, total: int, most: int) -> list[Pair] | None:
    """At most `most` pairs whose products sum up to total, large ones first; None where there are none."""
    (alow, ahigh), (wlow, whigh) = ends(unit)
    pairs: list[Pair] = []
    if 0 not in codes(formats(unit)[0].element):  # +1 and -1 only: all lanes count
        if (most + total) % 2 or abs(total) > most:
            return None
        plus = (most + total) // 2
        pairs = [(1, 1)] * plus + [(1, -1)] * (most - plus)
        return pairs if held(unit, pairs) else None
    rest = total
    while rest and len(pairs) < most:
        w = whigh if rest > 0 else wlow
        a = min(abs(rest) // max(abs(w), 1), ahigh)
        if w == 0:  # unsigned weights
            w, a = whigh, -min(-rest // whigh, -alow)
        if a == 0:  # less than the largest weight
            pairs.append((1, rest) if wlow <= rest <= whigh else (-1, -rest))
            rest = 0
        else:
            pairs.append((a, w))
            rest -= a * w
    return None if rest or not held(unit, pairs) else pairs


def held(unit: Unit, pairs: Sequence[Pair]) -> bool:
    """Whether the formats hold both sides of every pair."""
    a, w = (codes(fmt.element) for fmt in formats(unit))
    return all(x in a and y in w for x, y in pairs)


def structural(unit: Unit) -> Iterator[Draft]:
    """Cases that stand for themselves."""
    rest, k = defaults(unit), unit.k
    (alow, ahigh), (wlow, whigh) = ends(unit)
    yield Draft(("Zero",), "all operands 0, or +1 and -1 by turns", rest | integers(unit, *_neutral(unit)))
    for a, w in ((ahigh, whigh), (alow, wlow), (ahigh, wlow), (alow, whigh)):
        yield Draft(("Extremes",), f"every pair {a} * {w}", rest | integers(unit, [a] * k, [w] * k))
    for lane in range(0 if only_signs(unit) else min(k, MAX_HOT)):
        rows = _neutral(unit)
        rows[0][lane], rows[1][lane] = (ahigh, wlow) if lane % 2 else (alow or ahigh, whigh)
        yield Draft(("OneHot",), f"lane {lane} alone", rest | integers(unit, *rows))
    yield Draft(
        ("Distinct",),
        "another product in every lane",
        rest | integers(unit, [min(i + 1, ahigh) for i in range(k)], [_distinct(i, wlow, whigh) for i in range(k)]),
    )
    for side, fmt in enumerate(formats(unit)):
        for bit in range(fmt.element.bits if fmt.element.bits > 1 else 0):
            value = fmt.element.integer(1 << bit)
            other = [1, -1 if min(codes(formats(unit)[1 - side].element)) < 0 else 1]
            pair = [[value] * k, [other[i % 2] for i in range(k - 1)] + [other[0]]]
            if value in codes(fmt.element):
                yield Draft(("WalkingOne",), f"bit {bit} of {SIDES[side]}", rest | integers(unit, pair[side], pair[1 - side]))
    half, m = k // 2, min(whigh, -wlow)
    if half and m > 0:
        for w in (m, -m):
            text = "the second half takes off what the first one adds"
            yield Draft(("Cancellation",), text, rest | integers(unit, [ahigh] * (2 * half), [w] * half + [-w] * half))
    yield from _biases(unit, rest)
    yield from _zero_points(unit, rest)


def _neutral(unit: Unit) -> tuple[list[int], list[int]]:
    """Operands of sum 0 (or 1, of an odd number of +1 and -1)."""
    a, w = (codes(fmt.element) for fmt in formats(unit))
    return [0 if 0 in a else 1] * unit.k, [0 if 0 in w else 1 - 2 * (i % 2) for i in range(unit.k)]


def only_signs(unit: Unit) -> bool:
    """Whether no operand has a zero."""
    return not any(0 in codes(fmt.element) for fmt in formats(unit))


def _distinct(i: int, low: int, high: int) -> int:
    """From the largest weight down, every third one negative."""
    return max(low, i % 3 - 1 if high < 2 else (high - i % high) * (-1 if i % 3 == 0 else 1)) or high


def _biases(unit: Unit, rest: dict[str, int]) -> Iterator[Draft]:
    if not has(unit, "bias") or unit.integer is None:
        return
    low, high = unit.integer.last.range
    for bias in (low, low + 1, -1, 1, high - 1, high):
        yield Draft(("BiasEdge",), f"bias {bias} alone", rest | integers(unit, *_neutral(unit)) | signed(unit, {"bias": bias}))


def _zero_points(unit: Unit, rest: dict[str, int]) -> Iterator[Draft]:
    """Zero points at both ends with operands at both ends."""
    for side, (name, (low, high)) in enumerate(zip(("a_zero_point", "w_zero_point"), ends(unit), strict=True)):
        if not has(unit, name):
            continue
        for zero in (low, high):
            for own in (low, high):
                rows = [[min(1 + i % 3, top) for i in range(unit.k)] for _, top in ends(unit)]
                rows[side] = [own] * unit.k
                yield Draft(
                    ("ZeroPointEdge",),
                    f"{name} {zero}, every code {own}",
                    rest | integers(unit, rows[0], rows[1]) | signed(unit, {name: zero}),
                )


def searched(unit: Unit, seed: int = 0) -> Iterator[Draft]:
    """Cases of which only those are kept that show something new."""
    rest = defaults(unit)
    for pairs, extra in _register_edges(unit):
        if len(pairs) <= unit.k and held(unit, pairs):
            a, w = [a for a, _ in pairs], [w for _, w in pairs]
            yield Draft((), "", rest | integers(unit, a, w) | signed(unit, extra))
    yield from _random_extremes(unit, rest, seed)


def _register_edges(unit: Unit) -> Iterator[tuple[list[Pair], dict[str, int]]]:
    """Pairs whose sum reaches or exceeds an edge of a register, some with what brings it back."""
    acc = unit.integer
    assert acc is not None
    (_, ahigh), (wlow, whigh) = ends(unit)
    for name, register in acc.narrows.items():
        for edge in register.range:
            outward = 1 if edge > 0 else -1
            back = (ahigh, wlow if edge > 0 else whigh)
            for beyond in (0, 1, 2, 100, 5000):
                wanted = edge + outward * beyond
                if name in ("bias", "spill", "zero_points") or acc.bias == "first":
                    yield from _with_bias(unit, wanted, acc.last.range, back)
                if name == "product" and acc.product is not None:
                    factors = factor(unit, wanted << acc.product.shift.offset)
                    yield ([factors] if factors else []), {}
                most = min(acc.lanes, unit.k) if name == "lane" else unit.k
                pairs = pairs_for(unit, wanted, most)
                if pairs:
                    yield pairs, {}
                    for n in (1, 2, max(unit.k - len(pairs), 0)):
                        yield pairs + [back] * n, {}
                        yield [(0, 0)] * (-len(pairs) % acc.lanes) + pairs + [back] * n, {}
    if acc.product is not None and acc.product.shift.offset:
        half = 1 << (acc.product.shift.offset - 1)
        for odd in (1, 3, -1, -3, 5, -5):
            for beside in (-1, 0, 1):
                factors = factor(unit, odd * half + beside)
                yield ([factors] if factors else []), {}


def _with_bias(unit: Unit, wanted: int, last: Interval, back: Pair) -> Iterator[tuple[list[Pair], dict[str, int]]]:
    """A bias that completes small sums to what is wanted."""
    if not has(unit, "bias"):
        return
    for small in (0, 1, -1, 77, -77, back[0] * back[1] * unit.k // 2, -(back[0] * back[1]) * unit.k // 2):
        pairs = pairs_for(unit, small, unit.k)
        if pairs is not None and last[0] <= wanted - small <= last[1]:
            yield pairs, {"bias": wanted - small}
            yield [*pairs, back], {"bias": wanted - small}


def factor(unit: Unit, wanted: int) -> Pair | None:
    """A pair with this product."""
    a, w = (codes(fmt.element) for fmt in formats(unit))
    for y in sorted(w, key=lambda v: (-abs(v), v)):
        if y and wanted % y == 0 and wanted // y in a:
            return wanted // y, y
    return None


def _random_extremes(unit: Unit, rest: dict[str, int], seed: int) -> Iterator[Draft]:
    """Operands and parameters drawn from the ends of their ranges."""
    words = Words(seed, 1)
    for _ in range(SEARCHED):
        rows = []
        for low, high in ends(unit):
            pool: Sequence[int] = (low, high, low, high, low // 2, high // 2, 1 if low <= 1 <= high else high)
            run = words.between(1, unit.k)
            rows.append([words.of(pool[:2] if i < run else pool) for i in range(unit.k)])
        extra = {}
        if has(unit, "bias") and unit.integer is not None:
            low, high = unit.integer.last.range
            extra["bias"] = words.of((0, low, high, min(low + words.bits(12), high), max(high - words.bits(12), low)))
        for name, (low, high) in zip(("a_zero_point", "w_zero_point"), ends(unit), strict=True):
            if has(unit, name):
                extra[name] = words.of((0, 0, low, high))
        known = [[v if v in codes(fmt.element) else 1 for v in row] for fmt, row in zip(formats(unit), rows, strict=True)]
        yield Draft((), "", rest | integers(unit, *known) | signed(unit, extra))
