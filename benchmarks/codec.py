"""ns per element of encode, decode, quantize, pack and unpack on 2^24 float32, against numpy.copyto and peers in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from tabulate import tabulate

import qsim

N = 1 << 24
FORMATS = (
    *("mx9", "mx6", "mx4", "bfp", "vsq4", "nvfp4"),
    *("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4", "mxint8"),
    *("int8", "int4", "int16", "uint8", "binary", "ternary"),
    *("fp8_e4m3", "fp8_e5m2", "fp6_e3m2", "fp6_e2m3", "fp4_e2m1", "bf16", "fp16"),
)
ML_DTYPES = {
    "fp8_e4m3": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
    "fp6_e3m2": "float6_e3m2fn",
    "fp6_e2m3": "float6_e2m3fn",
    "fp4_e2m1": "float4_e2m1fn",
    "bf16": "bfloat16",
}


def best(call: Callable[[], Any], seconds: float = 0.25) -> float:
    """Shortest wall time of repeated calls, ns per element."""
    call()
    shortest, end = float("inf"), time.perf_counter() + seconds
    for i in range(50):
        start = time.perf_counter()
        call()
        stop = time.perf_counter()
        shortest = min(shortest, stop - start)
        if stop > end and i >= 4:
            break
    return shortest / N * 1e9


def copyto(x: np.ndarray, out: np.ndarray) -> float:
    return best(lambda: np.copyto(out, x))


def measure(name: str, x: np.ndarray, out: np.ndarray) -> dict[str, float]:
    """Times of one format; scales of a whole tensor or channel as the format declares them."""
    x = x.reshape(4096, 4096)
    out = out.reshape(x.shape)
    q = qsim.encode(x, name)
    data = q.pack()
    fmt = q.format
    times = {
        "encode": best(lambda: qsim.encode(x, name)),
        "decode": best(lambda: q.decode(out=out)),
        "quantize": best(lambda: qsim.quantize(x, name, out=out)),
        "pack": best(q.pack),
        "unpack": best(lambda: qsim.unpack(data, fmt, x.shape)),
    }
    if fmt.family not in ("binary", "ternary"):
        times["stochastic"] = best(lambda: qsim.quantize(x, name, rounding="stochastic", random=1, out=out))
    return times


def peers(x: np.ndarray) -> dict[str, float]:
    """Casts of other libraries, those that are installed."""
    found: dict[str, float] = {}
    try:
        import ml_dtypes
    except ImportError:
        return found
    for name, dtype in ML_DTYPES.items():
        cast = getattr(ml_dtypes, dtype)
        found[f"ml_dtypes {name}"] = best(lambda c=cast: x.astype(c), 0.1)
    found["numpy fp16"] = best(lambda: x.astype(np.float16), 0.1)
    try:
        import torch
        from torchao.prototype.mx_formats.mx_tensor import ScaleCalculationMode, to_mx
    except ImportError:
        return found
    t = torch.from_numpy(x.reshape(4096, 4096))
    torch.set_num_threads(2)
    for name, dtype in (("mxfp8_e4m3", torch.float8_e4m3fn), ("mxfp4", torch.float4_e2m1fn_x2)):
        found[f"torchao {name}"] = best(lambda d=dtype: to_mx(t, d, 32, ScaleCalculationMode.FLOOR), 0.1)
    found["torch fp8_e4m3"] = best(lambda: t.to(torch.float8_e4m3fn), 0.1)
    try:
        from quark.torch.kernel.hw_emulation.hw_emulation_interface import fake_quantize_mx6_mx9
    except ImportError:
        return found
    found["quark mx9"] = best(lambda: fake_quantize_mx6_mx9(t, axis=-1, block_size=16, quant_bit=8, sub_block_size=2), 0.1)
    return found


@click.command("codec", help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--format", "names", multiple=True, help="Only these formats.")
@click.option("--threads", multiple=True, type=int, help="Thread counts (default 1 and 2).")
def command(as_json: bool, names: tuple[str, ...], threads: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(N).astype(np.float32)
    out = np.empty_like(x)
    out[:] = 0
    report: dict[str, Any] = {"elements": N, "copyto": copyto(x, out), "rows": []}
    for n in threads or (1, 2):
        qsim.set_num_threads(n)
        for name in names or FORMATS:
            base = copyto(x, out)
            report["rows"].append({"format": name, "threads": n, "copyto": base, **measure(name, x, out)})
    report["peers"] = peers(x)
    if as_json:
        click.echo(json.dumps(report, indent=1))
        return
    columns = ("encode", "decode", "quantize", "stochastic", "pack", "unpack")
    table = [
        [
            r["format"],
            r["threads"],
            f"{r['copyto']:.3f}",
            *(f"{r[c]:.3f} ({r[c] / r['copyto']:.2f}x)" if c in r else "" for c in columns),
        ]
        for r in report["rows"]
    ]
    click.echo("ns per element (ratio to numpy.copyto of the same float32 array, measured beside it)\n")
    click.echo(tabulate(table, headers=("format", "threads", "copyto", *columns), tablefmt="github"))
    fastest = {r["format"]: r for r in report["rows"]}
    rows = []
    for name, t in report["peers"].items():
        mine = fastest.get(name.split()[-1])
        rows.append(
            [name, f"{t:.3f}", f"{t / mine['encode']:.1f}x" if mine else "", f"{t / mine['quantize']:.1f}x" if mine else ""]
        )
    click.echo("\n" + tabulate(rows, headers=("peer", "ns", "qsim encode is faster by", "quantize by"), tablefmt="github"))
