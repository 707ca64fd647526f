"""Decoders: element value times its scales, exact but for one rounding (rule S10).

out = (element * inner) * outer, where element * inner is exact in the output type: the last product is the only rounding.
"""

from qsim.kernels.jit import kernel


@kernel
def decode_table(codes, table, inner, outer, g0, g1, segment, zero_points, one, out):
    """Codes of 16 bits or fewer through a value table (R, L).

    inner: (R, groups of g0) values, or (0, 0) for none; outer: (R, groups of g1), or g1 = 0: outer[segment[r], 0].
    one: 1 in the output type. zero_points: (R, groups) or (segments, 1) as outer, or (0, 0) for none; subtracted first.
    """
    for r in range(codes.shape[0]):
        length = codes.shape[1]
        width = g0 if g0 else g1 if g1 else length
        if width == 0:
            continue
        for lo in range(0, length, width):
            a = inner[r, lo // g0] if g0 else one
            b = outer[r, lo // g1] if g1 else outer[segment[r], 0]
            z = one - one
            if zero_points.size:
                z = zero_points[r, lo // g1] if g1 else zero_points[segment[r], 0]
            for j in range(lo, min(lo + width, length)):
                out[r, j] = ((table[codes[r, j]] - z) * a) * b
