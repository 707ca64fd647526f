"""Patterns of many cases as text and back: all digits of a word, the highest first, lower case; one row of characters a case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qsim.golden.patterns import WORD, Words, words_of

Characters = NDArray[np.uint8]
DIGIT_BITS = {"hex": 4, "bin": 1}
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
#: Both hexadecimal digits of a byte.
PAIRS = np.stack([np.repeat(HEX, 16), np.tile(HEX, 16)], axis=1)
ODD = 0xFF


def _values(digits: bytes) -> Characters:
    table = np.full(256, ODD, np.uint8)
    table[list(digits)] = np.arange(len(digits))
    return table


VALUES = {"hex": _values(HEX.tobytes()), "bin": _values(b"01")}


def digits_of(bits: int, radix: str = "hex") -> int:
    """Digits of a word."""
    return -(-bits // DIGIT_BITS[radix])


def to_digits(words: Words, bits: int, radix: str = "hex") -> Characters:
    """(n, digits) characters."""
    data = np.ascontiguousarray(words).view(np.uint8)[:, ::-1]
    table = PAIRS[data].reshape(len(words), -1) if radix == "hex" else np.unpackbits(data, axis=1) + np.uint8(ord("0"))
    return np.asarray(table[:, table.shape[1] - digits_of(bits, radix) :])


def from_digits(table: Characters, bits: int, radix: str = "hex") -> Words | None:
    """The words of (n, digits) characters; None where one is no lower-case digit, or a word has more than its bits."""
    values = VALUES[radix][table]
    if (values == ODD).any():
        return None
    words = digit_words(values, DIGIT_BITS[radix], words_of(bits))
    if bits % 64 and (words[:, -1] >> np.uint64(bits % 64)).any():
        return None
    return words


def digit_words(table: Characters, digit: int, words: int) -> Words:
    """Values of digits of so many bits, the highest first, as words."""
    rows, digits = table.shape
    lowest = np.zeros((rows, 64 // digit * words), np.uint8)
    lowest[:, :digits] = table[:, ::-1]
    packed = np.packbits(lowest, axis=1, bitorder="little") if digit == 1 else lowest[:, ::2] | lowest[:, 1::2] << 4
    return np.ascontiguousarray(packed).view(WORD)


def strings(rows: Characters) -> list[str]:
    """The rows as texts."""
    text, length = np.ascontiguousarray(rows).tobytes().decode("ascii"), rows.shape[1]
    return [text[i : i + length] for i in range(0, len(text), length)]


def literals(words: Words, bits: int) -> list[str]:
    """0x and all hexadecimal digits."""
    return strings(framed([(b"0x", words, bits)]))


def framed(parts: Sequence[tuple[bytes, Words, int]], end: bytes = b"") -> Characters:
    """Rows of characters: of every part its text and the digits of its words, then `end`."""
    rows = len(parts[0][1])
    columns: list[Characters] = []
    for text, words, bits in parts:
        columns += [np.broadcast_to(np.frombuffer(text, np.uint8), (rows, len(text))), to_digits(words, bits)]
    columns.append(np.broadcast_to(np.frombuffer(end, np.uint8), (rows, len(end))))
    return np.concatenate(columns, axis=1)


def from_literals(texts: Sequence[object], bits: int) -> Words | None:
    """The words of 0x and all their digits; None where a text is anything else."""
    width = 2 + digits_of(bits)
    known = [text for text in texts if isinstance(text, str) and len(text) == width and text.isascii()]
    if len(known) != len(texts):
        return None
    table = np.frombuffer("".join(known).encode(), np.uint8).reshape(len(texts), width)
    if len(texts) and not (table[:, :2] == np.frombuffer(b"0x", np.uint8)).all():
        return None
    return from_digits(table[:, 2:], bits)
