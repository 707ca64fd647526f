"""Calibrators side by side on one distribution: the range each chooses, what it clips, and the SQNR of a format in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim import ranges
from qsim.codec.limits import RANGED
from qsim.codec.quantize import quantize
from qsim.explore.metrics import Sums
from qsim.explore.table import Column
from qsim.ranges.mse import integer_format
from qsim.spec import Format, load_format
from qsim.spec.format import GRANULAR

Row = dict[str, Any]
Float32 = NDArray[np.float32]
Make = Callable[..., ranges.Calibrator]

THRESHOLD_COLUMNS = ("file", "tensor", "method", "format", "low", "high", "clipped", "sqnr", "note")


@dataclass(frozen=True)
class Setting:
    """What the methods calibrate for. axis: one range a channel, None: one range."""

    fmt: Format
    axis: int | None = None

    @property
    def symmetric(self) -> bool:
        """Whether the format has no zero point."""
        return self.fmt.family != "affine"

    @property
    def bits(self) -> int:
        """Bits of an element."""
        return self.fmt.element.bits

    @property
    def shared(self) -> dict[str, Any]:
        """What every calibrator takes."""
        return {"symmetric": self.symmetric, "axis": self.axis}


def _plain(kind: Make, **settings: Any) -> Callable[[Setting], ranges.Calibrator]:
    return lambda s: kind(**settings, **s.shared)


def _bits(kind: Make, **settings: Any) -> Callable[[Setting], ranges.Calibrator]:
    return lambda s: kind(bits=s.bits, **settings, **s.shared)


#: Method -> its calibrator.
METHODS: dict[str, Callable[[Setting], ranges.Calibrator]] = {
    "minmax": _plain(ranges.MinMax),
    "ema": _plain(ranges.EMA),
    "mean_minmax": _plain(ranges.MeanMinMax),
    "percentile_99.99": _plain(ranges.Percentile, percentile=99.99),
    "percentile_99.9": _plain(ranges.Percentile, percentile=99.9),
    "kl_tensorrt": _bits(ranges.KL),
    "kl_onnxruntime": _bits(ranges.KL, variant="onnxruntime"),
    "mse": lambda s: ranges.MSE(fmt=s.fmt, **s.shared),
    "octav": _bits(ranges.OCTAV),
    "octav_grid": _bits(ranges.OCTAV, step="grid"),
    "analytic_laplace": _bits(ranges.Analytic),
    "analytic_gauss": _bits(ranges.Analytic, distribution="gauss"),
}


def choose_setting(bits: int | None, name: str | None, affine: bool, axis: int | None) -> Setting:
    """The format of the arguments of `qsim calibrate`, with as many scales as ranges."""
    if name is None:
        fmt = integer_format(8 if bits is None else bits, not affine)
    elif bits is not None or affine:
        raise ValueError(f"--format {name} with --bits or --affine; allowed: one of the two ways to name a format")
    else:
        fmt = load_format(name)
        if fmt.family not in RANGED:
            raise ValueError(f"--format {name} (family {fmt.family}) has no range to choose; allowed: {', '.join(RANGED)}")
    if fmt.family in GRANULAR:
        fmt = fmt.with_granularity("tensor" if axis is None else "channel")
    if fmt.family == "nvfp4" and axis is not None:
        raise ValueError(f"--axis with {fmt.name}, which has one range a tensor; allowed: no --axis")
    return Setting(fmt, axis)


def choose_methods(names: Sequence[str]) -> list[str]:
    """The methods named, in that order; all without a name."""
    for name in names:
        if name not in METHODS:
            raise ValueError(f"--method {name}: allowed: {', '.join(METHODS)}")
    return list(dict.fromkeys(names)) or list(METHODS)


def threshold_rows(batches: Sequence[Float32], methods: Sequence[str], setting: Setting) -> Iterator[Row]:
    """A row a method, all batches together. A method that refuses the data has the reason in its row."""
    for method in methods:
        row: Row = {"method": method, "format": setting.fmt.name, "low": None, "high": None, "clipped": None, "sqnr": None}
        try:
            calibrator = METHODS[method](setting)
            for batch in batches:
                calibrator.observe(batch)
            low, high = calibrator.limits()
            yield row | {"low": low, "high": high, "note": None} | _measured(batches, low, high, setting)
        except ValueError as error:
            yield row | {"note": str(error)}


def _measured(batches: Sequence[Float32], low: Any, high: Any, setting: Setting) -> Row:
    sums, beyond, size = Sums(), 0, 0
    place = partial(_along, axis=setting.axis)
    for x in batches:
        sums.add(x, quantize(x, setting.fmt, channel_axis=setting.axis or 0, limits=(low, high)))
        beyond += int(np.count_nonzero((x < place(low, x.ndim)) | (x > place(high, x.ndim))))
        size += x.size
    return {"clipped": beyond / size, "sqnr": sums.metrics().sqnr}


def _along(ends: Any, ndim: int, axis: int | None) -> Any:
    """One value a channel, to compare with a batch."""
    return ends if axis is None else np.reshape(ends, [-1 if d == axis % ndim else 1 for d in range(ndim)])


def ends_text(ends: Any) -> str:
    """A threshold, or the least and largest of many."""
    values = np.ravel(ends)
    return f"{values[0]:.6g}" if values.size == 1 else f"{values.min():.4g} to {values.max():.4g}"


#: The columns of the table: key, heading, text.
THRESHOLD_TABLE: tuple[Column, ...] = (
    ("tensor", "tensor", str),
    ("method", "method", str),
    ("low", "low", ends_text),
    ("high", "high", ends_text),
    ("clipped", "clipped", lambda share: f"{100 * share:.4g} %"),
    ("sqnr", "SQNR dB", lambda value: f"{value:.2f}"),
    ("note", "note", str),
)
