"""Find cases that kill the surviving mutants of suites, and keep their inputs in golden/inputs/closing.json.

python tools/close_suites.py golden/dot/mx9_bdr.json ...; then write the suites again: qsim golden write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qsim.golden.bits import hexed
from qsim.golden.mutants.close import close
from qsim.golden.suite import read_suite

DATA = Path(__file__).parent.parent / "golden" / "inputs" / "closing.json"
EFFORT = 2000


def main(paths: list[str]) -> None:
    """Close each suite; rows of other suites stay."""
    for path in paths:
        suite = read_suite(Path(path))
        unit = suite.unit
        closed = close(suite, effort=EFFORT, told=lambda text: print("   ", text, flush=True))
        killed, wanted = closed.strength.score
        print(f"{path}: {len(suite.cases)} cases + {closed.added}, {killed} of {wanted}", flush=True)
        for verdict in closed.strength.of("survived"):
            print("    survived:", verdict.mutant.name, flush=True)
        name = unit.datapath.name if unit.datapath else unit.fmt.name if unit.fmt else ""
        bits = {port.name: port.bits for port in unit.inputs}
        rows = [
            {
                "kind": unit.kind,
                "name": name,
                "comment": case.comment,
                "inputs": {port: hexed(case.values[port], width) for port, width in bits.items()},
            }
            for case in closed.suite.cases[len(suite.cases) :]
        ]
        known = json.loads(DATA.read_text())["cases"] if DATA.exists() else []
        whole = known + [row for row in rows if row not in known]
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in whole)
        DATA.write_text('{"schema": "closing-1",\n"cases": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
