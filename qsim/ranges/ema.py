"""Exponential moving average of each batch's extremes (Jacob et al. 2018, section 3.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsim.ranges.calibrator import Array, Calibrator


class EMA(Calibrator):
    """end <- smoothing * end + (1 - smoothing) * end of the batch, starting from the first batch; float64, once to float32.

    The result depends on the order of the batches. The extremes of each batch are kept, so that merging is concatenation:
    a.merge(b) is, bit for bit, one observer that saw a's batches and then b's.
    """

    def __init__(
        self, *, smoothing: float = 0.99, symmetric: bool = True, axis: int | None = None, group: int | None = None
    ) -> None:
        """Check the settings."""
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing={smoothing!r}; allowed: 0 or more, below 1")
        super().__init__(smoothing=float(smoothing), symmetric=symmetric, axis=axis, group=group)
        self._history: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def _update(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        self._history.append((low, high))

    def _merge(self, other: EMA) -> None:
        self._history.extend(other._history)

    def _range(self) -> tuple[Array, Array]:
        keep = self.settings["smoothing"]
        ends = np.array(self._history[0], np.float64)
        for batch in self._history[1:]:
            ends = keep * ends + (1.0 - keep) * np.array(batch, np.float64)
        return ends[0], ends[1]
