"""A run under a privacy budget: nothing of the rows is looked at but through noise, and nothing else is left of them.

    ledger asked ─ rows read ─ spending written ─ fit ─ synthetic rows (quarantined)
                                                    └ noisy counts ─ public figures ─ policy ─ verdict ─ approval ─ export

No exact figure on real rows is computed, no row is held out, no row is counted: what lies in the run folder is as private as
the rows that were drawn (decision 027).
"""

from __future__ import annotations

from pathlib import Path

from synth.approving import Notice, export, quarantine
from synth.config import RunConfig, whole_table
from synth.errors import ConfigError
from synth.folder import Log, new_folder, write, write_json
from synth.gate.keys import Signer, default_key
from synth.gate.policy import Policy
from synth.gate.seals import SEAL, seal_run
from synth.generators._private import Terms
from synth.generators.base import Generator
from synth.metrics.released import released_rows
from synth.progress import Progress
from synth.public_figures import NO_COUNTS, figures_of
from synth.report.page import render
from synth.report.twin import to_json
from synth.run_folder import Run
from synth.settling import settle

JUDGING = 0.1  # share of the budget that counts to judge by cost, where a method keeps none: decision 030
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
    terms = admitted(config, generator, policy)

    with new_folder(target, mark="measurements.json") as folder:
        log = Log(folder / "log.jsonl")
        table = whole_table(config)
        log("read", dataset=terms.dataset)

        generator.fit(
            table, budget=terms.budget, dataset=terms.dataset, ledger=terms.ledger, facts_share=terms.facts_share,
            judging_share=terms.judging_share, progress=progress,
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

        measured = figures_of(generator, receipt, synthetic, config.seed, progress, machine=default_key(notice=notice).keyid)
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


def admitted(config: RunConfig, generator: Generator, policy: Policy) -> Terms:
    """What is asked for, where nothing refuses it before a row is read: not the method, the policy, nor the ledger.

    Raises ConfigError and BudgetError as `run_private`.
    """
    terms = terms_of(config, generator)
    _check_policy(policy)
    terms.check(generator, 0, None)
    return terms


def terms_of(config: RunConfig, generator: Generator) -> Terms:
    """What a config asks for; a method that keeps no noisy counts of its own has a share set aside to be judged by.

    Raises ConfigError where it is told to have none.
    """
    asked = config.privacy
    assert asked is not None
    keeps, share = hasattr(type(generator), "measurements"), asked.judging_share
    if generator.private and not keeps and share == 0:
        raise ConfigError(NO_COUNTS.format(name=generator.name))
    if share is None:
        share = 0.0 if keeps else JUDGING
    return Terms.of(asked.budget, asked.dataset, None, facts_share=asked.facts_share, judging_share=share)


def _check_policy(policy: Policy) -> None:
    if not policy.requires.dp.required:
        raise ConfigError(
            f"policy {policy.name} asks for no privacy budget, and judges exact figures on real rows, which are outside any; "
            "name private-release,\nor a policy of your own with requires.dp"
        )


def _about(rows: float) -> int:
    """A noisy number of rows, to two significant digits."""
    return max(1, int(float(f"{rows:.{PLACES - 1}e}")))
