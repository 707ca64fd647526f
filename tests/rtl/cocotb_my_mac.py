"""The cocotb test of docs/verify-rtl.md: every case of a suite on the ports of my_mac. Run by test_verify_rtl_walk.py."""

import cocotb
from cocotb.triggers import Timer

import qsim


@cocotb.test()
async def agrees_with_the_suite(dut):  # type: ignore[no-untyped-def]
    board = qsim.verify.Scoreboard("dot/my_mac.json")
    for case in board.cases:
        dut.a.value, dut.w.value, dut.bias.value = (case.values[p] for p in ("activation", "weight", "bias"))
        await Timer(1, "ns")
        board.check(case.id, sums=dut.sums, y=dut.y)
    board.finish()


@cocotb.test()
async def agrees_with_the_model(dut):  # type: ignore[no-untyped-def]
    import random

    board = qsim.verify.Scoreboard(qsim.Model("my_mac.toml"))
    for _ in range(1000):
        a, w, bias = (random.getrandbits(bits) for bits in (64, 64, 16))
        dut.a.value, dut.w.value, dut.bias.value = a, w, bias
        await Timer(1, "ns")
        board.check(activation=a, weight=w, bias=bias, sums=dut.sums, y=dut.y)
    board.finish()
