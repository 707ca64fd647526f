`timescale 1ns/1ps
`default_nettype none
// 64 signs a side: XNOR gives the products, a population count their sum.
module binary_dot (
  input  wire  [63:0]  a,
  input  wire  [63:0]  w,
  output logic [127:0] products,
  output logic signed [7:0] result
);
  logic same;
`ifdef BUG_COUNT_NARROW
  logic [5:0] count;
`else
  logic [6:0] count;
`endif

  always_comb begin
    same = 0;
    products = 0;
    count = 0;
    for (int i = 0; i < 64; i = i + 1) begin
`ifdef BUG_XOR
      same = a[i] ^ w[i];
`else
      same = a[i] ~^ w[i];
`endif
`ifdef BUG_LAST_LANE
      if (i < 63 && same) count = count + 1;
`else
      if (same) count = count + 1;
`endif
      products[2*i +: 2] = {~same, 1'b1};
    end
    result = {count, 1'b0} - 8'd64;
  end
endmodule
