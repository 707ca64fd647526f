"""Each named convention against captured outputs of the stack it names (tests/data/conventions), and the table itself.

Captures are never written from qsim. Where a stack has a known bug the test says which blocks it touches and that no others differ.
"""

import re
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import qsim
from qsim.codec.conventions import TEXTS, check_conventions, convention_names, convention_options, conventions
from qsim.spec import SpecError, format_names, load_format
from qsim.spec.options import resolve_options

FOLDER = Path(__file__).parent / "data" / "conventions"
TORCH_SMALLEST = 0x34000000  # 2^-23, also the scale of a tensor of zeros
MXFP = ("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4")


@cache
def capture(name: str) -> dict[str, Any]:
    """Arrays of one capture."""
    with np.load(FOLDER / f"{name}.npz") as data:
        return dict(data)


def floats(bits: np.ndarray) -> np.ndarray:
    """float32 of bit patterns; a uint16 array holds the upper halves."""
    return (bits.astype(np.uint32) << (16 if bits.dtype == np.uint16 else 0)).view(np.float32)


def bits(x: np.ndarray) -> np.ndarray:
    """Bit patterns of float32."""
    return np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)


def ocp_input() -> np.ndarray:
    """The blocks of 32 of all OCP captures."""
    return floats(capture("ocp_inputs")["input"])


def amax(x: np.ndarray) -> np.ndarray:
    """Largest magnitude of each block."""
    return np.abs(x).max(axis=-1)


def just_above_power(x: np.ndarray, largest: float) -> np.ndarray:
    """Blocks whose amax/largest is above a power of two by less than 2^-20 of it, exactly: float32 ceil(log2) may miss it."""

    def above(a: float) -> bool:
        ratio = Fraction(a) / Fraction(largest)
        power = Fraction(2) ** (int(np.frexp(float(ratio))[1]) - 1)
        return power < ratio < power * (1 + Fraction(1, 2**20))

    return np.array([a > 0 and above(float(a)) for a in amax(x)])


def beside_power(x: np.ndarray) -> np.ndarray:
    """Blocks whose amax is 1 to 7 ulp beside a power of two: float32 log2 may take the wrong side."""
    fraction = bits(amax(x)) & 0x7FFFFF
    return (fraction != 0) & ((fraction < 8) | (fraction > 0x7FFFFF - 8))


@pytest.mark.parametrize("fmt", ["mx9", "mx6", "mx4"])
def test_quark_microexponents(fmt: str) -> None:
    """Exponents, microexponents, integers and float32 bits equal Quark's, which flushes -0 and subnormals to +0."""
    data = capture("quark_mx")
    x = floats(data["input"])
    q = qsim.encode(x, fmt, convention="quark")
    assert np.array_equal(q.scales[1][:, 0], data[f"{fmt}_exponent"])
    assert np.array_equal(q.scales[0], data[f"{fmt}_tau"])
    assert np.array_equal(q.integers, data[f"{fmt}_integers"])
    assert np.array_equal(bits(q.decode()), bits(floats(data[f"{fmt}_values"])))


@pytest.mark.parametrize(
    ("fmt", "rule"),
    [*((f, "even") for f in (*MXFP, "mxint8")), *((f, r) for f in ("mxfp4", "mxint8") for r in ("floor", "ceil"))],
)
def test_quark_ocp(fmt: str, rule: str) -> None:
    """Values equal Quark's but where it differs: top binade, float32 log2, MXINT8 below 2^-120, and `even` of MXINT8 (k = 8)."""
    x = ocp_input()
    y = qsim.quantize(x, fmt, convention="quark", scale_rule=rule)
    different = np.any(y != floats(capture("quark_ocp")[f"{fmt}_{rule}"]), axis=-1)
    known = amax(x) >= 2.0**127
    if rule != "even":
        known |= beside_power(x) | (amax(x) < 2.0**-126)
    if fmt == "mxint8":
        known |= amax(x) < 2.0**-120
        known |= (rule == "even") & (2 * np.frexp(amax(x))[0] >= 2 - 2.0**-7) & (2 * np.frexp(amax(x))[0] < 2 - 2.0**-9)
    assert not np.any(different & ~known)
    assert np.count_nonzero(~known) >= 180


@pytest.mark.parametrize("rule", ["floor", "even", "ceil", "rceil"])
@pytest.mark.parametrize("fmt", MXFP)
def test_torchao_mx(fmt: str, rule: str) -> None:
    """Scale and element codes equal torchao's; bugs: elements of scale code 0; RCEIL one exponent low beside powers of two."""
    x, data = ocp_input(), capture("torchao_mx")
    q = qsim.encode(x, fmt, convention="torchao_rceil" if rule == "rceil" else "torchao", scale_rule=rule)
    scale, codes = data[f"{fmt}_{rule}_scale"], data[f"{fmt}_{rule}_codes"]
    low = q.scales[0][:, 0] != scale
    assert np.array_equal(q.scales[0][low, 0], scale[low] + 1)
    assert not np.any(low & ~just_above_power(x, float(q.format.element.largest)))
    assert rule == "rceil" or not np.any(low)
    code_0 = (scale == 0) & (amax(x) > 0)
    exact = ~low & ~code_0
    assert np.array_equal(q.codes[exact], codes[exact])
    assert np.count_nonzero(exact) >= 220


@pytest.mark.parametrize("fmt", MXFP)
def test_ocp_is_the_floor_rule_of_torchao(fmt: str) -> None:
    """Convention `ocp` gives the codes of torchao FLOOR wherever torchao divides by the scale that it stores."""
    data = capture("torchao_mx")
    q = qsim.encode(ocp_input(), fmt, convention="ocp")
    stored = (q.scales[0][:, 0] > 0) | (amax(ocp_input()) == 0)
    assert np.array_equal(q.scales[0][:, 0], data[f"{fmt}_floor_scale"])
    assert np.array_equal(q.codes[stored], data[f"{fmt}_floor_codes"][stored])


@pytest.mark.parametrize("fmt", ["mxfp4", "mxfp8_e4m3"])
def test_modelopt_mx(fmt: str) -> None:
    """Scale and element codes equal ModelOpt's, but for the float32 log2 bug; its MXFP4 writes a zero input as -0."""
    x, data = ocp_input(), capture("modelopt_mx")
    q = qsim.encode(x, fmt, convention="modelopt")
    same = q.scales[0][:, 0] == data[f"{fmt}_scale"]
    assert not np.any(~same & ~just_above_power(x, float(q.format.element.largest)))
    assert np.count_nonzero(same) >= 230
    expected = data[f"{fmt}_codes"][same]
    if fmt == "mxfp4":
        zero = x[same] == 0
        assert np.array_equal(expected[zero], np.full(np.count_nonzero(zero), 8))
        expected = np.where(zero, q.codes[same], expected)
    assert np.array_equal(q.codes[same], expected)


@pytest.mark.parametrize("stack", ["modelopt", "torchao"])
def test_nvfp4(stack: str) -> None:
    """Tensor scale, block scales and element codes equal the stack's; ModelOpt drops the sign of a quotient that is or underflows to -0."""
    data = capture("nvfp4")
    for i, (name, u) in enumerate(zip(data["name"], data["input"], strict=True)):
        x = floats(u)
        q = qsim.encode(x, "nvfp4", convention=stack)
        assert int(q.scales[1]) == int(data[f"{stack}_tensor_scale"][i].reshape(())), name
        assert np.array_equal(q.scales[0][:, 0], data[f"{stack}_scale"][i]), name
        codes = q.codes
        if stack == "modelopt":
            divisor = q.scales[0].view(ml_dtypes.float8_e4m3fn).astype(np.float32) * floats(q.scales[1])
            with np.errstate(under="ignore"):
                codes = np.where(x / divisor == 0, 0, codes)
        assert np.array_equal(codes, data[f"{stack}_codes"][i]), name


@pytest.mark.parametrize(("stack", "fmt"), [("gfloat", "mxint8"), ("pychop", "mxint8"), ("pychop", "mxfp4")])
def test_mx_values(stack: str, fmt: str) -> None:
    """Every value equals gfloat's and pychop's; -128 occurs."""
    expected = floats(capture("mxint8")["gfloat" if stack == "gfloat" else f"pychop_{fmt}"])
    q = qsim.encode(ocp_input(), fmt, convention=stack)
    assert np.array_equal(q.decode(), expected)
    assert fmt == "mxfp4" or np.any(q.codes == 0x80)


@pytest.mark.parametrize("stack", ["onnxruntime", "pytorch"])
def test_uint8(stack: str) -> None:
    """Scale, zero point and codes (PyTorch: values) of each tensor equal the stack's."""
    data = capture("uint8")
    key = "ort" if stack == "onnxruntime" else "torch"
    for i, u in enumerate(data["input"]):
        q = qsim.encode(floats(u), "uint8", convention=stack)
        zero_in_torch = key == "torch" and not np.any(floats(u))
        assert data[f"{key}_scale"][i] == (TORCH_SMALLEST if zero_in_torch else int(q.scales[0]))
        assert q.zero_point is not None
        assert int(q.zero_point) == data[f"{key}_zero_point"][i]
        if key == "ort":
            assert np.array_equal(q.codes, data["ort_codes"][i])
        else:
            assert np.array_equal(q.decode(), floats(data["torch_values"][i]))


@pytest.mark.parametrize("stack", ["onnxruntime", "pytorch"])
def test_int8(stack: str) -> None:
    """Scale and codes of each tensor equal the stack's two calls, which agree with each other."""
    data = capture("int8")
    for i, u in enumerate(data["input"]):
        q = qsim.encode(floats(u), "int8", convention=stack)
        codes = q.codes.view(np.int8)
        if stack == "onnxruntime":
            assert int(q.scales[0]) == data["ort_scale"][i]
            assert np.array_equal(codes, data["ort_codes"][i])
            assert np.array_equal(codes, data["ort_linear"][i])
        else:
            assert data["torch_scale"][i] == (int(q.scales[0]) if np.any(floats(u)) else TORCH_SMALLEST)
            assert np.array_equal(codes, data["torch_codes"][i])
            assert np.array_equal(q.decode(), floats(data["torch_values"][i]))


@pytest.mark.parametrize(
    ("fmt", "key"), [("int8", "ort_codes"), ("int8", "torch_codes"), ("nvfp4", "modelopt_codes"), ("nvfp4", "torchao_codes")]
)
def test_the_inputs_are_sharp(fmt: str, key: str) -> None:
    """Without the convention some code differs from the stack's, so that agreement with it means something."""
    data = capture(fmt)
    magnitude = 0x7 if fmt == "nvfp4" else 0xFF
    pairs = zip(data["input"], data[key].view(np.uint8), strict=True)
    assert any(np.any((qsim.encode(floats(u), fmt).codes ^ codes) & magnitude) for u, codes in pairs)


def test_names_are_sorted_and_complete() -> None:
    """The conventions of the documentation exist, in order."""
    names = convention_names()
    assert list(names) == sorted(names)
    assert set(names) >= {
        "ocp",
        "quark",
        "torchao",
        "torchao_rceil",
        "modelopt",
        "microxcaling",
        "onnxruntime",
        "pytorch",
        "gfloat",
        "pychop",
    }
    assert qsim.convention_names() == names


@pytest.mark.parametrize("name", convention_names())
def test_options_resolve_for_every_format_in_scope(name: str) -> None:
    """For each catalogue format a convention either gives options that resolve or refuses, naming what it knows."""
    known = [key for key in conventions()[name] if key not in TEXTS]
    for fmt in map(load_format, format_names()):
        if fmt.family in known or fmt.name in known:
            resolve_options(fmt, convention_options(name, fmt))
        else:
            with pytest.raises(ValueError, match=f"says nothing about {fmt.name}.*allowed: {', '.join(known)}"):
                convention_options(name, fmt)


@pytest.mark.parametrize("name", convention_names())
def test_evidence_exists(name: str) -> None:
    """Evidence names captures that exist, or says that the source was read and not run."""
    evidence = conventions()[name]["evidence"]
    files = re.findall(r"[a-z0-9_]+\.npz", evidence)
    assert bool(files) != (evidence == "read, not run")
    assert all((FOLDER / f).exists() for f in files)


def test_explicit_options_win() -> None:
    """An option given in the call replaces the convention's; None does not."""
    x = ocp_input()
    ceil = qsim.encode(x, "mxfp4", scale_rule="ceil")
    assert np.array_equal(qsim.encode(x, "mxfp4", convention="quark", scale_rule="ceil").codes, ceil.codes)
    even = qsim.encode(x, "mxfp4", scale_rule="even")
    assert np.array_equal(qsim.encode(x, "mxfp4", convention="quark", scale_rule=None).codes, even.codes)


def test_unknown_convention() -> None:
    """The error names the conventions."""
    with pytest.raises(ValueError, match="unknown convention 'tensorrt'; allowed: gfloat, "):
        convention_options("tensorrt", load_format("mxfp4"))


GOOD = {"title": "t", "source": "s", "evidence": "e", "differs": "d"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"a": 1}, "x.toml: a = 1; allowed: a table"),
        ({"a": GOOD | {"title": ""}}, "x.toml: a.title = ''; allowed: a sentence"),
        ({"a": GOOD}, "x.toml: a has no options"),
        ({"a": GOOD | {"mxfp9": {}}}, "x.toml: a.mxfp9: unknown family or format; allowed: float, "),
        ({"a": GOOD | {"ocp": 3}}, "x.toml: a.ocp = 3; allowed: a table of options"),
        ({"a": GOOD | {"ocp": {"rule": "even"}}}, "x.toml: a.ocp: unknown option 'rule'; allowed: rounding, "),
        ({"a": GOOD | {"ocp": {"scale_rule": "odd"}}}, "x.toml: a.ocp.scale_rule = 'odd'; allowed: floor, even"),
        ({"a": GOOD | {"ocp": {"narrow_range": 0}}}, "x.toml: a.ocp.narrow_range = 0; allowed: True, False"),
        (
            {"a": GOOD | {"nvfp4": {"scale_rule": "even"}}},
            "x.toml: a.nvfp4.scale_rule = 'even'; allowed: nothing, it does not apply",
        ),
    ],
)
def test_a_table_that_lies_is_refused(table: dict[str, Any], message: str) -> None:
    """Each impossible key or value: SpecError with file, key, value and what is allowed."""
    with pytest.raises(SpecError, match=re.escape(message)):
        check_conventions(table, "x.toml")
