"""A cocotb test of int8_dot: random operands on the ports, `qsim.Model` beside them as live reference. Run by test_rtl_designs.py."""

from __future__ import annotations

import random
from pathlib import Path

import cocotb
from cocotb.triggers import Timer

from qsim import Model

CASES = 300
LANES, PRODUCT, ACCUMULATOR = 16, 16, 18  # lanes, bits of a product and of the accumulator


def values(handle, bits: int) -> list[int]:  # type: ignore[no-untyped-def]
    """The signed values of a packed port, the first one lowest."""
    pattern = handle.value.to_unsigned()
    fields = [pattern >> i * bits & ((1 << bits) - 1) for i in range(LANES)]
    return [v - (v >> (bits - 1) << bits) for v in fields]


@cocotb.test()
async def agrees_with_the_model(dut) -> None:  # type: ignore[no-untyped-def]
    """Every product, every partial sum and the result, for operands that often saturate."""
    model = Model(Path(__file__).with_name("int8_dot.toml"))
    rng = random.Random(1)
    saturated = 0
    for _ in range(CASES):
        operands = [sum(rng.choice((0x7F, 0x80, rng.getrandbits(8))) << 8 * i for i in range(LANES)) for _ in range(2)]
        bias = rng.choice((0, -(1 << 17), (1 << 17) - 1, rng.randint(-(1 << 17), (1 << 17) - 1)))
        dut.a.value, dut.w.value = operands
        dut.bias.value = bias
        await Timer(1, "ns")
        out = model(activation=operands[0], weight=operands[1], bias=bias)
        assert values(dut.products, PRODUCT) == out.taps["products"]
        assert values(dut.partial_sums, ACCUMULATOR) == out.taps["partial_sums"]
        assert dut.result.value.to_unsigned() == out.result
        saturated += out.events["accumulator"] > 0
    assert saturated > CASES // 10
