`timescale 1ns/1ps
`default_nettype none
// The fields of one MX9 word, {exp[7:0], micro[7:0], elem[15:0][7:0]}. Every slice is typed by hand from rule P3.
module unpack_mx9 (input wire [143:0] word);
  wire [7:0] elem0  = word[7:0];
  wire [7:0] elem1  = word[15:8];
  wire [7:0] elem2  = word[23:16];
  wire [7:0] elem3  = word[31:24];
  wire [7:0] elem4  = word[39:32];
  wire [7:0] elem5  = word[47:40];
  wire [7:0] elem6  = word[55:48];
  wire [7:0] elem7  = word[63:56];
  wire [7:0] elem8  = word[71:64];
  wire [7:0] elem9  = word[79:72];
  wire [7:0] elem10 = word[87:80];
  wire [7:0] elem11 = word[95:88];
  wire [7:0] elem12 = word[103:96];
  wire [7:0] elem13 = word[111:104];
  wire [7:0] elem14 = word[119:112];
  wire [7:0] elem15 = word[127:120];
  wire micro0 = word[128];
  wire micro1 = word[129];
  wire micro2 = word[130];
  wire micro3 = word[131];
  wire micro4 = word[132];
  wire micro5 = word[133];
  wire micro6 = word[134];
  wire micro7 = word[135];
  wire [7:0] exp = word[143:136];

  task show;
    begin
      $display("ELEM %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d",
               elem0, elem1, elem2, elem3, elem4, elem5, elem6, elem7,
               elem8, elem9, elem10, elem11, elem12, elem13, elem14, elem15);
      $display("SCALE0 %0d %0d %0d %0d %0d %0d %0d %0d",
               micro0, micro1, micro2, micro3, micro4, micro5, micro6, micro7);
      $display("SCALE1 %0d", exp);
    end
  endtask
endmodule
