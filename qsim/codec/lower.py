"""Format and options -> the integers that kernels take."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.spec import Element, Format, Options, Scale

Array = NDArray[Any]

#: Roundings under which a finite overflow of a plain float stays at the largest finite value: (positive, negative), rule R3.
STAYS = {"toward_zero": (1, 1), "to_odd": (1, 1), "floor": (1, 0), "ceil": (0, 1)}


@cache
def element_params(fmt: Format, options: Options) -> Any:
    """The format's element as kernels.element.ElementParams."""
    from qsim.kernels.element import FLOAT, SIGN_MAGNITUDE, TWOS_COMPLEMENT, ElementParams

    e = fmt.element
    if e.is_float:
        saturates = fmt.family != "float" or options.overflow == "saturate" or e.specials == "none"
        infinity = e.inf_code if e.inf_code is not None else e.nan_code
        overflow = e.max_code if saturates or infinity is None else infinity
        nan = -1 if e.nan_code is None else e.nan_code
        stays = STAYS.get(options.rounding, (0, 0))
        return ElementParams(FLOAT, e.bits, e.mantissa_bits, e.emin, e.max_code, overflow, overflow, nan, *stays, 0, 0, 1)
    kind = SIGN_MAGNITUDE if e.kind == "sign_magnitude" else TWOS_COMPLEMENT
    qmin, qmax = integer_range(fmt, options)
    return ElementParams(kind, e.bits, 0, 0, 0, 0, 0, -1, 0, 0, qmin, qmax, int(options.signed_zero == "keep"))


def integer_range(fmt: Format, options: Options) -> tuple[int, int]:
    """Smallest and largest integer that the encoder writes."""
    e = fmt.element
    symmetric = e.kind == "int" and fmt.family != "affine" and options.narrow_range
    return (-e.qmax if symmetric else e.qmin), e.qmax


def normalized24(value: Fraction) -> tuple[int, int]:
    """(significand in [2^23, 2^24), exponent) of a positive value of 24 bits or fewer."""
    e = value.numerator.bit_length() - value.denominator.bit_length() - 24
    while value / Fraction(2) ** e < 1 << 23:
        e -= 1
    while value / Fraction(2) ** e >= 1 << 24:
        e += 1
    significand = value / Fraction(2) ** e
    assert significand.denominator == 1
    return significand.numerator, e


def element_grid(e: Element) -> tuple[int, int, int]:
    """(mantissa bits, largest code, emin) of a float element; (-1, qmax, lsb exponent) of an integer one."""
    return (e.mantissa_bits, e.max_code, e.emin) if e.is_float else (-1, e.qmax, e.lsb_exponent)


def even_half_ulp(e: Element) -> int:
    """2^(22-k) of scale rule `even`: k mantissa bits, or bits - 2 of an integer element (rule S3)."""
    return 1 << (22 - (e.mantissa_bits if e.is_float else e.bits - 2))


@cache
def element_table(e: Element, dtype: str) -> Array:
    """Value of every code of an element, float32 or float64 (all exact)."""
    codes = np.arange(1 << e.bits, dtype=np.int64)
    values: NDArray[np.floating[Any]]
    if e.is_float:
        values = float_values(codes, e)
    elif e.kind == "uint":
        values = codes.astype(np.float64)
    elif e.kind == "binary":
        values = 2.0 * codes - 1.0
    elif e.kind == "sign_magnitude":
        magnitude = (codes & e.qmax).astype(np.float64)
        values = np.where(codes >> (e.bits - 1), -magnitude, magnitude)
    else:
        values = ((codes ^ (1 << (e.bits - 1))) - (1 << (e.bits - 1))).astype(np.float64)
    return np.ldexp(values, 0 if e.is_float else e.lsb_exponent).astype(dtype)


def float_values(codes: Array, e: Element) -> NDArray[np.float64]:
    """Float64 values of codes of a float element, exact."""
    codes = np.asarray(codes, dtype=np.int64)
    magnitude = codes & ((1 << (e.bits - 1)) - 1)
    field, fraction = magnitude >> e.mantissa_bits, magnitude & ((1 << e.mantissa_bits) - 1)
    significand = np.where(field > 0, fraction + (1 << e.mantissa_bits), fraction)
    values = np.ldexp(significand.astype(np.float64), np.maximum(field, 1) - e.bias - e.mantissa_bits)
    if e.specials != "none":
        values = np.where(magnitude > e.max_code, np.inf if e.specials == "ieee" else np.nan, values)
    if e.specials == "ieee":
        values = np.where(magnitude > e.max_code + 1, np.nan, values)
    signed: NDArray[np.float64] = np.copysign(values, np.where(codes >> (e.bits - 1), -1.0, 1.0))
    return signed


def scale_values(codes: Array, scale: Scale) -> NDArray[np.float64]:
    """Float64 values of scale codes, exact."""
    if scale.kind == "exponent":
        values = np.ldexp(1.0, codes.astype(np.int64) - 127)
        return np.where(codes == 255, np.nan, values)
    if scale.kind == "microexponent":
        return np.ldexp(1.0, -codes.astype(np.int64))
    return float_values(codes, scale.float_type) if scale.kind == "float" else codes.astype(np.float64)


@cache
def scale_table(scale: Scale) -> NDArray[np.float32]:
    """Float32 value of every code of a scale of 16 bits or fewer."""
    return scale_values(np.arange(1 << scale.bits), scale).astype(np.float32)


@cache
def decode_params(e: Element) -> Any:
    """An element as kernels.element.ElementParams, for decoding: the Inf code is the element's own, or none."""
    from qsim.kernels.element import FLOAT, TWOS_COMPLEMENT, ElementParams

    kind = FLOAT if e.is_float else TWOS_COMPLEMENT
    inf = -1 if e.inf_code is None or not e.is_float else e.inf_code
    ends = (0, 0, 0) if e.is_float else (e.qmin, e.qmax, 1)
    grid = (e.mantissa_bits, e.emin, e.max_code) if e.is_float else (0, 0, 0)
    return ElementParams(kind, e.bits, *grid, 0, inf, -1, 0, 0, *ends)


def groups(c: slice, k: int) -> slice:
    """Columns of a scale array that belong to columns c of the elements."""
    return slice(c.start // k, -(-c.stop // k))
