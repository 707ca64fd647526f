"""Dot products of block formats in many cases by the kernels (rule A2): from packed operands to packed taps, a case at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.golden.columns import as_words, size_of
from qsim.golden.patterns import WORD, words_of
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec import Format, Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qsim.codec.qtensor import QTensor
    from qsim.kernels.block_rows import Shape, Side

    Array = NDArray[Any]
    Bytes = NDArray[np.uint8]

PIECE = 1 << 10  # cases
#: Columns of the kernels, in the order of the rows of kernels/block_rows.py; the rows without a column are empty.
SUMS = ("block_dots", "scale_products", "exponents", "terms")
INTEGER = (*SUMS, "partial_sums", "spill", "accumulator", "result")
FLOAT = (*SUMS, "largest_exponents", "aligned", "", "", "aligned_c", "partial_sums", "promoted", "accumulator", "result")


def block_dots(
    unit: Unit, given: Mapping[str, Bytes], scales: tuple[Array, Array], bias: Array
) -> tuple[dict[str, Bytes], Array]:
    """Taps and, where nothing requantizes it, the result; then the accumulators, which integer registers alone have.

    Args:
        unit: a dot product with a block accumulator.
        given: patterns of the operands.
        scales: float32 channel or tensor scales of both sides, one a case.
        bias: float32 addends, one a case.

    Raises:
        ValueError: the first case with NaN or Inf where registers are integers, with an overflow of a register whose mode is
            `error`, or with a product below what the kernels hold.
    """
    lowered = lower(unit)
    n, total = len(bias), np.empty(0 if lowered.float else len(bias), np.int64)
    ports = {p.name: p for p in unit.outputs if unit.out_format is None or p.role == "tap"}
    names = [name if name in ports else "" for name in lowered.names]
    found = {name: np.empty((n, size_of(port)), np.uint8) for name, port in ports.items() if name in names}
    shapes: list[tuple[int, int]] = [(ports[name].width, ports[name].count) if name else (0, 0) for name in names]
    widths, sizes = (tuple(shape[i] for shape in shapes) for i in range(2))
    arrays: list[Array] = [np.ascontiguousarray(s, np.float32).view(np.uint32) for s in (*scales, bias)]

    def task(_: slice, r: slice) -> tuple[int, int]:
        rows = [as_words(given[side][r]) for side in ("activation", "weight")]
        columns = tuple(np.empty((len(rows[0]), words_of(ports[name].bits)) if name else (0, 0), WORD) for name in names)
        first, why = lowered.rows(*rows, *(array[r] for array in arrays), total[r], columns, widths, sizes)
        for name, column in zip(names, columns, strict=True):
            if name:
                found[name][r] = column.view(np.uint8)[:, : size_of(ports[name])]
        return r.start + first if first >= 0 else -1, why

    refused = [one for one in run(task, pieces(1, n, piece=PIECE)) if one[0] >= 0]
    if refused:
        raise ValueError(_refusal(unit, *min(refused)))
    return found, total


class Lowered(NamedTuple):
    """A unit in the kernels' integers: the arguments that all cases share, those before the addends apart."""

    float: bool
    names: tuple[str, ...]
    sides: tuple[Side, Side]
    shape: Shape
    how: tuple[Any, ...]
    finish: Any

    def rows(self, a: Array, w: Array, ga: Array, gw: Array, c: Array, total: Array, *taps: Any) -> Any:
        """The kernel on some cases."""
        from qsim.kernels.block_cases import float_rows, integer_rows

        first = a, w, *self.sides, self.shape, *self.how, self.finish
        return float_rows(*first, ga, gw, c, *taps) if self.float else integer_rows(*first, ga, gw, total, *taps)


def lower(unit: Unit) -> Lowered:
    """Both operands and the accumulator."""
    from qsim.datapath.block_float import steps_of
    from qsim.datapath.block_integer import lower as lower_sums
    from qsim.datapath.block_matmul import float32
    from qsim.datapath.block_planes import ONE_WORD
    from qsim.datapath.block_problem import check_products, check_sums, problem_of
    from qsim.kernels.block_cases import Finish
    from qsim.kernels.block_rows import Shape
    from qsim.kernels.rounding import addends
    from qsim.reference.block_dot import final_exponent

    acc = unit.block
    assert acc is not None
    a, w = formats(unit)
    problem = problem_of(_blank(a, unit.k), _blank(w, unit.k), acc, True, None)
    products = acc.terms == "products"
    largest = problem.length * problem.a.largest * problem.w.largest
    wide = not products and largest >= 1 << ONE_WORD
    sides = side_of(a, products), side_of(w, products)
    shape = Shape(unit.k, problem.length, problem.terms, wide, products)
    sums = lower_sums(problem)
    even = addends("half_even")
    if acc.into != "float":
        check_sums(problem, largest, wide)
        finish = Finish(final_exponent(a, w, acc), 0, float32(), even)
        return Lowered(False, INTEGER, sides, shape, sums, finish)
    assert acc.unit is not None
    bound = check_products(problem) if products else check_sums(problem, largest, wide)
    s, p, p32, add = steps_of(problem, bound, wide)
    return Lowered(True, FLOAT, sides, shape, (*sums, p, s, add), Finish(0, acc.unit.nan, p32, even))


@cache
def side_of(fmt: Format, products: bool) -> Side:
    """Places and tables of a format's word."""
    from qsim.datapath.block_operand import NAN, SPECIAL, block_scales, element_integers
    from qsim.kernels.block_rows import Side

    places, place = {}, 0
    for name, width, count in fmt.word_fields:
        places[name] = place
        place += width * count
    integers, exponents, classes, _, _ = element_integers(fmt.element, products)
    found = Side(
        word=fmt.word_bits,
        block=fmt.block_size,
        width=fmt.element.bits,
        element_at=places["element"],
        micro=0,
        micro_at=0,
        scale_bits=0,
        scale_at=0,
        specials=bool((classes & SPECIAL).any()),
        integers=integers,
        exponents=exponents if products else np.empty(0, np.int64),
        classes=classes,
        significands=np.ones(1, np.int64),
        scale_exponents=np.zeros(1, np.int64),
        scale_classes=np.zeros(1, np.uint8),
    )
    for i, s in enumerate(fmt.block_scales):
        assert isinstance(s.group, int)
        if s.kind == "microexponent":
            found = found._replace(micro=s.group, micro_at=places[f"scale{i}"])
            continue
        significands, shared, nan = block_scales(np.arange(1 << s.bits), s)
        tables = {
            "significands": significands,
            "scale_exponents": shared,
            "scale_classes": np.where(nan, NAN, 0).astype(np.uint8),
        }
        found = found._replace(scale_bits=s.bits, scale_at=places[f"scale{i}"], **tables)
    return found


def _blank(fmt: Format, k: int) -> QTensor:
    """One row of codes 0, channel and tensor scales 1."""
    from qsim.codec.qtensor import QTensor, unsigned_dtype
    from qsim.golden.cases.draft import one
    from qsim.spec import resolve_options

    geometry = Geometry.of(fmt, (1, k))
    levels = zip(fmt.scales, geometry.scale_shapes, strict=True)
    scales = tuple(np.full(shape, 0 if isinstance(s.group, int) else one(s), unsigned_dtype(s.bits)) for s, shape in levels)
    return QTensor(
        fmt, (1, k), geometry, np.zeros((1, k), unsigned_dtype(fmt.element.bits)), scales, None, resolve_options(fmt, {})
    )


def _refusal(unit: Unit, case: int, why: int) -> str:
    """What to say of a case that is refused."""
    from qsim.kernels.block_cases import NO_NUMBER, OVERFLOW

    acc = unit.block
    assert acc is not None
    if why == NO_NUMBER:
        return f"case {case}: an operand holds NaN or Inf; allowed with into = {acc.into!r}: finite values (rule A2)"
    if why == OVERFLOW:
        return f"case {case}: a register with overflow = 'error' overflowed (rule A2)"
    return f"case {case}: the last bit of a product is too low; allowed: 2^-320 and above (rule A2)"
