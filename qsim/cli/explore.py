"""`qsim explore`: tensors, or the embedded network, across formats or datapaths."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsim.cli.common import refuse_overwrite
from qsim.cli.encode import parse_granularity
from qsim.cli.explore_network import network_report
from qsim.cli.explore_report import Report, check_sort, progress, sorted_rows, write_report
from qsim.spec import format_names, load_format
from qsim.spec.format import GRANULAR

if TYPE_CHECKING:
    from qsim.explore.sweep import Row, Settings
    from qsim.explore.tensors import Tensor
    from qsim.spec import Format

TENSOR_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("files", metavar="[FILE...]", nargs=-1, type=TENSOR_FILE)
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
    "--datapath",
    "datapaths",
    multiple=True,
    metavar="NAME",
    help="Compare datapaths instead of formats: catalogue name or .toml path; may be repeated.",
)
@click.option("--weights", type=TENSOR_FILE, metavar="FILE", help="With --datapath: weights (N, K), or of convolutions.")
@click.option("--activations", type=TENSOR_FILE, metavar="FILE", help="With --datapath: activations (M, K) by the same names.")
@click.option(
    "--x-range",
    type=click.Choice(("format", "data")),
    help="With --datapath: safe bits hold for any activation of the format (default), or for those between the extremes given.",
)
@click.option(
    "--calibrate",
    is_flag=False,
    flag_value="all",
    metavar="[METHOD,...]",
    help="Embedded network: accuracy with the input ranges of each calibrator at 8, 6 and 4 bits.",
)
@click.option(
    "--adaround",
    is_flag=False,
    flag_value="all",
    metavar="[METHOD,...]",
    help="Embedded network: nearest against adaptive rounding at 4, 3 and 2 bits (coordinate; relaxation is slow).",
)
@click.option("--low-bit", is_flag=True, help="Embedded network: binary and ternary layers, before and after their scale.")
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
    datapaths: tuple[str, ...],
    weights: Path | None,
    activations: Path | None,
    x_range: str | None,
    calibrate: str | None,
    adaround: str | None,
    low_bit: bool,
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

    With --datapath: layers across datapaths (`qsim list datapaths`), floats encoded in their operand formats, the product
    as the accumulator sums it. SQNR of the output, and of the same codes summed exactly; how often each register changed
    a value; the accumulator that could not overflow. Without --weights and --activations: the embedded network's layers.

    \b
    Example:
      qsim explore
      qsim explore --format int8 --format mx9 --granularity channel
      qsim explore model.safetensors --format mxfp4 --format nvfp4 --sort sqnr
      qsim explore weights.npz --format my_format.toml --csv rows.csv
      qsim explore --datapath int8_saturate16 --datapath int8_saturate24
      qsim explore --weights w.safetensors --activations x.npz --datapath my_npu.toml
      qsim explore --calibrate
      qsim explore --calibrate mse,octav,kl_tensorrt
      qsim explore --adaround
      qsim explore --low-bit
    """  # noqa: D301
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy loads: the products are small, more threads only spin
    if csv_path is not None:
        refuse_overwrite(csv_path, *files, *(path for path in (weights, activations) if path is not None))
    apart = {"FILE": files, "--format": names, "--axis": axis, "--granularity": granularity, "--convention": convention}
    if calibrate is not None or adaround is not None or low_bit:
        others = {"--datapath": datapaths, "--weights": weights, "--activations": activations, "--x-range": x_range}
        refuse(apart | others, "with --calibrate, --adaround or --low-bit")
        found = network_report(calibrate, adaround, low_bit, sort_key)
    elif datapaths:
        refuse(apart, "with --datapath: the formats and their axes are the datapath's")
        found = datapath_report(datapaths, weights, activations, x_range or "format", sort_key)
    else:
        refuse({"--weights": weights, "--activations": activations, "--x-range": x_range}, "without --datapath NAME")
        found = format_report(files, names, axis, granularity, convention, sort_key)
    write_report(found, as_json, csv_path)


def refuse(options: dict[str, Any], why: str) -> None:
    """ValueError for options given where they do not apply."""
    given = [name for name, value in options.items() if value is not None and value != ()]
    if given:
        raise ValueError(f"{', '.join(given)} {why}; allowed: none of them there")


def format_report(
    files: tuple[Path, ...],
    names: tuple[str, ...],
    axis: int | None,
    granularity: str | None,
    convention: str | None,
    sort_key: str | None,
) -> Report:
    """Tensors of files, or the embedded network, across formats."""
    from qsim.explore.sweep import FILE_COLUMNS, NETWORK_COLUMNS, Settings, choose_formats
    from qsim.explore.table import FILE_TABLE, NETWORK_TABLE

    columns = FILE_COLUMNS if files else NETWORK_COLUMNS
    check_sort(sort_key, columns)
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

    if not files:
        return Report(sorted_rows(embedded_rows(formats, settings), sort_key), columns, NETWORK_TABLE, network_note())
    file_column = (("file", "file", str),) if len(files) > 1 else ()
    return Report(sorted_rows(file_rows(files, formats, settings, axis), sort_key), columns, (*file_column, *FILE_TABLE))


def datapath_report(
    names: tuple[str, ...], weights: Path | None, activations: Path | None, x_range: str, sort_key: str | None
) -> Report:
    """Layers of two files, or of the embedded network, across datapaths."""
    from qsim.datapath.datapaths import load_datapath
    from qsim.explore.datapath_sweep import DATAPATH_COLUMNS, datapath_rows, file_layers, network_layers, row_count
    from qsim.explore.network import load_network
    from qsim.explore.table import DATAPATH_TABLE

    check_sort(sort_key, DATAPATH_COLUMNS)
    if (weights is None) != (activations is None):
        given, missing = ("--weights", "--activations") if activations is None else ("--activations", "--weights")
        raise ValueError(f"{given} without {missing}; allowed: both, or neither (the embedded network)")
    datapaths = [load_datapath(name) for name in dict.fromkeys(names)]
    paired = file_layers(weights, activations) if weights is not None and activations is not None else None
    layers = network_layers(load_network()) if paired is None else paired
    rows = list(progress(datapath_rows(layers, datapaths, x_range), row_count(layers, datapaths), "datapath"))
    return Report(sorted_rows(rows, sort_key), DATAPATH_COLUMNS, DATAPATH_TABLE, datapath_note(rows, weights, x_range))


def datapath_note(rows: list[Row], weights: Path | None, x_range: str) -> str:
    """What the numbers of the datapaths' table are."""
    from qsim.explore.sweep import ACTIVATION_IMAGES

    where = f"Embedded network, {ACTIVATION_IMAGES} held-out 8x8 digits.\n" if weights is None else ""
    which = "any activation of the format" if x_range == "format" else "any activation between the lowest and highest given"
    widths = (
        f"\nSafe bits: the narrowest accumulator that {which} cannot overflow, with these weights,\n"
        "the products in any order, and in the datapath's order, lanes and chunks."
    )
    return (
        f"\n{where}SQNR: accumulators against the product of the original floats. Exact sum: the same codes in an accumulator\n"
        "that cannot overflow, what the formats alone cost; the difference is the accumulator's. No bias, no requantizer."
        f"{widths if any(row['safe_bits_any_order'] is not None for row in rows) else ''}"
    )


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
