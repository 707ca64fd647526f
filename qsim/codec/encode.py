"""encode: float arrays to codes and scales. Arguments are checked here; each family's encoder is in families.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.conventions import convention_options
from qsim.codec.decode import value_frame
from qsim.codec.families import ENCODERS
from qsim.codec.input import all_words, as_float32, moved_rows, random_words, refuse_nonfinite
from qsim.codec.job import Job
from qsim.codec.limits import given_limits
from qsim.codec.qtensor import QTensor, unsigned_dtype
from qsim.spec import Counter, Format, Geometry, Options, load_format, resolve_options

Array = NDArray[Any]


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
    limits: object = None,
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
        limits: the range to cover instead of the tensor's own extremes, for formats whose outermost scale is a float
            (rule C1): a pair (low, high) of scalars or of arrays of that scale's shape, or a calibrator of qsim.ranges.
            Elements beyond it saturate.
        **options: fields of qsim.Options: rounding, random_bits, scale_rule, narrow_range, division, order, subnormals,
            nonfinite, overflow, signed_zero, scale_overflow, min_scale, arithmetic.

    Returns:
        QTensor.

    Raises:
        ValueError: NaN or Inf where the format has no code (rules S7, R3), an option that does not apply, a scale above its type
            (rule S9).
        TypeError: a dtype that is not a float.
    """
    q, values = prepare(x, fmt, axis, granularity, channel_axis, convention, scales, zero_point, options)
    encode_into(q, values, random, scales is not None, limits)
    return q


def encode_into(
    q: QTensor,
    values: NDArray[np.float32],
    random: object,
    given: bool,
    limits: object = None,
    out: NDArray[np.float32] | None = None,
) -> None:
    """Fill q from float32 values; with `out` (axis moved last) decode into it instead of keeping codes."""
    if given and limits is not None:
        raise ValueError("scales and limits are both given; allowed: one of them (rule C1)")
    reach = None if limits is None else given_limits(limits, q.geometry)
    words = random_words(random, q.options, q.geometry)
    if isinstance(words, Counter) and (not counts_in_order(q) or q.format.family == "binary"):
        words = moved_rows(all_words(words, q.options, q.geometry), q.geometry)
    with np.errstate(all="ignore"):
        bad = ENCODERS[q.format.family](Job(q, moved_rows(values, q.geometry), words, given, reach, out))
    if bad:
        refuse_nonfinite(values, q.format)


def counts_in_order(q: QTensor) -> bool:
    """Whether the order of elements in memory is that of the input, so that word i belongs to element i of any piece."""
    along = q.axis == len(q.geometry.shape) - 1
    return along and not (q.format.granularity is not None and value_frame(q).swap)


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
    if scales is not None and not isinstance(scales, tuple | list):
        raise TypeError(f"scales is of type {type(scales).__name__}; allowed: a tuple of arrays, as QTensor.scales")
    if scales is not None and len(scales) != len(fmt.scales):
        raise ValueError(f"{len(scales)} scale arrays given; {fmt.name} has {len(fmt.scales)} levels")
    for i, (scale, expected) in enumerate(zip(fmt.scales, geometry.scale_shapes, strict=True)):
        blocked = isinstance(scale.group, int)
        if scales is None:
            along = (
                expected[: geometry.axis] + expected[geometry.axis + 1 :] + expected[geometry.axis :][:1] if blocked else expected
            )
            moved.append(np.empty(along, unsigned_dtype(scale.bits)))
            continue
        given = _given_codes(scales[i], expected, scale.bits, f"scales[{i}] of {fmt.name}")
        if scale.kind == "float" and given.size:
            largest = scale.float_type.max_code
            if int(given.max()) > largest or (int(given.min()) == 0 and fmt.family != "binary"):
                raise ValueError(
                    f"scales[{i}] of {fmt.name}: codes {given.min():#x} to {given.max():#x}; allowed: 0x1 to {largest:#x}"
                )
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
                raise ValueError(
                    f"zero_point: {given.dtype} of shape {given.shape}; allowed: integers of shape {geometry.scale_shapes[0]}"
                )
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
