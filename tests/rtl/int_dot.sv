`timescale 1ns/1ps
`default_nettype none
// 16 products of W-bit integers, added one by one to an accumulator of ACC bits that saturates on every add.
// BIAS_FIRST: the accumulator starts from the bias; otherwise the bias is the last add.
module int_dot #(parameter W = 8, parameter ACC = 18, parameter BIAS_FIRST = 1) (
  input  wire  [16*W-1:0]       a,
  input  wire  [16*W-1:0]       w,
  input  wire  signed [ACC-1:0] bias,
  output logic [16*2*W-1:0]     products,
  output logic [16*ACC-1:0]     partial_sums,
  output logic signed [ACC-1:0] result
);
  // The sum of two registers, in one more bit, back into a register.
  function automatic signed [ACC-1:0] add(input signed [ACC-1:0] x, input signed [ACC-1:0] y);
    reg signed [ACC:0] sum;
    begin
      sum = x + y;
`ifdef BUG_WRAP
      add = sum[ACC-1:0];
`elsif BUG_ACC_NARROW
      add = sum[ACC] == sum[ACC-1] && sum[ACC] == sum[ACC-2] ? sum[ACC-1:0] : {{2{sum[ACC]}}, {(ACC-2){~sum[ACC]}}};
`elsif BUG_UNSIGNED_COMPARE
      add = $unsigned(sum) > {2'b00, {(ACC-1){1'b1}}} && !sum[ACC] ? {1'b0, {(ACC-1){1'b1}}} : sum[ACC-1:0];
`elsif BUG_SATURATE_SYMMETRIC
      add = sum[ACC] != sum[ACC-1] || sum[ACC-1:0] == {1'b1, {(ACC-1){1'b0}}}
            ? {sum[ACC], {(ACC-2){~sum[ACC]}}, 1'b1} : sum[ACC-1:0];
`else
      add = sum[ACC] == sum[ACC-1] ? sum[ACC-1:0] : {sum[ACC], {(ACC-1){~sum[ACC]}}};
`endif
    end
  endfunction

  logic signed [W-1:0]   x, y;
  logic signed [2*W-1:0] product;
  logic signed [ACC-1:0] sum;
`ifdef BUG_SATURATE_AT_END
  logic signed [ACC+5:0] wide;
`endif

  always_comb begin
    x = 0;
    y = 0;
    product = 0;
    products = 0;
    partial_sums = 0;
`ifdef BUG_BIAS_DROPPED_LOW_BIT
    sum = BIAS_FIRST != 0 ? {bias[ACC-1:1], 1'b0} : 0;
`else
    sum = BIAS_FIRST != 0 ? bias : 0;
`endif
`ifdef BUG_SATURATE_AT_END
    wide = sum;
`endif
    for (int i = 0; i < 16; i = i + 1) begin
`ifdef BUG_NIBBLES_SWAPPED
      x = a[(i ^ 1)*W +: W];
`else
      x = a[i*W +: W];
`endif
      y = w[i*W +: W];
`ifdef BUG_UNSIGNED_OPERAND
      product = $signed({1'b0, x}) * y;
`else
      product = x * y;
`endif
`ifdef BUG_SATURATE_AT_END
      wide = wide + product;
      sum = wide[ACC-1:0];
`else
      sum = add(sum, {{(ACC-2*W){product[2*W-1]}}, product});
`endif
      products[i*2*W +: 2*W] = product;
      partial_sums[i*ACC +: ACC] = sum;
    end
`ifdef BUG_SATURATE_AT_END
    sum = wide[ACC+5:ACC-1] == {7{wide[ACC+5]}} ? wide[ACC-1:0] : {wide[ACC+5], {(ACC-1){~wide[ACC+5]}}};
`endif
    result = BIAS_FIRST != 0 ? sum : add(sum, bias);
  end
endmodule
