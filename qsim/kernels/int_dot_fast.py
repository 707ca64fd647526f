"""Sums in saturating registers (rule A1) in int32: two rows of outputs at once, their columns in vector lanes.

Same bits as int_dot.py where products enter no register of their own, lane sums are exact, the accumulator saturates, and
|register| + |lane sum| < 2^31. `counted` None: events are not counted. A register with overflow `error` saturates here.
"""

import numpy as np

from qsim.kernels.int_dot import BIAS, SPILL, TILE, ZERO_POINTS, add_tile
from qsim.kernels.jit import helper, kernel

BLOCK = 512  # products of a column that stay in the cache while all rows pass


@helper
def step(x, a, w, low, high):
    """(x + a * w saturated, 1 if that changed it)."""
    exact = np.int32(x + np.int32(a * w))
    kept = np.int32(min(max(exact, low), high))
    return kept, np.int32(kept != exact)


@helper
def saturate_two(p, q, a, b, w, low, high, counted):
    """p += a * w and q += b * w, every add saturated, k ascending; how often one was."""
    count = np.int64(0)
    K, n = w.shape
    for k in range(0, K - 3, 4):
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        events = np.int32(0)
        for j in range(n):
            x, y = p[j], q[j]
            v = np.int32(w0[j])
            x, e0 = step(x, a0, v, low, high)
            y, f0 = step(y, b0, v, low, high)
            v = np.int32(w1[j])
            x, e1 = step(x, a1, v, low, high)
            y, f1 = step(y, b1, v, low, high)
            v = np.int32(w2[j])
            x, e2 = step(x, a2, v, low, high)
            y, f2 = step(y, b2, v, low, high)
            v = np.int32(w3[j])
            x, e3 = step(x, a3, v, low, high)
            y, f3 = step(y, b3, v, low, high)
            p[j], q[j] = x, y
            if counted is not None:
                events = np.int32(events + e0 + e1 + e2 + e3 + f0 + f1 + f2 + f3)
        count += events
    for k in range(K // 4 * 4, K):
        a0, b0, w0 = a[k], b[k], w[k]
        for j in range(n):
            v = np.int32(w0[j])
            p[j], e0 = step(p[j], a0, v, low, high)
            q[j], f0 = step(q[j], b0, v, low, high)
            count += e0 + f0
    return count


@helper
def saturate_lanes(p, lane, a, w, lanes, low, high, counted):
    """p += the exact sum of every `lanes` products a * w, saturated; how often it was."""
    count = np.int64(0)
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
        events = np.int32(0)
        one = np.int32(1)
        for j in range(n):
            p[j], e0 = step(p[j], one, lane[j], low, high)
            if counted is not None:
                events = np.int32(events + e0)
        count += events
    return count


@helper
def saturate_block(part, a, w, s, low, high, lane, idle, counted):
    """part (rows, columns) += a (rows, products of a block) * w, as above."""
    count = np.int64(0)
    rows, n = part.shape
    if s.lanes > 1:
        for m in range(rows):
            count += saturate_lanes(part[m], lane[:n], a[m], w, s.lanes, low, high, counted)
        return count
    for m in range(0, rows - 1, 2):
        count += saturate_two(part[m], part[m + 1], a[m], a[m + 1], w, low, high, counted)
    if rows & 1:
        lane[:] = 0
        count += saturate_two(part[rows - 1], lane[:n], a[rows - 1], idle[: w.shape[0]], w, low, high, counted)
    return count


@kernel
def sum_saturating(a, w, column, start, correction, bias, out, s, events, register, counted):
    """kernels/int_dot.sum_products for such accumulators; a is int32, w int16 or int32; register: where lane sums go."""
    K = a.shape[1]
    rows, N = out.shape
    low, high = np.int32(s.narrows[register, 1]), np.int32(s.narrows[register, 2])
    width = min(TILE, max(N, 1))
    block = max(BLOCK // s.lanes, 1) * s.lanes
    part = np.empty((rows, width), np.int32)
    lane, idle = np.zeros(width, np.int32), np.zeros(block, np.int32)
    each = s.chunk if s.chunk else max(K, 1)
    tile = np.empty((min(block, each, max(K, 1)), width), w.dtype)
    for n in range(0, N, TILE):
        stop = min(n + TILE, N)
        p = part[:, : stop - n]
        for m in range(rows):
            out[m, n:stop] = 0
            add_tile(out[m, n:stop], start[m, n:stop], s, BIAS, events)
            for j in range(stop - n):
                p[m, j] = np.int32(0) if s.chunk else np.int32(out[m, n + j])
        for first in range(0, K, each):
            last = min(first + each, K)
            for k in range(first, last, block):
                end = min(k + block, last)
                columns = tile[: end - k, : stop - n]
                columns[:] = w[k:end, column + n : column + stop]
                events[register, 0] += saturate_block(p, a[:, k:end], columns, s, low, high, lane, idle, counted)
            for m in range(rows if s.chunk else 0):
                add_tile(out[m, n:stop], p[m], s, SPILL, events)
                p[m, :] = 0
        for m in range(rows):
            v = out[m, n:stop]
            if not s.chunk:
                v[:] = p[m]
            add_tile(v, correction[m, n:stop], s, ZERO_POINTS, events)
            add_tile(v, bias[m, n:stop], s, BIAS, events)
