"""The operands and the accumulator of a block product, checked against each other (rule A2)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsim.codec.qtensor import QTensor
from qsim.datapath.block_operand import SPECIAL, Rows, check_format, rows_of
from qsim.datapath.operands import check_axis
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.error import SpecError

Array = NDArray[Any]
Ints = NDArray[np.int64]
Events = dict[str, int]
#: Accumulators before channel and tensor scales, taps, events.
Found = tuple[Array, dict[str, Array], Events]

WORK = 1 << 22  # products of a piece
TILE = 256
NARROWEST = 60  # bits of a scaled block sum that the kernels shift and round in one word


class Problem(NamedTuple):
    """Checked operands and their accumulator: rows of a, rows of w (N of them), elements of a sum or 1 for products."""

    a: Rows
    w: Rows
    acc: BlockAccumulator
    block: int
    length: int
    c: NDArray[np.uint32]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the output."""
        return len(self.a.integers), len(self.w.integers)

    @property
    def products(self) -> int:
        """Products of an output."""
        return int(self.a.integers.shape[1])

    @property
    def terms(self) -> int:
        """Terms of an output."""
        return -(-self.products // self.length)

    @property
    def fraction(self) -> int:
        """Fraction bits of a term."""
        return self.a.fraction + self.w.fraction + self.a.scale_fraction + self.w.scale_fraction

    @property
    def exponent(self) -> int:
        """Of the integer accumulator's last bit."""
        if self.acc.into == "fixed":
            return self.acc.lsb
        return self.acc.dropped_bits(self.a.scale_bits + self.w.scale_bits) - self.fraction


def problem_of(a: QTensor, w: QTensor, acc: BlockAccumulator, w_rows: bool, c: object) -> Problem:
    """Check operands against each other and the accumulator."""
    formats = a.geometry.fmt, w.geometry.fmt
    axes = 1, 1 if w_rows else 0
    for q, side, fmt in ((a, "activation", formats[0]), (w, "weight", formats[1])):
        check_axis(q, side, w_rows and side == "weight")
        check_format(fmt, side)
    if a.shape[1] != w.shape[axes[1]]:
        raise ValueError(f"activation {a.shape} and weight {w.shape}; allowed: the same K, axes 1 and {axes[1]}")
    sizes = {fmt.block_size for fmt in formats if fmt.block_scales}
    if len(sizes) != 1:
        given = f"{formats[0].name} (blocks of {formats[0].block_size}) and {formats[1].name} (blocks of {formats[1].block_size})"
        raise ValueError(f"{given}; allowed: blocks of the same size, or one operand without block scales (rule A2)")
    block = sizes.pop()
    products = acc.terms == "products"
    length = 1 if products else acc.sum_length(block)
    acc.promoted_terms(block)
    rows = [
        rows_of(q, axis, block, side, products=products) for q, axis, side in ((a, axes[0], "activation"), (w, axes[1], "weight"))
    ]
    problem = Problem(rows[0], rows[1], acc, block, length, addend(c, acc, (len(rows[0].integers), len(rows[1].integers))))
    if acc.into != "float":
        _refuse_specials(problem)
    if acc.into == "integer" and any(s.kind in ("exponent", "float") for fmt in formats for s in fmt.block_scales):
        names = " and ".join(fmt.name for fmt in formats)
        raise SpecError(f"{names} with into = 'integer'; allowed: UINT block scales or none; else fixed or float (rule A2)")
    return problem


def addend(c: object, acc: BlockAccumulator, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """The patterns of c, (M, N)."""
    if c is None:
        return np.zeros(shape, np.uint32)
    values = np.asarray(c)
    if acc.into != "float":
        raise ValueError(f"c with into = {acc.into!r}; allowed: with a float accumulator (rule A2)")
    if values.dtype.kind != "f" or values.shape not in (shape, shape[1:]):
        raise ValueError(f"c is {values.dtype} of shape {values.shape}; allowed: float32 of shape {shape} or {shape[1:]}")
    return np.ascontiguousarray(np.broadcast_to(values.astype(np.float32), shape)).view(np.uint32)


def _refuse_specials(problem: Problem) -> None:
    for rows, side in ((problem.a, "activation"), (problem.w, "weight")):
        bad = np.argwhere(rows.classes & SPECIAL)
        if bad.size:
            r, k = (int(i) for i in bad[0])
            raise ValueError(
                f"{side}: block {k // problem.block} of row {r} along K holds NaN or Inf at k = {k}; allowed with into ="
                f" {problem.acc.into!r}: finite values (rule A2)"
            )


def check_sums(problem: Problem, largest: int, wide: bool) -> int:
    """The bound of a scaled block sum; SpecError where the kernels' words cannot hold it."""
    dot = problem.acc.dot
    bound = (largest if dot is None else min(largest, 1 << (dot.bits - 1))) * problem.a.scale_largest * problem.w.scale_largest
    limit = NARROWEST + 15 * (wide and problem.acc.into != "integer")  # integer terms are added as they are, in one word
    if bound >= 1 << limit:
        raise SpecError(f"a scaled block sum may reach {bound}; allowed: below 2^{limit} (rule A2)")
    return bound


def check_products(problem: Problem) -> int:
    """The same of a scaled product of elements."""
    bound = problem.a.largest * problem.w.largest * problem.a.scale_largest * problem.w.scale_largest
    if bound >= 1 << NARROWEST:
        raise SpecError(f"a scaled product may reach {bound}; allowed: below 2^{NARROWEST} (rule A2)")
    return bound
