"""encode: float arrays to codes and scales. One function a family prepares the call of its kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec import low_bit
from qsim.codec.conventions import convention_options
from qsim.codec.frame import Frame, block_frame, by_row, segment_frame
from qsim.codec.input import as_float32, moved_rows, random_words, refuse_nonfinite
from qsim.codec.lower import element_grid, element_params, even_half_ulp, normalized24, scale_values
from qsim.codec.qtensor import QTensor, unsigned_dtype
from qsim.codec.threads import pieces, run
from qsim.spec import SCALE_RULES, Format, Geometry, Options, load_format, resolve_options

Array = NDArray[Any]
NONFINITE_POLICY = ("nan_block", "saturate", "error")


def encode(
    x: object,
    fmt: str | Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
    convention: str | None = None,
    random: object = None,
    scales: Sequence[object] | None = None,
    zero_point: object = None,
    **options: Any,
) -> QTensor:
    """Encode an array in a format.

    Args:
        x: float32, float64 (rounded once to float32 first, rule R4), float16 or bfloat16 array of any shape.
        fmt: catalogue name, path of a TOML file, or Format.
        axis: dimension along which blocks and groups run; for a product it must be the reduction axis.
        granularity: "tensor", "channel" or a group size, for formats with one float scale (rule S11); None: the format's own.
        channel_axis: dimension of the channels; a 1-D tensor is one channel.
        convention: a named set of options of a real stack (`qsim list conventions`); explicit options win over it.
        random: source of stochastic rounding's words: a seed, Counter, LFSR, or an integer array of x's shape (rule R2).
        scales: scale codes to hold fixed, as QTensor.scales, instead of choosing them.
        zero_point: zero points to hold fixed, int, shape of scales[0]; needed with `scales` for an affine format.
        **options: fields of qsim.Options: rounding, random_bits, scale_rule, narrow_range, division, order, subnormals, nonfinite,
            overflow, signed_zero, scale_overflow, min_scale, arithmetic.

    Returns:
        QTensor.

    Raises:
        ValueError: NaN or Inf where the format has no code (rule S7, R3), an option that does not apply, a scale above its type (S9).
        TypeError: a dtype that is not a float.
    """
    q, values = prepare(x, fmt, axis, granularity, channel_axis, convention, scales, zero_point, options)
    words = random_words(random, q.options, q.geometry)
    with np.errstate(all="ignore"):
        bad = ENCODERS[q.format.family](Job(q, moved_rows(values, q.geometry), words, scales is not None))
    if bad:
        refuse_nonfinite(values, q.format)
    return q


def prepare(
    x: object,
    fmt: str | Format,
    axis: int,
    granularity: int | str | None,
    channel_axis: int,
    convention: str | None,
    scales: Sequence[object] | None,
    zero_point: object,
    options: dict[str, Any],
) -> tuple[QTensor, NDArray[np.float32]]:
    """Check every argument; an empty QTensor to fill, and the input as float32."""
    base = load_format(fmt)
    if convention is not None:
        options = convention_options(convention, base) | {k: v for k, v in options.items() if v is not None}
    resolved = resolve_options(base, options)
    values = as_float32(x)
    geometry = Geometry.of(base, values.shape, axis=axis, granularity=granularity, channel_axis=channel_axis)
    return empty_qtensor(geometry, values.shape, resolved, scales, zero_point), values


def empty_qtensor(
    geometry: Geometry, shape: tuple[int, ...], options: Options, scales: Sequence[object] | None, zero_point: object
) -> QTensor:
    """A QTensor with codes still to write, and with the scales given or still to write."""
    fmt = geometry.fmt
    codes = np.empty(geometry.moved_shape, unsigned_dtype(fmt.element.bits))
    moved: list[Array] = []
    if scales is not None and len(scales) != len(fmt.scales):
        raise ValueError(f"{len(scales)} scale arrays given; {fmt.name} has {len(fmt.scales)} levels")
    for i, (scale, expected) in enumerate(zip(fmt.scales, geometry.scale_shapes, strict=True)):
        blocked = isinstance(scale.group, int)
        if scales is None:
            along = expected[: geometry.axis] + expected[geometry.axis + 1 :] + expected[geometry.axis :][:1] if blocked else expected
            moved.append(np.empty(along, unsigned_dtype(scale.bits)))
            continue
        given = _given_codes(scales[i], expected, scale.bits, f"scales[{i}] of {fmt.name}")
        if scale.kind == "float" and given.size:
            largest = scale.float_type.max_code
            if int(given.max()) > largest or int(given.min()) == 0 and fmt.family not in ("binary",):
                raise ValueError(f"scales[{i}] of {fmt.name}: codes {given.min():#x} to {given.max():#x}; allowed: 0x1 to {largest:#x}")
        moved.append(np.ascontiguousarray(np.moveaxis(given, geometry.axis, -1)) if blocked else given)
    zeros = None
    if fmt.zero_point:
        zeros = np.zeros(moved[0].shape, np.int32)
        if (scales is None) != (zero_point is None):
            raise ValueError(f"{fmt.name} is affine: give scales and zero_point together, or neither")
        if zero_point is not None:
            low, high = fmt.element.qmin, fmt.element.qmax
            given = np.asarray(zero_point)
            if given.dtype.kind not in "iu" or given.shape != geometry.scale_shapes[0]:
                raise ValueError(f"zero_point: {given.dtype} of shape {given.shape}; allowed: integers of shape {geometry.scale_shapes[0]}")
            if given.size and (int(given.min()) < low or int(given.max()) > high):
                raise ValueError(f"zero_point from {given.min()} to {given.max()}; allowed for {fmt.name}: {low} to {high}")
            blocked = isinstance(fmt.scales[0].group, int)
            zeros = np.ascontiguousarray(np.moveaxis(given, geometry.axis, -1) if blocked else given).astype(np.int32)
    elif zero_point is not None:
        raise ValueError(f"zero_point does not apply to {fmt.name}; it applies to affine formats (rule S6)")
    return QTensor(fmt, shape, geometry, codes, tuple(moved), zeros, options)


def _given_codes(array: object, shape: tuple[int, ...], bits: int, name: str) -> Array:
    codes = np.asarray(array)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"{name}: dtype {codes.dtype}; allowed: unsigned scale codes")
    if codes.shape != shape:
        raise ValueError(f"{name}: shape {codes.shape}; allowed: {shape}")
    if codes.size and (int(codes.min()) < 0 or int(codes.max()) >> bits):
        raise ValueError(f"{name}: codes {codes.min()} to {codes.max()}; allowed: 0 to {(1 << bits) - 1}")
    return codes.astype(unsigned_dtype(bits))


@dataclass(frozen=True)
class Job:
    """One encode: the QTensor to fill, the input (axis moved last, contiguous float32), the random words."""

    q: QTensor
    x: NDArray[np.float32]
    words: NDArray[np.int64]
    given: bool

    @property
    def add(self) -> NDArray[np.int64]:
        """The rounding mode as kernels take it."""
        from qsim.kernels.rounding import addends

        return addends(self.q.options.rounding)  # type: ignore[no-any-return]

    @property
    def params(self) -> Any:
        """The element as kernels take it."""
        return element_params(self.q.format, self.q.options)

    def run(self, frame: Frame, call: Callable[..., int], unit: int = 1) -> int:
        """call(rows, columns, x, u, codes, words) on each piece; 0, or the first bad status (OVERFLOW offset by its row)."""
        x = frame.view(self.x)
        codes = frame.view(self.q.codes_moved)
        words = frame.view(self.words) if self.words.size else np.zeros((0, 0), np.int64)
        u = x.view(np.uint32)

        def task(r: slice, c: slice) -> int:
            return call(r, c, x[r, c], u[r, c], codes[r, c], words[r, c] if words.size else words)

        statuses = run(task, pieces(frame.rows, frame.length, unit))
        frame.restore(codes, self.q.codes_moved)
        return next((s for s in statuses if s), 0)


def groups(c: slice, k: int) -> slice:
    """Columns of a scale array that belong to columns c of the elements."""
    return slice(c.start // k, -(-c.stop // k))


def _encode_float(job: Job) -> int:
    from qsim.kernels import encode as kernels

    frame = block_frame(job.q.geometry, flat=True)
    add, p = job.add, job.params
    return job.run(frame, lambda r, c, x, u, codes, words: kernels.encode_floats(x, u, codes, p, add, words))


def _encode_microexponent(job: Job) -> int:
    from qsim.kernels import encode as kernels

    q, add, p = job.q, job.add, job.params
    frame = block_frame(q.geometry, flat=True)
    shared = by_row(q.scales_moved[-1], frame)
    k1 = q.format.block_size
    k2 = q.format.scales[0].group if len(q.format.scales) == 2 else 0
    assert isinstance(k2, int)
    micro = by_row(q.scales_moved[0], frame) if k2 else np.zeros((0, 0), np.uint8)
    flush, nonfinite = _input_options(q.options)
    lsb = q.format.element.lsb_exponent

    def call(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        m = micro[r, groups(c, k2)] if k2 else micro
        return kernels.encode_microexponent(
            x, u, codes, m, shared[r, groups(c, k1)], k1, k2, lsb, flush, nonfinite, job.given, p, add, words
        )

    return job.run(frame, call, k1)


def _input_options(options: Options) -> tuple[int, int]:
    return int(options.subnormals == "flush"), NONFINITE_POLICY.index(options.nonfinite)


def _encode_ocp(job: Job) -> int:
    from qsim.kernels import encode as kernels

    q, add, p = job.q, job.add, job.params
    e = q.format.element
    frame = block_frame(q.geometry, flat=True)
    shared = by_row(q.scales_moved[0], frame)
    k = q.format.block_size
    flush, nonfinite = _input_options(q.options)
    rule = SCALE_RULES.index(q.options.scale_rule)
    lsb = 0 if e.is_float else e.lsb_exponent
    constants = (k, lsb, rule, e.emax, even_half_ulp(e), *normalized24(e.largest), element_grid(e), flush, nonfinite, job.given, p, add)

    def call(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        return kernels.encode_ocp(x, u, codes, shared[r, groups(c, k)], *constants, words)

    return job.run(frame, call, k)


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


def segment_extremes(frame: Frame, x: NDArray[np.float32]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Largest positive and largest negative magnitude pattern of each segment."""
    from qsim.kernels import stats

    u = frame.view(x).view(np.uint32)
    high, low = np.zeros(frame.segments, np.uint32), np.zeros(frame.segments, np.uint32)

    def task(r: slice, c: slice) -> tuple[slice, Array, Array]:
        part = u[r, c]
        a, b = np.zeros(part.shape[0], np.uint32), np.zeros(part.shape[0], np.uint32)
        stats.extremes(part, a, b)
        return r, a, b

    for r, a, b in run(task, pieces(frame.rows, frame.length)):
        np.maximum.at(high, frame.segment[r], a)
        np.maximum.at(low, frame.segment[r], b)
    return high, low


def choose_segment_scales(job: Job, frame: Frame, level: int, affine: int, divisor: float, codes: Array, zeros: Array) -> int:
    """Scale codes (and zero points) of the segments of one level; 1 where an input is not finite."""
    from qsim.kernels import encode as kernels

    high, low = segment_extremes(frame, job.x)
    if max(high.max(initial=0), low.max(initial=0)) >= 0x7F800000:
        return 1
    p = job.params
    saturate = int(job.q.options.scale_overflow == "saturate")
    bad = kernels.choose_scales(
        high, low, affine, float(divisor), p.qmin, p.qmax, *_float_scale_type(job.q, level), saturate, codes, zeros
    )
    if bad >= 0:
        _refuse_scale(job.q, level, bad)
    return 0


def _encode_integer(job: Job) -> int:
    from qsim.kernels import encode as kernels
    from qsim.kernels.element import DIVIDE, EXACT, MULTIPLY

    q, add, p = job.q, job.add, job.params
    chained = q.options.arithmetic == "onnxruntime"
    affine = (2 if chained else 1) if q.format.zero_point else 0
    op = {"exact": DIVIDE if chained else EXACT, "reciprocal": MULTIPLY, "float32": DIVIDE}[q.options.division]
    mantissa, emin, max_code = _float_scale_type(q)
    saturate = int(q.options.scale_overflow == "saturate")
    k = q.format.scales[0].group
    if isinstance(k, int):
        frame = block_frame(q.geometry, flat=True)
        scales = by_row(q.scales_moved[0], frame)
        zeros = by_row(q.zero_point, frame) if q.zero_point is not None else np.zeros((0, 0), np.int32)

        def call(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
            g = groups(c, k)
            z = zeros[r, g] if affine else zeros
            status = kernels.encode_groups(
                x, u, codes, scales[r, g], z, k, affine, mantissa, emin, max_code, saturate, op, job.given, p, add, words
            )
            if status >= kernels.SCALE_OVERFLOW:
                row, column = divmod(status - kernels.SCALE_OVERFLOW, g.stop - g.start)
                _refuse_scale(q, 0, (r.start + row) * scales.shape[1] + g.start + column)
            return int(status)

        return job.run(frame, call, k)
    frame = segment_frame(q.geometry)
    flat = q.scales_moved[0].reshape(-1)
    zeros = q.zero_point.reshape(-1) if q.zero_point is not None else np.zeros(flat.size, np.int32)
    if not job.given and choose_segment_scales(job, frame, 0, affine, p.qmax, flat, zeros):
        return 1

    def segments(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        return int(kernels.encode_segments(x, u, codes, flat, zeros, frame.segment[r], mantissa, emin, op, p, add, words))

    return job.run(frame, segments)


def _encode_vsq(job: Job) -> int:
    from qsim.kernels import encode as kernels

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
    float_first = int(q.options.order == "float_first")

    def call(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        return int(
            kernels.encode_vsq(
                x, u, codes, vectors[r, groups(c, k)], gammas, frame.segment[r], k, smax, mantissa, emin, float_first, job.given, p, add,
                words,
            )
        )  # fmt: skip

    return job.run(frame, call, k)


def _encode_nvfp4(job: Job) -> int:
    from qsim.kernels import encode as kernels

    q, add, p = job.q, job.add, job.params
    frame = block_frame(q.geometry, flat=True)
    k = q.format.block_size
    largest = float(q.format.element.largest)
    t = q.format.scales[0].float_type
    g = q.scales_moved[1].reshape(-1)
    if not job.given and choose_segment_scales(job, frame, 1, 0, largest * float(t.largest), g, np.zeros(1, np.int32)):
        return 1
    scales = by_row(q.scales_moved[0], frame)
    min_code = 1 << t.mantissa_bits if q.options.min_scale == "normal" else 1
    chain = ("exact", "modelopt", "torchao").index(q.options.arithmetic)
    constants = (int(g[0]), k, largest, *_float_scale_type(q), min_code, chain, job.given, p, add)

    def call(r: slice, c: slice, x: Array, u: Array, codes: Array, words: Array) -> int:
        return int(kernels.encode_nvfp4(x, u, codes, scales[r, groups(c, k)], *constants, words))

    return job.run(frame, call, k)


def _encode_low_bit(job: Job) -> int:
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

__all__ = ["encode", "scale_values"]
