"""Draw docs/pictures/adaround.png from the table of docs/low-precision.md: python tools/plot_rounding.py.

Needs the extra `plot`.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from network_tables import PAGE, part_of

TARGET = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "adaround.png"
COLUMNS = {"outputs' SQNR dB": "SQNR of all layers' outputs, dB", "top-1": "top-1, %"}
COLORS = {"nearest": "0.55", "relaxation": "C1", "coordinate": "C0"}
STYLES = {"absmax": "-", "mse": "--"}


def main() -> None:
    """Both columns over the bits, a line a rounding and source of scales."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in part_of(PAGE.read_text(), "rounding").splitlines()]
    rows = [dict(zip(cells[0], line, strict=True)) for line in cells[2:]]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (column, label) in zip(figure.subplots(1, 2), COLUMNS.items(), strict=True):
        for rounding, color in COLORS.items():
            for scales, style in STYLES.items():
                own = [row for row in rows if (row["rounding"], row["scales"]) == (rounding, scales)]
                values = [float(row[column].removesuffix(" %")) for row in own]
                axes.plot(
                    [int(row["bits"]) for row in own], values, style, color=color, marker="o", label=f"{rounding}, {scales}"
                )
        axes.set(xlabel="bits of the weights", ylabel=label, xticks=(2, 3, 4))
        axes.grid(color="0.9")
    axes.legend(fontsize="small")
    figure.savefig(TARGET, dpi=120)


if __name__ == "__main__":
    main()
