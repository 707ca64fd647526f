"""Hypothesis strategies: inputs that bite, formats, options."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from qsim.spec import Format, format_names, load_format
from qsim.spec.options import CHOICES, allowed_values

NAMES = format_names()


def float32_bits(*, finite: bool = True) -> st.SearchStrategy[int]:
    """Bit patterns by kind: near powers of two, ties of short significands, zeros, subnormals, the top of the range, anything."""
    sign = st.sampled_from([0, 1 << 31])
    field = st.one_of(st.integers(120, 134), st.integers(1, 254), st.sampled_from([1, 2, 3, 30, 253, 254]))
    fraction = st.one_of(
        st.sampled_from([0, 1, 0x7FFFFF, 0x7FFFFE, 0x400000, 0x3FFFFF, 0x400001, 0x600000, 0x555555, 0x2AAAAB]),
        st.integers(0, 255).map(lambda k: k << 15),
        st.integers(0, 255).map(lambda k: (k << 15) + 1),
        st.integers(0, 0x7FFFFF),
    )
    normal = st.builds(lambda s, e, f: s | e << 23 | f, sign, field, fraction)
    zero = sign
    subnormal = st.builds(lambda s, f: s | f, sign, st.one_of(st.integers(0, 8), st.integers(0, 0x7FFFFF)))
    kinds = [normal, normal, normal, zero, subnormal]
    if not finite:
        kinds.append(st.sampled_from([0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001]))
    return st.one_of(kinds)


@st.composite
def arrays(draw: Any, *, finite: bool = True, max_size: int = 64) -> np.ndarray:
    """A float32 array of 0 to 3 dimensions, often of one binade so that ties and carries meet, with odd and empty shapes."""
    shape = draw(
        st.one_of(
            st.sampled_from([(), (0,), (1,), (16,), (17,), (33,), (2, 16), (3, 32), (0, 5), (5, 0), (2, 3, 7), (2, 2, 16)]),
            st.lists(st.integers(1, 40), min_size=1, max_size=2).map(tuple),
        )
    )
    size = int(np.prod(shape))
    if size > max_size:
        shape, size = (max_size,), max_size
    bits = draw(st.lists(float32_bits(finite=finite), min_size=size, max_size=size))
    array = np.array(bits, dtype=np.uint32).view(np.float32).reshape(shape)
    if size and draw(st.booleans()):  # one narrow range, so that most elements are neither zero nor saturated
        field = draw(st.integers(100, 150))
        u = array.view(np.uint32)
        narrow = (u & 0x807FFFFF) | (np.uint32(field) + (u >> 23 & 3)) << 23
        keep = (u & 0x7F800000 == 0) | (u & 0x7F800000 == 0x7F800000)
        array = np.where(keep, u, narrow).astype(np.uint32).view(np.float32)
    return array


@st.composite
def format_options(draw: Any, fmt: Format, *, rounding: str | None = None) -> dict[str, Any]:
    """Any allowed combination of the options that apply to a format."""
    options = {}
    for name in CHOICES:
        allowed = allowed_values(name, fmt)
        if allowed:
            options[name] = draw(st.sampled_from(allowed))
    if rounding is not None:
        options["rounding"] = rounding
    return options


@st.composite
def geometries(draw: Any, fmt: Format, shape: tuple[int, ...]) -> dict[str, Any]:
    """axis, channel_axis and granularity that a format allows for a shape."""
    ndim = max(len(shape), 1)
    axis = draw(st.integers(0, ndim - 1))
    channel = draw(st.integers(0, ndim - 1))
    out: dict[str, Any] = {"axis": axis, "channel_axis": channel}
    if fmt.granularity is not None:
        out["granularity"] = draw(st.sampled_from([None, "tensor", "channel", 1, 3, 16, 32]))
    if fmt.family == "vsq" and axis == channel and ndim > 1:
        out["channel_axis"] = (axis + 1) % ndim
    return out


def formats(*families: str) -> st.SearchStrategy[Format]:
    """Catalogue formats, of the families named."""
    return st.sampled_from([f for f in map(load_format, NAMES) if not families or f.family in families])
