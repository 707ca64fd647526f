"""Products of block formats (rule A2): exact block sums in an integer, a fixed-point or a float accumulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsim.codec.qtensor import QTensor
from qsim.codec.threads import pieces, run
from qsim.datapath.block_float import float_products, float_sums
from qsim.datapath.block_integer import integer_sums
from qsim.datapath.block_problem import Array, Events, Found, Ints, Problem, problem_of
from qsim.datapath.dot import lower as lower_unit
from qsim.spec.block_accumulator import BlockAccumulator

if TYPE_CHECKING:
    from qsim.kernels.float_sum import DotParams

Floats = NDArray[np.float32]
PIECE = 1 << 16


class BlockSums(NamedTuple):
    """Integer accumulators: a value is sums[m, n] * 2^exponent * a_scale[m] * w_scale[n]."""

    sums: Ints
    exponent: int
    a_scale: Floats
    w_scale: Floats


def block_matmul(
    a: QTensor,
    w: QTensor,
    accumulator: BlockAccumulator,
    *,
    w_rows: bool = False,
    c: object = None,
    events: Events | None = None,
) -> Floats:
    """The product of two tensors, at least one of them with block scales, in the bits of an accumulator.

    Args:
        a: (M, K), blocks along axis 1.
        w: (K, N), blocks along axis 0; (N, K), blocks along axis 1, with `w_rows`.
        accumulator: what sums the blocks.
        w_rows: w is stored as layers store it, one row an output.
        c: float32 addend, (M, N) or (N,), of a float accumulator, before channel and tensor scales; None: +0.
        events: filled with how often each register changed a value (A4).

    Returns:
        float32 (M, N): the sum times the channel and tensor scales, exact, then once to float32.

    Raises:
        ValueError: blocks that do not run along K or differ in size, a value that is no number with integer or fixed-point
            registers, an overflow of a register with overflow `error`.
    """
    problem = problem_of(a, w, accumulator, w_rows, c)
    total, _, counts = _sums(problem, tapped=False)
    _give(events, counts)
    return _scaled(problem, total)


def block_sums(
    a: QTensor, w: QTensor, accumulator: BlockAccumulator, *, w_rows: bool = False, events: Events | None = None
) -> BlockSums:
    """The integer accumulators of `block_matmul`, as a requantizer takes them, and what they are to be multiplied with."""
    if accumulator.into == "float":
        raise ValueError("accumulator.into = 'float' has no integer sums; allowed: integer, fixed (rule A2)")
    problem = problem_of(a, w, accumulator, w_rows, None)
    total, _, counts = _sums(problem, tapped=False)
    _give(events, counts)
    return BlockSums(total, problem.exponent, problem.a.outer, problem.w.outer)


def block_matmul_taps(
    a: QTensor, w: QTensor, accumulator: BlockAccumulator, *, w_rows: bool = False, c: object = None
) -> tuple[Floats, dict[str, Array], Events]:
    """The result of `block_matmul`, every value on the way by tap, and the events.

    Taps of J sums or T terms an output: block_dots (M, N, J) after their register, scale_products (M, N, J) where block scales
    have significands, exponents (M, N, T) and terms (M, N, T). Integer and fixed: partial_sums, spill and accumulator, as for
    integer products. Float: largest_exponents and aligned_c, one a step, aligned (M, N, T), partial_sums one a step (pairwise:
    then the tree's), promoted, accumulator before channel and tensor scales; sums are float32.
    Values of more than 64 bits are Python ints in an object array.
    """
    problem = problem_of(a, w, accumulator, w_rows, c)
    total, taps, counts = _sums(problem, tapped=True)
    return _scaled(problem, total), taps, counts


def _give(events: Events | None, counts: Events) -> None:
    if events is not None:
        events.clear()
        events.update(counts)


def _sums(problem: Problem, *, tapped: bool) -> Found:
    """Accumulators before channel and tensor scales: int64, or float32 patterns; taps; events."""
    if problem.acc.into != "float":
        return integer_sums(problem, tapped=tapped)
    return (float_products if problem.acc.terms == "products" else float_sums)(problem, tapped=tapped)


def _scaled(problem: Problem, total: Array) -> Floats:
    """The result: the sum times channel and tensor scales, once to float32."""
    from qsim.kernels.block_scale import scale_floats, scale_integers
    from qsim.kernels.rounding import addends

    out = np.empty(problem.shape, np.uint32)
    p32, even = float32(), addends("half_even")
    ga, gw = problem.a.outer.view(np.uint32), problem.w.outer.view(np.uint32)
    if problem.acc.into != "float":
        run(
            lambda r, n: scale_integers(total[r, n], problem.exponent, ga[r], gw[n], out[r, n], p32, even),
            pieces(*problem.shape, piece=PIECE),
        )
    else:
        assert problem.acc.unit is not None
        nan = problem.acc.unit.nan
        run(
            lambda r, n: scale_floats(total[r, n], ga[r], gw[n], nan, out[r, n], p32, even),
            pieces(*problem.shape, piece=PIECE),
        )
    return out.view(np.float32)


def float32() -> DotParams:
    """Parameters of a float32 result."""
    from qsim.datapath.float_presets import load_float_accumulator

    return lower_unit(load_float_accumulator("fp32_sequential"), ("fp32", "fp32"), None, "float32")[1]
