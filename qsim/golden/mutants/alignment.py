"""Operands of a float unit whose second term ends just below the last bit that the alignment to the first one keeps."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

from qsim.golden.bits import float32
from qsim.golden.cases.draft import Inputs, counts, defaults, operand
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.golden.unit_reference import _row
from qsim.reference.block_dot import block_scale, element
from qsim.reference.numbers import multiply
from qsim.spec import Format
from qsim.spec.number import Scale

PAYLOAD = 3  # the second term's integer: its two lowest bits are set
ABOVE, BELOW = 16, 8  # distances of exponents from the fraction's width that are tried


def alignment_edges(unit: Unit) -> Iterator[Inputs]:
    """Two terms at every distance of exponents about the fraction's width, of either sign, with and without a c that cancels one.

    Where c cancels the first term, the result is what the alignment has left of the second one. Only for sums of scaled blocks.
    """
    acc = unit.block
    if acc is None or acc.unit is None or acc.unit.fraction is None or unit.kind != "dot":
        return
    block = max(fmt.block_size for fmt in formats(unit))
    if unit.k < 2 * block or any(_level(fmt) is None for fmt in formats(unit)):
        return
    rest, cancels = defaults(unit), acc.unit.c == "aligned" and "bias" in unit.parameters
    for distance, sign, large, odd in product(
        range(acc.unit.fraction - ABOVE, acc.unit.fraction + BELOW), (1, -1), (0, 1), (0, 1)
    ):
        inputs = dict(rest)
        halves = distance // 2, distance - distance // 2
        for side, fmt, far in zip(("activation", "weight"), formats(unit), halves, strict=True):
            found = _operand(unit, side, fmt, far, sign if side == "weight" else 1, large, odd)
            if found is None:
                break
            inputs |= found
        else:
            yield inputs
            if cancels:
                yield inputs | {"bias": float32(-_first_block(unit, inputs))}


def _operand(unit: Unit, side: str, fmt: Format, far: int, sign: int, large: int, odd: int) -> Inputs | None:
    """First block: one product, of the smallest elements or the largest; second block, 2^-far of it: three smallest ones."""
    e, level = fmt.element, _level(fmt)
    assert level is not None
    block, step = fmt.block_size, 2 if any(s.kind == "microexponent" for s in fmt.block_scales) else 1
    top = e.max_code if e.is_float else e.qmax
    one = 1 | odd << e.mantissa_bits if e.is_float else 1
    codes = [0] * unit.k
    codes[step * 2] = top if large else one
    other = 0 if side == "activation" else step
    codes[other] = codes[block + other] = top
    minus = 1 << (e.bits - 1) | one if e.is_float or e.kind == "sign_magnitude" else -one % (1 << e.bits)
    for i in range(2, 2 + PAYLOAD):
        codes[block + step * i] = one if sign > 0 else minus
    scales: list[list[int]] = []
    for i, (s, n) in enumerate(zip(fmt.scales, counts(fmt, unit.k), strict=True)):
        if s.kind == "microexponent":
            groups = {at // step for at in range(0, 2 * block) if codes[at] not in (0, top)}
            scales.append([int(g in groups) for g in range(n)])
        elif i == level:
            pair = _scale(s, far - far // 2), _scale(s, -(far // 2))
            if None in pair:
                return None
            scales.append([p for p in pair if p is not None] + [_scale(s, 0) or 0] * (n - 2))
        else:
            scales.append([])
    return operand(unit, side, codes, scales)


def _first_block(unit: Unit, inputs: Inputs) -> Fraction:
    """The exact sum of the first block."""
    rows = [_row(unit, dict(inputs), side, fmt) for side, fmt in zip(("activation", "weight"), formats(unit), strict=True)]
    scales = [block_scale(row, 0)[2] for row in rows]
    total = Fraction(0)
    for k in range(max(row.fmt.block_size for row in rows)):
        found = multiply(multiply(element(rows[0], k), element(rows[1], k)), multiply(*scales))
        assert isinstance(found, Fraction)
        total += found
    return total


def _scale(s: Scale, exponent: int) -> int | None:
    """The code of 2^exponent, of a float of a bit more; None where there is none."""
    if s.kind == "exponent":
        return 127 + exponent if 0 <= 127 + exponent <= 254 else None
    e = s.float_type
    return (exponent + e.bias) << e.mantissa_bits | 1 if e.emin <= exponent < e.bias + 2 else None


def _level(fmt: Format) -> int | None:
    """The block scale that has an exponent."""
    return next((i for i, s in enumerate(fmt.scales) if s.kind in ("exponent", "float") and isinstance(s.group, int)), None)
