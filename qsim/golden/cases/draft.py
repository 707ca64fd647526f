"""A case before the reference has computed it: why it exists, and the patterns of the unit's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.reference import Encoded, to_words
from qsim.spec import Format, Geometry
from qsim.spec.number import Element, Scale
from qsim.spec.random import splitmix64

Inputs = dict[str, int]


class Draft(NamedTuple):
    """flags: why the case exists; none: only what `observe` sees in it can keep it."""

    flags: tuple[str, ...]
    comment: str
    inputs: Inputs


class Words(Iterator[int]):
    """The outputs of splitmix64 for a seed, one after the other: the same on every machine."""

    def __init__(self, seed: int, stream: int = 0) -> None:
        """`stream` tells apart the uses of one seed."""
        self.seed, self.i = splitmix64(seed, stream), 0

    def __next__(self) -> int:
        """64 bits."""
        self.i += 1
        return splitmix64(self.seed, self.i)

    def bits(self, n: int) -> int:
        """n random bits."""
        found, have = 0, 0
        while have < n:
            found |= next(self) << have
            have += 64
        return found & ((1 << n) - 1)

    def between(self, low: int, high: int) -> int:
        """An integer of [low, high]; the bias of the remainder is below 2^-32 for ranges of 32 bits."""
        return low + self.bits(64 + (high - low).bit_length()) % (high - low + 1)

    def of(self, values: Sequence[int]) -> int:
        """One of the values."""
        return values[self.between(0, len(values) - 1)]


@cache
def codes(element: Element) -> dict[int, int]:
    """The code of every integer of an integer-like element; of two zeros the one without sign."""
    found: dict[int, int] = {}
    for code in range(1 << element.bits):
        value = element.integer(code)
        if element.qmin <= value <= element.qmax:
            found.setdefault(value, code)
    return found


def one(scale: Scale) -> int:
    """The code of 1, or of the smallest scale above 0."""
    if scale.kind == "float":
        return int(scale.float_type.bias << scale.float_type.mantissa_bits)
    return {"exponent": 127, "microexponent": 0, "uint": 1}[scale.kind]


def operand(unit: Unit, side: str, elements: Sequence[int], scales: Sequence[Sequence[int]] | None = None) -> Inputs:
    """The ports of one operand: words of k element codes, and of block scales (1 unless given), channel and tensor scales 1.

    scales: one list a level that stands in the word or in a port, finest first. Rows of whole blocks are cut to k elements:
    the rest of the last block is padding of code 0 (rule P5).
    """
    fmt = formats(unit)[0 if side == "activation" else 1]
    given = list(scales) if scales is not None else [[] for _ in fmt.scales]
    levels = [
        list(found)[:count] or unit_scale(s, count)
        for found, s, count in zip(given, fmt.scales, counts(fmt, unit.k), strict=True)
    ]
    zero = [0] if fmt.zero_point else None  # it stands in a port of its own
    words = to_words(Encoded(list(elements)[: unit.k], tuple(levels), zero), (unit.k,), fmt)
    outer = [level[0] for level, s in zip(levels, fmt.scales, strict=True) if not isinstance(s.group, int)]
    ports = [p for p in unit.inputs if p.name.startswith(f"{side}_scale")]
    return {side: unit.port(side).join(words)} | {p.name: code for p, code in zip(ports, outer, strict=False)}


def counts(fmt: Format, k: int) -> list[int]:
    """Scales of each level over k elements."""
    return [shape[0] if shape else 1 for shape in Geometry.of(fmt, (k,)).scale_shapes]


def unit_scale(scale: Scale, count: int) -> list[int]:
    """So many scales of 1."""
    return [one(scale)] * count


def integers(unit: Unit, a: Sequence[int], w: Sequence[int]) -> Inputs:
    """Both operands of an integer accumulator, from integers; filled with 0, or with +1 * -1 pairs where there is no 0."""
    found: Inputs = {}
    filled = (fill(formats(unit)[0].element, a, unit.k, 1), fill(formats(unit)[1].element, w, unit.k, 1))
    for side, fmt, values in zip(("activation", "weight"), formats(unit), filled, strict=True):
        found |= operand(unit, side, [codes(fmt.element)[v] for v in values])
    return found


def fill(element: Element, values: Sequence[int], k: int, other: int) -> list[int]:
    """k integers: the values, then zeros, or `other` where the element has no zero."""
    rest = 0 if 0 in codes(element) else other
    return [*values, *[rest] * (k - len(values))]


def defaults(unit: Unit) -> Inputs:
    """Every parameter at rest: 0, no clamp, a scale of 1, the requantizer's as `at_rest` chooses them."""
    from qsim.golden.cases.rest import at_rest

    found = dict.fromkeys((p.name for p in unit.inputs if p.role == "parameter"), 0)
    out = unit.out_format
    if "clamp_low" in found and out is not None:
        found["clamp_low"] = unit.port("clamp_low").join([out.element.qmin])
        found["clamp_high"] = unit.port("clamp_high").join([out.element.qmax])
    return found | at_rest(unit)


def signed(unit: Unit, values: Mapping[str, int]) -> Inputs:
    """Patterns of ports of one value."""
    return {name: unit.port(name).join([value]) for name, value in values.items()}
