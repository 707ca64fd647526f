"""What `qsim show PRESET` prints: a requantizer's stages, domain, source and evidence."""

from __future__ import annotations

from typing import Any

import click

from qsim.cli.common import print_table
from qsim.spec import format_names
from qsim.spec.requantizer import Narrow, Step


def is_preset(name: str) -> bool:
    """Whether the name is a requantization preset's; a format's name comes first."""
    from qsim.datapath.presets import presets

    return name not in format_names() and name in presets()


def describe_preset(name: str) -> dict[str, Any]:
    """Every stage in the order of rule Q1, the domain, and who agreed."""
    from qsim.datapath.presets import load_requantizer

    q = load_requantizer(name)
    stages = [["input", f"acc of {q.acc_bits} bits" + (", minus zero_point" if q.zero_point == "before" else "")]]
    stages += [[f"before{i}", _step(s)] for i, s in enumerate(q.before)]
    stages.append(["product", _product(q.prep.kind)])
    if q.clamp_first:
        stages.append(["clamp first", "to the output range minus zero_point, before rounding"])
    stages += [[f"step{i}", _step(s)] for i, s in enumerate(q.steps)]
    if q.zero_point == "after":
        stages.append(["zero_add", "plus zero_point" + (f", {_narrow(q.zero_add)}" if q.zero_add else ", exact")])
    if not q.clamp_first:
        stages.append(["clamp", "activation range, if given"])
    stages.append(["output", f"width of out_format, {q.output.overflow}"])
    domain: dict[str, Any] = {"acc_bits": q.acc_bits}
    for argument in q.prep.takes:
        if argument != "thresholds":
            low, high = getattr(q, argument)
            domain[argument] = f"{float(low):g} <= scale < {float(high):g}" if argument == "scale" else f"{low} to {high}"
    if q.acc_within_shift:
        domain["acc"] = "-2^(shift-1) to 2^(shift-1) - 1"
    return {
        "name": name,
        "title": q.title,
        "takes": list(q.prep.takes),
        "scale_arithmetic": q.prep.ratio,
        "stages": stages,
        "domain": domain,
        "source": q.source,
        "verified_by": q.verified_by,
        "not_verified": q.not_verified,
    }


def print_preset(report: dict[str, Any]) -> None:
    """The report of `describe_preset` as text."""
    click.echo(f"{report['name']}: {report['title']}\nsource: {report['source']}\n")
    print_table(report["stages"], ["stage", "rule"], maxcolwidths=[None, 100])
    click.echo("\ndomain")
    print_table([[k, str(v)] for k, v in report["domain"].items()], [], tablefmt="plain")
    if "multiplier" in report["takes"] or "scale" in report["takes"]:
        click.echo(f"si * sw / so: {report['scale_arithmetic']} (rule Q4)")
    for key in ("verified_by", "not_verified"):
        if report[key]:
            click.echo(f"\n{key.replace('_', ' ')}: {report[key]}")


def _narrow(register: Narrow) -> str:
    return f"{register.overflow} {'' if register.signed else 'u'}int{register.bits}"


def _step(step: Step) -> str:
    parts = [f"shift right by {step.shift}, {step.rounding}"]
    parts += [f"{step.sticky_bits} sticky bits"] if step.sticky_bits is not None else []
    parts += [_narrow(step.narrow)] if step.narrow else []
    return ", ".join(parts)


def _product(kind: str) -> str:
    return {
        "fixed": "times multiplier, exact",
        "significand": "times the significand of float32 scale, exact; shift from its exponent",
        "one": "none",
        "f32": "float32(acc) * float32(scale), each rounded half_even once",
        "f64": "float64(acc) * float64(scale), each rounded half_even once",
        "thresholds": "how many thresholds acc reaches (>=)",
    }[kind]
