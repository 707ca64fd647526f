"""The encoder of each family: it prepares the call of its kernel, the vector one where that applies, else the portable one.

Both kernels give the same bits. The vector one takes whole blocks (k a multiple of 16), scales that are chosen, default handling
of NaN, Inf and subnormals, exact arithmetic, and random words of at most 8 bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec import low_bit
from qsim.codec.frame import Frame, block_frame, by_row, segment_frame
from qsim.codec.lanes import LANES, lanes_decoder
from qsim.codec.lower import element_grid, element_params, even_half_ulp, groups, normalized24
from qsim.codec.qtensor import QTensor
from qsim.codec.threads import pieces, run
from qsim.spec import SCALE_RULES, Counter, Options

Array = NDArray[Any]
Call = Callable[[slice, slice, Array, Array, Array, Array], int]
NONFINITE_POLICY = ("nan_block", "saturate", "error")
FUSED_PIECE = 1 << 17
NO_WORDS = np.zeros((0, 0), np.uint32)


@dataclass(frozen=True)
class Job:
    """One encode: the QTensor to fill, the input (axis moved last, contiguous float32), the random words.

    words: uint32 laid out as x, empty without stochastic rounding, or a Counter where x is in C order of the input.
    values: an array laid out as x to decode into piece by piece; the codes are then not kept.
    """

    q: QTensor
    x: NDArray[np.float32]
    words: NDArray[np.uint32] | Counter
    given: bool
    values: NDArray[np.float32] | None = None

    @property
    def add(self) -> Array:
        """The rounding mode as the portable kernels take it, int64[4]."""
        from qsim.kernels.rounding import addends

        return np.asarray(addends(self.q.options.rounding))

    @property
    def lane_add(self) -> tuple[int, ...] | None:
        """The rounding mode as the vector kernels take it: None for half_even."""
        return None if self.q.options.rounding == "half_even" else tuple(int(a) for a in self.add)

    @property
    def params(self) -> Any:
        """The element as kernels take it."""
        return element_params(self.q.format, self.q.options)

    def lanes(self, frame: Frame, k: int = LANES) -> bool:
        """Whether the vector kernels may take this call."""
        from qsim.kernels.jit import JIT

        if not JIT:
            return False
        from qsim.kernels.vector import available

        o = self.q.options
        plain = o.subnormals == "keep" and o.nonfinite == "nan_block" and o.arithmetic == "exact" and o.division == "exact"
        short = o.rounding != "stochastic" or o.random_bits <= 8
        return bool(available() and plain and short and k % LANES == 0 and (k == LANES or frame.length % k == 0))

    def run(self, frame: Frame, call: Call, unit: int = 1) -> int:
        """call(rows, columns, x, u, codes, words) on each piece; 0 or the first bad status."""
        if self.values is not None:
            return self._run_fused(frame, call, unit)
        x = frame.view(self.x)
        codes = frame.view(self.q.codes_moved)
        words_of = self.piece_words(frame)
        u = x.view(np.uint32)

        def task(r: slice, c: slice) -> int:
            return int(call(r, c, x[r, c], u[r, c], codes[r, c], words_of(r, c)))

        statuses = run(task, pieces(frame.rows, frame.length, unit))
        frame.restore(codes, self.q.codes_moved)
        return next((s for s in statuses if s), 0)

    def piece_words(self, frame: Frame) -> Callable[[slice, slice], Array]:
        """The words of a piece; those of a Counter are made when they are needed."""
        if not isinstance(self.words, Counter):
            words = frame.view(self.words) if self.words.size else NO_WORDS
            return lambda r, c: words[r, c] if words.size else words
        from qsim.kernels.random import counter_words

        seed, bits = self.words.seed, self.q.options.random_bits

        def made(r: slice, c: slice) -> Array:
            shape = (r.stop - r.start, c.stop - c.start)
            out = scratch("words", shape[0] * shape[1], np.dtype(np.uint32))
            counter_words(seed, r.start * frame.length + c.start, bits, out)
            return out.reshape(shape)

        return made

    def _run_fused(self, frame: Frame, call: Call, unit: int) -> int:
        """As run, each piece decoded while its codes are in the cache."""
        assert self.values is not None
        x = frame.view(self.x)
        values = np.empty_like(x) if frame.swap else self.values.reshape(x.shape)
        words_of = self.piece_words(frame)
        u = x.view(np.uint32)
        decode = lanes_decoder(self.q, frame, values)
        assert decode is not None
        dtype = self.q.codes_moved.dtype

        def task(r: slice, c: slice) -> int:
            part = x[r, c]
            codes = scratch("codes", part.size, dtype).reshape(part.shape)
            status = int(call(r, c, part, u[r, c], codes, words_of(r, c)))
            if not status:
                decode(r, c, codes)
            return status

        statuses = run(task, pieces(frame.rows, frame.length, max(unit, LANES), FUSED_PIECE))
        frame.restore(values, self.values)
        return next((s for s in statuses if s), 0)


_local = threading.local()


def scratch(name: str, n: int, dtype: np.dtype[Any]) -> Array:
    """An uninitialized array of this thread's own, n elements, kept for the next piece."""
    buffer = getattr(_local, name, None)
    if buffer is None or buffer.nbytes < n * dtype.itemsize:
        buffer = np.empty(n * dtype.itemsize, np.uint8)
        setattr(_local, name, buffer)
    return np.asarray(buffer[: n * dtype.itemsize].view(dtype))


def flat_words(words: Array) -> Array | None:
    """The words as the vector kernels take them: None if not stochastic."""
    return words.reshape(-1) if words.size else None


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
    if standard and frame.length % LANES == 0 and not job.given and job.lanes(frame):
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
    if not job.given and job.lanes(frame, k) and frame.length % k == 0:
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


def _float_scale_type(q: QTensor, level: int = 0) -> tuple[int, int, int]:
    t = q.format.scales[level].float_type
    return t.mantissa_bits, t.emin, t.max_code


def _refuse_scale(q: QTensor, level: int, index: int) -> None:
    s = q.format.scales[level]
    shape = q.scales_moved[level].shape
    place = ", ".join(str(int(i)) for i in np.unravel_index(index, shape)) if shape else ""
    raise ValueError(
        f"{q.format.name}: the scale of group [{place}] (level L{level}, {s.group}) is above the largest {s.type},"
        f" {float(s.float_type.largest):g}; scale the tensor, or use scale_overflow='saturate' (rule S9)"
    )


def segment_extremes(frame: Frame, x: NDArray[np.float32], *, signs: bool) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Largest positive and largest negative magnitude pattern of each segment; without `signs`, both in the first."""
    from qsim.kernels import stats
    from qsim.kernels.jit import JIT

    u = frame.view(x).view(np.uint32)
    high, low = np.zeros(frame.segments, np.uint32), np.zeros(frame.segments, np.uint32)
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

    for r, a, b in run(task, pieces(frame.rows, frame.length)):
        np.maximum.at(high, frame.segment[r], a)
        np.maximum.at(low, frame.segment[r], b)
    return high, low


def choose_segment_scales(job: Job, frame: Frame, level: int, affine: int, divisor: float, codes: Array, zeros: Array) -> int:
    """Scale codes (and zero points) of the segments of one level; 1 where an input is not finite."""
    from qsim.kernels import encode as portable

    high, low = segment_extremes(frame, job.x, signs=affine != 0)
    if max(high.max(initial=0), low.max(initial=0)) >= 0x7F800000:
        return 1
    p = job.params
    saturate = int(job.q.options.scale_overflow == "saturate")
    scale_type = _float_scale_type(job.q, level)
    bad = portable.choose_scales(high, low, affine, float(divisor), p.qmin, p.qmax, *scale_type, saturate, codes, zeros)
    if bad >= 0:
        _refuse_scale(job.q, level, bad)
    return 0


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
    mantissa, emin, _ = _float_scale_type(q)
    frame = segment_frame(q.geometry)
    scales = q.scales_moved[0].reshape(-1)
    zeros = q.zero_point_moved.reshape(-1) if q.zero_point_moved is not None else np.zeros(scales.size, np.int32)
    if not job.given and choose_segment_scales(job, frame, 0, affine, p.qmax, scales, zeros):
        return 1
    if job.lanes(frame):
        from qsim.kernels import fast

        if job.given and max(extreme.max(initial=0) for extreme in segment_extremes(frame, job.x, signs=False)) >= 0x7F800000:
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


def _encode_groups(job: Job) -> int:
    from qsim.kernels import encode as portable

    q, add, p = job.q, job.add, job.params
    affine = (2 if q.options.arithmetic == "onnxruntime" else 1) if q.format.zero_point else 0
    k = q.format.block_size
    frame = block_frame(q.geometry, flat=True)
    scales = by_row(q.scales_moved[0], frame)
    zeros = by_row(q.zero_point_moved, frame) if q.zero_point_moved is not None else np.zeros((0, 0), np.int32)
    scale_type = (k, affine, *_float_scale_type(q), int(q.options.scale_overflow == "saturate"))
    lanes = not job.given and job.lanes(frame, k) and frame.length % k == 0
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
            status = portable.encode_groups(x, u, codes, s, z, *scale_type, op, job.given, p, add, words)
        if status >= portable.SCALE_OVERFLOW:
            row, column = divmod(status - portable.SCALE_OVERFLOW, s.shape[1])
            _refuse_scale(q, 0, (r.start + row) * scales.shape[1] + g.start + column)
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
    if not job.given and choose_segment_scales(job, frame, 1, 0, p.qmax * smax, gammas, np.zeros(gammas.size, np.int32)):
        return 1
    mantissa, emin, _ = _float_scale_type(q, 1)
    float_first = q.options.order == "float_first"
    if not job.given and not float_first and mantissa <= 10 and job.lanes(frame, k) and frame.length % k == 0:
        from qsim.kernels import fast

        lane_add = job.lane_add

        def lanes(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
            tail = (x.shape[1], gammas, frame.segment[r], k, smax, mantissa, emin, p, lane_add, flat_words(words))
            return int(fast.encode_vsq(u.reshape(-1), codes.reshape(-1), vectors[r, groups(c, k)].reshape(-1), *tail))

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
    if standard and not job.given and job.lanes(frame, k) and frame.length % k == 0:
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
        tail = (int(g[0]), k, largest, *_float_scale_type(q), min_code, chain, job.given, p, add, words)
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
