"""Mutants of a unit: the exact reference with one mistake of a designer in it; and how many of them a suite catches."""

from qsim.golden.mutants.mutant import Mutant
from qsim.golden.mutants.run import Strength, Verdict, mutants_of, strength

__all__ = ["Mutant", "Strength", "Verdict", "mutants_of", "strength"]
