"""Yosys mutants of the RTL designs: the tool measures what it says, and docs/rtl-mutants.md states every design's score."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from qsim.golden.simulate import available
from tools import rtl_bugs, yosys_mutants
from tools.yosys_mutants import Yosys, equivalence, mutate_commands, netlist, survivors, write_mutants

CI = os.environ.get("CI") == "true"
yosys_and_icarus = pytest.mark.skipif(
    not (available("icarus") and find_spec("pyosys")) and not CI, reason="pyosys or iverilog is not installed (in CI this fails)"
)
pytestmark = pytest.mark.rtl
FEW = 12  # mutants of a design


@pytest.fixture
def yosys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yosys:
    monkeypatch.chdir(yosys_mutants.ROOT)
    (tmp_path / "yosys").mkdir()
    return Yosys(tmp_path / "yosys")


@yosys_and_icarus
@pytest.mark.parametrize("name", ["binary_dot", "requantizer_single"])
def test_few_mutants(name: str, yosys: Yosys, tmp_path: Path) -> None:
    """The netlist passes where no mutant is chosen; directed cases kill most mutants, and no mutant killed is called equivalent."""
    design, suite = rtl_bugs.design(name), rtl_bugs.directed_suite(name)
    netlist(design, yosys)
    commands = mutate_commands(yosys, FEW)
    write_mutants(yosys, design.datapath.ports["module"], commands, tmp_path / "mutants.v")
    numbers = list(range(1, FEW + 1))
    assert len(commands) == FEW
    left = survivors(design, suite, tmp_path / "mutants.v", numbers, tmp_path / "directed")
    killed = [i for i in numbers if i not in left]
    assert len(killed) >= FEW // 2
    assert {equivalence(yosys, design, commands[i - 1]) for i in killed[:4]} == {"differs"}


@yosys_and_icarus
def test_what_nothing_can_see_is_equivalent(yosys: Yosys) -> None:
    """A multiplier's sign bit is 0 in the whole domain of the preset: a mutant that only clears it is proven equivalent."""
    design = rtl_bugs.design("requantizer_single")
    netlist(design, yosys)
    cell = next(found for found in re.findall(r"cell \$mul (\S+)", yosys("dump t:$mul")))
    command = f"mutate -mode {{}} -module requantizer -cell {cell.removeprefix(chr(92))} -port B -portbit 31"
    assert equivalence(yosys, design, command.format("const0")) == "equivalent"
    assert equivalence(yosys, design, command.format("const1")) == "differs"


def rows() -> dict[str, list[str]]:
    """Design -> the other cells of its line in the page."""
    lines = [line.strip("|").split("|") for line in yosys_mutants.PAGE.read_text().splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines}


@pytest.mark.parametrize("name", rtl_bugs.names())
def test_page_states_the_design(name: str) -> None:
    """Two hundred mutants, 95 % killed of those not proven equivalent, with today's cases; survivors listed."""
    cases, *numbers, score = rows()[name]
    mutants, directed, random, equivalent, left = map(int, numbers)
    assert cases == f"{len(rtl_bugs.directed_suite(name).cases)} + {yosys_mutants.RANDOM}"
    assert mutants >= 200
    assert mutants == directed + random + equivalent + left
    assert 100 * (directed + random) >= 95 * (mutants - equivalent)
    assert score == f"{100 * (directed + random) / (mutants - equivalent):.1f} %"
    section = re.search(rf"^### {name}\n\n((?:- .*\n)+)", yosys_mutants.PAGE.read_text(), re.M)
    assert (section[1].count("\n") if section else 0) == left
