`timescale 1ns/1ps
`default_nettype none
// Two VSQ4 vectors of 16: integer sum times the product of the 4-bit scales, added to 18 bits that wrap.
// SCALE: bits of the scale product; fewer than 8 are rounded half to even, and saturated.
// A word is {scale[3:0], element15 .. element0}.
module vsq4_dot #(parameter SCALE = 8) (
  input  wire  [135:0]         a,
  input  wire  [135:0]         w,
  output logic [23:0]          block_dots,
  output logic [2*SCALE-1:0]   scale_products,
  output logic [2*(SCALE+11)-1:0] terms,
  output logic [35:0]          partial_sums,
  output logic signed [17:0]   accumulator
);
  localparam DROP = 8 - SCALE;
  localparam TERM = SCALE + 11;

  // The product of two scales in SCALE bits.
  function automatic [SCALE-1:0] rounded(input [7:0] product);
    reg [15:0] kept;  // 8 integer bits, then what is dropped
    reg [8:0] up;
    begin
      kept = {product, 8'b0} >> DROP;
`ifdef BUG_SCALE_TRUNCATED
      up = 0;
`elsif BUG_SCALE_HALF_UP
      up = {8'b0, kept[7]};
`else
      up = {8'b0, kept[7] && (kept[6:0] != 0 || kept[8])};
`endif
      up = up + {1'b0, kept[15:8]};
      rounded = up >> SCALE != 0 ? {SCALE{1'b1}} : up[SCALE-1:0];
    end
  endfunction

  logic signed [3:0]      x, y;
  logic signed [7:0]      product;
  logic signed [11:0]     dot;
  logic        [7:0]      scale;
  logic signed [TERM-1:0] term;
  logic signed [19:0]     sum;

  always_comb begin
    {x, y, product, dot, scale, term} = 0;
    block_dots = 0;
    scale_products = 0;
    terms = 0;
    partial_sums = 0;
    sum = 0;
    for (int j = 0; j < 2; j = j + 1) begin
      dot = 0;
      for (int i = 0; i < 16; i = i + 1) begin
        x = a[j*68 + i*4 +: 4];
        y = w[j*68 + i*4 +: 4];
`ifdef BUG_MINUS_EIGHT
        if (x == -8) x = -7;
`endif
        product = x * y;
`ifdef BUG_DOT_NARROW
        dot = {dot[10], dot[10:0]} + {{4{product[7]}}, product};
        dot = {dot[10], dot[10:0]};
`else
        dot = dot + {{4{product[7]}}, product};
`endif
      end
`ifdef BUG_SCALE_OF_FIRST_BLOCK
      scale = a[64 +: 4] * w[j*68 + 64 +: 4];
`else
      scale = a[j*68 + 64 +: 4] * w[j*68 + 64 +: 4];
`endif
      block_dots[j*12 +: 12] = dot;
      scale_products[j*SCALE +: SCALE] = rounded(scale);
      term = dot * $signed({1'b0, rounded(scale)});
      terms[j*TERM +: TERM] = term;
      sum = sum + term;
`ifdef BUG_SATURATE
      if (sum > 131071) sum = 131071;
      if (sum < -131072) sum = -131072;
`endif
      sum = {{2{sum[17]}}, sum[17:0]};
      partial_sums[j*18 +: 18] = sum[17:0];
    end
    accumulator = sum[17:0];
  end
endmodule
