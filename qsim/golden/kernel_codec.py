"""Encoders, packers and whole chains of many cases by the kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.golden import kernel_sums
from qsim.golden.columns import from_values
from qsim.golden.kernel_sums import outer_scale
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.golden.unit_kernels import packed, values_of, words_of
from qsim.spec import Format

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Bytes = NDArray[np.uint8]


def encode(unit: Unit, given: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """Each row by itself."""
    assert unit.fmt is not None
    codes, scales = encoded(floats(unit, given, "input"), unit.fmt, options_of(unit, given, "", unit.fmt))
    taps = {"codes": codes} | {f"scale{i}": s for i, s in enumerate(scales)}
    words = words_of(codes, scales, unit.fmt, unit.k)
    return packed(unit, taps) | {"result": words}


def pack(unit: Unit, given: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """Words of codes and block scales."""
    assert unit.fmt is not None
    scales = [values_of(unit, given, f"scale{i}") for i in range(len(unit.fmt.block_scales))]
    return {"result": words_of(values_of(unit, given, "codes"), scales, unit.fmt, unit.k)}


def chain(unit: Unit, given: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """Both operands encoded, then the dot product of their words."""
    d = unit.datapath
    assert d is not None
    found: dict[str, Bytes] = {}
    tensor: list[Array] = []
    n = len(given["activation_input"])
    for side, fmt in zip(("activation", "weight"), formats(unit), strict=True):
        codes, scales = encoded(floats(unit, given, f"{side}_input"), fmt, options_of(unit, given, f"{side}_", fmt))
        blocks = len(fmt.block_scales)
        found[side] = words_of(codes, scales, fmt, unit.k)
        if fmt.block_scales:
            outer = {f"{side}_scale{i}": level for i, level in enumerate(scales[blocks:])}
            found |= {name: from_values(level, unit.port(name)) for name, level in outer.items()}
            tensor.append(outer_scale(unit, found, side, n))
        else:
            tensor.append(_plain_scale(fmt, scales, n))
    one = Unit("dot", d, None, unit.k, parameters=unit.parameters)
    if d.requantizer is not None:
        found |= _prepared(unit, given, tensor)
    inputs = {p.name: (found if p.name in found else given)[p.name] for p in one.inputs}
    return found | kernel_sums.dot(one, inputs)


def _plain_scale(fmt: Format, scales: list[Array], n: int) -> Array:
    """The one float scale of every row, 1 where there is none."""
    from qsim.codec.lower import float_values

    if not scales:
        return np.ones(n, np.float32)
    return np.asarray(float_values(scales[0][:, 0], fmt.scales[0].float_type), np.float32)


def _prepared(unit: Unit, given: Mapping[str, Bytes], scales: list[Array]) -> dict[str, Bytes]:
    """Rule Q4, case by case."""
    from qsim.datapath.multiplier import effective_scale, quantize
    from qsim.datapath.program import amounts
    from qsim.reference.block_dot import final_exponent

    assert unit.datapath is not None
    q = unit.datapath.requantizer
    assert q is not None
    out_scale = floats(unit, given, "out_scale")[:, 0]
    weight = scales[1]
    if unit.block is not None:
        weight = np.ldexp(weight, final_exponent(*formats(unit), unit.block))
    real = effective_scale(scales[0], weight, out_scale, q.prep.ratio)
    if q.prep.kind == "fixed":
        assert q.prep.shift is not None
        multiplier, exponent = quantize(np.asarray(real, np.float64), q.prep)
        values = {"multiplier": multiplier, "shift": amounts(q.prep.shift, exponent)}
        return {name: from_values(v[:, None], unit.port(name)) for name, v in values.items()}
    typed = np.asarray(real, np.float64 if q.prep.kind == "f64" else np.float32)
    return {"scale": from_values(typed[:, None], unit.port("scale"))}


def floats(unit: Unit, given: Mapping[str, Bytes], name: str) -> NDArray[np.float32]:
    """(n, count) float32 of a port."""
    return np.ascontiguousarray(values_of(unit, given, name)).view(np.float32)


def options_of(unit: Unit, given: Mapping[str, Bytes], prefix: str, fmt: Format) -> dict[str, Any]:
    """The codec's options, and as `random` the words of stochastic rounding, (n, k) (rule R2)."""
    name = f"{prefix}random"
    return unit.codec_options(fmt) | ({"random": values_of(unit, given, name)} if name in given else {})


def encoded(x: NDArray[np.float32], fmt: Format, options: dict[str, Any]) -> tuple[Array, list[Array]]:
    """Codes (n, k) and scale codes (n, groups) of each level; every row is a tensor of its own."""
    from qsim.codec import encode as encode_tensor

    shared = any(s.group == "tensor" for s in fmt.scales)
    if shared and fmt.granularity is None:
        words = options.pop("random", None)
        rows = [encode_tensor(r, fmt, random=None if words is None else words[i], **options) for i, r in enumerate(x)]
        levels = [np.stack([np.atleast_1d(q.scales[i]) for q in rows]) for i in range(len(fmt.scales))]
        return np.stack([q.codes for q in rows]).astype(np.int64), [level.reshape(len(x), -1) for level in levels]
    granularity = "channel" if shared or fmt.granularity == "channel" else fmt.granularity
    how: dict[str, Any] = {"granularity": granularity} if fmt.granularity is not None else {}
    q = encode_tensor(x, fmt, channel_axis=0, **how, **options)
    return q.codes.astype(np.int64), [s.reshape(len(x), -1) for s in q.scales]
