"""Which design gave these outputs: presets, single options and pairs of them, ranked by how many cases of a suite agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsim.golden.identify.arguments import SCALES
from qsim.golden.identify.search import PAIRS, SECONDS, Bound, Candidate, Search, confirmed, ranked
from qsim.golden.identify.target import Target
from qsim.golden.outputs import Column, Outputs, from_array, read_outputs
from qsim.golden.suite import Suite, read_suite
from qsim.golden.unit import Unit

__all__ = ["Bound", "Candidate", "Identification", "identify", "investigate"]

CONFIRMED = 256  # cases of the best candidate that the reference computes again


@dataclass(frozen=True)
class Identification:
    """What was found. candidates: the best first. mismatches: cases that the suite's own datapath gets wrong.

    ports: outputs that were given.
    """

    suite: Suite
    source: str
    candidates: tuple[Candidate, ...]
    mismatches: int
    bound: Bound
    ports: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether a candidate explains every case."""
        return bool(self.candidates) and self.candidates[0].agrees

    @property
    def port(self) -> str:
        """The port that speaks for the outputs."""
        return "result" if "result" in self.ports else self.ports[-1]

    @property
    def best(self) -> tuple[Candidate, ...]:
        """The candidates that gave the same as the best one on the whole suite."""
        return tuple(c for c in self.candidates if c.group == self.candidates[0].group)


def identify(outputs: Any, suite: Suite | str | Path, **how: Any) -> list[Candidate]:
    """Designs that may have made a device's outputs, the best first.

    Args:
        outputs: a file or folder as `qsim verify` reads it, an array of results, a mapping of ports to arrays, or `Outputs`.
        suite: the suite whose inputs the device got, or the path of its file.
        how: keywords of `investigate`.
    """
    return list(investigate(outputs, suite, **how).candidates)


def investigate(
    outputs: Any, suite: Suite | str | Path, *, scales: Any = None, pairs: int = PAIRS, seconds: float = SECONDS
) -> Identification:
    """The same with what was searched.

    Args:
        outputs: as of `identify`.
        suite: as of `identify`.
        scales: (input, weight, output) float32 scales, numbers or one a case: each preset prepares its multiplier from them (rule
            Q4). None: what the suite's cases state is converted.
        pairs: how many pairs of options are tried where no preset and no single option agrees; 0: none.
        seconds: after which nothing more is tried.
    """
    suite = suite if isinstance(suite, Suite) else read_suite(Path(suite))
    given = as_outputs(outputs, suite.unit)
    target = Target(given, suite, stated_scales(scales, len(suite.cases)))
    search = Search(target, seconds, pairs)
    candidates = ranked(search, search())
    candidates[0] = confirmed(candidates[0], target, CONFIRMED)
    mismatches = int((~search.found[0].right).sum())
    return Identification(suite, given.source, tuple(candidates), mismatches, search.bound, tuple(target.got))


def stated_scales(scales: Any, cases: int) -> tuple[Any, Any, Any] | None:
    """Three float32 arrays, one value a case; ValueError for anything else."""
    if scales is None:
        return None
    if isinstance(scales, Mapping):
        missing = [name for name in SCALES if name not in scales]
        if missing:
            raise ValueError(f"scales: no {', '.join(missing)}; wanted: {', '.join(SCALES)}")
        scales = [scales[name] for name in SCALES]
    if len(scales) != len(SCALES):
        raise ValueError(f"scales: {len(scales)} arrays; allowed: {', '.join(SCALES)}")
    found = []
    for name, values in zip(SCALES, scales, strict=True):
        array = np.asarray(values, np.float32)
        if array.shape not in ((), (1,), (cases,)):
            raise ValueError(f"scales: {name} has shape {array.shape}; allowed: one number, or one of each of {cases} cases")
        found.append(np.broadcast_to(array.reshape(-1), (cases,)).copy())
    return found[0], found[1], found[2]


def as_outputs(outputs: Any, unit: Unit) -> Outputs:
    """Outputs of a path, of an array of results, or of arrays by port."""
    if isinstance(outputs, Outputs):
        return outputs
    if isinstance(outputs, str | Path):
        return read_outputs(Path(outputs), unit)
    arrays = outputs if isinstance(outputs, Mapping) else {"result": outputs}
    return Outputs({name: Column(from_array(np.asarray(a), unit.port(name), name)) for name, a in arrays.items()}, "arrays")
