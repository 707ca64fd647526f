"""QTensor <-> the arrays of a buffer: codes by field name, 1-D, axis moved last, each row filled to whole blocks with 0."""

from __future__ import annotations

from math import prod

import numpy as np

from qsim.codec.qtensor import Array, QTensor, unsigned_dtype
from qsim.spec import Geometry


def to_arrays(q: QTensor) -> dict[str, Array]:
    """The arrays of a tensor; views where no row needs filling."""
    geometry = q.geometry
    arrays = {"element": q.codes_moved, **{f"scale{i}": a for i, a in enumerate(q.scales_moved)}}
    arrays = {name: _fill(a, *_row(name, geometry)) for name, a in arrays.items()}
    if q.zero_point_moved is not None:
        bits = q.format.element.bits
        arrays["zero_point"] = (q.zero_point_moved & ((1 << bits) - 1)).astype(unsigned_dtype(bits)).reshape(-1)
    return arrays


def empty_arrays(geometry: Geometry) -> dict[str, Array]:
    """Arrays of the same kind, to be filled from a buffer."""
    fmt = geometry.fmt
    bits = {"element": fmt.element.bits, **{f"scale{i}": s.bits for i, s in enumerate(fmt.scales)}}
    arrays = {}
    for name, width in bits.items():
        rows, _, full = _row(name, geometry)
        arrays[name] = np.empty(rows * full, unsigned_dtype(width))
    arrays["zero_point"] = np.empty(geometry.zero_points, unsigned_dtype(fmt.element.bits))
    return arrays


def from_arrays(arrays: dict[str, Array], geometry: Geometry, shape: tuple[int, ...]) -> QTensor:
    """The tensor; ValueError for codes that the format cannot have."""
    fmt = geometry.fmt
    _check_codes(arrays["element"], geometry)
    codes = _cut("element", arrays, geometry).reshape(geometry.moved_shape)
    scales = []
    for i, s in enumerate(fmt.scales):
        scale_shape = geometry.scale_shapes[i]
        if isinstance(s.group, int):
            scale_shape = (*geometry.moved_shape[:-1], geometry.groups_per_row(s.group))
        scales.append(_cut(f"scale{i}", arrays, geometry).reshape(scale_shape))
    zero_point = _integers(arrays["zero_point"], geometry).reshape(scales[0].shape) if fmt.zero_point else None
    return QTensor(fmt, shape, geometry, codes, tuple(scales), zero_point)


def _row(name: str, geometry: Geometry) -> tuple[int, int, int]:
    """Rows of a field's array, codes of a row that the tensor has, codes of a row with whole blocks."""
    fmt = geometry.fmt
    if name == "element":
        return geometry.rows, geometry.length, geometry.blocks_per_row * fmt.block_size
    level = int(name.removeprefix("scale"))
    group = fmt.scales[level].group
    if isinstance(group, int):
        return geometry.rows, geometry.groups_per_row(group), geometry.blocks_per_row * (fmt.block_size // group)
    return 1, prod(geometry.scale_shapes[level]), prod(geometry.scale_shapes[level])


def _fill(a: Array, rows: int, length: int, full: int) -> Array:
    if length == full:
        return np.require(a, requirements=("C", "A")).reshape(-1)
    filled = np.zeros((rows, full), a.dtype)
    filled[:, :length] = a.reshape(rows, length)
    return filled.reshape(-1)


def _cut(name: str, arrays: dict[str, Array], geometry: Geometry) -> Array:
    """The codes of the tensor, those of a partial block's rest checked to be 0 (rule P5)."""
    rows, length, full = _row(name, geometry)
    if length == full:
        return arrays[name]
    filled = arrays[name].reshape(rows, full)
    stray = np.argwhere(filled[:, length:])
    if len(stray):
        row, place = (int(i) for i in stray[0])
        word = row * geometry.blocks_per_row + geometry.blocks_per_row - 1
        raise ValueError(
            f"word {word} has a code that is not 0 after the {length} codes of field {name!r} in row {row}:"
            f" {int(filled[row, length + place]):#x} at place {length + place}; a partial block is filled with 0 (rule P5)"
        )
    return np.ascontiguousarray(filled[:, :length])


def _check_codes(elements: Array, geometry: Geometry) -> None:
    """Every bit pattern is a code but 0b10 of a ternary element."""
    if geometry.fmt.element.kind != "ternary" or not (wrong := np.flatnonzero(elements == 0b10)).size:
        return
    raise ValueError(
        f"word {int(wrong[0]) // geometry.fmt.block_size} holds the ternary code 0b10 ({wrong.size} in all);"
        " allowed: 0b00 (0), 0b01 (+1), 0b11 (-1) (rule P1)"
    )


def _integers(codes: Array, geometry: Geometry) -> Array:
    """Codes of zero points as int32."""
    element, integers = geometry.fmt.element, codes.astype(np.int32)
    if element.kind == "int":
        integers -= (integers >> (element.bits - 1)) << element.bits
    return integers
