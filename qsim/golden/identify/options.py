"""What a design may do otherwise: the presets that fit a suite's ports, and every single option changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from typing import Any

from qsim.golden.identify.change import OVERFLOWS, Change, Edit, register, text_of, values_of, with_accumulator
from qsim.golden.identify.device import Device
from qsim.golden.identify.sums import block_changes, float_changes, integer_changes, step_changes
from qsim.spec.datapath import Datapath
from qsim.spec.format import Format
from qsim.spec.load import format_names, load_format
from qsim.spec.options import CHOICES, allowed_values
from qsim.spec.requantizer import STEP_ROUNDINGS, ZERO_POINTS, Narrow, Requantizer

NARROWS = (8, 9, 16, 17, 18, 24, 31, 32, 33, 34)  # widths of a step's register
ADDS = (8, 9, 10, 16, 24, 31, 32, 33)  # of the zero point's adder


def presets(device: Device) -> Iterator[tuple[str, Device]]:
    """Named designs with the same operands: requantization presets, datapaths of the catalogue, conventions."""
    if device.kind in ("encode", "chain"):
        yield from _conventions(device)
    d = device.datapath
    if d is None or device.kind in ("encode", "pack"):
        return
    if d.requantizer is not None:
        from qsim.datapath.presets import presets as requantizers

        for name, q in requantizers().items():
            yield name, replace(device, datapath=replace(d, requantizer=q, table=None))
    if device.kind == "requantize":
        return
    from qsim.datapath.datapaths import datapaths

    for name, other in datapaths().items():
        if (other.activation, other.weight) == (d.activation, d.weight):
            yield name, replace(device, datapath=replace(other, layout=d.layout))


def _conventions(device: Device) -> Iterator[tuple[str, Device]]:
    from qsim.codec.conventions import convention_names, convention_options

    fmt = device.fmt if device.fmt is not None else device.datapath.activation if device.datapath is not None else None
    assert fmt is not None
    for name in convention_names():
        try:
            options = convention_options(name, fmt)
        except ValueError:
            continue
        yield name, replace(device, options=tuple(sorted(options.items())))


def changes(device: Device) -> list[Change]:
    """Every single option of a design with every other value."""
    found = list(_options(device)) if device.kind in ("encode", "chain") else []
    d = device.datapath
    if d is None or device.kind in ("encode", "pack"):
        return found
    if device.kind != "requantize":
        found += _operands(device)
        if device.integer is not None:
            found += integer_changes(device, device.integer, "accumulator", with_accumulator)
        elif device.float is not None:
            found += float_changes(device.float, "accumulator", with_accumulator)
            found += step_changes(device, device.float)
        elif device.block is not None:
            found += block_changes(device, device.block)
    if d.requantizer is not None:
        found += _requantizer(d.requantizer)
    return found + list(_ignored(device))


def applied(device: Device, change: Change) -> Device | None:
    """The design with one option changed; None where it cannot be, or takes other inputs then."""
    try:
        found = change.edit(device)
        return found if found.fits and found.outputs else None
    except (ValueError, AssertionError):
        return None


def _ignored(device: Device) -> Iterator[Change]:
    for name in device.parameters:
        ports = ("clamp_low", "clamp_high") if name == "clamp" else (name,)
        if any(p.name in ports for p in device.inputs):
            yield Change(name, "ignored", partial(_ignoring, ports))


def _ignoring(ports: tuple[str, ...], device: Device) -> Device:
    return replace(device, ignored=tuple(sorted({*device.ignored, *ports})))


def _operands(device: Device) -> Iterator[Change]:
    """The same word read as signed or as unsigned integers."""
    assert device.datapath is not None
    for side in ("activation", "weight"):
        own: Format = getattr(device.datapath, side)
        if own.element.kind not in ("int", "uint") or own.block_scales or device.integer is None:
            continue
        for name in format_names():
            other = load_format(name)
            plain = other.element.kind in ("int", "uint") and not other.block_scales and other.name != own.name
            if plain and (other.element.bits, other.word_bits) == (own.element.bits, own.word_bits):
                yield Change(f"{side}.format", name, partial(_with_operand, side, other))


def _with_operand(side: str, fmt: Format, device: Device) -> Device:
    formats: dict[str, Any] = {side: fmt}
    return replace(device, datapath=replace(_datapath(device), table=None, **formats))


def _requantizer(q: Requantizer) -> Iterator[Change]:
    """Rounding, register and sticky bits of each step, the zero point's add, the clamp, the output."""
    for i, step in enumerate(q.before):
        yield from register(f"requantizer.before[{i}].narrow", step.narrow, NARROWS, partial(_narrowed, "before", i))
    for i, step in enumerate(q.steps):
        option, put = f"requantizer.steps[{i}]", partial(_with_step, "steps", i)
        yield from values_of(option, step.rounding, STEP_ROUNDINGS, put, "rounding")
        yield from values_of(option, step.sticky_bits, (None, 0, 1, 2, 7, 15), put, "sticky_bits")
        for by in () if q.prep.is_float else (-1, 1):
            amount = replace(step.shift, offset=step.shift.offset + by)
            yield Change(f"{option}.shift", str(amount), partial(put, shift=amount))
        yield from register(f"{option}.narrow", step.narrow, NARROWS, partial(_narrowed, "steps", i))
    yield from values_of("requantizer", q.zero_point, ZERO_POINTS, _with_requantizer, "zero_point")
    if q.zero_point == "after":
        yield from register("requantizer.zero_add", q.zero_add, ADDS, lambda r: partial(_with_requantizer, zero_add=r))
    yield from values_of("requantizer", q.clamp_first, (False, True), _with_requantizer, "clamp_first")
    yield from values_of("requantizer.output", q.output.overflow, OVERFLOWS, _with_output, "overflow")
    if q.prep.kind == "fixed":
        yield from values_of("requantizer.prep", q.prep.reduce, (None, 16, 24), _with_prep, "reduce")


def _with_requantizer(device: Device, **given: Any) -> Device:
    return replace(device, datapath=replace(_datapath(device), requantizer=replace(_own(device), **given), table=None))


def _with_output(device: Device, **given: Any) -> Device:
    return _with_requantizer(device, output=replace(_own(device).output, **given))


def _with_prep(device: Device, **given: Any) -> Device:
    return _with_requantizer(device, prep=replace(_own(device).prep, **given))


def _with_step(place: str, i: int, device: Device, **given: Any) -> Device:
    steps = list(getattr(_own(device), place))
    steps[i] = replace(steps[i], **given)
    return _with_requantizer(device, **{place: tuple(steps)})


def _narrowed(place: str, i: int, narrow: Narrow | None) -> Edit:
    return partial(_with_step, place, i, narrow=narrow)


def _datapath(device: Device) -> Datapath:
    assert device.datapath is not None
    return device.datapath


def _own(device: Device) -> Requantizer:
    q = _datapath(device).requantizer
    assert q is not None
    return q


def _options(device: Device) -> Iterator[Change]:
    """Every option of the encoder (rules R and S)."""
    fmt = device.fmt if device.fmt is not None else device.datapath.activation if device.datapath is not None else None
    assert fmt is not None
    given = dict(device.options)
    for name in CHOICES:
        if name == "random_bits":
            continue
        own = given.get(name, CHOICES[name][0][0])
        for value in allowed_values(name, fmt):
            if value not in (own, "stochastic"):
                yield Change(f"options.{name}", text_of(value), partial(_with_option, name, value))


def _with_option(name: str, value: Any, device: Device) -> Device:
    return replace(device, options=tuple(sorted((dict(device.options) | {name: value}).items())))


def same_fields(unit: Any) -> dict[str, Any]:
    """The fields of a unit, to make a Device of it."""
    return {f.name: getattr(unit, f.name) for f in fields(unit)}
