"""Golden vectors as files that simulators and C programs read, and back: docs/golden.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsim.golden.export.bench import Bench, parse_bench
from qsim.golden.export.folder import check_place, write_folder
from qsim.golden.export.images import SUFFIX, Image, image_text
from qsim.golden.export.manifest import MANIFEST, identifier, manifest, manifest_text, port_entry, sha256
from qsim.golden.export.testbench import testbench
from qsim.golden.suite import Suite
from qsim.golden.vectors import GoldenError

FORMATS = ("readmemh", "readmemb")
BENCH = "tb.sv"


def export(
    suite: Suite, to: str, folder: Path, *, case: int | None = None, ports: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write a suite's vectors into a folder, whole or not at all, and return the manifest.

    Args:
        suite: what to export.
        to: one of FORMATS.
        folder: new, empty, or an earlier export, which is replaced.
        case: only the case of this id, as for a bench to look at waves; such a folder does not read back as a suite.
        ports: the [ports] table of a design, instead of the one in the suite's datapath. Without any there is no testbench.
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
    bench = parse_bench(suite, table) if table else None
    files, about = _images(suite, to, bench)
    wires = {"file": BENCH, "module": bench.module, "driven": [], "compared": []} if bench else None
    if bench and wires:
        wires |= {"driven": [p.name for p in bench.driven(suite.unit)], "compared": [p.name for p in bench.compared(suite.unit)]}
    found = manifest(suite, to, whole, about, wires)
    found["files"] = {name: sha256(data) for name, data in files.items()}
    write_folder(folder, files | {MANIFEST: manifest_text(found).encode()})
    return found


def only(suite: Suite, case: int) -> Suite:
    """The suite of one case."""
    if case not in suite.by_id:
        raise GoldenError(f"suite {suite.name} has no case {case}; allowed: 1 to {len(suite.cases)}")
    one = suite.by_id[case]
    return replace(suite, cases=(one,), notes={flag: suite.notes[flag] for flag in one.flags})


def _images(suite: Suite, to: str, bench: Bench | None) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Files of a memory image a port, a mask where a case has one, the testbench; and the manifest's ports."""
    images, masks, about = {}, {}, []
    for port in suite.unit.ports:
        name, words = identifier(port.name), suite.column(port.name)
        images[port.name] = _image(port.name, name, port.bits, words, to)
        entry = port_entry(suite.unit, port, words) | {"file": images[port.name].file}
        if any(port.name in case.masks for case in suite.cases):
            words = [case.masks.get(port.name, 0) for case in suite.cases]
            masks[port.name] = _image(f"mask of {port.name}, 1 is not compared", f"{name}_mask", port.bits, words, to)
            entry["mask"] = masks[port.name].file
        about.append(entry)
    files = {image.file: image.text.encode() for image in (*images.values(), *masks.values())}
    if bench is not None:
        files[BENCH] = testbench(suite, bench, images, masks, to).encode()
    return files, about


def _image(title: str, name: str, bits: int, words: list[int], to: str) -> Image:
    text = image_text(f"{title}: {bits} bits, {len(words)} words", bits, words, to)
    return Image(name, name + SUFFIX[to], bits, tuple(words), text)
