"""Would the checks have caught it? Known-bad tables planted into a data set, and which rules of which policy saw them.

Half of the holdout is offered as if it were synthetic, as it is and with one fault at a time; the other half stays the holdout.
A rule that goes off on the spoilt rows and not on the clean ones has caught the fault: the difference is the fault's alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from synth.data.table import Table
from synth.errors import InputError
from synth.gate.planted import CLEAN, FAULTS, Fault, Soil
from synth.gate.policy import Policy, packaged
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.measurement import Measurements
from synth.metrics.registry import NothingThereError
from synth.progress import Progress, silent

ROWS = 6_000  # rows of each of the three tables: the power is that of so many
LEAST = 200  # rows in each half of the holdout below which nothing would be learned


@dataclass(frozen=True)
class Trial:
    """One planted fault: each policy's decision, and the checks that stopped it there and did not stop clean rows.

    skipped: why it could not be planted into this table, or "".
    """

    fault: str
    about: str
    decisions: dict[str, str]
    caught_by: dict[str, tuple[str, ...]]
    skipped: str = ""

    @property
    def caught(self) -> bool:
        """Whether any policy's check saw it."""
        return any(self.caught_by.values())

    @property
    def checks(self) -> tuple[str, ...]:
        """Every check that saw it, under whichever policy, the same one once."""
        return tuple(dict.fromkeys(check for checks in self.caught_by.values() for check in checks))


@dataclass(frozen=True)
class SelfTest:
    """The power of the checks on one data set, fault by fault; the first trial is of clean rows."""

    trials: tuple[Trial, ...]
    rows: dict[str, int]
    seed: int

    def __repr__(self) -> str:
        lines = [f"  {trial.fault:<20} {_said(trial)}" for trial in self.trials]
        sizes = ", ".join(f"{count:,} {side}" for side, count in self.rows.items())
        return "\n".join([f"SelfTest({len(self.trials) - 1} faults planted on {sizes} rows)", *lines])

    def to_dict(self) -> dict[str, Any]:
        """The power table as plain JSON values."""
        trials = [asdict(trial) for trial in self.trials]
        return {"rows": self.rows, "seed": self.seed, "trials": trials}


def _said(trial: Trial) -> str:
    if trial.skipped:
        return f"not planted: {trial.skipped}"
    return ", ".join(trial.checks) or "nothing went off"


def self_test(
    train: Table,
    holdout: Table | None,
    *,
    policies: Iterable[str] | None = None,
    faults: tuple[Fault, ...] = FAULTS,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> SelfTest:
    """Plant each fault into the data set and see which checks catch it.

    policies: names or files; by default every packaged one. Raises InputError where too few real rows were held out.
    """
    judges = {name: Policy.load(name) for name in (packaged() if policies is None else policies)}
    names = tuple(dict.fromkeys(check.measure for policy in judges.values() for check in policy.checks))
    soil = prepare(train, holdout, seed)
    trials: list[Trial] = []
    for step, fault in enumerate((CLEAN, *faults)):
        progress(f"self-test: {fault.name}", step, 1 + len(faults))
        try:
            tables = fault.plant(replace(soil, rng=planting(seed)))
        except NothingThereError as reason:
            trials.append(Trial(fault.name, fault.about, {}, {}, skipped=str(reason)))
            continue
        measured = evaluate(*tables, only=names, seed=seed, workers=workers)
        trials.append(_trial(fault, measured, judges, trials[0] if trials else None))
    progress("self-test: done", 1 + len(faults), 1 + len(faults))
    rows = {"training": len(soil.train), "holdout": len(soil.holdout), "planted": len(soil.good)}
    return SelfTest(tuple(trials), rows, seed)


def check_size(holdout: Table | None) -> None:
    """Raises InputError where too few real rows were held out for a self-test."""
    have = 0 if holdout is None else len(holdout)
    if have < 2 * LEAST:
        raise InputError(f"a self-test needs {2 * LEAST} held-out rows, there are {have}; hold out more real rows")


def prepare(train: Table, holdout: Table | None, seed: int) -> Soil:
    """Two halves of the holdout, no subject in both, and at most ROWS rows of each table."""
    check_size(holdout)
    assert holdout is not None
    names = [column.name for column in train.schema.made]
    real, held = train.select(names), holdout.select(names)
    rng = np.random.default_rng([seed, 11])
    half = Evidence(real, held, held, seed).parts("holdout", 2, rng)
    parts = [np.flatnonzero(half == side) for side in (0, 1)]
    capped = [np.sort(rng.permutation(part)[:ROWS]) for part in parts]
    return Soil(
        real.take(np.sort(rng.permutation(len(real))[:ROWS])),
        held.take(capped[0]),
        held.take(capped[1]),
        planting(seed),
    )


def planting(seed: int) -> np.random.Generator:
    """Random numbers of its own for each fault, so that none depends on which were planted before."""
    return np.random.default_rng([seed, 12])


def _trial(fault: Fault, measured: Measurements, judges: dict[str, Policy], base: Trial | None) -> Trial:
    decisions: dict[str, str] = {}
    caught: dict[str, tuple[str, ...]] = {}
    for name, policy in judges.items():
        verdict = policy.assess(measured)
        decisions[name] = verdict.decision
        seen = tuple(dict.fromkeys(f.check.split("[", 1)[0] for f in verdict.findings if f.outcome == "fail" and f.blocks))
        before = base.caught_by.get(name, ()) if base is not None else ()
        caught[name] = tuple(check for check in seen if check not in before)
    return Trial(fault.name, fault.about, decisions, caught)
