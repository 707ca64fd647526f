"""Mistakes in a sum of integer products (rule A1): order, bias, zero points, product, carries, sign extension."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qsim.golden.mutants.integer_arguments import argument_mutants
from qsim.golden.mutants.integer_products import adder_mutants, product_mutants
from qsim.golden.mutants.mutant import Mutant, changed, replaced
from qsim.golden.mutants.places import DOT, ENTER, with_accumulator
from qsim.golden.mutants.reach import inside, products_of, reach_of
from qsim.golden.mutants.registers import register_mutants
from qsim.golden.mutants.requantizer_arguments import wraps_back
from qsim.golden.unit import Unit
from qsim.spec.int_accumulator import IntAccumulator

SUMS = ("partial_sums", "spill")
MODULAR = ("wrap", "error")  # a design that refuses nothing wraps, and a sum that fits comes out right


def integer_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake that fits the accumulator."""
    acc = unit.integer
    if acc is None or unit.kind not in ("dot", "matmul", "chain"):
        return
    yield from register_mutants(acc.narrows, reach_of(unit), ENTER, modular=lambda name: modulo(unit, acc, name))
    yield from _orders(unit, acc)
    yield from _places(unit, acc)
    yield from argument_mutants(unit)
    yield from product_mutants(unit, acc)
    yield from adder_mutants(unit, acc)


def no_overflow(unit: Unit, acc: IntAccumulator) -> str:
    """Why the sum is the same in any order: nothing overflows, or everything is taken modulo the same power of two."""
    reach, narrows = reach_of(unit), acc.narrows
    sums = [name for name in ("accumulator", "spill", "zero_points", "bias") if name in narrows]
    lane = "lane" not in narrows or inside(reach["lane"], narrows["lane"].range)
    if lane and all(inside(reach[name], narrows[name].range) for name in sums):
        return "no register of the sum overflows, and exact additions may stand in any order"
    if lane and all(narrows[name].overflow in MODULAR and narrows[name].bits == acc.last.bits for name in sums):
        return (
            f"every register of the sum has {acc.last.bits} bits, and additions modulo 2^{acc.last.bits} may stand in any order"
        )
    return ""


def modulo(unit: Unit, acc: IntAccumulator, name: str) -> str:
    """Why what stands above a register's top bit is never seen: all that follows is taken modulo that power of two, or less."""
    names = list(acc.narrows)
    after = (
        names[names.index(name) + 1 :]
        if name != "bias" or acc.bias == "last"
        else [n for n in names if n in ("accumulator", "spill")]
    )
    bits, last = acc.narrows[name].bits, "bias" if acc.bias == "last" or acc.order != "sequential" else "accumulator"
    wraps = all(acc.narrows[n].overflow == "wrap" and acc.narrows[n].bits <= bits for n in (*after, name))
    q = unit.datapath.requantizer if unit.datapath is not None else None
    handed_on = name == last and q is not None and not wraps_back(q, bits)
    return f"what follows keeps {bits} bits or fewer, modulo 2^{bits}" if wraps and not handed_on else ""


def _orders(unit: Unit, acc: IntAccumulator) -> Iterator[Mutant]:
    if unit.k < 2:
        return
    proof = no_overflow(unit, acc)
    taps = ("products", "lane_sums", *SUMS)

    def backwards(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda a, w, acc, **rest: original(list(a)[::-1], list(w)[::-1], acc, **rest)

    def at_the_end(original: Callable[..., Any]) -> Callable[..., Any]:
        def dot(a: Sequence[int], w: Sequence[int], acc: IntAccumulator, **rest: Any) -> Any:
            wide = changed(acc, register=changed(acc.register, bits=62, overflow="wrap"), spill=None, bias="last", lane=None)
            exact = original(a, w, wide, **rest)
            from qsim.reference.requantize import narrow

            kept = narrow(exact.value, exact.value, changed(acc.last, overflow=_never_refuses(acc)))
            return changed(exact, value=kept, taps=exact.taps | {"accumulator": [kept]})

        return dot

    groups = -(-unit.k // acc.lanes)
    mirrored = acc.order == "tree" and groups & (groups - 1) == 0 and unit.k == groups * acc.lanes
    mirror = "the mirror image of a full tree adds the same pairs" if mirrored else ""
    yield Mutant("sum: last product first", "the sequencer counts down", replaced(DOT, backwards), taps, proof or mirror)
    orders = {"sequential": "one running sum instead of a tree or of chunks", "tree": "a tree instead of a running sum"}
    for order, why in orders.items():
        if order != acc.order and not (order == "tree" and acc.order == "chunked"):
            fields: dict[str, Any] = {"order": order, "chunk": None, "spill": None}
            if acc.order == "chunked":
                fields["register"] = acc.last
            yield Mutant(f"sum: {order}", why, replaced(DOT, with_accumulator(**fields)), SUMS, proof)
    if acc.last.overflow != "wrap":
        yield Mutant(
            "sum: narrowed once",
            "only the last sum passes the register, the others are kept exactly",
            replaced(DOT, at_the_end),
            ("lane_sums", "corrected", *SUMS),
            proof,
        )
    if acc.lanes > 1:
        yield Mutant(
            "sum: one product an add",
            "products are added one by one, not as lane sums",
            replaced(DOT, with_accumulator(lanes=1)),
            ("lane_sums", *SUMS),
            proof,
        )
    elif acc.order != "chunked" or (acc.chunk or 0) % 2 == 0:
        low, high = products_of(unit, acc)
        if acc.order == "tree" and inside((2 * low, 2 * high), acc.register.range):
            proof = "no pair of products overflows, and a tree adds pairs first"
        yield Mutant(
            "sum: two products an add",
            "pairs are summed before they pass the register",
            replaced(DOT, with_accumulator(lanes=2)),
            ("lane_sums", *SUMS),
            proof,
        )
    if acc.lane is not None:
        kept = inside(reach_of(unit)["lane"], acc.lane.range)
        yield Mutant(
            "lane: no register",
            "lane sums are not narrowed",
            replaced(DOT, with_accumulator(lane=None)),
            proof="no lane sum overflows" if kept else "",
        )
    if acc.chunk is not None and unit.k > acc.lanes:
        for chunk in (acc.chunk - acc.lanes, acc.chunk + acc.lanes):
            if (chunk > 0 and -(-unit.k // chunk) != -(-unit.k // acc.chunk)) or chunk < unit.k:
                yield Mutant(
                    f"chunk: {chunk} products",
                    "the chunk counter is off by one",
                    replaced(DOT, with_accumulator(chunk=chunk)),
                    SUMS,
                    proof,
                )


def _never_refuses(acc: IntAccumulator) -> str:
    return "wrap" if acc.last.overflow == "error" else acc.last.overflow


def _constants_commute(acc: IntAccumulator) -> str:
    """Why a constant may be added at either end of the sum: every register that it passes wraps at the same width."""
    passed = acc.last if acc.order == "chunked" else acc.register
    return f"the sum that it is added to is taken modulo 2^{passed.bits}" if passed.overflow in MODULAR else ""


def _places(unit: Unit, acc: IntAccumulator) -> Iterator[Mutant]:
    proof, constant = no_overflow(unit, acc), _constants_commute(acc)
    if "bias" in unit.parameters and acc.bias != "float" and acc.order != "tree":
        other = "last" if acc.bias == "first" else "first"
        yield Mutant(
            f"bias: {other}",
            "the bias enters at the other end of the sum",
            replaced(DOT, with_accumulator(bias=other)),
            ("corrected", *SUMS),
            proof or constant,
        )
    if {"a_zero_point", "w_zero_point"} & set(unit.parameters) and acc.product is None:
        for other in ("before", "after", "folded"):
            if other != acc.zero_points:
                yield Mutant(
                    f"zero points: {other}",
                    "zero points are taken off at another stage",
                    replaced(DOT, with_accumulator(zero_points=other)),
                    ("products", "lane_sums", "corrected", *SUMS),
                    proof or (constant if "before" not in (other, acc.zero_points) else ""),
                )
