"""The [ports] table of a datapath file: how a bench is wired to a design, checked against a suite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qsim.golden.export.keywords import BENCH_NAMES, KEYWORDS
from qsim.golden.suite import Suite
from qsim.golden.unit import OPTIONAL, Port, Unit
from qsim.spec import SpecError
from qsim.spec.port_names import SETTINGS, SIGNALS

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
CLAMP = ("clamp_low", "clamp_high")
LATE = ("result", "multiplier", "shift", "scale")  # outputs that depend on scales and on the requantizer


@dataclass(frozen=True)
class Bench:
    """The design's module, its port for each port of the unit, and how it is clocked.

    zeros: ports of the design for parameters that the suite does not have; they are driven with 0.
    parameters: of the module. latency: clock cycles from operands to outputs; None with valid and ready, and without a clock.
    """

    module: str
    wires: dict[str, str]
    zeros: tuple[str, ...] = ()
    parameters: dict[str, int] = field(default_factory=dict)
    clock: str | None = None
    reset: str | None = None
    reset_low: bool = False
    latency: int | None = None
    in_valid: str | None = None
    in_ready: str | None = None
    out_valid: str | None = None
    out_ready: str | None = None

    def driven(self, unit: Unit) -> list[Port]:
        """The inputs that the design has."""
        return [port for port in unit.inputs if port.name in self.wires]

    def compared(self, unit: Unit) -> list[Port]:
        """The outputs that the design has."""
        return [port for port in unit.outputs if port.name in self.wires]


def parse_bench(suite: Suite, table: Mapping[str, Any], where: str = "ports") -> Bench:
    """Check a [ports] table against a suite; SpecError names the key, its value and what is allowed."""
    unit = suite.unit
    _check_settings(unit, table, where)
    names = {port.name for port in unit.ports}
    absent = {*OPTIONAL[:-1], *CLAMP} - names
    wires = {}
    for key, value in table.items():
        if key in SETTINGS and key not in SIGNALS and key != "module":
            continue
        if key not in names | absent | {*SIGNALS, "module"}:
            raise SpecError(f"{where}: unknown key {key!r}; allowed: {', '.join((*SETTINGS, *(p.name for p in unit.ports)))}")
        if not isinstance(value, str) or not NAME.fullmatch(value) or value in KEYWORDS:
            raise SpecError(f"{where}.{key} = {value!r}; allowed: a Verilog identifier, no keyword")
        if key == "module" and value in BENCH_NAMES:
            raise SpecError(
                f"{where}.module = {value!r}; allowed: a name that the bench does not have: {', '.join(sorted(BENCH_NAMES))}"
            )
        if key in names | absent:
            wires[key] = value
    used = [*wires.values(), *(table[key] for key in SIGNALS if key in table)]
    for name in used:
        if used.count(name) > 1:
            raise SpecError(f"{where}: two keys name the port {name!r} of the design; allowed: one")
    bench = Bench(
        table["module"],
        {key: value for key, value in wires.items() if key in names},
        tuple(value for key, value in wires.items() if key in absent),
        dict(table.get("parameters", {})),
        **{key: table[key] for key in (*SIGNALS, "reset_low", "latency") if key in table},
    )
    _check_wires(suite, bench, where)
    return bench


def _check_settings(unit: Unit, table: Mapping[str, Any], where: str) -> None:
    if "module" not in table:
        raise SpecError(f"{where}: key 'module' is missing; allowed: the design's top module")
    sizes = (
        {"k": unit.k, "m": unit.m, "n": unit.n} if unit.kind == "matmul" else {"k": unit.k} if unit.kind != "requantize" else {}
    )
    for key, size in sizes.items():
        if table.get(key, size) != size:
            raise SpecError(
                f"{where}.{key} = {table[key]!r}, but the suite has {size}; allowed: a suite of the design's own size"
            )
    latency = table.get("latency", 0)
    if type(latency) is not int or not 0 <= latency <= 4096:
        raise SpecError(f"{where}.latency = {latency!r}; allowed: 0 to 4096 clock cycles")
    if type(table.get("reset_low", False)) is not bool:
        raise SpecError(f"{where}.reset_low = {table['reset_low']!r}; allowed: true, false")
    parameters = table.get("parameters", {})
    if not isinstance(parameters, dict) or not all(
        type(v) is int and NAME.fullmatch(key) and key not in KEYWORDS for key, v in parameters.items()
    ):
        raise SpecError(f"{where}.parameters = {parameters!r}; allowed: a table of integers, the module's parameters")
    clocked = [key for key in (*SIGNALS[1:], "latency", "reset_low") if key in table]
    if clocked and "clock" not in table:
        raise SpecError(f"{where}: {clocked[0]!r} without clock; allowed: clock = the design's clock port")
    if "reset_low" in table and "reset" not in table:
        raise SpecError(f"{where}: 'reset_low' without reset; allowed: reset = the design's reset port")
    handshake = [key for key in SIGNALS[2:] if key in table]
    if handshake and not {"in_valid", "out_valid"} <= set(handshake):
        raise SpecError(f"{where}: {', '.join(handshake)}; allowed: in_valid and out_valid, and with them in_ready, out_ready")
    if "clock" in table and bool(handshake) == ("latency" in table):
        raise SpecError(f"{where}: clock needs either latency or in_valid and out_valid; exactly one of them")


def _check_wires(suite: Suite, bench: Bench, where: str) -> None:
    """Every operand is driven, something is compared, and what the design lacks holds its default in every case."""
    unit = suite.unit
    if not bench.compared(unit):
        raise SpecError(f"{where}: no output; allowed: one or more of {', '.join(port.name for port in unit.outputs)}")
    for port in unit.inputs:
        if port.name in bench.wires or not _matters(port, [p.name for p in bench.compared(unit)]):
            continue
        if port.role == "operand":
            raise SpecError(f"{where}: operand {port.name!r} has no port of the design; allowed: {port.name} = NAME")
        default = default_pattern(unit, port)
        for case in suite.cases:
            if case.values[port.name] != default:
                raise SpecError(
                    f"{where}: case {case.id} has {port.name} = {case.values[port.name]:#x}, and the design has no port for it;"
                    f" allowed: {port.name} = NAME, or a suite where it is {default:#x} in every case"
                )


def _matters(port: Port, compared: list[str]) -> bool:
    """Whether an output that is compared depends on the port: scales, requantizer and clamp come after the sum."""
    late = "_scale" in port.name or port.name in ("multiplier", "shift", "scale", "out_zero_point", *CLAMP)
    return not late or any(name in LATE or name.startswith("requantizer.") for name in compared)


def default_pattern(unit: Unit, port: Port) -> int:
    """What a parameter is in a design without it: a clamp as wide as the output, a scale of 1, else 0."""
    if port.name in CLAMP and unit.out_format is not None:
        element = unit.out_format.element
        clamp = unit.datapath.clamp if unit.datapath is not None and unit.datapath.clamp else (element.qmin, element.qmax)
        return port.join([clamp[CLAMP.index(port.name)]])
    if "_scale" in port.name and port.kind in ("unsigned", "float32"):
        return {16: 0x3C00, 32: 0x3F800000}.get(port.width, 0)
    return 0
