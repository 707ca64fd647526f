"""Dot products of blocks in integers and their sum in integer registers (rule A2): a tile of outputs at a time.

Letters: D block sum, s product of the scales' significands, e sum of their exponents. A block sum of more than 64 bits stands in
two words, D = H * 2^16 + L with 0 <= L < 2^16. The registers are those of int_dot: PRODUCT holds D, LANE the scaled term.
"""

from typing import NamedTuple

import numpy as np

from qsim.kernels.int_dot import (
    ACCUMULATOR,
    LANE,
    LEVELS,
    PRODUCT,
    SPILL,
    add_tile,
    close_tree,
    enter,
    push_leaf,
    tree_sums,
)
from qsim.kernels.jit import helper, kernel
from qsim.kernels.requantize import ALWAYS, BY_SIGN, ERROR, NONE, WRAP, narrow_tile

TILE = 256
UNROLL = 4  # blocks are filled with zeros to a multiple of it
SCALE = 4  # row of the scale's events, after those of int_dot's first four registers
HUGE = 1 << 62  # stands for every value that leaves all registers


class Scaling(NamedTuple):
    """What becomes of a block sum before it is added."""

    has_scale: bool
    dropped: int  # low bits rounded off s
    scale_top: int  # s saturates there; 0: s stays exact
    scale_row: tuple[int, ...]  # rounding: chooser and masks of requantize.ADDENDS
    fixed: bool
    shift: int  # the term is D * s * 2^(e + shift)
    row: tuple[int, ...]


class Operands(NamedTuple):
    """Integers x (M, J, B) and w (J, B, N); low: low 16 bits of x, x then its high ones, or empty; scales (M, J), (J, N)."""

    x: np.ndarray
    low: np.ndarray
    w: np.ndarray
    sx: np.ndarray
    sw: np.ndarray
    ex: np.ndarray
    ew: np.ndarray


@helper
def dot_tile(x, w, lo, hi, D):
    """D = x (B,) times columns lo..hi-1 of w (B, N), B a multiple of UNROLL."""
    D[:] = 0
    for b in range(0, x.size, 4):
        x0, x1, x2, x3 = np.int64(x[b]), np.int64(x[b + 1]), np.int64(x[b + 2]), np.int64(x[b + 3])
        w0, w1, w2, w3 = w[b, lo:hi], w[b + 1, lo:hi], w[b + 2, lo:hi], w[b + 3, lo:hi]
        for j in range(D.size):
            D[j] += x0 * np.int64(w0[j]) + x1 * np.int64(w1[j]) + x2 * np.int64(w2[j]) + x3 * np.int64(w3[j])


@helper
def addend(v, right, row):
    """What makes (v + addend) >> right the rounded v / 2^right; 0 for right = 0."""
    chooser, below0, half0, below1, half1 = row
    full = (np.int64(1) << right) - np.int64(1)
    below = full >> 1
    chosen = np.int64(0) if chooser == ALWAYS else v >> 63 if chooser == BY_SIGN else -((v >> right) & 1)
    b = below0 ^ ((below0 ^ below1) & chosen)
    h = half0 ^ ((half0 ^ half1) & chosen)
    return (below & b) + ((full - below) & h)


@helper
def shifted(v, shift, row):
    """(v * 2^shift rounded, whether it is HUGE or more: then its low 62 bits are right); |v| < 2^61."""
    up = min(max(shift, np.int64(0)), np.int64(63))
    right = min(max(-shift, np.int64(0)), np.int64(62))  # beyond, v is below a half in any case
    y = v << up
    huge = (y >> up != v) | (y >= HUGE) | (y <= -HUGE)
    return (y + addend(y, right, row)) >> right, huge


@helper
def shifted_wide(H, L, shift, row):
    """`shifted` of H * 2^16 + L, 0 <= L < 2^16, |H| < 2^60."""
    whole = (H << 16) | L
    if -(np.int64(1) << 45) < H < np.int64(1) << 45:
        return shifted(whole, shift, row)
    if shift >= 0:
        return whole << min(shift, np.int64(63)), True
    right = -shift
    if right > 16:
        jammed = (H << 1) | np.int64(L != 0)  # two bits or more are still cut: they decide as L does
        return shifted(jammed, np.int64(15) - right, row)
    whole = (H << (16 - right)) | (L >> right)
    # A small number of the same sign, parity and rest rounds the same way.
    small = ((whole & 1) << right) | (L & ((np.int64(1) << right) - 1))
    if H < 0:
        small -= np.int64(4) << right
    limit = np.int64(1) << (45 + right)
    return whole + ((small + addend(small, right, row)) >> right) - (small >> right), H >= limit or H < -limit


@helper
def carry_words(H, L):
    """H and L with 0 <= L < 2^16."""
    for j in range(H.size):
        H[j] += L[j] >> 16
        L[j] &= 0xFFFF


@helper
def one_word(H, L):
    """H becomes H * 2^16 + L, of a magnitude below 2^62."""
    for j in range(H.size):
        H[j] = (H[j] << 16) | L[j]


@helper
def narrow_huge(v, huge, s, register, events, at):
    """v enters a register; where `huge`, v is at least HUGE and only its low bits are right."""
    mode, low, high = s.narrows[register, 0], s.narrows[register, 1], s.narrows[register, 2]
    unseen = np.int64(0)
    if mode == WRAP:
        for j in range(v.size):
            unseen += np.int64(huge[j] != 0 and low <= v[j] <= high)
    narrow_tile(v, v, mode, low, high, events[register], at)
    events[register, 0] += unseen


@helper
def clamp_huge(y, huge, negative, wrap):
    """y, or +-HUGE where it is huge and no register wraps it."""
    if huge and not wrap:
        return np.int64(-HUGE) if negative else np.int64(HUGE)
    return y


@helper
def exact_sums(o, m, j, lo, hi, D, v, low):
    """Block sums of row m with columns lo..hi-1 onto v, or v * 2^16 + low."""
    dot_tile(o.x[m, j], o.w[j], lo, hi, D)
    for i in range(v.size):
        v[i] = D[i]
    if o.low.size:
        dot_tile(o.low[m, j], o.w[j], lo, hi, D)
        for i in range(v.size):
            low[i] = D[i]
        carry_words(v, low)


@helper
def narrow_sums(v, low, wide, huge, s, events, at):
    """The block sums in their register."""
    mode = s.narrows[PRODUCT, 0]
    if not wide:
        narrow_tile(v, v, mode, s.narrows[PRODUCT, 1], s.narrows[PRODUCT, 2], events[PRODUCT], at)
    elif mode != NONE:
        limit = np.int64(1) << 45
        for i in range(v.size):
            big = v[i] >= limit or v[i] < -limit
            huge[i] = big
            v[i] = clamp_huge((v[i] << 16) | low[i], big, v[i] < 0, mode == WRAP)
        narrow_huge(v, huge, s, PRODUCT, events, at)
        for i in range(v.size):
            low[i] = v[i] & 0xFFFF
            v[i] >>= 16


@helper
def scale_products(o, m, j, lo, hi, scale, c, events):
    """s of row m with columns lo..hi-1, rounded and saturated where the accumulator does that."""
    sx, sw = np.int64(o.sx[m, j]), o.sw[j, lo:hi]
    for i in range(scale.size):
        scale[i] = sx * np.int64(sw[i])
    round_scales(scale, c, events)


@helper
def round_scales(scale, c, events):
    """Exact products of scales rounded to `scale_bits`, and saturated."""
    if c.scale_top:
        right = np.int64(c.dropped)
        count = np.int64(0)
        for i in range(scale.size):
            y = (scale[i] + addend(scale[i], right, c.scale_row)) >> right
            count += np.int64(y > c.scale_top)
            scale[i] = min(y, np.int64(c.scale_top))
        events[SCALE, 0] += count


@helper
def fixed_terms(v, low, wide, e, ew, huge, c, s, events, at):
    """The scaled sums v rounded to the grid, in their register."""
    wrap = s.narrows[LANE, 0] == WRAP
    if wide:
        carry_words(v, low)
        for i in range(v.size):
            y, big = shifted_wide(v[i], low[i], e + np.int64(ew[i]), c.row)
            huge[i] = big
            v[i] = clamp_huge(y, big, v[i] < 0, wrap)
    else:
        for i in range(v.size):
            y, big = shifted(v[i], e + np.int64(ew[i]), c.row)
            huge[i] = big
            v[i] = clamp_huge(y, big, v[i] < 0, wrap)
    narrow_huge(v, huge, s, LANE, events, at)


@kernel
def sum_blocks(o, s, c, like, column, out, events, dots, dots_low, scales, terms):
    """out (rows, N) = o.x times columns column.. of o.w, summed as s and c say.

    like: an array of the type that holds a dot product. dots, dots_low, scales, terms: taps (rows, N, J), or empty. events:
    (count, block of the first, its value) for each register. Returns the flat index of the first output of the first tile where
    a register with overflow `error` overflowed, or -1.
    """
    rows, N = out.shape
    J = o.x.shape[1]
    width = min(TILE, max(N, 1))
    D_, v_, low_, scale_, total_ = (
        np.empty(width, like.dtype), np.empty(width, np.int64), np.zeros(width, np.int64), np.empty(width, np.int64),
        np.empty(width, np.int64),
    )  # fmt: skip
    huge_ = np.zeros(width, np.int64)
    stack = np.empty((LEVELS if s.tree else 0, width), np.int64)
    errors = s.narrows[:, 0] == ERROR
    wide = o.low.size > 0
    first = np.int64(-1)
    for n in range(0, N, TILE):
        size = min(TILE, N - n)
        lo, hi = column + n, column + n + size
        D, v, low, scale, huge = D_[:size], v_[:size], low_[:size], scale_[:size], huge_[:size]
        for m in range(rows):
            before = (events[: errors.size, 0] * errors).sum()
            result = out[m, n : n + size]
            result[:] = 0
            total = total_[:size] if s.chunk else result
            total[:] = 0
            for j in range(J):
                exact_sums(o, m, j, lo, hi, D, v, low)
                narrow_sums(v, low, wide, huge, s, events, j)
                if dots.size:
                    dots[m, n : n + size, j] = v
                    if wide:
                        dots_low[m, n : n + size, j] = low
                if wide and not c.fixed:
                    one_word(v, low)
                if c.has_scale:
                    scale_products(o, m, j, lo, hi, scale, c, events)
                    for i in range(size):
                        v[i] *= scale[i]
                    if wide:
                        for i in range(size):
                            low[i] *= scale[i]
                    if scales.size:
                        scales[m, n : n + size, j] = scale
                if c.fixed:
                    fixed_terms(v, low, wide, np.int64(o.ex[m, j]) + c.shift, o.ew[j, lo:hi], huge, c, s, events, j)
                else:
                    narrow_tile(v, v, s.narrows[LANE, 0], s.narrows[LANE, 1], s.narrows[LANE, 2], events[LANE], j)
                if terms.size:
                    terms[m, n : n + size, j] = v
                if s.tree:
                    stack[0, :size] = v
                    push_leaf(stack, size, j, s, events)
                else:
                    add_tile(total, v, s, ACCUMULATOR, events)
                if s.chunk and ((j + 1) % s.chunk == 0 or j + 1 == J):
                    add_tile(result, total, s, SPILL, events)
                    total[:] = 0
            if s.tree:
                close_tree(result, stack, J, s, events)
            if (events[: errors.size, 0] * errors).sum() != before and (first < 0 or m * N + n < first):
                first = m * N + n
    return first


@helper
def trace_terms(terms, s, partial_sums, spill, events, fault):
    """The accumulator of the terms (J,) of one output; partial_sums, spill: the registers after every add."""
    if s.tree:
        return tree_sums(terms, partial_sums, s, events, fault)
    J = terms.size
    value, total = np.int64(0), np.int64(0)
    for j in range(J):
        total = enter(total + terms[j], ACCUMULATOR, j, s, events, fault)
        partial_sums[j] = total
        if s.chunk and ((j + 1) % s.chunk == 0 or j + 1 == J):
            value = enter(value + total, SPILL, j // s.chunk * s.chunk, s, events, fault)
            spill[j // s.chunk] = value
            total = np.int64(0)
    return value if s.chunk else total


@kernel
def trace_sums(terms, s, partial_sums, spill, accumulator, events):
    """The registers that terms (M, N, J) pass, after every add. Returns the first overflow that is an error as in int_dot."""
    fault = np.array([-1, 0, 0, -1], np.int64)
    for m in range(terms.shape[0]):
        for n in range(terms.shape[1]):
            accumulator[m, n] = trace_terms(terms[m, n], s, partial_sums[m, n], spill[m, n], events, fault)
    return fault
