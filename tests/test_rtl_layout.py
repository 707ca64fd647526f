"""The layout meets a simulator: Icarus unpacks packed words with hand-typed slices to the QTensor's own codes and scales."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import reduce
from operator import xor
from pathlib import Path

import numpy as np
import pytest

from qsim.codec import QTensor
from qsim.spec import load_format
from tests.test_layout import random_tensor

RTL = Path(__file__).parent / "rtl"
MISSING = shutil.which("iverilog") is None and os.environ.get("CI") != "true"
pytestmark = [pytest.mark.rtl, pytest.mark.skipif(MISSING, reason="iverilog is not installed (in CI this fails)")]
FORMATS = ("mx9", "vsq4", "mxfp4")


def write_inputs(q: QTensor, folder: Path) -> None:
    """The packed bytes, and the words, as $readmemh reads them: full width, one a line, ending with a newline."""
    digits = -(-q.format.word_bits // 4)
    (folder / "bytes.hex").write_text("".join(f"{byte:02x}\n" for byte in q.pack()))
    (folder / "words.hex").write_text("".join(f"{word:0{digits}x}\n" for word in q.to_words()))


def simulate(q: QTensor, folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile the bench of a format and run it on the files of a folder."""
    name = q.format.name
    channels = q.scales[-1].size if name == "vsq4" else 0
    sizes = {"W": q.format.word_bits, "WORDS": q.geometry.words, "BYTES": len(q.pack()), "CHANNELS": channels}
    command = ["iverilog", "-g2012", "-Wall", "-Wno-timescale", f"-DDUT=unpack_{name}", "-s", "tb_unpack"]
    command += [f"-Ptb_unpack.{k}={v}" for k, v in sizes.items()]
    command += ["-o", str(folder / "bench.vvp"), str(RTL / "tb_unpack.v"), str(RTL / f"unpack_{name}.v")]
    compiled = subprocess.run(command, capture_output=True, text=True, check=True)
    assert compiled.stderr == ""
    return subprocess.run(["vvp", "-n", "bench.vvp"], cwd=folder, capture_output=True, text=True, check=False)


def fields(output: str, tag: str) -> list[list[int]]:
    """The numbers of every line with a tag; an undefined bit prints as x, which is no number."""
    return [[int(n) for n in line.split()[1:]] for line in output.splitlines() if line.split()[:1] == [tag]]


def blocks(codes: np.ndarray, per_block: int) -> list[list[int]]:
    """Codes of a 2-D array, rows filled with 0 to whole blocks, one list a block."""
    filled = np.pad(codes, ((0, 0), (0, -codes.shape[1] % per_block)))
    return filled.reshape(-1, per_block).tolist()


def passed(result: subprocess.CompletedProcess[str], q: QTensor) -> bool:
    """Exit code, the one result line, its count and the XOR of all words as the simulator saw them."""
    lines = re.findall(r"^RESULT n=(\d+) err=(\d+) undef=(\d+) fold=([0-9a-f]+)$", result.stdout, re.M)
    words = q.to_words()
    counts = [(int(n), int(err), int(undef), int(fold, 16)) for n, err, undef, fold in lines]
    return result.returncode == 0 and result.stderr == "" and counts == [(len(words), 0, 0, reduce(xor, words))]


def tensor(name: str) -> QTensor:
    """25 VSQ4 words of 68 bits, so that words and channel scales start in the middle of bytes; a partial block in each row."""
    return random_tensor(load_format(name), (5, 75), seed=7)


@pytest.mark.parametrize("name", FORMATS)
def test_icarus_sees_the_codes_and_scales(name: str, tmp_path: Path) -> None:
    """Every field of every word, as the simulator prints it, equals QTensor.codes and QTensor.scales."""
    q = tensor(name)
    write_inputs(q, tmp_path)
    result = simulate(q, tmp_path)
    assert passed(result, q), result.stdout + result.stderr
    assert fields(result.stdout, "WORD") == [[i] for i in range(q.geometry.words)]
    size = q.format.block_size
    expected = blocks(q.codes, size)
    assert len({tuple(b) for b in expected}) == len(expected)  # equal blocks could hide a wrong order of words
    assert fields(result.stdout, "ELEM") == expected
    for i, scale in enumerate(q.format.block_scales):
        assert isinstance(scale.group, int)
        assert fields(result.stdout, f"SCALE{i}") == blocks(q.scales[i], size // scale.group)
    assert fields(result.stdout, "CHANNEL") == ([[int(s)] for s in q.scales[1]] if name == "vsq4" else [])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("file", ["bytes.hex", "words.hex"])
def test_one_flipped_bit_fails(name: str, file: str, tmp_path: Path) -> None:
    q = tensor(name)
    write_inputs(q, tmp_path)
    lines = (tmp_path / file).read_text().splitlines()
    lines[1] = f"{int(lines[1], 16) ^ 1:0{len(lines[1])}x}"
    (tmp_path / file).write_text("\n".join(lines) + "\n")
    assert not passed(simulate(q, tmp_path), q)


@pytest.mark.parametrize("file", ["bytes.hex", "words.hex"])
def test_a_missing_or_short_file_fails(file: str, tmp_path: Path) -> None:
    q = tensor("vsq4")
    write_inputs(q, tmp_path)
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text("\n".join(text.splitlines()[:-16]) + "\n")
    assert not passed(simulate(q, tmp_path), q)
    (tmp_path / file).unlink()
    assert not passed(simulate(q, tmp_path), q)
