"""Integer products summed as an accumulator sums them (rule A1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.spec.int_accumulator import IntAccumulator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from qsim.kernels.int_dot import Sum

    Ints = NDArray[np.int64]

WORK = 1 << 22  # products of a piece
WIDEST = 1 << 62
TILE = 256


@dataclass(frozen=True)
class Operands:
    """Checked operands: a (M, K) and w (K, N) as they are multiplied, int32 or int64; the other addends of output [m, n].

    start and bias (N,) stand first and last; the zero points' correction is per_row[m] * slope[n] + offset[n].
    """

    a: NDArray[Any]
    w: NDArray[Any]
    start: Ints
    bias: Ints
    per_row: Ints
    slope: Ints
    offset: Ints

    @property
    def shape(self) -> tuple[int, int]:
        """Of the output."""
        return len(self.a), self.w.shape[1]

    def addends(self, acc: IntAccumulator, rows: slice, columns: slice) -> tuple[Ints, Ints, Ints]:
        """What the sum starts from, the correction and the bias of some outputs, each (rows, columns)."""
        correction = self.per_row[rows, None] * self.slope[columns] + self.offset[columns]
        zero = np.zeros_like(correction)
        start, bias = zero + self.start[columns], zero + self.bias[columns]
        if acc.zero_points == "folded":
            return (start + correction, zero, bias) if acc.bias == "first" else (start, zero, bias + correction)
        return start, correction, bias


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
    """Sums of products of a and w, every add through the registers of `acc`.

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
        ValueError: an overflow of a register with overflow `error`: the first output in C order, then the registers in the order
            of the data, then k; operands that do not fit; values that may leave int64.
    """
    given = operands(a, w, acc, a_zero, w_zero, bias)
    result, counts = _general(given, acc)
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
    work = pieces(M, N, piece=max(WORK // 64 // max(K, 1), 1))
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
    return {
        "products": (K,),
        "lane_sums": (J,),
        "partial_sums": (sums,),
        "spill": (chunks,),
        "corrected": (),
        "accumulator": (),
    }


def operands(a: ArrayLike, w: ArrayLike, acc: IntAccumulator, a_zero: int, w_zero: ArrayLike, bias: ArrayLike | None) -> Operands:
    """Check shapes, types and that no value can leave int64."""
    left, right = _integers("a", a, 2), _integers("w", w, 2)
    (M, K), N = left.shape, right.shape[1]
    if len(right) != K:
        raise ValueError(f"a of shape {left.shape} and w of shape {right.shape}; allowed: (M, K) and (K, N)")
    za, zw = _integers("a_zero", a_zero, 0), _per_column("w_zero", w_zero, N)
    addend = _per_column("bias", 0 if bias is None else bias, N)
    if acc.bias == "float" and (bias is not None or acc.zero_points == "folded"):
        what = "a bias" if bias is not None else "zero_points = 'folded'"
        raise ValueError(f"{what} with accumulator.bias = 'float'; allowed: none, the requantizer adds it (rule A1)")
    before = acc.zero_points == "before"
    spans = [_span(left), _span(right)]
    zeros = [_span(za), _span(zw)]
    shifted = [(s[0] - z[1], s[1] - z[0]) if before else s for s, z in zip(spans, zeros, strict=True)]
    largest = [max(map(abs, s)) for s in shifted]
    if largest[0] * largest[1] > WIDEST:
        raise ValueError(f"a product may reach {largest[0] * largest[1]}; allowed: 2^62 (int64, rule A1)")
    acc.lane_interval(shifted[0], shifted[1])
    (A, W), (z, y) = (max(map(abs, s)) for s in spans), (max(map(abs, s)) for s in zeros)
    rest = max(map(abs, _span(addend))) + (0 if before else K * (z * y + z * W + y * A))
    if rest > WIDEST:
        raise ValueError(f"bias and correction of the zero points may reach {rest}; allowed: 2^62 (int64, rule A1)")
    if before:
        left, right = _minus(left, za, shifted[0]), _minus(right, zw, shifted[1])
        za, zw = np.zeros((), np.int64), np.zeros(N, np.int64)
    small = all(-(1 << 31) <= s[0] and s[1] < 1 << 31 for s in shifted)
    dtype = np.int32 if small else np.int64
    return Operands(
        np.ascontiguousarray(left, dtype),
        np.ascontiguousarray(right, dtype),
        addend if acc.bias == "first" else np.zeros(N, np.int64),
        addend if acc.bias == "last" else np.zeros(N, np.int64),
        left.sum(1, dtype=np.int64),
        -zw,
        K * za * zw - za * right.sum(0, dtype=np.int64),
    )


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


def _general(given: Operands, acc: IntAccumulator) -> tuple[NDArray[Any], dict[str, int]]:
    """Any accumulator, in int64."""
    from qsim.kernels.int_dot import sum_products

    s, (M, N), K = lower(acc), given.shape, given.a.shape[1]
    result = np.empty((M, N), _dtype(acc))
    work = pieces(M, N, TILE, max(WORK // max(K, 1), TILE))

    def task(rows: slice, columns: slice) -> tuple[int, Ints]:
        addends = given.addends(acc, rows, columns)
        out, events = np.empty_like(addends[0]), np.zeros((len(s.narrows), 3), np.int64)
        first = sum_products(given.a[rows], given.w, columns.start, *addends, out, s, events)
        result[rows, columns] = out
        return first, events[:, 0]

    found = run(task, work)
    for (rows, columns), (first, _) in zip(work, found, strict=True):
        if first >= 0:
            m, n = divmod(int(first), columns.stop - columns.start)
            raise _first_overflow(given, acc, rows.start + m, columns.start + n)
    return result, _events(acc, [count for _, count in found])


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
    return _overflow(acc, fault, m, n)


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


def _integers(name: str, values: ArrayLike, ndim: int) -> NDArray[Any]:
    """An integer array of so many dimensions, whose values int64 holds."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != ndim:
        allowed = "an integer" if ndim == 0 else f"integers in {ndim} dimensions"
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}; allowed: {allowed} (rule A1)")
    if array.dtype == np.uint64:
        if array.size and int(array.max()) >> 63:
            raise ValueError(f"{name} holds {array.max()}; allowed: int64 (rule A1)")
        array = array.astype(np.int64)
    return array


def _per_column(name: str, values: ArrayLike, N: int) -> Ints:
    """One number for all columns, or one each, as (N,)."""
    array = _integers(name, values, np.ndim(values))
    if array.shape not in ((), (N,)):
        raise ValueError(f"{name} of shape {array.shape}; allowed: one number or ({N},), one a column (rule A1)")
    return np.array(np.broadcast_to(array, (N,)), np.int64)


def _minus(values: NDArray[Any], zero: NDArray[Any], span: tuple[int, int]) -> NDArray[Any]:
    """values - zero, which lie inside span, in an integer type that holds both."""
    fits = all(-(1 << 31) <= v < 1 << 31 for v in (*span, *_span(values), *_span(zero)))
    dtype = np.int32 if fits else np.int64
    return values.astype(dtype) - zero.astype(dtype)


def _span(values: NDArray[Any]) -> tuple[int, int]:
    """Least and largest value, 0 of an empty array."""
    return (int(values.min()), int(values.max())) if values.size else (0, 0)
