`timescale 1ns/1ps
`default_nettype none
// Two MX4 blocks.
module mx4_dot (
  input  wire [127:0] a,
  input  wire [127:0] w,
  output wire [21:0] block_dots,
  output wire [23:0] exponents,
  output wire [11:0] largest_exponent,
  output wire [53:0] aligned,
  output wire [31:0] result
);
  mx_dot #(.M(2)) dot (.a(a), .w(w), .block_dots(block_dots), .exponents(exponents),
    .largest_exponent(largest_exponent), .aligned(aligned), .result(result));
endmodule
