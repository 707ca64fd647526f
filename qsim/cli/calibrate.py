"""`qsim calibrate`: the range that each method chooses for a tensor, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsim.cli.common import print_json, print_table, refuse_overwrite, written

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

TENSOR_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
EMBEDDED_NOTE = "Inputs of the layers of the embedded network on its 512 calibration images, 16 batches of 32."


@click.command()
@click.argument("files", metavar="[FILE...]", nargs=-1, type=TENSOR_FILE)
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Method; may be repeated. Default: all.")
@click.option("--bits", type=click.IntRange(2, 16), help="Symmetric integers of this width, 8 unless given.")
@click.option("--affine", is_flag=True, help="Unsigned integers with a zero point, and a range (low, high), instead.")
@click.option("--format", "format_", metavar="NAME", help="A format with a float outermost scale instead: int4, vsq4, nvfp4...")
@click.option("--axis", type=int, help="One range a channel along this dimension instead of one a tensor.")
@click.option("--batches", is_flag=True, help="All tensors of all files are batches of one distribution.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@click.option(
    "--plot", "picture", type=click.Path(path_type=Path), metavar="OUT", help="Histogram with every range: .png, .svg, .pdf."
)
def command(
    files: tuple[Path, ...],
    methods: tuple[str, ...],
    bits: int | None,
    affine: bool,
    format_: str | None,
    axis: int | None,
    batches: bool,
    as_json: bool,
    picture: Path | None,
) -> None:
    """Choose a range for every float tensor of FILE... (.npy, .npz, .safetensors) by each method of qsim.ranges.

    For each method: the range, how many values lie beyond it, and the SQNR of the tensor in the format with that range. A
    method that refuses a tensor has the reason in its row; exit code 2 where all refuse all. Every tensor by itself is one
    batch, unless --batches.

    Methods: minmax, ema, mean_minmax, percentile_99.99, percentile_99.9, kl_tensorrt, kl_onnxruntime, mse, octav,
    octav_grid, analytic_laplace, analytic_gauss (docs/ranges.md says what each is for).

    Without a file: the inputs of the embedded network's four layers on its calibration images.

    \b
    Example:
      qsim calibrate weights.npy --bits 4
      qsim calibrate acts.npz --batches --affine --method ema --method octav --plot acts.png
      qsim calibrate model.safetensors --format vsq4 --axis 0 --json
    """  # noqa: D301
    from qsim.explore import plot
    from qsim.explore.thresholds import choose_methods, choose_setting, threshold_rows

    setting, chosen = choose_setting(bits, format_, affine, axis), choose_methods(methods)
    if picture is not None:
        if picture.suffix not in plot.KINDS:
            raise ValueError(f"--plot {picture}: allowed: a name that ends in {', '.join(plot.KINDS)}")
        if axis is not None:
            raise ValueError("--plot with --axis; allowed: one range a tensor, so that it can be drawn")
        plot.require_matplotlib()
        refuse_overwrite(picture, *files)
    found, panels = [], []
    for place, name, values in _distributions(files, batches):
        rows = [{"file": place, "tensor": name} | row for row in threshold_rows(values, chosen, setting)]
        found += rows
        if picture is not None:
            import numpy as np

            drawn = [(row["method"], float(row["low"]), float(row["high"])) for row in rows if row["note"] is None]
            if drawn:  # else there may be nothing to count, or NaN
                panels.append(plot.Panel(name, np.concatenate([x.reshape(-1) for x in values]), drawn))
                plot.check_number(len(panels))
    if not found:
        raise ValueError("no float tensor in the files given")
    if panels and picture is not None:
        with written(picture) as (file,):
            plot.draw_thresholds(panels, file, picture.suffix)
    if as_json:
        print_json([{key: _plain(value) for key, value in row.items()} for row in found])
    else:
        _print(found, f"Format {setting.fmt.name}." + ("" if files else " " + EMBEDDED_NOTE))
    if all(row["note"] is not None for row in found):
        raise ValueError("no method gives a range; `note` says why")


def _print(found: list[dict[str, Any]], about: str) -> None:
    """A table of the rows."""
    from qsim.explore.thresholds import THRESHOLD_TABLE

    kept = [c for c in THRESHOLD_TABLE if any(row[c[0]] is not None for row in found)]
    cells = [["" if row[key] is None else text(row[key]) for key, _, text in kept] for row in found]
    headers = [heading for _, heading, _ in kept]
    left = ("tensor", "method", "note")
    print_table(cells, headers, colalign=["left" if h in left else "right" for h in headers])
    click.echo(f"\n{about}")


def _distributions(files: tuple[Path, ...], together: bool) -> Iterator[tuple[str, str, list[Float32]]]:
    """(file, tensor, batches)."""
    if not files:
        from qsim.explore.calibrate import BATCH, layer_inputs
        from qsim.explore.network import calibration_images, load_network

        network = load_network()
        for layer, x in zip(network.layers, layer_inputs(network, calibration_images()), strict=True):
            yield "", f"{layer.name} input", [x[i : i + BATCH] for i in range(0, len(x), BATCH)]
        return
    tensors = ((str(path), name, x) for path in files for name, x in _float_tensors(path))
    if not together:
        yield from ((path, name, [x]) for path, name, x in tensors)
        return
    taken = list(tensors)
    if taken:
        yield ", ".join(map(str, files)), f"{len(taken)} batches", [x for _, _, x in taken]


def _float_tensors(path: Path) -> Iterator[tuple[str, Float32]]:
    """Every float tensor of a file, as float32 (rule R4)."""
    from qsim.codec.input import as_float32
    from qsim.explore.tensors import tensors

    for tensor in tensors(path):
        if tensor.skipped is None:
            yield tensor.name, as_float32(tensor.values(tensor.load()))


def _plain(value: Any) -> Any:
    """A value as JSON holds it; infinities as text."""
    import math

    import numpy as np

    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
