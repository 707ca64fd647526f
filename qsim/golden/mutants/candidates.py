"""Inputs that may kill a mutant: directed ones that a suite left out, random ones, changes of its cases; from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from qsim.golden.bits import float32, value_of
from qsim.golden.cases import random
from qsim.golden.cases.draft import Inputs, Words, defaults
from qsim.golden.mutants.alignment import alignment_edges
from qsim.golden.ports import formats
from qsim.golden.suite import Suite
from qsim.golden.unit import Port, Unit
from qsim.golden.unit_reference import _row
from qsim.reference.block_dot import block_scale, element
from qsim.reference.numbers import HALF, multiply, power
from qsim.spec import FLOAT32, Format

EFFORT = 4000  # candidates a suite is given


def candidates(suite: Suite, seed: int) -> Iterator[Inputs]:
    """Directed ones that the suite left out, then, in turn, random ones and changes of the suite's cases, without an end."""
    from qsim.golden.cases import _drafts

    unit = suite.unit
    yield from alignment_edges(unit)
    yield from (draft.inputs for draft in islice(_drafts(unit, 1 << 20), EFFORT))
    yield from through_encoders(unit)
    words = Words(seed, 0x6D75)
    for i in range(1 << 20):
        for draft in random(unit, seed * 1000 + i, 50):
            yield draft.inputs
        for _ in range(50):
            yield changed_case(suite, words)


def through_encoders(unit: Unit) -> Iterator[Inputs]:
    """Of a chain: the values of the operands of every directed case of its dot product."""
    from qsim.golden.cases import _drafts

    if unit.kind != "chain" or unit.datapath is None:
        return
    one = Unit("dot", unit.datapath, None, unit.k, parameters=unit.parameters)
    rest = defaults(unit)
    for inputs in chain(alignment_edges(one), (draft.inputs for draft in islice(_drafts(one, 2), EFFORT))):
        sides = zip(("activation", "weight"), formats(unit), strict=True)
        rows = {f"{side}_input": decoded(one, inputs, side, fmt) for side, fmt in sides}
        given = {name: inputs[name] for name in rest if name in inputs}
        if all(rows.values()):
            yield rest | given | {name: unit.port(name).join(values) for name, values in rows.items() if values}


def decoded(unit: Unit, inputs: Inputs, side: str, fmt: Format) -> list[int] | None:
    """The float32 values of an operand's words, channel and tensor scales apart; None where they are no finite float32s."""
    row = _row(unit, inputs, side, fmt)
    values = [multiply(element(row, k), block_scale(row, k)[2]) for k in range(unit.k)]
    patterns = [float32(v) for v in values if not isinstance(v, str)]
    exact = [FLOAT32.value(p) for p in patterns] == values
    return patterns if exact else None


def changed_case(suite: Suite, words: Words) -> Inputs:
    """A case of the suite with up to three values of its inputs changed, or with a port of another case."""
    cases, ports = suite.cases, suite.unit.inputs
    base = cases[words.between(0, len(cases) - 1)].values
    found = {port.name: base[port.name] for port in ports}
    kind = words.bits(3)
    if kind in (0, 3, 4) and any(port.kind == "float32" and port.count > 1 for port in ports):
        return found | floats(suite.unit, words)
    if kind == 1:
        return found | {port.name: runs(port, [port.count] * 2, words) for port in ports if words.bits(2)}
    if kind == 2:
        ends = sorted(words.between(1, 15) for _ in range(2))
        return found | {
            port.name: runs(port, [port.count * end // 16 for end in ends], words) for port in ports if port.count > 1
        }
    for _ in range(words.between(1, 3)):
        port = ports[words.between(0, len(ports) - 1)]
        if words.bits(2) == 0:
            found[port.name] = cases[words.between(0, len(cases) - 1)].values[port.name]
        else:
            found[port.name] = changed_port(port, found[port.name], words)
    return found


def changed_port(port: Port, pattern: int, words: Words) -> int:
    """One value, or every value, of a port: an end of its range, one beside it, a flipped bit, its negative, anything."""
    mask = (1 << port.width) - 1
    places = [words.between(0, port.count - 1)] if words.bits(2) else list(range(port.count))
    kind = words.between(0, 5)
    for i in places:
        value = pattern >> i * port.width & mask
        other = (
            words.of([0, 1, mask, mask >> 1, (mask >> 1) + 1]),
            value + 1,
            value - 1,
            value ^ 1 << words.between(0, port.width - 1),
            -value,
            words.bits(port.width),
        )[kind] & mask
        pattern ^= (value ^ other) << i * port.width
    return pattern


def runs(port: Port, ends: list[int], words: Words) -> int:
    """Two or three runs of one value each, most of them ends of the range."""
    mask = (1 << port.width) - 1
    values = [words.of([mask >> 1, (mask >> 1) + 1, mask, 1, 0, words.bits(port.width)]) for _ in range(3)]
    return sum(values[(i >= ends[0]) + (i >= ends[1])] << i * port.width for i in range(port.count))


def floats(unit: Unit, words: Words) -> Inputs:
    """Inputs of an encoder that are small multiples of powers of two, one power a block: exact scales, ties, subnormals."""
    found = {}
    bottom, spread, like = words.of([-149, -149, -127, -40, -12, 0, 0, 0, 90]), words.of([0, 0, 3, 12, 30]), words.bits(2)
    for port in unit.inputs:
        if port.kind != "float32":
            if words.bits(1):
                found[port.name] = changed_port(port, words.bits(port.bits), words)
        elif port.name == "out_scale":
            found[port.name] = words.between(100, 160) << 23
        elif port.count == 1:
            value = words.bits(32)
            found[port.name] = words.of(
                [0x80000000, 0, 0x7FC00001, 0xFF800000, 0xFF7FFFFF, value, value & 0x80FFFFFF | words.between(80, 170) << 23]
            )
        else:
            fmt = unit.fmt or formats(unit)[int(port.name.startswith("weight"))]
            found[port.name] = port.join(_multiples(fmt, port.count, bottom, spread, like, words))
    return found


def _multiples(fmt: Format, count: int, bottom: int, spread: int, like: int, words: Words) -> list[int]:
    """count float32 patterns; like 0: of one magnitude, whose signs alone vary."""
    block = max(fmt.block_size, 1) if fmt.block_scales else count
    found: list[int] = []
    for start in range(0, count, block):
        if fmt.family == "absmax" and like == 2:
            found += _near_ties(fmt, min(block, count - start), words)
            continue
        most = words.of([int(fmt.element.largest) or 1, 255, 1 << 12])
        lowest = power(bottom + words.between(0, spread))
        for _ in range(start, min(start + block, count)):
            magnitude = words.between(0, most) if like else most
            found.append(float32(magnitude * lowest) | words.bits(1) << 31)
        found[start + words.between(0, len(found) - start - 1)] = float32(most * lowest) | words.bits(1) << 31
    return found


def _near_ties(fmt: Format, count: int, words: Words) -> list[int]:
    """Values half way between two codes of a scale of 24 bits, as near as float32 comes."""
    amax = (0x800000 + words.bits(23)) * power(words.between(-40, 0))
    scale = value_of(float32(value_of(float32(amax)) / fmt.element.largest))
    most = int(fmt.element.largest) - 1
    return [float32(amax), *(float32((words.between(-most, most) + HALF) * scale) for _ in range(count - 1))]
