"""X^T X of calibration activations, without an error that depends on the order of its sums.

Every column is scaled by a power of two to magnitudes of 1 or less, and split into integers of LIMB bits:
x = sum over p of limb_p * 2^(-LIMB * (p + 1)). A product of two limbs, summed over CHUNK rows, is an integer of at most 2^53,
so that float64 BLAS gives it exactly, in any order and on any number of threads; chunks are added in int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.input import as_float32

LIMB = 20
CHUNK = 1 << 13
#: Degrees p + q that enter the float64 matrix: what the others, and the bits below, add to one product of two activations is
#: less than LEFT.
DEGREES = 3
LEFT = 2.0 ** -(LIMB * DEGREES - 1)
#: Limbs of any float32 column, from 2^127 to 2^-149.
ALL_LIMBS = -(-277 // LIMB)
#: Rows whose int64 sums cannot overflow: ALL_LIMBS < 16 products of 2^(2 * LIMB) a row.
MAX_ROWS = 1 << (63 - 4 - 2 * LIMB)

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Gram:
    """X^T X in the scaled columns.

    x: the scaled activations, S x K, magnitudes of 1 or less.
    exponents: column k of x is that of the activations times 2^-exponents[k].
    matrix: K x K, float64, symmetric.
    """

    x: Float64
    exponents: NDArray[np.int64]
    matrix: Float64

    @classmethod
    def of(cls, x: object) -> Gram:
        """The matrix of activations (samples, inputs), finite floats (rule R4); ValueError for others."""
        rows = finite("x", as_float32(x))
        if rows.ndim != 2 or not 0 < len(rows) <= MAX_ROWS:
            raise ValueError(f"x has shape {rows.shape}; allowed: (samples, inputs), 1 to {MAX_ROWS} samples")
        exponents = np.frexp(np.max(np.abs(rows), axis=0).astype(np.float64))[1].astype(np.int64)
        scaled = np.ldexp(rows.astype(np.float64), -exponents)
        matrix = np.zeros((rows.shape[1], rows.shape[1]))
        for degree, product in reversed(_products(scaled, scaled, DEGREES).items()):
            matrix += np.ldexp(product.astype(np.float64), -LIMB * (degree + 2))
        return cls(scaled, exponents, matrix)

    def exact(self, rows: Sequence[int], columns: Sequence[int]) -> tuple[list[list[int]], int]:
        """Entries of X^T X in the scaled columns, exact: integers in units of 2^-unit, and unit."""
        products = _products(self.x[:, list(rows)], self.x[:, list(columns)], 2 * ALL_LIMBS)
        unit = LIMB * (len(products) + 1)
        total: NDArray[Any] = np.zeros((len(rows), len(columns)), object)
        for degree, product in products.items():
            total += product.astype(object) << unit - LIMB * (degree + 2)
        return total.tolist(), unit


def finite(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """values; ValueError that names the first NaN or Inf."""
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        place = ", ".join(str(int(i)) for i in np.unravel_index(bad[0], values.shape))
        raise ValueError(f"{name}[{place}] is {values.reshape(-1)[bad[0]]!s}, {bad.size} in all; allowed: finite values")
    return values


def _products(a: Float64, b: Float64, degrees: int) -> dict[int, NDArray[np.int64]]:
    """The sums of limb p of a, transposed, times limb q of b over p + q = degree: int64 and exact, for degrees from 0 up."""
    sums = {0: np.zeros((a.shape[1], b.shape[1]), np.int64)}
    for start in range(0, len(a), CHUNK):
        left = _limbs(a[start : start + CHUNK], degrees)
        right = left if a is b else _limbs(b[start : start + CHUNK], degrees)
        for p, high in enumerate(left):
            for q, low in enumerate(right):
                if p + q < degrees:
                    product = (high.T @ low).astype(np.int64)
                    sums[p + q] = sums[p + q] + product if p + q in sums else product
    return dict(sorted(sums.items()))


def _limbs(x: Float64, most: int) -> list[Float64]:
    """Integers of magnitude 2^LIMB or less as float64, until nothing is left; each step only moves bits of x, so it is exact."""
    found: list[Float64] = []
    while len(found) < most and np.any(x):
        x = np.ldexp(x, LIMB)
        found.append(np.rint(x))
        x = x - found[-1]
    return found
