"""MXINT8 of gfloat 0.5.2 (`quantize_block`) and pychop 0.6.2 (`mx_quantize`, numpy): elements down to -128 -> mxint8.npz.

Both take float64 here, so that their log2 is right. Stored: values as float32 bits, of the blocks of ocp_inputs.npz.
"""

import numpy as np
from blocks import compact, ocp_input, save
from gfloat import RoundMode
from gfloat.block import compute_scale_amax, quantize_block
from gfloat.formats import format_info_mxint8
from pychop.np.mx_formats import MXTensor_

x = ocp_input().astype(np.float64)
with np.errstate(over="ignore"):
    gfloat = np.stack([quantize_block(format_info_mxint8, row, compute_scale_amax, RoundMode.TiesToEven) for row in x]).astype(
        np.float32
    )
    out = {"gfloat": compact(gfloat)}
    for name, theirs in (("mxint8", "mxint8"), ("mxfp4", "mxfp4_e2m1")):
        out[f"pychop_{name}"] = compact(np.stack([MXTensor_(row, theirs, 32).dequantize() for row in x]).astype(np.float32))
save("mxint8", out)
