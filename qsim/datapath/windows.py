"""Where the windows of a convolution or a pool lie on the image: one axis at a time (rule L2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Padding = str | int | Sequence[int]
LAYOUTS = ("NHWC", "NCHW")


@dataclass(frozen=True)
class Window:
    """The windows along one axis of `size`: tap t of window o lies at o * stride + t * dilation - before."""

    size: int
    taps: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def span(self) -> int:
        """From the first tap to the last."""
        return (self.taps - 1) * self.dilation + 1

    @property
    def out(self) -> int:
        """How many windows fit the padded axis."""
        return (self.before + self.size + self.after - self.span) // self.stride + 1


def windows(
    size: tuple[int, int], taps: tuple[int, int], stride: int | Sequence[int], dilation: int | Sequence[int], padding: Padding
) -> tuple[Window, Window]:
    """The vertical and the horizontal axis.

    padding: `valid`: none. `same`: ceil(size / stride) windows, the odd one below and right (TFLite SAME, ONNX SAME_UPPER). A
    number, for all sides. (top, bottom, left, right).
    """
    taps, strides, dilations = _pair("taps", taps), _pair("stride", stride), _pair("dilation", dilation)
    pads = _pads(padding)
    made = []
    for axis, name in enumerate(("height", "width")):
        n, k, s, d = size[axis], taps[axis], strides[axis], dilations[axis]
        span = (k - 1) * d + 1
        total = max((-(-n // s) - 1) * s + span - n, 0)
        before, after = (total // 2, total - total // 2) if pads is None else pads[2 * axis : 2 * axis + 2]
        if n < 1 or before + n + after < span:
            raise ValueError(
                f"a window of {span} (taps {k}, dilation {d}) on a {name} of {before} + {n} + {after};"
                " allowed: windows that fit (rule L2)"
            )
        made.append(Window(n, k, s, d, before, after))
    return made[0], made[1]


def _pair(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    if len(pair) != 2 or any(not isinstance(v, int) or isinstance(v, bool) or v < 1 for v in pair):
        raise ValueError(f"{name}={value!r}; allowed: an integer of 1 or more, or two of them (vertical, horizontal) (rule L2)")
    return pair[0], pair[1]


def _pads(padding: Padding) -> tuple[int, ...] | None:
    """(top, bottom, left, right), None for `same`."""
    if padding in ("same", "valid"):
        return None if padding == "same" else (0, 0, 0, 0)
    pads = (padding,) * 4 if isinstance(padding, int) else padding
    if (
        isinstance(pads, str)
        or not isinstance(pads, Sequence)
        or len(pads) != 4
        or any(not isinstance(p, int) or isinstance(p, bool) or p < 0 for p in pads)
    ):
        raise ValueError(
            f"padding={padding!r}; allowed: 'valid', 'same', an integer of 0 or more, or (top, bottom, left, right) (rule L2)"
        )
    return tuple(int(p) for p in pads)
