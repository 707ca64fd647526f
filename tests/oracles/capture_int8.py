"""Per-tensor INT8 and UINT8 of onnxruntime 1.32 and torch 2.13.0 -> int8.npz, uint8.npz.

int8: the scale is amax/127 in both (onnxruntime.quantization `quantize_data` symmetric; torch MinMaxObserver, quant_min=-127).
uint8: onnxruntime DynamicQuantizeLinear; torch MinMaxObserver (per_tensor_affine) and fake_quantize_per_tensor_affine.
Needs torch, onnx and onnxruntime.
"""

import warnings

import numpy as np
import onnxruntime
import torch
from blocks import Float, bits, f32, save
from onnx import TensorProto, helper
from onnxruntime.quantization.quant_utils import quantize_data
from torch.ao.quantization import MinMaxObserver

warnings.filterwarnings("ignore")
WIDTH = 64


def tensors(top: int, signed: bool) -> Float:
    """Rows of 64: Gaussian, one-sided, tie grids of steps that are powers of two and of steps that are not, wide, outliers."""
    rng = np.random.default_rng(5)
    rows = []
    for i in range(96):
        x = rng.standard_normal(WIDTH) * 2.0 ** rng.integers(-12, 13)
        low = -top if signed else -rng.integers(0, top)
        half = (2 * rng.integers(low, low + 2 * top if signed else low + top, WIDTH) + 1) / 2
        ends = [top, low + 0.5] if signed else [low + top, low]
        if i % 8 in (1, 2):
            x = np.abs(x) * (1 if i % 8 == 1 else -1)
        elif i % 8 == 3:
            x = np.rint(x * 4) / 4
        elif i % 8 == 4:
            x = x * 2.0 ** rng.integers(-12, 13, WIDTH)
        elif i % 8 == 5:
            x[:2] = ends
            x[2:] = half[2:]
        elif i % 8 in (6, 7):  # ties of a step that is no power of two: x is the float32 nearest to (k + 1/2) * step
            x = np.concatenate([ends, half[2:]]) * float(f32(rng.uniform(0.001, 1)))
        if i % 16 == 0:
            x[7] *= 1000
        rows.append(f32(x))
    return np.stack(rows)


def dynamic_quantize_linear() -> onnxruntime.InferenceSession:
    """A model of one DynamicQuantizeLinear."""
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])
    sides = [
        [("x", TensorProto.FLOAT, ["n"])],
        [("y", TensorProto.UINT8, ["n"]), ("s", TensorProto.FLOAT, []), ("z", TensorProto.UINT8, [])],
    ]
    graph = helper.make_graph([node], "g", *[[helper.make_tensor_value_info(*v) for v in side] for side in sides])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def quantize_linear(scale: np.float32) -> onnxruntime.InferenceSession:
    """A model of one QuantizeLinear to int8 with a given scale."""
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    fixed = [helper.make_tensor("s", TensorProto.FLOAT, [], [float(scale)]), helper.make_tensor("z", TensorProto.INT8, [], [0])]
    sides = [
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, ["n"])],
    ]
    graph = helper.make_graph([node], "g", *sides, initializer=fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def collect(x: Float, rows: list[tuple[object, ...]], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Input bits and one stacked array a result; float32 results as bits."""
    out = {"input": bits(x)}
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        stacked = np.stack([np.asarray(c) for c in column])
        out[name] = bits(stacked) if stacked.dtype == np.float32 else stacked
    return out


session = dynamic_quantize_linear()
x = tensors(255, signed=False)
rows = []
for row in x:
    y, s, z = session.run(None, {"x": row})
    t = torch.from_numpy(row.copy())
    observer = MinMaxObserver(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
    observer(t)
    ts, tz = observer.calculate_qparams()
    values = torch.fake_quantize_per_tensor_affine(t, float(ts), int(tz), 0, 255).numpy()
    rows.append((s, z, y, np.float32(ts.item()), np.uint8(tz.item()), values))
save("uint8", collect(x, rows, ("ort_scale", "ort_zero_point", "ort_codes", "torch_scale", "torch_zero_point", "torch_values")))

x = tensors(127, signed=True)
rows = []
for row in x:
    zero, scale, codes = quantize_data(row, TensorProto.INT8, True)
    assert zero == 0
    linear = quantize_linear(np.float32(scale)).run(None, {"x": row})[0]
    t = torch.from_numpy(row.copy())
    observer = MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric, quant_min=-127, quant_max=127)
    observer(t)
    ts = observer.calculate_qparams()[0]
    codes_torch = torch.quantize_per_tensor(t, float(ts), 0, torch.qint8).int_repr().numpy()
    values = torch.fake_quantize_per_tensor_affine(t, float(ts), 0, -127, 127).numpy()
    rows.append((np.float32(scale), codes, linear, np.float32(ts.item()), codes_torch, values))
save("int8", collect(x, rows, ("ort_scale", "ort_codes", "ort_linear", "torch_scale", "torch_codes", "torch_values")))
