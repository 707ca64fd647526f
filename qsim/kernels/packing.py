"""Codes to a dense bit stream and back.

A word is three fields (an unused one has no pieces) and a pad of zero bits. The caller views codes as wider unsigned
integers where their count allows, eight uint8 codes as one uint64: a "piece" holds several codes in lanes. `squeeze`
drops the unused bits between the lanes in three steps, whatever the width of a code; `spread` is its inverse. Both run
over a tile of words at a time, where they vectorize; the stream itself is sequential.
Bit 0 of the stream is bit 0 of uint64 number 0.
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
TILE = 1024  # pieces of a field in one tile: 8 KiB

inlined = njit(inline="always")  # an array given to a helper is reference-counted, atomically, on every call


class Field(NamedTuple):
    """One field of a word, lowered to integers."""

    pieces: int  # pieces a word
    bits: int  # used bits of a piece, 1 to 64
    shift8: int  # unused bits of a lane of 8, 16 and 32 bits; 0 where the lanes are dense
    shift16: int
    shift32: int


@helper
def squeeze(pieces, field, dense):
    """The used bits of the lanes of each piece, one after the other."""
    s8, s16, s32 = U64(field.shift8), U64(field.shift16), U64(field.shift32)
    for i in range(len(pieces)):
        x = U64(pieces[i])
        x = (x & EVEN8) | ((x & ODD8) >> s8)
        x = (x & EVEN16) | ((x & ODD16) >> s16)
        dense[i] = (x & EVEN32) | ((x & ODD32) >> s32)


@helper
def spread(dense, field, pieces):
    """The inverse of squeeze."""
    s8, s16, s32 = U64(field.shift8), U64(field.shift16), U64(field.shift32)
    for i in range(len(pieces)):
        x = dense[i]
        x = (x & (EVEN32 >> s32)) | ((x << s32) & ODD32)
        x = (x & (EVEN16 >> s16) & EVEN16) | ((x << s16) & ODD16)
        pieces[i] = (x & (EVEN8 >> s8) & EVEN8) | ((x << s8) & ODD8)


@inlined
def put(dense, word, bits, out, k, held, fill):
    """Append one field of one word to the stream: k uint64 are written, the next `fill` < 64 bits are held."""
    for i in range(dense.shape[1]):
        piece = dense[word, i]
        held |= piece << U64(fill)
        fill += bits
        if fill >= 64:
            out[k] = held
            k += ONE
            fill -= 64
            held = (piece >> ONE) >> U64(bits - fill - 1)  # in two steps: a shift by 64 is undefined
    return k, held, fill


@kernel
def pack_words(words, pieces0, field0, pieces1, field1, pieces2, field2, pad, out, held, fill):
    """Append all words to the `fill` held bits; whole uint64 go to `out`, the bits held at the end are returned."""
    n0, n1, n2 = field0.pieces, field1.pieces, field2.pieces
    tile = max(TILE // max(n0, n1, n2, 1), 1)
    dense0, dense1, dense2 = np.empty((tile, n0), U64), np.empty((tile, n1), U64), np.empty((tile, n2), U64)
    k = ZERO
    for first in range(0, words, tile):
        last = min(first + tile, words)
        squeeze(pieces0[first * n0 : last * n0], field0, dense0.reshape(-1))
        squeeze(pieces1[first * n1 : last * n1], field1, dense1.reshape(-1))
        squeeze(pieces2[first * n2 : last * n2], field2, dense2.reshape(-1))
        for word in range(last - first):
            k, held, fill = put(dense0, word, field0.bits, out, k, held, fill)
            k, held, fill = put(dense1, word, field1.bits, out, k, held, fill)
            k, held, fill = put(dense2, word, field2.bits, out, k, held, fill)
            fill += pad
            while fill >= 64:
                out[k] = held
                k += ONE
                fill -= 64
                held = ZERO
    return held


@inlined
def get(dense, word, bits, stream, tail, k, held, left):
    """Read one field of one word: uint64 number k of the stream is next, the `left` < 64 bits before it are held."""
    for i in range(dense.shape[1]):
        if bits <= left:
            dense[word, i] = held & (ONES >> U64(64 - bits))
            held >>= U64(bits)
            left -= bits
        else:
            following = stream[k] if k < len(stream) else tail
            k += 1
            dense[word, i] = (held | (following << U64(left))) & (ONES >> U64(64 - bits))
            held = (following >> ONE) >> U64(bits - left - 1)
            left += 64 - bits
    return k, held, left


@kernel
def unpack_words(words, pieces0, field0, pieces1, field1, pieces2, field2, pad, stream, tail, bit):
    """Read all words from bit `bit` of the stream on, whose last, incomplete uint64 is `tail`.

    Returns the first word with a pad bit that is not 0, or -1.
    """
    n0, n1, n2 = field0.pieces, field1.pieces, field2.pieces
    tile = max(TILE // max(n0, n1, n2, 1), 1)
    dense0, dense1, dense2 = np.empty((tile, n0), U64), np.empty((tile, n1), U64), np.empty((tile, n2), U64)
    zeros = np.empty((1, 1), U64)
    k, left, held, stray = bit // 64, 0, ZERO, -1
    if bit % 64:
        k, held, left = get(zeros, 0, bit % 64, stream, tail, k, held, left)
    for first in range(0, words, tile):
        last = min(first + tile, words)
        for word in range(last - first):
            k, held, left = get(dense0, word, field0.bits, stream, tail, k, held, left)
            k, held, left = get(dense1, word, field1.bits, stream, tail, k, held, left)
            k, held, left = get(dense2, word, field2.bits, stream, tail, k, held, left)
            for done in range(0, pad, 64):
                k, held, left = get(zeros, 0, min(64, pad - done), stream, tail, k, held, left)
                if zeros[0, 0] != ZERO and stray < 0:
                    stray = first + word
        spread(dense0.reshape(-1), field0, pieces0[first * n0 : last * n0])
        spread(dense1.reshape(-1), field1, pieces1[first * n1 : last * n1])
        spread(dense2.reshape(-1), field2, pieces2[first * n2 : last * n2])
    return stray
