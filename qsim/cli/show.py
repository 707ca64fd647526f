"""`qsim show`: everything that a format, a preset or a datapath fixes, or the fields of one packed word."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click

from qsim.cli.common import print_json, print_table
from qsim.cli.show_datapath import describe_datapath, is_datapath, print_datapath
from qsim.cli.show_preset import describe_preset, is_preset, print_preset
from qsim.golden.fields import exact, read_word
from qsim.spec import CHOICES, Element, Format, Scale, format_names, load_format
from qsim.spec.options import DEFAULTS, allowed_values
from qsim.spec.table import format_digest, format_table

ELSE = ", a name of `qsim list presets` or `qsim list datapaths`, or the path of a .toml file"


@click.command()
@click.argument("format_", metavar="NAME_OR_TOML")
@click.argument("word", required=False, metavar="[WORD]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
def command(format_: str, word: str | None, as_json: bool) -> None:
    """A format, a preset or a datapath, every default explicit; with WORD (hexadecimal), the fields and values of that block.

    \b
    Example:
      qsim show mx9
      qsim show my_format.toml --json
      qsim show tflite_double
      qsim show my_npu.toml
      qsim show mx4 0x7f0000000000001b
    """  # noqa: D301
    if word is None and is_preset(format_):
        facts = describe_preset(format_)
        print_json(facts) if as_json else print_preset(facts)
        return
    if word is None and is_datapath(format_):
        facts = describe_datapath(format_)
        print_json(facts) if as_json else print_datapath(facts)
        return
    if not format_.endswith(".toml") and format_ not in format_names():
        known = is_preset(format_) or is_datapath(format_)
        what = "a WORD is read with a format" if known else f"unknown name {format_!r}"
        raise ValueError(f"{what}; allowed: {', '.join(format_names())}{'' if known else ELSE}")
    fmt = load_format(format_)
    if word is None:
        report = describe(fmt)
        print_json(report) if as_json else print_report(report)
    else:
        fields = read_word(fmt, word)
        print_json(fields) if as_json else print_word(fields)


def describe(fmt: Format) -> dict[str, Any]:
    """The resolved specification and all that follows from it."""
    return {
        **format_table(fmt),
        "title": fmt.title,
        "source": fmt.source,
        "family": fmt.family,
        "element_range": element_range(fmt.element),
        "scale_range": [scale_range(s) for s in fmt.scales],
        "derived": {
            "element_type": fmt.element.name,
            "element_bits": fmt.element.bits,
            "number_of_codes": fmt.number_of_codes,
            "effective_bits": str(fmt.effective_bits),
            "block_size": fmt.block_size,
            "word_bits": fmt.word_bits,
            "digest": format_digest(fmt),
        },
        "word": word_fields(fmt),
        "after_the_words": [f"{s.type} scale per {s.group}" for s in fmt.scales if s not in fmt.block_scales]
        + ([f"zero points, {fmt.element.bits} bits each"] if fmt.zero_point else []),
        "options": {
            name: {"default": DEFAULTS[name], "allowed": list(allowed), "rule": CHOICES[name][2]}
            for name in CHOICES
            if (allowed := allowed_values(name, fmt))
        },
        "not_verified": list(fmt.not_verified),
    }


def element_range(element: Element) -> dict[str, Any]:
    """Largest and smallest values and the special codes of an element alone, before any scale."""
    width = -(-element.bits // 4)
    facts: dict[str, Any] = {"largest": exact(element.largest), "smallest": exact(element.smallest)}
    if not element.is_float:
        return facts | {"integers": [element.qmin, element.qmax]}
    for name, code in (("infinity", element.inf_code), ("nan", element.nan_code)):
        facts[name] = "none" if code is None else f"0x{code:0{width}x}"
    return facts


def scale_range(scale: Scale) -> dict[str, Any]:
    """Largest and smallest positive value of a scale level."""
    if scale.kind == "float":
        return {"type": scale.type, "largest": exact(scale.float_type.largest), "smallest": exact(scale.float_type.smallest)}
    top = (1 << scale.bits) - 1 - (scale.kind == "exponent")  # E8M0 code 255 is NaN
    values = [v for code in (0, 1, top) if isinstance(v := scale.value(code), Fraction) and v > 0]
    return {"type": scale.type, "largest": exact(max(values)), "smallest": exact(min(values))}


def word_fields(fmt: Format) -> list[dict[str, Any]]:
    """The fields of a block word with their bits, from bit 0 up."""
    rows, low = [], 0
    for name, width, count in fmt.word_fields:
        kind = fmt.element.name if name == "element" else fmt.block_scales[int(name[5:])].type
        rows.append({"field": name, "type": kind, "width": width, "count": count, "bits": f"{low + width * count - 1}:{low}"})
        low += width * count
    if low < fmt.word_bits:
        rows.append(
            {"field": "pad", "type": "zero", "width": fmt.word_bits - low, "count": 1, "bits": f"{fmt.word_bits - 1}:{low}"}
        )
    return rows


def print_report(report: dict[str, Any]) -> None:
    """The report of `describe` as text."""
    derived, layout = report["derived"], report["layout"]
    click.echo(f"{report['name']}: {report['title']}\nsource: {report['source']}\n")
    facts = [["family", report["family"]]]
    facts += [[f"element.{k}", str(v)] for k, v in report["element"].items()]
    facts += [[f"element {k}", v["decimal"] if isinstance(v, dict) else str(v)] for k, v in report["element_range"].items()]
    for i, (scale, span) in enumerate(zip(report["scale"], report["scale_range"], strict=True)):
        between = f"{span['smallest']['decimal']} to {span['largest']['decimal']}"
        facts.append([f"scale {i}", f"{scale['type']} per {scale['group']}, {between}"])
    facts += [["zero_point", str(report["zero_point"]).lower()]]
    facts += [[k.replace("_", " "), str(v)] for k, v in derived.items()]
    facts += [[f"layout.{k}", ", ".join(v) if isinstance(v, list) else str(v)] for k, v in layout.items()]
    print_table(facts, [], tablefmt="plain")
    click.echo("\nword, from bit 0")
    print_table([list(row.values()) for row in report["word"]], list(report["word"][0]) if report["word"] else [])
    if report["after_the_words"]:
        click.echo("after all words: " + "; ".join(report["after_the_words"]))
    click.echo("\noptions")
    rows = [[k, str(o["default"]), _choices(o["allowed"]), o["rule"]] for k, o in report["options"].items()]
    print_table(rows, ["option", "default", "allowed", "rule"], maxcolwidths=[None, None, 72, None])
    for note in report["not_verified"]:
        click.echo(f"\nnot verified: {note}")


def _choices(values: list[Any]) -> str:
    if len(values) > 2 and all(type(v) is int for v in values):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


def print_word(report: dict[str, Any]) -> None:
    """The report of `read_word` as text."""
    click.echo(f"{report['format']} word {report['word']}, {report['word_bits']} bits")
    for name, rows in report["scales"].items():
        click.echo(f"\n{name}")
        print_table([[str(i), *row.values()] for i, row in enumerate(rows)], ["group", "code", "exact", "decimal"])
    click.echo("\nelement")
    rows = [[str(v) for v in row.values()] for row in report["elements"]]
    print_table(rows, ["index", "code", "sign|bits" if "|" in rows[0][2] else "integer", "exact", "decimal"])
    if report["in_units_of"]:
        click.echo(f"\nvalues are in units of the {' and the '.join(report['in_units_of'])}, which the word does not hold")
    if report["zero_point"]:
        click.echo(f"zero point {report['zero_point']}")
