"""One case a row: fields of patterns into integers and back, and integer dot products of row i of a with row i of w."""

import numpy as np

from qsim.kernels.int_dot import trace_products
from qsim.kernels.jit import kernel
from qsim.kernels.requantize import ERROR, SATURATE, WRAP

MAX = (1 << 64) - 1


@kernel
def unpack_fields(data, width, signed, out):
    """out (n, count): field j of row i is bits [j * width, (j + 1) * width) of data (n, bytes), the lowest byte first."""
    n, count = out.shape
    for i in range(n):
        row = data[i]
        for j in range(count):
            place, got = j * width, 0
            value = np.int64(0)
            while got < width:
                offset = place & 7
                take = min(8 - offset, width - got)
                bits = (np.int64(row[place >> 3]) >> offset) & ((np.int64(1) << take) - 1)
                value |= bits << got
                got += take
                place += take
            if signed and width < 64 and (value >> (width - 1)) & 1:
                value -= np.int64(1) << width
            out[i, j] = value


@kernel
def pack_fields(values, width, out):
    """The inverse, the low `width` bits (64 at most) of values (n, count); out (n, bytes)."""
    n, count = values.shape
    mask = ~(np.uint64(MAX) << np.uint64(width)) if width < 64 else np.uint64(MAX)
    for i in range(n):
        row, kept, have, at = out[i], np.uint64(0), 0, 0
        for j in range(count):
            value = np.uint64(values[i, j]) & mask
            kept |= value << np.uint64(have)
            rest = value >> np.uint64(64 - have) if have else np.uint64(0)  # of 64 bits some do not fit
            have += width
            while have >= 8:
                row[at] = np.uint8(kept & np.uint64(255))
                kept >>= np.uint64(8)
                if rest:
                    kept |= (rest & np.uint64(255)) << np.uint64(56)
                    rest >>= np.uint64(8)
                at += 1
                have -= 8
        if have:
            row[at] = np.uint8(kept)


@kernel
def sum_rows(a, w, start, bias, mode, low, high, products, partial_sums, accumulator):
    """Row i of a times row i of w (n, K), each add through one register, bias last. Returns the first row with an error or -1."""
    n, K = a.shape
    for i in range(n):
        x, y, p, sums = a[i], w[i], products[i], partial_sums[i]
        for k in range(K):
            p[k] = np.int64(x[k]) * np.int64(y[k])
        value = start[i, 0]
        for k in range(K + 1):
            value += p[k] if k < K else bias[i, 0]
            if mode == SATURATE:
                value = min(max(value, low), high)
            elif mode == WRAP:
                value = ((value - low) & (high - low)) + low
            elif value < low or value > high:
                if mode == ERROR:
                    return i
                value = np.int64(0)
            if k < K:
                sums[k] = value
        accumulator[i, 0] = value
    return -1


@kernel
def trace_rows(a, w, start, correction, bias, s, taps, events):
    """`trace_products` of row i of a with row i of w (n, K), other addends (n, 1). Returns the first row with an error, or -1."""
    products, lane_sums, partial_sums, spill, corrected, accumulator = taps
    for i in range(a.shape[0]):
        j = i + 1
        fault = trace_products(
            a[i:j], w[i:j], start[i:j], correction[i:j], bias[i:j], s,
            (products[i:j], lane_sums[i:j], partial_sums[i:j], spill[i:j], corrected[i:j], accumulator[i:j]), events,
        )  # fmt: skip
        if fault[0] >= 0:
            return i
    return -1
