"""What every metric promises, checked."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from synth.check.conformance import CannotRun, Conformance, conform, require
from synth.data.example import example_table
from synth.data.table import Table
from synth.errors import InputError, did_you_mean
from synth.generators.base import Generator
from synth.generators.trees import Trees
from synth.metrics.evaluation import Plan
from synth.metrics.evidence import SIDES, Evidence
from synth.metrics.measurement import Measurement
from synth.metrics.registry import FAMILIES, Metric, chosen, metrics
from synth.progress import silent

ROWS = 900  # of each table: enough for attacks on half of the held-out rows
FITS, SHADOWS = 2, 2  # further fits and shadow models, for the metrics that ask for them
MOVED = 0.25  # of an interval's width: what another order of rows and columns may move trees that are fitted on them
CLOSE = 1e-9  # sums of floats in another order


def check_metric(
    metric: str | Metric, evidence: Evidence | None = None, among: Iterable[Measurement] | None = None
) -> Conformance:
    """Check every promise of a metric, in order.

    metric: a registered name, or a `Metric`. evidence: the tables to measure; by default three small ones with a column of
    every kind, whose synthetic rows are of a model that is at hand. among: the figures of the whole suite on that evidence,
    where they are known already; by default they are taken.
    Returns the checks that passed, and which could not be run, with the reason. Raises CheckFailed at the first one that fails,
    InputError for a name that is not registered.
    """
    one = metric if isinstance(metric, Metric) else _named(metric)
    case = _Case(one, example_evidence() if evidence is None else evidence, None if among is None else tuple(among))
    return conform(one.name, METRIC_CHECKS, case)


def example_evidence(seed: int = 0) -> Evidence:
    """Small tables with a column of every kind, the model that made the synthetic one, and rows of further fits."""
    train, holdout = example_table(ROWS, seed=seed), example_table(ROWS, seed=seed + 1)
    first, *others = (_fitted(train, seed + fit) for fit in range(1 + FITS))
    again = tuple(model.sample_table(ROWS, seed=seed) for model in others)
    return Evidence(train, holdout, first.sample_table(ROWS, seed=seed), seed, again, first, SHADOWS)


def _fitted(train: Table, seed: int) -> Generator:
    return Trees(trees_per_column=1).fit(train, seed=seed)


def _named(name: str) -> Metric:
    known = {metric.name: metric for metric in metrics()}
    if name not in known:
        raise InputError(f"no metric {name!r}{did_you_mean(name, known)}")
    return known[name]


@dataclass(frozen=True, eq=False)
class _Watched(Evidence):
    """Evidence that writes down what was drawn at random."""

    drawn: list[str] = field(default_factory=list)

    def rng(self, purpose: str) -> np.random.Generator:
        self.drawn.append(purpose)
        return super().rng(purpose)


@dataclass
class _Case:
    """One metric on one set of tables, with the figures that the checks share."""

    metric: Metric
    evidence: Evidence
    among: tuple[Measurement, ...] | None

    @cached_property
    def watched(self) -> _Watched:
        """The evidence of `alone`: what was drawn for it, and whether it was changed."""
        return _fresh(self.evidence)

    @cached_property
    def alone(self) -> list[Measurement]:
        """The figures where nothing else is measured."""
        return _take(self.metric, self.watched)

    @property
    def figures(self) -> list[Measurement]:
        """Those that are figures. Not run where there are none."""
        found = [m for m in self.alone if m.score is not None]
        if not found:
            raise CannotRun(f"it has no figure on these tables: {self.alone[0].reason}")
        return found


def _fresh(evidence: Evidence, **changes: object) -> _Watched:
    """The same evidence, or with other tables, of which nothing is known yet."""
    parts = {name: getattr(evidence, name) for name in ("train", "holdout", "synthetic", "seed", "repeats", "model", "shadow")}
    return _Watched(**{**parts, **changes})


def _take(metric: Metric, evidence: Evidence) -> list[Measurement]:
    """One metric's figures, a warning being an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Plan((metric,), workers=1).carry_out(evidence, silent)


def _plain(m: Measurement) -> dict[str, object]:
    """A measurement without what it cost."""
    return {key: value for key, value in m.to_dict().items() if key != "seconds"}


# the checks ------------------------------------------------------------------------------------------------------------


def _declaration(case: _Case) -> None:
    one = case.metric
    require(one.name.split(".", 1)[0] in FAMILIES and " " not in one.name, f"{one.name!r} is not FAMILY.METRIC")
    require(one.bounds[0] < one.bounds[1], f"the bounds {one.bounds} leave no room for a value")
    require(one.summary.endswith("."), f"the docstring's first line {one.summary!r} is no sentence on one line")
    require(one.cost >= 0, f"a cost of {one.cost} seconds is none")


def _sound(found: list[Measurement], what: str) -> None:
    """A figure within its bounds, or a reason; never an error; one label each; JSON."""
    require(bool(found), f"{what}: neither a figure nor a reason")
    labels = [m.label for m in found]
    require(len(set(labels)) == len(labels), f"{what}: two figures have the label {max(labels, key=labels.count)!r}")
    for m in found:
        require(m.status != "error", f"{what}: {m.label} is in error: {m.reason}")
        require(bool(m.reason) == (m.score is None), f"{what}: {m.label} has no figure and no reason, or both")
        for interval in (m.score, m.reference):
            if interval is None:
                continue
            low, high = m.bounds
            require(interval.low <= interval.value <= interval.high, f"{what}: {m.label} is outside its interval: {interval}")
            require(
                low <= interval.low and interval.high <= high, f"{what}: {m.label} passes its bounds {m.bounds}: {interval}"
            )
            require(interval.n > 0, f"{what}: {m.label} rests on nothing: n is {interval.n}")
        again = Measurement.from_dict(json.loads(json.dumps(m.to_dict(), allow_nan=False)))
        require(again.label == m.label, f"{what}: {m.label} reads {again.label} after it was written down as JSON")


def _figures_or_reasons(case: _Case) -> None:
    _sound(case.alone, "on ordinary tables")
    _ = case.figures


def _reference(case: _Case) -> None:
    if case.evidence.holdout is None:
        raise CannotRun("these tables have no holdout")
    bare = [m.label for m in case.figures if m.reference is None]
    require(not bare, f"{bare[:3]} say not what real rows score, although some are held out")


def _same_again(case: _Case) -> None:
    """The same figures, alone as among all others: what is random comes from the evidence, what is shared is not changed."""
    among = case.among
    if among is None:
        suite = [*(m for m in chosen(None) if m.name != case.metric.name), case.metric]
        among = tuple(Plan(tuple(suite), workers=2).carry_out(_fresh(case.evidence), silent))
    there = [_plain(m) for m in among if m.name == case.metric.name]
    if not there:
        raise CannotRun("it is not among the figures that were given")
    for mine, theirs in zip([_plain(m) for m in case.alone], there, strict=True):
        differs = [key for key in mine if mine[key] != theirs[key]]
        told = f"{differs[0]} is {mine[differs[0]]}, then {theirs[differs[0]]}" if differs else ""
        require(not differs, f"a second time, among all metrics, it gives other figures: {told:.300}")


def _nothing_changed(case: _Case) -> None:
    """The tables and their coded columns, which all metrics share, are after a measuring what they were."""
    _ = case.alone
    require(_fingerprint(case.watched) == _fingerprint(case.evidence), "it changes a table that it is given")
    require(_coded(case.watched) == _coded(_fresh(case.evidence)), "it changes the coded columns, which all metrics share")


def _fingerprint(evidence: Evidence) -> list[str]:
    tables = (evidence.train, evidence.holdout, evidence.synthetic, *evidence.repeats)
    return [table.digest() for table in tables if table is not None]


def _coded(evidence: Evidence) -> str:
    total = hashlib.sha256()
    for column in evidence.columns:
        for side in SIDES:
            total.update(np.ascontiguousarray(column.of(side)).tobytes())
    return total.hexdigest()


def _order(case: _Case) -> None:
    """Another order of the rows and columns gives the same value, where nothing is drawn at random."""
    figures = case.figures
    if case.watched.drawn:
        raise CannotRun(f"it draws at random ({case.watched.drawn[0]}), and another order is another draw")
    rng = np.random.default_rng(0)

    def shuffled(table: Table | None) -> Table | None:
        return None if table is None else table.take(rng.permutation(len(table))).select(list(reversed(table.columns)))

    other = {name: shuffled(getattr(case.evidence, name)) for name in SIDES}
    again = {_about(m): m for m in _take(case.metric, _fresh(case.evidence, **other))}
    for m in figures:
        twin = again.get(_about(m))
        require(twin is not None and twin.score is not None, f"{m.label} is gone where rows and columns stand in another order")
        assert m.score is not None
        assert twin is not None
        assert twin.score is not None
        allowed = CLOSE + MOVED * (m.score.high - m.score.low)
        moved = abs(m.score.value - twin.score.value)
        require(moved <= allowed, f"{m.label} is {m.score}, and {twin.score} where rows and columns stand in another order")


def _about(m: Measurement) -> tuple[str, frozenset[tuple[str, str]], frozenset[str]]:
    return m.name, frozenset((m.group or {}).items()), frozenset(m.columns)


def _without_holdout(case: _Case) -> None:
    _sound(_take(case.metric, _fresh(case.evidence, holdout=None)), "without a holdout")


def _three_rows(case: _Case) -> None:
    three = {name: _head(getattr(case.evidence, name)) for name in SIDES}
    _sound(_take(case.metric, _fresh(case.evidence, repeats=(), model=None, shadow=0, **three)), "on three rows of each table")


def _head(table: Table | None) -> Table | None:
    return None if table is None else table.head(3)


def _collapsed(case: _Case) -> None:
    """A table of one row, again and again: as far from real as a table can be."""
    synthetic = case.evidence.synthetic
    same = replace(synthetic, arrow=synthetic.arrow.take([0] * len(synthetic)))
    found = _take(case.metric, _fresh(case.evidence, synthetic=same, repeats=(), model=None, shadow=0))
    stated = [m for m in found if not (m.status == "error" and m.reason.startswith("CannotTrainError"))]
    if stated:
        _sound(stated, "on one row again and again")


METRIC_CHECKS: dict[str, Callable[[_Case], None]] = {
    "declaration": _declaration,
    "figures or reasons": _figures_or_reasons,
    "reference": _reference,
    "same again": _same_again,
    "nothing changed": _nothing_changed,
    "order": _order,
    "without holdout": _without_holdout,
    "three rows": _three_rows,
    "one row again and again": _collapsed,
}
