"""`qsim encode`: an array of a file, in a format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qsim.cli.common import refuse_overwrite
from qsim.cli.files import LAYOUTS, check_name, read_array, save_encoded
from qsim.spec import CHOICES, ROUNDINGS, load_format, resolve_options


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("format_", metavar="FORMAT")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="OUT.npz (codes) or OUT.bin (packed, with OUT.bin.json)."
)
@click.option("--array", "array_name", help="Which array of an .npz file that holds several.")
@click.option("--axis", type=int, default=-1, show_default=True, help="Dimension along which blocks run.")
@click.option("--granularity", help="tensor, channel or a group size: where one float scale reaches (formats with one).")
@click.option("--channel-axis", type=int, default=0, show_default=True, help="Dimension of the channels.")
@click.option("--rounding", type=click.Choice(ROUNDINGS), help="Rounding of elements; half_even unless given.")
@click.option("--convention", help="Options as a real stack sets them; see `qsim list conventions`.")
@click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option that `qsim show FORMAT` lists; may be repeated."
)
@click.option("--seed", type=int, help="Seed of the random words of --rounding stochastic.")
@click.option(
    "--layout", type=click.Choice(LAYOUTS), default="block", show_default=True, help="Order of the packed bytes of OUT.bin."
)
def command(
    source: Path,
    format_: str,
    out: Path,
    array_name: str | None,
    axis: int,
    granularity: str | None,
    channel_axis: int,
    rounding: str | None,
    convention: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    layout: str,
) -> None:
    """Encode the array of IN (.npy or .npz) in FORMAT, a name of the catalogue or the path of a .toml file.

    \b
    Example:
      qsim encode weights.npy mx9 -o weights.bin
      qsim encode weights.npy int4 --granularity 128 --set narrow_range=false -o weights.npz
      qsim encode acts.npz mxfp8_e4m3 --array x --rounding stochastic --seed 1 -o acts.bin
    """  # noqa: D301
    if out.suffix not in (".npz", ".bin"):
        raise ValueError(f"-o {out}: allowed: a name that ends in .npz (codes and scales) or .bin (packed bytes)")
    refuse_overwrite(out, source)
    fmt = load_format(format_)
    options = parse_settings(settings)
    if rounding is not None and options.setdefault("rounding", rounding) != rounding:
        raise ValueError(f"--rounding {rounding} and --set rounding={options['rounding']} contradict each other")
    group = parse_granularity(granularity)
    fmt.with_granularity(group)
    check_name(fmt)

    from qsim.codec import encode
    from qsim.codec.conventions import convention_options

    chosen = (convention_options(convention, fmt) if convention else {}) | options
    stochastic = resolve_options(fmt, chosen).rounding == "stochastic"
    if stochastic != (seed is not None):
        raise ValueError(f"--seed {seed}: allowed: a seed with --rounding stochastic, and only with it (rule R2)")
    x = read_array(source, array_name)
    try:
        q = encode(x, fmt, axis=axis, granularity=group, channel_axis=channel_axis, random=seed, **chosen)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{source}: {error}") from error
    save_encoded(out, q, fmt, layout)


def parse_granularity(text: str | None) -> int | str | None:
    """`tensor`, `channel` or a number."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else text


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """option=value pairs, each value typed as the option's allowed values are."""
    options: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in CHOICES:
            raise ValueError(f"--set {setting}: allowed: OPTION=VALUE with OPTION one of {', '.join(CHOICES)}")
        if name in options:
            raise ValueError(f"--set {setting}: {name} is given twice")
        values = {str(v).lower(): v for v in CHOICES[name][0]}
        if text.lower() not in values:
            raise ValueError(f"--set {setting}: {name}={text!r} is not allowed; allowed: {', '.join(values)}")
        options[name] = values[text.lower()]
    return options
