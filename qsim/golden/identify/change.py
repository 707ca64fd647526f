"""A single option of a design with another value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from qsim.golden.identify.device import Device
from qsim.spec.int_accumulator import ADD_OVERFLOWS
from qsim.spec.requantizer import Narrow

Edit = Callable[[Device], Device]
#: Overflows that a device can have: it always gives something.
OVERFLOWS = tuple(o for o in ADD_OVERFLOWS if o != "error")


class Change(NamedTuple):
    """One option with another value."""

    option: str
    value: str
    edit: Edit


def values_of(option: str, own: Any, values: Iterable[Any], with_fields: Callable[..., Device], key: str) -> Iterator[Change]:
    """One field with every other value."""
    for value in dict.fromkeys(values):
        if value != own:
            yield Change(f"{option}.{key}", text_of(value), partial(with_fields, **{key: value}))


def text_of(value: Any) -> str:
    """A value as TOML has it, nearly."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:#x}" if isinstance(value, int) and value > 1 << 24 else str(value)


def register(option: str, own: Narrow | None, widths: Iterable[int], make: Callable[[Narrow | None], Edit]) -> Iterator[Change]:
    """A register's width and overflow; or none where there is one, or one where there is none."""
    if own is None:
        for bits in dict.fromkeys(widths):
            for overflow in ("saturate", "wrap"):
                if bits >= 2:
                    yield Change(option, f"{bits} bits, {overflow}", make(Narrow(bits, True, overflow)))
        return
    yield Change(option, "none", make(None))
    for bits in dict.fromkeys(widths):
        if bits >= 2 and bits != own.bits:
            yield Change(f"{option}.bits", str(bits), make(replace(own, bits=bits)))
    for overflow in OVERFLOWS:
        if overflow != own.overflow:
            yield Change(f"{option}.overflow", overflow, make(replace(own, overflow=overflow)))


def with_accumulator(device: Device, **given: Any) -> Device:
    """The design with other fields of its accumulator."""
    assert device.datapath is not None
    acc = replace(device.datapath.accumulator, **given)
    return replace(device, datapath=replace(device.datapath, accumulator=acc, table=None))
