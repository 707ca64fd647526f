"""The RTL designs of tests/rtl, their suites, and which planted bugs plain random vectors miss.

    python tools/rtl_bugs.py

writes docs/rtl-bugs.md: every bug of tests/rtl/bugs.toml, simulated in Icarus on the directed cases and on Gaussian vectors.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the checkout's own qsim, installed or not

from qsim import encode  # noqa: E402
from qsim.datapath.datapaths import load_datapath  # noqa: E402
from qsim.golden.cases import Draft, directed  # noqa: E402
from qsim.golden.cases.draft import defaults  # noqa: E402
from qsim.golden.export import export  # noqa: E402
from qsim.golden.export.bench import default_pattern  # noqa: E402
from qsim.golden.outputs import read_outputs  # noqa: E402
from qsim.golden.simulate import Verdict as Simulated  # noqa: E402
from qsim.golden.simulate import simulate  # noqa: E402
from qsim.golden.suite import Suite  # noqa: E402
from qsim.golden.unit import Port, Unit  # noqa: E402
from qsim.golden.verify import Verdict, verify  # noqa: E402
from qsim.golden.write_suite import computed, datapath_unit, format_unit, suite_of  # noqa: E402
from qsim.spec.datapath import Datapath  # noqa: E402

RTL = ROOT / "tests" / "rtl"
PAGE = ROOT / "docs" / "rtl-bugs.md"
SEED = 1


@dataclass(frozen=True)
class Design:
    """A design of tests/rtl: what it computes, its [ports] table, its source."""

    name: str
    unit: Unit
    datapath: Datapath

    @property
    def sources(self) -> list[Path]:
        """The design's files."""
        return [RTL / f"{self.datapath.ports['module']}.sv"]

    def run(
        self, suite: Suite, folder: Path, *, simulator: str = "icarus", macro: str | None = None
    ) -> tuple[Simulated, Verdict]:
        """Export a suite into a new folder and simulate: what the testbench says, and `qsim verify` of the outputs."""
        export(suite, "readmemh", folder / "vectors", ports=self.datapath.ports)
        (folder / "out").mkdir()
        defines = [macro] if macro else []
        found = simulate(folder / "vectors", self.sources, simulator=simulator, defines=defines, out=folder / "out")
        return found, verify(suite, read_outputs(folder / "out", suite.unit))


@dataclass(frozen=True)
class Bug:
    """A macro of a design's source, and the first stage that must differ."""

    design: str
    macro: str
    stage: str
    text: str


def names() -> list[str]:
    """Names of the designs."""
    return sorted(path.stem for path in RTL.glob("*.toml") if path.stem != "bugs")


@cache
def design(name: str) -> Design:
    """A design by its name."""
    datapath = load_datapath(RTL / f"{name}.toml")
    ports = datapath.ports
    if "input" in ports:
        assert datapath.activation is not None
        return Design(name, format_unit(datapath.activation.name, "encode", ports["k"]), datapath)
    return Design(
        name, datapath_unit(datapath, "requantize" if "acc" in ports else "matmul" if "m" in ports else "dot"), datapath
    )


def bugs() -> list[Bug]:
    """The planted bugs."""
    return [Bug(**table) for table in tomllib.loads((RTL / "bugs.toml").read_text())["bug"]]


# --- suites ---


@cache
def directed_suite(name: str) -> Suite:
    """The directed cases in which parameters that the design has no port for are at rest."""
    found = design(name)
    rest = at_rest(found)
    cases = [case for case in directed(found.unit).cases if rest.items() <= case.values.items()]
    return suite_of(found.unit, name, cases, SEED)


def suite(name: str, drafts: Iterable[Draft], *, bulk: bool = False) -> Suite:
    """Drafts as a suite, with those parameters put at rest."""
    found = design(name)
    rest = at_rest(found)
    cases = computed(found.unit, [d._replace(inputs=d.inputs | rest) for d in drafts], bulk)
    return suite_of(found.unit, name, cases, SEED, bulk)


def at_rest(found: Design) -> dict[str, int]:
    """Parameters that the design has no port for."""
    unit = found.unit
    absent = [p for p in unit.inputs if p.role == "parameter" and p.name not in found.datapath.ports]
    return {p.name: default_pattern(unit, p) for p in absent}


def gaussian(name: str, count: int, seed: int = SEED, spread: int = 0) -> Iterator[Draft]:
    """Normal floats, encoded, or rounded to integers of a third of the range; arguments of a requantizer as in a real layer.

    spread: blocks of values are scaled by powers of two up to this one, and down; 0 is the plain normal distribution.
    """
    unit = design(name).unit
    columns = {
        port.name: _column(unit, port, count, np.random.default_rng([seed, i]), spread) for i, port in enumerate(unit.inputs)
    }
    for i in range(count):
        yield Draft(("Random",), "", {port: column[i] for port, column in columns.items()})


def _column(unit: Unit, port: Port, count: int, rng: np.random.Generator, spread: int) -> list[int]:
    normal = rng.standard_normal((count, port.count))
    if port.kind == "float32":
        scales = np.exp2(rng.integers(-spread, spread + 1, (count, 1)))
        return _join(port, (normal * scales).astype(np.float32).view(np.uint32))
    if port.kind == "word" and unit.datapath is not None:
        fmt = unit.datapath.operand_format(port.name)
        if fmt.block_scales:
            normal = rng.standard_normal((count, port.count, fmt.block_size))
            normal *= np.exp2(rng.integers(-spread, spread + 1, (count, port.count, 1)))
            words = encode(normal.reshape(count, -1).astype(np.float32), fmt).to_words()
            return [port.join(words[i : i + port.count]) for i in range(0, len(words), port.count)]
        if fmt.name == "binary":
            return _join(port, normal >= 0)
        return _join(port, np.clip(np.rint(normal * fmt.element.qmax / 3), fmt.element.qmin, fmt.element.qmax))
    if port.name == "acc":
        return _join(port, np.rint(normal * 20000))
    if port.name == "bias":
        return _join(port, np.rint(normal * (1 << port.width) / 64))
    if port.name == "multiplier":
        return _join(port, rng.integers(1 << 30, 1 << 31, (count, 1)))
    if port.name == "shift":
        return _join(port, rng.integers(-10, -7, (count, 1)))
    if port.name == "out_zero_point":
        return _join(port, np.full((count, 1), -5))
    return [defaults(unit)[port.name]] * count


def _join(port: Port, values: np.ndarray) -> list[int]:
    """Patterns of rows of values."""
    mask = (1 << port.width) - 1
    return [sum((int(v) & mask) << i * port.width for i, v in enumerate(row)) for row in values]


# --- verdicts ---


def caught(bug: Bug, suite: Suite) -> dict[str, int]:
    """Cases by the first stage that differs, for a bug simulated in Icarus; empty where the suite misses it."""
    with tempfile.TemporaryDirectory() as folder:
        return design(bug.design).run(suite, Path(folder), macro=bug.macro)[1].by_stage


# --- the page ---

GAUSSIAN = {"systolic8x8": 200}  # vectors of a design
GAUSSIANS = 10000  # of every other design
INTRODUCTION = """<!-- generated by tools/rtl_bugs.py, DO NOT EDIT; source: tests/rtl/bugs.toml, simulated in Icarus -->

# Planted bugs, and what finds them

Each bug is a macro in a design of [tests/rtl](../tests/rtl/README.md). *Stage* is the first tap that differs, as `qsim verify`
names it. *Directed*: mismatches among the directed cases of the design's datapath, which are written from the datapath alone.
*Gaussian*: mismatches among plain random vectors, normal floats encoded into the format (integers: a deviation of a third
of the range; requantizers: accumulators of deviation 20000 with the multipliers and shifts of a layer).
"""


def row(bug: Bug) -> list[str]:
    """A line of the page's table."""
    found = directed_suite(bug.design)
    stages = caught(bug, found)
    count = GAUSSIAN.get(bug.design, GAUSSIANS)
    missed = sum(caught(bug, gaussian_suite(bug.design, count)).values())
    directed_text = f"{sum(stages.values())} of {len(found.cases)}"
    random_text = f"{missed} of {count}" if missed else f"**missed**, 0 of {count}"
    return [f"`{bug.design}`", bug.text, f"`{next(iter(stages), 'missed')}`", directed_text, random_text]


@cache
def gaussian_suite(name: str, count: int) -> Suite:
    """Plain Gaussian vectors of a design."""
    return suite(name, gaussian(name, count), bulk=True)


def page() -> str:
    """docs/rtl-bugs.md."""
    rows = [row(bug) for bug in bugs()]
    missed = sum("missed" in cells[-1] for cells in rows)
    head = ["design", "bug", "stage", "directed", "Gaussian"]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    summary = f"{len(rows)} bugs: the directed cases find all of them, the Gaussian vectors miss {missed}."
    return "\n".join([INTRODUCTION, summary, "", *lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page())
