"""The scoreboard of a test bench: compares a design's outputs with a suite, or with a live model, as they come.

    board = qsim.verify.Scoreboard("int8_dot.json")
    for case in board.cases:
        dut.a.value, dut.b.value = case.values["activation"], case.values["weight"]
        await Timer(1, "ns")
        board.check(case.id, result=dut.y.value, partial_sums=dut.s.value)
    board.finish()

Values are integers, simulators' vectors (cocotb's LogicArray; X and Z are mismatches) or text; cocotb itself is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsim.golden.bits import hexed
from qsim.golden.literal import from_int, parse_vector
from qsim.golden.mismatch import bits_text, mismatch_text
from qsim.golden.names import names_text, port_of
from qsim.golden.operands import coded
from qsim.golden.outputs import Column, Outputs
from qsim.golden.patterns import from_ints
from qsim.golden.suite import Case, Suite, read_suite
from qsim.golden.unit import OPTIONAL, Port, Unit
from qsim.golden.unit_reference import evaluate
from qsim.golden.verify import IGNORABLE, required, verify

if TYPE_CHECKING:
    from qsim.datapath.model import Model

__all__ = ["Mismatch", "Scoreboard"]

NOTE = {"Live": "Stimulus of the test bench, with the exact reference's outputs."}


class Mismatch(AssertionError):  # noqa: N818 (the word of the trade)
    """Outputs that differ, or that never came; the text is the report."""


class Scoreboard:
    """Compares outputs one case at a time; `finish` demands that every case has been compared.

    With a suite a case is one of its ids or its `Case`. With a live `qsim.Model` (or a `Unit`) the case is None, the operands
    are given beside the outputs, and the exact reference says what the outputs must be.
    """

    def __init__(self, reference: Suite | Unit | Model | str | Path, *, ignore: Iterable[str] = (), strict: bool = True) -> None:
        """A scoreboard.

        Args:
            reference: a suite, the path of its file, a model whose `k` is known, or a unit.
            ignore: zero_sign, nan_payload: differences of these classes do not count.
            strict: raise Mismatch at the first mismatch; False: collect them until `finish`.
        """
        self.ignore = tuple(ignore)
        self.strict = strict
        self.reports: list[str] = []
        self.checked = 0
        self._given: dict[int, set[str]] = {}
        given = read_suite(Path(reference)) if isinstance(reference, str | Path) else reference
        self.suite = given if isinstance(given, Suite) else None
        self._unit = given.unit if isinstance(given, Suite) else given if isinstance(given, Unit) else _unit_of(given)
        if bad := set(self.ignore) - set(IGNORABLE):
            raise ValueError(f"ignore = {', '.join(sorted(bad))}; allowed: {', '.join(IGNORABLE)}")

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases of the suite; none with a live model."""
        return self.suite.cases if self.suite is not None else ()

    def check(self, case: int | Case | None = None, **signals: Any) -> bool:
        """Compare what a design shows for one case; True where it agrees.

        Args:
            case: an id or a Case of the suite; None with a live model.
            **signals: values by the names of the unit's ports, of their files ("requantizer_step0"), or of the [ports] table. At
                least one output; operands may be given with a suite, and must be with a live model.

        Raises:
            Mismatch: they differ, and the scoreboard is strict.
            ValueError: a name or a case that is not there, a value that does not fit.
        """
        given = {port.name: (port, *pattern_of(self._listed(value, port), port)) for port, value in self._ports(signals)}
        outputs = [name for name, (port, _, _) in given.items() if port.role in ("tap", "result")]
        if not outputs:
            raise ValueError(f"no output to compare; allowed: {names_text(self._unit, self._unit.outputs)}")
        suite, expected = self._expected(case, given)
        agrees = all(
            not ((value ^ expected.values[name]) | unknown) & ~expected.masks.get(name, 0)
            for name, (_, value, unknown) in given.items()
        )
        self.checked += 1
        self._given.setdefault(expected.id, set()).update(outputs)
        if agrees:
            return True
        report = self._report(suite, expected, given)
        if report is None:
            return True
        self.reports.append(report)
        if self.strict:
            raise Mismatch(report)
        return False

    def finish(self) -> str:
        """Demand that results of all cases have been compared and agree; the summary in a line.

        Raises:
            Mismatch: a case without its result, no case at all, or a mismatch that was collected.
        """
        wanted = [c.id for c in self.cases]
        needed = set(required(self._unit))
        done = {number for number, names in self._given.items() if needed <= names}
        missing = [i for i in wanted or self._given if i not in done]
        compared = f"compared {len(done)} of {len(wanted) or self.checked}"
        lines = []
        if missing:
            more = " ..." if len(missing) > 8 else ""
            lines.append(f"{len(missing)} cases without a result: {', '.join(map(str, missing[:8]))}{more}")
        if not done:
            lines.append("no result was compared")
        head = f"{self._name}: {compared}, {len(self.reports)} mismatches"
        if lines or self.reports:
            raise Mismatch("\n\n".join(["\n".join([head, *lines]), *self.reports]))
        return head

    @property
    def _name(self) -> str:
        if self.suite is not None:
            return self.suite.name
        d = self._unit.datapath
        return d.name if d is not None else self._unit.kind

    def _ports(self, signals: dict[str, Any]) -> Iterable[tuple[Port, Any]]:
        optional = [name for name in OPTIONAL if name in signals or (name == "clamp" and "clamp_low" in signals)]
        if self.suite is None and set(optional) - set(self._unit.parameters):
            self._unit = _with_parameters(self._unit, (*self._unit.parameters, *optional))
        seen = set()
        for name, value in signals.items():
            port = port_of(self._unit, name)
            if port is None:
                raise ValueError(f"no port {name!r}; allowed: {names_text(self._unit, self._unit.ports)}")
            if port.name in seen:
                raise ValueError(f"port {port.name} is given twice")
            seen.add(port.name)
            yield port, value

    def _listed(self, value: Any, port: Port) -> Any:
        """Integers of a list with a negative one among them as codes of the operand, as `--operands` takes them."""
        value = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(value, list | tuple) and all(isinstance(v, Integral) for v in value):
            return coded(self._unit, port, [int(v) for v in value])
        return value

    def _expected(self, case: int | Case | None, given: dict[str, tuple[Port, int, int]]) -> tuple[Suite, Case]:
        if self.suite is not None:
            number = case.id if isinstance(case, Case) else case
            if number is None or number not in self.suite.by_id:
                raise ValueError(f"no case {number!r} in {self.suite.name}; allowed: an id of its {len(self.suite.cases)} cases")
            return self.suite, self.suite.by_id[number]
        if case is not None:
            raise ValueError(f"case = {case!r} with a live model; allowed: None, and the operands as signals")
        return self._live(given)

    def _live(self, given: dict[str, tuple[Port, int, int]]) -> tuple[Suite, Case]:
        """A case of the operands given, its outputs from the reference."""
        inputs = {}
        for port in self._unit.inputs:
            if port.name not in given:
                if port.name not in self._unit.parameters:
                    raise ValueError(f"no {port.name}; a live model needs {names_text(self._unit, self._unit.inputs)}")
                inputs[port.name] = 0
                continue
            _, value, unknown = given[port.name]
            if unknown:
                raise ValueError(f"{port.name} has bits that are X or Z: a live model needs known operands")
            inputs[port.name] = value
        found = Case(self.checked + 1, ("Live",), inputs | evaluate(self._unit, inputs))
        return Suite(self._name, self._unit, (found,), NOTE), found

    def _report(self, suite: Suite, case: Case, given: dict[str, tuple[Port, int, int]]) -> str | None:
        """What differs; None where it all is of a class that is ignored."""
        one = Suite(suite.name, suite.unit, (case,), suite.notes)
        lines = []
        columns = {}
        for name, (port, value, unknown) in given.items():
            if port.role in ("tap", "result"):
                columns[name] = Column(from_ints([value], port.bits), from_ints([unknown], port.bits) if unknown else None)
            elif value != case.values[name] or unknown:
                want, got = hexed(case.values[name], port.bits), bits_text(value, unknown, port.bits)
                lines.append(f"case {case.id}: {name} is driven as {got}, the case has {want}")
        verdict = verify(one, Outputs(columns, "the test bench"), ignore=self.ignore, wanted=())
        if not verdict.agrees:
            lines.append(mismatch_text(verdict, 0))
        return "\n".join(lines) if lines else None


def pattern_of(value: Any, port: Port) -> tuple[int, int]:
    """The pattern of a port and its unknown bits, from an integer, a simulator's vector or handle, text, or a list of values."""
    value = getattr(value, "value", value)  # a handle
    if isinstance(value, Integral):
        return from_int(int(value), port), 0
    if isinstance(value, list | tuple):
        if len(value) != port.count:
            raise ValueError(f"{port.name} has {port.count} values, {len(value)} are given")
        one = Port(port.name, port.role, port.width, 1, port.kind)
        pairs = [pattern_of(v, one) for v in value]
        return tuple(sum(p[i] << n * port.width for n, p in enumerate(pairs)) for i in (0, 1))  # type: ignore[return-value]
    return parse_vector(str(value), port)


def _unit_of(model: Any) -> Unit:
    """The dot product that a model computes."""
    d = getattr(model, "datapath", None)
    if d is None:
        raise TypeError(f"{type(model).__name__} is no suite, model or unit")
    if model.k is None:
        raise ValueError("a scoreboard needs the number of elements: Model(datapath, k=K), or k in the datapath's [ports] table")
    return Unit("dot", d, None, model.k)


def _with_parameters(unit: Unit, names: tuple[str, ...]) -> Unit:
    """The unit with more of its parameters as ports."""
    return Unit(unit.kind, unit.datapath, unit.fmt, unit.k, unit.m, unit.n, tuple(dict.fromkeys(names)), unit.options)
