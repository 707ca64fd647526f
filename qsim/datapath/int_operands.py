"""Operands of an integer accumulation (rule A1), checked: no value on the way can leave int64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.datapath.int_range import added, idle_registers, span
from qsim.spec.int_accumulator import IntAccumulator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Ints = NDArray[np.int64]

WIDEST = 1 << 62
INT32 = 1 << 31


@dataclass(frozen=True)
class Operands:
    """a (M, K) and w (K, N) as they are multiplied, int32 or int64, and the other addends of output [m, n].

    start and bias (N,) stand first and last; the zero points' correction is per_row[m] * slope[n] + offset[n]. bound: no sum of
    products and addends exceeds it. column: n of each column in the whole output.
    """

    a: NDArray[Any]
    w: NDArray[Any]
    start: Ints
    bias: Ints
    per_row: Ints
    slope: Ints
    offset: Ints
    bound: int
    column: Ints

    @property
    def shape(self) -> tuple[int, int]:
        """Of the output."""
        return len(self.a), self.w.shape[1]

    def only(self, kept: NDArray[np.bool_]) -> Operands:
        """The columns kept."""
        if kept.all():
            return self
        each = {name: getattr(self, name)[kept] for name in ("start", "bias", "slope", "offset", "column")}
        return replace(self, w=np.ascontiguousarray(self.w[:, kept]), **each)

    def addends(self, acc: IntAccumulator, rows: slice, columns: slice) -> tuple[Ints, Ints, Ints]:
        """What the sum starts from, the correction and the bias of some outputs, each (rows, columns)."""
        correction = self.per_row[rows, None] * self.slope[columns] + self.offset[columns]
        zero = np.zeros_like(correction)
        start, bias = zero + self.start[columns], zero + self.bias[columns]
        if acc.zero_points == "folded":
            return (start + correction, zero, bias) if acc.bias == "first" else (start, zero, bias + correction)
        return start, correction, bias

    def idle_registers(self, acc: IntAccumulator) -> dict[str, NDArray[np.bool_]]:
        """For each register the columns where it changes nothing as long as those before it do not.

        Empty where products are shifted, and where twice an exact sum may leave int64.
        """
        if self.bound >= WIDEST or (acc.product is not None and acc.product.shift.offset):
            return {}
        low, high = (edge * self.slope + self.offset for edge in span(self.per_row))
        correction = np.minimum(low, high), np.maximum(low, high)
        start, bias, none = (self.start, self.start), (self.bias, self.bias), (0 * self.start, 0 * self.start)
        if acc.zero_points == "folded" and acc.bias == "first":
            start, correction = added(start, correction), none
        elif acc.zero_points == "folded":
            bias, correction = added(bias, correction), none
        return idle_registers(acc, self.a, self.w, start, correction, bias)


def operands(a: ArrayLike, w: ArrayLike, acc: IntAccumulator, a_zero: int, w_zero: ArrayLike, bias: ArrayLike | None) -> Operands:
    """Check shapes, types and ranges."""
    left, right = _integers("a", a, 2), _integers("w", w, 2)
    K, N = right.shape
    if left.shape[1] != K:
        raise ValueError(f"a of shape {left.shape} and w of shape {right.shape}; allowed: (M, K) and (K, N)")
    za, zw = _integers("a_zero", a_zero, 0), _per_column("w_zero", w_zero, N)
    addend = _per_column("bias", 0 if bias is None else bias, N)
    if acc.bias == "float" and (bias is not None or acc.zero_points == "folded"):
        what = "a bias" if bias is not None else "zero_points = 'folded'"
        raise ValueError(f"{what} with accumulator.bias = 'float'; allowed: none, the requantizer adds it (rule A1)")
    spans, zeros = (span(left), span(right)), (span(za), span(zw))
    factors = spans
    if acc.zero_points == "before":
        factors = (_apart(spans[0], zeros[0]), _apart(spans[1], zeros[1]))
    product = _largest(factors[0]) * _largest(factors[1])
    if product > WIDEST:
        raise ValueError(f"a product may reach {product}; allowed: 2^62 (int64, rule A1)")
    acc.lane_interval(*factors)
    (A, W), (z, y) = map(_largest, spans), map(_largest, zeros)
    correction = 0 if acc.zero_points == "before" else K * (z * y + z * W + y * A)
    if max(correction, K * z * y) + _largest(span(addend)) > WIDEST:
        raise ValueError(f"bias and zero points may add {correction + _largest(span(addend))}; allowed: 2^62 (int64, rule A1)")
    if acc.zero_points == "before":
        left, right = _minus(left, za, factors[0]), _minus(right, zw, factors[1])
        za, zw = 0 * za, 0 * zw
    dtype = np.int32 if all(_in_int32(f) for f in factors) else np.int64
    return Operands(
        a=np.ascontiguousarray(left, dtype),
        w=np.ascontiguousarray(right, dtype),
        start=addend if acc.bias == "first" else 0 * addend,
        bias=addend if acc.bias == "last" else 0 * addend,
        per_row=left.sum(1, dtype=np.int64) if zw.any() else np.zeros(len(left), np.int64),
        slope=-zw,
        offset=K * za.astype(np.int64) * zw - (za * right.sum(0, dtype=np.int64) if za else 0),
        bound=K * product + correction + _largest(span(addend)),
        column=np.arange(N),
    )


def _integers(name: str, values: ArrayLike, ndim: int) -> NDArray[Any]:
    """An integer array of so many dimensions, whose values int64 holds."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != ndim:
        allowed = "an integer" if ndim == 0 else f"integers in {ndim} dimensions"
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}; allowed: {allowed} (rule A1)")
    if array.dtype == np.uint64 and array.size and int(array.max()) >> 63:
        raise ValueError(f"{name} holds {array.max()}; allowed: int64 (rule A1)")
    return array.astype(np.int64) if array.dtype == np.uint64 else array


def _per_column(name: str, values: ArrayLike, N: int) -> Ints:
    """One number for all columns, or one each, as (N,)."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.shape not in ((), (N,)):
        allowed = f"integers, one for all columns or ({N},)"
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}; allowed: {allowed} (rule A1)")
    return np.array(np.broadcast_to(_integers(name, array, array.ndim), (N,)), np.int64)


def _minus(values: NDArray[Any], zero: NDArray[Any], inside: tuple[int, int]) -> NDArray[Any]:
    """values - zero, which lie inside, in an integer type that holds all of them."""
    dtype = np.int32 if all(map(_in_int32, (inside, span(values), span(zero)))) else np.int64
    difference: NDArray[Any] = values.astype(dtype) - zero.astype(dtype)
    return difference


def _apart(x: tuple[int, int], y: tuple[int, int]) -> tuple[int, int]:
    return x[0] - y[1], x[1] - y[0]


def _largest(x: tuple[int, int]) -> int:
    return max(abs(x[0]), abs(x[1]))


def _in_int32(x: tuple[int, int]) -> bool:
    return x[0] >= -INT32 and x[1] < INT32
