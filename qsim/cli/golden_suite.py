"""`qsim golden write SUITE` and `qsim golden check` of suites: units, operands from files or a pipe, JSONL."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsim.cli.common import written
from qsim.spec import format_names
from qsim.spec.load import read_table

if TYPE_CHECKING:
    from qsim.golden.suite import Suite
    from qsim.golden.unit import Unit


@dataclass(frozen=True)
class Wanted:
    """What `qsim golden write SUITE` was asked for."""

    kind: str | None
    cases: str
    seed: int
    count: int
    k: int | None
    parameters: str | None
    operands: str | None
    bulk: bool
    out: str | None
    check_only: bool
    options: tuple[str, ...] = ()


def named_suites(name: str, paths: list[Path], folder: Path | None) -> list[Suite]:
    """The suites of a datapath of any kind; ValueError where there is none, and for a name that is no datapath."""
    from qsim.datapath.datapaths import load_datapath
    from qsim.golden.suite import read_suite

    label = load_datapath(name).name.replace("/", "_")
    found = [path for path in paths if path.stem == label]
    if not found:
        raise ValueError(
            f"{name}: no suite {label}.json in {folder or 'the checked-in vectors'}; write one: qsim golden write {name}"
        )
    return [read_suite(path) for path in found]


def is_suite(name: str, kind: str | None) -> bool:
    """Whether a name stands for a suite: with a kind, or that of a datapath."""
    if kind is not None:
        return True
    if name.endswith(".toml"):
        return "accumulator" in read_table(Path(name))
    from qsim.datapath.datapaths import datapath_names

    return name not in format_names() and name in datapath_names()


def unit_of(name: str, wanted: Wanted) -> tuple[Unit, str]:
    """The unit of a datapath or format, and the suite's name."""
    from qsim.datapath.datapaths import load_datapath
    from qsim.golden.write_suite import datapath_unit, format_unit, kind_of

    datapath = None if wanted.kind in ("encode", "pack") and not is_suite(name, None) else load_datapath(name)
    kind = wanted.kind or (kind_of(datapath) if datapath else "dot")
    if datapath is None:
        unit = format_unit(name, kind, wanted.k)
        assert unit.fmt is not None
        return unit, unit.fmt.name
    given = None
    if wanted.parameters is not None:
        given = tuple(p for p in wanted.parameters.replace("none", "").split(",") if p)
    return datapath_unit(datapath, kind, wanted.k, given), datapath.name


def write_suites(names: tuple[str, ...], wanted: Wanted) -> None:
    """Write each suite; exit code 1 where `--check-only` finds that one would change."""
    from qsim.golden.write_suite import CHECKED_IN, suite_path

    if not names and wanted.kind not in CHECKED_IN:
        raise ValueError(f"no name with --kind {wanted.kind}; allowed: a datapath or format, or one of {', '.join(CHECKED_IN)}")
    names = names or CHECKED_IN[str(wanted.kind)]
    if wanted.options and wanted.out is None:
        raise ValueError("--option without --out; allowed: a folder of your own, the checked-in suites have no options")
    stream = wanted.out == "-"
    if stream and len(names) > 1:
        raise ValueError(f"--out - with {len(names)} suites; allowed: one")
    changed = 0
    for name in names:
        unit, label = unit_of(name, wanted)
        if wanted.options:
            from qsim.cli.encode import parse_settings
            from qsim.golden.write_suite import with_options

            unit = with_options(unit, parse_settings(wanted.options))
        suite = build(unit, label, wanted)
        if stream:
            for line in lines_of(suite):
                click.echo(line)
            continue
        path = suite_path(Path(wanted.out) if wanted.out else None, unit.kind, label)
        text = suite.text()
        differs = not path.exists() or path.read_text() != text
        changed += differs
        if differs and not wanted.check_only:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written(path) as (file,):
                file.write(text.encode())
        verb = "would change" if wanted.check_only else "written"
        click.echo(f"{path}: {len(suite.cases)} cases, {verb if differs else 'as it was'}, digest {suite.digest[:12]}")
    if changed and wanted.check_only:
        raise SystemExit(1)


def build(unit: Unit, name: str, wanted: Wanted) -> Suite:
    """The suite: of the user's operands where they are given, else of the cases asked for."""
    from qsim.golden.write_suite import user_suite, write_suite

    if wanted.operands is None:
        cases = [c for c in wanted.cases.split(",") if c]
        return write_suite(unit, name, cases=cases, seed=wanted.seed, count=wanted.count, bulk=wanted.bulk)
    from qsim.golden.operands import from_arrays, from_lines

    if wanted.bulk:
        raise ValueError("--bulk with --operands; allowed: one of them, the reference computes your operands")
    if wanted.operands == "-":
        return user_suite(unit, name, from_lines(unit, sys.stdin))
    from qsim.cli.files import read_arrays

    return user_suite(unit, name, from_arrays(unit, read_arrays(Path(wanted.operands)), wanted.operands))


def lines_of(suite: Suite) -> list[str]:
    """JSONL of the cases: id, flags, comment and every port, as in the suite's file."""
    table: dict[str, Any] = json.loads(suite.text())
    return [json.dumps(case, separators=(",", ":")) for case in table["cases"]]
