"""One and two bits: signs, packed words, products by XNOR and popcount, and the scales of XNOR-Net and TWN (rule B)."""

from qsim.lowbit.convolution import xnor_conv2d
from qsim.lowbit.layers import binary_weight_matmul, xnor_linear
from qsim.lowbit.products import ternary_binary_matmul, ternary_matmul, xnor_matmul
from qsim.lowbit.qtensors import Binary, Ternary, from_qtensor, to_qtensor
from qsim.lowbit.scales import activation_scale, alpha, scaled
from qsim.lowbit.signs import sign, stochastic_sign
from qsim.lowbit.ternary import ternary_signs, ternary_threshold
from qsim.lowbit.words import Planes, pack_bits, pack_codes, pack_ternary, unpack_bits, unpack_codes, unpack_ternary

__all__ = [
    "Binary",
    "Planes",
    "Ternary",
    "activation_scale",
    "alpha",
    "binary_weight_matmul",
    "from_qtensor",
    "pack_bits",
    "pack_codes",
    "pack_ternary",
    "scaled",
    "sign",
    "stochastic_sign",
    "ternary_binary_matmul",
    "ternary_matmul",
    "ternary_signs",
    "ternary_threshold",
    "to_qtensor",
    "unpack_bits",
    "unpack_codes",
    "unpack_ternary",
    "xnor_conv2d",
    "xnor_linear",
    "xnor_matmul",
]
