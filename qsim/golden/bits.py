"""float32 bit patterns as the writers of vectors need them."""

from __future__ import annotations

from fractions import Fraction

from qsim.reference import round_to_float
from qsim.spec import FLOAT32

SIGN = 0x80000000
INF = 0x7F800000
NAN = 0x7FC00000
LARGEST = 0x7F7FFFFF


def float32(value: Fraction | int) -> int:
    """Bits of a value, rounded once; -0 does not come from here."""
    return round_to_float(Fraction(value), FLOAT32)


def value_of(bits: int) -> Fraction:
    """Exact value of finite bits."""
    value = FLOAT32.value(bits)
    assert isinstance(value, Fraction)
    return value


def next_up(bits: int) -> int:
    """The next float32 toward +Inf; from either zero the smallest subnormal."""
    if bits & ~SIGN == 0:
        return 1
    return bits - 1 if bits & SIGN else bits + 1


def next_down(bits: int) -> int:
    """The next float32 toward -Inf."""
    return next_up(bits ^ SIGN) ^ SIGN


def hexed(code: int, bits: int) -> str:
    """A bit pattern of its full width."""
    return f"0x{code:0{-(-bits // 4)}x}"
