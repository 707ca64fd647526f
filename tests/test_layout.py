"""Rules P1 to P5: pack and unpack, words and limbs, the `[layout]` table, and what unpack refuses."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsim import reference
from qsim.codec import set_num_threads
from qsim.codec.qtensor import QTensor, unsigned_dtype
from qsim.layout import pack, stream, to_limbs, to_words, unpack
from qsim.reference import Encoded
from qsim.spec import Format, Geometry, Layout, Scale, format_names, load_format
from qsim.spec.number import Element
from tests.adapters import flat, outcome
from tests.strategies import formats, geometries

pytestmark = pytest.mark.kernels
LAYOUTS = ("block", "planar")
SHAPES = [(), (1,), (0,), (16,), (33,), (2, 16), (3, 37), (0, 5), (5, 0), (2, 3, 19), (1, 70), (65, 1)]


def random_tensor(fmt: Format, shape: tuple[int, ...], seed: int = 0, **where: Any) -> QTensor:
    """Random codes of every kind that a format has, without an encoder."""
    rng = np.random.default_rng(seed)
    geometry = Geometry.of(fmt, shape, **where)

    def draw(bits: int, dims: tuple[int, ...]) -> np.ndarray:
        return rng.integers(0, 1 << bits, dims, dtype=np.uint64).astype(unsigned_dtype(bits))

    fmt = geometry.fmt
    codes = draw(fmt.element.bits, geometry.moved_shape)
    if fmt.element.kind == "ternary":
        codes[codes == 0b10] = 0
    scales = []
    for s, dims in zip(fmt.scales, geometry.scale_shapes, strict=True):
        grouped = isinstance(s.group, int)
        scales.append(draw(s.bits, tuple(np.moveaxis(np.empty(dims, bool), geometry.axis, -1).shape) if grouped else dims))
    zero_point = None
    if fmt.zero_point:
        zero_point = rng.integers(fmt.element.qmin, fmt.element.qmax + 1, scales[0].shape).astype(np.int32)
    return QTensor(fmt, shape, geometry, codes, tuple(scales), zero_point)


def assert_same(a: QTensor, b: QTensor) -> None:
    """Equal field by field, dtypes and shapes included."""
    assert (a.format, a.shape, a.geometry) == (b.format, b.shape, b.geometry)
    pairs = [(a.codes_moved, b.codes_moved), *zip(a.scales_moved, b.scales_moved, strict=True)]
    if a.zero_point is not None:
        assert b.zero_point is not None
        pairs.append((a.zero_point, b.zero_point))
    for x, y in pairs:
        assert (x.dtype, x.shape, x.flags.c_contiguous) == (y.dtype, y.shape, y.flags.c_contiguous)
        assert x.tobytes() == y.tobytes()


@st.composite
def layouts(draw: Any, fmt: Format) -> Layout:
    """Any `[layout]` table that fits a format."""
    names = ["element", *(f"scale{i}" for i in range(len(fmt.block_scales)))]
    big = draw(st.booleans())
    return Layout(
        fields=tuple(draw(st.permutations(names))),
        scales=draw(st.sampled_from(["word", "plane"])),
        bit_order=draw(st.sampled_from(["lsb", "msb"])),
        byte_order="big" if big else "little",
        align=draw(st.sampled_from([8, 32, 40, 256] if big else [1, 3, 4, 8, 64, 200])),
    )


ODD_FORMATS = [
    Format("odd_levels", Element("sign_magnitude", 6), (Scale("E1M0", 3), Scale("E8M0", 9))),
    Format("odd_vsq", Element("int", 3), (Scale("UINT5", 5), Scale("FP16", "channel"))),
    Format("wide_vsq", Element("int", 11), (Scale("UINT6", 4), Scale("FP16", 12))),
    Format("int9_groups", Element("int", 9), (Scale("FP32", 7),)),
    Format("affine_int5", Element("int", 5), (Scale("FP32", 6),), zero_point=True),
    Format("affine_int8", Element("int", 8), (Scale("FP32", "channel"),), zero_point=True),
]


@st.composite
def tensors(draw: Any) -> tuple[QTensor, dict[str, Any]]:
    """A tensor of a catalogue or an odd format, with or without a `[layout]` table, and the arguments of its encode."""
    fmt = draw(st.one_of(formats(), st.sampled_from(ODD_FORMATS)))
    shape = draw(st.sampled_from(SHAPES))
    where = draw(geometries(fmt, shape))
    if draw(st.booleans()):
        fmt = replace(fmt, layout=draw(layouts(fmt.with_granularity(where.get("granularity")))))
    return random_tensor(fmt, shape, draw(st.integers(0, 99)), **where), where


@given(tensors(), st.sampled_from(LAYOUTS))
def test_unpack_of_pack_is_the_identity_and_the_bytes_are_those_of_the_reference(drawn, layout):
    """unpack(pack(q)) = q, 8 * len(block) = storage_bits rounded up to a byte, and two implementations agree on every bit."""
    q, where = drawn
    data = q.pack(layout)
    if layout == "block":
        assert len(data) == ceil(q.storage_bits / 8)
    assert data == reference.pack(Encoded(*flat(q)), q.shape, q.format, layout=layout, **where)
    assert_same(unpack(data, q.format, q.shape, layout=layout, **where), q)
    assert reference.unpack(data, q.shape, q.format, layout=layout, **where) == Encoded(*flat(q))


@given(tensors())
def test_words_and_limbs(drawn):
    """to_words gives the reference's ints, whatever the byte order of memory; limbs are the same numbers in uint64."""
    q, where = drawn
    words = to_words(q)
    assert words == reference.to_words(Encoded(*flat(q)), q.shape, q.format, **where)
    limbs = to_limbs(q)
    assert limbs.shape == (q.geometry.words, ceil(q.format.word_bits / 64))
    assert [sum(limb << 64 * i for i, limb in enumerate(row)) for row in limbs.tolist()] == words


@pytest.mark.parametrize(
    ("name", "block", "bits"),
    [
        ("mx9", 16, 144),
        ("mx6", 16, 96),
        ("mx4", 16, 64),
        ("vsq4", 16, 68),
        ("mxfp4", 32, 136),
        ("nvfp4", 16, 72),
        ("bfp", 16, 136),
    ],
)
def test_published_sizes(name, block, bits):
    """Words have the published width and follow each other without padding."""
    fmt = load_format(name)
    q = random_tensor(fmt, (3, block * 5))
    trailing = {"vsq4": 3 * 16, "nvfp4": 32}.get(name, 0)
    assert (fmt.word_bits, q.storage_bits) == (bits, 15 * bits + trailing)
    assert len(q.pack()) == ceil(q.storage_bits / 8)


def hand(name: str | Format, codes: list[int], *scales: list[int], zero_point: int | None = None) -> QTensor:
    """A 1-D tensor of the codes given."""
    geometry = Geometry.of(load_format(name), (len(codes),))
    arrays = [np.array(c, unsigned_dtype(s.bits)) for c, s in zip(scales, geometry.fmt.scales, strict=True)]
    for i, dims in enumerate(geometry.scale_shapes):
        arrays[i] = arrays[i].reshape(dims)
    zero = None if zero_point is None else np.array(zero_point, np.int32)
    element = np.array(codes, unsigned_dtype(geometry.fmt.element.bits))
    return QTensor(geometry.fmt, (len(codes),), geometry, element, tuple(arrays), zero)


def test_mx9_word_by_hand():
    """Rule P3: {exp[7:0], micro[7:0], elem[15:0][7:0]}, element 0 lowest."""
    q = hand("mx9", list(range(0x10, 0x20)), [1, 0, 0, 0, 0, 0, 0, 0], [0x7F])
    assert to_words(q) == [0x7F_01_1F1E1D1C1B1A19181716151413121110]
    assert q.pack().hex(" ") == "10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 01 7f"
    assert q.pack("planar").hex(" ") == "10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 01 7f"


def test_vsq4_words_by_hand():
    """68-bit words follow without a gap, then the FP16 channel scale, then zero bits to a byte."""
    q = hand("vsq4", [0x1] * 15 + [0x8] + [0x2] * 16 + [0x3] * 15 + [0x9], [0xA, 0xB, 0xC], [0x3C55])
    assert to_words(q) == [0xA_8111111111111111, 0xB_2222222222222222, 0xC_9333333333333333]
    number = 0xA_8111111111111111 | 0xB_2222222222222222 << 68 | 0xC_9333333333333333 << 136 | 0x3C55 << 204
    assert q.pack() == number.to_bytes(28, "little")
    assert q.pack("planar").hex(" ") == "11 11 11 11 11 11 11 81 22 22 22 22 22 22 22 22 33 33 33 33 33 33 33 93 ba 0c 55 3c"


def test_partial_blocks_by_hand():
    """Rule P5: the rest of a partial block is code 0, in its scales too."""
    q = hand("mx4", [0b111, 0b100, 0b010], [1, 1], [0x80])
    assert to_words(q) == [0x80_03_000000000000 | 0b010_100_111]
    assert q.pack().hex(" ") == "a7 00 00 00 00 00 03 80"


def test_zero_points_by_hand():
    """Zero points follow the scales at element width; a negative one is two's complement."""
    q = hand("uint4", [1, 2, 3], [0x3F800000], zero_point=9)
    assert int.from_bytes(q.pack(), "little") == 0x321 | 0x3F800000 << 12 | 9 << 44
    signed = Format("affine_int4", Element("int", 4), (Scale("FP32", "tensor"),), zero_point=True)
    q = hand(signed, [1, 2, 3], [0x3F800000], zero_point=-3)
    assert int.from_bytes(q.pack(), "little") == 0x321 | 0x3F800000 << 12 | 0b1101 << 44
    assert_same(unpack(q.pack(), signed, (3,)), q)


PAIR = Format("pair", Element("int", 4, lsb_exponent=-2), (Scale("E8M0", 2),))


@pytest.mark.parametrize(
    ("layout", "memory"),
    [
        (Layout(), "21 a5 43 f0"),
        (Layout(fields=("scale0", "element")), "a5 21 f0 43"),
        (Layout(scales="plane"), "21 43 a5 f0"),
        (Layout(bit_order="msb"), "84 a5 c2 0f"),
        (Layout(byte_order="big"), "a5 21 f0 43"),
        (Layout(align=24), "21 a5 00 43 f0 00"),
        (Layout(align=24, byte_order="big"), "00 a5 21 00 f0 43"),
    ],
)
def test_layout_tables_by_hand(layout, memory):
    """Every key of `[layout]` does what it says, and unpack undoes it."""
    fmt = replace(PAIR, layout=layout)
    q = hand(fmt, [1, 2, 3, 4], [0xA5, 0xF0])
    assert q.pack().hex(" ") == memory
    assert q.pack("planar").hex(" ") == "21 43 a5 f0"
    assert_same(unpack(bytes.fromhex(memory), fmt, (4,)), q)


@given(tensors(), st.sampled_from(LAYOUTS), st.sampled_from([1, 64, 1000]))
def test_threads_and_parts_do_not_enter(drawn, layout, part):
    """The same bytes and the same tensor for 1 and 2 threads and for any size of a task."""
    q, where = drawn
    data = q.pack(layout)
    before = stream.PART
    try:
        stream.PART = part
        for threads in (1, 2):
            set_num_threads(threads)
            assert q.pack(layout) == data
            assert_same(unpack(data, q.format, q.shape, layout=layout, **where), q)
    finally:
        stream.PART = before
        set_num_threads(None)


@pytest.mark.parametrize("name", ["mx9", "vsq4", "int5", "tf32"])
def test_many_words_on_threads(name, monkeypatch):
    """Enough words for several tasks of 64 words and a rest; the reference packs the same."""
    monkeypatch.setattr(stream, "PART", 1)
    q = random_tensor(load_format(name), (5, 16 * 41 + 7))
    words = to_words(q)
    assert words == reference.to_words(Encoded(*flat(q)), q.shape, q.format)
    number = sum(word << i * q.format.word_bits for i, word in enumerate(words))
    end = q.geometry.words * q.format.word_bits
    assert int.from_bytes(q.pack(), "little") & ((1 << end) - 1) == number
    assert_same(unpack(q.pack(), name, q.shape), q)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_buffers_of_any_kind(layout):
    """bytes, bytearray, memoryview and arrays, aligned or not, read-only or not; the tensor's own arrays read-only too."""
    q = random_tensor(load_format("vsq4"), (3, 40))
    for array in (q.codes_moved, *q.scales_moved):
        array.flags.writeable = False
    data = q.pack(layout)
    shifted = np.frombuffer(b"x" + data, np.uint8)[1:]
    for buf in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), shifted, shifted.view(np.int8)):
        got = unpack(buf, "vsq4", (3, 40), layout=layout)
        assert_same(got, q)
        assert got.codes_moved.flags.writeable


@given(tensors(), st.sampled_from(LAYOUTS), st.sampled_from([-1, 1, 100]))
def test_any_other_length_is_refused(drawn, layout, more):
    """Rule P5, and the error says what is expected."""
    q, where = drawn
    data = q.pack(layout)
    wrong = data[:more] if more < 0 else data + bytes(more)
    if len(wrong) == len(data):
        return
    with pytest.raises(ValueError, match=rf"{q.format.name} of shape .* has {len(data)} bytes, the buffer has {len(wrong)}"):
        unpack(wrong, q.format, q.shape, layout=layout, **where)


@given(tensors(), st.sampled_from(LAYOUTS), st.data())
def test_every_bit_counts(drawn, layout, data):
    """A flipped bit of a buffer gives another tensor or is refused: no bit is ignored."""
    q, where = drawn
    packed = bytearray(q.pack(layout))
    if not packed:
        return
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[bit // 8] ^= 1 << bit % 8
    got = outcome(unpack, packed, q.format, q.shape, layout=layout, **where)
    if got is not ValueError:
        assert got.pack(layout) == bytes(packed)
        assert flat(got) != flat(q)


def test_pad_bits_are_named():
    """Pad bits at the end, of an aligned word, of a plane, and fill codes of a partial block must be 0."""
    q = hand("int3", [1, 2, 3], [0x3F800000])
    data = bytearray(q.pack())
    data[-1] |= 0x80
    with pytest.raises(
        ValueError, match=r"int3 of shape \(3,\) in layout 'block': byte 5 has pad bits that are not 0: the last 7"
    ):
        unpack(data, "int3", (3,))
    planar = bytearray(q.pack("planar"))
    planar[1] |= 0x02
    with pytest.raises(ValueError, match="byte 1 has pad bits that are not 0: the last 7 of it"):
        unpack(planar, "int3", (3,), layout="planar")
    aligned = replace(PAIR, layout=Layout(align=24))
    data = bytearray(hand(aligned, [1, 2, 3, 4], [5, 6]).pack())
    data[5] = 1
    with pytest.raises(ValueError, match="word 1 has pad bits that are not 0: bits 16 to 23"):
        unpack(data, aligned, (4,))
    data = bytearray(hand("mx4", [1, 2, 3], [1, 1], [0x80]).pack())
    data[4] = 0x08
    with pytest.raises(
        ValueError, match=r"word 0 has a code that is not 0 after the 3 codes of field 'element' in row 0: 0x4 at place 11"
    ):
        unpack(data, "mx4", (3,))


def test_impossible_codes_are_refused():
    """0b10 is no ternary code; the error names the word."""
    data = bytearray(hand("ternary", [0, 1, 3, 1, 0], [0x3F800000]).pack())
    data[0] = 0b01_10_01_00
    with pytest.raises(ValueError, match="word 2 holds the ternary code 0b10"):
        unpack(data, "ternary", (5,))


@pytest.mark.parametrize("buf", ["0123", 17, [1, 2, 3], None, np.zeros(18, np.uint16), np.zeros(36, np.uint8)[::2]])
def test_other_types_are_refused(buf):
    with pytest.raises(TypeError, match="allowed: bytes, or a contiguous buffer of bytes"):
        unpack(buf, "mx9", (16,))


@pytest.mark.parametrize("shape", [16, (16.0,), "16", None])
def test_other_shapes_are_refused(shape):
    with pytest.raises(TypeError, match="allowed: a tuple of integers"):
        unpack(bytes(18), "mx9", shape)


def test_other_arguments_are_refused():
    with pytest.raises(ValueError, match="layout='rows'; allowed: block, planar"):
        unpack(bytes(18), "mx9", (16,), layout="rows")
    with pytest.raises(ValueError, match="layout='rows'; allowed: block, planar"):
        pack(random_tensor(load_format("mx9"), (16,)), "rows")
    with pytest.raises(ValueError, match="negative dimension"):
        unpack(bytes(18), "mx9", (-16,))
    big = replace(load_format("vsq4"), layout=Layout(byte_order="big"))
    with pytest.raises(ValueError, match="byte_order = 'big' needs words of whole bytes; a word has 68 bits"):
        random_tensor(big, (16,)).pack()


def test_every_catalogue_format_round_trips_in_every_geometry():
    """All formats, both layouts, each axis, each granularity: nothing is left to chance."""
    for name in format_names():
        fmt = load_format(name)
        for axis in (0, 1, 2):
            for granularity in (None, "tensor", "channel", 5, 16) if fmt.granularity else (None,):
                where: dict[str, Any] = {"axis": axis, "granularity": granularity, "channel_axis": (axis + 1) % 3}
                q = random_tensor(fmt, (3, 18, 35), seed=axis, **where)
                for layout in LAYOUTS:
                    assert_same(unpack(q.pack(layout), name, (3, 18, 35), layout=layout, **where), q)
