"""The ports of a unit, derived from its datapath or format: names, widths, how values read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsim.golden.unit import WIDE, Port, signed_bits
from qsim.spec import Format, Geometry
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Interval, Requantizer

if TYPE_CHECKING:
    from qsim.golden.unit import Unit

EXPONENT = 12  # bits of an exponent: the sum of two E8M0 exponents and of two elements'


def ports(unit: Unit) -> tuple[Port, ...]:
    """Operands, parameters, taps in the order of the data, result."""
    found = {
        "dot": dot_ports,
        "matmul": matmul_ports,
        "requantize": requantize_ports,
        "encode": encode_ports,
        "pack": pack_ports,
        "chain": chain_ports,
    }[unit.kind](unit)
    return tuple(found)


def dot_ports(unit: Unit) -> list[Port]:
    """Packed operands, parameters, every register, the result."""
    a, w = formats(unit)
    inputs = [*word_ports("activation", a, unit.k, "operand"), *word_ports("weight", w, unit.k, "operand")]
    return [*inputs, *parameter_ports(unit), *sum_ports(unit), *requantizer_ports(unit), result_port(unit)]


def matmul_ports(unit: Unit) -> list[Port]:
    """A tile: m rows of activations, n rows of weights, m * n results in C order."""
    a, w = formats(unit)
    rows = [(p, unit.m) for p in word_ports("activation", a, unit.k, "operand")]
    rows += [(p, unit.n) for p in word_ports("weight", w, unit.k, "operand")]
    inputs = [Port(p.name, p.role, p.width, p.count * times, p.kind) for p, times in rows]
    result = result_port(unit)
    return [*inputs, *parameter_ports(unit), Port(result.name, result.role, result.width, unit.m * unit.n, result.kind)]


def requantize_ports(unit: Unit) -> list[Port]:
    """An accumulator and the requantizer's arguments."""
    assert unit.datapath is not None
    q = unit.datapath.requantizer
    assert q is not None
    return [
        Port("acc", "operand", q.acc_bits, kind="signed"),
        *parameter_ports(unit),
        *requantizer_ports(unit),
        result_port(unit),
    ]


def encode_ports(unit: Unit) -> list[Port]:
    """float32 values in, codes and scales as taps, words out."""
    assert unit.fmt is not None
    values = Port("input", "operand", 32, unit.k, "float32")
    return [
        values,
        *random_ports(unit, "", unit.fmt),
        *code_ports("", unit.fmt, unit.k, "tap"),
        *word_ports("result", unit.fmt, unit.k, "result")[:1],
    ]


def random_ports(unit: Unit, prefix: str, fmt: Format) -> list[Port]:
    """The random words of stochastic rounding, one an element, element 0 lowest (rule R2)."""
    bits = unit.random_bits(fmt)
    return [Port(f"{prefix}random", "parameter", bits, unit.k)] if bits else []


def pack_ports(unit: Unit) -> list[Port]:
    """Codes and block scales in, words out."""
    assert unit.fmt is not None
    inputs = code_ports("", unit.fmt, unit.k, "operand")
    blocks = len(unit.fmt.block_scales)
    return [*inputs[: 1 + blocks], *word_ports("result", unit.fmt, unit.k, "result")[:1]]


def chain_ports(unit: Unit) -> list[Port]:
    """float32 operands, the scale of the output; then everything of `dot`, with the operands' words as taps."""
    a, w = formats(unit)
    inputs = [Port(f"{side}_input", "operand", 32, unit.k, "float32") for side in ("activation", "weight")]
    for side, fmt in zip(("activation", "weight"), (a, w), strict=True):
        inputs += random_ports(unit, f"{side}_", fmt)
    q = unit.datapath.requantizer if unit.datapath else None
    parameters = [p for p in parameter_ports(unit) if p.name not in ("multiplier", "shift", "scale")]
    prepared = [Port(p.name, "tap", p.width, p.count, p.kind) for p in parameter_ports(unit) if p not in parameters]
    if q is not None and prepared:
        parameters.append(Port("out_scale", "parameter", 32, kind="float32"))
    words = [*word_ports("activation", a, unit.k, "tap"), *word_ports("weight", w, unit.k, "tap")]
    return [*inputs, *parameters, *words, *prepared, *sum_ports(unit), *requantizer_ports(unit), result_port(unit)]


def formats(unit: Unit) -> tuple[Format, Format]:
    """Of activation and weight, in the datapath's layout."""
    d = unit.datapath
    assert d is not None
    return d.operand_format("activation"), d.operand_format("weight")


def word_ports(name: str, fmt: Format, k: int, role: str) -> list[Port]:
    """The words of k elements, the first lowest; then a port for each channel and tensor scale."""
    words = Geometry.of(fmt, (k,)).words
    outer = [s for s in fmt.scales if not isinstance(s.group, int)]
    # A single float scale is the requantizer's business; below block scales it multiplies the result.
    kept = outer if fmt.block_scales else []
    return [
        Port(name, role, fmt.word_bits, words, "word"),
        *(Port(f"{name}_scale{i}", "parameter" if role == "operand" else role, s.bits) for i, s in enumerate(kept)),
    ]


def code_ports(prefix: str, fmt: Format, k: int, role: str) -> list[Port]:
    """Element codes and the codes of each scale level, finest first."""
    geometry = Geometry.of(fmt, (k,))
    found = [Port(f"{prefix}codes", role, fmt.element.bits, k)]
    for i, (s, shape) in enumerate(zip(fmt.scales, geometry.scale_shapes, strict=True)):
        found.append(Port(f"{prefix}scale{i}", role, s.bits, shape[0] if shape else 1))
    return found


def parameter_ports(unit: Unit) -> list[Port]:
    """What stands beside the operands: bias, zero points, the requantizer's arguments, the clamp."""
    d = unit.datapath
    assert d is not None
    found: list[Port] = []
    if "bias" in unit.parameters and unit.kind != "requantize":
        if unit.float is not None or unit.block is not None:
            found.append(Port("bias", "parameter", 32, kind="float32"))
        elif unit.integer is not None and unit.integer.bias != "float":
            found.append(Port("bias", "parameter", unit.integer.last.bits, kind="signed"))
    for name, fmt in (("a_zero_point", d.activation), ("w_zero_point", d.weight)):
        if name in unit.parameters and fmt is not None and unit.kind != "requantize":
            found.append(Port(name, "parameter", signed_bits((fmt.element.qmin, fmt.element.qmax)), kind="signed"))
    q = d.requantizer
    if q is None:
        return found
    for name in q.prep.takes:
        if name == "scale":
            found.append(
                Port(
                    "scale",
                    "parameter",
                    64 if q.prep.kind == "f64" else 32,
                    kind="float64" if q.prep.kind == "f64" else "float32",
                )
            )
        elif name in ("multiplier", "shift"):
            values: Interval = getattr(q, name)
            found.append(Port(name, "parameter", signed_bits(values), kind="signed"))
    out = unit.out_format
    if "out_zero_point" in unit.parameters and out is not None:
        found.append(Port("out_zero_point", "parameter", signed_bits((out.element.qmin, out.element.qmax)), kind="signed"))
    if "clamp" in unit.parameters and out is not None:
        width = signed_bits((out.element.qmin, out.element.qmax))
        found += [Port(name, "parameter", width, kind="signed") for name in ("clamp_low", "clamp_high")]
    return found


def result_port(unit: Unit) -> Port:
    """The output: a code, an accumulator, or a float32."""
    out = unit.out_format
    if out is not None:
        return Port("result", "result", out.element.bits, kind="signed" if out.element.qmin < 0 else "unsigned")
    if unit.integer is not None:
        return Port("result", "result", unit.integer.last.bits, kind="signed")
    return Port("result", "result", 32, kind="float32")


def sum_ports(unit: Unit) -> list[Port]:
    """The registers of the accumulator."""
    if unit.integer is not None:
        return integer_ports(unit, unit.integer)
    if unit.float is not None:
        return float_ports(unit, unit.float)
    assert unit.block is not None
    return block_ports(unit, unit.block)


def integer_ports(unit: Unit, acc: IntAccumulator) -> list[Port]:
    """Taps of rule A1."""
    product, lane = product_interval(unit, acc), lane_interval(unit, acc)
    lanes = -(-unit.k // acc.lanes)
    found = [
        Port("products", "tap", signed_bits(product), unit.k, "signed"),
        Port("lane_sums", "tap", signed_bits(lane), lanes, "signed"),
        Port("partial_sums", "tap", acc.bits, max(lanes - 1, 1) if acc.order == "tree" else lanes, "signed"),
    ]
    if acc.order == "chunked":
        assert acc.chunk is not None
        found.append(Port("spill", "tap", acc.last.bits, -(-unit.k // acc.chunk), "signed"))
    if acc.zero_points == "after":
        found.append(Port("corrected", "tap", acc.last.bits, kind="signed"))
    return [*found, Port("accumulator", "tap", acc.last.bits, kind="signed")]


def product_interval(unit: Unit, acc: IntAccumulator) -> Interval:
    """Values of one product after its register."""
    d = unit.datapath
    assert d is not None
    sides = []
    for side, zero in (("activation", "a_zero_point"), ("weight", "w_zero_point")):
        low, high = d.operand_interval(side)
        width = high - low if zero in unit.parameters and acc.zero_points == "before" else 0
        sides.append((-width, width) if width else (low, high))
    products = [x * y for x in sides[0] for y in sides[1]]
    values = min(products), max(products)
    if acc.product is None:
        return values
    values = acc.product.shifted(values, acc.product.shift.offset)
    return acc.product.narrow.interval(values) if acc.product.narrow else values


def lane_interval(unit: Unit, acc: IntAccumulator) -> Interval:
    """Values of a lane sum after its register."""
    low, high = product_interval(unit, acc)
    lanes = min(acc.lanes, unit.k)
    values = min(low, 0) * lanes, max(high, 0) * lanes
    return acc.lane.interval(values) if acc.lane else values


def float_ports(unit: Unit, acc: FloatAccumulator) -> list[Port]:
    """Taps of rule A3."""
    assert unit.datapath is not None
    assert unit.datapath.activation is not None
    name = unit.datapath.activation.name
    nfma, period = acc.nfma(name), acc.period(name)
    padded = -(-unit.k // period) * period
    starts = range(0, padded, acc.promote_every or padded)
    steps = [(min(start + (acc.promote_every or padded), padded) - start) // nfma for start in starts]
    found: list[Port] = []
    if acc.fraction is not None:
        found += [Port("exponents", "tap", EXPONENT, sum(steps), "signed")]
        found += [Port("aligned", "tap", WIDE, sum(steps) * (nfma + 1), "signed")]
    sums = sum(2 * s - 1 if acc.order == "pairwise" else s for s in steps)
    found.append(Port("partial_sums", "tap", 32, sums, "float32"))
    return [*found, Port("promoted", "tap", 32, len(steps), "float32")] if acc.promote_every else found


def block_ports(unit: Unit, acc: BlockAccumulator) -> list[Port]:
    """Taps of rule A2."""
    from qsim.golden.block_ports import block_taps

    return block_taps(unit, acc)


def requantizer_ports(unit: Unit) -> list[Port]:
    """Taps of rule Q1: a register's own width, else 64 bits; a float product is the pattern of a float64."""
    d = unit.datapath
    q = d.requantizer if d is not None else None
    if q is None or q.prep.kind == "thresholds":
        return []
    found = [_step_port(f"requantizer.before{i}", s.narrow.bits if s.narrow else 0) for i, s in enumerate(q.before)]
    found.append(Port("requantizer.product", "tap", WIDE, kind="float64" if q.prep.is_float else "signed"))
    found += [_step_port(f"requantizer.step{i}", s.narrow.bits if s.narrow else 0) for i, s in enumerate(q.steps)]
    return [*found, *_finish_ports(q)]


def _finish_ports(q: Requantizer) -> list[Port]:
    added = [_step_port("requantizer.zero_add", q.zero_add.bits if q.zero_add else 0)] if q.zero_point == "after" else []
    return [*added, _step_port("requantizer.clamped", 0)]


def _step_port(name: str, bits: int) -> Port:
    return Port(name, "tap", bits or WIDE, kind="signed")
