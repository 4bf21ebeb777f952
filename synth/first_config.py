"""A first run config for a table: what its columns are taken for, which policy and method its job calls for, and why.

    table ─ candidates for target, sensitive and subject ─ job ─ policy, method, holdout, each with its reason ─ run.yaml

Names and counts suggest what a column is for; nobody but its owner knows. A candidate is proposed, never assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow.compute as pc
import yaml

from synth.beginning import held_out_share, job_name, strangers_wanted
from synth.config import RunConfig
from synth.data._condition_text import quote_column, quote_value
from synth.data.facts import plain
from synth.data.images import ImageShape
from synth.data.inference import reassign
from synth.data.kinds import MAX_CLASSES
from synth.data.schema import Column, Role
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import ConfigError, InputError, SchemaError, did_you_mean
from synth.folder import in_words as saying
from synth.folder import write_once
from synth.forecast import Measuring
from synth.gate.policy import Policy
from synth.generators import create
from synth.generators._estimate import Estimate, in_seconds
from synth.memory import in_words

Job = Literal["run", "balance", "release", "audit"]
JOBS: tuple[Job, ...] = get_args(Job)
POLICIES: dict[Job, tuple[str, str]] = {
    "run": ("research", "for work inside the house and partners under agreement; `synth policies` lists the others"),
    "balance": ("class-balance", "for rows of a rare class that are added to a training table inside the house"),
    "release": ("privacy-release", "for rows that anybody may see: memorisation must be excluded, not only unseen"),
    "audit": ("fairness-audit", "for rows that fairness is studied on: no group may vanish, shrink or change its outcomes"),
}

TARGET_NAMES = ("target", "label", "class", "y", "outcome", "response", "income", "churn", "default", "fraud", "status")
SENSITIVE_NAMES = re.compile(
    r"(?i)(^|[_\s.-])(sex|gender|race|rac1p|ethnic\w*|hisp\w*|native\w*|nationality|citizen\w*|relig\w*|marital\w*|disab\w*|"
    r"colou?r|age|agep|pregnan\w*)([_\s.-]|$)"
)
SUBJECT_NAMES = re.compile(r"(?i)(patient|person|customer|client|user|subject|member|account|household|player)")
SHOWN = 60  # columns that the config lists; pixels and the like would fill pages
CANDIDATES = 3
SUBJECTS = 0.05  # share of distinct values among the rows from which a column may name whom a row is about
LONG_FIT = 900.0  # seconds of a fit from which on the light method is proposed


@dataclass(frozen=True)
class Candidate:
    """A column that may have a role, and what speaks for it."""

    column: str
    why: str


@dataclass(frozen=True)
class FirstConfig:
    """A proposed run config and the reasons that are written beside it.

    config: valid, and runs as it is. table: the rows, with the roles that were given. rows: about how many are trained on and
    held out.
    """

    config: RunConfig
    job: Job
    table: Table
    rows: tuple[int, int]
    estimate: Estimate | None
    reasons: dict[str, str]

    @property
    def seconds(self) -> tuple[float | None, float]:
        """What the fit, where that is known, and the measuring will take, on two cores of 2.6 GHz."""
        fit = None if self.estimate is None else self.estimate.seconds * (6 if self.config.generator.fit_to_policy else 1)
        return fit, Measuring.of(self.table, self.rows[0]).seconds

    @property
    def cost(self) -> str:
        """Time and memory in words."""
        fit, measuring = self.seconds
        known = "" if fit is None else f"about {in_seconds(fit)} to fit, "
        memory = "" if self.estimate is None else f", {in_words(self.estimate.peak_bytes)} of memory beside the table"
        return f"{known}about {in_seconds(measuring)} to measure, on two cores{memory}"

    def to_yaml(self, command: str) -> str:
        """The config as a person reads and edits it, each choice under the reason for it. command: what made it."""
        return "\n".join(_lines(self, command)) + "\n"

    def write(self, path: str | Path, command: str) -> None:
        """Write it where nothing is yet.

        Raises ConfigError where something is there, and for names that a config would read otherwise; DataError where nothing
        can be written.
        """
        file, text = Path(path), self.to_yaml(command)
        if RunConfig.from_text(text, origin="the proposed config") != self.config:
            raise ConfigError(
                "a file or column has a name that a run config reads otherwise, such as one with ${…} in it; rename it first"
            )
        with saying(file):
            try:
                write_once(file, text.encode(), mode=0o644)
            except FileExistsError:
                raise ConfigError(
                    f"{file} is there, and nothing is written over it; name another file with --out, or remove it first"
                ) from None


# what a column may be for ----------------------------------------------------------------------------------------------


def target_candidates(table: Table) -> tuple[Candidate, ...]:
    """The columns that models may be meant to predict, likeliest first: by name, and the last column, if it has classes."""
    found: list[tuple[int, Candidate]] = []
    last = table.schema.names[-1]
    for column in table.schema.learned:
        if SENSITIVE_NAMES.search(column.name):
            continue
        named = next((place for place, name in enumerate(TARGET_NAMES) if column.name.lower() == name), None)
        levels = _distinct(table, column)
        if levels < 2 or (levels > MAX_CLASSES and named is None):
            continue
        if named is not None or column.name == last:
            why = [*(["named like one"] if named is not None else []), *(["the last column"] if column.name == last else [])]
            score = (0 if column.name == last else 1) + (0 if named is not None else 2)
            found.append((score, Candidate(column.name, f"{' and '.join(why)}, {levels} values")))
    return tuple(candidate for _, candidate in sorted(found, key=lambda one: one[0])[:CANDIDATES])


def sensitive_candidates(table: Table) -> tuple[Candidate, ...]:
    """The columns whose names say that people may not be told apart by them."""
    return tuple(
        Candidate(column.name, f"named like one, {_distinct(table, column):,} values")
        for column in table.schema.learned
        if SENSITIVE_NAMES.search(column.name) and column.role is not Role.TARGET
    )


def subject_candidates(table: Table) -> tuple[Candidate, ...]:
    """The columns that may name whom a row is about: named like one, many values, some of which repeat."""
    rows, found = len(table), []
    for column in table.schema.made:
        if SUBJECT_NAMES.search(column.name) is None or column.role not in (Role.FEATURE, Role.KEY):
            continue
        distinct = _distinct(table, column)
        if SUBJECTS * rows <= distinct < rows:
            found.append(Candidate(column.name, f"{distinct:,} values in {rows:,} rows"))
    return tuple(found)


def _distinct(table: Table, column: Column) -> int:
    return int(pc.count_distinct(plain(table.column(column.name)), mode="only_valid").as_py())


# the proposal ----------------------------------------------------------------------------------------------------------


def first_config(
    source: str | Path,
    *,
    job: Job = "run",
    target: str | None = None,
    sensitive: Iterable[str] | None = None,
    subject: str | None = None,
    table: Table | None = None,
) -> FirstConfig:
    """Propose a run config for a file, or for `bundled:NAME`.

    job: "run", "balance" (needs a target), "release" or "audit" (needs a target and sensitive columns). table: the rows, where
    they were read already. Raises ConfigError for an unknown job, and, with the candidates, for a role that the job needs and
    that no column has; SchemaError for a column that is not there; DataError for a file that cannot be read.
    """
    if job not in JOBS:
        raise ConfigError(f"no job {job!r}{did_you_mean(job, JOBS)}")
    rows = read(source) if table is None else table
    for name in (target, subject, *(sensitive or ())):
        if name is not None:
            rows.schema.column(name)  # raises with the nearest name
    schema = reassign(rows.schema, rows.arrow, target=target, sensitive=sensitive, subject=subject)
    rows = replace(rows, schema=schema)
    _check_roles(rows, job)
    shape, reasons = ImageShape.of(schema), {}
    named, reasons["policy"] = POLICIES[job]
    if shape is not None and job in ("run", "release"):
        named, reasons["policy"] = "image-release", "for labelled images that go to partners under agreement"
    policy = Policy.load(named)
    share, reasons["split"] = _holdout(len(rows), policy)
    train = round(len(rows) * (1 - share))
    generator, estimate, reasons["generator"] = _method(rows, train, job, is_image=shape is not None)
    config = RunConfig.parse(
        {
            "name": job_name(source),
            "data": {"source": str(source), **_roles(rows)},
            "split": {"holdout": share},
            "generator": generator,
            "policy": named,
            "export": {"formats": ["parquet", "csv"]},
        },
        origin="the proposed config",
    )
    return FirstConfig(config, job, rows, (train, len(rows) - train), estimate, reasons)


def _roles(table: Table) -> dict[str, Any]:
    schema = table.schema
    roles: dict[str, Any] = {
        "target": None if schema.target is None else schema.target.name,
        "sensitive": [column.name for column in schema.sensitive] or None,
        "subject": None if schema.subject is None else schema.subject.name,
    }
    return {role: names for role, names in roles.items() if names is not None}


def _check_roles(table: Table, job: Job) -> None:
    if job in ("balance", "audit") and table.schema.target is None:
        raise ConfigError(_missing(job, "a target", "--target", target_candidates(table), table))
    if job == "audit" and not table.schema.sensitive:
        raise ConfigError(_missing(job, "sensitive columns", "--sensitive", sensitive_candidates(table), table))


def _missing(job: Job, what: str, option: str, candidates: tuple[Candidate, ...], table: Table) -> str:
    likely = ", ".join(f"{one.column!r} ({one.why})" for one in candidates)
    names = likely or ", ".join(repr(name) for name in table.schema.names[:12])
    return f"the job {job!r} needs {what}; name it with {option}: {names}"


def _holdout(rows: int, policy: Policy) -> tuple[float, str]:
    """The share that is held out, and what comes of it: most rows learn, unless the policy wants more strangers."""
    share = held_out_share(rows, policy)
    held = round(rows * share)
    if held < policy.requires.min_holdout:
        few = f"{policy.name} asks for {policy.requires.min_holdout:,}: with these rows it will not be decided"
        return share, f"{held:,} rows, and {few}"
    if held < strangers_wanted(policy) and policy.profile == "public":
        return share, f"{held:,} rows, few for {policy.name}: it may find them too few to exclude harm (inconclusive)"
    return share, f"{held:,} rows that nothing is learned from; attacks and models are tried on them"


def _method(table: Table, train: int, job: Job, *, is_image: bool) -> tuple[dict[str, Any], Estimate | None, str]:
    if is_image:
        params = {"max_seconds": 1200}
        return {"name": "image-diffusion", "params": params}, None, "its columns are pixels; 20 minutes at most; synth[torch]"
    learned = table.select(table.schema.names)
    estimate = create("trees").estimate(learned.take(range(train)) if train < len(learned) else learned)
    if estimate.seconds > LONG_FIT:
        light = create("copula").estimate(learned)
        why = f"trees would take about {in_seconds(estimate.seconds)} on so many cells; a copula keeps pairs of columns only"
        return {"name": "copula"}, light, why
    if job == "release":
        why = (
            "the default, in the most private of its settings whose rows the policy finds good enough, searched on inner splits"
        )
        return {"name": "trees", "fit_to_policy": True, "prefer": "private"}, estimate, why
    return {"name": "trees"}, estimate, "the default: nearest to real rows in seconds; `synth generators` lists the others"


# the file --------------------------------------------------------------------------------------------------------------


def _lines(first: FirstConfig, command: str) -> list[str]:
    config, table, reasons = first.config, first.table, first.reasons
    lines = [
        f"# Made by `{command}`; edit it, then: synth run FILE",
        f"# {len(table):,} rows × {len(table.schema)} columns; {first.cost}.",
        '# Every key is explained on the page "Run config" of the documentation. One value for one run: --set seed=1',
        f"name: {_yaml(config.name)}  # the run folder is reports/runs/{config.name}",
        "seed: 0  # same data, config and seed: the same bytes",
        "",
        "data:",
        f"  source: {_yaml(config.data.source)}",
        *_role_line("target", config.data.target, "what models are to predict", target_candidates(table)),
        *_role_line("sensitive", config.data.sensitive, "whom it must be fair to", sensitive_candidates(table)),
        *_role_line("subject", config.data.subject, "whom a row is about: their rows stay together", subject_candidates(table)),
        "  # What each column is taken for; where that is wrong, say so: schema: {columns: {NAME: {kind: categorical}}}",
        *_columns(table),
        "",
        "split:",
        f"  holdout: {config.split.holdout}  # {reasons['split']}",
        "",
        f"# {reasons['generator']}",
        "generator:",
        f"  name: {config.generator.name}",
    ]
    if config.generator.params:
        lines.append(f"  params: {_yaml(config.generator.params)}")
    if config.generator.fit_to_policy:
        lines.append(
            "  fit_to_policy: true  # without this and the next line: one fit with the defaults, which takes less time"
        )
        lines.append(f"  prefer: {config.generator.prefer}")
    lines += ["", "# sample: {n: 10000}  # how many rows; by default as many as are trained on"]
    if first.job == "balance" and config.data.target is not None:
        lines += [
            "# Rows keep the natural shares of the classes, and balance.* says whether those of the rare one help a model.",
            f"# For rows of one class: synth sample reports/runs/{config.name}/model -n 1000 --out more.parquet"
            f" --where {_yaml(_rarest(table))}",
        ]
    return [
        *lines,
        "",
        f"policy: {config.policy}  # {reasons['policy']}",
        "export:",
        f"  formats: {_yaml(list(config.export.formats))}  # what an approved table leaves in",
    ]


def _role_line(role: str, given: Any, what: str, candidates: tuple[Candidate, ...]) -> list[str]:
    if given is not None:
        return [f"  {role}: {_yaml(given)}  # {what}"]
    if not candidates:
        return []
    named: Any = [one.column for one in candidates] if role == "sensitive" else candidates[0].column
    why = "; ".join(f"{one.column}: {one.why}" for one in candidates)
    return [f"  # {role}: {_yaml(named)}  # not set: {what}", f"  #   ({_one_line(why)})"]


def _columns(table: Table) -> list[str]:
    shown = table.schema.columns[:SHOWN]
    width = min(24, max(len(column.name) for column in shown))
    lines = [f"  #   {_one_line(column.name):<{width}}  {_said(column)}" for column in shown]
    more = len(table.schema) - len(shown)
    return lines + ([f"  #   … and {more:,} more; `synth schema` shows them all"] if more else [])


def _said(column: Column) -> str:
    role = "" if column.role is Role.FEATURE else f", {column.role}"
    anew = "; issued anew, never learned" if column.is_reissued else ""
    return _one_line(f"{column.kind}{role}: {column.why}{anew}")


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))


def _rarest(table: Table) -> str:
    """A condition that the rows of the rarest class keep, as `--where` reads it."""
    target = table.schema.target
    assert target is not None
    counts = plain(table.column(target.name)).drop_null().value_counts().to_pylist()
    rarest = min(counts, key=lambda one: one["counts"])["values"]
    return f"{quote_column(target.name)} = {quote_value(rarest)}"


def _yaml(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"), sort_keys=False)
    return str(text).strip().removesuffix("...").strip()


def chosen_columns(text: str, table: Table, candidates: Iterable[Candidate]) -> list[str]:
    """The columns that an answer names: by name, or by the number of a candidate; "-" or nothing names none.

    Raises SchemaError for a column that is not there, InputError for a number that no candidate has.
    """
    offered, found = list(candidates), []
    for word in (part.strip() for part in text.split(",")):
        if word in ("", "-"):
            continue
        if word in table.schema:
            found.append(word)
        elif word.isdecimal():
            if not 1 <= int(word) <= len(offered):
                raise InputError(f"there is no candidate {word}; give a number from 1 to {len(offered)}, or a column's name")
            found.append(offered[int(word) - 1].column)
        else:
            raise SchemaError(f"no column {word!r}{did_you_mean(word, table.schema.names)}")
    return found
