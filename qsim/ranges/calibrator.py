"""What every calibrator shares: batches in, limits out (rules C1 to C4)."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qsim.codec.input import as_float32
from qsim.codec.segment_scales import row_extremes
from qsim.ranges.segments import Segments

Array = NDArray[Any]
INF = 0x7F800000
LARGEST = float(np.finfo(np.float32).max)


class Calibrator(ABC):
    """Chooses a range from batches of float values.

    symmetric: limits() is (-t, t); False: a range (low, high) for affine formats, which contains 0.
    axis: one range a channel, the channels lying along this dimension of every batch; None: one range.
    group: one range for every `group` values along `axis` (None: the last), batches all of one shape.
    batches: how many batches have been observed.
    """

    def __init__(self, *, symmetric: bool = True, axis: int | None = None, group: int | None = None, **settings: Any) -> None:
        """Check the settings."""
        if group is not None:
            if not isinstance(group, int | np.integer) or isinstance(group, bool) or group < 1:
                raise ValueError(f"group={group!r}; allowed: 1 or more, or None")
            group = int(group)
        self.settings: dict[str, Any] = {**settings, "symmetric": bool(symmetric), "axis": axis, "group": group}
        self.batches = 0
        self._segments: Segments | None = None
        self._low = self._high = np.zeros(0, np.float32)

    @property
    def symmetric(self) -> bool:
        """Whether limits() is (-t, t)."""
        return bool(self.settings["symmetric"])

    def observe(self, batch: object) -> Self:
        """Take a batch into account; returns the calibrator. One that is refused leaves it as it was."""
        x = as_float32(batch)
        x = x.reshape(x.shape or (1,))
        segments = self._segments
        if x.size == 0:
            raise ValueError(f"batch {self.batches} is empty, of shape {x.shape}; allowed: at least one value (rule C2)")
        if segments is None:
            segments = Segments.of(self.settings["axis"], self.settings["group"], x.shape)
        elif (why := segments.mismatch(x.shape)) is not None:
            raise ValueError(f"batch {self.batches} has {why} (rule C2)")
        pieces = segments.split(x)
        low, high = np.zeros(segments.count, np.float32), np.zeros(segments.count, np.float32)
        for ids, rows in pieces:
            positive, negative = row_extremes(rows, np.arange(ids.size), ids.size, signs=True)
            if max(int(positive.max()), int(negative.max())) >= INF:
                self._refuse_nonfinite(x)
            high[ids], low[ids] = positive.view(np.float32), -negative.view(np.float32)
        try:
            self._check(np.maximum(-low, high))
        except ValueError as error:
            raise ValueError(f"batch {self.batches}: {error}") from error
        if self._segments is None:
            self._start(segments.count)
            self._low, self._high = low, high
        else:
            self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._segments = segments
        self._update(low, high)
        for number, (ids, rows) in enumerate(pieces):
            self._update_rows(number, ids, rows)
        self.batches += 1
        return self

    def merge(self, other: Calibrator) -> Self:
        """Take into account all that `other` has observed, after what this one has; returns this calibrator."""
        if type(self) is not type(other):
            raise TypeError(f"merge of {type(self).__name__} with {type(other).__name__}; allowed: the same kind (rule C3)")
        for name, value in self.settings.items():
            if other.settings[name] != value:
                raise ValueError(
                    f"merge of two {type(self).__name__}: {name}={value!r} here and {other.settings[name]!r} there;"
                    " allowed: equal settings (rule C3)"
                )
        if other._segments is None:
            return self
        if self._segments is None:
            self.__dict__.update(copy.deepcopy(other.__dict__))
            return self
        if self._segments != other._segments:
            raise ValueError(
                f"merge of two {type(self).__name__}: ranges of shape {self._segments.shape}, of batches {self._segments.batch}"
                f" here, and {other._segments.shape}, {other._segments.batch}, there; allowed: the same channels or groups"
                " (rule C3)"
            )
        self._merge(other)
        self._low, self._high = np.minimum(self._low, other._low), np.maximum(self._high, other._high)
        self.batches += other.batches
        return self

    def limits(self) -> tuple[Any, Any]:
        """(low, high), float32: scalars for one range, else arrays of one value a channel or group."""
        if self._segments is None:
            raise ValueError(f"{type(self).__name__}: no batch has been observed; allowed: observe(batch) first (rule C2)")
        with np.errstate(over="ignore", under="ignore"):
            low, high = (np.clip(np.asarray(end, np.float64), -LARGEST, LARGEST).astype(np.float32) for end in self._range())
        if self.symmetric:
            high = np.maximum(-low, high)
            low = -high
        return self._segments.shaped(low + np.float32(0)), self._segments.shaped(high + np.float32(0))  # no -0

    def __repr__(self) -> str:
        """Settings and the number of batches."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"{type(self).__name__}({settings}; {self.batches} batches)"

    # --- what a method adds ---

    @abstractmethod
    def _range(self) -> tuple[Array, Array]:
        """(low, high) of each segment, low <= 0 <= high, before rounding to float32."""

    def _check(self, amax: NDArray[np.float32]) -> None:
        """ValueError for a batch of these largest magnitudes that cannot be taken; nothing is changed yet."""
        return

    def _start(self, count: int) -> None:
        """Prepare the state of `count` segments."""
        return

    def _update(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        """A batch's extremes, widened to contain 0, of every segment; the running ones already include them."""
        return

    def _update_rows(self, number: int, ids: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        """Piece `number` of a batch: rows of values, and the segment of each row."""
        return

    def _merge(self, other: Any) -> None:
        """Add another's state, of the same settings and segments."""
        return

    def _clipped(self, threshold: Array) -> tuple[Array, Array]:
        """The range observed, cut at plus and minus a threshold; for a symmetric calibrator the threshold itself."""
        if self.symmetric:
            return -threshold, threshold
        return np.maximum(self._low, -threshold), np.minimum(self._high, threshold)

    @property
    def _one_sided(self) -> NDArray[np.bool_]:
        """Segments whose range is [0, t]: an affine calibrator that has seen no negative value there."""
        return np.zeros(self._low.shape, bool) if self.symmetric else self._low == 0

    @property
    def _amax(self) -> NDArray[np.float64]:
        """Largest magnitude of each segment."""
        return np.maximum(-self._low, self._high).astype(np.float64)

    def _refuse_nonfinite(self, x: NDArray[np.float32]) -> None:
        bad = np.flatnonzero(~np.isfinite(x))
        index = ", ".join(str(int(i)) for i in np.unravel_index(bad[0], x.shape))
        raise ValueError(
            f"batch {self.batches}: {x.reshape(-1)[bad[0]]} at index [{index}], {bad.size} of {x.size} values are NaN or"
            " infinite as float32; allowed: finite values (rules C2 and R4)"
        )
