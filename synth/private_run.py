"""A run under a privacy budget: nothing of the rows is looked at but through noise, and nothing else is left of them.

    ledger asked ─ rows read ─ spending written ─ fit ─ synthetic rows (quarantined)
                                                    └ noisy counts ─ public figures ─ policy ─ verdict ─ approval ─ export

No exact figure on real rows is computed, no row is held out, no row is counted: what lies in the run folder is as private as
the rows that were drawn (decision 027).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth import __version__
from synth.approving import Notice, export, quarantine
from synth.config import RunConfig, whole_table
from synth.data.sketch import SKETCH
from synth.data.table import Table
from synth.errors import ConfigError
from synth.folder import Log, new_folder, write, write_json
from synth.gate.keys import Signer, default_key
from synth.gate.policy import Policy
from synth.gate.seals import SEAL, seal_run
from synth.generators._private import Receipt, Terms
from synth.generators.base import Generator
from synth.metrics.released import evaluate_released, released_rows
from synth.progress import Progress
from synth.report.page import render
from synth.report.twin import to_json
from synth.run_folder import Run
from synth.settling import settle

PLACES = 2  # significant digits of a number of rows to draw that follows from noisy counts: nobody shall take it for exact


def run_private(
    config: RunConfig,
    target: Path,
    generator: Generator,
    policy: Policy,
    *,
    key: Signer | None,
    by: str | None,
    progress: Progress,
    notice: Notice,
) -> Run:
    """The run of a config with a privacy budget; see `synth.run.run`.

    Raises, before any row is read, ConfigError for a method that takes no budget and for a policy that asks for none, and
    BudgetError where the ledger has no room. From the spending on it stays spent, whatever comes of the run.
    """
    terms = _terms(config)
    _check_policy(policy)
    _check_method(generator)
    terms.check(generator, 0, None)

    with new_folder(target, mark="measurements.json") as folder:
        log = Log(folder / "log.jsonl")
        table = whole_table(config)
        log("read", dataset=terms.dataset)

        generator.fit(
            table, budget=terms.budget, dataset=terms.dataset, ledger=terms.ledger, facts_share=terms.facts_share,
            progress=progress,
        )  # fmt: skip
        del table
        receipt = generator.receipt
        assert receipt is not None
        log("fit", generator=generator.name, entry=receipt.entry, **receipt.budget.to_dict())

        n = config.sample.n or _about(released_rows(generator))
        seed = config.seed_of(config.sample)
        synthetic = generator.sample_table(n, where=config.sample.where, seed=seed, progress=progress)
        log("sample", rows=len(synthetic))
        if synthetic.provenance is not None and synthetic.provenance.notice:
            notice(synthetic.provenance.notice)

        context = _context(config, generator, receipt, synthetic)
        measured = evaluate_released(generator, synthetic, context=context, seed=config.seed, progress=progress)
        log("evaluate", measurements=len(measured), profile="public: against noisy counts that were paid for; no real row")

        verdict = policy.judge(measured)
        log("judge", policy=policy.name, decision=verdict.decision)

        write(folder / "config.yaml", config.to_yaml())
        write_json(folder / "schema.json", generator.fitted.schema.to_dict())
        generator.save(folder / "model")
        quarantine(synthetic, folder)
        write_json(folder / "measurements.json", measured.to_dict())
        write(folder / SEAL, seal_run(folder, default_key(notice=notice)))
        write(folder / "report.html", render(measured, verdict, synthetic=synthetic, title=config.title or config.name))
        write(folder / "report.json", to_json(measured, verdict))
        approval = settle(folder, verdict, key=key, by=by, notice=notice)
        if approval is not None:
            export(synthetic, approval, folder / "export", formats=config.export.formats)
            log("export", formats=config.export.formats)
    return Run(target)


def _terms(config: RunConfig) -> Terms:
    asked = config.privacy
    assert asked is not None
    return Terms.of(asked.budget, asked.dataset, None, facts_share=asked.facts_share)


def _check_policy(policy: Policy) -> None:
    if not policy.requires.dp.required:
        raise ConfigError(
            f"policy {policy.name} asks for no privacy budget, and judges exact figures on real rows, which are outside any; "
            "name private-release,\nor a policy of your own with requires.dp"
        )


def _check_method(generator: Generator) -> None:
    if generator.private and not hasattr(type(generator), "measurements"):
        raise ConfigError(
            f"{generator.name} keeps no noisy counts that its rows could be held against, so nothing could "
            "be approved;\nname marginals here, or fit alone with `synth fit --epsilon`"
        )


def _about(rows: float) -> int:
    """A noisy number of rows, to two significant digits."""
    return max(1, int(float(f"{rows:.{PLACES - 1}e}")))


def _context(config: RunConfig, model: Generator, receipt: Receipt, synthetic: Table) -> Mapping[str, Any]:
    """What the figures were taken on: no number and no digest of real rows, for which the data set's name stands."""
    schema = model.fitted.schema
    assert synthetic.provenance is not None
    return {
        "rows": {"train": None, "holdout": None, "synthetic": len(synthetic)},
        "digests": {"train": None, "holdout": None, "synthetic": synthetic.digest(), "schema": schema.digest()},
        "target": None if schema.target is None else schema.target.name,
        "sensitive": [column.name for column in schema.sensitive],
        "seed": config.seed,
        "synth": __version__,
        SKETCH: [_named(receipt.dataset)],
        "provenance": synthetic.provenance.to_dict(),
        "privacy": privacy_facts(model, receipt),
    }


def privacy_facts(model: Generator, receipt: Receipt) -> dict[str, Any]:
    """What a release says of its budget, as plain JSON values: all of it may be known to anybody."""
    method = model.get_params().get("method")
    return {
        "epsilon": receipt.budget.epsilon,
        "delta": receipt.budget.delta,
        "unit": receipt.budget.unit,
        "rows_per_subject": receipt.budget.rows_per_subject,
        "mechanism": model.name if method is None else f"{model.name} ({method})",
        "dataset": receipt.dataset,
        "entry": receipt.entry,
        "entry_digest": receipt.digest,
        "micro_rho": receipt.cost.micro_rho,
        "secure": receipt.secure,
        "declared": {name: list(facts) for name, facts in receipt.declared.items()},
        "bought": {name: list(facts) for name, facts in receipt.bought.items()},
    }


def _named(dataset: str) -> str:
    """What stands for a data set in the log of attempts, where a sketch would tell of its rows: a number of its name."""
    return hashlib.blake2b(b"data set under a budget: " + dataset.casefold().encode(), digest_size=8).hexdigest()
