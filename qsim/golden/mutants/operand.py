"""Mistakes at the operands: order of bits and elements in a word, signs, lanes, block scales, special codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.mutant import Hook, Mutant, changed
from qsim.golden.mutants.registers import operand_interval
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.reference.block_dot import Row
from qsim.spec import Format
from qsim.spec.number import E8M0_BIAS, E8M0_NAN, Element, Scale

ROW = "qsim.golden.unit_reference:_row"
BYTE = 8
Change = Callable[[Row], Row]


def operand_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake at each operand."""
    if unit.kind not in ("dot", "matmul", "chain"):
        return
    for side, fmt in zip(("activation", "weight"), formats(unit), strict=True):
        for name, why, word in word_mistakes(fmt):
            yield Mutant(f"{side}: {name}", why, (Hook(ROW, _of_words(side, fmt, word)),))
        for name, why, row in (*_lanes(unit, fmt), *_elements(fmt), *_scales(unit, fmt)):
            proof = _never_written(unit, side, fmt, name)
            yield Mutant(f"{side}: {name}", why, (Hook(ROW, _of_row(side, row)),), proof=proof)


def _never_written(unit: Unit, side: str, fmt: Format, name: str) -> str:
    """Why no case can hold the codes that a mistake misreads."""
    if name.startswith("lowest code") and operand_interval(unit, side)[0] > fmt.element.qmin:
        return "the encoder never writes the lowest code"
    if "NaN is" in name and unit.block is not None and unit.block.into != "float":
        return "the unit refuses blocks and elements that are NaN"
    if unit.kind != "chain" or not fmt.block_scales:
        return ""
    if name.startswith("NaN is"):
        return "the encoder never writes a NaN element: it saturates, and a NaN makes the scale of its block NaN"
    largest = 255 - fmt.element.emax if fmt.family == "ocp" else 254
    if name.endswith("254 is NaN") and largest < 254:
        return f"the encoder writes no scale above {largest}: float32 ends at 2^128"
    level = name.removeprefix("scale").partition(":")[0]
    if level.isdigit() and fmt.block_scales[int(level)].kind == "float" and name.endswith(("top bit lost", "sign ignored")):
        return "the encoder writes no negative scale"
    return ""


def _of_words(side: str, fmt: Format, word: Callable[[int], int]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The operand's words, changed one by one, before they are taken apart."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def row(unit: Unit, inputs: dict[str, int], which: str, of: Format) -> Any:
            if which != side:
                return original(unit, inputs, which, of)
            port = unit.port(side)
            pattern = sum(word(v) << i * port.width for i, v in enumerate(port.split(inputs[side])))
            return original(unit, dict(inputs) | {side: pattern}, which, of)

        return row

    return make


def _of_row(side: str, change: Change) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def row(unit: Unit, inputs: dict[str, int], which: str, of: Format) -> Any:
            found = original(unit, inputs, which, of)
            return change(found) if which == side else found

        return row

    return make


def word_mistakes(fmt: Format) -> Iterator[tuple[str, str, Callable[[int], int]]]:
    """Words whose bits stand in another order."""
    bits = fmt.word_bits
    if bits > BYTE and bits % BYTE == 0:
        yield "bytes reversed", "the bytes of a word stand in the other order", lambda v: _groups(v, bits, BYTE, reverse=True)
    if bits >= BYTE and bits % BYTE == 0:
        yield "nibbles swapped", "the high nibble is read first", lambda v: _nibbles(v, bits)
    if bits > 1:
        yield "bits reversed", "the wires of a word are numbered from the other end", lambda v: _groups(v, bits, 1, reverse=True)
    if fmt.block_scales and fmt.layout.scales == "word":
        yield "rotated by one bit", "the fields of a word start one bit too high", lambda v: v >> 1 | (v & 1) << (bits - 1)
        front = sum(width * count for _, width, count in fmt.word_fields[:1])
        yield (
            "fields exchanged",
            "the scales are read from the other end of the word",
            lambda v: v >> (bits - front) | (v & ((1 << (bits - front)) - 1)) << front,
        )


def _groups(value: int, bits: int, width: int, *, reverse: bool) -> int:
    mask = (1 << width) - 1
    groups = [value >> i & mask for i in range(0, bits, width)]
    return sum(g << i * width for i, g in enumerate(reversed(groups) if reverse else groups))


def _nibbles(value: int, bits: int) -> int:
    low = int("0f" * (bits // BYTE), 16)
    return (value & low) << 4 | value >> 4 & low


def _codes(change: Callable[[list[int]], list[int]]) -> Change:
    return lambda row: replace(row, codes=change(row.codes))


def _lanes(unit: Unit, fmt: Format) -> Iterator[tuple[str, str, Change]]:
    """Elements in other lanes, lanes without an element."""
    k, block = unit.k, fmt.block_size
    if k < 2:
        return
    yield "elements reversed", "the elements of a word are numbered from the other end", _codes(lambda c: _reversed(c, block))
    yield "pairs of elements swapped", "even and odd lanes are exchanged", _codes(_swapped)
    yield "lanes moved by one", "every lane gets its neighbour's element", _codes(lambda c: [*c[1:], c[0]])
    yield "first lane dropped", "the loop starts at 1", _codes(lambda c: [0, *c[1:]])
    yield "last lane dropped", "the loop ends one too early", _codes(lambda c: [*c[:-1], 0])
    yield "first lane twice", "lane 1 is wired to element 0", _codes(lambda c: [c[0], c[0], *c[2:]])
    yield "last lane twice", "the last but one lane is wired to the last element", _codes(lambda c: [*c[:-2], c[-1], c[-1]])
    if block > 1 and k > block:
        yield (
            "blocks reversed",
            "the words come in the other order",
            lambda row: replace(
                row, codes=_blocks(row.codes, block), scales=tuple(_blocks(s, len(s) * block // k) for s in row.scales)
            ),
        )


def _reversed(codes: list[int], block: int) -> list[int]:
    size = block if block > 1 else len(codes)
    return [c for i in range(0, len(codes), size) for c in reversed(codes[i : i + size])]


def _blocks(codes: list[int], size: int) -> list[int]:
    groups = [codes[i : i + size] for i in range(0, len(codes), size)]
    return [c for group in reversed(groups) for c in group]


def _swapped(codes: list[int]) -> list[int]:
    return [codes[i ^ 1] if i ^ 1 < len(codes) else codes[i] for i in range(len(codes))]


# --- what a code means ---


def _reading(fmt: Format, value: Callable[[Element, int], Any]) -> Change:
    """Elements whose codes mean something else."""
    known = {f.name: getattr(fmt.element, f.name) for f in fields(fmt.element)}

    class Misread(Element):
        """The element as the designer understood it."""

        def integer(self, code: int) -> int:
            return int(value(fmt.element, code))

        def value(self, code: int) -> Any:
            found = value(fmt.element, code)
            return found * Fraction(2) ** self.lsb_exponent if isinstance(found, int) else found

    element = Misread(**known)
    return lambda row: replace(row, fmt=changed(row.fmt, element=element))


def _elements(fmt: Format) -> Iterator[tuple[str, str, Change]]:
    e = fmt.element
    sign, low = 1 << (e.bits - 1), (1 << (e.bits - 1)) - 1
    if e.kind != "binary":
        yield "lowest bit lost", "the last bit of an element is not connected", _codes(lambda c: [v & ~1 for v in c])
        yield (
            "bits of an element reversed",
            "they are numbered from the other end",
            _codes(lambda c: [_groups(v, e.bits, 1, reverse=True) for v in c]),
        )
    if e.kind == "binary":
        yield "inverted", "the code 0 is read as +1", _codes(lambda c: [1 - v for v in c])
        yield "code 0 is zero", "the sign is read as a number", _reading(fmt, lambda e, v: v)
    elif e.kind in ("int", "ternary"):
        yield "unsigned", "the sign bit has a positive weight", _reading(fmt, lambda e, v: v)
        yield "sign ignored", "the sign bit is not connected", _codes(lambda c: [v & low for v in c])
        yield (
            "one's complement",
            "the sign inverts without adding 1",
            _reading(fmt, lambda e, v: e.integer(v) + (v >> (e.bits - 1))),
        )
        yield "sign and magnitude", "two's complement is read as sign and magnitude", _reading(fmt, _sign_magnitude)
        yield (
            "lowest code is its neighbour",
            f"{e.qmin} is read as {e.qmin + 1}",
            _reading(fmt, lambda e, v: max(e.integer(v), e.qmin + 1)),
        )
    elif e.kind == "uint":
        yield "signed", "the top bit is read as a sign", _reading(fmt, lambda e, v: v - (v >> (e.bits - 1) << e.bits))
        yield "top bit lost", "the top bit is not connected", _codes(lambda c: [v & low for v in c])
    else:
        yield "sign ignored", "the sign bit is not connected", _codes(lambda c: [v & ~sign for v in c])
        yield "sign inverted", "the sign bit is read the other way", _codes(lambda c: [v ^ sign for v in c])
    if e.kind == "sign_magnitude":
        yield (
            "two's complement",
            "sign and magnitude is read as two's complement",
            _reading(fmt, lambda e, v: v - (v >> (e.bits - 1) << e.bits)),
        )
    if e.is_float:
        yield from _floats(fmt)


def _sign_magnitude(e: Element, code: int) -> int:
    magnitude = code & ((1 << (e.bits - 1)) - 1)
    return -magnitude if code >> (e.bits - 1) else magnitude


def _floats(fmt: Format) -> Iterator[tuple[str, str, Change]]:
    e, low = fmt.element, (1 << (fmt.element.bits - 1)) - 1

    def field(code: int) -> int:
        return (code & low) >> e.mantissa_bits

    def sign(code: int) -> int:
        return -1 if code >> (e.bits - 1) else 1

    def number(code: int, exponent: int, fraction: int) -> Fraction:
        return sign(code) * fraction * Fraction(2) ** (exponent - e.bias - e.mantissa_bits)

    hidden, mask = 1 << e.mantissa_bits, (1 << e.mantissa_bits) - 1
    if e.mantissa_bits:
        yield (
            "subnormals are zero",
            "an exponent field of 0 is read as zero",
            _reading(fmt, lambda e, v: e.value(v) if field(v) else Fraction(0)),
        )
        yield (
            "hidden bit of a subnormal",
            "the hidden bit does not depend on the exponent field",
            _reading(fmt, lambda e, v: e.value(v) if field(v) or not v & low else number(v, 1, (v & mask) | hidden)),
        )
        yield (
            "subnormal exponent one low",
            "a subnormal's exponent is its field",
            _reading(fmt, lambda e, v: e.value(v) if field(v) else number(v, 0, v & mask)),
        )
    yield (
        "exponent bias one off",
        "the bias is one too small",
        _reading(fmt, lambda e, v: found * 2 if isinstance(found := e.value(v), Fraction) else found),
    )
    if e.specials != "none":
        top = e.max_code + 1
        yield (
            "NaN is a number",
            "codes above the largest value are read as numbers",
            _reading(fmt, lambda e, v: number(v, field(v), (v & mask) | hidden) if v & low >= top else e.value(v)),
        )
        yield (
            "NaN is zero",
            "codes above the largest value are read as zero",
            _reading(fmt, lambda e, v: Fraction(0) if isinstance(e.value(v), str) else e.value(v)),
        )
    else:
        yield (
            "top exponent is NaN",
            "the all-ones exponent is read as NaN, as IEEE 754 has it",
            _reading(fmt, lambda e, v: "nan" if field(v) == (1 << e.exponent_bits) - 1 else e.value(v)),
        )


# --- block scales ---


def _levels(fmt: Format, kind: str) -> list[int]:
    return [i for i, s in enumerate(fmt.block_scales) if s.kind == kind]


def _level(level: int, change: Callable[[list[int]], list[int]]) -> Change:
    return lambda row: replace(row, scales=tuple(change(s) if i == level else s for i, s in enumerate(row.scales)))


def _scales(unit: Unit, fmt: Format) -> Iterator[tuple[str, str, Change]]:
    for level in _levels(fmt, "microexponent"):
        name = "microexponents"
        yield f"{name} ignored", "they are not connected", _level(level, lambda s: [0] * len(s))
        yield f"{name} inverted", "1 is read as 0", _level(level, lambda s: [1 - v for v in s])
        yield f"{name} of neighbours swapped", "even and odd pairs are exchanged", _level(level, _swapped)
        yield f"{name} of the next pair", "the index is one off", _level(level, lambda s: [*s[1:], s[0]])
        yield f"{name} reversed", "they are numbered from the other end", _level(level, lambda s: _part_reversed(s, unit, fmt))
    for level, s in enumerate(fmt.block_scales):
        if s.kind == "microexponent":
            continue
        top = (1 << s.bits) - 1
        yield f"scale{level} ignored", "it is 1", _level(level, lambda c, s=s: [_one(s)] * len(c))  # type: ignore[misc]
        yield f"scale{level} one up", "its bias is one off", _level(level, lambda c, top=top: [min(v + 1, top) for v in c])  # type: ignore[misc]
        yield (
            f"scale{level}: top bit lost",
            "its top bit is not connected",
            _level(level, lambda c, top=top: [v & top >> 1 for v in c]),  # type: ignore[misc]
        )
        if s.kind != "exponent":
            yield f"scale{level}: lowest bit lost", "its last bit is not connected", _level(level, lambda c: [v & ~1 for v in c])
        count = -(-unit.k // (s.group if isinstance(s.group, int) else unit.k))
        if count > 1:
            yield (
                f"scale{level} of the first block",
                "every block gets the first one's scale",
                _level(level, lambda c: [c[0]] * len(c)),
            )
            yield f"scale{level} of the next block", "the index is one off", _level(level, lambda c: [*c[1:], c[0]])
        yield from _special_scales(level, s)


def _part_reversed(codes: list[int], unit: Unit, fmt: Format) -> list[int]:
    blocks = -(-unit.k // fmt.block_size)
    return _reversed(codes, len(codes) // blocks)


def _one(s: Scale) -> int:
    if s.kind == "float":
        return s.float_type.bias << s.float_type.mantissa_bits
    return E8M0_BIAS if s.kind == "exponent" else 1


def _special_scales(level: int, s: Scale) -> Iterator[tuple[str, str, Change]]:
    def misread(value: Callable[[Scale, int], Any]) -> Change:
        class Misread(Scale):
            """The scale as the designer understood it."""

            def value(self, code: int) -> Any:
                return value(s, code)

        other = Misread(s.type, s.group)
        return lambda row: replace(
            row, fmt=changed(row.fmt, scales=tuple(other if i == level else x for i, x in enumerate(row.fmt.scales)))
        )

    if s.kind == "exponent":
        yield (
            f"scale{level}: NaN is 2^128",
            "the code 255 is not detected",
            misread(lambda s, c: Fraction(1 << 128) if c == E8M0_NAN else s.value(c)),
        )
        yield (
            f"scale{level}: 0 is zero",
            "a block of scale 2^-127 is read as zero",
            lambda row: replace(row, codes=[c if row.scales[level][i // int(s.group)] else 0 for i, c in enumerate(row.codes)]),
        )
        yield (
            f"scale{level}: 254 is NaN",
            "the code 254 is taken for special",
            misread(lambda s, c: "nan" if c == E8M0_NAN - 1 else s.value(c)),
        )
    elif s.kind == "float":
        e = s.float_type
        yield (
            f"scale{level}: subnormals are zero",
            "an exponent field of 0 is read as zero",
            misread(lambda s, c: Fraction(0) if not (c & ((1 << (e.bits - 1)) - 1)) >> e.mantissa_bits else s.value(c)),
        )
        yield (
            f"scale{level}: sign ignored",
            "the sign bit is not connected",
            misread(lambda s, c: s.value(c & ((1 << (e.bits - 1)) - 1))),
        )
    else:
        yield f"scale{level}: 0 is 1", "a scale of 0 is taken for 1", misread(lambda s, c: Fraction(max(c, 1)))
        yield (
            f"scale{level}: signed",
            "the top bit is read as a sign",
            misread(lambda s, c: Fraction(c - (c >> (s.bits - 1) << s.bits))),
        )
