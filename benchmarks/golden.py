"""Million cases a second of one dot product: computed by the kernels, compared with a suite, and read from readmemh text.

Targets: check and verify 1 M/s, read 0.2 M/s. check computes, and the columns `with taps` compare or read, every register too.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from tabulate import tabulate

from benchmarks.dot import best
from qsim.datapath.datapaths import load_datapath
from qsim.golden.columns import from_values
from qsim.golden.outputs import Column, Outputs
from qsim.golden.patterns import from_ints
from qsim.golden.readmem import parse_memory
from qsim.golden.suite import Case, Suite
from qsim.golden.unit import Unit
from qsim.golden.unit_kernels import evaluate_bytes, evaluate_many
from qsim.golden.verify import verify

CASES = 1 << 17
UNITS = (("int8_saturate24", 16), ("tflite_conv", 16), ("mx9_fixed40", 16), ("mxfp8_e4m3_fp32", 32))


@click.command("golden", help=__doc__)
@click.option("--datapath", "names", multiple=True, help="Only these datapaths, K = 16 or a block.")
@click.option("--cases", default=CASES, show_default=True)
def command(names: tuple[str, ...], cases: int) -> None:
    rows = [row(name, k, cases) for name, k in (UNITS if not names else [(name, 16) for name in names])]
    headers = ("datapath", "K", "check", "verify", "with taps", "parse", "with taps", "parse and verify, with taps")
    click.echo(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))


def row(name: str, k: int, cases: int) -> list[str]:
    unit = Unit("dot", load_datapath(name), None, k)
    columns = {port.name: stimulus(unit, port.name, cases) for port in unit.inputs}
    checked = best(lambda: evaluate_bytes(unit, columns))
    found = evaluate_many(unit, columns)
    names = list(found)
    inputs = {name: 0 for name in columns}
    listed = tuple(
        Case(i, ("Random",), inputs | dict(zip(names, values, strict=True)))
        for i, values in enumerate(zip(*found.values(), strict=True), 1)
    )
    suite = Suite(name, unit, listed, {"Random": "Random operands."}, written_by="kernel")
    texts = {p.name: image(found[p.name], p.bits) for p in unit.outputs}
    whole = Outputs({p.name: Column(from_ints(found[p.name], p.bits)) for p in unit.outputs}, "the kernels")
    result = Outputs({"result": whole.columns["result"]}, "the kernels")
    assert verify(suite, whole).agrees

    def parsed(*ports: str) -> Outputs:
        memories = {name: parse_memory(texts[name], unit.port(name).bits, "hex", name) for name in ports}
        return Outputs({name: Column(m.words, m.unknown, m.ids) for name, m in memories.items()}, "readmemh text")

    times = [
        checked,
        best(lambda: verify(suite, result)),
        best(lambda: verify(suite, whole)),
        best(lambda: parsed("result")),
        best(lambda: parsed(*texts)),
        best(lambda: verify(suite, parsed(*texts))),
    ]
    return [name, str(k), *(f"{cases / t / 1e6:.2f}" for t in times)]


def stimulus(unit: Unit, name: str, cases: int) -> Any:
    """Random words; scales near 1, multipliers and shifts as small layers have them."""
    port = unit.port(name)
    rng = np.random.default_rng(len(name))
    fixed = {"multiplier": (1 << 30, 1 << 31), "shift": (-12, -6)}
    if name in fixed:
        return from_values(rng.integers(*fixed[name], (cases, 1)), port)
    words = rng.integers(0, 256, (cases, -(-port.bits // 8)), np.uint8)
    for word in range(port.count if port.kind == "word" and port.width > 64 else 0):  # an E8M0 scale in the top byte of a word
        words[:, (word + 1) * port.width // 8 - 1] = rng.integers(120, 134, cases)
    return words


def image(patterns: list[int], bits: int) -> bytes:
    """The text that a test bench writes."""
    return ("// out\n" + "".join([f"{p:0{-(-bits // 4)}x}\n" for p in patterns])).encode()
