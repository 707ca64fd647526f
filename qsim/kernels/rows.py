"""One case a row: fields of patterns into integers and back, and integer dot products of row i of a with row i of w."""

import numpy as np

from qsim.kernels.int_dot import trace_products
from qsim.kernels.jit import kernel


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
    """The inverse, the low `width` bits of values (n, count); out (n, bytes) must hold zeros."""
    n, count = values.shape
    for i in range(n):
        row = out[i]
        for j in range(count):
            place, got = j * width, 0
            value = values[i, j]
            while got < width:
                offset = place & 7
                take = min(8 - offset, width - got)
                bits = (value >> got) & ((np.int64(1) << take) - 1)
                row[place >> 3] |= np.uint8(bits << offset)
                got += take
                place += take


@kernel
def trace_rows(a, w, start, correction, bias, s, taps, events):
    """`trace_products` of row i of a with row i of w (n, K), other addends (n, 1). Returns the first row that is an error, or -1."""
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
