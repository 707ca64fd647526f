"""An exact sum of float terms: one long fixed-point number in limbs of 32 bits, each in an int64 so that carries can wait."""

import numpy as np

from qsim.kernels.jit import helper

LOWEST = -320  # exponent of bit 0: below the last bit of a product of two float32
LIMBS = 24  # 768 bits: up to 2^448, above any sum of products
MASK = 0xFFFFFFFF


@helper
def bit_length(x):
    """Bits of x, 0 <= x < 2^63."""
    # Without the bits that follow another one below, x < 1.5 times its top bit: float64 cannot round it up to the next power.
    return max((np.float64(x & ~(x >> 1)).view(np.int64) >> 52) - 1022, np.int64(0))


@helper
def wide_add(limbs, P, e, negative):
    """Add P * 2^e, 0 <= P < 2^48, e >= LOWEST; at most 2^30 terms."""
    position = e - LOWEST
    i, shift = position >> 5, position & 31
    low = (P & MASK) << shift  # below 2^63
    high = (P >> 32) << shift
    first, second, third = low & MASK, (low >> 32) + (high & MASK), high >> 32
    if negative:
        first, second, third = -first, -second, -third
    limbs[i] += first
    limbs[i + 1] += second
    limbs[i + 2] += third


@helper
def carry(limbs):
    """Every limb but the last one into 0..2^32-1; returns what is below zero: -1 or 0."""
    over = np.int64(0)
    for i in range(LIMBS):
        over += limbs[i]
        limbs[i] = over & MASK
        over >>= 32
    return over


@helper
def round_wide(limbs):
    """(sig, e, sign) of the sum, sig in 0..2^62 with a sticky last bit where bits are lost; clears the limbs."""
    sign = np.int64(0)
    if carry(limbs) < 0:
        sign = np.int64(1)
        for i in range(LIMBS):
            limbs[i] = -limbs[i]
        carry(limbs)
    top = LIMBS - 1
    while top > 0 and limbs[top] == 0:
        top -= 1
    if top == 0:
        sig, e = limbs[0], np.int64(LOWEST)
    else:
        used = bit_length(limbs[top])
        sig = limbs[top]
        e = np.int64(LOWEST) + 32 * top
        below = top - 1
        room = np.int64(61) - used
        while room > 0 and below >= 0:
            take = min(room, np.int64(32))
            sig = (sig << take) | (limbs[below] >> (32 - take))
            e -= take
            room -= take
            if take < 32:
                if limbs[below] & ((np.int64(1) << (32 - take)) - 1):
                    sig |= 1
                below -= 1
                break
            below -= 1
        for i in range(below + 1):
            if limbs[i]:
                sig |= 1
    for i in range(LIMBS):
        limbs[i] = 0
    return sig, e, sign
