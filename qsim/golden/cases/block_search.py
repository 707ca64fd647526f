"""Operands of block formats that are kept for what they show: distances, ends of registers, random ones (rule A2)."""

from __future__ import annotations

from collections.abc import Iterator

from qsim.golden.cases.block_scales import block_exponents
from qsim.golden.cases.builder import Builder
from qsim.golden.cases.draft import Draft, Inputs, Words, codes, counts, one
from qsim.golden.cases.integer import has
from qsim.golden.unit import Unit
from qsim.spec import Format
from qsim.spec.number import Scale

SEARCHED = 400
DISTANCES = (1, 2, 4, 8, 12, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 30, 33, 36, 40, 48, 64, 100, 126)


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
        exponents = block_exponents(b, [127, 127 - distance])
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
