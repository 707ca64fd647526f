"""Rounding (rules R1, R2) in one form: a 32-bit fraction, an addend, and the carry out of bit 31.

The fraction is exact to 32 bits with a sticky last bit. A mode is four addends, by sign and by the parity of the integer part,
so that every mode costs the same and no mode is a branch. The stochastic mode has addends 0 and a random word instead.
"""

import numpy as np

from qsim.kernels.jit import helper

HALF, BELOW_HALF, ANY, NEVER = 0x80000000, 0x7FFFFFFF, 0xFFFFFFFF, 0

#: mode -> addends for (+, even), (+, odd), (-, even), (-, odd)
ADDENDS = {
    "half_even": (BELOW_HALF, HALF, BELOW_HALF, HALF),
    "half_away": (HALF, HALF, HALF, HALF),
    "half_up": (HALF, HALF, BELOW_HALF, BELOW_HALF),
    "half_down": (BELOW_HALF, BELOW_HALF, HALF, HALF),
    "half_zero": (BELOW_HALF, BELOW_HALF, BELOW_HALF, BELOW_HALF),
    "toward_zero": (NEVER, NEVER, NEVER, NEVER),
    "away_from_zero": (ANY, ANY, ANY, ANY),
    "floor": (NEVER, NEVER, ANY, ANY),
    "ceil": (ANY, ANY, NEVER, NEVER),
    "to_odd": (ANY, NEVER, ANY, NEVER),
    "stochastic": (NEVER, NEVER, NEVER, NEVER),
}


def addends(mode):
    """The addends of a mode as int64[4]."""
    return np.array(ADDENDS[mode], dtype=np.int64)


@helper
def fraction32(sig, shift):
    """The 32-bit fraction of sig / 2^shift, shift >= 1, bits below it jammed into the last one."""
    if shift > 62:
        return np.int64(1) if sig != 0 else np.int64(0)
    low = sig & ((np.int64(1) << shift) - np.int64(1))
    if shift <= 32:
        return low << (np.int64(32) - shift)
    cut = shift - np.int64(32)
    sticky = np.int64(1) if low & ((np.int64(1) << cut) - np.int64(1)) else np.int64(0)
    return (low >> cut) | sticky


@helper
def round_shift(sig, shift, sign, add, word):
    """sig / 2^shift rounded once; sig in 0..2^62, any shift, `add` the mode's int64[4], `word` random at the top of 32 bits."""
    if shift <= 0:
        return sig << -shift
    kept = np.int64(0) if shift > 62 else sig >> shift
    addend = add[2 * sign + (kept & 1)] + word
    return kept + ((fraction32(sig, shift) + addend) >> 32)
