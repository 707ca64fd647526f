"""What the registers of a float accumulator hold on the way: `dot_rows` once more, every step written down (rule A3)."""

import numpy as np

from qsim.kernels.float_dot import Row, cut, multiply_row, step
from qsim.kernels.float_sum import EXACT, NEVER, ODD_FIRST, PAIRWISE, SCALE, add32, is_special, unpack
from qsim.kernels.jit import helper, kernel
from qsim.kernels.wide_sum import LIMBS


@helper
def alignment(row, special, lo, hi, c, with_c, p, aligned):
    """E of one step, and its terms in units of 2^(E-F), c last; zeros where a term is no finite number."""
    if special or (with_c and is_special(c)):
        flags = np.int64(0)
        for k in range(lo, hi):
            flags |= row.special[k] if special else np.int64(0)
        if flags != 0 or (with_c and is_special(c)):
            aligned[:] = 0
            return np.int64(0)
    Q, f = np.int64(0), np.int64(NEVER)
    if with_c:
        X, e = unpack(c, p.out_emin, p.daz)
        if X != 0:
            Q, f = -(X << 23) if c >> 31 else X << 23, e
    E = max(np.int64(p.min_exponent), f)
    for k in range(lo, hi):
        E = max(E, row.e[k])
    if E <= NEVER:
        E = np.int64(0)  # all terms are zero
    base = SCALE - p.fraction + E
    for k in range(lo, hi):
        aligned[k - lo] = cut(row.P[k], base - row.e[k], p.alignment)
    aligned[hi - lo] = cut(Q, base - f, p.alignment)
    return E


@kernel
def dot_taps(a, b, c, p, p32, add, even, products, exponents, aligned, sums, promoted):
    """Fill the taps of every row; promoted[r, -1] is the result, also without promotion."""
    period = max(p.nfma, 2) if p.order == ODD_FIRST else p.nfma
    padded = (a.shape[1] + period - 1) // period * period
    zero = np.zeros(padded, np.int64)
    row = Row(zero, np.full(padded, np.int64(NEVER)), zero.copy(), zero.copy())
    limbs = np.zeros(LIMBS, np.int64)
    tree = p.order == PAIRWISE
    nodes = np.empty(padded // p.nfma if tree else 0, np.int64)
    every = p.promote_every if p.promote_every > 0 else max(padded, 1)
    for r in range(a.shape[0]):
        special = multiply_row(a, b, r, p, row)
        for k in range(padded):
            products[r, k] = np.ldexp(np.float64(row.P[k]), np.int32(row.e[k] - SCALE)) if row.P[k] != 0 else 0.0
        total = np.int64(c[r])
        i, n = 0, 0  # steps and partial sums so far
        for start in range(0, padded, every):
            end = min(start + every, padded)
            part = np.int64(0) if p.promote_every > 0 else total
            first = n
            for lo in range(start, end, p.nfma):
                with_c = not p.late and not tree
                if p.alignment != EXACT:
                    exponents[r, i] = alignment(row, special, lo, lo + p.nfma, part, with_c, p, aligned[r, i])
                found = step(row, special, lo, lo + p.nfma, part, with_c, p, add, limbs)
                sums[r, n] = found
                if not tree:
                    part = add32(found, part, p.nan, p32, even) if p.late else found
                    sums[r, n] = part
                i += 1
                n += 1
            if tree:
                width = n - first
                for j in range(width):
                    nodes[j] = sums[r, first + j]
                while width > 1:
                    for j in range(width // 2):
                        nodes[j] = add32(nodes[2 * j], nodes[2 * j + 1], p.nan, p32, even)
                        sums[r, n + j] = nodes[j]
                    n += width // 2
                    if width & 1:
                        nodes[width // 2] = nodes[width - 1]
                    width = (width + 1) // 2
                part = add32(nodes[0], part, p.nan, p32, even)
            total = add32(total, part, p.nan, p32, even) if p.promote_every > 0 else part
            promoted[r, start // every] = total
        promoted[r, promoted.shape[1] - 1] = total
