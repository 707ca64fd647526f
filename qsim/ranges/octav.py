"""OCTAV: the clipping threshold of least modelled noise (Sakr et al., ICML 2022, arXiv:2206.06501, equation 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsim.codec.threads import pieces, run
from qsim.ranges.calibrator import Array, Calibrator
from qsim.ranges.levels import level_bits
from qsim.spec import Format

FIELD = 7  # bins a binade, as a power of two: the upper 16 bits of a float32
PIECE = 1 << 20
LIFT = 64  # binades by which segments with an amax below 2^-LOW are lifted, so that subnormals have bins of 2^-7 too
LOW = 95  # 127 - 32: from here on the window holds no subnormal


class OCTAV(Calibrator):
    """t is the fixed point of s <- sum |x|[|x| > s] / (c * #{0 < |x| <= s} + #{|x| > s}).

    c is step^2 / (12 s^2). step="paper": 2s / 2^bits, c = 4^-bits / 3 (one-sided: s / 2^bits, c = 4^-bits / 12).
    step="grid": that of qsim's symmetric grid, s / (2^(bits-1) - 1) (one-sided: s / (2^bits - 1)).
    One-sided is an affine calibrator (symmetric=False) that has seen no negative value.

    State: of each segment a histogram of magnitudes by the upper 16 bits of their float32 pattern (of a subnormal: as if the
    exponent had no end, so that the bins stay as narrow), with exact counts and exact sums, 32 binades below the largest: 64
    KiB a segment whatever the number of values. Smaller values are only counted; as t >= amax / n that changes nothing below
    2^30 values. A bin enters the formula as its values' exact mean; h is the same at both ends of a bin, so the root stays in
    its bin. The state is integers: it does not depend on order, batches or threads, and merging is exact.

    With h(s) = s * denominator - numerator the fixed points are the roots of h, and h only grows: by the denominator between two
    values, and by c * v at a value v. So there is one root, or h changes sign at one value v, where the iteration would
    alternate for ever; t is the root, or that v. It is found by one search over the bins, so that nothing can fail to converge.
    """

    def __init__(
        self,
        *,
        bits: int | None = None,
        fmt: str | Format | None = None,
        step: str = "paper",
        symmetric: bool = True,
        axis: int | None = None,
        group: int | None = None,
    ) -> None:
        """Check the settings."""
        if step not in ("paper", "grid"):
            raise ValueError(f"step={step!r}; allowed: paper, grid")
        super().__init__(bits=level_bits(bits, fmt), step=step, symmetric=symmetric, axis=axis, group=group)
        self._first = np.zeros(0, np.int64)
        self._counts = self._sums = np.zeros((0, 0), np.int64)
        self._small = np.zeros(0, np.int64)
        self._lifted = np.zeros(0, bool)  # segments that are low in this batch

    def _start(self, count: int) -> None:
        from qsim.kernels.ranges import BINS

        self._first, self._small = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._counts, self._sums = np.zeros((count, BINS), np.int64), np.zeros((count, BINS), np.int64)

    def _update(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        amax = np.maximum(-low, high)
        self._lifted = amax < np.float32(2.0**-LOW)
        first = _window(amax)
        if self.batches:
            self._raise(first)
        else:
            self._first = first  # nothing to move; memory that is not touched costs nothing

    def _raise(self, first: NDArray[np.int64]) -> None:
        """Move the windows up to at least `first`; what falls out below is counted only."""
        for i in np.flatnonzero(first > self._first):
            shift = int(min(first[i] - self._first[i], self._counts.shape[1]))
            self._small[i] += self._counts[i, :shift].sum()
            for bins in (self._counts[i], self._sums[i]):
                bins[: bins.size - shift] = bins[shift:].copy()
                bins[bins.size - shift :] = 0
        self._first = np.maximum(self._first, first)

    def _update_rows(self, number: int, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        from qsim.kernels.ranges import BINS, magnitude_histogram

        first, lifted = self._first, self._lifted[ids]
        if lifted.any():
            first = first + np.where(self._lifted, LIFT << FIELD, 0)
            rows = rows * np.where(lifted, np.float32(2.0**LIFT), np.float32(1))[:, None]
        u = rows.view(np.uint32)
        work = pieces(u.shape[0], u.shape[1], piece=PIECE)
        if u.shape[1] < PIECE and (np.diff(ids) == 1).all():  # pieces of whole rows, which lie in the state as they come
            state = [a[ids[0] : ids[-1] + 1] for a in (first, self._counts, self._sums, self._small)]
            run(lambda r, c: magnitude_histogram(u[r], *(a[r] for a in state)), work)
            return

        def task(r: slice, c: slice) -> tuple[slice, Array, Array, Array]:
            n = r.stop - r.start
            counts, sums, small = np.zeros((n, BINS), np.int64), np.zeros((n, BINS), np.int64), np.zeros(n, np.int64)
            magnitude_histogram(u[r, c], first[ids[r]], counts, sums, small)
            return r, counts, sums, small

        for r, counts, sums, small in run(task, work):
            self._counts[ids[r]] += counts
            self._sums[ids[r]] += sums
            self._small[ids[r]] += small

    def _merge(self, other: OCTAV) -> None:
        self._raise(other._first)
        moved = OCTAV.__new__(OCTAV)
        moved.__dict__.update({k: v.copy() if isinstance(v, np.ndarray) else v for k, v in other.__dict__.items()})
        moved._raise(self._first)
        self._counts += moved._counts
        self._sums += moved._sums
        self._small += moved._small

    def _range(self) -> tuple[Array, Array]:
        from qsim.kernels.ranges import fixed_points

        c = np.array([self._coefficient(bool(one)) for one in self._one_sided])
        thresholds = np.zeros(c.size)
        fixed_points(self._first, self._counts, self._sums, self._small, c, thresholds)
        return self._clipped(thresholds)

    def _coefficient(self, one_sided: bool) -> float:
        bits = self.settings["bits"]
        if self.settings["step"] == "paper":
            return float(4.0**-bits) / (12 if one_sided else 3)
        return float(1 / (12 * ((1 << bits if one_sided else 1 << (bits - 1)) - 1) ** 2))


def _window(amax: NDArray[np.float32]) -> NDArray[np.int64]:
    """The first bin of a window of 32 binades that ends with the binade of amax; for 0 that of the least subnormal."""
    from qsim.kernels.ranges import BINADES

    field = np.frexp(np.maximum(amax, np.float32(2.0**-149)))[1].astype(np.int64) + 126
    return np.asarray((field - (BINADES - 1)) << FIELD)
