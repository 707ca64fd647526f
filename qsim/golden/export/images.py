"""Memory images: a file a port, a word a line, as $readmemh and $readmemb read them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from qsim.golden.digits import digits_of, from_digits, to_digits
from qsim.golden.patterns import Words
from qsim.golden.vectors import GoldenError

SUFFIX = {"readmemh": ".hex", "readmemb": ".bin"}
RADIX = {"readmemh": "hex", "readmemb": "bin"}
LIMB = (1 << 64) - 1


@dataclass(frozen=True)
class Image:
    """A file's text and what a bench knows of it beforehand."""

    name: str
    file: str
    bits: int
    text: str

    @property
    def radix(self) -> str:
        """Of its digits."""
        return "hex" if self.file.endswith(SUFFIX["readmemh"]) else "bin"

    @property
    def characters(self) -> int:
        """Of the longest line, its newline counted, up to a whole number of 64-bit limbs."""
        longest = max(self.text.index("\n"), digits_of(self.bits, self.radix)) + 1
        return -(-longest // 8) * 8

    @property
    def fold(self) -> int:
        """64 bits over every character: lines as big-endian numbers, their sum and the sum of their sums, limb by limb."""
        head, _, body = self.text.encode().partition(b"\n")
        first, size = int.from_bytes(head + b"\n", "big"), digits_of(self.bits, self.radix) + 1
        lines = np.frombuffer(body, np.uint8).reshape(-1, size)
        n, mask = len(lines) + 1, (1 << 8 * self.characters) - 1
        # Column by column: a sum of bytes, and a sum of each byte as often as a total counts it, stay below 2^63.
        often, total, totals = np.arange(n - 1, 0, -1, dtype=np.int64), first, n * first
        for place in range(size):
            column = lines[:, place].astype(np.int64)
            total += int(column.sum()) << 8 * (size - 1 - place)
            totals += int(column @ often) << 8 * (size - 1 - place)
        total, totals, found = total & mask, totals & mask, 0
        for low in range(0, 8 * self.characters, 64):
            found = 3 * found + (total >> low & LIMB) + 5 * (totals >> low & LIMB) & LIMB
        return found


def image_text(title: str, bits: int, words: Words, to: str) -> str:
    """A comment, then a word a line: all its digits, lower case."""
    digits = to_digits(words, bits, RADIX[to])
    lines = np.full((len(digits), digits.shape[1] + 1), ord("\n"), np.uint8)
    lines[:, :-1] = digits
    return f"// {title}\n" + lines.tobytes().decode("ascii")


def read_image(data: bytes, bits: int, count: int, to: str, where: str) -> Words:
    """The words of a file; GoldenError names the line."""
    digits = digits_of(bits, RADIX[to])
    head = data.find(b"\n") + 1
    if data.isascii() and data.startswith(b"// ") and len(data) - head == count * (digits + 1):
        lines = np.frombuffer(data, np.uint8)[head:].reshape(count, digits + 1)
        words = from_digits(lines[:, :-1], bits, RADIX[to]) if (lines[:, -1] == ord("\n")).all() else None
        if words is not None:
            return words
    raise GoldenError(_fault(data, bits, count, to, where))


def _fault(data: bytes, bits: int, count: int, to: str, where: str) -> str:
    """What is wrong with a file."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        return f"{where}: byte {error.start} is not ASCII"
    lines = text.split("\n")
    if lines[-1] or not lines[0].startswith("// "):
        return f"{where}: allowed: a line `// ...` first and a newline at the end"
    lines = lines[1:-1]
    if len(lines) != count:
        return f"{where}: {len(lines)} words; the manifest states {count}"
    digits, base = digits_of(bits, RADIX[to]), 2 if to == "readmemb" else 16
    good = re.compile("[01]+" if base == 2 else "[0-9a-f]+")
    bad = (i for i, line in enumerate(lines) if len(line) != digits or not good.fullmatch(line) or int(line, base) >> bits)
    i, kind = next(bad), "binary" if base == 2 else "lower-case hexadecimal"
    return f"{where}: line {i + 2}: {lines[i][:80]!r}; allowed: {digits} {kind} digits, {bits} bits"
