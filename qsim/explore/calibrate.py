"""Calibrators on an embedded network: what each range costs, as rows.

Ranges of every layer's input, one a tensor, from the float32 network's activations on calibration images. Accuracy on the test
images, with inputs quantized in these ranges and weights symmetric with a scale an output channel; biases are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim import ranges
from qsim.codec.quantize import quantize
from qsim.explore.metrics import Sums
from qsim.explore.network import NETWORKS, Network, accuracy, finish_layer, operands, product, run_layer, top1
from qsim.explore.sweep import Row
from qsim.explore.thresholds import METHODS, choose_setting
from qsim.ranges.mse import integer_format
from qsim.spec import Format

Float32 = NDArray[np.float32]

BITS = (8, 6, 4)
#: Calibration images a batch.
BATCH = 32
HIGHS = tuple(f"{layer[0]}_high" for layer in NETWORKS["digits"])
CALIBRATE_COLUMNS = ("method", "bits", "format", *HIGHS, "activation_sqnr", "top1_weights8", "top1")
#: Inputs are never negative here, so that all but absmax are affine: a range [0, t].
NAMES = ("absmax", *METHODS)


def layer_inputs(network: Network, images: Float32) -> list[Float32]:
    """The inputs of every layer of the float32 network."""
    found, x = [], images
    for layer in network.layers:
        found.append(x)
        x = run_layer(layer, x)
    return found


def choose_methods(names: Sequence[str]) -> list[str]:
    """The methods named, in that order; all without a name."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"--calibrate {unknown[0]}: allowed: all, {', '.join(NAMES)}")
    return list(dict.fromkeys(names)) or list(NAMES)


def calibrate_rows(network: Network, images: Float32, methods: Sequence[str], widths: Sequence[int] = BITS) -> Iterator[Row]:
    """The float32 row, then a row a method and width.

    LAYER_high: the upper end of the range of its input. activation_sqnr: of all layers' inputs together, on the test images.
    top1_weights8: with weights of 8 bits; top1: with weights of the inputs' width.
    """
    base = dict.fromkeys(CALIBRATE_COLUMNS)
    right = accuracy(network)
    yield base | {"method": "float32", "activation_sqnr": np.inf, "top1_weights8": right, "top1": right}
    seen, test = layer_inputs(network, images), layer_inputs(network, network.images)
    known: dict[Any, Row] = {}
    for name in methods:
        for bits in widths:
            setting = choose_setting(bits, None, name != "absmax", None)
            limits = [calibrated(ranges.AbsMax() if name == "absmax" else METHODS[name](setting), x) for x in seen]
            key = setting.fmt.name, str(limits)  # several methods end in the same ranges
            known[key] = known.get(key) or _measured(network, test, setting.fmt, limits)
            yield base | {"method": name, "bits": bits, "format": setting.fmt.name} | known[key]


def _measured(network: Network, test: Sequence[Float32], fmt: Format, limits: Sequence[tuple[Any, Any]]) -> Row:
    """What the test images give in these ranges."""
    fakes = [partial(quantize, fmt=fmt, limits=pair) for pair in limits]
    sums = Sums()
    for x, fake in zip(test, fakes, strict=True):
        sums.add(x, fake(x))
    return dict(zip(HIGHS, (float(high) for _, high in limits), strict=True)) | {
        "activation_sqnr": sums.metrics().sqnr,
        "top1_weights8": quantized_top1(network, weights(network, 8), fakes),
        "top1": quantized_top1(network, weights(network, fmt.element.bits), fakes),
    }


def calibrated(calibrator: ranges.Calibrator, x: Float32) -> tuple[Any, Any]:
    """Limits after batches of BATCH images."""
    for start in range(0, len(x), BATCH):
        calibrator.observe(x[start : start + BATCH])
    return calibrator.limits()


def weights(network: Network, bits: int) -> list[Float32]:
    """Every layer's weight matrix in symmetric integers, a scale an output channel, from the largest magnitude."""
    fmt: Format = integer_format(bits, symmetric=True)
    return [quantize(layer.matrix, fmt) for layer in network.layers]


def quantized_top1(network: Network, matrices: Sequence[Float32], fakes: Sequence[Callable[[Float32], Float32]] = ()) -> float:
    """Accuracy with these weight matrices, and with the inputs passed through `fakes`."""
    x = network.images
    for i, (layer, matrix) in enumerate(zip(network.layers, matrices, strict=True)):
        x = fakes[i](x) if fakes else x
        x = finish_layer(layer, x.shape, product(operands(layer, x), matrix))
    return top1(network, x)
