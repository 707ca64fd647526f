"""Rows of float products as a named unit sums them (rule A3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsim.codec.input import as_float32
from qsim.codec.threads import PIECE, pieces, run
from qsim.datapath.float_presets import load_float_accumulator
from qsim.spec.error import SpecError
from qsim.spec.float_accumulator import OUT_TYPES, FloatAccumulator, check_promotion, operand_element
from qsim.spec.number import Element, float_element

if TYPE_CHECKING:
    from qsim.kernels.float_sum import DotParams

Bits = NDArray[np.uint32]
NO_MIN_EXPONENT = -1000
INF = 0x7F800000  # float32 pattern
FLOAT16 = float_element(5, 10, "ieee")


def dot(
    a: object,
    b: object,
    c: object = None,
    preset: str | Path | FloatAccumulator = "hopper",
    *,
    operand: str | tuple[str, str] | None = None,
    promote_every: int | None = None,
    out: str = "float32",
) -> NDArray[np.float32]:
    """c[i] + sum of a[i, k] * b[i, k] for every row i, in the bits of a real unit.

    A K that is no multiple of the unit's step is filled with products of +0. NaN operands, Inf * 0 and Inf - Inf give the
    preset's NaN; a sum with one kind of infinity gives it. Real units' NaN payloads and signs of zero are not verified.

    Args:
        a: float32 array of shape (n, K), or (K,) for one row; every value must be one of its operand format.
        b: the same for the other operand.
        c: float32 array of shape (n,), or None for +0; with out="float16" its values must be float16's.
        preset: a name of `float_accumulator_names()`, the path of a user's TOML file, or a FloatAccumulator.
        operand: the format of a and b, or a pair of formats; may be left out where the preset takes only one.
        promote_every: sum every k products anew from zero and add the results to c in float32 half_even.
        out: "float16" rounds every step to float16, half_even, where the unit has that result.

    Returns:
        float32 array of shape (n,), also for out="float16".

    Raises:
        ValueError: a value that its format does not have, an unknown preset, format or result, shapes that do not match.
    """
    given = prepare(a, b, c, preset, operand, promote_every, out)
    from qsim.kernels.float_dot import dot_rows

    result = np.empty(given.c.size, np.uint32)

    def task(r: slice, _: slice) -> None:
        dot_rows(given.a[r], given.b[r], given.c[r], result[r], *given.parameters)

    run(task, pieces(given.c.size, 1, piece=max(PIECE // max(given.a.shape[1], 1), 2)))
    return result.view(np.float32)


class Prepared(NamedTuple):
    """Checked rows of float32 patterns, and the unit lowered to the kernel's last arguments."""

    a: Bits
    b: Bits
    c: Bits
    parameters: tuple[DotParams, DotParams, Any, Any]


def prepare(
    a: object, b: object, c: object, preset: str | Path | FloatAccumulator, operand: object, promote_every: int | None, out: str
) -> Prepared:
    """What `dot` checks."""
    acc = load_float_accumulator(preset)
    names = operands_of(acc, operand)
    every = acc.promote_every if promote_every is None else promote_every
    check_promotion(acc, names[0], every)
    if out not in OUT_TYPES or out not in acc.out_types:
        raise SpecError(f"out = {out!r}; allowed for {acc.name}: {', '.join(acc.out_types)}")
    if out == "float16" and every is not None:
        raise SpecError(f"promote_every = {every} with out = 'float16'; allowed: out = 'float32', promotion adds in float32")
    rows_a, rows_b, addend = rows(a, b, c)
    for label, array, name in (("a", rows_a, names[0]), ("b", rows_b, names[1])):
        check_values(array, operand_element(name), f"{label}: {name}", ", ".join(n for n, _ in acc.operands))
    if out == "float16":
        check_values(addend, FLOAT16, "c: float16", "values of float16 with out = 'float16'")
    from qsim.kernels.rounding import addends

    return Prepared(rows_a, rows_b, addend, (*lower(acc, names, every, out), addends(acc.result(out)[1]), addends("half_even")))


def dot_taps(
    a: object,
    b: object,
    c: object,
    preset: str | Path | FloatAccumulator,
    *,
    operand: str | tuple[str, str] | None = None,
    promote_every: int | None = None,
    out: str = "float32",
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """`dot`, and what the unit's registers hold on the way, n rows first.

    products: (n, K) float64, exact, filled with zeros to whole steps (in the unit's order: odd_first swaps pairs).
    exponents: (n, steps) int64, E of every step; aligned: (n, steps, nfma + 1) int64, its terms in units of 2^(E-F), c
    last; both 0 in a step with NaN or infinities, and not there for an exact unit. partial_sums: float32, the register
    after every step; of a tree its leaves, then its sums level by level. promoted: (n, promotions), with promotion only.
    """
    given = prepare(a, b, c, preset, operand, promote_every, out)
    from qsim.kernels.float_taps import dot_taps as kernel

    acc = load_float_accumulator(preset)
    name = operands_of(acc, operand)[0]
    nfma, period, every = acc.nfma(name), acc.period(name), given.parameters[0].promote_every
    n, padded = given.c.size, -(-given.a.shape[1] // period) * period
    starts = range(0, padded, every or max(padded, 1))
    steps = [(min(start + (every or padded), padded) - start) // nfma for start in starts]
    sums = sum(2 * k - 1 if acc.order == "pairwise" else k for k in steps)
    exact = acc.alignment == "exact"
    taps = {
        "products": np.empty((n, padded)),
        "exponents": np.empty((n, 0 if exact else sum(steps)), np.int64),
        "aligned": np.empty((n, 0 if exact else sum(steps), nfma + 1), np.int64),
        "partial_sums": np.empty((n, sums), np.uint32),
        "promoted": np.empty((n, max(len(steps), 1)), np.uint32),
    }
    kernel(given.a, given.b, given.c, *given.parameters, *taps.values())
    result = taps["promoted"][:, -1].copy()
    kept = [k for k in taps if not (exact and k in ("exponents", "aligned")) and not (k == "promoted" and not every)]
    return result.view(np.float32), {k: taps[k].view(np.float32) if taps[k].dtype == np.uint32 else taps[k] for k in kept}


def operands_of(acc: FloatAccumulator, operand: object) -> tuple[str, str]:
    """The formats of a and b, or SpecError that names those of the preset."""
    known = dict(acc.operands)
    allowed = ", ".join(f"{name} ({nfma} products a step)" for name, nfma in known.items())
    if operand is None:
        if len(known) > 1:
            raise SpecError(f"{acc.name} takes several operand formats: give operand=; allowed: {allowed}")
        operand = next(iter(known))
    pair = (operand, operand) if isinstance(operand, str) else operand
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(name in known for name in pair):
        raise SpecError(f"operand = {operand!r}; allowed for {acc.name}: {allowed}, or a pair of them")
    if known[pair[0]] != known[pair[1]]:
        raise SpecError(f"operand = {operand!r}: steps of {known[pair[0]]} and {known[pair[1]]} products do not mix")
    return pair[0], pair[1]


def rows(a: object, b: object, c: object) -> tuple[Bits, Bits, Bits]:
    """Patterns of a and b of shape (n, K) and of c of shape (n,)."""
    x, y = (np.atleast_2d(as_float32(v)) for v in (a, b))
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"a of shape {x.shape} and b of shape {y.shape}; allowed: the same (n, K), or (K,)")
    z = np.zeros(x.shape[0], np.float32) if c is None else np.atleast_1d(as_float32(c))
    if z.shape != x.shape[:1]:
        raise ValueError(f"c of shape {z.shape}; allowed: {x.shape[:1]}, one addend a row")
    u, v, w = (np.ascontiguousarray(array).view(np.uint32) for array in (x, y, z))
    return u, v, w


def check_values(u: Bits, element: Element, what: str, allowed: str) -> None:
    """Raise ValueError at the first pattern that the format does not have."""
    from qsim.kernels.float_dot import first_outside

    flat = u.reshape(-1)
    largest = int(np.float32(float(element.largest)).view(np.uint32))
    facts = (element.mantissa_bits, element.emin, largest, element.inf_code is not None, element.nan_code is not None)
    work = pieces(1, flat.size)
    for found, (_, r) in zip(run(lambda _, r: first_outside(flat[r], *facts), work), work, strict=True):
        if found >= 0:
            i = r.start + found
            index = ", ".join(str(int(k)) for k in np.unravel_index(i, u.shape))
            value = float(flat.view(np.float32)[i])
            raise ValueError(f"{what} has no value {value!r}, index [{index}]; allowed: {allowed}")


def lower(acc: FloatAccumulator, operand: tuple[str, str], every: int | None, out: str) -> tuple[DotParams, DotParams]:
    """The accumulator in integers, and the parameters of a plain float32 addition."""
    from qsim.kernels import float_sum as kernel

    element, _ = acc.result(out)
    finite = INF if acc.overflow == "inf" else int(np.float32(float(element.largest)).view(np.uint32))
    p = kernel.DotParams(
        nfma=acc.nfma(operand[0]),
        alignment={"trunc": kernel.TRUNC, "floor": kernel.FLOOR, "half_even": kernel.HALF_EVEN, "exact": kernel.EXACT}[
            acc.alignment
        ],
        fraction=acc.fraction or 0,
        min_exponent=NO_MIN_EXPONENT if acc.min_exponent is None else acc.min_exponent,
        late=acc.c == "late_f32",
        order={"ascending": kernel.ASCENDING, "odd_first": kernel.ODD_FIRST, "pairwise": kernel.PAIRWISE}[acc.order],
        promote_every=every or 0,
        daz=acc.daz,
        ftz=acc.ftz,
        signed_zero=acc.signed_zero,
        overflow=finite,
        nan=acc.nan,
        emin_a=operand_element(operand[0]).emin,
        emin_b=operand_element(operand[1]).emin,
        out_fraction=element.mantissa_bits,
        out_emin=element.emin,
        out_max=element.max_code,
    )
    return p, p._replace(ftz=False, signed_zero=True, overflow=INF, out_fraction=23, out_emin=-126, out_max=INF - 1)
