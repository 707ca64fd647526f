"""`qsim run`: a whole network in integers, from int8 images to int8 logits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsim.cli.common import print_json, print_table, refuse_overwrite, written
from qsim.cli.files import read_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qsim.explore.evaluate import Report
    from qsim.explore.integer_network import IntegerNetwork

EVENTS_WIDTH = 60


@click.command()
@click.argument("network", metavar="[NETWORK]", default="digits")
@click.option(
    "--input",
    "input_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=".npy, or .npz with `images` and, for accuracy, `labels`. Default: the 400 test images of the embedded networks.",
)
@click.option(
    "--taps", type=click.Path(path_type=Path), metavar="OUT.npz", help="Write every layer's output codes, and the input's."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def command(network: str, input_path: Path | None, taps: Path | None, as_json: bool) -> None:
    """Run NETWORK in integers, bit for bit: digits (default), mlp, or the path of a TOML file.

    int8 activations and weights, int32 biases, each layer by a datapath of `qsim list datapaths`. For every layer the
    table says which register changed how many values (a clamp that cuts is the activation at work), and beside the
    accuracy stands that of the float network. The embedded networks equal TFLite's reference kernels in every byte of
    every layer (tests/test_network.py).

    A user's network is a TOML file with [input] and [[layer]] tables, and a .npz file with its arrays: docs/networks.md.
    Images are N x H x W x C (N x K for a network without convolution): int8 codes, or floats, which are quantized first.

    \b
    Example:
      qsim run
      qsim run mlp --taps layers.npz
      qsim run my_network.toml --input images.npz --json
    """  # noqa: D301
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy loads: the products are small, more threads only spin
    from qsim.explore.evaluate import evaluate
    from qsim.explore.integer_file import EMBEDDED, load_integer_network

    loaded = load_integer_network(network)
    embedded = network if network in EMBEDDED else None
    images, labels, source = read_input(loaded, embedded, input_path)
    if taps is not None:
        if taps.suffix != ".npz":
            raise ValueError(f"--taps {taps}: allowed: a name that ends in .npz")
        refuse_overwrite(taps, *(path for path in (input_path, *loaded.files) if path is not None))
    try:
        report = evaluate(loaded, images, labels, keep=taps is not None, float_network=embedded, progress=progress)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    if taps is not None:
        import numpy as np

        with written(taps) as (file,):
            np.savez_compressed(file, allow_pickle=False, **report.tensors)
    if as_json:
        print_json(report.table() | {"input": source, "taps": None if taps is None else str(taps)})
        return
    rows = [
        [
            layer["name"],
            layer["kind"],
            " x ".join(map(str, layer["shape"])),
            layer["datapath"] or "",
            events_text(layer["events"]),
        ]
        for layer in report.table()["layers"]
    ]
    print_table(
        rows, ["layer", "kind", "output", "datapath", "values changed"], maxcolwidths=[None, None, None, None, EVENTS_WIDTH]
    )
    click.echo(f"\n{loaded.name}: {source}, {report.images} images{accuracy_text(report)}")
    if taps is not None:
        click.echo(f"{taps}: {len(report.tensors)} tensors")


def read_input(network: IntegerNetwork, embedded: str | None, path: Path | None) -> tuple[NDArray[Any], NDArray[Any] | None, str]:
    """Images, labels where there are any, and where they come from."""
    if path is None:
        if embedded is None:
            raise ValueError(f"{network.name} needs --input FILE: only the embedded networks bring their images")
        from qsim.explore.evaluate import held_out

        return (*held_out(network, embedded), "the held-out test images")
    arrays = read_arrays(path)
    if len(arrays) == 1:
        return next(iter(arrays.values())), None, str(path)
    if "images" not in arrays or set(arrays) - {"images", "labels"}:
        raise ValueError(f"{path}: arrays {', '.join(arrays) or 'none'}; allowed: one array, or images and labels")
    return arrays["images"], arrays["labels"], str(path)


def events_text(events: dict[str, int]) -> str:
    """Registers that changed a value, and how many."""
    return ", ".join(f"{name} {count}" for name, count in events.items() if count)


def accuracy_text(report: Report) -> str:
    """The share of right answers, beside that of the float network."""
    if report.top1 is None:
        return ""
    beside = "" if report.float_top1 is None else f", {report.float_top1:.4f} in float32"
    return f"; top-1 {report.top1:.4f} in integers{beside}"


def progress(pieces: Iterable[slice], total: int) -> Iterable[slice]:
    """The pieces, with a bar after a second of work where stderr is a terminal."""
    if not sys.stderr.isatty():
        return pieces
    from tqdm import tqdm

    return tqdm(pieces, "running", total=total, delay=1, leave=False, unit="piece")
