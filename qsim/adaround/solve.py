"""`adaptive_round`: weights rounded together, so that a layer's output on calibration data changes least (AdaRound)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import cos, inf, lcm, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.adaround.choices import Choices
from qsim.adaround.exact import MAX_FREE, best_flips
from qsim.adaround.gram import LEFT, Gram, finite
from qsim.codec.encode import encode
from qsim.codec.input import as_float32
from qsim.codec.qtensor import QTensor
from qsim.codec.threads import pieces, run
from qsim.spec import Format
from qsim.spec.random import MASK64

Float64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
ROUNDINGS = ("half_even", "half_away", "half_up", "half_down", "half_zero")
#: Of kicks, and of iterations.
MOST = 1 << 30
#: Rows of this many free weights or fewer are solved exactly by `Coordinate`.
EXACT_FREE = 16


@dataclass(frozen=True)
class Coordinate:
    """Coordinate descent: the flip that helps most, then pairs of flips; then `kicks` random flips of the best, descent again.

    A row of 16 free weights or fewer gets its exact optimum instead.
    """

    kicks: int = 50
    seed: int = 0


@dataclass(frozen=True)
class Exact:
    """All combinations of every row; an error for a row of more than 20 free weights."""


@dataclass(frozen=True)
class Relaxation:
    """The published relaxation (arXiv:2004.10568), with all calibration rows in every step: no random number.

    h = clip(1.2 sigmoid(alpha) - 0.1, 0, 1) minimizes (1/S) ||..||^2 + regularizer * sum(1 - |2h - 1|^beta) by Adam; up where
    alpha >= 0 at the end. beta falls from beta[0] to beta[1] as a cosine; before that, for a share `warm_start` of the
    iterations, there is no regularizer.
    """

    iterations: int = 10_000
    regularizer: float = 0.01
    beta: tuple[float, float] = (20.0, 2.0)
    warm_start: float = 0.2
    learning_rate: float = 1e-3

    def betas(self) -> Float64:
        """Beta of every iteration, 0 in the warm start; a multiple of 2^-20, so that no library's cosine shows."""
        warm = int(self.warm_start * self.iterations)
        high, low = self.beta
        rest = self.iterations - warm
        falling = [low + 0.5 * (high - low) * (1 + cos(pi * i / rest)) for i in range(rest)]
        return np.concatenate([np.zeros(warm), np.rint(np.array(falling) * 2.0**20) * 2.0**-20])


Method = Coordinate | Exact | Relaxation
METHODS: dict[str, Callable[[], Method]] = {"coordinate": Coordinate, "exact": Exact, "relaxation": Relaxation}


def adaptive_round(w: object, fmt: str | Format, x: object, *, method: str | Method = "coordinate", **how: Any) -> QTensor:
    """Encode weights so that ||W X - W_q X||^2 is small: of each weight's two neighbouring codes, chosen together.

    The scales are those of `encode`, and stay. Each row (output) of W is a problem of its own. The result is never worse than
    `encode(w, fmt, ...)` on x, row by row, in exact arithmetic: a row whose gain cannot be proved keeps the nearest codes.
    It does not depend on the number of threads.

    Args:
        w: (N, K), or (N, ...) as a convolution's weight, seen as (N, K): output channels first.
        fmt: any format of `encode`.
        x: calibration activations (S, K), one row an input vector; of a convolution `image_rows`. (G, S, K): G groups, each of
            N / G outputs. Or `Gram.of` of the float32 (S, K), to use them more than once.
        method: "coordinate", "relaxation", "exact", or Coordinate, Relaxation, Exact with settings.
        **how: what `encode` takes: axis, granularity, channel_axis, scales, limits, options. The roundings to nearest only.

    Returns:
        QTensor of w's shape.

    Raises:
        ValueError: shapes that do not fit, no activations, NaN or Inf.
    """
    solver = _method(method)
    weights, grams = _operands(w, x)
    nearest = encode(weights, fmt, **how)
    if nearest.options.rounding not in ROUNDINGS:
        raise ValueError(f"rounding={nearest.options.rounding!r}; allowed: {', '.join(ROUNDINGS)}: what it starts from")
    choices = Choices.of(weights, nearest)
    shape = (len(grams), len(weights) // len(grams), -1)
    real, near, other = (a.reshape(shape) for a in (weights.astype(np.float64), choices.near, choices.other))
    flipped = [_solve(gram, real[g], near[g], other[g], solver) for g, gram in enumerate(grams)]
    return choices.chosen(np.concatenate(flipped).reshape(weights.shape))


def reconstruction_error(w: object, q: QTensor, x: object) -> Float64:
    """||(w - w_q) X||^2 of every output, (N,), in float64; arguments as those of `adaptive_round`."""
    weights, grams = _operands(w, x)
    if q.shape != weights.shape:
        raise ValueError(f"q has shape {q.shape} and w has {weights.shape}; they must be equal")
    shape = (len(grams), len(weights) // len(grams), -1)
    left = (weights.astype(np.float64) - q.decode(np.float64)).reshape(shape)
    return np.concatenate([_energies(gram, np.ldexp(d, gram.exponents))[0] for gram, d in zip(grams, left, strict=True)])


def _method(method: str | Method) -> Method:
    if isinstance(method, Coordinate | Exact | Relaxation):
        solver = method
    elif isinstance(method, str) and method in METHODS:
        solver = METHODS[method]()
    else:
        raise ValueError(f"method={method!r}; allowed: {', '.join(METHODS)}, or Coordinate, Exact, Relaxation")
    if isinstance(solver, Coordinate) and not (_integer(solver.kicks, 0, MOST) and _integer(solver.seed, 0, MASK64)):
        raise ValueError(f"{solver}; allowed: kicks of 0 or more, a seed of 0 to 2^64 - 1")
    if isinstance(solver, Relaxation) and not (
        _integer(solver.iterations, 1, MOST)
        and 0 <= solver.regularizer < inf
        and len(solver.beta) == 2
        and all(1 <= end < inf for end in solver.beta)
        and 0 <= solver.warm_start < 1
        and 0 < solver.learning_rate < inf
    ):
        raise ValueError(
            f"{solver}; allowed: iterations of 1 or more, a regularizer of 0 or more, two betas of 1 or more,"
            " a warm start of 0 to below 1, a learning rate above 0, all finite"
        )
    return solver


def _integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _operands(w: object, x: object) -> tuple[NDArray[np.float32], list[Gram]]:
    """Finite float32 weights, and X^T X of each group."""
    weights = finite("w", as_float32(w))
    if weights.ndim < 2 or weights.size == 0:
        raise ValueError(f"w has shape {weights.shape}; allowed: (outputs, inputs) or (outputs, ...), not empty")
    k = weights.size // len(weights)
    if isinstance(x, Gram):
        if x.x.shape[1] != k:
            raise ValueError(f"x is the Gram matrix of {x.x.shape[1]} inputs; allowed for w of {weights.shape}: of {k}")
        return weights, [x]
    rows = finite("x", as_float32(x))
    stacked = rows[None] if rows.ndim == 2 else rows
    if stacked.ndim != 3 or stacked.shape[2] != k or stacked.shape[1] == 0 or not stacked.size or len(weights) % len(stacked):
        raise ValueError(
            f"x has shape {rows.shape}; allowed for w of {weights.shape}: (samples, {k}) with 1 sample or more,"
            f" or (groups, samples, {k}) with a number of groups that divides {len(weights)}"
        )
    return weights, [Gram.of(part) for part in stacked]


def _solve(gram: Gram, w: Float64, near: Float64, other: Float64, solver: Method) -> Flags:
    """Which weights of the rows take the other code."""
    r, t = np.ldexp(w - near, gram.exponents), np.ldexp(other - near, gram.exponents)
    t[:, np.diagonal(gram.matrix) == 0.0] = 0.0
    free = np.count_nonzero(t, axis=1)
    limit = {Coordinate: EXACT_FREE, Exact: MAX_FREE, Relaxation: 0}[type(solver)]
    if isinstance(solver, Exact) and free.max() > limit:
        n = int(np.argmax(free > limit))
        raise ValueError(f"output {n} has {free[n]} free weights; allowed for method 'exact': {limit} or fewer")
    small = free <= limit
    flipped = np.zeros(t.shape, bool)
    if small.any():
        flipped[small] = _exact_rows(gram, w[small], near[small], other[small], t[small] != 0)
    rest = np.flatnonzero(~small)
    if rest.size:
        found = (
            _relaxed(gram, r[rest], t[rest], solver) if isinstance(solver, Relaxation) else _descended(gram, r, t, rest, solver)
        )
        flipped[rest] = found & _proved(gram, r[rest], r[rest] - np.where(found, t[rest], 0.0))[:, None]
    return flipped


def _exact_rows(gram: Gram, w: Float64, near: Float64, other: Float64, free: Flags) -> Flags:
    """The exact optimum of each row."""
    chosen = np.flatnonzero(free.any(axis=0)).tolist()
    columns = np.flatnonzero((w != near).any(axis=0)).tolist()
    both = sorted({*chosen, *columns})
    table, _ = gram.exact(chosen, both)
    scale = [Fraction(2) ** int(e) for e in gram.exponents]
    result = np.zeros(free.shape, bool)
    for n in range(len(w)):
        live = [k for k in chosen if free[n, k]]
        step = {k: (Fraction(other[n, k]) - Fraction(near[n, k])) * scale[k] for k in live}
        left = {k: (Fraction(w[n, k]) - Fraction(near[n, k])) * scale[k] for k in columns if w[n, k] != near[n, k]}
        unit = lcm(*(v.denominator for v in (*step.values(), *left.values())))
        t = {k: int(v * unit) for k, v in step.items()}
        r = {k: int(v * unit) for k, v in left.items()}
        rows = {k: dict(zip(both, table[chosen.index(k)], strict=True)) for k in live}
        a = [[t[i] * t[j] * rows[i][j] for j in live] for i in live]
        c = [-t[i] * sum(rows[i][k] * r[k] for k in r) for i in live]
        result[n, [live[i] for i in best_flips(a, c)]] = True
    return result


def _descended(gram: Gram, r: Float64, t: Float64, rest: NDArray[np.int64], solver: Coordinate | Exact) -> Flags:
    from qsim.kernels.adaround import KICK_WORDS, descend
    from qsim.kernels.random import counter_words

    assert isinstance(solver, Coordinate)
    left, step, flipped = r[rest], t[rest], np.zeros((rest.size, t.shape[1]), bool)
    words = np.empty((rest.size, solver.kicks, KICK_WORDS), np.uint32)
    counter_words(solver.seed, 0, 32, words.reshape(-1))
    run(lambda n, _: descend(gram.matrix, left[n], step[n], words[n], flipped[n]), pieces(rest.size, 1, piece=1))
    return flipped


def _relaxed(gram: Gram, r: Float64, t: Float64, solver: Relaxation) -> Flags:
    """The relaxation between the lower and the upper of two values."""
    from qsim.kernels.adaround import relax

    step, start = np.abs(t), np.where(t < 0, r - t, r)
    fraction = np.clip(np.divide(start, step, out=np.zeros_like(start), where=step > 0), 0.0, 1.0)
    up, betas, samples = np.zeros(t.shape, bool), solver.betas(), float(len(gram.x))
    settings = (solver.regularizer, solver.learning_rate)

    def rows(n: slice, _: slice) -> None:
        relax(gram.matrix, start[n], step[n], fraction[n], samples, betas, *settings, up[n])

    run(rows, pieces(len(t), 1, piece=1))
    found: Flags = np.where(t < 0, ~up, up) & (t != 0)
    return found


def _proved(gram: Gram, nearest: Float64, found: Float64) -> Flags:
    """Rows for which `found` is not worse than `nearest` whatever the rounding errors of both energies are."""
    before, error = _energies(gram, nearest)
    after, more = _energies(gram, found)
    better: Flags = after + more <= before - error
    return better


def _energies(gram: Gram, d: Float64) -> tuple[Float64, Float64]:
    """d^T X^T X d of every row, and a bound of its error.

    The bound: each of K^2 products and sums is within 2^-53 of what is at most (sum |d| sqrt(G_kk))^2; G itself within 64 such
    units (a few limb sums, each at most 4 sqrt(G_kk G_ll)) and within S * LEFT; d, a rounded difference, within one unit.
    """
    from qsim.kernels.adaround import energies

    result, size = np.empty(len(d)), np.empty((len(d), 2))
    run(lambda n, _: energies(gram.matrix, d[n], result[n], size[n]), pieces(len(d), 1, piece=1))
    relative = (2 * d.shape[1] + 100) * 2.0**-52
    return result, size[:, 0] * relative + size[:, 1] ** 2 * (len(gram.x) * LEFT)
