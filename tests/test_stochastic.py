"""Stochastic rounding (rule R2): explicit words, the same bits for every axis, exact probabilities."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim.spec import LFSR, Counter, load_format
from qsim.spec.random import words
from tests.strategies import NAMES, arrays, geometries

kernels = pytest.mark.kernels
STOCHASTIC = [n for n in NAMES if load_format(n).family != "ternary"]
FP32_ONE = np.array(0x3F800000, np.uint32)


def sources() -> st.SearchStrategy[Counter | LFSR]:
    """Both generators, registers of every width."""
    registers = st.integers(2, 64).flatmap(
        lambda n: st.builds(LFSR, st.integers(1, (1 << n) - 1), st.integers(1, (1 << n) - 1), st.just(n))
    )
    return st.one_of(st.builds(Counter, st.integers(0, 2**64 - 1)), registers)


def test_words_by_hand() -> None:
    """splitmix64 of seed 0 starts 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4; a register of 4 bits steps as written out.

    The first two are the published start of splitmix64 (Vigna's splitmix64.c, seed 0).
    """
    assert words(Counter(0), 2, 16) == [0xE220, 0x6E78]
    # 1001 -> 0100 ^ 1100 = 1000 -> 0100 -> 0010 -> 0001 -> 1100
    assert words(LFSR(0b1001, 0b1100, 4), 6, 1) == [1, 0, 0, 0, 1, 0]
    assert words(LFSR(0b1001, 0b1100, 4), 3, 2) == [0b01, 0b00, 0b01]


@kernels
@settings(deadline=None, max_examples=60)
@given(source=sources(), r=st.integers(1, 16), n=st.integers(0, 40))
def test_generators_draw_the_words_of_the_spec(source: Counter | LFSR, r: int, n: int) -> None:
    """encode(random=source) = encode(random=words(source, n, r)): element i takes word i."""
    x = np.linspace(-3, 3, n, dtype=np.float32)
    explicit = np.array(words(source, n, r), np.int64)
    one, two = (
        qsim.encode(x, "int8", rounding="stochastic", random_bits=r, random=w, scales=(FP32_ONE,)) for w in (source, explicit)
    )
    np.testing.assert_array_equal(one.codes, two.codes)
    if isinstance(source, Counter):
        seeded = qsim.encode(x, "int8", rounding="stochastic", random_bits=r, random=source.seed, scales=(FP32_ONE,))
        np.testing.assert_array_equal(seeded.codes, two.codes)


@pytest.mark.parametrize("source", [Counter(7), LFSR(0xACE1)])
def test_words_of_a_large_tensor(source: Counter | LFSR) -> None:
    """Word number i stays with element i beyond the first piece of work: 2^18 + 301 halves round up where the word's top bit is 1."""
    n = (1 << 18) + 301
    x = np.full(n, 0.5, np.float32)
    codes = qsim.encode(x, "int8", rounding="stochastic", random_bits=3, random=source, scales=(FP32_ONE,)).codes
    tail = n - 310
    expected = words(source, n, 3)
    assert codes[tail:].tolist() == [w >> 2 for w in expected[tail:]]
    assert int(codes.sum()) == sum(w >> 2 for w in expected)


@kernels
@pytest.mark.parametrize("name", STOCHASTIC)
@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_words_belong_to_elements_in_c_order(name: str, data: Any) -> None:
    """Moving the axes of the input and of its words moves the codes: word i is that of element i in C order, whatever the axis."""
    fmt = load_format(name)
    x = data.draw(arrays(max_size=40).filter(lambda a: a.ndim >= 1))
    geometry = data.draw(geometries(fmt, x.shape))
    options = {"rounding": "stochastic", "random_bits": data.draw(st.sampled_from([1, 8, 16]))}
    options |= {"scale_overflow": "saturate"} if fmt.family in ("absmax", "vsq", "affine", "nvfp4") else {}
    seed = data.draw(st.integers(0, 2**64 - 1))
    explicit = np.array(words(Counter(seed), x.size, options["random_bits"]), np.int64).reshape(x.shape)
    q = qsim.encode(x, fmt, random=seed, **geometry, **options)
    order = data.draw(st.permutations(range(x.ndim)))
    moved = {k: order.index(v) if k.endswith("axis") else v for k, v in geometry.items()}
    t = qsim.encode(x.transpose(order), fmt, random=explicit.transpose(order), **moved, **options)
    np.testing.assert_array_equal(t.codes, q.codes.transpose(order))


def test_plain_floats_and_whole_tensors_do_not_see_the_axis() -> None:
    """Where no group runs along `axis`, the axis changes nothing."""
    x = np.random.default_rng(5).standard_normal((6, 7, 5)).astype(np.float32)
    for name in ("fp8_e4m3", "int4", "uint8", "binary"):
        codes = [qsim.encode(x, name, axis=a, rounding="stochastic", random=3).codes for a in (0, 1, 2)]
        np.testing.assert_array_equal(codes[0], codes[1])
        np.testing.assert_array_equal(codes[0], codes[2])


def rounded_up(x: np.ndarray, name: str, r: int, **held: Any) -> np.ndarray:
    """For each value of x, how many of the 2^r words give a larger magnitude than toward_zero does."""
    table = np.broadcast_to(x[:, None], (x.size, 1 << r))
    random = np.broadcast_to(np.arange(1 << r), table.shape)
    down = np.abs(qsim.quantize(x, name, rounding="toward_zero", **held))
    values = np.abs(qsim.quantize(table, name, rounding="stochastic", random_bits=r, random=random, **held))
    assert ((values == down[:, None]) | (values > down[:, None])).all()
    return np.count_nonzero(values > down[:, None], axis=1)


@pytest.mark.parametrize("r", [*(pytest.param(r, marks=kernels) for r in (1, 2, 3, 5)), 8])
@pytest.mark.parametrize("sign", [1, -1])
def test_probability_is_the_truncated_fraction(r: int, sign: int) -> None:
    """Of the 2^r words exactly f round n + f/2^r + d up in magnitude, 0 <= d < 2^-r: P(up) = floor(frac * 2^r) / 2^r.

    Units: the last bit of INT8 (scale 1), of E4M3 in its binade, of MX9's pair. Every fraction f, with d = 0 and d just below 2^-r.
    """
    f = np.arange(1 << r)
    for d in (0.0, 2.0**-r - 2.0**-14):
        fraction = (f / 2.0**r + d).astype(np.float64)
        x = (sign * (5 + fraction)).astype(np.float32)  # 5.111.. needs 3 + 14 bits: exact
        np.testing.assert_array_equal(rounded_up(x, "int8", r, scales=(FP32_ONE,)), f)
        np.testing.assert_array_equal(rounded_up(sign * np.ldexp(9 + fraction, 3).astype(np.float32), "fp8_e4m3", r), f)
        shared = (np.full((x.size, 1), 0, np.uint8), np.full((x.size, 1), 127 + 6, np.uint8))
        pairs = {"scales": shared}
        single = x[:, None]  # one element a block: step 2^(133 - 127 - 6) = 1
        up = np.zeros(x.size, int)
        for w in range(1 << r):
            q = qsim.encode(single, "mx9", rounding="stochastic", random_bits=r, random=np.full(single.shape, w), **pairs)
            up += np.abs(q.integers[:, 0]) == 6
        np.testing.assert_array_equal(up, f)


@pytest.mark.parametrize("r", [9, 12, 16])
def test_probability_with_many_bits(r: int) -> None:
    """As above up to 16 bits, at both ends and around the middle of the fractions; the fraction's lower bits are cut, not rounded."""
    f = np.array([0, 1, 2, (1 << (r - 1)) - 1, 1 << (r - 1), (1 << r) - 1])
    for d in (0.0, 2.0**-r - 2.0**-20):
        x = (3 + f / 2.0**r + d).astype(np.float32)  # 2 + 20 bits: exact
        np.testing.assert_array_equal(rounded_up(x, "int8", r, scales=(FP32_ONE,)), f)


@kernels
@pytest.mark.parametrize("r", [1, 3, 8])
def test_probability_of_plus_one(r: int) -> None:
    """Binary: of the 2^r words exactly those below p * 2^r give +1, p = clip((x + 1) / 2, 0, 1) (rule B)."""
    x = np.array([-2.0, -1.0, -0.75, -1e-3, -(2.0**-149), 0.0, 2.0**-149, 0.3, 1 - 2.0**-24, 1.0, 5.0], np.float32)
    table = np.broadcast_to(x[:, None], (x.size, 1 << r))
    random = np.broadcast_to(np.arange(1 << r), table.shape)
    codes = qsim.encode(table, "binary", rounding="stochastic", random_bits=r, random=random).codes
    p = [min(max((Fraction(v) + 1) / 2, Fraction(0)), Fraction(1)) for v in x.tolist()]
    assert codes.sum(axis=1).tolist() == [-(-q * (1 << r) // 1) for q in p]


@pytest.mark.parametrize(
    ("random", "error"),
    [
        (None, ValueError),
        (np.zeros(4, np.int64), ValueError),
        (np.full(3, 256), ValueError),
        (np.full(3, -1), ValueError),
        (np.zeros(3), TypeError),
        (True, TypeError),
        (-1, ValueError),
        (1 << 64, ValueError),
    ],
)
def test_bad_words_are_refused(random: Any, error: type[Exception]) -> None:
    """No words, another shape, words of more than r bits, words that are no integers, a seed out of range."""
    with pytest.raises(error, match=r"R2|seed|random"):
        qsim.encode(np.zeros(3, np.float32), "int8", rounding="stochastic", random=random)


def test_words_without_stochastic_rounding_are_refused() -> None:
    """random= would be ignored silently."""
    with pytest.raises(ValueError, match="stochastic"):
        qsim.encode(np.zeros(3, np.float32), "int8", random=1)
