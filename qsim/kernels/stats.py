"""Statistics of segments: extremes as bit patterns, and exact sums of magnitudes."""

import numpy as np

from qsim.kernels.jit import helper, kernel


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


CHUNK = 512
WINDOW = 30  # binades below the largest of a chunk that one uint64 sum holds: 24 + 30 + 9 bits


@kernel
def magnitude_sum(u, limit, bins):
    """Add the magnitudes of u (uint32 patterns, 1-D) above `limit` (a pattern, or -1 for all) to int64 bins; their count.

    The sum of bins[f] * 2^(max(f, 1) - 150), f = 0..319, is exact: an element adds its significand to bin [field], or a chunk
    adds the two halves of its common sum to the bins of their weight. 2^31 elements fit.
    """
    count = np.int64(0)
    floor = np.uint64(max(limit, 0))
    for start in range(0, u.shape[0], CHUNK):
        part = u[start : start + CHUNK]
        top = np.uint32(0)
        for j in range(part.shape[0]):
            top = max(top, np.uint32(part[j] & np.uint32(0x7FFFFFFF)))
        low = max(np.int64(top >> np.uint32(23)) - WINDOW, np.int64(1))
        least = np.uint64(low)
        total, inside, above = np.uint64(0), np.uint64(0), np.uint64(0)
        for j in range(part.shape[0]):
            magnitude = np.uint64(part[j] & np.uint32(0x7FFFFFFF))
            field = magnitude >> np.uint64(23)
            kept = np.uint64(1) if magnitude > floor else np.uint64(0)
            near = kept if field >= least else np.uint64(0)
            sig = (magnitude & np.uint64(0x7FFFFF)) | np.uint64(0x800000)
            shift = field - least if field >= least else np.uint64(0)
            total += (sig << shift) * near
            inside += near
            above += kept
        bins[low] += np.int64(total & np.uint64(0xFFFFFFFF))
        bins[low + 32] += np.int64(total >> np.uint64(32))
        count += np.int64(above)
        if inside != above:
            _scattered_sum(part, np.int64(floor), low, bins)
    return count if limit >= 0 else np.int64(u.shape[0])


@helper
def _scattered_sum(part, floor, low, bins):
    """The elements of a chunk below field `low`, one at a time."""
    for j in range(part.shape[0]):
        magnitude = np.int64(part[j]) & 0x7FFFFFFF
        field = magnitude >> 23
        sig = magnitude & 0x7FFFFF
        if field != 0:
            sig |= 0x800000
        if field < low and magnitude > floor:
            bins[field] += sig
