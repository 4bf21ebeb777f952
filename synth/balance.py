"""Which remedy helps a rare class, honestly tested; then, where made rows help, a balanced table through the gate.

table ─ split ─ train ─ nested cross-validation: every remedy, fitted inside the training folds ─ an answer
           └ holdout ──────────── rows that help: fitted on all of train ─ metrics ─ policy ─ approval ─ export
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synth._callable import callable_as
from synth.approving import Notice
from synth.beginning import job_name
from synth.config import GeneratorConfig, RunConfig, SampleConfig
from synth.data.constraints import check_constraints
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import ConfigError, InputError, did_you_mean
from synth.folder import Log, new_folder, write, write_json
from synth.forecast import Measuring
from synth.gate.keys import Signer
from synth.gate.policy import Policy
from synth.generators import by_name, create
from synth.generators._estimate import in_seconds
from synth.generators._training import check_torch
from synth.generators.by_class import learns_apart
from synth.metrics.answer import RANKING, Answer, answer
from synth.metrics.models import Learner
from synth.metrics.nested import Comparison, MakeRows, class_labels, compare_remedies, rare_label, remedy_of
from synth.metrics.rare_class import PRECISION
from synth.progress import Progress, silent
from synth.report.balance import render
from synth.run import RUNS, Run, work
from synth.seed import check_seed

MARK = "balance.json"
PAGE = "balance.html"
FORMAT = "synth.balance/1"

HOLDOUT = (
    0.2  # share of the rows that no comparison sees, less than elsewhere since rare ones are few: what is made is judged on it
)
RATIOS = (0.25, 1.0)  # of the rare class to all others
LEARNERS: tuple[Learner, ...] = ("boosted", "linear")
Params = Mapping[str, Any]  # hyperparameters
Generators = Mapping[str, Params]  # those that take part, by name, with what is not at its default
MOST_ROWS, MOST_CELLS = 20_000, 400_000  # training rows that remedies are compared on, and cells of them: a few minutes
ENOUGH = 80  # rows of the rare class for which more rows than that are compared on
FEWEST = 200  # rows below which comparing makes no sense
STRANGERS = 60  # rows of other classes that a method is handed beside the class, since each class is learned apart

# Seconds on one core of 2.6 GHz for one model of each kind: at once, and per row and column.
PACE: Mapping[str, tuple[float, float]] = {"boosted": (0.3, 4e-6), "linear": (0.05, 3e-6), "forest": (0.2, 1e-5)}
MODELS = 6.0  # per fold and kind beside those of made rows: nothing, weights, oversampling, SMOTE, two halves for a threshold


@dataclass(frozen=True)
class Balance:
    """What `synth.balance` found: the comparison, its answer, and the run that made a balanced table, where one did.

    rows: whose rows are in the table and at which ratio, such as ("trees", 0.25). notes: what a reader should know of it.
    """

    comparison: Comparison
    answer: Answer
    notes: tuple[str, ...] = ()
    rows: tuple[str, float] | None = None
    path: Path | None = None

    @property
    def run(self) -> Run | None:
        """The run that made the balanced table; None where no rows were made."""
        return Run.open(self.path) if self.path is not None and self.rows is not None else None

    def __str__(self) -> str:
        return " ".join([self.answer.sentence, *self.answer.others])

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values, as balance.json holds it."""
        made = None if self.rows is None else {"generator": self.rows[0], "ratio": self.rows[1]}
        return {
            "format": FORMAT,
            "answer": self.answer.to_dict(),
            "rows": made,
            "notes": list(self.notes),
            "comparison": self.comparison.to_dict(),
        }


def balance(
    data: Any,
    *,
    target: str | None = None,
    out: str | Path | None = None,
    rare: str | None = None,
    generators: Iterable[str] = ("trees",),
    params: Mapping[str, Mapping[str, Any]] | None = None,
    ratios: Iterable[float] = RATIOS,
    learners: Iterable[Learner] = LEARNERS,
    folds: int = 5,
    precision: float = PRECISION,
    anyway: bool = False,
    max_rows: int | None = None,
    budget_seconds: float | None = None,
    schema: str | Path | None = None,
    sensitive: Iterable[str] | None = None,
    policy: str = "class-balance",
    formats: Iterable[str] = ("parquet",),
    seed: int = 0,
    key: Signer | None = None,
    by: str | None = None,
    progress: Progress = silent,
    notice: Notice = lambda text: None,
) -> Balance:
    """Try every remedy for a rare class of the target; where made rows help, make a balanced table and let it be judged.

    data: a path, "bundled:arrests", a `Table`, or a pandas, polars or Arrow frame. A fifth of the rows is held out; remedies
    are compared on the others alone, by nested cross-validation (`synth.metrics.nested`), on at most `max_rows` of them; by
    default as many as take a few minutes, 20,000 where columns are few.
    out: a folder for balance.json, balance.html and, where rows are made, all that a run leaves, with export/ once they are
    approved; it appears when everything is done. None: the comparison alone, and nothing is written.
    rare: the class; by default the rarest with enough rows. generators: whose rows are tried, at each of `ratios` (of the rare
    class to all others). The networks "autoregressive", "gan" and "diffusion" are named on purpose: each is fitted once a fold,
    which takes from half a minute to many. params: hyperparameters of generators by name, {"gan": {"max_seconds": 60}}.
    learners: kinds of models ("boosted", "linear", "forest"). precision: at which recall is taken.
    anyway: make the table where no made rows were found to help, too, of those that did best.
    budget_seconds: for the comparison; folds that have not begun by then are left out, but for the first three.
    Raises InputError for arguments that make no sense, DataError where there is no rare class or too few of its rows.
    """
    started, seed = time.monotonic(), check_seed(seed)
    ratios, learners = tuple(sorted(set(ratios))), tuple(learners)
    rules = Policy.load(policy)  # what can be refused is refused before any work
    generators = _methods(tuple(dict.fromkeys(generators)), params or {})
    _check(generators, max_rows, anyway, out)
    table = read(data, schema=schema, target=target, sensitive=sensitive)
    check_constraints(table)
    train, holdout = table.split(HOLDOUT, seed=seed)
    compared, notes = _compared(train, rare, max_rows, seed)
    label = rare_label(compared, rare)
    _check_ratios(compared, label, ratios)
    notice(_expected(compared, generators, ratios, learners, folds))
    if out is not None and generators:
        notice(_expected_table(train, generators))

    def compare() -> Balance:
        found = compare_remedies(
            compared,
            {name: maker(name, label, params=given, progress=progress) for name, given in generators.items()},
            folds=folds,
            seed=seed,
            ratios=ratios,
            learners=learners,
            rare=label,
            precision=precision,
            budget_seconds=budget_seconds,
            progress=progress,
        )
        said = answer(found)
        late = () if found.tried == folds else (f"{found.tried} of {folds} folds were tried before the time was up.",)
        return Balance(found, said, (*notes, *late), _rows(found, said, generators, ratios, anyway))

    if out is None:
        return replace(compare(), rows=None)
    config = _config(data, table, rules, seed=seed, schema=schema, policy=policy, formats=formats)
    with new_folder(out, mark=MARK) as folder:
        log = Log(folder / "log.jsonl")
        log("read", train=len(train), holdout=len(holdout), compared=len(compared))
        done = compare()
        log("compare", folds=done.comparison.tried, answer=done.answer.kind, remedy=done.answer.remedy)
        if done.rows is not None:
            config = _with_rows(config, train, done.comparison.rare, *done.rows, generators[done.rows[0]])
            method = create(config.generator.name, config.generator.params)
            work(config, method, rules, train, holdout, folder, log, key=key, by=by, progress=progress, notice=notice)
        else:
            write(folder / "config.yaml", config.to_yaml())
        write_json(folder / MARK, done.to_dict())
        write(folder / PAGE, render(done.to_dict(), title=config.title or config.name, judged=done.rows is not None))
        log("done", total=round(time.monotonic() - started, 1))
    return replace(done, path=Path(out))


def default_folder(data: str) -> Path:
    """Where the command line leaves what it finds, if nothing else is said."""
    return RUNS / f"{job_name(data)}-balanced"


def maker(generator: str, rare: str, *, params: Params | None = None, progress: Progress = silent) -> MakeRows:
    """How a generator makes rows of a class: as `by-class`, fitted to nothing but the rows that it is handed."""

    def named(stage: str, done: int, total: int) -> None:
        progress(f"{stage}: {generator}", done, total)

    def make(train: Table, n: int, seed: int) -> Table:
        return rows_of(train, rare, generator, n, seed, params=params, progress=named)

    return make


def rows_of(
    train: Table,
    rare: str,
    generator: str,
    n: int,
    seed: int,
    *,
    params: Params | None = None,
    progress: Progress = silent,
) -> Table:
    """n rows of a class of the target, whose label is text, by a generator fitted to the training rows."""
    target = train.schema.target
    assert target is not None
    if learns_apart(generator):  # the class is learned by itself: what the others are makes no difference to it
        mine = class_labels(train) == rare
        train = train.filter(mine | (np.cumsum(~mine) <= STRANGERS))
    model = create("by-class", {"of": generator, "params": params or None}).fit(train, seed=seed, progress=progress)
    value = next(value for value in target.legal if str(value) == rare)
    return model.sample_table(n, where={target.name: value}, seed=seed, progress=progress)


# what is compared ------------------------------------------------------------------------------------------------------


def _methods(generators: tuple[str, ...], params: Mapping[str, Params]) -> Generators:
    """The generators with their hyperparameters. Raises ConfigError for those of a generator that takes no part."""
    for name in params:
        if name not in generators:
            raise ConfigError(
                f"{name!r} has hyperparameters and takes no part{did_you_mean(name, generators)}; name it among the\n"
                f"generators, which are {', '.join(generators) or 'none'}"
            )
    return {name: dict(params.get(name, {})) for name in generators}


def _check(generators: Generators, max_rows: int | None, anyway: bool, out: str | Path | None) -> None:
    """Raise InputError or ConfigError for arguments that make no sense, before any row is read."""
    for name, params in generators.items():
        if name == "by-class" or by_name(name).needs_budget:
            raise ConfigError(f"rows of {name} cannot be compared; name methods such as trees, copula or autoregressive")
        create("by-class", {"of": name, "params": params or None})._validate()
        if by_name(name).keeps_checkpoints:
            check_torch(name)  # now, and not after the folds of others
    if anyway and (out is None or not generators):
        raise InputError("a table is to be made anyway, and there is no folder or no generator for it; give both")
    if max_rows is not None and (isinstance(max_rows, bool) or not isinstance(max_rows, int) or max_rows < FEWEST):
        raise InputError(f"max_rows is {max_rows!r}; give {FEWEST} rows or more to compare on")


def _compared(train: Table, rare: str | None, max_rows: int | None, seed: int) -> tuple[Table, tuple[str, ...]]:
    """The training rows that remedies are compared on, and what is to be said of them."""
    most = max_rows or min(MOST_ROWS, MOST_CELLS // max(1, len(train.schema.learned)))
    if rare is not None and train.schema.target is not None:
        share = float(np.mean(class_labels(train) == rare))
        most = max(most, round(ENOUGH / share)) if share > 0 else most
    if len(train) <= most:
        return train, ()
    kept, _ = train.split(1 - most / len(train), seed=seed, by="row" if train.schema.subject is None else "subject")
    return kept, (
        f"Remedies were compared on {len(kept):,} of the {len(train):,} training rows, drawn at random; more rows (--max-rows) "
        "take longer, and narrow the intervals.",
    )


def _check_ratios(table: Table, rare: str, ratios: tuple[float, ...]) -> None:
    """Raise InputError for a ratio at which no row would be added."""
    share = float(np.mean(class_labels(table) == rare))
    there = share / (1 - share)
    for ratio in ratios:
        if 0 < ratio <= there:
            raise InputError(
                f"a ratio of {ratio:g} adds nothing: the class {rare} is at {there:.2g} of all other rows already; "
                f"give one above {there:.2g} and up to 1"
            )


def _expected(
    table: Table, generators: Generators, ratios: tuple[float, ...], learners: tuple[Learner, ...], folds: int
) -> str:
    """How long the comparison is expected to take, in words."""
    cells = len(table) * len(table.schema.learned)
    models = MODELS + len(generators) * len(ratios)
    seconds = sum(at_once + each * cells for at_once, each in (PACE.get(name, (0, 0)) for name in learners)) * models * folds
    parts = [f"{round(models * len(learners) * folds)} models about {in_seconds(seconds)}"]
    for name, params in generators.items():
        method = create(name, params)
        if method.has_estimate and not learns_apart(name):
            parts.append(f"{folds} fits of {name} about {in_seconds(folds * method.estimate(table).seconds)}")
    return f"comparing remedies on {len(table):,} rows × {len(table.columns)} columns in {folds} folds: {', '.join(parts)}"


def _expected_table(train: Table, generators: Generators) -> str:
    """How long the balanced table takes, where one is made: a fit on all training rows, and its measuring."""
    methods = {name: create(name, params) for name, params in generators.items()}
    known = {name: method.estimate(train).seconds for name, method in methods.items() if method.has_estimate}
    fits = ", ".join(f"{name} {in_seconds(seconds)}" for name, seconds in known.items() if not learns_apart(name))
    fit = f", and a fit on all training rows ({fits})" if fits else ""
    measuring = in_seconds(Measuring.of(train, len(train)).seconds)
    return f"a balanced table, where one is made, takes at most about {measuring} to measure{fit}"


# what is made ----------------------------------------------------------------------------------------------------------


def _rows(
    found: Comparison, said: Answer, generators: Generators, ratios: tuple[float, ...], anyway: bool
) -> tuple[str, float] | None:
    """Whose rows go into a table and at which ratio: of those that help, or with `anyway` of those that did best."""
    named = {remedy_of(name, ratio, ratios): (name, ratio) for name in generators for ratio in ratios}
    if said.kind == "rows":
        return named[str(said.remedy)]
    if not anyway:
        return None
    return named[max(named, key=lambda remedy: found.of(remedy, said.learner).difference(RANKING).value)]


def _config(
    data: Any, table: Table, rules: Policy, *, seed: int, schema: str | Path | None, policy: str, formats: Iterable[str]
) -> RunConfig:
    """The run's config, as far as it is known before anything is compared."""
    source = str(data) if isinstance(data, (str, Path)) else "a frame in memory"
    target = table.schema.target
    return RunConfig.parse(
        {
            "name": f"{job_name(source)}-balanced",
            "title": f"{Path(source).stem.removeprefix('bundled:')}, balanced",
            "seed": seed,
            "data": {
                "source": source,
                "schema": None if schema is None else str(schema),
                "target": None if target is None else target.name,
                "sensitive": [column.name for column in table.schema.sensitive] or None,
            },
            "split": {"holdout": HOLDOUT},
            "evaluate": {"only": list(dict.fromkeys(check.measure for check in rules.checks))},
            "policy": policy,
            "export": {"formats": list(formats)},
        },
        origin="balance",
    )


def _with_rows(config: RunConfig, train: Table, rare: str, generator: str, ratio: float, given: Params) -> RunConfig:
    """The config of a run that makes as many other rows as there are, and the rare class up to its ratio to them."""
    others = int((class_labels(train) != rare).sum())
    params = {"of": generator, "ratio": ratio, "rare": rare} | ({"params": dict(given)} if given else {})
    return config.model_copy(
        update={
            "generator": GeneratorConfig(name="by-class", params=params),
            "sample": SampleConfig(n=others + round(ratio * others)),
        }
    )


callable_as(balance)
