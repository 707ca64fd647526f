"""Patterns as numpy arrays: a row a case, as `qsim verify` and `--operands` read them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qsim.golden.unit import Port
from qsim.golden.vectors import GoldenError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARRAYS = "vectors.npz"
LARGEST_VALUE = 64


def to_array(port: Port, patterns: Sequence[int]) -> NDArray[Any]:
    """(cases,) values, or (cases, count); of values over 64 bits the port's bytes, the lowest first."""
    import numpy as np

    if port.width > LARGEST_VALUE:
        size = -(-port.bits // 8)
        data = b"".join(pattern.to_bytes(size, "little") for pattern in patterns)
        return np.frombuffer(data, np.uint8).reshape(-1, size)
    values = np.array([port.split(pattern) for pattern in patterns], _dtype(port, integer=True)).reshape(-1, port.count)
    values = values.view(_dtype(port))
    return values[:, 0] if port.count == 1 else values


def _dtype(port: Port, *, integer: bool = False) -> Any:
    """The smallest type that holds a value."""
    import numpy as np

    if port.kind in ("float32", "float64") and not integer:
        return np.dtype(port.kind)
    size = max(8, 1 << (port.width - 1).bit_length())
    return np.dtype(f"{'int' if port.kind == 'signed' else 'uint'}{size}")


def from_array(array: NDArray[Any], port: Port, where: str) -> list[int]:
    """The patterns of what `to_array` gave; GoldenError for another type or shape."""
    import numpy as np

    wide = port.width > LARGEST_VALUE
    dtype = np.dtype(np.uint8) if wide else _dtype(port)
    shape = (
        (len(array) if array.ndim else 0, -(-port.bits // 8))
        if wide
        else (len(array), *((port.count,) if port.count > 1 else ()))
    )
    if array.dtype != dtype or array.shape != shape:
        raise GoldenError(f"{where}: {port.name} is {array.dtype}{array.shape}; allowed: {dtype}{shape}")
    if wide:
        return [int.from_bytes(row.tobytes(), "little") for row in array]
    rows = array.view(_dtype(port, integer=True)).reshape(len(array), -1).tolist()
    try:
        return [port.join(row) for row in rows]
    except ValueError as error:
        raise GoldenError(f"{where}: {error}") from None


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a .npz file."""
    import numpy as np

    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_npz(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file; GoldenError for any other."""
    import numpy as np

    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        return {key: loaded[key] for key in loaded.files}
    except Exception as error:  # zip, zlib and the header parser each raise their own kinds on a corrupt file
        raise GoldenError(f"{where}: not a readable .npz file: {error}") from None
