"""Commands for whoever receives an export: verify, replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from synth.cli import app
from synth.cli.screen import AsJson, Quiet, out, print_json, watching
from synth.errors import InputError

MOST_SHOWN = 10  # rows that were drawn again; the others are counted

Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", help="A public key to trust, for each signer; by default every key of this machine.", metavar="PUB"),
]
Lists = Annotated[
    list[Path] | None,
    typer.Option("--revocations", help="A list of what is no longer believed; by default this machine's.", metavar="FILE"),
]


@app.command(epilog="Example: synth verify exports/adult --key ada.pub --key bob.pub --policy privacy-release")
def verify(
    export: Annotated[str, typer.Argument(help="An export's folder, one file of it, or its table's URL.", metavar="EXPORT")],
    key: Keys = None,
    policy: Annotated[
        str | None,
        typer.Option(help="The policy that must have approved: a file, a packaged name, or a SHA-256.", metavar="POLICY"),
    ] = None,
    revocations: Lists = None,
    attestation: Annotated[
        Path | None, typer.Option(help="For one file that has left its export: where the attestation lies.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an export offline: signatures, dates, every file, verdict and policy. Exit code 4 says what differs."""
    from synth.gate.verify import verify as verify_export

    verified = verify_export(export, key=key or None, policy=policy, revocations=revocations or None, attestation=attestation)
    if as_json:
        print_json({"verified": True, **verified.to_dict()})
    else:
        out.print(f"[bold green]verified[/] {escape(export)}", soft_wrap=True)
        out.print(str(verified), soft_wrap=True, markup=False)


@app.command(epilog="Example: synth replay exports/adult --row 17 --model reports/runs/adult/model")
def replay(
    export: Annotated[str, typer.Argument(help="An export's folder, or its table's URL.", metavar="EXPORT")],
    row: Annotated[list[int] | None, typer.Option("--row", help="The number of a row, from 0.", metavar="N")] = None,
    rows: Annotated[str | None, typer.Option(help="Many rows: the first and the last.", metavar="FIRST-LAST")] = None,
    model: Annotated[
        Path | None, typer.Option(help="The model that made the rows; by default the run's own.", metavar="DIR")
    ] = None,
    key: Keys = None,
    revocations: Lists = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw rows of an export again from their model and prove them equal. Exit code 4 says what differs."""
    from synth.replay import replay as replay_rows

    wanted = [*(row or []), *_range(rows)]
    with watching(quiet) as progress:
        done = replay_rows(
            export, rows=wanted, model=model, key=key or None, revocations=revocations or None, progress=progress
        )
    if as_json:
        print_json(done.to_dict())
        return
    for entry, values in zip(done.entries[:MOST_SHOWN], done.rows.head(MOST_SHOWN).arrow.to_pylist(), strict=True):
        out.print(f"row {entry.row}: shard {entry.shard}, place {entry.row_in_shard}", soft_wrap=True, markup=False)
        for name, value in values.items():
            out.print(f"  {name}: {value!r}", soft_wrap=True, markup=False)
    sample = done.entries[0].sample
    if sample is not None:
        under = f" under {sample.where}" if sample.where else ""
        out.print(f"{sample.generator} {sample.model_digest[:16]}…, seed {sample.seed}{under}", soft_wrap=True, markup=False)
    out.print(f"[bold green]equal[/]: {len(done):,} row{'s' if len(done) > 1 else ''}, drawn again from the model")


def _range(text: str | None) -> range:
    """Rows from the first to the last, both of them among it. Raises InputError."""
    if text is None:
        return range(0)
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and dash and last.isdecimal() and int(first) <= int(last)):
        raise InputError(f"--rows {text!r} is no range of rows; write the first and the last, as in 0-999")
    return range(int(first), int(last) + 1)
