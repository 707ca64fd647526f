"""encode(limits=): a range given by the caller (rule C1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim.spec import Format, Geometry, load_format
from tests.adapters import bits, outcome, reference_encode, same
from tests.strategies import arrays, format_options, formats, geometries, user_formats

pytestmark = pytest.mark.kernels
RANGED = ("absmax", "affine", "vsq", "nvfp4")


@settings(deadline=None, max_examples=80)
@given(fmt=st.one_of(formats(*RANGED), user_formats().filter(lambda f: f.family in RANGED)), data=st.data())
def test_limits_equal_the_reference(fmt: Format, data: Any) -> None:
    """encode(limits=) gives the reference's bits, or refuses as it does, for every format, geometry, option and range."""
    x = data.draw(arrays(finite=data.draw(st.integers(0, 9)) > 0))
    geometry = data.draw(geometries(fmt, x.shape))
    options = data.draw(format_options(fmt, rounding="half_even"))
    shape = Geometry.of(fmt, x.shape, **geometry).scale_shapes[-1]
    ends = np.resize(data.draw(arrays(finite=True).filter(lambda a: a.size > 0)).reshape(-1), (2, *shape))
    low, high = ends.min(axis=0), ends.max(axis=0)

    pairs = list(zip(bits(low), bits(high), strict=True))
    expected = outcome(reference_encode, x, fmt, geometry, options, limits=pairs)
    actual = outcome(qsim.encode, x, fmt, limits=(low, high), **geometry, **options)

    if isinstance(expected, type):
        assert actual is expected
        return
    same(actual, expected)
    assert np.array_equal(qsim.quantize(x, fmt, limits=(low, high), **geometry, **options), actual.decode(), equal_nan=True)


@settings(deadline=None, max_examples=40)
@given(fmt=formats(*RANGED), data=st.data())
def test_the_limits_of_a_tensor_itself_change_nothing(fmt: Format, data: Any) -> None:
    """With the tensor's own extremes as limits, encode gives what it gives without."""
    x = data.draw(arrays(finite=True).filter(lambda a: a.size > 0)).reshape(1, -1)
    plain = qsim.encode(x, fmt, scale_overflow="saturate")

    limited = qsim.encode(x, fmt, scale_overflow="saturate", limits=(x.min(), x.max()))

    assert np.array_equal(plain.codes, limited.codes)
    assert all(np.array_equal(a, b) for a, b in zip(plain.scales, limited.scales, strict=True))


@pytest.mark.parametrize("name", ["int8", "uint8", "vsq4", "nvfp4"])
def test_what_lies_beyond_saturates(name: str) -> None:
    """A range of 1 decodes to at most 1 (and its rounding), whatever the input; what lies inside takes the range's scale."""
    x = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32) * 8
    y = qsim.quantize(x, name, limits=(-1.0, 1.0))

    assert np.abs(y).max() <= 1.01
    assert np.array_equal(y, qsim.quantize(np.clip(x, -1.01, 1.01), name, limits=(-1.0, 1.0)))


class OneRange:
    def limits(self) -> tuple[float, float]:
        return -2.0, 3.0


def test_an_object_with_limits_is_asked_for_them() -> None:
    x = np.linspace(-5, 5, 32, dtype=np.float32)
    assert np.array_equal(qsim.encode(x, "uint8", limits=OneRange()).codes, qsim.encode(x, "uint8", limits=(-2, 3)).codes)


def test_one_range_a_channel() -> None:
    x = np.random.default_rng(1).standard_normal((3, 32)).astype(np.float32)
    high = np.array([0.5, 1.0, 2.0], np.float32)
    whole = qsim.encode(x, "int8", granularity="channel", limits=(-high, high))
    for i in range(3):
        assert np.array_equal(whole.codes[i], qsim.encode(x[i], "int8", limits=(-high[i], high[i])).codes)


@pytest.mark.parametrize(
    ("name", "limits", "options", "error", "message"),
    [
        ("mx9", (-1, 1), {}, ValueError, "limits does not apply to mx9"),
        ("mxfp4", (-1, 1), {}, ValueError, "powers of two of each block"),
        ("fp16", (-1, 1), {}, ValueError, "no scale that a range determines"),
        ("ternary", (-1, 1), {}, ValueError, "limits does not apply to ternary"),
        ("int8", (1, -1), {}, ValueError, "low 1.0 is above high -1.0"),
        ("int8", (-1, np.inf), {}, ValueError, "high holds inf"),
        ("int8", (np.nan, 1), {}, ValueError, "low holds nan"),
        ("int8", (np.zeros(3), 1), {}, ValueError, r"low of shape \(3,\); allowed: a scalar"),
        ("int8", ("a", 1), {}, TypeError, "real numbers"),
        ("int8", 1.0, {}, TypeError, "a pair"),
        ("int8", (1, 2, 3), {}, TypeError, "a pair"),
        ("int8", (-1, 1), {"scales": (np.array(0x3F800000, np.uint32),)}, ValueError, "scales and limits are both given"),
    ],
)
def test_bad_limits(name: str, limits: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        qsim.encode(np.ones((2, 16), np.float32), load_format(name), limits=limits, **options)


def test_nan_in_the_input_is_refused_with_limits_too() -> None:
    for name in ("int8", "vsq4", "nvfp4", "uint8"):
        with pytest.raises(ValueError, match="NaN or infinite"):
            qsim.encode(np.array([[1.0, np.nan] * 16], np.float32), name, limits=(-1, 1))
