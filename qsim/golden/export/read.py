"""Read an exported folder back: the same suite, or an error that names what was changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qsim.golden.bits import hexed
from qsim.golden.digits import literals
from qsim.golden.export.arrays import ARRAYS, from_array, read_npz
from qsim.golden.export.header import HEADER, read_header
from qsim.golden.export.images import read_image
from qsim.golden.export.manifest import MANIFEST, check_files, check_table, identifier, manifest, read_manifest
from qsim.golden.export.write import LINES, mask_port
from qsim.golden.patterns import Words, from_ints, to_int
from qsim.golden.suite import Suite, suite_of_table
from qsim.golden.unit import Port
from qsim.golden.vectors import GoldenError

Table = dict[str, Any]


@dataclass
class Columns:
    """Patterns and masks of each port, in the order of the cases."""

    values: dict[str, Words] = field(default_factory=dict)
    masks: dict[str, Words] = field(default_factory=dict)


def import_suite(path: Path) -> Suite:
    """The suite of an exported folder, or of its vectors.npz or vectors.jsonl alone.

    Raises:
        GoldenError: names the file that is missing, cut, changed by hand, or only a part of a suite.
    """
    if path.is_dir():
        table = read_manifest(path)
        data = check_files(path, table["files"])
        return _suite(table, data, path)
    if not path.exists():
        raise GoldenError(f"{path}: no such file or folder")
    if path.suffix not in (".npz", ".jsonl"):
        raise GoldenError(f"{path}: allowed: a folder that `qsim golden export` wrote, or its {ARRAYS} or {LINES}")
    content = path.read_bytes()
    if path.suffix == ".jsonl":
        return _of_lines(content, str(path))
    arrays = read_npz(content, str(path))
    try:
        table = check_table(json.loads(str(arrays["metadata"])), str(path))
    except (KeyError, ValueError, RecursionError) as error:
        raise GoldenError(f"{path}: no metadata of `qsim golden export --to npz`: {error}") from None
    return _suite(table, {ARRAYS: content}, path.parent)


def _suite(table: Table, data: dict[str, bytes], folder: Path) -> Suite:
    where = str(folder / MANIFEST)
    if table["digest"] != table["whole"]:
        raise GoldenError(f"{where}: case {table['ids'][0]} of suite {table['suite']} alone; allowed: an export of all its cases")
    if table["to"] not in (*READERS, "jsonl"):
        raise GoldenError(f"{where}: to = {table['to']!r}; allowed: {', '.join(READERS)}, jsonl")
    try:
        if table["to"] == "jsonl":
            suite = _of_lines(data[LINES], str(folder / LINES))
        else:
            suite = suite_of_table(_assembled(table, READERS[table["to"]](table, data, folder)), where)
        _check_summary(suite, table, where)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise GoldenError(f"{where}: changed by hand: {type(error).__name__} {error}") from None
    return suite


def _check_summary(suite: Suite, table: Table, where: str) -> None:
    """What a manifest repeats of its suite, for those who read nothing else."""
    wanted = manifest(suite, table["to"], table["whole"], table["bench"])
    for entry, given in zip(wanted["ports"], table["ports"], strict=True):
        entry |= {key: given[key] for key in ("file", "mask") if key in given}
    for key in wanted:
        if key != "files" and wanted[key] != table[key]:
            raise GoldenError(f"{where}: {key} is not that of the suite: the manifest was changed by hand")


def _assembled(table: Table, columns: Columns) -> Table:
    """The suite's own table."""
    keys = ("name", "role", "width", "count", "kind")
    ports = [{key: entry[key] for key in keys} for entry in table["ports"]]
    bits = {entry["name"]: entry["bits"] for entry in table["ports"]}
    texts = {name: literals(column, bits[name]) for name, column in columns.values.items()}
    cases = []
    for i, (number, (flags, comment, masked)) in enumerate(zip(table["ids"], table["about"], strict=True)):
        case: Table = {"id": number, "flags": flags} | ({"comment": comment} if comment else {})
        case |= {name: column[i] for name, column in texts.items()}
        if masked:
            case["masks"] = {name: hexed(to_int(columns.masks[name][i]), bits[name]) for name in masked}
        cases.append(case)
    head: Table = table["head"] | {"ports": ports, "number_of_cases": table["cases"], "digest": table["digest"]}
    return head | {"cases": cases}


def ports_of(table: Table) -> list[Port]:
    """The ports of a manifest."""
    return [Port(e["name"], e["role"], e["width"], e["count"], e["kind"]) for e in table["ports"]]


def _of_images(to: str) -> Callable[[Table, dict[str, bytes], Path], Columns]:
    def read(table: Table, data: dict[str, bytes], folder: Path) -> Columns:
        found = Columns()
        for port, entry in zip(ports_of(table), table["ports"], strict=True):
            for column, key in ((found.values, "file"), (found.masks, "mask")):
                if key in entry:
                    where = str(folder / entry[key])
                    column[port.name] = read_image(data[entry[key]], port.bits, table["cases"], to, where)
        return found

    return read


def _of_header(table: Table, data: dict[str, bytes], folder: Path) -> Columns:
    ports = ports_of(table)
    columns, masks = read_header(data[HEADER].decode(), ports, table["ids"], str(folder / HEADER))
    hidden = ([masks.get(number, {}).get(port.name, 0) for number in table["ids"]] for port in ports)
    return Columns(*({p.name: from_ints(c, p.bits) for p, c in zip(ports, found, strict=True)} for found in (columns, hidden)))


def _of_arrays(table: Table, data: dict[str, bytes], folder: Path) -> Columns:
    where = str(folder / ARRAYS)
    arrays = read_npz(data[ARRAYS], where)
    found = Columns()
    for port in ports_of(table):
        name = identifier(port.name)
        if name not in arrays:
            raise GoldenError(f"{where}: no array {name!r}; the manifest states it")
        found.values[port.name] = from_array(arrays[name], port, where)
        if f"{name}_mask" in arrays:
            found.masks[port.name] = from_array(arrays[f"{name}_mask"], mask_port(port), where)
    return found


def _of_lines(data: bytes, where: str) -> Suite:
    """A header line and cases, or GoldenError with the line."""
    rows = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise GoldenError(f"{where}: line {number}: not JSON: {error}") from None
    if not rows or not isinstance(rows[0], dict) or "schema" not in rows[0]:
        raise GoldenError(f"{where}: line 1: allowed: the header of `qsim golden export --to jsonl`")
    return suite_of_table(rows[0] | {"cases": rows[1:]}, where)


READERS: dict[str, Callable[[Table, dict[str, bytes], Path], Columns]] = {
    "readmemh": _of_images("readmemh"),
    "readmemb": _of_images("readmemb"),
    "sv": _of_images("readmemh"),
    "c": _of_header,
    "npz": _of_arrays,
}
