"""Statistics of segments: extremes as bit patterns, and exact sums of magnitudes."""

import numpy as np

from qsim.kernels.jit import kernel


@kernel
def extremes(u, high, low):
    """high[r], low[r]: largest magnitude pattern among the positive and the negative of row r of u (uint32, (R, L))."""
    for r in range(u.shape[0]):
        row = u[r]
        a, b = np.uint32(0), np.uint32(0)
        for j in range(row.shape[0]):
            bits = row[j]
            magnitude = np.uint32(bits & np.uint32(0x7FFFFFFF))
            negative = bits > np.uint32(0x7FFFFFFF)
            a = max(a, np.uint32(0) if negative else magnitude)
            b = max(b, magnitude if negative else np.uint32(0))
        high[r] = a
        low[r] = b


@kernel
def amax(u, high):
    """high[r]: largest magnitude pattern of row r of u (uint32, (R, L))."""
    for r in range(u.shape[0]):
        row = u[r]
        a = np.uint32(0)
        for j in range(row.shape[0]):
            a = max(a, np.uint32(row[j] & np.uint32(0x7FFFFFFF)))
        high[r] = a


@kernel
def magnitude_sum(u, threshold, bins):
    """Add the 24-bit significands of the |x| > threshold (float64) of u (uint32, 1-D) into bins[field], int64[256]; their count.

    The sum of bins[f] * 2^(max(f, 1) - 150) is exact; 2^38 elements fit.
    """
    count = np.int64(0)
    for j in range(u.shape[0]):
        magnitude = np.int64(u[j]) & 0x7FFFFFFF
        field = magnitude >> 23
        sig = magnitude & 0x7FFFFF
        if field != 0:
            sig |= 0x800000
        if threshold < 0.0 or np.float64(np.uint32(magnitude).view(np.float32)) > threshold:
            bins[field] += sig
            count += 1
    return count
