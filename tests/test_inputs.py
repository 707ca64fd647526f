"""What enters and what leaves: dtypes (rule R4), memory layouts, out=, and quantize as decode of encode."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import qsim
from qsim.spec import load_format
from tests.adapters import bits, flat, outcome
from tests.strategies import NAMES, arrays, format_options, geometries

names = pytest.mark.parametrize("name", NAMES)
#: elements around an output that must stay untouched
GUARD = 64
#: one format a family
EACH = ("fp8_e5m2", "mx6", "mxfp4", "int8", "vsq4", "uint8", "nvfp4", "binary", "ternary")


def same_result(a: Any, b: Any) -> None:
    """Equal codes, scales and zero points, or the same refusal."""
    if isinstance(a, type) or isinstance(b, type):
        assert a is b
    else:
        assert flat(a) == flat(b)


@pytest.mark.parametrize("name", EACH)
@settings(deadline=None, max_examples=30)
@given(x=hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(-1e30, 1e30) | st.floats()))
def test_float64_is_rounded_once_to_float32(name: str, x: np.ndarray) -> None:
    """encode(x) of float64 x is encode(float32(x)) (R4)."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = x.astype(np.float32)
    same_result(outcome(qsim.encode, x, name), outcome(qsim.encode, rounded, name))


def test_float64_double_rounding_is_the_definition() -> None:
    """1 + 2^-4 + 2^-30 is above a tie of E4M3 but float32 puts it on the tie: it rounds to even, 1.0 (R4)."""
    assert qsim.quantize(np.array([1 + 2.0**-4 + 2.0**-30]), "fp8_e4m3").tolist() == [1.0]
    assert qsim.quantize(np.array([1 + 2.0**-4 + 2.0**-23], np.float32), "fp8_e4m3").tolist() == [1.125]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", EACH)
def test_16_bit_floats_widen_exactly(name: str, dtype: Any) -> None:
    """Encode of every finite float16 or bfloat16 is encode of its float32 widening (R4)."""
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    x = x[np.isfinite(x.astype(np.float32))].reshape(-1, 1 << 8)
    options = {"scale_overflow": "saturate"} if name in ("vsq4", "int8", "uint8", "nvfp4") else {}
    q = qsim.encode(x, name, **options)
    wide = qsim.encode(x.astype(np.float32), name, **options)
    np.testing.assert_array_equal(q.codes, wide.codes)
    for a, b in zip(q.scales, wide.scales, strict=True):
        np.testing.assert_array_equal(a, b)


def variants(x: np.ndarray) -> dict[str, np.ndarray]:
    """The same values, otherwise in memory."""
    spread = np.empty(tuple(2 * n + 1 for n in x.shape), x.dtype)
    spread.fill(np.nan)
    inside = tuple(slice(0, 2 * n, 2) for n in x.shape)
    spread[inside] = x
    reverse = tuple(slice(None, None, -1) for _ in x.shape)
    frozen = x.copy()
    frozen.flags.writeable = False
    return {
        "strided": spread[inside],
        "fortran": np.asfortranarray(x),
        "negative": np.ascontiguousarray(x[reverse])[reverse],
        "transposed": np.ascontiguousarray(x.T).T,
        "big endian": x.astype(x.dtype.newbyteorder(">")),
        "unaligned": np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape) if x.size else x,
        "read only": frozen,
    }


@names
@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_memory_layout_does_not_enter(name: str, data: Any) -> None:
    """Strided, Fortran-ordered, reversed, big-endian, unaligned and read-only arrays encode as their contiguous copy does."""
    fmt = load_format(name)
    x = data.draw(arrays(max_size=40))
    geometry = data.draw(geometries(fmt, x.shape))
    options = data.draw(format_options(fmt, rounding=None if fmt.family == "ternary" else "half_even"))
    expected = outcome(qsim.encode, x, fmt, **geometry, **options)
    for wide in (np.float32, np.float64):
        for variant in variants(x.astype(wide)).values():
            same_result(outcome(qsim.encode, variant, fmt, **geometry, **options), expected)


def test_the_input_is_left_alone() -> None:
    """Encode writes nothing into its input, also with options that replace values."""
    x = np.array([1.0, 1e-40, np.inf, -0.0], np.float32)
    before = bits(x)
    qsim.encode(x, "mx9", subnormals="flush", nonfinite="saturate")
    assert bits(x) == before


@pytest.mark.parametrize(
    "dtype", [np.int8, np.int32, np.int64, np.uint8, bool, complex, object, np.longdouble, "U3", "datetime64[s]"]
)
@pytest.mark.parametrize("call", [qsim.encode, qsim.quantize])
def test_other_dtypes_are_refused(call: Any, dtype: Any) -> None:
    """An array that is no float of 16, 32 or 64 bits: TypeError that names the dtype and what is allowed."""
    x = np.zeros(4, dtype)
    with pytest.raises(TypeError, match=r"float32, float64, float16 or bfloat16"):
        call(x, "int8")


@pytest.mark.kernels
@names
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_quantize_is_decode_of_encode(name: str, data: Any) -> None:
    """quantize(x) = encode(x).decode() bit for bit, for every option and geometry; with out= it returns `out`, filled, and writes nothing beside it."""
    fmt = load_format(name)
    x = data.draw(arrays(finite=data.draw(st.integers(0, 9)) > 0, max_size=40))
    options = data.draw(format_options(fmt))
    geometry = data.draw(geometries(fmt, x.shape))
    random = {"random": data.draw(st.integers(0, 99))} if options.get("rounding") == "stochastic" else {}
    q = outcome(qsim.encode, x, fmt, **random, **geometry, **options)
    y = outcome(qsim.quantize, x, fmt, **random, **geometry, **options)
    if isinstance(q, type):
        assert y is q
        return
    assert (y.shape, y.dtype) == (x.shape, np.float32)
    assert bits(y) == bits(q.decode())
    buffer = np.full(x.size + 2 * GUARD, np.nan, np.float32)
    out = buffer[GUARD : GUARD + x.size].reshape(x.shape)
    assert qsim.quantize(x, fmt, out=out, **random, **geometry, **options) is out
    assert bits(out) == bits(y)
    out.fill(np.nan)
    assert q.decode(out=out) is out
    assert bits(out) == bits(y)
    assert np.isnan(buffer[:GUARD]).all()
    assert np.isnan(buffer[GUARD + x.size :]).all()
    wide = np.full(x.shape, np.nan)
    assert q.decode("float64", out=wide) is wide
    np.testing.assert_array_equal(wide, q.decode(np.float64))


@names
def test_quantize_holds_scales_as_encode_does(name: str) -> None:
    """quantize(x, scales=...) = encode(x, scales=...).decode()."""
    x = np.random.default_rng(2).standard_normal((4, 33)).astype(np.float32)
    q = qsim.encode(x, name)
    given_scales = {"scales": q.scales, "zero_point": q.zero_point} if q.scales else {}
    assert bits(qsim.quantize(2 * x, name, **given_scales)) == bits(qsim.encode(2 * x, name, **given_scales).decode())


def frozen(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((2, 17), np.float32),
        np.zeros(32, np.float32),
        np.zeros((2, 16), np.float64),
        np.zeros((2, 16), ">f4"),
        np.zeros((16, 2), np.float32).T,
        np.zeros((2, 32), np.float32)[:, ::2],
        frozen(np.zeros((2, 16), np.float32)),
    ],
    ids=["shape", "flat", "dtype", "byte order", "order", "strides", "read only"],
)
def test_wrong_out_is_refused(out: np.ndarray) -> None:
    """out= of another shape, dtype or order, or read-only: ValueError, and nothing is written."""
    x = np.ones((2, 16), np.float32)
    for call in (lambda: qsim.quantize(x, "mx9", out=out), lambda: qsim.encode(x, "mx9").decode(out=out)):
        with pytest.raises(ValueError, match="out"):
            call()
    assert not out.any()


@pytest.mark.parametrize("dtype", [np.float16, np.int32, ml_dtypes.bfloat16, object])
def test_decode_to_other_dtypes_is_refused(dtype: Any) -> None:
    """Decode gives float32 or float64 (S10)."""
    with pytest.raises(TypeError, match="float32 or float64"):
        qsim.encode(np.ones(3, np.float32), "int8").decode(dtype)
