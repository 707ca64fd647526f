"""A unit under test: what a design computes in one case, and its ports.

A port is one bit pattern a case: `count` values of `width` bits, the first one lowest (rule P2). Kinds:

dot: one dot product of k elements, requantized where the datapath says so. Operands in packed words.
matmul: a tile of m x n dot products; activation is (m, k), weight is (n, k), both in C order.
requantize: one accumulator through the datapath's requantizer.
encode: k float32 values along the axis, their scales chosen and codes packed into words. pack: codes and scales into words.
chain: encode both operands, then dot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qsim.spec import CHOICES, Element, Format, Scale, SpecError, resolve_options
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.datapath import Datapath
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.options import allowed_values
from qsim.spec.requantizer import Interval, output_type

KINDS = ("dot", "matmul", "requantize", "encode", "pack", "chain")
ROLES = ("operand", "parameter", "tap", "result")
WIDE = 64  # bits of a value without a register of its own
#: Parameters that a suite may leave at their defaults: 0, and no clamp.
OPTIONAL = ("bias", "a_zero_point", "w_zero_point", "out_zero_point", "clamp")


@dataclass(frozen=True)
class Port:
    """One bit pattern a case. kind: how a value reads, `unsigned`, `signed`, `float32`, `float64`, or `word` of a format."""

    name: str
    role: str
    width: int
    count: int = 1
    kind: str = "unsigned"

    @property
    def bits(self) -> int:
        """Width of the whole port."""
        return self.width * self.count

    def split(self, pattern: int) -> list[int]:
        """The values of a pattern; two's complement where they are signed."""
        mask = (1 << self.width) - 1
        found = [pattern >> i * self.width & mask for i in range(self.count)]
        if self.kind != "signed":
            return found
        return [v - (v >> (self.width - 1) << self.width) for v in found]

    def join(self, values: Sequence[int]) -> int:
        """The pattern of `count` values; ValueError where one does not fit its width."""
        if len(values) != self.count:
            raise ValueError(f"port {self.name} has {self.count} values, {len(values)} are given")
        low, high = (
            (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) if self.kind == "signed" else (0, (1 << self.width) - 1)
        )
        mask, pattern = (1 << self.width) - 1, 0
        for i, value in enumerate(values):
            if not low <= value <= high:
                raise ValueError(f"port {self.name}: value {value} does not fit {self.width} bits; allowed: {low} to {high}")
            pattern |= (value & mask) << i * self.width
        return pattern


@dataclass(frozen=True)
class Unit:
    """What is under test. k, m, n: elements of a sum, rows, columns. parameters: which of OPTIONAL are ports of their own.

    fmt, options: the format of `encode` and `pack`; the codec's options of `encode` and `chain`, of a chain each side's own.
    """

    kind: str
    datapath: Datapath | None = None
    fmt: Format | None = None
    k: int = 16
    m: int = 1
    n: int = 1
    parameters: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def codec_options(self, fmt: Format) -> dict[str, Any]:
        """The options that have a meaning for a format; of the only one of `encode` all of them."""
        return {n: v for n, v in self.options if self.kind != "chain" or n not in CHOICES or allowed_values(n, fmt)}

    def random_bits(self, fmt: Format) -> int:
        """Width of the random words of a side that rounds stochastically (rule R2), else 0."""
        o = resolve_options(fmt, self.codec_options(fmt))
        return o.random_bits if o.rounding == "stochastic" else 0

    def __post_init__(self) -> None:
        """Refuse what is no unit."""
        if self.kind not in KINDS:
            raise SpecError(f"kind = {self.kind!r}; allowed: {', '.join(KINDS)}")
        for name, value in (("k", self.k), ("m", self.m), ("n", self.n)):
            if type(value) is not int or not 1 <= value <= 4096:
                raise SpecError(f"{name} = {value!r}; allowed: 1 to 4096")
        for name in self.parameters:
            if name not in OPTIONAL:
                raise SpecError(f"parameters: {name!r}; allowed: {', '.join(OPTIONAL)}")
        if self.kind in ("encode", "pack"):
            if self.fmt is None:
                raise SpecError(f"kind = {self.kind!r} without a format")
            check_layout(self.fmt)
            return
        d = self.datapath
        if d is None or d.activation is None or d.weight is None:
            raise SpecError(f"kind = {self.kind!r} needs a datapath with operand formats")
        if self.kind == "requantize" and d.requantizer is None:
            raise SpecError(f"kind = 'requantize': {d.name} has no requantizer")
        if self.kind != "requantize":
            for side in ("activation", "weight"):
                check_layout(d.operand_format(side))

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """Operands, parameters, taps in the order of the data, result."""
        from qsim.golden.ports import ports

        return ports(self)

    def port(self, name: str) -> Port:
        """A port by name; ValueError for a name that the unit does not have."""
        if name not in self._named:
            raise ValueError(f"no port {name!r}; allowed: {', '.join(self._named)}")
        return self._named[name]

    @cached_property
    def _named(self) -> dict[str, Port]:
        return {port.name: port for port in self.ports}

    @cached_property
    def inputs(self) -> tuple[Port, ...]:
        """Operands and parameters."""
        return tuple(p for p in self.ports if p.role in ("operand", "parameter"))

    @cached_property
    def outputs(self) -> tuple[Port, ...]:
        """Taps and result."""
        return tuple(p for p in self.ports if p.role in ("tap", "result"))

    @property
    def integer(self) -> IntAccumulator | None:
        """The datapath's accumulator if it sums integers one by one."""
        acc = self.datapath.accumulator if self.datapath else None
        return acc if isinstance(acc, IntAccumulator) else None

    @property
    def float(self) -> FloatAccumulator | None:
        """The datapath's accumulator if it sums float products."""
        acc = self.datapath.accumulator if self.datapath else None
        return acc if isinstance(acc, FloatAccumulator) else None

    @property
    def block(self) -> BlockAccumulator | None:
        """The datapath's accumulator if it sums blocks."""
        acc = self.datapath.accumulator if self.datapath else None
        return acc if isinstance(acc, BlockAccumulator) else None

    @cached_property
    def out_format(self) -> Format | None:
        """The format of a requantized result."""
        name = self.datapath.out_format if self.datapath else None
        if name is None:
            return None
        bits, signed = output_type(name)
        return Format(name, Element("int" if signed else "uint", bits), (Scale("FP32", "tensor"),), zero_point=not signed)


#: Keys of [layout] that arrange bytes and planes in memory, and the value under which a word is one number.
IN_MEMORY = {"scales": "word", "bit_order": "lsb", "byte_order": "little"}


def check_layout(fmt: Format) -> None:
    """SpecError for a [layout] that no port can have: a port is a number, not bytes in memory."""
    for key, needed in IN_MEMORY.items():
        value = getattr(fmt.layout, key)
        if value != needed:
            raise SpecError(
                f"{fmt.name}: layout.{key} = {value!r} arranges bytes in memory, a port carries whole words as numbers;"
                f" allowed in a suite: {key} = {needed!r}, with any fields and align"
            )


def signed_bits(values: Interval) -> int:
    """Width of the smallest two's complement type that holds an interval."""
    return max(2, *((v if v >= 0 else ~v).bit_length() + 1 for v in values))
