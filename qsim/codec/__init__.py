"""Encode, decode, quantize; QTensor; named conventions."""

from qsim.codec.conventions import convention_names, convention_options
from qsim.codec.decode import decode
from qsim.codec.encode import encode
from qsim.codec.qtensor import QTensor
from qsim.codec.quantize import quantize
from qsim.codec.threads import num_threads, set_num_threads

__all__ = [
    "QTensor",
    "convention_names",
    "convention_options",
    "decode",
    "encode",
    "num_threads",
    "quantize",
    "set_num_threads",
]
