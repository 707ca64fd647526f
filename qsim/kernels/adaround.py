"""Adaptive rounding of rows: minimize d^T G d, where weight k of a row may add t[k] to its value: d[k] = r[k] or r[k] - t[k].

All sums run in a fixed order; exp and log are made of +, -, * and /: the same bits on every machine, however rows are split.
"""

import math

import numpy as np

from qsim.kernels.jit import helper, kernel

_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_ROUNDER = 1.5 * 2.0**52  # adding and subtracting it rounds to an integer
_FRACTION, _ONE = np.int64((1 << 52) - 1), np.int64(1023 << 52)
_BIAS = 1074
_POWERS = np.ldexp(1.0, np.arange(-_BIAS, 1024))
_INVERSE_FACTORIALS = np.array([1.0 / math.factorial(i) for i in range(14, -1, -1)])
_ODD_INVERSES = np.array([1.0 / i for i in range(23, 0, -2)])
#: A flip must lower the energy by this share of what nearest rounding has: no cycle by rounding errors.
_LEAST = 2.0**-40


@helper
def _multiply(G, d, v):
    """V = G d, column by column."""
    v[:] = 0.0
    for k in range(d.size):
        if d[k] != 0.0:
            x = d[k]
            for j in range(v.size):
                v[j] += x * G[k, j]


@helper
def _dot(a, b):
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@kernel
def energies(G, d, out, size):
    """out[n] = d[n]^T G d[n]; size[n] = (sum |d| sqrt(diagonal))^2, which no partial sum exceeds, and sum |d| beside it."""
    v = np.empty(G.shape[0])
    for n in range(d.shape[0]):
        _multiply(G, d[n], v)
        out[n] = _dot(d[n], v)
        a = 0.0
        b = 0.0
        for k in range(v.size):
            a += abs(d[n, k]) * math.sqrt(G[k, k])
            b += abs(d[n, k])
        size[n, 0] = a * a
        size[n, 1] = b


@helper
def _flip(G, k, s, d, v, flipped):
    """Take the other choice of weight k; s[k] is what that adds to its value."""
    x = s[k]
    d[k] -= x
    for j in range(v.size):
        v[j] -= x * G[k, j]
    s[k] = -x
    flipped[k] = not flipped[k]


@helper
def _best_single(G, s, v):
    best, place = 0.0, -1
    for k in range(s.size):
        change = s[k] * (s[k] * G[k, k] - 2.0 * v[k])
        if change < best:
            best, place = change, k
    return best, place


@helper
def _pair_sweep(G, s, d, v, flipped, floor, cost):
    """For each weight the best partner: both flip if that helps. Whether any pair did."""
    found = False
    for i in range(s.size):
        if s[i] == 0.0:
            continue
        alone = s[i] * (s[i] * G[i, i] - 2.0 * v[i])
        for j in range(s.size):
            cost[j] = s[j] * (s[j] * G[j, j] - 2.0 * v[j] + 2.0 * s[i] * G[i, j])
        cost[i] = 0.0
        best, place = 0.0, -1
        for j in range(s.size):
            if cost[j] < best:
                best, place = cost[j], j
        if place >= 0 and alone + best < -floor:
            _flip(G, i, s, d, v, flipped)
            _flip(G, place, s, d, v, flipped)
            found = True
    return found


@helper
def _settle(G, r, t, s, d, v, flipped, floor, cost):
    """Flip the weight that helps most, then pairs, until nothing helps; the energy, freshly summed."""
    for _ in range(64):  # rounds of fresh sums; the first one nearly always ends it
        moved = False
        for k in range(d.size):
            d[k] = r[k] - t[k] if flipped[k] else r[k]
            s[k] = -t[k] if flipped[k] else t[k]
        _multiply(G, d, v)
        for _ in range(1000 * d.size):
            change, place = _best_single(G, s, v)
            if place >= 0 and change < -floor:
                _flip(G, place, s, d, v, flipped)
            elif not _pair_sweep(G, s, d, v, flipped, floor, cost):
                break
            moved = True
        if not moved:
            break
    return _dot(d, v)


#: Random words a kick: how many weights it flips, and which.
KICK_WORDS = 8


@kernel
def descend(G, r, t, words, flipped):
    """Iterated local search of each row from nearest rounding; `flipped` (rows, K) is the result.

    A kick flips 2 to 7 random weights of the best found so far, the descent follows, the better of the two stays. words: random
    uint32, (rows, kicks, KICK_WORDS).
    """
    size = G.shape[0]
    s, d, v, cost = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    trial = np.empty(size, np.bool_)
    live = np.empty(size, np.int64)
    for n in range(r.shape[0]):
        _multiply(G, r[n], v)
        floor = _LEAST * _dot(r[n], v)
        best = flipped[n]
        best[:] = False
        count = 0
        for k in range(size):
            if t[n, k] != 0.0 and G[k, k] != 0.0:
                live[count] = k
                count += 1
        if not floor > 0.0 or count == 0:
            continue
        least = _settle(G, r[n], t[n], s, d, v, best, floor, cost)
        for i in range(words.shape[1]):
            trial[:] = best
            for j in range(2 + words[n, i, 0] % 6):
                k = live[words[n, i, 1 + j] % count]
                trial[k] = not trial[k]
            found = _settle(G, r[n], t[n], s, d, v, trial, floor, cost)
            if found < least - floor:
                least = found
                best[:] = trial


@helper
def _exp(x):
    """e^x for |x| <= 700, within a few units of the last place."""
    k = (x * 1.4426950408889634 + _ROUNDER) - _ROUNDER
    y = x - k * _LN2_HIGH - k * _LN2_LOW
    total = 0.0
    for i in range(_INVERSE_FACTORIALS.size):
        total = total * y + _INVERSE_FACTORIALS[i]
    return total * _POWERS[np.int64(k) + _BIAS]


@helper
def _log(mantissa, exponent):
    """Natural logarithm of mantissa * 2^exponent, the mantissa from 1 to 2, within a few units of the last place."""
    large = mantissa > 1.4142135623730951
    m = mantissa * 0.5 if large else mantissa
    e = exponent + 1.0 if large else exponent
    y = (m - 1.0) / (m + 1.0)
    z = y * y
    total = 0.0
    for i in range(_ODD_INVERSES.size):
        total = total * z + _ODD_INVERSES[i]
    return 2.0 * y * total + e * (_LN2_HIGH + _LN2_LOW)


@helper
def _logs(x, bits, out):
    """out = log(x) of positive normal x, which is overwritten; bits: x seen as int64."""
    for k in range(x.size):
        out[k] = np.float64((bits[k] >> 52) - 1023)
        bits[k] = (bits[k] & _FRACTION) | _ONE
    for k in range(x.size):
        out[k] = _log(x[k], out[k])


@kernel
def relax(G, start, step, fraction, samples, betas, strength, rate, up):
    """The relaxation of each row: Adam on d^T G d / samples + strength * sum(1 - |2h - 1|^beta); `up` (rows, K) is alpha >= 0.

    d = start - h * step, h = clip(1.2 * sigmoid(alpha) - 0.1, 0, 1); at first h = fraction. betas: one an iteration, 0: no
    regularizer. Weights of step 0 have no choice.
    """
    size = G.shape[0]
    d, v = np.empty(size), np.empty(size)
    alpha, h, slope = np.empty(size), np.empty(size), np.empty(size)
    first, second = np.empty(size), np.empty(size)
    x, logs = np.empty(size), np.empty(size)
    bits = x.view(np.int64)
    for n in range(start.shape[0]):
        for k in range(size):
            x[k] = 1.2 / (fraction[n, k] + 0.1) - 1.0
        _logs(x, bits, logs)
        for k in range(size):
            alpha[k] = -logs[k]
            first[k] = 0.0
            second[k] = 0.0
        b1, b2 = 1.0, 1.0
        for beta in betas:
            for k in range(size):
                q = 1.0 / (1.0 + _exp(min(max(-alpha[k], -700.0), 700.0)))
                y = 1.2 * q - 0.1
                h[k] = min(max(y, 0.0), 1.0)
                slope[k] = 1.2 * q * (1.0 - q) if h[k] == y else 0.0
                d[k] = start[n, k] - h[k] * step[n, k]
            _multiply(G, d, v)
            for k in range(size):
                v[k] *= -2.0 / samples * step[n, k]
            if beta > 0.0:
                for k in range(size):
                    x[k] = max(abs(2.0 * h[k] - 1.0), 1e-15)
                _logs(x, bits, logs)
                for k in range(size):
                    power = 2.0 * strength * beta * _exp(max((beta - 1.0) * logs[k], -700.0))
                    v[k] -= power if h[k] > 0.5 else -power
            b1 *= 0.9
            b2 *= 0.999
            move, spread = rate / (1.0 - b1), 1.0 / (1.0 - b2)
            for k in range(size):
                g = v[k] * slope[k]
                first[k] = 0.9 * first[k] + 0.1 * g
                second[k] = 0.999 * second[k] + 0.001 * g * g
                alpha[k] -= move * first[k] / (math.sqrt(second[k] * spread) + 1e-8)
        for k in range(size):
            up[n, k] = step[n, k] != 0.0 and alpha[k] >= 0.0
