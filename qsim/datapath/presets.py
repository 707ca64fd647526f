"""Requantization presets by name: requantizers.toml, and a user's own file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from qsim.spec.error import SpecError
from qsim.spec.load import read_table
from qsim.spec.requantizer import Requantizer
from qsim.spec.requantizer_file import parse_requantizers

PRESETS_FILE = Path(__file__).with_name("requantizers.toml")


@cache
def presets() -> dict[str, Requantizer]:
    """Every preset of the package, variants included, in the order of the file."""
    return parse_requantizers(read_table(PRESETS_FILE), PRESETS_FILE.name)


def preset_names() -> tuple[str, ...]:
    """Names of the presets, sorted; the variants of ap_fixed are NAME/ROUNDING/OVERFLOW."""
    return tuple(sorted(presets()))


def load_requantizer(preset: str | Path | Requantizer) -> Requantizer:
    """A preset by name, or the only requantizer of a user's TOML file. SpecError for any other name and for a file that lies."""
    if isinstance(preset, Requantizer):
        return preset
    text = str(preset)
    if not text.endswith(".toml"):
        if text not in presets():
            plain = ", ".join(name for name in preset_names() if "/" not in name)
            raise SpecError(f"unknown preset {text!r}; allowed: {plain}, ap_fixed/ROUNDING/OVERFLOW, or the path of a .toml file")
        return presets()[text]
    found = parse_requantizers(read_table(Path(text)), text)
    if len(found) != 1:
        raise SpecError(f"{text}: {len(found)} requantizers; allowed: one table")
    return next(iter(found.values()))
