"""Cases of the user's own operands and options: what is taken, as what, and what is refused."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import qsim
from qsim.cli import main
from qsim.datapath.datapaths import load_datapath
from qsim.golden.bits import float32
from qsim.golden.cases import _structural, directed, evaluated
from qsim.golden.cases.draft import defaults
from qsim.golden.cases.randomly import stream
from qsim.golden.operands import from_lines
from qsim.golden.ports import formats
from qsim.golden.suite import Suite, parse_suite, read_suite
from qsim.golden.unit_kernels import evaluate_many
from qsim.golden.write_suite import datapath_unit, format_unit, user_suite, with_options
from qsim.spec.load import data_folder

MAC = '[activation]\nformat = "{}"\n[weight]\nformat = "{}"\n[accumulator]\nbits = {}\noverflow = "wrap"\n'


def run(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], input=stdin)


def mac(folder: Path, a: str, w: str, bits: int = 24, more: str = "") -> Path:
    """A datapath of two formats."""
    path = folder / "mac.toml"
    path.write_text(MAC.format(a, w, bits) + more)
    return path


def lines(name: object, k: int, *rows: dict[str, Any], more: tuple[object, ...] = ()) -> Result:
    """What `golden write` makes of rows on stdin."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return run("golden", "write", name, "--k", k, "--operands", "-", "--out", "-", *more, stdin=text)


def cases(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def written(folder: Path, kind: str, name: str) -> Suite:
    return read_suite(folder / kind / f"{name}.json")


# --- integers and patterns ---


@pytest.mark.parametrize(
    ("a", "values", "words"),
    [
        ("int8", [-128, -1, 0, 127], "0x7f00ff80"),
        ("int8", [128, 255, 0, 127], "0x7f00ff80"),  # no negative one: patterns
        ("int4", [-8, 7, -1, 0], "0x0f78"),
        ("binary", [1, -1, 1, -1], "0x5"),
        ("binary", [1, 0, 1, 0], "0x5"),
        ("ternary", [1, -1, 0, -1], "0xcd"),
    ],
)
def test_integers_become_the_codes_of_their_format(tmp_path: Path, a: str, values: list[int], words: str):
    """Where a value is negative all are integers, -1 of binary the sign; else they are patterns. Lists and arrays alike."""
    path = mac(tmp_path, a, a)

    found = cases(lines(path, 4, {"activation": values, "weight": values}))[0]
    assert (found["activation"], found["weight"]) == (words, words)
    np.savez(tmp_path / "v.npz", activation=np.array([values, values]), weight=np.array([values, values]))
    run("golden", "write", path, "--k", 4, "--operands", tmp_path / "v.npz", "--out", tmp_path)
    suite = written(tmp_path, "dot", "mac")
    assert [case.values["activation"] for case in suite.cases] == [int(words, 16)] * 2


@pytest.mark.parametrize(
    ("a", "values", "message"),
    [
        ("int8", [1, -129, 0, 0], "activation[1] = -129; allowed: -128 to 127 as integers"),
        ("int8", [-1, 255, 0, 0], "activation[1] = 255; allowed: -128 to 127 as integers"),
        ("int4", [0, 0, 0, -9], "activation[3] = -9; allowed: -8 to 7"),
        ("int8", [256, 0, 0, 0], "port activation: value 256 does not fit 8 bits; allowed: 0 to 255"),
        ("uint8", [-5, 0, 0, 0], "activation[0] = -5; allowed: 0 to 255"),
        ("binary", [-1, 0, 1, 1], "activation[1] = 0; allowed: -1 and 1 as integers"),
        ("fp8_e4m3", [-1, 0, 1, 1], "port activation: value -1 does not fit 8 bits"),
    ],
)
def test_integers_that_do_not_fit_are_refused(tmp_path: Path, a: str, values: list[int], message: str):
    """Never cut to the width: the error names port, place, value and range, and nothing is written."""
    path: object = mac(tmp_path, a, a)
    if a == "fp8_e4m3":
        path = "hopper_fp8/fp8_e4m3"
    result = lines(path, 4, {"activation": values, "weight": [1, 1, 1, 1]})
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"line 1: {message}" in result.stderr

    np.savez(tmp_path / "v.npz", activation=np.array([[1] * 4, values]), weight=np.ones((2, 4), int))
    result = run("golden", "write", path, "--k", 4, "--operands", tmp_path / "v.npz", "--out", tmp_path)
    assert result.exit_code == 2
    assert f"v.npz: row 1: {message}" in result.stderr
    assert not (tmp_path / "dot").exists()


# --- directed cases of any pair of formats ---


@pytest.mark.parametrize("pair", ["uint4 uint4", "int8 uint8", "uint8 binary", "binary uint4", "ternary uint8", "uint4 int2"])
@pytest.mark.parametrize("kind", ["dot", "matmul"])
def test_directed_cases_of_unlike_formats(tmp_path: Path, pair: str, kind: str):
    """No operand has a value that its format does not hold; sums reach and exceed the ends that they can."""
    name = mac(tmp_path, *pair.split(), 9, "lanes = 2\n")
    unit = datapath_unit(load_datapath(str(name)), kind, 8, ("bias", "a_zero_point", "w_zero_point"))
    found = directed(unit)
    seen = {flag for case in found.cases for flag in case.flags}

    assert {"Zero", "Extremes", "ZeroPointEdge", "BiasEdge"} <= seen
    assert pair == "uint4 int2" or kind == "matmul" or {"Wrap", "JustReaches", "JustExceeds"} <= seen


@pytest.mark.parametrize("name", ["onnxruntime_uint8", "xnnpack_int8", "fbgemm_linear"])
def test_chains_whose_scale_leaves_its_domain_are_refused(name: str):
    """Rule Q5: an out_scale so small that the float product overflows is a refused case, of the kernels too, and no directed one."""
    unit = datapath_unit(load_datapath(name), "chain", 4)
    a, w = (unit.port("activation_input").join([float32(Fraction(x))] * 4) for x in (1, 1 << 20))
    inputs = defaults(unit) | {"activation_input": a, "weight_input": w, "out_scale": float32(Fraction(1, 1 << 119))}
    for refused in (lambda: evaluated(unit, inputs), lambda: evaluate_many(unit, {n: [v] for n, v in inputs.items()})):
        with pytest.raises(ValueError, match="allowed"):
            refused()

    fine = evaluated(unit, inputs | {"out_scale": float32(Fraction(1 << 20))})
    assert evaluate_many(unit, {n: [fine[n]] for n in inputs})["result"] == [fine["result"]]


@pytest.mark.parametrize(("name", "k"), [("mx9_bdr", 17), ("mx4_bdr", 31), ("mx9_fixed40", 40), ("vsq4_int24", 18)])
def test_a_partial_last_block_is_padded(name: str, k: int):
    """Rules P5 and A2: every word of every directed draft has code 0 in the elements beyond k, and the kernels agree."""
    unit = datapath_unit(load_datapath(name), "dot", k)
    fmt = formats(unit)[0]
    (_, width, count), *_ = fmt.word_fields
    used, drafts = width * (k % count), [draft for draft, _ in zip(_structural(unit), range(400), strict=False)]
    last = [unit.port(side).split(draft.inputs[side])[-1] for draft in drafts for side in ("activation", "weight")]

    assert all(word >> used & (1 << (width * count - used)) - 1 == 0 for word in last)
    assert len({word & (1 << used) - 1 for word in last}) > 5
    found = [evaluated(unit, draft.inputs) for draft in drafts[1::20]]
    assert evaluate_many(unit, {p.name: [f[p.name] for f in found] for p in unit.inputs})["result"] == [
        f["result"] for f in found
    ]


# --- arrays and lines ---


def test_packed_words_and_tensors_of_blocks(tmp_path: Path):
    """uint8 rows are the words, the lowest byte first; floats are encoded by the reference: both give the cases of the hex words."""
    x, y = (np.linspace(-3, n, 64).astype(np.float32).reshape(2, 32) for n in (5, 9))
    unit = datapath_unit(load_datapath("mx9_bdr"), "dot", 32)
    words = {side: [qsim.encode(row, "mx9").pack() for row in v] for side, v in (("activation", x), ("weight", y))}
    packed = {side: np.array([list(row) for row in rows], np.uint8) for side, rows in words.items()}
    for arrays in (packed, {"activation": x, "weight": y}, packed | {"weight": y.astype(np.float64)}):
        np.savez(tmp_path / "v.npz", **arrays)
        result = run("golden", "write", "mx9_bdr", "--k", 32, "--operands", tmp_path / "v.npz", "--out", tmp_path)
        assert result.exit_code == 0, result.output
        suite = written(tmp_path, "dot", "mx9_bdr")
        for side, rows in words.items():
            assert [case.values[side] for case in suite.cases] == [int.from_bytes(row, "little") for row in rows]
    assert suite.unit.port("activation").bits == unit.port("activation").bits == 8 * packed["activation"].shape[1]


def test_tensors_bring_the_scales_that_have_a_port(tmp_path: Path):
    """nvfp4: the tensor's scale stands in activation_scale0, so that words and scale decode to what qsim.encode gives."""
    x = np.linspace(-3, 5, 32).astype(np.float32).reshape(1, 32)
    np.savez(tmp_path / "v.npz", activation=x, weight=x)
    result = run("golden", "write", "nvfp4_tcgen05", "--k", 32, "--operands", tmp_path / "v.npz", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    case, q = written(tmp_path, "dot", "nvfp4_tcgen05").cases[0], qsim.encode(x[0], "nvfp4")
    data = case.values["activation"].to_bytes(18, "little") + case.values["activation_scale0"].to_bytes(4, "little")
    assert data == q.pack()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "mx9_bdr",
            np.zeros((1, 35), np.uint8),
            "allowed: uint8 of shape (n, 36), the lowest byte first, or floats of shape (n, 32)",
        ),
        ("mx9_bdr", np.zeros((1, 31), np.float32), "activation is float32 of shape (1, 31); allowed: floats of shape (n, 32)"),
        ("mx9_bdr", np.zeros((0, 36), np.uint8), "v.npz: no cases: the arrays have no rows"),
        ("tflite_conv", np.zeros((1, 32), np.float32), "the scale of int8 has no port; allowed: integers, or --kind chain"),
        ("tflite_conv", np.zeros((0, 32), np.int8), "v.npz: no cases: the arrays have no rows"),
        ("vsq4_int24", np.full((1, 32), np.inf, np.float32), "row 0: activation: "),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, name: str, array: np.ndarray, message: str):
    np.savez(tmp_path / "v.npz", activation=array, weight=array)
    result = run("golden", "write", name, "--k", 32, "--operands", tmp_path / "v.npz", "--out", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "dot").exists()


def test_lines_carry_flags_and_masks():
    """Flags stand beside `User`, masks hide bits of outputs; both come back through the suite, and through the pipe again."""
    row = {"id": 1, "activation": "0x5", "weight": "0x3", "flags": ["Layer3"], "masks": {"result": "0x0000000f"}}
    result = lines("binary_popcount", 4, row, row | {"id": 2, "masks": {}})
    found = cases(result)

    assert [c["flags"][:2] for c in found] == [["User", "Layer3"]] * 2
    assert [c.get("masks") for c in found] == [{"result": "0x0000000f"}, None]
    assert lines("binary_popcount", 4, *found).stdout == result.stdout
    unit = datapath_unit(load_datapath("binary_popcount"), "dot", 4)
    suite = user_suite(unit, "u", from_lines(unit, result.stdout.splitlines()))
    assert suite.notes["Layer3"] == "A flag that the user gave."
    assert parse_suite(suite.text()).text() == suite.text()
    assert [case.masks for case in suite.cases] == [{"result": 15}, {}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"masks": {"activation": "0x1"}}, "line 1: mask of 'activation'; allowed: products"),
        ({"masks": {"result": 1}}, "line 1: mask: result = 1; allowed: 0x and 8"),
        ({"masks": []}, "line 1: masks = []; allowed: an object of"),
        ({"flags": ["a b"]}, "line 1: flags = ['a b']; allowed: a list of names"),
        ({"flags": "Tie"}, "line 1: flags = 'Tie'; allowed: a list of names"),
        ({"id": 7}, "line 1: id = 7; allowed: 1, the number of the case"),
        ({"comment": 1}, "line 1: comment = 1; allowed: text"),
        ({"maskes": {}}, "line 1: unknown port 'maskes'"),
    ],
)
def test_rows_with_keys_that_say_nothing_are_refused(row: dict[str, Any], message: str):
    result = lines("binary_popcount", 4, {"activation": "0x5", "weight": "0x3"} | row)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_no_cases_say_why(tmp_path: Path):
    """An empty pipe and no random cases are not blamed on the unit."""
    assert "Error: no cases: there are no lines" in lines("binary_popcount", 4).stderr
    result = run("golden", "write", "binary_popcount", "--cases", "random", "--count", 0, "--out", tmp_path)
    assert "no cases: count = 0 random ones" in result.stderr


# --- options of encoders ---


@pytest.mark.parametrize("name", ["mx9", "mxfp4", "nvfp4", "int4", "fp8_e4m3", "binary"])
def test_stochastic_encoders_take_their_words_from_a_port(name: str):
    """Rule R2: `random` holds a word an element, element 0 lowest; reference, kernels and qsim.encode give the same codes."""
    unit = with_options(format_unit(name, "encode"), {"rounding": "stochastic", "random_bits": 5})
    port = unit.port("random")
    drafts = list(islice(stream(unit, 3), 12))
    found = [evaluated(unit, draft.inputs) for draft in drafts]

    assert (port.role, port.width, port.count) == ("parameter", 5, unit.k)
    columns = {p.name: [f[p.name] for f in found] for p in unit.inputs}
    assert evaluate_many(unit, columns)["result"] == [f["result"] for f in found]
    for f in found:
        x = np.array(unit.port("input").split(f["input"]), np.uint32).view(np.float32)
        q = qsim.encode(x, name, rounding="stochastic", random_bits=5, random=np.array(port.split(f["random"])))
        assert unit.port("codes").split(f["codes"]) == q.codes.reshape(-1).tolist()
    zeros = [evaluated(unit, f | {"random": 0})["codes"] for f in found]
    assert zeros != [f["codes"] for f in found]


def test_stochastic_chains_have_words_of_both_sides():
    unit = with_options(datapath_unit(load_datapath("mx9_bdr"), "chain", 16), {"rounding": "stochastic"})
    found = [evaluated(unit, draft.inputs) for draft in islice(stream(unit, 1), 6)]

    assert [(p.name, p.width) for p in unit.inputs[2:4]] == [("activation_random", 8), ("weight_random", 8)]
    assert evaluate_many(unit, {p.name: [f[p.name] for f in found] for p in unit.inputs})["result"] == [
        f["result"] for f in found
    ]


def test_options_stand_in_the_suite(tmp_path: Path):
    """`--option` is stated in the file, whose cases reference and kernels reproduce; it is nobody's verified suite; it exports."""
    options = ("--option", "rounding=stochastic", "--option", "random_bits=4")
    result = run("golden", "write", "mx4", "--kind", "encode", *options, "--count", 3, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    suite = written(tmp_path, "encode", "mx4")

    assert dict(suite.unit.options) == {"rounding": "stochastic", "random_bits": 4}
    assert suite.verified_by == ()
    assert {case.values["random"] for case in suite.cases} > {0, (1 << 64) - 1, int("8" * 16, 16)}
    assert run("golden", "check", "--folder", tmp_path).exit_code == 0
    assert run("golden", "export", tmp_path / "encode" / "mx4.json", "--to", "jsonl", tmp_path / "v").exit_code == 0
    assert run("golden", "import", tmp_path / "v", "--out", tmp_path / "back.json").exit_code == 0
    assert (tmp_path / "back.json").read_text() == (tmp_path / "encode" / "mx4.json").read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("mx9", "--kind", "encode", "--option", "scale_rule=ceil"), "does not apply to mx9"),
        (("mx9", "--kind", "encode", "--option", "rounding=up"), "allowed: half_even"),
        (("mx9", "--kind", "encode", "--option", "random_bits=4"), "random_bits without rounding = stochastic"),
        (("mx9", "--kind", "pack", "--option", "rounding=floor"), "allowed: encode, chain"),
        (("mx9_bdr", "--option", "rounding=floor"), "allowed: encode, chain"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, args: tuple[str, ...], message: str):
    result = run("golden", "write", *args, "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "--option without --out" in run("golden", "write", *args).stderr


@pytest.mark.parametrize(("key", "value"), [("bit_order", "msb"), ("byte_order", "big"), ("scales", "plane")])
@pytest.mark.parametrize("kind", ["dot", "chain", "encode", "matmul"])
def test_layouts_of_memory_are_refused(tmp_path: Path, key: str, value: str, kind: str):
    """Ports are numbers: what arranges bytes or planes would change nothing, and is refused by its key."""
    path = tmp_path / "mine.toml"
    head = '[activation]\nformat = "mx9"\n[weight]\nformat = "mx9"\n[accumulator]\nkind = "block"\ninto = "float"\nunit = { like = "hopper" }\n'
    path.write_text(f'{head}[layout]\n{key} = "{value}"\n')
    result = run("golden", "write", path, "--kind", kind, "--out", tmp_path)
    assert result.exit_code == 2
    assert f"mx9: layout.{key} = '{value}'" in result.stderr


def test_layouts_of_words_act(tmp_path: Path):
    """fields = scales first, align = 160: the words of the suite's operands are those of the format with that layout."""
    path = tmp_path / "mine.toml"
    head = '[activation]\nformat = "mx9"\n[weight]\nformat = "mx9"\n[accumulator]\nkind = "block"\ninto = "float"\nunit = { like = "hopper" }\n'
    path.write_text(f'{head}[layout]\nfields = ["scale1", "scale0", "element"]\nalign = 160\n')
    x = np.linspace(-3, 5, 16).astype(np.float32).reshape(1, 16)
    np.savez(tmp_path / "v.npz", activation=x, weight=x)
    result = run("golden", "write", path, "--kind", "dot", "--k", 16, "--operands", tmp_path / "v.npz", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    word, q = written(tmp_path, "dot", "mine").cases[0].values["activation"], qsim.encode(x[0], "mx9")

    assert word & 0xFF == q.scales[1].item()
    assert word >> 8 & 0xFF == sum(int(tau) << i for i, tau in enumerate(q.scales[0].reshape(-1)))
    assert word >> 16 == sum(int(code) << 8 * i for i, code in enumerate(q.codes.reshape(-1)))


# --- live models, single files ---


def test_a_live_scoreboard_takes_lists_as_lines_do():
    """Lists with a negative integer are integers of the operand's format, arrays too; one that does not fit is refused."""
    board = qsim.verify.Scoreboard(qsim.Model("int8_saturate16", k=3))
    assert board.check(activation=[-1, 2, -128], weight=[5, -5, 127], result=-5 - 10 - 16256)
    assert board.check(activation=np.array([-1, 2, 3], np.int8), weight=[1, 1, 1], result=4)
    with pytest.raises(ValueError, match=r"activation\[1\] = -129; allowed: -128 to 127"):
        board.check(activation=[0, -129, 0], weight=[1, 1, 1], result=0)
    signs = qsim.verify.Scoreboard(qsim.Model("binary_popcount", k=4))
    assert signs.check(activation=[1, -1, 1, -1], weight=[1, 1, 1, 1], result=0)


def test_check_takes_single_files(tmp_path: Path):
    """A suite or a golden file by its path; what is neither is named."""
    run("golden", "write", "binary_popcount", "--k", 4, "--cases", "random", "--count", 3, "--out", tmp_path)
    path, golden = tmp_path / "dot" / "binary_popcount.json", data_folder("golden") / "element" / "fp4_e2m1.json"

    result = run("golden", "check", path, golden)
    assert result.exit_code == 0, result.output
    assert "2 files" in result.stdout
    path.write_text(path.read_text().replace("Random", "Randon"))
    for wrong, message in ((path, "digest"), (tmp_path / "no.json", "no such file; allowed: a suite or a golden file")):
        result = run("golden", "check", wrong)
        assert (result.exit_code, message in result.stderr) == (2, True), result.output
