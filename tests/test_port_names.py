"""Keys of [ports]: the ports of units of every kind of a datapath, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from qsim.cli import main
from qsim.datapath.datapaths import datapath_names, datapaths, load_datapath
from qsim.golden.unit import Unit
from qsim.golden.write_suite import applicable, format_k
from qsim.spec import SpecError
from qsim.spec.datapath import Datapath
from qsim.spec.port_names import PARAMETERS, SETTINGS, port_names

FILE = """
name = "mine"
activation.format = "int8"
weight.format = "int8"
accumulator = { bits = 16, overflow = "saturate" }
requantizer = { preset = "tflite_double", out_format = "int8" }
[ports]
k = 4
module = "mine"
"""


def units(d: Datapath) -> Iterator[Unit]:
    """Units of every kind that the datapath can be."""
    if d.activation is None or d.weight is None:
        return
    sizes = [fmt.block_size for fmt in (d.activation, d.weight) if fmt.block_scales]
    k = 4 * max(sizes, default=8)
    for kind in ("dot", "matmul", "chain", *(["requantize"] if d.requantizer is not None else [])):
        yield Unit(kind, d, None, k, 2, 2, applicable(d, kind))
    stochastic = (("rounding", "stochastic"),)
    yield Unit("chain", d, None, k, 2, 2, applicable(d, "chain"), stochastic)
    for fmt in (d.activation, d.weight):
        yield Unit("encode", d, fmt, format_k(fmt), options=stochastic)
        yield from (Unit(kind, d, fmt, format_k(fmt)) for kind in ("encode", "pack"))


@pytest.mark.parametrize("name", datapath_names())
def test_every_port_of_every_kind_is_a_key(name: str) -> None:
    d = datapaths()[name]
    found = {port.name for unit in units(d) for port in unit.ports}
    assert found <= set(port_names(d))
    assert not found & set(SETTINGS)


def test_every_key_is_a_port_of_some_datapath() -> None:
    """Nothing is allowed that no unit has."""
    found = {port.name for name in datapath_names() for unit in units(datapaths()[name]) for port in unit.ports}
    assert {key for name in datapath_names() for key in port_names(datapaths()[name])} <= found | set(PARAMETERS)


def test_taps_of_another_accumulator_are_no_keys() -> None:
    """A requantizer's steps, a chunked sum's spill, a block's sums: only where the datapath has them."""
    plain, chunked = port_names(load_datapath("int8_saturate16")), port_names(load_datapath("fbgemm_acc16"))
    assert not [name for name in plain if "." in name or name in ("spill", "corrected", "block_dots", "scale", "acc")]
    assert {*PARAMETERS, "products", "partial_sums", "accumulator", "result"} <= set(plain)
    assert "spill" in chunked


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('partial_sum = "s"', "unknown key 'partial_sum' = 's'; allowed: k, m, n, module"),
        ('requantizer.step0 = "s"', 'ports of this datapath: .*"requantizer.step0"'),
        ('"requantizer.step2" = "s"', "unknown key 'requantizer.step2'"),
        ('spill = "s"', "unknown key 'spill'"),
        ('Clock = "clk"', "unknown key 'Clock' = 'clk'; allowed: .*clock"),
    ],
)
def test_an_unknown_key_is_refused_where_the_file_is_read(line: str, message: str, tmp_path: Path) -> None:
    """The error names the file, the key, its value, and what is allowed; the command's exit code is 2."""
    path = tmp_path / "mine.toml"
    path.write_text(FILE + line + "\n")
    with pytest.raises(SpecError, match=message) as refused:
        load_datapath(path)
    assert str(path) in str(refused.value)
    assert CliRunner().invoke(main, ["golden", "write", str(path)]).exit_code == 2
    path.write_text(FILE)
    assert load_datapath(path).ports["k"] == 4
