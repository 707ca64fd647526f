"""Kernels against the exact reference: equality of every bit, and of every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim import reference
from qsim.spec import Format, load_format
from tests.adapters import outcome, reference_encode, same
from tests.strategies import NAMES, arrays, format_options, geometries, user_formats

pytestmark = pytest.mark.kernels


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_encode_equals_reference(name: str, data: Any) -> None:
    """encode gives the reference's codes, scales and zero points, or refuses as it does, for every option and geometry."""
    compare(load_format(name), data)


@settings(deadline=None, max_examples=600)
@given(fmt=user_formats(), data=st.data())
def test_user_formats_equal_the_reference(fmt: Format, data: Any) -> None:
    """The same for any format that a user's file may state."""
    compare(fmt, data)


def compare(fmt: Format, data: Any) -> None:
    """Draw an input, options and geometry, and compare encode and decode with the reference."""
    x = data.draw(arrays(finite=data.draw(st.integers(0, 9)) > 0))
    options = data.draw(format_options(fmt))
    geometry = data.draw(geometries(fmt, x.shape))
    words = None
    if options.get("rounding") == "stochastic":
        top = (1 << options["random_bits"]) - 1
        words = data.draw(st.lists(st.sampled_from([0, top, top // 2]) | st.integers(0, top), min_size=x.size, max_size=x.size))
    random = None if words is None else np.array(words, dtype=np.int64).reshape(x.shape)

    expected = outcome(reference_encode, x, fmt, geometry, options, words=words)
    actual = outcome(qsim.encode, x, fmt, random=random, **geometry, **options)

    if isinstance(expected, type):
        assert actual is expected
        return
    same(actual, expected)
    for dtype in ("float32", "float64"):
        values = reference.decode(expected, x.shape, fmt, **geometry, to=dtype)
        decoded = actual.decode(dtype)
        assert decoded.shape == x.shape
        unsigned = decoded.reshape(-1).view(f"u{decoded.itemsize}")
        nan = np.isnan(decoded.reshape(-1))
        quiet = [v for v, is_nan in zip(values, nan, strict=True) if not is_nan]
        assert [int(v) for v in unsigned[~nan]] == quiet
        assert all(_is_nan(v, decoded.itemsize) for v, is_nan in zip(values, nan, strict=True) if is_nan)


def _is_nan(pattern: int, size: int) -> bool:
    return bool(np.isnan(np.array(pattern, dtype=f"u{size}").view(f"f{size}")))


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_encode_with_given_scales_equals_reference(name: str, data: Any) -> None:
    """With scales and zero points held fixed, any other tensor of the shape gets the reference's codes."""
    fmt = load_format(name)
    x = data.draw(arrays())
    geometry = data.draw(geometries(fmt, x.shape))
    q = outcome(qsim.encode, x, fmt, **geometry)
    if isinstance(q, type):
        return
    with np.errstate(over="ignore", under="ignore"):
        other = np.roll(x.reshape(-1), 1).reshape(x.shape) * np.float32(data.draw(st.sampled_from([1.0, 0.5, 1.5, -1.0])))
    if not np.isfinite(other).all():
        return
    options = data.draw(format_options(fmt))
    options["rounding"] = "half_even"
    scales = q.scales
    zero = q.zero_point
    given_scales = tuple([int(c) for c in s.reshape(-1)] for s in scales)
    given_zero = None if zero is None else [int(z) for z in zero.reshape(-1)]

    expected = outcome(reference_encode, other, fmt, geometry, options, scales=given_scales, zero_point=given_zero)
    actual = outcome(qsim.encode, other, fmt, scales=scales, zero_point=zero, **geometry, **options)

    if isinstance(expected, type):
        assert actual is expected
    else:
        same(actual, expected)


@pytest.mark.parametrize("name", ["mx9", "mx6", "mx4"])
def test_kernels_reproduce_every_block_of_quark(name: str) -> None:
    """All of AMD Quark's blocks: the same values, and with signed_zero="keep" the same bits."""
    data = np.load(Path(__file__).parent / "data" / "mx_blocks_quark.npz")
    x, expected = data["input"].view(np.float32), data[name]
    assert x.shape == (840, 16)
    assert np.array_equal(qsim.quantize(x, name), expected.view(np.float32))
    assert np.array_equal(qsim.quantize(x, name, signed_zero="keep").view(np.uint32), expected)
    assert np.array_equal(qsim.encode(x, name, signed_zero="keep").decode().view(np.uint32), expected)
