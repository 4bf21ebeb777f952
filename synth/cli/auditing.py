"""The command that tries to catch a private model's method giving away more than it claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.cli import app
from synth.cli.screen import AsJson, Quiet, out, print_json, watching


@app.command("audit-privacy", epilog="Example: synth audit-privacy models/adult-private --runs 2000")
def audit_privacy(
    model: Annotated[Path, typer.Argument(help="A folder made by `synth fit --epsilon` or a run's model/.", metavar="MODEL")],
    runs: Annotated[int, typer.Option(min=4, help="Fits a side; more can show a smaller loss.")] = 200,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a model's method, at its budget, on two made-up tables that differ by a row, and say what an attacker learns of it.

    Nothing is read of the real rows, and nothing is spent on them. Ends with 1 where more was lost than is claimed.
    """
    from synth.generators._auditing import audits_of
    from synth.generators._storage import load

    loaded = load(model)
    with watching(quiet) as progress:
        audits = audits_of(loaded, runs=runs, progress=progress)
    sees, held = audits[0].sees, all(audit.holds for audit in audits[1:])
    if as_json:
        keys = ("what", "of", "bound", "confidence", "claim", "runs", "holds")
        print_json({"sees": sees, "holds": held, "audits": [{key: getattr(audit, key) for key in keys} for audit in audits]})
    else:
        grid = Grid(box=None, pad_edge=False, header_style="bold")
        for heading in ("what was tried", "lost at least", "claim", "runs a side", ""):
            grid.add_column(heading, overflow="fold")
        for audit in audits:
            lost = f"{audit.of} {audit.bound:.3f} ({audit.confidence:.0%})"
            verdict = "can be true" if audit.holds else "[bold]is not true[/]"
            grid.add_row(escape(audit.what), lost, f"{audit.claim:.3f}", f"{audit.runs:,}", verdict)
        out.print(grid)
        reached = f"of a release that gives away all of its claim the audit sees {audits[0].reached:.0%}"
        out.print(f"\n{reached}; what holds was not shown to be private, only not caught", soft_wrap=True, markup=False)
    if not held:
        raise typer.Exit(1)
