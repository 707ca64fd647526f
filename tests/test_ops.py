"""Pools, elementwise operators, quantization at run time and fused activations: real implementations, references, bad input."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import qsim
from qsim.datapath.activation_range import ACTIVATIONS, activation_range
from qsim.datapath.datapaths import load_datapath
from qsim.datapath.dynamic import dynamic_quantize_linear
from qsim.datapath.elementwise import add, mul, sub
from qsim.datapath.matmul import linear, matmul
from qsim.datapath.multiplier import effective_scale
from qsim.datapath.pool import average_pool2d, max_pool2d
from qsim.datapath.presets import load_requantizer
from qsim.reference import elementwise as slow
from qsim.reference.images import pool2d, same_pads
from qsim.spec.datapath import Datapath
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import STEP_ROUNDINGS

DATA = Path(__file__).parent / "data" / "ops"
FILES = {name: dict(np.load(DATA / f"{name}.npz")) for name in (
    "litert_conv", "litert_fully_connected", "litert_pool", "litert_elementwise", "onnx_matmul", "onnx_conv", "onnx_dynamic",
        "tosa_pool",
)}  # fmt: skip
CODES = ("int8", "uint8", "int16")
FORMATS = {"int8": (8, True), "uint8": (8, False), "int16": (16, True)}
ELEMENTWISE = {"ADD": add, "SUB": sub, "MUL": mul}


def cases(file: str) -> list[Any]:
    """The cases of a capture file, as parameters."""
    return [pytest.param(case, id=case["name"]) for case in json.loads(str(FILES[file]["cases"]))]


def array(file: str, case: dict[str, Any], key: str) -> Any:
    """One of a case's arrays, None where it has none."""
    return FILES[file].get(f"{case['name']}_{key}")


def unit(preset: str, out_format: str, bits: int = 32) -> Datapath:
    """A datapath of any operands: an accumulator that wraps, and a requantizer."""
    return Datapath(
        "unit", IntAccumulator(bits=bits, overflow="wrap"), requantizer=load_requantizer(preset), out_format=out_format
    )


def real_scale(scales: list[Any], preset: str) -> Any:
    """si * sw / so, prepared as the preset says: one number, or one an output channel."""
    scale = effective_scale(scales[0], np.array(scales[1]), scales[2], prep=preset)
    return scale if scale.size > 1 else scale.reshape(())


def mismatches(found: np.ndarray, expected: np.ndarray) -> int:
    assert found.shape == expected.shape
    return int((found != expected).sum())


# Real implementations


@pytest.mark.parametrize("case", cases("litert_pool"))
def test_pools_equal_litert(case: dict[str, Any]) -> None:
    """Reference resolver, int8, uint8 and int16: windows cut by the border, ties of both signs, fused activations."""
    x, y = (array("litert_pool", case, key) for key in "xy")
    clamp = activation_range(case["activation"], x.dtype.name, case["scale"], case["zero"])
    pool = average_pool2d if case["op"] == "AVERAGE_POOL_2D" else max_pool2d
    found = pool(x, case["window"], stride=case["stride"], padding=case["padding"], clamp=clamp)

    assert found.dtype == y.dtype
    assert mismatches(found, y) == 0


@pytest.mark.parametrize("case", cases("tosa_pool"))
def test_average_pool_equals_the_tosa_reference_model(case: dict[str, Any]) -> None:
    """AVG_POOL2D, int8 and int16, zero points, windows cut by the border, ties of both signs."""
    x, y = (array("tosa_pool", case, key) for key in "xy")
    options = {"padding": case["pads"], "in_zero_point": case["zeros"][0], "out_zero_point": case["zeros"][1]}

    assert mismatches(average_pool2d(x, case["window"], stride=1, rounding="tosa", **options), y) == 0


def test_pool_captures_tell_roundings_apart() -> None:
    """Every rounding but half_away fails on LiteRT's averages; TOSA's reciprocal, which agrees, differs from 16579 taps on."""
    wrong = dict.fromkeys((*STEP_ROUNDINGS, "tosa"), 0)
    for case in json.loads(str(FILES["litert_pool"]["cases"])):
        if case["op"] == "AVERAGE_POOL_2D" and case["activation"] == "none":
            x, y = (array("litert_pool", case, key) for key in "xy")
            for rounding in wrong:
                found = average_pool2d(x, case["window"], stride=case["stride"], padding=case["padding"], rounding=rounding)
                wrong[rounding] += mismatches(found, y)
    assert [rounding for rounding, count in wrong.items() if count == 0] == ["half_away", "tosa"]
    for case, taps in (("t8", 32767), ("t9", -32767)):
        x = FILES["tosa_pool"][f"{case}_x"]
        assert average_pool2d(x, x.shape[1:3]).item() == taps - np.sign(taps)
        assert FILES["tosa_pool"][f"{case}_y"].item() == taps


def elementwise_operands(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of 8-bit codes, or the stored ones."""
    if case["type"] == "int16":
        return array("litert_elementwise", case, "x1"), array("litert_elementwise", case, "x2")
    info = np.iinfo(case["type"])
    codes = np.arange(info.min, info.max + 1).astype(case["type"])
    return codes[:, None], codes[None, :]


def elementwise_arguments(case: dict[str, Any]) -> dict[str, Any]:
    names = ("a_scale", "b_scale", "out_scale"), ("a_zero_point", "b_zero_point", "out_zero_point")
    clamp = activation_range(case["activation"], case["type"], case["scales"][2], case["zeros"][2])
    return {**dict(zip(names[0], case["scales"], strict=True)), **dict(zip(names[1], case["zeros"], strict=True)), "clamp": clamp}


@pytest.mark.parametrize("case", cases("litert_elementwise"))
def test_elementwise_equals_litert(case: dict[str, Any]) -> None:
    """Add, sub and mul of all 65536 pairs (int16: 4049 directed ones): reference resolver, XNNPACK, and the optimized MUL."""
    a, b = elementwise_operands(case)
    presets = {
        "y_ref": "tflite_double",
        "y_opt": "tflite_opt_mul",
        "y_xnnpack": "xnnpack_fp32" if case["op"] == "MUL" else "xnnpack_add",
    }
    for key, preset in presets.items():
        y = array("litert_elementwise", case, key)
        if y is not None:
            assert mismatches(ELEMENTWISE[case["op"]](a, b, preset=preset, **elementwise_arguments(case)), y) == 0, preset


def test_elementwise_captures_tell_stacks_apart() -> None:
    """XNNPACK's sums and products differ from the reference's; the optimized MUL differs where its zero point add wraps."""
    differ = {
        (op, key): sum(
            mismatches(y, array("litert_elementwise", c, "y_ref"))
            for c in json.loads(str(FILES["litert_elementwise"]["cases"]))
            if c["op"] == op and (y := array("litert_elementwise", c, key)) is not None
        )
        for op, key in (("ADD", "y_xnnpack"), ("SUB", "y_xnnpack"), ("MUL", "y_xnnpack"), ("MUL", "y_opt"))
    }
    assert min(differ.values()) > 1000, differ


def test_mul_prepares_its_scale_in_float32() -> None:
    """LiteRT computes sa * sb / so of MUL in float32: the float64 product fails on 456 of the 65536 pairs of one set."""
    case = next(c for c in json.loads(str(FILES["litert_elementwise"]["cases"])) if c["name"] == "mul1")
    a, b = (x.astype(np.int64) - z for x, z in zip(elementwise_operands(case), case["zeros"], strict=False))
    y = array("litert_elementwise", case, "y_ref")
    wrong = {
        prep: mismatches(
            qsim.requantize(
                a * b, "tflite_double", scale=effective_scale(*case["scales"], prep=prep), zero_point=case["zeros"][2]
            ),
            y,
        )
        for prep in ("f32", "f64")
    }
    assert wrong == {"f32": 0, "f64": 456}


FULLY_CONNECTED = {
    "y_ref": ("tflite_fully_connected", "tflite_fc_reference"),
    "y_opt": ("tflite_ruy", "tflite_ruy_x86_fc"),
    "y_xnnpack": ("xnnpack_int8", "xnnpack_fp32"),
}


@pytest.mark.parametrize("case", cases("litert_fully_connected"))
def test_fully_connected_equals_litert(case: dict[str, Any]) -> None:
    """Three resolvers; accumulators at and beside ties; int8, uint8 and int16; scales one a channel."""
    x, w, bias = (array("litert_fully_connected", case, key) for key in "xwb")
    kind = x.dtype.name
    zx, zw, zo = case["zeros"]
    for key, (named, preset) in FULLY_CONNECTED.items():
        y = array("litert_fully_connected", case, key)
        if y is None:
            continue
        datapath = load_datapath(named) if kind == "int8" else unit(preset, kind)
        found = linear(
            x, w, datapath, bias=bias, a_zero_point=zx, w_zero_point=zw, scale=real_scale(case["scales"], preset),
            out_zero_point=zo, clamp=activation_range(case["activation"], kind, case["scales"][2], zo),
        )  # fmt: skip
        assert mismatches(found, y) == 0, preset


@pytest.mark.parametrize("case", [c for c in cases("onnx_matmul") if c.values[0]["op"] == "QLinearMatMul"])
def test_qlinear_matmul_equals_onnxruntime(case: dict[str, Any]) -> None:
    """uint8 and int8 operands, zero points, accumulators at and beside ties, scales one a column."""
    a, w, y = (array("onnx_matmul", case, key) for key in "xwy")
    zx, zw, zo = case["zeros"]
    named = f"onnxruntime_{a.dtype}"
    datapath = load_datapath(named) if w.dtype == np.int8 else unit("onnxruntime", a.dtype.name)
    scale = real_scale(case["scales"], "onnxruntime")
    found = matmul(a, w, datapath, a_zero_point=zx, w_zero_point=zw, scale=scale, out_zero_point=zo)

    assert found.dtype == y.dtype
    assert mismatches(found, y) == 0


@pytest.mark.parametrize("case", [c for c in cases("onnx_matmul") if c.values[0]["op"] == "MatMulInteger"])
def test_matmul_integer_equals_onnxruntime(case: dict[str, Any]) -> None:
    """Zero points of the tensor and of columns; K = 70000 of one value wraps."""
    a, w, y = (array("onnx_matmul", case, key) for key in "xwy")
    if a is None:
        a, w = np.full((1, case["k"]), case["x"], np.uint8), np.full((case["k"], 1), case["w"], np.int8)
    found = matmul(a, w, "int32_wrap", a_zero_point=case["zeros"][0], w_zero_point=np.array(case["zeros"][1]))

    assert found.dtype == np.int32
    assert mismatches(found, y) == 0


def test_wrapped_sum_by_hand() -> None:
    """70000 * 255 * 127 = 2266950000 leaves int32: onnxruntime gives it minus 2^32."""
    case = next(c for c in json.loads(str(FILES["onnx_matmul"]["cases"])) if c["name"] == "wrap0")
    assert array("onnx_matmul", case, "y").tolist() == [[70000 * 255 * 127 - (1 << 32)]] == [[-2028017296]]


def test_dynamic_quantize_linear_equals_onnxruntime() -> None:
    """398 tensors: 0 mismatches in code, scale and zero point; 2 whose scale underflows to 0 are refused."""
    x, y, scale, zero = (FILES["onnx_dynamic"][f"dynamic_{key}"] for key in ("x", "y", "scale", "zero"))
    for i, row in enumerate(x.view(np.float32)):
        if scale[i] == 0:
            with pytest.raises(ValueError, match="as onnxruntime divides by it"):
                dynamic_quantize_linear(row)
            continue
        codes, step, zero_point = dynamic_quantize_linear(row.reshape(4, 6))
        assert codes.shape == (4, 6)
        assert (codes.reshape(-1) == y[i]).all()
        assert (step.view(np.uint32), zero_point) == (scale[i], zero[i])
    assert int((scale == 0).sum()) == 2


def test_page_of_the_captures_states_their_size() -> None:
    """README.md of the captures: outputs of every file."""
    page = (DATA / "README.md").read_text()
    for name, arrays in FILES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}.npz`"))
        outputs = sum(v.size for k, v in arrays.items() if "_y" in k)
        assert row.rpartition("|")[0].rpartition("|")[2].split()[0] == str(outputs), name


# The references


def images(draw: Any, dtype: str) -> np.ndarray:
    """(N, H, W, C) codes: of a narrow range, so that ties occur, or of all."""
    shape = tuple(draw(st.integers(1, top)) for top in (2, 6, 6, 3))
    info = np.iinfo(dtype)
    low, high = draw(st.sampled_from([(info.min, info.max), (max(info.min, -3), 3)]))
    values = draw(st.lists(st.integers(low, high), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return np.array(values, dtype).reshape(shape)


@given(st.data())
def test_pools_equal_the_reference(data: st.DataObject) -> None:
    """Any shape, window, stride, padding, rounding and zero points, both layouts: pools are the reference's plain loops."""
    dtype = data.draw(st.sampled_from(CODES))
    x = images(data.draw, dtype)
    taps = tuple(data.draw(st.integers(1, n)) for n in x.shape[1:3])
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    explicit = tuple(data.draw(st.integers(0, taps[i // 2] - 1)) for i in range(4))
    padding = data.draw(st.sampled_from(["same", "valid", explicit]))
    pads = {"same": same_pads(x.shape[1:3], taps, stride), "valid": (0, 0, 0, 0)}.get(padding, explicit)
    rounding = data.draw(st.sampled_from([None, "tosa", *STEP_ROUNDINGS]))
    low, high = sorted(data.draw(st.tuples(st.integers(0, 127), st.integers(0, 127))))
    clamp = data.draw(st.sampled_from([None, (low, high)]))
    zeros = (0, 0) if rounding is None else data.draw(st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
    expected = [
        [
            [[slow.clamped(v + zeros[1], FORMATS[dtype], clamp) for v in pixel] for pixel in row]
            for row in pool2d(image, taps, stride=stride, pads=pads, rounding=rounding, zero=zeros[0])
        ]
        for image in x.tolist()
    ]

    options: dict[str, Any] = {"stride": stride, "padding": padding, "clamp": clamp}
    if rounding is not None:
        options |= {"rounding": rounding, "in_zero_point": zeros[0], "out_zero_point": zeros[1]}
    pool = max_pool2d if rounding is None else average_pool2d
    assert pool(x, taps, **options).tolist() == expected
    first = pool(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), taps, layout="NCHW", **options)
    assert first.transpose(0, 2, 3, 1).tolist() == expected


def scales() -> st.SearchStrategy[float]:
    """float32 scales, often powers of two, so that ties occur."""
    return st.one_of(
        st.integers(-8, 3).map(lambda e: 2.0**e), st.floats(0.0078125, 8, width=32, exclude_min=True, exclude_max=True)
    )


@given(st.data())
def test_elementwise_equals_the_reference(data: st.DataObject) -> None:
    """Any codes, scales and zero points, several presets: add, sub and mul are the reference's, element by element."""
    op = data.draw(st.sampled_from(sorted(ELEMENTWISE)))
    dtype = data.draw(st.sampled_from(CODES))
    real = [float(np.float32(data.draw(scales()))) for _ in range(3)]
    info = np.iinfo(dtype)
    low, high = (0, 0) if dtype == "int16" else (info.min, info.max)
    zeros = [data.draw(st.integers(low, high)) for _ in range(3)]
    fixed = ["tflite_double", "tflite_single", "tflite_ruy_x86"]
    more = ["xnnpack_fp32", "tflite_opt_mul", "tflite_fc_reference"] if op == "MUL" else ["xnnpack_add"][: dtype != "int16"]
    preset = data.draw(st.sampled_from([*fixed, *more]))
    codes = data.draw(
        st.lists(st.tuples(st.integers(info.min, info.max), st.integers(info.min, info.max)), min_size=1, max_size=12)
    )
    exact = tuple(Fraction(s) for s in real)
    if op != "MUL":
        assume(2 * max(real[:2]) < (1 << (15 if dtype == "int16" else 20)) * real[2])
    if preset == "xnnpack_add":
        assume(all(2.0**-10 <= s / real[2] < 2.0**8 for s in real[:2]))
    scale = np.float32(real[0]) * np.float32(real[1]) / np.float32(real[2])
    assume(op != "MUL" or 2.0**-32 <= scale < (1 << 31) / 65535**2 / 4)
    low, high = sorted(data.draw(st.tuples(st.integers(0, 127), st.integers(0, 127))))
    clamp = data.draw(st.sampled_from([None, (low, high)]))

    a, b = (np.array(side, dtype) for side in zip(*codes, strict=True))
    names = ("a_scale", "b_scale", "out_scale", "a_zero_point", "b_zero_point", "out_zero_point")
    found = ELEMENTWISE[op](a, b, **dict(zip(names, (*real, *zeros), strict=True)), clamp=clamp, preset=preset)
    expected = []
    for x, y in codes:
        left, right = x - zeros[0], y - zeros[1]
        rest = (exact, zeros[2])
        if op == "MUL":
            expected.append(slow.mul(left, right, *rest, load_requantizer(preset), FORMATS[dtype], clamp))
        elif preset == "xnnpack_add":
            expected.append(slow.xnnpack_add(left, right, *rest, FORMATS[dtype], clamp, negate=op == "SUB"))
        else:
            expected.append(slow.add(left, right, *rest, load_requantizer(preset), FORMATS[dtype], clamp, negate=op == "SUB"))
    assert found.dtype == dtype
    assert found.tolist() == expected


@given(
    st.sampled_from(sorted(ACTIVATIONS)),
    st.sampled_from(CODES),
    st.floats(2.0**-20, 2.0**20, width=32),
    st.integers(0, 127),
)
def test_activation_range_equals_the_reference(activation: str, dtype: str, scale: float, zero: int) -> None:
    """Each end of a fused activation is zero + value / scale, in float32, half_away, inside the type."""
    info = np.iinfo(dtype)
    expected = [
        (info.min, info.max)[i] if end is None else slow.activation_end(int(end), Fraction(scale), zero)
        for i, end in enumerate(ACTIVATIONS[activation])
    ]
    assert activation_range(activation, dtype, scale, zero) == (max(info.min, expected[0]), min(info.max, expected[1]))


def test_operands_broadcast() -> None:
    """(3, 1) and (4,) give (3, 4), each pair as alone."""
    a, b = np.array([[-128], [5], [127]], np.int8), np.array([-7, 0, 1, 127], np.int8)
    options = {"a_scale": 0.5, "b_scale": 0.25, "out_scale": 0.75}
    for op in (add, sub, mul):
        assert op(a, b, **options).tolist() == [[int(op(x, y, **options)) for y in b] for x in a[:, 0]]


def test_mean_of_ties_by_hand() -> None:
    """Two codes that sum to 5 or -5: half_away gives 3 and -3, half_up 3 and -2."""
    x = np.array([[2, 3], [-2, -3]], np.int8).reshape(2, 1, 2, 1)
    assert average_pool2d(x, (1, 2)).reshape(-1).tolist() == [3, -3]
    assert average_pool2d(x, (1, 2), rounding="half_up").reshape(-1).tolist() == [3, -2]


# Bad input

IMAGE = np.zeros((1, 4, 4, 2), np.int8)
PAIR = {"a_scale": 0.5, "b_scale": 0.25, "out_scale": 0.75}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": IMAGE.astype(np.float32)}, "x is float32; allowed: int8, uint8, int16"),
        ({"x": np.full((1, 4, 4, 1), np.nan)}, "x is float64"),
        ({"x": IMAGE[0]}, r"shape \(4, 4, 2\); allowed: four axes, NHWC"),
        ({"layout": "NWHC"}, "layout='NWHC'; allowed: NHWC, NCHW"),
        ({"window": 0}, "window=0; allowed"),
        ({"window": (2, 2, 2)}, r"window=\(2, 2, 2\)"),
        ({"window": (300, 300)}, "product at most 65536"),
        ({"window": 5}, "a window of 5 .* on a height of 0 \\+ 4 \\+ 0"),
        ({"stride": 0}, "stride=0; allowed: an integer of 1 or more"),
        ({"padding": "full"}, "padding='full'; allowed: 'valid', 'same'"),
        ({"padding": (1, 1)}, r"padding=\(1, 1\)"),
        ({"padding": 2}, "less than the window"),
        ({"clamp": (0, 200)}, r"clamp=\(0, 200\); allowed: -128 <= low <= high <= 127"),
        ({"clamp": (6, 0)}, r"clamp=\(6, 0\)"),
        ({"rounding": "nearest"}, "rounding='nearest'; allowed: half_even, .*tosa"),
    ],
)
def test_bad_input_of_pools(change: dict[str, Any], text: str) -> None:
    call = {"x": IMAGE, "window": 2} | change
    with pytest.raises(ValueError, match=text):
        average_pool2d(**call)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"b": np.zeros(3, np.uint8)}, "a is int8, b is uint8; allowed: both of one type, int8, uint8, int16"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "a is float64"),
        ({"a": np.full(3, np.nan), "b": np.zeros(3)}, "a is float64"),
        ({"b": np.zeros(4, np.int8)}, r"shape \(3,\) and b of shape \(4,\)"),
        ({"a_zero_point": 128}, "a_zero_point=128 for int8 codes; allowed: -128 to 127"),
        ({"out_zero_point": 0.5}, "out_zero_point=0.5"),
        (
            {"a": np.zeros(3, np.int16), "b": np.zeros(3, np.int16), "b_zero_point": 1},
            "b_zero_point=1 for int16 codes; allowed: 0 to 0",
        ),
        ({"a_scale": 0.0}, "a_scale=0.0 in float32; allowed: positive and finite"),
        ({"out_scale": float("nan")}, "out_scale=nan"),
        ({"b_scale": 1e39}, "b_scale=inf"),
        ({"out_scale": 1e-7}, "allowed: less than 1, TFLite refuses others"),
        ({"clamp": (0, 128)}, "clamp="),
        ({"preset": "xnnpack_fp32"}, "preset xnnpack_fp32 is of kind f32; allowed: xnnpack_add"),
        ({"preset": "xnnpack_add", "out_scale": 1e-3}, "a_scale / out_scale = .* allowed: 2\\^-10 to below 2\\^8"),
        ({"preset": "xnnpack_add", "clamp": (0, 128)}, "clamp="),
        ({"preset": "xnnpack_add", "a": np.zeros(3, np.int16), "b": np.zeros(3, np.int16)}, "int16 codes with preset"),
    ],
)
def test_bad_input_of_elementwise(change: dict[str, Any], text: str) -> None:
    call = {"a": np.zeros(3, np.int8), "b": np.zeros(3, np.int8), **PAIR} | change
    with pytest.raises(ValueError, match=text):
        add(**call)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("relu5", "int8", 0.1), "activation='relu5'; allowed: none, relu"),
        (("relu6", "fp16", 0.1), "out_format='fp16'; allowed: int2 to int32"),
        (("relu6", "int8", -0.1), "scale=-0.1 in float32"),
        (("relu6", "int8", float("nan")), "scale=nan"),
        (("relu6", "int8", 1e-9), "beyond int32 codes"),
        (("relu6", "int8", 0.1, 128), "zero_point=128; allowed: -128 to 127"),
    ],
)
def test_bad_input_of_activation_range(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        activation_range(*arguments)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.zeros(3), "x is float64 of shape"),
        (np.zeros(0, np.float32), r"shape \(0,\); allowed: float32, one element or more"),
        (np.array([1, np.nan], np.float32), "no code for nan"),
        (np.array([1, np.inf], np.float32), "no code for inf"),
        (np.array([1e-45], np.float32), "gives scale 0.0; allowed"),
        (np.array([3e38, -3e38], np.float32), "gives scale inf; allowed"),
    ],
)
def test_bad_input_of_dynamic_quantize_linear(x: np.ndarray, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        dynamic_quantize_linear(x)
