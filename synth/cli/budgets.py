"""What `synth fit` does under a privacy budget: nothing of the rows is shown, not even how many there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synth.cli.screen import out, print_json, watching
from synth.errors import ConfigError
from synth.generators.base import Generator


def fit_under_budget(
    model: Generator,
    data: Path,
    to: Path,
    reading: dict[str, Any],
    *,
    epsilon: float | None,
    delta: float | None,
    dataset: str | None,
    rows_per_subject: int | None,
    facts_share: float,
    judging_share: float,
    seed: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Fit and save a model, and say what was spent. reading: how `synth.read` is to read the table.

    Whether the ledger has room is asked before the file is opened.
    """
    from synth.data.blind import read_blind
    from synth.generators._private import Terms
    from synth.privacy.budget import Budget

    if epsilon is None or delta is None:
        raise ConfigError(
            f"a privacy budget is an epsilon and a delta, and --{'delta' if delta is None else 'epsilon'} is missing; give both"
        )
    unit: Any = "row" if rows_per_subject is None else "subject"
    budget = Budget(epsilon, delta, unit, rows_per_subject)
    asked: dict[str, Any] = {"facts_share": facts_share, "judging_share": judging_share}
    terms = Terms.of(budget, dataset, data, **asked)
    terms.check(model, seed, None)
    table = read_blind(data, **reading)
    with watching(quiet) as progress:
        model.fit(table, budget=budget, dataset=terms.dataset, progress=progress, **asked).save(to)
    receipt = model.receipt
    assert receipt is not None
    if as_json:
        print_json({"model": str(to), "generator": model.name, "digest": model.digest(), "privacy": receipt.to_dict()})
        return
    out.print(
        f"{model.name} fitted under {receipt.budget.in_words}, spent on {receipt.dataset!r} (entry {receipt.entry} of the "
        f"ledger): {to}",
        soft_wrap=True,
        markup=False,
    )
