"""Ternary weights: which are kept, by TWN's rule or by the exact optimum (rule B)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.low_bit import in_last_bits, magnitude_sums
from qsim.lowbit.scales import channel_rows, finite_values, thresholds_of
from qsim.spec.geometry import normalize_axis

Array = NDArray[Any]
METHODS = ("twn", "optimal")


def ternary_threshold(w: object, *, method: str = "twn", channel_axis: int | None = None) -> NDArray[np.float64]:
    """The threshold t of ternary weights: sign(w) where |w| > t, else 0.

    twn: 0.7 * mean |w|, one float64 product of the mean of rule B, as `encode(w, "ternary")` has it. Li et al. 2016,
    arXiv:1605.04711, who take it from the optimum for Gaussian and uniform weights.

    optimal: the t for which ||w - alpha * ternary||^2 is least, with alpha the exact mean of the kept: the k largest are kept, k
    where (sum of the k largest |w|)^2 / k is greatest, compared exactly (the same paper). The fewest are kept where several k are
    equal. t is the largest |w| that is not kept, or 0. Equal |w| are kept together: adding j of them to a sum S of k gives
    (S + j v)^2 / (k + j), which first falls, then rises with j, so that no optimum lies between.

    Args:
        w: finite floats (rule R4).
        method: "twn" or "optimal".
        channel_axis: one threshold an index of it (a 1-D w is one channel, rule S11); None: one for all of w.

    Returns:
        float64 (channels,), or () without channel_axis; 0 for all-zero channels.

    Raises:
        ValueError: NaN or Inf, another method.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}; allowed: {', '.join(METHODS)}")
    rows = channel_rows(w, channel_axis)
    if method == "twn":
        sums, counts = magnitude_sums(rows, np.arange(len(rows)), np.full(len(rows), -1.0))
        found = [0.7 * (s / n) if n else 0.0 for s, n in zip(sums, counts, strict=True)]
    else:
        found = [_optimal(row) for row in rows]
    return np.array(found, np.float64).reshape(() if channel_axis is None else -1)


def ternary_signs(w: object, threshold: object, *, channel_axis: int | None = None) -> NDArray[np.int8]:
    """sign(w) where |w| > threshold, strictly, else 0 (rule B).

    Args:
        w: finite floats (rule R4).
        threshold: float64, () or (channels,), as `ternary_threshold` makes it.
        channel_axis: the dimension that `threshold` has one value for; None: one for all.

    Returns:
        int8, -1, 0 or +1, w's shape.

    Raises:
        ValueError: NaN or Inf, a threshold that is negative or of another shape.
    """
    values = finite_values(w)
    t: Array
    if channel_axis is None or values.ndim < 2:
        t = thresholds_of(threshold, 1, channel_axis)
    else:
        axis = normalize_axis(channel_axis, values.ndim, "channel_axis")
        t = thresholds_of(threshold, values.shape[axis], channel_axis)
        t = t.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return (values > t).astype(np.int8) - (values < -t).astype(np.int8)


def _optimal(row: NDArray[np.float32]) -> float:
    """The threshold of one channel."""
    m = np.sort(np.abs(row))[::-1]
    m = np.ascontiguousarray(m[: np.count_nonzero(m)])
    if not m.size:
        return 0.0
    sums = np.cumsum(m, dtype=np.float64)
    scores = sums * sums / np.arange(1, m.size + 1)
    # Relatively, a sum of n is off by at most n * 2^-53, a score by 2n + 2 of these, two by 4n + 4: the margin has twice that.
    near = scores >= scores.max() * (1 - (m.size + 4) * 2.0**-50)
    ends = np.append(m[:-1] > m[1:], True)
    best, largest, before, total = 0, 0, 0, 0
    for k in (np.flatnonzero(near & ends) + 1).tolist():
        total += _exact_sum(m[before:k])
        before = k
        if total * total * best > largest * largest * k or not best:
            best, largest = k, total
    return float(m[best]) if best < m.size else 0.0


def _exact_sum(m: NDArray[np.float32]) -> int:
    """In units of 2^-149."""
    from qsim.kernels.stats import magnitude_sum

    bins = np.zeros(320, np.int64)
    magnitude_sum(m.view(np.uint32), -1, bins)
    return in_last_bits(bins)
