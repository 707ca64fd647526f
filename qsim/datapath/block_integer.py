"""Block sums in integer and fixed-point registers (rule A2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.datapath.block_planes import Planes, sum_planes
from qsim.datapath.block_problem import TILE, WORK, Array, Events, Found, Ints, Problem, check_sums

if TYPE_CHECKING:
    from qsim.kernels.block_dot import Scaling
    from qsim.kernels.int_dot import Sum


def lower(problem: Problem) -> tuple[Sum, Scaling]:
    """Registers and scaling in the kernels' integers."""
    from qsim.kernels import int_dot as kernel
    from qsim.kernels.block_dot import Scaling
    from qsim.kernels.requantize import ADDENDS, NARROWS, NONE

    acc = problem.acc
    narrows = np.zeros((len(kernel.REGISTERS), 3), np.int64)
    narrows[:, 0] = NONE
    rows = {"dot": kernel.PRODUCT, "term": kernel.LANE, "accumulator": kernel.ACCUMULATOR, "spill": kernel.SPILL}
    for name, register in acc.narrows.items():
        if name in rows:
            narrows[rows[name]] = NARROWS[register.overflow], *register.range
    flat = {mode: (chooser, *even, *odd) for mode, (chooser, even, odd) in ADDENDS.items()}
    sums = acc.sums
    s = kernel.Sum(
        1,
        (sums.chunk or 0) if sums else 0,
        sums is not None and sums.order == "tree",
        (1, 0, 0, 0, *flat["floor"]),
        0,
        0,
        narrows,
    )
    c = Scaling(
        has_scale=problem.a.has_significands or problem.w.has_significands,
        dropped=acc.dropped_bits(problem.a.scale_bits + problem.w.scale_bits),
        scale_top=(1 << acc.scale_bits) - 1 if acc.scale_bits else 0,
        scale_row=flat[acc.scale_rounding],
        fixed=acc.into == "fixed",
        shift=-problem.fraction - acc.lsb,
        row=flat[acc.rounding],
    )
    return s, c


def integer_sums(problem: Problem, *, tapped: bool) -> Found:
    """Accumulators of integer and fixed-point registers."""
    planes = sum_planes(problem.a, problem.w, problem.block, problem.length)
    check_sums(problem, planes.largest, planes.wide)
    (s, c), (M, N), T = lower(problem), problem.shape, problem.terms
    total, taps = np.empty((M, N), np.int64), dot_taps((M, N), T, 4, tapped)
    work = pieces(M, N, TILE, max(WORK // max(problem.products, 1), TILE))

    def task(rows: slice, columns: slice) -> tuple[int, Ints]:
        first, events, out, parts = piece(planes, s, c, rows, columns, tapped)
        total[rows, columns] = out
        for tap, part in zip(taps, parts, strict=True):
            tap[rows, columns] = part
        return first, events

    found = run(task, work)
    for (rows, columns), (first, _) in zip(work, found, strict=True):
        if first >= 0:
            m, n = divmod(int(first), columns.stop - columns.start)
            raise first_overflow(problem, planes, s, c, rows.start + m, columns.start + n)
    counts = register_events(problem, [count for _, count in found])
    if not tapped:
        return total, {}, counts
    dots, low, scales, terms = taps
    return total, block_taps(problem, planes, c, dots, low, scales) | {"terms": terms} | _sum_taps(problem, s, terms)[0], counts


def dot_taps(shape: tuple[int, int], T: int, n: int, tapped: bool) -> list[Ints]:
    """n arrays of one value a term, empty unless tapped."""
    return [np.zeros((*shape, T) if tapped else (0, 0, 0), np.int64) for _ in range(n)]


def piece(planes: Planes, s: Sum, c: Scaling, rows: slice, columns: slice, tapped: bool) -> tuple[int, Ints, Ints, list[Ints]]:
    """(first output with an error, events, accumulators, taps) of some outputs."""
    from qsim.kernels.block_dot import sum_blocks

    shape = rows.stop - rows.start, columns.stop - columns.start
    out, events, taps = (
        np.empty(shape, np.int64),
        np.zeros((len(s.narrows), 3), np.int64),
        dot_taps(shape, planes.x.shape[1], 4, tapped),
    )
    first = sum_blocks(planes.operands(rows), s, c, planes.like, columns.start, out, events, *taps)
    return first, events, out, taps


def _sum_taps(problem: Problem, s: Sum, terms: Ints) -> tuple[dict[str, Array], Ints]:
    """Taps of the registers after the terms, and the first overflow that is an error."""
    from qsim.kernels.block_dot import trace_sums

    (M, N, T), sums = terms.shape, problem.acc.sums
    assert sums is not None
    partial = np.zeros((M, N, max(T - 1, min(T, 1)) if sums.order == "tree" else T), np.int64)
    spill = np.zeros((M, N, -(-T // sums.chunk) if sums.chunk else 0), np.int64)
    accumulator = np.zeros((M, N), np.int64)
    fault = trace_sums(terms, s, partial, spill, accumulator, np.zeros(len(s.narrows), np.int64))
    taps = {"partial_sums": partial} | ({"spill": spill} if sums.chunk else {}) | {"accumulator": accumulator}
    return taps, fault


def first_overflow(problem: Problem, planes: Planes, s: Sum, c: Scaling, m: int, n: int) -> ValueError:
    """The error of the first output of row m from column n on that has one."""
    from qsim.kernels.int_dot import ACCUMULATOR, LANE, PRODUCT, SPILL
    from qsim.kernels.requantize import ERROR

    names = {PRODUCT: "dot", LANE: "term", ACCUMULATOR: "accumulator", SPILL: "spill"}
    while (found := piece(planes, s, c, slice(m, m + 1), slice(n, n + 1), True))[0] < 0:
        n += 1
    _, events, _, taps = found
    early = next((row for row in (PRODUCT, LANE) if events[row, 0] and s.narrows[row, 0] == ERROR), None)
    if early is not None:
        register, j, value = early, int(events[early, 1]), int(events[early, 2])
    else:
        register, j, value = (int(v) for v in _sum_taps(problem, s, taps[3])[1][:3])
    return overflow_error(problem, names[register], m, n, j, value)


def overflow_error(problem: Problem, name: str, m: int, n: int, j: int, value: int) -> ValueError:
    """What to say of term j of output [m, n] that leaves a register with overflow `error`."""
    narrow = problem.acc.narrows[name]
    text = f"value {value}" if abs(value) < 1 << 62 else "a value of 2^62 or more"
    return ValueError(
        f"output [{m}, {n}]: {text} leaves {narrow.bits} bits at {name}, term {j} of {problem.length} products;"
        f" allowed: {narrow.range[0]} to {narrow.range[1]} (rule A2)"
    )


def register_events(problem: Problem, counts: list[Ints]) -> Events:
    """How often each register changed a value."""
    from qsim.kernels.block_dot import SCALE
    from qsim.kernels.int_dot import ACCUMULATOR, LANE, PRODUCT, SPILL

    rows = {"dot": PRODUCT, "scale": SCALE, "term": LANE, "accumulator": ACCUMULATOR, "spill": SPILL}
    return {name: sum(int(count[rows[name], 0]) for count in counts) for name in problem.acc.registers}


def block_taps(problem: Problem, planes: Planes, c: Scaling, dots: Ints, low: Ints, scales: Ints) -> dict[str, Array]:
    """Taps of block sums and of their scales."""
    found: dict[str, Array] = {"block_dots": joined(dots, 16, low) if planes.wide else dots}
    if c.has_scale:
        found["scale_products"] = scales
    if problem.acc.into != "integer":
        found["exponents"] = planes.exponents()
    return found


def joined(high: Ints, up: int | Ints, low: Ints) -> Array:
    """high * 2^up + low as int64, or as Python ints where one needs more."""
    values = (high.astype(object) << up) + low.astype(object)
    small = all(-(1 << 63) <= v < 1 << 63 for v in values.reshape(-1))
    return np.asarray(values, np.int64 if small else object)
