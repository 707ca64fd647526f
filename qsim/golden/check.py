"""Do a machine's outputs equal the golden vectors? Exactly, field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from qsim.golden.bits import hexed
from qsim.golden.block_cases import BlockCase
from qsim.golden.machines import Machine
from qsim.golden.suite import Case, Suite
from qsim.golden.vectors import GoldenFile, kind_of
from qsim.spec import Format

Test = dict[str, Any]
OUTPUTS = ("code", "float32", "float64", "codes", "scales", "zero_point", "words", "packed", "decoded", "error", "rule")


@dataclass(frozen=True)
class Mismatch:
    """One test whose outputs differ: fields maps a field to (expected, got)."""

    machine: str
    level: str
    format: str
    id: int
    comment: str
    flags: list[str]
    fields: dict[str, tuple[Any, Any]]

    def table(self) -> dict[str, Any]:
        """The mismatch for JSON."""
        fields = {name: {"expected": e, "got": g} for name, (e, g) in self.fields.items()}
        return asdict(self) | {"fields": fields}

    def text(self) -> str:
        """The mismatch for people."""
        lines = [f"{self.level}/{self.format} test {self.id} ({', '.join(self.flags)}; {self.comment}): {self.machine} differ"]
        lines += [f"  {name}: expected {_short(e)}, got {_short(g)}" for name, (e, g) in self.fields.items()]
        return "\n".join(lines)


def _short(value: Any) -> str:
    return " ".join(map(_short, value)) if isinstance(value, list) else str(value)


def check_file(file: GoldenFile, fmt: Format, machine: Machine) -> list[Mismatch]:
    """Every test that the machine does not reproduce."""
    got = _element_results(file.tests, fmt, machine) if file.level == "element" else _block_results(file.tests, fmt, machine)
    found = []
    for test, result in zip(file.tests, got, strict=True):
        expected = {
            key: test[key] for key in OUTPUTS if key in test and (key != "code" or kind_of(test, file.level) != "element decode")
        }
        fields = differences(expected, result)
        if fields:
            found.append(Mismatch(machine.name, file.level, file.format, test["id"], test["comment"], test["flags"], fields))
    return found


def differences(expected: Test, got: Test) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, as (expected, got); an error that names the expected rule anywhere agrees."""
    if "error" in expected or "error" in got:
        if expected.get("error") == got.get("error") and expected["rule"] in got["message"]:
            return {}
        return {"result": (_verdict(expected), _verdict(got))}
    return {name: (value, got.get(name)) for name, value in expected.items() if got.get(name) != value}


def _verdict(result: Test) -> str:
    if "error" not in result:
        return "valid"
    return (
        f"invalid: {result['error']} (rule {result['rule']})"
        if "rule" in result
        else f"invalid: {result['error']}: {result['message']}"
    )


def _caught(run: Callable[[], Test]) -> Test:
    try:
        return run()
    except Exception as error:  # whatever a machine raises is its answer
        return {"error": type(error).__name__, "message": str(error)}


def _element_results(tests: list[Test], fmt: Format, machine: Machine) -> Iterator[Test]:
    """Neighbouring tests of one kind and of equal options run together."""

    def key(test: Test) -> tuple[str, str, bool]:
        return kind_of(test, "element"), json.dumps(test.get("options", {})), "random" in test

    for (kind, _, _), group in groupby(tests, key=key):
        run = _decode if kind == "element decode" else _encode
        batch = list(group)
        together: list[Test] | None = None
        if kind != "element invalid":
            try:
                together = run(batch, fmt, machine)
            except Exception:  # one of them was refused: which one, the runs one by one tell
                together = None
        yield from together or [_caught(lambda: run([test], fmt, machine)[0]) for test in batch]  # noqa: B023 (called at once)


def _decode(tests: list[Test], fmt: Format, machine: Machine) -> list[Test]:
    return list(machine.decode_elements(fmt, [int(test["code"], 16) for test in tests]))


def _encode(tests: list[Test], fmt: Format, machine: Machine) -> list[Test]:
    random = [int(test["random"], 16) for test in tests] if "random" in tests[0] else None
    codes = machine.encode_elements(fmt, [int(test["input"], 16) for test in tests], tests[0].get("options", {}), random)
    return [{"code": code} for code in codes]


def _block_results(tests: list[Test], fmt: Format, machine: Machine) -> Iterator[Test]:
    for test in tests:
        case = case_of(test)
        yield _caught(lambda: machine.block(fmt, case))  # noqa: B023 (called at once)


def case_of(test: Test) -> BlockCase:
    """The inputs of a block test."""
    return BlockCase(
        tuple(test["flags"]),
        test["comment"],
        [int(bits, 16) for bits in test["input"]],
        tuple(test["shape"]),
        test.get("axis", -1),
        test.get("channel_axis", 0),
        test.get("granularity"),
        test.get("options", {}),
        [int(word, 16) for word in test["random"]] if "random" in test else None,
    )


def check_suite(suite: Suite, machine: str) -> list[Mismatch]:
    """Every case whose outputs the machine, `reference` or `kernels`, does not reproduce; masked bits do not count."""
    unit, found = suite.unit, []
    for case in suite.cases if machine == "reference" else _suspects(suite):
        got = _outputs(suite, case, machine)
        fields: dict[str, tuple[Any, Any]] = {}
        for port in unit.outputs:
            compared = ~case.masks.get(port.name, 0)
            if isinstance(got, str):
                fields = {"result": ("valid", got)}
            elif (got[port.name] ^ case.values[port.name]) & compared:
                fields[port.name] = hexed(case.values[port.name], port.bits), hexed(got[port.name], port.bits)
        if fields:
            found.append(Mismatch(machine, unit.kind, suite.name, case.id, case.comment, list(case.flags), fields))
    return found


def _suspects(suite: Suite) -> Sequence[Case]:
    """Cases that the kernels, all together, do not reproduce; all of them where one is refused."""
    try:
        return [suite.cases[i] for i in differing(suite)]
    except Exception:  # one of them was refused: which one, the runs one by one tell
        return suite.cases


def differing(suite: Suite) -> list[int]:
    """The places of cases with an output that the kernels do not reproduce, masked bits included."""
    import numpy as np

    from qsim.golden.columns import as_bytes, as_words
    from qsim.golden.patterns import nonzero_rows
    from qsim.golden.unit_kernels import evaluate_bytes

    unit = suite.unit
    got = evaluate_bytes(unit, {port.name: as_bytes(suite.words(port.name), port) for port in unit.inputs})
    wrong = np.zeros(len(suite.cases), bool)
    for port in unit.outputs:
        wrong |= nonzero_rows(as_words(got[port.name]) ^ suite.words(port.name))
    return [int(i) for i in np.flatnonzero(wrong)]


def _outputs(suite: Suite, case: Case, machine: str) -> dict[str, int] | str:
    """The outputs of a case, or why it is refused."""
    from qsim.golden.unit_kernels import evaluate_many
    from qsim.golden.unit_reference import evaluate

    unit = suite.unit
    inputs = {port.name: case.values[port.name] for port in unit.inputs}
    try:
        if machine == "reference":
            return evaluate(unit, inputs)
        return {name: column[0] for name, column in evaluate_many(unit, {n: [v] for n, v in inputs.items()}).items()}
    except Exception as error:  # whatever a machine raises is its answer
        return f"invalid: {type(error).__name__}: {error}"
