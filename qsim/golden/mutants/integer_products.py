"""Mistakes at the products of integers, and carries that are lost inside the accumulator's adder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qsim.golden.mutants.mutant import Mutant, changed, replaced
from qsim.golden.mutants.places import DOT, signed, with_accumulator
from qsim.golden.mutants.reach import bias_interval, products_of
from qsim.golden.mutants.rounding import step_mutants
from qsim.golden.unit import Unit, signed_bits
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Step


def product_mutants(unit: Unit, acc: IntAccumulator) -> Iterator[Mutant]:
    """The multiplier's output."""
    low, high = products_of(unit, changed(acc, product=None))
    bits = signed_bits((low, high))
    step = acc.product
    shift = step.shift.offset if step is not None else 0
    seen = (
        shift + step.narrow.bits if step is not None and step.narrow is not None and step.narrow.overflow == "wrap" else 1 << 20
    )
    above = (
        f"the product's register wraps and keeps bits {shift} to {seen - 1} only"
        if step is not None and step.rounding == "floor"
        else ""
    )
    below = f"bits below {shift} are cut off" if step is not None and step.rounding == "floor" and shift else ""

    def exact(change: Callable[[int], int]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            return lambda value, acc, registers, k: original(change(value), acc, registers, k)

        return replaced("qsim.reference.int_dot:product", make)

    if bits > 2:
        yield Mutant(
            "product: top bit lost",
            "the product's wires are one too few",
            exact(lambda v: signed(v, bits - 1)),
            proof=above if bits - 1 >= seen else "",
        )
        yield Mutant(
            "product: lowest bit lost",
            "a truncated multiplier: its lowest column is left out",
            exact(lambda v: v & ~1),
            proof=below,
        )
    if low < 0:
        yield Mutant(
            "product: sign not extended",
            "the adder fills with zeros",
            exact(lambda v: v % (1 << bits)),
            proof=above if bits >= seen else "",
        )
        yield Mutant(
            "product: one's complement", "a negative product is inverted without adding 1", exact(lambda v: v - 1 if v < 0 else v)
        )
    if acc.product is not None:
        yield from step_mutants("product", acc.product, (acc.product.shift.offset,) * 2, (low, high), _product_step)


def _product_step(step: Step) -> Any:
    return replaced(DOT, with_accumulator(product=step))


def adder_mutants(unit: Unit, acc: IntAccumulator) -> Iterator[Mutant]:
    """Carries that are lost inside the accumulator's adder."""
    groups = -(-unit.k // acc.lanes)
    each = (acc.chunk or unit.k) // acc.lanes
    for bit in (4, 8, 16):
        if (
            bit < acc.bits
            and (bit != 4 or acc.bits <= 12)
            and (min(groups, each) > 1 or (acc.bias == "first" and bias_interval(unit)[1]))
        ):
            yield Mutant(f"accumulator: carry into bit {bit} lost", "two adders are not chained", losing_carry(bit))


def losing_carry(bit: int) -> Any:
    """Running sums and trees whose adder has no carry into a bit. What enters the register is still the whole sum."""
    low = (1 << bit) - 1

    def add(left: int, right: int) -> int:
        return (left & low) + (right & low) & low | ((left >> bit) + (right >> bit)) << bit

    def make_sequential(_: Callable[..., Any]) -> Callable[..., Any]:
        def sequential(value: int, terms: Sequence[int], k: int, acc: IntAccumulator, registers: Any) -> list[int]:
            sums = []
            for term in terms:
                value = registers.enter("accumulator", add(value, term), k)
                sums.append(value)
            return sums

        return sequential

    def make_tree(original: Callable[..., Any]) -> Callable[..., Any]:
        def tree(terms: Sequence[int], acc: IntAccumulator, registers: Any) -> tuple[int, list[int]]:
            if len(terms) < 2:
                found: tuple[int, list[int]] = original(terms, acc, registers)
                return found
            nodes, sums = list(terms), []
            while len(nodes) > 1:
                odd = nodes[len(nodes) // 2 * 2 :]
                nodes = [registers.enter("accumulator", add(x, y), 0) for x, y in zip(nodes[::2], nodes[1::2], strict=False)]
                sums += nodes
                nodes += odd
            return nodes[0], sums

        return tree

    return tuple(
        hook
        for module in ("int_dot", "block_dot")
        for hook in (
            *replaced(f"qsim.reference.{module}:sequential", make_sequential),
            *replaced(f"qsim.reference.{module}:tree", make_tree),
        )
    )
