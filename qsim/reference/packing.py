"""Codes <-> bits: rules P1 to P5 and the `[layout]` table of a format, one bit at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qsim.reference.groups import rows_along
from qsim.reference.tensor import Encoded
from qsim.spec.format import Format
from qsim.spec.geometry import Geometry

LAYOUTS = ("block", "planar")


@dataclass(frozen=True)
class _Field:
    """A run of codes in a buffer: their width and where each stands in its list; None is padding (code 0)."""

    name: str
    bits: int
    places: list[int | None]


def to_words(
    encoded: Encoded,
    shape: Sequence[int],
    fmt: Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
) -> list[int]:
    """The word of each block, rows in C order with `axis` moved last (rule P3)."""
    geometry = Geometry.of(fmt, tuple(shape), axis=axis, granularity=granularity, channel_axis=channel_axis)
    lists = _lists(encoded, geometry)
    return [_word(fields, lists) for fields in _block_fields(geometry)]


def pack(
    encoded: Encoded,
    shape: Sequence[int],
    fmt: Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
    layout: str = "block",
) -> bytes:
    """The bytes of a tensor."""
    geometry = Geometry.of(fmt, tuple(shape), axis=axis, granularity=granularity, channel_axis=channel_axis)
    lists = _lists(encoded, geometry)
    if _checked(layout, geometry) == "planar":
        return b"".join(_bytes(_field_bits(plane, lists), "lsb") for plane in _planes(geometry))
    fmt = geometry.fmt
    stream: list[int] = []
    for fields in _block_fields(geometry):
        word = _bits(_word(fields, lists), fmt.word_bits)
        stream += _swapped(word, fmt)
    for field in _after_words(geometry):
        stream += _field_bits(field, lists)
    return _bytes(stream, fmt.layout.bit_order)


def unpack(
    buf: bytes,
    shape: Sequence[int],
    fmt: Format,
    *,
    axis: int = -1,
    granularity: int | str | None = None,
    channel_axis: int = 0,
    layout: str = "block",
) -> Encoded:
    """The inverse of pack; refuses a buffer of any other length (rule P5)."""
    geometry = Geometry.of(fmt, tuple(shape), axis=axis, granularity=granularity, channel_axis=channel_axis)
    fmt = geometry.fmt
    planar = _checked(layout, geometry) == "planar"
    planes = _planes(geometry) if planar else []
    bits = sum(-(-f.bits * len(f.places) // 8) * 8 for f in planes) if planar else geometry.storage_bits
    size = -(-bits // 8)
    if len(buf) != size:
        raise ValueError(f"{len(buf)} bytes; {fmt.name} of shape {tuple(shape)} in layout {layout!r} has {size} bytes (rule P5)")
    lists: dict[str, list[int]] = {name: [0] * count for name, count in _counts(geometry).items()}
    if planar:
        for plane in planes:
            size = -(-plane.bits * len(plane.places) // 8)
            _read(plane, iter(_stream(buf[:size], "lsb")), lists)
            buf = buf[size:]
    else:
        stream = iter(_stream(buf, fmt.layout.bit_order))
        for fields in _block_fields(geometry):
            word = iter(_swapped([next(stream) for _ in range(fmt.word_bits)], fmt))
            for field in fields:
                _read(field, word, lists)
        for field in _after_words(geometry):
            _read(field, stream, lists)
    zero = [
        z - (z >> (fmt.element.bits - 1) << fmt.element.bits) if fmt.element.kind == "int" else z for z in lists["zero_point"]
    ]
    scales = tuple(lists[f"scale{i}"] for i in range(len(fmt.scales)))
    return Encoded(lists["element"], scales, zero if fmt.zero_point else None)


# --- what stands where ---


def _checked(layout: str, geometry: Geometry) -> str:
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}; allowed: {', '.join(LAYOUTS)}")
    if layout == "block" and geometry.fmt.layout.byte_order == "big" and geometry.fmt.word_bits % 8:
        raise ValueError(f"{geometry.fmt.name}: byte_order = 'big' needs whole bytes, a word has {geometry.fmt.word_bits} bits")
    return layout


def _block_fields(geometry: Geometry) -> Iterator[list[_Field]]:
    """The fields of each block word, from bit 0."""
    rows = {name: _padded_rows(name, geometry) for name, _, _ in geometry.fmt.word_fields}
    for row in range(geometry.rows):
        for block in range(geometry.blocks_per_row):
            yield [
                _Field(name, bits, rows[name][row][block * count : (block + 1) * count])
                for name, bits, count in geometry.fmt.word_fields
            ]


def _padded_rows(name: str, geometry: Geometry) -> list[list[int | None]]:
    """Places of the codes of `element` or of `scaleN` (an integer group), row by row, padded to whole blocks."""
    shape, per_block = geometry.shape, geometry.fmt.block_size
    if name != "element":
        level = int(name.removeprefix("scale"))
        group = geometry.fmt.scales[level].group
        assert isinstance(group, int)
        shape, per_block = geometry.scale_shapes[level], per_block // group
    length = geometry.blocks_per_row * per_block
    return [[*row, *[None] * (length - len(row))] for row in rows_along(shape, geometry.axis)]


def _plane(name: str, bits: int, geometry: Geometry) -> _Field:
    return _Field(name, bits, [place for row in _padded_rows(name, geometry) for place in row])


def _trailing(geometry: Geometry) -> list[_Field]:
    """Channel and tensor scales, finest level first, then zero points (rule P3)."""
    counts = _counts(geometry)
    fields = [
        _Field(f"scale{i}", s.bits, list(range(counts[f"scale{i}"])))
        for i, s in enumerate(geometry.fmt.scales)
        if not isinstance(s.group, int)
    ]
    if geometry.fmt.zero_point:
        bits = geometry.fmt.element.bits
        if isinstance(geometry.fmt.scales[0].group, int):
            fields.append(
                _Field("zero_point", bits, [p for row in rows_along(geometry.scale_shapes[0], geometry.axis) for p in row])
            )
        else:
            fields.append(_Field("zero_point", bits, list(range(counts["zero_point"]))))
    return fields


def _block_scale_planes(geometry: Geometry) -> list[_Field]:
    return [_plane(f"scale{i}", s.bits, geometry) for i, s in enumerate(geometry.fmt.block_scales)]


def _after_words(geometry: Geometry) -> list[_Field]:
    """What follows the block words in layout `block`."""
    return (_block_scale_planes(geometry) if geometry.fmt.layout.scales == "plane" else []) + _trailing(geometry)


def _planes(geometry: Geometry) -> list[_Field]:
    """P4: element codes, scale levels finest first, zero points."""
    return [_plane("element", geometry.fmt.element.bits, geometry), *_block_scale_planes(geometry), *_trailing(geometry)]


def _counts(geometry: Geometry) -> dict[str, int]:
    """Number of codes of each list."""
    scales = {f"scale{i}": _product(shape) for i, shape in enumerate(geometry.scale_shapes)}
    return {"element": geometry.size, **scales, "zero_point": geometry.zero_points}


def _product(shape: Iterable[int]) -> int:
    result = 1
    for n in shape:
        result *= n
    return result


def _lists(encoded: Encoded, geometry: Geometry) -> dict[str, list[int]]:
    """The lists of codes by name, lengths checked; zero points as codes of the element's width."""
    zero = [z % (1 << geometry.fmt.element.bits) for z in encoded.zero_point or ()]
    lists = {"element": encoded.codes, **{f"scale{i}": s for i, s in enumerate(encoded.scales)}, "zero_point": zero}
    given, wanted = {name: len(codes) for name, codes in lists.items()}, _counts(geometry)
    if given != wanted:
        raise ValueError(f"lengths {given}; shape {geometry.shape} of {geometry.fmt.name} needs {wanted}")
    return lists


# --- bits ---


def _bits(value: int, width: int) -> list[int]:
    """Bits of a code, the least significant first (rule P2)."""
    if not 0 <= value < 1 << width:
        raise ValueError(f"code {value} does not fit in {width} bits")
    return [value >> i & 1 for i in range(width)]


def _number(bits: Iterable[int]) -> int:
    return sum(bit << i for i, bit in enumerate(bits))


def _field_bits(field: _Field, lists: dict[str, list[int]]) -> list[int]:
    return [b for p in field.places for b in _bits(0 if p is None else lists[field.name][p], field.bits)]


def _word(fields: list[_Field], lists: dict[str, list[int]]) -> int:
    return _number(b for field in fields for b in _field_bits(field, lists))


def _read(field: _Field, stream: Iterator[int], lists: dict[str, list[int]]) -> None:
    """Take a field from a stream of bits; padding is dropped."""
    for place in field.places:
        code = _number([next(stream) for _ in range(field.bits)])
        if place is not None:
            lists[field.name][place] = code


def _swapped(word: list[int], fmt: Format) -> list[int]:
    """The bits of a word with its bytes in the layout's order."""
    if fmt.layout.byte_order == "little":
        return word
    return [b for start in range(len(word) - 8, -1, -8) for b in word[start : start + 8]]


def _bytes(stream: list[int], order: str) -> bytes:
    """Bytes of a stream, zero bits up to the last byte; `order` names the end of a byte that fills first."""
    padded = stream + [0] * (-len(stream) % 8)
    chunks = (padded[i : i + 8] for i in range(0, len(padded), 8))
    return bytes(_number(chunk if order == "lsb" else reversed(chunk)) for chunk in chunks)


def _stream(buf: bytes, order: str) -> list[int]:
    """The bits of bytes, in stream order."""
    return [b for byte in buf for b in (_bits(byte, 8) if order == "lsb" else reversed(_bits(byte, 8)))]
