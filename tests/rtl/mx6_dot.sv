`timescale 1ns/1ps
`default_nettype none
// Two MX6 blocks.
module mx6_dot (
  input  wire [191:0] a,
  input  wire [191:0] w,
  output wire [29:0] block_dots,
  output wire [23:0] exponents,
  output wire [11:0] largest_exponent,
  output wire [53:0] aligned,
  output wire [31:0] result
);
  mx_dot #(.M(4)) dot (.a(a), .w(w), .block_dots(block_dots), .exponents(exponents),
    .largest_exponent(largest_exponent), .aligned(aligned), .result(result));
endmodule
