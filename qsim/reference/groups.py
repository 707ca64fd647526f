"""Which scale belongs to which element: flat C-order indices, written out one by one."""

from __future__ import annotations

from itertools import product

from qsim.spec.geometry import Geometry

Shape = tuple[int, ...]


def flat_index(coordinate: Shape, shape: Shape) -> int:
    """C-order index of a coordinate."""
    index = 0
    for c, n in zip(coordinate, shape, strict=True):
        index = index * n + c
    return index


def scale_coordinate(geometry: Geometry, level: int, coordinate: Shape) -> Shape:
    """Coordinate, in the level's scale array, of the scale of one element."""
    group = geometry.fmt.scales[level].group
    if isinstance(group, int):
        return tuple(c // group if dim == geometry.axis else c for dim, c in enumerate(coordinate))
    if group == "channel":
        return (coordinate[geometry.channel_axis] if len(coordinate) > 1 else 0,)  # a 1-D tensor is one channel (S11)
    return ()


def scale_indices(geometry: Geometry, level: int) -> list[int]:
    """For each element in C order, the flat index of its scale of that level."""
    coordinates = product(*map(range, geometry.shape))
    shape = geometry.scale_shapes[level]
    return [flat_index(scale_coordinate(geometry, level, c), shape) for c in coordinates]


def members(indices: list[int], count: int) -> list[list[int]]:
    """For each scale, the elements that share it."""
    groups: list[list[int]] = [[] for _ in range(count)]
    for element, scale in enumerate(indices):
        groups[scale].append(element)
    return groups


def rows_along(shape: Shape, axis: int) -> list[list[int]]:
    """Flat indices of each row along `axis`, rows in C order of the other dimensions (axis moved last)."""
    other = shape[:axis] + shape[axis + 1 :]
    return [[flat_index((*c[:axis], k, *c[axis:]), shape) for k in range(shape[axis])] for c in product(*map(range, other))]
