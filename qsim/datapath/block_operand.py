"""A QTensor as the integers of its block dot products: elements, shared exponents, significands of scales (rule A2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.lower import element_table, float_values
from qsim.codec.qtensor import QTensor
from qsim.spec.format import Format
from qsim.spec.number import E8M0_BIAS, E8M0_NAN, Element, Scale

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

PLAIN_KINDS = ("int", "uint", "sign_magnitude", "float")
WIDEST = 1 << 32  # of an element's integer
#: Classes of elements, as kernels/block_steps.py has them.
PLUS_INF, MINUS_INF, NAN, ZERO, NEGATIVE = 1, 2, 4, 8, 16
SPECIAL = PLUS_INF | MINUS_INF | NAN


@dataclass(frozen=True)
class Rows:
    """One operand, K along its rows: element [r, k] is integers * 2^(exponents - fraction), times its block's scale.

    exponents: of elements, empty where `integers` count from one last bit. classes: PLUS_INF... of every element, empty where all
    are finite. scale, shared: (R, blocks), the block's scale is scale * 2^(shared - scale_fraction). outer: (R,) channel or
    tensor scales. largest: bound of the integers. scale_largest: bound of `scale`. scale_bits: width of UINT scales, else 0.
    """

    integers: NDArray[Any]
    exponents: Ints
    classes: NDArray[np.uint8]
    fraction: int
    largest: int
    scale: Ints
    shared: Ints
    scale_fraction: int
    scale_largest: int
    scale_bits: int
    outer: Floats

    @property
    def has_significands(self) -> bool:
        """Whether block scales are more than exponents."""
        return bool(self.scale_bits or self.scale_fraction)


def check_format(fmt: Format, side: str) -> None:
    """Refuse elements and block scales that are no integers times powers of two."""
    if fmt.element.kind not in PLAIN_KINDS:
        raise ValueError(f"{side} is {fmt.name}; allowed for block products: {', '.join(PLAIN_KINDS)} elements (rule A2)")
    for s in fmt.block_scales:
        if s.kind == "float" and s.type != "E4M3":
            raise ValueError(
                f"{side}: {fmt.name} has {s.type} scales per {s.group}; allowed for block products: E8M0, E1M0, UINTn, E4M3"
            )


def rows_of(q: QTensor, k_axis: int, block: int, side: str, *, products: bool) -> Rows:
    """The operand for sums of elements, or for products of single elements, of blocks of `block` elements."""
    fmt = q.geometry.fmt
    codes = np.ascontiguousarray(np.moveaxis(q.codes, k_axis, -1))
    table, exponents, classes, fraction, largest = element_integers(fmt.element, products)
    integers, R = np.take(table, codes), codes.shape[0]
    exps = np.take(exponents, codes) if products else np.zeros((0, 0), np.int64)
    if q.zero_point_moved is not None:
        zero = np.broadcast_to(np.reshape(q.zero_point_moved, (-1, 1)), (R, 1)).astype(np.int64)
        integers, largest = integers.astype(np.int64) - zero, 2 * largest + 1
    flags = np.take(classes, codes) if classes.any() else np.zeros((0, 0), np.uint8)
    scale, shared = np.ones((R, -(-codes.shape[1] // block)), np.int64), np.zeros((R, -(-codes.shape[1] // block)), np.int64)
    scale_fraction, scale_largest, scale_bits = 0, 1, 0
    for s, stored in zip(fmt.scales, q.scales_moved, strict=True):
        if s.kind == "microexponent":
            assert isinstance(s.group, int)
            micro = np.repeat(stored, s.group, axis=-1)[:, : codes.shape[1]].astype(np.int64)
            if products:
                exps = exps - micro
            else:
                integers, fraction, largest = integers << (1 - micro), fraction + 1, 2 * largest
        elif isinstance(s.group, int):
            scale, shared, nan = block_scales(stored, s)
            scale_fraction = s.float_type.mantissa_bits if s.kind == "float" else 0
            scale_bits = s.bits if s.kind == "uint" else 0
            scale_largest = (1 << s.bits) - 1 if s.kind == "uint" else 2 << scale_fraction if s.kind == "float" else 1
            if nan.any():
                flags = (
                    flags if flags.size else np.where(integers == 0, ZERO, np.where(integers < 0, NEGATIVE, 0)).astype(np.uint8)
                )
                flags = np.where(np.repeat(nan, s.group, axis=-1)[:, : codes.shape[1]], NAN, flags).astype(np.uint8)
    if flags.size and not (flags & SPECIAL).any():
        flags = np.zeros((0, 0), np.uint8)
    return Rows(
        integers, exps, flags, fraction, largest, scale, shared, scale_fraction, scale_largest, scale_bits, outer(q, R, side)
    )


@cache
def element_integers(e: Element, products: bool) -> tuple[Ints, Ints, NDArray[np.uint8], int, int]:
    """(integer, exponent, class) of every code of an element, fraction bits, and the largest magnitude.

    For sums the integers count from the element's last bit; for products they are significands, each with its own exponent.
    """
    codes = np.arange(1 << e.bits, dtype=np.int64)
    values = element_table(e, "float64")
    finite = np.isfinite(values)
    classes = np.where(values == 0, ZERO, 0) | np.where(np.signbit(values), NEGATIVE, 0)
    classes = np.where(np.isnan(values), NAN, np.where(np.isinf(values), np.where(values > 0, 1, 2) | classes, classes))
    known = np.where(finite, values, 0.0)
    if not e.is_float:
        fraction, exponents = -e.lsb_exponent, np.zeros(codes.size, np.int64)
    elif not products:
        fraction, exponents = e.mantissa_bits - e.emin, np.zeros(codes.size, np.int64)
    else:
        field = (codes & ((1 << (e.bits - 1)) - 1)) >> e.mantissa_bits
        fraction, exponents = e.mantissa_bits, np.where(finite, np.maximum(field, 1) - e.bias, 0)
    largest = int(e.largest * 2**fraction) if not (e.is_float and products) else 2 << e.mantissa_bits
    if largest > WIDEST:
        raise ValueError(f"{e.name} elements span {largest.bit_length()} bits; allowed in a block sum: 32, or terms = 'products'")
    largest = max(largest, -e.qmin if not e.is_float else 0)
    integers = np.ldexp(known, fraction - exponents).astype(np.int64)
    return integers, exponents.astype(np.int64), classes.astype(np.uint8), fraction, largest


def block_scales(codes: NDArray[Any], s: Scale) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """(significand, exponent, is NaN) of scale codes; the significand of E4M3 has 3 fraction bits."""
    c = codes.astype(np.int64)
    if s.kind == "exponent":
        nan = c == E8M0_NAN
        return np.ones_like(c), np.where(nan, 0, c - E8M0_BIAS), nan
    if s.kind == "uint":
        return c, np.zeros_like(c), np.zeros(c.shape, np.bool_)
    integers, exponents, classes, _, _ = element_integers(s.float_type, True)
    return integers[c], exponents[c], classes[c] == NAN


def outer(q: QTensor, rows: int, side: str) -> Floats:
    """The product of channel and tensor scales of every row, exact in float32 (a format has one such level)."""
    values = np.ones(rows)
    for s, codes in zip(q.geometry.fmt.scales, q.scales_moved, strict=True):
        if isinstance(s.group, int):
            continue
        values = np.broadcast_to(float_values(codes, s.float_type).reshape(-1), (rows,))
        if not np.isfinite(values).all() or np.signbit(values).any():
            raise ValueError(f"{side}: a {s.group} scale of {q.format.name} is negative or no number; allowed: finite, 0 or more")
    return np.ascontiguousarray(values, np.float32)
