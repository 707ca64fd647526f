"""`qsim golden mutants` and `qsim golden coverage`: how much of a datapath's arithmetic a suite tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsim.cli.common import print_json, print_table, written
from qsim.cli.verify import find_suite

if TYPE_CHECKING:
    from qsim.golden.mutants import Strength
    from qsim.golden.suite import Suite


def suites_of(name: str) -> list[Suite]:
    """The suite of a file, the checked-in one of KIND/NAME, or the checked-in ones of a datapath."""
    from qsim.cli.golden_suite import named_suites
    from qsim.golden.unit import KINDS
    from qsim.golden.write_suite import suite_paths

    if name.endswith(".json") or name.partition("/")[0] in KINDS:
        return [find_suite(name)]
    return named_suites(name, suite_paths(None), None)


@click.command()
@click.argument("suite", metavar="SUITE")
@click.option("--all", "every", is_flag=True, help="Count every case that kills a mutant, not only up to the first.")
@click.option("--only", default="", metavar="TEXT", help="Only mutants whose name contains TEXT.")
@click.option("--ports", default="", metavar="PORT,...", help="Compare only these taps and results (default: all of the suite).")
@click.option(
    "--close", "target", type=click.Path(path_type=Path), help="Search cases that kill the survivors; write suite and cases here."
)
@click.option("--seed", default=0, show_default=True, help="Seed of the search.")
@click.option("--effort", default=4000, show_default=True, help="Candidates of the search.")
@click.option("--survivors", is_flag=True, help="Show survivors and equivalent mutants only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def mutants(
    suite: str, every: bool, only: str, ports: str, target: Path | None, seed: int, effort: int, survivors: bool, as_json: bool
) -> None:
    """Run designs with one mistake each over a suite's inputs: which of them do the suite's outputs tell apart?

    SUITE is a file, a checked-in suite (dot/mx9_bdr), or a datapath.

    The score is killed / not proven equivalent. Exit 1 where a mutant survives.

    \b
    Example:
      qsim golden mutants int8_saturate16
      qsim golden mutants my_suite.json --close closed.json
    """  # noqa: D301
    from qsim.golden.mutants import strength

    found: list[Strength] = []
    suites = suites_of(suite)
    if target is not None and len(suites) > 1:
        raise ValueError(f"--close with {len(suites)} suites of {suite}; allowed: the path of one")
    if target is not None and (only or ports or every):
        raise ValueError("--close with --only, --ports or --all; allowed: alone, it looks at all mutants and ports")
    for read in suites:
        names = [name for name in ports.split(",") if name]
        for name in names:
            if name not in [port.name for port in read.unit.outputs]:
                raise ValueError(f"--ports {name}; allowed: {', '.join(port.name for port in read.unit.outputs)}")
        if target is not None:
            from qsim.golden.mutants.close import close

            closed = close(read, seed=seed, effort=effort, told=lambda text: click.echo(text, err=True))
            with written(target) as (file,):
                file.write(closed.suite.text().encode())
            click.echo(f"{closed.added} cases added to {len(read.cases)}, written: {target}", err=True)
            found.append(closed.strength)
        else:
            found.append(strength(read, every=every, only=only, ports=names))
    if only and not any(s.verdicts for s in found):
        raise ValueError(f"--only {only}: no mutant has it in its name; allowed: a part of a name, as the table shows it")
    if as_json:
        print_json({"suites": [s.table() for s in found]})
    else:
        for read, s in zip(suites, found, strict=True):
            _show(read, s, survivors)
    if any(s.of("survived") for s in found):
        raise SystemExit(1)


def _show(suite: Suite, found: Strength, survivors: bool) -> None:
    rows: list[list[Any]] = []
    for v in found.verdicts:
        if survivors and v.state == "killed":
            continue
        where = f"case {v.case}, {v.stage}" if v.killed else v.mutant.proof
        count = str(v.killed) if found.every and v.killed else ""
        rows.append([v.mutant.name, v.state, *([count] if found.every else []), where, v.mutant.why])
    headers = [
        "mutant",
        "state",
        *(["cases"] if found.every else []),
        "first killed by, or why equivalent",
        "what was done wrong",
    ]
    if rows:
        print_table(rows, headers, maxcolwidths=[44, None, *([None] if found.every else []), 60, 60])
    killed, wanted = found.score
    percent = f"{100 * killed / wanted:.1f} %" if wanted else "no mutant applies"
    click.echo(
        f"{suite.name} ({suite.unit.kind}): {len(found.verdicts)} mutants, {len(found.of('equivalent'))} equivalent,"
        f" {killed} of {wanted} killed: {percent}"
    )


@click.command()
@click.argument("suite", metavar="SUITE")
@click.option("--missing", is_flag=True, help="Show only what no case hits.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def coverage(suite: str, missing: bool, as_json: bool) -> None:
    """What the cases of a suite exercise: codes, lanes, shifts, ties, carries, edges and overflows of every register.

    SUITE is a file, a checked-in suite (dot/mx9_bdr), or a datapath. Events that the unit provably cannot show are not listed.

    \b
    Example:
      qsim golden coverage int8_saturate16
    """  # noqa: D301
    from qsim.golden.coverage import coverage as covered

    suites = suites_of(suite)
    tables = [covered(read) for read in suites]
    if as_json:
        print_json({"suites": [table.table() for table in tables]})
    else:
        for read, table in zip(suites, tables, strict=True):
            rows = [[g.name, f"{g.hit} of {g.possible}", g.text] for g in table.groups if not missing or g.hit < g.possible]
            if rows:
                print_table(rows, ["event", "hit", "cases of each, and what no case hits"], maxcolwidths=[28, None, 92])
            hit, possible = table.total
            click.echo(f"{read.name} ({read.unit.kind}): {len(read.cases)} cases hit {hit} of {possible} events")
