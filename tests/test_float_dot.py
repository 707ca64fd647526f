"""Float accumulation (rule A3): real GPUs and CPUs, the exact reference, IEEE arithmetic, and every refusal."""

from __future__ import annotations

import ctypes
import ctypes.util
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
from qsim.datapath.dot import dot_taps
from qsim.datapath.float_presets import float_accumulator_names, float_accumulators, load_float_accumulator
from qsim.reference.float_dot import add as reference_add
from qsim.reference.float_dot import dot as reference_dot
from qsim.spec import SpecError
from qsim.spec.float_accumulator import (
    ALIGNMENTS,
    C_MODES,
    KEYS,
    OPERANDS,
    ORDERS,
    OVERFLOWS,
    FloatAccumulator,
    operand_element,
    parse_float_accumulator,
)
from qsim.spec.options import ROUNDINGS
from tests.strategies import float32_bits

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
#: capture set -> preset, operand format. c was not added to H100_E5M2.
CAPTURES = {
    "V100_fp16": ("volta", "fp16"),
    "A100_bf16": ("ampere", "bf16"),
    "Ada_E4M3": ("ada_fp8", "fp8_e4m3"),
    "H100_E5M2": ("hopper_fp8", "fp8_e5m2"),
    "H100_fp16": ("hopper", "fp16"),
    "B200_E4M3": ("b200_fp8", "fp8_e4m3"),
}
FP8 = "fp8_e4m3"


def bits(x: Any) -> np.ndarray:
    return np.atleast_1d(np.asarray(x, np.float32)).view(np.uint32)


def floats(u: Any) -> np.ndarray:
    return np.asarray(u, np.uint32).view(np.float32)


def row(*pairs: tuple[float, float], K: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """One row: the pairs (a, b), then zeros."""
    a, b = np.zeros((2, K), np.float32)
    for k, (x, y) in enumerate(pairs):
        a[k], b[k] = x, y
    return a, b


# --- real hardware ---


@pytest.fixture(scope="module")
def captures() -> dict[str, np.ndarray]:
    with np.load(DATA / "gpu_captures.npz") as file:
        return {name: file[name].view(np.float32) for name in file.files}


def mismatches(captures: dict[str, np.ndarray], name: str, acc: FloatAccumulator) -> int:
    a, b, c, d = (captures[f"{name}_{field}"] for field in "abcd")
    actual = qsim.dot(a, b, None if name == "H100_E5M2" else c, acc, operand=CAPTURES[name][1])
    return int((actual.view(np.uint32) != d.view(np.uint32)).sum())


@pytest.mark.parametrize("name", CAPTURES)
def test_preset_reproduces_every_capture_of_the_gpu(name: str, captures: dict[str, np.ndarray]) -> None:
    acc = load_float_accumulator(CAPTURES[name][0])

    assert captures[f"{name}_d"].shape == (1500,)
    assert mismatches(captures, name, acc) == 0


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("name", CAPTURES)
def test_captures_determine_the_fraction_bits(name: str, by: int, captures: dict[str, np.ndarray]) -> None:
    """With one fraction bit more or less the captures disagree, those of B200_E4M3 excepted."""
    acc = load_float_accumulator(CAPTURES[name][0])
    assert acc.fraction is not None
    other = replace(acc, fraction=acc.fraction + by)

    assert (mismatches(captures, name, other) > 0) == (name != "B200_E4M3")


@pytest.mark.parametrize("name", ["Ada_E4M3", "H100_E5M2"])
def test_captures_determine_the_result_bits_of_fp8(name: str, captures: dict[str, np.ndarray]) -> None:
    """FP22: neither 12 nor 14 fraction bits of the result agree."""
    acc = load_float_accumulator(CAPTURES[name][0])

    assert all(mismatches(captures, name, replace(acc, out_fraction=n)) > 0 for n in (12, 14))


def test_captures_tell_late_from_aligned_c(captures: dict[str, np.ndarray]) -> None:
    acc = load_float_accumulator("b200_fp8")

    assert mismatches(captures, "B200_E4M3", replace(acc, c="aligned")) > 0


@pytest.mark.parametrize(("fraction", "expected"), [(24, 0.0), (25, 2.0**-17), (26, 3 * 2.0**-18)])
def test_fraction_of_b200_fp8_by_a_directed_vector(fraction: int, expected: float) -> None:
    """256 - 256 + 3 * 2^-18: E is 8, so the unit of the alignment is 2^-16, 2^-17 or 2^-18."""
    acc = replace(load_float_accumulator("b200_fp8"), fraction=fraction)
    a, b = row((16, 16), (-16, 16), (3 * 2.0**-9, 2.0**-9))

    assert qsim.dot(a, b, None, acc, operand=FP8).tolist() == [expected]


def test_vdpbf16ps_of_a_real_cpu() -> None:
    """fma(a0, b0, fma(a1, b1, c)) with flushed subnormals: every row of the instruction's outputs; NaN where it has NaN."""
    with np.load(DATA / "vdpbf16ps.npz") as file:
        a, b, c, d = (floats(file[field]) for field in "abcd")
    actual = qsim.dot(a, b, c, "avx512_bf16")
    nan = np.isnan(d)

    assert actual.shape == (4096,)
    assert int(nan.sum()) > 30
    assert int((d == 0).sum()) > 400
    assert np.array_equal(np.isnan(actual), nan)
    assert np.array_equal(bits(actual)[~nan], bits(d)[~nan])


@pytest.mark.parametrize(
    "change", [{"order": "ascending"}, {"daz": False}, {"ftz": False}, {"c": "late_f32"}, {"signed_zero": False}]
)
def test_vdpbf16ps_captures_determine_the_preset(change: dict[str, Any]) -> None:
    with np.load(DATA / "vdpbf16ps.npz") as file:
        a, b, c, d = (floats(file[field]) for field in "abcd")
    actual = qsim.dot(a, b, c, replace(load_float_accumulator("avx512_bf16"), **change))

    assert (bits(actual) != bits(d))[~np.isnan(d)].any()


# --- another model ---


@pytest.fixture(scope="module")
def mmaemu() -> dict[str, np.ndarray]:
    with np.load(DATA / "mmaemu.npz") as file:
        return {name: file[name].view(np.float32) for name in file.files}


@pytest.mark.parametrize("formats", [("e4m3", "e4m3"), ("e5m2", "e5m2"), ("e4m3", "e5m2")], ids="_".join)
@pytest.mark.parametrize("unit", ["ada", "hopper"])
def test_fp8_units_agree_with_mmaemu(unit: str, formats: tuple[str, str], mmaemu: dict[str, np.ndarray]) -> None:
    """Rows of 128 from c on: any code, few exponents, subnormals and zeros, also of mixed operand formats."""
    a, b, c, d = (mmaemu[f"{unit}_{formats[0]}_{formats[1]}_{field}"] for field in "abcd")
    actual = qsim.dot(a, b, c, f"{unit}_fp8", operand=(f"fp8_{formats[0]}", f"fp8_{formats[1]}"))

    assert d.shape == (96,)
    assert np.array_equal(bits(actual), bits(d))


@pytest.mark.parametrize("unit", ["ada", "hopper"])
def test_promotion_every_128_agrees_with_mmaemu(unit: str, mmaemu: dict[str, np.ndarray]) -> None:
    """A matrix product with slow accumulation; most of its results differ from those without."""
    a, b, d = (mmaemu[f"slow_{unit}_{field}"] for field in "abd")
    left, right, expected = np.repeat(a, 16, axis=0), np.tile(b, (16, 1)), bits(d.reshape(-1))

    assert np.array_equal(bits(qsim.dot(left, right, None, f"{unit}_fp8", operand=FP8, promote_every=128)), expected)
    assert int((bits(qsim.dot(left, right, None, f"{unit}_fp8", operand=FP8)) != expected).sum()) > 200


# --- known vectors ---


@pytest.mark.parametrize(
    ("pairs", "c", "expected"),
    [
        ([(16, 16), (2.0**-3, 2.0**-3)], None, 256.0),
        ([], 1 + 2.0**-14, 1.0),
        ([], 1 + 2.0**-13, 1.0001220703125),
        ([(448, 1), (7.5, 1)], None, 455.5),
    ],
)
def test_known_vectors_of_hopper_fp8(pairs: list[tuple[float, float]], c: float | None, expected: float) -> None:
    a, b = row(*pairs)

    assert qsim.dot(a, b, None if c is None else [c], "hopper_fp8", operand=FP8).tolist() == [expected]


def test_promotion_keeps_what_22_bits_lose() -> None:
    """Once the sum is 128 * 448, the unit of the alignment is 4, and every later product of 1/4 is cut to 0 by itself.

    With promotion every 128, each of the 256 later chunks gives its 32 to the float32 sum.
    """
    a = np.full((1, 128 * 257), 0.25, np.float32)
    a[0, :128] = 448
    b = np.ones_like(a)

    assert qsim.dot(a, b, None, "hopper_fp8", operand=FP8).tolist() == [128 * 448.0]
    assert qsim.dot(a, b, None, "hopper_fp8", operand=FP8, promote_every=128).tolist() == [128 * 448 + 256 * 32.0]


def test_order_decides_a_truncated_sum() -> None:
    """1024, -1024 and 15 products of 2^-16 in three orders: cut beside 1024 one by one, or together as c, or not at all."""
    tiny = [(2.0**-16, 1.0)] * 15
    orders = [
        ([(1024.0, 1.0), *tiny, (-1024.0, 1.0)], 0.0),
        ([*tiny, (0.0, 0.0), (1024.0, 1.0), (-1024.0, 1.0)], 7 * 2.0**-15),
        ([(1024.0, 1.0), (-1024.0, 1.0), *[(0.0, 0.0)] * 14, *tiny], 15 * 2.0**-16),
    ]
    for pairs, expected in orders:
        a, b = row(*pairs)
        assert qsim.dot(a, b, None, "hopper", operand="fp16").tolist() == [expected]


def test_float16_results_round_every_step() -> None:
    """2048 + 1 + 1 in float16 steps of 16 stays 2048 if the ones come one a step, and is 2050 if they come together."""
    a, b = row((1, 1), *[(0, 0)] * 15, (1, 1), K=32)
    together, ones = row((1, 1), (1, 1), K=16)

    assert qsim.dot(a, b, [2048.0], "hopper", operand="fp16", out="float16").tolist() == [2048.0]
    assert qsim.dot(together, ones, [2048.0], "hopper", operand="fp16", out="float16").tolist() == [2050.0]
    assert qsim.dot(a, b, [2048.0], "hopper", operand="fp16").tolist() == [2050.0]


@pytest.mark.parametrize(
    ("pairs", "c", "expected"),
    [
        ([(np.inf, 1)], 0.0, 0x7F800000),
        ([(-np.inf, 1), (-np.inf, 2)], 1.0, 0xFF800000),
        ([(np.inf, 1)], -np.inf, 0x7FFFFFFF),
        ([(np.inf, 0)], 0.0, 0x7FFFFFFF),
        ([(np.nan, 1)], 0.0, 0x7FFFFFFF),
        ([(1, 1)], np.nan, 0x7FFFFFFF),
        ([(65504, 65504)] * 2, 3.4e38, 0x7F7FC99E),
        ([], 0.0, 0),
        ([(-0.0, 1)] * 16, -0.0, 0),
        ([(1, 1), (-1, 1)], -0.0, 0),
    ],
)
def test_specials_of_a_tensor_core(pairs: list[tuple[float, float]], c: float, expected: int) -> None:
    """NaN is 0x7FFFFFFF, zero is +0: as MMA-Sim has it, not verified on hardware."""
    a, b = row(*pairs, K=16)
    c32 = np.array([c], np.float32)

    assert bits(qsim.dot(a, b, c32, "hopper", operand="fp16")).tolist() == [expected]


def test_overflow_of_a_truncated_sum() -> None:
    """A sum above the largest float32 is Inf, or the largest, as the accumulator says."""
    big = floats([0x7F7F0000, 0x7F7F0000])
    acc = load_float_accumulator("hopper")
    one = np.ones(2, np.float32)

    assert qsim.dot(big, one, None, acc, operand="bf16").tolist() == [np.inf]
    assert qsim.dot(-big, one, None, acc, operand="bf16").tolist() == [-np.inf]
    assert bits(qsim.dot(big, one, None, replace(acc, overflow="largest"), operand="bf16")).tolist() == [0x7F7FFFFF]


# --- IEEE arithmetic ---


def ordinary(n: int, K: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random float32 rows whose products meet at mixed exponents."""
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal((n, K)) * 2.0 ** rng.integers(-20, 20, (n, K)) for _ in range(2))
    return a.astype(np.float32), b.astype(np.float32), rng.standard_normal(n).astype(np.float32)


def test_fp32_sequential_is_numpy_one_by_one() -> None:
    a, b, c = ordinary(500, 9)
    expected = c.copy()
    for k in range(9):
        expected = expected + a[:, k] * b[:, k]

    assert np.array_equal(bits(qsim.dot(a, b, c, "fp32_sequential")), bits(expected))


@pytest.mark.parametrize("K", [1, 2, 3, 7, 8])
def test_fp32_pairwise_is_numpy_level_by_level(K: int) -> None:
    a, b, c = ordinary(300, K)
    level = [a[:, k] * b[:, k] for k in range(K)]
    while len(level) > 1:
        level = [level[i] + level[i + 1] if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]

    assert np.array_equal(bits(qsim.dot(a, b, c, "fp32_pairwise")), bits(level[0] + c))


def test_fp32_fma_is_the_c_library() -> None:
    fmaf = ctypes.CDLL(ctypes.util.find_library("m")).fmaf  # the interpreter itself has it where no library is found
    fmaf.restype, fmaf.argtypes = ctypes.c_float, [ctypes.c_float] * 3
    a, b, c = ordinary(300, 6)
    expected = c.copy()
    for r in range(300):
        for k in range(6):
            expected[r] = fmaf(a[r, k], b[r, k], expected[r])

    assert np.array_equal(bits(qsim.dot(a, b, c, "fp32_fma")), bits(expected))


@pytest.mark.parametrize("preset", ["fp32_sequential", "fp32_fma", "fp32_pairwise"])
def test_a_zero_sum_has_the_sign_of_ieee(preset: str) -> None:
    """-0 only where every term is negative."""
    a = np.array([[-0.0, -0.0], [-0.0, 0.0], [1.0, -1.0], [-1e-30, -0.0]], np.float32)
    b = np.array([[1, 1], [1, 1], [1, 1], [1e-30, 1]], np.float32)

    assert bits(qsim.dot(a, b, [-0.0] * 4, preset)).tolist() == [1 << 31, 0, 0, 1 << 31]
    assert bits(qsim.dot(a, b, None, preset)).tolist() == [0, 0, 0, 1 << 31 if preset == "fp32_fma" else 0]


def test_one_exact_step_is_the_sum_rounded_once() -> None:
    """alignment "exact" with 8 products a step: the Fraction sum, rounded once, over all of float32's exponents."""
    acc = FloatAccumulator("kulisch", (("fp32", 8),), None, alignment="exact", out_rounding="half_even", signed_zero=True)
    a = floats([[0x7F7FFFFF, 1, 0xFF7FFFFF, 0x3F800001, 0x00800000, 0x3F800000, 0x80000001, 0x33800000]])
    b = floats([[0x3F000000, 1, 0x3F000000, 0x3F800001, 0x00800000, 0x3F800000, 0x3F800000, 0x3F800000]])
    exact = sum(Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a[0], b[0], strict=True))
    assert exact > 0
    up = Fraction(float(np.nextafter(np.float32(2), np.float32(3))))

    assert Fraction(float(qsim.dot(a, b, None, acc)[0])) == min((Fraction(2), up, up + (up - 2)), key=lambda v: abs(v - exact))


KULISCH = FloatAccumulator("kulisch", (("fp32", 3),), None, alignment="exact", out_rounding="half_even", signed_zero=True)


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("preset", "pairs", "c", "expected"),
    [
        # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24 lies half-way: what is far below decides.
        ("fp32_fma", [(1 + 2.0**-12, 1 + 2.0**-12)], 2.0**-100, 1 + 2.0**-11 + 2.0**-23),
        ("fp32_fma", [(1 + 2.0**-12, 1 + 2.0**-12)], -(2.0**-100), 1 + 2.0**-11),
        ("fp32_fma", [(1 + 2.0**-12, 1 + 2.0**-12)], 0.0, 1 + 2.0**-11),
        ("fp32_fma", [(1 + 3 * 2.0**-12, 1 + 2.0**-12)], -(2.0**-100), 1 + 2.0**-10 + 2.0**-23),
        # The same in a step of three, with the far term in the next limb or many limbs below.
        (KULISCH, [(1.0, 1.0), (2.0**-24, 1.0), (2.0**-149, 2.0**-100)], 0.0, 1 + 2.0**-23),
        (KULISCH, [(1.0, 1.0), (2.0**-24, 1.0), (-(2.0**-149), 2.0**-100)], 0.0, 1.0),
        (KULISCH, [(1.0, 1.0), (2.0**-24, 1.0), (2.0**-70, 1.0)], 0.0, 1 + 2.0**-23),
        (KULISCH, [(-1.0, 1.0), (-(2.0**-24), 1.0), (2.0**-70, 1.0)], 0.0, -1.0),
        (KULISCH, [(2.0**127, 2.0**100), (-(2.0**127), 2.0**100), (2.0**-149, 1.0)], 2.0**-149, 2.0**-148),
        # Tiny after rounding, as VDPBF16PS on an AMD EPYC gave: 2^-126 - 2^-152 and 2^-126 - 2^-151 round up to 2^-126.
        ("avx512_bf16", [(-(2.0**-76), 2.0**-76)], 2.0**-126, 2.0**-126),
        ("avx512_bf16", [(-(2.0**-76), 2.0**-75)], 2.0**-126, 2.0**-126),
        ("avx512_bf16", [(-(2.0**-75), 2.0**-75)], 2.0**-126, 0.0),
    ],
)
def test_far_terms_and_tiny_results(preset: Any, pairs: list[tuple[float, float]], c: float, expected: float) -> None:
    """Ties that a term far below decides, cancellation over many limbs, and flushing after rounding; kernel and reference."""
    acc = load_float_accumulator(preset)
    operand = acc.operands[0][0]
    a, b = row(*pairs, K=len(pairs))
    patterns = [bits(v).tolist() for v in (a, b, c)]

    assert qsim.dot(a, b, [c], acc).tolist() == [expected]
    assert reference_dot(patterns[0], patterns[1], patterns[2][0], acc, (operand, operand)) == bits(expected)[0]


# --- kernels and reference ---


@st.composite
def accumulators(draw: Any) -> FloatAccumulator:
    """Any accumulator that the spec allows, small enough to be biting."""
    alignment = draw(st.sampled_from(tuple(ALIGNMENTS)))
    order = draw(st.sampled_from(ORDERS))
    c = "late_f32" if order == "pairwise" else draw(st.sampled_from(C_MODES))
    nfma = 1 if order == "odd_first" else draw(st.sampled_from([1, 2, 3, 4, 8]))
    return FloatAccumulator(
        "random",
        tuple((name, nfma) for name in OPERANDS),
        None if alignment == "exact" else draw(st.integers(1, 12) | st.integers(20, 26) | st.integers(1, 40)),
        alignment=alignment,
        c=c,
        min_exponent=draw(st.sampled_from([None, -133, -10, 0])),
        out_fraction=draw(st.sampled_from([2, 10, 13, 22, 23, 23, 23])),
        out_rounding=draw(st.sampled_from(ROUNDINGS[:-1])),
        out_types=("float32",) if c == "late_f32" else ("float32", "float16"),
        overflow=draw(st.sampled_from(OVERFLOWS)),
        order=order,
        daz=draw(st.booleans()),
        ftz=draw(st.booleans()),
        signed_zero=draw(st.booleans()),
        nan=draw(st.sampled_from([0x7FFFFFFF, 0x7FC00000, 0xFFC00000])),
    )


def operand_patterns(name: str, finite: bool) -> st.SearchStrategy[int]:
    """float32 patterns of values of a format: any code of it, and its ends; for fp32 the patterns that bite."""
    if name == "fp32":
        return float32_bits(finite=finite)
    element = operand_element(name)
    top = 1 << (element.bits - 1)
    magnitude = st.integers(0, element.max_code) | st.sampled_from(
        [0, 1, element.max_code, 1 << element.mantissa_bits, (1 << element.mantissa_bits) - 1]
    )
    near = st.integers(0, 3 << element.mantissa_bits).map(
        lambda m: min(element.max_code, m + (element.bias - 1 << element.mantissa_bits))
    )
    codes = st.one_of(magnitude, near)
    if not finite and element.nan_code is not None:
        codes = st.one_of(codes, st.sampled_from([element.nan_code, element.inf_code or element.nan_code]))
    return st.builds(lambda m, s: pattern(name, m | s), codes, st.sampled_from([0, top]))


def pattern(name: str, code: int) -> int:
    """The float32 pattern of a code."""
    element = operand_element(name)
    value = element.value(code)
    sign = code >> (element.bits - 1)
    if isinstance(value, str):
        return 0x7FC00000 | sign << 31 if value == "nan" else 0x7F800000 | sign << 31
    return int(bits(float(value))[0]) | sign << 31


@st.composite
def problems(draw: Any) -> tuple[Any, ...]:
    """An accumulator, operand formats, promotion, result type and one row, often with terms that cancel."""
    acc = draw(accumulators())
    operand = draw(st.tuples(st.sampled_from(OPERANDS), st.sampled_from(OPERANDS)))
    finite = draw(st.integers(0, 4)) > 0
    out = draw(st.sampled_from(acc.out_types))
    every = draw(st.sampled_from([None, None, acc.period(operand[0]), 2 * acc.period(operand[0])])) if out == "float32" else None
    K = draw(st.integers(0, 12))
    a = draw(st.lists(operand_patterns(operand[0], finite), min_size=K, max_size=K))
    b = draw(st.lists(operand_patterns(operand[1], finite), min_size=K, max_size=K))
    c = draw(operand_patterns("fp32" if out == "float32" else "fp16", finite))
    if K > 1 and draw(st.booleans()):
        i, j = draw(st.permutations(range(K)))[:2]
        a[j], b[j] = a[i] ^ 1 << 31, b[i]
    return acc, operand, every, out, a, b, c


@pytest.mark.kernels
@settings(deadline=None, max_examples=600)
@given(problem=problems())
def test_dot_equals_reference(problem: tuple[Any, ...]) -> None:
    """Kernels and exact reference give the same pattern for every accumulator, operand format and input."""
    acc, operand, every, out, a, b, c = problem
    expected = reference_dot(a, b, c, acc, operand, promote_every=every, out=out)
    x, y, z = (floats(np.array(v, np.uint32)) for v in (a, b, [c]))
    actual = qsim.dot(x[None], y[None], z, acc, operand=operand, promote_every=every, out=out)

    assert hex(bits(actual)[0]) == hex(expected)


@pytest.mark.kernels
@settings(deadline=None, max_examples=100)
@given(problem=problems())
def test_every_register_on_the_way_is_the_reference_s(problem: tuple[Any, ...]) -> None:
    """Exponents, aligned terms, partial sums and promotions are those of the reference, and end in the result of `dot`."""
    acc, operand, every, out, a, b, c = problem
    expected: dict[str, list[int]] = {}
    reference_dot(a, b, c, acc, operand, promote_every=every, out=out, taps=expected)
    x, y, z = (floats(np.array(v, np.uint32)) for v in (a, b, [c]))
    given = (x[None], y[None], z, acc)
    result, taps = dot_taps(*given, operand=operand, promote_every=every, out=out)

    assert bits(result) == bits(qsim.dot(*given, operand=operand, promote_every=every, out=out))
    for name in ("exponents", "aligned"):
        assert name not in taps or taps[name].reshape(-1).tolist() == expected[name]
    assert bits(taps["partial_sums"]).reshape(-1).tolist() == expected["partial_sums"]
    assert (
        "promoted" not in taps
        or every is None
        or bits(taps["promoted"]).reshape(-1)[: len(expected["promoted"])].tolist() == expected["promoted"]
    )


@pytest.mark.kernels
@settings(deadline=None, max_examples=300)
@given(x=float32_bits(finite=False), y=float32_bits(finite=False))
def test_promotion_adds_as_ieee_does(x: int, y: int) -> None:
    """The float32 addition of promotion and late c is numpy's; of the reference, too."""
    a, b = floats([[x]]), np.ones((1, 1), np.float32)
    with np.errstate(all="ignore"):
        expected = floats([x]) + floats([y])
    actual = qsim.dot(a, b, floats([y]), "fp32_sequential")

    if np.isnan(expected[0]):
        assert bits(actual).tolist() == [0x7FC00000] == [reference_add(x, y, 0x7FC00000)]
    else:
        assert bits(actual).tolist() == bits(expected).tolist() == [reference_add(x, y, 0x7FC00000)]


@pytest.mark.parametrize("preset", ["hopper_fp8", "b200_fp8"])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_zeros_at_the_end_of_a_row_change_nothing(preset: str, data: Any) -> None:
    """A K that is no multiple of the step is filled with zero products."""
    a, b = (data.draw(st.lists(operand_patterns(FP8, True), min_size=20, max_size=20)) for _ in range(2))
    x, y = floats([a]), floats([b])
    longer = [np.pad(v, ((0, 0), (0, 30))) for v in (x, y)]

    assert bits(qsim.dot(x, y, None, preset, operand=FP8)).tolist() == bits(qsim.dot(*longer, None, preset, operand=FP8)).tolist()


def test_results_do_not_depend_on_threads() -> None:
    a, b, c = ordinary(300, 4000)
    x, y = (qsim.quantize(np.ldexp(v, -20), "fp16") for v in (a, b))
    try:
        results = []
        for n in (1, 2, 5):
            qsim.set_num_threads(n)
            results.append(bits(qsim.dot(x, y, c, "ampere", operand="fp16")).tolist())
    finally:
        qsim.set_num_threads(None)

    assert results[0] == results[1] == results[2]
    assert results[0][:2] == [
        reference_dot(
            bits(x[r]).tolist(), bits(y[r]).tolist(), int(bits(c)[r]), load_float_accumulator("ampere"), ("fp16", "fp16")
        )
        for r in (0, 1)
    ]


# --- presets, files, refusals ---


def test_presets_state_source_and_evidence() -> None:
    """Every preset names its source, and what was verified or that nothing was."""
    names = "volta ampere ada ada_fp8 hopper hopper_fp8 blackwell b200_fp8 avx512_bf16 fp32_sequential fp32_pairwise fp32_fma"

    assert float_accumulator_names() == tuple(names.split())
    for acc in float_accumulators().values():
        assert acc.source
        assert acc.not_verified
        assert acc.title
        assert acc.verified_by or "everything" in acc.not_verified[0]


def test_a_users_file_is_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\noperands = { fp8_e4m3 = 4 }\nfraction = 10\npromote_every = 8\n')
    a, b = row((448, 1), (0.25, 1), K=16)
    acc = load_float_accumulator(path)

    assert acc.promote_every == 8
    assert qsim.dot(a, b, None, path).tolist() == [448.25]
    assert qsim.dot(a, b, None, replace(acc, fraction=8)).tolist() == [448.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fractoin": 3}, "unknown key 'fractoin'"),
        ({"operands": {}}, "operands is empty"),
        ({"operands": {"fp64": 1}}, "operands.fp64: unknown format"),
        ({"operands": {"fp16": 65}}, "operands.fp16 = 65; allowed: 1 to 64"),
        ({"operands": "fp16"}, "allowed: a table of format = nfma"),
        ({"fraction": 41}, "fraction = 41; allowed: 1 to 40"),
        ({"fraction": True}, "fraction = True"),
        ({"alignment": "exact"}, "alignment 'exact' cuts nothing"),
        ({"alignment": "up"}, "alignment = 'up'; allowed: trunc, floor, half_even, exact"),
        ({"c": "never"}, "c = 'never'; allowed: aligned, late_f32"),
        ({"order": "pairwise"}, "allowed: late_f32"),
        ({"order": "odd_first"}, "allowed: nfma 1"),
        ({"out_rounding": "stochastic"}, "out_rounding = 'stochastic'"),
        ({"out_fraction": 24}, "out_fraction = 24; allowed: 2 to 23"),
        ({"out_types": ["float64"]}, "out_types = ['float64']"),
        ({"out_types": "float32"}, "a list of strings"),
        ({"c": "late_f32", "out_types": ["float16"]}, "allowed: float32"),
        ({"min_exponent": 1}, "min_exponent = 1"),
        ({"promote_every": 6}, "a multiple of 4"),
        ({"daz": 1}, "daz = 1; allowed: true or false"),
        ({"title": 1}, "title = 1; allowed: a string"),
        ({"nan": 0x7F800000}, "a float32 NaN pattern"),
        ({"name": "a b"}, "letters, digits and _"),
        ({"overflow": "wrap"}, "overflow = 'wrap'; allowed: inf, largest"),
    ],
)
def test_a_file_that_lies_is_refused(change: dict[str, Any], message: str) -> None:
    good = {"name": "good", "operands": {"fp16": 4}, "fraction": 24}
    assert parse_float_accumulator(good).fraction == 24

    with pytest.raises(SpecError, match=re.escape(message)):
        parse_float_accumulator(good | change)


@pytest.mark.parametrize("key", ["name", "operands"])
def test_a_missing_key_is_named(key: str) -> None:
    table = {"name": "good", "operands": {"fp16": 4}, "fraction": 24}
    del table[key]

    with pytest.raises(SpecError, match=f"key '{key}' is missing"):
        parse_float_accumulator(table)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[1.0]], [[1.0]], None, "fermi"), {}, "unknown float accumulator 'fermi'; allowed: volta, ampere"),
        (
            ([[1.0]], [[1.0]], None, "hopper"),
            {},
            "hopper takes several operand formats: give operand=; allowed: fp16 (16 products a step)",
        ),
        (([[1.0]], [[1.0]], None, "volta"), {"operand": "bf16"}, "operand = 'bf16'; allowed for volta: fp16"),
        (([[1.0]], [[1.0]], None, "hopper"), {"operand": ("fp16", "tf32")}, "steps of 16 and 8 products do not mix"),
        (
            ([[1.0, 0.1]], [[1.0, 1.0]], None, "volta"),
            {},
            "a: fp16 has no value 0.10000000149011612, index [0, 1]; allowed: fp16",
        ),
        (([[1.0]], [[65536.0]], None, "volta"), {}, "b: fp16 has no value 65536.0, index [0, 0]"),
        (([[1.0]], [[np.inf]], None, "hopper_fp8"), {"operand": FP8}, "b: fp8_e4m3 has no value inf, index [0, 0]"),
        (([[2.0**-25]], [[1.0]], None, "volta"), {}, "a: fp16 has no value"),
        (([[1.0, 2.0]], [[1.0]], None, "volta"), {}, "a of shape (1, 2) and b of shape (1, 1)"),
        (([[1.0]], [[1.0]], [1.0, 2.0], "volta"), {}, "c of shape (2,); allowed: (1,)"),
        (
            ([[1.0]], [[1.0]], None, "volta"),
            {"promote_every": 6},
            "promote_every = 6; allowed for volta with fp16: a multiple of 4",
        ),
        (([[1.0]], [[1.0]], None, "volta"), {"out": "float64"}, "out = 'float64'; allowed for volta: float32, float16"),
        (([[1.0]], [[1.0]], None, "fp32_fma"), {"out": "float16"}, "out = 'float16'; allowed for fp32_fma: float32"),
        (([[1.0]], [[1.0]], None, "volta"), {"out": "float16", "promote_every": 4}, "promotion adds in float32"),
        (([[1.0]], [[1.0]], [0.1], "volta"), {"out": "float16"}, "c: float16 has no value"),
    ],
)
def test_bad_input_is_refused_by_name(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    a, b, c, preset = arguments
    x, y = (np.array(v, np.float32) for v in (a, b))

    with pytest.raises(ValueError, match=re.escape(message)):
        qsim.dot(x, y, None if c is None else np.array(c, np.float32), preset, **options)


def test_integer_input_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="int64"):
        qsim.dot(np.ones(4, np.int64), np.ones(4, np.float32), None, "volta")


@settings(deadline=None, max_examples=300)
@given(data=st.data(), name=st.sampled_from(OPERANDS[1:]))
def test_values_of_a_format_are_what_quantize_keeps(data: Any, name: str) -> None:
    """A pattern is accepted if and only if the format encodes it as itself."""
    u = data.draw(float32_bits())
    step = 23 - operand_element(name).mantissa_bits
    u = data.draw(st.sampled_from([u, u >> step << step, u >> step + 1 << step + 1]))
    x = floats([u])
    acc = FloatAccumulator("any", ((name, 1),), None, alignment="exact", out_rounding="half_even")
    kept = bits(qsim.quantize(x, name, overflow="saturate")).tolist() == [u]

    if kept:
        assert abs(qsim.dot(x, np.ones(1, np.float32), None, acc)).tolist() == abs(x).tolist()
    else:
        with pytest.raises(ValueError, match=f"a: {name} has no value"):
            qsim.dot(x, np.ones(1, np.float32), None, acc)


def test_empty_rows_give_c() -> None:
    empty = np.zeros((3, 0), np.float32)

    assert qsim.dot(empty, empty, [1.0, 2.0, -0.0], "hopper_fp8", operand=FP8).tolist() == [1.0, 2.0, 0.0]
    assert qsim.dot(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32), None, "volta").shape == (0,)


# --- the page ---


def test_page_names_every_key_and_preset() -> None:
    text = (HERE.parent / "docs" / "float-accumulation.md").read_text()

    assert [key for key in KEYS if f"`{key}`" not in text] == []
    for name, acc in float_accumulators().items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == ", ".join(f"{operand} {nfma}" for operand, nfma in acc.operands)
        assert cells[2] == ("exact" if acc.fraction is None else str(acc.fraction))
        assert cells[3] == acc.c
        assert cells[4] == f"{acc.out_fraction}, {acc.out_rounding}"
        assert cells[5] == ("" if acc.min_exponent is None else str(acc.min_exponent))


def test_worked_accumulation_is_what_qsim_computes() -> None:
    """Exponents, cut terms and sum of the table of docs/float-accumulation.md."""
    text = (HERE.parent / "docs" / "float-accumulation.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    rows = [cells for cells in rows if len(cells) == 8 and cells[0].isdigit()]
    E = max(int(cells[5]) for cells in rows)
    total = 0
    for _, x, y, ea, eb, e, term, integer in rows:
        assert Fraction(x) * Fraction(y) == Fraction(term)
        assert int(ea) + int(eb) == int(e)
        scaled = Fraction(term) / Fraction(2) ** (E - 13)
        assert int(integer) == int(scaled)  # int() truncates toward zero
        total += int(integer)
    a, b = row(*[(float(Fraction(cells[1])), float(Fraction(cells[2]))) for cells in rows])
    result = qsim.dot(a, b, None, "hopper_fp8", operand=FP8)

    assert len(rows) == 5
    assert f"S = {total}" in text
    assert f"**{float(result[0])!r}**" in text
    assert f"`{bits(result)[0]:#010x}`" in text
