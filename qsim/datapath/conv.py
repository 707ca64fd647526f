"""`conv2d`: a convolution as a datapath computes it: windows are the rows of a product, accumulated, requantized (rule L1)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qsim.codec.qtensor import QTensor
from qsim.codec.threads import pieces
from qsim.datapath.datapaths import load_datapath
from qsim.datapath.matmul import Output, finish, integer_bias
from qsim.datapath.operands import Operand, check_format, check_range, zeros
from qsim.datapath.windows import LAYOUTS, Padding, Window, windows
from qsim.spec.datapath import MAX_INTEGER_BITS, Datapath
from qsim.spec.int_accumulator import IntAccumulator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: Elements of the matrix of windows that exists at once.
PATCHES = 1 << 22
AXES = {"NHWC": ("(N, H, W, C)", "(O, KH, KW, C / groups)"), "NCHW": ("(N, C, H, W)", "(O, C / groups, KH, KW)")}


class Convolution(NamedTuple):
    """Checked operands: `image` (N, H, W, C), padded; `kernel` (O, KH, KW, C / groups); `order` of the kernel's axes along K."""

    image: NDArray[Any]
    kernel: NDArray[Any]
    axes: tuple[Window, Window]
    groups: int
    order: tuple[int, int, int]
    a_zero: int
    w_zero: NDArray[np.int64]
    bias: NDArray[np.int64] | None


def conv2d(
    x: object,
    w: object,
    datapath: str | Path | Datapath,
    *,
    bias: ArrayLike | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    layout: str = "NHWC",
    a_zero_point: int = 0,
    w_zero_point: ArrayLike = 0,
    multiplier: ArrayLike | None = None,
    shift: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    out_scale: float | None = None,
    out_zero_point: ArrayLike = 0,
    thresholds: ArrayLike | None = None,
    clamp: tuple[int, int] | None = None,
    events: dict[str, int] | None = None,
) -> NDArray[Any]:
    """Convolve x with w as the datapath computes it, bit for bit. Padding holds the activation's zero point: it contributes 0.

    Args:
        x: integers, or a QTensor of an integer format with granularity "tensor": (N, H, W, C), or (N, C, H, W) for layout NCHW.
        w: the same for the weight: (O, KH, KW, C / groups), or (O, C / groups, KH, KW); a QTensor's channels are axis 0.
            `depthwise_weight` turns TFLite's depthwise weight into this shape.
        datapath: a name, a path or a Datapath, with an integer accumulator.
        bias: (O,), as in `matmul`.
        stride: one number or (vertical, horizontal).
        padding: "valid"; "same": ceil(size / stride) windows, the odd line below and right (TFLite SAME, ONNX SAME_UPPER); a
            number of lines on every side; or (top, bottom, left, right).
        dilation: distance of the taps, one number or (vertical, horizontal).
        groups: input channel c meets output channel o where c // (C / groups) = o // (O / groups); depthwise: groups = C.
        layout: "NHWC": products are summed over kh, kw, c, as TFLite does. "NCHW": over c, kh, kw, as PyTorch and ONNX name
            their axes. The order matters where a register saturates or is checked.
        a_zero_point: of integer arrays; a QTensor carries its own.
        w_zero_point: the same, one number or (O,).
        multiplier: what the requantizer's preset takes, with `shift`, or `scale` or `thresholds`: one number or (O,).
        shift: see multiplier.
        scale: see multiplier.
        thresholds: see multiplier.
        out_scale: instead of them, where both operands are QTensors, as in `matmul`.
        out_zero_point: zero point of the output.
        clamp: activation range (low, high) in output codes, see `activation_range`; default: the datapath's.
        events: filled with how often each register changed a value; the requantizer's are named requantizer.NAME.

    Returns:
        (N, OH, OW, O), or (N, O, OH, OW): output codes, or accumulators where the datapath does not requantize.

    Raises:
        ValueError: as `matmul`, and: groups that do not divide the channels, a window larger than the padded image. An overflow
            names its output [n, oh, ow, o] and k.
    """
    path = load_datapath(datapath)
    if not isinstance(path.accumulator, IntAccumulator):
        raise ValueError(f"{path.name} has no integer accumulator; allowed for conv2d: a datapath that has one (rule L1)")
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}; allowed: {', '.join(LAYOUTS)}")
    image = _operand(x, path, "activation", a_zero_point, layout)
    kernel = _operand(w, path, "weight", w_zero_point, layout)
    added = None if bias is None or path.accumulator.bias == "float" else integer_bias(bias, len(kernel.values))
    given = _convolution(image, kernel, stride, padding, dilation, groups, layout, added)
    found = None if events is None else dict.fromkeys(path.accumulator.registers, 0)
    sums = _accumulated(given, path.accumulator, found)
    output = Output(multiplier, shift, scale, out_scale, out_zero_point, thresholds, clamp)
    result = finish(sums, path, (image.scale, kernel.scale), bias, output, found)
    if events is not None and found is not None:
        events.clear()
        events.update(found)
    result = result.reshape(len(given.image), given.axes[0].out, given.axes[1].out, len(given.kernel))
    return result if layout == "NHWC" else np.ascontiguousarray(result.transpose(0, 3, 1, 2))


def depthwise_weight(w: ArrayLike) -> NDArray[Any]:
    """TFLite's depthwise weight (1, KH, KW, C * multiplier) as `conv2d` with groups = C takes it: (C * multiplier, KH, KW, 1)."""
    values = np.asarray(w)
    if values.ndim != 4 or len(values) != 1:
        raise ValueError(f"a depthwise weight of shape {values.shape}; allowed: (1, KH, KW, C * multiplier)")
    return np.ascontiguousarray(values.transpose(3, 1, 2, 0))


def _operand(x: object, datapath: Datapath, side: str, zero_point: object, layout: str) -> Operand:
    """A tensor of four axes, channels last, inside the datapath's format; with its zero point and scales."""
    fmt = datapath.activation if side == "activation" else datapath.weight
    scale = None
    if isinstance(x, QTensor):
        check_format(x, fmt, datapath, side)
        values, zero_point, scale = _parts(x, side, zero_point)
    else:
        values = np.asarray(x)
    if values.dtype.kind not in "iu":
        raise ValueError(f"{side} is {values.dtype}; allowed for {datapath.name}: integers, or a QTensor of an integer format")
    if values.ndim != 4:
        raise ValueError(f"{side} has shape {values.shape}; allowed: {AXES[layout][side == 'weight']}")
    what = fmt.name if fmt else f"{MAX_INTEGER_BITS}-bit integers"
    check_range(values, *datapath.operand_interval(side), f"{side}: {what}")
    zero = zeros(zero_point, side, len(values))
    check_range(zero, *datapath.operand_interval(side), f"{side[0]}_zero_point: {what}")
    return Operand(values if layout == "NHWC" else values.transpose(0, 2, 3, 1), zero, scale)


def _parts(q: QTensor, side: str, zero_point: object) -> tuple[NDArray[Any], object, NDArray[np.float64] | None]:
    """Integers, zero point and scale of a QTensor: one scale, or one an output channel of a weight."""
    from qsim.codec.lower import scale_values

    if q.format.element.is_float or q.format.block_scales:
        raise ValueError(f"{side} is {q.format.name}; allowed for conv2d: an integer format without block scales")
    if np.any(np.asarray(zero_point)):
        raise ValueError(f"{side}: a QTensor carries its zero point; allowed: no {side[0]}_zero_point beside it")
    if any(s.group == "channel" for s in q.format.scales) and (side == "activation" or q.geometry.channel_axis):
        allowed = "granularity='tensor'" if side == "activation" else "channel_axis=0"
        raise ValueError(f"{side}: scales one a channel of axis {q.geometry.channel_axis}; allowed: {allowed}")
    scale = None if not q.format.scales else np.asarray(scale_values(q.scales_moved[0], q.format.scales[0]), np.float64)
    return q.integers, 0 if q.zero_point is None else q.zero_point, scale


def _convolution(
    x: Operand,
    w: Operand,
    stride: int | Sequence[int],
    padding: Padding,
    dilation: int | Sequence[int],
    groups: int,
    layout: str,
    bias: NDArray[np.int64] | None,
) -> Convolution:
    """Check that the shapes fit, and pad the image."""
    channels, outputs, depth = x.values.shape[3], len(w.values), w.values.shape[3]
    if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1 or channels % groups or outputs % groups:
        raise ValueError(
            f"groups={groups!r}; allowed: a divisor of {channels} input channels and {outputs} output channels (rule L1)"
        )
    if depth * groups != channels:
        raise ValueError(
            f"weight of {depth} input channels, activation of {channels}, groups={groups}; allowed: a weight of"
            f" {channels // groups}, axis {3 if layout == 'NHWC' else 1} (rule L1)"
        )
    taps = w.values.shape[1:3]
    if min(taps) < 1:
        raise ValueError(f"weight of {taps[0]} x {taps[1]} taps; allowed: 1 or more")
    axes = windows(x.values.shape[1:3], taps, stride, dilation, padding)
    zero, info = int(x.zero), np.iinfo(x.values.dtype)
    image = x.values
    if any(axis.before or axis.after for axis in axes):
        if not info.min <= zero <= info.max:
            raise ValueError(
                f"a_zero_point={zero} with padding; allowed: {info.min} to {info.max}, as padding holds it (rule L2)"
            )
        image = np.pad(image, [(0, 0), *((axis.before, axis.after) for axis in axes), (0, 0)], constant_values=zero)
    order = (0, 1, 2) if layout == "NHWC" else (2, 0, 1)
    return Convolution(image, w.values, axes, groups, order, zero, np.broadcast_to(w.zero, (outputs,)), bias)


def _accumulated(given: Convolution, acc: IntAccumulator, events: dict[str, int] | None) -> NDArray[Any]:
    """(N * OH * OW, O) accumulators, in pieces of bounded size; adds to the events."""
    from qsim.datapath.accumulate import accumulate

    view, (vertical, horizontal) = _windows_of(given), given.axes
    outputs, (images, rows) = len(given.kernel), view.shape[:2]
    kernel = given.kernel.transpose(0, *(1 + a for a in given.order)).reshape(outputs, math.prod(given.kernel.shape[1:]))
    depth, each = given.image.shape[3] // given.groups, outputs // given.groups
    result = np.empty((images, rows, horizontal.out, outputs), "int32" if acc.last.bits <= 32 else "int64")
    counts: dict[str, int] | None = None if events is None else {}
    lines = max(PATCHES // max(horizontal.out * kernel.shape[1], 1), 1)
    for some, part in pieces(images, vertical.out, piece=lines):
        for g in range(given.groups):
            block = view[some, part, :, :, :, g * depth : (g + 1) * depth]
            patches = block.transpose(0, 1, 2, *(3 + a for a in given.order)).reshape(math.prod(block.shape[:3]), -1)
            channels = slice(g * each, (g + 1) * each)
            zero, bias = given.w_zero[channels], None if given.bias is None else given.bias[channels]
            try:
                found = accumulate(patches, kernel[channels].T, acc, a_zero=given.a_zero, w_zero=zero, bias=bias, events=counts)
            except ValueError as error:
                raise _located(error, (some.start, part.start, channels.start), block.shape[:3]) from None
            if events is not None and counts is not None:
                events.update({name: events[name] + n for name, n in counts.items()})
            result[some, part, :, channels] = found.reshape(*block.shape[:3], each)
    return result.reshape(math.prod(result.shape[:3]), outputs)


def _windows_of(given: Convolution) -> NDArray[Any]:
    """A view of the image, (N, OH, OW, KH, KW, C)."""
    image, (v, h) = given.image, given.axes
    n, y, x, c = image.strides
    shape = (len(image), v.out, h.out, v.taps, h.taps, image.shape[3])
    strides = (n, y * v.stride, x * h.stride, y * v.dilation, x * h.dilation, c)
    return np.lib.stride_tricks.as_strided(image, shape, strides, writeable=False)


def _located(error: ValueError, start: tuple[int, int, int], shape: tuple[int, ...]) -> ValueError:
    """The error with output [m, o] of a piece as output [n, oh, ow, o] of the convolution."""

    def place(match: re.Match[str]) -> str:
        n, line, column = np.unravel_index(int(match[1]), shape)
        return f"output [{start[0] + n}, {start[1] + line}, {column}, {start[2] + int(match[2])}]"

    return ValueError(re.sub(r"output \[(\d+), (\d+)\]", place, str(error)))
