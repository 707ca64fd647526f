"""Directed cases of shared exponents: every row has what its flag says, and the rows together meet every lane, bit and shift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache

import pytest

from qsim.golden.cases.block_terms import covering
from qsim.golden.suite import Case, Suite, read_suite
from qsim.golden.write_suite import suite_path

ENCODERS = ("mx9", "mx6", "mx4")
DOTS = ("mx9_bdr", "mx6_bdr", "mx4_bdr")
MAGNITUDE = {"mx9": 7, "mx6": 4, "mx4": 2}  # bits of an element beside its sign
LANES, PAIR = 16, 2
INFINITY = 255  # exponent field


@cache
def suite(kind: str, name: str) -> Suite:
    return read_suite(suite_path(None, kind, name))


def flagged(found: Suite, flag: str) -> list[Case]:
    return [case for case in found.cases if flag in case.flags and "Mutant" not in case.flags]


def values(found: Suite, case: Case, port: str) -> list[int]:
    return found.unit.port(port).split(case.values[port])


def one_bit(value: int) -> bool:
    return value.bit_count() == 1


# --- encoders ---


class Row:
    """The fields of an encoder's 16 inputs, worked out by hand."""

    def __init__(self, name: str, bits: list[int]) -> None:
        self.fields = [b >> 23 & 255 for b in bits]
        self.fractions = [b & 0x7FFFFF for b in bits]
        self.largest = max(self.fields)
        self.tau = [int(max(self.fields[i & ~1], self.fields[i | 1]) < self.largest) for i in range(LANES)]
        self.places = MAGNITUDE[name]

    def element(self, lane: int) -> Fraction:
        """The magnitude in steps of the block, before it is rounded."""
        field, fraction = self.fields[lane], self.fractions[lane]
        significand = fraction + ((field > 0) << 23)
        return Fraction(significand, 1 << 23) * Fraction(2) ** (max(field, 1) - self.largest + self.tau[lane] + self.places - 1)

    def distance(self, lane: int) -> int:
        return self.largest - max(self.fields[lane], 1) - self.tau[lane]


def rows(name: str, flag: str) -> Iterator[Row]:
    found = suite("encode", name)
    for case in flagged(found, flag):
        yield Row(name, values(found, case, "input"))


ROWS: dict[str, Callable[[Row], bool]] = {
    "LoneSticky": lambda r: sum(one_bit(r.fractions[i]) and Fraction(1, 2) < r.element(i) < 1 for i in range(LANES)) == LANES - 1,
    "EveryDistance": lambda r: len({r.distance(i) for i in range(LANES)}) >= r.places + 2,
    "UniqueLargest": lambda r: sorted(r.fields) == [r.largest - 1] * (LANES - 1) + [r.largest],
    "PairsApart": lambda r: all(
        r.largest in (a, b) and (abs(a - b) == 1 or one_bit(a ^ b))
        for a, b in zip(r.fields[::PAIR], r.fields[1::PAIR], strict=True)
    ),
    "OneBitExponent": lambda r: set(r.fields) == {r.largest} and (one_bit(r.largest) or one_bit(INFINITY - r.largest)),
    "SubnormalLanes": lambda r: r.fields.count(0) >= LANES - 1 and sum(f > 0 for f in r.fractions) >= LANES // 2,
    "FarBelow": lambda r: sum(r.distance(i) >= 32 for i in range(LANES)) == LANES - 1,
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("flag", ROWS)
def test_rows_of_encoders_have_what_their_flag_says(name: str, flag: str) -> None:
    found = list(rows(name, flag))
    assert found
    assert [r.fields for r in found if not ROWS[flag](r)] == []


@pytest.mark.parametrize("name", ENCODERS)
def test_every_lane_meets_every_law(name: str) -> None:
    """Each lane: every sticky bit alone but those of the rows it leads, every distance, the largest exponent, infinity or NaN."""
    for lane in range(LANES):
        sticky = {r.fractions[lane] for r in rows(name, "LoneSticky") if r.element(lane) < 1}
        assert len(sticky) >= 21
        assert {r.distance(lane) for r in rows(name, "EveryDistance")} >= set(range(MAGNITUDE[name] + 2))
        assert len({r.largest for r in rows(name, "UniqueLargest") if r.fields[lane] == r.largest}) >= 2
        assert {r.fields[lane] == INFINITY for flag in ("NaN", "Inf") for r in rows(name, flag)} == {True, False}
        for bit in range(7):
            apart = {r.fields[lane] ^ r.fields[lane ^ 1] for r in rows(name, "PairsApart") if r.fields[lane] < r.largest}
            assert 2 << bit in apart


@pytest.mark.parametrize("name", ENCODERS)
def test_taps_of_the_rows_are_those_of_rule_s2(name: str) -> None:
    """The shared exponent is the largest field, a microexponent says that its whole pair lies below it."""
    found = suite("encode", name)
    for flag in ROWS:
        for case in flagged(found, flag):
            row = Row(name, values(found, case, "input"))
            assert values(found, case, "scale1") == [row.largest]
            assert values(found, case, "scale0") == row.tau[::PAIR]


# --- dot products ---


def terms(found: Suite, case: Case) -> list[Fraction]:
    """Value of each block, from its sum and exponent: an element counts in units of 2^-(M - 1), and of 2^-M in a pair with tau."""
    unit = 2 * MAGNITUDE[found.name.partition("_")[0]]
    sums, exponents = values(found, case, "terms"), values(found, case, "exponents")
    return [d * Fraction(2) ** (e - unit) for d, e in zip(sums, exponents, strict=True)]


def power_of_two(value: Fraction) -> bool:
    return one_bit(abs(value).numerator) and one_bit(value.denominator)


def beyond_half(total: Fraction) -> Fraction:
    """What a sum has, in units of its result's last bit, beyond a half."""
    last = Fraction(2) ** -149
    while abs(total) >= last * (1 << 24):
        last *= 2
    return abs(total) / last % 1 - Fraction(1, 2)


def lanes_of(found: Suite, case: Case) -> Iterator[tuple[int, int]]:
    """Magnitudes of both elements of each lane."""
    bits = MAGNITUDE[found.name.partition("_")[0]]
    for a, w in zip(values(found, case, "activation"), values(found, case, "weight"), strict=True):
        for lane in range(LANES):
            yield (a >> lane * (bits + 1) & ((1 << bits) - 1), w >> lane * (bits + 1) & ((1 << bits) - 1))


def lane_of(found: Suite, case: Case, lane: int) -> tuple[int, ...]:
    """Microexponents, last bits and signs of both sides in a lane."""
    bits, found_bits = MAGNITUDE[found.name.partition("_")[0]], []
    words = [values(found, case, side)[lane // LANES] for side in ("activation", "weight")]
    place = lane % LANES * (bits + 1)
    for at in (LANES * (bits + 1) + lane % LANES // PAIR, place, place + bits):
        found_bits += [word >> at & 1 for word in words]
    return tuple(found_bits)


def is_pattern(magnitude: int, bits: int) -> bool:
    """One bit, all but one, or all."""
    return one_bit(magnitude) or one_bit(magnitude ^ ((1 << bits) - 1)) or magnitude == (1 << bits) - 1


CASES: dict[str, Callable[[Suite, Case], bool]] = {
    "EveryBitOfLanes": lambda s, c: all(
        is_pattern(x, MAGNITUDE[s.name.partition("_")[0]]) for pair in lanes_of(s, c) for x in pair
    ),
    "LeadingOne": lambda s, c: all(power_of_two(t) for t in terms(s, c) if t) or power_of_two(sum(terms(s, c), Fraction(0))),
    "OneBitResult": lambda s, c: (c.values["result"] & 0x7FFFFFFF).bit_count() == c.values["result"] >> 31,
    "LoneStickySum": lambda s, c: power_of_two(beyond_half(sum(terms(s, c), Fraction(0)))),
    "LargestResult": lambda s, c: abs(sum(terms(s, c), Fraction(0))) >= Fraction(2) ** 128 - Fraction(2) ** 104,
}


@pytest.mark.parametrize("name", DOTS)
@pytest.mark.parametrize("flag", CASES)
def test_cases_of_dot_products_have_what_their_flag_says(name: str, flag: str) -> None:
    found = suite("dot", name)
    cases = flagged(found, flag)
    assert cases
    assert [c.id for c in cases if not CASES[flag](found, c)] == []


@pytest.mark.parametrize("name", DOTS)
def test_every_bit_has_its_case(name: str) -> None:
    """Each bit of both elements, all signs and microexponents in every lane; each block sum 2^n; each bit of a negative result; NaN in each block of each side."""
    found = suite("dot", name)
    bits, blocks = MAGNITUDE[name.partition("_")[0]], found.unit.port("activation").count
    dense = [list(lanes_of(found, c)) for c in flagged(found, "EveryBitOfLanes")]
    for lane in range(LANES * blocks):
        for side in (0, 1):
            assert {row[lane][side] for row in dense} >= {1 << bit for bit in range(bits)}
        fields = {lane_of(found, c, lane) for c in flagged(found, "EveryBitOfLanes")}
        assert (1, 1, 1, 1) in {f[:4] for f in fields}  # the only products that are odd
        assert {f[4:] for f in fields} == {f[:2] for f in fields} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    sums = {abs(d) for c in flagged(found, "LeadingOne") for d in values(found, c, "terms")}
    assert sums >= {1 << n for n in range((LANES * (((1 << bits) - 1) * 2) ** 2).bit_length())}
    results = {c.values["result"] for c in flagged(found, "OneBitResult")}
    assert results >= {1 << 31 | 1 << bit for bit in range(31)} | {0}
    nan = {
        (side, block)
        for c in flagged(found, "NaN")
        for side in ("activation", "weight")
        for block, word in enumerate(values(found, c, side))
        if word >> (found.unit.port(side).width - 8) == 255 and sum(w >> (found.unit.port(side).width - 8) == 255 for w in values(found, c, side)) == 1
    }  # fmt: skip
    assert nan == {(side, block) for side in ("activation", "weight") for block in range(blocks)}


@pytest.mark.parametrize("name", DOTS)
def test_lone_bits_stand_at_every_place(name: str) -> None:
    """Beyond half of the smallest float32: each bit from the next one down to the last one that the alignment keeps."""
    found = suite("dot", name)
    seen = {beyond_half(sum(terms(found, c), Fraction(0))) for c in flagged(found, "LoneStickySum")}
    assert seen >= {Fraction(1, 2) / (1 << n) for n in range(1, 30)}


def test_two_bits_take_all_values() -> None:
    """Any two bits of the six numbers are 00, 01, 10 and 11."""
    numbers = covering(9)
    for first in range(9):
        for second in range(first):
            assert {(n >> first & 1, n >> second & 1) for n in numbers} == {(0, 0), (0, 1), (1, 0), (1, 1)}
