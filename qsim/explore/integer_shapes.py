"""Shapes of an integer network's tensors, the batch left out."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from qsim.datapath.windows import windows

if TYPE_CHECKING:
    from qsim.explore.integer_network import Window

Shape = tuple[int, ...]


def output_shape(kind: str, inputs: Sequence[Shape], weight: Shape | None, window: Window | None, wanted: Shape | None) -> Shape:
    """Shape of a layer's output; ValueError where inputs, weight and window do not fit each other.

    wanted: the shape that a reshape asks for; None: flat.
    """
    given = inputs[0]
    if window is not None:
        return _window_shape(kind, given, weight, window)
    if weight is not None:
        if given != weight[1:]:
            raise ValueError(
                f"input of shape {given}, weight {weight}; allowed: (O, {prod(given)}), the input flat (layer reshape)"
            )
        return (weight[0],)
    if kind == "reshape":
        shape = wanted or (prod(given),)
        if prod(shape) != prod(given):
            raise ValueError(f"shape = {list(shape)} of an input of {given}; allowed: sizes whose product is {prod(given)}")
        return shape
    if len(set(inputs)) != 1:
        raise ValueError(f"inputs of shapes {inputs[0]} and {inputs[1]}; allowed: equal shapes")
    return given


def _window_shape(kind: str, given: Shape, weight: Shape | None, window: Window) -> Shape:
    """Of a convolution or a pool."""
    if len(given) != 3:
        raise ValueError(f"input of shape {given}; allowed: (H, W, C)")
    rows, columns = windows((given[0], given[1]), window.taps, window.stride, window.dilation, window.padding)
    channels = given[2]
    if weight is None:
        return rows.out, columns.out, channels
    if kind == "depthwise_conv2d":
        if weight[3] % channels:
            raise ValueError(f"weight {weight} for {channels} channels; allowed: (1, kh, kw, a multiple of {channels})")
        return rows.out, columns.out, weight[3]
    if channels % weight[3] or weight[0] % (channels // weight[3]):
        raise ValueError(f"weight {weight} for {channels} channels; allowed: (O, kh, kw, {channels}), or groups that divide O")
    return rows.out, columns.out, weight[0]
