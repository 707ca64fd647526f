"""A percentile of the magnitudes, or of both sides."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qsim.ranges.calibrator import Array, Calibrator
from qsim.ranges.stores import Histograms, Values

VARIANTS = ("exact", "modelopt")


class Percentile(Calibrator):
    """t: the least magnitude that `percentile` % of the magnitudes do not exceed.

    variant="exact" keeps the values (4 bytes each) and takes the nearest rank: value number ceil(percentile / 100 * n) of n in
    ascending order, `percentile` read as the decimal number that Python prints. Affine: the same share is cut from both sides,
    (100 - percentile) / 2 % each. It depends on the multiset of values only, and merging is exact.
    variant="modelopt" keeps a histogram of `bins` bins and takes edges[searchsorted(cdf, percentile / 100)], as nvidia-modelopt
    does. Without amax= its grid is that of the first batch, and merging is refused (rule C5).
    """

    def __init__(
        self,
        percentile: float = 99.99,
        *,
        variant: str = "exact",
        bins: int | None = None,
        amax: float | None = None,
        symmetric: bool = True,
        axis: int | None = None,
        group: int | None = None,
    ) -> None:
        """Check the settings."""
        if not 0 < percentile <= 100:
            raise ValueError(f"percentile={percentile!r}; allowed: above 0, at most 100")
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r}; allowed: {', '.join(VARIANTS)}")
        if variant == "exact" and (bins is not None or amax is not None):
            raise ValueError("bins and amax apply to variant='modelopt' only")
        bins = 2048 if bins is None else bins
        check_grid(bins, amax)
        super().__init__(
            percentile=float(percentile), variant=variant, bins=bins, amax=amax, symmetric=symmetric, axis=axis, group=group
        )
        self._store: Values | Histograms = Values() if variant == "exact" else Histograms(bins, amax, signed=False)

    def _check(self, amax: NDArray[np.float32]) -> None:
        if isinstance(self._store, Histograms):
            self._store.check(amax)

    def _update_rows(self, number: int, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        self._store.add(number, ids, rows)

    def _merge(self, other: Percentile) -> None:
        self._store.merge(other._store)  # type: ignore[arg-type]  # equal settings, so the same kind

    def _range(self) -> tuple[Array, Array]:
        if isinstance(self._store, Histograms):
            share = self.settings["percentile"] / 100
            return self._clipped(np.array([_edge(*self._store.counts_and_edges(i), share) for i in range(self._low.size)]))
        share_exact = Fraction(repr(self.settings["percentile"])) / 100
        low, high = np.zeros(self._low.shape), np.zeros(self._low.shape)
        for ids, rows in self._store.joined():
            n = rows.shape[1]
            if self.symmetric:
                high[ids] = _ranked(np.abs(rows), math.ceil(share_exact * n))
                low[ids] = -high[ids]
            else:
                k = math.ceil((1 + share_exact) / 2 * n)
                low[ids], high[ids] = np.minimum(_ranked(rows, n + 1 - k), 0), np.maximum(_ranked(rows, k), 0)
        return low, high


def _ranked(rows: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Value number k, from 1, of each row in ascending order."""
    return np.asarray(np.partition(rows, k - 1, axis=1)[:, k - 1])


def _edge(counts: NDArray[np.int64], edges: NDArray[np.float32], share: float) -> float:
    cdf = np.cumsum(counts / counts.sum())
    return float(edges[min(int(np.searchsorted(cdf, share)), edges.size - 1)])


def check_grid(bins: int, amax: float | None) -> None:
    """ValueError for a histogram grid that cannot be."""
    if not isinstance(bins, int) or isinstance(bins, bool) or not 2 <= bins <= 1 << 16 or bins % 2:
        raise ValueError(f"bins={bins!r}; allowed: an even number, 2 to 2^16")
    if amax is not None and not 0 < float(np.float32(amax)) < math.inf:
        raise ValueError(f"amax={amax!r}; allowed: positive and finite as float32, or None")
