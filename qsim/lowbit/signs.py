"""Binarization: the sign, and the stochastic sign of BinaryConnect with explicit random bits (rules B, R2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsim.codec.input import all_words, as_float32, random_words
from qsim.codec.threads import pieces, run
from qsim.lowbit.words import refuse, signs_of
from qsim.spec import Counter, Geometry, load_format, resolve_options


def sign(x: object) -> NDArray[np.int8]:
    """+1 where x >= 0, else -1; both zeros give +1 (rule B: Courbariaux et al. 2015, arXiv:1511.00363).

    Args:
        x: floats of any shape (float64 is first rounded once to float32, rule R4), or integers. Infinities have a sign.

    Returns:
        int8, -1 or +1, x's shape.

    Raises:
        ValueError: NaN, with the first index.
        TypeError: another dtype.
    """
    values = np.asarray(x)
    if values.dtype.kind not in "iu":
        values = as_float32(x)
        refuse(np.isnan(values), values, "anything but NaN")
    return signs_of(np.asarray(values >= 0))


def stochastic_sign(x: object, random: object, *, random_bits: int = 8) -> NDArray[np.int8]:
    """+1 with probability p = clip((x + 1) / 2, 0, 1), else -1 (rule B: Courbariaux et al. 2015, arXiv:1511.00363).

    Element i, in C order, is +1 iff its random word of r bits is below p * 2^r, both sides exact. That is ceil(p * 2^r) of the
    2^r words: p is rounded up to r bits, so that p of 0 and 1 are exact and the probability is less than 2^-r above p.

    Args:
        x: floats of any shape (rule R4).
        random: a seed, Counter, LFSR, or integer words of x's shape, from 0 to 2^random_bits - 1 (rule R2).
        random_bits: r, 1 to 16.

    Returns:
        int8, -1 or +1, x's shape. `encode(x, "binary", rounding="stochastic", ...)` gives the same signs, but +1 for all of an
        all-zero group (rule S9).

    Raises:
        ValueError: NaN, with the first index; words that do not fit.
        TypeError: another dtype.
    """
    from qsim.kernels.encode import encode_binary

    values = as_float32(x)
    refuse(np.isnan(values), values, "anything but NaN")
    fmt = load_format("binary")
    options = resolve_options(fmt, {"rounding": "stochastic", "random_bits": random_bits})
    geometry = Geometry.of(fmt, values.shape)
    words = random_words(random, options, geometry)
    if isinstance(words, Counter):
        words = all_words(words, options, geometry)
    rows = np.ascontiguousarray(np.clip(values, -1, 1)).reshape(1, -1)  # p is clipped: so may x be, which infinities need
    drawn, patterns, codes = words.reshape(1, -1), rows.view(np.uint32), np.empty(rows.shape, np.uint8)
    run(lambda r, c: encode_binary(rows[r, c], patterns[r, c], codes[r, c], random_bits, drawn[r, c]), pieces(*rows.shape))
    return signs_of(codes).reshape(values.shape)
