"""Claims of the suites' verified_by: checked-in cases by numpy alone, and by the Verilog designs of tests/rtl."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qsim.golden import provenance
from qsim.golden.simulate import available
from qsim.golden.suite import Suite, read_suite
from qsim.golden.write_suite import suite_path
from tools import rtl_bugs

Array = NDArray[Any]
CI = os.environ.get("CI") == "true"
icarus = pytest.mark.skipif(not available("icarus") and not CI, reason="iverilog is not installed (in CI this fails)")


def checked_in(kind: str, name: str) -> Suite:
    """A suite of golden/."""
    return read_suite(suite_path(None, kind, name))


def fields(pattern: int, width: int, count: int) -> list[int]:
    """Fields of a pattern, the lowest first."""
    return [pattern >> (width * i) & ((1 << width) - 1) for i in range(count)]


def signed(x: Array, bits: int) -> Array:
    """Two's complement."""
    return np.where(x >> (bits - 1) & 1, x - (1 << bits), x)


def column(suite: Suite, port: str) -> Array:
    """Values of a signed port, one a case."""
    bits = next(p.bits for p in suite.unit.ports if p.name == port)
    return signed(np.array([case.values[port] for case in suite.cases], np.int64), bits)


# --- VS-Quant ---


def vsq_words(suite: Suite, side: str) -> tuple[Array, Array]:
    """Elements (n, vectors, 16) and scales (n, vectors)."""
    words = np.array([fields(case.values[side], 68, suite.unit.k // 16) for case in suite.cases], object)
    elements = np.array([[fields(word, 4, 16) for word in row] for row in words], np.int64)
    return signed(elements, 4), (words >> 64).astype(np.int64)


def fp16(codes: Array) -> Array:
    """Channel scales."""
    return codes.astype(np.uint16).view(np.float16).astype(np.float64)


@pytest.mark.parametrize(("name", "drop"), [("vsq4_int24", 0), ("vsq4_scale6", 2)])
def test_numpy_agrees_with_vsq(name: str, drop: int) -> None:
    """int64 sums of vectors times rint of their scales' product, added, clipped; float64 products, once to float32.

    A sum has 24 bits, a channel scale 11: their product has at most 46 bits, so that float64 holds it.
    """
    suite = checked_in("dot", name)
    (a, sa), (w, sw) = (vsq_words(suite, side) for side in ("activation", "weight"))
    scales = np.minimum(np.rint(sa * sw / (1 << drop)), (1 << (8 - drop)) - 1).astype(np.int64)
    terms = (a * w).sum(-1) * scales
    sums = np.zeros(len(terms), np.int64)
    for i in range(terms.shape[1]):
        sums = np.clip(sums + terms[:, i], -(1 << 23), (1 << 23) - 1)
    assert (sums == column(suite, "accumulator")).all()

    gamma = [fp16(np.array([case.values[f"{side}_scale0"] for case in suite.cases])) for side in ("activation", "weight")]
    result = (sums * float(1 << drop) * gamma[0] * gamma[1]).astype(np.float32)
    assert result.view(np.uint32).tolist() == [case.values["result"] for case in suite.cases]
    assert suite.verified_by == (provenance.NUMPY_VSQ,)


# --- MX9 into a fixed-point register ---


def mx9_blocks(suite: Suite, side: str) -> tuple[Array, Array]:
    """Integers (n, blocks, 16), in units of half a step, and exponent fields (n, blocks)."""
    words = np.array([fields(case.values[side], 144, suite.unit.k // 16) for case in suite.cases], object)
    codes = np.array([[fields(word, 8, 16) for word in row] for row in words], np.int64)
    micro = np.array([[fields(word >> 128, 1, 8) for word in row] for row in words], np.int64).repeat(2, axis=-1)
    return (codes & 127) * np.where(codes >> 7, -1, 1) * (2 - micro), (words >> 136).astype(np.int64)


def test_numpy_agrees_with_mx9_fixed40() -> None:
    """int64 sums of blocks, rint of float64 terms, which are exact (21 bits and a power of two), clipped after every add."""
    suite = checked_in("dot", "mx9_fixed40")
    (a, ea), (w, ew) = (mx9_blocks(suite, side) for side in ("activation", "weight"))
    terms = np.rint(np.ldexp((a * w).sum(-1).astype(np.float64), ea + ew - 254 - 14 + 24))
    low, high = -(1 << 39), (1 << 39) - 1
    sums = np.zeros(len(terms), np.int64)
    for i in range(terms.shape[1]):
        sums = np.clip(sums + np.clip(terms[:, i], 2 * low, 2 * high).astype(np.int64), low, high)
    assert (sums == column(suite, "accumulator")).all()
    assert suite.verified_by == (provenance.NUMPY_FIXED,)


# --- requantizers of real runtimes ---

CAPTURED = Path(__file__).parent / "data" / "requantize" / "suites.json"
RUNTIMES = {
    "tflite_conv": ("LiteRT reference", provenance.LITERT),
    "xnnpack_int8": ("LiteRT XNNPACK", provenance.XNNPACK),
    "onnxruntime_int8": ("onnxruntime", provenance.ONNXRUNTIME),
}


@pytest.mark.parametrize("name", RUNTIMES)
def test_runtimes_agree_with_checked_in_suites(name: str) -> None:
    """Every case that the runtime can be given (clamps of the whole range, normal multipliers) was given, with its result."""
    suite = checked_in("requantize", name)
    runtime, claim = RUNTIMES[name]
    ports = [p.name for p in suite.unit.inputs if not p.name.startswith("clamp")]
    rows = json.loads(CAPTURED.read_text())[name]
    known = {tuple(int(row[port], 16) for port in ports): row[runtime] for row in rows}
    possible = [
        case
        for case in suite.cases
        if (case.values["clamp_low"], case.values["clamp_high"]) == (0x80, 0x7F)
        and 1 << 30 <= case.values.get("multiplier", 1 << 30) < 1 << 31
        and 0x2F800000 <= case.values.get("scale", 0x3F800000) < 0x43800000
    ]
    for case in possible:
        assert known[tuple(case.values[port] for port in ports)] & 0xFF == case.values["result"], f"case {case.id}"
    assert len(possible) >= 30
    assert claim in suite.verified_by


# --- designs in Verilog ---

#: suite -> design whose [ports] it takes, and the module's parameters where they differ
DESIGNS: dict[tuple[str, str], tuple[str, dict[str, int]]] = {
    **{("encode", f"mx{bits}"): (f"mx{bits}_encode", {}) for bits in (9, 6, 4)},
    ("requantize", "tflite_conv"): ("requantizer_double", {}),
    ("dot", "int8_saturate16"): ("int8_dot", {"W": 8, "ACC": 16, "BIAS_FIRST": 0}),
}


@pytest.mark.rtl
@icarus
@pytest.mark.parametrize(("kind", "name"), DESIGNS)
def test_designs_agree_with_checked_in_suites(kind: str, name: str, tmp_path: Path) -> None:
    """Every case, every tap that the design has a port for, in Icarus; the claim of the suite."""
    suite = checked_in(kind, name)
    design_name, parameters = DESIGNS[kind, name]
    found = rtl_bugs.design(design_name)
    ports = found.datapath.ports | ({"parameters": parameters} if parameters else {})
    bench, verdict = replace(found, datapath=replace(found.datapath, ports=ports)).run(suite, tmp_path)
    assert bench.passed, (bench.problems, bench.output)
    assert bench.cases == verdict.number_compared == len(suite.cases)
    assert verdict.agrees
    assert provenance.RTL.format(found.sources[0].name) in suite.verified_by


def test_every_suite_with_a_claim_is_tested() -> None:
    """The claims of dot, requantize and encode suites are those of this file, test_suites.py and test_mmasim.py."""
    claimed = {key for key in provenance.VERIFIED_BY if key[0] not in ("element", "block")}
    here = {
        *DESIGNS,
        *(("requantize", name) for name in RUNTIMES),
        ("dot", "vsq4_int24"),
        ("dot", "vsq4_scale6"),
        ("dot", "mx9_fixed40"),
    }
    sums = {("dot", "tflite_conv"), ("dot", "binary_popcount")}
    mmasim = {("dot", f"mx{bits}_bdr") for bits in (9, 6, 4)} | {
        ("dot", f"{f}_tcgen05") for f in ("mxfp8_e4m3", "mxfp4", "nvfp4")
    }
    assert claimed == here | sums | mmasim
