"""Random inputs of any unit: from a seed, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator

from qsim.golden.cases.block_search import random_inputs
from qsim.golden.cases.builder import Builder
from qsim.golden.cases.draft import Draft, Inputs, Words, codes, defaults, integers, signed
from qsim.golden.cases.encoding import chain_inputs, random_codes, random_row, random_words
from qsim.golden.cases.requantizer import requantizer_of
from qsim.golden.cases.rest import scale_pattern, scale_value
from qsim.golden.cases.tiles import one_output, tile
from qsim.golden.ports import formats
from qsim.golden.unit import Unit

SPREADS = (2, 8, 24, 60)


def stream(unit: Unit, seed: int) -> Iterator[Draft]:
    """Drafts without end; every second one has its parameters at rest."""
    words = Words(seed, 2)
    if unit.kind in ("encode", "chain"):
        yield from _floats(unit, words)
    elif unit.kind == "pack":
        while True:
            yield Draft(("Random",), "", random_codes(unit, words))
    elif unit.kind == "matmul":
        one, rest = one_output(unit), defaults(unit)
        drafts = stream(one, seed)
        while True:
            yield tile(unit, one, [next(drafts) for _ in range(max(unit.m, unit.n))], rest)
    else:
        rest = defaults(unit)
        builder = Builder(unit) if unit.kind == "dot" and unit.integer is None else None
        i = 0
        while True:
            found = rest | (random_parameters(unit, words, rest) if i % 2 else {})
            if builder is not None:
                found = random_inputs(builder, words, (0, 3, 12, 30)[i // 2 % 4])
            elif unit.kind == "dot":
                found |= random_integers(unit, words)
            else:
                found["acc"] = random_acc(unit, words)
            yield Draft(("Random",), "", found)
            i += 1


def _floats(unit: Unit, words: Words) -> Iterator[Draft]:
    i = 0
    while True:
        spread = SPREADS[i % 4]
        if unit.kind == "encode":
            yield Draft(
                ("Random",), "", {"input": unit.port("input").join(random_row(words, unit.k, spread))} | random_words(unit, words)
            )
        else:
            a, w = random_row(words, unit.k, spread), random_row(words, unit.k, spread)
            yield Draft(("Random",), "", chain_inputs(unit, a, w, slack=1 + i % 5) | random_words(unit, words))
        i += 1


def random_integers(unit: Unit, words: Words) -> Inputs:
    """Uniform codes."""
    rows = []
    for fmt in formats(unit):
        known = sorted(codes(fmt.element))
        rows.append([words.of(known) for _ in range(unit.k)])
    return integers(unit, *rows)


def random_acc(unit: Unit, words: Words) -> int:
    """An accumulator of any length, so that small ones are as frequent as large ones."""
    width = words.between(1, unit.port("acc").width)
    value = words.bits(width) - (words.bits(1) << (width - 1) if width > 1 else 0)
    top = (1 << (unit.port("acc").width - 1)) - 1
    return unit.port("acc").join([max(min(value, top), -top - 1)])


def random_parameters(unit: Unit, words: Words, rest: Inputs) -> Inputs:
    """Parameters near those at rest, zero points and clamps of any value."""
    found: Inputs = {}
    names = {port.name for port in unit.inputs}
    if unit.integer is not None and "bias" in names:
        low, high = unit.integer.last.range
        width = words.between(1, high.bit_length())
        found |= signed(unit, {"bias": max(min(words.bits(width) * (1 - 2 * words.bits(1)), high), low)})
    for name, fmt in zip(("a_zero_point", "w_zero_point"), formats(unit), strict=True):
        if name in names:
            found |= signed(unit, {name: words.between(fmt.element.qmin, fmt.element.qmax)})
    if unit.datapath is None or unit.datapath.requantizer is None:
        return found
    q, out = requantizer_of(unit), unit.out_format
    assert out is not None
    if "multiplier" in names:
        half = q.multiplier[1] // 2 + 1
        found |= signed(unit, {"multiplier": words.between(min(half, q.multiplier[1]), q.multiplier[1])})
    if "shift" in names:
        shift = unit.port("shift").split(rest["shift"])[0] + words.between(-3, 3)
        found |= signed(unit, {"shift": max(min(shift, q.shift[1]), q.shift[0])})
    if "scale" in names:
        pattern = rest["scale"] + words.bits(20) - (1 << 19)
        real = scale_value(q, pattern) if pattern >= 0 else 0
        found["scale"] = (
            pattern if not isinstance(real, str) and q.scale[0] <= real < q.scale[1] else scale_pattern(q, q.scale[0])
        )
    if "out_zero_point" in names:
        zeros = q.zero_points.get(unit.datapath.out_format or "", ())
        zero = words.of(zeros) if zeros else words.between(out.element.qmin, out.element.qmax)
        found |= signed(unit, {"out_zero_point": zero})
    if "clamp_low" in names and words.bits(1):
        low, high = sorted(words.between(out.element.qmin + 1, out.element.qmax) for _ in range(2))
        found |= signed(unit, {"clamp_low": low, "clamp_high": high})
    return found
