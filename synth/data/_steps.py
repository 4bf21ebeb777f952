"""The steps of a `Construction`: each puts something else in place of columns, and brings them back.

Arrays are encoded values by column name, as in `synth.data.encoding`: float64 with NaN for null, or int32 codes with -1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synth.data.conditions import Clause
from synth.data.constraints import decimals_of, step_of
from synth.data.encoding import round_to
from synth.data.moments import bounds_of
from synth.data.schema import Column, Kind, Role, Schema
from synth.errors import ConditionError, SchemaError

Values = Mapping[str, np.ndarray]
Made = list[tuple[Column, np.ndarray]]

MIN_COMBINATIONS = 50  # so many are always accepted, however few the rows


@dataclass(frozen=True)
class Step:
    """One replacement. `replaces` are the columns that go, `needs` those that must be there to bring them back."""

    name: str

    @property
    def replaces(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def needs(self) -> tuple[str, ...]:
        raise NotImplementedError

    def forward(self, values: Values) -> Made:
        """The columns to learn in place of `replaces`."""
        raise NotImplementedError

    def blind(self, values: Values) -> Made:
        """The same under a privacy budget: which columns there are follows from the declaration, and each row is by itself."""
        return self.forward(values)

    def inverse(self, values: Values, learned: Schema) -> dict[str, np.ndarray]:
        """The replaced columns, from the learned ones."""
        raise NotImplementedError


@dataclass(frozen=True)
class Gap(Step):
    """low <= high: learns high − low in place of `solved`, which is one of the two.

    Where the other side is null there is nothing to measure from: the gap then counts from the schema's bound of `solved`.
    """

    low: Column
    high: Column
    strict: bool
    solved: Column

    @property
    def other(self) -> Column:
        return self.low if self.solved is self.high else self.high

    @property
    def replaces(self) -> tuple[str, ...]:
        return (self.solved.name,)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.other.name,)

    @property
    def _sign(self) -> int:
        return 1 if self.solved is self.high else -1

    @property
    def _unit(self) -> int:
        """The finer step of the two: both sides are whole numbers of it."""
        return min(step_of(self.low), step_of(self.high))

    @property
    def _decimals(self) -> int:
        return max(decimals_of(self.low), decimals_of(self.high))

    @property
    def _least(self) -> float:
        """The smallest gap; without a grid a strict gap has none, and `inverse` moves to the next double."""
        return 10.0**-self._decimals if self.strict and self._decimals < 17 else 0.0

    def _scaled(self, column: Column, values: np.ndarray) -> np.ndarray:
        return values * (step_of(column) // self._unit)

    def _from(self, values: Values) -> np.ndarray:
        """What the gap counts from, never null."""
        other = self._scaled(self.other, values[self.other.name])
        return np.where(np.isnan(other), self._base(), other)

    def _base(self) -> float:
        low, high = bounds_of(self.solved)
        bound = low if self._sign > 0 else high
        return bound * (step_of(self.solved) // self._unit) if np.isfinite(bound) else 0.0

    def column(self) -> Column:
        """The gap as a column; its bounds follow from the schema alone."""
        scale = {c.name: step_of(c) // self._unit for c in (self.low, self.high)}
        low_bounds = [bound * scale[self.low.name] for bound in bounds_of(self.low)]
        high_bounds = [bound * scale[self.high.name] for bound in bounds_of(self.high)]
        least, most = self._least, high_bounds[1] - low_bounds[0]
        if self.other.nullable:
            own = low_bounds if self._sign < 0 else high_bounds
            least = 0.0 if np.isfinite(own[0 if self._sign > 0 else 1]) else -np.inf
            most = max(most, own[1] - own[0])
        whole = self._decimals == 0
        return Column(
            self.name,
            Kind.INTEGER if whole else Kind.DECIMAL,
            nullable=self.solved.nullable,
            minimum=_bound(least, whole),
            maximum=_bound(most, whole) if most >= least else None,
            decimals=None if whole or self._decimals >= 17 else self._decimals,
            why=f"learned in place of {self.solved.name!r}, which is never {'below' if self._sign > 0 else 'above'} "
            f"{self.other.name!r}",
        )

    def forward(self, values: Values) -> Made:
        solved = self._scaled(self.solved, values[self.solved.name])
        return [(self.column(), round_to(self._sign * (solved - self._from(values)), self._decimals))]

    def inverse(self, values: Values, learned: Schema) -> dict[str, np.ndarray]:
        other = self._scaled(self.other, values[self.other.name])
        gap = values[self.name]
        gap = np.where(np.isnan(other), gap, np.maximum(gap, self._least))
        solved = round_to(self._from(values) + self._sign * gap, self._decimals)
        return {self.solved.name: self._outwards(solved, other)}

    def _outwards(self, solved: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Onto the solved column's own grid, away from the other side, so that rounding never crosses it."""
        scale, decimals = step_of(self.solved) // self._unit, decimals_of(self.solved)
        if decimals >= 17:
            crossed = self._sign * solved <= self._sign * other if self.strict else self._sign * solved < self._sign * other
            nearest = np.nextafter(other, self._sign * np.inf) if self.strict else other
            return np.where(crossed, nearest, solved)
        step = 10.0**-decimals
        on_grid = round_to(solved / scale, decimals)
        side, own = self._sign * (on_grid * scale), self._sign * other
        short = (side < self._sign * solved - 1e-6 * step * scale) | (side < own) | ((side <= own) if self.strict else False)
        return np.where(short, round_to(on_grid + self._sign * step, decimals), on_grid)


@dataclass(frozen=True)
class Computed(Step):
    """total = a + b: nothing is learned in place of `solved`, the sum of `given` with their signs.

    A column is added where the training rows need one: the total itself where some rows have it although a term is missing, or
    else whether it is missing although its terms are there. The first holds the total of every row, and not only of those that
    will need it: a column that is null everywhere else would be drawn null where it is needed, too.
    """

    solved: Column
    given: tuple[tuple[int, Column], ...]
    alone: str

    @property
    def replaces(self) -> tuple[str, ...]:
        return (self.solved.name,)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(column.name for _, column in self.given)

    def _sum(self, values: Values) -> np.ndarray:
        total = np.sum([sign * values[column.name] for sign, column in self.given], axis=0)
        return round_to(total, decimals_of(self.solved))

    def forward(self, values: Values) -> Made:
        complete, solved = ~np.isnan(self._sum(values)), values[self.solved.name]
        alone, missing = ~complete & ~np.isnan(solved), complete & np.isnan(solved)
        return self._made(values, alone=bool(alone.any()), missing=bool(missing.any()))

    def blind(self, values: Values) -> Made:
        return self._made(values, alone=any(column.nullable for _, column in self.given), missing=self.solved.nullable)

    def _made(self, values: Values, *, alone: bool, missing: bool) -> Made:
        solved = values[self.solved.name]
        if alone:
            return [(replace(self.solved, name=self.alone, role=Role.FEATURE, nullable=True, pattern=None), solved)]
        if missing:
            there = ~np.isnan(self._sum(values)) & np.isnan(solved)
            return [(Column(self.name, Kind.BOOLEAN, why=f"{self.solved.name!r} is computed"), there.astype(np.int32))]
        return []

    def inverse(self, values: Values, learned: Schema) -> dict[str, np.ndarray]:
        total = self._sum(values)
        if self.alone in learned:
            alone = values[self.alone]
            total = np.where(np.isnan(total) | np.isnan(alone), alone, total)
        elif self.name in learned:
            total = np.where(values[self.name] == 1, np.nan, total)
        return {self.solved.name: total}


@dataclass(frozen=True)
class Composite(Step):
    """combinations(a, b): one category in place of its members; its levels are the combinations seen, as JSON.

    A level lists the members' encoded values, null for null, so that the model's schema alone brings the members back.
    """

    members: tuple[Column, ...]

    def blind(self, values: Values) -> Made:
        raise SchemaError(
            f"combinations({', '.join(self.replaces)}) are those that the rows have, which tells of them, and nobody declared "
            "which there may be;\nunder a privacy budget take it out, or declare one column whose categories are the legal "
            "combinations"
        )

    @property
    def replaces(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.members)

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def forward(self, values: Values) -> Made:
        arrays = [values[column.name] for column in self.members]
        codes = np.zeros(len(arrays[0]), dtype=np.int64)
        for array in arrays:  # refined member by member, so that codes stay below the number of rows squared
            distinct, position = np.unique(array, return_inverse=True)
            codes = np.unique(codes * len(distinct) + position, return_inverse=True)[1]
        _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
        if len(first) > max(MIN_COMBINATIONS, len(codes) // 2):
            raise SchemaError(
                f"combinations({', '.join(self.replaces)}) has {len(first):,} combinations in {len(codes):,} rows: "
                "most of them would be copied rows.\nName fewer columns, or columns with fewer values"
            )
        levels = tuple(json.dumps([_plain(array[row]) for array in arrays]) for row in first)
        return [(Column(self.name, Kind.CATEGORICAL, self._role(), categories=levels), codes.astype(np.int32))]

    def _role(self) -> Role:
        roles = {column.role for column in self.members}
        return next((role for role in (Role.TARGET, Role.SENSITIVE) if role in roles), Role.FEATURE)

    def _lookup(self, column: Column) -> dict[str, np.ndarray]:
        """Per member, its encoded value in each level; one more entry for a null."""
        levels = [json.loads(str(level)) for level in column.categories or ()] + [[None] * len(self.members)]
        out = {}
        for position, member in enumerate(self.members):
            said = [level[position] for level in levels]
            if member.kind.is_category:
                out[member.name] = np.array([-1 if value is None else value for value in said], dtype=np.int32)
            else:
                out[member.name] = np.array([np.nan if value is None else value for value in said], dtype=np.float64)
        return out

    def inverse(self, values: Values, learned: Schema) -> dict[str, np.ndarray]:
        codes = values[self.name]
        return {name: array[codes] for name, array in self._lookup(learned.column(self.name)).items()}

    def translate(self, said: Mapping[str, Clause], column: Column) -> Clause:
        """The clauses on members as one on the category. Raises ConditionError where no combination satisfies them."""
        allowed = np.ones(len(column.categories or ()), dtype=bool)
        for name, array in self._lookup(column).items():
            if name in said:
                allowed &= said[name].holds(array[:-1])
        if not allowed.any():
            named = ", ".join(repr(name) for name in self.replaces if name in said)
            raise ConditionError(
                f"no combination of {', '.join(self.replaces)} in the training data satisfies the condition on {named}; "
                "widen it"
            )
        return Clause(self.name, Kind.CATEGORICAL, codes=frozenset(int(code) for code in np.flatnonzero(allowed)))


def _plain(value: Any) -> int | float | None:
    if isinstance(value, np.integer):
        return int(value) if value >= 0 else None
    return None if np.isnan(value) else float(value)


def _bound(value: float, whole: bool) -> float | int | None:
    if not np.isfinite(value):
        return None
    return int(value) if whole else float(value)
