"""Products of packed bits: popcounts of 32-bit words, of binary words and of ternary planes (rule B).

A tile of ROWS x COLUMNS sums stays in registers while k runs: a word of a, the same in every lane, against the words of 16
columns of w. `packed` holds w in the order in which tiles read it: [panel of COLUMNS columns, word, plane, column].

What a word adds to a sum, for planes of a and of w:

    XNOR      signs; signs                                -2 |a ^ w|
    MASKED    nonzero, positive; signs                    -2 |nonzero & (positive ^ w)|
    TERNARY   nonzero, negative; nonzero, negative        |both| - 2 |both & (negative ^ negative)|, both = nonzero & nonzero
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from qsim.kernels import vector
from qsim.kernels.gemm import copy_tile
from qsim.kernels.jit import JIT, helper, kernel
from qsim.kernels.vector import I32, I64, Lanes, N, address, load, splat, store, vec

ROWS, COLUMNS = 6, 64
WORDS = 512  # words of K that one pass takes: 128 KB of a panel, which stay in the L2 cache
TALL = 2 * ROWS  # rows that meet a panel before the next: rows of out are then written from end to end, as memory likes it
XNOR, MASKED, TERNARY = 0, 1, 2


@cache
def available():
    """Whether the vector kernels are used: where those of vector.py are and the target CPU has AVX512-VPOPCNTDQ."""
    features = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return vector.available() and "+avx512vpopcntdq" in features.split(",")


def _count(x):
    """Each lane: how many bits are 1."""
    f = x.b.module.declare_intrinsic("llvm.ctpop.v16i32", (), ir.FunctionType(vec(I32), [vec(I32)]))
    return x.make(x.b.call(f, [x.v]))


def _ternary_step(registers, a, w):
    both = a[0] & w[0]
    return [registers[0] + _count(both), registers[1] + _count(both & (a[1] ^ w[1]))]


class Tile(NamedTuple):
    """How a kind counts: planes of a and of w, registers a sum, what a word does to them, and what they add to the sum."""

    a_planes: int
    w_planes: int
    registers: int
    step: Callable
    value: Callable


TILES = (
    Tile(1, 1, 1, lambda r, a, w: [r[0] + _count(a[0] ^ w[0])], lambda r: r[0] * -2),
    Tile(2, 1, 1, lambda r, a, w: [r[0] + _count(a[0] & (a[1] ^ w[0]))], lambda r: r[0] * -2),
    Tile(2, 2, 2, _ternary_step, lambda r: r[0] + r[1] * -2),
)


def _intrinsic_of(tile):
    """ROWS x COLUMNS sums: out = terms, or out where `again`, plus what `words` words add.

    a: int32 (planes, rows, words), flat: `stride` from row to row, `plane` from plane to plane.
    """
    vectors = COLUMNS // N
    at_once = vectors // tile.registers  # 24 registers, which with their operands fill the 32 that there are

    @intrinsic
    def add_tile(typingctx, a, row, stride, plane, packed, panel, words, terms, term, again, out, place, width):
        sig = types.int64(a, row, stride, plane, packed, panel, words, terms, term, again, out, place, width)

        def codegen(context, b, signature, args):
            at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
            constant = lambda i: ir.Constant(I64, i)  # noqa: E731
            shifted = lambda start, step, i: b.add(start, b.mul(step, constant(i)))  # noqa: E731
            _, row, stride, plane, _, panel, words, _, term, again, _, place, width = args
            cells = [(i, j) for i in range(ROWS) for j in range(vectors)]
            zero = ir.Constant(vec(I32), [0] * N)
            places = {c: [cgutils.alloca_once_value(b, zero) for _ in range(tile.registers)] for c in cells}

            for first in range(0, vectors, at_once):
                with cgutils.for_range(b, words) as loop:
                    here = shifted(panel, loop.index, COLUMNS * tile.w_planes)
                    columns = {
                        j: [load(b, at(4, b.add(here, constant(COLUMNS * p + N * j))), I32) for p in range(tile.w_planes)]
                        for j in range(first, first + at_once)
                    }
                    for i in range(ROWS):
                        word = b.add(shifted(row, stride, i), loop.index)
                        words_of_row = [splat(b, b.load(at(0, shifted(word, plane, p)))) for p in range(tile.a_planes)]
                        for j, words_of_columns in columns.items():
                            registers = [Lanes(b, b.load(p)) for p in places[i, j]]
                            for p, value in zip(places[i, j], tile.step(registers, words_of_row, words_of_columns), strict=True):
                                b.store(value.v, p)
            targets = {(i, j): at(10, b.add(shifted(place, width, i), constant(N * j))) for i, j in cells}
            terms_of_rows = [splat(b, b.load(at(7, b.add(term, constant(i))))) for i in range(ROWS)]
            starts = {(i, j): cgutils.alloca_once_value(b, terms_of_rows[i].v) for i, j in cells}
            with b.if_then(b.icmp_unsigned("!=", again, constant(0))):
                for c in cells:
                    b.store(load(b, targets[c], I32).v, starts[c])
            for c in cells:
                value = tile.value([Lanes(b, b.load(p)) for p in places[c]])
                store(Lanes(b, b.load(starts[c])) + value, targets[c])
            return constant(0)

        return sig, codegen

    return add_tile


_xnor_tile, _masked_tile, _ternary_tile = map(_intrinsic_of, TILES)

if JIT:

    @intrinsic
    def popcount(typingctx, x):
        """How many bits of an int32 are 1."""

        def codegen(context, b, signature, args):
            f = b.module.declare_intrinsic("llvm.ctpop.i32", (), ir.FunctionType(I32, [I32]))
            return b.call(f, [args[0]])

        return types.int32(types.int32), codegen

else:

    def popcount(x):
        """How many bits of an int32 are 1."""
        return np.int32((int(x) & 0xFFFFFFFF).bit_count())


@helper
def _portable_row(kind, a, mask, panel, counts):
    """counts[j]: what `kind` counts for a row's words and column j of a panel."""
    counts[:] = 0
    for k in range(a.shape[0]):
        x, m, w = a[k], mask[k], panel[k, 0]
        if kind == XNOR:
            for j in range(COLUMNS):
                counts[j] -= np.int32(2) * popcount(x ^ w[j])
        elif kind == MASKED:
            for j in range(COLUMNS):
                counts[j] -= np.int32(2) * popcount(m & (x ^ w[j]))
        else:
            negative = panel[k, 1]
            for j in range(COLUMNS):
                both = m & w[j]
                counts[j] += popcount(both) - np.int32(2) * popcount(both & (x ^ negative[j]))


@kernel
def pack(w, packed, first, last):
    """Panels first to last of w, int32 words (planes, columns, words); columns beyond w's are 0."""
    planes, count, words = w.shape
    for p in range(first, last):
        columns = min(COLUMNS, count - p * COLUMNS)
        for plane in range(planes):
            for j in range(columns):
                for k in range(words):
                    packed[p, k, plane, j] = w[plane, p * COLUMNS + j, k]
            for k in range(words):
                for j in range(columns, COLUMNS):
                    packed[p, k, plane, j] = 0


@kernel
def multiply_portable(kind, a, packed, terms, out, first, last):
    """`multiply` without the tiles."""
    counts = np.empty(COLUMNS, np.int32)
    for p in range(packed.shape[0]):
        left = p * COLUMNS
        for i in range(first, last):
            _portable_row(kind, a[-1, i], a[0, i], packed[p], counts)
            for j in range(min(COLUMNS, out.shape[1] - left)):
                out[i, left + j] = terms[i] + counts[j]


@kernel
def multiply(kind, a, packed, terms, out, first, last):
    """Rows first to last of out: terms[row] and what `kind` counts.

    a: int32 words (planes, rows, words), filled up with rows to a multiple of ROWS, as terms are and `first` is one. A panel is
    read once from memory, then by all rows from the cache.
    """
    words, planes, width = packed.shape[1], packed.shape[2], out.shape[1]
    stride, plane, flat = words, a.shape[1] * words, a.reshape(a.size)
    edge = np.zeros((ROWS, COLUMNS), np.int32)
    for k in range(0, words, WORDS):
        count, again = min(WORDS, words - k), 1 if k else 0
        for high in range(first, last, TALL):
            for p in range(packed.shape[0]):
                left, panel = p * COLUMNS, (p * words + k) * planes * COLUMNS
                columns = min(COLUMNS, width - left)
                for top in range(high, min(high + TALL, last), ROWS):
                    rows, row = min(ROWS, last - top), top * words + k
                    whole = rows == ROWS and columns == COLUMNS
                    target, place, size = (out, top * width + left, width) if whole else (edge, 0, COLUMNS)
                    if not whole:
                        copy_tile(out, top, left, edge, 0, 0, rows, columns)
                    if kind == XNOR:
                        _xnor_tile(flat, row, stride, plane, packed, panel, count, terms, top, again, target, place, size)
                    elif kind == MASKED:
                        _masked_tile(flat, row, stride, plane, packed, panel, count, terms, top, again, target, place, size)
                    else:
                        _ternary_tile(flat, row, stride, plane, packed, panel, count, terms, top, again, target, place, size)
                    if not whole:
                        copy_tile(edge, 0, 0, out, top, left, rows, columns)
