`timescale 1ns/1ps
`default_nettype none
// 16 float32 values to one MX9 word.
module mx9_encode (
  input  wire [511:0] x,
  output wire [127:0] codes,
  output wire [7:0] micro,
  output wire [7:0] shared,
  output wire [143:0] word
);
  mx_encode #(.M(7)) encode (.x(x), .codes(codes), .micro(micro), .shared(shared), .word(word));
endmodule
