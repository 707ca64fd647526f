"""How a testbench times the cases: at once, through a pipeline, or with valid and ready and pauses on both sides."""

from __future__ import annotations

from qsim.golden.export.bench import Bench
from qsim.golden.export.manifest import identifier
from qsim.golden.unit import Port

TIMEOUT = 10000  # clock cycles without a transfer
DRAIN = 64  # clock cycles after the last result in which no other may come
LONG = 32  # clock cycles that every eighth of the results that wait has to wait: a design's buffers fill

COMBINATIONAL = """\
  integer i;
  initial begin
    start;
    for (i = 0; i < CASES; i = i + 1) begin
      drive(i);
      #1;
      compare(i);
      count;
    end
    finish;
  end
"""
PIPELINED = """\
  localparam integer LATENCY = @LATENCY@;
  integer i;
  initial begin
    start;
    undrive;
@RESET@
    for (i = 0; i < CASES + LATENCY; i = i + 1) begin
      if (i < CASES) drive(i);
      else undrive;
      @(negedge clock);
      if (i >= LATENCY) begin
        compare(i - LATENCY);
        count;
      end
      @(posedge clock);
      #1;
    end
    finish;
  end
"""
HANDSHAKE = """\
  // Operands come in order and are undefined while in_valid is low. Of 8 cases the last 4 come with gaps, of 4 results the last
  // 2 wait to be taken; 16 cases on, of 32 the last 16, of 16 the last 8; 128 cases on, of 256 and of 128.
  localparam integer TIMEOUT = @TIMEOUT@;  // clock cycles without a transfer
  localparam integer DRAIN = @DRAIN@;      // clock cycles after the last case
  integer cycle, sent, idle, after, stall;
  reg [31:0] random;
  reg offered, taken, given, waiting;
  reg [@WIDTH@-1:0] held;

  task hold;  // how many clock cycles the next result waits once it is there
    begin
      stall = 0;
      if (n < 16 ? n[1] : n < 128 ? n[3] : n[6]) stall = n % 8 == 2 ? @LONG@ : 1 + random[4:3];
    end
  endtask

  initial begin
    start;
    undrive;
@RESET@
    random = 32'h1; sent = 0; idle = 0; after = 0; waiting = 0; offered = 0;
    hold;
    for (cycle = 0; after < DRAIN; cycle = cycle + 1) begin
      random = {random[30:0], random[31] ^ random[21] ^ random[1] ^ random[0]};
      if (!offered && sent < CASES && !((sent < 16 ? sent[2] : sent < 128 ? sent[4] : sent[7]) && random[0])) begin
        offered = 1;
        in_valid = 1;
        drive(sent);
      end
      out_ready = @READY@;
      @(negedge clock);
      if (out_valid !== 0 && out_valid !== 1) $fatal(1, "@OUT_VALID@ is undefined, %0d of %0d cases compared", n, CASES);
      if (in_ready !== 0 && in_ready !== 1) $fatal(1, "@IN_READY@ is undefined, %0d of %0d cases compared", n, CASES);
      taken = offered && in_ready;
      given = out_valid && out_ready;
      if (waiting && !out_valid) $fatal(1, "case=%0d: @OUT_VALID@ fell before the result was taken", FIRST + n);
      if (waiting && held !== {@OUTPUTS@}) $fatal(1, "case=%0d: the result changed before it was taken", FIRST + n);
      if (out_valid && n >= sent + taken) $fatal(1, "a result after %0d cases, but operands of %0d", n, sent + taken);
      if (given) begin
        compare(n);
        count;
        hold;
      end
      waiting = out_valid && !given;
      if (waiting && stall != 0) stall = stall - 1;
      held = {@OUTPUTS@};
      idle = taken || given ? 0 : idle + 1;
      if (idle > TIMEOUT) $fatal(1, "no transfer in %0d cycles, %0d of %0d cases compared", TIMEOUT, n, CASES);
      if (n == CASES) after = after + 1;
      @(posedge clock);
      #1;
      if (taken) begin
        sent = sent + 1;
        offered = 0;
        in_valid = 0;
        undrive;
      end
    end
    finish;
  end
"""
RESET = """\
    repeat (4) @(posedge clock);
    #1 reset = @INACTIVE@;"""
NO_RESET = """\
    @(posedge clock);
    #1;"""


def stimulus(bench: Bench, compared: list[Port]) -> str:
    """How the cases are timed."""
    if bench.clock is None:
        return COMBINATIONAL
    reset = RESET.replace("@INACTIVE@", str(int(bench.reset_low))) if bench.reset else NO_RESET
    if bench.in_valid is None:
        return PIPELINED.replace("@LATENCY@", str(bench.latency)).replace("@RESET@", reset)
    words = {
        "RESET": reset,
        "TIMEOUT": TIMEOUT,
        "DRAIN": DRAIN,
        "LONG": LONG,
        # a design that waits for out_ready, which it must not, is served late
        "READY": "stall == 0 || idle > TIMEOUT / 2" if bench.out_ready else "1",
        "OUTPUTS": ", ".join(f"got_{identifier(port.name)}" for port in compared),
        "WIDTH": sum(port.bits for port in compared),
        "OUT_VALID": bench.out_valid,
        "IN_READY": bench.in_ready or "in_ready",
    }
    text = HANDSHAKE
    for name, value in words.items():
        text = text.replace(f"@{name}@", str(value))
    return text
