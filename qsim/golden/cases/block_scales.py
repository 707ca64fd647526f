"""Block scales: the ends of every scale type, microexponents, exponents block by block (rule A2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qsim.golden.cases.builder import SIDES, Builder
from qsim.golden.cases.draft import Draft, Inputs, counts, one
from qsim.spec.number import Scale


def with_scale(b: Builder, side: int, level: int, given: Sequence[int], ones: bool = True) -> Inputs:
    """Elements of 1 (or the largest), a level's scales repeated over its groups."""
    fmt = b.formats[side]
    number = counts(fmt, b.unit.k)[level]
    scales: list[list[list[int]] | None] = [None, None]
    scales[side] = b.scales(side, **{f"scale{level}": [given[i % len(given)] for i in range(number)]})
    a, w = (c.one if ones else c.largest for c in b.codes)
    return b.inputs(*b.filled(a, w), *scales)


def scale_codes(b: Builder, side: int) -> Iterator[Draft]:
    """The ends of every scale type, zero and NaN; both sides' largest together."""
    for i, scale in enumerate(b.formats[side].scales):
        if scale.kind == "microexponent":
            continue
        for code, text in _notable(scale):
            flag = "NaN" if text == "NaN" else "ZeroScale" if code == 0 and scale.kind != "exponent" else "ScaleEdge"
            if isinstance(scale.group, int):
                for given in ([code], [code, one(scale)]):
                    yield Draft((flag,), f"scale{i} of {SIDES[side]} {text}", with_scale(b, side, i, given, ones=len(given) == 1))
            elif b.formats[side].block_scales:
                yield Draft((flag,), f"scale{i} of {SIDES[side]} {text}", with_scale(b, side, i, [code]))
    if side == 0:
        levels = [
            [(i, s) for i, s in enumerate(fmt.scales) if isinstance(s.group, int) and s.kind != "microexponent"]
            for fmt in b.formats
        ]
        both = [
            b.scales(n, **{f"scale{i}": [_notable(s)[0][0]] * counts(b.formats[n], b.unit.k)[i] for i, s in found})
            for n, found in enumerate(levels)
        ]
        for text, last in (("largest", b.codes[1].largest), ("lowest", b.codes[1].lowest)):
            filled = b.filled(b.codes[0].largest, last)
            yield Draft(("LargestScaleProduct",), f"both scales at their largest, {text} elements", b.inputs(*filled, *both))


def _notable(scale: Scale) -> list[tuple[int, str]]:
    """(code, what it is) of a scale type, the largest first."""
    if scale.kind == "exponent":
        return [(254, "largest"), (0, "smallest"), (128, "2"), (255, "NaN")]
    if scale.kind == "uint":
        return [((1 << scale.bits) - 1, "largest"), (0, "zero"), (2, "2")]
    e = scale.float_type
    found = [
        (e.max_code, "largest"),
        (0, "zero"),
        (1, "smallest"),
        (one(scale) + 1, "one above 1"),
        (one(scale) - 1, "one below 1"),
    ]
    return [*found, (e.nan_code, "NaN")] if e.nan_code is not None else found


def microexponents(b: Builder, side: int) -> Iterator[Draft]:
    """Each microexponent of the first block alone, all of them, and one over a pair of zeros."""
    level = next((i for i, s in enumerate(b.formats[side].scales) if s.kind == "microexponent"), None)
    if level is None:
        return
    scale = b.formats[side].scales[level]
    assert isinstance(scale.group, int)
    number, per_block = counts(b.formats[side], b.unit.k)[level], b.block // scale.group
    for i in [*range(min(per_block, number)), *range(per_block, number, per_block + 1)]:
        micro = [int(j == i) for j in range(number)]
        yield Draft(("Microexponent",), f"microexponent {i} of {SIDES[side]} alone", _with_micro(b, side, level, micro, []))
    zeros = list(range(scale.group))
    for text, micro, empty in (
        ("all", [1] * number, []),
        ("every second", [j % 2 for j in range(number)], []),
        ("over the first pair, which is zero", [int(j == 0) for j in range(number)], zeros),
        ("over all others than the first pair, which is zero", [int(j > 0) for j in range(number)], zeros),
    ):
        flags = ("ZeroPair",) if empty else ("Microexponent",)
        yield Draft(flags, f"microexponents of {SIDES[side]}: {text}", _with_micro(b, side, level, micro, empty))


def _with_micro(b: Builder, side: int, level: int, micro: Sequence[int], empty: Sequence[int]) -> Inputs:
    rows = [[c.finite[(5 * i + 1) % len(c.finite)] for i in range(b.unit.k)] for c in b.codes]
    rows[side] = [b.codes[side].zero if i in empty else (b.codes[side].largest - i % 2) for i in range(b.unit.k)]
    scales: list[list[list[int]] | None] = [None, None]
    scales[side] = b.scales(side, **{f"scale{level}": list(micro)})
    return b.inputs(rows[0], rows[1], *scales)


def block_exponents(b: Builder, exponents: Sequence[int]) -> list[list[list[int]] | None]:
    """E8M0 codes of the blocks of the activation in turn, the weight's at 1 (or 2^-125 where the sum would leave float32)."""
    found: list[list[list[int]] | None] = [None, None]
    for side, fmt in enumerate(b.formats):
        for i, s in enumerate(fmt.scales):
            if s.kind == "exponent" and found[0] is None:
                number = counts(fmt, b.unit.k)[i]
                found[side] = b.scales(side, **{f"scale{i}": [exponents[j % len(exponents)] for j in range(number)]})
                if side == 0 and any(t.kind == "exponent" for t in b.formats[1].scales):
                    level = next(n for n, t in enumerate(b.formats[1].scales) if t.kind == "exponent")
                    found[1] = b.scales(
                        1, **{f"scale{level}": [20 if max(exponents) > 160 else 127] * counts(b.formats[1], b.unit.k)[level]}
                    )
                return found
    return found
