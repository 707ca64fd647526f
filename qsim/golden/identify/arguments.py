"""The requantizer's arguments of a suite's cases, as another preset would have got them (rule Q4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from qsim.reference.numbers import FLOAT64, round_to_float
from qsim.reference.requantize import quantize_multiplier
from qsim.spec import FLOAT32
from qsim.spec.requantizer import Requantizer, ScalePrep

ARGUMENTS = ("acc", "multiplier", "shift", "scale")
SCALES = ("input_scale", "weight_scale", "output_scale")


@dataclass(frozen=True)
class Arguments:
    """values: accumulator, multiplier and shift as integers, scale as a pattern, of each case, as the suite gives them to `own`.

    stated: the float32 scales of input, weight and output, of each case; with them every preset prepares its own arguments.
    """

    own: Requantizer | None
    values: Mapping[str, list[int]]
    stated: tuple[Any, Any, Any] | None = None

    def of(self, q: Requantizer) -> dict[str, list[int]] | None:
        """Arguments of another preset; None where the suite's do not determine them."""
        own, takes = self.own, q.prep.takes
        if own is None or "thresholds" in takes:
            return {} if own == q else None
        if self.stated is not None and takes != ("shift",):
            return self._prepared(q.prep)
        if takes == own.prep.takes and _same(q.prep, own.prep):
            return {name: self.values[name] for name in takes}
        reals = self._reals()
        if reals is None or takes == ("shift",):
            return None
        known: dict[Any, tuple[int, ...]] = {}
        if takes == ("scale",):
            kind = FLOAT64 if q.prep.kind == "f64" else FLOAT32
            for real in reals:
                if real not in known:
                    known[real] = (round_to_float(real, kind),)
            return {"scale": [known[real][0] for real in reals]}
        if q.prep.shift is None:
            return None
        if own.prep.takes == takes and own.prep.bits == q.prep.bits:
            return {"multiplier": self.values["multiplier"], "shift": [q.prep.shift(e) for e in self._exponents()]}
        for real in reals:
            if real not in known:
                multiplier, exponent = quantize_multiplier(real, q.prep) if real >= 0 else (0, 0)
                known[real] = multiplier, q.prep.shift(exponent)
        return {"multiplier": [known[real][0] for real in reals], "shift": [known[real][1] for real in reals]}

    def _prepared(self, prep: ScalePrep) -> dict[str, list[int]] | None:
        from qsim.datapath.multiplier import effective_scale, quantize

        assert self.stated is not None
        real = np.asarray(effective_scale(*self.stated, prep=prep.ratio))
        if prep.kind != "fixed":
            if prep.kind == "f64":
                return {"scale": real.astype(np.float64).view(np.uint64).tolist()}
            return {"scale": real.astype(np.float32).view(np.uint32).tolist()}
        if prep.shift is None:
            return None
        multiplier, exponent = quantize(real.astype(np.float64), prep)
        return {"multiplier": multiplier.tolist(), "shift": [prep.shift(e) for e in exponent.tolist()]}

    def _exponents(self) -> list[int]:
        """The exponent of every multiplier: real = multiplier * 2^(exponent - bits)."""
        assert self.own is not None
        amount = self.own.prep.shift
        assert amount is not None
        return [(s - amount.offset) * amount.factor for s in self.values["shift"]]

    def _reals(self) -> list[Fraction] | None:
        """The real multiplier of every case; None where the suite's arguments do not say it."""
        assert self.own is not None
        prep = self.own.prep
        if "scale" in prep.takes:
            kind = FLOAT64 if prep.kind == "f64" else FLOAT32
            found = [kind.value(pattern) for pattern in self.values["scale"]]
            return [real if isinstance(real, Fraction) else Fraction(0) for real in found]
        if prep.takes != ("multiplier", "shift") or prep.shift is None or not prep.shift.factor:
            return None
        return [
            m * Fraction(2) ** max(min(e - prep.bits, 1000), -1000)
            for m, e in zip(self.values["multiplier"], self._exponents(), strict=True)
        ]


def _same(one: ScalePrep, other: ScalePrep) -> bool:
    """Whether arguments of equal names mean the same."""
    if one.takes == ("scale",):
        return (one.kind == "f64") == (other.kind == "f64")
    return one.bits == other.bits and one.shift == other.shift
