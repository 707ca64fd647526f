"""Every lane at once: bits of both elements against each other, microexponents and shared exponents bit by bit (rule A2)."""

from __future__ import annotations

from collections.abc import Iterator

from qsim.golden.cases.block_terms import BITS, NAN, Terms, covering, is_shared
from qsim.golden.cases.builder import SIDES, Builder
from qsim.golden.cases.draft import Draft, Inputs, codes, counts
from qsim.golden.unit import Unit

DISTANCES = (5, 10, 15, 19, 22, 25, 28, 31)  # of exponents, beside the powers of two
MASKS = (0x55, 0xAA)


def block_lanes(unit: Unit) -> Iterator[Draft]:
    """Dense rows for each relation of two exponents, then NaN in each block of each side."""
    b = Builder(unit)
    if not is_shared(b):
        return
    terms = Terms(b)
    for turn, (first, second) in enumerate(relations()):
        text = f"bits of the elements against each other, exponents {first} and {second}"
        yield Draft(("EveryBitOfLanes",), text, dense(terms, first, second, turn))
    for block in range(b.blocks):
        for side in (0, 1):
            given = dense(terms, 1, 0, 3 * block + side, nan=(block, side))
            yield Draft(("NaN",), f"the scale of block {block} of {SIDES[side]} is NaN", given)


def relations() -> Iterator[tuple[int, int]]:
    """Exponents of two blocks: one apart where every bit decides, apart by one bit, at distances."""
    for number in covering(9):
        base = max(-253, min(253, number - 512 * (number >> 8)))
        yield base, base + 1
        yield base + 1, base
    for bit in range(BITS):
        yield -1, -1 - (1 << bit)
        yield -1 - (1 << bit), -1
    yield 100, -156
    yield -156, 100
    for i, distance in enumerate(DISTANCES):
        yield (distance, 0) if i % 2 else (0, distance)


def dense(terms: Terms, first: int, second: int, turn: int, nan: tuple[int, int] | None = None) -> Inputs:
    """Elements of one bit, of all bits but one, and of all, by turns; all four pairs of microexponents; exponents by turns."""
    b, rows, micro = terms.b, [], []
    for side in (0, 1):
        c, bits = b.codes[side], b.codes[side].element.bits - 1
        row = []
        for lane in range(b.unit.k):
            place = lane if side == 0 else lane // bits + lane // b.block
            hot = 1 << (place + turn + turn // 4) % bits
            kind = (lane // (1 + side) + turn // (1 + 3 * side)) % 4
            magnitude = min((hot, (1 << bits) - 1 - hot, hot, (1 << bits) - 1)[kind], c.element.qmax)
            code = codes(c.element)[magnitude]
            row.append(c.negative(code) if (lane + turn // 2) >> side & 1 else code)
        rows.append(row)
        level = terms.micro[side]
        pairs = counts(b.formats[side], b.unit.k)[level] if level is not None else 0
        micro.append([(pair + turn + turn // 4 + turn // 16 + pair // 8) >> side & 1 for pair in range(pairs)])
    exponents = [terms.exponents((first, second)[j % 2], turn + 5 * j) for j in range(b.blocks)]
    if nan is not None:
        other = MASKS[(nan[0] + nan[1]) % 2]
        exponents[nan[0]] = (NAN, other) if nan[1] == 0 else (other, NAN)
    return terms.operands(rows, exponents, micro)
