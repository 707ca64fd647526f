"""The functions of the reference that mutants replace, and stand-ins for them that take other facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qsim.golden.mutants.mutant import Hook, changed, replaced

ENCODED = "qsim.golden.unit_reference:_encoded"
SCALES = "qsim.reference.encode:choose_scales"
CODE = "qsim.reference.encode:element_code"
WORDS = "qsim.golden.unit_reference:to_words"
ROW = "qsim.golden.unit_reference:_row"
DOT = "qsim.golden.unit_reference:int_dot"
ENTER = "qsim.reference.int_dot:_Registers.enter"
BLOCK = "qsim.golden.unit_reference:block_dot"
INNER = "qsim.reference.block_dot"
FLOAT = "qsim.golden.unit_reference:float_dot"
REQUANTIZE = "qsim.golden.unit_reference:requantize"
ELEMENT = "qsim.reference.requantize:_Element"

Make = Callable[[Callable[..., Any]], Callable[..., Any]]


def with_accumulator(**fields: Any) -> Make:
    """int_dot of an accumulator with other facts."""
    return lambda original: lambda a, w, acc, **rest: original(a, w, changed(acc, **fields), **rest)


def block_with(**fields: Any) -> tuple[Hook, ...]:
    """The block accumulator with other facts."""
    return replaced(BLOCK, lambda original: lambda a, w, acc, c=0: original(a, w, changed(acc, **fields), c))


def float_with(**fields: Any) -> tuple[Hook, ...]:
    """The float unit with other facts."""
    return replaced(
        FLOAT, lambda original: lambda a, b, c, acc, operand, **rest: original(a, b, c, changed(acc, **fields), operand, **rest)
    )


def with_requantizer(**fields: Any) -> Make:
    """The requantizer with other facts."""
    return lambda original: lambda acc, q, **rest: original(acc, changed(q, **fields), **rest)


def signed(value: int, bits: int) -> int:
    """The lowest bits of a value, read as two's complement."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half
