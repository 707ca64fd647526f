"""conv2d: LiteRT and onnxruntime convolutions, the reference's plain loops, layouts, QTensors, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qsim
from qsim.codec import set_num_threads
from qsim.datapath import conv
from qsim.datapath.activation_range import activation_range
from qsim.datapath.conv import conv2d, depthwise_weight
from qsim.datapath.datapaths import load_datapath
from qsim.datapath.matmul import linear
from qsim.datapath.multiplier import effective_scale
from qsim.datapath.presets import load_requantizer
from qsim.reference import images
from qsim.spec.datapath import Datapath
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Amount, Narrow, Step

DATA = Path(__file__).parent / "data" / "ops"
LITERT, ONNX = (dict(np.load(DATA / f"{name}.npz")) for name in ("litert_conv", "onnx_conv"))


def cases(arrays: dict[str, np.ndarray]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in json.loads(str(arrays["cases"]))]


def unit(preset: str, out_format: str, bits: int = 32) -> Datapath:
    """A datapath of any operands: an accumulator that wraps, and a requantizer."""
    return Datapath(
        "unit", IntAccumulator(bits=bits, overflow="wrap"), requantizer=load_requantizer(preset), out_format=out_format
    )


def real_scale(scales: list[Any], prep: str) -> Any:
    """si * sw / so, prepared as the preset says: one number, or one an output channel."""
    scale = effective_scale(scales[0], np.array(scales[1]), scales[2], prep=prep)
    return scale if scale.size > 1 else scale.reshape(())


# Real implementations

#: Depthwise cases that round half_up twice without delegates (3 x 2 taps); d0 (3 x 3 taps) rounds as the reference, d1 does not tell.
DEPTHWISE_HALF_UP = ("d2", "d5", "d6")


def litert_datapath(case: dict[str, Any], resolver: str, kind: str) -> Datapath:
    """What the resolver's kernel computes for this operator and type."""
    if kind != "int8":
        return unit("tflite_16x8", kind, 48) if kind == "int16" else unit("tflite_double", kind)
    reference_rounding = case["op"] == "DEPTHWISE_CONV_2D" and case["name"] not in DEPTHWISE_HALF_UP
    names = {"ref": "tflite_conv", "opt": "tflite_conv" if reference_rounding else "tflite_ruy", "xnnpack": "xnnpack_int8"}
    return load_datapath(names[resolver])


@pytest.mark.parametrize("case", cases(LITERT))
def test_conv2d_equals_litert(case: dict[str, Any]) -> None:
    """CONV_2D and DEPTHWISE_CONV_2D of three resolvers: padding, stride, dilation, groups, scales one a channel, activations."""
    x, w, bias = (LITERT[f"{case['name']}_{key}"] for key in "xwb")
    kind = x.dtype.name
    zx, zw, zo = case["zeros"]
    if case["op"] == "DEPTHWISE_CONV_2D":
        w, groups = depthwise_weight(w), x.shape[3]
    else:
        groups = x.shape[3] // w.shape[3]
    for resolver in ("ref", "opt", "xnnpack"):
        y = LITERT.get(f"{case['name']}_y_{resolver}")
        if y is None:
            continue
        datapath = litert_datapath(case, resolver, kind)
        assert datapath.requantizer is not None
        prep = "f32_product" if kind == "uint8" else datapath.requantizer.prep.ratio
        found = conv2d(
            x, w, datapath, bias=bias, stride=case["stride"], dilation=case["dilation"], padding=case["padding"], groups=groups,
            a_zero_point=zx, w_zero_point=zw, scale=real_scale(case["scales"], prep), out_zero_point=zo,
            clamp=activation_range(case["activation"], kind, case["scales"][2], zo),
        )  # fmt: skip
        assert found.dtype == y.dtype
        assert found.shape == y.shape
        assert int((found != y).sum()) == 0, resolver


def test_litert_captures_tell_stacks_apart() -> None:
    """The three resolvers differ from each other on the captured convolutions."""
    pairs = {("y_ref", "y_opt"): 0, ("y_ref", "y_xnnpack"): 0, ("y_opt", "y_xnnpack"): 0}
    for case in json.loads(str(LITERT["cases"])):
        for a, b in pairs:
            if f"{case['name']}_{b}" in LITERT:
                pairs[a, b] += int((LITERT[f"{case['name']}_{a}"] != LITERT[f"{case['name']}_{b}"]).sum())
    assert min(pairs.values()) > 50, pairs


@pytest.mark.parametrize("case", cases(ONNX))
def test_conv2d_equals_onnxruntime(case: dict[str, Any]) -> None:
    """QLinearConv, NCHW: uint8 and int8, zero points, uneven padding, stride, dilation, groups, depthwise."""
    x, w, y = (ONNX[f"{case['name']}_{key}"] for key in "xwy")
    zx, zw, zo = case["zeros"]
    top, left, bottom, right = case.get("pads", [0, 0, 0, 0])
    datapath = load_datapath(f"onnxruntime_{x.dtype}") if w.dtype == np.int8 else unit("onnxruntime", x.dtype.name)
    found = conv2d(
        x, w, datapath, bias=ONNX.get(f"{case['name']}_b"), stride=case.get("strides", 1), dilation=case.get("dilations", 1),
        padding=(top, bottom, left, right), groups=case.get("group", 1), layout="NCHW", a_zero_point=zx, w_zero_point=zw,
        scale=real_scale(case["scales"], "onnxruntime"), out_zero_point=zo,
    )  # fmt: skip
    assert found.dtype == y.dtype
    assert found.shape == y.shape
    assert int((found != y).sum()) == 0


# The reference

ACCUMULATORS = {
    "wrap": IntAccumulator(bits=32, overflow="wrap"),
    "wrap9": IntAccumulator(bits=9, overflow="wrap", bias="first"),
    "saturate9": IntAccumulator(bits=9, overflow="saturate"),
    "saturate10_folded": IntAccumulator(bits=10, overflow="saturate", bias="first", zero_points="folded"),
    "after": IntAccumulator(bits=10, overflow="saturate_symmetric", zero_points="after"),
    "tree": IntAccumulator(bits=9, overflow="saturate", order="tree"),
    "lanes": IntAccumulator(bits=20, overflow="wrap", lanes=2, lane=Narrow(8)),
    "chunked": IntAccumulator(bits=8, overflow="saturate", order="chunked", chunk=4, spill=Narrow(12, overflow="wrap")),
    "product": IntAccumulator(bits=12, overflow="saturate", product=Step(Amount(2), "half_up", Narrow(6))),
}


@given(st.data())
def test_conv2d_equals_the_reference(data: st.DataObject) -> None:
    """Any shape, stride, dilation, padding, groups, zero points and accumulator: sums and events are the reference's."""
    acc = ACCUMULATORS[data.draw(st.sampled_from(sorted(ACCUMULATORS)))]
    groups, depth, each = (data.draw(st.integers(1, 3)) for _ in range(3))
    taps, size, stride, dilation = (tuple(data.draw(st.integers(1, top)) for _ in range(2)) for top in (3, 6, 3, 2))
    explicit = tuple(data.draw(st.integers(0, 3)) for _ in range(4))
    padding = data.draw(st.sampled_from(["same", "valid", explicit]))
    pads = {"same": images.same_pads(size, taps, stride, dilation), "valid": (0, 0, 0, 0)}.get(padding, explicit)
    kind = data.draw(st.sampled_from(["int8", "uint8"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    x = rng.integers(0 if kind == "uint8" else -20, 20, (2, *size, groups * depth)).astype(kind)
    w = rng.integers(-9, 10, (groups * each, *taps, depth)).astype(np.int8)
    a_zero = data.draw(st.integers(0 if kind == "uint8" else -3, 3))
    w_zero = rng.integers(-2, 3, data.draw(st.sampled_from([(), (groups * each,)])))
    bias = data.draw(st.sampled_from([None, rng.integers(-300, 300, groups * each)]))
    first = data.draw(st.booleans())
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups, "bias": bias}
    options |= {"a_zero_point": a_zero, "w_zero_point": w_zero}
    operands = (x.transpose(0, 3, 1, 2), w.transpose(0, 3, 1, 2)) if first else (x, w)
    spans = [(n - 1) * d + 1 for n, d in zip(taps, dilation, strict=True)]
    if any(pads[2 * i] + size[i] + pads[2 * i + 1] < spans[i] for i in range(2)):
        with pytest.raises(ValueError, match="allowed: windows that fit"):
            conv2d(*operands, Datapath("any", acc), layout="NCHW" if first else "NHWC", **options)
        return

    found = [
        images.conv2d(
            image, w.tolist(), acc, stride=stride, dilation=dilation, pads=pads, groups=groups, channels_first=first,
            a_zero=a_zero, w_zero=w_zero.reshape(-1).tolist(), bias=[0] if bias is None else bias.tolist(),
        )
        for image in x.tolist()
    ]  # fmt: skip
    expected = [sums for sums, _ in found]
    counts = {name: sum(events[name] for _, events in found) for name in acc.registers}
    events: dict[str, int] = {}
    sums = conv2d(*operands, Datapath("any", acc), layout="NCHW" if first else "NHWC", events=events, **options)
    assert (sums.transpose(0, 2, 3, 1) if first else sums).tolist() == expected
    assert events == counts


def test_order_of_k_is_the_layouts() -> None:
    """A sum that saturates at 127: kh, kw, c gives 100 + 100 - 100 = 27, c, kh, kw gives 100 - 100 + 100 = 100."""
    acc = IntAccumulator(bits=8, overflow="saturate")
    x = np.array([[100, 100], [-100, 0]], np.int8).reshape(1, 1, 2, 2)  # two columns of two channels
    w = np.ones((1, 1, 2, 2), np.int8)
    assert conv2d(x, w, Datapath("any", acc)).item() == 27
    swapped = (v.transpose(0, 3, 1, 2) for v in (x, w))
    assert conv2d(*swapped, Datapath("any", acc), layout="NCHW").item() == 100


def test_pieces_and_threads_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows built in pieces of any size, by any number of threads, give the same sums and events."""
    rng = np.random.default_rng(0)
    x, w = rng.integers(-128, 128, (3, 9, 8, 6)).astype(np.int8), rng.integers(-128, 128, (6, 3, 3, 2)).astype(np.int8)
    whole: dict[str, int] = {}
    expected = conv2d(x, w, "int8_saturate16", groups=3, padding="same", events=whole)
    assert whole["accumulator"] > 0
    try:
        for pieces, threads in ((1, 1), (500, 2), (2000, 3)):
            monkeypatch.setattr(conv, "PATCHES", pieces)
            set_num_threads(threads)
            events: dict[str, int] = {}
            assert (conv2d(x, w, "int8_saturate16", groups=3, padding="same", events=events) == expected).all()
            assert events == whole
    finally:
        set_num_threads(None)


def test_one_by_one_is_linear() -> None:
    """A kernel of one tap is the fully connected layer of every position, requantized as well."""
    rng = np.random.default_rng(1)
    x, w = rng.integers(-128, 128, (2, 5, 4, 7)).astype(np.int8), rng.integers(-127, 128, (9, 1, 1, 7)).astype(np.int8)
    options: dict[str, Any] = {"bias": np.arange(9), "a_zero_point": 5, "scale": 0.01, "out_zero_point": -3, "clamp": (-100, 50)}
    expected = linear(x.reshape(-1, 7), w.reshape(9, 7), "tflite_conv", **options)
    assert (conv2d(x, w, "tflite_conv", **options).reshape(-1, 9) == expected).all()


def test_qtensors_carry_their_scales() -> None:
    """Encoded operands and out_scale give what their integers and the prepared scale give."""
    rng = np.random.default_rng(2)
    x = qsim.encode(rng.standard_normal((1, 6, 5, 4)).astype(np.float32), "int8", granularity="tensor")
    w = qsim.encode(rng.standard_normal((8, 3, 3, 4)).astype(np.float32), "int8", granularity="channel", channel_axis=0)
    found = conv2d(x, w, "tflite_conv", out_scale=0.5, padding="same")
    sx, sw = (np.asarray(q.scales[0]).view(np.float32).reshape(-1) for q in (x, w))
    scale = effective_scale(sx[0], sw, 0.5, prep="tflite_double")
    assert (found == conv2d(x.integers, w.integers, "tflite_conv", scale=scale, padding="same")).all()
    assert len(np.unique(found)) > 20


def test_overflow_names_the_output() -> None:
    """One window overflows: the error names image, row, column, channel and k, whatever the pieces and groups."""
    x = np.zeros((2, 4, 3, 4), np.int8)
    x[1, 2, 1, 3] = 100
    for each in (1, 8):
        w = np.ones((2 * each, 1, 1, 2), np.int8)
        w[-1] = 2
        with pytest.raises(
            ValueError, match=rf"output \[1, 2, 1, {2 * each - 1}\]: value 200 leaves 8 bits at accumulator, k = 1;"
        ):
            conv2d(x, w, Datapath("any", IntAccumulator(bits=8, overflow="error")), groups=2)


@pytest.mark.parametrize(("images", "channels", "outputs"), [(0, 2, 3), (1, 0, 3), (1, 2, 0)])
def test_empty_operands(images: int, channels: int, outputs: int) -> None:
    """No image, no input channel (sums of nothing are 0) or no output channel."""
    x, w = np.zeros((images, 4, 4, channels), np.int8), np.ones((outputs, 3, 3, channels), np.int8)
    events: dict[str, int] = {}
    found = conv2d(x, w, "int32_exact", events=events)
    assert found.shape == (images, 2, 2, outputs)
    assert not found.any()
    assert events == {"accumulator": 0, "bias": 0}


# Bad input

IMAGE, KERNEL = np.zeros((1, 4, 4, 4), np.int8), np.zeros((6, 3, 3, 4), np.int8)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": IMAGE.astype(np.float32)}, "activation is float32; allowed for tflite_conv: integers, or a QTensor"),
        ({"x": np.full((1, 4, 4, 4), np.nan)}, "activation is float64"),
        ({"w": KERNEL.astype(np.float32)}, "weight is float32"),
        ({"x": IMAGE[0]}, r"activation has shape \(4, 4, 4\); allowed: \(N, H, W, C\)"),
        ({"w": KERNEL[0], "layout": "NCHW"}, r"weight has shape \(3, 3, 4\); allowed: \(O, C / groups, KH, KW\)"),
        ({"x": IMAGE.astype(np.int16) + 200}, r"activation: int8 has no value 200, index \[0, 0, 0, 0\]; allowed: -128 to 127"),
        (
            {"w": np.zeros((6, 3, 3, 3), np.int8)},
            "weight of 3 input channels, activation of 4, groups=1; allowed: a weight of 4, axis 3",
        ),
        ({"groups": 3}, "groups=3; allowed: a divisor of 4 input channels and 6 output channels"),
        ({"groups": 4}, "groups=4; allowed"),
        ({"groups": 0}, "groups=0"),
        ({"groups": 2}, "weight of 4 input channels, activation of 4, groups=2; allowed: a weight of 2"),
        ({"bias": np.zeros(5, np.int32)}, r"bias is int32 of shape \(5,\); allowed: integers of shape \(6,\)"),
        ({"bias": np.zeros(6)}, "bias is float64"),
        ({"stride": (1, 0)}, r"stride=\(1, 0\)"),
        ({"dilation": 2}, "a window of 5 \\(taps 3, dilation 2\\) on a height of 0 \\+ 4 \\+ 0; allowed: windows that fit"),
        ({"padding": -1}, "padding=-1; allowed"),
        ({"padding": "same_lower"}, "padding='same_lower'"),
        ({"layout": "HWC"}, "layout='HWC'; allowed: NHWC, NCHW"),
        ({"a_zero_point": 200, "padding": 1}, "a_zero_point: int8 has no value 200; allowed: -128 to 127"),
        ({"a_zero_point": [0, 0]}, r"a_zero_point has shape \(2,\); allowed: one number"),
        ({"w_zero_point": [0, 0]}, r"w_zero_point has shape \(2,\); allowed: one number, or \(6,\)"),
        ({"scale": None}, "tflite_double got no multiplier"),
        ({"scale": [0.5, 0.5]}, r"scale has shape \(2,\); allowed: one number, or \(6,\)"),
        ({"out_zero_point": 300}, "zero_point 300 is outside the domain"),
        ({"datapath": "int32_exact"}, "int32_exact has no requantizer"),
        ({"datapath": "ampere/fp16"}, "ampere/fp16 has no integer accumulator; allowed for conv2d"),
        ({"out_scale": 0.5, "scale": None}, "out_scale with operands that carry no scale"),
    ],
)
def test_bad_input_is_refused_by_name(change: dict[str, Any], text: str) -> None:
    call = {"x": IMAGE, "w": KERNEL, "datapath": "tflite_conv", "scale": 0.5} | change
    with pytest.raises(ValueError, match=text):
        conv2d(**call)


@pytest.mark.parametrize(
    ("x", "w", "text"),
    [
        (
            ("int8", {"granularity": "channel", "channel_axis": 3}),
            None,
            "activation: scales one a channel of axis 3; allowed: granularity='tensor'",
        ),
        (
            None,
            ("int8", {"granularity": "channel", "channel_axis": 3}),
            "weight: scales one a channel of axis 3; allowed: channel_axis=0",
        ),
        (("mx9", {}), None, "activation is mx9"),
        (None, ("fp8_e4m3", {}), "weight is fp8_e4m3"),
    ],
)
def test_qtensors_that_do_not_fit(x: Any, w: Any, text: str) -> None:
    arrays = [np.ones((1, 4, 4, 16), np.float32), np.ones((2, 3, 3, 16), np.float32)]
    plain = ("int8", {"granularity": "tensor"})
    operands = [qsim.encode(a, (given or plain)[0], **(given or plain)[1]) for a, given in zip(arrays, (x, w), strict=True)]
    with pytest.raises(ValueError, match=text):
        conv2d(*operands, "int32_exact")


def test_depthwise_weight_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3, 3, 4\); allowed: \(1, KH, KW, C \* multiplier\)"):
        depthwise_weight(np.zeros((2, 3, 3, 4), np.int8))
