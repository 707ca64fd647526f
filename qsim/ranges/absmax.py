"""The largest magnitude."""

from __future__ import annotations

from qsim.ranges.calibrator import Array, Calibrator


class AbsMax(Calibrator):
    """t = max |x| over all batches: nothing is clipped. Symmetric only."""

    def __init__(self, *, symmetric: bool = True, axis: int | None = None, group: int | None = None) -> None:
        """Check the settings."""
        if not symmetric:
            raise ValueError("AbsMax(symmetric=False): one magnitude is no affine range; allowed: MinMax(symmetric=False)")
        super().__init__(symmetric=True, axis=axis, group=group)

    def _range(self) -> tuple[Array, Array]:
        return self._low, self._high
