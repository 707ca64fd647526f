"""Binary and ternary (rule B): signs or thresholds, with alpha an exact mean rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.frame import Frame, segment_frame
from qsim.codec.qtensor import QTensor, refuse_scale
from qsim.codec.threads import pieces, run

Array = NDArray[Any]
NONFINITE = 1


def encode(q: QTensor, x: NDArray[np.float32], words: NDArray[np.uint32], given: bool) -> int:
    """Fill q from x (axis moved last); 1 where an input is not finite."""
    from qsim.kernels import encode as kernels

    if not np.isfinite(x).all():
        return NONFINITE
    frame, pad = _frame(q)
    values = _padded(x, q, pad)
    rows = values.reshape(frame.rows, frame.length)
    counts = _counts(q, frame, pad)
    codes = np.empty(rows.shape, np.uint8)
    ternary = q.format.family == "ternary"
    alphas = np.empty(0)
    thresholds = np.zeros(0)
    sums: list[float] = []
    if not given or ternary or words.size:
        sums, _ = magnitude_sums(rows, frame.segment, np.full(frame.segments, -1.0))
        means = np.array([s / n if n else 0.0 for s, n in zip(sums, counts, strict=True)])
        thresholds, alphas = 0.7 * means, means
        if ternary:
            kept, number = magnitude_sums(rows, frame.segment, thresholds)
            alphas = np.array([s / n if n else 1.0 for s, n in zip(kept, number, strict=True)])
    if not given:
        q.scales_moved[0].reshape(-1)[:] = _alpha_codes(q, alphas, sums)
    if ternary:
        run(lambda r, c: kernels.encode_ternary(rows[r, c], codes[r, c], thresholds, frame.segment[r]), pieces(*rows.shape))
    else:
        w = _padded(words, q, pad).reshape(rows.shape) if words.size else np.zeros((0, 0), np.uint32)
        u = rows.view(np.uint32)
        r_bits = q.options.random_bits

        def signs(r: slice, c: slice) -> int:
            return int(kernels.encode_binary(rows[r, c], u[r, c], codes[r, c], r_bits, w[r, c] if w.size else w))

        run(signs, pieces(*rows.shape))
        if words.size:  # rule S9: an all-zero group is all +1
            codes[np.array(sums)[frame.segment] == 0.0] = 1
    if pad is None:
        frame.restore(codes, q.codes_moved)
        if not frame.swap:
            q.codes_moved[...] = codes.reshape(q.codes_moved.shape)
    else:
        q.codes_moved[...] = codes.reshape(*q.codes_moved.shape[:-1], q.scales_moved[0].shape[-1] * pad)[
            ..., : q.codes_moved.shape[-1]
        ]
    return 0


def _frame(q: QTensor) -> tuple[Frame, int | None]:
    """Rows of one scale each; for groups of k, one row a group with a partial last one padded to k."""
    k = q.format.scales[0].group
    if not isinstance(k, int):
        return segment_frame(q.geometry), None
    n = q.scales_moved[0].size
    return Frame(q.geometry, n, k, np.arange(n), n), k


def _padded(a: Array, q: QTensor, pad: int | None) -> Array:
    if pad is None:
        frame = segment_frame(q.geometry)
        return frame.view(a.reshape(q.geometry.moved_shape))
    extra = -q.geometry.length % pad
    a = a.reshape(q.geometry.moved_shape)
    return np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, extra)]) if extra else a


def _counts(q: QTensor, frame: Frame, pad: int | None) -> list[int]:
    if pad is None:
        return [q.geometry.size // max(frame.segments, 1)] * frame.segments
    per_row = [min(pad, q.geometry.length - i) for i in range(0, q.geometry.length, pad)]
    return per_row * q.geometry.rows


def magnitude_sums(rows: Array, segment: NDArray[np.int64], thresholds: NDArray[np.float64]) -> tuple[list[float], list[int]]:
    """Sum (correctly rounded to float64, as math.fsum) and number of the |x| > threshold of each segment; a negative one: all.

    rows: finite float32, 2-D, C-contiguous; segment: of each row, an index of thresholds.
    """
    from qsim.kernels import stats

    u = rows.view(np.uint32)
    limits = np.where(thresholds < 0, -1, patterns_below(thresholds))

    def task(r: slice, c: slice) -> list[tuple[int, Array, int]]:
        found = []
        for i in range(r.start, r.stop):
            bins = np.zeros(320, np.int64)
            s = int(segment[i])
            found.append((s, bins, stats.magnitude_sum(u[i, c], int(limits[s]), bins)))
        return found

    totals, counts = [0] * thresholds.size, [0] * thresholds.size
    for found in run(task, pieces(*rows.shape)):
        for s, bins, n in found:
            counts[s] += n
            totals[s] += in_last_bits(bins)
    return [t / (1 << 149) for t in totals], counts


def in_last_bits(bins: Array) -> int:
    """The exact sum that `kernels.stats.magnitude_sum` left in its bins, in units of 2^-149."""
    return sum(int(bins[field]) << max(int(field) - 1, 0) for field in np.flatnonzero(bins))


def patterns_below(thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pattern of the largest float32 at most each threshold: |x| > threshold iff the pattern of |x| is above it."""
    nearest = thresholds.astype(np.float32)
    pattern = nearest.view(np.uint32).astype(np.int64)
    return np.where(nearest.astype(np.float64) > thresholds, pattern - 1, pattern)


def _alpha_codes(q: QTensor, alphas: NDArray[np.float64], sums: list[float]) -> Array:
    """Alpha once to its float type; a zero group has scale 0 (binary) or 1.0 (ternary), another never 0 (rule S9)."""
    from qsim.kernels import scale as sc

    t = q.format.scales[0].float_type
    empty = 0 if q.format.family == "binary" else (1 - t.emin) << t.mantissa_bits
    codes = np.empty(alphas.size, q.scales_moved[0].dtype)
    codes[:] = empty
    saturate = q.options.scale_overflow == "saturate"
    bad = sc.float_scales(np.where(np.array(sums) > 0, alphas, 0.0), t.mantissa_bits, t.emin, t.max_code, saturate, codes)
    if bad >= 0:
        refuse_scale(q, 0, bad)
    return codes
