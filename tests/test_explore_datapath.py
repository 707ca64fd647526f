"""`qsim explore --datapath`: SQNR of the output and of the exact sum, overflow counts, safe widths; layers from two files."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import qsim
from qsim.cli import main
from qsim.datapath.accumulate import tap_sizes
from qsim.explore import datapath_sweep as sweep
from qsim.explore.datapath_sweep import DATAPATH_COLUMNS, EVENTS, Layer, file_layers, float_product, layer_rows
from qsim.explore.metrics import metrics
from qsim.explore.network import layer_operands, load_network
from qsim.spec.int_accumulator import IntAccumulator

RNG = np.random.default_rng(3)
W = RNG.standard_normal((6, 40)).astype(np.float32)
X = RNG.standard_normal((5, 40)).astype(np.float32)
INTEGER = [name for name in qsim.datapath_names() if isinstance(qsim.load_datapath(name).accumulator, IntAccumulator)]
BLOCK = """
name = "mx9_{bits}"
[activation]
format = "mx9"
[weight]
format = "mx9"
[accumulator]
kind = "block"
into = "fixed"
lsb = -16
bits = {bits}
overflow = "saturate"
"""


def row_of(x, w, datapath, x_range="format"):
    (row,) = layer_rows(Layer("one", lambda: (w, x)), [qsim.load_datapath(datapath)], x_range)
    assert tuple(row) == DATAPATH_COLUMNS
    return row


def run(*arguments):
    return CliRunner().invoke(main, ["explore", *map(str, arguments)])


def rows_of(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def pair(tmp_path):
    """A file of weights and one of activations that share one name."""
    save_file({"fc": W, "lonely": W[:2]}, tmp_path / "w.safetensors")
    np.savez(tmp_path / "x.npz", fc=X, other=X)
    return tmp_path / "w.safetensors", tmp_path / "x.npz"


# One layer


def test_saturation_by_hand():
    """127 * 127 = 16129; of the sums 16129, 32258, 48387, ... the third to fifth leave 16 bits and stay at 32767."""
    w, x = np.full((1, 5), 127, np.int8), np.full((2, 5), 127, np.int8)
    row = row_of(x, w, "int8_saturate16")
    assert (row["m"], row["n"], row["k"], row["accumulator_bits"]) == (2, 1, 5, 16)
    assert row["accumulator_overflows"] == 2 * 3
    assert row["overflow_share"] == 6 / 10
    assert row["changed_outputs"] == 1.0
    assert row["format_sqnr"] == math.inf
    assert row["output_sqnr"] == pytest.approx(20 * math.log10(80645 / (80645 - 32767)), rel=1e-12)
    assert row["accumulator_cost"] == math.inf
    assert (row["x_low"], row["x_high"]) == (-128, 127)
    assert (row["safe_bits_any_order"], row["safe_bits_given_order"]) == (18, 18)  # -128 * 127 * 5 = -81280
    assert row["error"] is None
    assert row["spill_overflows"] is row["bias_overflows"] is row["safe_bits_spill"] is None


def test_order_and_range_decide_the_safe_width():
    """Activations that are all 100, weights +100 and -100 in turn: in this order a sum of 10000, in the worst one 40000."""
    w, x = np.tile(np.array([100, -100], np.int8), 4)[None], np.full((3, 8), 100, np.int8)
    row = row_of(x, w, "int8_saturate16", "data")
    assert (row["x_low"], row["x_high"]) == (100, 100)
    assert (row["safe_bits_any_order"], row["safe_bits_given_order"]) == (17, 15)
    assert row["accumulator_overflows"] == 0
    free = row_of(x, w, "int8_saturate16")  # 4 * 100 * 127 + 4 * 100 * 128 = 102000
    assert (free["x_low"], free["x_high"]) == (-128, 127)
    assert (free["safe_bits_any_order"], free["safe_bits_given_order"]) == (18, 18)


def test_a_lane_that_saturates_by_hand():
    """255 * 127 * 2 = 64770 leaves int16: each of four pairs stays at 32767; the accumulator overflows nowhere."""
    w, x = np.full((1, 8), 127, np.int8), np.full((1, 8), 255, np.uint8)
    row = row_of(x, w, "vpmaddubsw")
    assert (row["lane_overflows"], row["accumulator_overflows"], row["bias_overflows"]) == (4, 0, 0)
    assert row["overflow_share"] == 4 / 9  # 4 lanes, 4 adds, the bias with the zero points folded in
    assert row["output_sqnr"] == pytest.approx(20 * math.log10(8 * 255 * 127 / (8 * 255 * 127 - 4 * 32767)), rel=1e-12)
    assert row["safe_bits_given_order"] == 18  # 4 * 32767
    assert row["safe_bits_any_order"] == 19  # 8 * 255 * 127 = 259080


def test_spill_has_its_own_width():
    """Gemmini sums 16 products of at most 128 * 127 in the column, then 64 of them in the spill register."""
    row = row_of(np.ones((1, 64), np.int8), np.full((1, 64), 127, np.int8), "gemmini_ws")
    assert (row["safe_bits_given_order"], row["safe_bits_spill"], row["safe_bits_any_order"]) == (19, 21, 21)
    assert (row["accumulator_overflows"], row["spill_overflows"]) == (0, 0)
    assert row["output_sqnr"] == math.inf
    assert row["accumulator_cost"] == 0.0


def test_product_shift_is_undone():
    """Products that are multiples of 2^10 lose nothing to a shift by 10; an odd product loses its fraction."""
    w = np.array([[1 << 5, 3 << 5]], np.int16)
    row = row_of(np.array([[1 << 5, 2 << 5]], np.int16), w, "hls4ml_dense")
    assert row["format_sqnr"] == row["output_sqnr"] == math.inf
    assert (row["changed_outputs"], row["product_overflows"], row["accumulator_overflows"]) == (0.0, 0, 0)
    odd = row_of(np.array([[1 << 5, 1]], np.int16), w, "hls4ml_dense")  # 1024 + 96: the 96 is dropped
    assert odd["output_sqnr"] == pytest.approx(20 * math.log10(1120 / 96), rel=1e-12)
    assert odd["changed_outputs"] == 1.0


@pytest.mark.parametrize("name", ["int8_saturate16", "onnxruntime_uint8", "fbgemm_linear", "int4_saturate16", "binary_popcount"])
def test_row_is_what_linear_gives(name):
    """Weights one scale a channel, activations one a tensor; the output is the accumulator times both scales."""
    d = qsim.load_datapath(name)
    row = row_of(X, W, name)
    a = qsim.encode(X, d.activation, granularity="tensor")
    b = qsim.encode(W, d.weight, granularity="channel")
    left = a.integers.astype(np.int64) - (0 if a.zero_point is None else int(a.zero_point))
    right = b.integers.astype(np.int64)
    scale = (a.decode(np.float64) / np.where(left, left, 1)).max() if left.any() else 0.0
    steps = np.array(
        [
            next(v / q for v, q in zip(values, codes, strict=True) if q)
            for values, codes in zip(b.decode(np.float64), right, strict=True)
        ]
    )
    wanted = X.astype(np.float64) @ W.T.astype(np.float64)
    assert row["format_sqnr"] == pytest.approx(metrics(wanted, (left @ right.T) * (scale * steps)).sqnr, abs=1e-9)
    plain = replace(d.accumulator, bias="last")
    got = qsim.linear(a, b, replace(d, accumulator=plain, requantizer=None, out_format=None, clamp=None))
    assert row["output_sqnr"] == pytest.approx(metrics(wanted, got * (scale * steps)).sqnr, abs=1e-9)
    assert row["accumulator_cost"] == pytest.approx(row["format_sqnr"] - row["output_sqnr"], abs=1e-12)
    low, high = d.operand_interval("activation")
    zero = 0 if a.zero_point is None else int(a.zero_point)
    assert (row["x_low"], row["x_high"]) == (low - zero, high - zero)


@pytest.mark.parametrize("name", INTEGER)
def test_every_write_counts_once(name):
    """For every K the writes of a register are the values of its tap (rule A1)."""
    acc = sweep.accumulator_only(qsim.load_datapath(name)).accumulator
    taps = {"product": "products", "lane": "lane_sums", "accumulator": "partial_sums", "spill": "spill"}
    for k in (0, 1, 2, 3, 15, 16, 17, 40):
        writes = sweep.register_writes(acc, k)
        assert tuple(writes) == acc.registers
        for register, tap in taps.items():
            assert register not in writes or writes[register] == tap_sizes(acc, k)[tap][0]


@given(st.data())
def test_safe_width_with_zero_points_after_the_sum(data):
    """Over all activations of a range, a register of the safe width never overflows, and one bit less does.

    Zero points are taken off before the products, or the correction is added after the sum, or with the bias.
    """
    acc = IntAccumulator(
        bits=40,
        zero_points=data.draw(st.sampled_from(["before", "after", "folded"])),
        bias=data.draw(st.sampled_from(["first", "last"])),
    )
    d = replace(qsim.load_datapath("vpdpbusd"), accumulator=acc)
    w = np.array(data.draw(st.lists(st.lists(st.integers(-128, 127), min_size=3, max_size=3), min_size=1, max_size=2)), np.int8)
    low = data.draw(st.integers(0, 255))
    high, zero = data.draw(st.integers(low, 255)), data.draw(st.integers(0, 255))
    operand = sweep.integer_operand(w, d, "weight", 0, transposed=True)
    found = sweep.safe_bits(operand, (low, high), zero, d)
    every = np.array(list(product((low, high), repeat=3)), np.uint8)

    def overflows(bits):
        narrow = replace(d, accumulator=replace(acc, bits=bits, overflow="saturate"))
        events: dict[str, int] = {}
        qsim.linear(every, w, narrow, a_zero_point=zero, events=events)
        return sum(events.values()) > 0

    assert not overflows(found.given_order_max)
    assert found.given_order_max == 2 or overflows(found.given_order_max - 1)
    assert found.any_order_max >= found.given_order_max


def test_safe_width_is_empty_where_the_correction_depends_on_activations():
    """Weights with zero points of their own, taken off after the sum: no constant correction, no width."""
    after = IntAccumulator(bits=32, zero_points="after")
    d = replace(qsim.load_datapath("vpdpbusd"), accumulator=after, weight=qsim.load_format("uint8"))
    (row,) = layer_rows(Layer("one", lambda: (W, X)), [d])
    assert row["error"] is None
    assert row["safe_bits_any_order"] is row["safe_bits_given_order"] is None
    assert row["x_low"] is not None
    assert row["output_sqnr"] == row["format_sqnr"] > 30


def test_error_register_is_a_row():
    """A register that refuses an overflow: the row names output, k and value, and keeps what does not depend on it."""
    d = replace(qsim.load_datapath("int8_saturate16"), accumulator=IntAccumulator(bits=16, overflow="error"))
    x, w = np.full((2, 5), 127, np.int8), np.full((1, 5), 127, np.int8)
    (row,) = layer_rows(Layer("one", lambda: (w, x)), [d])
    assert "output [0, 0]: value 48387 leaves 16 bits at accumulator, k = 2" in row["error"]
    assert (row["format_sqnr"], row["safe_bits_given_order"]) == (math.inf, 18)
    assert row["output_sqnr"] is row["overflow_share"] is row["accumulator_overflows"] is None


def test_float_accumulators_have_no_width():
    row = row_of(X, W, "hopper_fp8/fp8_e4m3")
    assert row["error"] is None
    assert 20 < row["output_sqnr"] <= row["format_sqnr"] + 0.5
    a, b = (qsim.encode(v, "fp8_e4m3") for v in (X, W))
    got = qsim.linear(a, b, "hopper_fp8/fp8_e4m3")
    assert row["output_sqnr"] == pytest.approx(metrics(X.astype(np.float64) @ W.T.astype(np.float64), got).sqnr, abs=1e-9)
    assert row["accumulator_bits"] is row["safe_bits_any_order"] is row["overflow_share"] is row["x_low"] is None


def test_block_accumulators(tmp_path):
    """mx9 into a wide and into a narrow fixed-point register: the same exact sum, and its cost only with the narrow one."""
    rows = {}
    for bits in (40, 18):
        path = tmp_path / f"mx9_{bits}.toml"
        path.write_text(BLOCK.format(bits=bits))
        rows[bits] = row_of(X, W, str(path))
        assert rows[bits]["error"] is None
        assert rows[bits]["accumulator_bits"] == bits
        assert rows[bits]["safe_bits_any_order"] is None
    assert rows[40]["format_sqnr"] == rows[18]["format_sqnr"] > 35
    assert abs(rows[40]["accumulator_cost"]) < 0.1
    assert rows[40]["accumulator_overflows"] == 0
    assert rows[18]["accumulator_overflows"] > 0
    assert rows[18]["accumulator_cost"] > 10


def test_refused_values_are_rows():
    bad = X.copy()
    bad[1, 2] = np.nan
    row = row_of(bad, W, "int8_saturate16")
    assert "first at index [1, 2]" in row["error"]
    assert row["format_sqnr"] is None
    assert "names no operand formats; allowed: integers" in row_of(X, W, "int32_exact")["error"]
    beyond = row_of(np.full((5, 40), 300), W, "int8_saturate16")
    assert beyond["error"] == "activation: int8 has no value 300, index [0, 0]; allowed: -128 to 127"


def test_integers_without_a_format_have_the_range_of_their_type():
    row = row_of(np.ones((2, 3), np.uint8), np.ones((1, 3), np.int8), "int32_exact")
    assert (row["x_low"], row["x_high"], row["safe_bits_any_order"]) == (0, 255, 11)  # 3 * 255 = 765
    assert row["output_sqnr"] == math.inf


def test_one_operand_may_be_codes():
    """Integer weights beside float activations stand for themselves."""
    codes = RNG.integers(-127, 128, (6, 40)).astype(np.int8)
    row = row_of(X, codes, "int8_saturate24")
    q = qsim.encode(X, "int8", granularity="tensor")
    wanted = metrics(X.astype(np.float64) @ codes.T.astype(np.float64), q.decode(np.float64) @ codes.T.astype(np.float64)).sqnr
    assert row["output_sqnr"] == row["format_sqnr"] == pytest.approx(wanted, abs=1e-9)


def test_no_rows_no_adds():
    row = row_of(np.zeros((0, 4), np.float32), np.ones((2, 4), np.float32), "int8_saturate16")
    assert row["error"] is None
    assert row["accumulator_overflows"] == 0
    assert row["overflow_share"] is row["changed_outputs"] is None


def test_rows_do_not_depend_on_threads():
    layers = sweep.network_layers(load_network())
    datapaths = [qsim.load_datapath(name) for name in ("int8_saturate16", "vpmaddubsw", "hopper/fp16")]
    found = []
    try:
        for n in (1, 2):
            qsim.set_num_threads(n)
            found.append(list(sweep.datapath_rows(layers, datapaths)))
    finally:
        qsim.set_num_threads(None)
    assert found[0] == found[1]


# The product of the original floats


@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(-300, 300), st.sampled_from([np.float32, np.float64, np.float16]))
def test_float_product_is_near_the_exact_one(seed, k, e, dtype):
    """No error above K * 2^-35 of the largest magnitudes, and the same bits in any order of K."""
    rng = np.random.default_rng(seed)
    a = np.ldexp(rng.standard_normal((3, k)), e if dtype is np.float64 else 0).astype(dtype)
    w = rng.standard_normal((2, k)).astype(dtype)
    order = rng.permutation(k)
    found = float_product(a, w)
    np.testing.assert_array_equal(found, float_product(a[:, order], w[:, order]))
    limit = Fraction(float(np.abs(a).max())) * Fraction(float(np.abs(w).max())) * k / 2**35
    for i, j in product(range(3), range(2)):
        exact = sum(Fraction(float(p)) * Fraction(float(q)) for p, q in zip(a[i], w[j], strict=True))
        assert abs(Fraction(float(found[i, j])) - exact) <= limit


def test_float_product_of_integers_is_exact():
    a, w = RNG.integers(-128, 128, (7, 33)), RNG.integers(-128, 128, (5, 33))
    np.testing.assert_array_equal(float_product(a, w), a @ w.T)


def test_float_product_of_zeros_and_infinities():
    assert (float_product(np.zeros((2, 3)), np.ones((1, 3))) == 0).all()
    assert np.isnan(float_product(np.array([[np.inf, 1.0]]), np.ones((1, 2)))).all()


# Files


def test_layers_pair_by_name(pair):
    fc, lonely, other = file_layers(*pair)
    assert (fc.name, fc.problem) == ("fc", None)
    np.testing.assert_array_equal(fc.load()[0], W)
    np.testing.assert_array_equal(fc.load()[1], X)
    assert (lonely.name, lonely.problem) == ("lonely", f"no activation of this name in {pair[1]}")
    assert (other.name, other.problem) == ("other", f"no weight of this name in {pair[0]}")
    rows = rows_of("--weights", pair[0], "--activations", pair[1], "--datapath", "int8_saturate16", "--datapath", "nvdla")
    assert [(r["layer"], r["datapath"]) for r in rows] == [
        ("fc", "int8_saturate16"), ("fc", "nvdla"), ("lonely", None), ("other", None)
    ]  # fmt: skip
    assert rows[0]["output_sqnr"] == row_of(X, W, "int8_saturate16")["output_sqnr"]


def test_only_tensors_pair_whatever_their_names(tmp_path):
    conv = RNG.standard_normal((4, 3, 3, 3)).astype(np.float16)
    np.save(tmp_path / "w.npy", conv)
    np.savez(tmp_path / "patches.npz", x=RNG.standard_normal((10, 27)))
    (row,) = rows_of("--weights", tmp_path / "w.npy", "--activations", tmp_path / "patches.npz", "--datapath", "int8_saturate24")
    assert (row["layer"], row["m"], row["n"], row["k"], row["error"]) == ("w", 10, 4, 27, None)


def test_codes_and_bfloat16_from_files(tmp_path):
    """Integer tensors of every kind of file are codes; BF16 is widened."""
    codes = RNG.integers(-127, 128, (6, 40)).astype(np.int8)
    save_file({"a": codes, "b": codes.astype(np.int32)}, tmp_path / "w.safetensors")
    np.savez(tmp_path / "x.npz", a=codes[:2], b=codes[:3].astype(">i4"))
    rows = rows_of(
        "--weights", tmp_path / "w.safetensors", "--activations", tmp_path / "x.npz", "--datapath", "int8_saturate24"
    )  # fmt: skip
    rows.sort(key=lambda r: r["layer"])  # safetensors puts the widest type first
    assert [(r["layer"], r["m"], r["format_sqnr"], r["error"]) for r in rows] == [("a", 2, "inf", None), ("b", 3, "inf", None)]
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}).encode()
    bf16 = tmp_path / "bf16.safetensors"
    bf16.write_bytes(len(header).to_bytes(8, "little") + header + np.array([0x3F80, 0xC000], "<u2").tobytes())
    ((layer,)) = file_layers(bf16, bf16)
    np.testing.assert_array_equal(layer.load()[0], [[1.0, -2.0]])


@pytest.mark.parametrize(
    ("weight", "activation", "says"),
    [
        (W, X[:, :39], "weight of shape (6, 40) has K = 40, activation of shape (5, 39) has K = 39"),
        (W[0], X, "weight of shape (40,); allowed: (N, K)"),
        (W[:, :0], X[:, :0], "weight of shape (6, 0)"),
        (W, X[None], "activation of shape (1, 5, 40); allowed: (M, K)"),
        (W > 0, X, "weight: dtype bool"),
        (W, X.astype(np.complex64), "activation: dtype complex64"),
    ],
)
def test_pairs_that_are_no_product_are_rows(tmp_path, weight, activation, says):
    np.savez(tmp_path / "w.npz", bad=weight, good=W)
    np.savez(tmp_path / "x.npz", bad=activation, good=X)
    arguments = ("--weights", tmp_path / "w.npz", "--activations", tmp_path / "x.npz", "--datapath", "int8_saturate16")
    bad, good = rows_of(*arguments)
    assert says in bad["error"]
    assert (bad["layer"], good["layer"], good["error"]) == ("bad", "good", None)
    assert "note" in run(*arguments).stdout


# The command


def test_network_out_of_the_box():
    rows = rows_of("--datapath", "int8_saturate16", "--datapath", "int8_saturate24")
    assert all(tuple(r) == DATAPATH_COLUMNS for r in rows)
    assert [(r["layer"], r["datapath"]) for r in rows] == [
        (layer, d) for layer in ("conv1", "conv2", "fc1", "fc2") for d in ("int8_saturate16", "int8_saturate24")
    ]
    operands = layer_operands(load_network(), sweep.ACTIVATION_IMAGES)
    assert [(r["m"], r["n"], r["k"]) for r in rows[::2]] == [(*x.shape[:1], *w.shape) for w, x in operands]
    for narrow, wide in zip(rows[::2], rows[1::2], strict=True):
        assert narrow["accumulator_overflows"] > 0 == wide["accumulator_overflows"]
        assert narrow["output_sqnr"] < wide["output_sqnr"] == wide["format_sqnr"] == narrow["format_sqnr"]
        assert 16 < narrow["safe_bits_given_order"] == wide["safe_bits_given_order"] <= 24


def test_table_sort_and_csv(tmp_path, pair):
    out = tmp_path / "rows.csv"
    arguments = ("--weights", pair[0], "--activations", pair[1], "--datapath", "int8_saturate16", "--datapath", "int4_saturate16")
    result = run(*arguments, "--sort", "output_sqnr", "--csv", out)
    assert result.exit_code == 0
    assert "SQNR" in result.stdout
    assert "any activation of the format" in result.stdout
    assert "Embedded" not in result.stdout
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert tuple(rows[0]) == DATAPATH_COLUMNS
    assert [r["datapath"] for r in rows] == ["int8_saturate16", "int4_saturate16", "", ""]
    assert float(rows[0]["output_sqnr"]) == rows_of(*arguments)[0]["output_sqnr"]
    assert rows[0][EVENTS["lane"]] == ""
    assert "between the lowest and highest" in run(*arguments, "--x-range", "data").stdout
    assert "Safe bits" not in run(*arguments[:4], "--datapath", "hopper/fp16").stdout


def test_range_of_the_data(pair):
    arguments = ("--weights", pair[0], "--activations", pair[1], "--datapath", "int8_saturate16")
    row = rows_of(*arguments, "--x-range", "data")[0]
    codes = qsim.encode(X, "int8", granularity="tensor").integers
    assert (row["x_low"], row["x_high"]) == (codes.min(), codes.max())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--datapath", "int9"], "unknown datapath 'int9'; allowed: int32_exact"),
        (["--datapath", "none.toml"], "none.toml"),
        (["--datapath", "nvdla", "--format", "int8"], "--format with --datapath: the formats"),
        (["--datapath", "nvdla", "--axis", "0", "--granularity", "channel"], "--axis, --granularity with --datapath"),
        (["--datapath", "nvdla", "--convention", "ocp"], "--convention with --datapath"),
        (["--datapath", "nvdla", "WEIGHTS"], "FILE with --datapath"),
        (["--datapath", "nvdla", "--weights", "WEIGHTS"], "--weights without --activations"),
        (["--datapath", "nvdla", "--activations", "WEIGHTS"], "--activations without --weights"),
        (["--weights", "WEIGHTS", "--activations", "WEIGHTS"], "--weights, --activations without --datapath"),
        (["--x-range", "data"], "--x-range without --datapath"),
        (["--datapath", "nvdla", "--x-range", "all"], "'format', 'data'"),
        (["--datapath", "nvdla", "--sort", "sqnr"], "--sort sqnr: allowed: layer"),
        (["--datapath", "nvdla", "--weights", "missing.npy", "--activations", "WEIGHTS"], "does not exist"),
    ],
)
def test_bad_use(tmp_path, pair, arguments, text):
    """Exit code 2, one message, nothing written."""
    out = tmp_path / "rows.csv"
    result = run(*(pair[0] if a == "WEIGHTS" else a for a in arguments), "--csv", out)
    assert result.exit_code == 2
    assert text in result.output
    assert "Traceback" not in result.output
    assert not out.exists()


def test_bad_files(tmp_path, pair):
    """A truncated file, values that fail their CRC, no name in common, a result that is an input: exit 2, nothing written."""
    weights, activations = pair
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-1])
    np.savez(tmp_path / "crc.npz", fc=X, b=X)
    data = bytearray((tmp_path / "crc.npz").read_bytes())
    data[300] ^= 1
    (tmp_path / "crc.npz").write_bytes(data)
    np.savez(tmp_path / "else.npz", c=X, d=X)
    before = sorted(path.name for path in tmp_path.iterdir())
    for w, x, says in (
        (cut, activations, "truncated or oversized"),
        (weights, tmp_path / "crc.npz", "CRC"),
        (weights, tmp_path / "else.npz", "has the name of one of"),
    ):
        result = run("--weights", w, "--activations", x, "--datapath", "nvdla", "--csv", tmp_path / "out.csv")
        assert result.exit_code == 2, says
        assert says in result.output
    result = run("--weights", weights, "--activations", activations, "--datapath", "nvdla", "--csv", activations)
    assert result.exit_code == 2
    assert "is the input" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_page_shows_what_the_command_prints():
    """The transcript of docs/explore-datapath.md is the command's output."""
    page = (Path(__file__).parent.parent / "docs" / "explore-datapath.md").read_text()
    _, command, *lines = page.split("```")[1].split("\n", 2)
    assert command.startswith("$ qsim explore ")
    assert run(*command.split()[3:]).stdout == lines[0]
