"""How integer products are summed: the facts of one integer accumulator (rule A1), frozen, checked.

Letters: K products of a row, z_a and z_w the zero points of activation and weight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qsim.spec.error import SpecError
from qsim.spec.requantizer import STEP_ROUNDINGS, Amount, Interval, Narrow, Step

ADD_OVERFLOWS = ("saturate", "wrap", "error", "saturate_symmetric", "saturate_zero")
ORDERS = ("sequential", "tree", "chunked")
BIASES = ("first", "last", "float")
ZERO_POINT_PLACES = ("before", "after", "folded")
MAX_LANES, MAX_CHUNK = 4096, 1 << 20
LARGEST = (1 << 63) - 1
KEYS = (
    "bits",
    "overflow",
    "order",
    "chunk",
    "spill_bits",
    "spill_overflow",
    "lanes",
    "lane_bits",
    "lane_overflow",
    "product",
    "bias",
    "zero_points",
)
PRODUCT_KEYS = ("shift", "rounding", "bits", "overflow")


@dataclass(frozen=True)
class IntAccumulator:
    """Registers that sum K integer products; every one narrows on every write and counts how often it changed a value (A4).

    product: one shift, rounding and register that each product passes first; None: exact.
    lanes, lane: so many consecutive products are summed exactly, the sum enters the register `lane` (None: exact). A K that
        is no multiple of lanes is filled with products 0.
    bits, overflow: the accumulator; each lane sum is added to it and narrowed.
    order: `sequential`: k ascending from 0. `tree`: lane sums, adjacent pairs level by level, an odd last one passes up,
        every sum narrows, the root always. `chunked`: the accumulator starts at 0 for every `chunk` products (a multiple of
        lanes); at the end of each chunk, the last one may be partial, it is added to the register `spill`.
    bias: `first`: what accumulator (sequential) or spill (chunked) starts from, itself narrowed; `last`: added after
        everything else; `float`: added by the requantizer in float32, not here.
    zero_points: `before`: operands are (a - z_a) and (w - z_w). `after`: raw codes are multiplied, then
        K*z_a*z_w - z_a*sum(w) - z_w*sum(a), exact, is added in one narrowed add, before a `last` bias. `folded`: the same
        correction is added to the bias exactly, beforehand, as compilers do with constant weights.
    """

    bits: int = 32
    overflow: str = "error"
    order: str = "sequential"
    chunk: int | None = None
    spill: Narrow | None = None
    lanes: int = 1
    lane: Narrow | None = None
    product: Step | None = None
    bias: str = "last"
    zero_points: str = "before"
    register: Narrow = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no accumulator can do."""
        for key, allowed in (("order", ORDERS), ("bias", BIASES), ("zero_points", ZERO_POINT_PLACES)):
            if getattr(self, key) not in allowed:
                raise SpecError(f"accumulator.{key} = {getattr(self, key)!r}; allowed: {', '.join(allowed)} (rule A1)")
        object.__setattr__(self, "register", register("", self.bits, self.overflow))
        _integer("accumulator.lanes", self.lanes, 1, MAX_LANES)
        if self.order == "chunked":
            _integer("accumulator.chunk", self.chunk, 1, MAX_CHUNK)
            assert self.chunk is not None
            if self.chunk % self.lanes:
                raise SpecError(f"accumulator.chunk = {self.chunk}; allowed: a multiple of lanes = {self.lanes} (rule A1)")
        elif self.chunk is not None or self.spill is not None:
            raise SpecError(f"accumulator.chunk and spill with order = {self.order!r}; allowed: with order = 'chunked' (rule A1)")
        if self.lane is not None and self.lane.overflow not in ADD_OVERFLOWS:
            raise SpecError(f"accumulator.lane_overflow = {self.lane.overflow!r}; allowed: {', '.join(ADD_OVERFLOWS)} (rule A1)")
        if self.order == "tree" and self.bias == "first":
            raise SpecError("accumulator.bias = 'first' with order = 'tree'; allowed: last (it is added to the root), float")
        if self.product is not None:
            if self.product.shift.factor or not 0 <= self.product.shift.offset <= 62:
                raise SpecError(f"accumulator.product.shift = {self.product.shift}; allowed: a number, 0 to 62")
            if self.product.narrow is not None and self.product.narrow.overflow not in ADD_OVERFLOWS:
                raise SpecError(
                    f"accumulator.product.overflow = {self.product.narrow.overflow!r}; allowed: {', '.join(ADD_OVERFLOWS)}"
                )
            if self.zero_points != "before" and (self.product.shift.offset or self.product.narrow):
                raise SpecError(
                    "accumulator.zero_points after or folded with a product step; allowed: before (codes are not summed)"
                )

    @property
    def last(self) -> Narrow:
        """The register that holds the result: spill if chunked, else the accumulator."""
        return (self.spill or self.register) if self.order == "chunked" else self.register

    @property
    def registers(self) -> tuple[str, ...]:
        """Names of the registers that narrow: keys of the event counts, in the order of the data (rule A4)."""
        names = ["product"] if self.product and self.product.narrow else []
        names += ["lane"] if self.lane else []
        names += ["accumulator"]
        names += ["spill"] if self.order == "chunked" else []
        names += ["zero_points"] if self.zero_points == "after" else []
        return (*names, "bias")

    @property
    def narrows(self) -> dict[str, Narrow]:
        """The register behind each name of `registers`."""
        known = {
            "product": self.product.narrow if self.product else None,
            "lane": self.lane,
            "accumulator": self.register,
            "spill": self.last,
            "zero_points": self.last,
            "bias": self.last,
        }
        return {name: found for name in self.registers if (found := known[name]) is not None}

    def lane_interval(self, a: Interval, w: Interval) -> Interval:
        """Values of a lane sum for operands (zero points already taken off where `before`) inside a and w.

        SpecError where a value could leave int64.
        """
        products = [x * y for x in a for y in w]
        values = min(*products, 0), max(*products, 0)
        if self.product is not None:
            values = self.product.shifted(values, self.product.shift.offset)
            values = self.product.narrow.interval(values) if self.product.narrow else values
        values = self.lanes * values[0], self.lanes * values[1]
        if max(map(abs, values)) + (1 << 62) > LARGEST:
            raise SpecError(
                f"a sum of {self.lanes} products may reach {max(map(abs, values))}; allowed: below 2^62 (int64, rule A1)"
            )
        return self.lane.interval(values) if self.lane else values


def register(name: str, bits: object, overflow: object, signed: bool = True) -> Narrow:
    """A register that sums enter; SpecError with its keys."""
    prefix = f"{name}_" if name else ""
    _integer(f"{prefix}bits", bits, 2, 62)
    if overflow not in ADD_OVERFLOWS:
        raise SpecError(f"{prefix}overflow = {overflow!r}; allowed: {', '.join(ADD_OVERFLOWS)} (rule A1)")
    assert isinstance(bits, int)
    return Narrow(bits, signed, str(overflow))


def parse_int_accumulator(table: dict[str, Any], where: str) -> IntAccumulator:
    """The [accumulator] table of a datapath file; SpecError with the place for an unknown key or an impossible value."""
    for key, value in table.items():
        if key not in KEYS:
            raise SpecError(f"{where}: unknown key {key!r} = {value!r}; allowed: {', '.join(KEYS)}")
    bits, overflow = table.get("bits", 32), table.get("overflow", "error")
    fields: dict[str, Any] = {key: table[key] for key in ("chunk", "order", "lanes", "bias", "zero_points") if key in table}
    try:
        register("", bits, overflow)
        if "spill_bits" in table or "spill_overflow" in table:
            fields["spill"] = register("spill", table.get("spill_bits", bits), table.get("spill_overflow", overflow))
        if "lane_bits" in table:
            fields["lane"] = register("lane", table["lane_bits"], table.get("lane_overflow", "saturate"))
        elif "lane_overflow" in table:
            raise SpecError("lane_overflow without lane_bits; allowed: both, or neither (lane sums are then exact)")
        if "product" in table:
            fields["product"] = _product(table["product"])
        return IntAccumulator(bits=bits, overflow=overflow, **fields)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _product(table: object) -> Step:
    if not isinstance(table, dict) or not set(table) <= set(PRODUCT_KEYS):
        raise SpecError(f"product = {table!r}; allowed: a table of {', '.join(PRODUCT_KEYS)}")
    shift, rounding = table.get("shift", 0), table.get("rounding", "floor")
    if not isinstance(shift, int) or isinstance(shift, bool):
        raise SpecError(f"product.shift = {shift!r}; allowed: 0 to 62")
    if rounding not in STEP_ROUNDINGS:
        raise SpecError(f"product.rounding = {rounding!r}; allowed: {', '.join(STEP_ROUNDINGS)}")
    if "overflow" in table and "bits" not in table:
        raise SpecError("product.overflow without product.bits; allowed: both, or neither (products are then exact)")
    narrow = register("product", table["bits"], table.get("overflow", "wrap")) if "bits" in table else None
    return Step(Amount(shift), rounding, narrow)


def _integer(key: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SpecError(f"{key} = {value!r}; allowed: {low} to {high} (rule A1)")
