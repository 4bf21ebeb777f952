"""The command that tries to catch a private model's method giving away more than it claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.cli import app
from synth.cli.screen import AsJson, Quiet, out, print_json, watching
from synth.errors import ConfigError
from synth.progress import Progress

if TYPE_CHECKING:
    from synth.privacy.audit import Audit


@app.command("audit-privacy", epilog="Example: synth audit-privacy models/adult-private --runs 2000")
def audit_privacy(
    what: Annotated[
        Path,
        typer.Argument(
            help="A folder made by `synth fit --epsilon` or a run's model/; or a run config with `privacy`, before its budget "
            "is spent.",
            metavar="MODEL_OR_CONFIG",
        ),
    ],
    runs: Annotated[int, typer.Option(min=4, help="Fits a side; more can show a smaller loss.")] = 200,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a model's method, at its budget, on two made-up tables that differ by a row, and say what an attacker learns of it.

    Nothing is read of the real rows, and nothing is spent on them. Ends with 1 where more was lost than is claimed.
    """
    with watching(quiet) as progress:
        audits = _of_config(what, runs, progress) if what.is_file() else _of_model(what, runs, progress)
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


def _of_model(folder: Path, runs: int, progress: Progress) -> list[Audit]:
    from synth.generators._auditing import audits_of
    from synth.generators._storage import load

    return audits_of(load(folder), runs=runs, progress=progress)


def _of_config(file: Path, runs: int, progress: Progress) -> list[Audit]:
    """Of a run that was not made yet: its method, with its settings and its budget."""
    from synth.config import RunConfig
    from synth.generators import create
    from synth.generators._auditing import audits_under
    from synth.private_run import terms_of

    config = RunConfig.load(file)
    if config.privacy is None:
        raise ConfigError(
            f"{file} names no privacy budget, and claims nothing that could be audited; give it one under `privacy`"
        )
    method = create(config.generator.name, config.generator.params)
    terms = terms_of(config, method)
    return audits_under(method, terms.budget, runs=runs, judging_share=terms.judging_share, progress=progress)
