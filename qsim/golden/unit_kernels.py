"""What a unit's ports hold in many cases at once, by the kernels: the twin of `unit_reference`, from columns to columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.codec.threads import pieces, run
from qsim.golden.cases.rest import refusal
from qsim.golden.columns import from_values, to_bytes, to_patterns, to_values
from qsim.golden.patterns import Words, empty
from qsim.golden.unit import Unit
from qsim.golden.vectors import GoldenError
from qsim.spec import Format, Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qsim.golden.cases import Draft, Evaluated

    Array = NDArray[Any]
    Bytes = NDArray[np.uint8]

#: Values of ports, (n, count) each.
Values = dict[str, "Array"]
CHUNK = 1 << 16
PIECE = 1 << 13


def evaluate_many(unit: Unit, columns: Mapping[str, Sequence[int] | Array]) -> dict[str, list[int]]:
    """The patterns of every tap and of the result, one a case.

    Args:
        unit: what is under test.
        columns: for each input port the patterns of all cases: Python ints, or a uint8 array (n, bytes), the lowest byte first.

    Raises:
        ValueError: a case that the datapath or its domains refuse; columns of different lengths.
    """
    return {name: to_patterns(data) for name, data in evaluate_bytes(unit, columns).items()}


def evaluate_bytes(unit: Unit, columns: Mapping[str, Sequence[int] | Array]) -> dict[str, Bytes]:
    """The same as uint8 arrays (n, bytes), the lowest byte first."""
    missing = [p.name for p in unit.inputs if p.name not in columns]
    if missing:
        raise ValueError(f"no column {', '.join(missing)}; wanted: {', '.join(p.name for p in unit.inputs)}")
    given = {p.name: to_bytes(columns[p.name], p) for p in unit.inputs}
    sizes = {name: len(data) for name, data in given.items()}
    n = next(iter(sizes.values()))
    if set(sizes.values()) != {n}:
        raise ValueError(f"cases of each column: {sizes}; allowed: the same number")
    step = max(n, 1) if unit.kind == "dot" and unit.block is not None else CHUNK  # that kernel needs no room for all cases
    parts = [_part(unit, {name: data[i : i + step] for name, data in given.items()}) for i in range(0, max(n, 1), step)]
    return parts[0] if len(parts) == 1 else {p.name: np.concatenate([part[p.name] for part in parts]) for p in unit.outputs}


def _part(unit: Unit, given: Mapping[str, Bytes]) -> dict[str, Bytes]:
    from qsim.golden import kernel_codec, kernel_sums

    kinds = {
        "dot": kernel_sums.dot,
        "matmul": kernel_sums.matmul,
        "requantize": kernel_sums.requantize_acc,
        "encode": kernel_codec.encode,
        "pack": kernel_codec.pack,
        "chain": kernel_codec.chain,
    }
    if not len(next(iter(given.values()))):
        return {p.name: np.zeros((0, -(-p.bits // 8)), np.uint8) for p in unit.outputs}
    return kinds[unit.kind](unit, given)


def values_of(unit: Unit, given: Mapping[str, Bytes], name: str) -> Array:
    """(n, count) integers of a port of at most 64 bits a value."""
    port = unit.port(name)
    return to_values(given[name], port.width, port.count, port.kind == "signed")


def scalar(unit: Unit, given: Mapping[str, Bytes], name: str) -> Array:
    """(n,) int64 of a port of one value; zeros where the unit has no such port."""
    if name not in given:
        return np.zeros(len(next(iter(given.values()))), np.int64)
    return values_of(unit, given, name)[:, 0].astype(np.int64)


def codes_of(unit: Unit, given: Mapping[str, Bytes], name: str, fmt: Format) -> Array:
    """(n, k) element codes of an operand without block scales, one word an element."""
    values = values_of(unit, given, name)
    return values if fmt.word_bits == fmt.element.bits else values & ((1 << fmt.element.bits) - 1)


def words_of(codes: Array, scales: Sequence[Array], fmt: Format, k: int) -> Bytes:
    """The words of rows of codes (n, k) and of block scales (n, groups); padding is 0 (rule P3)."""
    from qsim.kernels.words import put_fields

    n, bits = len(codes), Geometry.of(fmt, (k,)).words * fmt.word_bits
    words, place = empty(n, bits), 0
    work = pieces(1, n, piece=PIECE)
    for name, width, count in fmt.word_fields:
        values = np.ascontiguousarray(codes if name == "element" else scales[int(name.removeprefix("scale"))], np.int64)
        field = place, width, count, fmt.word_bits
        run(partial(_put, put_fields, words, values, field), work)
        place += width * count
    return np.ascontiguousarray(words.view(np.uint8)[:, : -(-bits // 8)])


def _put(kernel: Callable[..., None], words: Words, values: Array, field: tuple[int, ...], _: slice, r: slice) -> None:
    kernel(words[r], values[r], *field)


def packed(unit: Unit, values: Mapping[str, Array]) -> dict[str, Bytes]:
    """Outputs of the unit as patterns; values without a port are left out."""
    ports = {p.name: p for p in unit.outputs}
    return {name: from_values(found, ports[name]) for name, found in values.items() if name in ports}


def bulk_evaluated(unit: Unit, drafts: list[Draft], share: int) -> list[Evaluated]:
    """Drafts computed by the kernels, one in `share` again by the reference; those that the unit refuses are left out."""
    from qsim.golden.cases import Evaluated
    from qsim.golden.unit_reference import evaluate

    kept = [
        d
        for d in drafts
        if not refusal(unit, d.inputs, unit.port("acc").split(d.inputs["acc"])[0] if "acc" in d.inputs else None)
    ]
    found: list[Evaluated] = []
    for start in range(0, len(kept), CHUNK):
        some = kept[start : start + CHUNK]
        while some:
            try:
                outputs = evaluate_many(unit, {p.name: [d.inputs[p.name] for d in some] for p in unit.inputs})
                break
            except ValueError:
                some = [d for d in some if _accepted(unit, d)]
        else:
            continue
        for i, d in enumerate(some):
            values = {p.name: d.inputs[p.name] for p in unit.inputs} | {p.name: outputs[p.name][i] for p in unit.outputs}
            if (start + i) % share == 0 and (exact := evaluate(unit, d.inputs)) != {p.name: values[p.name] for p in unit.outputs}:
                odd = next(name for name, v in exact.items() if v != values[name])
                raise GoldenError(
                    f"random case {start + i}: kernels give {odd} = {values[odd]:#x}, the reference {exact[odd]:#x}"
                )
            found.append(Evaluated(d.flags, d.comment, values))
    return found


def _accepted(unit: Unit, draft: Draft) -> bool:
    try:
        evaluate_many(unit, {p.name: [draft.inputs[p.name]] for p in unit.inputs})
    except ValueError:
        return False
    return True
