"""Block-left_out products against MMA-Sim, a model of tensor cores (tests/oracles/capture_mmasim.py).

tcgen05 is its own model; the sums of MX9, MX6 and MX4 are put together from its functions, which checks the arithmetic, not that a
unit works so.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from qsim.datapath.datapaths import load_datapath
from qsim.golden import provenance
from qsim.golden.suite import read_suite
from qsim.golden.unit_kernels import evaluate_many
from qsim.golden.unit_reference import evaluate
from qsim.golden.write_suite import datapath_unit, suite_path

DATA = Path(__file__).parent / "data" / "mmasim.npz"
SUITES = ("mxfp8_e4m3_tcgen05", "mxfp4_tcgen05", "nvfp4_tcgen05", "mx9_bdr", "mx6_bdr", "mx4_bdr")
NAMES = (*SUITES, "mxfp8_e5m2_tcgen05")
ONE = 0x3F800000
SIGN, NAN, INF = 1 << 31, 0x7FFFFFFF, 0x7F800000


@cache
def captured(name: str) -> dict[str, list[int]]:
    """Patterns of the operands, of the addend and of MMA-Sim's result."""
    with np.load(DATA) as data:
        sides = {
            side: [int.from_bytes(row.tobytes(), "little") for row in data[f"{name}_{side}"]] for side in ("activation", "weight")
        }
        return sides | {"bias": data[f"{name}_c"].tolist(), "d": data[f"{name}_d"].tolist()}


def columns(name: str) -> dict[str, list[int]]:
    """The columns of the datapath's dot unit; tensor scales are 1."""
    unit = datapath_unit(load_datapath(name), "dot")
    rows = captured(name)
    return {p.name: rows.get(p.name, [ONE] * len(rows["d"])) for p in unit.inputs}


def value(bits: int) -> int:
    """The pattern, with one zero and one NaN: MMA-Sim states neither the sign of a zero sum nor what torch makes of a NaN."""
    return 0 if bits == SIGN else NAN if bits & NAN > INF else bits


@pytest.mark.parametrize("name", NAMES)
def test_kernels_give_the_results_of_mmasim(name: str) -> None:
    """Every row, NaN included: exponents of scales, F = 25 or 35, truncation, steps of 32 or 64 products, cut to float32."""
    results = evaluate_many(datapath_unit(load_datapath(name), "dot"), columns(name))["result"]
    assert [value(bits) for bits in results] == [value(bits) for bits in captured(name)["d"]]


@pytest.mark.parametrize("name", NAMES)
def test_reference_gives_the_results_of_mmasim(name: str) -> None:
    """The same of the exact reference, on every tenth row."""
    unit, table = datapath_unit(load_datapath(name), "dot"), columns(name)
    for i in range(0, len(captured(name)["d"]), 10):
        result = evaluate(unit, {port: column[i] for port, column in table.items()})["result"]
        assert value(result) == value(captured(name)["d"][i])


@pytest.mark.parametrize("name", SUITES)
def test_every_case_of_the_suite_was_given_to_mmasim(name: str) -> None:
    """The claim of the suite's verified_by: each case whose tensor scales are 1 is a captured row, and has its result.

    Left out are sums of MX9, MX6 and MX4 with a step of exponents below -126, where MMA-Sim's end.
    """
    suite = read_suite(suite_path(None, "dot", name))
    rows = captured(name)
    known = {(a, w, c): value(d) for a, w, c, d in zip(rows["activation"], rows["weight"], rows["bias"], rows["d"], strict=True)}
    left_out = 0
    steps = suite.unit.port("largest_exponents")
    for case in suite.cases:
        if {case.values.get(f"{side}_scale0", ONE) for side in ("activation", "weight")} != {ONE}:
            left_out += 1
            continue
        if name.endswith("_bdr") and min(steps.split(case.values[steps.name])) < -126:
            left_out += 1
            continue
        key = tuple(case.values[port] for port in ("activation", "weight", "bias"))
        assert known[key] == value(case.values["result"]), f"case {case.id}"
    assert left_out == 0 or name == "nvfp4_tcgen05" or name.endswith("_bdr")
    assert left_out < len(suite.cases) // 3
    assert suite.verified_by == (provenance.MMASIM_PARTS if name.endswith("_bdr") else provenance.MMASIM,)
