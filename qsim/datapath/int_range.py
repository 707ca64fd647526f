"""Which registers of an integer accumulator can change a value of given operands (rule A1): bounds that hold in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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
    if not w.size:
        return np.zeros(w.shape[1], np.int64), np.zeros(w.shape[1], np.int64)
    groups = np.arange(0, len(w), size)
    positive = np.add.reduceat(np.maximum(w, 0), groups, dtype=np.int64)
    negative = np.add.reduceat(np.minimum(w, 0), groups, dtype=np.int64)
    return (low * positive + high * negative).min(0), (high * positive + low * negative).max(0)


def added(x: Bounds, y: Bounds) -> Bounds:
    """Bounds of the sum."""
    return x[0] + y[0], x[1] + y[1]


def holds(register: Narrow, values: Bounds) -> NDArray[np.bool_]:
    """Which columns the register keeps as they are."""
    low, high = register.range
    return np.asarray((values[0] >= low) & (values[1] <= high))


def idle_registers(
    acc: IntAccumulator, w: NDArray[Any], a: Span, start: Bounds, correction: Bounds, bias: Bounds
) -> dict[str, NDArray[np.bool_]]:
    """For each register the columns (N,) where it changes nothing as long as those before it do not.

    start, correction, bias: bounds of what the last register starts from, of the zero points' correction and of the bias. A
    product is not shifted.
    """
    whole = added(start, partial_sums(w, a, max(len(w), 1)))
    corrected = added(whole, correction)
    entering = {
        "product": partial_sums(w, a, 1),
        "lane": partial_sums(w, a, acc.lanes),
        "accumulator": partial_sums(w, a, acc.chunk) if acc.chunk else whole,
        "spill": whole,
        "zero_points": corrected,
        "bias": added(corrected, bias),
    }
    found = {name: holds(register, entering[name]) for name, register in acc.narrows.items()}
    found["bias"] &= holds(acc.last, start)
    return found
