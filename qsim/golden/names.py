"""The names of a unit's ports: its own, the file's name, and the Verilog name of the datapath's [ports] table."""

from __future__ import annotations

from qsim.golden.unit import Port, Unit


def file_stem(port: Port) -> str:
    """The name of a port's file: `requantizer.step0` is requantizer_step0."""
    return port.name.replace(".", "_")


def verilog_names(unit: Unit) -> dict[str, str]:
    """Verilog name of each port that the [ports] table names."""
    table = unit.datapath.ports if unit.datapath is not None else {}
    return {port.name: table[port.name] for port in unit.ports if isinstance(table.get(port.name), str)}


def port_of(unit: Unit, name: str) -> Port | None:
    """The port that a name means; its own name goes before the file's, and both before the Verilog name."""
    verilog = {v: k for k, v in verilog_names(unit).items()}
    by_name = {p.name: p for p in unit.ports}
    by_file = {file_stem(p): p for p in unit.ports}
    return by_name.get(name) or by_file.get(name) or (by_name[verilog[name]] if name in verilog else None)


def names_text(unit: Unit, ports: tuple[Port, ...]) -> str:
    """What may stand for these ports, for an error."""
    verilog = verilog_names(unit)
    return ", ".join(f"{p.name} ({verilog[p.name]})" if verilog.get(p.name, p.name) != p.name else p.name for p in ports)
