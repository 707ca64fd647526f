"""One case of a block dot product (rule A2): a row of packed words as the integers of its elements and scales, and its taps.

What a code means stands in tables, so that no format is known here.
"""

from typing import NamedTuple

import numpy as np

from qsim.kernels.block_dot import carry_words
from qsim.kernels.block_float import special_product
from qsim.kernels.block_steps import MINUS_INF, NAN, PLUS_INF
from qsim.kernels.jit import helper
from qsim.kernels.words import put_long, put_values, read_field, read_fields

SPECIAL = PLUS_INF | MINUS_INF | NAN
#: Rows of `Case.taps`, a tap each; after TERMS those of integer registers, or those of block_steps.py: LARGEST... from STEPS on.
DOTS, SCALES, EXPONENTS, TERMS, STEPS = range(5)
INTEGER_SUMS, SPILL, INTEGER_ACCUMULATOR, INTEGER_RESULT = range(4, 8)
FLOAT_ACCUMULATOR, FLOAT_RESULT, DOTS_LOW, TERMS_LOW, SIXTEEN = range(11, 16)
ROWS = 16


class Side(NamedTuple):
    """Where the fields of an operand's words stand, and what their codes mean.

    Tables by code: integers, exponents (where products are terms, else empty), classes of elements as in block_steps.py;
    significands, exponents and classes of block scales, of one code where there is none.
    """

    word: int  # bits of a word
    block: int  # elements of a word
    width: int
    element_at: int
    micro: int  # elements that share a microexponent; 0: none
    micro_at: int
    scale_bits: int  # 0: none
    scale_at: int
    specials: bool  # whether an element may be no finite number
    integers: np.ndarray
    exponents: np.ndarray
    classes: np.ndarray
    significands: np.ndarray
    scale_exponents: np.ndarray
    scale_classes: np.ndarray


class Shape(NamedTuple):
    """Sizes of a case: products, elements of a sum, terms."""

    k: int
    length: int
    terms: int
    wide: bool  # a block sum stands in two words
    products: bool  # every product of elements is a term


class Row(NamedTuple):
    """Room for one side of a case.

    codes, x: of elements. e: their exponents, where products are terms. micro: of microexponents. scale, shared, nan: of blocks,
    the last one a class. micro_of, block_of: the place of an element's; block_of_term: of a term's.
    """

    codes: np.ndarray
    x: np.ndarray
    e: np.ndarray
    micro: np.ndarray
    scale: np.ndarray
    shared: np.ndarray
    nan: np.ndarray
    micro_of: np.ndarray
    block_of: np.ndarray
    block_of_term: np.ndarray


@helper
def new_row(shape, s):
    """Room for a row."""
    K = shape.k
    words, pairs = (K + s.block - 1) // s.block, (K + s.micro - 1) // s.micro if s.micro else 0
    k = np.arange(K)
    return Row(
        np.zeros(max(K, 1), np.int64), np.zeros(K, np.int64), np.zeros(K if shape.products else 0, np.int64),
        np.zeros(pairs, np.int64), np.zeros(words, np.int64), np.zeros(words, np.int64), np.zeros(words, np.uint8),
        k // max(s.micro, 1), k // s.block, np.arange(shape.terms) * shape.length // s.block,
    )  # fmt: skip


@helper
def read_row(words, s, shape, row):
    """Fill the row of one case; returns all classes seen. Where products are terms the scales are in the elements."""
    seen = np.int64(0)
    for b in range(row.scale.size):
        base, first, code = b * s.word, b * s.block, np.int64(0)
        if s.scale_bits:
            code = read_field(words, base + s.scale_at, s.scale_bits)
        row.scale[b], row.shared[b] = s.significands[code], s.scale_exponents[code]
        row.nan[b] = s.scale_classes[code]
        seen |= row.nan[b]
        read_fields(words, base + s.element_at, s.width, row.codes[first : first + s.block])
        if s.micro:
            read_fields(words, base + s.micro_at, 1, row.micro[first // s.micro : (first + s.block) // s.micro])
    for k in range(row.x.size):
        row.x[k] = s.integers[row.codes[k]]
    if s.specials:
        for k in range(row.x.size):
            seen |= s.classes[row.codes[k]]
    if shape.products:
        for k in range(row.x.size):
            row.x[k] *= row.scale[row.block_of[k]]
            row.e[k] = s.exponents[row.codes[k]] + row.shared[row.block_of[k]]
        if s.micro:
            for k in range(row.x.size):
                row.e[k] -= row.micro[row.micro_of[k]]
    elif s.micro:
        for k in range(row.x.size):
            row.x[k] <<= 1 - row.micro[row.micro_of[k]]
    return seen


@helper
def term_flags(a, w, shape, row_a, row_w, flags):
    """For every term of the rows read last 0, or which specials its products are."""
    flags[:] = 0
    for k in range(shape.k):
        x, y = row_a.nan[row_a.block_of[k]], row_w.nan[row_w.block_of[k]]
        x, y = x if x else a.classes[row_a.codes[k]], y if y else w.classes[row_w.codes[k]]
        flags[k // shape.length] |= special_product(np.int64(x), np.int64(y))


@helper
def sums_of(x, w, shape, v, low):
    """v, or v * 2^16 + low: the sum of each term's products."""
    for j in range(v.size):
        lo, hi = j * shape.length, min((j + 1) * shape.length, shape.k)
        total = np.int64(0)
        if shape.wide:
            rest = np.int64(0)
            for k in range(lo, hi):
                total += (x[k] >> 16) * w[k]
                rest += (x[k] & 0xFFFF) * w[k]
            low[j] = rest
        else:
            for k in range(lo, hi):
                total += x[k] * w[k]
        v[j] = total
    if shape.wide:
        carry_words(v, low)


@helper
def put_taps(taps, sizes, columns, widths, i):
    """Every tap that the unit has, packed into row i of its column; those of more than 64 bits apart."""
    for tap in range(len(columns)):
        if columns[tap].size and widths[tap] <= 64:
            put_values(columns[tap][i], widths[tap], taps[tap, : sizes[tap]])


@helper
def put_long_taps(taps, sizes, which, columns, widths, i):
    """Those of values high * 2^up + low; which: a tap and its rows high, up and low of each."""
    for tap, high, up, low in which:
        if columns[tap].size:
            n = sizes[tap]
            put_long(columns[tap][i], widths[tap], taps[high, :n], taps[up, :n], taps[low, :n])
