"""Mistakes of an encoder (rules S and R) and of packing (rule P3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from qsim.golden.mutants.encoder_scales import scale_mutants
from qsim.golden.mutants.mutant import Hook, Mutant, changed, replaced
from qsim.golden.mutants.packing import packing_mutants
from qsim.golden.mutants.places import CODE, ENCODED
from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.spec import Format
from qsim.spec.options import CHOICES, allowed_values, resolve_options

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
        yield from packing_mutants(unit.fmt)
        return
    if unit.kind not in ("encode", "chain"):
        return
    kinds = [unit.fmt] if unit.fmt is not None else list(dict.fromkeys(formats(unit)))
    many = len(kinds) > 1
    for fmt in kinds:
        if fmt is None:
            continue
        prefix = f"{fmt.name} encoder: " if many else "encoder: "
        for mutant in (*_options(unit, fmt), *_inputs(), *scale_mutants(fmt), *_codes(fmt), *packing_mutants(fmt)):
            hooks = tuple(_only(hook, fmt) for hook in mutant.hooks) if many else mutant.hooks
            proof = mutant.proof or (_scale_unused(unit, fmt) if mutant.name.startswith("scale") else _no_sign(fmt, mutant.name))
            yield changed(mutant, name=prefix + mutant.name, hooks=hooks, proof=proof)


def _scale_unused(unit: Unit, fmt: Format) -> str:
    """Why a wrong scale changes no port of a chain."""
    requantizes = unit.datapath is not None and unit.datapath.requantizer is not None
    if unit.integer is None or requantizes or fmt.family not in ("binary", "ternary"):
        return ""
    return "codes do not depend on the scale, and the datapath ends at the accumulator, before scales are applied"


def _no_sign(fmt: Format, name: str) -> str:
    """Why the top bit of a scale is never seen."""
    signs = [f"words: scale{level} top bit lost" for level, s in enumerate(fmt.block_scales) if s.kind == "float"]
    return "the encoder writes no negative scale" if name in signs else ""


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
    yield Mutant("input: upper half only", "the encoder takes bfloat16", read(lambda p: p & 0xFFFF0000))
    yield Mutant("input: lowest exponent bit lost", "it is not connected", read(lambda p: p & ~(1 << 23)))
    yield Mutant("input: lowest bit lost", "the last bit of the mantissa is not looked at", read(lambda p: p & ~1))
    yield Mutant(
        "input: one's complement",
        "a negative mantissa is inverted without adding 1",
        read(lambda p: p - 1 if p & SIGN and p & 0x7FFFFF else p),
    )


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
