"""Parameters of a sum of integers that are lost on their way or read wrong: bias and zero points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qsim.golden.mutants.mutant import Mutant, replaced
from qsim.golden.mutants.places import DOT, signed
from qsim.golden.mutants.reach import bias_interval
from qsim.golden.unit import Unit, signed_bits

MODULAR = ("wrap", "error")  # a design that refuses nothing wraps, and a sum that fits comes out right


def argument_mutants(unit: Unit) -> Iterator[Mutant]:
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
        ("low half", "its upper half is not connected", lambda rest: signed(rest["bias"], bits // 2)),
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
