"""Constraints kept by construction: what is learned in place of the columns that a constraint ties together.

    low <= high              a gap that is never negative, in place of one side
    total = a + b            nothing in place of the total: it is computed
    combinations(a, b)       one category whose levels are the combinations seen in training, in place of the columns

Target and sensitive columns stay as they are wherever another column can give way, so that they can be conditioned on; in a
combination their role passes to the category, and conditions on a member are translated into conditions on it. A column gives
way to one constraint only; a constraint that finds none left is kept by rejection (`synth.data.constraints.broken_rows`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from synth.data._steps import Composite, Computed, Gap, Step
from synth.data._types import clip_to_type
from synth.data.conditions import Clause
from synth.data.constraints import Combinations, Constraint, Inequality, Sum, Unique, check_constraints, parse
from synth.data.encoding import decode_column, encode_column
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import SchemaError


@dataclass(frozen=True)
class Construction:
    """A plan: which columns give way to which step, for one schema. The same schema always gives the same plan."""

    schema: Schema
    steps: tuple[Step, ...] = ()

    @classmethod
    def plan(cls, schema: Schema) -> Construction:
        """Choose a step for each constraint that can be kept by construction.

        Raises SchemaError for a constraint on columns that are re-issued, since no generator could keep it.
        """
        return cls(schema, _Planner(schema).steps())

    @property
    def replaced(self) -> frozenset[str]:
        """The columns that are not learned as they are."""
        return frozenset(name for step in self.steps for name in step.replaces)

    @property
    def tied(self) -> frozenset[str]:
        """The columns that some step is about: those that give way, and those that these are counted from."""
        return self.replaced | self._needed

    @property
    def _needed(self) -> frozenset[str]:
        """The columns that some step counts from."""
        return frozenset(name for step in self.steps for name in step.needs)

    def forward(self, table: Table, *, blind: bool = False) -> Table:
        """The table as a generator learns it. Raises SchemaError where its rows break a constraint.

        blind: under a privacy budget no row is refused, no row changes what becomes of another, and which columns there are
        follows from the declaration. Raises SchemaError for a constraint that takes more than that.
        """
        if not blind:
            check_constraints(table)
        if not self.steps:
            return table
        values = _encoded(table, {*self.replaced, *self._needed})
        made: list[tuple[Column, pa.Array]] = []
        at = {min(step.replaces, key=table.schema.names.index): step for step in self.steps}
        for column in table.schema.columns:
            if column.name in at:
                step = at[column.name]
                found = [_known(*one) for one in step.blind(values)] if blind else step.forward(values)
                made += [(new, decode_column(new, array, physical(new))) for new, array in found]
            if column.name not in self.replaced:
                made.append((column, table.column(column.name)))
        time = table.schema.time if table.schema.time not in self.replaced else None
        schema = Schema(tuple(column for column, _ in made), (), time)
        arrow = pa.table([array for _, array in made], names=list(schema.names))
        return replace(table, arrow=arrow, schema=schema)

    def inverse(self, learned: Table, schema: Schema, layout: pa.Schema) -> Table:
        """The original learned columns, in the schema's order and the physical types of `layout`."""
        if not self.steps:
            return learned.with_schema(schema)
        values = _encoded(learned, {*learned.schema.names} - {*schema.names} | self._needed)
        waiting = list(self.steps)
        while waiting:  # the plan has no cycle, so some step always has what it needs
            step = next(step for step in waiting if not any(name in other.replaces for other in waiting for name in step.needs))
            values.update(step.inverse(values, learned.schema))
            waiting.remove(step)
        arrays, fields = [], []
        for column in schema.columns:
            kind = layout.field(column.name).type
            fields.append(layout.field(column.name))
            if column.name not in self.replaced:
                arrays.append(learned.column(column.name))
                continue
            rebuilt = values[column.name]
            fits = rebuilt if column.kind.is_category else clip_to_type(rebuilt, column, kind)
            arrays.append(decode_column(column, fits, kind))
        return replace(learned, arrow=pa.table(arrays, schema=pa.schema(fields, metadata=layout.metadata)), schema=schema)

    def translate(self, clauses: Iterable[Clause], learned: Schema) -> tuple[Clause, ...]:
        """The clauses on members of a combination, as clauses on the category that stands for it."""
        said = {clause.column: clause for clause in clauses}
        asked = [step for step in self.steps if isinstance(step, Composite) and any(name in said for name in step.replaces)]
        return tuple(step.translate(said, learned.column(step.name)) for step in asked if step.name in learned)


class _Planner:
    """Gives each constraint a column that gives way to it, as long as no column then depends on itself."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.constraints = [parse(text, schema) for text in schema.constraints]
        self.names = set(schema.names)
        self.depends: dict[str, tuple[str, ...]] = {}  # a replaced column, and what brings it back

    def steps(self) -> tuple[Step, ...]:
        for constraint in self.constraints:
            _check_learned(constraint, self.schema)
        # Rejection can hardly ever meet a sum and cannot meet a combination: these choose first.
        found: list[Step] = self._composites()
        for kind in (Sum, Inequality):
            for constraint in self.constraints:
                if isinstance(constraint, kind):
                    step = self._sum(constraint) if isinstance(constraint, Sum) else self._gap(constraint)
                    found += [] if step is None else [step]
        return tuple(found)

    def _composites(self) -> list[Step]:
        """One category for all combinations that share a column: what was seen together keeps each of them."""
        groups: list[set[str]] = []
        for constraint in self.constraints:
            if isinstance(constraint, Combinations):
                touching = [group for group in groups if group & set(constraint.columns)]
                groups = [group for group in groups if group not in touching]
                groups.append(set(constraint.columns).union(*touching))
        steps: list[Step] = []
        for group in groups:
            members = tuple(column for column in self.schema.columns if column.name in group)
            self.depends |= {column.name: () for column in members}
            steps.append(Composite(self._fresh(" × ".join(column.name for column in members)), members))
        return steps

    def _sum(self, constraint: Sum) -> Step | None:
        sides = ((-1, constraint.total), *constraint.terms)
        for own, name in sides:
            others = tuple((-sign * own, other) for sign, other in sides if other != name)
            if self._gives_way(name, [other for _, other in others]):
                given = tuple((sign, self.schema.column(other)) for sign, other in others)
                return Computed(
                    self._fresh(f"{name} is missing"), self.schema.column(name), given, self._fresh(f"{name} on its own")
                )
        return None

    def _gap(self, constraint: Inequality) -> Step | None:
        if not (isinstance(constraint.low, str) and isinstance(constraint.high, str)):
            return None  # a bound that the training rows keep is hardly ever crossed: rejection is cheap
        for name, other in ((constraint.high, constraint.low), (constraint.low, constraint.high)):
            if self._gives_way(name, [other]):
                low, high = self.schema.column(constraint.low), self.schema.column(constraint.high)
                gap = self._fresh(f"{constraint.high} − {constraint.low}")
                return Gap(gap, low, high, constraint.strict, self.schema.column(name))
        return None

    def _gives_way(self, name: str, needs: list[str]) -> bool:
        """Whether this column can be replaced, given the others; if so, it is."""
        if self.schema.column(name).role in (Role.TARGET, Role.SENSITIVE) or name in self.depends:
            return False
        if any(self._leads_to(need, name) for need in needs):
            return False
        self.depends[name] = tuple(needs)
        return True

    def _leads_to(self, start: str, end: str) -> bool:
        return start == end or any(self._leads_to(need, end) for need in self.depends.get(start, ()))

    def _fresh(self, name: str) -> str:
        while name in self.names:
            name += "'"
        self.names.add(name)
        return name


def _check_learned(constraint: Constraint, schema: Schema) -> None:
    """Refuse a constraint on re-issued columns that no issue of them keeps."""
    issued = [schema.column(name) for name in constraint.columns if schema.column(name).is_reissued]
    if isinstance(constraint, Unique):
        # Keys, subjects and identifiers are issued unique; a text is not.
        refused = bool(issued) and all(column.kind is Kind.TEXT and column.role is Role.FEATURE for column in issued)
    else:
        refused = bool(issued) and isinstance(constraint, (Inequality, Sum, Combinations))
    if refused:
        column = issued[0]
        raise SchemaError(
            f"constraint {constraint.text!r} names {column.name!r}, whose values ({column.kind}, {column.role}) are issued "
            "anew: no generator can keep it.\nTake the constraint out, or give the column another kind or role"
        )


def _encoded(table: Table, names: Iterable[str]) -> dict[str, np.ndarray]:
    return {name: encode_column(table.schema.column(name), table.column(name)).values for name in names if name in table.schema}


def _known(column: Column, values: np.ndarray) -> tuple[Column, np.ndarray]:
    """A column that a step makes of declared ones, all of whose facts are declared by that, and its values within them."""
    facts = ("kind", "nullable", "minimum", "maximum", "decimals")
    if column.kind.is_number and column.minimum is not None and column.maximum is not None:
        values = np.clip(values, float(column.minimum), float(column.maximum))  # what lies beyond is no error, which would tell
    return replace(column, declared=tuple(fact for fact in facts if getattr(column, fact) is not None)), values


def physical(column: Column) -> pa.DataType:
    """The physical type of a column that a step makes."""
    if column.kind is Kind.BOOLEAN:
        return pa.bool_()
    if column.kind.is_category:
        return pa.string()
    return pa.int64() if column.kind is Kind.INTEGER else pa.float64()
