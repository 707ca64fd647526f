"""Operands of a product: QTensors or arrays, checked against the datapath's formats, as integers with zero points and scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qsim.codec.qtensor import QTensor
from qsim.spec.datapath import MAX_INTEGER_BITS, Datapath
from qsim.spec.format import Format

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDES = ("activation", "weight")


class Operand(NamedTuple):
    """Integers of shape (M, K) or (K, N); `zero` a number or (N,); `scale` float64, a number or (N,), None for arrays."""

    values: NDArray[Any]
    zero: NDArray[np.int64]
    scale: NDArray[np.float64] | None


def integer_operand(x: object, datapath: Datapath, side: str, zero_point: object, transposed: bool = False) -> Operand:
    """One operand of an integer accumulator; a weight given as (N, K) is `transposed` into (K, N)."""
    fmt = datapath.activation if side == "activation" else datapath.weight
    if isinstance(x, QTensor):
        return _from_qtensor(x, fmt, datapath, side, zero_point, transposed)
    values = np.asarray(x)
    if values.dtype.kind not in "iu":
        raise ValueError(f"{side} is {values.dtype}; allowed for {datapath.name}: integers, or a QTensor of an integer format")
    if values.ndim != 2:
        raise ValueError(f"{side} has shape {values.shape}; allowed: {shape_of(side, transposed)}")
    what = fmt.name if fmt else f"{MAX_INTEGER_BITS}-bit integers"
    check_range(values, *datapath.operand_interval(side), f"{side}: {what}")
    zero = zeros(zero_point, side, values.shape[0 if transposed else 1])
    check_range(zero, *datapath.operand_interval(side), f"{side[0]}_zero_point: {what}")
    return Operand(values.T if transposed else values, zero, None)


def shape_of(side: str, transposed: bool) -> str:
    """The shape that an operand must have, in words."""
    return "(M, K)" if side == "activation" else "(N, K)" if transposed else "(K, N)"


def zeros(zero_point: object, side: str, outputs: int) -> NDArray[np.int64]:
    """A zero point as int64: one number, or for a weight one an output channel."""
    values = np.asarray(zero_point)
    name = "a_zero_point" if side == "activation" else "w_zero_point"
    if values.dtype.kind not in "iu":
        raise ValueError(f"{name} is {values.dtype}; allowed: integers")
    ok = values.size == 1 or (side == "weight" and values.shape == (outputs,))
    if not ok:
        allowed = "one number" if side == "activation" else f"one number, or ({outputs},): one an output channel"
        raise ValueError(f"{name} has shape {values.shape}; allowed: {allowed}")
    check_range(values, -(1 << 63), (1 << 63) - 1, name)
    return values.astype(np.int64).reshape(-1) if values.size > 1 else values.astype(np.int64).reshape(())


def check_range(values: NDArray[Any], low: int, high: int, what: str) -> None:
    """ValueError at the first value outside [low, high]."""
    info = np.iinfo(values.dtype)
    if values.size == 0 or (low <= info.min and info.max <= high):
        return
    if low <= int(values.min()) and int(values.max()) <= high:
        return
    bad = np.argwhere((values < low) | (values > high))[0]  # numpy compares exactly, also where low or high leaves the type
    index = ", ".join(str(int(i)) for i in bad)
    where = f", index [{index}]" if values.ndim else ""
    raise ValueError(f"{what} has no value {int(values[tuple(bad)])}{where}; allowed: {low} to {high}")


def check_axis(q: QTensor, side: str, transposed: bool = False) -> None:
    """Refuse a tensor whose blocks, or whose scales, do not run along K."""
    k_axis = 1 if side == "activation" or transposed else 0
    if len(q.shape) != 2:
        raise ValueError(f"{side} has shape {q.shape}; allowed: {shape_of(side, transposed)}")
    name = "K, the reduction axis"
    if q.format.block_scales and q.axis != k_axis:
        raise ValueError(
            f"{side}: blocks of {q.format.name} run along axis {q.axis} of {q.shape}; allowed: axis {k_axis}, {name} (rule S11):"
            f" encode(..., axis={k_axis})"
        )
    channel = any(s.group == "channel" for s in q.format.scales)
    if channel and q.geometry.channel_axis == k_axis:
        raise ValueError(
            f"{side}: the channels of {q.format.name} are axis {k_axis} of {q.shape}, {name}; allowed: channel_axis={1 - k_axis}"
        )


def check_format(q: QTensor, fmt: Format | None, datapath: Datapath, side: str) -> None:
    """Refuse a tensor of another format than the datapath's."""
    if fmt is None:
        return
    blocks = [[(s.type, s.group) for s in f.block_scales] for f in (q.format, fmt)]
    if q.format.element != fmt.element or len(q.format.scales) != len(fmt.scales) or blocks[0] != blocks[1]:
        alike = q.format.element == fmt.element and q.format.block_scales
        given = q.format.name + (f" with scales per {q.format.block_size}" if alike else "")
        raise ValueError(f"{side} is {given}; allowed for {datapath.name}: {fmt.name}")


def _from_qtensor(q: QTensor, fmt: Format | None, datapath: Datapath, side: str, zero_point: object, transposed: bool) -> Operand:
    check_format(q, fmt, datapath, side)
    if q.format.element.is_float or q.format.block_scales:
        given = q.format.name + (f" with scales per {q.format.block_size}" if q.format.block_scales else "")
        raise ValueError(f"{side} is {given}; allowed for {datapath.name}: an integer format without block scales")
    check_axis(q, side, transposed)
    if np.any(np.asarray(zero_point)):
        raise ValueError(f"{side}: a QTensor carries its zero point; allowed: no {side[0]}_zero_point beside it")
    values = _integers(q)
    zero = np.zeros((), np.int32) if q.zero_point is None else q.zero_point
    if side == "activation" and zero.size > 1:
        raise ValueError(f"activation: zero points one a row, {zero.shape}; allowed: granularity='tensor'")
    outputs = q.shape[0 if transposed else 1]
    return Operand(values.T if transposed else values, zeros(zero, side, outputs), _scales(q))


def _integers(q: QTensor) -> NDArray[Any]:
    """Codes as signed integers; 8-bit codes without a copy."""
    kind, codes = q.format.element.kind, q.codes
    if q.format.element.bits == 8 and kind in ("int", "uint"):
        return codes.view(np.int8) if kind == "int" else codes
    return q.integers


def _scales(q: QTensor) -> NDArray[np.float64] | None:
    """The one float scale level, decoded exactly: a number, or one a channel; None for a format without scales."""
    from qsim.codec.lower import scale_values

    if not q.format.scales:
        return None
    return np.asarray(scale_values(q.scales_moved[0], q.format.scales[0]), np.float64)
