"""NVFP4, MXFP4 and MXFP8 of nvidia-modelopt 0.47 and NVFP4 of torchao 0.18 -> nvfp4.npz, modelopt_mx.npz. Needs torch 2.13.0.

`NVFP4QTensor.quantize` (weights), `nvfp4_quantize`, `MXFP4QTensor.quantize`, `MXFP8QTensor.quantize`.
Tensor i of nvfp4.npz is `input[i]` (24 blocks of 16) with a tensor scale of its own.
"""

import numpy as np
import torch
from blocks import Float, bits, blocks, f32, nibbles, ocp_input, save
from modelopt.torch.quantization.qtensor import MXFP4QTensor, MXFP8QTensor, NVFP4QTensor
from torchao.prototype.mx_formats.nvfp4_tensor import nvfp4_quantize, per_tensor_amax_to_scale

ROWS = 24


def tensors() -> dict[str, Float]:
    """Named tensors of ROWS blocks of 16."""
    rng = np.random.default_rng(7)
    x, kind = blocks(16, ROWS, extreme=ROWS, seed=11)
    out = {name: x[kind == name][:ROWS] for name in dict.fromkeys(kind.tolist())}
    rows = 2.0 ** -rng.integers(0, 9, (ROWS, 1))
    for i in range(3):
        out[f"gauss{i}"] = f32(rng.standard_normal((ROWS, 16)) * rows)
    grid = np.rint(rng.uniform(-1, 1, (ROWS, 16)) * 24) / 4  # quarter steps up to 6: every tie of E2M1
    for i, g in enumerate((1.0, 0.37, 1 / 3, 0.0271, 1.9999)):
        scale = f32(torch.from_numpy(f32(rng.uniform(0.02, 448, (ROWS, 1)))).to(torch.float8_e4m3fn).float().numpy())
        scale[0] = 448
        tied = f32(grid * (scale * f32(g)))
        tied[:, 3] = f32(6 * (scale[:, 0] * f32(g)))
        out[f"tied{i}"] = tied
    out["power_grid"] = f32(np.rint(rng.uniform(-1, 1, (ROWS, 16)) * 48) / 8 * rows)
    zeros = f32(out["gauss0"].copy())
    zeros[::3] = 0
    zeros[1::3, ::2] = -0.0
    zeros[2::3, ::2] = 0
    out["zero_blocks"] = zeros
    faint = f32(rng.standard_normal((ROWS, 16)) * 2.0 ** -rng.integers(0, 30, (ROWS, 1)))
    out["faint_blocks"] = faint  # block scales down to and below the smallest E4M3
    out["underflow"] = f32(faint * 2.0 ** -rng.integers(0, 90, (ROWS, 1)))
    out["underflow"][0, 0] = 3e38  # amax_block / (6 g) underflows float32
    return out


def named(x: Float, quantized: object, scale: torch.Tensor, g: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Element codes, scale codes, bits of the tensor scale."""
    raw = quantized.view(torch.uint8).numpy()
    return nibbles(raw.reshape(x.shape[0], -1), x.shape), scale.view(torch.uint8).numpy().reshape(-1), bits(g.numpy())


cases = tensors()
out = {"input": np.stack([bits(x) for x in cases.values()]), "name": np.array(list(cases))}
results: dict[str, list[tuple[np.ndarray, ...]]] = {"modelopt": [], "torchao": []}
for x in cases.values():
    packed, scale, g = NVFP4QTensor.quantize(torch.from_numpy(x.copy()), 16)
    results["modelopt"].append(named(x, packed._quantized_data, scale, g))
    t = torch.from_numpy(x.copy())
    g = per_tensor_amax_to_scale(t.abs().max())
    scale, packed = nvfp4_quantize(t, 16, g)
    results["torchao"].append(named(x, packed, scale, g))
for stack, rows in results.items():
    for key, arrays in zip(("codes", "scale", "tensor_scale"), zip(*rows, strict=True), strict=True):
        out[f"{stack}_{key}"] = np.stack(arrays)
save("nvfp4", out)

x = ocp_input()
packed, scale = MXFP4QTensor.quantize(torch.from_numpy(x.copy()), 32)
out = {"mxfp4_scale": scale.numpy().reshape(-1)}
out["mxfp4_codes"] = nibbles(packed._quantized_data.numpy().reshape(x.shape[0], -1), x.shape)
packed, scale = MXFP8QTensor.quantize(torch.from_numpy(x.copy()))
out["mxfp8_e4m3_scale"] = scale.numpy().reshape(-1)
out["mxfp8_e4m3_codes"] = packed._quantized_data.view(torch.uint8).numpy().reshape(x.shape)
save("modelopt_mx", out)
