"""The number of threads and the size of a piece of work never change a bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import qsim
from qsim.codec import QTensor, threads
from qsim.spec import load_format
from tests.strategies import NAMES


@pytest.fixture(autouse=True)
def _default_threads() -> Iterator[None]:
    yield
    qsim.set_num_threads(None)


def small_pieces(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """Pieces of about n elements."""
    monkeypatch.setattr(threads, "PIECE", n)


def tensor(shape: tuple[int, ...], seed: int = 3) -> np.ndarray:
    """Mixed binades, with zeros."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-9, 9, shape)
    x[rng.random(shape) < 0.1] = 0
    return x.astype(np.float32)


def everything(x: np.ndarray, name: str, **where: Any) -> list[bytes]:
    """Bytes of encode, decode to both types, quantize, and of stochastic rounding."""
    options: dict[str, Any] = (
        {"scale_overflow": "saturate"} if load_format(name).family in ("absmax", "vsq", "affine", "nvfp4") else {}
    )
    calls = [options]
    if name != "ternary":
        calls.append({**options, "rounding": "stochastic", "random": 11})
    found: list[np.ndarray] = []
    for call in calls:
        q: QTensor = qsim.encode(x, name, **where, **call)
        found += [q.codes, *q.scales, q.decode(), q.decode("float64"), qsim.quantize(x, name, **where, **call)]
        if q.zero_point is not None:
            found.append(q.zero_point)
    return [a.tobytes() for a in found]


@pytest.mark.parametrize("shape", [(1009,), (7, 211), (3, 5, 67)])
@pytest.mark.parametrize("name", NAMES)
def test_threads_and_pieces_change_nothing(name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits in one piece on 1 thread, and in pieces of 100 on 1, 2 and 3 threads; odd sizes, so that pieces and blocks are cut."""
    x = tensor(shape)
    fmt = load_format(name)
    wheres: list[dict[str, Any]] = [{}]
    if len(shape) > 1:
        wheres.append({"axis": 0, "channel_axis": 1})
    if fmt.granularity is not None:
        wheres += [{"granularity": "channel"}, {"granularity": 24}]
    for where in wheres:
        monkeypatch.undo()
        qsim.set_num_threads(1)
        expected = everything(x, name, **where)
        small_pieces(monkeypatch, 100)
        for n in (1, 2, 3):
            qsim.set_num_threads(n)
            assert everything(x, name, **where) == expected


@pytest.mark.parametrize("name", ["fp8_e4m3", "mx6", "mxfp4", "int8", "vsq4", "uint8", "nvfp4", "binary", "ternary"])
def test_two_threads_on_a_tensor_of_several_pieces(name: str) -> None:
    """The same bits for 1 and 2 threads at the real piece size."""
    x = tensor((3, (1 << 18) + 37))
    found = []
    for n in (1, 2):
        qsim.set_num_threads(n)
        q = qsim.encode(x, name)
        found.append(
            [q.codes.tobytes(), *(s.tobytes() for s in q.scales), q.decode().tobytes(), qsim.quantize(x, name).tobytes()]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("rows", "length", "unit"), [(1, 1000, 1), (1, 1000, 16), (7, 33, 16), (200, 3, 1), (3, 257, 32), (0, 5, 1), (5, 0, 1)]
)
def test_pieces_cover_every_element_once(rows: int, length: int, unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices cover rows x length exactly once and cut columns at multiples of the unit only."""
    small_pieces(monkeypatch, 100)
    seen = np.zeros((rows, length), int)
    for r, c in threads.pieces(rows, length, unit):
        seen[r, c] += 1
        assert c.start % unit == 0
        assert c.stop == length or c.stop % unit == 0
    assert (seen == 1).all()
    assert rows * length <= 100 or len(threads.pieces(rows, length, unit)) > 1


def test_setting_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """set_num_threads wins over QSIM_NUM_THREADS, which wins over the cores of this process."""
    monkeypatch.setenv("QSIM_NUM_THREADS", "5")
    assert threads.num_threads() == 5
    qsim.set_num_threads(3)
    assert threads.num_threads() == 3
    qsim.set_num_threads(None)
    monkeypatch.setenv("QSIM_NUM_THREADS", "none")
    with pytest.raises(ValueError, match="QSIM_NUM_THREADS='none'"):
        threads.num_threads()
    monkeypatch.delenv("QSIM_NUM_THREADS")
    assert threads.num_threads() >= 1
    for bad in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="allowed: 1 or more"):
            qsim.set_num_threads(bad)


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """A NaN in the last piece is refused as in one piece."""
    small_pieces(monkeypatch, 100)
    qsim.set_num_threads(2)
    x = tensor((1009,))
    x[1007] = np.nan
    for name in ("int8", "fp4_e2m1", "vsq4", "nvfp4", "binary"):
        with pytest.raises(ValueError, match=r"\[1007\], 1 of 1009"):
            qsim.encode(x, name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_has_threads_of_its_own() -> None:
    """After a fork the child encodes on new threads, with the same bits; it does not wait for the parent's."""
    script = (
        "import os, numpy as np, qsim\n"
        "x = np.random.default_rng(5).standard_normal(1 << 20).astype(np.float32)\n"
        "qsim.set_num_threads(2)\n"
        "a = qsim.quantize(x, 'mx6')\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if np.array_equal(a, qsim.quantize(x, 'mx6')) else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )

    assert subprocess.run([sys.executable, "-c", script], timeout=120, check=False).returncode == 0


def test_out_may_be_the_input_or_overlap_it() -> None:
    """quantize into memory that the input shares gives what it gives elsewhere."""
    x = tensor((1 << 12,))
    expected = qsim.quantize(x[:-1], "mx9")
    for shift in (0, 1):
        memory = x.copy()
        out = memory[shift : memory.size - 1 + shift]
        assert np.array_equal(qsim.quantize(memory[:-1], "mx9", out=out), expected)
