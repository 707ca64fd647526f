"""The smallest accumulator that cannot overflow (rule A4): exact, in Python ints, one width an output channel.

Each activation is free in its range, so that the extremes of every sum are the sums of its products' extremes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from qsim.spec.error import SpecError
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Interval, Narrow

#: Rounding -> does value / 2^s go up from its floor? Arguments: the floor, twice the rest, 2^s, the value.
GOES_UP: dict[str, Callable[[int, int, int, int], bool]] = {
    "half_even": lambda floor, rest, unit, value: rest > unit or (rest == unit and floor % 2 == 1),
    "half_away": lambda floor, rest, unit, value: rest > unit or (rest == unit and value > 0),
    "half_up": lambda floor, rest, unit, value: rest >= unit,
    "half_down": lambda floor, rest, unit, value: rest > unit,
    "half_zero": lambda floor, rest, unit, value: rest > unit or (rest == unit and value < 0),
    "toward_zero": lambda floor, rest, unit, value: rest > 0 > value,
    "away_from_zero": lambda floor, rest, unit, value: rest > 0 and value > 0,
    "floor": lambda floor, rest, unit, value: False,
    "ceil": lambda floor, rest, unit, value: rest > 0,
    "to_odd": lambda floor, rest, unit, value: rest > 0 and floor % 2 == 0,
}


KEYS = ("any_order", "given_order", "spill")


@dataclass(frozen=True)
class SafeBits:
    """Bits of a two's complement register that no activations overflow, one number an output channel.

    any_order: of one register that adds the products one at a time in any order, whatever the lanes, order and chunk.
    given_order: of the accumulator as it is. spill: of its spill register; empty if not chunked.
    """

    any_order: tuple[int, ...]
    given_order: tuple[int, ...]
    spill: tuple[int, ...] = ()

    @property
    def any_order_max(self) -> int:
        """Bits that suffice for every channel; 0 where there is none."""
        return max(self.any_order, default=0)

    @property
    def given_order_max(self) -> int:
        """The same of the accumulator as it is."""
        return max(self.given_order, default=0)

    @property
    def spill_max(self) -> int:
        """The same of its spill register; 0 if not chunked."""
        return max(self.spill, default=0)


def safe_bits(w: Any, x_range: Interval, acc: IntAccumulator, *, bias: Any = None) -> SafeBits:
    """Exact widths for weights w and any activations inside x_range.

    Products and lane sums pass their registers first; where one of those wraps or gives 0, its whole range is assumed: safe, not
    always least.

    Args:
        w: (K, N) integers, an array or nested sequences, zero points taken off.
        x_range: lowest and highest activation, its zero point taken off.
        acc: the accumulator; its own bits do not matter, a symmetric register has no lowest code.
        bias: (N,) integers, or None. Counted in the last register, first or last as `acc` says.
    """
    rows = w.tolist() if hasattr(w, "tolist") else w
    columns = list(zip(*rows, strict=True)) if len(rows) else [()] * (w.shape[1] if hasattr(w, "shape") else 0)
    biases = [0] * len(columns) if bias is None else [int(b) for b in bias]
    if x_range[0] > x_range[1]:
        raise SpecError(f"x_range = {x_range}; allowed: lowest, highest (rule A4)")
    if len(biases) != len(columns) or (bias is not None and acc.bias == "float"):
        raise SpecError(f"{len(biases)} biases for {len(columns)} columns of w; allowed: one each, none with bias = 'float'")
    odd = next((v for column in (*columns, x_range) for v in column if not isinstance(v, int) or isinstance(v, bool)), None)
    if odd is not None:
        raise SpecError(f"w or x_range holds {odd!r}; allowed: integers (rule A4)")
    found = [_column(column, x_range, acc, b) for column, b in zip(columns, biases, strict=True)]
    return SafeBits(
        tuple(bits(reached[0], acc.last) for reached in found),
        tuple(bits(reached[1], acc.register) for reached in found),
        tuple(bits(reached[2], acc.last) for reached in found) if acc.order == "chunked" else (),
    )


def with_zero_point(w: Any, x_range: Interval, acc: IntAccumulator, zero: int, bias: Any) -> SafeBits:
    """Widths where raw codes are summed and -zero * sum(w) enters afterwards, or with the bias (zero_points after, folded).

    What the registers hold is covered by sums with the bias alone, with the correction alone, and with both.
    """
    rows = w.tolist() if hasattr(w, "tolist") else w
    corrections = [-zero * sum(column) for column in zip(*rows, strict=True)]
    biases = [0] * len(corrections) if bias is None else [int(b) for b in bias]
    both = [c + b for c, b in zip(corrections, biases, strict=True)]
    last = replace(acc, bias="last")
    if acc.zero_points == "folded":
        return safe_bits(w, x_range, acc if acc.bias != "float" else last, bias=both)
    found = [safe_bits(w, x_range, last, bias=addend) for addend in (corrections, both)]
    if acc.bias == "first":
        found.append(safe_bits(w, x_range, acc, bias=biases))
    return SafeBits(*(tuple(map(max, zip(*(getattr(f, key) for f in found), strict=True))) for key in KEYS))


def bits(values: Interval, register: Narrow) -> int:
    """The least width, 2 or more, of a signed register of this kind that holds the values."""
    low, high = values
    if register.overflow == "saturate_symmetric":
        return max(abs(low), abs(high), 1).bit_length() + 1
    return max(low if low >= 0 else ~low, high if high >= 0 else ~high, 1).bit_length() + 1


def product_extremes(w: int, x_range: Interval, acc: IntAccumulator) -> Interval:
    """Least and largest product of w after its rounding and register: both grow with the exact product."""
    ends = sorted(w * x for x in x_range)
    step = acc.product
    if step is None:
        return ends[0], ends[1]
    shift, cut = step.shift.offset, 0
    if step.sticky_bits is not None:
        cut = max(shift - step.sticky_bits - 1, 0)
    low, high = (_rounded(end >> cut, shift - cut, step.rounding) for end in ends)
    return step.narrow.interval((low, high)) if step.narrow else (low, high)


def _rounded(value: int, shift: int, rounding: str) -> int:
    floor, unit = value >> shift, 1 << shift
    return floor + GOES_UP[rounding](floor, 2 * (value - floor * unit), unit, value)


def _column(w: Sequence[int], x_range: Interval, acc: IntAccumulator, bias: int) -> tuple[Interval, Interval, Interval]:
    """What can enter a register that adds product by product in any order, the accumulator, and its spill."""
    known = {v: product_extremes(v, x_range, acc) for v in set(w)}
    low, high = ([known[v][side] for v in w] for side in (0, 1))
    first, last = (bias if acc.bias == place else 0 for place in ("first", "last"))
    any_order = _union([(first + sum(v for v in low if v < 0), first + sum(v for v in high if v > 0))])
    any_order = _union([any_order, (first + sum(low) + last, first + sum(high) + last)])
    low, high = _lane_sums(low, high, acc)
    if acc.order == "chunked":
        assert acc.chunk is not None
        each = acc.chunk // acc.lanes
        chunks = [(low[j : j + each], high[j : j + each]) for j in range(0, len(low), each)]
        entering = _union([_prefixes(*chunk, 0) for chunk in chunks])
        return any_order, entering, _with_last(*_sums(chunks), first, last)
    if acc.order == "tree":
        total = sum(low) + last, sum(high) + last
        return any_order, _union([_nodes(low, high), total]), (0, 0)
    return any_order, _with_last(low, high, first, last), (0, 0)


def _lane_sums(low: list[int], high: list[int], acc: IntAccumulator) -> tuple[list[int], list[int]]:
    """Least and largest value of each lane sum after its register."""
    if acc.lanes == 1 and acc.lane is None:
        return low, high
    sums = zip(*([sum(side[k : k + acc.lanes]) for k in range(0, len(side), acc.lanes)] for side in (low, high)), strict=True)
    kept = [acc.lane.interval(values) if acc.lane else values for values in sums]
    return [values[0] for values in kept], [values[1] for values in kept]


def _sums(groups: Iterable[tuple[list[int], list[int]]]) -> tuple[list[int], list[int]]:
    """Least and largest sum of each group."""
    sums = [(sum(low), sum(high)) for low, high in groups]
    return [s[0] for s in sums], [s[1] for s in sums]


def _prefixes(low: Iterable[int], high: Iterable[int], start: int) -> Interval:
    """What a register can hold that starts from `start` and adds one term after the other."""
    return min(accumulate(low, initial=start)), max(accumulate(high, initial=start))


def _with_last(low: list[int], high: list[int], first: int, last: int) -> Interval:
    """The same with a bias before or after the terms."""
    return _union([_prefixes(low, high, first), (first + sum(low) + last, first + sum(high) + last)])


def _nodes(low: list[int], high: list[int]) -> Interval:
    """What any sum of a tree of adjacent pairs can reach; a single term is its own root."""
    reached = [(0, 0), *zip(low, high, strict=True)] if len(low) == 1 else [(0, 0)]
    while len(low) > 1:
        odd = len(low) // 2 * 2
        pairs = [[x + y for x, y in zip(side[::2], side[1::2], strict=False)] for side in (low, high)]
        reached.append((min(pairs[0]), max(pairs[1])))
        low, high = pairs[0] + low[odd:], pairs[1] + high[odd:]
    return _union(reached)


def _union(intervals: Sequence[Interval]) -> Interval:
    """From the least to the largest value, 0 included: every register starts from it or from a bias."""
    return min([0, *(i[0] for i in intervals)]), max([0, *(i[1] for i in intervals)])
