"""Which registers of an integer accumulator can change a value of given operands (rule A1): bounds that hold in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.datapath.gemm import exact_gemm
from qsim.spec.int_accumulator import IntAccumulator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qsim.spec.requantizer import Narrow

    Ints = NDArray[np.int64]
    Bounds = tuple[Ints, Ints]

Span = tuple[int, int]


def span(values: NDArray[Any]) -> Span:
    """Least and largest value, 0 of an empty array."""
    return (int(values.min()), int(values.max())) if values.size else (0, 0)


def partial_sums(w: NDArray[Any], a: Span, size: int) -> Bounds:
    """Bounds (N,) of the sum of any products of one column that stand in one group of `size` neighbours; a bounds the factors."""
    low, high = min(a[0], 0), max(a[1], 0)
    if size == 1:
        most, least = w.max(0, initial=0).astype(np.int64), w.min(0, initial=0).astype(np.int64)
        return np.minimum(low * most, high * least), np.maximum(high * most, low * least)
    positive, negative = (_group_sums(part, size) for part in (np.maximum(w, 0), np.minimum(w, 0)))
    return (low * positive + high * negative).min(0, initial=0), (high * positive + low * negative).max(0, initial=0)


def _group_sums(w: NDArray[Any], size: int) -> Ints:
    """Column sums of every `size` neighbouring rows: (groups, N)."""
    low, high = span(w)
    dtype = np.int32 if max(-low, high) * size < 1 << 31 else np.int64  # a sum without a cast is several times faster
    full = len(w) // size * size
    sums = w[:full].reshape(full // size, size, w.shape[1]).sum(1, dtype=dtype)
    return np.concatenate([sums, w[full:].sum(0, dtype=dtype)[None]]).astype(np.int64)


def reached_sums(a: NDArray[Any], w: NDArray[Any]) -> Bounds:
    """Bounds (N,) of the sum of any products of one output of the column: those of one sign, from the sums of p and of |p|."""
    (x, negative), (y, opposite) = _one_sign(a), _one_sign(w)
    size, total = exact_gemm(x, y), exact_gemm(a, w)
    size = -size if negative != opposite else size
    unsigned = f"uint{8 * total.itemsize}"  # size + total and size - total are twice a magnitude: one bit more, no sign
    most, least = (twice.view(unsigned).max(0, initial=0).astype(np.int64) // 2 for twice in (size + total, size - total))
    return -least, most


def _one_sign(x: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Magnitudes, negated where x has a negative value: in the same range of codes, the lowest included."""
    return (np.minimum(x, -x), True) if span(x)[0] < 0 else (x, False)


def added(x: Bounds, y: Bounds) -> Bounds:
    """Bounds of the sum."""
    return x[0] + y[0], x[1] + y[1]


def holds(register: Narrow, values: Bounds) -> NDArray[np.bool_]:
    """Which columns the register keeps as they are."""
    low, high = register.range
    return np.asarray((values[0] >= low) & (values[1] <= high))


def idle_registers(
    acc: IntAccumulator, a: NDArray[Any], w: NDArray[Any], start: Bounds, correction: Bounds, bias: Bounds
) -> dict[str, NDArray[np.bool_]]:
    """For each register the columns (N,) where it changes nothing as long as those before it do not.

    start, correction, bias: bounds of what the last register starts from, of the zero points' correction and of the bias. A
    product is not shifted, and twice an exact sum fits int64.
    """
    sizes = {"product": 1, "lane": acc.lanes} | ({"accumulator": acc.chunk} if acc.chunk else {})
    groups = {name: partial_sums(w, span(a), size) for name, size in sizes.items() if name in acc.narrows}

    def idle(sums: Bounds) -> dict[str, NDArray[np.bool_]]:
        whole = added(start, sums)
        corrected = added(whole, correction)
        ends = {"accumulator": whole, "spill": whole, "zero_points": corrected, "bias": added(corrected, bias)} | groups
        found = {name: holds(register, ends[name]) for name, register in acc.narrows.items()}
        return found | {"bias": found["bias"] & holds(acc.last, start)}

    found = idle(partial_sums(w, span(a), max(len(w), 1)))
    return found if all(mask.all() for mask in found.values()) else idle(reached_sums(a, w))
