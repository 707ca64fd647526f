"""A whole network in integers, as TFLite computes it: int8 codes from layer to layer, N x H x W x C (rule N1).

Every tensor has one scale (float32) and one zero point. Products are summed and requantized by the layer's datapath; its
multiplier is prepared from the scales of input, weight and output (rule Q4). Pools and reshapes keep their input's
quantization. The float networks of `network.py` are N x C x H x W: a convolution's weight O x I x kh x kw stands here as
O x kh x kw x I, and a matrix after a convolution has its columns in the order H, W, C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.datapath.activation_range import activation_range
from qsim.datapath.conv import conv2d, depthwise_weight
from qsim.datapath.elementwise import add, mul
from qsim.datapath.matmul import linear
from qsim.datapath.multiplier import effective_scale
from qsim.datapath.pool import average_pool2d, max_pool2d
from qsim.datapath.windows import Padding
from qsim.spec.datapath import Datapath

Codes = NDArray[np.int8]
Counts = dict[str, int]
Events = dict[str, Counts]
#: Values of the largest tensor that are computed at once.
PIECE = 1 << 22


@dataclass(frozen=True)
class Quantization:
    """A tensor's value is scale * (code - zero_point)."""

    scale: np.float32
    zero_point: int

    def codes(self, values: NDArray[Any]) -> Codes:
        """Codes of real values as TFLite's QUANTIZE makes them: value / scale in float32, rounded half_away, saturated."""
        with np.errstate(over="ignore"):
            quotient = (values.astype(np.float32) / self.scale).astype(np.float64)
        magnitude = np.minimum(np.abs(quotient), 512)  # a float32: adding 0.5 in float64 is exact
        away = np.copysign(np.floor(magnitude + 0.5), quotient)
        codes: Codes = np.clip(away + self.zero_point, -128, 127).astype(np.int8)
        return codes


@dataclass(frozen=True)
class Weight:
    """int8 codes (O x kh x kw x I, depthwise 1 x kh x kw x O, O x K), scales (O,) or (1,), int32 bias (O,), what sums them."""

    codes: Codes
    scale: NDArray[np.float32]
    bias: NDArray[np.int32] | None
    datapath: Datapath


@dataclass(frozen=True)
class Window:
    """What a convolution or a pool sees, rows first; padding as in `conv2d`."""

    taps: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding


@dataclass(frozen=True)
class IntegerLayer:
    """One layer; shape and quantization are those of its output, the batch left out."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    quantization: Quantization
    activation: str = "none"
    weight: Weight | None = None
    window: Window | None = None

    @property
    def clamp(self) -> tuple[int, int] | None:
        """The codes that the activation leaves; None without an activation."""
        if self.activation == "none":
            return None
        return activation_range(self.activation, "int8", float(self.quantization.scale), self.quantization.zero_point)


@dataclass(frozen=True)
class IntegerNetwork:
    """Layers in the order in which they run; the last one's output is the network's. files: what it was read from."""

    name: str
    title: str
    shape: tuple[int, ...]
    quantization: Quantization
    layers: tuple[IntegerLayer, ...]
    files: tuple[Path, ...] = ()

    def input_codes(self, images: NDArray[Any]) -> Codes:
        """Images N x shape as codes: int8 as they are, floats quantized. ValueError for any other array."""
        if images.shape[1:] != self.shape or not len(images):
            raise ValueError(
                f"shape {images.shape}; allowed for {self.name}: (N, {', '.join(map(str, self.shape))}), N at least 1"
            )
        if images.dtype == np.int8:
            return images
        if images.dtype.kind != "f":
            raise ValueError(f"{images.dtype}; allowed for {self.name}: int8 codes, or floats, which are quantized")
        bad = np.argwhere(~np.isfinite(images))
        if len(bad):
            raise ValueError(f"{len(bad)} values are NaN or Inf, the first at index {tuple(map(int, bad[0]))}; allowed: finite")
        return self.quantization.codes(images)

    def pieces(self, images: int) -> Iterator[slice]:
        """Images that run together; the result does not depend on it."""
        largest = max(prod(shape) for shape in (self.shape, *(layer.shape for layer in self.layers)))
        step = max(PIECE // largest, 1)
        return (slice(start, min(start + step, images)) for start in range(0, images, step))

    def run(self, codes: Codes, events: Events | None = None) -> Iterator[tuple[str, Codes]]:
        """(name, output) of every layer; events: layer -> register -> how often it changed a value, added up over calls."""
        tensors, quantization = {"input": codes}, {"input": self.quantization}
        for layer in self.layers:
            counts: Counts = {}
            try:
                tensors[layer.name] = RUN[layer.kind](
                    layer, [tensors[name] for name in layer.inputs], [quantization[name] for name in layer.inputs], counts
                )
            except ValueError as error:
                raise ValueError(f"{self.name}: layer {layer.name!r}: {error}") from None
            quantization[layer.name] = layer.quantization
            if events is not None:
                total = events.setdefault(layer.name, {})
                for register, count in counts.items():
                    total[register] = total.get(register, 0) + count
            yield layer.name, tensors[layer.name]


def _requantized(layer: IntegerLayer, weight: Weight, given: Quantization) -> dict[str, Any]:
    """What convolution and fully connected layer share: zero points, the multiplier of every output channel, the clamp."""
    assert weight.datapath.requantizer is not None
    ratio = weight.datapath.requantizer.prep.ratio
    return {
        "bias": weight.bias,
        "a_zero_point": given.zero_point,
        "scale": effective_scale(given.scale, weight.scale, layer.quantization.scale, ratio),
        "out_zero_point": layer.quantization.zero_point,
        "clamp": layer.clamp,
    }


def _convolution(layer: IntegerLayer, x: list[Codes], given: list[Quantization], counts: Counts) -> Codes:
    weight, window = layer.weight, layer.window
    assert weight is not None
    assert window is not None
    codes, channels = weight.codes, x[0].shape[3]
    depthwise = layer.kind == "depthwise_conv2d"
    return conv2d(
        x[0],
        depthwise_weight(codes) if depthwise else codes,
        weight.datapath,
        groups=channels if depthwise else channels // codes.shape[3],
        stride=window.stride,
        dilation=window.dilation,
        padding=window.padding,
        events=counts,
        **_requantized(layer, weight, given[0]),
    )


def _fully_connected(layer: IntegerLayer, x: list[Codes], given: list[Quantization], counts: Counts) -> Codes:
    assert layer.weight is not None
    return linear(x[0], layer.weight.codes, layer.weight.datapath, events=counts, **_requantized(layer, layer.weight, given[0]))


def _pool(layer: IntegerLayer, x: list[Codes], given: list[Quantization], counts: Counts) -> Codes:
    assert layer.window is not None
    pool = max_pool2d if layer.kind == "max_pool2d" else average_pool2d
    return pool(x[0], layer.window.taps, stride=layer.window.stride, padding=layer.window.padding, clamp=layer.clamp)


def _elementwise(layer: IntegerLayer, x: list[Codes], given: list[Quantization], counts: Counts) -> Codes:
    a, b, out = (*given, layer.quantization)
    return (add if layer.kind == "add" else mul)(
        *x,
        a_scale=float(a.scale),
        b_scale=float(b.scale),
        out_scale=float(out.scale),
        a_zero_point=a.zero_point,
        b_zero_point=b.zero_point,
        out_zero_point=out.zero_point,
        clamp=layer.clamp,
    )


def _reshape(layer: IntegerLayer, x: list[Codes], given: list[Quantization], counts: Counts) -> Codes:
    return x[0].reshape(len(x[0]), *layer.shape)


#: kind -> its arithmetic: (layer, inputs, their quantization, event counts to fill) -> output codes.
RUN: dict[str, Callable[[IntegerLayer, list[Codes], list[Quantization], Counts], Codes]] = {
    "conv2d": _convolution,
    "depthwise_conv2d": _convolution,
    "fully_connected": _fully_connected,
    "max_pool2d": _pool,
    "average_pool2d": _pool,
    "add": _elementwise,
    "mul": _elementwise,
    "reshape": _reshape,
}
