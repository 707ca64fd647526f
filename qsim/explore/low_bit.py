"""Binary and ternary layers in an embedded network, before and after their scale, as rows. Nothing is retrained.

XNOR-Net binarizes what a batch normalization has centred, and inputs here are never negative: so each input channel is centred by
its mean on the calibration images, and W times the mean, in float32, is added again. Padding is 0 after centring: sign +1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from qsim import lowbit
from qsim.explore.calibrate import layer_inputs
from qsim.explore.metrics import Sums
from qsim.explore.network import Layer, Network, accuracy, finish_layer, operands, product, top1
from qsim.explore.sweep import Row

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
#: A layer's product, from its input and the input channels' means.
Product = Callable[[Layer, Float32, Float32], Float64]

LOW_BIT_COLUMNS = ("weights", "scale", "inputs", "output_sqnr", "top1", "top1_inner")


def binary_weights(scale: str) -> Product:
    """BWN: sign(W) times nothing, one alpha, or one a channel."""

    def run(layer: Layer, x: Float32, mean: Float32) -> Float64:
        w = layer.matrix
        return _scaled(lowbit.sign(w), scale, lowbit.alpha(w, channel_axis=0 if scale == "channel" else None), operands(layer, x))

    return run


def ternary_weights(method: str, scale: str) -> Product:
    """TWN: the signs above a threshold times nothing, one alpha, or one a channel (then the thresholds are, too)."""

    def run(layer: Layer, x: Float32, mean: Float32) -> Float64:
        w, axis = layer.matrix, 0 if scale == "channel" else None
        threshold = lowbit.ternary_threshold(w, method=method, channel_axis=axis)
        signs = lowbit.ternary_signs(w, threshold, channel_axis=axis)
        return _scaled(signs, scale, lowbit.alpha(w, threshold=threshold, channel_axis=axis), operands(layer, x))

    return run


def xnor(alpha: bool, k: bool) -> Product:
    """XNOR-Net: signs times signs by popcount, with alpha a channel and K a window, or without."""

    def run(layer: Layer, x: Float32, mean: Float32) -> Float64:
        rows = operands(layer, x - mean)
        factors = {"alpha": lowbit.alpha(layer.matrix) if alpha else None, "k": lowbit.activation_scale(rows) if k else None}
        sums = lowbit.xnor_linear(lowbit.sign(rows), lowbit.sign(layer.matrix), **factors).astype(np.float64)
        offset = product(operands(layer, np.broadcast_to(mean, (1, *x.shape[1:])).astype(np.float32)), layer.matrix)
        return sums + np.tile(offset, (len(x), 1))

    return run


def _scaled(signs: NDArray[np.int8], scale: str, alpha: Float32, rows: Float32) -> Float64:
    weight = signs.astype(np.float32)
    return product(rows, weight if scale == "none" else weight * alpha.reshape(-1, 1))


#: (weights, scale, inputs, product)
VARIANTS: tuple[tuple[str, str, str, Product], ...] = (
    *(("binary (BWN)", scale, "float32", binary_weights(scale)) for scale in ("none", "tensor", "channel")),
    *(("ternary (TWN)", scale, "float32", ternary_weights("twn", scale)) for scale in ("none", "tensor", "channel")),
    *(("ternary, optimal", scale, "float32", ternary_weights("optimal", scale)) for scale in ("tensor", "channel")),
    ("binary (XNOR)", "none", "binary", xnor(alpha=False, k=False)),
    ("binary (XNOR)", "channel", "binary", xnor(alpha=True, k=False)),
    ("binary (XNOR)", "channel, K", "binary", xnor(alpha=True, k=True)),
)


def low_bit_rows(network: Network, images: Float32) -> Iterator[Row]:
    """The float32 row, then a row a variant.

    output_sqnr: of all layers' products together, each with its float32 input on the test images. top1: with all layers so;
    top1_inner: with all but the first and the last.
    """
    base = dict.fromkeys(LOW_BIT_COLUMNS)
    right = accuracy(network)
    yield base | {"weights": "float32", "inputs": "float32", "output_sqnr": np.inf, "top1": right, "top1_inner": right}
    means = [_mean(x) for x in layer_inputs(network, images)]
    test = layer_inputs(network, network.images)
    for weights, scale, inputs, variant in VARIANTS:
        sums = Sums()
        for layer, x, mean in zip(network.layers, test, means, strict=True):
            sums.add(product(operands(layer, x), layer.matrix), variant(layer, x, mean))
        yield base | {
            "weights": weights, "scale": scale, "inputs": inputs, "output_sqnr": sums.metrics().sqnr,
            "top1": _top1(network, means, variant, inner=False), "top1_inner": _top1(network, means, variant, inner=True),
        }  # fmt: skip


def _mean(x: Float32) -> Float32:
    """Of each channel of images, of each input of a matrix: float64 sums, once to float32."""
    axes = (0, 2, 3) if x.ndim == 4 else 0
    return np.asarray(np.mean(x, axis=axes, dtype=np.float64, keepdims=True), np.float32)


def _top1(network: Network, means: list[Float32], variant: Product, inner: bool) -> float:
    x, last = network.images, len(network.layers) - 1
    for i, (layer, mean) in enumerate(zip(network.layers, means, strict=True)):
        real = inner and i in (0, last)
        sums = product(operands(layer, x), layer.matrix) if real else variant(layer, x, mean)
        x = finish_layer(layer, x.shape, sums)
    return top1(network, x)
