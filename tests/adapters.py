"""Between numpy arrays and the reference's Python ints."""

from __future__ import annotations

from typing import Any

import numpy as np

import qsim
from qsim import reference
from qsim.codec import QTensor
from qsim.spec import Format, resolve_options


def bits(x: np.ndarray) -> list[int]:
    return [int(b) for b in np.ascontiguousarray(x, dtype=np.float32).reshape(-1).view(np.uint32)]


def reference_encode(x: np.ndarray, fmt: Format, geometry: dict[str, Any], options: dict[str, Any], **given: Any) -> Any:
    return reference.encode(bits(x), x.shape, fmt, **geometry, options=resolve_options(fmt, options), **given)


def outcome(call: Any, *args: Any, **kwargs: Any) -> Any:
    """The result, or the ValueError's type."""
    try:
        return call(*args, **kwargs)
    except ValueError as error:
        return type(error)


def flat(q: QTensor) -> tuple[list[int], tuple[list[int], ...], list[int] | None]:
    """A QTensor as the reference states it."""
    zero = None
    if q.zero_point is not None:
        zero = [int(v) for v in q.zero_point.reshape(-1)]
    return [int(c) for c in q.codes.reshape(-1)], tuple([int(c) for c in s.reshape(-1)] for s in q.scales), zero


def same(q: QTensor, encoded: Any) -> None:
    codes, scales, zero = flat(q)
    assert scales == tuple(list(s) for s in encoded.scales)
    assert zero == (None if encoded.zero_point is None else list(encoded.zero_point))
    assert codes == list(encoded.codes)


__all__ = ["bits", "flat", "outcome", "qsim", "reference_encode", "same"]
