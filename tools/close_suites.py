"""Find the cases that the checked-in suites need beside their directed ones, so that no mutant survives.

    python tools/close_suites.py                      every suite
    python tools/close_suites.py dot/mx9_bdr ...      these

Each suite is built without its closing cases; then cases are searched, those known before first. Their inputs are kept in
golden/inputs/closing.json. Then write the suites again (qsim golden write --kind KIND) and the table (tools/mutant_table.py).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the checkout's own qsim, installed or not

from qsim.datapath.datapaths import load_datapath  # noqa: E402
from qsim.golden.bits import hexed  # noqa: E402
from qsim.golden.cases.closing import closing, closing_cases  # noqa: E402
from qsim.golden.mutants.close import close  # noqa: E402
from qsim.golden.unit import Unit  # noqa: E402
from qsim.golden.write_suite import CHECKED_IN, datapath_unit, format_unit, write_suite  # noqa: E402

DATA = ROOT / "golden" / "inputs" / "closing.json"
EFFORT = 2000

Row = dict[str, Any]


def unit_of(kind: str, name: str) -> Unit:
    """The unit of a checked-in suite."""
    return format_unit(name, kind) if kind == "encode" else datapath_unit(load_datapath(name), kind)


def keep(rows: list[Row]) -> None:
    """Write the rows, one a line, in the order of the suites."""
    order = [(kind, name) for kind, names in CHECKED_IN.items() for name in names]
    rows = sorted(rows, key=lambda row: order.index((row["kind"], row["name"])))
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    text = '{"schema": "closing-1",\n"cases": [\n' + lines + "\n]}\n"
    if text != DATA.read_text():
        DATA.write_text(text)
        closing_cases.cache_clear()


def close_one(kind: str, name: str) -> int:
    """Replace the rows of one suite; how many mutants survive."""
    unit = unit_of(kind, name)
    known = [draft.inputs for draft in closing(unit)]
    others = [row for row in closing_cases() if (row["kind"], row["name"]) != (kind, name)]
    with patch("qsim.golden.cases.closing.closing_cases", lambda: others):
        suite = write_suite(unit, name)
    closed = close(suite, first=known, effort=EFFORT, told=lambda text: print("   ", text, flush=True))
    bits = {port.name: port.bits for port in unit.inputs}
    added = closed.suite.cases[len(suite.cases) :]
    new = [{port: hexed(case.values[port], width) for port, width in bits.items()} for case in added]
    keep(others + [{"kind": kind, "name": name, "comment": c.comment, "inputs": i} for c, i in zip(added, new, strict=True)])
    killed, wanted = closed.strength.score
    print(f"{kind}/{name}: {len(suite.cases)} cases + {closed.added}, {killed} of {wanted}", flush=True)
    for verdict in closed.strength.of("survived"):
        print("    survived:", verdict.mutant.name, flush=True)
    return wanted - killed


def main(wanted: list[str]) -> int:
    """Exit code 1 where a mutant survives."""
    names = [(kind, name) for kind, found in CHECKED_IN.items() for name in found]
    left = [close_one(kind, name) for kind, name in names if not wanted or f"{kind}/{name}" in wanted]
    return int(any(left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
