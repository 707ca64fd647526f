"""Scales of a whole tensor or of channels, from the extremes of each (rules S4, S5, S6, S8, S9)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.frame import Frame
from qsim.codec.job import Job
from qsim.codec.qtensor import QTensor, refuse_scale
from qsim.codec.threads import pieces, run

Array = NDArray[Any]


def float_scale_type(q: QTensor, level: int = 0) -> tuple[int, int, int]:
    """(mantissa bits, emin, largest code) of a level's float type."""
    t = q.format.scales[level].float_type
    return t.mantissa_bits, t.emin, t.max_code


def segment_extremes(frame: Frame, x: NDArray[np.float32], *, signs: bool) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Largest positive and largest negative magnitude pattern of each segment; without `signs`, both in the first."""
    return row_extremes(frame.view(x), frame.segment, frame.segments, signs=signs)


def row_extremes(
    x: NDArray[np.float32], segment: NDArray[np.int64], segments: int, *, signs: bool
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The same of rows (C-contiguous, 2-D), row r belonging to segment[r]."""
    from qsim.kernels import stats
    from qsim.kernels.jit import JIT

    u = x.view(np.uint32)
    high, low = np.zeros(segments, np.uint32), np.zeros(segments, np.uint32)
    lanes = False
    if JIT:
        from qsim.kernels import fast, vector

        lanes = vector.available()

    def task(r: slice, c: slice) -> tuple[slice, Array, Array]:
        part = u[r, c]
        a, b = np.zeros(part.shape[0], np.uint32), np.zeros(part.shape[0], np.uint32)
        if not lanes:
            stats.extremes(part, a, b)
        elif signs:
            fast.extremes_of_rows(part.reshape(-1), part.shape[1], a, b)
        else:
            fast.amax_of_rows(part.reshape(-1), part.shape[1], a)
        return r, a, b

    for r, a, b in run(task, pieces(*u.shape)):
        np.maximum.at(high, segment[r], a)
        np.maximum.at(low, segment[r], b)
    return high, low


def choose_segment_scales(job: Job, frame: Frame, level: int, affine: int, divisor: float, codes: Array, zeros: Array) -> int:
    """Scale codes (and zero points) of the segments of one level, from x or the limits given; 1 where an input is not finite."""
    from qsim.kernels import encode as portable

    high, low = job.limits or segment_extremes(frame, job.x, signs=affine != 0)
    if max(high.max(initial=0), low.max(initial=0)) >= 0x7F800000:
        return 1
    p = job.params
    saturate = int(job.q.options.scale_overflow == "saturate")
    scale_type = float_scale_type(job.q, level)
    bad = portable.choose_scales(high, low, affine, float(divisor), p.qmin, p.qmax, *scale_type, saturate, codes, zeros)
    if bad >= 0:
        refuse_scale(job.q, level, bad)
    return 0
