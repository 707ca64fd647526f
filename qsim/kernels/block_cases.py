"""Block dot products of cases (rule A2): row i of the activations with row i of the weights, packed words in, packed taps out.

The terms of a case pass the registers of block_dot.py, or the steps of block_steps.py, as a tile. Common arguments: words_a,
words_w: uint64 words of the operands. ga, gw: float32 patterns of channel and tensor scales. columns: uint64 words of the taps
and of the result, empty where the unit has none; widths, sizes: of their values, and how many of them.
"""

from typing import NamedTuple

import numpy as np

from qsim.kernels.block_dot import fixed_terms, narrow_sums, one_word, round_scales, trace_terms
from qsim.kernels.block_float import new_leaves, put
from qsim.kernels.block_rows import (
    DOTS,
    DOTS_LOW,
    EXPONENTS,
    FLOAT_ACCUMULATOR,
    FLOAT_RESULT,
    INTEGER_ACCUMULATOR,
    INTEGER_RESULT,
    INTEGER_SUMS,
    ROWS,
    SCALES,
    SIXTEEN,
    SPECIAL,
    SPILL,
    STEPS,
    TERMS,
    TERMS_LOW,
    new_row,
    put_long_taps,
    put_taps,
    read_row,
    sums_of,
    term_flags,
)
from qsim.kernels.block_scale import scaled_float, scaled_integer
from qsim.kernels.block_steps import ALIGNED, HIGH, SUMS, TERM_FLAGS, UP, sum_terms
from qsim.kernels.int_dot import LANE
from qsim.kernels.jit import helper, kernel
from qsim.kernels.requantize import ERROR, narrow_tile
from qsim.kernels.wide_sum import LIMBS, LOWEST

#: Why a case is refused.
NO_NUMBER, OVERFLOW, TOO_LOW = 1, 2, 3
#: Taps in two words: (tap, row of its high words, of the exponents between them, of its low words).
LONG_SUMS = (DOTS, DOTS, SIXTEEN, DOTS_LOW), (TERMS, TERMS, SIXTEEN, TERMS_LOW)
LONG_STEPS = ((STEPS + ALIGNED, STEPS + HIGH, STEPS + UP, STEPS + ALIGNED),)


class Finish(NamedTuple):
    """How a sum becomes the result: its exponent (of integers), the NaN of a float sum, float32."""

    exponent: int
    nan: int
    p32: tuple
    even: np.ndarray


@helper
def scales_of(row_a, row_w, scale, e):
    """Products of the significands, and sums of the exponents, of the scales of every term."""
    for j in range(scale.size):
        p, q = row_a.block_of_term[j], row_w.block_of_term[j]
        scale[j], e[j] = row_a.scale[p] * row_w.scale[q], row_a.shared[p] + row_w.shared[q]


@kernel
def integer_rows(words_a, words_w, a, w, shape, s, c, finish, ga, gw, total, columns, widths, sizes):
    """Blocks summed in integer or fixed-point registers. total: accumulators. Returns (first case refused, why), or (-1, 0)."""
    T = shape.terms
    row_a, row_w = new_row(shape, a), new_row(shape, w)
    taps = np.zeros((ROWS, max(T, 1)), np.int64)
    taps[SIXTEEN] = 16
    v, low, scale, e = taps[TERMS, :T], taps[TERMS_LOW, :T], taps[SCALES, :T], taps[EXPONENTS, :T]
    partial, spill = taps[INTEGER_SUMS, : sizes[INTEGER_SUMS]], taps[SPILL, : sizes[SPILL]]
    huge, fault = np.zeros(T, np.int64), np.array([-1, 0, 0, -1], np.int64)
    events, counts = np.zeros((s.narrows.shape[0], 3), np.int64), np.zeros(s.narrows.shape[0], np.int64)
    errors = s.narrows[:, 0] == ERROR
    any_error = errors.any()
    for i in range(total.size):
        seen = read_row(words_a[i], a, shape, row_a) | read_row(words_w[i], w, shape, row_w)
        if seen & SPECIAL:
            return i, NO_NUMBER
        sums_of(row_a.x, row_w.x, shape, v, low)
        narrow_sums(v, low, shape.wide, huge, s, events, 0)
        scales_of(row_a, row_w, scale, e)
        if c.has_scale:
            round_scales(scale, c, events)
        for j in range(T):
            taps[DOTS, j], taps[DOTS_LOW, j] = v[j], low[j]
        if shape.wide and not c.fixed:
            one_word(v, low)
        for j in range(T):
            v[j] *= scale[j]
            low[j] *= scale[j]
        if c.fixed:
            fixed_terms(v, low, shape.wide, np.int64(c.shift), e, huge, c, s, events, 0)
        else:
            narrow_tile(v, v, s.narrows[LANE, 0], s.narrows[LANE, 1], s.narrows[LANE, 2], events[LANE], 0)
        total[i] = trace_terms(v, s, partial, spill, counts, fault)
        if any_error and (fault[0] >= 0 or (events[: errors.size, 0] * errors).sum()):
            return i, OVERFLOW
        taps[INTEGER_ACCUMULATOR, 0] = total[i]
        if columns[INTEGER_RESULT].size:
            taps[INTEGER_RESULT, 0] = scaled_integer(
                total[i], finish.exponent, np.int64(ga[i]), np.int64(gw[i]), finish.p32, finish.even
            )
        put_taps(taps, sizes, columns, widths, i)
        if shape.wide:
            put_long_taps(taps, sizes, LONG_SUMS[:1], columns, widths, i)
    return np.int64(-1), 0


@kernel
def float_rows(words_a, words_w, a, w, shape, r, c, p, s, add, finish, ga, gw, addends, columns, widths, sizes):
    """Blocks, or products of elements, summed in a float accumulator; the rest as in `integer_rows`.

    r: the register of a block sum. addends: float32 patterns of c.
    """
    T = shape.terms
    row_a, row_w = new_row(shape, a), new_row(shape, w)
    most = 1
    for size in sizes:
        most = max(most, size)
    taps = np.zeros((ROWS, most), np.int64)
    taps[SIXTEEN] = 16
    v, low, P, L = taps[DOTS, :T], taps[DOTS_LOW, :T], taps[TERMS, :T], taps[TERMS_LOW, :T]
    scale, e = taps[SCALES, :T], taps[EXPONENTS, :T]
    trace = taps[STEPS : STEPS + 7]
    t, leaves, limbs = np.zeros((4, T), np.int64), new_leaves(T, p, s), np.zeros(LIMBS, np.int64)
    flags, huge = t[TERM_FLAGS], np.zeros(T, np.int64)
    events, errors = np.zeros((r.narrows.shape[0], 3), np.int64), r.narrows[:, 0] == ERROR
    any_error = errors.any()
    for i in range(addends.size):
        seen = read_row(words_a[i], a, shape, row_a) | read_row(words_w[i], w, shape, row_w)
        special = (seen & SPECIAL) != 0
        if special:
            term_flags(a, w, shape, row_a, row_w, flags)
        if shape.products:
            for k in range(T):
                P[k] = row_a.x[k] * row_w.x[k]
                e[k] = row_a.e[k] + row_w.e[k]
                v[k], low[k] = P[k] >> 16, P[k] & 0xFFFF
        else:
            sums_of(row_a.x, row_w.x, shape, v, low)
        if special:
            for j in range(T):
                if flags[j]:
                    v[j], low[j], P[j] = 0, 0, 0
        if not shape.products:
            narrow_sums(v, low, shape.wide, huge, r, events, 0)
            scales_of(row_a, row_w, scale, e)
            if c.has_scale:
                round_scales(scale, c, events)
            for j in range(T):
                P[j], L[j] = v[j] * scale[j], low[j] * scale[j]
            if any_error and (events[: errors.size, 0] * errors).sum():
                return i, OVERFLOW
        for j in range(T):
            if shape.wide:
                put(t, j, P[j], L[j], e[j], s)
            elif s.wide:
                put(t, j, P[j] >> 16, P[j] & 0xFFFF, e[j], s)
            else:
                put(t, j, P[j], np.int64(0), e[j], s)
            if shape.products and P[j] != 0 and e[j] - s.fraction < LOWEST:
                return i, TOO_LOW
        trace[:SUMS] = 0
        total = sum_terms(t, special, T, np.int64(addends[i]), p, s, finish.p32, add, finish.even, leaves, limbs, trace)
        taps[FLOAT_ACCUMULATOR, 0] = total
        taps[FLOAT_RESULT, 0] = scaled_float(total, np.int64(ga[i]), np.int64(gw[i]), finish.nan, finish.p32, finish.even)
        put_taps(taps, sizes, columns, widths, i)
        if shape.wide:
            put_long_taps(taps, sizes, LONG_SUMS, columns, widths, i)
        if s.wide:
            put_long_taps(taps, sizes, LONG_STEPS, columns, widths, i)
    return np.int64(-1), 0
