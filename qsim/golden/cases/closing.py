"""Cases that `tools/close_suites.py` found for the checked-in suites: each kills a mutant that the other cases let live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from qsim.golden.cases.draft import Draft
from qsim.golden.unit import Unit
from qsim.spec.load import data_folder

FLAG = "Mutant"


@cache
def closing_cases() -> tuple[dict[str, Any], ...]:
    """The rows of golden/inputs/closing.json."""
    path = data_folder("golden") / "inputs" / "closing.json"
    return tuple(json.loads(path.read_text())["cases"]) if path.exists() else ()


def closing(unit: Unit) -> Iterator[Draft]:
    """The rows of a unit: same kind, same datapath or format, same ports."""
    named = unit.datapath.name if unit.datapath is not None else unit.fmt.name if unit.fmt is not None else ""
    widths = {port.name: len(f"{0:0{-(-port.bits // 4)}x}") + 2 for port in unit.inputs}
    for row in closing_cases():
        if (row["kind"], row["name"]) == (unit.kind, named) and {n: len(v) for n, v in row["inputs"].items()} == widths:
            yield Draft((FLAG,), row["comment"], {name: int(value, 16) for name, value in row["inputs"].items()})
