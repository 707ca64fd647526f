"""Suites: what is checked in holds, every flag's cases have what its note says, kernels equal the reference, damage is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim.cli import main
from qsim.datapath.datapaths import load_datapath
from qsim.golden import provenance
from qsim.golden.bits import value_of
from qsim.golden.cases import Draft, directed, evaluated, exhaustive, notes_of, random, select
from qsim.golden.cases.observe import observe
from qsim.golden.check import check_suite
from qsim.golden.columns import from_values, to_bytes, to_patterns, to_values
from qsim.golden.suite import Case, Suite, parse_suite, read_suite
from qsim.golden.unit import Port, Unit
from qsim.golden.unit_kernels import evaluate_bytes, evaluate_many
from qsim.golden.unit_reference import evaluate
from qsim.golden.vectors import GoldenError
from qsim.golden.write_suite import CHECKED_IN, datapath_unit, format_unit, suite_path, suite_paths, write_suite
from qsim.reference import round_to_float
from qsim.spec import FLOAT32, Geometry, load_format

NAMES = [(kind, name) for kind, names in CHECKED_IN.items() for name in names]
#: Written again in a test; the others take seconds each, and the reference checks their cases.
QUICK = [n for n in NAMES if n[0] != "dot" or n[1] in ("tflite_conv", "vsq4_int24", "binary_popcount")]


def run(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], input=stdin)


@cache
def checked_in(kind: str, name: str) -> Suite:
    return read_suite(suite_path(None, kind, name))


def unit_of(kind: str, name: str, **how: Any) -> Unit:
    return format_unit(name, kind, **how) if kind in ("encode", "pack") else datapath_unit(load_datapath(name), kind, **how)


def split(suite: Suite, case: Case) -> dict[str, list[int]]:
    return {port.name: port.split(case.values[port.name]) for port in suite.unit.ports}


# --- the checked-in suites ---


def test_every_suite_is_there_and_no_other():
    assert sorted(suite_paths()) == sorted(suite_path(None, kind, name) for kind, name in NAMES)


@pytest.mark.parametrize(("kind", "name"), QUICK)
def test_suites_are_what_the_reference_writes(kind: str, name: str):
    assert write_suite(unit_of(kind, name), name).text() == suite_path(None, kind, name).read_text()


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_suites_are_canonical_and_small(kind: str, name: str):
    """Reading and writing changes no byte; every flag has a note, every note a case; 300 kB at most."""
    suite, text = checked_in(kind, name), suite_path(None, kind, name).read_text()

    assert suite.text() == text
    assert suite.written_by == "reference"
    assert len(text) <= 300_000
    assert len(suite.cases) >= 30
    assert {flag for case in suite.cases for flag in case.flags} == set(suite.notes)


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_reference_reproduces_every_case(kind: str, name: str):
    assert check_suite(checked_in(kind, name), "reference") == []


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_kernels_reproduce_every_case(kind: str, name: str):
    assert check_suite(checked_in(kind, name), "kernels") == []


@pytest.mark.parametrize(("kind", "name"), [n for n in NAMES if provenance.NUMPY_SUMS in provenance.VERIFIED_BY.get(n, ())])
def test_numpy_agrees_with_the_sums(kind: str, name: str):
    """The claim NUMPY_SUMS: int64 products and sums, the zero point taken off and the bias added, wrapped to the register."""
    suite = checked_in(kind, name)
    assert suite.verified_by == (provenance.NUMPY_SUMS,)
    a, w = (np.array([split(suite, c)[side] for c in suite.cases], np.int64) for side in ("activation", "weight"))
    if name == "binary_popcount":
        a, w = 2 * a - 1, 2 * w - 1
    else:
        a, w = a.astype(np.int8).astype(np.int64), w.astype(np.int8).astype(np.int64)
    zero, bias = (np.array([split(suite, c).get(p, [0])[0] for c in suite.cases]) for p in ("a_zero_point", "bias"))
    total = ((a - zero[:, None]) * w).sum(1) + bias

    assert [split(suite, c)["accumulator"][0] for c in suite.cases] == total.astype(np.int32).tolist()


# --- what each flag's cases have ---


def sums(suite: Suite, case: Case) -> list[int]:
    """Exact values of the accumulator after each add, were it as wide as it likes."""
    total, found = 0, []
    for product in split(suite, case)["products"]:
        total += product
        found.append(total)
    return found


def tie_of(value: Fraction) -> Fraction:
    """How far a value lies from half way between two integers."""
    return abs(abs(value) % 1 - Fraction(1, 2))


def pipeline(suite: Suite, case: Case) -> list[Fraction]:
    """What TFLite's two rounding shifts divide, worked out from the taps: the product over 2^31, step0 over 2^right."""
    v = split(suite, case)
    return [
        Fraction(v["requantizer.product"][0], 1 << 31),
        Fraction(v["requantizer.step0"][0], 1 << max(-v["shift"][0], 0)),
    ]


HOLDS: dict[str, Callable[[Suite, Case], bool]] = {
    "Zero": lambda s, c: c.values["activation"] == 0 and c.values["weight"] == 0,
    "Extremes": lambda s, c: set(split(s, c)["activation"]) <= {0x7F, 0x80} and len(set(split(s, c)["weight"])) == 1,
    "OneHot": lambda s, c: sum(p != 0 for p in split(s, c)["products"]) == 1,
    "Distinct": lambda s, c: len(set(split(s, c)["products"])) == s.unit.k,
    "WalkingOne": lambda s, c: any(
        len(set(v)) == 1 and v[0].bit_count() == 1 for v in (split(s, c)["activation"], split(s, c)["weight"])
    ),
    "Cancellation": lambda s, c: abs(sums(s, c)[-1]) * 32 <= max(map(abs, sums(s, c))),
    "BiasEdge": lambda s, c: split(s, c)["bias"][0] in (-(1 << 31), 1 - (1 << 31), -1, 1, (1 << 31) - 2, (1 << 31) - 1),
    "ZeroPointEdge": lambda s, c: bool({split(s, c)["a_zero_point"][0], split(s, c)["out_zero_point"][0]} & {-128, 127}),
    "ShiftEdge": lambda s, c: split(s, c)["shift"][0] in (-31, 0, 30),
    "MultiplierEdge": lambda s, c: split(s, c)["multiplier"][0] in (0, (1 << 31) - 1),
    "Tie": lambda s, c: any(tie_of(v) == 0 for v in pipeline(s, c)),
    "NearTie": lambda s, c: any(0 < tie_of(v) <= Fraction(1, 1024) for v in pipeline(s, c)),
    "Wrap": lambda s, c: (
        not -(1 << 31) <= sums(s, c)[-1] + split(s, c)["bias"][0] < 1 << 31
        or not -(1 << 31) <= split(s, c)["accumulator"][0] << max(split(s, c)["shift"][0], 0) < 1 << 31
        or not -(1 << 31) <= split(s, c)["requantizer.step1"][0] + split(s, c)["out_zero_point"][0] < 1 << 31
    ),
    "Saturation": lambda s, c: not -128 <= split(s, c)["requantizer.zero_add"][0] <= 127
    or split(s, c)["requantizer.product"][0] >> 31 not in range(-(1 << 31), 1 << 31),
    "ClampEdge": lambda s, c: any(
        split(s, c)["requantizer.zero_add"][0] in (edge - 1, edge, edge + 1)
        for edge in (split(s, c)["clamp_low"][0], split(s, c)["clamp_high"][0])
    ),
}  # fmt: skip


@pytest.mark.parametrize("flag", HOLDS)
def test_flags_of_int8_say_the_truth(flag: str):
    """Every case of a flag has the property of its note, worked out here from operands and taps."""
    suite = checked_in("dot", "tflite_conv")
    cases = [c for c in suite.cases if flag in c.flags]

    assert cases
    assert [c.id for c in cases if not HOLDS[flag](suite, c)] == []


def test_no_flag_of_int8_goes_unproved():
    assert set(checked_in("dot", "tflite_conv").notes) <= {*HOLDS, "JustReaches", "JustExceeds", "Random"}


def test_int8_ties_lie_on_both_sides():
    """Ties of either sign, and values on both sides of ties of either sign, at both roundings."""
    suite = checked_in("dot", "tflite_conv")
    seen = {found for c in suite.cases for found in observe(suite.unit, c.values)}
    for step in ("step0", "step1"):
        for sign in "+-":
            assert {("Tie", f"{step} {sign} {parity}") for parity in ("even", "odd")} <= seen
            assert {("NearTie", f"{step} {sign} {side}") for side in ("above", "below")} <= seen


@pytest.mark.parametrize(
    ("name", "flag"), [("int8_saturate16", "MidSaturation"), ("int8_wrap16", "MidWrap"), ("int8_tree20", "OneHot")]
)
def test_sums_that_leave_and_come_back(name: str, flag: str):
    """MidSaturation and MidWrap: an add on the way changed a value, the last add did not, and the result is inside the range."""
    unit = unit_of("dot", name)
    cases = [c for c in directed(unit).cases if flag in c.flags]

    assert cases
    acc = unit.integer
    assert acc is not None
    for case in cases:
        partial = unit.port("partial_sums").split(case.values["partial_sums"])
        products = unit.port("products").split(case.values["products"])
        result = unit.port("result").split(case.values["result"])[0]
        if flag != "OneHot":
            changed = [t - p for t, p in zip(partial, [0, *partial[:-1]], strict=True)]
            assert [k for k in range(unit.k - 1) if changed[k] != products[k]]
            assert changed[-1] == products[-1]
            assert acc.register.range[0] < result < acc.register.range[1]


@pytest.mark.parametrize("name", ["int8_saturate16", "int8_wrap16", "int4_saturate16", "fbgemm_acc16", "hls4ml_dense"])
def test_every_edge_of_the_accumulator_is_reached_and_exceeded(name: str):
    """JustReaches and JustExceeds of both ends, unless no operands can give such a sum."""
    unit = unit_of("dot", name, **({"k": 700} if name == "int4_saturate16" else {"k": 64}))
    seen = {found for c in directed(unit).cases for found in observe(unit, c.values)}
    for end in ("low", "high"):
        assert {("JustReaches", f"accumulator {end}"), ("JustExceeds", f"accumulator {end}")} <= seen


BLOCK_FLAGS = {
    "SignedZero": lambda s, c: any(code == 0x80 for row in elements(s, c) for code in row),
    "Microexponent": lambda s, c: any(1 in level for level in levels(s, c, 0)),
    "ZeroPair": lambda s, c: any(row[:2] == [0, 0] for row in elements(s, c)),
    "LargestScaleProduct": lambda s, c: {code for level in levels(s, c, 1) for code in level} == {254},
    "NaN": lambda s, c: c.values["result"] & 0x7FFFFFFF > 0x7F800000 or 255 in [x for lv in levels(s, c, 1) for x in lv],
    "Infinity": lambda s, c: c.values["result"] & 0x7FFFFFFF == 0x7F800000 or c.values["bias"] & 0x7FFFFFFF == 0x7F800000,
    "ZeroBlock": lambda s, c: any(set(row[i : i + 16]) == {0} for row in elements(s, c) for i in range(0, s.unit.k, 16)),
    "Tie": lambda s, c: any(is_half_way(v) for v in roundings(s, c)),
}


def roundings(suite: Suite, case: Case) -> list[Fraction]:
    """What mx9_bdr rounds to float32: each sum of four aligned terms, and its addition to the sums before."""
    v, found = split(suite, case), []
    before = FLOAT32.value(v["bias"][0])
    for step, exponent in enumerate(v["largest_exponents"]):
        total = sum(v["aligned"][4 * step : 4 * step + 4]) * Fraction(2) ** (exponent - 25)
        found.append(total)
        added = FLOAT32.value(round_to_float(total, FLOAT32))
        if isinstance(before, Fraction) and isinstance(added, Fraction):
            found.append(before + added)
        before = FLOAT32.value(v["partial_sums"][step])
    return found


def is_half_way(value: Fraction) -> bool:
    """Whether a value lies half way between two float32."""
    last = Fraction(1, 1 << 149)
    while abs(value) >= last * (1 << 24):
        last *= 2
    return (abs(value) / last) % 1 == Fraction(1, 2)


def fields(suite: Suite, case: Case, side: str) -> list[dict[str, list[int]]]:
    """The fields of each word, by hand: 16 elements of 8 bits, 8 microexponents, the shared exponent (MX9, rule P3)."""
    found = []
    for word in split(suite, case)[side]:
        found.append(
            {
                "elements": [word >> 8 * i & 255 for i in range(16)],
                "micro": [word >> 128 + i & 1 for i in range(8)],
                "shared": [word >> 136],
            }
        )
    return found


def elements(suite: Suite, case: Case) -> list[list[int]]:
    return [[code for word in fields(suite, case, side) for code in word["elements"]] for side in ("activation", "weight")]


def levels(suite: Suite, case: Case, level: int) -> list[list[int]]:
    name = ("micro", "shared")[level]
    return [[code for word in fields(suite, case, side) for code in word[name]] for side in ("activation", "weight")]


@pytest.mark.parametrize("flag", BLOCK_FLAGS)
def test_flags_of_mx9_say_the_truth(flag: str):
    suite = checked_in("dot", "mx9_bdr")
    cases = [c for c in suite.cases if flag in c.flags]

    assert cases
    assert [c.id for c in cases if not BLOCK_FLAGS[flag](suite, c)] == []


@pytest.mark.parametrize("name", ["mx9_bdr", "mx4_bdr", "mxfp4_tcgen05"])
def test_extreme_exponents_lose_a_whole_term(name: str):
    """ExtremeExponents: two terms whose exponents lie further apart than the accumulator has fraction bits, or than 60."""
    suite = checked_in("dot", name)
    cases = [c for c in suite.cases if "ExtremeExponents" in c.flags]

    assert len(cases) >= 4
    for case in cases:
        v = split(suite, case)
        nonzero = [e for e, t in zip(v["exponents"], v["terms"], strict=True) if t]
        aligned = [t for t, kept in zip(v["terms"], v["aligned"], strict=True) if t and kept in (0, -1)]
        assert aligned or max(nonzero) - min(nonzero) >= 60 or case.values["result"] & 0x7FFFFFFF >= 0x7F800000


def test_scale_products_of_vsq_meet_ties():
    """Ties of the 8-bit product of scales rounded to 6 bits: its last two bits are 10."""
    suite = checked_in("dot", "vsq4_scale6")
    ties = [c for c in suite.cases if "Tie" in c.flags and "Tie scale" in c.comment]

    assert ties
    for case in ties:
        words = [split(suite, case)[side] for side in ("activation", "weight")]
        products = [(a >> 64) * (w >> 64) for a, w in zip(*words, strict=True)]
        assert any(p % 4 == 2 for p in products)


@pytest.mark.parametrize("name", CHECKED_IN["encode"])
def test_rows_of_encoders_hold_ties_and_their_neighbours(name: str):
    """Ties and, one float32 beside, NearTie: no value of a NearTie row but its anchors is in the Ties row that it comes from."""
    suite = checked_in("encode", name)
    rows = {flag: [split(suite, c)["input"] for c in suite.cases if flag in c.flags] for flag in ("Ties", "NearTie")}

    assert len(rows["NearTie"]) == 2 * len(rows["Ties"]) > 0
    for i, tie in enumerate(rows["Ties"]):
        for near in rows["NearTie"][2 * i : 2 * i + 2]:
            moved = [(x, y) for x, y in zip(tie, near, strict=True) if x != y]
            assert moved
            assert all(0 < abs(value_of(x) - value_of(y)) <= abs(value_of(x)) / (1 << 22) for x, y in moved)


# --- random and exhaustive ---


def test_random_cases_come_from_the_seed():
    unit = unit_of("dot", "tflite_conv")
    drafts = list(random(unit, 7, 20))

    assert drafts == list(random(unit, 7, 20))
    assert drafts[:5] == list(random(unit, 7, 5))
    assert drafts != list(random(unit, 8, 20))


def test_random_operands_are_the_same_on_every_machine():
    """The first operand of seed 0, as splitmix64 gives it, stated here."""
    (draft,) = random(unit_of("dot", "binary_popcount"), 0, 1)

    assert {name: hex(value) for name, value in draft.inputs.items()} == FIRST


FIRST = {"activation": "0x169e", "weight": "0x5060", "bias": "0x0"}


def test_exhaustive_is_every_operand():
    unit = unit_of("dot", "binary_popcount", k=4)
    suite = write_suite(unit, "small", cases=["exhaustive"])

    assert len(suite.cases) == 256
    assert {(c.values["activation"], c.values["weight"]) for c in suite.cases} == {(a, w) for a in range(16) for w in range(16)}
    with pytest.raises(GoldenError, match=r"exhaustive: 256 bits of operands \(activation 128 \+ weight 128\); allowed: 20"):
        list(exhaustive(unit_of("dot", "tflite_conv")))


def test_refused_candidates_are_left_out_and_counted():
    """Operands that overflow a register with overflow = error, and blocks of NaN in fixed point."""
    assert directed(unit_of("dot", "mx9_fixed40")).refused > 0
    unit = unit_of("dot", "mx9_fixed40")
    nan = {"activation": 0xFF << 136, "weight": 0}
    assert select(unit, [Draft(("NaN",), "", nan)]) == ([], 1)
    with pytest.raises(ValueError, match="rule A2"):
        evaluated(unit, nan)


def test_notes_of_every_flag():
    for kind, name in (("dot", "tflite_conv"), ("encode", "mx9"), ("chain", "mx9_bdr"), ("pack", "vsq4"), ("matmul", "mx4_bdr")):
        unit = unit_of(kind, name)
        flags = {f for c in directed(unit).cases for f in c.flags} if kind != "matmul" else {"Zero", "Random"}
        assert flags <= set(notes_of(unit))


# --- the kernels ---

UNITS = {
    f"{kind}:{name}": (kind, name)
    for kind, names in {
        "dot": (
            "tflite_conv", "tflite_ruy", "onnxruntime_uint8", "vpdpbusds", "vpmaddubsw", "fbgemm_acc16", "fbgemm_linear",
            "gemmini_ws", "hls4ml_dense", "int8_tree20", "int4_saturate16", "binary_popcount", "mx9_bdr", "mx6_fixed32",
            "mxfp8_e4m3_tcgen05", "nvfp4_tcgen05", "vsq4_scale6", "int8_vsq4", "hopper/bf16",
        ),
        "requantize": ("tflite_conv", "xnnpack_int8", "onnxruntime_uint8", "tflite_fully_connected", "fbgemm_linear"),
        "matmul": ("tflite_conv", "mx4_bdr"),
        "encode": ("mx9", "int8", "vsq4", "nvfp4", "fp8_e4m3", "binary"),
        "pack": ("mx6", "vsq4", "ternary"),
        "chain": ("tflite_conv", "mx6_bdr", "vsq4_int24", "binary_popcount", "nvfp4_tcgen05"),
    }.items()
    for name in names
}  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=4)
@given(seed=st.integers(0, (1 << 64) - 1), count=st.integers(1, 20))
def test_kernels_equal_the_reference(unit: str, seed: int, count: int):
    """evaluate_many(unit, columns)[port][i] == evaluate(unit, case i)[port], for any cases that the reference takes."""
    found = unit_of(*UNITS[unit])
    drafts = []
    for draft in random(found, seed, count):
        try:
            evaluated(found, draft.inputs)
        except ValueError:
            continue
        drafts.append(draft)
    got = evaluate_many(found, {p.name: [d.inputs[p.name] for d in drafts] for p in found.inputs})

    for i, draft in enumerate(drafts):
        assert {name: column[i] for name, column in got.items()} == evaluate(found, draft.inputs)


def test_kernels_refuse_what_the_reference_refuses():
    unit = unit_of("dot", "int8_saturate16")
    strict = unit_of("dot", "mx9_fixed40")
    bad = {"activation": [0xFF << 136], "weight": [0]}

    with pytest.raises(ValueError, match="rule A2"):
        evaluate_many(strict, bad)
    with pytest.raises(ValueError, match="no column weight"):
        evaluate_many(unit, {"activation": [0]})
    with pytest.raises(ValueError, match="the same number"):
        evaluate_many(unit, {p.name: [0] * (1 + (p.name == "weight")) for p in unit.inputs})
    with pytest.raises(ValueError, match="allowed: 128 bits"):
        evaluate_many(unit, {p.name: [1 << 128] for p in unit.inputs})
    assert evaluate_many(unit, {p.name: [] for p in unit.inputs}) == {p.name: [] for p in unit.outputs}


@given(
    width=st.integers(1, 64),
    values=st.lists(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=3, max_size=3), min_size=1, max_size=5),
)
def test_fields_are_bits_of_the_pattern(width: int, values: list[list[int]]):
    """Value j of a pattern is its bits [j * width, (j + 1) * width), both ways."""
    port = Port("p", "operand", width, 3)
    patterns = [sum((v & ((1 << width) - 1)) << j * width for j, v in enumerate(row)) for row in values]

    assert to_patterns(from_values(np.array(values), port)) == patterns
    data = to_bytes(patterns, port)
    unsigned = to_values(data, width, 3, False).astype(object) & ((1 << width) - 1)
    assert unsigned.tolist() == [[v & ((1 << width) - 1) for v in row] for row in values]
    assert to_patterns(data) == patterns


def test_bytes_stay_bytes():
    """Columns may be arrays of bytes, the lowest first."""
    unit = unit_of("dot", "binary_popcount")
    n = 1000
    rng = np.random.default_rng(1)
    columns = {p.name: rng.integers(0, 256, (n, -(-p.bits // 8)), np.uint8) for p in unit.inputs}
    columns["bias"][:] = 0
    bits = [np.unpackbits(columns[side], axis=1).astype(int) * 2 - 1 for side in ("activation", "weight")]

    total = evaluate_bytes(unit, columns)["result"].view("<i4")[:, 0]
    assert total.tolist() == (bits[0] * bits[1]).sum(1).tolist()


# --- bulk ---


def test_bulk_is_written_by_the_kernels_and_says_so():
    unit = unit_of("dot", "int8_saturate16")
    bulk = write_suite(unit, "s", count=150, bulk=True)
    plain = write_suite(unit, "s", count=150)

    assert bulk.written_by == "kernel"
    assert bulk.source["name"] == "qsim.kernels"
    assert bulk.cases == plain.cases
    assert bulk.digest != plain.digest


def test_bulk_notices_kernels_that_differ(monkeypatch: pytest.MonkeyPatch):
    import qsim.golden.unit_kernels as kernels

    true = kernels.evaluate_many
    monkeypatch.setattr(kernels, "evaluate_many", lambda u, c: true(u, c) | {"result": [0x1234] * len(c["weight"])})
    with pytest.raises(GoldenError, match=r"random case 0: kernels give result = 0x1234, the reference 0x"):
        write_suite(unit_of("dot", "int8_saturate16"), "s", cases=["random"], count=3, bulk=True)


# --- the command ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    result = run("golden", "write", "binary_popcount", "--k", 4, "--count", 5, "--out", tmp_path / "golden")

    assert result.exit_code == 0, result.output
    return tmp_path / "golden"


def test_write_says_what_it_wrote(folder: Path):
    path = folder / "dot" / "binary_popcount.json"
    suite = read_suite(path)
    again = run("golden", "write", "binary_popcount", "--k", 4, "--count", 5, "--out", folder)
    other = run("golden", "write", "binary_popcount", "--k", 4, "--count", 5, "--seed", 1, "--out", folder, "--check-only")

    assert f"{path}: {len(suite.cases)} cases, as it was, digest {suite.digest[:12]}" in again.stdout
    assert other.exit_code == 1
    assert "would change" in other.stdout
    assert read_suite(path).digest == suite.digest


def test_check_knows_suites(folder: Path):
    result = run("golden", "check", "--folder", folder)

    assert result.exit_code == 0, result.output
    assert "1 files" in result.stdout
    assert run("golden", "check", "binary_popcount", "--folder", folder).exit_code == 0
    missing = run("golden", "check", "tflite_conv", "--folder", folder)
    assert missing.exit_code == 2
    assert "no suite tflite_conv.json" in missing.stderr


def test_check_reports_a_wrong_result(folder: Path):
    """A suite whose digest was written anew over a wrong result: both machines differ, exit code 1."""
    path = folder / "dot" / "binary_popcount.json"
    suite = read_suite(path)
    wrong = Case(1, suite.cases[0].flags, suite.cases[0].values | {"result": 0x77}, suite.cases[0].comment)
    path.write_text(Suite(suite.name, suite.unit, (wrong, *suite.cases[1:]), suite.notes, source=suite.source).text())
    result = run("golden", "check", "--folder", folder)

    assert result.exit_code == 1
    assert "dot/binary_popcount test 1 (Zero" in result.stdout
    assert "result: expected 0x00000077, got 0x0000000" in result.stdout


def edited(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    table = json.loads(path.read_text())
    edit(table)
    path.write_text(json.dumps(table))


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "hand edit": (lambda t: t["cases"][3].update(result="0x00000001"), "the file was changed by hand"),
    "comment": (lambda t: t["cases"][3].update(comment="better"), "the file was changed by hand"),
    "seed": (lambda t: t.update(seed=9), "the file was changed by hand"),
    "digest": (lambda t: t.update(digest="0" * 64), "digest is 000000000000"),
    "reordered": (lambda t: t["cases"].insert(0, t["cases"].pop()), "the file was changed by hand"),
    "lost case": (lambda t: t["cases"].pop(), "number_of_cases"),
    "schema": (lambda t: t.update(schema="suite-9"), "schema = 'suite-9'"),
    "unknown key": (lambda t: t.update(author="me"), "keys missing or unknown: author"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_suite_is_refused(folder: Path, damage: str):
    """Exit code 2; the message names the file and what is wrong."""
    path = folder / "dot" / "binary_popcount.json"
    edited(path, DAMAGE[damage][0])
    result = run("golden", "check", "--folder", folder)

    assert result.exit_code == 2
    assert str(path) in result.stderr
    assert DAMAGE[damage][1] in result.stderr


def test_a_truncated_suite_is_refused(folder: Path):
    path = folder / "dot" / "binary_popcount.json"
    text = path.read_text()
    for part in (text[: len(text) // 2], "", text[:-4]):
        path.write_text(part)
        result = run("golden", "check", "--folder", folder)
        assert result.exit_code == 2
        assert str(path) in result.stderr


def test_jsonl_in_a_pipe():
    """Operands in, whole cases out; what is left out is at rest; the output may be fed in again."""
    lines = '{"activation": "0x5", "weight": "0x3", "comment": "mine"}\n\n{"activation": [1, 1, 1, 1], "weight": [0, 0, 0, 0]}\n'
    result = run("golden", "write", "binary_popcount", "--k", 4, "--operands", "-", "--out", "-", stdin=lines)
    cases = [json.loads(line) for line in result.stdout.splitlines()]

    assert result.exit_code == 0, result.output
    assert [c["result"] for c in cases] == ["0x00000000", "0xfffffffc"]
    assert (cases[0]["comment"], cases[0]["flags"], cases[0]["bias"]) == ("mine", ["User"], "0x00000000")
    again = run("golden", "write", "binary_popcount", "--k", 4, "--operands", "-", "--out", "-", stdin=result.stdout)
    assert again.stdout == result.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: []; allowed: an object of ports"),
        ('{"activation": "0x5"}', "line 1: no weight"),
        ('{"activation": "0x5", "weight": "0x003"}', "allowed: 0x and 1 hexadecimal digits"),
        ('{"activation": "0x5", "weight": 1.5}', "line 1: weight = 1.5"),
        ('{"activation": [2, 0, 0, 0], "weight": "0x0"}', "value 2 does not fit 1 bits"),
        ('{"activation": "0x5", "weight": "0x3", "wieght": "0x3"}', "unknown port 'wieght'"),
        ("", "no cases"),
    ],
)
def test_bad_lines(line: str, message: str):
    result = run("golden", "write", "binary_popcount", "--k", 4, "--operands", "-", "--out", "-", stdin=line + "\n")

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_operands_from_arrays(tmp_path: Path):
    """Integers in the order of the port's values, floats as their patterns."""
    a, w = np.arange(-8, 8, dtype=np.int8).reshape(1, 16), np.full((1, 16), 3, np.int8)
    np.savez(tmp_path / "a.npz", activation=a, weight=w, bias=np.array([100], np.int32))
    result = run("golden", "write", "tflite_conv", "--operands", tmp_path / "a.npz", "--out", tmp_path)
    suite = read_suite(tmp_path / "dot" / "tflite_conv.json")

    assert result.exit_code == 0, result.output
    assert split(suite, suite.cases[0])["accumulator"] == [int((a.astype(int) * 3).sum()) + 100]
    np.savez(tmp_path / "b.npz", input=np.linspace(-1, 1, 16, dtype=np.float32)[None])
    result = run("golden", "write", "mx9", "--kind", "encode", "--operands", tmp_path / "b.npz", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    np.savez(tmp_path / "c.npz", activation=a, wight=w)
    assert "array 'wight' is no input" in run("golden", "write", "tflite_conv", "--operands", tmp_path / "c.npz").stderr
    np.savez(tmp_path / "d.npz", activation=a[:, :3], weight=w)
    assert "allowed: integers of shape (n, 16)" in run("golden", "write", "tflite_conv", "--operands", tmp_path / "d.npz").stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tflite_con"], "unknown"),
        (["tflite_conv", "--cases", "all"], "allowed: directed, random, exhaustive"),
        (["tflite_conv", "--cases", "exhaustive"], "allowed: 20"),
        (["nvdla", "--kind", "requantize"], "nvdla has no requantizer"),
        (["tflite_conv", "--parameters", "bais"], "'bais'; allowed: bias"),
        (["tflite_conv", "mx9_bdr", "--out", "-"], "--out - with 2 suites"),
        (["mx9", "--operands", "x.npz"], "for suites"),
        (["--kind", "pack"], "no name with --kind pack"),
        (["tflite_conv", "--operands", "no.npz"], "no.npz"),
    ],
)
def test_bad_use_of_write(tmp_path: Path, args: list[str], message: str):
    out = [] if "-" in args else ["--out", str(tmp_path / "new")]
    result = run("golden", "write", *args, *out)

    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_datapath_of_the_user(tmp_path: Path):
    """k and parameters of its [ports]; the suite states the datapath and needs its file no more."""
    toml = tmp_path / "mine.toml"
    toml.write_text(
        '[activation]\nformat = "int4"\n[weight]\nformat = "int4"\n[accumulator]\nbits = 9\noverflow = "saturate"\n'
        '[ports]\nk = 8\nmodule = "mac"\nactivation = "a"\nweight = "b"\nbias = "c"\nresult = "y"\n'
    )
    result = run("golden", "write", toml, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    toml.unlink()
    suite = read_suite(tmp_path / "dot" / "mine.json")

    assert (suite.unit.k, suite.unit.parameters) == (8, ("bias",))
    assert {"MidSaturation", "JustReaches", "JustExceeds", "Saturation"} <= set(suite.notes)
    assert run("golden", "check", "--folder", tmp_path).exit_code == 0


def test_words_of_rows_are_the_words_of_rule_p3():
    """The column path packs as qsim.pack does."""
    from qsim.codec import encode
    from qsim.golden.unit_kernels import words_of

    x = np.random.default_rng(3).standard_normal((5, 32)).astype(np.float32)
    for name in ("mx9", "mx4", "vsq4", "mxfp4", "int5"):
        fmt = load_format(name)
        q = encode(x, fmt)
        data = words_of(q.codes.astype(np.int64), [s.astype(np.int64) for s in q.scales[: len(fmt.block_scales)]], fmt, 32)
        per_row, width = Geometry.of(fmt, (32,)).words, fmt.word_bits
        words = [row >> i * width & ((1 << width) - 1) for row in to_patterns(data) for i in range(per_row)]
        assert words == q.to_words()


def test_suites_round_trip_through_text():
    suite = checked_in("dot", "tflite_conv")

    assert parse_suite(suite.text()) == suite
