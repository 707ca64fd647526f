"""Patterns of cases as rows of 64-bit words, the lowest first: fields out of them and values into them."""

import numpy as np

from qsim.kernels.jit import helper, kernel

ALL = (1 << 64) - 1
PART = 62  # bits of a long value that go at a time: int64 then holds a carry as well


@helper
def read_field(row, place, width):
    """Bits place .. place + width - 1 of a row, at most 63 of them."""
    at, shift = place >> 6, place & 63
    found = row[at] >> np.uint64(shift)
    if shift + width > 64:
        found |= row[at + 1] << np.uint64(64 - shift)
    return np.int64(found & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)))


@helper
def read_fields(row, place, width, out):
    """out: fields of `width` bits (63 at most), one after the other from bit `place` of a row on."""
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    at, have = place >> 6, 64 - (place & 63)
    kept = row[at] >> np.uint64(place & 63)
    for k in range(out.size):
        code = kept
        if have < width:
            at += 1
            code |= row[at] << np.uint64(have)
            kept = row[at] >> np.uint64(width - have)
            have += 64 - width
        else:
            kept >>= np.uint64(width)
            have -= width
        out[k] = np.int64(code & mask)


@helper
def put_values(row, width, values):
    """The low `width` bits (64 at most) of each value, the first lowest; fills the row."""
    mask = np.uint64(ALL) >> np.uint64(64 - width)
    at, kept, have = 0, np.uint64(0), 0  # `have` bits wait in `kept` for word `at`
    for j in range(values.size):
        value = np.uint64(values[j]) & mask
        kept |= value << np.uint64(have)
        have += width
        if have >= 64:
            row[at] = kept
            at += 1
            have -= 64
            kept = value >> np.uint64(1) >> np.uint64(width - have - 1)  # by 64 in two steps
    if have:
        row[at] = kept


@helper
def put_field(row, place, width, value):
    """The low `width` bits (64 at most) of value at bit `place` of a row that holds zeros there."""
    at, shift = place >> 6, place & 63
    bits = np.uint64(value) & (np.uint64(ALL) >> np.uint64(64 - width))
    row[at] |= bits << np.uint64(shift)
    if shift + width > 64:
        row[at + 1] |= bits >> np.uint64(64 - shift)


@helper
def put_long(row, width, high, up, low):
    """The low `width` bits (126 at most) of each high * 2^up + low, 0 <= up < 62; fills the row."""
    row[:] = 0
    mask = (np.int64(1) << PART) - 1
    for j in range(high.size):
        cut = PART - np.int64(up[j])
        total = ((high[j] & ((np.int64(1) << cut) - 1)) << np.int64(up[j])) + (low[j] & mask)
        put_field(row, j * width, min(width, PART), total & mask)
        if width > PART:
            put_field(row, j * width + PART, width - PART, (high[j] >> cut) + (low[j] >> PART) + (total >> PART))


@kernel
def put_fields(rows, values, start, width, count, stride):
    """Value j of row i (n, m), `width` bits, at bit start + j // count * stride + j % count * width, where rows hold zeros."""
    for i in range(values.shape[0]):
        row = rows[i]
        for j in range(values.shape[1]):
            put_field(row, start + j // count * stride + j % count * width, width, values[i, j])
