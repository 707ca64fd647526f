"""Operands of block formats at the edges of elements, scales, alignment and registers (rule A2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from qsim.golden.bits import INF, LARGEST, NAN, SIGN, float32
from qsim.golden.cases.draft import Draft, Inputs, Words, codes, counts, defaults, one, operand
from qsim.golden.cases.integer import has
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec import Format
from qsim.spec.number import Element, Scale

SIDES = ("activation", "weight")
SEARCHED = 400
DISTANCES = (1, 2, 4, 8, 12, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 30, 33, 36, 40, 48, 64, 100, 126)


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


def structural(unit: Unit) -> Iterator[Draft]:
    """Cases that stand for themselves."""
    b = Builder(unit)
    yield from elements(b)
    yield from lanes(b)
    for side in (0, 1):
        yield from walking(b, side)
        yield from special_codes(b, side)
        yield from _scale_codes(b, side)
        yield from _microexponents(b, side)
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
                yield Draft(("WalkingOne",), f"bit {bit} of {SIDES[side]}'s scale{i}", _with_scale(b, side, i, [1 << bit]))


def _with_scale(b: Builder, side: int, level: int, given: Sequence[int], ones: bool = True) -> Inputs:
    """Elements of 1 (or the largest), a level's scales repeated over its groups."""
    fmt = b.formats[side]
    number = counts(fmt, b.unit.k)[level]
    scales: list[list[list[int]] | None] = [None, None]
    scales[side] = b.scales(side, **{f"scale{level}": [given[i % len(given)] for i in range(number)]})
    a, w = (c.one if ones else c.largest for c in b.codes)
    return b.inputs(*b.filled(a, w), *scales)


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


def _scale_codes(b: Builder, side: int) -> Iterator[Draft]:
    """The ends of every scale type, zero and NaN; both sides' largest together."""
    for i, scale in enumerate(b.formats[side].scales):
        if scale.kind == "microexponent":
            continue
        for code, text in _notable(scale):
            flag = "NaN" if text == "NaN" else "ZeroScale" if code == 0 and scale.kind != "exponent" else "ScaleEdge"
            if isinstance(scale.group, int):
                for given in ([code], [code, one(scale)]):
                    yield Draft(
                        (flag,), f"scale{i} of {SIDES[side]} {text}", _with_scale(b, side, i, given, ones=len(given) == 1)
                    )
            elif b.formats[side].block_scales:
                yield Draft((flag,), f"scale{i} of {SIDES[side]} {text}", _with_scale(b, side, i, [code]))
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


def _microexponents(b: Builder, side: int) -> Iterator[Draft]:
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


def _pairs_of_blocks(b: Builder) -> Iterator[Draft]:
    """Two blocks: far apart, one of zeros, one that takes off the other."""
    if b.blocks < 2:
        return
    for first in (0, 1):
        for empty_code in (True, False):
            exponents = _block_scales(b, [200, 100] if first == 0 else [100, 200])
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
                exponents = _block_scales(b, [252, 252 - distance] if first == 0 else [252 - distance, 252])
                text = f"exponents {distance} apart, the larger one {('first', 'second')[first]}"
                yield Draft(("ExtremeExponents",), text, b.inputs(*b.filled(ca.largest, w_code), *exponents))


def _block_scales(b: Builder, exponents: Sequence[int]) -> list[list[list[int]] | None]:
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


def searched(unit: Unit, seed: int = 0) -> Iterator[Draft]:
    """Cases of which only those are kept that show something new."""
    b = Builder(unit)
    yield from _distances(b)
    yield from _register_edges(b)
    words = Words(seed, 3)
    for i in range(SEARCHED):
        yield Draft((), "", random_inputs(b, words, spread=(0, 3, 12, 30)[i % 4]))


def _distances(b: Builder) -> Iterator[Draft]:
    """A large block and a last bit, at every distance of their exponents."""
    if b.blocks < 2 or not any(s.kind == "exponent" for fmt in b.formats for s in fmt.block_scales):
        return
    ca, cw = b.codes
    for distance in DISTANCES:
        exponents = _block_scales(b, [127, 127 - distance])
        for first in (cw.largest, cw.negative(cw.largest)):
            for last in (cw.last, cw.negative(cw.last), cw.largest):
                for hot in (1, b.block):
                    a = [ca.largest] * hot + [ca.zero] * (b.block - hot) + [ca.last]
                    yield Draft((), f"exponents {distance} apart", b.inputs(a, [first] * b.block + [last], *exponents))


def _register_edges(b: Builder) -> Iterator[Draft]:
    """Sums at the ends of the integer registers: the target in pieces that a block can hold, one a block."""
    acc = b.unit.block
    assert acc is not None
    if acc.sums is None or any(c.element.is_float for c in b.codes):
        return
    for edge in acc.sums.register.range:
        for beyond in (0, 1, 2, 1000):
            for back in (False, True):
                inputs = _reaching(b, edge + (beyond if edge > 0 else -beyond), back)
                if inputs is not None:
                    yield Draft((), "", inputs)


def _reaching(b: Builder, total: int, back: bool) -> Inputs | None:
    """Blocks whose terms sum up to total, in units of the accumulator's last bit; back: the last block goes the other way."""
    from qsim.golden.block_ports import fraction

    acc = b.unit.block
    assert acc is not None
    exponent = next((i for i, s in enumerate(b.formats[0].scales) if s.kind == "exponent"), None)
    micro = 1 << sum(s.kind == "microexponent" for fmt in b.formats for s in fmt.scales)
    largest = b.codes[0].element.qmax * b.codes[1].element.qmax * min(b.block, b.unit.k)
    width, sign, rest = largest.bit_length() - 1, 1 if total > 0 else -1, abs(total)
    room = b.blocks - back
    if exponent is None or acc.into != "fixed" or -(-rest.bit_length() // width) > room:
        return None
    rows: list[list[int]] = [[], []]
    exponents: list[int] = []
    place = 0
    while len(exponents) < room:
        piece = rest & ((1 << width) - 1)
        rest >>= width
        found = block_of_sum(b, sign * piece)
        if found is None:
            return None
        rows = [row + part for row, part in zip(rows, found, strict=True)]
        exponents.append(127 + place + acc.lsb + fraction(*b.formats, acc) - (micro.bit_length() - 1) if piece else 127)
        place += width
    if back:
        rows[0] += [b.codes[0].largest] * b.block
        rows[1] += [b.codes[1].largest if sign < 0 else b.codes[1].negative(b.codes[1].largest)] * b.block
        exponents.append(max(exponents))
    order = range(len(exponents) - 1 - back, -1, -1)  # the largest piece first, so that the last add meets the edge
    kept = [*order, *([len(exponents) - 1] if back else [])]
    rows = [[code for j in kept for code in row[j * b.block : (j + 1) * b.block]] for row in rows]
    if not all(0 <= e <= 254 for e in exponents):
        return None
    return b.inputs(rows[0], rows[1], b.scales(0, **{f"scale{exponent}": [exponents[j] for j in kept]}))


def block_of_sum(b: Builder, total: int) -> list[list[int]] | None:
    """Codes of one block whose products sum up to total."""
    ca, cw = (codes(c.element) for c in b.codes)
    top_a, top_w = b.codes[0].element.qmax, b.codes[1].element.qmax
    rows: list[list[int]] = [[], []]
    rest, sign = abs(total), 1 if total > 0 else -1
    while rest and len(rows[0]) < b.block:
        a = min(rest // top_w, top_a)
        w = top_w if a else rest
        a = a or 1
        rest -= a * w
        rows[0].append(ca[a])
        rows[1].append(cw[sign * w])
    if rest:
        return None
    return [row + [c.zero] * (b.block - len(row)) for row, c in zip(rows, b.codes, strict=True)]


def random_inputs(b: Builder, words: Words, spread: int) -> Inputs:
    """Finite codes; scales of blocks within `spread` of 1; a bias of the size of the terms in every second case."""
    rows, scales = [], []
    for side, fmt in enumerate(b.formats):
        finite = b.codes[side].finite
        sparse = words.bits(2) == 0
        rows.append([words.of(finite) if not sparse or words.bits(2) == 0 else b.codes[side].zero for _ in range(b.unit.k)])
        scales.append([_random_scales(s, n, fmt, words, spread) for s, n in zip(fmt.scales, counts(fmt, b.unit.k), strict=True)])
    found = b.inputs(rows[0], rows[1], *scales)
    if has(b.unit, "bias") and b.unit.port("bias").kind == "float32" and words.bits(1):
        found["bias"] = words.bits(1) << 31 | words.between(110, 140) << 23 | words.bits(23)
    return found


def _random_scales(s: Scale, n: int, fmt: Format, words: Words, spread: int) -> list[int]:
    if s.kind == "exponent":
        return [127 + words.between(-spread, spread) for _ in range(n)]
    if s.kind == "float":
        top = one(s) + (spread << s.float_type.mantissa_bits)
        low = one(s) - (spread << s.float_type.mantissa_bits)
        if not isinstance(s.group, int) and not fmt.block_scales:
            return [one(s)] * n
        return [words.between(max(low, 1), min(top, s.float_type.max_code)) for _ in range(n)]
    return [words.bits(s.bits) for _ in range(n)]
