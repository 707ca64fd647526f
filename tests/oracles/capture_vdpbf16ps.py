"""Real outputs of the x86 instruction VDPBF16PS -> tests/data/vdpbf16ps.npz. Needs gcc and a CPU with AVX512_BF16."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
N, K = 4096, 8


def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patterns by kind, a quarter each: ordinary, cancelling, at the bottom of the range, anything finite and special."""
    rng = np.random.default_rng(20261122)
    kind = np.repeat(np.arange(4), N // 4)[:, None]

    def operand(c: bool) -> np.ndarray:
        shape = (N, 1 if c else K)
        sign = rng.integers(0, 2, shape) << 31
        fraction = rng.integers(0, 1 << 23, shape)
        field = np.select(
            [kind == 0, kind == 1, kind == 2],
            [
                rng.integers(118, 136, shape),
                127,
                rng.integers(0, 4, shape) if c else np.where(rng.integers(0, 9, shape), rng.integers(50, 65, shape), 0),
            ],
            rng.integers(0, 256, shape),
        )
        fraction = np.where((kind > 1) & (rng.integers(0, 3, shape) == 0), 0, fraction)
        zero = (kind > 0) & (rng.integers(0, 8, shape) == 0)
        bits = np.where(zero, sign, sign | field << 23 | fraction)
        return bits.astype(np.uint32) if c else (bits & 0xFFFF0000).astype(np.uint32)

    a, b, c = operand(False), operand(False), operand(True)[:, 0]
    back = N // 4 + np.arange(N // 8)  # the second pair takes the first one back, up to one bit
    a[back, 2:4], b[back, 2:4] = a[back, 0:2] ^ 0x80000000, b[back, 0:2] ^ 0x00010000
    return a, b, c


def main() -> None:
    a, b, c = inputs()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "vdpbf16ps.so"
        flags = ["-O2", "-mavx512f", "-mavx512bf16", "-shared", "-fPIC"]
        subprocess.run(["gcc", *flags, str(HERE / "capture_vdpbf16ps.c"), "-o", str(library)], check=True)
        rows = ctypes.CDLL(str(library)).rows
        halves = [np.ascontiguousarray(x >> 16, dtype=np.uint16) for x in (a, b)]
        d = np.empty(N, np.uint32)
        rows(*(x.ctypes.data_as(ctypes.c_void_p) for x in (*halves, c, d)), ctypes.c_long(N), ctypes.c_long(K))
    np.savez_compressed(HERE.parent / "data" / "vdpbf16ps.npz", a=a, b=b, c=c, d=d)


if __name__ == "__main__":
    main()
