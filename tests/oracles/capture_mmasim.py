"""Dot products of block formats by MMA-Sim's functions -> tests/data/mmasim.npz.

    PYTHONPATH=MMA-Sim/src/mmasim python tests/oracles/capture_mmasim.py

Needs torch and a checkout of github.com/microsoft/MMA-Sim (commit 0cb7846, MIT licence): `st_fdpa` of mmasim/arithmetic/fdpa.py for
MXFP8 (32 products a step, F = 25), `gst_fdpa` for MXFP4 and NVFP4 (sums of 16, 64 products a step, F = 35), both cut to float32, as
its model of Blackwell's tcgen05.mma has them. MX9, MX6 and MX4, which it does not know, are put together from its functions:
`gst_fdpa` of four blocks with F = 25, rounded to float32, then one float32 addition by torch; its exponents end at -126, so that
rows with a step whose largest exponent is lower are left out.
Rows: the operands of every checked-in case of the dot suites whose tensor scales are 1, then rows drawn here. Nothing of qsim is
used: the suites are read as JSON. Per datapath NAME: `NAME_activation`, `NAME_weight` (n, bytes of the packed blocks, lowest byte
first), `NAME_c`, `NAME_d` (n,) uint32 = float32 bits.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from mmasim.arithmetic import fdpa

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "tests" / "data" / "mmasim.npz"
DRAWN = 400
ONE = 0x3F800000
E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
#: datapath -> element bits, scale bits, elements a block, blocks, products a step
FORMATS = {
    "mxfp8_e4m3_tcgen05": (8, 8, 32, 2, 32),
    "mxfp8_e5m2_tcgen05": (8, 8, 32, 2, 32),
    "mxfp4_tcgen05": (4, 8, 32, 3, 64),
    "nvfp4_tcgen05": (4, 8, 16, 5, 64),
    **{f"mx{bits}_bdr": (bits - 1, 16, 16, 5, 64) for bits in (9, 6, 4)},  # m + 1 bits, 8 microexponents, an exponent
}


def split(pattern: int, width: int, count: int) -> list[int]:
    """Fields of a pattern, the lowest first."""
    return [pattern >> (width * i) & ((1 << width) - 1) for i in range(count)]


def elements(name: str, word: int) -> torch.Tensor:
    """The elements of a block as MMA-Sim takes them."""
    width, _, block, _, _ = FORMATS[name]
    codes = split(word, width, block)
    if name.endswith("_bdr"):
        top = 1 << (width - 1)
        micro = split(word >> (width * block), 1, block // 2)
        steps = [2.0 ** (2 - width - micro[i // 2]) for i in range(block)]
        values = [(c & (top - 1)) * (-1 if c & top else 1) * step for c, step in zip(codes, steps, strict=True)]
        return torch.tensor(values, dtype=torch.float16)
    if name.startswith("mxfp8"):
        kind = torch.float8_e4m3fn if "e4m3" in name else torch.float8_e5m2
        return torch.tensor(codes, dtype=torch.uint8).view(kind)
    return torch.tensor([E2M1[c & 7] * (-1.0 if c & 8 else 1.0) for c in codes], dtype=torch.float16)


def scales(name: str, words: list[int]) -> torch.Tensor:
    """The scales of blocks as MMA-Sim takes them; E8M0 in float64, which holds every one."""
    width, bits, block, _, _ = FORMATS[name]
    codes = [word >> (width * block + bits - 8) for word in words]
    if name.startswith("nvfp4"):
        return torch.tensor(codes, dtype=torch.uint8).view(torch.float8_e4m3fn)
    return torch.tensor([float("nan") if c == 255 else 2.0 ** (c - 127) for c in codes], dtype=torch.float64)


def dot(name: str, activation: int, weight: int, bias: int) -> int | None:
    """One row: packed blocks and the addend's bits -> the result's bits; None for a row that is left out."""
    width, scale_bits, block, blocks, step = FORMATS[name]
    sides = []
    for pattern in (activation, weight):
        words = split(pattern, width * block + scale_bits, blocks)
        sides.append((torch.cat([elements(name, word) for word in words]), scales(name, words)))
    (a, sa), (b, sb) = sides
    c = torch.from_numpy(np.array(bias, np.uint32).view(np.float32).reshape(1).copy())[0]
    for i in range(0, len(a), step):
        j = min(i + step, len(a))
        part = slice(i // block, j // block)
        if name.endswith("_bdr"):
            zero, sums = torch.tensor(0.0), (a[i:j].double() * b[i:j].double()).view(-1, 16).sum(1)
            largest = (sa[part] * sb[part])[sums != 0]
            if len(largest) and not largest.isnan().any() and largest.max() < 2.0**-126:
                return None
            c = c + fdpa.gst_fdpa(a[i:j], b[i:j], zero, sa[part], sb[part], 16, 25, "RNE-FP32")
        elif step == 32:
            c = fdpa.st_fdpa(a[i:j], b[i:j], c, sa[part], sb[part], 25, "RZ-FP32")
        else:
            c = fdpa.gst_fdpa(a[i:j], b[i:j], c, sa[part], sb[part], 16, 35, "RZ-FP32")
    return int(c.view(torch.int32).item()) & 0xFFFFFFFF


def drawn(name: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """Any finite codes, scales near each other or anywhere, an addend about as large as the sum."""
    width, scale_bits, block, blocks, _ = FORMATS[name]
    spread = int(rng.choice([1, 6, 30]))
    middle = 0x38 if name.startswith("nvfp4") else 127
    top = {"mxfp8_e4m3": 0x7F, "mxfp8_e5m2": 0x7C}.get(name.removesuffix("_tcgen05"), 1 << (width - 1))
    patterns = []
    for _ in range(2):
        pattern = 0
        for i in range(blocks):
            word = int(np.clip(middle + rng.integers(-spread, spread + 1), 0, 0x7E if middle == 0x38 else 254))
            if scale_bits > 8:
                word = word << (scale_bits - 8) | int(rng.integers(1 << (scale_bits - 8)))
            for _ in range(block):
                code = int(rng.integers(top)) * int(rng.integers(4) > 0) | int(rng.integers(2)) << (width - 1)
                word = word << width | code
            pattern |= word << ((width * block + scale_bits) * i)
        patterns.append(pattern)
    field = int(np.clip(127 + rng.integers(-2 * spread, 2 * spread + 12), 0, 254)) if rng.integers(4) else 0
    fraction = int(rng.integers(1 << 23)) if field else 0
    return patterns[0], patterns[1], int(rng.integers(2)) << 31 | field << 23 | fraction


def rows(name: str) -> list[tuple[int, int, int]]:
    """Operands of the suite's cases, then drawn ones."""
    found = []
    path = ROOT / "golden" / "dot" / f"{name}.json"
    for case in json.loads(path.read_text())["cases"] if path.exists() else []:
        if all(int(case.get(f"{side}_scale0", hex(ONE)), 16) == ONE for side in ("activation", "weight")):
            found.append(tuple(int(case[port], 16) for port in ("activation", "weight", "bias")))
    rng = np.random.default_rng(sum(name.encode()))
    return found + [drawn(name, rng) for _ in range(DRAWN)]


def main() -> None:
    saved = {}
    for name, (width, scale_bits, block, blocks, _) in FORMATS.items():
        size = (width * block + scale_bits) * blocks // 8
        results = {row: dot(name, *row) for row in rows(name)}
        taken = [row for row, result in results.items() if result is not None]
        for i, side in enumerate(("activation", "weight")):
            saved[f"{name}_{side}"] = np.array([list(row[i].to_bytes(size, "little")) for row in taken], np.uint8)
        saved[f"{name}_c"] = np.array([row[2] for row in taken], np.uint32)
        saved[f"{name}_d"] = np.array([results[row] for row in taken], np.uint32)
        print(name, len(taken))
    np.savez_compressed(OUT, **saved)


if __name__ == "__main__":
    main()
