"""One job, from a real table to an approved export; it reads like the picture in the design.

real table ─ schema ─ split ─ train ─ generator ─ synthetic rows (quarantined)
                         └ holdout ─ metrics ─ policy ─ verdict ─ approval ─ export
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth._callable import callable_as
from synth.approving import Notice, export, quarantine
from synth.config import RunConfig, tables
from synth.data.files import read_file
from synth.data.quarantine import PRIVATE, mark_of, refuse_real
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import ConfigError, DataError
from synth.folder import Log, new_folder, write, write_json
from synth.gate.keys import Signer, default_key
from synth.gate.policy import Policy
from synth.gate.seals import SEAL, seal_run
from synth.gate.selftest import check_size
from synth.gate.selftest import self_test as run_self_test
from synth.generators import create
from synth.generators._storage import load as load_model
from synth.generators.base import Generator
from synth.metrics.evaluation import evaluate
from synth.metrics.registry import chosen
from synth.private_run import run_private
from synth.progress import Progress, silent
from synth.report.page import render
from synth.report.twin import to_json
from synth.run_folder import Run as Run
from synth.settling import settle
from synth.tracking import check_installed, track
from synth.tuning import SEARCH, Tuned, check_tunable, fit_to_policy, recorded, with_record

RUNS = Path("reports/runs")


# the job ---------------------------------------------------------------------------------------------------------------


def run(
    config: RunConfig | str | Path,
    *,
    out: str | Path | None = None,
    key: Signer | None = None,
    by: str | None = None,
    resume: bool = False,
    progress: Progress = silent,
    notice: Notice = lambda text: None,
) -> Run:
    """Do the whole job of a config and leave a run folder; export if, and only if, the policy approves.

    out: the run folder, by default reports/runs/NAME. It appears when everything is done; an interrupted or failed run leaves
    nothing but the checkpoint of a network, in OUT.checkpoint, and an earlier run there is kept under the next free name.
    resume: the fit goes on from that checkpoint, to the same model as if nothing had happened.
    Under a privacy budget (`privacy:` in the config) the ledger is asked first, and no exact figure is computed: see
    `synth.private_run`.
    Returns the `Run`, whose `verdict.decision` says how it ended. Raises InputError for a config or data that cannot be used;
    and TrackingError where the config wants the run tracked and that failed: then the run is complete, in the folder that the
    error names.
    """
    config = config if isinstance(config, RunConfig) else RunConfig.load(config)
    generator = create(config.generator.name, config.generator.params)  # what can be refused is refused before any work
    policy = Policy.load(config.policy)
    if config.generator.fit_to_policy:
        check_tunable(config.generator.name, config.generator.params, policy)
    _ = chosen(config.evaluate.only)
    if config.tracking is not None:
        check_installed()
    target = Path(out) if out is not None else RUNS / config.name
    kept = checkpoint_of(target, generator, resume=resume, searching=config.generator.fit_to_policy)
    if config.privacy is not None:
        return run_private(config, target, generator, policy, key=key, by=by, progress=progress, notice=notice)

    with new_folder(target, mark="measurements.json") as folder:
        log = Log(folder / "log.jsonl")
        train, holdout = tables(config)
        log("read", train=len(train), holdout=len(holdout))
        work(config, generator, policy, train, holdout, folder, log, checkpoint=kept, resume=resume, key=key, by=by,
             progress=progress, notice=notice)  # fmt: skip
    done = Run(target)
    if config.tracking is not None:
        notice(str(track(done, config.tracking)))
    return done


def work(
    config: RunConfig,
    generator: Generator,
    policy: Policy,
    train: Table,
    holdout: Table,
    folder: Path,
    log: Log,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    key: Signer | None = None,
    by: str | None = None,
    progress: Progress = silent,
    notice: Notice = lambda text: None,
) -> None:
    """From tables that were read to an export: what `run` does in its folder, for whoever has a folder of their own."""
    search = _search(config, policy, train, progress, notice) if config.generator.fit_to_policy else None
    if search is None:
        generator.fit(train, seed=config.seed_of(config.generator), checkpoint=checkpoint, resume=resume, progress=progress)
    else:
        generator = search.model
        write_json(folder / SEARCH, search.to_dict())
        log("search", attempts=len(search.attempts), outcome=search.outcome, chosen=search.params)
    log("fit", generator=generator.name)

    n, seed = config.sample.n or len(train), config.seed_of(config.sample)
    synthetic = generator.sample(n, where=config.sample.where, seed=seed, progress=progress)
    log("sample", rows=len(synthetic))
    if synthetic.provenance.notice:
        notice(synthetic.provenance.notice)

    again = tuple(_again(config, generator, train, number, progress) for number in range(1, config.evaluate.fits + 1))
    if again:
        log("fit again", fits=len(again))

    measured = evaluate(
        train,
        holdout,
        synthetic,
        seed=config.seed,
        only=config.evaluate.only,
        repeats=again,
        model=generator,
        shadow=config.evaluate.shadow,
        budget_seconds=config.evaluate.budget_seconds,
        progress=progress,
    )
    measured = with_record(measured, None if search is None else search.record)
    log("evaluate", measurements=len(measured))

    verdict = policy.judge(measured)
    log("judge", policy=policy.name, decision=verdict.decision)

    write(folder / "config.yaml", config.to_yaml())
    write_json(folder / "schema.json", train.schema.to_dict())
    write_json(folder / "split.json", _split_facts(config, train, holdout))
    generator.save(folder / "model")
    quarantine(synthetic, folder)
    write_json(folder / "measurements.json", measured.to_dict())
    write(folder / SEAL, seal_run(folder, default_key(notice=notice)))
    page = render(measured, verdict, train=train, holdout=holdout, synthetic=synthetic, title=config.title or config.name)
    write(folder / "report.html", page)
    write(folder / "report.json", to_json(measured, verdict))
    approval = settle(folder, verdict, key=key, by=by, notice=notice)
    if approval is not None:
        export(synthetic, approval, folder / "export", formats=config.export.formats)
        log("export", formats=config.export.formats)


def checkpoint_of(made: Path, generator: Generator, *, resume: bool = False, searching: bool = False) -> Path | None:
    """Where the unfinished fit of what is to lie at `made` is kept, for a method that keeps checkpoints.

    Raises ConfigError where it is to go on and keeps none.
    """
    if searching and resume:
        raise ConfigError("a search fits many settings and keeps no checkpoints; leave out --resume")
    if resume and not generator.keeps_checkpoints:
        raise ConfigError(f"{generator.name} keeps no checkpoints, and is soon done; leave out --resume")
    return made.with_name(f"{made.name}.checkpoint") if generator.keeps_checkpoints and not searching else None


def _search(config: RunConfig, policy: Policy, train: Table, progress: Progress, notice: Notice) -> Tuned:
    """The generator in the setting that fits the run's own policy, found without a look at the holdout."""
    method, made, seed = config.generator, config.sample, config.seed_of(config.generator)
    tuned = fit_to_policy(
        train, policy, generator=method.name, params=method.params, n=made.n, where=made.where, by=config.split.by, seed=seed,
        prefer=method.prefer, budget_seconds=method.search_seconds, progress=progress,
    )  # fmt: skip
    if tuned.outcome != "within":
        notice(f"{policy.name}: {tuned.why}")
    return tuned


def _again(config: RunConfig, fitted: Generator, train: Table, number: int, progress: Progress) -> Table:
    """The rows of a further fit, with the next seeds: how much a figure owes to one fit shows in them."""
    generator = create(fitted.name, fitted.get_params())
    generator.fit(train, seed=config.seed_of(config.generator) + number, progress=progress)
    rows, seed = config.sample.n or len(train), config.seed_of(config.sample) + number
    return generator.sample_table(rows, where=config.sample.where, seed=seed, progress=progress)


def _split_facts(config: RunConfig, train: Table, holdout: Table) -> dict[str, Any]:
    given = config.data.holdout is not None
    return {
        "by": "given" if given else config.split.by or "schema",
        "seed": None if given else config.seed_of(config.split),
        "rows": {"train": len(train), "holdout": len(holdout)},
        "digests": {"train": train.digest(), "holdout": holdout.digest()},
    }


def evaluate_files(
    real: str | Path,
    holdout: str | Path | None,
    synthetic: str | Path,
    out: str | Path,
    *,
    target: str | None = None,
    sensitive: Iterable[str] | None = None,
    schema: str | Path | None = None,
    seed: int = 0,
    only: Iterable[str] | None = None,
    also: Iterable[str | Path] = (),
    model: str | Path | None = None,
    shadow: int = 0,
    budget_seconds: float | None = None,
    workers: int | None = None,
    self_test: bool = False,
    progress: Progress = silent,
    notice: Notice = lambda text: None,
) -> Run:
    """Measure any synthetic table, ours or not, and leave a folder that `synth gate` and `synth export` take.

    self_test: also plant known-bad tables into the real rows and tell which checks would have caught each (self_test.json).
    also: files of further fits' rows. model: a saved model of ours, which made the rows; the other options are `evaluate`'s.
    Raises DataError for files that cannot be read or that have other columns than the real one, and for a model that was fitted
    on other columns.
    """
    _ = chosen(only)  # what can be refused is refused before any file is read
    behind = None if model is None else load_model(model)
    record = None if model is None else recorded(model)
    train = read(real, schema=schema, target=target, sensitive=sensitive)
    if behind is not None:
        check_model(behind, train, model)
    others = None if holdout is None else read(holdout, schema=train.schema)
    if self_test:
        check_size(others)
    for path in (synthetic, *also):
        refuse_real(Path(path))
    claimed = _claimed(Path(synthetic))
    again = [_claimed(Path(path)) for path in also]
    with new_folder(out, mark="measurements.json") as folder:
        measured = evaluate(
            train,
            others,
            claimed,
            seed=seed,
            only=only,
            repeats=again,
            model=behind,
            shadow=shadow,
            budget_seconds=budget_seconds,
            workers=workers,
            progress=progress,
        )
        measured = with_record(measured, record)
        fake = measured.synthetic
        assert fake is not None
        origin = {"real": str(real), "holdout": None if holdout is None else str(holdout)}
        write_json(folder / "evaluated.json", {**origin, "synthetic": str(synthetic), "seed": seed})
        write_json(folder / "schema.json", train.schema.to_dict())
        quarantine(fake, folder)
        write_json(folder / "measurements.json", measured.to_dict())
        write(folder / SEAL, seal_run(folder, default_key(notice=notice)))
        power = run_self_test(train, others, seed=seed, workers=workers, progress=progress).to_dict() if self_test else None
        if power is not None:
            write_json(folder / "self_test.json", power)
        name = Path(synthetic).name
        page = render(measured, None, train=train, holdout=others, synthetic=fake, title=name, power=power)
        write(folder / "report.html", page)
        write(folder / "report.json", to_json(measured))
    return Run(Path(out))


def _claimed(path: Path) -> pa.Table:
    """Rows under no schema, since what breaks the real one is measured and not refused; marked where their file is."""
    rows = read_file(path)
    return rows.replace_schema_metadata(PRIVATE) if mark_of(path) == "private" else rows


def check_model(model: Generator, train: Table, path: str | Path | None) -> None:
    """Raise DataError where a model was fitted to other columns than a table has."""
    made, real = model.fitted.schema.names, tuple(column.name for column in train.schema.made)
    if set(made) != set(real):
        other = sorted(set(made) ^ set(real))[0]
        raise DataError(
            f"the model {path or model.name} was not fitted on the columns of the training table "
            f"({other!r} is in one of them only);\ngive the model that made the rows, or leave it out"
        )


callable_as(run)
