"""Dot products of blocks in a float accumulator (rules A2, A3): sums of blocks, or products of elements, become terms."""

import numpy as np

from qsim.kernels.block_dot import TILE, exact_sums, narrow_sums, scale_products
from qsim.kernels.block_steps import (
    MINUS_INF,
    NAN,
    NEGATIVE,
    PLUS_INF,
    TERM,
    TERM_EXPONENT,
    TERM_FLAGS,
    TERM_LOW,
    ZERO,
    sum_terms,
)
from qsim.kernels.float_sum import NEVER, PAIRWISE
from qsim.kernels.jit import helper, kernel
from qsim.kernels.wide_sum import LIMBS


@helper
def special_product(x, w):
    """Flags of the product of elements of these classes: 0 where both are finite."""
    if (x | w) & NAN:
        return np.int64(NAN)
    if (x | w) & (PLUS_INF | MINUS_INF):
        return np.int64(NAN if (x | w) & ZERO else MINUS_INF if (x ^ w) & NEGATIVE else PLUS_INF)
    return np.int64(0)


@helper
def special_products(cx, cw):
    """Flags of the sum of products of elements of these classes."""
    flags = np.int64(0)
    for b in range(cx.size):
        flags |= special_product(np.int64(cx[b]), np.int64(cw[b]))
    return flags


@helper
def row_trace(taps, m, n):
    """The taps of one output; with empty arrays their first, empty, row."""
    return taps[m, n] if taps.size else taps[0, 0]


@helper
def put(t, k, P, L, e, s):
    """Term k: P * 2^16 + L where `wide`, else P; its exponent NEVER where it is zero."""
    t[TERM_EXPONENT, k] = e if P != 0 or L != 0 else np.int64(NEVER)
    t[TERM, k], t[TERM_LOW, k] = (P + (L >> 16), L & 0xFFFF) if s.wide else (P << s.up, np.int64(0))


@helper
def new_leaves(T, p, s):
    """Room for the sums of all steps of a tree."""
    return np.empty((T + s.nfma - 1) // s.nfma if p.order == PAIRWISE else 0, np.int64)


@kernel
def sum_float_blocks(
    o, special, r, scaling, p, s, p32, add, even, like, column, c, out, events, dots, dots_low, scales, terms, terms_low,
    taps,
):  # fmt: skip
    """out (rows, N): float32 patterns of c + sums of blocks.

    special: flags of blocks (rows, J) and (J, columns), classes of elements (rows, J, B) and (J, B, columns); all empty if every
    element is finite. r: the register of a block sum. dots and terms, each with its low 16 bits if wide, scales: taps.
    """
    rows, N = out.shape
    J = o.x.shape[1]
    fx, fw, cx, cw = special
    any_special = fx.size > 0
    pair = o.low.size > 0
    width = min(TILE // 4, max(N, 1))
    D_, v_, low_, scale_ = (
        np.empty(width, like.dtype), np.empty(width, np.int64), np.zeros(width, np.int64), np.ones(width, np.int64),
    )  # fmt: skip
    huge_, flags_ = np.zeros(width, np.int64), np.zeros(width, np.int64)
    tile, leaves, limbs = np.zeros((width, 4, J | 1), np.int64), new_leaves(J, p, s), np.zeros(LIMBS, np.int64)
    for n in range(0, N, width):
        size = min(width, N - n)
        lo, hi = column + n, column + n + size
        D, v, low, scale, huge, flags = D_[:size], v_[:size], low_[:size], scale_[:size], huge_[:size], flags_[:size]
        for m in range(rows):
            for j in range(J):
                exact_sums(o, m, j, lo, hi, D, v, low)
                if any_special:
                    for i in range(size):
                        flags[i] = special_products(cx[m, j], cw[j, :, lo + i]) if fx[m, j] or fw[j, lo + i] else np.int64(0)
                        tile[i, TERM_FLAGS, j] = flags[i]
                        if flags[i]:
                            v[i], low[i] = 0, 0
                narrow_sums(v, low, pair, huge, r, events, j)
                if scaling.has_scale:
                    scale_products(o, m, j, lo, hi, scale, scaling, events)
                shared = np.int64(o.ex[m, j])
                for i in range(size):
                    P, L, e = v[i] * scale[i], low[i] * scale[i], shared + np.int64(o.ew[j, lo + i])
                    if s.wide and not pair:
                        P, L = P >> 16, P & 0xFFFF
                    put(tile[i], j, P, L, e, s)
                    if terms.size:
                        dots[m, n + i, j], dots_low[m, n + i, j], scales[m, n + i, j] = v[i], low[i], scale[i]
                        terms[m, n + i, j], terms_low[m, n + i, j] = P, L
            for i in range(size):
                trace = row_trace(taps, m, n + i)
                out[m, n + i] = sum_terms(
                    tile[i], any_special, J, np.int64(c[m, n + i]), p, s, p32, add, even, leaves, limbs, trace
                )


@kernel
def sum_float_products(
    x, ex, w, ew, special, p, s, p32, add, even, c, out, terms, exponents, taps,
):  # fmt: skip
    """out (rows, N): float32 patterns of c + sums of products of elements.

    x, ex (rows, K) and w, ew (N, K): significands and exponents, the scales inside. special: classes of elements (rows, K) and
    (N, K), or empty.
    """
    rows, N = out.shape
    K = x.shape[1]
    cx, cw = special
    any_special = cx.size > 0
    t, leaves, limbs = np.zeros((4, K), np.int64), new_leaves(K, p, s), np.zeros(LIMBS, np.int64)
    for m in range(rows):
        for n in range(N):
            xs, es, ws, fs = x[m], ex[m], w[n], ew[n]
            for k in range(K):
                P, e = np.int64(xs[k]) * np.int64(ws[k]), np.int64(es[k]) + np.int64(fs[k])
                put(t, k, P >> 16 if s.wide else P, P & 0xFFFF if s.wide else np.int64(0), e, s)
            if any_special:
                for k in range(K):
                    t[TERM_FLAGS, k] = special_products(cx[m, k : k + 1], cw[n, k : k + 1])
            if exponents.size:
                for k in range(K):
                    terms[m, n, k], exponents[m, n, k] = np.int64(xs[k]) * np.int64(ws[k]), np.int64(es[k]) + np.int64(fs[k])
            trace = row_trace(taps, m, n)
            out[m, n] = sum_terms(t, any_special, K, np.int64(c[m, n]), p, s, p32, add, even, leaves, limbs, trace)
