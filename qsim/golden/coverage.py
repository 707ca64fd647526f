"""What the cases of a suite exercise, and what none of them does: numeric events derived from the unit.

An event that the unit cannot show is not listed: registers that no value overflows, steps that shift nothing to the right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from qsim.golden.cases.observe import observe
from qsim.golden.mutants.reach import inside, reach_of
from qsim.golden.mutants.requantizer_reach import narrows_of, requantizer_reach
from qsim.golden.ports import formats
from qsim.golden.suite import Suite
from qsim.golden.unit import Unit
from qsim.golden.unit_reference import _row
from qsim.reference.block_dot import Row
from qsim.spec import Format
from qsim.spec.requantizer import Interval, Narrow

MAX_CODES = 256  # an element of more codes is covered by its ends, zero, and each bit alone
SHOWN = 12
SIGNS = ("+ even", "+ odd", "- even", "- odd")
DISTANCES = ((0, 0), (1, 1), (2, 7), (8, 15), (16, 31), (32, 63), (64, 600))


@dataclass
class Group:
    """Events of one kind: how many cases hit each. rest: seen, although nothing asked for it."""

    name: str
    events: dict[str, int] = field(default_factory=dict)

    @property
    def possible(self) -> int:
        """Events that the unit can show."""
        return len(self.events)

    @property
    def hit(self) -> int:
        """Those that a case hits."""
        return sum(count > 0 for count in self.events.values())

    @property
    def missing(self) -> list[str]:
        """Those that none hits."""
        return [name for name, count in self.events.items() if not count]

    @property
    def text(self) -> str:
        """Cases of each event where there are few, and what is missing."""
        found = [f"{name} {count}" for name, count in self.events.items() if count]
        seen = ", ".join(found) if len(found) <= SHOWN else ""
        lost = self.missing[:SHOWN] + (["..."] if len(self.missing) > SHOWN else [])
        return "; ".join(part for part in (seen, f"not hit: {', '.join(lost)}" if lost else "") if part)


@dataclass(frozen=True)
class Coverage:
    """Groups of events of a suite."""

    suite: str
    groups: tuple[Group, ...]

    @property
    def total(self) -> tuple[int, int]:
        """Events hit, and events."""
        return sum(g.hit for g in self.groups), sum(g.possible for g in self.groups)

    def group(self, name: str) -> Group:
        """A group by its name."""
        return next(g for g in self.groups if g.name == name)

    def table(self) -> dict[str, Any]:
        """As JSON has it."""
        hit, possible = self.total
        groups = [{"name": g.name, "hit": g.hit, "possible": g.possible, "cases": g.events} for g in self.groups]
        return {"suite": self.suite, "hit": hit, "possible": possible, "groups": groups}


def coverage(suite: Suite) -> Coverage:
    """Count the cases of every event."""
    unit = suite.unit
    groups: dict[str, Group] = {}
    for name, events in universe(unit):
        groups.setdefault(name, Group(name)).events.update(dict.fromkeys(events, 0))
    for case in suite.cases:
        for name, event in set(events_of(unit, case.values)):
            group = groups.get(name)
            if group is not None and event in group.events:
                group.events[event] += 1
    return Coverage(suite.name, tuple(g for g in groups.values() if g.events))


def universe(unit: Unit) -> Iterator[tuple[str, Iterable[str]]]:
    """Every group with the events that the unit can show."""
    if unit.kind in ("dot", "matmul", "chain"):
        for side, fmt in zip(("activation", "weight"), formats(unit), strict=True):
            yield from _operand_universe(unit, side, fmt)
        if unit.block is not None:
            yield "exponent distance", [_bucket(d) for d in _distances(unit)]
    elif unit.fmt is not None:
        yield "result: codes", _codes_of(unit.fmt)
        yield from _scale_universe("result", unit.fmt)
    for port in unit.inputs:
        if port.role == "parameter" and port.kind == "signed":
            yield f"{port.name}", _ends(unit, port.name)
    yield from _register_universe(unit)


def _operand_universe(unit: Unit, side: str, fmt: Format) -> Iterator[tuple[str, Iterable[str]]]:
    yield f"{side}: codes", _codes_of(fmt)
    if 0 in [fmt.element.value(c) for c in range(min(fmt.number_of_codes, MAX_CODES))] and unit.kind != "matmul":
        yield f"{side}: one lane alone", [str(i) for i in range(unit.k)]
    yield from _scale_universe(side, fmt)


def _scale_universe(side: str, fmt: Format) -> Iterator[tuple[str, Iterable[str]]]:
    if fmt.layout.scales != "word":
        return
    for i, s in enumerate(fmt.block_scales):
        name = f"{side}: scale{i}"
        if s.kind == "microexponent":
            yield name, ["0", "1"]
        elif s.kind == "exponent":
            yield name, ["0", "1", "126", "127", "128", "253", "254", "255"]
        elif s.bits <= 4:
            yield name, [str(c) for c in range(1 << s.bits)]
        else:
            yield name, ["smallest", "largest", "subnormal", "1"] if s.kind == "float" else ["0", "1", "largest"]


def _codes_of(fmt: Format) -> list[str]:
    bits = fmt.element.bits
    if 1 << bits <= MAX_CODES:
        return [f"{c:#x}" for c in range(1 << bits) if fmt.family != "ternary" or c != 2]
    return [f"{c:#x}" for c in sorted({0, (1 << bits) - 1, *(1 << i for i in range(bits)), (1 << (bits - 1)) - 1})]


def _ends(unit: Unit, name: str) -> list[str]:
    """Ends of a parameter's domain, and every shift."""
    d = unit.datapath
    assert d is not None
    q = d.requantizer
    if name == "shift" and q is not None:
        return [str(s) for s in range(q.shift[0], q.shift[1] + 1)]
    if name == "multiplier" and q is not None:
        return [str(v) for v in q.multiplier]
    if name in ("a_zero_point", "w_zero_point"):
        return [str(v) for v in d.operand_interval("activation" if name[0] == "a" else "weight")]
    if name in ("out_zero_point", "clamp_low", "clamp_high") and unit.out_format is not None:
        low, high = unit.out_format.element.qmin, unit.out_format.element.qmax
        return (
            [str(low), str(high)]
            if name == "out_zero_point"
            else [f"{low}", "inside"]
            if name == "clamp_low"
            else ["inside", f"{high}"]
        )
    width = unit.port(name).width
    return [str(-(1 << (width - 1))), "-1", "0", str((1 << (width - 1)) - 1)]


def _register_universe(unit: Unit) -> Iterator[tuple[str, Iterable[str]]]:
    """Overflows, edges and ties."""
    narrows: dict[str, Narrow] = {}
    reach: dict[str, Interval] = {}
    if unit.kind in ("dot", "matmul", "chain"):
        acc = unit.integer or unit.block
        narrows |= acc.narrows if acc is not None else {}
        reach |= reach_of(unit)
    q = unit.datapath.requantizer if unit.datapath is not None else None
    if q is not None and q.prep.kind != "thresholds":
        narrows |= narrows_of(unit, q)
        reach |= requantizer_reach(unit, q)
    for name, register in narrows.items():
        if register.overflow == "error" or (name in reach and inside(reach[name], register.range)):
            continue
        low, high = register.range
        what = "wraps" if register.overflow.startswith("wrap") else "saturates"
        sides = [
            side
            for side, possible in (
                ("low", name not in reach or reach[name][0] < low),
                ("high", name not in reach or reach[name][1] > high),
            )
            if possible
        ]
        yield f"{name} {what}", sides
        if not (q is not None and q.clamp_first and name == "output"):
            yield f"{name} edge", [f"{side} {edge}" for side in sides for edge in ("reached", "exceeded by 1")]
    if q is None:
        return
    steps = [("before", i, s) for i, s in enumerate(q.before)] + [("step", i, s) for i, s in enumerate(q.steps)]
    for place, i, step in steps:
        amounts = [step.shift(s) for s in q.shift]
        if q.prep.is_float or q.prep.kind == "significand" or max(amounts) > 0:
            yield f"{place}{i} tie", SIGNS
            if max(amounts) > 10 or q.prep.is_float:
                yield f"{place}{i} near a tie", [f"{sign} {side}" for sign in "+-" for side in ("above", "below")]


def _distances(unit: Unit) -> list[int]:
    """Distances of exponents that blocks of the unit can have."""
    acc = unit.block
    assert acc is not None
    kinds = {s.kind for fmt in formats(unit) for s in fmt.block_scales}
    if unit.k <= max(fmt.block_size for fmt in formats(unit)) or acc.into == "integer":
        return []
    return [high for _, high in DISTANCES] if "exponent" in kinds else [high for _, high in DISTANCES[:4]]


def _bucket(distance: int) -> str:
    low, high = next((low, high) for low, high in DISTANCES if low <= distance <= high)
    return str(low) if low == high else f"{low} to {high}"


# --- what a case hits ---


def events_of(unit: Unit, values: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """(group, event) of one case; some may be of no group of the unit."""
    if unit.kind in ("dot", "chain"):
        rows = [_row(unit, dict(values), side, fmt) for side, fmt in zip(("activation", "weight"), formats(unit), strict=True)]
        for side, row in zip(("activation", "weight"), rows, strict=True):
            yield from _row_events(side, row)
            alone = [i for i, code in enumerate(row.codes) if row.fmt.element.value(code) != 0]
            if len(alone) == 1:
                yield f"{side}: one lane alone", str(alone[0])
    elif unit.fmt is not None:
        split = unit.port("codes").split(values["codes"])
        yield from (("result: codes", f"{code:#x}") for code in split)
        for i, s in enumerate(unit.fmt.block_scales):
            for code in unit.port(f"scale{i}").split(values[f"scale{i}"]):
                yield from _scale_event(f"result: scale{i}", s, code)
    for port in unit.inputs:
        if port.role == "parameter" and port.kind == "signed":
            value = port.split(values[port.name])[0]
            yield port.name, str(value)
            if port.name.startswith("clamp") and unit.out_format is not None:
                e = unit.out_format.element
                yield port.name, "inside" if e.qmin < value < e.qmax else str(value)
    if "exponents" in values:
        exponents = unit.port("exponents").split(values["exponents"])
        yield from (("exponent distance", _bucket(min(abs(x - y), 600))) for x, y in pairwise(exponents))
    yield from _observed(unit, values)


def _row_events(side: str, row: Row) -> Iterator[tuple[str, str]]:
    yield from ((f"{side}: codes", f"{code:#x}") for code in row.codes)
    for i, (s, codes) in enumerate(zip(row.fmt.block_scales, row.scales, strict=True)):
        for code in codes:
            yield from _scale_event(f"{side}: scale{i}", s, code)


def _scale_event(name: str, s: Any, code: int) -> Iterator[tuple[str, str]]:
    yield name, str(code)
    if s.kind == "float":
        e = s.float_type
        named = {1: "smallest", e.max_code: "largest", e.bias << e.mantissa_bits: "1"}
        if code in named:
            yield name, named[code]
        if 0 < code < 1 << e.mantissa_bits:
            yield name, "subnormal"
    elif code == (1 << s.bits) - 1:
        yield name, "largest"


NAMED: dict[str, Callable[[str], tuple[str, str]]] = {
    "Saturation": lambda text: (f"{text.rsplit(' ', 1)[0]} saturates", text.rsplit(" ", 1)[1]),
    "Wrap": lambda text: (f"{text.rsplit(' ', 1)[0]} wraps", text.rsplit(" ", 1)[1]),
    "JustReaches": lambda text: (f"{text.rsplit(' ', 1)[0]} edge", f"{text.rsplit(' ', 1)[1]} reached"),
    "JustExceeds": lambda text: (f"{text.rsplit(' ', 1)[0]} edge", f"{text.rsplit(' ', 1)[1]} exceeded by 1"),
    "Tie": lambda text: (f"{text.split(' ', 1)[0]} tie", text.split(" ", 1)[1]),
    "NearTie": lambda text: (f"{text.split(' ', 1)[0]} near a tie", text.split(" ", 1)[1]),
}


def _observed(unit: Unit, values: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What the registers show."""
    tally = Counter(observe(unit, values))
    for flag, text in tally:
        if flag in NAMED and " " in text:
            yield NAMED[flag](text)
