`timescale 1ns/1ps
`default_nettype none
// The fields of one MXFP4 word, {exp[7:0], elem[31:0][3:0]}. Every slice is typed by hand from rule P3.
module unpack_mxfp4 (input wire [135:0] word);
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
  wire [3:0] elem16 = word[67:64];
  wire [3:0] elem17 = word[71:68];
  wire [3:0] elem18 = word[75:72];
  wire [3:0] elem19 = word[79:76];
  wire [3:0] elem20 = word[83:80];
  wire [3:0] elem21 = word[87:84];
  wire [3:0] elem22 = word[91:88];
  wire [3:0] elem23 = word[95:92];
  wire [3:0] elem24 = word[99:96];
  wire [3:0] elem25 = word[103:100];
  wire [3:0] elem26 = word[107:104];
  wire [3:0] elem27 = word[111:108];
  wire [3:0] elem28 = word[115:112];
  wire [3:0] elem29 = word[119:116];
  wire [3:0] elem30 = word[123:120];
  wire [3:0] elem31 = word[127:124];
  wire [7:0] exp = word[135:128];

  task show;
    begin
      $display("ELEM %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d %0d",
               elem0, elem1, elem2, elem3, elem4, elem5, elem6, elem7,
               elem8, elem9, elem10, elem11, elem12, elem13, elem14, elem15,
               elem16, elem17, elem18, elem19, elem20, elem21, elem22, elem23,
               elem24, elem25, elem26, elem27, elem28, elem29, elem30, elem31);
      $display("SCALE0 %0d", exp);
    end
  endtask
endmodule
