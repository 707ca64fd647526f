"""`qsim explore`: tensors, or the embedded network, across formats."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsim.cli.common import print_json, print_table, refuse_overwrite, written
from qsim.cli.encode import parse_granularity
from qsim.spec import format_names, load_format
from qsim.spec.format import GRANULAR

if TYPE_CHECKING:
    from qsim.explore.sweep import Row, Settings
    from qsim.explore.tensors import Tensor
    from qsim.spec import Format

#: Columns of names; numbers stand on the right.
LEFT = ("file", "tensor", "shape", "seen as", "format", "note")
NOTE_WIDTH = 60


@click.command()
@click.argument("files", metavar="[FILE...]", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "names",
    multiple=True,
    metavar="NAME",
    help="Format: catalogue name or .toml path; may be repeated. Default: all.",
)
@click.option("--axis", type=int, help="Axis along which blocks run, instead of the reduction axis of the default view.")
@click.option("--granularity", help="tensor, channel or a group size: where one float scale reaches (formats with one).")
@click.option("--convention", help="Options as a real stack sets them; without --format only the formats that it covers.")
@click.option(
    "--sort", "sort_key", metavar="COLUMN", help="Best first by a column of the JSON rows: sqnr, top1, effective_bits..."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Also write the rows to a CSV file.")
def command(
    files: tuple[Path, ...],
    names: tuple[str, ...],
    axis: int | None,
    granularity: str | None,
    convention: str | None,
    sort_key: str | None,
    as_json: bool,
    csv_path: Path | None,
) -> None:
    """Compare formats on every tensor of FILE... (.npy, .npz, .safetensors).

    Without a file: on the embedded network, a small convolutional network for 8x8 digits, with its top-1 accuracy when
    the weights and input activations of every layer are in the format.

    Blocks run along the reduction axis: a convolution's weight O x I x kh x kw is seen as O x (I*kh*kw), a matrix as it
    is. Files are memory-mapped and tensors read one at a time. A tensor that a format refuses (NaN, for example) has the
    reason in its row. In JSON and CSV infinities stand as the text inf.

    \b
    Example:
      qsim explore
      qsim explore --format int8 --format mx9 --granularity channel
      qsim explore model.safetensors --format mxfp4 --format nvfp4 --sort sqnr
      qsim explore weights.npz --format my_format.toml --csv rows.csv
    """  # noqa: D301
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy loads: the products are small, more threads only spin
    from qsim.explore.sweep import FILE_COLUMNS, NETWORK_COLUMNS, Settings, choose_formats
    from qsim.explore.table import FILE_TABLE, NETWORK_TABLE, csv_text, json_rows, sort_rows, table_cells

    if csv_path is not None:
        refuse_overwrite(csv_path, *files)
    columns = FILE_COLUMNS if files else NETWORK_COLUMNS
    if sort_key is not None and sort_key not in columns:
        raise ValueError(f"--sort {sort_key}: allowed: {', '.join(columns)}")
    if axis is not None and not files:
        raise ValueError("--axis applies to the tensors of files; the network's blocks run along the reduction axis")
    settings = Settings(parse_granularity(granularity), convention)
    check_convention(convention)
    formats = choose_formats(names, format_names(), convention)
    check_granularity(settings.granularity, formats)
    if convention is not None and not files:
        from qsim.codec.conventions import convention_options

        for fmt in formats:
            convention_options(convention, fmt)  # its error says which formats it covers

    found = file_rows(files, formats, settings, axis) if files else embedded_rows(formats, settings)
    rows = found if sort_key is None else sort_rows(found, sort_key)
    if csv_path is not None:
        with written(csv_path) as (file,):
            file.write(csv_text(rows, columns).encode())
    if as_json:
        print_json(json_rows(rows))
        return
    headers, cells = table_cells(rows, FILE_TABLE if files else NETWORK_TABLE)
    if len(files) > 1:
        headers, cells = ["file", *headers], [[row["file"], *line] for row, line in zip(rows, cells, strict=True)]
    if rows:
        widths = [NOTE_WIDTH if h == "note" else None for h in headers]
        print_table(cells, headers, colalign=["left" if h in LEFT else "right" for h in headers], maxcolwidths=widths)
    else:
        click.echo("no tensors")
    if not files:
        click.echo(network_note())


def check_convention(name: str | None) -> None:
    """ValueError for a convention that does not exist."""
    from qsim.codec.conventions import convention_names

    if name is not None and name not in convention_names():
        raise ValueError(f"--convention {name}: allowed: {', '.join(convention_names())}")


def check_granularity(granularity: int | str | None, formats: list[Format]) -> None:
    """ValueError for a granularity that no format takes, or that none of these does."""
    load_format("int8").with_granularity(granularity)
    if granularity is not None and not any(fmt.family in GRANULAR for fmt in formats):
        raise ValueError(f"--granularity {granularity} applies to formats with one float scale: {', '.join(GRANULAR)}")


def file_rows(files: tuple[Path, ...], formats: list[Format], settings: Settings, axis: int | None) -> list[Row]:
    """Rows of every tensor of every file; all headers are read, and so checked, before the first value."""
    from qsim.explore.sweep import choose_view, tensor_rows
    from qsim.explore.tensors import tensors

    listed = [tensor for file in files for tensor in tensors(file)]
    if axis is not None:
        reasons = [reason for tensor in listed if (reason := _misfit(tensor, axis, choose_view))]
        if reasons and len(reasons) == len(listed):
            raise ValueError(f"--axis {axis} fits no tensor: {reasons[0]}")
    rows = (row for tensor in listed for row in tensor_rows(tensor, formats, settings, axis))
    return list(progress(rows, sum(1 if tensor.skipped else len(formats) for tensor in listed)))


def _misfit(tensor: Tensor, axis: int, choose_view: Any) -> str | None:
    try:
        choose_view(tensor.shape, axis)
    except ValueError as error:
        return f"{tensor.name}: {error}"
    return None


def embedded_rows(formats: list[Format], settings: Settings) -> list[Row]:
    """Rows of the embedded network."""
    from qsim.explore.network import load_network
    from qsim.explore.sweep import network_rows

    return list(progress(network_rows(load_network(), formats, settings), len(formats) + 1))


def network_note() -> str:
    """What the numbers of the network's table are."""
    from qsim.explore.network import load_network

    network = load_network()
    return (
        f"\nEmbedded network: {len(network.layers)} layers ({', '.join(layer.name for layer in network.layers)}), "
        f"{len(network.images)} held-out 8x8 digits. Weights and layer inputs are in the format, not retrained; blocks run\n"
        "along the reduction axis, scales are chosen from the data, products are summed exactly, biases are float32."
    )


def progress(rows: Iterable[Row], total: int) -> Iterator[Row]:
    """The rows, with a progress bar after a second of work where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield from rows
        return
    from tqdm import tqdm

    yield from tqdm(rows, total=total, delay=1, leave=False, unit="format")
