"""The words of a tensor, one by one (rule P3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsim.codec.qtensor import QTensor
from qsim.layout.arrays import to_arrays
from qsim.layout.plan import word_sections
from qsim.layout.stream import write


def to_words(q: QTensor) -> list[int]:
    """One Python int a block word, in C order with `axis` moved last; the byte order of memory does not enter."""
    limbs = to_limbs(q)
    if limbs.shape[1] == 1:
        return [int(word) for word in limbs[:, 0]]
    data, size = limbs.tobytes(), 8 * limbs.shape[1]
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]


def to_limbs(q: QTensor) -> NDArray[np.uint64]:
    """The words as rows of uint64 limbs, the least significant first: shape (words, limbs)."""
    limbs = -(-q.format.word_bits // 64)
    data, _ = write(word_sections(q.geometry, 64 * limbs), to_arrays(q))
    return np.frombuffer(data, np.uint64).reshape(-1, limbs)
