"""Million cases a second of one dot product, or of one chain: derived by the kernels, compared with a suite, and read from text.

Targets of dot products: check and verify 1 M/s, parsing of readmemh text included 0.2 M/s. check derives every register and the
result from the packed operands and compares them with the suite as words; `CPU` is its time on all threads, in ns a case. The
columns `with taps` compare or read every register too. Parsing starts from bytes in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from tabulate import tabulate

from benchmarks.dot import best
from qsim.datapath.datapaths import load_datapath
from qsim.golden.check import differing
from qsim.golden.columns import from_values, to_patterns
from qsim.golden.export.images import image_text
from qsim.golden.outputs import Column, Outputs
from qsim.golden.readmem import parse_memory
from qsim.golden.suite import Case, Suite
from qsim.golden.unit import Unit
from qsim.golden.unit_kernels import evaluate_bytes
from qsim.golden.verify import verify

CASES = 1 << 17
#: kind, datapath, elements. Block formats: a block, and the two steps and more of the checked-in suites.
UNITS = (
    ("dot", "int8_saturate24", 16),
    ("dot", "tflite_conv", 16),
    *(("dot", name, 16) for name in ("mx9_bdr", "mx6_bdr", "mx4_bdr", "mx9_fixed40", "vsq4_int24", "nvfp4_tcgen05")),
    *(("dot", name, 32) for name in ("mxfp8_e4m3_tcgen05", "mxfp8_e4m3_fp32", "mxfp4_tcgen05")),
    ("dot", "mx9_bdr", 80),
    ("dot", "nvfp4_tcgen05", 80),
    ("dot", "mxfp8_e4m3_tcgen05", 64),
    ("dot", "mxfp4_tcgen05", 96),
    ("chain", "mx9_bdr", 16),
    ("chain", "vsq4_int24", 16),
    ("chain", "mxfp8_e4m3_tcgen05", 32),
)


@click.command("golden", help=__doc__)
@click.option("--datapath", "names", multiple=True, help="Only these datapaths.")
@click.option("--cases", default=CASES, show_default=True)
def command(names: tuple[str, ...], cases: int) -> None:
    rows = [row(kind, name, k, cases) for kind, name, k in UNITS if not names or name in names]
    headers = ("unit", "K", "check", "CPU ns", "verify", "with taps", "parse", "with taps", "parse and verify", "with taps")
    click.echo(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))


def row(kind: str, name: str, k: int, cases: int) -> list[str]:
    suite = suite_of(Unit(kind, load_datapath(name), None, k), name, cases)
    unit = suite.unit
    assert not differing(suite)
    texts = {p.name: image_text("out", p.bits, suite.words(p.name), "readmemh").encode() for p in unit.outputs}
    whole = Outputs({p.name: Column(suite.words(p.name)) for p in unit.outputs}, "the kernels")
    result = Outputs({"result": whole.columns["result"]}, "the kernels")
    assert verify(suite, whole).agrees

    def parsed(*ports: str) -> Outputs:
        memories = {name: parse_memory(texts[name], unit.port(name).bits, "hex", name) for name in ports}
        return Outputs({name: Column(m.words, m.unknown, m.ids) for name, m in memories.items()}, "readmemh text")

    spent = min(processor_time(lambda: differing(suite)) for _ in range(5))
    times = [
        best(lambda: verify(suite, result)),
        best(lambda: verify(suite, whole)),
        best(lambda: parsed("result")),
        best(lambda: parsed(*texts)),
        best(lambda: verify(suite, parsed("result"))),
        best(lambda: verify(suite, parsed(*texts))),
    ]
    rates = [f"{cases / seconds / 1e6:.2f}" for seconds in (best(lambda: differing(suite)), *times)]
    return [f"{kind} {name}", str(k), rates[0], f"{spent / cases * 1e9:.0f}", *rates[1:]]


def processor_time(call: Callable[[], Any]) -> float:
    """Seconds on all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start


def suite_of(unit: Unit, name: str, cases: int) -> Suite:
    """Random operands and what the kernels make of them."""
    columns = {port.name: stimulus(unit, port.name, cases) for port in unit.inputs}
    whole = columns | evaluate_bytes(unit, columns)
    patterns = [to_patterns(whole[port.name]) for port in unit.ports]
    names = [port.name for port in unit.ports]
    listed = tuple(Case(i, ("Random",), dict(zip(names, v, strict=True))) for i, v in enumerate(zip(*patterns, strict=True), 1))
    return Suite(name, unit, listed, {"Random": "Random operands."}, written_by="kernel")


def stimulus(unit: Unit, name: str, cases: int) -> Any:
    """Random words; block scales near 1, other scales 1; Gaussian floats; multipliers and shifts as small layers have them."""
    port = unit.port(name)
    rng = np.random.default_rng(len(name))
    fixed = {"multiplier": (1 << 30, 1 << 31), "shift": (-12, -6)}
    if name in fixed:
        return from_values(rng.integers(*fixed[name], (cases, 1)), port)
    if port.kind == "float32":
        return from_values(rng.standard_normal((cases, port.count)).astype(np.float32), port)
    if "_scale" in name:
        return from_values(np.full((cases, 1), 0x3F800000 if port.width == 32 else 0x3C00), port)
    words = rng.integers(0, 256, (cases, -(-port.bits // 8)), np.uint8)
    if port.kind == "word" and port.width > 64 and port.width % 8 == 0:
        for word in range(port.count):  # the block scale is the top byte of a word, E8M0 or E4M3
            top = (word + 1) * port.width // 8 - 1
            words[:, top] = rng.integers(120, 134, cases) if "nvfp4" not in str(unit.datapath) else rng.integers(40, 64, cases)
    spare = -port.bits % 8
    words[:, -1] &= 0xFF >> spare
    return words
