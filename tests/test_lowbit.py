"""qsim.lowbit against int64 arithmetic, the reference of rule B, the codec and published examples."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim import lowbit
from qsim.codec import set_num_threads
from qsim.datapath import gemm
from qsim.kernels import xnor as xnor_kernels
from qsim.reference import low_bit as reference
from qsim.spec import LFSR, Counter
from qsim.spec.random import words as random_words
from tests.strategies import arrays, float32_bits

kernels = pytest.mark.kernels
DOCS = Path(__file__).parent.parent / "docs" / "low-precision.md"
F32 = np.float32
EDGES = (1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 191, 192, 193, 200)
LENGTHS = [pytest.param(n, marks=kernels if n in EDGES else ()) for n in range(1, 201)]


@pytest.fixture(params=["as it is", "portable"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The vector tiles where the CPU has them; the loops that run elsewhere."""
    if request.param == "portable":
        monkeypatch.setattr(xnor_kernels, "available", lambda: False)
    return str(request.param)


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    set_num_threads(None)


def signs(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)


def trits(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, shape, dtype=np.int8)


def wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.int64)


def assert_products(m: int, n: int, k: int, seed: int = 0) -> None:
    """Every kind of product of random operands of K = k against int64."""
    a, w, s, t = signs(seed, m, k), signs(seed + 1, n, k), trits(seed + 2, m, k), trits(seed + 3, n, k)
    x, y, p, q = lowbit.pack_bits(a), lowbit.pack_bits(w), lowbit.pack_ternary(s), lowbit.pack_ternary(t)
    for found, left, right in (
        (lowbit.xnor_matmul(x, y, k), a, w),
        (lowbit.ternary_binary_matmul(p, y, k), s, w),
        (lowbit.ternary_binary_matmul(x, q, k), a, t),
        (lowbit.ternary_matmul(p, q, k), s, t),
    ):
        assert found.dtype == np.int32
        assert found.flags.c_contiguous
        assert np.array_equal(found, wide(left) @ wide(right).T)


def fractions(x: np.ndarray) -> list[Fraction]:
    return [Fraction(v) for v in x.ravel().tolist()]


# --- products ---


def test_published_example() -> None:
    """1010 xnor 1101 = 1000: -4 + 2 * popcount(1000) = -2 (the first bit written is the highest)."""
    a, w = np.array([[0b1010]], np.uint64), np.array([[0b1101]], np.uint64)

    assert lowbit.xnor_matmul(a, w, 4).tolist() == [[-2]]
    assert reference.xnor_dot([0b1010], [0b1101], 4) == -4 + 2 * 1 == -2
    assert lowbit.unpack_bits(a, 4)[0] @ lowbit.unpack_bits(w, 4)[0] == -2


@pytest.mark.parametrize("n", LENGTHS)
def test_every_length_equals_int64(n: int, path: str) -> None:
    assert_products(2, 3, n, n)


@kernels
@settings(max_examples=40)
@given(m=st.integers(0, 14), n=st.sampled_from([0, 1, 2, 63, 64, 65, 130]), k=st.integers(0, 70), seed=st.integers(0, 99))
@pytest.mark.parametrize("portable", [False, True])
def test_every_shape_equals_int64(portable: bool, m: int, n: int, k: int, seed: int) -> None:
    """For every M, N and K, tiles cut anywhere and empty operands: what int64 arithmetic gives."""
    with pytest.MonkeyPatch.context() as patch:
        if portable:
            patch.setattr(xnor_kernels, "available", lambda: False)
        assert_products(m, n, k, seed)


@pytest.mark.parametrize(("m", "n", "k"), [(7, 65, 32 * 512 + 1), (6, 64, 32 * 1024), (13, 3, 32 * 1100 - 7), (300, 200, 1000)])
def test_long_rows_equal_int64(m: int, n: int, k: int, path: str) -> None:
    """More words than one pass takes, at its ends."""
    assert_products(m, n, k)


def test_extremes(path: str) -> None:
    """All equal gives n, all different -n: the largest sums of either sign."""
    n = 40_001
    one = lowbit.pack_bits(np.ones((1, n), np.int8))
    other = lowbit.pack_bits(-np.ones((1, n), np.int8))

    assert lowbit.xnor_matmul(one, np.concatenate([one, other]), n).tolist() == [[n, -n]]


@kernels
@settings(max_examples=25)
@given(data=st.data())
def test_products_equal_the_reference(data: Any) -> None:
    """Each sum is that of the reference: popcounts of Python integers."""
    k = data.draw(st.integers(1, 150))
    row = st.lists(st.integers(-1, 1), min_size=k, max_size=k)
    s, t = data.draw(row), data.draw(row)
    a, w = ([v or 1 for v in x] for x in (s, t))
    planes = lowbit.pack_ternary(np.array([s])), lowbit.pack_ternary(np.array([t]))

    found = lowbit.xnor_matmul(lowbit.pack_bits([a]), lowbit.pack_bits([w]), k)

    assert found == reference.xnor_dot(reference.pack_signs(a), reference.pack_signs(w), k) == sum(map(int.__mul__, a, w))
    expected = reference.ternary_dot(reference.pack_planes(s), reference.pack_planes(t))
    assert lowbit.ternary_matmul(*planes, k) == expected == sum(map(int.__mul__, s, t))


def test_threads_change_nothing(path: str, threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither their number nor the size of the pieces."""
    x, y = lowbit.pack_bits(signs(0, 101, 300)), lowbit.pack_bits(signs(1, 150, 300))
    p, q = lowbit.pack_ternary(trits(0, 101, 300)), lowbit.pack_ternary(trits(1, 150, 300))
    set_num_threads(1)
    one = lowbit.xnor_matmul(x, y, 300), lowbit.ternary_matmul(p, q, 300)
    for n in (2, 5):
        set_num_threads(n)
        for name in ("PRODUCTS", "UNITS"):
            monkeypatch.setattr(gemm, name, 1)
        monkeypatch.setattr(lowbit.products, "PACKED", 1)
        assert np.array_equal(lowbit.xnor_matmul(x, y, 300), one[0])
        assert np.array_equal(lowbit.ternary_matmul(p, q, 300), one[1])


def test_views_and_read_only_words() -> None:
    a, w = signs(0, 30, 128), signs(1, 20, 128)
    x, y = lowbit.pack_bits(a), lowbit.pack_bits(w)
    x.flags.writeable = False

    found = lowbit.xnor_matmul(x[::-3], np.asfortranarray(y)[1::2], 128)

    assert np.array_equal(found, wide(a[::-3]) @ wide(w[1::2]).T)


@kernels
def test_equals_the_datapath_of_binary() -> None:
    """`binary_popcount`, whose suites and traces RTL is checked with, gives the same sums of the same QTensors."""
    rng = np.random.default_rng(0)
    a, w = qsim.encode(rng.standard_normal((5, 70)), "binary"), qsim.encode(rng.standard_normal((9, 70)), "binary")
    x, y = lowbit.from_qtensor(a), lowbit.from_qtensor(w)
    assert isinstance(x, lowbit.Binary)
    assert isinstance(y, lowbit.Binary)

    assert np.array_equal(lowbit.xnor_matmul(x.words, y.words, 70), qsim.linear(a, w, "binary_popcount"))


@pytest.mark.parametrize(("features", "wanted"), [("+avx2,+avx512vpopcntdq", True), ("+avx2", False), ("", False)])
def test_detection_follows_the_target_cpu(features: str, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The features that numba compiles for decide; where the vector kernels are not used, neither are these."""
    monkeypatch.setattr(xnor_kernels.config, "CPU_FEATURES", features)
    monkeypatch.setattr(xnor_kernels.vector, "available", lambda: True)
    uncached = xnor_kernels.available.__wrapped__

    assert uncached() == wanted
    monkeypatch.setattr(xnor_kernels.vector, "available", lambda: False)
    assert not uncached()


# --- tails and other bad words ---


def garbage(words: np.ndarray, row: int, bit: int) -> np.ndarray:
    out = words.copy()
    out[row, -1] |= np.uint64(1 << bit)
    return out


@pytest.mark.parametrize("n", [1, 63, 65, 100])
def test_bits_beyond_n_are_refused(n: int) -> None:
    """In either operand and in either plane, the first and the last of them, with the row."""
    x, p = lowbit.pack_bits(signs(0, 3, n)), lowbit.pack_ternary(trits(0, 3, n))
    for bit in (n % 64, 63):
        for bad, name in ((garbage(x, 1, bit), "{side}"), (garbage(p.nonzero, 1, bit), "{side}.nonzero")):
            for side in ("a", "w"):
                message = re.escape(f"row [1] has bits beyond its {n}, 1 of 3 rows; allowed: 0 (rule P5)")
                if name == "{side}":
                    operands: Any = (bad, x) if side == "a" else (x, bad)
                    with pytest.raises(ValueError, match=f"{side}_words: {message}"):
                        lowbit.xnor_matmul(*operands, n)
                else:
                    operands = (p._replace(nonzero=bad), p) if side == "a" else (p, p._replace(nonzero=bad))
                    with pytest.raises(ValueError, match=f"{side}.nonzero: {message}"):
                        lowbit.ternary_matmul(*operands, n)
    with pytest.raises(ValueError, match=re.escape("w: row [1] has bits beyond")):
        lowbit.ternary_binary_matmul(p, garbage(x, 1, 63), n)
    with pytest.raises(ValueError, match=re.escape("row [1] has bits beyond")):
        lowbit.unpack_bits(garbage(x, 1, 63), n)


X, P = np.zeros((2, 2), np.uint64), lowbit.Planes(np.zeros((2, 2), np.uint64), np.zeros((2, 2), np.uint64))
NEGATIVE = lowbit.Planes(X, np.array([[0, 0], [0, 1 << 5]], np.uint64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lowbit.xnor_matmul(X.astype(np.int64), X, 70), "a_words is int64 of shape (2, 2); allowed: uint64 of shape (..., 2)"),
        (lambda: lowbit.xnor_matmul(X, X[:, :1], 70), "w_words is uint64 of shape (2, 1); allowed: uint64 of shape (..., 2)"),
        (lambda: lowbit.xnor_matmul(X[0], X, 70), "a_words has shape (2,); allowed: (rows, 2)"),
        (lambda: lowbit.xnor_matmul(X, X, -1), "n=-1; allowed: 0 to 2^30 - 1"),
        (lambda: lowbit.xnor_matmul(X, X, 1 << 30), "n=1073741824; allowed: 0 to 2^30 - 1"),
        (lambda: lowbit.xnor_matmul(X, X, 70.0), "n=70.0; allowed: 0 to 2^30 - 1"),  # type: ignore[arg-type]
        (lambda: lowbit.ternary_matmul(P, NEGATIVE, 70), "w: element [1, 69] is negative but not nonzero; 0b10 is no ternary code"),
        (lambda: lowbit.ternary_matmul(X, P, 70), "a is of type ndarray; allowed: Planes (nonzero, negative)"),  # type: ignore[arg-type]
        (lambda: lowbit.ternary_matmul(P, lowbit.Planes(X, X[:1]), 70), "w: nonzero of shape (2, 2), negative (1, 2)"),
        (lambda: lowbit.ternary_binary_matmul(P, P, 70), "a and w are both planes or both words"),
        (lambda: lowbit.ternary_binary_matmul(X, X, 70), "a and w are both planes or both words"),
        (lambda: lowbit.pack_bits([[1, -1], [1, 0]]), "0 at index [1, 1], 1 of 4 values; allowed: -1 or +1"),
        (lambda: lowbit.pack_bits([0.5]), "0.5 at index [0], 1 of 1 values; allowed: -1 or +1"),
        (lambda: lowbit.pack_bits(1), "signs of shape (); allowed: one dimension or more"),
        (lambda: lowbit.pack_bits([1], axis=1), "axis=1 is out of range for an array of 1 dimensions"),
        (lambda: lowbit.pack_ternary([[1, 2], [0, -3]], axis=0), "2 at index [0, 1], 2 of 4 values; allowed: -1, 0 or +1"),
        (lambda: lowbit.pack_ternary(0), "values of shape (); allowed: one dimension or more"),
        (lambda: lowbit.unpack_codes(np.array([0b10_01], np.uint64), 2), "element [1] is negative but not nonzero"),
        (lambda: lowbit.unpack_codes(np.array([0b01_01], np.uint64), 1), "codes: row [] has bits beyond its 2"),
        (lambda: lowbit.xnor_conv2d(X, X), "x (2, 2) and w (2, 2); allowed: (N, H, W, C) and (O, KH, KW, C)"),
        (lambda: lowbit.xnor_conv2d(signs(0, 1, 2, 2, 1), signs(0, 1, 1, 1, 1), pad_value=2), "pad_value=2; allowed: -1, 0, 1"),
        (lambda: lowbit.xnor_conv2d(signs(0, 1, 2, 2, 1), signs(0, 1, 3, 1, 1)), "a window of 3"),
        (lambda: lowbit.xnor_linear(signs(0, 2, 3), signs(0, 2, 4)), "x (2, 3) and w (2, 4); allowed: (M, n) and (N, n)"),
        (lambda: lowbit.xnor_linear(signs(0, 2, 3), signs(0, 4, 3), alpha=np.ones(3, F32)), "alpha is float32 of shape (3,)"),
        (lambda: lowbit.xnor_linear(signs(0, 2, 3), signs(0, 4, 3), k=np.ones(4, F32)), "k is float32 of shape (4,)"),
        (lambda: lowbit.binary_weight_matmul(np.ones(3, F32), X), "x has shape (3,); allowed: (M, K)"),
        (lambda: lowbit.binary_weight_matmul(np.ones((1, 70), F32), X[0]), "w_words has shape (2,); allowed: (N, 2)"),
        (lambda: lowbit.scaled(np.array([1 << 53, (1 << 53) + 1]), F32(1)), "integers of dtype int64; allowed: integers from -2^53"),
        (lambda: lowbit.scaled(np.array([1]), np.float64(1)), "scales of float64; allowed: one or two arrays of finite float32"),
        (lambda: lowbit.scaled(np.array([1]), F32(np.inf)), "allowed: one or two arrays of finite float32"),
        (lambda: lowbit.scaled(np.array([1])), "allowed: one or two arrays of finite float32"),
        (lambda: lowbit.sign([1.0, np.nan, np.nan]), "nan at index [1], 2 of 3 values; allowed: anything but NaN"),
        (lambda: lowbit.stochastic_sign([np.nan], 0), "nan at index [0], 1 of 1 values"),
        (lambda: lowbit.stochastic_sign([0.5], None), "needs random="),
        (lambda: lowbit.stochastic_sign([0.5], [256]), "random words from 256 to 256; allowed: 0 to 255"),
        (lambda: lowbit.stochastic_sign([0.5], 0, random_bits=17), "random_bits=17"),
        (lambda: lowbit.alpha([1.0, np.inf]), "first at index [1]"),
        (lambda: lowbit.activation_scale(np.ones(3, F32)), "x has shape (3,); allowed: (M, K), or (N, H, W, C) with taps"),
        (lambda: lowbit.activation_scale(np.ones((1, 2), F32), (1, 1)), "x has shape (1, 2); allowed: (N, H, W, C), or (M, K)"),
        (lambda: lowbit.activation_scale(np.ones((1, 2, 2, 1), F32), (0, 1)), "taps=(0, 1); allowed: an integer of 1 or more"),
        (lambda: lowbit.activation_scale(np.ones((1, 2, 2, 1), F32), (1, 1, 1)), "taps=(1, 1, 1); allowed"),  # type: ignore[arg-type]
        (lambda: lowbit.xnor_conv2d(signs(0, 1, 2, 2, 1), signs(0, 1, 1, 1, 1), stride=1.0), "stride=1.0; allowed"),  # type: ignore[arg-type]
        (lambda: lowbit.xnor_conv2d(signs(0, 1, 2, 2, 1), signs(0, 1, 1, 1, 1), padding=1.0), "padding=1.0; allowed"),  # type: ignore[arg-type]
        (lambda: lowbit.unpack_codes(X, 2.0), "n=2.0; allowed: 0 to 2^30 - 1"),  # type: ignore[arg-type]
        (lambda: lowbit.ternary_threshold([1.0], method="best"), "method='best'; allowed: twn, optimal"),
        (lambda: lowbit.ternary_signs([1.0], -0.5), "threshold of shape (), from -0.5; allowed: finite, 0 or more"),
        (lambda: lowbit.ternary_signs([1.0], [0.5, 0.5]), "threshold of shape (2,)"),
        (lambda: lowbit.from_qtensor(qsim.encode([1.0], "int4")), "QTensor of int4, family absmax; allowed: binary or ternary"),
        (lambda: lowbit.from_qtensor(qsim.encode(np.ones((3, 3), F32), "binary", granularity="channel", channel_axis=1)),
         "channels along axis 1 of (3, 3), packed along axis 1; allowed: channels along axis 0, the first of the words"),
        (lambda: lowbit.from_qtensor(qsim.encode(np.ones((2, 2, 3), F32), "ternary", axis=0, granularity="channel", channel_axis=2)),
         "channels along axis 2 of (2, 2, 3), packed along axis 0; allowed: channels along axis 1"),
        (lambda: lowbit.to_qtensor(lowbit.Binary(X, 70, np.full(3, 1, F32))), "alpha is float32 of shape (3,)"),
        (lambda: lowbit.to_qtensor(lowbit.Ternary(P, 70, F32(0))), "above 0"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_refused(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        call()


# --- packing ---


@kernels
@settings(max_examples=60)
@given(st.lists(st.integers(-1, 1), max_size=140))
def test_words_are_those_of_the_reference(values: list[int]) -> None:
    """Bits, planes and 2-bit codes: the reference's words, and what is unpacked again is what was packed."""
    n, ones = len(values), [v or 1 for v in values]
    x = np.array(values, np.int64)
    planes = lowbit.pack_ternary(x)

    assert lowbit.pack_bits(np.array(ones, np.int64)).tolist() == reference.pack_signs(ones)
    assert lowbit.unpack_bits(lowbit.pack_bits(np.array(ones, np.int64)), n).tolist() == ones
    assert tuple(p.tolist() for p in planes) == reference.pack_planes(values)
    assert lowbit.unpack_ternary(planes, n).tolist() == values
    assert lowbit.pack_codes(planes, n).tolist() == reference.pack_codes(values)
    assert all(map(np.array_equal, lowbit.unpack_codes(lowbit.pack_codes(planes, n), n), planes))


@pytest.mark.parametrize("n", [64, 128, 1024])
def test_packed_weights_take_a_thirty_second_of_float32(n: int) -> None:
    w = signs(0, 5, n).astype(F32)

    assert 32 * lowbit.pack_bits(w).nbytes == w.nbytes
    assert 16 * lowbit.pack_codes(lowbit.pack_ternary(w), n).nbytes == w.nbytes
    assert lowbit.pack_bits(w[:, :-1]).nbytes == w.nbytes // 32


def test_what_may_be_packed() -> None:
    """Integers, floats and booleans, any axis; the axis moves last."""
    x = signs(0, 3, 70, 2)
    words = lowbit.pack_bits(x, axis=1)

    assert words.shape == (3, 2, 2)
    assert np.array_equal(lowbit.unpack_bits(words, 70), x.transpose(0, 2, 1))
    for same in (x.astype(np.float64), x == 1, x.astype(np.int32)):
        assert np.array_equal(lowbit.pack_bits(same, axis=-2), words)
    t = trits(0, 3, 70, 2)
    assert np.array_equal(lowbit.unpack_ternary(lowbit.pack_ternary(t, axis=1), 70), t.transpose(0, 2, 1))


@kernels
def test_empty() -> None:
    """No elements, no rows: words, sums and scales of the right shape."""
    none = np.zeros((3, 0), np.int8)
    assert lowbit.pack_bits(none).shape == (3, 0)
    assert lowbit.unpack_bits(lowbit.pack_bits(none), 0).shape == (3, 0)
    assert lowbit.xnor_matmul(lowbit.pack_bits(none), lowbit.pack_bits(none[:2]), 0).tolist() == [[0, 0]] * 3
    assert lowbit.ternary_matmul(lowbit.pack_ternary(none), lowbit.pack_ternary(none), 0).tolist() == [[0] * 3] * 3
    assert lowbit.sign(none).shape == (3, 0)
    assert lowbit.stochastic_sign(none.astype(F32), 0).shape == (3, 0)
    assert lowbit.alpha(none.astype(F32)).tolist() == [0, 0, 0]
    assert lowbit.alpha(none.astype(F32), threshold=0.0, channel_axis=None) == 1
    for method in ("twn", "optimal"):
        assert lowbit.ternary_threshold(none.astype(F32), method=method, channel_axis=0).tolist() == [0, 0, 0]
    assert lowbit.activation_scale(none.astype(F32)).tolist() == [0, 0, 0]
    assert lowbit.xnor_conv2d(np.zeros((0, 4, 4, 3), np.int8), signs(0, 2, 3, 3, 3)).shape == (0, 2, 2, 2)
    assert lowbit.xnor_conv2d(signs(0, 1, 4, 4, 3), np.zeros((0, 3, 3, 3), np.int8)).shape == (1, 2, 2, 0)
    assert lowbit.xnor_conv2d(signs(0, 1, 4, 4, 3), np.zeros((0, 3, 3, 3), np.int8), padding=1).shape == (1, 4, 4, 0)
    assert lowbit.binary_weight_matmul(np.ones((2, 3), F32), np.zeros((0, 1), np.uint64)).shape == (2, 0)


@kernels
@pytest.mark.parametrize("fmt", ["binary", "ternary"])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_qtensors_and_words(fmt: str, granularity: str) -> None:
    """A QTensor's words, bits and alpha; back again it packs to the same bytes; its element plane is that of the words."""
    w = np.random.default_rng(0).standard_normal((6, 77)).astype(F32)
    q = qsim.encode(w, fmt, granularity=granularity)
    found = lowbit.from_qtensor(q)

    assert found.n == 77
    assert lowbit.to_qtensor(found).pack() == q.pack()
    axis = 0 if granularity == "channel" else None
    even = qsim.encode(w[:, :64], fmt)
    if isinstance(found, lowbit.Binary):
        assert np.array_equal(lowbit.unpack_bits(found.words, 77), q.integers)
        assert np.array_equal(found.alpha, lowbit.alpha(w, channel_axis=axis))
        words = lowbit.from_qtensor(even)[0]
    else:
        t = lowbit.ternary_threshold(w, channel_axis=axis)
        assert np.array_equal(lowbit.unpack_ternary(found.planes, 77), q.integers)
        assert np.array_equal(lowbit.ternary_signs(w, t, channel_axis=axis), q.integers)
        assert np.array_equal(found.alpha, lowbit.alpha(w, threshold=t, channel_axis=axis))
        words = lowbit.pack_codes(lowbit.from_qtensor(even)[0], 64)  # type: ignore[arg-type]
    assert even.pack("planar").startswith(words.astype("<u8").tobytes())
    along = lowbit.from_qtensor(qsim.encode(w.T, fmt, axis=0, granularity=granularity, channel_axis=1))
    assert along.n == 77
    assert lowbit.to_qtensor(along).pack() == q.pack()


# --- signs ---


@kernels
def test_sign_by_hand() -> None:
    """Both zeros, infinities, subnormals; float64 below float32's smallest is a zero (rule R4); integers as they are."""
    x = np.array([0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf, 3, -3], F32)

    assert lowbit.sign(x).tolist() == [1, 1, 1, -1, 1, -1, 1, -1]
    assert lowbit.sign(np.array([-1e-60, -1e-40])).tolist() == [1, -1]
    assert lowbit.sign(np.array([[-(1 << 62), 0, 5]])).tolist() == [[-1, 1, 1]]
    assert lowbit.sign(-2.0).shape == ()
    assert [reference.sign(v) for v in fractions(np.array([0.0, -0.5]))] == [1, -1]


@kernels
@settings(max_examples=60)
@given(x=arrays(max_size=30), r=st.integers(1, 16), seed=st.integers(0, 1 << 40), lfsr=st.booleans())
def test_stochastic_sign_equals_the_reference(x: np.ndarray, r: int, seed: int, lfsr: bool) -> None:
    """For every source: +1 iff word i is below p_i * 2^r, exactly; encode(x, "binary") gives the same, all-zero tensors excepted."""
    source = LFSR(seed % 0xFFFF + 1, 0xD008, 16) if lfsr else Counter(seed)
    drawn = random_words(source, x.size, r)
    expected = [reference.stochastic_sign(v, w, r) for v, w in zip(fractions(x), drawn, strict=True)]

    assert lowbit.stochastic_sign(x, source, random_bits=r).ravel().tolist() == expected
    given_words = np.array(drawn, np.int64).reshape(x.shape)
    assert lowbit.stochastic_sign(x, given_words, random_bits=r).ravel().tolist() == expected
    if np.any(x):
        q = qsim.encode(x, "binary", rounding="stochastic", random_bits=r, random=source)
        assert q.integers.ravel().tolist() == expected


@kernels
@pytest.mark.parametrize("r", [1, 3, 8])
def test_p_is_rounded_up_to_the_bits_of_the_word(r: int) -> None:
    """Of the 2^r words, exactly ceil(p * 2^r) give +1: below, at and above every step of p, and beyond its ends."""
    steps = np.arange(-1, (1 << r) + 2, dtype=F32) * F32(2.0 ** (1 - r)) - F32(1)
    x = np.concatenate([steps, np.nextafter(steps, F32(-9)), np.nextafter(steps, F32(9)), F32([np.inf, -np.inf, 1e-45, -1e-45])])
    table = np.broadcast_to(x[:, np.newaxis], (x.size, 1 << r))
    found = lowbit.stochastic_sign(table, np.broadcast_to(np.arange(1 << r), table.shape), random_bits=r)
    p = [1 if v == np.inf else 0 if v == -np.inf else min(max((Fraction(v) + 1) / 2, 0), 1) for v in x.tolist()]

    assert np.count_nonzero(found == 1, axis=1).tolist() == [math.ceil(v * (1 << r)) for v in p]


@pytest.mark.parametrize("x", [-0.75, 0.1, 0.5, 0.996])
def test_counter_generator_has_the_stated_probability(x: float) -> None:
    """The count of +1 is exactly that of the words below the threshold, and near n * P, P = ceil(p * 2^8) / 2^8.

    Hoeffding: independent words miss n * P by more than sqrt(n * ln(2 / d) / 2) with probability at most d; d = 1e-9. The seed is
    fixed, so that the verdict is, too.
    """
    n, threshold = 20_000, math.ceil((Fraction(F32(x).item()) + 1) / 2 * 256)
    count = np.count_nonzero(lowbit.stochastic_sign(np.full(n, x, F32), 5) == 1)

    assert count == sum(w < threshold for w in random_words(Counter(5), n, 8))
    assert abs(count - n * threshold / 256) <= math.sqrt(n * math.log(2e9) / 2)


# --- scales ---


def test_scales_by_hand() -> None:
    """XNOR-Net's alpha and TWN: mean 1.125 gives Delta = 0.7875, which keeps 1 and 3 with alpha 2 (0.5 and 0 go)."""
    w = np.array([0.0, -1.0, 3.0, 0.5], F32)
    t = lowbit.ternary_threshold(w)

    assert lowbit.alpha(w).tolist() == [1.125]
    assert t == 0.7 * 1.125
    assert lowbit.ternary_signs(w, t).tolist() == [0, -1, 1, 0]
    assert lowbit.alpha(w, threshold=t, channel_axis=None) == 2
    assert lowbit.ternary_signs(np.array([-2.0, 2.0, 2.5]), 2.0).tolist() == [0, 0, 1]  # strictly
    assert lowbit.alpha(np.zeros((2, 3))).tolist() == [0, 0]
    assert lowbit.alpha(np.zeros((2, 3)), threshold=[0.0, 1.0]).tolist() == [1, 1]
    assert lowbit.alpha(np.array([1e-45] + [0] * 9, F32)).tolist() == [F32(1e-45)]  # rule S9: never 0


@kernels
@settings(max_examples=40)
@given(data=st.data())
def test_scales_equal_the_reference(data: Any) -> None:
    """alpha, both thresholds and alpha of the kept, a channel and a tensor; beta of the rows."""
    shape = data.draw(st.sampled_from([(1, 1), (2, 3), (3, 2), (1, 7), (2, 5)]))
    size = math.prod(shape)
    x = np.array(data.draw(st.lists(float32_bits(), min_size=size, max_size=size)), np.uint32).view(F32).reshape(shape)
    for axis, rows in ((None, [x]), (0, list(x)), (1, list(x.T))):
        values = [fractions(row) for row in rows]
        assert fractions(np.atleast_1d(lowbit.alpha(x, channel_axis=axis))) == [reference.alpha(v) for v in values]
        for method, rule in (("twn", reference.twn_threshold), ("optimal", reference.optimal_threshold)):
            t = lowbit.ternary_threshold(x, method=method, channel_axis=axis)
            expected = [rule(v) for v in values]
            assert fractions(np.atleast_1d(t)) == expected
            kept = lowbit.alpha(x, threshold=t, channel_axis=axis)
            assert fractions(np.atleast_1d(kept)) == [reference.alpha(v, e) for v, e in zip(values, expected, strict=True)]
    assert fractions(lowbit.activation_scale(x)) == [reference.activation_scale(fractions(row), x.shape[1]) for row in x]


@settings(max_examples=30)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5))
def test_no_ternary_vector_is_nearer_than_the_optimum(values: list[int]) -> None:
    """Of all 3^n vectors of -1, 0, +1, each with its own best alpha, none has a smaller error; of equal ones none has fewer 1."""

    def error(t: tuple[int, ...]) -> tuple[Fraction, int]:
        kept = sum(map(abs, t))
        best = Fraction(sum(map(int.__mul__, t, values)), kept or 1)
        return sum(((v - best * s) ** 2 for v, s in zip(values, t, strict=True)), Fraction(0)), kept

    w = np.array(values, F32)
    found = lowbit.ternary_signs(w, lowbit.ternary_threshold(w, method="optimal"))

    assert error(tuple(found.tolist())) == min(map(error, product((-1, 0, 1), repeat=len(values))))


def test_ties_of_the_optimum() -> None:
    """3^2 / 1 = (3 + 1 + 1 + 1)^2 / 4: the fewest are kept; equal weights stand or fall together; scale and order do not matter."""
    w = np.array([1, -3, 1, -1], F32)

    assert lowbit.ternary_threshold(w, method="optimal") == 1
    assert lowbit.ternary_threshold(w * F32(2.0**-149), method="optimal") == 2.0**-149
    assert lowbit.ternary_threshold(np.full(1000, 0.1, F32), method="optimal") == 0
    # one part in 2^24 tips the balance, far below what float64 sums of many weights would show
    many = np.tile(w, 4096)
    assert lowbit.ternary_threshold(many, method="optimal") == 1
    many[0] = np.nextafter(F32(1), F32(2))
    assert lowbit.ternary_threshold(many, method="optimal") == 0


def test_optimum_is_never_worse_than_twn_and_the_table_of_the_docs_holds() -> None:
    """Every row of the table in docs/low-precision.md, drawn again in its order."""
    rng, n = np.random.default_rng(0), 1 << 20
    drawn = {
        "Gaussian": rng.standard_normal(n),
        "Laplace": rng.laplace(size=n),
        "uniform": rng.uniform(-1, 1, n),
        "Student-t(3)": rng.standard_t(3, n),
        "Gaussian, half set to 0": rng.standard_normal(n) * (rng.random(n) < 0.5),
    }
    text = DOCS.read_text()
    for name, values in drawn.items():
        w = values.astype(F32)
        exact = w.astype(np.float64)

        def decibels(q: np.ndarray, exact: np.ndarray = exact) -> float:
            return float(10 * np.log10((exact**2).sum() / ((exact - q) ** 2).sum()))

        cells = [f"{decibels(lowbit.sign(w) * lowbit.alpha(w, channel_axis=None)):.2f}"]
        found = []
        for method in ("twn", "optimal"):
            t = lowbit.ternary_threshold(w, method=method)
            s = lowbit.ternary_signs(w, t)
            found.append(decibels(s * lowbit.alpha(w, threshold=t, channel_axis=None)))
            cells += [f"{found[-1]:.2f}", f"{np.count_nonzero(s == 0) / n:.0%}".replace("%", " %")]
        cells.append(f"{float(t) / np.abs(exact).mean():.3f}")
        assert f"| {name} | {' | '.join(cells)} |" in text
        assert found[1] > found[0]


WINDOWS = [((3, 3), 1, "same", 1), ((2, 3), (2, 1), (1, 0, 2, 1), 1), ((1, 1), 2, "valid", 1), ((2, 2), 1, 2, 2)]


@kernels
@pytest.mark.parametrize(("taps", "stride", "padding", "dilation"), WINDOWS)
@pytest.mark.parametrize("spread", [0, 100])
def test_activation_scale_equals_the_reference(taps: Any, stride: Any, padding: Any, dilation: Any, spread: int) -> None:
    """K of every window, for magnitudes of one range and for some from 2^-149 to 2^127, with zeros."""
    rng = np.random.default_rng(1)
    x = np.ldexp(rng.standard_normal((2, 4, 5, 3)), rng.integers(-spread, spread // 2 + 1, (2, 4, 5, 3))).astype(F32)
    x[rng.random(x.shape) < 0.2] = 0
    found = lowbit.activation_scale(x, taps, stride=stride, padding=padding, dilation=dilation)
    vertical, horizontal = lowbit.convolution.windows((4, 5), taps, stride, dilation, padding)

    assert found.shape == (2, vertical.out, horizontal.out)
    for n, i, j in np.ndindex(found.shape):
        rows = [i * vertical.stride + u * vertical.dilation - vertical.before for u in range(taps[0])]
        columns = [j * horizontal.stride + v * horizontal.dilation - horizontal.before for v in range(taps[1])]
        under = [x[n, r, c] for r in rows for c in columns if 0 <= r < 4 and 0 <= c < 5]
        expected = reference.activation_scale(fractions(np.array(under)), 3 * math.prod(taps))
        assert Fraction(found[n, i, j].item()) == expected


@settings(max_examples=200)
@given(
    y=st.one_of(st.integers(-(1 << 53), 1 << 53), st.integers(-300, 300)),
    scales=st.lists(st.tuples(st.integers(0, (1 << 24) - 1), st.integers(-149, 104)), min_size=1, max_size=2),
)
def test_scaled_rounds_the_exact_product_once(y: int, scales: list[tuple[int, int]]) -> None:
    factors = [math.ldexp(m, e) for m, e in scales]
    found = lowbit.scaled(np.array([y]), *(F32(f) for f in factors))
    expected = reference.scaled(y, [Fraction(f) for f in factors])

    assert found[0] == float(expected)


def test_scaled_where_two_roundings_would_differ() -> None:
    """2^24 + 1 times 1 + 2^-23 is just above a tie; float64 drops what tells: through float64 it would go to even, below."""
    y, scale = (1 << 52) + (1 << 28), F32(1 + 2.0**-23)
    exact = Fraction(y) * Fraction(float(scale))
    naive = F32(float(y) * float(scale))

    assert lowbit.scaled(np.array([y]), scale)[()] == float(reference.scaled(y, [Fraction(float(scale))]))
    assert Fraction(float(naive)) != exact


# --- layers ---


@kernels
@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize(("taps", "stride", "padding", "dilation"), WINDOWS)
@pytest.mark.parametrize("channels", [1, 3])
def test_convolution_equals_the_reference(
    taps: Any, stride: Any, padding: Any, dilation: Any, channels: int, pad_value: int
) -> None:
    x, w = signs(0, 2, 4, 5, channels), signs(1, 3, *taps, channels)
    found = lowbit.xnor_conv2d(x, w, stride=stride, padding=padding, dilation=dilation, pad_value=pad_value)
    axes = lowbit.convolution.windows((4, 5), taps, stride, dilation, padding)
    ranges = [(a.size, a.before, a.stride, a.dilation, a.out) for a in axes]

    for n, o in product(range(2), range(3)):
        assert found[n, :, :, o].tolist() == reference.conv2d(x[n].tolist(), w[o].tolist(), *ranges, pad_value)


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 130])
def test_convolution_equals_the_integer_datapath(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact zero padding: what conv2d with an exact accumulator gives for integers padded with 0. Pieces change nothing."""
    x, w = signs(0, 3, 9, 7, channels), signs(1, 5, 3, 3, channels)
    expected = qsim.conv2d(x, w, "int32_exact", stride=2, padding="same")

    assert np.array_equal(lowbit.xnor_conv2d(x, w, stride=2, padding="same"), expected)
    monkeypatch.setattr(lowbit.convolution, "PATCHES", 1)
    assert np.array_equal(lowbit.xnor_conv2d(x == 1, w.astype(F32), stride=2, padding="same"), expected)


def test_xnor_net_convolution_and_linear() -> None:
    """sign(I) (*) sign(W), times K, times alpha: the exact product of the three, rounded once."""
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 5, 5, 4)).astype(F32), rng.standard_normal((3, 3, 3, 4)).astype(F32)
    a, k = lowbit.alpha(w), lowbit.activation_scale(x, (3, 3), padding="same")
    sums = lowbit.xnor_conv2d(lowbit.sign(x), lowbit.sign(w), padding="same")
    found = lowbit.xnor_conv2d(lowbit.sign(x), lowbit.sign(w), padding="same", alpha=a, k=k)

    assert found.dtype == F32
    for n, i, j, o in np.ndindex(found.shape):
        scales = [Fraction(a[o].item()), Fraction(k[n, i, j].item())]
        assert Fraction(found[n, i, j, o].item()) == reference.scaled(int(sums[n, i, j, o]), scales)
    m, v = x.reshape(10, 20), w.reshape(3, 36)[:, :20]
    beta = lowbit.activation_scale(m)
    rows = lowbit.xnor_linear(lowbit.sign(m), lowbit.sign(v), alpha=lowbit.alpha(v), k=beta)
    plain = lowbit.xnor_linear(lowbit.sign(m), lowbit.sign(v))
    assert np.array_equal(plain, wide(lowbit.sign(m)) @ wide(lowbit.sign(v)).T)
    for i, o in np.ndindex(rows.shape):
        scales = [Fraction(lowbit.alpha(v)[o].item()), Fraction(beta[i].item())]
        assert Fraction(rows[i, o].item()) == reference.scaled(int(plain[i, o]), scales)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_binary_weights_and_integers(dtype: type) -> None:
    """R x B: the exact sum of +x and -x, and with alpha that sum's exact product, rounded once."""
    rng = np.random.default_rng(4)
    info = np.iinfo(dtype)
    x = rng.integers(max(info.min, -(1 << 40)), min(info.max, 1 << 40), (5, 70), dtype=dtype)
    w = rng.standard_normal((9, 70)).astype(F32)
    words, a = lowbit.pack_bits(lowbit.sign(w)), lowbit.alpha(w)
    exact = wide(x) @ wide(lowbit.sign(w)).T

    assert np.array_equal(lowbit.binary_weight_matmul(x, words), exact)
    found = lowbit.binary_weight_matmul(x, words, alpha=a)
    assert found.dtype == F32
    for i, o in np.ndindex(found.shape):
        assert Fraction(found[i, o].item()) == reference.scaled(int(exact[i, o]), [Fraction(a[o].item())])


def test_binary_weights_and_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """R x B of floats: one float32 addition after the other, k ascending, then one product with alpha; or another unit's sums."""
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((4, 70)).astype(F32), rng.standard_normal((6, 70)).astype(F32)
    s, a = lowbit.sign(w), lowbit.alpha(w)
    total = np.zeros((4, 6), F32)
    for k in range(70):
        total += x[:, k, np.newaxis] * s[:, k]

    assert np.array_equal(lowbit.binary_weight_matmul(x, lowbit.pack_bits(s)), total)
    monkeypatch.setattr(lowbit.layers, "PAIRS", 1)
    assert np.array_equal(lowbit.binary_weight_matmul(x, lowbit.pack_bits(s), alpha=a), total * a)
    pairs = lowbit.binary_weight_matmul(x, lowbit.pack_bits(s), accumulator="fp32_pairwise")
    left, right = np.repeat(x, 6, axis=0), np.tile(s.astype(F32), (4, 1))
    assert np.array_equal(pairs.ravel(), qsim.dot(left, right, None, "fp32_pairwise", operand="fp32"))
