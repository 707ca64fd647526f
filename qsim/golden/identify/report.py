"""What `qsim identify` says: candidates, the equivalence class of the best one, what explains the mismatches, the bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qsim.golden.identify import Identification
from qsim.golden.identify.apart import Apart
from qsim.golden.identify.search import Candidate

NAMES = 12  # names of a class that are written out


def report_text(found: Identification, apart: Apart | None, limit: int) -> str:
    """The report as text."""
    lines = [f"{found.source} against {found.suite.name}: {_verdict(found)}", ""]
    width = max([len(c.name) for c in found.candidates[:limit]], default=0)
    lines.append(f"{'candidate':{width}}  agrees      explains  breaks  class")
    for c in found.candidates[:limit]:
        agrees = f"{c.matches}/{c.compared}"
        lines.append(f"{c.name:{width}}  {agrees:10}  {c.explains:8}  {c.breaks:6}  {c.group:5}".rstrip())
        if c.same_as:
            lines.append(f"  the same by definition: {', '.join(c.same_as)}")
    if len(found.candidates) > limit:
        lines.append(f"... and {len(found.candidates) - limit} more")
    lines += ["", *_explained(found), *_class(found, apart), _bound(found)]
    return "\n".join(lines)


def _verdict(found: Identification) -> str:
    n, best = len(found.suite.cases), found.candidates[0]
    if not found.mismatches:
        return f"the suite's own datapath agrees, {n} of {n} cases"
    if found.agrees:
        others = f", or one of {len(found.best) - 1} others that give the same here" if len(found.best) > 1 else ""
        return f"{' = '.join((best.name, *best.same_as))}{others}, {best.matches} of {n} cases"
    return f"no candidate agrees; the best one, {best.name}, in {best.matches} of {n} cases"


def _explained(found: Identification) -> list[str]:
    best, wrong = found.candidates[0], found.mismatches
    if not wrong:
        return []
    own = f"The suite's own datapath differs in {wrong} of {len(found.suite.cases)} cases"
    if not best.explains:
        return [f"{own}; no candidate explains one of them without breaking others."]
    what = f"{best.explains} of these {wrong}"
    broken = f", and breaks {best.breaks} others" if best.breaks else ""
    return [f"{own}; {best.name} explains {what}{broken}."]


def classes_text(classes: Sequence[Sequence[str]]) -> list[str]:
    """One line a class."""
    lines = []
    for i, names in enumerate(classes, 1):
        more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
        lines.append(f"  {i}: {' | '.join(names[:NAMES])}{more}")
    return lines


def _class(found: Identification, apart: Apart | None) -> list[str]:
    best = found.best
    if len(best) == 1:
        return []
    lines = [f"{len(best)} designs that are not the same by definition give these outputs on the whole suite."]
    if apart is None:
        return [*lines, *classes_text([[c.name for c in best]])]
    if apart.suite is None:
        return [*lines, f"None of {apart.inputs} other inputs tells them apart:", *classes_text(apart.classes)]
    lines.append(
        f"{len(apart.suite.cases)} cases of {apart.inputs} inputs that were tried tell {len(apart.classes)} classes apart:"
    )
    return [*lines, *classes_text(apart.classes)]


def _bound(found: Identification) -> str:
    b = found.bound
    text = f"Tried: the suite's own, {b.presets} presets, {b.options} single options, {b.pairs} of {b.pairs_possible} pairs"
    if not b.pairs_possible:
        text = f"Tried: the suite's own, {b.presets} presets, {b.options} single options, no pairs"
    rest = f"; stopped: {b.stopped}" if b.stopped else ""
    return f"{text}; {found.candidates[0].confirmed} cases of the best one confirmed by the reference{rest}."


def report_table(found: Identification, apart: Apart | None, limit: int) -> dict[str, Any]:
    """The report for JSON."""
    b = found.bound
    return {
        "suite": found.suite.name,
        "digest": found.suite.digest,
        "output": found.source,
        "agrees": found.agrees,
        "cases": len(found.suite.cases),
        "mismatches": found.mismatches,
        "candidates": [_row(c) for c in found.candidates[:limit]],
        "best_class": [c.name for c in found.best],
        "apart": None
        if apart is None
        else {
            "classes": [list(names) for names in apart.classes],
            "inputs": apart.inputs,
            "cases": len(apart.suite.cases) if apart.suite else 0,
        },
        "bound": {
            "presets": b.presets,
            "options": b.options,
            "pairs": b.pairs,
            "pairs_possible": b.pairs_possible,
            "stopped": b.stopped,
        },
    }


def _row(c: Candidate) -> dict[str, Any]:
    return {
        "name": c.name,
        "kind": c.kind,
        "same_as": list(c.same_as),
        "agrees": c.agrees,
        "matches": c.matches,
        "compared": c.compared,
        "explains": c.explains,
        "breaks": c.breaks,
        "refused": c.refused,
        "class": c.group,
        "confirmed": c.confirmed,
    }
