"""The meaning of a format as a plain table: what a sidecar, a golden file and `qsim show` state, and its digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from qsim.spec.format import Format
from qsim.spec.number import Element


def element_table(element: Element) -> dict[str, Any]:
    """The [element] table, every default explicit."""
    keys: tuple[str, ...]
    if element.is_float:
        keys = ("kind", "exponent_bits", "mantissa_bits", "bias", "specials")
    else:
        keys = {"uint": ("kind", "bits"), "binary": ("kind",), "ternary": ("kind",)}.get(
            element.kind, ("kind", "bits", "lsb_exponent")
        )
    return {key: getattr(element, key) for key in keys}


def format_table(fmt: Format) -> dict[str, Any]:
    """The keys of a format file that bear meaning, every default explicit; `parse_format` reads them back.

    Titles, sources, notes and published numbers are left out.
    """
    layout = asdict(fmt.layout)
    layout["fields"] = list(fmt.layout.fields) or ["element", *(f"scale{i}" for i in range(len(fmt.block_scales)))]
    return {
        "name": fmt.name,
        "zero_point": fmt.zero_point,
        "element": element_table(fmt.element),
        "scale": [{"type": s.type, "group": s.group} for s in fmt.scales],
        "layout": layout,
    }


def format_digest(fmt: Format) -> str:
    """SHA-256 over element, scales, zero_point and layout: two formats with one digest have the same codes and words."""
    table = format_table(fmt)
    del table["name"]
    return hashlib.sha256(json.dumps(table, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
