"""What a requantizer is given, as the wires bring it: accumulator, multiplier, shift, scale, zero point, clamp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.mutant import Mutant, replaced
from qsim.golden.mutants.places import ELEMENT, REQUANTIZE, signed, with_requantizer
from qsim.golden.mutants.words import groups
from qsim.golden.unit import Unit, signed_bits
from qsim.reference.numbers import round_to_float
from qsim.reference.requantize import narrow
from qsim.spec import FLOAT32
from qsim.spec.requantizer import Interval, Requantizer


def argument_mutants(unit: Unit, q: Requantizer, acc: Interval) -> Iterator[Mutant]:
    """Multiplier, shift and accumulator as the wires bring them."""

    def given(name: str, change: Callable[[Any], Any]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            return lambda acc, q, **rest: original(acc, q, **rest | {name: [change(v) for v in rest[name]]})

        return replaced(REQUANTIZE, make)

    def of_acc(change: Callable[[int], int]) -> Any:
        return replaced(REQUANTIZE, lambda original: lambda acc, q, **rest: original([change(v) for v in acc], q, **rest))

    bits = signed_bits(acc)
    yield Mutant("requantizer: accumulator one bit short", "its top bit is not connected", of_acc(lambda v: signed(v, bits - 1)))
    yield Mutant(
        "requantizer: accumulator unsigned",
        "its sign is not extended",
        of_acc(lambda v: v % (1 << bits)),
        proof=wraps_back(q, bits),
    )
    yield Mutant("requantizer: accumulator one high", "a carry in is stuck at 1", of_acc(lambda v: v + 1))
    yield Mutant("requantizer: accumulator's lowest bit lost", "it is not connected", of_acc(lambda v: v & ~1))
    yield Mutant("requantizer: accumulator's lowest byte lost", "its shift is made too early", of_acc(lambda v: v >> 8 << 8))
    yield Mutant("requantizer: accumulator's sign lost", "its magnitude is taken", of_acc(abs))
    yield Mutant(
        "requantizer: accumulator in one's complement",
        "a negative one is inverted without adding 1",
        of_acc(lambda v: v - 1 if v < 0 else v),
    )
    if bits > 16:
        yield Mutant("requantizer: accumulator of 16 bits", "its upper half is not connected", of_acc(lambda v: signed(v, 16)))
    if "multiplier" in q.prep.takes:
        width = signed_bits(q.multiplier)
        magnitude = max(map(abs, q.multiplier)).bit_length()
        if magnitude > 1:
            yield Mutant(
                "multiplier: top bit lost",
                "its wires are one too few",
                given("multiplier", lambda m: m & ((1 << (magnitude - 1)) - 1) if m >= 0 else m),
            )
            yield Mutant("multiplier: lowest bit lost", "it is one bit short", given("multiplier", lambda m: m & ~1))
        if magnitude > 16:
            yield Mutant(
                "multiplier: low half lost", "a multiplier of half the width", given("multiplier", lambda m: m >> 16 << 16)
            )
        if q.multiplier[0] < 0:
            yield Mutant("multiplier: unsigned", "its sign is not extended", given("multiplier", lambda m: m % (1 << width)))
    if "shift" in q.prep.takes and q.shift[0] < q.shift[1]:
        if q.shift[0] < 0:
            yield Mutant("shift: magnitude", "its sign is ignored", given("shift", abs))
        for bit in (3, 4, 5):
            if max(map(abs, q.shift)) >> bit:
                yield Mutant(f"shift: {bit} bits", "the shifter has too few stages", given("shift", _short(bit)))
    if "scale" in q.prep.takes:
        for factor, what in ((Fraction(2), "doubled"), (Fraction(1, 2), "halved")):
            yield Mutant(f"scale: {what}", "its exponent's bias is one off", given("scale", lambda s, f=factor: s * f))  # type: ignore[misc]
        yield Mutant("scale: one unit high", "it is rounded up", given("scale", _next))
        yield Mutant("scale: lowest bit lost", "its significand is one bit short", given("scale", _short_significand))
        yield Mutant("scale: 11 bits", "its significand is that of float16", given("scale", lambda s: _truncated(s, 13)))
        yield Mutant("scale: bfloat16", "its significand has 8 bits", given("scale", lambda s: _truncated(s, 16)))
    yield from _product_wires(q, acc)


def wraps_back(q: Requantizer, bits: int) -> str:
    """Why bits of the accumulator above the given width change nothing; empty where they do."""
    if not q.before or q.zero_point == "before":
        return ""
    first = q.before[0]
    left = max(first.shift(s) for s in q.shift) <= 0
    wraps = first.narrow is not None and first.narrow.overflow == "wrap" and first.narrow.bits <= bits
    return f"before0 shifts to the left and wraps at {bits} bits" if left and wraps else ""


def _short(bits: int) -> Callable[[int], int]:
    return lambda s: s % (1 << bits) if s >= 0 else -(-s % (1 << bits))


def _next(scale: Fraction) -> Fraction:
    """The next float32."""
    return FLOAT32.value(round_to_float(scale, FLOAT32) + 1)  # type: ignore[return-value]


def _short_significand(scale: Fraction) -> Fraction:
    return _truncated(scale, 1)


def _truncated(scale: Fraction, bits: int) -> Fraction:
    found = FLOAT32.value(round_to_float(scale, FLOAT32) >> bits << bits)
    assert isinstance(found, Fraction)
    return found


def _product_wires(q: Requantizer, acc: Interval) -> Iterator[Mutant]:
    """The integer product."""
    if q.prep.is_float or q.prep.kind == "one":
        return

    def product(change: Callable[[int], int]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def tap(self: Any, name: str) -> None:
                if name == "product":
                    self.value = change(self.value)
                original(self, name)

            return tap

        return replaced(f"{ELEMENT}.tap", make)

    if q.prep.kind == "fixed" and not q.prep.reduce:
        largest = max(abs(a * m) for a in acc for m in q.multiplier).bit_length() + 1
        for bits, what in ((largest - 2, "two top bits lost"), (48, "48 bits")):
            if bits < largest:
                yield Mutant(f"requantizer.product: {what}", "its wires are too few", product(lambda v, b=bits: signed(v, b)))  # type: ignore[misc]
    yield Mutant("requantizer.product: lowest bit lost", "a truncated multiplier", product(lambda v: v & ~1))
    yield Mutant(
        "requantizer.product: low bits lost",
        "a truncated multiplier: its 8 lowest columns are left out",
        product(lambda v: v >> 8 << 8),
    )
    yield Mutant(
        "requantizer.product: one's complement",
        "a negative product is inverted without adding 1",
        product(lambda v: v - 1 if v < 0 else v),
    )


def zero_point_mutants(unit: Unit, q: Requantizer) -> Iterator[Mutant]:
    """Every mistake at the zero point."""
    if "out_zero_point" not in unit.parameters or q.zero_point == "none":
        return
    out = unit.out_format
    assert out is not None
    output = q.output.resolved(out.element.bits, out.element.qmin < 0)

    def zero(change: Callable[[int], int]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            return lambda acc, q, **rest: original(acc, q, **rest | {"zero_point": [change(z) for z in rest["zero_point"]]})

        return replaced(REQUANTIZE, make)

    def after_the_clamp(original: Callable[..., Any]) -> Callable[..., Any]:
        def requantize(acc: Any, q: Requantizer, **rest: Any) -> Any:
            values, events = original(acc, q, **rest | {"zero_point": [0]})
            return [narrow(v + z, v + z, output) for v, z in zip(values, rest["zero_point"], strict=False)], events

        return requantize

    yield Mutant("out_zero_point: ignored", "it is not connected", zero(lambda z: 0))
    yield Mutant("out_zero_point: twice", "it is added at two stages", zero(lambda z: 2 * z))
    yield Mutant("out_zero_point: lowest bit lost", "its last bit is not connected", zero(lambda z: z & ~1))
    yield Mutant("out_zero_point: subtracted", "its sign is wrong", zero(lambda z: -z))
    yield Mutant("out_zero_point: one off", "it is one too large", zero(lambda z: z + 1))
    if out.element.qmin < 0:
        yield Mutant("out_zero_point: unsigned", "its sign is not extended", zero(lambda z: z % (1 << out.element.bits)))
    yield Mutant(
        "out_zero_point: after the clamp",
        "the clamp sees the value without its zero point",
        replaced(REQUANTIZE, after_the_clamp),
        ("requantizer.zero_add", "requantizer.clamped"),
    )
    other = "before" if q.zero_point == "after" else "after"
    yield Mutant(
        f"out_zero_point: {other} the product",
        "it is added at another stage",
        replaced(REQUANTIZE, with_requantizer(zero_point=other)),
        ("requantizer.zero_add",),
    )


def clamp_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake at the clamp's bounds."""
    d = unit.datapath
    assert d is not None
    if "clamp" not in unit.parameters and d.clamp is None:
        return

    def bounds(change: Callable[[int, int], tuple[int, int] | None]) -> Any:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def requantize(acc: Any, q: Requantizer, **rest: Any) -> Any:
                given = rest["clamp"]
                return original(acc, q, **rest | {"clamp": change(*given) if given is not None else None})

            return requantize

        return replaced(REQUANTIZE, make)

    least, most = -(1 << 40), 1 << 40
    for what, why, change in (
        ("none", "no clamp", lambda low, high: None),
        ("low only", "the upper bound is not connected", lambda low, high: (low, most)),
        ("high only", "the lower bound is not connected", lambda low, high: (least, high)),
        ("swapped", "the bounds are exchanged", lambda low, high: (high, low)),
        ("low excluded", "> instead of >=", lambda low, high: (low + 1, high)),
        ("high excluded", "< instead of <=", lambda low, high: (low, high - 1)),
        ("high one late", "<= of the bound plus 1", lambda low, high: (low, high + 1)),
        ("low one late", ">= of the bound minus 1", lambda low, high: (low - 1, high)),
    ):
        yield Mutant(f"clamp: {what}", why, bounds(change))


def result_mutants(unit: Unit) -> Iterator[Mutant]:
    """The result's wires."""
    out = unit.out_format
    assert out is not None
    bits, negative = out.element.bits, out.element.qmin < 0
    top, mask = 1 << (bits - 1), (1 << bits) - 1

    def wired(change: Callable[[int], int]) -> Any:
        """The result's pattern, changed, as the value that the port shows."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def requantize(acc: Any, q: Requantizer, **rest: Any) -> Any:
                values, events = original(acc, q, **rest)
                patterns = [change(v & mask) & mask for v in values]
                return [p - (p >> (bits - 1) << bits) if negative else p for p in patterns], events

            return requantize

        return replaced(REQUANTIZE, make)

    for what, why, change in (
        ("one high", "a carry in is stuck at 1", lambda p: p + 1),
        ("lowest bit lost", "it is not connected", lambda p: p & ~1),
        ("top bit lost", "it is not connected", lambda p: p & ~top),
        ("top bit inverted", "a signed result is shown with an offset, or an unsigned one without", lambda p: p ^ top),
        ("bits reversed", "its wires are numbered from the other end", lambda p: groups(p, bits, 1, reverse=True)),
        ("one's complement", "a negative result is inverted without adding 1", lambda p: p - (p >> (bits - 1))),
        ("sign and magnitude", "it is not turned into two's complement", lambda p: top | -p if p & top else p),
        ("nibbles swapped", "the high nibble comes first", lambda p: p >> 4 | p << 4),
    ):
        signed_only = what in ("one's complement", "sign and magnitude")
        if (negative or not signed_only) and (bits == 8 or what != "nibbles swapped"):
            yield Mutant(f"result: {what}", why, wired(change))
