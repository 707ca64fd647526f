"""qsim: what an accelerator that computes in a narrow number format must output, bit for bit.

    import qsim
    q = qsim.encode(x, "mx9", axis=-1)      # QTensor: codes, scales
    y = q.decode()                          # float32
    data = q.pack()                         # bytes, as hardware stores them

Names are loaded on first use, so that `import qsim` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qsim import adaround, lowbit, ranges, verify
    from qsim.adaround import adaptive_round
    from qsim.codec import QTensor, convention_names, decode, encode, quantize, set_num_threads
    from qsim.datapath.activation_range import activation_range
    from qsim.datapath.conv import conv2d, depthwise_weight
    from qsim.datapath.datapaths import datapath_names, load_datapath
    from qsim.datapath.dot import dot
    from qsim.datapath.dynamic import dynamic_quantize_linear
    from qsim.datapath.elementwise import add, mul, sub
    from qsim.datapath.float_presets import float_accumulator_names, load_float_accumulator
    from qsim.datapath.matmul import linear, matmul
    from qsim.datapath.model import Model
    from qsim.datapath.multiplier import effective_scale, quantize_multiplier
    from qsim.datapath.pool import average_pool2d, max_pool2d
    from qsim.datapath.presets import load_requantizer, preset_names
    from qsim.datapath.requantize import requantize
    from qsim.datapath.trace import Trace, trace_matmul
    from qsim.explore.metrics import Metrics, metrics
    from qsim.golden.identify import identify
    from qsim.layout import pack, unpack
    from qsim.spec import LFSR, Counter, Format, Options, SpecError, format_names, load_format
    from qsim.spec.datapath import Datapath

__version__ = "0.1.0"

_HOME = {
    "qsim.adaround": ("adaptive_round",),
    "qsim.codec": ("QTensor", "convention_names", "decode", "encode", "quantize", "set_num_threads"),
    "qsim.datapath.activation_range": ("activation_range",),
    "qsim.datapath.conv": ("conv2d", "depthwise_weight"),
    "qsim.datapath.datapaths": ("datapath_names", "load_datapath"),
    "qsim.datapath.dot": ("dot",),
    "qsim.datapath.dynamic": ("dynamic_quantize_linear",),
    "qsim.datapath.elementwise": ("add", "mul", "sub"),
    "qsim.datapath.float_presets": ("float_accumulator_names", "load_float_accumulator"),
    "qsim.datapath.matmul": ("linear", "matmul"),
    "qsim.datapath.model": ("Model",),
    "qsim.datapath.multiplier": ("effective_scale", "quantize_multiplier"),
    "qsim.datapath.pool": ("average_pool2d", "max_pool2d"),
    "qsim.datapath.presets": ("load_requantizer", "preset_names"),
    "qsim.datapath.requantize": ("requantize",),
    "qsim.datapath.trace": ("Trace", "trace_matmul"),
    "qsim.explore.metrics": ("Metrics", "metrics"),
    "qsim.golden.identify": ("identify",),
    "qsim.layout": ("pack", "unpack"),
    "qsim.spec": ("LFSR", "Counter", "Format", "Options", "SpecError", "format_names", "load_format"),
    "qsim.spec.datapath": ("Datapath",),
}
_SUBMODULES = ("adaround", "lowbit", "ranges", "verify")
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "LFSR",
    "Counter",
    "Datapath",
    "Format",
    "Metrics",
    "Model",
    "Options",
    "QTensor",
    "SpecError",
    "Trace",
    "activation_range",
    "adaptive_round",
    "adaround",
    "add",
    "average_pool2d",
    "conv2d",
    "convention_names",
    "datapath_names",
    "decode",
    "depthwise_weight",
    "dot",
    "dynamic_quantize_linear",
    "effective_scale",
    "encode",
    "float_accumulator_names",
    "format_names",
    "identify",
    "linear",
    "load_datapath",
    "load_float_accumulator",
    "load_format",
    "load_requantizer",
    "lowbit",
    "matmul",
    "max_pool2d",
    "metrics",
    "mul",
    "pack",
    "preset_names",
    "quantize",
    "quantize_multiplier",
    "ranges",
    "requantize",
    "set_num_threads",
    "sub",
    "trace_matmul",
    "unpack",
    "verify",
]


def __getattr__(name: str) -> object:
    """Load a public name where it lives."""
    if name in _SUBMODULES:
        return import_module(f"qsim.{name}")
    if name not in _MODULE:
        raise AttributeError(f"module 'qsim' has no attribute {name!r}")
    value = getattr(import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)
