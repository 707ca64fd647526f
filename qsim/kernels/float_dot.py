"""Rows of float products, summed as a unit with few bits sums them (rule A3). Letters as in float_sum.py."""

from typing import NamedTuple

import numpy as np

from qsim.kernels.float_sum import (
    EXACT,
    FLOOR,
    HALF_EVEN,
    INF,
    NEVER,
    ODD_FIRST,
    PAIRWISE,
    SCALE,
    SIGN,
    TRUNC,
    add32,
    is_special,
    round_result,
    special_product,
    special_sum,
    sum_of_two,
    unpack,
)
from qsim.kernels.jit import helper, kernel
from qsim.kernels.wide_sum import LIMBS, round_wide, wide_add


class Row(NamedTuple):
    """The products of one row in the order of the unit, filled up with zero products."""

    P: np.ndarray  # signed
    e: np.ndarray  # NEVER for a zero product
    minus: np.ndarray  # sign bit, also of a zero
    special: np.ndarray  # 0: finite, 1: +Inf, 2: -Inf, 4: NaN


@helper
def multiply_row(a, b, r, p, row):
    """Fill `row` with the products of row r; true if one of them is no finite number."""
    K = a.shape[1]
    swap = 1 if p.order == ODD_FIRST else 0
    found = np.int64(0)
    for j in range(K):
        x, y = np.int64(a[r, j]), np.int64(b[r, j])
        X, ea = unpack(x, p.emin_a, p.daz)
        Y, eb = unpack(y, p.emin_b, p.daz)
        minus = (x ^ y) >> 31
        P = X * Y
        k = j ^ swap
        row.P[k] = (P ^ -minus) + minus
        row.e[k] = ea + eb if P != 0 else np.int64(NEVER)
        row.minus[k] = minus
        found |= (x & INF) + 0x800000 | (y & INF) + 0x800000
    if found < SIGN:
        return False
    for j in range(K):
        x, y = np.int64(a[r, j]), np.int64(b[r, j])
        row.special[j ^ swap] = 0
        if is_special(x) or is_special(y):
            X, _ = unpack(x, p.emin_a, p.daz)
            Y, _ = unpack(y, p.emin_b, p.daz)
            row.special[j ^ swap] = special_product(x, y) if X != 0 and Y != 0 else 4
    return True


@helper
def cut(P, shift, alignment):
    """P / 2^shift rounded to an integer, P signed, shift from 1 on."""
    shift = min(shift, np.int64(62))
    if alignment == FLOOR:
        return P >> shift
    magnitude = abs(P)
    kept = magnitude >> shift
    if alignment == HALF_EVEN:
        rest = magnitude - (kept << shift)
        half = np.int64(1) << (shift - 1)
        kept += np.int64(1) if rest > half or (rest == half and kept & 1) else np.int64(0)
    return kept if P >= 0 else -kept


@helper
def aligned_sum(row, lo, hi, E, p):
    """The products cut to multiples of 2^(E-F) and summed: exact, F + carry bits."""
    base = SCALE - p.fraction + E
    total = np.int64(0)
    if p.alignment == TRUNC:
        for k in range(lo, hi):
            total += cut(row.P[k], base - row.e[k], TRUNC)
    else:
        for k in range(lo, hi):
            total += cut(row.P[k], base - row.e[k], p.alignment)
    return total


@helper
def exact_sum(row, lo, hi, Q, f, limbs):
    """(sig, exponent of its last bit, sign) of the products and of Q * 2^(f - 46), nothing lost but into a sticky last bit."""
    n = 1 if Q != 0 else 0
    P, e = np.int64(0), np.int64(0)
    for k in range(lo, hi):
        if row.P[k] != 0:
            n += 1
            P, e = row.P[k], row.e[k]
    if n <= 1 or (n == 2 and Q != 0):
        return sum_of_two(abs(P), e, np.int64(P < 0), abs(Q), f, np.int64(Q < 0))
    for k in range(lo, hi):
        if row.P[k] != 0:
            wide_add(limbs, abs(row.P[k]), row.e[k] - SCALE, row.P[k] < 0)
    if Q != 0:
        wide_add(limbs, abs(Q), f - SCALE, Q < 0)
    return round_wide(limbs)


@helper
def step(row, special, lo, hi, c, with_c, p, add, limbs):
    """Products lo..hi-1 and c, summed and rounded: a float32 pattern."""
    if special or (with_c and is_special(c)):
        flags = np.int64(0)
        for k in range(lo, hi):
            flags |= row.special[k] if special else np.int64(0)
        if with_c and is_special(c):
            flags |= 4 if c & 0x7FFFFFFF > INF else 2 if c >> 31 else 1
        if flags:
            return special_sum(flags, p.nan)
    minus = np.int64(p.signed_zero)
    if p.signed_zero:
        for k in range(lo, hi):
            minus &= row.minus[k]
    Q, f = np.int64(0), np.int64(NEVER)
    if with_c:
        X, e = unpack(c, p.out_emin, p.daz)
        minus &= c >> 31
        if X != 0:
            Q, f = -(X << 23) if c >> 31 else X << 23, e
    if p.alignment == EXACT:
        sig, last, sign = exact_sum(row, lo, hi, Q, f, limbs)
        return round_result(sig, last, sign, minus, p, add)
    E = max(np.int64(p.min_exponent), f)
    for k in range(lo, hi):
        E = max(E, row.e[k])
    total = aligned_sum(row, lo, hi, E, p) + cut(Q, SCALE - p.fraction + E - f, p.alignment)
    return round_result(abs(total), E - p.fraction, np.int64(total < 0), minus, p, add)


@helper
def chain(row, special, lo, hi, c, p, p32, add, even, leaves, limbs):
    """Products lo..hi-1 of the row from c on."""
    if p.order == PAIRWISE:
        n = 0
        for k in range(lo, hi, p.nfma):
            leaves[n] = step(row, special, k, k + p.nfma, c, False, p, add, limbs)
            n += 1
        while n > 1:
            for i in range(n // 2):
                leaves[i] = add32(leaves[2 * i], leaves[2 * i + 1], p.nan, p32, even)
            if n & 1:
                leaves[n // 2] = leaves[n - 1]
            n = (n + 1) // 2
        return add32(leaves[0], c, p.nan, p32, even) if n else c
    for k in range(lo, hi, p.nfma):
        result = step(row, special, k, k + p.nfma, c, not p.late, p, add, limbs)
        c = add32(result, c, p.nan, p32, even) if p.late else result
    return c


@kernel
def dot_rows(a, b, c, out, p, p32, add, even):
    """out[r] = c[r] + sum of a[r, k] * b[r, k]: float32 patterns; p32 and even: a float32 result, half_even."""
    period = max(p.nfma, 2) if p.order == ODD_FIRST else p.nfma
    padded = (a.shape[1] + period - 1) // period * period
    zero = np.zeros(padded, np.int64)
    row = Row(zero, np.full(padded, np.int64(NEVER)), zero.copy(), zero.copy())
    limbs = np.zeros(LIMBS, np.int64)
    leaves = np.empty(padded // p.nfma if p.order == PAIRWISE else 0, np.int64)
    every = p.promote_every
    for r in range(out.shape[0]):
        special = multiply_row(a, b, r, p, row)
        total = np.int64(c[r])
        if every == 0:
            total = chain(row, special, 0, padded, total, p, p32, add, even, leaves, limbs)
        else:
            for lo in range(0, padded, every):
                part = chain(row, special, lo, min(lo + every, padded), np.int64(0), p, p32, add, even, leaves, limbs)
                total = add32(total, part, p.nan, p32, even)
        out[r] = total


@kernel
def first_outside(u, mantissa_bits, emin, largest, infinity, nan):
    """Index of the first float32 pattern that is no value of an ExMy type, or -1; largest: its float32 magnitude pattern."""
    low = (np.int64(1) << (23 - mantissa_bits)) - 1
    smallest = np.int64(emin + 127) << 23 if emin > -126 else np.int64(0)
    for i in range(u.shape[0]):
        magnitude = np.int64(u[i]) & 0x7FFFFFFF
        if magnitude & low == 0 and smallest <= magnitude <= largest:
            continue
        if magnitude >= INF:
            if infinity if magnitude == INF else nan:
                continue
            return i
        if magnitude == 0:
            continue
        if magnitude > largest or magnitude >= smallest:
            return i
        X = magnitude & 0x7FFFFF
        e = np.int64(-126)
        if magnitude >> 23:
            X |= 0x800000
            e = (magnitude >> 23) - 127
        drop = emin - mantissa_bits - (e - 23)  # bits below the format's last one
        if drop > 24 or X & ((np.int64(1) << drop) - 1):
            return i
    return -1
