"""Cases that tell designs apart which a suite cannot: inputs on which they give different outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim import __version__
from qsim.golden.bits import hexed
from qsim.golden.cases.draft import Inputs, Words
from qsim.golden.columns import to_patterns
from qsim.golden.identify.device import Device, fitted, run
from qsim.golden.identify.search import Candidate
from qsim.golden.identify.target import cases_of, part
from qsim.golden.suite import Case, Suite
from qsim.golden.unit import Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

FLAG = "Distinguishing"
NOTE = "Two designs that the suite before could not tell apart give different outputs; the comment names both."
DIRECTED, RANDOM, CHANGED = 600, 400, 400  # inputs that are tried: of each source of directed ones, random ones, changed cases
SOURCES = 4  # designs whose own directed cases are tried
CASES = 64  # of a distinguishing suite


@dataclass(frozen=True)
class Apart:
    """classes: names of designs that are equal on all inputs that were tried. suite: None where there is one class."""

    classes: tuple[tuple[str, ...], ...]
    inputs: int
    suite: Suite | None


def tell_apart(suite: Suite, best: Sequence[Candidate], port: str = "result", seed: int = 0) -> Apart:
    """Split candidates that gave the same outputs on the whole suite, by one port for directed and random inputs of its unit."""
    unit = suite.unit
    pool = list(_pool(suite, best, seed))
    cases = cases_of(unit, pool)
    own = run(_device(unit), cases)
    assert own is not None
    rows = np.flatnonzero(own.accepted)
    cases, pool = part(cases, rows), [pool[i] for i in rows.tolist()]
    known: list[Candidate] = []
    outputs: list[Array] = []
    taken = np.ones(len(pool), bool)
    for candidate in best:
        given = run(candidate.device, cases)
        if given is None or port not in given.values:
            continue
        data = fitted(given.values[port], candidate.device.port(port), unit.port(port))
        if data is not None:
            known.append(candidate)
            outputs.append(np.where(given.accepted[:, None], data, 0))
            taken &= given.accepted
    rows = np.flatnonzero(taken)  # what a design refuses says nothing about a device
    pool, outputs = [pool[i] for i in rows.tolist()], [data[rows] for data in outputs]
    marks = _marks(outputs)
    chosen = _chosen(marks)
    final = [row.tobytes() for row in marks]
    classes = {key: tuple(c.name for c, k in zip(known, final, strict=True) if k == key) for key in dict.fromkeys(final)}
    if not chosen:
        return Apart(tuple(classes.values()), len(pool), None)
    return Apart(tuple(classes.values()), len(pool), _suite(suite, pool, chosen, known, outputs, port, seed))


def _device(unit: Unit) -> Device:
    from qsim.golden.identify.options import same_fields

    return Device(**same_fields(unit), interface=unit)


def _marks(outputs: list[Array]) -> NDArray[np.int32]:
    """(designs, cases): designs with equal numbers in a column gave the same there."""
    stacked = np.stack(outputs)
    marks = np.zeros(stacked.shape[:2], np.int32)
    left = np.ones(stacked.shape[:2], bool)
    for i in range(len(stacked)):
        same = left & (stacked == stacked[i]).all(axis=2)
        marks[same] = i
        left &= ~same
    return marks


def _chosen(marks: NDArray[np.int32]) -> list[int]:
    """Cases that split the designs as far as all cases do: each time the one that splits most, then as many again for safety."""
    designs = len(marks)
    groups = np.zeros(designs, np.int64)
    chosen: list[int] = []
    useful = np.flatnonzero((marks != marks[0]).any(axis=0))
    while len(chosen) < CASES and len(useful):
        counts = [len(np.unique(groups * designs + marks[:, i])) for i in useful.tolist()]
        best = int(np.argmax(counts))
        if counts[best] == len(np.unique(groups)):
            break
        chosen.append(int(useful[best]))
        groups = np.unique(groups * designs + marks[:, useful[best]], return_inverse=True)[1].reshape(-1)
    more = [i for i in useful.tolist() if i not in chosen]
    return sorted(chosen + more[: min(len(chosen) + 4, CASES - len(chosen))])


def _suite(
    suite: Suite, pool: list[Inputs], chosen: list[int], known: Sequence[Candidate], outputs: list[Array], port: str, seed: int
) -> Suite:
    """The chosen inputs with the outputs of the suite's own datapath, by the reference."""
    from qsim.golden.cases import evaluated

    cases: list[Case] = []
    bits = suite.unit.port(port).bits
    for i in chosen:
        by_value: dict[int, list[str]] = {}
        for candidate, data in zip(known, outputs, strict=True):
            by_value.setdefault(to_patterns(data[i : i + 1])[0], []).append(candidate.name)
        comment = "; ".join(f"{hexed(v, bits)}: {names[0]}{_others(len(names) - 1)}" for v, names in by_value.items())
        try:
            values = evaluated(suite.unit, pool[i])
        except ValueError:  # the kernels have no clamp order or domain of the reference's suite
            continue
        cases.append(Case(len(cases) + 1, (FLAG,), values, comment))
    source = {"name": "qsim.reference", "version": __version__}
    return Suite(f"{suite.name}-apart", suite.unit, tuple(cases), {FLAG: NOTE}, seed, "reference", source)


def _others(n: int) -> str:
    return f" and {n} more" if n else ""


def _pool(suite: Suite, best: Sequence[Candidate], seed: int) -> Iterator[Inputs]:
    """Inputs, none twice: directed ones of the suite's unit and of some of the designs, random ones, changed cases."""
    known: set[tuple[int, ...]] = set()
    for inputs in _stream(suite, best, seed):
        key = tuple(inputs[p.name] for p in suite.unit.inputs)
        if key not in known and all(0 <= v < 1 << p.bits for v, p in zip(key, suite.unit.inputs, strict=True)):
            known.add(key)
            yield inputs


def _stream(suite: Suite, best: Sequence[Candidate], seed: int) -> Iterator[Inputs]:
    from qsim.golden.cases import _drafts, random
    from qsim.golden.mutants.candidates import changed_case

    unit = suite.unit
    sources: list[Unit] = [unit]
    step = max(1, len(best) // SOURCES)
    sources += [c.device for c in best[::step] if c.device.inputs == unit.inputs][:SOURCES]
    for source in sources:
        try:
            yield from (draft.inputs for draft in islice(_drafts(source, 2), DIRECTED))
        except (ValueError, AssertionError, KeyError):
            continue
    yield from (draft.inputs for draft in random(unit, seed, RANDOM))
    if suite.cases:
        words = Words(seed, 0x6170)
        yield from (changed_case(suite, words) for _ in range(CHANGED))
