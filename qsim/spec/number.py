"""Number types: what one code of an element or of a scale means.

Letters: E exponent bits, M mantissa bits, N width in bits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from qsim.spec.error import SpecError

ELEMENT_KINDS = ("int", "uint", "sign_magnitude", "float", "binary", "ternary")
SPECIALS = ("ieee", "nan", "none")


@dataclass(frozen=True)
class Element:
    """One element type; `bits` is the width of its code.

    kind: `int` (two's complement), `uint`, `sign_magnitude` (S1Mm, sign then m magnitude bits),
    `float` (sign, exponent, mantissa), `binary` (code 1 is +1, code 0 is -1), `ternary` (2-bit two's complement).
    lsb_exponent: the weight of an integer-like element's last bit is 2^lsb_exponent.
    specials (float): `ieee` Inf and NaN in the all-ones exponent, `nan` NaN only in the all-ones code, `none` neither.
    """

    kind: str
    bits: int
    exponent_bits: int = 0
    mantissa_bits: int = 0
    bias: int = 0
    specials: str = "none"
    lsb_exponent: int = 0

    @property
    def is_float(self) -> bool:
        """True for ExMy elements."""
        return self.kind == "float"

    @property
    def magnitude_bits(self) -> int:
        """m of S1Mm."""
        return self.bits - 1

    @property
    def qmin(self) -> int:
        """Smallest integer of an integer-like element (two's complement end, before narrow_range)."""
        return {
            "int": -(1 << (self.bits - 1)),
            "uint": 0,
            "sign_magnitude": -((1 << (self.bits - 1)) - 1),
            "binary": -1,
            "ternary": -1,
        }[self.kind]

    @property
    def qmax(self) -> int:
        """Largest integer of an integer-like element."""
        return {
            "int": (1 << (self.bits - 1)) - 1,
            "uint": (1 << self.bits) - 1,
            "sign_magnitude": (1 << (self.bits - 1)) - 1,
            "binary": 1,
            "ternary": 1,
        }[self.kind]

    @property
    def emin(self) -> int:
        """Exponent of the smallest normal value (float)."""
        return 1 - self.bias

    @property
    def emax(self) -> int:
        """Exponent of the largest finite value: floor(log2(largest)); for an integer element that of its top bit."""
        if self.is_float:
            return (self.max_code >> self.mantissa_bits) - self.bias
        return self.bits - 2 + self.lsb_exponent

    @property
    def max_code(self) -> int:
        """Magnitude code of the largest finite value (float)."""
        top = (1 << (self.bits - 1)) - 1
        return {"ieee": top - (1 << self.mantissa_bits), "nan": top - 1, "none": top}[self.specials]

    @property
    def inf_code(self) -> int | None:
        """Magnitude code of infinity, or None."""
        return self.max_code + 1 if self.specials == "ieee" else None

    @property
    def nan_code(self) -> int | None:
        """Magnitude code of the NaN that an encoder writes (rule R3), or None."""
        if self.specials == "ieee":
            return self.max_code + 1 + (1 << (self.mantissa_bits - 1))
        return self.max_code + 1 if self.specials == "nan" else None

    def value(self, code: int) -> Fraction | str:
        """Exact value of a code: a Fraction, or "nan", "inf", "-inf". The sign of zero is not kept."""
        if not 0 <= code < 1 << self.bits:
            raise ValueError(f"code {code} does not fit in {self.bits} bits; allowed: 0 to {(1 << self.bits) - 1}")
        if self.is_float:
            return self._float_value(code)
        return self.integer(code) * Fraction(2) ** self.lsb_exponent

    def integer(self, code: int) -> int:
        """Signed integer of a code of an integer-like element (rule P1)."""
        if self.kind == "uint":
            return code
        if self.kind == "binary":
            return 2 * code - 1
        sign = code >> (self.bits - 1)
        if self.kind == "sign_magnitude":
            magnitude = code & (self.qmax)
            return -magnitude if sign else magnitude
        return code - (sign << self.bits)

    def _float_value(self, code: int) -> Fraction | str:
        sign, magnitude = code >> (self.bits - 1), code & ((1 << (self.bits - 1)) - 1)
        if magnitude > self.max_code:
            if magnitude != self.inf_code:
                return "nan"
            return "-inf" if sign else "inf"
        field, fraction = magnitude >> self.mantissa_bits, magnitude & ((1 << self.mantissa_bits) - 1)
        if field:
            fraction += 1 << self.mantissa_bits
        value = fraction * Fraction(2) ** (max(field, 1) - self.bias - self.mantissa_bits)
        return -value if sign else value

    @cached_property
    def largest(self) -> Fraction:
        """Largest finite value of the element alone."""
        if self.is_float:
            value = self._float_value(self.max_code)
            assert isinstance(value, Fraction)
            return value
        return self.qmax * Fraction(2) ** self.lsb_exponent

    @cached_property
    def smallest(self) -> Fraction:
        """Smallest positive value of the element alone."""
        if self.is_float:
            return Fraction(2) ** (self.emin - self.mantissa_bits)
        return Fraction(2) ** self.lsb_exponent

    @property
    def name(self) -> str:
        """The field's short name: INT8, S1M7, E4M3."""
        if self.kind == "float":
            return f"E{self.exponent_bits}M{self.mantissa_bits}"
        if self.kind == "sign_magnitude":
            return f"S1M{self.magnitude_bits}"
        return f"{self.kind.upper()}{self.bits}" if self.kind in ("int", "uint") else self.kind.upper()


def float_element(exponent_bits: int, mantissa_bits: int, specials: str, bias: int | None = None) -> Element:
    """A float element; the bias is 2^(E-1) - 1 unless given."""
    if bias is None:
        bias = (1 << (exponent_bits - 1)) - 1
    return Element("float", 1 + exponent_bits + mantissa_bits, exponent_bits, mantissa_bits, bias, specials)


FLOAT32 = float_element(8, 23, "ieee")

#: Float types that a scale may have. E4M3 as a scale is signed FP8 with the sign bit 0 (NVFP4).
FLOAT_SCALES = {
    "FP32": FLOAT32,
    "FP16": float_element(5, 10, "ieee"),
    "BF16": float_element(8, 7, "ieee"),
    "E4M3": float_element(4, 3, "nan"),
}
SCALE_TYPES = ("E8M0", "E1M0", "UINT2 to UINT8", *FLOAT_SCALES)
E8M0_BIAS = 127
E8M0_NAN = 255


@dataclass(frozen=True)
class Scale:
    """One scale level. type: E8M0 (2^(code-127), 255 is NaN), E1M0 (2^-code), UINTn, FP32, FP16, BF16, E4M3.

    group: number of consecutive elements along `axis` that share the scale, or "channel", or "tensor".
    """

    type: str
    group: int | str

    @property
    def kind(self) -> str:
        """`exponent` (E8M0), `microexponent` (E1M0), `uint` or `float`."""
        if self.type in ("E8M0", "E1M0"):
            return "exponent" if self.type == "E8M0" else "microexponent"
        return "float" if self.type in FLOAT_SCALES else "uint"

    @property
    def bits(self) -> int:
        """Width of a scale code."""
        if self.kind == "float":
            return FLOAT_SCALES[self.type].bits
        return {"exponent": 8, "microexponent": 1}.get(self.kind) or int(self.type[4:])

    @property
    def float_type(self) -> Element:
        """The Element that describes a float scale."""
        return FLOAT_SCALES[self.type]

    def value(self, code: int) -> Fraction | str:
        """Exact value of a scale code, or "nan" (or "inf" for a corrupt float scale)."""
        if not 0 <= code < 1 << self.bits:
            raise ValueError(f"scale code {code} does not fit in {self.type}; allowed: 0 to {(1 << self.bits) - 1}")
        if self.kind == "exponent":
            return "nan" if code == E8M0_NAN else Fraction(2) ** (code - E8M0_BIAS)
        if self.kind == "microexponent":
            return Fraction(1, 1 << code)
        return self.float_type.value(code) if self.kind == "float" else Fraction(code)


def check_scale_type(name: object) -> str:
    """Return the type name of a scale, or raise SpecError."""
    if isinstance(name, str) and (name in FLOAT_SCALES or name in ("E8M0", "E1M0") or re.fullmatch(r"UINT[2-8]", name)):
        return name
    raise SpecError(f"type = {name!r} is not a scale type; allowed: {', '.join(SCALE_TYPES)}")
