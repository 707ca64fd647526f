"""Mistakes at a register, whatever it holds; the values that can enter it prove some of them harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from qsim.golden.mutants.mutant import Mutant, changed, replaced
from qsim.golden.mutants.reach import Reach, inside
from qsim.reference.requantize import narrow
from qsim.spec.requantizer import Interval, Narrow

SATURATES = ("saturate", "saturate_symmetric")


class Mistake(NamedTuple):
    """name, why; of: which overflows it can be made on; keeps: what the register keeps; same: values that it keeps right."""

    name: str
    why: str
    of: Callable[[Narrow], bool]
    keeps: Callable[[int, int, Narrow], int]
    same: Callable[[Narrow], Interval]


def _other(**fields: Any) -> Callable[[int, int, Narrow], int]:
    return lambda value, floored, register: narrow(value, floored, changed(register, **fields))


def _in_range(register: Narrow) -> Interval:
    return register.range


def _narrower(register: Narrow) -> Narrow:
    overflow = "wrap" if register.overflow == "error" else register.overflow
    return changed(register, bits=register.bits - 1, overflow=overflow)


def _wider(register: Narrow) -> Narrow:
    return changed(register, bits=register.bits + 1, overflow="wrap" if register.overflow == "error" else register.overflow)


def _wrong_end(value: int, floored: int, register: Narrow) -> int:
    low, high = register.range
    return value if low <= value <= high else high if value < low else low


def _upwards(value: int, floored: int, register: Narrow) -> int:
    return narrow(value, floored, register if value >= register.range[0] else changed(register, overflow="wrap"))


def _downwards(value: int, floored: int, register: Narrow) -> int:
    return narrow(value, floored, register if value <= register.range[1] else changed(register, overflow="wrap"))


def _early(value: int, floored: int, register: Narrow) -> int:
    return min(narrow(value, floored, register), register.range[1] - 1)


def _unsigned(value: int, floored: int, register: Narrow) -> int:
    """The compare with the upper end sees a negative number as a large one."""
    return register.range[1] if value < 0 or value > register.range[1] else value


def _saturates(register: Narrow) -> bool:
    return register.overflow in SATURATES


def _any(register: Narrow) -> bool:
    return True


MISTAKES = (
    Mistake(
        "one bit narrow",
        "the register has one bit less",
        _any,
        lambda v, f, r: narrow(v, f, _narrower(r)),
        lambda r: _narrower(r).range,
    ),
    Mistake("one bit wide", "the register has one bit more", _any, lambda v, f, r: narrow(v, f, _wider(r)), _in_range),
    Mistake(
        "wraps",
        "the carry out is dropped",
        lambda r: r.overflow != "wrap",
        _other(overflow="wrap"),
        lambda r: changed(r, overflow="wrap").range if r.overflow != "saturate_symmetric" else r.range,
    ),
    Mistake(
        "saturates",
        "overflow is caught where the design wraps",
        lambda r: r.overflow not in SATURATES,
        _other(overflow="saturate"),
        _in_range,
    ),
    Mistake(
        "saturates to symmetric ends",
        "the lowest code is left out",
        lambda r: r.signed and r.overflow != "saturate_symmetric",
        _other(overflow="saturate_symmetric"),
        lambda r: (r.range[0] + 1, r.range[1]),
    ),
    Mistake(
        "saturates to the lowest code",
        "the lowest code is let in",
        lambda r: r.overflow == "saturate_symmetric",
        _other(overflow="saturate"),
        _in_range,
    ),
    Mistake(
        "zero on overflow",
        "overflow clears the register",
        lambda r: r.overflow != "saturate_zero",
        _other(overflow="saturate_zero"),
        _in_range,
    ),
    Mistake("saturates to the wrong end", "the sign of the overflow is inverted", _saturates, _wrong_end, _in_range),
    Mistake("saturates upwards only", "underflow is not caught and wraps", _saturates, _upwards, _in_range),
    Mistake("saturates downwards only", "overflow is not caught and wraps", _saturates, _downwards, _in_range),
    Mistake("saturates one early", "the upper end is excluded", _saturates, _early, lambda r: (r.range[0], r.range[1] - 1)),
    Mistake(
        "unsigned compare",
        "the compare with the upper end is unsigned",
        lambda r: _saturates(r) and r.signed,
        _unsigned,
        lambda r: (0, r.range[1]),
    ),
)


def register_mutants(
    names: dict[str, Narrow], reach: Reach, place: str, prefix: str = "", *, modular: Callable[[str], str] = lambda name: ""
) -> Iterator[Mutant]:
    """Every mistake at every register. place: the method of the reference through which values enter.

    modular: why a bit above a register that wraps is never seen, by its name; empty where it is.
    """
    for name, register in names.items():
        for mistake in MISTAKES:
            if not mistake.of(register) or (mistake.name == "one bit narrow" and register.bits <= 2):
                continue
            yield Mutant(
                f"{prefix}{name}: {mistake.name}",
                mistake.why,
                replaced(place, _entering(name, mistake, register, place)),
                proof=_proof(name, reach.get(name), register, mistake)
                or (modular(name) if mistake.name == "one bit wide" else ""),
            )


def _entering(name: str, mistake: Mistake, register: Narrow, place: str) -> Callable[..., Any]:
    if place.endswith("_Registers.enter"):

        def of_sum(original: Callable[..., Any]) -> Callable[..., Any]:
            def enter(self: Any, into: str, value: int, k: int) -> Any:
                return mistake.keeps(value, value, register) if into == name else original(self, into, value, k)

            return enter

        return of_sum

    def of_requantizer(original: Callable[..., Any]) -> Callable[..., Any]:
        def enter(self: Any, into: str, narrow: Narrow | None) -> None:
            if into == name:
                self.value = self.floored = mistake.keeps(self.value, self.floored, register)
            else:
                original(self, into, narrow)

        return enter

    return of_requantizer


def _proof(name: str, values: Interval | None, register: Narrow, mistake: Mistake) -> str:
    """The interval argument: all that enters is kept as it is, by the register and by the mistaken one."""
    if values is None:
        return ""
    if register.overflow == "error":
        values = max(values[0], register.range[0]), min(values[1], register.range[1])
    if inside(values, register.range) and inside(values, mistake.same(register)):
        return f"{name} gets values from {values[0]} to {values[1]} only, which both keep"
    low, high = register.range
    if mistake.name == "saturates upwards only" and values[0] >= low:
        return f"{name} gets no value below {values[0]}"
    if mistake.name == "saturates downwards only" and values[1] <= high:
        return f"{name} gets no value above {values[1]}"
    return ""
