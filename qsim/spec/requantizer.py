"""A requantizer (rules Q): multiply, then steps of (shift, rounding, narrow), then a zero point of stated width, then a clamp.

Presets are data: every real stack is a value of these classes, none is a branch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

from qsim.spec.error import SpecError
from qsim.spec.options import ROUNDINGS

OVERFLOWS = ("saturate", "wrap", "error", "saturate_symmetric", "saturate_zero", "wrap_sign_magnitude", "x86_indefinite")
STEP_ROUNDINGS = tuple(r for r in ROUNDINGS if r != "stochastic")
RATIOS = ("f64", "f32_product", "f32")
#: kind -> which of the arguments multiplier, shift, scale, thresholds the multiplication takes (rule Q4).
KINDS = {
    "fixed": ("multiplier", "shift"),
    "significand": ("scale",),
    "one": ("shift",),
    "f32": ("scale",),
    "f64": ("scale",),
    "thresholds": ("thresholds",),
}
ZERO_POINTS = ("after", "before", "none")
MAX_SHIFT, MAX_LEFT = 124, 62
LARGEST = (1 << 63) - 8  # of any value: int64, with room for the addend of a shift by 1 or 2

Interval = tuple[int, int]


def output_type(name: str) -> tuple[int, bool]:
    """(bits, signed) of an output format, intN or uintN."""
    match = re.fullmatch(r"(u?)int([1-9]\d?)", name)
    if not match or not 2 <= int(match[2]) <= 32:
        raise SpecError(f"out_format={name!r}; allowed: int2 to int32, uint2 to uint32")
    return int(match[2]), not match[1]


def _check(key: str, value: object, ok: bool, allowed: str) -> None:
    if not ok:
        raise SpecError(f"{key} = {value!r}; allowed: {allowed}")


def _choice(key: str, value: object, allowed: tuple[str, ...]) -> None:
    _check(key, value, value in allowed, ", ".join(allowed))


@dataclass(frozen=True)
class Narrow:
    """A register of `bits`; `bits` 0 is the width and sign of the output format (rule Q3)."""

    bits: int = 0
    signed: bool = True
    overflow: str = "saturate"

    def __post_init__(self) -> None:
        """Check width and mode."""
        _check("narrow.bits", self.bits, not self.bits or 2 <= self.bits <= 62, "2 to 62, or 0 for the output format's width")
        _choice("narrow.overflow", self.overflow, OVERFLOWS)
        if not self.signed and self.overflow in ("wrap_sign_magnitude", "x86_indefinite"):
            raise SpecError(f"narrow.overflow = {self.overflow!r} with signed = false; allowed: signed = true")

    @property
    def range(self) -> Interval:
        """Lowest and highest value; a symmetric register has no lowest code."""
        if not self.signed:
            return 0, (1 << self.bits) - 1
        top = (1 << (self.bits - 1)) - 1
        return (-top if self.overflow == "saturate_symmetric" else -top - 1), top

    def resolved(self, bits: int, signed: bool) -> Narrow:
        """With the output format's width in place of 0."""
        return self if self.bits else Narrow(bits, signed, self.overflow)

    def interval(self, values: Interval) -> Interval:
        """Values that can leave the register when `values` enter it."""
        low, high = self.range
        if low <= values[0] and values[1] <= high:
            return values
        if self.overflow in ("saturate", "saturate_symmetric", "error"):
            return min(max(values[0], low), high), min(max(values[1], low), high)
        return low, high


@dataclass(frozen=True)
class Amount:
    """How far a step shifts right: factor * shift + offset, kept within [low, high]; negative shifts left."""

    offset: int = 0
    factor: int = 0
    low: int | None = None
    high: int | None = None

    def __call__(self, shift: int) -> int:
        """The amount for one value of the argument `shift`."""
        amount = self.factor * shift + self.offset
        amount = amount if self.low is None else max(amount, self.low)
        return amount if self.high is None else min(amount, self.high)

    def __str__(self) -> str:
        """As `parse` reads it."""
        if not self.factor:
            return str(self.offset)
        text = "shift" if self.factor > 0 else "-shift"
        if self.offset:
            text = f"{self.offset} - shift" if self.factor < 0 else f"shift {'-' if self.offset < 0 else '+'} {abs(self.offset)}"
        text = text if self.low is None else f"max({text}, {self.low})"
        return text if self.high is None else f"min({text}, {self.high})"

    @classmethod
    def parse(cls, text: int | str) -> Amount:
        """`31`, `shift`, `-shift`, `31 - shift`, `shift - 31`, and `max(..., n)` or `min(..., n)` of one of them."""
        if isinstance(text, int) and not isinstance(text, bool):
            return cls(text)
        match = re.fullmatch(r"(?:(max|min)\((.+), *(-?\d+)\)|(.+))", str(text).strip())
        inner = (match[2] or match[4]) if match else ""
        if constant := re.fullmatch(r"(\d+) *([+-]) *shift", inner):
            offset, factor = int(constant[1]), int(constant[2] + "1")
        elif linear := re.fullmatch(r"(-?)shift(?: *([+-]) *(\d+))?", inner):
            offset, factor = int((linear[2] or "") + (linear[3] or "0")), -1 if linear[1] else 1
        else:
            raise SpecError(
                f"shift = {text!r}; allowed: a number, shift, -shift, 31 - shift, shift - 31, or max(..., n), min(..., n)"
            )
        bound = int(match[3]) if match and match[1] else None
        return cls(offset, factor, bound if match and match[1] == "max" else None, bound if match and match[1] == "min" else None)


@dataclass(frozen=True)
class Step:
    """One shift right, rounded once, then narrowed (rule Q2).

    sticky_bits n: the hardware keeps n + 1 fraction bits only, the value is floored to them before it is rounded.
    """

    shift: Amount
    rounding: str = "floor"
    narrow: Narrow | None = None
    sticky_bits: int | None = None

    def __post_init__(self) -> None:
        """Check the rounding and the sticky width."""
        _choice("step.rounding", self.rounding, STEP_ROUNDINGS)
        if self.sticky_bits is not None:
            _check("step.sticky_bits", self.sticky_bits, 0 <= self.sticky_bits <= 60, "0 to 60")

    def shifted(self, values: Interval, least: int) -> Interval:
        """Values that can leave the shifter, by any rounding, when it shifts right by `least` or more (left if negative)."""
        if least < 0:
            return values[0] << -least, values[1] << -least
        return min(values[0] >> least, 0), max(-(-values[1] >> least), 0)


@dataclass(frozen=True)
class ScalePrep:
    """How the real multiplier si * sw / so becomes the preset's argument (rule Q4).

    ratio: the floating-point type of that computation. bits: of the fixed-point multiplier, or of the significand. normalise: a
    significand that rounds up to 2^bits is halved. flush: exponents below it give multiplier 0. cap: exponents above it give the
    largest multiplier. shift: the preset's `shift` from the exponent. reduce: the multiplier is rounded to so many bits before
    use.
    """

    ratio: str = "f64"
    kind: str = "fixed"
    bits: int = 31
    normalise: bool = True
    flush: int | None = -31
    cap: int | None = None
    shift: Amount | None = None
    reduce: int | None = None

    def __post_init__(self) -> None:
        """Check the choices."""
        _choice("prep.ratio", self.ratio, RATIOS)
        _choice("prep.kind", self.kind, tuple(KINDS))
        _check("prep.bits", self.bits, 8 <= self.bits <= 32, "8 to 32")
        _check("prep.bits", self.bits, self.kind != "significand" or self.bits >= 24, "24 to 32 for a significand")
        if self.reduce is not None:
            ok = self.kind == "fixed" and 2 <= self.reduce <= self.bits
            _check("prep.reduce", self.reduce, ok, f"2 to {self.bits}, with kind fixed")

    @property
    def takes(self) -> tuple[str, ...]:
        """The arguments of the multiplication."""
        return KINDS[self.kind]

    @property
    def is_float(self) -> bool:
        """Whether the product is a float, not an integer."""
        return self.kind in ("f32", "f64")


@dataclass(frozen=True)
class Requantizer:
    """From an accumulator to an output code (rule Q1). Intervals are inclusive; `scale` is [low, high)."""

    name: str
    prep: ScalePrep
    steps: tuple[Step, ...]
    before: tuple[Step, ...] = ()
    zero_point: str = "after"
    zero_add: Narrow | None = None
    clamp_first: bool = False
    output: Narrow = Narrow()
    acc_bits: int = 32
    acc_within_shift: bool = False
    multiplier: Interval = (0, (1 << 31) - 1)
    shift: Interval = (0, 0)
    scale: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))
    zero_points: dict[str, tuple[int, ...]] = field(default_factory=dict)
    title: str = ""
    source: str = ""
    verified_by: str = ""
    not_verified: str = ""

    def __post_init__(self) -> None:
        """Check that the parts fit and that every intermediate value fits int64 on the whole domain."""
        _choice("zero_point", self.zero_point, ZERO_POINTS)
        _check("acc_bits", self.acc_bits, 2 <= self.acc_bits <= 62, "2 to 62")
        for name, (low, high) in (("multiplier", self.multiplier), ("shift", self.shift)):
            _check(name, [low, high], low <= high, "[lowest, highest]")
        if self.clamp_first and not (self.prep.is_float and self.output.overflow in ("saturate", "saturate_symmetric")):
            raise SpecError(
                "clamp_first = true; allowed: false, unless prep.kind is f32 or f64 and the output saturates (rule Q1)"
            )
        if "scale" in self.prep.takes and not 0 <= self.scale[0] < self.scale[1]:
            raise SpecError(f"scale = {list(self.scale)}; allowed: [low, high) with 0 <= low < high for this kind (rule Q5)")
        if self.prep.reduce and (self.multiplier[0] < 0 or self.multiplier[1] >> self.prep.bits):
            raise SpecError(f"multiplier = {list(self.multiplier)} with prep.reduce; allowed: 0 to 2^{self.prep.bits} - 1")
        if self.prep.is_float and (self.before or any(s.shift != Amount() for s in self.steps) or not self.steps):
            raise SpecError("a float product is rounded by one step or more of shift 0, without steps before it (rule Q6)")
        if (self.prep.kind == "thresholds") == bool(self.steps) or (self.before and not self.steps):
            raise SpecError(f"{len(self.steps)} steps; allowed: none for kind thresholds (rule Q7), else one or more (rule Q1)")
        signs = [s.narrow and s.narrow.overflow == "wrap_sign_magnitude" for s in self.steps]
        last = self.output.overflow == "wrap_sign_magnitude"
        shifts = bool(self.steps) and not self.prep.is_float
        if (any(signs) and not shifts) or (self.zero_add and self.zero_add.overflow == "wrap_sign_magnitude"):
            raise SpecError("narrow.overflow = 'wrap_sign_magnitude'; allowed: in an integer step, or in the output (rule Q3)")
        if last and (self.zero_point == "after" or not shifts or self.steps[-1].narrow):
            allowed = "after an integer step without narrow, and zero_point = 'none'"
            raise SpecError(f"output.overflow = 'wrap_sign_magnitude'; allowed: {allowed} (rule Q3)")
        if any(s.narrow and not s.narrow.bits for s in (*self.before, *self.steps)) or (self.zero_add and not self.zero_add.bits):
            raise SpecError("narrow.bits = 0 inside the requantizer; allowed: 2 to 62 (only `output` takes the format's width)")
        for amount in (s.shift(edge) for s in (*self.before, *self.steps) for edge in self.shift):
            _check("shift", amount, -MAX_LEFT <= amount <= MAX_SHIFT, f"{-MAX_LEFT} to {MAX_SHIFT} for every step")
        self.intervals(self.multiplier, self.shift)

    def intervals(self, multiplier: Interval, shift: Interval, acc: Interval | None = None) -> list[Interval]:
        """What can enter each step's narrow, the steps before the product first, then what enters the zero-point add.

        SpecError where a value could leave int64.
        """
        values = acc or (-(1 << (self.acc_bits - 1)), (1 << (self.acc_bits - 1)) - 1)
        if self.zero_point == "before":
            values = values[0] - (1 << 31), values[1] + (1 << 31)
        entering: list[Interval] = []
        for i, step in enumerate((*self.before, None, *self.steps)):
            if step is None:
                values = self._product(values, multiplier)
            else:
                if step.sticky_bits is not None and max(map(abs, values)) >= 1 << 62:
                    raise SpecError(f"{self.name}: stage {i} has sticky_bits and values of 2^62; allowed: less (rule Q5)")
                amounts = [step.shift(s) for s in shift]
                values = step.shifted(values, min(amounts))
                entering.append(values)
            if max(abs(v) for v in values) > LARGEST:
                raise SpecError(
                    f"{self.name}: a value of stage {i} may reach {max(map(abs, values))}; allowed: {LARGEST} (int64, rule Q5)"
                )
            if step is not None and step.narrow:
                values = step.narrow.interval(values)
        return [*entering, values]

    def _product(self, values: Interval, multiplier: Interval) -> Interval:
        if self.prep.is_float:
            bound = -(-max(map(abs, values)) * self.scale[1] // 1)
            return -int(bound), int(bound)
        if self.prep.kind == "significand":
            multiplier = (0, (1 << self.prep.bits) - 1)
        elif self.prep.reduce:
            multiplier = (0, (1 << (self.prep.reduce - 1)) - 1)
        elif self.prep.kind != "fixed":
            multiplier = (1, 1)
        products = [v * m for v in values for m in multiplier]
        return min(products), max(products)

    @property
    def registers(self) -> tuple[str, ...]:
        """Names of the stages that narrow, in order: the keys of the event counts (rule Q8)."""
        names = [f"before{i}" for i, s in enumerate(self.before) if s.narrow]
        names += [f"step{i}" for i, s in enumerate(self.steps) if s.narrow]
        return (*names, *(("zero_add",) if self.zero_add else ()), "clamp", "output")
