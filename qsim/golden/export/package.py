"""A SystemVerilog package of a unit's formats and sizes, in what Icarus 11 and Verilator share.

Of every field, element or scale of a format: value = significand * 2^exponent, where `finite`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from qsim import __version__
from qsim.golden.export.manifest import identifier, word_fields, word_format
from qsim.golden.suite import Suite
from qsim.golden.unit import Unit
from qsim.spec import Format
from qsim.spec.number import E8M0_BIAS, E8M0_NAN, Element, Scale

EXPONENT = 12  # bits of an exponent


def package_name(suite: Suite) -> str:
    """Of the package and, with .sv, of its file."""
    return f"{word(suite.name)}_pkg"


def word(name: str) -> str:
    """A name as a Verilog or C identifier."""
    return re.sub(r"\W", "_", name if name[:1].isalpha() else f"n{name}")


def package(suite: Suite) -> str:
    """The text of the package."""
    unit, name = suite.unit, package_name(suite)
    lines = [
        "`timescale 1ns/1ps",
        f"// Written by qsim {__version__} for suite {suite.name}, unit {unit.kind}. Use: import {name}::*; inside a module.",
        f"// digest {suite.digest}",
        f"package {name};",
        f"  localparam integer CASES = {len(suite.cases)};",
        *(f"  localparam integer {key} = {value};" for key, value in (("K", unit.k), ("M", unit.m), ("N", unit.n))),
        "\n  // Ports: COUNT values of WIDTH bits, the first one lowest.",
    ]
    for port in unit.ports:
        upper = identifier(port.name).upper()
        lines += [
            f"  localparam integer {upper}_{key} = {value};"
            for key, value in (("WIDTH", port.width), ("COUNT", port.count), ("BITS", port.bits))
        ]
    for fmt in formats(unit):
        lines += ["", *_format(fmt)]
    return "\n".join([*lines, "endpackage\n"])


def formats(unit: Unit) -> list[Format]:
    """The formats of the unit's words, each once."""
    found = [word_format(unit, port) for port in unit.ports if port.kind == "word"]
    return list({fmt.name: fmt for fmt in found}.values())


def _format(fmt: Format) -> Iterator[str]:
    name, upper = word(fmt.name), word(fmt.name).upper()
    fields = word_fields(fmt)
    used = sum(field["width"] * field["count"] for field in fields)
    yield f"  // {fmt.name}: {fmt.title}" if fmt.title else f"  // {fmt.name}"
    yield f"  localparam integer {upper}_WORD_BITS = {fmt.word_bits};"
    yield f"  localparam integer {upper}_BLOCK = {fmt.block_size};"
    yield "  typedef struct packed {"
    if fmt.word_bits > used:
        yield f"    logic [{fmt.word_bits - used - 1}:0] padding;"
    for field in reversed(fields):
        width, count = field["width"], field["count"]
        yield f"    logic [{width * count - 1}:0] {field['name']};  // {count} of {width} bits, the first one lowest"
    yield f"  }} {name}_word_t;"
    for field in fields:
        width, count = field["width"], field["count"]
        own = f"{name}_{field['name']}"
        for key in ("lsb", "width", "count"):
            yield f"  localparam integer {own.upper()}_{key.upper()} = {field[key]};"
        yield f"  // Code i of a word, 0 to {count - 1}."
        yield f"  function automatic logic [{width - 1}:0] {own}(input logic [{fmt.word_bits - 1}:0] word, input integer i);"
        yield f"    {own} = word[{field['lsb']} + {width} * i +: {width}];"
        yield "  endfunction"
    yield from _number(f"{name}_element", fmt.element)
    for i, scale in enumerate(fmt.scales):
        yield from _number(f"{name}_scale{i}", scale.float_type) if scale.kind == "float" else _scale(f"{name}_scale{i}", scale)


def _number(name: str, e: Element) -> Iterator[str]:
    """Of a code of an element type."""
    if e.is_float:
        m, x = e.mantissa_bits, e.exponent_bits
        sign, field = f"code[{e.bits - 1}]", f"code[{e.bits - 2}:{m}]"
        normal = f"|{field}" if x > 1 else field
        fraction = f"{{{normal}, code[{m - 1}:0]}}" if m else f"{{{normal}}}"
        significand = f"{sign} ? -$signed({{1'b0, {fraction}}}) : $signed({{1'b0, {fraction}}})"
        exponent = f"{_wide(field, x)} - {_constant(e.bias + m)} + ({normal} ? {_constant(0)} : {_constant(1)})"
        finite = f"code[{e.bits - 2}:0] <= {e.bits - 1}'d{e.max_code}"
        yield from _functions(name, e.bits, m + 2, significand, exponent, finite)
        return
    top = e.bits - 1
    significands = {
        "int": (e.bits, "$signed(code)"),
        "ternary": (e.bits, "$signed(code)"),
        "uint": (e.bits + 1, "$signed({1'b0, code})"),
        "binary": (2, "code[0] ? 2'sd1 : -2'sd1"),
        "sign_magnitude": (
            e.bits,
            f"code[{top}] ? -$signed({{1'b0, code[{top - 1}:0]}}) : $signed({{1'b0, code[{top - 1}:0]}})",
        ),
    }
    width, significand = significands[e.kind]
    yield from _functions(name, e.bits, width, significand, _constant(e.lsb_exponent), "1'b1")


def _scale(name: str, scale: Scale) -> Iterator[str]:
    """Of a code of a scale that is no float."""
    if scale.kind == "exponent":
        yield from _functions(name, 8, 2, "2'sd1", f"{_wide('code', 8)} - {_constant(E8M0_BIAS)}", f"code != 8'd{E8M0_NAN}")
    elif scale.kind == "microexponent":
        yield from _functions(name, 1, 2, "2'sd1", f"code[0] ? {_constant(-1)} : {_constant(0)}", "1'b1")
    else:
        yield from _functions(name, scale.bits, scale.bits + 1, "$signed({1'b0, code})", _constant(0), "1'b1")


def _constant(value: int) -> str:
    """A signed number of EXPONENT bits."""
    return f"{'-' if value < 0 else ''}{EXPONENT}'sd{abs(value)}"


def _wide(field: str, bits: int) -> str:
    """An unsigned field in EXPONENT bits, signed: Verilator warns of operands of different widths."""
    return f"$signed({{{EXPONENT - bits}'b0, {field}}})"


def _functions(name: str, bits: int, width: int, significand: str, exponent: str, finite: str) -> Iterator[str]:
    code = f"(input logic [{bits - 1}:0] code)"
    yield f"  function automatic logic signed [{width - 1}:0] {name}_significand{code};"
    yield f"    {name}_significand = {significand};"
    yield "  endfunction"
    yield f"  function automatic logic signed [{EXPONENT - 1}:0] {name}_exponent{code};"
    yield f"    {name}_exponent = {exponent};"
    yield "  endfunction"
    yield f"  function automatic logic {name}_finite{code};"
    yield f"    {name}_finite = {finite};"
    yield "  endfunction"
