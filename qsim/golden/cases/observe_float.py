"""What a case of float products exercises (rule A3): alignment, rounding, overflow, from its taps."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from qsim.golden.cases.observe import Seen
from qsim.golden.cases.observe_block import of_result, of_rounding
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.reference.numbers import multiply, power
from qsim.spec import FLOAT32


def of_float(unit: Unit, split: Mapping[str, list[int]]) -> Seen:
    """Events of a float accumulator; sums of a tree are not looked into."""
    acc = unit.float
    assert acc is not None
    seen = of_result(split["result"][0])
    a, w = formats(unit)
    nfma = acc.nfma(a.name)
    products = [
        multiply(a.element.value(x), w.element.value(y)) for x, y in zip(split["activation"], split["weight"], strict=True)
    ]
    if any(isinstance(p, str) for p in products) or acc.order == "pairwise" or acc.daz:
        return seen
    exact = [p for p in products if isinstance(p, Fraction)]
    if acc.order == "odd_first":
        exact += [Fraction(0)] * (len(exact) % 2)
        exact = [p for k in range(0, len(exact), 2) for p in (exact[k + 1], exact[k])]
    previous = FLOAT32.value(split.get("bias", [0])[0])
    for number, k in enumerate(range(0, len(exact), nfma)):
        group = exact[k : k + nfma]
        if acc.promote_every and k % acc.promote_every == 0:
            previous = Fraction(0)
        if isinstance(previous, str):
            return seen
        late = acc.c == "late_f32"
        total = sum(group, Fraction(0)) + (0 if late else previous)
        if acc.fraction is not None:
            grid = power(split["exponents"][number] - acc.fraction)
            kept = split["aligned"][number * (nfma + 1) : (number + 1) * (nfma + 1)]
            for value, n in zip(group, kept, strict=False):
                if value != n * grid:
                    seen.add(("Aligned", f"{'-' if value < 0 else '+'} {'to nothing' if abs(value) < grid else 'cut'}"))
                if value and abs(value) < grid:
                    seen.add(("ExtremeExponents", "a product below the last bit"))
            total = grid * sum(kept)
        largest = max([abs(v) for v in group] + [abs(previous)])
        if largest and abs(total) * 16 <= largest:
            seen.add(("Cancellation", "zero" if total == 0 else "sum"))
        seen |= of_rounding("sum", total, acc.result("float32")[0].mantissa_bits)
        previous = FLOAT32.value(split["partial_sums"][number])
    return seen
