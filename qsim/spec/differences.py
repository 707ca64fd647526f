"""In which facts two datapaths differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qsim.spec.datapath import Datapath

#: Fields that are no arithmetic.
TEXTS = ("name", "title", "source", "verified_by", "not_verified", "operands", "out_types", "ports", "table")


def differences(a: Datapath | None, b: Datapath | None) -> list[str]:
    """Fields in which two datapaths differ, as `accumulator.bits`; names, texts and ports do not count."""
    x, y = dict(_facts(a, "")), dict(_facts(b, ""))
    return sorted(key.lstrip(".") for key in {*x, *y} if x.get(key) != y.get(key))


def _facts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not is_dataclass(value):
        yield path, value
        return
    for one in fields(value):
        if one.name not in TEXTS:
            yield from _facts(getattr(value, one.name), f"{path}.{one.name}")
