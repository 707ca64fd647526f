"""Portable encoders, one kernel a family, exact in integers for every input, group size, option and rounding mode.

Letters: R rows, L elements a row, k group size. `x` is float32 (R, L), `u` the same memory as uint32; codes (R, L).
`words` is uint32 (R, L), each random word at the top of 32 bits, or (0, 0). A kernel with `given` uses the scale codes that
stand in the scale arrays, else it writes them. Return value: OK, NONFINITE (a non-finite input is refused), or SCALE_OVERFLOW
plus the number r * groups + b of the group whose scale is above its type.
"""

import numpy as np

from qsim.kernels import scale as sc
from qsim.kernels.element import DIVIDE, EXACT, MULTIPLY, Step, encode_element
from qsim.kernels.jit import helper, kernel

SATURATE, ERROR = 1, 2  # of the option nonfinite; 0: the NaN block
OK, NONFINITE, SCALE_OVERFLOW = 0, 1, 2
INF = 0x7F800000
LARGEST = 0x7F7FFFFF


@helper
def clean(bits, flush, nonfinite):
    """Input bits after the options `subnormals` and `nonfinite`."""
    u = np.int64(bits)
    magnitude = u & 0x7FFFFFFF
    if flush and magnitude < 0x800000:
        return np.int64(0)
    if nonfinite == SATURATE and magnitude == INF:
        return u - 1
    return u


@helper
def word_at(words, r, j):
    """Random word of an element, 0 without stochastic rounding."""
    return np.int64(words[r, j]) if words.size else np.int64(0)


@helper
def power_step(e):
    """The divisor 2^e."""
    return Step(EXACT, np.int64(1), np.int64(0), np.int64(e), np.float32(1.0))


@helper
def fill(out, r, lo, hi, value):
    """out[r, lo:hi] = value."""
    for j in range(lo, hi):
        out[r, j] = value


@kernel
def encode_floats(x, u, codes, p, add, words):
    """Plain floats (rule R3)."""
    one = power_step(0)
    for r in range(x.shape[0]):
        for j in range(x.shape[1]):
            bits = np.int64(u[r, j])
            magnitude = bits & 0x7FFFFFFF
            if magnitude >= INF:
                if magnitude > INF and p.nan_code < 0:
                    return NONFINITE
                special = np.int64(p.inf_code) if magnitude == INF else np.int64(p.nan_code)
                codes[r, j] = special | ((bits >> 31) << (p.bits - 1))
            else:
                codes[r, j] = encode_element(bits, x[r, j], one, np.int64(0), p, add, word_at(words, r, j))
    return OK


@kernel
def encode_microexponent(x, u, codes, micro, shared, k1, k2, lsb, flush, nonfinite, given, p, add, words):
    """MX9, MX6, MX4 and bfp (rule S2); k2 = 0 means no microexponents."""
    length = x.shape[1]
    for r in range(x.shape[0]):
        for b in range(shared.shape[1]):
            lo, hi = b * k1, min(b * k1 + k1, length)
            top = np.int64(0)
            for j in range(lo, hi):
                top = max(top, (clean(u[r, j], flush, nonfinite) >> 23) & 255)
            if top == 255 and nonfinite == ERROR:
                return NONFINITE
            if given and top != 255:
                top = np.int64(shared[r, b])
            if top == 255:
                shared[r, b] = 255
                fill(codes, r, lo, hi, 0)
                if k2:
                    fill(micro, r, lo // k2, (hi + k2 - 1) // k2, 0)
                continue
            shared[r, b] = top
            width = k2 if k2 else k1
            for start in range(lo, hi, width):
                stop = min(start + width, hi)
                tau = np.int64(0)
                if k2 and given:
                    tau = np.int64(micro[r, start // k2])
                elif k2:
                    largest = np.int64(0)
                    for j in range(start, stop):
                        largest = max(largest, (clean(u[r, j], flush, nonfinite) >> 23) & 255)
                    tau = min(top - largest, np.int64(1))
                    micro[r, start // k2] = tau
                step = power_step(top - 127 - tau + lsb)
                for j in range(start, stop):
                    bits = clean(u[r, j], flush, nonfinite)
                    codes[r, j] = encode_element(bits, x[r, j], step, np.int64(0), p, add, word_at(words, r, j))
    return OK


@kernel
def encode_ocp(x, u, codes, shared, k, lsb, rule, emax, half_ulp, max_sig, max_e, grid, flush, nonfinite, given, p, add, words):
    """OCP MX (rule S3). grid: (mantissa_bits, max_code, emin) of the element, mantissa_bits = -1 for an integer."""
    length = x.shape[1]
    for r in range(x.shape[0]):
        for b in range(shared.shape[1]):
            lo, hi = b * k, min(b * k + k, length)
            amax = np.int64(0)
            for j in range(lo, hi):
                amax = max(amax, clean(u[r, j], flush, nonfinite) & 0x7FFFFFFF)
            code = np.int64(0)
            if amax >= INF:
                if nonfinite == ERROR:
                    return NONFINITE
                code = np.int64(255)
            elif given:
                code = np.int64(shared[r, b])
            elif amax != 0:
                code = sc.shared_exponent(amax, rule, emax, half_ulp, max_sig, max_e, grid[0], grid[1], grid[2])
            shared[r, b] = code
            if code == 255:
                fill(codes, r, lo, hi, 0)
                continue
            step = power_step(code - 127 + lsb)
            for j in range(lo, hi):
                bits = clean(u[r, j], flush, nonfinite)
                codes[r, j] = encode_element(bits, x[r, j], step, np.int64(0), p, add, word_at(words, r, j))
    return OK


@helper
def float_step(code, mantissa_bits, emin, op):
    """The divisor of a positive float scale code, exact or by a float32 chain."""
    sig, e = sc.float_parts(code, mantissa_bits, emin)
    S, es = sc.normalize32(sig, e)
    value = np.float32(np.float64(sig) * sc.power_of_two(e))
    factor = np.float32(1.0) / value if op == MULTIPLY else value
    return Step(op, np.int64(1), S, es, factor)


@kernel
def encode_segments(x, u, codes, scales, zero_points, segment, mantissa_bits, emin, op, p, add, words):
    """Integers with a scale a segment (rules S4, S6 per tensor or channel): row r has scale and zero point number segment[r]."""
    for r in range(x.shape[0]):
        i = segment[r]
        step = float_step(np.int64(scales[i]), mantissa_bits, emin, op)
        zero = np.int64(zero_points[i])
        for j in range(x.shape[1]):
            bits = np.int64(u[r, j])
            if bits & INF == INF:
                return NONFINITE
            codes[r, j] = encode_element(bits, x[r, j], step, zero, p, add, word_at(words, r, j))
    return OK


@helper
def group_extremes(u, r, lo, hi):
    """(largest positive, largest negative) magnitude patterns of a group; a NaN or Inf shows as a pattern of INF or more."""
    high, low = np.int64(0), np.int64(0)
    for j in range(lo, hi):
        bits = np.int64(u[r, j])
        if bits >> 31:
            low = max(low, bits & 0x7FFFFFFF)
        else:
            high = max(high, bits)
    return high, low


@kernel
def encode_groups(x, u, codes, scales, zero_points, k, affine, mantissa_bits, emin, max_code, saturate, op, given, p, add, words):
    """Integers with a float scale a group of k (rules S4, S6). affine: 0 symmetric, 1 exact, 2 onnxruntime's float32 chain."""
    length = x.shape[1]
    qmax = np.float64(p.qmax)
    for r in range(x.shape[0]):
        for b in range(scales.shape[1]):
            lo, hi = b * k, min(b * k + k, length)
            high, low = group_extremes(u, r, lo, hi)
            if max(high, low) >= INF:
                return NONFINITE
            if not given:
                code, zero = choose_scale(high, low, affine, qmax, p.qmin, p.qmax, mantissa_bits, emin, max_code, saturate)
                if code < 0:
                    return SCALE_OVERFLOW + r * scales.shape[1] + b
                scales[r, b] = code
                if affine:
                    zero_points[r, b] = zero
            step = float_step(np.int64(scales[r, b]), mantissa_bits, emin, op)
            z = np.int64(zero_points[r, b]) if affine else np.int64(0)
            for j in range(lo, hi):
                codes[r, j] = encode_element(np.int64(u[r, j]), x[r, j], step, z, p, add, word_at(words, r, j))
    return OK


@helper
def float32_value(magnitude):
    """The float64 value of a float32 magnitude pattern."""
    return np.float64(np.uint32(magnitude).view(np.float32))


@helper
def choose_scale(high, low, affine, qabs, qmin, qmax, mantissa_bits, emin, max_code, saturate):
    """(scale code, zero point) of one group; code OVERFLOWED above the type's range."""
    if affine == 0:
        amax = max(high, low)
        if amax == 0:
            return np.int64(1 - emin) << mantissa_bits, np.int64(0)
        return sc.float_scale(float32_value(amax) / qabs, mantissa_bits, emin, max_code, saturate), np.int64(0)
    if affine == 2 and max(high, low) != 0:
        span = np.float32(np.float32(float32_value(high)) + np.float32(float32_value(low)))
        s = np.float32(span / np.float32(qmax - qmin))
        code = np.int64(s.view(np.uint32))
        if code >= INF:
            if not saturate:
                return np.int64(sc.OVERFLOWED), np.int64(0)
            code = np.int64(LARGEST)
        code = max(code, np.int64(1))
        s = np.float32(float32_value(code))
        z = np.rint(
            min(
                max(np.float32(np.float32(qmin) + np.float32(np.float32(float32_value(low)) / s)), np.float32(qmin)),
                np.float32(qmax),
            )
        )
        return code, np.int64(z)
    code = sc.affine_scale(high, low, np.int64(qmax) - np.int64(qmin), mantissa_bits, emin, max_code, saturate)
    if code < 0:
        return code, np.int64(0)
    sig, e = sc.float_parts(code, mantissa_bits, emin)
    return code, sc.affine_zero_point(float32_value(low), np.float64(sig) * sc.power_of_two(e), qmin, qmax)


@kernel
def choose_scales(high, low, affine, qabs, qmin, qmax, mantissa_bits, emin, max_code, saturate, scales, zero_points):
    """Scale and zero point of each segment; -1, or the number of the first segment whose scale overflows its type."""
    for i in range(high.shape[0]):
        code, zero = choose_scale(
            np.int64(high[i]), np.int64(low[i]), affine, qabs, qmin, qmax, mantissa_bits, emin, max_code, saturate
        )
        if code < 0:
            return i
        scales[i] = code
        zero_points[i] = zero
    return -1


@kernel
def encode_vsq(x, u, codes, vector_scales, gammas, segment, k, smax, mantissa_bits, emin, float_first, given, p, add, words):
    """VS-Quant (rule S5): gammas are codes by channel, vector_scales UINT codes by vector."""
    length = x.shape[1]
    qmax = np.int64(p.qmax)
    for r in range(x.shape[0]):
        gamma_sig, gamma_e = sc.float_parts(np.int64(gammas[segment[r]]), mantissa_bits, emin)
        gamma = np.float64(gamma_sig) * sc.power_of_two(gamma_e)
        for b in range(vector_scales.shape[1]):
            lo, hi = b * k, min(b * k + k, length)
            amax = np.int64(0)
            for j in range(lo, hi):
                amax = max(amax, np.int64(u[r, j]) & 0x7FFFFFFF)
            if amax >= INF:
                return NONFINITE
            if given:
                s = np.int64(vector_scales[r, b])
            else:
                s = np.int64(0)
                if amax != 0:
                    ratio = np.rint(float32_value(amax) / (np.float64(qmax) * gamma))
                    s = np.int64(min(max(ratio, 1.0), np.float64(smax)))
                vector_scales[r, b] = s
            if s == 0:
                fill(codes, r, lo, hi, 0)
                continue
            if float_first and amax != 0:
                sig, e = sc.float_parts(amax, 23, -126)
                S, es = sc.normalize32(sig, e)
                step = Step(EXACT, qmax, S, es, np.float32(1.0))
            else:
                S, es = sc.normalize32(s * gamma_sig, gamma_e)
                step = Step(EXACT, np.int64(1), S, es, np.float32(1.0))
            for j in range(lo, hi):
                codes[r, j] = encode_element(np.int64(u[r, j]), x[r, j], step, np.int64(0), p, add, word_at(words, r, j))
    return OK


@helper
def block_ratio(amax, largest, g, chain):
    """The block scale before its rounding: amax / (largest * g), exact, or modelopt's (1) or torchao's (2) float32 operations."""
    if chain == 1:
        return np.float64(np.float32(amax) / np.float32(np.float32(largest) * np.float32(g)))
    if chain == 2:
        return np.float64(np.float32(np.float32(amax) / np.float32(largest)) / np.float32(g))
    return amax / (largest * g)


@kernel
def encode_nvfp4(x, u, codes, scales, g_code, k, largest, mantissa_bits, emin, max_code, min_code, chain, given, p, add, words):
    """NVFP4 (rule S8): a float scale code a block, g_code the tensor's FP32 code. chain: 0 exact, 1 modelopt, 2 torchao."""
    length = x.shape[1]
    g_sig, g_e = sc.float_parts(np.int64(g_code), 23, -126)
    g = np.float64(g_sig) * sc.power_of_two(g_e)
    for r in range(x.shape[0]):
        for b in range(scales.shape[1]):
            lo, hi = b * k, min(b * k + k, length)
            amax = np.int64(0)
            for j in range(lo, hi):
                amax = max(amax, np.int64(u[r, j]) & 0x7FFFFFFF)
            if amax >= INF:
                return NONFINITE
            if not given:
                if amax == 0:
                    code = np.int64(min_code) if chain == 2 else np.int64(1 - emin) << mantissa_bits
                else:
                    ratio = block_ratio(float32_value(amax), largest, g, chain)
                    code = np.int64(min_code)
                    if ratio > 0.0:
                        code = max(code, sc.float_scale(min(ratio, 1e30), mantissa_bits, emin, max_code, True))
                    elif chain == 1:
                        code = np.int64(1 - emin) << mantissa_bits
                scales[r, b] = code
            code = np.int64(scales[r, b])
            sig, e = sc.float_parts(code, mantissa_bits, emin)
            S, es = sc.normalize32(sig * g_sig, e + g_e)
            s = np.float32(np.float64(sig) * sc.power_of_two(e))
            step = Step(EXACT, np.int64(1), S, es, np.float32(1.0))
            if chain == 1:
                step = Step(DIVIDE, np.int64(1), S, es, np.float32(s * np.float32(g)))
            elif chain == 2:
                step = Step(MULTIPLY, np.int64(1), S, es, np.float32(np.float32(np.float32(1.0) / np.float32(g)) / s))
            for j in range(lo, hi):
                codes[r, j] = encode_element(np.int64(u[r, j]), x[r, j], step, np.int64(0), p, add, word_at(words, r, j))
    return OK


@kernel
def encode_binary(x, u, codes, r_bits, words):
    """Signs: code 1 for x >= 0; with words, 1 iff word < (x + 1) / 2 * 2^r (rule B); both sides exact in float64."""
    unit = sc.power_of_two(1 - r_bits)
    down = np.int64(32 - r_bits)
    for r in range(x.shape[0]):
        for j in range(x.shape[1]):
            if np.int64(u[r, j]) & INF == INF:
                return NONFINITE
            if words.size:
                codes[r, j] = 1 if np.float64(x[r, j]) > np.float64(np.int64(words[r, j]) >> down) * unit - 1.0 else 0
            else:
                codes[r, j] = 1 if x[r, j] >= 0 else 0
    return OK


@kernel
def encode_ternary(x, codes, thresholds, segment):
    """Keep |x| > threshold with its sign, else 0 (rule B); thresholds float64 by segment."""
    for r in range(x.shape[0]):
        t = thresholds[segment[r]]
        for j in range(x.shape[1]):
            v = np.float64(x[r, j])
            codes[r, j] = 1 if v > t else 3 if v < -t else 0
