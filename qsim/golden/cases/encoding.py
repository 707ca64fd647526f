"""float32 rows for encoders, codes for packers, and pairs of rows for a whole chain."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from qsim.golden.bits import SIGN, float32, next_down, next_up, value_of
from qsim.golden.block_cases import cases as block_cases
from qsim.golden.cases.draft import Draft, Inputs, Words, defaults
from qsim.golden.cases.encode_lanes import lane_rows
from qsim.golden.element_cases import encode_cases
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec import FLOAT32, Format

Row = tuple[tuple[str, ...], str, list[int]]


def rows_of(fmt: Format, k: int) -> Iterator[Row]:
    """Rows of k patterns: every directed row of the format in pieces of k, ties also one float32 to either side."""
    if not fmt.scales:
        bits = [case.bits for case in encode_cases(fmt) if not case.options]
        for i in range(0, len(bits), k):
            yield ("Ties", "NearTie"), f"midpoints and their neighbours, from {i}", padded(bits[i : i + k], k)
        return
    for case in block_cases(fmt):
        if case.options or len(case.shape) != 1 or case.granularity is not None or "Partial" in case.flags:
            continue
        for i in range(0, len(case.bits), k):
            row = padded(case.bits[i : i + k], k)
            yield case.flags, case.comment, row
            if "Ties" in case.flags:
                top = max(b & ~SIGN for b in row)
                for step, text in ((next_up, "above"), (next_down, "below")):
                    moved = [b if b & ~SIGN in (top, 0) else step(b) for b in row]
                    yield ("NearTie",), f"{case.comment}, one float32 {text}", moved


def padded(row: list[int], k: int) -> list[int]:
    """k patterns, zeros at the end."""
    return [*row, *[0] * (k - len(row))]


def random_words(unit: Unit, words: Words) -> Inputs:
    """Words of stochastic rounding (rule R2): any ones, or all of them 0, half, or the largest."""
    found: Inputs = {}
    for port in (p for p in unit.inputs if p.name.endswith("random")):
        turn, top = words.between(0, 3), (1 << port.width) - 1
        found[port.name] = words.bits(port.bits) if turn == 3 else port.join([(0, top - top // 2, top)[turn]] * port.count)
    return found


def encode_drafts(unit: Unit) -> Iterator[Draft]:
    """Inputs of an encoder."""
    assert unit.fmt is not None
    words = Words(0, 3)
    for flags, comment, row in rows_of(unit.fmt, unit.k):
        yield Draft(flags, comment, {"input": unit.port("input").join(row)} | random_words(unit, words))
    for flags, comment, row in lane_rows(unit.fmt):
        repeated = [row[i % len(row)] for i in range(unit.k)]
        yield Draft(flags, comment, {"input": unit.port("input").join(repeated)} | random_words(unit, words))


def pack_drafts(unit: Unit) -> Iterator[Draft]:
    """Codes and scales: counting, and each field's first and last bit alone in every place."""
    fmt = unit.fmt
    assert fmt is not None
    ports = unit.inputs
    yield Draft(("Zero",), "every bit 0", dict.fromkeys((p.name for p in ports), 0))
    counting = {p.name: p.join([(3 * i + 1) % (1 << p.width) for i in range(p.count)]) for p in ports}
    if fmt.element.kind != "ternary":
        yield Draft(("Extremes",), "every bit 1", {p.name: (1 << p.bits) - 1 for p in ports})
        yield Draft(("Distinct",), "codes that count", counting)
    for port in ports:
        for place in range(port.count):
            for bit in sorted({0, port.width - 1}):
                if fmt.element.kind == "ternary" and bit and port.name == "codes":
                    continue  # 2 is no code
                text = f"bit {bit} of {port.name}[{place}]"
                yield Draft(("WalkingOne",), text, {p.name: 1 << place * p.width + bit if p is port else 0 for p in ports})


def chain_drafts(unit: Unit) -> Iterator[Draft]:
    """A directed row on one side, a plain one on the other, by turns; the output's scale so that the sum fills its range."""
    sides = formats(unit)
    lists = [list(rows_of(fmt, unit.k)) for fmt in sides]
    words = Words(0, 3)
    plain = [float32(Fraction((-1) ** (i // 2) * (5 * (i % 9) + 3), 32)) for i in range(unit.k)]
    for number in range(max(map(len, lists))):
        for side in (0, 1):
            if number < len(lists[side]) and not (number % 2 == side and len(lists[1 - side]) > number):
                flags, comment, row = lists[side][number]
                name = ("activation", "weight")[side]
                rows = (row, plain) if side == 0 else (plain, row)
                inputs = chain_inputs(unit, *rows, slack=(1, 2, 8)[number % 3]) | random_words(unit, words)
                yield Draft(flags, f"{name}: {comment}", inputs)


def chain_inputs(unit: Unit, a: list[int], w: list[int], slack: int = 1) -> Inputs:
    """Rows, parameters at rest, and an out_scale that brings the sum to 1/slack of the output's range, or beyond it."""
    found = defaults(unit) | {
        "activation_input": unit.port("activation_input").join(a),
        "weight_input": unit.port("weight_input").join(w),
    }
    if "out_scale" in found:
        out = unit.out_format
        assert out is not None
        total = sum((_finite(x) * _finite(y) for x, y in zip(a, w, strict=True)), Fraction(0))
        scale = abs(total) * slack / out.element.qmax
        found["out_scale"] = float32(scale) if Fraction(1, 1 << 60) < scale < 1 << 60 else float32(1)
    return found


def _finite(bits: int) -> Fraction:
    return value_of(bits) if isinstance(FLOAT32.value(bits), Fraction) else Fraction(0)


def random_row(words: Words, k: int, spread: int) -> list[int]:
    """k floats of either sign with exponents in `spread` binades below 2."""
    return [words.bits(1) << 31 | (127 - words.between(0, spread)) << 23 | words.bits(23) for _ in range(k)]


def random_codes(unit: Unit, words: Words) -> Inputs:
    """Any codes and scales of a packer."""
    assert unit.fmt is not None
    if unit.fmt.element.kind == "ternary":
        return {p.name: p.join([words.of((0, 1, 3)) for _ in range(p.count)]) for p in unit.inputs}
    return {p.name: words.bits(p.bits) for p in unit.inputs}
