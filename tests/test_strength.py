"""Coverage and mutants of suites: every mutant changes bits somewhere, counts are those of known cases, closing reaches 100 %."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from qsim.cli import main
from qsim.datapath.datapaths import datapath_names, load_datapath, parse_datapath
from qsim.golden.cases import directed, evaluated
from qsim.golden.cases.draft import defaults, integers
from qsim.golden.coverage import coverage
from qsim.golden.mutants import mutants_of, strength
from qsim.golden.mutants.candidates import candidates
from qsim.golden.mutants.close import close, valid
from qsim.golden.mutants.mutant import built
from qsim.golden.mutants.run import judge
from qsim.golden.suite import Case, Suite, encode_unit
from qsim.golden.unit import Unit
from qsim.golden.unit_reference import evaluate
from qsim.golden.write_suite import datapath_unit, suite_of

TREE = {
    "activation": {"format": "int4"},
    "weight": {"format": "int4"},
    "accumulator": {"bits": 8, "overflow": "saturate", "order": "tree"},
}
UNITS = {
    "tflite": Unit("dot", load_datapath("tflite_conv"), k=2, parameters=("bias", "a_zero_point", "out_zero_point", "clamp")),
    "saturate": Unit("dot", load_datapath("int8_saturate16"), k=8, parameters=("bias",)),
    "chunked": Unit("dot", load_datapath("fbgemm_acc16"), k=34, parameters=("bias", "a_zero_point")),
    "tree": Unit("dot", parse_datapath(TREE, "tree", "tree", Path()), k=6, parameters=("bias",)),
    "product": Unit("dot", load_datapath("hls4ml_dense"), k=4, parameters=("bias",)),
    "requantize": Unit("requantize", load_datapath("tflite_conv"), parameters=("out_zero_point", "clamp")),
    "float requantize": Unit("requantize", load_datapath("onnxruntime_int8"), parameters=("out_zero_point",)),
    "encode mx4": encode_unit("mx4"),
    "encode mxfp4": encode_unit("mxfp4", k=32),
    "pack": encode_unit("mx6", kind="pack"),
}


@cache
def suite(name: str) -> Suite:
    return suite_of(UNITS[name], name, directed(UNITS[name]).cases)


def int8(name: str, rows: list[tuple[list[int], list[int]]], k: int = 4, **facts: int) -> Suite:
    """A suite of rows of integers."""
    unit = Unit("dot", load_datapath(name), k=k)
    values = [evaluated(unit, defaults(unit) | integers(unit, a, w)) for a, w in rows]
    return Suite(name, unit, tuple(Case(i, ("Hand",), v) for i, v in enumerate(values, 1)), {"Hand": "by hand"})


@pytest.mark.parametrize("name", UNITS)
def test_every_mutant_that_is_not_proven_equivalent_has_a_witness(name: str) -> None:
    """For every mutant of the unit there are operands on which it gives other bits, or a proof that there are none."""
    closed = close(suite(name), effort=4000)
    assert [v.mutant.name for v in closed.strength.of("survived")] == []
    assert closed.strength.of("killed")


@pytest.mark.parametrize("name", [n for n in datapath_names() if load_datapath(n).activation is not None])
def test_there_are_at_least_sixty_mutants_of_every_datapath(name: str) -> None:
    """Names are unique within a unit, and many, whatever the datapath is."""
    datapath = load_datapath(name)
    for kind in ("dot", "chain", *["requantize"] * (datapath.requantizer is not None)):
        names = [m.name for m in mutants_of(datapath_unit(datapath, kind))]
        assert len(names) == len(set(names)) >= 60


def test_a_mutant_leaves_the_reference_as_it_was() -> None:
    """After a mutant was built, the reference computes what it computed before."""
    case = suite("tflite").cases[0]
    inputs = {p.name: case.values[p.name] for p in UNITS["tflite"].inputs}
    for mutant in mutants_of(UNITS["tflite"]):
        with built(mutant.hooks):
            pass
    assert evaluate(UNITS["tflite"], inputs) == {p.name: case.values[p.name] for p in UNITS["tflite"].outputs}
    with pytest.raises(ValueError, match="does not fit"):
        UNITS["tflite"].port("result").join([1000])


@pytest.mark.parametrize("name", ["saturate", "tflite", "requantize", "encode mx4"])
def test_no_case_tells_an_equivalent_mutant_apart(name: str) -> None:
    """A mutant with a proof is never killed, by directed or by random cases."""
    known = suite(name)
    found = islice(valid(known.unit, candidates(known, 1)), 100, 400, 2)
    cases = [Case(i, ("Zero",), values) for i, values in enumerate(found, 1)]
    proven = [mutant for mutant in mutants_of(known.unit) if mutant.proof]
    assert [mutant.name for mutant in proven if judge(known.unit, cases, mutant).killed] == []


def test_one_case_is_a_weak_suite() -> None:
    """A product of ones kills few mutants, and of saturation none."""
    found = strength(int8("int8_saturate16", [([1, 1, 1, 1], [1, 1, 1, 1])]))
    killed, wanted = found.score
    assert killed < wanted / 2
    assert not [v for v in found.of("killed") if "saturat" in v.mutant.name or "carry" in v.mutant.name]


def test_the_first_stage_that_differs_is_named() -> None:
    """127 * 127 three times passes 32767 at the third add: wrapping shows in the partial sums, not in the products."""
    found = strength(int8("int8_saturate16", [([127] * 4, [127] * 4)]), every=True)
    stages = {v.mutant.name: (v.state, v.stage) for v in found.verdicts}
    assert stages["accumulator: wraps"] == ("killed", "partial_sums")
    assert stages["activation: nibbles swapped"] == ("killed", "products")
    assert stages["activation: pairs of elements swapped"] == ("survived", "")


def test_the_result_alone_sees_less() -> None:
    """A suite compared at the result only kills no more mutants than at every tap."""
    all_ports = strength(suite("saturate"))
    result = strength(suite("saturate"), ports=["result"])
    killed = {v.mutant.name for v in all_ports.of("killed")}
    assert {v.mutant.name for v in result.of("killed")} <= killed


def test_closing_is_the_same_every_time() -> None:
    """The search depends on the seed alone."""
    weak = int8("int8_saturate16", [([1, 1, 1, 1], [1, 1, 1, 1])])
    assert close(weak, effort=400).suite.text() == close(weak, effort=400).suite.text()


def test_coverage_of_known_cases() -> None:
    """Codes, lanes, edges and overflows of three rows, counted by hand."""
    table = coverage(int8("int8_saturate16", [([5, 0, 0, 0], [1, 2, 3, 4]), ([127] * 4, [127] * 4), ([-128] * 4, [127] * 4)]))
    lanes = table.group("activation: one lane alone")
    assert lanes.events == {"0": 1, "1": 0, "2": 0, "3": 0}
    codes = table.group("activation: codes").events
    assert (codes["0x5"], codes["0x0"], codes["0x7f"], codes["0x80"], codes["0x1"]) == (1, 1, 1, 1, 0)
    assert table.group("accumulator saturates").events == {"low": 1, "high": 1}


def test_coverage_leaves_out_what_cannot_happen() -> None:
    """A sum of 4 products of int8 does not overflow 20 bits."""
    names = [g.name for g in coverage(int8("int8_saturate20", [([1], [1])])).groups]
    assert "accumulator saturates" not in names


def test_commands(tmp_path: Path) -> None:
    """Exit 1 where a mutant survives, 0 where none does, 2 for a file that is none; JSON has the score."""
    folder = tmp_path
    weak = folder / "weak.json"
    weak.write_text(replace(int8("int8_saturate16", [([1] * 4, [1] * 4)]), seed=1).text())
    run = CliRunner().invoke
    assert run(main, ["golden", "mutants", str(weak)]).exit_code == 1
    closed = folder / "closed.json"
    found = run(main, ["golden", "mutants", str(weak), "--close", str(closed), "--json"])
    assert found.exit_code == 0, found.output
    again = run(main, ["golden", "mutants", str(closed), "--json"])
    assert again.exit_code == 0
    assert json.loads(again.stdout)["suites"][0]["score"] == 1.0
    assert run(main, ["golden", "mutants", str(folder / "none.json")]).exit_code == 2
    assert run(main, ["golden", "mutants", str(weak), "--ports", "nowhere"]).exit_code == 2
    table = run(main, ["golden", "coverage", str(closed), "--json"])
    assert table.exit_code == 0
    assert json.loads(table.stdout)["suites"][0]["possible"] > 0
