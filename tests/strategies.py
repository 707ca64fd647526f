"""Hypothesis strategies: inputs that bite, formats, options."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from qsim.spec import Format, format_names, load_format
from qsim.spec.format import FAMILIES
from qsim.spec.int_accumulator import ADD_OVERFLOWS, BIASES, ORDERS, ZERO_POINT_PLACES, IntAccumulator
from qsim.spec.load import parse_format
from qsim.spec.options import CHOICES, allowed_values
from qsim.spec.requantizer import STEP_ROUNDINGS, Amount, Narrow, Step

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


@st.composite
def user_formats(draw: Any) -> Format:
    """A format that no catalogue file states: any element and scale types, widths and groups that a user's file may combine."""
    family = draw(st.sampled_from(sorted(FAMILIES)))
    group = draw(st.sampled_from([1, 2, 3, 5, 16, 32, 48, "tensor", "channel"]))
    block = draw(st.sampled_from([2, 3, 6, 16, 32, 48]))
    float_scale = draw(st.sampled_from(["FP32", "FP16", "BF16", "E4M3"]))
    table: dict[str, Any] = {"name": f"user_{family}", "scale": []}
    if family in ("float", "ocp", "nvfp4"):
        exponent = draw(st.integers(1, 5 if family == "nvfp4" else 8))
        mantissa = draw(st.integers(1, 10))
        allowed = ["nan", "none"] if exponent < 2 else ["ieee"] if exponent == 8 else ["ieee", "nan", "none"]
        specials = draw(st.sampled_from(allowed))
        table["element"] = {"kind": "float", "exponent_bits": exponent, "mantissa_bits": mantissa, "specials": specials}
    else:
        kind = {"microexponent": "sign_magnitude", "binary": "binary", "ternary": "ternary"}.get(family, "int")
        table["element"] = {"kind": kind}
        if kind in ("int", "sign_magnitude"):
            table["element"]["bits"] = draw(st.integers(2, 16))
    if family == "ocp" and draw(st.booleans()):
        table["element"] = {"kind": "int", "bits": draw(st.integers(2, 16)), "lsb_exponent": draw(st.integers(-8, 2))}
    if family == "affine" and draw(st.booleans()):
        table["element"] = {"kind": "uint", "bits": draw(st.integers(1, 16))}
    if family in ("microexponent", "ocp"):
        table["scale"] = [{"type": "E8M0", "group": block}]
        if family == "microexponent" and draw(st.booleans()):
            table["scale"].insert(
                0, {"type": "E1M0", "group": draw(st.sampled_from([k for k in (1, 2, 3, 8) if block % k == 0 and k < block]))}
            )
    elif family == "vsq":
        outer = draw(st.sampled_from(["tensor", "channel"]))
        table["scale"] = [{"type": f"UINT{draw(st.integers(2, 8))}", "group": block}, {"type": float_scale, "group": outer}]
    elif family == "nvfp4":
        table["scale"] = [{"type": "E4M3", "group": block}, {"type": "FP32", "group": "tensor"}]
    elif family != "float":
        table["scale"] = [{"type": float_scale, "group": group}]
    table["zero_point"] = family == "affine"
    return parse_format(table)


@st.composite
def int_accumulators(draw: Any, *, most_bits: int = 40) -> IntAccumulator:
    """Any integer accumulator: widths from 2 bits on, orders, lanes, product steps, places of zero points and bias."""

    def register(bits: int = most_bits) -> Narrow:
        return Narrow(draw(st.integers(2, bits)), True, draw(st.sampled_from(ADD_OVERFLOWS)))

    order = draw(st.sampled_from(ORDERS))
    lanes = draw(st.sampled_from([1, 1, 2, 3, 4, 8]))
    fields: dict[str, Any] = {"order": order, "lanes": lanes, "zero_points": draw(st.sampled_from(ZERO_POINT_PLACES))}
    if order == "chunked":
        fields |= {"chunk": lanes * draw(st.integers(1, 4)), "spill": register() if draw(st.booleans()) else None}
    if draw(st.booleans()):
        fields["lane"] = register(draw(st.sampled_from([20, 20, 62])))
    fields["bias"] = draw(st.sampled_from(["last", "float"] if order == "tree" else BIASES))
    if fields["bias"] == "float" and fields["zero_points"] == "folded":
        fields["zero_points"] = "after"
    if fields["zero_points"] == "before" and draw(st.booleans()):
        kept = st.none() | st.integers(0, 6)
        narrow = register(draw(st.sampled_from([20, 20, 62]))) if draw(st.booleans()) else None
        fields["product"] = Step(Amount(draw(st.integers(0, 12))), draw(st.sampled_from(STEP_ROUNDINGS)), narrow, draw(kept))
    last = register()
    return IntAccumulator(last.bits, last.overflow, **fields)
