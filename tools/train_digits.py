"""Train an embedded network on scikit-learn's digits and write qsim/explore/NAME.npz.

    python tools/train_digits.py digits
    python tools/train_digits.py mlp

Plain numpy, one BLAS thread, a fixed seed: the same machine and library versions write the same file.
"""

from __future__ import annotations

import os
import sys

os.environ.update(OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_NUM_THREADS="1")  # before numpy: fixed order of sums

from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from qsim.explore.network import NETWORKS, Layer, Network, accuracy, patches, pixels

F32 = NDArray[np.float32]
SEED = 2026
TEST_IMAGES = 400
EPOCHS = 60
BATCH = 64
RATE = 2e-3
DECAY = 1e-4
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "digits": {"conv1": (16, 1, 3, 3), "conv2": (32, 16, 3, 3), "fc1": (64, 128), "fc2": (10, 64)},
    "mlp": {"fc1": (32, 64), "fc2": (10, 32)},
}
FOLDER = Path(__file__).resolve().parent.parent / "qsim" / "explore"
Flags = tuple[tuple[str, bool, bool, bool], ...]
Augmentation = Callable[[F32, np.random.Generator], F32]


def split(images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the held-out and of the training images: the first draw of the seed's generator, the same for every network."""
    order = np.random.default_rng(SEED).permutation(images)
    return order[:TEST_IMAGES], order[TEST_IMAGES:]


def initial(shapes: dict[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, F32]:
    """He's normal initialization; biases 0."""
    found: dict[str, F32] = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[1:]))
        found[f"{name}.weight"] = (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        found[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    return found


def shifted(images: F32, rng: np.random.Generator) -> F32:
    """Each image moved by -1, 0 or 1 pixel along both axes, zeros moved in."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.empty_like(images)
    for i, (dy, dx) in enumerate(rng.integers(0, 3, (len(images), 2))):
        out[i] = padded[i, :, dy : dy + 8, dx : dx + 8]
    return out


def pool_forward(x: F32) -> tuple[F32, NDArray[np.bool_]]:
    """2x2 maximum of N x C x H x W and which of the four gave it."""
    n, c, h, w = x.shape
    quads = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
    return quads.max(axis=-1), np.eye(4, dtype=bool)[quads.argmax(axis=-1)]


def pool_backward(gradient: F32, chosen: NDArray[np.bool_]) -> F32:
    """The gradient at the element that was the maximum."""
    n, c, h, w, _ = chosen.shape
    quads = (gradient[..., None] * chosen).reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return quads.reshape(n, c, 2 * h, 2 * w).astype(np.float32)


def patches_backward(gradient: F32, shape: tuple[int, ...]) -> F32:
    """Sum of the patch gradients at each pixel."""
    n, c, h, w = shape
    windows = gradient.reshape(n, h, w, c, 3, 3).transpose(0, 3, 4, 5, 1, 2)
    padded = np.zeros((n, c, h + 2, w + 2), np.float32)
    for dy in range(3):
        for dx in range(3):
            padded[:, :, dy : dy + h, dx : dx + w] += windows[:, :, dy, dx]
    return padded[:, :, 1:-1, 1:-1]


def gradients(p: dict[str, F32], layers: Flags, x: F32, labels: NDArray[np.int64]) -> dict[str, F32]:
    """Gradient of the mean cross entropy."""
    saved = []
    for name, convolution, relu, pool in layers:
        weight, shape = p[f"{name}.weight"], x.shape
        rows = patches(x) if convolution else x.reshape(len(x), -1)
        y = rows @ weight.reshape(len(weight), -1).T + p[f"{name}.bias"]
        y = np.maximum(y, 0) if relu else y
        active = y > 0
        chosen = None
        if convolution:
            y = y.reshape(shape[0], *shape[2:], -1).transpose(0, 3, 1, 2)
            y, chosen = pool_forward(y) if pool else (y, None)
        saved.append((name, rows, shape, active, chosen))
        x = y
    e = np.exp(x - x.max(axis=1, keepdims=True))
    gradient = e / e.sum(axis=1, keepdims=True)
    gradient[np.arange(len(x)), labels] -= 1
    gradient /= len(x)
    found: dict[str, F32] = {}
    for (name, rows, shape, active, chosen), (_, convolution, relu, _) in zip(saved[::-1], layers[::-1], strict=True):
        weight = p[f"{name}.weight"]
        if convolution:
            gradient = gradient.reshape(len(gradient), len(weight), *(s // (2 if chosen is not None else 1) for s in shape[2:]))
            gradient = pool_backward(gradient, chosen) if chosen is not None else gradient
            gradient = gradient.transpose(0, 2, 3, 1).reshape(len(rows), -1)
        if relu:
            gradient = gradient * active
        found[f"{name}.weight"] = (gradient.T @ rows).reshape(weight.shape)
        found[f"{name}.bias"] = gradient.sum(axis=0)
        back = gradient @ weight.reshape(len(weight), -1)
        gradient = patches_backward(back, shape) if convolution else back
    return found


def train(
    p: dict[str, F32], layers: Flags, images: F32, labels: NDArray[np.int64], rng: np.random.Generator, moved: Augmentation | None
) -> None:
    """Adam with weight decay and a cosine schedule, in place; `moved` changes the images of each batch."""
    first = {k: np.zeros_like(v) for k, v in p.items()}
    second = {k: np.zeros_like(v) for k, v in p.items()}
    steps = EPOCHS * (len(images) // BATCH)
    step = 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for start in range(0, len(images) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            found = gradients(p, layers, moved(images[batch], rng) if moved else images[batch], labels[batch])
            step += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            for k, g in found.items():
                first[k] = 0.9 * first[k] + 0.1 * g
                second[k] = 0.999 * second[k] + 0.001 * g * g
                move = (first[k] / (1 - 0.9**step)) / (np.sqrt(second[k] / (1 - 0.999**step)) + 1e-8)
                p[k] = (p[k] - rate * (move + DECAY * p[k])).astype(np.float32)


def main(name: str) -> None:
    """Split, train, measure, write."""
    digits, flags = load_digits(), NETWORKS[name]
    test, training = split(len(digits.images))
    rng = np.random.default_rng(SEED)
    rng.permutation(len(digits.images))  # the split's draw
    p = initial(SHAPES[name], rng)
    train(
        p,
        flags,
        pixels(digits.images[training]),
        digits.target[training].astype(np.int64),
        rng,
        shifted if name == "digits" else None,
    )
    layers = tuple(Layer(layer, p[f"{layer}.weight"], p[f"{layer}.bias"], *rest) for layer, *rest in flags)
    top1 = accuracy(Network(layers, pixels(digits.images[test]), digits.target[test].astype(np.int64), ""))
    provenance = (
        "Images and labels: Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, "
        "1998, doi:10.24432/C50P49, CC BY 4.0), the 1797 images distributed by scikit-learn (BSD-3-Clause) as load_digits. "
        f"{len(test)} images held out by permutation with seed {SEED}, {len(training)} for training. "
        f"Weights: tools/train_digits.py of qsim (Apache-2.0), numpy {np.__version__}, scikit-learn {sklearn.__version__}; "
        f"float32 top-1 on the held-out images {top1:.4f}."
    )
    held_out = {"images": digits.images[test].astype(np.uint8), "labels": digits.target[test].astype(np.uint8)}
    target = FOLDER / f"{name}.npz"
    np.savez_compressed(target, provenance=np.array(provenance), **(held_out if name == "digits" else {}), **p)
    print(f"{target}: {target.stat().st_size} bytes, top-1 {top1:.4f}")


if __name__ == "__main__":
    if sys.argv[1:] not in [[name] for name in NETWORKS]:
        sys.exit(f"usage: python tools/train_digits.py {'|'.join(NETWORKS)}")
    main(sys.argv[1])
