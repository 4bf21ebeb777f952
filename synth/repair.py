"""Rows brought toward parity between groups, and whether that helps models on real rows: said, also where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synth._callable import callable_as
from synth.approving import Notice, quarantine
from synth.data.frames import as_table
from synth.data.sources import read
from synth.data.table import Table
from synth.errors import ConfigError, InputError
from synth.folder import new_folder, write, write_json
from synth.gate.keys import default_key
from synth.gate.seals import SEAL, seal_run
from synth.generators._storage import load
from synth.generators.base import Generator
from synth.metrics.evaluation import evaluate
from synth.metrics.group_effects import Effect, effects
from synth.metrics.measurement import Measurements
from synth.progress import Progress, silent
from synth.repairing import Plan, plan
from synth.report.repair_page import render
from synth.report.repair_words import meaning, verdict_on
from synth.report.twin import to_json
from synth.run import check_model

DRAWS = 8  # of the rows before and of those after, on each of which a model is trained
LEAST_DRAWS = 2
RECORD = "repair.json"


@dataclass(frozen=True)
class Repaired:
    """Rows toward parity, how they were dealt out, and what they do to models on real rows."""

    rows: Table = field(
        repr=False
    )  # synthetic and quarantined, with provenance; part by part, so shuffle them to train in batches
    plan: Plan
    effects: tuple[Effect, ...]  # on the whole: scores, and how far groups lie apart
    groups: tuple[Effect, ...]  # on each group
    draws: int
    measurements: Measurements | None = field(default=None, repr=False)  # of the rows, where they were left in a folder
    path: Path | None = None

    @property
    def helps(self) -> bool:
        """Whether groups are shown to lie closer together in some figure, further apart in none, at no shown cost in scores."""
        return verdict_on(self.effects).helps

    @property
    def answer(self) -> str:
        """Whether it helps, and at what cost, in a sentence or two."""
        return verdict_on(self.effects).answer

    @property
    def meaning(self) -> str:
        """What parity in the synthetic table does and does not do for a model on real rows."""
        return meaning(self.plan.toward)

    def __str__(self) -> str:
        return f"{self.answer}\n{self.meaning}"

    def to_dict(self) -> dict[str, Any]:
        """All but the rows, as plain JSON values."""
        return {
            "answer": self.answer,
            "meaning": self.meaning,
            "helps": self.helps,
            "toward": self.plan.toward,
            "by": list(self.plan.by),
            "strength": self.plan.strength,
            "outcome": self.plan.outcome,
            "rows": len(self.rows),
            "draws": self.draws,
            "cells": [{**asdict(cell), "group": dict(cell.group), "times": cell.times} for cell in self.plan.cells],
            "left": [dict(group) for group in self.plan.left],
            "effects": [effect.to_dict() for effect in self.effects],
            "groups": [effect.to_dict() for effect in self.groups],
        }


def repair(
    model: Generator | str | Path,
    train: Any,
    holdout: Any,
    *,
    toward: str = "counts",
    by: str | Sequence[str] | None = None,
    n: int | None = None,
    strength: float = 1.0,
    target: str | None = None,
    sensitive: str | Iterable[str] | None = None,
    schema: Any = None,
    draws: int = DRAWS,
    out: str | Path | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
    notice: Notice = lambda text: None,
) -> Repaired:
    """Draw rows toward parity between groups with `sample(…, where=…)`, and see what that does to models on real rows.

    model: a fitted generator, or its folder. train: the rows that it was fitted to. holdout: real rows that it never saw, on
    which models are asked: without them nobody knows whether a repair helps, so they are needed.
    toward: "counts", equally many rows of every group, or "labels", every group with the outcome as often as all; by: the
    sensitive columns whose crossing makes the groups, all by default; strength: how far, from 0 to 1; n: rows, by default as
    many as training rows. draws: tables before and after, each of which trains a model.
    out: a folder for the rows and all figures about them, which `synth gate` and `synth export` take like that of a run.
    Raises as `plan` and `sample` do, DataError for a model of other columns, InputError without a holdout.
    """
    if holdout is None:
        raise InputError(
            "a repair is judged by models on real rows that the generator never saw; hold some out, and give them as holdout"
        )
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < LEAST_DRAWS:
        raise ConfigError(f"draws is {draws!r}; give {LEAST_DRAWS} or more: how much they differ is in the interval")
    fitted = model if isinstance(model, Generator) else load(model)
    real = _real(train, schema, target, sensitive)
    if real.schema.target is None:
        raise InputError("no target is named, so there is nothing to train models for; name it with --target (target=)")
    check_model(fitted, real, None if isinstance(model, Generator) else model)
    held = read(holdout, schema=real.schema) if isinstance(holdout, (str, Path)) else as_table(holdout)
    dealt = plan(real, toward, by=[by] if isinstance(by, str) else by, n=n, strength=strength)
    count = sum(rows for rows, _ in dealt.parts)
    after = [_drawn(fitted, dealt, seed + k, k, draws, progress) for k in range(draws)]
    before = [fitted.sample_table(count, seed=seed + draws + k) for k in range(draws)]
    whole, groups = effects(real, held.select(real.columns), before, after, seed=seed, progress=progress)
    done = Repaired(after[0], dealt, whole, groups, draws)
    return done if out is None else _left(done, Path(out), real, held, seed, workers, progress, notice, train, holdout)


def _real(train: Any, schema: Any, target: str | None, sensitive: str | Iterable[str] | None) -> Table:
    if isinstance(train, Table) and schema is None:
        return as_table(train, target=target, sensitive=sensitive)
    return read(train, schema=schema, target=target, sensitive=sensitive)


def _drawn(model: Generator, dealt: Plan, seed: int, k: int, draws: int, progress: Progress) -> Table:
    progress("draw rows", k, draws)
    return model.sample_parts(dealt.parts, seed=seed)


def _left(
    done: Repaired,
    out: Path,
    real: Table,
    held: Table,
    seed: int,
    workers: int | None,
    progress: Progress,
    notice: Notice,
    train: Any,
    holdout: Any,
) -> Repaired:
    """The same with every figure about the rows, in a folder: what any policy may ask of them is there."""
    with new_folder(out, mark="measurements.json") as folder:
        measured = evaluate(real, held, done.rows, seed=seed, workers=workers, progress=progress)
        fake = measured.synthetic
        assert fake is not None
        whole = Repaired(done.rows, done.plan, done.effects, done.groups, done.draws, measured, out)
        write_json(folder / RECORD, whole.to_dict())
        write_json(folder / "schema.json", real.schema.to_dict())
        quarantine(fake, folder)
        write_json(folder / "measurements.json", measured.to_dict())
        write(folder / SEAL, seal_run(folder, default_key(notice=notice)))
        write(folder / "report.html", render(whole.to_dict(), measured.context))
        write(folder / "report.json", to_json(measured))
        if isinstance(train, (str, Path)) and isinstance(holdout, (str, Path)):
            origin = {"real": str(train), "holdout": str(holdout), "synthetic": RECORD, "seed": seed}
            write_json(folder / "evaluated.json", origin)
    return whole


callable_as(repair)
