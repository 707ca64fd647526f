`timescale 1ns/1ps
`default_nettype none
// Two MX blocks of 16 lanes: each an exact integer sum (a microexponent is a shift) and a sum of exponents; both are aligned to the
// larger exponent, cut to FRACTION bits below it, added, and rounded once to float32. M: magnitude bits, 7, 4, 2 of MX9, MX6, MX4.
// A word is {exponent[7:0], microexponents[7:0], element15 .. element0}, an element {sign, magnitude}.
module mx_dot #(parameter M = 7) (
  input  wire  [2*(16*M+32)-1:0] a,
  input  wire  [2*(16*M+32)-1:0] w,
  output logic [2*(2*M+7)-1:0]   block_dots,
  output logic [23:0]            exponents,
  output logic [11:0]            largest_exponent,
  output logic [65:0]            aligned,
  output logic [31:0]            result
);
  localparam ELEMENT = M + 1;
  localparam WORD = 16*ELEMENT + 16;
  localparam MICRO = 16*ELEMENT;
  localparam SHARED = MICRO + 8;
  localparam DOT = 2*M + 7;
  localparam FRACTION = 26;
  localparam LEFT = FRACTION - 2*M;  // a block sum has 2*M fraction bits
  localparam signed [11:0] NONE = -12'sd1000;

  // sum * 2^(exponent - FRACTION) as float32, half to even; subnormals are kept, an overflow is an infinity.
  function automatic [31:0] to_float(input signed [33:0] sum, input signed [11:0] exponent);
    reg [33:0] magnitude;
    reg [68:0] kept;  // 35 integer bits of the result's significand, then 34 that are dropped
    reg [34:0] bits;
    reg up;
    integer top, last, right;
    begin
      magnitude = sum < 0 ? -sum : sum;
      top = 0;
      for (int i = 0; i < 34; i = i + 1) if (magnitude[i]) top = i;
      last = top + exponent - FRACTION - 23;  // exponent of the result's last bit
`ifdef BUG_SUBNORMAL
      if (last < -149) magnitude = 0;
`endif
      if (last < -149) last = -149;
      right = last - (exponent - FRACTION);
      if (right > 35) right = 35;
      kept = {1'b0, magnitude, 34'b0};
      kept = right < 0 ? kept << -right : kept >> right;
`ifdef BUG_STICKY
      up = kept[33] && kept[34];
`elsif BUG_TIE_AWAY
      up = kept[33];
`else
      up = kept[33] && (kept[32:0] != 0 || kept[34]);
`endif
      bits = kept[68:34];
`ifdef BUG_LOST_CARRY
      bits[22:0] = bits[22:0] + {22'b0, up};
`else
      bits = bits + {34'b0, up};
`endif
      // The hidden bit, and a carry out of the fraction, add 1 to the exponent field.
      if (top + exponent - FRACTION >= -126) bits = bits + ((top + exponent - FRACTION + 126) << 23);
      if (magnitude == 0) bits = 0;
      if (bits >= 35'h07F800000) bits = 35'h07F800000;
      to_float = {sum < 0 && bits != 0, bits[30:0]};  // every zero is +0
    end
  endfunction

  logic [ELEMENT-1:0]      ea, ew;
  logic [M:0]              xa, xw;
  logic [2*M+1:0]          product;
  logic                    ta, tw, nan_a, nan_w, nan;
  logic [7:0]              sa, sw;
  logic signed [DOT-1:0]   dot;
  logic signed [11:0]      exponent, largest;
  logic [31:0]             magnitude;
  logic signed [32:0]      term;
  logic signed [33:0]      sum;

  always_comb begin
    {ea, ew, xa, xw, product, ta, tw, nan_a, nan_w, nan, sa, sw, dot, exponent, magnitude, term} = 0;
    block_dots = 0;
    exponents = 0;
    aligned = 0;
    largest = NONE;
    sum = 0;
    for (int j = 0; j < 2; j = j + 1) begin
      sa = a[j*WORD + SHARED +: 8];
      sw = w[j*WORD + SHARED +: 8];
`ifdef BUG_NAN_BLOCK
      nan_a = 0;
      nan_w = 0;
`elsif BUG_NAN_WEIGHT
      nan_a = sa == 8'hFF;
      nan_w = 0;
`else
      nan_a = sa == 8'hFF;
      nan_w = sw == 8'hFF;
`endif
      nan = nan || nan_a || nan_w;
      dot = 0;
      for (int i = 0; i < 16; i = i + 1) begin
        ea = a[j*WORD + i*ELEMENT +: ELEMENT];
        ew = w[j*WORD + i*ELEMENT +: ELEMENT];
`ifdef BUG_MICRO_SWAP
        ta = a[j*WORD + MICRO + (i/2 ^ 1)];
        tw = w[j*WORD + MICRO + (i/2 ^ 1)];
`elsif BUG_MICRO_INDEX
        ta = a[j*WORD + MICRO + i%8];
        tw = w[j*WORD + MICRO + i/2];
`else
        ta = a[j*WORD + MICRO + i/2];
        tw = w[j*WORD + MICRO + i/2];
`endif
        xa = {ea[M-1:0], 1'b0} >> ta;
        xw = {ew[M-1:0], 1'b0} >> tw;
        product = xa * xw;
`ifdef BUG_MICRO_BOTH
        if (ta && tw) product = {ea[M-1:0], 1'b0} * ew[M-1:0];
`endif
        dot = ea[M] != ew[M] ? dot - $signed({1'b0, product}) : dot + $signed({1'b0, product});
      end
      if (nan_a || nan_w) dot = 0;
`ifdef BUG_BIAS
      exponent = (nan_a ? 0 : {4'b0, sa} - 126) + (nan_w ? 0 : {4'b0, sw} - 127);
`elsif BUG_EXPONENT_WRAP
      exponent = (nan_a ? 0 : {4'b0, sa} - 127) + (nan_w ? 0 : {4'b0, sw} - 127);
      exponent = {{4{exponent[7]}}, exponent[7:0]};
`else
      exponent = (nan_a ? 0 : {4'b0, sa} - 127) + (nan_w ? 0 : {4'b0, sw} - 127);
`endif
`ifdef BUG_ZERO_EXPONENT
      if (exponent > largest) largest = exponent;
`else
      if (dot != 0 && exponent > largest) largest = exponent;
`endif
      block_dots[j*DOT +: DOT] = dot;
      exponents[j*12 +: 12] = exponent;
    end
    largest_exponent = nan || largest == NONE ? 0 : largest;
    for (int j = 0; j < 2; j = j + 1) begin
      dot = block_dots[j*DOT +: DOT];
      exponent = exponents[j*12 +: 12];
      magnitude = dot < 0 ? -dot : dot;
`ifdef BUG_ALIGN_FLOOR
      term = dot;
      term = (term <<< LEFT) >>> (largest - exponent);
`elsif BUG_ALIGN_WRAP
      magnitude = (magnitude << LEFT) >> ((largest - exponent) & 31);
      term = dot < 0 ? -$signed({1'b0, magnitude}) : $signed({1'b0, magnitude});
`else
      magnitude = (magnitude << LEFT) >> (largest - exponent);
      term = dot < 0 ? -$signed({1'b0, magnitude}) : $signed({1'b0, magnitude});
`endif
      if (nan || dot == 0) term = 0;
      aligned[j*33 +: 33] = term;
      sum = sum + term;
    end
    result = nan ? 32'h7FFFFFFF : to_float(sum, largest);
  end
endmodule
