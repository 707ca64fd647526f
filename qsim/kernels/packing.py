"""Codes to a dense bit stream and back.

A word is three fields (an unused one has no pieces) and a pad of zero bits. The caller views codes as wider unsigned
integers where their count allows, eight uint8 codes as one uint64: a "piece" holds several codes in lanes. `squeeze`
drops the unused bits between the lanes in three steps, whatever the width of a code; `spread` is its inverse.
Bit 0 of the stream is bit 0 of uint64 number 0. Pieces are 2-D: (words, pieces a word).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from qsim.kernels.jit import helper, kernel

U64 = np.uint64
EVEN8, ODD8 = U64(0x00FF00FF00FF00FF), U64(0xFF00FF00FF00FF00)
EVEN16, ODD16 = U64(0x0000FFFF0000FFFF), U64(0xFFFF0000FFFF0000)
EVEN32, ODD32 = U64(0x00000000FFFFFFFF), U64(0xFFFFFFFF00000000)
ZERO, ONE, ONES = U64(0), U64(1), U64(0xFFFFFFFFFFFFFFFF)

inlined = njit(inline="always")  # an array given to a plain helper is reference-counted on every call, atomically


class Field(NamedTuple):
    """One field of a word, lowered to integers."""

    pieces: int  # pieces a word
    bits: int  # used bits of a piece, 1 to 64
    shift8: int  # unused bits of a lane of 8, 16 and 32 bits; 0 where the lanes are dense
    shift16: int
    shift32: int


@helper
def squeeze(piece, field):
    """The used bits of the lanes, one after the other."""
    s8, s16, s32 = U64(field.shift8), U64(field.shift16), U64(field.shift32)
    if s8 | s16 | s32 == ZERO:
        return piece
    piece = (piece & EVEN8) | ((piece & ODD8) >> s8)
    piece = (piece & EVEN16) | ((piece & ODD16) >> s16)
    return (piece & EVEN32) | ((piece & ODD32) >> s32)


@helper
def spread(piece, field):
    """The inverse of squeeze."""
    s8, s16, s32 = U64(field.shift8), U64(field.shift16), U64(field.shift32)
    if s8 | s16 | s32 == ZERO:
        return piece
    piece = (piece & (EVEN32 >> s32)) | ((piece << s32) & ODD32)
    piece = (piece & (EVEN16 >> s16) & EVEN16) | ((piece << s16) & ODD16)
    return (piece & (EVEN8 >> s8) & EVEN8) | ((piece << s8) & ODD8)


@inlined
def put_field(word, pieces, field, out, k, held, fill):
    """Append one field of one word to the stream: k uint64 are written, the next `fill` < 64 bits are held."""
    for i in range(field.pieces):
        piece = squeeze(U64(pieces[word, i]), field)
        held |= piece << U64(fill)
        fill += field.bits
        if fill >= 64:
            out[k] = held
            k += 1
            fill -= 64
            held = (piece >> ONE) >> U64(field.bits - fill - 1)  # in two steps: a shift by 64 is undefined
    return k, held, fill


@kernel
def pack_words(pieces0, field0, pieces1, field1, pieces2, field2, pad, out, held, fill):
    """Append all words to the `fill` held bits; whole uint64 go to `out`, the bits held at the end are returned."""
    k = 0
    for word in range(pieces0.shape[0]):
        k, held, fill = put_field(word, pieces0, field0, out, k, held, fill)
        k, held, fill = put_field(word, pieces1, field1, out, k, held, fill)
        k, held, fill = put_field(word, pieces2, field2, out, k, held, fill)
        fill += pad
        while fill >= 64:
            out[k] = held
            k += 1
            fill -= 64
            held = ZERO
    return held


@inlined
def get(bits, stream, tail, k, held, left):
    """The next `bits` bits of the stream: uint64 number k is next, the `left` < 64 bits before it are held."""
    if bits <= left:
        piece = held & (ONES >> U64(64 - bits))
        held >>= U64(bits)
        left -= bits
    else:
        following = stream[k] if k < len(stream) else tail
        k += 1
        piece = (held | (following << U64(left))) & (ONES >> U64(64 - bits))
        held = (following >> ONE) >> U64(bits - left - 1)
        left += 64 - bits
    return piece, k, held, left


@inlined
def get_field(word, pieces, field, stream, tail, k, held, left):
    """Read one field of a word."""
    for i in range(field.pieces):
        piece, k, held, left = get(field.bits, stream, tail, k, held, left)
        pieces[word, i] = spread(piece, field)
    return k, held, left


@kernel
def unpack_words(pieces0, field0, pieces1, field1, pieces2, field2, pad, stream, tail, bit):
    """Read all words from bit `bit` of the stream on, whose last, incomplete uint64 is `tail`.

    Returns the first word with a pad bit that is not 0, or -1.
    """
    k, left, held, stray = bit // 64, 0, ZERO, -1
    if bit % 64:
        _, k, held, left = get(bit % 64, stream, tail, k, held, left)
    for word in range(pieces0.shape[0]):
        k, held, left = get_field(word, pieces0, field0, stream, tail, k, held, left)
        k, held, left = get_field(word, pieces1, field1, stream, tail, k, held, left)
        k, held, left = get_field(word, pieces2, field2, stream, tail, k, held, left)
        for done in range(0, pad, 64):
            piece, k, held, left = get(min(64, pad - done), stream, tail, k, held, left)
            if piece != ZERO and stray < 0:
                stray = word
    return stray
