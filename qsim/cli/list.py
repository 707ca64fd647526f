"""`qsim list`: the names that other commands take."""

from __future__ import annotations

from typing import Any

import click

from qsim.cli.common import print_json, print_table
from qsim.spec import format_names, load_format

LONG = ("source", "evidence", "differs")  # sentences, printed after the table


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
        return
    columns = [key for key in rows[0] if key not in LONG]
    print_table([[row[key] for key in columns] for row in rows], [key.replace("_", " ") for key in columns], maxcolwidths=72)
    if what == "conventions":
        for name, row in {row["name"]: row for row in rows}.items():
            click.echo(f"\n{name}: {row['source']}\n  evidence: {row['evidence']}\n  differs: {row['differs']}")


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
    """One row a convention and a family (or format) that it speaks of."""
    from qsim.codec.conventions import TEXTS, conventions

    return [
        {
            "name": name,
            "applies_to": scope,
            "sets": ", ".join(f"{option}={value}" for option, value in options.items()) or "the defaults",
            **{text: table[text] for text in TEXTS},
        }
        for name, table in sorted(conventions().items())
        for scope, options in table.items()
        if scope not in TEXTS
    ]
