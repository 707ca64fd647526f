"""Arrays and encoded tensors in files: .npy and .npz in, .npz or .bin with its sidecar out, and back."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsim import __version__
from qsim.cli.common import error_text, written
from qsim.spec import Format, Geometry, Options, format_names, load_format, resolve_options
from qsim.spec.load import parse_format
from qsim.spec.table import format_digest, format_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qsim.codec import QTensor

LAYOUTS = ("block", "planar")
KEYS = ("qsim", "format", "spec", "shape", "axis", "granularity", "channel_axis", "layout", "options", "sha256")


@dataclass(frozen=True)
class Sidecar:
    """What decoding needs besides the bytes."""

    fmt: Format
    geometry: Geometry
    shape: tuple[int, ...]
    layout: str | None
    options: Options
    sha256: str | None


def read_array(path: Path, name: str | None = None) -> NDArray[Any]:
    """The array of a .npy file, or the one named (or only) array of a .npz file."""
    arrays = read_arrays(path)
    if name is None and len(arrays) == 1:
        return next(iter(arrays.values()))
    if name is None or name not in arrays:
        asked = "" if name is None else f"no array {name!r}; "
        raise ValueError(f"{path}: {asked}choose one with --array: {', '.join(arrays) or 'the file is empty'}")
    return arrays[name]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of a .npy (under its stem) or .npz file; ValueError names the file."""
    import numpy as np

    data = path.read_bytes()
    kind = ".npy" if data.startswith(b"\x93NUMPY") else ".npz" if data.startswith(b"PK") else ""
    if not kind:
        raise ValueError(f"{path}: neither a .npy nor a .npz file")
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        return {path.stem: loaded} if kind == ".npy" else {key: loaded[key] for key in loaded.files}
    except Exception as error:  # zip, zlib and the header parser each raise their own kinds on a corrupt file
        raise ValueError(f"{path}: not a readable {kind} file: {error_text(error)}") from None


def save_npy(path: Path, array: NDArray[Any]) -> None:
    """Write a .npy file whole or not at all."""
    import numpy as np

    with written(path) as (file,):
        np.save(file, array, allow_pickle=False)


def save_encoded(path: Path, q: QTensor, fmt: Format, layout: str) -> None:
    """Write OUT.npz (codes, scales, zero_point, metadata) or OUT.bin (packed bytes) with OUT.bin.json."""
    import numpy as np

    facts = _facts(q, fmt)
    if path.suffix == ".bin":
        data = q.pack("planar" if layout == "planar" else "block")
        facts |= {"layout": layout, "sha256": hashlib.sha256(data).hexdigest()}
        with written(path, sidecar_path(path)) as (file, side):
            file.write(data)
            side.write((json.dumps(facts, indent=2) + "\n").encode())
        return
    arrays = {"codes": q.codes, **{f"scale{i}": s for i, s in enumerate(q.scales)}}
    if (zeros := q.zero_point) is not None:
        arrays["zero_point"] = zeros
    with written(path) as (file,):
        np.savez(file, allow_pickle=False, metadata=np.array(json.dumps(facts)), **arrays)


def sidecar_path(path: Path) -> Path:
    """OUT.bin -> OUT.bin.json."""
    return path.with_name(path.name + ".json")


def _facts(q: QTensor, fmt: Format) -> dict[str, Any]:
    return {
        "qsim": __version__,
        "format": fmt.name,
        "spec": format_table(fmt),
        "shape": list(q.shape),
        "axis": q.axis,
        "granularity": q.geometry.fmt.granularity,
        "channel_axis": q.geometry.channel_axis,
        "options": q.options.given(),
    }


def load_encoded(path: Path) -> QTensor:
    """The tensor that `save_encoded` wrote; ValueError names the file that lies."""
    return _load_packed(path) if path.suffix == ".bin" else _load_npz(path)


def _load_packed(path: Path) -> QTensor:
    from qsim.layout import unpack

    data = path.read_bytes()
    side = sidecar_path(path)
    try:
        table = json.loads(side.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{side}: no such file; it states format and shape of {path}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{side}: not JSON: {error}") from None
    facts = read_facts(table, side, packed=True)
    found = hashlib.sha256(data).hexdigest()
    if found != facts.sha256:
        raise ValueError(f"{path}: {len(data)} bytes with sha256 {found}, but {side} states {facts.sha256}")
    try:
        return unpack(
            data,
            facts.fmt,
            facts.shape,
            axis=facts.geometry.axis,
            layout="planar" if facts.layout == "planar" else "block",
            granularity=facts.geometry.fmt.granularity,
            channel_axis=facts.geometry.channel_axis,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_name(fmt: Format) -> None:
    """Refuse a format that bears a catalogue name and means something else: its files could not be told apart."""
    if fmt.name in format_names() and format_digest(fmt) != format_digest(load_format(fmt.name)):
        raise ValueError(
            f"name {fmt.name!r} is that of a catalogue format with other elements, scales or layout; allowed: another name"
        )


def _load_npz(path: Path) -> QTensor:
    import numpy as np

    from qsim.codec.qtensor import QTensor, unsigned_dtype

    arrays = read_arrays(path)
    if "metadata" not in arrays or "codes" not in arrays:
        raise ValueError(f"{path}: no arrays 'metadata' and 'codes'; not written by `qsim encode`")
    try:
        table = json.loads(str(arrays.pop("metadata")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: metadata is not JSON: {error}") from None
    facts = read_facts(table, path, packed=False)
    fmt, geometry = facts.geometry.fmt, facts.geometry
    wanted = {"codes": (facts.shape, fmt.element.bits, unsigned_dtype(fmt.element.bits))}
    for i, (scale, shape) in enumerate(zip(fmt.scales, geometry.scale_shapes, strict=True)):
        wanted[f"scale{i}"] = (shape, scale.bits, unsigned_dtype(scale.bits))
    if fmt.zero_point:
        wanted["zero_point"] = (geometry.scale_shapes[0], fmt.element.bits, np.dtype(np.int32))
    if set(arrays) != set(wanted):
        raise ValueError(f"{path}: arrays {', '.join(sorted(arrays))}; {fmt.name} has {', '.join(sorted(wanted))}")
    for name, (shape, bits, dtype) in wanted.items():
        a = arrays[name]
        if a.shape != shape or a.dtype != dtype:
            raise ValueError(f"{path}: {name} is {a.dtype}{a.shape}; its metadata asks for {dtype}{shape}")
        if a.size and name != "zero_point" and int(a.max()) >> bits:
            raise ValueError(f"{path}: {name} holds {int(a.max())}; allowed: 0 to {(1 << bits) - 1}")
        if a.size and name == "zero_point" and not (fmt.element.qmin <= int(a.min()) and int(a.max()) <= fmt.element.qmax):
            raise ValueError(f"{path}: zero_point leaves {fmt.element.qmin} to {fmt.element.qmax}")
    if fmt.zero_point:
        arrays["zero_point"] = _moved(arrays["zero_point"], geometry, isinstance(fmt.scales[0].group, int))
    scales = tuple(_moved(arrays[f"scale{i}"], geometry, isinstance(s.group, int)) for i, s in enumerate(fmt.scales))
    codes = _moved(arrays["codes"].reshape(geometry.shape), geometry, True)
    return QTensor(fmt, facts.shape, geometry, codes, scales, arrays.get("zero_point"), facts.options)


def _moved(array: NDArray[Any], geometry: Geometry, blocked: bool) -> NDArray[Any]:
    """With `axis` last, as a QTensor holds what runs along it."""
    import numpy as np

    return np.ascontiguousarray(np.moveaxis(array, geometry.axis, -1)) if blocked else array


def read_facts(table: Any, where: Path, *, packed: bool) -> Sidecar:
    """Check the keys of a sidecar or of an .npz file's metadata."""
    keys = tuple(k for k in KEYS if packed or k not in ("layout", "sha256"))
    if not isinstance(table, dict) or sorted(table) != sorted(keys):
        found = ", ".join(map(str, table)) if isinstance(table, dict) else repr(table)
        raise ValueError(f"{where}: keys {found}; wanted: {', '.join(keys)}")
    shape = table["shape"]
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{where}: shape = {shape!r}; allowed: a list of sizes")
    if packed and table["layout"] not in LAYOUTS:
        raise ValueError(f"{where}: layout = {table['layout']!r}; allowed: {', '.join(LAYOUTS)}")
    if not isinstance(table["spec"], dict) or not isinstance(table["options"], dict):
        raise ValueError(f"{where}: spec and options are not both tables")
    try:
        fmt = parse_format(table["spec"])
        if fmt.name != table["format"]:
            raise ValueError(f"format = {table['format']!r}, but spec.name = {fmt.name!r}")
        check_name(fmt)
        geometry = Geometry.of(
            fmt, tuple(shape), axis=table["axis"], granularity=table["granularity"], channel_axis=table["channel_axis"]
        )
        options = resolve_options(fmt, table["options"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None
    return Sidecar(fmt, geometry, tuple(shape), table.get("layout"), options, table.get("sha256"))
