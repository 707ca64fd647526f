"""Rows of a sweep as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

from qsim.explore.datapath_sweep import EVENTS
from qsim.explore.network import NETWORKS
from qsim.explore.sweep import Row

#: Larger is better: sorted from the top. Every other column is sorted from the bottom.
DESCENDING = (
    "sqnr",
    "cosine",
    "weight_sqnr",
    "activation_sqnr",
    "top1",
    "output_sqnr",
    "format_sqnr",
    "test_sqnr",
    "top1_weights8",
    "top1_inner",
)


def _text(value: Any) -> str:
    return "x".join(map(str, value)) or "scalar" if isinstance(value, list) else str(value)


def _decibel(value: float) -> str:
    return f"{value:z.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _short(value: float) -> str:
    return f"{value:.4g}"


Column = tuple[str, str, Callable[[Any], str]]
#: (key, heading, how a value is written)
FILE_TABLE: tuple[Column, ...] = (
    ("tensor", "tensor", _text),
    ("shape", "shape", _text),
    ("view", "seen as", _text),
    ("axis", "blocks along axis", str),
    ("format", "format", str),
    ("effective_bits", "effective bits", _short),
    ("bits_per_element", "stored bits", _short),
    ("bytes", "bytes", str),
    ("sqnr", "SQNR dB", _decibel),
    ("max_error", "max error", _short),
    ("zeroed", "zeroed", _percent),
    ("saturated", "saturated", _percent),
    ("error", "note", str),
)
NETWORK_TABLE: tuple[Column, ...] = (
    ("format", "format", str),
    ("effective_bits", "effective bits", _short),
    ("weight_bits_per_element", "stored bits", _short),
    ("weight_bytes", "weight bytes", str),
    ("weight_sqnr", "weight SQNR dB", _decibel),
    ("activation_sqnr", "activation SQNR dB", _decibel),
    ("top1", "top-1", _percent),
    ("error", "note", str),
)
DATAPATH_TABLE: tuple[Column, ...] = (
    ("layer", "layer", str),
    ("m", "M", str),
    ("n", "N", str),
    ("k", "K", str),
    ("datapath", "datapath", str),
    ("accumulator_bits", "bits", str),
    ("output_sqnr", "SQNR\ndB", _decibel),
    ("format_sqnr", "exact\nsum dB", _decibel),
    ("accumulator_cost", "cost\ndB", _decibel),
    *((key, f"{name.replace('_', ' ')}\noverflows", str) for name, key in EVENTS.items()),
    ("overflow_share", "of all\nadds", _percent),
    ("changed_outputs", "outputs\nchanged", _percent),
    ("safe_bits_any_order", "safe bits\nany order", str),
    ("safe_bits_given_order", "safe bits\nas it is", str),
    ("safe_bits_spill", "safe bits\nspill", str),
    ("error", "note", str),
)
CALIBRATE_TABLE: tuple[Column, ...] = (
    ("method", "ranges", str),
    ("bits", "bits", str),
    ("format", "inputs", str),
    *((f"{layer[0]}_high", f"{layer[0]}\nup to", _short) for layer in NETWORKS["digits"]),
    ("activation_sqnr", "inputs'\nSQNR dB", _decibel),
    ("top1_weights8", "top-1,\nweights 8 bits", _percent),
    ("top1", "top-1, weights\nas inputs", _percent),
)
ROUNDING_TABLE: tuple[Column, ...] = (
    ("bits", "bits", str),
    ("scales", "scales", str),
    ("method", "rounding", str),
    *((f"{layer[0]}_error", f"{layer[0]}\nerror", _short) for layer in NETWORKS["digits"]),
    ("error", "error\nin all", _short),
    ("sqnr", "outputs'\nSQNR dB", _decibel),
    ("test_sqnr", "on test\nimages dB", _decibel),
    ("changed", "codes\nchanged", _percent),
    ("top1", "top-1", _percent),
)
LOW_BIT_TABLE: tuple[Column, ...] = (
    ("weights", "weights", str),
    ("scale", "scale", str),
    ("inputs", "inputs", str),
    ("output_sqnr", "outputs'\nSQNR dB", _decibel),
    ("top1", "top-1,\nall layers", _percent),
    ("top1_inner", "top-1,\ninner layers", _percent),
)


def table_cells(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells; a column without any value is left out."""
    used = [column for column in columns if any(row[column[0]] is not None for row in rows)]
    cells = [["" if row[key] is None else write(row[key]) for key, _, write in used] for row in rows]
    return [heading for _, heading, _ in used], cells


def sort_rows(rows: Sequence[Row], key: str) -> list[Row]:
    """Best first, by one column; rows without a number there come last."""
    sign = -1 if key in DESCENDING else 1

    def place(row: Row) -> tuple[int, Any]:
        value = row[key]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return 1, 0
        return 0, sign * value if isinstance(value, int | float) else value

    return sorted(rows, key=place)


def json_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows that JSON can hold: infinities and NaN become the texts "inf", "-inf" and "nan"."""
    return [{key: str(v) if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()} for row in rows]


def csv_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """One line a row under a line of names; floats with all their digits, shapes as 16x9."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if row[key] is None else _text(row[key]) for key in columns] for row in rows)
    return out.getvalue()
