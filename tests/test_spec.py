"""The catalogue states what is published; a file that lies is refused by file, key and value; a user's own file works everywhere."""

from __future__ import annotations

import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qsim
from qsim.spec import Format, SpecError, format_names, load_format, resolve_options
from qsim.spec.load import PUBLISHED_KEYS, data_folder, parse_format, read_table
from qsim.spec.table import format_digest, format_table
from tests.adapters import reference_encode, same

NAMES = format_names()

# --- the catalogue ---

#: The table of the design, section 1, and the plain floats' own widths.
EFFECTIVE_BITS = {
    **{f"int{n}": n for n in (2, 3, 4, 5, 6, 8, 16)},
    **{"uint4": 4, "uint8": 8, "vsq4": 4.25, "mx4": 4, "mx6": 6, "mx9": 9, "bfp": 8.5},
    **{"mxfp8_e4m3": 8.25, "mxfp8_e5m2": 8.25, "mxfp6_e3m2": 6.25, "mxfp6_e2m3": 6.25, "mxfp4": 4.25, "mxint8": 8.25},
    **{"nvfp4": 4.5, "binary": 1, "ternary": 2, "fp16": 16, "bf16": 16, "tf32": 19, "fp8_e4m3": 8, "fp8_e5m2": 8},
    **{"fp6_e3m2": 6, "fp6_e2m3": 6, "fp4_e2m1": 4},
}
FAMILY = {
    "float": ["bf16", "fp16", "fp4_e2m1", "fp6_e2m3", "fp6_e3m2", "fp8_e4m3", "fp8_e5m2", "tf32"],
    "microexponent": ["bfp", "mx4", "mx6", "mx9"],
    "ocp": ["mxfp4", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp8_e4m3", "mxfp8_e5m2", "mxint8"],
    "absmax": ["int16", "int2", "int3", "int4", "int5", "int6", "int8"],
    "affine": ["uint4", "uint8"],
    "vsq": ["vsq4"],
    "nvfp4": ["nvfp4"],
    "binary": ["binary"],
    "ternary": ["ternary"],
}


def published(name: str) -> dict[str, Any]:
    """The [published] table, typed by hand from the source; the code never reads it."""
    table = tomllib.loads((data_folder("formats") / f"{name}.toml").read_text())
    return table["published"]


@pytest.mark.parametrize("name", NAMES)
def test_derived_equals_published(name: str) -> None:
    """Effective bits, word width, largest and smallest value follow from the declaration."""
    fmt = load_format(name)
    derived = {
        "effective_bits": fmt.effective_bits,
        "word_bits": fmt.word_bits,
        "largest": fmt.element.largest,
        "smallest": fmt.element.smallest,
    }
    table = published(name)
    assert "effective_bits" in table
    assert fmt.name == name
    for key, value in table.items():
        assert derived[key] == Fraction(value), key
        assert key in PUBLISHED_KEYS


def test_effective_bits_of_the_design() -> None:
    """load_format(n).effective_bits gives the table of the design for every format."""
    assert {n: load_format(n).effective_bits for n in NAMES} == {n: Fraction(b) for n, b in EFFECTIVE_BITS.items()}
    assert all(isinstance(load_format(n).effective_bits, Fraction) for n in NAMES)


def test_families() -> None:
    """Every format has the rule that is meant for it."""
    assert {n: load_format(n).family for n in NAMES} == {n: f for f, names in FAMILY.items() for n in names}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_states_its_source(name: str) -> None:
    """Title, source with the rule's label; the published table is read from the source, not derived."""
    fmt = load_format(name)
    assert fmt.title
    assert "rule" in fmt.source
    assert all(note.endswith(".") for note in fmt.not_verified)


@pytest.mark.parametrize(
    ("name", "largest", "smallest", "codes"),
    [
        ("fp16", "65504", "1/16777216", 65536),
        ("fp8_e4m3", "448", "1/512", 256),
        ("fp8_e5m2", "57344", "1/65536", 256),
        ("fp6_e3m2", "28", "1/16", 64),
        ("fp6_e2m3", "7.5", "1/8", 64),
        ("fp4_e2m1", "6", "1/2", 16),
        ("mxint8", "127/64", "1/64", 256),
        ("int4", "7", "1", 16),
        ("uint4", "15", "1", 16),
        ("mx9", "127/64", "1/64", 256),
        ("mx4", "3/2", "1/2", 8),
    ],
)
def test_ranges(name: str, largest: str, smallest: str, codes: int) -> None:
    """The largest and the smallest positive value of an element, over all codes, and the number of codes."""
    fmt = load_format(name)
    assert fmt.number_of_codes == codes
    values = [v for v in map(fmt.element.value, range(codes)) if not isinstance(v, str) and v > 0]
    assert (max(values), min(values)) == (fmt.element.largest, fmt.element.smallest) == (Fraction(largest), Fraction(smallest))


STORAGE = [
    # format, shape, arguments, bits by hand
    ("mx9", (16,), {}, 16 * 8 + 8 * 1 + 8),
    ("mx9", (17,), {}, 2 * 144),
    ("mx6", (3, 40), {}, 3 * 3 * 96),
    ("mx6", (3, 40), {"axis": 0}, 40 * 96),
    ("mx4", (2, 3, 16), {"axis": 1}, 2 * 16 * 64),
    ("vsq4", (2, 32), {}, 2 * 2 * 68 + 2 * 16),
    ("vsq4", (2, 32), {"axis": 0, "channel_axis": 1}, 32 * 68 + 32 * 16),
    ("vsq4", (20,), {}, 2 * 68 + 16),
    ("mxfp4", (33,), {}, 2 * (32 * 4 + 8)),
    ("mxint8", (4, 32), {}, 4 * 264),
    ("nvfp4", (2, 16), {}, 2 * (16 * 4 + 8) + 32),
    ("bfp", (16,), {}, 16 * 8 + 8),
    ("int8", (5, 7), {}, 35 * 8 + 32),
    ("int8", (5, 7), {"granularity": "channel"}, 35 * 8 + 5 * 32),
    ("int8", (5, 7), {"granularity": "channel", "channel_axis": 1}, 35 * 8 + 7 * 32),
    ("int8", (5, 7), {"granularity": 4}, 5 * 2 * (4 * 8 + 32)),
    ("int4", (), {}, 4 + 32),
    ("int4", (0,), {}, 32),
    ("uint8", (5, 7), {}, 35 * 8 + 32 + 8),
    ("uint4", (5, 7), {"granularity": "channel"}, 35 * 4 + 5 * 32 + 5 * 4),
    ("uint4", (5, 7), {"granularity": 7}, 5 * (7 * 4 + 32) + 5 * 4),
    ("binary", (10,), {}, 10 + 32),
    ("ternary", (10,), {}, 20 + 32),
    ("fp8_e4m3", (3, 5), {}, 15 * 8),
    ("tf32", (3,), {}, 57),
    ("fp6_e3m2", (0, 5), {}, 0),
]


@pytest.mark.parametrize(("name", "shape", "where", "size"), STORAGE)
def test_storage_bits_by_hand(name: str, shape: tuple[int, ...], where: dict[str, Any], size: int) -> None:
    """Every element, scale, zero point and pad of a partial block is counted, a channel or tensor scale too."""
    assert load_format(name).storage_bits(shape, **where) == size


def test_a_table_reads_back() -> None:
    """format_table states everything that bears meaning: parsed again it is the same format, with the same digest."""
    for name in NAMES:
        fmt = load_format(name)
        again = parse_format(format_table(fmt))
        assert (again.element, again.scales, again.zero_point, again.family) == (
            fmt.element,
            fmt.scales,
            fmt.zero_point,
            fmt.family,
        )
        assert format_digest(again) == format_digest(fmt)
    assert len({format_digest(load_format(n)) for n in NAMES}) == len(NAMES)


# --- files that lie ---

INT8 = 'name = "mine"\n[element]\nkind = "int"\nbits = 8\n[[scale]]\ntype = "FP32"\ngroup = "tensor"\n'
FLOAT = 'name = "mine"\n[element]\nkind = "float"\nexponent_bits = 4\nmantissa_bits = 3\nspecials = "nan"\n'
MX = (
    'name = "mine"\n[element]\nkind = "sign_magnitude"\nbits = 5\n[[scale]]\ntype = "E1M0"\ngroup = 2\n'
    '[[scale]]\ntype = "E8M0"\ngroup = 16\n'
)
LAYOUT = MX + "[layout]\n"

BAD: dict[str, tuple[str, tuple[str, ...]]] = {  # case -> (text, what the message must name)
    "not TOML": ("name = ", ("TOML",)),
    "not UTF-8": ("name = '\udcff'", ("TOML",)),
    "empty": ("", ("name", "missing")),
    "unknown key": ("nme = 'x'\n" + INT8, ("'nme'", "'x'", "allowed", "zero_point")),
    "unknown element key": (INT8.replace("bits = 8", "bits = 8\nwidth = 3"), ("element.width", "3", "allowed", "bits")),
    "unknown scale key": (INT8 + "axis = 0\n", ("scale[0].axis", "0", "allowed", "type, group")),
    "unknown layout key": (LAYOUT + "order = 1\n", ("layout.order", "1", "bit_order")),
    "unknown published key": (INT8 + "[published]\nbits = 8\n", ("published.bits", "8", "effective_bits")),
    "no name": (INT8.replace('name = "mine"\n', ""), ("'name'", "missing")),
    "name of a wrong type": (INT8.replace('"mine"', "3"), ("name = 3", "string")),
    "name of a wrong form": (INT8.replace('"mine"', '"my npu"'), ("name = 'my npu'", "letters, digits")),
    "no element": ('name = "mine"\n', ("'element'", "missing")),
    "element is no table": ('name = "mine"\nelement = "int8"\n', ("element = 'int8'", "table")),
    "no kind": (INT8.replace('kind = "int"\n', ""), ("element.kind", "missing", "sign_magnitude")),
    "unknown kind": (INT8.replace('"int"', '"posit"'), ("element.kind = 'posit'", "allowed", "sign_magnitude")),
    "kind of a wrong type": (INT8.replace('"int"', "8"), ("element.kind = 8", "allowed")),
    "no bits": (INT8.replace("bits = 8\n", ""), ("element.bits", "missing", "2 to 16")),
    "bits too large": (INT8.replace("bits = 8", "bits = 17"), ("element.bits = 17", "2 to 16")),
    "bits too small": (INT8.replace("bits = 8", "bits = 1"), ("element.bits = 1", "2 to 16")),
    "bits of a wrong type": (INT8.replace("bits = 8", "bits = 8.0"), ("element.bits = 8.0", "2 to 16")),
    "bits true": (INT8.replace("bits = 8", "bits = true"), ("element.bits = True", "2 to 16")),
    "bits of a float": (FLOAT + "bits = 8\n", ("element.bits = 8", "'float'", "exponent_bits")),
    "exponent bits of an integer": (
        INT8.replace("bits = 8", "bits = 8\nexponent_bits = 4"),
        ("element.exponent_bits = 4", "'int'"),
    ),
    "bits of binary": (INT8.replace('"int"', '"binary"'), ("element.bits = 8", "'binary'")),
    "exponent too wide": (FLOAT.replace("exponent_bits = 4", "exponent_bits = 9"), ("element.exponent_bits = 9", "1 to 8")),
    "mantissa too wide": (FLOAT.replace("mantissa_bits = 3", "mantissa_bits = 11"), ("element.mantissa_bits = 11", "0 to 10")),
    "no specials": (FLOAT.replace('specials = "nan"\n', ""), ("element.specials", "missing", "ieee, nan, none")),
    "unknown specials": (FLOAT.replace('"nan"', '"fnuz"'), ("element.specials = 'fnuz'", "ieee, nan, none")),
    "no values left": (FLOAT.replace("= 4", "= 1").replace("= 3", "= 0"), ("exponent_bits = 1", "mantissa_bits = 0")),
    "bias beyond float32": (
        FLOAT.replace("exponent_bits = 4", "exponent_bits = 8") + "bias = 99\n",
        ("element.bias = 99", "-126 to 127"),
    ),
    "bias out of range": (FLOAT + "bias = 128\n", ("element.bias = 128", "-64 to 127")),
    "lsb beyond": (INT8.replace("bits = 8", "bits = 8\nlsb_exponent = 99"), ("element.lsb_exponent = 99", "allowed")),
    "lsb beside a float scale": (
        INT8.replace("bits = 8", "bits = 8\nlsb_exponent = -3"),
        ("element.lsb_exponent = -3", "allowed: 0"),
    ),
    "scale is no table": ('name = "mine"\nscale = 3\n[element]\nkind = "int"\nbits = 8\n', ("scale = 3", "[[scale]]")),
    "unknown scale type": (INT8.replace("FP32", "FP33"), ("scale[0]", "type = 'FP33'", "E8M0")),
    "scale UINT9": (INT8.replace("FP32", "UINT9"), ("type = 'UINT9'", "UINT2 to UINT8")),
    "no scale type": (INT8.replace('type = "FP32"\n', ""), ("scale[0]", "type = None", "E8M0")),
    "no group": (INT8.replace('group = "tensor"\n', ""), ("scale[0].group = None", "'tensor'")),
    "group 0": (INT8.replace('"tensor"', "0"), ("scale[0].group = 0", "1 to 65536")),
    "group too large": (INT8.replace('"tensor"', "65537"), ("scale[0].group = 65537", "1 to 65536")),
    "group of a wrong type": (INT8.replace('"tensor"', "true"), ("scale[0].group = True", "1 to 65536")),
    "group unknown": (INT8.replace('"tensor"', '"row"'), ("scale[0].group = 'row'", "'channel' or 'tensor'")),
    "E8M0 per tensor": (MX.replace("16", '"tensor"'), ("scale[1].group = 'tensor'", "E8M0", "integer")),
    "coarse first": (MX.replace("= 2\n", "= 32\n"), ("16", "32", "multiple")),
    "not a multiple": (MX.replace("= 16", "= 15"), ("15", "2", "multiple")),
    "same group twice": (MX.replace("= 2\n", "= 16\n"), ("16", "multiple")),
    "tensor before block": (
        'name = "mine"\n[element]\nkind = "int"\nbits = 4\n[[scale]]\ntype = "UINT4"\ngroup = "tensor"\n'
        '[[scale]]\ntype = "FP16"\ngroup = 16\n',
        ("['tensor', 16]", "nest"),
    ),
    "channel twice": (
        'name = "mine"\n[element]\nkind = "int"\nbits = 4\n[[scale]]\ntype = "UINT4"\ngroup = "channel"\n'
        '[[scale]]\ntype = "FP16"\ngroup = "channel"\n',
        ("['channel', 'channel']", "nest"),
    ),
    "no family": (MX.replace("E1M0", "FP16"), ("'sign_magnitude'", "['float', 'exponent']", "allowed", "microexponent")),
    "uint without zero point": (INT8.replace('"int"', '"uint"'), ("'uint'", "zero_point = false", "zero_point = true")),
    "mx with zero point": ("zero_point = true\n" + MX, ("'sign_magnitude'", "zero_point = true", "allowed")),
    "zero point of a wrong type": ("zero_point = 1\n" + INT8, ("zero_point = 1", "true or false")),
    "notes of a wrong type": ("not_verified = 'all'\n" + INT8, ("not_verified = 'all'", "list of sentences")),
    "title of a wrong type": ("title = 1\n" + INT8, ("title = 1", "string")),
    "layout is no table": ("layout = 1\n" + MX, ("layout = 1", "table")),
    "layout fields": (LAYOUT + 'fields = ["scale1", "element"]\n', ("layout.fields = ['scale1', 'element']", "scale0")),
    "layout fields of a wrong type": (LAYOUT + "fields = 3\n", ("layout.fields = 3",)),
    "layout scales": (LAYOUT + 'scales = "far"\n', ("layout.scales = 'far'", "word, plane")),
    "layout bit order": (LAYOUT + 'bit_order = "big"\n', ("layout.bit_order = 'big'", "lsb, msb")),
    "layout byte order": (LAYOUT + 'byte_order = "msb"\n', ("layout.byte_order = 'msb'", "little, big")),
    "layout align": (LAYOUT + "align = 0\n", ("layout.align = 0", "1 to 1024")),
    "published is no table": ("published = 8\n" + INT8, ("published = 8", "table")),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_lies_is_refused(case: str, tmp_path: Path) -> None:
    """SpecError, a ValueError, that names the file, the key, the value and what is allowed, wherever a format is taken."""
    text, parts = BAD[case]
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for call in (lambda: load_format(path), lambda: qsim.encode(np.zeros(3, np.float32), str(path))):
        with pytest.raises(SpecError) as error:
            call()
        for part in (str(path), *parts):
            assert part in str(error.value)
    assert issubclass(SpecError, ValueError)


def test_the_samples_are_good(tmp_path: Path) -> None:
    """What the cases above spoil is itself accepted."""
    for text, name in ((INT8, "INT8"), (FLOAT, "E4M3"), (MX, "S1M4"), (LAYOUT, "S1M4")):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        assert load_format(path).element.name == name


def test_missing_files_and_unknown_names(tmp_path: Path) -> None:
    """A path that is not there, a folder, a name with a typo: the error names it, and for a name the whole catalogue."""
    with pytest.raises(SpecError, match=r"none\.toml: no such file"):
        load_format(tmp_path / "none.toml")
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(SpecError, match=r"folder\.toml: not a readable TOML file"):
        read_table(folder)
    for typo in ("mx8", "MX9", "", "mx9 ", "../formats/mx9", str(tmp_path)):
        with pytest.raises(SpecError) as error:
            load_format(typo)
        assert repr(typo) in str(error.value)
        assert all(name in str(error.value) for name in NAMES)
        assert ".toml" in str(error.value)


# --- a user's own formats ---

VSQ6 = """name = "vsq6"
[element]
kind = "int"
bits = 6
[[scale]]
type = "UINT6"
group = 32
[[scale]]
type = "FP32"
group = "channel"
"""
VSQ_TENSOR = VSQ6.replace('"channel"', '"tensor"').replace("vsq6", "vsq_tensor").replace("FP32", "BF16")
BFP3 = 'name = "bfp3"\n[element]\nkind = "sign_magnitude"\nbits = 4\n[[scale]]\ntype = "E8M0"\ngroup = 8\n'
MX_WIDE = MX.replace("mine", "mx_wide").replace("bits = 5", "bits = 11").replace("= 16", "= 32").replace("= 2\n", "= 4\n")
MX_INTEGER = MX.replace("mine", "mx_integer").replace("bits = 5", "bits = 5\nlsb_exponent = 0")
AFFINE8 = 'zero_point = true\nname = "affine8"\n' + INT8.split("\n", 1)[1]
AFFINE16 = AFFINE8.replace("affine8", "affine16").replace("bits = 8", "bits = 16")
UINT3 = AFFINE8.replace("affine8", "uint3").replace('"int"', '"uint"').replace("bits = 8", "bits = 3").replace('"tensor"', "5")
INT5_FP16 = INT8.replace("mine", "int5_fp16").replace("bits = 8", "bits = 5").replace("FP32", "FP16").replace('"tensor"', "24")
INT8_E4M3 = INT8.replace("mine", "int8_e4m3").replace("FP32", "E4M3")
MXINT4 = 'name = "mxint4"\n[element]\nkind = "int"\nbits = 4\nlsb_exponent = -2\n[[scale]]\ntype = "E8M0"\ngroup = 16\n'
E3M4 = (
    FLOAT.replace("mine", "e3m4")
    .replace("= 4", "= 3")
    .replace("bits = 3\nspecials", "bits = 4\nspecials")
    .replace('"nan"', '"ieee"')
)
E4M3_BIAS = FLOAT.replace("mine", "e4m3_bias").replace('"nan"', '"none"') + "bias = 11\n"
E5M0 = FLOAT.replace("mine", "e5m0").replace("= 4", "= 5").replace("bits = 3", "bits = 0").replace('"nan"', '"none"')
MX_E3M4 = E3M4.replace("e3m4", "mx_e3m4") + '[[scale]]\ntype = "E8M0"\ngroup = 24\n'
NVFP6 = (
    'name = "nvfp6"\n[element]\nkind = "float"\nexponent_bits = 3\nmantissa_bits = 2\nspecials = "none"\n'
    '[[scale]]\ntype = "E4M3"\ngroup = 8\n[[scale]]\ntype = "FP32"\ngroup = "tensor"\n'
)
BINARY_BF16 = 'name = "binary_bf16"\n[element]\nkind = "binary"\n[[scale]]\ntype = "BF16"\ngroup = "channel"\n'
TERNARY_FP16 = 'name = "ternary_fp16"\n[element]\nkind = "ternary"\n[[scale]]\ntype = "FP16"\ngroup = 7\n'

USERS: dict[str, tuple[str, str, Fraction | int]] = {  # name -> (text, family, effective bits)
    "vsq6": (VSQ6, "vsq", Fraction(6 * 32 + 6, 32)),
    "vsq_tensor": (VSQ_TENSOR, "vsq", Fraction(6 * 32 + 6, 32)),
    "bfp3": (BFP3, "microexponent", 5),
    "mx_wide": (MX_WIDE, "microexponent", Fraction(11 * 32 + 8 + 8, 32)),
    "mx_integer": (MX_INTEGER, "microexponent", 6),
    "affine8": (AFFINE8, "affine", 8),
    "affine16": (AFFINE16, "affine", 16),
    "uint3": (UINT3, "affine", Fraction(3 * 5 + 32, 5)),
    "int5_fp16": (INT5_FP16, "absmax", Fraction(5 * 24 + 16, 24)),
    "int8_e4m3": (INT8_E4M3, "absmax", 8),
    "mxint4": (MXINT4, "ocp", Fraction(9, 2)),
    "e3m4": (E3M4, "float", 8),
    "e4m3_bias": (E4M3_BIAS, "float", 8),
    "e5m0": (E5M0, "float", 6),
    "mx_e3m4": (MX_E3M4, "ocp", Fraction(8 * 24 + 8, 24)),
    "nvfp6": (NVFP6, "nvfp4", 7),
    "binary_bf16": (BINARY_BF16, "binary", 1),
    "ternary_fp16": (TERNARY_FP16, "ternary", Fraction(2 * 7 + 16, 7)),
}


def users_format(name: str, folder: Path) -> tuple[Format, Path]:
    """The user's file written out and loaded."""
    path = folder / f"{name}.toml"
    path.write_text(USERS[name][0])
    return load_format(path), path


def inputs(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Mixed binades, ties (small integers over powers of two) and zeros."""
    rng = np.random.default_rng(seed)
    ties = rng.integers(-64, 65, shape) / 2.0 ** rng.integers(0, 8, shape)
    x = np.where(rng.random(shape) < 0.5, ties, rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 4, shape))
    x.reshape(-1)[::7] = 0
    return x.astype(np.float32)


@pytest.mark.parametrize("name", USERS)
def test_a_users_format_works(name: str, tmp_path: Path) -> None:
    """Loaded by path, encoded, decoded, packed and unpacked; codes and values equal the reference's for modes and geometries."""
    from qsim import reference

    fmt, path = users_format(name, tmp_path)
    assert (fmt.name, fmt.family, fmt.effective_bits) == (name, USERS[name][1], USERS[name][2])
    modes = ["half_even"] if fmt.family in ("binary", "ternary") else ["half_even", "toward_zero", "floor", "half_away"]
    given = {"scale_overflow": "saturate"} if fmt.family in ("absmax", "vsq", "affine", "nvfp4") else {}
    wheres: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((3, 50), {"axis": 1, "channel_axis": 0}),
        ((33, 4), {"axis": 0, "channel_axis": 1}),
        ((37,), {}),
        ((2, 96), {}),
    ]
    for seed, (shape, where) in enumerate(wheres):
        x = inputs(shape, seed)
        for mode in modes:
            options = {**given, **({} if fmt.family == "ternary" else {"rounding": mode})}
            q = qsim.encode(x, path, **where, **options)
            expected = reference_encode(x, fmt, where, options)
            same(q, expected)
            bits = reference.decode(expected, shape, fmt, **where)
            assert q.decode().reshape(-1).view(np.uint32).tolist() == bits
            np.testing.assert_array_equal(qsim.quantize(x, str(path), **where, **options), q.decode())
        data = q.pack()
        assert 8 * len(data) == -(-fmt.storage_bits(shape, **where) // 8) * 8
        assert data == reference.pack(expected, shape, fmt, **where)
        back = qsim.unpack(data, fmt, shape, **where)
        np.testing.assert_array_equal(back.codes, q.codes)
        np.testing.assert_array_equal(back.decode(), q.decode())


def test_a_path_and_a_format_are_taken_alike(tmp_path: Path) -> None:
    """A str, a Path and a loaded Format name the same thing; the file name need not be the format's."""
    fmt, path = users_format("vsq6", tmp_path)
    other = tmp_path / "renamed.toml"
    path.rename(other)
    assert load_format(str(other)) == load_format(other) == fmt
    assert load_format(fmt) is fmt


# --- options and geometry ---


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("mx9", {"scale_rule": "even"}, ("scale_rule='even'", "mx9", "ocp", "S3")),
        ("mxfp4", {"scale_rule": "round"}, ("scale_rule='round'", "floor, even, ceil, rceil, no_overflow")),
        ("int8", {"rounding": "nearest"}, ("rounding='nearest'", "half_even", "R1")),
        ("ternary", {"rounding": "floor"}, ("rounding='floor'", "ternary")),
        ("mxfp4", {"narrow_range": False}, ("narrow_range=False", "mxfp4")),
        ("int8", {"narrow_range": 0}, ("narrow_range=0", "True, False")),
        ("int8", {"random_bits": 17}, ("random_bits=17", "16")),
        ("nvfp4", {"arithmetic": "onnxruntime"}, ("arithmetic='onnxruntime'", "exact, modelopt, torchao")),
    ],
)
def test_options_that_do_not_apply_are_refused(name: str, options: dict[str, Any], parts: tuple[str, ...]) -> None:
    """ValueError that names the option, its value, the format and what is allowed; None means the default."""
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the parts are checked below
        resolve_options(load_format(name), options)
    for part in parts:
        assert part in str(error.value)
    assert resolve_options(load_format(name), dict.fromkeys(options)) == resolve_options(load_format(name), {})


def test_unknown_options_are_refused() -> None:
    """TypeError, as for an unknown keyword."""
    with pytest.raises(TypeError, match="unknown option 'mode'"):
        qsim.encode(np.zeros(3, np.float32), "int8", mode="floor")


@pytest.mark.parametrize(
    ("name", "where", "error", "text"),
    [
        ("mx9", {"axis": 2}, ValueError, r"axis=2 is out of range .* -2 to 1"),
        ("mx9", {"axis": -3}, ValueError, r"axis=-3"),
        ("mx9", {"axis": 0.5}, TypeError, r"axis=0.5 is not an integer"),
        ("int8", {"channel_axis": 5}, ValueError, r"channel_axis=5"),
        ("vsq4", {"axis": 0, "channel_axis": 0}, ValueError, r"same dimension"),
        ("mx9", {"granularity": "tensor"}, ValueError, r"granularity='tensor' does not apply to mx9"),
        ("int8", {"granularity": "row"}, ValueError, r"granularity='row'"),
        ("int8", {"granularity": 0}, ValueError, r"granularity=0"),
        ("int8", {"granularity": True}, ValueError, r"granularity=True"),
    ],
)
def test_impossible_geometries_are_refused(name: str, where: dict[str, Any], error: type[Exception], text: str) -> None:
    """An axis out of range, a granularity that a format does not have (S11)."""
    with pytest.raises(error, match=text):
        qsim.encode(np.zeros((2, 3), np.float32), name, **where)
    with pytest.raises(error, match=text):
        load_format(name).storage_bits((2, 3), **where)
