`timescale 1ns/1ps
`default_nettype none
// One rounding: TFLITE_SINGLE_ROUNDING.
module requantizer_single (
  input  wire signed [31:0] acc,
  input  wire signed [31:0] multiplier,
  input  wire signed [5:0]  shift,
  input  wire signed [7:0]  zero_point,
  input  wire signed [7:0]  low,
  input  wire signed [7:0]  high,
  output wire signed [63:0] product,
  output wire signed [31:0] step0,
  output wire signed [31:0] zero_add,
  output wire signed [63:0] clamped,
  output wire signed [7:0]  y
);
  requantizer #(.DOUBLE(0)) requantize (.acc(acc), .multiplier(multiplier), .shift(shift), .zero_point(zero_point), .low(low),
    .high(high), .before0(), .product(product), .step0(step0), .step1(), .zero_add(zero_add), .clamped(clamped), .result(y));
endmodule
