"""`trace_matmul`: a product with every register on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsim.datapath.datapaths import load_datapath
from qsim.datapath.matmul import (
    Output,
    addend,
    block_operands,
    block_scales,
    float_operand,
    float_pairs,
    operands,
    refuse_block_bias,
    refuse_output,
    refuse_zero_points,
    requantizer_arguments,
    sum_arguments,
)
from qsim.spec.datapath import Datapath
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.int_accumulator import IntAccumulator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Taps = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Trace:
    """A product's result, its taps (registers by stage, outputs (M, N) first) and how often each register changed a value."""

    result: NDArray[Any]
    taps: dict[str, NDArray[Any]]
    events: dict[str, int]


def trace_matmul(
    a: object,
    w: object,
    datapath: str | Path | Datapath,
    *,
    bias: ArrayLike | None = None,
    a_zero_point: int = 0,
    w_zero_point: ArrayLike = 0,
    multiplier: ArrayLike | None = None,
    shift: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    out_scale: float | None = None,
    out_zero_point: ArrayLike = 0,
    thresholds: ArrayLike | None = None,
    clamp: tuple[int, int] | None = None,
) -> Trace:
    """`matmul`, and what every stage held: arguments and result are those of `matmul`.

    Taps in the order of the data, with the registers of docs/datapath.md. Integer accumulators: products, lane_sums,
    partial_sums, spill, corrected, accumulator; then requantizer.product, requantizer.step0..., requantizer.zero_add,
    requantizer.clamped. Float accumulators: products, exponents, aligned, partial_sums, promoted. Block formats:
    docs/block-dot.md. A tap of every product takes M*N*K numbers: trace what a screen or a wave viewer shows.
    """
    output = Output(multiplier, shift, scale, out_scale, out_zero_point, thresholds, clamp)
    return trace(a, w, load_datapath(datapath), bias, (a_zero_point, w_zero_point), output, transposed=False)


def trace(
    a: object,
    w: object,
    datapath: Datapath,
    bias: ArrayLike | None,
    zero_points: tuple[ArrayLike, ArrayLike],
    output: Output,
    *,
    transposed: bool,
) -> Trace:
    """The trace of a product; `transposed` says that w is (N, K)."""
    if isinstance(datapath.accumulator, IntAccumulator):
        return _integer_trace(a, w, datapath, bias, zero_points, output, transposed)
    refuse_zero_points(zero_points, datapath)
    if isinstance(datapath.accumulator, FloatAccumulator):
        refuse_output(output, datapath)
        return _float_trace(a, w, datapath, datapath.accumulator, bias, transposed)
    return _block_trace(a, w, datapath, bias, output, transposed)


def _integer_trace(
    a: object,
    w: object,
    datapath: Datapath,
    bias: ArrayLike | None,
    zero_points: tuple[ArrayLike, ArrayLike],
    output: Output,
    transposed: bool,
) -> Trace:
    from qsim.datapath.accumulate import accumulate_taps

    x, y = operands(a, w, datapath, zero_points, transposed)
    acc, arguments = sum_arguments(x, y, datapath, bias)
    result, taps, events = accumulate_taps(x.values, y.values, acc, **arguments)
    return requantized(result, taps, events, datapath, (x.scale, y.scale), bias, output)


def requantized(
    acc: NDArray[Any],
    taps: Taps,
    events: dict[str, int],
    datapath: Datapath,
    scales: tuple[NDArray[Any] | None, NDArray[Any] | None],
    bias: ArrayLike | None,
    output: Output,
) -> Trace:
    """The trace of an accumulator, with the requantizer's stages where the datapath has one."""
    q = datapath.requantizer
    if q is None:
        refuse_output(output, datapath)
        return Trace(acc, taps, events)
    from qsim.datapath.requantize import requantize_taps

    result, more, counts = requantize_taps(acc, q, **requantizer_arguments(q, datapath, scales, bias, output))
    return Trace(
        result,
        taps | {f"requantizer.{name}": value for name, value in more.items()},
        events | {f"requantizer.{name}": n for name, n in counts.items()},
    )


def _block_trace(a: object, w: object, datapath: Datapath, bias: ArrayLike | None, output: Output, transposed: bool) -> Trace:
    from qsim.datapath.block_matmul import block_matmul_taps, block_sums

    x, y, acc = block_operands(a, w, datapath)
    if datapath.requantizer is not None:
        refuse_block_bias(bias, datapath)
    result, taps, events = block_matmul_taps(x, y, acc, w_rows=transposed, c=bias)
    if datapath.requantizer is None:
        refuse_output(output, datapath)
        return Trace(result, taps, events)
    sums = block_sums(x, y, acc, w_rows=transposed)
    return requantized(sums.sums, taps, events, datapath, block_scales(sums), None, output)


def _float_trace(
    a: object, w: object, datapath: Datapath, acc: FloatAccumulator, bias: ArrayLike | None, transposed: bool
) -> Trace:
    from qsim.datapath.dot import dot_taps

    x, y = float_operand(a, datapath, "activation"), float_operand(w, datapath, "weight", transposed)
    m, n = float_pairs(x, y, transposed)
    left, right = x.repeat(n, axis=0), y[None].repeat(m, axis=0).reshape(m * n, -1)
    names = tuple(fmt.name for fmt in (datapath.activation, datapath.weight) if fmt is not None)
    result, taps = dot_taps(left, right, addend(bias, (m, n)).reshape(-1), acc, operand=(names[0], names[1]))
    return Trace(result.reshape(m, n), {name: tap.reshape(m, n, *tap.shape[1:]) for name, tap in taps.items()}, {})
