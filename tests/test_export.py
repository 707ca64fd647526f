"""Exports read back to the same suite; the generated testbench passes right designs and nothing else, in two simulators."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qsim.cli import main
from qsim.datapath.datapaths import load_datapath, parse_datapath
from qsim.golden.export import FORMATS, export, import_suite
from qsim.golden.export.manifest import MANIFEST
from qsim.golden.simulate import SIMULATORS, Program, available, compile_bench, run, simulate
from qsim.golden.suite import Case, Suite, encode_unit
from qsim.golden.unit import Unit
from qsim.golden.unit_reference import evaluate
from qsim.golden.vectors import GoldenError
from qsim.spec import SpecError, load_format
from qsim.spec.datapath import Datapath

RTL = Path(__file__).parent / "rtl"
DESIGN = RTL / "bench_dot.sv"
WRONG = RTL / "bench_wrong.sv"
MX9 = {
    "activation": {"format": "mx9"},
    "weight": {"format": "mx9"},
    "accumulator": {"kind": "block", "into": "float", "unit": {"like": "hopper"}},
}
INT8 = {
    "activation": {"format": "int8"},
    "weight": {"format": "int8"},
    "accumulator": {"bits": 12, "overflow": "saturate"},
}
PORTS: dict[str, Any] = {
    "k": 4,
    "module": "bench_dot",
    "activation": "a",
    "weight": "w",
    "products": "products",
    "accumulator": "acc",
}
PIPE = {"module": "bench_dot_pipe", "clock": "clk", "reset": "rst_n", "reset_low": True, "latency": 2}
STREAM = {
    "module": "bench_dot_stream",
    "clock": "clk",
    "reset": "rst",
    "in_valid": "in_valid",
    "in_ready": "in_ready",
    "out_valid": "out_valid",
    "out_ready": "out_ready",
}


def datapath(table: dict[str, Any]) -> Datapath:
    return parse_datapath(table, "mine", "mine", Path())


def suite_of(unit: Unit, count: int, name: str = "mine", seed: int = 1) -> Suite:
    """Random patterns that the unit accepts, and a comment and a mask in some cases."""
    generator = random.Random(seed)
    cases: list[Case] = []
    for _ in range(100 * count):
        inputs = {port.name: generator.getrandbits(port.bits) for port in unit.inputs}
        try:
            values = inputs | evaluate(unit, inputs)
        except ValueError:
            continue
        cases.append(Case(len(cases) + 1, ("Random",), values, "the first" if not cases else ""))
        if len(cases) == count:
            break
    return Suite(name, unit, tuple(cases), {"Random": "random bits"}, seed)


def masked(suite: Suite) -> Suite:
    """Don't-care bits: some of the result in every second case, all of it in the third, a mask of zero in the first."""
    width = suite.unit.port("result").bits
    masks = {0: {"result": 0}, 1: {"result": 5}, 2: {"result": (1 << width) - 1}}
    return replace(suite, cases=tuple(replace(c, masks=masks.get(i, {})) for i, c in enumerate(suite.cases)))


UNITS = {
    "int8 dot": lambda: Unit("dot", load_datapath("tflite_conv"), k=16, parameters=("bias", "a_zero_point", "clamp")),
    "mx9 dot": lambda: Unit("dot", datapath(MX9), k=32),
    "vsq4 dot": lambda: Unit("dot", datapath(MX9 | {"activation": {"format": "vsq4"}, "weight": {"format": "vsq4"}}), k=32),
    "matmul": lambda: Unit("matmul", load_datapath("int8_saturate16"), k=8, m=3, n=2),
    "requantize": lambda: Unit("requantize", load_datapath("tflite_conv"), k=1, parameters=("out_zero_point",)),
    "encode": lambda: encode_unit("mxfp8_e4m3", k=32),
    "pack": lambda: encode_unit("mxfp4", k=32, kind="pack"),
    "chain": lambda: Unit("chain", datapath(MX9), k=16),
}


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize("to", FORMATS)
def test_every_export_reads_back_to_the_same_suite(kind: str, to: str, tmp_path: Path) -> None:
    suite = masked(suite_of(UNITS[kind](), 7))

    found = export(suite, to, tmp_path / "vectors")
    back = import_suite(tmp_path / "vectors")

    assert back.text() == suite.text()
    assert found["digest"] == suite.digest
    assert sorted(path.name for path in (tmp_path / "vectors").iterdir()) == sorted([MANIFEST, *found["files"]])
    for file in (tmp_path / "vectors").glob("vectors.*"):
        if file.suffix in (".npz", ".jsonl"):
            assert import_suite(file).text() == suite.text()


def test_memory_images_have_the_form_of_the_contract(tmp_path: Path) -> None:
    """A comment, a word a line with all its digits, in the order of the cases; fields and exclusive or in the manifest."""
    suite = suite_of(Unit("dot", datapath(MX9), k=32), 3)

    found = export(suite, "readmemh", tmp_path / "hex")
    export(suite, "readmemb", tmp_path / "bin")

    words = suite.column("activation")
    assert (tmp_path / "hex" / "activation.hex").read_text() == (
        "// activation: 288 bits, 3 words\n" + "".join(f"{word:072x}\n" for word in words)
    )
    assert (tmp_path / "bin" / "activation.bin").read_text().splitlines()[1:] == [f"{word:0288b}" for word in words]
    entry = found["ports"][0]
    assert entry["fields"] == [
        {"name": "element", "lsb": 0, "width": 8, "count": 16},
        {"name": "scale0", "lsb": 128, "width": 1, "count": 8},
        {"name": "scale1", "lsb": 136, "width": 8, "count": 1},
    ]
    assert int(entry["xor"], 16) == words[0] ^ words[1] ^ words[2]
    assert json.loads((tmp_path / "hex" / MANIFEST).read_text()) == found


EDITS = {
    b'"xor": "0x': b'"xor": "0x1',
    b'"kind": "dot"': b'"kind": "chain"',
    b'"k": 4': b'"k": 5',
    b'"cases": 5': b'"cases": 4',
    b'"ids": [1, 2': b'"ids": [2, 1',
    b'"Random"': b'"Lucky"',
    b'"the first"': b'""',
    b'"overflow": "saturate"': b'"overflow": "wrap"',
    b'"digest": "': b'"digest": "0',
    b'"whole": "': b'"whole": "0',
    b'"role": "tap"': b'"role": "operand"',
    b'"head": {': b'"head": [',
    b'"schema": "vectors-1"': b'"schema": "vectors-2"',
    b'"to": "': b'"to": "x',
}


@pytest.mark.parametrize("to", FORMATS)
def test_a_changed_export_does_not_read_back(to: str, tmp_path: Path) -> None:
    """One changed character in any file, or a missing file, is an error that names it."""
    suite = suite_of(Unit("dot", datapath(INT8 | {"ports": PORTS}), k=4), 5)
    folder = tmp_path / "vectors"
    files = [MANIFEST, *export(suite, to, folder)["files"]]
    for name in files:
        data = (folder / name).read_bytes()
        for old, new in {MANIFEST: EDITS}.get(name, {data[-9:]: data[-9:].swapcase() + b" "}).items():
            assert data.count(old) >= 1
            (folder / name).write_bytes(data.replace(old, new))
            with pytest.raises(GoldenError, match=name if name != MANIFEST else str(folder)):
                import_suite(folder)
        (folder / name).unlink()
        with pytest.raises(GoldenError, match=f"{name}: no such file"):
            import_suite(folder)
        (folder / name).write_bytes(data)
    assert import_suite(folder).digest == suite.digest


def test_one_case_alone_is_no_suite(tmp_path: Path) -> None:
    suite = suite_of(Unit("dot", datapath(INT8), k=4), 5)

    found = export(suite, "readmemh", tmp_path / "one", case=4)

    assert (found["ids"], found["whole"]) == ([4], suite.digest)
    with pytest.raises(GoldenError, match="case 4 of suite mine alone"):
        import_suite(tmp_path / "one")
    with pytest.raises(GoldenError, match="no case 6; allowed: 1 to 5"):
        export(suite, "readmemh", tmp_path / "one", case=6)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    suite = suite_of(Unit("dot", datapath(INT8), k=4), 2)
    folder = tmp_path / "vectors"
    export(suite, "readmemh", folder)
    export(suite, "npz", folder)
    assert sorted(p.name for p in folder.iterdir()) == [MANIFEST, "vectors.npz"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds notes\.txt"):
        export(suite, "readmemh", folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(ValueError, match="no earlier export"):
        export(suite, "readmemh", folder)
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="no folder"):
        export(suite, "readmemh", tmp_path / "absent" / "vectors")


def test_a_full_disk_leaves_the_earlier_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file; nothing half-written stays."""
    suite = suite_of(Unit("dot", datapath(INT8), k=4), 2)
    folder = tmp_path / "vectors"
    export(suite, "readmemh", folder)
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        export(suite, "readmemb", folder)
    assert str(caught.value.filename).endswith(".bin")
    assert [p.name for p in tmp_path.iterdir()] == ["vectors"]
    assert import_suite(folder).digest == suite.digest


BAD_PORTS = {
    "a port twice": ({"weight": "a"}, "two keys name the port 'a'"),
    "a name that is no port": ({"lane_sum": "x"}, "unknown key 'lane_sum'"),
    "no identifier": ({"activation": "a b"}, "activation = 'a b'"),
    "another size": ({"k": 8}, "k = 8, but the suite has 4"),
    "latency without clock": ({"latency": 1}, "'latency' without clock"),
    "clock alone": ({"clock": "clk"}, "clock needs either latency or in_valid"),
    "half a handshake": ({"clock": "clk", "in_valid": "v"}, "allowed: in_valid and out_valid"),
    "parameters": ({"parameters": {"K": "4"}}, "allowed: a table of integers"),
}


@pytest.mark.parametrize("wrong", BAD_PORTS)
def test_wrong_ports_are_refused(wrong: str, tmp_path: Path) -> None:
    change, message = BAD_PORTS[wrong]
    suite = suite_of(Unit("dot", datapath(INT8), k=4), 2)
    with pytest.raises(SpecError, match=message):
        export(suite, "readmemh", tmp_path / "v", ports=PORTS | change)


def test_a_design_needs_operands_outputs_and_what_the_cases_use(tmp_path: Path) -> None:
    """A parameter without a port must hold its default in every case; one that no compared output needs may be anything."""
    plain = suite_of(Unit("dot", datapath(INT8), k=4), 3)
    for name, message in (("weight", "operand 'weight'"), ("module", "'module' is missing")):
        with pytest.raises(SpecError, match=message):
            export(plain, "readmemh", tmp_path / "v", ports={k: v for k, v in PORTS.items() if k != name})
    with pytest.raises(SpecError, match="no output"):
        export(plain, "readmemh", tmp_path / "v", ports={k: v for k, v in PORTS.items() if k not in ("products", "accumulator")})
    biased = suite_of(Unit("dot", datapath(INT8), k=4, parameters=("bias",)), 3)
    with pytest.raises(SpecError, match=r"case 1 has bias = 0x\w+, and the design has no port for it"):
        export(biased, "readmemh", tmp_path / "v", ports=PORTS)
    zero = replace(biased, cases=tuple(replace(c, values=c.values | {"bias": 0}) for c in biased.cases))
    assert export(zero, "readmemh", tmp_path / "v", ports=PORTS)["bench"]["driven"] == ["activation", "weight"]


# Simulators. A missing one is a reason to skip, except in CI.

CI = os.environ.get("CI") == "true"
SIMULATED = [
    pytest.param(
        name, marks=[pytest.mark.rtl, pytest.mark.skipif(not available(name) and not CI, reason=f"{name} is not installed")]
    )
    for name in SIMULATORS
]
ICARUS = pytest.mark.skipif(not available("icarus") and not CI, reason="iverilog is not installed")
dots = pytest.mark.parametrize("simulator", SIMULATED, scope="module")


@pytest.fixture(scope="module")
def suite() -> Suite:
    """Saturating sums, and a first and a last case whose words hold zeros, which a simulator without X could make up."""
    unit = Unit("dot", datapath(INT8), k=4)
    found = suite_of(unit, 300)
    ends = {0: (0, 0), len(found.cases) - 1: (0x00000001, 0x00000002)}
    cases = list(found.cases)
    for i, (a, w) in ends.items():
        inputs = {"activation": a, "weight": w}
        cases[i] = Case(i + 1, ("Random",), inputs | evaluate(unit, inputs))
    return replace(found, cases=tuple(cases))


@pytest.fixture(scope="module")
def bench(simulator: str, suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Program]:
    """The combinational design, compiled once."""
    folder = tmp_path_factory.mktemp(simulator)
    export(suite, "readmemh", folder / "vectors", ports=PORTS)
    (folder / "build").mkdir()
    return folder / "vectors", compile_bench(folder / "vectors", [DESIGN], folder / "build", simulator=simulator)


@dots
def test_the_right_design_passes_and_what_it_gives_is_written(
    simulator: str, bench: tuple[Path, Program], suite: Suite, tmp_path: Path
) -> None:
    folder, program = bench
    found = run(program, folder, out=tmp_path)

    assert found.problems == ()
    assert (found.cases, found.mismatches, found.undefined, found.exit_code) == (300, 0, 0, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["accumulator.hex", "products.hex"]
    for name in ("accumulator", "products"):
        lines = (tmp_path / f"{name}.hex").read_text().splitlines()
        assert [int(line, 16) for line in lines[1:]] == suite.column(name)


def damaged(lines: list[str], how: str) -> list[str] | None:
    """A file's lines, damaged; None: no file."""
    words = lines[1:]
    last = words[-1]
    changes: dict[str, list[str] | None] = {
        "missing": None,
        "empty": [],
        "without its last word": lines[:-1],
        "with a word more": [*lines, last],
        "one bit": [lines[0], *words[:5], f"{int(words[5], 16) ^ 1:0{len(last)}x}", *words[6:]],
        "the last word zero": [*lines[:-1], "0" * len(last)],
        "an undefined digit": [lines[0], "x" + words[0][1:], *words[1:]],
        "all of a word undefined": [lines[0], "x" * len(last), *words[1:]],
        "two words exchanged": [lines[0], words[1], words[0], *words[2:]],
        "a wide word": [lines[0], "1" + words[0], *words[1:]],
        "an address": [lines[0], "@1", *words[:-1]],
    }
    return changes[how]


DAMAGE = (
    "missing", "empty", "without its last word", "with a word more", "one bit", "the last word zero", "an undefined digit",
    "all of a word undefined", "two words exchanged", "a wide word", "an address",
)  # fmt: skip


@dots
@pytest.mark.parametrize("port", ["activation", "accumulator"])
@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_vectors_fail(simulator: str, bench: tuple[Path, Program], port: str, how: str, tmp_path: Path) -> None:
    """Whatever happens to an operand or to an expected value, the run fails; also where a zero could stand in for it."""
    folder, program = bench
    shutil.copytree(folder, tmp_path / "v")
    path = tmp_path / "v" / f"{port}.hex"
    lines = damaged(path.read_text().splitlines(), how)
    path.unlink()
    if lines is not None:
        path.write_text("".join(line + "\n" for line in lines))

    found = run(program, tmp_path / "v")

    assert not found.passed
    assert found.exit_code != 0, "also without the driver"


@dots
def test_a_run_without_vectors_or_of_another_suite_fails(
    simulator: str, bench: tuple[Path, Program], suite: Suite, tmp_path: Path
) -> None:
    _, program = bench
    other = tmp_path / "other"
    export(replace(suite, cases=suite.cases[:200]), "readmemh", other, ports=PORTS)
    found = run(program, other)
    assert not found.passed
    assert found.exit_code != 0
    empty = subprocess.run([*program.command, *program.arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert empty.returncode != 0
    assert "cannot open ./activation.hex" in empty.stdout + empty.stderr


@pytest.mark.rtl
@ICARUS
@pytest.mark.parametrize(
    ("module", "defines", "problem"),
    [
        ("bench_extra", (), "input carry of the design is not connected"),
        ("bench_narrow", (), "port a has 31 bits, activation has 32"),
        ("bench_liar", (), "the simulation ended before the last case"),
        ("bench_silent", (), "300 mismatches"),
        ("bench_dot", ("STOP",), "the simulation ended before the last case"),
    ],
)
def test_icarus_fails_wrong_designs(module: str, defines: tuple[str, ...], problem: str, suite: Suite, tmp_path: Path) -> None:
    _wrong("icarus", module, defines, problem, suite, tmp_path)


@pytest.mark.rtl
@pytest.mark.skipif(not available("verilator") and not CI, reason="verilator is not installed")
@pytest.mark.parametrize(
    ("module", "problem"),
    [("bench_extra", "input carry of the design is not connected"), ("bench_narrow", "port a has 31 bits, activation has 32")],
)
def test_verilator_fails_wrong_designs(module: str, problem: str, suite: Suite, tmp_path: Path) -> None:
    """These two, which a simulator without X could let pass."""
    _wrong("verilator", module, (), problem, suite, tmp_path)


def _wrong(simulator: str, module: str, defines: tuple[str, ...], problem: str, suite: Suite, folder: Path) -> None:
    export(suite, "readmemh", folder / "v", ports=PORTS | {"module": module})
    found = simulate(folder / "v", [DESIGN, WRONG], simulator=simulator, defines=defines)
    assert not found.passed
    assert any(problem in p for p in found.problems), found.problems


@pytest.mark.rtl
@ICARUS
def test_a_simulation_that_hangs_is_ended(suite: Suite, tmp_path: Path) -> None:
    export(suite, "readmemh", tmp_path / "v", ports=PORTS)
    found = simulate(tmp_path / "v", [DESIGN], defines=["HANG"], timeout=1)
    assert found.problems == ("no end within 1 seconds", "0 lines RESULT, wanted 1")


@dots
@pytest.mark.parametrize("timing", ["pipe", "stream"])
def test_clocked_designs(simulator: str, timing: str, suite: Suite, tmp_path: Path) -> None:
    """Fixed latency, active-low reset, binary images; valid and ready with pauses on both sides."""
    export(suite, "readmemb", tmp_path / "v", ports=PORTS | (PIPE if timing == "pipe" else STREAM))
    found = simulate(tmp_path / "v", [DESIGN], simulator=simulator)
    assert found.problems == (), found.output
    assert found.cases == 300


@pytest.mark.rtl
@ICARUS
def test_wrong_timing_fails(suite: Suite, tmp_path: Path) -> None:
    """Another latency; results that get lost, or change while they wait."""
    many = replace(suite, cases=tuple(replace(c, id=i) for i, c in enumerate(suite.cases * 4, 1)))
    for latency in (1, 3):
        export(suite, "readmemh", tmp_path / "v", ports=PORTS | PIPE | {"latency": latency})
        found = simulate(tmp_path / "v", [DESIGN])
        assert found.mismatches > 290
        assert "MISMATCH case=2 stage=products expected=" in found.output
    export(many, "readmemh", tmp_path / "v", ports=PORTS | STREAM)
    found = simulate(tmp_path / "v", [DESIGN], defines=["DROP"])
    assert any("no transfer in 10000 cycles" in p for p in found.problems), found.problems
    export(suite, "readmemh", tmp_path / "v", ports={k: v for k, v in (PORTS | STREAM).items() if k != "out_ready"})
    assert not simulate(tmp_path / "v", [DESIGN]).passed  # out_ready is an input that nothing drives


BACK_PRESSURE = {
    "UNSTABLE": "the result changed before it was taken",
    "IGNORES_READY": "before",
    "OVERRUN": "no transfer in 10000 cycles",
}


@pytest.mark.rtl
@ICARUS
@pytest.mark.parametrize("cases", [12, 60])
@pytest.mark.parametrize("define", BACK_PRESSURE)
def test_back_pressure_begins_at_once(define: str, cases: int, suite: Suite, tmp_path: Path) -> None:
    """A dozen cases are enough for a design that changes a result that waits, does not wait, or takes operands it has no room for."""
    export(replace(suite, cases=suite.cases[:cases]), "readmemh", tmp_path / "v", ports=PORTS | STREAM)
    assert simulate(tmp_path / "v", [DESIGN]).passed
    found = simulate(tmp_path / "v", [DESIGN], defines=[define])
    assert not found.passed
    assert any(BACK_PRESSURE[define] in p for p in found.problems), found.problems


@pytest.mark.rtl
@ICARUS
def test_bits_that_do_not_matter_are_not_compared(suite: Suite, tmp_path: Path) -> None:
    """A mask hides a wrong bit, and only that one; the first mismatches show id, stage, expected and got."""
    cases = list(suite.cases)
    cases[6] = replace(cases[6], values=cases[6].values | {"accumulator": cases[6].values["accumulator"] ^ 0x401})
    for mask, wrong in ((0x401, 0), (0x400, 1), (0, 1)):
        cases[6] = replace(cases[6], masks={"accumulator": mask})
        export(replace(suite, cases=tuple(cases)), "readmemh", tmp_path / "v", ports=PORTS)
        found = simulate(tmp_path / "v", [DESIGN])
        assert (found.mismatches, found.passed) == (wrong, not wrong)
    expected, got = cases[6].values["accumulator"], suite.cases[6].values["accumulator"]
    assert f"MISMATCH case=7 stage=accumulator expected={expected:03x} got={got:03x}" in found.output
    one = export(replace(suite, cases=tuple(cases)), "readmemh", tmp_path / "v", case=7, ports=PORTS)
    found = simulate(tmp_path / "v", [DESIGN])
    assert one["ids"] == [7]
    assert (found.cases, found.mismatches) == (1, 1)
    assert "MISMATCH case=7 stage=accumulator" in found.output


PACKAGED = ("mx9", "vsq4", "mxfp8_e4m3", "mxfp6_e3m2", "mxfp4", "nvfp4", "mxint8", "int8", "uint8", "binary", "ternary", "fp16")


@dots
def test_functions_of_the_package(simulator: str, tmp_path: Path) -> None:
    """Every code of every field: finite, and significand * 2^exponent, are those of the format; fields of a word are P3's."""
    modules, wanted = [], []
    for name in PACKAGED:
        fmt = load_format(name)
        k = fmt.block_size
        package = suite_of(encode_unit(name, k=k, kind="encode" if fmt.zero_point else "pack"), 2, name)
        export(package, "sv", tmp_path / name)
        fields = [("element", fmt.element)] + [(f"scale{i}", s) for i, s in enumerate(fmt.scales)]
        body = []
        for field, kind in fields:
            own = f"{name}_{field}"
            bits = kind.bits
            step = 1 if bits <= 8 else 257 if bits <= 16 else 16777259
            body.append(
                f"    for (i = 0; i < {1 << bits if bits < 31 else 2147483647 - step}; i = i + {step}) begin code = i;"
                f' $display("{own} %0d %0d %0d %0d", i, {own}_finite(code[{bits - 1}:0]),'
                f" {own}_significand(code[{bits - 1}:0]), {own}_exponent(code[{bits - 1}:0])); end"
            )
            for code in range(0, 1 << bits if bits < 31 else 2147483647 - step, step):
                wanted.append((own, code, kind.value(code)))
        word = package.cases[0].values["result"]
        body.append(f"    word = {fmt.word_bits}'h{word:x}; fields = word;")
        low = 0
        for field, width, count in fmt.word_fields:
            body.append(
                f'    for (i = 0; i < {count}; i = i + 1) $display("{name}_{field}_at %0d %0d", i, {name}_{field}(word, i));'
            )
            wanted += [(f"{name}_{field}_at", i, word >> low + width * i & (1 << width) - 1) for i in range(count)]
            body.append(f'    $display("{name}_{field}_all %0d", fields.{field} == word[{low} +: {width * count}]);')
            wanted.append((f"{name}_{field}_all", 1, None))
            low += width * count
        text = f"module use_{name};\n  import {name}_pkg::*;\n  integer i; reg [31:0] code; reg [{fmt.word_bits - 1}:0] word;\n"
        text += f"  {name}_word_t fields;\n  initial begin\n" + "\n".join(body) + "\n  end\nendmodule\n"
        modules.append(text)
    top = "module tb;\n" + "".join(f"  use_{name} i_{name} ();\n" for name in PACKAGED) + "  initial #1 $finish;\nendmodule\n"
    (tmp_path / "tb.sv").write_text("`timescale 1ns/1ps\n" + "".join(modules) + top)
    sources = [tmp_path / name / f"{name}_pkg.sv" for name in PACKAGED]

    output = _output(simulator, [*sources, tmp_path / "tb.sv"], tmp_path)

    rows = {
        tuple(line.split()[:2]): line.split()[2:]
        for line in output.splitlines()
        if line.split("_")[0] in {n.split("_")[0] for n in PACKAGED}
    }
    for own, code, value in wanted:
        row = rows[own, str(code)]
        if value is None:
            assert row == [], own
        elif own.endswith("_at"):
            assert row == [str(value)], (own, code)
        elif isinstance(value, str):
            assert row[0] == "0", (own, code, value)
        else:
            assert row[0] == "1", (own, code, value)
            assert int(row[1]) * Fraction(2) ** int(row[2]) == value, (own, code)


def _output(simulator: str, sources: list[Path], folder: Path) -> str:
    """What a bench of ours prints."""
    from qsim.golden import simulate as module

    compiler = module._icarus if simulator == "icarus" else module._verilator
    program = compiler([str(p) for p in sources], [], (), folder)
    result = subprocess.run([*program.command, *program.arguments], capture_output=True, text=True, check=True)
    return result.stdout


@pytest.mark.skipif(shutil.which("gcc") is None and not CI, reason="no C compiler (in CI this fails)")
def test_the_header_compiles_and_holds_the_patterns(tmp_path: Path) -> None:
    suite = masked(suite_of(Unit("dot", datapath(MX9), k=32), 5))
    export(suite, "c", tmp_path / "v")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "v/vectors.h"\nint main(void) {\n'
        "  for (int i = 0; i < MINE_CASES; i++) {\n"
        '    printf("%u", mine_cases[i].id);\n'
        '    for (int j = 4; j >= 0; j--) printf("%s%016llx", j == 4 ? " " : "", (unsigned long long)mine_cases[i].activation[j]);\n'
        '    printf(" %08x\\n", mine_cases[i].result);\n  }\n'
        '  printf("%u %u %d\\n", mine_masks[1].id, mine_masks[1].result, ACTIVATION_LSB);\n  return 0;\n}\n'.replace(
            "ACTIVATION_LSB", "MINE_ACTIVATION_WORD_SCALE1_LSB"
        )
    )
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-o", str(tmp_path / "a"), str(tmp_path / "main.c")]
    subprocess.run(command, check=True)
    lines = subprocess.run([str(tmp_path / "a")], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == [f"{c.id} {c.values['activation']:080x} {c.values['result']:08x}" for c in suite.cases] + ["2 5 136"]


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export, import, the same file; errors name file and value, exit 2, and write nothing."""
    monkeypatch.chdir(tmp_path)
    suite = suite_of(Unit("dot", datapath(INT8 | {"ports": PORTS}), k=4), 5)
    Path("s.json").write_text(suite.text())

    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["golden", *arguments])
        return result.exit_code, result.output

    code, text = call("export", "s.json", "--to", "sv", "v")
    assert (code, text) == (0, "v: 5 cases, 9 files\ntb.sv drives bench_dot and compares products, accumulator\n")
    assert call("import", "v", "--out", "back.json")[0] == 0
    assert Path("back.json").read_text() == suite.text()
    assert call("export", "s.json", "--to", "vhdl", "w")[0] == 2
    assert call("export", "absent.json", "--to", "c", "w") == (2, "Error: absent.json: no such file\n")
    assert call("export", "s.json", "--to", "c", "w", "--case", "9")[0] == 2
    assert call("import", "w", "--out", "x.json") == (2, "Error: w: no such file or folder\n")
    Path("v/result.hex").write_text(Path("v/result.hex").read_text()[:-4])
    code, text = call("import", "v", "--out", "x.json")
    assert code == 2
    assert text.startswith("Error: v/result.hex: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back.json", "s.json", "v"]
