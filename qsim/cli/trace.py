"""`qsim trace`: one case of a suite, stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qsim.cli.common import print_json, print_table
from qsim.cli.verify import find_suite

if TYPE_CHECKING:
    from qsim.golden.suite import Case, Suite


@click.command()
@click.argument("suite_name", metavar="SUITE")
@click.argument("case_id", metavar="CASE", type=int)
@click.option("--stage", "only", multiple=True, metavar="PORT", help="Only this port; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
def command(suite_name: str, case_id: int, only: tuple[str, ...], as_json: bool) -> None:
    """Every stage of CASE in the order of the data: bits, fields and exact value, with the label of its rule.

    SUITE is a suite's file or the name of a checked-in suite, CASE an id. The rules are in docs/rules.md, docs/datapath.md and
    docs/block-dot.md. The value of an integer register is in units of its last bit.

    \b
    Example:
      qsim trace int8_dot.json 17
      qsim trace mx9_dot.json 4 --stage aligned --stage result
    """  # noqa: D301
    suite = find_suite(suite_name)
    if case_id not in suite.by_id:
        ids = sorted(suite.by_id)
        allowed = f"{ids[0]} to {ids[-1]}" if ids else "none, the suite has no cases"
        raise ValueError(f"{suite_name}: no case {case_id}; allowed: {allowed}")
    case = suite.by_id[case_id]
    stages = [stage_table(suite, case, name) for name in chosen_ports(suite, only)]
    if as_json:
        facts = {"suite": suite.name, "id": case.id, "flags": list(case.flags), "comment": case.comment, "stages": stages}
        print_json(facts)
        return
    from qsim.golden.mismatch import case_text

    click.echo(f"{suite.name}, case {case.id}: {case_text(case)}")
    for flag in case.flags:
        click.echo(f"  {flag}: {suite.notes.get(flag, '')}")
    for stage in stages:
        print_stage(stage)


def chosen_ports(suite: Suite, only: tuple[str, ...]) -> list[str]:
    """Names of the ports to print, in the order of the data."""
    from qsim.golden.names import names_text, port_of

    for name in only:
        if port_of(suite.unit, name) is None:
            raise ValueError(f"--stage {name}: allowed: {names_text(suite.unit, suite.unit.ports)}")
    wanted = {port.name for name in only if (port := port_of(suite.unit, name))}
    return [port.name for port in suite.unit.ports if not only or port.name in wanted]


def stage_table(suite: Suite, case: Case, name: str) -> dict[str, Any]:
    """One port: its rule, its bits, and the parts with their codes, fields and values."""
    from qsim.golden.bits import hexed
    from qsim.golden.fields import exact_text
    from qsim.golden.reading import parts, rule_of

    port = suite.unit.port(name)
    pattern, mask = case.values[name], case.masks.get(name)
    rows = [
        {
            "part": part.name,
            "bits": hexed(part.code(pattern), part.width),
            "fields": part.fields(part.code(pattern)),
            "value": exact_text(part.value(pattern)),
        }
        for part in parts(suite.unit, port)
    ]
    return {
        "port": name,
        "role": port.role,
        "rule": rule_of(suite.unit, port),
        "bits": hexed(pattern, port.bits),
        "not_compared": None if mask is None else hexed(mask, port.bits),
        "parts": rows,
    }


def print_stage(stage: dict[str, Any]) -> None:
    """One port as text."""
    rows = stage["parts"]
    masked = f", not compared: {stage['not_compared']}" if stage["not_compared"] else ""
    alone = len(rows) == 1
    click.echo(f"\n{stage['port']} ({stage['role']}, rule {stage['rule']}){'' if alone else ' ' + stage['bits']}{masked}")
    used = [key for key in rows[0] if any(row[key] for row in rows)]
    print_table([["", *(row[key] for key in used)] for row in rows], [], tablefmt="plain")
