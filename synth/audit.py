"""Fairness of any real and synthetic pair, ours or anybody's, in one call: measured, judged, and said in a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth._callable import callable_as
from synth.approving import Notice, quarantine
from synth.beginning import held_out_share
from synth.data.files import read_file
from synth.data.frames import as_table
from synth.data.quarantine import refuse_real
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import InputError, MissingExtraError
from synth.folder import new_folder, write, write_json
from synth.gate.keys import default_key
from synth.gate.policy import Policy
from synth.gate.seals import SEAL, seal_run
from synth.gate.verdict import Verdict
from synth.generators import create
from synth.generators.base import Generator
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurements
from synth.progress import Progress, silent
from synth.report.fairness import Fairness, fairness
from synth.report.fairness_page import render
from synth.report.twin import to_json
from synth.settling import settle

if TYPE_CHECKING:
    import pandas as pd

POLICY = "fairness-audit"
FAMILY = "fairness"  # measured whole, beside what the policy asks for


@dataclass(frozen=True)
class Audit:
    """What an audit found. `answer` says it; `found` has it by question, `measurements` and `verdict` have every figure."""

    found: Fairness
    measurements: Measurements = field(repr=False)
    verdict: Verdict = field(repr=False)
    title: str = "Fairness audit"
    path: Path | None = None  # the folder that it was left in

    @property
    def decision(self) -> str:
        """approved, rejected or inconclusive."""
        return self.verdict.decision

    @property
    def answer(self) -> str:
        """The verdict in sentences."""
        return " ".join(self.found.answer)

    def __str__(self) -> str:
        return f"{self.decision.upper()}: {self.answer}\n{self.found.caveat}"

    def to_html(self) -> str:
        """The page: one self-contained HTML document without a script."""
        return render(self.measurements, self.verdict, self.found, title=self.title)

    def to_dict(self) -> dict[str, Any]:
        """The picture and the verdict as plain JSON values."""
        folder = None if self.path is None else str(self.path)
        return {"folder": folder, **self.found.to_dict(), "verdict": self.verdict.to_dict()}

    def to_pandas(self) -> pd.DataFrame:
        """A frame with one row per figure of a group: under synthetic rows, under real ones, their difference with its ends.

        Raises MissingExtraError where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as problem:
            raise MissingExtraError("`to_pandas`", "pandas", "pandas") from problem
        lines = [
            {
                "group": row.group,
                "figure": name,
                "synthetic": cell.synthetic,
                "real": cell.real,
                "value": cell.apart.value,
                "low": cell.apart.low,
                "high": cell.apart.high,
                "n": cell.apart.n,
                "finding": cell.finding,
            }
            for row in self.found.groups
            for name, cell in row.cells.items()
        ]
        return pd.DataFrame(lines)


def audit(
    train: Any,
    holdout: Any = None,
    synthetic: Any = None,
    *,
    target: str | None = None,
    sensitive: str | Iterable[str] | None = None,
    schema: Any = None,
    policy: str | Path | Policy = POLICY,
    also: Iterable[Any] = (),
    generator: str = "trees",
    out: str | Path | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
    notice: Notice = lambda text: None,
) -> Audit:
    """Audit the fairness of a synthetic table against the real rows that it was made from, or of what would be made of these.

    train: the real rows that the generator saw. holdout: real rows that it never saw, or None: what needs them is then said not
    to be measured, and the audit can reject but not approve. synthetic: the rows, from whatever source. Each is a `Table`, a
    pandas, polars or Arrow frame, or the path of a CSV, Parquet or Arrow file.
    With `train` alone, `generator` (a name of `synth.generators`) makes them: some of the rows are held out, as many synthetic
    ones are drawn as are left, and with `out` the model stays in its folder, for `synth repair` and `synth sample`.
    target: the outcome. sensitive: the columns whose groups, and crossings of up to three, are judged. schema: overrides of the
    inferred one, as for `synth.read`. also: rows of further fits, for the spread between fits.
    out: a folder for measurements.json, verdict.json, report.html and the quarantined rows, which `synth gate` and
    `synth export` take like that of a run. The judgement is an attempt in this machine's log, as every judgement is.
    Raises InputError where no target or no sensitive column is named, DataError for tables that cannot be compared.
    """
    rules = policy if isinstance(policy, Policy) else Policy.load(policy)
    real = _real(train, schema, target, sensitive)
    _check_roles(real)
    again, model = [_claimed(rows) for rows in also], None
    if synthetic is None:
        if holdout is not None or again:
            raise InputError(
                "holdout and further fits are given, but no synthetic rows; give those too, or one real table alone, of which\n"
                "some rows are held out and others learned from"
            )
        real, held, claimed, model = _made(real, rules, generator, seed, progress)
        title = f"Fairness audit of rows that {generator} made of {_called(train, 'a table')}"
    else:
        held, claimed = _held_out(holdout, real), _claimed(synthetic)
        title = f"Fairness audit of {_called(synthetic, 'synthetic rows')}"
    names = (*dict.fromkeys(check.measure for check in rules.checks), FAMILY)
    measured = evaluate(
        real, held, claimed, seed=seed, only=names, repeats=again, model=model, workers=workers, progress=progress
    )
    if out is None:
        verdict = rules.judge(measured)
        return Audit(fairness(measured, verdict), measured, verdict, title)
    with new_folder(out, mark="measurements.json") as folder:
        verdict = rules.judge(measured)
        done = Audit(fairness(measured, verdict), measured, verdict, title, Path(out))
        _leave(done, folder, real, notice)
        if model is not None:
            model.save(folder / "model")
        elif isinstance(train, (str, Path)) and (holdout is None or isinstance(holdout, (str, Path))):
            origin = {"real": str(train), "holdout": None if holdout is None else str(holdout)}
            write_json(folder / "evaluated.json", {**origin, "synthetic": str(synthetic), "seed": seed})
    return done


def _real(train: Any, schema: Any, target: str | None, sensitive: str | Iterable[str] | None) -> Table:
    if isinstance(train, Table) and schema is None:
        return as_table(train, target=target, sensitive=sensitive)
    return read(train, schema=schema, target=target, sensitive=sensitive)


def _made(real: Table, rules: Policy, generator: str, seed: int, progress: Progress) -> tuple[Table, Table, Table, Generator]:
    """Training and held-out rows, as many synthetic ones as there are of the first, and the model that they are drawn from."""
    train, holdout = real.split(held_out_share(len(real), rules), seed=seed)
    model = create(generator).fit(train, seed=seed, progress=progress)
    return train, holdout, model.sample_table(len(train), seed=seed), model


def _called(rows: Any, otherwise: str) -> str:
    return Path(rows).name if isinstance(rows, (str, Path)) else otherwise


def _check_roles(real: Table) -> None:
    """Raise InputError where there is no group, or no outcome, to ask about."""
    if not any(column.is_learned for column in real.schema.sensitive):
        raise InputError(
            "no sensitive column is named, so there is no group to audit; name some with --sensitive sex,race (sensitive=)"
        )
    if real.schema.target is None:
        raise InputError("no target is named, so there is no outcome to audit; name it with --target (target=)")


def _held_out(holdout: Any, real: Table) -> Any:
    return read(holdout, schema=real.schema) if isinstance(holdout, (str, Path)) else holdout


def _claimed(rows: Any) -> Any:
    """Rows under no schema of their own: what breaks the real one is measured, not refused. Filled-in real rows are refused."""
    if isinstance(rows, (str, Path)):
        refuse_real(Path(rows))
        return read_file(Path(rows))
    return rows


def _leave(done: Audit, folder: Path, real: Table, notice: Notice) -> None:
    """Everything that a folder of ours holds, with the audit's page in the place of the general one."""
    fake = done.measurements.synthetic
    assert fake is not None
    write_json(folder / "schema.json", real.schema.to_dict())
    quarantine(fake, folder)
    write_json(folder / "measurements.json", done.measurements.to_dict())
    write(folder / SEAL, seal_run(folder, default_key(notice=notice)))
    settle(folder, done.verdict, notice=notice)
    write(folder / "report.html", done.to_html())
    write(folder / "report.json", to_json(done.measurements, done.verdict))


callable_as(audit)
