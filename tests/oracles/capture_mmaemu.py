"""Outputs of mmaemu 0.1.0 (PyPI; a model whose Ada and Hopper presets its authors compared with GPUs) -> tests/data/mmaemu.npz.

Needs torch and `pip install --no-deps mmaemu`. Per set PRESET_A_B: a, b (n,128) and c (n,) -> d (n,); slow_*: promotion every 128,
K = 512, without c. All float32 patterns.
"""

from __future__ import annotations

from pathlib import Path

import mmaemu
import numpy as np
import torch
from mmaemu.model.chain import dot

N, K = 96, 128
TYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
OUT = Path(__file__).resolve().parent.parent / "data" / "mmaemu.npz"


def codes(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> torch.Tensor:
    """FP8 codes, a third of the rows each: any finite code, few exponents, many zeros and subnormals."""
    top = 0x7F if kind == "e4m3" else 0x7C
    any_code = rng.integers(0, top, shape)
    middle = rng.integers(top // 2 - 12, top // 2 + 12, shape)
    small = np.where(rng.integers(0, 2, shape), rng.integers(0, 9, shape), any_code)
    third = np.arange(shape[0])[:, None] % 3
    magnitude = np.select([third == 0, third == 1], [any_code, middle], small)
    return torch.from_numpy((magnitude | rng.integers(0, 2, shape) << 7).astype(np.uint8)).view(TYPES[kind])


def bits(x: torch.Tensor) -> np.ndarray:
    return x.float().numpy().view(np.uint32)


def main() -> None:
    rng, saved = np.random.default_rng(7), {}
    for preset in ("ada", "hopper"):
        for fa, fb in (("e4m3", "e4m3"), ("e5m2", "e5m2"), ("e4m3", "e5m2")):
            a, b = codes(rng, (N, K), fa), codes(rng, (N, K), fb)
            sign, field = rng.integers(0, 2, N) << 31, rng.integers(100, 145, N) << 23
            c = torch.from_numpy((sign | field | rng.integers(0, 1 << 23, N)).astype(np.uint32).view(np.float32))
            c[::8] = 0
            name = f"{preset}_{fa}_{fb}"
            saved |= {
                f"{name}_a": bits(a),
                f"{name}_b": bits(b),
                f"{name}_c": bits(c),
                f"{name}_d": bits(dot(a, b, c, preset=preset)),
            }
        a, b = codes(rng, (16, 512), "e4m3"), codes(rng, (16, 512), "e4m3")
        d = mmaemu.accumulate(a, b, use_fast_accum=False, profile=preset, splitk=1)
        saved |= {f"slow_{preset}_a": bits(a), f"slow_{preset}_b": bits(b), f"slow_{preset}_d": bits(d)}
    np.savez_compressed(OUT, **saved)


if __name__ == "__main__":
    main()
