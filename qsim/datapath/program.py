"""A requantizer and its arguments lowered to the arrays that the kernel reads: one row a step, one entry a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qsim.spec.requantizer import Amount, Interval, Narrow, Requantizer, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERIOD = 1024  # parameters of few channels are repeated to at least this length
SAFE = 1 << 62  # a value below it may take the addend of a shift of up to WIDEST bits
WIDEST = 61


class Program(NamedTuple):
    """Arguments of the kernel after (acc, out, start), in its order, except the events."""

    kind: int
    multiplier: NDArray[np.int64]
    real32: NDArray[np.float32]
    real64: NDArray[np.float64]
    bias32: NDArray[np.float32]
    up: int
    even: bool
    zero: NDArray[np.int64]
    before_zero: bool
    first: bool
    rows: NDArray[np.int64]
    narrows: NDArray[np.int64]
    left: NDArray[np.int64]
    cut: NDArray[np.int64]
    right: NDArray[np.int64]
    n_before: int
    finish: int
    limits: NDArray[np.int64]


class Arguments(NamedTuple):
    """Checked parameters, one entry a channel or one for all."""

    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    scale: NDArray[np.float64]
    zero: NDArray[np.int64]
    bias: NDArray[np.float32]


def lower(q: Requantizer, given: Arguments, acc: Interval, output: Narrow | None, clamp: tuple[int, int] | None) -> Program:
    """The program of one call; `acc` bounds the accumulators, `output` is None for the value before the zero point."""
    from qsim.kernels.requantize import ADDENDS, F32, F64, FIXED, ONE, float_up

    channels = max(a.size for a in given)
    period = channels * -(-PERIOD // channels)

    def repeated(a: NDArray[Any], dtype: type) -> NDArray[Any]:
        return np.tile(np.broadcast_to(a, (channels,)).astype(dtype), period // channels)

    steps = (*q.before, *q.steps)
    multiplier, shift = _span(given.multiplier), _span(given.shift)
    entering = q.intervals(multiplier, shift, acc)
    rows, narrows = np.zeros((len(steps), 9), np.int64), np.zeros((len(steps) + 3, 3), np.int64)
    left, cut, right = (np.zeros((len(steps), period), np.int64) for _ in range(3))
    keep = output is not None and output.overflow == "wrap_sign_magnitude"
    for k, step in enumerate(steps):
        cut_kind = _shifts(step, repeated(amounts(step.shift, given.shift), np.int64), entering[k], left[k], cut[k], right[k])
        chooser, (below0, half0), (below1, half1) = ADDENDS[step.rounding]
        floors = keep or (step.narrow is not None and step.narrow.overflow == "wrap_sign_magnitude")
        flags = (not right[k].any(), left[k].any(), cut_kind, floors)
        rows[k] = (*map(int, flags), chooser, below0, half0, below1, half1)
        narrows[k] = _narrow(step.narrow, entering[k])
    first = q.clamp_first and output is not None
    zero = _span(given.zero)
    sums = (entering[-1][0] + zero[0], entering[-1][1] + zero[1])
    after = (None if output is None or q.zero_point != "after" else q.zero_add, None, output)
    for k, register in enumerate(after, len(steps)):
        narrows[k] = _narrow(register, sums if k == len(steps) else None)
    if clamp and not first:
        narrows[len(steps) + 1] = (0, *clamp)  # SATURATE
    limits = output.range if output else (0, 0)
    limits = (max(limits[0], clamp[0]), min(limits[1], clamp[1])) if clamp else limits
    kind = {"f32": F32, "f64": F64, "one": ONE, "thresholds": ONE}.get(q.prep.kind, FIXED)
    mode = q.steps[0].rounding if q.prep.is_float else "half_even"
    return Program(
        kind,
        repeated(given.multiplier, np.int64),
        repeated(given.scale, np.float32),
        repeated(given.scale, np.float64),
        repeated(given.bias, np.float32),
        float_up(mode),
        mode == "half_even",
        repeated(given.zero, np.int64),
        q.zero_point == "before",
        first,
        rows,
        narrows,
        left,
        cut,
        right,
        len(q.before),
        0 if output is None else 2 if q.zero_point == "after" and given.zero.any() else 1,
        np.array(limits, np.int64),
    )


def stages(q: Requantizer, program: Program, finishes: bool) -> list[tuple[str, Program]]:
    """The program cut after each stage, by the stage's name (rule Q8); a float product is none, it is no integer."""
    from qsim.kernels.requantize import NONE

    n = program.n_before
    names = [*(f"before{i}" for i in range(n)), *(f"step{i}" for i in range(len(q.steps)))]
    found = [(name, _first(program, k + 1)) for k, name in enumerate(names)]
    if q.steps and not q.prep.is_float:
        whole = program.rows.copy()
        whole[n] = (1, *[0] * 8)  # the step after the product neither shifts nor narrows
        product = _first(program._replace(rows=whole), n + 1)
        product.narrows[n, 0] = NONE
        found.insert(n, ("product", product))
    if finishes:
        last = [("zero_add", 1), ("clamped", 2)] if q.zero_point == "after" else [("clamped", 2)]
        for name, kept in last:
            narrows = program.narrows.copy()
            narrows[len(program.rows) + kept :, 0] = NONE
            found.append((name, program._replace(narrows=narrows)))
    return found


def _first(program: Program, steps: int) -> Program:
    """The program up to so many steps."""
    narrows = np.concatenate([program.narrows[:steps], program.narrows[-3:]])
    rows, left, cut, right = (part[:steps].copy() for part in (program.rows, program.left, program.cut, program.right))
    return program._replace(rows=rows, left=left, cut=cut, right=right, narrows=narrows, finish=0)


def float_product(q: Requantizer, program: Program, acc: NDArray[Any]) -> NDArray[np.float64]:
    """The product of rule Q6, not yet clamped; exact in float64."""
    dtype = np.float32 if q.prep.kind == "f32" else np.float64
    channel = np.arange(acc.size) % program.zero.size
    value: NDArray[Any] = acc.astype(dtype)
    if q.prep.kind == "f32":
        value = value + program.bias32[channel]
    return np.asarray(value * program.real64[channel].astype(dtype), np.float64)


def amounts(amount: Amount, shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """The amount for each value of the argument `shift`."""
    values = amount.factor * shift + amount.offset
    values = values if amount.low is None else np.maximum(values, amount.low)
    return values if amount.high is None else np.minimum(values, amount.high)


def _shifts(
    step: Step,
    wide: NDArray[Any],
    leaving: Interval,
    left: NDArray[np.int64],
    cut: NDArray[np.int64],
    right: NDArray[np.int64],
) -> int:
    """Fill the three shifts of a step; 0: nothing is cut before rounding, 1: cut bits are floored, 2: they are jammed."""
    left[:] = np.maximum(-wide, 0)
    wanted = np.maximum(wide, 0)
    if step.sticky_bits is not None:
        right[:] = np.minimum(wanted, step.sticky_bits + 1)
        cut[:] = np.minimum(wanted - right, 63)
        return int(cut.any())
    # Bits below the rounding position may be jammed into one: the value then has room for the addend in int64.
    if max(map(abs, leaving)) << int(wanted.max()) >= SAFE or wanted.max() > WIDEST:
        cut[:] = np.maximum(wanted - WIDEST, wanted >= 3)
    right[:] = wanted - cut
    return 2 if cut.any() else 0


def _narrow(register: Narrow | None, values: Interval | None) -> tuple[int, int, int]:
    """(mode, low, high); a register that no value can leave is left out."""
    from qsim.kernels.requantize import NARROWS, NONE

    if register is None:
        return NONE, 0, 0
    low, high = register.range
    if values and low <= values[0] and values[1] <= high:
        return NONE, 0, 0
    return NARROWS[register.overflow], low, high


def _span(values: NDArray[np.int64]) -> Interval:
    return int(values.min()), int(values.max())
