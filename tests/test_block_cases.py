"""Block dot products of many cases (rule A2): from packed words to packed taps, kernels against the exact reference; texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qsim.codec.qtensor import QTensor
from qsim.datapath.datapaths import load_datapath
from qsim.datapath.float_presets import load_float_accumulator
from qsim.golden.bulk_draws import AHEAD, Tape, random_drafts
from qsim.golden.cases import random
from qsim.golden.cases.draft import Words
from qsim.golden.columns import as_bytes, as_words, from_values, to_bytes, to_patterns
from qsim.golden.digits import from_digits, from_literals, literals, strings, to_digits
from qsim.golden.patterns import from_ints, to_ints
from qsim.golden.readmem import parse_memory
from qsim.golden.unit import Port, Unit
from qsim.golden.unit_kernels import evaluate_many, words_of
from qsim.golden.unit_reference import evaluate
from qsim.golden.write_suite import datapath_unit
from qsim.spec import load_format
from qsim.spec.block_accumulator import BlockAccumulator
from qsim.spec.datapath import Datapath
from qsim.spec.int_accumulator import IntAccumulator
from qsim.spec.requantizer import Narrow
from tests.test_block_dot import EXACT, problems, tensor, vsq16_and_e5m2


def columns_of(unit: Unit, a: QTensor, w: QTensor, bias: np.ndarray | None) -> dict[str, list[int]]:
    """Patterns of the inputs: row i of a with row i of w."""
    n, found = min(a.shape[0], w.shape[0]), {}
    for side, q in (("activation", a), ("weight", w)):
        fmt, scales = q.geometry.fmt, q.scales_moved
        blocks = [codes[:n].astype(np.int64) for s, codes in zip(fmt.scales, scales, strict=True) if isinstance(s.group, int)]
        found[side] = to_patterns(words_of(q.codes_moved[:n].astype(np.int64), blocks, fmt, unit.k))
        outer = [codes for s, codes in zip(fmt.scales, scales, strict=True) if not isinstance(s.group, int)]
        for port, codes in zip([p for p in unit.inputs if p.name.startswith(f"{side}_scale")], outer, strict=False):
            found[port.name] = [int(codes.reshape(-1)[i if codes.size > 1 else 0]) for i in range(n)]
    if bias is not None:
        found["bias"] = [int(v) for v in bias.view(np.uint32)[np.arange(n), np.arange(n)]]
    return found


def check(a: QTensor, w: QTensor, acc: BlockAccumulator, c: np.ndarray | None) -> None:
    """Every tap and result of every case, or a refusal where the reference refuses."""
    d = Datapath("d", acc, a.geometry.fmt, w.geometry.fmt)
    unit = Unit("dot", d, None, a.shape[1], parameters=() if c is None else ("bias",))
    columns = columns_of(unit, a, w, c)
    for i in range(len(columns["activation"])):
        case = {name: column[i] for name, column in columns.items()}
        try:
            expected = evaluate(unit, case)
        except ValueError:
            with pytest.raises(ValueError, match="rule"):
                evaluate_many(unit, {name: [value] for name, value in case.items()})
            return
        assert {n: f[0] for n, f in evaluate_many(unit, {n: [v] for n, v in case.items()}).items()} == expected
    whole = evaluate_many(unit, columns)
    assert [{name: column[i] for name, column in whole.items()} for i in range(len(columns["activation"]))] == [
        evaluate(unit, {name: column[i] for name, column in columns.items()}) for i in range(len(columns["activation"]))
    ]


@pytest.mark.kernels
@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_cases_equal_the_reference(problem: tuple[Any, ...]) -> None:
    """evaluate_many(unit, columns)[port][i] == evaluate(unit, case i)[port], for any codes, formats and accumulator."""
    assume(problem[0].shape[1])
    check(*problem)


@pytest.mark.kernels
def test_taps_of_more_than_64_bits() -> None:
    """Sums of 32 products of 57344 * 57344 and one of 2^-16 * 2^-16, in every kind of accumulator."""
    rng = np.random.default_rng(1)
    a, w = tensor("mxfp8_e5m2", 1, 64, rng), tensor("mxfp8_e5m2", 1, 64, rng)
    for q in (a, w):
        q.codes_moved[:] = load_format("mxfp8_e5m2").element.max_code
        q.codes_moved[0, 31] = 1
        q.scales_moved[0][:] = 127
    w.codes_moved[0, 40:] |= 0x80
    for lsb in (-40, -31, -16, 0):
        check(a, w, BlockAccumulator("fixed", lsb=lsb, sums=IntAccumulator(bits=62, overflow="wrap")), None)
    for fraction in (2, 25, 40):
        check(a, w, BlockAccumulator("float", unit=replace(load_float_accumulator("hopper"), fraction=fraction), nfma=2), None)
    check(a, w, EXACT, None)
    check(a, w, replace(EXACT, dot=Narrow(57, True, "wrap")), None)


@pytest.mark.kernels
def test_long_sums_in_integer_registers() -> None:
    """A block sum in two words, cut to its register, enters integer registers whole."""
    a, w = vsq16_and_e5m2()
    check(a, w, BlockAccumulator("integer", dot=Narrow(50, True, "wrap"), sums=IntAccumulator(bits=62)), None)


@settings(max_examples=50)
@given(bits=st.integers(1, 200), data=st.data())
def test_digits_are_those_of_python(bits: int, data: Any) -> None:
    """Texts of words are format(word, "0nx") and "0nb"; texts, bytes and 64-bit words of patterns read back."""
    values = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=1, max_size=6))
    words, port = from_ints(values, bits), Port("p", "tap", bits)
    hexadecimal, binary = [f"{v:0{-(-bits // 4)}x}" for v in values], [f"{v:0{bits}b}" for v in values]

    assert strings(to_digits(words, bits)) == hexadecimal
    assert strings(to_digits(words, bits, "bin")) == binary
    assert literals(words, bits) == [f"0x{text}" for text in hexadecimal]
    for radix, texts in (("hex", hexadecimal), ("bin", binary)):
        found = from_digits(to_digits(words, bits, radix), bits, radix)
        assert found is not None
        assert to_ints(found) == values
        for lines in (texts, [text.upper() for text in texts]):
            memory = parse_memory(("// p\n" + "".join(f"{line}\n" for line in lines)).encode(), bits, radix, "p")
            assert (to_ints(memory.words), memory.unknown, memory.ids) == (values, None, None)
    found = from_literals(literals(words, bits), bits)
    assert found is not None
    assert to_ints(found) == values
    assert as_words(as_bytes(words, port)).tolist() == words.tolist()
    assert to_patterns(to_bytes(values, port)) == values


@pytest.mark.parametrize("text", ["0x1F", "0x_1", "1234", "0X12", "0x1", "0x123", "0x1g", "0x80", None, 7])
def test_other_texts_are_no_words_of_seven_bits(text: Any) -> None:
    assert from_literals([text], 7) is None
    assert from_literals(["0x7f"], 7) is not None


def test_a_regular_text_with_a_bit_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="p:2: '80' is no word of 7 bits"):
        parse_memory(b"7f\n80\n", 7, "hex", "p")
    assert to_patterns(from_values(np.array([[5]]), Port("p", "tap", 7))) == [5]


@pytest.mark.parametrize(
    "name", ["tflite_conv", "mx9_bdr", "vsq4_int24", "nvfp4_tcgen05", "mxfp4_tcgen05", "hopper_fp8/fp8_e4m3"]
)
def test_bulk_draws_the_same_cases(name: str) -> None:
    """random_drafts(unit, seed, n) is the first n of stream(unit, seed), ports in the same order."""
    unit = datapath_unit(load_datapath(name), "dot")
    for seed in (0, (1 << 64) - 1):
        expected, found = list(random(unit, seed, 6)), random_drafts(unit, seed, 6)
        assert found == expected
        assert [list(d.inputs) for d in found] == [list(d.inputs) for d in expected]


def test_words_made_ahead_are_those_of_splitmix64() -> None:
    plain, ahead = Words(5, 2), Tape(5, 2)
    for low, high in ((0, 0), (0, 1), (-3, 3), (0, 255), (0, (1 << 64) - 1), (0, 1 << 64), (5, 5)):
        assert plain.between(low, high) == ahead.between(low, high)
    assert [next(plain) for _ in range(AHEAD + 3)] == [next(ahead) for _ in range(AHEAD + 3)]
    assert plain.bits(200) == ahead.bits(200)
