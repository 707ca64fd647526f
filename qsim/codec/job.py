"""One encode on its way to a kernel: the pieces of its arrays, on threads, and the scales of a tensor or its channels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsim.codec.frame import Frame
from qsim.codec.lanes import LANES, lanes_decoder
from qsim.codec.lower import element_params
from qsim.codec.qtensor import QTensor
from qsim.codec.threads import pieces, run
from qsim.spec import Counter

Array = NDArray[Any]
Call = Callable[[slice, slice, Array, Array, Array, Array], int]
FUSED_PIECE = 1 << 18
NO_WORDS = np.zeros((0, 0), np.uint32)


@dataclass(frozen=True)
class Job:
    """One encode: the QTensor to fill, the input (axis moved last, contiguous float32), the random words.

    words: uint32 laid out as x, empty without stochastic rounding, or a Counter where x is in C order of the input.
    limits: (largest positive, largest negative) magnitude pattern of each outermost scale, to use instead of x's own, or None.
    values: an array laid out as x to decode into piece by piece; the codes are then not kept.
    """

    q: QTensor
    x: NDArray[np.float32]
    words: NDArray[np.uint32] | Counter
    given: bool
    limits: tuple[NDArray[np.uint32], NDArray[np.uint32]] | None = None
    values: NDArray[np.float32] | None = None

    @property
    def add(self) -> Array:
        """The rounding mode as the portable kernels take it, int64[4]."""
        from qsim.kernels.rounding import addends

        return np.asarray(addends(self.q.options.rounding))

    @property
    def lane_add(self) -> tuple[int, ...] | None:
        """The rounding mode as the vector kernels take it: None for half_even."""
        return None if self.q.options.rounding == "half_even" else tuple(int(a) for a in self.add)

    @property
    def params(self) -> Any:
        """The element as kernels take it."""
        return element_params(self.q.format, self.q.options)

    def lanes(self, frame: Frame, k: int | None = None) -> bool:
        """Whether the vector kernels may take this call; k: the block size of a format with blocks, which must all be whole."""
        from qsim.kernels.jit import JIT

        if not JIT:
            return False
        from qsim.kernels.vector import available

        o = self.q.options
        plain = o.subnormals == "keep" and o.nonfinite == "nan_block" and o.arithmetic == "exact" and o.division == "exact"
        short = o.rounding != "stochastic" or o.random_bits <= 8
        whole = k is None or (k % LANES == 0 and frame.length % k == 0)
        return bool(available() and plain and short and whole)

    def run(self, frame: Frame, call: Call, unit: int = 1) -> int:
        """call(rows, columns, x, u, codes, words) on each piece; 0 or the first bad status."""
        if self.values is not None:
            return self._run_fused(frame, call, unit)
        x = frame.view(self.x)
        codes = frame.view(self.q.codes_moved)
        words_of = self.piece_words(frame)
        u = x.view(np.uint32)

        def task(r: slice, c: slice) -> int:
            return int(call(r, c, x[r, c], u[r, c], codes[r, c], words_of(r, c)))

        statuses = run(task, pieces(frame.rows, frame.length, unit))
        frame.restore(codes, self.q.codes_moved)
        return next((s for s in statuses if s), 0)

    def piece_words(self, frame: Frame) -> Callable[[slice, slice], Array]:
        """The words of a piece; those of a Counter are made when they are needed."""
        if not isinstance(self.words, Counter):
            words = frame.view(self.words) if self.words.size else NO_WORDS
            return lambda r, c: words[r, c] if words.size else words
        from qsim.kernels.random import counter_words

        seed, bits = self.words.seed, self.q.options.random_bits

        def made(r: slice, c: slice) -> Array:
            shape = (r.stop - r.start, c.stop - c.start)
            out = scratch("words", shape[0] * shape[1], np.dtype(np.uint32))
            counter_words(seed, r.start * frame.length + c.start, bits, out)
            return out.reshape(shape)

        return made

    def _run_fused(self, frame: Frame, call: Call, unit: int) -> int:
        """As run, each piece decoded while its codes are in the cache."""
        assert self.values is not None
        x = frame.view(self.x)
        values = np.empty_like(x) if frame.swap else self.values.reshape(x.shape)
        words_of = self.piece_words(frame)
        u = x.view(np.uint32)
        decode = lanes_decoder(self.q, frame, values)
        assert decode is not None
        dtype = self.q.codes_moved.dtype

        def task(r: slice, c: slice) -> int:
            part = x[r, c]
            codes = scratch("codes", part.size, dtype).reshape(part.shape)
            status = int(call(r, c, part, u[r, c], codes, words_of(r, c)))
            if not status:
                decode(r, c, codes)
            return status

        statuses = run(task, pieces(frame.rows, frame.length, max(unit, LANES), FUSED_PIECE))
        frame.restore(values, self.values)
        return next((s for s in statuses if s), 0)


_local = threading.local()


def scratch(name: str, n: int, dtype: np.dtype[Any]) -> Array:
    """An uninitialized array of this thread's own, n elements, kept for the next piece."""
    buffer = getattr(_local, name, None)
    if buffer is None or buffer.nbytes < n * dtype.itemsize:
        buffer = np.empty(n * dtype.itemsize, np.uint8)
        setattr(_local, name, buffer)
    return np.asarray(buffer[: n * dtype.itemsize].view(dtype))


def flat_words(words: Array) -> Array | None:
    """The words as the vector kernels take them: None if not stochastic."""
    return words.reshape(-1) if words.size else None
