"""Keys of a [ports] table: the settings of a bench, and every port that a design of a datapath can have.

Which kind of unit a design is, is not known where the file is read: the names are those of all kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.error import SpecError
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.int_accumulator import IntAccumulator

if TYPE_CHECKING:
    from qsim.spec.datapath import Datapath

SIGNALS = ("clock", "reset", "in_valid", "in_ready", "out_valid", "out_ready")
SETTINGS = ("k", "m", "n", "module", "parameters", "latency", "reset_low", *SIGNALS)
PARAMETERS = ("bias", "a_zero_point", "w_zero_point", "out_zero_point", "clamp_low", "clamp_high")


def check_ports(datapath: Datapath) -> None:
    """SpecError for a key of the datapath's [ports] table that is neither a setting nor a port."""
    if not datapath.ports:
        return
    known = port_names(datapath)
    for key, value in datapath.ports.items():
        if key not in SETTINGS and key not in known:
            names = ", ".join(f'"{name}"' if "." in name else name for name in known)
            raise SpecError(
                f"ports: unknown key {key!r} = {value!r}; allowed: {', '.join(SETTINGS)}; ports of this datapath: {names}"
            )


def port_names(datapath: Datapath) -> tuple[str, ...]:
    """Operands, parameters, taps, result, of units of every kind; a parameter that the datapath lacks may be a port at rest."""
    return tuple(
        dict.fromkeys([*_operands(datapath), *PARAMETERS, *_arguments(datapath), *_sums(datapath), *_steps(datapath), "result"])
    )


def _operands(datapath: Datapath) -> Iterator[str]:
    formats = (datapath.activation, datapath.weight)
    for side, fmt in zip(("activation", "weight"), formats, strict=True):
        yield side
        outer = [s for s in fmt.scales if not isinstance(s.group, int)] if fmt is not None and fmt.block_scales else []
        yield from (f"{side}_scale{i}" for i in range(len(outer)))
    yield from ("activation_input", "weight_input", "input", "codes", "random", "activation_random", "weight_random")
    yield from (f"scale{i}" for i in range(max(len(fmt.scales) if fmt is not None else 0 for fmt in formats)))


def _arguments(datapath: Datapath) -> Iterator[str]:
    if datapath.requantizer is not None:
        yield "acc"
        yield from (name for name in datapath.requantizer.prep.takes if name != "thresholds")
        yield "out_scale"


def _sums(datapath: Datapath) -> Iterator[str]:
    acc = datapath.accumulator
    if isinstance(acc, IntAccumulator):
        yield from ("products", "lane_sums")
        yield from _registers(acc)
        yield from ["corrected"] if acc.zero_points == "after" else []
    elif isinstance(acc, FloatAccumulator):
        yield from ["exponents", "aligned"] if acc.fraction is not None else []
        yield from ("partial_sums", "promoted") if acc.promote_every else ("partial_sums",)
    else:
        yield from _block_sums(acc)


def _block_sums(acc: BlockAccumulator) -> Iterator[str]:
    yield from ("exponents",) if acc.terms == "products" else ("block_dots", "scale_products", "exponents")
    yield "terms"
    if acc.sums is not None:
        yield from _registers(acc.sums)
        return
    assert acc.unit is not None
    yield from ("largest_exponents", "aligned", "aligned_c") if acc.unit.fraction is not None else ()
    yield from ("partial_sums", "promoted", "accumulator") if acc.promote_every else ("partial_sums", "accumulator")


def _registers(acc: IntAccumulator) -> Iterator[str]:
    yield "partial_sums"
    yield from ["spill"] if acc.order == "chunked" else []
    yield "accumulator"


def _steps(datapath: Datapath) -> Iterator[str]:
    q = datapath.requantizer
    if q is None or q.prep.kind == "thresholds":
        return
    yield from (f"requantizer.before{i}" for i in range(len(q.before)))
    yield "requantizer.product"
    yield from (f"requantizer.step{i}" for i in range(len(q.steps)))
    yield from ("requantizer.zero_add", "requantizer.clamped") if q.zero_point == "after" else ("requantizer.clamped",)
