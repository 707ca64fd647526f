"""What directed cases owe every lane, output, shift and bit, worked out here from their operands and taps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from qsim.datapath.datapaths import load_datapath
from qsim.golden.cases import Draft, directed
from qsim.golden.cases.observe import observe
from qsim.golden.cases.tiles import outputs_of
from qsim.golden.outputs import Column, Outputs
from qsim.golden.patterns import from_ints
from qsim.golden.suite import Suite, read_suite
from qsim.golden.unit_reference import evaluate
from qsim.golden.verify import verify
from qsim.golden.write_suite import datapath_unit, kind_of, suite_of, suite_paths, user_suite, write_suite

RTL = Path(__file__).parent / "rtl"


@cache
def suite(name: str) -> Suite:
    """The directed cases of a design of tests/rtl, or of a datapath of the catalogue."""
    datapath = load_datapath(RTL / f"{name}.toml" if (RTL / f"{name}.toml").exists() else name)
    unit = datapath_unit(datapath, kind_of(datapath))
    return suite_of(unit, name, directed(unit).cases)


def cases(name: str, flag: str) -> Iterator[dict[str, list[int]]]:
    """The values of all ports of each case of a flag."""
    unit = suite(name).unit
    for case in suite(name).cases:
        if flag in case.flags:
            yield {port.name: port.split(case.values[port.name]) for port in unit.ports}


# --- every lane ---


@pytest.mark.parametrize(("name", "first"), [("int8_dot", 1), ("int8_saturate16", 5), ("int4_dot", 12)])
def test_every_lane_meets_both_ends(name: str, first: int) -> None:
    """EveryLane: each lane, once the sum is large enough, reaches, exceeds and leaves either end, from inside the range and from the end."""
    unit = suite(name).unit
    assert unit.integer is not None
    low, high = unit.integer.register.range
    seen: dict[tuple[str, int], set[int]] = {}
    for v in cases(name, "EveryLane"):
        before = [v["bias"][0] if unit.integer.bias == "first" else 0, *v["partial_sums"]]
        for lane, product in enumerate(v["products"]):
            for end, out in ((low, -1), (high, 1)):
                beyond = (before[lane] + product - end) * out
                place = "at the end" if before[lane] == end else "inside"
                what = {0: "reached", 1: "exceeded by one"}.get(beyond, "exceeded" if beyond > 0 else "")
                if what and product * out > 0:
                    seen.setdefault((f"{what}, {place}", end), set()).add(lane)
                if before[lane] == end and product * out < 0:
                    seen.setdefault(("left", end), set()).add(lane)
    wanted = {"reached, inside", "exceeded by one, at the end", "exceeded, at the end", "exceeded, inside", "left"}

    assert {(what, end) for what in wanted for end in (low, high)} <= set(seen)
    for what in wanted:
        for end in (low, high):
            assert seen[what, end] >= set(range(first, unit.k)), (what, end)


@pytest.mark.parametrize("turn", [0, 1])
def test_every_output_of_a_tile_saturates_at_both_ends(turn: int) -> None:
    """EveryLane of the 8x8 tile: each of the 64 sums leaves its register at both ends, in even and in odd elements."""
    found: dict[tuple[int, int], set[bool]] = {}
    for v in cases("systolic8x8", "EveryLane"):
        a, w = ([v[side][i * 16 : i * 16 + 16] for i in range(8)] for side in ("activation", "weight"))
        for row in range(8):
            for column in range(8):
                total = 0
                for k in range(16):
                    x, y = ((code ^ 128) - 128 for code in (a[row][k], w[column][k]))
                    exact = total + x * y
                    total = max(min(exact, (1 << 17) - 1), -(1 << 17))
                    if exact != total and k % 2 == turn:
                        found.setdefault((row, column), set()).add(exact > 0)

    assert found == {(row, column): {False, True} for row in range(8) for column in range(8)}


@pytest.mark.parametrize(("name", "k"), [("binary_dot", 64), ("binary_popcount", 16)])
def test_every_sign_differs_alone(name: str, k: int) -> None:
    """OneHot without a zero: each lane is the only -1 of the products, and the only +1."""
    alone = {(lane, sign) for v in cases(name, "OneHot") for sign in (1, -1) for lane in range(k) if v["products"].count(sign) == 1
             and v["products"][lane] == sign}  # fmt: skip

    assert suite(name).unit.k == k
    assert alone == {(lane, sign) for lane in range(k) for sign in (1, -1)}


# --- every bit of a requantizer ---

REQUANTIZERS = ("requantizer_double", "requantizer_single")


@pytest.mark.parametrize("name", REQUANTIZERS)
def test_every_shift_rounds_half_a_step_of_either_sign(name: str) -> None:
    """EveryBit: at each shift +1/2 and -1/2, from a multiplier and an accumulator of one bit, with a result inside the clamp."""
    ties = set()
    places: dict[str, set[int]] = {"multiplier": set(), "acc": set(), "out_zero_point": set()}
    for v in cases(name, "EveryBit"):
        (acc,), (multiplier,), (shift,) = v["acc"], v["multiplier"], v["shift"]
        if abs(acc) * multiplier * 2 == 1 << (31 - shift):
            ties.add((shift, acc > 0))
            assert -128 < v["requantizer.zero_add"][0] < 127
            assert v["result"] == v["requantizer.zero_add"]
            assert abs(acc).bit_count() == multiplier.bit_count() == 1
            for port, found in places.items():
                found.add(v[port][0])

    possible = {(shift, positive) for shift in range(-31, 31) for positive in (True, False)} - {(-31, True)}  # 2^61 is no product
    assert ties == possible
    assert places["multiplier"] == {1 << j for j in range(31)}
    assert {sign << j for j in range(1, 30) for sign in (1, -1)} - places["acc"] == set()
    assert places["out_zero_point"] == {v for j in range(7) for v in (1 << j, ~(1 << j))}


@pytest.mark.parametrize("name", REQUANTIZERS)
def test_every_bit_stands_before_the_clamp(name: str) -> None:
    """EveryBit: each power of two below 2^30, and its complement, enter the clamp; each end of one bit is exceeded by one."""
    entering = {v["requantizer.zero_add"][0] for v in cases(name, "EveryBit")}
    exceeded = set()
    for v in cases(name, "EveryBit"):
        (value,), (low,), (high,) = v["requantizer.zero_add"], v["clamp_low"], v["clamp_high"]
        exceeded |= {("low", low)} if value == low - 1 else {("high", high)} if value == high + 1 else set()

    assert {v for j in range(30) for v in (1 << j, ~(1 << j))} <= entering
    assert {(side, sign << j) for j in range(7) for sign in (1, -1) for side in ("low", "high")} <= exceeded


# --- flags of cases that nobody directed ---


@pytest.mark.parametrize("path", suite_paths(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_no_case_shows_what_its_flags_do_not_say(path: Path) -> None:
    """Random cases carry the flags of what happens in them, too: `no other case has it` is a statement about all cases."""
    found = read_suite(path)
    assert [c.id for c in found.cases if not {flag for flag, _ in observe(found.unit, c.values)} <= set(c.flags)] == []


@pytest.mark.parametrize("kind", ["random", "user", "exhaustive"])
def test_cases_of_every_kind_are_flagged(kind: str) -> None:
    """Saturation is a flag of the cases in which a register saturates, of no other, whoever made them."""
    unit = datapath_unit(load_datapath("int4_saturate16"), "dot", 1 if kind == "exhaustive" else 700)
    if kind == "user":
        given = [{"activation": unit.port("activation").join([code] * unit.k), "weight": unit.port("weight").join([7] * unit.k)}
                 for code in (7, 8, 1)]  # fmt: skip
        rest = {p.name: 0 for p in unit.inputs if p.role == "parameter"}
        found = user_suite(unit, "u", [Draft(("User",), "", rest | values) for values in given])
        assert ["Saturation" in c.flags for c in found.cases] == [True, True, False]
        return
    found = write_suite(unit, "r", cases=[kind], count=12)
    for case in found.cases:
        assert set(case.flags) == {kind.capitalize()} | {flag for flag, _ in observe(unit, case.values)}


def test_summary_of_a_wrapping_design_is_true() -> None:
    """A design that wraps where it must saturate differs in the cases flagged Saturation, random ones among them, and in no other."""
    found = write_suite(datapath_unit(load_datapath("int8_saturate16"), "dot"), "s", count=40)
    wraps = replace(found.unit, datapath=load_datapath("int8_wrap16"))
    given = [evaluate(wraps, {p.name: c.values[p.name] for p in found.unit.inputs}) for c in found.cases]
    columns = {p.name: Column(from_ints([g[p.name] for g in given], p.bits)) for p in found.unit.outputs}
    verdict = verify(found, Outputs(columns, "a design that wraps"))

    assert verdict.cause() == f"all {verdict.mismatches} mismatches have flag Saturation, and no other case has it"
    assert verdict.by_flag["Random"][0] > 0


def test_tiles_show_what_their_outputs_show() -> None:
    """The flags of a random tile are those of its 64 dot products."""
    unit = datapath_unit(load_datapath(RTL / "systolic8x8.toml"), "matmul")
    found = write_suite(unit, "t", cases=["random"], count=2)
    for case in found.cases:
        inside = [observe(one, values) for one, values in outputs_of(unit, case.values)]
        assert len(inside) == 64
        assert set(case.flags) == {"Random"} | {flag for seen in inside for flag, _ in seen}
