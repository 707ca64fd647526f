"""Golden vectors from the reference, and only from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from qsim import __version__
from qsim.golden import block_cases, element_cases
from qsim.golden.bits import hexed
from qsim.golden.block_cases import BlockCase
from qsim.golden.element_cases import ElementCase
from qsim.golden.machines import Reference
from qsim.golden.provenance import verified_by
from qsim.golden.vectors import GoldenError, GoldenFile, held_table
from qsim.spec import Format
from qsim.spec.table import format_digest

RULE = re.compile(r"rules? ([A-Z]\d*)")
Test = dict[str, Any]


def levels_of(fmt: Format) -> tuple[str, ...]:
    """A format without scales has no block level."""
    return ("element", "block") if fmt.scales else ("element",)


def generate(fmt: Format, level: str) -> GoldenFile:
    """All vectors of one format and level."""
    tests = list(_element_tests(fmt) if level == "element" else _block_tests(fmt))
    notes = (element_cases if level == "element" else block_cases).NOTES
    used = {flag for test in tests for flag in test["flags"]}
    return GoldenFile(
        level,
        fmt.name,
        format_digest(fmt),
        {"name": "qsim.reference", "version": __version__},
        verified_by(level, fmt.name),
        held_table(fmt) if level == "element" else None,
        {flag: note for flag, note in notes.items() if flag in used},
        [{"id": i, **test} for i, test in enumerate(tests, 1)],
    )


def _element_tests(fmt: Format) -> Iterator[Test]:
    machine, width = Reference(), fmt.element.bits
    codes = element_cases.codes_to_decode(fmt)
    for code, values in zip(codes, machine.decode_elements(fmt, codes), strict=True):
        yield {"comment": _value_text(fmt, code), "flags": ["Decode"], "code": hexed(code, width), **values}
    for _, group in groupby(element_cases.encode_cases(fmt), key=lambda c: (json.dumps(c.options), c.random is None)):
        yield from _encode_tests(fmt, machine, list(group))


def _value_text(fmt: Format, code: int) -> str:
    value = fmt.element.value(code)
    if isinstance(value, str):
        return value
    zero = element_cases.held(fmt)[1] or 0
    text = str(value - zero)
    return text if len(text) <= 24 else f"code {code}"


def _encode_tests(fmt: Format, machine: Reference, cases: list[ElementCase]) -> Iterator[Test]:
    """Cases of equal options: together, or one by one when the reference refuses one of them."""
    options = cases[0].options

    def run(some: list[ElementCase]) -> list[str]:
        random = [c.random for c in some if c.random is not None] or None
        return machine.encode_elements(fmt, [c.bits for c in some], options, random)

    try:
        results: list[Test] = [{"code": code} for code in run(cases)]
    except ValueError:
        results = [outcome(lambda c=c: {"code": run([c])[0]}) for c in cases]  # type: ignore[misc]
    for case, result in zip(cases, results, strict=True):
        test: Test = {"comment": case.comment, "flags": list(case.flags)}
        if options:
            test["options"] = options
        if case.random is not None:
            test["random"] = hexed(case.random, 8)
        yield test | {"input": hexed(case.bits, 32)} | verdict(result)


def outcome(run: Callable[[], Test]) -> Test:
    """The values of a run, or the exception and the rule that refuse it."""
    try:
        return run()
    except ValueError as error:
        rule = RULE.search(str(error))
        if rule is None:
            raise GoldenError(f"the reference refuses an input without naming a rule: {error}") from error
        return {"error": type(error).__name__, "rule": rule[1]}


def verdict(result: Test) -> Test:
    """The outcome, and that it is a refusal; valid is the default."""
    return result | ({"result": "invalid"} if "error" in result else {})


def _block_tests(fmt: Format) -> Iterator[Test]:
    machine = Reference()
    for case in block_cases.cases(fmt):
        result = outcome(lambda: machine.block(fmt, case))  # noqa: B023 (called at once)
        if case.options:  # packing and decoding do not depend on options: the default cases hold them
            result = {key: value for key, value in result.items() if key not in ("words", "packed", "decoded")}
        yield block_test(case) | verdict(result)


def block_test(case: BlockCase) -> Test:
    """The inputs of a test; what has its default is left out."""
    test: Test = {"comment": case.comment, "flags": list(case.flags), "shape": list(case.shape)}
    if case.axis != -1:
        test["axis"] = case.axis
    if case.channel_axis != 0:
        test["channel_axis"] = case.channel_axis
    if case.granularity is not None:
        test["granularity"] = case.granularity
    if case.options:
        test["options"] = case.options
    if case.random is not None:
        test["random"] = [hexed(word, 8) for word in case.random]
    return test | {"input": [hexed(bits, 32) for bits in case.bits]}
