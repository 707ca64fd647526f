"""A suite: a unit under test and its cases, as one file that checks itself. Schema: docs/golden.md.

Every pattern is a string "0x..." of its port's full width; the digest covers all of the file but itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from qsim.datapath.datapaths import parse_datapath
from qsim.golden.bits import hexed
from qsim.golden.digits import framed, from_literals, strings
from qsim.golden.patterns import Words, from_ints, to_ints
from qsim.golden.unit import Port, Unit
from qsim.golden.vectors import GoldenError
from qsim.spec import load_format
from qsim.spec.datapath import Datapath
from qsim.spec.format import Format
from qsim.spec.load import parse_format
from qsim.spec.table import format_table

SCHEMA = "suite-1"
HEADER = (
    "schema", "name", "kind", "k", "m", "n", "parameters", "options", "datapath_name", "datapath", "format", "ports", "seed",
    "written_by", "source", "verified_by", "notes", "number_of_cases", "digest", "cases",
)  # fmt: skip
HEX = re.compile(r"0x[0-9a-f]+")


@dataclass(frozen=True)
class Case:
    """One case: why it exists, and the pattern of every port. masks: bits of outputs that are not compared (don't care)."""

    id: int
    flags: tuple[str, ...]
    values: dict[str, int]
    comment: str = ""
    masks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """Cases of one unit. notes: what each flag means. written_by: `reference` or `kernel`. verified_by: who outside agreed."""

    name: str
    unit: Unit
    cases: tuple[Case, ...]
    notes: dict[str, str]
    seed: int = 0
    written_by: str = "reference"
    source: dict[str, str] = field(default_factory=dict)
    verified_by: tuple[str, ...] = ()

    @cached_property
    def by_id(self) -> dict[int, Case]:
        """Cases by their ids."""
        return {case.id: case for case in self.cases}

    def column(self, port: str) -> list[int]:
        """The patterns of one port, in the order of the cases."""
        return [case.values[port] for case in self.cases]

    def words(self, port: str) -> Words:
        """The same as rows of 64-bit words, the lowest first; made once."""
        if port not in self._words:
            self._words[port] = from_ints(self.column(port), self.unit.port(port).bits)
        return self._words[port]

    @cached_property
    def _words(self) -> dict[str, Words]:
        return {}

    def text(self) -> str:
        """The canonical text: fixed order of keys, one case a line."""
        head = self.head() | {"digest": self.digest}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
        body = ",\n".join(self.lines())
        return "{" + ",\n".join([*lines, f'"cases": [\n{body}\n]']) + "}\n"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the file's canonical text without the digest."""
        return digest(self.head(), self.lines())

    def lines(self) -> list[str]:
        """The text of each case: `case_table` as JSON, the patterns of all cases at once."""
        if not self.cases:
            return []
        texts = [f',{json.dumps(port.name)}:"0x' for port in self.unit.ports]
        texts[1:] = ['"' + text for text in texts[1:]]  # the end of the pattern before
        parts = [(t.encode(), self.words(port.name), port.bits) for t, port in zip(texts, self.unit.ports, strict=True)]
        tails = strings(framed(parts, b'"'))
        flags = {case.flags: json.dumps(list(case.flags), separators=(",", ":")) for case in self.cases}
        return [
            f'{{"id":{c.id},"flags":{flags[c.flags]}{self._comment(c)}{tail}{self._masks(c)}}}'
            for c, tail in zip(self.cases, tails, strict=True)
        ]

    def _comment(self, case: Case) -> str:
        return f',"comment":{json.dumps(case.comment)}' if case.comment else ""

    def _masks(self, case: Case) -> str:
        if not case.masks:
            return ""
        return ',"masks":' + json.dumps(self.case_table(case)["masks"], separators=(",", ":"))

    def head(self) -> dict[str, Any]:
        """All of the file but the cases and the digest."""
        unit = self.unit
        return {
            "schema": SCHEMA,
            "name": self.name,
            "kind": unit.kind,
            "k": unit.k,
            "m": unit.m,
            "n": unit.n,
            "parameters": list(unit.parameters),
            "options": dict(unit.options),
            "datapath_name": unit.datapath.name if unit.datapath else None,
            "datapath": datapath_table(unit.datapath) if unit.datapath else None,
            "format": format_table(unit.fmt) if unit.fmt else None,
            "ports": [asdict(port) for port in unit.ports],
            "seed": self.seed,
            "written_by": self.written_by,
            "source": self.source,
            "verified_by": list(self.verified_by),
            "notes": self.notes,
            "number_of_cases": len(self.cases),
        }

    def case_table(self, case: Case) -> dict[str, Any]:
        """One case as its file has it."""
        bits = {port.name: port.bits for port in self.unit.ports}
        table: dict[str, Any] = {"id": case.id, "flags": list(case.flags)}
        if case.comment:
            table["comment"] = case.comment
        table |= {name: hexed(case.values[name], width) for name, width in bits.items()}
        if case.masks:
            table["masks"] = {name: hexed(mask, bits[name]) for name, mask in case.masks.items()}
        return table


def datapath_table(d: Datapath) -> dict[str, Any]:
    """The table of a datapath, titles and evidence apart."""
    if d.table is None:
        raise GoldenError(
            f"{d.name} was made in Python; allowed: a datapath of the catalogue or of a file, which a suite can state"
        )
    return {key: value for key, value in d.table.items() if key not in ("title", "source", "verified_by", "not_verified", "name")}


def digest(head: dict[str, Any], cases: Iterable[str]) -> str:
    """SHA-256 of the header without its digest, and of every case's line."""
    found = hashlib.sha256(json.dumps({k: v for k, v in head.items() if k != "digest"}, sort_keys=True).encode())
    for case in cases:
        found.update(case.encode() + b"\n")
    return found.hexdigest()


def read_suite(path: Path) -> Suite:
    """Load and check a suite's file; GoldenError names what is wrong in it."""
    try:
        return parse_suite(path.read_bytes().decode(), str(path))
    except FileNotFoundError:
        raise GoldenError(f"{path}: no such file") from None
    except GoldenError as error:
        text = str(error)
        raise GoldenError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise GoldenError(f"{path}: not a readable suite: {error}") from None


def parse_suite(text: str, where: str = "suite") -> Suite:
    """Check the text of a suite: keys, digest, ports, every pattern's width, flags and ids."""
    return suite_of_table(json.loads(text), where)


def suite_of_table(table: Any, where: str = "suite") -> Suite:
    """The same of what the text says."""
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        raise GoldenError(f"{where}: schema = {table.get('schema') if isinstance(table, dict) else None!r}; allowed: {SCHEMA}")
    if sorted(table) != sorted(HEADER):
        odd = sorted(set(table) ^ set(HEADER))
        raise GoldenError(f"{where}: keys missing or unknown: {', '.join(odd)}; wanted: {', '.join(HEADER)}")
    cases = table["cases"]
    if not isinstance(cases, list) or table["number_of_cases"] != len(cases):
        raise GoldenError(f"{where}: number_of_cases = {table['number_of_cases']!r}, but there are {len(cases)} cases")
    head = {key: value for key, value in table.items() if key not in ("cases", "digest")}
    found = digest(head, (json.dumps(case, separators=(",", ":")) for case in cases))
    if found != table["digest"]:
        raise GoldenError(
            f"{where}: digest is {str(table['digest'])[:12]}…, the contents give {found[:12]}…: the file was changed by hand"
        )
    unit = _unit(table, where)
    wanted = [asdict(port) for port in unit.ports]
    if table["ports"] != wanted:
        raise GoldenError(
            f"{where}: ports are not those of the unit: the datapath, a format or qsim has changed; write the suite again"
        )
    columns = _columns(cases, unit.ports)
    suite = Suite(
        table["name"],
        unit,
        tuple(_case(case, i, unit.ports, table["notes"], where, columns) for i, case in enumerate(cases, 1)),
        table["notes"],
        table["seed"],
        table["written_by"],
        table["source"],
        tuple(table["verified_by"]),
    )
    unused = set(suite.notes) - {flag for case in suite.cases for flag in case.flags}
    if unused:
        raise GoldenError(f"{where}: notes of flags that no case has: {', '.join(sorted(unused))}")
    return suite


def _columns(cases: Sequence[Any], ports: Sequence[Port]) -> dict[str, list[int]]:
    """The patterns of every port, all cases at once; nothing of a port where one of its texts is no pattern."""
    found = {}
    for port in ports:
        texts = [case.get(port.name) if isinstance(case, dict) else None for case in cases]
        words = from_literals(texts, port.bits)
        if words is not None:
            found[port.name] = to_ints(words)
    return found


def _unit(table: dict[str, Any], where: str) -> Unit:
    fmt: Format | None = parse_format(table["format"]) if table["format"] is not None else None
    datapath = None
    if table["datapath"] is not None:
        datapath = parse_datapath(table["datapath"], table["datapath_name"], where, Path())
    return Unit(
        table["kind"],
        datapath,
        fmt,
        table["k"],
        table["m"],
        table["n"],
        tuple(table["parameters"]),
        tuple(table["options"].items()),
    )


def _case(
    table: dict[str, Any],
    number: int,
    ports: Sequence[Port],
    notes: dict[str, str],
    where: str,
    columns: dict[str, list[int]],
) -> Case:
    place = f"{where}: case {number}"
    if not isinstance(table, dict) or table.get("id") != number:
        raise GoldenError(f"{place}: id = {table.get('id') if isinstance(table, dict) else None!r} is out of order")
    names = {port.name for port in ports}
    odd = (set(table) ^ {"id", "flags", *names}) - {"comment", "masks"}
    if odd:
        raise GoldenError(f"{place}: keys missing or unknown: {', '.join(sorted(odd))}")
    if not table["flags"] or any(flag not in notes for flag in table["flags"]):
        raise GoldenError(f"{place}: flags = {table['flags']!r}; allowed: one or more of {', '.join(notes)}")
    values = {
        port.name: columns[port.name][number - 1] if port.name in columns else pattern(table[port.name], port, place)
        for port in ports
    }
    masks = {name: pattern(mask, _named(ports, name, place), place) for name, mask in table.get("masks", {}).items()}
    return Case(number, tuple(table["flags"]), values, table.get("comment", ""), masks)


def _named(ports: Sequence[Port], name: str, place: str) -> Port:
    for port in ports:
        if port.name == name:
            return port
    raise GoldenError(f"{place}: mask of {name!r}; allowed: {', '.join(p.name for p in ports)}")


def pattern(text: object, port: Port, place: str) -> int:
    """The number of a hexadecimal string of a port's full width."""
    if not isinstance(text, str) or not HEX.fullmatch(text) or len(text) != 2 + -(-port.bits // 4):
        raise GoldenError(
            f"{place}: {port.name} = {text!r}; allowed: 0x and {-(-port.bits // 4)} hexadecimal digits, {port.bits} bits"
        )
    value = int(text, 16)
    if value >> port.bits:
        raise GoldenError(f"{place}: {port.name} = {text!r}; allowed: {port.bits} bits")
    return value


def encode_unit(name: str, *, k: int = 16, kind: str = "encode", **options: Any) -> Unit:
    """A unit that encodes or packs k elements of a format."""
    return Unit(kind, None, load_format(name), k, options=tuple(sorted(options.items())))
