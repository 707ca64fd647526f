"""Blocks of shared exponents as terms: an integer sum, an exponent, and codes that bring both about (rule A2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from qsim.golden.block_ports import fraction
from qsim.golden.cases.block_search import block_of_sum
from qsim.golden.cases.builder import Builder
from qsim.golden.cases.draft import Inputs, counts

NAN = 255  # of E8M0
BITS = 8  # of E8M0
#: Codes of one bit, and codes that one bit tells from NaN, by turns.
NOTABLE = tuple(code for bit in range(BITS) for code in (1 << bit, NAN - (1 << bit)))


def covering(bits: int) -> tuple[int, ...]:
    """Six numbers of at most ten bits in which any two of the bits take all four values (a covering array of strength two)."""
    columns = list(combinations(range(5), 3))[:bits]
    return (0, *(sum((row in column) << bit for bit, column in enumerate(columns)) for row in range(5)))


class Terms:
    """Block sums and exponents, put into operands."""

    def __init__(self, b: Builder) -> None:
        """Of a unit that `is_shared` takes."""
        assert b.unit.block is not None
        self.b = b
        self.exponent = [level_of(b, side, "exponent") for side in (0, 1)]
        self.micro = [level_of(b, side, "microexponent") for side in (0, 1)]
        self.shifted = [side for side in (0, 1) if self.micro[side] is not None]
        self.largest = b.codes[0].element.qmax * b.codes[1].element.qmax * b.block
        self.fraction = fraction(*b.formats, b.unit.block)

    @property
    def bits(self) -> int:
        """Powers of two that a block sum can be: 2^0 to 2^(bits - 1)."""
        return (self.largest << len(self.shifted)).bit_length()

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Neighbouring blocks of the first step, in both orders."""
        acc = self.b.unit.block
        assert acc is not None
        blocks = min(self.b.blocks, acc.nfma) if acc.into == "float" else self.b.blocks
        return [pair for i in range(blocks - 1) for pair in ((i, i + 1), (i + 1, i))]

    def exponents(self, wanted: int, turn: int) -> tuple[int, int]:
        """Codes of both sides whose exponents sum up to wanted, from -254 to 254: a notable one by turns."""
        total = 254 + wanted
        for i in range(len(NOTABLE)):
            code = NOTABLE[(turn + i) % len(NOTABLE)]
            if 0 <= total - code < NAN:
                return (code, total - code) if turn // 2 % 2 else (total - code, code)
        return (total // 2, total - total // 2)

    def codes(self, total: int, turn: int) -> tuple[list[list[int]], list[int]] | None:
        """A block's elements, in turning lanes, and a microexponent for each side, whose products sum up to total."""
        places = [n for n in range(len(self.shifted) + 1) if total % (1 << n) == 0 and abs(total) >> n <= self.largest]
        if not places:
            return None
        left = places[turn % len(places)]  # so many sides have their microexponents at 0
        rows = block_of_sum(self.b, total // (1 << left))
        if rows is None:
            return None
        first = (turn // 3 + 1) % max(len(self.shifted), 1)
        unset = (self.shifted[first:] + self.shifted[:first])[:left]
        micro = [int(side not in unset) for side in (0, 1)]
        lane = 3 * turn % self.b.block
        return [row[-lane:] + row[:-lane] if lane else row for row in rows], micro

    def inputs(self, terms: Mapping[int, tuple[int, int]], turn: int) -> Inputs | None:
        """Operands whose blocks are (sum, exponent), all others zero; None where there are none."""
        blocks = []
        for j in range(self.b.blocks):
            total, exponent = terms.get(j, (0, 0))
            found = self.codes(total, turn)
            if found is None or abs(exponent) > 254:
                return None
            blocks.append((*found, self.exponents(exponent, turn + 5 * j)))
        rows = [[code for block in blocks for code in block[0][side]] for side in (0, 1)]
        micro = [[block[1][side] for block in blocks] for side in (0, 1)]
        return self.operands(rows, [block[2] for block in blocks], micro)

    def operands(
        self, rows: Sequence[Sequence[int]], exponents: Sequence[tuple[int, int]], micro: Sequence[Sequence[int]]
    ) -> Inputs:
        """Codes of both sides, codes of the exponents a block, microexponents of both sides, a block each or a pair each."""
        scales: list[list[list[int]] | None] = []
        for side, fmt in enumerate(self.b.formats):
            levels = {f"scale{self.exponent[side]}": [codes[side] for codes in exponents]}
            level = self.micro[side]
            if level is not None:
                each = counts(fmt, self.b.unit.k)[level] // len(micro[side])
                levels[f"scale{level}"] = [code for code in micro[side] for _ in range(each)]
            scales.append(self.b.scales(side, **levels))
        return self.b.inputs(rows[0], rows[1], *scales)


def is_shared(b: Builder) -> bool:
    """Whether both sides have blocks of one size, integer elements and a shared exponent."""
    sizes = {fmt.block_size for fmt in b.formats}
    whole = not any(c.element.is_float for c in b.codes) and b.unit.k % b.block == 0
    return whole and len(sizes) == 1 and all(level_of(b, side, "exponent") is not None for side in (0, 1))


def level_of(b: Builder, side: int, kind: str) -> int | None:
    """The level of a kind of block scales."""
    return next((i for i, s in enumerate(b.formats[side].scales) if s.kind == kind and isinstance(s.group, int)), None)
