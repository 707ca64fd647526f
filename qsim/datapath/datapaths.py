"""Datapaths by name: datapaths.toml, one for each operand of a float accumulator, and a user's own file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from qsim.datapath.float_presets import float_accumulators, load_float_accumulator
from qsim.datapath.presets import load_requantizer
from qsim.spec.block_accumulator import parse_block_accumulator
from qsim.spec.datapath import Accumulator, Datapath
from qsim.spec.error import SpecError
from qsim.spec.float_accumulator import FloatAccumulator, parse_float_accumulator
from qsim.spec.format import Format
from qsim.spec.int_accumulator import parse_int_accumulator
from qsim.spec.load import load_format, parse_format, parse_layout, read_table
from qsim.spec.port_names import check_ports
from qsim.spec.requantizer import Requantizer
from qsim.spec.requantizer_file import parse_requantizer

T = TypeVar("T")
DATAPATHS_FILE = Path(__file__).with_name("datapaths.toml")
KEYS: dict[str, type] = {
    "name": str,
    "title": str,
    "source": str,
    "verified_by": str,
    "not_verified": str,
    "activation": dict,
    "weight": dict,
    "accumulator": dict,
    "requantizer": dict,
    "ports": dict,
    "layout": dict,
}
KINDS = ("int", "float", "block")


@cache
def datapaths() -> dict[str, Datapath]:
    """Every datapath of the package: those of datapaths.toml, then PRESET/FORMAT of every float accumulator."""
    found = {
        name: parse_datapath(_typed(table, dict, f"{DATAPATHS_FILE.name}: {name}"), name, f"{DATAPATHS_FILE.name}: {name}")
        for name, table in read_table(DATAPATHS_FILE).items()
    }
    for preset, acc in float_accumulators().items():
        for operand, _ in acc.operands:
            if operand != "fp32":  # no format of the catalogue: qsim.dot takes it
                found[f"{preset}/{operand}"] = _of_float(acc, operand)
    return found


def datapath_names() -> tuple[str, ...]:
    """Names of the datapaths, in the order of the catalogue."""
    return tuple(datapaths())


def load_datapath(datapath: str | Path | Datapath) -> Datapath:
    """A datapath by name, or a user's by the path of its TOML file. SpecError for any other name and for a file that lies."""
    if isinstance(datapath, Datapath):
        return datapath
    text = str(datapath)
    if not text.endswith(".toml"):
        if text not in datapaths():
            raise SpecError(f"unknown datapath {text!r}; allowed: {', '.join(datapath_names())}, or the path of a .toml file")
        return datapaths()[text]
    table = read_table(Path(text))
    return parse_datapath(table, table.get("name", Path(text).stem), text, Path(text).parent)


def parse_datapath(table: dict[str, Any], name: str, where: str, folder: Path | None = None) -> Datapath:
    """Check a parsed table and build the datapath; formats and presets named by a path are relative to `folder`."""
    for key, value in table.items():
        if key not in KEYS:
            raise SpecError(f"{where}: unknown key {key!r} = {value!r}; allowed: {', '.join(KEYS)}")
        _typed(value, KEYS[key], f"{where}: {key}")
    for key in ("accumulator", "source") if folder is None else ("accumulator",):
        if key not in table:
            raise SpecError(f"{where}: key {key!r} is missing")
    if folder is None and not (table.get("verified_by") or table.get("not_verified")):
        raise SpecError(f"{where}: verified_by or not_verified must be a sentence")
    texts = {key: table[key] for key in ("title", "source", "verified_by", "not_verified") if key in table}
    try:
        requantizer, out_format, clamp = _requantizer(table.get("requantizer"), f"{where}: requantizer", folder)
        activation, weight = (_format(table.get(side), f"{where}: {side}", folder) for side in ("activation", "weight"))
        found = Datapath(
            name=name,
            accumulator=_accumulator(table["accumulator"], f"{where}: accumulator", folder),
            requantizer=requantizer,
            out_format=out_format,
            clamp=clamp,
            ports=table.get("ports", {}),
            layout=_layout(table, weight or activation),
            table=inlined(table, folder),
            activation=activation,
            weight=weight,
            **texts,
        )
        check_ports(found)
        return found
    except SpecError as error:
        text = str(error)
        raise SpecError(text if text.startswith(where) else f"{where}: {text}") from None


def inlined(table: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """The table with the files that it names by a path in their place, so that it stands alone."""
    whole = dict(table)
    for side in ("activation", "weight"):
        if side in whole and str(whole[side]["format"]).endswith(".toml"):
            whole[side] = {"format": read_table(Path(_path(whole[side]["format"], folder)))}
    if str(table["accumulator"].get("preset", "")).endswith(".toml"):
        preset = table["accumulator"]["preset"]
        whole["accumulator"] = table["accumulator"] | {"preset": read_table(Path(_path(preset, folder)))}
    requantizer = table.get("requantizer", {})
    if str(requantizer.get("preset", "")).endswith(".toml"):
        (found,) = read_table(Path(_path(requantizer["preset"], folder))).values()
        whole["requantizer"] = found | {key: value for key, value in requantizer.items() if key != "preset"}
    return whole


def _of_float(acc: FloatAccumulator, operand: str) -> Datapath:
    fmt = load_format(operand)
    sides = {"activation": {"format": operand}, "weight": {"format": operand}}
    return Datapath(
        table=sides | {"accumulator": {"kind": "float", "preset": acc.name}},
        name=f"{acc.name}/{operand}",
        accumulator=acc,
        activation=fmt,
        weight=fmt,
        title=f"{acc.title}, {operand} operands",
        source=acc.source,
        verified_by="; ".join(acc.verified_by),
        not_verified="; ".join(acc.not_verified),
    )


def _accumulator(table: dict[str, Any], where: str, folder: Path | None) -> Accumulator:
    kind = table.get("kind", "int")
    rest = {key: value for key, value in table.items() if key != "kind"}
    if kind == "int":
        return parse_int_accumulator(rest, where)
    if kind == "block":
        return parse_block_accumulator(rest, where, lambda name: load_float_accumulator(_path(name, folder)))
    if kind == "float":
        if set(rest) != {"preset"}:
            raise SpecError(
                f"{where}: keys {sorted(rest)} of kind float; allowed: preset, the name or path of a float accumulator"
            )
        given = rest["preset"]
        name = given if isinstance(given, dict) else _path(_typed(given, str, f"{where}.preset"), folder)
        return _located(
            lambda: parse_float_accumulator(name) if isinstance(name, dict) else load_float_accumulator(name), f"{where}.preset"
        )
    raise SpecError(f"{where}.kind = {kind!r}; allowed: {', '.join(KINDS)}")


def _format(table: dict[str, Any] | None, where: str, folder: Path | None) -> Format | None:
    if table is None:
        return None
    if set(table) != {"format"}:
        raise SpecError(f"{where}: keys {sorted(table)}; allowed: format, a catalogue name or the path of a .toml file")
    given = table["format"]
    name = given if isinstance(given, dict) else _path(_typed(given, str, f"{where}.format"), folder)
    return _located(lambda: parse_format(name) if isinstance(name, dict) else load_format(name), f"{where}.format")


def _requantizer(
    table: dict[str, Any] | None, where: str, folder: Path | None
) -> tuple[Requantizer | None, str | None, tuple[int, int] | None]:
    """The preset or the requantizer written in the table itself, the output format, the clamp."""
    if table is None:
        return None, None, None
    rest = dict(table)
    out_format = _typed(rest.pop("out_format", "int8"), str, f"{where}.out_format")
    clamp = rest.pop("clamp", None)
    if clamp is not None:
        ok = isinstance(clamp, list) and len(clamp) == 2 and all(type(v) is int for v in clamp) and clamp[0] <= clamp[1]
        if not ok:
            raise SpecError(f"{where}.clamp = {clamp!r}; allowed: [lowest, highest] output code")
        clamp = (clamp[0], clamp[1])
    if "preset" in rest:
        preset = _typed(rest.pop("preset"), str, f"{where}.preset")
        if rest:
            raise SpecError(f"{where}: keys {sorted(rest)} beside preset; allowed: preset, out_format, clamp")
        return _located(lambda: load_requantizer(_path(preset, folder)), f"{where}.preset"), out_format, clamp
    return (
        parse_requantizer({"source": "the datapath's file", "not_verified": "a user's"} | rest, "custom", where),
        out_format,
        clamp,
    )


def _layout(table: dict[str, Any], fmt: Format | None) -> Any:
    if "layout" not in table:
        return None
    return parse_layout(table["layout"], len(fmt.block_scales) if fmt else 0)


def _located(make: Callable[[], T], where: str) -> T:
    """The result, or SpecError that begins with the place."""
    try:
        return make()
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _path(name: str, folder: Path | None) -> str:
    """A path in a user's file is relative to that file."""
    if folder is not None and name.endswith(".toml") and not Path(name).is_absolute():
        return str(folder / name)
    return name


def _typed(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise SpecError(f"{where} = {value!r}; allowed: {'a table' if kind is dict else kind.__name__}")
    return value
