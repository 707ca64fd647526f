"""NETWORK.toml and its .npz -> IntegerNetwork. Unknown key, missing array, wrong shape: SpecError with file, layer, key, allowed.

The arrays lie in the .npz file of the same name, or the one named by `arrays`. Layer L has the arrays `L.weight` (int8),
`L.weight_scale` (float32, one or one an output channel) and, where it has a bias, `L.bias` (int32); the keys weight,
weight_scale and bias name others.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.datapath.activation_range import ACTIVATIONS
from qsim.datapath.datapaths import load_datapath
from qsim.datapath.windows import Padding
from qsim.explore.integer_network import IntegerLayer, IntegerNetwork, Quantization, Weight, Window
from qsim.explore.integer_shapes import output_shape
from qsim.spec.datapath import Datapath
from qsim.spec.error import SpecError
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.load import read_table

EMBEDDED = ("digits", "mlp")
TOP_KEYS = ("name", "title", "arrays", "input", "layer")
INPUT_KEYS = ("shape", "scale", "zero_point")
COMMON = ("name", "kind", "input")
WEIGHT = ("weight", "weight_scale", "bias", "datapath")
OUTPUT = ("scale", "zero_point", "activation")
CONV = (*COMMON, *WEIGHT, *OUTPUT, "stride", "padding", "dilation")
POOL = (*COMMON, "activation", "filter", "stride", "padding")
#: kind -> keys of its table.
KEYS: dict[str, tuple[str, ...]] = {
    "conv2d": CONV,
    "depthwise_conv2d": CONV,
    "fully_connected": (*COMMON, *WEIGHT, *OUTPUT),
    "max_pool2d": POOL,
    "average_pool2d": POOL,
    "add": (*COMMON, *OUTPUT),
    "mul": (*COMMON, *OUTPUT),
    "reshape": (*COMMON, "shape"),
}
#: kind -> axes of the weight, and the datapath unless the layer names one.
WEIGHTS = {
    "conv2d": (("O", "kh", "kw", "I"), "tflite_conv"),
    "depthwise_conv2d": (("1", "kh", "kw", "O"), "tflite_conv"),
    "fully_connected": (("O", "K"), "tflite_fully_connected"),
}
Arrays = dict[str, NDArray[Any]]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """What a layer may refer to: the arrays, the folder of relative paths, and the tensors before it."""

    arrays: Arrays
    arrays_file: Path
    folder: Path
    tensors: dict[str, tuple[tuple[int, ...], Quantization]]
    used: set[str]


def load_integer_network(network: str | Path) -> IntegerNetwork:
    """An embedded network by name, or a user's by the path of its TOML file. SpecError for anything else and a file that lies."""
    text = str(network)
    if text in EMBEDDED:
        return read_integer_network(Path(__file__).with_name(f"{text}_int8.toml"))
    if not text.endswith(".toml"):
        raise SpecError(f"unknown network {text!r}; allowed: {', '.join(EMBEDDED)}, or the path of a .toml file")
    return read_integer_network(Path(text))


def read_integer_network(path: Path) -> IntegerNetwork:
    """Load and check one file and its arrays."""
    table, where = read_table(path), str(path)
    _known(table, TOP_KEYS, where)
    given = _typed(table.get("input", {}), dict, f"{where}: input", "a table")
    _known(given, INPUT_KEYS, f"{where}: input")
    quantization = _quantization(given, f"{where}: input")
    shape = _sizes(given, "shape", f"{where}: input", range(1, 5))
    layers = _typed(table.get("layer", []), list, f"{where}: layer", "[[layer]] tables")
    if not layers or not all(isinstance(layer, dict) for layer in layers):
        raise SpecError(f"{where}: layer = {layers!r}; allowed: one [[layer]] table or more")
    file = path.parent / _text(table, "arrays", where, f"{path.stem}.npz")
    source = Source(read_npz(file), file, path.parent, {"input": (shape, quantization)}, set())
    found: list[IntegerLayer] = []
    for i, layer in enumerate(layers):
        found.append(_layer(layer, i, source, found[-1].name if found else "input", where))
        source.tensors[found[-1].name] = found[-1].shape, found[-1].quantization
    if unused := sorted(set(source.arrays) - source.used):
        raise SpecError(
            f"{file}: arrays that no layer of {path.name} uses: {', '.join(unused)}; allowed: {', '.join(source.used)}"
        )
    return IntegerNetwork(
        name=_text(table, "name", where, path.stem),
        title=_text(table, "title", where, ""),
        shape=shape,
        quantization=quantization,
        layers=tuple(found),
        files=(path, file),
    )


def read_npz(path: Path) -> Arrays:
    """Every array of a .npz file, or SpecError."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:
            return {key: data[key] for key in data.files}
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file; it holds the network's arrays") from None
    except Exception as error:  # zip, zlib and the header parser each raise their own kinds on a corrupt file
        raise SpecError(f"{path}: not a readable .npz file: {error or type(error).__name__}") from None


def _layer(table: dict[str, Any], index: int, source: Source, previous: str, where: str) -> IntegerLayer:
    """One [[layer]] table."""
    name = table.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or name in source.tensors:
        raise SpecError(f"{where}: layer {index}: name = {name!r}; allowed: letters, digits and _.-, no name twice, not input")
    where = f"{where}: layer {name!r}"
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KEYS:
        raise SpecError(f"{where}: kind = {kind!r}; allowed: {', '.join(KEYS)}")
    _known(table, KEYS[kind], f"{where} ({kind})")
    inputs = _inputs(table, source, previous, 2 if kind in ("add", "mul") else 1, where)
    quantization = _quantization(table, where) if "scale" in KEYS[kind] else source.tensors[inputs[0]][1]
    weight = _weight(table, name, kind, source, where) if kind in WEIGHTS else None
    window = _window(table, kind, weight, where) if kind.endswith("2d") else None
    wanted = _sizes(table, "shape", where, range(1, 5)) if "shape" in table else None
    codes = None if weight is None else weight.codes.shape
    try:
        shape = output_shape(kind, [source.tensors[name][0] for name in inputs], codes, window, wanted)
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None
    return IntegerLayer(
        name=name,
        kind=kind,
        inputs=inputs,
        shape=shape,
        quantization=quantization,
        activation=_choice(table, "activation", tuple(ACTIVATIONS), where),
        weight=weight,
        window=window,
    )


def _inputs(table: dict[str, Any], source: Source, previous: str, count: int, where: str) -> tuple[str, ...]:
    given = table.get("input", previous)
    names = given if isinstance(given, list) else [given]
    if len(names) != count or not all(isinstance(name, str) and name in source.tensors for name in names):
        wanted = "one name" if count == 1 else "a list of two names"
        raise SpecError(f"{where}: input = {given!r}; allowed: {wanted} of {', '.join(source.tensors)}")
    return tuple(names)


def _weight(table: dict[str, Any], name: str, kind: str, source: Source, where: str) -> Weight:
    """The arrays of a layer and its datapath."""
    axes, default = WEIGHTS[kind]
    codes = _array(table, "weight", name, source, where)
    if codes.dtype != np.int8 or codes.ndim != len(axes) or 0 in codes.shape or (axes[0] == "1" and len(codes) != 1):
        raise SpecError(f"{where}: weight is {codes.dtype} of shape {codes.shape}; allowed: int8 of shape ({', '.join(axes)})")
    outputs = codes.shape[axes.index("O")]
    scale = np.atleast_1d(_array(table, "weight_scale", name, source, where))
    if scale.dtype != np.float32 or scale.shape not in ((1,), (outputs,)):
        raise SpecError(
            f"{where}: weight_scale is {scale.dtype} of shape {scale.shape}; allowed: float32 of shape (1,) or ({outputs},)"
        )
    if not np.all(np.isfinite(scale) & (scale > 0)):
        raise SpecError(
            f"{where}: weight_scale holds {scale[~(np.isfinite(scale) & (scale > 0))][0]}; allowed: positive and finite"
        )
    bias = None
    if "bias" in table or f"{name}.bias" in source.arrays:
        bias = _array(table, "bias", name, source, where)
        if bias.dtype != np.int32 or bias.shape != (outputs,):
            raise SpecError(f"{where}: bias is {bias.dtype} of shape {bias.shape}; allowed: int32 of shape ({outputs},)")
    return Weight(codes, scale, bias, _datapath(table, default, source, where))


def _array(table: dict[str, Any], key: str, name: str, source: Source, where: str) -> NDArray[Any]:
    array = _text(table, key, where, f"{name}.{key}")
    if array not in source.arrays:
        found = ", ".join(source.arrays) or "none"
        raise SpecError(f"{where}: {key}: no array {array!r} in {source.arrays_file}; allowed: {found}")
    source.used.add(array)
    return source.arrays[array]


def _datapath(table: dict[str, Any], default: str, source: Source, where: str) -> Datapath:
    """A datapath that takes int8 codes and gives them, its multiplier prepared from scales."""
    name = _text(table, "datapath", where, default)
    path = source.folder / name if name.endswith(".toml") else name
    try:
        datapath = load_datapath(path)
    except SpecError as error:
        raise SpecError(f"{where}: datapath: {error}") from None
    q = datapath.requantizer
    formats = {f.name for f in (datapath.activation, datapath.weight) if f is not None}
    reason = ""
    if not isinstance(datapath.accumulator, IntAccumulator) or datapath.accumulator.bias == "float":
        reason = "an integer accumulator, its bias first or last"
    elif q is None or datapath.out_format != "int8" or (q.prep.kind == "fixed" and q.prep.shift is None):
        reason = "a requantizer that gives int8 from a scale"
    elif q.prep.kind in ("one", "thresholds") or q.zero_point != "after":
        reason = "a requantizer with a scale, which adds the zero point at the end"
    elif formats - {"int8"}:
        reason = "int8 operands"
    if reason:
        raise SpecError(f"{where}: datapath = {name!r}; allowed: a datapath with {reason}")
    return datapath


def _window(table: dict[str, Any], kind: str, weight: Weight | None, where: str) -> Window:
    taps = weight.codes.shape[1:3] if weight is not None else _sizes(table, "filter", where, (2,))
    strides = _sizes(table, "stride", where, (2,), (taps[0], taps[1]) if kind.endswith("pool2d") else (1, 1))
    given = table.get("padding", "valid")
    padding: Padding = (
        given
        if given in ("same", "valid")
        else tuple(_typed(given, list, f"{where}: padding", "'valid', 'same' or [top, bottom, left, right]"))
    )
    dilation = _sizes(table, "dilation", where, (2,), (1, 1))
    return Window((taps[0], taps[1]), (strides[0], strides[1]), (dilation[0], dilation[1]), padding)


def _quantization(table: dict[str, Any], where: str) -> Quantization:
    scale, zero = table.get("scale"), table.get("zero_point")
    with np.errstate(over="ignore"):
        single = np.float32(scale) if isinstance(scale, int | float) and not isinstance(scale, bool) else np.float32("nan")
    if not (np.isfinite(single) and single > 0):
        raise SpecError(f"{where}: scale = {scale!r}; allowed: a number, positive and finite in float32")
    if type(zero) is not int or not -128 <= zero <= 127:
        raise SpecError(f"{where}: zero_point = {zero!r}; allowed: -128 to 127")
    return Quantization(single, zero)


def _sizes(
    table: dict[str, Any], key: str, where: str, lengths: range | tuple[int, ...], default: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """A list of sizes, as many as `lengths` allows."""
    if key not in table and default is not None:
        return default
    value = table.get(key)
    if not isinstance(value, list) or len(value) not in lengths or not all(type(n) is int and 1 <= n <= 1 << 20 for n in value):
        count = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else str(lengths[0])
        raise SpecError(f"{where}: {key} = {value!r}; allowed: a list of {count} integers, 1 to 1048576")
    return tuple(value)


def _choice(table: dict[str, Any], key: str, allowed: tuple[str, ...], where: str) -> str:
    value = table.get(key, allowed[0])
    if value not in allowed:
        raise SpecError(f"{where}: {key} = {value!r}; allowed: {', '.join(allowed)}")
    return str(value)


def _text(table: dict[str, Any], key: str, where: str, default: str) -> str:
    return str(_typed(table.get(key, default), str, f"{where}: {key}", "a string"))


def _typed(value: Any, kind: type, where: str, allowed: str) -> Any:
    if not isinstance(value, kind):
        raise SpecError(f"{where} = {value!r}; allowed: {allowed}")
    return value


def _known(table: dict[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key, value in table.items():
        if key not in allowed:
            raise SpecError(f"{where}: unknown key {key!r} = {value!r}; allowed: {', '.join(allowed)}")
