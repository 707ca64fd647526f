"""Bit patterns of many cases as an array: one row a case, little-endian 64-bit words, the lowest word first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
WORD = np.dtype("<u8")
LITTLE: Literal["little"] = "little"


def words_of(bits: int) -> int:
    """Words of a pattern."""
    return -(-bits // 64)


def empty(rows: int, bits: int) -> Words:
    """Patterns of zeros."""
    return np.zeros((rows, words_of(bits)), WORD)


def from_ints(patterns: Sequence[int], bits: int) -> Words:
    """Rows of patterns, each inside `bits`."""
    if bits <= 64:
        return np.array(patterns, WORD).reshape(-1, 1)
    if not len(patterns):
        return empty(0, bits)
    width = 8 * words_of(bits)
    data = b"".join(map(int.to_bytes, patterns, repeat(width), repeat(LITTLE)))
    return np.frombuffer(data, WORD).reshape(-1, width // 8)


def to_ints(words: Words) -> list[int]:
    """The patterns of all rows."""
    if words.shape[1] == 1:
        found: list[int] = words[:, 0].tolist()
        return found
    size, data = 8 * words.shape[1], np.ascontiguousarray(words, WORD).tobytes()
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]


def to_int(row: Words) -> int:
    """The pattern of one row."""
    return int.from_bytes(np.ascontiguousarray(row, WORD).tobytes(), "little")


def ones(bits: int) -> Words:
    """One row: all bits of a pattern set."""
    return from_ints([(1 << bits) - 1], bits)


def extract(words: Words, low: int, width: int) -> Words:
    """Bits low .. low + width - 1 of every row; width is 64 or less."""
    word, shift = divmod(low, 64)
    found = words[:, word] >> np.uint64(shift)
    if shift + width > 64:
        found = found | words[:, word + 1] << np.uint64(64 - shift)
    return found & np.uint64((1 << width) - 1)


def deposit(words: Words, low: int, width: int, values: Words) -> None:
    """Put values of at most 64 bits at low .. low + width - 1, which must hold zeros."""
    word, shift = divmod(low, 64)
    words[:, word] |= values << np.uint64(shift)
    if shift + width > 64:
        words[:, word + 1] |= values >> np.uint64(64 - shift)


def nonzero_rows(words: Words) -> NDArray[np.bool_]:
    """Rows with a bit set."""
    if words.shape[1] > 8:
        return np.asarray(words.any(axis=1))
    found = words[:, 0]
    for column in range(1, words.shape[1]):
        found = found | words[:, column]
    return np.asarray(found != 0)


def pieces(rows: int, cells: int, limit: int = 1 << 22) -> Iterable[slice]:
    """Slices of rows with no more than `limit` cells each, for tables that are wider than what they make."""
    step = max(1, limit // max(cells, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
