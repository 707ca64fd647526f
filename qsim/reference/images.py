"""Convolutions and pools (rules L1 to L4), plain loops over Python ints. An image is [row][column][channel], outputs are, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from qsim.reference.int_dot import dot
from qsim.reference.numbers import round_to_integer
from qsim.spec.int_accumulator import IntAccumulator

Image = Sequence[Sequence[Sequence[int]]]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # top, bottom, left, right


def same_pads(size: Pair, taps: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Pads:
    """As many windows as ceil(size / stride); an odd line of padding goes below and right."""
    pads: list[int] = []
    for n, k, s, d in zip(size, taps, stride, dilation, strict=True):
        windows = (n + s - 1) // s
        missing = max((windows - 1) * s + (k - 1) * d + 1 - n, 0)
        pads += [missing // 2, missing - missing // 2]
    return pads[0], pads[1], pads[2], pads[3]


def corners(size: Pair, taps: Pair, stride: Pair, dilation: Pair, pads: Pads) -> tuple[range, range]:
    """Rows and columns, on the image, of the first tap of every window."""
    rows, columns = (range(-pads[2 * i], size[i] + pads[2 * i + 1] - (taps[i] - 1) * dilation[i], stride[i]) for i in range(2))
    return rows, columns


def taps_of(row: int, column: int, taps: Pair, dilation: Pair) -> Iterator[Pair]:
    """Positions of one window's taps, rows first."""
    for i in range(taps[0]):
        for j in range(taps[1]):
            yield row + i * dilation[0], column + j * dilation[1]


def pixel(image: Image, row: int, column: int) -> Sequence[int] | None:
    """The channels of a position, None beside the image."""
    inside = 0 <= row < len(image) and 0 <= column < len(image[0])
    return image[row][column] if inside else None


def conv2d(
    image: Image,
    kernels: Sequence[Image],
    acc: IntAccumulator,
    *,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    groups: int = 1,
    channels_first: bool = False,
    a_zero: int = 0,
    w_zero: Sequence[int] = (0,),
    bias: Sequence[int] = (0,),
) -> tuple[list[list[list[int]]], dict[str, int]]:
    """Accumulators of one image with kernels[o][row][column][channel of the group], and the events.

    K runs over (row, column, channel), with channels_first over (channel, row, column). w_zero and bias: one, or one a kernel.
    """
    taps, depth = (len(kernels[0]), len(kernels[0][0])), len(kernels[0][0][0])
    rows, columns = corners((len(image), len(image[0])), taps, stride, dilation, pads)
    events = dict.fromkeys(acc.registers, 0)

    def output(row: int, column: int, o: int) -> int:
        first = o // (len(kernels) // groups) * depth
        window = [pixel(image, *place) for place in taps_of(row, column, taps, dilation)]
        a = [[a_zero] * depth if p is None else list(p[first : first + depth]) for p in window]
        w = [list(kernels[o][i][j]) for i in range(taps[0]) for j in range(taps[1])]
        found = dot(
            ordered(a, channels_first), ordered(w, channels_first), acc,
            a_zero=a_zero, w_zero=w_zero[o % len(w_zero)], bias=bias[o % len(bias)],
        )  # fmt: skip
        for name, count in found.events.items():
            events[name] += count
        return found.value

    return [[[output(row, column, o) for o in range(len(kernels))] for column in columns] for row in rows], events


def ordered(taps: Sequence[Sequence[int]], channels_first: bool) -> list[int]:
    """[tap][channel] as one row, taps or channels first."""
    if channels_first:
        return [tap[c] for c in range(len(taps[0])) for tap in taps]
    return [value for tap in taps for value in tap]


def pool2d(
    image: Image, taps: Pair, *, stride: Pair, pads: Pads = (0, 0, 0, 0), rounding: str | None = "half_away", zero: int = 0
) -> list[list[list[int]]]:
    """Means of the codes on the image minus zero, by a rounding or "tosa"; with None their largest code."""
    rows, columns = corners((len(image), len(image[0])), taps, stride, (1, 1), pads)

    def output(row: int, column: int, c: int) -> int:
        window = [p[c] for place in taps_of(row, column, taps, (1, 1)) if (p := pixel(image, *place)) is not None]
        if rounding is None:
            return max(window)
        total = sum(window) - zero * len(window)
        return tosa_mean(total, len(window)) if rounding == "tosa" else round_to_integer(Fraction(total, len(window)), rounding)

    return [[[output(row, column, c) for c in range(len(image[0][0]))] for column in columns] for row in rows]


def tosa_mean(total: int, count: int) -> int:
    """TOSA AVG_POOL2D: a reciprocal of 30 bits or more, one rounding half_up."""
    k = (count - 1).bit_length()
    return round_to_integer(Fraction(total * (((1 << 30) + 1 << k) // count), 1 << (30 + k)), "half_up")
