"""float32 rows for encoders of shared exponents: one law a row, another element of it in every lane (rules S1, S2).

Lanes rotate from row to row, so that each lane meets each shift, each sticky bit and each decisive exponent bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations

from qsim.golden.bits import INF, SIGN
from qsim.spec import Format

Row = tuple[tuple[str, ...], str, list[int]]
Fraction23 = Callable[[int, int], tuple[int, int]]  # lane, shift -> sign, fraction field

FRACTION = 23
ONES = (1 << FRACTION) - 1
TOP = 254  # largest exponent field of a number
FIELD_BITS = 8
#: Five numbers of eight bits, and zero: any two of the bits take all four values (a covering array of strength two).
BASES = (0, *(sum((t in chosen) << j for j, chosen in enumerate(list(combinations(range(5), 3))[:FIELD_BITS])) for t in range(5)))


class Lanes:
    """A block of n lanes whose elements are significands shifted right against the largest exponent field."""

    def __init__(self, fmt: Format) -> None:
        """Of a format with a shared exponent, with or without microexponents."""
        self.n = fmt.block_size
        self.near = FRACTION + fmt.element.lsb_exponent  # the shift of the largest element
        micro = next((s.group for s in fmt.scales if s.kind == "microexponent"), 0)
        assert isinstance(micro, int)
        self.micro = micro

    @property
    def deep(self) -> int:
        """Distance from the largest element at which the hidden bit is half a step."""
        return FRACTION + 1 - self.near

    def tau(self, fields: Sequence[int], lane: int) -> int:
        """1 where the lane's whole pair lies below the largest exponent."""
        if not self.micro:
            return 0
        first = lane - lane % self.micro
        return int(max(fields[first : first + self.micro]) < max(fields))

    def shift(self, fields: Sequence[int], lane: int) -> int:
        """element = significand / 2^shift."""
        return max(fields) - max(fields[lane], 1) - self.tau(fields, lane) + self.near

    def row(self, fields: Sequence[int], fraction: Fraction23) -> list[int]:
        """float32 patterns of exponent fields and what the fraction is for a lane and its shift."""
        found = []
        for lane, field in enumerate(fields):
            sign, bits = fraction(lane, self.shift(fields, lane))
            found.append(sign * SIGN | field << FRACTION | bits & ONES)
        return found

    def below(self, exponent: int, anchor: int, distances: Sequence[int]) -> list[int]:
        """Fields: the exponent at the anchor, elsewhere a distance below it that its microexponent leaves over."""
        group = self.micro or 1
        tau = [int(self.micro > 0 and i // group != anchor // group) for i in range(self.n)]
        return [exponent if i == anchor else max(exponent - d - tau[i], 0) for i, d in enumerate(distances)]


def tie(lane: int, shift: int, turn: int) -> tuple[int, int]:
    """Half a step, nothing below it; bits above it by turns."""
    return (lane + turn) % 2, _above(lane, shift, turn) | _bit(shift - 1)


def lone(lane: int, shift: int, bit: int) -> tuple[int, int]:
    """Half a step above an even element, and one bit below."""
    return lane % 2, _bit(shift - 1) | _bit(bit)


def short(lane: int, shift: int, turn: int) -> tuple[int, int]:
    """Every bit below half a step, above an odd element."""
    return (lane + turn) % 2, _above(lane, shift, turn) | _bit(shift) | (_bit(shift - 1) - 1 if shift > 0 else 0)


def ones(lane: int, shift: int, turn: int) -> tuple[int, int]:
    """Every bit of the significand, whatever the shift: the carry, and saturation at the top."""
    del shift
    return (lane + turn) % 2, ONES


def exact(_lane: int, _shift: int, _turn: int) -> tuple[int, int]:
    """A negative power of two: one bit of the element."""
    return 1, 0


def two(lane: int, shift: int, turn: int) -> tuple[int, int]:
    """The hidden bit, one more bit of the element, by turns, and the smallest sticky bit above half a step."""
    room = max(FRACTION - shift, 1)
    return (lane + turn) % 2, _bit(shift + (lane + turn) % room) | _bit(shift - 1) | 1


KINDS = (tie, short, ones, two, exact, tie)


def _bit(place: int) -> int:
    return 1 << place if place >= 0 else 0


def _above(lane: int, shift: int, turn: int) -> int:
    """Bits of the element but the hidden one: every number of them by turns."""
    return (5 * lane + 3 * turn + lane * turn) << max(shift, 0)


def mixed(turn: int) -> Fraction23:
    """Each lane another kind of fraction, by turns."""
    return lambda lane, shift: KINDS[(lane + turn) % len(KINDS)](lane, shift, turn)


def lane_rows(fmt: Format) -> Iterator[Row]:
    """Every law, for formats whose scale is the largest exponent."""
    if fmt.family == "microexponent":
        b = Lanes(fmt)
        for law in (lone_stickies, distances, unique_largest, pairs_apart, one_bit_exponents, subnormals, far_below, not_finite):
            yield from law(b)


def lone_stickies(b: Lanes) -> Iterator[Row]:
    """Just above half of the smallest element: of all 23 fraction bits one alone, in each lane another one."""
    for r in range(FRACTION):
        anchor = 5 * r % b.n
        fields = b.below(127 + r, anchor, [b.deep] * b.n)

        def fraction(lane: int, shift: int, r: int = r) -> tuple[int, int]:
            return lone(lane, shift, (lane + r) % FRACTION) if shift > b.near else (lane % 2, _bit(shift - 1) | _bit(r % shift))

        yield ("LoneSticky",), f"bit (lane + {r}) mod 23 alone beyond half of the smallest element", b.row(fields, fraction)


def distances(b: Lanes) -> Iterator[Row]:
    """Every distance below the largest element that leaves something, and two beyond, in every lane with three fractions."""
    span = b.deep + 3
    for r in range(3 * span):
        fields = b.below(BASES[1 + (r + r // span) % 5], 7 * r % b.n, [(i + r) % span for i in range(b.n)])
        yield ("EveryDistance",), f"distances (lane + {r}) mod {span}", b.row(fields, mixed(r + r // span))


def unique_largest(b: Lanes) -> Iterator[Row]:
    """Each lane alone has the largest exponent, all others one less, so that every bit of a comparison decides."""
    for anchor in range(b.n):
        for base in BASES if anchor == 0 else (BASES[anchor % 3], BASES[3 + anchor % 3]):
            fields = [base + (i == anchor) for i in range(b.n)]
            yield ("UniqueLargest",), f"exponent {base + 1} in lane {anchor}, else {base}", b.row(fields, mixed(anchor + base))


def pairs_apart(b: Lanes) -> Iterator[Row]:
    """In every pair one element at the largest exponent, the other one less, or less by one bit of the field."""
    if not b.micro:
        return
    for r, base in enumerate((*BASES, *BASES)):
        fields = [base + ((i + i // b.micro + r // len(BASES)) % b.micro == 0) for i in range(b.n)]
        yield ("PairsApart",), f"exponents {base + 1} and {base} in every pair, {r}", b.row(fields, mixed(r))
    for r in range(2 * (FIELD_BITS - 1)):
        lower = [TOP - (2 << (i // b.micro + r) % (FIELD_BITS - 1)) for i in range(b.n)]
        fields = [TOP if (i + i // b.micro + r // (FIELD_BITS - 1)) % b.micro else low for i, low in enumerate(lower)]
        yield ("PairsApart",), f"exponents that differ in bit 1 + (pair + {r}) mod 7", b.row(fields, mixed(r))


def one_bit_exponents(b: Lanes) -> Iterator[Row]:
    """All lanes at an exponent of one bit, and at one that a bit tells from infinity."""
    for turn in range(2 * FIELD_BITS):
        bit = 1 << turn // 2
        field = 255 - bit if turn % 2 else bit
        yield ("OneBitExponent",), f"exponent {field} in all lanes", b.row([field] * b.n, mixed(turn))


def subnormals(b: Lanes) -> Iterator[Row]:
    """Subnormal elements in every lane, alone or below a small exponent."""
    for r, shared in enumerate((0, 0, 0, 0, 0, 0, 1, 1, 2, 3, b.deep - 1, b.deep, b.deep + 1)):
        fields = [shared if i == 5 * r % b.n else 0 for i in range(b.n)]

        def fraction(lane: int, shift: int, r: int = r, fields: Sequence[int] = fields) -> tuple[int, int]:
            sign, bits = mixed(r)(lane, shift)
            return sign, bits if fields[lane] or r % 2 else bits | _bit(min(shift, FRACTION - 1))

        text = f"below exponent {shared}" if shared else "in all lanes"
        yield ("SubnormalLanes",), f"subnormals {text}, {r}", b.row(fields, fraction)


def far_below(b: Lanes) -> Iterator[Row]:
    """Shifts that are, but for their highest bit, those of visible elements."""
    for high in (32, 64, 128, 256):
        for turn in range(2):
            anchor = (3 + 8 * turn) % b.n
            # No shift is 256 + near: the largest distance is 253.
            fields = b.below(TOP, anchor, [min(high, TOP - b.deep - 2) + (i + turn) % b.deep for i in range(b.n)])
            yield ("FarBelow",), f"distances of {high} and more, {turn}", b.row(fields, partial(ones, turn=turn))


def not_finite(b: Lanes) -> Iterator[Row]:
    """One infinity or NaN, in each lane, with at most one bit in its fraction."""
    for lane in range(b.n):
        special = INF | lane % 2 * SIGN | (_bit(7 * lane % FRACTION) if lane % 3 else 0)
        row = b.row([127 + i % 3 for i in range(b.n)], mixed(lane))
        flag, name = ("NaN", "a NaN") if lane % 3 else ("Inf", "an infinity")
        yield (flag,), f"{name} in lane {lane}", [special if i == lane else bits for i, bits in enumerate(row)]
