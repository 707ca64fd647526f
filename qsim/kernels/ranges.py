"""Statistics for choosing a range (rules C): exact histograms and sums in integers, and the divergences of KL."""

import math

import numpy as np

from qsim.kernels.jit import kernel

BINADES = 32
BINS = BINADES << 7
MASK32 = np.int64(0xFFFFFFFF)
BLOCK = 1024


@kernel
def magnitude_histogram(u, first, counts, sums, small):
    """Add non-zero magnitudes of rows of u (uint32 patterns, (R, L)) to bins of their upper 16 bits, exactly.

    Bin b of row r holds the patterns from (first[r] + b) << 16: counts and the sum of the lower 16 bits, int64. small[r] counts
    the non-zero magnitudes below bin 0; none lies above the last.
    """
    for r in range(u.shape[0]):
        row, count, total = u[r], counts[r], sums[r]
        base = np.int64(first[r])
        below = np.int64(0)
        for j in range(row.shape[0]):
            m = np.int64(row[j] & np.uint32(0x7FFFFFFF))
            b = (m >> 16) - base
            if b >= 0 and m != 0:
                count[b] += 1
                total[b] += m & np.int64(0xFFFF)
            elif m != 0:
                below += 1
        small[r] += below


@kernel
def square_sums(u, low, high):
    """Add the squares of rows of u (uint32 patterns of finite float32, (R, L)) to int64 bins (R, 256), exactly.

    The sum of squares of row r is the sum of (low[r, f] + high[r, f] * 2^32) * 4^(max(f, 1) - 150): 2^31 elements fit.
    """
    for r in range(u.shape[0]):
        row, lows, highs = u[r], low[r], high[r]
        for j in range(row.shape[0]):
            m = np.int64(row[j] & np.uint32(0x7FFFFFFF))
            field = m >> 23
            sig = m & np.int64(0x7FFFFF)
            if field != 0:
                sig |= np.int64(0x800000)
            square = sig * sig
            lows[field] += square & MASK32
            highs[field] += square >> 32


@kernel
def error_sums(x, y, scale, low, high):
    """Add the squared errors of rows (float32, (R, L)) to int64 low[r] + high[r] * 2^32, in units of 1 / scale[r]^2.

    An error is scaled by scale[r] (a power of two with which it is at most 2^26), squared, and rounded to an integer: the
    integers are added, so that the sum does not depend on the order. 2^31 elements fit.
    """
    for r in range(x.shape[0]):
        a, b, s = x[r], y[r], scale[r]
        total_low, total_high = np.int64(0), np.int64(0)
        for start in range(0, a.shape[0], BLOCK):
            block = np.int64(0)
            for j in range(start, min(start + BLOCK, a.shape[0])):
                e = (np.float64(a[j]) - np.float64(b[j])) * s
                block += np.int64(e * e + 0.5)
            total_low += block & MASK32
            total_high += block >> 32
        low[r] += total_low
        high[r] += total_high


@kernel
def divergences(bins, levels, start, out):
    """KL divergence of each number of bins start..len(bins) in turn, by the rule of pytorch-quantization; NaN: not defined.

    bins: float64 counts. P is the first i bins with all that lies beyond in the last; Q spreads the sum of each of `levels`
    levels evenly over its non-empty bins. Sums run in ascending order.
    """
    n = bins.shape[0]
    total = 0.0
    for j in range(n):
        total += bins[j]
    level = np.empty(n, np.int64)
    sums = np.empty(levels, np.float64)
    filled = np.empty(levels, np.int64)
    inside = 0.0
    for j in range(start - 1):
        inside += bins[j]
    for i in range(start, n + 1):
        inside += bins[i - 1]
        beyond = total - inside
        sums[:] = 0.0
        filled[:] = 0
        step = np.float64(i) / np.float64(levels)
        k = np.int64(0)
        for j in range(i):
            while k + 1 < levels and np.float64(k + 1) * step <= np.float64(j):
                k += 1
            level[j] = k
            if bins[j] != 0.0:
                sums[k] += bins[j]
                filled[k] += 1
        divergence = 0.0
        defined = inside > 0.0
        for j in range(i):
            p = bins[j] + beyond if j == i - 1 else bins[j]
            if p != 0.0:
                if bins[j] == 0.0:
                    divergence = np.inf
                elif defined:
                    q = sums[level[j]] / np.float64(filled[level[j]])
                    divergence += p / total * math.log((p / total) / (q / inside))
        out[i - start] = divergence if defined else np.nan
