"""exact_gemm: Python's integers, the bounds of every path, equal bits on every path and for every number of threads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import config

from qsim.codec import set_num_threads
from qsim.datapath import gemm
from qsim.datapath.gemm import exact_gemm
from qsim.kernels import gemm as kernels
from qsim.kernels import vector

pytestmark = pytest.mark.kernels

TYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32)
WIDE = (*TYPES, np.uint32, np.int64, np.uint64)


@pytest.fixture(params=["as it is", "portable"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The byte kernels where the CPU has them; the float products that run elsewhere."""
    if request.param == "portable":
        monkeypatch.setattr(kernels, "available", lambda: False)
    return str(request.param)


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    set_num_threads(None)


def integers(seed: int, shape: tuple[int, int], dtype: type, order: str) -> np.ndarray:
    """All values of the type, its ends more often."""
    rng, info = np.random.default_rng(seed), np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    ends = rng.integers(0, 8, shape)
    x[ends == 0], x[ends == 1] = info.min, info.max
    return np.asarray(x, order=order)  # type: ignore[call-overload]


def by_python(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The product in Python's integers."""
    if a.shape[1] == 0:
        return np.zeros((a.shape[0], w.shape[1]), object)
    return a.astype(object) @ w.astype(object)


def assert_exact(a: np.ndarray, w: np.ndarray) -> None:
    found = exact_gemm(a, w)
    wanted = by_python(a, w)
    assert found.shape == wanted.shape
    assert found.flags.c_contiguous
    assert (found == wanted).all()


def assert_refused(a: np.ndarray, w: np.ndarray) -> None:
    with pytest.raises(ValueError, match=re.escape("below 2^63")):
        exact_gemm(a, w)


SIZES = st.one_of(st.integers(0, 9), st.integers(0, 70), st.sampled_from([63, 64, 65, 127, 128, 129, 130]))


@settings(max_examples=150)
@given(m=SIZES, k=SIZES, n=SIZES, types=st.tuples(*[st.sampled_from(TYPES)] * 2), orders=st.tuples(*[st.sampled_from("CF")] * 2))
@pytest.mark.parametrize("portable", [False, True])
def test_equals_pythons_integers(
    portable: bool, m: int, k: int, n: int, types: tuple[type, type], orders: tuple[str, str]
) -> None:
    """For every shape, type and memory order: the product in Python's integers, or no product where 2^63 may be reached."""
    a, w = integers(m + 1, (m, k), types[0], orders[0]), integers(n, (k, n), types[1], orders[1])
    with pytest.MonkeyPatch.context() as patch:
        if portable:
            patch.setattr(kernels, "available", lambda: False)
        if a.size and w.size and k * gemm._largest(a) * gemm._largest(w) >= 1 << 63:
            assert_refused(a, w)
        else:
            assert_exact(a, w)


@pytest.mark.parametrize(("s", "t"), list(product(WIDE, WIDE)))
def test_every_pair_of_types(s: type, t: type, path: str) -> None:
    """Values over the whole type, or over as much of it as keeps every sum in int64."""
    a, w = integers(1, (13, 37), s, "C"), integers(2, (37, 70), t, "C")
    spare = max(0, (37 * gemm._largest(a) * gemm._largest(w)).bit_length() - 63)
    assert_exact(a >> ((spare + 1) // 2), w >> ((spare + 1) // 2))


@pytest.mark.parametrize("t", [np.int8, np.uint8])
@pytest.mark.parametrize("s", [np.int8, np.uint8])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 255, 257, 1023, 1024, 1025, 2047, 2048, 2049, 4100])
def test_byte_corners(s: type, t: type, k: int, path: str) -> None:
    """All operands at the ends of their types: the largest sums of either sign, at chunk and pass ends, at odd K."""
    ends, others = np.iinfo(s), np.iinfo(t)
    a = np.array([[ends.min] * k, [ends.max] * k, [ends.min, ends.max] * (k // 2) + [ends.max] * (k % 2)], s)
    w = np.array([[others.min] * k, [others.max] * k, [others.max, others.min] * (k // 2) + [others.min] * (k % 2)], t).T

    found = exact_gemm(a, w)

    assert found.dtype == np.int32
    assert (found == a.astype(np.int64) @ w.astype(np.int64)).all()


@pytest.mark.parametrize(
    ("x", "y", "k"),
    [
        (-128, -128, (1 << 24) // (1 << 14)),  # float32's last exact sum is one chunk
        (-4096, 4096, 1),
        (1 << 15, 1 << 9, 1),
        (255, 255, ((1 << 31) - 1) // 255**2),  # the last K whose sums fit int32
        (-128, -128, (1 << 17) - 1),
        (1 << 20, 1 << 11, 1),
        (1 << 30, 1, 2),
        (1 << 16, (1 << 15) - 1, 1),
        (-(1 << 31), 1 << 19, 8),  # float64's last exact sum
        (1 << 26, -(1 << 26), 2),
        (-(1 << 31), -(1 << 31), 1),  # beyond: halves
        ((1 << 31) - 1, -(1 << 31), 2),
        ((1 << 62) - 1, 2, 1),
        (0, 1 << 62, 9),
    ],
)
@pytest.mark.parametrize("beyond", [0, 1])
def test_sums_at_and_beyond_the_bounds(x: int, y: int, k: int, beyond: int, path: str) -> None:
    """Equal operands reach a path's bound exactly; one product more passes it. int32 below 2^31, int64 from there on."""
    k += beyond
    a, w = np.full((2, k), x), np.full((k, 3), y)
    if k * abs(x) * abs(y) >= 1 << 63:
        assert_refused(a, w)
        return

    found = exact_gemm(a, w)

    assert found.dtype == (np.int32 if k * abs(x) * abs(y) < 1 << 31 else np.int64)
    assert (found == k * x * y).all()


@pytest.mark.parametrize(("low", "other"), [(100, -30), (-5000, 70), (-300, 1000), (1 << 20, 0)])
def test_narrow_ranges_anywhere(low: int, other: int, path: str) -> None:
    """Values that span 256 integers, wherever they lie: what zero points leave of bytes."""
    rng = np.random.default_rng(0)
    a, w = low + rng.integers(0, 256, (19, 61)), other + rng.integers(0, 256, (61, 67))
    assert_exact(a, w)
    assert_exact(a.astype(np.int32), w.astype(np.int16))
    assert_exact(w.T, a.T)


def test_halves_of_zeros(path: str) -> None:
    """Wide operands whose lower half is 0 everywhere, or whose upper half is."""
    a = np.arange(-6, 6).reshape(3, 4)
    assert_exact(a << 40, np.arange(8).reshape(4, 2) << 12)
    assert_exact(a << 8, np.full((4, 2), 3 << 40))
    assert_exact(np.abs(a) << 30, (1 << 27) + a.T)


@pytest.mark.parametrize("s", [np.int8, np.uint8, np.int16])
@pytest.mark.parametrize(("m", "k", "n"), [(1, 300, 200), (200, 300, 1), (97, 2060, 65), (300, 5, 300), (12, 8, 64), (13, 9, 63)])
def test_paths_agree(s: type, m: int, k: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both paths give the same bits in the same type."""
    a, w = integers(1, (m, k), s, "C"), integers(2, (k, n), np.int8, "C")
    here = exact_gemm(a, w)
    monkeypatch.setattr(kernels, "available", lambda: False)
    portable = exact_gemm(a, w)

    assert here.dtype == portable.dtype
    assert np.array_equal(here, portable)


@pytest.mark.parametrize("s", [np.int8, np.uint8, np.int16])
def test_threads_change_nothing(s: type, path: str, threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither their number nor the size of the pieces."""
    a, w = integers(1, (331, 150), s, "C"), integers(2, (150, 450), np.uint8, "F")
    set_num_threads(1)
    one = exact_gemm(a, w)
    for n in (2, 3, 7):
        set_num_threads(n)
        assert np.array_equal(exact_gemm(a, w), one)
        with monkeypatch.context() as patch:
            for name in ("PACKED", "PRODUCTS", "UNITS"):
                patch.setattr(gemm, name, 1)
            assert np.array_equal(exact_gemm(a, w), one)


def test_views_and_read_only_operands(path: str) -> None:
    """Strides, negative steps, the other byte order and read-only arrays are read as what they hold; operands stay as they were."""
    x = integers(1, (90, 210), np.int8, "C")
    x.flags.writeable = False
    before = x.copy()
    a, w = x[::2, ::-3], x[5:75, 1::2]

    assert_exact(a, w)
    assert_exact(a.astype(">i2"), w.astype(">i4"))
    assert np.array_equal(x, before)


@pytest.mark.parametrize(("features", "wanted"), [("+avx2,+avx512vnni", True), ("+avx2", False), ("", False)])
def test_detection_follows_the_target_cpu(features: str, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The features that numba compiles for decide; without AVX, without the JIT or on a generic CPU the kernels are not used."""
    monkeypatch.setattr(vector, "JIT", True)
    monkeypatch.setattr(config, "CPU_NAME", "znver4")
    monkeypatch.setattr(config, "CPU_FEATURES", features)
    monkeypatch.delenv("QSIM_KERNELS", raising=False)
    vector_uncached, uncached = vector.available.__wrapped__, kernels.available.__wrapped__
    monkeypatch.setattr(vector, "available", vector_uncached)
    assert uncached() == wanted
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    monkeypatch.setattr(config, "ENABLE_AVX", 0)
    assert not uncached()
    monkeypatch.setattr(config, "CPU_FEATURES", "+avx2,+avx512vnni")
    monkeypatch.setattr(vector, "JIT", False)
    assert not uncached()
    monkeypatch.setattr(vector, "JIT", True)
    monkeypatch.setattr(config, "CPU_NAME", "generic")
    assert not uncached()


@pytest.mark.parametrize("shape", [(0, 0, 0), (0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_empty(shape: tuple[int, int, int], path: str) -> None:
    """No products: zeros of int32."""
    m, k, n = shape
    found = exact_gemm(np.zeros((m, k), np.int16), np.zeros((k, n), np.uint8))
    assert found.dtype == np.int32
    assert np.array_equal(found, np.zeros((m, n)))


@pytest.mark.parametrize(
    ("a", "w", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2), int), "a is float64 of shape (2, 3); allowed: an integer matrix"),
        (np.zeros((2, 3), int), np.zeros(3, int), "w is int64 of shape (3,); allowed: an integer matrix"),
        (np.zeros((2, 3), bool), np.zeros((3, 2), int), "a is bool of shape (2, 3); allowed: an integer matrix"),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), "a (2, 3) times w (2, 3); allowed: (M, K) times (K, N)"),
        (np.full((1, 2), 1 << 31), np.full((2, 1), 1 << 31), f"K * max|a| * max|w| = {1 << 63}; allowed: below 2^63"),
        (np.full((1, 1), -(1 << 63)), np.ones((1, 1), int), f"K * max|a| * max|w| = {1 << 63}; allowed: below 2^63"),
    ],
)
def test_refused(a: np.ndarray, w: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        exact_gemm(a, w)
