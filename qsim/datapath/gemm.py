"""Exact integer matrix products: what a datapath whose accumulator never overflows computes (rule A1)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsim.codec.threads import num_threads, pieces, run

Ints = NDArray[Any]
INT32_LIMIT, INT64_LIMIT = 1 << 31, 1 << 63
#: A float type, the integer up to which it holds all integers, and the K below which the next one, or splitting, is faster.
FLOATS = ((np.float32, 1 << 24, 32), (np.float64, 1 << 53, 8))
SHORTEST = 32  # the same for products of bytes
PACKED, PRODUCTS = 1 << 18, 1 << 23  # words to pack and products to sum that are worth a thread
UNITS = 16  # rows of tiles of a piece
BLOCK = 1 << 20  # elements of the rows that are converted at once


def exact_gemm(a: Ints, w: Ints) -> Ints:
    """The exact product of two integer matrices.

    Args:
        a: (M, K), of any integer type.
        w: (K, N), of any integer type.

    Returns:
        (M, N): int32 where K * max|a| * max|w| is below 2^31, else int64. The bits depend on nothing else.

    Raises:
        ValueError: operands that are no integer matrices or do not match, or K * max|a| * max|w| of 2^63 or more.
    """
    for name, x in (("a", a), ("w", w)):
        if x.ndim != 2 or x.dtype.kind not in "iu":
            raise ValueError(f"{name} is {x.dtype} of shape {x.shape}; allowed: an integer matrix")
    if a.shape[1] != w.shape[0]:
        raise ValueError(f"a {a.shape} times w {w.shape}; allowed: (M, K) times (K, N)")
    if 0 in (*a.shape, *w.shape):
        return np.zeros((a.shape[0], w.shape[1]), np.int32)
    largest = _type_largest(a), _type_largest(w)
    if a.shape[1] * largest[0] * largest[1] >= INT32_LIMIT:
        largest = _largest(a), _largest(w)
    bound = a.shape[1] * largest[0] * largest[1]
    if bound >= INT64_LIMIT:
        raise ValueError(f"K * max|a| * max|w| = {bound}; allowed: below 2^63, so that every sum fits int64")
    return _product(a, w, largest, np.dtype(np.int32 if bound < INT32_LIMIT else np.int64))


def _product(a: Ints, w: Ints, largest: tuple[int, int], dtype: np.dtype[Any]) -> Ints:
    """a @ w, which fits dtype; largest: max|a| and max|w|."""
    k, product = a.shape[1], largest[0] * largest[1]
    if product == 0:
        return np.zeros((a.shape[0], w.shape[1]), dtype)
    if _has_dot_products():
        x, y = _bytes(a), _bytes(w)
        chunk = (INT32_LIMIT - 1) // product
        if x is not None and y is not None and chunk >= min(k, SHORTEST):
            return _by_bytes(x, y, dtype, chunk)
        if max(largest) < 1 << 16:
            return _by_halves(a, w, largest, dtype)
    for real, limit, worth in FLOATS:
        if limit // product >= min(k, worth):
            return _by_float(a, w, dtype, real, min(limit // product, k))
    return _by_halves(a, w, largest, dtype)


def _by_float(a: Ints, w: Ints, dtype: np.dtype[Any], real: type, chunk: int) -> Ints:
    """The product as sums of `chunk` products by a float matrix product.

    chunk * max|a| * max|w| <= 2^24 (float64: 2^53), so that the sum of any subset of the chunk's products is an integer that the
    type holds: no product and no sum rounds, with or without FMA, in whatever order and on however many threads BLAS adds.
    """
    (m, k), n = a.shape, w.shape[1]
    out = np.zeros((m, n), dtype)
    rows = min(max(BLOCK // max(k, n), 64), m)
    x, y, part = _room(real, (rows, k), (k, n), (rows, n))
    y[:] = w
    for i in range(0, m, rows):
        count = min(rows, m - i)
        x[:count] = a[i : i + count]
        for j in range(0, k, chunk):
            np.matmul(x[:count, j : j + chunk], y[j : j + chunk], out=part[:count])
            out[i : i + count] += part[:count].astype(dtype)
    return out


def _room(real: type, *shapes: tuple[int, int]) -> list[Ints]:
    """Empty arrays in one piece of memory, which malloc, unlike smaller pieces, keeps for the next call: fresh pages are slow."""
    sizes = [math.prod(shape) for shape in shapes]
    room: Ints = np.empty(sum(sizes), real)
    return [part.reshape(shape) for part, shape in zip(np.split(room, np.cumsum(sizes)[:-1]), shapes, strict=True)]


def _by_halves(a: Ints, w: Ints, largest: tuple[int, int], dtype: np.dtype[Any]) -> Ints:
    """Two products: the wider operand x is (x >> h) * 2^h + (x mod 2^h). Intermediate sums wrap, the last one fits."""
    wide = a if largest[0] >= largest[1] else w
    h = (max(largest).bit_length() + 1) // 2
    pairs = [(x, w) if wide is a else (a, x) for x in (wide >> h, wide & ((1 << h) - 1))]
    upper, lower = (_product(x, y, (_largest(x), _largest(y)), dtype) for x, y in pairs)
    upper <<= h
    upper += lower
    return upper


def _largest(x: Ints) -> int:
    """max|x| as a Python int."""
    return max(int(x.max()), -int(x.min()))


def _type_largest(x: Ints) -> int:
    """The largest magnitude of x's type."""
    info = np.iinfo(x.dtype)
    return max(int(info.max), -int(info.min))


def _has_dot_products() -> bool:
    """Whether the target CPU sums four byte products in one instruction."""
    from qsim.kernels import gemm

    return bool(gemm.available())


class _Bytes(NamedTuple):
    """An integer matrix whose values span at most 256 integers: (codes XOR flip) + base, codes and flip uint8."""

    codes: NDArray[np.uint8]
    flip: int
    base: int


def _bytes(x: Ints) -> _Bytes | None:
    if x.dtype == np.int8:
        return _Bytes(x.view(np.uint8), 128, -128)
    if x.dtype == np.uint8:
        return _Bytes(x, 0, 0)
    low = int(x.min())
    return _Bytes((x - x.dtype.type(low)).astype(np.uint8), 0, low) if int(x.max()) - low < 256 else None


def _by_bytes(a: _Bytes, w: _Bytes, dtype: np.dtype[Any], chunk: int) -> Ints:
    """The product as sums of at most `chunk` products, which fit int32."""
    k = a.codes.shape[1]
    if k <= chunk:
        return _dot_products(a, w).astype(dtype, copy=False)
    out = np.zeros((a.codes.shape[0], w.codes.shape[1]), dtype)
    for i in range(0, k, chunk):
        out += _dot_products(a._replace(codes=a.codes[:, i : i + chunk]), w._replace(codes=w.codes[i : i + chunk]))
    return out


def _dot_products(a: _Bytes, w: _Bytes) -> NDArray[np.int32]:
    """The product by u8 x s8 dot products; it fits int32, so that sums modulo 2^32 are enough.

    With a = u + p, u in 0 to 255, and w = s + q, s in -128 to 127:
    sum of a*w = sum of u*s + q * sum of u (a row's) + p * (sum of s (a column's) + K * q).
    K * max|a| * max|w| < 2^31 bounds p, q and their products with sums far inside int64.
    """
    from qsim.kernels import gemm as kernels

    (m, k), n = a.codes.shape, w.codes.shape[1]
    words = -(-k // 4)
    p, q = a.base, w.base + 128
    packed, sums = _packed(w, words)
    column_terms = (p * (sums + np.int64(k * q))).astype(np.int32)
    u = np.zeros((-(-m // kernels.ROWS) * kernels.ROWS, 4 * words), np.uint8)
    row_terms = np.zeros(u.shape[0], np.int32)
    u_words = u.view(np.int32)
    out = np.empty((m, n), np.int32)

    def task(_: slice, rows: slice) -> None:
        np.bitwise_xor(a.codes[rows], np.uint8(a.flip), out=u[rows, :k])
        if q:
            row_terms[rows] = (q * u[rows].sum(axis=1, dtype=np.int64)).astype(np.int32)
        kernels.multiply(u_words, packed, row_terms, column_terms, out, rows.start, rows.stop)

    run(task, shares(m, kernels.ROWS, k * n))
    return out


def _packed(w: _Bytes, words: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The signed bytes s of w in the order of the kernel, filled up with zeros, and the sum of each column."""
    from qsim.kernels import gemm as kernels

    n, flip = w.codes.shape[1], w.flip ^ 128
    panels = -(-n // kernels.COLUMNS)
    packed, sums = aligned((panels, words, kernels.COLUMNS)), np.zeros(panels * kernels.COLUMNS, np.int32)
    shape = 4 * words, sums.size
    if w.codes.flags.c_contiguous:
        pack, source = kernels.pack_rows, _filled(w.codes, shape, flip)
    else:
        pack, source = kernels.pack_columns, _filled(w.codes.T, shape[::-1], flip).view(np.int32)

    def task(_: slice, part: slice) -> None:
        pack(source, flip, packed, sums, part.start, part.stop)

    run(task, pieces(1, panels, piece=max(PACKED // (words * kernels.COLUMNS), 1)))
    return packed, sums


def shares(rows: int, unit: int, products: int) -> list[tuple[slice, slice]]:
    """Pieces of rows, cut at multiples of unit: the same number for every thread, equal, none too small for a thread."""
    units, threads = -(-rows // unit), num_threads()
    count = min(threads * max(1, units // (UNITS * threads)), units, max(1, rows * products // PRODUCTS))
    cuts = [min(units * i // count * unit, rows) for i in range(count + 1)]
    return [(slice(0, 1), slice(start, stop)) for start, stop in pairwise(cuts)]


def _filled(x: NDArray[np.uint8], shape: tuple[int, int], fill: int) -> NDArray[np.uint8]:
    """x, contiguous, filled up to shape."""
    if x.shape == shape:
        return np.ascontiguousarray(x)
    out = np.full(shape, fill, np.uint8)
    out[: x.shape[0], : x.shape[1]] = x
    return out


def aligned(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """An empty array that starts at a cache line."""
    size = 4 * math.prod(shape)
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(np.int32).reshape(shape)
