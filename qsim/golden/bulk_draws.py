"""The random cases of `cases.stream` for many cases: the same draws, their words packed by the kernels all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.golden.cases.block_search import random_inputs
from qsim.golden.cases.builder import SIDES, Builder
from qsim.golden.cases.draft import Draft, Inputs, Words, codes, defaults
from qsim.golden.cases.randomly import random_parameters, stream
from qsim.golden.columns import to_patterns
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.golden.unit_kernels import words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

AHEAD = 1 << 14  # words made at a time
GOLDEN, FIRST, SECOND = (np.uint64(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
SPREADS = (0, 3, 12, 30)


def random_drafts(unit: Unit, seed: int, count: int) -> list[Draft]:
    """The first `count` drafts of `stream(unit, seed)`."""
    if unit.kind != "dot":
        drafts = stream(unit, seed)
        return [next(drafts) for _ in range(count)]
    words, rest = Tape(seed, 2), defaults(unit)
    sides = _Sides(unit)
    known = [sorted(codes(fmt.element)) for fmt in formats(unit)] if unit.integer is not None else []
    found: list[Inputs] = []
    for i in range(count):
        inputs = rest | (random_parameters(unit, words, rest) if i % 2 else {})
        if known:
            sides.keep(
                [
                    [codes(fmt.element)[words.of(own)] for _ in range(unit.k)]
                    for fmt, own in zip(sides.formats, known, strict=True)
                ]
            )
        else:
            inputs = random_inputs(sides, words, SPREADS[i // 2 % 4])
        found.append(inputs)
    return [Draft(("Random",), "", one | packed) for one, packed in zip(found, sides.packed(), strict=True)]


class Tape(Words):
    """The same words, made many at a time."""

    def __init__(self, seed: int, stream: int = 0) -> None:
        """As Words."""
        super().__init__(seed, stream)
        self.made: list[int] = []
        self.at = 0

    def __next__(self) -> int:
        """64 bits."""
        if self.at == len(self.made):
            self.made, self.at = splitmix(self.seed, self.i + 1, AHEAD).tolist(), 0
        self.i += 1
        self.at += 1
        return self.made[self.at - 1]

    def between(self, low: int, high: int) -> int:
        """An integer of [low, high]: as in Words, the remainder of 64 bits and of as many more as the range has."""
        width = (high - low).bit_length()
        if not 0 < width <= 64:
            return super().between(low, high)
        first = next(self)
        return low + (first | (next(self) & ((1 << width) - 1)) << 64) % (high - low + 1)


def splitmix(seed: int, start: int, count: int) -> NDArray[np.uint64]:
    """Outputs start, start + 1 ... of splitmix64 (rule R2)."""
    z = np.uint64(seed) + (np.arange(start + 1, start + 1 + count, dtype=np.uint64)) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return np.asarray(z ^ (z >> np.uint64(31)))


class _Sides(Builder):
    """A builder that keeps codes and scales, to pack those of all cases together."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        self.rows: list[list[Sequence[int]]] = [[], []]
        self.levels: list[list[Sequence[Sequence[int]] | None]] = [[], []]

    def keep(self, rows: Sequence[Sequence[int]], scales: Sequence[Sequence[Sequence[int]] | None] = (None, None)) -> None:
        """The operands of one more case."""
        for side in range(2):
            self.rows[side].append(rows[side])
            self.levels[side].append(scales[side])

    def inputs(
        self,
        a: Sequence[int],
        w: Sequence[int],
        a_scales: Sequence[Sequence[int]] | None = None,
        w_scales: Sequence[Sequence[int]] | None = None,
    ) -> Inputs:
        """Parameters at rest; the operands come with `packed`."""
        self.keep((a, w), (a_scales, w_scales))
        return dict(self.rest)

    def packed(self) -> list[Inputs]:
        """The ports of both operands of every case."""
        found: list[Inputs] = [{} for _ in self.rows[0]]
        for side, (name, fmt) in enumerate(zip(SIDES, self.formats, strict=True)):
            levels = self.levels[side]
            blocks: list[Any] = [
                np.array([of[i] for of in levels if of is not None], np.int64) for i in range(len(fmt.block_scales))
            ]
            column = to_patterns(words_of(np.array(self.rows[side], np.int64), blocks, fmt, self.unit.k))
            outer = [p.name for p in self.unit.inputs if p.name.startswith(f"{name}_scale")]
            for inputs, pattern, of in zip(found, column, levels, strict=True):
                inputs[name] = pattern
                if of is not None:
                    inputs.update(zip(outer, (level[0] for level in of[len(blocks) :]), strict=False))
        return found
