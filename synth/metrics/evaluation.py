"""`evaluate`: every figure about a synthetic table, each beside what real rows score in its place."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from synth import __version__
from synth.data.quarantine import mark_of_frame
from synth.data.sketch import SKETCH, sketch
from synth.data.table import Table
from synth.errors import DataError, InputError
from synth.metrics.evidence import Evidence, conform
from synth.metrics.images import left_out
from synth.metrics.measurement import FIGURES, INTERNAL, Measurement, Measurements, Status
from synth.metrics.registry import Metric, NothingThereError, SkipMetricError, chosen
from synth.progress import Progress, silent
from synth.seed import check_seed


def evaluate(
    train: Any,
    holdout: Any,
    synthetic: Any,
    *,
    seed: int = 0,
    target: str | None = None,
    sensitive: str | Iterable[str] | None = None,
    only: str | Iterable[str] | None = None,
    repeats: Iterable[Any] = (),
    model: Any = None,
    shadow: int = 0,
    budget_seconds: float | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Measurements:
    """Measure a synthetic table against the rows it was made from and real rows that were held out.

    train, holdout, synthetic: each a `Table`, a pandas, polars or Arrow frame, or a path. The training table's schema is
    applied to all three. `holdout` may be None: what needs it is skipped, with that reason.
    target, sensitive: column names, where the training table's schema does not already give them.
    only: names of metrics ("fidelity.shape") or families ("privacy"); None for all but other tools' versions, which are
    computed where they are named ("fidelity.trend@sdmetrics-0.27").
    repeats: synthetic tables of further fits, for the spread between fits. model: the generator behind the rows, where it is at
    hand; shadow: how many shadow models to fit with it for the attack on the most vulnerable rows (each costs a fit).
    budget_seconds: what has not begun by then is skipped, with that reason; the cheapest metrics are then begun first.
    workers: threads; by default as many as there are cores. The figures do not depend on it.
    Figures about rows that were made under a privacy budget are exact and on real rows, and so outside of it: they are marked
    internal, and no approval can rest on them (`synth.evaluate_public` gives those that may leave). Rows are known by their
    `Table`, their file, or the model; of a frame alone nobody knows: give the model.
    A metric that fails has status "error" and the others go on; the same arguments give the same figures.
    Raises DataError where the tables cannot be compared at all, InputError for a metric that does not exist, a budget, a number
    of threads or of shadow models that is none, and shadow models without a model.
    """
    from synth.data.frames import as_table

    selected = chosen(only)
    _check_options(selected, budget_seconds, workers, model, shadow)
    trained = as_table(train, target=target, sensitive=sensitive)
    made = _like(trained, synthetic, "synthetic")
    held = None if holdout is None else _like(trained, holdout, "holdout")
    again = tuple(_like(trained, table, "synthetic") for table in repeats)
    for name, table in (("training", trained), ("synthetic", made), ("holdout", held), *(("repeated", t) for t in again)):
        if table is not None and len(table) == 0:
            raise DataError(f"the {name} table has no rows; there is nothing to measure")
    if not trained.schema.learned:
        raise DataError("no column is left to compare: all are keys, identifiers, free text or dropped; check the schema")
    evidence = Evidence(trained, held, made, check_seed(seed), again, model, shadow)
    asked = () if only is None else (only,) if isinstance(only, str) else tuple(only)
    plan = Plan(selected, _cores() if workers is None else workers, budget_seconds, left_out(evidence, selected, asked))
    found = plan.carry_out(evidence, progress)
    return Measurements(tuple(found), _context(evidence), made)


def _check_options(
    selected: tuple[Metric, ...], budget_seconds: float | None, workers: int | None, model: Any, shadow: int
) -> None:
    if not selected:
        raise InputError("no metric is named, so nothing would be measured; name metrics or families, or leave `only` out")
    if budget_seconds is not None and not (math.isfinite(budget_seconds) and budget_seconds >= 0):
        raise InputError(f"a budget of {budget_seconds} seconds is no time; give a number from 0, or none for no limit")
    if workers is not None and workers < 1:
        raise InputError(f"{workers} threads cannot measure anything; give at least 1, or none for as many as there are cores")
    if shadow < 0:
        raise InputError(f"{shadow} shadow models cannot be fitted; give a number from 0")
    if shadow and model is None:
        raise InputError(f"{shadow} shadow models are asked for but no model is given to fit them with; give the model as well")


@dataclass(frozen=True)
class Plan:
    """Which metrics to compute, on how many threads and for how long; figures come in the metrics' order, always."""

    selected: tuple[Metric, ...]
    workers: int
    budget_seconds: float | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)  # metrics that are not begun, by name, with the reason

    def carry_out(self, evidence: Evidence, progress: Progress) -> list[Measurement]:
        """All figures. Progress is told from the calling thread only, with the name of the metric at work the longest."""
        from threadpoolctl import threadpool_limits  # comes with scikit-learn

        started = time.monotonic()
        begun = [metric for metric in self.selected if metric.name not in self.left_out]
        waiting = sorted(begun, key=lambda m: m.cost if self.budget_seconds is not None else -m.cost)
        done = {m.name: [_unbegun(m, self.left_out[m.name])] for m in self.selected if m.name in self.left_out}
        running: dict[Future[list[Measurement]], Metric] = {}
        _ = evidence.columns  # coded once, before the threads ask for it
        # Threads of BLAS and threads of ours would fight for the same cores, and its results would depend on their number.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(self.workers) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < self.workers:
                        metric = waiting.pop(0)
                        if self._late(started):
                            done[metric.name] = [_unbegun(metric, self._spent)]
                            continue
                        running[pool.submit(_figures, metric, evidence)] = metric
                    if not running:
                        break
                    progress(f"measure: {next(iter(running.values())).name}", len(done), len(self.selected))
                    finished, _rest = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        done[running.pop(future).name] = future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        progress("measure: done", len(self.selected), len(self.selected))
        return [measurement for metric in self.selected for measurement in done[metric.name]]

    def _late(self, started: float) -> bool:
        return self.budget_seconds is not None and time.monotonic() - started >= self.budget_seconds

    @property
    def _spent(self) -> str:
        return f"the budget of {self.budget_seconds:g} s was spent before it could begin; allow more, or name fewer metrics"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _unbegun(metric: Metric, why: str) -> Measurement:
    return Measurement(metric.name, metric.better, bounds=metric.bounds, status="skipped", reason=why)


def _figures(metric: Metric, evidence: Evidence) -> list[Measurement]:
    return list(_measure(metric, evidence))


def _measure(metric: Metric, evidence: Evidence) -> Iterator[Measurement]:
    """One metric's figures, each with an equal part of what it cost."""
    started = time.perf_counter()
    try:
        readings = list(metric.function(evidence))
        if not readings:
            raise SkipMetricError("there was nothing to measure")
    except SkipMetricError as reason:
        status: Status = "absent" if isinstance(reason, NothingThereError) else "skipped"
        yield Measurement(metric.name, metric.better, bounds=metric.bounds, status=status, reason=str(reason))
        return
    except Exception as problem:  # a metric must never take the others with it; an error is never a pass
        why = f"{type(problem).__name__}: {problem}"
        seconds = time.perf_counter() - started
        yield Measurement(metric.name, metric.better, bounds=metric.bounds, status="error", reason=why, seconds=seconds)
        return
    seconds = (time.perf_counter() - started) / len(readings)
    for reading in readings:
        yield Measurement(
            metric.name,
            metric.better,
            score=reading.score,
            reference=reading.reference,
            group=reading.group,
            columns=reading.columns,
            bounds=metric.bounds,
            status="skipped" if reading.skipped else "ok",
            reason=reading.skipped,
            detail=reading.detail,
            seconds=seconds,
        )


def _like(train: Table, data: Any, name: str) -> Table:
    """A table with the training table's columns, in its order, under its schema."""
    from synth.data.frames import as_table, to_arrow

    schema = train.schema.select([c.name for c in train.schema.made])
    try:
        if isinstance(data, (str, os.PathLike)):
            data = as_table(data)
        if isinstance(data, Table):
            arrow, frame, provenance, mark = data.arrow, data.frame, data.provenance, data.mark
        else:
            (arrow, frame), provenance, mark = to_arrow(data), None, mark_of_frame(data)
        unknown = [c for c in arrow.column_names if c not in train.schema.names]
        if unknown and name == "synthetic":
            raise InputError(
                f"it has the column {unknown[0]!r}, which the training table does not; what was never compared cannot be "
                "judged: remove it"
            )
        return Table(conform(train, arrow), schema, frame=frame, provenance=provenance, mark=mark)
    except InputError as problem:
        raise DataError(f"the {name} table cannot be compared: {problem}") from problem


def _made_under_a_budget(evidence: Evidence) -> bool:
    """Whether the rows, or those of another fit, are known to be of a model that was fitted under a privacy budget."""
    model = evidence.model
    return (
        any(table.is_private for table in (evidence.synthetic, *evidence.repeats))
        or (getattr(model, "is_fitted", False) and getattr(model, "receipt", None) is not None)
    )  # fmt: skip


def _context(evidence: Evidence) -> dict[str, Any]:
    """What the figures were taken on."""
    tables = {"train": evidence.train, "holdout": evidence.holdout, "synthetic": evidence.synthetic}
    schema = evidence.train.schema
    context: dict[str, Any] = {
        "rows": {name: None if table is None else len(table) for name, table in tables.items()},
        "digests": {name: None if table is None else table.digest() for name, table in tables.items()}
        | {"schema": schema.digest()},
        "target": None if schema.target is None else schema.target.name,
        "sensitive": [column.name for column in schema.sensitive],
        "seed": evidence.seed,
        "synth": __version__,
        SKETCH: sketch(
            [real for real in (evidence.train, evidence.holdout) if real is not None], [c.name for c in schema.learned]
        ),
    }
    if _made_under_a_budget(evidence):
        context[FIGURES] = INTERNAL
    if evidence.synthetic.provenance is not None:
        context["provenance"] = evidence.synthetic.provenance.to_dict()
    if evidence.repeats:
        context["repeats"] = [table.digest() for table in evidence.repeats]
    if evidence.model is not None and hasattr(evidence.model, "digest"):
        context["model"] = evidence.model.digest()
    if evidence.shadow:
        context["shadow"] = evidence.shadow
    return context
