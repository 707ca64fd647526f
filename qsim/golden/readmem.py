"""The text of $readmemh and $readmemb as arrays: comments, underscores, unknown digits, addresses, or `id value` lines.

No Python runs per line: a file is one byte array, split at blanks, and its digits are gathered into a table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsim.golden.digits import DIGIT_BITS, digit_words
from qsim.golden.patterns import WORD, Words, pieces, words_of

UNKNOWN, BLANK, NEWLINE, AT, ODD = 0x10, 0x20, 0x21, 0x40, 0x80
COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/", re.DOTALL)
ID_DIGITS = 18  # of a decimal id that fits int64
IN_CACHE = 1 << 18  # characters
SLACK = 64  # digits that a word may have too many, as long as they are zeros


def _kinds(radix: str) -> NDArray[np.uint8]:
    """What each byte is: the value of a digit, or one of the marks above."""
    table = np.full(256, ODD, np.uint8)
    for i, digit in enumerate(b"0123456789abcdef" if radix == "hex" else b"01"):
        table[digit] = i
        table[digit ^ 0x20 if digit > ord("9") else digit] = i
    table[list(b"xXzZ?")] = UNKNOWN
    table[list(b" \t\r\f\v")] = BLANK
    table[ord("\n")] = NEWLINE
    table[ord("@")] = AT
    return table


KINDS = {radix: _kinds(radix) for radix in DIGIT_BITS}


@dataclass(frozen=True)
class Memory:
    """The words of a text: rows of patterns, bits that are X or Z (None: none), and the ids of the rows, where it states them."""

    words: Words
    unknown: Words | None
    ids: NDArray[np.int64] | None


@dataclass(frozen=True)
class _Tokens:
    """Where the tokens of a text stand, and on which lines."""

    text: NDArray[np.uint8]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    line: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> _Tokens:
        return _Tokens(self.text, self.start[chosen], self.end[chosen], self.line[chosen])

    def word(self, i: int) -> str:
        return self.text[self.start[i] : self.end[i]].tobytes().decode("latin-1")


def parse_memory(data: bytes, bits: int, radix: str, where: str) -> Memory:
    """The words of a readmemh (`hex`) or readmemb (`bin`) text, each of `bits`.

    A line has one word, or a decimal id and a word; @ADDRESS moves on, as in $readmemh, and counts from 0. A last line that
    was cut off, without its newline and shorter than all others, is no word.

    Raises:
        ValueError: names file and line of what is no word, or has more bits than the port.
    """
    regular = _regular(data, bits, radix)
    if regular is not None:
        return Memory(regular, None, None)
    if b"/" in data:
        data = COMMENT.sub(lambda m: b" " + b"\n" * m[0].count(b"\n"), data)
    if b"_" in data:
        data = data.translate(None, b"_")
    tokens = _split(data, radix)
    if not data.endswith(b"\n"):
        tokens = _without_cut_line(tokens)
    words, ids = _addressed(tokens, where) if b"@" in data else _paired(tokens, where)
    values, unknown = _patterns(words, bits, radix, where)
    return Memory(values, unknown, ids)


def _regular(data: bytes, bits: int, radix: str) -> Words | None:
    """The words of a text as test benches write it: a comment or none, then a word a line, all its digits known; else None."""
    digit = DIGIT_BITS[radix]
    start, width = data.find(b"\n") + 1 if data.startswith(b"//") else 0, -(-bits // digit) + 1
    if len(data) == start or (len(data) - start) % width:
        return None
    lines = np.frombuffer(data, np.uint8)[start:].reshape(-1, width)
    if (lines[:, -1] != ord("\n")).any():
        return None
    words = np.empty((len(lines), words_of(bits)), WORD)
    for piece in pieces(len(lines), width, IN_CACHE):
        table = KINDS[radix][lines[piece, :-1]]
        if table.max() >= UNKNOWN:
            return None
        words[piece] = digit_words(table, digit, words.shape[1])
    if bits % 64 and (words[:, -1] >> np.uint64(bits % 64)).any():
        return None
    return words


def _split(data: bytes, radix: str) -> _Tokens:
    text = np.frombuffer(data, np.uint8)
    kind = KINDS[radix][text]
    solid = np.zeros(len(text) + 2, np.int8)
    solid[1:-1] = (kind & BLANK) == 0
    edge = np.diff(solid)
    start, end = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    newline = np.flatnonzero(kind == NEWLINE)
    plain = len(newline) == len(start) and (newline == end).all()
    line = np.arange(len(start)) if plain else np.searchsorted(newline, start)
    return _Tokens(text, start, end, line)


def _without_cut_line(tokens: _Tokens) -> _Tokens:
    """Without the last line if all the others are of one length and it is shorter."""
    if len(tokens.start) < 2:
        return tokens
    last = tokens.line == tokens.line[-1]
    lines, first = np.unique(tokens.line, return_index=True)
    length = tokens.end[np.append(first[1:], len(last)) - 1] - tokens.start[first]
    fewer = last.sum() < np.bincount(np.searchsorted(lines, tokens.line)).max()
    cut = fewer or (len(length) > 1 and (length[:-1] == length[0]).all() and length[-1] < length[0])
    return tokens.of(~last) if cut else tokens


def _paired(tokens: _Tokens, where: str) -> tuple[_Tokens, NDArray[np.int64] | None]:
    """The words, and the ids before them where every line has one."""
    count = len(tokens.line)
    if count < 2 or (np.diff(tokens.line) > 0).all():
        return tokens, None
    if count % 2 == 0:
        first, second = tokens.line[::2], tokens.line[1::2]
        if (first == second).all() and (np.diff(first) > 0).all():
            odd = np.arange(count) % 2 == 1
            return tokens.of(odd), _ids(tokens.of(~odd), where)
    lines, counts = np.unique(tokens.line, return_counts=True)
    i = int(np.flatnonzero((counts > 2) | (counts != counts[0]))[0])
    raise ValueError(f"{where}:{lines[i] + 1}: {counts[i]} words on the line; allowed: on every line one, or an id and a word")


def _ids(tokens: _Tokens, where: str) -> NDArray[np.int64]:
    table = _gathered(tokens, KINDS["hex"], min(int((tokens.end - tokens.start).max()), ID_DIGITS + 1))
    bad = (table > 9).any(axis=1) | (tokens.end - tokens.start > ID_DIGITS)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{where}:{tokens.line[i] + 1}: {tokens.word(i)!r} is no id; allowed: a decimal number, then the word")
    ids = np.zeros(len(table), np.int64)
    for column in table.T:
        ids = ids * 10 + column
    return ids


def _addressed(tokens: _Tokens, where: str) -> tuple[_Tokens, NDArray[np.int64]]:
    """The words, and ids that count on from each @ADDRESS; address 0 is case 1."""
    marks = tokens.text[tokens.start] == ord("@")
    places = np.flatnonzero(marks).tolist()
    ids = np.arange(1, len(marks) + 1)
    for i, place in enumerate(places):
        try:
            address = int(tokens.word(place)[1:], 16)
        except ValueError:
            raise ValueError(f"{where}:{tokens.line[place] + 1}: {tokens.word(place)!r} is no address") from None
        stop = places[i + 1] if i + 1 < len(places) else len(marks)
        ids[place + 1 : stop] = np.arange(address + 1, address + stop - place)
    return tokens.of(~marks), ids[~marks]


def _gathered(tokens: _Tokens, kinds: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """The last `width` characters of every token as digits; before a shorter one zeros, or X where it starts with X."""
    length = tokens.end - tokens.start
    stride = np.diff(tokens.start)
    if len(length) and (length == width).all() and (stride == stride[:1]).all():
        step = int(stride[0]) if len(stride) else width
        view = np.lib.stride_tricks.as_strided(tokens.text[tokens.start[0] :], (len(length), width), (step, 1), writeable=False)
        return np.asarray(kinds[view])
    place = tokens.end[:, None] - np.arange(width, 0, -1)
    table = kinds[tokens.text[np.maximum(place, 0)]]
    first = kinds[tokens.text[tokens.start]]
    return np.where(place < tokens.start[:, None], np.where(first == UNKNOWN, first, 0)[:, None], table)


def _patterns(tokens: _Tokens, bits: int, radix: str, where: str) -> tuple[Words, Words | None]:
    """Digits to patterns, and the bits of unknown digits."""
    digit = DIGIT_BITS[radix]
    digits = -(-bits // digit)
    rows, length = len(tokens.start), tokens.end - tokens.start
    if rows and int(length.max()) > digits + SLACK:
        _refuse(tokens, int(length.argmax()), bits, where)
    width = max(digits, int(length.max())) if rows else digits
    words, unknown = np.zeros((rows, words_of(bits)), WORD), None
    for piece in pieces(rows, width):
        part = _Tokens(tokens.text, tokens.start[piece], tokens.end[piece], tokens.line[piece])
        table = _gathered(part, KINDS[radix], width)
        excess, table = table[:, : width - digits], table[:, width - digits :]
        odd = table > UNKNOWN
        if odd.any() or excess.any():
            _refuse(part, int(np.flatnonzero(odd.any(axis=1) | (excess != 0).any(axis=1))[0]), bits, where)
        hidden = table == UNKNOWN
        if hidden.any():
            table = np.where(hidden, 0, table)
            if unknown is None:
                unknown = np.zeros_like(words)
            unknown[piece] = digit_words(np.where(hidden, (1 << digit) - 1, 0).astype(np.uint8), digit, words.shape[1])
        words[piece] = digit_words(table, digit, words.shape[1])
    spare = bits % 64
    if spare:
        above = words[:, -1] >> np.uint64(spare)
        if above.any():
            _refuse(tokens, int(np.flatnonzero(above)[0]), bits, where)
        if unknown is not None:
            unknown[:, -1] &= np.uint64((1 << spare) - 1)
    return words, unknown


def _refuse(tokens: _Tokens, i: int, bits: int, where: str) -> None:
    word = tokens.word(i)
    shown = repr(word if len(word) <= 80 else word[:77] + "...")
    hint = "; without 0x: in these files x is an unknown digit" if word[:2] in ("0x", "0X") else ""
    raise ValueError(f"{where}:{tokens.line[i] + 1}: {shown} is no word of {bits} bits{hint}")
