"""The outputs of a device: a file of results, or a folder with one file a port, named as exported.

Line i, row i, is case i, unless the file states ids. Only what cannot be read is an error; what is missing, extra or unknown is
found by the comparison.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.golden.literal import parse_literal
from qsim.golden.names import file_stem, names_text, port_of
from qsim.golden.patterns import Words, deposit, empty, from_ints, words_of
from qsim.golden.readmem import parse_memory
from qsim.golden.unit import Port, Unit

SUFFIXES = (".hex", ".mem", ".bin", ".npy", ".npz", ".csv")
INPUTS = ("operand", "parameter")


@dataclass(frozen=True)
class Column:
    """What a device gave on one port: patterns, bits that are X or Z (None: none), ids of the rows (None: 1, 2, 3 ...)."""

    words: Words
    unknown: Words | None = None
    ids: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Outputs:
    """A column for each port given. ignored: files of the folder that are no output of the unit."""

    columns: dict[str, Column]
    source: str
    ignored: tuple[str, ...] = ()


def read_outputs(path: Path, unit: Unit) -> Outputs:
    """Read OUTPUT. ValueError names the file, and the line, that cannot be read."""
    if path.is_dir():
        return _folder(path, unit)
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    return Outputs(_file(path, unit.port("result"), unit), str(path))


def _folder(path: Path, unit: Unit) -> Outputs:
    columns: dict[str, Column] = {}
    ignored = []
    ports = {file_stem(p): p for p in unit.outputs}
    for file in sorted(p for p in path.iterdir() if p.is_file()):
        port = ports.get(file.stem) or port_of(unit, file.stem)
        if file.suffix not in SUFFIXES or (port is None and file.suffix not in (".csv", ".npz")):
            ignored.append(file.name)
            continue
        if port is not None and port.role in INPUTS:
            continue
        for name, column in _file(file, port, unit).items():
            if name in columns:
                raise ValueError(f"{file}: a second file of {name}; allowed: one for each port")
            columns[name] = column
    if not columns:
        wanted = ", ".join(f"{stem}.hex" for stem in ports)
        raise ValueError(f"{path}: no outputs; allowed: {wanted}, or .bin, .npy, .npz, .csv")
    return Outputs(columns, str(path), tuple(ignored))


def _file(path: Path, port: Port | None, unit: Unit) -> dict[str, Column]:
    """The columns of one file; only .csv and .npz name their ports."""
    suffix = path.suffix.lower()
    readers: dict[str, Callable[[Path, Port | None, Unit], dict[str, Column]]] = {
        ".hex": _memory,
        ".mem": _memory,
        ".bin": _memory,
        ".npy": _npy,
        ".npz": _npz,
        ".csv": _csv,
    }
    if suffix not in readers:
        raise ValueError(f"{path}: allowed: a name that ends in {', '.join(SUFFIXES)}, or a folder")
    return readers[suffix](path, port, unit)


def _memory(path: Path, port: Port | None, unit: Unit) -> dict[str, Column]:
    port = port or unit.port("result")
    memory = parse_memory(path.read_bytes(), port.bits, "bin" if path.suffix.lower() == ".bin" else "hex", str(path))
    return {port.name: Column(memory.words, memory.unknown, memory.ids)}


def _npy(path: Path, port: Port | None, unit: Unit) -> dict[str, Column]:
    port = port or unit.port("result")
    return {port.name: Column(from_array(_loaded(path), port, str(path)))}


def _loaded(path: Path) -> Any:
    data = path.read_bytes()
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # zip, zlib and the header parser each raise their own kinds on a corrupt file
        raise ValueError(f"{path}: not a readable {path.suffix} file: {str(error) or type(error).__name__}") from None


def _npz(path: Path, port: Port | None, unit: Unit) -> dict[str, Column]:
    archive = _loaded(path)
    if isinstance(archive, np.ndarray):
        raise ValueError(f"{path}: is a .npy file; allowed: that name")
    try:
        arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # as in _loaded
        raise ValueError(f"{path}: not a readable .npz file: {str(error) or type(error).__name__}") from None
    ids = arrays.pop("id", None)
    if ids is not None and (ids.dtype.kind not in "iu" or ids.ndim != 1):
        raise ValueError(f"{path}: id is {ids.dtype}{ids.shape}; allowed: one integer a row")
    if len(arrays) == 1 and (port is not None or port_of(unit, next(iter(arrays))) is None):
        arrays = {(port or unit.port("result")).name: next(iter(arrays.values()))}
    found = {}
    for key, array in arrays.items():
        own = _output(key, unit, str(path))
        words = from_array(array, own, f"{path}: {key}")
        if ids is not None and len(ids) != len(words):
            raise ValueError(f"{path}: {len(ids)} ids, but {key} has {len(words)} rows")
        found[own.name] = Column(words, ids=None if ids is None else ids.astype(np.int64))
    return found


def _output(name: str, unit: Unit, where: str) -> Port:
    port = port_of(unit, name)
    if port is None or port.role in INPUTS:
        raise ValueError(f"{where}: {name!r} is no output; allowed: id, {names_text(unit, unit.outputs)}")
    return port


def from_array(array: NDArray[Any], port: Port, where: str) -> Words:
    """Patterns of an array: (rows,) values or patterns, (rows, count) values, or (rows, bytes) uint8, the lowest byte first."""
    shape = array.shape
    if array.ndim == 2 and array.dtype == np.uint8 and shape[1] == -(-port.bits // 8) != port.count:
        padded = np.zeros((shape[0], 8 * words_of(port.bits)), np.uint8)
        padded[:, : shape[1]] = array
        words = padded.view("<u8")
        if port.bits % 64 and (words[:, -1] >> np.uint64(port.bits % 64)).any():
            raise ValueError(f"{where}: a row has more than the {port.bits} bits of {port.name}")
        return words
    flat = array.reshape(-1, 1) if array.ndim == 1 else array
    wanted = {port.count, 1} if port.bits <= 64 else {port.count}
    if flat.ndim != 2 or flat.shape[1] not in wanted:
        many = f"(rows,) or (rows, {port.count})" if port.bits <= 64 else f"(rows, {port.count})"
        many += f", or (rows, {-(-port.bits // 8)}) bytes"
        raise ValueError(f"{where}: array of shape {shape}; allowed for {port.name}: {many}")
    whole = flat.shape[1] == 1 != port.count
    width = port.bits if whole else port.width
    if width > 64:
        raise ValueError(f"{where}: {port.name} has values of {width} bits; allowed: (rows, {-(-port.bits // 8)}) uint8 bytes")
    values = _values(flat, port, width, f"{where}: {port.name}")
    words = empty(len(flat), port.bits)
    for i, column in enumerate(values.T):
        deposit(words, i * width, width, column)
    return words


def _values(array: NDArray[Any], port: Port, width: int, where: str) -> NDArray[np.uint64]:
    """Patterns of `width` bits of integers or floats."""
    if array.dtype.kind == "f":
        if port.kind == "float32" and array.dtype == np.float64:
            array = _narrowed(array, where)
        if port.kind != f"float{8 * array.dtype.itemsize}":
            raise ValueError(f"{where} holds {array.dtype}; allowed: {port.kind} values, or integers")
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        return little.view(f"<u{array.dtype.itemsize}").astype(np.uint64)
    if array.dtype.kind not in "iub":
        raise ValueError(f"{where} holds {array.dtype}; allowed: integers")
    low = -(1 << (width - 1)) if port.kind == "signed" else 0
    if array.size and not (low <= int(array.min()) and int(array.max()) < 1 << width):
        raise ValueError(f"{where} holds {array.min()} to {array.max()}; allowed: {width} bits")
    return array.astype(np.int64 if array.dtype.kind == "i" else np.uint64).view(np.uint64) & np.uint64((1 << width) - 1)


def _narrowed(array: NDArray[Any], where: str) -> NDArray[Any]:
    """float64 that holds float32 values, as numpy makes of a list; ValueError for any other value."""
    with np.errstate(all="ignore"):
        found = array.astype(np.float32)
    odd = np.flatnonzero(((found != array) & ~np.isnan(array)).any(axis=-1))
    if odd.size:
        raise ValueError(f"{where} row {odd[0]}: float64 {array[odd[0]].tolist()} is no float32 value; allowed: float32 values")
    return found


def _csv(path: Path, port: Port | None, unit: Unit) -> dict[str, Column]:
    """Rows of values; the first line names the columns (id and ports), or there is one column, or id and one column."""
    try:
        rows = [(i, row) for i, row in enumerate(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"))), 1) if row]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable .csv file: {error}") from None
    own = port or unit.port("result")
    head = [cell.strip() for cell in rows[0][1]] if rows else [own.name]
    if head == ["id"] or any(name != "id" and port_of(unit, name) for name in head):
        rows = rows[1:]
    else:
        head = ["id", own.name] if len(head) == 2 else [own.name]
    ports = [None if name == "id" else _output(name, unit, str(path)) for name in head]
    found = {p.name: _csv_column(path, rows, head, i, p) for i, p in enumerate(ports) if p is not None}
    if len(found) != len(ports) - head.count("id") or head.count("id") > 1 or not found:
        raise ValueError(f"{path}:1: columns {', '.join(head)}; allowed: id once, each output once")
    return found


def _csv_column(path: Path, rows: list[tuple[int, list[str]]], head: list[str], place: int, port: Port) -> Column:
    """A column; an empty cell is a missing result."""
    values, unknown, ids = [], [], []
    at = head.index("id") if "id" in head else None
    for number, (line, row) in enumerate(rows, 1):
        if len(row) != len(head):
            raise ValueError(f"{path}:{line}: {len(row)} cells; allowed: {len(head)}, {', '.join(head)}")
        if not row[place].strip():
            continue
        try:
            value, hidden = parse_literal(row[place], port)
            ids.append(case_id(row[at]) if at is not None else number)
        except ValueError as error:
            raise ValueError(f"{path}:{line}: {error}") from None
        values.append(value)
        unknown.append(hidden)
    words = from_ints(values, port.bits)
    return Column(words, from_ints(unknown, port.bits) if any(unknown) else None, np.array(ids, np.int64))


def case_id(text: str) -> int:
    """A decimal id that fits int64."""
    if not text.strip().isdecimal() or len(text.strip()) > 18:
        raise ValueError(f"{text!r} is no id; allowed: a decimal number")
    return int(text)
