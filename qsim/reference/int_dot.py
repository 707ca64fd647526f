"""Rule A1 in Python ints: one dot product on its way through the registers of an integer accumulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsim.reference.requantize import narrow, shifted
from qsim.spec.int_accumulator import IntAccumulator


@dataclass(frozen=True)
class Dot:
    """What a dot product gives: its value, every value on the way by tap, and how often each register changed one (A4)."""

    value: int
    taps: dict[str, list[int]]
    events: dict[str, int]


class _Registers:
    """The registers of an accumulator, counting events."""

    def __init__(self, acc: IntAccumulator) -> None:
        self.narrows, self.events = acc.narrows, dict.fromkeys(acc.registers, 0)

    def enter(self, name: str, value: int, k: int) -> int:
        """What the register keeps; k is the first of the products that the value sums."""
        if name not in self.narrows:
            return value
        register = self.narrows[name]
        low, high = register.range
        if register.overflow == "error" and not low <= value <= high:
            raise ValueError(f"value {value} leaves {register.bits} bits at {name}, k = {k}; allowed: {low} to {high} (rule A1)")
        kept = narrow(value, value, register)
        self.events[name] += kept != value
        return kept


def dot(a: Sequence[int], w: Sequence[int], acc: IntAccumulator, *, a_zero: int = 0, w_zero: int = 0, bias: int = 0) -> Dot:
    """The sum of (a - a_zero) * (w - w_zero), and the bias, as `acc` sums them."""
    K, registers = len(a), _Registers(acc)
    correction = K * a_zero * w_zero - a_zero * sum(w) - w_zero * sum(a)
    if acc.zero_points == "before":
        a, w, correction = [x - a_zero for x in a], [y - w_zero for y in w], 0
    if acc.zero_points == "folded":
        bias += correction
    if acc.bias == "float" and bias:
        raise ValueError(f"bias {bias} with accumulator.bias = 'float'; allowed: 0, the requantizer adds it (rule A1)")

    products = [product(x * y, acc, registers, k) for k, (x, y) in enumerate(zip(a, w, strict=True))]
    lane_sums = [registers.enter("lane", sum(products[k : k + acc.lanes]), k) for k in range(0, K, acc.lanes)]
    start = registers.enter("bias", bias, 0) if acc.bias == "first" else 0
    taps = {"products": products, "lane_sums": lane_sums}
    if acc.order == "tree":
        value, taps["partial_sums"] = tree(lane_sums, acc, registers)
    elif acc.order == "chunked":
        value, taps["partial_sums"], taps["spill"] = chunked(start, lane_sums, acc, registers)
    else:
        taps["partial_sums"] = sequential(start, lane_sums, 0, acc, registers)
        value = [start, *taps["partial_sums"]][-1]
    if acc.zero_points == "after":
        value = registers.enter("zero_points", value + correction, K)
        taps["corrected"] = [value]
    if acc.bias == "last":
        value = registers.enter("bias", value + bias, K)
    return Dot(value, taps | {"accumulator": [value]}, registers.events)


def product(exact: int, acc: IntAccumulator, registers: _Registers, k: int) -> int:
    """One product after its shift, rounding and register."""
    return exact if acc.product is None else registers.enter("product", shifted(exact, acc.product, 0)[0], k)


def sequential(value: int, terms: Sequence[int], k: int, acc: IntAccumulator, registers: _Registers) -> list[int]:
    """The accumulator after each add; k is the first product of the first term."""
    sums = []
    for term in terms:
        value = registers.enter("accumulator", value + term, k)
        sums.append(value)
        k += acc.lanes
    return sums


def chunked(value: int, terms: Sequence[int], acc: IntAccumulator, registers: _Registers) -> tuple[int, list[int], list[int]]:
    """A new sum from 0 for every chunk, each added to the spill register: its last value, both registers after each add."""
    assert acc.chunk is not None
    each = acc.chunk // acc.lanes
    partial: list[int] = []
    spills: list[int] = []
    for j in range(0, len(terms), each):
        partial += sequential(0, terms[j : j + each], j * acc.lanes, acc, registers)
        value = registers.enter("spill", value + partial[-1], j * acc.lanes)
        spills.append(value)
    return value, partial, spills


def tree(terms: Sequence[int], acc: IntAccumulator, registers: _Registers) -> tuple[int, list[int]]:
    """Adjacent pairs level by level, an odd last one passes up: the root, and every sum in the order of the levels."""
    if len(terms) < 2:
        root = [registers.enter("accumulator", term, 0) for term in terms]
        return sum(root), root
    nodes = [(term, j * acc.lanes) for j, term in enumerate(terms)]
    sums = []
    while len(nodes) > 1:
        odd = nodes[len(nodes) // 2 * 2 :]
        nodes = [
            (registers.enter("accumulator", left + right, k), k)
            for (left, k), (right, _) in zip(nodes[::2], nodes[1::2], strict=False)
        ]
        sums += [value for value, _ in nodes]
        nodes += odd
    return nodes[0][0], sums
