"""Capture whole operators of real runtimes on directed values: LiteRT kernels, onnxruntime.

Run in an environment of its own: pip install ai-edge-litert==2.3.0 onnxruntime==1.32.0 onnx flatbuffers numpy. Writes
tests/data/ops/*.npz: `cases` is a JSON list of {name, op, parameters}; arrays are NAME_x, NAME_w, NAME_b, NAME_y. Nothing of qsim
is used.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent.parent / "data" / "ops"
RNG = np.random.default_rng(20261123)
F32 = np.float32
Array = np.ndarray
ISSUE_102943 = (0.05296124517917633, 0.024093778803944588, 0.11484327912330627)  # (input, weight, output) scales


class Set:
    """Cases of one file."""

    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []
        self.arrays: dict[str, Array] = {}

    def add(self, name: str, op: str, parameters: dict[str, Any], **arrays: Array | None) -> None:
        """One case; arrays that are None are not stored."""
        self.cases.append({"name": name, "op": op, **parameters})
        self.arrays |= {f"{name}_{key}": value for key, value in arrays.items() if value is not None}

    def save(self, file: str) -> None:
        """Write the file and say how large it is."""
        np.savez_compressed(HERE / file, cases=np.array(json.dumps(self.cases)), **self.arrays)
        outputs = sum(v.size for k, v in self.arrays.items() if "_y" in k)
        print(f"{file}: {len(self.cases)} cases, {outputs} outputs, {(HERE / file).stat().st_size} bytes")


def ints(dtype: str, shape: tuple[int, ...], low: int | None = None, high: int | None = None) -> Array:
    """Random integers of a type, both ends included."""
    info = np.iinfo(dtype)
    return RNG.integers(info.min if low is None else low, (info.max if high is None else high) + 1, shape).astype(dtype)


def scale_list(n: int, base: float) -> list[float]:
    """n float32 scales around base."""
    return [float(F32(base * v)) for v in RNG.uniform(0.5, 1.5, n)]


def tie_accumulators(scale: Fraction, count: int, limit: int) -> Array:
    """Accumulators at and beside ties of output codes, then any of the range of the codes, none beyond +-limit."""
    ties = [int(Fraction(2 * k + 1, 2) / scale) + d for k in range(-270, 270) for d in (-1, 0, 1)]
    ties = [t for t in ties if abs(t) <= limit]
    ties = [int(t) for t in RNG.permutation(ties)[: count // 2]]
    span = min(limit, int(Fraction(300) / scale) + 2)
    return np.concatenate([ties, RNG.integers(-span, span + 1, count - len(ties))]).astype(np.int64)


# LiteRT

ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}
RESOLVERS = {"ref": "BUILTIN_REF", "opt": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "xnnpack": "BUILTIN"}


def litert(op: str, inputs: list[dict[str, Any]], output: dict[str, Any], options: Any, version: int, resolver: str) -> Array:
    """Run one operator. Tensors: shape or data, type, scale (list), zero (list), dim; those with `constant` are buffers."""
    import flatbuffers
    from ai_edge_litert import interpreter as run
    from ai_edge_litert import schema_py_generated as s

    model = s.ModelT()
    model.version, model.buffers = 3, [s.BufferT()]
    tensors = []
    for i, t in enumerate([*inputs, output]):
        tensor = s.TensorT()
        shape = t["data"].shape if "data" in t else t["shape"]
        tensor.name, tensor.shape, tensor.type = f"t{i}", [int(n) for n in shape], getattr(s.TensorType, t["type"].upper())
        tensor.quantization = s.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = t["scale"], t["zero"]
        tensor.quantization.quantizedDimension = t.get("dim", 0)
        tensor.buffer = 0
        if t.get("constant"):
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(t["data"]).tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        tensors.append(tensor)
    operator = s.OperatorT()
    operator.inputs, operator.outputs, operator.opcodeIndex = list(range(len(inputs))), [len(inputs)], 0
    operator.builtinOptionsType = getattr(s.BuiltinOptions, type(options).__name__[:-1])
    operator.builtinOptions = options
    code = s.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(s.BuiltinOperator, op)
    code.version = version
    graph = s.SubGraphT()
    fed = [i for i, t in enumerate(inputs) if not t.get("constant")]
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, fed, [len(inputs)], [operator]
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    kind = getattr(run.OpResolverType, RESOLVERS[resolver])
    runner = run.Interpreter(model_content=bytes(builder.Output()), experimental_op_resolver_type=kind, num_threads=1)
    runner.allocate_tensors()
    for detail, i in zip(runner.get_input_details(), fed, strict=True):
        runner.set_tensor(detail["index"], inputs[i]["data"])
    runner.invoke()
    return runner.get_tensor(runner.get_output_details()[0]["index"]).copy()


def conv_case(
    out: Set, name: str, *, x: Array, w: Array, scales: tuple[float, Any, float], zeros: tuple[int, int, int] = (0, 0, 0),
    bias: Array, stride: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1), padding: str = "valid",
    activation: str = "none", depthwise: bool = False, resolvers: tuple[str, ...] = ("ref",),
) -> None:  # fmt: skip
    """CONV_2D (w OHWI) or DEPTHWISE_CONV_2D (w 1HWO), NHWC; one weight scale, or one a channel."""
    from ai_edge_litert import schema_py_generated as s

    channels = w.shape[3] if depthwise else w.shape[0]
    si, so = (float(F32(v)) for v in (scales[0], scales[2]))
    sw = [float(F32(v)) for v in np.atleast_1d(scales[1])]
    dim = 3 if depthwise else 0
    kernel = [(n - 1) * d + 1 for n, d in zip(w.shape[1:3], dilation, strict=True)]
    same = padding == "same"
    size = [(-(-n // t) if same else -(-(n - k + 1) // t)) for n, k, t in zip(x.shape[1:3], kernel, stride, strict=True)]
    options = s.DepthwiseConv2DOptionsT() if depthwise else s.Conv2DOptionsT()
    if depthwise:
        options.depthMultiplier = channels // x.shape[3]
    options.padding = s.Padding.SAME if same else s.Padding.VALID
    options.strideH, options.strideW = stride
    options.dilationHFactor, options.dilationWFactor = dilation
    options.fusedActivationFunction = ACTIVATIONS[activation]
    inputs = [
        {"data": x, "type": str(x.dtype), "scale": [si], "zero": [zeros[0]]},
        {"data": w, "type": str(w.dtype), "scale": sw, "zero": [zeros[1]] * len(sw), "dim": dim, "constant": True},
        {"data": bias, "type": str(bias.dtype), "scale": [float(F32(si) * F32(v)) for v in sw], "zero": [0] * len(sw),
         "constant": True},
    ]  # fmt: skip
    output = {"shape": (x.shape[0], *size, channels), "type": str(x.dtype), "scale": [so], "zero": [zeros[2]]}
    op = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    y = {f"y_{r}": litert(op, inputs, output, options, 3 if x.dtype == np.int8 else 1 if x.dtype == np.uint8 else 4, r)
         for r in resolvers}  # fmt: skip
    parameters = {
        "scales": [si, sw, so], "zeros": list(zeros), "stride": list(stride), "dilation": list(dilation), "padding": padding,
        "activation": activation,
    }  # fmt: skip
    out.add(name, op, parameters, x=x, w=w, b=bias, **y)


def litert_conv() -> None:
    """Convolutions with real data: padding, stride, dilation, groups, depthwise, per-channel scales, activations."""
    out = Set()
    every = ("ref", "opt", "xnnpack")

    def bias(n: int, span: int = 4000, dtype: str = "int32") -> Array:
        return ints(dtype, (n,), -span, span)

    i8 = "int8"
    conv_case(out, "c0", x=ints(i8, (2, 9, 7, 5), -8, 7), w=ints(i8, (16, 3, 3, 5), -7, 7), scales=(2**-6, 2**-6, 2**-8),
              zeros=(3, 0, -5), bias=bias(16, 60), padding="same", resolvers=every)  # fmt: skip
    conv_case(out, "c1", x=ints(i8, (1, 11, 10, 8)), w=ints(i8, (12, 3, 5, 8), -127), scales=(0.031, scale_list(12, 0.004), 0.33),
              zeros=(-128, 0, -128), bias=bias(12), padding="same", stride=(2, 3), activation="relu6", resolvers=every)  # fmt: skip
    conv_case(out, "c2", x=ints(i8, (2, 12, 13, 4)), w=ints(i8, (10, 3, 2, 4), -127), scales=(0.02, scale_list(10, 0.01), 0.11),
              zeros=(17, 0, 4), bias=bias(10), padding="same", dilation=(2, 3), activation="relu", resolvers=every)  # fmt: skip
    conv_case(out, "c3", x=ints(i8, (1, 10, 12, 6)), w=ints(i8, (9, 4, 3, 6), -127), scales=ISSUE_102943, zeros=(-1, 0, -126),
              bias=bias(9), padding="valid", stride=(3, 1), resolvers=every)  # fmt: skip
    conv_case(out, "c4", x=ints(i8, (1, 8, 8, 3)), w=ints(i8, (6, 1, 1, 3), -127), scales=(0.5, scale_list(6, 0.02), 0.004),
              zeros=(5, 0, 0), bias=bias(6, 0), padding="valid", activation="relu_n1_to_1", resolvers=every)  # fmt: skip
    conv_case(out, "c5_groups", x=ints(i8, (1, 7, 9, 12)), w=ints(i8, (8, 3, 3, 3), -127),
              scales=(0.02, scale_list(8, 0.01), 0.1), zeros=(9, 0, -9), bias=bias(8), padding="same")  # fmt: skip
    conv_case(out, "c6_uint8", x=ints("uint8", (1, 9, 8, 4)), w=ints("uint8", (7, 3, 3, 4)), scales=ISSUE_102943,
              zeros=(120, 131, 99), bias=bias(7, 20000), padding="same", stride=(2, 1), activation="relu")  # fmt: skip
    conv_case(out, "c7_uint8_ties", x=ints("uint8", (1, 9, 8, 4), 120, 136), w=ints("uint8", (7, 3, 3, 4), 120, 136),
              scales=(2**-6, 2**-6, 2**-8), zeros=(128, 128, 128), bias=bias(7, 60), padding="same")  # fmt: skip
    conv_case(out, "c8_int16", x=ints("int16", (1, 9, 8, 4)), w=ints(i8, (7, 3, 3, 4), -127),
              scales=(3e-5, scale_list(7, 0.01), 2e-4), bias=bias(7, 10**6, "int64"), padding="same")  # fmt: skip
    conv_case(out, "c9_int16_ties", x=ints("int16", (1, 9, 8, 4), -40, 40), w=ints(i8, (7, 3, 3, 4), -7, 7),
              scales=(2**-6, [2**-6] * 7, 2**-8), bias=bias(7, 60, "int64"), padding="same", dilation=(1, 2))  # fmt: skip
    conv_case(out, "d0", x=ints(i8, (2, 9, 7, 6), -20, 20), w=ints(i8, (1, 3, 3, 6), -9, 9), scales=(2**-6, 2**-6, 2**-8),
              zeros=(3, 0, -5), bias=bias(6, 60), padding="same", depthwise=True, resolvers=every)  # fmt: skip
    conv_case(out, "d1", x=ints(i8, (1, 11, 10, 5)), w=ints(i8, (1, 3, 5, 15), -127),
              scales=(0.031, scale_list(15, 0.004), 0.05), zeros=(-128, 0, -128), bias=bias(15), padding="same", stride=(2, 2),
              activation="relu6", depthwise=True, resolvers=every)  # fmt: skip
    conv_case(out, "d2", x=ints(i8, (1, 12, 13, 8)), w=ints(i8, (1, 3, 2, 8), -127), scales=(0.02, scale_list(8, 0.01), 0.04),
              zeros=(17, 0, 4), bias=bias(8), padding="valid", dilation=(2, 3), depthwise=True, resolvers=every)  # fmt: skip
    for name, stride, dilation in (("d5", (1, 1), (2, 3)), ("d6", (2, 1), (1, 1))):
        conv_case(out, name, x=ints(i8, (2, 12, 13, 8), -20, 20), w=ints(i8, (1, 3, 2, 8), -9, 9), scales=(2**-6, 2**-6, 2**-8),
                  zeros=(3, 0, -5), bias=bias(8, 60), padding="valid", stride=stride, dilation=dilation, depthwise=True,
                  resolvers=every)  # fmt: skip
    conv_case(out, "d3_uint8", x=ints("uint8", (1, 9, 8, 4)), w=ints("uint8", (1, 3, 3, 8)), scales=ISSUE_102943,
              zeros=(120, 131, 99), bias=bias(8, 20000), padding="same", depthwise=True)  # fmt: skip
    conv_case(out, "d4_int16", x=ints("int16", (1, 9, 8, 4)), w=ints(i8, (1, 3, 3, 4), -127),
              scales=(3e-5, scale_list(4, 0.01), 2e-4), bias=bias(4, 10**6, "int64"), padding="same", depthwise=True)  # fmt: skip
    out.save("litert_conv.npz")


def litert_fully_connected() -> None:
    """FULLY_CONNECTED: row 0 makes directed accumulators (ties), the others are random."""
    from ai_edge_litert import schema_py_generated as s

    out = Set()
    plans = [
        ("f0", "int8", (2**-6, 2**-6, 2**-4), (3, 0, -5), 24, "none", False),
        ("f1", "int8", ISSUE_102943, (-128, 0, -126), 40, "none", False),
        ("f2", "int8", (0.1, 0.003, 0.07), (10, 0, 20), 65, "relu", False),
        ("f3_channels", "int8", (0.037, 0.004, 0.21), (-3, 0, 7), 33, "relu6", True),
        ("f4_uint8", "uint8", ISSUE_102943, (128, 127, 3), 40, "none", False),
        ("f5_uint8_ties", "uint8", (2**-6, 2**-6, 2**-4), (130, 125, 128), 40, "none", False),
        ("f6_int16", "int16", (3e-5, 0.01, 2e-4), (0, 0, 0), 48, "none", False),
    ]
    for name, kind, scales, zeros, k, activation, channels in plans:
        n, m = 448, 3
        si, so = float(F32(scales[0])), float(F32(scales[2]))
        sw = scale_list(n, scales[1]) if channels else [float(F32(scales[1]))]
        exact = Fraction(si) * Fraction(float(F32(scales[1]))) / Fraction(so)
        wtype = "uint8" if kind == "uint8" else "int8"
        bias = ints("int64" if kind == "int16" else "int32", (n,), -500, 500)
        x, w = directed(kind, wtype, m, k, bias, exact, zeros)
        w = np.ascontiguousarray(w.T)
        options = s.FullyConnectedOptionsT()
        options.fusedActivationFunction = ACTIVATIONS[activation]
        inputs = [
            {"data": x, "type": kind, "scale": [si], "zero": [zeros[0]]},
            {"data": w, "type": wtype, "scale": sw, "zero": [zeros[1]] * len(sw), "constant": True},
            {"data": bias, "type": str(bias.dtype), "scale": [float(F32(si) * F32(v)) for v in sw], "zero": [0] * len(sw),
             "constant": True},
        ]  # fmt: skip
        output = {"shape": (m, n), "type": kind, "scale": [so], "zero": [zeros[2]]}
        version = {"int8": 4, "uint8": 1, "int16": 7}[kind]
        resolvers = ("ref", "opt", "xnnpack") if kind == "int8" else ("ref",)
        y = {f"y_{r}": litert("FULLY_CONNECTED", inputs, output, options, version, r) for r in resolvers}
        parameters = {"scales": [si, sw, so], "zeros": list(zeros), "activation": activation}
        out.add(name, "FULLY_CONNECTED", parameters, x=x, w=w, b=bias, **y)
    out.save("litert_fully_connected.npz")


def directed(atype: str, wtype: str, m: int, k: int, bias: Array, scale: Fraction, zeros: tuple[int, ...]) -> tuple[Array, Array]:
    """Operands (m, k) and (k, n): row 0 plus the bias gives ties; its operands minus zero point are one large value and a 1."""
    za, zw = zeros[:2]
    a = ints(atype, (m, k))
    big = min(np.iinfo(atype).max - za, 127)
    a[0] = za + big
    a[0, -1] = za + 1
    info = np.iinfo(wtype)
    low, high = (-127 if wtype == "int8" else info.min) - zw, info.max - zw
    limit = min(-low, high) * big * (k - 2) - int(np.abs(bias).max())
    w = np.empty((k, bias.size), dtype=np.int64)
    for j, acc in enumerate(tie_accumulators(scale, bias.size, limit)):
        target = int(acc) - int(bias[j])
        rest = (target + big // 2) % big - big // 2
        total = (target - rest) // big
        part = np.diff(np.linspace(0, total, k).round().astype(np.int64))
        w[:-1, j] = RNG.permutation(part)
        w[-1, j] = rest
    assert w.min() >= low
    assert w.max() <= high
    return a, (w + zw).astype(wtype)


def litert_pool() -> None:
    """AVERAGE_POOL_2D and MAX_POOL_2D: windows cut by the border, ties of both signs."""
    from ai_edge_litert import schema_py_generated as s

    out = Set()
    plans = [
        ("int8", (2, 9, 8, 3), (-128, 127), (3, 3), (1, 1), "same", "none", (0.1, 0)),
        ("int8", (1, 13, 12, 4), (-4, 4), (2, 2), (1, 1), "same", "none", (0.1, 0)),
        ("int8", (1, 13, 12, 4), (-3, 3), (4, 4), (2, 3), "same", "none", (0.1, 0)),
        ("int8", (1, 12, 11, 3), (-128, 127), (5, 2), (3, 2), "valid", "relu", (0.05, -7)),
        ("int8", (1, 12, 11, 3), (-128, 127), (2, 6), (1, 4), "same", "relu6", (0.05, -20)),
        ("int8", (1, 12, 11, 3), (-128, 127), (1, 2), (1, 1), "valid", "relu_n1_to_1", (0.02, 5)),
        ("int8", (1, 16, 16, 2), (-1, 1), (16, 16), (1, 1), "same", "none", (0.1, 0)),
        ("uint8", (1, 12, 11, 3), (0, 255), (2, 2), (1, 1), "same", "none", (0.1, 128)),
        ("uint8", (1, 12, 11, 3), (0, 255), (3, 4), (2, 2), "same", "relu6", (0.05, 30)),
        ("int16", (1, 12, 11, 3), (-32768, 32767), (2, 4), (1, 1), "same", "none", (0.001, 0)),
        ("int16", (1, 12, 11, 3), (-3, 3), (2, 4), (1, 1), "same", "relu6", (0.001, 0)),
    ]
    for i, (kind, shape, span, window, stride, padding, activation, (scale, zero)) in enumerate(plans):
        x = ints(kind, shape, *span)
        size = [(-(-n // t) if padding == "same" else -(-(n - k + 1) // t))
                for n, k, t in zip(shape[1:3], window, stride, strict=True)]  # fmt: skip
        for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            options = s.Pool2DOptionsT()
            options.padding = s.Padding.SAME if padding == "same" else s.Padding.VALID
            options.strideH, options.strideW = stride
            options.filterHeight, options.filterWidth = window
            options.fusedActivationFunction = ACTIVATIONS[activation]
            quantization = {"type": kind, "scale": [float(F32(scale))], "zero": [zero]}
            output = {"shape": (shape[0], *size, shape[3]), **quantization}
            y = litert(op, [{"data": x, **quantization}], output, options, 3 if kind == "int16" else 2, "ref")
            parameters = {"scale": float(F32(scale)), "zero": zero, "window": list(window), "stride": list(stride),
                          "padding": padding, "activation": activation}  # fmt: skip
            out.add(f"{op.split('_')[0].lower()}{i}", op, parameters, x=x, y=y)
    out.save("litert_pool.npz")


def litert_elementwise() -> None:
    """ADD, SUB, MUL: all pairs of 8-bit codes (row x1, column x2), directed int16 pairs."""
    from ai_edge_litert import schema_py_generated as s

    out = Set()
    sets = [  # operand scales, output scale of add and sub, of mul
        ("int8", (0.1, 0.1, 0.1, 1.1), (0, 0, 0), "none"),
        ("int8", (2**-4, 2**-5, 2**-3, 2**-7 / 3), (3, -7, 5), "none"),
        ("int8", (0.0235, 0.11, 0.07, 0.6), (-128, -20, -3), "relu"),
        ("int8", (0.5, 0.003, 0.25, 0.04), (10, 20, -100), "relu6"),
        ("int8", (0.04, 0.05, 0.0011, 0.00109), (-100, -90, 91), "none"),
        ("int8", (1.0, 0.7, 0.0047, 0.01), (-5, 9, 0), "relu_n1_to_1"),
        ("uint8", (0.0235, 0.11, 0.07, 0.3), (128, 3, 200), "none"),
        ("int16", (0.001, 0.0007, 0.0013, 0.023), (0, 0, 0), "none"),
        ("int16", (2**-10, 2**-9, 2**-8, 2**-6 / 3), (0, 0, 0), "relu"),
    ]
    for i, (kind, given, zeros, activation) in enumerate(sets):
        scales = tuple(float(F32(v)) for v in given)
        if kind == "int16":
            edges = np.array([-32768, -32767, -1, 0, 1, 32766, 32767], np.int16)
            x1 = np.concatenate([np.repeat(edges, 7), ints(kind, (3000,)), ints(kind, (1000,), -40, 40)])
            x2 = np.concatenate([np.tile(edges, 7), ints(kind, (3000,)), ints(kind, (1000,), -40, 40)])
        else:
            codes = np.arange(256).astype(np.uint8) if kind == "uint8" else np.arange(-128, 128).astype(np.int8)
            x1, x2 = (np.ascontiguousarray(v) for v in np.meshgrid(codes, codes, indexing="ij"))
        for op in ("ADD", "SUB", "MUL"):
            options = {"ADD": s.AddOptionsT, "SUB": s.SubOptionsT, "MUL": s.MulOptionsT}[op]()
            options.fusedActivationFunction = ACTIVATIONS[activation]
            if op != "MUL":
                options.potScaleInt16 = False
            so = scales[3 if op == "MUL" else 2]
            quantization = [{"type": kind, "scale": [v], "zero": [z]} for v, z in zip((*scales[:2], so), zeros, strict=True)]
            inputs = [{"data": x1, **quantization[0]}, {"data": x2, **quantization[1]}]
            version = {"ADD": 3, "SUB": 5, "MUL": 4}[op] if kind == "int16" else 2
            resolvers = ("ref",) if kind != "int8" else ("ref", "opt", "xnnpack") if op == "MUL" else ("ref", "xnnpack")
            y = {f"y_{r}": litert(op, inputs, {"shape": x1.shape, **quantization[2]}, options, version, r) for r in resolvers}
            x = {"x1": x1, "x2": x2} if kind == "int16" else {}
            parameters = {"type": kind, "scales": [*scales[:2], so], "zeros": list(zeros), "activation": activation}
            out.add(f"{op.lower()}{i}", op, parameters, **x, **y)
    out.save("litert_elementwise.npz")


# onnxruntime


def onnx(op: str, inputs: dict[str, Array], outputs: list[str], opset: int, **attributes: Any) -> list[Array]:
    """Run one node; every input is fed, or a constant where its name starts with a capital."""
    import onnxruntime
    from onnx import helper, numpy_helper

    fed = {k: v for k, v in inputs.items() if k[0].islower()}
    graph = helper.make_graph(
        [helper.make_node(op, list(inputs), outputs, **attributes)],
        "case",
        [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in fed.items()],
        [helper.make_empty_tensor_value_info(k) for k in outputs],
        [numpy_helper.from_array(v, k) for k, v in inputs.items() if k not in fed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, fed)


def onnx_matmul() -> None:
    """QLinearMatMul (directed accumulators), MatMulInteger (zero points, wrap)."""
    out = Set()
    plans = [
        ("uint8", "int8", (2**-6, 2**-6, 2**-4), (3, 0, 128), 24, 1),
        ("uint8", "int8", ISSUE_102943, (131, -4, 5), 40, 1),
        ("uint8", "uint8", (0.1, 0.003, 0.07), (100, 120, 20), 65, 1),
        ("int8", "int8", (2**-6, 2**-6, 2**-4), (0, 0, 0), 24, 1),
        ("int8", "int8", ISSUE_102943, (-1, 3, -126), 33, 1),
        ("int8", "int8", (0.0235, 0.0117, 0.0009), (7, 0, 1), 7, 1),
        ("uint8", "int8", (0.037, 0.004, 0.21), (128, 0, 128), 129, 400),
        ("int8", "int8", (0.037, 0.0041, 0.21), (-20, 0, 33), 130, 400),
    ]
    for i, (atype, wtype, given, zeros, k, per) in enumerate(plans):
        scales = tuple(float(F32(v)) for v in given)
        exact = Fraction(scales[0]) * Fraction(scales[1]) / Fraction(scales[2])
        a, w = directed(atype, wtype, 3, k, np.zeros(400, np.int64), exact, zeros)
        sw = scale_list(per, scales[1]) if per > 1 else [scales[1]]
        ws = np.array(sw if per > 1 else sw[0], F32)
        wz = np.full(ws.shape, zeros[1], wtype)
        inputs = {"a": a, "As": F32(scales[0]), "Az": np.dtype(atype).type(zeros[0]), "W": w, "Ws": ws, "Wz": wz,
                  "Ys": F32(scales[2]), "Yz": np.dtype(atype).type(zeros[2])}  # fmt: skip
        (y,) = onnx("QLinearMatMul", {k: np.asarray(v) for k, v in inputs.items()}, ["y"], 10)
        out.add(f"q{i}", "QLinearMatMul", {"scales": [scales[0], sw, scales[2]], "zeros": list(zeros)}, x=a, w=w, y=y)
    for i, (atype, wtype, k) in enumerate(
        [("uint8", "int8", 65), ("uint8", "uint8", 64), ("int8", "int8", 33), ("int8", "uint8", 5)]
    ):
        a, w = ints(atype, (17, k)), ints(wtype, (k, 31))
        za, zw = ints(atype, ()), ints(wtype, (31,) if i % 2 == 0 else ())
        (y,) = onnx("MatMulInteger", {"a": a, "W": w, "Az": za, "Wz": zw}, ["y"], 10)
        out.add(f"i{i}", "MatMulInteger", {"zeros": [int(za), zw.tolist()]}, x=a, w=w, y=y)
    for i, (k, x, v) in enumerate([(70000, 255, 127), (70000, 255, -128), (66311, 255, 127), (70000, 254, 127)]):
        (y,) = onnx("MatMulInteger", {"a": np.full((1, k), x, np.uint8), "W": np.full((k, 1), v, np.int8)}, ["y"], 10)
        out.add(f"wrap{i}", "MatMulInteger", {"k": k, "x": x, "w": v, "zeros": [0, 0]}, y=y)
    out.save("onnx_matmul.npz")


def onnx_conv() -> None:
    """QLinearConv: padding, stride, dilation, groups, depthwise, zero points, one scale or one a channel; NCHW, w OIHW."""
    out = Set()
    u8, i8 = "uint8", "int8"
    plans = [
        (u8, i8, (2, 5, 9, 7), (16, 5, 3, 3), (2**-6, 2**-6, 2**-8), (128, 0, 100), {"pads": [1, 1, 1, 1]}, 1, False, 9),
        (u8, i8, (1, 8, 11, 10), (12, 8, 3, 5), (0.031, 0.004, 0.33), (3, 0, 0), {"pads": [2, 0, 1, 3], "strides": [2, 3]}, 12, True, 0),
        (i8, i8, (2, 4, 12, 13), (10, 4, 3, 2), (0.02, 0.01, 0.11), (17, 0, 4), {"pads": [2, 1, 2, 2], "dilations": [2, 3]}, 10, True, 0),
        (i8, i8, (1, 6, 10, 12), (9, 6, 4, 3), ISSUE_102943, (-1, 0, -126), {"strides": [3, 1]}, 1, True, 0),
        (i8, i8, (1, 12, 7, 9), (8, 3, 3, 3), (0.02, 0.01, 0.1), (9, 0, -9), {"pads": [1, 1, 1, 1], "group": 4}, 8, True, 0),
        (u8, u8, (1, 4, 9, 8), (7, 4, 3, 3), ISSUE_102943, (120, 131, 99), {"pads": [1, 1, 1, 1], "strides": [2, 1]}, 1, True, 0),
        (u8, i8, (1, 8, 9, 8), (8, 1, 3, 3), (0.02, 0.01, 0.04), (120, 0, 99), {"pads": [1, 1, 1, 1], "group": 8}, 8, True, 0),
        (i8, i8, (2, 6, 9, 7), (6, 1, 3, 3), (2**-6, 2**-6, 2**-8), (3, 0, -5), {"pads": [1, 1, 1, 1], "group": 6}, 1, True, 9),
        (u8, u8, (1, 4, 9, 8), (8, 1, 3, 3), ISSUE_102943, (120, 131, 99), {"pads": [0, 1, 2, 1], "group": 4}, 1, False, 0),
    ]  # fmt: skip
    for i, (xtype, wtype, xshape, wshape, given, zeros, attributes, per, biased, span) in enumerate(plans):
        scales = tuple(float(F32(v)) for v in given)
        x = ints(xtype, xshape, *((zeros[0] - span, zeros[0] + span) if span else (None, None)))
        w = ints(wtype, wshape, *((zeros[1] - 7, zeros[1] + 7) if span else (None, None)))
        sw = scale_list(per, scales[1]) if per > 1 else [scales[1]]
        ws = np.array(sw if per > 1 else sw[0], F32)
        bias = ints("int32", (wshape[0],), -3000 if not span else -60, 3000 if not span else 60) if biased else None
        inputs = {"x": x, "Xs": F32(scales[0]), "Xz": np.dtype(xtype).type(zeros[0]), "W": w, "Ws": ws,
                  "Wz": np.full(ws.shape, zeros[1], wtype), "Ys": F32(scales[2]), "Yz": np.dtype(xtype).type(zeros[2])}  # fmt: skip
        inputs |= {"B": bias} if biased else {}
        (y,) = onnx("QLinearConv", {k: np.asarray(v) for k, v in inputs.items()}, ["y"], 10, **attributes)
        out.add(f"c{i}", "QLinearConv", {"scales": [scales[0], sw, scales[2]], "zeros": list(zeros), **attributes},
                x=x, w=w, b=bias, y=y)  # fmt: skip
    out.save("onnx_conv.npz")


def onnx_dynamic() -> None:
    """DynamicQuantizeLinear: 400 tensors of 24 float32 values, as bits; ties, zeros, one sign, constants, subnormals."""
    n, size = 400, 24
    rows = []
    for i in range(n):
        kind = i % 10
        x = RNG.standard_normal(size)
        if kind == 1:
            x = np.abs(x) + RNG.random()
        elif kind == 2:
            x = -np.abs(x) - RNG.random()
        elif kind == 3:  # exact halves of the step: range 255 * 2^e
            e = float(2.0 ** RNG.integers(-20, 20))
            low = int(RNG.integers(-255, 1))
            x = (RNG.integers(2 * low, 2 * (low + 255) + 1, size) / 2) * e
            x[:2] = low * e, (low + 255) * e
        elif kind == 4:
            x = np.full(size, x[0] if i % 20 == 4 else 0.0)
            x *= -1.0 if i % 40 == 14 else 1.0
        elif kind == 5:  # around and below the smallest normal
            x *= 2.0 ** float(RNG.integers(-149, -120))
        elif kind == 6:
            x *= 2.0 ** float(RNG.integers(-100, 100))
        elif kind == 7:
            x[0] = 1e4 * (1 if i % 20 == 7 else -1)
        elif kind == 8:  # half a step beside the zero point's tie
            x = RNG.integers(-40, 41, size) * F32(0.1)
        elif kind == 9:
            x *= 2.0 ** float(RNG.integers(110, 126))
        rows.append(x.astype(F32))
    x = np.stack(rows)
    found = [onnx("DynamicQuantizeLinear", {"x": row}, ["y", "s", "z"], 11) for row in x]
    out = Set()
    out.add("dynamic", "DynamicQuantizeLinear", {}, x=x.view(np.uint32), y=np.stack([f[0] for f in found]),
            scale=np.array([f[1] for f in found], F32).view(np.uint32), zero=np.array([f[2] for f in found], np.uint8))  # fmt: skip
    out.save("onnx_dynamic.npz")


if __name__ == "__main__":
    for make in (litert_conv, litert_fully_connected, litert_pool, litert_elementwise, onnx_matmul, onnx_conv, onnx_dynamic):
        make()
