"""The scale codes and zero points of a whole tensor, family by family, from the rules in scaling.py."""

from __future__ import annotations

from collections.abc import Callable

from qsim.reference.numbers import power
from qsim.reference.scaling import (
    absmax_scale,
    affine_scale,
    affine_zero_point,
    binary_scale,
    block_exponent,
    microexponent,
    nvfp4_block_scale,
    nvfp4_tensor_scale,
    ocp_scale,
    ternary_scale,
    vsq_channel_scale,
    vsq_vector_scale,
)
from qsim.reference.tensor import FLOAT32_ABS, Tensor, finite


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
    return [[absmax_scale(t.reach_magnitude(g), t.fmt.element, scale, overflow, t.where(0, g)) for g in groups]]


def _vsq(t: Tensor) -> list[list[int]]:
    (vector, channel), element, overflow = t.fmt.scales, t.fmt.element, t.options.scale_overflow
    channels = range(len(t.groups[1]))
    outer = [vsq_channel_scale(t.reach_magnitude(c), element, vector, channel, overflow, t.where(1, c)) for c in channels]
    gamma = [finite(channel.value(code)) for code in outer]
    inner = [vsq_vector_scale(t.amax(0, g), gamma[t.outer(g)], element, vector) for g in range(len(t.groups[0]))]
    return [inner, outer]


def _affine(t: Tensor) -> list[list[int]]:
    groups = range(len(t.groups[0]))
    return [[affine_scale(*t.reach(g), t.fmt.element, t.fmt.scales[0], t.options, t.where(0, g)) for g in groups]]


def _nvfp4(t: Tensor) -> list[list[int]]:
    (block, tensor), element, overflow = t.fmt.scales, t.fmt.element, t.options.scale_overflow
    tensors = range(len(t.groups[1]))
    outer = [nvfp4_tensor_scale(t.reach_magnitude(i), element, block, tensor, overflow, t.where(1, i)) for i in tensors]
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


def choose_zero_points(t: Tensor, scales: list[list[int]]) -> list[int]:
    """S6: Z of each group, against the decoded scale."""
    element = t.fmt.element
    steps = [finite(t.fmt.scales[0].value(code)) * power(element.lsb_exponent) for code in scales[0]]
    ranges = [t.reach(g) for g in range(len(steps))]
    return [affine_zero_point(low, step, element, t.options.arithmetic) for (low, _), step in zip(ranges, steps, strict=True)]
