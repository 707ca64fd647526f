"""Capture requantized outputs of real runtimes by the bias probe: input 0, so that each channel's bias is the accumulator.

Run in an environment of its own: pip install ai-edge-litert==2.3.0 onnxruntime==1.32.0 onnx flatbuffers numpy. Writes
tests/data/requantize/litert.npz and onnxruntime.npz. Nothing of qsim is used: accumulators are directed by Fractions.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent.parent / "data" / "requantize"
SCALES = [  # (input, weight, output), float32 values
    (0.015625, 0.015625, 0.0625),
    (0.05296124517917633, 0.024093778803944588, 0.11484327912330627),
    (0.0078125, 0.00390625, 0.5),
    (0.1, 0.003, 0.07),
    (0.0235, 0.0117, 0.0009),
    (3.0, 0.7, 1.9),
    (0.037, 1e-05, 0.21),
]
CHANNELS = 1024


def accumulators(scale: Fraction, rng: np.random.Generator) -> np.ndarray:
    """Accumulators at and beside the ties of every output code, and anything up to the saturated range."""
    ties = [int((Fraction(2 * k + 1, 2)) / scale) + d for k in range(-140, 140) for d in (-1, 0, 1)]
    span = int(Fraction(300) / scale) + 2
    rest = rng.integers(-span, span, CHANNELS - len(ties))
    return np.clip(np.concatenate([ties, rest]), -(2**31) + 1, 2**31 - 1).astype(np.int32)


def litert_model(kind: str, bias: np.ndarray, scales: tuple[float, ...], zero_point: int) -> bytes:
    """A flatbuffer of one convolution or fully connected layer, weights 1 of per-channel (conv) or per-tensor (fc) scale."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as s

    n = bias.size

    def tensor(name: str, shape: list[int], dtype: int, buffer: int, scale: list[float], zero: list[int]) -> Any:
        t = s.TensorT()
        t.name, t.shape, t.type, t.buffer = name, shape, dtype, buffer
        t.quantization = s.QuantizationParametersT()
        t.quantization.scale, t.quantization.zeroPoint = scale, zero
        return t

    si, sw, so = (float(np.float32(v)) for v in scales)
    bias_scale = float(np.float32(si) * np.float32(sw))
    conv = kind == "conv"
    one_by_one = [n, 1, 1, 1] if conv else [n, 1]
    per = n if conv else 1
    weight = tensor("w", one_by_one, s.TensorType.INT8, 1, [sw] * per, [0] * per)
    weight.quantization.quantizedDimension = 0
    biases = tensor("b", [n], s.TensorType.INT32, 2, [bias_scale] * per, [0] * per)
    tensors = [
        tensor("x", [1, 1, 1, 1] if conv else [1, 1], s.TensorType.INT8, 0, [si], [0]),
        weight,
        biases,
        tensor("y", [1, 1, 1, n] if conv else [1, n], s.TensorType.INT8, 0, [so], [zero_point]),
    ]
    operator = s.OperatorT()
    operator.inputs, operator.outputs, operator.opcodeIndex = [0, 1, 2], [3], 0
    if conv:
        operator.builtinOptionsType = s.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = s.Conv2DOptionsT()
        operator.builtinOptions.padding = s.Padding.VALID
        operator.builtinOptions.strideW = operator.builtinOptions.strideH = 1
        operator.builtinOptions.dilationWFactor = operator.builtinOptions.dilationHFactor = 1
    else:
        operator.builtinOptionsType = s.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = s.FullyConnectedOptionsT()
    code = s.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = s.BuiltinOperator.CONV_2D if conv else s.BuiltinOperator.FULLY_CONNECTED
    code.version = 3 if conv else 4
    graph = s.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [3], [operator]
    model = s.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [s.BufferT() for _ in range(3)]
    model.buffers[1].data = np.ones(n, np.uint8)
    model.buffers[2].data = np.frombuffer(bias.tobytes(), np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def litert_run(model: bytes, resolver: str) -> np.ndarray:
    """The output codes for input 0."""
    from ai_edge_litert import interpreter as i

    kind = {
        "ref": i.OpResolverType.BUILTIN_REF,
        "ruy": i.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        "xnnpack": i.OpResolverType.BUILTIN,
    }[resolver]
    runner = i.Interpreter(model_content=model, experimental_op_resolver_type=kind, num_threads=1)
    runner.allocate_tensors()
    detail = runner.get_input_details()[0]
    runner.set_tensor(detail["index"], np.zeros(detail["shape"], np.int8))
    runner.invoke()
    return runner.get_tensor(runner.get_output_details()[0]["index"]).reshape(-1).copy()


def onnx_run(bias: np.ndarray, scales: tuple[float, ...], zero_point: int) -> np.ndarray:
    """QLinearConv of input 0, its bias the accumulator."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    n = bias.size
    constants = {
        "xs": np.float32(scales[0]),
        "xz": np.int8(0),
        "w": np.ones((n, 1, 1, 1), np.int8),
        "ws": np.float32(scales[1]),
        "wz": np.int8(0),
        "ys": np.float32(scales[2]),
        "yz": np.int8(zero_point),
        "b": bias,
    }
    graph = helper.make_graph(
        [helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", onnx.TensorProto.INT8, [1, 1, 1, 1])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT8, [1, n, 1, 1])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.zeros((1, 1, 1, 1), np.int8)})[0].reshape(-1)


def main() -> None:
    """All kernels, all scales."""
    rng = np.random.default_rng(20261122)
    zero_points = rng.integers(-128, 128, len(SCALES))
    exact = [
        Fraction(float(np.float32(a))) * Fraction(float(np.float32(b))) / Fraction(float(np.float32(c))) for a, b, c in SCALES
    ]
    acc = np.stack([accumulators(e, rng) for e in exact])
    common = {"scales": np.array(SCALES, np.float32), "zero_point": zero_points.astype(np.int8), "acc": acc}
    outputs = {
        f"{kind}_{resolver}": np.stack(
            [litert_run(litert_model(kind, a, s, int(z)), resolver) for a, s, z in zip(acc, SCALES, zero_points, strict=True)]
        )
        for kind in ("conv", "fc")
        for resolver in ("ref", "ruy", "xnnpack")
    }
    np.savez_compressed(HERE / "litert.npz", **common, **outputs)
    conv = np.stack([onnx_run(a, s, int(z)) for a, s, z in zip(acc, SCALES, zero_points, strict=True)])
    np.savez_compressed(HERE / "onnxruntime.npz", **common, qlinearconv=conv)


if __name__ == "__main__":
    main()
