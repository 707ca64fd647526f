"""`requantize`: accumulators to output codes by a named preset or a user's requantizer (rules Q)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.datapath.multiplier import quantize, reduced, significand
from qsim.datapath.presets import load_requantizer
from qsim.datapath.program import Arguments, Program, amounts, float_product, lower, stages
from qsim.spec.error import SpecError
from qsim.spec.requantizer import LARGEST, Narrow, Requantizer, output_type

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PIECE = 1 << 16
LARGEST_BIAS = 1 << 31
INT32 = (-(1 << 31), (1 << 31) - 1)


def requantize(
    acc: ArrayLike,
    preset: str | Path | Requantizer,
    *,
    multiplier: ArrayLike | None = None,
    shift: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    zero_point: ArrayLike = 0,
    thresholds: ArrayLike | None = None,
    out_format: str | None = "int8",
    clamp: tuple[int, int] | None = None,
    float_bias: ArrayLike | None = None,
    events: dict[str, int] | None = None,
) -> NDArray[Any]:
    """Requantize integer accumulators.

    Args:
        acc: integers of any shape.
        preset: a preset's name, the path of a TOML file, or a Requantizer.
        multiplier: fixed-point multiplier, with `shift`, for presets of kind fixed; a number, or one a channel (last axis).
        shift: the preset's shift, in the stack's own convention.
        scale: the real multiplier si * sw / so, once to the preset's type; kind fixed prepares multiplier and shift from it (Q4).
        zero_point: of the output; of the accumulator for a preset that subtracts it first (nvdla_sdp).
        thresholds: (n,) or (channels, n) integers, for kind thresholds.
        out_format: intN or uintN, 2 to 32 bits; None gives the value before zero point and narrowing, as int64.
        clamp: activation range (low, high) in output codes.
        float_bias: added to the float32 accumulator in float32 (kind f32, rule Q6): b / (si * sw), a number or one a channel.
        events: filled with how often each register changed a value (Q8).

    Returns:
        An array of acc's shape, of the smallest integer type that holds out_format.
    """
    q = load_requantizer(preset)
    values, flat, program, output = _prepare(
        acc, q, multiplier, shift, scale, zero_point, thresholds, out_format, clamp, float_bias
    )
    result = np.empty(flat.size, dtype=_dtype(output))
    totals = _run(flat, result, program, q, output)
    if events is not None:
        events.clear()
        events.update(totals)
    return result.reshape(values.shape)


def requantize_taps(
    acc: ArrayLike,
    preset: str | Path | Requantizer,
    *,
    multiplier: ArrayLike | None = None,
    shift: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    zero_point: ArrayLike = 0,
    thresholds: ArrayLike | None = None,
    out_format: str | None = "int8",
    clamp: tuple[int, int] | None = None,
    float_bias: ArrayLike | None = None,
) -> tuple[NDArray[Any], dict[str, NDArray[Any]], dict[str, int]]:
    """The result of `requantize`, the value after every stage by its name, and the events.

    Stages, each of acc's shape: before0, ... and step0, ... after their registers; product before it is shifted, float64 where
    it is a float (not yet clamped); zero_add after its register; clamped, what enters the output register. int64 but for floats.
    """
    q = load_requantizer(preset)
    values, flat, program, output = _prepare(
        acc, q, multiplier, shift, scale, zero_point, thresholds, out_format, clamp, float_bias
    )
    result = np.empty(flat.size, dtype=_dtype(output))
    events = _run(flat, result, program, q, output)
    taps = {"product": float_product(q, program, flat)} if q.prep.is_float else {}
    for name, cut in stages(q, program, output is not None):
        taps[name] = np.empty(flat.size, np.int64)
        _run_kernel(flat, taps[name], cut)
    return result.reshape(values.shape), {name: tap.reshape(values.shape) for name, tap in taps.items()}, events


def _prepare(
    acc: ArrayLike,
    q: Requantizer,
    multiplier: ArrayLike | None,
    shift: ArrayLike | None,
    scale: ArrayLike | None,
    zero_point: ArrayLike,
    thresholds: ArrayLike | None,
    out_format: str | None,
    clamp: tuple[int, int] | None,
    float_bias: ArrayLike | None,
) -> tuple[NDArray[Any], NDArray[Any], Program, Narrow | None]:
    """Checked: acc, the flat values that enter the program (counts for thresholds), the program, the output register."""
    values, bounds = _accumulators(acc, q)
    output = _output(q, out_format)
    given = _arguments(q, values.shape, multiplier, shift, scale, zero_point, out_format, _bias(q, float_bias, values.shape))
    _check_clamp(q, clamp, output)
    if q.acc_within_shift:
        _check_within_shift(values, given.shift, q)
    flat = _count(values, thresholds, q) if q.prep.kind == "thresholds" else values.reshape(-1)
    return values, flat, lower(q, given, bounds, output, clamp), output


def _run(flat: NDArray[Any], result: NDArray[Any], program: Program, q: Requantizer, output: Narrow | None) -> dict[str, int]:
    """The events of each register. ValueError where a register with overflow = error overflowed."""
    found = _run_kernel(flat, result, program)
    registers = [f"before{i}" for i in range(len(q.before))] + [f"step{i}" for i in range(len(q.steps))]
    names = [*registers, "zero_add", "clamp", "output"]
    kept = {name: k for k, name in enumerate(names) if name in q.registers}
    widths = [*(s.narrow for s in (*q.before, *q.steps)), q.zero_add, None, output]
    for name, k in kept.items():
        register = widths[k]
        if register is None or register.overflow != "error":
            continue
        first = next((f[k] for f in found if f[k, 0]), None)
        if first is not None:
            raise ValueError(
                f"{q.name}: value {first[2]} at flat index {first[1]} leaves {register.bits} bits at {name}; allowed:"
                f" {register.range[0]} to {register.range[1]}: what the hardware does there is undefined (rule Q3)"
            )
    return {name: int(sum(f[k, 0] for f in found)) for name, k in kept.items()}


def _run_kernel(flat: NDArray[Any], result: NDArray[Any], program: Program) -> list[NDArray[np.int64]]:
    """The kernel over all pieces; the counts of each piece, of one piece at least."""
    from qsim.kernels.requantize import requantize as kernel

    def task(_: slice, part: slice) -> NDArray[np.int64]:
        counts = np.zeros((len(program.narrows), 3), np.int64)
        kernel(flat[part], result[part], part.start, *program, counts)
        return counts

    return run(task, pieces(1, flat.size, piece=PIECE)) or [np.zeros((len(program.narrows), 3), np.int64)]


def _accumulators(acc: ArrayLike, q: Requantizer) -> tuple[NDArray[Any], tuple[int, int]]:
    """A contiguous int32 or int64 array inside the preset's domain, and bounds of its values."""
    values = np.asarray(acc)
    if values.dtype.kind not in "iu":
        raise ValueError(f"acc is {values.dtype}; allowed: an integer type (rule Q5)")
    low, high = -(1 << (q.acc_bits - 1)), (1 << (q.acc_bits - 1)) - 1
    info = np.iinfo(values.dtype)
    if values.size and (info.min < low or info.max > high):
        for value in (int(values.min()), int(values.max())):
            if not low <= value <= high:
                raise ValueError(f"acc {value} is outside the domain of {q.name}; allowed: {low} to {high} (rule Q5)")
    small = INT32[0] <= info.min and info.max <= INT32[1]
    bounds = (max(low, INT32[0]), min(high, INT32[1])) if small else (low, high)
    return np.ascontiguousarray(values, dtype=np.int32 if small else np.int64).reshape(values.shape), bounds


def _arguments(
    q: Requantizer,
    shape: tuple[int, ...],
    multiplier: ArrayLike | None,
    shift: ArrayLike | None,
    scale: ArrayLike | None,
    zero_point: ArrayLike,
    out_format: str | None,
    bias: NDArray[np.float32],
) -> Arguments:
    """Check which arguments are given and that each is inside its domain (rule Q5)."""
    m, s, real = (None if a is None else np.asarray(a) for a in (multiplier, shift, scale))
    if q.prep.kind == "fixed" and real is not None and m is None and s is None:
        if q.prep.shift is None:
            raise ValueError(
                f"{q.name} has no rule that prepares a multiplier from scale; allowed: multiplier and shift (rule Q4)"
            )
        _channels("scale", real, shape)
        m, exponent = quantize(real.astype(np.float64), q.prep)
        s, real = amounts(q.prep.shift, exponent), None
    given = {name for name, a in (("multiplier", m), ("shift", s), ("scale", real)) if a is not None}
    wanted = {name for name in q.prep.takes if name != "thresholds"}
    if given != wanted:
        also = " (or scale alone)" if q.prep.kind == "fixed" and q.prep.shift else ""
        raise ValueError(
            f"{q.name} got {', '.join(sorted(given)) or 'no multiplier'}; allowed: {', '.join(sorted(wanted)) or 'none'}{also}"
            " (rule Q4)"
        )
    zero = _integers("zero_point", np.asarray(zero_point), shape)
    _check_zero_point(q, zero, out_format)
    one = np.ones(1, np.int64)
    factors = one if m is None else _integers("multiplier", m, shape)
    shifts = np.zeros(1, np.int64) if s is None else _integers("shift", s, shape)
    if real is not None:
        real = _reals(q, real, shape)
        if q.prep.kind == "significand":
            factors, shifts = significand(real, q.prep.bits)
    else:
        real = np.ones(1)
        if q.prep.kind == "fixed":
            _inside("multiplier", factors, q.multiplier, q)
        _inside("shift", shifts, q.shift, q)
        if q.prep.reduce:
            factors = reduced(factors, q.prep.bits, q.prep.reduce)
    return Arguments(factors, shifts, real.astype(np.float64), zero, bias)


def _bias(q: Requantizer, bias: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A float bias, flat; 0 where there is none."""
    if bias is None:
        return np.zeros(1, np.float32)
    values = np.asarray(bias)
    if q.prep.kind != "f32" or values.dtype.kind != "f":
        kind = f"{values.dtype} for {q.name} of kind {q.prep.kind}"
        raise ValueError(f"float_bias is {kind}; allowed: floats, for a preset of kind f32 (rule Q6)")
    if ((1 << (q.acc_bits - 1)) + LARGEST_BIAS) * q.scale[1] > LARGEST:
        raise ValueError(
            f"float_bias for {q.name}: accumulators of {q.acc_bits} bits and scales up to {q.scale[1]} leave int64 (Q5)"
        )
    _channels("float_bias", values, shape)
    typed: NDArray[np.float32] = values.reshape(-1).astype(np.float32)
    bad = typed[~(np.abs(typed) <= LARGEST_BIAS)]
    if bad.size:
        raise ValueError(f"float_bias {bad[0]}; allowed: -2^31 to 2^31, in units of the accumulator (rule Q6)")
    return typed


def _reals(q: Requantizer, real: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Scales in the preset's float type, inside its domain."""
    _channels("scale", real, shape)
    with np.errstate(over="ignore"):
        typed: NDArray[Any] = real.reshape(-1).astype(np.float64 if q.prep.kind == "f64" else np.float32)
    low, high = (float(v) for v in q.scale)
    bad = typed[~((typed >= low) & (typed < high))]  # NaN is bad, too
    if bad.size:
        raise ValueError(f"scale {bad[0]} is outside the domain of {q.name}; allowed: {low} <= scale < {high} (rule Q5)")
    return typed


def _integers(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.int64]:
    if values.dtype.kind not in "iu":
        raise ValueError(f"{name} is {values.dtype}; allowed: integers (rule Q5)")
    _channels(name, values, shape)
    return values.reshape(-1).astype(np.int64)


def _channels(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    """A parameter is one number or one a channel of the last axis."""
    last = shape[-1] if shape else 1
    if values.ndim > 1 or values.size not in (1, last) or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}; allowed: one number, or ({last},): one a channel of acc's last axis")


def _inside(name: str, values: NDArray[np.int64], domain: tuple[int, int], q: Requantizer) -> None:
    bad = values[(values < domain[0]) | (values > domain[1])]
    if bad.size:
        raise ValueError(f"{name} {bad[0]} is outside the domain of {q.name}; allowed: {domain[0]} to {domain[1]} (rule Q5)")


def _check_within_shift(values: NDArray[Any], shift: NDArray[np.int64], q: Requantizer) -> None:
    """TOSA requires -2^(shift-1) <= value < 2^(shift-1)."""
    limit = np.int64(1) << np.minimum(shift - 1, 62)
    bad = values[(values < -limit) | (values >= limit)] if shift.min() < q.acc_bits else values[:0]
    if bad.size:
        raise ValueError(
            f"acc {bad.flat[0]} is outside the domain of {q.name} for its shift; allowed: -2^(shift-1) to 2^(shift-1) - 1,"
            " the result is unpredictable elsewhere (rule Q5)"
        )


def _check_zero_point(q: Requantizer, zero: NDArray[np.int64], out_format: str | None) -> None:
    if q.zero_point == "before":
        _inside("zero_point", zero, INT32, q)
        return
    if q.zero_point == "none" or out_format is None:
        allowed: tuple[int, ...] | None = (0,)
    else:
        allowed = q.zero_points.get(out_format)
    if allowed is None:
        register = Narrow(*_format(q, str(out_format)))
        _inside("zero_point", zero, register.range, q)
        return
    bad = [int(z) for z in zero if int(z) not in allowed]
    if bad:
        raise ValueError(
            f"zero_point {bad[0]} with out_format={out_format!r} is wrong for {q.name}; allowed: {', '.join(map(str, allowed))}"
            " (rule Q5)"
        )


def _check_clamp(q: Requantizer, clamp: tuple[int, int] | None, output: Narrow | None) -> None:
    if clamp is None:
        return
    if output is None:
        raise ValueError("clamp with out_format=None; allowed: an output format, as the clamp is in its codes (rule Q1)")
    low, high = output.range
    if len(clamp) != 2 or not all(hasattr(end, "__index__") for end in clamp):
        raise ValueError(f"clamp={clamp!r} for {q.name}; allowed: two integers (low, high) (rule Q1)")
    if not low <= clamp[0] <= clamp[1] <= high:
        raise ValueError(f"clamp={clamp} for {q.name}; allowed: {low} <= low <= high <= {high} (rule Q1)")


def _format(q: Requantizer, out_format: str) -> tuple[int, bool]:
    try:
        return output_type(out_format)
    except SpecError as error:
        raise ValueError(f"{q.name}: {error}, or None") from None


def _output(q: Requantizer, out_format: str | None) -> Narrow | None:
    return None if out_format is None else q.output.resolved(*_format(q, out_format))


def _dtype(output: Narrow | None) -> str:
    if output is None:
        return "int64"
    size = next(n for n in (8, 16, 32, 64) if output.bits <= n)
    return f"{'' if output.signed else 'u'}int{size}"


def _count(values: NDArray[Any], thresholds: ArrayLike | None, q: Requantizer) -> NDArray[np.int64]:
    """Rule Q7: how many thresholds of its channel each value reaches."""
    from qsim.kernels.requantize import count_thresholds

    table = np.asarray([] if thresholds is None else thresholds)
    last = values.shape[-1] if values.ndim else 1
    if table.dtype.kind not in "iu" or table.ndim not in (1, 2) or (table.ndim == 2 and len(table) not in (1, last)):
        raise ValueError(
            f"thresholds {table.dtype} of shape {table.shape} for {q.name}; allowed: integers of shape (n,) or ({last}, n)"
            " (rule Q7)"
        )
    levels = np.ascontiguousarray(np.atleast_2d(table), dtype=np.int64)
    flat, counts = values.reshape(-1), np.empty(values.size, np.int64)
    run(lambda _, part: count_thresholds(flat[part], counts[part], part.start, levels), pieces(1, flat.size, piece=PIECE))
    return counts
