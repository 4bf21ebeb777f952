"""Commands that show what there is: schema, generators, metrics."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.cli import app, completing
from synth.cli.jobs import SchemaFile, Sensitive, Target, names
from synth.cli.screen import AsJson, out, print_json


def _grid(*headings: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    return grid


@app.command(epilog="Example: synth schema adult.csv --target income --out schema.yaml")
def schema(
    data: Annotated[Path, typer.Argument(help="A table: CSV, Parquet or Arrow IPC.", metavar="DATA")],
    target: Target = None,
    sensitive: Sensitive = None,
    overrides: SchemaFile = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="Write it as a schema.yaml that can be edited and given back.")
    ] = None,
    sdv: Annotated[Path | None, typer.Option("--sdv", help="Write it as SDV's metadata JSON.", metavar="METADATA.json")] = None,
    draft: Annotated[
        bool,
        typer.Option(
            "--draft",
            help="Write it as the draft of a declaration for a privacy budget: what was read off the rows is marked, and "
            "refused there until a person confirms it. Without --out it is printed.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what each column is taken for: kind, role, legal values, and why."""
    from synth.data.declaration import dump_schema
    from synth.data.drafting import drafted, dump_draft
    from synth.data.sdv_metadata import to_sdv_metadata
    from synth.data.sources import read
    from synth.folder import replace

    found = read(data, schema=overrides, target=target, sensitive=names(sensitive)).schema
    if draft:
        text, found = dump_draft(found, data.name), drafted(found)
        if to is None and not as_json:
            out.file.write(text)
            return
    else:
        text = dump_schema(found)
    if to is not None:
        replace(to, text)
    if sdv is not None:
        replace(sdv, json.dumps(to_sdv_metadata(found, data.stem), indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(found.to_dict())
        return
    grid = _grid("column", "kind", "role", "legal values", "why")
    for column in found.columns:
        grid.add_row(escape(column.name), column.kind, column.role, escape(_legal(column)), escape(column.why))
    out.print(grid)
    for constraint in found.constraints:
        out.print(f"constraint: {escape(constraint)}")
    if to is not None:
        then = "confirm what it lists as read_off_data" if draft else "edit it"
        out.print(f"\nwritten to {to}; {then} and pass it with --schema", soft_wrap=True, markup=False)
    if sdv is not None:
        lost = "" if found.target is None and not found.sensitive else ", which has no place for target and sensitive columns"
        out.print(f"\nwritten to {sdv} for SDV{lost}", soft_wrap=True, markup=False)


def _legal(column: Any) -> str:
    null = ", or null" if column.nullable else ""
    if column.categories is not None:
        shown = ", ".join(str(value) for value in column.categories[:6])
        more = f", … ({len(column.categories):,} in all)" if len(column.categories) > 6 else ""
        return shown + more + null
    if column.minimum is not None or column.maximum is not None:
        grid = f", {column.decimals} decimals" if column.decimals else f", whole {column.unit}s" if column.unit else ""
        return f"{column.minimum} to {column.maximum}{grid}{null}"
    if column.is_reissued:
        return f"issued anew ({column.provider or column.kind}){null}"
    return (column.pattern or "any") + null


@app.command(epilog="Example: synth generators trees")
def generators(
    name: Annotated[
        str | None, typer.Argument(help="Show one method's hyperparameters.", autocompletion=completing.generators)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the methods, or one method's hyperparameters and their defaults."""
    from synth.generators import by_name
    from synth.generators import names as known

    methods = [by_name(one) for one in ([name] if name else known())]
    if as_json:
        print_json({m.name: {"summary": m.summary, "hyperparameters": m().get_params()} for m in methods})
        return
    if name is None:
        grid = _grid("generator", "what it does")
        for method in methods:
            grid.add_row(method.name, escape(method.summary))
    else:
        grid = _grid("hyperparameter", "default")
        for field in fields(methods[0]):
            grid.add_row(field.name, escape(repr(getattr(methods[0](), field.name))))
        out.print(escape(methods[0].summary) + "\n")
    out.print(grid)


@app.command(epilog="Example: synth metrics privacy")
def metrics(
    name: Annotated[
        str | None,
        typer.Argument(help="Show one family, or one metric.", metavar="FAMILY_OR_METRIC", autocompletion=completing.metrics),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of measurements.json.")] = False,
    as_json: AsJson = False,
) -> None:
    """List everything that is measured, by family, and which way is better; apart, what is only computed where it is named."""
    from synth.metrics import format as form
    from synth.metrics.registry import chosen
    from synth.metrics.registry import metrics as registered

    if schema:
        print_json(form.schema())
        return
    found = registered() if name is None else chosen(name)
    if name is not None:
        found += tuple(m for m in registered() if m.family == name and m not in found)
    if as_json:
        keys = ("name", "family", "better", "bounds", "cost", "on_request", "summary")
        print_json({"metrics": [{key: _plain(getattr(m, key)) for key in keys} for m in found]})
        return
    for family in dict.fromkeys(m.family for m in found):
        _show(family.capitalize(), [m for m in found if m.family == family and not m.on_request])
    _show("On request only: name them with --only", [m for m in found if m.on_request])


def _plain(value: Any) -> Any:
    """JSON has no infinity: a bound that is none is null."""
    return [None if math.isinf(bound) else bound for bound in value] if isinstance(value, tuple) else value


def _show(heading: str, found: list[Any]) -> None:
    if not found:
        return
    grid = _grid("metric", "better", "what it is")
    for metric in found:
        grid.add_row(metric.name, metric.better, escape(metric.summary))
    out.print(f"[bold]{escape(heading)}[/]")
    out.print(grid)
    out.print()
