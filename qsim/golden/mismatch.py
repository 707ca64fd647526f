"""One mismatch in full: bits, fields, exact values and distances of what differs; reports as text, JSON and JUnit XML."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any
from xml.etree import ElementTree

from qsim.golden.bits import hexed
from qsim.golden.fields import exact_text
from qsim.golden.reading import Part, parts
from qsim.golden.suite import Case
from qsim.golden.unit import Port
from qsim.golden.verify import AGREES, CLASSES, MISSING, Compared, Verdict, table

PARTS_SHOWN = 6  # of one port
FIELDS_LONGEST = 80  # of a field in bits as they are shown


@dataclass(frozen=True)
class Difference:
    """One part of a port that differs. got is None where it is missing; unknown: its bits that are X or Z."""

    part: Part
    expected: int
    got: int | None
    unknown: int
    value_expected: str
    value_got: str

    def table(self) -> dict[str, Any]:
        """For JSON."""
        known = self.got is not None and not self.unknown
        distance = self.part.distance(self.expected, self.got) if known and self.got is not None else None
        return {
            "part": self.part.name,
            "expected": hexed(self.expected, self.part.width),
            "got": bits_text(self.got, self.unknown, self.part.width),
            "fields_expected": self.part.fields(self.expected),
            "fields_got": self.part.fields(self.got) if known and self.got is not None else "",
            "value_expected": self.value_expected,
            "value_got": self.value_got,
            "distance": None if distance is None else {distance[1]: distance[0]},
        }


def bits_text(code: int | None, unknown: int, width: int) -> str:
    """A pattern in hexadecimal; in binary where bits are unknown and it is short, else with x for each digit that is."""
    if code is None:
        return "missing"
    if not unknown:
        return hexed(code, width)
    if width <= FIELDS_LONGEST:
        return "0b" + "".join("x" if unknown >> i & 1 else str(code >> i & 1) for i in reversed(range(width)))
    digits = hexed(code & ~unknown, width)[2:]
    return "0x" + "".join("x" if unknown >> 4 * (len(digits) - 1 - i) & 15 else digit for i, digit in enumerate(digits))


def differences(verdict: Verdict, one: Compared, place: int) -> list[Difference]:
    """What differs on a port in a case, by its place in the suite."""
    case = verdict.suite.cases[place]
    want, mask = case.values[one.port.name], case.masks.get(one.port.name, 0)
    found = one.got(place)
    if found is None:
        whole = Part("", 0, one.port.bits, "pad")
        return [Difference(whole, want, None, 0, "", "")]
    got, unknown = found
    changed = ((want ^ got) | unknown) & ~mask
    return [
        Difference(
            part,
            part.code(want),
            part.code(got),
            part.code(unknown & ~mask),
            exact_text(part.value(want)),
            "" if part.code(unknown & ~mask) else exact_text(part.value(got)),
        )
        for part in parts(verdict.suite.unit, one.port)
        if part.code(changed)
    ]


def shown_ports(verdict: Verdict, place: int) -> list[Compared]:
    """The first stage that differs in a case, and the result."""
    bad = [one for one in verdict.compared if one.codes[place]]
    return bad if len(bad) < 2 else [bad[0], bad[-1]]


def mismatch_table(verdict: Verdict, place: int) -> dict[str, Any]:
    """One mismatch for JSON."""
    case = verdict.suite.cases[place]
    bad = [one for one in verdict.compared if one.codes[place]]
    return {
        "id": case.id,
        "flags": list(case.flags),
        "comment": case.comment,
        "class": CLASSES[int(verdict.worst[place]) - 1],
        "stage": bad[0].port.name,
        "rule": verdict.rule(bad[0].port),
        "differs": [one.port.name for one in bad],
        "ports": {one.port.name: port_table(verdict, one, place) for one in shown_ports(verdict, place)},
    }


def port_table(verdict: Verdict, one: Compared, place: int) -> dict[str, Any]:
    """One port of a mismatch for JSON."""
    bits = one.port.bits
    got, unknown = one.got(place) or (None, 0)
    return {
        "expected": hexed(verdict.suite.cases[place].values[one.port.name], bits),
        "got": bits_text(got, unknown, bits),
        "class": CLASSES[int(one.codes[place]) - 1],
        "parts": [d.table() for d in differences(verdict, one, place)],
    }


def mismatch_text(verdict: Verdict, place: int) -> str:
    """One mismatch for people."""
    case = verdict.suite.cases[place]
    ports = shown_ports(verdict, place)
    lines = [f"case {case.id} ({case_text(case)}): {headline(verdict, place)}"]
    for one in ports:
        lines.append(f"  {one.port.name} ({verdict.rule(one.port)}), {class_name(one, place)}")
        lines += [f"    {line}" for line in _columns(differences(verdict, one, place), one.port)]
    return "\n".join(lines)


def headline(verdict: Verdict, place: int) -> str:
    """Which stage differs first."""
    bad = [one for one in verdict.compared if one.codes[place]]
    first = bad[0].port
    verb = "is missing" if class_name(bad[0], place) == "missing" else "differs"
    if len(verdict.compared) == 1:
        return f"{first.name} {verb}"
    if first.role == "result":
        return f"{first.name} {verb}, every stage given before it agrees"
    return f"{first.name} {verb} first" + ("" if bad[-1].port.role == "result" else ", the result agrees")


def class_name(one: Compared, place: int) -> str:
    """The class of a port's difference."""
    return CLASSES[int(one.codes[place]) - 1]


def case_text(case: Case) -> str:
    """Flags and comment."""
    return "; ".join(filter(None, (", ".join(case.flags), case.comment)))


def _columns(found: list[Difference], port: Port) -> list[str]:
    """Expected and got side by side, a line for each part that differs."""
    rows = [["", "expected", "got", "", "", "distance"]]
    for d in found[:PARTS_SHOWN]:
        row = d.table()
        distance = "".join(f"{n:+d} {unit}" for unit, n in (row["distance"] or {}).items())
        fields = f"{row['fields_expected']} / {row['fields_got'] or '?'}" if row["fields_expected"] else ""
        values = f"{row['value_expected']} / {row['value_got'] or '?'}" if row["value_expected"] else ""
        rows.append([d.part.name, row["expected"], row["got"], fields, values, distance])
    rows[0][3] = "fields" if any(row[3] for row in rows[1:]) else ""
    rows[0][4] = "value" if any(row[4] for row in rows[1:]) else ""
    rows = [[cell for i, cell in enumerate(row) if any(r[i] for r in rows[1:])] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(found) > PARTS_SHOWN:
        lines.append(f"and {len(found) - PARTS_SHOWN} more of {port.count} values")
    return lines


def summary_text(verdict: Verdict) -> str:
    """The first lines of a report: what was compared, and what the mismatches have in common."""
    n = len(verdict.suite.cases)
    lines = [f"{verdict.suite.name}: compared {verdict.number_compared} of {n}, {count(verdict.mismatches, 'mismatch')}"]
    lines[0] += f", {verdict.extra} extra" if verdict.extra else ""
    if not n:
        lines.append("the suite has no cases: nothing was compared")
    for one in verdict.compared:
        if missing := int((one.rows < 0).sum()):
            ids = [verdict.suite.cases[i].id for i in (one.rows < 0).nonzero()[0][:8].tolist()]
            more = " ..." if missing > len(ids) else ""
            lines.append(f"{one.port.name}: {count(missing, 'case')} missing: {', '.join(map(str, ids))}{more}")
        if one.extra:
            lines.append(f"{one.port.name}: {count(one.extra, 'row')} of no case, or of a case that has its row already")
    if cause := verdict.cause():
        lines.append(cause)
    if verdict.mismatches:
        stages = ", ".join(f"{name} ({verdict.rule(verdict.suite.unit.port(name))}) {n}" for name, n in verdict.by_stage.items())
        lines.append(f"first stage that differs: {stages}" if len(verdict.compared) > 1 else f"stage: {stages}")
        lines.append("class: " + ", ".join(f"{name} {n}" for name, n in verdict.by_class.items()))
    for name, n in verdict.ignored.items():
        if n:
            lines.append(f"ignored: {n} of class {name}")
    if "manifest.json" in verdict.unused:
        lines.append("OUTPUT has a manifest.json: it is an exported folder, and its files are the expected values")
    if verdict.unused:
        lines.append(f"not compared: {', '.join(verdict.unused)}: no outputs of this unit")
    return "\n".join(lines)


def count(n: int, what: str) -> str:
    """1 case, 2 cases; 1 mismatch, 2 mismatches."""
    return f"{n} {what}" if n == 1 else f"{n} {what}{'es' if what.endswith('ch') else 's'}"


def report_text(verdict: Verdict, limit: int = 20) -> str:
    """The whole report, at most `limit` mismatches in full."""
    lines = [summary_text(verdict)]
    lines += [f"  {flag}: {n} of {m}" for flag, (n, m) in islice(verdict.by_flag.items(), 12)]
    present = [i for i in verdict.places.tolist() if any(AGREES < one.codes[i] < MISSING for one in verdict.compared)]
    lines += ["\n" + mismatch_text(verdict, place) for place in present[:limit]]
    if len(present) > limit:
        lines.append(f"\n{count(len(present) - limit, 'mismatch')} not shown")
    return "\n".join(lines)


def report_table(verdict: Verdict, limit: int = 20) -> dict[str, Any]:
    """The whole report for JSON."""
    return table(verdict) | {"shown": [mismatch_table(verdict, place) for place in verdict.places[:limit].tolist()]}


def junit(verdict: Verdict, limit: int = 20) -> bytes:
    """JUnit XML: a test for each case, and one that demands that results and cases are as many; `limit` failures in full."""
    bad = dict.fromkeys(verdict.places.tolist())
    full = set(list(bad)[:limit])
    root = ElementTree.Element("testsuites")
    tests = len(verdict.suite.cases) + 1
    complete = not verdict.extra and verdict.number_compared == len(verdict.suite.cases) > 0
    facts = {"name": verdict.suite.name, "tests": str(tests), "failures": str(len(bad) + (not complete)), "errors": "0"}
    suite = ElementTree.SubElement(root, "testsuite", facts | {"skipped": "0"})
    test = ElementTree.SubElement(suite, "testcase", {"classname": verdict.suite.name, "name": "every case is compared"})
    if not complete:
        message = f"compared {verdict.number_compared} of {len(verdict.suite.cases)}, {verdict.extra} extra"
        ElementTree.SubElement(test, "failure", {"message": message, "type": "missing"}).text = summary_text(verdict)
    for place, case in enumerate(verdict.suite.cases):
        name = f"case {case.id} ({', '.join(case.flags)})"
        test = ElementTree.SubElement(suite, "testcase", {"classname": verdict.suite.name, "name": name})
        if place in bad:
            kind = CLASSES[int(verdict.worst[place]) - 1]
            failure = ElementTree.SubElement(test, "failure", {"message": headline(verdict, place), "type": kind})
            failure.text = mismatch_text(verdict, place) if place in full else None
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"
