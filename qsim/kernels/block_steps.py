"""Terms of blocks, or of their elements, in a float accumulator (rules A2, A3): steps, chains of them, promotion.

A term is P * 2^(e - fraction), P signed, e its exponent. It is kept as H * 2^16 + L with 0 <= L < 2^16 where the sums of a step
may need more than 64 bits (`wide`); else as P * 2^up alone.
"""

from typing import NamedTuple

import numpy as np

from qsim.kernels.float_dot import cut
from qsim.kernels.float_sum import (
    EXACT,
    FLOOR,
    HALF_EVEN,
    INF,
    NEVER,
    PAIRWISE,
    add32,
    is_special,
    round_result,
    special_sum,
    unpack,
)
from qsim.kernels.jit import helper
from qsim.kernels.wide_sum import round_wide, wide_add

PLUS_INF, MINUS_INF, NAN, ZERO, NEGATIVE = 1, 2, 4, 8, 16  # of an element: 0 is a finite number above zero


class Steps(NamedTuple):
    """A float accumulator of terms in integers."""

    nfma: int
    every: int  # terms from one promotion to the next; 0: never
    fraction: int  # fraction bits of a term
    wide: bool
    up: int  # a term, or c, is kept 2^up times as large, so that its cut bits are never negative
    base: int  # bits cut from a term of the largest exponent
    up_c: int
    base_c: int


# Rows of the terms of one output, (4, T); TERM_FLAGS: 0, or PLUS_INF | MINUS_INF | NAN.
TERM, TERM_LOW, TERM_EXPONENT, TERM_FLAGS = range(4)
# Rows of the taps of one output, (7, size), or (7, 0); an aligned term is HIGH * 2^UP + ALIGNED.
LARGEST, ALIGNED, HIGH, UP, ALIGNED_C, SUMS, PROMOTED = range(7)


@helper
def reduce(P, shift, alignment):
    """P / 2^shift rounded to an integer."""
    return cut(P, shift, alignment) if shift > 0 else P


@helper
def reduce_wide(H, L, r, alignment):
    """(A, up, B) with A * 2^up + B = (H * 2^16 + L) / 2^r rounded to an integer, any r; |H| < 2^60."""
    if r > 16:
        return np.int64(0), np.int64(0), cut((H << 1) | np.int64(L != 0), r - 15, alignment)
    if r <= 0:
        return H, 16 - r, L << -r
    kept = L >> r
    rest = L - (kept << r)
    half = np.int64(1) << (r - 1)
    odd = H & 1 if r == 16 else kept & 1
    if alignment == HALF_EVEN:
        kept += np.int64(rest > half or (rest == half and odd == 1))
    elif alignment != FLOOR:
        kept += np.int64(rest != 0 and H < 0)  # toward zero
    return H, 16 - r, kept


@helper
def add_signed(limbs, P, e):
    """Add P * 2^e."""
    if P != 0:
        wide_add(limbs, abs(P), e, P < 0)


@helper
def wide_step(t, lo, hi, Q, f, E, p, s, limbs, trace):
    """(sig, exponent, sign) of terms and c in a sum of any width."""
    exact = p.alignment == EXACT
    for k in range(lo, hi):
        if t[TERM_EXPONENT, k] == NEVER:
            continue
        e = t[TERM_EXPONENT, k] - s.fraction
        if exact:
            add_signed(limbs, t[TERM, k], e + 16)
            add_signed(limbs, t[TERM_LOW, k], e)
        else:
            A, up, B = reduce_wide(t[TERM, k], t[TERM_LOW, k], E - p.fraction - e, p.alignment)
            add_signed(limbs, A, E - p.fraction + up)
            add_signed(limbs, B, E - p.fraction)
            if trace.size:
                trace[ALIGNED, k], trace[HIGH, k], trace[UP, k] = B, A, up
    if Q != 0:
        if exact:
            add_signed(limbs, Q, f - 23)
        else:
            cut_c = reduce(Q << s.up_c, E - f + s.base_c, p.alignment)
            add_signed(limbs, cut_c, E - p.fraction)
    return round_wide(limbs)


@helper
def only_term(t, lo, hi, s):
    """The one term of a step that is not zero and fits 61 bits as (True, P, exponent), or (False, ...)."""
    P, e, count = np.int64(0), np.int64(0), 0
    for k in range(lo, hi):
        if t[TERM_EXPONENT, k] != NEVER:
            count += 1
            P, e = t[TERM, k], t[TERM_EXPONENT, k] - s.fraction
            L = t[TERM_LOW, k]
    if count == 0:
        return True, P, e
    if count > 1 or not -(np.int64(1) << 44) < P < np.int64(1) << 44:
        return False, P, e
    return True, (P << 16) | L, e


@helper
def step(t, special, lo, hi, c, with_c, p, s, add, limbs, trace, number):
    """Terms lo..hi-1 and c, summed and rounded: a float32 pattern."""
    flags = np.int64(0)
    if special:
        for k in range(lo, hi):
            flags |= t[TERM_FLAGS, k]
    if with_c and is_special(c):
        flags |= NAN if c & 0x7FFFFFFF > INF else MINUS_INF if c >> 31 else PLUS_INF
    if flags:
        return special_sum(flags, p.nan)
    minus = np.int64(p.signed_zero)
    if p.signed_zero:
        for k in range(lo, hi):
            minus &= np.int64(t[TERM, k] < 0)
    Q, f = np.int64(0), np.int64(NEVER)
    if with_c:
        X, e = unpack(c, p.out_emin, False)
        minus &= c >> 31
        if X != 0:
            Q, f = -X if c >> 31 else X, e
    if p.alignment == EXACT:
        if Q == 0:
            one, P, e = only_term(t, lo, hi, s)
            if one:
                return round_result(abs(P), e, np.int64(P < 0), minus, p, add)
        sig, last, sign = wide_step(t, lo, hi, Q, f, np.int64(0), p, s, limbs, trace)
        return round_result(sig, last, sign, minus, p, add)
    E = max(np.int64(p.min_exponent), f)
    for k in range(lo, hi):
        E = max(E, t[TERM_EXPONENT, k])
    if trace.size:
        trace[LARGEST, number] = E if E != NEVER else 0
        if with_c:
            trace[ALIGNED_C, number] = reduce(Q << s.up_c, E - f + s.base_c, p.alignment)
    if s.wide:
        sig, last, sign = wide_step(t, lo, hi, Q, f, E, p, s, limbs, trace)
        return round_result(sig, last, sign, minus, p, add)
    total = reduce(Q << s.up_c, E - f + s.base_c, p.alignment)
    for k in range(lo, hi):
        aligned = reduce(t[TERM, k], E - t[TERM_EXPONENT, k] + s.base, p.alignment)
        total += aligned
        if trace.size:
            trace[ALIGNED, k] = aligned
    return round_result(abs(total), E - p.fraction, np.int64(total < 0), minus, p, add)


@helper
def chain(t, special, lo, hi, c, p, s, p32, add, even, leaves, limbs, trace, number, sums):
    """Terms lo..hi-1 from c on; number, sums: steps and partial sums so far. Returns the total and the partial sums."""
    traced = trace.size > 0
    if p.order == PAIRWISE:
        n = 0
        for k in range(lo, hi, s.nfma):
            leaves[n] = step(t, special, k, min(k + s.nfma, hi), c, False, p, s, add, limbs, trace, number + n)
            if traced:
                trace[SUMS, sums] = leaves[n]
                sums += 1
            n += 1
        while n > 1:
            for i in range(n // 2):
                leaves[i] = add32(leaves[2 * i], leaves[2 * i + 1], p.nan, p32, even)
                if traced:
                    trace[SUMS, sums] = leaves[i]
                    sums += 1
            if n & 1:
                leaves[n // 2] = leaves[n - 1]
            n = (n + 1) // 2
        return (add32(leaves[0], c, p.nan, p32, even) if n else c), sums
    for k in range(lo, hi, s.nfma):
        result = step(t, special, k, min(k + s.nfma, hi), c, not p.late, p, s, add, limbs, trace, number)
        c = add32(result, c, p.nan, p32, even) if p.late else result
        number += 1
        if traced:
            trace[SUMS, sums] = c
            sums += 1
    return c, sums


@helper
def sum_terms(t, special, T, c, p, s, p32, add, even, leaves, limbs, trace):
    """c and all T terms of one output."""
    if s.every == 0:
        total, _ = chain(t, special, 0, T, c, p, s, p32, add, even, leaves, limbs, trace, 0, 0)
        return total
    number, sums, promotions = 0, 0, 0
    for lo in range(0, T, s.every):
        hi = min(lo + s.every, T)
        part, sums = chain(t, special, lo, hi, np.int64(0), p, s, p32, add, even, leaves, limbs, trace, number, sums)
        number += (hi - lo + s.nfma - 1) // s.nfma
        c = add32(c, part, p.nan, p32, even)
        if trace.size:
            trace[PROMOTED, promotions] = c
            promotions += 1
    return c
