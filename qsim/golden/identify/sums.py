"""Single options of what sums the products: integer, float and block accumulators (rules A)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from qsim.golden.identify.change import OVERFLOWS, Change, register, values_of, with_accumulator
from qsim.golden.identify.device import Device
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.float_accumulator import ALIGNMENTS, C_MODES, ORDERS, FloatAccumulator
from qsim.spec.int_accumulator import BIASES, ZERO_POINT_PLACES, IntAccumulator
from qsim.spec.requantizer import STEP_ROUNDINGS, Amount, Narrow, Step

WIDTHS = range(16, 41)  # of an accumulator
CHUNKS = (2, 4, 8, 16, 32, 64, 128, 256)
LANES = (1, 2, 4, 8, 16, 32, 64)
FRACTIONS = (10, 13, 14, 22, 23, 24, 25, 26, 27, 28, 30, 31, 35, 40)
NANS = (0x7FFFFFFF, 0x7FC00000, 0xFFC00000, 0xFFFFFFFF)


def integer_changes(
    device: Device, acc: IntAccumulator, option: str, put: Callable[..., Device], plain: bool = False
) -> Iterator[Change]:
    """Registers, orders and places of an integer sum; plain: the sum of a block accumulator, which has no lanes of its own."""
    near = range(max(2, acc.bits - 4), acc.bits + 5)
    yield from values_of(option, acc.bits, sorted({*WIDTHS, *near}), put, "bits")
    yield from values_of(option, acc.overflow, OVERFLOWS, put, "overflow")
    first = {"bias": "last"} if acc.bias == "first" else {}
    whole = {"chunk": None, "spill": None}
    if acc.order != "sequential":
        yield Change(f"{option}.order", "sequential", partial(put, order="sequential", **whole))
    if acc.order != "tree":
        text = "tree, bias last" if first else "tree"
        yield Change(f"{option}.order", text, partial(put, order="tree", **whole, **first))
    for chunk in CHUNKS:
        if chunk < device.k and chunk != acc.chunk:
            yield Change(
                f"{option}.order",
                f"chunked, chunk {chunk}",
                partial(put, order="chunked", chunk=chunk),
            )
    if acc.order == "chunked":
        yield from register(f"{option}.spill", acc.spill, (*WIDTHS, 48), lambda r: partial(put, spill=r))
    if plain:
        return
    yield from values_of(option, acc.lanes, (n for n in LANES if n <= device.k), put, "lanes")
    if acc.lanes > 1 or acc.lane:
        yield from register(f"{option}.lane", acc.lane, (*range(8, 25), 32), lambda r: partial(put, lane=r))
    else:
        yield Change(
            f"{option}.lane",
            "pairs of products saturate to 16 bits",
            partial(put, lanes=2, lane=Narrow(16, True, "saturate")),
        )
    if "bias" in device.parameters:
        yield from values_of(option, acc.bias, (b for b in BIASES if b != "float"), put, "bias")
    if {"a_zero_point", "w_zero_point"} & set(device.parameters):
        yield from values_of(option, acc.zero_points, ZERO_POINT_PLACES, put, "zero_points")
    yield from _product(device, acc, option, put)


def _product(device: Device, acc: IntAccumulator, option: str, put: Callable[..., Device]) -> Iterator[Change]:
    """The product's register, shift and rounding."""
    from qsim.golden.unit import signed_bits

    assert device.datapath is not None
    sides = [device.datapath.operand_interval(side) for side in ("activation", "weight")]
    products = [x * y for x in sides[0] for y in sides[1]]
    full = signed_bits((min(products), max(products)))
    step = acc.product or Step(Amount(0))
    narrows = range(max(2, full - 4), full + 1)
    yield from register(f"{option}.product", step.narrow, narrows, lambda r: partial(put, product=replace(step, narrow=r)))
    if step.shift.offset:
        for rounding in STEP_ROUNDINGS:
            if rounding != step.rounding:
                yield Change(
                    f"{option}.product.rounding",
                    rounding,
                    partial(put, product=replace(step, rounding=rounding)),
                )


def float_changes(acc: FloatAccumulator, option: str, put: Callable[..., Device], block: bool = False) -> Iterator[Change]:
    """Fraction bits, alignment, c, rounding, special values of a float sum."""
    if acc.fraction is not None:
        near = range(max(1, acc.fraction - 4), min(40, acc.fraction + 4) + 1)
        yield from values_of(option, acc.fraction, sorted({*FRACTIONS, *near}), put, "fraction")
        yield from values_of(option, acc.alignment, (a for a in ALIGNMENTS if a != "exact"), put, "alignment")
        yield Change(f"{option}.alignment", "exact", partial(put, alignment="exact", fraction=None, min_exponent=None))
        yield from values_of(option, acc.min_exponent, (None, -126, -132, -133, -149), put, "min_exponent")
    else:
        for bits in FRACTIONS:
            yield Change(f"{option}.fraction", f"{bits}, trunc", partial(put, fraction=bits, alignment="trunc"))
    yield from values_of(option, acc.c, C_MODES, put, "c")
    yield from values_of(option, acc.out_fraction, (7, 8, 10, 13, 22, 23), put, "out_fraction")
    yield from values_of(option, acc.out_rounding, STEP_ROUNDINGS, put, "out_rounding")
    yield from values_of(option, acc.overflow, ("inf", "largest"), put, "overflow")
    yield from values_of(option, acc.order, (o for o in ORDERS if not (block and o == "odd_first")), put, "order")
    for key in ("ftz", "signed_zero", *(() if block else ("daz",))):
        yield from values_of(option, getattr(acc, key), (False, True), put, key)
    yield from values_of(option, acc.nan, NANS, put, "nan")


def step_changes(device: Device, acc: FloatAccumulator) -> Iterator[Change]:
    """Products of a step, and of a promotion."""
    assert device.datapath is not None
    assert device.datapath.activation is not None
    name = device.datapath.activation.name
    for n in LANES:
        if n <= 2 * device.k and n != acc.nfma(name):
            operands = tuple((f, n if f == name else m) for f, m in acc.operands)
            yield Change("accumulator.nfma", str(n), partial(with_accumulator, operands=operands))
    yield from values_of(
        "accumulator", acc.promote_every, (None, *(c for c in CHUNKS if c < device.k)), with_accumulator, "promote_every"
    )


def block_changes(device: Device, acc: BlockAccumulator) -> Iterator[Change]:
    """The registers of a block's sum, the product of scales, then the sum of the blocks."""
    put, option = with_accumulator, "accumulator"
    assert device.datapath is not None
    assert device.datapath.weight is not None
    yield from register(f"{option}.dot", acc.dot, range(6, 25), lambda r: partial(put, dot=r))
    size = device.datapath.weight.block_size
    yield from values_of(option, acc.length, (None, *(n for n in (1, 2, 4, 8, 16, 32, 64) if n < size)), put, "length")
    if acc.into != "float":
        yield from register(f"{option}.term", acc.term, range(8, 41), lambda r: partial(put, term=r))
    if acc.into == "integer":
        yield from values_of(option, acc.scale_bits, (None, *range(2, 17)), put, "scale_bits")
        if acc.scale_bits is not None:
            yield from values_of(option, acc.scale_rounding, STEP_ROUNDINGS, put, "scale_rounding")
    if acc.into == "fixed":
        yield from values_of(option, acc.lsb, range(acc.lsb - 4, acc.lsb + 5), put, "lsb")
        yield from values_of(option, acc.rounding, STEP_ROUNDINGS, put, "rounding")
    if acc.sums is not None:
        yield from integer_changes(device, acc.sums, option, _with_sums, plain=True)
    if acc.unit is not None:
        yield from float_changes(acc.unit, f"{option}.unit", _with_unit, block=True)
        yield from values_of(option, acc.nfma, LANES, put, "nfma")
        yield from values_of(option, acc.terms, ("sums", "products"), put, "terms")
        every = (None, *(c for c in CHUNKS if c < device.k))
        yield from values_of(option, acc.promote_every, every, put, "promote_every")


def _with_sums(device: Device, **given: Any) -> Device:
    assert device.block is not None
    assert device.block.sums is not None
    given.pop("bias", None)
    return with_accumulator(device, sums=replace(device.block.sums, **given))


def _with_unit(device: Device, **given: Any) -> Device:
    assert device.block is not None
    assert device.block.unit is not None
    return with_accumulator(device, unit=replace(device.block.unit, **given))
