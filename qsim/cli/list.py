"""`qsim list`: the names that other commands take."""

from __future__ import annotations

from typing import Any

import click

from qsim.cli.common import print_json, print_table
from qsim.spec import format_names, load_format

LONG = ("source", "evidence", "differs")  # sentences, printed after the table


@click.command()
@click.argument("what", type=click.Choice(["formats", "conventions", "presets", "datapaths"]))
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def command(what: str, as_json: bool) -> None:
    """Names of the formats, the conventions that set options as a real stack does, the requantization presets, the datapaths.

    \b
    Example:
      qsim list formats
      qsim list conventions --json
      qsim list presets
      qsim list datapaths
    """  # noqa: D301
    rows = {"formats": format_rows, "conventions": convention_rows, "presets": preset_rows, "datapaths": datapath_rows}[what]()
    if as_json:
        print_json(rows)
        return
    columns = [key for key in rows[0] if key not in LONG]
    print_table([[row[key] for key in columns] for row in rows], [key.replace("_", " ") for key in columns], maxcolwidths=72)
    if what == "presets":
        click.echo(
            "\nap_fixed/ROUNDING/OVERFLOW: AP_TRN ... AP_RND_CONV, AP_WRAP ... AP_WRAP_SM. `qsim show PRESET` states all of one."
        )
    if what == "datapaths":
        click.echo(
            "\n`qsim show DATAPATH` states all of one. A TOML file of your own stands wherever a name does (docs/datapath.md)."
        )
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


def preset_rows() -> list[dict[str, Any]]:
    """One row a requantization preset; the variants of ap_fixed are left to its row."""
    from qsim.datapath.presets import presets

    return [
        {
            "name": name,
            "takes": ", ".join(q.prep.takes),
            "agrees": "yes, with outside outputs" if q.verified_by else "not verified",
            "title": q.title,
            "source": q.source,
        }
        for name, q in presets().items()
        if "/" not in name
    ]


def datapath_rows() -> list[dict[str, Any]]:
    """One row a datapath."""
    from qsim.cli.show_datapath import accumulator_text
    from qsim.datapath.datapaths import datapaths

    return [
        {
            "name": name,
            "activation": d.activation.name if d.activation else "integers",
            "weight": d.weight.name if d.weight else "integers",
            "accumulator": accumulator_text(d),
            "requantizer": d.requantizer.name if d.requantizer else "",
            "agrees": "yes, with outside outputs" if d.verified_by else "not verified",
            "title": d.title,
            "source": d.source,
        }
        for name, d in datapaths().items()
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
