"""An integer network on a set of images: its outputs, what its registers did, and its accuracy beside the float network's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.explore.integer_network import Codes, Events, IntegerNetwork
from qsim.explore.network import accuracy, load_network

Progress = Callable[[Iterable[slice], int], Iterable[slice]]


@dataclass(frozen=True)
class Report:
    """What a run gave; `tensors` holds the input and every layer's output where they were kept."""

    network: IntegerNetwork
    images: int
    outputs: Codes
    events: Events
    tensors: dict[str, Codes]
    top1: float | None
    float_top1: float | None

    def table(self) -> dict[str, Any]:
        """The report as a plain table, tensors left out."""
        layers = [
            {
                "name": layer.name,
                "kind": layer.kind,
                "input": list(layer.inputs),
                "shape": list(layer.shape),
                "scale": float(layer.quantization.scale),
                "zero_point": layer.quantization.zero_point,
                "datapath": layer.weight.datapath.name if layer.weight else None,
                "events": self.events[layer.name],
            }
            for layer in self.network.layers
        ]
        return {
            "network": self.network.name,
            "images": self.images,
            "top1": self.top1,
            "float_top1": self.float_top1,
            "layers": layers,
        }


def held_out(network: IntegerNetwork, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The held-out images of an embedded network, channels last, and their labels."""
    shipped = load_network(name)
    return np.ascontiguousarray(shipped.images.transpose(0, 2, 3, 1)).reshape(-1, *network.shape), shipped.labels


def evaluate(
    network: IntegerNetwork,
    images: NDArray[Any],
    labels: NDArray[Any] | None = None,
    *,
    keep: bool = False,
    float_network: str | None = None,
    progress: Progress = lambda pieces, total: pieces,
) -> Report:
    """Run the network on N images.

    Args:
        network: what to run.
        images: N x the network's shape, int8 codes or floats.
        labels: N integers: the accuracy is the share of images whose largest output is the label's.
        keep: whether to keep every layer's codes.
        float_network: name of the embedded network whose accuracy on the same float images stands beside it.
        progress: wraps the pieces in which the images run, and gets their number.
    """
    codes = network.input_codes(images)
    _check_labels(network, labels, len(codes))
    events: Events = {layer.name: {} for layer in network.layers}
    outputs, kept = [], []
    pieces = list(network.pieces(len(codes)))
    for part in progress(pieces, len(pieces)):
        tensors = {"input": codes[part]}
        for name, tensor in network.run(codes[part], events):
            tensors = {**tensors, name: tensor} if keep else {name: tensor}
        outputs.append(tensors[network.layers[-1].name])
        kept += [tensors] if keep else []
    logits = np.concatenate(outputs)
    top1 = None if labels is None else float(np.mean(np.argmax(logits, axis=1) == labels))
    real = None
    if labels is not None and float_network is not None and images.dtype.kind == "f":
        shipped = load_network(float_network)
        rows = images.astype(np.float32).reshape(-1, 8, 8, 1).transpose(0, 3, 1, 2)
        real = accuracy(replace(shipped, images=rows, labels=labels.astype(np.int64)))
    tensors = {name: np.concatenate([part[name] for part in kept]) for name in (kept[0] if kept else {})}
    return Report(network, len(codes), logits, events, tensors, top1, real)


def _check_labels(network: IntegerNetwork, labels: NDArray[Any] | None, images: int) -> None:
    if labels is None:
        return
    if len(network.layers[-1].shape) != 1:
        raise ValueError(
            f"labels for outputs of shape {network.layers[-1].shape}; allowed: with a network whose outputs are logits"
        )
    if labels.dtype.kind not in "iu" or labels.shape != (images,):
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}; allowed: integers of shape ({images},)")
