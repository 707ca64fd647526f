"""The bits that a method's formula counts on."""

from __future__ import annotations

import numpy as np

from qsim.codec.limits import RANGED
from qsim.spec import Format, load_format


def level_bits(bits: int | None, fmt: str | Format | None) -> int:
    """`bits`, or those of the format's element; 8 if neither is given."""
    if fmt is not None:
        fmt = load_format(fmt)
        width = fmt.element.bits
        if fmt.family not in RANGED:
            raise ValueError(f"fmt={fmt.name} (family {fmt.family}) has no range to choose; allowed: {', '.join(RANGED)}")
        if bits is not None and bits != width:
            raise ValueError(f"bits={bits} with a format of {width} bits an element; allowed: one of the two")
        bits = width
    bits = 8 if bits is None else bits
    if not isinstance(bits, int | np.integer) or isinstance(bits, bool) or not 2 <= bits <= 16:
        raise ValueError(f"bits={bits!r}; allowed: 2 to 16")
    return int(bits)
