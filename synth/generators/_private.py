"""A fit under a privacy budget: what is refused, when it is paid, and what the model says of it afterwards.

    1. what cannot be done under a budget is refused, and what the data set's cap does not allow, before any row is read
    2. what nobody declared is refused, with the words to declare it, unless a share is set aside to buy it
    3. the whole cost is written into the ledger; it stays written whatever happens next
    4. the rows are learned from, through noise alone: first the cells of the columns, then what the method wants to know

Nothing else of the rows is kept: schema and types follow from what was declared or bought, and their number is not told.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from synth.data.construction import Construction, physical
from synth.data.schema import Kind, Schema
from synth.data.table import Table
from synth.errors import ConfigError, InputError, SchemaError
from synth.generators._fitted import Fitted
from synth.generators._hyperparameters import real_number
from synth.generators._judging import Judging
from synth.privacy.accounting import Curve
from synth.privacy.accounts import Entry
from synth.privacy.allowance import Allowance
from synth.privacy.budget import Budget
from synth.privacy.domains import PrivateDomain, encode_rows
from synth.privacy.ledger import Ledger
from synth.privacy.mechanisms import Noise
from synth.privacy.subjects import truncate_subjects
from synth.privacy.undeclared import buyable, to_declare, undeclared
from synth.progress import Progress

if TYPE_CHECKING:
    from synth.generators.base import Generator

THRESHOLDS = 0.5  # of δ, where categories are bought: the rest turns ρ into ε
_TYPES = {  # of values whose physical type could tell of a row: a frame's integers turn to floats with the first null
    Kind.INTEGER: pa.int64(),
    Kind.DECIMAL: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.DATETIME: pa.timestamp("us"),
}


@dataclass(frozen=True)
class Terms:
    """What a caller of `fit` asks for. ledger: a path, or None for this machine's. noise_seed: for tests alone."""

    budget: Budget
    dataset: str
    ledger: str | Path | None = None
    facts_share: float = 0.0  # of the budget, to buy what the schema does not declare; 0 refuses it
    judging_share: float = 0.0  # of the budget, to buy noisy counts that rows are judged by
    noise_seed: int | None = None

    def __post_init__(self) -> None:
        real_number("facts_share", self.facts_share, least=0.0, most=0.9)
        real_number("judging_share", self.judging_share, least=0.0, most=0.5)

    @property
    def aside(self) -> int:
        """Micro-ρ of the budget for counts to judge by."""
        return int(self.judging_share * self.budget.micro_rho)

    @classmethod
    def of(cls, budget: Any, dataset: str | None, source: Any, **others: Any) -> Terms:
        """The terms of a fit. Raises ConfigError for no budget, InputError where nothing names the data set."""
        if budget is None:
            raise ConfigError(
                "dataset, ledger, facts_share, judging_share and noise_seed go with a budget; give one, or leave them out"
            )
        if not isinstance(budget, Budget):
            raise ConfigError(f"budget is {budget!r}; give a synth.Budget(epsilon, delta)")
        if dataset is None and isinstance(source, (str, os.PathLike)):
            dataset = Path(source).name.split(".")[0]
        if dataset is None:
            raise InputError(
                "a budget is spent on a data set, which the ledger knows by its name; give dataset=NAME,\n"
                "the same one whenever rows of the same people are looked at"
            )
        return cls(budget, dataset, **others)

    def check(self, method: Generator, seed: int, checkpoint: Any) -> None:
        """Raise ConfigError for what cannot go with a budget, BudgetError where the ledger has no room; no row is read."""
        if seed:
            raise ConfigError(
                f"seed is {seed}, and under a budget noise comes from the operating system: who knew its seed could take it "
                "off again;\nleave seed out of fit (sample takes one), or give noise_seed in a test"
            )
        if checkpoint is not None:
            raise ConfigError("a checkpoint would keep what the noise has yet to hide; fit under a budget without one")
        affordable(method, self)


@dataclass(frozen=True, eq=False)
class Access:
    """All that a method under a budget learns through: nothing else of the rows may show."""

    domain: PrivateDomain
    noise: Noise  # its allowance holds the zCDP part of the cost, less what the domain took
    budget: Budget
    cost: Curve  # of the whole fit, as the ledger has it
    rng: np.random.Generator  # nobody's to know


@dataclass(frozen=True)
class Receipt:
    """What a model says of its budget: enough for its receiver to hold the ledger to its word."""

    budget: Budget
    dataset: str
    cost: Curve
    entry: int  # of the ledger, ...
    digest: str  # ... and that entry's SHA-256
    secure: bool  # whether nobody can draw the noise again
    spent: tuple[tuple[str, int], ...]  # the zCDP part, in order: what, micro-ρ
    delta_spent: tuple[tuple[str, float], ...]  # what thresholds took of δ
    declared: Mapping[str, tuple[str, ...]]  # facts of each column that were declared to be public
    bought: Mapping[str, tuple[str, ...]]  # and those that were paid for

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "budget": self.budget.to_dict(),
            "dataset": self.dataset,
            "cost": self.cost.to_dict(),
            "entry": self.entry,
            "digest": self.digest,
            "secure": self.secure,
            "spent": [list(part) for part in self.spent],
            "delta_spent": [list(part) for part in self.delta_spent],
            "declared": {name: list(facts) for name, facts in self.declared.items()},
            "bought": {name: list(facts) for name, facts in self.bought.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Receipt:
        """The inverse of `to_dict`."""
        return cls(
            budget=Budget(**data["budget"]),
            dataset=data["dataset"],
            cost=Curve(**data["cost"]),
            entry=data["entry"],
            digest=data["digest"],
            secure=data["secure"],
            spent=tuple((what, cost) for what, cost in data["spent"]),
            delta_spent=tuple((what, delta) for what, delta in data["delta_spent"]),
            declared={name: tuple(facts) for name, facts in data["declared"].items()},
            bought={name: tuple(facts) for name, facts in data["bought"].items()},
        )


def affordable(method: Generator, terms: Terms, schema: Schema | None = None) -> tuple[Ledger, Curve, float]:
    """The ledger, what the fit costs, and what thresholds may take of δ, where the data set's cap allows it; reads no row.

    schema: of the table, once it is known, which says whether categories are to be bought; without it they may be.
    Raises ConfigError for a method that takes no budget, BudgetError where the cap would be passed.
    """
    if not method.private:
        raise ConfigError(f"{method.name or type(method).__name__} takes no privacy budget: {method.refusal}")
    buys = terms.facts_share > 0 and (schema is None or any("categories" in facts for facts in undeclared(schema).values()))
    delta = terms.budget.delta * THRESHOLDS if buys else 0.0
    cost = method._private_cost(terms.budget, delta, terms.aside)
    ledger = Ledger(terms.ledger)
    for account in ledger.accounts():
        if account.dataset == terms.dataset:
            account.check(cost, terms.budget.unit, terms.budget.rows_per_subject, what=_what(method))
    return ledger, cost, delta


def fit_paid(
    method: Generator,
    data: Any,
    reading: Mapping[str, Any],
    *,
    seed: int,
    checkpoint: Any,
    progress: Progress,
    budget: Any,
    dataset: str | None,
    **others: Any,
) -> tuple[Fitted, Receipt, Judging | None]:
    """`Generator.fit` under a budget. reading: how a frame or a file is read, of which no error may tell."""
    from synth.data.blind import read_blind
    from synth.data.frames import as_table

    terms = Terms.of(budget, dataset, data, **others)
    terms.check(method, seed, checkpoint)  # before a row is read
    is_table = isinstance(data, Table)
    table = as_table(data, **reading) if is_table else read_blind(data, **reading)
    return fit_private(method, table, terms, gives_table=is_table, progress=progress)


def fit_private(
    method: Generator, table: Table, terms: Terms, *, gives_table: bool, progress: Progress
) -> tuple[Fitted, Receipt, Judging | None]:
    """Let a method learn from a table under these terms. The data set's first budget is its cap, where it has none yet."""
    made = table.select([column.name for column in table.schema.made])
    plan = _check(made, terms)
    ledger, cost, delta = affordable(method, terms, made.schema)
    entry = _pay(ledger, terms, cost, _what(method))
    noise = Noise(Allowance(cost.micro_rho), delta=delta, seed=terms.noise_seed)
    rng = np.random.default_rng(list(noise.entropy(32)))
    k = terms.budget.rows_per_unit
    if terms.budget.unit == "subject":
        made = truncate_subjects(made, k, rng)
    learned = plan.forward(made.select([column.name for column in made.schema.learned]), blind=True)
    rows, schema = encode_rows(learned), learned.schema
    own = cost.micro_rho - terms.aside
    domain = PrivateDomain.of(
        rows,
        schema,
        noise,
        facts_micro_rho=int(terms.facts_share * own),
        bins_micro_rho=int(method.bins_share * own),
        delta=delta,
        rows_per_unit=k,
    )
    judging = None
    if terms.judging_share:
        codes, target = domain.encode(rows, schema), schema.target
        named = None if target is None or target.name not in domain.names else target.name
        judging = Judging.bought(domain, codes, noise, terms.aside, target=named, rows_per_unit=k)
    method._fit_private(rows, schema, Access(domain, noise, terms.budget, cost, rng), progress)
    receipt = Receipt(
        budget=terms.budget,
        dataset=terms.dataset,
        cost=cost,
        entry=entry.number,
        digest=entry.digest,
        secure=noise.is_secure,
        spent=tuple(noise.allowance.spent),
        delta_spent=tuple(noise.delta_spent),
        declared={column.name: column.declared for column in made.schema.columns},
        bought={column.name: column.bought for column in domain.columns if column.bought},
    )
    return _fitted(made, learned, domain, gives_table), receipt, judging


def _pay(ledger: Ledger, terms: Terms, cost: Curve, what: str) -> Entry:
    """Write the spending down. The first budget of a data set is its cap, until somebody raises it on record."""
    by, budget = _who(), terms.budget
    try:
        ledger.open_account(terms.dataset, budget, by=by)
    except InputError:
        if terms.dataset not in [account.dataset for account in ledger.accounts()]:
            raise  # no name for one
    return ledger.spend(terms.dataset, cost, what=what, by=by, unit=budget.unit, rows_per_subject=budget.rows_per_subject)


def _check(table: Table, terms: Terms) -> Construction:
    """Refuse what cannot be kept, by the declaration alone; how constraints are kept by construction."""
    schema = table.schema
    if not schema.learned:
        raise ConfigError("no column is left to learn: all are keys, identifiers, free text or dropped; check the schema")
    if terms.budget.unit == "subject" and schema.subject is None:
        raise ConfigError(
            "the budget protects subjects, and no column says whose a row is; name it in the schema: subject: COL"
        )
    if terms.budget.unit == "row" and schema.subject is not None:
        raise ConfigError(
            f"column {schema.subject.name!r} says whose a row is, and the budget protects single rows;\n"
            "give unit='subject' and rows_per_subject=K, the most rows that one has"
        )
    bought = terms.facts_share > 0
    lacking = {
        name: facts for name, facts in undeclared(schema).items() if not (bought and buyable(schema.column(name), facts))
    }
    if lacking:
        raise to_declare(schema, lacking)
    plan = Construction.plan(schema)
    bought_ones = {name: facts for name, facts in undeclared(schema).items() if name in plan.tied}
    if bought_ones:  # what is learned in their place follows from what is declared of them
        raise to_declare(schema, bought_ones)
    names = [column.name for column in schema.learned]
    empty = plan.forward(Table(table.arrow.select(names).slice(0, 0), schema.select(names)), blind=True)  # what cannot be kept
    for column in empty.schema.columns:
        if column.name not in schema and column.kind.is_number and column.maximum is None:
            raise SchemaError(f"{column.why}, and by the declared bounds it always would be; widen the bounds")
    return plan


def _fitted(table: Table, learned: Table, domain: PrivateDomain, gives_table: bool) -> Fitted:
    """Shape and types of the rows to give back, from what was declared or bought alone."""
    schema, learned_schema = domain.schema(table.schema), domain.schema(learned.schema)
    layout = pa.schema([pa.field(column.name, _type(table, column.name, column.kind)) for column in schema.columns])
    made = [column.name not in schema for column in learned_schema.columns]  # in place of columns that a constraint ties
    fields = [
        pa.field(column.name, physical(column)) if new else layout.field(column.name)
        for column, new in zip(learned_schema.columns, made, strict=True)
    ]
    return Fitted(
        schema=schema,
        layout=layout,
        learned_schema=learned_schema,
        learned_layout=pa.schema(fields),
        null_rates={column.name: 0.0 for column in schema.columns if column.is_reissued},
        seen={},
        frame=table.frame,
        gives_table=gives_table,
        rows=None,
        seed=0,
    )


def _type(table: Table, name: str, kind: Kind) -> pa.DataType:
    """The physical type as the source declares it, but for what may depend on a row: dictionaries, and types made to fit."""
    there = table.arrow.schema.field(name).type
    if pa.types.is_dictionary(there):
        there = there.value_type
    fits = {
        Kind.INTEGER: pa.types.is_integer,
        Kind.DECIMAL: lambda t: pa.types.is_floating(t) or pa.types.is_decimal(t),
        Kind.BOOLEAN: pa.types.is_boolean,
        Kind.DATETIME: pa.types.is_temporal,
    }
    if kind in fits:
        return there if fits[kind](there) else _TYPES[kind]
    return pa.string() if pa.types.is_null(there) or pa.types.is_large_string(there) or pa.types.is_string(there) else there


def _what(method: Generator) -> str:
    return f"fit of {method.name}"


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
