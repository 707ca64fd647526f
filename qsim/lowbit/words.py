"""Packed bits: 64 signs a word, the first lowest (rules P1, P2, P5), and the two bit-planes of ternary."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsim.spec.geometry import normalize_axis

Array = NDArray[Any]
Words = NDArray[np.uint64]
BITS = 64
#: Lengths below it have sums, and twice their popcounts, that int32 holds.
LENGTHS = 1 << 30


class Planes(NamedTuple):
    """Ternary bits by place: `nonzero` and `negative`, the low and the high bit of the codes (rule P1): 00 is 0, 01 +1, 11 -1.

    Both are uint64 words as of `pack_bits`, of one shape.
    """

    nonzero: Words
    negative: Words


def pack_bits(signs: object, *, axis: int = -1) -> Words:
    """Signs as bits: 1 for +1, 0 for -1; element i is bit i % 64 of word i // 64 (rules P1, P2).

    Args:
        signs: integers or floats that are -1 or +1, or booleans (True is +1), of one dimension or more. `sign` makes them.
        axis: the dimension to pack, of length n; for a product its reduction axis.

    Returns:
        (..., ceil(n / 64)) uint64, `axis` moved last; the bits beyond n are 0 (rule P5). n travels beside it: 32 signs of float32
        take 4 bytes here, exactly 1/32, where n is a multiple of 64, and at most 7 7/8 bytes a row more elsewhere.

    Raises:
        ValueError: a value that is no sign (0 is none: `sign` decides), or no dimension.
    """
    values = np.asarray(signs)
    if values.ndim == 0:
        raise ValueError("signs of shape (); allowed: one dimension or more")
    if values.dtype.kind == "b":
        ones = values
    else:
        ones = values == 1
        if np.count_nonzero(ones) + np.count_nonzero(values == -1) != values.size:
            refuse(~(ones | (values == -1)), values, "-1 or +1 (`sign` makes them), or booleans")
    return words_of(np.moveaxis(ones, normalize_axis(axis, values.ndim), -1))


def unpack_bits(words: object, n: int) -> NDArray[np.int8]:
    """The n signs of each row of words: (..., n) int8, -1 or +1. ValueError as `check_words`."""
    return signs_of(bits_of(check_words(words, n), n))


def pack_ternary(values: object, *, axis: int = -1) -> Planes:
    """-1, 0 and +1 as two bit-planes, packed as `pack_bits` does; ValueError for any other value."""
    x = np.asarray(values)
    if x.ndim == 0:
        raise ValueError("values of shape (); allowed: one dimension or more")
    moved = np.moveaxis(x, normalize_axis(axis, x.ndim), -1)
    nonzero, negative = moved != 0, moved == -1
    if np.count_nonzero(nonzero) != np.count_nonzero(negative) + np.count_nonzero(moved == 1):
        refuse((x != -1) & (x != 0) & (x != 1), x, "-1, 0 or +1 (`ternary_signs` makes them)")
    return Planes(words_of(nonzero), words_of(negative))


def unpack_ternary(planes: Planes, n: int) -> NDArray[np.int8]:
    """The n values of each row of the planes: (..., n) int8, -1, 0 or +1. ValueError as `check_planes`."""
    nonzero, negative = check_planes(planes, n)
    return bits_of(nonzero, n).view(np.int8) - np.int8(2) * bits_of(negative, n).view(np.int8)


def pack_codes(planes: Planes, n: int) -> Words:
    """The 2-bit codes of the planes: (..., ceil(n / 32)) uint64, element i at bit 2 * (i % 32) of word i // 32 (P1, P2)."""
    nonzero, negative = check_planes(planes, n)
    parts = [(x & np.uint64(0xFFFFFFFF), x >> np.uint64(32)) for x in (nonzero, negative)]
    halves = [_spread(low) | _spread(high) << np.uint64(1) for low, high in zip(*parts, strict=True)]
    both = np.stack(halves, axis=-1)
    return both.reshape(*nonzero.shape[:-1], 2 * nonzero.shape[-1])[..., : -(-n // 32)]


def unpack_codes(codes: object, n: int) -> Planes:
    """The planes of n 2-bit codes a row, as `pack_codes` makes them; ValueError for the code 0b10 and for a tail."""
    words = _words(codes, -(-check_length(n) // 32), "codes")
    _refuse_tail(words, 2 * n, "codes")
    even = np.zeros((*words.shape[:-1], 2 * (-(-n // BITS))), np.uint64)
    odd = even.copy()
    even[..., : words.shape[-1]], odd[..., : words.shape[-1]] = _gather(words), _gather(words >> np.uint64(1))
    planes = Planes(*(x[..., ::2] | x[..., 1::2] << np.uint64(32) for x in (even, odd)))
    return check_planes(planes, n)


def words_of(bits: Array) -> Words:
    """(..., n) booleans or bytes of 0 and 1 as words."""
    n = bits.shape[-1]
    packed = np.zeros((*bits.shape[:-1], 8 * (-(-n // BITS))), np.uint8)
    packed[..., : -(-n // 8)] = np.packbits(bits, axis=-1, bitorder="little")
    return packed.view("<u8").astype(np.uint64, copy=False)


def bits_of(words: Words, n: int) -> NDArray[np.uint8]:
    """(..., n) bytes of 0 and 1."""
    data = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(data, axis=-1, count=n, bitorder="little")


def signs_of(bits: Array) -> NDArray[np.int8]:
    """Booleans or bytes of 0 and 1 as -1 and +1."""
    return np.asarray(bits.view(np.int8) * np.int8(2) - np.int8(1))


def check_length(n: object) -> int:
    """n, if it can be a length."""
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or not 0 <= n < LENGTHS:
        raise ValueError(f"n={n!r}; allowed: 0 to 2^30 - 1, so that every sum fits int32")
    return int(n)


def check_words(words: object, n: int, name: str = "words") -> Words:
    """Words of n bits a row. ValueError for another type or count, and for bits beyond n, which would count in a product."""
    checked = _words(words, -(-check_length(n) // BITS), name)
    _refuse_tail(checked, n, name)
    return checked


def check_planes(planes: Planes, n: int, name: str = "planes") -> Planes:
    """Planes of n bits a row; ValueError as `check_words`, and where a bit is negative but not nonzero (code 0b10, rule P1)."""
    if not isinstance(planes, tuple) or len(planes) != 2:
        raise ValueError(f"{name} is of type {type(planes).__name__}; allowed: Planes (nonzero, negative)")
    nonzero, negative = (check_words(p, n, f"{name}.{part}") for p, part in zip(planes, Planes._fields, strict=True))
    if nonzero.shape != negative.shape:
        raise ValueError(f"{name}: nonzero of shape {nonzero.shape}, negative {negative.shape}; allowed: one shape")
    if (wrong := negative & ~nonzero).any():
        *row, word = np.argwhere(wrong)[0].tolist()
        bit = int(wrong[*row, word]) & -int(wrong[*row, word])
        place = ", ".join(map(str, [*row, BITS * word + bit.bit_length() - 1]))
        raise ValueError(f"{name}: element [{place}] is negative but not nonzero; 0b10 is no ternary code (rule P1)")
    return Planes(nonzero, negative)


def refuse(bad: Array, values: Array, allowed: str) -> None:
    """ValueError that names the first bad value, if there is one."""
    if bad.any():
        place = tuple(np.argwhere(bad)[0].tolist())
        index = ", ".join(map(str, place))
        raise ValueError(
            f"{values[place]!s} at index [{index}], {np.count_nonzero(bad)} of {values.size} values; allowed: {allowed}"
        )


def _words(words: object, count: int, name: str) -> Words:
    array = np.asarray(words)
    if array.dtype != np.uint64 or array.ndim == 0 or array.shape[-1] != count:
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}; allowed: uint64 of shape (..., {count})")
    return array


def _refuse_tail(words: Words, n: int, name: str) -> None:
    if n % BITS and (wrong := words[..., -1] >> np.uint64(n % BITS)).any():
        row = ", ".join(map(str, np.argwhere(wrong)[0].tolist()))
        raise ValueError(
            f"{name}: row [{row}] has bits beyond its {n}, {np.count_nonzero(wrong)} of {wrong.size} rows; allowed: 0 (rule P5)"
        )


_STEPS = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def _spread(x: Words) -> Words:
    """Bit i of the low half moved to bit 2i."""
    for shift, mask in _STEPS:
        x = (x | x << np.uint64(shift)) & np.uint64(mask)
    return x


def _gather(x: Words) -> Words:
    """Bit 2i moved to bit i."""
    x = x & np.uint64(_STEPS[-1][1])
    masks = [mask for _, mask in _STEPS[-2::-1]] + [0xFFFFFFFF]
    for (shift, _), mask in zip(_STEPS[::-1], masks, strict=True):
        x = (x | x >> np.uint64(shift)) & np.uint64(mask)
    return x
