"""Mistakes at a register, whatever it holds; and the values that can enter each register, which prove some of them harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from qsim.golden.block_ports import largest_integer, largest_scale
from qsim.golden.mutants.mutant import Mutant, changed, replaced
from qsim.golden.ports import formats, product_interval
from qsim.golden.unit import Unit
from qsim.reference.requantize import narrow
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Interval, Narrow

Reach = dict[str, Interval]
SATURATES = ("saturate", "saturate_symmetric")


class Mistake(NamedTuple):
    """name, why; of: which overflows it can be made on; keeps: what the register keeps; same: values that it keeps right."""

    name: str
    why: str
    of: Callable[[Narrow], bool]
    keeps: Callable[[int, int, Narrow], int]
    same: Callable[[Narrow], Interval]


def _other(**fields: Any) -> Callable[[int, int, Narrow], int]:
    return lambda value, floored, register: narrow(value, floored, changed(register, **fields))


def _in_range(register: Narrow) -> Interval:
    return register.range


def _narrower(register: Narrow) -> Narrow:
    overflow = "wrap" if register.overflow == "error" else register.overflow
    return changed(register, bits=register.bits - 1, overflow=overflow)


def _wider(register: Narrow) -> Narrow:
    return changed(register, bits=register.bits + 1, overflow="wrap" if register.overflow == "error" else register.overflow)


def _wrong_end(value: int, floored: int, register: Narrow) -> int:
    low, high = register.range
    return value if low <= value <= high else high if value < low else low


def _upwards(value: int, floored: int, register: Narrow) -> int:
    return narrow(value, floored, register if value >= register.range[0] else changed(register, overflow="wrap"))


def _downwards(value: int, floored: int, register: Narrow) -> int:
    return narrow(value, floored, register if value <= register.range[1] else changed(register, overflow="wrap"))


def _early(value: int, floored: int, register: Narrow) -> int:
    return min(narrow(value, floored, register), register.range[1] - 1)


def _unsigned(value: int, floored: int, register: Narrow) -> int:
    """The compare with the upper end sees a negative number as a large one."""
    return register.range[1] if value < 0 or value > register.range[1] else value


def _saturates(register: Narrow) -> bool:
    return register.overflow in SATURATES


def _any(register: Narrow) -> bool:
    return True


MISTAKES = (
    Mistake(
        "one bit narrow",
        "the register has one bit less",
        _any,
        lambda v, f, r: narrow(v, f, _narrower(r)),
        lambda r: _narrower(r).range,
    ),
    Mistake("one bit wide", "the register has one bit more", _any, lambda v, f, r: narrow(v, f, _wider(r)), _in_range),
    Mistake(
        "wraps",
        "the carry out is dropped",
        lambda r: r.overflow != "wrap",
        _other(overflow="wrap"),
        lambda r: changed(r, overflow="wrap").range if r.overflow != "saturate_symmetric" else r.range,
    ),
    Mistake(
        "saturates",
        "overflow is caught where the design wraps",
        lambda r: r.overflow not in SATURATES,
        _other(overflow="saturate"),
        _in_range,
    ),
    Mistake(
        "saturates to symmetric ends",
        "the lowest code is left out",
        lambda r: r.signed and r.overflow != "saturate_symmetric",
        _other(overflow="saturate_symmetric"),
        lambda r: (r.range[0] + 1, r.range[1]),
    ),
    Mistake(
        "saturates to the lowest code",
        "the lowest code is let in",
        lambda r: r.overflow == "saturate_symmetric",
        _other(overflow="saturate"),
        _in_range,
    ),
    Mistake(
        "zero on overflow",
        "overflow clears the register",
        lambda r: r.overflow != "saturate_zero",
        _other(overflow="saturate_zero"),
        _in_range,
    ),
    Mistake("saturates to the wrong end", "the sign of the overflow is inverted", _saturates, _wrong_end, _in_range),
    Mistake("saturates upwards only", "underflow is not caught and wraps", _saturates, _upwards, _in_range),
    Mistake("saturates downwards only", "overflow is not caught and wraps", _saturates, _downwards, _in_range),
    Mistake("saturates one early", "the upper end is excluded", _saturates, _early, lambda r: (r.range[0], r.range[1] - 1)),
    Mistake(
        "unsigned compare",
        "the compare with the upper end is unsigned",
        lambda r: _saturates(r) and r.signed,
        _unsigned,
        lambda r: (0, r.range[1]),
    ),
)


def register_mutants(
    names: dict[str, Narrow], reach: Reach, place: str, prefix: str = "", *, modular: Callable[[str], str] = lambda name: ""
) -> Iterator[Mutant]:
    """Every mistake at every register. place: the method of the reference through which values enter.

    modular: why a bit above a register that wraps is never seen, by its name; empty where it is.
    """
    for name, register in names.items():
        for mistake in MISTAKES:
            if not mistake.of(register) or (mistake.name == "one bit narrow" and register.bits <= 2):
                continue
            yield Mutant(
                f"{prefix}{name}: {mistake.name}",
                mistake.why,
                replaced(place, _entering(name, mistake, register, place)),
                proof=_proof(name, reach.get(name), register, mistake)
                or (modular(name) if mistake.name == "one bit wide" else ""),
            )


def _entering(name: str, mistake: Mistake, register: Narrow, place: str) -> Callable[..., Any]:
    if place.endswith("_Registers.enter"):

        def of_sum(original: Callable[..., Any]) -> Callable[..., Any]:
            def enter(self: Any, into: str, value: int, k: int) -> Any:
                return mistake.keeps(value, value, register) if into == name else original(self, into, value, k)

            return enter

        return of_sum

    def of_requantizer(original: Callable[..., Any]) -> Callable[..., Any]:
        def enter(self: Any, into: str, narrow: Narrow | None) -> None:
            if into == name:
                self.value = self.floored = mistake.keeps(self.value, self.floored, register)
            else:
                original(self, into, narrow)

        return enter

    return of_requantizer


def inside(values: Interval, other: Interval) -> bool:
    """Whether every value of the first lies in the second."""
    return other[0] <= values[0] and values[1] <= other[1]


def _proof(name: str, values: Interval | None, register: Narrow, mistake: Mistake) -> str:
    """The interval argument: all that enters is kept as it is, by the register and by the mistaken one."""
    if values is None:
        return ""
    if register.overflow == "error":
        values = max(values[0], register.range[0]), min(values[1], register.range[1])
    if inside(values, register.range) and inside(values, mistake.same(register)):
        return f"{name} gets values from {values[0]} to {values[1]} only, which both keep"
    low, high = register.range
    if mistake.name == "saturates upwards only" and values[0] >= low:
        return f"{name} gets no value below {values[0]}"
    if mistake.name == "saturates downwards only" and values[1] <= high:
        return f"{name} gets no value above {values[1]}"
    return ""


# --- what can enter ---


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
