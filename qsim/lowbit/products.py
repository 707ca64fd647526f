"""Products of packed signs: XNOR and popcount, and the same with the two planes of ternary (rule B)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.threads import pieces, run
from qsim.datapath.gemm import aligned, shares
from qsim.lowbit.words import Planes, Words, check_planes, check_words

Sums = NDArray[np.int32]
PACKED = 1 << 18  # words that are worth a thread


def xnor_matmul(a_words: object, w_words: object, n: int) -> Sums:
    """a @ w.T of signs: -n + 2 * popcount(a xnor w) over the n bits of each pair of rows.

    Published example: 1010 xnor 1101 = 1000, -4 + 2 * 1 = -2. Source: Rastegari et al. 2016, arXiv:1603.05279, section 3.2.

    Args:
        a_words: (M, ceil(n / 64)) uint64, as `pack_bits` makes them.
        w_words: (N, ceil(n / 64)) uint64.
        n: signs a row, 0 to 2^30 - 1.

    Returns:
        (M, N) int32, exact.

    Raises:
        ValueError: words of another type or shape; bits beyond n that are not 0, which would count.
    """
    a, w = _matrix(check_words(a_words, n, "a_words"), "a_words"), _matrix(check_words(w_words, n, "w_words"), "w_words")
    return sums_of_signs(a, w, n)


def sums_of_signs(a: Words, w: Words, n: int) -> Sums:
    """`xnor_matmul` of rows of words that hold n signs each; their other bits, wherever they lie, are 0."""
    from qsim.kernels.xnor import XNOR

    return _product(XNOR, (a,), (w,), np.full(len(a), n, np.int32))


def ternary_matmul(a: Planes, w: Planes, n: int) -> Sums:
    """a @ w.T of -1, 0 and +1: popcount(both) - 2 * popcount(both and (a.negative xor w.negative)), both: nonzero in a and w.

    Args:
        a: planes of (M, ceil(n / 64)) uint64, as `pack_ternary` makes them.
        w: planes of (N, ceil(n / 64)) uint64.
        n: values a row, 0 to 2^30 - 1.

    Returns:
        (M, N) int32, exact.

    Raises:
        ValueError: as `xnor_matmul`, and bits that are negative but not nonzero.
    """
    x, y = (Planes(*(_matrix(p, name) for p in check_planes(side, n, name))) for side, name in ((a, "a"), (w, "w")))
    from qsim.kernels.xnor import TERNARY

    return _product(TERNARY, x, y, np.zeros(len(x.nonzero), np.int32))


def ternary_binary_matmul(a: object, w: object, n: int) -> Sums:
    """a @ w.T where one operand is ternary and the other binary: popcount(nonzero) - 2 * popcount(nonzero and signs that differ).

    Args:
        a: planes or words, of (M, ceil(n / 64)) uint64.
        w: words or planes, of (N, ceil(n / 64)) uint64: planes where a is words.
        n: values a row, 0 to 2^30 - 1.

    Returns:
        (M, N) int32, exact.

    Raises:
        ValueError: as `ternary_matmul`; two operands of one kind.
    """
    if isinstance(a, Planes) == isinstance(w, Planes):
        raise ValueError("a and w are both planes or both words; allowed: one Planes (else ternary_matmul, xnor_matmul)")
    planes, words, names = (a, w, ("a", "w")) if isinstance(a, Planes) else (w, a, ("w", "a"))
    assert isinstance(planes, Planes)
    nonzero, negative = (_matrix(p, names[0]) for p in check_planes(planes, n, names[0]))
    other = _matrix(check_words(words, n, names[1]), names[1])
    from qsim.kernels.xnor import MASKED

    counts = np.bitwise_count(nonzero).sum(axis=1, dtype=np.int32)
    sums = _product(MASKED, (nonzero, nonzero & ~negative), (other,), counts)
    return sums if planes is a else np.ascontiguousarray(sums.T)


def _matrix(words: Words, name: str) -> Words:
    if words.ndim != 2:
        raise ValueError(f"{name} has shape {words.shape}; allowed: (rows, {words.shape[-1]})")
    return words


def _product(kind: int, a: tuple[Words, ...], w: tuple[Words, ...], terms: NDArray[np.int32]) -> Sums:
    """(M, N): each row's term, and what `kind` counts for the planes of a and w (qsim/kernels/xnor.py)."""
    from qsim.kernels import xnor as kernels

    (m, words), n = a[0].shape, len(w[0])
    if 0 in (m, n, words):
        return np.repeat(terms, n).reshape(m, n)
    x, y = _halves(a, -(-m // kernels.ROWS) * kernels.ROWS), _halves(w, n)
    start, out = np.zeros(x.shape[1], np.int32), np.empty((m, n), np.int32)
    start[:m] = terms
    panels, multiply = -(-n // kernels.COLUMNS), kernels.multiply if kernels.available() else kernels.multiply_portable
    packed = aligned((panels, 2 * words, len(w), kernels.COLUMNS))
    run(
        lambda _, p: kernels.pack(y, packed, p.start, p.stop),
        pieces(1, panels, piece=max(PACKED // (y.shape[2] * kernels.COLUMNS), 1)),
    )
    run(
        lambda _, r: multiply(kind, x, packed, start, out, r.start, r.stop),
        shares(m, kernels.ROWS, 4 * words * n),
    )
    return out


def _halves(planes: tuple[Words, ...], rows: int) -> NDArray[Any]:
    """The planes as 32-bit words, (planes, rows, words), filled up with rows of 0. Which half comes first changes no count."""
    if len(planes) == 1 and rows == len(planes[0]):
        return np.ascontiguousarray(planes[0]).view(np.int32)[np.newaxis]
    out = np.zeros((len(planes), rows, planes[0].shape[1]), np.uint64)
    for plane, words in zip(out, planes, strict=True):
        plane[: len(words)] = words
    return out.view(np.int32)
