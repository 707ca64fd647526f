"""A device's outputs beside a suite's cases, and how far a design agrees with them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.golden.columns import to_bytes
from qsim.golden.identify.arguments import ARGUMENTS, Arguments
from qsim.golden.identify.device import Cases, Device, Given, fitted
from qsim.golden.outputs import Outputs
from qsim.golden.suite import Suite
from qsim.golden.unit import Unit
from qsim.golden.verify import align

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Flags = NDArray[np.bool_]


class Target:
    """A device's outputs beside the suite's cases."""

    def __init__(self, outputs: Outputs, suite: Suite, scales: tuple[Any, Any, Any] | None = None) -> None:
        """scales: float32 scales of input, weight, output of every case, if they are known."""
        self.suite, unit = suite, suite.unit
        ids = np.array([case.id for case in suite.cases], np.int64)
        self.cases = cases_of(unit, [case.values for case in suite.cases], scales)
        self.present = np.ones(len(ids), bool)
        self.got: dict[str, Bytes] = {}
        self.hidden: dict[str, Bytes] = {}
        for port in unit.outputs:
            column = outputs.columns.get(port.name)
            if column is None:
                continue
            rows, _ = align(column, ids)
            size = -(-port.bits // 8)
            words = (
                np.ascontiguousarray(column.words).view(np.uint8)[:, :size]
                if len(column.words)
                else np.zeros((1, size), np.uint8)
            )
            self.got[port.name] = np.ascontiguousarray(words[np.maximum(rows, 0)])
            self.present &= rows >= 0
            if column.unknown is not None:  # X and Z agree with nothing
                self.present &= ~np.asarray(column.unknown[np.maximum(rows, 0)].any(axis=1))
            masks = [case.masks.get(port.name, 0) for case in suite.cases]
            if any(masks):
                self.hidden[port.name] = to_bytes(masks, port)
        if not self.got:
            raise ValueError(f"{outputs.source}: no output of the suite; allowed: {', '.join(p.name for p in unit.outputs)}")

    def compare(self, device: Device, given: Given) -> tuple[Flags, str, int]:
        """Which cases agree; a text that equals that of another design if both gave the same; how many ports were compared."""
        right = self.present & given.accepted
        digest = hashlib.sha256(given.accepted.tobytes())
        own_steps, steps = (
            [(p.name, p.count) for p in u.outputs if p.name.startswith("requantizer.")] for u in (device, self.suite.unit)
        )
        ports = 0
        for name, got in self.got.items():
            if name.startswith("requantizer.") and own_steps != steps:
                continue  # another structure: its steps are other registers
            own = next((p for p in device.outputs if p.name == name), None)
            data = fitted(given.values[name], own, self.suite.unit.port(name)) if own is not None else None
            if data is None:
                continue
            difference = got ^ data
            if name in self.hidden:
                difference &= ~self.hidden[name]
            right &= ~difference.any(axis=1)
            ports += 1
            digest.update(name.encode() + data.tobytes())
        return right if ports else np.zeros_like(right), digest.hexdigest() + right.tobytes().hex(), ports


def cases_of(unit: Unit, values: Sequence[dict[str, int]], scales: tuple[Any, Any, Any] | None = None) -> Cases:
    """Inputs of cases as columns."""
    patterns = {p.name: [v[p.name] for v in values] for p in unit.inputs}
    q = unit.datapath.requantizer if unit.datapath is not None else None
    given = {name: [unit.port(name).split(v)[0] for v in patterns[name]] for name in ARGUMENTS if name in patterns}
    columns = {p.name: to_bytes(patterns[p.name], p) for p in unit.inputs}
    return Cases(unit, columns, Arguments(q, given, scales))


def part(cases: Cases, rows: NDArray[np.int64]) -> Cases:
    """Some of the cases."""
    chosen, a = rows.tolist(), cases.arguments
    stated = None if a.stated is None else tuple(np.asarray(s)[rows] for s in a.stated)
    values = {name: [v[i] for i in chosen] for name, v in a.values.items()}
    return Cases(cases.unit, {name: c[rows] for name, c in cases.columns.items()}, Arguments(a.own, values, stated))  # type: ignore[arg-type]


def rows_of(target: Target, rows: NDArray[np.int64]) -> Target:
    """The target of some cases."""
    small = object.__new__(Target)
    small.suite, small.cases = target.suite, part(target.cases, rows)
    small.present = target.present[rows]
    small.got, small.hidden = ({name: data[rows] for name, data in d.items()} for d in (target.got, target.hidden))
    return small
