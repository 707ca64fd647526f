"""torchao `to_mx`, five element types, FLOOR, EVEN, CEIL and RCEIL -> torchao_mx.npz.

Needs torch 2.13.0 and torchao 0.18.0. Scale codes and element codes as the stack gives them, FP4 nibbles unpacked.
Known bugs that the captured outputs show (rules are in conventions.toml): elements of a block with scale code 0 are divided
by 2^-126, not 2^-127; RCEIL takes float32 log2, one too small when amax/max is a few ulps above a power of two.
"""

import numpy as np
import torch
from blocks import nibbles, ocp_input, save
from torchao.prototype.mx_formats.config import ScaleCalculationMode
from torchao.prototype.mx_formats.constants import DTYPE_FP6_E2M3, DTYPE_FP6_E3M2
from torchao.prototype.mx_formats.mx_tensor import to_mx

DTYPES = {
    "mxfp8_e4m3": torch.float8_e4m3fn,
    "mxfp8_e5m2": torch.float8_e5m2,
    "mxfp6_e3m2": DTYPE_FP6_E3M2,
    "mxfp6_e2m3": DTYPE_FP6_E2M3,
    "mxfp4": torch.float4_e2m1fn_x2,
}
x = ocp_input()
out = {}
for name, dtype in DTYPES.items():
    for mode in ("FLOOR", "EVEN", "CEIL", "RCEIL"):
        scale, codes = to_mx(torch.from_numpy(x.copy()), dtype, 32, ScaleCalculationMode[mode])
        raw = codes.view(torch.uint8).numpy()
        out[f"{name}_{mode.lower()}_scale"] = scale.view(torch.uint8).numpy().reshape(-1)
        out[f"{name}_{mode.lower()}_codes"] = nibbles(raw, x.shape) if name == "mxfp4" else raw.astype(np.uint8)
save("torchao_mx", out)
