"""What may enter: float arrays, as float32 (rule R4); and the errors that name what may not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.threads import pieces, run
from qsim.spec import LFSR, Counter, Format, Geometry, Options

Array = NDArray[Any]
ACCEPTED = "float32, float64, float16 or bfloat16"


def as_float32(x: object) -> NDArray[np.float32]:
    """The input as a float32 array of native byte order; float64 is rounded once, half_even (rule R4)."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError("input is a masked array; fill it first, so that what stands under the mask is not hidden")
    array = np.asarray(x)
    name = array.dtype.name
    if name == "float32" and array.dtype.isnative:
        return array
    if name not in ("float32", "float64", "float16", "bfloat16"):
        raise TypeError(f"input of dtype {array.dtype}; allowed: {ACCEPTED} (convert explicitly, so that no rounding is hidden)")
    with np.errstate(over="ignore", under="ignore"):
        return array.astype(np.float32)


def refuse_nonfinite(x: NDArray[np.float32], fmt: Format) -> None:
    """Raise the ValueError of rule S7 (R3 for a plain float) that names the first index and the count."""
    bad = np.isnan(x) if fmt.family == "float" else ~np.isfinite(x)
    places = np.flatnonzero(bad)
    first = np.unravel_index(places[0], x.shape) if x.ndim else ()
    index = ", ".join(str(int(i)) for i in first)
    what = "NaN" if fmt.family == "float" else "NaN or infinite"
    rule = "R3" if fmt.family == "float" else "S7"
    raise ValueError(
        f"{fmt.name} has no code for {x[first]!s}: first at index [{index}], {places.size} of {x.size} values are {what}"
        f" as float32 (rules R4 and {rule})"
    )


def moved_rows(a: Array, geometry: Geometry) -> Array:
    """An array of the tensor's shape as C-contiguous with `axis` moved last."""
    return np.ascontiguousarray(np.moveaxis(a.reshape(geometry.shape), geometry.axis, -1))


def random_words(source: object, options: Options, geometry: Geometry) -> NDArray[np.uint32] | Counter:
    """Words at the top of 32 bits, moved shape, or the Counter that makes them; (0,) without stochastic rounding (rule R2)."""
    if options.rounding != "stochastic":
        if source is not None:
            raise ValueError(f"random= is given but rounding={options.rounding!r}; allowed with rounding='stochastic' (rule R2)")
        return np.zeros(0, np.uint32)
    if isinstance(source, int | np.integer) and not isinstance(source, bool):
        return Counter(int(source))
    if isinstance(source, Counter):
        return source
    if isinstance(source, LFSR):
        return np.asarray(moved_rows(all_words(source, options, geometry), geometry))
    if source is None:
        raise ValueError("rounding='stochastic' needs random=: a seed, Counter, LFSR or an array of words (rule R2)")
    words = np.asarray(source)
    r, n = options.random_bits, geometry.size
    if words.dtype.kind not in "iu":
        raise TypeError(f"random words of dtype {words.dtype}; allowed: integers (rule R2)")
    if words.size != n or (words.shape or (1,)) != geometry.shape:
        raise ValueError(f"random words of shape {words.shape}; allowed: the input's, {geometry.shape} (rule R2)")
    if n and (int(words.min()) < 0 or int(words.max()) >> r):
        raise ValueError(
            f"random words from {words.min()} to {words.max()}; allowed: 0 to {(1 << r) - 1} (random_bits={r}, rule R2)"
        )
    return np.asarray(moved_rows((words.astype(np.uint64) << np.uint64(32 - r)).astype(np.uint32), geometry))


def all_words(source: Counter | LFSR, options: Options, geometry: Geometry) -> NDArray[np.uint32]:
    """Every word of a generator, at the top of 32 bits, in C order of the input."""
    from qsim.kernels import random

    r, out = options.random_bits, np.empty(geometry.size, np.uint32)
    if isinstance(source, LFSR):
        random.lfsr_words(source.state, source.poly, r, out)
    else:
        seed = source.seed
        run(lambda _, c: random.counter_words(seed, c.start, r, out[c]), pieces(1, out.size))
    return out
