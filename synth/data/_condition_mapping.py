"""A `where` given as a mapping: {"income": ">50K", "race": ["White", "Black"], "age": {">=": 30, "<": 40}, "x": None}."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from synth.data._condition_text import Comparison, Literal
from synth.errors import ConditionError

_OPERATORS = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
    "between": "between", "in": "in", "not in": "not in",
}  # fmt: skip


def parse_mapping(condition: Mapping[Any, Any]) -> list[Comparison]:
    """The comparisons of a mapping, all of which must hold. Raises ConditionError for what cannot be read."""
    return [comparison for column, said in condition.items() for comparison in _of_column(str(column), said)]


def _of_column(column: str, said: Any) -> Iterable[Comparison]:
    if said is None:
        return [Comparison(column, "is null")]
    if isinstance(said, Mapping):
        if not said:
            raise ConditionError(f"the condition on {column!r} is an empty mapping; write {{'>=': 30}} or leave it out")
        return [_of_operator(column, str(operator), value) for operator, value in said.items()]
    if isinstance(said, (list, tuple, set, frozenset, np.ndarray)):
        return [Comparison(column, "in", _several(column, "in", said))]
    return [Comparison(column, "=", (_literal(column, said),))]


def _of_operator(column: str, operator: str, value: Any) -> Comparison:
    known = _OPERATORS.get(operator.lower())
    if known is None:
        raise ConditionError(f"the condition on {column!r} has an unknown operator {operator!r}; use {', '.join(_OPERATORS)}")
    if value is None and known in ("=", "!="):
        return Comparison(column, "is null" if known == "=" else "is not null")
    if known in ("in", "not in"):
        return Comparison(column, known, _several(column, known, value))
    if known == "between":
        bounds = _several(column, known, value)
        if len(bounds) != 2:
            raise ConditionError(f"`between` on {column!r} has {len(bounds)} values; give the lower and the upper one")
        return Comparison(column, known, bounds)
    return Comparison(column, known, (_literal(column, value),))


def _several(column: str, operator: str, values: Any) -> tuple[Literal, ...]:
    if isinstance(values, (set, frozenset)):
        values = sorted(values, key=repr)
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise ConditionError(f"`{operator}` on {column!r} is given {values!r}; give a list of values")
    if len(values) == 0:
        raise ConditionError(f"`{operator}` on {column!r} has an empty list; give at least one value")
    return tuple(_literal(column, value) for value in values)


def _literal(column: str, value: Any) -> Literal:
    """A value of a mapping as one that text could hold."""
    if value is None:
        raise ConditionError(
            f"the condition on {column!r} compares with None; nothing equals null: write {{{column!r}: None}} alone"
        )
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, int, float, bool)):
        return value
    raise ConditionError(
        f"the condition on {column!r} has a value of type {type(value).__name__}; give text, a number or a date"
    )
