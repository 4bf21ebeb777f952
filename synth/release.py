"""Release a privacy-safe table: what must be declared, the safest plan that the policy accepts, and the run of it.

declared (subject, sensitive columns, budget or none, schema) ─ plan (method, policy, time, memory, why) ─ run ─ export

`plan_release` makes a run config and says why it is as it is; `release` runs it. The plan without a budget is the most private
setting of `trees` whose rows the policy still finds good enough; with a budget it is `marginals` under `private-release`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth._callable import callable_as
from synth.approving import Notice
from synth.beginning import SPARE, held_out_share, job_name
from synth.config import RunConfig, whole_table
from synth.data.schema import Kind, Role
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import ConfigError, DataError
from synth.first_config import subject_candidates
from synth.forecast import Measuring
from synth.gate.keys import Signer
from synth.gate.policy import Policy
from synth.generators import create
from synth.generators._estimate import in_seconds
from synth.memory import in_words
from synth.privacy.budget import Budget
from synth.privacy.undeclared import can_be_bought, to_declare, undeclared
from synth.private_run import admitted
from synth.progress import Progress, silent
from synth.run import Run, run
from synth.tuning import MEASURED

ATTEMPTS = 6  # fits and judgements on inner splits that the search takes, where the first does not do
BASE_BYTES = 250_000_000  # of the process with its libraries
SHARE_TO_BUY = 0.1  # of a budget, for facts that the schema does not declare


@dataclass(frozen=True)
class Plan:
    """How a table will be released. config: what `synth.run` does. why: each choice in a sentence.

    seconds, peak_bytes: what it will take on two cores, about, where a search needs all its attempts; quickest: where the first
    one does. None under a budget, where nobody counts the rows beforehand.
    doubts: what a person should look at before the rows leave.
    """

    config: RunConfig
    why: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    seconds: float | None = None
    peak_bytes: int | None = None
    quickest: float | None = None

    def __str__(self) -> str:
        lines = [*self.why]
        if self.seconds is not None and self.quickest is not None and self.peak_bytes is not None:
            least, most = in_seconds(self.quickest), in_seconds(self.seconds)
            time = most if least == most else f"{least} to {most}"
            lines.append(f"takes about {time} and {in_words(self.peak_bytes)} of memory on two cores")
        return "\n".join([*(f"- {line}" for line in lines), *(f"! {doubt}" for doubt in self.doubts)])

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        config = self.config.model_dump(by_alias=True, mode="json", exclude_none=True)
        costs = {"seconds": self.seconds, "quickest": self.quickest, "peak_bytes": self.peak_bytes}
        return {"config": config, "why": list(self.why), "doubts": list(self.doubts), **costs}


def plan_release(
    source: str | Path,
    *,
    subject: str | None,
    sensitive: Iterable[str],
    budget: Budget | None,
    target: str | None = None,
    schema: str | Path | None = None,
    dataset: str | None = None,
    policy: str | None = None,
    generator: str | None = None,
    n: int | None = None,
    formats: Iterable[str] = ("parquet", "csv"),
    seed: int = 0,
    name: str | None = None,
) -> Plan:
    """The safest plan that the policy accepts for a table in a file.

    subject, sensitive, budget: must be said, also where there is none (None, (), None): how rows are split, which attacks are
    run and what is promised follow from them. subject: the column that names the person a row is about; None says that every
    row is another person. budget: (ε, δ); nothing of the rows is then looked at for the plan, and the schema declares the rest.
    policy: by default `privacy-release`, or `private-release` under a budget. generator: another method than the plan's own.
    n: rows to make; by default as many as are learned from.
    Raises DataError for a table that is too small for the policy, SchemaError where a budget lacks declarations, ConfigError
    for a policy that does not go with the budget, and BudgetError, with no row read, where the ledger has no room for it.
    """
    document: dict[str, Any] = {
        "name": name or job_name(source),
        "title": f"Release of {Path(str(source)).name}",
        "seed": seed,
        "data": {
            "source": str(source),
            "target": target,
            "sensitive": list(sensitive),
            "subject": subject,
            "schema": None if schema is None else str(schema),
        },
        "sample": {"n": n},
        "export": {"formats": list(formats)},
    }
    make = _open_plan if budget is None else _private_plan
    return make(document, policy, generator, budget, dataset)


def release(
    source: str | Path,
    *,
    subject: str | None,
    sensitive: Iterable[str],
    budget: Budget | None,
    out: str | Path | None = None,
    agree: Callable[[Plan], bool] = lambda plan: True,
    key: Signer | None = None,
    by: str | None = None,
    progress: Progress = silent,
    notice: Notice = lambda text: None,
    **options: Any,
) -> Run | None:
    """Plan a release and run it: a run folder whose `export`, if the policy approved, holds the rows and their evidence.

    agree: asked with the plan before anything starts; where it says no, nothing was done and None is returned.
    options: `plan_release`'s. Raises as it and `synth.run` do.
    """
    plan = plan_release(source, subject=subject, sensitive=sensitive, budget=budget, **options)
    if not agree(plan):
        return None
    return run(plan.config, out=out, key=key, by=by, progress=progress, notice=notice)


# without a budget ------------------------------------------------------------------------------------------------------


def _open_plan(
    document: dict[str, Any], policy: str | None, generator: str | None, budget: Budget | None, dataset: str | None
) -> Plan:
    if dataset is not None:
        raise ConfigError(
            f"dataset {dataset!r} names people in the ledger of budgets, and there is no budget; leave it out, or give one"
        )
    rules, data = Policy.load(policy or "privacy-release"), document["data"]
    if rules.requires.dp is not None and rules.requires.dp.required:
        raise ConfigError(f"policy {rules.name!r} asks for a privacy budget; give --epsilon and --delta, or another policy")
    roles = {role: data[role] for role in ("target", "sensitive", "subject")}
    table = read(data["source"], schema=data["schema"], **roles)
    held_out = _held_out(table, rules)
    method, searched = create(generator or "trees"), False
    why = []
    if method.ladder and any(c.measure.startswith("privacy.membership") for c in rules.checks if c.severity == "block"):
        searched = True
        why.append(
            f"{method.name}, in the most private of {len(method.ladder)} settings whose rows {rules.name} still finds good "
            "enough, found on inner splits of the training rows"
        )
    else:
        why.append(f"{method.name}, as it is set by default: it has no settings to choose the safest from")
    why.append(f"judged under {rules.name} {rules.version}: {rules.title.lower()}")
    people = "" if roles["subject"] is None else f"; all rows of one {roles['subject']} stay on one side"
    why.append(
        f"{held_out:.0%} of the {len(table):,} rows are held out, never trained on, to attack with and compare against{people}"
    )
    config = RunConfig.parse(
        document
        | {
            "split": {"holdout": held_out},
            "generator": {"name": method.name, "fit_to_policy": searched, "prefer": "private" if searched else "faithful"},
            "policy": policy or "privacy-release",
        },
        origin="the plan",
    )
    return Plan(config, tuple(why), _doubts(table), *_cost(method, table, 1 - held_out, searched=searched))


def _held_out(table: Table, policy: Policy) -> float:
    """The share of the rows to hold out. Raises DataError where that leaves too few on either side."""
    least, train = policy.requires.min_holdout, policy.requires.min_train
    share = held_out_share(len(table), policy)
    if share * len(table) < SPARE * least or (1 - share) * len(table) < train:
        raise DataError(
            f"{len(table):,} rows are too few for {policy.name}, which wants {least:,} real rows held out and {train:,} to\n"
            "learn from: fewer do not show that nobody is found. Release them under a budget (--epsilon, --delta), or judge\n"
            "them for use in the house alone: --policy research"
        )
    return share


def _cost(method: Any, table: Table, share: float, *, searched: bool) -> tuple[float | None, int | None, float | None]:
    """Seconds and bytes, and the seconds at the quickest, of fits and judgements: the release's own, and the attempts'."""
    if not method.has_estimate:
        return None, None, None
    fit, rows = method.estimate(table), round(share * len(table))
    last = Measuring.of(table, rows)
    once = share * fit.seconds + last.seconds
    attempt = share * fit.seconds / 2 + Measuring.of(table, min(rows // 2, MEASURED), attacks=False).seconds
    peak = BASE_BYTES + max(fit.peak_bytes, last.peak_bytes) + 3 * table.arrow.nbytes
    return once + searched * ATTEMPTS * attempt, peak, once + searched * attempt


def _doubts(table: Table) -> tuple[str, ...]:
    """What may name people although nobody said so, and what will not be learned."""
    doubts = []
    if not any(column.role is Role.SUBJECT for column in table.schema.columns):
        doubts += [
            f"{found.column!r} may name whom a row is about ({found.why}): if so, give it as --subject, or the rows of one "
            "stand on both sides of the split"
            for found in subject_candidates(table)
        ]
    doubts += [
        f"{column.name!r} is free text: it is replaced by placeholder sentences, since people are named in such text"
        for column in table.schema.made
        if column.kind is Kind.TEXT
    ]
    return tuple(doubts)


# under a budget --------------------------------------------------------------------------------------------------------


def _private_plan(
    document: dict[str, Any], policy: str | None, generator: str | None, budget: Budget | None, dataset: str | None
) -> Plan:
    assert budget is not None
    rules, method = Policy.load(policy or "private-release"), create(generator or "marginals")
    if document["data"]["schema"] is None:
        raise ConfigError(
            "under a privacy budget nothing is read off the rows for free: the columns are declared in a schema file, from "
            "public\nknowledge, and given as --schema FILE; "
            f"`synth schema {document['data']['source']} --draft --out schema.yaml` begins one"
        )
    privacy = {
        "epsilon": budget.epsilon,
        "delta": budget.delta,
        "dataset": dataset or document["name"],
        "unit": budget.unit,
        "rows_per_subject": budget.rows_per_subject,
    }
    config = RunConfig.parse(
        document | {"generator": {"name": method.name}, "policy": policy or "private-release", "privacy": privacy},
        origin="the plan",
    )
    admitted(config, method, rules)  # before the file is opened
    schema = whole_table(config).schema
    lacking = undeclared(schema)
    why = [
        f"{method.name}: it learns through noise alone, from counts that cost {budget.in_words}",
        f"judged under {rules.name} {rules.version}, by figures that look at no real row",
        f"the budget is spent on {privacy['dataset']!r} in the ledger before the rows are counted, and stays spent",
    ]
    if lacking:
        if any(not can_be_bought(schema.column(name), fact) for name, facts in lacking.items() for fact in facts):
            raise to_declare(schema, lacking)
        config = config.model_copy(update={"privacy": config.privacy.model_copy(update={"facts_share": SHARE_TO_BUY})})  # type: ignore[union-attr]
        facts = "; ".join(f"{name} ({', '.join(missing)})" for name, missing in lacking.items())
        why.append(f"{SHARE_TO_BUY:.0%} of the budget buys what the schema does not declare: {facts}")
    return Plan(config, tuple(why))


callable_as(release)
