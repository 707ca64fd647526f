"""Operands of plain floats at the edges of their range, of alignment and of the result (rule A3)."""

from __future__ import annotations

from collections.abc import Iterator

from qsim.golden.cases.block import biases, elements, lanes, special_codes, walking
from qsim.golden.cases.block_search import SEARCHED, random_inputs
from qsim.golden.cases.builder import Builder
from qsim.golden.cases.draft import Draft, Words
from qsim.golden.unit import Unit


def structural(unit: Unit) -> Iterator[Draft]:
    """Cases that stand for themselves."""
    b = Builder(unit)
    yield from elements(b)
    yield from lanes(b)
    for side in (0, 1):
        yield from walking(b, side)
        yield from special_codes(b, side)
    yield from biases(b)


def searched(unit: Unit, seed: int = 0) -> Iterator[Draft]:
    """Cases of which only those are kept that show something new."""
    b = Builder(unit)
    ca, cw = b.codes
    step = 1 << ca.element.mantissa_bits
    for distance in range(ca.element.max_code // step + 1):
        small = max(ca.largest - distance * step, 1)
        for sign in (cw.largest, cw.negative(cw.largest), cw.last):
            a = [ca.largest, *[small] * (unit.k - 1)]
            yield Draft((), f"exponents {distance} apart", b.inputs(a, [cw.largest, *[sign] * (unit.k - 1)]))
    words = Words(seed, 3)
    for _ in range(SEARCHED):
        yield Draft((), "", random_inputs(b, words, 0))
