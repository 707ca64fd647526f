`timescale 1ns/1ps
`default_nettype none
// 16 float32 values to one MX word, rule S2: largest exponent field, microexponents of pairs, half to even, saturation, NaN block.
// M: magnitude bits, 7, 4, 2 of MX9, MX6, MX4.
module mx_encode #(parameter M = 7) (
  input  wire  [511:0]        x,
  output logic [16*M+15:0]    codes,
  output logic [7:0]          micro,
  output logic [7:0]          shared,
  output wire  [16*M+31:0]    word
);
  localparam ELEMENT = M + 1;
  localparam [M:0] LARGEST = {1'b0, {M{1'b1}}};

  logic [7:0]  field, pair;
  logic [23:0] significand;
  logic [31:0] right;
  logic [49:0] kept;
  logic [M:0]  q;
  logic        bad, tau, up;

  assign word = {shared, micro, codes};

  always_comb begin
    {field, pair, significand, right, kept, q, tau, up} = 0;
    codes = 0;
    micro = 0;
    shared = 0;
    bad = 0;
    for (int i = 0; i < 16; i = i + 1) begin
      field = x[i*32 + 23 +: 8];
`ifdef BUG_INFINITY
      if (field == 8'hFF && x[i*32 +: 23] != 0) bad = 1;
`else
      if (field == 8'hFF) bad = 1;
`endif
      if (field > shared) shared = field;
    end
    for (int i = 0; i < 16; i = i + 1) begin
      field = x[i*32 + 23 +: 8];
      pair = x[(i ^ 1)*32 + 23 +: 8];
      if (field > pair) pair = field;
      tau = pair < shared;
`ifdef BUG_ZERO_PAIR
      if (x[i*32 +: 31] == 0 && x[(i ^ 1)*32 +: 31] == 0) tau = 0;
`endif
`ifdef BUG_HIDDEN_BIT
      significand = {1'b1, x[i*32 +: 23]};
`else
      significand = {field != 0, x[i*32 +: 23]};
`endif
      // value / step = significand / 2^right
      right = {24'b0, shared} - (field == 0 ? 32'd1 : {24'b0, field}) - {31'b0, tau} + 24 - M;
`ifdef BUG_TAU_SHIFT
      right = right + {31'b0, tau};
`endif
      kept = {significand, 26'b0} >> (right > 26 ? 26 : right);
`ifdef BUG_STICKY
      up = kept[25] && kept[26];
`elsif BUG_TIE_AWAY
      up = kept[25];
`elsif BUG_TRUNCATE
      up = 0;
`else
      up = kept[25] && (kept[24:0] != 0 || kept[26]);
`endif
      q = kept[26 +: M + 1] + {{M{1'b0}}, up};
`ifdef BUG_LOST_CARRY
      q = q & LARGEST;
`else
      if (q > LARGEST) q = LARGEST;
`endif
`ifdef BUG_SIGNED_ZERO
      codes[i*ELEMENT +: ELEMENT] = {x[i*32 + 31], q[M-1:0]};
`else
      codes[i*ELEMENT +: ELEMENT] = {x[i*32 + 31] && q != 0, q[M-1:0]};
`endif
`ifdef BUG_MICRO_SWAP
      micro[7 - i/2] = tau;
`else
      micro[i/2] = tau;
`endif
    end
    if (bad) begin
      codes = 0;
      micro = 0;
      shared = 8'hFF;
    end
  end
endmodule
