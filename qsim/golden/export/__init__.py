"""Golden vectors as files that simulators, C and Python read, and back: docs/golden.md."""

from qsim.golden.export.read import import_suite
from qsim.golden.export.write import FORMATS, export, only

__all__ = ["FORMATS", "export", "import_suite", "only"]
