"""Decoding with the vector kernels: what a format's blocks or rows need, as the kernels take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.frame import Frame, by_row
from qsim.codec.lower import decode_params, element_table, groups, scale_table, scale_values
from qsim.codec.qtensor import QTensor

Array = NDArray[Any]
Task = Callable[[slice, slice, Array], None]
LANES = 16
#: Element kind -> style of kernels.vector_ops.decode_integer16; -1: a float. PAIRS: sign-magnitude with microexponents.
STYLES = {"sign_magnitude": 0, "int": 1, "uint": 2, "float": -1}
PAIRS = 3
NO_CODES = np.zeros(0, np.uint8)
NO_VALUES = np.zeros(0, np.float32)
NO_ZEROS = np.zeros(0, np.int32)


def lanes_decoder(q: QTensor, frame: Frame, values: Array) -> Task | None:
    """The vector kernel's call on a piece (rows, columns, its codes) of `values`, or None where it does not apply.

    Scales are read when a piece is decoded: they need not be known before.
    """
    from qsim.kernels.jit import JIT

    fmt, k = q.format, q.format.block_size
    whole = not fmt.block_scales or (k % LANES == 0 and frame.length % k == 0)
    if not JIT or values.dtype != np.float32 or fmt.element.kind not in STYLES or not whole:
        return None
    from qsim.kernels import vector

    if not vector.available():
        return None
    if fmt.block_scales and len(fmt.block_scales) == len(fmt.scales):
        return _blocks(q, frame, values)
    return _rows(q, frame, values)


def _unit(q: QTensor) -> NDArray[np.float32]:
    """[weight of an integer's last bit], or empty for 1."""
    e = q.format.element
    return NO_VALUES if e.is_float or not e.lsb_exponent else np.array([2.0**e.lsb_exponent], np.float32)


def _blocks(q: QTensor, frame: Frame, values: Array) -> Task | None:
    """Formats whose every scale is one of blocks: mx, bfp, OCP MX, INT with a scale a group."""
    from qsim.kernels import fast

    fmt, k = q.format, q.format.block_size
    style, micro = STYLES[fmt.element.kind], None
    if len(fmt.scales) == 2:
        if fmt.scales[0].kind != "microexponent" or fmt.scales[0].group != 2 or k != LANES:
            return None
        style, micro = PAIRS, by_row(q.scales_moved[0], frame)
    shared, scale = by_row(q.scales_moved[-1], frame), fmt.scales[-1]
    floats, table = (shared.view(np.float32), NO_VALUES) if scale.type == "FP32" else (None, scale_table(scale))
    zeros = None if q.zero_point_moved is None else q.zero_point_moved.reshape(shared.shape)
    params, unit = decode_params(fmt.element), _unit(q)

    def task(r: slice, c: slice, codes: Array) -> None:
        g = groups(c, k)
        scales = (shared[r, g].reshape(-1), table, NO_VALUES if floats is None else floats[r, g].reshape(-1))
        zero = NO_ZEROS if zeros is None else zeros[r, g].reshape(-1)
        pairs = NO_CODES if micro is None else micro[r, groups(c, 2)].reshape(-1)
        fast.decode_blocks(codes.reshape(-1), values[r, c].reshape(-1), k, style, params, unit, *scales, zero, pairs)

    return task


def _rows(q: QTensor, frame: Frame, values: Array) -> Task:
    """Formats with a scale of tensor or channels, or none: INT, VS-Quant, NVFP4, plain floats."""
    from qsim.kernels import fast

    fmt = q.format
    inner, table, k = None, NO_VALUES, 1  # an integer's last bit weighs 1 here: Format checks it
    if fmt.block_scales:
        inner, table, k = by_row(q.scales_moved[0], frame), scale_table(fmt.scales[0]), fmt.block_size
    outer = q.scales_moved[-1].reshape(-1) if fmt.scales else NO_CODES
    segment = frame.segment if outer.size > 1 else np.zeros_like(frame.segment)
    row_zero = None if q.zero_point_moved is None else q.zero_point_moved.reshape(-1)[frame.segment]
    style, params, tail = STYLES[fmt.element.kind], decode_params(fmt.element), element_table(fmt.element, "float32")

    def task(r: slice, c: slice, codes: Array) -> None:
        row_scale = np.ones(codes.shape[0], np.float32)
        if outer.size:
            row_scale = scale_values(outer[segment[r]], fmt.scales[-1]).astype(np.float32)
        scales = (NO_CODES if inner is None else inner[r, groups(c, k)].reshape(-1), table, inner is None, row_scale)
        zero = NO_ZEROS if row_zero is None else row_zero[r]
        out = values[r, c].reshape(-1)
        fast.decode_rows(codes.reshape(-1), out, codes.shape[1], k, style, params, *scales, zero, tail)

    return task
