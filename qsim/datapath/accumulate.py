"""Integer products summed as an accumulator sums them (rule A1).

Columns where no register can change a value are an exact matrix product; the others are summed add by add, in int32 where the
accumulator saturates or wraps and is narrow enough, else in int64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.datapath.gemm import exact_gemm
from qsim.datapath.int_operands import INT32, Operands, operands
from qsim.datapath.int_range import partial_sums, span
from qsim.spec.int_accumulator import IntAccumulator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from qsim.kernels.int_dot import Sum

    Ints = NDArray[np.int64]
    Masks = dict[str, NDArray[np.bool_]]

WORK = 1 << 24  # products of a piece
TAPS = 1 << 16
TILE = 256  # columns, and at most so many rows, of a piece
LANES = 32  # of a compiled loop over columns
MAX_LANES = 4096  # of the int32 kernel


def accumulate(
    a: ArrayLike,
    w: ArrayLike,
    acc: IntAccumulator,
    *,
    a_zero: int = 0,
    w_zero: ArrayLike = 0,
    bias: ArrayLike | None = None,
    events: dict[str, int] | None = None,
) -> NDArray[Any]:
    """Sums of products of a and w, every value through the registers of `acc`.

    Args:
        a: integers of shape (M, K).
        w: integers of shape (K, N).
        acc: the accumulator.
        a_zero: zero point of a.
        w_zero: zero point of w, one number or one a column.
        bias: integers of shape (N,), or None.
        events: filled with how often each register changed a value (A4).

    Returns:
        (M, N), int32 where the last register has 32 bits or fewer, else int64.

    Raises:
        ValueError: an overflow of a register with overflow `error`: the first output in C order, there the first in the order of
            the data; operands that do not fit; values that may leave int64.
    """
    given = operands(a, w, acc, a_zero, w_zero, bias)
    idle = given.idle_registers(acc)
    exact = _exact_columns(acc, idle, wraps=events is None) if idle else np.zeros(given.shape[1], np.bool_)
    if exact.all():
        result, counts = _exact(given, acc), dict.fromkeys(acc.registers, 0)
    elif not exact.any():
        result, counts = _summed(given, acc, idle, events is not None)
    else:
        rest, result = ~exact, np.empty(given.shape, _dtype(acc))
        result[:, exact] = _exact(given.only(exact), acc)
        result[:, rest], counts = _summed(given.only(rest), acc, {k: v[rest] for k, v in idle.items()}, events is not None)
    if events is not None:
        events.clear()
        events.update(counts)
    return result


def accumulate_taps(
    a: ArrayLike,
    w: ArrayLike,
    acc: IntAccumulator,
    *,
    a_zero: int = 0,
    w_zero: ArrayLike = 0,
    bias: ArrayLike | None = None,
) -> tuple[NDArray[Any], dict[str, Ints], dict[str, int]]:
    """The result of `accumulate`, every value on the way as int64 by the tap's name, and the events.

    Taps: products (M, N, K) after their register; lane_sums (M, N, J), J = K / lanes rounded up; partial_sums (M, N, J), the
    accumulator after every add, of a tree (M, N, J - 1) its sums level by level, the root last; spill (M, N, chunks) if chunked;
    corrected (M, N) with zero_points = 'after'; accumulator (M, N).
    """
    given = operands(a, w, acc, a_zero, w_zero, bias)
    (M, N), K = given.shape, given.a.shape[1]
    taps = {name: np.empty((M, N, *size), np.int64) for name, size in tap_sizes(acc, K).items()}
    work = pieces(M, N, piece=max(TAPS // max(K, 1), 1))
    found = run(lambda rows, columns: _trace(given, acc, rows, columns, [t[rows, columns] for t in taps.values()]), work)
    for (rows, columns), (fault, _) in zip(work, found, strict=True):
        if fault[0] >= 0:
            m, n = divmod(int(fault[3]), columns.stop - columns.start)
            raise _overflow(acc, fault, rows.start + m, columns.start + n)
    absent = {"spill": acc.order != "chunked", "corrected": acc.zero_points != "after"}
    kept = {name: tap for name, tap in taps.items() if not absent.get(name)}
    return taps["accumulator"].astype(_dtype(acc)), kept, _events(acc, [count for _, count in found])


def tap_sizes(acc: IntAccumulator, K: int) -> dict[str, tuple[int, ...]]:
    """Values of each tap for one output."""
    J = -(-K // acc.lanes)
    sums = max(J - 1, min(J, 1)) if acc.order == "tree" else J
    chunks = -(-K // acc.chunk) if acc.chunk else 0
    each = {"products": (K,), "lane_sums": (J,), "partial_sums": (sums,), "spill": (chunks,)}
    return each | {"corrected": (), "accumulator": ()}


def lower(acc: IntAccumulator) -> Sum:
    """The accumulator in the kernels' integers."""
    from qsim.kernels import int_dot as kernel
    from qsim.kernels.requantize import ADDENDS, NARROWS, NONE

    narrows = np.zeros((len(kernel.REGISTERS), 3), np.int64)
    narrows[:, 0] = NONE
    for name, register in acc.narrows.items():
        narrows[kernel.REGISTERS.index(name)] = NARROWS[register.overflow], *register.range
    shift, sticky = (0, None) if acc.product is None else (acc.product.shift.offset, acc.product.sticky_bits)
    cut = 0 if sticky is None else max(shift - sticky - 1, 0)
    chooser, (below0, half0), (below1, half1) = ADDENDS["floor" if acc.product is None else acc.product.rounding]
    step = (int(shift == cut), 0, int(cut > 0), 0, chooser, below0, half0, below1, half1)
    return kernel.Sum(acc.lanes, acc.chunk or 0, acc.order == "tree", step, cut, shift - cut, narrows)


def _exact_columns(acc: IntAccumulator, idle: Masks, wraps: bool) -> NDArray[np.bool_]:
    """Columns where every register is idle; with wraps also those where all from the first busy one on only drop high bits.

    A sum whose registers wrap at the last one's width or above is the exact sum modulo that width, in any order.
    """
    quiet = np.ones_like(idle["bias"])
    right = quiet.copy()
    for name, register in acc.narrows.items():
        quiet &= idle[name]
        drops = wraps and acc.last.overflow == register.overflow == "wrap" and register.bits >= acc.last.bits
        right &= quiet | drops
    return right


def _exact(given: Operands, acc: IntAccumulator) -> NDArray[Any]:
    """The exact sums, in the range of a last register that wraps."""
    total = exact_gemm(given.a, given.w)
    addends = given.start + given.bias + given.offset
    if addends.any():
        total = total + addends
    if given.slope.any():
        total = total + given.per_row[:, None] * given.slope
    if acc.last.overflow == "wrap":
        low, high = acc.last.range
        if span(total)[0] < low or span(total)[1] > high:
            total = ((total - low) & (high - low)) + low
    return total.astype(_dtype(acc), copy=False)


def _summed(given: Operands, acc: IntAccumulator, idle: Masks, counted: bool) -> tuple[NDArray[Any], dict[str, int]]:
    """Every value through its register: (M, N) and the events."""
    from qsim.kernels.int_dot import sum_products
    from qsim.kernels.int_dot_fast import sum_int32

    errors = [name for name, register in acc.narrows.items() if register.overflow == "error"]
    if fast := _in_int32(given, acc, idle):
        s, register, wraps = fast
        flag = True if counted or errors or wraps else None  # compiled apart: a kernel that does not count is faster
        tiles = _tiles(given.w, np.int16, LANES)
        result, events, _ = _in_tiles(given, acc, tiles, s, lambda *arguments: sum_int32(*arguments, register, wraps, flag))
        if not any(events[name] for name in errors):
            return result, events
    result, events, first = _in_tiles(given, acc, _tiles(given.w, given.w.dtype), lower(acc), sum_products)
    if first:
        raise _first_overflow(given, acc, *first)
    return result, events


def _tiles(w: NDArray[Any], dtype: DTypeLike, unit: int = 1) -> list[NDArray[Any]]:
    """The columns of w by TILE; zero columns fill the last one up to a multiple of `unit`."""
    tiles = []
    for n in range(0, w.shape[1], TILE):
        part = w[:, n : n + TILE].astype(dtype)
        tiles.append(np.pad(part, ((0, 0), (0, -part.shape[1] % unit))))
    return tiles


def _in_tiles(
    given: Operands, acc: IntAccumulator, tiles: list[NDArray[Any]], s: Sum, kernel: Callable[..., int]
) -> tuple[NDArray[Any], dict[str, int], tuple[int, int] | None]:
    """The sums, the events, and the place (m, n) from which on row m has the first error. tiles: of w."""
    (M, N), K = given.shape, given.a.shape[1]
    result = np.empty((M, N), _dtype(acc))
    each = min(max(WORK // (TILE * max(K, 1)), 2), TILE)
    columns = [slice(n, min(n + TILE, N)) for n in range(0, N, TILE)]
    work = [(slice(m, min(m + each, M)), part) for m in range(0, M, each) for part in columns]

    def task(rows: slice, part: slice) -> tuple[int, Ints]:
        addends = given.addends(acc, rows, part)
        out, events = np.empty_like(addends[0]), np.zeros((len(s.narrows), 3), np.int64)
        first = kernel(given.a[rows], tiles[part.start // TILE], *addends, out, s, events)
        result[rows, part] = out
        return first, events[:, 0]

    found = run(task, work)
    places = [(rows.start + first, part.start) for (rows, part), (first, _) in zip(work, found, strict=True) if first >= 0]
    return result, _events(acc, [count for _, count in found]), min(places, default=None)


def _in_int32(given: Operands, acc: IntAccumulator, idle: Masks) -> tuple[Sum, int, bool | None] | None:
    """The accumulator as the int32 kernel takes it, the register that lane sums enter, and whether it wraps; None: it cannot.

    Chunks that cannot overflow are exact lane sums that enter `spill`. A sum of lane sums that saturate stays inside the bounds
    of the exact one.
    """
    from qsim.kernels.int_dot import ACCUMULATOR, SPILL

    if not idle:
        return None
    s, name = lower(acc), "accumulator"
    saturates = ("saturate", "saturate_symmetric", "error")
    exact = {other: other not in idle or bool(idle[other].all()) for other in ("product", "lane")}
    if acc.chunk and exact["lane"] and idle["accumulator"].all():
        s, name = s._replace(lanes=acc.chunk, chunk=0), "spill"
    register = acc.narrows[name]
    if acc.order == "tree" or register.overflow == "saturate_zero" or given.a.dtype != np.int32 or s.lanes > MAX_LANES:
        return None
    if not exact["product"] or not (exact["lane"] or (acc.lane and acc.lane.overflow in saturates and acc.lane.bits <= 32)):
        return None
    if max(map(abs, span(given.w))) >> 15:
        return None
    sums = partial_sums(given.w, span(given.a), s.lanes)
    low, high = (0, 0) if idle[name].all() else register.range
    if register.bits > 32 or low + span(sums[0])[0] < -INT32 or high + span(sums[1])[1] >= INT32:
        return None
    busy = register.overflow == "wrap" and not idle[name].all()
    return s, SPILL if name == "spill" else ACCUMULATOR, True if busy else None


def _trace(
    given: Operands, acc: IntAccumulator, rows: slice, columns: slice, taps: list[Ints] | None = None
) -> tuple[Ints, Ints]:
    """(first overflow that is an error, events) of some outputs; taps: where their values go."""
    from qsim.kernels.int_dot import REGISTERS, trace_products

    addends = given.addends(acc, rows, columns)
    taps = taps or [np.empty((*addends[0].shape, *size), np.int64) for size in tap_sizes(acc, given.a.shape[1]).values()]
    events = np.zeros(len(REGISTERS), np.int64)
    w = np.ascontiguousarray(given.w[:, columns].T)
    return trace_products(given.a[rows], w, *addends, lower(acc), tuple(taps), events), events


def _first_overflow(given: Operands, acc: IntAccumulator, m: int, n: int) -> ValueError:
    """The error of the first output of row m from column n on that has one."""
    while (fault := _trace(given, acc, slice(m, m + 1), slice(n, n + 1))[0])[0] < 0:
        n += 1
    return _overflow(acc, fault, m, int(given.column[n]))


def _overflow(acc: IntAccumulator, fault: Ints, m: int, n: int) -> ValueError:
    from qsim.kernels.int_dot import REGISTERS

    name, k, value = REGISTERS[fault[0]], int(fault[1]), int(fault[2])
    register = acc.narrows[name]
    low, high = register.range
    return ValueError(
        f"output [{m}, {n}]: value {value} leaves {register.bits} bits at {name}, k = {k}; allowed: {low} to {high} (rule A1)"
    )


def _events(acc: IntAccumulator, counts: list[Ints]) -> dict[str, int]:
    """How often each register of the accumulator changed a value."""
    from qsim.kernels.int_dot import REGISTERS

    return {name: sum(int(count[REGISTERS.index(name)]) for count in counts) for name in acc.registers}


def _dtype(acc: IntAccumulator) -> str:
    return "int32" if acc.last.bits <= 32 else "int64"
