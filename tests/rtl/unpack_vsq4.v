`timescale 1ns/1ps
`default_nettype none
// The fields of one VSQ4 word, {scale[3:0], elem[15:0][3:0]}. Every slice is typed by hand from rule P3.
module unpack_vsq4 (input wire [67:0] word);
  wire [3:0] elem0  = word[3:0];
  wire [3:0] elem1  = word[7:4];
  wire [3:0] elem2  = word[11:8];
  wire [3:0] elem3  = word[15:12];
  wire [3:0] elem4  = word[19:16];
  wire [3:0] elem5  = word[23:20];
  wire [3:0] elem6  = word[27:24];
  wire [3:0] elem7  = word[31:28];
  wire [3:0] elem8  = word[35:32];
  wire [3:0] elem9  = word[39:36];
  wire [3:0] elem10 = word[43:40];
  wire [3:0] elem11 = word[47:44];
  wire [3:0] elem12 = word[51:48];
  wire [3:0] elem13 = word[55:52];
  wire [3:0] elem14 = word[59:56];
  wire [3:0] elem15 = word[63:60];
  wire [3:0] scale  = word[67:64];

  task show;
    begin
      $display("ELEM %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d",
               elem0, elem1, elem2, elem3, elem4, elem5, elem6, elem7,
               elem8, elem9, elem10, elem11, elem12, elem13, elem14, elem15);
      $display("SCALE0 %0d", scale);
    end
  endtask
endmodule
