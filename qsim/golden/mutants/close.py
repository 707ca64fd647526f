"""Cases that kill what a suite lets live: the directed candidates that the suite left out, random ones, and changes of its cases.

The search is the same on every machine: its words come from the seed, and mutants are tried in their own order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from qsim.golden.cases import NOTES, evaluated
from qsim.golden.cases.closing import FLAG
from qsim.golden.cases.draft import Inputs
from qsim.golden.mutants.candidates import EFFORT, candidates
from qsim.golden.mutants.mutant import Mutant, built
from qsim.golden.mutants.run import Strength, judge, kills, strength
from qsim.golden.suite import Case, Suite
from qsim.golden.unit import Unit

BATCH = 200  # candidates between two looks at every survivor


@dataclass(frozen=True)
class Closed:
    """The suite with the cases that were added, and its strength. tried: candidates."""

    suite: Suite
    strength: Strength
    added: int
    tried: int


def close(
    suite: Suite,
    *,
    seed: int = 0,
    effort: int = EFFORT,
    first: Iterable[Inputs] = (),
    told: Callable[[str], None] = lambda text: None,
) -> Closed:
    """Add cases until no mutant survives that is not proven equivalent, or the effort (candidates) is spent.

    first: candidates that are tried before all others, alone.
    """
    before = strength(suite)
    left = [v.mutant for v in before.of("survived")]
    cases, tried = list(suite.cases), 0
    stream, known = candidates(suite, seed), list(valid(suite.unit, iter(first)))
    while left and tried < effort:
        batch = known if known and not tried else list(islice(valid(suite.unit, stream), min(BATCH, effort - tried)))
        if not batch:
            break
        tried += len(batch)
        left = _round(suite.unit, left, batch, cases)
        told(f"{tried} candidates, {len(cases) - len(suite.cases)} cases added, {len(left)} mutants survive")
    notes = suite.notes | ({FLAG: NOTES[FLAG]} if len(cases) > len(suite.cases) else {})
    whole = replace(suite, cases=tuple(cases), notes=notes)
    return Closed(whole, _again(before, whole, len(suite.cases)), len(cases) - len(suite.cases), tried)


def _round(unit: Unit, left: list[Mutant], batch: list[Inputs], cases: list[Case]) -> list[Mutant]:
    """One look at every survivor: the candidate that kills most of them, then the one that kills most of the others."""
    found = {mutant.name: _killers(unit, mutant, batch) for mutant in left}
    whys = {mutant.name: mutant.why for mutant in left}
    while counts := Counter(i for killers in found.values() for i in killers):
        best = min(counts, key=lambda i: (-counts[i], i))
        names = [name for name, killers in found.items() if best in killers]
        text = f"{names[0]}: {whys[names[0]]}" if len(names) == 1 else "; ".join(names)
        cases.append(Case(len(cases) + 1, (FLAG,), batch[best], f"kills {text}"))
        found = {name: killers for name, killers in found.items() if name not in names}
    return [mutant for mutant in left if mutant.name in found]


def _killers(unit: Unit, mutant: Mutant, batch: list[Inputs]) -> set[int]:
    """The candidates that kill the mutant."""
    with built(mutant.hooks):
        return {i for i, values in enumerate(batch) if kills(unit, mutant, Case(0, (), values))}


def _again(first: Strength, whole: Suite, before: int) -> Strength:
    """The verdicts of the whole suite: what survived is judged over the cases that were added."""
    added = whole.cases[before:]
    found = [v if v.state != "survived" else judge(whole.unit, added, v.mutant) for v in first.verdicts]
    return Strength(whole.name, tuple(found), first.every)


def valid(unit: Unit, stream: Iterator[Inputs]) -> Iterator[Inputs]:
    """The candidates that the unit computes, with the patterns of every port."""
    known: set[tuple[int, ...]] = set()
    for inputs in stream:
        key = tuple(inputs[port.name] for port in unit.inputs)
        if key in known:
            continue
        known.add(key)
        try:
            yield evaluated(unit, inputs)
        except (ValueError, ArithmeticError):
            continue
