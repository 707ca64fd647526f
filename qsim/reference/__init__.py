"""The exact reference: the meaning of every format in Python ints and Fractions. Slow and obviously right; imports only spec."""

from qsim.reference.decode import decode, values
from qsim.reference.encode import encode
from qsim.reference.numbers import round_to_float, round_to_integer
from qsim.reference.packing import pack, to_words, unpack
from qsim.reference.tensor import Encoded

__all__ = ["Encoded", "decode", "encode", "pack", "round_to_float", "round_to_integer", "to_words", "unpack", "values"]
