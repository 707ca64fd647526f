"""Who outside qsim agrees with which vectors. tests/test_golden.py proves each claim; no claim: nobody outside was asked."""

from __future__ import annotations

ML_DTYPES = "ml_dtypes 0.6.0: codes of the half_even tests of finite inputs inside the range"
ML_DTYPES_ALL = "ml_dtypes 0.6.0: codes of the half_even tests"
GFLOAT = "gfloat 0.5.2: values of the decode tests"
NUMPY = "numpy 2.4.6 float16: all tests in half_even"
QUARK = "AMD Quark 0.13: decoded values of the tests flagged QuarkCapture"
ML_DTYPES_BLOCK = "ml_dtypes 0.6.0: element codes against the recorded scales, finite blocks"
NUMPY_SUMS = "numpy 2.4.6: accumulators as int64 products, in the register's range"

MMASIM = "MMA-Sim 0cb7846: results of the cases with tensor scales of 1, up to the sign of zero and the payload of NaN"
MMASIM_PARTS = "parts of MMA-Sim 0cb7846, float32 addition by torch: results of steps above 2^-127, up to zero's sign, NaN bits"
NUMPY_VSQ = "numpy 2.4.6: accumulators as int64 sums with rint of scale products, results as float64 products once to float32"
NUMPY_FIXED = "numpy 2.4.6: accumulators as int64 sums of rint of float64 terms, clipped after every add"
RTL = "tests/rtl/{} in Icarus: every case, taps included"
LITERT = "LiteRT 2.3.0, reference kernels: results of the cases with normal multipliers and clamps of the whole range"
XNNPACK = "LiteRT 2.3.0, XNNPACK: results of the cases with scales from 2^-32 to 256 and clamps of the whole range"
ONNXRUNTIME = "onnxruntime 1.32.0: results of the cases with clamps of the whole range"

#: (level, format) -> claims
VERIFIED_BY: dict[tuple[str, str], tuple[str, ...]] = {
    ("element", "fp16"): (NUMPY,),
    ("element", "bf16"): (ML_DTYPES_ALL,),
    **{("element", f): (ML_DTYPES_ALL, GFLOAT) for f in ("fp8_e4m3", "fp8_e5m2", "fp6_e3m2", "fp6_e2m3", "fp4_e2m1")},
    **{("element", f): (ML_DTYPES, GFLOAT) for f in ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4", "nvfp4")},
    ("element", "mxint8"): (GFLOAT,),
    **{("block", f): (QUARK,) for f in ("mx9", "mx6", "mx4")},
    **{("dot", d): (NUMPY_SUMS,) for d in ("tflite_conv", "binary_popcount")},
    **{("dot", d): (MMASIM,) for d in ("mxfp8_e4m3_tcgen05", "mxfp4_tcgen05", "nvfp4_tcgen05")},
    **{("dot", f"mx{bits}_bdr"): (MMASIM_PARTS,) for bits in (9, 6, 4)},
    **{("dot", d): (NUMPY_VSQ,) for d in ("vsq4_int24", "vsq4_scale6")},
    ("dot", "mx9_fixed40"): (NUMPY_FIXED,),
    ("dot", "int8_saturate16"): (RTL.format("int_dot.sv"),),
    ("requantize", "tflite_conv"): (LITERT, RTL.format("requantizer.sv")),
    ("requantize", "xnnpack_int8"): (XNNPACK,),
    ("requantize", "onnxruntime_int8"): (ONNXRUNTIME,),
    **{("encode", f): (RTL.format("mx_encode.sv"),) for f in ("mx9", "mx6", "mx4")},
    **{("block", f): (ML_DTYPES_BLOCK,) for f in ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4")},
}


def verified_by(level: str, name: str) -> list[str]:
    """The claims of one file."""
    return list(VERIFIED_BY.get((level, name), ()))
