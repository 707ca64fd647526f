"""`qsim decode`: the values of what `qsim encode` wrote."""

from __future__ import annotations

from pathlib import Path

import click

from qsim.cli.common import refuse_overwrite
from qsim.cli.files import load_encoded, save_npy


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="OUT.npy.")
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True, help="Type of the values."
)
def command(source: Path, out: Path, dtype: str) -> None:
    """Decode IN.npz, or IN.bin with its sidecar IN.bin.json, to the values that it stands for.

    \b
    Example:
      qsim decode weights.bin -o decoded.npy
    """  # noqa: D301
    if source.suffix not in (".npz", ".bin"):
        raise ValueError(f"{source}: allowed: a .npz or .bin file that `qsim encode` wrote")
    if out.suffix != ".npy":
        raise ValueError(f"-o {out}: allowed: a name that ends in .npy")
    refuse_overwrite(out, source)
    save_npy(out, load_encoded(source).decode(dtype))
