"""The encoder of each family: it prepares the call of its kernel, the vector one where that applies, else the portable one.

Both kernels give the same bits. The vector one takes whole blocks (k a multiple of 16), scales that are chosen, default handling
of NaN, Inf and subnormals, exact arithmetic, and random words of at most 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec import low_bit, threads
from qsim.codec.frame import Frame, block_frame, by_row, segment_frame
from qsim.codec.job import FUSED_PIECE, Job, flat_words
from qsim.codec.lanes import LANES
from qsim.codec.lower import element_grid, even_half_ulp, groups, normalized24
from qsim.codec.qtensor import refuse_scale
from qsim.codec.segment_scales import choose_segment_scales, float_scale_type, segment_extremes
from qsim.spec import SCALE_RULES, Options

Array = NDArray[Any]
NONFINITE_POLICY = ("nan_block", "saturate", "error")


def _encode_float(job: Job) -> int:
    from qsim.kernels import encode as portable

    frame = block_frame(job.q.geometry, flat=True)
    add, p = job.add, job.params

    def slow(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        return int(portable.encode_floats(x, u, codes, p, add, words))

    if not job.lanes(frame):
        return job.run(frame, slow)
    from qsim.kernels import fast

    lane_add = job.lane_add

    def lanes(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        whole = u.size // LANES * LANES
        status = fast.encode_floats(u.reshape(-1)[:whole], codes.reshape(-1)[:whole], p, lane_add, flat_words(words))
        if whole == u.size or status:
            return int(status)
        rest = (slice(None), slice(whole, None))
        return slow(r, c, x[rest], u[rest], codes[rest], words[rest] if words.size else words)

    return job.run(frame, lanes, LANES)


def _encode_microexponent(job: Job) -> int:
    q, add, p = job.q, job.add, job.params
    frame = block_frame(q.geometry, flat=True)
    shared = by_row(q.scales_moved[-1], frame)
    k1 = q.format.block_size
    k2 = q.format.scales[0].group if len(q.format.scales) == 2 else 0
    assert isinstance(k2, int)
    micro = by_row(q.scales_moved[0], frame) if k2 else np.zeros((0, 0), np.uint8)
    lsb = q.format.element.lsb_exponent
    standard = k1 == LANES and k2 in (0, 2) and lsb == 2 - q.format.element.bits
    if standard and not job.given and job.lanes(frame, k1):
        from qsim.kernels import fast

        lane_add = job.lane_add

        def lanes(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
            m = micro[r, groups(c, k2)] if k2 else micro
            tail = (shared[r, groups(c, k1)].reshape(-1), k2, p, lane_add, flat_words(words))
            return int(fast.encode_mx(u.reshape(-1), codes.reshape(-1), m.reshape(-1), *tail))

        return job.run(frame, lanes, k1)
    from qsim.kernels import encode as portable

    flush, nonfinite = _input_options(q.options)

    def slow(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        m = micro[r, groups(c, k2)] if k2 else micro
        tail = (k1, k2, lsb, flush, nonfinite, job.given, p, add, words)
        return int(portable.encode_microexponent(x, u, codes, m, shared[r, groups(c, k1)], *tail))

    return job.run(frame, slow, k1)


def _input_options(options: Options) -> tuple[int, int]:
    return int(options.subnormals == "flush"), NONFINITE_POLICY.index(options.nonfinite)


def _encode_ocp(job: Job) -> int:
    q, add, p = job.q, job.add, job.params
    e = q.format.element
    frame = block_frame(q.geometry, flat=True)
    shared = by_row(q.scales_moved[0], frame)
    k = q.format.block_size
    rule = SCALE_RULES.index(q.options.scale_rule)
    lsb = 0 if e.is_float else e.lsb_exponent
    constants = (k, lsb, rule, e.emax, even_half_ulp(e), *normalized24(e.largest), element_grid(e))
    room = not e.is_float or e.emax < 99  # what encode_saturating16_even asks for
    if not job.given and room and job.lanes(frame, k):
        from qsim.kernels import fast

        lane_add = job.lane_add

        def lanes(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
            tail = (*constants, p, lane_add, add, flat_words(words))
            block = shared[r, groups(c, k)].reshape(-1)
            return int(fast.encode_ocp(x.reshape(-1), u.reshape(-1), codes.reshape(-1), block, *tail))

        return job.run(frame, lanes, k)
    from qsim.kernels import encode as portable

    flush, nonfinite = _input_options(q.options)

    def slow(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        tail = (flush, nonfinite, job.given, p, add, words)
        return int(portable.encode_ocp(x, u, codes, shared[r, groups(c, k)], *constants, *tail))

    return job.run(frame, slow, k)


def _division(options: Options) -> int:
    from qsim.kernels.element import DIVIDE, EXACT, MULTIPLY

    exact = DIVIDE if options.arithmetic == "onnxruntime" else EXACT
    op: int = {"exact": exact, "reciprocal": MULTIPLY, "float32": DIVIDE}[options.division]
    return op


def _encode_integer(job: Job) -> int:
    if isinstance(job.q.format.scales[0].group, int):
        return _encode_groups(job)
    from qsim.kernels import encode as portable

    q, add, p = job.q, job.add, job.params
    affine = (2 if q.options.arithmetic == "onnxruntime" else 1) if q.format.zero_point else 0
    mantissa, emin, _ = float_scale_type(q)
    frame = segment_frame(q.geometry)
    scales = q.scales_moved[0].reshape(-1)
    zeros = q.zero_point_moved.reshape(-1) if q.zero_point_moved is not None else np.zeros(scales.size, np.int32)
    if not job.given and choose_segment_scales(job, frame, 0, affine, p.qmax, scales, zeros):
        return 1
    if job.lanes(frame):
        from qsim.kernels import fast

        if (job.given or job.limits) and _nonfinite(frame, job.x):
            return 1
        lane_add = job.lane_add

        def lanes(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
            tail = (scales, zeros, frame.segment[r], mantissa, emin, p, lane_add, add, flat_words(words))
            return int(fast.encode_segments(x.reshape(-1), u.reshape(-1), codes.reshape(-1), x.shape[1], *tail))

        return job.run(frame, lanes, LANES)
    op = _division(q.options)

    def slow(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        return int(portable.encode_segments(x, u, codes, scales, zeros, frame.segment[r], mantissa, emin, op, p, add, words))

    return job.run(frame, slow)


def _nonfinite(frame: Frame, x: Array) -> bool:
    """Whether any value is NaN or infinite."""
    return any(int(extreme.max(initial=0)) >= 0x7F800000 for extreme in segment_extremes(frame, x, signs=False))


def _encode_groups(job: Job) -> int:
    from qsim.kernels import encode as portable

    q, add, p = job.q, job.add, job.params
    affine = (2 if q.options.arithmetic == "onnxruntime" else 1) if q.format.zero_point else 0
    k = q.format.block_size
    frame = block_frame(q.geometry, flat=True)
    scales = by_row(q.scales_moved[0], frame)
    zeros = by_row(q.zero_point_moved, frame) if q.zero_point_moved is not None else np.zeros((0, 0), np.int32)
    scale_type = (k, affine, *float_scale_type(q), int(q.options.scale_overflow == "saturate"))
    given = job.given
    if job.limits:
        flat = np.zeros(scales.size, np.int32) if not affine else zeros.reshape(-1)
        choose_segment_scales(job, frame, 0, affine, p.qmax, scales.reshape(-1), flat)
        given = True
    lanes = not given and job.lanes(frame, k)
    op, lane_add = _division(q.options), job.lane_add
    if lanes:
        from qsim.kernels import fast

    def call(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        g = groups(c, k)
        z = zeros[r, g] if affine else zeros
        s = scales[r, g]
        if lanes:
            tail = (s.reshape(-1), z.reshape(-1), *scale_type, p, lane_add, flat_words(words))
            status = fast.encode_groups(x.reshape(-1), u.reshape(-1), codes.reshape(-1), *tail)
        else:
            status = portable.encode_groups(x, u, codes, s, z, *scale_type, op, given, p, add, words)
        if status >= portable.SCALE_OVERFLOW:
            row, column = divmod(status - portable.SCALE_OVERFLOW, s.shape[1])
            refuse_scale(q, 0, (r.start + row) * scales.shape[1] + g.start + column)
        return int(status)

    return job.run(frame, call, k)


def _encode_vsq(job: Job) -> int:
    q, add, p = job.q, job.add, job.params
    frame = block_frame(q.geometry, flat=False)
    k = q.format.block_size
    smax = (1 << q.format.scales[0].bits) - 1
    gammas = q.scales_moved[1].reshape(-1)
    vectors = by_row(q.scales_moved[0], frame)
    if q.format.scales[1].group == "tensor":
        frame = Frame(frame.geometry, frame.rows, frame.length, np.zeros_like(frame.segment), 1)
    mantissa, emin, max_code = float_scale_type(q, 1)
    float_first = q.options.order == "float_first"
    whole = not float_first and mantissa <= 10 and job.lanes(frame, k)
    in_kernel = whole and not job.limits and frame.rows == gammas.size and 0 < frame.length < min(FUSED_PIECE, threads.PIECE)
    if not job.given and not in_kernel:
        divisor, zeros = p.qmax * smax, np.zeros(gammas.size, np.int32)
        if choose_segment_scales(job, frame, 1, 0, divisor, gammas, zeros):
            return 1
    if not job.given and whole:
        from qsim.kernels import fast
        from qsim.kernels.encode import SCALE_OVERFLOW

        lane_add = job.lane_add
        constants = (k, smax, mantissa, emin, max_code, int(q.options.scale_overflow == "saturate"), in_kernel, p, lane_add)

        def lanes(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
            tail = (x.shape[1], gammas, frame.segment[r], *constants, flat_words(words))
            status = fast.encode_vsq(u.reshape(-1), codes.reshape(-1), vectors[r, groups(c, k)].reshape(-1), *tail)
            if status >= SCALE_OVERFLOW:
                refuse_scale(q, 1, status - SCALE_OVERFLOW)
            return int(status)

        return job.run(frame, lanes, k)
    from qsim.kernels import encode as portable

    def slow(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        tail = (gammas, frame.segment[r], k, smax, mantissa, emin, int(float_first), job.given, p, add, words)
        return int(portable.encode_vsq(x, u, codes, vectors[r, groups(c, k)], *tail))

    return job.run(frame, slow, k)


def _encode_nvfp4(job: Job) -> int:
    q, add, p = job.q, job.add, job.params
    frame = block_frame(q.geometry, flat=True)
    k = q.format.block_size
    e, t = q.format.element, q.format.scales[0].float_type
    largest = float(e.largest)
    g = q.scales_moved[1].reshape(-1)
    if not job.given and choose_segment_scales(job, frame, 1, 0, largest * float(t.largest), g, np.zeros(1, np.int32)):
        return 1
    scales = by_row(q.scales_moved[0], frame)
    min_code = 1 << t.mantissa_bits if q.options.min_scale == "normal" else 1
    standard = e.name == "E2M1" and e.bias == 1 and e.specials == "none" and q.format.scales[0].type == "E4M3"
    if standard and not job.given and job.lanes(frame, k):
        from qsim.kernels import fast

        lane_add = job.lane_add
        limits = fast.e2m1_limits(int(g[0]))

        def lanes(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
            tail = (int(g[0]), limits, k, largest, min_code, lane_add, flat_words(words))
            return int(fast.encode_nvfp4(u.reshape(-1), codes.reshape(-1), scales[r, groups(c, k)].reshape(-1), *tail))

        return job.run(frame, lanes, k)
    from qsim.kernels import encode as portable

    chain = ("exact", "modelopt", "torchao").index(q.options.arithmetic)

    def slow(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        tail = (int(g[0]), k, largest, *float_scale_type(q), min_code, chain, job.given, p, add, words)
        return int(portable.encode_nvfp4(x, u, codes, scales[r, groups(c, k)], *tail))

    return job.run(frame, slow, k)


def _encode_low_bit(job: Job) -> int:
    assert isinstance(job.words, np.ndarray)
    return low_bit.encode(job.q, job.x, job.words, job.given)


ENCODERS: dict[str, Callable[[Job], int]] = {
    "float": _encode_float,
    "microexponent": _encode_microexponent,
    "ocp": _encode_ocp,
    "absmax": _encode_integer,
    "affine": _encode_integer,
    "vsq": _encode_vsq,
    "nvfp4": _encode_nvfp4,
    "binary": _encode_low_bit,
    "ternary": _encode_low_bit,
}
