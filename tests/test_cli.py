"""The command line: what it prints and writes, and that bad input ends with exit code 2, one line, and nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import qsim
from qsim.cli import COMMANDS, main
from qsim.cli.common import written
from qsim.codec import convention_names
from qsim.golden.fields import number_text
from qsim.spec import format_names, load_format
from qsim.spec.load import parse_format
from qsim.spec.table import format_digest, format_table

BAD_SPEC = 'name = "x"\n[element]\nkind = "int"\nbits = 99\n'


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def ok(*args: object) -> str:
    result = run(*args)

    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*args: object, says: str) -> None:
    """Exit code 2, the text on stderr, no traceback."""
    result = run(*args)

    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert "Error: " in result.stderr
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    x = np.random.default_rng(0).standard_normal((6, 40)).astype(np.float32)
    np.save(tmp_path / "w.npy", x)
    return tmp_path / "w.npy"


def test_help_imports_no_heavy_module():
    """`qsim --help` must stay under 0.4 s: nothing that is slow to import is imported for it."""
    code = (
        "import sys\nfrom qsim.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as e:\n    assert not e.code\n"
        "slow = {'numpy', 'numba', 'tabulate', 'tqdm', 'qsim.codec', 'qsim.cli.show'} & set(sys.modules)\nassert not slow, slow\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in COMMANDS)


def test_module_runs_as_a_program():
    result = subprocess.run([sys.executable, "-m", "qsim", "show", "mx9", "0x12"], capture_output=True, text=True, check=False)

    assert result.returncode == 2
    assert result.stderr.startswith("Error: word '0x12' has 2 hexadecimal digits")
    assert result.stdout == ""


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["golden", "write"], ["golden", "check"]])
def test_every_help_shows_an_example(command: list[str]):
    text = ok(*command, "--help")

    assert "Example:\n" in text
    assert text.count("qsim ") >= 1


def test_golden_check_help_points_to_verify():
    assert "`qsim verify`" in " ".join(ok("golden", "check", "--help").split())


def test_version():
    assert ok("--version") == f"qsim {qsim.__version__}\n"


# --- list and show ---


def test_list_formats_names_the_catalogue():
    rows = json.loads(ok("list", "formats", "--json"))

    assert [row["name"] for row in rows] == list(format_names())
    assert {row["name"]: row["effective_bits"] for row in rows}["vsq4"] == "4.25"
    assert all(name in ok("list", "formats") for name in format_names())


def test_list_conventions_states_evidence_and_differences():
    rows = json.loads(ok("list", "conventions", "--json"))

    assert {row["name"] for row in rows} == set(convention_names())
    assert all(row["evidence"] and row["differs"] for row in rows)
    assert "evidence: " in ok("list", "conventions")


@pytest.mark.parametrize("name", format_names())
def test_show_states_the_whole_format(name: str):
    """What `show --json` prints can be loaded again, and lists every option of the format with its default among the allowed."""
    fmt = load_format(name)
    report = json.loads(ok("show", name, "--json"))

    assert parse_format({key: report[key] for key in format_table(fmt)}).element == fmt.element
    assert report["derived"]["digest"] == format_digest(fmt)
    assert Fraction(report["derived"]["effective_bits"]) == fmt.effective_bits
    assert sum(field["width"] * field["count"] for field in report["word"]) == fmt.word_bits
    assert all(option["default"] in option["allowed"] for option in report["options"].values())
    assert report["not_verified"] == list(fmt.not_verified)
    text = ok("show", name)
    assert all(option in text for option in report["options"])


def test_show_word_fields_of_mx9():
    rows = json.loads(ok("show", "mx9", "--json"))["word"]

    assert [(r["field"], r["bits"]) for r in rows] == [("element", "127:0"), ("scale0", "135:128"), ("scale1", "143:136")]


def test_show_decodes_a_packed_word_by_hand():
    """MX9: E = 128 (2^1), tau of pair 0 is 1, element 0 = -127, element 2 = +64: step 2^(1 - 6), halved where tau is 1."""
    word = f"0x80{0x01:02x}" + "00" * 13 + "40" + "00" + "ff"
    report = json.loads(ok("show", "mx9", word, "--json"))

    assert [s["code"] for s in report["scales"]["scale0"]][:2] == ["0x1", "0x0"]
    assert report["scales"]["scale1"] == [{"code": "0x80", "exact": "2", "decimal": "2"}]
    assert report["elements"][0] == {
        "index": 0,
        "code": "0xff",
        "fields": "1|1111111",
        "exact": "-127/64",
        "decimal": "-1.984375",
    }
    assert report["elements"][2]["exact"] == "2"
    assert "-1.984375" in ok("show", "mx9", word)


@pytest.mark.parametrize("name", ["mx9", "mx6", "mx4", "bfp", "mxfp4", "mxfp6_e3m2", "mxfp8_e4m3", "mxint8"])
def test_show_word_agrees_with_decode(name: str):
    fmt = load_format(name)
    x = np.random.default_rng(3).standard_normal(fmt.block_size).astype(np.float32)
    q = qsim.encode(x, name)
    report = json.loads(ok("show", name, f"{q.to_words()[0]:0{-(-fmt.word_bits // 4)}x}", "--json"))

    assert [float(Fraction(row["exact"])) for row in report["elements"]] == q.decode().tolist()


def test_show_word_says_which_scale_it_lacks():
    assert json.loads(ok("show", "vsq4", "0x" + "0" * 17, "--json"))["in_units_of"] == ["FP16 scale per channel"]
    assert "FP32 scale per tensor" in ok("show", "int8", "0x7f")
    assert "zero point not in the word" in ok("show", "uint8", "7f")


def test_show_nan_block_and_specials():
    report = json.loads(ok("show", "mxfp4", "0xff" + "0" * 32, "--json"))

    assert {row["exact"] for row in report["elements"]} == {"nan"}
    assert json.loads(ok("show", "fp8_e5m2", "fc", "--json"))["elements"][0]["exact"] == "-inf"


@pytest.mark.parametrize(
    ("word", "says"),
    [("0x12", "36 digits for 144 bits"), ("0x" + "0" * 37, "37 hexadecimal"), ("zz", "not hexadecimal"), ("", "not hex")],
)
def test_show_refuses_a_wrong_word(word: str, says: str):
    refused("show", "mx9", word, says=says)


def test_show_refuses_a_word_wider_than_its_bits():
    refused("show", "fp6_e3m2", "7f", says="2 digits for 6 bits")


def test_show_refuses_unknown_formats(tmp_path: Path):
    (tmp_path / "bad.toml").write_text(BAD_SPEC)
    refused("show", "mx7", says="unknown name 'mx7'")
    refused("show", tmp_path / "none.toml", says="none.toml: no such file")
    refused("show", tmp_path / "bad.toml", says="element.bits = 99; allowed: 2 to 16")


@pytest.mark.parametrize("value", [Fraction(1, 3), Fraction(7, 64), Fraction(2) ** -149, Fraction(448), Fraction(0)])
def test_number_text_is_exact_or_marked(value: Fraction):
    text = number_text(value)

    assert text.startswith("~") or Fraction(text) == value
    assert abs(Fraction(text.lstrip("~")) - value) <= abs(value) / 10**8


# --- encode and decode ---


@pytest.mark.parametrize("suffix", [".npz", ".bin"])
@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("mx9", [], {}),
        ("vsq4", ["--channel-axis", 1, "--axis", 0], {"channel_axis": 1, "axis": 0}),
        ("uint4", ["--granularity", 4, "--axis", 0], {"granularity": 4, "axis": 0}),
        ("int8", ["--granularity", "channel", "--set", "narrow_range=False"], {"granularity": "channel", "narrow_range": False}),
        ("mxfp4", ["--convention", "quark"], {"convention": "quark"}),
        ("fp8_e5m2", ["--rounding", "stochastic", "--seed", 7], {"rounding": "stochastic", "random": 7}),
        ("nvfp4", ["--convention", "modelopt"], {"convention": "modelopt"}),
        ("binary", [], {}),
    ],
)
def test_decode_of_encode_is_quantize(weights: Path, suffix: str, name: str, args: list[object], options: dict[str, Any]):
    """decode(encode(x)) on the command line is qsim.quantize(x), through codes and through packed bytes."""
    packed, decoded = weights.with_suffix(suffix), weights.with_name("y.npy")
    ok("encode", weights, name, "-o", packed, *args)
    ok("decode", packed, "-o", decoded)

    expected = qsim.quantize(np.load(weights), name, **options)
    assert np.array_equal(np.load(decoded), expected)
    assert np.load(decoded).dtype == np.float32


@pytest.mark.parametrize("layout", ["block", "planar"])
def test_bin_is_the_packed_tensor(weights: Path, layout: str):
    out = weights.with_name("w.bin")
    ok("encode", weights, "vsq4", "-o", out, "--layout", layout)
    q = qsim.encode(np.load(weights), "vsq4")

    assert out.read_bytes() == q.pack(layout)
    side = json.loads(Path(f"{out}.json").read_text())
    assert side["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert (side["format"], side["shape"], side["axis"], side["layout"]) == ("vsq4", [6, 40], 1, layout)


def test_npz_holds_codes_and_scales(weights: Path):
    ok("encode", weights, "uint8", "-o", weights.with_name("w.npz"), "--granularity", 8, "--axis", 0)
    q = qsim.encode(np.load(weights), "uint8", granularity=8, axis=0)
    with np.load(weights.with_name("w.npz")) as file:
        assert np.array_equal(file["codes"], q.codes)
        assert np.array_equal(file["scale0"], q.scales[0])
        assert file["zero_point"].shape == q.scales[0].shape


def test_a_users_format_travels_with_its_file(weights: Path):
    """Decoding needs no TOML file: the sidecar states the whole format."""
    toml = weights.with_name("mine.toml")
    toml.write_text('name = "mine"\n[element]\nkind = "sign_magnitude"\nbits = 6\n[[scale]]\ntype = "E8M0"\ngroup = 8\n')
    expected = qsim.quantize(np.load(weights), str(toml))
    for out in (weights.with_name("w.bin"), weights.with_name("w.npz")):
        ok("encode", weights, toml, "-o", out)
    toml.unlink()
    for out in (weights.with_name("w.bin"), weights.with_name("w.npz")):
        ok("decode", out, "-o", weights.with_name("y.npy"))
        assert np.array_equal(np.load(weights.with_name("y.npy")), expected)


def test_decode_to_float64(weights: Path):
    ok("encode", weights, "mx6", "-o", weights.with_name("w.npz"))
    ok("decode", weights.with_name("w.npz"), "-o", weights.with_name("y.npy"), "--dtype", "float64")

    assert np.array_equal(np.load(weights.with_name("y.npy")), qsim.encode(np.load(weights), "mx6").decode(np.float64))


def test_encode_picks_an_array(tmp_path: Path):
    np.savez(tmp_path / "two.npz", a=np.ones(3, np.float32), b=np.zeros(2, np.float32))
    refused("encode", tmp_path / "two.npz", "mx9", "-o", tmp_path / "o.npz", says="choose one with --array: a, b")
    refused("encode", tmp_path / "two.npz", "mx9", "-o", tmp_path / "o.npz", "--array", "c", says="no array 'c'")
    ok("encode", tmp_path / "two.npz", "mx9", "-o", tmp_path / "o.npz", "--array", "b")


BAD_ENCODE = {
    "missing file": ("none.npy", ["mx9"], "none.npy: No such file"),
    "corrupt npz": ("corrupt.npz", ["mx9"], "corrupt.npz: not a readable .npz file"),
    "truncated npy": ("short.npy", ["mx9"], "short.npy: not a readable .npy file"),
    "text": ("text.npy", ["mx9"], "text.npy: neither a .npy nor a .npz file"),
    "object array": ("object.npy", ["mx9"], "object.npy: not a readable .npy file"),
    "strings": ("strings.npy", ["mx9"], "strings.npy: "),
    "nan": ("nan.npy", ["int8"], "2 of 3 values are NaN"),
    "folder": (".", ["mx9"], "Is a directory"),
    "unknown format": ("w.npy", ["mx99"], "unknown format 'mx99'"),
    "lying toml": ("w.npy", ["bad.toml"], "element.bits = 99"),
    "name of the catalogue": ("w.npy", ["mx9.toml"], "name 'mx9' is that of a catalogue format"),
    "axis": ("w.npy", ["mx9", "--axis", "2"], "axis=2 is out of range"),
    "granularity word": ("w.npy", ["int8", "--granularity", "row"], "granularity='row'"),
    "granularity zero": ("w.npy", ["int8", "--granularity", "0"], "granularity=0"),
    "granularity of mx9": ("w.npy", ["mx9", "--granularity", "channel"], "does not apply to mx9"),
    "rounding": ("w.npy", ["mx9", "--rounding", "up"], "'up'"),
    "convention": ("w.npy", ["mx9", "--convention", "acme"], "unknown convention 'acme'"),
    "convention of another family": ("w.npy", ["mx9", "--convention", "onnxruntime"], "says nothing about mx9"),
    "unknown option": ("w.npy", ["mx9", "--set", "speed=1"], "--set speed=1"),
    "no value": ("w.npy", ["mx9", "--set", "rounding"], "--set rounding"),
    "option value": ("w.npy", ["mx9", "--set", "subnormals=maybe"], "'maybe' is not allowed"),
    "option of another family": ("w.npy", ["mx9", "--set", "order=float_first"], "does not apply to mx9"),
    "option twice": ("w.npy", ["mx9", "--set", "subnormals=flush", "--set", "subnormals=keep"], "given twice"),
    "contradiction": ("w.npy", ["mx9", "--rounding", "floor", "--set", "rounding=ceil"], "contradict"),
    "no seed": ("w.npy", ["mx9", "--rounding", "stochastic"], "--seed"),
    "idle seed": ("w.npy", ["mx9", "--seed", "1"], "--seed 1"),
    "negative seed": ("w.npy", ["mx9", "--rounding", "stochastic", "--seed", "-1"], "seed=-1"),
    "layout": ("w.npy", ["mx9", "--layout", "diagonal"], "'diagonal'"),
}


@pytest.mark.parametrize("case", BAD_ENCODE)
@pytest.mark.parametrize("suffix", [".npz", ".bin"])
def test_encode_refuses(weights: Path, case: str, suffix: str, monkeypatch: pytest.MonkeyPatch):
    folder = weights.parent
    monkeypatch.chdir(folder)
    np.savez(folder / "corrupt.npz", x=np.arange(1000.0))
    data = bytearray((folder / "corrupt.npz").read_bytes())
    data[200:4000] = bytes(3800)
    (folder / "corrupt.npz").write_bytes(data)
    (folder / "short.npy").write_bytes(weights.read_bytes()[:-100])
    (folder / "text.npy").write_text("hello")
    np.save(folder / "object.npy", np.array([None, {}], object), allow_pickle=True)
    np.save(folder / "strings.npy", np.array(["a"]))
    np.save(folder / "nan.npy", np.array([1, np.nan, np.inf], np.float32))
    (folder / "bad.toml").write_text(BAD_SPEC)
    (folder / "mx9.toml").write_text('name = "mx9"\n[element]\nkind = "int"\nbits = 8\n[[scale]]\ntype = "E8M0"\ngroup = 4\n')
    before = sorted(os.listdir(folder))
    source, args, says = BAD_ENCODE[case]
    refused("encode", source, *args, "-o", f"out{suffix}", says=says)

    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("out", ["out.txt", "out", "nowhere/out.npz", "folder.npz"])
def test_encode_refuses_the_output(weights: Path, out: str):
    (weights.parent / "folder.npz").mkdir()
    refused("encode", weights, "mx9", "-o", weights.parent / out, says=out)


@pytest.fixture
def packed(weights: Path) -> Path:
    ok("encode", weights, "mx9", "-o", weights.with_name("w.bin"))
    return weights.with_name("w.bin")


def change_sidecar(packed: Path, **keys: Any) -> None:
    side = Path(f"{packed}.json")
    side.write_text(json.dumps(json.loads(side.read_text()) | keys))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"sha256": "0" * 64}, "states 0000"),
        ({"shape": [6, 41]}, None),
        ({"shape": [6, 64]}, "w.bin: "),
        ({"shape": [-6, 40]}, "shape = [-6, 40]"),
        ({"shape": "all"}, "shape = 'all'"),
        ({"shape": [2**40, 2**20]}, "w.bin: "),
        ({"axis": 5}, "axis=5 is out of range"),
        ({"axis": "x"}, "axis='x'"),
        ({"layout": "diagonal"}, "layout = 'diagonal'"),
        ({"format": "mx6"}, "format = 'mx6', but spec.name = 'mx9'"),
        ({"spec": []}, "not both tables"),
        ({"spec": {"name": "mx9", "element": {"kind": "int", "bits": 8}}}, "no known family"),
        ({"spec": {"name": "y", "element": {"kind": "int", "bits": 77}}}, "element.bits = 77"),
        ({"granularity": "channel"}, "does not apply to mx9"),
        ({"options": {"speed": 1}}, "unknown option 'speed'"),
        ({"extra": 1}, "keys "),
    ],
)
def test_decode_refuses_a_sidecar_that_lies(packed: Path, keys: dict[str, Any], says: str | None):
    change_sidecar(packed, **keys)
    if says is None:  # the same number of words: nothing to see but the pad, which is zero
        ok("decode", packed, "-o", packed.with_name("y.npy"))
        return
    refused("decode", packed, "-o", packed.with_name("y.npy"), says=says)

    assert not packed.with_name("y.npy").exists()


def test_decode_refuses_damaged_bytes(packed: Path):
    data = packed.read_bytes()
    for damaged in (data[:-1], data + b"\0", b"", bytes([data[0] ^ 1]) + data[1:]):
        packed.write_bytes(damaged)
        refused("decode", packed, "-o", packed.with_name("y.npy"), says="w.bin")
    packed.write_bytes(data[:-1])
    change_sidecar(packed, sha256=hashlib.sha256(data[:-1]).hexdigest())
    refused("decode", packed, "-o", packed.with_name("y.npy"), says="w.bin: ")

    assert not packed.with_name("y.npy").exists()


def test_decode_refuses_missing_and_broken_files(packed: Path):
    folder, out = packed.parent, packed.with_name("y.npy")
    refused("decode", folder / "none.bin", "-o", out, says="none.bin")
    refused("decode", folder / "w.npy", "-o", out, says="allowed: a .npz or .bin file")
    refused("decode", packed, "-o", folder / "y.txt", says="ends in .npy")
    refused("decode", packed, "-o", folder / "no" / "y.npy", says="no folder")
    Path(f"{packed}.json").write_text("{")
    refused("decode", packed, "-o", out, says="w.bin.json: not JSON")
    Path(f"{packed}.json").unlink()
    refused("decode", packed, "-o", out, says="w.bin.json: no such file")

    assert not out.exists()


def change_npz(path: Path, **arrays: Any) -> None:
    with np.load(path) as file:
        parts = {name: file[name] for name in file.files} | arrays
    np.savez(path, **{name: array for name, array in parts.items() if array is not None})


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"codes": None}, "no arrays 'metadata' and 'codes'"),
        ({"metadata": None}, "no arrays 'metadata' and 'codes'"),
        ({"metadata": np.array("{")}, "metadata is not JSON"),
        ({"scale0": None}, "has codes, scale0, zero_point"),
        ({"scale1": np.zeros(1)}, "has codes, scale0, zero_point"),
        ({"codes": np.zeros((6, 41), np.uint8)}, "codes is uint8(6, 41)"),
        ({"codes": np.zeros((6, 40), np.int64)}, "codes is int64(6, 40)"),
        ({"codes": np.full((6, 40), 16, np.uint8)}, "codes holds 16; allowed: 0 to 15"),
        ({"zero_point": np.full(6, 16, np.int32)}, "zero_point leaves 0 to 15"),
    ],
)
def test_decode_refuses_an_npz_that_lies(weights: Path, arrays: dict[str, Any], says: str):
    path = weights.with_name("w.npz")
    ok("encode", weights, "uint4", "-o", path, "--granularity", "channel")
    change_npz(path, **arrays)
    refused("decode", path, "-o", weights.with_name("y.npy"), says=says)

    assert not weights.with_name("y.npy").exists()


def test_nothing_stays_of_a_write_that_fails(tmp_path: Path):
    """Both files of a pair keep their old content when the second cannot be written."""
    old = tmp_path / "a.bin"
    old.write_bytes(b"old")

    def fill() -> None:
        with written(old, tmp_path / "a.bin.json") as files:
            files[0].write(b"new")
            raise OSError(28, "disk full")

    with pytest.raises(OSError, match="disk"):
        fill()

    assert os.listdir(tmp_path) == ["a.bin"]
    assert old.read_bytes() == b"old"


def test_a_full_disk_names_the_file(tmp_path: Path):
    """Also where closing the file, which still holds what could not be written, fails once more."""
    resource = pytest.importorskip("resource", reason="limits of a process are Unix's")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        with written(tmp_path / "a.bin") as files:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
            files[0].write(bytes(2000))

    try:
        with pytest.raises(OSError, match="File too large") as caught:
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "a.bin")
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_on_stdout_is_an_error():
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "qsim", "show", "mx9"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert result.returncode != 0
    assert "Traceback" not in result.stderr


def test_unknown_commands_and_options():
    refused("frobnicate", says="No such command 'frobnicate'")
    refused("list", "flavours", says="'flavours'")
    refused("show", "mx9", "--yaml", says="No such option")
    refused("golden", "frobnicate", says="No such command")


def test_list_and_show_presets() -> None:
    """Every preset is listed, and shown with its stages, source and evidence."""
    rows = json.loads(ok("list", "presets", "--json"))
    names = [row["name"] for row in rows]
    assert {"tflite_double", "xnnpack_fp32", "ap_fixed", "threshold"} <= set(names)
    assert "ap_fixed/ROUNDING/OVERFLOW" in ok("list", "presets")
    for name in [*names, "ap_fixed/AP_RND_CONV/AP_WRAP_SM"]:
        report = json.loads(ok("show", name, "--json"))
        assert report["source"]
        assert report["verified_by"] or report["not_verified"]
        assert report["title"] in ok("show", name)
    assert "half_up, saturate int32" in ok("show", "tflite_double")


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    """No command overwrites what it reads: exit 2, the file as it was."""
    array = tmp_path / "a.npy"
    np.save(array, np.ones((4, 32), np.float32))
    bundle = tmp_path / "b.npz"
    np.savez(bundle, a=np.ones(32, np.float32))
    for path, args in (
        (array, ["explore", str(array), "--format", "mx9", "--csv", str(array)]),
        (bundle, ["encode", str(bundle), "mx9", "--array", "a", "-o", str(bundle)]),
    ):
        before = path.read_bytes()
        result = CliRunner().invoke(main, args)
        assert result.exit_code == 2
        assert "is the input" in result.output
        assert path.read_bytes() == before


def test_a_pattern_that_is_no_ternary_code_is_refused() -> None:
    """0b10 has no meaning in ternary (rule P1)."""
    result = CliRunner().invoke(main, ["show", "ternary", "2"])
    assert result.exit_code == 2
    assert "0x0, 0x1 and 0x3" in result.output


def test_explore_refuses_a_format_that_the_convention_does_not_cover() -> None:
    """A named format without the convention is an error, not an empty table."""
    result = CliRunner().invoke(main, ["explore", "--convention", "torchao", "--format", "mx9"])
    assert result.exit_code == 2
    assert "torchao" in result.output


def test_own_datapath_is_written_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """qsim's own folder holds the catalogue alone; strength and exports take a suite by its path or by its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nactivation.format = "int4"\nweight.format = "int4"\naccumulator = { bits = 8, overflow = "wrap" }\n'
    )

    assert ok("golden", "write", "mine.toml", "--k", "2").startswith(f"dot{os.sep}mine.json: ")
    assert ok("golden", "coverage", "dot/int8_saturate16").startswith("event")
    assert " cases" in ok("golden", "export", "dot/int8_saturate16", "--to", "npz", "vectors")
    refused("golden", "export", "dot/nothing", "--to", "npz", "other", says="no suite 'dot/nothing'; allowed: ")
    refused("golden", "mutants", "dot/mine.json", "--close", "c.json", "--only", "sum", says="--close with --only")
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "c.json").exists()
