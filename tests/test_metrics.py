"""Metrics: their laws, their edges, and that pieces and chunks do not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import qsim
from qsim.explore.metrics import CHUNK, Sums, decibel, metrics

FLOATS = st.floats(-1e6, 1e6, width=32)
VECTORS = arrays(np.float32, st.integers(1, 40), elements=FLOATS)


def test_published_two_bit_example():
    """The 4x4 example of symmetric 2 bits: error norm 2.28 per tensor, 2.08 per row."""
    w = np.array(
        [[2.09, -0.98, 1.48, 0.09], [0.05, -0.14, -1.08, 2.12], [-0.91, 1.92, 0, -1.03], [1.87, 0, 1.53, 1.49]], np.float32
    )
    for granularity, norm in (("tensor", "2.28"), ("channel", "2.08")):
        q = qsim.encode(w, "int2", granularity=granularity)
        assert f"{math.sqrt(metrics(w, q.decode(), q=q).mse * w.size):.2f}" == norm


@given(VECTORS)
def test_exact_is_infinite(x):
    """Where y = x: SQNR +inf, no error, cosine 1, nothing zeroed."""
    m = metrics(x, x)
    assert (m.sqnr, m.mse, m.max_error, m.zeroed, m.saturated) == (math.inf, 0.0, 0.0, 0.0, None)
    assert m.cosine == 1.0


@given(VECTORS, st.integers(-60, 60))
def test_power_of_two_scaling(x, e):
    """Scaling x and y by 2^e: the same SQNR, cosine and zeroed share to the bit, max error times 2^e, MSE times 4^e."""
    y = np.rint(x / 64).astype(np.float32) * 64
    x, y = x.astype(np.float64), y.astype(np.float64)
    m, scaled = metrics(x, y), metrics(np.ldexp(x, e), np.ldexp(y, e))
    assert (scaled.cosine, scaled.zeroed) == (m.cosine, m.zeroed)
    assert scaled.sqnr == pytest.approx(m.sqnr, abs=1e-9)
    assert scaled.max_error == math.ldexp(m.max_error, e)
    assert scaled.mse == math.ldexp(m.mse, 2 * e)


@given(arrays(np.float64, 7, elements=st.integers(-8, 8).map(float)), st.sampled_from([-1000, -700, 700, 1000]))
def test_far_from_one(x, e):
    """No square overflows or vanishes: at 2^+-1000 SQNR, cosine and max error are those at 1, scaled."""
    y = np.trunc(x / 2) * 2
    m, far = metrics(x, y), metrics(np.ldexp(x, e), np.ldexp(y, e))
    assert far.cosine == pytest.approx(m.cosine, abs=1e-15)
    assert far.sqnr == m.sqnr or far.sqnr == pytest.approx(m.sqnr, abs=1e-9)
    assert far.max_error == math.ldexp(m.max_error, e)


def test_values():
    """One case by hand: x = (3, -4, 0, 1), y = (3, -2, 0, 0): sum x^2 = 26, sum e^2 = 5, sum y^2 = 13, sum xy = 17."""
    m = metrics([3.0, -4.0, 0.0, 1.0], [3.0, -2.0, 0.0, 0.0])
    assert m.sqnr == pytest.approx(10 * math.log10(26 / 5), rel=1e-15)
    assert (m.mse, m.max_error, m.zeroed) == (1.25, 2.0, 0.25)
    assert m.cosine == pytest.approx(17 / math.sqrt(26 * 13), rel=1e-15)


@pytest.mark.parametrize(
    ("x", "y", "sqnr", "cosine"),
    [
        ([], [], math.inf, 1.0),
        ([0.0, -0.0], [0.0, 0.0], math.inf, 1.0),
        ([0.0], [1.0], -math.inf, 0.0),
        ([1.0], [0.0], 0.0, 0.0),
        ([1.0], [-1.0], 10 * math.log10(1 / 4), -1.0),
        ([1.0, 2.0], [1.0, math.inf], -math.inf, math.nan),
        ([math.inf], [math.inf], math.nan, math.nan),
        ([math.inf], [1.0], math.nan, math.nan),
        ([math.nan], [1.0], math.nan, math.nan),
        ([1.0], [math.nan], math.nan, math.nan),
    ],
)
def test_edges(x, y, sqnr, cosine):
    m = metrics(x, y)
    assert m.sqnr == pytest.approx(sqnr, rel=1e-12, nan_ok=True)
    assert m.cosine == pytest.approx(cosine, nan_ok=True)


def test_shape_mismatch():
    with pytest.raises(ValueError, match="must be equal"):
        metrics(np.zeros(3), np.zeros(4))
    q = qsim.encode(np.zeros(3, np.float32), "int8")
    with pytest.raises(ValueError, match="q has shape"):
        metrics(np.zeros((1, 3)), np.zeros((1, 3)), q=q)


def test_pieces_equal_whole():
    """Sums over pieces that end at chunk boundaries are the sums over the whole, to the bit."""
    x = np.random.default_rng(1).standard_normal(3 * CHUNK + 17).astype(np.float32)
    q = qsim.encode(x, "mx6")
    y = q.decode()
    sums = Sums()
    for i in range(0, x.size, CHUNK):
        part = x[i : i + CHUNK]
        sums.add(part, y[i : i + CHUNK], qsim.encode(part, "mx6"))
    assert sums.metrics() == metrics(x, y, q=q)


def test_mixed_magnitudes_in_pieces():
    """A later piece with larger or smaller values does not overflow: the ratio is that of the large one."""
    for first, second in ((1e-200, 1e200), (1e200, 1e-200), (1.0, 1e300), (1e300, 1.0)):
        sums = Sums()
        sums.add([first], [first / 2])
        sums.add([second], [second / 2])
        m = sums.metrics()
        assert m.sqnr == pytest.approx(10 * math.log10(4))
        assert m.max_error == max(first, second) / 2


@pytest.mark.parametrize(
    ("fmt", "x", "options", "saturated"),
    [
        ("fp4_e2m1", [6.0, 6.25, -7.0, 5.9, 0.0], {}, 2 / 5),  # the largest value is 6
        ("fp8_e4m3", [448.0, 460.0, 500.0, -1000.0], {}, 3 / 4),  # above 464: NaN code of a finite value
        ("fp8_e5m2", [57344.0, 1e6, math.inf], {}, 1 / 3),  # Inf keeps its own code
        ("fp8_e5m2", [57344.0, 1e6, math.inf], {"overflow": "saturate"}, 2 / 3),
        ("int4", [-7.0, 7.0, 3.0, 0.0], {}, 0.0),
        ("mx6", [1.0, 31.9, -31.9, 31.0], {}, 3 / 4),  # exponent 4, m = 4: step 2, the largest value is 30
        ("binary", [1.0, -3.0], {}, 1 / 2),  # alpha = 2
    ],
)
def test_saturated(fmt, x, options, saturated):
    x = np.array(x, np.float32)
    q = qsim.encode(x, fmt, **options)
    assert metrics(x, q.decode(), q=q).saturated == saturated


def test_saturated_with_scales_held():
    """Scales of a calibration tensor held fixed: what lies outside its range is saturated, on both sides."""
    calibration = np.array([-1.0, 2.0], np.float32)
    x = np.array([-5.0, -1.0, 0.5, 2.0, 5.0], np.float32)
    for fmt in ("int8", "uint8", "int4"):
        held = qsim.encode(calibration, fmt)
        q = qsim.encode(x, fmt, scales=held.scales, zero_point=held.zero_point)
        y = q.decode()
        beyond = (x > y.max()) | (x < y.min())
        assert beyond[0]
        assert beyond[4]
        assert metrics(x, y, q=q).saturated == np.mean(beyond)


def test_axis_and_shape():
    """Codes are matched to values for any axis and for non-contiguous arrays."""
    x = np.random.default_rng(2).standard_normal((40, 6)).astype(np.float32) * 4
    q = qsim.encode(x, "fp4_e2m1", axis=0)
    expected = np.mean(np.abs(x) > 6)
    assert metrics(x, q.decode(), q=q).saturated == expected > 0
    qt = qsim.encode(x.T, "fp4_e2m1")
    assert metrics(x.T, qt.decode(), q=qt).saturated == expected


def test_threads_do_not_change_metrics():
    x = np.random.default_rng(3).standard_normal(1 << 20).astype(np.float32)
    found = []
    try:
        for n in (1, 2):
            qsim.set_num_threads(n)
            q = qsim.encode(x, "mx4")
            found.append(metrics(x, q.decode(), q=q))
    finally:
        qsim.set_num_threads(None)
    assert found[0] == found[1]


def test_decibel():
    assert (decibel(0, 0), decibel(0, 1), decibel(1, 0), decibel(100, 1)) == (math.inf, -math.inf, math.inf, 20.0)
