"""Formats, their options and their geometry: frozen dataclasses, loaded from TOML and checked. Imports nothing of qsim."""

from qsim.spec.error import SpecError
from qsim.spec.format import Format, Layout
from qsim.spec.geometry import Geometry
from qsim.spec.load import format_names, load_format
from qsim.spec.number import FLOAT32, Element, Scale
from qsim.spec.options import CHOICES, ROUNDINGS, SCALE_RULES, Options, resolve_options
from qsim.spec.random import LFSR, Counter

__all__ = [
    "CHOICES",
    "FLOAT32",
    "LFSR",
    "ROUNDINGS",
    "SCALE_RULES",
    "Counter",
    "Element",
    "Format",
    "Geometry",
    "Layout",
    "Options",
    "Scale",
    "SpecError",
    "format_names",
    "load_format",
    "resolve_options",
]
