"""Commands about groups: audit, which asks whether rows are fair to them, and repair, which tries to bring them to parity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.beginning import job_name
from synth.cli import app
from synth.cli.jobs import SchemaFile, Sensitive, Target, names
from synth.cli.screen import EXIT, STYLE, AsJson, Junit, Quiet, Sarif, Seed, for_machines, notice, out, print_json, watching
from synth.errors import InputError
from synth.report import words
from synth.report.fairness import CALLED_OUT, LIKENESS, MODEL, SIZE, Fairness, GroupRow

ATTACKED = ("fairness.group_membership", "fairness.group_attribute_inference")
SHOWN = (*SIZE, *(name for name in MODEL if name != "fairness.calibration_gap"), *ATTACKED)
HEADINGS = {
    "fairness.tpr_gap": "TPR",
    "fairness.fpr_gap": "FPR",
    "fairness.group_share": "Share",
    "fairness.label_gap": "Outcome",
    "fairness.group_attribute_inference": "Inference",
}
MOST = 16  # groups in the terminal's table; the page has all
NARROW = 120  # characters below which the table has no room for what attacks find


@app.command(epilog="Example: synth audit adult.csv --target income --sensitive sex,race --out reports/audit")
def audit(
    data: Annotated[
        str | None,
        typer.Argument(
            help="A real table, of which rows are made and audited: CSV, Parquet or Arrow IPC, or bundled:arrests.",
            metavar="[DATA]",
            show_default=False,
        ),
    ] = None,
    real: Annotated[Path | None, typer.Option(help="The real rows that the generator was trained on.", metavar="TRAIN")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="The synthetic rows, ours or anybody's.", metavar="FAKE")] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="A folder for report.html, measurements.json and verdict.json; by default reports/runs/NAME-audit.",
            metavar="DIR",
        ),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Of DATA alone: who makes the rows; by default trees.", metavar="NAME")
    ] = None,
    holdout: Annotated[
        Path | None,
        typer.Option(help="Real rows that the generator never saw; without them an audit can reject, but not approve."),
    ] = None,
    target: Target = None,
    sensitive: Sensitive = None,
    schema: SchemaFile = None,
    policy: Annotated[
        str, typer.Option(help="A packaged policy (`synth policies`) or a policy file.", metavar="NAME_OR_FILE")
    ] = "fairness-audit",
    also: Annotated[
        str | None, typer.Option(help="Rows of further fits, for the spread between fits.", metavar="FAKE2,FAKE3")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads; by default one for each core. The figures do not depend on it.")
    ] = None,
    sarif: Sarif = None,
    junit: Junit = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Audit a synthetic table for fairness: who is missing, whose outcomes changed, and what a model does to each group.

    Of DATA alone, rows are made of part of it, and the rest stands for reality: is a synthetic table of these people fair to
    them? Or name TRAIN and FAKE, whoever made it. Groups of the sensitive columns and their crossings are each held against
    real rows, under the policy `fairness-audit`.
    """
    from synth.audit import audit as audit_rows

    if (data is None) == (real is None) or (real is None) != (synthetic is None) or (generator and data is None):
        raise InputError(
            "give one real table alone (synth audit DATA), of which rows are made, by --generator, and audited;\n"
            "or --real TRAIN and --synthetic FAKE, and best --holdout as well"
        )
    source = data or str(real)
    to = to or Path("reports/runs") / f"{job_name(source)}-audit"
    tell, say = for_machines(sarif, junit), (lambda text: None) if quiet else notice
    with watching(quiet) as progress:
        done = audit_rows(
            source, holdout, synthetic, target=target, sensitive=names(sensitive), schema=schema, policy=policy,
            also=names(also) or (), generator=generator or "trees", out=to, seed=seed, workers=workers,
            progress=progress, notice=say,
        )  # fmt: skip
    tell(done.verdict)
    if as_json:
        print_json(done.to_dict())
    else:
        show_audit(done.found)
        out.print(f"\nreport   {to / 'report.html'}", soft_wrap=True, markup=False)
    raise typer.Exit(EXIT[done.decision])


@app.command(
    epilog="Example: synth repair models/adult --real train.csv --holdout held.csv --target income --sensitive sex,race "
    "--toward labels --out reports/repaired"
)
def repair(
    model: Annotated[Path, typer.Argument(help="A folder made by `synth fit` or a run's model/.", metavar="MODEL")],
    real: Annotated[Path, typer.Option(help="The real rows that the model was fitted to.", metavar="TRAIN")],
    holdout: Annotated[Path, typer.Option(help="Real rows that it never saw: whether it helps is judged on them.")],
    to: Annotated[Path, typer.Option("--out", help="A folder for the rows, report.html and repair.json.", metavar="DIR")],
    toward: Annotated[
        str, typer.Option(help="counts: equally many rows of every group; labels: every group the outcome as often as all.")
    ] = "counts",
    by: Annotated[
        str | None, typer.Option(help="The sensitive columns whose crossing makes the groups; by default all.", metavar="A,B")
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", "--rows", min=1, help="How many rows; by default as many as TRAIN has.")
    ] = None,
    strength: Annotated[float, typer.Option(help="How far toward parity, from 0 to 1.")] = 1.0,
    draws: Annotated[
        int, typer.Option(help="Tables before and after that models are trained on; more see smaller changes.")
    ] = 8,
    target: Target = None,
    sensitive: Sensitive = None,
    schema: SchemaFile = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads; by default one for each core. The figures do not depend on it.")
    ] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw rows toward parity between groups, and say whether models trained on them treat real people more alike.

    The rows are quarantined like any sample; `synth gate` judges them, under a policy that lets shares differ on purpose. Ends
    with 0 also where no benefit is found, which is an answer.
    """
    from synth.repair import repair as repair_rows

    with watching(quiet) as progress:
        done = repair_rows(
            model, real, holdout, toward=toward, by=names(by), n=n, strength=strength, target=target,
            sensitive=names(sensitive), schema=schema, draws=draws, out=to, seed=seed, workers=workers, progress=progress,
            notice=(lambda text: None) if quiet else notice,
        )  # fmt: skip
    if as_json:
        print_json({"folder": str(to), **done.to_dict()})
        return
    out.print(f"\n[bold]{'IT HELPS' if done.helps else 'NOT SHOWN TO HELP'}[/] {escape(done.answer)}", soft_wrap=True)
    out.print(f"[dim]{escape(done.meaning)}[/]\n", soft_wrap=True)
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in ("figure", "of", "real", "before", "after", "change [95%]", ""):
        grid.add_column(heading, overflow="fold", justify="right" if heading in ("real", "before", "after") else "left")
    for e in done.effects:
        figures = (f"{value:.3f}" for value in (e.real, e.before, e.after))
        change = f"{e.change.value:+.3f} [{e.change.low:+.3f}, {e.change.high:+.3f}]"
        grid.add_row(escape(e.what), escape(e.of), *figures, escape(change), e.says if e.says != "no change shown" else "")
    out.print(grid)
    if done.plan.left:
        few = "; ".join(" × ".join(group.values()) for group in done.plan.left)
        out.print(
            f"\nleft at their natural share, with under 30 training rows to multiply: {few}", soft_wrap=True, markup=False
        )
    out.print(f"\nreport   {to / 'report.html'}\nrows     {to / 'synthetic.parquet'}", soft_wrap=True, markup=False)


def show_audit(found: Fairness) -> None:
    """The answer, who is missing, outcomes by column, then the groups that a rule calls out and those of single columns."""
    first, *others = found.answer
    out.print(f"\n[{STYLE[found.decision]}]{found.decision.upper()}[/] {escape(first)}", soft_wrap=True)
    for sentence in others:
        out.print(f"  {sentence}", soft_wrap=True, markup=False)
    out.print(f"[dim]{escape(found.caveat)}[/]", soft_wrap=True)
    if found.lost:
        out.print("\n[bold]Who is missing[/]")
        for lost in found.lost[:MOST]:
            out.print(f"  {lost.how:<8} {lost.group}: {lost.rows:,} rows, about {lost.expected:,.0f} expected", markup=False)
    _show_gaps(found)
    _show_groups(found)
    if found.unmeasured:
        out.print("\n[bold]What could not be measured[/]")
        for line in found.unmeasured:
            more = f" and {len(line.what) - 3} more" if len(line.what) > 3 else ""
            out.print(f"  {', '.join(line.what[:3])}{more}: [dim]{escape(line.why)}[/]", soft_wrap=True)


def _show_gaps(found: Fairness) -> None:
    if not found.gaps:
        return
    name = "fairness.label_amplification"
    grid = Grid(box=None, pad_edge=False, header_style="bold", title=f"Gap in {escape(found.outcome)}", title_justify="left")
    for heading in ("column", "between", "real", "synthetic", "change [95%]", ""):
        grid.add_column(heading, justify="left" if heading in ("column", "between", "") else "right")
    for gap in found.gaps:
        change = f"{words.number(gap.change.value, name)} {words.interval(gap.change, name)}"
        between = " and ".join(gap.groups)
        figures = (words.number(gap.real, name), words.number(gap.synthetic, name), change)
        grid.add_row(escape(gap.column), escape(between), *(escape(figure) for figure in figures), _tag(gap.finding))
    out.print()
    out.print(grid)


def _show_groups(found: Fairness) -> None:
    rows = [row for row in found.groups if row.is_called_out or len(row.columns) == 1]
    rows.sort(key=lambda row: (not row.is_called_out, len(row.columns)))
    shown = [name for name in SHOWN if any(name in row.cells for row in rows)]
    if out.width < NARROW:
        shown = [name for name in shown if name not in LIKENESS]
    if not rows or not shown:
        return
    grid = Grid(box=None, pad_edge=False, header_style="bold", title="Groups: synthetic / real", title_justify="left")
    grid.add_column("group", overflow="fold")
    for name in shown:
        label = found.score if name == "fairness.tstr_gap" else HEADINGS.get(name) or (SIZE | MODEL | LIKENESS)[name]
        grid.add_column(label, justify="right", overflow="fold")
    for row in rows[:MOST]:
        grid.add_row(escape(row.group), *(_figure(row, name) for name in shown))
    out.print()
    out.print(grid)
    if len(rows) > MOST:
        out.print(f"[dim]and {len(rows) - MOST} more groups in the report[/]")


def _figure(row: GroupRow, name: str) -> str:
    cell = row.cells.get(name)
    if cell is None:
        return "[dim]few rows[/]"
    say = words.number if name in ("fairness.tstr_gap", *LIKENESS) else words.share
    said = escape(f"{say(cell.synthetic)} / {say(cell.real)}")
    return f"[bold red]{said}[/]" if cell.finding == "fail" else f"[yellow]{said}[/]" if cell.finding in CALLED_OUT else said


def _tag(finding: str) -> str:
    return f"[bold red]{finding}[/]" if finding == "fail" else f"[yellow]{finding}[/]" if finding in CALLED_OUT else ""
