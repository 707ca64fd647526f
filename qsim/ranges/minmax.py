"""The extremes."""

from __future__ import annotations

from qsim.ranges.calibrator import Array, Calibrator


class MinMax(Calibrator):
    """low = min(x, 0), high = max(x, 0) over all batches; symmetric: the larger magnitude of the two."""

    def __init__(self, *, symmetric: bool = True, axis: int | None = None, group: int | None = None) -> None:
        """Check the settings."""
        super().__init__(symmetric=symmetric, axis=axis, group=group)

    def _range(self) -> tuple[Array, Array]:
        return self._low, self._high
