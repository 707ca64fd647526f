"""Adaptive rounding: weights rounded together against calibration activations."""

from qsim.adaround.gram import Gram
from qsim.adaround.rows import image_rows
from qsim.adaround.solve import Coordinate, Exact, Relaxation, adaptive_round, reconstruction_error

__all__ = ["Coordinate", "Exact", "Gram", "Relaxation", "adaptive_round", "image_rows", "reconstruction_error"]
