"""Encoders and decoders of whole blocks, sixteen lanes at a time: the same bits as encode.py and decode.py, near memory speed.

All arrays are 1-D and contiguous; k is a multiple of 16; options that these kernels do not take go to the portable ones.
`add` is the mode's addends as a tuple, or None: half_even; `words` uint32, each at the top of 32 bits, or None: not stochastic.
"""

import numpy as np

from qsim.kernels import scale as sc
from qsim.kernels.element import EXACT, Step, encode_element
from qsim.kernels.encode import (
    INF,
    LARGEST,
    NONFINITE,
    OK,
    SCALE_OVERFLOW,
    choose_scale,
    float32_value,
    group_extremes,
    power_step,
)
from qsim.kernels.jit import helper, kernel
from qsim.kernels.vector_ops import (
    decode_float16,
    decode_integer16,
    encode_e2m1_16,
    encode_fixed16,
    encode_fixed16_even,
    encode_float16,
    encode_float16_even,
    encode_integer16,
    encode_mx16,
    encode_mx16_even,
    encode_saturating16,
    encode_saturating16_even,
    encode_thresholds16,
    max_magnitude,
    signed_extremes,
)


@kernel
def amax_of_rows(u, length, high):
    """high[r]: largest magnitude pattern of row r of u (rows of `length`)."""
    whole = length // 16
    for r in range(high.shape[0]):
        start = r * length
        best = max_magnitude(u, start, whole) if whole else np.int64(0)
        for j in range(start + whole * 16, start + length):
            best = max(best, np.int64(u[j]) & 0x7FFFFFFF)
        high[r] = best


@kernel
def extremes_of_rows(u, length, high, low):
    """high[r], low[r]: largest magnitude pattern among the positive and the negative of row r of u (rows of `length`)."""
    whole = length // 16
    for r in range(high.shape[0]):
        start = r * length
        both = signed_extremes(u, start, whole) if whole else np.int64(0)
        positive = both & 0x7FFFFFFF
        top = (both >> 32) & 0xFFFFFFFF
        negative = top & 0x7FFFFFFF if top >> 31 else np.int64(0)
        for j in range(start + whole * 16, start + length):
            bits = np.int64(u[j])
            if bits >> 31:
                negative = max(negative, bits & 0x7FFFFFFF)
            else:
                positive = max(positive, bits)
        high[r] = positive
        low[r] = negative


@kernel
def encode_floats(u, codes, p, add, words):
    """Plain floats (rule R3), a multiple of 16."""
    room = (p.max_code >> p.mantissa_bits) + p.emin - 1 + 24 - p.mantissa_bits <= 126
    for i in range(0, u.shape[0], 16):
        if p.nan_code < 0 and max_magnitude(u, i, 1) > INF:
            return NONFINITE
        if add is None and words is None and room:
            encode_float16_even(u, i, codes, p)
        else:
            encode_float16(u, i, codes, 0, p, add, words)
    return OK


@kernel
def encode_mx(u, codes, micro, shared, k2, p, add, words):
    """MX9, MX6, MX4 and bfp with blocks of 16 (rule S2)."""
    flags = (1 if k2 else 0) | (2 if p.keep_zero_sign else 0)
    for block in range(shared.shape[0]):
        i = block * 16
        top = max_magnitude(u, i, 1) >> 23
        shared[block] = top
        if top == 255:
            codes[i : i + 16] = 0
            if k2:
                micro[i // 2 : i // 2 + 8] = 0
        elif add is None and words is None and top >= p.bits:
            encode_mx16_even(u, i, codes, micro, i // 2 if k2 else 0, top, p.bits, flags)
        else:
            encode_mx16(u, i, codes, micro, i // 2 if k2 else 0, top, p.bits, flags, add, words)
    return OK


@helper
def encode_slowly(x, u, codes, lo, hi, step, zero, p, slow_add, words):
    """A stretch through the portable element encoder."""
    for j in range(lo, hi):
        word = np.int64(0)
        if words is not None:
            word = np.int64(words[j])
        codes[j] = encode_element(np.int64(u[j]), x[j], step, zero, p, slow_add, word)


@kernel
def encode_ocp(x, u, codes, shared, k, lsb, rule, emax, half_ulp, max_sig, max_e, grid, p, add, slow_add, words):
    """OCP MX (rule S3)."""
    is_float = grid[0] >= 0
    lowest = 1 - p.emin if is_float else 0
    for block in range(shared.shape[0]):
        i = block * k
        amax = max_magnitude(u, i, k // 16)
        code = np.int64(0)
        if amax >= INF:
            shared[block] = 255
            codes[i : i + k] = 0
            continue
        if amax != 0:
            code = sc.shared_exponent(amax, rule, emax, half_ulp, max_sig, max_e, grid[0], grid[1], grid[2])
        shared[block] = code
        e = code - 127 + lsb
        if add is None and words is None and -127 <= e <= 126:
            for j in range(i, i + k, 16):
                if is_float:
                    encode_saturating16_even(u, j, codes, e, p)
                else:
                    encode_fixed16_even(u, j, codes, e, p)
        elif code < lowest:
            encode_slowly(x, u, codes, i, i + k, power_step(e), np.int64(0), p, slow_add, words)
        elif is_float:
            for j in range(i, i + k, 16):
                encode_saturating16(u, j, codes, e, p, add, words)
        else:
            for j in range(i, i + k, 16):
                encode_fixed16(u, j, codes, e, p, add, words)
    return OK


@helper
def exact_step(sig, e):
    """The divisor sig * 2^e and its float64 inverse."""
    S, es = sc.normalize32(sig, e)
    return Step(EXACT, np.int64(1), S, es, np.float32(1.0)), 1.0 / (np.float64(sig) * sc.power_of_two(e))


@kernel
def encode_segments(x, u, codes, length, scales, zero_points, segment, mantissa_bits, emin, p, add, slow_add, words):
    """Integers with a scale a segment (rules S4, S6), rows of `length`."""
    whole = length // 16 * 16
    for r in range(segment.shape[0]):
        sig, e = sc.float_parts(np.int64(scales[segment[r]]), mantissa_bits, emin)
        step, inverse = exact_step(sig, e)
        zero = np.int64(zero_points[segment[r]])
        start = r * length
        for j in range(start, start + whole, 16):
            encode_integer16(u, j, codes, inverse, zero, p, add, words)
        encode_slowly(x, u, codes, start + whole, start + length, step, zero, p, slow_add, words)
    return OK


@kernel
def encode_groups(x, u, codes, scales, zero_points, k, affine, mantissa_bits, emin, max_code, saturate, p, add, words):
    """Integers with a float scale a group of k (rules S4, S6, exact arithmetic)."""
    two = u.reshape(1, u.shape[0])
    for block in range(scales.shape[0]):
        i = block * k
        high = max_magnitude(u, i, k // 16)
        low = np.int64(0)
        if high >= INF:
            return NONFINITE
        if affine:
            high, low = group_extremes(two, 0, i, i + k)
        if affine == 0 and mantissa_bits == 23 and high != 0:
            value = np.float32(float32_value(high) / np.float64(p.qmax))  # exact then once: 24 + 15 bits
            code = max(np.int64(value.view(np.uint32)), np.int64(1))
            zero = np.int64(0)
        else:
            code, zero = choose_scale(
                high, low, affine, np.float64(p.qmax), p.qmin, p.qmax, mantissa_bits, emin, max_code, saturate
            )
            if code < 0:
                return SCALE_OVERFLOW + block
        scales[block] = code
        if affine:
            zero_points[block] = zero
        sig, e = sc.float_parts(code, mantissa_bits, emin)
        inverse = 1.0 / (np.float64(sig) * sc.power_of_two(e))
        for j in range(i, i + k, 16):
            encode_integer16(u, j, codes, inverse, zero, p, add, words)
    return OK


@kernel
def encode_vsq(
    u, codes, vector_scales, length, gammas, segment, k, smax, mantissa_bits, emin, max_code, saturate, choose, p, add, words
):  # fmt: skip
    """VS-Quant (rule S5, order requantize) with gammas of 16 bits or fewer, rows of `length`.

    choose: every row is a channel of its own, whose gamma is chosen here, while the row is in the cache.
    """
    inverses = np.empty(smax + 1 if (smax + 1) * k <= length else 0, np.float64)
    for r in range(segment.shape[0]):
        if choose:
            amax = max_magnitude(u, r * length, length // 16)
            if amax >= INF:
                return NONFINITE
            code, _ = choose_scale(amax, np.int64(0), 0, np.float64(p.qmax * smax), 0, 0, mantissa_bits, emin, max_code, saturate)
            if code < 0:
                return SCALE_OVERFLOW + segment[r]
            gammas[segment[r]] = code
        sig, e = sc.float_parts(np.int64(gammas[segment[r]]), mantissa_bits, emin)
        gamma = np.float64(sig) * sc.power_of_two(e)
        unit = np.float64(p.qmax) * gamma
        for q in range(1, inverses.shape[0]):
            inverses[q] = 1.0 / (np.float64(q) * gamma)
        for i in range(r * length, (r + 1) * length, k):
            amax = max_magnitude(u, i, k // 16)
            if amax >= INF:
                return NONFINITE
            s = 0.0
            if amax != 0:
                s = min(max(np.rint(float32_value(amax) / unit), 1.0), np.float64(smax))
                inverse = inverses[np.int64(s)] if inverses.shape[0] else 1.0 / (s * gamma)
                for j in range(i, i + k, 16):
                    encode_integer16(u, j, codes, inverse, np.int64(0), p, add, words)
            else:
                codes[i : i + k] = 0
            vector_scales[i // k] = np.int64(s)
    return OK


@helper
def e4m3_code(ratio, min_code):
    """half_even E4M3 code of a positive float64, saturating at 448, at least min_code."""
    if ratio < 0.015625:
        code = np.int64(np.rint(ratio * 512.0))
    else:
        bits = np.float64(min(ratio, 448.0)).view(np.int64)
        code = ((bits + np.int64(0xFFFFFFFFFFFF) + ((bits >> 49) & 1)) >> 49) - np.int64((1023 - 7) << 3)
    return max(code, np.int64(min_code))


@kernel
def e2m1_limits(g_code):
    """The limits [s, i] of the E4M3 block scales s under a tensor scale g (FP32 code).

    |x| goes above tie i of E2M1 over the step s * g, half_even, iff its pattern is above the limit.
    A tie is (1, 3, 5, 7, 10, 14, 20)[i] / 4 of the step, an integer times a power of two; the odd ones of the list go up there.
    """
    g_sig, g_e = sc.float_parts(np.int64(g_code), 23, -126)
    limits = np.zeros((128, 8), np.uint32)
    for code in range(1, 127):
        s_sig, s_e = sc.float_parts(np.int64(code), 3, -6)
        for i in range(7):
            quarter = 2 * i + 1 if i < 4 else 10 if i == 4 else 14 if i == 5 else 20
            sig, e = s_sig * g_sig * quarter, s_e + g_e - 2
            width = np.int64(0)
            while sig >> width:
                width += 1
            lead = e + width - 1
            if lead > 127:
                limits[code, i] = LARGEST
                continue
            unit = max(lead, np.int64(-126)) - 23
            shift = unit - e
            if shift <= 0:
                sig, shift = sig << -shift, np.int64(0)
            kept = sig >> shift if shift < 63 else np.int64(0)
            exact = shift < 63 and (kept << shift) == sig
            pattern = ((unit + 149) << 23) + kept if lead >= -126 else kept
            if exact and i % 2 == 1:
                pattern -= 1
            limits[code, i] = pattern
    return limits


@kernel
def encode_nvfp4(u, codes, scales, g_code, limits, k, largest, min_code, add, words):
    """NVFP4 (rule S8): E2M1 elements, E4M3 block scales; limits: e2m1_limits(g_code)."""
    g_sig, g_e = sc.float_parts(np.int64(g_code), 23, -126)
    g = np.float64(g_sig) * sc.power_of_two(g_e)
    for block in range(scales.shape[0]):
        i = block * k
        amax = max_magnitude(u, i, k // 16)
        if amax >= INF:
            return NONFINITE
        code = np.int64(0x38)
        if amax != 0:
            code = e4m3_code(float32_value(amax) / (largest * g), min_code)
        scales[block] = code
        if add is None and words is None:
            for j in range(i, i + k, 16):
                encode_thresholds16(u, j, codes, limits, code)
        else:
            sig, e = sc.float_parts(code, 3, -6)
            inverse = 1.0 / (np.float64(sig) * sc.power_of_two(e) * g)
            for j in range(i, i + k, 16):
                encode_e2m1_16(u, j, codes, inverse, add, words)
    return OK


@kernel
def decode_blocks(codes, out, k, style, p, unit, outer_codes, outer_table, outer_values, zeros, micro):
    """Blocks of k elements with one scale a block, by a table of its codes or a float32 itself (outer_table empty).

    style: that of decode_integer16, or -1 for floats. unit: [weight of an integer's last bit], or empty for 1.
    """
    inner = unit[0] if unit.size else np.float32(1.0)
    for block in range(out.shape[0] // k):
        outer = outer_table[outer_codes[block]] if outer_table.size else outer_values[block]
        zero = np.int64(zeros[block]) if zeros.size else np.int64(0)
        for j in range(block * k, block * k + k, 16):
            if style < 0:
                decode_float16(codes, j, out, p, inner, outer)
            else:
                decode_integer16(codes, j, out, p.bits, style, zero, inner, outer, micro, j // 2 if style == 3 else 0)


@kernel
def decode_rows(codes, out, length, k, style, p, inner_codes, inner_table, flat, row_outer, row_zero, tail):
    """Rows of `length` with one outer scale a row; an inner scale a block of k by inner_table, or `flat`: none.

    tail: element values, for the elements after the last sixteen (only flat rows have them).
    """
    whole = length // 16 * 16
    for r in range(row_outer.shape[0]):
        outer = row_outer[r]
        zero = np.int64(row_zero[r]) if row_zero.size else np.int64(0)
        start = r * length
        for j in range(start, start + whole, 16):
            inner = np.float32(1.0) if flat else inner_table[inner_codes[j // k]]
            if style < 0:
                decode_float16(codes, j, out, p, inner, outer)
            else:
                decode_integer16(codes, j, out, p.bits, style, zero, inner, outer, codes, 0)
        for j in range(start + whole, start + length):
            out[j] = (tail[codes[j]] - np.float32(zero)) * outer
