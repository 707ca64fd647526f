"""Random words of stochastic rounding (rule R2), stated once, in Python ints."""

from __future__ import annotations

from dataclasses import dataclass

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Counter:
    """Word i is the top r bits of splitmix64's output number i (from 0) for `seed`.

    Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, figure 16.
    """

    seed: int

    def __post_init__(self) -> None:
        """Check the width."""
        if not isinstance(self.seed, int):
            raise TypeError(f"Counter(seed={self.seed!r}); allowed: an integer")
        if not 0 <= self.seed <= MASK64:
            raise ValueError(f"Counter(seed={self.seed}); allowed: 0 to 2^64 - 1")


@dataclass(frozen=True)
class LFSR:
    """Galois register, one step s -> (s >> 1) ^ (poly if s & 1); element i uses the low r bits after i * r steps."""

    state: int
    poly: int = 0xD0000001
    width: int = 32

    def __post_init__(self) -> None:
        """Check state and polynomial against the width."""
        if not 2 <= self.width <= 64:
            raise ValueError(f"LFSR(width={self.width}); allowed: 2 to 64")
        if not 0 < self.state < 1 << self.width:
            raise ValueError(f"LFSR(state={self.state}); allowed: 1 to 2^{self.width} - 1 (0 never leaves 0)")
        if not 0 < self.poly < 1 << self.width:
            raise ValueError(f"LFSR(poly={self.poly:#x}); allowed: 1 to 2^{self.width} - 1")


def splitmix64(seed: int, i: int) -> int:
    """Output number i of splitmix64."""
    z = (seed + (i + 1) * GOLDEN) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def words(source: Counter | LFSR, n: int, r: int) -> list[int]:
    """The first n words of r bits."""
    if isinstance(source, Counter):
        return [splitmix64(source.seed, i) >> (64 - r) for i in range(n)]
    out, s = [], source.state
    for _ in range(n):
        out.append(s & ((1 << r) - 1))
        for _ in range(r):
            s = (s >> 1) ^ (source.poly if s & 1 else 0)
    return out
