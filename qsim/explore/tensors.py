"""The tensors of .npy, .npz and .safetensors files, one at a time.

.npy and .safetensors are memory-mapped: only what is used is read. A member of an .npz archive is read when its turn
comes and freed after it. A file that lies raises ValueError with its name and what is wrong.
"""

from __future__ import annotations

import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SUFFIXES = (".npy", ".npz", ".safetensors")
#: dtype of a .safetensors header -> numpy dtype of its bytes. BF16 is widened by a shift, which is exact.
SAFETENSORS_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
#: Bytes an element of the other dtypes; a dtype in neither table is not checked for its size.
SAFETENSORS_OTHERS = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U16": 2, "I16": 2} | {
    "U32": 4, "I32": 4, "U64": 8, "I64": 8, "C64": 8
}  # fmt: skip
#: The integers among them -> numpy dtype.
SAFETENSORS_INTEGERS = {kind + str(8 * n): f"<{kind.lower()}{n}" for kind in "UI" for n in (1, 2, 4, 8)}
#: What reading a corrupt file raises; zipfile raises RuntimeError for an encrypted member.
FILE_ERRORS = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError)
#: The limit of the safetensors library; a longer header is a corrupt length.
MAX_HEADER = 100_000_000


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file, not yet read. `skipped` says why it has no values to compare; otherwise `load` gives them.

    integer: `load` gives integers, which are no values to compare, but may be codes.
    """

    file: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]
    skipped: str | None = None
    integer: bool = False

    def load(self) -> Array:
        """The stored array, memory-mapped where the file allows: floats as stored, or the 16-bit patterns of BF16."""
        try:
            return self.read()
        except FILE_ERRORS as error:
            raise ValueError(f"{self.file}: {self.name}: {_reason(error)}") from None

    def values(self, piece: Array) -> Array:
        """The numbers of a piece of what `load` gave: native byte order, aligned, BF16 widened to float32."""
        if self.dtype == "BF16":
            return (np.asarray(piece).astype(np.uint32) << np.uint32(16)).view(np.float32)
        return np.require(piece, piece.dtype.newbyteorder("="), ["A"])


def tensors(path: str | Path) -> Iterator[Tensor]:
    """Every tensor of a file in the file's order; integer tensors too, marked as skipped."""
    place = Path(path)
    reader = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors}.get(place.suffix.lower())
    if reader is None:
        raise ValueError(f"{place}: unknown kind of file; allowed: {', '.join(SUFFIXES)}")
    try:
        yield from reader(place)
    except FILE_ERRORS as error:
        text = _reason(error)
        raise ValueError(text if text.startswith(str(place)) else f"{place}: {text}") from None


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _npy(path: Path) -> Iterator[Tensor]:
    with path.open("rb") as file:
        shape, fortran, dtype = _npy_header(file, str(path), path.stat().st_size)
        offset = file.tell()

    read = partial(_map, path, dtype, offset, shape, "F" if fortran else "C")
    yield _numpy_tensor(str(path), path.stem, shape, dtype, read)


def _map(path: Path, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...], order: Literal["C", "F"] = "C") -> Array:
    """The values in place, read when used; an empty array cannot be mapped."""
    return np.memmap(path, dtype, "r", offset, shape, order) if prod(shape) else np.empty(shape, dtype)


def _npz(path: Path) -> Iterator[Tensor]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = f"{path}: {member.filename}"
            if not member.filename.endswith(".npy"):
                raise ValueError(f"{name}: not an array; every member of an .npz file is NAME.npy")
            with archive.open(member) as file:
                shape, fortran, dtype = _npy_header(file, name, member.file_size)

            read = partial(_read_member, path, member, shape, fortran, dtype)
            yield _numpy_tensor(str(path), member.filename[:-4], shape, dtype, read)


def _read_member(path: Path, member: zipfile.ZipInfo, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> Array:
    """The values of a member, whose header has been checked; the archive checks the CRC at its end."""
    flat = np.empty(prod(shape), dtype)
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        _npy_header(file, member.filename, member.file_size)
        octets = flat.view(np.uint8)
        done = 0
        while part := file.read(1 << 20):
            octets[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
        if done != len(octets):
            raise EOFError(f"the archive ends {len(octets) - done} bytes early")
    return flat.reshape(shape, order="F" if fortran else "C")


def _npy_header(file: IO[bytes], name: str, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, dtype; the size must be that of header and values."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"version {version} of the .npy format")
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except (ValueError, TypeError, SyntaxError, UnicodeError) as error:
        raise ValueError(f"{name}: not a readable .npy header: {error}") from None
    if dtype.hasobject:
        raise ValueError(f"{name}: holds Python objects (dtype {dtype}); allowed: numbers")
    if any(n < 0 for n in shape):
        raise ValueError(f"{name}: shape {shape} has a negative dimension")
    wanted = file.tell() + prod(shape) * dtype.itemsize
    if wanted != size:
        raise ValueError(f"{name}: {size} bytes, but header, shape {shape} and dtype {dtype} ask for {wanted}")
    return shape, fortran, dtype


def _numpy_tensor(file: str, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], read: Callable[[], Array]) -> Tensor:
    known = dtype.kind == "f" and dtype.itemsize in (2, 4, 8)
    skipped = None if known else f"dtype {dtype} is not float16, float32 or float64"
    return Tensor(file, name, shape, str(dtype), read, skipped, dtype.kind in "iu")


def _safetensors(path: Path) -> Iterator[Tensor]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            raise ValueError(f"{path}: {size} bytes with a header of {length}; not a .safetensors file, or truncated")
        text = file.read(length)
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: the header is not a JSON object")
    header.pop("__metadata__", None)
    start = 8 + length
    entries = sorted((_entry(path, name, entry) for name, entry in header.items()), key=lambda e: e[3:5])
    end = 0
    for name, _, _, begin, stop in entries:
        if begin != end:
            raise ValueError(
                f"{path}: tensor {name!r} begins at {begin} and the one before ends at {end}; no gap and no overlap is allowed"
            )
        end = stop
    if end != size - start:
        raise ValueError(f"{path}: {size - start} bytes of data, but the header describes {end}; truncated or oversized")
    for name, dtype, shape, begin, _ in entries:
        yield _safetensor(path, name, dtype, shape, start + begin)


def _safetensor(path: Path, name: str, dtype: str, shape: tuple[int, ...], offset: int) -> Tensor:
    stored = (SAFETENSORS_FLOATS | SAFETENSORS_INTEGERS).get(dtype)
    read = partial(np.empty, 0) if stored is None else partial(_map, path, np.dtype(stored), offset, shape)
    skipped = None if dtype in SAFETENSORS_FLOATS else f"dtype {dtype} is not F64, F32, F16 or BF16"
    return Tensor(str(path), name, shape, dtype, read, skipped, dtype in SAFETENSORS_INTEGERS)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _entry(path: Path, name: str, entry: Any) -> tuple[str, str, tuple[int, ...], int, int]:
    """Name, dtype, shape, begin and end of a tensor, checked."""
    where = f"{path}: tensor {name!r}"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise ValueError(f"{where}: the header must give dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str):
        raise ValueError(f"{where}: dtype {dtype!r} is not a text")
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{where}: shape {shape!r} or data_offsets {offsets!r} is not a list of sizes")
    width = np.dtype(SAFETENSORS_FLOATS[dtype]).itemsize if dtype in SAFETENSORS_FLOATS else SAFETENSORS_OTHERS.get(dtype)
    found = offsets[1] - offsets[0]
    if width is not None and prod(shape) * width != found:
        raise ValueError(f"{where}: {found} bytes, but shape {shape} and dtype {dtype} ask for {prod(shape) * width}")
    return name, dtype, tuple(shape), offsets[0], offsets[1]


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
