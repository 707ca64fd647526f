"""Layers across datapaths, as rows: what the operand formats cost, what the accumulator costs, how wide it would have to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.encode import encode
from qsim.codec.qtensor import QTensor
from qsim.datapath.matmul import linear
from qsim.datapath.operands import Operand as IntegerOperand
from qsim.datapath.operands import integer_operand
from qsim.explore.metrics import metrics
from qsim.explore.network import Network, layer_operands
from qsim.explore.sweep import ACTIVATION_IMAGES, Row, choose_view
from qsim.explore.tensors import Tensor, tensors
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.datapath import Accumulator, Datapath
from qsim.spec.format import GRANULAR
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Interval

if TYPE_CHECKING:
    from qsim.spec.safe_bits import SafeBits

Array = NDArray[Any]
Operand = Array | QTensor

#: Registers of integer and block accumulators, in the order of the data: one column of event counts each.
REGISTERS = ("product", "lane", "dot", "scale", "term", "accumulator", "spill", "zero_points", "bias")
EVENTS = {name: f"{name}_overflows" for name in REGISTERS}
DATAPATH_COLUMNS = (
    "layer", "m", "n", "k", "datapath", "accumulator_bits", "output_sqnr", "format_sqnr", "accumulator_cost", *EVENTS.values(),
    "overflow_share", "changed_outputs", "x_low", "x_high", "safe_bits_any_order", "safe_bits_given_order", "safe_bits_spill",
    "error",
)  # fmt: skip
RANGES = ("format", "data")
#: A register that no sum of these operands leaves: the exact sum.
EXACT = IntAccumulator(bits=62)


@dataclass(frozen=True)
class Layer:
    """One layer, not yet read: `load` gives weight (N, K) and activation (M, K). `problem` says why there is nothing to load."""

    name: str
    load: Callable[[], tuple[Array, Array]]
    problem: str | None = None


def network_layers(network: Network) -> list[Layer]:
    """The layers of a float network, with the input activations of its first images."""
    found = layer_operands(network, ACTIVATION_IMAGES)
    return [Layer(layer.name, partial(_both, *pair)) for layer, pair in zip(network.layers, found, strict=True)]


def _both(weight: Array, activation: Array) -> tuple[Array, Array]:
    return weight, activation


def file_layers(weights: Path, activations: Path) -> list[Layer]:
    """The tensors of two files paired by name, or the only tensors of both; all headers are read, and so checked.

    A tensor without a partner, and a pair that is no product, are layers with a problem; ValueError where no name is in both.
    """
    left, right = ({tensor.name: tensor for tensor in tensors(path)} for path in (weights, activations))
    if len(left) == len(right) == 1:
        right = dict(zip(left, right.values(), strict=True))
    if not set(left) & set(right):
        raise ValueError(
            f"no tensor of {weights} ({_listed(left)}) has the name of one of {activations} ({_listed(right)});"
            " allowed: the same names, or one tensor in each file"
        )
    return [_pair(name, left.get(name), right.get(name), (weights, activations)) for name in dict.fromkeys([*left, *right])]


def _listed(names: dict[str, Tensor]) -> str:
    return (", ".join(list(names)[:4]) + (", ..." if len(names) > 4 else "")) or "no tensors"


def _pair(name: str, weight: Tensor | None, activation: Tensor | None, files: tuple[Path, Path]) -> Layer:
    def load() -> tuple[Array, Array]:
        assert weight is not None
        assert activation is not None
        w = weight.values(weight.load())
        return w.reshape(choose_view(w.shape).shape), activation.values(activation.load())

    return Layer(name, load, _problem(weight, activation, files))


def _problem(weight: Tensor | None, activation: Tensor | None, files: tuple[Path, Path]) -> str | None:
    """Why two tensors are no layer, or None."""
    if weight is None or activation is None:
        side, file = ("weight", files[0]) if weight is None else ("activation", files[1])
        return f"no {side} of this name in {file}"
    for side, tensor in (("weight", weight), ("activation", activation)):
        if tensor.skipped and not tensor.integer:
            return f"{side}: {tensor.skipped}; allowed: floats, or integers as codes"
    if len(weight.shape) < 2 or 0 in weight.shape[1:]:
        return f"weight of shape {weight.shape}; allowed: (N, K), or a convolution's, seen as (N, K)"
    if len(activation.shape) != 2:
        return f"activation of shape {activation.shape}; allowed: (M, K), rows along K (a convolution's input as patches)"
    k = prod(weight.shape[1:])
    if k != activation.shape[1]:
        return f"weight of shape {weight.shape} has K = {k}, activation of shape {activation.shape} has K = {activation.shape[1]}"
    return None


def layer_rows(layer: Layer, datapaths: Sequence[Datapath], x_range: str = "format") -> Iterator[Row]:
    """A row a datapath; a layer with a problem gives one row that says it."""
    base: Row = dict.fromkeys(DATAPATH_COLUMNS) | {"layer": layer.name}
    if layer.problem is not None:
        yield base | {"error": layer.problem}
        return
    w, x = layer.load()
    base |= {"m": x.shape[0], "n": w.shape[0], "k": w.shape[1]}
    wanted = float_product(x, w)
    for datapath in datapaths:
        row = base | {"datapath": datapath.name, "accumulator_bits": accumulator_bits(datapath.accumulator)}
        try:
            for found in measured(x, w, wanted, accumulator_only(datapath), x_range):
                row |= found
        except (ValueError, TypeError) as error:
            row["error"] = str(error)
        yield row


def measured(x: Array, w: Array, wanted: NDArray[np.float64], datapath: Datapath, x_range: str) -> Iterator[Row]:
    """The columns of one layer and datapath, those that may fail last."""
    a, b = encoded(x, datapath, "activation"), encoded(w, datapath, "weight")
    acc = datapath.accumulator
    scale: Any = 1.0
    if isinstance(acc, IntAccumulator):
        exact, scale = linear(a, b, replace(datapath, accumulator=EXACT)), output_scale(a, b, datapath)
    else:
        exact = float_product(*(v.decode(np.float64) if isinstance(v, QTensor) else v for v in (a, b)))
    exact = exact * scale
    format_sqnr = metrics(wanted, exact).sqnr
    yield {"format_sqnr": format_sqnr}
    if isinstance(acc, IntAccumulator):
        yield safe_columns(a, b, datapath, x_range)
    events: dict[str, int] = {}
    result = linear(a, b, datapath, events=events) * (scale * 2.0 ** product_shift(acc))
    output_sqnr = metrics(wanted, result).sqnr
    yield {
        "output_sqnr": output_sqnr,
        "accumulator_cost": 0.0 if output_sqnr == format_sqnr else format_sqnr - output_sqnr,
    }
    if isinstance(acc, IntAccumulator):
        yield event_columns(events, acc, result.size, x.shape[1])
        yield {"changed_outputs": np.count_nonzero(result != exact) / result.size if result.size else None}
    else:
        yield {EVENTS[name]: count for name, count in events.items()}


def accumulator_only(datapath: Datapath) -> Datapath:
    """The datapath up to its accumulator: nothing is requantized, and there is no bias."""
    acc = datapath.accumulator
    if isinstance(acc, IntAccumulator) and acc.bias == "float":  # a bias that only a requantizer can add
        acc = replace(acc, bias="last")
    return replace(datapath, accumulator=acc, requantizer=None, out_format=None, clamp=None)


def accumulator_bits(acc: Accumulator) -> int | None:
    """Width of the register that each product, or block, is added to; None of a float sum."""
    if isinstance(acc, BlockAccumulator):
        return None if acc.sums is None else acc.sums.bits
    return acc.bits if isinstance(acc, IntAccumulator) else None


def encoded(values: Array, datapath: Datapath, side: str) -> Operand:
    """An operand of a product: floats in the datapath's format, integers as they are.

    Where the format has one float scale, activations have one a tensor and weights one an output channel.
    """
    if values.dtype.kind in "iu":
        return values
    fmt = datapath.activation if side == "activation" else datapath.weight
    if fmt is None:
        raise ValueError(f"{side} is {values.dtype}, and {datapath.name} names no operand formats; allowed: integers")
    granularity = ("tensor" if side == "activation" else "channel") if fmt.family in GRANULAR else None
    return encode(values, fmt, axis=1, granularity=granularity, channel_axis=0)


def output_scale(a: Operand, b: Operand, datapath: Datapath) -> Array:
    """What one unit of an exact integer product is worth: a number, or (N,)."""
    scales = [integer_operand(v, datapath, side, 0, side == "weight").scale for v, side in ((a, "activation"), (b, "weight"))]
    return np.asarray(prod(1.0 if scale is None else scale for scale in scales))


def product_shift(acc: Accumulator) -> int:
    """Bits that the product step drops."""
    return acc.product.shift.offset if isinstance(acc, IntAccumulator) and acc.product is not None else 0


def safe_columns(a: Operand, b: Operand, datapath: Datapath, x_range: str) -> Row:
    """The widths that no activation of a range overflows, the largest over all output channels, and that range.

    The range is the format's (of integers without a format: their type's), or that of the data; without the zero point.
    """
    x, w = integer_operand(a, datapath, "activation", 0), integer_operand(b, datapath, "weight", 0, transposed=True)
    codes, zero = interval(x.values, datapath, x_range), int(x.zero)
    found = safe_bits(w, codes, zero, datapath)
    return {
        "x_low": codes[0] - zero,
        "x_high": codes[1] - zero,
        "safe_bits_any_order": found and found.any_order_max,
        "safe_bits_given_order": found and found.given_order_max,
        "safe_bits_spill": found.spill_max if found and found.spill else None,
    }


def safe_bits(w: IntegerOperand, codes: Interval, zero: int, datapath: Datapath) -> SafeBits | None:
    """Widths of a datapath without a bias, for any activation codes of an interval.

    Where zero points are taken off after the sum, raw codes are summed and the correction enters as a bias does. None where it
    depends on the activations: the weights have zero points, too.
    """
    acc, values = datapath.accumulator, w.values.astype(np.int64)
    assert isinstance(acc, IntAccumulator)
    if acc.zero_points == "before":
        return datapath.safe_bits(values - w.zero, (codes[0] - zero, codes[1] - zero))
    if np.any(w.zero):
        return None
    place = acc.bias if acc.zero_points == "folded" else "last"
    summed = replace(datapath, accumulator=replace(acc, bias=place))
    return summed.safe_bits(values, codes, bias=-zero * values.sum(axis=0))


def interval(values: Array, datapath: Datapath, x_range: str) -> Interval:
    """Lowest and highest activation code."""
    if x_range == "data":
        return (int(values.min()), int(values.max())) if values.size else (0, 0)
    if datapath.activation is None:
        info = np.iinfo(values.dtype)
        return int(info.min), int(info.max)
    return datapath.operand_interval("activation")


def event_columns(events: dict[str, int], acc: IntAccumulator, outputs: int, k: int) -> Row:
    """Events of the registers that are written, and their share of all writes."""
    writes = {name: outputs * n for name, n in register_writes(acc, k).items() if n}
    total = sum(writes.values())
    share = sum(events[name] for name in writes) / total if total else None
    return {EVENTS[name]: events[name] for name in writes} | {"overflow_share": share}


def register_writes(acc: IntAccumulator, k: int) -> dict[str, int]:
    """How often each register is written for one output without a bias (rule A1)."""
    sums = -(-k // acc.lanes)
    each = {
        "product": k,
        "lane": sums,
        "accumulator": max(sums - 1, min(sums, 1)) if acc.order == "tree" else sums,
        "spill": -(-k // acc.chunk) if acc.chunk else 0,
        "zero_points": 1,
        "bias": int(acc.zero_points == "folded"),
    }
    return {name: each[name] for name in acc.registers}


def float_product(a: Array, w: Array) -> NDArray[np.float64]:
    """Rows of a times rows of w (a @ w.T), to 2^-40 of the largest values for K up to 2^13; the same bits on any machine.

    Both operands are cut into two slices of b bits relative to their largest magnitude, with K * 2^(2b) <= 2^53: every
    product of two slices, and every partial sum, is an integer that float64 holds exactly.
    """
    bits = (53 - max(a.shape[1] - 1, 0).bit_length()) // 2
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        (high, low, e), (top, rest, f) = sliced(a, bits), sliced(w, bits)
        small = low @ rest.T
        middle = low @ top.T + high @ rest.T + np.ldexp(small, -bits)
        return np.asarray(np.ldexp(high @ top.T + np.ldexp(middle, -bits), e + f - 2 * bits))


def sliced(x: Array, bits: int) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """(high, low, e): x is about (high + low / 2^bits) * 2^(e - bits); integers of at most 2^bits. Inf and NaN stay."""
    wide = x.astype(np.float64)
    top = float(np.max(np.abs(wide), initial=0.0, where=np.isfinite(wide)))
    e = int(np.frexp(top)[1])
    wide = np.ldexp(wide, bits - e)
    high = np.rint(wide)
    return high, np.rint(np.ldexp(wide - high, bits)), e


def datapath_rows(layers: Sequence[Layer], datapaths: Sequence[Datapath], x_range: str = "format") -> Iterator[Row]:
    """Rows of every layer, one layer in memory at a time."""
    for layer in layers:
        yield from layer_rows(layer, datapaths, x_range)


def row_count(layers: Sequence[Layer], datapaths: Sequence[Datapath]) -> int:
    """How many rows `datapath_rows` gives."""
    return sum(len(datapaths) if layer.problem is None else 1 for layer in layers)
