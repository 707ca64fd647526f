`timescale 1ns/1ps
`default_nettype none
// 16 lanes int4, a 10-bit accumulator; the bias is the last add.
module int4_dot (
  input  wire [63:0] a,
  input  wire [63:0] w,
  input  wire signed [9:0] bias,
  output wire [127:0] products,
  output wire [159:0] partial_sums,
  output wire signed [9:0] result
);
  int_dot #(.W(4), .ACC(10), .BIAS_FIRST(0)) dot (.a(a), .w(w), .bias(bias), .products(products),
    .partial_sums(partial_sums), .result(result));
endmodule
