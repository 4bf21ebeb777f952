"""What two neighbouring tables are told apart by without any statistics: whatever differs although nobody paid for it.

    told_apart(fit, one, other)     fit on both, with the same noise; every place where what came out, what was said or
                                    how it failed differs, but for the noisy values themselves

Tables that are neighbours of every awkward kind are in `NEIGHBOURS`: a category that one row alone has, an extreme, a single
null, the row that keeps a column from being constant. All are legal under one declared schema, and so must look alike.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, is_dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.errors import SynthError

Data = TypeVar("Data")

ROWS = 40  # of the tables below, without the row that is added
DECLARED = ("kind", "categories", "minimum", "maximum", "decimals", "nullable")
SCHEMA = Schema(
    (
        Column("kind", Kind.CATEGORICAL, categories=("a", "b", "c", "rare"), declared=DECLARED),
        Column("size", Kind.INTEGER, minimum=0, maximum=999, declared=DECLARED),
        Column("share", Kind.DECIMAL, minimum=0.0, maximum=1.0, decimals=2, nullable=True, declared=DECLARED),
        Column("constant", Kind.CATEGORICAL, categories=("no", "yes"), declared=DECLARED),
    )
)
_USUAL = {"kind": "a", "size": 50, "share": 0.5, "constant": "no"}
_ADDED: Mapping[str, Mapping[str, Any]] = {
    "a unique category": {"kind": "rare"},
    "an extreme": {"size": 999},
    "a single null": {"share": None},
    "the row that keeps a column from being constant": {"constant": "yes"},
}


def _with_and_without(added: Mapping[str, Any]) -> tuple[Table, Table]:
    """Rows that are all alike legal, and the same with one more."""
    rows = [{**_USUAL, "kind": "abc"[row % 3], "size": 40 + row % 20, "share": row % 10 / 10} for row in range(ROWS)]
    first, second = (pa.Table.from_pylist(some, schema=_LAYOUT) for some in (rows, [*rows, {**_USUAL, **added}]))
    return Table(first, SCHEMA), Table(second, SCHEMA)


_LAYOUT = pa.schema([("kind", pa.string()), ("size", pa.int64()), ("share", pa.float64()), ("constant", pa.string())])
NEIGHBOURS: Mapping[str, tuple[Table, Table]] = {name: _with_and_without(added) for name, added in _ADDED.items()}


def told_apart(fit: Callable[[Data], Any], one: Data, other: Data, *, noisy: Sequence[str] = ()) -> list[str]:
    """Where two fits differ, each place with both values; empty where nothing can be told.

    fit: gives all that would leave (mappings, sequences, arrays and dataclasses, in any depth) from one table. Where what it
    gives is noisy it is to draw the same noise each time (`Noise(…, seed=…)`), so that values may differ, but nothing else.
    noisy: patterns of the places whose values may differ, as in "measured.*.counts": there only types and shapes are compared.
    Prints, logs and warnings are compared, and so is the error where a fit refuses; one that is not of synth is raised.
    """
    seen = [_seen(fit, data) for data in (one, other)]
    return list(_differences("", seen[0], seen[1], tuple(noisy)))


def _seen(fit: Callable[[Data], Any], data: Data) -> Mapping[str, Any]:
    """All that somebody sees of a fit."""
    with _heard() as said:
        try:
            given, error = fit(data), None
        except SynthError as problem:  # any other is a fault of the fit, and two that break alike prove nothing
            given, error = None, f"{type(problem).__name__}: {problem}"
    return {"given": given, "said": list(said), "error": error}


class _Ear(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.NOTSET)
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.levelname}: {record.getMessage()}")


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What is logged, warned of and printed, in that order."""
    said: list[str] = []
    root, ear, level = logging.getLogger(), _Ear(said), logging.getLogger().level
    root.addHandler(ear)
    root.setLevel(logging.NOTSET)
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(record=True) as warned, redirect_stdout(printed), redirect_stderr(printed):
            warnings.simplefilter("always")
            yield said
    finally:
        root.removeHandler(ear)
        root.setLevel(level)
        said += [f"{warning.category.__name__}: {warning.message}" for warning in warned]
        said += printed.getvalue().splitlines()


@dataclass(frozen=True)
class _Shape:
    """Of an array what is no noisy value."""

    dtype: str
    shape: tuple[int, ...]


def _differences(place: str, one: Any, other: Any, noisy: tuple[str, ...]) -> Iterator[str]:
    """Walk through both together."""
    if type(one) is not type(other):
        yield f"{place}: {_short(one)} against {_short(other)}"
    elif isinstance(one, np.ndarray):
        shapes = [_Shape(str(array.dtype), array.shape) for array in (one, other)]
        if shapes[0] != shapes[1]:
            yield f"{place}: {shapes[0]} against {shapes[1]}"
        elif not _may_differ(place, noisy) and one.tobytes() != other.tobytes():
            yield f"{place}: values differ"
    elif is_dataclass(one) and not isinstance(one, type):
        for field in fields(one):
            yield from _differences(_under(place, field.name), getattr(one, field.name), getattr(other, field.name), noisy)
    elif isinstance(one, Mapping):
        if list(one) != list(other):
            yield f"{place}: {_short(list(one))} against {_short(list(other))}"
        else:
            for key in one:
                yield from _differences(_under(place, str(key)), one[key], other[key], noisy)
    elif isinstance(one, Sequence) and not isinstance(one, (str, bytes)):
        if len(one) != len(other):
            yield f"{place}: {len(one)} entries against {len(other)}"
        for number, (first, second) in enumerate(zip(one, other, strict=False)):
            yield from _differences(_under(place, str(number)), first, second, noisy)
    elif not _may_differ(place, noisy) and one != other and not (one != one and other != other):
        yield f"{place}: {_short(one)} against {_short(other)}"


def _under(place: str, name: str) -> str:
    """Places of what was given are named without saying so."""
    return name if place in ("", "given") else f"{place}.{name}"


def _may_differ(place: str, noisy: tuple[str, ...]) -> bool:
    return any(fnmatchcase(place, pattern) for pattern in noisy)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
