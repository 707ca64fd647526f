"""Words whose bits stand in another order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qsim.spec import Format

BYTE = 8


def word_mistakes(fmt: Format) -> Iterator[tuple[str, str, Callable[[int], int]]]:
    """Words whose bits stand in another order."""
    bits = fmt.word_bits
    if bits > BYTE and bits % BYTE == 0:
        yield "bytes reversed", "the bytes of a word stand in the other order", lambda v: groups(v, bits, BYTE, reverse=True)
    if bits >= BYTE and bits % BYTE == 0:
        yield "nibbles swapped", "the high nibble is read first", lambda v: _nibbles(v, bits)
    if bits > 1:
        yield "bits reversed", "the wires of a word are numbered from the other end", lambda v: groups(v, bits, 1, reverse=True)
    if fmt.block_scales and fmt.layout.scales == "word":
        yield "rotated by one bit", "the fields of a word start one bit too high", lambda v: v >> 1 | (v & 1) << (bits - 1)
        front = sum(width * count for _, width, count in fmt.word_fields[:1])
        yield (
            "fields exchanged",
            "the scales are read from the other end of the word",
            lambda v: v >> (bits - front) | (v & ((1 << (bits - front)) - 1)) << front,
        )


def groups(value: int, bits: int, width: int, *, reverse: bool) -> int:
    """Bits in groups of a width; the groups in the other order."""
    mask = (1 << width) - 1
    groups = [value >> i & mask for i in range(0, bits, width)]
    return sum(g << i * width for i, g in enumerate(reversed(groups) if reverse else groups))


def _nibbles(value: int, bits: int) -> int:
    low = int("0f" * (bits // BYTE), 16)
    return (value & low) << 4 | value >> 4 & low
