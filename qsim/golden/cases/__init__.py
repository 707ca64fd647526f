"""Cases of any unit: directed at what goes wrong in hardware, random from a seed, or all there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from qsim.golden.cases.draft import Draft, Inputs, Words, defaults
from qsim.golden.cases.notes import NOTES
from qsim.golden.cases.observe import observe
from qsim.golden.cases.rest import refusal
from qsim.golden.unit import Unit
from qsim.golden.unit_reference import evaluate

__all__ = ["NOTES", "Draft", "Evaluated", "Selection", "directed", "evaluated", "exhaustive", "random", "select"]

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


def select(unit: Unit, drafts: Iterable[Draft], each: int = EACH) -> Selection:
    """Drafts with flags, all of them; of the others those that show what fewer than `each` cases before have shown."""
    shown: dict[tuple[str, str], int] = {}
    kept: list[Evaluated] = []
    known: set[tuple[int, ...]] = set()
    refused = 0
    for draft in drafts:
        key = tuple(draft.inputs[port.name] for port in unit.inputs)
        if key in known:
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
    from qsim.golden.cases import integer, requantizer

    if unit.kind == "requantize":
        yield from requantizer.candidates(unit)
    elif unit.kind == "dot" and unit.integer is not None:
        yield from integer.structural(unit)
        yield from integer.searched(unit)
        if unit.datapath is not None and unit.datapath.requantizer is not None:
            from qsim.golden.cases.through import through_sums

            yield from through_sums(unit, each)
    elif unit.kind == "dot" and unit.block is not None:
        from qsim.golden.cases import block

        yield from block.structural(unit)
        yield from block.searched(unit)
    else:
        raise NotImplementedError(unit.kind)


def random(unit: Unit, seed: int, count: int) -> Iterator[Draft]:
    """count drafts of the seed."""
    words = Words(seed, 2)
    rest = defaults(unit)
    for i in range(count):
        inputs = {port.name: words.bits(port.bits) for port in unit.inputs}
        yield Draft(("Random",), "", inputs | (rest if i % 2 else {}))


def exhaustive(unit: Unit) -> Iterator[Draft]:
    """Every input."""
    raise NotImplementedError
