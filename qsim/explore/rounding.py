"""Adaptive rounding on an embedded network: every layer's error on its own inputs, and the accuracy, as rows.

Each layer is rounded alone, against its float32 inputs on calibration images; a scale an output channel; inputs and biases stay
float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qsim import ranges
from qsim.adaround import Coordinate, Gram, Relaxation, adaptive_round, reconstruction_error
from qsim.codec.encode import encode
from qsim.codec.qtensor import QTensor
from qsim.explore.calibrate import layer_inputs, quantized_top1
from qsim.explore.metrics import decibel
from qsim.explore.network import NETWORKS, Network, accuracy, operands
from qsim.explore.sweep import Row
from qsim.ranges.mse import integer_format
from qsim.spec import Format

Float32 = NDArray[np.float32]

BITS = (4, 3, 2)
#: Where the scales come from: the largest magnitude of a channel, or the range of least squared error.
SCALES = ("absmax", "mse")
SEED = 0
#: Method -> codes of a weight matrix, its scales fixed by limits or by its largest magnitudes, against its inputs.
METHODS: dict[str, Callable[[Float32, Format, Gram, object], QTensor]] = {
    "nearest": lambda w, fmt, x, limits: encode(w, fmt, limits=limits),
    "coordinate": lambda w, fmt, x, limits: adaptive_round(w, fmt, x, method=Coordinate(seed=SEED), limits=limits),
    "relaxation": lambda w, fmt, x, limits: adaptive_round(w, fmt, x, method=Relaxation(), limits=limits),
}
#: `relaxation` takes five times as long: only when named.
DEFAULT = ("nearest", "coordinate")
ERRORS = tuple(f"{layer[0]}_error" for layer in NETWORKS["digits"])
ROUNDING_COLUMNS = ("bits", "scales", "method", *ERRORS, "error", "sqnr", "test_sqnr", "changed", "top1")


def choose_methods(names: Sequence[str]) -> list[str]:
    """Nearest rounding and the methods named; without a name all fast ones."""
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ValueError(f"--adaround {unknown[0]}: allowed: all, {', '.join(METHODS)}")
    return list(dict.fromkeys(("nearest", *names))) if names else list(DEFAULT)


def rounding_rows(
    network: Network, images: Float32, methods: Sequence[str], widths: Sequence[int] = BITS, scales: Sequence[str] = SCALES
) -> Iterator[Row]:
    """The float32 row, then a row a width, source of scales and method.

    LAYER_error: sum of ||(W - W_q) x||^2 over the calibration inputs; error: their sum. sqnr: of all layers' outputs together, on
    the calibration images; test_sqnr: on the test images. changed: share of the codes that are not nearest's.
    """
    base = dict.fromkeys(ROUNDING_COLUMNS)
    yield base | {"method": "float32", "sqnr": np.inf, "test_sqnr": np.inf, "top1": accuracy(network)}
    seen, test = (_grams(network, x) for x in (images, network.images))
    zeros = [encode(np.zeros_like(layer.matrix), "int8") for layer in network.layers]
    signals = [sum(_errors(network, zeros, x)) for x in (seen, test)]  # of ||W x||^2
    for bits in widths:
        fmt = integer_format(bits, symmetric=True)
        for source in scales:
            limits = [
                ranges.MSE(bits=bits, axis=0).observe(layer.matrix) if source == "mse" else None for layer in network.layers
            ]
            layers = list(zip((layer.matrix for layer in network.layers), seen, limits, strict=True))
            nearest = [METHODS["nearest"](w, fmt, x, pair) for w, x, pair in layers]
            for name in methods:
                found = nearest if name == "nearest" else [METHODS[name](w, fmt, x, pair) for w, x, pair in layers]
                errors, held_out = (_errors(network, found, x) for x in (seen, test))
                yield base | dict(zip(ERRORS, errors, strict=True)) | {
                    "bits": bits, "scales": source, "method": name, "error": sum(errors),
                    "sqnr": decibel(signals[0], sum(errors)), "test_sqnr": decibel(signals[1], sum(held_out)),
                    "changed": _changed(nearest, found), "top1": quantized_top1(network, [q.decode() for q in found]),
                }  # fmt: skip


def _grams(network: Network, images: Float32) -> list[Gram]:
    inputs = zip(network.layers, layer_inputs(network, images), strict=True)
    return [Gram.of(operands(layer, x)) for layer, x in inputs]


def _errors(network: Network, found: Sequence[QTensor], grams: Sequence[Gram]) -> list[float]:
    layers = zip(network.layers, found, grams, strict=True)
    return [float(reconstruction_error(layer.matrix, q, gram).sum()) for layer, q, gram in layers]


def _changed(nearest: Sequence[QTensor], found: Sequence[QTensor]) -> float:
    changed = sum(int(np.count_nonzero(a.codes != b.codes)) for a, b in zip(nearest, found, strict=True))
    return changed / sum(q.codes.size for q in nearest)
