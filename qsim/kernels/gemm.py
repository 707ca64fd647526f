"""Products of byte matrices with vpdpbusd (AVX512-VNNI): int32 sums of u8 * s8, modulo 2^32.

A tile of 6 x 64 sums stays in 24 registers while k runs. Each step takes four consecutive k as one 32-bit word: a word of a, the
same in every lane, times 16 columns of w. `packed` holds w in the order in which tiles read it: [panel of 64 columns, word,
column].
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from qsim.kernels import vector
from qsim.kernels.jit import helper, kernel
from qsim.kernels.vector import I8, I32, I64, Lanes, N, address, load, splat, store, vec

ROWS, COLUMNS = 6, 64
VECTORS = COLUMNS // N
WORDS = 512  # words of K that one pass takes: 128 KB of a panel, which stay in the L2 cache
ONES = 0x01010101


@cache
def available():
    """Whether these kernels are used: where the vector kernels are and the target CPU has AVX512-VNNI."""
    features = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return vector.available() and "+avx512vnni" in features.split(",")


def _dot(total, a, w):
    """Each lane: total + the sum of four products of a's bytes, unsigned, and w's, signed; modulo 2^32."""
    t = vec(I32)
    f = total.b.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), ir.FunctionType(t, [t, t, t]))
    return total.make(total.b.call(f, [total.v, total.lift(a), total.lift(w)]))


@intrinsic
def pack16(typingctx, w, offset, stride, packed, target, flip):
    """Words of 16 columns: rows offset, offset + stride, ... of bytes, each byte XOR flip's."""
    sig = types.int64(w, offset, stride, packed, target, flip)

    def codegen(context, b, signature, args):
        _, offset, stride, _, target, flip = args
        word = splat(b, b.trunc(flip, I32))
        for i in range(4):
            at = b.add(offset, b.mul(stride, ir.Constant(I64, i)))
            word = word ^ (load(b, address(context, b, signature.args[0], args[0], at), I8).to(I32, "zext") << 8 * i)
        store(word, address(context, b, signature.args[3], args[3], target))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def add_bytes16(typingctx, packed, offset, sums, column):
    """Add the four signed bytes of each of 16 words to 16 sums."""
    sig = types.int64(packed, offset, sums, column)

    def codegen(context, b, signature, args):
        word = load(b, address(context, b, signature.args[0], args[0], args[1]), I32)
        place = address(context, b, signature.args[2], args[2], args[3])
        total = load(b, place, I32)
        store(_dot(total, Lanes(b, ir.Constant(vec(I32), [ONES] * N)), word), place)
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def add_tile(typingctx, a, row, stride, packed, panel, words, terms, term, start, corner, start_stride, out, place, out_stride):
    """ROWS x COLUMNS sums from `start`, plus each row's term, plus the products of `words` words, to `out`."""
    sig = types.int64(a, row, stride, packed, panel, words, terms, term, start, corner, start_stride, out, place, out_stride)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        constant = lambda i: ir.Constant(I64, i)  # noqa: E731
        _, row, stride, _, panel, words, _, term, _, corner, start_stride, _, place, out_stride = args
        lanes = [(i, j) for i in range(ROWS) for j in range(VECTORS)]
        cell = lambda corner, stride, i, j: b.add(corner, b.add(b.mul(stride, constant(i)), constant(N * j)))  # noqa: E731
        row_terms = [splat(b, b.load(at(6, b.add(term, constant(i))))) for i in range(ROWS)]
        first = {(i, j): load(b, at(8, cell(corner, start_stride, i, j)), I32) + row_terms[i] for i, j in lanes}
        sums = {lane: cgutils.alloca_once_value(b, value.v) for lane, value in first.items()}
        with cgutils.for_range(b, words) as loop:
            step = b.add(panel, b.mul(loop.index, constant(COLUMNS)))
            columns = [load(b, at(3, b.add(step, constant(N * j))), I32) for j in range(VECTORS)]
            for i in range(ROWS):
                word = splat(b, b.load(at(0, b.add(row, b.add(b.mul(stride, constant(i)), loop.index)))))
                for j in range(VECTORS):
                    b.store(_dot(Lanes(b, b.load(sums[i, j])), word, columns[j]).v, sums[i, j])
        for i, j in lanes:
            store(Lanes(b, b.load(sums[i, j])), at(11, cell(place, out_stride, i, j)))
        return ir.Constant(I64, 0)

    return sig, codegen


@helper
def _sum_panel(packed, panel, sums):
    words = packed.shape[1]
    for j in range(0, COLUMNS, N):
        for k in range(words):
            add_bytes16(packed, (panel * words + k) * COLUMNS + j, sums, panel * COLUMNS + j)


@kernel
def pack_rows(w, flip, packed, sums, first, last):
    """Panels first to last of w, uint8 (4 * words, columns), each byte XOR flip; their column sums."""
    words, flips = packed.shape[1], np.int64(flip) * ONES
    for p in range(first, last):
        for k in range(words):
            for j in range(0, COLUMNS, N):
                pack16(w, 4 * k * w.shape[1] + p * COLUMNS + j, w.shape[1], packed, (p * words + k) * COLUMNS + j, flips)
        _sum_panel(packed, p, sums)


@kernel
def pack_columns(w, flip, packed, sums, first, last):
    """pack_rows of the transpose: w holds the words, int32 (columns, words)."""
    words, flips = packed.shape[1], np.int64(flip) * ONES
    for p in range(first, last):
        for j in range(0, COLUMNS, N):
            for k in range(words):
                for i in range(j, j + N):
                    packed[p, k, i] = w[p * COLUMNS + i, k] ^ flips
        _sum_panel(packed, p, sums)


@helper
def copy_tile(source, from_row, from_column, target, row, column, rows, columns):
    """A rectangle of one matrix into another."""
    for i in range(rows):
        for j in range(columns):
            target[row + i, column + j] = source[from_row + i, from_column + j]


@kernel
def multiply(a, packed, row_terms, column_terms, out, first, last):
    """Rows first to last of out = a * w + row_terms + column_terms.

    a: words, int32 (rows, words), filled up with rows to a multiple of ROWS, as row_terms are and `first` is one; column_terms:
    filled up to whole panels. A panel is read once from memory, then by all rows from the cache.
    """
    words, width = packed.shape[1], out.shape[1]
    start, edge, none = np.empty((ROWS, COLUMNS), np.int32), np.empty((ROWS, COLUMNS), np.int32), np.zeros(ROWS, np.int32)
    for k in range(0, words, WORDS):
        count = min(WORDS, words - k)
        for p in range(packed.shape[0]):
            left, panel = p * COLUMNS, (p * words + k) * COLUMNS
            columns = min(COLUMNS, width - left)
            for i in range(ROWS):
                for j in range(COLUMNS):
                    start[i, j] = column_terms[left + j]
            for top in range(first, last, ROWS):
                rows, row, place = min(ROWS, last - top), top * words + k, top * width + left
                if rows == ROWS and columns == COLUMNS:
                    if k == 0:
                        add_tile(a, row, words, packed, panel, count, row_terms, top, start, 0, COLUMNS, out, place, width)
                    else:
                        add_tile(a, row, words, packed, panel, count, none, 0, out, place, width, out, place, width)
                    continue
                if k == 0:
                    add_tile(a, row, words, packed, panel, count, row_terms, top, start, 0, COLUMNS, edge, 0, COLUMNS)
                else:
                    copy_tile(out, top, left, edge, 0, 0, rows, columns)
                    add_tile(a, row, words, packed, panel, count, none, 0, edge, 0, COLUMNS, edge, 0, COLUMNS)
                copy_tile(edge, 0, 0, out, top, left, rows, columns)
