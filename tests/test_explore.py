"""The embedded network, the sweep and `qsim explore`."""

from __future__ import annotations

import csv
import io
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import qsim
from qsim.cli import main
from qsim.explore import network as net
from qsim.explore import sweep
from qsim.explore.metrics import metrics
from qsim.explore.sweep import FILE_COLUMNS, NETWORK_COLUMNS, Settings, View, choose_view, compare, network_rows, pieces
from qsim.explore.table import csv_text, json_rows, sort_rows
from qsim.explore.tensors import tensors
from qsim.spec import Geometry, format_names, load_format

RNG = np.random.default_rng(11)
CONV = RNG.standard_normal((8, 4, 3, 3)).astype(np.float32)
MATRIX = RNG.standard_normal((6, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return net.load_network()


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"conv": CONV, "matrix": MATRIX, "index": np.arange(3)}, path)
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["explore", *map(str, arguments)])


def rows_of(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# The shipped file


def test_size_and_provenance(network):
    file = Path(net.__file__).with_name("digits.npz")
    assert file.stat().st_size < 500_000
    assert "CC BY 4.0" in network.provenance
    assert "scikit-learn" in network.provenance
    assert "tools/train_digits.py" in network.provenance
    assert "CC BY 4.0" in file.with_suffix(".txt").read_text()
    assert network.images.shape == (400, 1, 8, 8)
    assert set(network.labels.tolist()) == set(range(10))


def test_images_are_those_of_scikit_learn(network):
    """Every shipped image and label stands in load_digits, each once."""
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is the optional extra `models`")
    digits = datasets.load_digits()
    known = {(image.astype(np.uint8).tobytes(), int(label)) for image, label in zip(digits.images, digits.target, strict=True)}
    shipped = {((i * 16).astype(np.uint8).tobytes(), int(n)) for i, n in zip(network.images, network.labels, strict=True)}
    assert shipped <= known
    assert len(shipped) == 400


def test_float32_accuracy_is_the_stated_one(network):
    assert net.accuracy(network) == 0.985
    assert "top-1 on the held-out images 0.9850" in network.provenance


# The forward pass


def test_forward_equals_direct_convolution(network):
    """Patches, product and pool against loops in float64, for a few images."""
    small = net.Network(network.layers, network.images[:3], network.labels[:3], "")
    found = net.forward(small)
    for i, image in enumerate(small.images.astype(np.float64)):
        x = image
        for layer in network.layers:
            w, b = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
            if layer.convolution:
                p = np.pad(x, ((0, 0), (1, 1), (1, 1)))
                h = x.shape[1]
                y = np.array(
                    [
                        [[np.sum(p[:, r : r + 3, c : c + 3] * w[o]) + b[o] for c in range(h)] for r in range(h)]
                        for o in range(len(w))
                    ]
                )
            else:
                y = w @ x.reshape(-1) + b
            y = np.maximum(y, 0) if layer.relu else y
            x = y.reshape(len(w), h // 2, 2, h // 2, 2).max(axis=(2, 4)) if layer.pool else y
        np.testing.assert_allclose(found[i], x, rtol=1e-4, atol=1e-4)


@given(st.integers(0, 2**32), st.integers(1, 600), st.integers(-40, 40))
def test_product_is_exact(seed, k, e):
    """The product equals the integer product of its fixed-point operands: no sum is ever rounded, so no order matters."""
    rng = np.random.default_rng(seed)
    a = np.ldexp(rng.standard_normal((3, k)), e).astype(np.float32)
    w = rng.standard_normal((2, k)).astype(np.float32)
    bits = (53 - (k - 1).bit_length()) // 2
    assert k << (2 * bits) <= 1 << 53
    found = net.product(a, w)
    order = rng.permutation(k)
    np.testing.assert_array_equal(found, net.product(a[:, order], w[:, order]))
    (left, s), (right, t) = net.fixed_point(a, bits), net.fixed_point(w, bits)
    assert max(np.abs(left).max(), np.abs(right).max()) <= 1 << bits
    for i in range(3):
        for j in range(2):
            total = sum(int(p) * int(q) for p, q in zip(left[i], right[j], strict=True))
            assert Fraction(found[i, j]) == total * Fraction(s) * Fraction(t)


def test_product_with_infinities():
    """Inf and NaN pass through without a warning."""
    found = net.product(np.array([[np.inf, 1.0], [1.0, 2.0]], np.float32), np.array([[0.0, 1.0], [1.0, 1.0]], np.float32))
    np.testing.assert_array_equal(found, [[np.nan, np.inf], [2.0, 3.0]])


def test_network_of_nan_is_wrong(network):
    assert net.accuracy(network, lambda x: np.full_like(x, np.nan)) == 0.0


def test_fake_sees_every_operand(network):
    seen = []
    net.forward(network, lambda x: seen.append(x.shape) or x)
    assert seen == [(25600, 9), (16, 9), (6400, 144), (32, 144), (400, 128), (64, 128), (400, 64), (10, 64)]


# Views and pieces


@pytest.mark.parametrize(
    ("shape", "axis", "expected"),
    [
        ((8, 4, 3, 3), None, View((8, 36), 1, 0)),
        ((8, 4, 3), None, View((8, 12), 1, 0)),
        ((6, 40), None, View((6, 40), 1, 0)),
        ((7,), None, View((7,), 0, 0)),
        ((), None, View((1,), 0, 0)),
        ((6, 40), 0, View((6, 40), 0, 1)),
        ((8, 4, 3, 3), 1, View((8, 4, 3, 3), 1, 0)),
        ((8, 4, 3, 3), -1, View((8, 4, 3, 3), 3, 0)),
        ((7,), 0, View((7,), 0, 0)),
    ],
)
def test_view(shape, axis, expected):
    assert choose_view(shape, axis) == expected


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("name", format_names())
def test_pieces_do_not_change_a_row(tmp_path, monkeypatch, name, axis):
    """A tensor encoded in pieces gives the row that it gives whole, where its scales allow pieces."""
    path = tmp_path / "w.npz"
    np.savez(path, a=RNG.standard_normal((50, 48)).astype(np.float32), b=RNG.standard_normal(1000).astype(np.float32))
    settings = Settings()
    for tensor in tensors(path):
        if axis and len(tensor.shape) == 1:
            continue
        view, stored, fmt = choose_view(tensor.shape, axis), tensor.load(), load_format(name)
        whole = compare(tensor, stored, view, fmt, settings)
        assert "error" not in whole
        q = qsim.encode(stored, fmt, axis=view.axis, channel_axis=view.channel_axis)
        assert whole["bytes"] == -(-q.storage_bits // 8)
        m = metrics(stored, q.decode(), q=q)
        assert (whole["sqnr"], whole["max_error"], whole["saturated"]) == (m.sqnr, m.max_error, m.saturated)
        with monkeypatch.context() as patch:
            patch.setattr(sweep, "PIECE", 100)
            spans = {s.group for s in fmt.scales}
            assert (len(list(pieces(view, fmt))) == 1) == ("tensor" in spans or ("channel" in spans and stored.ndim == 1))
            split = compare(tensor, stored, view, fmt, settings)
        for key in ("format", "bytes", "bits_per_element", "max_error", "zeroed", "saturated"):
            assert split[key] == whole[key]
        for key in ("sqnr", "mse", "cosine"):
            assert split[key] == pytest.approx(whole[key], rel=1e-12)


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=2).map(tuple),
    st.integers(1, 500),
    st.sampled_from(["mx9", "mxfp4", "fp16", "vsq4", "int8", "nvfp4"]),
)
def test_pieces_cover_once(shape, limit, name):
    """The parts cover every element once, in order, and never cut a block."""
    fmt, view = load_format(name), choose_view(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "PIECE", limit)
        parts = list(pieces(view, fmt))
    a = np.arange(np.prod(shape)).reshape(shape)
    assert np.concatenate([a[p].reshape(-1) for p in parts]).tolist() == a.reshape(-1).tolist()
    if len(shape) == 1:
        assert all((p[0].start or 0) % fmt.block_size == 0 for p in parts)
    if "tensor" in {s.group for s in fmt.scales}:
        assert len(parts) == 1


# The command


def test_network_rows_of_every_format():
    rows = rows_of()
    assert [r["format"] for r in rows] == ["float32", *format_names()]
    assert all(tuple(r) == NETWORK_COLUMNS for r in rows)
    by_name = {r["format"]: r for r in rows}
    assert (by_name["float32"]["top1"], by_name["float32"]["weight_sqnr"]) == (0.985, "inf")
    for name in format_names():
        row = by_name[name]
        assert row["error"] is None
        assert row["effective_bits"] == float(load_format(name).effective_bits)
        assert 0 <= row["top1"] <= 1
        shapes = [(16, 9), (32, 144), (64, 128), (10, 64)]
        assert row["weight_bytes"] == sum(-(-Geometry.of(load_format(name), s).storage_bits // 8) for s in shapes)
    for name in ("int8", "mx9", "mx6", "bf16", "fp16", "mxfp8_e4m3", "mxint8"):
        assert by_name[name]["top1"] >= 0.97, name
    assert by_name["mx9"]["weight_sqnr"] > by_name["mx6"]["weight_sqnr"] > by_name["mx4"]["weight_sqnr"]
    assert by_name["binary"]["top1"] < 0.5  # without retraining, and the table says so


def test_network_row_does_not_depend_on_threads(network):
    formats = [load_format(n) for n in ("mx6", "int4", "nvfp4")]
    found = []
    try:
        for n in (1, 2):
            qsim.set_num_threads(n)
            found.append(list(network_rows(network, formats, Settings("channel"))))
    finally:
        qsim.set_num_threads(None)
    assert found[0] == found[1]


def test_network_table_and_its_note():
    result = run("--format", "int8", "--format", "mx4", "--sort", "top1")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[0] == "format"
    assert [line.split()[0] for line in lines[2:5]] == ["float32", "int8", "mx4"]
    assert "98.50 %" in lines[2]
    assert "not retrained" in result.stdout


def test_file_rows(weights):
    rows = rows_of(weights, "--format", "int8", "--format", "mx9")
    assert all(tuple(r) == FILE_COLUMNS for r in rows)
    assert [(r["tensor"], r["format"]) for r in rows if r["error"] is None] == [
        (t, f) for t in ("conv", "matrix") for f in ("int8", "mx9")
    ]
    (skipped,) = [r for r in rows if r["error"]]
    assert skipped["tensor"] == "index"
    assert "I64" in skipped["error"]
    conv = rows[[r["tensor"] for r in rows].index("conv") + 1]
    assert (conv["shape"], conv["view"], conv["axis"]) == ([8, 4, 3, 3], [8, 36], 1)
    q = qsim.encode(CONV.reshape(8, 36), "mx9")
    m = metrics(CONV.reshape(8, 36), q.decode(), q=q)
    assert (conv["sqnr"], conv["max_error"], conv["bytes"]) == (m.sqnr, m.max_error, q.storage_bits // 8)
    assert conv["bits_per_element"] == q.storage_bits / CONV.size


def test_axis_and_granularity(weights):
    (conv, matrix) = [r for r in rows_of(weights, "--format", "int4", "--granularity", "8", "--axis", "0") if r["error"] is None]
    assert (conv["view"], conv["axis"]) == ([8, 4, 3, 3], 0)
    q = qsim.encode(MATRIX, "int4", granularity=8, axis=0, channel_axis=1)
    assert matrix["sqnr"] == metrics(MATRIX, q.decode()).sqnr
    rows = rows_of(weights, "--format", "mx9", "--axis", "3")
    assert [r["tensor"] for r in rows if r["error"] and "axis=3 is out of range" in r["error"]] == ["matrix"]
    assert any(r["tensor"] == "conv" and r["error"] is None for r in rows)


def test_user_format(tmp_path, weights):
    own = tmp_path / "mine.toml"
    own.write_text('name = "mine"\n[element]\nkind = "int"\nbits = 3\n[[scale]]\ntype = "E8M0"\ngroup = 8\n')
    rows = rows_of(weights, "--format", own)
    assert {(r["format"], r["effective_bits"]) for r in rows if r["error"] is None} == {("mine", 4.0)}


def test_refused_values_are_rows(tmp_path):
    """A format that refuses NaN says so in its row; the others go on and the exit code is 0."""
    bad = MATRIX.copy()
    bad[1, 2] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    rows = rows_of(tmp_path / "bad.npy", "--format", "int8", "--format", "mx9", "--format", "fp16")
    assert "first at index [1, 2]" in rows[0]["error"]
    assert rows[0]["sqnr"] is None
    assert (rows[1]["error"], rows[1]["sqnr"]) == (None, "nan")
    assert rows[2]["error"] is None
    table = run(tmp_path / "bad.npy", "--format", "int8")
    assert table.exit_code == 0
    assert "[1, 2]" in table.stdout


def test_empty_and_scalar_tensors(tmp_path):
    np.savez(tmp_path / "a.npz", empty=np.zeros((0, 3), np.float32), scalar=np.float32(2.5))
    for row in rows_of(tmp_path / "a.npz"):
        assert row["error"] is None, row
        if row["tensor"] == "empty":
            assert (row["sqnr"], row["max_error"], row["bits_per_element"]) == ("inf", 0.0, None)
    np.savez(tmp_path / "none.npz")
    assert rows_of(tmp_path / "none.npz") == []
    assert run(tmp_path / "none.npz").stdout == "no tensors\n"


def test_convention(weights):
    """A convention leaves the formats that it does not cover out, unless they are asked for."""
    covered = {r["format"] for r in rows_of(weights, "--convention", "ocp") if r["format"]}
    assert covered
    assert covered < set(format_names())
    assert "mxfp4" in covered
    asked = rows_of(weights, "--convention", "ocp", "--format", "fp16")
    assert all(r["error"] for r in asked)


def test_csv(tmp_path, weights):
    out = tmp_path / "rows.csv"
    result = run(weights, "--format", "mx9", "--csv", out)
    assert result.exit_code == 0
    assert "SQNR dB" in result.stdout
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert tuple(rows[0]) == FILE_COLUMNS
    matrix = next(r for r in rows if r["tensor"] == "matrix")
    wanted = next(r for r in rows_of(weights, "--format", "mx9") if r["tensor"] == "matrix")
    assert (float(matrix["sqnr"]), matrix["shape"]) == (wanted["sqnr"], "6x40")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--format", "int9"], "unknown format 'int9'"),
        (["--granularity", "row"], "'tensor', 'channel' or a group size"),
        (["--granularity", "0"], "'tensor', 'channel' or a group size"),
        (["--format", "mx9", "--granularity", "4"], "formats with one float scale"),
        (["--axis", "0"], "applies to the tensors of files"),
        (["--sort", "best"], "--sort best: allowed:"),
        (["--convention", "none"], "--convention none: allowed:"),
        (["missing.npy"], "does not exist"),
    ],
)
def test_bad_use(tmp_path, arguments, text):
    """Exit code 2, one message, nothing written."""
    out = tmp_path / "rows.csv"
    result = run(*arguments, "--csv", out)
    assert result.exit_code == 2
    assert text in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_bad_file_writes_nothing(tmp_path, weights):
    """One corrupt file among good ones: exit code 2, its name, no half-written CSV."""
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(weights.read_bytes()[:-1])
    out = tmp_path / "rows.csv"
    result = run(weights, bad, "--format", "mx9", "--csv", out)
    assert result.exit_code == 2
    assert str(bad) in result.output
    assert "truncated or oversized" in result.output
    assert not out.exists()
    assert result.stdout == ""
    result = run(weights, "--axis", "9")
    assert result.exit_code == 2
    assert "--axis 9 fits no tensor" in result.output
    result = run(weights, "--format", "mx9", "--csv", tmp_path / "no" / "rows.csv")
    assert result.exit_code == 2


def test_corrupt_values_write_nothing(tmp_path):
    """A member whose values fail their CRC is found while reading: exit code 2, the CSV keeps what it held."""
    path, out = tmp_path / "a.npz", tmp_path / "rows.csv"
    np.savez(path, a=MATRIX)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    out.write_text("before")
    result = run(path, "--format", "mx9", "--csv", out)
    assert result.exit_code == 2
    assert "CRC" in result.output
    assert out.read_text() == "before"


# Rows as text


def test_sort():
    rows = [{"sqnr": v, "bytes": b} for v, b in ((1.0, 3), (math.nan, 2), (math.inf, 9), (None, None), (-math.inf, 1))]
    assert [r["bytes"] for r in sort_rows(rows, "sqnr")] == [9, 3, 1, 2, None]
    assert [r["bytes"] for r in sort_rows(rows, "bytes")] == [1, 2, 3, 9, None]


def test_json_and_csv_of_special_values():
    row = {"a": math.inf, "b": -math.inf, "c": math.nan, "d": None, "e": [2, 3], "f": 0.1}
    (found,) = json_rows([row])
    assert found == {"a": "inf", "b": "-inf", "c": "nan", "d": None, "e": [2, 3], "f": 0.1}
    (line,) = list(csv.reader(io.StringIO(csv_text([row], tuple("abcdef")))))[1:]
    assert line == ["inf", "-inf", "nan", "", "2x3", "0.1"]


def test_help():
    result = run("--help")
    assert result.exit_code == 0
    assert "qsim explore model.safetensors" in result.stdout
