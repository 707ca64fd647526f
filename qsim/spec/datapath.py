"""A datapath: what an accelerator does from operand codes to output codes, as frozen facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.error import SpecError
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.format import Format, Layout
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Interval, Narrow, Requantizer, output_type

if TYPE_CHECKING:
    from qsim.spec.safe_bits import SafeBits

Accumulator = IntAccumulator | FloatAccumulator | BlockAccumulator
MAX_INTEGER_BITS = 32


@dataclass(frozen=True)
class Datapath:
    """Operand formats, accumulator, requantizer, output format and clamp of one accelerator (rules A and Q).

    activation, weight: the operands' formats; None: any integers of at most 32 bits (with an IntAccumulator only).
    accumulator: how products are summed. Its kind says what the operands are: integers (IntAccumulator), plain floats
        (FloatAccumulator), formats with block scales (BlockAccumulator).
    requantizer, out_format, clamp: what turns an integer accumulator into output codes; None: the accumulator is the result.
    ports: the ports of a design under test, as the file states them. layout: another order of the operands' words (P2, P3).
    table: the parsed file that it was read from, what it names by a path in place; None if it was made in Python.
    """

    name: str
    accumulator: Accumulator
    activation: Format | None = None
    weight: Format | None = None
    requantizer: Requantizer | None = None
    out_format: str | None = None
    clamp: tuple[int, int] | None = None
    ports: Mapping[str, Any] = field(default_factory=dict)
    layout: Layout | None = None
    title: str = ""
    source: str = ""
    verified_by: str = ""
    not_verified: str = ""
    table: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse operands that the accumulator cannot sum, and a requantizer that gets no integers."""
        acc, formats = self.accumulator, (self.activation, self.weight)
        if isinstance(acc, IntAccumulator):
            for side, fmt in zip(("activation", "weight"), formats, strict=True):
                if fmt is not None and (fmt.element.is_float or fmt.block_scales):
                    kind = "block scales" if fmt.block_scales else "float elements"
                    raise SpecError(
                        f"{side}.format = {fmt.name!r} has {kind}; allowed with an integer accumulator: integer formats"
                    )
            self.check_lanes()
        elif None in formats:
            raise SpecError(
                "activation.format and weight.format are missing; allowed to be left out: with an integer accumulator"
            )
        elif isinstance(acc, FloatAccumulator):
            names = [name for name, _ in acc.operands]
            for side, fmt in zip(("activation", "weight"), formats, strict=True):
                if fmt is not None and fmt.name not in names:
                    raise SpecError(f"{side}.format = {fmt.name!r}; allowed for {acc.name}: {', '.join(names)}")
        if self.requantizer is not None and not self.gives_integers:
            raise SpecError("requantizer with an accumulator that gives floats; allowed: with one that gives integers")
        if self.requantizer is None and (self.out_format is not None or self.clamp is not None):
            raise SpecError("out_format and clamp without a requantizer preset; allowed: [requantizer] preset = NAME")
        self._check_blocks()
        self._check_output()
        wants_float = isinstance(acc, IntAccumulator) and acc.bias == "float"
        if wants_float and (self.requantizer is None or self.requantizer.prep.kind != "f32"):
            raise SpecError("accumulator.bias = 'float' is added by a requantizer of kind f32; allowed: such a preset")

    def _check_blocks(self) -> None:
        """Block formats that the accumulator can sum together."""
        acc, formats = self.accumulator, [fmt for fmt in (self.activation, self.weight) if fmt is not None]
        if not isinstance(acc, BlockAccumulator):
            return
        names = " and ".join(fmt.name for fmt in formats)
        sizes = {fmt.block_size for fmt in formats if fmt.block_scales}
        if len(sizes) != 1:
            raise SpecError(f"formats {names}; allowed: blocks of the same size, or one operand without block scales (rule A2)")
        if acc.into == "integer" and any(s.kind in ("exponent", "float") for fmt in formats for s in fmt.block_scales):
            raise SpecError(
                f"formats {names} with into = 'integer'; allowed: UINT block scales or none, or into fixed or float (A2)"
            )
        acc.sum_length(max(sizes))
        acc.promoted_terms(max(sizes))

    def _check_output(self) -> None:
        """Output format, clamp and ports."""
        if not self.name:
            raise SpecError("name = ''; allowed: a name")
        if self.out_format is not None:
            low, high = Narrow(*output_type(self.out_format)).range
            if self.clamp is not None and not low <= self.clamp[0] <= self.clamp[1] <= high:
                raise SpecError(f"clamp = {list(self.clamp)}; allowed: {low} <= low <= high <= {high}, {self.out_format}")
        for key in ("k", "m", "n"):
            value = self.ports.get(key, 1)
            if type(value) is not int or value < 1:
                raise SpecError(f"ports.{key} = {value!r}; allowed: 1 or more")

    @property
    def gives_integers(self) -> bool:
        """Whether the accumulator hands integers on."""
        acc = self.accumulator
        return isinstance(acc, IntAccumulator) or (isinstance(acc, BlockAccumulator) and acc.into == "integer")

    def operand_interval(self, side: str) -> Interval:
        """Lowest and highest integer of an operand, `activation` or `weight`."""
        fmt = self.activation if side == "activation" else self.weight
        if fmt is None:
            return -(1 << (MAX_INTEGER_BITS - 1)), (1 << MAX_INTEGER_BITS) - 1
        return fmt.element.qmin, fmt.element.qmax

    def operand_format(self, side: str) -> Format:
        """The format of an operand, `activation` or `weight`, in the datapath's layout; SpecError where it has none."""
        fmt = self.activation if side == "activation" else self.weight
        if fmt is None:
            raise SpecError(f"{self.name} takes any integers: its words have no width; allowed: a datapath with formats")
        return fmt if self.layout is None else replace(fmt, layout=self.layout)

    def check_lanes(self) -> None:
        """SpecError where a sum of lanes could leave int64."""
        acc = self.accumulator
        if isinstance(acc, IntAccumulator) and self.activation is not None and self.weight is not None:
            acc.lane_interval(self.operand_interval("activation"), self.operand_interval("weight"))

    def safe_bits(self, w: Any, x_range: tuple[int, int], *, a_zero_point: int = 0, bias: Any = None) -> SafeBits:
        """The smallest accumulator that no activation inside x_range overflows, one width an output channel (rule A4).

        Args:
            w: (K, N) integer weights, an array or nested lists, zero points taken off (where they come off after the sum,
                weights with zero points have no width that holds for all activations).
            x_range: lowest and highest activation code.
            a_zero_point: the activation's zero point, taken off before or after the sum as the accumulator does.
            bias: (N,) integers, or None.

        Returns:
            Widths for any order of the products and for this accumulator's order; exact, but behind a product or lane register
            that wraps or gives 0 only safe.
        """
        from qsim.spec.safe_bits import safe_bits, with_zero_point

        if not isinstance(self.accumulator, IntAccumulator):
            raise SpecError(f"{self.name}: safe_bits is for integer accumulators (rule A4)")
        if a_zero_point and self.accumulator.zero_points != "before":
            return with_zero_point(w, x_range, self.accumulator, a_zero_point, bias)
        low, high = x_range
        return safe_bits(w, (low - a_zero_point, high - a_zero_point), self.accumulator, bias=bias)
