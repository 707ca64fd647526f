"""Patterns of many cases as arrays: one row a case, bytes with the lowest first; and as the integers of a port's values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.golden.patterns import WORD, Words
from qsim.golden.unit import Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]

NATIVE = {8: "i1", 16: "<i2", 32: "<i4", 64: "<i8"}


def size_of(port: Port) -> int:
    """Bytes of a pattern."""
    return -(-port.bits // 8)


def to_bytes(patterns: Sequence[int] | Array, port: Port) -> Bytes:
    """(n, bytes) of a list of patterns, or of an array: uint8 rows as they are, integers as patterns of at most 64 bits."""
    size = size_of(port)
    if isinstance(patterns, np.ndarray):
        if patterns.ndim == 2 and patterns.dtype == np.uint8 and patterns.shape[1] == size:
            return np.ascontiguousarray(patterns)
        if patterns.ndim != 1 or patterns.dtype.kind not in "iuO" or (port.bits > 64 and patterns.dtype.kind != "O"):
            raise ValueError(
                f"{port.name}: {patterns.dtype} of shape {patterns.shape}; allowed: uint8 (n, {size}), or (n,) integers of"
                f" {port.bits} bits"
            )
        patterns = patterns.tolist()
    try:
        joined = b"".join([value.to_bytes(size, "little") for value in patterns])
    except OverflowError:
        bad = next(v for v in patterns if v < 0 or v >> (8 * size))
        raise ValueError(f"{port.name}: pattern {bad:#x}; allowed: {port.bits} bits") from None
    return np.frombuffer(joined, np.uint8).reshape(len(patterns), size)


def to_patterns(data: Bytes) -> list[int]:
    """The rows as Python ints."""
    size, raw = data.shape[1], np.ascontiguousarray(data).tobytes()
    return [int.from_bytes(raw[i : i + size], "little") for i in range(0, len(raw), size)]


def as_words(data: Bytes) -> Words:
    """The same rows as 64-bit words, the lowest first."""
    n, size = data.shape
    padded = np.zeros((n, -(-size // 8) * 8), np.uint8)
    padded[:, :size] = data
    return padded.view(WORD)


def as_bytes(words: Words, port: Port) -> Bytes:
    """The bytes of a port's patterns."""
    return np.ascontiguousarray(words.view(np.uint8)[:, : size_of(port)])


def to_values(data: Bytes, width: int, count: int, signed: bool) -> Array:
    """(n, count) integers of fields of `width` bits, at most 64; uint64 patterns of 64 bits read as int64."""
    if width in NATIVE:
        values: Array = np.ascontiguousarray(data).view(NATIVE[width])
        if signed or width == 64:
            return values
        return values.view(values.dtype.str.replace("i", "u"))
    from qsim.kernels.rows import unpack_fields

    out = np.empty((len(data), count), np.int64)
    run(lambda _, r: unpack_fields(data[r], width, signed, out[r]), pieces(1, len(data), piece=1 << 14))
    return out


def from_values(values: Array, port: Port) -> Bytes:
    """The patterns of (n, count) values; object arrays of wide ones, too."""
    n = len(values)
    flat = values.reshape(n, -1)
    if values.dtype == object:
        mask = (1 << port.width) - 1
        rows = [sum((int(v) & mask) << i * port.width for i, v in enumerate(row)) for row in flat.tolist()]
        return to_bytes(rows, port)
    if flat.dtype.kind == "f":
        flat = flat.view(np.int32 if flat.dtype == np.float32 else np.int64)
    if port.width in NATIVE:
        return np.ascontiguousarray(flat.astype(NATIVE[port.width], copy=False)).view(np.uint8)
    if port.width > 64:
        return from_values(flat.astype(object), port)
    from qsim.kernels.rows import pack_fields

    whole = np.ascontiguousarray(flat, None if flat.dtype in (np.int32, np.int64) else np.int64)
    out = np.empty((n, size_of(port)), np.uint8)
    run(lambda _, r: pack_fields(whole[r], port.width, out[r]), pieces(1, n, piece=1 << 14))
    return out
