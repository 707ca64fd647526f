"""Which design gave these outputs? Presets, then single options, then pairs, each run over the whole suite and compared."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.golden.identify.device import Device, columns_of, distance, facts, run
from qsim.golden.identify.options import applied, changes, presets, same_fields
from qsim.golden.identify.target import Target, part, rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Flags = NDArray[np.bool_]

PAIRS = 2000  # pairs of options that are tried
SECONDS = 60.0  # time after which no further candidate is tried
SAMPLE = 96  # cases that a pair has to do well on before it is run on all
BEST_PRESETS = 3  # presets whose single options are tried, too
KINDS = ("suite", "preset", "option", "pair")


@dataclass(frozen=True)
class Candidate:
    """A design and how far it agrees.

    name: of the preset, or `option = value`, two of them with `; `. kind: one of KINDS. matches: cases of `compared` whose
    outputs agree. explains: how many of the cases that the suite's own datapath gets wrong it gets right; breaks: the reverse.
    refused: cases that it does not take. group: candidates of one number give the same outputs on the whole suite.
    same_as: names of those that are the same by definition. confirmed: cases that the exact reference computed again.
    """

    name: str
    kind: str
    matches: int
    compared: int
    explains: int
    breaks: int
    refused: int
    group: int = 0
    same_as: tuple[str, ...] = ()
    confirmed: int = 0
    device: Device = field(repr=False, default=None)  # type: ignore[assignment]
    facts: str = field(repr=False, default="")

    @property
    def agrees(self) -> bool:
        """Every compared case."""
        return self.matches == self.compared > 0


@dataclass
class Found:
    """A candidate while the search runs."""

    name: str
    kind: str
    device: Device
    facts: str
    right: Flags
    key: str
    refused: int
    parts: tuple[str, ...] = ()
    ports: int = 1


@dataclass(frozen=True)
class Bound:
    """What was tried. stopped: why the search ended before the last candidate; empty where it did not."""

    presets: int
    options: int
    pairs: int
    pairs_possible: int
    seconds: float
    stopped: str = ""


class Search:
    """Candidates as they are tried: none twice, none after the time is over."""

    def __init__(self, target: Target, seconds: float, pairs: int) -> None:
        """pairs: how many pairs are tried; 0: none."""
        self.target, self.pairs, self.start, self.seconds = target, pairs, time.monotonic(), seconds
        self.found: list[Found] = []
        self.named: dict[str, list[str]] = {}  # facts -> names, of designs that are the same by definition
        self.tried = dict.fromkeys(KINDS, 0)
        self.possible, self.stopped = 0, ""
        self.base = Device(**same_fields(target.suite.unit), interface=target.suite.unit)
        self.stated = target.cases.arguments.stated is not None

    def __call__(self) -> list[Found]:
        """Presets, single options of the suite's datapath, then pairs where none agrees."""
        own = self.base.datapath
        name = "the suite's own" + (f" ({own.name})" if own is not None else "")
        self.add(name, "suite", self.base)
        self.start = time.monotonic()  # kernels that had to be compiled first do not count
        for preset, device in presets(self.base):
            if self.over():
                break
            self.add(preset, "preset", device)
        singles = [(c, d) for c in changes(self.base) if (d := applied(self.base, c)) is not None]
        for change, device in singles:
            if self.over():
                break
            self.add(f"{change.option} = {change.value}", "option", device, (change.option,))
        if not any(f.right.sum() == len(f.right) for f in self.found) and self.pairs:
            self.try_pairs()
        return self.found

    def over(self) -> bool:
        """Whether the time is over."""
        if time.monotonic() - self.start > self.seconds:
            self.stopped = f"{self.seconds:g} s were over"
        return bool(self.stopped)

    def add(self, name: str, kind: str, device: Device, parts: tuple[str, ...] = (), floor: int = -1) -> Found | None:
        """Run a design over the suite, unless one of its definition has been. floor: what it must exceed on a sample first."""
        try:
            if not device.fits:
                return None
            text = facts(device, self.stated)
            if text in self.named:
                if kind != "pair":
                    self.named[text].append(name)
                return None
            if floor >= 0 and not self._promising(device, floor):
                self.tried[kind] += 1
                return None
            given = run(device, self.target.cases)
        except (ValueError, AssertionError, KeyError):  # what the design cannot be asked
            return None
        if given is None:
            return None
        self.named[text] = [name]
        self.tried[kind] += 1
        right, key, ports = self.target.compare(device, given)
        refused = int((~given.accepted).sum())
        self.found.append(Found(name, kind, device, text, right, key, refused, parts, ports))
        return self.found[-1]

    def _promising(self, device: Device, floor: int) -> bool:
        given = run(device, self.sample)
        if given is None:
            return False
        right, _, _ = self.small.compare(device, given)
        return int(right.sum()) > floor

    def try_pairs(self) -> None:
        """Pairs of single options, and options of the best presets: those first whose parts together are right most often."""
        singles = [f for f in self.found if f.kind == "option"]
        wrong = ~self.found[0].right
        options = {f"{c.option} = {c.value}": c for c in changes(self.base)}
        best = max(int(f.right.sum()) for f in self.found)
        rows = _sample(wrong)
        self.sample, self.small = part(self.target.cases, rows), rows_of(self.target, rows)
        floor = max(int(f.right[rows].sum()) for f in self.found)
        jobs = list(self._pairs(singles, wrong)) + list(self._on_presets(best))
        self.possible = len(jobs)
        jobs.sort(key=lambda job: job[0], reverse=True)
        for _, first, second in jobs[: self.pairs]:
            if self.over():
                return
            change = options.get(second.name) if isinstance(second, Found) else second
            device = applied(first.device, change) if change is not None else None
            if device is not None:
                name = f"{first.name}; {change.option} = {change.value}"  # type: ignore[union-attr]
                made = self.add(name, "pair", device, floor=min(floor, len(rows) - 1))
                if made is not None and made.right.all():
                    floor = len(rows) - 1  # from now on only what agrees on the whole sample
        if self.possible > self.pairs:
            self.stopped = f"{self.pairs} of {self.possible} pairs"

    def _pairs(self, singles: list[Found], wrong: Flags) -> Iterator[tuple[Any, Found, Any]]:
        if len(singles) < 2:
            return
        right = np.array([f.right for f in singles])
        base = self.found[0].right
        touch = np.array([f.key != self.found[0].key for f in singles])
        bad = (~right).astype(np.float32)
        union = len(wrong) - bad @ bad.T
        harm = np.array([int((base & ~f.right).sum()) for f in singles])
        for i in range(len(singles)):
            for j in range(i + 1, len(singles)):
                if singles[i].parts[0] != singles[j].parts[0]:
                    score = (int(union[i, j]), int(touch[i]) + int(touch[j]), -int(harm[i] + harm[j]))
                    yield score, singles[i], singles[j]

    def _on_presets(self, best: int) -> Iterator[tuple[Any, Found, Any]]:
        named = sorted((f for f in self.found if f.kind == "preset"), key=lambda f: -int(f.right.sum()))
        for f in named[:BEST_PRESETS]:
            for change in changes(f.device):
                yield (int(f.right.sum()), 2, 0), f, change

    @property
    def bound(self) -> Bound:
        """What has been tried."""
        t = self.tried
        return Bound(t["preset"], t["option"], t["pair"], self.possible, time.monotonic() - self.start, self.stopped)


def _sample(wrong: Flags) -> NDArray[np.int64]:
    """Cases of both kinds, evenly over the suite."""
    chosen = []
    for rows, most in ((np.flatnonzero(wrong), SAMPLE * 2 // 3), (np.flatnonzero(~wrong), SAMPLE // 3)):
        step = max(1, -(-len(rows) // most))
        chosen.append(rows[::step])
    return np.sort(np.concatenate(chosen))


def ranked(search: Search, found: Iterable[Found]) -> list[Candidate]:
    """Candidates, the best first; of equals the suite's own, presets, single options, pairs, those nearest to its own first."""
    present = search.target.present
    base = search.found[0].right
    order = sorted(found, key=lambda f: (-int(f.right.sum()), -f.ports, KINDS.index(f.kind), distance(search.base, f.device)))
    groups: dict[str, int] = {}
    result = []
    for f in order:
        names = tuple(n for n in search.named[f.facts] if n != f.name)
        result.append(
            Candidate(
                name=f.name,
                kind=f.kind,
                matches=int(f.right.sum()),
                compared=len(present),
                explains=int((f.right & ~base).sum()),
                breaks=int((base & ~f.right).sum()),
                refused=f.refused,
                group=groups.setdefault(f.key, len(groups) + 1),
                same_as=names,
                device=f.device,
                facts=f.facts,
            )
        )
    return result


def confirmed(candidate: Candidate, target: Target, most: int) -> Candidate:
    """The candidate, `most` cases of it computed again by the exact reference; ValueError where the kernels differ."""
    from qsim.golden.unit_reference import evaluate

    device = candidate.device
    step = max(1, -(-len(target.cases) // most))
    rows = np.arange(0, len(target.cases), step)
    some = part(target.cases, rows)
    given, columns = run(device, some), columns_of(device, some)
    assert given is not None
    assert columns is not None
    done = 0
    for i in np.flatnonzero(given.accepted).tolist():
        inputs = {p.name: int.from_bytes(columns[0][p.name][i].tobytes(), "little") for p in device.inputs}
        for name, pattern in evaluate(device, inputs).items():
            kernel = int.from_bytes(given.values[name][i].tobytes(), "little")
            if kernel != pattern:
                raise ValueError(
                    f"{candidate.name}: case {rows[i] + 1}: kernels give {name} = {kernel:#x}, the reference {pattern:#x}"
                )
        done += 1
    return replace(candidate, confirmed=done)
