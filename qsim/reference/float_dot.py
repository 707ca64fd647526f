"""Rule A3 in Fractions: a row of float products, summed as a unit with few bits sums them. All numbers are float32 patterns."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from qsim.reference.numbers import Real, floor_log2, multiply, power, round_to_float, round_to_grid, round_to_integer
from qsim.spec.float_accumulator import ALIGNMENTS, FloatAccumulator, check_promotion, operand_element
from qsim.spec.number import FLOAT32, Element

INF = 0x7F800000
#: A term of a sum: its exact value, the exponent that the unit gives it, its sign bit.
Term = tuple[Real, int, int]
Pair = tuple[int, int]
#: What a row's registers held, by tap: see `qsim.datapath.dot.dot_taps`.
Taps = dict[str, list[int]]


def dot(
    a: Sequence[int],
    b: Sequence[int],
    c: int,
    acc: FloatAccumulator,
    operand: tuple[str, str],
    *,
    promote_every: int | None = None,
    out: str = "float32",
    taps: Taps | None = None,
) -> int:
    """The float32 pattern of c + sum of a*b, in the unit `acc`; `operand` are the formats of a and of b.

    taps is filled with `exponents` (E of each step), `aligned` (each step's products in units of 2^(E-F), c last),
    `partial_sums` (float32 patterns after each step; of a tree its leaves, then its sums level by level), `promoted`.
    """
    every = promote_every or acc.promote_every
    check_promotion(acc, operand[0], every)
    period = acc.period(operand[0])
    elements = operand_element(operand[0]), operand_element(operand[1])
    if acc.daz:
        a = [flush(v, elements[0]) for v in a]
        b = [flush(v, elements[1]) for v in b]
    pairs = list(zip(a, b, strict=True))
    pairs += [(0, 0)] * (-len(pairs) % period)
    taps = {} if taps is None else taps
    for tap in ("exponents", "aligned", "partial_sums", "promoted"):
        taps[tap] = []
    if every is None:
        return chain(pairs, c, acc, operand, out, taps)
    for k in range(0, len(pairs), every):
        c = add(c, chain(pairs[k : k + every], 0, acc, operand, out, taps), acc.nan)
        taps["promoted"].append(c)
    return c


def chain(pairs: list[Pair], c: int, acc: FloatAccumulator, operand: tuple[str, str], out: str, taps: Taps) -> int:
    """The steps of a row: each result is the next step's c; or a tree of them, then c."""
    if acc.order == "odd_first":
        pairs = [pair for k in range(0, len(pairs), 2) for pair in (pairs[k + 1], pairs[k])]
    nfma = acc.nfma(operand[0])
    groups = [pairs[k : k + nfma] for k in range(0, len(pairs), nfma)]
    if acc.order == "pairwise":
        sums = [step(group, None, acc, operand, out, taps) for group in groups]
        taps["partial_sums"] += sums
        while len(sums) > 1:
            odd = sums[len(sums) // 2 * 2 :]
            added = [add(x, y, acc.nan) for x, y in zip(sums[::2], sums[1::2], strict=False)]
            taps["partial_sums"] += added
            sums = added + odd
        return add(sums[0], c, acc.nan) if sums else c
    for group in groups:
        late = acc.c == "late_f32"
        c = add(step(group, None, acc, operand, out, taps), c, acc.nan) if late else step(group, c, acc, operand, out, taps)
        taps["partial_sums"].append(c)
    return c


def step(group: list[Pair], c: int | None, acc: FloatAccumulator, operand: tuple[str, str], out: str, taps: Taps) -> int:
    """One step: terms aligned to the largest exponent and cut, summed exactly, rounded once."""
    ea, eb = operand_element(operand[0]).emin, operand_element(operand[1]).emin
    terms = [product(x, y, ea, eb) for x, y in group]
    result, mode = acc.result(out)
    if c is not None:
        c = flush(c, result) if acc.daz else c
        terms.append((value(c), exponent(c, result.emin), c >> 31))
    special = sum_of_specials([v for v, _, _ in terms], acc.nan)
    if special is not None:
        taps["exponents"].append(0)
        taps["aligned"] += [0] * (len(group) + 1)
        return special
    nonzero = [(v, e) for v, e, _ in terms if isinstance(v, Fraction) and v != 0]
    minus = int(acc.signed_zero and all(sign for _, _, sign in terms))
    total = Fraction(0)
    if acc.fraction is None:
        total = sum((v for v, _ in nonzero), Fraction(0))
    else:
        lowest = [] if acc.min_exponent is None else [acc.min_exponent]
        E = max([*lowest, *(e for _, e in nonzero)], default=0)
        unit = power(E - acc.fraction)
        aligned = [round_to_integer(v / unit, ALIGNMENTS[acc.alignment]) for v, _, _ in terms if isinstance(v, Fraction)]
        taps["exponents"].append(E)
        taps["aligned"] += aligned + [0] * (c is None)
        total = unit * sum(aligned)
    return rounded(total, minus, result, mode, acc)


def product(x: int, y: int, ea: int, eb: int) -> Term:
    """A product keeps the sum of its operands' exponents: its significand lies in [1, 4) and is not normalised."""
    return multiply(value(x), value(y)), exponent(x, ea) + exponent(y, eb), x >> 31 ^ y >> 31


def value(pattern: int) -> Real:
    """Exact value of a float32 pattern."""
    return FLOAT32.value(pattern)


def exponent(pattern: int, emin: int) -> int:
    """Exponent of a finite value, that of the smallest normal for a subnormal of its format and for zero."""
    v = value(pattern)
    return emin if isinstance(v, str) or v == 0 else max(floor_log2(abs(v)), emin)


def flush(pattern: int, element: Element) -> int:
    """A subnormal of the format becomes a zero of its sign."""
    v = value(pattern)
    return pattern & 1 << 31 if isinstance(v, Fraction) and abs(v) < power(element.emin) else pattern


def sum_of_specials(values: list[Real], nan: int) -> int | None:
    """The pattern of a sum with a NaN or an infinity, else None."""
    if "nan" in values or ("inf" in values and "-inf" in values):
        return nan
    return INF if "inf" in values else INF | 1 << 31 if "-inf" in values else None


def rounded(total: Fraction, minus: int, result: Element, mode: str, acc: FloatAccumulator) -> int:
    """A finite sum as a float32 pattern: rounded once into the result's type."""
    sign = int(total < 0) if total else minus
    grid = round_to_grid(total, result, mode)
    if acc.ftz and total != 0:
        unbounded = Element("float", result.bits, result.exponent_bits, result.mantissa_bits, 1 << 20)
        if abs(round_to_grid(total, unbounded, mode)) < power(result.emin):
            grid = Fraction(0)
    if abs(grid) > result.largest:
        if acc.overflow == "inf":
            return INF | sign << 31
        grid = result.largest if grid > 0 else -result.largest
    if grid == 0 and not acc.signed_zero:
        sign = 0
    return round_to_float(grid, FLOAT32, sign=sign)


def add(x: int, y: int, nan: int) -> int:
    """One float32 addition, half_even, as IEEE 754 has it."""
    p, q = value(x), value(y)
    special = sum_of_specials([p, q], nan)
    if special is not None:
        return special
    assert isinstance(p, Fraction)
    assert isinstance(q, Fraction)
    return round_to_float(p + q, FLOAT32, sign=x >> 31 & y >> 31)
