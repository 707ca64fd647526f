"""Float accumulators by name: float_accumulators.toml, or a user's file with the keys of one table."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from qsim.spec.error import SpecError
from qsim.spec.float_accumulator import FloatAccumulator, parse_float_accumulator
from qsim.spec.load import read_table

ACCUMULATORS_FILE = Path(__file__).with_name("float_accumulators.toml")


def float_accumulator_names() -> tuple[str, ...]:
    """Names of the presets, in the order of the file."""
    return tuple(float_accumulators())


@cache
def float_accumulators() -> dict[str, FloatAccumulator]:
    """Every preset of the package, checked."""
    return {name: _parse(table, f"{ACCUMULATORS_FILE}: {name}", name) for name, table in read_table(ACCUMULATORS_FILE).items()}


def load_float_accumulator(preset: str | Path | FloatAccumulator) -> FloatAccumulator:
    """A preset by name, or a user's accumulator by the path of its TOML file; SpecError for what is neither."""
    if isinstance(preset, FloatAccumulator):
        return preset
    text = str(preset)
    if text.endswith(".toml"):
        return _parse(read_table(Path(text)), text, None)
    if text not in float_accumulators():
        raise SpecError(
            f"unknown float accumulator {text!r}; allowed: {', '.join(float_accumulator_names())}, or the path of a .toml file"
        )
    return float_accumulators()[text]


def _parse(table: object, where: str, name: str | None) -> FloatAccumulator:
    if not isinstance(table, dict):
        raise SpecError(f"{where} = {table!r}; allowed: a table")
    known: dict[str, Any] = table
    try:
        return parse_float_accumulator(known, name)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
