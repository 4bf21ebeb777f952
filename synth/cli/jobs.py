"""Commands that make something: demo, run, fit, sample, impute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from synth.cli import app, completing
from synth.cli.budgets import fit_under_budget
from synth.cli.screen import (
    EXIT,
    EXIT_SEARCH,
    AsJson,
    Junit,
    Quiet,
    Resume,
    Sarif,
    Seed,
    Track,
    ask_people,
    for_machines,
    notice,
    out,
    print_json,
    show_search,
    show_verdict,
    telling_of,
    watching,
)
from synth.errors import ConfigError, DataError

Sensitive = Annotated[
    str | None,
    typer.Option(help="Sensitive columns, with commas between them.", metavar="A,B", autocompletion=completing.columns),
]
Target = Annotated[
    str | None,
    typer.Option(help="The column that models are trained to predict.", metavar="COL", autocompletion=completing.column),
]
SchemaFile = Annotated[Path | None, typer.Option("--schema", help="Overrides of the inferred schema, or SDV's metadata.")]

WORTH_SAYING = 5.0  # seconds that a fit is expected to take, from which on it is said beforehand
MANY_ROWS = 1_000_000  # from here on worker processes save more time than they take to start

DEMO: dict[str, Any] = {  # as in configs/arrests.yaml, which an installed package does not bring along
    "name": "arrests",
    "title": "Arrests, for research",
    "data": {"source": "bundled:arrests"},
    "split": {"holdout": 0.4},
    "generator": "trees",
    "policy": "research",  # privacy-release wants more held-out rows than this table has
    "export": {"formats": ["parquet", "csv"]},
}


def names(text: str | None) -> list[str] | None:
    """Column names from "A,B"; a comma inside a name is written twice."""
    if text is None:
        return None
    return [name.strip().replace("\0", ",") for name in text.replace(",,", "\0").split(",") if name.strip()]


@app.command(epilog="Example: synth demo --out reports/demo && synth verify reports/demo/export")
def demo(
    to: Annotated[Path, typer.Option("--out", help="The run folder.")] = Path("reports/demo"),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Take the bundled real table through everything: fit, sample, evaluate, gate, export, verify.

    5,226 police arrests (scikit-lego's `load_arrests`; needs the extra `demo`), judged under `research`.
    """
    from synth.config import RunConfig

    _do(RunConfig.parse(DEMO, origin="the demo"), to, quiet, as_json, verify_after=True)


@app.command(
    epilog="Example: synth run configs/adult.yaml --set generator.params.min_samples_leaf=100 --out reports/runs/adult-100"
)
def run(
    config: Annotated[Path, typer.Argument(help="A run config (YAML).", metavar="CONFIG")],
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value of the config.", metavar="A.B=VALUE")
    ] = None,
    to: Annotated[Path | None, typer.Option("--out", help="The run folder; by default reports/runs/NAME.")] = None,
    resume: Resume = False,
    track: Track = None,
    sarif: Sarif = None,
    junit: Junit = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Do a whole job from a config: read, split, fit, sample, evaluate, judge, and export what is approved."""
    from synth.config import RunConfig

    job = RunConfig.load(config, change or ())
    if track is not None:
        from synth.tracking import destination

        experiment = None if job.tracking is None else job.tracking.experiment
        job = job.model_copy(update={"tracking": destination(track, experiment)})
    _do(job, to, quiet, as_json, verify_after=False, resume=resume, sarif=sarif, junit=junit)


def _do(
    config: Any,
    to: Path | None,
    quiet: bool,
    as_json: bool,
    *,
    verify_after: bool,
    resume: bool = False,
    sarif: Path | None = None,
    junit: Path | None = None,
) -> None:
    from synth.gate.verify import verify
    from synth.generators import create
    from synth.run import RUNS, Run, checkpoint_of
    from synth.run import run as run_job
    from synth.tracking import TrackingError

    tell, untracked = for_machines(sarif, junit), None
    method = create(config.generator.name, config.generator.params)
    kept = checkpoint_of(to or RUNS / config.name, method, searching=config.generator.fit_to_policy)
    with watching(quiet) as progress, telling_of(kept, resume, quiet):
        try:
            done = run_job(config, out=to, resume=resume, progress=progress, notice=(lambda text: None) if quiet else notice)
        except TrackingError as problem:  # said last: the run is there, with all that it has to say
            done, untracked = Run.open(problem.run), problem
    verdict = done.verdict
    assert verdict is not None
    tell(verdict)
    exported = done.exported
    verified = verify(exported) if exported is not None and verify_after else None
    if as_json:
        print_json(
            {
                "run": str(done.path),
                "decision": verdict.decision,
                "export": None if exported is None else str(exported),
                "verified": None if verified is None else True,
                "verdict": verdict.to_dict(),
            }
        )
    else:
        show_verdict(verdict)
        if "search" in verdict.context:
            show_search(verdict.context["search"])
        out.print(f"run      {done.path}\nreport   {done.path / 'report.html'}", soft_wrap=True, markup=False)
        if exported is not None:
            out.print(f"export   {exported}" + ("   verified" if verified is not None else ""), soft_wrap=True, markup=False)
    if done.awaits_people:
        ask_people(done, as_json)
    if untracked is not None:
        raise untracked
    raise typer.Exit(EXIT[verdict.decision])


@app.command(epilog="Example: synth fit adult.parquet --out models/adult --target income --sensitive sex,race")
def fit(
    data: Annotated[Path, typer.Argument(help="A table: CSV, Parquet or Arrow IPC.", metavar="DATA")],
    to: Annotated[Path, typer.Option("--out", help="The model's folder.", metavar="MODEL")],
    generator: Annotated[
        str, typer.Option(help="The method; `synth generators` lists them.", autocompletion=completing.generators)
    ] = "trees",
    target: Target = None,
    sensitive: Sensitive = None,
    schema: SchemaFile = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyperparameter.", metavar="NAME=VALUE", autocompletion=completing.hyperparameters),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Choose the most faithful setting that keeps this policy's limits on membership, on an inner split.",
            metavar="NAME_OR_FILE",
            autocompletion=completing.policies,
        ),
    ] = None,
    budget_seconds: Annotated[
        float | None, typer.Option(help="With --policy: how long to search; by default to the end.", metavar="S")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Learn under a privacy budget, through noise alone; goes with --delta.", metavar="E")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="The chance that ε may be missed by; far below one over the rows.", metavar="D")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The ledger's name for these people; by default the file's.", metavar="NAME")
    ] = None,
    rows_per_subject: Annotated[
        int | None, typer.Option(help="Protect subjects, not rows, with at most so many rows each.", metavar="K")
    ] = None,
    facts_share: Annotated[
        float, typer.Option(help="The share of the budget that buys what the schema does not declare.", metavar="SHARE")
    ] = 0.0,
    judging_share: Annotated[
        float,
        typer.Option(
            help="The share of the budget that buys noisy counts to judge rows by (`synth evaluate --public`).", metavar="SHARE"
        ),
    ] = 0.0,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fit a generator to a table and save it as a folder that runs no code when it is loaded.

    With --epsilon and --delta nothing is read off the rows but through noise: the schema says the rest. What is spent is
    written into the ledger first (`synth ledger`), and the first budget of a data set is its cap.

    With --policy the search is kept in MODEL/search.json. Exit code 1 then says that even the most private setting, which was
    saved, breaks the limits; 3 that the rows are too few to tell.
    """
    from synth.data.constraints import check_constraints
    from synth.data.sources import read
    from synth.gate.policy import Policy
    from synth.generators import create
    from synth.run import checkpoint_of
    from synth.tuning import check_tunable, fit_to_policy

    params = _params(change or ())
    model = create(generator, params)
    rules = None if policy is None else Policy.load(policy)
    if rules is not None:
        check_tunable(generator, params, rules)
    elif budget_seconds is not None:
        raise ConfigError(
            "--budget-seconds goes with --policy, without which nothing is searched; name a policy, or leave it out"
        )
    if any(value is not None for value in (epsilon, delta, dataset, rows_per_subject)) or facts_share or judging_share:
        if rules is not None or resume:
            raise ConfigError("a budget goes with neither --policy nor --resume, which look at the rows again; leave them out")
        reading = {"schema": schema, "target": target, "sensitive": names(sensitive)}
        fit_under_budget(
            model,
            data,
            to,
            reading,
            epsilon=epsilon,
            delta=delta,
            dataset=dataset,
            rows_per_subject=rows_per_subject,
            facts_share=facts_share,
            judging_share=judging_share,
            seed=seed,
            quiet=quiet,
            as_json=as_json,
        )
        return
    kept = checkpoint_of(to, model, resume=resume, searching=rules is not None)
    table = read(data, schema=schema, target=target, sensitive=names(sensitive))
    check_constraints(table)
    if not quiet and model.has_estimate and (expected := model.estimate(table)).seconds > WORTH_SAYING:
        also = "" if rules is None else ";\nthe search before it fits and judges several settings, on half of the rows each"
        notice(f"{generator} on {len(table):,} rows × {len(table.columns)} columns: {expected}{also}")
    tuned = None
    with watching(quiet) as progress, telling_of(kept, resume, quiet):
        if rules is None:
            model.fit(table, seed=seed, checkpoint=kept, resume=resume, progress=progress).save(to)
        else:
            tuned = fit_to_policy(
                table, rules, generator=generator, params=params, seed=seed, budget_seconds=budget_seconds, progress=progress
            )
            tuned.save(to)
            model = tuned.model
    facts = {
        "model": str(to),
        "generator": generator,
        "rows": len(table),
        "columns": len(table.columns),
        "digest": model.digest(),
    }
    if as_json:
        print_json(facts | ({} if tuned is None else {"search": tuned.record}))
    else:
        out.print(
            f"{generator} fitted on {len(table):,} rows × {len(table.columns)} columns: {to}", soft_wrap=True, markup=False
        )
        if tuned is not None:
            show_search(tuned.record)
    raise typer.Exit(0 if tuned is None else EXIT_SEARCH[tuned.outcome])


def _params(changes: list[str] | tuple[()]) -> dict[str, Any]:
    from synth.config import value_of

    params = {}
    for change in changes:
        name, mark, text = change.partition("=")
        if not mark:
            raise ConfigError(f"--set {change!r} is not of the form NAME=VALUE; write, for instance, min_samples_leaf=100")
        params[name.strip()] = value_of(text, f"--set {change!r}")
    return params


@app.command(
    epilog="Example: synth sample models/adult -n 10000 --out rich-women.parquet --where \"income = '>50K' and sex = 'Female'\""
)
def sample(
    model: Annotated[Path, typer.Argument(help="A folder made by `synth fit` or a run's model/.", metavar="MODEL")],
    n: Annotated[int, typer.Option("-n", "--rows", min=0, help="How many rows.")],
    to: Annotated[
        Path, typer.Option("--out", help="A .parquet file; its metadata says that it is not approved.", metavar="FILE")
    ],
    where: Annotated[str | None, typer.Option(help="A condition that every row satisfies.")] = None,
    seed: Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that draw; the bytes do not depend on it. By default one per core for many rows."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw rows from a saved model. They are quarantined: `synth export` is what releases rows."""
    from synth.data.quarantine import origin_of
    from synth.generators._storage import load
    from synth.scale import Processes, cores

    loaded = load(model)
    count = workers or (cores() if n >= MANY_ROWS else 1)
    with watching(quiet) as progress:
        loaded.sample_to(to, n, where=where, seed=seed, workers=Processes(count) if count > 1 else None, progress=progress)
    made = origin_of(to)
    assert made is not None
    if made.notice and not quiet:
        notice(made.notice)
    if as_json:
        worth = {"acceptance": made.acceptance, "effective_rows": made.effective_rows}
        print_json({"file": str(to), "rows": n, "where": where, **worth, "seed": seed, "model_digest": loaded.digest()})
    else:
        out.print(f"{n:,} rows, not approved for release: {to}", soft_wrap=True, markup=False)


@app.command(epilog="Example: synth impute models/adult adult.parquet --out adult-filled.parquet")
def impute(
    model: Annotated[Path, typer.Argument(help="A folder made by `synth fit` or a run's model/.", metavar="MODEL")],
    data: Annotated[Path, typer.Argument(help="A real table with missing cells: CSV, Parquet or Arrow IPC.", metavar="DATA")],
    to: Annotated[
        Path, typer.Option("--out", help="A .parquet file; its metadata says that it holds real cells.", metavar="FILE")
    ],
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fill in the missing cells of a real table, drawn given what each row shows; observed cells stay as they are.

    What comes out is REAL DATA, as confidential as what went in: no command measures, approves or exports it as synthetic.
    """
    from synth.data.quarantine import REAL
    from synth.data.sources import read, write_parquet
    from synth.generators._storage import load

    if to.suffix != ".parquet":
        raise DataError(
            f"{to}: real rows are written as .parquet only, which carries the mark that says so; name a .parquet file"
        )
    loaded = load(model)
    table = read(data)
    with watching(quiet) as progress:
        done = loaded.impute(table, seed=seed, progress=progress)
    write_parquet(done, to, metadata=REAL)
    cells = sum(table.column(name).null_count - done.column(name).null_count for name in table.columns)
    if as_json:
        print_json({"file": str(to), "rows": len(done), "cells": cells, "seed": seed, "model_digest": loaded.digest()})
    else:
        out.print(f"{cells:,} cells of {len(done):,} real rows filled in, not for release: {to}", soft_wrap=True, markup=False)
