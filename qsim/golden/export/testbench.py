"""A self-checking SystemVerilog testbench: one module reads an image and proves it whole, `tb` drives and compares.

It keeps to what Icarus 11 and Verilator share, and fails by $fatal: a file missing, cut or changed, a port of another width,
an undefined bit, a case that was not compared, a simulation that ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qsim import __version__
from qsim.golden.bits import hexed
from qsim.golden.export.bench import Bench
from qsim.golden.export.images import Image
from qsim.golden.export.manifest import identifier
from qsim.golden.export.timing import stimulus
from qsim.golden.suite import Suite
from qsim.golden.unit import Port

SHOWN = 10  # mismatches printed in full

IMAGE = """\
// One memory image: a comment and CASES words, each on a line. FOLD is of every character of the file, in order:
// lines summed as numbers, and those sums summed, both in 64-bit limbs.
module qsim_image;
  parameter integer WIDTH = 1, CASES = 1, CHARACTERS = 8;
  parameter [63:0] FOLD = 0;
  reg [WIDTH-1:0] word [0:CASES-1];

  task load(input string path);
    integer file, lines, limb;
    reg [8*CHARACTERS-1:0] line, sum, sums;
    reg [63:0] folded;
    begin
      file = $fopen(path, "r");
      if (file == 0) $fatal(1, "cannot open %0s", path);
      sum = 0;
      sums = 0;
      lines = 0;
      while ($fgets(line, file) != 0) begin
        sum = sum + line;
        sums = sums + sum;
        lines = lines + 1;
      end
      $fclose(file);
      folded = 0;
      for (limb = 0; limb < CHARACTERS / 8; limb = limb + 1) folded = 3 * folded + sum[64*limb +: 64] + 5 * sums[64*limb +: 64];
      if (lines != CASES + 1) $fatal(1, "%0s: %0d lines, exported were %0d", path, lines, CASES + 1);
      if (folded !== FOLD) $fatal(1, "%0s: not the file that was exported", path);
      @READ@(path, word);
    end
  endtask
endmodule
"""


def testbench(suite: Suite, bench: Bench, images: Mapping[str, Image], masks: Mapping[str, Image], to: str) -> str:
    """The text of tb.sv. images, masks: by the names of the ports."""
    unit = suite.unit
    driven, compared = bench.driven(unit), bench.compared(unit)
    files = [images[p.name] for p in (*driven, *compared)] + [masks[p.name] for p in compared if p.name in masks]
    names = ", ".join(p.name for p in compared)
    parts = [
        "`timescale 1ns/1ps\n`default_nettype none",
        f"// Written by qsim {__version__}: {bench.module} against the {len(suite.cases)} cases of suite {suite.name}.",
        f"// Compared: {names}. The vectors: here, or +vectors=DIR. What the design gives: +out=DIR. Waves: +wave=FILE.vcd.",
        f"// It has passed if it prints one line RESULT with n={len(suite.cases)} mismatches=0, and ends with exit code 0.",
        IMAGE.replace("@READ@", f"${to}"),
        "module tb;",
        *_declarations(suite, driven, compared),
        *(_instance(f"image_{identifier(image.name)}", image, len(suite.cases)) for image in files),
        *_design(bench, driven, compared),
        *_tasks(suite, bench, driven, compared, masks, files),
        stimulus(bench, compared),
        "  final if (!finished) begin",
        '    $display("STOPPED after %0d of %0d cases", n, CASES);',
        '    $fatal(1, "the simulation ended before the last case");',
        "  end",
        "endmodule",
        "`default_nettype wire\n",
    ]
    return "\n".join(parts)


def _declarations(suite: Suite, driven: list[Port], compared: list[Port]) -> Iterable[str]:
    yield f"  localparam integer CASES = {len(suite.cases)};"
    yield f"  localparam integer FIRST = {suite.cases[0].id};  // id of the first case"
    yield f"  localparam integer SHOWN = {SHOWN};  // mismatches printed"
    yield "  string vectors, out, wave;"
    yield "  integer writing, n, mismatches, undefined;"
    yield "  reg finished;"
    for port in driven:
        name = identifier(port.name)
        yield f"  reg {_range(port)} in_{name}, fold_{name};"
    for port in compared:
        name = identifier(port.name)
        yield f"  wire {_range(port)} got_{name};"
        yield f"  reg {_range(port)} want_{name}, differs_{name}, fold_{name};"
        yield f"  integer file_{name};"


def _range(port: Port) -> str:
    return f"[{port.bits - 1}:0]"


def _instance(name: str, image: Image, cases: int) -> str:
    sizes = f".WIDTH({image.bits}), .CASES({cases}), .CHARACTERS({image.characters}), .FOLD(64'h{image.fold:016x})"
    return f"  qsim_image #({sizes}) {name} ();"


def _design(bench: Bench, driven: list[Port], compared: list[Port]) -> Iterable[str]:
    """The clock and the handshake, and the instance with every port by name."""
    pins = [(bench.wires[p.name], f"in_{identifier(p.name)}") for p in driven]
    pins += [(bench.wires[p.name], f"got_{identifier(p.name)}") for p in compared]
    if bench.clock:
        yield "  reg clock = 0;"
        yield "  always #5 clock = ~clock;"
        pins.append((bench.clock, "clock"))
    if bench.reset:
        yield f"  reg reset = {int(not bench.reset_low)};"
        pins.append((bench.reset, "reset"))
    if bench.in_valid:
        yield "  reg in_valid = 0, out_ready = 0;"
        yield "  wire out_valid;"
        yield "  wire in_ready;" if bench.in_ready else "  wire in_ready = 1;"
        handshake = ("in_valid", "in_ready", "out_valid", "out_ready")
        pins += [(port, name) for name in handshake if (port := getattr(bench, name))]
    for name in bench.zeros:
        pins.append((name, "'0"))
    parameters = ", ".join(f".{name}({value})" for name, value in bench.parameters.items())
    yield f"  {bench.module} {f'#({parameters}) ' if parameters else ''}dut ("
    yield ",\n".join(f"    .{port}({wire})" for port, wire in pins)
    yield "  );\n"


def _tasks(
    suite: Suite, bench: Bench, driven: list[Port], compared: list[Port], masks: Mapping[str, Image], files: list[Image]
) -> Iterable[str]:
    yield "  task start;"
    yield "    begin"
    yield "      finished = 0; n = 0; mismatches = 0; undefined = 0;"
    yield '      if (!$value$plusargs("vectors=%s", vectors)) vectors = ".";'
    yield '      writing = $value$plusargs("out=%s", out);'
    yield '      if ($value$plusargs("wave=%s", wave)) begin'
    yield "        $dumpfile(wave);"
    yield "        $dumpvars(0, tb);"
    yield "      end"
    for port in (*driven, *compared):
        pin = f"dut.{bench.wires[port.name]}"
        yield f"      if ($bits({pin}) != {port.bits})"
        yield f'        $fatal(1, "port {bench.wires[port.name]} has %0d bits, {port.name} has {port.bits}", $bits({pin}));'
    for image in files:
        yield f'      image_{identifier(image.name)}.load({{vectors, "/{image.file}"}});'
    for port in (*driven, *compared):
        yield f"      fold_{identifier(port.name)} = 0;"
    yield "      if (writing != 0) begin"
    for port in compared:
        name = identifier(port.name)
        yield f'        file_{name} = $fopen({{out, "/{name}.hex"}}, "w");'
        yield f'        if (file_{name} == 0) $fatal(1, "cannot write %0s/{name}.hex", out);'
        yield f'        $fdisplay(file_{name}, "// {port.name}: {port.bits} bits, what {bench.module} gave");'
        if suite.cases[0].id > 1:  # one case alone: its place among all
            yield f'        $fdisplay(file_{name}, "@%h", FIRST - 1);'
    yield "      end"
    yield "    end"
    yield "  endtask\n"
    yield "  task drive(input integer i);"
    yield "    begin"
    for port in driven:
        name = identifier(port.name)
        yield f"      in_{name} = image_{name}.word[i];"
        yield f"      fold_{name} = fold_{name} ^ in_{name};"
    yield "    end"
    yield "  endtask\n"
    yield "  task undrive;"
    yield "    begin"
    for port in driven:
        yield f"      in_{identifier(port.name)} = {{{port.bits}{{1'bx}}}};"
    yield "    end"
    yield "  endtask\n"
    yield "  task compare(input integer i);  // a bit that differs and is undefined counts as both"
    yield "    begin"
    for port in compared:
        name = identifier(port.name)
        mask = f"image_{name}_mask.word[i]" if port.name in masks else None
        yield f"      want_{name} = image_{name}.word[i];"
        differs = f"((got_{name} ^ want_{name}) & ~{mask}) !== 0" if mask else f"got_{name} !== want_{name}"
        yield f"      if ({differs}) begin"
        yield f"        differs_{name} = (got_{name} ^ want_{name}){f' & ~{mask}' if mask else ''};"
        yield "        mismatches = mismatches + 1;"
        yield f"        if (^differs_{name} === 1'bx) undefined = undefined + 1;"
        yield "        if (mismatches <= SHOWN)"
        yield f'          $display("MISMATCH case=%0d stage={port.name} expected=%h got=%h", FIRST + i, want_{name}, got_{name});'
        yield "      end"
    yield "    end"
    yield "  endtask\n"
    yield "  task count;  // the words of the case compared last"
    yield "    begin"
    for port in compared:
        name = identifier(port.name)
        yield f"      fold_{name} = fold_{name} ^ want_{name};"
        yield f'      if (writing != 0) $fdisplay(file_{name}, "%h", got_{name});'
    yield "      n = n + 1;"
    yield "    end"
    yield "  endtask\n"
    yield "  task finish;"
    yield "    begin"
    if compared:
        yield "      if (writing != 0) begin"
        for port in compared:
            yield f"        $fclose(file_{identifier(port.name)});"
        yield "      end"
    folds = " ".join(f"{identifier(p.name)}=%h" for p in (*driven, *compared))
    values = ", ".join(f"fold_{identifier(p.name)}" for p in (*driven, *compared))
    yield "      finished = 1;"
    yield f'      $display("RESULT n=%0d mismatches=%0d undefined=%0d {folds}", n, mismatches, undefined, {values});'
    yield '      if (n != CASES) $fatal(1, "compared %0d of %0d cases", n, CASES);'
    for port in (*driven, *compared):
        name, xor = identifier(port.name), 0
        for word in suite.column(port.name):
            xor ^= word
        yield f"      if (fold_{name} !== {port.bits}'h{hexed(xor, port.bits)[2:]})"
        yield f'        $fatal(1, "{port.name}: the words used are not those of the suite");'
    yield '      if (mismatches != 0) $fatal(1, "%0d mismatches", mismatches);'
    yield "      $finish;"
    yield "    end"
    yield "  endtask\n"
