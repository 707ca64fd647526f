"""Codes -> exact values, or float32 and float64 bits (rule S10: the exact product, rounded once)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from qsim.reference.groups import scale_indices
from qsim.reference.numbers import FLOAT64, Real, multiply, power, round_to_float, sign_of
from qsim.reference.tensor import Encoded
from qsim.spec.format import Format
from qsim.spec.geometry import Geometry
from qsim.spec.number import FLOAT32, Element

OUTPUTS = {"float32": FLOAT32, "float64": FLOAT64}


def values(
    encoded: Encoded,
    shape: Sequence[int],
    fmt: Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
) -> list[Real]:
    """Exact values in C order: Fractions, or "nan", "inf", "-inf"."""
    geometry = Geometry.of(fmt, tuple(shape), axis=axis, granularity=granularity, channel_axis=channel_axis)
    return [value for value, _ in _signed_values(encoded, geometry)]


def decode(
    encoded: Encoded,
    shape: Sequence[int],
    fmt: Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
    to: str = "float32",
) -> list[int]:
    """Bit patterns of the values, each rounded once. A zero and a NaN keep the sign of their code."""
    if to not in OUTPUTS:
        raise ValueError(f"to={to!r}; allowed: {', '.join(OUTPUTS)}")
    geometry = Geometry.of(fmt, tuple(shape), axis=axis, granularity=granularity, channel_axis=channel_axis)
    return [round_to_float(value, OUTPUTS[to], sign=sign) for value, sign in _signed_values(encoded, geometry)]


def _signed_values(encoded: Encoded, geometry: Geometry) -> list[tuple[Real, int]]:
    """Each value with its sign bit, which a zero or a NaN does not show."""
    fmt = geometry.fmt
    _check(encoded, geometry)
    scales = [[s.value(code) for code in codes] for s, codes in zip(fmt.scales, encoded.scales, strict=True)]
    indices = [scale_indices(geometry, level) for level in range(len(fmt.scales))]
    result = []
    for i, code in enumerate(encoded.codes):
        zero = encoded.zero_point[indices[0][i]] if encoded.zero_point is not None else 0
        value, sign = _element(code, fmt.element, zero)
        if value != "nan":
            for level, index in zip(scales, indices, strict=True):
                scale = level[index[i]]
                value = multiply(value, scale)
                sign = 0 if value == "nan" else sign ^ sign_of(scale)
        result.append((value, sign))
    return result


def _element(code: int, element: Element, zero: int) -> tuple[Real, int]:
    """Value of a code, less its zero point, and its sign bit."""
    if element.kind in ("float", "sign_magnitude"):
        return element.value(code), code >> (element.bits - 1)
    element.value(code)  # refuses a code out of range
    value: Fraction = (element.integer(code) - zero) * power(element.lsb_exponent)
    return value, sign_of(value)


def _check(encoded: Encoded, geometry: Geometry) -> None:
    """Refuse parts of the wrong length."""
    wanted = [geometry.size, *map(prod, geometry.scale_shapes), geometry.zero_points]
    given = [len(encoded.codes), *map(len, encoded.scales), len(encoded.zero_point or ())]
    if given != wanted:
        raise ValueError(f"{given} codes, scales of each level and zero points; shape {geometry.shape} needs {wanted}")
