`timescale 1ns/1ps
`default_nettype none
// Designs for the tests of the generated testbench: K products of int8, a saturating accumulator of 12 bits.
// bench_dot: combinational. bench_dot_pipe: two clock cycles later. bench_dot_stream: valid and ready, one result at a time.
module bench_dot #(parameter K = 4) (
  input  wire [8*K-1:0] a,
  input  wire [8*K-1:0] w,
  output reg  [16*K-1:0] products,
  output reg  [11:0] acc
);
  integer i;
  reg signed [15:0] product;
  reg signed [16:0] sum;
  always @* begin
    sum = 0;
    for (i = 0; i < K; i = i + 1) begin
      product = $signed(a[8*i +: 8]) * $signed(w[8*i +: 8]);
      products[16*i +: 16] = product;
      sum = sum + product;
      if (sum > 2047) sum = 2047;
      if (sum < -2048) sum = -2048;
    end
    acc = sum[11:0];
  end
`ifdef STOP
  initial #7 $finish;
`endif
`ifdef HANG
  initial #7 forever #0 ;
`endif
endmodule

module bench_dot_pipe #(parameter K = 4) (
  input  wire clk,
  input  wire rst_n,
  input  wire [8*K-1:0] a,
  input  wire [8*K-1:0] w,
  output reg  [16*K-1:0] products,
  output reg  [11:0] acc
);
  reg [8*K-1:0] a1, w1;
  wire [16*K-1:0] p;
  wire [11:0] s;
  bench_dot #(.K(K)) dot (.a(a1), .w(w1), .products(p), .acc(s));
  always @(posedge clk)
    if (!rst_n) begin
      a1 <= 0; w1 <= 0; products <= 0; acc <= 0;
    end else begin
      a1 <= a; w1 <= w; products <= p; acc <= s;
    end
endmodule

module bench_dot_stream #(parameter K = 4) (
  input  wire clk,
  input  wire rst,
  input  wire in_valid,
  output wire in_ready,
  input  wire [8*K-1:0] a,
  input  wire [8*K-1:0] w,
  output reg  out_valid,
  input  wire out_ready,
  output reg  [16*K-1:0] products,
  output reg  [11:0] acc
);
  wire [16*K-1:0] p;
  wire [11:0] s;
  bench_dot #(.K(K)) dot (.a(a), .w(w), .products(p), .acc(s));
`ifdef OVERRUN
  assign in_ready = 1;
`else
  assign in_ready = !out_valid || out_ready;
`endif
  always @(posedge clk)
    if (rst) out_valid <= 0;
`ifdef IGNORES_READY
    else begin
`else
    else if (!out_valid || out_ready) begin
`endif
      out_valid <= in_valid;
      products <= p;
      acc <= s;
`ifdef DROP
      if (in_valid && acc == 2047) out_valid <= 0;
`endif
    end
`ifdef UNSTABLE
    else acc <= 0;
`endif
endmodule
`default_nettype wire
