"""Commands that judge and release: evaluate, gate, export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from synth.cli import app, completing
from synth.cli.figures import show_measurements, show_power
from synth.cli.jobs import SchemaFile, Sensitive, Target, names
from synth.cli.screen import (
    EXIT,
    AsJson,
    Junit,
    Quiet,
    Sarif,
    Seed,
    Track,
    ask_people,
    for_machines,
    notice,
    out,
    print_json,
    show_verdict,
    watching,
)
from synth.cli.tracking import tracker
from synth.errors import ConfigError, InputError

PolicyName = Annotated[
    str,
    typer.Option(
        help="A packaged policy (`synth policies`) or a policy file.",
        metavar="NAME_OR_FILE",
        autocompletion=completing.policies,
    ),
]


@app.command(
    epilog="Example: synth evaluate --real train.csv --holdout holdout.csv --synthetic fake.csv --target y --out reports/mine"
)
def evaluate(
    synthetic: Annotated[Path, typer.Option(help="The synthetic rows, ours or anybody's.", metavar="FAKE")],
    to: Annotated[Path, typer.Option("--out", help="A folder for measurements.json and report.html.", metavar="DIR")],
    real: Annotated[
        Path | None, typer.Option(help="The rows that the generator was trained on; needed but with --public.", metavar="TRAIN")
    ] = None,
    holdout: Annotated[
        Path | None,
        typer.Option(help="Real rows that the generator never saw; without them most of privacy cannot be measured."),
    ] = None,
    target: Target = None,
    sensitive: Sensitive = None,
    schema: SchemaFile = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Metrics or families to compute; `synth metrics` lists them.",
            metavar="A,B",
            autocompletion=completing.metrics,
        ),
    ] = None,
    also: Annotated[
        str | None, typer.Option(help="Rows of further fits, for the spread between fits.", metavar="FAKE2,FAKE3")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="The saved model that made the rows: attacks may ask it.", metavar="DIR")
    ] = None,
    shadow: Annotated[
        int,
        typer.Option(help="Shadow models of --model to fit, for the attack on the most vulnerable rows.", metavar="K"),
    ] = 0,
    budget_seconds: Annotated[
        float | None, typer.Option(help="What has not begun by then is skipped, and says so.", metavar="S")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads; by default one for each core. The figures do not depend on it.")
    ] = None,
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Also plant known-bad tables and show which checks would have caught each."),
    ] = False,
    public: Annotated[
        bool,
        typer.Option(
            "--public",
            help="Only the figures that may leave with rows made under a privacy budget: against the noisy counts of --model, "
            "without a look at a real row.",
        ),
    ] = False,
    seed: Seed = 0,
    track: Track = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure fidelity, utility, privacy and fairness of a synthetic table, each beside what real rows score.

    Of rows that were made under a privacy budget such figures are internal: exact, outside the budget, and no approval rests on
    them. Those that may leave are measured with --public.
    """
    from synth.run import evaluate_files

    note = tracker(track, quiet)
    if public:
        beside = (
            real,
            holdout,
            target,
            sensitive,
            schema,
            only,
            also,
            budget_seconds,
            workers,
            shadow or None,
            self_test or None,
        )
        _show_public(model, synthetic, to, any(given is not None for given in beside), seed, quiet, as_json, note)
        return
    if real is None:
        raise ConfigError("--real is missing: name the rows that the generator was trained on (or see --public)")
    with watching(quiet) as progress:
        done = evaluate_files(
            real, holdout, synthetic, to,
            target=target, sensitive=names(sensitive), schema=schema, only=names(only), also=names(also) or (), model=model,
            shadow=shadow, budget_seconds=budget_seconds, workers=workers, self_test=self_test, seed=seed, progress=progress,
            notice=(lambda text: None) if quiet else notice,
        )  # fmt: skip
    if as_json:
        print_json(done.measurements.to_dict() | ({"self_test": done.self_test} if self_test else {}))
    else:
        show_measurements(done.measurements)
        if done.self_test is not None:
            show_power(done.self_test)
        out.print(f"\nreport   {to / 'report.html'}", soft_wrap=True, markup=False)
    note(done)


def _show_public(
    model: Path | None,
    synthetic: Path,
    to: Path,
    more: bool,
    seed: int,
    quiet: bool,
    as_json: bool,
    note: Callable[[Any], None],
) -> None:
    from synth.public_figures import evaluate_public_files

    if model is None or more:
        raise ConfigError(
            "--public takes --synthetic, --model and --seed alone: it reads no real row, and the model says the rest; "
            + ("leave the others out" if model is not None else "name the model that the rows were drawn from")
        )
    with watching(quiet) as progress:
        done = evaluate_public_files(
            model, synthetic, to, seed=seed, progress=progress, notice=(lambda text: None) if quiet else notice
        )
    if as_json:
        print_json(done.measurements.to_dict())
    else:
        show_measurements(done.measurements)
        out.print(f"\nreport   {to / 'report.html'}", soft_wrap=True, markup=False)
    note(done)


@app.command(epilog="Example: synth gate reports/runs/adult --policy research")
def gate(
    run: Annotated[Path, typer.Argument(help="A run folder, or one that `synth evaluate` made.", metavar="RUN_OR_DIR")],
    policy: PolicyName = "privacy-release",
    track: Track = None,
    sarif: Sarif = None,
    junit: Junit = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Judge measurements under a policy; an approval is signed with this machine's key."""
    from synth.gate.policy import Policy
    from synth.run import Run

    tell, note = for_machines(sarif, junit), tracker(track, quiet)
    done = Run.open(run)
    verdict = done.judge(Policy.load(policy), notice=(lambda text: None) if quiet else notice)
    tell(verdict)
    if as_json:
        print_json(verdict.to_dict())
    else:
        show_verdict(verdict)
    if done.awaits_people:
        ask_people(done, as_json)
    note(done)
    raise typer.Exit(EXIT[verdict.decision])


@app.command(epilog="Example: synth export reports/runs/adult --to exports/adult --format parquet,csv")
def export(
    run: Annotated[Path, typer.Argument(help="A run folder whose verdict is an approval.", metavar="RUN")],
    to: Annotated[str, typer.Option("--to", help="The export folder, or a database (SQLAlchemy).", metavar="DIR|URL")],
    formats: Annotated[
        str | None,
        typer.Option(
            "--format", help="parquet, csv, arrow, with commas between them; or huggingface alone. Parquet by default."
        ),
    ] = None,
    table: Annotated[str | None, typer.Option(help="With a URL: the new table's name; none is overwritten.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write approved rows, their documents and the signatures to a folder or a new table; whole or not at all."""
    from synth.gate.database import is_address
    from synth.run import Run

    if is_address(to):
        if formats not in (None, "sql"):
            raise InputError(f"{to} is a database, which takes no --format {formats}; leave it out")
        where = Run.open(run).to_sql(to, table)
        if as_json:
            print_json({"export": where})
        else:
            out.print(f"exported to {where}", soft_wrap=True, markup=False)
        return
    if table is not None:
        raise InputError(f"--table goes with a database's URL, and {to} is a folder; leave it out")
    folder = Run.open(run).export(to, formats=names(formats or "parquet") or ())
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if as_json:
        print_json({"export": str(folder), "files": files})
    else:
        out.print(f"exported to {folder}: {', '.join(files)}", soft_wrap=True, markup=False)
