"""Dot products, tiles and requantization of many cases by the kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.golden.unit_kernels import codes_of, packed, scalar, values_of
from qsim.spec import Format
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Requantizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Bytes = NDArray[np.uint8]

ROWS = 1 << 13  # cases of a piece


def dot(unit: Unit, given: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """Case i is row i of the activations with row i of the weights."""
    if unit.block is not None:
        found, acc = _block(unit, given)
        return found if unit.out_format is None else found | packed(unit, _requantized(unit, given, acc))
    a, w = (codes_of(unit, given, side, fmt) for side, fmt in zip(("activation", "weight"), formats(unit), strict=True))
    if unit.float is not None:
        return packed(unit, _float(unit, given, [a, w]))
    values = _integer(unit, given, [a, w])
    result = {"result": values["accumulator"]} if unit.out_format is None else {}
    return packed(unit, values | (result or _requantized(unit, given, values["accumulator"][:, 0])))


def matmul(unit: Unit, given: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """m * n dot products a case."""
    from qsim.golden.cases.tiles import one_output
    from qsim.golden.columns import from_values, to_values

    one, (m, n) = one_output(unit), (unit.m, unit.n)
    expanded: dict[str, Bytes] = {}
    for port in one.inputs:
        data = given[port.name]
        if not port.name.startswith(("activation", "weight")):
            expanded[port.name] = np.repeat(data, m * n, axis=0)
            continue
        times = m if port.name.startswith("activation") else n
        bits = np.unpackbits(data, axis=1, count=times * port.bits, bitorder="little").reshape(len(data), times, port.bits)
        rows = np.packbits(bits, axis=2, bitorder="little")
        which = np.repeat(np.arange(m), n) if port.name.startswith("activation") else np.tile(np.arange(n), m)
        expanded[port.name] = rows[:, which].reshape(len(data) * m * n, -1)
    width = one.port("result").width
    results = to_values(dot(one, expanded)["result"], width, 1, False).reshape(-1, m * n)
    return {"result": from_values(results, unit.port("result"))}


def requantize_acc(unit: Unit, given: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """One accumulator a case."""
    return packed(unit, _requantized(unit, given, scalar(unit, given, "acc")))


def _element_integers(fmt: Format, codes: Array) -> Array:
    """Signed integers of codes."""
    if fmt.element.kind == "int" and fmt.element.bits == 8:
        return codes.astype(np.uint8).view(np.int8)
    from qsim.codec.decode import code_integers

    return np.asarray(code_integers(codes.astype(_dtype(fmt.element.bits)), fmt))


def _dtype(bits: int) -> Any:
    from qsim.codec.qtensor import unsigned_dtype

    return unsigned_dtype(bits)


def _integer(unit: Unit, given: Mapping[str, Bytes], codes: list[Array]) -> dict[str, Array]:
    """Rule A1, row by row."""
    from qsim.datapath.accumulate import lower, tap_sizes
    from qsim.kernels.int_dot import REGISTERS
    from qsim.kernels.rows import trace_rows

    acc, k = unit.integer, unit.k
    assert acc is not None
    a, w = (_element_integers(fmt, c) for fmt, c in zip(formats(unit), codes, strict=True))
    za, zw, bias = (scalar(unit, given, name)[:, None] for name in ("a_zero_point", "w_zero_point", "bias"))
    n = len(a)
    none = np.zeros((n, 1), np.int64)
    correction = none
    if za.any() or zw.any():
        if acc.zero_points == "before":
            a, w = a - za, w - zw
        else:
            rows = [side.sum(1, dtype=np.int64, keepdims=True) for side in (a, w)]
            correction = k * za * zw - za * rows[1] - zw * rows[0]
    if acc.zero_points == "folded":
        bias, correction = bias + correction, none
    start, last = (bias, none) if acc.bias == "first" else (none, bias)
    low, high = acc.register.range
    if _plain(acc) and low <= start.min(initial=0) and start.max(initial=0) <= high:  # a wider bias is narrowed first
        return _plain_sums(acc, a, w, start, last)
    taps = {name: np.empty((n, 1, *size), np.int64) for name, size in tap_sizes(acc, k).items()}
    s = lower(acc)
    a, w = (np.ascontiguousarray(side, np.int32 if side.dtype.itemsize < 8 else np.int64) for side in (a, w))

    def task(_: slice, r: slice) -> int:
        events = np.zeros(len(REGISTERS), np.int64)
        first = trace_rows(a[r], w[r], start[r], correction[r], last[r], s, tuple(t[r] for t in taps.values()), events)
        return int(r.start + first if first >= 0 else -1)

    failed = [i for i in run(task, pieces(1, n, piece=ROWS)) if i >= 0]
    if failed:
        raise ValueError(f"case {min(failed)}: a register with overflow = 'error' overflowed (rule A1)")
    return {name: tap.reshape(n, -1) for name, tap in taps.items()}


def _plain(acc: IntAccumulator) -> bool:
    """Whether products are added one by one to the accumulator, nothing else on the way."""
    return acc.order == "sequential" and acc.lanes == 1 and not acc.product and not acc.lane and acc.zero_points != "after"


def _plain_sums(acc: IntAccumulator, a: Array, w: Array, start: Array, last: Array) -> dict[str, Array]:
    """The common case, in a kernel of its own."""
    from qsim.kernels.requantize import NARROWS
    from qsim.kernels.rows import sum_rows

    n, k = a.shape
    register = NARROWS[acc.overflow], *acc.register.range
    small = int(np.abs(a.astype(np.int64)).max(initial=0)) * int(np.abs(w.astype(np.int64)).max(initial=0)) < 1 << 31
    products, sums = np.empty((n, k), np.int32 if small else np.int64), np.empty((n, k), np.int32 if acc.bits <= 32 else np.int64)
    total = np.empty((n, 1), np.int64)

    def task(_: slice, r: slice) -> int:
        first = sum_rows(a[r], w[r], start[r], last[r], *register, products[r], sums[r], total[r])
        return int(r.start + first if first >= 0 else -1)

    failed = [i for i in run(task, pieces(1, n, piece=ROWS)) if i >= 0]
    if failed:
        raise ValueError(f"case {min(failed)}: a register with overflow = 'error' overflowed (rule A1)")
    return {"products": products, "lane_sums": products, "partial_sums": sums, "accumulator": total}


def _float(unit: Unit, given: Mapping[str, Bytes], codes: list[Array]) -> dict[str, Array]:
    """Rule A3: `dot_taps` takes rows."""
    from qsim.codec.lower import element_table
    from qsim.datapath.dot import dot_taps

    assert unit.float is not None
    rows = [element_table(fmt.element, "float32")[c].astype(np.float32) for fmt, c in zip(formats(unit), codes, strict=True)]
    bias = scalar(unit, given, "bias").astype(np.uint32).view(np.float32)
    names = (formats(unit)[0].name, formats(unit)[1].name)
    result, taps = dot_taps(rows[0], rows[1], bias, unit.float, operand=names)
    return {name: tap.reshape(len(result), -1) for name, tap in taps.items()} | {"result": result[:, None]}


def _block(unit: Unit, given: Mapping[str, Bytes]) -> tuple[dict[str, Bytes], Array]:
    """Rule A2."""
    from qsim.golden.kernel_blocks import block_dots

    n = len(given["activation"])
    activation, weight = (outer_scale(unit, given, side, n) for side in ("activation", "weight"))
    bias = scalar(unit, given, "bias").astype(np.uint32).view(np.float32)
    return block_dots(unit, given, (activation, weight), bias)


def outer_scale(unit: Unit, given: Mapping[str, Bytes], side: str, n: int) -> Array:
    """The channel or tensor scale of every case, float32."""
    from qsim.codec.lower import float_values

    fmt = formats(unit)[0 if side == "activation" else 1]
    names = [name for name in (p.name for p in unit.ports) if name.startswith(f"{side}_scale") and name in given]
    levels = [s for s in fmt.scales if not isinstance(s.group, int)]
    if not names:
        return np.ones(n, np.float32)
    values = float_values(scalar(unit, given, names[0]).astype(_dtype(levels[0].bits)), levels[0].float_type)
    if not np.isfinite(values).all():
        raise ValueError(f"{side}: a {levels[0].group} scale of {fmt.name} is no number; allowed: finite (rule A2)")
    return np.asarray(values, np.float32)


def _requantized(unit: Unit, given: Mapping[str, Bytes], acc: Array) -> dict[str, Array]:
    """The requantizer's taps and the result, a clamp a case."""
    from qsim.datapath.requantize import requantize_taps

    d, n = unit.datapath, len(acc)
    assert d is not None
    q, out = d.requantizer, unit.out_format
    assert q is not None
    assert out is not None
    arguments: dict[str, Any] = {name: scalar(unit, given, name) for name in ("multiplier", "shift") if name in given}
    if "scale" in given:
        port = unit.port("scale")
        arguments["scale"] = np.ascontiguousarray(values_of(unit, given, "scale")[:, 0]).view(f"f{port.width // 8}")
    if "out_zero_point" in given:
        arguments["zero_point"] = scalar(unit, given, "out_zero_point")
    output = q.output.resolved(out.element.bits, out.element.qmin < 0)
    limits = d.clamp or output.range
    low, high = (np.full(n, edge, np.int64) for edge in limits)
    if "clamp_low" in given:
        low, high = scalar(unit, given, "clamp_low"), scalar(unit, given, "clamp_high")
        bad = np.flatnonzero((low > high) | (low < output.range[0]) | (high > output.range[1]))
        if bad.size:
            i = int(bad[0])
            raise ValueError(
                f"case {i}: clamp ({low[i]}, {high[i]}); allowed: {output.range[0]} <= low <= high <= {output.range[1]} (Q1)"
            )
    clamped = "clamp_low" in given or d.clamp is not None
    if q.clamp_first and clamped:
        return _by_clamp(unit, q, acc, arguments, low, high)
    result, taps, _ = requantize_taps(acc, q, out_format=d.out_format, **arguments)
    found = {f"requantizer.{name}": tap[:, None] for name, tap in taps.items()}
    if clamped:
        kept = np.clip(taps["clamped"], low, high)
        found["requantizer.clamped"] = kept[:, None]
        result = kept
    return found | {"result": np.asarray(result, np.int64)[:, None]}


def _by_clamp(unit: Unit, q: Requantizer, acc: Array, arguments: dict[str, Any], low: Array, high: Array) -> dict[str, Array]:
    """A clamp that comes before the rounding: cases of equal clamps together."""
    from qsim.datapath.requantize import requantize_taps

    assert unit.datapath is not None
    found: dict[str, Array] = {}
    for pair in sorted(set(zip(low.tolist(), high.tolist(), strict=True))):
        own = np.flatnonzero((low == pair[0]) & (high == pair[1]))
        some = {name: value[own] for name, value in arguments.items()}
        result, taps, _ = requantize_taps(acc[own], q, out_format=unit.datapath.out_format, clamp=pair, **some)
        parts = {f"requantizer.{name}": tap for name, tap in taps.items()} | {"result": np.asarray(result, np.int64)}
        for name, part in parts.items():
            found.setdefault(name, np.zeros((len(acc), 1), part.dtype))[own, 0] = part
    return found
