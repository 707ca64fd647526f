"""`qsim verify`, `qsim trace`, the scoreboard: every kind of mismatch is found, its stage named, and nothing passes by silence."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import qsim
from qsim.cli import main
from qsim.datapath.datapaths import load_datapath
from qsim.golden.bits import float32
from qsim.golden.fields import exact_text
from qsim.golden.literal import parse_literal, parse_vector
from qsim.golden.mismatch import junit, report_table, report_text
from qsim.golden.names import file_stem, port_of
from qsim.golden.outputs import Column, Outputs, from_array, read_outputs
from qsim.golden.patterns import deposit, empty, extract, from_ints, to_int
from qsim.golden.reading import parts, rule_of
from qsim.golden.readmem import parse_memory
from qsim.golden.suite import Case, Suite, encode_unit
from qsim.golden.unit import Port, Unit
from qsim.golden.unit_reference import evaluate
from qsim.golden.verify import Verdict, verify

NOTES = {"Random": "Random operands.", "Even": "Its id is even."}
RTL = Path(__file__).parent / "rtl"


def suite_of(unit: Unit, count: int = 10, seed: int = 1) -> Suite:
    """Random operands (float32 ones of a normal distribution), outputs by the reference."""
    rng = random.Random(seed)
    cases = []
    for i in range(1, count + 1):
        values = {p.name: rng.getrandbits(p.bits) for p in unit.inputs}
        for p in unit.inputs:
            if p.kind == "float32":
                values[p.name] = p.join([float32(Fraction(rng.gauss(0, 1))) for _ in range(p.count)])
        flags = ("Random", "Even") if i % 2 == 0 else ("Random",)
        cases.append(Case(i, flags, values | evaluate(unit, values), f"case {i}"))
    return Suite(unit.kind, unit, tuple(cases), NOTES)


@cache
def int8() -> Suite:
    return suite_of(Unit("dot", load_datapath(RTL / "int8_dot.toml"), k=16, parameters=("bias",)))


@cache
def mx9() -> Suite:
    return suite_of(Unit("dot", load_datapath(RTL / "mx9_dot.toml"), k=32))


@cache
def encoder() -> Suite:
    return suite_of(encode_unit("mx9"))


SUITES = {"int8": int8, "mx9": mx9, "encode": encoder}


def outputs_of(suite: Suite, **changed: list[int]) -> Outputs:
    """A device that gives what the suite expects, but for the ports named."""
    columns = {p.name: suite.column(p.name) for p in suite.unit.outputs} | changed
    return Outputs({n: Column(from_ints(c, suite.unit.port(n).bits)) for n, c in columns.items()}, "device")


def result_only(suite: Suite, values: list[int], ids: list[int] | None = None, unknown: list[int] | None = None) -> Outputs:
    bits = suite.unit.port("result").bits
    hidden = None if unknown is None else from_ints(unknown, bits)
    return Outputs({"result": Column(from_ints(values, bits), hidden, None if ids is None else np.array(ids))}, "device")


def text(values: list[int], bits: int, form: str = "x") -> str:
    digits = bits if form == "b" else -(-bits // 4)
    return "".join(f"{v:0{digits}{form}}\n" for v in values)


def floats(values: list[int]) -> Suite:
    """A suite of float32 results: `values`, by hand."""
    base = mx9().cases[0].values
    return Suite("floats", mx9().unit, tuple(Case(i, ("Random",), base | {"result": v}) for i, v in enumerate(values, 1)), NOTES)


# --- text of memories


@given(st.data())
def test_every_dressing_of_a_memory_reads_as_its_words(data: st.DataObject) -> None:
    """Comments, blanks, CRLF, underscores, upper case, missing leading zeros: the same patterns."""
    bits = data.draw(st.integers(1, 150))
    values = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=1, max_size=9))
    form, radix = data.draw(st.sampled_from((("x", "hex"), ("b", "bin"))))
    full = bits if form == "b" else -(-bits // 4)

    def line(v: int) -> str:
        word = f"{v:0{data.draw(st.sampled_from((0, full, full + 3)))}{form}}"
        word = word.upper() if data.draw(st.booleans()) else word
        word = f"{word[:1]}_{word[1:]}" if data.draw(st.booleans()) else word
        return data.draw(st.sampled_from(("{}", "  {}", "{}\t", "{} // c", "/* a\n b */ {}", "\n{}", "// x\n{}"))).format(word)

    newline = data.draw(st.sampled_from(("\n", "\r\n")))
    memory = parse_memory((newline.join(map(line, values)) + newline).encode(), bits, radix, "f")

    assert [to_int(row) for row in memory.words] == values
    assert memory.unknown is None
    assert memory.ids is None


@pytest.mark.parametrize(
    ("source", "bits", "words", "unknown"),
    [
        (b"1x0f\n", 16, [0x100F], [0x0F00]),
        (b"zz\n", 8, [0], [0xFF]),
        (b"x\n", 16, [0], [0xFFFF]),  # %0h of an unknown value: it fills
        (b"0x\n", 16, [0], [0x000F]),
        (b"X2\n", 6, [2], [0x30]),  # only the bits that the port has
        (b"@2 ff\n", 8, [0xFF], None),
        (b"", 8, [], None),
    ],
)
def test_unknown_digits_are_unknown_bits(source: bytes, bits: int, words: list[int], unknown: list[int] | None) -> None:
    memory = parse_memory(source, bits, "hex", "f")

    assert [to_int(row) for row in memory.words] == words
    assert (None if memory.unknown is None else [to_int(row) for row in memory.unknown]) == unknown


def test_ids_and_addresses() -> None:
    """`id value` lines carry their ids; address 0 is case 1."""
    pairs = parse_memory(b"7 0a\n// c\n 12 0b\n3 c\n", 8, "hex", "f")
    addressed = parse_memory(b"@0 1\n2\n@10\n3\n", 8, "hex", "f")

    assert (pairs.ids.tolist(), pairs.words[:, 0].tolist()) == ([7, 12, 3], [10, 11, 12])
    assert (addressed.ids.tolist(), addressed.words[:, 0].tolist()) == ([1, 2, 17], [1, 2, 3])


@pytest.mark.parametrize("source", [b"1234\n5678\n12", b"1 1234\n2 5678\n3 12", b"1 1234\n2 5678\n3"])
def test_a_line_cut_off_is_no_result(source: bytes) -> None:
    """A simulation that died in the middle of a line: what is left of it never counts as a value."""
    assert len(parse_memory(source, 16, "hex", "f").words) == 2
    assert len(parse_memory(b"1234\n5678\n9abc", 16, "hex", "f").words) == 3


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"12\n\nhello\n", "f:3: 'hello' is no word of 16 bits"),
        (b"// a\n12345\n", "f:2: '12345' is no word of 16 bits"),
        (b"0x1234\n", "without 0x: in these files x is an unknown digit"),
        (b"1 2\n1 2 3\n", "f:2: 3 words on the line"),
        (b"1 2\n3\n4 5\n", "f:2: 1 words on the line"),
        (b"a1 2\nb 2\n", "f:1: 'a1' is no id"),
        (b"1234567890123456789 2\n1 1\n", "is no id; allowed: a decimal number"),
        (b"@g 1\n", "f:1: '@g' is no address"),
        (b"\x00\xff\n", "f:1: "),
    ],
)
def test_what_is_no_word_is_named_with_its_line(source: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=r"^f:") as error:
        parse_memory(source, 16, "hex", "f")

    assert says in str(error.value)


@given(st.integers(1, 200), st.data())
def test_fields_of_pattern_arrays(bits: int, data: st.DataObject) -> None:
    """extract gives what a shift and a mask of the integer give; deposit puts it back."""
    values = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=1, max_size=4))
    low = data.draw(st.integers(0, bits - 1))
    width = data.draw(st.integers(1, min(64, bits - low)))
    found = extract(from_ints(values, bits), low, width)
    back = empty(len(values), bits)
    deposit(back, low, width, found)

    assert found.tolist() == [v >> low & ((1 << width) - 1) for v in values]
    assert [to_int(row) for row in back] == [int(v) << low for v in found.tolist()]


# --- values of a port as text


def test_literals() -> None:
    port = Port("result", "result", 8, kind="signed")

    assert [parse_literal(t, port) for t in ("0x1f", "-1", "255", "0b1x1", "x", "0xX_1")] == [
        (0x1F, 0), (255, 0), (255, 0), (5, 2), (0, 255), (1, 0xF0),
    ]  # fmt: skip
    assert parse_vector("1Z00000H", port) == (0x81, 0x40)
    assert parse_vector("00000010", port) == (2, 0)
    for bad in ("0x1ff", "256", "-129", "one", "", "0b2", "0bx00000000"):
        with pytest.raises(ValueError, match="result"):
            parse_literal(bad, port)


# --- files of outputs


def write_port(path: Path, suite: Suite, port: Port, suffix: str) -> None:
    column = suite.column(port.name)
    size = -(-port.bits // 8)
    array = np.array([list(v.to_bytes(size, "little")) for v in column], np.uint8)
    if suffix in (".hex", ".bin"):
        path.write_text("// out\n" + text(column, port.bits, "b" if suffix == ".bin" else "x"))
    elif suffix == ".npy":
        np.save(path, array)
    elif suffix == ".npz":
        np.savez(path, **{port.name: array}, id=np.arange(1, len(column) + 1))
    else:
        path.write_text("\n".join(f"{i},{v:#x}" for i, v in enumerate(column, 1)))


@pytest.mark.parametrize("suffix", [".hex", ".bin", ".npy", ".npz", ".csv"])
@pytest.mark.parametrize("name", SUITES)
def test_each_kind_of_file_agrees_with_its_suite(name: str, suffix: str, tmp_path: Path) -> None:
    """A folder with a file for each output, named as exported, and the result's file alone."""
    suite = SUITES[name]()
    for port in suite.unit.outputs:
        write_port(tmp_path / f"{file_stem(port)}{suffix}", suite, port, suffix)
    (tmp_path / "manifest.json").write_text("{}")
    whole = verify(suite, read_outputs(tmp_path, suite.unit))
    result = verify(suite, read_outputs(tmp_path / f"result{suffix}", suite.unit))

    assert whole.agrees
    assert [one.port for one in whole.compared] == list(suite.unit.outputs)
    assert whole.unused == ("manifest.json",)
    assert result.agrees
    assert [one.port.name for one in result.compared] == ["result"]
    assert result.number_compared == len(suite.cases)


def test_arrays_of_values() -> None:
    """Values of each port, patterns, floats and bytes are the same words; what does not fit is refused."""
    signed = Port("s", "tap", 18, 3, "signed")
    single = Port("f", "result", 32, 1, "float32")

    assert to_int(from_array(np.array([[-1, 2, -131072]]), signed, "f")[0]) == signed.join([-1, 2, -131072])
    assert to_int(from_array(np.array([5]), signed, "f")[0]) == 5  # one pattern a row
    assert from_array(np.float32([1.5, -0.0]), single, "f")[:, 0].tolist() == [0x3FC00000, 0x80000000]
    assert from_array(np.array([0x3FC00000]), single, "f")[:, 0].tolist() == [0x3FC00000]
    for array, port in (
        (np.array([[1 << 18, 0, 0]]), signed),
        (np.array([[0, 0]]), signed),
        (np.array([0.1]), single),  # no float32 value
        (np.array([-1]), single),
        (np.array(["a"]), single),
        (np.zeros((1, 1, 1), int), single),
    ):
        with pytest.raises(ValueError, match="allowed"):
            from_array(array, port, "f")


def test_a_table_of_ports(tmp_path: Path) -> None:
    """CSV with a header: ids in any order, Verilog names, an empty cell is missing."""
    suite = int8()
    rows = [f"{c.id},{c.values['accumulator']},{c.values['result']:#x}" for c in reversed(suite.cases)]
    rows[3] = rows[3].rpartition(",")[0] + ","
    (tmp_path / "all.csv").write_text("id, accumulator, result\n" + "\n".join(rows) + "\n")
    verdict = verify(suite, read_outputs(tmp_path / "all.csv", suite.unit))

    assert [one.port.name for one in verdict.compared] == ["accumulator", "result"]
    assert (verdict.mismatches, verdict.by_class, verdict.number_compared) == (1, {"missing": 1}, 9)
    assert suite.cases[int(verdict.places[0])].id == len(suite.cases) - 3


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("result.hex", b"hello\n", "result.hex:1: 'hello'"),
        ("result.npy", b"PK\x03\x04junk", "not a readable .npy file"),
        ("result.npy", b"", "not a readable .npy file"),
        ("result.npz", b"PK\x03\x04junk", "not a readable .npz file"),
        ("result.csv", b"1,2,3\n", "3 cells; allowed: 1"),
        ("result.csv", b"1,2\nx,3\n", "result.csv:2: 'x' is no id"),
        ("result.csv", b"id,result\n1,zero\n", "result.csv:2: 'zero' is no value"),
        ("result.csv", b"id,result,activation\n1,0,0\n", "'activation' is no output"),
        ("result.csv", b"result,result\n0,0\n", "columns result, result"),
        ("result.csv", b"\xff\xfe", "not a readable .csv file"),
        ("result.txt", b"0\n", "allowed: a name that ends in .hex"),
    ],
)
def test_unreadable_files_are_exit_2(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(int8().text())
    (tmp_path / name).write_bytes(content)
    result = run("verify", tmp_path / name, "--suite", tmp_path / "s.json")

    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_folders_without_outputs_and_with_two_files_of_one(tmp_path: Path) -> None:
    unit = int8().unit
    with pytest.raises(ValueError, match=r"no outputs; allowed: products\.hex"):
        read_outputs(tmp_path, unit)
    (tmp_path / "activation.hex").write_text("0\n")
    with pytest.raises(ValueError, match="no outputs"):
        read_outputs(tmp_path, unit)
    for suffix in ("hex", "csv"):
        (tmp_path / f"result.{suffix}").write_text("0\n")
    with pytest.raises(ValueError, match="a second file of result"):
        read_outputs(tmp_path, unit)


# --- the comparison


@pytest.mark.parametrize("name", SUITES)
def test_every_flipped_bit_is_found_at_its_stage(name: str) -> None:
    """One wrong bit on any port, in any case: that case alone differs, and that port is named."""
    suite = SUITES[name]()
    rng = random.Random(2)
    for port in suite.unit.outputs:
        for bit in {0, port.bits - 1, *(rng.randrange(port.bits) for _ in range(6))}:
            place = rng.randrange(len(suite.cases))
            column = suite.column(port.name)
            column[place] ^= 1 << bit
            verdict = verify(suite, outputs_of(suite, **{port.name: column}))

            assert not verdict.agrees
            assert verdict.places.tolist() == [place]
            assert verdict.by_stage == {port.name: 1}
            assert sum(verdict.by_class.values()) == 1
            assert f"case {place + 1} (" in report_text(verdict)
            assert f"{port.name} ({rule_of(suite.unit, port)})" in report_text(verdict)


def test_the_first_stage_in_the_order_of_the_data_is_named() -> None:
    suite = int8()
    changed = {name: [v ^ 1 for v in suite.column(name)] for name in ("result", "accumulator", "partial_sums")}
    verdict = verify(suite, outputs_of(suite, **changed))

    assert verdict.by_stage == {"partial_sums": len(suite.cases)}
    assert verdict.cause() == "all 10 cases differ"
    assert "partial_sums differs first" in report_text(verdict)


@pytest.mark.parametrize(
    ("want", "got", "name"),
    [
        (0x00000000, 0x80000000, "zero_sign"),
        (0x7FC00000, 0xFFC00001, "nan_payload"),
        (0x7F800001, 0x7FC00000, "nan_payload"),
        (0x7F800000, 0x7FC00000, "value"),  # Inf and NaN
        (0x7F800000, 0xFF800000, "value"),
        (0x3F800000, 0x3F800001, "value"),
        (0x00000000, 0x00000001, "value"),
    ],
)
def test_classes_of_float_results(want: int, got: int, name: str) -> None:
    suite = floats([want, 0x3F800000])
    outputs = result_only(suite, [got, 0x3F800000])
    verdict = verify(suite, outputs)
    ignoring = verify(suite, outputs, ignore=("zero_sign", "nan_payload"))

    assert verdict.by_class == {name: 1}
    assert ignoring.agrees == (name != "value")
    assert ignoring.ignored == {"zero_sign": int(name == "zero_sign"), "nan_payload": int(name == "nan_payload")}
    assert ("ignored: 1 of class" in report_text(ignoring)) == (name != "value")
    with pytest.raises(ValueError, match="allowed: zero_sign, nan_payload"):
        verify(suite, outputs, ignore=("value",))


def test_classes_of_fields_in_words() -> None:
    """-0 of a sign and magnitude element and NaN codes of E5M2 are told from values; a scale's bit is a value."""
    suite = encoder()
    word = suite.unit.port("result")
    base = suite.cases[0].values
    zero = base["result"] & ~0xFF
    one = replace(suite, cases=(Case(1, ("Random",), base | {"result": zero}),))

    assert verify(one, result_only(one, [zero | 0x80])).by_class == {"zero_sign": 1}
    assert verify(one, result_only(one, [zero | 0x81])).by_class == {"value": 1}
    assert verify(one, result_only(one, [(zero | 0x80) ^ 1 << (word.bits - 1)])).by_class == {"value": 1}

    e5m2 = Unit("encode", None, qsim.load_format("fp8_e5m2"), 4)
    inputs = {"input": e5m2.port("input").join([0x7FC00000, 0, 0x3F800000, 0x40000000])}
    nan = Suite("e5m2", e5m2, (Case(1, ("Random",), inputs | evaluate(e5m2, inputs)),), NOTES)
    (value,) = nan.column("result")

    assert verify(nan, result_only(nan, [value ^ 1])).by_class == {"nan_payload": 1}
    assert verify(nan, result_only(nan, [value ^ 1 ^ 0x8000])).by_class == {"nan_payload": 1}
    assert verify(nan, result_only(nan, [value ^ 1 ^ 0x8000]), ignore=("zero_sign",)).by_class == {"nan_payload": 1}


@pytest.mark.parametrize("name", SUITES)
def test_an_unknown_bit_is_a_mismatch_unless_it_is_masked(name: str) -> None:
    """An X never equals a bit, whatever stands under it."""
    suite = SUITES[name]()
    values = suite.column("result")
    bit = 1 << (suite.unit.port("result").bits - 1)
    unknown = [0] * len(values)
    unknown[4] = bit
    outputs = result_only(suite, [v & ~bit if i == 4 else v for i, v in enumerate(values)], unknown=unknown)
    masked = replace(suite, cases=tuple(replace(c, masks={"result": bit}) if c.id == 5 else c for c in suite.cases))

    assert verify(suite, outputs).by_class == {"unknown": 1}
    assert "0bx" in report_text(verify(suite, outputs)) or "0xx" in report_text(verify(suite, outputs))
    assert verify(masked, outputs).agrees


def test_masked_bits_are_not_compared() -> None:
    suite = int8()
    values = suite.column("result")
    values[2] ^= 0x30
    outputs = result_only(suite, values)

    def masked(mask: int) -> Suite:
        return replace(suite, cases=tuple(replace(c, masks={"result": mask}) if c.id == 3 else c for c in suite.cases))

    assert verify(masked(0x30), outputs).agrees
    assert verify(masked(0x10), outputs).mismatches == 1
    assert verify(suite, outputs).mismatches == 1


@pytest.mark.parametrize("given_rows", [0, 1, 9])
def test_missing_results_are_mismatches(given_rows: int) -> None:
    """A bench that stops early never passes."""
    suite = int8()
    verdict = verify(suite, result_only(suite, suite.column("result")[:given_rows]))

    assert not verdict.agrees
    assert verdict.by_class == {"missing": 10 - given_rows}
    assert verdict.number_compared == given_rows
    assert f"compared {given_rows} of 10" in report_text(verdict)


def test_nothing_at_all_does_not_agree() -> None:
    suite = int8()
    taps = Outputs({k: v for k, v in outputs_of(suite).columns.items() if k != "result"}, "device")

    assert not verify(replace(suite, cases=()), Outputs({}, "device")).agrees
    assert verify(suite, Outputs({}, "device")).by_class == {"missing": 10}
    assert verify(suite, taps).by_stage == {"result": 10}


def test_ids_put_rows_in_order_and_strangers_are_extra() -> None:
    suite = int8()
    values, ids = suite.column("result"), list(range(1, 11))
    order = random.Random(3).sample(range(10), 10)
    shuffled = result_only(suite, [values[i] for i in order], [ids[i] for i in order])
    stranger = result_only(suite, [*values, 0], [*ids, 99])
    twice = result_only(suite, [*values, values[0]], [*ids, 1])
    longer = result_only(suite, [*values, 0])
    shifted = result_only(suite, values, [i + 1 for i in ids])

    assert verify(suite, shuffled).agrees
    for outputs in (stranger, twice, longer):
        verdict = verify(suite, outputs)
        assert not verdict.agrees
        assert (verdict.mismatches, verdict.extra) == (0, 1)
        assert "1 extra" in report_text(verdict)
    assert verify(suite, shifted).by_class["missing"] == 1
    assert verify(suite, shifted).extra == 1


def test_the_summary_names_what_mismatches_share() -> None:
    suite = int8()
    even = verify(suite, result_only(suite, [v ^ (i % 2) for i, v in enumerate(suite.column("result"))]))
    some = verify(suite, result_only(suite, [v ^ (i in (1, 3)) for i, v in enumerate(suite.column("result"))]))
    mixed = verify(suite, result_only(suite, [v ^ (i in (1, 2)) for i, v in enumerate(suite.column("result"))]))

    assert even.cause() == "all 5 mismatches have flag Even, and no other case has it"
    assert some.cause() == "all 2 mismatches have flag Even"
    assert mixed.cause() == "no flag is common to all mismatches"
    assert even.by_flag == {"Even": (5, 5), "Random": (5, 10)}
    assert verify(suite, outputs_of(suite)).cause() == ""


# --- how a mismatch reads


@pytest.mark.parametrize(
    ("want", "got", "ulps"),
    [
        (0x3F800000, 0x3F800003, 3),
        (0x3F800000, 0x3F7FFFFF, -1),
        (0x00000001, 0x80000001, -2),  # across zero
        (0x7F7FFFFF, 0x7F800000, 1),
        (0x3F800000, 0x7FC00000, None),
    ],
)
def test_distance_in_ulps(want: int, got: int, ulps: int | None) -> None:
    """Neighbouring floats are one ulp apart, -0 and +0 none; NaN is at no distance."""
    suite = floats([want])
    report = report_table(verify(suite, result_only(suite, [got])))
    (part,) = report["shown"][0]["ports"]["result"]["parts"]

    assert part["distance"] == (None if ulps is None else {"ulp": ulps})
    assert part["fields_expected"].replace("|", "") == f"{want:032b}"
    assert [len(f) for f in part["fields_got"].split("|")] == [1, 8, 23]


def test_fields_of_a_word_stand_side_by_side() -> None:
    suite = encoder()
    word = suite.unit.port("result")
    by_name = {p.name: p for p in parts(suite.unit, word)}
    assert list(by_name) == [*(f"element[{i}]" for i in range(16)), *(f"scale0[{i}]" for i in range(8)), "scale1"]
    value = suite.column("result")[0]
    wrong = value ^ 1 ^ 1 << by_name["scale0[3]"].low ^ 1 << by_name["scale1"].low
    report = report_table(verify(suite, result_only(suite, [wrong, *suite.column("result")[1:]])))
    found = report["shown"][0]["ports"]["result"]["parts"]

    assert [p["part"] for p in found] == ["element[0]", "scale0[3]", "scale1"]
    assert found[0]["distance"] in ({"LSB": 1}, {"LSB": -1})
    assert all(p["value_expected"] != p["value_got"] for p in found)


@given(st.fractions())
def test_values_are_exact(value: Fraction) -> None:
    """The text of a value, read as arithmetic, is the value."""
    text = exact_text(value)
    factor, _, power = text.partition("2^") if "2^" in text else (text, "", "")
    number = Fraction(factor.rstrip("*").replace("-", "-1") if factor in ("", "-") else factor.rstrip("*") or 1) if factor else 1

    assert number * (Fraction(2) ** int(power) if power else 1) == value


def test_json_and_junit_say_the_same() -> None:
    suite = int8()
    verdict = verify(suite, result_only(suite, [v ^ (i == 3) for i, v in enumerate(suite.column("result"))][:8]))
    facts = json.loads(json.dumps(report_table(verdict)))
    root = ElementTree.fromstring(junit(verdict, limit=1))
    (xml,) = root
    failed = {t.get("name"): t.find("failure") for t in xml if t.find("failure") is not None}

    assert (facts["agrees"], facts["cases"], facts["compared"], facts["mismatches"]) == (False, 10, 8, 3)
    assert facts["by_class"] == {"value": 1, "missing": 2}
    assert [m["id"] for m in facts["shown"]] == [4, 9, 10]
    assert (xml.get("tests"), xml.get("failures")) == ("11", "4")
    assert list(failed) == ["every case is compared", "case 4 (Random, Even)", "case 9 (Random)", "case 10 (Random, Even)"]
    assert "distance" in failed["case 4 (Random, Even)"].text
    assert failed["case 9 (Random)"].text is None  # beyond the limit: the headline only

    clean = ElementTree.fromstring(junit(verify(suite, outputs_of(suite))))
    assert (clean[0].get("tests"), clean[0].get("failures")) == ("11", "0")
    empty_suite = replace(suite, cases=())
    assert ElementTree.fromstring(junit(verify(empty_suite, Outputs({}, "device"))))[0].get("failures") == "1"


# --- commands


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def device(tmp_path: Path) -> Callable[..., Path]:
    """A suite's file s.json and a device's folder `out`, with ports changed."""

    def write(suite: Suite, **changed: list[int]) -> Path:
        (tmp_path / "s.json").write_text(suite.text())
        folder = tmp_path / "out"
        folder.mkdir(exist_ok=True)
        for port in suite.unit.outputs:
            values = changed.get(port.name, suite.column(port.name))
            (folder / f"{file_stem(port)}.hex").write_text("// out\n" + text(values, port.bits))
        return tmp_path

    return write


@pytest.mark.parametrize("name", SUITES)
def test_verify_exits_0_on_agreement_and_1_on_a_mismatch(name: str, device: Callable[..., Path]) -> None:
    suite = SUITES[name]()
    folder = device(suite)
    good = run("verify", folder / "out", "--suite", folder / "s.json")
    assert good.exit_code == 0, good.output
    assert good.stdout == f"{suite.name}: compared 10 of 10, 0 mismatches\n"

    folder = device(suite, result=[v ^ 1 for v in suite.column("result")])
    bad = run("verify", folder / "out", "--suite", folder / "s.json", "--limit", 2, "--junit", folder / "r.xml", "--json")
    facts = json.loads(bad.stdout)
    assert bad.exit_code == 1
    assert (facts["mismatches"], len(facts["shown"]), facts["by_stage"]) == (10, 2, {"result": 10})
    assert ElementTree.parse(folder / "r.xml").getroot()[0].get("failures") == "10"


def test_verify_refuses_bad_use(device: Callable[..., Path]) -> None:
    folder = device(int8())
    suite = folder / "s.json"
    bad = [
        (("verify", folder / "none.hex", "--suite", suite), "none.hex: no such file or folder"),
        (("verify", folder / "out", "--suite", folder / "none.json"), "none.json: no such file"),
        (("verify", folder / "out", "--suite", "no_such_suite"), "no suite 'no_such_suite'; allowed: the path of a .json file"),
        (("verify", folder / "out", "--suite", suite, "--ignore", "value"), "allowed: zero_sign, nan_payload"),
        (("verify", folder / "out", "--suite", suite, "--junit", folder / "no" / "r.xml"), "no folder"),
        (("trace", suite, 99), "no case 99; allowed: 1 to 10"),
        (("trace", suite, 1, "--stage", "nothing"), "--stage nothing: allowed: activation (a)"),
    ]
    for args, says in bad:
        result = run(*args)
        assert result.exit_code == 2, result.output
        assert says in result.stderr

    suite.write_text(suite.read_text().replace('"Random"', '"Rondom"', 1))
    assert run("verify", folder / "out", "--suite", suite).exit_code == 2


@pytest.mark.parametrize("name", SUITES)
def test_trace_prints_every_stage(name: str, device: Callable[..., Path]) -> None:
    suite = SUITES[name]()
    folder = device(suite)
    shown = run("trace", folder / "s.json", 4)
    facts = json.loads(run("trace", folder / "s.json", 4, "--json").stdout)
    one = json.loads(run("trace", folder / "s.json", 4, "--json", "--stage", "result").stdout)

    assert shown.exit_code == 0, shown.output
    assert [s["port"] for s in facts["stages"]] == [p.name for p in suite.unit.ports]
    for stage in facts["stages"]:
        assert f"\n{stage['port']} ({stage['role']}, rule {stage['rule']})" in shown.stdout
        assert int(stage["bits"], 16) == suite.by_id[4].values[stage["port"]]
    assert [s["port"] for s in one["stages"]] == ["result"]


def test_each_stage_names_its_rule() -> None:
    def rules(unit: Unit) -> dict[str, str]:
        return {p.name: rule_of(unit, p) for p in unit.ports}

    requantizer = rules(Unit("requantize", load_datapath(RTL / "requantizer_double.toml")))

    assert rules(int8().unit) | {"activation": "P3", "bias": "A1", "products": "A1", "result": "A1"} == rules(int8().unit)
    assert rules(mx9().unit) | {"aligned": "A2", "result": "A2"} == rules(mx9().unit)
    assert rules(encoder().unit) == {"input": "R4", "codes": "R1", "scale0": "S2", "scale1": "S2", "result": "P3"}
    assert requantizer["requantizer.product"] == "Q1"
    assert requantizer["requantizer.step0"] == "Q2"
    assert (requantizer["requantizer.zero_add"], requantizer["result"]) == ("Q3", "Q3")


# --- the scoreboard


class Vector:
    """What cocotb's LogicArray shows: its text, and an integer where all bits are known."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:  # noqa: D105
        return self.text

    def to_unsigned(self) -> int:
        return int(self.text, 2)

    __index__ = to_unsigned


class Handle:
    """A port of a design: its value is a vector."""

    def __init__(self, text: str) -> None:
        self.value = Vector(text)


def bits(suite: Suite, case: Case, port: str = "result") -> str:
    return f"{case.values[port]:0{suite.unit.port(port).bits}b}"


def test_a_scoreboard_takes_every_kind_of_value() -> None:
    suite = int8()
    board = qsim.verify.Scoreboard(suite)
    for case in board.cases:
        shown = bits(suite, case)
        sums = suite.unit.port("partial_sums").split(case.values["partial_sums"])
        for value in (Handle(shown), Vector(shown), shown, case.values["result"], np.uint32(case.values["result"])):
            assert board.check(case.id, result=value, partial_sums=sums, a=case.values["activation"])
        assert board.check(case, result=suite.unit.port("result").split(case.values["result"])[0])

    assert board.finish() == "dot: compared 10 of 10, 0 mismatches"


def test_a_scoreboard_stops_at_a_mismatch_or_collects() -> None:
    suite = int8()
    case = suite.cases[0]
    strict, lenient = qsim.verify.Scoreboard(suite), qsim.verify.Scoreboard(suite, strict=False)
    wrong = case.values["result"] ^ 1

    with pytest.raises(qsim.verify.Mismatch, match=r"case 1 .*result differs"):
        strict.check(1, result=wrong)
    with pytest.raises(AssertionError, match="unknown"):
        strict.check(1, result="X" + bits(suite, case)[1:])
    with pytest.raises(qsim.verify.Mismatch, match="activation is driven as"):
        strict.check(1, activation=case.values["activation"] ^ 1, result=case.values["result"])
    with pytest.raises(qsim.verify.Mismatch, match="products differs first"):
        strict.check(1, products=[0] * 16, result=wrong)
    assert not lenient.check(1, result=wrong)
    for c in suite.cases[1:]:
        assert lenient.check(c.id, result=c.values["result"])
    with pytest.raises(qsim.verify.Mismatch, match="compared 10 of 10, 1 mismatches"):
        lenient.finish()


def test_silence_is_a_failure() -> None:
    """Cases never checked, results never shown, no check at all: finish raises."""
    suite = int8()
    none, some, taps = (qsim.verify.Scoreboard(suite) for _ in range(3))
    some.check(1, result=suite.cases[0].values["result"])
    for c in suite.cases:
        taps.check(c.id, accumulator=c.values["accumulator"])

    for board, says in ((none, "no result was compared"), (some, "9 cases without a result: 2, 3"), (taps, "compared 0 of 10")):
        with pytest.raises(qsim.verify.Mismatch, match=says):
            board.finish()
    with pytest.raises(qsim.verify.Mismatch, match="no result was compared"):
        qsim.verify.Scoreboard(qsim.Model(RTL / "int8_dot.toml")).finish()


def test_a_live_model_as_reference() -> None:
    model = qsim.Model(RTL / "int8_dot.toml")
    board = qsim.verify.Scoreboard(model)
    for case in int8().cases:
        (bias,) = int8().unit.port("bias").split(case.values["bias"])
        operands = {"a": case.values["activation"], "w": case.values["weight"], "bias": bias}
        out = model(activation=operands["a"], weight=operands["w"], bias=bias)
        assert out.result == case.values["result"]
        assert board.check(**operands, result=out.result, products=case.values["products"])
    with pytest.raises(qsim.verify.Mismatch, match="partial_sums differs first"):
        board.check(**operands, result=out.result, partial_sums=0)
    lenient = qsim.verify.Scoreboard(model, strict=False)
    assert lenient.check(a=0, w=0, result=0)
    assert lenient.finish() == "int8_dot: compared 1 of 1, 0 mismatches"


def test_a_scoreboard_ignores_classes() -> None:
    suite = floats([0])
    assert qsim.verify.Scoreboard(suite, ignore=("zero_sign",)).check(1, result=0x80000000)
    with pytest.raises(qsim.verify.Mismatch):
        qsim.verify.Scoreboard(suite).check(1, result=0x80000000)
    with pytest.raises(ValueError, match="allowed: zero_sign, nan_payload"):
        qsim.verify.Scoreboard(suite, ignore=("value",))


@pytest.mark.parametrize(
    ("case", "signals", "says"),
    [
        (1, {}, "no output to compare"),
        (1, {"activation": 0}, "no output to compare"),
        (1, {"nothing": 0}, r"no port 'nothing'; allowed: activation \(a\)"),
        (1, {"result": 1 << 18}, "allowed: 18 bits"),
        (1, {"result": -(1 << 17) - 1}, "allowed: 18 bits"),
        (1, {"products": [0] * 15}, "products has 16 values, 15 are given"),
        (1, {"result": "two"}, "'two' is no value of result"),
        (99, {"result": 0}, "no case 99"),
        (None, {"result": 0}, "no case None"),
    ],
)
def test_a_scoreboard_refuses_what_it_cannot_place(case: int | None, signals: dict[str, Any], says: str) -> None:
    board = qsim.verify.Scoreboard(int8())
    with pytest.raises((ValueError, qsim.verify.Mismatch), match=says):
        board.check(case, **signals)


def test_a_live_scoreboard_needs_operands_and_k() -> None:
    model = qsim.Model(RTL / "int8_dot.toml")
    for signals, says in (
        ({"result": 0}, "no activation; a live model needs activation"),
        ({"a": "x", "w": 0, "result": 0}, "X or Z"),
    ):
        with pytest.raises(ValueError, match=says):
            qsim.verify.Scoreboard(model).check(**signals)
    with pytest.raises(ValueError, match="allowed: None"):
        qsim.verify.Scoreboard(model).check(1, a=0, w=0, result=0)
    with pytest.raises(ValueError, match="needs the number of elements"):
        qsim.verify.Scoreboard(qsim.Model("int8_saturate24"))
    with pytest.raises(TypeError, match="no suite, model or unit"):
        qsim.verify.Scoreboard(3)  # type: ignore[arg-type]


def test_names_of_ports() -> None:
    """A port's own name goes before its file's, both before the Verilog name."""
    unit = Unit("requantize", load_datapath(RTL / "requantizer_double.toml"))

    assert port_of(unit, "requantizer.step0") == port_of(unit, "requantizer_step0") == port_of(unit, "step0")
    assert port_of(unit, unit.datapath.ports["result"]) == unit.port("result")
    assert port_of(unit, "nothing") is None


def test_verdict_is_whole() -> None:
    """A million rows would do the same: counts come from arrays, and the report shows `limit` of them."""
    suite = int8()
    verdict: Verdict = verify(suite, result_only(suite, [v ^ 1 for v in suite.column("result")]))

    assert report_text(verdict, limit=3).count("\ncase ") == 3
    assert "7 mismatches not shown" in report_text(verdict, limit=3)
    assert report_text(verdict, limit=0).count("\ncase ") == 0
