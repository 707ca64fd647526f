"""formats/NAME.toml or a user's file -> Format. Unknown key, impossible value: SpecError with file, key, value, allowed."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from qsim.spec.error import SpecError
from qsim.spec.format import MAX_GROUP, Format, Layout
from qsim.spec.number import ELEMENT_KINDS, SPECIALS, Element, Scale, check_scale_type, float_element

TOP_KEYS = ("name", "title", "source", "not_verified", "zero_point", "element", "scale", "layout", "published")
ELEMENT_KEYS = ("kind", "bits", "exponent_bits", "mantissa_bits", "bias", "specials", "lsb_exponent")
#: Keys of [element] beside `kind`, by kind.
KIND_KEYS: dict[str, tuple[str, ...]] = {
    "float": ("exponent_bits", "mantissa_bits", "bias", "specials"),
    "int": ("bits", "lsb_exponent"),
    "sign_magnitude": ("bits", "lsb_exponent"),
    "uint": ("bits",),
    "binary": (),
    "ternary": (),
}
PUBLISHED_KEYS = ("effective_bits", "word_bits", "largest", "smallest")


def data_folder(name: str) -> Path:
    """The folder `formats` or `golden`: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = {"formats": package / "formats", "golden": package / "golden" / "data"}[name]
    return inside if inside.is_dir() else package.parent / name


def format_names() -> tuple[str, ...]:
    """Names of the catalogue, sorted."""
    return tuple(sorted(p.stem for p in data_folder("formats").glob("*.toml")))


def load_format(name_or_path: str | Path | Format) -> Format:
    """A catalogue format by name, or a user's by the path of its TOML file.

    Raises SpecError (a ValueError) for a name that is not in the catalogue and for a file that lies.
    """
    if isinstance(name_or_path, Format):
        return name_or_path
    text = str(name_or_path)
    if not text.endswith(".toml"):
        if text in format_names():
            return _load_catalogue(text)
        raise SpecError(f"unknown format {text!r}; allowed: {', '.join(format_names())}, or the path of a .toml file")
    return read_format(Path(text))


@cache
def _load_catalogue(name: str) -> Format:
    return read_format(data_folder("formats") / f"{name}.toml")


def read_table(path: Path) -> dict[str, Any]:
    """The parsed TOML file, or SpecError."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path}: not a readable TOML file: {error}") from None


def read_format(path: Path) -> Format:
    """Load and check one file."""
    try:
        return parse_format(read_table(path))
    except SpecError as error:
        text = str(error)
        raise SpecError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def parse_format(table: dict[str, Any]) -> Format:
    """Check a parsed table and build the Format."""
    _known(table, TOP_KEYS, "")
    published = table.get("published", {})
    _typed(published, dict, "published", "a table")
    _known(published, PUBLISHED_KEYS, "published.")
    scales = table.get("scale", [])
    if not isinstance(scales, list) or not all(isinstance(s, dict) for s in scales):
        raise SpecError(f"scale = {scales!r}; allowed: [[scale]] tables, finest first")
    notes = table.get("not_verified", [])
    if not isinstance(notes, list) or not all(isinstance(n, str) for n in notes):
        raise SpecError(f"not_verified = {notes!r}; allowed: a list of sentences")
    name = _text(table, "name", required=True)
    if not name.isidentifier():
        raise SpecError(f"name = {name!r}; allowed: letters, digits and _")
    parsed = tuple(_scale(s, i) for i, s in enumerate(scales))
    fmt = Format(
        name=name,
        element=_element(table.get("element")),
        scales=parsed,
        zero_point=_boolean(table, "zero_point"),
        title=_text(table, "title"),
        source=_text(table, "source"),
        not_verified=tuple(notes),
        layout=parse_layout(table.get("layout", {}), sum(isinstance(s.group, int) for s in parsed)),
    )
    if fmt.layout.byte_order == "big" and fmt.block_scales and fmt.word_bits % 8:
        raise SpecError(f"layout.byte_order = 'big' with words of {fmt.word_bits} bits; allowed: whole bytes (see layout.align)")
    return fmt


def _element(table: object) -> Element:
    if table is None:
        raise SpecError("key 'element' is missing; every format has an [element] table")
    _typed(table, dict, "element", "a table")
    assert isinstance(table, dict)
    _known(table, ELEMENT_KEYS, "element.")
    kind = _choice(table, "kind", ELEMENT_KINDS, "element.")
    fixed = {"binary": 1, "ternary": 2}
    wanted = KIND_KEYS[kind]
    for key in table:
        if key != "kind" and key not in wanted:
            raise SpecError(
                f"element.{key} = {table[key]!r} does not apply to kind {kind!r}; allowed: {', '.join(('kind', *wanted))}"
            )
    if kind == "float":
        exponent = _integer(table, "exponent_bits", 1, 8, "element.")
        mantissa = _integer(table, "mantissa_bits", 0, 10, "element.")
        specials = _choice(table, "specials", SPECIALS, "element.")
        if exponent + mantissa < 2 or (specials == "ieee" and (mantissa < 1 or exponent < 2)):
            raise SpecError(
                f"element.exponent_bits = {exponent} with mantissa_bits = {mantissa} and specials = {specials!r} leaves no values"
            )
        element = float_element(exponent, mantissa, specials)
        if "bias" in table:
            bias = _integer(table, "bias", -64, 127, "element.")
            element = float_element(exponent, mantissa, specials, bias)
        if element.emin < -126 or element.emax > 127:
            raise SpecError(
                f"element.bias = {element.bias}: exponents {element.emin} to {element.emax} leave float32; allowed: -126 to 127"
            )
        return element
    if kind in fixed:
        return Element(kind, fixed[kind])
    bits = _integer(table, "bits", 1 if kind == "uint" else 2, 16, "element.")
    lsb = -(bits - 2) if kind == "sign_magnitude" else 0
    if "lsb_exponent" in table:
        lsb = _integer(table, "lsb_exponent", -32, 32, "element.")
    return Element(kind, bits, lsb_exponent=lsb)


def _scale(table: dict[str, Any], i: int) -> Scale:
    where = f"scale[{i}]."
    _known(table, ("type", "group"), where)
    try:
        kind = check_scale_type(table.get("type"))
    except SpecError as error:
        raise SpecError(f"{where}{error}") from None
    group = table.get("group")
    if group not in ("tensor", "channel") and not (
        isinstance(group, int) and not isinstance(group, bool) and 1 <= group <= MAX_GROUP
    ):
        raise SpecError(f"{where}group = {group!r}; allowed: 1 to {MAX_GROUP}, 'channel' or 'tensor'")
    assert isinstance(group, int | str)
    if kind in ("E8M0", "E1M0") and not isinstance(group, int):
        raise SpecError(f"{where}group = {group!r}; a scale of type {kind} needs an integer group")
    return Scale(kind, group)


def parse_layout(table: object, levels: int) -> Layout:
    """A [layout] table for a format with so many block scale levels."""
    _typed(table, dict, "layout", "a table")
    assert isinstance(table, dict)
    _known(table, ("fields", "scales", "bit_order", "byte_order", "align"), "layout.")
    if not table:
        return Layout()
    names = ("element", *(f"scale{i}" for i in range(levels)))
    given = table.get("fields", list(names))
    if not isinstance(given, list) or sorted(map(str, given)) != sorted(names):
        raise SpecError(f"layout.fields = {given!r}; allowed: an order of {list(names)}")
    fields = tuple(given)
    return Layout(
        fields=() if fields == names else fields,
        scales=_choice(table, "scales", ("word", "plane"), "layout.", "word"),
        bit_order=_choice(table, "bit_order", ("lsb", "msb"), "layout.", "lsb"),
        byte_order=_choice(table, "byte_order", ("little", "big"), "layout.", "little"),
        align=_integer(table, "align", 1, 1024, "layout.") if "align" in table else 1,
    )


def _known(table: dict[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key, value in table.items():
        if key not in allowed:
            raise SpecError(f"unknown key '{where}{key}' = {value!r}; allowed: {', '.join(allowed)}")


def _typed(value: object, kind: type, key: str, allowed: str) -> None:
    if not isinstance(value, kind):
        raise SpecError(f"{key} = {value!r}; allowed: {allowed}")


def _text(table: dict[str, Any], key: str, *, required: bool = False) -> str:
    if required and key not in table:
        raise SpecError(f"key '{key}' is missing")
    value = table.get(key, "")
    _typed(value, str, key, "a string")
    return str(value)


def _boolean(table: dict[str, Any], key: str) -> bool:
    value = table.get(key, False)
    _typed(value, bool, key, "true or false")
    return bool(value)


def _integer(table: dict[str, Any], key: str, low: int, high: int, where: str) -> int:
    if key not in table:
        raise SpecError(f"key '{where}{key}' is missing; allowed: {low} to {high}")
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SpecError(f"{where}{key} = {value!r}; allowed: {low} to {high}")
    return value


def _choice(table: dict[str, Any], key: str, allowed: tuple[str, ...], where: str, default: str | None = None) -> str:
    if key not in table and default is None:
        raise SpecError(f"key '{where}{key}' is missing; allowed: {', '.join(allowed)}")
    value = table.get(key, default)
    if value not in allowed:
        raise SpecError(f"{where}{key} = {value!r}; allowed: {', '.join(allowed)}")
    return str(value)
