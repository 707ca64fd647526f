"""float32 bits -> codes, scales and zero points, one element at a time, from the rules of DESIGN section 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod

from qsim.reference.groups import members, scale_indices
from qsim.reference.numbers import Real, divide, fl32, multiply, power, round_to_float, round_to_integer
from qsim.reference.scaling import (
    FLOAT32_ABS,
    absmax_scale,
    affine_scale,
    affine_zero_point,
    binary_scale,
    block_exponent,
    exponent_field,
    microexponent,
    nvfp4_block_scale,
    nvfp4_tensor_scale,
    ocp_scale,
    ternary_kept,
    ternary_scale,
    vsq_channel_scale,
    vsq_vector_scale,
)
from qsim.spec.format import Format
from qsim.spec.geometry import Geometry
from qsim.spec.number import E8M0_NAN, FLOAT32
from qsim.spec.options import Options

FLOAT32_INF = 0x7F800000
FLOAT32_MAX = 0x7F7FFFFF
SIGN = 0x80000000
E8M0_FAMILIES = ("microexponent", "ocp")


@dataclass(frozen=True)
class Encoded:
    """Codes in C order of the shape; each scale level's codes in C order of its shape, finest first; zero points or None."""

    codes: list[int]
    scales: tuple[list[int], ...] = ()
    zero_point: list[int] | None = None


@dataclass(frozen=True)
class Tensor:
    """What the rules look at: finite float32 bits (a plain float's may be anything) and who shares which scale."""

    geometry: Geometry
    options: Options
    bits: list[int]

    @property
    def fmt(self) -> Format:
        """The format, its granularity resolved."""
        return self.geometry.fmt

    @cached_property
    def values(self) -> list[Real]:
        """Exact values of the bits."""
        return [FLOAT32.value(b) for b in self.bits]

    @cached_property
    def indices(self) -> list[list[int]]:
        """For each level, the scale index of each element."""
        return [scale_indices(self.geometry, level) for level in range(len(self.fmt.scales))]

    @cached_property
    def groups(self) -> list[list[list[int]]]:
        """For each level, the elements of each scale."""
        return [members(i, prod(s)) for i, s in zip(self.indices, self.geometry.scale_shapes, strict=True)]

    def where(self, level: int, group: int) -> str:
        """Name of a group, for an error."""
        return f"{self.fmt.name}: scale level {level}, group {group} of shape {self.geometry.scale_shapes[level]}"

    def bits_of(self, level: int, group: int) -> list[int]:
        """The bits of a group."""
        return [self.bits[i] for i in self.groups[level][group]]

    def values_of(self, level: int, group: int) -> list[Fraction]:
        """The values of a group, which are finite in a format with scales."""
        return [finite(self.values[i]) for i in self.groups[level][group]]

    def amax(self, level: int, group: int) -> Fraction:
        """The largest magnitude of a group; 0 for an empty one."""
        return max(map(abs, self.values_of(level, group)), default=Fraction(0))

    def outer(self, group: int) -> int:
        """Index of the level 1 scale over a group of level 0."""
        elements = self.groups[0][group]
        return self.indices[1][elements[0]] if elements else 0  # only channels of an empty tensor are empty


def finite(value: Real) -> Fraction:
    """The value, which is known to be a Fraction."""
    assert isinstance(value, Fraction), value
    return value


def encode(
    bits: Sequence[int],
    shape: Sequence[int],
    fmt: Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
    options: Options = Options(),  # noqa: B008 (frozen)
    words: Sequence[int] | None = None,
    scales: Sequence[Sequence[int]] | None = None,
    zero_point: Sequence[int] | None = None,
) -> Encoded:
    """Encode float32 bit patterns, in C order of `shape`.

    words: random words of options.random_bits bits, one an element, for `stochastic`.
    scales, zero_point: held fixed instead of chosen.
    """
    geometry = Geometry.of(fmt, tuple(shape), axis=axis, granularity=granularity, channel_axis=channel_axis)
    if len(bits) != geometry.size:
        raise ValueError(f"{len(bits)} values for shape {geometry.shape}; allowed: {geometry.size}")
    words = _checked_words(words, geometry, options)
    tensor, nan_blocks = _cleaned(list(map(int, bits)), geometry, options)
    chosen = choose_scales(tensor) if scales is None else _held_scales(scales, geometry)
    for block in nan_blocks:
        chosen[-1][block] = E8M0_NAN
    zeros = _zero_points(tensor, chosen, zero_point)
    return Encoded(element_codes(tensor, chosen, zeros, words), tuple(chosen), zeros)


# --- input ---


def _checked_words(words: Sequence[int] | None, geometry: Geometry, options: Options) -> list[int]:
    if options.rounding != "stochastic":
        return [0] * geometry.size
    if words is None or len(words) != geometry.size:
        given = "none" if words is None else len(words)
        raise ValueError(f"rounding='stochastic' needs {geometry.size} random words, given: {given} (rule R2)")
    for i, w in enumerate(words):
        if not 0 <= w < 1 << options.random_bits:
            raise ValueError(f"random word {w} at index {i}; allowed: 0 to {(1 << options.random_bits) - 1} (rule R2)")
    return list(map(int, words))


def _held_scales(scales: Sequence[Sequence[int]], geometry: Geometry) -> list[list[int]]:
    if len(scales) != len(geometry.fmt.scales):
        raise ValueError(f"{len(scales)} scale levels given; {geometry.fmt.name} has {len(geometry.fmt.scales)}")
    held = [list(map(int, codes)) for codes in scales]
    for level, (scale, codes, shape) in enumerate(zip(geometry.fmt.scales, held, geometry.scale_shapes, strict=True)):
        if len(codes) != prod(shape):
            raise ValueError(f"scale level {level} has {len(codes)} codes; allowed: {prod(shape)}, of shape {shape}")
        for i, code in enumerate(codes):
            if scale.value(code) in ("nan", "inf", "-inf") and scale.kind == "float":
                raise ValueError(f"scale level {level}, group {i}: code {code:#x} is {scale.value(code)}; allowed: finite scales")
    return held


def _cleaned(bits: list[int], geometry: Geometry, options: Options) -> tuple[Tensor, list[int]]:
    """Rule S7 and the option `subnormals`: the bits to encode, NaN blocks emptied, and the indices of those blocks."""
    family = geometry.fmt.family
    if family == "float":
        if geometry.fmt.element.nan_code is None:
            _refuse(bits, geometry.fmt, lambda b: b & FLOAT32_ABS > FLOAT32_INF, "NaN", "R3")
        return Tensor(geometry, options, bits), []
    if family not in E8M0_FAMILIES or options.nonfinite == "error":
        _refuse(bits, geometry.fmt, is_special, "NaN or infinite", "S7")
    if options.nonfinite == "saturate":
        bits = [b - 1 if b & FLOAT32_ABS == FLOAT32_INF else b for b in bits]  # one below Inf stands the largest finite
    if options.subnormals == "flush":
        bits = [b & SIGN if exponent_field(b) == 0 else b for b in bits]
    nan_blocks = []
    for block, elements in enumerate(Tensor(geometry, options, bits).groups[-1] if family in E8M0_FAMILIES else []):
        if any(is_special(bits[i]) for i in elements):
            nan_blocks.append(block)
            for i in elements:
                bits[i] = 0
    return Tensor(geometry, options, bits), nan_blocks


def is_special(bits: int) -> bool:
    """NaN or Inf."""
    return exponent_field(bits) == 255


def _refuse(bits: list[int], fmt: Format, refused: Callable[[int], bool], what: str, rule: str) -> None:
    found = [i for i, b in enumerate(bits) if refused(b)]
    if found:
        raise ValueError(
            f"{len(found)} {what} value(s), first at flat index {found[0]}; {fmt.name} has no code for it (rule {rule})"
        )


# --- scales ---


def choose_scales(t: Tensor) -> list[list[int]]:
    """The scale codes of every level, finest first."""
    return SCALE_RULES[t.fmt.family](t) if t.fmt.scales else []


def _microexponent(t: Tensor) -> list[list[int]]:
    blocks = [block_exponent(t.bits_of(-1, b)) for b in range(len(t.groups[-1]))]
    if len(t.groups) == 1:
        return [blocks]
    return [[microexponent(blocks[t.outer(g)], t.bits_of(0, g)) for g in range(len(t.groups[0]))], blocks]


def _ocp(t: Tensor) -> list[list[int]]:
    rule, element = t.options.scale_rule, t.fmt.element
    blocks = range(len(t.groups[0]))
    return [[ocp_scale(max(b & FLOAT32_ABS for b in t.bits_of(0, block)), element, rule) for block in blocks]]


def _absmax(t: Tensor) -> list[list[int]]:
    scale, overflow = t.fmt.scales[0], t.options.scale_overflow
    groups = range(len(t.groups[0]))
    return [[absmax_scale(t.amax(0, g), t.fmt.element, scale, overflow, t.where(0, g)) for g in groups]]


def _vsq(t: Tensor) -> list[list[int]]:
    (vector, channel), element, overflow = t.fmt.scales, t.fmt.element, t.options.scale_overflow
    channels = range(len(t.groups[1]))
    outer = [vsq_channel_scale(t.amax(1, c), element, vector, channel, overflow, t.where(1, c)) for c in channels]
    gamma = [finite(channel.value(code)) for code in outer]
    inner = [vsq_vector_scale(t.amax(0, g), gamma[t.outer(g)], element, vector) for g in range(len(t.groups[0]))]
    return [inner, outer]


def affine_range(t: Tensor, group: int) -> tuple[Fraction, Fraction]:
    """S6: the range of a group, widened to contain 0."""
    values = [Fraction(0), *t.values_of(0, group)]
    return min(values), max(values)


def _affine(t: Tensor) -> list[list[int]]:
    groups = range(len(t.groups[0]))
    return [[affine_scale(*affine_range(t, g), t.fmt.element, t.fmt.scales[0], t.options, t.where(0, g)) for g in groups]]


def _nvfp4(t: Tensor) -> list[list[int]]:
    (block, tensor), element, overflow = t.fmt.scales, t.fmt.element, t.options.scale_overflow
    tensors = range(len(t.groups[1]))
    outer = [nvfp4_tensor_scale(t.amax(1, i), element, block, tensor, overflow, t.where(1, i)) for i in tensors]
    g = [finite(tensor.value(code)) for code in outer]
    inner = [nvfp4_block_scale(t.amax(0, b), g[t.outer(b)], element, block, t.options) for b in range(len(t.groups[0]))]
    return [inner, outer]


def _binary(t: Tensor) -> list[list[int]]:
    groups = range(len(t.groups[0]))
    return [[binary_scale(t.values_of(0, g), t.fmt.scales[0], t.options.scale_overflow, t.where(0, g)) for g in groups]]


def _ternary(t: Tensor) -> list[list[int]]:
    groups = range(len(t.groups[0]))
    return [[ternary_scale(t.values_of(0, g), t.fmt.scales[0], t.options.scale_overflow, t.where(0, g)) for g in groups]]


SCALE_RULES: dict[str, Callable[[Tensor], list[list[int]]]] = {
    "microexponent": _microexponent,
    "ocp": _ocp,
    "absmax": _absmax,
    "vsq": _vsq,
    "affine": _affine,
    "nvfp4": _nvfp4,
    "binary": _binary,
    "ternary": _ternary,
}


def _zero_points(t: Tensor, scales: list[list[int]], held: Sequence[int] | None) -> list[int] | None:
    """S6: Z of each group, chosen or held."""
    if not t.fmt.zero_point:
        if held is not None:
            raise ValueError(f"zero_point does not apply to {t.fmt.name} (family {t.fmt.family}; rule S6)")
        return None
    element, count = t.fmt.element, len(t.groups[0])
    if held is not None:
        if len(held) != count or not all(element.qmin <= z <= element.qmax for z in held):
            raise ValueError(
                f"zero_point={list(held)}; allowed: {count} integers from {element.qmin} to {element.qmax} (rule S6)"
            )
        return list(map(int, held))
    steps = [finite(t.fmt.scales[0].value(code)) * power(element.lsb_exponent) for code in scales[0]]
    low = [affine_range(t, g)[0] for g in range(count)]
    return [affine_zero_point(a, step, element, t.options.arithmetic) for a, step in zip(low, steps, strict=True)]


# --- elements ---


def element_codes(t: Tensor, scales: list[list[int]], zeros: list[int] | None, words: list[int]) -> list[int]:
    """The code of every element against chosen scales."""
    if t.fmt.family == "binary":
        return _binary_codes(t, words)
    if t.fmt.family == "ternary":
        return _ternary_codes(t)
    decoded = [[s.value(code) for code in codes] for s, codes in zip(t.fmt.scales, scales, strict=True)]
    vector_amax = [t.amax(0, g) for g in range(len(t.groups[0]))] if t.options.order == "float_first" else []
    codes = []
    for i, value in enumerate(t.values):
        parts = [level[indices[i]] for level, indices in zip(decoded, t.indices, strict=True)]
        if "nan" in parts:
            codes.append(0)
            continue
        ratio = quotient(value, parts, t)
        if t.options.order == "float_first" and ratio != 0:
            ratio = finite(value) / vector_amax[t.indices[0][i]] * t.fmt.element.largest
        zero = zeros[t.indices[0][i]] if zeros is not None else 0
        codes.append(element_code(ratio, t, t.bits[i] >> 31, words[i], zero))
    return codes


def quotient(value: Real, parts: Sequence[Real], t: Tensor) -> Real:
    """The value over s_L0 * s_L1 * ..., exact or through the float32 operations that an option names. Over a zero scale: 0."""
    exact: Real = Fraction(1)
    for part in parts:
        exact = multiply(exact, part)
    if value == 0 or exact == 0:
        return Fraction(0)
    one = Fraction(1)
    if t.options.arithmetic == "torchao":
        s, g = parts
        return fl32(multiply(value, fl32(divide(fl32(divide(one, g)), s))))
    if t.options.arithmetic == "modelopt":
        return fl32(divide(value, fl32(exact)))
    if t.options.division == "reciprocal":
        return fl32(multiply(value, fl32(divide(one, exact))))
    if t.options.arithmetic == "onnxruntime":
        return fl32(divide(value, exact))
    return divide(value, exact)


def element_code(ratio: Real, t: Tensor, sign: int, word: int, zero: int) -> int:
    """One rounding of a ratio into the element; all but plain floats saturate. `sign` is the input's sign bit."""
    element, mode, r = t.fmt.element, t.options.rounding, t.options.random_bits
    if element.is_float:
        saturate = t.fmt.family != "float" or t.options.overflow == "saturate"
        return round_to_float(ratio, element, mode, word, r, sign=sign, saturate=saturate)
    low = element.qmin if t.fmt.family == "affine" or not t.options.narrow_range else -element.qmax
    if isinstance(ratio, str):
        q = element.qmax if ratio == "inf" else low
    else:
        q = round_to_integer(ratio / power(element.lsb_exponent), mode, word, r) + zero
    q = min(max(q, low), element.qmax)
    if element.kind != "sign_magnitude":
        return q % (1 << element.bits)
    sign = int(q < 0) if q or t.options.signed_zero == "positive" else sign
    return abs(q) | sign << element.magnitude_bits


def _binary_codes(t: Tensor, words: list[int]) -> list[int]:
    """B: +1 where x >= 0, or with probability clip((x + 1) / 2, 0, 1); an all-zero group is all +1 (S9)."""
    codes = [int(finite(v) >= 0) for v in t.values]
    if t.options.rounding == "stochastic":
        for g, group in enumerate(t.groups[0]):
            for i in group if t.amax(0, g) else []:
                p = min(max((finite(t.values[i]) + 1) / 2, Fraction(0)), Fraction(1))
                codes[i] = int(words[i] < p * (1 << t.options.random_bits))
    return codes


def _ternary_codes(t: Tensor) -> list[int]:
    """B: the sign of the kept weights, 0 elsewhere."""
    codes = [0] * len(t.values)
    for g, group in enumerate(t.groups[0]):
        for i, keep in zip(group, ternary_kept(t.values_of(0, g)), strict=True):
            codes[i] = (3 if t.bits[i] >> 31 else 1) if keep else 0
    return codes
