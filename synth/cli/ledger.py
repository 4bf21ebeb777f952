"""The command that shows the privacy ledger, and sets what may be spent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table as Grid

from synth.cli import app, completing
from synth.cli.screen import AsJson, out, print_json
from synth.errors import InputError


@app.command(epilog="Example: synth ledger adult --cap-epsilon 3 --cap-delta 1e-6 --by Ada")
def ledger(
    dataset: Annotated[
        str | None,
        typer.Argument(help="The declared name of one.", metavar="DATASET", autocompletion=completing.datasets),
    ] = None,
    cap_epsilon: Annotated[float | None, typer.Option(help="Set its cap: ε of all releases together.", metavar="E")] = None,
    cap_delta: Annotated[float | None, typer.Option(help="The cap's δ, far below one over the rows.", metavar="D")] = None,
    unit: Annotated[Literal["row", "subject"] | None, typer.Option(help="Whom the cap protects; else a row.")] = None,
    rows_per_subject: Annotated[
        int | None, typer.Option(help="The most rows that one subject has, as declared.", metavar="K")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who sets the cap.", metavar="NAME")] = None,
    reason: Annotated[str | None, typer.Option(help="Why a cap is changed, in a sentence.", metavar="TEXT")] = None,
    as_json: AsJson = False,
) -> None:
    """List the data sets that have a privacy budget; or one's spendings, by what, and what remains.

    With --cap-epsilon it sets the cap of a data set; to change one later takes a --reason, and both stay on record.
    """
    from synth.privacy.ledger import Ledger

    book = Ledger()
    asked = {"cap_epsilon": cap_epsilon, "cap_delta": cap_delta, "unit": unit, "rows_per_subject": rows_per_subject}
    if any(value is not None for value in (*asked.values(), by, reason)):
        _set_cap(book, dataset, by, reason, **asked)
    accounts = book.accounts() if dataset is None else (book.account(dataset),)
    if as_json:
        print_json({"ledger": str(book.path), "datasets": [account.to_dict() for account in accounts]})
        return
    if not accounts:
        out.print(f"no data set has a privacy budget in {book.path}", soft_wrap=True, markup=False)
        return
    out.print(_listed(accounts))
    if dataset is not None:
        out.print()
        out.print(_entries(accounts[0]))


def _set_cap(book: Any, dataset: str | None, by: str | None, reason: str | None, **asked: Any) -> None:
    """Open an account, or change its cap: what is not asked for stays as it is."""
    from synth.privacy.budget import Budget

    if dataset is None or by is None:
        raise InputError("a cap is set for a data set and in somebody's name: synth ledger DATASET --cap-epsilon E --by NAME")
    held = next((account.cap.to_dict() for account in book.accounts() if account.dataset == dataset), None)
    if held is None and None in (asked["cap_epsilon"], asked["cap_delta"]):
        raise InputError(f"{dataset!r} has no cap yet; give both --cap-epsilon and --cap-delta")
    cap = {name.removeprefix("cap_"): value for name, value in asked.items() if value is not None}
    if asked["unit"] == "row" and held is not None:
        held["rows_per_subject"] = None
    budget = Budget(**{**(held or {}), **cap})
    if held is None:
        book.open_account(dataset, budget, by=by)
    elif reason is None:
        raise InputError(f"the cap of {dataset!r} is set; to change it say why, with --reason: it stays on record")
    else:
        book.change_cap(dataset, budget, by=by, reason=reason)


def _listed(accounts: Any) -> Grid:
    from synth.privacy.accounting import shown

    grid = _grid(
        "data set", "protects a", "> cap ε", "> at δ", "> spent ε", "> left for one release: ε", "> micro-ρ", "> spendings"
    )
    for account in accounts:
        grid.add_row(
            escape(account.dataset),
            account.cap.about,
            f"{account.cap.epsilon:g}",
            f"{account.cap.delta:g}",
            shown(account.epsilon, up=True),
            shown(account.left_epsilon, up=False),
            f"{account.left_micro_rho:,}",
            str(sum(entry.kind == "spending" for entry in account.entries)),
        )
    return grid


def _entries(account: Any) -> Grid:
    from synth.privacy.accounting import Curve, shown

    grid = _grid("> entry", "when", "what", "by", "> micro-ρ", "> ε by itself", "> spent ε after it")
    spent, delta = Curve(), account.cap.delta
    for entry in account.entries:
        spent += entry.cost
        figures = ("", "", "")
        if entry.kind == "spending":
            figures = (
                "curve" if any(entry.cost.nano) else f"{entry.cost.micro_rho:,}",
                shown(entry.cost.epsilon(delta), up=True),
                shown(spent.epsilon(delta), up=True),
            )
        when = entry.at.replace("+00:00", "Z")
        grid.add_row(str(entry.number), when, escape(_said(entry)), escape(entry.facts["by"]), *figures)
    return grid


def _said(entry: Any) -> str:
    from synth.privacy.budget import Budget

    if entry.kind == "spending":
        return str(entry.facts["what"])
    cap = Budget(**entry.facts["cap"]).in_words
    return f"cap: {cap}" if entry.kind == "account" else f"cap: {cap} ({entry.facts['reason']})"


def _grid(*headings: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        grid.add_column(heading.removeprefix("> "), overflow="fold", justify="right" if heading.startswith("> ") else "left")
    return grid
