"""AMD Quark 0.13, torch, CPU: MX9/MX6/MX4 -> quark_mx.npz; OCP MX -> quark_ocp.npz.

Needs torch 2.13.0, amd-quark 0.13, transformers. MX9/6/4: E (biased), tau, signed elements of `real_quantize_mx6_mx9` and values of
`fake_quantize_mx6_mx9`, subnormal inputs included. OCP: values of `fake_quantize_mx`; Quark exposes no codes there.
Known bugs shown: float32 log2 in floor and ceil; amax in the top binade; MXINT8 below 2^-120.
"""

import numpy as np
import torch
from blocks import bits, blocks, compact, ocp_input, save
from quark.torch.kernel.hw_emulation.hw_emulation_interface import fake_quantize_mx, fake_quantize_mx6_mx9, real_quantize_mx6_mx9

x, kind = blocks(16, 24, extreme=12)
out = {"input": bits(x), "kind": kind}
for name, m in (("mx9", 7), ("mx6", 4), ("mx4", 2)):
    call = {"axis": -1, "block_size": 16, "quant_bit": m + 1, "sub_block_size": 2}
    real = real_quantize_mx6_mx9(torch.from_numpy(x.copy()), **call).numpy()
    out[f"{name}_exponent"] = (real[:, 0] + 127).astype(np.uint8)
    out[f"{name}_tau"] = (real[:, 1].astype(int)[:, None] >> np.arange(8) & 1).astype(np.uint8)
    out[f"{name}_integers"] = real[:, 2:].astype(np.int8)
    out[f"{name}_values"] = compact(fake_quantize_mx6_mx9(torch.from_numpy(x.copy()), **call).numpy())
save("quark_mx", out)

x = ocp_input()
formats = {
    "mxfp8_e4m3": "fp8_e4m3",
    "mxfp8_e5m2": "fp8_e5m2",
    "mxfp6_e3m2": "fp6_e3m2",
    "mxfp6_e2m3": "fp6_e2m3",
    "mxfp4": "fp4",
    "mxint8": "int8",
}
out = {}
for name, element in formats.items():
    for mode in ("even", "floor", "ceil") if name in ("mxfp4", "mxint8") else ("even",):
        call = {"axis": -1, "block_size": 32, "scale_calculation_mode": mode, "mx_element_dtype": element}
        out[f"{name}_{mode}"] = compact(fake_quantize_mx(torch.from_numpy(x.copy()), **call).numpy())
save("quark_ocp", out)
