"""The command that a new user begins with on a table of their own: init."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from synth.cli import app, completing
from synth.cli.jobs import Sensitive, Target, names
from synth.cli.screen import AsJson, Quiet, err, notice, out, print_json
from synth.errors import InputError

QUESTIONS = {
    "run": "make a synthetic table and judge it, for work inside the house and partners",
    "balance": "rows of a rare class to train on",
    "release": "a table that anybody may see",
    "audit": "a table that fairness is studied on",
}


@app.command(epilog="Example: synth init bank.csv --target y --job release --out bank.yaml && synth run bank.yaml")
def init(
    data: Annotated[str, typer.Argument(help="A table: CSV, Parquet or Arrow IPC; or bundled:arrests.", metavar="DATA")],
    target: Target = None,
    sensitive: Sensitive = None,
    subject: Annotated[
        str | None,
        typer.Option(help="The column that names whom a row is about.", metavar="COL", autocompletion=completing.column),
    ] = None,
    job: Annotated[
        Literal["run", "balance", "release", "audit"] | None,
        typer.Option(help="What the rows are for; it chooses policy and method. By default run."),
    ] = None,
    to: Annotated[Path, typer.Option("--out", help="The config to write; a file that is there stays.", metavar="FILE")] = Path(
        "run.yaml"
    ),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented run config from a table: columns, policy and method with reasons, and what a run will cost.

    At a terminal it asks for what only the table's owner knows: what the rows are for, the target, the sensitive columns, whom
    a row is about. Elsewhere, and with --quiet or --json, options say it; what is not said is proposed in a comment.
    """
    from synth.data.sources import read
    from synth.first_config import first_config, sensitive_candidates, subject_candidates, target_candidates

    if to.exists():
        raise InputError(f"{to} is there, and nothing is written over it; name another file with --out, or remove it first")
    table, given = read(data), names(sensitive)
    if sys.stdin.isatty() and err.is_terminal and not quiet and not as_json:
        ask = _asker(table)
        job = job or _which_job()
        target = target or (None if table.schema.target is not None else ask("target", target_candidates(table), one=True))
        left = table if target is None else table.with_roles(target=target)
        given = given or (None if table.schema.sensitive else ask("sensitive columns", sensitive_candidates(left)))
        if (people := subject_candidates(table)) and subject is None:
            subject = ask("column that names whom a row is about", people, one=True)
    first = first_config(data, job=job or "run", target=target, sensitive=given, subject=subject, table=table)
    first.write(to, shlex.join(["synth", "init", *sys.argv[2:]]))
    fit, measuring = first.seconds
    if as_json:
        seconds = {"fit": None if fit is None else round(fit, 1), "measure": round(measuring, 1)}
        facts = {"config": str(to), "job": first.job, "rows": len(table), "columns": len(table.schema)}
        print_json({**facts, **first.config.model_dump(by_alias=True, mode="json"), "seconds": seconds})
        return
    config = first.config
    out.print(f"{len(table):,} rows × {len(table.schema)} columns; {first.cost}", soft_wrap=True, markup=False)
    for what, chosen in (("policy", config.policy), ("generator", config.generator.name)):
        out.print(f"{what:<9} {chosen}: {first.reasons[what]}", soft_wrap=True, markup=False)
    out.print(f"written to {to}; read it, then: synth run {shlex.quote(str(to))}", soft_wrap=True, markup=False)


def _which_job() -> Any:
    for number, (name, what) in enumerate(QUESTIONS.items(), start=1):
        notice(f"  {number}  {name:<8} {what}")
    jobs = list(QUESTIONS)
    while True:
        said = typer.prompt("What are the rows for?", default="1", err=True).strip()
        if said in jobs:
            return said
        if said.isdecimal() and 1 <= int(said) <= len(jobs):
            return jobs[int(said) - 1]
        notice(f"{said!r} is none of them; give a number from 1 to {len(jobs)}, or a name")


def _asker(table: Any) -> Callable[..., Any]:
    """What asks for the columns of a role until the answer names columns that are there."""
    from synth.first_config import chosen_columns

    def ask(what: str, candidates: Any, *, one: bool = False) -> Any:
        for number, candidate in enumerate(candidates, start=1):
            notice(f"  {number}  {candidate.column}  ({candidate.why})")
        proposed = ("1" if one else ",".join(str(n) for n in range(1, len(candidates) + 1))) if candidates else "-"
        while True:
            hint = "" if one else ", with commas between them"
            said = typer.prompt(f"The {what}: numbers or names{hint}; - for none", default=proposed, err=True)
            try:
                found = chosen_columns(said, table, candidates)
            except InputError as problem:
                notice(str(problem))
                continue
            if one and len(found) > 1:
                notice(f"{len(found)} columns are named; name one")
                continue
            return (found[0] if found else None) if one else (found or None)

    return ask
