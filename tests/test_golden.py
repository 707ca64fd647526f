"""Golden vectors: they pass, they are what the reference writes today, their claims hold, and a damaged file is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import gfloat
import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner, Result
from gfloat import formats as peers

from qsim.cli import main
from qsim.golden import provenance
from qsim.golden.bits import next_down, next_up
from qsim.golden.check import check_file
from qsim.golden.element_cases import held
from qsim.golden.generate import generate, levels_of
from qsim.golden.machines import Kernels, Reference
from qsim.golden.vectors import GoldenError, golden_path, golden_paths, kind_of, parse_golden, read_golden
from qsim.spec import FLOAT32, Format, format_names, load_format
from qsim.spec.load import data_folder

FILES = [(level, name) for name in format_names() for level in levels_of(load_format(name))]
ML = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "bf16": ml_dtypes.bfloat16,
}
GF = {
    "e4m3": peers.format_info_ocp_e4m3,
    "e5m2": peers.format_info_ocp_e5m2,
    "e3m2": peers.format_info_ocp_e3m2,
    "e2m3": peers.format_info_ocp_e2m3,
    "e2m1": peers.format_info_ocp_e2m1,
    "int8": peers.format_info_ocp_int8,
}
Tests = list[dict[str, Any]]


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def vectors_of(level: str, name: str, kind: str) -> Tests:
    return [t for t in read_golden(golden_path(None, level, name)).tests if kind_of(t, level) == kind]


def floats(patterns: list[str]) -> np.ndarray:
    return np.array([int(p, 16) for p in patterns], np.uint32).view(np.float32)


def element_key(name: str) -> str:
    """The element of a format as ML and GF name it."""
    fmt = load_format(name)
    return {"bf16": "bf16", "mxint8": "int8"}.get(name, fmt.element.name.lower())


# --- the checked-in files ---


def test_every_format_has_its_files_and_no_other():
    assert sorted(golden_paths()) == sorted(golden_path(None, level, name) for level, name in FILES)


@pytest.mark.parametrize(("level", "name"), FILES)
def test_files_are_what_the_reference_writes(level: str, name: str):
    """Regenerating changes no byte, and a file stays below 300 kB."""
    text = golden_path(None, level, name).read_text()

    assert generate(load_format(name), level).text() == text
    assert len(text) <= 300_000


def test_all_files_are_small():
    assert sum(p.stat().st_size for p in data_folder("golden").rglob("*") if p.is_file()) < 5_000_000


@pytest.mark.kernels
@pytest.mark.parametrize(("level", "name"), FILES)
def test_kernels_reproduce_every_vector(level: str, name: str):
    file = read_golden(golden_path(None, level, name))

    assert check_file(file, load_format(name), Kernels()) == []


@pytest.mark.parametrize(("level", "name"), [f for f in FILES if f[1] in ("mx6", "vsq4", "fp6_e3m2", "uint4", "binary")])
def test_reference_reproduces_its_vectors(level: str, name: str):
    """Reading a file and running it again is another path than writing it."""
    file = read_golden(golden_path(None, level, name))

    assert check_file(file, load_format(name), Reference()) == []


@pytest.mark.parametrize("name", format_names())
def test_element_files_hold_every_code(name: str):
    """Every code of 8 bits or fewer is decoded once; code 2 of ternary is no code."""
    fmt = load_format(name)
    codes = [int(t["code"], 16) for t in vectors_of("element", name, "element decode")]
    wanted = [0, 1, 3] if name == "ternary" else range(1 << fmt.element.bits)

    assert len(codes) == len(set(codes))
    assert fmt.element.bits > 8 or sorted(codes) == list(wanted)


@pytest.mark.parametrize(
    "name", ["fp8_e4m3", "fp8_e5m2", "fp6_e3m2", "fp6_e2m3", "fp4_e2m1", "int8", "int5", "mx9", "mx6", "mx4", "mxint8", "uint8"]
)
def test_element_files_hold_every_midpoint(name: str):
    """Every midpoint of neighbouring values and the float32 on either side of it, worked out here from the values alone."""
    fmt = load_format(name)
    zero = held(fmt)[1] or 0
    values = sorted({v - zero for c in range(1 << fmt.element.bits) if isinstance(v := fmt.element.value(c), Fraction)})
    inputs = {int(t["input"], 16) for t in vectors_of("element", name, "element encode") if "options" not in t}
    for low, high in pairwise(values):
        bits = int(np.float32((low + high) / 2).view(np.uint32))
        assert FLOAT32.value(bits) == (low + high) / 2
        assert {bits, next_up(bits), next_down(bits)} <= inputs


@pytest.mark.parametrize("name", [n for n in format_names() if load_format(n).scales])
def test_block_files_hold_every_directed_case(name: str):
    flags = {flag for t in read_golden(golden_path(None, "block", name)).tests for flag in t["flags"]}
    wanted = "ZeroBlock OneOutlier AllEqual BelowPowerOfTwo ZeroPair Carry SubnormalMax LargestFloat NaN Inf MixedExponents Ties Partial Random"

    assert set(wanted.split()) <= flags


# --- who else agrees ---


def check_ml_dtypes(name: str, *, inside: bool) -> int:
    """Codes of half_even tests; `inside`: finite inputs up to the largest value only, as ml_dtypes does not saturate E4M3 and E5M2."""
    fmt, kind = load_format(name), ML[element_key(name)]
    tests = [t for t in vectors_of("element", name, "element encode") if "options" not in t]
    x = floats([t["input"] for t in tests])
    codes = np.array([int(t["code"], 16) for t in tests])
    keep = np.abs(x) <= float(fmt.element.largest) if inside else np.ones(x.size, bool)
    with np.errstate(invalid="ignore", over="ignore"):
        actual = x.astype(kind).view(np.uint16 if kind is ml_dtypes.bfloat16 else np.uint8)

    assert np.array_equal(actual[keep], codes[keep])
    return int(keep.sum())


def check_gfloat(name: str) -> int:
    """Values of every code, NaN as NaN, the sign of zero kept."""
    info = GF[element_key(name)]
    tests = vectors_of("element", name, "element decode")
    for t in tests:
        expected = gfloat.decode_float(info, int(t["code"], 16)).fval
        actual = np.array([int(t["float64"], 16)], np.uint64).view(np.float64)[0]
        assert np.array_equal(actual, expected, equal_nan=True), t
        assert np.isnan(expected) or np.signbit(actual) == np.signbit(expected)
        with np.errstate(invalid="ignore"):
            assert np.array_equal(floats([t["float32"]]), np.array([expected], np.float32), equal_nan=True)
    return len(tests)


def check_numpy_half() -> int:
    tests = [t for t in vectors_of("element", "fp16", "element encode") if "options" not in t]
    x = floats([t["input"] for t in tests])
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        actual = x.astype(np.float16).view(np.uint16)
    codes = np.array([int(t["code"], 16) for t in tests], np.uint16)
    nan = np.isnan(x)  # numpy keeps the payload; rule R3 writes the quiet NaN

    assert np.array_equal(actual[~nan], codes[~nan])
    assert np.isnan(codes[nan].view(np.float16)).all()
    assert np.array_equal(codes[nan] >> 15, actual[nan] >> 15)
    decode = vectors_of("element", "fp16", "element decode")
    values = np.array([int(t["code"], 16) for t in decode], np.uint16).view(np.float16).astype(np.float32)
    assert np.array_equal(values, floats([t["float32"] for t in decode]), equal_nan=True)
    return len(tests)


def check_quark(name: str) -> int:
    """The captured reconstruction of the same input block, value for value."""
    capture = np.load(Path(__file__).parent / "data" / "mx_blocks_quark.npz")
    tests = [t for t in vectors_of("block", name, "block valid") if "QuarkCapture" in t["flags"] and "decoded" in t]
    for t in tests:
        row = np.flatnonzero((capture["input"].view(np.float32) == floats(t["input"])).all(axis=1))
        assert row.size >= 1
        assert np.array_equal(capture[name][row[0]].view(np.float32), floats(t["decoded"]))
    return len(tests)


def check_ml_dtypes_block(name: str) -> int:
    """ml_dtypes casts x / 2^(E - 127), exact in float64 and then in float32 where it is one, clipped to the largest value."""
    fmt, kind, done = load_format(name), ML[element_key(name)], 0
    for t in vectors_of("block", name, "block valid"):
        scales = np.array([int(s, 16) for s in t["scales"][0]])
        options = t.get("options", {})
        if "rounding" in options or "subnormals" in options or (scales == 255).any() or len(t["shape"]) != 1:
            continue
        x = floats(t["input"]).astype(np.float64)
        exact = np.ldexp(x, 127 - np.repeat(scales, fmt.block_size)[: x.size])
        largest = float(fmt.element.largest)
        with np.errstate(under="ignore"):
            clipped = np.clip(np.where(np.isinf(x), np.sign(x) * largest, exact), -largest, largest).astype(np.float32)
        exact_in_float32 = (clipped == np.clip(exact, -largest, largest)) | np.isinf(x)
        codes = np.array([int(c, 16) for c in t["codes"]])
        assert np.array_equal(clipped.astype(kind).view(np.uint8)[exact_in_float32], codes[exact_in_float32]), t["id"]
        done += int(exact_in_float32.sum())
    return done


CHECKS: dict[str, Callable[[str], int]] = {
    provenance.ML_DTYPES: lambda name: check_ml_dtypes(name, inside=True),
    provenance.ML_DTYPES_ALL: lambda name: check_ml_dtypes(name, inside=False),
    provenance.GFLOAT: check_gfloat,
    provenance.NUMPY: lambda name: check_numpy_half(),
    provenance.QUARK: check_quark,
    provenance.ML_DTYPES_BLOCK: check_ml_dtypes_block,
}


@pytest.mark.parametrize(("level", "name"), [f for f in FILES if provenance.verified_by(*f)])
def test_every_claim_of_verified_by_holds(level: str, name: str):
    """Each claim in a file is tested here against the implementation that it names, on more than a few vectors."""
    claims = read_golden(golden_path(None, level, name)).verified_by

    assert claims
    for claim in claims:
        assert CHECKS[claim](name) >= 8


def test_formats_without_a_claim_state_none():
    for level, name in FILES:
        assert read_golden(golden_path(None, level, name)).verified_by == provenance.verified_by(level, name)


# --- the command ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the vectors of mx4."""
    result = run("golden", "write", "mx4", "--out", tmp_path / "golden")

    assert result.exit_code == 0, result.output
    return tmp_path / "golden"


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    table = json.loads(path.read_text())
    edit(table)
    path.write_text(json.dumps(table))


def test_write_is_canonical_and_repeatable(folder: Path):
    for level in ("element", "block"):
        path = folder / level / "mx4.json"
        assert path.read_text() == golden_path(None, level, "mx4").read_text()
        assert parse_golden(path.read_text()).text() == path.read_text()
    result = run("golden", "write", "mx4", "--out", folder)

    assert result.stdout.endswith("2 files, 0 written, 0 rejected\n")


def test_check_agrees(folder: Path):
    result = run("golden", "check", "mx4", "--folder", folder)

    assert result.exit_code == 0
    assert "2 files, 148 tests, 0 mismatches" in result.stdout
    assert result.stderr == ""
    table = json.loads(run("golden", "check", "--folder", folder, "--json").stdout)
    assert [(row["level"], row["kernels"], row["reference"]) for row in table["files"]] == [("element", 0, 0), ("block", 0, 0)]


def test_check_reports_a_mismatch(folder: Path):
    """Exit code 1; the message names the case, its flags, the fields, what was expected and what came, for both machines."""
    path = folder / "block" / "mx4.json"
    target = next(t for t in read_golden(path).tests if t["flags"] == ["Carry"])

    def edit(table: dict[str, Any]) -> None:
        test = table["tests"][target["id"] - 1]
        test["codes"] = f"0 {test['codes'].partition(' ')[2]}"
        test["scales"][1] = "01"

    change(path, edit)
    result = run("golden", "check", "--folder", folder)

    assert result.exit_code == 1
    assert f"block/mx4 test {target['id']} (Carry; {target['comment']}): kernels differ" in result.stdout
    assert ": reference differ" in result.stdout
    assert f"codes: expected 0x0 {' '.join(target['codes'][1:])}, got {' '.join(target['codes'])}" in result.stdout
    mismatches = json.loads(run("golden", "check", "--folder", folder, "--json").stdout)["mismatches"]
    assert [m["machine"] for m in mismatches] == ["kernels", "reference"]
    assert mismatches[0]["fields"]["scales"]["expected"][1] == ["0x01"]


@pytest.mark.parametrize(
    ("expected", "got"),
    [({"result": "valid", "code": "0x0"}, "ValueError"), ({"rule": "R1"}, "rule R1"), ({"error": "TypeError"}, "TypeError")],
)
def test_check_reports_a_wrong_refusal(tmp_path: Path, expected: dict[str, str], got: str):
    """An input that must be refused and is not, or by another rule or exception, is a mismatch like any other."""
    run("golden", "write", "int4", "--out", tmp_path)
    path = tmp_path / "element" / "int4.json"
    test = next(t for t in json.loads(path.read_text())["tests"] if "result" in t)

    def edit(table: dict[str, Any]) -> None:
        changed = table["tests"][test["id"] - 1]
        changed.update(expected)
        if "code" in expected:
            del changed["error"], changed["rule"]

    change(path, edit)
    result = run("golden", "check", "--folder", tmp_path)

    assert result.exit_code == 1
    assert f"element/int4 test {test['id']}" in result.stdout
    assert got in result.stdout


def test_valid_input_that_is_said_to_be_refused(folder: Path):
    def edit(table: dict[str, Any]) -> None:
        test = next(t for t in table["tests"] if "SpecialValue" in t["flags"])
        del test["code"]
        test.update(result="invalid", error="ValueError", rule="S7")

    change(folder / "element" / "mx4.json", edit)
    result = run("golden", "check", "--folder", folder)

    assert result.exit_code == 1
    assert "result: expected invalid: ValueError (rule S7), got valid" in result.stdout


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "digest": (lambda t: t.update(spec_digest="0" * 64), "regenerate (qsim golden write mx4) or revert"),
    "count": (lambda t: t.update(number_of_tests=1), "number_of_tests = 1, but there are"),
    "lost test": (lambda t: t["tests"].pop(), "number_of_tests"),
    "schema": (lambda t: t.update(schema="block-2"), "schema = 'block-2'"),
    "unknown key": (lambda t: t.update(author="me"), "wanted: schema"),
    "missing key": (lambda t: t.pop("source"), "wanted: schema"),
    "wrong type": (lambda t: t.update(notes=[]), "notes is not a dict"),
    "unknown key of a test": (lambda t: t["tests"][4].update(colour="red"), "test 5: missing keys: none; unknown keys: colour"),
    "missing key of a test": (lambda t: t["tests"][4].pop("codes"), "test 5: missing keys: codes"),
    "flag without a note": (lambda t: t["tests"][2]["flags"].append("Moon"), "test 3: flag 'Moon' has no note"),
    "no flag": (lambda t: t["tests"][2]["flags"].clear(), "test 3: no flag"),
    "note without a flag": (lambda t: t["notes"].update(Moon="full"), "notes of flags that no test has: Moon"),
    "verdict": (lambda t: t["tests"][2].update(result="acceptable"), "test 3: result = 'acceptable'"),
    "id": (lambda t: t["tests"][2].update(id=7), "test 3: id = 7 is out of order"),
    "test is no table": (lambda t: t["tests"].__setitem__(2, 5), "test 3: not a table"),
    "hex": (lambda t: t["tests"][2].update(codes="7g"), "test 3: codes holds '0x7g'"),
    "hex number": (lambda t: t["tests"][2].update(input=7), "test 3: input holds 7"),
    "short input": (lambda t: t["tests"][2].update(input="3f80 " * 16), "test 3: input is not float32"),
    "lost element": (lambda t: t["tests"][2].update(input="3f800000 " * 15), "test 3: input has not the 16 values"),
    "shape": (lambda t: t["tests"][2].update(shape=[-1]), "test 3: shape = [-1]"),
    "axis": (lambda t: t["tests"][2].update(axis="last"), "test 3: axis = 'last'"),
    "option": (lambda t: t["tests"][2].update(options={"speed": 1}), "test 3: unknown option 'speed'"),
    "option value": (lambda t: t["tests"][2].update(options={"rounding": "up"}), "test 3: rounding='up' is not allowed"),
    "format": (lambda t: t.update(format="mx6"), "states format 'mx6'"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_check_refuses_a_damaged_file(folder: Path, case: str):
    """Exit code 2; the message names the file, and the test where there is one."""
    path = folder / "block" / "mx4.json"
    edit, says = DAMAGE[case]
    change(path, edit)
    result = run("golden", "check", "mx4", "--folder", folder)

    assert result.exit_code == 2, result.output
    assert f"Error: {path}" in result.stderr
    assert says in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff", '{"schema": "block-1", "schema": "block-1"}'])
def test_check_refuses_what_is_no_golden_file(folder: Path, text: str):
    (folder / "block" / "mx4.json").write_bytes(text.encode("latin-1"))
    result = run("golden", "check", "--folder", folder)

    assert result.exit_code == 2
    assert "mx4.json" in result.stderr


def test_check_refuses_other_held_scales(folder: Path):
    change(folder / "element" / "mx4.json", lambda t: t["held"].update(zero_point=3))
    result = run("golden", "check", "--folder", folder)

    assert result.exit_code == 2
    assert "held = " in result.stderr


def test_bad_use_of_golden(tmp_path: Path):
    assert "unknown format 'mx5'" in run("golden", "check", "mx5").stderr
    assert "unknown format 'mx5'" in run("golden", "write", "mx5", "--out", tmp_path).stderr
    assert run("golden", "write", "mx5", "--out", tmp_path).exit_code == 2
    assert "no golden files" in run("golden", "check", "--folder", tmp_path).stderr
    assert "mx9.json: no such file" in run("golden", "check", "mx9", "--folder", tmp_path).stderr
    assert os.listdir(tmp_path) == []


def test_write_check_only_writes_nothing(folder: Path):
    path = folder / "block" / "mx4.json"
    change(path, lambda t: t["tests"][2].update(comment="changed"))
    before = path.read_text()
    result = run("golden", "write", "mx4", "--out", folder, "--check-only")

    assert result.exit_code == 1
    assert f"would change: {path}" in result.stdout
    assert path.read_text() == before
    assert run("golden", "write", "mx4", "--out", folder).exit_code == 0
    assert run("golden", "write", "mx4", "--out", folder, "--check-only").exit_code == 0


def test_write_that_fails_its_self_check_keeps_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Kernels that differ from the reference: the file stays, the candidate is FILE.rej, exit code 1."""
    path = folder / "element" / "mx4.json"
    change(path, lambda t: t["tests"][2].update(comment="changed"))
    before = path.read_text()
    monkeypatch.setattr(Kernels, "encode_elements", lambda self, fmt, bits, options, random: ["0x0"] * len(bits))
    result = run("golden", "write", "mx4", "--out", folder)

    assert result.exit_code == 1
    assert f"rejected, nothing written: {path}.rej: " in result.stderr
    assert "kernels differ" in result.stderr
    assert path.read_text() == before
    assert Path(f"{path}.rej").read_text() == golden_path(None, "element", "mx4").read_text()


def test_vectors_of_a_users_format(tmp_path: Path):
    """A TOML path works where a name does, for writing and for checking."""
    toml = tmp_path / "tiny.toml"
    toml.write_text('name = "tiny"\n[element]\nkind = "sign_magnitude"\nbits = 4\n[[scale]]\ntype = "E8M0"\ngroup = 4\n')
    assert run("golden", "write", toml, "--out", tmp_path).exit_code == 0
    result = run("golden", "check", toml, "--folder", tmp_path)

    assert result.exit_code == 0, result.output
    assert "0 mismatches" in result.stdout


def test_a_changed_format_is_noticed(tmp_path: Path):
    toml = tmp_path / "tiny.toml"
    text = 'name = "tiny"\n[element]\nkind = "sign_magnitude"\nbits = 4\n[[scale]]\ntype = "E8M0"\ngroup = 4\n'
    toml.write_text(text)
    run("golden", "write", toml, "--out", tmp_path)
    toml.write_text('title = "new title"\n' + text)
    assert run("golden", "check", toml, "--folder", tmp_path).exit_code == 0
    toml.write_text(text.replace("group = 4", "group = 8"))
    result = run("golden", "check", toml, "--folder", tmp_path)

    assert result.exit_code == 2
    assert "the format has changed" in result.stderr


def test_the_reference_writes_and_the_kernels_do_not(monkeypatch: pytest.MonkeyPatch):
    """Generating needs no kernel: with the codec broken, the same text comes."""
    fmt: Format = load_format("mx4")
    monkeypatch.setattr("qsim.codec.encode", None)
    monkeypatch.setattr(Kernels, "block", None)

    assert generate(fmt, "block").text() == golden_path(None, "block", "mx4").read_text()


def test_golden_error_is_a_value_error():
    with pytest.raises(GoldenError, match="not a table"):
        parse_golden("[]")
