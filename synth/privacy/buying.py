"""Who pays for what a schema does not declare: how a share is divided, in which order, and what is kept of a column.

What is asked for follows from the declaration, and from what was bought before; never from the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synth.data.encoding import Encoded
from synth.data.moments import moment_text
from synth.data.schema import Column, Kind, Schema
from synth.errors import BudgetError, SchemaError
from synth.privacy.bins import Cuts
from synth.privacy.columns import OTHER, Line, PrivateColumn
from synth.privacy.facts import buy_bounds, buy_categories, buy_nullable
from synth.privacy.mechanisms import Noise
from synth.privacy.undeclared import buyable, to_declare, undeclared

KEPT = ("nullable", "categories", "minimum", "maximum", "decimals", "unit", "provider", "pattern")  # facts, where declared


@dataclass(frozen=True, eq=False)
class Buyer:
    """Makes columns that follow from the declaration, and from noisy counts of rows that were encoded under the schema."""

    rows: Encoded
    schema: Schema
    noise: Noise | None
    rows_per_unit: int

    def facts(self, micro_rho: int, delta: float) -> list[PrivateColumn]:
        """The learned columns with the facts they take, still without bins. Raises SchemaError for what cannot be had."""
        lacking = undeclared(self.schema)
        refused = {name: facts for name, facts in lacking.items() if not self._can_buy(name, facts, micro_rho, delta)}
        if refused or self.noise is None:
            if refused:
                raise to_declare(self.schema, refused)
            return [PrivateColumn(declared(column)) for column in self.schema.learned]
        part = _part(micro_rho, sum(_prices(facts) for facts in lacking.values()), "facts that nobody declared")
        lists = sum("categories" in facts for facts in lacking.values())
        chance = math.nextafter(delta / lists, 0) if lists else 0.0
        return [self._known(column, lacking.get(column.name, ()), part, chance) for column in self.schema.learned]

    def bins(self, column: PrivateColumn, line: Line, bins: int, micro_rho: int) -> PrivateColumn:
        """A number cut into about so many bins of equal rows."""
        assert self.noise is not None
        values = self.rows[column.name]
        places, what = line.places(values.values[~values.null]), f"bins of {column.name!r}"
        cuts = Cuts.bought(places, line.size, bins, self.noise, micro_rho, rows_per_unit=self.rows_per_unit, what=what)
        return replace(column, cuts=cuts, bought=(*column.bought, "bins"))

    def _can_buy(self, name: str, facts: tuple[str, ...], micro_rho: int, delta: float) -> bool:
        paid = micro_rho > 0 and self.noise is not None and (delta > 0 or "categories" not in facts)
        return paid and buyable(self.schema.column(name), facts)

    def _known(self, column: Column, facts: tuple[str, ...], part: int, chance: float) -> PrivateColumn:
        """A column with the facts that are declared, and these bought, a part of the share for each."""
        if not facts or self.noise is None:
            return PrivateColumn(declared(column))
        values = self.rows[column.name]
        there = values.values[~values.null]
        pays = (self.noise, part, self.rows_per_unit)
        new: dict[str, Any] = {}
        other = None
        if "nullable" in facts:
            new["nullable"] = buy_nullable(values.null, *pays, what=f"nulls of {column.name!r}")
        if "categories" in facts:
            levels = column.categories or ()
            found = buy_categories(there, levels, *pays, delta=chance, what=f"categories of {column.name!r}")
            other = OTHER if _is_text(column) else "null"
            if other != OTHER and not found:
                raise _not_found(column, "categories", part, "categories: […]")
            new["categories"] = (*(level for level in found if level != OTHER), OTHER) if other == OTHER else found
            new["nullable"] = other != OTHER or new.get("nullable", column.nullable)
        if "minimum" in facts or "maximum" in facts:
            bounds = self._bounds(column, there, part)
            new |= {fact: bound for fact, bound in bounds.items() if fact in facts}
        public = declared(column, **new, why=f"bought under the privacy budget: {', '.join(facts)}")
        return PrivateColumn(public, bought=facts, other=other)

    def _bounds(self, column: Column, values: np.ndarray, part: int) -> dict[str, Any]:
        """Both bounds, as a schema writes them."""
        assert self.noise is not None
        step: float | None = 1.0
        if column.kind is Kind.DECIMAL:
            step = 10.0**-column.decimals if column.decimals is not None and column.decimals < 17 else None
        bounds = buy_bounds(values, step, self.noise, part, self.rows_per_unit, what=f"bounds of {column.name!r}")
        if bounds is None:
            raise _not_found(column, "bounds", part, "minimum: …, maximum: …")
        if column.kind is Kind.DECIMAL:
            edges: list[Any] = [round(bound, column.decimals) if step is not None else bound for bound in bounds]
        else:
            edges = [moment_text(int(b), column) if column.kind is Kind.DATETIME else int(b) for b in bounds]
        return dict(zip(("minimum", "maximum"), edges, strict=True))


def cut(known: list[PrivateColumn], buyer: Buyer, bins: int, micro_rho: int) -> tuple[PrivateColumn, ...]:
    """The columns with the bins of their numbers: one for each legal value where these are few, else bought or even."""
    lines = {column.name: Line.of(column.column) for column in known if column.column.kind.is_number}
    wide = [name for name, line in lines.items() if line.size > bins]
    part = _part(micro_rho, len(wide), "bins") if micro_rho and wide else 0
    made = []
    for column in known:
        line = lines.get(column.name)
        if line is not None and column.name in wide and part:
            column = buyer.bins(column, line, bins, part)
        elif line is not None:
            column = replace(column, cuts=Cuts.even(line.size, bins))
        made.append(column)
    return tuple(made)


def declared(column: Column, **bought: Any) -> Column:
    """The column with the facts that a person declared, and these, and none that was read off the rows."""
    facts = {fact: getattr(column, fact) for fact in KEPT if fact in column.declared}
    return Column(column.name, column.kind, column.role, declared=column.declared, **{"why": "declared", **facts, **bought})


def _is_text(column: Column) -> bool:
    return all(isinstance(level, str) for level in column.categories or ())


def _not_found(column: Column, what: str, part: int, words: str) -> SchemaError:
    """The error where all counts drown in their noise, as the noisy counts say themselves."""
    return SchemaError(
        f"no {what} of column {column.name!r} were found for {part:,} micro-ρ: none is common enough to be told from noise;\n"
        f"set a larger share aside for facts, or declare them in schema.yaml: {column.name}: {{{words}}}"
    )


def _prices(facts: tuple[str, ...]) -> int:
    """How many mechanisms tell these facts: one for both bounds, one for each other."""
    return len(set(facts) - {"maximum"} | ({"minimum"} if "maximum" in facts else set()))


def _part(micro_rho: int, parts: int, what: str) -> int:
    if micro_rho < parts:
        raise BudgetError(f"{micro_rho:,} micro-ρ are set aside for {parts} {what}, and each costs at least 1; set more aside")
    return micro_rho // max(parts, 1)
