"""`Model`: one output of a datapath from packed words, as a design under test gets them on its ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from qsim.codec.qtensor import QTensor
from qsim.datapath.datapaths import load_datapath
from qsim.datapath.matmul import Output
from qsim.datapath.trace import trace
from qsim.layout.arrays import empty_arrays, from_arrays
from qsim.spec import Format, Geometry, SpecError
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.datapath import Datapath
from qsim.spec.float_accumulator import FloatAccumulator
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Narrow, output_type

Words = int | Sequence[int]


@dataclass(frozen=True)
class ModelOutput:
    """result: the output's bit pattern, `bits` wide. value: what it stands for. taps, events: as in Trace, of one output."""

    result: int
    bits: int
    value: int | float
    taps: dict[str, list[Any]]
    events: dict[str, int]


class Model:
    """The live reference of a test bench: `Model(datapath)(activation=words, weight=words)` is one dot product.

    Words are those of rule P3 (or of the datapath's [layout]): a block format has one word a block, every other format one
    word an element. An operand is a list of words, k ascending, or one integer with the first word in its lowest bits, as a
    wide port carries it; the number of elements K is then the argument k, or `k` of the datapath's [ports] table.
    """

    def __init__(self, datapath: str | Path | Datapath, *, k: int | None = None) -> None:
        """A model of `datapath` (name, path or Datapath) for dot products of k elements; None: as many as the words hold."""
        self.datapath = load_datapath(datapath)
        self.k = self.datapath.ports.get("k") if k is None else k
        if self.k is not None and (not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 1):
            raise SpecError(f"k = {self.k!r}; allowed: 1 or more elements")
        if self.datapath.activation is None or self.datapath.weight is None:
            raise SpecError(f"{self.datapath.name} takes any integers: its words have no width; allowed: a datapath with formats")

    def __call__(
        self,
        *,
        activation: Words,
        weight: Words,
        bias: float | None = None,
        activation_scales: Sequence[int] = (),
        weight_scales: Sequence[int] = (),
        a_zero_point: int = 0,
        w_zero_point: int = 0,
        multiplier: int | None = None,
        shift: int | None = None,
        scale: float | None = None,
        out_zero_point: int = 0,
        thresholds: Sequence[int] | None = None,
        clamp: tuple[int, int] | None = None,
    ) -> ModelOutput:
        """One output.

        Args:
            activation: words of the activation's K elements.
            weight: words of the weight's K elements.
            bias: an integer; a float for a float accumulator, and where the requantizer adds it.
            activation_scales: codes of the channel and tensor scales, finest level first; left out: 1.0.
            weight_scales: the same of the weight.
            a_zero_point: of the activation, as an integer.
            w_zero_point: of the weight, as an integer.
            multiplier: for the requantizer, as in `matmul`.
            shift: the same.
            scale: the same.
            out_zero_point: the same.
            thresholds: the same.
            clamp: the same.

        Raises:
            ValueError: words that do not fit, operands of different lengths, and what `matmul` refuses.
        """
        d = self.datapath
        assert d.activation is not None
        assert d.weight is not None
        x, y = (
            self.operand(activation, d.activation, "activation", activation_scales),
            self.operand(weight, d.weight, "weight", weight_scales),
        )
        if x.shape != y.shape:
            raise ValueError(f"activation has {x.shape[1]} elements, weight {y.shape[1]}; allowed: the same number")
        output = Output(multiplier, shift, scale, None, out_zero_point, thresholds, clamp)
        left, right = (self._plain(q, fmt) for q, fmt in ((x, d.activation), (y, d.weight)))
        found = trace(left, right, d, self._bias(bias), (a_zero_point, w_zero_point), output, transposed=True)
        value = found.result.reshape(-1)[0]
        bits = self.result_bits
        pattern = int(value.view(np.uint32)) if value.dtype == np.float32 else int(value) & ((1 << bits) - 1)
        taps = {name: tap[0, 0].tolist() for name, tap in found.taps.items()}
        return ModelOutput(pattern, bits, value.item(), taps, found.events)

    @property
    def result_bits(self) -> int:
        """Width of the result."""
        d = self.datapath
        if isinstance(d.accumulator, FloatAccumulator):
            return 32
        if d.requantizer is not None and d.out_format is not None:
            return Narrow(*output_type(d.out_format)).bits
        if isinstance(d.accumulator, BlockAccumulator):
            return 32
        return d.accumulator.last.bits

    def operand(self, words: Words, fmt: Format, side: str, scales: Sequence[int]) -> QTensor:
        """The (1, K) tensor of an operand's words."""
        if self.datapath.layout is not None:
            fmt = replace(fmt, layout=self.datapath.layout)
        if fmt.layout.scales == "plane":
            raise SpecError(
                f"{side}: {fmt.name} has layout.scales = 'plane'; allowed: 'word' (a port carries words with their scales)"
            )
        found = self._split(words, fmt, side)
        k = len(found) * fmt.block_size if self.k is None else self.k
        geometry = Geometry.of(fmt, (1, k), axis=1, channel_axis=0)
        if len(found) != geometry.words:
            raise ValueError(f"{side} has {len(found)} words; allowed: {geometry.words}, {k} elements of {fmt.name}")
        arrays = empty_arrays(geometry)
        for i, word in enumerate(found):
            place = 0
            for name, width, count in fmt.word_fields:
                for j in range(count):
                    arrays[name][i * count + j] = word >> place & ((1 << width) - 1)
                    place += width
            if word >> place:
                raise ValueError(f"{side}: word {i} has {place} bits of fields and other bits that are not 0: {word:#x}")
        self._fill_scales(arrays, fmt, side, scales)
        arrays["zero_point"][:] = 0
        return from_arrays(arrays, geometry, (1, k))

    def _split(self, words: Words, fmt: Format, side: str) -> list[int]:
        """Words one by one, each inside its width."""
        bits = fmt.word_bits
        if hasattr(words, "__index__"):
            words = integer(words, side)
            if self.k is None:
                raise ValueError(f"{side} is one integer; allowed: with k=, the number of its elements, or a list of words")
            n = -(-self.k // fmt.block_size)
            if not 0 <= words < 1 << n * bits:
                raise ValueError(f"{side} = {words:#x}; allowed: {n} words of {bits} bits")
            return [words >> i * bits & ((1 << bits) - 1) for i in range(n)]
        if isinstance(words, str | bytes):
            raise TypeError(f"{side} = {words!r}; allowed: an integer, or a list of integers")
        found = [integer(word, f"{side}: word") for word in words]
        bad = next((word for word in found if not 0 <= word < 1 << bits), None)
        if bad is not None:
            raise ValueError(f"{side}: word {bad:#x}; allowed: {bits} bits, the word of {fmt.name} (rule P3)")
        return found

    def _fill_scales(self, arrays: dict[str, Any], fmt: Format, side: str, scales: Sequence[int]) -> None:
        """Codes of the levels that stand outside the words; 1.0 where none are given."""
        levels = [(i, s) for i, s in enumerate(fmt.scales) if not isinstance(s.group, int)]
        if scales and len(scales) != len(levels):
            raise ValueError(f"{side}_scales has {len(scales)} codes; allowed: {len(levels)}, or none for 1.0")
        for n, (i, s) in enumerate(levels):
            element = s.float_type
            code = scales[n] if scales else element.bias << element.mantissa_bits
            if not 0 <= code < 1 << s.bits:
                raise ValueError(f"{side}_scales[{n}] = {code}; allowed: {s.bits} bits, a {s.type} code")
            arrays[f"scale{i}"][:] = code

    def _plain(self, q: QTensor, fmt: Format) -> object:
        """What `matmul` takes: integers, so that zero points are arguments, or the tensor itself for other accumulators."""
        return q.integers if isinstance(self.datapath.accumulator, IntAccumulator) else replace(q, format=fmt)

    def _bias(self, bias: float | None) -> Any:
        if bias is None:
            return None
        acc = self.datapath.accumulator
        if isinstance(acc, IntAccumulator) and acc.bias != "float":
            return np.array([integer(bias, "bias")])
        return np.array([bias], np.float32)


def integer(value: object, what: str) -> int:
    """A Python int of an integer of any kind; TypeError for everything else."""
    if not hasattr(value, "__index__") or isinstance(value, bool):
        raise TypeError(f"{what} = {value!r}; allowed: an integer")
    return index(value)
