"""Tensors and the embedded network across formats, as rows: one dict a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.conventions import convention_options
from qsim.codec.encode import encode
from qsim.explore.metrics import Sums
from qsim.explore.network import Network, accuracy, layer_operands
from qsim.explore.tensors import Tensor
from qsim.spec import Format, Geometry, load_format
from qsim.spec.format import GRANULAR
from qsim.spec.geometry import normalize_axis

Array = NDArray[Any]
Row = dict[str, Any]

#: Elements that are encoded at once, where the format's scales allow pieces.
PIECE = 1 << 22
#: Test images whose activations give the activation SQNR; accuracy is measured on all.
ACTIVATION_IMAGES = 100
FILE_COLUMNS = (
    "file", "tensor", "shape", "dtype", "view", "axis", "format", "effective_bits", "bits_per_element", "bytes",
    "sqnr", "mse", "max_error", "cosine", "zeroed", "saturated", "error",
)  # fmt: skip
NETWORK_COLUMNS = (
    "format", "effective_bits", "weight_bits_per_element", "weight_bytes", "weight_sqnr", "activation_sqnr", "top1", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a sweep asks of every format: granularity where one float scale allows the choice, and a convention."""

    granularity: int | str | None = None
    convention: str | None = None

    def applied(self, fmt: Format) -> Format:
        """The format with the granularity, where it has a choice."""
        return fmt.with_granularity(self.granularity) if fmt.family in GRANULAR else fmt


@dataclass(frozen=True)
class View:
    """How a tensor is seen: its shape, the axis along which blocks run, the axis of the channels."""

    shape: tuple[int, ...]
    axis: int
    channel_axis: int


def choose_view(shape: tuple[int, ...], axis: int | None = None) -> View:
    """Blocks run along the reduction axis, as the weights of a layer stand in memory.

    Three and more dimensions are a convolution's weight O x I x kh x kw, seen as O x (I*kh*kw); of a matrix O x I and of
    a vector the last axis is taken. With `axis` given the tensor keeps its shape. Channels are axis 0, or axis 1 where
    the blocks run along axis 0.
    """
    full = shape or (1,)
    if axis is not None:
        place = normalize_axis(axis, len(full))
        return View(full, place, 1 if place == 0 and len(full) > 1 else 0)
    if len(full) > 2:
        full = (full[0], prod(full[1:]))
    return View(full, len(full) - 1, 0)


def pieces(view: View, fmt: Format) -> Iterator[tuple[slice, ...]]:
    """Parts of at most about PIECE elements that can be encoded on their own; one part where a scale spans the tensor."""
    size = prod(view.shape)
    groups = {s.group for s in fmt.scales}
    vector = len(view.shape) == 1
    if size <= PIECE or "tensor" in groups or (vector and "channel" in groups):
        yield (slice(None),) * len(view.shape)
        return
    place = 0 if vector else view.channel_axis
    length = view.shape[place]
    unit = fmt.block_size if vector else 1
    step = max(PIECE // (size // length) // unit, 1) * unit
    for start in range(0, length, step):
        yield (slice(None),) * place + (slice(start, min(start + step, length)),) + (slice(None),) * (len(view.shape) - place - 1)


def tensor_rows(tensor: Tensor, formats: Sequence[Format], settings: Settings, axis: int | None = None) -> Iterator[Row]:
    """A row a format; a tensor that cannot be compared gives one row that says why."""
    base = dict.fromkeys(FILE_COLUMNS) | {
        "file": tensor.file, "tensor": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype
    }  # fmt: skip
    if tensor.skipped:
        yield base | {"error": f"skipped: {tensor.skipped}"}
        return
    try:
        view = choose_view(tensor.shape, axis)
    except ValueError as error:
        yield base | {"error": str(error)}
        return
    stored = tensor.load().reshape(view.shape)
    for fmt in formats:
        yield (
            base | {"view": list(view.shape), "axis": view.axis} | compare(tensor, stored, view, settings.applied(fmt), settings)
        )


def compare(tensor: Tensor, stored: Array, view: View, fmt: Format, settings: Settings) -> Row:
    """Size and metrics of one tensor in one format; `error` where the format refuses it."""
    row: Row = {"format": fmt.name, "effective_bits": float(fmt.effective_bits)}
    sums = Sums()
    try:
        bits = Geometry.of(fmt, view.shape, axis=view.axis, channel_axis=view.channel_axis).storage_bits
        size = prod(view.shape)
        row |= {"bits_per_element": bits / size if size else None, "bytes": -(-bits // 8)}
        for part in pieces(view, fmt):
            x = tensor.values(stored[part])
            q = encode(x, fmt, axis=view.axis, channel_axis=view.channel_axis, convention=settings.convention)
            sums.add(x, q.decode(), q)
    except (ValueError, TypeError) as error:
        return row | {"error": str(error) if sums.size == 0 else f"after {sums.size} elements: {error}"}
    return row | asdict(sums.metrics())


def network_rows(network: Network, formats: Sequence[Format], settings: Settings) -> Iterator[Row]:
    """The float32 row, then a row a format: SQNR over all layers' weights and over their inputs, and top-1 accuracy.

    Each SQNR is one ratio over all layers together, of what the float32 network holds.
    """
    operands = layer_operands(network, ACTIVATION_IMAGES)
    weights = sum(weight.size for weight, _ in operands)
    base = dict.fromkeys(NETWORK_COLUMNS)
    yield base | {
        "format": "float32", "effective_bits": 32.0, "weight_bits_per_element": 32.0, "weight_bytes": 4 * weights,
        "weight_sqnr": np.inf, "activation_sqnr": np.inf, "top1": accuracy(network),
    }  # fmt: skip
    for given in formats:
        fmt = settings.applied(given)
        row = base | {"format": fmt.name, "effective_bits": float(fmt.effective_bits)}
        sizes = [Geometry.of(fmt, weight.shape).storage_bits for weight, _ in operands]
        row |= {"weight_bits_per_element": sum(sizes) / weights, "weight_bytes": sum(-(-bits // 8) for bits in sizes)}
        fake = partial(in_format, fmt=fmt, convention=settings.convention)
        try:
            yield row | {
                "weight_sqnr": _sqnr([weight for weight, _ in operands], fake),
                "activation_sqnr": _sqnr([rows for _, rows in operands], fake),
                "top1": accuracy(network, fake),
            }
        except (ValueError, TypeError) as error:
            yield row | {"error": str(error)}


def in_format(x: NDArray[np.float32], fmt: Format, convention: str | None) -> NDArray[np.float32]:
    """The matrix as the format holds it, blocks along its last axis, channels along its first."""
    return np.asarray(encode(x, fmt, axis=-1, channel_axis=0, convention=convention).decode())


def _sqnr(arrays: list[NDArray[np.float32]], fake: Callable[[Array], Array]) -> float:
    sums = Sums()
    for x in arrays:
        sums.add(x, fake(x))
    return sums.metrics().sqnr


def choose_formats(names: Sequence[str], catalogue: Sequence[str], convention: str | None) -> list[Format]:
    """The formats named, in that order; without names the catalogue, or the part of it that the convention applies to."""
    if names:
        return [load_format(name) for name in dict.fromkeys(names)]
    return [fmt for fmt in map(load_format, catalogue) if convention is None or _applies(convention, fmt)]


def _applies(convention: str, fmt: Format) -> bool:
    try:
        convention_options(convention, fmt)
    except ValueError:
        return False
    return True
