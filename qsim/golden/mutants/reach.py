"""The values that can enter each register of a sum, over all operands and parameters: bounds that hold, not the closest."""

from __future__ import annotations

from qsim.golden.block_ports import largest_integer, largest_scale
from qsim.golden.mutants.mutant import changed
from qsim.golden.ports import formats, product_interval
from qsim.golden.unit import Unit
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Interval

Reach = dict[str, Interval]


def inside(values: Interval, other: Interval) -> bool:
    """Whether every value of the first lies in the second."""
    return other[0] <= values[0] and values[1] <= other[1]


def operand_interval(unit: Unit, side: str) -> Interval:
    """Integers of an operand; what an encoder writes of a symmetric format leaves the lowest code out."""
    assert unit.datapath is not None
    low, high = unit.datapath.operand_interval(side)
    fmt = unit.datapath.activation if side == "activation" else unit.datapath.weight
    if (
        unit.kind == "chain"
        and fmt is not None
        and fmt.family in ("absmax", "vsq")
        and dict(unit.options).get("narrow_range", True)
    ):
        return -high, high
    return low, high


def products_of(unit: Unit, acc: IntAccumulator) -> Interval:
    """Values of a product after its register."""
    sides = [operand_interval(unit, side) for side in ("activation", "weight")]
    zero_points = {"a_zero_point", "w_zero_point"} & set(unit.parameters)
    if zero_points or acc.product is not None:
        return product_interval(unit, acc)
    products = [x * y for x in sides[0] for y in sides[1]]
    return min(products), max(products)


def reach_of(unit: Unit) -> Reach:
    """Values that can enter each register of the sum, over all operands and parameters (bounds that hold, not the closest)."""
    if unit.kind not in ("dot", "matmul", "chain"):
        return {}
    if unit.integer is not None:
        return _of_integer(unit, unit.integer)
    return _of_block(unit) if unit.block is not None else {}


def bias_interval(unit: Unit) -> Interval:
    """Values of the port bias."""
    if "bias" not in unit.parameters or unit.integer is None or unit.integer.bias == "float":
        return 0, 0
    return _signed(unit.port("bias").width)


def _signed(bits: int) -> Interval:
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def correction_interval(unit: Unit) -> Interval:
    """Values of what zero points add to a sum of raw codes."""
    if not {"a_zero_point", "w_zero_point"} & set(unit.parameters) or unit.datapath is None:
        return 0, 0
    a, w = (max(map(abs, unit.datapath.operand_interval(side))) for side in ("activation", "weight"))
    most = 3 * unit.k * a * w
    return -most, most


def _of_integer(unit: Unit, acc: IntAccumulator) -> Reach:
    exact = changed(acc, product=changed(acc.product, narrow=None)) if acc.product else acc
    found = {"product": products_of(unit, exact)}
    low, high = products_of(unit, acc)
    lanes = min(acc.lanes, unit.k)
    lane = min(low * lanes, 0) if acc.lanes > 1 else low, max(high * lanes, 0) if acc.lanes > 1 else high
    found["lane"] = lane
    lane = acc.lane.interval(lane) if acc.lane else lane
    groups, bias, correction = -(-unit.k // acc.lanes), bias_interval(unit), correction_interval(unit)
    if acc.zero_points == "folded":
        bias = add(bias, correction)
    start = acc.last.interval(bias) if acc.bias == "first" else (0, 0)
    sums = add((min(lane[0] * groups, lane[0]), max(lane[1] * groups, lane[1])), start)
    found["accumulator"] = sums
    value = acc.register.interval(sums)
    if acc.order == "chunked":
        chunks = -(-unit.k // (acc.chunk or 1))
        value = min(value[0] * chunks, value[0], 0) + start[0], max(value[1] * chunks, value[1], 0) + start[1]
        found["spill"] = value
        value = acc.last.interval(value)
    if acc.zero_points == "after":
        value = add(value, correction)
        found["zero_points"] = value
        value = acc.last.interval(value)
    found["bias"] = bias if acc.bias == "first" else add(value, bias)
    if acc.bias == "float":
        found["bias"] = value
    return found


def _of_block(unit: Unit) -> Reach:
    acc = unit.block
    assert acc is not None
    a, w = formats(unit)
    block = max(fmt.block_size for fmt in (a, w) if fmt.block_scales)
    length = min(1 if acc.terms == "products" else acc.sum_length(block), unit.k)
    dot = largest_integer(a) * largest_integer(w) * length
    found = {"dot": (-dot, dot)}
    dot = min(dot, max(map(abs, acc.dot.range))) if acc.dot else dot
    scale = largest_scale(a) * largest_scale(w)
    if acc.scale_bits is not None:
        dropped = acc.dropped_bits(sum(s.bits for f in (a, w) for s in f.block_scales if s.kind == "uint"))
        found["scale"] = 0, (scale >> dropped) + 1
        scale = min((scale >> dropped) + 1, (1 << acc.scale_bits) - 1)
    if acc.into != "integer" or acc.sums is None:
        return found
    term = dot * scale
    found["term"] = -term, term
    term = min(term, max(map(abs, acc.term.range))) if acc.term else term
    terms = -(-unit.k // length) * term
    found["accumulator"] = -terms, terms
    each = max(map(abs, acc.sums.register.interval((-terms, terms))))
    found["spill"] = -each * unit.k, each * unit.k
    return found


def sum_interval(unit: Unit) -> Interval | None:
    """Values that the accumulator hands on."""
    found = reach_of(unit)
    if unit.integer is not None:
        return unit.integer.last.interval(found["bias"]) if unit.integer.bias == "last" else unit.integer.last.range
    if unit.block is not None and unit.block.sums is not None and "accumulator" in found:
        return unit.block.sums.last.interval(found["accumulator"]) if unit.block.sums.order != "chunked" else None
    return None


def add(a: Interval, b: Interval) -> Interval:
    """Sums of a value of each."""
    return a[0] + b[0], a[1] + b[1]
