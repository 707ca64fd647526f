"""The house rules of CONTRIBUTING.md, read from the sources: which room imports which, and what no file may contain."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "qsim"
ORDER = ("spec", "kernels", "codec", "layout", "ranges", "datapath", "lowbit", "adaround", "golden", "explore", "cli")
ROOMS = (*ORDER, "reference")
FILES = sorted(path for room in ROOMS for path in (PACKAGE / room).rglob("*.py"))
#: Imports against the order, each with its reason.
ALLOWED = {
    ("codec", "layout"): "QTensor.pack and to_words load layout when called",
}

parametrized = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, whether at import time) of every import statement; imports for type checkers alone are left out."""
    tree = ast.parse(path.read_text())
    typing = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    early = {node for statement in tree.body for node in ([statement] if not isinstance(statement, ast.FunctionDef) else [])}
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in early) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield base, node in early
            yield from ((f"{base}.{alias.name}", node in early) for alias in node.names if base == "qsim")


def room_of(module: str) -> str | None:
    """The room of a module of the package."""
    parts = module.split(".")
    return parts[1] if parts[0] == "qsim" and len(parts) > 1 and parts[1] in ROOMS else None


@parametrized
def test_imports_flow_one_way(path: Path) -> None:
    """A file imports only from its own room and those before it; reference only from spec; golden may use the reference."""
    here = path.relative_to(PACKAGE).parts[0]
    for module, _ in imports(path):
        room = room_of(module)
        if room is None or room == here or (here, room) in ALLOWED:
            continue
        if here == "reference" or room == "reference":
            assert room == "spec" or (here, room) == ("golden", "reference"), module
        else:
            assert ORDER.index(room) < ORDER.index(here), module


@parametrized
def test_only_kernels_import_numba(path: Path) -> None:
    """numba and llvmlite stay in kernels, and no other room loads kernels when it is imported."""
    if path.relative_to(PACKAGE).parts[0] == "kernels":
        return
    for module, early in imports(path):
        assert module.split(".")[0] not in ("numba", "llvmlite"), module
        assert not (early and room_of(module) == "kernels"), module


@parametrized
def test_spec_and_reference_do_without_numpy(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] in ("spec", "reference"):
        assert "numpy" not in {module.split(".")[0] for module, _ in imports(path)}


@parametrized
def test_no_file_does_what_changes_bits(path: Path) -> None:
    """No logarithm to base 2, no fastmath, no parallel reduction."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    keywords = {n.arg for n in nodes if isinstance(n, ast.keyword)}

    assert not names & {"log2", "prange"}
    assert not keywords & {"fastmath", "parallel"}


def test_import_of_the_package_loads_neither_numpy_nor_numba() -> None:
    code = "import qsim, sys; print(sorted({'numpy', 'numba', 'click'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"
