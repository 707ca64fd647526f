"""Integer accumulation (rule A1): kernels against the reference, instructions of real machines, orders, errors, safe widths (A4)."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from qsim.codec import set_num_threads
from qsim.datapath import accumulate as engine
from qsim.datapath.accumulate import accumulate, accumulate_taps, tap_sizes
from qsim.datapath.int_operands import operands
from qsim.datapath.requantize import requantize
from qsim.kernels.int_dot import sum_products
from qsim.reference.int_dot import Dot, dot
from qsim.spec import SpecError
from qsim.spec.int_accumulator import ADD_OVERFLOWS, IntAccumulator
from qsim.spec.requantizer import Amount, Narrow, Step
from qsim.spec.safe_bits import SafeBits, safe_bits
from tests.strategies import int_accumulators

kernels = pytest.mark.kernels

VPDPBUSD = IntAccumulator(32, "wrap", lanes=4, bias="first")
VPDPBUSDS = IntAccumulator(32, "saturate", lanes=4, bias="first")
VPMADDUBSW = IntAccumulator(32, "wrap", lanes=2, lane=Narrow(16))
NVDLA = IntAccumulator(34, "saturate", lanes=8)
GEMMINI = IntAccumulator(20, "wrap", order="chunked", chunk=16, spill=Narrow(32, True, "wrap"))
ACC16 = IntAccumulator(16, "saturate", order="chunked", chunk=4, spill=Narrow(32, True, "wrap"))
SATURATE8 = IntAccumulator(8, "saturate")


def sums(a: Any, w: Any, acc: IntAccumulator, **arguments: Any) -> list[int]:
    """The outputs as a flat list."""
    return [int(v) for v in accumulate(np.asarray(a), np.asarray(w), acc, **arguments).reshape(-1)]


def one(products: list[int], acc: IntAccumulator, bias: int | None = None) -> int:
    """The sum of products given as such."""
    value = sums(np.array([products], int), np.ones((len(products), 1), int), acc, bias=None if bias is None else [bias])[0]
    assert value == dot(products, [1] * len(products), acc, bias=bias or 0).value
    return value


def columns(*, a: np.ndarray, w: np.ndarray, acc: IntAccumulator, a_zero: int, w_zero: Any, bias: Any) -> list[Dot]:
    """The reference, output by output; its error names the output as the package does."""
    (M, _), N = a.shape, w.shape[1]
    zeros, biases = np.broadcast_to(w_zero, (N,)), np.zeros(N, int) if bias is None else bias
    found = []
    for m, n in product(range(M), range(N)):
        try:
            left, right = a[m].tolist(), w[:, n].tolist()
            found.append(dot(left, right, acc, a_zero=a_zero, w_zero=int(zeros[n]), bias=int(biases[n])))
        except ValueError as error:
            raise ValueError(f"output [{m}, {n}]: {error}") from None
    return found


@st.composite
def problems(draw: Any) -> dict[str, Any]:
    """Small operands of one scale, so that sums meet the ends of a register of a few bits in their middle."""
    acc = draw(int_accumulators())
    M, N, K = draw(st.integers(0, 3)), draw(st.integers(0, 4)), draw(st.integers(0, 12))
    reach = draw(st.sampled_from([1, 3, 15, 127, 255, 40000]))
    values = st.integers(-reach, reach) | st.sampled_from([-reach, reach])
    a, w = (np.array(draw(st.lists(values, min_size=n, max_size=n)), np.int64) for n in (M * K, K * N))
    zero = st.integers(-9, 9)
    bias = st.lists(st.integers(-(1 << 20), 1 << 20) | values, min_size=N, max_size=N).map(lambda b: np.array(b, np.int64))
    dtype = draw(st.sampled_from([np.int32, np.int64])) if reach > 127 else np.int8
    return {
        "acc": acc,
        "a": a.reshape(M, K).astype(dtype),
        "w": w.reshape(K, N).astype(dtype),
        "a_zero": draw(zero),
        "w_zero": draw(zero | st.lists(zero, min_size=N, max_size=N).map(lambda z: np.array(z, np.int64))),
        "bias": None if acc.bias == "float" else draw(st.none() | bias),
    }


# Kernels equal the reference


@kernels
@settings(deadline=None, max_examples=200)
@given(problem=problems())
def test_kernels_equal_reference(problem: dict[str, Any]) -> None:
    """Values, every tap, every event count and every refusal of any accumulator are the reference's."""
    acc = problem["acc"]
    events: dict[str, int] = {}
    try:
        expected = columns(**problem)
    except ValueError as error:
        for call in (accumulate, accumulate_taps):
            with pytest.raises(ValueError, match=f"^{re.escape(str(error))}$"):
                call(**problem)
        return
    values = [d.value for d in expected]
    counts = {name: sum(d.events[name] for d in expected) for name in acc.registers}

    counted = accumulate(**problem, events=events)
    result, taps, tap_events = accumulate_taps(**problem)
    assert counted.dtype == (np.int32 if acc.last.bits <= 32 else np.int64)
    assert counted.reshape(-1).tolist() == result.reshape(-1).tolist() == values
    assert accumulate(**problem).reshape(-1).tolist() == values
    assert events == tap_events == counts
    for name, tap in taps.items():
        shape = (*counted.shape, *tap_sizes(acc, problem["a"].shape[1])[name])
        assert tap.shape == shape, name
        assert tap.reshape(len(values), -1 if values else 0).tolist() == [d.taps[name] for d in expected], name
    assert not expected or set(taps) == set(expected[0].taps)


@pytest.mark.parametrize("overflow", ADD_OVERFLOWS)
@pytest.mark.parametrize("bits", [12, 20, 31, 32])
@pytest.mark.parametrize(("lanes", "lane"), [(1, None), (4, None), (5, None), (5, 15), (2, 14), (1, 14)])
@pytest.mark.parametrize("chunk", [None, 20])
def test_paths_agree(overflow: str, bits: int, lanes: int, lane: int | None, chunk: int | None) -> None:
    """Exact columns, int32 and int64 give the same bits and counts: 3 rows, 300 columns of every magnitude, K = 700."""
    rng = np.random.default_rng(bits)
    a = rng.integers(-128, 128, (3, 700))
    w = rng.integers(-128, 128, (700, 300)) >> rng.integers(0, 9, 300)
    w[:, ::7] = abs(w[:, ::7]) * np.where(a[1] < 0, -1, 1)[:, None]
    spill = None if chunk is None else Narrow(bits + 2, True, overflow)
    order = "sequential" if chunk is None else "chunked"
    acc = IntAccumulator(bits, overflow, order, chunk, spill, lanes, None if lane is None else Narrow(lane))
    given_ = operands(a, w, acc, 0, 0, None)
    expected, counts, first = engine._in_tiles(
        given_, acc, [given_.w[:, :256].copy(), given_.w[:, 256:].copy()], engine.lower(acc), sum_products
    )
    events: dict[str, int] = {}

    if first is not None:
        with pytest.raises(ValueError, match=rf"output \[{first[0]}, \d+\]"):
            accumulate(a, w, acc, events=events)
        return
    assert (accumulate(a, w, acc, events=events) == expected).all()
    assert (accumulate(a, w, acc) == expected).all()
    assert events == counts


@pytest.mark.parametrize("order", ["sequential", "tree", "chunked"])
@pytest.mark.parametrize("overflow", ["saturate", "error"])
def test_threads_do_not_change_bits(order: str, overflow: str) -> None:
    """Values, taps, events and the first error are the same on one thread and on three."""
    rng = np.random.default_rng(3)
    a, w = rng.integers(-128, 128, (150, 40)).astype(np.int8), rng.integers(-128, 128, (40, 270)).astype(np.int8)
    acc = IntAccumulator(16 if overflow == "saturate" else 18, overflow, order, 8 if order == "chunked" else None)
    found = []
    try:
        for n in (1, 3):
            set_num_threads(n)
            events: dict[str, int] = {}
            try:
                result = accumulate(a, w, acc, events=events)
                found.append((result.tobytes(), events, [tap.tobytes() for tap in accumulate_taps(a, w, acc)[1].values()]))
            except ValueError as error:
                with pytest.raises(ValueError, match=f"^{re.escape(str(error))}$"):
                    accumulate_taps(a, w, acc)
                found.append(str(error))
    finally:
        set_num_threads(None)

    assert found[0] == found[1]
    assert isinstance(found[0], str) == (overflow == "error")


# Machines


@kernels
def test_saturation_depends_on_the_order() -> None:
    """100 + 100 - 100 in a saturating byte: 27 from left to right, 100 in another order, and a tree's own value."""
    assert one([100, 100, -100], SATURATE8) == 27
    assert one([100, -100, 100], SATURATE8) == 100
    assert one([100, 100, -100, -100], SATURATE8) == -73
    assert one([100, 100, -100, -100], replace(SATURATE8, order="tree")) == -1
    assert one([100, 100, -100, -100], replace(SATURATE8, overflow="wrap")) == 0
    assert one([100, 100, -100], replace(SATURATE8, overflow="saturate_zero")) == -100
    assert one([100, 100, 100, -128], replace(SATURATE8, overflow="saturate_symmetric")) == -1
    assert one([-128], replace(SATURATE8, overflow="saturate_symmetric")) == -127


def test_a_tree_narrows_every_node_and_the_root_always() -> None:
    """An odd last term passes up without a register; a single one is the root."""
    tree = replace(SATURATE8, order="tree")

    assert one([1000, -1000, 1000], tree) == 127
    assert dot([1000, -1000, 1000], [1, 1, 1], tree).taps["partial_sums"] == [0, 127]
    assert one([1000], tree) == 127
    assert dot([100] * 5, [1] * 5, replace(tree, bits=10)).taps["partial_sums"] == [200, 200, 400, 500]


def test_pairs_saturate_on_avx2() -> None:
    """255 * 127 eight times: vpmaddubsw saturates each pair, so that 1/4096 of the sum is 32 where the exact one is 63."""
    a, w = np.full((1, 8), 255, np.uint8), np.full((8, 1), 127, np.int8)
    pairs, exact = accumulate(a, w, VPMADDUBSW), accumulate(a, w, VPDPBUSD)

    assert (int(pairs[0, 0]), int(exact[0, 0])) == (131068, 259080)
    for preset in ("xnnpack_fp32", "onnxruntime"):
        assert int(requantize(pairs, preset, scale=1 / 4096)[0, 0]) == 32
        assert int(requantize(exact, preset, scale=1 / 4096)[0, 0]) == 63
    assert sums(a[:, :4], w[:4], VPMADDUBSW) == [65534]
    assert sums(a[:, :4], np.full((4, 1), -128), VPMADDUBSW) == [-65536]


@kernels
def test_dot_products_of_vnni() -> None:
    """vpdpbusd wraps, vpdpbusds saturates once after four products: run on a Zen 5."""
    a, w, c = np.full((1, 4), 255, np.uint8), np.full((4, 1), 127, np.int8), np.array([(1 << 31) - 1])

    assert sums(a, w, VPDPBUSD, bias=c) == [-2147354109]
    assert sums(a, w, VPDPBUSDS, bias=c) == [2147483647]


def test_onnxruntime_wraps() -> None:
    """MatMulInteger with K = 70000 of 255 * 127, as onnxruntime computes it."""
    a, w = np.full((1, 70000), 255, np.uint8), np.full((70000, 1), 127, np.int8)

    assert sums(a, w, IntAccumulator(32, "wrap")) == [-2028017296]
    assert sums(a, w, IntAccumulator(32, "saturate")) == [(1 << 31) - 1]


def test_machines_equal_their_formulas() -> None:
    """Five machines as numpy states them, on operands that reach their ends."""
    rng = np.random.default_rng(4)
    a = rng.choice([0, 1, 128, 254, 255], (5, 96))
    w = rng.choice([-128, -127, -3, 100, 127], (96, 6))
    p = (a[:, :, None] * w).transpose(0, 2, 1)  # (M, N, K)

    def wrap(x: Any, bits: int) -> Any:
        return (x + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)

    pairs = np.clip(p.reshape(5, 6, -1, 2).sum(-1), -32768, 32767).sum(-1)
    gemmini = wrap(wrap(p.reshape(5, 6, -1, 16).sum(-1), 20), 32)
    assert (accumulate(a, w, VPMADDUBSW) == pairs).all()
    assert (accumulate(a, w, replace(VPDPBUSD, bits=20)) == wrap(p.sum(-1), 20)).all()
    assert (accumulate(a, w, GEMMINI) == wrap(gemmini.sum(-1), 32)).all()
    assert (accumulate(a, w, NVDLA) == p.sum(-1)).all()
    chunk = np.zeros((5, 6), int)
    spill = np.zeros((5, 6), int)
    for k in range(96):
        chunk = np.clip(chunk + p[..., k], -32768, 32767)
        if k % 4 == 3:
            spill, chunk = spill + chunk, 0 * chunk
    assert (accumulate(a, w, ACC16) == spill).all()


@kernels
def test_hls4ml_casts_each_product_first() -> None:
    """ap_fixed<16,6> with floor and wrap: each product loses 10 fraction bits of 20 and enters 16 bits, as the sum does."""
    acc = IntAccumulator(16, "wrap", bias="first", product=Step(Amount(10), "floor", Narrow(16, True, "wrap")))
    a, w = [-1, 1023, 32767], [1, 1, 32767]

    found = dot(a, w, acc, bias=40000)
    assert found.taps["products"] == [-1, 0, -64]
    assert found.events == {"product": 1, "accumulator": 0, "bias": 1}
    assert sums([a], [[v] for v in w], acc, bias=[40000]) == [found.value] == [40000 - 65536 - 65]


# Zero points and bias


@kernels
def test_places_of_zero_points_differ_once_a_sum_saturates() -> None:
    """All three places give the exact sum in a wide register; in a narrow one raw codes saturate where differences do not."""
    a, w, zeros = np.full((1, 4), 100), np.full((4, 1), 100), {"a_zero": 90, "w_zero": 95}
    places = ("before", "after", "folded")
    wide = [sums(a, w, IntAccumulator(32, "saturate", zero_points=place), **zeros) for place in places]
    narrow = [sums(a, w, IntAccumulator(12, "saturate", zero_points=place), **zeros) for place in places]

    assert wide == [[200]] * 3
    assert narrow == [[200], [-2048], [-2048]]
    assert sums(a, w, IntAccumulator(12, "saturate", bias="first", zero_points="folded"), **zeros) == [2047]


@kernels
def test_bias_first_and_last() -> None:
    """A bias outside the register is narrowed where it enters; 100 + 100 - 100 saturates or not by where it stands."""
    assert one([100, -100], replace(SATURATE8, bias="first"), 100) == 27
    assert one([100, -100], replace(SATURATE8, bias="last"), 100) == 100
    assert one([], replace(SATURATE8, bias="first"), 300) == 127
    assert dot([], [], replace(SATURATE8, bias="first"), bias=300).events == {"accumulator": 0, "bias": 1}
    spill = replace(ACC16, bias="first", spill=Narrow(17))
    assert one([30000] * 8, spill, 65535) == 65535
    assert one([-30000] * 8, spill, 65535) == 65535 - 65536


# Bad input and empty input


@kernels
@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0), (0, 0, 0)])
@pytest.mark.parametrize("order", ["sequential", "tree", "chunked"])
def test_empty(shape: tuple[int, int, int], order: str) -> None:
    """M, K or N of 0: nothing, or the bias alone."""
    M, K, N = shape
    acc = IntAccumulator(8, "saturate", order, 2 if order == "chunked" else None)
    a, w, bias = np.zeros((M, K), np.int8), np.zeros((K, N), np.int8), np.arange(N) + 126
    result, taps, events = accumulate_taps(a, w, acc, bias=bias)

    assert result.tolist() == accumulate(a, w, acc, bias=bias).tolist() == [[min(v, 127) for v in bias.tolist()]] * M
    assert events["bias"] == M * max(N - 2, 0)
    assert taps["products"].shape == (M, N, K)


@kernels
def test_the_first_overflow_is_the_error() -> None:
    """Of all outputs the first in C order, there the first register in the order of the data; also among exact columns."""
    a = np.array([[1, 1, 0], [100, 100, 1]])
    w = np.array([[1, 0, 1], [1, 1, 1], [1, 60, 127]])
    text = r"^output \[1, 0\]: value 200 leaves 8 bits at accumulator, k = 1; allowed: -128 to 127 \(rule A1\)$"
    for order, k in (("sequential", 1), ("tree", 0)):
        for call in (accumulate, accumulate_taps):
            with pytest.raises(ValueError, match=text.replace("k = 1", f"k = {k}")):
                call(a, w, IntAccumulator(8, "error", order))
    with pytest.raises(ValueError, match=r"output \[0, 2\]: value 129 leaves 8 bits at bias, k = 3"):
        accumulate(a[:1], w, IntAccumulator(8, "error"), bias=[0, 0, 127])
    with pytest.raises(ValueError, match=r"output \[0, 1\]: value 130 leaves 8 bits at bias, k = 0"):
        accumulate(a[:1], w, IntAccumulator(8, "error", bias="first"), bias=[0, 130, 0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"a": np.zeros((2, 3))}, "a is float64"),
        ({"a": np.zeros(3, int)}, r"a is int64 of shape \(3,\)"),
        ({"w": np.zeros((2, 2), int)}, r"a of shape \(2, 3\) and w of shape \(2, 2\)"),
        ({"w": np.zeros((3, 2), bool)}, "w is bool"),
        ({"a_zero": [1]}, "a_zero"),
        ({"w_zero": [1]}, r"w_zero is int64 of shape \(1,\)"),
        ({"w_zero": 0.5}, "w_zero is float64"),
        ({"bias": [1, 2, 3]}, "bias"),
        ({"bias": np.array([1 << 62, -1 << 63])}, "2\\^62"),
        ({"bias": np.array([1 << 63, 0], np.uint64)}, "bias holds 9223372036854775808"),
        ({"bias": [1, 2], "acc": IntAccumulator(bias="float")}, "a bias with accumulator.bias = 'float'"),
        ({"acc": IntAccumulator(bias="float", zero_points="folded")}, "zero_points = 'folded' with accumulator.bias"),
        ({"a": np.full((2, 3), 1 << 40), "w": np.full((3, 2), 1 << 40)}, "a product may reach"),
        ({"a": np.full((2, 3), 1 << 31), "w": np.full((3, 2), 1 << 30)}, "a sum of 4 products may reach"),
        ({"a_zero": 1 << 61, "w_zero": 2, "acc": IntAccumulator(zero_points="after")}, "zero points may add"),
    ],
)
def test_bad_input(change: dict[str, Any], text: str) -> None:
    arguments: dict[str, Any] = {"a": np.zeros((2, 3), int), "w": np.zeros((3, 2), int), "acc": IntAccumulator(lanes=4)} | change
    with pytest.raises(ValueError, match=text):
        accumulate(**arguments)


@kernels
def test_widest_operands() -> None:
    """The lowest int32 codes, zero points at the far end, and registers of 62 bits."""
    low, high = (np.full((1, 2), v, np.int32) for v in (-(1 << 31), (1 << 31) - 1))
    wide = IntAccumulator(62, "saturate")

    assert sums(low, high.T, wide) == [-(1 << 61)]
    assert sums(high, high.T, wide) == [(1 << 61) - 1]
    assert sums(low, high.T, replace(wide, overflow="wrap")) == [1 << 32]
    with pytest.raises(SpecError, match="may reach 4611686018427387904"):
        accumulate(low, low.T, wide)
    assert sums([[-128, 127]], [[127], [-128]], wide, a_zero=-(1 << 20), w_zero=[1 << 20]) == [
        sum((x + (1 << 20)) * (y - (1 << 20)) for x, y in ((-128, 127), (127, -128)))
    ]


# Safe widths


@st.composite
def safe_problems(draw: Any) -> tuple[IntAccumulator, list[int], tuple[int, int], int]:
    acc = draw(int_accumulators(most_bits=8).filter(lambda acc: acc.bias != "float"))
    kept = {name: getattr(acc, name) and replace(getattr(acc, name), overflow="saturate") for name in ("lane",)}
    step = acc.product
    if step and step.narrow:
        step = replace(step, narrow=replace(step.narrow, overflow="saturate"))
    overflow = draw(st.sampled_from(["saturate", "saturate_symmetric"]))
    acc = replace(acc, product=step, zero_points="before", bits=62, overflow=overflow, spill=None, **kept)
    w = draw(st.lists(st.integers(-9, 9), max_size=4))
    low = draw(st.integers(-5, 3))
    return acc, w, (low, low + draw(st.integers(0, 3))), draw(st.integers(-60, 60))


def overflows(acc: IntAccumulator, w: list[int], x_range: tuple[int, int], bias: int) -> bool:
    """Whether some activations change a value of the accumulator, of its spill or with its bias: all are tried."""
    for x in product(range(x_range[0], x_range[1] + 1), repeat=len(w)):
        events = dot(x, w, acc, bias=bias).events
        if events["accumulator"] or events.get("spill") or events["bias"]:
            return True
    return False


@settings(deadline=None, max_examples=60)
@given(problem=safe_problems())
@example(problem=(IntAccumulator(62, "saturate"), [9, -9], (-1, 1), 0))
@example(problem=(IntAccumulator(62, "saturate"), [], (0, 1), 60))
def test_safe_bits_are_tight(problem: tuple[IntAccumulator, list[int], tuple[int, int], int]) -> None:
    """No activations overflow the width stated, some overflow one bit less: in every order of the products, and in the order given."""
    acc, w, x_range, bias = problem
    weights = [[v] for v in w] if w else np.zeros((0, 1), int)
    found = safe_bits(weights, x_range, acc, bias=[bias])
    given_order, any_order = found.given_order_max, found.any_order_max

    def spill(bits: int) -> dict[str, Any]:
        return {"spill": Narrow(bits, True, acc.overflow)} if acc.order == "chunked" else {}

    least = replace(acc, bits=given_order, **spill(found.spill_max or 62))
    assert not overflows(least, w, x_range, bias)
    if given_order > 2:
        assert overflows(replace(acc, bits=given_order - 1, **spill(62)), w, x_range, bias)
    if found.spill_max > 2:
        assert overflows(replace(acc, **spill(found.spill_max - 1)), w, x_range, bias)
    plain = replace(acc, order="sequential", chunk=None, spill=None, lanes=1, lane=None)
    orders = [list(order) for order in set(permutations(w))]
    assert not any(overflows(replace(plain, bits=any_order), order, x_range, bias) for order in orders)
    assert any_order == 2 or any(overflows(replace(plain, bits=any_order - 1), order, x_range, bias) for order in orders)


@kernels
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_witness_of_safe_bits(data: Any) -> None:
    """The activations that reach the bound fit the width of the given order and overflow one bit less in the kernel, too."""
    w = data.draw(st.lists(st.integers(-128, 127), min_size=1, max_size=30))
    assume(any(w))
    found = safe_bits([[v] for v in w], (-128, 127), IntAccumulator(32, "saturate"))
    top, bottom = ([127 if v * sign > 0 else -128 for v in w] for sign in (1, -1))
    a, column = np.array([top, bottom]), np.array(w)[:, None]

    accumulate(a, column, IntAccumulator(found.given_order_max, "error"))
    with pytest.raises(ValueError, match="at accumulator"):
        accumulate(a, column, IntAccumulator(found.given_order_max - 1, "error"))


def test_safe_bits_of_known_sums() -> None:
    """K = 1024 of int8 needs 25 bits, 24 without the code -128; an alternating sum needs its largest prefix only."""
    w = np.full((1024, 2), 127)
    w[:, 1] = np.tile([127, -127], 512)

    assert safe_bits(w, (-127, 127), IntAccumulator()) == SafeBits((25, 25), (25, 25))
    assert safe_bits(w, (0, 1), IntAccumulator()) == SafeBits((18, 17), (18, 17))
    assert safe_bits(w, (1, 1), IntAccumulator()) == SafeBits((18, 17), (18, 8))
    assert safe_bits(w, (1, 1), replace(GEMMINI, lanes=16)) == SafeBits((18, 17), (12, 2), (18, 2))
    assert safe_bits(np.full((1024, 1), -128), (-128, 127), IntAccumulator()).any_order_max == 26
    assert safe_bits(np.zeros((3, 0), int), (0, 1), IntAccumulator()) == SafeBits((), ())
    assert safe_bits([[-128]], (1, 1), IntAccumulator(overflow="saturate")).given_order == (8,)
    assert safe_bits([[-128]], (1, 1), IntAccumulator(overflow="saturate_symmetric")).given_order == (9,)
    assert safe_bits([[100]], (1, 1), IntAccumulator(), bias=[28]).given_order == (9,)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"x_range": (1, 0)}, "x_range"),
        ({"bias": [1, 2]}, "2 biases for 1 columns"),
        ({"bias": [1], "acc": IntAccumulator(bias="float")}, "none with bias = 'float'"),
    ],
)
def test_safe_bits_refuses(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        safe_bits(**{"w": [[1], [2]], "x_range": (0, 1), "acc": IntAccumulator()} | arguments)
