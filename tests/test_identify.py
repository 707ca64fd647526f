"""qsim identify: real stacks' outputs, simulated devices of every single option of the RTL designs, classes, distinguishing cases."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import qsim
from qsim.cli import main
from qsim.datapath.datapaths import load_datapath, parse_datapath
from qsim.datapath.multiplier import effective_scale, quantize_multiplier
from qsim.golden.columns import to_patterns
from qsim.golden.identify import Identification, investigate
from qsim.golden.identify.apart import FLAG, tell_apart
from qsim.golden.identify.device import Device, fitted, run
from qsim.golden.identify.options import applied, changes, presets, same_fields
from qsim.golden.identify.report import report_text
from qsim.golden.identify.search import _sample
from qsim.golden.identify.target import cases_of
from qsim.golden.outputs import Column, Outputs
from qsim.golden.patterns import from_ints
from qsim.golden.suite import Case, Suite, parse_suite
from qsim.golden.unit import Unit
from qsim.golden.unit_kernels import evaluate_many
from qsim.golden.verify import verify
from qsim.golden.write_suite import datapath_unit, format_unit, kind_of, suite_of, write_suite

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
EVERY = 8  # one accumulator in so many of the bias probe
#: captured outputs -> the preset of the kernel that made them
STACKS = {
    "conv_ref": "tflite_double",
    "conv_ruy": "tflite_ruy_x86",
    "conv_xnnpack": "xnnpack_fp32",
    "fc_ref": "tflite_fc_reference",
    "fc_ruy": "tflite_ruy_x86_fc",
    "fc_xnnpack": "xnnpack_fp32",
    "qlinearconv": "onnxruntime",
}


def probe_unit(preset: str) -> Unit:
    """Requantizer of int32 accumulators to int8, with a zero point."""
    sides = {"activation": {"format": "int8"}, "weight": {"format": "int8"}, "accumulator": {"bits": 32, "overflow": "wrap"}}
    d = parse_datapath(sides | {"requantizer": {"preset": preset, "out_format": "int8"}}, "probe", "probe", Path())
    return Unit("requantize", d, None, 1, parameters=("out_zero_point",))


@cache
def probe(preset: str) -> tuple[Suite, tuple[Any, ...]]:
    """The accumulators of the bias probe as a suite of a preset, and the scales of every case."""
    unit, data = probe_unit(preset), np.load(TESTS / "data" / "requantize" / "litert.npz")
    rows, scales = [], []
    for i, three in enumerate(data["scales"]):
        multiplier, shift = quantize_multiplier(effective_scale(*three))
        for acc in data["acc"][i, ::EVERY].tolist():
            given = {"acc": acc, "multiplier": multiplier, "shift": shift, "out_zero_point": int(data["zero_point"][i])}
            rows.append({name: unit.port(name).join([value]) for name, value in given.items()})
            scales.append(three)
    outputs = evaluate_many(unit, {p.name: [row[p.name] for row in rows] for p in unit.inputs})
    cases = tuple(
        Case(i + 1, ("Probe",), row | {name: found[i] for name, found in outputs.items()}) for i, row in enumerate(rows)
    )
    return Suite("probe", unit, cases, {"Probe": "A captured accumulator."}), tuple(np.array(scales, np.float32).T)


def captured(stack: str) -> Any:
    data = np.load(TESTS / "data" / "requantize" / ("onnxruntime.npz" if stack == "qlinearconv" else "litert.npz"))
    return data[stack][:, ::EVERY].reshape(-1)


def names_of(found: Identification) -> list[str]:
    """The best candidate and those that are the same by definition."""
    best = found.candidates[0]
    return [best.name, *best.same_as]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("preset", ["tflite_single", "tflite_double"])
def test_names_the_stack_of_captured_outputs(stack: str, preset: str) -> None:
    """Outputs of LiteRT and onnxruntime against a suite of one of two presets: the right one is first, and confirmed."""
    suite, scales = probe(preset)

    found = investigate(captured(stack), suite, scales=scales)

    assert found.agrees
    assert STACKS[stack] in names_of(found)
    assert found.candidates[0].matches == found.candidates[0].compared == len(suite.cases) == 896
    assert found.candidates[0].confirmed > 200
    assert found.candidates[0].explains == found.mismatches


def test_without_scales_the_multipliers_of_the_suite_are_converted() -> None:
    """Fixed-point presets are named all the same; presets that differ in the preparation alone are one, and say so."""
    suite, _ = probe("tflite_single")

    names = {stack: names_of(investigate(captured(stack), suite)) for stack in ("conv_ref", "conv_ruy", "fc_ref")}

    assert names["conv_ref"] == ["tflite_double", "gemmlowp", "cmsis_double"]
    assert names["conv_ruy"] == ["tflite_ruy_x86", "tflite_ruy_x86_fc"]
    assert "tflite_fc_reference" in names["fc_ref"]


def test_class_of_gemmlowp_and_cmsis() -> None:
    """gemmlowp and CMSIS-NN are one candidate in list and text; what only behaves the same here is another one."""
    suite, scales = probe("tflite_single")
    found = investigate(captured("conv_ref"), suite, scales=scales)
    text = report_text(found, None, 5)

    assert "tflite_double = gemmlowp = cmsis_double" in text
    assert "the same by definition: gemmlowp, cmsis_double" in text
    assert "tosa_scale32_double" in [c.name for c in found.best[1:]]
    assert not {"gemmlowp", "cmsis_double"} & {c.name for c in found.candidates}


# Simulated devices: the RTL designs with options changed

DESIGNS = {
    "int8_dot": 40,
    "int4_dot": 40,
    "mx9_dot": 16,
    "vsq4_dot6": 16,
    "requantizer_double": 40,
    "requantizer_single": 40,
    "mx9_encode": 32,
    "systolic8x8": 4,
}


@cache
def design(name: str, count: int) -> Suite:
    d = load_datapath(TESTS / "rtl" / f"{name}.toml")
    return write_suite(datapath_unit(d, kind_of(d)), name, cases=("directed", "random"), count=count)


def outputs_of(device: Device, suite: Suite) -> Outputs | None:
    """What the device gives for the suite's inputs, on the result's port; None where it refuses some."""
    given = run(device, cases_of(suite.unit, [c.values for c in suite.cases]))
    if given is None or not given.accepted.all():
        return None
    port = suite.unit.port("result")
    data = fitted(given.values["result"], device.port("result"), port)
    assert data is not None
    return Outputs({"result": Column(from_ints(to_patterns(data), port.bits))}, "simulated")


def base_of(suite: Suite) -> Device:
    return Device(**same_fields(suite.unit), interface=suite.unit)


@pytest.mark.parametrize("name", DESIGNS)
def test_names_the_option_of_a_simulated_device(name: str) -> None:
    """Each option of a design with a changed value: the change, or one that gives the same on the suite, is what is found.

    Of each option one value is taken, so that every option is tried.
    """
    suite = design(name, DESIGNS[name])
    base, tried, seen = base_of(suite), 0, set()
    for change in changes(base):
        device = applied(base, change)
        outputs = outputs_of(device, suite) if device is not None and change.option not in seen else None
        if outputs is None or verify(suite, outputs, wanted=()).agrees:
            continue
        seen.add(change.option)
        found = investigate(outputs, suite, pairs=0)
        names = {n for c in found.best for n in (c.name, *c.same_as)}
        assert found.agrees, change
        assert f"{change.option} = {change.value}" in names, change
        assert found.candidates[0].explains == found.mismatches > 0
        tried += 1
        if tried >= 8 and name not in ("int8_dot", "requantizer_double"):
            break
    assert tried >= 2


@pytest.mark.parametrize(
    ("own", "kind", "made_by"),
    [
        ("ampere/bf16", "dot", "hopper/bf16"),
        ("ampere/bf16", "dot", "avx512_bf16/bf16"),
        ("volta/fp16", "dot", "ampere/fp16"),
        ("vsq4_int24", "dot", "vsq4_scale6"),
        ("mx9", "encode", "quark"),
        ("mxfp4", "encode", "modelopt"),
        ("nvfp4", "encode", "torchao"),
    ],
)
def test_names_the_datapath_or_convention(own: str, kind: str, made_by: str) -> None:
    """Devices with another datapath of the catalogue, or another encoder's convention: the name is found, the suite's own is not."""
    unit = format_unit(own, kind) if kind == "encode" else datapath_unit(load_datapath(own), kind)
    suite = write_suite(unit, "own", count=20)
    device = next(device for name, device in presets(base_of(suite)) if name == made_by)

    found = investigate(outputs_of(device, suite), suite, pairs=0)

    assert found.agrees
    names = {n for c in found.best for n in (c.name, *c.same_as)}
    assert made_by in names
    assert not any(name.startswith("the suite's own") for name in names)


def test_pairs_of_options() -> None:
    """A device with two options changed: no single one agrees, the pair does, and the bound says how many were tried."""
    suite = design("int4_dot", 40)
    base = base_of(suite)
    table = {f"{c.option} = {c.value}": c for c in changes(base)}
    pair = ("accumulator.bits = 6", "accumulator.product = 7 bits, wrap")
    first = applied(base, table[pair[0]])
    assert first is not None
    device = applied(first, table[pair[1]])
    assert device is not None
    outputs = outputs_of(device, suite)

    found, without = investigate(outputs, suite), investigate(outputs, suite, pairs=0)

    assert found.agrees
    assert "; ".join(pair) in {c.name for c in found.best}
    assert found.candidates[0].kind == "pair"
    assert 0 < found.bound.pairs <= found.bound.pairs_possible
    assert not without.agrees
    assert without.bound.pairs == 0


def test_bound_of_time_and_pairs_is_stated() -> None:
    suite = design("int4_dot", 40)
    wrong = np.zeros(len(suite.cases), np.int64)

    few, none = investigate(wrong, suite, pairs=3), investigate(wrong, suite, seconds=0)

    assert not few.agrees
    assert few.bound.stopped == f"3 of {few.bound.pairs_possible} pairs"
    assert none.bound.stopped == "0 s were over"
    assert len(none.candidates) == 1


def test_own_datapath_agrees() -> None:
    """A list of candidates, the suite's own first, nothing to explain."""
    suite = design("requantizer_single", 40)
    found = qsim.identify(np.array([suite.unit.port("result").split(v)[0] for v in suite.column("result")]), suite)

    assert found[0].kind == "suite"
    assert found[0].agrees
    assert found[0].same_as == ("tflite_single", "cmsis_single")


def test_taps_decide_where_results_agree() -> None:
    """A device whose product register is narrow shows it in `products` although no result differs."""
    suite = design("int8_dot", 40)
    kept = suite_of(suite.unit, "small", [_evaluated(c) for c in suite.cases if abs(_result(suite, c)) < 100][:20])
    base = base_of(kept)
    change = next(c for c in changes(base) if (c.option, c.value) == ("accumulator.bits", "14"))
    device = applied(base, change)
    assert device is not None
    given = run(device, cases_of(kept.unit, [c.values for c in kept.cases]))
    assert given is not None
    columns = {}
    for name in ("partial_sums", "result"):
        data = fitted(given.values[name], device.port(name), kept.unit.port(name))
        assert data is not None
        columns[name] = Column(from_ints(to_patterns(data), kept.unit.port(name).bits))

    found = investigate(Outputs(columns, "taps"), kept, pairs=0)

    assert found.agrees
    assert "accumulator.bits = 14" in {c.name for c in found.best}


def _evaluated(case: Case) -> Any:
    from qsim.golden.cases import Evaluated

    return Evaluated(case.flags, case.comment, case.values)


def _result(suite: Suite, case: Case) -> int:
    return suite.unit.port("result").split(case.values["result"])[0]


# Two classes that a suite cannot tell apart


def blunt_suite() -> Suite:
    """Accumulators far from every tie: half_up and half_away give the same."""
    suite = design("requantizer_single", 40)
    cases = [c for c in suite.cases if "Random" in c.flags][:6]
    return suite_of(suite.unit, "blunt", [_evaluated(c) for c in cases])


def test_distinguishing_suite_tells_classes_apart() -> None:
    """What agrees on a blunt suite is told apart by the cases written: each simulated device is then found alone in its class."""
    blunt = blunt_suite()
    base = base_of(blunt)
    outputs = outputs_of(base, blunt)
    found = investigate(outputs, blunt)
    assert len(found.best) > 10

    apart = tell_apart(blunt, found.best)

    assert apart.suite is not None
    assert len(apart.classes) > 10
    assert all(c.flags == (FLAG,) and ":" in c.comment for c in apart.suite.cases)
    again = parse_suite(apart.suite.text())
    assert again.text() == apart.suite.text()
    for rounding in ("half_away", "half_even", "floor"):
        change = next(c for c in changes(base) if (c.option, c.value) == ("requantizer.steps[0].rounding", rounding))
        device = applied(base, change)
        assert device is not None
        result = investigate(outputs_of(device, again), again, pairs=0)
        names = {n for c in result.best for n in (c.name, *c.same_as)}
        assert f"{change.option} = {rounding}" in names
        assert "the suite's own (requantizer_single)" not in names


def test_equal_designs_are_not_told_apart() -> None:
    """Registers that no operand overflows: one class, and no suite."""
    suite = design("int4_dot", 40)
    device = applied(base_of(suite), next(c for c in changes(base_of(suite)) if c[:2] == ("accumulator.bits", "24")))
    assert device is not None
    found = investigate(outputs_of(device, suite), suite)

    apart = tell_apart(suite, found.best)

    assert len(found.best) > 20
    assert len(apart.classes) == 1
    assert apart.suite is None
    assert f"None of {apart.inputs} other inputs tells them apart" in report_text(found, apart, 3)


# Incomplete outputs and bad use


def test_missing_and_unknown_results_agree_with_nothing() -> None:
    suite = design("int4_dot", 40)
    words = from_ints(suite.column("result"), suite.unit.port("result").bits)
    unknown = np.zeros_like(words)
    unknown[3] = 1

    short = investigate(Outputs({"result": Column(words[:-1])}, "short"), suite, pairs=0)
    hidden = investigate(Outputs({"result": Column(words, unknown)}, "x"), suite, pairs=0)

    for found in (short, hidden):
        assert not found.agrees
        assert found.candidates[0].matches == len(suite.cases) - 1


def test_bad_scales_are_refused() -> None:
    suite, _ = probe("tflite_single")
    y = captured("conv_ref")
    for scales, text in (
        ({"input_scale": 1.0}, "no weight_scale, output_scale"),
        ((1.0, 1.0), "2 arrays"),
        ((1.0, np.ones(3), 1.0), "weight_scale has shape"),
    ):
        with pytest.raises(ValueError, match=text):
            investigate(y, suite, scales=scales)


def test_sample_is_of_both_kinds() -> None:
    wrong = np.zeros(1000, bool)
    wrong[::7] = True
    rows = _sample(wrong)

    assert len(rows) <= 96
    assert wrong[rows].any()
    assert not wrong[rows].all()


# The command


def written_files(folder: Path, stack: str = "conv_ruy") -> list[str]:
    suite, scales = probe("tflite_single")
    (folder / "probe.json").write_text(suite.text())
    np.save(folder / "device.npy", captured(stack))
    np.savez(folder / "scales.npz", **dict(zip(("input_scale", "weight_scale", "output_scale"), scales, strict=True)))
    return [str(folder / "device.npy"), "--suite", str(folder / "probe.json"), "--scales", str(folder / "scales.npz")]


def test_command(tmp_path: Path) -> None:
    """Exit 0 where a candidate agrees, 1 where none does, 2 for bad use; --json is one document; --out a suite."""
    arguments = written_files(tmp_path)
    good = CliRunner().invoke(main, ["identify", *arguments, "--json"])
    table = json.loads(good.stdout)

    assert good.exit_code == 0
    assert table["candidates"][0]["name"] == "tflite_ruy_x86"
    assert table["candidates"][0]["explains"] == table["mismatches"] > 0
    assert table["bound"]["presets"] > 10

    np.save(tmp_path / "device.npy", np.zeros(896, np.int8))
    assert CliRunner().invoke(main, ["identify", *arguments, "--no-pairs"]).exit_code == 1
    missing = CliRunner().invoke(main, ["identify", str(tmp_path / "none.npy"), *arguments[1:]])
    assert missing.exit_code == 2
    assert "none.npy" in missing.output
    over = CliRunner().invoke(main, ["identify", *arguments, "--out", str(tmp_path / "probe.json")])
    assert over.exit_code == 2
    assert "never overwritten" in over.output


def test_command_writes_cases_that_tell_apart(tmp_path: Path) -> None:
    arguments = written_files(tmp_path, "conv_ref")
    result = CliRunner().invoke(main, ["identify", *arguments, "--out", str(tmp_path / "apart.json")])

    assert result.exit_code == 0
    suite = parse_suite((tmp_path / "apart.json").read_text())
    assert all(case.flags == (FLAG,) for case in suite.cases)


def test_transcript_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/identify.md: what the command prints, line by line."""
    text = (DOCS / "identify.md").read_text()
    block = re.search(r"```\n\$ qsim (identify .*)\n([\s\S]*?)```", text)
    assert block is not None
    written_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, block[1].split())

    assert result.exit_code == 0
    assert [line.rstrip() for line in result.stdout.splitlines()] == [line.rstrip() for line in block[2].splitlines()]
