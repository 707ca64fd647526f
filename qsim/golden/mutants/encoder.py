"""Mistakes of an encoder (rules S and R) and of packing (rule P3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.mutant import Hook, Mutant, changed, replaced
from qsim.golden.mutants.operand import word_mistakes
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.reference.tensor import Encoded
from qsim.spec import Format
from qsim.spec.options import CHOICES, allowed_values, resolve_options

ENCODED = "qsim.golden.unit_reference:_encoded"
WORDS = "qsim.golden.unit_reference:to_words"
SCALES = "qsim.reference.encode:choose_scales"
CODE = "qsim.reference.encode:element_code"
SIGN = 1 << 31
#: Options that change no bit of a case without special values or that another mutant stands for.
WHYS = {
    "rounding": "elements are rounded in another mode",
    "overflow": "values above the range become the other of infinity and the largest",
    "subnormals": "subnormal inputs are read as zero, or kept",
    "nonfinite": "NaN and infinite inputs are handled in another way",
    "signed_zero": "the sign of a zero is lost, or kept",
    "narrow_range": "the lowest code is used, or left out",
}


def encoder_mutants(unit: Unit) -> Iterator[Mutant]:
    """Every mistake that fits the formats."""
    if unit.kind == "pack":
        assert unit.fmt is not None
        yield from _packing(unit.fmt)
        return
    if unit.kind not in ("encode", "chain"):
        return
    kinds = [unit.fmt] if unit.fmt is not None else list(dict.fromkeys(formats(unit)))
    many = len(kinds) > 1
    for fmt in kinds:
        if fmt is None:
            continue
        prefix = f"{fmt.name} encoder: " if many else "encoder: "
        for mutant in (*_options(unit, fmt), *_inputs(), *_scales(fmt), *_codes(fmt), *_packing(fmt)):
            hooks = tuple(_only(hook, fmt) for hook in mutant.hooks) if many else mutant.hooks
            proof = mutant.proof or (_scale_unused(unit, fmt) if mutant.name.startswith("scale") else "")
            yield changed(mutant, name=prefix + mutant.name, hooks=hooks, proof=proof)


def _scale_unused(unit: Unit, fmt: Format) -> str:
    """Why a wrong scale changes no port of a chain."""
    requantizes = unit.datapath is not None and unit.datapath.requantizer is not None
    if unit.integer is None or requantizes or fmt.family not in ("binary", "ternary"):
        return ""
    return "codes do not depend on the scale, and the datapath ends at the accumulator, before scales are applied"


def _only(hook: Hook, fmt: Format) -> Hook:
    """The replacement where the format is at work, else the original."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        replacement = hook.make(original)

        def either(*given: Any, **rest: Any) -> Any:
            mine = any(x is fmt or x == fmt or getattr(x, "fmt", None) == fmt for x in given)
            return (replacement if mine else original)(*given, **rest)

        return either

    return Hook(hook.place, make)


def _options(unit: Unit, fmt: Format) -> Iterator[Mutant]:
    """Each option of the codec, set to each of its other values."""
    options = dict(unit.options)
    mine = resolve_options(fmt, options)
    for name in CHOICES:
        for value in allowed_values(name, fmt):
            if value in (getattr(mine, name), "stochastic", "error") or name in ("random_bits", "scale_overflow"):
                continue
            try:
                resolve_options(fmt, options | {name: value})
            except ValueError:
                continue

            def make(original: Callable[..., Any], name: str = name, value: Any = value) -> Callable[..., Any]:
                return lambda patterns, fmt, options: original(patterns, fmt, dict(options) | {name: value})

            yield Mutant(
                f"{name} = {value}",
                WHYS.get(name, "the rule of another stack"),
                replaced(ENCODED, make),
                proof=_same_option(unit, fmt, name),
            )


def _same_option(unit: Unit, fmt: Format, name: str) -> str:
    """Why another value of an option changes nothing."""
    if name == "min_scale" and unit.k <= fmt.block_size:
        return "the only block holds the tensor's largest magnitude: its scale is the largest one"
    return ""


def _inputs() -> Iterator[Mutant]:
    """What the encoder sees of its float32 inputs."""

    def read(change: Callable[[int], int]) -> tuple[Hook, ...]:
        return replaced(
            ENCODED, lambda original: lambda patterns, fmt, options: original([change(p) for p in patterns], fmt, options)
        )

    yield Mutant("input: sign lost", "the sign bit is not connected", read(lambda p: p & ~SIGN))
    yield Mutant("input: sticky bits lost", "the 12 lowest bits of the mantissa are not looked at", read(lambda p: p & ~0xFFF))
    yield Mutant("input: lowest bit lost", "the last bit of the mantissa is not looked at", read(lambda p: p & ~1))
    yield Mutant(
        "input: one's complement",
        "a negative mantissa is inverted without adding 1",
        read(lambda p: p - 1 if p & SIGN and p & 0x7FFFFF else p),
    )


def _scales(fmt: Format) -> Iterator[Mutant]:
    """How scales are found, and where they go."""
    if not fmt.scales:
        return

    def chosen(level: int, change: Callable[[list[int]], list[int]]) -> tuple[Hook, ...]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def choose(t: Any) -> Any:
                found = original(t)
                found[level] = change(found[level])
                return found

            return choose

        return replaced(SCALES, make)

    def seen(change: Callable[[list[int]], list[int]], level: int) -> tuple[Hook, ...]:
        """The elements over which the largest magnitude is taken."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            return lambda self, at, group: (
                original(self, at, group) if at % len(fmt.scales) != level else change(original(self, at, group))
            )

        hooks = Hook("qsim.reference.tensor:Tensor.bits_of", make), Hook("qsim.reference.tensor:Tensor.values_of", make)
        return (*hooks, Hook("qsim.reference.choose:microexponent", _not_negative)) if fmt.family == "microexponent" else hooks

    for level, s in enumerate(fmt.scales):
        size = s.group if isinstance(s.group, int) else 2
        name = f"scale{level}"
        if size > 1:
            for what, why, change in (
                ("without the last element", "the loop over the group ends one too early", lambda v: v[:-1] or v),
                ("without the first element", "the loop over the group starts at 1", lambda v: v[1:] or v),
                ("of the first half", "the largest magnitude is taken over the wrong range", lambda v: v[: max(len(v) // 2, 1)]),
                ("of the first element", "the comparison with the other elements is left out", lambda v: v[:1]),
            ):
                if what != "of the first element" or size > 2:
                    yield Mutant(f"{name} {what}", why, seen(change, level))
            yield Mutant(f"{name} of positive elements", "the comparison is signed", seen(_positive, level))
        if s.kind == "microexponent":
            yield Mutant(f"{name} ignored", "every microexponent is 0", chosen(level, lambda c: [0] * len(c)))
            yield Mutant(f"{name} inverted", "1 where it should be 0", chosen(level, lambda c: [1 - v for v in c]))
            yield Mutant(f"{name} of the next pair", "the index is one off", chosen(level, lambda c: [*c[1:], c[0]]))
            yield Mutant(
                f"{name} of neighbours swapped",
                "even and odd pairs are exchanged",
                chosen(level, lambda c: [c[i ^ 1] if i ^ 1 < len(c) else v for i, v in enumerate(c)]),
            )
        else:
            top = 254 if s.kind == "exponent" else s.float_type.max_code if s.kind == "float" else (1 << s.bits) - 1
            yield Mutant(f"{name} one up", "it is one too large", chosen(level, lambda c, top=top: [min(v + 1, top) for v in c]))  # type: ignore[misc]
            yield Mutant(f"{name} one down", "it is one too small", chosen(level, lambda c: [max(v - 1, 0) for v in c]))
    if fmt.family == "microexponent":
        yield Mutant("shared exponent follows the carry", "rounding up to the next power of two bumps the exponent", _bumped(fmt))


def _not_negative(original: Callable[..., Any]) -> Callable[..., Any]:
    """A microexponent is one bit: where the shared exponent is too small, it is 0."""
    return lambda block, bits: max(original(block, bits), 0)


def _positive(values: list[Any]) -> list[Any]:
    found = [v for v in values if (v < SIGN if isinstance(v, int) else v >= 0)]
    return found or values[:1]


def _bumped(fmt: Format) -> tuple[Hook, ...]:
    bits = fmt.element.magnitude_bits

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        half = 1 << (23 - bits)
        return lambda patterns: original([p + half if p & 0x7F800000 != 0x7F800000 else p for p in map(int, patterns)])

    return replaced("qsim.reference.choose:block_exponent", make)


def _codes(fmt: Format) -> Iterator[Mutant]:
    """How a quotient becomes a code."""
    if fmt.family in ("binary", "ternary"):
        return
    e = fmt.element

    def coded(change: Callable[[Callable[..., int], Any, Any, int, int, int], int]) -> tuple[Hook, ...]:
        return replaced(CODE, lambda original: lambda ratio, t, sign, word, zero: change(original, ratio, t, sign, word, zero))

    if not e.is_float:

        def wraps(original: Any, ratio: Any, t: Any, sign: int, word: int, zero: int) -> int:
            from qsim.reference.numbers import power, round_to_integer

            if isinstance(ratio, str):
                return int(original(ratio, t, sign, word, zero))
            q = round_to_integer(ratio / power(e.lsb_exponent), t.options.rounding, word, t.options.random_bits) + zero
            if e.kind == "sign_magnitude":
                return abs(q) & e.qmax | (sign << e.magnitude_bits)
            return q % (1 << e.bits)

        yield Mutant("elements wrap", "a carry out of the mantissa is not saturated", coded(wraps))
    else:
        top = (1 << (e.bits - 1)) - 1

        def early(original: Any, *given: Any) -> int:
            code = int(original(*given))
            return code - 1 if code & top == e.max_code else code

        def flushed(original: Any, *given: Any) -> int:
            code = int(original(*given))
            return code if (code & top) >> e.mantissa_bits else code & ~top

        yield Mutant("elements saturate one early", "the largest code is left out", coded(early))
        yield Mutant("subnormal codes are zero", "a quotient below the smallest normal is flushed", coded(flushed))

    def rounds_twice(original: Any, ratio: Any, t: Any, sign: int, word: int, zero: int) -> int:
        from qsim.reference.numbers import floor_log2, power, round_to_integer

        if isinstance(ratio, str) or ratio == 0:
            return int(original(ratio, t, sign, word, zero))
        least = e.emin - e.mantissa_bits if e.is_float else e.lsb_exponent
        fine = power((max(floor_log2(abs(ratio)), e.emin) - e.mantissa_bits if e.is_float else least) - 2)
        return int(original(round_to_integer(ratio / fine) * fine, t, sign, word, zero))

    def guard_bit(original: Any, ratio: Any, t: Any, sign: int, word: int, zero: int) -> int:
        from qsim.reference.numbers import floor_log2, power, round_to_integer

        if isinstance(ratio, str) or ratio == 0:
            return int(original(ratio, t, sign, word, zero))
        least = max(floor_log2(abs(ratio)), e.emin) - e.mantissa_bits if e.is_float else e.lsb_exponent
        fine = power(least - 1)
        kept = Fraction(round_to_integer(ratio / fine, "toward_zero")) * fine
        return int(original(kept, t, sign, word, zero))

    yield Mutant("elements rounded twice", "first to two more bits, then to the element", coded(rounds_twice))
    yield Mutant("elements: guard bit only", "the sticky bit is not collected", coded(guard_bit))


def _packing(fmt: Format) -> Iterator[Mutant]:
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
    yield Mutant(
        "words: sign bits lost",
        "the top bit of an element is not connected",
        codes(lambda c: [v & ((1 << (fmt.element.bits - 1)) - 1) for v in c]),
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
        if isinstance(s.group, int) and s.group < fmt.block_size:
            yield Mutant(
                f"words: scale{level} reversed",
                "they are numbered from the other end",
                packed(lambda q, level=level: _with_scale(q, level, lambda c: c[::-1])),  # type: ignore[misc]
            )


def _with_scale(q: Encoded, level: int, change: Callable[[list[int]], list[int]]) -> Encoded:
    return changed(q, scales=tuple(change(s) if i == level else s for i, s in enumerate(q.scales)))
