"""The files of golden vectors: read and checked, or written, one test a line.

Levels: `element` (one code of an element, scales held at 1) and `block` (scale selection, packing, decoding).
Every bit pattern is a string "0x..." of the field's full width.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from qsim.golden.bits import hexed
from qsim.golden.element_cases import held
from qsim.spec import Format, load_format, resolve_options
from qsim.spec.load import data_folder
from qsim.spec.table import format_digest

LEVELS = ("element", "block")
HEADER = ("schema", "format", "spec_digest", "number_of_tests", "source", "verified_by", "held", "notes", "tests")
ALWAYS = ("id", "comment", "flags")
#: kind of test -> (keys it must have, keys it may have) besides ALWAYS
KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "element decode": (("code", "float32", "float64"), ()),
    "element encode": (("input", "code"), ("options", "random")),
    "element invalid": (("input", "error", "rule"), ("options",)),
    "block valid": (
        ("shape", "input", "codes", "scales"),
        ("axis", "granularity", "channel_axis", "options", "random", "zero_point", "words", "packed", "decoded"),
    ),
    "block invalid": (("shape", "input", "error", "rule"), ("axis", "granularity", "channel_axis", "options", "random")),
}
PATTERNS = ("input", "codes", "scales", "words", "decoded", "random")  # lists of them, a scale level each
HEX = re.compile(r"0x[0-9a-f]+")
PACKED = re.compile(r"(0x)?([0-9a-f]{2})*")


class GoldenError(ValueError):
    """A golden file that cannot be trusted; the text names the file and the test."""


@dataclass(frozen=True)
class GoldenFile:
    """One file of vectors. held: the scale codes and zero point of every element test, or None for blocks."""

    level: str
    format: str
    digest: str
    source: dict[str, str]
    verified_by: list[str]
    held: dict[str, Any] | None
    notes: dict[str, str]
    tests: list[dict[str, Any]]

    def text(self) -> str:
        """The canonical text: fixed order of keys, one test a line."""
        head = {
            "schema": f"{self.level}-1",
            "format": self.format,
            "spec_digest": self.digest,
            "number_of_tests": len(self.tests),
            "source": self.source,
            "verified_by": self.verified_by,
            "held": self.held,
            "notes": self.notes,
        }
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items() if value is not None]
        tests = ",\n".join(json.dumps(_joined(test), separators=(",", ":")) for test in self.tests)
        return "{" + ",\n".join([*lines, f'"tests": [\n{tests}\n]']) + "}\n"


def golden_path(folder: Path | None, level: str, name: str) -> Path:
    """FOLDER/LEVEL/NAME.json; the checked-in vectors unless a folder is given."""
    return (folder or data_folder("golden")) / level / f"{name}.json"


def golden_paths(folder: Path | None = None) -> list[Path]:
    """Every file of vectors, element level first."""
    return [p for level in LEVELS for p in sorted(((folder or data_folder("golden")) / level).glob("*.json"))]


def read_golden(path: Path) -> GoldenFile:
    """Load and check a file; GoldenError names what is wrong in it."""
    try:
        return parse_golden(path.read_bytes().decode())
    except FileNotFoundError:
        raise GoldenError(f"{path}: no such file") from None
    except GoldenError as error:
        raise GoldenError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise GoldenError(f"{path}: not a readable JSON file: {error}") from None


def load_golden(path: Path, fmt: Format | None = None) -> tuple[GoldenFile, Format]:
    """A file and its format, of which neither has changed without the other."""
    file = read_golden(path)
    if path.stem != file.format or path.parent.name != file.level:
        raise GoldenError(f"{path}: states format {file.format!r} and level {file.level!r}, but its place says otherwise")
    fmt = fmt or load_format(file.format)
    if file.digest != format_digest(fmt):
        raise GoldenError(
            f"{path}: spec_digest is {file.digest[:12]}…, that of {fmt.name} {format_digest(fmt)[:12]}…: the format has changed;"
            f" regenerate (qsim golden write {fmt.name}) or revert the format"
        )
    if file.level == "element" and file.held != held_table(fmt):
        raise GoldenError(f"{path}: held = {file.held}; allowed for {fmt.name}: {held_table(fmt)}")
    for test in file.tests:
        try:
            resolve_options(fmt, test.get("options", {}))
        except (ValueError, TypeError) as error:
            raise GoldenError(f"{path}: test {test['id']}: {error}") from None
    return file, fmt


def held_table(fmt: Format) -> dict[str, Any]:
    """Scales of 1 and the zero point of every element test."""
    scales, zero = held(fmt)
    return {"scales": [hexed(c, s.bits) for c, s in zip(scales, fmt.scales, strict=True)], "zero_point": zero}


def parse_golden(text: str) -> GoldenFile:
    """Check the text of a file."""
    table = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(table, dict):
        raise GoldenError("not a table")
    level = {f"{level}-1": level for level in LEVELS}.get(table.get("schema", ""))
    if level is None:
        raise GoldenError(f"schema = {table.get('schema')!r}; allowed: {', '.join(f'{level}-1' for level in LEVELS)}")
    wanted = [key for key in HEADER if key != "held" or level == "element"]
    if sorted(table) != sorted(wanted):
        raise GoldenError(f"keys {', '.join(table)}; wanted: {', '.join(wanted)}")
    for key, kind in {
        "format": str,
        "spec_digest": str,
        "source": dict,
        "verified_by": list,
        "notes": dict,
        "tests": list,
    }.items():
        if not isinstance(table[key], kind):
            raise GoldenError(f"{key} is not a {kind.__name__}")
    tests = table["tests"]
    if table["number_of_tests"] != len(tests):
        raise GoldenError(f"number_of_tests = {table['number_of_tests']!r}, but there are {len(tests)} tests")
    for i, test in enumerate(tests, 1):
        if not isinstance(test, dict) or test.get("id") != i:
            raise GoldenError(
                f"test {i}: id = {test.get('id')!r} is out of order" if isinstance(test, dict) else f"test {i}: not a table"
            )
        tests[i - 1] = _split(test)
        _check_test(tests[i - 1], level, table["notes"])
    unused = set(table["notes"]) - {flag for test in tests for flag in test["flags"]}
    if unused:
        raise GoldenError(f"notes of flags that no test has: {', '.join(sorted(unused))}")
    return GoldenFile(
        level,
        table["format"],
        table["spec_digest"],
        table["source"],
        table["verified_by"],
        table.get("held"),
        table["notes"],
        tests,
    )


def _joined(test: dict[str, Any]) -> dict[str, Any]:
    """A test as it is written: a list of patterns is their digits, with spaces between."""
    return {key: _words(value) if key in PATTERNS else value for key, value in test.items()}


def _words(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return " ".join(text.removeprefix("0x") for text in value)
    return [_words(part) for part in value] if isinstance(value, list) else value


def _split(test: dict[str, Any]) -> dict[str, Any]:
    """A test as it is used: a list of patterns."""
    return {key: _patterns(value) if key in PATTERNS else value for key, value in test.items()}


def _patterns(value: Any) -> Any:
    if isinstance(value, str) and not value.startswith("0x"):
        return [f"0x{digits}" for digits in value.split()]
    return [_patterns(part) for part in value] if isinstance(value, list) else value


def kind_of(test: dict[str, Any], level: str) -> str:
    """A key of KEYS."""
    if test.get("result") == "invalid":
        return f"{level} invalid"
    if level == "block":
        return "block valid"
    return "element encode" if "input" in test else "element decode"


def _check_test(test: dict[str, Any], level: str, notes: dict[str, str]) -> None:
    where = f"test {test['id']}"
    if test.get("result", "valid") not in ("valid", "invalid"):
        raise GoldenError(f"{where}: result = {test['result']!r}; allowed: valid, invalid")
    must, may = KEYS[kind_of(test, level)]
    if kind_of(test, level) == "block valid" and not test.get("options"):
        must = (*must, "packed", "decoded")
    missing = [k for k in (*ALWAYS, *must) if k not in test]
    unknown = [k for k in test if k not in (*ALWAYS, "result", *must, *may)]
    if missing or unknown:
        raise GoldenError(f"{where}: missing keys: {', '.join(missing) or 'none'}; unknown keys: {', '.join(unknown) or 'none'}")
    flags = test["flags"]
    if not isinstance(flags, list) or not flags:
        raise GoldenError(f"{where}: no flag; every test has one or more")
    for flag in flags:
        if flag not in notes:
            raise GoldenError(f"{where}: flag {flag!r} has no note")
    for key in ("input", "code", "float32", "float64", "codes", "scales", "decoded", "words", "random"):
        for text in _flat(test.get(key, [])):
            if not isinstance(text, str) or not HEX.fullmatch(text):
                raise GoldenError(f"{where}: {key} holds {text!r}; allowed: hexadecimal strings like '0x3f800000'")
    if not PACKED.fullmatch(str(test.get("packed", ""))):
        raise GoldenError(f"{where}: packed = {test['packed']!r}; allowed: two hexadecimal digits a byte")
    for key in (key for key in ("axis", "channel_axis") if type(test.get(key, 0)) is not int):
        raise GoldenError(f"{where}: {key} = {test[key]!r}; allowed: an integer")
    shape = test.get("shape", [])
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise GoldenError(f"{where}: shape = {shape!r}; allowed: a list of sizes")
    for key in ("input", "codes", "random", "decoded"):
        if level == "block" and key in test and (not isinstance(test[key], list) or len(test[key]) != prod(shape)):
            raise GoldenError(f"{where}: {key} has not the {prod(shape)} values of shape {shape}")
    if any(len(str(bits)) != 10 for bits in _flat(test.get("input", []))):
        raise GoldenError(f"{where}: input is not float32 patterns of 8 hexadecimal digits")


def _flat(value: object) -> list[object]:
    return [x for v in value for x in _flat(v)] if isinstance(value, list) else [value]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise GoldenError(f"a key stands twice among {', '.join(key for key, _ in pairs)}")
    return table
