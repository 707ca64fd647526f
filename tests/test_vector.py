"""The vector kernels give the portable kernels' bits, on large tensors of inputs that bite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qsim
from qsim.kernels import vector
from qsim.spec import load_format
from qsim.spec.options import allowed_values
from tests.strategies import NAMES

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not vector.available(), reason="the vector kernels need AVX2 and the JIT; the portable ones run instead"),
]


def biting(seed: int, n: int) -> np.ndarray:
    """Blocks of one to four binades with short significands (ties), neighbours of powers of two, zeros, subnormals, anything."""
    rng = np.random.default_rng(seed)
    base = np.repeat(rng.integers(0, 255, n // 16), 16)
    field = np.where(rng.random(n) < 0.8, np.maximum(base - rng.integers(0, 5, n), 0), rng.integers(0, 255, n))
    short = rng.integers(0, 1 << rng.integers(1, 12, n)) << 12
    near = rng.choice([0, 1, 2, 0x7FFFFF, 0x7FFFFE, 0x400000, 0x3FFFFF, 0x400001], n)
    fraction = np.select([rng.random(n) < 0.5, rng.random(n) < 0.6], [short & 0x7FFFFF, near], rng.integers(0, 1 << 23, n))
    bits = (rng.integers(0, 2, n) << 31 | field << 23 | fraction).astype(np.uint32)
    bits[rng.random(n) < 0.05] &= 0x80000000
    quiet = np.repeat(rng.random(n // 16) < 0.05, 16)
    bits[quiet] &= 0x807FFFFF
    bits[np.repeat(rng.random(n // 16) < 0.03, 16)] &= 0x80000000
    return bits.view(np.float32)


def inputs(name: str) -> dict[str, np.ndarray]:
    """Wide inputs; narrow ones (30 binades at most), where a scale of the whole tensor leaves most elements alive; real data."""
    wide = biting(1, 1 << 14)
    u = biting(2, 1 << 14).view(np.uint32)
    narrow = ((u & 0x807FFFFF) | (118 + (u >> 23) % 9) << 23).astype(np.uint32).view(np.float32)
    gauss = np.random.default_rng(3).standard_normal(4096).astype(np.float32)
    found = {"wide": wide, "narrow": narrow, "gauss": gauss, "short": narrow[:4083], "matrix": narrow.reshape(32, 512)}
    if load_format(name).family in ("float", "microexponent", "ocp") and load_format(name).element.specials != "none":
        special = wide.copy()
        special[5::1000] = np.inf
        special[7::1000] = np.nan
        found["special"] = special
    return found


def grains(name: str) -> list[Any]:
    return [None, "channel", 32] if load_format(name).granularity is not None else [None]


def call_portable(monkeypatch: pytest.MonkeyPatch, call: Any) -> Any:
    with monkeypatch.context() as m:
        m.setattr(vector, "available", lambda: False)
        return call()


def both(monkeypatch: pytest.MonkeyPatch, call: Any) -> tuple[Any, Any]:
    return call_portable(monkeypatch, call), call()


def assert_same(a: Any, b: Any) -> None:
    for left, right in zip((*a.scales, a.codes), (*b.scales, b.codes), strict=True):
        assert np.array_equal(left, right)
    assert (a.zero_point is None) == (b.zero_point is None)
    if a.zero_point is not None:
        assert np.array_equal(a.zero_point, b.zero_point)


@pytest.mark.parametrize("name", NAMES)
def test_encode(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """encode gives the same codes, scales and zero points with and without the vector kernels, in every rounding mode."""
    fmt = load_format(name)
    modes = allowed_values("rounding", fmt) or ("half_even",)
    for kind, x in inputs(name).items():
        for rounding in modes if kind in ("wide", "narrow") else ("half_even", "stochastic") if len(modes) > 1 else modes:
            random = 7 if rounding == "stochastic" else None
            for grain in grains(name):

                def call(x: Any = x, grain: Any = grain, rounding: Any = rounding, random: Any = random) -> Any:
                    options = {} if fmt.family == "ternary" else {"rounding": rounding, "random": random}
                    return qsim.encode(x, fmt, granularity=grain, **options)

                try:
                    portable = call_portable(monkeypatch, call)
                except ValueError:
                    with pytest.raises(ValueError, match=name):
                        call()
                    continue
                assert_same(portable, call())


@pytest.mark.parametrize("name", NAMES)
def test_options(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every single option gives the same bits with and without the vector kernels."""
    fmt = load_format(name)
    x = inputs(name)["narrow"]
    for option in (
        "scale_rule",
        "narrow_range",
        "signed_zero",
        "overflow",
        "scale_overflow",
        "min_scale",
        "order",
        "subnormals",
        "nonfinite",
    ):
        for value in allowed_values(option, fmt):
            assert_same(*both(monkeypatch, lambda o=option, v=value: qsim.encode(x, fmt, **{o: v})))


@pytest.mark.parametrize("name", NAMES)
def test_decode(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """decode gives the same float32 with and without the vector kernels, on random codes and scales, NaN as NaN."""
    fmt = load_format(name)
    rng = np.random.default_rng(4)
    for grain in grains(name):
        for shape in ((4096,), (7, 512), (3, 77)):
            q = qsim.encode(inputs(name)["narrow"][: int(np.prod(shape))].reshape(shape), fmt, granularity=grain)
            q.codes_moved[...] = rng.integers(0, 1 << fmt.element.bits, q.codes_moved.shape)
            for codes, scale in zip(q.scales_moved, q.format.scales, strict=True):
                top = scale.float_type.max_code + 1 if scale.kind == "float" else 1 << scale.bits
                codes[...] = rng.integers(1 if scale.kind == "float" else 0, top, codes.shape)
            portable, lanes = both(monkeypatch, q.decode)
            nan = np.isnan(portable)
            assert np.array_equal(nan, np.isnan(lanes))
            assert np.array_equal(portable.view(np.uint32)[~nan], lanes.view(np.uint32)[~nan])
