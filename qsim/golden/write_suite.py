"""Suites: a unit's cases with every port computed, by the reference, or in bulk by the kernels under the reference's eye."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsim import __version__
from qsim.golden.cases import Draft, Evaluated, directed, evaluated, exhaustive, notes_of, observed, random
from qsim.golden.operands import Row
from qsim.golden.ports import formats
from qsim.golden.provenance import verified_by
from qsim.golden.suite import Case, Suite
from qsim.golden.unit import KINDS, OPTIONAL, Unit
from qsim.golden.vectors import GoldenError
from qsim.spec import Format, load_format, resolve_options
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.datapath import Datapath
from qsim.spec.load import data_folder
from qsim.spec.options import allowed_values

_BLOCKS = ("mx9_bdr", "mx6_bdr", "mx4_bdr", "vsq4_int24", "mxfp8_e4m3_tcgen05", "mxfp4_tcgen05", "nvfp4_tcgen05")
#: kind -> names of the suites that are checked in, all of them written with the defaults.
CHECKED_IN = {
    "dot": ("tflite_conv", "int8_saturate16", *_BLOCKS, "mx9_fixed40", "vsq4_scale6", "binary_popcount"),
    "chain": ("tflite_conv", *_BLOCKS, "binary_popcount"),
    "requantize": ("tflite_conv", "xnnpack_int8", "onnxruntime_int8"),
    "encode": ("mx9", "mx6", "mx4"),
}
CASES = ("directed", "random", "exhaustive")
DEFAULT_K = 16
USER_NOTE = "A flag that the user gave."
SHARE = 100  # of the bulk's undirected cases one in so many is computed again by the reference


def datapath_unit(datapath: Datapath, kind: str, k: int | None = None, parameters: Sequence[str] | None = None) -> Unit:
    """A unit of a datapath: k of its [ports], else two blocks, else 16; parameters of its [ports], else those that apply."""
    if kind in ("encode", "pack"):  # of the activation's format
        fmt = datapath.operand_format("activation")
        return Unit(kind, datapath, fmt, k or datapath.ports.get("k") or format_k(fmt))
    given = tuple(parameters) if parameters is not None else stated(datapath) if datapath.ports else applicable(datapath, kind)
    sizes = [fmt.block_size for fmt in (datapath.activation, datapath.weight) if fmt is not None and fmt.block_scales]
    wanted = k or datapath.ports.get("k") or (_blocks(datapath, max(sizes), kind) if sizes else DEFAULT_K)
    m, n = (int(datapath.ports.get(size, 2)) if kind == "matmul" else 1 for size in ("m", "n"))
    return Unit(kind, datapath, None, 1 if kind == "requantize" else wanted, m, n, given)


def with_options(unit: Unit, options: Mapping[str, Any]) -> Unit:
    """The same unit with options of its encoders; ValueError for one that applies to none of its formats."""
    if unit.kind not in ("encode", "chain"):
        raise ValueError(f"options {', '.join(options)} with kind {unit.kind}; allowed: encode, chain, which encode floats")
    sides = [unit.fmt] if unit.fmt is not None else list(formats(unit))
    for name, value in options.items():
        fits = [fmt for fmt in sides if fmt is not None and allowed_values(name, fmt)]
        for fmt in fits or sides:
            resolve_options(fmt, {name: value})
    if "random_bits" in options and options.get("rounding") != "stochastic":
        raise ValueError("random_bits without rounding = stochastic; allowed: both (rule R2)")
    return replace(unit, options=tuple(sorted(options.items())))


def _blocks(datapath: Datapath, size: int, kind: str) -> int:
    """Elements of two blocks; of a dot product, whose steps are its own matter, one step and one block more."""
    acc = datapath.accumulator
    assert isinstance(acc, BlockAccumulator)
    step = acc.nfma * (1 if acc.terms == "products" else acc.sum_length(size))
    return -(-step // size) * size + size if step > size and kind != "chain" else 2 * size


def stated(datapath: Datapath) -> tuple[str, ...]:
    """The optional parameters that the design has ports for."""
    names = {"clamp": ("clamp_low", "clamp_high")}
    return tuple(p for p in OPTIONAL if any(name in datapath.ports for name in names.get(p, (p,))))


def applicable(datapath: Datapath, kind: str) -> tuple[str, ...]:
    """The optional parameters that mean something: zero points where formats have them, or an output has one."""
    q, a, w = datapath.requantizer, datapath.activation, datapath.weight
    probe = Unit("dot", datapath)
    block, integer = probe.block, probe.integer
    wanted = {
        "bias": probe.float is not None
        or (block is not None and block.into == "float")
        or (integer is not None and integer.bias != "float"),
        "a_zero_point": integer is not None and a is not None and kind != "chain" and (a.zero_point or _quantized(datapath)),
        "w_zero_point": integer is not None and w is not None and kind != "chain" and w.zero_point,
        "out_zero_point": q is not None and q.zero_point != "none",
        "clamp": q is not None,
    }
    alone = ("out_zero_point", "clamp") if kind == "requantize" else OPTIONAL
    return tuple(name for name in OPTIONAL if wanted[name] and name in alone)


def _quantized(datapath: Datapath) -> bool:
    assert datapath.activation is not None
    return datapath.requantizer is not None and datapath.activation.element.kind in ("int", "uint")


def format_unit(name: str | Path, kind: str, k: int | None = None) -> Unit:
    """A unit that encodes or packs a format: one block, or 16 elements."""
    if kind not in ("encode", "pack"):
        raise GoldenError(f"kind = {kind!r} with a format; allowed: encode, pack; the others take a datapath")
    fmt = load_format(name)
    return Unit(kind, None, fmt, k or format_k(fmt))


def format_k(fmt: Format) -> int:
    """One block, or 16 elements."""
    return fmt.block_size if fmt.block_scales else DEFAULT_K


def kind_of(datapath: Datapath) -> str:
    """The kind of unit that a design's [ports] speak of: dot unless they name what only another kind has."""
    for port, kind in (("activation_input", "chain"), ("input", "encode"), ("codes", "pack"), ("acc", "requantize")):
        if port in datapath.ports:
            return kind
    return "matmul" if datapath.ports.get("m", 1) != 1 or datapath.ports.get("n", 1) != 1 else "dot"


def write_suite(
    unit: Unit, name: str, *, cases: Sequence[str] = ("directed", "random"), seed: int = 0, count: int = 10, bulk: bool = False
) -> Suite:
    """The suite of a unit.

    Args:
        unit: what is under test.
        name: of the suite; with the unit's kind it names its file.
        cases: which of `directed`, `random`, `exhaustive`.
        seed: of the random cases.
        count: random cases, those that the unit refuses not counted.
        bulk: the kernels compute the undirected cases, the reference every hundredth of them again.

    Raises:
        GoldenError: an unknown kind of case, a unit with too many inputs for `exhaustive`, kernels that differ.
    """
    unknown = [c for c in cases if c not in CASES]
    if unknown or not cases:
        raise GoldenError(f"cases = {', '.join(cases)!r}; allowed: {', '.join(CASES)}, with commas between them")
    found: list[Evaluated] = list(directed(unit).cases) if "directed" in cases else []
    if "random" in cases:
        found += [observed(unit, case) for case in computed(unit, _drawn(unit, seed, count, bulk), bulk)]
    if "exhaustive" in cases:
        found += [observed(unit, case) for case in computed(unit, exhaustive(unit), bulk)]
    if not found and set(cases) == {"random"} and not count:
        raise GoldenError(f"{name}: no cases: count = 0 random ones; allowed: a count of 1 or more, or directed cases, too")
    return suite_of(unit, name, found, seed, bulk)


def _drawn(unit: Unit, seed: int, count: int, bulk: bool) -> Iterable[Draft]:
    """Random drafts; in bulk the same ones, packed all at once."""
    if not bulk:
        return random(unit, seed, count)
    from qsim.golden.bulk_draws import random_drafts

    return random_drafts(unit, seed, count)


def computed(unit: Unit, drafts: Iterable[Draft], bulk: bool) -> list[Evaluated]:
    """Drafts with their outputs; those that the unit refuses are left out."""
    if bulk:
        from qsim.golden.unit_kernels import bulk_evaluated

        return bulk_evaluated(unit, list(drafts), SHARE)
    found = []
    for draft in drafts:
        try:
            found.append(Evaluated(draft.flags, draft.comment, evaluated(unit, draft.inputs)))
        except ValueError:
            continue
    return found


def suite_of(unit: Unit, name: str, found: Sequence[Evaluated], seed: int = 0, bulk: bool = False) -> Suite:
    """Evaluated cases as a suite."""
    if not found:
        raise GoldenError(f"{name}: no cases; the unit refuses all of them")
    used = {flag for case in found for flag in case.flags}
    return Suite(
        name,
        unit,
        tuple(Case(i, case.flags, case.values, case.comment) for i, case in enumerate(found, 1)),
        {flag: note for flag, note in notes_of(unit).items() if flag in used},
        seed,
        "kernel" if bulk else "reference",
        {"name": "qsim.kernels" if bulk else "qsim.reference", "version": __version__},
        () if unit.options else tuple(verified_by(unit.kind, name)),
    )


def suite_path(folder: Path | None, kind: str, name: str) -> Path:
    """FOLDER/KIND/NAME.json; the checked-in suites unless a folder is given."""
    return (folder or data_folder("golden")) / kind / f"{name.replace('/', '_')}.json"


def suite_paths(folder: Path | None = None) -> list[Path]:
    """Every suite of a folder."""
    return [p for kind in KINDS for p in sorted(((folder or data_folder("golden")) / kind).glob("*.json"))]


def user_suite(unit: Unit, name: str, rows: Iterable[Draft | Row]) -> Suite:
    """A suite of the user's operands; GoldenError names the first case that the unit refuses."""
    found, masks = [], []
    for i, row in enumerate(rows, 1):
        try:
            case = Evaluated(row.flags, row.comment, evaluated(unit, row.inputs))
        except ValueError as error:
            raise GoldenError(f"case {i} ({row.comment or 'no comment'}): {error}") from None
        found.append(observed(unit, case))
        masks.append(row.masks if isinstance(row, Row) else {})
    suite = suite_of(unit, name, found)
    cases = tuple(replace(case, masks=mask) for case, mask in zip(suite.cases, masks, strict=True))
    own = {flag: USER_NOTE for case in cases for flag in case.flags if flag not in suite.notes}
    return replace(suite, cases=cases, notes=suite.notes | own)
