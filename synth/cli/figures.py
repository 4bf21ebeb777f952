"""The figures of an evaluation at a terminal: by family, the worst group or column of each metric, what is missing apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as Grid

from synth.cli.screen import out
from synth.metrics.measurement import Interval, Measurements
from synth.report import words
from synth.report.families import Gap, by_family, gaps
from synth.report.power import power_table
from synth.report.words import STATUSES

NARROW = 104  # characters below which a terminal has no room for the interval of real rows and for n
NAMED = 3  # figures that are named among those which are missing for one reason


def show_measurements(measured: Measurements) -> None:
    """Every metric's figure, its interval and what real rows score; of its groups and columns the worst."""
    if measured.are_internal:
        out.print(f"[bold]INTERNAL[/] {words.INTERNAL}\n", soft_wrap=True)
    wide = out.width >= NARROW
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    grid.add_column("figure", overflow="fold")
    grid.add_column("value [95%]", no_wrap=True, justify="right")
    grid.add_column("real rows [95%]" if wide else "real rows", no_wrap=True, justify="right")
    if wide:
        grid.add_column("n", no_wrap=True, justify="right")
    for family in by_family(measured, most=1):
        grid.add_row(f"[bold]{family.name.capitalize()}[/]")
        for metric in family.metrics:
            for m in metric.shown:
                assert m.score is not None
                more = f" [dim]+{len(metric.folded)} more[/]" if metric.folded else ""
                real = "–" if m.reference is None else _interval(m.reference) if wide else f"{m.reference.value:.4f}"
                n = (f"{m.score.n:,}",) if wide else ()
                grid.add_row(f"  {escape(m.label)}{more}", _interval(m.score), real, *n)
    out.print(grid)
    missing = gaps(measured)
    small = [m.label for gap in missing if _is_small(gap) for m in gap.figures]
    if missing:
        out.print("\n[bold]Could not be computed[/]")
        for gap in missing:
            if _is_small(gap):
                continue
            out.print(Padding(_named(gap), (0, 0, 0, 2)))
            out.print(Padding(f"[dim]{STATUSES.get(gap.status, gap.status)}:[/] {escape(gap.reason)}", (0, 0, 0, 4)))
        if small:
            out.print(Padding(_listed(small), (0, 0, 0, 2)))
            out.print(Padding("[dim]skipped:[/] their groups have too few rows; the report says how many", (0, 0, 0, 4)))


def _is_small(gap: Gap) -> bool:
    """Whether it is about groups with too few rows: there can be many, each with its own number."""
    return gap.reason.startswith("insufficient") and all(m.group for m in gap.figures)


def _named(gap: Gap) -> str:
    return _listed([m.label for m in gap.figures])


def _listed(labels: list[str]) -> str:
    names = list(dict.fromkeys(labels))
    more = f" [dim]and {len(names) - NAMED} more[/]" if len(names) > NAMED else ""
    return escape(", ".join(names[:NAMED])) + more


def _interval(interval: Interval) -> str:
    return f"{interval.value:.4f} \\[{interval.low:.4f}, {interval.high:.4f}]"


def show_power(found: Mapping[str, Any]) -> None:
    """What a self-test planted, and the checks that caught it."""
    table = power_table(found)
    out.print(f"\n[bold]Would the checks have caught it?[/] [dim]{escape(table.caption)}[/]")
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    grid.add_column("planted", no_wrap=True)
    grid.add_column("", no_wrap=True)
    grid.add_column("by", overflow="fold")
    style = {"pass": "green", "fail": "bold red"}
    for line in table.lines:
        said = f"[{style[line.outcome]}]{line.said}[/]" if line.outcome in style else line.said
        grid.add_row(escape(line.fault), said, escape(line.checks))
    out.print(grid)
