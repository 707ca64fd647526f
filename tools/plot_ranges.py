"""Pictures and measured tables of docs/ranges.md: python tools/plot_ranges.py [FOLDER of the pictures].

Needs the extra `plot`. Prints the tables as Markdown; seeds are fixed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

import qsim
from qsim.explore.metrics import metrics
from qsim.explore.plot import Panel, draw_thresholds
from qsim.explore.thresholds import METHODS, Setting, choose_setting
from qsim.ranges import KL, MSE, OCTAV, AbsMax, search_scales

SIZE, SEED = 100_000, 7
Float32 = NDArray[np.float32]
DRAWS: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
    "Gaussian": lambda r: r.standard_normal(SIZE),
    "Laplace": lambda r: r.laplace(size=SIZE),
    "Student-t(3)": lambda r: r.standard_t(3, SIZE),
    "half zero": lambda r: r.standard_normal(SIZE) * (r.random(SIZE) < 0.5),
}
FIGURE = ("absmax", "minmax", "percentile_99.99", "percentile_99.9", "kl_tensorrt", "mse", "octav", "analytic_laplace")


def data() -> dict[str, Float32]:
    """The distributions, each of its own generator."""
    return {name: draw(np.random.default_rng(SEED + i)).astype(np.float32) for i, (name, draw) in enumerate(DRAWS.items())}


def error(x: Float32, setting: Setting, limits: object) -> float:
    """Real mean squared error."""
    return metrics(x, qsim.quantize(x, setting.fmt, limits=limits)).mse


def gap_table(samples: dict[str, Float32]) -> str:
    """How far OCTAV's real error lies above that of exhaustive search."""
    rows = []
    for name, x in samples.items():
        for step in ("paper", "grid"):
            row = [name, step]
            for bits in range(2, 9):
                setting = choose_setting(bits, None, False, None)
                best = error(x, setting, MSE(bits=bits).observe(x))
                row.append(f"{100 * (error(x, setting, OCTAV(bits=bits, step=step).observe(x)) / best - 1):.1f} %")
            rows.append(row)
    return tabulate(rows, ["", "step", *(f"{b} bits" for b in range(2, 9))], tablefmt="github", disable_numparse=True)


def method_table(samples: dict[str, Float32], bits: int) -> str:
    """SQNR of every method."""
    setting = choose_setting(bits, None, False, None)
    rows = []
    for method, make in METHODS.items():
        if method in ("ema", "mean_minmax"):
            continue
        sqnr = [metrics(x, qsim.quantize(x, setting.fmt, limits=make(setting).observe(x))).sqnr for x in samples.values()]
        rows.append([method, *(f"{value:.2f}" for value in sqnr)])
    return tabulate(rows, [f"{bits} bits", *samples], tablefmt="github", disable_numparse=True)


def block_table(samples: dict[str, Float32]) -> str:
    """Clipping by search against microexponents: SQNR of formats of about the same bits."""
    rows = []
    for name, x in samples.items():
        w = x[: 64 * 1536].reshape(64, -1)
        row = [name]
        for fmt, limits, search in (
            ("int4", AbsMax(axis=0), False),
            ("int4", MSE(bits=4, axis=0), False),
            ("vsq4", None, False),
            ("vsq4", KL(fmt="vsq4", axis=0), False),
            ("vsq4", MSE(fmt="vsq4", axis=0), False),
            ("vsq4", None, True),
            ("vsq4", MSE(fmt="vsq4", axis=0), True),
            ("nvfp4", None, False),
            ("nvfp4", None, True),
            ("mx4", None, False),
            ("mx6", None, False),
        ):
            given = limits.observe(w) if limits is not None else None
            how = {"granularity": "channel"} if fmt == "int4" else {}
            if search:
                y = qsim.quantize(w, fmt, scales=search_scales(w, fmt, limits=given))
            else:
                y = qsim.quantize(w, fmt, limits=given, **how)
            row.append(f"{metrics(w, y).sqnr:.2f}")
        rows.append(row)
    head = (
        "",
        "int4",
        "int4 MSE",
        "vsq4",
        "vsq4 KL γ",
        "vsq4 MSE γ",
        "vsq4 search s_q",
        "vsq4 MSE γ + s_q",
        "nvfp4",
        "nvfp4 search",
        "mx4",
        "mx6",
    )
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def draw_noise(x: Float32, file: Path) -> None:
    """OCTAV's model and the real error over the threshold, and where each method stops."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    magnitudes = np.sort(np.abs(x[x != 0].astype(np.float64)))
    for axes, bits in zip(figure.subplots(1, 3), (2, 4, 8), strict=True):
        setting = choose_setting(bits, None, False, None)
        best = float(MSE(bits=bits).observe(x).limits()[1])
        grid = best * np.linspace(0.5, 2.0, 120)
        real = [error(x, setting, (-t, t)) for t in grid]
        axes.plot(grid, real, color="k", label="real error")
        for step, c, style in (("paper", 4.0**-bits / 3, "C0"), ("grid", 1 / (12 * ((1 << (bits - 1)) - 1) ** 2), "C1")):
            axes.plot(
                grid, [model(magnitudes, t, c) / x.size for t in grid], color=style, linestyle="--", label=f"model, step={step}"
            )
            axes.axvline(float(OCTAV(bits=bits, step=step).observe(x).limits()[1]), color=style, linewidth=1)
        axes.axvline(best, color="k", linewidth=1)
        axes.set(title=f"{bits} bits", xlabel="threshold", yscale="log")
        axes.legend(fontsize=7)
    figure.savefig(file, dpi=90)


def model(magnitudes: NDArray[np.float64], t: float, c: float) -> float:
    """OCTAV's noise model."""
    k = int(np.searchsorted(magnitudes, t, side="right"))
    return float(c * t * t * k + ((magnitudes[k:] - t) ** 2).sum())


def main(folder: Path) -> None:
    """Write the pictures, print the tables."""
    samples = data()
    panels = []
    for name in ("Gaussian", "Student-t(3)"):
        x = samples[name][:20000]
        setting = choose_setting(4, None, False, None)
        chosen = [(m, *map(float, METHODS[m](setting).observe(x).limits())) for m in FIGURE if m in METHODS]
        panels.append(Panel(f"{name}, 20000 values, 4 bits", x, chosen))
    with (folder / "ranges.png").open("wb") as file:
        draw_thresholds(panels, file, ".png")
    draw_noise(samples["Gaussian"], folder / "ranges-octav.png")
    print(gap_table(samples), method_table(samples, 8), method_table(samples, 4), block_table(samples), sep="\n\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/pictures"))
