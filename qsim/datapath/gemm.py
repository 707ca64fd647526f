"""Exact integer matrix products: what a datapath whose accumulator never overflows computes (rule A1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]
INT32_LIMIT, INT64_LIMIT = 1 << 31, 1 << 63
#: A float type, the integer up to which it holds all integers, and the K below which the next one, or splitting, is faster.
FLOATS = ((np.float32, 1 << 24, 32), (np.float64, 1 << 53, 8))


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
    bound = a.shape[1] * _largest(a) * _largest(w)
    if bound >= INT64_LIMIT:
        raise ValueError(f"K * max|a| * max|w| = {bound}; allowed: below 2^63, so that every sum fits int64")
    if bound == 0:
        return np.zeros((a.shape[0], w.shape[1]), np.int32)
    return _product(a, w, np.dtype(np.int32 if bound < INT32_LIMIT else np.int64))


def _product(a: Ints, w: Ints, dtype: np.dtype[Any]) -> Ints:
    """a @ w, which fits dtype."""
    k, largest = a.shape[1], max(_largest(a) * _largest(w), 1)
    for real, limit, worth in FLOATS:
        if limit // largest >= min(k, worth):
            return _by_float(a, w, dtype, real, min(limit // largest, k))
    return _by_halves(a, w, dtype)


def _by_float(a: Ints, w: Ints, dtype: np.dtype[Any], real: type, chunk: int) -> Ints:
    """The product as sums of `chunk` products by a float matrix product.

    chunk * max|a| * max|w| <= 2^24 (float64: 2^53), so that the sum of any subset of the chunk's products is an integer that the
    type holds: no product and no sum rounds, with or without FMA, in whatever order and on however many threads BLAS adds.
    """
    x: Ints = a.astype(real)
    y: Ints = w.astype(real)
    part = x[:, :chunk] @ y[:chunk]
    out: Ints = part.astype(dtype)
    for k in range(chunk, a.shape[1], chunk):
        out += np.matmul(x[:, k : k + chunk], y[k : k + chunk], out=part).astype(dtype)
    return out


def _by_halves(a: Ints, w: Ints, dtype: np.dtype[Any]) -> Ints:
    """Two products: the wider operand x is (x >> h) * 2^h + (x mod 2^h). Intermediate sums wrap, the last one fits."""
    wide = a if _largest(a) >= _largest(w) else w
    h = (_largest(wide).bit_length() + 1) // 2
    high, low = wide >> h, wide & ((1 << h) - 1)
    upper, lower = (_product(x, w, dtype) if wide is a else _product(a, x, dtype) for x in (high, low))
    upper <<= h
    upper += lower
    return upper


def _largest(x: Ints) -> int:
    """max|x| as a Python int."""
    return max(int(x.max()), -int(x.min())) if x.size else 0
