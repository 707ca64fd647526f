"""One element: a float32 bit pattern over a step, rounded once to a code.

Letters: X 24-bit significand of |x|, S 32-bit significand of the step, t = |x| / step. All in int64.
"""

from typing import NamedTuple

import numpy as np

from qsim.kernels.jit import helper
from qsim.kernels.rounding import round_shift

SIGN_MAGNITUDE, TWOS_COMPLEMENT, FLOAT = 0, 1, 2
EXACT, MULTIPLY, DIVIDE = 0, 1, 2
FAR = 40  # a quotient of 2^FAR or more saturates every integer element


class ElementParams(NamedTuple):
    """An element type lowered to integers: the only form that a kernel sees."""

    kind: int  # SIGN_MAGNITUDE, TWOS_COMPLEMENT or FLOAT
    bits: int
    mantissa_bits: int  # FLOAT: M
    emin: int  # FLOAT: exponent of the smallest normal
    max_code: int  # FLOAT: largest finite magnitude code
    overflow_code: int  # FLOAT: magnitude code above it; max_code where it saturates
    inf_code: int  # FLOAT: magnitude code of an infinite input
    nan_code: int  # FLOAT: -1 where there is none
    saturate_positive: int  # FLOAT: 1 where a finite positive overflow gives max_code (directed modes)
    saturate_negative: int
    qmin: int  # integer ends after narrow_range
    qmax: int
    keep_zero_sign: int


class Step(NamedTuple):
    """A divisor of |x|: X * num / (S * 2^e), S in [2^31, 2^32), or the power 2^e where S = 0.

    op MULTIPLY or DIVIDE: t is first the float32 product or quotient of x and `factor` (chains of real stacks).
    """

    op: int
    num: int
    S: int
    e: int
    factor: np.float32


@helper
def normalize24(magnitude):
    """(X, e) with |x| = X * 2^e, X in [2^23, 2^24), from a non-zero float32 magnitude pattern (field 255 counts as finite)."""
    field = magnitude >> 23
    X = magnitude & 0x7FFFFF
    if field != 0:
        return X | np.int64(0x800000), field - np.int64(150)
    e = np.int64(-149)
    while X < 0x800000:
        X <<= 1
        e -= 1
    return X, e


@helper
def quotient(X, e, num, S, es):
    """(Q, e) with X * 2^e * num / (S * 2^es) = Q * 2^e, Q in [2^31, 2^32), its last bit sticky."""
    N = X * num
    while N < np.int64(1) << 38:
        N <<= 1
        e -= 1
    N <<= 24
    Q = N // S
    sticky = np.int64(1) if N - Q * S else np.int64(0)
    e -= np.int64(24) + es
    if Q < np.int64(1) << 31:
        return (Q << 1) | sticky, e - 1
    return Q | sticky, e


@helper
def float_code(sig, width, e, sign, mantissa_bits, emin, add, word):
    """Magnitude code of sig * 2^e (sig in [2^(width-1), 2^width)) on an unbounded ExMy grid; a carry moves into the exponent."""
    lead = e + width - 1
    normal = max(lead, emin)
    return ((normal - emin) << mantissa_bits) + round_shift(sig, normal - mantissa_bits - e, sign, add, word)


@helper
def encode_float(sig, width, e, sign, p, add, word):
    """Code of a finite non-zero value on the element's grid, overflow handled (rule R3)."""
    code = float_code(sig, width, e, sign, p.mantissa_bits, p.emin, add, word)
    if code > p.max_code:
        stays = p.saturate_negative if sign else p.saturate_positive
        code = np.int64(p.max_code) if stays else np.int64(p.overflow_code)
    return code | (sign << (p.bits - 1))


@helper
def encode_integer(sig, width, e, sign, zero_point, p, add, word):
    """Code of a non-zero value in units of the last bit, saturated (two's complement or sign-magnitude)."""
    q = np.int64(1) << FAR if e + width > FAR else round_shift(sig, -e, sign, add, word)
    return integer_code(q, sign, zero_point, p)


@helper
def integer_code(q, sign, zero_point, p):
    """Code of the rounded magnitude q."""
    if p.kind == SIGN_MAGNITUDE:
        q = min(q, np.int64(p.qmax))
        return q | (sign << (p.bits - 1)) if q != 0 or p.keep_zero_sign else q
    value = zero_point - q if sign else zero_point + q
    value = min(max(value, np.int64(p.qmin)), np.int64(p.qmax))
    return value & ((np.int64(1) << p.bits) - 1)


@helper
def encode_element(u, x, step, zero_point, p, add, word):
    """Code of one finite float32: u its bits (int64), x its value."""
    op, num, S, es, factor = step
    sign = u >> 31
    magnitude = u & 0x7FFFFFFF
    if op != EXACT and magnitude != 0:
        t = x * factor if op == MULTIPLY else x / factor
        magnitude = np.int64(np.float32(t).view(np.uint32)) & 0x7FFFFFFF
        es = np.int64(0)
        S = np.int64(0)
    if magnitude == 0:
        return sign << (p.bits - 1) if p.kind == FLOAT else integer_code(np.int64(0), sign, zero_point, p)
    sig, e = normalize24(magnitude)
    width = np.int64(24)
    if S != 0:
        sig, e = quotient(sig, e, num, S, es)
        width = np.int64(32)
    else:
        e -= es
    if p.kind == FLOAT:
        return encode_float(sig, width, e, sign, p, add, word)
    return encode_integer(sig, width, e, sign, zero_point, p, add, word)
