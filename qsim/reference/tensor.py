"""The tensor that the rules look at: exact values, who shares which scale, what is refused (rule S7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod

from qsim.reference.groups import members, scale_indices
from qsim.reference.numbers import Real
from qsim.spec.format import Format
from qsim.spec.geometry import Geometry
from qsim.spec.number import FLOAT32
from qsim.spec.options import Options

FLOAT32_INF = 0x7F800000
FLOAT32_ABS = 0x7FFFFFFF
SIGN = 0x80000000
E8M0_FAMILIES = ("microexponent", "ocp")


@dataclass(frozen=True)
class Encoded:
    """Codes in C order of the shape; each scale level's codes in C order of its shape, finest first; zero points or None."""

    codes: list[int]
    scales: tuple[list[int], ...] = ()
    zero_point: list[int] | None = None


@dataclass(frozen=True)
class Tensor:
    """What the rules look at: finite float32 bits (a plain float's may be anything) and who shares which scale.

    limits: (low, high) float32 bits of each outermost scale, given instead of the tensor's own extremes (rule C1), or None.
    """

    geometry: Geometry
    options: Options
    bits: list[int]
    limits: tuple[tuple[int, int], ...] | None = None

    @property
    def fmt(self) -> Format:
        """The format, its granularity resolved."""
        return self.geometry.fmt

    @cached_property
    def values(self) -> list[Real]:
        """Exact values of the bits."""
        return [FLOAT32.value(b) for b in self.bits]

    @cached_property
    def indices(self) -> list[list[int]]:
        """For each level, the scale index of each element."""
        return [scale_indices(self.geometry, level) for level in range(len(self.fmt.scales))]

    @cached_property
    def groups(self) -> list[list[list[int]]]:
        """For each level, the elements of each scale."""
        return [members(i, prod(s)) for i, s in zip(self.indices, self.geometry.scale_shapes, strict=True)]

    def where(self, level: int, group: int) -> str:
        """Name of a group, for an error."""
        return f"{self.fmt.name}: scale level {level}, group {group} of shape {self.geometry.scale_shapes[level]}"

    def bits_of(self, level: int, group: int) -> list[int]:
        """The bits of a group."""
        return [self.bits[i] for i in self.groups[level][group]]

    def values_of(self, level: int, group: int) -> list[Fraction]:
        """The values of a group, which are finite in a format with scales."""
        return [finite(self.values[i]) for i in self.groups[level][group]]

    def amax(self, level: int, group: int) -> Fraction:
        """The largest magnitude of a group; 0 for an empty one."""
        return max(map(abs, self.values_of(level, group)), default=Fraction(0))

    def reach(self, group: int) -> tuple[Fraction, Fraction]:
        """The range of an outermost scale, widened to contain 0: of its elements, or as given (rules S6, C1)."""
        given = None if self.limits is None else [finite(FLOAT32.value(b)) for b in self.limits[group]]
        values = [Fraction(0), *(self.values_of(-1, group) if given is None else given)]
        return min(values), max(values)

    def reach_magnitude(self, group: int) -> Fraction:
        """The largest magnitude of that range."""
        low, high = self.reach(group)
        return max(-low, high)

    def outer(self, group: int) -> int:
        """Index of the level 1 scale over a group of level 0."""
        elements = self.groups[0][group]
        return self.indices[1][elements[0]] if elements else 0  # only channels of an empty tensor are empty


def finite(value: Real) -> Fraction:
    """The value, which is known to be a Fraction."""
    assert isinstance(value, Fraction), value
    return value


def cleaned(bits: list[int], geometry: Geometry, options: Options) -> tuple[Tensor, list[int]]:
    """Rule S7 and the option `subnormals`: the bits to encode, NaN blocks emptied, and the indices of those blocks."""
    family = geometry.fmt.family
    if family == "float":
        if geometry.fmt.element.nan_code is None:
            _refuse(bits, geometry.fmt, lambda b: b & FLOAT32_ABS > FLOAT32_INF, "NaN", "R3")
        return Tensor(geometry, options, bits), []
    if family not in E8M0_FAMILIES or options.nonfinite == "error":
        _refuse(bits, geometry.fmt, is_special, "NaN or infinite", "S7")
    if options.nonfinite == "saturate":
        bits = [b - 1 if b & FLOAT32_ABS == FLOAT32_INF else b for b in bits]  # one below Inf stands the largest finite
    if options.subnormals == "flush":
        bits = [0 if b & FLOAT32_INF == 0 else b for b in bits]
    nan_blocks = []
    for block, elements in enumerate(Tensor(geometry, options, bits).groups[-1] if family in E8M0_FAMILIES else []):
        if any(is_special(bits[i]) for i in elements):
            nan_blocks.append(block)
            for i in elements:
                bits[i] = 0
    return Tensor(geometry, options, bits), nan_blocks


def is_special(bits: int) -> bool:
    """NaN or Inf."""
    return bits & FLOAT32_INF == FLOAT32_INF


def _refuse(bits: list[int], fmt: Format, refused: Callable[[int], bool], what: str, rule: str) -> None:
    found = [i for i, b in enumerate(bits) if refused(b)]
    if found:
        raise ValueError(
            f"{len(found)} {what} value(s), first at flat index {found[0]}; {fmt.name} has no code for it (rule {rule})"
        )
