"""Cases from the user's own operands: arrays named like a unit's ports, or lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from qsim.golden.cases import Draft
from qsim.golden.cases.draft import codes, defaults
from qsim.golden.ports import formats
from qsim.golden.suite import pattern
from qsim.golden.unit import Port, Unit
from qsim.golden.vectors import GoldenError
from qsim.spec import Element

if TYPE_CHECKING:
    from numpy.typing import NDArray


def from_lines(unit: Unit, lines: Iterable[str]) -> Iterator[Draft]:
    """One case a line: {"PORT": "0x..." or a number or a list of numbers, ...}; a port that is left out is at rest."""
    rest = at_rest(unit)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            table = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise GoldenError(f"{place}: not JSON: {error}") from None
        if not isinstance(table, dict):
            raise GoldenError(f"{place}: {table!r}; allowed: an object of ports")
        outputs = {p.name for p in unit.outputs} | {"id", "flags", "comment", "masks"}
        given = {name: value for name, value in table.items() if name not in outputs}
        yield Draft(("User",), str(table.get("comment", "")), complete(unit, rest, given, place))


def from_arrays(unit: Unit, arrays: Mapping[str, NDArray[Any]], where: str) -> Iterator[Draft]:
    """One case a row: an array of shape (n, count), or (n,) where count is 1, of the port's values.

    A word of one integer element takes its pattern, or, where any value of the array is negative, the integer.
    """
    rest = at_rest(unit)
    unknown = [name for name in arrays if name not in {p.name for p in unit.inputs}]
    if unknown:
        allowed = ", ".join(f"{p.name} (n, {p.count})" for p in unit.inputs)
        raise GoldenError(f"{where}: array {unknown[0]!r} is no input; allowed: {allowed}")
    rows = {name: _rows(unit, unit.port(name), array, where) for name, array in arrays.items()}
    sizes = {name: len(r) for name, r in rows.items()}
    if len(set(sizes.values())) != 1:
        raise GoldenError(f"{where}: cases of each array: {sizes or 'none'}; allowed: the same number, at least one array")
    for i in range(next(iter(sizes.values()))):
        yield Draft(("User",), f"row {i}", complete(unit, rest, {n: r[i] for n, r in rows.items()}, f"{where}: row {i}"))


def _rows(unit: Unit, port: Port, array: NDArray[Any], where: str) -> list[list[int]]:
    """The values of every case: floats of a float port as their patterns, integers of words as their codes."""
    import numpy as np

    values = array
    if array.dtype.kind == "f" and port.kind in ("float32", "float64"):
        typed = array.astype(port.kind)
        values = typed.view(np.uint32 if port.kind == "float32" else np.uint64)
    shape = values.shape[:1] + ((port.count,) if port.count > 1 or values.ndim > 1 else ())
    if values.dtype.kind not in "iu" or values.shape != shape or values.ndim == 0:
        raise GoldenError(
            f"{where}: {port.name} is {array.dtype} of shape {array.shape}; allowed: integers of shape (n, {port.count})"
        )
    rows: list[list[int]] = values.reshape(len(values), -1).tolist()
    element = integer_element(unit, port)
    if element is None or not (values < 0).any():
        return rows
    return [[_code(element, v, f"{where}: row {n}: {port.name}[{i}]") for i, v in enumerate(row)] for n, row in enumerate(rows)]


def at_rest(unit: Unit) -> dict[str, int]:
    """Parameters that may be left out."""
    return defaults(unit)


def complete(unit: Unit, rest: Mapping[str, int], given: Mapping[str, Any], place: str) -> dict[str, int]:
    """The patterns of all inputs; GoldenError for one that is missing or does not fit."""
    found = dict(rest)
    for name, value in given.items():
        if name not in {p.name for p in unit.inputs}:
            raise GoldenError(f"{place}: unknown port {name!r}; allowed: {', '.join(p.name for p in unit.inputs)}")
        port = unit.port(name)
        found[name] = pattern(value, port, place) if isinstance(value, str) else _joined(unit, port, value, place)
    missing = [p.name for p in unit.inputs if p.name not in found]
    if missing:
        raise GoldenError(f"{place}: no {', '.join(missing)}; wanted: {', '.join(p.name for p in unit.inputs)}")
    return {p.name: found[p.name] for p in unit.inputs}


def _joined(unit: Unit, port: Port, value: object, place: str) -> int:
    values: list[Any] = value if isinstance(value, list) else [value]
    if not all(type(v) is int for v in values):
        raise GoldenError(f"{place}: {port.name} = {value!r}; allowed: 0x..., {port.count} integers")
    element = integer_element(unit, port)
    if element is not None and any(v < 0 for v in values):
        values = [_code(element, v, f"{place}: {port.name}[{i}]") for i, v in enumerate(values)]
    try:
        return port.join(values)
    except ValueError as error:
        raise GoldenError(f"{place}: {error}") from None


def integer_element(unit: Unit, port: Port) -> Element | None:
    """The element of a port whose words are one integer each; None for other ports."""
    if port.kind != "word":
        return None
    fmt = formats(unit)[0 if port.name == "activation" else 1]
    return None if fmt.block_scales or fmt.element.is_float else fmt.element


def _code(element: Element, value: int, place: str) -> int:
    """The code of an integer: values with a negative one among them are integers, not patterns."""
    if element.qmin <= value <= element.qmax and (element.kind != "binary" or value):
        return value & ((1 << element.bits) - 1) if element.kind in ("int", "uint") else codes(element)[value]
    allowed = "-1 and 1" if element.kind == "binary" else f"{element.qmin} to {element.qmax}"
    raise GoldenError(
        f"{place} = {value}; allowed: {allowed} as integers, or where none is negative patterns 0 to {(1 << element.bits) - 1}"
    )
