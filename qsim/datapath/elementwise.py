"""`add`, `sub` and `mul` of integer codes of different scales, as integer inference stacks compute them (rules L5 and L6)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qsim.datapath.multiplier import effective_scale
from qsim.datapath.presets import load_requantizer
from qsim.datapath.requantize import requantize
from qsim.spec.requantizer import Requantizer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: operand type -> bits by which TFLite shifts operands left before it rescales them (add.cc, sub.cc)
HEADROOM = {"int8": 20, "uint8": 20, "int16": 15}
XNNPACK_ADD = "xnnpack_add"
XNNPACK_BITS = 21  # of the larger multiplier


class Operands(NamedTuple):
    """Codes minus their zero points, int64; the scales (a, b, output) as float32; the type of the codes."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    scales: tuple[np.float32, np.float32, np.float32]
    out_format: str
    out_zero: int


def add(
    a: ArrayLike,
    b: ArrayLike,
    *,
    a_scale: float,
    b_scale: float,
    out_scale: float,
    a_zero_point: int = 0,
    b_zero_point: int = 0,
    out_zero_point: int = 0,
    clamp: tuple[int, int] | None = None,
    preset: str | Path | Requantizer = "tflite_double",
) -> NDArray[Any]:
    """a + b in the scale of the output.

    TFLite (add.cc, add.h): each operand minus its zero point is shifted left by 20 bits (int16: 15) and rescaled by its scale
    over twice the larger one, the int32 sum by twice the larger scale over 2^20 * out_scale; the multipliers are prepared in
    float64, every rescale is one of `preset`; then zero point and clamp.

    Args:
        a: int8, uint8 or int16 codes.
        b: codes of the same type; shapes broadcast as in numpy.
        a_scale: of a; this and the other two are rounded once to float32.
        b_scale: of b.
        out_scale: of the result.
        a_zero_point: of a; 0 for int16, as TFLite demands.
        b_zero_point: of b, the same.
        out_zero_point: of the result, the same.
        clamp: activation range (low, high) in output codes, see `activation_range`.
        preset: a requantizer of kind fixed that prepares its multiplier from a scale; or "xnnpack_add": the operands times
            multipliers of 21 bits, one sum, one half_up shift (XNNPACK qs8-vadd), for a larger scale of 2^-10 to below 2^8 times
            out_scale.

    Returns:
        Codes of the operands' type.

    Raises:
        ValueError: operands of different or other types, zero points outside the type, scales that the stack refuses.
    """
    zero_points = (a_zero_point, b_zero_point, out_zero_point)
    return _sum(_operands(a, b, (a_scale, b_scale, out_scale), zero_points), 1, clamp, preset)


def sub(
    a: ArrayLike,
    b: ArrayLike,
    *,
    a_scale: float,
    b_scale: float,
    out_scale: float,
    a_zero_point: int = 0,
    b_zero_point: int = 0,
    out_zero_point: int = 0,
    clamp: tuple[int, int] | None = None,
    preset: str | Path | Requantizer = "tflite_double",
) -> NDArray[Any]:
    """a - b in the scale of the output: as `add`, with the rescaled b subtracted (sub.cc; XNNPACK negates b's multiplier)."""
    zero_points = (a_zero_point, b_zero_point, out_zero_point)
    return _sum(_operands(a, b, (a_scale, b_scale, out_scale), zero_points), -1, clamp, preset)


def mul(
    a: ArrayLike,
    b: ArrayLike,
    *,
    a_scale: float,
    b_scale: float,
    out_scale: float,
    a_zero_point: int = 0,
    b_zero_point: int = 0,
    out_zero_point: int = 0,
    clamp: tuple[int, int] | None = None,
    preset: str | Path | Requantizer = "tflite_double",
) -> NDArray[Any]:
    """a * b in the scale of the output: (a - a_zero_point) * (b - b_zero_point), requantized once (mul.cc, mul.h).

    Arguments, result and errors as `add`, but preset: any requantizer that takes a scale. a_scale * b_scale / out_scale is
    computed in float32 whatever the preset: TFLite does so for this operator, XNNPACK (preset "xnnpack_fp32") as well.
    """
    given = _operands(a, b, (a_scale, b_scale, out_scale), (a_zero_point, b_zero_point, out_zero_point))
    scale = effective_scale(*given.scales, prep="f32")
    return requantize(given.a * given.b, preset, scale=scale, zero_point=given.out_zero, out_format=given.out_format, clamp=clamp)


def _operands(a: ArrayLike, b: ArrayLike, scales: tuple[float, float, float], zero_points: tuple[int, int, int]) -> Operands:
    """Check types, scales and zero points."""
    x, y = np.asarray(a), np.asarray(b)
    if x.dtype != y.dtype or x.dtype.name not in HEADROOM:
        raise ValueError(f"a is {x.dtype}, b is {y.dtype}; allowed: both of one type, {', '.join(HEADROOM)}")
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise ValueError(f"a of shape {x.shape} and b of shape {y.shape}; allowed: shapes that broadcast as in numpy") from None
    info = np.iinfo(x.dtype)
    low, high = (0, 0) if x.dtype == np.int16 else (info.min, info.max)
    for name, zero in zip(("a_zero_point", "b_zero_point", "out_zero_point"), zero_points, strict=True):
        if not isinstance(zero, (int, np.integer)) or not low <= zero <= high:
            raise ValueError(f"{name}={zero!r} for {x.dtype} codes; allowed: {low} to {high}")
    with np.errstate(over="ignore", under="ignore"):
        steps = tuple(np.float32(s) for s in scales)
    for name, step in zip(("a_scale", "b_scale", "out_scale"), steps, strict=True):
        if not (np.isfinite(step) and step > 0):
            raise ValueError(f"{name}={step} in float32; allowed: positive and finite (rule Q4)")
    za, zb, zo = (int(z) for z in zero_points)
    left, right = x.astype(np.int64) - za, y.astype(np.int64) - zb
    return Operands(left, right, (steps[0], steps[1], steps[2]), x.dtype.name, zo)


def _sum(given: Operands, sign: int, clamp: tuple[int, int] | None, preset: str | Path | Requantizer) -> NDArray[Any]:
    """a + sign * b."""
    if preset == XNNPACK_ADD:
        return _xnnpack_sum(given, sign, clamp)
    q = load_requantizer(preset)
    if q.prep.kind != "fixed":
        raise ValueError(f"preset {q.name} is of kind {q.prep.kind}; allowed: {XNNPACK_ADD}, or a preset of kind fixed (rule L5)")
    headroom = HEADROOM[given.out_format]
    sa, sb, so = (float(s) for s in given.scales)
    twice = 2 * max(sa, sb)
    factor = twice / ((1 << headroom) * so)
    if factor >= 1:
        raise ValueError(
            f"out_scale={so}: the sum would be rescaled by {factor}; allowed: less than 1, TFLite refuses others (rule L5)"
        )
    u = requantize(given.a << headroom, q, scale=sa / twice, out_format=None)
    v = requantize(given.b << headroom, q, scale=sb / twice, out_format=None)
    total = (u + sign * v).astype(np.int32)
    return requantize(total, q, scale=factor, zero_point=given.out_zero, out_format=given.out_format, clamp=clamp)


def _xnnpack_sum(given: Operands, sign: int, clamp: tuple[int, int] | None) -> NDArray[Any]:
    """XNNPACK's addition: float32 ratios of the scales, scaled so that the larger has 21 bits, rounded half_even."""
    if given.out_format == "int16":
        raise ValueError(f"int16 codes with preset {XNNPACK_ADD}; allowed: int8, uint8")
    with np.errstate(over="ignore", under="ignore"):
        ratios = [float(s / given.scales[2]) for s in given.scales[:2]]
    for name, ratio in zip(("a_scale", "b_scale"), ratios, strict=True):
        if not 2.0**-10 <= ratio < 2.0**8:
            raise ValueError(f"{name} / out_scale = {ratio}; allowed: 2^-10 to below 2^8, as XNNPACK demands (rule L5)")
    shift = XNNPACK_BITS - int(np.frexp(max(ratios))[1])
    by_a, by_b = (round(float(np.ldexp(ratio, shift))) for ratio in ratios)  # exact, then half_even
    exact = given.a * by_a + sign * (given.b * by_b)
    codes = ((exact + (1 << (shift - 1))) >> shift) + given.out_zero
    info = np.iinfo(given.out_format)
    low, high = clamp or (info.min, info.max)
    if not info.min <= low <= high <= info.max:
        raise ValueError(f"clamp={clamp}; allowed: {info.min} <= low <= high <= {info.max} (rule Q1)")
    clipped: NDArray[Any] = np.clip(codes, low, high).astype(given.out_format)
    return clipped
