"""`qsim list`: the names that other commands take."""

from __future__ import annotations

from typing import Any

import click

from qsim.cli.common import print_json, print_table
from qsim.spec import format_names, load_format


@click.command()
@click.argument("what", type=click.Choice(["formats", "conventions"]))
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def command(what: str, as_json: bool) -> None:
    """Names of the formats of the catalogue, or of the conventions that set options as a real stack does.

    \b
    Example:
      qsim list formats
      qsim list conventions --json
    """  # noqa: D301
    rows = format_rows() if what == "formats" else convention_rows()
    if as_json:
        print_json(rows)
    else:
        headers = list(rows[0])
        print_table([[row[h] for h in headers] for row in rows], [h.replace("_", " ") for h in headers], maxcolwidths=72)


def format_rows() -> list[dict[str, Any]]:
    """One row a format of the catalogue."""
    return [
        {
            "name": name,
            "element": fmt.element.name,
            "scales": ", ".join(f"{s.type} per {s.group}" for s in fmt.scales),
            "effective_bits": f"{float(fmt.effective_bits):g}",  # quarters and halves: exact
            "word_bits": str(fmt.word_bits),
            "family": fmt.family,
            "title": fmt.title,
        }
        for name, fmt in ((name, load_format(name)) for name in format_names())
    ]


def convention_rows() -> list[dict[str, Any]]:
    """One row a convention."""
    raise NotImplementedError
