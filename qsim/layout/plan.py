"""What stands where in a buffer: rules P2 to P5 and the `[layout]` table of a format, as a list of sections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qsim.spec import Geometry

LAYOUTS = ("block", "planar")
RUN = 64  # codes in one word of a plain run: a whole number of uint64 for every width
Plane = tuple[str, int, int]  # name, bits of a code, codes


@dataclass(frozen=True)
class Section:
    """Equal words, one after the other; sections follow each other without a gap.

    fields: (name, bits of a code, codes a word) from bit 0 of a word. pad: zero bits at the top of each word.
    first: number of the first code in the array of the section's only field; 0 with more fields.
    """

    words: int
    fields: tuple[Plane, ...]
    pad: int = 0
    first: int = 0

    @property
    def word_bits(self) -> int:
        """Width of a word, pad included."""
        return sum(bits * count for _, bits, count in self.fields) + self.pad

    @property
    def bits(self) -> int:
        """Width of the section."""
        return self.words * self.word_bits


def buffer_sections(geometry: Geometry, layout: str) -> tuple[Section, ...]:
    """The sections of a buffer: a whole number of bytes."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}; allowed: {', '.join(LAYOUTS)} (rules P3, P4)")
    return tuple(_block(geometry) if layout == "block" else _planar(geometry))


def word_sections(geometry: Geometry, word_bits: int) -> Iterator[Section]:
    """The words of rule P3, each with zero bits up to `word_bits`."""
    fields = geometry.fmt.word_fields
    pad = word_bits - sum(bits * count for _, bits, count in fields)
    if pad or len(fields) > 1:
        yield Section(geometry.words, fields, pad)
    else:
        ((name, bits, count),) = fields
        yield from _run(name, bits, geometry.words * count)


def _block(geometry: Geometry) -> Iterator[Section]:
    """P3: words, scale planes if the format wants them, channel and tensor scales, zero points, zero bits to a byte."""
    fmt = geometry.fmt
    if fmt.layout.byte_order == "big" and fmt.word_bits % 8:
        raise ValueError(f"{fmt.name}: layout.byte_order = 'big' needs words of whole bytes; a word has {fmt.word_bits} bits")
    yield from word_sections(geometry, fmt.word_bits)
    planes = _scale_planes(geometry) if fmt.layout.scales == "plane" else ()
    for plane in (*planes, *_trailing(geometry)):
        yield from _run(*plane)
    yield from _to_byte(geometry.storage_bits)


def _planar(geometry: Geometry) -> Iterator[Section]:
    """P4: elements, scale levels finest first, zero points; each plane with zero bits to a byte."""
    fmt = geometry.fmt
    elements = ("element", fmt.element.bits, geometry.words * fmt.block_size)
    for name, bits, count in (elements, *_scale_planes(geometry), *_trailing(geometry)):
        yield from _run(name, bits, count)
        yield from _to_byte(bits * count)


def _scale_planes(geometry: Geometry) -> Iterator[Plane]:
    """Scales of integer groups, partial blocks filled."""
    for i, s in enumerate(geometry.fmt.block_scales):
        assert isinstance(s.group, int)
        yield f"scale{i}", s.bits, geometry.words * (geometry.fmt.block_size // s.group)


def _trailing(geometry: Geometry) -> Iterator[Plane]:
    """Channel and tensor scales, then zero points."""
    for i, (bits, count) in enumerate(geometry.trailing_scales, len(geometry.fmt.block_scales)):
        yield f"scale{i}", bits, count
    yield "zero_point", geometry.fmt.element.bits, geometry.zero_points


def _run(name: str, bits: int, count: int) -> Iterator[Section]:
    """Codes alone, RUN a word, the rest one a word."""
    whole = count // RUN
    yield Section(whole, ((name, bits, RUN),))
    yield Section(count - whole * RUN, ((name, bits, 1),), first=whole * RUN)


def _to_byte(bits: int) -> Iterator[Section]:
    yield Section(1, (), pad=-bits % 8)
