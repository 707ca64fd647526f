"""Products of packed bits: popcounts of 32-bit words, of binary words and of ternary planes (rule B).

A tile of ROWS x COLUMNS sums stays in registers while k runs: a word of a, the same in every lane, against the words of 16
columns of w. `packed` holds w in the order in which tiles read it: [panel of COLUMNS columns, word, plane, column].

What a word adds to a sum, for planes of a and of w:

    XNOR      signs; signs                                -2 |a ^ w|
    MASKED    nonzero, positive; signs                    -2 |nonzero & (positive ^ w)|
    TERNARY   nonzero, negative; nonzero, negative        |both| - 2 |both & (negative ^ negative)|, both = nonzero & nonzero
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from qsim.kernels import vector
from qsim.kernels.jit import JIT, helper, kernel
from qsim.kernels.vector import I32, I64, Lanes, N, address, load, splat, store, vec

ROWS, COLUMNS = 6, 64
WORDS = 512  # words of K that one pass takes: 128 KB of a panel, which stay in the L2 cache
XNOR, MASKED, TERNARY = 0, 1, 2
A_PLANES, W_PLANES = (1, 2, 2), (1, 1, 2)


@cache
def available():
    """Whether the vector kernels are used: where those of vector.py are and the target CPU has AVX512-VPOPCNTDQ."""
    features = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return vector.available() and "+avx512vpopcntdq" in features.split(",")


def _count(x):
    """Each lane: how many bits are 1."""
    f = x.b.module.declare_intrinsic("llvm.ctpop.v16i32", (), ir.FunctionType(vec(I32), [vec(I32)]))
    return x.make(x.b.call(f, [x.v]))


def _tile(a_planes, w_planes, weights, step):
    """The intrinsic of a tile: out = terms, or out where `again`, plus each weight times what the Lanes of `step(a, w)` count.

    a: int32 (planes, rows, words), flat: `stride` from row to row, `plane` from plane to plane.
    """
    vectors, counters = COLUMNS // N, range(len(weights))
    at_once = vectors // len(weights)  # 24 sums, which with their operands fill the 32 registers

    @intrinsic
    def add_tile(typingctx, a, row, stride, plane, packed, panel, words, terms, term, again, out, place, width):
        sig = types.int64(a, row, stride, plane, packed, panel, words, terms, term, again, out, place, width)

        def codegen(context, b, signature, args):
            at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
            constant = lambda i: ir.Constant(I64, i)  # noqa: E731
            shifted = lambda start, step, i: b.add(start, b.mul(step, constant(i)))  # noqa: E731
            _, row, stride, plane, _, panel, words, _, term, again, _, place, width = args
            cells = [(i, j) for i in range(ROWS) for j in range(vectors)]
            totals = {(*c, s): cgutils.alloca_once_value(b, ir.Constant(vec(I32), [0] * N)) for c in cells for s in counters}
            for first in range(0, vectors, at_once):
                with cgutils.for_range(b, words) as loop:
                    here = shifted(panel, loop.index, COLUMNS * w_planes)
                    columns = {
                        j: [load(b, at(4, b.add(here, constant(COLUMNS * p + N * j))), I32) for p in range(w_planes)]
                        for j in range(first, first + at_once)
                    }
                    for i in range(ROWS):
                        word = b.add(shifted(row, stride, i), loop.index)
                        words_of_row = [splat(b, b.load(at(0, shifted(word, plane, p)))) for p in range(a_planes)]
                        for j, words_of_columns in columns.items():
                            for s, bits in enumerate(step(words_of_row, words_of_columns)):
                                total = Lanes(b, b.load(totals[i, j, s])) + _count(bits)
                                b.store(total.v, totals[i, j, s])
            targets = {(i, j): at(10, b.add(shifted(place, width, i), constant(N * j))) for i, j in cells}
            starts = {(i, j): cgutils.alloca_once_value(b, splat(b, b.load(at(7, b.add(term, constant(i))))).v) for i, j in cells}
            with b.if_then(b.icmp_unsigned("!=", again, constant(0))):
                for c in cells:
                    b.store(load(b, targets[c], I32).v, starts[c])
            for c in cells:
                value = Lanes(b, b.load(starts[c]))
                for s in counters:
                    value = value + Lanes(b, b.load(totals[*c, s])) * weights[s]
                store(value, targets[c])
            return constant(0)

        return sig, codegen

    return add_tile


def _ternary_step(a, w):
    both = a[0] & w[0]
    return [both, both & (a[1] ^ w[1])]


_xnor_tile = _tile(1, 1, (-2,), lambda a, w: [a[0] ^ w[0]])
_masked_tile = _tile(2, 1, (-2,), lambda a, w: [a[0] & (a[1] ^ w[0])])
_ternary_tile = _tile(2, 2, (1, -2), _ternary_step)

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
def _portable_row(kind, a, masks, panel, start, counts):
    """counts[j]: what `kind` counts for a row's words and column j of words start to start + len(a) of a panel."""
    counts[:] = 0
    for k in range(a.shape[0]):
        x, mask, w = a[k], masks[k], panel[start + k, 0]
        if kind == XNOR:
            for j in range(COLUMNS):
                counts[j] -= np.int32(2) * popcount(x ^ w[j])
        elif kind == MASKED:
            for j in range(COLUMNS):
                counts[j] -= np.int32(2) * popcount(mask & (x ^ w[j]))
        else:
            negative = panel[start + k, 1]
            for j in range(COLUMNS):
                both = mask & w[j]
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


@helper
def _copy(source, from_row, from_column, target, row, column, rows, columns):
    for i in range(rows):
        for j in range(columns):
            target[row + i, column + j] = source[from_row + i, from_column + j]


@kernel
def multiply(kind, fast, a, packed, terms, out, first, last):
    """Rows first to last of out: terms[row] and what `kind` counts.

    a: int32 words (planes, rows, words), filled up with rows to a multiple of ROWS, as terms are and `first` is one. A panel is
    read once from memory, then by all rows from the cache. fast: by the vector tiles, else by portable loops; the same bits.
    """
    words, planes, width = packed.shape[1], packed.shape[2], out.shape[1]
    stride, plane, flat = words, a.shape[1] * words, a.reshape(a.size)
    edge, counts = np.zeros((ROWS, COLUMNS), np.int32), np.empty(COLUMNS, np.int32)
    for k in range(0, words, WORDS):
        count, again = min(WORDS, words - k), 1 if k else 0
        for p in range(packed.shape[0]):
            left, panel = p * COLUMNS, (p * words + k) * planes * COLUMNS
            columns = min(COLUMNS, width - left)
            for top in range(first, last, ROWS):
                rows, row = min(ROWS, last - top), top * words + k
                if not fast:
                    for i in range(top, top + rows):
                        _portable_row(kind, a[-1, i, k : k + count], a[0, i, k : k + count], packed[p], k, counts)
                        for j in range(columns):
                            out[i, left + j] = counts[j] + (out[i, left + j] if k else terms[i])
                    continue
                whole = rows == ROWS and columns == COLUMNS
                target, place, size = (out, top * width + left, width) if whole else (edge, 0, COLUMNS)
                if not whole:
                    _copy(out, top, left, edge, 0, 0, rows, columns)
                if kind == XNOR:
                    _xnor_tile(flat, row, stride, plane, packed, panel, count, terms, top, again, target, place, size)
                elif kind == MASKED:
                    _masked_tile(flat, row, stride, plane, packed, panel, count, terms, top, again, target, place, size)
                else:
                    _ternary_tile(flat, row, stride, plane, packed, panel, count, terms, top, again, target, place, size)
                if not whole:
                    _copy(edge, 0, 0, out, top, left, rows, columns)
