"""How strong the directed cases are, measured by Yosys mutants of the RTL designs; no case was ever written from one.

    python tools/yosys_mutants.py                 measures every design of tests/rtl and writes docs/rtl-mutants.md
    python tools/yosys_mutants.py FOLDER          the same; keeps DESIGN.json in FOLDER, measures only what is not there
    python tools/yosys_mutants.py DESIGN FILE     measures one design into a JSON file, in this process

Each design goes through `read_verilog; hierarchy; proc; flatten; opt` and `mutate -list`; all its mutants are put into one
netlist behind a control input, and the testbench that qsim generates judges each of them in Icarus. What survives is compared
with the design by Yosys' SAT solver. Needs pyosys and iverilog.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, astuple, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the checkout's own qsim and tools, installed or not

from qsim.golden.cases import random  # noqa: E402
from qsim.golden.export import export  # noqa: E402
from qsim.golden.simulate import Program, compile_bench, run  # noqa: E402
from qsim.golden.suite import Suite  # noqa: E402
from tools import rtl_bugs  # noqa: E402

PAGE = ROOT / "docs" / "rtl-mutants.md"
MUTANTS, SEED = 200, 2  # of `mutate -list`
RANDOM = 10  # random cases beside the directed ones, as many as a checked-in suite has
BITS = 16  # of the control input
FIRST = 10  # cases, simulated alone before all of them: they kill most mutants
SECONDS = 20  # of one SAT problem
TIMEOUT = 120  # seconds of one simulation
SIGNALS = ("clock", "reset", "in_valid", "in_ready", "out_valid", "out_ready")
#: What a module's inputs are within, where the unit's domain is smaller than the ports (rule Q5).
LEGAL = dict.fromkeys(
    ("requantizer_double", "requantizer_single"), "multiplier >= 0 && shift >= -31 && shift <= 30 && low <= high"
)


@dataclass(frozen=True)
class Mutant:
    """A `mutate` command, its place in the source, and what became of it: directed, random, equivalent, undecided or differs."""

    command: str
    source: str
    fate: str


class Yosys:
    """A design in Yosys. Paths are relative to the repository, so that the names that Yosys makes are the same everywhere."""

    def __init__(self, folder: Path) -> None:
        """folder: for what the commands print."""
        from pyosys import libyosys

        self.run_pass, self.design, self.log = libyosys.run_pass, libyosys.Design(), folder / "yosys.log"

    def __call__(self, *commands: str) -> str:
        """Run commands; what the last one printed."""
        for command in commands:
            self.run_pass(f"tee -q -o {self.log} {command}", self.design)
        return self.log.read_text()


# --- mutants of a design ---


def netlist(design: rtl_bugs.Design, yosys: Yosys) -> None:
    """Read a design as Yosys cells; outputs that the [ports] table does not name are removed, for nothing can see them."""
    table = design.datapath.ports
    top, parameters = table["module"], table.get("parameters", {})
    sources = " ".join(str(path.relative_to(ROOT)) for path in design.sources)
    chosen = "".join(f" -chparam {name} {value}" for name, value in parameters.items())
    yosys(f"read_verilog -sv {sources}", f"hierarchy -top {top}{chosen}", f"rename -top {top}", "proc", "flatten")
    named = {*design_ports(design)}
    for port in ports(yosys, top):
        if port.name not in named:
            yosys(f"delete -port {top}/{port.name}")
    yosys("opt")


def design_ports(design: rtl_bugs.Design) -> list[str]:
    """Ports of the module that the bench is wired to."""
    table, unit = design.datapath.ports, design.unit
    return [table[key] for key in (*SIGNALS, *(port.name for port in unit.ports)) if key in table]


@dataclass(frozen=True)
class Wire:
    """A port of a module."""

    name: str
    direction: str
    width: int

    @property
    def declared(self) -> str:
        """In a port list."""
        return f"{self.direction} wire [{self.width - 1}:0] {self.name}"


def ports(yosys: Yosys, module: str) -> list[Wire]:
    """Ports of a module, in order."""
    path = yosys.log.with_suffix(".json")
    yosys(f"write_json {path}")
    found = json.loads(path.read_text())["modules"][module]["ports"]
    return [Wire(name, port["direction"], len(port["bits"])) for name, port in found.items()]


def mutate_commands(yosys: Yosys, count: int) -> list[str]:
    """`mutate` commands of the seed, all different."""
    path = yosys.log.with_suffix(".list")
    yosys(f"mutate -list {count} -seed {SEED} -o {path}")
    return list(dict.fromkeys(line for line in path.read_text().splitlines() if line.startswith("mutate ")))


def write_mutants(yosys: Yosys, top: str, commands: list[str], path: Path) -> None:
    """All mutants in one netlist: +mutant=i makes it mutant i, counted from 1, and 0 the design itself."""
    wires = ports(yosys, top)
    yosys("design -save original")
    for i, command in enumerate(commands, 1):
        yosys(f"{bare(command)} -ctrl mutant {BITS} {i}")
    yosys(f"rename {top} {top}_mutants", f"write_verilog -noattr {path}", "design -load original")
    wired = ", ".join(f".{wire.name}({wire.name})" for wire in wires)
    path.write_text(f"""`timescale 1ns/1ps
{path.read_text()}
module {top}({", ".join(wire.declared for wire in wires)});
  reg [{BITS - 1}:0] mutant;
  initial if (!$value$plusargs("mutant=%d", mutant)) mutant = 0;
  {top}_mutants mutants(.mutant(mutant), {wired});
endmodule
""")


def bare(command: str) -> str:
    """A command without the notes that `mutate` ignores."""
    return re.sub(r" -(?:src|wire) \S+| -wirebit \d+", "", command)


def sources_of(command: str) -> str:
    """The last place in the source that a command is about, the most exact one."""
    found = re.findall(r"-src (\S+)", command)
    return found[-1].removeprefix("tests/rtl/") if found else ""


# --- simulation ---


def without_parameters(design: rtl_bugs.Design) -> dict[str, Any]:
    """The [ports] table of a netlist."""
    return {key: value for key, value in design.datapath.ports.items() if key != "parameters"}


def survivors(design: rtl_bugs.Design, suite: Suite, source: Path, tried: list[int], folder: Path) -> list[int]:
    """Mutants that pass the generated testbench with a suite; the design itself must."""
    if len(suite.cases) > FIRST:
        tried = survivors(design, replace(suite, cases=suite.cases[:FIRST]), source, tried, folder.with_suffix(".first"))
    folder.mkdir()
    export(suite, "readmemh", folder / "vectors", ports=without_parameters(design))
    program = compile_bench(folder / "vectors", [source], folder)
    baseline = run(chosen(program, 0), folder / "vectors", timeout=TIMEOUT)
    if not baseline.passed:
        raise RuntimeError(f"{design.name}: the netlist without a mutation fails: {baseline.problems}")
    return [i for i in tried if run(chosen(program, i), folder / "vectors", timeout=TIMEOUT).passed]


def chosen(program: Program, mutant: int) -> Program:
    """A testbench of one mutant."""
    return replace(program, arguments=(*program.arguments, f"+mutant={mutant}"))


def random_suite(name: str) -> Suite:
    """Random cases of the seed."""
    return rtl_bugs.suite(name, random(rtl_bugs.design(name).unit, rtl_bugs.SEED, RANDOM))


# --- equivalence ---


def equivalence(yosys: Yosys, design: rtl_bugs.Design, command: str) -> str:
    """A mutant against the design: equivalent, differs, or undecided.

    Registers are cut: their next states are compared as outputs, their states are free inputs, so equivalence is never claimed
    wrongly, and a difference in a design with registers is undecided. Equal cells are shared before the solver starts.
    """
    top = design.datapath.ports["module"]
    clocked = "clock" in design.datapath.ports
    result = "undecided"
    yosys("design -push-copy", f"copy {top} gate")
    yosys(bare(command).replace(f"-module {top}", "-module gate"))
    if clocked:
        yosys("dffunmap", "expose -evert-dff")
    if sorted(map(astuple, ports(yosys, top))) == sorted(map(astuple, ports(yosys, "gate"))):
        yosys(f"miter -equiv -flatten {top} gate miter", f"delete {top} gate", "hierarchy -top miter")
        if design.name in LEGAL:
            constrain(yosys, LEGAL[design.name])
        yosys("opt -full", "opt_merge -share_all", "opt -full", "wreduce", "opt -full")
        text = yosys(f"sat -timeout {SECONDS} -prove trigger 0")
        if "no model found: SUCCESS" in text:
            result = "equivalent"
        elif "model found: FAIL" in text and not clocked:
            result = "differs"
    yosys("design -pop")
    return result


def constrain(yosys: Yosys, condition: str) -> None:
    """Only a difference for legal inputs counts."""
    wires = ports(yosys, "miter")
    given = [wire.name for wire in wires if wire.direction == "input"]
    inside = {wire.name.removeprefix("in_"): wire for wire in wires if wire.direction == "input"}
    used = [name for name in inside if re.search(rf"\b{name}\b", condition)]
    path = yosys.log.with_suffix(".sv")
    declared = ", ".join(f"input wire signed [{inside[name].width - 1}:0] {name}" for name in used)
    wired = ", ".join(f".{name}(in_{name})" for name in used)
    path.write_text(f"""module legal({declared}, output wire ok); assign ok = {condition}; endmodule
module legal_miter({", ".join(wire.declared for wire in wires if wire.direction == "input")}, output wire trigger);
  wire differs, ok;
  miter m({", ".join(f".{name}({name})" for name in given)}, .trigger(differs));
  legal l({wired}, .ok(ok));
  assign trigger = differs && ok;
endmodule
""")
    yosys(f"read_verilog -sv {path}", "hierarchy -top legal_miter", "flatten")


# --- one design, and the page ---


def measure(name: str, count: int = MUTANTS) -> dict[str, Any]:
    """Mutants of a design and what became of them."""
    design, directed, drawn = rtl_bugs.design(name), rtl_bugs.directed_suite(name), random_suite(name)
    with tempfile.TemporaryDirectory(prefix="qsim-") as build:
        folder = Path(build)
        yosys = Yosys(folder)
        netlist(design, yosys)
        commands = mutate_commands(yosys, count)
        write_mutants(yosys, design.datapath.ports["module"], commands, folder / "mutants.v")
        left = survivors(design, directed, folder / "mutants.v", list(range(1, len(commands) + 1)), folder / "directed")
        last = survivors(design, drawn, folder / "mutants.v", left, folder / "random")
        fates = {i: "random" for i in left} | {i: equivalence(yosys, design, commands[i - 1]) for i in last}
    mutants = [Mutant(bare(c), sources_of(c), fates.get(i, "directed")) for i, c in enumerate(commands, 1)]
    return {
        "design": name,
        "directed": len(directed.cases),
        "random": len(drawn.cases),
        "mutants": [asdict(mutant) for mutant in mutants],
    }


KILLED = ("directed", "random")
MEANING = {
    "differs": "Yosys gives inputs on which it differs",
    "undecided": "neither a difference nor a proof in time",
}
INTRODUCTION = """<!-- generated by tools/yosys_mutants.py, DO NOT EDIT -->

# Yosys mutants of the RTL designs

An independent measure of how strong the cases are. Each design of [tests/rtl](../tests/rtl/README.md) is read by Yosys
(`proc; flatten; opt`), and `mutate -list {mutants} -seed {seed}` draws mutants of its cells: a bit of a cell's port that is
inverted, held at 0 or 1, or inverted where another bit is 0 or 1. **No case was written from a mutant.** The testbench that
qsim generates runs in Icarus on each mutant.

Seed 1 came first. Its survivors showed which kinds of bits the directed cases did not meet, such as sticky bits, or exponents
that one bit tells apart, in every lane. The cases that were added follow from the units and formats, for all lanes and bits
alike; another seed measures them.

- *directed*: killed by the directed cases of the design's datapath
- *random*: survived them, and killed by {random} random cases, as many as a checked-in suite has
- *equivalent*: no case kills it, and Yosys' SAT solver proves it equal to the design for all legal inputs; registers are cut,
  their next states compared, so that only equal next-state functions count as proven
- *survivors*: the rest, listed below
- *score*: killed, of those not proven equivalent; at least 95 % is wanted

pyosys {pyosys}, {icarus}, seed {seed}; a SAT problem has {seconds} seconds.
"""


def row(found: dict[str, Any]) -> list[str]:
    """A line of the table."""
    fates = [mutant["fate"] for mutant in found["mutants"]]
    count = {fate: fates.count(fate) for fate in (*KILLED, "equivalent", *MEANING)}
    left = sum(count[fate] for fate in MEANING)
    cases = f"{found['directed']} + {found['random']}"
    numbers = [len(fates), count["directed"], count["random"], count["equivalent"], left]
    return [f"`{found['design']}`", cases, *map(str, numbers), f"{score(found):.1f} %"]


def score(found: dict[str, Any]) -> float:
    """Per cent of the mutants not proven equivalent that are killed."""
    fates = [mutant["fate"] for mutant in found["mutants"] if mutant["fate"] != "equivalent"]
    return 100 * sum(fate in KILLED for fate in fates) / len(fates)


def page(results: list[dict[str, Any]]) -> str:
    """docs/rtl-mutants.md."""
    head = ["design", "cases", "mutants", "directed", "random", "equivalent", "survivors", "score"]
    rows = [row(found) for found in results]
    icarus = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=True).stdout.split(" (")[0]
    settings = {"mutants": MUTANTS, "seed": SEED, "random": RANDOM, "seconds": SECONDS, "icarus": icarus}
    lines = [INTRODUCTION.format(pyosys=version("pyosys"), **settings)]
    lines += [f"| {' | '.join(cells)} |" for cells in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
    lines += ["", "## Survivors", "", *(f"- *{fate}*: {text}" for fate, text in MEANING.items())]
    for found in results:
        left = [mutant for mutant in found["mutants"] if mutant["fate"] in MEANING]
        lines += ["", f"### {found['design']}", ""] if left else []
        lines += [f"- {m['fate']}, {m['source']}: `{m['command']}`" for m in left]
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> None:
    """Measure one design in this process, or all of them, each in a process of its own: Yosys numbers its names as it goes."""
    folder = Path(arguments[0]).resolve() if len(arguments) == 1 else None
    if len(arguments) == 2:
        name, path = arguments[0], Path(arguments[1]).resolve()
        os.chdir(ROOT)
        path.write_text(json.dumps(measure(name)))
        return
    with tempfile.TemporaryDirectory(prefix="qsim-") as scratch:
        paths = {name: (folder or Path(scratch)) / f"{name}.json" for name in rtl_bugs.names()}
        for name, path in paths.items():
            if not path.exists():
                subprocess.run([sys.executable, __file__, name, str(path)], check=True, stdout=subprocess.DEVNULL)
        PAGE.write_text(page([json.loads(path.read_text()) for path in paths.values()]))


if __name__ == "__main__":
    main(sys.argv[1:])
