"""Cases from the user's own operands: arrays named like a unit's ports, or lines of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from qsim.golden.bits import hexed
from qsim.golden.cases.draft import codes, defaults
from qsim.golden.ports import formats
from qsim.golden.suite import pattern
from qsim.golden.unit import Port, Unit
from qsim.golden.vectors import GoldenError
from qsim.reference import encode, to_words
from qsim.spec import Element, Geometry, resolve_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Row(NamedTuple):
    """One case of the user's. masks: bits of outputs that are not compared."""

    flags: tuple[str, ...]
    comment: str
    inputs: dict[str, int]
    masks: dict[str, int]


def from_lines(unit: Unit, lines: Iterable[str]) -> Iterator[Row]:
    """One case a line: {"PORT": "0x..." or a number or a list of numbers, ...}; a port that is left out is at rest.

    Beside the inputs: comment, flags, masks, and id, which is the number of the case. Outputs are computed anew.
    """
    rest = at_rest(unit)
    cases = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place, cases = f"line {number}", cases + 1
        try:
            table = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise GoldenError(f"{place}: not JSON: {error}") from None
        if not isinstance(table, dict):
            raise GoldenError(f"{place}: {table!r}; allowed: an object of ports")
        kept = {p.name for p in unit.outputs} | {"id", "flags", "comment", "masks"}
        given = {name: value for name, value in table.items() if name not in kept}
        if table.get("id", cases) != cases or type(table.get("id", cases)) is not int:
            raise GoldenError(f"{place}: id = {table['id']!r}; allowed: {cases}, the number of the case, or none")
        yield Row(
            _flags(table.get("flags", []), place),
            _comment(table.get("comment", ""), place),
            complete(unit, rest, given, place),
            _masks(unit, table.get("masks", {}), place),
        )
    if not cases:
        raise GoldenError("no cases: there are no lines; allowed: one object of ports a line")


def _flags(given: object, place: str) -> tuple[str, ...]:
    """`User`, and the user's own flags."""
    if not isinstance(given, list) or not all(isinstance(flag, str) and FLAG.fullmatch(flag) for flag in given):
        raise GoldenError(f"{place}: flags = {given!r}; allowed: a list of names, letters first, then letters and digits")
    return tuple(dict.fromkeys(["User", *given]))


def _comment(given: object, place: str) -> str:
    if not isinstance(given, str):
        raise GoldenError(f"{place}: comment = {given!r}; allowed: text")
    return given


def _masks(unit: Unit, given: object, place: str) -> dict[str, int]:
    """Bits that are not compared, of taps and results."""
    names = [p.name for p in unit.outputs]
    if not isinstance(given, dict):
        raise GoldenError(f"{place}: masks = {given!r}; allowed: an object of {', '.join(names)}")
    for name in given:
        if name not in names:
            raise GoldenError(f"{place}: mask of {name!r}; allowed: {', '.join(names)}")
    found = {name: pattern(mask, unit.port(name), f"{place}: mask") for name, mask in given.items()}
    return {name: mask for name, mask in found.items() if mask}


def from_arrays(unit: Unit, arrays: Mapping[str, NDArray[Any]], where: str) -> Iterator[Row]:
    """One case a row, of an array a port.

    (n, count) values, or (n,) where count is 1: integers, floats of a float port. (n, bytes) uint8: the pattern, the lowest
    byte first. (n, k) floats of an operand of a block format or plain floats: encoded by the reference, with their scales.
    A word of one integer element takes its pattern, or, where any value of the array is negative, the integer.
    """
    rest = at_rest(unit)
    unknown = [name for name in arrays if name not in {p.name for p in unit.inputs}]
    if unknown:
        allowed = ", ".join(f"{p.name} (n, {p.count})" for p in unit.inputs)
        raise GoldenError(f"{where}: array {unknown[0]!r} is no input; allowed: {allowed}")
    columns: dict[str, list[Any]] = {}
    for name, array in arrays.items():
        for port, found in _columns(unit, unit.port(name), array, where).items():
            if port in columns or (port != name and port in arrays):
                raise GoldenError(f"{where}: {port} is given twice; the floats of {name} bring their own scales")
            columns[port] = found
    sizes = {name: len(r) for name, r in columns.items()}
    if len(set(sizes.values())) != 1:
        raise GoldenError(f"{where}: cases of each array: {sizes or 'none'}; allowed: the same number, at least one array")
    if not any(sizes.values()):
        raise GoldenError(f"{where}: no cases: the arrays have no rows")
    for i in range(next(iter(sizes.values()))):
        given = {name: column[i] for name, column in columns.items()}
        yield Row(("User",), f"row {i}", complete(unit, rest, given, f"{where}: row {i}"), {})


def _columns(unit: Unit, port: Port, array: NDArray[Any], where: str) -> dict[str, list[Any]]:
    """Patterns, as text, or values of every case."""
    import numpy as np

    size, operand = -(-port.bits // 8), port.kind == "word"
    if array.ndim == 2 and array.dtype == np.uint8 and array.shape[1] == size != port.count:
        found = [int.from_bytes(row.tobytes(), "little") for row in array]
        wide = next((n for n, v in enumerate(found) if v >> port.bits), None)
        if wide is not None:
            raise GoldenError(f"{where}: row {wide}: {port.name} has more than its {port.bits} bits")
        return {port.name: [hexed(v, port.bits) for v in found]}
    if operand and array.dtype.kind == "f":
        return _encoded(unit, port, array, where)
    return {port.name: _rows(unit, port, array, where)}


def _encoded(unit: Unit, port: Port, array: NDArray[Any], where: str) -> dict[str, list[Any]]:
    """The words, and the scales with a port of their own, of rows of floats (rule R4: once to float32)."""
    import numpy as np

    fmt = formats(unit)[0 if port.name == "activation" else 1]
    if fmt.scales and not fmt.block_scales:
        raise GoldenError(
            f"{where}: {port.name} is {array.dtype}, and the scale of {fmt.name} has no port; allowed: integers, or --kind chain"
        )
    times = port.count // Geometry.of(fmt, (unit.k,)).words
    if array.ndim != 2 or array.shape[1] != times * unit.k:
        wanted = f"floats of shape (n, {times * unit.k})"
        raise GoldenError(f"{where}: {port.name} is {array.dtype} of shape {array.shape}; allowed: {wanted}")
    bits = array.astype(np.float32).view(np.uint32).reshape(len(array) * times, unit.k).tolist()
    outer = [p for p in unit.inputs if p.name.startswith(f"{port.name}_scale")]
    found: dict[str, list[Any]] = {p.name: [] for p in (port, *outer)}
    for n in range(len(array)):
        rows: dict[str, list[int]] = {name: [] for name in found}
        for i in range(times):
            try:
                q = encode(bits[n * times + i], (unit.k,), fmt, options=resolve_options(fmt, {}))
            except ValueError as error:
                raise GoldenError(f"{where}: row {n}: {port.name}: {error}") from None
            rows[port.name] += to_words(q, (unit.k,), fmt)
            codes = [level[0] for s, level in zip(fmt.scales, q.scales, strict=True) if not isinstance(s.group, int)]
            for p, code in zip(outer, codes, strict=True):
                rows[p.name].append(code)
        for name, values in rows.items():
            found[name].append(hexed(unit.port(name).join(values), unit.port(name).bits))
    return found


def _rows(unit: Unit, port: Port, array: NDArray[Any], where: str) -> list[list[int]]:
    """The values of every case: floats of a float port as their patterns, integers of words as their codes."""
    import numpy as np

    values = array
    if array.dtype.kind == "f" and port.kind in ("float32", "float64"):
        typed = array.astype(port.kind)
        values = typed.view(np.uint32 if port.kind == "float32" else np.uint64)
    shape = values.shape[:1] + ((port.count,) if port.count > 1 or values.ndim > 1 else ())
    if values.dtype.kind not in "iu" or values.shape != shape or values.ndim == 0 or port.width > 64:
        raise GoldenError(f"{where}: {port.name} is {array.dtype} of shape {array.shape}; allowed: {_allowed(unit, port)}")
    rows: list[list[int]] = values.reshape(len(values), port.count).tolist()
    element = integer_element(unit, port)
    if element is None or not (values < 0).any():
        return rows
    return [[_code(element, v, f"{where}: row {n}: {port.name}[{i}]") for i, v in enumerate(row)] for n, row in enumerate(rows)]


def _allowed(unit: Unit, port: Port) -> str:
    """What arrays a port takes."""
    found = [f"integers of shape (n, {port.count})"] if port.width <= 64 else []
    found.append(f"uint8 of shape (n, {-(-port.bits // 8)}), the lowest byte first")
    if port.kind == "word":
        fmt = formats(unit)[0 if port.name == "activation" else 1]
        if fmt.block_scales or not fmt.scales:
            found.append(f"floats of shape (n, {port.count // Geometry.of(fmt, (unit.k,)).words * unit.k})")
    return ", or ".join(found)


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
    values = coded(unit, port, values, f"{place}: ")
    try:
        return port.join(values)
    except ValueError as error:
        raise GoldenError(f"{place}: {error}") from None


def coded(unit: Unit, port: Port, values: list[int], place: str = "") -> list[int]:
    """The codes of integers where one of them is negative and each word is one integer element; else the values themselves."""
    element = integer_element(unit, port)
    if element is None or not any(v < 0 for v in values):
        return values
    return [_code(element, v, f"{place}{port.name}[{i}]") for i, v in enumerate(values)]


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
