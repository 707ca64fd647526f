"""Terms of a float sum in int64: taken apart, added, rounded once into the result (rule A3).

Letters: X 24-bit significand of an operand, P product of two; a term is P * 2^(e - 46) with P < 2^48 and e the exponent that the
unit gives it. An addend has P = X * 2^23, so that products and addends share one form.
"""

from typing import NamedTuple

import numpy as np

from qsim.kernels.element import float_code
from qsim.kernels.jit import helper
from qsim.kernels.wide_sum import bit_length

TRUNC, FLOOR, HALF_EVEN, EXACT = 0, 1, 2, 3
ASCENDING, ODD_FIRST, PAIRWISE = 0, 1, 2
INF = 0x7F800000
SCALE = 46  # fraction bits of a term
GUARD = 12  # zero bits below a 48-bit term in a sum of two
SIGN = 1 << 31
NEVER = -1000  # exponent of a zero term: below every other one


class DotParams(NamedTuple):
    """A float accumulator and two operand formats lowered to integers."""

    nfma: int
    alignment: int  # TRUNC, FLOOR, HALF_EVEN or EXACT
    fraction: int  # F
    min_exponent: int
    late: bool
    order: int
    promote_every: int  # 0: never
    daz: bool
    ftz: bool
    signed_zero: bool
    overflow: int  # float32 magnitude of an overflow
    nan: int  # float32 pattern
    emin_a: int
    emin_b: int
    out_fraction: int
    out_emin: int
    out_max: int  # magnitude code of the largest finite result


@helper
def unpack(bits, emin, daz):
    """(X, e) of a finite float32 pattern, |value| = X * 2^(e - 23), e not below emin; X = 0 where daz flushes it."""
    field = (bits >> 23) & 255
    X = (bits & 0x7FFFFF) | (np.int64(0x800000) if field != 0 else np.int64(0))
    e = max(field, np.int64(1)) - 127
    lowest = max(e, np.int64(emin))
    X >>= min(lowest - e, np.int64(63))  # exact: the format has no bits below
    if daz and X < 0x800000:
        X = np.int64(0)
    return X, lowest


@helper
def is_special(bits):
    """NaN or infinity."""
    return bits & INF == INF


@helper
def special_product(x, y):
    """0: finite, 1: +Inf, 2: -Inf, 4: NaN, of a product where x or y is no finite number."""
    if x & 0x7FFFFFFF > INF or y & 0x7FFFFFFF > INF or x & 0x7FFFFFFF == 0 or y & 0x7FFFFFFF == 0:
        return 4
    return 2 if (x ^ y) >> 31 else 1


@helper
def special_sum(flags, nan):
    """The float32 pattern of a sum whose special terms are `flags`."""
    if flags >= 3:
        return np.int64(nan)
    return np.int64(INF) if flags == 1 else np.int64(INF | SIGN)


@helper
def widen(code, mantissa_bits, emin):
    """The float32 magnitude pattern of a magnitude code of an ExMy type whose values float32 has."""
    if emin == -126:
        return code << (23 - mantissa_bits)
    if code >> mantissa_bits == 0:
        if code == 0:
            return code
        up = mantissa_bits + 1 - bit_length(code)  # a subnormal there is normal here
        return (((code << up) - (np.int64(1) << mantissa_bits)) << (23 - mantissa_bits)) + ((emin - up + 127) << 23)
    return (code << (23 - mantissa_bits)) + ((emin + 126) << 23)


@helper
def round_result(sig, e, sign, minus, p, add):
    """The float32 pattern of sig * 2^e (sig in 0..2^62) rounded once into the result's type; `minus`: sign of an exact zero."""
    if sig == 0:
        return minus << 31
    width = bit_length(sig)
    code = float_code(sig, width, e, sign, p.out_fraction, p.out_emin, add, np.int64(0))
    if p.ftz and e + width - 1 < p.out_emin:
        # Tiny is what stays below the smallest normal after rounding with an unbounded exponent.
        lead = e + width - 1
        grown = float_code(sig, width, e, sign, p.out_fraction, lead, add, np.int64(0)) >> (p.out_fraction + 1)
        code = np.int64(1) << p.out_fraction if grown and lead + 1 == p.out_emin else np.int64(0)
    if code == 0 and not p.signed_zero:
        return np.int64(0)
    magnitude = np.int64(p.overflow) if code > p.out_max else widen(code, p.out_fraction, p.out_emin)
    return magnitude | (sign << 31)


@helper
def sum_of_two(P, e, negative, Q, f, minus_q):
    """(sig, exponent of its last bit, sign) of the sum of two terms, its last bit sticky; P, Q < 2^48.

    Both are first normalised to 48 bits. An alignment by more than GUARD bits cancels at most one bit, so that at least
    58 bits stand above the sticky one; a shorter alignment loses nothing.
    """
    if P == 0 or Q == 0:
        return (Q, f - SCALE, minus_q) if P == 0 else (P, e - SCALE, negative)
    up, down = 48 - bit_length(P), 48 - bit_length(Q)
    P <<= up + GUARD
    Q <<= down + GUARD
    e -= up
    f -= down
    if e < f:
        P, Q, e, f, negative, minus_q = Q, P, f, e, minus_q, negative
    shift = min(e - f, np.int64(62))
    kept = Q >> shift
    if (kept << shift) != Q:
        kept |= 1
    total = P - kept if negative != minus_q else P + kept
    if total < 0:
        total = -total
        negative = minus_q
    return total, e - SCALE - GUARD, negative


@helper
def add32(x, y, nan, p32, even):
    """One IEEE 754 float32 addition, half_even; p32 the parameters of a float32 result."""
    flags = 0
    for bits in (x, y):
        if is_special(bits):
            flags |= 4 if bits & 0x7FFFFFFF > INF else 2 if bits >> 31 else 1
    if flags:
        return special_sum(flags, nan)
    X, e = unpack(x, -126, False)
    Y, f = unpack(y, -126, False)
    sig, last, sign = sum_of_two(X << 23, e, x >> 31, Y << 23, f, y >> 31)
    return round_result(sig, last, sign, (x >> 31) & (y >> 31), p32, even)
