"""How a unit sums float products: the facts of one float accumulator (rule A3), frozen, checked when loaded.

Letters: K products of a row, F fraction bits below the largest exponent, E that exponent.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from qsim.spec.error import SpecError
from qsim.spec.load import load_format
from qsim.spec.number import FLOAT32, Element, float_element
from qsim.spec.options import ROUNDINGS

ALIGNMENTS = {"trunc": "toward_zero", "floor": "floor", "half_even": "half_even", "exact": ""}
C_MODES = ("aligned", "late_f32")
ORDERS = ("ascending", "odd_first", "pairwise")
OUT_TYPES = ("float32", "float16")
OVERFLOWS = ("inf", "largest")
#: Operand formats: catalogue names of plain floats, and fp32.
OPERANDS = (
    "fp32",
    "tf32",
    "bf16",
    "fp16",
    "fp8_e5m2",
    "fp8_e4m3",
    "fp6_e3m2",
    "fp6_e2m3",
    "fp4_e2m1",
)
MAX_NFMA = 64
MAX_FRACTION = 40
KEYS = (
    "name",
    "title",
    "operands",
    "fraction",
    "alignment",
    "c",
    "min_exponent",
    "out_fraction",
    "out_rounding",
    "out_types",
    "overflow",
    "order",
    "promote_every",
    "daz",
    "ftz",
    "signed_zero",
    "nan",
    "source",
    "verified_by",
    "not_verified",
)


@dataclass(frozen=True)
class FloatAccumulator:
    """One unit that sums float products, `nfma` products and the addend c in a step (rule A3).

    operands: (format, nfma) of every operand format that the unit takes.
    fraction: F; terms are cut to multiples of 2^(E-F) as `alignment` says. None with alignment `exact`.
    c: `aligned` with the products, or added by one float32 half_even addition to the rounded sum (`late_f32`).
    min_exponent: E is at least this; None: no bound.
    out_fraction, out_rounding: the sum is rounded once to an 8-bit exponent and so many fraction bits.
    overflow: what a sum above the largest finite value becomes, in every rounding.
    order: `odd_first` takes the second product of each pair first; `pairwise` adds the steps' sums as a tree, then c.
    promote_every: the unit starts anew every k products, its results are added in float32 half_even.
    daz, ftz: subnormal operands and aligned c, and results that are below 2^-126 after rounding, become zero.
    signed_zero: a zero sum is -0 if all its terms are negative (IEEE 754); else every zero is +0.
    nan: the float32 pattern of a NaN result.
    """

    name: str
    operands: tuple[tuple[str, int], ...]
    fraction: int | None
    alignment: str = "trunc"
    c: str = "aligned"
    min_exponent: int | None = None
    out_fraction: int = 23
    out_rounding: str = "toward_zero"
    out_types: tuple[str, ...] = ("float32",)
    overflow: str = "inf"
    order: str = "ascending"
    promote_every: int | None = None
    daz: bool = False
    ftz: bool = False
    signed_zero: bool = False
    nan: int = 0x7FFFFFFF
    title: str = ""
    source: str = ""
    verified_by: tuple[str, ...] = ()
    not_verified: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no unit can do."""
        _check(self)

    def nfma(self, operand: str) -> int:
        """Products of one step for an operand format."""
        return dict(self.operands)[operand]

    def period(self, operand: str) -> int:
        """Products that belong together: a step, or a pair where the odd one goes first."""
        return max(self.nfma(operand), 2 if self.order == "odd_first" else 1)

    def result(self, out: str) -> tuple[Element, str]:
        """The float type that a step's sum is rounded into, and how."""
        if out == "float16":
            return float_element(5, 10, "ieee"), "half_even"
        return float_element(8, self.out_fraction, "ieee"), self.out_rounding


def operand_element(name: str) -> Element:
    """The float element of an operand format."""
    return FLOAT32 if name == "fp32" else load_format(name).element


def parse_float_accumulator(table: dict[str, Any], name: str | None = None) -> FloatAccumulator:
    """Check a parsed TOML table and build the accumulator. Unknown key, impossible value: SpecError that says what is allowed."""
    for key, value in table.items():
        if key not in KEYS:
            raise SpecError(f"unknown key {key!r} = {value!r}; allowed: {', '.join(KEYS)}")
    given = ({"name": name} if name is not None else {}) | table
    for key in ("name", "operands"):
        if key not in given:
            raise SpecError(f"key {key!r} is missing")
    operands = given["operands"]
    if not isinstance(operands, dict):
        raise SpecError(f"operands = {operands!r}; allowed: a table of format = nfma")
    values: dict[str, Any] = {"fraction": None} | given | {"operands": tuple(operands.items())}
    for key in ("out_types", "verified_by", "not_verified"):
        if key in values:
            if not isinstance(values[key], list) or not all(isinstance(v, str) for v in values[key]):
                raise SpecError(f"{key} = {values[key]!r}; allowed: a list of strings")
            values[key] = tuple(values[key])
    return FloatAccumulator(**values)


def check_promotion(acc: FloatAccumulator, operand: str, every: object) -> None:
    """promote_every is None or a multiple of the products that belong together, else SpecError."""
    period = acc.period(operand)
    if every is not None and (not isinstance(every, int) or isinstance(every, bool) or every < 1 or every % period):
        raise SpecError(f"promote_every = {every!r}; allowed for {acc.name} with {operand}: a multiple of {period}, or none")


def _check(acc: FloatAccumulator) -> None:
    if not isinstance(acc.name, str) or not acc.name.isidentifier():
        raise SpecError(f"name = {acc.name!r}; allowed: letters, digits and _")
    if not acc.operands:
        raise SpecError(f"operands is empty; allowed: format = nfma of {', '.join(OPERANDS)}")
    for operand, nfma in acc.operands:
        if operand not in OPERANDS:
            raise SpecError(f"operands.{operand}: unknown format; allowed: {', '.join(OPERANDS)}")
        _integer(f"operands.{operand}", nfma, 1, MAX_NFMA)
    _choice("alignment", acc.alignment, tuple(ALIGNMENTS))
    if acc.alignment == "exact":
        if acc.fraction is not None:
            raise SpecError(f"fraction = {acc.fraction!r}; alignment 'exact' cuts nothing: leave it out")
    else:
        _integer("fraction", acc.fraction, 1, MAX_FRACTION)
    if acc.min_exponent is not None:
        _integer("min_exponent", acc.min_exponent, -400, 0)
    for key, allowed in (("c", C_MODES), ("order", ORDERS), ("overflow", OVERFLOWS), ("out_rounding", ROUNDINGS[:-1])):
        _choice(key, getattr(acc, key), allowed)
    if not acc.out_types or not set(acc.out_types) <= set(OUT_TYPES):
        raise SpecError(f"out_types = {list(acc.out_types)!r}; allowed: {', '.join(OUT_TYPES)}")
    if "float16" in acc.out_types and acc.c == "late_f32":
        raise SpecError("out_types: 'float16' with c = 'late_f32' adds a float32; allowed: float32")
    _integer("out_fraction", acc.out_fraction, 2, 23)
    if acc.order == "pairwise" and acc.c != "late_f32":
        raise SpecError(f"c = {acc.c!r} with order 'pairwise'; allowed: late_f32 (c is added to the tree's sum)")
    if acc.order == "odd_first" and any(nfma != 1 for _, nfma in acc.operands):
        raise SpecError("order = 'odd_first' with more than one product a step; allowed: nfma 1")
    for field in fields(acc):
        if field.name in ("daz", "ftz", "signed_zero") and not isinstance(getattr(acc, field.name), bool):
            raise SpecError(f"{field.name} = {getattr(acc, field.name)!r}; allowed: true or false")
        if field.name in ("title", "source") and not isinstance(getattr(acc, field.name), str):
            raise SpecError(f"{field.name} = {getattr(acc, field.name)!r}; allowed: a string")
    if not isinstance(acc.nan, int) or not 0 <= acc.nan < 1 << 32 or acc.nan & 0x7FFFFFFF <= 0x7F800000:
        raise SpecError(f"nan = {acc.nan!r}; allowed: a float32 NaN pattern")
    for operand, _ in acc.operands:
        check_promotion(acc, operand, acc.promote_every)


def _integer(key: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SpecError(f"{key} = {value!r}; allowed: {low} to {high}")


def _choice(key: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(f"{key} = {value!r}; allowed: {', '.join(allowed)}")
