"""Mistakes at the operands: order of bits and elements in a word, signs, lanes, block scales, special codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qsim.golden.mutants.elements import element_mistakes
from qsim.golden.mutants.lanes import lane_mistakes
from qsim.golden.mutants.mutant import Hook, Mutant
from qsim.golden.mutants.places import ROW
from qsim.golden.mutants.reach import operand_interval
from qsim.golden.mutants.scales import scale_mistakes
from qsim.golden.mutants.words import word_mistakes
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.reference.block_dot import Row
from qsim.spec import Format

BYTE = 8
Change = Callable[[Row], Row]


def operand_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake at each operand."""
    if unit.kind not in ("dot", "matmul", "chain"):
        return
    for side, fmt in zip(("activation", "weight"), formats(unit), strict=True):
        for name, why, word in word_mistakes(fmt):
            yield Mutant(f"{side}: {name}", why, (Hook(ROW, _of_words(side, fmt, word)),))
        for name, why, row in (*lane_mistakes(unit, fmt), *element_mistakes(fmt), *scale_mistakes(unit, fmt)):
            proof = _never_written(unit, side, fmt, name)
            yield Mutant(f"{side}: {name}", why, (Hook(ROW, _of_row(side, row)),), proof=proof)
        if formats(unit)[0] == formats(unit)[1]:
            yield Mutant(f"{side}: of the other operand", "its port is wired to the other's words", (Hook(ROW, _of_other(side)),))


def _never_written(unit: Unit, side: str, fmt: Format, name: str) -> str:
    """Why no case can hold the codes that a mistake misreads."""
    if name.startswith("lowest code") and operand_interval(unit, side)[0] > fmt.element.qmin:
        return "the encoder never writes the lowest code"
    if "NaN is" in name and unit.block is not None and unit.block.into != "float":
        return "the unit refuses blocks and elements that are NaN"
    if unit.kind != "chain" or not fmt.block_scales:
        return ""
    if name.startswith("NaN is"):
        return "the encoder never writes a NaN element: it saturates, and a NaN makes the scale of its block NaN"
    largest = 255 - fmt.element.emax if fmt.family == "ocp" else 254
    if name.endswith("254 is NaN") and largest < 254:
        return f"the encoder writes no scale above {largest}: float32 ends at 2^128"
    level = name.removeprefix("scale").partition(":")[0]
    if level.isdigit() and fmt.block_scales[int(level)].kind == "float" and name.endswith(("top bit lost", "sign ignored")):
        return "the encoder writes no negative scale"
    return ""


def _of_words(side: str, fmt: Format, word: Callable[[int], int]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The operand's words, changed one by one, before they are taken apart."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def row(unit: Unit, inputs: dict[str, int], which: str, of: Format) -> Any:
            if which != side:
                return original(unit, inputs, which, of)
            port = unit.port(side)
            pattern = sum(word(v) << i * port.width for i, v in enumerate(port.split(inputs[side])))
            return original(unit, dict(inputs) | {side: pattern}, which, of)

        return row

    return make


def _of_other(side: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The words of the other operand; channel and tensor scales stay."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def row(unit: Unit, inputs: dict[str, int], which: str, of: Format) -> Any:
            other = "weight" if side == "activation" else "activation"
            return original(unit, dict(inputs) | {side: inputs[other]} if which == side else inputs, which, of)

        return row

    return make


def _of_row(side: str, change: Change) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def row(unit: Unit, inputs: dict[str, int], which: str, of: Format) -> Any:
            found = original(unit, inputs, which, of)
            return change(found) if which == side else found

        return row

    return make
