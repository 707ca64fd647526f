"""The manifest of an exported folder: what stands in which file, and all of the suite but its patterns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qsim.golden.bits import hexed
from qsim.golden.patterns import Words, to_int
from qsim.golden.suite import Suite
from qsim.golden.unit import Port, Unit
from qsim.golden.vectors import GoldenError
from qsim.spec import Format

SCHEMA = "vectors-1"
MANIFEST = "manifest.json"
KEYS = ("schema", "to", "suite", "digest", "kind", "k", "cases", "whole", "bench", "files", "ports", "head", "ids", "about")


def identifier(port: str) -> str:
    """A port's name as files and Verilog have it."""
    return port.replace(".", "_")


def manifest(suite: Suite, to: str, whole: str, bench: dict[str, Any] | None) -> dict[str, Any]:
    """The manifest, its files still missing. whole: digest of the suite that the cases come from."""
    return {
        "schema": SCHEMA,
        "to": to,
        "suite": suite.name,
        "digest": suite.digest,
        "kind": suite.unit.kind,
        "k": suite.unit.k,
        "cases": len(suite.cases),
        "whole": whole,
        "bench": bench,
        "files": {},
        "ports": [port_entry(suite.unit, port, suite.words(port.name)) for port in suite.unit.ports],
        "head": {key: value for key, value in suite.head().items() if key not in ("ports", "number_of_cases")},
        "ids": [case.id for case in suite.cases],
        "about": [[list(case.flags), case.comment, list(case.masks)] for case in suite.cases],
    }


def port_entry(unit: Unit, port: Port, words: Words) -> dict[str, Any]:
    """What a manifest says of a port: widths, the fields of a word from bit 0, the exclusive or of all its patterns."""
    entry: dict[str, Any] = {"name": port.name, "role": port.role, "width": port.width, "count": port.count, "bits": port.bits}
    entry["kind"] = port.kind
    if port.kind == "word":
        entry["fields"] = word_fields(word_format(unit, port))
    return entry | {"words": len(words), "xor": hexed(to_int(np.bitwise_xor.reduce(words, axis=0)), port.bits)}


def word_format(unit: Unit, port: Port) -> Format:
    """The format of a port's words."""
    if unit.fmt is not None:
        return unit.fmt
    assert unit.datapath is not None
    return unit.datapath.operand_format(port.name)


def word_fields(fmt: Format) -> list[dict[str, Any]]:
    """Name, lowest bit, width and count of each field of a word."""
    found, lsb = [], 0
    for name, width, count in fmt.word_fields:
        found.append({"name": name, "lsb": lsb, "width": width, "count": count})
        lsb += width * count
    return found


def manifest_text(table: Mapping[str, Any]) -> str:
    """Canonical text: a key a line, a port a line, a case a line."""
    lists = ("ports", "about")
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in table.items() if key not in lists]
    for key in lists:
        rows = ",\n".join(json.dumps(row) for row in table[key])
        lines.append(f"{json.dumps(key)}: [\n{rows}\n]")
    return "{" + ",\n".join(lines) + "}\n"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Load and check the form of a manifest; GoldenError names the file and the key."""
    path = folder / MANIFEST
    try:
        table = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise GoldenError(f"{path}: no such file; allowed: a folder that `qsim golden export` wrote") from None
    except NotADirectoryError:
        raise GoldenError(f"{folder}: is no folder; allowed: a folder that `qsim golden export` wrote") from None
    except (ValueError, RecursionError) as error:
        raise GoldenError(f"{path}: not JSON: {error}") from None
    return check_table(table, str(path))


def check_table(table: Any, path: str) -> dict[str, Any]:
    """The form of a manifest; GoldenError names the key."""
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        raise GoldenError(f"{path}: schema = {table.get('schema') if isinstance(table, dict) else None!r}; allowed: {SCHEMA}")
    if sorted(table) != sorted(KEYS):
        odd = ", ".join(sorted(set(table) ^ set(KEYS)))
        raise GoldenError(f"{path}: keys missing or unknown: {odd}; wanted: {', '.join(KEYS)}")
    kinds = {"files": dict, "head": dict, "ports": list, "ids": list, "about": list}
    for key, kind in kinds.items():
        if not isinstance(table[key], kind):
            raise GoldenError(f"{path}: {key} = {str(table[key])[:40]!r}; allowed: {'a table' if kind is dict else 'a list'}")
    return table


def sha256(data: bytes) -> str:
    """Of a file's contents."""
    return hashlib.sha256(data).hexdigest()


def check_files(folder: Path, files: Mapping[str, Any]) -> dict[str, bytes]:
    """The contents of all files; GoldenError where one is missing or not what was exported."""
    found = {}
    for name, digest in files.items():
        path = folder / Path(name).name
        try:
            found[name] = data = path.read_bytes()
        except FileNotFoundError:
            raise GoldenError(f"{path}: no such file; {folder / MANIFEST} states it") from None
        if sha256(data) != digest:
            raise GoldenError(
                f"{path}: {len(data)} bytes with sha256 {sha256(data)[:12]}…, but {MANIFEST} states {str(digest)[:12]}…:"
                " the file was changed or cut"
            )
    return found
