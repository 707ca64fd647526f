"""Vector building blocks: sixteen elements of one group encoded or decoded (the vector twins of element.py and decode.py).

Shifts are in 32-bit lanes: a 24-bit significand, a shift of 1 to 31 (further: nothing but a sticky bit), a 32-bit fraction.
`add` None: half_even; `words` None: not stochastic; a kernel is compiled for the kinds it is called with. Random words have at
most 8 bits, so that a fraction below 2^-8 never carries.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from qsim.kernels.vector import (
    F32,
    F64,
    I1,
    I32,
    I64,
    Lanes,
    address,
    load,
    load_codes,
    load_pair_bytes,
    splat,
    splat32,
    store,
    store_codes,
    store_even_bytes,
    vec,
)

FIXED_LIMIT = float(1 << 18)  # |x| / step is cut here: every integer element saturates far below
FIXED_MAGIC = 1.5 * 2.0**20  # adding it leaves 32 fraction bits in the low half of a float64
INTEGER_MAGIC = 1.5 * 2.0**52  # adding it to a float64 rounds half_even to an integer, which the low half then holds
FLOAT_MAGIC = 1.5 * 2.0**23  # the same for float32
FLOAT_MAGIC_BITS = 0x4B400000
FINE_LIMIT = 64.0
FINE_MAGIC = 1.5 * 2.0**7  # leaves 45 fraction bits


def _width(array_type):
    return array_type.dtype.bitwidth


def _addend(b, odd, negative, modes):
    """The mode's addend (modes: four lanes, or None for half_even), by the parity `odd` (0 or 1) and the sign mask."""
    if modes is None:
        return odd + 0x7FFFFFFF
    is_odd = odd.eq(1)
    return is_odd.where(negative.where(modes[3], modes[1]), negative.where(modes[2], modes[0]))


def _carry(kept, fraction, negative, modes, word):
    """kept + 1 where fraction + addend + word carries out of 32 bits."""
    addend = _addend(kept.b, kept & 1, negative, modes)
    addend = addend if word is None else addend + word
    return kept + (fraction + addend).ult(fraction).to(I32, "zext")


def _round_shift(sig, shift, negative, modes, word):
    """sig / 2^shift rounded, sig below 2^24, shift 1 or more: the addend is brought down to the scale of sig, and its sum cut."""
    near = shift.umin(31)
    if word is not None:  # the fraction of a longer shift is below every threshold but 0
        sig = shift.ugt(31).where(sig.umin(1), sig)
    addend = _addend(sig.b, (sig >> near) & 1, negative, modes)
    addend = addend if word is None else addend + word
    return (sig + (addend >> (32 - near))) >> near


def _unpack(u):
    """(magnitude, field at least 1, 24-bit significand, sign mask) of float32 patterns."""
    magnitude = u & 0x7FFFFFFF
    field = magnitude >> 23
    sig = (magnitude & 0x7FFFFF) | field.eq(0).where(u & 0, 0x800000)
    return magnitude, field.umax(1), sig, u.slt(0)


def _modes(b, signature, args, i):
    """The mode's four addends in lanes; None where argument i is None: half_even."""
    return None if signature.args[i] == types.none else [splat32(b, b.extract_value(args[i], k)) for k in range(4)]


def _words(context, b, signature, args, i, offset):
    """Sixteen random words; None where argument i is None: not stochastic."""
    if signature.args[i] == types.none:
        return None
    return load(b, address(context, b, signature.args[i], args[i], offset), I32)


def _saturated_integer(q, negative, zero, qmin, qmax, mask):
    """Two's complement code of q with sign, zero point added, clamped."""
    value = negative.where(zero - q, zero + q)
    return value.smax(qmin).smin(qmax) & mask


@intrinsic
def max_magnitude(typingctx, u, offset, count):
    """Largest magnitude pattern of 16 * count elements of u from offset, int64."""
    sig = types.int64(u, offset, count)

    def codegen(context, b, signature, args):
        start = address(context, b, signature.args[0], args[0], args[1])
        zero = ir.Constant(vec(I32), [0] * 16)
        best = cgutils.alloca_once_value(b, zero)
        with cgutils.for_range(b, args[2]) as loop:
            part = load(b, b.gep(start, [b.mul(loop.index, ir.Constant(loop.index.type, 16))]), I32) & 0x7FFFFFFF
            b.store(part.umax(Lanes(b, b.load(best))).v, best)
        return b.zext(Lanes(b, b.load(best)).largest(), I64)

    return sig, codegen


@intrinsic
def signed_extremes(typingctx, u, offset, count):
    """16 * count elements as patterns: the largest as a signed number (low half), as an unsigned one (high half), int64."""
    sig = types.int64(u, offset, count)

    def codegen(context, b, signature, args):
        start = address(context, b, signature.args[0], args[0], args[1])
        zero = ir.Constant(vec(I32), [0] * 16)
        best = [cgutils.alloca_once_value(b, zero) for _ in range(2)]
        with cgutils.for_range(b, args[2]) as loop:
            part = load(b, b.gep(start, [b.mul(loop.index, ir.Constant(loop.index.type, 16))]), I32)
            b.store(part.smax(Lanes(b, b.load(best[0]))).v, best[0])
            b.store(part.umax(Lanes(b, b.load(best[1]))).v, best[1])
        signed, unsigned = (b.zext(Lanes(b, b.load(v)).largest(), I64) for v in best)
        return b.or_(signed, b.shl(unsigned, ir.Constant(I64, 32)))

    return sig, codegen


@intrinsic
def encode_mx16(typingctx, u, offset, codes, micro, micro_offset, top, bits, flags, add, words):
    """One block of S1Mm elements (rule S2); top: its exponent field, 0 to 254; flags: 1 microexponents, 2 keep -0."""
    sig = types.int64(u, offset, codes, micro, micro_offset, top, bits, flags, add, words)

    def codegen(context, b, signature, args):
        _, offset, _, _, micro_offset, top, bits, flags, _, _ = args
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        u = load(b, at(0, offset), I32)
        magnitude, field, significand, negative = _unpack(u)
        e = magnitude >> 23
        shared = splat32(b, top)
        flag = splat32(b, flags)
        pair = e.umax(e.swap_pairs())
        tau = (shared - pair).umin(1) & flag
        m = splat32(b, b.sub(bits, ir.Constant(bits.type, 1)))
        shift = (24 - m) + (shared - tau) - field
        q = _round_shift(
            significand, shift, negative, _modes(b, signature, args, 8), _words(context, b, signature, args, 9, offset)
        )
        q = q.umin((m * 0 + 1 << m) - 1)
        keep = ((flag & 2) | q).eq(0)
        sign = (u >> 31) << m
        store_codes(q | keep.where(u & 0, sign), at(2, offset), _width(signature.args[2]))
        with b.if_then(b.trunc(flags, ir.IntType(1))):
            store_even_bytes(tau, at(3, micro_offset))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def encode_float16(typingctx, u, offset, codes, e, p, add, words):
    """Sixteen floats over 2^e on an ExMy grid (rules R3, S3). |x| / 2^e of a subnormal x must lie below emin, or e >= 0."""
    sig = types.int64(u, offset, codes, e, p, add, words)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, e, p, _, _ = args
        item = lambda i: splat32(b, b.extract_value(p, i))  # noqa: E731
        bits, mantissa, emin, max_code, overflow, inf, nan, stay_positive, stay_negative = (item(i) for i in range(1, 10))
        u = load(b, at(0, offset), I32)
        magnitude, field, significand, negative = _unpack(u)
        lead = field - 127 - splat32(b, e)
        above = (lead - emin).smax(0)
        shift = (23 - mantissa) + (emin - lead).smax(0)
        modes, word = _modes(b, signature, args, 5), _words(context, b, signature, args, 6, offset)
        code = (above << mantissa) + _round_shift(significand, shift, negative, modes, word)
        stays = negative.where(stay_negative, stay_positive).eq(1)
        code = code.ugt(max_code).where(stays.where(max_code, overflow), code)
        code = magnitude.ugt(0x7F7FFFFF).where(magnitude.ugt(0x7F800000).where(nan, inf), code)
        code = code | ((u >> 31) << (bits - 1))
        store_codes(code, at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def encode_saturating16(typingctx, u, offset, codes, e, p, add, words):
    """encode_float16 for finite inputs and an element that saturates (rule S3)."""
    sig = types.int64(u, offset, codes, e, p, add, words)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, e, p, _, _ = args
        bits, mantissa, emin, max_code = (splat32(b, b.extract_value(p, i)) for i in range(1, 5))
        u = load(b, at(0, offset), I32)
        _, field, significand, negative = _unpack(u)
        above = field - (splat32(b, e) + 127 + emin)
        shift = (23 - mantissa) + (0 - above).smax(0)
        modes, word = _modes(b, signature, args, 5), _words(context, b, signature, args, 6, offset)
        code = (above.smax(0) << mantissa) + _round_shift(significand, shift, negative, modes, word)
        store_codes(code.umin(max_code) | ((u >> 31) << (bits - 1)), at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def encode_fixed16(typingctx, u, offset, codes, e, p, add, words):
    """Sixteen two's complement integers in units of 2^e (MXINT8)."""
    sig = types.int64(u, offset, codes, e, p, add, words)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, e, p, _, _ = args
        bits, qmin, qmax = (splat32(b, b.extract_value(p, i)) for i in (1, 10, 11))
        u = load(b, at(0, offset), I32)
        _, field, significand, negative = _unpack(u)
        shift = splat32(b, e) + 150 - field
        large = shift.slt(5)  # 2^19 or more
        modes, word = _modes(b, signature, args, 5), _words(context, b, signature, args, 6, offset)
        q = _round_shift(significand, large.where(shift * 0 + 5, shift), negative, modes, word)
        mask = ((bits * 0 + 1) << bits) - 1
        store_codes(_saturated_integer(q, negative, u & 0, qmin, qmax, mask), at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


# Half_even, the default, is what IEEE addition does: x + c has the last bit where c's ulp is the step, one rounding, exactly.


@intrinsic
def encode_mx16_even(typingctx, u, offset, codes, micro, micro_offset, top, bits, flags):
    """encode_mx16 in mode half_even for top >= bits: |x| over a power of two is exact, or too small to matter."""
    sig = types.int64(u, offset, codes, micro, micro_offset, top, bits, flags)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, _, micro_offset, top, bits, flags = args
        u = load(b, at(0, offset), I32)
        magnitude = u & 0x7FFFFFFF
        m = b.sub(bits, ir.Constant(I64, 1))
        inverse = splat32(b, b.shl(b.sub(b.add(m, ir.Constant(I64, 253)), top), ir.Constant(I64, 23)))
        below = magnitude.umax(magnitude.swap_pairs()).ult(splat32(b, b.shl(top, ir.Constant(I64, 23))))
        has_pairs = splat(b, b.trunc(flags, I1))
        lowered = below & has_pairs
        scaled = magnitude.to(F32, "bitcast") * lowered.where(inverse + 0x800000, inverse).to(F32, "bitcast")
        limit = splat32(b, b.add(b.sub(b.shl(ir.Constant(I64, 1), m), ir.Constant(I64, 1)), ir.Constant(I64, FLOAT_MAGIC_BITS)))
        q = (scaled + FLOAT_MAGIC).to(I32, "bitcast").umin(limit)
        sign = (u >> 31) << splat32(b, m)
        shown = q.ugt(splat32(b, b.sub(ir.Constant(I64, FLOAT_MAGIC_BITS), b.and_(flags, ir.Constant(I64, 2)))))
        store_codes(shown.where(q | sign, q), at(2, offset), _width(signature.args[2]))
        with b.if_then(b.trunc(flags, I1)):
            store_even_bytes(lowered.to(I32, "zext"), at(3, micro_offset))
        return ir.Constant(I64, 0)

    return sig, codegen


def _float_even(t, mantissa, emin, ceiling):
    """Magnitude codes of float32 t >= 0 on an ExMy grid, half_even; exponents are cut at `ceiling` (a field) to stay in range."""
    low = (emin + 127) << 23
    exponent = (t.to(I32, "bitcast") & 0x7F800000).umax(low)
    if ceiling is not None:
        exponent = exponent.umin(ceiling << 23)
    unit = exponent + ((23 - mantissa) << 23)
    kept = (t + unit.to(F32, "bitcast")).to(I32, "bitcast") - unit
    return kept + ((exponent - low) >> (23 - mantissa))


@intrinsic
def encode_float16_even(typingctx, u, offset, codes, p):
    """encode_float16 over 1 in mode half_even, for elements whose largest exponent leaves room: emax + 24 - M <= 126."""
    sig = types.int64(u, offset, codes, p)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, p = args
        bits, mantissa, emin, max_code, overflow, _, nan = (splat32(b, b.extract_value(p, i)) for i in range(1, 8))
        u = load(b, at(0, offset), I32)
        magnitude = u & 0x7FFFFFFF
        ceiling = (max_code >> mantissa) + emin + 127  # the field one above that of the largest element
        code = _float_even(magnitude.to(F32, "bitcast"), mantissa, emin, ceiling)
        code = code.ugt(max_code).where(overflow, code)
        code = magnitude.ugt(0x7F800000).where(nan, code)
        store_codes(code | ((u >> 31) << (bits - 1)), at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def encode_saturating16_even(typingctx, u, offset, codes, e, p):
    """encode_saturating16 in mode half_even, for e in -127..126 and |x| / 2^e below 2^100."""
    sig = types.int64(u, offset, codes, e, p)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, e, p = args
        bits, mantissa, emin, max_code = (splat32(b, b.extract_value(p, i)) for i in range(1, 5))
        u = load(b, at(0, offset), I32)
        inverse = splat32(b, b.shl(b.sub(ir.Constant(I64, 127), e), ir.Constant(I64, 23))).to(F32, "bitcast")
        code = _float_even((u & 0x7FFFFFFF).to(F32, "bitcast") * inverse, mantissa, emin, None)
        store_codes(code.umin(max_code) | ((u >> 31) << (bits - 1)), at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def encode_fixed16_even(typingctx, u, offset, codes, e, p):
    """encode_fixed16 in mode half_even, for e in -127..126."""
    sig = types.int64(u, offset, codes, e, p)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, e, p = args
        bits, qmin, qmax = (splat32(b, b.extract_value(p, i)) for i in (1, 10, 11))
        u = load(b, at(0, offset), I32)
        inverse = splat32(b, b.shl(b.sub(ir.Constant(I64, 127), e), ir.Constant(I64, 23))).to(F32, "bitcast")
        t = ((u & 0x7FFFFFFF).to(F32, "bitcast") * inverse).fmin(65536.0)
        q = (t + FLOAT_MAGIC).to(I32, "bitcast") - FLOAT_MAGIC_BITS
        mask = ((bits * 0 + 1) << bits) - 1
        store_codes(_saturated_integer(q, u.slt(0), u & 0, qmin, qmax, mask), at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def encode_thresholds16(typingctx, u, offset, codes, limits, row):
    """Sixteen E2M1 codes: the magnitude code is the number of limits[row, 0:7] (float32 patterns) below the magnitude."""
    sig = types.int64(u, offset, codes, limits, row)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, _, row = args
        u = load(b, at(0, offset), I32)
        magnitude = u & 0x7FFFFFFF
        first = b.mul(row, ir.Constant(I64, 8))
        code = (u >> 31) << 3
        for i in range(7):
            limit = splat(b, b.load(at(3, b.add(first, ir.Constant(I64, i)))))
            code = code + magnitude.ugt(limit).to(I32, "zext")
        store_codes(code, at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


def _magnitude64(u, inverse, limit):
    """|x| * inverse in float64, at most limit: within 2^-52 of the quotient, relative."""
    magnitude = (u & 0x7FFFFFFF).to(F32, "bitcast").to(F64, "fpext")
    return (magnitude * inverse).fmin(limit)


@intrinsic
def encode_integer16(typingctx, u, offset, codes, inverse, zero, p, add, words):
    """Sixteen integers over a step of 28 bits or fewer (rules S4, S5, S6); inverse = 1 / step in float64.

    |x| / step is held with 32 fraction bits: a quotient that is no multiple of 2^-8 / step's last bit lies further than 2^-32
    from every tie, integer or eighth-bit threshold, so that rounding to 2^-32 moves none across; a tiny one keeps a sticky bit.
    """
    sig = types.int64(u, offset, codes, inverse, zero, p, add, words)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, inverse, zero, p, _, _ = args
        bits, qmin, qmax = (splat32(b, b.extract_value(p, i)) for i in (1, 10, 11))
        u = load(b, at(0, offset), I32)
        negative = u.slt(0)
        snapped = _magnitude64(u, splat(b, inverse), FIXED_LIMIT) + FIXED_MAGIC
        modes, word = _modes(b, signature, args, 6), _words(context, b, signature, args, 7, offset)
        if modes is None and word is None:
            q = (snapped - FIXED_MAGIC + INTEGER_MAGIC).to(I64, "bitcast").to(I32, "trunc")
        else:
            fixed = snapped.to(I64, "bitcast")
            fraction = fixed.to(I32, "trunc")
            kept = (fixed >> 32).to(I32, "trunc") & 0x7FFFF
            tiny = (kept | fraction).eq(0)
            fraction = fraction | tiny.where((u & 0x7FFFFFFF).umin(1), 0)
            q = _carry(kept, fraction, negative, modes, word)
        mask = ((bits * 0 + 1) << bits) - 1
        store_codes(_saturated_integer(q, negative, splat32(b, zero), qmin, qmax, mask), at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def encode_e2m1_16(typingctx, u, offset, codes, inverse, add, words):
    """Sixteen E2M1 elements over a step of 28 bits or fewer (rule S8); inverse = 1 / step in float64; saturating, -0 kept.

    |x| / step is held with 45 fraction bits, then with 24 and a sticky bit: units of 2^-24, thresholds are multiples of 2^-10.
    """
    sig = types.int64(u, offset, codes, inverse, add, words)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, inverse, _, _ = args
        u = load(b, at(0, offset), I32)
        negative = u.slt(0)
        fixed = (_magnitude64(u, splat(b, inverse), FINE_LIMIT) + FINE_MAGIC).to(I64, "bitcast") & ((1 << 51) - 1)
        low = (fixed & ((1 << 21) - 1)).eq(0)
        w = (fixed >> 21).to(I32, "trunc")
        w = w | low.where(w & 0, 1)
        w = w | w.eq(0).where((u & 0x7FFFFFFF).umin(1), 0)
        binade = w.ugt((2 << 24) - 1).to(I32, "zext") + w.ugt((4 << 24) - 1).to(I32, "zext")
        shift = binade + 23
        kept = w >> shift
        q = _carry(
            kept, w << (32 - shift), negative, _modes(b, signature, args, 4), _words(context, b, signature, args, 5, offset)
        )
        code = ((binade << 1) + q).umin(7)
        store_codes(code | ((u >> 31) << 3), at(2, offset), _width(signature.args[2]))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def decode_integer16(typingctx, codes, offset, out, bits, style, zero, inner, outer, micro, micro_offset):
    """Sixteen integers as float32: ((q - zero) * inner) * outer, the last product the only rounding.

    style: 0 sign-magnitude, 1 two's complement, 2 unsigned, 3 sign-magnitude with microexponents.
    """
    sig = types.int64(codes, offset, out, bits, style, zero, inner, outer, micro, micro_offset)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, bits, style, zero, inner, outer, _, micro_offset = args
        c = load_codes(b, at(0, offset), _width(signature.args[0]))
        width = splat32(b, bits)
        style_lanes = splat32(b, style)
        sign = c >> (width - 1)
        magnitude = c & (((c * 0 + 1) << (width - 1)) - 1)
        sign_bit = style_lanes.eq(0).where(sign << 31, 0) | style_lanes.eq(3).where(sign << 31, 0)
        twos = c - style_lanes.eq(1).where(sign << width, 0)
        signed = style_lanes.eq(0).to(I32, "zext") | style_lanes.eq(3).to(I32, "zext")
        q = signed.eq(1).where(magnitude, twos) - splat32(b, zero)
        value = (q.to(F32, "sitofp").to(I32, "bitcast") | sign_bit).to(F32, "bitcast") * splat(b, inner)
        plain = cgutils.alloca_once_value(b, value.v)
        with b.if_then(b.icmp_signed("==", style, ir.Constant(style.type, 3))):
            tau = load_pair_bytes(b, at(8, micro_offset))
            half = Lanes(b, ir.Constant(vec(F32), [0.5] * 16))
            b.store((value * tau.eq(0).where(half * 0.0 + 1.0, half)).v, plain)
        store(Lanes(b, b.load(plain)) * splat(b, outer), at(2, offset))
        return ir.Constant(I64, 0)

    return sig, codegen


@intrinsic
def decode_float16(typingctx, codes, offset, out, p, inner, outer):
    """Sixteen ExMy elements as float32: (value * inner) * outer. p: ElementParams."""
    sig = types.int64(codes, offset, out, p, inner, outer)

    def codegen(context, b, signature, args):
        at = lambda i, o: address(context, b, signature.args[i], args[i], o)  # noqa: E731
        _, offset, _, p, inner, outer = args
        bits, mantissa, emin, max_code, _, inf = (splat32(b, b.extract_value(p, i)) for i in range(1, 7))
        c = load_codes(b, at(0, offset), _width(signature.args[0]))
        magnitude = c & (((c * 0 + 1) << (bits - 1)) - 1)
        normal = (magnitude << (23 - mantissa)) + ((emin + 126) << 23)
        unit = (emin - mantissa + 127) << 23
        tiny_unit = (c * 0 + 1) << (emin - mantissa + 149).smax(0).umin(31)
        unit = (emin - mantissa + 126).slt(0).where(tiny_unit, unit)
        subnormal = (magnitude.to(F32, "uitofp") * unit.to(F32, "bitcast")).to(I32, "bitcast")
        value = magnitude.ult((c * 0 + 1) << mantissa).where(subnormal, normal)
        special = magnitude.eq(inf).where(c * 0 + 0x7F800000, 0x7FC00000)
        value = magnitude.ugt(max_code).where(special, value) | ((c >> (bits - 1)) << 31)
        store(value.to(F32, "bitcast") * splat(b, inner) * splat(b, outer), at(2, offset))
        return ir.Constant(I64, 0)

    return sig, codegen
