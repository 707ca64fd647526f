"""Patterns as numpy arrays: a row a case, as `qsim verify` and `--operands` read them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.golden.patterns import Words
from qsim.golden.unit import Port
from qsim.golden.vectors import GoldenError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARRAYS = "vectors.npz"
LARGEST_VALUE = 64


def to_array(port: Port, words: Words) -> NDArray[Any]:
    """(cases,) values, or (cases, count); of values over 64 bits the port's bytes, the lowest first."""
    from qsim.golden.columns import as_bytes, to_values

    data = as_bytes(words, port)
    if port.width > LARGEST_VALUE:
        return data
    values = to_values(data, port.width, port.count, port.kind == "signed").astype(_dtype(port, integer=True), copy=False)
    values = np.ascontiguousarray(values).view(_dtype(port))
    return values[:, 0] if port.count == 1 else values


def _dtype(port: Port, *, integer: bool = False) -> Any:
    """The smallest type that holds a value."""
    if port.kind in ("float32", "float64") and not integer:
        return np.dtype(port.kind)
    size = max(8, 1 << (port.width - 1).bit_length())
    return np.dtype(f"{'int' if port.kind == 'signed' else 'uint'}{size}")


def from_array(array: NDArray[Any], port: Port, where: str) -> Words:
    """The patterns of what `to_array` gave; GoldenError for another type or shape, or a value that does not fit."""
    from qsim.golden.columns import as_words, from_values

    wide = port.width > LARGEST_VALUE
    dtype = np.dtype(np.uint8) if wide else _dtype(port)
    shape = (
        (len(array) if array.ndim else 0, -(-port.bits // 8))
        if wide
        else (len(array), *((port.count,) if port.count > 1 else ()))
    )
    if array.dtype != dtype or array.shape != shape:
        raise GoldenError(f"{where}: {port.name} is {array.dtype}{array.shape}; allowed: {dtype}{shape}")
    if wide:
        words = as_words(array)
        above = port.bits % 64 and (words[:, -1] >> np.uint64(port.bits % 64)).any()
        if above:
            raise GoldenError(f"{where}: {port.name} holds a pattern of more than {port.bits} bits")
        return words
    values = array.view(_dtype(port, integer=True)).reshape(len(array), -1)
    low, high = (-(1 << (port.width - 1)), (1 << (port.width - 1)) - 1) if port.kind == "signed" else (0, (1 << port.width) - 1)
    if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
        raise GoldenError(f"{where}: port {port.name}: values {values.min()} to {values.max()}; allowed: {low} to {high}")
    return as_words(from_values(values.view(np.int64) if values.dtype == np.uint64 else values, port))


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a .npz file."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_npz(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file; GoldenError for any other."""
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        return {key: loaded[key] for key in loaded.files}
    except Exception as error:  # zip, zlib and the header parser each raise their own kinds on a corrupt file
        raise GoldenError(f"{where}: not a readable .npz file: {error}") from None
