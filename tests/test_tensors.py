"""Tensors of files: what is written is read back to the bit; a file that lies is a ValueError that names it."""

from __future__ import annotations

import json
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from safetensors.numpy import save, save_file

from qsim.explore.tensors import tensors

RNG = np.random.default_rng(7)
ARRAYS = {
    "conv": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32),
    "half": RNG.standard_normal((5, 6)).astype(np.float16),
    "double": RNG.standard_normal(9),
    "scalar": np.array(1.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
}


def loaded(path):
    return {t.name: t.values(t.load()) for t in tensors(path) if not t.skipped}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, a in expected.items():
        assert found[name].dtype == a.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[name], a, strict=False)
        assert found[name].shape == a.shape


def test_npy(tmp_path):
    for name, a in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", a)
        assert_same(loaded(tmp_path / f"{name}.npy"), {name: a})


@pytest.mark.parametrize("save_npz", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save_npz):
    save_npz(tmp_path / "a.npz", **ARRAYS)
    assert_same(loaded(tmp_path / "a.npz"), ARRAYS)


def test_order_and_byte_order(tmp_path):
    """Fortran order and big-endian values are read as what they mean."""
    arrays = {"f": np.asfortranarray(ARRAYS["half"]), "big": ARRAYS["double"].astype(">f8")}
    np.savez(tmp_path / "a.npz", **arrays)
    assert_same(loaded(tmp_path / "a.npz"), arrays)
    for name, a in arrays.items():
        np.save(tmp_path / f"{name}.npy", a)
        assert_same(loaded(tmp_path / f"{name}.npy"), {name: a})


def test_safetensors(tmp_path):
    save_file(ARRAYS, tmp_path / "a.safetensors", metadata={"made": "here"})
    found = loaded(tmp_path / "a.safetensors")
    assert_same({name: found[name] for name in ARRAYS}, ARRAYS)


@settings(max_examples=30)
@given(array_shapes(min_dims=0, max_dims=4, max_side=5), st.sampled_from(["f2", "f4", "f8"]), st.integers(0, 2**32))
def test_round_trip(tmp_path_factory, shape, dtype, seed):
    """What the safetensors package and numpy write is read back to the bit."""
    folder = tmp_path_factory.mktemp("r")
    bits = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    a = bits.view(dtype).reshape(shape)
    save_file({"a": np.ascontiguousarray(a).reshape(shape)}, folder / "a.safetensors")
    np.savez(folder / "a.npz", a=a)
    np.save(folder / "a.npy", a)
    for kind in ("safetensors", "npz", "npy"):
        (found,) = loaded(folder / f"a.{kind}").values()
        assert (found.shape, found.tobytes()) == (a.shape, a.tobytes())


def test_bfloat16(tmp_path):
    """Every one of the 2^16 bfloat16 patterns widens as ml_dtypes widens it."""
    a = np.arange(1 << 16, dtype=np.uint16).view(ml_dtypes.bfloat16).reshape(256, 256)
    save_file({"a": a}, tmp_path / "a.safetensors")
    (t,) = tensors(tmp_path / "a.safetensors")
    assert t.dtype == "BF16"
    stored = t.load()
    found = t.values(stored)
    assert found.dtype == np.float32
    expected = a.astype(np.float32)
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), nan)
    np.testing.assert_array_equal(found[~nan].view(np.uint32), expected[~nan].view(np.uint32))
    np.testing.assert_array_equal(t.values(stored[3:5]), found[3:5])


def test_memory_mapped(tmp_path):
    """.npy and .safetensors values stay on disk until they are used."""
    np.save(tmp_path / "a.npy", ARRAYS["conv"])
    save_file({"a": ARRAYS["conv"]}, tmp_path / "a.safetensors")
    for name in ("a.npy", "a.safetensors"):
        (t,) = tensors(tmp_path / name)
        assert isinstance(t.load(), np.memmap)


def test_skipped(tmp_path):
    """Tensors that are not floats are listed and say why they are skipped."""
    arrays = {"i": np.arange(4), "b": np.array([True]), "c": np.zeros(2, np.complex64), "x": np.zeros(2, np.float32)}
    np.savez(tmp_path / "a.npz", **arrays)
    reasons = {t.name: t.skipped for t in tensors(tmp_path / "a.npz")}
    assert reasons["x"] is None
    assert all("is not float16, float32 or float64" in reasons[n] for n in "ibc")
    save_file({"i": arrays["i"], "f8": np.zeros(3, ml_dtypes.float8_e4m3fn), "x": arrays["x"]}, tmp_path / "a.safetensors")
    reasons = {t.name: t.skipped for t in tensors(tmp_path / "a.safetensors")}
    assert reasons["x"] is None
    assert reasons["i"] == "dtype I64 is not F64, F32, F16 or BF16"
    assert reasons["f8"] == "dtype F8_E4M3 is not F64, F32, F16 or BF16"


def refused(path, match=None):
    with pytest.raises(ValueError, match=match) as caught:
        loaded(path)
    assert str(path) in str(caught.value)


def test_unknown_kind(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    refused(tmp_path / "a.txt", "unknown kind of file; allowed: .npy, .npz, .safetensors")
    refused(tmp_path / "missing.npy", "No such file")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "directory")


def test_object_array(tmp_path):
    a = np.array([{}], dtype=object)
    np.save(tmp_path / "a.npy", a, allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=a)
    refused(tmp_path / "a.npy", "Python objects")
    refused(tmp_path / "a.npz", "Python objects")


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors"])
def test_every_truncation(tmp_path, kind):
    """A file cut at any byte, or with a byte too many, is refused: npz needs its directory at the end."""
    whole = tmp_path / f"whole.{kind}"
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    {"npy": lambda: np.save(whole, a), "npz": lambda: np.savez(whole, a=a), "safetensors": lambda: save_file({"a": a}, whole)}[
        kind
    ]()
    data = whole.read_bytes()
    for n in range(len(data)):
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(data[:n])
        refused(cut)
    if kind != "npz":  # a zip archive may be followed by a comment
        cut.write_bytes(data + b"\0")
        refused(cut)


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_corrupt_values(tmp_path, compressed):
    """A flipped bit in the values of a member fails its CRC."""
    path = tmp_path / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, a=np.arange(1000, dtype=np.float32))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    refused(path, "a")


def test_npz_members(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("readme.txt", "x")
    refused(path, "readme.txt: not an array")
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("a.npy", b"nonsense")
    refused(path, "a.npy: not a readable .npy header")


def test_npy_header_lies(tmp_path):
    """A shape larger than the file, a negative one, a dtype that does not exist."""
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(3, np.float32))
    data = path.read_bytes()
    for old, new, match in (
        (b"(3,)", b"(9,)", "140 bytes, but header, shape"),
        (b"(3,), }", b"(-3,),}", "negative dimension"),
        (b"'<f4'", b"'<z4'", "not a readable .npy header"),
        (b"NUMPY\x01", b"NUMPY\x07", "version"),
        (b"\x93NUMPY", b"\x94NUMPY", "magic"),
    ):
        path.write_bytes(data.replace(old, new))
        refused(path, match)


def header_file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


F4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("header", "data", "match"),
    [
        ([], b"", "not a JSON object"),
        (b"{", b"", "not JSON"),
        (b"\xff\xff", b"", "not JSON"),
        (b"[" * 100_000, b"", "not JSON"),
        (b'{"a": {}, "a": {}}', b"", "a key stands twice"),
        ({"a": 3}, b"", "must give dtype, shape and data_offsets"),
        ({"a": {"dtype": "F32", "shape": [1]}}, b"", "must give"),
        ({"a": F4 | {"dtype": 4}}, b"0000", "is not a text"),
        ({"a": F4 | {"shape": [-1]}}, b"0000", "not a list of sizes"),
        ({"a": F4 | {"shape": [1.0]}}, b"0000", "not a list of sizes"),
        ({"a": F4 | {"shape": [True]}}, b"0000", "not a list of sizes"),
        ({"a": F4 | {"shape": "1"}}, b"0000", "not a list of sizes"),
        ({"a": F4 | {"data_offsets": [4, 0]}}, b"0000", "not a list of sizes"),
        ({"a": F4 | {"data_offsets": [0, 4, 8]}}, b"0000", "not a list of sizes"),
        ({"a": F4 | {"shape": [2]}}, b"0000", "4 bytes, but shape"),
        ({"a": F4 | {"shape": [1 << 62, 1 << 62]}}, b"0000", "4 bytes, but shape"),
        ({"a": F4}, b"000", "truncated or oversized"),
        ({"a": F4}, b"00000", "truncated or oversized"),
        ({"a": F4 | {"data_offsets": [4, 8]}}, b"00000000", "no gap and no overlap"),
        ({"a": F4, "b": F4}, b"0000", "no gap and no overlap"),
    ],
)
def test_safetensors_header_lies(tmp_path, header, data, match):
    path = tmp_path / "a.safetensors"
    header_file(path, header, data)
    refused(path, match)


def test_safetensors_header_length(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 63) + b"{}")
    refused(path, "not a .safetensors file")
    path.write_bytes(b"")
    refused(path, "not a .safetensors file")


@settings(max_examples=200)
@given(st.data())
def test_safetensors_flipped_header(tmp_path_factory, data):
    """A header with one changed byte gives tensors or a ValueError, nothing else."""
    path = tmp_path_factory.mktemp("f") / "a.safetensors"
    raw = bytearray(save({"a": np.zeros((2, 2), np.float32), "b": np.zeros(3, np.float16)}))
    place = data.draw(st.integers(0, len(raw) - 23))
    raw[place] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    reason = None
    try:
        loaded(path)
    except ValueError as error:
        reason = str(error)
    assert reason is None or str(path) in reason
