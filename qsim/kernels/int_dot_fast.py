"""Sums in a saturating or wrapping register (rule A1) in int32: four rows of outputs at once, their columns in vector lanes.

Same bits as int_dot.py where products enter no register of their own, lane sums are exact or saturate, and no sum leaves int32.
wraps None: the register saturates, also one with overflow `error`. counted None: events are not counted. Both are compiled apart.
"""

import numpy as np

from qsim.kernels.int_dot import BIAS, LANE, SPILL, ZERO_POINTS, add_tile
from qsim.kernels.jit import helper, kernel
from qsim.kernels.requantize import NONE

LOWEST = -(1 << 31)
BLOCK = 512  # products of a column that stay in the cache while all rows pass


@helper
def step(x, a, w, low, high, wraps):
    """(x + a * w in the register, 1 if that changed it)."""
    exact = np.int32(x + np.int32(a * w))
    if wraps is None:
        kept = np.int32(min(max(exact, low), high))
        return kept, np.int32(kept != exact)
    sign = np.int32(-low)
    kept = np.int32((exact & np.int32(high - low) ^ sign) - sign)
    return kept, np.int32(kept != exact)


@helper
def add_to_four(p, a, m, w, low, high, wraps, counted):
    """p[m + i] += a[m + i] * w for four rows i, k ascending; how often the register changed a value."""
    count = np.int64(0)
    K, n = w.shape
    p0, p1, p2, p3 = p[m], p[m + 1], p[m + 2], p[m + 3]
    for k in range(0, K - 1, 2):
        a0, a1, a2, a3 = a[m, k], a[m + 1, k], a[m + 2, k], a[m + 3, k]
        b0, b1, b2, b3 = a[m, k + 1], a[m + 1, k + 1], a[m + 2, k + 1], a[m + 3, k + 1]
        w0, w1 = w[k], w[k + 1]
        events = np.int32(0)
        for j in range(n):
            v = np.int32(w0[j])
            x0, e0 = step(p0[j], a0, v, low, high, wraps)
            x1, e1 = step(p1[j], a1, v, low, high, wraps)
            x2, e2 = step(p2[j], a2, v, low, high, wraps)
            x3, e3 = step(p3[j], a3, v, low, high, wraps)
            v = np.int32(w1[j])
            p0[j], f0 = step(x0, b0, v, low, high, wraps)
            p1[j], f1 = step(x1, b1, v, low, high, wraps)
            p2[j], f2 = step(x2, b2, v, low, high, wraps)
            p3[j], f3 = step(x3, b3, v, low, high, wraps)
            if counted is not None:
                events = np.int32(events + e0 + e1 + e2 + e3 + f0 + f1 + f2 + f3)
        count += events
    if K & 1:
        last = w[K - 1]
        for i in range(m, m + 4):
            for j in range(n):
                p[i, j], e0 = step(p[i, j], a[i, K - 1], np.int32(last[j]), low, high, wraps)
                count += e0
    return count


@helper
def add_lanes(p, lane, a, w, lanes, ends, low, high, wraps, counted):
    """p += the sum of every `lanes` products a * w, kept inside `ends`; how often ends and the register changed a value."""
    in_lane, count = np.int64(0), np.int64(0)
    K, n = w.shape
    for first in range(0, K, lanes):
        stop = min(first + lanes, K)
        lane[:] = 0
        for k in range(first, stop - 3, 4):
            a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
            w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
            for j in range(n):
                x = np.int32(np.int32(a0 * np.int32(w0[j])) + np.int32(a1 * np.int32(w1[j])))
                y = np.int32(np.int32(a2 * np.int32(w2[j])) + np.int32(a3 * np.int32(w3[j])))
                lane[j] = np.int32(lane[j] + np.int32(x + y))
        for k in range(first + (stop - first) // 4 * 4, stop):
            a0, w0 = a[k], w[k]
            for j in range(n):
                lane[j] = np.int32(lane[j] + np.int32(a0 * np.int32(w0[j])))
        events, changed = np.int32(0), np.int32(0)
        one = np.int32(1)
        for j in range(n):
            kept = np.int32(min(max(lane[j], ends[0]), ends[1]))
            p[j], e0 = step(p[j], one, kept, low, high, wraps)
            if counted is not None:
                events = np.int32(events + e0)
                changed = np.int32(changed + np.int32(kept != lane[j]))
        count += events
        in_lane += changed
    return in_lane, count


@helper
def add_block(part, rows, lane, a, w, s, ends, low, high, wraps, counted):
    """part += a * w for the first rows, as above; part and a are filled up to a multiple of four; lane: a row of work space."""
    in_lane, count = np.int64(0), np.int64(0)
    if s.lanes > 1 or s.narrows[LANE, 0] != NONE:
        for m in range(rows):
            changed, events = add_lanes(part[m], lane, a[m], w, s.lanes, ends, low, high, wraps, counted)
            in_lane += changed
            count += events
        return in_lane, count
    for m in range(0, part.shape[0], 4):
        count += add_to_four(part, a, m, w, low, high, wraps, counted)
    return in_lane, count


@kernel
def sum_int32(a, w, start, correction, bias, out, s, events, register, wraps, counted):
    """kernels/int_dot.sum_products for such accumulators; a is int32, w int16, columns beyond out's are 0.

    register: where lane sums go.
    """
    K, width = w.shape
    rows, n = out.shape
    low, high = np.int32(max(s.narrows[register, 1], LOWEST)), np.int32(min(s.narrows[register, 2], -LOWEST - 1))
    ends = (np.int32(LOWEST), np.int32(-LOWEST - 1))
    if s.narrows[LANE, 0] != NONE:
        # A wider register holds every lane sum of int32.
        ends = (np.int32(max(s.narrows[LANE, 1], LOWEST)), np.int32(min(s.narrows[LANE, 2], -LOWEST - 1)))
    block = max(BLOCK // s.lanes, 1) * s.lanes
    part = np.zeros(((rows + 3) // 4 * 4, width), np.int32)
    factors = np.zeros((part.shape[0], min(block, K)), np.int32)
    lane = np.zeros(width, np.int32)
    for m in range(rows):
        out[m] = 0
        add_tile(out[m], start[m], s, BIAS, events)
        for j in range(0 if s.chunk else n):
            part[m, j] = out[m, j]
    each = s.chunk if s.chunk else max(K, 1)
    for first in range(0, K, each):
        last = min(first + each, K)
        for k in range(first, last, block):
            end = min(k + block, last)
            factors[:rows, : end - k] = a[:, k:end]
            changed, count = add_block(part, rows, lane, factors, w[k:end], s, ends, low, high, wraps, counted)
            events[LANE, 0] += changed
            events[register, 0] += count
        for m in range(rows if s.chunk else 0):
            add_tile(out[m], part[m, :n], s, SPILL, events)
            part[m] = 0
    for m in range(rows):
        for j in range(0 if s.chunk else n):
            out[m, j] = part[m, j]
        add_tile(out[m], correction[m], s, ZERO_POINTS, events)
        add_tile(out[m], bias[m], s, BIAS, events)
    return -1
