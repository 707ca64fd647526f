"""Layers of binary weights: the rows of the XNOR-Net table as operations (rule B)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.input import as_float32
from qsim.datapath.dot import dot
from qsim.datapath.gemm import exact_gemm
from qsim.lowbit.products import xnor_matmul
from qsim.lowbit.scales import column_scale, scaled, times
from qsim.lowbit.words import check_words, pack_bits, unpack_bits
from qsim.spec.float_accumulator import FloatAccumulator

PAIRS = 1 << 22  # elements of the pairs of rows that a float accumulator gets at once


def binary_weight_matmul(
    x: object, w_words: object, *, alpha: object = None, accumulator: str | FloatAccumulator = "fp32_sequential"
) -> NDArray[Any]:
    """Real activations times binary weights: x @ w.T by additions and subtractions alone, then times alpha.

    The row "Binary Weight" of the XNOR-Net table: I * W ~ (I (+) B) alpha. Rastegari et al. 2016, arXiv:1603.05279, section 3.1.

    Args:
        x: (M, K). Integers (codes of any integer format): the sums are exact. Floats (rule R4): the sums are those of a float
            accumulator (rule A3), because the order of additions changes their bits.
        w_words: (N, ceil(K / 64)) uint64, as `pack_bits` makes them.
        alpha: None, or float32, () or (N,), as `alpha` makes it.
        accumulator: for floats, a name of `float_accumulator_names()` that takes fp32 operands, or a FloatAccumulator. Default:
            one float32 addition after the other, k ascending.

    Returns:
        (M, N). Integers without alpha: int32 or int64, exact. Integers with alpha: float32, the exact product rounded once.
        Floats: float32, the sum times alpha in one float32 product.

    Raises:
        ValueError: shapes that do not match, words as `check_words`, sums of integers beyond 2^53 that are to be scaled.
    """
    values = np.asarray(x)
    if values.ndim != 2:
        raise ValueError(f"x has shape {values.shape}; allowed: (M, K)")
    words = check_words(w_words, values.shape[1], "w_words")
    if words.ndim != 2:
        raise ValueError(f"w_words has shape {words.shape}; allowed: (N, {words.shape[-1]})")
    factor = None if alpha is None else column_scale(alpha, len(words))
    signs = unpack_bits(words, values.shape[1])
    if values.dtype.kind in "iu":
        sums = exact_gemm(values, signs.T)
        return sums if factor is None else scaled(sums, factor)
    rows, weights = as_float32(x), signs.astype(np.float32)
    (m, _), n = rows.shape, len(weights)
    result = np.empty((m, n), np.float32)
    step = max(PAIRS // max(weights.size, 1), 1)
    for i in range(0, m, step):
        part = rows[i : i + step]
        found = dot(np.repeat(part, n, axis=0), np.tile(weights, (len(part), 1)), None, accumulator, operand="fp32")
        result[i : i + step] = found.reshape(len(part), n)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return result if factor is None else result * factor


def xnor_linear(x: object, w: object, *, alpha: object = None, k: object = None) -> NDArray[Any]:
    """Signs times signs: x @ w.T by XNOR and popcount, then times alpha and K.

    The row "Binary Weight, Binary Input" of the XNOR-Net table: I * W ~ (sign(I) (*) sign(W)) K alpha. Rastegari et al. 2016,
    arXiv:1603.05279, section 3.2. For real x and w: `xnor_linear(sign(x), sign(w), alpha=alpha(w), k=activation_scale(x))`.

    Args:
        x: (M, n) signs, as `sign` makes them.
        w: (N, n) signs.
        alpha: None, or float32, () or (N,).
        k: None, or float32, () or (M,): beta of each row.

    Returns:
        (M, N): int32, or with alpha or k float32, the exact product rounded once.

    Raises:
        ValueError: values that are no signs, shapes that do not match.
    """
    a, b = np.asarray(x), np.asarray(w)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"x {a.shape} and w {b.shape}; allowed: (M, n) and (N, n)")
    sums = xnor_matmul(pack_bits(a), pack_bits(b), a.shape[1])
    return times(sums, alpha, k)
