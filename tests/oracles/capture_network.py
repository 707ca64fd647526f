"""Run whole int8 networks by TFLite's reference kernels and keep the bytes of every layer.

Run in an environment of its own: pip install ai-edge-litert==2.3.0 flatbuffers numpy. Writes tests/data/network/*.npz, and
mixed.toml with its arrays: a network of random weights that has every layer kind. Nothing of qsim is used: the network files
are read with tomllib and numpy, and become TFLite flatbuffers.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as s

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "tests" / "data" / "network"
EXPLORE = ROOT / "qsim" / "explore"
IMAGES = 64
OPERATORS = {  # kind -> (builtin operator, its int8 version)
    "conv2d": (s.BuiltinOperator.CONV_2D, 3),
    "depthwise_conv2d": (s.BuiltinOperator.DEPTHWISE_CONV_2D, 3),
    "fully_connected": (s.BuiltinOperator.FULLY_CONNECTED, 4),
    "max_pool2d": (s.BuiltinOperator.MAX_POOL_2D, 2),
    "average_pool2d": (s.BuiltinOperator.AVERAGE_POOL_2D, 2),
    "add": (s.BuiltinOperator.ADD, 2),
    "mul": (s.BuiltinOperator.MUL, 2),
    "reshape": (s.BuiltinOperator.RESHAPE, 1),
}
ACTIVATIONS = {
    "none": s.ActivationFunctionType.NONE,
    "relu": s.ActivationFunctionType.RELU,
    "relu6": s.ActivationFunctionType.RELU6,
    "relu_n1_to_1": s.ActivationFunctionType.RELU_N1_TO_1,
}
PADDINGS = {"same": s.Padding.SAME, "valid": s.Padding.VALID}


def options(layer: dict[str, Any], weight: np.ndarray | None, channels: int) -> tuple[int, Any]:
    """The builtin options of a layer."""
    kind = layer["kind"]
    names = {
        "conv2d": "Conv2DOptions",
        "depthwise_conv2d": "DepthwiseConv2DOptions",
        "fully_connected": "FullyConnectedOptions",
        "max_pool2d": "Pool2DOptions",
        "average_pool2d": "Pool2DOptions",
        "add": "AddOptions",
        "mul": "MulOptions",
        "reshape": "ReshapeOptions",
    }
    o = getattr(s, names[kind] + "T")()
    if kind != "reshape":
        o.fusedActivationFunction = ACTIVATIONS[layer.get("activation", "none")]
    if kind.endswith("2d"):
        o.padding = PADDINGS[layer.get("padding", "valid")]
        o.strideH, o.strideW = layer.get("stride", [1, 1])
    if kind.endswith("conv2d"):
        o.dilationHFactor, o.dilationWFactor = layer.get("dilation", [1, 1])
    if kind == "depthwise_conv2d":
        assert weight is not None
        o.depthMultiplier = weight.shape[3] // channels
    if kind.endswith("pool2d"):
        o.filterHeight, o.filterWidth = layer["filter"]
    return getattr(s.BuiltinOptions, names[kind]), o


class Builder:
    """Tensors, buffers and operators of one subgraph."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [s.BufferT()]
        self.quantization: list[tuple[float, int]] = []

    def tensor(self, name: str, shape: tuple[int, ...], dtype: int, data: np.ndarray | None = None) -> int:
        """A tensor, constant if it has data; its index."""
        t = s.TensorT()
        t.name, t.shape, t.type, t.buffer = name, list(shape), dtype, 0
        if data is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            t.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(t)
        return len(self.tensors) - 1

    def quantize(self, index: int, scales: np.ndarray, zero: int, axis: int = 0) -> None:
        """Quantization parameters of a tensor."""
        q = s.QuantizationParametersT()
        q.scale, q.zeroPoint = [float(v) for v in scales], [zero] * len(scales)
        q.quantizedDimension = axis if len(scales) > 1 else 0
        self.tensors[index].quantization = q


def extent(size: int, window: int, stride: int, padding: str) -> int:
    """Outputs along one dimension."""
    return -(-size // stride) if padding == "same" else (size - window) // stride + 1


def out_shape(layer: dict[str, Any], shape: tuple[int, ...], weight: np.ndarray | None) -> tuple[int, ...]:
    """Shape of a layer's output, the batch first."""
    kind = layer["kind"]
    if kind == "reshape":
        return (shape[0], *layer.get("shape", [int(np.prod(shape[1:]))]))
    if kind in ("add", "mul"):
        return shape
    if kind == "fully_connected":
        assert weight is not None
        return (shape[0], len(weight))
    window, channels = layer.get("filter"), shape[3]
    if weight is not None:
        window = [(k - 1) * d + 1 for k, d in zip(weight.shape[1:3], layer.get("dilation", [1, 1]), strict=True)]
        channels = weight.shape[3] if kind == "depthwise_conv2d" else weight.shape[0]
    stride, padding = layer.get("stride", [1, 1]), layer.get("padding", "valid")
    return (shape[0], *(extent(n, w, k, padding) for n, w, k in zip(shape[1:3], window, stride, strict=True)), channels)


def flatbuffer(network: dict[str, Any], arrays: dict[str, np.ndarray], batch: int) -> tuple[bytes, dict[str, int]]:
    """The model, and the tensor index of every layer."""
    b, operators, codes = Builder(), [], []
    first = (batch, *network["input"]["shape"])
    index = {"input": b.tensor("input", first, s.TensorType.INT8)}
    known = {"input": (np.float32(network["input"]["scale"]), network["input"]["zero_point"])}
    b.quantize(index["input"], np.array([known["input"][0]]), known["input"][1])
    previous = "input"
    for layer in network["layer"]:
        name, kind = layer["name"], layer["kind"]
        inputs = layer.get("input", previous)
        inputs = inputs if isinstance(inputs, list) else [inputs]
        shape = tuple(b.tensors[index[inputs[0]]].shape)
        weight = arrays.get(f"{name}.weight")
        operands = [index[i] for i in inputs]
        known[name] = (np.float32(layer["scale"]), layer["zero_point"]) if "scale" in layer else known[inputs[0]]
        if weight is not None:
            scales = arrays[f"{name}.weight_scale"]
            w = b.tensor(f"{name}.weight", weight.shape, s.TensorType.INT8, weight)
            b.quantize(w, scales, 0, 3 if kind == "depthwise_conv2d" else 0)
            operands.append(w)
            if f"{name}.bias" in arrays:
                bias = b.tensor(f"{name}.bias", arrays[f"{name}.bias"].shape, s.TensorType.INT32, arrays[f"{name}.bias"])
                b.quantize(bias, known[inputs[0]][0] * scales, 0)
                operands.append(bias)
            else:
                operands.append(-1)
        result = out_shape(layer, shape, weight)
        if kind == "reshape":
            wanted = np.array(result, np.int32)
            operands.append(b.tensor(f"{name}.shape", wanted.shape, s.TensorType.INT32, wanted))
        index[name] = b.tensor(name, result, s.TensorType.INT8)
        b.quantize(index[name], np.array([known[name][0]]), known[name][1])
        operator, (builtin, version) = s.OperatorT(), OPERATORS[kind]
        operator.inputs, operator.outputs, operator.opcodeIndex = operands, [index[name]], len(codes)
        operator.builtinOptionsType, operator.builtinOptions = options(layer, weight, shape[-1])
        operators.append(operator)
        code = s.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = version
        codes.append(code)
        previous = name
    graph, model = s.SubGraphT(), s.ModelT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = b.tensors, [0], [index[previous]], operators
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, codes, [graph], b.buffers
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), index


def run(network: dict[str, Any], arrays: dict[str, np.ndarray], codes: np.ndarray) -> dict[str, np.ndarray]:
    """The output of every layer, by the reference kernels."""
    model, index = flatbuffer(network, arrays, len(codes))
    runner = litert.Interpreter(
        model_content=model,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    runner.allocate_tensors()
    runner.set_tensor(index["input"], codes)
    runner.invoke()
    return {name: runner.get_tensor(i).copy() for name, i in index.items()}


def input_codes(images: np.ndarray, scale: np.float32, zero: int) -> np.ndarray:
    """TFLite's QUANTIZE: C round of the float32 quotient, the zero point, saturation."""
    quotient = images.astype(np.float32) / scale
    rounded = np.copysign(np.floor(np.abs(quotient).astype(np.float64) + 0.5), quotient)
    return np.clip(rounded + zero, -128, 127).astype(np.int8)


MIXED = """# Written by tests/oracles/capture_network.py: every layer kind, random weights.

name = "mixed"

[input]
shape = [11, 9, 4]
scale = 0.05
zero_point = 3

[[layer]]
name = "stem"
kind = "conv2d"
scale = 0.047
zero_point = -20
activation = "relu6"
stride = [2, 1]
padding = "same"

[[layer]]
name = "depthwise"
kind = "depthwise_conv2d"
scale = 0.012
zero_point = -5
activation = "relu_n1_to_1"
padding = "same"
stride = [1, 2]

[[layer]]
name = "wide"
kind = "depthwise_conv2d"
input = "stem"
scale = 0.03
zero_point = 11
stride = [1, 2]
padding = "same"

[[layer]]
name = "dilated"
kind = "conv2d"
input = "wide"
scale = 0.009
zero_point = 7
dilation = [2, 2]
padding = "same"

[[layer]]
name = "sum"
kind = "add"
input = ["dilated", "wide"]
scale = 0.03
zero_point = -9
activation = "relu"

[[layer]]
name = "product"
kind = "mul"
input = ["sum", "wide"]
scale = 0.055
zero_point = 19

[[layer]]
name = "average"
kind = "average_pool2d"
filter = [3, 2]
stride = [2, 2]
padding = "same"
activation = "relu"

[[layer]]
name = "largest"
kind = "max_pool2d"
input = "product"
filter = [2, 3]
stride = [1, 2]
padding = "valid"
activation = "relu_n1_to_1"

[[layer]]
name = "valid"
kind = "conv2d"
input = "average"
scale = 0.021
zero_point = 2

[[layer]]
name = "grouped"
kind = "conv2d"
input = "wide"
scale = 0.02
zero_point = -31
activation = "relu"
stride = [2, 2]
padding = "same"

[[layer]]
name = "flatten"
input = "valid"
kind = "reshape"

[[layer]]
name = "hidden"
kind = "fully_connected"
scale = 0.0052
zero_point = -64
activation = "relu"

[[layer]]
name = "again"
kind = "reshape"
input = "largest"
shape = [8, 10]

[[layer]]
name = "logits"
kind = "fully_connected"
input = "hidden"
scale = 0.0033
zero_point = 30
"""


def mixed_arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights of the mixed network: int8 with -127, scales over a factor of 8, biases that move outputs."""
    shapes = {
        "stem": ((8, 3, 3, 4), 8),
        "depthwise": ((1, 3, 3, 8), 8),
        "wide": ((1, 5, 3, 8), 8),
        "dilated": ((8, 3, 3, 8), 8),
        "valid": ((6, 2, 2, 8), 6),
        "grouped": ((6, 3, 3, 4), 6),
        "hidden": ((12, 24), 1),
        "logits": ((10, 12), 10),
    }
    arrays: dict[str, np.ndarray] = {}
    for name, (shape, scales) in shapes.items():
        fan_in = int(np.prod(shape)) // (shape[3] if name in ("depthwise", "wide") else shape[0])
        arrays[f"{name}.weight"] = rng.integers(-127, 128, shape).astype(np.int8)
        spread = rng.uniform(0.4, 1.6, scales)
        arrays[f"{name}.weight_scale"] = (spread / (127 * np.sqrt(fan_in))).astype(np.float32)
        if name != "logits":
            channels = shape[3] if len(shape) == 4 and shape[0] == 1 else shape[0]
            arrays[f"{name}.bias"] = rng.integers(-6000, 6000, channels).astype(np.int32)
    return arrays


def main() -> None:
    """The embedded networks on test images, the mixed one on random codes."""
    HERE.mkdir(exist_ok=True)
    rng = np.random.default_rng(20261123)
    np.savez_compressed(HERE / "mixed.npz", **mixed_arrays(rng))
    (HERE / "mixed.toml").write_text(MIXED)
    with np.load(EXPLORE / "digits.npz") as data:
        images = data["images"][:IMAGES] / np.float32(16)
    for path in (EXPLORE / "digits_int8.toml", EXPLORE / "mlp_int8.toml", HERE / "mixed.toml"):
        network = tomllib.loads(path.read_text())
        with np.load(path.with_suffix(".npz")) as data:
            arrays = {key: data[key] for key in data.files}
        shape, scale, zero = (network["input"][key] for key in ("shape", "scale", "zero_point"))
        if path.parent == EXPLORE:
            codes = input_codes(images.reshape(-1, *shape), np.float32(scale), zero)
        else:
            codes = rng.integers(-128, 128, (16, *shape)).astype(np.int8)
        layers = run(network, arrays, codes)
        target = HERE / f"{path.stem.removesuffix('_int8')}_litert.npz"
        np.savez_compressed(target, **layers)
        print(f"{target.name}: {target.stat().st_size} bytes, {sum(a.size for a in layers.values())} values")
        for name, a in layers.items():
            print(f"  {name}: {a.shape}, {len(np.unique(a))} codes from {a.min()} to {a.max()}")


if __name__ == "__main__":
    main()
