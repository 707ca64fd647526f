"""A C header: sizes, the fields of words, and an array of structs, a case a line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qsim import __version__
from qsim.golden.export.manifest import identifier, word_fields, word_format
from qsim.golden.export.package import word
from qsim.golden.suite import Suite
from qsim.golden.unit import Port
from qsim.golden.vectors import GoldenError

HEADER = "vectors.h"
NUMBER = re.compile(r"0x[0-9a-f]+")


def limbs(port: Port) -> int:
    """Numbers of a port: one of 32 or 64 bits, or as many 64-bit limbs as it needs, the lowest first."""
    return -(-port.bits // 64)


def header(suite: Suite) -> str:
    """The text of the header."""
    name = word(suite.name)
    upper = name.upper()
    ports = suite.unit.ports
    lines = [
        f"/* Written by qsim {__version__}: suite {suite.name}, unit {suite.unit.kind}, {len(suite.cases)} cases.",
        f"   digest {suite.digest} */",
        f"#ifndef QSIM_{upper}_H",
        f"#define QSIM_{upper}_H",
        "#include <stdint.h>",
        "",
        *(f"#define {upper}_{key} {value}" for key, value in _sizes(suite)),
        "",
        "/* One case. A port has COUNT values of WIDTH bits, the first one lowest; over 64 bits the lowest limb is first. */",
        f"struct {name}_case {{",
        "  uint32_t id;",
        *(f"  {_member(port)};  /* {port.role}: {port.count} of {port.width} bits, {port.kind} */" for port in ports),
        "};",
        "",
        *_array(suite, "cases", {case.id: case.values for case in suite.cases}),
    ]
    masked = {case.id: {p.name: case.masks.get(p.name, 0) for p in ports} for case in suite.cases if case.masks}
    if masked:
        lines += ["", "/* Bits that are not compared, of the cases that have any. */"]
        lines += [f"#define {upper}_MASKS {len(masked)}", *_array(suite, "masks", masked)]
    return "\n".join([*lines, "#endif\n"])


def _sizes(suite: Suite) -> Iterator[tuple[str, int]]:
    unit = suite.unit
    yield from (("CASES", len(suite.cases)), ("K", unit.k), ("M", unit.m), ("N", unit.n))
    for port in unit.ports:
        upper = identifier(port.name).upper()
        yield from ((f"{upper}_WIDTH", port.width), (f"{upper}_COUNT", port.count), (f"{upper}_BITS", port.bits))
        for field in word_fields(word_format(unit, port)) if port.kind == "word" else ():
            for key in ("lsb", "width", "count"):
                yield f"{upper}_WORD_{field['name'].upper()}_{key.upper()}", field[key]


def _member(port: Port) -> str:
    kind = "uint32_t" if port.bits <= 32 else "uint64_t"
    return f"{kind} {identifier(port.name)}" + (f"[{limbs(port)}]" if port.bits > 64 else "")


def _array(suite: Suite, what: str, rows: dict[int, dict[str, int]]) -> Iterator[str]:
    name = word(suite.name)
    yield f"static const struct {name}_case {name}_{what}[{len(rows)}] = {{"
    for number, values in rows.items():
        numbers = ", ".join(_number(values[port.name], port) for port in suite.unit.ports)
        yield f"  {{{number}, {numbers}}},  /* {', '.join(suite.by_id[number].flags)} */"
    yield "};"


def _number(value: int, port: Port) -> str:
    if port.bits <= 32:
        return f"0x{value:x}u"
    found = ", ".join(f"0x{value >> 64 * i & (1 << 64) - 1:x}ull" for i in range(limbs(port)))
    return f"{{{found}}}" if port.bits > 64 else found


def read_header(text: str, ports: list[Port], ids: list[int], where: str) -> tuple[list[list[int]], dict[int, dict[str, int]]]:
    """Columns of the cases, and the masks by case and port; GoldenError names the line."""
    rows = {"cases": {}, "masks": {}}  # type: dict[str, dict[int, list[int]]]
    inside = None
    for i, line in enumerate(text.splitlines(), 1):
        if opened := re.match(r"static const struct \w+ \w+_(cases|masks)\[", line):
            inside = opened[1]
        elif line == "};":
            inside = None
        elif inside:
            number = re.match(r"  \{(\d+), ", line)
            found = [int(n, 16) for n in NUMBER.findall(line.split("/*")[0])]
            if not number or len(found) != sum(map(limbs, ports)):
                raise GoldenError(f"{where}: line {i}: {line[:60]!r}; allowed: an id and {sum(map(limbs, ports))} numbers")
            rows[inside][int(number[1])] = found
    if list(rows["cases"]) != ids:
        raise GoldenError(f"{where}: {len(rows['cases'])} cases; the manifest states {len(ids)}")
    columns = [[_join(rows["cases"][i], ports, p) for i in ids] for p in range(len(ports))]
    masks = {
        i: {port.name: mask for p, port in enumerate(ports) if (mask := _join(found, ports, p))}
        for i, found in rows["masks"].items()
    }
    return columns, masks


def _join(numbers: list[int], ports: list[Port], place: int) -> int:
    start = sum(map(limbs, ports[:place]))
    return sum(n << 64 * i for i, n in enumerate(numbers[start : start + limbs(ports[place])]))
