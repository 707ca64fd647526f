"""What `qsim explore` prints and writes: sorted rows as a table, as JSON, as CSV; a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qsim.cli.common import print_json, print_table, written

if TYPE_CHECKING:
    from qsim.explore.sweep import Row
    from qsim.explore.table import Column

#: Columns of names; numbers stand on the right.
LEFT = (
    "file", "tensor", "shape", "seen as", "format", "layer", "datapath", "note",
    "ranges", "inputs", "weights", "scale", "scales", "rounding",
)  # fmt: skip
NOTE_WIDTH = 60


@dataclass(frozen=True)
class Report:
    """Sorted rows, all their columns, those of the table, and what stands below it."""

    rows: list[Row]
    columns: Sequence[str]
    table: Sequence[Column]
    note: str | None = None


def check_sort(key: str | None, columns: Sequence[str]) -> None:
    """ValueError for a column that the rows do not have."""
    if key is not None and key not in columns:
        raise ValueError(f"--sort {key}: allowed: {', '.join(columns)}")


def sorted_rows(rows: list[Row], key: str | None) -> list[Row]:
    """The rows as found, or best first."""
    from qsim.explore.table import sort_rows

    return rows if key is None else sort_rows(rows, key)


def write_report(report: Report, as_json: bool, csv_path: Path | None) -> None:
    """The rows as JSON or as a table, and as CSV."""
    from qsim.explore.table import csv_text, json_rows, table_cells

    if csv_path is not None:
        with written(csv_path) as (file,):
            file.write(csv_text(report.rows, report.columns).encode())
    if as_json:
        print_json(json_rows(report.rows))
        return
    if report.rows:
        headers, cells = table_cells(report.rows, report.table)
        widths = [NOTE_WIDTH if h == "note" else None for h in headers]
        print_table(cells, headers, colalign=["left" if h in LEFT else "right" for h in headers], maxcolwidths=widths)
    else:
        click.echo("no tensors")
    if report.note is not None:
        click.echo(report.note)


def progress(rows: Iterable[Row], total: int, unit: str = "format") -> Iterator[Row]:
    """The rows, with a progress bar after a second of work where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield from rows
        return
    from tqdm import tqdm

    yield from tqdm(rows, total=total, delay=1, leave=False, unit=unit)
