"""Matrix products as a named datapath computes them: accumulate (rules A), then requantize (rules Q)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.codec.input import as_float32
from qsim.codec.qtensor import QTensor
from qsim.datapath.datapaths import load_datapath
from qsim.datapath.multiplier import effective_scale
from qsim.datapath.operands import Operand, check_axis, check_format, check_range, integer_operand, shape_of
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.datapath import Datapath
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Requantizer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from qsim.datapath.block_matmul import BlockSums

#: Rows of (activation row, weight column) pairs that a float accumulator gets at once, in elements.
PAIRS = 1 << 22


@dataclass(frozen=True)
class Output:
    """Arguments of the requantization that may follow; names and meaning as in `qsim.requantize`.

    out_scale: the output's scale, where the operands are QTensors: the multiplier is prepared from all three (rule Q4).
    """

    multiplier: ArrayLike | None = None
    shift: ArrayLike | None = None
    scale: ArrayLike | None = None
    out_scale: float | None = None
    out_zero_point: ArrayLike = 0
    thresholds: ArrayLike | None = None
    clamp: tuple[int, int] | None = None

    def given(self) -> list[str]:
        """Names of the arguments that are set."""
        names = ("multiplier", "shift", "scale", "out_scale", "thresholds", "clamp")
        return [n for n in names if getattr(self, n) is not None] + (["out_zero_point"] if np.any(self.out_zero_point) else [])


def matmul(
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
    events: dict[str, int] | None = None,
) -> NDArray[Any]:
    """a @ w as the datapath computes it, bit for bit.

    Args:
        a: (M, K) integers, or a QTensor of the activation's format (blocks along axis 1); for a float accumulator float32
            values of its operand format (float64 is first rounded to float32, rule R4), or a QTensor.
        w: (K, N), the same for the weight (blocks along axis 0).
        datapath: a name of `datapath_names()`, the path of a TOML file, or a Datapath.
        bias: (N,) integers in units of the accumulator. Floats for an accumulator with bias = "float", which stand for
            b / (s_a * s_w), each once to float32. (N,) or (M, N) float32 for a float accumulator: its addend c.
        a_zero_point: of an integer array; a QTensor carries its own.
        w_zero_point: the same, one number or (N,).
        multiplier: what the requantizer's preset takes, one number or (N,) (see `requantize`).
        shift: the same.
        scale: the same.
        thresholds: the same.
        out_scale: instead of them, the scale of the output, where both operands are QTensors (rule Q4).
        out_zero_point: zero point of the output.
        clamp: activation range (low, high) in output codes; default: the datapath's.
        events: filled with how often each register changed a value; the requantizer's are named requantizer.NAME.

    Returns:
        (M, N): output codes as signed or unsigned integers where the datapath requantizes; else the accumulator, int32 or
        int64; float32 for block formats and float accumulators.

    Raises:
        ValueError: shapes that do not match, operands of another format or whose blocks do not run along K, values outside
            their format, a register with overflow = "error" that overflows (names output, k and value), arguments that the
            preset does not take.
    """
    output = Output(multiplier, shift, scale, out_scale, out_zero_point, thresholds, clamp)
    return product(a, w, load_datapath(datapath), bias, (a_zero_point, w_zero_point), output, events, transposed=False)


def linear(
    x: object,
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
    events: dict[str, int] | None = None,
) -> NDArray[Any]:
    """x @ w.T as the datapath computes it: `matmul` with w of shape (N, K), as layers store it, blocks along axis 1."""
    output = Output(multiplier, shift, scale, out_scale, out_zero_point, thresholds, clamp)
    return product(x, w, load_datapath(datapath), bias, (a_zero_point, w_zero_point), output, events, transposed=True)


def product(
    a: object,
    w: object,
    datapath: Datapath,
    bias: ArrayLike | None,
    zero_points: tuple[ArrayLike, ArrayLike],
    output: Output,
    events: dict[str, int] | None,
    *,
    transposed: bool,
) -> NDArray[Any]:
    """What `matmul` and `linear` share; `transposed` says that w is (N, K)."""
    found: dict[str, int] | None = None if events is None else {}
    if isinstance(datapath.accumulator, FloatAccumulator):
        refuse_zero_points(zero_points, datapath)
        refuse_output(output, datapath)
        result = float_product(a, w, datapath, bias, transposed)
    elif isinstance(datapath.accumulator, IntAccumulator):
        x, y = operands(a, w, datapath, zero_points, transposed)
        acc = accumulated(x, y, datapath, bias, found)
        result = finish(acc, datapath, (x.scale, y.scale), bias, output, found)
    else:
        refuse_zero_points(zero_points, datapath)
        result = block_product(a, w, datapath, bias, output, found, transposed)
    if events is not None and found is not None:
        events.clear()
        events.update(found)
    return result


def operands(
    a: object, w: object, datapath: Datapath, zero_points: tuple[ArrayLike, ArrayLike], transposed: bool
) -> tuple[Operand, Operand]:
    """Both operands of an integer accumulator, (M, K) and (K, N), checked."""
    x = integer_operand(a, datapath, "activation", zero_points[0])
    y = integer_operand(w, datapath, "weight", zero_points[1], transposed)
    if x.values.shape[1] != y.values.shape[0]:
        given = y.values.shape[::-1] if transposed else y.values.shape
        raise ValueError(
            f"activation {x.values.shape} and weight {given}; allowed: {shape_of('weight', transposed)} with the same K"
        )
    return x, y


def accumulated(
    x: Operand, y: Operand, datapath: Datapath, bias: ArrayLike | None, events: dict[str, int] | None
) -> NDArray[Any]:
    """The accumulator of every output, (M, N), int32 where its register has 32 bits or fewer, else int64."""
    from qsim.datapath.accumulate import accumulate

    acc, arguments = sum_arguments(x, y, datapath, bias)
    return accumulate(x.values, y.values, acc, **arguments, events=events)


def sum_arguments(x: Operand, y: Operand, datapath: Datapath, bias: ArrayLike | None) -> tuple[IntAccumulator, dict[str, Any]]:
    """The accumulator, and the keyword arguments of `accumulate`."""
    acc = datapath.accumulator
    assert isinstance(acc, IntAccumulator)
    given = None if bias is None or acc.bias == "float" else integer_bias(bias, y.values.shape[1])
    return acc, {"a_zero": int(x.zero), "w_zero": y.zero if y.zero.ndim else int(y.zero), "bias": given}


def integer_bias(bias: ArrayLike, outputs: int) -> NDArray[np.int64]:
    """A bias of an integer accumulator."""
    values = np.asarray(bias)
    if values.dtype.kind not in "iu" or values.shape != (outputs,):
        raise ValueError(f"bias is {values.dtype} of shape {values.shape}; allowed: integers of shape ({outputs},)")
    check_range(values, -(1 << 63), (1 << 63) - 1, "bias")
    return values.astype(np.int64)


def finish(
    acc: NDArray[Any],
    datapath: Datapath,
    scales: tuple[NDArray[Any] | None, NDArray[Any] | None],
    bias: ArrayLike | None,
    output: Output,
    events: dict[str, int] | None,
) -> NDArray[Any]:
    """The accumulators requantized, or as they are where the datapath has no requantizer."""
    q = datapath.requantizer
    if q is None:
        refuse_output(output, datapath)
        return acc
    from qsim.datapath.requantize import requantize

    counts: dict[str, int] | None = None if events is None else {}
    result = requantize(acc, q, **requantizer_arguments(q, datapath, scales, bias, output), events=counts)
    if events is not None and counts is not None:
        events.update({f"requantizer.{name}": n for name, n in counts.items()})
    return result


def requantizer_arguments(
    q: Requantizer,
    datapath: Datapath,
    scales: tuple[NDArray[Any] | None, NDArray[Any] | None],
    bias: ArrayLike | None,
    output: Output,
) -> dict[str, Any]:
    """Keyword arguments of `requantize`; the multiplier from the scales where out_scale is given."""
    multiplier, shift, scale = output.multiplier, output.shift, output.scale
    if output.out_scale is not None:
        if multiplier is not None or shift is not None or scale is not None:
            raise ValueError("out_scale beside multiplier, shift or scale; allowed: one of them (rule Q4)")
        if scales[0] is None or scales[1] is None:
            raise ValueError(
                "out_scale with operands that carry no scale; allowed: QTensors, or scale=, or multiplier= and shift="
            )
        if scales[0].size > 1:
            raise ValueError(
                f"activation scales of shape {scales[0].shape}; allowed with out_scale: granularity='tensor' (rule Q4)"
            )
        scale = effective_scale(scales[0].reshape(()), scales[1], output.out_scale, q.prep.ratio)
    arguments: dict[str, Any] = {
        "multiplier": multiplier,
        "shift": shift,
        "scale": scale,
        "zero_point": output.out_zero_point,
        "thresholds": output.thresholds,
        "out_format": datapath.out_format,
        "clamp": output.clamp if output.clamp is not None else datapath.clamp,
    }
    if isinstance(datapath.accumulator, IntAccumulator) and datapath.accumulator.bias == "float" and bias is not None:
        arguments["float_bias"] = bias
    return arguments


def refuse_output(output: Output, datapath: Datapath) -> None:
    """ValueError for arguments of a requantizer that the datapath does not have."""
    if output.given():
        raise ValueError(f"{', '.join(output.given())}: {datapath.name} has no requantizer; allowed: none of these arguments")


def refuse_zero_points(zero_points: tuple[ArrayLike, ArrayLike], datapath: Datapath) -> None:
    """ValueError for zero points of operands that have none."""
    if np.any(zero_points[0]) or np.any(zero_points[1]):
        raise ValueError(f"a_zero_point, w_zero_point: the operands of {datapath.name} have none; allowed: 0")


def float_product(a: object, w: object, datapath: Datapath, bias: ArrayLike | None, transposed: bool) -> NDArray[np.float32]:
    """Rows of a with columns of w through a float accumulator; bias is its addend c."""
    x, y = float_operand(a, datapath, "activation"), float_operand(w, datapath, "weight", transposed)
    m, n = float_pairs(x, y, transposed)
    c = addend(bias, (m, n))
    result = np.empty((m, n), np.float32)
    step = max(PAIRS // max(y.size, 1), 1)
    for start in range(0, m, step):
        rows = x[start : start + step]
        left, right = np.repeat(rows, n, axis=0), np.tile(y, (len(rows), 1))
        result[start : start + step] = float_rows(left, right, c[start : start + step].reshape(-1), datapath).reshape(-1, n)
    return result


def float_pairs(x: NDArray[np.float32], y: NDArray[np.float32], transposed: bool) -> tuple[int, int]:
    """(M, N) of rows (M, K) and (N, K)."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"activation {x.shape} and weight {y.shape if transposed else y.shape[::-1]}; allowed: the same K")
    return x.shape[0], y.shape[0]


def float_rows(a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32], datapath: Datapath) -> NDArray[np.float32]:
    """`qsim.dot` with the datapath's operands."""
    from qsim.datapath.dot import dot

    acc = datapath.accumulator
    assert isinstance(acc, FloatAccumulator)
    assert datapath.activation is not None
    assert datapath.weight is not None
    return dot(a, b, c, acc, operand=(datapath.activation.name, datapath.weight.name))


def float_operand(x: object, datapath: Datapath, side: str, transposed: bool = True) -> NDArray[np.float32]:
    """Rows along K: (M, K), or (N, K) of a weight that is (K, N) unless `transposed`."""
    if isinstance(x, QTensor):
        check_format(x, datapath.activation if side == "activation" else datapath.weight, datapath, side)
        check_axis(x, side, transposed)
        values = x.decode()
    else:
        values = np.asarray(x)
        if values.dtype.kind != "f":
            raise ValueError(f"{side} is {values.dtype}; allowed for {datapath.name}: floats, or a QTensor of a float format")
        if values.ndim != 2:
            raise ValueError(f"{side} has shape {values.shape}; allowed: {shape_of(side, transposed)}")
    return as_float32(values if side == "activation" or transposed else values.T)


def addend(bias: ArrayLike | None, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The addend c of every output, float32 (M, N)."""
    if bias is None:
        return np.zeros(shape, np.float32)
    c = np.asarray(bias)
    if c.dtype.kind != "f" or c.shape not in (shape, shape[1:]):
        raise ValueError(f"bias is {c.dtype} of shape {c.shape}; allowed: float32 of shape {shape[1:]} or {shape}")
    return np.ascontiguousarray(np.broadcast_to(c.astype(np.float32), shape))


def block_product(
    a: object,
    w: object,
    datapath: Datapath,
    bias: ArrayLike | None,
    output: Output,
    events: dict[str, int] | None,
    transposed: bool,
) -> NDArray[Any]:
    """Products of block formats (rule A2); the accumulator itself is requantized where the datapath says so."""
    from qsim.datapath.block_matmul import block_matmul, block_sums

    x, y, acc = block_operands(a, w, datapath)
    if datapath.requantizer is None:
        refuse_output(output, datapath)
        return block_matmul(x, y, acc, w_rows=transposed, c=bias, events=events)
    refuse_block_bias(bias, datapath)
    sums = block_sums(x, y, acc, w_rows=transposed, events=events)
    return finish(sums.sums, datapath, block_scales(sums), None, output, events)


def block_operands(a: object, w: object, datapath: Datapath) -> tuple[QTensor, QTensor, BlockAccumulator]:
    """QTensors of the datapath's formats."""
    acc = datapath.accumulator
    assert isinstance(acc, BlockAccumulator)
    for x, fmt, side in ((a, datapath.activation, "activation"), (w, datapath.weight, "weight")):
        if not isinstance(x, QTensor):
            kind = type(x).__name__
            raise ValueError(f"{side} is of type {kind}; allowed for {datapath.name}: a QTensor of {fmt.name if fmt else ''}")
        check_format(x, fmt, datapath, side)
    assert isinstance(a, QTensor)
    assert isinstance(w, QTensor)
    return a, w, acc


def block_scales(sums: BlockSums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the integer accumulator's unit stands for: one scale of the activation, one or one a column of the weight."""
    si = np.unique(sums.a_scale.astype(np.float64))
    return np.ldexp(si.reshape(()) if si.size == 1 else si, sums.exponent), sums.w_scale.astype(np.float64)


def refuse_block_bias(bias: ArrayLike | None, datapath: Datapath) -> None:
    """ValueError for a bias of an integer block accumulator."""
    if bias is not None:
        raise ValueError(f"bias: the integer block sums of {datapath.name} take none; allowed: with into = 'float' (rule A2)")
