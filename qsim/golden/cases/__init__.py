"""Cases of any unit: directed at what goes wrong in hardware, random from a seed, or all there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from qsim.golden.cases.draft import Draft, Inputs, defaults
from qsim.golden.cases.notes import NOTES
from qsim.golden.cases.observe import observe
from qsim.golden.cases.randomly import stream
from qsim.golden.cases.rest import refusal
from qsim.golden.unit import Unit
from qsim.golden.unit_reference import evaluate
from qsim.golden.vectors import GoldenError

__all__ = [
    "NOTES",
    "Draft",
    "Evaluated",
    "Selection",
    "directed",
    "evaluated",
    "exhaustive",
    "notes_of",
    "observed",
    "random",
    "select",
    "stream",
]

EACH = 2  # cases kept for each thing seen
MAX_INPUT_BITS = 20  # of an exhaustive suite


class Evaluated(NamedTuple):
    """A case with the patterns of all its ports."""

    flags: tuple[str, ...]
    comment: str
    values: Inputs


class Selection(NamedTuple):
    """Cases, and how many candidates the unit refuses."""

    cases: list[Evaluated]
    refused: int


def evaluated(unit: Unit, inputs: Inputs) -> Inputs:
    """The patterns of all ports, by the reference; ValueError where the unit, or its requantizer's domain, refuses them."""
    why = refusal(unit, inputs, unit.port("acc").split(inputs["acc"])[0] if "acc" in inputs else None)
    if why:
        raise ValueError(why)
    values = {port.name: inputs[port.name] for port in unit.inputs} | evaluate(unit, inputs)
    if "accumulator" in values and unit.out_format is not None:
        why = refusal(unit, inputs, unit.port("accumulator").split(values["accumulator"])[0])
        if why:
            raise ValueError(why)
    return values


def observed(unit: Unit, case: Evaluated) -> Evaluated:
    """The case with the flags of what is seen in it, as directed ones have them."""
    seen = (flag for flag, _ in sorted(observe(unit, case.values)))
    return case._replace(flags=tuple(dict.fromkeys([*case.flags, *seen])))


def select(unit: Unit, drafts: Iterable[Draft], each: int = EACH) -> Selection:
    """Drafts with flags, all of them; of the others those that show what fewer than `each` cases before have shown."""
    shown: dict[tuple[str, str], int] = {}
    kept: list[Evaluated] = []
    known: set[tuple[int, ...]] = set()
    dropped: set[tuple[int, ...]] = set()
    refused = 0
    for draft in drafts:
        key = tuple(draft.inputs[port.name] for port in unit.inputs)
        if key in known and not (draft.flags and key in dropped):
            continue
        known.add(key)
        try:
            values = evaluated(unit, draft.inputs)
        except ValueError:
            refused += 1
            continue
        seen = sorted(observe(unit, values))
        new = [found for found in seen if shown.get(found, 0) < each]
        if not draft.flags and not new:
            dropped.add(key)
            continue
        for found in seen:
            shown[found] = shown.get(found, 0) + 1
        flags = tuple(dict.fromkeys([*draft.flags, *(flag for flag, _ in seen)]))
        text = ", ".join(f"{flag} {detail}" for flag, detail in new)
        kept.append(Evaluated(flags, "; ".join(part for part in (draft.comment, text) if part), values))
    return Selection(kept, refused)


def directed(unit: Unit, each: int = EACH) -> Selection:
    """Cases from the datapath or format itself; the same ones every time."""
    return select(unit, _drafts(unit, each), each)


def _drafts(unit: Unit, each: int) -> Iterator[Draft]:
    from qsim.golden.cases.closing import closing

    yield from _of_kind(unit, each)
    yield from closing(unit)


def _of_kind(unit: Unit, each: int) -> Iterator[Draft]:
    """Directed cases from the datapath or format itself."""
    from qsim.golden.cases import block_search, encoding, floats, integer, lanes, requantizer, tiles
    from qsim.golden.cases.requantizer_bits import every_bit

    if unit.kind == "requantize":
        yield from requantizer.candidates(unit)
        yield from every_bit(unit)
    elif unit.kind == "encode":
        yield from encoding.encode_drafts(unit)
    elif unit.kind == "pack":
        yield from encoding.pack_drafts(unit)
    elif unit.kind == "chain":
        yield from encoding.chain_drafts(unit)
    elif unit.kind == "matmul":
        one = tiles.one_output(unit)
        yield from tiles.tile_drafts(unit, one, _structural(one), defaults(unit))
        if one.integer is not None:
            yield from tiles.every_output(unit, one, lanes.end_rows(one), defaults(unit))
    else:
        yield from _structural(unit)
        if unit.integer is not None:
            yield from lanes.every_lane(unit)
        yield from (integer if unit.integer else block_search if unit.block else floats).searched(unit)
        if unit.integer is not None and unit.datapath is not None and unit.datapath.requantizer is not None:
            from qsim.golden.cases.through import through_sums

            yield from through_sums(unit, each)


def _structural(unit: Unit) -> Iterator[Draft]:
    """Directed cases of a dot product that stand for themselves."""
    from qsim.golden.cases import block, floats, integer, lanes
    from qsim.golden.cases.block_lanes import block_lanes
    from qsim.golden.cases.float_bits import float_bits
    from qsim.golden.cases.float_sums import float_sums

    yield from (integer if unit.integer else block if unit.block else floats).structural(unit)
    if unit.integer is not None:
        yield from lanes.one_unlike(unit)
    if unit.block is not None:
        yield from float_sums(unit)
        yield from block_lanes(unit)
        yield from float_bits(unit)


def random(unit: Unit, seed: int, count: int) -> Iterator[Draft]:
    """count drafts of the seed."""
    yield from islice(stream(unit, seed), count)


def exhaustive(unit: Unit) -> Iterator[Draft]:
    """Every pattern of the operands, parameters at rest; GoldenError where they are too many."""
    operands = [port for port in unit.inputs if port.role == "operand"]
    bits = sum(port.bits for port in operands)
    if bits > MAX_INPUT_BITS:
        widths = " + ".join(f"{port.name} {port.bits}" for port in operands)
        raise GoldenError(f"exhaustive: {bits} bits of operands ({widths}); allowed: {MAX_INPUT_BITS}, with a smaller k")
    rest = defaults(unit)
    for number in range(1 << bits):
        inputs, place = dict(rest), 0
        for port in operands:
            inputs[port.name] = number >> place & ((1 << port.bits) - 1)
            place += port.bits
        yield Draft(("Exhaustive",), "", inputs)


def notes_of(unit: Unit) -> dict[str, str]:
    """What the flags of a unit's cases mean."""
    if unit.kind not in ("encode", "chain"):
        return NOTES
    from qsim.golden.block_cases import NOTES as ROWS

    both = {flag: f"{NOTES[flag]} Of the rows: {ROWS[flag]}" for flag in NOTES.keys() & ROWS.keys()}
    return NOTES | ROWS | (both if unit.kind == "chain" else {})
