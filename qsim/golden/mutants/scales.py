"""Mistakes at the block scales of an operand: lost, of another block, special codes not detected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.elements import Change
from qsim.golden.mutants.lanes import reversed_in_blocks, swapped
from qsim.golden.mutants.mutant import changed
from qsim.golden.unit import Unit
from qsim.spec import Format
from qsim.spec.number import E8M0_BIAS, E8M0_NAN, Scale


def _levels(fmt: Format, kind: str) -> list[int]:
    return [i for i, s in enumerate(fmt.block_scales) if s.kind == kind]


def _level(level: int, change: Callable[[list[int]], list[int]]) -> Change:
    return lambda row: replace(row, scales=tuple(change(s) if i == level else s for i, s in enumerate(row.scales)))


def scale_mistakes(unit: Unit, fmt: Format) -> Iterator[tuple[str, str, Change]]:
    """Every mistake at the block scales."""
    for level in _levels(fmt, "microexponent"):
        name = "microexponents"
        yield f"{name} ignored", "they are not connected", _level(level, lambda s: [0] * len(s))
        yield f"{name} inverted", "1 is read as 0", _level(level, lambda s: [1 - v for v in s])
        yield f"{name} of neighbours swapped", "even and odd pairs are exchanged", _level(level, swapped)
        yield f"{name} of the next pair", "the index is one off", _level(level, lambda s: [*s[1:], s[0]])
        yield f"{name} reversed", "they are numbered from the other end", _level(level, lambda s: _part_reversed(s, unit, fmt))
    for level, s in enumerate(fmt.block_scales):
        if s.kind == "microexponent":
            continue
        top = (1 << s.bits) - 1
        yield f"scale{level} ignored", "it is 1", _level(level, lambda c, s=s: [_one(s)] * len(c))  # type: ignore[misc]
        yield f"scale{level} one up", "its bias is one off", _level(level, lambda c, top=top: [min(v + 1, top) for v in c])  # type: ignore[misc]
        yield (
            f"scale{level}: top bit lost",
            "its top bit is not connected",
            _level(level, lambda c, top=top: [v & top >> 1 for v in c]),  # type: ignore[misc]
        )
        if s.kind != "exponent":
            yield f"scale{level}: lowest bit lost", "its last bit is not connected", _level(level, lambda c: [v & ~1 for v in c])
        count = -(-unit.k // (s.group if isinstance(s.group, int) else unit.k))
        if count > 1:
            yield (
                f"scale{level} of the first block",
                "every block gets the first one's scale",
                _level(level, lambda c: [c[0]] * len(c)),
            )
            yield f"scale{level} of the next block", "the index is one off", _level(level, lambda c: [*c[1:], c[0]])
        yield from _special_scales(level, s)


def _part_reversed(codes: list[int], unit: Unit, fmt: Format) -> list[int]:
    blocks = -(-unit.k // fmt.block_size)
    return reversed_in_blocks(codes, len(codes) // blocks)


def _one(s: Scale) -> int:
    if s.kind == "float":
        return s.float_type.bias << s.float_type.mantissa_bits
    return E8M0_BIAS if s.kind == "exponent" else 1


def _special_scales(level: int, s: Scale) -> Iterator[tuple[str, str, Change]]:
    def misread(value: Callable[[Scale, int], Any]) -> Change:
        class Misread(Scale):
            """The scale as the designer understood it."""

            def value(self, code: int) -> Any:
                return value(s, code)

        other = Misread(s.type, s.group)
        return lambda row: replace(
            row, fmt=changed(row.fmt, scales=tuple(other if i == level else x for i, x in enumerate(row.fmt.scales)))
        )

    if s.kind == "exponent":
        yield (
            f"scale{level}: NaN is 2^128",
            "the code 255 is not detected",
            misread(lambda s, c: Fraction(1 << 128) if c == E8M0_NAN else s.value(c)),
        )
        yield (
            f"scale{level}: 0 is zero",
            "a block of scale 2^-127 is read as zero",
            lambda row: replace(row, codes=[c if row.scales[level][i // int(s.group)] else 0 for i, c in enumerate(row.codes)]),
        )
        yield (
            f"scale{level}: 254 is NaN",
            "the code 254 is taken for special",
            misread(lambda s, c: "nan" if c == E8M0_NAN - 1 else s.value(c)),
        )
    elif s.kind == "float":
        e = s.float_type
        yield (
            f"scale{level}: subnormals are zero",
            "an exponent field of 0 is read as zero",
            misread(lambda s, c: Fraction(0) if not (c & ((1 << (e.bits - 1)) - 1)) >> e.mantissa_bits else s.value(c)),
        )
        yield (
            f"scale{level}: sign ignored",
            "the sign bit is not connected",
            misread(lambda s, c: s.value(c & ((1 << (e.bits - 1)) - 1))),
        )
    else:
        yield f"scale{level}: 0 is 1", "a scale of 0 is taken for 1", misread(lambda s, c: Fraction(max(c, 1)))
        yield (
            f"scale{level}: signed",
            "the top bit is read as a sign",
            misread(lambda s, c: Fraction(c - (c >> (s.bits - 1) << s.bits))),
        )
