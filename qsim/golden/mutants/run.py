"""A suite against every mutant of its unit: which are killed, by which cases, where they differ first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qsim.golden.mutants.block import block_mutants
from qsim.golden.mutants.encoder import encoder_mutants
from qsim.golden.mutants.integer import integer_mutants
from qsim.golden.mutants.mutant import Mutant, built, first_difference, output
from qsim.golden.mutants.operand import operand_mutants
from qsim.golden.mutants.requantizer import requantizer_mutants
from qsim.golden.suite import Case, Suite
from qsim.golden.unit import Unit


@dataclass(frozen=True)
class Verdict:
    """killed: by how many cases (1 where the run stopped at the first that kills); case, stage: that one, where it differs."""

    mutant: Mutant
    killed: int
    case: int | None = None
    stage: str = ""

    @property
    def state(self) -> str:
        """`killed`, `equivalent` or `survived`."""
        return "killed" if self.killed else "equivalent" if self.mutant.proof else "survived"

    def table(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.mutant.name,
            "why": self.mutant.why,
            "state": self.state,
            "case": self.case,
            "cases": self.killed,
            "stage": self.stage,
            "proof": self.mutant.proof if not self.killed else "",
        }


@dataclass(frozen=True)
class Strength:
    """The verdicts of a suite. every: whether killing cases were counted, not only the first found."""

    suite: str
    verdicts: tuple[Verdict, ...]
    every: bool

    def of(self, state: str) -> tuple[Verdict, ...]:
        """Verdicts of one state."""
        return tuple(v for v in self.verdicts if v.state == state)

    @property
    def score(self) -> tuple[int, int]:
        """Killed, and how many are not proven equivalent."""
        killed = len(self.of("killed"))
        return killed, killed + len(self.of("survived"))

    def table(self) -> dict[str, Any]:
        """As JSON has it."""
        killed, wanted = self.score
        return {
            "suite": self.suite,
            "mutants": len(self.verdicts),
            "killed": killed,
            "survived": wanted - killed,
            "equivalent": len(self.verdicts) - wanted,
            "score": killed / wanted if wanted else 1.0,
            "verdicts": [v.table() for v in self.verdicts],
        }


def mutants_of(unit: Unit) -> Iterator[Mutant]:
    """Every mutant that the unit can have, in the order of the data."""
    names: set[str] = set()
    for family in (encoder_mutants, operand_mutants, integer_mutants, block_mutants, requantizer_mutants):
        for mutant in family(unit):
            assert mutant.name not in names, mutant.name
            names.add(mutant.name)
            yield mutant


def strength(suite: Suite, *, every: bool = False, only: str = "", ports: Sequence[str] = ()) -> Strength:
    """Run the mutants. every: all cases, not only up to the first that kills. only: mutants whose name contains it.

    ports: what is compared; all outputs unless given.
    """
    unit = suite.unit
    hidden = tuple(p.name for p in unit.outputs if ports and p.name not in ports)
    found, order = [], list(suite.cases)
    for mutant in mutants_of(unit):
        if only not in mutant.name:
            continue
        found.append(judge(unit, order, mutant, every, hidden))
        if not every and found[-1].killed:  # what kills one often kills the next
            order.insert(0, order.pop(next(i for i, case in enumerate(order) if case.id == found[-1].case)))
    return Strength(suite.name, tuple(found), every)


def judge(unit: Unit, cases: Sequence[Case], mutant: Mutant, every: bool = False, hidden: tuple[str, ...] = ()) -> Verdict:
    """One mutant over the cases."""
    killed, first, stage = 0, None, ""
    with built(mutant.hooks):
        for case in cases:
            place = kills(unit, mutant, case, hidden)
            if place:
                killed += 1
                first, stage = (case.id, place) if first is None else (first, stage)
                if not every:
                    break
    return Verdict(mutant, killed, first, stage)


def kills(unit: Unit, mutant: Mutant, case: Case, hidden: tuple[str, ...] = ()) -> str:
    """The stage at which the mutant, built, differs from a case; empty where it does not."""
    got = output(unit, {port.name: case.values[port.name] for port in unit.inputs})
    return first_difference(unit, case.values, got, (*mutant.unseen, *hidden), case.masks)
