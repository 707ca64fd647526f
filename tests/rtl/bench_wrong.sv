`timescale 1ns/1ps
`default_nettype none
// Designs that the generated testbench must not pass, for tests/test_export.py; each gives the right outputs otherwise.
// bench_extra: an input that the datapath's [ports] do not name. bench_narrow: an operand without its top bit.
module bench_extra (
  input  wire [31:0] a,
  input  wire [31:0] w,
  input  wire        carry,
  output wire [63:0] products,
  output wire        spare,
  output wire [11:0] acc
);
  bench_dot dot (.a(a), .w(w), .products(products), .acc(acc));
  assign spare = carry;
endmodule

module bench_narrow (
  input  wire [30:0] a,
  input  wire [31:0] w,
  output wire [63:0] products,
  output wire [11:0] acc
);
  bench_dot dot (.a({a[30], a}), .w(w), .products(products), .acc(acc));
endmodule

// The result line printed by the design itself.
module bench_liar (
  input  wire [31:0] a,
  input  wire [31:0] w,
  output wire [63:0] products,
  output wire [11:0] acc
);
  bench_dot dot (.a(a), .w(w), .products(products), .acc(acc));
  initial begin
    #2 $display("RESULT n=1 mismatches=0 undefined=0 activation=0 weight=0 products=0 accumulator=0");
    $finish;
  end
endmodule

// An output that nothing drives.
module bench_silent (
  input  wire [31:0] a,
  input  wire [31:0] w,
  output wire [63:0] products,
  output wire [11:0] acc
);
  wire [11:0] sum;
  bench_dot dot (.a(a), .w(w), .products(products), .acc(sum));
endmodule
`default_nettype wire
