"""One value of a port as text: 0x and 0b literals with X and Z digits, decimal numbers, the digits of a simulator's vector."""

from __future__ import annotations

import re

from qsim.golden.unit import Port

UNKNOWN = frozenset("xXzZ?uUwW-")
PREFIXED = re.compile(r"0([xX])([0-9a-fA-FxXzZ?][0-9a-fA-FxXzZ?_]*)|0([bB])([01xXzZ?][01xXzZ?_]*)")
DECIMAL = re.compile(r"[+-]?[0-9]+")
REAL = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?|[+-]?inf|nan", re.I)
FLOATS = ("float32", "float64")


def parse_literal(text: str, port: Port) -> tuple[int, int]:
    """The pattern of a port, and its unknown bits. ValueError for what is no value of the port."""
    text = text.strip()
    if text and set(text) <= UNKNOWN - {"-"}:
        return 0, (1 << port.bits) - 1
    if found := PREFIXED.fullmatch(text):
        return _digits((found[2] or found[4]).replace("_", ""), 4 if found[1] else 1, port, text)
    if DECIMAL.fullmatch(text):
        return from_int(int(text), port), 0
    if port.kind in FLOATS and port.count == 1 and REAL.fullmatch(text):
        return from_real(text, port), 0
    real = ", or with a point or exponent a float" if port.kind in FLOATS else ""
    raise ValueError(f"{text!r} is no value of {port.name}; allowed: 0x or 0b and digits, with x and z, a decimal pattern{real}")


def parse_vector(text: str, port: Port) -> tuple[int, int]:
    """The same of a simulator's vector, the highest bit first: one of 0, 1, L, H, X, Z, U, W, - for every bit."""
    if len(text) == port.bits and set(text) <= UNKNOWN | set("01lLhH"):
        return _digits(text.translate(str.maketrans("lLhH", "0011")), 1, port, text)
    return parse_literal(text, port)


def from_int(value: int, port: Port) -> int:
    """The pattern of an integer: a pattern itself, or a negative value of a port of one signed value."""
    if value < 0 and port.kind == "signed" and port.count == 1 and value >= -(1 << (port.bits - 1)):
        return value & ((1 << port.bits) - 1)
    if not 0 <= value < 1 << port.bits:
        raise ValueError(f"{value} does not fit {port.name}; allowed: {port.bits} bits")
    return value


def from_real(text: str, port: Port) -> int:
    """The pattern of a decimal number with a point or an exponent: as numpy reads it."""
    import numpy as np

    kind, pattern = (np.float32, np.uint32) if port.kind == "float32" else (np.float64, np.uint64)
    return int(np.array(text, np.str_).astype(kind).view(pattern))


def _digits(digits: str, width: int, port: Port, text: str) -> tuple[int, int]:
    known = "".join("0" if d in UNKNOWN else d for d in digits)
    hidden = "".join(("f" if width == 4 else "1") if d in UNKNOWN else "0" for d in digits)
    base = 16 if width == 4 else 2
    pattern, unknown = int(known, base), int(hidden, base)
    if pattern >> port.bits or (len(digits) * width >= port.bits + width and unknown >> port.bits):
        raise ValueError(f"{text!r} does not fit {port.name}; allowed: {port.bits} bits")
    return pattern, unknown & ((1 << port.bits) - 1)
