"""What a user of suites can do wrong on the command line, and files that are not plain files."""

from __future__ import annotations

import os
import re
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import qsim.cli.list
from qsim.cli import main
from qsim.cli.common import written
from qsim.datapath.datapaths import load_datapath
from qsim.golden.export import export
from qsim.golden.export.bench import parse_bench
from qsim.golden.identify import investigate
from qsim.golden.literal import parse_literal
from qsim.golden.outputs import read_outputs
from qsim.golden.suite import read_suite
from qsim.golden.unit import Port
from qsim.golden.unit_kernels import evaluate_many
from qsim.golden.write_suite import datapath_unit, suite_path
from qsim.spec import SpecError

RTL = Path(__file__).parent / "rtl"


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and all that was printed."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    return result.exit_code, result.output


def test_devices_and_pipes_are_written_to_and_links_followed(tmp_path: Path) -> None:
    """Only a plain file is replaced: a pipe stays a pipe, a link stays a link and its file has the contents."""
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    for name in ("pipe", "link"):
        with written(tmp_path / name) as (file,):
            file.write(b"new")
    reader.join()
    assert got == [b"new"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    """/dev/full is a device that refuses every byte."""
    (tmp_path / "out").symlink_to("/dev/full")
    code, text = run("golden", "export", "dot/binary_popcount", "--to", "npz", tmp_path / "v")
    assert code == 0, text
    code, text = run("golden", "import", tmp_path / "v", "--out", tmp_path / "out")
    assert (code, text) == (2, f"Error: {tmp_path / 'out'}: No space left on device\n")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_an_interrupt_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 means a mismatch; Ctrl-C gives 130."""

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(qsim.cli.list.command, "callback", interrupted)
    assert run("list", "formats") == (130, "Interrupted\n")


def test_a_deep_file_is_no_suite(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    code, text = run("golden", "export", tmp_path / "deep.json", "--to", "c", tmp_path / "v")
    assert code == 2
    assert text.startswith(f"Error: {tmp_path / 'deep.json'}: not a readable suite: ")


def test_mutants_of_no_name_are_bad_use() -> None:
    assert run("golden", "mutants", "dot/int8_saturate16", "--only", "no such mutant")[0] == 2


def test_ports_of_a_design_that_computes_something_else_are_refused(tmp_path: Path) -> None:
    """The error names the fields that differ; the same arithmetic under another name is taken."""
    code, text = run(
        "golden", "export", "dot/int8_saturate16", "--to", "readmemh", tmp_path / "v", "--ports", RTL / "int8_dot.toml"
    )
    assert code == 2
    assert "differs from suite int8_saturate16 in accumulator.bias, accumulator.bits" in text
    code, text = run("golden", "export", "encode/mx6", "--to", "readmemh", tmp_path / "v", "--ports", RTL / "mx9_encode.toml")
    assert (code, "activation" in text) == (2, True)
    code, text = run("golden", "export", "encode/mx9", "--to", "readmemh", tmp_path / "v", "--ports", RTL / "mx9_encode.toml")
    assert code == 0, text


@pytest.mark.parametrize("ports", [{"module": "tb"}, {"module": "qsim_image"}, {"module": "m", "activation": "wire"}])
def test_names_that_verilog_or_the_bench_have_are_refused(ports: dict[str, str]) -> None:
    table = {"module": "m", "activation": "a", "weight": "w", "result": "y"} | ports
    with pytest.raises(SpecError, match="allowed: "):
        parse_bench(read_suite(suite_path(None, "dot", "int8_saturate16")), table)


def test_no_macro_of_the_header_is_defined_twice(tmp_path: Path) -> None:
    """A field of a word and a port may share a name."""
    export(read_suite(suite_path(None, "dot", "nvfp4_tcgen05")), "c", tmp_path / "v")
    names = re.findall(r"^#define (\w+)", (tmp_path / "v" / "vectors.h").read_text(), re.M)
    assert "NVFP4_TCGEN05_ACTIVATION_WORD_SCALE0_WIDTH" in names
    assert len(names) == len(set(names))


def test_one_case_alone_is_verified_alone(tmp_path: Path) -> None:
    """What the bench of one case writes starts at that case's address."""
    suite = read_suite(suite_path(None, "dot", "binary_popcount"))
    (tmp_path / "result.hex").write_text(f"@{6:08x}\n{suite.by_id[7].values['result']:08x}\n")
    assert run("verify", tmp_path, "--suite", "dot/binary_popcount", "--case", 7)[0] == 0
    code, text = run("verify", tmp_path, "--suite", "dot/binary_popcount", "--case", 8)
    assert (code, "compared 0 of 1" in text) == (1, True)
    assert run("verify", tmp_path, "--suite", "dot/binary_popcount", "--case", 999)[0] == 2


def test_floats_as_text_and_as_float64(tmp_path: Path) -> None:
    """A point or an exponent makes a value; digits alone stay a pattern. float64 that holds float32 values is taken."""
    port = Port("result", "result", 32, 1, "float32")
    texts = ("0.0", "-0.5", "1e3", "inf", "1065353216", "0x3f800000")
    patterns = [0, 0xBF000000, 0x447A0000, 0x7F800000, 0x3F800000, 0x3F800000]
    assert [parse_literal(text, port)[0] for text in texts] == patterns
    unit = datapath_unit(load_datapath("mx9_bdr"), "dot")
    (tmp_path / "r.csv").write_text("\ufeffid,result\n1,0.0\n2,-0.5\n")
    assert read_outputs(tmp_path / "r.csv", unit).columns["result"].words.ravel().tolist() == [0, 0xBF000000]
    np.save(tmp_path / "r.npy", np.array([1.5, -0.5]))
    assert read_outputs(tmp_path / "r.npy", unit).columns["result"].words.ravel().tolist() == [0x3FC00000, 0xBF000000]
    np.save(tmp_path / "r.npy", np.array([1.5, 0.1]))
    with pytest.raises(ValueError, match=r"row 1: float64 .* is no float32 value"):
        read_outputs(tmp_path / "r.npy", unit)


def test_of_equal_presets_the_nearest_is_named_first() -> None:
    """A 16-bit register that wraps gives what many wide registers give: the first named differs in overflow alone."""
    suite = read_suite(suite_path(None, "dot", "int8_saturate16"))
    unit = datapath_unit(load_datapath("int8_wrap16"), "dot")
    given = evaluate_many(unit, {p.name: [case.values[p.name] for case in suite.cases] for p in unit.inputs})
    best = investigate(np.array([(v ^ 0x8000) - 0x8000 for v in given["result"]]), suite).candidates[0]
    assert "int8_wrap16" in (best.name, *best.same_as)
