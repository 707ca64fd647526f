"""The threshold of least noise for a Gaussian or a Laplace distribution (ACIQ: Banner et al., NeurIPS 2019, arXiv:1810.05723)."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qsim.codec.threads import pieces, run
from qsim.ranges.calibrator import Array, Calibrator
from qsim.ranges.levels import level_bits
from qsim.spec import Format


class Analytic(Calibrator):
    """t = alpha(bits) * scale of the distribution, which has mean 0.

    laplace: scale b = mean |x|; gauss: sigma = sqrt(mean x^2). An affine calibrator that has seen no negative value is one-sided:
    the means are over the non-zero values, and the step is t / 2^bits instead of 2t / 2^bits.

    alpha is the root of the derivative of the expected squared error, solved to the last bit of float64. The sums of |x| and x^2
    are exact integers: they do not depend on order, batches or threads, and merging is exact.
    """

    def __init__(
        self,
        *,
        bits: int | None = None,
        fmt: str | Format | None = None,
        distribution: str = "laplace",
        symmetric: bool = True,
        axis: int | None = None,
        group: int | None = None,
    ) -> None:
        """Check the settings."""
        if distribution not in SLOPES:
            raise ValueError(f"distribution={distribution!r}; allowed: {', '.join(SLOPES)}")
        super().__init__(bits=level_bits(bits, fmt), distribution=distribution, symmetric=symmetric, axis=axis, group=group)
        self._sums: list[int] = []  # of |x| in units of 2^-149, or of x^2 in units of 2^-298
        self._sizes = self._nonzero = np.zeros(0, np.int64)

    def _start(self, count: int) -> None:
        self._sums = [0] * count
        self._sizes, self._nonzero = np.zeros(count, np.int64), np.zeros(count, np.int64)

    def _update_rows(self, number: int, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        add = _add_magnitudes if self.settings["distribution"] == "laplace" else _add_squares
        u = rows.view(np.uint32)

        def task(r: slice, c: slice) -> tuple[slice, list[int], Array]:
            return r, add(u[r, c]), np.count_nonzero(rows[r, c], axis=1)

        for r, sums, nonzero in run(task, pieces(*u.shape)):
            for i, value in zip(ids[r], sums, strict=True):
                self._sums[i] += value
            self._nonzero[ids[r]] += nonzero
        self._sizes[ids] += rows.shape[1]

    def _merge(self, other: Analytic) -> None:
        self._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        self._sizes = self._sizes + other._sizes
        self._nonzero = self._nonzero + other._nonzero

    def _range(self) -> tuple[Array, Array]:
        thresholds = []
        for i, one_sided in enumerate(self._one_sided):
            n = max(int(self._nonzero[i] if one_sided else self._sizes[i]), 1)
            kind, bits = self.settings["distribution"], self.settings["bits"]
            scale = float(Fraction(self._sums[i], n << 149)) if kind == "laplace" else _root(Fraction(self._sums[i], n << 298))
            thresholds.append(scale * optimal_alpha(bits, kind, bool(one_sided)))
        return self._clipped(np.array(thresholds))


def _add_magnitudes(u: NDArray[np.uint32]) -> list[int]:
    """Exact sum of the magnitudes of each row, in units of 2^-149."""
    from qsim.kernels.stats import magnitude_sum

    sums = []
    for row in u:
        bins = np.zeros(320, np.int64)
        magnitude_sum(row, -1, bins)
        sums.append(sum(int(bins[f]) << max(int(f) - 1, 0) for f in np.flatnonzero(bins)))
    return sums


def _add_squares(u: NDArray[np.uint32]) -> list[int]:
    """Exact sum of the squares of each row, in units of 2^-298."""
    from qsim.kernels.ranges import square_sums

    low, high = np.zeros((u.shape[0], 256), np.int64), np.zeros((u.shape[0], 256), np.int64)
    square_sums(u, low, high)
    return [
        sum((int(a[f]) + (int(b[f]) << 32)) << 2 * max(int(f) - 1, 0) for f in np.flatnonzero(a | b))
        for a, b in zip(low, high, strict=True)
    ]


def _root(value: Fraction) -> float:
    """Square root, within one unit in the last place of float64."""
    shift = max(0, 2 * (80 - (value.numerator.bit_length() - value.denominator.bit_length()) // 2))
    return math.ldexp(math.isqrt((value.numerator << shift) // value.denominator), -shift // 2)


def _laplace_slope(a: float, c: float) -> float:
    """Half the derivative of 2 exp(-a) + c a^2: expected squared error over b^2, a = t / b."""
    return c * a - math.exp(-a)


def _gauss_slope(a: float, c: float) -> float:
    """Half the derivative of (1 + a^2) erfc(a / sqrt 2) - sqrt(2 / pi) a exp(-a^2 / 2) + c a^2, a = t / sigma."""
    return c * a + a * math.erfc(a / math.sqrt(2)) - math.sqrt(2 / math.pi) * math.exp(-a * a / 2)


#: (a, c) -> slope of the expected squared error; c a^2 is the noise inside the range, step^2 / 12.
SLOPES: dict[str, Callable[[float, float], float]] = {"laplace": _laplace_slope, "gauss": _gauss_slope}


@cache
def optimal_alpha(bits: int, distribution: str = "laplace", one_sided: bool = False) -> float:
    """t / b or t / sigma of least expected squared error: the root of an increasing slope, to neighbouring floats."""
    slope, c = SLOPES[distribution], 4.0**-bits / (12 if one_sided else 3)
    low, high = 0.0, 64.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if slope(middle, c) < 0 else (low, middle)
    return high
