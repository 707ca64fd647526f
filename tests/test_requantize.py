"""Requantization (rules Q): outside implementations, known vectors, corner cases, kernels against the reference."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim.codec import set_num_threads
from qsim.datapath.multiplier import effective_scale, quantize_multiplier
from qsim.datapath.presets import load_requantizer, preset_names, presets
from qsim.datapath.requantize import requantize, requantize_taps
from qsim.reference import requantize as reference
from qsim.spec import SpecError
from qsim.spec.requantizer import OVERFLOWS, STEP_ROUNDINGS, Amount, Narrow, Requantizer, ScalePrep, Step
from qsim.spec.requantizer_file import parse_requantizers

pytestmark = pytest.mark.kernels

DATA = Path(__file__).parent / "data" / "requantize"
ORACLE = dict(np.load(DATA / "requant_oracle.npz"))
KNOWN = json.loads((DATA / "requant_known.json").read_text())
INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
PLAIN = [name for name in preset_names() if "/" not in name]


def ints(values: Any) -> list[int]:
    return [int(v) for v in np.asarray(values).reshape(-1)]


# Outside implementations


@pytest.mark.parametrize("name", ["tflite_double", "tflite_single", "cmsis_double", "cmsis_single"])
def test_fixed_point_presets_equal_compiled_upstream(name: str) -> None:
    """2000 accumulators of requant_oracle.npz: 0 mismatches, kernel and reference."""
    arguments = {"multiplier": ORACLE["multiplier"], "shift": ORACLE["shift"]}
    slow, _ = reference.requantize(
        ints(ORACLE["acc"]), presets()[name], multiplier=ints(ORACLE["multiplier"]), shift=ints(ORACLE["shift"]), out=None
    )

    assert (requantize(ORACLE["acc"], name, **arguments, out_format=None) == ORACLE[name]).all()
    assert slow == ints(ORACLE[name])


@pytest.mark.parametrize("name", ["xnnpack_fp32", "xnnpack_rndnu"])
def test_float_scale_presets_equal_compiled_xnnpack(name: str) -> None:
    scales = [Fraction(float(s)) for s in ORACLE["scale_f32"]]
    slow, _ = reference.requantize(ints(ORACLE["acc"]), presets()[name], scale=scales, zero_point=ints(ORACLE["zero_point"]))

    fast = requantize(ORACLE["acc"], name, scale=ORACLE["scale_f32"], zero_point=ORACLE["zero_point"])
    assert (fast == ORACLE[name]).all()
    assert slow == ints(ORACLE[name])


@pytest.mark.parametrize("flavour", ["double", "single"])
def test_quantize_multiplier_equals_compiled_tflite(flavour: str) -> None:
    """Rule Q4, 2000 doubles, flush and cap included."""
    expected = [ints(ORACLE[f"quantize_multiplier_{flavour}_{part}"]) for part in "ms"]
    prep = presets()[f"tflite_{flavour}"].prep

    assert [ints(part) for part in quantize_multiplier(ORACLE["real_multiplier"], flavour=flavour)] == expected
    slow = [reference.quantize_multiplier(Fraction(float(r)), prep) for r in ORACLE["real_multiplier"]]
    assert [list(part) for part in zip(*slow, strict=True)] == expected


LITERT = {
    "conv_ref": "tflite_double",
    "conv_ruy": "tflite_ruy_x86",
    "conv_xnnpack": "xnnpack_fp32",
    "fc_ref": "tflite_fc_reference",
    "fc_ruy": "tflite_ruy_x86_fc",
    "fc_xnnpack": "xnnpack_fp32",
}


@pytest.mark.parametrize("kernel", LITERT)
def test_litert_kernels(kernel: str) -> None:
    """One wheel, six kernels, four rules: the scales of TensorFlow issue 102943, and ties at scale 2^-8."""
    case, preset = KNOWN["litert"], LITERT[kernel]
    scale = effective_scale(*case["si_sw_so"], prep=preset)
    ties = KNOWN["litert_pot"]

    assert ints(requantize(np.array(case["acc"]), preset, scale=scale, zero_point=case["zo"])) == case[kernel]
    assert ints(requantize(np.array(ties["acc"]), preset, scale=2.0**-8)) == ties[kernel]


@pytest.mark.parametrize("kernel", [*LITERT, "qlinearconv"])
def test_bias_probe(kernel: str) -> None:
    """7 scales x 1024 accumulators at and beside every tie, run by LiteRT 2.3.0 and onnxruntime 1.32: 0 mismatches."""
    data = np.load(DATA / ("onnxruntime.npz" if kernel == "qlinearconv" else "litert.npz"))
    preset = LITERT.get(kernel, "onnxruntime")
    for i, scales in enumerate(data["scales"]):
        scale = effective_scale(*scales, prep=preset)
        y = requantize(data["acc"][i], preset, scale=scale, zero_point=data["zero_point"][i])
        assert int((y != data[kernel][i]).sum()) == 0, scales


def test_bias_probe_tells_the_stacks_apart() -> None:
    """Each pair of different presets differs on hundreds of the captured outputs: the evidence can refute a preset."""
    data = np.load(DATA / "litert.npz")
    for a, preset in LITERT.items():
        for b, other in LITERT.items():
            assert preset == other or int((data[a] != data[b]).sum()) > 300, (a, b)


def test_onnxruntime_ties() -> None:
    acc = np.array(KNOWN["litert_pot"]["acc"])
    assert ints(requantize(acc, "onnxruntime", scale=2.0**-8)) == KNOWN["ort_qlinearconv_pot"]


@pytest.mark.parametrize("rounding", ["single", "double"])
@pytest.mark.parametrize("case", KNOWN["tosa"], ids=lambda c: f"{c['m']}-{c['s']}")
def test_tosa_reference_model(case: dict[str, Any], rounding: str) -> None:
    acc = np.array(case["x"], dtype=np.int32)
    y = requantize(acc, f"tosa_scale32_{rounding}", multiplier=case["m"], shift=case["s"], out_format="int32")

    assert ints(y) == case[rounding]


def test_gemmlowp_primitives() -> None:
    """SRDHM is a product, one half_up step of 31 and a saturating int32; RoundingDivideByPOT is one half_away step."""
    product = Requantizer(
        "srdhm", ScalePrep(), (Step(Amount(31), "half_up", Narrow(32)),), multiplier=(INT32_MIN, INT32_MAX), zero_point="none"
    )
    divide = Requantizer("rdbpot", ScalePrep(kind="one"), (Step(Amount(0, 1), "half_away"),), shift=(0, 31), zero_point="none")
    a, b = (np.array(KNOWN["srdhm32"][key], dtype=np.int32) for key in "ab")
    x, e = (np.array(KNOWN["rdbpot32"][key], dtype=np.int32) for key in "xe")

    assert ints(requantize(a, product, multiplier=b, shift=0, out_format="int32")) == KNOWN["srdhm32"]["o"]
    assert ints(requantize(x, divide, shift=e, out_format="int32")) == KNOWN["rdbpot32"]["o"]


# Known vectors, typed by hand from the oracles named in facts/datapath.md

TIES = [-1921, -1920, -1919, -1665, -1664, -1663, -641, -640, 639, 640, 1919, 1920, 1921]
ROWS = {
    "tflite_double": [-8, -8, -7, -7, -7, -6, -3, -3, 3, 3, 8, 8, 8],
    "tflite_ruy_x86": [-7, -7, -7, -6, -6, -6, -2, -2, 3, 3, 8, 8, 8],
    "tflite_fc_reference": [-8, -8, -7, -7, -7, -6, -3, -3, 2, 3, 7, 8, 8],
    "xnnpack_fp32": [-8, -8, -7, -7, -6, -6, -3, -2, 2, 2, 7, 8, 8],
    "tflite_single": [-8, -7, -7, -7, -6, -6, -3, -2, 2, 3, 7, 8, 8],
}


@pytest.mark.parametrize("preset", ROWS)
def test_five_stacks_five_rows(preset: str) -> None:
    """The same 13 accumulators at scale 2^-8: no two stacks agree on all of them."""
    assert ints(requantize(np.array(TIES), preset, scale=2.0**-8)) == ROWS[preset]
    assert len({tuple(row) for row in ROWS.values()}) == len(ROWS)


@pytest.mark.parametrize(
    ("acc", "multiplier", "shift", "double", "single"),
    [
        (INT32_MAX, INT32_MAX, 0, 2147483646, 2147483646),
        (INT32_MIN, 1 << 30, -31, -1, 0),
        (INT32_MAX, 1 << 30, -31, 1, 0),
        (1, 1 << 30, -1, 1, 0),
        (INT32_MIN, 1 << 30, 1, 0, INT32_MIN),
        (1 << 30, 1 << 30, 1, -(1 << 30), 1 << 30),
        (1 << 30, 1 << 30, 2, 0, INT32_MIN),
        (7984, 1583594044, -9, 12, 11),
    ],
)
def test_corners_of_tflite(acc: int, multiplier: int, shift: int, double: int, single: int) -> None:
    for preset, expected in (("tflite_double", double), ("tflite_single", single)):
        y = requantize(np.array([acc], np.int32), preset, multiplier=multiplier, shift=shift, out_format=None)
        assert ints(y) == [expected], preset


def test_corners_of_other_stacks() -> None:
    """FBGEMM turns an overflow into 0, NVDLA's CACC takes a value above a tie for the tie, VTA keeps the low bits."""
    assert ints(requantize(np.array([2072640]), "fbgemm", scale=2048.0, out_format="uint8")) == [0]
    assert ints(requantize(np.array([2072640]), "onnxruntime", scale=2048.0, out_format="uint8")) == [255]
    assert ints(requantize(np.array([-733005 - 245682339]), "nvdla_cacc", shift=21, out_format=None)) == [-118]
    assert ints(requantize(np.array([-733005 - 245682339]), "gemmini_shift", shift=21, out_format=None)) == [-117]
    assert ints(requantize(np.array([0x1FF, 3]), "vta", shift=np.array([0, -7]))) == [-1, -128]
    assert ints(requantize(np.array([100]), "nvdla_sdp", multiplier=3, shift=1, zero_point=1)) == [127]
    assert ints(requantize(np.array([11]), "nvdla_sdp", multiplier=3, shift=2, zero_point=1)) == [8]
    assert ints(requantize(np.array([-11, -1, 0, 5]), "threshold", thresholds=[-1, 0, 6])) == [0, 1, 2, 2]


def test_tosa_double_is_tflite_double_from_shift_31() -> None:
    rng = np.random.default_rng(1)
    acc = rng.integers(INT32_MIN, INT32_MAX, 2000, dtype=np.int32)
    multiplier = rng.integers(1 << 30, 1 << 31, 2000)
    shift = rng.integers(32, 63, 2000)
    tosa = requantize(acc, "tosa_scale32_double", multiplier=multiplier, shift=shift, out_format=None)

    assert (tosa == requantize(acc, "tflite_double", multiplier=multiplier, shift=31 - shift, out_format=None)).all()


def ap_fixed(v: int, f: int, n: int, q: str, o: str) -> int:
    """Vitis' text as code: bits of v, `md` the most significant deleted bit, `r` the others, `s` the sign, `lD` bit n."""
    kept, md, r, s = v >> f, v >> (f - 1) & 1, int(v & ((1 << (f - 1)) - 1) != 0), int(v < 0)
    up = {
        "AP_TRN": 0,
        "AP_TRN_ZERO": s & (md | r),
        "AP_RND": md,
        "AP_RND_ZERO": md & (s | r),
        "AP_RND_MIN_INF": md & r,
        "AP_RND_INF": md & ((1 - s) | r),
        "AP_RND_CONV": md & ((kept & 1) | r),
    }[q]
    full, top = kept + up, (1 << (n - 1)) - 1
    low = (full & ((1 << n) - 1)) - ((full & 1 << (n - 1)) << 1)
    over, under = full > top, full < -top - 1
    if o == "AP_SAT_SYM":
        return max(-top, min(top, full))
    if not (over or under):
        return full
    if o == "AP_WRAP_SM":
        l_d, r_o = kept >> n & 1, low < 0
        bits = low if l_d == r_o else ~low
        return (bits & top) - (l_d << (n - 1))
    return {"AP_WRAP": low, "AP_SAT": top if over else -top - 1, "AP_SAT_ZERO": 0}[o]


@pytest.mark.parametrize("name", [n for n in preset_names() if n.startswith("ap_fixed/")])
def test_ap_fixed_exhaustively(name: str) -> None:
    """Every 11-bit value, 3 fraction bits dropped, into 5 bits: all 7 x 5 modes equal the bit-level text."""
    _, q, o = name.split("/")
    v = np.arange(-1024, 1024)
    expected = [ap_fixed(int(a), 3, 5, q, o) for a in v]
    slow, _ = reference.requantize(ints(v), presets()[name], shift=[3], out=(5, True))

    assert ints(requantize(v, name, shift=3, out_format="int5")) == expected
    assert slow == expected


# Kernels equal the reference


@st.composite
def narrows(draw: Any) -> Narrow:
    overflow = draw(st.sampled_from(OVERFLOWS))
    signed = overflow in ("wrap_sign_magnitude", "x86_indefinite") or draw(st.booleans())
    return Narrow(draw(st.sampled_from([2, 5, 8, 16, 17, 31, 32, 33, 48])), signed, overflow)


@st.composite
def steps(draw: Any, amounts: Any) -> Step:
    return Step(
        draw(amounts),
        draw(st.sampled_from(STEP_ROUNDINGS)),
        draw(st.none() | narrows()),
        draw(st.none() | st.none() | st.integers(0, 30)),
    )


AMOUNTS = st.sampled_from(
    [Amount(0), Amount(1), Amount(31), *map(Amount.parse, ("shift", "-shift", "31 - shift", "max(-shift, 0)", "min(shift, 31)"))]
)


@st.composite
def requantizers(draw: Any) -> Requantizer:
    """Any requantizer that loads: random widths, orders, modes and kinds."""
    kind = draw(st.sampled_from(["fixed", "one", "significand", "f32", "f64"]))
    is_float = kind in ("f32", "f64")
    shifts = sorted(draw(st.tuples(st.integers(-31, 62), st.integers(-31, 62))))
    if kind == "significand":
        shifts = [16, 63]
    amounts = st.just(Amount(0)) if is_float else AMOUNTS
    zero = draw(st.sampled_from(["after", "none"] if is_float else ["after", "before", "none"]))
    first = is_float and draw(st.booleans())
    fields = {
        "prep": ScalePrep(
            "f32", kind, bits=draw(st.integers(24, 32)), reduce=draw(st.none() | st.just(16)) if kind == "fixed" else None
        ),
        "steps": tuple(draw(st.lists(steps(amounts), min_size=1, max_size=3))),
        "before": () if is_float else tuple(draw(st.lists(steps(amounts), max_size=1))),
        "zero_point": zero,
        "zero_add": draw(st.none() | narrows()),
        "clamp_first": first,
        "output": Narrow(0, True, "saturate" if first else draw(st.sampled_from(OVERFLOWS))),
        "acc_bits": draw(st.sampled_from([8, 32, 34, 48])),
        "multiplier": draw(st.sampled_from([(0, INT32_MAX), (-32768, 32767), (1, 1)])),
        "shift": tuple(shifts),
        "scale": (Fraction(1, 1 << 32), Fraction(1 << draw(st.sampled_from([0, 8, 10])))),
    }
    try:
        return Requantizer("drawn", **fields)
    except SpecError:
        return replace(presets()[draw(st.sampled_from([n for n in PLAIN if n != "threshold"]))])


def near_ties(draw: Any, q: Requantizer, multiplier: int, shift: int) -> int:
    """An accumulator whose product lies at or beside a tie of the whole shift, an extreme, or anything."""
    top = 1 << (q.acc_bits - 1)
    total = max(1, min(62, sum(max(s.shift(shift), 0) for s in q.steps)))
    tie = ((2 * draw(st.integers(-300, 300)) + 1) << total - 1) // max(abs(multiplier), 1) + draw(st.integers(-1, 1))
    return max(-top, min(top - 1, draw(st.sampled_from([tie, tie, -top, top - 1, 0, draw(st.integers(-top, top - 1))]))))


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_kernels_equal_reference(data: Any) -> None:
    """Values, event counts and refusals of any requantizer, on ties and extremes, one parameter or one a channel."""
    draw = data.draw
    q = draw(requantizers())
    channels, rows = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    per = draw(st.sampled_from([1, channels]))
    kind = q.prep.kind
    multiplier, shift, scale, bias = [1], [0], [Fraction(1)], [Fraction(0)]
    arguments: dict[str, Any] = {}
    if "scale" in q.prep.takes:
        low, high = (float(v) for v in q.scale)
        span = st.floats(max(low, 2.0**-32), min(high, 2.0**20), width=32, exclude_max=True)
        given_scale = draw(st.lists(span | st.sampled_from([2.0**-8, 2.0**-32]), min_size=per, max_size=per))
        arguments["scale"], scale = np.array(given_scale), [Fraction(v) for v in given_scale]
        if kind == "significand":
            multiplier = [1 << q.prep.bits - 1]
        if kind == "f32" and draw(st.booleans()) and ((1 << q.acc_bits - 1) + (1 << 31)) * q.scale[1] < 1 << 62:
            biases = st.floats(-(2.0**31), 2.0**31, width=32) | st.sampled_from([0.5, -0.5, 1.5, 127.5])
            given_bias = draw(st.lists(biases, min_size=per, max_size=per))
            arguments["float_bias"], bias = np.array(given_bias), [Fraction(v) for v in given_bias]
    else:
        shift = draw(st.lists(st.integers(*q.shift), min_size=per, max_size=per))
        arguments["shift"] = np.array(shift)
        if kind == "fixed":
            edges = st.sampled_from([*q.multiplier, (q.multiplier[0] + q.multiplier[1] + 1) // 2])
            multiplier = draw(st.lists(st.integers(*q.multiplier) | edges, min_size=per, max_size=per))
            arguments["multiplier"] = np.array(multiplier)
    acc = [near_ties(draw, q, multiplier[i % len(multiplier)], shift[i % len(shift)]) for i in range(rows * channels)]
    if q.acc_within_shift:
        acc = [max(-(1 << shift[i % per] - 1), min((1 << shift[i % per] - 1) - 1, a)) for i, a in enumerate(acc)]
    signed = q.output.overflow in ("wrap_sign_magnitude", "x86_indefinite") or draw(st.booleans())
    bits = draw(st.sampled_from([4, 8, 16]))
    out = draw(st.sampled_from([(bits, signed), (bits, signed), None]))
    name = out and f"{'' if out[1] else 'u'}int{out[0]}"
    zero, clamp = [0], None
    if out:
        low, high = q.output.resolved(*out).range
        if q.zero_point != "none" and name not in q.zero_points:
            zero = draw(st.lists(st.integers(low, high), min_size=per, max_size=per))
        if draw(st.booleans()):
            clamp = tuple(sorted(draw(st.tuples(st.integers(low, high), st.integers(low, high)))))
    elif q.zero_point == "before":
        zero = [draw(st.integers(-9, 9))]
    dtype = np.int32 if q.acc_bits <= 32 and draw(st.booleans()) else np.int64
    events: dict[str, int] = {}
    stages: dict[str, list[int]] = {}

    try:
        expected, counts = reference.requantize(
            acc,
            q,
            multiplier=multiplier,
            shift=shift,
            scale=scale,
            zero_point=zero,
            out=out,
            clamp=clamp,
            float_bias=bias,
            taps=stages,
        )
    except ValueError:
        with pytest.raises(ValueError, match="rule Q3"):
            requantize(
                np.array(acc, dtype).reshape(rows, channels), q, **arguments, zero_point=zero, out_format=name, clamp=clamp
            )
        return
    actual = requantize(
        np.array(acc, dtype).reshape(rows, channels),
        q,
        **arguments,
        zero_point=zero,
        out_format=name,
        clamp=clamp,
        events=events,
    )
    assert actual.shape == (rows, channels)
    assert ints(actual) == expected
    assert events == counts
    _, taps, _ = requantize_taps(
        np.array(acc, dtype).reshape(rows, channels), q, **arguments, zero_point=zero, out_format=name, clamp=clamp
    )
    found = {stage: ints(tap.view(np.uint64) if tap.dtype == np.float64 else tap) for stage, tap in taps.items()}
    assert found == stages


def test_threads_and_tiles_do_not_change_bits() -> None:
    """More elements than a piece, a number of channels that divides no tile: the same on one thread and on three."""
    rng = np.random.default_rng(2)
    acc = rng.integers(INT32_MIN, INT32_MAX, (300, 257), dtype=np.int32)
    scale = rng.uniform(1e-9, 1e-7, 257)
    results, counts = [], []
    try:
        for n in (1, 3):
            set_num_threads(n)
            events: dict[str, int] = {}
            results.append(requantize(acc, "tflite_double", scale=scale, zero_point=3, events=events))
            counts.append(events)
    finally:
        set_num_threads(None)
    columns = [requantize(acc[:, c], "tflite_double", scale=scale[c], zero_point=3) for c in range(257)]

    assert (results[0] == results[1]).all()
    assert (results[0] == np.stack(columns, axis=1)).all()
    assert counts[0] == counts[1]


def test_empty_and_scalar_accumulators() -> None:
    assert requantize(np.empty((0, 4), np.int32), "vta", shift=1).shape == (0, 4)
    assert requantize(5, "vta", shift=1).shape == ()
    assert int(requantize(5, "vta", shift=1)) == 2


# Bad input


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"preset": "nosuch"}, "unknown preset 'nosuch'"),
        ({"acc": np.array([1.0])}, "acc is float64"),
        ({"acc": np.array([1 << 31])}, "acc 2147483648 is outside the domain of tflite_double"),
        ({"multiplier": None, "shift": None}, "got no multiplier"),
        ({"multiplier": -1}, "multiplier -1 is outside the domain of tflite_double; allowed: 0 to 2147483647"),
        ({"shift": 31}, r"shift 31 is outside the domain of tflite_double; allowed: -31 to 30 \(rule Q5\)"),
        ({"multiplier": np.array([1, 2, 3])}, "multiplier has shape"),
        ({"shift": 1.5}, "shift is float64"),
        ({"zero_point": 128}, "zero_point 128 is outside"),
        ({"zero_point": 1, "out_format": None}, "zero_point 1 with out_format=None is wrong"),
        ({"clamp": (0, 256)}, "clamp="),
        ({"clamp": (0, 6), "out_format": None}, "clamp with out_format=None"),
        ({"out_format": "fp16"}, "out_format='fp16'"),
        ({"multiplier": None, "shift": None, "scale": float("nan")}, r"scale nan; allowed: finite, 0 or more \(rule Q4\)"),
        ({"preset": "xnnpack_fp32", "multiplier": None, "shift": None, "scale": float("nan")}, "scale nan is outside"),
        ({"preset": "xnnpack_fp32", "multiplier": None, "shift": None, "scale": 256.0}, "scale 256.0 is outside"),
        ({"preset": "tosa_scale32_single", "shift": 40, "zero_point": 5, "out_format": "uint16"}, "allowed: 0, 32768"),
        ({"preset": "tosa_scale32_single", "shift": 2, "acc": np.array([2])}, "unpredictable elsewhere"),
        ({"preset": "tosa_scale16", "shift": 2, "multiplier": 32767, "acc": np.array([1 << 40])}, "unpredictable elsewhere"),
        ({"preset": "nvdla_sdp", "multiplier": 40000}, "multiplier 40000 is outside"),
        ({"preset": "threshold", "multiplier": None, "shift": None}, "thresholds"),
    ],
)
def test_bad_input_names_value_preset_and_rule(arguments: dict[str, Any], text: str) -> None:
    call = {"acc": np.array([1, 2]), "preset": "tflite_double", "multiplier": 1 << 30, "shift": 0} | arguments
    with pytest.raises(ValueError, match=text):
        requantize(call.pop("acc"), call.pop("preset"), **call)


def test_undefined_overflow_says_so() -> None:
    """C++ leaves the int32 cast undefined: qsim refuses, naming the first element."""
    acc = np.array([1, 2, INT32_MAX])
    with pytest.raises(ValueError, match=r"value 4294967294 at flat index 2 leaves 32 bits at step0; .*undefined"):
        requantize(acc, "tflite_fc_reference", scale=2.0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"source": ""}, "source"),
        ({"not_verified": "as well"}, "exactly one of verified_by, not_verified"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"acc_bits": "32"}, "acc_bits = '32'; allowed: int"),
        ({"acc_bits": 63}, "acc_bits = 63"),
        ({"steps": []}, "0 steps"),
        ({"steps": [{"shift": "shift * 2"}]}, r"steps\[0\]: shift = 'shift \* 2'"),
        ({"steps": [{"shift": 1, "rounding": "nearest"}]}, "step.rounding = 'nearest'"),
        ({"steps": [{"shift": -40}]}, "may reach"),
        ({"steps": [{"shift": 1, "narrow": {"bits": 1}}]}, "narrow.bits = 1"),
        ({"steps": [{"shift": 1, "narrow": {"signed": True}}]}, "narrow.bits = 0 inside"),
        ({"prep": {"kind": "int"}}, "prep.kind = 'int'"),
        ({"same_as": "other"}, "same_as = 'other'"),
        ({"shift": [3, 1]}, "shift = "),
        ({"clamp_first": True}, "clamp_first"),
        ({"output": {"overflow": "wrap_sign_magnitude"}}, "zero_point = 'none'"),
    ],
)
def test_a_file_that_lies(change: dict[str, Any], text: str) -> None:
    table = {"source": "me", "verified_by": "you", "steps": [{"shift": 31, "rounding": "half_up"}]} | change
    with pytest.raises(SpecError, match=text):
        parse_requantizers({"mine": table}, "file.toml")


def test_user_file(tmp_path: Path) -> None:
    path = tmp_path / "npu.toml"
    path.write_text(
        '[npu]\nsource = "data sheet"\nnot_verified = "no device"\nshift = [0, 31]\nprep = { kind = "one" }\n'
        'zero_point = "none"\nsteps = [{ shift = "shift", rounding = "ceil" }]\n'
    )
    assert ints(requantize(np.array([1, 2, 3, 1000]), path, shift=1)) == [1, 1, 2, 127]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_states_source_and_evidence(name: str) -> None:
    q = load_requantizer(name)
    assert q.title
    assert q.source
    assert bool(q.verified_by) != bool(q.not_verified)


@pytest.mark.parametrize("text", ["31", "shift", "-shift", "31 - shift", "shift - 31", "max(-shift, 0)", "min(31 - shift, 4)"])
def test_shift_expressions_read_back(text: str) -> None:
    amount = Amount.parse(int(text) if text.isdigit() else text)
    assert str(amount) == text
    assert amount == Amount.parse(int(text) if text.isdigit() else str(amount))


def test_page_names_every_preset_and_rule() -> None:
    """docs/datapath.md: each preset, every overflow mode, every rule label of the code, the table of ties, a file that loads."""
    page = (Path(__file__).parent.parent / "docs" / "datapath.md").read_text()
    assert [name for name in PLAIN if f"`{name}`" not in page] == []
    assert [mode for mode in OVERFLOWS if f"`{mode}`" not in page] == []
    package = Path(__file__).parent.parent / "qsim"
    used = {label for path in package.rglob("*equant*.py") for label in re.findall(r"\bQ\d\b", path.read_text())}
    assert used <= set(re.findall(r"^\*\*(Q\d),", page, flags=re.MULTILINE))
    for preset, row in ROWS.items():
        assert f"| {preset} | {' | '.join(map(str, row))} |" in page
    parse_requantizers(
        tomllib.loads(page.partition("### Your own requantizer")[2].partition("```toml")[2].partition("```")[0]), "page"
    )
