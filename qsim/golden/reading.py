"""How the bits of a port read: its parts, each with fields, an exact value and a distance; and the rule that made them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from qsim.golden.fields import fields_text, times
from qsim.golden.ports import formats
from qsim.golden.unit import Port, Unit
from qsim.reference.numbers import FLOAT64
from qsim.spec import FLOAT32, Element, Format, Scale

SCALE_RULES = {"microexponent": "S2", "ocp": "S3", "absmax": "S4", "vsq": "S5", "affine": "S6", "nvfp4": "S8"}
Value = Fraction | str


@dataclass(frozen=True)
class Part:
    """Bits low .. low + width - 1 of a port that mean one thing. kind: a number type, or `signed`, `unsigned`, `pad`.

    scales: (low, scale) of the block scales that multiply an element of a word.
    """

    name: str
    low: int
    width: int
    kind: Element | Scale | str
    scales: tuple[tuple[int, Scale], ...] = ()

    def code(self, pattern: int) -> int:
        """The part's bits of a pattern."""
        return pattern >> self.low & ((1 << self.width) - 1)

    @property
    def element(self) -> Element | None:
        """The number type of an element or of a float scale."""
        if isinstance(self.kind, Scale):
            return self.kind.float_type if self.kind.kind == "float" else None
        return self.kind if isinstance(self.kind, Element) else None

    @property
    def signed_zero(self) -> bool:
        """True where +0 and -0 have codes of their own."""
        return self.element is not None and self.element.kind in ("float", "sign_magnitude")

    def integer(self, code: int) -> int:
        """The code as hardware compares it: two's complement, sign and magnitude, or unsigned."""
        if self.signed_zero:
            magnitude = code & ((1 << (self.width - 1)) - 1)
            return -magnitude if code >> (self.width - 1) else magnitude
        if self.element is not None:
            return self.element.integer(code)
        return code - (code >> (self.width - 1) << self.width) if self.kind == "signed" else code

    def fields(self, code: int) -> str:
        """sign|exponent|mantissa, sign|magnitude, or nothing."""
        return fields_text(self.element, code) if self.element is not None and self.signed_zero else ""

    def value(self, pattern: int) -> Value:
        """Exact value of the part in a pattern of its port."""
        code = self.code(pattern)
        if isinstance(self.kind, str):
            return Fraction(self.integer(code))
        value: Value = self.kind.value(code)
        for low, scale in self.scales:
            value = times(value, scale.value(pattern >> low & ((1 << scale.bits) - 1)))
        if value == 0 and self.signed_zero and code:
            return "-0"
        return value

    def distance(self, expected: int, got: int) -> tuple[int, str] | None:
        """From one code to the other: in ulps for a float, else in units of the last bit; None where one is no number."""
        if self.element is not None and "nan" in (self.element.value(expected), self.element.value(got)):
            return None
        unit = "ulp" if self.element is not None and self.element.is_float else "LSB"
        return self.integer(got) - self.integer(expected), unit


def parts(unit: Unit, port: Port) -> list[Part]:
    """The parts of a port, from bit 0 up."""
    fmt = word_format(unit, port)
    if port.kind == "word" and fmt is not None:
        return [part for i in range(port.count) for part in _word(fmt, i * port.width, f"word{i}." if port.count > 1 else "")]
    kind = value_kind(unit, port)
    return [Part(f"[{i}]" if port.count > 1 else "", i * port.width, port.width, kind) for i in range(port.count)]


def word_format(unit: Unit, port: Port) -> Format | None:
    """The format of a port of words."""
    if unit.fmt is not None:
        return unit.fmt
    activation, weight = formats(unit)
    return {"activation": activation, "weight": weight}.get(port.name)


def value_kind(unit: Unit, port: Port) -> Element | Scale | str:
    """How one value of a port reads."""
    if port.kind in ("float32", "float64"):
        return FLOAT32 if port.kind == "float32" else FLOAT64
    if unit.fmt is not None and port.name == "codes":
        return unit.fmt.element
    if unit.fmt is not None and port.name.startswith("scale"):
        return unit.fmt.scales[int(port.name[5:])]
    for side in ("activation", "weight"):
        if port.name.startswith(f"{side}_scale"):
            fmt = formats(unit)[side == "weight"]
            return [s for s in fmt.scales if not isinstance(s.group, int)][int(port.name[len(side) + 6 :])]
    return port.kind


def _word(fmt: Format, base: int, prefix: str) -> list[Part]:
    """Elements, scales and pad bits of one word."""
    found, low, at = [], base, {}
    for name, width, count in fmt.word_fields:
        at[name] = low
        low += width * count
    inside = [(s, at[f"scale{i}"]) for i, s in enumerate(fmt.block_scales) if f"scale{i}" in at]
    for name, width, count in fmt.word_fields:
        for i in range(count):
            label = f"{prefix}{name}[{i}]" if count > 1 else f"{prefix}{name}"
            if name == "element":
                scales = tuple((start + i // int(s.group) * s.bits, s) for s, start in inside)
                found.append(Part(label, at[name] + i * width, width, fmt.element, scales))
            else:
                found.append(Part(label, at[name] + i * width, width, fmt.block_scales[int(name[5:])]))
    if low < base + fmt.word_bits:
        found.append(Part(f"{prefix}pad", low, base + fmt.word_bits - low, "pad"))
    return found


def rule_of(unit: Unit, port: Port) -> str:
    """The rule that makes the bits of a port (docs/rules.md, docs/datapath.md)."""
    if port.kind == "word":
        return "P3"
    if unit.fmt is not None:
        return _codec_rule(unit.fmt, unit.kind, port)
    if port.name.startswith("requantizer."):
        return _requantizer_rule(unit, port.name.removeprefix("requantizer."))
    rules = {"out_zero_point": "Q1", "clamp_low": "Q1", "clamp_high": "Q1", "multiplier": "Q4", "shift": "Q4", "scale": "Q4"}
    rules |= {"out_scale": "Q4", "acc": "Q5", "activation_input": "R4", "weight_input": "R4"}
    if port.name in rules:
        return rules[port.name]
    if port.role == "result" and unit.datapath is not None and unit.datapath.requantizer is not None:
        return "Q7" if unit.datapath.requantizer.prep.kind == "thresholds" else "Q3"
    if "_scale" in port.name:
        return "P1"
    return "A1" if unit.integer is not None else "A3" if unit.float is not None else "A2"


def _codec_rule(fmt: Format, kind: str, port: Port) -> str:
    if port.name == "input":
        return "R4"
    if kind == "pack":
        return "P1"
    if port.name.startswith("scale"):
        return SCALE_RULES.get(fmt.family, "B")
    return "R3" if fmt.family == "float" else "R1"


def _requantizer_rule(unit: Unit, name: str) -> str:
    assert unit.datapath is not None
    q = unit.datapath.requantizer
    assert q is not None
    if name == "product":
        return "Q6" if q.prep.is_float else "Q1"
    return {"zero_add": "Q3", "clamped": "Q1"}.get(name, "Q2")
