"""How products of block formats are summed: the facts of one block accumulator (rule A2), frozen, checked.

Letters: J blocks of a row, D_j the exact integer dot product of a block, s_j the integer part of its scales, e_j their exponent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from qsim.spec.error import SpecError
from qsim.spec.float_accumulator import KEYS as UNIT_KEYS
from qsim.spec.float_accumulator import FloatAccumulator, parse_float_accumulator
from qsim.spec.int_accumulator import IntAccumulator, parse_int_accumulator, register
from qsim.spec.requantizer import STEP_ROUNDINGS, Narrow

INTO = ("integer", "fixed", "float")
TERMS = ("sums", "products")
INT_KEYS = ("bits", "overflow", "order", "chunk", "spill_bits", "spill_overflow")
FLOAT_KEYS = ("unit", "terms", "nfma", "promote_every")
#: key of the table -> kinds of accumulator that know it
KEYS = {
    "dot_bits": INTO,
    "dot_overflow": INTO,
    "length": INTO,
    "scale_bits": ("integer",),
    "scale_rounding": ("integer",),
    "lsb": ("fixed",),
    "rounding": ("fixed",),
    "term_bits": ("integer", "fixed"),
    "term_overflow": ("integer", "fixed"),
    **dict.fromkeys(INT_KEYS, ("integer", "fixed")),
    **dict.fromkeys(FLOAT_KEYS, ("float",)),
}
TERM_BITS = 62  # of a fixed-point term whose register is not stated
MAX_NFMA, MAX_LENGTH, MAX_LSB = 4096, 65536, 600


@dataclass(frozen=True)
class BlockAccumulator:
    """Block dot products, scaled, and what sums them; every register counts how often it changed a value (A4).

    A block's product is D * s * 2^(e - fraction bits), D and s integers. E8M0 scales give e (E_a + E_w - 254), UINT scales s,
    E4M3 scales both: the product of significands, and the sum of exponents, those of subnormals counted as -6. A microexponent
    shifts the products of its pair. Channel and tensor scales multiply the final sum: exact product, once to float32.

    into: `integer`: D * s is added; scales may be UINT or none. `fixed`: the scaled sum is rounded once to a multiple of
        2^lsb, then added. `float`: an aligned and cut float sum (rule A3).
    dot: the register that D enters; None: exact.
    length: elements of one sum; None: a whole block. A block of more elements gives several sums of the same scale.
    scale_bits, scale_rounding: s_a * s_w of widths M_a and M_w becomes R(s_a * s_w / 2^(M_a + M_w - P)), saturated to P bits;
        the dropped bits return as a shift of the final sum. None: exact.
    lsb, rounding: the grid of `fixed` and how a term is rounded to it.
    term: the register that D * s enters (integer; None: exact), or that a rounded term enters (fixed).
    sums: registers, order and chunks that add the terms: one term a lane sum, so that a chunk counts terms.
    unit: fraction, alignment, c, min_exponent, order and result of the float sum, as for float products; its operands, and
        its nfma, do not apply. A zero term has no sign: it counts as +0.
    terms: `sums`: a term is D * s, its exponent e_j; element exponents do not enter it. `products`: each product of elements
        is a term, its exponent that of the elements (of an integer element 0) plus e_j less the microexponents.
    nfma: terms of one step. promote_every: products, a multiple of a step's.
    """

    into: str
    dot: Narrow | None = None
    length: int | None = None
    scale_bits: int | None = None
    scale_rounding: str = "half_even"
    lsb: int = 0
    rounding: str = "half_even"
    term: Narrow | None = None
    sums: IntAccumulator | None = None
    unit: FloatAccumulator | None = None
    terms: str = "sums"
    nfma: int = 1
    promote_every: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no accumulator can do."""
        for key, allowed in (
            ("into", INTO),
            ("terms", TERMS),
            ("rounding", STEP_ROUNDINGS),
            ("scale_rounding", STEP_ROUNDINGS),
        ):
            if getattr(self, key) not in allowed:
                raise SpecError(f"accumulator.{key} = {getattr(self, key)!r}; allowed: {', '.join(allowed)} (rule A2)")
        for key, value, low, high in (
            ("length", self.length, 1, MAX_LENGTH),
            ("scale_bits", self.scale_bits, 2, 16),
            ("lsb", self.lsb, -MAX_LSB, MAX_LSB),
            ("nfma", self.nfma, 1, MAX_NFMA),
            ("promote_every", self.promote_every, 1, 1 << 30),
        ):
            ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
            if not ok and not (value is None and key in ("length", "scale_bits", "promote_every")):
                raise SpecError(f"accumulator.{key} = {value!r}; allowed: {low} to {high} (rule A2)")
        if self.scale_bits is not None and self.into != "integer":
            raise SpecError(f"accumulator.scale_bits with into = {self.into!r}; allowed: with into = 'integer' (rule A2)")
        for name, narrow in (("dot", self.dot), ("term", self.term)):
            if narrow is not None:
                register(f"accumulator.{name}", narrow.bits, narrow.overflow, narrow.signed)
        if self.into == "float":
            self._check_unit()
        else:
            self._check_sums()

    def _check_sums(self) -> None:
        if self.sums is None or self.unit is not None:
            raise SpecError(f"accumulator.into = {self.into!r} needs integer registers (sums), and no unit (rule A2)")
        plain = IntAccumulator()
        for key in ("lanes", "lane", "product", "bias", "zero_points"):
            if getattr(self.sums, key) != getattr(plain, key):
                raise SpecError(f"accumulator.{key} = {getattr(self.sums, key)!r}; allowed: {getattr(plain, key)} (rule A2)")
        if (self.terms, self.nfma, self.promote_every) != ("sums", 1, None):
            raise SpecError("accumulator.terms, nfma, promote_every; allowed: with into = 'float' (rule A2)")
        if self.into == "fixed" and self.term is None:
            object.__setattr__(self, "term", Narrow(TERM_BITS, True, self.sums.overflow))

    def _check_unit(self) -> None:
        if self.unit is None or self.sums is not None or self.term is not None:
            raise SpecError("accumulator.into = 'float' needs a unit, and no integer registers but dot (rule A2)")
        if self.unit.order == "odd_first" or self.unit.daz or self.unit.promote_every is not None:
            raise SpecError(
                f"accumulator.unit = {self.unit.name}: odd_first, daz or promote_every; allowed: ascending or pairwise, no daz,"
                " and the key promote_every of the block accumulator (rule A2)"
            )
        if self.terms == "products" and (self.dot is not None or self.length is not None):
            raise SpecError("accumulator.dot and length with terms = 'products'; allowed: with terms = 'sums' (rule A2)")
        step = self.nfma * (self.length or 1)
        if self.promote_every is not None and self.promote_every % step:
            raise SpecError(f"accumulator.promote_every = {self.promote_every}; allowed: a multiple of {step} (rule A2)")

    def sum_length(self, block: int) -> int:
        """Elements of one sum for blocks of `block` elements; SpecError where they do not fill a block."""
        length = self.length or block
        if block % length:
            raise SpecError(f"accumulator.length = {length} with blocks of {block}; allowed: a divisor of {block} (rule A2)")
        return length

    def promoted_terms(self, block: int) -> int:
        """Terms from one promotion to the next; 0: never."""
        if self.promote_every is None:
            return 0
        length = 1 if self.terms == "products" else self.sum_length(block)
        if self.promote_every % (length * self.nfma):
            raise SpecError(
                f"accumulator.promote_every = {self.promote_every}; allowed: a multiple of {length * self.nfma},"
                f" {self.nfma} terms of {length} products (rule A2)"
            )
        return self.promote_every // length

    def dropped_bits(self, scale_widths: int) -> int:
        """Low bits that rounding to `scale_bits` takes off a product of scales of so many bits together."""
        return 0 if self.scale_bits is None else max(scale_widths - self.scale_bits, 0)

    @property
    def registers(self) -> tuple[str, ...]:
        """Names of the registers that narrow: keys of the event counts, in the order of the data (rule A4)."""
        return tuple(self.narrows)

    @property
    def narrows(self) -> dict[str, Narrow]:
        """The register behind each name of `registers`."""
        scale = Narrow(self.scale_bits, False) if self.scale_bits else None
        found = {"dot": self.dot, "scale": scale, "term": self.term}
        if self.sums is not None:
            found |= {"accumulator": self.sums.register, "spill": self.sums.last if self.sums.order == "chunked" else None}
        return {name: narrow for name, narrow in found.items() if narrow is not None}


def parse_block_accumulator(table: dict[str, Any], where: str, load_float: Callable[[str], FloatAccumulator]) -> BlockAccumulator:
    """The [accumulator] table of a datapath file whose kind is `block`; `load_float` finds a float accumulator by name or path.

    `unit` is such a name, or a table with the keys of a float accumulator (operands may be left out), or a table of changes to
    the unit that its key `like` names. SpecError with the place for an unknown key or an impossible value.
    """
    try:
        into = table.get("into")
        if into not in INTO:
            raise SpecError(f"into = {into!r}; allowed: {', '.join(INTO)}")
        for key, value in table.items():
            if key not in ("kind", "into") and into not in KEYS.get(key, ()):
                allowed = ", ".join(k for k, kinds in KEYS.items() if into in kinds)
                raise SpecError(f"unknown key {key!r} = {value!r} with into = {into!r}; allowed: {allowed}")
        same = ("length", "scale_bits", "scale_rounding", "lsb", "rounding", "terms", "nfma", "promote_every")
        fields: dict[str, Any] = {key: table[key] for key in same if key in table}
        for name, overflow in (("dot", "error"), ("term", table.get("overflow", "error"))):
            if f"{name}_bits" in table:
                fields[name] = register(name, table[f"{name}_bits"], table.get(f"{name}_overflow", overflow))
            elif f"{name}_overflow" in table:
                raise SpecError(f"{name}_overflow without {name}_bits; allowed: both, or neither")
        if into == "fixed" and "lsb" not in table:
            raise SpecError("key 'lsb' is missing: the exponent of the accumulator's last bit")
        if into == "float":
            fields["unit"] = _unit(table.get("unit"), load_float)
        else:
            fields["sums"] = parse_int_accumulator({key: table[key] for key in INT_KEYS if key in table}, "sums")
        return BlockAccumulator(into, **fields)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _unit(unit: object, load_float: Callable[[str], FloatAccumulator]) -> FloatAccumulator:
    if isinstance(unit, str):
        return load_float(unit)
    if not isinstance(unit, dict):
        raise SpecError(f"unit = {unit!r}; allowed: the name or path of a float accumulator, or a table of its keys")
    if "like" not in unit:
        return parse_float_accumulator({"name": "unit", "operands": {"fp32": 1}} | unit)
    changes = {key: value for key, value in unit.items() if key != "like"}
    unknown = next((key for key in changes if key not in UNIT_KEYS or isinstance(changes[key], dict | list)), None)
    if unknown is not None:
        raise SpecError(f"unit.{unknown}; allowed: like, and plain keys of a float accumulator: {', '.join(UNIT_KEYS)}")
    return replace(load_float(unit["like"]), **changes)
