"""The command that takes a table from a file to an export that a privacy officer can defend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synth.cli import app
from synth.cli.jobs import SchemaFile, Target, names
from synth.cli.screen import EXIT, AsJson, Quiet, Seed, ask_people, err, notice, out, print_json, show_verdict, watching
from synth.errors import ConfigError

if TYPE_CHECKING:
    from synth.release import Plan

NONE = "none"  # how a person says that there is no such column
FORMATS = "parquet,csv"
EVIDENCE = "evidence.html"


@app.command(
    epilog="Example: synth release bank.csv --target y --sensitive age,marital --subject none --no-budget --out reports/bank"
)
def release(
    data: Annotated[Path, typer.Argument(help="A table: CSV, Parquet or Arrow IPC.", metavar="DATA")],
    target: Target = None,
    subject: Annotated[
        str | None,
        typer.Option(help="The column that names the person a row is about; `none` where each row is another.", metavar="COL"),
    ] = None,
    sensitive: Annotated[
        str | None,
        typer.Option(help="Sensitive columns, with commas between them; `none` where there are none.", metavar="A,B"),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Release under a privacy budget; goes with --delta and --schema.", metavar="E")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="The chance that ε may be missed by.", metavar="D")] = None,
    no_budget: Annotated[bool, typer.Option("--no-budget", help="Release without one: on the evidence of attacks.")] = False,
    dataset: Annotated[
        str | None, typer.Option(help="The ledger's name for these people; by default the file's.", metavar="NAME")
    ] = None,
    rows_per_subject: Annotated[
        int | None, typer.Option(help="Under a budget: protect subjects with at most so many rows each.", metavar="K")
    ] = None,
    schema: SchemaFile = None,
    policy: Annotated[
        str | None,
        typer.Option(help="By default privacy-release, or private-release under a budget.", metavar="NAME_OR_FILE"),
    ] = None,
    generator: Annotated[str | None, typer.Option(help="Another method than the plan's own.")] = None,
    n: Annotated[
        int | None, typer.Option("-n", "--rows", min=1, help="How many rows; by default as many as learned from.")
    ] = None,
    formats: Annotated[str, typer.Option(help="Files of the export, with commas between them.")] = FORMATS,
    to: Annotated[Path | None, typer.Option("--out", help="The run folder; by default reports/runs/NAME.")] = None,
    plan_only: Annotated[bool, typer.Option("--plan", help="Show the plan and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")] = False,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a table that may leave the house: declare, plan, run, and export with evidence for a privacy officer.

    What must be declared is asked for at a terminal, and demanded elsewhere: the subject, the sensitive columns, and whether
    there is a budget. The plan says what will be done, why, and what it takes, before anything starts.
    """
    from synth.gate.verify import verify
    from synth.privacy.budget import Budget
    from synth.release import plan_release
    from synth.run import run

    asks = sys.stdin.isatty() and err.is_terminal and not (as_json or quiet)
    subject, sensitive, epsilon, delta = _declared(data, subject, sensitive, epsilon, delta, no_budget, asks)
    budget = None
    if epsilon is not None and delta is not None:
        unit: Any = "row" if rows_per_subject is None else "subject"
        budget = Budget(epsilon, delta, unit, rows_per_subject)
    elif rows_per_subject is not None:
        raise ConfigError(
            "--rows-per-subject bounds what a budget protects, and there is none; leave it out, or give --epsilon"
        )
    plan = plan_release(
        data, subject=subject, sensitive=names(sensitive) or [], budget=budget, target=target, schema=schema, dataset=dataset,
        policy=policy, generator=generator, n=n, formats=names(formats) or (), seed=seed,
    )  # fmt: skip
    if plan_only:
        _show_plan_alone(plan, as_json)
        return
    if not quiet:
        err.print(f"[bold]The plan[/] for {data.name}", highlight=False)
        notice(str(plan))
    if asks and not yes and not typer.confirm("Go on?", default=True, err=True):
        raise typer.Exit(2)
    with watching(quiet) as progress:
        done = run(plan.config, out=to, progress=progress, notice=(lambda text: None) if quiet else notice)
    verdict, exported = done.verdict, done.exported
    assert verdict is not None
    if exported is not None:
        verify(exported)
    if as_json:
        told = {"run": str(done.path), "decision": verdict.decision, "export": None if exported is None else str(exported)}
        evidence = None if exported is None else str(exported / EVIDENCE)
        print_json(told | {"evidence": evidence, "plan": plan.to_dict(), "verdict": verdict.to_dict()})
    else:
        show_verdict(verdict)
        lines = [f"run      {done.path}", f"report   {done.path / 'report.html'}"]
        if exported is not None:
            lines += [f"export   {exported}   verified", f"evidence {exported / EVIDENCE}"]
        out.print("\n".join(lines), soft_wrap=True, markup=False)
    if done.awaits_people:
        ask_people(done, as_json)
    raise typer.Exit(EXIT[verdict.decision])


def _show_plan_alone(plan: Plan, as_json: bool) -> None:
    if as_json:
        print_json(plan.to_dict())
    else:
        out.print(str(plan), soft_wrap=True, markup=False)
        out.print("\n" + plan.config.to_yaml(), soft_wrap=True, markup=False)


def _declared(
    data: Path,
    subject: str | None,
    sensitive: str | None,
    epsilon: float | None,
    delta: float | None,
    no_budget: bool,
    asks: bool,
) -> tuple[str | None, str | None, float | None, float | None]:
    """What must be said and cannot be read off the data. Raises ConfigError, with every flag that is missing, where nobody
    can be asked."""
    if no_budget and (epsilon is not None or delta is not None):
        raise ConfigError("--no-budget goes with neither --epsilon nor --delta; leave it, or them, out")
    if (epsilon is None) != (delta is None):
        raise ConfigError(
            f"a privacy budget is an epsilon and a delta, and --{'delta' if delta is None else 'epsilon'} is missing; give both"
        )
    missing: list[tuple[str, str]] = []
    if subject is None:
        missing.append(
            ("--subject COL|none", "the column that names the person a row is about, or `none` where each row is another")
        )
    if sensitive is None:
        missing.append(("--sensitive A,B|none", "the columns that nobody should learn about a person, or `none`"))
    if epsilon is None and not no_budget:
        missing.append(
            ("--epsilon E --delta D, or --no-budget", "what is promised: a privacy budget, or the evidence of attacks")
        )
    if missing and not asks:
        lines = "\n".join(f"  {flag}: {said}" for flag, said in missing)
        raise ConfigError(f"a release rests on what only you can say about {data.name}; declare\n{lines}")
    if subject is None:
        subject = _ask("Which column names the person a row is about? (`none`: each row is another person)", NONE)
    if sensitive is None:
        sensitive = _ask("Which columns are sensitive? (A,B or `none`)", NONE)
    if epsilon is None and not no_budget:
        said = _ask("A privacy budget ε, spent once and for all? (a number, or `none`: the evidence of attacks)", NONE, _number)
        if said is not None:
            epsilon, delta = float(said), float(_ask("δ, the chance that it is missed by?", "1e-5", _number) or 0)
    return _or_none(subject), _or_none(sensitive), epsilon, delta


def _ask(question: str, usual: str, check: Callable[[str], str | None] = lambda said: said) -> str | None:
    while True:
        said = str(typer.prompt(question, default=usual, err=True)).strip()
        if said == NONE:
            return None
        if (found := check(said)) is not None:
            return found
        err.print(f"{said!r} is no number; write one such as 1 or 1e-5, or `none`", markup=False)


def _number(said: str) -> str | None:
    try:
        return said if float(said) > 0 else None
    except ValueError:
        return None


def _or_none(said: str | None) -> str | None:
    return None if said is None or said.strip().lower() == NONE else said
