"""Mutation score of every checked-in suite: each mutant is killed by a case of the suite, or proven equivalent."""

from __future__ import annotations

from itertools import islice

import pytest

from qsim.golden.cases.draft import Words
from qsim.golden.mutants import mutants_of
from qsim.golden.mutants.candidates import changed_case
from qsim.golden.mutants.close import valid
from qsim.golden.mutants.run import judge
from qsim.golden.suite import Case
from qsim.golden.write_suite import suite_paths
from tools import mutant_table

RECORDED = mutant_table.killers()


@pytest.mark.parametrize("name", mutant_table.suite_names())
def test_every_mutant_is_killed_or_proven_equivalent(name: str) -> None:
    """The mutation score is 100 %, of at least 60 mutants; the recorded killer is tried first, then every other case."""
    suite = mutant_table.suite_of(name)
    first = {mutant: int(case) for case, mutants in RECORDED.get(name, {}).items() for mutant in mutants}
    mutants = list(mutants_of(suite.unit))
    assert len(mutants) >= 60
    for mutant in mutants:
        if not mutant.proof:
            cases = sorted(suite.cases, key=lambda case: case.id != first.get(mutant.name))
            assert judge(suite.unit, cases, mutant).state == "killed", mutant.name


@pytest.mark.parametrize("name", mutant_table.suite_names())
def test_no_other_case_kills_an_equivalent_mutant(name: str) -> None:
    """What is proven equivalent gives the same bits in cases that no suite has."""
    suite, words = mutant_table.suite_of(name), Words(len(name))
    stream = valid(suite.unit, (changed_case(suite, words) for _ in range(100)))
    cases = [Case(i, (), values) for i, values in enumerate(islice(stream, 20), 1)]
    for mutant in mutants_of(suite.unit):
        if mutant.proof:
            assert judge(suite.unit, cases, mutant).state == "equivalent", mutant.name


@pytest.mark.parametrize("name", mutant_table.suite_names())
def test_the_page_has_the_score_of_every_suite(name: str) -> None:
    """docs/strength.md states cases, mutants and score as they are."""
    assert mutant_table.row(name, mutant_table.suite_of(name)) in mutant_table.PAGE.read_text().splitlines()


def test_no_suite_is_left_out() -> None:
    """Every suite of a unit in golden/ has its row."""
    assert {f"{path.parent.name}/{path.stem}" for path in suite_paths()} == set(mutant_table.suite_names())
