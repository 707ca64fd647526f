"""Mistakes of packing (rule P3): words, and what stands where in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qsim.golden.mutants.mutant import Hook, Mutant, changed, replaced
from qsim.golden.mutants.places import WORDS
from qsim.golden.mutants.words import word_mistakes
from qsim.reference.tensor import Encoded
from qsim.spec import Format


def packing_mutants(fmt: Format) -> Iterator[Mutant]:
    """Words, and what stands where in them."""

    def packed(change: Callable[[Encoded], Encoded]) -> tuple[Hook, ...]:
        return replaced(WORDS, lambda original: lambda q, shape, fmt: original(change(q), shape, fmt))

    for name, why, word in word_mistakes(fmt):
        yield Mutant(
            f"words: {name}",
            why,
            replaced(WORDS, lambda original, word=word: lambda q, shape, fmt: [word(v) for v in original(q, shape, fmt)]),  # type: ignore[misc]
        )
    block = max(fmt.block_size, 2)

    def codes(change: Callable[[list[int]], list[int]]) -> tuple[Hook, ...]:
        return packed(lambda q: changed(q, codes=change(q.codes)))

    yield Mutant(
        "words: elements reversed",
        "they are numbered from the other end",
        codes(lambda c: [v for i in range(0, len(c), block) for v in reversed(c[i : i + block])]),
    )
    yield Mutant(
        "words: pairs of elements swapped",
        "even and odd elements are exchanged",
        codes(lambda c: [c[i ^ 1] if i ^ 1 < len(c) else v for i, v in enumerate(c)]),
    )
    yield Mutant("words: last element lost", "the loop ends one too early", codes(lambda c: [*c[:-1], 0]))
    yield Mutant("words: first element lost", "the loop starts at 1", codes(lambda c: [0, *c[1:]]))
    yield Mutant("words: elements moved by one", "the index is one off", codes(lambda c: [*c[1:], c[0]]))
    yield Mutant(
        "words: halves exchanged",
        "the upper half of the elements comes first",
        codes(lambda c: [*c[len(c) // 2 :], *c[: len(c) // 2]]),
    )
    yield Mutant("words: first element twice", "the index starts with a step too late", codes(lambda c: [c[0], *c[:-1]]))
    yield Mutant("words: last element twice", "the index stops one too early", codes(lambda c: [*c[:-2], c[-1], c[-1]]))
    if fmt.element.bits > 1:
        yield Mutant(
            "words: lowest bits lost", "the last bit of an element is not connected", codes(lambda c: [v & ~1 for v in c])
        )
    yield Mutant(
        "words: sign bits lost",
        "the top bit of an element is not connected",
        codes(lambda c: [v & ((1 << (fmt.element.bits - 1)) - 1) for v in c]),
    )
    yield Mutant(
        "words: sign bits inverted",
        "the top bit of an element is read the other way",
        codes(lambda c: [v ^ 1 << (fmt.element.bits - 1) for v in c]),
    )
    for level, s in enumerate(fmt.block_scales):
        mask = (1 << s.bits) - 1
        yield Mutant(
            f"words: scale{level} is 0",
            "it is not connected",
            packed(lambda q, level=level: _with_scale(q, level, lambda c: [0] * len(c))),  # type: ignore[misc]
        )
        yield Mutant(
            f"words: scale{level} inverted",
            "its lowest bit is inverted",
            packed(lambda q, level=level, mask=mask: _with_scale(q, level, lambda c: [(v ^ 1) & mask for v in c])),  # type: ignore[misc]
        )
        if s.bits > 1:
            yield Mutant(
                f"words: scale{level} top bit lost",
                "its top bit is not connected",
                packed(lambda q, level=level, mask=mask: _with_scale(q, level, lambda c: [v & mask >> 1 for v in c])),  # type: ignore[misc]
            )
        if isinstance(s.group, int) and s.group < fmt.block_size:
            yield Mutant(
                f"words: scale{level} of the next group",
                "the index is one off",
                packed(lambda q, level=level: _with_scale(q, level, lambda c: [*c[1:], c[0]])),  # type: ignore[misc]
            )
            yield Mutant(
                f"words: scale{level} reversed",
                "they are numbered from the other end",
                packed(lambda q, level=level: _with_scale(q, level, lambda c: c[::-1])),  # type: ignore[misc]
            )


def _with_scale(q: Encoded, level: int, change: Callable[[list[int]], list[int]]) -> Encoded:
    return changed(q, scales=tuple(change(s) if i == level else s for i, s in enumerate(q.scales)))
