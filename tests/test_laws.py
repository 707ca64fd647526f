"""Laws of encode, decode and quantize: each docstring states one, over every format, option and geometry."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim.codec import QTensor
from qsim.codec.lower import integer_range
from qsim.reference.groups import scale_indices
from qsim.spec import Element, Format
from qsim.spec.format import FAMILIES
from tests.adapters import outcome
from tests.strategies import arrays, format_options, formats, geometries

HALF_MODES = ("half_even", "half_away", "half_up", "half_down", "half_zero")
SMALLEST_NORMAL = 2.0**-126

families = pytest.mark.parametrize("family", FAMILIES)
kernels = pytest.mark.kernels


def held(q: QTensor) -> dict[str, Any]:
    """The arguments that hold q's scales and zero points fixed."""
    return {"scales": q.scales or None, "zero_point": q.zero_point}


def positive_zero(q: QTensor) -> list[int]:
    """Codes, with the code of -0 of a signed element as that of +0."""
    e = q.format.element
    minus = 1 << (e.bits - 1) if e.kind in ("float", "sign_magnitude") else -1
    return [0 if c == minus else int(c) for c in q.codes.reshape(-1)]


def code_one(q: QTensor) -> np.ndarray:
    """What code 1 decodes to at every element, without zero points: the product of the scales times the element's last bit."""
    zero = None if q.zero_point_moved is None else np.zeros_like(q.zero_point_moved)
    return replace(q, codes_moved=np.ones_like(q.codes_moved), zero_point_moved=zero).decode("float64")


@st.composite
def drawn(draw: Any, family: str, *, finite: bool = True, modes: tuple[str, ...] = ()) -> tuple[Any, ...]:
    """(input, format, geometry, options) of one family; with `modes`, the rounding is one of them where it is a choice."""
    fmt = draw(formats(family))
    x = draw(arrays(finite=finite, max_size=48))
    mode = draw(st.sampled_from(modes)) if modes and family != "ternary" else None
    options = draw(format_options(fmt, rounding="half_even" if mode and family == "binary" else mode))
    return x, fmt, draw(geometries(fmt, x.shape)), options


def words_if_stochastic(options: dict[str, Any], shape: tuple[int, ...], seed: int) -> np.ndarray | None:
    """Random words where the options need them."""
    if options.get("rounding") != "stochastic":
        return None
    return np.random.default_rng(seed).integers(0, 1 << options["random_bits"], shape)


# --- re-encoding ---


@kernels
@families
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_reencoding_with_scales_held_gives_the_same_codes(family: str, data: Any) -> None:
    """encode(y, scales=q.scales, zero_point=q.zero_point) of y = decode(q) has q's codes up to the sign of zero.

    It holds, element by element, where y is finite and
    - y is the exact product of its parts: in every mode, with any random words;
    - or the mode is a half_*, and y is that product rounded to a normal float32 (S10): |error| <= 2^-24 |y|, far from a tie.
    Excepted: with subnormals="flush" a subnormal y. Chains that round the divisor itself (division="reciprocal", modelopt, torchao)
    have it under half_* only, scales between 2^-60 and 2^60. Stochastic binarization draws a sign anew and has no such law.
    """
    x, fmt, geometry, options = data.draw(drawn(family, finite=data.draw(st.integers(0, 9)) > 0))
    if family == "binary":
        options["rounding"] = "half_even"
    q = outcome(qsim.encode, x, fmt, random=words_if_stochastic(options, x.shape, 1), **geometry, **options)
    if isinstance(q, type):
        return
    y, product = q.decode(), q.decode("float64")
    half = options.get("rounding", "half_even") in HALF_MODES
    normal = np.abs(y) >= SMALLEST_NORMAL
    lawful = np.isfinite(y) & ((y == product) | (half & normal))
    if options.get("subnormals") == "flush":
        lawful &= normal | (y == 0)
    if options.get("division") == "reciprocal" or options.get("arithmetic") in ("modelopt", "torchao"):
        one = code_one(q)
        lawful &= half & (one >= 2.0**-60) & (one <= 2.0**60)
    y = np.where(lawful, y, np.float32(0.0))

    again = qsim.encode(y, fmt, random=words_if_stochastic(options, x.shape, 2), **held(q), **geometry, **options)

    same = [a == b for a, b in zip(positive_zero(q), positive_zero(again), strict=True)]
    assert all(np.array(same, bool) | ~lawful.reshape(-1))


@pytest.mark.parametrize("family", ["microexponent", "float"])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_encoding_again_is_idempotent(family: str, data: Any) -> None:
    """For mx9, mx6, mx4, bfp and plain floats encode(decode(q)) = q with scales chosen anew, up to the sign of zero, in every mode.

    Flushing is idempotent only where no decoded value is subnormal, as it would flush that value.
    """
    x, fmt, geometry, options = data.draw(drawn(family, finite=data.draw(st.integers(0, 3)) > 0))
    q = outcome(qsim.encode, x, fmt, random=words_if_stochastic(options, x.shape, 1), **geometry, **options)
    if isinstance(q, type):
        return
    y = q.decode()
    if options.get("subnormals") == "flush" and ((np.abs(y) < SMALLEST_NORMAL) & (y != 0)).any():
        return

    again = qsim.encode(y, fmt, random=words_if_stochastic(options, x.shape, 2), **geometry, **options)

    assert positive_zero(again) == positive_zero(q)
    for a, b in zip(again.scales, q.scales, strict=True):
        np.testing.assert_array_equal(a, b)
    z = again.decode()
    np.testing.assert_array_equal(z, y)


INT16_FP16 = """
name = "int16_fp16"
[element]
kind = "int"
bits = 16
[[scale]]
type = "FP16"
group = "tensor"
"""


def test_int16_with_an_fp16_scale_is_not_idempotent(tmp_path: Path) -> None:
    """A counterexample: 32847/32767 lies just above the middle of two FP16 numbers, the decoded maximum just below it.

    The scale rounds up to 1027/1024, so that 32847 becomes 32751 steps, 32846.949...; over 32767 that rounds down to 1026/1024.
    """
    path = tmp_path / "int16_fp16.toml"
    path.write_text(INT16_FP16)
    first = qsim.encode(np.array([32847.0], np.float32), path)
    second = qsim.encode(first.decode(), path)
    assert (first.codes.tolist(), int(first.scales[0]), first.decode("float64").tolist()) == (
        [32751],
        0x3C03,
        [32751 * 1027 / 1024],
    )
    assert (second.codes.tolist(), int(second.scales[0]), second.decode().tolist()) == ([32767], 0x3C02, [32831.0])


def test_vsq_is_not_idempotent() -> None:
    """A counterexample: the decoded maximum of the second vector is smaller, and its scale s_q is chosen smaller.

    gamma is FP16 of 13/105; -4/(7 gamma) = 4.6 rounds up to s_q = 5, so that -4 becomes round(-4/(5 gamma)) = -6, -3.71...;
    that over 7 gamma is 4.3 and rounds down to s_q = 4, and -3.71/(4 gamma) saturates at -7.
    """
    x = np.array([13.0, *[0.0] * 15, -4.0], np.float32)
    first = qsim.encode(x, "vsq4")
    second = qsim.encode(first.decode(), "vsq4")
    gamma = float(np.float16(13 / 105))
    assert [s.tolist() for s in first.scales] == [[15, 5], [0x2FEC]]
    assert [s.tolist() for s in second.scales] == [[15, 4], [0x2FEC]]
    assert first.decode()[[0, 16]].tolist() == [7 * 15 * gamma, -6 * 5 * gamma]
    assert second.decode()[[0, 16]].tolist() == [7 * 15 * gamma, -7 * 4 * gamma]


# --- order and distance ---


@families
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_codes_are_monotone_in_a_finest_group(family: str, data: Any) -> None:
    """Within one finest group x_i <= x_j implies decode_i <= decode_j, and equal inputs have equal values; NaN aside.

    Every rounding mode and option; stochastic rounding when the elements compared have the same random word.
    """
    x, fmt, geometry, options = data.draw(drawn(family, finite=data.draw(st.integers(0, 9)) > 0))
    word = None
    if options.get("rounding") == "stochastic":
        word = np.full(x.shape, data.draw(st.integers(0, (1 << options["random_bits"]) - 1)))
    q = outcome(qsim.encode, x, fmt, random=word, **geometry, **options)
    if isinstance(q, type):
        return
    y = q.decode().reshape(-1)
    x = x.reshape(-1)
    group = np.array(scale_indices(q.geometry, 0) if fmt.scales else [0] * x.size, int)
    number = ~np.isnan(y) & ~np.isnan(x)
    x, y, group = x[number], y[number], group[number]
    order = np.lexsort((x, group))
    x, y, group = x[order], y[order], group[order]
    neighbours = group[1:] == group[:-1]

    assert (y[1:] >= y[:-1])[neighbours].all()
    assert (y[1:] == y[:-1])[neighbours & (x[1:] == x[:-1])].all()


def written_codes(fmt: Format, options: Any, code: int) -> list[int]:
    """Codes whose values a nearest one must be compared with: all that the encoder may write, up to 8 bits; else both neighbours.

    The neighbours are enough: values rise with the code's magnitude or integer, and so does the distance away from x.
    """
    e = fmt.element
    if e.is_float:
        half = 1 << (e.bits - 1)
        if e.bits <= 8:
            return [s + m for s in (0, half) for m in range(e.max_code + 1)]
        magnitude = code & (half - 1)
        near = [code & half | m for m in (magnitude - 1, magnitude, magnitude + 1) if 0 <= m <= e.max_code]
        return [*near, 1, half | 1] if magnitude == 0 else near
    low, high = integer_range(fmt, options) if e.kind != "binary" else (0, 1)
    if e.kind in ("sign_magnitude", "binary"):
        return list(range(1 << e.bits))
    q = e.integer(code)
    integers = range(low, high + 1) if e.bits <= 8 else range(max(q - 1, low), min(q + 1, high) + 1)
    return [i % (1 << e.bits) for i in integers]


def element_value(e: Element, code: int, zero: int) -> Fraction:
    """(q - z) in units of the element."""
    value = e.value(code)
    assert isinstance(value, Fraction)
    return value - zero


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "ternary"])
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_no_value_of_the_grid_is_closer(family: str, data: Any) -> None:
    """Under half_* modes no other code that the encoder may write is nearer to x than the one it wrote, all in Fractions.

    The grid is that of the element's own group: every code of the element times the scales chosen. Saturated elements obey too, as
    narrow_range leaves -2^(N-1) out of the grid; an overflow to Inf or NaN does not (R3). Excepted: order="float_first" (S5), division
    and arithmetic that are not exact, inputs that `flush` clears. Ternary keeps what is above a threshold, not what is nearest.
    """
    x, fmt, geometry, options = data.draw(drawn(family, modes=HALF_MODES))
    options |= {k: "exact" for k in ("division", "arithmetic") if k in options}
    options |= {"order": "requantize"} if "order" in options else {}
    q = outcome(qsim.encode, x, fmt, **geometry, **options)
    if isinstance(q, type):
        return
    levels = [scale_indices(q.geometry, i) for i in range(len(fmt.scales))]
    scales = [[s.value(int(c)) for c in codes.reshape(-1)] for s, codes in zip(fmt.scales, q.scales, strict=True)]
    zeros = None if q.zero_point is None else q.zero_point.reshape(-1)
    e = fmt.element
    for i, (value, code) in enumerate(zip(x.reshape(-1)[:16].tolist(), q.codes.reshape(-1).tolist(), strict=False)):
        flushed = options.get("subnormals") == "flush" and abs(value) < SMALLEST_NORMAL
        if flushed or isinstance(e.value(code), str):
            continue
        unit = Fraction(1)
        for level, values in zip(levels, scales, strict=True):
            unit *= values[level[i]]
        zero = 0 if zeros is None else int(zeros[levels[0][i]])
        target = Fraction(value)
        distance = abs(target - element_value(e, code, zero) * unit)
        grid = {element_value(e, c, zero) * unit for c in written_codes(fmt, q.options, code)}
        assert distance == min(abs(target - v) for v in grid)


# --- size ---


@families
@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_packed_size_is_storage_bits_rounded_up_to_bytes(family: str, data: Any) -> None:
    """8 * len(pack("block")) is storage_bits rounded up to a multiple of 8 (P3), and Format states the same size beforehand."""
    x, fmt, geometry, _ = data.draw(drawn(family))
    q = qsim.encode(np.zeros_like(x), fmt, **geometry)
    assert q.storage_bits == fmt.storage_bits(x.shape, **geometry)
    assert 8 * len(q.pack()) == -(-q.storage_bits // 8) * 8
