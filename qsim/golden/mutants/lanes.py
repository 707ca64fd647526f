"""Elements in other lanes, lanes without an element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from qsim.golden.mutants.elements import Change, with_codes
from qsim.golden.unit import Unit
from qsim.spec import Format


def lane_mistakes(unit: Unit, fmt: Format) -> Iterator[tuple[str, str, Change]]:
    """Elements in other lanes, lanes without an element."""
    k, block = unit.k, fmt.block_size
    if k < 2:
        return
    yield (
        "elements reversed",
        "the elements of a word are numbered from the other end",
        with_codes(lambda c: reversed_in_blocks(c, block)),
    )
    yield "pairs of elements swapped", "even and odd lanes are exchanged", with_codes(swapped)
    yield "lanes moved by one", "every lane gets its neighbour's element", with_codes(lambda c: [*c[1:], c[0]])
    yield "first lane dropped", "the loop starts at 1", with_codes(lambda c: [0, *c[1:]])
    yield "last lane dropped", "the loop ends one too early", with_codes(lambda c: [*c[:-1], 0])
    yield "first lane twice", "lane 1 is wired to element 0", with_codes(lambda c: [c[0], c[0], *c[2:]])
    yield "last lane twice", "the last but one lane is wired to the last element", with_codes(lambda c: [*c[:-2], c[-1], c[-1]])
    if k > 2:
        yield from _more(k, (1 << fmt.element.bits) - 1)
    if block > 1 and k > block:
        yield (
            "blocks reversed",
            "the words come in the other order",
            lambda row: replace(
                row, codes=_blocks(row.codes, block), scales=tuple(_blocks(s, len(s) * block // k) for s in row.scales)
            ),
        )


def _more(k: int, ones: int) -> Iterator[tuple[str, str, Change]]:
    """What two lanes are too few for."""
    half = k // 2
    yield "lanes moved back by one", "every lane gets the element before its own", with_codes(lambda c: [c[-1], *c[:-1]])
    yield "halves exchanged", "the upper half of the lanes is read first", with_codes(lambda c: [*c[half:], *c[:half]])
    yield "first and last lane exchanged", "their wires cross", with_codes(lambda c: [c[-1], *c[1:-1], c[0]])
    yield "middle lane dropped", "one lane is not connected", with_codes(lambda c: [*c[:half], 0, *c[half + 1 :]])
    yield "upper half dropped", "half of the lanes are not connected", with_codes(lambda c: [*c[:half], *[0] * (k - half)])
    yield (
        "odd lanes read their neighbours",
        "the lowest bit of the lane's number is not connected",
        with_codes(lambda c: [c[i & ~1] for i in range(k)]),
    )
    yield "first lane stuck at ones", "its wires hang at the supply", with_codes(lambda c: [ones, *c[1:]])


def reversed_in_blocks(codes: list[int], block: int) -> list[int]:
    """Each block from its last element to its first."""
    size = block if block > 1 else len(codes)
    return [c for i in range(0, len(codes), size) for c in reversed(codes[i : i + size])]


def _blocks(codes: list[int], size: int) -> list[int]:
    groups = [codes[i : i + size] for i in range(0, len(codes), size)]
    return [c for group in reversed(groups) for c in group]


def swapped(codes: list[int]) -> list[int]:
    """Neighbours exchanged."""
    return [codes[i ^ 1] if i ^ 1 < len(codes) else codes[i] for i in range(len(codes))]
