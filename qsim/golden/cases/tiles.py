"""Tiles of dot products: operands of directed or random dot products, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from qsim.golden.cases.draft import Draft, Inputs, integers, signed
from qsim.golden.cases.integer import ends
from qsim.golden.cases.lanes import Row
from qsim.golden.unit import Unit
from qsim.golden.unit_reference import evaluate


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


def every_output(unit: Unit, one: Unit, rows: Iterable[Row], rest: Inputs) -> Iterator[Draft]:
    """Each row of operands in every output of a tile: in turn as it is and negated, as on a checkerboard; twice."""
    size = max(unit.m, unit.n)
    (alow, ahigh), (wlow, whigh) = ends(one)
    for comment, pairs, extra in rows:
        a, w = [a for a, _ in pairs], [w for _, w in pairs]
        even = rest | integers(one, a, w) | signed(one, extra)
        odd = even | integers(one, [max(min(-x, ahigh), alow) for x in a], [max(min(-y, whigh), wlow) for y in w])
        turns = [Draft(("EveryLane",), comment, odd if i % 2 else even) for i in range(size + 1)]
        columns = tile(unit, one, turns[:size], rest)
        yield columns
        rows_moved = tile(unit, one, turns[1:], rest).inputs
        moved = {name: value for name, value in rows_moved.items() if name.startswith("activation")}
        yield columns._replace(inputs=columns.inputs | moved)


def outputs_of(unit: Unit, values: Mapping[str, int]) -> Iterator[tuple[Unit, Inputs]]:
    """Every output of a tile as the dot product that it is, with all ports."""
    one = one_output(unit)
    for row in range(unit.m):
        for column in range(unit.n):
            inputs = dict(values)
            for port in one.inputs:
                if port.name.startswith(("activation", "weight")):
                    place = row if port.name.startswith("activation") else column
                    inputs[port.name] = values[port.name] >> place * port.bits & ((1 << port.bits) - 1)
            inputs = {port.name: inputs[port.name] for port in one.inputs}
            yield one, inputs | evaluate(one, inputs)
