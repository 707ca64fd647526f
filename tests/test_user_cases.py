"""Cases of the user's own operands and options: what is taken, as what, and what is refused."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from qsim.cli import main
from qsim.datapath.datapaths import load_datapath
from qsim.golden.bits import float32
from qsim.golden.cases import _structural, directed, evaluated
from qsim.golden.cases.draft import defaults
from qsim.golden.ports import formats
from qsim.golden.suite import Suite, read_suite
from qsim.golden.unit_kernels import evaluate_many
from qsim.golden.write_suite import datapath_unit

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
