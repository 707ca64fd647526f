"""Tables of a TOML file -> Requantizer. Unknown key, impossible value: SpecError with file, key, value and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

from qsim.spec.error import SpecError
from qsim.spec.requantizer import OVERFLOWS, STEP_ROUNDINGS, Amount, Narrow, Requantizer, ScalePrep, Step

T = TypeVar("T")
#: Keys of a requantizer's table, with the type of each value.
KEYS: dict[str, type] = {
    "title": str,
    "source": str,
    "verified_by": str,
    "not_verified": str,
    "prep": dict,
    "before": list,
    "steps": list,
    "zero_point": str,
    "zero_add": dict,
    "clamp_first": bool,
    "output": dict,
    "acc_bits": int,
    "acc_within_shift": bool,
    "multiplier": list,
    "shift": list,
    "scale": list,
    "zero_points": dict,
}
NARROW_KEYS: dict[str, type] = {"bits": int, "signed": bool, "overflow": str}
PREP_KEYS: dict[str, type | tuple[type, ...]] = {
    "ratio": str,
    "kind": str,
    "bits": int,
    "normalise": bool,
    "flush": int,
    "cap": int,
    "shift": (int, str),
    "reduce": int,
}
STEP_KEYS: dict[str, type | tuple[type, ...]] = {"shift": (int, str), "rounding": str, "narrow": dict, "sticky_bits": int}


def parse_requantizers(tables: dict[str, Any], where: str) -> dict[str, Requantizer]:
    """Every requantizer of a file: its tables, those that another one extends with `same_as`, and the variants of one."""
    found: dict[str, Requantizer] = {}
    for name, given in tables.items():
        place = f"{where}: {name}"
        table = dict(_typed(given, dict, place))
        base = table.pop("same_as", None)
        if base is not None:
            if base not in tables or "same_as" in tables[base]:
                raise SpecError(f"{place}.same_as = {base!r}; allowed: the name of a table without same_as in this file")
            texts = ("verified_by", "not_verified", "variants")
            table = {**{key: value for key, value in tables[base].items() if key not in texts}, **table}
        variants = table.pop("variants", None)
        found[name] = parse_requantizer(table, name, place)
        if variants is not None:
            found |= {n: parse_requantizer(t, n, place) for n, t in _variants(table, name, variants, place)}
    return found


def parse_requantizer(table: dict[str, Any], name: str, where: str) -> Requantizer:
    """One requantizer."""
    _known(table, KEYS, where)
    if not table.get("source"):
        raise SpecError(f"{where}.source is missing; allowed: a sentence that names where the rule stands")
    if bool(table.get("verified_by")) == bool(table.get("not_verified")):
        raise SpecError(f"{where}: exactly one of verified_by, not_verified must be a sentence")
    fields: dict[str, Any] = {key: value for key, value in table.items() if KEYS[key] in (str, int, bool)}
    fields["prep"] = _prep(table.get("prep", {}), f"{where}.prep")
    for key in ("before", "steps"):
        fields[key] = tuple(_step(step, f"{where}.{key}[{i}]") for i, step in enumerate(table.get(key, [])))
    for key in ("zero_add", "output"):
        if key in table:
            fields[key] = _narrow(table[key], f"{where}.{key}")
    for key in ("multiplier", "shift"):
        if key in table:
            fields[key] = _pair(table[key], int, f"{where}.{key}")
    if "scale" in table:
        fields["scale"] = tuple(Fraction(v) for v in _pair(table["scale"], (int, float), f"{where}.scale"))
    fields["zero_points"] = {
        key: tuple(_typed(v, int, f"{where}.zero_points.{key}") for v in _typed(values, list, f"{where}.zero_points.{key}"))
        for key, values in table.get("zero_points", {}).items()
    }
    return _located(lambda: Requantizer(name=name, **fields), where)


def _variants(table: dict[str, Any], name: str, variants: object, where: str) -> list[tuple[str, dict[str, Any]]]:
    """The table with the last step's rounding and the output's overflow replaced, named NAME/ROUNDING/OVERFLOW."""
    roundings, overflows = (_typed(variants, dict, where).get(key, {}) for key in ("rounding", "overflow"))
    bad = [v for v in roundings.values() if v not in STEP_ROUNDINGS] + [v for v in overflows.values() if v not in OVERFLOWS]
    if bad or not roundings or not overflows:
        raise SpecError(f"{where}.variants: {bad or 'empty'}; allowed: tables rounding and overflow of qsim's names")
    return [
        (
            f"{name}/{r}/{o}",
            table
            | {
                "title": f"{table.get('title', name)}, {r}, {o}",
                "steps": [*table["steps"][:-1], table["steps"][-1] | {"rounding": roundings[r]}],
                "output": table.get("output", {}) | {"overflow": overflows[o]},
            },
        )
        for r in roundings
        for o in overflows
    ]


def _prep(table: dict[str, Any], where: str) -> ScalePrep:
    _known(table, PREP_KEYS, where)
    fields = dict(table)
    if "shift" in fields:
        fields["shift"] = _located(lambda: Amount.parse(table["shift"]), where)
    return _located(lambda: ScalePrep(**fields), where)


def _step(table: object, where: str) -> Step:
    fields = dict(_typed(table, dict, where))
    _known(fields, STEP_KEYS, where)
    amount = _located(lambda: Amount.parse(fields.pop("shift", 0)), where)
    narrow = _narrow(fields.pop("narrow"), f"{where}.narrow") if "narrow" in fields else None
    return _located(lambda: Step(shift=amount, narrow=narrow, **fields), where)


def _narrow(table: dict[str, Any], where: str) -> Narrow:
    _known(table, NARROW_KEYS, where)
    return _located(lambda: Narrow(**table), where)


def _pair(value: list[Any], kind: type | tuple[type, ...], where: str) -> tuple[Any, Any]:
    if len(value) != 2:
        raise SpecError(f"{where} = {value!r}; allowed: [lowest, highest]")
    return _typed(value[0], kind, where), _typed(value[1], kind, where)


def _known(table: dict[str, Any], keys: dict[str, Any], where: str) -> None:
    for key, value in table.items():
        if key not in keys:
            raise SpecError(f"{where}: unknown key {key!r}; allowed: {', '.join(keys)}")
        _typed(value, keys[key], f"{where}.{key}")


def _typed(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise SpecError(f"{where} = {value!r}; allowed: {' or '.join(k.__name__ for k in kinds)}")
    return value


def _located(make: Callable[[], T], where: str) -> T:
    """The result, or SpecError that begins with the place."""
    try:
        return make()
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
