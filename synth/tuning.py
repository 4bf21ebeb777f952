"""Fit to the policy: the most faithful setting of a generator that keeps a policy's membership limits, or the most private one
whose rows the policy still finds good enough.

A generator declares its ladder, settings from the most faithful to the most private. Half of the training rows are held back; a
setting is fitted on the others, and its rows are held to the policy's own rules, the held-back rows being strangers: for the
most faithful setting to the rules on membership and copies, for the most private one to all others that block. The most
private setting is tried first, then bisection; what is found must hold on a second split, too.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from synth.attempt import FIDELITY, MEMBERSHIP, SEVERITY, Attempt, Outcome, figures_said, said, why_faithful, why_private
from synth.climbing import climb, descend
from synth.data.frames import as_table
from synth.data.split import By
from synth.data.table import Table
from synth.errors import ConfigError, DataError, InputError, did_you_mean
from synth.folder import new_folder, write, write_json
from synth.gate.policy import Policy
from synth.generators import by_name, create, names
from synth.generators._storage import load, serialise
from synth.generators.base import Generator
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurements
from synth.progress import Progress, silent
from synth.seed import check_seed

MEASURED = 16_000  # rows of each table that likeness is measured on: as many as the detector looks at
HELD_BACK = 0.5  # share of the rows; with fewer strangers to learn from, attacks are weaker than on a release (decision 009)
COPIES = ("exact_copies", "unique_copies", "near_copies", "memorised", "memorised_parts")  # rules on these limit it, too
SEARCH = "search.json"

Prefer = Literal["faithful", "private"]  # which of the settings that a policy lets through is looked for


@dataclass(frozen=True)
class Tuned:
    """A fitted model whose setting was chosen by a search, and the record of that search.

    model: fitted on all training rows. params: the setting chosen, the most private one where none kept the limits; outcome:
    whether its attempt kept them; why: in a sentence. attempts: every one, in the order in which they were made. Their figures
    chose the setting, so they are selected: an honest figure is one on rows that the search never saw.
    """

    model: Generator
    params: Mapping[str, Any]
    outcome: Outcome
    why: str
    attempts: tuple[Attempt, ...]
    rungs: int  # settings on the ladder
    rows: Mapping[str, int]  # of the first inner split: "train", which attempts were fitted on, and "holdout", the strangers
    seed: int
    policy: Policy
    prefer: Prefer = "faithful"

    def __repr__(self) -> str:
        lines = [f"  {said(a.params)}: {a.outcome}, {figures_said(a)}" for a in self.attempts]
        return "\n".join([f"Tuned({self.model.name}, {said(self.params)}: {self.outcome}; {self.why})", *lines])

    @property
    def record(self) -> dict[str, Any]:
        """What goes with the figures, the verdict and the rows: plain JSON values, the same for the same rows and seed."""
        return {
            "generator": self.model.name,
            "policy": {"name": self.policy.name, "version": self.policy.version, "digest": self.policy.digest()},
            "prefer": self.prefer,
            "ladder": self.rungs,
            "rows": dict(self.rows),
            "seed": self.seed,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "chosen": dict(self.params),
            "outcome": self.outcome,
            "why": self.why,
        }

    def to_dict(self) -> dict[str, Any]:
        """The record with the model's digest, what every rule said of every attempt, and how long each took."""
        document = self.record | {"model": self.model.digest()}
        for entry, attempt in zip(document["attempts"], self.attempts):
            entry["findings"] = [{"check": f.check, "outcome": f.outcome, "message": f.message} for f in attempt.findings]
            entry["seconds"] = round(attempt.seconds, 3)
        return document

    def save(self, path: str | Path) -> None:
        """Write the model's folder as `Generator.save` does, with the search beside it (search.json); whole or not at all."""
        with new_folder(path, mark="model.json", keep=False) as folder:
            for name, content in serialise(self.model).items():
                write(folder / name, content)
            write_json(folder / SEARCH, self.to_dict())


def fit_to_policy(
    data: Any,
    policy: Policy | str | Path = "privacy-release",
    *,
    generator: str = "trees",
    params: Mapping[str, Any] | None = None,
    target: str | None = None,
    sensitive: str | Iterable[str] | None = None,
    n: int | None = None,
    where: Any = None,
    by: By | None = None,
    prefer: Prefer = "faithful",
    seed: int = 0,
    budget_seconds: float | None = None,
    progress: Progress = silent,
) -> Tuned:
    """Fit a generator in the most faithful setting whose rows keep the policy's limits on membership and copies.

    prefer: "private" looks for the most private setting instead whose rows the policy's blocking rules on everything but
    privacy still let through; attempts measure that on 16,000 rows of each table, and attack nothing.

    data: the training rows, as for `Generator.fit`; no holdout is looked at. The search splits off half (`by` as for
    `Table.split`) and judges each attempt there, the one that it finds once more on a second split. Fewer rows are remembered
    more, so the choice is on the careful side.
    policy: a `Policy`, a packaged policy's name or a policy file. generator: one with a ladder; params: hyperparameters that
    are not on it. n, where: how many rows will be drawn (by default as many as there are), under which condition; attempts draw
    in proportion.
    budget_seconds: no attempt is begun that would end later than this, were it as slow as the slowest so far. Without a budget
    the same rows and seed give the same choice and the same model.
    Where no setting keeps the limits (or serves), or the rows are too few to show that one does, the most private one is
    fitted, and `outcome` and `why` say so. Raises ConfigError for a generator without a ladder, a hyperparameter that the
    search would set, and a policy without a blocking rule on membership; DataError for rows that cannot be split; what `fit`
    and `sample` raise.
    """
    rules = policy if isinstance(policy, Policy) else Policy.load(policy)
    ladder = check_tunable(generator, params, rules)
    if prefer not in get_args(Prefer):
        raise ConfigError(f"prefer is {prefer!r}; give 'faithful' or 'private'{did_you_mean(str(prefer), get_args(Prefer))}")
    if budget_seconds is not None and not (math.isfinite(budget_seconds) and budget_seconds >= 0):
        raise InputError(f"a budget of {budget_seconds} seconds is no time; give a number from 0, or none for no limit")
    if n is not None and n < 1:
        raise ConfigError(f"n is {n!r}; give how many rows will be drawn, 1 or more, or none for as many as there are")
    table = as_table(data, target=target, sensitive=sensitive)
    rows = len(table) if n is None else n
    measures = _limits(rules) if prefer == "faithful" else _likeness(rules)
    cap = None if prefer == "faithful" else MEASURED
    trial = cache(
        lambda look: _Trial.of(table, by, generator, params or {}, rules, measures, cap, rows, where, check_seed(seed) + look)
    )
    attempts: list[Attempt] = []
    started, usual = time.monotonic(), 2 + math.ceil(math.log2(len(ladder)))

    def lets_through(rung: int, look: int) -> bool:
        done = len(attempts)
        progress(f"search: attempt {done + 1}", done, max(usual, done + 1))
        attempts.append(trial(look).attempt(ladder[rung]))
        return attempts[-1].within if prefer == "faithful" else attempts[-1].serves

    def in_time() -> bool:
        slowest = max((attempt.seconds for attempt in attempts), default=0.0)
        return budget_seconds is None or time.monotonic() - started + slowest < budget_seconds

    rung, ended = (climb if prefer == "faithful" else descend)(len(ladder), lets_through, in_time)
    progress("search: done", len(attempts), len(attempts))
    model = create(generator, {**(params or {}), **ladder[rung]})
    model.fit(data, seed=seed, target=target, sensitive=sensitive, progress=progress)
    outcomes = [attempt.outcome for attempt in attempts if attempt.params == ladder[rung]]
    outcome: Outcome = max(outcomes, key=SEVERITY.index, default="undecided")
    return Tuned(
        model=model,
        params=ladder[rung],
        outcome=outcome,
        why=(why_faithful if prefer == "faithful" else why_private)(tuple(attempts), rung, ladder, outcome, ended),
        attempts=tuple(attempts),
        rungs=len(ladder),
        rows={"train": len(trial(0).inner), "holdout": len(trial(0).strangers)},
        seed=seed,
        policy=rules,
        prefer=prefer,
    )


def check_tunable(generator: str, params: Mapping[str, Any] | None, policy: Policy) -> tuple[Mapping[str, Any], ...]:
    """The generator's ladder. Raises ConfigError where there is nothing to search, or nothing that limits the search."""
    ladder = by_name(generator).ladder
    if not ladder:
        able = ", ".join(name for name in names() if by_name(name).ladder)
        raise ConfigError(
            f"{generator!r} has no ladder of settings, from faithful to private, that could be fitted to a policy; "
            f"the generators that have one: {able}"
        )
    create(generator, params)
    if both := [name for name in params or {} if name in ladder[0]]:
        raise ConfigError(
            f"{both[0]!r} is given, but fitting to the policy is what chooses it; leave it out, or do without the search"
        )
    if not any(name.startswith(MEMBERSHIP) for name in _limits(policy)):
        raise ConfigError(
            f"policy {policy.name!r} has no blocking rule on membership ({MEMBERSHIP}_auc, …), so nothing limits the search;\n"
            "name a policy that has one, such as 'privacy-release'"
        )
    return ladder


def with_record(measured: Measurements, record: Mapping[str, Any] | None) -> Measurements:
    """The same figures, whose context tells how the generator's setting was chosen; a verdict on them tells it too."""
    return measured if record is None else replace(measured, context={**measured.context, "search": dict(record)})


def recorded(folder: str | Path) -> dict[str, Any] | None:
    """The record of the search that a saved model came from; None where there was none.

    Raises DataError where it is damaged, or about another model than the one that lies beside it.
    """
    file = Path(folder) / SEARCH
    if not file.is_file():
        return None
    try:
        document = json.loads(file.read_bytes())
        about = document.pop("model")
        for attempt in document["attempts"]:
            del attempt["findings"], attempt["seconds"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise DataError(f"{file} cannot be read as the record of a search ({problem}); fit to the policy again") from problem
    if about != load(folder).digest():
        raise DataError(f"{file} is about another model than the one beside it; fit to the policy again")
    return dict(document)


@dataclass(frozen=True)
class _Trial:
    """An inner split and what its attempts share, the seed too: what one owes to chance, its neighbours owe to it alike."""

    generator: str
    params: Mapping[str, Any]
    inner: Table
    strangers: Table
    policy: Policy
    measures: tuple[str, ...]  # that it blocks on, and an attempt is judged by
    cap: int | None  # rows of each table that they are taken on
    n: int
    where: Any
    seed: int

    @classmethod
    def of(
        cls,
        table: Table,
        by: By | None,
        generator: str,
        params: Mapping[str, Any],
        policy: Policy,
        measures: tuple[str, ...],
        cap: int | None,
        n: int,
        where: Any,
        seed: int,
    ) -> _Trial:
        """n: of the rows that will be drawn from a model of the whole table; attempts draw in proportion to what they fit."""
        inner, strangers = table.split(HELD_BACK, seed=seed, by=by)
        n = max(1, round(n * len(inner) / len(table)))
        return cls(generator, params, inner, strangers, policy, measures, cap, n, where, seed)

    def attempt(self, setting: Mapping[str, Any]) -> Attempt:
        started = time.monotonic()
        model = create(self.generator, {**self.params, **setting}).fit(self.inner, seed=self.seed)
        made = model.sample_table(self.n, where=self.where, seed=self.seed)
        tables = [_some(table, self.cap, self.seed) for table in (self.inner, self.strangers, made)]
        # the model goes along: attacks ask it, as they will ask the one that is released
        measured = evaluate(*tables, seed=self.seed, only=(FIDELITY, *self.measures), model=model)
        judged = self.policy.assess(measured).findings
        findings = tuple(finding for finding in judged if finding.check.split("[")[0] in self.measures)
        return Attempt(dict(setting), self.seed, tuple(measured), findings, time.monotonic() - started)


def _some(table: Table, cap: int | None, seed: int) -> Table:
    """At most so many of the rows, drawn at random and left in their order."""
    if cap is None or len(table) <= cap:
        return table
    return table.take(np.sort(np.random.default_rng(seed).permutation(len(table))[:cap]))


def _limits(policy: Policy) -> tuple[str, ...]:
    """The measures that limit the search: those on membership and copies that the policy blocks on."""
    copies = {f"privacy.{name}" for name in COPIES}
    return tuple(name for name in _blocking(policy) if name.startswith(MEMBERSHIP) or name in copies)


def _likeness(policy: Policy) -> tuple[str, ...]:
    """The measures that say whether rows are good enough: all that the policy blocks on, but those on privacy."""
    return tuple(name for name in _blocking(policy) if not name.startswith("privacy."))


def _blocking(policy: Policy) -> tuple[str, ...]:
    """Every measure that the policy blocks on."""
    return tuple(dict.fromkeys(check.measure for check in policy.checks if check.severity == "block"))
