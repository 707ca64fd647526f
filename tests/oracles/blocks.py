"""Adversarial float32 inputs of the capture scripts: what random vectors miss (ties, ulps around powers of two, carries).

Every generator takes a numpy Generator and returns float32 of shape (n, width). `blocks(width)` stacks them with a `kind` label.
The arrays are stored with each capture, so that nothing depends on a random number generator later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Float = NDArray[np.float32]

#: Where some rule changes its mind about an exponent: fractions f of amax = f * 2^e (largest elements, `even` thresholds, ...).
EDGES = (1.5, 1.75, 1.875, 1.8125, 1.9375, 1.96875, 1.984375, 1.9921875, 1.99609375, 1.998046875, 1.0, 1.25, 7 / 6, 4 / 3)


def f32(x: object) -> Float:
    """As float32."""
    return np.asarray(x).astype(np.float32)


def gauss(rng: Generator, n: int, width: int) -> Float:
    """Gaussian blocks, each with its own binade."""
    return f32(rng.standard_normal((n, width)) * 2.0 ** rng.integers(-20, 21, (n, 1)))


def wide(rng: Generator, n: int, width: int) -> Float:
    """Exponents mixed over 24 binades inside a block."""
    return f32(rng.standard_normal((n, width)) * 2.0 ** rng.integers(-12, 13, (n, width)))


def ties(rng: Generator, n: int, width: int) -> Float:
    """Small integers times a power of two: most quotients are ties in some format."""
    top = 2 ** rng.integers(3, 11, (n, 1))
    return f32(np.rint(rng.uniform(-1, 1, (n, width)) * top) * 2.0 ** rng.integers(-30, 31, (n, 1)))


def odd_ties(rng: Generator, n: int, width: int) -> Float:
    """Odd multiples of half steps of every element width, one largest element at a power of two."""
    m = rng.integers(1, 9, (n, 1))
    x = (2 * rng.integers(-(2**m), 2**m, (n, width)) + 1) / 2.0 ** (m + 1)
    x[:, 0] = rng.choice([-1, 1], n)
    return f32(x * 2.0 ** rng.integers(-40, 41, (n, 1)))


def edges(rng: Generator, n: int, width: int) -> Float:
    """Largest element at EDGES times a power of two, exactly and one and two ulps beside; the rest any or tie-heavy."""
    amax = f32(np.array([EDGES[i % len(EDGES)] for i in range(n)]) * 2.0 ** rng.integers(-60, 61, n))
    amax = (amax.view(np.uint32) + (np.arange(n) % 5 - 2).astype(np.uint32)).view(np.float32)
    x = f32(rng.uniform(-1, 1, (n, width)) * amax[:, None])
    grid = f32(np.rint(rng.uniform(-1, 1, (n, width)) * 64) / 64 * 2.0 ** np.floor(np.log2(amax.astype(float)))[:, None])
    x = np.where(rng.random((n, 1)) < 0.5, x, grid)
    x[np.arange(n), rng.integers(0, width, n)] = amax * rng.choice([-1, 1], n)
    return f32(x)


def binades(rng: Generator, n: int, width: int) -> Float:
    """Largest element one ulp below, at and one ulp above powers of two, over all of float32 away from its two ends."""
    power = f32(2.0 ** np.linspace(-100, 100, n).round())
    amax = (power.view(np.uint32) + (np.arange(n) % 3 - 1).astype(np.uint32)).view(np.float32)
    x = f32(rng.uniform(-1, 1, (n, width)) * amax[:, None])
    x[:, width // 2] = amax * rng.choice([-1, 1], n)
    return x


def ulps(rng: Generator, n: int, width: int) -> Float:
    """Every element one ulp below, at or above a power of two, or 1 to 3 ulps beside a tie."""
    exponent = rng.integers(-9, 1, (n, width)).astype(float)
    base = f32(rng.choice([1.0, 1.5, 1.25, 1.125, 1.75], (n, width)) * 2.0**exponent)
    x = (base.view(np.uint32) + rng.integers(-3, 4, (n, width)).astype(np.uint32)).view(np.float32)
    return f32(x * rng.choice([-1, 1], (n, width)) * 2.0 ** rng.integers(-50, 51, (n, 1)))


def sparse(rng: Generator, n: int, width: int) -> Float:
    """Many zeros of both signs and pairs of zeros; some blocks are zero altogether."""
    x = gauss(rng, n, width)
    pairs = np.repeat(rng.random((n, width // 2)) < 0.5, 2, axis=1)
    x[pairs | (rng.random((n, width)) < 0.2)] = 0
    x[: max(1, n // 4)] = 0
    return f32(np.where((x == 0) & (rng.random((n, width)) < 0.5), np.float32(-0.0), x))


def outliers(rng: Generator, n: int, width: int) -> Float:
    """One value hundreds to thousands of times larger than the rest."""
    x = gauss(rng, n, width)
    x[np.arange(n), rng.integers(0, width, n)] *= f32(2.0 ** rng.integers(5, 14, n))
    return x


def tiny(rng: Generator, n: int, width: int) -> Float:
    """Normal numbers near the smallest normal one."""
    x = f32(rng.uniform(1, 2, (n, width)) * 2.0 ** rng.integers(-126, -112, (n, width)))
    return f32(x * rng.choice([-1, 1], (n, width)))


def huge(rng: Generator, n: int, width: int) -> Float:
    """Numbers up to the largest float32."""
    x = f32(rng.uniform(-1, 1, (n, width)) * 2.0 ** rng.integers(110, 128, (n, width)))
    x[:, 0] = np.finfo(np.float32).max
    x[1::3, 0] = f32(1.75 * 2.0**127)
    x[2::3, 0] = f32(2.0**127)
    return x


def subnormals(rng: Generator, n: int, width: int) -> Float:
    """Subnormal float32 only, and mixed with small normal numbers."""
    x = rng.integers(0, 1 << 23, (n, width)).astype(np.uint32)
    x[n // 2 :, ::3] = rng.integers(1 << 23, 12 << 23, (n - n // 2, len(range(0, width, 3)))).astype(np.uint32)
    return (x | (rng.integers(0, 2, (n, width)).astype(np.uint32) << 31)).view(np.float32)


NORMAL: tuple[Callable[[Generator, int, int], Float], ...] = (
    gauss,
    wide,
    ties,
    odd_ties,
    edges,
    binades,
    ulps,
    sparse,
    outliers,
)
EXTREME = (tiny, huge, subnormals)


def blocks(width: int, each: int, *, extreme: int = 0, seed: int = 2026) -> tuple[Float, NDArray[np.str_]]:
    """Blocks of all kinds, all of `edges`; `extreme` of each kind of EXTREME. Returns values and the kind of each block."""
    rng = np.random.default_rng(seed)
    parts, kinds = [], []
    for make in (*NORMAL, *(EXTREME if extreme else ())):
        n = extreme if make in EXTREME else 5 * len(EDGES) if make is edges else each
        parts.append(make(rng, n, width))
        kinds += [make.__name__] * n
    return np.concatenate(parts), np.array(kinds)


def bits(x: Float) -> NDArray[np.uint32]:
    """Bit patterns of float32."""
    return np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)


def compact(x: Float) -> NDArray[np.uint32] | NDArray[np.uint16]:
    """Bit patterns of float32; only their upper halves, uint16, if every lower half is zero (a third of the file)."""
    whole = bits(x)
    return whole if np.any(whole & 0xFFFF) else (whole >> 16).astype(np.uint16)


FOLDER = Path(__file__).parent.parent / "data" / "conventions"


def save(name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write tests/data/conventions/NAME.npz and print its size."""
    path = FOLDER / f"{name}.npz"
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    print(f"{path.name}: {path.stat().st_size} bytes, {', '.join(f'{k}{list(a.shape)}' for k, a in arrays.items())}")


def nibbles(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Two codes a byte, the even index in the low nibble, as one code a byte."""
    return np.stack([packed & 15, packed >> 4], -1).reshape(shape)


def ocp_input() -> Float:
    """The blocks of 32 that every OCP MX capture shares; written by capture_ocp_inputs.py."""
    with np.load(FOLDER / "ocp_inputs.npz") as data:
        return np.ascontiguousarray(data["input"]).view(np.float32)
