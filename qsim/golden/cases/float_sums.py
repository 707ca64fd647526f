"""Sums of two blocks on either side of a float32 rounding: ties, what lies beside them, carries, subnormals (rule A3)."""

from __future__ import annotations

from collections.abc import Iterator

from qsim.golden.block_ports import fraction
from qsim.golden.cases.block_search import block_of_sum
from qsim.golden.cases.builder import Builder
from qsim.golden.cases.draft import Draft, counts
from qsim.golden.unit import Unit

DROPPED = 2  # bits below the last one of the result
SMALLEST = -149  # exponent of float32's last bit


def float_sums(unit: Unit) -> Iterator[Draft]:
    """A power of two in the first block, and in the second, some bits below, what decides how the sum is rounded."""
    acc, b = unit.block, Builder(unit)
    assert acc is not None
    levels = [next((i for i, s in enumerate(fmt.scales) if s.kind == "exponent"), None) for fmt in b.formats]
    if acc.into != "float" or acc.terms != "sums" or b.blocks < 2 or None in levels or any(c.element.is_float for c in b.codes):
        return
    bits, half = 24, 1 << (DROPPED - 1)
    power = (b.codes[0].element.qmax * b.codes[1].element.qmax * b.block).bit_length() - 1
    last = fraction(*b.formats, acc) - sum(s.kind == "microexponent" for fmt in b.formats for s in fmt.scales)
    for text, exponent, shorter in (("", 0, 0), (", subnormal", SMALLEST - DROPPED, 3)):
        for low, flag, what in (
            (half - 1, "NearTie", "below a tie"),
            (half, "Tie", "a tie, even below"),
            (half + 1, "NearTie", "above a tie"),
            (2 * half + half, "Tie", "a tie, even above"),
            (-1, "Carry", "all ones, rounded up"),
        ):
            # A difference has its leading bit one place lower; it becomes the smallest normal where the sum is subnormal.
            top = bits - 1 + DROPPED - (0 if low < 0 else shorter)
            for sign in (1, -1):
                blocks = [block_of_sum(b, sign << power), block_of_sum(b, sign * low)]
                if None in blocks:
                    continue
                rows = [[code for found in blocks if found for code in found[side]] for side in (0, 1)]
                scales = _scales(b, levels, exponent + last, top - power)
                if scales is not None:
                    yield Draft((flag,), f"{what}{text}, {'+-'[sign < 0]}", b.inputs(rows[0], rows[1], scales[0], scales[1]))


def _scales(b: Builder, levels: list[int | None], exponent: int, distance: int) -> list[list[list[int]]] | None:
    """Both sides' scales, so that the second block has this exponent, and the first one `distance` more."""
    weight = 127 + min(exponent, 0) // 2
    second = 254 + exponent - weight
    if second < 0 or second + distance > 254 or weight < 0:
        return None
    found = []
    for side, pair in enumerate(([second + distance, second], [weight, weight])):
        n = counts(b.formats[side], b.unit.k)[levels[side] or 0]
        found.append(b.scales(side, **{f"scale{levels[side]}": [*pair, *[127] * (n - 2)]}))
    return found
