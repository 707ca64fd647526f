"""Channel and tensor scales on a sum (rule A2): the exact product, once to float32."""

import numpy as np

from qsim.kernels.float_sum import INF, is_special, round_result, unpack
from qsim.kernels.jit import helper, kernel
from qsim.kernels.wide_sum import bit_length


@helper
def long_product(A, G):
    """(sig, exponent) of A * G, sig in 0..2^62 with a sticky last bit; A < 2^62, G < 2^48."""
    a1, a0, g1, g0 = A >> 31, A & 0x7FFFFFFF, G >> 24, G & 0xFFFFFF
    low = a0 * g0 + ((a0 * g1 & 0x7FFFFFFF) << 24) + ((a1 * g0 & 0xFFFFFF) << 31)  # below 3 * 2^55
    high = a1 * g1 + (a0 * g1 >> 31) + (a1 * g0 >> 24) + (low >> 55)
    low &= (np.int64(1) << 55) - 1
    if high == 0:
        return low, np.int64(0)
    take = min(np.int64(62) - bit_length(high), np.int64(55))
    rest = low & ((np.int64(1) << (55 - take)) - 1)
    return (high << take) | (low >> (55 - take)) | np.int64(rest != 0), 55 - take


@helper
def significand32(u):
    """(X, e) of a finite float32 pattern: |value| = X * 2^e."""
    X, e = unpack(u, -126, False)
    return X, e - 23


@helper
def scaled_integer(v, exponent, ga, gw, p32, even):
    """v * 2^exponent * ga * gw, exact, then once to a float32 pattern; ga, gw: float32 patterns."""
    X, ea = significand32(ga)
    Y, ew = significand32(gw)
    sig, e = long_product(abs(v), X * Y)
    sign = np.int64(v < 0) ^ (ga >> 31) ^ (gw >> 31)
    return round_result(sig, e + exponent + ea + ew, sign, np.int64(0), p32, even)


@helper
def scaled_float(u, ga, gw, nan, p32, even):
    """u * ga * gw, exact, then once to a float32 pattern; all of them float32 patterns."""
    X, ea = significand32(ga)
    Y, ew = significand32(gw)
    sign = (u ^ ga ^ gw) >> 31
    if is_special(u):
        return np.int64(nan) if u & 0x7FFFFFFF > INF or X * Y == 0 else INF | sign << 31
    V, e = significand32(u)
    sig, shift = long_product(V, X * Y)
    return round_result(sig, e + shift + ea + ew, sign, sign, p32, even)


@kernel
def scale_integers(total, exponent, ga, gw, out, p32, even):
    """out[m, n] = total[m, n] * 2^exponent * ga[m] * gw[n], exact, then once to float32; ga, gw: float32 patterns."""
    for m in range(out.shape[0]):
        for n in range(out.shape[1]):
            out[m, n] = scaled_integer(np.int64(total[m, n]), exponent, np.int64(ga[m]), np.int64(gw[n]), p32, even)


@kernel
def scale_floats(total, ga, gw, nan, out, p32, even):
    """out[m, n] = total[m, n] * ga[m] * gw[n], exact, then once to float32; all of them float32 patterns."""
    for m in range(out.shape[0]):
        for n in range(out.shape[1]):
            out[m, n] = scaled_float(np.int64(total[m, n]), np.int64(ga[m]), np.int64(gw[n]), nan, p32, even)
