"""Block sums, or products of elements, in a float accumulator (rules A2, A3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.datapath.block_integer import block_taps, dot_taps, joined, lower, overflow_error, register_events
from qsim.datapath.block_planes import element_planes, plain_classes, sum_planes
from qsim.datapath.block_problem import NARROWEST, TILE, Array, Found, Ints, Problem, check_products, check_sums
from qsim.datapath.dot import lower as lower_unit
from qsim.spec.error import SpecError

if TYPE_CHECKING:
    from qsim.kernels.block_steps import Steps
    from qsim.kernels.float_sum import DotParams

LOWEST_EXPONENT = -320  # of a bit of a term: kernels/wide_sum.py
DOT = 0  # row of the register `dot` in the kernels' events
SMALL = 1 << 18  # products of a piece


def steps_of(problem: Problem, largest: int, pair: bool) -> tuple[Steps, DotParams, DotParams, Ints]:
    """The float accumulator in the kernels' integers; `pair`: block sums stand in two words."""
    from qsim.kernels.block_steps import Steps
    from qsim.kernels.rounding import addends

    acc, unit = problem.acc, problem.acc.unit
    assert unit is not None
    name = unit.operands[0][0]
    p, p32 = lower_unit(unit, (name, name), None, "float32")
    F, fraction = unit.fraction or 0, problem.fraction
    up = max(F - fraction, 0)
    bits = max(largest.bit_length() + up, F + largest.bit_length() - fraction, F + 2) + acc.nfma.bit_length() + 1
    wide = pair or unit.fraction is None or bits > NARROWEST + 1
    steps = Steps(
        nfma=acc.nfma,
        every=acc.promoted_terms(problem.block),
        fraction=fraction,
        wide=wide,
        up=0 if wide else up,
        base=max(fraction - F, 0),
        up_c=max(F - 23, 0),
        base_c=max(23 - F, 0),
    )
    return steps, p, p32, addends(unit.out_rounding)


def float_sums(problem: Problem, *, tapped: bool) -> Found:
    """Block sums as terms of a float accumulator."""
    from qsim.kernels.block_float import sum_float_blocks
    from qsim.kernels.rounding import addends

    planes = sum_planes(problem.a, problem.w, problem.block, problem.length)
    largest = check_sums(problem, planes.largest, planes.wide)
    (r, c), (M, N), T = lower(problem), problem.shape, problem.terms
    s, p, p32, add = steps_of(problem, largest, planes.wide)
    even, total = addends("half_even"), np.empty((M, N), np.uint32)
    taps, trace = dot_taps((M, N), T, 5, tapped), trace_of(problem, s, (M, N), tapped)

    def task(rows: slice, columns: slice, keep: bool = True) -> Ints:
        shape = rows.stop - rows.start, columns.stop - columns.start
        out, events = np.empty(shape, np.uint32), np.zeros((len(r.narrows), 3), np.int64)
        parts, part = dot_taps(shape, T, 5, tapped), trace_of(problem, s, shape, tapped)
        addend = np.ascontiguousarray(problem.c[rows, columns])
        sum_float_blocks(
            planes.operands(rows), planes.special(rows), r, c, p, s, p32, add, even, planes.like, columns.start, addend, out,
            events, *parts, part,
        )  # fmt: skip
        if keep:
            _keep(rows, columns, [(total, out), *zip(taps, parts, strict=True), (trace, part)], tapped)
        return events

    work = pieces(M, N, TILE // 4, max(SMALL // max(problem.products, 1), TILE // 4))
    counts = run(task, work)
    if problem.acc.dot is not None and problem.acc.dot.overflow == "error":
        for (rows, columns), count in zip(work, counts, strict=True):
            if count[DOT, 0]:
                raise _overflow(problem, rows, columns, lambda m, n: task(slice(m, m + 1), slice(n, n + 1), False))
    exposed: dict[str, Array] = {}
    if tapped:
        dots, low, scales, terms, terms_low = taps
        exposed = block_taps(problem, planes, c, dots, low, scales)
        exposed["terms"] = joined(terms, 16, terms_low) if s.wide else terms
        exposed |= _float_taps(problem, s, trace, total)
    return total, exposed, register_events(problem, counts)


def float_products(problem: Problem, *, tapped: bool) -> Found:
    """Products of elements as terms of a float accumulator."""
    from qsim.kernels.block_float import sum_float_products
    from qsim.kernels.rounding import addends

    (x, ex), (w, ew) = (element_planes(rows, problem.block) for rows in (problem.a, problem.w))
    largest = check_products(problem)
    lowest = int(ex.min(initial=0)) + int(ew.min(initial=0)) - problem.fraction
    if lowest < LOWEST_EXPONENT:
        raise SpecError(f"the last bit of a product is 2^{lowest}; allowed: 2^{LOWEST_EXPONENT} and above (rule A2)")
    (M, N), T = problem.shape, problem.terms
    s, p, p32, add = steps_of(problem, largest, False)
    even, total = addends("half_even"), np.empty((M, N), np.uint32)
    taps, trace = dot_taps((M, N), T, 2, tapped), trace_of(problem, s, (M, N), tapped)
    cx, cw = problem.a.classes, problem.w.classes
    if cx.size or cw.size:
        cx, cw = plain_classes(problem.a), plain_classes(problem.w)

    def task(rows: slice, columns: slice) -> None:
        shape = rows.stop - rows.start, columns.stop - columns.start
        out, parts, part = np.empty(shape, np.uint32), dot_taps(shape, T, 2, tapped), trace_of(problem, s, shape, tapped)
        addend = np.ascontiguousarray(problem.c[rows, columns])
        special = cx[rows], cw[columns]
        sum_float_products(x[rows], ex[rows], w[columns], ew[columns], special, p, s, p32, add, even, addend, out, *parts, part)
        _keep(rows, columns, [(total, out), *zip(taps, parts, strict=True), (trace, part)], tapped)

    run(task, pieces(M, N, piece=max(SMALL // max(problem.products, 1), 1)))
    exposed: dict[str, Array] = {}
    if tapped:
        exposed = {"terms": taps[0], "exponents": taps[1]} | _float_taps(problem, s, trace, total)
    return total, exposed, {}


def trace_of(problem: Problem, s: Steps, shape: tuple[int, int], tapped: bool) -> Ints:
    """The values inside the float accumulator, (..., 7, size of the largest tap), size 0 unless tapped."""
    return np.zeros((*shape, 7, max(tap_sizes(problem, s))) if tapped else (1, 1, 7, 0), np.int64)


def tap_sizes(problem: Problem, s: Steps) -> tuple[int, ...]:
    """Values of each tap inside the float accumulator, in the order of kernels/block_steps.py."""
    T, unit = problem.terms, problem.acc.unit
    assert unit is not None
    chains = [min(s.every, T - t) for t in range(0, T, s.every)] if s.every else [T] * (T > 0)
    steps = [-(-terms // s.nfma) for terms in chains]
    sums = sum(2 * n - 1 for n in steps) if unit.order == "pairwise" else sum(steps)
    return sum(steps), T, T, T, sum(steps), sums, len(chains)


def _keep(rows: slice, columns: slice, pairs: list[tuple[Array, Array]], tapped: bool) -> None:
    """Write the results of a piece, the first pair, and its taps where they belong."""
    for whole, part in pairs if tapped else pairs[:1]:
        whole[rows, columns] = part


def _float_taps(problem: Problem, s: Steps, trace: Ints, total: Array) -> dict[str, Array]:
    """Taps of the float accumulator by name."""
    unit = problem.acc.unit
    assert unit is not None
    sizes = tap_sizes(problem, s)
    largest, aligned, high, up, aligned_c, sums, promoted = (trace[:, :, i, :size] for i, size in enumerate(sizes))
    taps: dict[str, Array] = {}
    if unit.fraction is not None:
        taps["largest_exponents"] = largest
        taps["aligned"] = joined(high, up, aligned) if s.wide else aligned
        if unit.c == "aligned":
            taps["aligned_c"] = aligned_c
    taps["partial_sums"] = sums.astype(np.uint32).view(np.float32)
    if s.every:
        taps["promoted"] = promoted.astype(np.uint32).view(np.float32)
    return taps | {"accumulator": total.view(np.float32)}


def _overflow(problem: Problem, rows: slice, columns: slice, events_of: Callable[[int, int], Ints]) -> ValueError:
    """The error of the register `dot` at the first output of a piece that has one."""
    outputs = ((m, n) for m in range(rows.start, rows.stop) for n in range(columns.start, columns.stop))
    m, n, events = next((m, n, events) for m, n in outputs if (events := events_of(m, n))[DOT, 0])
    return overflow_error(problem, "dot", m, n, int(events[DOT, 1]), int(events[DOT, 2]))
