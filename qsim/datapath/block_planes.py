"""Both operands of block sums as the kernels read them: blocks of integers, w with its outputs last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsim.datapath.block_operand import NEGATIVE, SPECIAL, ZERO, Rows

if TYPE_CHECKING:
    from qsim.kernels.block_dot import Operands

Array = NDArray[Any]
Classes = NDArray[np.uint8]
Special = tuple[Classes, Classes, Classes, Classes]
ONE_WORD = 60  # bits of a block sum that one word holds, with room for its sign and one more


class Planes(NamedTuple):
    """x (M, T, B) and w (T, B, N), B filled with zeros to a multiple of 4; low: as in kernels/block_dot.py; scales and exponents.

    classes: of x and of w, empty where all elements are finite. largest: bound of a block sum; like: its type.
    """

    x: Array
    low: Array
    w: Array
    sx: Array
    sw: Array
    ex: Array
    ew: Array
    classes: tuple[Classes, Classes]
    largest: int
    like: Array

    @property
    def wide(self) -> bool:
        """Whether a block sum stands in two words."""
        return self.largest >= 1 << ONE_WORD

    def operands(self, rows: slice) -> Operands:
        """What the kernels take for some rows."""
        from qsim.kernels.block_dot import Operands

        low = self.low[rows] if self.wide else self.low
        return Operands(self.x[rows], low, self.w, self.sx[rows], self.sw, self.ex[rows], self.ew)

    def exponents(self) -> NDArray[np.int64]:
        """The exponent of every term, (M, N, T)."""
        return self.ex[:, None, :].astype(np.int64) + self.ew.T[None].astype(np.int64)

    def special(self, rows: slice) -> Special:
        """Flags of blocks that hold no finite number and the classes of their elements, all empty where there is none."""
        cx, cw = self.classes
        if not cx.size:
            return np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8), cx, cw
        flags = (cx & SPECIAL).max(axis=2, initial=0), (cw & SPECIAL).max(axis=1, initial=0)
        return np.ascontiguousarray(flags[0][rows]), np.ascontiguousarray(flags[1]), cx[rows], cw


def sum_planes(a: Rows, w: Rows, block: int, length: int) -> Planes:
    """Sums of `length` elements of blocks of `block`."""
    largest = length * a.largest * w.largest
    widest = max(a.largest, w.largest)
    wide = largest >= 1 << ONE_WORD
    small = widest < 1 << 15 and largest < 1 << 31
    dtype = np.int16 if small else np.int32 if widest < 1 << 31 and not wide else np.int64
    x, low = _blocks(a.integers, length), np.zeros((0, 0, 0), dtype)
    if wide:
        x, low = x >> 16, np.ascontiguousarray(x & 0xFFFF, dtype)
    classes = np.zeros((0, 0, 0), np.uint8), np.zeros((0, 0, 0), np.uint8)
    if a.classes.size or w.classes.size:
        cx, cw = (_blocks(plain_classes(rows), length, ZERO) for rows in (a, w))
        classes = np.ascontiguousarray(cx), np.ascontiguousarray(cw.transpose(1, 2, 0))
    (sx, ex), (sw, ew) = (_scales(rows, block, length, x.shape[1]) for rows in (a, w))
    return Planes(
        np.ascontiguousarray(x, dtype),
        low,
        np.ascontiguousarray(_blocks(w.integers, length).transpose(1, 2, 0), dtype),
        sx,
        np.ascontiguousarray(sw.T),
        ex,
        np.ascontiguousarray(ew.T),
        classes,
        largest,
        np.empty(0, np.int32 if small else np.int64),
    )


def element_planes(rows: Rows, block: int) -> tuple[Array, Array]:
    """Significand and exponent of every element with its block scale, (R, K); significand 0 of what is no finite number."""
    K = rows.integers.shape[1]
    scale, shared = (np.repeat(part, block, axis=1)[:, :K] for part in (rows.scale, rows.shared))
    integers = np.where(rows.classes & SPECIAL, 0, rows.integers) if rows.classes.size else rows.integers
    return np.ascontiguousarray(integers * scale, np.int64), np.ascontiguousarray(rows.exponents + shared, np.int64)


def plain_classes(rows: Rows) -> Classes:
    """The classes of an operand's elements, also where all are finite."""
    if rows.classes.size:
        return rows.classes
    zero, minus = rows.integers == 0, rows.integers < 0
    return np.where(zero, ZERO, np.where(minus, NEGATIVE, 0)).astype(np.uint8)


def _blocks(values: Array, length: int, fill: int = 0) -> Array:
    """(R, K) as (R, T, B), filled up."""
    R, K = values.shape
    T, B = -(-K // length), -(-length // 4) * 4
    full = np.full((R, T * length), fill, values.dtype)
    full[:, :K] = values
    out = np.full((R, T, B), fill, values.dtype)
    out[:, :, :length] = full.reshape(R, T, length)
    return out


def _scales(rows: Rows, block: int, length: int, T: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Significands and exponents of every sum, (R, T)."""
    parts = (np.repeat(part, block // length, axis=1)[:, :T] for part in (rows.scale, rows.shared))
    scale, shared = (np.ascontiguousarray(part, np.int32) for part in parts)
    return scale, shared
