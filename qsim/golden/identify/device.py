"""A design that may stand behind a suite's ports, and what it gives in many cases at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.golden.cases.rest import refusal
from qsim.golden.columns import from_values, to_bytes, to_values
from qsim.golden.identify.arguments import ARGUMENTS, Arguments
from qsim.golden.unit import Port, Unit
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.differences import TEXTS, differences
from qsim.spec.float_accumulator import FloatAccumulator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Flags = NDArray[np.bool_]

REFUSALS = 64  # cases that are looked for one by one; where more are refused, the rest of their group counts as refused


@dataclass(frozen=True)
class Device(Unit):
    """A unit behind the ports of the suite's unit, `interface`. ignored: parameters that it does not look at."""

    interface: Unit | None = None
    ignored: tuple[str, ...] = ()

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """Its own taps and result; inputs as wide as the suite's."""
        from qsim.golden.ports import ports

        assert self.interface is not None
        given = {p.name: p for p in self.interface.inputs if p.name not in ARGUMENTS}
        return tuple(given.get(p.name, p) if p.role in ("operand", "parameter") else p for p in ports(self))

    @property
    def fits(self) -> bool:
        """Whether it takes what the suite gives; the requantizer's arguments are another matter."""
        assert self.interface is not None
        own, given = (
            {(p.name, p.bits) for p in unit.inputs if p.name not in ARGUMENTS or p.name == "acc"}
            for unit in (self, self.interface)
        )
        return {name for name, _ in own} == {name for name, _ in given} and (own == given or self.kind == "requantize")


@dataclass(frozen=True)
class Cases:
    """Inputs of many cases on the suite's ports: patterns as bytes, and the requantizer's arguments."""

    unit: Unit
    columns: Mapping[str, Bytes]
    arguments: Arguments

    def __len__(self) -> int:
        """Cases."""
        return len(next(iter(self.columns.values())))

    def inputs(self, case: int) -> dict[str, int]:
        """The patterns of one case."""
        return {name: int.from_bytes(data[case].tobytes(), "little") for name, data in self.columns.items()}


@dataclass(frozen=True)
class Given:
    """What a design gave: patterns of its outputs; rows of cases that it refuses hold zeros."""

    values: dict[str, Bytes]
    accepted: Flags


def columns_of(device: Device, cases: Cases) -> tuple[dict[str, Bytes], Flags] | None:
    """Its inputs for every case, and which of them its ports hold; None where it takes other arguments than the suite gives."""
    columns = dict(cases.columns)
    fit = np.ones(len(cases), bool)
    q = device.datapath.requantizer if device.datapath is not None else None
    if (
        q is not None
        and device.kind == "chain"
        and (q.prep.kind in ("one", "thresholds") or (q.prep.kind == "fixed" and not q.prep.shift))
    ):
        return None  # nothing says how its arguments follow from the scales
    if q is not None and device.kind != "chain":
        values = cases.arguments.of(q)
        if values is None:
            return None
        for name in ARGUMENTS:
            columns.pop(name, None)
        if device.kind == "requantize":
            values = values | {"acc": cases.arguments.values["acc"]}
        for name, found in values.items():
            columns[name], held = _column(found, device.port(name))
            fit &= held
        if "clamp_low" in columns:
            _cut_clamp(device, columns)
    for name in device.ignored:
        if name in columns:
            port = device.port(name)
            columns[name] = to_bytes([_rest(device, name)] * len(cases), port)
    return columns, fit


def _cut_clamp(device: Device, columns: dict[str, Bytes]) -> None:
    """A clamp is no wider than the design's output."""
    out, d = device.out_format, device.datapath
    assert out is not None
    assert d is not None
    assert d.requantizer is not None
    low, high = d.requantizer.output.resolved(out.element.bits, out.element.qmin < 0).range
    for name in ("clamp_low", "clamp_high"):
        port = device.port(name)
        values = to_values(columns[name], port.width, 1, True)
        columns[name] = from_values(np.clip(values, low, high), port)


def _rest(device: Device, name: str) -> int:
    """A parameter that nobody looks at: 0, or no clamp."""
    out = device.out_format
    if out is not None and name.startswith("clamp"):
        return device.port(name).join([out.element.qmin if name == "clamp_low" else out.element.qmax])
    return 0


def _column(values: list[int], port: Port) -> tuple[Bytes, Flags]:
    low, high = (-(1 << (port.width - 1)), (1 << (port.width - 1)) - 1) if port.kind == "signed" else (0, (1 << port.width) - 1)
    held = np.array([low <= v <= high for v in values], bool)
    mask = (1 << port.width) - 1
    return to_bytes([v & mask if ok else 0 for v, ok in zip(values, held.tolist(), strict=True)], port), held


def run(device: Device, cases: Cases) -> Given | None:
    """What it gives; None where it takes other arguments than the suite gives."""
    found = columns_of(device, cases)
    if found is None:
        return None
    columns, accepted = found
    values = {p.name: np.zeros((len(cases), -(-p.bits // 8)), np.uint8) for p in device.outputs}
    budget = [REFUSALS]
    _fill(device, columns, np.flatnonzero(accepted), values, accepted, budget)
    return Given(values, accepted)


def _fill(
    device: Device,
    columns: Mapping[str, Bytes],
    rows: NDArray[np.int64],
    values: dict[str, Bytes],
    accepted: Flags,
    budget: list[int],
) -> None:
    """Compute the rows; what is refused is found by the domains, then by halves."""
    from qsim.golden.unit_kernels import evaluate_bytes

    if not len(rows):
        return
    try:
        for name, data in evaluate_bytes(device, {p.name: columns[p.name][rows] for p in device.inputs}).items():
            values[name][rows] = data
    except (ValueError, OverflowError):
        budget[0] -= 1
        if len(rows) == 1 or budget[0] < 0:
            accepted[rows] = False
            return
        kept = np.array([i for i in rows.tolist() if not _refused(device, columns, i)], np.int64)
        if len(kept) < len(rows):
            accepted[np.setdiff1d(rows, kept)] = False
            _fill(device, columns, kept, values, accepted, budget)
            return
        half = len(rows) // 2
        _fill(device, columns, rows[:half], values, accepted, budget)
        _fill(device, columns, rows[half:], values, accepted, budget)


def _refused(device: Device, columns: Mapping[str, Bytes], row: int) -> str:
    inputs = {p.name: int.from_bytes(columns[p.name][row].tobytes(), "little") for p in device.inputs}
    return refusal(device, inputs, device.port("acc").split(inputs["acc"])[0] if "acc" in inputs else None)


def fitted(data: Bytes, own: Port, port: Port) -> Bytes | None:
    """Values of a design's port on the suite's port of that name: cut or extended by their sign; None for other things."""
    if (own.width, own.count) == (port.width, port.count):
        return data
    if own.count != port.count or max(own.width, port.width) > 64 or "word" in (own.kind, port.kind):
        return None
    return from_values(to_values(data, own.width, own.count, own.kind == "signed"), port)


def facts(device: Device, stated: bool) -> str:
    """Everything that its outputs depend on: two designs of the same text are the same by definition.

    stated: the scales of input, weight and output are known, so that the preparation of the multiplier counts.
    """
    d, kinds = device.datapath, (device.kind, device.k, device.m, device.n, sorted(device.options), device.ignored)
    if d is None:
        return repr(kinds)
    q = d.requantizer
    steps: Any = None
    if q is not None:
        prep = q.prep if stated or device.kind == "chain" else (q.prep.kind, q.prep.bits, q.prep.reduce, q.prep.shift)
        steps = (prep, q.before, q.steps, q.zero_point, q.zero_add, q.clamp_first, q.output, d.out_format, d.clamp)
    acc: Any = d.accumulator
    operand = d.activation.name if d.activation else ""
    if isinstance(acc, FloatAccumulator):
        acc = _sums(acc, operand)
    elif isinstance(acc, BlockAccumulator) and acc.unit is not None:
        own = {name: value for name, value in vars(acc).items() if name != "unit"}
        acc = (own, _sums(acc.unit, None))
    formats = [(f.name, f.element, f.scales, f.layout) for f in (d.activation, d.weight) if f is not None]
    return repr((kinds, None if device.kind == "requantize" else (acc, formats), steps, d.layout))


def distance(base: Device, device: Device) -> int:
    """In how many settings two designs differ; a width counts twice, as the suite's ports state it."""
    options = ({*base.options} ^ {*device.options}) if base.options != device.options else ()
    found = differences(base.datapath, device.datapath)
    return len(found) + sum(key.endswith("bits") for key in found) + len({name for name, _ in options})


def _sums(acc: FloatAccumulator, operand: str | None) -> Any:
    return {k: v for k, v in vars(acc).items() if k not in TEXTS}, acc.nfma(operand) if operand else None
