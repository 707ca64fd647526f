"""Scales of blocks chosen by search instead of from each block's largest magnitude."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.encode import encode
from qsim.codec.input import as_float32
from qsim.codec.qtensor import QTensor
from qsim.ranges.errors import error_unit, squared_errors
from qsim.spec import Format

Array = NDArray[Any]
#: Steps in code from the scale that the format's rule chooses, per family; None: every code.
OFFSETS: dict[str, range | None] = {"vsq": None, "nvfp4": range(4, -17, -1), "ocp": range(1, -3, -1)}


def search_scales(
    x: object,
    fmt: str | Format,
    *,
    objective: str = "mse",
    axis: int = -1,
    channel_axis: int = 0,
    limits: object = None,
    **options: Any,
) -> tuple[Array, ...]:
    """The scales with which each block's squared error is least: what `encode(x, fmt, scales=...)` takes.

    Candidates for a block: every s_q from 1 to 2^M - 1 (vsq4); the E4M3 codes from 16 below the one that rule S8 chooses to 4
    above (nvfp4); the exponents from 2 below rule S3's to 1 above (OCP MX). The rule's own scale stays unless another is better;
    of equal ones the largest. The outer level, gamma of a channel or g of the tensor, is that of the rule, or of `limits`.

    The error is that of decoded float32 values, each square rounded to an integer: it depends on nothing but the block. Never
    worse than the rule, block by block, with this outer level.
    """
    if objective != "mse":
        raise ValueError(f"objective={objective!r}; allowed: mse (a histogram of one block's values says nothing, so no KL)")
    values = as_float32(x)
    q = encode(values, fmt, axis=axis, channel_axis=channel_axis, limits=limits, **options)
    if q.format.family not in OFFSETS:
        raise ValueError(
            f"search_scales does not apply to {q.format.name} (family {q.format.family}); allowed: {', '.join(OFFSETS)}"
        )
    if not np.isfinite(values).all():
        raise ValueError("search_scales: a value is NaN or infinite as float32; allowed: finite values (rules C2 and R4)")
    if not values.size:
        return q.scales
    blocks = _blocks(values, q)
    unit = error_unit(np.abs(blocks).max(axis=1))

    def errors(codes: Array) -> NDArray[np.int64]:
        held = (codes, *q.scales[1:])
        y = encode(values, q.format, axis=axis, channel_axis=channel_axis, scales=held, **options).decode()
        low, high = squared_errors(blocks, _blocks(np.nan_to_num(y), q), unit)
        return np.asarray(low + (high << 32))

    rule = q.scales[0]
    best, least, used = rule.copy(), errors(rule), blocks.any(axis=1)
    for codes in _candidates(rule, q.format):
        found = errors(codes)
        better = (found < least) & used
        least = np.where(better, found, least)
        best = np.where(_placed(better, q), codes, best)
    return (best, *q.scales[1:])


def _candidates(rule: Array, fmt: Format) -> list[Array]:
    """Scale codes to try, the largest first."""
    offsets, level = OFFSETS[fmt.family], fmt.scales[0]
    if offsets is None:
        return [np.full(rule.shape, code, rule.dtype) for code in range((1 << level.bits) - 1, 0, -1)]
    low, high = (0, 254) if level.kind == "exponent" else (1, level.float_type.max_code)
    return [np.clip(rule.astype(np.int64) + step, low, high).astype(rule.dtype) for step in offsets]


def _blocks(values: NDArray[np.float32], q: QTensor) -> NDArray[np.float32]:
    """One row a block, in C order of the moved scales; the pad of a partial one is 0."""
    moved = np.moveaxis(values.reshape(q.geometry.shape), q.axis, -1)
    k = q.format.block_size
    pad = -moved.shape[-1] % k
    padded = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, pad)]) if pad else moved
    return np.ascontiguousarray(padded).reshape(-1, k)


def _placed(per_block: Array, q: QTensor) -> Array:
    """One value a block, laid out as QTensor.scales[0]."""
    return np.asarray(np.moveaxis(per_block.reshape(q.scales_moved[0].shape), -1, q.axis))
