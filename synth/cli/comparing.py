"""The command that puts runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.cli import app
from synth.cli.screen import OUTCOME_STYLE, STYLE, AsJson, notice, out, print_json
from synth.folder import replace
from synth.report.comparison import Cell, Comparison, decision_of, told

AGAINST = {"better": "[green]▲ better[/]", "worse": "[bold red]▼ worse[/]", "same": "[dim]= not told apart[/]", "": ""}


@app.command(epilog="Example: synth compare reports/runs/adult reports/runs/adult-100 --out compare.html")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or those that `synth evaluate` made.", metavar="RUN RUN…")],
    to: Annotated[
        Path | None, typer.Option("--out", help="Also a page that shows it, as one file.", metavar="FILE.html")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: verdicts, figures with intervals and floors, what differs in their configs.

    The others are held against the first. What cannot be compared (other real rows, another policy) is said first.
    """
    from synth.comparing import compare as put
    from synth.errors import DataError

    if to is not None and (to.is_dir() or not to.absolute().parent.is_dir()):
        why = "it is a folder" if to.is_dir() else "there is no such folder"
        raise DataError(f"cannot write {to}: {why}; give the path of a file in a folder that is there")
    found = put(*runs)
    if to is not None:
        replace(to, found.to_html())
    if as_json:
        print_json(found.to_dict())
        return
    show(found)
    if to is not None:
        out.print(f"\npage     {to}", soft_wrap=True, markup=False)


def show(found: Comparison) -> None:
    """Verdicts, then the key figures, then the settings that differ."""
    for warning in found.warnings:
        notice(f"warning: {warning}")
    out.print()
    for side in found.sides:
        style = STYLE.get("" if side.verdict is None else side.verdict.decision, "dim")
        out.print(f"{escape(side.name)}: [{style}]{escape(decision_of(side))}[/]", soft_wrap=True)
    out.print()
    grid = _grid("figure", found)
    for line in found.figures:
        grid.add_row(escape(line.label), *(_cell(cell) for cell in line.cells))
    out.print(grid)
    out.print(f"[dim]Better and worse: than {escape(found.sides[0].name)}, where the 95% intervals do not overlap.[/]")
    if found.settings:
        out.print()
        grid = _grid("setting", found)
        for name, values in found.settings:
            grid.add_row(escape(name), *("–" if value is None else escape(str(value)) for value in values))
        out.print(grid)


def _grid(heading: str, found: Comparison) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    grid.add_column(heading, overflow="fold")
    for side in found.sides:
        grid.add_column(escape(side.name), overflow="fold")
    return grid


def _cell(cell: Cell) -> str:
    style = OUTCOME_STYLE.get(cell.outcome)
    outcome = f" [{style}]{cell.outcome}[/]" if style and cell.outcome != told(cell) else ""
    real = "" if cell.measurement is None or cell.measurement.reference is None else _floor(cell)
    return "\n".join(part for part in (escape(told(cell)) + outcome, real, AGAINST[cell.against]) if part)


def _floor(cell: Cell) -> str:
    from synth.report import words

    m = cell.measurement
    assert m is not None
    return f"[dim]{words.referee(m)} {escape(words.reference(m.reference, m.name))}[/]"
