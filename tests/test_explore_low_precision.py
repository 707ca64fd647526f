"""Calibrators, adaptive rounding and low-bit layers on the embedded network: the rows, `qsim explore`, the tables of the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import qsim
from qsim.adaround import Gram, Relaxation, adaptive_round, reconstruction_error
from qsim.cli import main
from qsim.explore import calibrate, low_bit, rounding
from qsim.explore import network as net
from qsim.explore.network import calibration_images, load_network, operands
from qsim.explore.table import csv_text
from tools import network_tables

Row = dict[str, object]


@cache
def rounding_rows() -> list[Row]:
    return list(rounding.rounding_rows(load_network(), calibration_images(), rounding.DEFAULT))


@cache
def calibrate_rows() -> list[Row]:
    return list(calibrate.calibrate_rows(load_network(), calibration_images(), list(calibrate.NAMES)))


@cache
def low_bit_rows() -> list[Row]:
    return list(low_bit.low_bit_rows(load_network(), calibration_images()))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explore", *arguments])


# --- the calibration images ---


def test_calibration_images_are_training_images_of_scikit_learn() -> None:
    """All of them stand in load_digits; none is a test image of the network."""
    images, network = calibration_images(), load_network()
    own = {image.tobytes() for image in images}

    assert images.shape == (512, 1, 8, 8)
    assert len(own) == 512
    assert not own & {image.tobytes() for image in network.images}
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is the optional extra `models`")
    assert own <= {image.tobytes() for image in net.pixels(datasets.load_digits().images)}


# --- adaptive rounding ---


def test_no_layer_is_worse_and_the_total_is_better() -> None:
    """At every width and under both kinds of scales: no layer has a larger error than nearest, the total is smaller.

    At 4 bits it is at most a tenth; and the same holds for the outputs on images that calibration has not seen.
    """
    rows = [row for row in rounding_rows() if row["bits"]]
    assert len(rows) == 2 * len(rounding.BITS) * len(rounding.SCALES)
    for nearest, found in zip(rows[::2], rows[1::2], strict=True):
        assert (nearest["method"], found["method"]) == ("nearest", "coordinate")
        assert all(found[key] <= nearest[key] for key in rounding.ERRORS)
        assert found["error"] < nearest["error"] / (8 if found["bits"] == 4 else 6)
        assert found["test_sqnr"] > nearest["test_sqnr"] + 8
        assert found["top1"] >= nearest["top1"]


def test_published_relaxation_gains_too() -> None:
    """With its published settings, on fc2 at 4 bits: no output is worse than nearest, in all less than an eighth."""
    layer, x = load_network().layers[3], calibrate.layer_inputs(load_network(), calibration_images())[3]
    nearest = qsim.encode(layer.matrix, "int4", granularity="channel")
    found = adaptive_round(layer.matrix, "int4", x, method=Relaxation(), granularity="channel")
    before, after = (reconstruction_error(layer.matrix, q, x) for q in (nearest, found))

    assert (after <= before).all()
    assert after.sum() < before.sum() / 8


def test_rows_are_what_the_layers_give() -> None:
    """The errors of a row are those of adaptive_round on the layer's own inputs; a Gram matrix gives the same codes."""
    network = load_network()
    row = next(row for row in rounding_rows() if row["bits"] == 4 and row["method"] == "coordinate")
    inputs = calibrate.layer_inputs(network, calibration_images())
    for layer, x in list(zip(network.layers, inputs, strict=True))[::3]:
        rows = operands(layer, x)
        found = adaptive_round(layer.matrix, "int4", rows, granularity="channel")
        again = adaptive_round(layer.matrix, "int4", Gram.of(rows), granularity="channel")
        assert found.pack() == again.pack()
        assert row[f"{layer.name}_error"] == reconstruction_error(layer.matrix, found, rows).sum()


# --- calibrators ---


def test_calibrators_keep_the_accuracy_at_8_bits_and_differ_at_4() -> None:
    """All reach the float network's accuracy at 8 bits; at 4 bits least squares and OCTAV hold the inputs better than extremes."""
    rows = {(row["method"], row["bits"]): row for row in calibrate_rows()}
    right = rows["float32", None]["top1"]
    eight = [rows[name, 8] for name in calibrate.NAMES]

    assert right == 0.985
    assert all(row["top1_weights8"] == row["top1"] == right for row in eight)
    assert all(rows[name, 4]["activation_sqnr"] > rows["minmax", 4]["activation_sqnr"] + 1 for name in ("mse", "octav"))
    assert all(row["activation_sqnr"] <= rows["mse", row["bits"]]["activation_sqnr"] + 0.05 for row in calibrate_rows()[1:])


def test_ranges_are_those_of_the_calibrator_on_the_layers_inputs() -> None:
    """The ends of minmax are the largest inputs; those of octav what its observer gives, in batches of 32 images."""
    inputs = calibrate.layer_inputs(load_network(), calibration_images())
    rows = {(row["method"], row["bits"]): row for row in calibrate_rows()}
    for key, x in zip(calibrate.HIGHS, inputs, strict=True):
        octav = qsim.ranges.OCTAV(bits=4, symmetric=False)
        for start in range(0, 512, 32):
            octav.observe(x[start : start + 32])
        assert rows["minmax", 8][key] == float(x.max())
        assert rows["octav", 4][key] == float(octav.limits()[1])


# --- binary and ternary ---


def test_scales_bring_the_outputs_back() -> None:
    """Without its scale a binary or ternary layer's output has more error than signal; with it 4 dB and more, K included."""
    rows = {(row["weights"], row["scale"]): row for row in low_bit_rows()[1:]}
    for name in ("binary (BWN)", "ternary (TWN)", "binary (XNOR)"):
        assert rows[name, "none"]["output_sqnr"] < -10
    assert rows["binary (BWN)", "channel"]["output_sqnr"] > rows["binary (BWN)", "tensor"]["output_sqnr"] > 4
    assert rows["ternary (TWN)", "channel"]["output_sqnr"] > rows["ternary (TWN)", "tensor"]["output_sqnr"] > 7
    assert rows["ternary, optimal", "channel"]["output_sqnr"] > rows["ternary (TWN)", "channel"]["output_sqnr"]
    assert rows["binary (XNOR)", "channel, K"]["output_sqnr"] > rows["binary (XNOR)", "channel"]["output_sqnr"] > 0


def test_binary_and_ternary_layers_are_those_of_encode() -> None:
    """alpha * sign(W) and TWN's alpha * t are, bit for bit, the decoded formats `binary` and `ternary`."""
    layer = load_network().layers[2]
    x = calibrate.layer_inputs(load_network(), load_network().images[:5])[2]
    for name, variant in (("binary", low_bit.binary_weights), ("ternary", lambda scale: low_bit.ternary_weights("twn", scale))):
        for scale in ("tensor", "channel"):
            weights = qsim.quantize(layer.matrix, name, granularity=scale)
            assert (variant(scale)(layer, x, np.zeros(1)) == net.product(operands(layer, x), weights)).all()


# --- the command ---


@pytest.mark.parametrize(
    ("arguments", "known", "columns"),
    [
        (["--calibrate", "minmax, octav"], calibrate_rows, calibrate.CALIBRATE_COLUMNS),
        (["--adaround", "nearest"], rounding_rows, rounding.ROUNDING_COLUMNS),
        (["--low-bit"], low_bit_rows, low_bit.LOW_BIT_COLUMNS),
    ],
)
def test_command_prints_the_rows(
    arguments: list[str], known: Callable[[], list[Row]], columns: list[str], tmp_path: Path
) -> None:
    """As a table and as CSV: the rows that the package computes, of the methods named."""
    methods = {None, "float32", *(name.strip() for name in "".join(arguments[1:]).split(","))}
    result = run(*arguments, "--csv", str(tmp_path / "rows.csv"))
    rows = [row for row in known() if row.get("method") in methods]

    assert result.exit_code == 0, result.output
    assert (tmp_path / "rows.csv").read_text() == csv_text(rows, columns)
    assert "Embedded network, 400 held-out 8x8 digits; calibrated on 512 training images." in result.output
    assert "98.50 %" in result.output


def test_command_prints_json() -> None:
    """The rows of one method, best first; infinities as texts."""
    result = run("--calibrate", "minmax", "--sort", "activation_sqnr", "--json")
    rows = json.loads(result.stdout)
    known = {(row["method"], row["bits"]): row for row in calibrate_rows()}

    assert [row["bits"] for row in rows] == [None, 8, 6, 4]
    assert rows[0]["activation_sqnr"] == "inf"
    assert rows[1:] == [known["minmax", bits] for bits in (8, 6, 4)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calibrate", "best"], "--calibrate best: allowed: all, absmax, minmax"),
        (["--adaround", "best"], "--adaround best: allowed: all, nearest, coordinate, relaxation"),
        (["--adaround", "all,relaxation"], "--adaround all,relaxation: allowed: all alone, or names with commas"),
        (["--calibrate", "--low-bit"], "allowed: one of them"),
        (["--low-bit", "--format", "int8"], "--format with --calibrate, --adaround or --low-bit; allowed: none of them there"),
        (["--low-bit", "--sort", "sqnr"], "--sort sqnr: allowed: weights, scale, inputs"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], message: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.output


# --- the page ---


def test_tables_of_the_page_are_what_is_computed() -> None:
    """Every number of docs/low-precision.md that is measured on the network; of the relaxation those at 4 bits."""
    text = network_tables.PAGE.read_text()
    relaxed = list(rounding.rounding_rows(load_network(), calibration_images(), ["relaxation"], (4,), ("absmax",)))
    rows = sorted([*rounding_rows(), *relaxed[1:]], key=lambda row: row["method"] == "relaxation")
    computed = network_tables.columns_table(rows, network_tables.ROUNDING_TABLE).splitlines()
    stated = network_tables.part_of(text, "rounding").splitlines()

    assert network_tables.part_of(text, "calibrators") == network_tables.calibrators_table(calibrate_rows())
    assert network_tables.part_of(text, "low bit") == network_tables.columns_table(low_bit_rows(), network_tables.LOW_BIT_TABLE)
    assert [line for line in stated if "relaxation" not in line] == [line for line in computed if "relaxation" not in line]
    assert computed[-1] in stated
