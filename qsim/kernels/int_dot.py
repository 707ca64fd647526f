"""Integer accumulation (rule A1): sums of products in int64, a tile of outputs at a time, and one output with every value.

A register is a row (mode, low, high) of `narrows`, in the order of REGISTERS; its events are the same row of `events`.
"""

from typing import NamedTuple

import numpy as np

from qsim.kernels.jit import helper, kernel
from qsim.kernels.requantize import ERROR, NONE, SATURATE, WRAP, narrow_tile, shift_tile

LEVELS = 64
REGISTERS = ("product", "lane", "accumulator", "spill", "zero_points", "bias")
PRODUCT, LANE, ACCUMULATOR, SPILL, ZERO_POINTS, BIAS = range(6)


class Sum(NamedTuple):
    """An accumulator in integers; chunk 0: not chunked."""

    lanes: int
    chunk: int
    tree: bool
    step: tuple[int, ...]  # how a product is shifted: the row of kernels/requantize.shift_tile
    cut: int  # bits floored before the rounding shift
    right: int
    narrows: np.ndarray


@helper
def add_tile(v, term, s, register, events):
    """v += term, then v enters the register."""
    for j in range(v.size):
        v[j] += term[j]
    narrow_tile(v, v, s.narrows[register, 0], s.narrows[register, 1], s.narrows[register, 2], events[register], 0)


@helper
def push_leaf(stack, n, j, s, events):
    """stack[0, :n] holds leaf j: adds it to the subtrees of its size, one a level, whose roots wait in stack[1 + level]."""
    level = 1
    while (j >> (level - 1)) & 1:
        add_tile(stack[0, :n], stack[level, :n], s, ACCUMULATOR, events)
        level += 1
    stack[level, :n] = stack[0, :n]


@helper
def close_tree(out, stack, leaves, s, events):
    """The root: what waits in the stack, an odd last one passes up."""
    if leaves == 0:
        return
    level = 1
    while not (leaves >> (level - 1)) & 1:
        level += 1
    n = out.size
    out[:] = stack[level, :n]
    if leaves == 1:
        stack[0, :n] = 0
        add_tile(out, stack[0, :n], s, ACCUMULATOR, events)
    while leaves >> level:
        if (leaves >> level) & 1:
            add_tile(out, stack[level + 1, :n], s, ACCUMULATOR, events)
        level += 1


@helper
def sum_tile(a, w, out, s, work, stack, cut, right, events):
    """Row a times w onto out; work: tiles of products, lane sums and the accumulator of a chunk."""
    K = a.size
    n = out.size
    p, lane = work[0, :n], work[1, :n]
    total = work[2, :n] if s.chunk else out
    lane[:] = 0
    if s.chunk:
        total[:] = 0
    mode, low, high = s.narrows[PRODUCT, 0], s.narrows[PRODUCT, 1], s.narrows[PRODUCT, 2]
    in_lane, leaf = 0, 0
    for k in range(K):
        x, row = np.int64(a[k]), w[k]
        for j in range(n):
            p[j] = x * np.int64(row[j])
        if s.right or s.cut:
            shift_tile(p, p, s.step, right[:n], cut[:n], right[:n])
        narrow_tile(p, p, mode, low, high, events[PRODUCT], 0)
        for j in range(n):
            lane[j] += p[j]
        in_lane += 1
        if in_lane < s.lanes and k + 1 < K:
            continue
        narrow_tile(lane, lane, s.narrows[LANE, 0], s.narrows[LANE, 1], s.narrows[LANE, 2], events[LANE], 0)
        if s.tree:
            stack[0, :n] = lane
            push_leaf(stack, n, leaf, s, events)
        else:
            add_tile(total, lane, s, ACCUMULATOR, events)
        lane[:] = 0
        in_lane = 0
        leaf += 1
        if s.chunk and ((k + 1) % s.chunk == 0 or k + 1 == K):
            add_tile(out, total, s, SPILL, events)
            total[:] = 0
    if s.tree:
        close_tree(out, stack, leaf, s, events)


@kernel
def sum_products(a, w, start, correction, bias, out, s, events):
    """out (rows, columns) = a (rows, K) times w (K, at least so many columns), and the other addends, through every register.

    events: (count, ., .) for each register. Returns the first row where a register with overflow `error` overflowed, or -1.
    """
    rows, n = out.shape
    work = np.empty((3, n), np.int64)
    stack = np.empty((LEVELS if s.tree else 0, n), np.int64)
    cut, right = np.full(n, np.int64(s.cut)), np.full(n, np.int64(s.right))
    errors = s.narrows[:, 0] == ERROR
    for m in range(rows):
        v = out[m]
        v[:] = 0
        add_tile(v, start[m], s, BIAS, events)
        sum_tile(a[m], w, v, s, work, stack, cut, right, events)
        add_tile(v, correction[m], s, ZERO_POINTS, events)
        add_tile(v, bias[m], s, BIAS, events)
        if (events[:, 0] * errors).sum():
            return m
    return -1


@helper
def enter(x, register, k, s, events, fault):
    """What a register keeps of x; fault: the first overflow of a register with mode error as (register, k, value)."""
    mode, low, high = s.narrows[register, 0], s.narrows[register, 1], s.narrows[register, 2]
    y = x
    if mode == NONE or low <= x <= high:
        return y
    if mode == SATURATE:
        y = low if x < low else high
    elif mode == WRAP:
        y = ((x - low) & (high - low)) + low
    elif mode == ERROR:
        if fault[0] < 0:
            fault[0], fault[1], fault[2] = register, k, x
    else:
        y = np.int64(0)
    events[register] += 1
    return y


@helper
def tree_sums(leaves, sums, s, events, fault):
    """The root of one output; sums: every sum, level by level."""
    J = leaves.size
    if J < 2:
        if J:
            sums[0] = enter(leaves[0], ACCUMULATOR, 0, s, events, fault)
        return sums[0] if J else np.int64(0)
    nodes = leaves.copy()
    n, size, at = J, np.int64(s.lanes), 0
    while n > 1:
        for i in range(n // 2):
            nodes[i] = enter(nodes[2 * i] + nodes[2 * i + 1], ACCUMULATOR, 2 * i * size, s, events, fault)
            sums[at] = nodes[i]
            at += 1
        if n & 1:
            nodes[n // 2] = nodes[n - 1]
        n, size = (n + 1) // 2, 2 * size
    return nodes[0]


@kernel
def trace_products(a, w, start, correction, bias, s, taps, events):
    """Every value of every output: a (rows, K), w (columns, K), the other addends (rows, columns).

    taps: products, lane_sums, partial_sums, spill, corrected, accumulator. Returns (-1, 0, 0, -1) or the first overflow of a
    register with mode error as (register, k, value, flat index of the output).
    """
    products, lane_sums, partial_sums, spill, corrected, accumulator = taps
    K, N = a.shape[1], w.shape[0]
    fault = np.array([-1, 0, 0, -1], np.int64)
    cut, right, p = np.full(1, np.int64(s.cut)), np.full(1, np.int64(s.right)), np.empty(1, np.int64)
    for i in range(a.shape[0] * N):
        m, n = i // N, i % N
        for k in range(K):
            p[0] = np.int64(a[m, k]) * np.int64(w[n, k])
            if s.right or s.cut:
                shift_tile(p, p, s.step, right, cut, right)
            products[m, n, k] = enter(p[0], PRODUCT, k, s, events, fault)
        for j in range(lane_sums.shape[2]):
            lane = np.int64(0)
            for k in range(j * s.lanes, min((j + 1) * s.lanes, K)):
                lane += products[m, n, k]
            lane_sums[m, n, j] = enter(lane, LANE, j * s.lanes, s, events, fault)
        value = enter(start[m, n], BIAS, 0, s, events, fault)
        if s.tree:
            value = tree_sums(lane_sums[m, n], partial_sums[m, n], s, events, fault)
        elif s.chunk:
            total = np.int64(0)
            each = s.chunk // s.lanes
            for j in range(lane_sums.shape[2]):
                total = enter(total + lane_sums[m, n, j], ACCUMULATOR, j * s.lanes, s, events, fault)
                partial_sums[m, n, j] = total
                if (j + 1) % each == 0 or j + 1 == lane_sums.shape[2]:
                    value = enter(value + total, SPILL, j // each * s.chunk, s, events, fault)
                    spill[m, n, j // each] = value
                    total = np.int64(0)
        else:
            for j in range(lane_sums.shape[2]):
                value = enter(value + lane_sums[m, n, j], ACCUMULATOR, j * s.lanes, s, events, fault)
                partial_sums[m, n, j] = value
        value = enter(value + correction[m, n], ZERO_POINTS, K, s, events, fault)
        corrected[m, n] = value
        accumulator[m, n] = enter(value + bias[m, n], BIAS, K, s, events, fault)
        if fault[0] >= 0:
            fault[3] = i
            break
    return fault
