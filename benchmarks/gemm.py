"""Integer matrix products: exact, saturating at each add, as a tensor core sums; beside numpy, onnxruntime and torch, one run.

Every row is timed in bursts, in rounds over all rows, because threads of a library that wait busily disturb what runs next; the
shortest call counts. `same bits`: the result is the exact product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import click
import numpy as np
from tabulate import tabulate

import qsim
from benchmarks import dot
from qsim.codec.threads import num_threads
from qsim.datapath.gemm import exact_gemm

SMALL = 256  # side of numpy's integer product, which has no BLAS
NUMPY, ORT, COPY = "numpy float32", "onnxruntime MatMulInteger u8 x s8", "numpy.copyto int32"


@dataclass
class Row:
    """One thing to time.

    call: None where the library is not installed. work: million products or values of a call. exact: gives the exact product.
    target: the rate to reach, as a part of the rate of the row `of`; in million per second where there is none.
    """

    name: str
    call: Callable[[], Any] | None
    work: float
    exact: Callable[[], Any] | None = None
    of: str = ""
    target: float = 0.0
    seconds: float = float("inf")

    @property
    def rate(self) -> float:
        """Million operations per second."""
        return self.work / self.seconds

    def time(self, seconds: float) -> None:
        """A burst of calls."""
        if self.call is None:
            return
        self.call()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            self.call()
            self.seconds = min(self.seconds, time.perf_counter() - start)


def bytes_of(side: int) -> dict[str, np.ndarray]:
    """Two matrices of all bytes, signed and unsigned."""
    a, w = np.random.default_rng(0).integers(0, 256, (2, side, side), dtype=np.uint8)
    return {"ua": a, "sa": a.view(np.int8), "uw": w, "sw": w.view(np.int8)}


def portable(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """exact_gemm as it runs without AVX512-VNNI."""
    from qsim.kernels import gemm as kernels

    with patch.object(kernels, "available", lambda: False):
        return exact_gemm(a, w)


def exact_rows(x: dict[str, np.ndarray], side: int) -> list[Row]:
    work, rows = side**3 / 1e6, []
    for s, t in ("us", "ss", "uu"):
        a, w = x[f"{s}a"], x[f"{t}w"]
        fast, slow = (lambda a=a, w=w: exact_gemm(a, w)), (lambda a=a, w=w: portable(a, w))
        rows.append(Row(f"qsim exact {s}8 x {t}8", fast, work, slow, ORT, 0.8))
        rows.append(Row(f"qsim exact {s}8 x {t}8, portable", slow, work, fast, NUMPY, 0.8))
    wide = x["ua"].astype(np.int16) * 128
    f, g = x["sa"].astype(np.float32), x["sw"].astype(np.float32)
    i, j = (x[name][:SMALL, :SMALL].astype(np.int32) for name in ("sa", "sw"))
    return [
        *rows,
        Row("qsim exact s16 x s8", lambda: exact_gemm(wide, x["sw"]), work, lambda: portable(wide, x["sw"])),
        Row(NUMPY, lambda: f @ g, work),
        Row(f"numpy int32, side {SMALL}", lambda: i @ j, SMALL**3 / 1e6, lambda: exact_gemm(i, j)),
    ]


def onnxruntime_rows(x: dict[str, np.ndarray], side: int) -> list[Row]:
    work, s8 = side**3 / 1e6, "onnxruntime MatMulInteger s8 x s8"
    try:
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper
    except ImportError:
        return [Row(name, None, work) for name in (ORT, s8)]

    def session(a_type: int, packed: bool) -> Any:
        value = helper.make_tensor_value_info
        w = helper.make_tensor("w", TensorProto.INT8, [side, side], x["sw"].tobytes(), raw=True)
        inputs = [value("a", a_type, [side, side]), *([] if packed else [value("w", TensorProto.INT8, [side, side])])]
        node = helper.make_node("MatMulInteger", ["a", "w"], ["c"])
        outputs = [value("c", TensorProto.INT32, [side, side])]
        graph = helper.make_graph([node], "g", inputs, outputs, [w] if packed else [])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads()
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    before, given, signed = session(TensorProto.UINT8, True), session(TensorProto.UINT8, False), session(TensorProto.INT8, True)
    a, s, w = x["ua"], x["sa"], x["sw"]
    u_w, s_w = (lambda: exact_gemm(a, w)), (lambda: exact_gemm(s, w))
    return [
        Row(ORT, lambda: given.run(None, {"a": a, "w": w})[0], work, u_w),
        Row(f"{ORT}, w packed before", lambda: before.run(None, {"a": a})[0], work, u_w),
        Row(f"{s8}, w packed before", lambda: signed.run(None, {"a": s})[0], work, s_w),
    ]


def torch_rows(x: dict[str, np.ndarray], side: int) -> list[Row]:
    work, name = side**3 / 1e6, "torch._int_mm s8 x s8"
    try:
        import torch
    except ImportError:
        return [Row(name, None, work)]
    torch.set_num_threads(num_threads())
    a, w = (torch.from_numpy(x[key]) for key in ("sa", "sw"))
    by_columns = torch.from_numpy(np.ascontiguousarray(x["sw"].T)).t()
    wanted = lambda: exact_gemm(x["sa"], x["sw"])  # noqa: E731
    return [
        Row(name, lambda: torch._int_mm(a, w).numpy(), work, wanted),
        Row(f"{name}, w by columns", lambda: torch._int_mm(a, by_columns).numpy(), work, wanted),
    ]


def datapath_rows(side: int) -> list[Row]:
    from qsim.datapath.accumulate import accumulate
    from qsim.spec.int_accumulator import IntAccumulator

    rng = np.random.default_rng(1)
    a, w = rng.integers(128, 256, (side, side), dtype=np.uint8), rng.integers(64, 128, (side, side), dtype=np.int8)
    acc = IntAccumulator(bits=24, overflow="saturate")  # every output saturates, so that none may take the exact product
    x, y = dot.operands("fp16")
    values = rng.integers(-(1 << 20), 1 << 20, (16 * side, side), dtype=np.int32)
    copy, scales = np.empty_like(values), np.linspace(1e-4, 5e-4, side).astype(np.float32)
    work = side**3 / 1e6
    saturating, core = (lambda: accumulate(a, w, acc)), (lambda: qsim.dot(x, y, None, "ampere", operand="fp16"))
    narrowed = lambda: qsim.requantize(values, "tflite_double", scale=scales)  # noqa: E731
    return [
        Row("qsim saturating per add, 24 bits, u8 x s8", saturating, work, target=25e3),
        Row("qsim tensor core (ampere, fp16)", core, x.size / 1e6, target=50),
        Row("qsim requantize (tflite_double)", narrowed, values.size / 1e6, None, COPY, 1 / 8),
        Row(COPY, lambda: np.copyto(copy, values), values.size / 1e6),
    ]


def show(row: Row, rows: dict[str, Row]) -> list[str]:
    """A row of the table."""
    if row.call is None:
        return [row.name, "not installed"]
    products = COPY not in (row.name, row.of)
    ratios = [f"{row.rate / rows[name].rate:.2g}" if products and rows[name].call else "" for name in (NUMPY, ORT)]
    same = "" if row.exact is None else "yes" if np.array_equal(row.call(), row.exact()) else "NO"
    return [row.name, f"{row.rate:.0f}", *ratios, same, *verdict(row, rows)]


def verdict(row: Row, rows: dict[str, Row]) -> list[str]:
    """The target and how much of that quantity was reached."""
    if not row.target or (row.of and rows[row.of].call is None):
        return []
    if not row.of:
        return [f"{row.target:.0f} M/s", f"{row.rate:.0f}"]
    return [f"{row.target:g} of {row.of.split()[0]}", f"{row.rate / rows[row.of].rate:.2f}"]


@click.command("gemm", help=__doc__)
@click.option("--side", default=1024, show_default=True, help="Side of the square matrices.")
@click.option("--rounds", default=8, show_default=True, help="Rounds over all rows.")
@click.option("--burst", default=0.25, show_default=True, help="Seconds of a burst.")
@click.option("--row", "parts", multiple=True, help="Only rows whose name contains this, and those that ratios need.")
def command(side: int, rounds: int, burst: float, parts: tuple[str, ...]) -> None:
    x = bytes_of(side)
    rows = [*exact_rows(x, side), *onnxruntime_rows(x, side), *torch_rows(x, side), *datapath_rows(side)]
    needed = (NUMPY, ORT, COPY)
    rows = [row for row in rows if not parts or row.name in needed or any(part in row.name for part in parts)]
    for _ in range(rounds):
        for row in rows:
            row.time(burst)
    named = {row.name: row for row in rows}
    headers = ("", "M/s", "/ numpy float32", "/ onnxruntime u8 x s8", "same bits", "target", "reached")
    click.echo(f"side {side}, {num_threads()} threads; M/s: million products (requantize and copyto: values) per second\n")
    click.echo(tabulate([show(row, named) for row in rows], headers=headers, tablefmt="github", disable_numparse=True))
