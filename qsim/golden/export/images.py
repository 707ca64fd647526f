"""Memory images: a file a port, a word a line, as $readmemh and $readmemb read them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qsim.golden.vectors import GoldenError

SUFFIX = {"readmemh": ".hex", "readmemb": ".bin"}
DIGITS = {"readmemh": re.compile(r"[0-9a-f]+"), "readmemb": re.compile(r"[01]+")}
LIMB = (1 << 64) - 1


@dataclass(frozen=True)
class Image:
    """A file's text and what a bench knows of it beforehand."""

    name: str
    file: str
    bits: int
    text: str

    @property
    def characters(self) -> int:
        """Of the longest line, its newline counted, up to a whole number of 64-bit limbs."""
        longest = max(len(line) for line in self.text.splitlines()) + 1
        return -(-longest // 8) * 8

    @property
    def fold(self) -> int:
        """64 bits over every character: lines as big-endian numbers, their sum and the sum of their sums, limb by limb."""
        mask, total, totals = (1 << 8 * self.characters) - 1, 0, 0
        for line in self.text.encode().splitlines(keepends=True):
            total += int.from_bytes(line, "big")
            totals += total
        total, totals, found = total & mask, totals & mask, 0
        for low in range(0, 8 * self.characters, 64):
            found = 3 * found + (total >> low & LIMB) + 5 * (totals >> low & LIMB) & LIMB
        return found


def digits_of(bits: int, to: str) -> int:
    """Characters of a word."""
    return bits if to == "readmemb" else -(-bits // 4)


def image_text(title: str, bits: int, words: Iterable[int], to: str) -> str:
    """A comment, then a word a line: all its digits, lower case."""
    form = f"0{digits_of(bits, to)}{'b' if to == 'readmemb' else 'x'}"
    return "\n".join([f"// {title}", *(format(word, form) for word in words)]) + "\n"


def read_image(data: bytes, bits: int, count: int, to: str, where: str) -> list[int]:
    """The words of a file; GoldenError names the line."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise GoldenError(f"{where}: byte {error.start} is not ASCII") from None
    lines = text.split("\n")
    if lines[-1] or not lines[0].startswith("// "):
        raise GoldenError(f"{where}: allowed: a line `// ...` first and a newline at the end")
    lines = lines[1:-1]
    if len(lines) != count:
        raise GoldenError(f"{where}: {len(lines)} words; the manifest states {count}")
    digits, base = digits_of(bits, to), 2 if to == "readmemb" else 16
    found = []
    for i, line in enumerate(lines, 2):
        word = int(line, base) if len(line) == digits and DIGITS[to].fullmatch(line) else -1
        if word < 0 or word >> bits:
            kind = "binary" if base == 2 else "lower-case hexadecimal"
            raise GoldenError(f"{where}: line {i}: {line[:80]!r}; allowed: {digits} {kind} digits, {bits} bits")
        found.append(word)
    return found
