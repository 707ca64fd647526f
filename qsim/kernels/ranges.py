"""Statistics for choosing a range (rules C): exact histograms and sums in integers, and the divergences of KL."""

import math

import numpy as np

from qsim.kernels import scale as sc
from qsim.kernels.jit import helper, kernel

BINADES = 32
BINS = BINADES << 7
PART = 1 << 22  # values whose counts and sums of 16 bits fit one int64 beside each other
ONE = np.int64(1) << np.int64(40)
MASK32 = np.int64(0xFFFFFFFF)
BLOCK = 1024


@kernel
def magnitude_histogram(u, first, counts, sums, small):
    """Add non-zero magnitudes of rows of u (uint32 patterns, (R, L)) to bins of their upper 16 bits, exactly.

    Bin b of row r holds the patterns from (first[r] + b) << 16, first[r] > 0: counts and the sum of the lower 16 bits, int64.
    small[r] counts the non-zero magnitudes below bin 0; none lies above the last.
    """
    packed = np.zeros(BINS + 1, np.int64)  # count * 2^40 + sum of a part of a row; [0] for what lies below bin 0
    for r in range(u.shape[0]):
        base = np.int64(first[r]) - np.int64(1)
        for start in range(0, u.shape[1], PART):
            part = u[r, start : start + PART]
            zeros, least = np.uint32(0), np.uint32(0x7FFFFFFF)  # least: of the non-zero ones
            for j in range(part.shape[0]):
                m32 = np.uint32(part[j] & np.uint32(0x7FFFFFFF))
                zeros = np.uint32(zeros + np.uint32(m32 == np.uint32(0)))
                least = min(least, m32 if m32 != np.uint32(0) else np.uint32(0x7FFFFFFF))
            for j in range(part.shape[0]):
                m = np.int64(part[j] & np.uint32(0x7FFFFFFF))
                packed[np.uint64(max((m >> np.int64(16)) - base, np.int64(0)))] += ONE | (m & np.int64(0xFFFF))
            small[r] += (packed[0] >> 40) - np.int64(zeros)
            packed[0] = 0
            for b in range(max((np.int64(least) >> 16) - base - 1, np.int64(0)), BINS):
                value = packed[b + 1]
                counts[r, b] += value >> 40
                sums[r, b] += value & (ONE - 1)
                packed[b + 1] = 0


@helper
def bin_mean(key, count, total):
    """Mean magnitude of a bin: exact, then once to float64; key: the upper 16 bits of its patterns."""
    base = 1 << 23 | (key & 0x7F) << 16
    return np.float64(count * base + total) / np.float64(count) * sc.power_of_two((key >> 7) - 150)


@kernel
def fixed_points(first, counts, sums, small, c, out):
    """OCTAV's threshold of each row of bins; sums in float64, from the largest bin down.

    The predicate vertex <= next value is true from some bin on, as h grows: the scan ends at the first bin where it is false.
    """
    for r in range(counts.shape[0]):
        total = np.int64(small[r])
        for b in range(counts.shape[1]):
            total += counts[r, b]
        above, count, following, threshold = 0.0, np.int64(0), np.inf, 0.0
        vertex = 0.0
        for b in range(counts.shape[1] - 1, -2, -1):
            if b >= 0 and counts[r, b] == 0:
                continue
            if vertex > following:
                break
            mean = bin_mean(first[r] + b, counts[r, b], sums[r, b]) if b >= 0 else 0.0
            threshold = max(vertex, mean)
            if b < 0:
                break
            above += np.float64(counts[r, b]) * mean
            count += counts[r, b]
            vertex = above / (c[r] * np.float64(total - count) + np.float64(count))
            following = mean
        out[r] = threshold


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
def count_scaled(x, n, top, counts):
    """Count |x| (float32) in bins floor(|x| * n / top), each operation in float32, the last bin also for |x| = top."""
    last = np.int64(counts.shape[0] - 1)
    for j in range(x.shape[0]):
        counts[min(np.int64(np.float32(np.float32(abs(x[j]) * n) / top)), last)] += 1


@kernel
def count_sides(x, width, positive, negative):
    """Count |x| in bins max(ceil(|x| / width) - 1, 0), the quotient in float64; x < 0 in `negative` where that is not empty."""
    signed = negative.shape[0] > 0
    for j in range(x.shape[0]):
        place = max(np.int64(math.ceil(np.float64(abs(x[j])) / width)) - 1, np.int64(0))
        if signed and x[j] < 0:
            negative[place] += 1
        else:
            positive[place] += 1


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
