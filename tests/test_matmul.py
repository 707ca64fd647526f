"""Whole datapaths: matmul, linear, traces and models by name and by file, against the reference and against PyTorch."""

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
from qsim.datapath.datapaths import datapath_names, datapaths
from qsim.datapath.presets import load_requantizer, preset_names
from qsim.reference.int_dot import dot as reference_dot
from qsim.reference.requantize import requantize as reference_requantize
from qsim.spec import SpecError
from qsim.spec.datapath import Datapath
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.load import parse_format
from qsim.spec.table import format_table

DATA = Path(__file__).resolve().parent / "data"
INTEGER = [name for name, d in datapaths().items() if isinstance(d.accumulator, IntAccumulator)]
FLOAT = [name for name, d in datapaths().items() if isinstance(d.accumulator, FloatAccumulator)]
NPU = """
name = "my_npu"
[activation]
format = "int8"
[weight]
format = "int4"
[accumulator]
bits = 24
overflow = "saturate"
order = "chunked"
chunk = 16
[requantizer]
preset = "tflite_single"
out_format = "int8"
[ports]
k = 32
"""


def test_names_are_of_one_kind() -> None:
    """No datapath has the name of a format or of a requantizer, so that `qsim show NAME` is never in doubt."""
    assert not set(datapath_names()) & ({*qsim.format_names(), *preset_names()})


@pytest.mark.parametrize("name", datapath_names())
def test_a_datapath_states_source_and_evidence(name: str) -> None:
    d = qsim.load_datapath(name)
    assert d.name == name
    assert d.source
    assert d.verified_by or d.not_verified


@st.composite
def operands(draw: Any, name: str) -> tuple[np.ndarray, np.ndarray, int, int, list[int] | None]:
    """Codes of both operands, often at their ends, zero points and a bias."""
    d = qsim.load_datapath(name)
    low_a, high_a = d.operand_interval("activation")
    low_w, high_w = d.operand_interval("weight")
    M, K, N = draw(st.integers(0, 3)), draw(st.integers(0, 40)), draw(st.integers(0, 3))
    if d.activation is not None and d.activation.element.kind == "binary":
        a, w = st.sampled_from([-1, 1]), st.sampled_from([-1, 1])
    elif d.activation is None:  # int32_exact refuses sums that overflow: stay below
        a = w = st.integers(-1000, 1000)
    else:
        a = st.sampled_from([low_a, high_a, 0]) | st.integers(low_a, high_a)
        w = st.sampled_from([low_w, high_w, 0]) | st.integers(low_w, high_w)
    x = np.array(draw(st.lists(a, min_size=M * K, max_size=M * K)), np.int64).reshape(M, K)
    y = np.array(draw(st.lists(w, min_size=K * N, max_size=K * N)), np.int64).reshape(K, N)
    affine = d.activation is not None and d.activation.element.kind in ("int", "uint")
    zero = draw(st.integers(low_a, high_a)) if affine and draw(st.booleans()) else 0
    bias = draw(st.none() | st.lists(st.integers(-5000, 5000), min_size=N, max_size=N))
    acc = d.accumulator
    return x, y, zero, 0, bias if isinstance(acc, IntAccumulator) and acc.bias != "float" else None


@pytest.mark.kernels
@pytest.mark.parametrize("name", INTEGER)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_matmul_equals_the_reference(name: str, data: Any) -> None:
    """Every output of an integer datapath is the reference's dot product, requantized by the reference; so are all taps."""
    a, w, a_zero, w_zero, bias = data.draw(operands(name))
    d = qsim.load_datapath(name)
    acc = d.accumulator
    assert isinstance(acc, IntAccumulator)
    given: dict[str, Any] = {
        "bias": None if bias is None else np.array(bias, np.int64),
        "a_zero_point": a_zero,
        "w_zero_point": w_zero,
    }
    q, real = d.requantizer, Fraction(np.float32(0.0078).item())
    out: dict[str, Any] = {}
    if q is not None:
        if q.prep.kind == "fixed":
            out["multiplier"], out["shift"] = qsim.quantize_multiplier(float(real))
        else:
            out["scale"] = float(real)
    events: dict[str, int] = {}
    trace = qsim.trace_matmul(a, w, d, **given, **out)
    result = qsim.matmul(a, w, d, **given, **out, events=events)

    assert (trace.result == result).all()
    assert trace.result.dtype == result.dtype
    assert trace.events == events
    totals = dict.fromkeys(events, 0)
    for m in range(a.shape[0]):
        for n in range(w.shape[1]):
            found = reference_dot(
                a[m].tolist(), w[:, n].tolist(), acc, a_zero=a_zero, w_zero=w_zero, bias=0 if bias is None else bias[n]
            )
            value = found.value
            for register, count in found.events.items():
                totals[register] += count
            for tap, values in found.taps.items():
                assert trace.taps[tap][m, n].reshape(-1).tolist() == values
            if q is not None:
                arguments = {"multiplier": [out["multiplier"]], "shift": [out["shift"]]} if "shift" in out else {"scale": [real]}
                signed = d.out_format is not None and d.out_format.startswith("int")
                (value,), counts = reference_requantize([value], q, **arguments, out=(8, signed), clamp=d.clamp)
                for register, count in counts.items():
                    totals[f"requantizer.{register}"] += count
            assert result[m, n] == value
    assert totals == events


@pytest.mark.parametrize("name", ["small", "channel", "full", "edges"])
def test_fbgemm_is_pytorch(name: str) -> None:
    """torch's quantized linear: with VNNI sums are exact, on AVX2 pairs of products saturate; bias and scale are float32."""
    with np.load(DATA / "ops" / "torch_linear.npz") as file:
        case = {key.removeprefix(f"{name}_"): file[key] for key in file.files if key.startswith(f"{name}_")}
    exact = qsim.load_datapath("fbgemm_linear")
    pair = qsim.load_datapath("vpmaddubsw").accumulator
    assert isinstance(exact.accumulator, IntAccumulator)
    assert isinstance(pair, IntAccumulator)
    avx2 = replace(exact, accumulator=replace(pair, bias="float", zero_points="after"))
    unit = case["x_scale"] * case["w_scale"]
    given = {
        "bias": case["bias"] / unit,
        "a_zero_point": int(case["x_zero"]),
        "scale": qsim.effective_scale(case["x_scale"], case["w_scale"], case["y_scale"], "f32"),
        "out_zero_point": int(case["y_zero"]),
    }

    assert (qsim.linear(case["x"], case["w"], exact, **given) == case["y"]).all()
    assert (qsim.linear(case["x"], case["w"], avx2, **given) == case["y_avx2"]).all()
    assert (case["y"] != case["y_avx2"]).any() == (name in ("full", "edges"))


def test_a_saturating_sum_depends_on_order() -> None:
    """16 bits: ascending sums saturate in the middle and come back, a tree of pairs that cancel never does."""
    a, w = np.array([[127, 127, 127, -128, -128, -128]]), np.full((6, 1), 127)
    ordered = qsim.matmul(a, w, "int8_saturate16")[0, 0]
    swapped = qsim.matmul(a[:, [0, 3, 1, 4, 2, 5]], w, "int8_saturate16")[0, 0]

    assert int((a @ w)[0, 0]) == swapped == -381
    assert ordered == 32767 - 3 * 128 * 127 == -16001


def test_linear_is_matmul_of_the_transpose() -> None:
    rng = np.random.default_rng(3)
    a, w = rng.integers(-128, 128, (5, 33)), rng.integers(-128, 128, (7, 33))
    bias = rng.integers(-1000, 1000, 7)

    assert (qsim.linear(a, w, "int8_saturate16", bias=bias) == qsim.matmul(a, w.T, "int8_saturate16", bias=bias)).all()


def test_qtensors_carry_their_scales_and_zero_points() -> None:
    """The multiplier from the operands' scales is the one that a caller prepares from the same scales."""
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((4, 64), np.float32), rng.standard_normal((6, 64), np.float32)
    qx = qsim.encode(x, "uint8")
    qw = qsim.encode(w, "int8", granularity="channel", channel_axis=0)
    si = qsim.decode(qx)  # only for its range
    assert qx.zero_point is not None
    scales = [np.float64(s.view(np.float32)) for s in (qx.scales[0], qw.scales[0])]
    expected = qsim.linear(
        qx.integers,
        qw.integers,
        "onnxruntime_uint8",
        a_zero_point=int(qx.zero_point),
        scale=qsim.effective_scale(scales[0], scales[1], 0.11, "f32"),
        out_zero_point=100,
    )

    assert si.shape == x.shape
    assert (qsim.linear(qx, qw, "onnxruntime_uint8", out_scale=0.11, out_zero_point=100) == expected).all()
    column = qsim.encode(w.T, "int8", axis=0, granularity="channel", channel_axis=1)
    assert (qsim.matmul(qx, column, "onnxruntime_uint8", out_scale=0.11, out_zero_point=100) == expected).all()


@pytest.mark.parametrize("name", FLOAT)
def test_a_float_datapath_is_dot_row_by_row(name: str) -> None:
    rng = np.random.default_rng(5)
    d = qsim.load_datapath(name)
    assert d.activation is not None
    assert isinstance(d.accumulator, FloatAccumulator)
    a = qsim.encode(rng.standard_normal((3, 70), np.float32), d.activation)
    w = qsim.encode(rng.standard_normal((70, 4), np.float32), d.activation, axis=0)
    c = rng.standard_normal((3, 4), np.float32)
    result = qsim.matmul(a, w, name, bias=c)
    trace = qsim.trace_matmul(a.decode(), w.decode(), name, bias=c)

    for m in range(3):
        rows = np.repeat(a.decode()[m : m + 1], 4, axis=0)
        expected = qsim.dot(rows, np.ascontiguousarray(w.decode().T), c[m], d.accumulator, operand=d.activation.name)
        assert (result[m].view(np.uint32) == expected.view(np.uint32)).all()
    assert (trace.result.view(np.uint32) == result.view(np.uint32)).all()
    if d.accumulator.c == "aligned":
        assert (trace.taps["partial_sums"][:, :, -1].view(np.uint32) == result.view(np.uint32)).all()


def test_a_model_is_one_output_of_linear(tmp_path: Path) -> None:
    """Words in, one output: lists of words and one wide integer are the same operand."""
    path = tmp_path / "npu.toml"
    path.write_text(NPU)
    model = qsim.Model(path)
    rng = np.random.default_rng(6)
    a, w = rng.integers(-128, 128, 32), rng.integers(-8, 8, 32)
    words_a, words_w = [int(v) & 255 for v in a], [int(v) & 15 for v in w]
    wide = sum(word << 8 * i for i, word in enumerate(words_a))
    found = model(activation=wide, weight=words_w, bias=77, multiplier=1 << 30, shift=-5, out_zero_point=-3)
    expected = qsim.trace_matmul(a[None], w[:, None], path, bias=np.array([77]), multiplier=1 << 30, shift=-5, out_zero_point=-3)

    assert found.value == expected.result[0, 0]
    assert (found.result, found.bits) == (found.value & 255, 8)
    assert found.taps == {name: tap[0, 0].tolist() for name, tap in expected.taps.items()}
    assert found.events == expected.events


def test_a_model_reads_block_words() -> None:
    """fp8 words are codes; the result is the float32 pattern."""
    codes = qsim.encode(np.arange(32, dtype=np.float32), "fp8_e4m3").codes
    found = qsim.Model("hopper_fp8/fp8_e4m3")(activation=codes.tolist(), weight=[0x38] * 32, bias=0.5)

    assert (
        found.value
        == qsim.dot(
            qsim.decode(qsim.encode(np.arange(32, dtype=np.float32), "fp8_e4m3")),
            np.ones(32),
            np.float32([0.5]),
            "hopper_fp8",
            operand="fp8_e4m3",
        )[0]
    )
    assert found.result == int(np.float32(found.value).view(np.uint32))
    assert found.bits == 32


def test_safe_bits_of_a_datapath() -> None:
    """127 * 127 * 4 = 64516 needs 17 bits; two weights of each sign and activations of one sign half of it."""
    w = np.array([[127], [-127], [127], [-127]])
    found = qsim.load_datapath("int8_saturate16").safe_bits(w, (0, 127))

    assert found.any_order == (16,)
    assert qsim.load_datapath("int8_saturate16").safe_bits(np.full((4, 1), 127), (-127, 127)).any_order == (17,)


def test_safe_bits_takes_integers_only() -> None:
    with pytest.raises(SpecError, match=r"w or x_range holds 0.5; allowed: integers \(rule A4\)"):
        qsim.load_datapath("int8_saturate16").safe_bits(np.full((2, 2), 0.5), (0, 1))


def integers(*shape: int) -> np.ndarray:
    """Small integers."""
    return np.arange(np.prod(shape)).reshape(shape) % 5


@pytest.mark.parametrize(
    ("a", "w", "name", "options", "message"),
    [
        (integers(2, 3), integers(4, 2), "int32_exact", {}, r"activation \(2, 3\) and weight \(4, 2\); allowed: \(K, N\) with the same K"),
        (integers(6), integers(6, 2), "int32_exact", {}, r"activation has shape \(6,\); allowed: \(M, K\)"),
        (np.ones((2, 3)), integers(3, 2), "int32_exact", {}, "activation is float64; allowed for int32_exact: integers"),
        (integers(2, 3), np.full((3, 2), np.nan), "tflite_conv", {}, "weight is float64; allowed for tflite_conv: integers"),
        (integers(2, 3) + 200, integers(3, 2), "tflite_conv", {}, r"activation: int8 has no value 200, index \[0, 0\]; allowed: -128 to 127"),
        (integers(2, 3), integers(3, 2), "int32_exact", {"scale": 0.5}, "scale: int32_exact has no requantizer"),
        (integers(2, 3), integers(3, 2), "tflite_conv", {}, "tflite_double got no multiplier"),
        (integers(2, 3), integers(3, 2), "tflite_conv", {"out_scale": 0.5}, "operands that carry no scale"),
        (integers(2, 3), integers(3, 2), "int32_exact", {"bias": np.zeros(2)}, r"bias is float64 of shape \(2,\); allowed: integers of shape \(2,\)"),
        (integers(2, 3), integers(3, 2), "int32_exact", {"bias": integers(3)}, r"allowed: integers of shape \(2,\)"),
        (integers(2, 3), integers(3, 2), "int32_exact", {"a_zero_point": 0.5}, "a_zero_point is float64; allowed: integers"),
        (integers(2, 3), integers(3, 2), "int32_exact", {"w_zero_point": [1, 2, 3]}, r"w_zero_point has shape \(3,\); allowed: one number, or \(2,\)"),
        (integers(2, 3), integers(3, 2), "int8_saturate16", {"a_zero_point": 128}, "a_zero_point: int8 has no value 128; allowed: -128 to 127"),
        (integers(2, 3), integers(3, 2), "int8_saturate16", {"bias": np.array([2**64 - 3, 0], np.uint64)}, "bias has no value 18446744073709551613"),
        (integers(2, 3), integers(3, 2), "int32_wrap", {"a_zero_point": np.uint64(2**64 - 1)}, "a_zero_point has no value"),
        (integers(2, 3), integers(3, 2), "tflite_conv", {"scale": 0.1, "clamp": (1, 2, 3)}, r"clamp=\(1, 2, 3\) .* allowed: two integers"),
        (integers(2, 3), integers(3, 2), "no_such", {}, "unknown datapath 'no_such'; allowed: int32_exact"),
        (np.full((1, 2), 2**31 - 1), np.full((2, 1), 2), "int32_exact", {}, r"4294967294"),
        (np.ones((2, 3)), integers(3, 2), "hopper/fp16", {}, "weight is int64; allowed for hopper/fp16: floats"),
        (np.ones((2, 3)), np.ones((3, 2)), "hopper/fp16", {"a_zero_point": 1}, "the operands of hopper/fp16 have none"),
        (np.ones((2, 3)), np.ones((3, 2)), "hopper/fp16", {"bias": np.zeros(3)}, r"allowed: float32 of shape \(2,\) or \(2, 2\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(a: Any, w: Any, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qsim.matmul(a, w, name, **options)


def test_operands_must_run_along_k() -> None:
    """The error names the axis that would be right."""
    x = np.ones((32, 32), np.float32)
    integer = qsim.encode(x, "int8")
    with pytest.raises(ValueError, match=r"weight is mx9; allowed for tflite_conv: int8"):
        qsim.matmul(integer, qsim.encode(x, "mx9"), "tflite_conv")
    with pytest.raises(ValueError, match=r"weight: the channels of int8 are axis 0 of .* allowed: channel_axis=1"):
        qsim.matmul(integer, qsim.encode(x, "int8", axis=1, granularity="channel", channel_axis=0), "tflite_conv")
    with pytest.raises(ValueError, match="activation is int8; allowed for hopper/fp16: fp16"):
        qsim.matmul(integer, qsim.encode(x, "fp16"), "hopper/fp16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[accumulator]", "[accumulator]\nwidth = 3"), r"npu.toml: accumulator: unknown key 'width' = 3; allowed: bits"),
        (("bits = 24", "bits = 99"), r"npu.toml: accumulator: bits = 99; allowed: 2 to 62"),
        (('overflow = "saturate"', 'overflow = "clip"'), r"npu.toml: accumulator: overflow = 'clip'; allowed: saturate, wrap"),
        (("chunk = 16", "chunk = 0"), "accumulator.chunk = 0; allowed: 1 to"),
        (('order = "chunked"', 'order = "random"'), "accumulator.order = 'random'; allowed: sequential, tree, chunked"),
        (('"int4"', '"mx9"'), "weight.format = 'mx9' has block scales; allowed with an integer accumulator: integer formats"),
        (('"int4"', '"no_such"'), "npu.toml: weight.format: unknown format 'no_such'"),
        (('"tflite_single"', '"no_such"'), "npu.toml: requantizer.preset: unknown preset 'no_such'"),
        (('out_format = "int8"', 'out_format = "mx9"'), "npu.toml: out_format='mx9'; allowed: int2 to int32"),
        (
            ('out_format = "int8"', 'out_format = "int8"\nclamp = [-1000, 5]'),
            r"npu.toml: clamp = \[-1000, 5\]; allowed: -128 <= low",
        ),
        (("k = 32", "k = -2"), r"npu.toml: ports.k = -2; allowed: 1 or more"),
        (
            ("chunk = 16", "chunk = 16\nproduct = { overflow = 'wrap' }"),
            "npu.toml: accumulator: product.overflow without product.bits",
        ),
        (("chunk = 16", "chunk = 16\nlane_bits = 99"), "npu.toml: accumulator: lane_bits = 99; allowed: 2 to 62"),
        (('name = "my_npu"', 'nom = "my_npu"'), "unknown key 'nom'"),
        (("[accumulator]", "[accumulators]"), "unknown key 'accumulators'"),
    ],
)
def test_a_file_that_lies_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "npu.toml"
    path.write_text(NPU.replace(*change, 1))
    with pytest.raises(SpecError, match=message):
        qsim.load_datapath(path)


@pytest.mark.parametrize(
    ("formats", "accumulator", "message"),
    [
        (("mx9", "mx9"), 'into = "integer"', "mx9 and mx9 with into = 'integer'; allowed: UINT block scales"),
        (("mx9", "mxfp4"), 'into = "fixed"\nlsb = -20', "mx9 and mxfp4; allowed: blocks of the same size"),
        (("mx9", "mx9"), 'into = "fixed"\nlsb = -20\nlength = 7', "accumulator.length = 7 with blocks of 16"),
        (("int8", "int8"), 'into = "fixed"\nlsb = -20', "int8 and int8; allowed: blocks of the same size, or one operand"),
    ],
)
def test_a_block_file_that_can_never_run_is_refused(
    tmp_path: Path, formats: tuple[str, str], accumulator: str, message: str
) -> None:
    path = tmp_path / "block.toml"
    sides = [f'[{side}]\nformat = "{name}"\n' for side, name in zip(("activation", "weight"), formats, strict=True)]
    path.write_text("".join(sides) + f'[accumulator]\nkind = "block"\n{accumulator}\n')
    with pytest.raises(SpecError, match=f"block.toml: .*{message}"):
        qsim.load_datapath(path)


def test_a_model_takes_zero_points_and_numpy_integers() -> None:
    """int8 words with a zero point, and simulators' numbers: what `matmul` gives for the integers."""
    found = qsim.Model("tflite_conv", k=2)(
        activation=[np.int64(1), np.uint8(2)], weight=np.int64(0x0403), bias=np.int64(7), a_zero_point=-128, scale=0.01
    )
    a, w = np.array([[1, 2]]), np.array([[3], [4]])

    assert found.value == qsim.matmul(a, w, "tflite_conv", bias=[7], a_zero_point=-128, scale=0.01)[0, 0]
    for bad in ([1.7, 2], "12", [True, 1]):
        with pytest.raises(TypeError, match="activation"):
            qsim.Model("tflite_conv", k=2)(activation=bad, weight=[3, 4], scale=0.01)  # type: ignore[arg-type]


def test_a_model_gives_outputs_of_any_width(tmp_path: Path) -> None:
    path = tmp_path / "npu.toml"
    path.write_text(NPU.replace('out_format = "int8"', 'out_format = "int12"').replace("k = 32", "k = 1"))
    found = qsim.Model(path)(activation=[200], weight=[7], multiplier=1 << 30, shift=1)

    assert (found.value, found.result, found.bits) == (-392, -392 & 0xFFF, 12)


@pytest.mark.parametrize("places", ["after", "folded"])
@pytest.mark.parametrize("bias", ["first", "last"])
def test_safe_bits_hold_with_zero_points_after_the_sum(places: str, bias: str) -> None:
    """Brute force over all activations of 3 bits: nothing overflows the width; of all widths one bit narrower something does."""
    acc = IntAccumulator(bits=40, overflow="error", zero_points=places, bias=bias)
    d = Datapath("x", acc)
    w, b, zero = np.array([[3], [-2]]), np.array([5]), -3
    bits = max(d.safe_bits(w, (-4, 3), a_zero_point=zero, bias=b).given_order)
    grid = np.stack(np.meshgrid(np.arange(-4, 4), np.arange(-4, 4)), -1).reshape(-1, 2)

    def overflows(width: int) -> bool:
        narrow = replace(d, accumulator=replace(acc, bits=width))
        try:
            qsim.matmul(grid, w, narrow, a_zero_point=zero, bias=b)
        except ValueError:
            return True
        return False

    assert not overflows(bits)
    assert overflows(bits - 1)


def test_blocks_of_another_size_are_another_format() -> None:
    table = format_table(qsim.load_format("mxfp4"))
    odd = parse_format(table | {"name": "odd", "scale": [{"type": "E8M0", "group": 16}]})
    x = np.ones((2, 32), np.float32)
    with pytest.raises(ValueError, match="activation is odd with scales per 16; allowed for mxfp4_tcgen05: mxfp4"):
        qsim.linear(qsim.encode(x, odd), qsim.encode(x, odd), "mxfp4_tcgen05")


def test_a_users_requantizer_may_stand_in_the_file(tmp_path: Path) -> None:
    """The keys of a requantizer in the datapath's own table, and its own format beside it, by a relative path."""
    (tmp_path / "s5.toml").write_text(
        'name = "s5"\n[element]\nkind = "int"\nbits = 5\n[[scale]]\ntype = "FP32"\ngroup = "tensor"\n'
    )
    path = tmp_path / "npu.toml"
    table = '[requantizer]\nprep = { kind = "one" }\nsteps = [{ shift = "shift", rounding = "half_up" }]\nshift = [0, 31]\n'
    path.write_text(NPU[: NPU.index("[requantizer]")].replace('"int4"', '"s5.toml"') + table)
    d = qsim.load_datapath(path)

    assert d.weight is not None
    assert d.weight.name == "s5"
    assert d.requantizer is not None
    assert qsim.matmul(np.array([[3, 5]]), np.array([[-16], [7]]), d, shift=1).tolist() == [[-6]]
    assert load_requantizer(d.requantizer) is d.requantizer
