"""Tiles of dot products: operands of directed or random dot products, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qsim.golden.cases.draft import Draft, Inputs
from qsim.golden.unit import Unit


def one_output(unit: Unit) -> Unit:
    """The dot product that every output of a tile is."""
    return Unit("dot", unit.datapath, None, unit.k, parameters=unit.parameters)


def tile_drafts(unit: Unit, one: Unit, drafts: Iterable[Draft], rest: Inputs) -> Iterator[Draft]:
    """Tiles of max(m, n) dot products each, whose operands become rows and columns; their parameters are the first one's."""
    size = max(unit.m, unit.n)
    group: list[Draft] = []
    for draft in drafts:
        group.append(draft)
        if len(group) == size:
            yield tile(unit, one, group, rest)
            group = []
    if group:
        yield tile(unit, one, [group[i % len(group)] for i in range(size)], rest)


def tile(unit: Unit, one: Unit, group: list[Draft], rest: Inputs) -> Draft:
    """One tile."""
    found = dict(rest)
    for port in one.inputs:
        if port.name.startswith(("activation", "weight")):
            times = unit.m if port.name.startswith("activation") else unit.n
            found[port.name] = sum(group[i].inputs[port.name] << i * port.bits for i in range(times))
        else:
            found[port.name] = group[0].inputs[port.name]
    flags = tuple(dict.fromkeys(flag for draft in group for flag in draft.flags))
    return Draft(flags, "; ".join(dict.fromkeys(draft.comment for draft in group if draft.comment)), found)
