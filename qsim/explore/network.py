"""The embedded networks, for 8x8 digits: a small convolutional one and a perceptron; their forward pass in any format.

Every layer is one matrix product: rows of input values (a convolution's patches, C*kh*kw values each) times the weight
matrix O x (C*kh*kw). Both operands pass through `fake`, with blocks along the last axis, the reduction axis; biases stay
float32. Scales of activations are chosen from the whole batch (dynamic quantization, no calibration set); a channel is a
row of the matrix: an output channel of the weights, a patch of the activations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Fake = Callable[[Array], Array]

#: Network -> its layers: name, whether a convolution, whether ReLU follows, whether a 2x2 maximum pool follows.
NETWORKS = {
    "digits": (
        ("conv1", True, True, True),
        ("conv2", True, True, True),
        ("fc1", False, True, False),
        ("fc2", False, False, False),
    ),
    "mlp": (
        ("fc1", False, True, False),
        ("fc2", False, False, False),
    ),
}


@dataclass(frozen=True)
class Layer:
    """A convolution (3x3, padding 1, weight O x I x 3 x 3) or a fully connected layer (weight O x I)."""

    name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    convolution: bool
    relu: bool
    pool: bool

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The weight as O x (I*kh*kw)."""
        return self.weight.reshape(len(self.weight), -1)


@dataclass(frozen=True)
class Network:
    """Layers, held-out test images (N x 1 x 8 x 8, 0 to 1) and their labels; provenance says where all of it comes from."""

    layers: tuple[Layer, ...]
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    provenance: str


def load_network(name: str = "digits") -> Network:
    """A network shipped with the package (written by tools/train_digits.py); the images are the same 400 for both."""
    own, digits = shipped_arrays(f"{name}.npz"), shipped_arrays("digits.npz")
    layers = (Layer(layer, own[f"{layer}.weight"], own[f"{layer}.bias"], *flags) for layer, *flags in NETWORKS[name])
    return Network(tuple(layers), pixels(digits["images"]), digits["labels"].astype(np.int64), str(own["provenance"]))


def shipped_arrays(file_name: str) -> dict[str, Array]:
    """The arrays of a .npz file that lies beside this one."""
    with resources.files("qsim.explore").joinpath(file_name).open("rb") as file, np.load(file, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def calibration_images() -> NDArray[np.float32]:
    """512 training images, none of them a test image, as the network's input (written by tools/calibration_digits.py)."""
    return pixels(shipped_arrays("digits_calibration.npz")["images"])


def pixels(images: Array) -> NDArray[np.float32]:
    """Images with values 0 to 16 as the network's input, N x 1 x 8 x 8, 0 to 1; the division is exact."""
    return images.reshape(-1, 1, 8, 8).astype(np.float32) / np.float32(16)


def patches(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 3x3 surroundings of every pixel, zeros outside: N x C x H x W -> (N*H*W) x (C*9), ordered as the weight's columns."""
    n, c, h, w = x.shape
    padded = np.zeros((n, c, h + 2, w + 2), np.float32)
    padded[:, :, 1:-1, 1:-1] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, c * 9)


def fixed_point(x: NDArray[np.float32], bits: int) -> tuple[NDArray[np.float64], float]:
    """Integers of at most 2^bits, as float64, and their step, a power of two; Inf and NaN stay."""
    top = max(float(np.max(x, initial=0.0)), -float(np.min(x, initial=0.0)))
    if not np.isfinite(top):
        top = float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))
    step = float(np.exp2(np.frexp(top)[1] - bits))
    wide = x.astype(np.float64)
    wide *= 1 / step
    return np.rint(wide, out=wide), step


def product(a: NDArray[np.float32], w: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows of a times rows of w (a @ w.T), with sums that do not depend on their order.

    The result has the same bits for any number of BLAS threads and on any machine.
    Both operands are rounded to integers of b bits relative to their largest magnitude, with K * 2^(2b) <= 2^53: every
    product and every partial sum is an integer that float64 holds exactly. With K <= 512, b = 22: finer than float16.
    """
    bits = (53 - (a.shape[1] - 1).bit_length()) // 2
    left, left_step = fixed_point(a, bits)
    right, right_step = fixed_point(w, bits)
    with np.errstate(invalid="ignore", over="ignore"):
        return (left @ right.T) * (left_step * right_step)


def operands(layer: Layer, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The layer's input as rows of reduction values."""
    return patches(x) if layer.convolution else x.reshape(len(x), -1)


def run_layer(layer: Layer, x: NDArray[np.float32], fake: Fake | None = None) -> NDArray[np.float32]:
    """Output of one layer: product, bias, ReLU, pool."""
    rows, weight = operands(layer, x), layer.matrix
    if fake is not None:
        rows, weight = fake(rows), fake(weight)
    return finish_layer(layer, x.shape, product(rows, weight))


def finish_layer(layer: Layer, shape: tuple[int, ...], sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """Bias, ReLU and pool after the product of an input of that shape."""
    with np.errstate(invalid="ignore", over="ignore"):
        y = (sums + layer.bias).astype(np.float32)
        if layer.relu:
            y = np.maximum(y, np.float32(0))
    if not layer.convolution:
        return y
    n, _, h, w = shape
    y = y.reshape(n, h, w, -1)
    if layer.pool:
        y = np.maximum(np.maximum(y[:, ::2, ::2], y[:, 1::2, ::2]), np.maximum(y[:, ::2, 1::2], y[:, 1::2, 1::2]))
    return np.ascontiguousarray(y.transpose(0, 3, 1, 2))


def forward(network: Network, fake: Fake | None = None) -> NDArray[np.float32]:
    """The last layer's outputs for all test images, every layer's weights and inputs passed through `fake`."""
    x = network.images
    for layer in network.layers:
        x = run_layer(layer, x, fake)
    return x


def layer_operands(network: Network, images: int) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(weight matrix, input rows) of every layer of the float32 network for its first images: what a format has to hold."""
    found, x = [], network.images[:images]
    for layer in network.layers:
        found.append((layer.matrix, operands(layer, x)))
        x = run_layer(layer, x)
    return found


def accuracy(network: Network, fake: Fake | None = None) -> float:
    """Share of the test images whose largest output is the label's; an output row with a NaN is wrong."""
    return top1(network, forward(network, fake))


def top1(network: Network, outputs: NDArray[np.float32]) -> float:
    """The same, of outputs for all test images."""
    right = (np.argmax(outputs, axis=1) == network.labels) & ~np.isnan(outputs).any(axis=1)
    return float(np.mean(right))
