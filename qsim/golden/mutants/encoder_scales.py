"""Mistakes of an encoder at its scales (rule S): how they are found, and where they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qsim.golden.mutants.mutant import Hook, Mutant, replaced
from qsim.golden.mutants.places import SCALES
from qsim.spec import Format

SIGN = 1 << 31


def scale_mutants(fmt: Format) -> Iterator[Mutant]:
    """How scales are found, and where they go."""
    if not fmt.scales:
        return

    def chosen(level: int, change: Callable[[list[int]], list[int]]) -> tuple[Hook, ...]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def choose(t: Any) -> Any:
                found = original(t)
                found[level] = change(found[level])
                return found

            return choose

        return replaced(SCALES, make)

    def seen(change: Callable[[list[int]], list[int]], level: int) -> tuple[Hook, ...]:
        """The elements over which the largest magnitude is taken."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            return lambda self, at, group: (
                original(self, at, group) if at % len(fmt.scales) != level else change(original(self, at, group))
            )

        hooks = Hook("qsim.reference.tensor:Tensor.bits_of", make), Hook("qsim.reference.tensor:Tensor.values_of", make)
        return (*hooks, Hook("qsim.reference.choose:microexponent", _not_negative)) if fmt.family == "microexponent" else hooks

    for level, s in enumerate(fmt.scales):
        size = s.group if isinstance(s.group, int) else 2
        name = f"scale{level}"
        if size > 1:
            for what, why, change in (
                ("without the last element", "the loop over the group ends one too early", lambda v: v[:-1] or v),
                ("without the first element", "the loop over the group starts at 1", lambda v: v[1:] or v),
                ("of the first half", "the largest magnitude is taken over the wrong range", lambda v: v[: max(len(v) // 2, 1)]),
                ("of the first element", "the comparison with the other elements is left out", lambda v: v[:1]),
            ):
                if what != "of the first element" or size > 2:
                    yield Mutant(f"{name} {what}", why, seen(change, level))
            yield Mutant(f"{name} of positive elements", "the comparison is signed", seen(_positive, level))
        if s.kind == "microexponent":
            yield Mutant(f"{name} ignored", "every microexponent is 0", chosen(level, lambda c: [0] * len(c)))
            yield Mutant(f"{name} inverted", "1 where it should be 0", chosen(level, lambda c: [1 - v for v in c]))
            yield Mutant(f"{name} of the next pair", "the index is one off", chosen(level, lambda c: [*c[1:], c[0]]))
            yield Mutant(
                f"{name} of neighbours swapped",
                "even and odd pairs are exchanged",
                chosen(level, lambda c: [c[i ^ 1] if i ^ 1 < len(c) else v for i, v in enumerate(c)]),
            )
        else:
            top = 254 if s.kind == "exponent" else s.float_type.max_code if s.kind == "float" else (1 << s.bits) - 1
            yield Mutant(f"{name} one up", "it is one too large", chosen(level, lambda c, top=top: [min(v + 1, top) for v in c]))  # type: ignore[misc]
            yield Mutant(f"{name} one down", "it is one too small", chosen(level, lambda c: [max(v - 1, 0) for v in c]))
    if fmt.family == "microexponent":
        yield Mutant("shared exponent follows the carry", "rounding up to the next power of two bumps the exponent", _bumped(fmt))


def _not_negative(original: Callable[..., Any]) -> Callable[..., Any]:
    """A microexponent is one bit: where the shared exponent is too small, it is 0."""
    return lambda block, bits: max(original(block, bits), 0)


def _positive(values: list[Any]) -> list[Any]:
    found = [v for v in values if (v < SIGN if isinstance(v, int) else v >= 0)]
    return found or values[:1]


def _bumped(fmt: Format) -> tuple[Hook, ...]:
    bits = fmt.element.magnitude_bits

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        half = 1 << (23 - bits)
        return lambda patterns: original([p + half if p & 0x7F800000 != 0x7F800000 else p for p in map(int, patterns)])

    return replaced("qsim.reference.choose:block_exponent", make)
