"""Operands of block formats from element codes and block scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qsim.golden.cases.draft import Inputs, codes, counts, defaults, one, operand
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec.number import Element

SIDES = ("activation", "weight")


@dataclass(frozen=True)
class Codes:
    """Notable codes of an element."""

    element: Element

    @cached_property
    def zero(self) -> int:
        """+0."""
        return 0 if self.element.is_float else codes(self.element).get(0, 1)

    @cached_property
    def largest(self) -> int:
        """The largest finite number."""
        return self.element.max_code if self.element.is_float else codes(self.element)[self.element.qmax]

    @cached_property
    def lowest(self) -> int:
        """The lowest finite number."""
        e = self.element
        return e.max_code | 1 << (e.bits - 1) if e.is_float else codes(e)[e.qmin]

    @cached_property
    def one(self) -> int:
        """1, or the last bit."""
        e = self.element
        return e.bias << e.mantissa_bits if e.is_float else codes(e)[1]

    @cached_property
    def last(self) -> int:
        """The smallest number above zero."""
        return 1 if self.element.is_float else codes(self.element)[1]

    @cached_property
    def minus_zero(self) -> int | None:
        """-0 where there is one."""
        e = self.element
        return 1 << (e.bits - 1) if e.is_float or e.kind == "sign_magnitude" else None

    @cached_property
    def finite(self) -> list[int]:
        """Every code of a finite number."""
        e = self.element
        return [c for c in range(1 << e.bits) if not e.is_float or not isinstance(e.value(c), str)]

    def negative(self, code: int) -> int:
        """The code of the opposite number."""
        e = self.element
        if e.is_float or e.kind == "sign_magnitude":
            return code ^ 1 << (e.bits - 1)
        return codes(e)[max(-e.integer(code), -e.qmax)] if -e.integer(code) in codes(e) or e.integer(code) == e.qmin else code


class Builder:
    """Operands from element codes and block scales; what is left out is 0 and 1."""

    def __init__(self, unit: Unit) -> None:
        """Of one unit."""
        self.unit, self.rest = unit, defaults(unit)
        self.formats = formats(unit)
        self.codes = tuple(Codes(fmt.element) for fmt in self.formats)
        self.block = max(fmt.block_size for fmt in self.formats)
        self.blocks = -(-unit.k // self.block)

    def scales(self, side: int, **levels: Sequence[int]) -> list[list[int]]:
        """Codes of every level: those named scale0, scale1... as given, the others 1."""
        fmt = self.formats[side]
        return [
            list(levels.get(f"scale{i}", [one(s)] * n))
            for i, (s, n) in enumerate(zip(fmt.scales, counts(fmt, self.unit.k), strict=True))
        ]

    def inputs(
        self,
        a: Sequence[int],
        w: Sequence[int],
        a_scales: Sequence[Sequence[int]] | None = None,
        w_scales: Sequence[Sequence[int]] | None = None,
    ) -> Inputs:
        """Both operands, parameters at rest."""
        found = dict(self.rest)
        for side, row, scales in zip((0, 1), (a, w), (a_scales, w_scales), strict=True):
            full = [*row, *[self.codes[side].zero] * (self.unit.k - len(row))]
            found |= operand(self.unit, SIDES[side], full, scales)
        return found

    def filled(self, a: int, w: int) -> tuple[list[int], list[int]]:
        """The same codes in every lane."""
        return [a] * self.unit.k, [w] * self.unit.k
