"""How a range is chosen (rules C): calibrators that see batches, merge, and give limits to encode.

ranges = qsim.ranges.OCTAV(bits=4, axis=0)
for batch in batches:
    ranges.observe(batch)
q = qsim.encode(x, "int4", granularity="channel", limits=ranges)
"""

from qsim.ranges.absmax import AbsMax
from qsim.ranges.analytic import Analytic
from qsim.ranges.calibrator import Calibrator
from qsim.ranges.ema import EMA
from qsim.ranges.kl import KL
from qsim.ranges.mean_minmax import MeanMinMax
from qsim.ranges.minmax import MinMax
from qsim.ranges.mse import MSE
from qsim.ranges.octav import OCTAV
from qsim.ranges.percentile import Percentile
from qsim.ranges.search import search_scales

__all__ = ["EMA", "KL", "MSE", "OCTAV", "AbsMax", "Analytic", "Calibrator", "MeanMinMax", "MinMax", "Percentile", "search_scales"]
