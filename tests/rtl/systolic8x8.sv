`timescale 1ns/1ps
`default_nettype none
// One element of the array: passes its operands on, and adds their product to an accumulator that saturates.
module systolic_pe #(parameter ACC = 18) (
  input  wire              clk,
  input  wire              clear,
  input  wire              enable,
  input  wire signed [7:0] x,
  input  wire signed [7:0] y,
  output logic signed [7:0] x_next,
  output logic signed [7:0] y_next,
  output logic signed [ACC-1:0] sum
);
  wire signed [15:0]  product = x * y;
  wire signed [ACC:0] total = sum + product;

  always @(posedge clk) begin
    if (clear) begin
      x_next <= 0;
      y_next <= 0;
`ifndef BUG_NOT_CLEARED
      sum <= 0;
`endif
    end else if (enable) begin
      x_next <= x;
      y_next <= y;
`ifdef BUG_WRAP
      sum <= total[ACC-1:0];
`else
      sum <= total[ACC] == total[ACC-1] ? total[ACC-1:0] : {total[ACC], {(ACC-1){~total[ACC]}}};
`endif
    end
  end
`ifdef BUG_NOT_CLEARED
  initial sum = 0;
`endif
endmodule

// An 8x8 tile of c = a * transpose(w), K elements a sum, output stationary: rows of a enter from the left, rows of w from above, each
// one cycle later than its neighbour. One tile at a time: it takes operands with in_valid and in_ready, and holds c with out_valid
// until out_ready. a and w are 8 rows of K elements, c is 8 rows of 8 sums, the first lowest.
module systolic8x8 #(parameter K = 16, parameter ACC = 18) (
  input  wire               clk,
  input  wire               rst,
  input  wire               in_valid,
  output wire               in_ready,
  input  wire  [64*K-1:0]   a,
  input  wire  [64*K-1:0]   w,
  output wire               out_valid,
  input  wire               out_ready,
  output wire  [64*ACC-1:0] c
);
`ifdef BUG_STOPS_EARLY
  localparam LAST = K + 13;
`else
  localparam LAST = K + 14;  // the corner gets its last operands 14 cycles after the first element
`endif
  localparam IDLE = 2'd0, BUSY = 2'd1, DONE = 2'd2;

  logic [1:0]      state;
  logic [5:0]      step;
  logic [64*K-1:0] rows, columns;
  logic [63:0]     left, top;      // what enters this cycle
  wire  [511:0]    x, y;           // what each element passes on

  wire load = state == IDLE && in_valid;
  assign in_ready = state == IDLE;
  assign out_valid = state == DONE;

  always_comb begin
    left = 0;
    top = 0;
    for (int i = 0; i < 8; i = i + 1) begin
      if (step >= i && step < i + K) begin
        left[i*8 +: 8] = rows[(i*K + step - i)*8 +: 8];
        top[i*8 +: 8] = columns[(i*K + step - i)*8 +: 8];
      end
    end
`ifdef BUG_SKEW
    if (step >= 6 && step < 6 + K) top[56 +: 8] = columns[(7*K + step - 6)*8 +: 8];
    else top[56 +: 8] = 0;
`endif
  end

  always @(posedge clk) begin
    if (rst) begin
      state <= IDLE;
      step <= 0;
    end else if (load) begin
      state <= BUSY;
      step <= 0;
      rows <= a;
      columns <= w;
    end else if (state == BUSY) begin
      step <= step + 1;
      if (step == LAST - 1) state <= DONE;
`ifdef BUG_IGNORES_READY
    end else if (state == DONE) begin
`else
    end else if (state == DONE && out_ready) begin
`endif
      state <= IDLE;
    end
  end

  genvar i, j;
  generate
    for (i = 0; i < 8; i = i + 1) begin : row
      for (j = 0; j < 8; j = j + 1) begin : column
        wire [7:0] from_left, from_above;
        if (j == 0) assign from_left = left[i*8 +: 8];
        else assign from_left = x[(i*8 + j - 1)*8 +: 8];
        if (i == 0) assign from_above = top[j*8 +: 8];
        else assign from_above = y[((i - 1)*8 + j)*8 +: 8];
        systolic_pe #(.ACC(ACC)) pe (.clk(clk), .clear(load), .enable(state == BUSY), .x(from_left), .y(from_above),
          .x_next(x[(i*8 + j)*8 +: 8]), .y_next(y[(i*8 + j)*8 +: 8]), .sum(c[(i*8 + j)*ACC +: ACC]));
      end
    end
  endgenerate
endmodule
