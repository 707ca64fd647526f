"""What `qsim show DATAPATH` prints: operands, registers in the order of the data, requantizer, source and evidence."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from qsim.cli.common import print_table
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.datapath import Accumulator, Datapath
from qsim.spec.error import SpecError
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.format import Format
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.load import read_table
from qsim.spec.requantizer import Narrow, Step

KINDS = {IntAccumulator: "int", FloatAccumulator: "float", BlockAccumulator: "block"}
TEXTS = ("name", "title", "source", "verified_by", "not_verified", "register")


def is_datapath(name: str) -> bool:
    """Whether the name is a datapath's, or a TOML file that describes one."""
    from pathlib import Path

    from qsim.datapath.datapaths import datapath_names

    if name.endswith(".toml"):
        try:
            return bool({"accumulator", "activation", "weight"} & set(read_table(Path(name))))
        except SpecError:
            return False
    return name in datapath_names()


def describe_datapath(name: str) -> dict[str, Any]:
    """Every fact of a datapath, defaults explicit."""
    from qsim.datapath.datapaths import load_datapath

    d = load_datapath(name)
    return {
        "name": d.name,
        "title": d.title,
        "activation": _format(d.activation),
        "weight": _format(d.weight),
        "accumulator": {"kind": KINDS[type(d.accumulator)], **_facts(d.accumulator)},
        "registers": registers(d.accumulator),
        "requantizer": None if d.requantizer is None else d.requantizer.name,
        "out_format": d.out_format,
        "clamp": None if d.clamp is None else list(d.clamp),
        "ports": dict(d.ports),
        "source": d.source,
        "verified_by": d.verified_by,
        "not_verified": d.not_verified,
    }


def registers(acc: Accumulator) -> dict[str, str]:
    """Registers that narrow, in the order of the data: the keys of the event counts (rule A4)."""
    return {} if isinstance(acc, FloatAccumulator) else {name: _value(narrow) for name, narrow in acc.narrows.items()}


def print_datapath(report: dict[str, Any]) -> None:
    """The report of `describe_datapath` as text."""
    click.echo(f"{report['name']}: {report['title']}\nsource: {report['source']}\n")
    rows = [["activation", report["activation"] or "integers"], ["weight", report["weight"] or "integers"]]
    rows += [[f"accumulator.{key}", _text(value)] for key, value in report["accumulator"].items() if value is not None]
    rows += [[f"register {name}", text] for name, text in report["registers"].items()]
    rows += [[key, str(report[key])] for key in ("requantizer", "out_format", "clamp") if report[key] is not None]
    print_table(rows, ["key", "value"], maxcolwidths=[None, 100])
    if report["requantizer"] is not None:
        click.echo(f"\n`qsim show {report['requantizer']}` states the requantizer's stages.")
    for key in ("verified_by", "not_verified"):
        if report[key]:
            click.echo(f"\n{key.replace('_', ' ')}: {report[key]}")


def accumulator_text(d: Datapath) -> str:
    """The accumulator in a few words."""
    acc = d.accumulator
    if isinstance(acc, FloatAccumulator):
        return f"float, {acc.fraction or 'all'} fraction bits" + ("" if acc.fraction else " (exact steps)")
    if isinstance(acc, BlockAccumulator):
        return f"blocks into {acc.into}"
    chunk = f"({acc.chunk})" if acc.order == "chunked" else ""
    lanes = f", lanes of {acc.lanes}" if acc.lanes > 1 else ""
    return f"{acc.bits} bits, {acc.overflow}, {acc.order}{chunk}{lanes}"


def _facts(acc: Accumulator) -> dict[str, Any]:
    return {f.name: _value(getattr(acc, f.name)) for f in fields(acc) if f.name not in TEXTS}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)  # as TOML has it; tabulate turns "False" into True


def _value(value: Any) -> Any:
    if isinstance(value, Narrow):
        return f"{value.overflow} {'' if value.signed else 'u'}int{value.bits}"
    if isinstance(value, Step):
        return f"shift right by {value.shift}, {value.rounding}" + (f", {_value(value.narrow)}" if value.narrow else "")
    if isinstance(value, IntAccumulator | FloatAccumulator):
        return _facts(value)
    return [_value(v) for v in value] if isinstance(value, tuple) else value


def _format(fmt: Format | None) -> str | None:
    return None if fmt is None else fmt.name
