"""The exact optimum of a small binary quadratic problem.

    energy(flips) = sum over flipped i, j of A[i][j] + 2 * sum over flipped i of c[i]

is what ||(w - w_q) X||^2 changes by, in integers of some power of two. All 2^F energies are computed in float64; those within
the rounding error of the least are computed again in integers. Ties: fewest flips, then the flips of lowest index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Free weights that `energies` takes: 2^20 float64.
MAX_FREE = 20

Integers = list[list[int]]


def best_flips(a: Integers, c: list[int]) -> tuple[int, ...]:
    """Indices of the flips of least energy: A symmetric, F x F, and c, in integers of one unit."""
    free = len(c)
    if free == 0:
        return ()
    total = sum(map(abs, (v for row in a for v in row))) + 2 * sum(map(abs, c))
    shift = max(total.bit_length() - 1000, 0)  # float64 holds it, at a loss that `slack` covers
    approximate = energies(_floats(a, shift), _floats([c], shift)[0])
    # A path to an energy is at most F^2 + 2F additions and conversions, each within 2^-53 of what is at most `total`.
    slack = float(total >> shift) * (free + 2) ** 2 * 2.0**-52
    near = np.flatnonzero(approximate <= approximate.min() + 2 * slack)
    return min((_flips(int(i)) for i in near), key=lambda flips: (energy(a, c, flips), len(flips), flips))


def energies(a: NDArray[Any], c: NDArray[Any]) -> NDArray[Any]:
    """The energy of every subset: bit i of the index says whether i is flipped."""
    found: NDArray[Any] = np.zeros(1, a.dtype)
    for i in range(len(c)):
        linear: NDArray[Any] = np.array([2 * c[i] + a[i, i]], a.dtype)
        for j in range(i):
            linear = np.concatenate([linear, linear + 2 * a[i, j]])
        found = np.concatenate([found, found + linear])
    return found


def energy(a: Integers, c: list[int], flips: tuple[int, ...]) -> int:
    """The energy of one subset, exact."""
    return sum(2 * c[i] + sum(a[i][j] for j in flips) for i in flips)


def _flips(subset: int) -> tuple[int, ...]:
    return tuple(i for i in range(subset.bit_length()) if subset >> i & 1)


def _floats(values: Integers, shift: int) -> NDArray[np.float64]:
    """Integers times 2^-shift, each rounded once and then truncated by less than 1."""
    return np.array([[float(v >> shift) for v in row] for row in values])
