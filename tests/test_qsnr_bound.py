"""The worst QSNR of an MX block: the theorem of docs/qsnr-bound.md, in integers and Fractions, by Hypothesis and by search."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim.spec import load_format
from tests.strategies import float32_bits

K1, K2 = 16, 2
MAGNITUDE_BITS = {"mx9": 7, "mx6": 4, "mx4": 2}
HALF_MODES = ("half_even", "half_away", "half_up", "half_down", "half_zero")
#: signal / noise of the worst block that exists (docs/qsnr-bound.md, "How tight it is")
WORST = {"mx9": Fraction(33291, 11), "mx6": Fraction(587, 11), "mx4": Fraction(41, 9)}
names = pytest.mark.parametrize("name", MAGNITUDE_BITS)


def bound(name: str) -> Fraction:
    """4^m * 4 / (k1 + 3 k2): the theorem's signal / noise."""
    return Fraction(4 ** MAGNITUDE_BITS[name] * 4, K1 + 3 * K2)


def powers(x: np.ndarray, name: str, mode: str) -> list[tuple[Fraction, Fraction]]:
    """(signal, noise) of each row of x as one block, exact."""
    y = qsim.quantize(x, name, rounding=mode)
    return [
        (sum(Fraction(v) ** 2 for v in a), sum((Fraction(v) - Fraction(w)) ** 2 for v, w in zip(a, b, strict=True)))
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
    ]


def test_the_formats_are_those_of_the_theorem() -> None:
    """k1 = 16, k2 = 2, one-bit microexponents, m = 7, 4, 2; 22 = k1 + 3 k2."""
    for name, m in MAGNITUDE_BITS.items():
        fmt = load_format(name)
        assert [(s.type, s.group) for s in fmt.scales] == [("E1M0", K2), ("E8M0", K1)]
        assert fmt.element.magnitude_bits == m
        assert K1 + 3 * K2 == 22
        assert bound(name) < WORST[name] < bound(name) * Fraction(8, 5)


def worst_block(m: int) -> list[Fraction]:
    """The block of least QSNR in units of the step u of its maximum, A = 2^(m-1): a pair {A + d, 1/2}, then fourteen 1/4.

    d = 1/2, a tie, for m > 2; for m = 2 the grid point A itself, as half a step more signal there outweighs the error.
    """
    top = Fraction(2 ** (m - 1)) + (Fraction(1, 2) if m > 2 else 0)
    return [top, Fraction(1, 2), *[Fraction(1, 4)] * 14]


@names
@pytest.mark.parametrize("mode", HALF_MODES)
def test_the_worst_block_is_reached(name: str, mode: str) -> None:
    """worst_block has exactly the signal / noise WORST in every half_* mode, with any signs, at every exponent of the maximum."""
    m = MAGNITUDE_BITS[name]
    block = np.array([float(v) for v in worst_block(m)])
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (5, K1))
    for e in (-126 - (m - 1), -40, 0, 60, 127 - (m - 1)):
        for signal, noise in powers(np.ldexp(block * signs, e).astype(np.float32), name, mode):
            assert signal == WORST[name] * noise


@st.composite
def block(draw: Any) -> np.ndarray:
    """A block of 1 to 16 float32: one maximum of at least 2^-126, the others of any size below, or 0 to 9 binades below it."""
    n = draw(st.integers(1, K1))
    field = draw(st.one_of(st.integers(1, 254), st.sampled_from([1, 2, 8, 127, 254])))
    near = st.builds(
        lambda sign, down, low: sign | max(field - down, 0) << 23 | low,
        st.sampled_from([0, 1 << 31]),
        st.integers(0, 9),
        st.one_of(
            st.sampled_from([0, 1, 0x7FFFFF, 0x400000]), st.integers(0, 255).map(lambda k: k << 15), st.integers(0, 0x7FFFFF)
        ),
    )
    bits = draw(st.lists(st.one_of(near, near, float32_bits()), min_size=n, max_size=n))
    bits = [b if b >> 23 & 255 <= field else b & 0x807FFFFF | field << 23 for b in bits]
    place = draw(st.integers(0, n - 1))
    bits[place] = bits[place] & 0x807FFFFF | field << 23
    return np.array(bits, np.uint32).view(np.float32)


@names
@settings(deadline=None, max_examples=150)
@given(x=block(), mode=st.sampled_from(HALF_MODES))
def test_qsnr_of_every_block(name: str, x: np.ndarray, mode: str) -> None:
    """Signal >= 4^m * 4/22 * noise, for every block (partial ones too) with amax >= 2^-126 and every half_* mode.

    In dB: QSNR >= 20 log10(2) m + 10 log10(4/22). No block is below WORST either, which is the least value and larger.
    """
    for signal, noise in powers(x[None], name, mode):
        assert signal >= bound(name) * noise
        assert signal >= WORST[name] * noise


@names
def test_error_of_each_element(name: str) -> None:
    """At most half a step for an element that is not saturated, below a whole step for one that is, and then |x| is near the pair's top.

    step = u with tau = 0, u/2 with tau = 1. Values: ties, ties beside a float32, one ulp below the pair's end, random.
    """
    m = MAGNITUDE_BITS[name]
    rng = np.random.default_rng(2)
    ties = (2 * rng.integers(0, 1 << (m + 2), (400, K1)) + 1) / 2.0 ** (m + 3)
    below = np.full((50, K1), 1 - 2.0**-24) * 2.0 ** -rng.integers(0, 2, (50, K1))
    x = np.concatenate([ties, np.nextafter(ties.astype(np.float32), np.float32(0)), below, rng.random((100, K1))]).astype(
        np.float32
    )
    x[:, 0] = np.where(rng.random(len(x)) < 0.5, 0.5, np.float32(1 - 2.0**-24))  # 1/2 <= amax < 1: A = 1/2
    q = qsim.encode(x, name)
    tau = np.repeat(q.scales[0], K2, axis=1)
    step = np.ldexp(1.0, -m - tau.astype(int))
    error = np.abs(x.astype(np.float64) - q.decode("float64"))
    top = (2**m - 1) * step
    saturated = np.abs(x) >= top + step / 2
    assert saturated[:, 1:].any()
    assert (tau[saturated] == 1).any()
    assert (tau[saturated] == 0).any()
    assert (error <= step / 2)[~saturated].all()
    assert (error < step)[saturated].all()
    assert (error >= step / 2)[saturated].all()
    assert (np.abs(q.integers) == 2**m - 1)[saturated].all()


def candidates(m: int) -> np.ndarray:
    """Values of one element in units of u, from 0 to below 2A, where the error or the signal has a corner: all the worst ones.

    Every grid point and tie of both steps, those one float32 ulp beside, and the ends of both ranges with the last float32 below them.
    """
    quarters = np.arange(0, 2 ** (m + 2), dtype=np.float32) / 4
    beside = [np.nextafter(quarters, np.float32(np.inf)), np.nextafter(quarters[1:], np.float32(0))]
    ends = np.nextafter(np.array([2 ** (m - 1), 2**m], np.float32), np.float32(0))
    every = np.unique(np.concatenate([quarters, *beside, ends]))
    return every[every < 2**m]


def search(name: str, seed: int) -> Fraction:
    """Least signal / noise by coordinate search: change one element to the best candidate until no change helps; exact ratios.

    A float64 estimate orders the candidates (their squares are exact or nearly so); the accepted value is compared in Fractions.
    """
    m = MAGNITUDE_BITS[name]
    pool = candidates(m)
    rng = np.random.default_rng(seed)
    x = rng.choice(pool, K1).astype(np.float32)
    x[0] = rng.choice(pool[pool >= 2 ** (m - 1)])  # A <= amax < 2A throughout
    best = Fraction(10**9)
    while True:
        start = best
        for i in rng.permutation(K1):
            choices = pool if i or (np.delete(np.abs(x), i) >= 2 ** (m - 1)).any() else pool[pool >= 2 ** (m - 1)]
            tried = np.repeat(x[None], choices.size, axis=0)
            tried[:, i] = choices
            wide = tried.astype(np.float64)
            noise = ((wide - qsim.quantize(tried, name)) ** 2).sum(axis=1)
            signal = (wide**2).sum(axis=1)
            ratio = np.divide(signal, noise, out=np.full_like(signal, np.inf), where=noise > 0)
            k = int(ratio.argmin())
            exact_signal, exact_noise = powers(tried[k : k + 1], name, "half_even")[0]
            assert exact_signal >= bound(name) * exact_noise
            if exact_noise and exact_signal / exact_noise < best:
                best = exact_signal / exact_noise
                x = tried[k]
        if best == start:
            return best


@names
def test_adversarial_search_ends_at_the_worst_block(name: str) -> None:
    """From 12 random blocks a coordinate search never goes below WORST, and reaches it: the bound is nearly tight and never broken."""
    found = [search(name, seed) for seed in range(12)]
    assert min(found) == WORST[name]


@names
def test_the_bound_needs_its_premises(name: str) -> None:
    """Below 2^-126, with directed modes, and with subnormals="flush", a block may be worse than the bound."""
    m = MAGNITUDE_BITS[name]
    tiny = np.array([[2.0**-149] * K1], np.float32)
    assert [noise == signal for signal, noise in powers(tiny, name, "half_even")] == [True]
    near = np.array([[2.0 ** (m - 1), *[np.nextafter(np.float32(0.5), np.float32(0))] * 15]], np.float32)
    ((signal, noise),) = powers(near, name, "toward_zero")
    assert signal < bound(name) * noise
    flushed = np.array([[2.0**-126, *[np.nextafter(np.float32(2.0**-126), np.float32(0))] * 15]], np.float32)
    y = qsim.quantize(flushed, name, subnormals="flush")
    noise = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(flushed[0].tolist(), y[0].tolist(), strict=True))
    assert sum(Fraction(a) ** 2 for a in flushed[0].tolist()) < bound(name) * noise
