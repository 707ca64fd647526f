"""Quantize the embedded networks to int8 and write qsim/explore/NAME_int8.toml and NAME_int8.npz.

    python tools/quantize_digits.py

Post-training, without a random number. Calibration: minimum and maximum of every layer's float32 output on all 1397 training
images (none of them is among the 400 test images), widened to contain 0. Activations: asymmetric, a scale a tensor. Weights:
symmetric, a scale an output channel (digits) or a tensor (mlp), as `qsim.encode(w, "int8")` chooses them. Biases: int32 at
input scale * weight scale. The float network is N x C x H x W, the integer one N x H x W x C as in TFLite: convolution weights
O x I x kh x kw become O x kh x kw x I, and the columns of the first matrix after a convolution go from C, H, W to H, W, C.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from train_digits import split

import qsim
from qsim.explore.network import NETWORKS, Layer, load_network, pixels, run_layer

FOLDER = Path(__file__).resolve().parent.parent / "qsim" / "explore"
GRANULARITY = {"digits": "channel", "mlp": "tensor"}
TITLE = {"digits": "The embedded convolutional network, int8", "mlp": "The embedded perceptron, int8"}


def quantization(low: float, high: float) -> tuple[np.float32, int]:
    """Scale, once to float32, and zero point of int8 codes for a range widened to contain 0 (rule S6)."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    return scale, int(np.clip(np.rint(-128 - low / np.float64(scale)), -128, 127))


def weight_codes(matrix: NDArray[np.float32], granularity: str) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes of a matrix, channels along axis 0, and its scales."""
    q = qsim.encode(matrix, "int8", granularity=granularity, channel_axis=0)
    return q.codes.reshape(matrix.shape).view(np.int8), q.scales[0].reshape(-1).view(np.float32)


def channels_last(layer: Layer, image: tuple[int, ...]) -> NDArray[np.float32]:
    """The weight for inputs that stand channels last; `image` is the shape C, H, W that enters the layer."""
    if layer.convolution:
        return np.ascontiguousarray(layer.weight.transpose(0, 2, 3, 1))
    if len(image) == 3:
        return layer.weight.reshape(-1, *image).transpose(0, 2, 3, 1).reshape(len(layer.weight), -1)
    return layer.weight


def table(name: str, kind: str, **keys: Any) -> str:
    """One [[layer]] table of the network's file."""
    lines = [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(["[[layer]]", f'name = "{name}"', f'kind = "{kind}"', *lines]) + "\n"


def number(value: np.float32) -> str:
    """The shortest decimal that float32 reads back."""
    text = str(value)
    assert np.float32(float(text)) == value
    return text


def quantize(name: str) -> None:
    """One network: calibrate, quantize, write."""
    network, digits = load_network(name), load_digits()
    x = pixels(digits.images[split(len(digits.images))[1]])
    convolutional = any(layer.convolution for layer in network.layers)
    scale, zero = quantization(float(x.min()), float(x.max()))
    shape = "[8, 8, 1]" if convolutional else "[64]"
    text = (
        f"# Written by tools/quantize_digits.py from {name}.npz; which calibration, stands there.\n\n"
        f'name = "{name}_int8"\ntitle = "{TITLE[name]}"\n\n'
        f"[input]\nshape = {shape}\nscale = {number(scale)}\nzero_point = {zero}\n\n"
    )
    tables, arrays = [], {}
    for layer in network.layers:
        image = x.shape[1:]
        if convolutional and not layer.convolution and len(image) == 3:
            tables.append(table("flatten", "reshape"))
        weight = channels_last(layer, image)
        codes, weight_scale = weight_codes(weight.reshape(len(weight), -1), GRANULARITY[name])
        bias = np.rint(layer.bias / (np.float64(scale) * weight_scale.astype(np.float64)))
        arrays |= {
            f"{layer.name}.weight": codes.reshape(weight.shape),
            f"{layer.name}.weight_scale": weight_scale,
            f"{layer.name}.bias": bias.astype(np.int32),
        }
        x = run_layer(layer, x)  # the maximum over a pool's output is that over its input, and the minimum of a ReLU is 0
        scale, zero = quantization(float(x.min()), float(x.max()))
        keys: dict[str, Any] = {"activation": '"relu"'} if layer.relu else {}
        keys |= {"padding": '"same"'} if layer.convolution else {}
        kind = "conv2d" if layer.convolution else "fully_connected"
        tables.append(table(layer.name, kind, scale=number(scale), zero_point=zero, **keys))
        if layer.pool:
            tables.append(table(layer.name.replace("conv", "pool"), "max_pool2d", filter="[2, 2]", stride="[2, 2]"))
    (FOLDER / f"{name}_int8.toml").write_text(text + "\n".join(tables))
    np.savez_compressed(FOLDER / f"{name}_int8.npz", **arrays)
    print(f"{name}: {sum(a.nbytes for a in arrays.values())} bytes of parameters")


if __name__ == "__main__":
    for network_name in NETWORKS:
        quantize(network_name)
