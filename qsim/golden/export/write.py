"""Write a suite into a folder, in one of several formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qsim.golden.export.arrays import ARRAYS, npz, to_array
from qsim.golden.export.bench import Bench, parse_bench
from qsim.golden.export.folder import check_place, write_folder
from qsim.golden.export.header import HEADER, header
from qsim.golden.export.images import SUFFIX, Image, image_text
from qsim.golden.export.manifest import MANIFEST, identifier, manifest, manifest_text, sha256
from qsim.golden.export.package import package, package_name
from qsim.golden.export.testbench import testbench
from qsim.golden.patterns import Words, from_ints
from qsim.golden.suite import Suite
from qsim.golden.unit import Port
from qsim.golden.vectors import GoldenError

BENCH = "tb.sv"
LINES = "vectors.jsonl"
Table = dict[str, Any]
Files = dict[str, bytes]


def export(suite: Suite, to: str, folder: Path, *, case: int | None = None, ports: Mapping[str, Any] | None = None) -> Table:
    """Write a suite's vectors into a folder, whole or not at all, and return the manifest.

    Args:
        suite: what to export.
        to: one of FORMATS.
        folder: new, empty, or an earlier export, which is replaced.
        case: only the case of this id, as for a bench to look at waves; such a folder does not read back as a suite.
        ports: the [ports] table of a design, instead of the one in the suite's datapath. Without any there is no testbench.

    Raises:
        GoldenError: a suite without the case, or without any; SpecError: ports that do not fit the suite.
        ValueError: an unknown format, a folder that holds something else; OSError: it could not be written.
    """
    if to not in FORMATS:
        raise ValueError(f"export to {to!r}; allowed: {', '.join(FORMATS)}")
    if not suite.cases:
        raise GoldenError(f"suite {suite.name} has no cases; allowed: one or more")
    check_place(folder)
    whole = suite.digest
    if case is not None:
        suite = only(suite, case)
    table = ports if ports is not None else suite.unit.datapath.ports if suite.unit.datapath is not None else {}
    bench = parse_bench(suite, table) if table and to in BENCHES else None
    found = manifest(suite, to, whole, _wiring(suite, bench))
    files = FORMATS[to](suite, bench, found)
    found["files"] = {name: sha256(data) for name, data in files.items()}
    write_folder(folder, files | {MANIFEST: manifest_text(found).encode()})
    return found


def only(suite: Suite, case: int) -> Suite:
    """The suite of one case."""
    if case not in suite.by_id:
        raise GoldenError(f"suite {suite.name} has no case {case}; allowed: 1 to {len(suite.cases)}")
    one = suite.by_id[case]
    return replace(suite, cases=(one,), notes={flag: suite.notes[flag] for flag in one.flags})


def _wiring(suite: Suite, bench: Bench | None) -> Table | None:
    """What the manifest says of the testbench."""
    if bench is None:
        return None
    driven, compared = bench.driven(suite.unit), bench.compared(suite.unit)
    names = {"driven": [p.name for p in driven], "compared": [p.name for p in compared]}
    return {"file": BENCH, "module": bench.module} | names


def _images(to: str, suite: Suite, bench: Bench | None, table: Table) -> Files:
    """A memory image a port, masks where a case has one, and the testbench; the manifest learns their names."""
    images, masks = {}, {}
    for port, entry in zip(suite.unit.ports, table["ports"], strict=True):
        images[port.name] = _image(port, "", suite.words(port.name), to)
        entry["file"] = images[port.name].file
        words = _mask_column(suite, port)
        if words is not None:
            masks[port.name] = _image(port, "_mask", words, to)
            entry["mask"] = masks[port.name].file
    files = {image.file: image.text.encode() for image in (*images.values(), *masks.values())}
    if bench is not None:
        files[BENCH] = testbench(suite, bench, images, masks, to).encode()
    return files


def _image(port: Port, suffix: str, words: Words, to: str) -> Image:
    what = "bits that are not compared, " if suffix else ""
    text = image_text(f"{port.name}: {what}{port.bits} bits, {len(words)} words", port.bits, words, to)
    name = identifier(port.name) + suffix
    return Image(name, name + SUFFIX[to], port.bits, text)


def _mask_column(suite: Suite, port: Port) -> Words | None:
    """The masks of a port, in the order of the cases; None if no case has one."""
    if not any(port.name in case.masks for case in suite.cases):
        return None
    return from_ints([case.masks.get(port.name, 0) for case in suite.cases], port.bits)


def _package(suite: Suite, bench: Bench | None, table: Table) -> Files:
    return _images("readmemh", suite, bench, table) | {f"{package_name(suite)}.sv": package(suite).encode()}


def _header(suite: Suite, bench: Bench | None, table: Table) -> Files:
    return {HEADER: header(suite).encode()}


def _arrays(suite: Suite, bench: Bench | None, table: Table) -> Files:
    import numpy as np

    arrays = {"metadata": np.array(manifest_text(table))}
    for port in suite.unit.ports:
        arrays[identifier(port.name)] = to_array(port, suite.words(port.name))
        words = _mask_column(suite, port)
        if words is not None:
            arrays[f"{identifier(port.name)}_mask"] = to_array(mask_port(port), words)
    return {ARRAYS: npz(arrays)}


def mask_port(port: Port) -> Port:
    """A port of masks: one value of all its bits."""
    return Port(f"{port.name}_mask", port.role, port.bits)


def _lines(suite: Suite, bench: Bench | None, table: Table) -> Files:
    """The suite's header, then a case a line."""
    head = json.dumps(suite.head() | {"digest": suite.digest}, separators=(",", ":"))
    return {LINES: "".join(line + "\n" for line in (head, *suite.lines())).encode()}


#: What writes a format: suite, bench and manifest to the contents of files.
FORMATS: dict[str, Callable[[Suite, Bench | None, Table], Files]] = {
    "readmemh": partial(_images, "readmemh"),
    "readmemb": partial(_images, "readmemb"),
    "sv": _package,
    "c": _header,
    "npz": _arrays,
    "jsonl": _lines,
}
BENCHES = ("readmemh", "readmemb", "sv")
