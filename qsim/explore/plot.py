"""Pictures: the histogram of a distribution with every threshold drawn. Needs matplotlib, the extra `plot`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

BINS = 400
KINDS = (".png", ".svg", ".pdf")
MAX_PANELS = 12


@dataclass(frozen=True)
class Panel:
    """One distribution and the ranges chosen for it: (method, low, high)."""

    title: str
    values: NDArray[np.float32]
    ranges: Sequence[tuple[str, float, float]]


def require_matplotlib() -> None:
    """ValueError that says how to install it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ValueError("a picture needs matplotlib: pip install 'qsim[plot]'") from None


def check_number(panels: int) -> None:
    """ValueError for a number of panels that is not drawn."""
    if not 0 < panels <= MAX_PANELS:
        raise ValueError(f"{panels} distributions to draw; allowed: 1 to {MAX_PANELS}")


def draw_thresholds(panels: Sequence[Panel], file: IO[bytes], kind: str) -> None:
    """Write a picture of kind ".png", ".svg" or ".pdf": a panel a distribution, a line at each end of each range."""
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    check_number(len(panels))
    with mpl.rc_context({"svg.hashsalt": "qsim", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 3.6 * len(panels)), layout="constrained")
        for axes, panel in zip(np.ravel(figure.subplots(len(panels), squeeze=False)), panels, strict=True):
            _draw(axes, panel)
        metadata = {"Date": None} if kind == ".svg" else {"CreationDate": None} if kind == ".pdf" else {}
        figure.savefig(file, format=kind[1:], dpi=120, metadata=metadata)


def _draw(axes: Any, panel: Panel) -> None:
    counts, edges = np.histogram(panel.values.astype(np.float64), BINS)
    axes.stairs(counts, edges, fill=True, color="0.8")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, None)
    for i, (name, low, high) in enumerate(panel.ranges):
        style = {"color": f"C{i % 10}", "linestyle": ("-", "--", ":")[i // 10 % 3], "linewidth": 1.3}
        for end in {low, high} - {0.0}:
            axes.axvline(end, **style)
        axes.plot([], [], label=f"{name}  {low:.4g} to {high:.4g}", **style)
    axes.set(title=panel.title, xlabel="value", ylabel="values a bin")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
