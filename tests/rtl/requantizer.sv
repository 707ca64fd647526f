`timescale 1ns/1ps
`default_nettype none
// acc * multiplier / 2^(31 - shift), zero point, clamp to [low, high]. DOUBLE: TFLite's two roundings (a doubling high product half
// up, then a division by a power of two half away), otherwise one rounding half up.
module requantizer #(parameter DOUBLE = 1) (
  input  wire  signed [31:0] acc,
  input  wire  signed [31:0] multiplier,
  input  wire  signed [5:0]  shift,
  input  wire  signed [7:0]  zero_point,
  input  wire  signed [7:0]  low,
  input  wire  signed [7:0]  high,
  output logic signed [31:0] before0,
  output logic signed [63:0] product,
  output logic signed [31:0] step0,
  output logic signed [63:0] step1,
  output logic signed [31:0] zero_add,
  output logic signed [63:0] clamped,
  output logic signed [7:0]  result
);
  logic [5:0]         left, right;
  logic signed [63:0] value, mask, remainder, threshold, shifted;

  always_comb begin
    {left, right, value, mask, remainder, threshold, shifted} = 0;
    if (DOUBLE != 0) begin
      left = shift > 0 ? shift : 0;
      right = shift < 0 ? -shift : 0;
`ifdef BUG_LEFT_SATURATES
      shifted = $signed({{32{acc[31]}}, acc}) <<< left;
      before0 = shifted > 64'sd2147483647 ? 32'h7FFFFFFF : shifted < -64'sd2147483648 ? 32'h80000000 : shifted[31:0];
`else
      before0 = acc <<< left;
`endif
`ifdef BUG_UNSIGNED_PRODUCT
      product = $signed({32'b0, before0}) * multiplier;
`else
      product = before0 * multiplier;
`endif
`ifdef BUG_HIGH_TRUNCATES
      shifted = product >>> 31;
`elsif BUG_HIGH_HALF_AWAY
      shifted = product < 0 ? -((-product + (64'sd1 <<< 30)) >>> 31) : (product + (64'sd1 <<< 30)) >>> 31;
`else
      shifted = (product + (64'sd1 <<< 30)) >>> 31;
`endif
      step0 = shifted > 64'sd2147483647 ? 32'h7FFFFFFF : shifted[31:0];
      value = {{32{step0[31]}}, step0};
      mask = (64'sd1 <<< right) - 1;
      remainder = value & mask;
`ifdef BUG_HALF_UP
      threshold = mask >>> 1;
`else
      threshold = (mask >>> 1) + (value < 0 ? 64'sd1 : 64'sd0);
`endif
      step1 = (value >>> right) + (remainder > threshold ? 64'sd1 : 64'sd0);
      value = step1;
    end else begin
      before0 = acc;
      product = acc * multiplier;
      right = 6'd31 - shift;
`ifdef BUG_ROUNDING_BIT
      mask = {32'b0, 32'd1 << (right - 6'd1)};
`else
      mask = 64'sd1 <<< (right - 6'd1);
`endif
`ifdef BUG_SHIFT_BY_ONE
      shifted = (product + mask) >>> (right - 6'd1);
`elsif BUG_HALF_AWAY
      shifted = (product + mask - (product < 0 ? 64'sd1 : 64'sd0)) >>> right;
`else
      shifted = (product + mask) >>> right;
`endif
`ifdef BUG_SATURATE
      step0 = shifted > 64'sd2147483647 ? 32'h7FFFFFFF : shifted < -64'sd2147483648 ? 32'h80000000 : shifted[31:0];
`else
      step0 = shifted[31:0];
`endif
      value = {{32{step0[31]}}, step0};
      step1 = value;
    end
`ifdef BUG_ZERO_POINT_SATURATES
    shifted = value + zero_point;
    zero_add = shifted > 64'sd2147483647 ? 32'h7FFFFFFF : shifted < -64'sd2147483648 ? 32'h80000000 : shifted[31:0];
`else
    zero_add = value[31:0] + {{24{zero_point[7]}}, zero_point};
`endif
`ifdef BUG_ZERO_POINT_AFTER_CLAMP
    clamped = value < low ? low : value > high ? high : value;
    clamped = clamped + zero_point;
`elsif BUG_CLAMP_UNSIGNED
    clamped = zero_add;
    if ($unsigned(zero_add) > $unsigned({{24{high[7]}}, high})) clamped = high;
    else if ($unsigned(zero_add) < $unsigned({{24{low[7]}}, low})) clamped = low;
`else
    clamped = zero_add < low ? low : zero_add > high ? high : zero_add;
`endif
    result = clamped[7:0];
  end
endmodule
