`timescale 1ns/1ps
`default_nettype none
// Cuts the words out of the packed bytes, compares them with the list of words, and shows the fields of each.
// In the working directory, bytes.hex: the bytes of pack() in memory order, one a line. words.hex: to_words(), one a line.
module tb_unpack;
  parameter W = 8;       // bits of a word
  parameter WORDS = 1;
  parameter BYTES = 1;
  parameter CHANNELS = 0; // FP16 scales after the words
  reg [7:0] memory [0:BYTES-1];
  reg [W-1:0] words [0:WORDS-1];
  reg [8*BYTES-1:0] stream;
  reg [W-1:0] word, fold;
  integer i, fd, err, undef;

  `DUT dut (.word(word));

  initial begin
    fd = $fopen("bytes.hex", "r"); if (fd == 0) $fatal(1, "cannot open bytes.hex"); $fclose(fd);
    fd = $fopen("words.hex", "r"); if (fd == 0) $fatal(1, "cannot open words.hex"); $fclose(fd);
    $readmemh("bytes.hex", memory);
    $readmemh("words.hex", words);
    for (i = 0; i < BYTES; i = i + 1) stream[8*i +: 8] = memory[i];
    err = 0; undef = 0; fold = 0;
    for (i = 0; i < WORDS; i = i + 1) begin
      word = stream[W*i +: W];
      #1;
      fold = fold ^ word;
      if ((^{word, words[i]}) === 1'bx) undef = undef + 1;
      if (word !== words[i]) begin
        err = err + 1;
        $display("MISMATCH word=%0d bytes=%h words=%h", i, word, words[i]);
      end
      $display("WORD %0d", i);
      dut.show;
    end
    for (i = 0; i < CHANNELS; i = i + 1) $display("CHANNEL %0d", stream[W*WORDS + 16*i +: 16]);
    $display("RESULT n=%0d err=%0d undef=%0d fold=%h", WORDS, err, undef, fold);
    if (err != 0 || undef != 0) $fatal(1, "the words do not agree");
    $finish;
  end
endmodule
