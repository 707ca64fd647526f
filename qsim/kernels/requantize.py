"""Requantization (rules Q): a tile of accumulators goes through one register after another, in int64.

Every rounding of v / 2^s is (v + addend) >> s. The addend is one of 0, 2^(s-1) - 1, 2^(s-1), 2^s - 1, all of them 0 for s = 0; a
mode chooses among them by sign or by parity, so that no mode is a branch of the inner loop.
"""

import numpy as np

from qsim.kernels.jit import helper, kernel

TILE = 1024
FIXED, ONE, F32, F64 = 0, 1, 2, 3
SATURATE, WRAP, ERROR, ZERO, SIGN_MAGNITUDE, LOWEST, NONE = 0, 1, 2, 3, 4, 5, 6

#: overflow mode -> code; a symmetric register saturates to its own range
NARROWS = {
    "saturate": SATURATE,
    "saturate_symmetric": SATURATE,
    "wrap": WRAP,
    "error": ERROR,
    "saturate_zero": ZERO,
    "wrap_sign_magnitude": SIGN_MAGNITUDE,
    "x86_indefinite": LOWEST,
}
NEVER, BELOW_HALF, HALF, ANY = (0, 0), (-1, 0), (0, -1), (-1, -1)  # masks of 2^(s-1) - 1 and of 2^(s-1)
ALWAYS, BY_SIGN, BY_PARITY = 0, 1, 2
#: mode -> (what chooses, addend of +/even, addend of -/odd)
ADDENDS = {
    "half_even": (BY_PARITY, BELOW_HALF, HALF),
    "half_away": (BY_SIGN, HALF, BELOW_HALF),
    "half_up": (ALWAYS, HALF, HALF),
    "half_down": (ALWAYS, BELOW_HALF, BELOW_HALF),
    "half_zero": (BY_SIGN, BELOW_HALF, HALF),
    "toward_zero": (BY_SIGN, NEVER, ANY),
    "away_from_zero": (BY_SIGN, ANY, NEVER),
    "floor": (ALWAYS, NEVER, NEVER),
    "ceil": (ALWAYS, ANY, ANY),
    "to_odd": (BY_PARITY, ANY, NEVER),
}
#: mode -> does a magnitude whole + rest go up? Rows: +even, +odd, -even, -odd; columns: rest 0, below, at, above a half
FLOAT_UP = {
    "half_even": ((0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 1)),
    "half_away": ((0, 0, 1, 1),) * 4,
    "half_up": ((0, 0, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1), (0, 0, 0, 1)),
    "half_down": ((0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 1)),
    "half_zero": ((0, 0, 0, 1),) * 4,
    "toward_zero": ((0, 0, 0, 0),) * 4,
    "away_from_zero": ((0, 1, 1, 1),) * 4,
    "floor": ((0, 0, 0, 0), (0, 0, 0, 0), (0, 1, 1, 1), (0, 1, 1, 1)),
    "ceil": ((0, 1, 1, 1), (0, 1, 1, 1), (0, 0, 0, 0), (0, 0, 0, 0)),
    "to_odd": ((0, 1, 1, 1), (0, 0, 0, 0), (0, 1, 1, 1), (0, 0, 0, 0)),
}


def float_up(mode):
    """FLOAT_UP of a mode as 16 bits."""
    return sum(bit << 4 * i + j for i, row in enumerate(FLOAT_UP[mode]) for j, bit in enumerate(row))


@helper
def shift_tile(v, floored, row, left, cut, right):
    """Shift a tile: row = (skip, has left, cut 0 none / 1 floors / 2 jams, keeps floor, chooser, masks...)."""
    skip, has_left, has_cut, keep, chooser, below0, half0, below1, half1 = row
    n = v.size
    if has_left:
        for j in range(n):
            v[j] = v[j] << left[j]
    if has_cut == 1:
        for j in range(n):
            v[j] = v[j] >> cut[j]
    if has_cut == 2:
        for j in range(n):
            lost = v[j] & ((np.int64(1) << cut[j]) - np.int64(1))
            v[j] = (v[j] >> cut[j]) | np.int64(lost != 0)
    if keep:
        for j in range(n):
            floored[j] = v[j] >> right[j]
    if skip:
        return
    if chooser == ALWAYS:
        for j in range(n):
            full = (np.int64(1) << right[j]) - np.int64(1)
            below = full >> 1
            v[j] = (v[j] + (below & below0) + ((full - below) & half0)) >> right[j]
    elif chooser == BY_SIGN:
        for j in range(n):
            full = (np.int64(1) << right[j]) - np.int64(1)
            below = full >> 1
            chosen = v[j] >> 63
            a = below & (below0 ^ ((below0 ^ below1) & chosen))
            b = (full - below) & (half0 ^ ((half0 ^ half1) & chosen))
            v[j] = (v[j] + a + b) >> right[j]
    else:
        for j in range(n):
            full = (np.int64(1) << right[j]) - np.int64(1)
            below = full >> 1
            chosen = -((v[j] >> right[j]) & 1)
            a = below & (below0 ^ ((below0 ^ below1) & chosen))
            b = (full - below) & (half0 ^ ((half0 ^ half1) & chosen))
            v[j] = (v[j] + a + b) >> right[j]


@helper
def narrow_tile(v, floored, mode, low, high, event, start):
    """Narrow a tile; event = (count, flat index of the first, its value)."""
    n = v.size
    count = np.int64(0)
    if mode == NONE:
        return
    if mode == SATURATE:
        for j in range(n):
            x = v[j]
            y = min(max(x, low), high)
            count += np.int64(x != y)
            v[j] = y
    elif mode == WRAP:
        for j in range(n):
            x = v[j]
            y = ((x - low) & (high - low)) + low
            count += np.int64(x != y)
            v[j] = y
    elif mode == ERROR:
        for j in range(n):
            count += np.int64((v[j] < low) | (v[j] > high))
        if count != 0:
            for j in range(n - 1, -1, -1):
                if v[j] < low or v[j] > high:
                    if event[0] == 0:
                        event[1] = start + j
                        event[2] = v[j]
                    v[j] = low  # the caller raises: any value that the output type holds
    else:
        for j in range(n):
            x = v[j]
            if x < low or x > high:
                y = np.int64(0)
                if mode == LOWEST:
                    y = low
                if mode == SIGN_MAGNITUDE:
                    negative = (floored[j] & (high + 1) * 2) != 0
                    y = x & high if negative == ((x & (high + 1)) != 0) else ~x & high
                    y = y - (high + 1) if negative else y
                count += np.int64(y != x)
                v[j] = y
    event[0] += count


@helper
def float_tile(v, y, up, even):
    """Round a tile of float64 to int64; `even` says that the mode is half_even, bits 4 * row + column of `up` are FLOAT_UP."""
    n = v.size
    if even:
        for j in range(n):
            v[j] = np.int64(np.rint(y[j]))
        return
    for j in range(n):
        x = y[j]
        whole = np.trunc(x)
        rest = abs(x - whole)  # exact: whole is a prefix of x's bits
        place = np.int64(rest > 0.0) + np.int64(rest >= 0.5) + np.int64(rest > 0.5)
        magnitude = np.int64(abs(whole))
        magnitude += up >> (8 * np.int64(x < 0.0) + 4 * (magnitude & 1) + place) & 1
        v[j] = -magnitude if x < 0.0 else magnitude


@kernel
def requantize(
    acc, out, start, kind, multiplier, real32, real64, bias32, up, even, zero, before_zero, first, rows, narrows, left, cut,
    right, n_before, finish, limits, events,
):  # fmt: skip
    """Flat accumulators [start, start + acc.size) -> out. Parameter arrays repeat with their length (the period).

    rows, narrows, left, cut, right: one a step, those before the product first. finish 0: out is the value before the zero point.
    narrows[-3:]: zero add, clamp, output. limits: clamp_first ends. events: (count, first index, value) for each narrow.
    """
    period = zero.size
    tile = np.empty(TILE, dtype=np.int64)
    floors = np.empty(TILE, dtype=np.int64)
    floats = np.empty(TILE, dtype=np.float64)
    steps = rows.shape[0]
    i = 0
    while i < acc.size:
        at = (start + i) % period
        n = min(TILE, period - at, acc.size - i)
        a, o = acc[i : i + n], out[i : i + n]
        v, floored, y = tile[:n], floors[:n], floats[:n]
        z, m = zero[at : at + n], multiplier[at : at + n]
        if kind == F32:
            r32, b32 = real32[at : at + n], bias32[at : at + n]
            for j in range(n):
                y[j] = (np.float32(a[j]) + b32[j]) * r32[j]  # a bias of 0 changes nothing: the sum is never -0
        elif kind == F64:
            r64 = real64[at : at + n]
            for j in range(n):
                y[j] = np.float64(a[j]) * r64[j]
        elif before_zero:
            for j in range(n):
                v[j] = np.int64(a[j]) - z[j]
        else:
            for j in range(n):
                v[j] = np.int64(a[j])
        if kind in (F32, F64):
            if first:
                count = np.int64(0)
                for j in range(n):
                    x = min(max(y[j], np.float64(limits[0] - z[j])), np.float64(limits[1] - z[j]))
                    count += np.int64(x != y[j])
                    y[j] = x
                events[events.shape[0] - 1, 0] += count
            float_tile(v, y, up, even)
        for k in range(steps):
            if k == n_before and kind == FIXED:
                for j in range(n):
                    v[j] *= m[j]
            row = (rows[k, 0], rows[k, 1], rows[k, 2], rows[k, 3], rows[k, 4], rows[k, 5], rows[k, 6], rows[k, 7], rows[k, 8])
            shift_tile(v, floored, row, left[k, at : at + n], cut[k, at : at + n], right[k, at : at + n])
            narrow_tile(v, floored, narrows[k, 0], narrows[k, 1], narrows[k, 2], events[k], start + i)
        if finish:
            if finish == 2:
                for j in range(n):
                    v[j] += z[j]
            for k in range(steps, steps + 3):
                narrow_tile(v, floored, narrows[k, 0], narrows[k, 1], narrows[k, 2], events[k], start + i)
        for j in range(n):
            o[j] = v[j]
        i += n


@kernel
def count_thresholds(acc, out, start, thresholds):
    """out = how many thresholds of its channel the accumulator reaches (rule Q7)."""
    channels = thresholds.shape[0]
    for i in range(acc.size):
        row = thresholds[(start + i) % channels]
        count = np.int64(0)
        for t in row:
            count += np.int64(acc[i] >= t)
        out[i] = count
