"""Scales chosen from the statistics of a group (rules S2 to S9), as codes; and a scale code as the divisor of an element.

Float64 is used where its result is provably the exact one: a quotient of p-bit by r-bit integers is never nearer than 2^-(p+r+1)
(relative) to a tie of a narrower type without being that tie, and p + r + 1 < 53 in every use here.
"""

import math

import numpy as np

from qsim.kernels.element import normalize24
from qsim.kernels.jit import helper, kernel
from qsim.kernels.rounding import round_shift

FLOOR, EVEN, CEIL, RCEIL, NO_OVERFLOW = 0, 1, 2, 3, 4
OVERFLOWED = -1
NEAREST_EVEN = np.array([0x7FFFFFFF, 0x80000000, 0x7FFFFFFF, 0x80000000], dtype=np.int64)


@helper
def power_of_two(e):
    """2^e as float64, e in -1022..1023, from its bits."""
    return np.int64((np.int64(e) + np.int64(1023)) << np.int64(52)).view(np.float64)


@helper
def float64_to_code(value, mantissa_bits, emin):
    """Magnitude code of a positive float64, half_even, on an unbounded ExMy grid."""
    fraction, e = math.frexp(value)
    sig = np.int64(fraction * 9007199254740992.0)
    e = np.int64(e) - 53
    lead = e + 52
    normal = max(lead, emin)
    zero = np.int64(0)
    return ((normal - emin) << mantissa_bits) + round_shift(sig, normal - mantissa_bits - e, zero, NEAREST_EVEN, zero)


@helper
def float_scale(value, mantissa_bits, emin, max_code, saturate):
    """Code of a positive scale: at least the smallest positive code, OVERFLOWED or the largest above the range (rule S9)."""
    code = float64_to_code(value, mantissa_bits, emin)
    if code > max_code:
        return np.int64(max_code) if saturate else np.int64(OVERFLOWED)
    return max(code, np.int64(1))


@kernel
def float_scales(values, mantissa_bits, emin, max_code, saturate, codes):
    """codes[i] of positive float64 values, others keep theirs; returns -1, or the number of the first above the range."""
    for i in range(values.shape[0]):
        if values[i] > 0.0:
            code = float_scale(values[i], mantissa_bits, emin, max_code, saturate)
            if code < 0:
                return i
            codes[i] = code
    return -1


@helper
def float_parts(code, mantissa_bits, emin):
    """(significand, exponent) of a positive finite float code: value = significand * 2^exponent, exact."""
    field = code >> mantissa_bits
    sig = code & ((np.int64(1) << mantissa_bits) - 1)
    if field != 0:
        return sig | (np.int64(1) << mantissa_bits), field - 1 + emin - mantissa_bits
    return sig, np.int64(emin) - mantissa_bits


@helper
def normalize32(sig, e):
    """(S, e) with S in [2^31, 2^32) and the same value; sig in 1..2^32 - 1."""
    while sig < np.int64(1) << 31:
        sig <<= 1
        e -= 1
    return sig, e


@helper
def shared_exponent(amax, rule, emax, half_ulp, max_sig, max_e, mantissa_bits, max_code, emin):
    """E8M0 code of rule S3 from the largest magnitude pattern of a block (0 < amax, finite).

    emax: of the element; half_ulp: 2^(22-k); the largest element is max_sig * 2^max_e, max_sig in [2^23, 2^24);
    mantissa_bits, max_code, emin: the element's grid (`element_grid` of the codec).
    """
    e = (amax >> 23) - 127 - emax
    if rule == EVEN:
        e = ((amax + half_ulp) >> 23) - 127 - emax
    elif rule == CEIL:
        if amax & 0x7FFFFF:
            e += 1
    elif rule == RCEIL:
        X, ex = normalize24(amax)
        e = ex - max_e
        if X > max_sig:
            e += 1
    elif rule == NO_OVERFLOW:
        X, ex = normalize24(amax)
        zero = np.int64(0)
        if mantissa_bits < 0:  # an integer element: max_code in units of 2^emin
            shift = emin - (ex - e)
            rounded = round_shift(X, shift, zero, NEAREST_EVEN, zero)
        else:
            lead = ex - e + 23
            normal = max(lead, np.int64(emin))
            shift = normal - mantissa_bits - (ex - e)
            rounded = ((normal - emin) << mantissa_bits) + round_shift(X, shift, zero, NEAREST_EVEN, zero)
        if rounded > max_code:
            e += 1
    return min(max(e + 127, np.int64(0)), np.int64(254))


@helper
def affine_scale(high, low, steps, mantissa_bits, emin, max_code, saturate):
    """Float code of (high + low) / steps, exact then once half_even; high, low: magnitude patterns of rmax >= 0 and -rmin >= 0.

    A tie of the quotient is a 25-bit number times `steps` (16 bits at most), so that it is even in units of the sum's last bit
    (the sum has 42 bits or more): what lies below may be jammed into that bit.
    """
    if high < low:
        high, low = low, high
    if high == 0:
        return np.int64(1 - emin) << mantissa_bits
    sig, e = normalize24(high)
    sig <<= 18
    e -= 18
    if low != 0:
        small, es = normalize24(low)
        small <<= 18
        es -= 18
        gap = e - es
        if gap > 60:
            sig |= 1
        else:
            cut = small & ((np.int64(1) << gap) - 1)
            sig += small >> gap
            if cut:
                sig |= 1
    sig <<= 19
    Q = sig // steps
    sticky = np.int64(1) if sig - Q * steps else np.int64(0)
    e -= 19
    width = np.int64(0)
    while Q >> width:
        width += 1
    lead = e + width - 1
    normal = max(lead, np.int64(emin))
    zero = np.int64(0)
    shift = normal - mantissa_bits - e
    code = ((normal - emin) << mantissa_bits) + round_shift(Q | sticky, shift, zero, NEAREST_EVEN, zero)
    if code > max_code:
        return np.int64(max_code) if saturate else np.int64(OVERFLOWED)
    return max(code, np.int64(1))


@helper
def affine_zero_point(low, scale, qmin, qmax):
    """Z = clamp(half_even(qmin - rmin / S)); low = -rmin >= 0 as a float32 value, S the decoded scale (float64)."""
    z = np.rint(qmin + np.float64(low) / scale)
    return np.int64(min(max(z, np.float64(qmin)), np.float64(qmax)))
