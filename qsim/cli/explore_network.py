"""`qsim explore --calibrate`, `--adaround` and `--low-bit`: what the embedded network loses, and what wins it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsim.cli.explore_report import Report, check_sort, progress, sorted_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qsim.explore.sweep import Row
    from qsim.explore.table import Column

#: Value of an option that was given without one.
ALL = "all"


def network_report(calibrate: str | None, adaround: str | None, low_bit: bool, sort_key: str | None) -> Report:
    """The one of the three tables that was asked for."""
    from qsim.explore.network import calibration_images, load_network

    if sum((calibrate is not None, adaround is not None, low_bit)) > 1:
        raise ValueError("--calibrate, --adaround and --low-bit together; allowed: one of them")
    network, images = load_network(), calibration_images()
    note = (
        f"\nEmbedded network, {len(network.images)} held-out 8x8 digits; calibrated on {len(images)} training images. Products"
        " are summed exactly,\nbiases are float32, nothing is retrained. "
    )
    rows: Iterator[Row]
    columns: Sequence[str]
    table: Sequence[Column]
    if calibrate is not None:
        from qsim.explore import calibrate as sweep
        from qsim.explore.table import CALIBRATE_TABLE

        columns, table = sweep.CALIBRATE_COLUMNS, CALIBRATE_TABLE
        check_sort(sort_key, columns)
        methods = sweep.choose_methods(_names("--calibrate", calibrate))
        rows, total = sweep.calibrate_rows(network, images, methods), 1 + len(methods) * len(sweep.BITS)
        note += (
            f"Inputs: one range a tensor, from batches of {sweep.BATCH} images; affine, because no input is\nnegative, but for"
            " absmax. Weights: symmetric, a scale an output channel from the largest magnitude."
        )
    elif adaround is not None:
        from qsim.explore import rounding
        from qsim.explore.table import ROUNDING_TABLE

        columns, table = rounding.ROUNDING_COLUMNS, ROUNDING_TABLE
        check_sort(sort_key, columns)
        methods = rounding.choose_methods(_names("--adaround", adaround))
        total = 1 + len(methods) * len(rounding.BITS) * len(rounding.SCALES)
        rows = rounding.rounding_rows(network, images, methods)
        note += (
            "Inputs are float32; weights: symmetric, a scale an output channel.\n"
            f"Error: sum of ||(W - W_q) x||^2 over the calibration images. coordinate: seed {rounding.SEED}."
            f"{'' if 'relaxation' in methods else ' --adaround relaxation: the published method, slower.'}"
        )
    else:
        from qsim.explore import low_bit as binary
        from qsim.explore.table import LOW_BIT_TABLE

        columns, table = binary.LOW_BIT_COLUMNS, LOW_BIT_TABLE
        check_sort(sort_key, columns)
        rows, total = binary.low_bit_rows(network, images), 1 + len(binary.VARIANTS)
        note += (
            "SQNR: each layer's product with its float32\ninput. Inner layers: all but the first and the last. Binary inputs are"
            " centred by the mean of each input channel first."
        )
    return Report(sorted_rows(list(progress(rows, total, "row")), sort_key), columns, table, note)


def _names(option: str, text: str) -> list[str]:
    """Names of a list with commas; none for `all`."""
    names = [name.strip() for name in text.split(",")]
    if ALL in names and len(names) > 1:
        raise ValueError(f"{option} {text}: allowed: {ALL} alone, or names with commas")
    return [] if names == [ALL] else names
