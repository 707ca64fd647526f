"""Operands of block formats at the edges of elements and lanes, and blocks beside blocks (rule A2)."""

from __future__ import annotations

from collections.abc import Iterator

from qsim.golden.bits import INF, LARGEST, NAN, SIGN, float32
from qsim.golden.cases.block_scales import block_exponents, microexponents, scale_codes, with_scale
from qsim.golden.cases.builder import SIDES, Builder
from qsim.golden.cases.draft import Draft
from qsim.golden.cases.integer import has
from qsim.golden.unit import Unit


def structural(unit: Unit) -> Iterator[Draft]:
    """Cases that stand for themselves."""
    b = Builder(unit)
    yield from elements(b)
    yield from lanes(b)
    for side in (0, 1):
        yield from walking(b, side)
        yield from special_codes(b, side)
        yield from scale_codes(b, side)
        yield from microexponents(b, side)
    yield from _pairs_of_blocks(b)
    yield from biases(b)


def elements(b: Builder) -> Iterator[Draft]:
    """All lanes alike, at the ends of the range; signs by turns; all lanes different."""
    (ca, cw), k = b.codes, b.unit.k
    yield Draft(("Zero",), "all operands 0", b.inputs([], []))
    for a, w, text in (
        (ca.largest, cw.largest, "largest * largest"),
        (ca.lowest, cw.lowest, "lowest * lowest"),
        (ca.largest, cw.lowest, "largest * lowest"),
        (ca.lowest, cw.largest, "lowest * largest"),
    ):
        yield Draft(("Extremes",), text, b.inputs(*b.filled(a, w)))
    for start in (0, 1):
        rows = [ca.largest] * k, [cw.largest if (i + start) % 2 else cw.negative(cw.largest) for i in range(k)]
        yield Draft(("Cancellation",), "signs by turns", b.inputs(rows[0], rows[1]))
    first, second = ([c.finite[(7 * i + 3 * s + 1) % len(c.finite)] for i in range(k)] for s, c in enumerate(b.codes))
    yield Draft(("Distinct",), "another pair in every lane", b.inputs(first, second))


def lanes(b: Builder) -> Iterator[Draft]:
    """Each lane of the first block alone, then one lane of every other block."""
    lanes = [
        *range(min(b.block, b.unit.k)),
        *(j * b.block + j % b.block for j in range(1, b.blocks) if j * b.block + j % b.block < b.unit.k),
    ]
    for lane in lanes:
        rows = [[c.zero] * b.unit.k for c in b.codes]
        rows[0][lane] = b.codes[0].lowest if lane % 2 else b.codes[0].largest
        rows[1][lane] = b.codes[1].largest
        yield Draft(("OneHot",), f"lane {lane} alone", b.inputs(rows[0], rows[1]))


def walking(b: Builder, side: int) -> Iterator[Draft]:
    """One bit of every element, and of every scale."""
    element = b.codes[side]
    for bit in range(element.element.bits):
        if 1 << bit in element.finite:
            rows = [[c.one] * b.unit.k for c in b.codes]
            rows[side] = [1 << bit] * b.unit.k
            yield Draft(("WalkingOne",), f"bit {bit} of {SIDES[side]}", b.inputs(rows[0], rows[1]))
    for i, scale in enumerate(b.formats[side].scales):
        if isinstance(scale.group, int) and scale.kind != "microexponent":
            for bit in range(scale.bits - (scale.kind == "float")):
                yield Draft(("WalkingOne",), f"bit {bit} of {SIDES[side]}'s scale{i}", with_scale(b, side, i, [1 << bit]))


def special_codes(b: Builder, side: int) -> Iterator[Draft]:
    """-0, subnormals, infinities and NaNs."""
    c, other = b.codes[side], b.codes[1 - side]
    found: list[tuple[str, str, int]] = []
    if c.minus_zero is not None:
        found.append(("SignedZero", "-0", c.minus_zero))
    if c.element.is_float:
        m = c.element.mantissa_bits
        found += [("Subnormal", "the smallest", 1), ("Subnormal", "the largest subnormal", (1 << m) - 1)] if m else []
        found += [("NaN", "NaN", c.element.nan_code)] if c.element.nan_code is not None else []
        found += [("Infinity", "Inf", c.element.inf_code)] if c.element.inf_code is not None else []
    for flag, text, code in found:
        for w in (other.largest, other.lowest, other.zero):
            row = [code if i % 3 == 0 else c.zero for i in range(b.unit.k)]
            pair = (row, [w] * b.unit.k)
            yield Draft((flag,), f"{text} in {SIDES[side]}", b.inputs(*(pair if side == 0 else pair[::-1])))


def _pairs_of_blocks(b: Builder) -> Iterator[Draft]:
    """Two blocks: far apart, one of zeros, one that takes off the other."""
    if b.blocks < 2:
        return
    for first in (0, 1):
        for empty_code in (True, False):
            exponents = block_exponents(b, [200, 100] if first == 0 else [100, 200])
            rows = [
                [c.zero if (i // b.block) % 2 == first else c.finite[(3 * i + 1) % len(c.finite)] for i in range(b.unit.k)]
                for c in b.codes
            ]
            if not empty_code:
                rows[1] = [b.codes[1].largest] * b.unit.k
            yield Draft(
                ("ZeroBlock",), f"block {first} of zeros, its exponent the larger one", b.inputs(rows[0], rows[1], *exponents)
            )
    (ca, cw) = b.codes
    for sign in (cw.largest, cw.negative(cw.largest)):
        w = [sign if (i // b.block) % 2 == 0 else cw.negative(sign) for i in range(b.unit.k)]
        yield Draft(("Cancellation",), "each block takes off the one before", b.inputs([ca.largest] * b.unit.k, w))
        w[-1] = cw.zero
        yield Draft(
            ("Cancellation",), "each block takes off the one before, but for one lane", b.inputs([ca.largest] * b.unit.k, w)
        )
    if not any(s.kind == "exponent" for fmt in b.formats for s in fmt.block_scales):
        return
    for distance in (60, 126, 200, 250):
        for first in (0, 1):
            for w_code in (cw.largest, cw.lowest):
                exponents = block_exponents(b, [252, 252 - distance] if first == 0 else [252 - distance, 252])
                text = f"exponents {distance} apart, the larger one {('first', 'second')[first]}"
                yield Draft(("ExtremeExponents",), text, b.inputs(*b.filled(ca.largest, w_code), *exponents))


def biases(b: Builder) -> Iterator[Draft]:
    """Addends of a float accumulator."""
    if not has(b.unit, "bias") or b.unit.port("bias").kind != "float32":
        return
    for bias, text in (
        (SIGN, "-0"),
        (1, "the smallest"),
        (LARGEST, "the largest"),
        (LARGEST | SIGN, "the lowest"),
        (float32(1), "1"),
    ):
        for a in (b.codes[0].zero, b.codes[0].largest):
            yield Draft(("BiasEdge",), f"bias {text}", b.inputs(*b.filled(a, b.codes[1].one)) | {"bias": bias})
    for bias, flag in ((NAN, "NaN"), (INF, "Infinity"), (INF | SIGN, "Infinity")):
        yield Draft((flag,), f"bias {flag}", b.inputs(*b.filled(b.codes[0].one, b.codes[1].one)) | {"bias": bias})
