"""Random words of stochastic rounding (rule R2), each at the top of 32 bits, uint32."""

import numpy as np

from qsim.kernels.jit import JIT, kernel
from qsim.spec.random import GOLDEN, MASK64, splitmix64

_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(GOLDEN)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@kernel
def _counter_words(state, down, up, out):
    for i in range(out.shape[0]):
        state += _GOLDEN
        z = state
        z = (z ^ (z >> _S30)) * _M1
        z = (z ^ (z >> _S27)) * _M2
        z = z ^ (z >> _S31)
        out[i] = np.uint32((z >> down) << up)


@kernel
def _lfsr_words(state, poly, r, up, out):
    one = np.uint64(1)
    mask = (one << np.uint64(r)) - one
    for i in range(out.shape[0]):
        out[i] = np.uint32((state & mask) << up)
        for _ in range(r):
            low = state & one
            state = state >> one
            if low:
                state ^= poly


def counter_words(seed, start, r, out):
    """out[i] = word number start + i of splitmix64(seed), r bits, at the top of 32."""
    if JIT:
        _counter_words(np.uint64((seed + start * GOLDEN) & MASK64), np.uint64(64 - r), np.uint64(32 - r), out)
    else:
        out[:] = [(splitmix64(seed, start + i) >> (64 - r)) << (32 - r) for i in range(out.size)]


def lfsr_words(state, poly, r, out):
    """out[i] = low r bits of the register after i * r steps, at the top of 32."""
    _lfsr_words(np.uint64(state), np.uint64(poly), np.int64(r), np.uint64(32 - r), out)
