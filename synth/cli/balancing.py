"""The command that finds a remedy for a rare class, and makes a balanced table where made rows help."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.cli import app
from synth.cli.jobs import SchemaFile, Sensitive, names
from synth.cli.screen import EXIT, AsJson, Quiet, Seed, ask_people, notice, out, print_json, show_verdict, watching
from synth.errors import InputError


@app.command(epilog="Example: synth balance bank.csv --target y --out reports/bank")
def balance(
    data: Annotated[str, typer.Argument(help="A table: CSV, Parquet or Arrow IPC, or bundled:arrests.", metavar="DATA")],
    target: Annotated[str | None, typer.Option(help="The column whose rare class it is about.", metavar="COL")] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="The folder; by default reports/runs/NAME-balanced.", metavar="DIR")
    ] = None,
    rare: Annotated[
        str | None, typer.Option(help="The rare class; by default the rarest with enough rows.", metavar="CLASS")
    ] = None,
    generators: Annotated[
        str,
        typer.Option(
            help="Whose rows are tried, beside the remedies that need none: trees, copula, smote, independent; the networks "
            "autoregressive, gan, diffusion too (extra torch), one fit a fold.",
            metavar="A,B",
        ),
    ] = "trees",
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="One hyperparameter of a generator: gan.max_seconds=60.", metavar="A.B=VALUE"),
    ] = None,
    ratios: Annotated[
        str, typer.Option(help="Rows of the rare class to all others, at which made rows are tried.", metavar="A,B")
    ] = "0.25,1",
    learners: Annotated[str, typer.Option(help="Kinds of models: boosted, linear, forest.", metavar="A,B")] = "boosted,linear",
    folds: Annotated[int, typer.Option(help="Folds of the cross-validation.", min=3)] = 5,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Make the table even where no made rows are found to help, of the best ones.")
    ] = False,
    max_rows: Annotated[
        int | None, typer.Option(help="Training rows to compare on; by default as many as take a few minutes.", min=200)
    ] = None,
    budget_seconds: Annotated[
        float | None, typer.Option(help="Folds that have not begun by then are left out, but for three.", metavar="S")
    ] = None,
    precision: Annotated[float, typer.Option(help="The precision at which recall is taken.", metavar="P")] = 0.9,
    schema: SchemaFile = None,
    sensitive: Sensitive = None,
    policy: Annotated[str, typer.Option(help="The policy that judges the table.", metavar="NAME_OR_FILE")] = "class-balance",
    formats: Annotated[str, typer.Option("--format", help="Of the export: parquet, csv, arrow.", metavar="A,B")] = "parquet",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find out which remedy helps a rare class, honestly tested; where made rows help, make the balanced table.

    Nothing, class weights, a tuned threshold, oversampling, SMOTE and made rows, side by side, each fitted inside the training
    folds. Where made rows help, or with --anyway, a table with the class at the best ratio is made, judged and exported to
    DIR/export. "No benefit found" is an answer, too, and ends with 0.

    Networks take part only where they are named, since they take minutes where trees take seconds; how long is said before
    anything starts: --generators trees,autoregressive,gan,diffusion --set gan.max_seconds=60
    """
    from synth.balance import balance as find
    from synth.balance import default_folder

    folder = default_folder(data) if to is None else to
    kinds: Any = names(learners) or ()  # what is none of them is refused by name
    with watching(quiet) as progress:
        done = find(
            data, target=target, out=folder, rare=rare, generators=names(generators) or (), params=_params(change or ()),
            ratios=_numbers(ratios), learners=kinds, folds=folds, precision=precision, anyway=anyway, max_rows=max_rows,
            budget_seconds=budget_seconds, schema=schema, sensitive=names(sensitive), policy=policy,
            formats=names(formats) or (), seed=seed, progress=progress, notice=(lambda text: None) if quiet else notice,
        )  # fmt: skip
    run = done.run
    verdict = None if run is None else run.verdict
    exported = None if run is None else run.exported
    if as_json:
        document = {"out": str(folder), "export": None if exported is None else str(exported)}
        print_json(document | done.to_dict() | {"verdict": None if verdict is None else verdict.to_dict()})
    else:
        _show(done)
        if verdict is not None:
            show_verdict(verdict)
        out.print(f"page     {folder / 'balance.html'}", soft_wrap=True, markup=False)
        if verdict is not None:
            out.print(f"report   {folder / 'report.html'}", soft_wrap=True, markup=False)
        if exported is not None:
            out.print(f"export   {exported}", soft_wrap=True, markup=False)
    if run is not None and run.awaits_people:
        ask_people(run, as_json)
    raise typer.Exit(0 if verdict is None else EXIT[verdict.decision])


FIGURES = {  # what is shown, in words, and whether its difference to nothing is shown as well: the page shows all
    "average_precision": ("average precision", True),
    "recall_at_precision": ("recall@{precision:.0%}", False),
    "balanced_accuracy": ("balanced acc.", False),
    "brier_corrected": ("Brier*", False),
    "calibration_slope": ("slope", False),
}


def _show(done: Any) -> None:
    """The answer, then a table of remedies for each kind of model."""
    from synth.metrics.models import NAMES

    found = done.comparison
    share = found.rare_rows / found.rows
    out.print(
        f"\n[bold]{escape(done.answer.sentence)}[/]\n" + "".join(f"{escape(said)}\n" for said in done.answer.others),
        soft_wrap=True,
    )
    out.print(
        f"[dim]{escape(found.target)} = {escape(found.rare)}: {found.rare_rows:,} of {found.rows:,} rows ({share:.2%}), "
        f"{found.tried} folds; in brackets the difference to nothing, 95%[/]",
        soft_wrap=True,
    )
    for learner in dict.fromkeys(o.learner for o in found.outcomes):
        grid = Grid(box=None, pad_edge=False, header_style="bold")
        grid.add_column(NAMES[learner], overflow="fold")
        for words, _ in FIGURES.values():
            grid.add_column(words.format(precision=found.precision), justify="right", no_wrap=True)
        for outcome in found.outcomes:
            if outcome.learner == learner:
                cells = (_cell(outcome, figure, beside) for figure, (_, beside) in FIGURES.items())
                grid.add_row(escape(outcome.remedy), *cells)
        out.print(grid)
        out.print()
    out.print("[dim]* Brier score after the chances were moved back to the natural share; slope of calibration: best is 1.[/]")
    for note in done.notes:
        out.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    if done.rows is None:
        out.print("No rows were made; --anyway makes a balanced table of those that did best.", soft_wrap=True)
        return
    generator, ratio = done.rows
    why = "" if done.answer.kind == "rows" else "; they were asked for, and not found to help"
    out.print(
        f"The balanced table holds rows of {generator}, {found.rare} at 1:{1 / ratio:.3g} to all others{why}.",
        soft_wrap=True,
        markup=False,
    )


def _cell(outcome: Any, figure: str, beside: bool) -> str:
    value, gap = outcome.figures[figure], outcome.difference(figure)
    if not beside or gap.low == gap.high:
        return f"{value:.3f}"
    return escape(f"{value:.3f} [{gap.low:+.3f}, {gap.high:+.3f}]")


def _params(changes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Hyperparameters by generator, from "gan.max_seconds=60"."""
    from synth.config import value_of

    found: dict[str, dict[str, Any]] = {}
    for change in changes:
        path, mark, text = change.partition("=")
        generator, dot, name = path.strip().partition(".")
        if not mark or not dot or not generator or not name:
            raise InputError(
                f"--set {change!r} is not of the form GENERATOR.NAME=VALUE; write, for instance, gan.max_seconds=60"
            )
        found.setdefault(generator, {})[name] = value_of(text, f"--set {change!r}")
    return found


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"--ratios {text!r} is no list of numbers; give some such as 0.25,1") from None
