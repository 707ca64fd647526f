"""python -m benchmarks NAME: one module a topic."""

import click

from benchmarks import calibrate, codec, dot, gemm, golden, lowbit, requantize


@click.group(help=__doc__)
def main() -> None:
    pass


main.add_command(calibrate.command)
main.add_command(codec.command)
main.add_command(dot.command)
main.add_command(gemm.command)
main.add_command(golden.command)
main.add_command(lowbit.command)
main.add_command(requantize.command)
main()
