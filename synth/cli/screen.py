"""What a person at a terminal sees: progress on stderr, verdicts and tables on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Never

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table as Grid

from synth.errors import DataError
from synth.folder import replace
from synth.gate.verdict import Finding, Verdict
from synth.metrics.measurement import FIGURES, INTERNAL
from synth.progress import Progress, silent
from synth.report import words
from synth.report.search import search_table

if TYPE_CHECKING:
    from synth.run_folder import Run

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notices.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]
Sarif = Annotated[
    Path | None, typer.Option("--sarif", help="Also the verdict as SARIF 2.1.0, for CI; it stays inside.", metavar="FILE")
]
Junit = Annotated[
    Path | None, typer.Option("--junit", help="Also the verdict as JUnit XML, for CI; it stays inside.", metavar="FILE")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")]

Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with an interrupted fit of the same data, method and seed, from its last checkpoint."),
]
Track = Annotated[
    str | None,
    typer.Option(
        "--track", help="Also write it down in MLflow: sqlite:///FILE, or a server's http://… (`synth track`).", metavar="URI"
    ),
]

STYLE = {"approved": "bold green", "rejected": "bold red", "inconclusive": "bold yellow"}
OUTCOME_STYLE = {
    "pass": "green",
    "fail": "bold red",
    "inconclusive": "yellow",
    "missing": "yellow",
    "error": "yellow",
    "skipped": "yellow",
}
MAY_SEE = {
    "public": "anybody may see the rows",
    "partner": "the rows are for partners under agreement",
    "internal": "the rows stay in the house",
}
EXIT = {"approved": 0, "rejected": 1, "inconclusive": 3}
EXIT_SEARCH = {"within": 0, "beyond": 1, "undecided": 3}

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def notice(text: str) -> None:
    """Something a person should know, which is not an error."""
    err.print(escape(text), soft_wrap=True)


@contextmanager
def telling_of(checkpoint: Path | None, resume: bool, quiet: bool) -> Iterator[None]:
    """Say what lies in the checkpoint's folder before a fit, and what stays there when it is broken off."""
    there = checkpoint is not None and checkpoint.is_dir()
    if resume and checkpoint is not None and not there:
        notice("no checkpoint is there to go on from; the fit begins anew")
    if there and not resume and not quiet:
        notice(f"{checkpoint} holds an unfinished fit, which --resume would go on with; this one begins anew, and replaces it")
    try:
        yield
    except BaseException:
        if checkpoint is not None and checkpoint.is_dir():
            notice(f"what was learned so far is kept in {checkpoint}; the same command with --resume goes on from there")
        raise


@contextmanager
def watching(quiet: bool) -> Iterator[Progress]:
    """A progress callback that draws a bar per stage on stderr, with elapsed and remaining time; silent where nobody looks."""
    if quiet or not err.is_terminal:
        yield silent
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<40}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=err) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            bar = stage.split(": ", 1)[0]  # "measure: fidelity.trend" is what the bar "measure" is at
            if bar not in tasks:
                tasks[bar] = bars.add_task(stage, total=total)
            bars.update(tasks[bar], description=stage, completed=done, total=total)

        yield show


def print_json(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def for_machines(sarif: Path | None, junit: Path | None) -> Callable[[Verdict], None]:
    """What writes the verdict for CI systems, each file whole or not at all.

    Raises DataError at once where a file cannot be written there, rather than when all the work is done.
    """
    for path in (sarif, junit):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            why = "it is a folder" if path.is_dir() else "there is no such folder"
            raise DataError(f"cannot write {path}: {why}; give the path of a file in a folder that is there")

    def tell(verdict: Verdict) -> None:
        from synth.report.junit import to_junit
        from synth.report.sarif import to_sarif

        for path, rendered in ((sarif, to_sarif), (junit, to_junit)):
            if path is not None:
                replace(path, rendered(verdict))

    return tell


WHOSE = {"real rows": "real rows score", "noise alone": "noise alone explains"}


def show_verdict(verdict: Verdict) -> None:
    """The decision, then every finding: its figure with its interval, its limit, and what real rows score."""
    word, tried = verdict.decision.upper(), verdict.attempt
    again = f", attempt {tried.number} on this data" if tried is not None and tried.number > 1 else ""
    under = f"under {escape(verdict.policy)} {verdict.policy_version}{again}; {MAY_SEE[verdict.profile]}"
    out.print(f"\n[{STYLE[verdict.decision]}]{word}[/] {under}\n", soft_wrap=True)
    if verdict.context.get(FIGURES) == INTERNAL:
        out.print(f"[bold]INTERNAL[/] {words.INTERNAL}\n", soft_wrap=True)
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    grid.add_column("check", overflow="fold")
    grid.add_column("outcome", no_wrap=True)
    beside = "noise alone" if "privacy" in verdict.context else "real rows"
    for heading in ("value [95% interval]", "limit", beside):
        grid.add_column(heading, no_wrap=True, justify="right")
    for finding, others in _lines(verdict):
        style = OUTCOME_STYLE.get(finding.outcome)
        grid.add_row(
            escape(finding.check) + (f" [dim]and {others} more[/]" if others else ""),
            (f"[{style}]{finding.outcome}[/]" if style else finding.outcome) + _let_go(finding),
            _figure(finding),
            "" if finding.limit is None else f"{finding.limit:{'+' if finding.over_reference else ''}.3g}",
            "" if finding.reference is None else f"{finding.reference:.3f}",
        )
    out.print(grid)
    out.print("[dim]A limit with a sign, and the value beside it, are in excess of what " + WHOSE[beside] + ".[/]")
    for finding in verdict.blocking:
        out.print(f"\n[bold]{escape(finding.check)}[/]: {escape(finding.message)}")
    for waiver in verdict.waivers:
        until = f"waived by {waiver['approver']} until {waiver['expires'][:10]}"
        out.print(
            f"\n{waiver['check']} {until}: {waiver['reason']} ({waiver['owner']} answers for it)", soft_wrap=True, markup=False
        )
    for line in verdict.refused_waivers:
        out.print(f"\nwaiver refused: {line}", soft_wrap=True, markup=False)
    if verdict.decision != "approved" and verdict.changes:
        out.print("\n[bold]What would have to change[/]")
        for line in verdict.changes:
            out.print(f"- {line}", soft_wrap=True, markup=False)
    out.print()


def ask_people(run: Run, as_json: bool) -> Never:
    """Say who has to sign before anything leaves, and end as where nothing is decided yet."""
    approval = run.approval
    assert approval is not None
    if not as_json:
        people = "a person has" if approval.terms.signers == 1 else f"{approval.terms.signers} people have"
        out.print(
            f"[{STYLE['inconclusive']}]NOT SIGNED YET[/] {people} to sign before anything leaves, with a key of their own:\n"
            f"         synth approve {escape(str(run.path))} --key THEIR.pem",
            soft_wrap=True,
        )
    raise typer.Exit(EXIT["inconclusive"])


def show_search(record: Mapping[str, Any]) -> None:
    """How the generator's setting was chosen: every attempt with its figures on the inner split, then the choice and why."""
    table = search_table(record)
    out.print(f"[dim]{escape(table.tried)}[/]")
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    grid.add_column("setting", overflow="fold")
    for heading in ("split", *table.names, "limits"):
        grid.add_column(heading, justify="right" if heading != "limits" else "left")
    for attempt in table.attempts:
        chosen = " [bold](chosen)[/]" if attempt.is_chosen else ""
        said = f"[{OUTCOME_STYLE[attempt.tag]}]{attempt.outcome}[/]"
        figures = [escape(figure) for figure in attempt.figures]
        grid.add_row(escape(attempt.setting) + chosen, str(attempt.split), *figures, said)
    out.print(grid)
    out.print(f"chosen   {table.chosen}: {table.why}\n", soft_wrap=True, markup=False)


def _let_go(finding: Finding) -> str:
    """That a finding would block, had it not been let go."""
    if finding.waiver is not None:
        return f" [dim]waived until {escape(str(finding.waiver['expires'])[:10])}[/]"
    return " [dim]noted[/]" if finding.meaning == "noted" else ""


FOLDED = ("pass", "insufficient", "report", "absent")  # outcomes of which one of a metric's groups stands for the others


def _lines(verdict: Verdict) -> list[tuple[Finding, int]]:
    """Findings, the worst first; of one metric's groups that stand in no way, the nearest to its limit and how many more."""
    order = {"fail": 0, "error": 1, "missing": 1, "skipped": 1, "inconclusive": 2}
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in sorted(verdict.findings, key=lambda f: order.get(f.outcome, 3)):
        name = finding.check.split("[", 1)[0]
        alone = () if "[" in finding.check and finding.outcome in FOLDED else (finding.check,)
        groups.setdefault((finding.outcome, name, *alone), []).append(finding)
    return [(max(group, key=lambda f: (f.high or 0.0) - (f.limit or 0.0)), len(group) - 1) for group in groups.values()]


def _figure(finding: Finding) -> str:
    if finding.value is None or finding.low is None or finding.high is None:
        return ""
    sign = "+" if finding.over_reference else ""
    value, low, high = (round(number, 3) + 0.0 for number in (finding.value, finding.low, finding.high))  # no minus zero
    return escape(f"{value:{sign}.3f} [{low:.3f}, {high:.3f}]")
