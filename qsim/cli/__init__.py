"""The command `qsim`. Each command is one file of this folder, imported when it is used, so that --help stays fast."""

from __future__ import annotations

from importlib import import_module

import click

from qsim import __version__
from qsim.cli.common import one_line_errors

#: command -> its line in `qsim --help`; the file qsim/cli/COMMAND.py holds the click object `command`.
COMMANDS = {
    "list": "Names of formats, conventions and requantization presets.",
    "show": "A format or preset with every default explicit, or the fields of a packed word.",
    "encode": "Encode an array: codes and scales, or packed bytes.",
    "decode": "Decode what `encode` wrote.",
    "calibrate": "The range that each calibration method chooses for a tensor, side by side.",
    "explore": "Compare tensors across formats, or layers across datapaths; of files or of the embedded network.",
    "run": "Run a whole network in integers, bit for bit as TFLite does.",
    "golden": "Write golden vectors, or check qsim against them.",
    "verify": "Compare a device's outputs with a suite, and name the first stage that differs.",
    "identify": "Which preset, or which option, explains a device's outputs.",
    "trace": "Every stage of one case of a suite: bits, fields, exact values, rules.",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a file, or None."""
        if name not in COMMANDS:
            return None
        command = import_module(f"qsim.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])  # `list` is a module here, once it is imported

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a user's error becomes one line and exit code 2, an interrupt 130: 1 would be a verdict."""
        try:
            with one_line_errors():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted", err=True)
            ctx.exit(130)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Exit code: 0 done, or all agrees; 1 a mismatch; 2 bad use or bad input, nothing written.",
)
@click.version_option(__version__, prog_name="qsim", message="qsim %(version)s")
def main() -> None:
    """What an accelerator that computes in a narrow number format must output, bit for bit.

    \b
    Example:
      qsim list formats
      qsim show mx9
      qsim encode w.npy mx9 -o w.bin
      qsim decode w.bin -o y.npy
      qsim explore
    """  # noqa: D301 (\b is click's mark for text that is not wrapped)
