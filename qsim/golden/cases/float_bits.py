"""Sums of two blocks bit by bit: leading ones, lone sticky bits, results of one bit, the end of float32 (rules A2, A3)."""

from __future__ import annotations

from collections.abc import Iterator

from qsim.golden.cases.block_terms import BITS, NAN, Terms, is_shared
from qsim.golden.cases.builder import Builder
from qsim.golden.cases.draft import Draft
from qsim.golden.unit import Unit

LAST = -149  # exponent of float32's last bit
FRACTION = 23
BIAS = 127
#: Exponents of results whose field is one bit, or one bit from that of infinity, by turns.
RESULTS = tuple(field - BIAS for bit in range(BITS) for field in (1 << bit, NAN - (1 << bit)))
Sum = list[tuple[int, int]]  # integer and exponent of its last bit


def float_bits(unit: Unit) -> Iterator[Draft]:
    """Every law, where block sums are aligned and rounded to float32."""
    acc, b = unit.block, Builder(unit)
    assert acc is not None
    if acc.into != "float" or acc.terms != "sums" or not is_shared(b) or acc.unit is None:
        return
    terms = Terms(b)
    if len(terms.pairs) < 2:
        return
    grid = acc.unit.fraction if acc.unit.fraction is not None else FRACTION
    room = grid - terms.fraction  # bits below the last one of the larger term
    turn = 0
    for flag, law in (
        ("LeadingOne", leading_ones(terms)),
        ("LeadingOne", cancelled(terms, room)),
        ("OneBitResult", one_bit_results(terms)),
        ("LoneStickySum", lone_stickies(terms, room)),
        ("LargestResult", largest_results(terms)),
    ):
        for text, found in law:
            first, second = terms.pairs[turn % len(terms.pairs)]
            placed = {j: (d, last + terms.fraction) for j, (d, last) in zip((first, second), found, strict=False)}
            inputs = terms.inputs(placed, turn)
            turn += 1
            if inputs is not None:
                yield Draft((flag,), text, inputs)


def leading_ones(t: Terms) -> Iterator[tuple[str, Sum]]:
    """Each power of two as a block sum, and another one below it in the other block; of either sign."""
    for n in range(t.bits):
        other = (n + t.bits // 2) % t.bits
        exponent, sign = RESULTS[n % len(RESULTS)], (1, -1)[n % 2]
        below = exponent - 1 - n % 3 - (other > n)
        yield f"2^{n} and below it 2^{other}, {'+-'[n % 2]}", [(sign << n, exponent - n), (sign << other, below - other)]


def cancelled(t: Terms, room: int) -> Iterator[tuple[str, Sum]]:
    """Blocks that leave one bit of each other, ever further down."""
    for n in range(1, min(room, t.bits - 1) + 1):
        sign, exponent = (1, -1)[n % 2], RESULTS[(2 * n + 1) % len(RESULTS)] // 2
        yield (
            f"the first block but its 2^-{n} taken off, {'+-'[n % 2]}",
            [(sign, exponent), (-sign * ((1 << n) - 1), exponent - n)],
        )


def one_bit_results(t: Terms) -> Iterator[tuple[str, Sum]]:
    """Negative powers of two: each bit of a subnormal, each bit of the exponent field, and those that round to zero."""
    normal = [(1 << bit) - BIAS for bit in range(BITS)]
    for n, exponent in enumerate([LAST - 2, LAST - 1, *range(LAST, LAST + FRACTION), *normal]):
        place = 7 * n % t.bits
        if abs(exponent - place + t.fraction) > 254:
            place = t.bits - 1 if exponent < 0 else 0
        yield f"-2^{exponent} of 2^{place}", [(-(1 << place), exponent - place)]
    yield "2^-151 is +0", [(1, LAST - 2)]
    yield "a difference of 0 is +0", [(1 << (t.bits - 1), 0), (-(1 << (t.bits - 2)), 1)]


def lone_stickies(t: Terms, room: int) -> Iterator[tuple[str, Sum]]:
    """Half of the smallest float32 and one bit below, down to where the alignment cuts it; the same beside a normal number."""
    top = t.bits - 1
    for n in range(1, top + room + 2):
        place = max(0, top - n) if n % 2 else top
        sign = (1, -1)[n // 2 % 2]
        bit = LAST - 1 - n
        yield f"2^{LAST - 1} and 2^{bit}, {'+-'[sign < 0]}", [(sign << top, LAST - 1 - top), (sign << place, bit - place)]
    for n in range(1, min(top, top + room - FRACTION - 1) + 1):
        sign = (1, -1)[n % 2]
        yield (
            f"half of the last bit and 2^-{n} of it, {'+-'[n % 2]}",
            [(sign << top, n - top), (sign * ((1 << n) + 1), -FRACTION - 1)],
        )


def largest_results(t: Terms) -> Iterator[tuple[str, Sum]]:
    """Around the end of float32: the largest number, half a step above, half of that below, powers of two beyond."""
    top = t.bits - 1
    for n, (text, low, place) in enumerate(
        (
            ("2^128 less a last bit: the largest number", -1, 104),
            ("2^128 less half a last bit: a tie that overflows", -1, 103),
            ("2^128 less three quarters: rounds down", -3, 102),
            ("2^128 less a quarter: overflows", -1, 102),
            ("2^128", 0, 104),
            ("more than 2^128", 1, 120),
        )
    ):
        for sign in (1, -1):
            yield f"{text}, {'+-'[sign < 0]}", [(sign << top, 128 - top), (sign * low, place)]
        yield f"far beyond 2^128, {n}", [((-1) ** n << top - n, 140 + 7 * n - top)]
