"""qsim.ranges (rules C): laws of calibrators, the stacks' own results, and how good the thresholds are."""

from __future__ import annotations

import copy
import json
import math
import pickle
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim import ranges
from qsim.cli import main
from qsim.explore.metrics import metrics
from qsim.explore.thresholds import METHODS
from qsim.ranges.analytic import SLOPES, optimal_alpha
from qsim.ranges.exact import float32_nearest
from qsim.ranges.mse import integer_format
from qsim.reference.numbers import round_to_float
from qsim.spec.number import FLOAT32
from tests.strategies import arrays, float32_bits

DATA = Path(__file__).parent / "data"
ORACLE, STREAMS = np.load(DATA / "kl_oracle.npz"), np.load(DATA / "kl_streams.npz")
KINDS = ("gauss", "laplace", "t3", "half0", "outlier", "relu")
Make = Callable[..., ranges.Calibrator]

#: Whose result depends on the multiset of values (or of batches) only.
ORDER_FREE: dict[str, Make] = {
    "absmax": ranges.AbsMax,
    "minmax": lambda **k: ranges.MinMax(symmetric=False, **k),
    "mean": lambda **k: ranges.MeanMinMax(symmetric=False, **k),
    "percentile": lambda **k: ranges.Percentile(90, **k),
    "percentile_affine": lambda **k: ranges.Percentile(90, symmetric=False, **k),
    "percentile_grid": lambda **k: ranges.Percentile(90, variant="modelopt", bins=64, amax=3.0, **k),
    "mse": lambda **k: ranges.MSE(bits=3, octaves=1, **k),
    "octav": lambda **k: ranges.OCTAV(bits=4, **k),
    "octav_one_sided": lambda **k: ranges.OCTAV(bits=4, step="grid", symmetric=False, **k),
    "laplace": lambda **k: ranges.Analytic(bits=4, **k),
    "gauss": lambda **k: ranges.Analytic(bits=4, distribution="gauss", symmetric=False, **k),
}
MERGEABLE = ORDER_FREE | {"ema": lambda **k: ranges.EMA(smoothing=0.9, symmetric=False, **k)}


def observed(make: Make, batches: Any, **how: Any) -> ranges.Calibrator:
    calibrator = make(**how)
    for batch in batches:
        calibrator.observe(batch)
    return calibrator


def same_limits(a: ranges.Calibrator, b: ranges.Calibrator) -> None:
    """Equal bits, shapes and numbers of batches."""
    assert a.batches == b.batches
    for mine, other in zip(map(np.asarray, a.limits()), map(np.asarray, b.limits()), strict=True):
        assert mine.dtype == other.dtype == np.float32
        assert mine.shape == other.shape
        assert np.array_equal(mine.view(np.uint32), other.view(np.uint32))


# --- merging ---


@pytest.mark.parametrize("name", MERGEABLE)
@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_merged_observers_are_one_observer(name: str, data: Any) -> None:
    """Two observers of two shards, merged, give the limits of one observer of all batches in that order, bit for bit."""
    how = data.draw(st.sampled_from([{}, {"axis": 0}, {"axis": 1}, {"group": 3}]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    widths = [5] * data.draw(st.integers(1, 5)) if "axis" not in how or how["axis"] else None
    count = len(widths) if widths else data.draw(st.integers(1, 5))
    batches = [(rng.standard_normal((3, 5)) * 2.0 ** rng.integers(-3, 4)).astype(np.float32) for _ in range(count)]
    cut = data.draw(st.integers(0, count))
    whole = observed(MERGEABLE[name], batches, **how)
    left, right = observed(MERGEABLE[name], batches[:cut], **how), observed(MERGEABLE[name], batches[cut:], **how)
    before = copy.deepcopy(right)

    merged = left.merge(pickle.loads(pickle.dumps(right)))

    assert merged is left
    same_limits(merged, whole)
    if count > cut:
        same_limits(right, before)


@pytest.mark.kernels
@pytest.mark.parametrize("name", ORDER_FREE)
@settings(deadline=None, max_examples=6)
@given(data=st.data())
def test_the_order_of_batches_does_not_matter(name: str, data: Any) -> None:
    """Any order of batches gives the same limits, bit for bit; for all but the mean of extremes any cut into batches too."""
    batches = [
        a.reshape(-1) for a in data.draw(st.lists(arrays(max_size=24).filter(lambda a: a.size > 0), min_size=1, max_size=4))
    ]
    shuffled = data.draw(st.permutations(batches))
    batches, shuffled = ([np.clip(b, -1e6, 1e6) for b in x] for x in (batches, shuffled))
    if name == "percentile_grid":
        batches, shuffled = ([np.clip(b, -50, 50) for b in x] for x in (batches, shuffled))

    same_limits(observed(ORDER_FREE[name], batches), observed(ORDER_FREE[name], shuffled))
    if name != "mean":
        one = observed(ORDER_FREE[name], [np.concatenate(shuffled)])
        assert one.limits() == observed(ORDER_FREE[name], batches).limits()


@pytest.mark.parametrize("variant", ["tensorrt", "onnxruntime"])
def test_kl_on_a_given_grid_merges_exactly(variant: str) -> None:
    """With amax= the counts, and so the limits, are those of one observer, whatever the shards."""
    rng = np.random.default_rng(3)
    batches = [(rng.standard_normal(4000) * s).astype(np.float32) for s in (1, 2, 0.5)]

    def make() -> ranges.KL:
        return ranges.KL(bits=6, variant=variant, bins=512, amax=3.0)

    same_limits(observed(make, batches[:1]).merge(observed(make, batches[1:])), observed(make, batches[::-1]))


def test_ema_depends_on_the_order() -> None:
    a, b = np.array([1.0], np.float32), np.array([2.0], np.float32)
    assert observed(ranges.EMA, [a, b], smoothing=0.75).limits()[1] == np.float32(1.25)
    assert observed(ranges.EMA, [b, a], smoothing=0.75).limits()[1] == np.float32(1.75)


@pytest.mark.parametrize("name", MERGEABLE)
def test_a_channel_is_a_tensor_of_its_own(name: str) -> None:
    """Limits per channel and per group are those of each channel and group alone."""
    batches = np.random.default_rng(7).standard_normal((2, 3, 4, 10)).astype(np.float32)
    low, high = observed(MERGEABLE[name], batches, axis=1).limits()
    assert low.shape == high.shape == (4,)
    for c in range(4):
        alone = observed(MERGEABLE[name], batches[:, :, c]).limits()
        assert (low[c], high[c]) == alone
    low, high = observed(MERGEABLE[name], batches, axis=1, group=3).limits()
    assert low.shape == (3, 2, 10)
    for g in np.ndindex(3, 2, 10):
        alone = observed(MERGEABLE[name], batches[:, g[0], 3 * g[1] : 3 * g[1] + 3, g[2]]).limits()
        assert (low[g], high[g]) == alone


@pytest.mark.parametrize("name", [*MERGEABLE, "kl"])
def test_threads_do_not_matter(name: str) -> None:
    """One thread or three, the same limits."""
    x = np.random.default_rng(8).standard_normal((2, 1 << 20 if name != "mse" else 1 << 19)).astype(np.float32)
    make = MERGEABLE.get(name, lambda: ranges.KL(bits=8))
    found = []
    for threads in (1, 3):
        qsim.set_num_threads(threads)
        found.append(observed(make, [x]).limits())
    qsim.set_num_threads(None)
    assert found[0] == found[1]


@pytest.mark.parametrize("name", MERGEABLE)
def test_encode_asks_a_calibrator(name: str) -> None:
    """encode(limits=calibrator) is encode(limits=calibrator.limits())."""
    x = np.random.default_rng(9).standard_normal((4, 32)).astype(np.float32)
    calibrator = observed(MERGEABLE[name], [x], axis=0)
    q, r = (qsim.encode(x, "int4", granularity="channel", limits=given) for given in (calibrator, calibrator.limits()))
    assert np.array_equal(q.codes, r.codes)
    assert np.array_equal(q.scales[0], r.scales[0])


# --- the stacks' own results ---


@pytest.mark.parametrize("kind", KINDS)
def test_kl_and_percentile_equal_the_stacks(kind: str) -> None:
    """The thresholds of nvidia-modelopt 0.47 and onnxruntime 1.32 on the same data, to the last bit."""
    x = ORACLE[f"x_{kind}"]
    assert ranges.KL(bits=8).observe(x).limits()[1] == np.float32(ORACLE[f"modelopt_entropy_{kind}"])
    ort = ranges.KL(bits=8, variant="onnxruntime", symmetric=False).observe(x).limits()
    assert np.array_equal(ort, ORACLE[f"ort_entropy_{kind}"].astype(np.float32))
    for p in (99.9, 99.99):
        found = ranges.Percentile(p, variant="modelopt").observe(x).limits()[1]
        assert found == np.float32(ORACLE[f"modelopt_percentile_{p}_{kind}"])


@pytest.mark.parametrize("key", sorted(name[2:] for name in STREAMS if name.startswith("x_")))
def test_streams_equal_the_stacks(key: str) -> None:
    """Batches that grow and shrink: counts, edges and thresholds of both stacks, to the last bit."""
    kl, ort = ranges.KL(bits=8), ranges.KL(bits=8, variant="onnxruntime", symmetric=False)
    percentile = ranges.Percentile(99.9, variant="modelopt")
    for batch in STREAMS[f"x_{key}"]:
        for calibrator in (kl, ort, percentile):
            calibrator.observe(batch)
    for stack, calibrator in (("modelopt", kl), ("ort", ort)):
        histogram = calibrator._store.of[0]
        assert np.array_equal(histogram.counts, STREAMS[f"{stack}_counts_{key}"])
        assert np.array_equal(histogram.edges, STREAMS[f"{stack}_edges_{key}"])
    assert kl.limits()[1] == np.float32(STREAMS[f"modelopt_entropy_{key}"])
    assert percentile.limits()[1] == np.float32(STREAMS[f"modelopt_percentile_{key}"])
    assert np.array_equal(ort.limits(), STREAMS[f"ort_entropy_{key}"].astype(np.float32))


def test_onnxruntime_defaults_have_one_candidate() -> None:
    """128 bins to 128 levels: the full range (onnxruntime issues 9597, 10261, 10571)."""
    x = ORACLE["x_outlier"]
    limits = ranges.KL(bits=8, variant="onnxruntime", bins=128, symmetric=False).observe(x).limits()
    assert limits == (x.min(), x.max())


# --- formulas ---


def noise(x: np.ndarray, bits: int, c: float) -> Callable[[float], float]:
    """OCTAV's own noise model J(s) of sorted magnitudes above 0."""
    suffix, squares = (np.append(np.cumsum(v[::-1])[::-1], 0.0) for v in (x, x * x))

    def value(s: float) -> float:
        k = int(np.searchsorted(x, s, side="right"))
        return float(c * s * s * k + squares[k] - 2 * s * suffix[k] + s * s * (x.size - k))

    return value


def magnitudes(kind: str) -> np.ndarray:
    x = np.abs(ORACLE[f"x_{kind}"].astype(np.float64))
    return np.sort(x[x > 0])


@pytest.mark.parametrize("kind", ["gauss", "laplace", "t3", "half0"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_octav_is_near_the_minimum_of_its_noise_model(kind: str, bits: int) -> None:
    """J at the fixed point is within 0.5 % of the minimum of J, which lies at a vertex or an end of a piece between values."""
    x, c = magnitudes(kind), 4.0**-bits / 3
    t = float(ranges.OCTAV(bits=bits).observe(ORACLE[f"x_{kind}"]).limits()[1])
    n = np.arange(x.size + 1)
    above = np.append(np.cumsum(x[::-1])[::-1], 0.0)
    squares = np.append(np.cumsum((x * x)[::-1])[::-1], 0.0)
    d = c * n + (x.size - n)
    low, high = np.append(0.0, x), np.append(x, np.inf)
    s = np.clip(above / d, low, high)
    least = (d * s * s - 2 * s * above + squares).min()

    assert noise(x, bits, c)(t) <= 1.005 * least


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_octav_lies_in_the_bin_of_newtons_fixed_point(kind: str, bits: int) -> None:
    """Newton's iteration on the values themselves ends in the same bin of 2^-7, as h is the same at the ends of every bin."""
    x, c = magnitudes(kind), 4.0**-bits / 3
    s, seen = float(x.mean()), []
    while s not in seen and len(seen) < 200:
        seen.append(s)
        k = int(np.searchsorted(x, s, side="right"))
        s = float(x[k:].sum() / (c * k + x.size - k))
    t = ranges.OCTAV(bits=bits).observe(ORACLE[f"x_{kind}"]).limits()[1]

    assert len(seen) < 30
    assert t.view(np.uint32) >> 16 == np.float32(s).view(np.uint32) >> 16


@pytest.mark.parametrize("kind", ["gauss", "laplace", "t3", "half0"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_octav_against_exhaustive_search(kind: str, bits: int) -> None:
    """Real squared error on the symmetric grid within 2 % of the best candidate: step="paper" from 4 bits on, step="grid" always."""
    x, fmt = ORACLE[f"x_{kind}"], integer_format(bits, True)

    def error(calibrator: ranges.Calibrator) -> float:
        return metrics(x, qsim.quantize(x.reshape(1, -1), fmt, limits=calibrator.observe(x)).reshape(-1)).mse

    best = error(ranges.MSE(bits=bits))
    assert error(ranges.OCTAV(bits=bits, step="grid")) <= 1.02 * best
    ratio = error(ranges.OCTAV(bits=bits)) / best
    assert ratio <= (1.02 if bits >= 4 else 1.08 if bits == 3 else 1.4)


@pytest.mark.parametrize("exponent", [-94, -96, -127, -130])
def test_octav_scales_with_the_data(exponent: int) -> None:
    """Values times a power of two, subnormal ones too, have the threshold times it, rounded; such batches merge in any order."""
    x = np.round(ORACLE["x_t3"][:2000].astype(np.float64).clip(-90, 90) * 2**16) * 2.0**-16  # exact at 2^-133
    small, tiny = ((x * 2.0**e).astype(np.float32) for e in (exponent, exponent - 3))
    t = ranges.OCTAV(bits=4).observe(x).limits()[1]
    assert abs(float(ranges.OCTAV(bits=4).observe(small).limits()[1]) - float(t) * 2.0**exponent) <= 2.0**-149
    batches = [np.zeros(4, np.float32), tiny, small]
    first = observed(ranges.OCTAV, batches)
    same_limits(first, observed(ranges.OCTAV, batches[::-1]))
    same_limits(first, observed(ranges.OCTAV, batches[1:2]).merge(observed(ranges.OCTAV, batches[::2])))


def test_octav_forgets_only_what_cannot_be_the_threshold() -> None:
    """Values 2^-32 of the largest and below are only counted; the order of small and large batches does not matter."""
    small, large = np.full(50, 1e-12, np.float32), np.linspace(1, 1e6, 50, dtype=np.float32)
    a, b = observed(lambda: ranges.OCTAV(bits=4), [small, large]), observed(lambda: ranges.OCTAV(bits=4), [large, small])
    same_limits(a, b)
    x, c = np.sort(np.concatenate([small, large]).astype(np.float64)), 4.0**-4 / 3
    k = int(np.searchsorted(x, float(a.limits()[1]), side="right"))
    assert x[k:].sum() / (c * k + x.size - k) == pytest.approx(float(a.limits()[1]), rel=2**-7)


@pytest.mark.parametrize(("distribution", "published"), [("laplace", (2.83, 3.89, 5.03)), ("gauss", (1.71, 2.15, 2.55))])
def test_analytic_equals_the_published_table(distribution: str, published: tuple[float, ...]) -> None:
    """ACIQ's alpha at 2, 3 and 4 bits within one of the last digit printed; the slope changes sign between neighbouring floats."""
    for bits, value in zip((2, 3, 4), published, strict=True):
        assert abs(optimal_alpha(bits, distribution) - value) < 0.01
    for bits in range(2, 17):
        alpha = optimal_alpha(bits, distribution)
        slope, c = SLOPES[distribution], 4.0**-bits / 3
        assert slope(math.nextafter(alpha, 0), c) < 0 <= slope(alpha, c)


def test_analytic_scale_is_the_exact_mean() -> None:
    x = ORACLE["x_gauss"][:1000]
    values = [Fraction(float(v)) for v in x]
    b = float(sum(map(abs, values)) / len(values))
    sigma = math.sqrt(sum(v * v for v in values) / len(values))
    assert ranges.Analytic(bits=4).observe(x).limits()[1] == np.float32(b * optimal_alpha(4))
    gauss = ranges.Analytic(bits=4, distribution="gauss").observe(x).limits()[1]
    assert gauss == np.float32(sigma * optimal_alpha(4, "gauss"))


@pytest.mark.parametrize("fmt", ["int4", "uint4", "vsq4", "nvfp4"])
def test_mse_takes_the_best_of_its_candidates(fmt: str) -> None:
    """No coarse candidate, and none near the threshold chosen, has less squared error, summed exactly."""
    x = (np.random.default_rng(2).standard_t(3, (1, 160))).astype(np.float32)
    affine = fmt == "uint4"
    calibrator = ranges.MSE(fmt=fmt, symmetric=not affine, octaves=2).observe(x)
    amax = float(np.abs(x).max())

    def error(t: float) -> Fraction:
        ends = (max(x.min(), np.float32(-t)), min(x.max(), np.float32(t))) if affine else (-t, t)
        y = qsim.quantize(x, fmt, limits=ends)
        return sum(((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x[0], y[0], strict=True)), Fraction(0))

    t = float(calibrator.limits()[1])
    chosen = error(t)
    coarse = [amax * m / 32 * 2.0**-k for k in range(2) for m in range(32, 16, -1)]
    slack = Fraction(x.size, 1 << 48) * Fraction(amax) ** 2
    assert all(chosen <= error(float(np.float32(c))) + slack for c in coarse)
    assert any(abs(t - float(np.float32(c))) <= c * 15 / 256 + 1e-6 for c in coarse)


@settings(deadline=None, max_examples=60)
@given(x=arrays(max_size=40).filter(lambda a: a.size > 0), p=st.sampled_from([0.5, 50, 99, 99.9, 100.0, 33.3]))
def test_exact_percentile(x: np.ndarray, p: float) -> None:
    """The least magnitude of the data that p % of the magnitudes do not exceed, p as the decimal printed."""
    t = ranges.Percentile(p).observe(x).limits()[1]
    ordered = np.sort(np.abs(x.reshape(-1)))
    wanted = next(v for v in ordered if Fraction(int((ordered <= v).sum()), ordered.size) >= Fraction(str(p)) / 100)
    assert t == wanted


def test_affine_percentile_cuts_both_sides() -> None:
    x = np.arange(-100, 101, dtype=np.float32)
    assert ranges.Percentile(90, symmetric=False).observe(x).limits() == (-90, 90)
    assert ranges.Percentile(100, symmetric=False).observe(x).limits() == (-100, 100)
    assert ranges.Percentile(50, symmetric=False).observe(x + 1000).limits()[0] == 0


@settings(deadline=None, max_examples=150)
@given(numbers=st.lists(float32_bits(), min_size=1, max_size=4), over=st.integers(1, 9))
def test_one_rounding_to_float32(numbers: list[int], over: int) -> None:
    """float32_nearest is the reference's half_even."""
    value = sum((FLOAT32.value(b) for b in numbers), Fraction(0)) / over
    assert int(np.abs(float32_nearest(value)).view(np.uint32)) == round_to_float(abs(value), FLOAT32)


def test_mean_of_extremes_is_exact() -> None:
    batches = np.random.default_rng(4).standard_normal((7, 30)).astype(np.float32)
    low, high = observed(lambda: ranges.MeanMinMax(symmetric=False), batches).limits()
    exact = [sum((Fraction(float(v)) for v in ends), Fraction(0)) / 7 for ends in (batches.min(axis=1), batches.max(axis=1))]
    assert (low, high) == tuple(float32_nearest(v) for v in exact)
    t = observed(ranges.MeanMinMax, batches).limits()[1]
    assert t == float32_nearest(sum((Fraction(float(v)) for v in np.abs(batches).max(axis=1)), Fraction(0)) / 7)


def test_ema_by_hand() -> None:
    """Section 3.1 of Jacob et al.: from the first batch's extremes, in float64."""
    batches = [np.array([-1.0, 3.0], np.float32), np.array([-2.0, 1.0], np.float32), np.array([1.0, 2.0], np.float32)]
    low, high = -1.0, 3.0
    for a, b in ((-2.0, 1.0), (0.0, 2.0)):
        low, high = 0.9 * low + (1.0 - 0.9) * a, 0.9 * high + (1.0 - 0.9) * b
    assert observed(lambda: ranges.EMA(smoothing=0.9, symmetric=False), batches).limits() == (np.float32(low), np.float32(high))


# --- scales of blocks by search ---


def test_vsq_scales_by_search_are_the_best_of_all() -> None:
    """Every vector's s_q has the least exact error of all fifteen, the rule's own where it is as good."""
    x = np.random.default_rng(5).standard_t(3, (2, 40)).astype(np.float32)
    q = qsim.encode(x, "vsq4")
    found, gamma = ranges.search_scales(x, "vsq4")
    assert np.array_equal(gamma, q.scales[1])
    for row, start in np.ndindex(2, 3):
        block = x[row, 16 * start : 16 * start + 16]

        def error(s: int, row: int = row, start: int = start, block: np.ndarray = block) -> Fraction:
            scales = q.scales[0].copy()
            scales[row, start] = s
            y = qsim.encode(x, "vsq4", scales=(scales, gamma)).decode()[row, 16 * start : 16 * start + 16]
            return sum(((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(block, y, strict=True)), Fraction(0))

        errors = {s: error(s) for s in range(1, 16)}
        assert errors[int(found[row, start])] == min(errors.values())


@pytest.mark.parametrize("fmt", ["vsq4", "nvfp4", "mxfp4", "mxfp6_e2m3", "mxfp8_e4m3", "mxint8"])
@pytest.mark.parametrize("axis", [0, -1])
def test_scales_by_search_are_never_worse(fmt: str, axis: int) -> None:
    """Block by block the squared error is at most that of the rule's scale; an all-zero block keeps its scale."""
    x = np.random.default_rng(6).laplace(size=(48, 50)).astype(np.float32)
    x[:33, 0] = x[0, :33] = 0
    channel = {"channel_axis": 1 + axis} if fmt == "vsq4" else {}
    q = qsim.encode(x, fmt, axis=axis, **channel)
    scales = ranges.search_scales(x, fmt, axis=axis, **channel)
    y = qsim.quantize(x, fmt, axis=axis, scales=scales, **channel)
    k = q.format.block_size

    def errors(values: np.ndarray) -> np.ndarray:
        e = np.moveaxis((values.astype(np.float64) - x) ** 2, axis, -1)
        return np.add.reduceat(e, np.arange(0, e.shape[-1], k), axis=-1)

    assert (errors(y) <= errors(q.decode()) * (1 + 1e-12)).all()
    assert errors(y).sum() < errors(q.decode()).sum()
    zero = np.moveaxis(scales[0] == q.scales[0], axis, -1)[0, 0] if axis == -1 else (scales[0] == q.scales[0])[0, 0]
    assert zero


def test_blocks_of_a_channel_that_lies_last() -> None:
    """MSE for vsq4 with the channels along the last dimension is that of the transposed tensor with them along the first."""
    x = np.random.default_rng(12).standard_t(3, (32, 5)).astype(np.float32)
    last = ranges.MSE(fmt="vsq4", axis=1, octaves=1).observe(x).observe(2 * x)
    first = ranges.MSE(fmt="vsq4", axis=0, octaves=1).observe(x.T).observe(2 * x.T)
    assert np.array_equal(last.limits(), first.limits())
    q = qsim.encode(x, "vsq4", axis=0, channel_axis=1, limits=last)
    assert np.array_equal(q.codes.T, qsim.encode(x.T, "vsq4", limits=first).codes)


def test_outer_levels_of_block_formats_by_mse_and_kl() -> None:
    """gamma of a channel and g of a tensor by search: never more squared error than by the largest magnitude."""
    x = np.random.default_rng(10).standard_t(2, (8, 256)).astype(np.float32)
    for fmt, how in (("vsq4", {"axis": 0}), ("nvfp4", {})):
        chosen = ranges.MSE(fmt=fmt, **how).observe(x)
        assert metrics(x, qsim.quantize(x, fmt, limits=chosen)).mse <= metrics(x, qsim.quantize(x, fmt)).mse
        kl = ranges.KL(fmt=fmt, **how).observe(x)
        assert qsim.encode(x, fmt, limits=kl).scales[1].shape == qsim.encode(x, fmt).scales[1].shape


# --- bad input, and input without information ---

ALL: dict[str, Make] = {
    name: MERGEABLE[name] for name in ("absmax", "minmax", "ema", "mean", "percentile", "mse", "octav", "laplace")
}
ALL |= {"kl": ranges.KL, "kl_onnxruntime": lambda **k: ranges.KL(variant="onnxruntime", **k)}


@pytest.mark.parametrize("name", ALL)
def test_no_values_no_limits(name: str) -> None:
    with pytest.raises(ValueError, match="no batch has been observed"):
        ALL[name]().limits()
    with pytest.raises(ValueError, match=r"batch 0 is empty, of shape \(0, 3\)"):
        ALL[name]().observe(np.zeros((0, 3), np.float32))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_named_and_change_nothing(name: str, bad: float) -> None:
    """The batch, the index and the count; the calibrator stays as it was."""
    x = np.random.default_rng(0).standard_normal((4, 600)).astype(np.float32)
    calibrator = ALL[name]().observe(x)
    before = copy.deepcopy(calibrator)
    x[2, 1] = x[3, 0] = bad
    with pytest.raises(ValueError, match=rf"batch 1: {bad} at index \[2, 1\], 2 of 2400 values"):
        calibrator.observe(x)
    same_limits(calibrator, before)


@pytest.mark.parametrize("name", ALL)
def test_all_zeros_have_the_range_zero(name: str) -> None:
    """(0, 0), with which a format's scale is 1.0 (rule S9)."""
    calibrator = ALL[name]().observe(np.zeros((2, 8), np.float32)).observe(-np.zeros(8, np.float32))
    low, high = calibrator.limits()
    assert (low, high) == (0, 0)
    assert not np.signbit([low, high]).any()
    assert not qsim.encode(np.zeros(8, np.float32), "int8", limits=calibrator).decode().any()


@pytest.mark.parametrize("name", [name for name in ALL if name != "laplace"])
@pytest.mark.parametrize("value", [0.3, -5.0, 1e-40, 3e38])
def test_a_constant_has_its_own_magnitude_as_threshold(name: str, value: float) -> None:
    """Of a constant tensor t is the constant's magnitude; the mean of equal extremes is it too."""
    x = np.full((3, 700), value, np.float32)
    low, high = ALL[name]().observe(x).limits()
    assert max(-low, high) == np.float32(abs(value))


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: ranges.KL(symmetric=False, **k),
        lambda **k: ranges.KL(variant="onnxruntime", **k),
        lambda **k: ranges.Percentile(variant="modelopt", symmetric=False, **k),
    ],
)
@pytest.mark.parametrize("amax", [None, 1e-30])
def test_a_batch_too_far_beyond_the_grid_changes_nothing(make: Make, amax: float | None) -> None:
    """It is named, and leaves every channel as it was, also where only the last one refuses."""
    x = np.random.default_rng(0).standard_normal((3, 600)).astype(np.float32) * np.float32(1e-30)
    calibrator = make(axis=0, amax=amax)
    if amax is not None:
        with pytest.raises(ValueError, match="batch 0: a value of"):
            calibrator.observe(np.ones((3, 2), np.float32))
        with pytest.raises(ValueError, match="no batch has been observed"):
            calibrator.limits()
    before = copy.deepcopy(calibrator.observe(x))
    x[2, 5] = 1.0
    with pytest.raises(ValueError, match="batch 1: a "):
        calibrator.observe(x)
    same_limits(calibrator, before)


def test_no_limit_is_infinite() -> None:
    """A threshold beyond float32 is the largest float32."""
    largest, x = np.finfo(np.float32).max, np.full(9, 3e38, np.float32)
    assert ranges.Analytic(bits=8).observe(x).limits() == (-largest, largest)
    assert ranges.KL(bits=2, bins=128, amax=3e38).observe(np.full(9, 3.4e38, np.float32)).limits() == (-largest, largest)


def test_kl_that_cannot_choose_says_so() -> None:
    with pytest.raises(ValueError, match="too many to smooth"):
        ranges.KL(variant="onnxruntime", bins=158 * 128).observe(np.ones(9, np.float32)).limits()
    with pytest.raises(ValueError, match="no candidate has a finite divergence"):
        ranges.KL(variant="onnxruntime", bins=2050).observe(np.ones(9, np.float32)).limits()
    for variant in ("tensorrt", "onnxruntime"):
        with pytest.raises(ValueError, match=r"a batch needs .* bins of the width that the first batch has set"):
            ranges.KL(variant=variant).observe(np.full(9, 1e-30, np.float32)).observe(np.ones(9, np.float32))
    with pytest.raises(ValueError, match="all magnitudes are in the first bin"):
        ranges.KL(amax=100.0).observe(np.full(9, 0.001, np.float32)).limits()
    with pytest.raises(ValueError, match="2\\^22 or more bins"):
        ranges.KL(amax=1e-9).observe(np.ones(9, np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ranges.AbsMax(symmetric=False), "allowed: MinMax"),
        (lambda: ranges.EMA(smoothing=1.0), "smoothing=1.0"),
        (lambda: ranges.Percentile(0), "percentile=0"),
        (lambda: ranges.Percentile(101), "percentile=101"),
        (lambda: ranges.Percentile(variant="x"), "variant='x'"),
        (lambda: ranges.Percentile(bins=64), "variant='modelopt' only"),
        (lambda: ranges.KL(bins=3), "bins=3"),
        (lambda: ranges.KL(bins=64), "allowed: 256 or more"),
        (lambda: ranges.KL(variant="trt"), "variant='trt'"),
        (lambda: ranges.KL(amax=-1.0), "amax=-1.0"),
        (lambda: ranges.OCTAV(bits=1), "bits=1"),
        (lambda: ranges.OCTAV(bits=4, fmt="int8"), "bits=4 with a format of 8 bits"),
        (lambda: ranges.OCTAV(step="half"), "step='half'"),
        (lambda: ranges.Analytic(distribution="t"), "distribution='t'"),
        (lambda: ranges.MSE(fmt="mx9"), "no range to choose"),
        (lambda: ranges.MSE(fmt="int8", symmetric=False), "allowed: True"),
        (lambda: ranges.MSE(fmt="nvfp4", axis=0), "one outermost scale a tensor"),
        (lambda: ranges.MSE(fmt="vsq4", group=16), "one outermost scale a channel"),
        (lambda: ranges.MSE(octaves=0), "octaves=0"),
        (lambda: ranges.MinMax(group=0), "group=0"),
        (lambda: ranges.OCTAV(fmt="mx9"), "no range to choose"),
        (lambda: ranges.KL(fmt="fp16"), "no range to choose"),
        (lambda: ranges.MSE(fmt="vsq4").observe(np.ones((2, 17), np.float32)), "a multiple of 16"),
        (lambda: ranges.MSE(fmt="vsq4", axis=1).observe(np.ones((17, 32), np.float32)), "axis 1 apart, that is a multiple of 16"),
        (lambda: ranges.MSE(fmt="vsq4", axis=0).observe(np.ones(32, np.float32)), "axis 0 apart, that is a multiple of 16"),
        (lambda: ranges.search_scales(np.ones(16, np.float32), "int8"), "does not apply to int8"),
        (lambda: ranges.search_scales(np.ones(16, np.float32), "vsq4", objective="kl"), "objective='kl'"),
        (lambda: ranges.search_scales(np.array([np.nan], np.float32), "mxfp4"), "NaN or infinite"),
    ],
)
def test_settings_that_cannot_be(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_merges_that_cannot_be() -> None:
    x = np.random.default_rng(0).standard_normal((4, 600)).astype(np.float32)
    with pytest.raises(ValueError, match="bits=8 here and 4 there"):
        ranges.OCTAV(bits=8).observe(x).merge(ranges.OCTAV(bits=4).observe(x))
    with pytest.raises(TypeError, match="AbsMax with MinMax"):
        ranges.AbsMax().merge(ranges.MinMax())
    with pytest.raises(ValueError, match=r"shape \(4,\), of batches \(4,\) here, and \(3,\)"):
        ranges.MinMax(axis=0).observe(x).merge(ranges.MinMax(axis=0).observe(x[:3]))
    for variant in ("tensorrt", "onnxruntime"):
        with pytest.raises(ValueError, match="allowed: with amax= given to both"):
            ranges.KL(variant=variant).observe(x).merge(ranges.KL(variant=variant).observe(x))
    with pytest.raises(ValueError, match="batch 1 has 3 channels along axis 0; the first batch had 4"):
        ranges.MinMax(axis=0).observe(x).observe(x[:3])
    with pytest.raises(ValueError, match="every batch has the shape of the first"):
        ranges.MinMax(group=4).observe(x).observe(x[:3])
    with pytest.raises(ValueError, match="axis=2 is out of range"):
        ranges.MinMax(axis=2).observe(x)
    with pytest.raises(TypeError, match="dtype int64"):
        ranges.MinMax().observe(np.arange(4))


# --- the command ---


def run(*args: object) -> Any:
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "w.npy", rng.standard_t(3, (8, 64)).astype(np.float32))
    np.savez(tmp_path / "acts.npz", a=rng.random((4, 64), np.float32), b=2 * rng.random((4, 64), np.float32), n=np.arange(3))
    return tmp_path / "w.npy", tmp_path / "acts.npz"


def test_calibrate_prints_every_method_side_by_side(files: tuple[Path, Path]) -> None:
    """A row a method: its range, what it clips and the SQNR that metrics() gives for it."""
    result = run("calibrate", files[0], "--bits", 4, "--json")
    rows = {row["method"]: row for row in json.loads(result.stdout)}
    x = np.load(files[0])

    assert result.exit_code == 0
    assert list(rows) == list(METHODS)
    octav = ranges.OCTAV(bits=4).observe(x)
    assert (rows["octav"]["low"], rows["octav"]["high"]) == tuple(float(v) for v in octav.limits())
    assert rows["octav"]["sqnr"] == metrics(x, qsim.quantize(x, "int4", limits=octav)).sqnr
    assert rows["octav"]["clipped"] == np.count_nonzero(np.abs(x) > octav.limits()[1]) / x.size
    assert rows["mse"]["sqnr"] > rows["minmax"]["sqnr"]
    table = run("calibrate", files[0], "--bits", 4).stdout
    assert all(method in table and method in run("calibrate", "--help").stdout for method in METHODS)
    assert f"{rows['octav']['sqnr']:.2f}" in table


def test_calibrate_batches_channels_and_formats(files: tuple[Path, Path]) -> None:
    """--batches observes every float array in turn; --axis gives a range a channel; integers are no values."""
    both = json.loads(run("calibrate", files[1], "--affine", "--batches", "--method", "mean_minmax", "--json").stdout)
    acts = np.load(files[1])
    assert [row["tensor"] for row in both] == ["2 batches"]
    assert both[0]["high"] == float(ranges.MeanMinMax(symmetric=False).observe(acts["a"]).observe(acts["b"]).limits()[1])
    assert both[0]["low"] == 0
    apart = json.loads(run("calibrate", files[1], "--method", "minmax", "--json").stdout)
    assert [row["tensor"] for row in apart] == ["a", "b"]
    channels = json.loads(run("calibrate", files[0], "--format", "vsq4", "--axis", 0, "--method", "mse", "--json").stdout)
    assert channels[0]["high"] == ranges.MSE(fmt="vsq4", axis=0).observe(np.load(files[0])).limits()[1].tolist()


def test_calibrate_without_a_file_takes_the_embedded_network() -> None:
    result = run("calibrate", "--method", "minmax", "--method", "octav", "--bits", 4)
    assert result.exit_code == 0
    assert result.stdout.count("octav") == 4
    assert "embedded network" in result.stdout


def test_calibrate_says_why_a_method_refuses(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1.0, np.nan], np.float32))
    result = run("calibrate", tmp_path / "x.npy", "--method", "octav")
    assert "batch 0: nan at index [1], 1 of 2 values are NaN" in result.stdout
    assert result.exit_code == 2
    assert result.stderr == "Error: no method gives a range; `note` says why\n"
    np.save(tmp_path / "y.npy", np.ones(4, np.float32))
    result = run("calibrate", tmp_path / "x.npy", tmp_path / "y.npy", "--method", "octav", "--json")
    assert result.exit_code == 0
    assert [row["high"] for row in json.loads(result.stdout)] == [None, 1.0]


def test_a_picture_leaves_out_what_no_method_takes(tmp_path: Path) -> None:
    """A tensor with NaN or without values has no panel; without any panel there is no picture."""
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    np.savez(tmp_path / "x.npz", a=np.array([1.0, np.nan], np.float32), b=np.zeros(0, np.float32))
    np.save(tmp_path / "y.npy", np.arange(9, dtype=np.float32))
    args = ("--method", "octav", "--plot", tmp_path / "p.svg")
    assert run("calibrate", tmp_path / "x.npz", *args).exit_code == 2
    assert not (tmp_path / "p.svg").exists()
    assert run("calibrate", tmp_path / "x.npz", tmp_path / "y.npy", *args).exit_code == 0
    assert (tmp_path / "p.svg").read_text().count("values a bin") == 1
    np.savez(tmp_path / "many.npz", **{f"t{i}": np.ones(3, np.float32) for i in range(13)})
    assert "13 distributions to draw; allowed: 1 to 12" in run("calibrate", tmp_path / "many.npz", *args).stderr


@pytest.mark.parametrize("kind", [".png", ".svg", ".pdf"])
def test_calibrate_plots(files: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    """A picture of that kind, the same bytes every time, and the table as ever."""
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    out = tmp_path / f"p{kind}"
    args = ("calibrate", files[0], "--method", "octav", "--method", "minmax", "--plot", out)
    result = run(*args)
    first = out.read_bytes()
    run(*args)

    assert result.exit_code == 0, result.output
    assert "octav" in result.stdout
    assert first.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[kind])
    assert out.read_bytes() == first


def test_a_picture_without_matplotlib_says_what_to_install(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("calibrate", files[0], "--plot", tmp_path / "p.png")
    assert result.exit_code == 2
    assert "a picture needs matplotlib: pip install 'qsim[plot]'" in result.stderr
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--method", "best"), "--method best: allowed: minmax"),
        (("--format", "mx9"), "has no range to choose"),
        (("--format", "int4", "--bits", "4"), "one of the two"),
        (("--format", "nvfp4", "--axis", "0"), "one range a tensor"),
        (("--bits", "1"), "1 is not in the range"),
        (("--plot", "p.gif"), "ends in .png, .svg, .pdf"),
        (("--plot", "p.png", "--axis", "0"), "--plot with --axis"),
        (("--plot", "no/p.png", "--method", "minmax"), "no folder no"),
    ],
)
def test_bad_use_of_calibrate_ends_with_2(files: tuple[Path, Path], args: tuple[str, ...], says: str) -> None:
    result = run("calibrate", files[0], *args)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
