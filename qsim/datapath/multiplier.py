"""Preparation of the multiplier (rule Q4): si * sw / so as the stack computes it, then a fixed-point multiplier and exponent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qsim.datapath.presets import load_requantizer
from qsim.spec.requantizer import RATIOS, ScalePrep

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: flavour of quantize_multiplier -> preset whose preparation it is
FLAVOURS = {"double": "tflite_double", "single": "tflite_single"}


def effective_scale(input_scale: ArrayLike, weight_scale: ArrayLike, output_scale: ArrayLike, prep: str = "f64") -> Any:
    """si * sw / so as a stack computes it: each scale once to float32, then as `prep` (or the preset of that name) says.

    f64: all in float64. f32_product: si * sw in float32, the quotient in float64. f32: all in float32. Returns float64, or
    float32 for f32; an array where a scale is one.
    """
    ratio = prep if prep in RATIOS else load_requantizer(prep).prep.ratio
    with np.errstate(over="ignore", under="ignore"):
        si, sw, so = (np.asarray(s).astype(np.float32) for s in (input_scale, weight_scale, output_scale))
        for name, values in (("input_scale", si), ("weight_scale", sw), ("output_scale", so)):
            bad = values[~(np.isfinite(values) & (values > 0))]
            if bad.size:
                raise ValueError(f"{name}={float(bad.flat[0])} in float32; allowed: positive and finite (rule Q4)")
        if ratio == "f32":
            return si * sw / so
        product = si.astype(np.float64) * sw if ratio == "f64" else (si * sw).astype(np.float64)
        return product / so.astype(np.float64)


def quantize_multiplier(real: ArrayLike, *, flavour: str = "double") -> tuple[Any, Any]:
    """TFLite's QuantizeMultiplier (rule Q4): real = multiplier * 2^(shift - 31), multiplier of 31 bits, half_away.

    Below 2^-32 both are 0; flavour "single" caps the exponent at 30. Python ints for a number, int32 arrays for an array.
    """
    if flavour not in FLAVOURS:
        raise ValueError(f"flavour={flavour!r}; allowed: {', '.join(FLAVOURS)} (rule Q4)")
    values = np.asarray(real, dtype=np.float64)
    multiplier, exponent = quantize(values, load_requantizer(FLAVOURS[flavour]).prep)
    if values.ndim == 0:
        return int(multiplier[0]), int(exponent[0])
    return multiplier.astype(np.int32).reshape(values.shape), exponent.astype(np.int32).reshape(values.shape)


def quantize(values: NDArray[np.float64], prep: ScalePrep) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat multipliers and exponents of a preparation."""
    real = values.reshape(-1)
    bad = real[~(np.isfinite(real) & (real >= 0))]
    if bad.size:
        raise ValueError(f"scale {bad[0]}; allowed: finite, 0 or more (rule Q4)")
    fraction, exponent = np.frexp(real)
    exact = np.ldexp(fraction, prep.bits)  # below 2^32, of 53 bits: its integer part and the rest are exact
    multiplier = exact.astype(np.int64)
    multiplier += exact - multiplier >= 0.5
    exponent = exponent.astype(np.int64)
    if prep.normalise:
        carried = multiplier == 1 << prep.bits
        multiplier, exponent = multiplier >> carried, exponent + carried
    if prep.flush is not None:
        kept = exponent >= prep.flush
        multiplier, exponent = multiplier * kept, exponent * kept
    if prep.cap is not None:
        capped = exponent > prep.cap
        multiplier = np.where(capped, (1 << prep.bits) - 1, multiplier)
        exponent = np.where(capped, prep.cap, exponent)
    return multiplier, exponent


def significand(scale: NDArray[np.float32], bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(m, shift) of normal float32 scales: scale = m * 2^-shift, m of `bits` bits."""
    pattern = scale.view(np.uint32).astype(np.int64)
    return ((pattern & 0x7FFFFF) | 0x800000) << (bits - 24), 126 + bits - (pattern >> 23)


def reduced(multiplier: NDArray[np.int64], bits: int, to: int) -> NDArray[np.int64]:
    """Multipliers rounded half_up to `to` bits, sign included; the largest where that would carry."""
    drop = bits + 1 - to
    least: NDArray[np.int64] = np.minimum((multiplier + ((1 << drop) >> 1)) >> drop, (1 << (to - 1)) - 1)
    return least
