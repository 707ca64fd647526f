"""Whole networks in integers: every layer against TFLite's bytes, the files of a user's network, and `qsim run`."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from qsim.cli import main
from qsim.datapath.datapaths import load_datapath
from qsim.explore import evaluate as evaluation
from qsim.explore import integer_network
from qsim.explore.evaluate import evaluate, held_out
from qsim.explore.integer_file import EMBEDDED, KEYS, load_integer_network
from qsim.explore.integer_network import RUN, IntegerNetwork, Quantization
from qsim.explore.network import load_network
from qsim.spec import SpecError

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(__file__).resolve().parent / "data" / "network"
EXPLORE = Path(evaluation.__file__).parent
NETWORKS = {name: EXPLORE / f"{name}_int8.toml" for name in EMBEDDED} | {"mixed": DATA / "mixed.toml"}
#: Top-1 on the 400 test images: integers, float32.
ACCURACY = {"digits": (0.985, 0.985), "mlp": (0.97, 0.97)}


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as data:
        return {key: data[key] for key in data.files}


def captured(name: str) -> dict[str, np.ndarray]:
    return arrays_of(DATA / f"{name}_litert.npz")


def mismatches(network: IntegerNetwork, expected: dict[str, np.ndarray]) -> dict[str, int]:
    """Layer -> bytes that differ, each layer fed with what the layers before it gave."""
    found = {}
    for name, codes in network.run(expected["input"]):
        assert codes.dtype == np.int8
        assert codes.shape == expected[name].shape
        found[name] = int(np.count_nonzero(codes != expected[name]))
    return found


# --- against TFLite ---


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_equals_litert(name: str):
    """Each byte of each layer is the one of LiteRT's reference kernels, from the input's codes to the logits."""
    network, expected = load_integer_network(NETWORKS[name]), captured(name)
    found = mismatches(network, expected)

    assert set(found) | {"input"} == set(expected)
    assert found == dict.fromkeys(found, 0)


def test_captures_hold_every_kind_and_64_images():
    layers = [layer for path in NETWORKS.values() for layer in load_integer_network(path).layers]

    assert {layer.kind for layer in layers} == set(KEYS)
    assert {layer.activation for layer in layers} == {"none", "relu", "relu6", "relu_n1_to_1"}
    assert all(len(captured(name)["input"]) == 64 for name in EMBEDDED)
    assert sum(a.size for name in NETWORKS for key, a in captured(name).items() if key != "input") > 170_000


@pytest.mark.parametrize("name", EMBEDDED)
def test_input_codes_equal_those_that_litert_got(name: str):
    network = load_integer_network(name)

    assert np.array_equal(network.input_codes(held_out(network, name)[0][:64]), captured(name)["input"])


@pytest.mark.parametrize(
    ("name", "layer", "datapath"),
    [
        ("digits", "conv1", "tflite_fully_connected"),
        ("digits", "conv2", "xnnpack_int8"),
        ("digits", "fc1", "tflite_conv"),
        ("mlp", "fc1", "tflite_ruy"),
        ("mixed", "wide", "tflite_ruy"),
    ],
)
def test_the_captures_tell_other_stacks_apart(name: str, layer: str, datapath: str):
    """With another stack's arithmetic the same layer, on TFLite's own input, gives other bytes."""
    network, expected = load_integer_network(NETWORKS[name]), captured(name)
    known = {"input": network.quantization} | {x.name: x.quantization for x in network.layers}
    one = next(x for x in network.layers if x.name == layer)
    assert one.weight is not None
    other = replace(one, weight=replace(one.weight, datapath=load_datapath(datapath)))
    codes = RUN[one.kind](other, [expected[i] for i in one.inputs], [known[i] for i in one.inputs], {})

    assert np.count_nonzero(codes != expected[layer]) > 0


# --- the embedded networks ---


@pytest.mark.parametrize("name", EMBEDDED)
def test_accuracy_beside_the_float_one(name: str):
    network = load_integer_network(name)
    report = evaluate(network, *held_out(network, name), float_network=name)

    assert (report.top1, report.float_top1) == ACCURACY[name]
    assert report.images == 400
    assert report.events[network.layers[0].name]["requantizer.clamp"] > 0


@pytest.mark.parametrize("name", EMBEDDED)
def test_weights_are_the_float_ones_transposed(name: str):
    """Each integer weight, channels last, times its scale is within half a step of the float weight."""
    arrays, layers = arrays_of(EXPLORE / f"{name}_int8.npz"), {layer.name: layer for layer in load_network(name).layers}
    for layer_name, layer in layers.items():
        codes, scale = arrays[f"{layer_name}.weight"].astype(np.float64), arrays[f"{layer_name}.weight_scale"].astype(np.float64)
        if layer.convolution:
            codes = codes.transpose(0, 3, 1, 2)
        elif name == "digits" and layer_name == "fc1":
            codes = codes.reshape(-1, 2, 2, 32).transpose(0, 3, 1, 2)
        values = codes.reshape(len(codes), -1) * scale[:, None]
        assert np.all(np.abs(values - layer.matrix) <= scale[:, None] * (0.5 + 2**-20))


def test_shipped_files_are_those_that_the_tool_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """tools/quantize_digits.py, run again, writes the shipped TOML files and arrays."""
    pytest.importorskip("sklearn", reason="scikit-learn is the optional extra `models`")
    monkeypatch.syspath_prepend(ROOT / "tools")
    before = dict(os.environ)
    spec = importlib.util.spec_from_file_location("quantize_digits", ROOT / "tools" / "quantize_digits.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    sys.modules.pop("train_digits", None)
    os.environ.clear()
    os.environ.update(before)
    monkeypatch.setattr(tool, "FOLDER", tmp_path)
    for name in EMBEDDED:
        tool.quantize(name)
        assert (tmp_path / f"{name}_int8.toml").read_text() == (EXPLORE / f"{name}_int8.toml").read_text()
        written, shipped = arrays_of(tmp_path / f"{name}_int8.npz"), arrays_of(EXPLORE / f"{name}_int8.npz")
        assert list(written) == list(shipped)
        assert all(np.array_equal(written[key], shipped[key]) for key in shipped)


def test_shipped_files_are_small():
    assert sum(path.stat().st_size for path in EXPLORE.glob("*_int8.*")) + (EXPLORE / "mlp.npz").stat().st_size < 50_000
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 400_000


def test_pieces_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch):
    """The same outputs, tensors and events whether the images run together or by sevens."""
    network = load_integer_network("digits")
    images, labels = (a[:40] for a in held_out(network, "digits"))
    whole = evaluate(network, images, labels, keep=True)
    monkeypatch.setattr(integer_network, "PIECE", 7 * 8 * 8 * 16)
    parts = evaluate(network, images, labels, keep=True)

    assert [p.stop - p.start for p in network.pieces(40)] == [7, 7, 7, 7, 7, 5]
    assert np.array_equal(whole.outputs, parts.outputs)
    assert whole.events == parts.events
    assert list(whole.tensors) == ["input", *(layer.name for layer in network.layers)]
    assert all(np.array_equal(whole.tensors[key], parts.tensors[key]) for key in whole.tensors)


@given(
    scale=st.floats(2.0**-20, 2.0**10, width=32),
    zero=st.integers(-128, 127),
    values=st.lists(st.floats(-(2.0**30), 2.0**30, width=32) | st.integers(-300, 300).map(lambda n: n / 2), min_size=1),
)
def test_quantize_rounds_the_float32_quotient_half_away(scale: float, zero: int, values: list[float]):
    """codes(x) = clamp(round_half_away(float32(x / scale)) + zero_point, -128, 127)."""
    step = np.float32(scale)
    codes = Quantization(step, zero).codes(np.array(values, np.float32))
    for value, code in zip(values, codes, strict=True):
        quotient = Fraction(float(np.float32(value) / step))
        away = int(abs(quotient) + Fraction(1, 2)) * (-1 if quotient < 0 else 1)
        assert int(code) == min(max(away + zero, -128), 127)


# --- a user's network ---


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, args)])


def ok(*args: object) -> str:
    result = run(*args)

    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*args: object, says: str) -> None:
    result = run(*args)

    assert result.exit_code == 2, result.output
    assert says in result.stderr, result.stderr
    assert "Error: " in result.stderr
    assert "Traceback" not in result.output


TOML = """
name = "tiny"
[input]
shape = [4, 4, 2]
scale = 0.5
zero_point = 0
[[layer]]
name = "conv"
kind = "conv2d"
scale = 1.0
zero_point = 3
padding = "same"
[[layer]]
name = "flat"
kind = "reshape"
[[layer]]
name = "fc"
kind = "fully_connected"
scale = 2.0
zero_point = 0
"""
TINY = {
    "conv.weight": np.ones((1, 3, 3, 2), np.int8),
    "conv.weight_scale": np.ones(1, np.float32),
    "conv.bias": np.array([4], np.int32),
    "fc.weight": np.ones((3, 16), np.int8),
    "fc.weight_scale": np.array([1, 0.5, 0.25], np.float32),
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(TOML)
    np.savez(tmp_path / "tiny.npz", **TINY)
    np.savez(tmp_path / "in.npz", images=np.ones((5, 4, 4, 2), np.int8), labels=np.array([0, 1, 2, 0, 0]))
    return tmp_path / "tiny.toml"


def test_a_users_network_by_hand(tiny: Path):
    """Inputs 1: a window of t taps sums to 2t + 4 in steps of 0.5: t + 2 (ties away) + 3; 16 sums, corner t = 4, edge 6, inside 9."""
    out = tiny.with_name("taps.npz")
    report = json.loads(ok(tiny, "--input", tiny.with_name("in.npz"), "--taps", out, "--json"))
    taps = arrays_of(out)

    assert list(taps) == ["input", "conv", "flat", "fc"]
    assert taps["conv"][0, :, :, 0].tolist() == [[9, 11, 11, 9], [11, 14, 14, 11], [11, 14, 14, 11], [9, 11, 11, 9]]
    total = 4 * 6 + 8 * 8 + 4 * 11
    assert taps["fc"][0].tolist() == [total // 2, total // 4, -(-total // 8) if total % 8 >= 4 else total // 8]
    assert report["top1"] == 0.6
    assert report["float_top1"] is None
    assert report["images"] == 5
    assert [layer["shape"] for layer in report["layers"]] == [[4, 4, 1], [16], [3]]
    assert report["layers"][0]["events"].keys() >= {"accumulator", "requantizer.clamp"}
    assert "top-1 0.6000 in integers" in ok(tiny, "--input", tiny.with_name("in.npz"))


def test_float_images_are_quantized(tiny: Path):
    np.save(tiny.with_name("f.npy"), np.full((2, 4, 4, 2), 0.6, np.float64))
    np.save(tiny.with_name("c.npy"), np.ones((2, 4, 4, 2), np.int8))
    for name in "fc":
        ok(tiny, "--input", tiny.with_name(f"{name}.npy"), "--taps", tiny.with_name(f"{name}.npz"))
    a, b = arrays_of(tiny.with_name("f.npz")), arrays_of(tiny.with_name("c.npz"))

    assert all(np.array_equal(a[key], b[key]) for key in a)


def test_run_prints_layers_accuracy_and_events():
    text = ok()
    lines = text.splitlines()

    assert lines[0].split()[:4] == ["layer", "kind", "output", "datapath"]
    assert [line.split()[0] for line in lines[2:9]] == ["conv1", "pool1", "conv2", "pool2", "flatten", "fc1", "fc2"]
    assert "tflite_conv" in lines[2]
    assert "requantizer.clamp " in lines[2]
    assert "400 images; top-1 0.9850 in integers, 0.9850 in float32" in text
    assert "top-1 0.9700 in integers, 0.9700 in float32" in ok("mlp")


def test_a_datapath_file_is_relative_to_the_network_and_its_overflow_names_the_layer(tiny: Path):
    path = tiny.with_name("narrow.toml")
    path.write_text('[accumulator]\nbits = 5\noverflow = "error"\n[requantizer]\npreset = "tflite_double"\nout_format = "int8"\n')
    tiny.write_text(TOML.replace('padding = "same"', 'padding = "same"\ndatapath = "narrow.toml"'))
    out = tiny.with_name("taps.npz")
    refused(tiny, "--input", tiny.with_name("in.npz"), "--taps", out, says="tiny: layer 'conv': ")
    assert not out.exists()
    path.write_text(path.read_text().replace('"error"', '"saturate"'))

    assert "accumulator " in ok(tiny, "--input", tiny.with_name("in.npz"))


BAD_TOML = {
    "unknown key": ('name = "tiny"', 'name = "tiny"\ncolour = 1', "unknown key 'colour' = 1; allowed: name, title"),
    "unknown layer key": ('padding = "same"', "groups = 2", "layer 'conv' (conv2d): unknown key 'groups' = 2; allowed: name, "),
    "key of another kind": ('kind = "reshape"', 'kind = "reshape"\nscale = 1.0', "layer 'flat' (reshape): unknown key 'scale'"),
    "unknown kind": ('"conv2d"', '"conv3d"', "layer 'conv': kind = 'conv3d'; allowed: conv2d, depthwise_conv2d"),
    "kind no text": ('kind = "conv2d"', "kind = []", "layer 'conv': kind = []; allowed"),
    "no kind": ('kind = "conv2d"\n', "", "layer 'conv': kind = None"),
    "no layers": (TOML[TOML.index("[[layer]]") :], "", "layer = []; allowed: one [[layer]] table"),
    "layer no table": (TOML[TOML.index("[[layer]]") :], "layer = 3\n", "unknown key 'layer'"),
    "name twice": ('"flat"', '"conv"', "layer 1: name = 'conv'; allowed: letters"),
    "name input": ('"flat"', '"input"', "layer 1: name = 'input'"),
    "name with a slash": ('"flat"', '"a/b"', "layer 1: name = 'a/b'"),
    "no name": ('name = "flat"\n', "", "layer 1: name = None"),
    "unknown input": (
        'kind = "reshape"',
        'kind = "reshape"\ninput = "later"',
        "input = 'later'; allowed: one name of input, conv",
    ),
    "two inputs": ('kind = "reshape"', 'kind = "reshape"\ninput = ["conv", "conv"]', "allowed: one name of"),
    "scale zero": ("scale = 1.0", "scale = 0", "layer 'conv': scale = 0; allowed: a number, positive"),
    "scale text": ("scale = 1.0", 'scale = "1"', "scale = '1'"),
    "scale infinite": ("scale = 1.0", "scale = 1e300", "scale = 1e+300"),
    "scale true": ("scale = 1.0", "scale = true", "scale = True"),
    "no scale": ("scale = 1.0\n", "", "layer 'conv': scale = None"),
    "zero point": ("zero_point = 3", "zero_point = 128", "layer 'conv': zero_point = 128; allowed: -128 to 127"),
    "zero point float": ("zero_point = 3", "zero_point = 3.0", "zero_point = 3.0"),
    "input shape": ("shape = [4, 4, 2]", "shape = [4, 4, 0]", "input: shape = [4, 4, 0]; allowed: a list of 1 to 4 integers"),
    "no input": (TOML[TOML.index("[input]") : TOML.index("[[layer]]")], "", "input: scale = None"),
    "padding": ('padding = "same"', 'padding = "full"', "layer 'conv': padding = 'full'; allowed: 'valid', 'same' or ["),
    "padding list": ('padding = "same"', "padding = [1, 2]", "layer 'conv': padding=(1, 2); allowed"),
    "stride": ('padding = "same"', "stride = [1, 0]", "layer 'conv': stride = [1, 0]; allowed: a list of 2 integers"),
    "activation": ('padding = "same"', 'activation = "gelu"', "activation = 'gelu'; allowed: none, relu, relu6"),
    "window too large": ('padding = "same"', "dilation = [2, 2]", "layer 'conv': a window of 5 (taps 3, dilation 2)"),
    "datapath": ('padding = "same"', 'datapath = "tpu"', "layer 'conv': datapath: unknown datapath 'tpu'"),
    "no requantizer": (
        'padding = "same"',
        'datapath = "int32_wrap"',
        "datapath = 'int32_wrap'; allowed: a datapath with a requant",
    ),
    "uint8": ('padding = "same"', 'datapath = "onnxruntime_uint8"', "allowed: a datapath with a requantizer that gives int8"),
    "float datapath": ('padding = "same"', 'datapath = "hopper/fp16"', "allowed: a datapath with an integer accumulator"),
    "no array": ('padding = "same"', 'bias = "b"', "layer 'conv': bias: no array 'b' in "),
    "reshape": ('kind = "reshape"', 'kind = "reshape"\nshape = [5]', "layer 'flat': shape = [5] of an input of (4, 4, 1)"),
    "pool without filter": ('kind = "reshape"', 'kind = "max_pool2d"', "layer 'flat': filter = None; allowed: a list of 2"),
    "not flat": (
        'kind = "reshape"',
        'kind = "max_pool2d"\nfilter = [1, 1]',
        "layer 'fc': input of shape (4, 4, 1), weight (3, 16)",
    ),
    "not TOML": ("[input]", "[input", "tiny.toml: not a readable TOML file"),
    "other arrays": ('name = "tiny"', 'arrays = "none.npz"', "none.npz: no such file"),
}


@pytest.mark.parametrize("case", BAD_TOML)
def test_a_file_that_lies_is_refused(tiny: Path, case: str):
    old, new, says = BAD_TOML[case]
    assert old in TOML
    tiny.write_text(TOML.replace(old, new, 1))
    before = sorted(os.listdir(tiny.parent))
    refused(tiny, "--input", tiny.with_name("in.npz"), "--taps", tiny.with_name("t.npz"), says=says)
    refused(tiny, "--input", tiny.with_name("in.npz"), says=str(tiny.parent))

    assert sorted(os.listdir(tiny.parent)) == before


BAD_ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"conv.weight": None}, "layer 'conv': weight: no array 'conv.weight' in "),
    "unused": ({"conv.biass": np.zeros(1)}, "arrays that no layer of tiny.toml uses: conv.biass"),
    "weight dtype": ({"conv.weight": np.ones((1, 3, 3, 2), np.uint8)}, "weight is uint8 of shape (1, 3, 3, 2); allowed: int8 of"),
    "weight axes": ({"conv.weight": np.ones((3, 3, 2), np.int8)}, "allowed: int8 of shape (O, kh, kw, I)"),
    "weight channels": ({"conv.weight": np.ones((1, 3, 3, 3), np.int8)}, "layer 'conv': weight (1, 3, 3, 3) for 2 channels"),
    "groups": ({"conv.weight": np.ones((1, 3, 3, 1), np.int8)}, "layer 'conv': weight (1, 3, 3, 1) for 2 channels"),
    "empty weight": ({"conv.weight": np.ones((0, 3, 3, 2), np.int8)}, "weight is int8 of shape (0, 3, 3, 2)"),
    "columns": ({"fc.weight": np.ones((3, 15), np.int8)}, "layer 'fc': input of shape (16,), weight (3, 15)"),
    "scale dtype": (
        {"fc.weight_scale": np.ones(3)},
        "weight_scale is float64 of shape (3,); allowed: float32 of shape (1,) or (3,)",
    ),
    "scale shape": ({"fc.weight_scale": np.ones(2, np.float32)}, "weight_scale is float32 of shape (2,)"),
    "scale value": ({"fc.weight_scale": np.array([1, 0, 1], np.float32)}, "weight_scale holds 0.0; allowed: positive and finite"),
    "scale NaN": ({"conv.weight_scale": np.array([np.nan], np.float32)}, "weight_scale holds nan"),
    "bias dtype": ({"conv.bias": np.zeros(1)}, "layer 'conv': bias is float64 of shape (1,); allowed: int32 of shape (1,)"),
    "bias shape": ({"conv.bias": np.zeros(2, np.int32)}, "bias is int32 of shape (2,)"),
    "objects": ({"conv.bias": np.array([None, {}], object)}, "tiny.npz: not a readable .npz file"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_do_not_fit_are_refused(tiny: Path, case: str):
    changed, says = BAD_ARRAYS[case]
    np.savez(tiny.with_name("tiny.npz"), **{k: a for k, a in (TINY | changed).items() if a is not None})
    with pytest.raises(SpecError) as caught:
        load_integer_network(tiny)

    assert says in str(caught.value)
    assert str(tiny.parent) in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"hello", b"PK\x03\x04"])
def test_a_damaged_npz_is_refused(tiny: Path, damage: bytes):
    tiny.with_name("tiny.npz").write_bytes(damage)
    refused(tiny, "--input", tiny.with_name("in.npz"), says="tiny.npz: not a readable .npz file")


BAD_INPUT: dict[str, tuple[Any, str]] = {
    "shape": (np.ones((5, 4, 4, 3), np.int8), "bad.npy: shape (5, 4, 4, 3); allowed for tiny: (N, 4, 4, 2)"),
    "no images": (np.ones((0, 4, 4, 2), np.int8), "N at least 1"),
    "dtype": (np.ones((5, 4, 4, 2), np.uint8), "uint8; allowed for tiny: int8 codes, or floats"),
    "NaN": (np.full((5, 4, 4, 2), np.nan), "160 values are NaN or Inf, the first at index (0, 0, 0, 0)"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_images_are_refused(tiny: Path, case: str):
    array, says = BAD_INPUT[case]
    np.save(tiny.with_name("bad.npy"), array)
    refused(tiny, "--input", tiny.with_name("bad.npy"), "--taps", tiny.with_name("t.npz"), says=says)

    assert not tiny.with_name("t.npz").exists()


def test_bad_use_of_run(tiny: Path):
    folder, source = tiny.parent, tiny.with_name("in.npz")
    refused("resnet", says="unknown network 'resnet'; allowed: digits, mlp, or the path of a .toml file")
    refused(folder / "none.toml", says="none.toml: no such file")
    refused(tiny, says="tiny needs --input FILE")
    refused(tiny, "--input", folder / "none.npy", says="none.npy: No such file")
    refused(tiny, "--input", source, "--taps", folder / "t.npy", says="allowed: a name that ends in .npz")
    refused(tiny, "--input", source, "--taps", folder / "no" / "t.npz", says="no folder")
    for kept in (source, tiny.with_name("tiny.npz")):
        before = kept.read_bytes()
        refused(tiny, "--input", source, "--taps", kept, says="an input is never overwritten")
        assert kept.read_bytes() == before
    np.savez(source, images=np.ones((5, 4, 4, 2), np.int8), labels=np.zeros(4, np.int64))
    refused(tiny, "--input", source, says="in.npz: labels are int64 of shape (4,); allowed: integers of shape (5,)")
    np.savez(source, x=np.ones((5, 4, 4, 2), np.int8), labels=np.zeros(5, np.int64))
    refused(tiny, "--input", source, says="arrays x, labels; allowed: one array, or images and labels")
    np.savez(source, images=np.ones((5, 4, 4, 2), np.int8), labels=np.zeros(5, np.int64))
    tiny.write_text(TOML[: TOML.index('[[layer]]\nname = "flat"')])
    np.savez(tiny.with_name("tiny.npz"), **{k: a for k, a in TINY.items() if k.startswith("conv")})
    refused(tiny, "--input", source, says="labels for outputs of shape (4, 4, 1)")


def test_every_key_of_a_layer_is_documented():
    """Every kind and key that the parser knows stands in docs/networks.md."""
    text = (ROOT / "docs" / "networks.md").read_text()

    assert all(f"`{key}`" in text for kind, keys in KEYS.items() for key in (kind, *keys))


def test_shipped_toml_is_valid():
    for path in NETWORKS.values():
        assert tomllib.loads(path.read_text())["name"] == load_integer_network(path).name
