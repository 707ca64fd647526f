"""Rule B in Python ints and Fractions: signs, packed bits, products by popcount, scales. Rows are lists, words are ints."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

from qsim.reference.numbers import Real, fl32, fl64, power
from qsim.reference.scaling import TERNARY_THRESHOLD, mean_of_magnitudes

WORD = 64
SMALLEST = power(-149)

Image = Sequence[Sequence[Sequence[int]]]
Range = tuple[int, int, int, int, int]


def sign(value: Fraction) -> int:
    """+1 where value >= 0, which both zeros are."""
    return 1 if value >= 0 else -1


def stochastic_sign(value: Fraction, word: int, random_bits: int) -> int:
    """+1 iff the random word is below p * 2^r, p = clip((value + 1) / 2, 0, 1)."""
    p = min(max((value + 1) / 2, Fraction(0)), Fraction(1))
    return 1 if word < p * (1 << random_bits) else -1


def pack(fields: Sequence[int], bits: int) -> list[int]:
    """Fields of so many bits in words of 64, the first lowest, the rest 0 (rules P2, P5)."""
    stream = sum(field << bits * i for i, field in enumerate(fields))
    return [stream >> WORD * i & (1 << WORD) - 1 for i in range(-(-bits * len(fields) // WORD))]


def pack_signs(signs: Sequence[int]) -> list[int]:
    """Rule P1: 1 for +1, 0 for -1."""
    return pack([int(s == 1) for s in signs], 1)


def pack_planes(values: Sequence[int]) -> tuple[list[int], list[int]]:
    """Words of `nonzero` and of `negative`."""
    return pack([int(v != 0) for v in values], 1), pack([int(v < 0) for v in values], 1)


def pack_codes(values: Sequence[int]) -> list[int]:
    """Rule P1: 2-bit two's complement."""
    return pack([v % 4 for v in values], 2)


def xnor_dot(a: Sequence[int], w: Sequence[int], n: int) -> int:
    """-n + 2 * popcount(a xnor w) over the first n bits."""
    equal = ~(_number(a) ^ _number(w)) & (1 << n) - 1
    return -n + 2 * equal.bit_count()


def ternary_dot(a: tuple[Sequence[int], Sequence[int]], w: tuple[Sequence[int], Sequence[int]]) -> int:
    """How many products are +1, less how many are -1."""
    nonzero = _number(a[0]) & _number(w[0])
    differ = _number(a[1]) ^ _number(w[1])
    return (nonzero & ~differ).bit_count() - (nonzero & differ).bit_count()


def conv2d(x: Image, w: Image, rows: Range, columns: Range, pad_value: int) -> list[list[int]]:
    """An image (H, W, C) and a kernel (KH, KW, C) of integers: (OH, OW) sums. Range: size, before, stride, dilation, outputs."""
    return [[_window(x, w, rows, columns, (i, j), pad_value) for j in range(columns[4])] for i in range(rows[4])]


def _window(x: Image, w: Image, rows: Range, columns: Range, place: tuple[int, int], pad_value: int) -> int:
    total = 0
    for u, v in product(range(len(w)), range(len(w[0]))):
        i, j = _tap(rows, place[0], u), _tap(columns, place[1], v)
        inside = 0 <= i < rows[0] and 0 <= j < columns[0]
        total += sum(weight * (x[i][j][c] if inside else pad_value) for c, weight in enumerate(w[u][v]))
    return total


def _tap(axis: Range, window: int, tap: int) -> int:
    """Where a tap lies on the image."""
    _, before, stride, dilation, _ = axis
    return window * stride + tap * dilation - before


def alpha(values: Sequence[Fraction], threshold: Fraction | None = None) -> Fraction:
    """Mean of |w|, of the |w| above the threshold where there is one: once to float32, never 0 but for an all-zero row (S9)."""
    kept = list(values) if threshold is None else [v for v in values if abs(v) > threshold]
    if not any(kept):
        return Fraction(0 if threshold is None else 1)
    mean = fl32(mean_of_magnitudes(kept))
    assert isinstance(mean, Fraction)
    return mean or SMALLEST


def activation_scale(values: Sequence[Fraction], number: int) -> Fraction:
    """K or beta: the sum of |x| under a window over all its places, those in the padding too."""
    mean = fl32(fl64(fl64(sum(map(abs, values), Fraction(0))) / number))
    assert isinstance(mean, Fraction)
    return mean


def twn_threshold(values: Sequence[Fraction]) -> Fraction:
    """0.7 * mean |w|, once to float64."""
    return fl64(TERNARY_THRESHOLD * mean_of_magnitudes(list(values))) if values else Fraction(0)


def optimal_threshold(values: Sequence[Fraction]) -> Fraction:
    """The largest |w| that is dropped where ||w - alpha * t||^2 is least over every t of -1, 0 and +1; the fewest are kept."""
    found = {}
    for threshold in {Fraction(0), *map(abs, values)}:
        kept = [abs(v) for v in values if abs(v) > threshold]
        mean = sum(kept, Fraction(0)) / len(kept) if kept else Fraction(0)
        found[threshold] = sum(((abs(v) - mean) ** 2 if abs(v) > threshold else v * v) for v in values), len(kept)
    return min(found, key=lambda t: (found[t], -t))


def scaled(integer: int, scales: Sequence[Fraction]) -> Real:
    """The exact product, once to float32."""
    total = Fraction(integer)
    for scale in scales:
        total *= scale
    return fl32(total)


def _number(words: Sequence[int]) -> int:
    return sum(word << WORD * i for i, word in enumerate(words))
