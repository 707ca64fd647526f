"""Inputs of block-level vectors: directed tensors for scale selection, ties, carries, packing, and a few random ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod
from typing import Any

from qsim.golden.bits import INF, LARGEST, NAN, SIGN, float32, next_down, next_up
from qsim.golden.element_cases import midpoints
from qsim.spec import Counter, Format
from qsim.spec.load import data_folder
from qsim.spec.options import allowed_values
from qsim.spec.random import splitmix64, words

NOTES = {
    "ZeroBlock": "Every element is zero; catches a division by zero and a scale that is not canonical (rule S9).",
    "OneOutlier": "One large element among small ones; catches a scale taken from the wrong place.",
    "AllEqual": "Every element the same.",
    "BelowPowerOfTwo": "The largest element is one float32 below, at or above a power of two; catches exponents by log2 (S1).",
    "ZeroPair": "Two neighbouring zeros in a non-zero block; catches a microexponent that is not canonical (rule S2).",
    "Carry": "Elements round up to, or past, the top of the range; catches wrap and scales that are bumped.",
    "SubnormalMax": "The largest element is a float32 subnormal; catches a flush to zero and a scale that underflows.",
    "LargestFloat": "The largest finite float32; catches overflow inside the scale computation.",
    "NaN": "A NaN among numbers (rule S7).",
    "Inf": "An infinity among numbers (rule S7).",
    "MixedExponents": "Each element an exponent below the one before.",
    "Ties": "The scale is a power of two and elements lie half way between codes; catches a wrong tie rule and a reciprocal.",
    "Partial": "The last group is not full; catches padding that enters a statistic (rule P5).",
    "Shape": "Several rows, another axis, channels or groups; catches codes and scales in the wrong order (rule P3).",
    "WideBlocks": "A small group beside a large one; catches a scale of scales that becomes zero.",
    "Range": "One-sided and lopsided ranges; catches a zero point out of range (rule S6).",
    "NegativeEnd": "The largest magnitude is negative; catches the extra code of two's complement.",
    "Random": "Seeded random bits.",
    "QuarkCapture": "Input of a block that AMD Quark 0.13 encoded.",
}
#: option -> flags of the cases that run again with each of its other values
VARIANTS: dict[str, tuple[str, ...]] = {
    "rounding": ("Ties",),
    "scale_rule": ("BelowPowerOfTwo", "Carry", "SubnormalMax", "LargestFloat"),
    "narrow_range": ("Carry", "NegativeEnd", "Random"),
    "division": ("Ties", "Random", "SubnormalMax"),
    "order": ("Ties", "Random", "WideBlocks"),
    "subnormals": ("SubnormalMax", "MixedExponents"),
    "nonfinite": ("NaN", "Inf"),
    "signed_zero": ("ZeroBlock", "ZeroPair", "QuarkCapture"),
    "scale_overflow": ("LargestFloat",),
    "min_scale": ("WideBlocks",),
    "arithmetic": ("Ties", "Random", "WideBlocks", "Range", "SubnormalMax"),
}
Bits = list[int]
SHORT = 8


@dataclass(frozen=True)
class BlockCase:
    """One tensor of float32 patterns in C order of its shape. random: a word an element, for stochastic rounding."""

    flags: tuple[str, ...]
    comment: str
    bits: Bits
    shape: tuple[int, ...]
    axis: int = -1
    channel_axis: int = 0
    granularity: int | str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    random: list[int] | None = None


def cases(fmt: Format) -> Iterator[BlockCase]:
    """Every case with default options, then the variants of each option."""
    plain = [*_directed(fmt), *_shapes(fmt), *_random(fmt), *_captured(fmt)]
    yield from plain
    for option, flags in VARIANTS.items():
        if option == "rounding" and not fmt.block_scales:
            continue  # these stand at element level
        chosen = [case for case in plain if set(case.flags) & set(flags)]
        for value in allowed_values(option, fmt)[1:]:  # the default comes first
            for case in chosen[:1] if option == "rounding" else chosen:
                yield _variant(case, option, value)


def _variant(case: BlockCase, option: str, value: Any) -> BlockCase:
    random = words(Counter(1), len(case.bits), 8) if value == "stochastic" else None
    return replace(case, options={option: value}, random=random)


def _directed(fmt: Format) -> Iterator[BlockCase]:
    """One row: a whole block where every element matters, else 8 elements."""
    n = row_length(fmt)
    small = [float32(Fraction((-1) ** i * (3 * i + 1), 64)) for i in range(n)]
    yield _row("ZeroBlock", "all +0", [0] * SHORT)
    yield _row("ZeroBlock", "all -0", [SIGN] * n)
    yield _row("OneOutlier", "1000 last, the others small", [*small[:-1], float32(1000)])
    yield _row("AllEqual", "all 1", [float32(1)] * n)
    yield _row("AllEqual", "all -0.3", [float32(Fraction(-3, 10))] * SHORT)
    for exponent in (1, -126):
        at, inner = float32(Fraction(2) ** exponent), float32(Fraction(2) ** exponent * 3 / 4)
        for name, bits in (("just below", next_down(at)), ("at", at), ("just above", next_up(at))):
            yield _row("BelowPowerOfTwo", f"largest {name} 2^{exponent}", alternating([bits, inner], 4))
    yield _row(
        "ZeroPair", "every other pair is zero, in part -0", [b if i % 4 < 2 else SIGN * (i % 2) for i, b in enumerate(small)]
    )
    yield _row(
        "ZeroPair", "one pair is not zero, and half of it rounds to zero", [float32(-1), float32(-1) - (60 << 23), SIGN, 0, 0, 0]
    )
    for name, bits in (("smallest", 1), ("largest", 0x7FFFFF), ("a half of the largest", 0x400000)):
        yield _row("SubnormalMax", f"the largest element is {name} subnormal", alternating([bits, bits // 2, 1, 0], 4))
    yield _row("LargestFloat", "largest float, with 1 and a subnormal", alternating([LARGEST, float32(1), 1, LARGEST - 1], 4))
    yield _row("LargestFloat", "largest float everywhere", [LARGEST] * n)
    for flag, name, bits in (("NaN", "NaN", NAN), ("NaN", "-NaN", NAN | SIGN), ("Inf", "Inf", INF), ("Inf", "-Inf", INF | SIGN)):
        yield _row(flag, f"{name} at index 2", [*small[:2], bits, *small[3:SHORT]])
    yield BlockCase(("NaN", "Inf"), "Inf first and NaN last", [INF, *small[1:-1], NAN], (n,))
    yield _row("MixedExponents", "3/2 * (-1/2)^i", [float32(Fraction(3, 2) * Fraction(-1, 2) ** i) for i in range(n)])
    yield from _at_unit_scale(fmt, small)
    if fmt.zero_point:
        for name, low, high in (("positive", 1, 3), ("negative", -3, -1), ("lopsided", -1, 9), ("mostly negative", -9, 1)):
            yield _row("Range", name, [float32(low + Fraction(high - low, 4) * i) for i in range(5)])


def _at_unit_scale(fmt: Format, small: Bits) -> Iterator[BlockCase]:
    """Ties and carries, which need a known scale."""
    n, (anchors, step) = len(small), unit_block(fmt)
    first = [float32(a) for a in anchors]
    yield _row("NegativeEnd", "the largest magnitude is negative", [first[0] | SIGN, *small[1:SHORT]])
    for name, bits in _carries(fmt, anchors[0], step):
        yield _row("Carry", f"the largest element is {name}", alternating([bits, bits - 1], 4))
    if fmt.family == "ternary":
        at = [float32(7), float32(7) | SIGN, next_up(float32(7)), next_down(float32(7)), float32(13), float32(13) | SIGN]
        yield _row("Ties", "the mean is 10, two elements lie at the threshold 7", [*at[:2], *at[4:], *[float32(10)] * 4])
        return
    middles = sorted((v * step for v, _ in midpoints(fmt) if abs(v * step) <= abs(anchors[-1])), key=lambda v: (abs(v), v))
    ties = [float32(v) for v in middles[:n]]
    if fmt.scales[0].kind == "microexponent":
        for start in range(0, len(ties), n // 2):
            pairs = [bits for tie in ties[start : start + n // 2] for bits in (first[0], tie)]
            yield _row("Ties", "midpoints, tau = 0", pairs)
        ties = [float32(v / 2) for v in middles[:n]]
    room = n - len(first)
    for start in range(0, len(ties), room):
        yield _row("Ties", "midpoints", [*first, *ties[start : start + room]])


def unit_block(fmt: Format) -> tuple[list[Fraction], Fraction]:
    """Elements that fix the scale of a block, and the scale: a small number that every type holds exactly."""
    element = fmt.element
    if fmt.family == "affine":
        middle = (element.qmin + element.qmax + 1) // 2
        return [Fraction(element.qmax - middle), Fraction(element.qmin - middle)], Fraction(1)
    if fmt.family == "vsq":
        step = Fraction((1 << fmt.scales[0].bits) - 1)
    else:
        step = fmt.scales[0].float_type.largest if fmt.family == "nvfp4" else Fraction(1)
    if any(s.kind == "exponent" for s in fmt.scales):
        return [Fraction(2) ** element.emax], step
    return [element.largest * step], step


def _carries(fmt: Format, anchor: Fraction, step: Fraction) -> Iterator[tuple[str, int]]:
    """Around half a step beyond the largest value at a known scale."""
    element = fmt.element
    top = anchor if fmt.family == "affine" else element.largest * step
    quantum = step * Fraction(2) ** (element.emax - element.mantissa_bits if element.is_float else element.lsb_exponent)
    tie = float32(top + quantum / 2)
    yield "the largest value", float32(top)
    yield "one float32 above the largest value", next_up(float32(top))
    yield "just below half a step above", next_down(tie)
    yield "half a step above", tie
    yield "just above half a step above", next_up(tie)
    yield "one float32 below the next power of two", (tie | 0x7FFFFF)


def _shapes(fmt: Format) -> Iterator[BlockCase]:
    """Partial groups, several rows, other axes."""
    n = row_length(fmt)
    wide = [((n + 5,), -1, 0), ((1,), -1, 0), ((2, n + 1), -1, 0), ((n + 1, 2), 0, 1), ((2, 3, 2), 1, 0), ((), -1, 0)]
    for shape, axis, channel_axis in wide:
        flag = "Partial" if len(shape) == 1 else "Shape"
        bits = random_bits(100 + len(shape), prod(shape), 122, 10)
        yield BlockCase((flag,), f"shape {list(shape)}", bits, shape, axis, channel_axis)
    if fmt.granularity is not None:
        for granularity, shape, axis, channel_axis in (
            ("channel", (3, 5), -1, 0),
            ("channel", (3, 5), 0, 1),
            (4, (2, 6), 1, 0),
            (3, (4, 2), 0, 0),
        ):
            bits = random_bits(200, prod(shape), 122, 10)
            comment = f"a scale per {granularity}, shape {list(shape)}, axis {axis}"
            yield BlockCase(("Shape",), comment, bits, shape, axis, channel_axis, granularity)
    if fmt.family in ("vsq", "nvfp4"):
        anchor = unit_block(fmt)[0][0]
        for powers in ((0, 8, 14), (0, 16, 18), (0, 300, 3)):
            tops = [anchor / Fraction(2) ** k if k < 300 else Fraction(0) for k in powers]
            bits = [float32(top * Fraction((-1) ** i * (n - i), n)) for top in tops for i in range(n)]
            yield BlockCase(("WideBlocks",), f"blocks 2^-{powers} of the first", bits, (len(bits),))


def _random(fmt: Format) -> Iterator[BlockCase]:
    n = row_length(fmt)
    for seed, name, low, span in (
        (1, "near 1", 125, 4),
        (2, "near 1", 125, 4),
        (3, "2^-20 to 2^20", 107, 40),
        (4, "any finite float", 0, 255),
    ):
        yield _row("Random", f"exponents of {name}, seed {seed}", random_bits(seed, n, low, span))
    grid = [float32(Fraction(splitmix64(5, i) % 513 - 256, 64)) for i in range(n)]
    yield _row("Random", "a grid of 1/64, seed 5", grid)


def _captured(fmt: Format) -> Iterator[BlockCase]:
    """Blocks that AMD Quark encoded; only their inputs are used here."""
    if fmt.name in ("mx9", "mx6", "mx4"):
        for kind, row in json.loads((data_folder("golden") / "inputs" / "quark.json").read_text())["blocks"]:
            yield _row("QuarkCapture", kind, [int(x, 16) for x in row])


def row_length(fmt: Format) -> int:
    """Elements of a directed row."""
    return fmt.block_size if fmt.block_scales else SHORT


def random_bits(seed: int, n: int, low: int, span: int) -> Bits:
    """Finite patterns, n of them, with exponent fields from low to low + span - 1."""
    numbers = [splitmix64(seed, i) for i in range(n)]
    return [(r >> 63) << 31 | (low + (r >> 32) % span) << 23 | r & 0x7FFFFF for r in numbers]


def alternating(pattern: Bits, n: int) -> Bits:
    """The pattern repeated over n elements, every second element negative."""
    return [pattern[i % len(pattern)] | (i % 2) * SIGN for i in range(n)]


def _row(flag: str, comment: str, bits: Bits) -> BlockCase:
    return BlockCase((flag,), comment, bits, (len(bits),))
