`timescale 1ns/1ps
`default_nettype none
// 16 float32 values to one MX6 word.
module mx6_encode (
  input  wire [511:0] x,
  output wire [79:0] codes,
  output wire [7:0] micro,
  output wire [7:0] shared,
  output wire [95:0] word
);
  mx_encode #(.M(4)) encode (.x(x), .codes(codes), .micro(micro), .shared(shared), .word(word));
endmodule
