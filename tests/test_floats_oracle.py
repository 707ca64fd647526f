"""Outside implementations: ml_dtypes and numpy for casts, gfloat for decode tables and block formats.

docs/evidence/exhaustive_floats.md records the casts of all 2^32 float32 values; here is a sample of about 2^20 that every run checks.
"""

from __future__ import annotations

import gfloat
import gfloat.formats as gf
import ml_dtypes
import numpy as np
import pytest
from gfloat import BlockFormatInfo, decode_block

import qsim
from qsim.codec import QTensor
from qsim.codec.qtensor import unsigned_dtype
from qsim.spec import Element, Geometry, load_format
from tests.oracles.blocks import blocks

F32 = np.float32
#: plain float -> dtype whose cast must agree
CASTS = {
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
}
#: element -> gfloat's description
TABLES = {
    "fp8_e4m3": gf.format_info_ocp_e4m3,
    "fp8_e5m2": gf.format_info_ocp_e5m2,
    "fp6_e3m2": gf.format_info_ocp_e3m2,
    "fp6_e2m3": gf.format_info_ocp_e2m3,
    "fp4_e2m1": gf.format_info_ocp_e2m1,
}
#: OCP MX format -> (plain float with the same element, gfloat's block format)
BLOCKS: dict[str, tuple[str, BlockFormatInfo]] = {
    "mxfp8_e4m3": ("fp8_e4m3", gf.format_info_mxfp8_e4m3),
    "mxfp8_e5m2": ("fp8_e5m2", gf.format_info_mxfp8_e5m2),
    "mxfp6_e3m2": ("fp6_e3m2", gf.format_info_mxfp6_e3m2),
    "mxfp6_e2m3": ("fp6_e2m3", gf.format_info_mxfp6_e2m3),
    "mxfp4": ("fp4_e2m1", gf.format_info_mxfp4_e2m1),
    "mxint8": ("", gf.format_info_mxint8),
}
STRIDE = 4099  # a prime: every exponent, both signs and about 2000 fractions of each


def edges(e: Element) -> np.ndarray:
    """Patterns of every value of the element, every midpoint, the overflow edge, each with both float32 neighbours; both signs."""
    top = e.max_code + 1 if e.is_float else 0
    magnitudes = np.arange(top, dtype=np.int64)
    field, fraction = magnitudes >> e.mantissa_bits, magnitudes & ((1 << e.mantissa_bits) - 1)
    significand = np.where(field > 0, fraction + (1 << e.mantissa_bits), fraction)
    values = np.ldexp(significand.astype(float), np.maximum(field, 1) - e.bias - e.mantissa_bits)
    after = 2 * values[-1] - values[-2]  # where the next value would stand
    values = np.append(values, after)
    points = np.concatenate([values, (values[1:] + values[:-1]) / 2])
    with np.errstate(over="ignore"):
        narrow = points.astype(F32)
    u = narrow.view(np.uint32).astype(np.int64)
    u = np.unique(np.clip(np.concatenate([u - 1, u, u + 1]), 0, 0x7F800000))
    return np.concatenate([u, u | 1 << 31]).astype(np.uint32)


def sample(e: Element) -> np.ndarray:
    """Edges and a stride over all 2^32 patterns; NaN left out where the element has none."""
    u = np.concatenate(
        [
            edges(e),
            np.arange(0, 1 << 32, STRIDE, dtype=np.uint64).astype(np.uint32),
            np.array([0x7F800000, 0xFF800000], np.uint32),
        ]
    )
    return u[(u & 0x7FFFFFFF) <= 0x7F800000] if e.nan_code is None else u


def is_nan_code(codes: np.ndarray, e: Element) -> np.ndarray:
    """Magnitude codes above the largest finite one and, where it exists, above infinity."""
    return (codes & ((1 << (e.bits - 1)) - 1)) > (e.max_code if e.inf_code is None else e.inf_code)


@pytest.mark.parametrize("name", CASTS)
def test_casts_agree(name: str) -> None:
    """Encode gives the codes of ml_dtypes (numpy for fp16) for a sample of about 2^20 float32, Inf included; NaN to a NaN of the same sign."""
    e = load_format(name).element
    u = sample(e)
    assert u.size > 1 << 20 if e.nan_code is not None else u.size > (1 << 20) - (1 << 13)
    x = u.view(F32)
    with np.errstate(all="ignore"):
        theirs = x.astype(CASTS[name])
    ours = qsim.encode(x, name).codes
    theirs = theirs.view(ours.dtype)
    nan = np.isnan(x)
    np.testing.assert_array_equal(ours[~nan], theirs[~nan])
    assert is_nan_code(ours[nan], e).all()
    assert is_nan_code(theirs[nan], e).all()
    np.testing.assert_array_equal(ours[nan] >> (e.bits - 1), theirs[nan] >> (e.bits - 1))


@pytest.mark.parametrize("name", CASTS)
def test_the_sample_has_every_midpoint(name: str) -> None:
    """The edges of a format: 2 values and midpoints a code, 3 patterns each, 2 signs, less those that coincide or leave float32."""
    e = load_format(name).element
    count = edges(e).size
    assert 12 * e.max_code - 16 <= count <= 12 * e.max_code + 16


# --- decode ---


def all_codes(name: str, scale: int | None = None) -> QTensor:
    """Every element code in order, with one E8M0 scale code for all blocks."""
    fmt = load_format(name)
    n = fmt.number_of_codes
    geometry = Geometry.of(fmt, (n,))
    scales = () if scale is None else (np.full(geometry.scale_shapes[0], scale, np.uint8),)
    return QTensor(fmt, (n,), geometry, np.arange(n).astype(unsigned_dtype(fmt.element.bits)), scales)


@pytest.mark.parametrize("name", TABLES)
def test_decode_tables_agree_with_gfloat(name: str) -> None:
    """Every code of every float element of 8 bits or fewer decodes to gfloat's value, sign of zero and NaN included."""
    q = all_codes(name)
    theirs = np.array([gfloat.decode_float(TABLES[name], c).fval for c in range(q.codes.size)])
    for dtype in ("float32", "float64"):
        ours = q.decode(dtype)
        np.testing.assert_array_equal(ours, theirs)
        real = ~np.isnan(theirs)
        np.testing.assert_array_equal(np.signbit(ours)[real], np.signbit(theirs)[real])


def test_the_tables_are_complete() -> None:
    """No float element of 8 bits or fewer in the catalogue is left out, alone or in a block."""
    plain = {n for n in qsim.format_names() if load_format(n).family == "float" and load_format(n).element.bits <= 8}
    assert plain == set(TABLES)
    assert {n for n in qsim.format_names() if load_format(n).family == "ocp"} == set(BLOCKS)
    for name, (element, _) in BLOCKS.items():
        assert not element or load_format(name).element == load_format(element).element
    assert load_format("nvfp4").element == load_format("fp4_e2m1").element


@pytest.mark.parametrize("name", BLOCKS)
def test_ocp_blocks_decode_as_gfloat(name: str) -> None:
    """Every scale code E8M0 with every element code decodes to gfloat's value of the block, NaN scale included."""
    info = BLOCKS[name][1]
    for scale in range(256):
        assert (
            gfloat.decode_float(gf.format_info_ocp_e8m0, scale).fval == load_format(name).scales[0].value(scale) or scale == 255
        )
    n = load_format(name).number_of_codes
    codes = np.arange(n)
    for scale in (*range(0, 256, 15), 1, 126, 127, 128, 253, 254):
        ours = all_codes(name, scale).decode("float64")
        padded = np.append(codes, np.zeros(-n % 32, int)).reshape(-1, 32)
        theirs = np.concatenate([list(decode_block(info, [scale, *row.tolist()])) for row in padded])[:n]
        np.testing.assert_array_equal(ours, theirs)


# --- OCP MX encoders ---


def oracle(x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(codes, scale codes) of blocks of 32 in rows: the exponent field of amax by integer arithmetic, elements by the cast of ml_dtypes.

    Division by the power of two is exact in float64. Its float32 is exact too, but for elements so far below the maximum that both round
    to zero; the cast sees saturated values, as blocks saturate where plain E4M3 would give NaN and E5M2 Inf.
    """
    element = load_format(name).element
    u = x.view(np.uint32).astype(np.int64)
    scale = np.clip(((u & 0x7FFFFFFF).max(axis=1) >> 23) - element.emax, 0, 254)
    largest = float(element.largest)
    with np.errstate(under="ignore"):
        ratio = np.clip(np.ldexp(x.astype(np.float64), 127 - scale[:, None]), -largest, largest)
        if not element.is_float:
            return (np.rint(ratio * 64).astype(np.int8)).view(np.uint8), scale
        return ratio.astype(F32).astype(CASTS[BLOCKS[name][0]]).view(np.uint8), scale


def directed(e: Element) -> np.ndarray:
    """Blocks of 32 beside every edge of the element, the maximum at each quarter binade and one ulp beside; exponents of all kinds."""
    rng = np.random.default_rng(8)
    points = edges(e).view(F32) if e.is_float else (np.arange(-512, 513) / 256).astype(F32)
    points = points[np.abs(points) <= float(e.largest) * 2]
    rows = points[rng.integers(0, points.size, (600, 31))]
    top = (np.array([1.0, 1.25, 1.5, 1.75, 1.875]) * 2.0**e.emax).astype(F32)
    top = np.concatenate([top, np.nextafter(top, F32(0)), np.nextafter(top, F32(np.inf))])
    maxima = top[np.arange(600) % top.size] * rng.choice([-1, 1], 600).astype(F32)
    x = np.concatenate([maxima[:, None], rows], axis=1)
    x = np.where(np.abs(x) > np.abs(maxima[:, None]), np.sign(x) * np.abs(maxima[:, None]), x)
    shift = rng.integers(-126 - e.emax, 127 - e.emax, (600, 1))
    shift[::2] = 0
    with np.errstate(under="ignore"):
        return rng.permuted(np.ldexp(x, shift).astype(F32), axis=1)


def random_bits(n: int) -> np.ndarray:
    """Blocks of random finite patterns within 40 binades of a random top."""
    rng = np.random.default_rng(9)
    top = rng.integers(0, 255, (n, 1))
    field = np.maximum(top - rng.integers(0, 40, (n, 32)), 0)
    bits = rng.integers(0, 2, (n, 32)) << 31 | field << 23 | rng.integers(0, 1 << 23, (n, 32))
    return bits.astype(np.uint32).view(F32)


@pytest.mark.parametrize("name", BLOCKS)
def test_ocp_encoders_agree_with_a_cast_and_a_field_oracle(name: str) -> None:
    """The floor rule: scale = clamp(field of amax - emax), elements = the saturated cast of x / 2^(scale - 127), for directed and random blocks."""
    x = np.concatenate([directed(load_format(name).element), random_bits(2000), blocks(32, 40, extreme=40)[0]])
    assert np.isfinite(x).all()
    codes, scale = oracle(x, name)
    q = qsim.encode(x, name)
    np.testing.assert_array_equal(q.scales[0][:, 0], scale)
    np.testing.assert_array_equal(q.codes, codes)
