"""PyTorch's quantized linear (engine fbgemm), with VNNI and forced to AVX2 -> tests/data/ops/torch_linear.npz.

Run with an interpreter that has torch (2.13.0+cpu when the data was made): python tests/oracles/capture_torch_linear.py
It calls itself once with FBGEMM_ENABLE_INSTRUCTIONS=AVX2, because the instruction set is chosen when torch loads.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parent.parent / "data" / "ops" / "torch_linear.npz"
M, N, K = 48, 32, 40
#: name -> (weight per channel, largest |weight|): small weights cannot saturate a pair of products in int16
CASES = {"small": (False, 63), "channel": (True, 63), "full": (False, 128), "edges": (True, 128)}


def inputs(name: str) -> dict[str, np.ndarray]:
    """Codes, scales, zero points and a float bias; `edges` has only the largest codes."""
    rng = np.random.default_rng(sorted(CASES).index(name))
    per_channel, top = CASES[name]
    x = rng.choice([0, 1, 127, 128, 254, 255], (M, K)) if name == "edges" else rng.integers(0, 256, (M, K))
    w = rng.choice([-128, -127, 0, 126, 127], (N, K)) if name == "edges" else rng.integers(-top, top, (N, K))
    scales = rng.uniform(0.002, 0.02, N if per_channel else 1)
    return {
        "x": x.astype(np.uint8),
        "w": w.astype(np.int8),
        "x_scale": np.float32(0.0371),
        "x_zero": np.int32(rng.integers(0, 256)),
        "w_scale": scales.astype(np.float32),
        "bias": rng.normal(0, 3, N).astype(np.float32),
        "y_scale": np.float32(0.9),
        "y_zero": np.int32(117),
    }


def run(case: dict[str, np.ndarray]) -> np.ndarray:
    """The uint8 output of quantized::linear."""
    import torch

    torch.backends.quantized.engine = "fbgemm"
    x_scale, x_zero = float(case["x_scale"]), int(case["x_zero"])
    x = torch._make_per_tensor_quantized_tensor(torch.tensor(case["x"]), x_scale, x_zero)
    w = torch.tensor(case["w"])
    if case["w_scale"].size == 1:
        weight = torch._make_per_tensor_quantized_tensor(w, float(case["w_scale"][0]), 0)
    else:
        zeros = torch.zeros(N, dtype=torch.long)
        weight = torch._make_per_channel_quantized_tensor(w, torch.tensor(case["w_scale"]).double(), zeros, 0)
    packed = torch.ops.quantized.linear_prepack(weight, torch.tensor(case["bias"]))
    return torch.ops.quantized.linear(x, packed, float(case["y_scale"]), int(case["y_zero"])).int_repr().numpy()


def main() -> None:
    """Both instruction sets, every case, one file."""
    results = {f"{name}_y": run(inputs(name)) for name in CASES}
    if len(sys.argv) > 1:
        np.savez(sys.argv[1], **results)
        return
    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/avx2.npz"
        env = os.environ | {"FBGEMM_ENABLE_INSTRUCTIONS": "AVX2"}
        subprocess.run([sys.executable, __file__, path], env=env, check=True)
        avx2 = {f"{key}_avx2": value for key, value in np.load(path).items()}
    data = {f"{name}_{key}": value for name in CASES for key, value in inputs(name).items()}
    made = f"torch {torch.__version__}, engine fbgemm; _avx2: FBGEMM_ENABLE_INSTRUCTIONS=AVX2; {Path(__file__).name}"
    np.savez_compressed(OUT, made_by=made, **data, **results, **avx2)


if __name__ == "__main__":
    main()
