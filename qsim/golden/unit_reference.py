"""What a unit's ports hold in one case, by the exact reference: Python ints and Fractions, from patterns to patterns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import prod
from typing import Any

from qsim.golden.ports import formats
from qsim.golden.unit import Unit
from qsim.reference import Encoded, encode, to_words
from qsim.reference.block_dot import Row, block_dot, final_exponent
from qsim.reference.float_dot import dot as float_dot
from qsim.reference.int_dot import dot as int_dot
from qsim.reference.numbers import FLOAT64, fl32, fl64, power, round_to_float
from qsim.reference.requantize import Taps as RequantizerTaps
from qsim.reference.requantize import quantize_multiplier, requantize
from qsim.spec import FLOAT32, Format, Geometry, resolve_options

Patterns = dict[str, int]


def evaluate(unit: Unit, inputs: Mapping[str, int]) -> Patterns:
    """The patterns of every tap and of the result. ValueError where the datapath refuses the operands."""
    kinds: dict[str, Callable[[Unit, Mapping[str, int]], Patterns]] = {
        "dot": _dot,
        "matmul": _matmul,
        "requantize": _requantize,
        "encode": _encode,
        "pack": _pack,
        "chain": _chain,
    }
    found = kinds[unit.kind](unit, inputs)
    return {port.name: found[port.name] for port in unit.outputs}


def _dot(unit: Unit, inputs: Mapping[str, int]) -> Patterns:
    a, w = (_row(unit, inputs, side, fmt) for side, fmt in zip(("activation", "weight"), formats(unit), strict=True))
    bias = inputs.get("bias", 0)
    if unit.float is not None:
        assert unit.datapath is not None
        operand = (formats(unit)[0].name, formats(unit)[1].name)
        return _float_patterns(unit, a, w, bias, operand)
    if unit.block is not None:
        found = block_dot(a, w, unit.block, bias)
        values = found.taps
        if unit.datapath is not None and unit.datapath.requantizer is not None:
            assert found.accumulator is not None
            taps, result = _requantized(unit, found.accumulator, inputs)
            return _joined(unit, values) | taps | {"result": result}
        return _joined(unit, values) | {"result": found.result}
    assert unit.integer is not None
    given = {name: unit.port(name).split(inputs[name])[0] for name in ("bias", "a_zero_point", "w_zero_point") if name in inputs}
    dot = int_dot(
        _integers(a),
        _integers(w),
        unit.integer,
        a_zero=given.get("a_zero_point", 0),
        w_zero=given.get("w_zero_point", 0),
        bias=given.get("bias", 0),
    )
    patterns = _joined(unit, dot.taps)
    if unit.datapath is not None and unit.datapath.requantizer is not None:
        taps, result = _requantized(unit, dot.value, inputs)
        return patterns | taps | {"result": result}
    return patterns | {"result": unit.port("result").join([dot.value])}


def _matmul(unit: Unit, inputs: Mapping[str, int]) -> Patterns:
    """A tile, output by output."""
    one = Unit("dot", unit.datapath, None, unit.k, parameters=unit.parameters)
    rows = _parts(unit, inputs, one, "activation", unit.m), _parts(unit, inputs, one, "weight", unit.n)
    shared = {p.name: inputs[p.name] for p in one.inputs if not p.name.startswith(("activation", "weight"))}
    results = [_dot(one, shared | a | w)["result"] for a in rows[0] for w in rows[1]]
    width = one.port("result").bits
    return {"result": sum(result << i * width for i, result in enumerate(results))}


def _parts(unit: Unit, inputs: Mapping[str, int], one: Unit, side: str, times: int) -> list[Patterns]:
    """The rows of an operand of a tile."""
    ports = [p for p in one.inputs if p.name.startswith(side)]
    return [{p.name: inputs[p.name] >> i * p.bits & ((1 << p.bits) - 1) for p in ports} for i in range(times)]


def _requantize(unit: Unit, inputs: Mapping[str, int]) -> Patterns:
    taps, result = _requantized(unit, unit.port("acc").split(inputs["acc"])[0], inputs)
    return taps | {"result": result}


def _encode(unit: Unit, inputs: Mapping[str, int]) -> Patterns:
    assert unit.fmt is not None
    q = _encoded(unit.port("input").split(inputs["input"]), unit.fmt, _options(unit, inputs, "", unit.fmt))
    codes = {"codes": q.codes} | {f"scale{i}": codes for i, codes in enumerate(q.scales)}
    return _joined(unit, codes) | {"result": unit.port("result").join(to_words(q, (unit.k,), unit.fmt))}


def _pack(unit: Unit, inputs: Mapping[str, int]) -> Patterns:
    fmt = unit.fmt
    assert fmt is not None
    scales = [unit.port(f"scale{i}").split(inputs[f"scale{i}"]) for i in range(len(fmt.block_scales))]
    scales += [[0] for _ in fmt.scales[len(scales) :]]
    q = Encoded(unit.port("codes").split(inputs["codes"]), tuple(scales), [0] if fmt.zero_point else None)
    return {"result": unit.port("result").join(to_words(q, (unit.k,), fmt))}


def _chain(unit: Unit, inputs: Mapping[str, int]) -> Patterns:
    """Both operands encoded and packed, then the dot product of their words."""
    d = unit.datapath
    assert d is not None
    patterns: Patterns = {}
    scales: list[Fraction] = []
    for side, fmt in zip(("activation", "weight"), formats(unit), strict=True):
        q = _encoded(unit.port(f"{side}_input").split(inputs[f"{side}_input"]), fmt, _options(unit, inputs, f"{side}_", fmt))
        patterns[side] = unit.port(side).join(to_words(q, (unit.k,), fmt))
        outer = [(s, codes[0]) for s, codes in zip(fmt.scales, q.scales, strict=True) if not isinstance(s.group, int)]
        if fmt.block_scales:
            patterns |= {f"{side}_scale{i}": code for i, (_, code) in enumerate(outer)}
        scales += [_number(s.value(code)) for s, code in outer]
    one = Unit("dot", d, None, unit.k, parameters=unit.parameters)
    given = dict(inputs) | patterns
    if d.requantizer is not None:
        prepared = _prepared(unit, scales, _number(FLOAT32.value(inputs["out_scale"])))
        patterns |= prepared
        given |= prepared
    return patterns | _within_domain(one, {p.name: given[p.name] for p in one.inputs})


def _within_domain(one: Unit, inputs: Patterns) -> Patterns:
    """The dot product; ValueError where what the chain prepared, or the sum, is outside the requantizer's domain (rule Q5)."""
    from qsim.golden.cases.rest import refusal

    if why := refusal(one, inputs, None):
        raise ValueError(why)
    found = _dot(one, inputs)
    if one.out_format is not None and (why := refusal(one, inputs, one.port("accumulator").split(found["accumulator"])[0])):
        raise ValueError(why)
    return found


def _prepared(unit: Unit, scales: list[Fraction], out_scale: Fraction) -> Patterns:
    """Rule Q4: the multiplier, or the scale, from the scales of activation, weight and output."""
    assert unit.datapath is not None
    q = unit.datapath.requantizer
    assert q is not None
    if out_scale <= 0:
        raise ValueError(f"out_scale {out_scale}; allowed: positive (rule Q4)")
    product = prod(scales, start=Fraction(1))
    if unit.block is not None:
        product *= power(final_exponent(*formats(unit), unit.block))
    product = fl64(product) if q.prep.ratio == "f64" else _number(fl32(product))
    real = _number(fl32(product / out_scale)) if q.prep.ratio == "f32" else fl64(product / out_scale)
    if q.prep.kind == "fixed":
        multiplier, exponent = quantize_multiplier(real, q.prep)
        assert q.prep.shift is not None
        return {
            "multiplier": unit.port("multiplier").join([multiplier]),
            "shift": unit.port("shift").join([q.prep.shift(exponent)]),
        }
    return {"scale": round_to_float(real, FLOAT32 if q.prep.kind != "f64" else FLOAT64)}


def _requantized(unit: Unit, acc: int, inputs: Mapping[str, int]) -> tuple[Patterns, int]:
    """Patterns of the requantizer's taps, and of the result."""
    d = unit.datapath
    assert d is not None
    q, out = d.requantizer, unit.out_format
    assert q is not None
    assert out is not None
    given = {name: unit.port(name).split(inputs[name])[0] for name in ("multiplier", "shift", "out_zero_point") if name in inputs}
    arguments: dict[str, Any] = {name: [given[name]] for name in ("multiplier", "shift") if name in given}
    if "scale" in inputs:
        arguments["scale"] = [_float(unit, inputs["scale"])]
    clamp = d.clamp
    if "clamp_low" in inputs:
        clamp = (unit.port("clamp_low").split(inputs["clamp_low"])[0], unit.port("clamp_high").split(inputs["clamp_high"])[0])
        if clamp[0] > clamp[1]:
            raise ValueError(f"clamp {clamp}; allowed: low <= high (rule Q1)")
    taps: RequantizerTaps = {}
    values, _ = requantize(
        [acc],
        q,
        zero_point=[given.get("out_zero_point", 0)],
        out=(out.element.bits, out.element.qmin < 0),
        clamp=clamp,
        taps=taps,
        **arguments,
    )
    named = {f"requantizer.{name}": found for name, found in taps.items()}
    return _joined(unit, named), unit.port("result").join(values)


def _float(unit: Unit, pattern: int) -> Fraction:
    """The value of the port `scale`."""
    return _number((FLOAT64 if unit.port("scale").width == 64 else FLOAT32).value(pattern))


def _float_patterns(unit: Unit, a: Row, w: Row, bias: int, operand: tuple[str, str]) -> Patterns:
    """Codes of plain floats widened to float32 patterns, then rule A3."""
    assert unit.float is not None
    rows = []
    for row in (a, w):
        e = row.fmt.element
        values = [e.value(code) for code in row.codes]
        rows.append([round_to_float(v, FLOAT32, sign=code >> (e.bits - 1)) for v, code in zip(values, row.codes, strict=True)])
    taps: dict[str, list[int]] = {}
    result = float_dot(rows[0], rows[1], bias, unit.float, operand, taps=taps)
    return _joined(unit, taps) | {"result": result}


def _joined(unit: Unit, taps: Mapping[str, list[int]]) -> Patterns:
    """Taps as the patterns of their ports; what the unit has no port for is left out."""
    names = {p.name: p for p in unit.outputs}
    return {name: names[name].join(values) for name, values in taps.items() if name in names}


def _row(unit: Unit, inputs: Mapping[str, int], side: str, fmt: Format) -> Row:
    """The codes and scales of an operand's words (rule P3)."""
    geometry = Geometry.of(fmt, (unit.k,))
    fields: dict[str, list[int]] = {name: [] for name, _, _ in fmt.word_fields}
    for word in unit.port(side).split(inputs[side]):
        place = 0
        for name, width, count in fmt.word_fields:
            for _ in range(count):
                fields[name].append(word >> place & ((1 << width) - 1))
                place += width
    scales = tuple(fields[f"scale{i}"] for i in range(len(fmt.block_scales)))
    outer = tuple(inputs[p.name] for p in unit.inputs if p.name.startswith(f"{side}_scale"))
    plain = tuple(_one(s) for s in fmt.scales if not isinstance(s.group, int))
    return Row(fmt, fields["element"][: geometry.length], scales, outer or plain)


def _one(scale: Any) -> int:
    """The code of 1.0."""
    element = scale.float_type
    return int(element.bias << element.mantissa_bits)


def _integers(row: Row) -> list[int]:
    return [row.fmt.element.integer(code) for code in row.codes]


def _options(unit: Unit, inputs: Mapping[str, int], prefix: str, fmt: Format) -> dict[str, Any]:
    """The codec's options; under `random` the words of stochastic rounding (rule R2)."""
    name = f"{prefix}random"
    return unit.codec_options(fmt) | ({"random": unit.port(name).split(inputs[name])} if name in inputs else {})


def _encoded(patterns: list[int], fmt: Format, options: dict[str, Any]) -> Encoded:
    resolved = resolve_options(fmt, {name: value for name, value in options.items() if name != "random"})
    words = options.get("random") if resolved.rounding == "stochastic" else None
    return encode(patterns, (len(patterns),), fmt, options=resolved, words=words)


def _number(value: Fraction | str) -> Fraction:
    if isinstance(value, str):
        raise ValueError(f"a scale is {value}; allowed: a finite number")
    return value
