"""Do a device's outputs equal a suite? Bit by bit, every case, by arrays; the report of what differs is in mismatch.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.golden.outputs import Column, Outputs
from qsim.golden.patterns import Words, extract, from_ints, nonzero_rows, to_int
from qsim.golden.reading import Part, parts, rule_of
from qsim.golden.suite import Case, Suite
from qsim.golden.unit import Port, Unit

#: Classes of a difference, the worst last. `missing`: no result of the case; `unknown`: X or Z in a bit that is compared.
CLASSES = ("zero_sign", "nan_payload", "value", "unknown", "missing")
IGNORABLE = ("zero_sign", "nan_payload")
AGREES, ZERO_SIGN, NAN_PAYLOAD, VALUE, UNKNOWN, MISSING = range(6)

Codes = NDArray[np.uint8]
Indexes = NDArray[np.int64]


@dataclass(frozen=True)
class Compared:
    """One port against its column. codes: of every case 0 where it agrees, else 1 + the place of its class in CLASSES."""

    port: Port
    column: Column
    rows: Indexes  # of every case; -1: there is none
    codes: Codes
    extra: int  # rows of no case, or of one that has its row already

    def got(self, case: int) -> tuple[int, int] | None:
        """The pattern and the unknown bits of a case, by its place in the suite; None where it is missing."""
        row = int(self.rows[case])
        if row < 0:
            return None
        unknown = self.column.unknown
        return to_int(self.column.words[row]), 0 if unknown is None else to_int(unknown[row])


@dataclass(frozen=True)
class Verdict:
    """What the comparison found. compared: ports in the order of the data. ignored: differences of classes that do not count."""

    suite: Suite
    source: str
    compared: tuple[Compared, ...]
    ignore: tuple[str, ...]
    ignored: dict[str, int]
    unused: tuple[str, ...] = ()

    @cached_property
    def worst(self) -> Codes:
        """The worst class of every case, over all ports."""
        found = np.zeros(len(self.suite.cases), np.uint8)
        for one in self.compared:
            np.maximum(found, one.codes, out=found)
        return found

    @cached_property
    def places(self) -> Indexes:
        """The cases that differ, as places in the suite."""
        return np.flatnonzero(self.worst)

    @cached_property
    def stages(self) -> Indexes:
        """For each case that differs the first port that does, as a place in `compared`."""
        found = np.zeros(len(self.places), np.int64)
        for i in reversed(range(len(self.compared))):
            found[self.compared[i].codes[self.places] != AGREES] = i
        return found

    @property
    def extra(self) -> int:
        """Rows of no case."""
        return sum(one.extra for one in self.compared)

    @property
    def number_compared(self) -> int:
        """Cases that have a result, and a row on every other port given."""
        whole = np.ones(len(self.suite.cases), bool)
        for one in self.compared:
            whole &= one.rows >= 0
        return int(whole.sum())

    @property
    def mismatches(self) -> int:
        """Cases that differ."""
        return len(self.places)

    @property
    def agrees(self) -> bool:
        """True where every case has been compared and nothing differs."""
        return not self.mismatches and not self.extra and bool(self.suite.cases)

    @cached_property
    def by_class(self) -> dict[str, int]:
        """Mismatches of each class."""
        counts = np.bincount(self.worst, minlength=len(CLASSES) + 1)
        return {name: int(counts[i]) for i, name in enumerate(CLASSES, 1) if counts[i]}

    @cached_property
    def by_stage(self) -> dict[str, int]:
        """Mismatches by the port that differs first."""
        counts = np.bincount(self.stages, minlength=len(self.compared))
        return {one.port.name: int(n) for one, n in zip(self.compared, counts, strict=True) if n}

    @cached_property
    def by_flag(self) -> dict[str, tuple[int, int]]:
        """Flag -> (mismatches, cases) that have it, those with most mismatches first."""
        cases = self.suite.cases
        bad = Counter(flag for i in self.places.tolist() for flag in cases[i].flags)
        if not bad:
            return {}
        every = Counter(flag for case in cases for flag in case.flags)
        return {flag: (n, every[flag]) for flag, n in sorted(bad.items(), key=lambda item: (-item[1], item[0]))}

    def rule(self, port: Port) -> str:
        """The rule of a stage."""
        return rule_of(self.suite.unit, port)

    def cause(self) -> str:
        """What the mismatches have in common, in a sentence; nothing where there are none."""
        if not self.mismatches:
            return ""
        n, cases = self.mismatches, len(self.suite.cases)
        if n == cases:
            return f"all {cases} cases differ"
        common = [flag for flag, (bad, _) in self.by_flag.items() if bad == n]
        named = [flag for flag in common if self.by_flag[flag][1] < cases]
        if not named:
            return "no flag is common to all mismatches"
        closed = [flag for flag in named if self.by_flag[flag][1] == n]
        which = ", and no other case has it" if closed else ""
        names = " and ".join(closed or named)
        return f"the only mismatch has flag {names}{which}" if n == 1 else f"all {n} mismatches have flag {names}{which}"


def verify(suite: Suite, outputs: Outputs, *, ignore: Iterable[str] = (), wanted: Sequence[str] | None = None) -> Verdict:
    """Compare every output given with the suite; `ignore` takes zero_sign and nan_payload.

    Where an output of `wanted` (None: those that `required` names) has no column every case counts as missing.
    """
    skipped = tuple(dict.fromkeys(ignore))
    for name in skipped:
        if name not in IGNORABLE:
            raise ValueError(f"ignore = {name!r}; allowed: {', '.join(IGNORABLE)}")
    ids = np.array([case.id for case in suite.cases], np.int64)
    masked = [(i, case) for i, case in enumerate(suite.cases) if case.masks]
    ignored: Counter[str] = Counter()
    compared = []
    wanted = required(suite.unit) if wanted is None else wanted
    for port in suite.unit.outputs:
        column = outputs.columns.get(port.name)
        if column is None and port.name not in wanted:
            continue
        one = compare(suite, port, column or Column(from_ints([], port.bits)), ids, masked)
        for name in skipped:
            hidden = one.codes == CLASSES.index(name) + 1
            ignored[name] += int(hidden.sum())
            one.codes[hidden] = AGREES
        compared.append(one)
    return Verdict(suite, outputs.source, tuple(compared), skipped, dict(ignored), outputs.ignored)


def required(unit: Unit) -> tuple[str, ...]:
    """Outputs that must be there: the result, or of a design whose [ports] table names none, the taps that it names."""
    ports = unit.datapath.ports if unit.datapath is not None else {}
    named = tuple(port.name for port in unit.outputs if port.name in ports)
    return ("result",) if "result" in named or not named else named


def compare(suite: Suite, port: Port, column: Column, ids: Indexes, masked: Sequence[tuple[int, Case]]) -> Compared:
    """One port of every case; `masked` are the cases with bits that are not compared, by their places."""
    rows, extra = align(column, ids)
    codes = np.where(rows < 0, np.uint8(MISSING), np.uint8(AGREES))
    want = suite.words(port.name)
    if len(column.words) == len(want) and (rows == np.arange(len(rows))).all():
        got, unknown = column.words, column.unknown
    elif not len(column.words):
        return Compared(port, column, rows, codes, extra)
    else:
        got = column.words[rows]
        unknown = None if column.unknown is None else column.unknown[rows]
    difference = got ^ want
    if unknown is not None:
        difference |= unknown
    hide_masked(difference, masked, port)
    bad = np.flatnonzero(nonzero_rows(difference) & (rows >= 0))
    if len(bad):
        hidden = None if unknown is None else unknown[bad] & difference[bad]
        codes[bad] = classify(want[bad], got[bad], difference[bad], hidden, parts(suite.unit, port))
    return Compared(port, column, rows, codes, extra)


def align(column: Column, ids: Indexes) -> tuple[Indexes, int]:
    """The row of each case, -1 where there is none, and the number of rows that are no case's; the first of two rows counts."""
    n, m = len(column.words), len(ids)
    if column.ids is None:
        rows = np.arange(m)
        rows[n:] = -1
        return rows, max(n - m, 0)
    rows = np.full(m, -1, np.int64)
    if not m or not n:
        return rows, n
    order = np.argsort(ids, kind="stable")
    place = order[np.minimum(np.searchsorted(ids[order], column.ids), m - 1)]
    known = np.flatnonzero(ids[place] == column.ids)
    rows[place[known[::-1]]] = known[::-1]
    return rows, n - int((rows >= 0).sum())


def hide_masked(difference: Words, masked: Sequence[tuple[int, Case]], port: Port) -> None:
    """Clear the bits that a case does not compare."""
    found = [(i, case.masks[port.name]) for i, case in masked if port.name in case.masks]
    if found:
        places, masks = zip(*found, strict=True)
        difference[list(places)] &= ~from_ints(masks, port.bits)


def classify(want: Words, got: Words, difference: Words, unknown: Words | None, port_parts: list[Part]) -> Codes:
    """The class of rows that differ: the worst of their parts."""
    found = np.full(len(want), VALUE, np.uint8)
    floats = [part for part in port_parts if part.signed_zero]
    if floats:
        found[:] = AGREES
        rest = difference.copy()
        for part in floats:
            keep = from_ints([((1 << part.width) - 1) << part.low], 64 * want.shape[1])
            changed = extract(difference, part.low, part.width) != 0
            rest &= ~keep
            codes = part_class(part, extract(want, part.low, part.width), extract(got, part.low, part.width))
            np.maximum(found, np.where(changed, codes, AGREES).astype(np.uint8), out=found)
        found[nonzero_rows(rest)] = VALUE
    if unknown is not None:
        found[nonzero_rows(unknown)] = UNKNOWN
    return found


def part_class(part: Part, want: Words, got: Words) -> Codes:
    """Two zeros of different sign, two NaN of different bits, or different values."""
    element = part.element
    assert element is not None
    top = np.uint64((1 << (part.width - 1)) - 1)
    x, y = want & top, got & top
    found = np.where((x | y) == 0, ZERO_SIGN, VALUE).astype(np.uint8)
    if element.is_float:
        infinite = np.uint64(element.inf_code if element.inf_code is not None else 0)
        largest = np.uint64(element.max_code)
        found[(x > largest) & (y > largest) & (x != infinite) & (y != infinite)] = NAN_PAYLOAD
    return found


def table(verdict: Verdict) -> dict[str, Any]:
    """The counts of a verdict for JSON."""
    return {
        "suite": verdict.suite.name,
        "digest": verdict.suite.digest,
        "output": verdict.source,
        "agrees": verdict.agrees,
        "cases": len(verdict.suite.cases),
        "compared": verdict.number_compared,
        "mismatches": verdict.mismatches,
        "extra": verdict.extra,
        "ports": [one.port.name for one in verdict.compared],
        "ignored": verdict.ignored,
        "ignored_files": list(verdict.unused),
        "cause": verdict.cause(),
        "by_class": verdict.by_class,
        "by_stage": verdict.by_stage,
        "by_flag": {flag: {"mismatches": n, "cases": m} for flag, (n, m) in verdict.by_flag.items()},
    }
