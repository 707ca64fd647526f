"""Documentation against the package: generated parts, examples, the block worked by hand, rule labels, links, file keys."""

from __future__ import annotations

import doctest
import re
import tomllib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import qsim
from qsim.spec import load, load_format, number
from qsim.spec.load import parse_format
from qsim.spec.options import CHOICES, ROUNDINGS
from tools import generate_docs

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "formats").glob("*.md"), *(ROOT / "golden").glob("*.md")])
LABEL = re.compile(r"\b[RSP](?:1[01]|[1-9])\b")


@pytest.mark.parametrize("path", generate_docs.outputs(), ids=lambda p: p.name)
def test_generated_parts_are_what_the_script_writes(path: Path) -> None:
    assert path.read_text() == generate_docs.outputs()[path], "run: python tools/generate_docs.py"


@pytest.mark.parametrize("path", [p for p in PAGES if ">>>" in p.read_text()], ids=lambda p: p.name)
def test_examples_run(path: Path) -> None:
    result = doctest.testfile(str(path), module_relative=False)

    assert result.attempted > 0
    assert result.failed == 0


def test_readme_example_is_ten_lines() -> None:
    """The README has one example, of ten lines or fewer."""
    readme = (ROOT / "README.md").read_text()

    assert readme.count("```python") == 1
    assert readme.count("\n>>> ") <= 10


# --- the block worked by hand ---


def worked_rows() -> list[list[str]]:
    """Cells of the table of docs/index.md, empty ones filled from the row above."""
    rows: list[list[str]] = []
    for line in (DOCS / "index.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 9 and not set(line) <= set("|- ") and cells[0] != "pair":
            rows.append([cell or rows[-1][i] for i, cell in enumerate(cells)])
    return rows


def test_worked_block_is_what_qsim_computes() -> None:
    """Fields, tau, steps, quotients, integers, codes and values of every row of docs/index.md, and its word."""
    rows = worked_rows()
    x = np.array([float(row[4]) for row in rows], dtype=np.float32)
    q = qsim.encode(x, "mx6")
    fields = (x.view(np.uint32) >> 23 & 255).tolist()
    taus = q.scales[0].tolist()
    shared = int(q.scales[1][0])

    assert len(rows) == 16
    assert shared == max(fields) == 128
    for i, (pair, stated, tau, step, value, ratio, integer, code, decoded) in enumerate(rows):
        assert int(pair) == i // 2
        assert [int(f) for f in stated.split(",")] == fields[i // 2 * 2 : i // 2 * 2 + 2]
        assert int(tau) == taus[i // 2]
        assert Fraction(step) == Fraction(2) ** (shared - 127 - taus[i // 2] - 3)
        assert Fraction(ratio) == Fraction(value) / Fraction(step)
        assert int(integer) == q.integers[i]
        assert int(code, 16) == q.codes[i]
        assert float(decoded) == q.decode()[i]
    text = (DOCS / "index.md").read_text()
    assert f"`{q.to_words()[0]:#x}`" in text
    assert f"`{q.pack().hex()}`" in text
    assert f"= {q.to_words()[0] & (1 << 80) - 1:#x};" in text
    assert " ".join(f"{v}" for v in x.tolist()) in re.sub(" +", " ", text)


# --- labels, options, links ---


def test_every_rule_label_is_in_the_rules_page() -> None:
    """Each label that the package, the formats or the tests name is defined, in bold, in docs/rules.md."""
    sources = [*ROOT.glob("qsim/**/*.py"), *ROOT.glob("qsim/**/*.toml"), *ROOT.glob("formats/*.toml"), *ROOT.glob("tests/*.py")]
    used = {label for path in sources for label in LABEL.findall(path.read_text())}
    defined = set(re.findall(r"^\*\*([RSP]\d+),", (DOCS / "rules.md").read_text(), flags=re.MULTILINE))

    assert used <= defined


def test_every_option_and_value_is_in_the_rules_text() -> None:
    """The text above the generated table of docs/rules.md names every option, rounding mode and value other than booleans."""
    text = (DOCS / "rules.md").read_text().partition(generate_docs.BEGIN)[0]
    values = {v for allowed, _, _ in CHOICES.values() for v in allowed if isinstance(v, str)} | set(ROUNDINGS)
    missing = {name for name in {*CHOICES, *values} if not re.search(rf"\b{name}\b", text)}

    assert missing == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_formats_readme_names_every_key_and_type() -> None:
    text = (ROOT / "formats" / "README.md").read_text()
    keys = {*load.TOP_KEYS, *load.ELEMENT_KEYS, *load.PUBLISHED_KEYS, "fields", "scales", "bit_order", "byte_order", "align"}
    words = {*keys, "group", "type", *number.ELEMENT_KINDS, *number.SPECIALS, *number.FLOAT_SCALES}

    assert {w for w in words if not re.search(rf"`\[*{w}\]*`", text)} == set()


def test_formats_readme_example_is_a_format() -> None:
    text = (ROOT / "formats" / "README.md").read_text()
    fmt = parse_format(tomllib.loads(text.partition("```toml")[2].partition("```")[0]))

    assert fmt.family == "vsq"
    assert fmt.effective_bits == Fraction(51, 8)


def test_published_floor_of_qsnr_is_what_the_formula_gives() -> None:
    """The decibels that docs/laws.md states for m = 7, 4, 2."""
    floors = [f"{20 * np.log10(2) * m + 10 * np.log10(4 / 22):.2f}" for m in (7, 4, 2)]

    assert ", ".join(floors) in (DOCS / "laws.md").read_text()
    assert [load_format(n).element.magnitude_bits for n in ("mx9", "mx6", "mx4")] == [7, 4, 2]
