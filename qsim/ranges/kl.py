"""KL: the threshold whose quantized distribution diverges least from the observed one (Migacz, GTC 2017, S7310)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsim.ranges.calibrator import Array, Calibrator
from qsim.ranges.levels import level_bits
from qsim.ranges.percentile import check_grid
from qsim.ranges.stores import Histograms
from qsim.spec import Format

VARIANTS = ("tensorrt", "onnxruntime")
START = 128  # bins of the first candidate, as pytorch-quantization's start_bin
EPS = 0.0001  # of onnxruntime's smoothing


class KL(Calibrator):
    """`bins` bins to 2^(bits-1) levels of magnitude; every threshold on a bin edge is a candidate.

    variant="tensorrt": pytorch-quantization and nvidia-modelopt. Magnitudes; the first bin takes the count of the second; the
        tail is folded into P's last bin; candidates from 128 bins on; of equal divergences the last. An affine calibrator that
        has seen no negative value has 2^bits levels.
    variant="onnxruntime": signed bins to 2^(bits-1) levels in all, merged by whole numbers of bins, both distributions smoothed
        with eps = 1e-4, float32 arithmetic; the first of equal divergences; the range is cut at the extremes observed.
        onnxruntime's own defaults are 128 bins to 128 levels: one candidate, the full range; here 2048 bins.
    amax: the grid's range, known in advance; then counts are exact in any order and merging is exact. Without it the first batch
        sets the grid, later ones extend it as the stack does, and merging is refused (rule C5).
    """

    def __init__(
        self,
        *,
        bits: int | None = None,
        fmt: str | Format | None = None,
        variant: str = "tensorrt",
        bins: int = 2048,
        amax: float | None = None,
        symmetric: bool = True,
        axis: int | None = None,
        group: int | None = None,
    ) -> None:
        """Check the settings."""
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r}; allowed: {', '.join(VARIANTS)}")
        width = level_bits(bits, fmt)
        check_grid(bins, amax)
        least = max(START, 1 << width) if variant == "tensorrt" else 1 << (width - 1)
        if bins < least:
            raise ValueError(f"bins={bins} with bits={width}; allowed: {least} or more")
        super().__init__(bits=width, variant=variant, bins=bins, amax=amax, symmetric=symmetric, axis=axis, group=group)
        self._store = Histograms(bins, amax, signed=variant == "onnxruntime")

    def _check(self, amax: NDArray[np.float32]) -> None:
        self._store.check(amax)

    def _update_rows(self, number: int, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        self._store.add(number, ids, rows)

    def _merge(self, other: KL) -> None:
        self._store.merge(other._store)

    def _range(self) -> tuple[Array, Array]:
        n, bits = self._low.size, self.settings["bits"]
        low, high = np.zeros(n, np.float32), np.zeros(n, np.float32)
        for i in np.flatnonzero(self._amax):
            counts, edges = self._store.counts_and_edges(int(i))
            if self.settings["variant"] == "onnxruntime":
                ends = _least_smoothed(counts, edges, 1 << (bits - 1))
                low[i], high[i] = max(ends[0], self._low[i]), min(ends[1], self._high[i])
                continue
            levels = 1 << (bits if self._one_sided[i] else bits - 1)
            high[i] = _least_divergent(counts, edges, levels)
            low[i] = -high[i]
        if self.settings["variant"] == "onnxruntime":
            return low, high
        return self._clipped(high)


def _least_divergent(counts: NDArray[np.int64], edges: NDArray[np.float32], levels: int) -> np.float32:
    """pytorch-quantization's threshold; a candidate whose divergence is not defined (Q is empty) is left out."""
    from qsim.kernels.ranges import divergences

    bins = counts.astype(np.float64)
    bins[0] = bins[1]
    start = max(START, levels)
    out = np.empty(bins.size - start + 1)
    divergences(bins, levels, start, out)
    out = np.where(np.isnan(out), np.inf, out)
    if not np.isfinite(out).any():
        raise ValueError(
            "KL: no candidate has a finite divergence (all magnitudes are in the first bin, which the rule leaves out);"
            " allowed: another method, or amax= nearer to the data (rule C5)"
        )
    last = out.size - 1 - int(np.argmin(out[::-1]))
    return np.float32(edges[min(start + last, edges.size - 1)])


def _least_smoothed(counts: NDArray[np.int64], edges: NDArray[np.float32], levels: int) -> tuple[np.float32, np.float32]:
    """onnxruntime's range (get_entropy_threshold)."""
    zero, half = counts.size // 2, levels // 2
    before = np.concatenate([[0], np.cumsum(counts)])
    best, chosen = np.float32(np.inf), (np.float32(0), np.float32(0))
    for i in range(half, zero + 1):
        first, end = zero - i, min(zero + i + 1, counts.size)
        inside = counts[first:end]
        p = inside.copy()
        p[0] += before[first]
        p[-1] += before[-1] - before[end]
        q = _spread(inside, p != 0, levels)
        divergence = _smoothed_divergence(p, q)
        if divergence < best:
            best, chosen = divergence, (edges[first], edges[end])
    if not np.isfinite(best):
        raise ValueError(
            "KL: no candidate has a finite divergence (the only filled bins lie beyond the last whole level);"
            " allowed: another number of bins; onnxruntime takes its first candidate without saying so (rule C5)"
        )
    return chosen


def _spread(inside: NDArray[np.int64], filled: NDArray[np.bool_], levels: int) -> NDArray[np.int64]:
    """Each level's sum over its filled bins, truncated to an integer, in every bin of the level; 0 in the bins left over."""
    merged = inside.size // levels
    whole = levels * merged
    sums = inside[:whole].reshape(levels, merged).sum(axis=1)
    sums[-1] += inside[whole:].sum()
    number = filled[:whole].reshape(levels, merged).sum(axis=1)
    q = np.zeros(inside.size, np.int64)
    q[:whole] = np.repeat((sums / np.maximum(number, 1) * (number > 0)).astype(np.int64), merged)
    return q


def _smoothed_divergence(p: NDArray[np.int64], q: NDArray[np.int64]) -> np.float32:
    """Relative entropy of the smoothed distributions, in float32; infinite where q is empty."""
    if not q.any():
        return np.float32(np.inf)
    a, b = _smoothed(p), _smoothed(q)
    a, b = a / np.sum(a), b / np.sum(b)
    return np.float32(np.sum(a * np.log(a / b)))


def _smoothed(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Zeros become eps; what that adds is taken from the others."""
    empty = (counts == 0).astype(np.float32)
    number = float(empty.sum())
    if number * EPS >= counts.size - number:
        raise ValueError(f"KL: {int(number)} of {counts.size} bins are empty, too many to smooth; allowed: fewer bins (rule C5)")
    share = EPS * number / (counts.size - number)
    smooth = counts.astype(np.float32)
    smooth += np.float32(EPS) * empty + np.float32(-share) * (counts != 0).astype(np.float32)
    return smooth
