"""The command that shows the log of attempts."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.cli import app
from synth.cli.screen import STYLE, AsJson, out, print_json


@app.command(epilog="Example: synth attempts reports/runs/adult")
def attempts(
    run: Annotated[
        Path | None, typer.Argument(help="Only those on the real rows of this run, whatever their split.", metavar="RUN")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Also check every line's signature, place and time; exit code 4 says what is wrong.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List every judgement that this machine has made, the failed ones too, and what came of each."""
    from synth.gate.attempts import SKETCH, AttemptLog, attempts_on
    from synth.run import Run

    log = AttemptLog.of_machine()
    lines = log.check() if check else None
    entries = log.entries()
    data = None if run is None else Run.open(run).measurements.context.get(SKETCH)
    made = attempts_on(entries, data)
    after: dict[str, list[Any]] = defaultdict(list)
    for entry in entries:
        if entry.kind != "attempt":
            after[entry.facts["attempt"]].append(entry)
    if as_json:
        listed = [{**entry.to_dict(), "then": [later.to_dict() for later in after[entry.digest]]} for entry in made]
        print_json({"log": str(log.path), "checked": check, "attempts": listed})
        return
    if made:
        out.print(_grid(made, after))
    else:
        out.print("no attempt is logged" + ("" if run is None else f" on the real rows of {run}"), soft_wrap=True, markup=False)
    if lines is not None:
        said = f"{lines} line{'' if lines == 1 else 's'} of {log.path}: each is signed and in its place"
        out.print(f"[bold green]checked[/] {escape(said)}", soft_wrap=True)


def _grid(made: Any, after: Any) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in ("when", "policy", "attempt", "what came of it", "real rows", "synthetic rows"):
        grid.add_column(heading, overflow="fold", justify="right" if heading == "attempt" else "left")
    for entry in made:
        facts = entry.facts
        grid.add_row(
            entry.at.replace("+00:00", "Z"),
            escape(f"{facts['policy']} {facts['policy_version']}"),
            str(facts["number"]),
            ", ".join(_said(later) for later in after[entry.digest]) or "not decided",
            facts["data"][:12],
            facts["synthetic"][:12],
        )
    return grid


def _said(entry: Any) -> str:
    if entry.kind != "decision":
        return escape(entry.kind)
    decision = entry.facts["decision"]
    return f"[{STYLE[decision]}]{decision}[/]" if decision in STYLE else escape(decision)
