"""Exact numbers: Fractions, the words "nan", "inf", "-inf", and one rounding each into an integer or a float code."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from qsim.spec.number import FLOAT32, Element, float_element

#: An exact value: a Fraction, or "nan", "inf", "-inf".
Real = Fraction | str

FLOAT64 = float_element(11, 52, "ieee")
HALF = Fraction(1, 2)
TOWARD_ZERO = {"toward_zero": (0, 1), "to_odd": (0, 1), "floor": (0,), "ceil": (1,)}  # signs whose overflow is the largest finite

#: Rule R1: does the magnitude whole + rest (0 <= rest < 1) of a number go up to whole + 1?
GOES_UP: dict[str, Callable[[int, Fraction, bool], bool]] = {
    "half_even": lambda whole, rest, negative: rest > HALF or (rest == HALF and whole % 2 == 1),
    "half_away": lambda whole, rest, negative: rest >= HALF,
    "half_up": lambda whole, rest, negative: rest > HALF or (rest == HALF and not negative),
    "half_down": lambda whole, rest, negative: rest > HALF or (rest == HALF and negative),
    "half_zero": lambda whole, rest, negative: rest > HALF,
    "toward_zero": lambda whole, rest, negative: False,
    "away_from_zero": lambda whole, rest, negative: rest > 0,
    "floor": lambda whole, rest, negative: rest > 0 and negative,
    "ceil": lambda whole, rest, negative: rest > 0 and not negative,
    "to_odd": lambda whole, rest, negative: rest > 0 and whole % 2 == 0,
}


def power(exponent: int) -> Fraction:
    """2^exponent."""
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


def floor_log2(value: Fraction) -> int:
    """The exponent e with 2^e <= value < 2^(e+1), for value > 0."""
    e = value.numerator.bit_length() - value.denominator.bit_length()
    return e if power(e) <= value else e - 1


def round_to_integer(value: Fraction, mode: str = "half_even", word: int = 0, r: int = 8) -> int:
    """Rules R1 and R2: one rounding of the exact value; `word` of r random bits for `stochastic`."""
    magnitude, negative = abs(value), value < 0
    whole = magnitude.numerator // magnitude.denominator
    rest = magnitude - whole
    up = int(rest * (1 << r)) + word >= 1 << r if mode == "stochastic" else GOES_UP[mode](whole, rest, negative)
    return -(whole + up) if negative else whole + up


def round_to_grid(value: Fraction, element: Element, mode: str = "half_even", word: int = 0, r: int = 8) -> Fraction:
    """The value rounded to the precision of a float element, as if its exponent had no upper end."""
    exponent = element.emin if value == 0 else max(floor_log2(abs(value)), element.emin)
    quantum = power(exponent - element.mantissa_bits)
    return round_to_integer(value / quantum, mode, word, r) * quantum


def magnitude_code(magnitude: Fraction, element: Element) -> int:
    """Code without sign of a value that the float element has."""
    if magnitude == 0:
        return 0
    exponent = max(floor_log2(magnitude), element.emin)
    significand = magnitude / power(exponent - element.mantissa_bits)
    assert significand.denominator == 1
    # The hidden bit of a normal significand adds the 1 that makes field = exponent - emin + 1.
    return ((exponent - element.emin) << element.mantissa_bits) + significand.numerator


def round_to_float(
    value: Real, element: Element, mode: str = "half_even", word: int = 0, r: int = 8, *, sign: int = 0, saturate: bool = False
) -> int:
    """Rule R3: the code of a value in a float element. `sign` is the sign bit of a zero or a NaN."""
    if isinstance(value, str):
        if value == "nan":
            if element.nan_code is None:
                raise ValueError(f"NaN has no code in {element.name} (rule R3)")
            return _signed(element.nan_code, sign, element)
        return _signed(_overflow_code(element, saturate), int(value == "-inf"), element)
    sign = int(value < 0) if value else sign
    magnitude = abs(round_to_grid(value, element, mode, word, r))
    if magnitude <= element.largest:
        return _signed(magnitude_code(magnitude, element), sign, element)
    return _signed(_overflow_code(element, saturate or sign in TOWARD_ZERO.get(mode, ())), sign, element)


def _overflow_code(element: Element, saturate: bool) -> int:
    """Infinity, else NaN, else the largest finite value."""
    if saturate or element.specials == "none":
        return element.max_code
    return element.max_code + 1


def _signed(magnitude: int, sign: int, element: Element) -> int:
    return magnitude | sign << (element.bits - 1)


def one_code(element: Element) -> int:
    """Code of 1.0."""
    return round_to_float(Fraction(1), element)


def sign_of(value: Real) -> int:
    """1 for a negative value, else 0."""
    return int(value == "-inf") if isinstance(value, str) else int(value < 0)


def multiply(a: Real, b: Real) -> Real:
    """The exact product; IEEE 754 rules for the words."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a * b
    if "nan" in (a, b) or 0 in (a, b):
        return "nan"
    return "-inf" if sign_of(a) != sign_of(b) else "inf"


def divide(a: Real, b: Real) -> Real:
    """The exact quotient; IEEE 754 rules for the words and for a zero (+0) divisor."""
    if isinstance(b, str):
        return "nan" if b == "nan" or isinstance(a, str) else Fraction(0)
    if b == 0:
        return "nan" if a in ("nan", 0) else "-inf" if sign_of(a) else "inf"
    return multiply(a, 1 / b)


def rounded(value: Real, element: Element) -> Real:
    """The value after one half_even rounding into a float type."""
    return value if value == "nan" else element.value(round_to_float(value, element))


def fl32(value: Real) -> Real:
    """One float32 operation's rounding."""
    return rounded(value, FLOAT32)


def fl64(value: Fraction) -> Fraction:
    """One float64 operation's rounding, of a value that float64's range holds."""
    result = rounded(value, FLOAT64)
    assert isinstance(result, Fraction)
    return result
