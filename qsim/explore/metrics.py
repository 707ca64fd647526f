"""How far decoded values stand from the originals.

Sums are float64 over chunks of 2^14 elements in C order, each chunk by numpy's pairwise sum and the chunks in order: the
same result for any number of threads. Values beyond 10^+-100 are scaled by a power of two first, so squares neither
overflow nor vanish.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from qsim.codec.qtensor import QTensor
    from qsim.spec import Element, Format, Options

Array = NDArray[Any]
CHUNK = 1 << 14
SAFE = (1e-100, 1e100)


@dataclass(frozen=True)
class Metrics:
    """Distance of y from x.

    sqnr: 10*log10(sum x^2 / sum (x-y)^2) in dB; +inf where y equals x (also all zero, also empty), -inf for x all zero
        and y not.
    mse: mean of (x-y)^2; 0 for empty arrays.
    max_error: largest |x-y|; 0 for empty arrays.
    cosine: sum x*y / sqrt(sum x^2 * sum y^2); 1 where both are all zero (or empty), 0 where one is.
    zeroed: share of the elements with x != 0 and y = 0.
    saturated: share of the elements that the format could not reach: the code is the largest or the smallest of its
        element type (with narrow_range: -qmax), and x lies beyond the value y that this code has in its group, be it by
        less than half a step; or a finite x took the code of Inf or NaN. None without a QTensor.
    A NaN in x or y, and an infinity met by the same infinity, make the first four NaN. Where y is infinite and x finite,
    sqnr is -inf, mse and max_error are inf and cosine is NaN; where x is infinite, sqnr is NaN.
    """

    sqnr: float
    mse: float
    max_error: float
    cosine: float
    zeroed: float
    saturated: float | None


@dataclass
class Sums:
    """Running sums of a tensor that is read in pieces; squares are in units of 4^exponent."""

    exponent: int = 0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0
    ee: float = 0.0
    max_error: float = 0.0
    zeroed: int = 0
    saturated: int = 0
    size: int = 0
    coded: bool = True

    def add(self, x: ArrayLike, y: ArrayLike, q: QTensor | None = None) -> None:
        """Add a piece: x, its decoded values y and, for the share of saturated elements, its QTensor."""
        left, right = np.asarray(x), np.asarray(y)
        if left.shape != right.shape:
            raise ValueError(f"x has shape {left.shape} and y has {right.shape}; they must be equal")
        if q is not None and q.shape != left.shape:
            raise ValueError(f"q has shape {q.shape} and x has {left.shape}; they must be equal")
        codes = None if q is None else q.codes.reshape(-1)
        left, right = left.reshape(-1), right.reshape(-1)
        self.coded &= q is not None
        self.size += left.size
        with np.errstate(all="ignore"):
            for i in range(0, left.size, CHUNK):
                a, b = left[i : i + CHUNK].astype(np.float64), right[i : i + CHUNK].astype(np.float64)
                self._add_chunk(a, b)
                if q is not None and codes is not None:
                    self.saturated += int(np.count_nonzero(is_saturated(a, b, codes[i : i + CHUNK], q.format, q.options)))

    def _add_chunk(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self.zeroed += int(np.count_nonzero((y == 0) & (x != 0)))
        e = x - y
        self.max_error = float(np.maximum(self.max_error, np.max(np.abs(e))))
        exponent = safe_exponent(float(np.max(np.abs(x))), float(np.max(np.abs(y))))
        if exponent:
            x, y = np.ldexp(x, -exponent), np.ldexp(y, -exponent)
            e = x - y
        self._align(exponent, bool(self.xx or self.yy))
        shift = 2 * (exponent - self.exponent)
        self.xx += math.ldexp(float(np.sum(x * x)), shift)
        self.yy += math.ldexp(float(np.sum(y * y)), shift)
        self.xy += math.ldexp(float(np.sum(x * y)), shift)
        self.ee += math.ldexp(float(np.sum(e * e)), shift)

    def _align(self, exponent: int, used: bool) -> None:
        """Raise the unit to that of a piece with larger values; the first values set it."""
        if used and exponent <= self.exponent:
            return
        shift = 2 * (self.exponent - exponent) if used else 0
        self.xx, self.yy, self.xy, self.ee = (math.ldexp(v, shift) for v in (self.xx, self.yy, self.xy, self.ee))
        self.exponent = exponent

    def metrics(self) -> Metrics:
        """The metrics of everything added."""
        n = max(self.size, 1)
        with np.errstate(all="ignore"):
            mse = float(np.ldexp(self.ee / n, 2 * self.exponent))
        return Metrics(
            sqnr=decibel(self.xx, self.ee),
            mse=mse,
            max_error=self.max_error,
            cosine=_cosine(self.xx, self.yy, self.xy),
            zeroed=self.zeroed / n,
            saturated=self.saturated / n if self.coded else None,
        )


def metrics(x: ArrayLike, y: ArrayLike, *, q: QTensor | None = None) -> Metrics:
    """Distance of y from x; with the QTensor that y was decoded from also the share of saturated elements."""
    sums = Sums()
    sums.add(x, y, q)
    return sums.metrics()


def is_saturated(x: Array, y: Array, codes: Array, fmt: Format, options: Options) -> NDArray[np.bool_]:
    """Elements that the format could not reach: see Metrics.saturated."""
    from qsim.codec.lower import integer_range

    element = fmt.element
    beyond = np.zeros(x.shape, bool)
    if element.is_float:
        sign = 1 << (element.bits - 1)
        top, bottom = element.max_code, element.max_code | sign
        beyond = ((codes & (sign - 1)) > element.max_code) & np.isfinite(x)
    else:
        bottom, top = (_code(value, element) for value in integer_range(fmt, options))
    return np.asarray(((codes == top) & (x > y)) | ((codes == bottom) & (x < y)) | beyond)


def _code(value: int, element: Element) -> int:
    """The bit pattern of an integer (rule P1)."""
    if element.kind == "binary":
        return (value + 1) // 2
    if element.kind == "sign_magnitude" and value < 0:
        return -value | 1 << (element.bits - 1)
    return value & ((1 << element.bits) - 1)


def decibel(signal: float, noise: float) -> float:
    """10*log10(signal / noise): +inf without noise, -inf without signal, NaN where the ratio is not defined."""
    if math.isnan(signal) or math.isnan(noise) or math.isinf(signal):
        return math.nan
    if noise == 0:
        return math.inf
    if signal == 0 or math.isinf(noise):
        return -math.inf
    return 10 * (math.log10(signal) - math.log10(noise))


def _cosine(xx: float, yy: float, xy: float) -> float:
    if xx == 0 or yy == 0:
        return 1.0 if xx == yy else 0.0 if xx + yy > 0 else math.nan
    if xx == yy == xy and math.isfinite(xx):
        return 1.0
    value = xy / (math.sqrt(xx) * math.sqrt(yy))
    return max(-1.0, min(1.0, value)) if math.isfinite(value) else math.nan


def safe_exponent(*magnitudes: float) -> int:
    """0, or the exponent of the largest magnitude where its square would leave float64's comfortable range."""
    top = max((m for m in magnitudes if math.isfinite(m)), default=0.0)
    return 0 if top == 0 or SAFE[0] < top < SAFE[1] else math.frexp(top)[1]
