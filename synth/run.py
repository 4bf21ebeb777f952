"""One job, from a real table to an approved export; it reads like the picture in the design.

real table ─ schema ─ split ─ train ─ generator ─ synthetic rows (quarantined)
                         └ holdout ─ metrics ─ policy ─ verdict ─ approval ─ export
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Never

from synth.config import RunConfig
from synth.data.constraints import check_constraints
from synth.data.files import read_file
from synth.data.quarantine import refuse_real
from synth.data.schema import Schema
from synth.data.sources import read, read_claimed
from synth.data.table import Provenance, Table
from synth.errors import DataError, NotApprovedError, SynthError
from synth.folder import Log, new_folder, replace, write, write_json
from synth.gate.approval import Approval
from synth.gate.keys import PrivateKey
from synth.gate.policy import Policy
from synth.gate.selftest import check_size
from synth.gate.selftest import self_test as run_self_test
from synth.gate.verdict import Verdict
from synth.generators import create
from synth.generators._storage import load as load_model
from synth.generators.base import Generator
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurements
from synth.metrics.registry import chosen
from synth.progress import Progress, silent
from synth.release import Notice, approve, documents, export, quarantine
from synth.report.page import render
from synth.report.twin import to_json
from synth.tuning import SEARCH, Tuned, check_tunable, fit_to_policy, recorded, with_record

RUNS = Path("reports/runs")


# the job ---------------------------------------------------------------------------------------------------------------


def run(
    config: RunConfig | str | Path,
    *,
    out: str | Path | None = None,
    key: PrivateKey | None = None,
    by: str | None = None,
    progress: Progress = silent,
    notice: Notice = lambda text: None,
) -> Run:
    """Do the whole job of a config and leave a run folder; export if, and only if, the policy approves.

    out: the run folder, by default reports/runs/NAME. It appears when everything is done; an interrupted or failed run leaves
    nothing, and an earlier run there is kept under the next free name. Returns the `Run`, whose `verdict.decision` says how it
    ended. Raises InputError for a config or data that cannot be used.
    """
    config = config if isinstance(config, RunConfig) else RunConfig.load(config)
    generator = create(config.generator.name, config.generator.params)  # what can be refused is refused before any work
    policy = Policy.load(config.policy)
    if config.generator.fit_to_policy:
        check_tunable(config.generator.name, config.generator.params, policy)
    _ = chosen(config.evaluate.only)
    target = Path(out) if out is not None else RUNS / config.name

    with new_folder(target, mark="measurements.json") as folder:
        log = Log(folder / "log.jsonl")
        train, holdout = load(config)
        log("read", train=len(train), holdout=len(holdout))

        search = _search(config, policy, train, progress, notice) if config.generator.fit_to_policy else None
        if search is None:
            generator.fit(train, seed=config.seed_of(config.generator), progress=progress)
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
        write(folder / "verdict.json", verdict.to_bytes())
        page = render(measured, verdict, train=train, holdout=holdout, synthetic=synthetic, title=config.title or config.name)
        write(folder / "report.html", page)
        write(folder / "report.json", to_json(measured, verdict))
        if verdict.decision == "approved":
            signed = approve(verdict, by=by, key=key, notice=notice)
            write(folder / "approval.json", signed.to_bytes())
            export(synthetic, signed, folder / "export", formats=config.export.formats)
            log("export", formats=config.export.formats)
    return Run(target)


def _search(config: RunConfig, policy: Policy, train: Table, progress: Progress, notice: Notice) -> Tuned:
    """The generator in the setting that fits the run's own policy, found without a look at the holdout."""
    method, made, seed = config.generator, config.sample, config.seed_of(config.generator)
    tuned = fit_to_policy(
        train, policy, generator=method.name, params=method.params, n=made.n, where=made.where, by=config.split.by, seed=seed,
        budget_seconds=method.search_seconds, progress=progress,
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


def load(config: RunConfig) -> tuple[Table, Table]:
    """The training and holdout rows of a config, under one schema."""
    part = config.data
    roles: dict[str, Any] = {
        "target": part.target,
        "sensitive": part.sensitive,
        "subject": part.subject,
        "key": part.key,
        "time": part.time,
        "drop": part.drop,
    }
    source, holdout = part.source, part.holdout
    if part.otherwise is not None and not source.startswith("bundled:") and not Path(source).exists():
        source, holdout = part.otherwise, None
    table = read(source, schema=part.schema_, **roles)
    check_constraints(table)
    if holdout is not None:
        return table, read(holdout, schema=table.schema)
    return table.split(config.split.holdout, seed=config.seed_of(config.split), by=config.split.by)


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
        _check_model(behind, train, model)
    others = None if holdout is None else read(holdout, schema=train.schema)
    if self_test:
        check_size(others)
    for path in (synthetic, *also):
        refuse_real(Path(path))
    claimed = read_file(Path(synthetic))  # under no schema: what breaks the real one is measured, not refused
    again = [read_file(Path(path)) for path in also]
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
        power = run_self_test(train, others, seed=seed, workers=workers, progress=progress).to_dict() if self_test else None
        if power is not None:
            write_json(folder / "self_test.json", power)
        name = Path(synthetic).name
        page = render(measured, None, train=train, holdout=others, synthetic=fake, title=name, power=power)
        write(folder / "report.html", page)
        write(folder / "report.json", to_json(measured))
    return Run(Path(out))


def _check_model(model: Generator, train: Table, path: str | Path | None) -> None:
    made, real = model.fitted.schema.names, tuple(column.name for column in train.schema.made)
    if set(made) != set(real):
        other = sorted(set(made) ^ set(real))[0]
        raise DataError(
            f"the model {path} was not fitted on the columns of the training table ({other!r} is in one of them only);\n"
            "give the model that made the rows, or leave it out"
        )


# what is left ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A run folder, or the folder that `synth evaluate` leaves: everything in it is read when asked for."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Raises DataError where the folder holds no measurements."""
        folder = Path(path)
        if not (folder / "measurements.json").is_file():
            raise DataError(
                f"{folder} is not a run: it holds no measurements.json; make one with `synth run` or `synth evaluate`"
            )
        return cls(folder)

    @cached_property
    def schema(self) -> Schema:
        """The training table's schema. Raises DataError where the file is damaged."""
        with self._undamaged("schema.json") as document:
            return Schema.from_dict(document)

    @property
    def synthetic(self) -> Table:
        """The quarantined rows. Raises DataError where they are not those that were measured."""
        rows = self.measurements.synthetic
        assert rows is not None
        return rows

    @cached_property
    def measurements(self) -> Measurements:
        """The figures, with the rows that they are about. Raises DataError where they are damaged or about other rows."""
        made = self.schema.select([column.name for column in self.schema.made])
        arrow = read_claimed(self.path / "synthetic.parquet", made).arrow  # whatever was wrong with it has been measured
        with self._undamaged("measurements.json") as document:
            found = Measurements.from_dict(document)
            digests, counts = found.context["digests"], found.context["rows"]
            origin = found.context.get("provenance")
            rows = Table(arrow, made, provenance=Provenance(**origin) if origin else None)
            about = (digests["synthetic"], digests["schema"], counts["synthetic"])
            _ = digests["train"], counts["train"]
        if about != (rows.digest(), self.schema.digest(), len(rows)):
            raise DataError(
                f"{self.path / 'measurements.json'} is about other rows, or another schema, than those of this folder;\n"
                "one of them was changed since: make the run again, or evaluate the rows again"
            )
        return Measurements(found.items, found.context, rows)

    @contextmanager
    def _undamaged(self, name: str) -> Iterator[Any]:
        """What a file of the run says. Raises DataError where it is not there or not in the form that a run leaves."""
        file = self.path / name
        try:
            yield json.loads(file.read_bytes(), parse_constant=_no_number)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            said = f"{type(problem).__name__}: {problem}"
            raise DataError(f"{file} is damaged or missing ({said[:120]});\nmake the run again, or evaluate again") from problem

    @property
    def verdict(self) -> Verdict | None:
        """The last verdict, or None before the first `judge`."""
        file = self.path / "verdict.json"
        if not file.is_file():
            return None
        return Verdict.from_bytes(file.read_bytes(), measurements=self.measurements)

    @property
    def self_test(self) -> dict[str, Any] | None:
        """What a self-test found, where one was asked for. Raises DataError where the file is damaged."""
        if not (self.path / "self_test.json").is_file():
            return None
        with self._undamaged("self_test.json") as document:
            return dict(document)

    @property
    def exported(self) -> Path | None:
        """The export inside the run folder, where there is one."""
        folder = self.path / "export"
        return folder if folder.is_dir() else None

    def judge(self, policy: Policy, *, title: str | None = None, notice: Notice = lambda text: None) -> Verdict:
        """Judge the run again; sign where the policy approves, and withdraw an older signature where it does not."""
        verdict = policy.judge(self.measurements)
        (self.path / "approval.json").unlink(missing_ok=True)  # first: an approval never outlives its verdict
        replace(self.path / "verdict.json", verdict.to_bytes())
        train, holdout = self._real_rows()
        page = render(
            self.measurements,
            verdict,
            train=train,
            holdout=holdout,
            synthetic=self.synthetic,
            title=title or self.path.name,
            power=self.self_test,
        )
        replace(self.path / "report.html", page)
        replace(self.path / "report.json", to_json(self.measurements, verdict))
        if verdict.decision == "approved":
            replace(self.path / "approval.json", approve(verdict, notice=notice).to_bytes())
        return verdict

    def _real_rows(self) -> tuple[Table | None, Table | None]:
        """The real rows, for the plots of the report, where their files are still what they were."""
        holdout: Table | None
        try:
            if (self.path / "config.yaml").is_file():
                train, holdout = load(RunConfig.load(self.path / "config.yaml"))
            else:
                origin = json.loads((self.path / "evaluated.json").read_bytes())
                train = read(origin["real"], schema=self.schema)
                holdout = read(origin["holdout"], schema=self.schema) if origin["holdout"] else None
        except (SynthError, OSError):
            return None, None
        same = train.digest() == self.measurements.context["digests"]["train"]
        return (train, holdout) if same else (None, None)

    def export(self, to: str | Path, *, formats: Iterable[str] = ("parquet",)) -> Path:
        """Export what was approved. Raises NotApprovedError where nothing was."""
        verdict, file = self.verdict, self.path / "approval.json"
        if verdict is None or not file.is_file():
            said = "not judged yet" if verdict is None else verdict.decision
            raise NotApprovedError(
                f"{self.path} is {said}: nothing leaves without an approval; run `synth gate {self.path}` first"
            )
        approval = Approval.from_bytes(file.read_bytes(), documents=documents(verdict, self.measurements, self.synthetic))
        return export(self.synthetic, approval, to, formats=tuple(formats))


def _no_number(text: str) -> Never:
    raise ValueError(f"{text} is no number that a run writes")
