"""One job, from a real table to an approved export; it reads like the picture in the design.

real table ─ schema ─ split ─ train ─ generator ─ synthetic rows (quarantined)
                         └ holdout ─ metrics ─ policy ─ verdict ─ approval ─ export
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Never

import synth
from synth.config import RunConfig
from synth.data.constraints import check_constraints
from synth.data.files import read_file
from synth.data.frames import as_table
from synth.data.schema import Schema
from synth.data.sources import read, read_claimed, write_parquet
from synth.data.table import Provenance, Table
from synth.errors import DataError, InputError, NotApprovedError, SynthError
from synth.folder import in_words, new_folder, replace, write
from synth.gate import approval as gate_approval
from synth.gate import card
from synth.gate import export as gate_export
from synth.gate.approval import Approval
from synth.gate.keys import PrivateKey, default_key
from synth.gate.leaving import leaving_rows, leaving_verdict
from synth.gate.policy import Policy
from synth.gate.quarantine import QUARANTINE
from synth.gate.verdict import Verdict
from synth.generators import create
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurements
from synth.progress import Progress, silent
from synth.report.page import render
from synth.report.twin import to_json

Notice = Callable[[str], None]
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
    target = Path(out) if out is not None else RUNS / config.name

    with new_folder(target, mark="measurements.json") as folder:
        log = Log(folder / "log.jsonl")
        train, holdout = load(config)
        log("read", train=len(train), holdout=len(holdout))

        generator.fit(train, seed=config.seed_of(config.generator), progress=progress)
        log("fit", generator=generator.name)

        synthetic = generator.sample(
            config.sample.n or len(train),
            where=config.sample.where,
            seed=config.seed_of(config.sample),
            progress=progress,
        )
        log("sample", rows=len(synthetic))

        measured = evaluate(train, holdout, synthetic, seed=config.seed, progress=progress)
        log("evaluate", measurements=len(measured))

        verdict = policy.judge(measured)
        log("judge", policy=policy.name, decision=verdict.decision)

        write(folder / "config.yaml", config.to_yaml())
        write(folder / "schema.json", _json(train.schema.to_dict()))
        write(folder / "split.json", _json(_split_facts(config, train, holdout)))
        generator.save(folder / "model")
        quarantine(synthetic, folder)
        write(folder / "measurements.json", _json(measured.to_dict()))
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
    progress: Progress = silent,
) -> Run:
    """Measure any synthetic table, ours or not, and leave a folder that `synth gate` and `synth export` take.

    Raises DataError for files that cannot be read or that have other columns than the real one.
    """
    train = read(real, schema=schema, target=target, sensitive=sensitive)
    others = None if holdout is None else read(holdout, schema=train.schema)
    claimed = read_file(Path(synthetic))  # under no schema: what breaks the real one is measured, not refused
    with new_folder(out, mark="measurements.json") as folder:
        measured = evaluate(train, others, claimed, seed=seed, progress=progress)
        fake = measured.synthetic
        assert fake is not None
        origin = {"real": str(real), "holdout": None if holdout is None else str(holdout)}
        write(folder / "evaluated.json", _json({**origin, "synthetic": str(synthetic), "seed": seed}))
        write(folder / "schema.json", _json(train.schema.to_dict()))
        quarantine(fake, folder)
        write(folder / "measurements.json", _json(measured.to_dict()))
        page = render(measured, None, train=train, holdout=others, synthetic=fake, title=Path(synthetic).name)
        write(folder / "report.html", page)
        write(folder / "report.json", to_json(measured))
    return Run(Path(out))


# approval and export ---------------------------------------------------------------------------------------------------


def approve(
    verdict: Verdict,
    *,
    by: str | None = None,
    key: PrivateKey | str | Path | None = None,
    notice: Notice = lambda text: None,
) -> Approval:
    """Sign a verdict that a policy approved: the exact bytes of every file that an export will hold.

    verdict: from `Policy.judge`, on measurements that still hold their synthetic table.
    by: who approves; by default the key's owner is named as a machine.
    key: a private key or its file; by default this machine's own, made on first use (`notice` is told where it lies).
    Raises NotApprovedError for a verdict that is not an approval, InputError for what is not a verdict.
    """
    if not isinstance(verdict, Verdict):
        raise InputError(
            f"a {type(verdict).__name__} cannot be approved; give a Verdict: synth.Policy.load(name).judge(measurements)"
        )
    measured = verdict.measurements
    if measured is None or measured.synthetic is None:
        raise NotApprovedError(
            "this verdict no longer holds the table that it judged; judge the measurements of `synth.evaluate`, or open its run"
        )
    private = key if isinstance(key, PrivateKey) else PrivateKey.load(key) if key is not None else default_key(notice=notice)
    return gate_approval.approve(
        verdict,
        measured.synthetic,
        by=by or f"synth {synth.__version__}, by policy {verdict.policy} alone",
        key=private,
        documents=documents(verdict, measured, measured.synthetic),
    )


def documents(verdict: Verdict, measured: Measurements, synthetic: Table) -> dict[str, bytes]:
    """What an export holds beside its rows: the same verdict and rows give the same bytes."""
    page = render(measured, verdict, synthetic=synthetic, title=f"Synthetic data: {verdict.policy}", public=True)
    rows = leaving_rows(synthetic)
    same = rows is synthetic
    said = leaving_verdict(verdict, synthetic)
    return {
        "verdict.json": said.to_bytes(),
        "report.html": page.encode(),
        "README.md": card.readme(said, rows),
        "croissant.json": card.croissant(
            said, rows, data_digest=verdict.context["digests"]["synthetic"] if same else rows.digest()
        ),
        "provenance.parquet": card.provenance(synthetic),
    }


def export(synthetic: Any, approval: Approval, to: str | Path, *, formats: Iterable[str] | None = None) -> Path:
    """Write approved rows, their documents and the signature to a folder; whole or not at all.

    Raises NotApprovedError where the approval is none, or is not for exactly these rows.
    """
    if not isinstance(approval, Approval):
        raise NotApprovedError(
            f"rows leave with an Approval, and this is a {type(approval).__name__}; sign a verdict: synth.approve(verdict)"
        )
    return gate_export.export(as_table(synthetic), approval, to, formats=formats)


def quarantine(synthetic: Table, folder: Path) -> None:
    """Keep synthetic rows in a run folder, marked in their own metadata as not approved for release."""
    write_parquet(synthetic, folder / "synthetic.parquet", metadata=QUARANTINE)


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
            self.measurements, verdict, train=train, holdout=holdout, synthetic=self.synthetic, title=title or self.path.name
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


class Log:
    """One line of JSON for each step that is done, with its time and how long it took."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = time.perf_counter()

    def __call__(self, step: str, **facts: Any) -> None:
        now = time.perf_counter()
        line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "step": step, "seconds": round(now - self._last, 3)}
        self._last = now
        with in_words(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | facts, ensure_ascii=False) + "\n")


def _no_number(text: str) -> Never:
    raise ValueError(f"{text} is no number that a run writes")


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
