"""Mistakes in a sum of integer products (rule A1): order, bias, zero points, product, carries, sign extension."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qsim.golden.mutants.mutant import Mutant, changed, replaced
from qsim.golden.mutants.registers import bias_interval, inside, products_of, reach_of, register_mutants
from qsim.golden.mutants.requantizer import wraps_back
from qsim.golden.mutants.rounding import step_mutants
from qsim.golden.unit import Unit, signed_bits
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Step

DOT = "qsim.golden.unit_reference:int_dot"
ENTER = "qsim.reference.int_dot:_Registers.enter"
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
    yield from _arguments(unit)
    yield from _products(unit, acc)
    yield from _adders(unit, acc)


def with_accumulator(**fields: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """int_dot of an accumulator with other facts."""
    return lambda original: lambda a, w, acc, **rest: original(a, w, changed(acc, **fields), **rest)


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


def _arguments(unit: Unit) -> Iterator[Mutant]:
    """Parameters that are lost on their way or read wrong."""

    def given(**made: Callable[[dict[str, int]], int]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            return lambda a, w, acc, **rest: original(a, w, acc, **rest | {name: value(rest) for name, value in made.items()})

        return make

    arguments = {"a_zero_point": "a_zero", "w_zero_point": "w_zero"}
    for port, name in arguments.items():
        if port in unit.parameters:
            low, high = _operand_interval(unit, port)
            yield Mutant(f"{port}: ignored", "it is not connected", replaced(DOT, given(**{name: lambda _: 0})))
            yield Mutant(f"{port}: added", "it is added instead of subtracted", replaced(DOT, given(**{name: _negative(name)})))
            yield Mutant(f"{port}: one off", "it is one too large", replaced(DOT, given(**{name: _plus_one(name)})))
            if low < 0:
                lost = 1 << (signed_bits((low, high)))
                yield Mutant(f"{port}: unsigned", "its sign is not extended", replaced(DOT, given(**{name: _modulo(name, lost)})))
    if set(arguments) <= set(unit.parameters):
        swapped = given(a_zero=lambda rest: rest["w_zero"], w_zero=lambda rest: rest["a_zero"])
        yield Mutant("zero points: swapped", "each operand gets the other's", replaced(DOT, swapped))
    low, high = bias_interval(unit)
    if (low, high) == (0, 0):
        return
    bits = signed_bits((low, high))
    for what, why, value in (
        ("ignored", "it is not connected", lambda rest: 0),
        ("subtracted", "it is subtracted", _negative("bias")),
        ("twice", "it is added at both ends of the sum", lambda rest: 2 * rest["bias"]),
        ("unsigned", "its sign is not extended", _modulo("bias", 1 << bits)),
        ("low half", "its upper half is not connected", lambda rest: _signed(rest["bias"], bits // 2)),
    ):
        acc = unit.integer
        assert acc is not None
        harmless = what == "unsigned" and acc.last.overflow in MODULAR
        proof = f"it differs by 2^{bits}, which a register of {bits} bits does not see" if harmless else ""
        yield Mutant(f"bias: {what}", why, replaced(DOT, given(bias=value)), proof=proof)


def _operand_interval(unit: Unit, port: str) -> tuple[int, int]:
    """Zero points are codes of their operand."""
    assert unit.datapath is not None
    return unit.datapath.operand_interval("activation" if port == "a_zero_point" else "weight")


def _negative(name: str) -> Callable[[dict[str, int]], int]:
    return lambda rest: -rest[name]


def _plus_one(name: str) -> Callable[[dict[str, int]], int]:
    return lambda rest: rest[name] + 1


def _modulo(name: str, modulus: int) -> Callable[[dict[str, int]], int]:
    return lambda rest: rest[name] % modulus


def _signed(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def _products(unit: Unit, acc: IntAccumulator) -> Iterator[Mutant]:
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
            exact(lambda v: _signed(v, bits - 1)),
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


def _adders(unit: Unit, acc: IntAccumulator) -> Iterator[Mutant]:
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
