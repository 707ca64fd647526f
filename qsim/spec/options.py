"""The choices of an encoder where real stacks differ, as data: name, allowed values, default, families that have it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from qsim.spec.format import FAMILIES, Format

#: Rule R1, and `stochastic` of rule R2.
ROUNDINGS = (
    "half_even",
    "half_away",
    "half_up",
    "half_down",
    "half_zero",
    "toward_zero",
    "away_from_zero",
    "floor",
    "ceil",
    "to_odd",
    "stochastic",
)
SCALE_RULES = ("floor", "even", "ceil", "rceil", "no_overflow")
MAX_RANDOM_BITS = 16

#: option -> (allowed values, families it applies to, rule). The default is the first value.
CHOICES: dict[str, tuple[tuple[Any, ...], tuple[str, ...], str]] = {
    "rounding": (ROUNDINGS, tuple(f for f in FAMILIES if f not in ("ternary",)), "R1"),
    "random_bits": (tuple(range(1, MAX_RANDOM_BITS + 1)), tuple(f for f in FAMILIES if f not in ("ternary",)), "R2"),
    "scale_rule": (SCALE_RULES, ("ocp",), "S3"),
    "narrow_range": ((True, False), ("absmax", "vsq", "ocp"), "S3, S4"),
    "division": (("exact", "reciprocal", "float32"), ("absmax", "affine"), "S4"),
    "order": (("requantize", "float_first"), ("vsq",), "S5"),
    "subnormals": (("keep", "flush"), ("microexponent", "ocp"), "S2"),
    "nonfinite": (("nan_block", "saturate", "error"), ("microexponent", "ocp"), "S7"),
    "overflow": (("ieee", "saturate"), ("float",), "R3"),
    "signed_zero": (("positive", "keep"), ("microexponent",), "P1"),
    "scale_overflow": (("error", "saturate"), ("absmax", "vsq", "affine", "nvfp4", "binary", "ternary"), "S9"),
    "min_scale": (("subnormal", "normal"), ("nvfp4",), "S8"),
    "arithmetic": (("exact", "modelopt", "torchao", "onnxruntime"), ("nvfp4", "affine"), "S6, S8"),
}
_ARITHMETIC = {"nvfp4": ("exact", "modelopt", "torchao"), "affine": ("exact", "onnxruntime")}
DEFAULTS = {name: choice[0][0] for name, choice in CHOICES.items()} | {"random_bits": 8}


@dataclass(frozen=True)
class Options:
    """Resolved options of one encode; one field a row of CHOICES."""

    rounding: str = "half_even"
    random_bits: int = 8
    scale_rule: str = "floor"
    narrow_range: bool = True
    division: str = "exact"
    order: str = "requantize"
    subnormals: str = "keep"
    nonfinite: str = "nan_block"
    overflow: str = "ieee"
    signed_zero: str = "positive"
    scale_overflow: str = "error"
    min_scale: str = "subnormal"
    arithmetic: str = "exact"

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != DEFAULTS[f.name]}


def applies(name: str, fmt: Format) -> bool:
    """Whether the option has a meaning for the format."""
    if name == "narrow_range" and fmt.family == "ocp":
        return fmt.element.kind == "int"
    return fmt.family in CHOICES[name][1]


def allowed_values(name: str, fmt: Format) -> tuple[Any, ...]:
    """Values that an option may take for a format; empty where it does not apply."""
    if not applies(name, fmt):
        return ()
    if name == "arithmetic":
        return _ARITHMETIC[fmt.family] if fmt.scales[-1].type == "FP32" else ("exact",)
    if name == "rounding" and fmt.family == "binary":
        return ("half_even", "stochastic")  # sign(x), or rule B's probability
    return CHOICES[name][0]


def resolve_options(fmt: Format, given: dict[str, Any]) -> Options:
    """Options with every default explicit; None means the default. ValueError for one that does not apply or is not allowed."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in CHOICES:
            raise TypeError(f"unknown option {name!r}; allowed: {', '.join(CHOICES)}")
        if value is None:
            continue
        allowed = allowed_values(name, fmt)
        if not allowed and value != DEFAULTS[name]:
            raise ValueError(
                f"{name}={value!r} does not apply to {fmt.name} (family {fmt.family});"
                f" it applies to {', '.join(CHOICES[name][1])} (rule {CHOICES[name][2]})"
            )
        if allowed and (value not in allowed or type(value) is not type(allowed[0])):
            raise ValueError(
                f"{name}={value!r} is not allowed for {fmt.name}; allowed: {', '.join(map(str, allowed))}"
                f" (rule {CHOICES[name][2]})"
            )
        values[name] = value
    return Options(**values)
