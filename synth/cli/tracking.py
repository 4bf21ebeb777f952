"""The command that writes a run down in MLflow, and what `--track` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from synth.cli import app
from synth.cli.screen import AsJson, notice, out, print_json


def tracker(uri: str | None, quiet: bool) -> Callable[[Any], None]:
    """What tracks a run, once it is done and shown. Raises ConfigError and MissingExtraError at once, before any work."""
    if uri is None:
        return lambda run: None
    from synth.tracking import destination
    from synth.tracking import track as send

    to = destination(uri)

    def note(run: Any) -> None:
        tracked = send(run, to)
        if not quiet:
            notice(str(tracked))

    return note


@app.command(epilog="Example: synth track reports/runs/adult --to sqlite:///mlruns.db")
def track(
    run: Annotated[Path, typer.Argument(help="A run folder, or one that `synth evaluate` made.", metavar="RUN_OR_DIR")],
    to: Annotated[str, typer.Option("--to", help="An MLflow store: sqlite:///FILE, or a server's http://….", metavar="URI")],
    experiment: Annotated[
        str | None,
        typer.Option(help="The experiment to put it in, made where it is missing; by default synth.", metavar="NAME"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a finished run down in MLflow: config, figures, verdict and report, data sets by digest; no rows, no model.

    Whoever may read the store reads what the run's own report says of the real rows. The same state is not written twice.
    """
    from synth.run import Run
    from synth.tracking import destination
    from synth.tracking import track as send

    where = destination(to, experiment)
    tracked = send(Run.open(run), where)
    if as_json:
        print_json({"run": str(run), **vars(tracked)})
    else:
        out.print(str(tracked), soft_wrap=True, markup=False)
