"""`python -m qsim` is `qsim`."""

from qsim.cli import main

main()
