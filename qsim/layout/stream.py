"""Sections <-> bytes: codes are lowered to the pieces of the packing kernels, which run on threads."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsim.codec.qtensor import Array
from qsim.codec.threads import pieces, run
from qsim.layout.plan import Section

if TYPE_CHECKING:
    from qsim.kernels.packing import Field

Arrays = Mapping[str, Array]  # codes by name of a field: 1-D, contiguous, partial blocks filled
Bytes = NDArray[np.uint8]
PART = 1 << 20  # codes that one task packs
SLOTS = 3  # fields of a word that the kernels know

_SIZE = (ctypes.c_char_p, ctypes.c_ssize_t)
_make_bytes: Any = ctypes.PYFUNCTYPE(ctypes.py_object, *_SIZE)(("PyBytes_FromStringAndSize", ctypes.pythonapi))
_address: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))


class Lowered(NamedTuple):
    """A field of some words as the kernels see it; `copied`: the pieces are no view of the codes."""

    codes: Array
    pieces: Array
    field: Field
    copied: bool = False


def write(sections: Iterable[Section], arrays: Arrays) -> tuple[bytes, Bytes]:
    """The sections as bytes, and the same memory as an array, to be written before the bytes are handed on."""
    from qsim.kernels.packing import ZERO

    sections = tuple(sections)
    size = sum(s.bits for s in sections) // 8
    data, out = new_bytes(size)
    whole = out[: size // 8 * 8].view(np.uint64)
    bit, held = 0, ZERO
    for section in sections:
        held = _write_section(section, arrays, whole, bit, held)
        bit += section.bits
    out[len(whole) * 8 :] = list(int(held).to_bytes(8, "little")[: size % 8])
    return data, out


def _write_section(section: Section, arrays: Arrays, whole: NDArray[np.uint64], bit: int, held: np.uint64) -> np.uint64:
    """Write a section from `bit` on, after the held bits of the uint64 in which it starts; return those in which it ends."""
    from qsim.kernels.packing import ZERO, pack_words

    stored = _stored(section, arrays)
    if stored is not None and bit % 64 == 0:
        size = len(stored) // 8 * 8
        _copy(stored[:size], whole.view(np.uint8)[bit // 8 :][:size])
        return np.uint64(int.from_bytes(stored[size:].tobytes(), "little"))

    def part(words: slice, _: slice) -> np.uint64:
        start = bit + words.start * section.word_bits
        lowered = _slots(section, arrays, words)
        for one in lowered:
            one.pieces.flags.writeable = False  # one type for the kernel, whatever the caller's arrays are
        slots = [x for one in lowered for x in (one.pieces, one.field)]
        before = ZERO if words.start else held
        return np.uint64(pack_words(words.stop - words.start, *slots, section.pad, whole[start // 64 :], before, start % 64))

    return run(part, _parts(section, bit % 64 == 0))[-1] if section.bits else held


def read(sections: Iterable[Section], buf: Bytes, arrays: Arrays) -> None:
    """Fill the arrays from the sections of `buf`; ValueError for pad bits that are not 0."""
    size = len(buf) // 8 * 8
    whole = buf[:size].view(np.uint64)
    whole = whole if whole.flags.aligned else whole.copy()
    whole.flags.writeable = False
    tail = np.uint64(int.from_bytes(buf[size:].tobytes(), "little"))
    bit = 0
    for section in sections:
        stored = _stored(section, arrays)
        if stored is not None and bit % 8 == 0:
            _copy(buf[bit // 8 :][: len(stored)], stored)
        else:
            _read_section(section, arrays, whole, tail, bit)
        bit += section.bits


def _stored(section: Section, arrays: Arrays) -> Bytes | None:
    """The codes of a section as its very bytes, where they are 8, 16 or 32 bits wide and stand alone; else None."""
    if not section.bits or len(section.fields) != 1 or section.pad or sys.byteorder != "little":
        return None
    name, bits, count = section.fields[0]
    codes = arrays[name]
    if bits != 8 * codes.itemsize:
        return None
    return codes[section.first : section.first + section.words * count].view(np.uint8)


def _copy(source: Bytes, target: Bytes) -> None:
    def part(_: slice, c: slice) -> None:
        target[c] = source[c]

    run(part, pieces(1, len(source), piece=4 * PART))


def _read_section(section: Section, arrays: Arrays, whole: NDArray[np.uint64], tail: np.uint64, bit: int) -> None:
    from qsim.kernels.packing import unpack_words

    def part(words: slice, _: slice) -> int:
        lowered = _slots(section, arrays, words)
        slots = [x for one in lowered for x in (one.pieces, one.field)]
        stray = int(
            unpack_words(words.stop - words.start, *slots, section.pad, whole, tail, bit + words.start * section.word_bits)
        )
        for one in lowered:
            if one.copied:
                one.codes[...] = one.pieces
        return -1 if stray < 0 else words.start + stray

    strays = [w for w in run(part, _parts(section, True)) if w >= 0] if section.bits else []
    if strays and section.fields:
        low = section.word_bits - section.pad
        raise ValueError(f"word {min(strays)} has pad bits that are not 0: bits {low} to {section.word_bits - 1} (rule P3)")
    if strays:
        raise ValueError(f"byte {bit // 8} has pad bits that are not 0: the last {section.pad} of it (rule P3)")


def _parts(section: Section, divisible: bool) -> list[tuple[slice, slice]]:
    """Tasks of whole uint64: multiples of 64 words."""
    codes = sum(count for _, _, count in section.fields)
    step = max(PART // max(codes, 1) // 64, 1) * 64 if divisible else section.words
    return [(slice(w, min(w + step, section.words)), slice(0)) for w in range(0, section.words, step)]


def _slots(section: Section, arrays: Arrays, words: slice) -> list[Lowered]:
    """The fields of some words in the slots of the kernels: a last one of several as bytes if it can be, unused ones empty."""
    last, lowered = len(section.fields) - 1, []
    for i, (name, bits, count) in enumerate(section.fields):
        codes = arrays[name][section.first + words.start * count : section.first + words.stop * count]
        lowered.append(lower(codes, count, bits, narrow=0 < i == last))
    wide, narrow = (lower(np.empty(0, np.uint8), 0, 1, narrow=narrow) for narrow in (False, True))
    head, tail = (lowered[:last], lowered[last:]) if last > 0 else (lowered, [narrow])
    return [*head, *[wide] * (SLOTS - 1 - len(head)), *tail]


def lower(codes: Array, count: int, bits: int, *, narrow: bool) -> Lowered:
    """Codes, `count` a word, as pieces: narrow, one byte each; else uint64, as many codes as fit, or one for an odd count."""
    from qsim.kernels.packing import Field

    width = 8 * codes.itemsize
    if narrow and width in (8, bits):
        return Lowered(codes, codes.view(np.uint8), Field(count * codes.itemsize, min(bits, 8), 0, 0, 0))
    if count * width % 64:
        return Lowered(codes, codes.astype(np.uint64), Field(count, bits, 0, 0, 0), copied=True)
    shifts = [0, 0, 0]
    for i, lane in enumerate((8, 16, 32)):
        if lane >= width:
            shifts[i] = lane - bits
            bits *= 2
    return Lowered(codes, codes.view(np.uint64), Field(count * width // 64, bits, *shifts))


def new_bytes(size: int) -> tuple[bytes, Bytes]:
    """A new bytes object and its memory: packing into it saves one copy of the buffer.

    The C API allows writing to the memory of a bytes object just made by PyBytes_FromStringAndSize(NULL, size).
    """
    data: bytes = _make_bytes(None, size)
    if not size:
        return data, np.empty(0, np.uint8)
    memory: Any = (ctypes.c_uint8 * size).from_address(_address(data))
    return data, np.frombuffer(memory, np.uint8)
