`timescale 1ns/1ps
`default_nettype none
// 16 lanes int8, an 18-bit accumulator that starts from the bias.
module int8_dot (
  input  wire [127:0] a,
  input  wire [127:0] w,
  input  wire signed [17:0] bias,
  output wire [255:0] products,
  output wire [287:0] partial_sums,
  output wire signed [17:0] result
);
  int_dot #(.W(8), .ACC(18), .BIAS_FIRST(1)) dot (.a(a), .w(w), .bias(bias), .products(products),
    .partial_sums(partial_sums), .result(result));
endmodule
