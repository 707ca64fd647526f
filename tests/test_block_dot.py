"""Block dot products (rule A2): kernels against the exact reference, laws of exact sums, float64 products, every refusal."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim.codec.qtensor import QTensor, unsigned_dtype
from qsim.datapath.block_matmul import block_matmul, block_matmul_taps, block_sums
from qsim.datapath.float_presets import load_float_accumulator
from qsim.reference.block_dot import Row, block_dot, final_exponent
from qsim.reference.decode import values
from qsim.reference.numbers import round_to_float
from qsim.reference.tensor import Encoded
from qsim.spec import FLOAT32, Format, Geometry, SpecError, load_format
from qsim.spec.block_accumulator import BlockAccumulator, parse_block_accumulator
from qsim.spec.float_accumulator import ALIGNMENTS, FloatAccumulator
from qsim.spec.int_accumulator import ADD_OVERFLOWS, IntAccumulator
from qsim.spec.number import FLOAT_SCALES, Element
from qsim.spec.options import ROUNDINGS
from qsim.spec.requantizer import STEP_ROUNDINGS, Narrow
from tests.strategies import user_formats

MX = ("mx9", "mx6", "mx4", "bfp")
OCP = ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4", "mxint8")
PAIRS = [
    *((name, name) for name in (*MX, *OCP, "vsq4", "nvfp4")),
    ("mx9", "mx6"),
    ("mx4", "bfp"),
    ("mxfp8_e5m2", "mxfp8_e4m3"),
    ("mxfp8_e4m3", "mxfp4"),
    ("mxint8", "mxfp6_e2m3"),
    ("int8", "vsq4"),
    ("uint8", "vsq4"),
    ("vsq4", "int4"),
    ("int8", "mx9"),
    ("mx9", "vsq4"),
    ("nvfp4", "mx6"),
    ("fp8_e4m3", "mxfp4"),
    ("fp8_e5m2", "mxfp8_e5m2"),
    ("nvfp4", "fp8_e5m2"),
]
KULISCH = FloatAccumulator("kulisch", (("fp32", 1),), None, alignment="exact", out_rounding="half_even", signed_zero=True)
FIXED = BlockAccumulator("fixed", lsb=-30, sums=IntAccumulator(bits=62))
EXACT = BlockAccumulator("float", unit=KULISCH, nfma=4096)
INTEGER = BlockAccumulator("integer", sums=IntAccumulator(bits=62))


def bits(x: Any) -> np.ndarray:
    return np.asarray(x, np.float32).view(np.uint32)


# --- operands of any codes ---


def tensor(name: str | Format, rows: int, K: int, rng: np.random.Generator, *, finite: bool = True) -> QTensor:
    """(rows, K) of any codes: few or far shared exponents, zero blocks, any scales; NaN blocks and Inf unless `finite`."""
    fmt = load_format(name)
    channels = bool(rng.integers(2))
    granularity = "channel" if fmt.granularity and channels else None
    geometry = Geometry.of(fmt, (rows, K), axis=1, granularity=granularity, channel_axis=0)
    e = fmt.element
    known = [c for c in range(1 << e.bits) if e.kind != "float" or isinstance(e.value(c), Fraction)]
    codes = rng.choice(known if finite or rng.integers(3) else np.arange(1 << e.bits), (rows, K)).astype(unsigned_dtype(e.bits))
    if rng.integers(3) == 0:
        codes[:, : fmt.block_size] = 0
    base, spread = rng.choice([127, 127, 100, 5, 250]), rng.choice([1, 4, 30, 120])
    scales = []
    for s, shape in zip(geometry.fmt.scales, geometry.scale_shapes, strict=True):
        if s.kind == "exponent":
            found = np.clip(base + rng.integers(-spread, spread, shape), 0, 254)
            if not finite and rng.integers(2):
                found = np.where(rng.random(shape) < 0.2, 255, found)
        elif s.kind == "float":
            top = int(s.float_type.max_code) + 1
            low, high = (0, top) if s.type == "E4M3" or rng.integers(4) == 0 else (top * 2 // 5, top * 3 // 5)
            found = rng.integers(low, high, shape)
            if s.type == "E4M3" and not finite and rng.integers(2):
                found = np.where(rng.random(shape) < 0.2, 127, found)
        else:
            found = rng.integers(0, 1 << s.bits, shape)
        moved = found if not isinstance(s.group, int) else found.reshape(rows, -1)
        scales.append(np.asarray(moved, unsigned_dtype(s.bits)))
    zero = None
    if geometry.fmt.zero_point:
        zero = rng.integers(e.qmin, e.qmax + 1, geometry.scale_shapes[0]).astype(np.int32)
    return QTensor(geometry.fmt, (rows, K), geometry, codes, tuple(scales), zero)


def row(q: QTensor, r: int) -> Row:
    """A row of a tensor for the reference."""
    levels = list(zip(q.geometry.fmt.scales, q.scales_moved, strict=True))
    blocks = tuple([int(c) for c in codes[r]] for s, codes in levels if isinstance(s.group, int))
    outer = tuple(int(codes.reshape(-1)[r if codes.size > 1 else 0]) for s, codes in levels if not isinstance(s.group, int))
    zero = 0 if q.zero_point_moved is None else int(q.zero_point_moved.reshape(-1)[r if q.zero_point_moved.size > 1 else 0])
    return Row(q.geometry.fmt, [int(c) for c in q.codes_moved[r]], blocks, outer, zero)


def exact_values(q: QTensor) -> list[list[Any]]:
    """The decoded values of every row, exact."""
    zero = None if q.zero_point_moved is None else [int(z) for z in q.zero_point_moved.reshape(-1)]
    encoded = Encoded(
        [int(c) for c in q.codes_moved.reshape(-1)],
        tuple([int(c) for c in s.reshape(-1)] for s in q.scales_moved),
        zero,
    )
    flat = values(encoded, q.shape, q.geometry.fmt, axis=1, channel_axis=0)
    return [flat[r * q.shape[1] : (r + 1) * q.shape[1]] for r in range(q.shape[0])]


# --- kernels and reference ---


@st.composite
def int_registers(draw: Any, low: int = 4) -> IntAccumulator:
    order = draw(st.sampled_from(["sequential", "tree", "chunked"]))
    width = st.integers(low, 24) | st.integers(2, 62)
    fields: dict[str, Any] = {}
    if order == "chunked":
        fields["chunk"] = draw(st.integers(1, 3))
        if draw(st.booleans()):
            fields["spill"] = Narrow(draw(width), True, draw(st.sampled_from(ADD_OVERFLOWS)))
    return IntAccumulator(bits=draw(width), overflow=draw(st.sampled_from(ADD_OVERFLOWS)), order=order, **fields)


@st.composite
def units(draw: Any) -> FloatAccumulator:
    alignment = draw(st.sampled_from(tuple(ALIGNMENTS)))
    order = draw(st.sampled_from(["ascending", "ascending", "pairwise"]))
    return FloatAccumulator(
        "random",
        (("fp32", 1),),
        None if alignment == "exact" else draw(st.integers(1, 40) | st.sampled_from([13, 23, 25, 35])),
        alignment=alignment,
        c="late_f32" if order == "pairwise" else draw(st.sampled_from(["aligned", "late_f32"])),
        min_exponent=draw(st.sampled_from([None, -133, -10, 0])),
        out_fraction=draw(st.sampled_from([2, 10, 13, 23, 23, 23])),
        out_rounding=draw(st.sampled_from(ROUNDINGS[:-1])),
        overflow=draw(st.sampled_from(["inf", "largest"])),
        order=order,
        ftz=draw(st.booleans()),
        signed_zero=draw(st.booleans()),
        nan=draw(st.sampled_from([0x7FFFFFFF, 0x7FC00000, 0xFFC00000])),
    )


def narrows(low: int, high: int) -> st.SearchStrategy[Narrow]:
    return st.builds(lambda b, o: Narrow(b, True, o), st.integers(low, high), st.sampled_from(ADD_OVERFLOWS))


@st.composite
def accumulators(draw: Any, a: Format, w: Format) -> BlockAccumulator:
    """Any accumulator that takes two formats, its registers small enough to bite."""
    kinds = {s.kind for fmt in (a, w) for s in fmt.block_scales}
    block = max(a.block_size, w.block_size)
    into = draw(st.sampled_from(["fixed", "float", "float", *["integer"] * 2 * (kinds == {"uint"})]))
    length = draw(st.sampled_from([None, None, 1, 4, 8, block]))
    dot = draw(st.none() | st.none() | narrows(4, 40) | narrows(4, 12))
    if into == "float":
        unit, nfma = draw(units()), draw(st.sampled_from([1, 2, 3, 4, 8, 32]))
        products = draw(st.integers(0, 2)) == 0
        length, dot = (None, None) if products else (length, dot)
        step = nfma * (1 if products else length or block)
        every = draw(st.sampled_from([None, None, step, 2 * step]))
        terms = "products" if products else "sums"
        return BlockAccumulator(into, dot, length, unit=unit, terms=terms, nfma=nfma, promote_every=every)
    fields: dict[str, Any] = {"term": draw(st.none() | narrows(4, 62))}
    if into == "fixed":
        fields |= {"lsb": draw(st.integers(-60, 40)), "rounding": draw(st.sampled_from(STEP_ROUNDINGS))}
    elif draw(st.booleans()):
        fields |= {"scale_bits": draw(st.integers(2, 9)), "scale_rounding": draw(st.sampled_from(STEP_ROUNDINGS))}
    return BlockAccumulator(into, dot, length, sums=draw(int_registers()), **fields)


@st.composite
def problems(draw: Any) -> tuple[Any, ...]:
    names = draw(st.sampled_from(PAIRS))
    acc = draw(accumulators(*map(load_format, names)))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    (M, N), K = draw(st.sampled_from([(1, 1), (2, 3), (3, 2)])), draw(st.integers(0, 9) | st.integers(10, 80))
    finite = acc.into != "float" or draw(st.integers(0, 3)) > 0
    a, w = (tensor(name, n, K, rng, finite=finite) for name, n in zip(names, (M, N), strict=True))
    if names[0] == names[1] and M == N and K > 1 and draw(st.integers(0, 4)) == 0:  # blocks that cancel others
        half = K // 2 // a.format.block_size * a.format.block_size
        if half and a.format.element.kind in ("sign_magnitude", "float"):
            sign = 1 << (a.format.element.bits - 1)
            a.codes_moved[:, half : 2 * half] = a.codes_moved[:, :half]
            w.codes_moved[:, half : 2 * half] = w.codes_moved[:, :half] ^ sign
            for q in (a, w):
                for s, codes in zip(q.geometry.fmt.scales, q.scales_moved, strict=True):
                    if isinstance(s.group, int):
                        codes[:, half // s.group : 2 * half // s.group] = codes[:, : half // s.group]
    c = None
    if acc.into == "float" and draw(st.booleans()):
        c = rng.integers(0, 1 << 32, (M, N), dtype=np.uint32).view(np.float32)
        if draw(st.integers(0, 3)):
            c = np.where(np.isfinite(c) & (abs(c) < 1e30) & (abs(c) > 1e-30), c, np.float32(-1.5)).astype(np.float32)
    return a, w, acc, c


def tap_values(tap: np.ndarray, m: int, n: int) -> list[int]:
    found = np.atleast_1d(tap[m, n])
    return (found.view(np.uint32) if found.dtype == np.float32 else found).tolist()


def check(a: QTensor, w: QTensor, acc: BlockAccumulator, c: np.ndarray | None) -> None:
    """Result, taps and events are those of the reference; so is the first error."""
    expected, refused = {}, None
    for m in range(a.shape[0]):
        for n in range(w.shape[0]):
            addend = 0 if c is None else int(c.view(np.uint32)[m, n])
            try:
                expected[m, n] = block_dot(row(a, m), row(w, n), acc, addend)
            except ValueError as error:
                refused = refused or (m, n, str(error))
    if refused is not None:
        with pytest.raises(ValueError, match=r"output \[") as caught:
            block_matmul(a, w, acc, w_rows=True, c=c)
        pattern = r"value (-?\d+) leaves \d+ bits at (\w+), \w+ =? ?(\d+)"
        stated, found = re.search(pattern, refused[2]), re.search(pattern, str(caught.value))
        assert str(caught.value).startswith(f"output [{refused[0]}, {refused[1]}]: ")
        assert stated
        if abs(int(stated[1])) < 1 << 62:
            assert found
            assert found.groups() == stated.groups()
        return
    result, taps, events = block_matmul_taps(a, w, acc, w_rows=True, c=c)
    counted: dict[str, int] = {}
    plain = block_matmul(a, w, acc, w_rows=True, c=c, events=counted)

    assert np.array_equal(bits(plain), bits(result))
    assert counted == events == {name: sum(d.events[name] for d in expected.values()) for name in acc.registers}
    for (m, n), d in expected.items():
        assert hex(bits(result)[m, n]) == hex(d.result)
        assert {name: tap_values(tap, m, n) for name, tap in taps.items()} == d.taps
    if acc.into != "float":
        sums = block_sums(a, w, acc, w_rows=True)
        assert sums.sums.tolist() == [[expected[m, n].accumulator for n in range(w.shape[0])] for m in range(a.shape[0])]
        assert sums.exponent == final_exponent(a.geometry.fmt, w.geometry.fmt, acc)


@pytest.mark.kernels
@settings(deadline=None, max_examples=400)
@given(problem=problems())
def test_block_matmul_equals_reference(problem: tuple[Any, ...]) -> None:
    """Kernels and exact reference agree in result, every tap and every event count, for any codes and any accumulator."""
    check(*problem)


def blocks(fmt: Format) -> bool:
    """A format with block scales that a block product takes, of few codes."""
    return fmt.family in ("microexponent", "ocp", "vsq", "nvfp4") and fmt.element.bits <= 12


@settings(deadline=None, max_examples=150)
@given(fmt=user_formats().filter(blocks), data=st.data())
def test_block_matmul_of_user_formats_equals_reference(fmt: Format, data: Any) -> None:
    """As above for formats of any element, block and scale: blocks of 3, microexponents of 8, E5M2 under E4M3 scales."""
    acc = data.draw(accumulators(fmt, fmt))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    a, w = (tensor(fmt, 2, 50, rng, finite=acc.into != "float") for _ in range(2))
    try:
        block_matmul(a, w, acc, w_rows=True)
    except ValueError as error:
        if re.search("elements span|may reach|last bit of a product|allowed: a divisor", str(error)):
            return
    check(a, w, acc, None)


@pytest.mark.kernels
@pytest.mark.parametrize("into", ["integer", "fixed", "float", "products"])
@pytest.mark.parametrize("names", PAIRS, ids="_".join)
def test_every_pair_of_formats(names: tuple[str, str], into: str) -> None:
    """Every pair of formats in every kind of accumulator that takes it, with wide registers."""
    kinds = {s.kind for name in names for s in load_format(name).block_scales}
    acc = {
        "integer": INTEGER,
        "fixed": BlockAccumulator("fixed", lsb=-12, sums=IntAccumulator(bits=40, overflow="saturate")),
        "float": BlockAccumulator("float", unit=load_float_accumulator("hopper"), nfma=2),
        "products": BlockAccumulator("float", unit=load_float_accumulator("hopper"), nfma=32, terms="products"),
    }[into]
    rng = np.random.default_rng(7)
    a, w = tensor(names[0], 2, 50, rng), tensor(names[1], 3, 50, rng)
    if into == "integer" and kinds != {"uint"}:
        with pytest.raises(SpecError, match="allowed: UINT block scales or none"):
            block_matmul(a, w, acc, w_rows=True)
        return
    check(a, w, acc, None)


@pytest.mark.kernels
def test_sums_of_e5m2_need_more_than_64_bits() -> None:
    """32 products of 57344 * 57344 and one of 2^-16 * 2^-16: 102 bits in one block sum; every kind of accumulator."""
    fmt = load_format("mxfp8_e5m2")
    rng = np.random.default_rng(1)
    a, w = tensor("mxfp8_e5m2", 1, 64, rng), tensor("mxfp8_e5m2", 1, 64, rng)
    for q in (a, w):
        q.codes_moved[:] = fmt.element.max_code
        q.codes_moved[0, 31] = 1
        q.scales_moved[0][:] = 127
    taps = block_matmul_taps(a, w, EXACT, w_rows=True)[1]

    assert taps["block_dots"][0, 0].tolist() == [31 * (7 << 29) ** 2 + 1, 32 * (7 << 29) ** 2]
    for lsb in (-40, -32, -31, -20, -16, -8, 0, 20):
        for overflow in ADD_OVERFLOWS:
            check(a, w, BlockAccumulator("fixed", lsb=lsb, sums=IntAccumulator(bits=62, overflow=overflow)), None)
    for fraction in (2, 13, 25, 40):
        check(a, w, BlockAccumulator("float", unit=replace(load_float_accumulator("hopper"), fraction=fraction), nfma=2), None)
    for dot in (Narrow(40, True, "saturate"), Narrow(57, True, "wrap"), Narrow(61, True, "saturate_zero")):
        check(a, w, replace(EXACT, dot=dot), None)


def vsq16_and_e5m2() -> tuple[QTensor, QTensor]:
    """Rows of a block of 16384 INT16 elements with a UINT4 scale, and of E5M2 without block scales: its sum may have 61 bits."""
    vector, channel = load_format("vsq4").scales
    fmt = Format("vsq16", Element("int", 16), (replace(vector, group=16384), channel))
    rng = np.random.default_rng(2)
    return tensor(fmt, 2, 300, rng), tensor("fp8_e5m2", 2, 300, rng)


@pytest.mark.kernels
@pytest.mark.parametrize("dot", [Narrow(30, True, "saturate"), Narrow(50, True, "wrap"), Narrow(56, True, "saturate")])
def test_long_sums_in_integer_registers(dot: Narrow) -> None:
    """A block sum of more than 60 bits stands in two words; what its register leaves of it is added whole."""
    check(*vsq16_and_e5m2(), replace(INTEGER, dot=dot), None)


def test_integer_terms_beyond_one_word_are_refused() -> None:
    """Integer registers add terms of one word: without a register before them, a sum of 61 bits times 15 may leave it."""
    for acc in (INTEGER, replace(INTEGER, term=Narrow(40, True, "wrap")), replace(INTEGER, dot=Narrow(58, True, "saturate"))):
        with pytest.raises(SpecError, match=re.escape("a scaled block sum may reach")):
            block_matmul(*vsq16_and_e5m2(), acc, w_rows=True)


# --- laws ---


@pytest.mark.parametrize("names", PAIRS, ids="_".join)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1 << 32), K=st.integers(1, 70))
def test_a_wide_accumulator_gives_the_exact_product_rounded_once(names: tuple[str, str], seed: int, K: int) -> None:
    """The exact sum of products of decoded values, once to float32: one exact step, or registers that lose nothing."""
    rng = np.random.default_rng(seed)
    a, w = tensor(names[0], 2, K, rng), tensor(names[1], 2, K, rng)
    formats = a.geometry.fmt, w.geometry.fmt
    outer = any(not isinstance(s.group, int) for fmt in formats for s in fmt.scales)
    kinds = {s.kind for fmt in formats for s in fmt.block_scales}
    if kinds == {"uint"}:
        acc = INTEGER
    elif outer and "exponent" in kinds:
        return  # shared exponents further apart than 62 bits, and two roundings with a float32 sum
    else:
        acc = FIXED if outer else EXACT
    result = bits(block_matmul(a, w, acc, w_rows=True))
    x, y = exact_values(a), exact_values(w)

    for m in range(2):
        for n in range(2):
            exact = sum((p * q for p, q in zip(x[m], y[n], strict=True)), Fraction(0))
            assert result[m, n] == round_to_float(exact, FLOAT32)


@pytest.mark.parametrize("name", MX)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1 << 32))
def test_microexponents_are_shifts(name: str, seed: int) -> None:
    """The integer sum of a block, times the power of its shared exponents, is the dot product of its decoded values."""
    rng = np.random.default_rng(seed)
    a, w = tensor(name, 1, 48, rng), tensor(name, 1, 48, rng)
    taps = block_matmul_taps(a, w, EXACT, w_rows=True)[1]
    x, y = exact_values(a)[0], exact_values(w)[0]
    element = load_format(name).element
    fraction = 2 * (-element.lsb_exponent + (len(a.format.scales) - 1))

    for j in range(3):
        exact = sum((x[k] * y[k] for k in range(16 * j, 16 * j + 16)), Fraction(0))
        assert taps["block_dots"][0, 0, j] * Fraction(2) ** (int(taps["exponents"][0, 0, j]) - fraction) == exact


@pytest.mark.parametrize("names", [("mx9", "mx9"), ("mx6", "mx4"), ("mxfp4", "mxfp6_e2m3"), ("mxint8", "mxint8"), ("bfp", "mx9")])
def test_float64_products_where_they_are_exact(names: tuple[str, str]) -> None:
    """numpy's float64 product of decoded values of one binade loses nothing: the exact accumulators give its float32."""
    rng = np.random.default_rng(3)
    x, y = (rng.uniform(1, 2, shape).astype(np.float32) * rng.choice([-1, 1], shape) for shape in ((9, 77), (77, 11)))
    a, w = qsim.encode(x.astype(np.float32), names[0], axis=1), qsim.encode(y.astype(np.float32), names[1], axis=0)
    expected = (a.decode("float64") @ w.decode("float64")).astype(np.float32)

    assert np.array_equal(block_matmul(a, w, EXACT), expected)
    assert np.array_equal(block_matmul(a, w, FIXED), expected)


def test_weights_by_rows_and_by_columns_are_the_same() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((5, 40)).astype(np.float32), rng.standard_normal((40, 7)).astype(np.float32)
    a, w = qsim.encode(x, "mx6", axis=1), qsim.encode(y, "mx6", axis=0)
    rows = qsim.encode(np.ascontiguousarray(y.T), "mx6", axis=1)

    assert np.array_equal(block_matmul(a, w, FIXED), block_matmul(a, rows, FIXED, w_rows=True))


@pytest.mark.parametrize(
    "acc", [replace(FIXED, term=None, sums=IntAccumulator(bits=34, overflow="wrap")), replace(EXACT, nfma=2)]
)
def test_threads_change_nothing(acc: BlockAccumulator) -> None:
    """Result, taps and events on one thread and on four."""
    rng = np.random.default_rng(4)
    a, w = tensor("mx9", 70, 64, rng), tensor("mx9", 600, 64, rng)
    found = []
    for n in (1, 4):
        qsim.set_num_threads(n)
        try:
            found.append((*block_matmul_taps(a, w, acc, w_rows=True), block_matmul(a, w, acc, w_rows=True)))
        finally:
            qsim.set_num_threads(None)

    assert np.array_equal(bits(found[0][0]), bits(found[1][0]))
    assert np.array_equal(bits(found[0][3]), bits(found[1][3]))
    assert found[0][2] == found[1][2]
    assert all(
        np.array_equal(found[0][1][name], found[1][1][name], equal_nan=False) for name in found[0][1] if name != "exponents"
    )


def test_order_decides_a_saturating_sum_of_blocks() -> None:
    """Blocks of 100, 100 and -100 in 8 bits: 127 - 100, or 100 where the negative one comes between."""
    x = np.zeros((1, 48), np.float32)
    x[0, ::16] = [1.5625, 1.5625, -1.5625]
    y = np.zeros((1, 48), np.float32)
    y[0, ::16] = 1.0
    acc = BlockAccumulator("fixed", lsb=-6, sums=IntAccumulator(bits=8, overflow="saturate"))

    def total(order: list[int]) -> float:
        moved = [np.concatenate([v[:, 16 * i : 16 * i + 16] for i in order], axis=1) for v in (x, y)]
        a, w = (qsim.encode(v, "bfp", axis=1) for v in moved)
        return float(block_matmul(a, w, acc, w_rows=True)[0, 0]) * 64

    assert total([0, 1, 2]) == 27
    assert total([0, 2, 1]) == 100


# --- specials ---


def special_pair(code: int, other: int) -> tuple[QTensor, QTensor]:
    """One block of E5M2 with one special code, against a block of ones with one other code beside it."""
    rng = np.random.default_rng(0)
    a, w = tensor("mxfp8_e5m2", 1, 32, rng), tensor("mxfp8_e5m2", 1, 32, rng)
    one = 15 << 2
    a.codes_moved[:], w.codes_moved[:] = one, one
    a.codes_moved[0, 3], w.codes_moved[0, 3] = code, other
    for q in (a, w):
        q.scales_moved[0][:] = 127
    return a, w


@pytest.mark.parametrize("terms", ["sums", "products"])
@pytest.mark.parametrize(
    ("code", "other", "expected"),
    [
        (0x7C, 0x3C, 0x7F800000),
        (0x7C, 0xBC, 0xFF800000),
        (0xFC, 0xFC, 0x7F800000),
        (0x7C, 0x00, 0x7FFFFFFF),
        (0x7C, 0x80, 0x7FFFFFFF),
        (0x7D, 0x3C, 0x7FFFFFFF),
        (0x7D, 0x00, 0x7FFFFFFF),
    ],
)
def test_infinite_elements_in_a_float_accumulator(code: int, other: int, expected: int, terms: str) -> None:
    acc = BlockAccumulator("float", unit=load_float_accumulator("hopper"), nfma=1, terms=terms)
    a, w = special_pair(code, other)

    assert bits(block_matmul(a, w, acc, w_rows=True))[0, 0] == expected
    check(a, w, acc, None)


def test_a_nan_block_times_zeros_is_nan() -> None:
    a, w = special_pair(0, 0)
    a.codes_moved[:], w.codes_moved[:] = 0, 0
    a.scales_moved[0][:] = 255

    assert np.isnan(block_matmul(a, w, EXACT, w_rows=True)).all()


@pytest.mark.parametrize("acc", [FIXED])
def test_a_nan_block_is_refused_by_registers(acc: BlockAccumulator) -> None:
    rng = np.random.default_rng(0)
    a, w = tensor("mx9", 3, 64, rng), tensor("mx9", 3, 64, rng)
    w.scales_moved[1][2, 3] = 255

    with pytest.raises(ValueError, match=re.escape("weight: block 3 of row 2 along K holds NaN or Inf at k = 48")):
        block_matmul(a, w, acc, w_rows=True)


# --- refusals ---


def encoded(name: str, shape: tuple[int, int], axis: int, **options: Any) -> QTensor:
    return qsim.encode(np.ones(shape, np.float32), name, axis=axis, **options)


@pytest.mark.parametrize(
    ("a", "w", "acc", "message"),
    [
        (encoded("mx9", (4, 32), 0), encoded("mx9", (32, 4), 0), FIXED, "allowed: axis 1, K, the reduction axis"),
        (encoded("mx9", (4, 32), 1), encoded("mx9", (32, 4), 1), FIXED, "allowed: axis 0, K, the reduction axis"),
        (encoded("mx9", (4, 32), 1), encoded("mx9", (48, 4), 0), FIXED, "allowed: the same K, axes 1 and 0"),
        (encoded("mx9", (4, 32), 1), encoded("mxfp4", (32, 4), 0), FIXED, "mx9 (blocks of 16) and mxfp4 (blocks of 32)"),
        (encoded("int8", (4, 32), 1), encoded("int8", (32, 4), 0), FIXED, "or one operand without block scales"),
        (encoded("mx9", (4, 32), 1), encoded("binary", (32, 4), 0), FIXED, "weight is binary"),
        (encoded("mx9", (4, 32), 1), encoded("mx9", (32, 4), 0), INTEGER, "allowed: UINT block scales or none"),
        (encoded("bf16", (4, 32), 1), encoded("mx9", (32, 4), 0), FIXED, "elements span"),
        (encoded("mx9", (4, 32), 1), encoded("int4", (32, 4), 0, granularity=16), FIXED, "has FP32 scales per 16"),
        (encoded("mx9", (4, 32), 1), encoded("mx9", (32, 4), 0), replace(FIXED, length=6), "allowed: a divisor of 16"),
    ],
)
def test_operands_that_do_not_fit_are_refused(a: QTensor, w: QTensor, acc: BlockAccumulator, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        block_matmul(a, w, acc)


def test_c_is_for_float_accumulators() -> None:
    a, w = encoded("mx9", (4, 32), 1), encoded("mx9", (32, 5), 0)

    with pytest.raises(ValueError, match="allowed: with a float accumulator"):
        block_matmul(a, w, FIXED, c=np.zeros((4, 5), np.float32))
    with pytest.raises(ValueError, match=r"allowed: float32 of shape \(4, 5\) or \(5,\)"):
        block_matmul(a, w, EXACT, c=np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="has no integer sums"):
        block_sums(a, w, EXACT)
    assert block_matmul(a, w, EXACT, c=np.arange(5, dtype=np.float32)).tolist() == [[32, 33, 34, 35, 36]] * 4


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "into = None; allowed: integer, fixed, float"),
        ({"into": "fixed"}, "key 'lsb' is missing"),
        ({"into": "fixed", "lsb": -20, "nfma": 4}, "unknown key 'nfma'"),
        ({"into": "integer", "lsb": -20}, "unknown key 'lsb'"),
        ({"into": "fixed", "lsb": 1000}, "allowed: -600 to 600"),
        ({"into": "fixed", "lsb": 0, "bits": 80}, "allowed: 2 to 62"),
        ({"into": "fixed", "lsb": 0, "dot_overflow": "wrap"}, "dot_overflow without dot_bits"),
        ({"into": "fixed", "lsb": 0, "rounding": "nearest"}, "allowed: half_even"),
        ({"into": "integer", "scale_bits": 1}, "allowed: 2 to 16"),
        ({"into": "float"}, "unit = None; allowed: the name or path"),
        ({"into": "float", "unit": "hopper", "terms": "blocks"}, "allowed: sums, products"),
        ({"into": "float", "unit": "hopper", "promote_every": 100, "nfma": 16}, "allowed: a multiple of 16"),
        ({"into": "float", "unit": "avx512_bf16"}, "allowed: ascending or pairwise, no daz"),
        ({"into": "float", "unit": {"fraction": 99}}, "fraction = 99"),
        ({"into": "float", "unit": {"like": "hopper", "operands": {}}}, "unit.operands; allowed: like"),
        ({"into": "float", "unit": "hopper", "terms": "products", "length": 16}, "allowed: with terms = 'sums'"),
    ],
)
def test_bad_tables_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        parse_block_accumulator(table, "file.toml: accumulator", load_float_accumulator)
    assert str(caught.value).startswith("file.toml: accumulator: ")


def test_tables_describe_accumulators() -> None:
    fixed = {"into": "fixed", "lsb": -20, "rounding": "floor", "bits": 30, "overflow": "wrap", "dot_bits": 20, "term_bits": 32}
    unit = {"like": "hopper", "fraction": 35}

    acc = parse_block_accumulator({"kind": "block", **fixed}, "f", load_float_accumulator)
    other = parse_block_accumulator({"into": "float", "unit": unit, "nfma": 4}, "f", load_float_accumulator)

    assert (acc.lsb, acc.rounding, acc.dot, acc.term) == (-20, "floor", Narrow(20, True, "error"), Narrow(32, True, "wrap"))
    assert acc.registers == ("dot", "term", "accumulator")
    assert other.unit == replace(load_float_accumulator("hopper"), fraction=35)
    assert parse_block_accumulator({"into": "float", "unit": {"fraction": 25}}, "f", load_float_accumulator).unit.fraction == 25


def test_every_float_scale_has_a_verdict() -> None:
    """E4M3 is taken; scales of another float type are refused by name."""
    assert set(FLOAT_SCALES) == {"FP32", "FP16", "BF16", "E4M3"}


# --- the blocks worked by hand ---


def test_worked_blocks_are_what_qsim_computes() -> None:
    """Every cell of the table of docs/block-dot.md, the sums and exponents below it, and the three results."""
    text = (Path(__file__).resolve().parent.parent / "docs" / "block-dot.md").read_text()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if re.match(r"\| \d+ \| ", line)]
    x, y = np.zeros((1, 32), np.float32), np.zeros((1, 32), np.float32)
    for k, p, q, *_ in table:
        x[0, int(k)], y[0, int(k)] = float(p), float(q)
    a, w = qsim.encode(x, "mx9", axis=1), qsim.encode(y, "mx9", axis=1)
    sums = [0, 0]

    assert len(table) == 6
    for cells in table:
        k, tau_a, tau_w, q_a, q_w, i_a, i_w, product = (int(cells[i]) for i in (0, 3, 4, 5, 6, 7, 8, 9))
        assert (a.decode()[0, k], w.decode()[0, k]) == (x[0, k], y[0, k])
        assert (a.scales[0][0, k // 2], w.scales[0][0, k // 2]) == (tau_a, tau_w)
        assert (a.integers[0, k], w.integers[0, k]) == (q_a, q_w)
        assert (i_a, i_w, product) == (q_a * (2 - tau_a), q_w * (2 - tau_w), i_a * i_w)
        sums[k // 16] += product
    aligned = BlockAccumulator("float", unit=replace(load_float_accumulator("hopper"), fraction=8), nfma=2)
    fixed = BlockAccumulator("fixed", lsb=-8, sums=IntAccumulator(bits=16))
    found = [block_matmul_taps(a, w, acc, w_rows=True) for acc in (EXACT, fixed, aligned)]
    for result, taps, _ in found:
        assert taps["block_dots"].tolist() == [[sums]] == [[[19276, 28672]]]
        assert taps["exponents"].tolist() == [[[1, -6]]]
        assert f"**{float(result[0, 0])}**" in text
    assert found[1][1]["terms"].tolist() == [[[602, 7]]]
    assert found[2][1]["aligned"].tolist() == [[[301, 3]]]
    assert (a.scales[1].tolist(), w.scales[1].tolist()) == ([[127, 122]], [[128, 126]])


# --- datapaths ---

BLOCK = [name for name in qsim.datapath_names() if isinstance(qsim.load_datapath(name).accumulator, BlockAccumulator)]


@pytest.mark.parametrize("name", BLOCK)
def test_datapaths_of_block_formats(name: str) -> None:
    """matmul, linear and trace_matmul of every datapath are the reference's; it says that it is not verified."""
    d = qsim.load_datapath(name)
    acc = d.accumulator
    assert isinstance(acc, BlockAccumulator)
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((3, 150)).astype(np.float32), rng.standard_normal((4, 150)).astype(np.float32)
    a, rows = qsim.encode(x, d.activation, axis=1), qsim.encode(y, d.weight, axis=1)
    w = qsim.encode(np.ascontiguousarray(y.T), d.weight, axis=0, channel_axis=1)
    expected = [[block_dot(row(a, m), row(rows, n), acc).result for n in range(4)] for m in range(3)]

    assert d.not_verified
    for result in (qsim.matmul(a, w, name), qsim.linear(a, rows, name), qsim.trace_matmul(a, w, name).result):
        assert bits(result).tolist() == expected


def test_vsq_sums_are_requantized_as_any_integers() -> None:
    """A user's datapath: VS-Quant sums into a requantizer equal requantize of the sums, scales taken from the operands."""
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((3, 64)).astype(np.float32), rng.standard_normal((4, 64)).astype(np.float32)
    a, w = qsim.encode(x, "int8", axis=1), qsim.encode(y, "vsq4", axis=1)
    d = qsim.load_datapath("int8_vsq4")
    sums = block_sums(a, w, d.accumulator, w_rows=True)
    user = replace(d, requantizer=qsim.load_requantizer("xnnpack_fp32"), out_format="int8")

    assert np.abs(sums.sums).max() > 1000
    scale = 2.0**-5
    assert np.array_equal(
        qsim.linear(a, w, user, scale=scale), qsim.requantize(sums.sums.astype(np.int32), "xnnpack_fp32", scale=scale)
    )
