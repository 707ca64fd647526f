"""Named sets of options, as real stacks choose them: conventions.toml, checked on load."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from qsim.spec.error import SpecError
from qsim.spec.format import FAMILIES, Format
from qsim.spec.load import format_names, load_format, read_table
from qsim.spec.options import CHOICES, allowed_values, applies

CONVENTIONS_FILE = Path(__file__).with_name("conventions.toml")
TEXTS = ("title", "source", "evidence", "differs")


def convention_names() -> tuple[str, ...]:
    """Names of the conventions, sorted."""
    return tuple(sorted(conventions()))


@cache
def conventions() -> dict[str, dict[str, Any]]:
    """Each convention's texts (title, source, evidence, differs) and its options by family or format name."""
    return check_conventions(read_table(CONVENTIONS_FILE), str(CONVENTIONS_FILE))


def convention_options(name: str, fmt: Format) -> dict[str, Any]:
    """Options that the convention sets for a format; ValueError if it says nothing about the format or is unknown."""
    if name not in conventions():
        raise ValueError(f"unknown convention {name!r}; allowed: {', '.join(convention_names())}")
    table = conventions()[name]
    known = [key for key in table if key not in TEXTS]
    scope = fmt.name if fmt.name in known else fmt.family
    if scope not in known:
        raise ValueError(f"convention {name!r} says nothing about {fmt.name} (family {fmt.family}); allowed: {', '.join(known)}")
    return {option: value for option, value in table[scope].items() if applies(option, fmt)}


def check_conventions(table: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """The table itself, or SpecError that names the key and what is allowed."""
    for name, convention in table.items():
        if not isinstance(convention, dict):
            raise SpecError(f"{where}: {name} = {convention!r}; allowed: a table")
        for text in TEXTS:
            if not isinstance(convention.get(text), str) or not convention[text]:
                raise SpecError(f"{where}: {name}.{text} = {convention.get(text)!r}; allowed: a sentence")
        scopes = [key for key in convention if key not in TEXTS]
        if not scopes:
            raise SpecError(f"{where}: {name} has no options; allowed: sub-tables named {', '.join(FAMILIES)} or as a format")
        for scope in scopes:
            _check_scope(convention[scope], scope, f"{where}: {name}.{scope}")
    return table


def _check_scope(options: object, scope: str, where: str) -> None:
    """Each option is known, and its value allowed for at least one format of the family (or for the named format)."""
    formats = [load_format(n) for n in format_names()]
    formats = [f for f in formats if scope in (f.name, f.family)]
    if not formats:
        raise SpecError(f"{where}: unknown family or format; allowed: {', '.join((*FAMILIES, *format_names()))}")
    if not isinstance(options, dict):
        raise SpecError(f"{where} = {options!r}; allowed: a table of options")
    for option, value in options.items():
        if option not in CHOICES:
            raise SpecError(f"{where}: unknown option {option!r}; allowed: {', '.join(CHOICES)}")
        allowed = dict.fromkeys(v for f in formats for v in allowed_values(option, f))
        if not any(type(v) is type(value) and v == value for v in allowed):
            raise SpecError(
                f"{where}.{option} = {value!r}; allowed: {', '.join(map(str, allowed)) or 'nothing, it does not apply'}"
            )
