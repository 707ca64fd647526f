"""A mutant: the datapath as a designer builds it who makes one mistake.

It is the exact reference with one or two of its functions replaced, so that everything that the mistake does not touch stays
exact, and every tap shows what its register would hold.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from qsim.golden.unit import Port, Unit
from qsim.golden.unit_reference import evaluate
from qsim.spec.error import SpecError

T = TypeVar("T")
Patterns = Mapping[str, int]
REFUSED = "refused"  # the stage of a mutant that has no output for a case


class Hook(NamedTuple):
    """A function of the reference, `module:name` or `module:class.name`, and what makes its replacement from it."""

    place: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Mutant:
    """name: where and what. why: what the designer did wrong. unseen: taps that mean something else in this design.

    proof: why no input of the unit tells the mutant from the design; empty: nobody has shown that.
    """

    name: str
    why: str
    hooks: tuple[Hook, ...]
    unseen: tuple[str, ...] = ()
    proof: str = ""


def replaced(place: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> tuple[Hook, ...]:
    """One hook."""
    return (Hook(place, make),)


def changed(value: T, /, **fields: Any) -> T:
    """A copy of a frozen dataclass with other fields, none of which is checked: a mistake may be what no file can state."""
    other = copy.copy(value)
    for name, field in fields.items():
        object.__setattr__(other, name, field)
    return other


def _wire(port: Port, values: Any) -> int:
    """A pattern as wires carry it: bits above the width are lost, and values that the port has no room for."""
    mask, pattern = (1 << port.width) - 1, 0
    for i, value in enumerate(values[: port.count]):
        pattern |= (value & mask) << i * port.width
    return pattern


def _no_refusal(original: Callable[..., Any]) -> Callable[..., Any]:
    """A register that refuses what does not fit is, in hardware, one that wraps."""

    def enter(self: Any, name: str, value: int, k: int) -> Any:
        register = self.narrows.get(name)
        if register is not None and register.overflow == "error":
            self.narrows = {**self.narrows, name: changed(register, overflow="wrap")}
        return original(self, name, value, k)

    return enter


#: Of every mutant: values on wires, and 0 on the wires of a tap that this design does not have.
WIRES = (
    Hook("qsim.golden.unit:Port.join", lambda _: _wire),
    Hook("qsim.reference.int_dot:_Registers.enter", _no_refusal),
    Hook("qsim.golden.unit_reference:_joined", lambda original: lambda unit, taps: defaultdict(int, original(unit, taps))),
)


@contextmanager
def built(hooks: tuple[Hook, ...]) -> Iterator[None]:
    """The reference with its functions replaced, in this thread's process, for as long as the context lasts."""
    saved: list[tuple[Any, str, Any]] = []
    try:
        for place, make in (*hooks, *WIRES):
            module, _, name = place.partition(":")
            owner: Any = import_module(module)
            *classes, name = name.split(".")
            for found in classes:
                owner = getattr(owner, found)
            original = getattr(owner, name)
            saved.append((owner, name, original))
            setattr(owner, name, make(original))
        yield
    finally:
        for owner, name, original in reversed(saved):
            setattr(owner, name, original)


def output(unit: Unit, inputs: Patterns) -> dict[str, int] | None:
    """What the design, as it is built now, gives; None where it gives nothing."""
    try:
        return evaluate(unit, inputs)
    except (ValueError, ArithmeticError, AssertionError, SpecError, IndexError):
        return None


def first_difference(unit: Unit, wanted: Patterns, got: Patterns | None, unseen: tuple[str, ...], masks: Patterns) -> str:
    """The first port, in the order of the data, whose bits differ; empty where none does."""
    if got is None:
        return REFUSED
    for port in unit.outputs:
        if port.name not in unseen and (wanted[port.name] ^ got[port.name]) & ~masks.get(port.name, 0):
            return port.name
    return ""
