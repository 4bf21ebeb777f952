"""Which remedy for a rare class helps, by nested cross-validation: everything is fitted inside the training folds.

A generator or sampler that is fitted, or that interpolates, before the split puts traces of the test rows into the training
rows, and every figure looks better than it is. Here `make_rows` is handed the training fold and nothing else, thresholds are
tuned by a further cross-validation inside it, and the test folds keep the natural prevalence.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from synth.data.table import Table
from synth.errors import DataError, InputError, did_you_mean
from synth.metrics.balance import LEAST_RARE, build_case, rare_class
from synth.metrics.evidence import Evidence, conform
from synth.metrics.intervals import LEVEL, normal
from synth.metrics.measurement import Interval
from synth.metrics.models import NAMES, Learner
from synth.metrics.rare_class import DRAWS, HIGHER, PRECISION, Figure, figures
from synth.metrics.registry import SkipMetricError
from synth.metrics.remedies import NOTHING, OVERSAMPLING, SMOTE, THRESHOLD, WEIGHTS, try_all
from synth.progress import Progress, silent
from synth.seed import check_seed

MakeRows = Callable[[Table, int, int], Table]  # (training fold, rows wanted, seed) -> rows; those of the rare class are used
CAP = 1_000_000  # training rows of a fold
LEAST_TESTED = 5  # rows of the rare class in a test fold
LEAST_FOLDS = 3  # that are tried: the interval comes from how much they differ


@dataclass(frozen=True)
class Outcome:
    """One remedy with one kind of model: the mean of each figure over the folds.

    folds: each figure's paired difference to nothing, fold by fold. errors: the standard errors of their means, over test and
    training rows.
    """

    learner: str
    remedy: str
    added: float  # rows per fold
    figures: Mapping[str, float]
    folds: Mapping[str, tuple[float, ...]]
    errors: Mapping[str, float]

    def difference(self, figure: str, tried: int = 1) -> Interval:
        """The difference to nothing, its interval corrected (Bonferroni) where the best of several remedies is looked for."""
        bounds = (-math.inf, math.inf)
        folds = self.folds[figure]
        return normal(float(np.mean(folds)), self.errors[figure], len(folds), bounds, 1 - (1 - LEVEL) / tried)


@dataclass(frozen=True)
class Comparison:
    """All remedies side by side. `leaked`: for each maker the share of its rows that equal a test row and no training row."""

    target: str
    rare: str
    rows: int
    rare_rows: int
    folds: int
    tried: int  # of the folds; fewer where the time was up
    seed: int
    precision: float
    outcomes: tuple[Outcome, ...]
    leaked: Mapping[str, float]

    def of(self, remedy: str, learner: str = "boosted") -> Outcome:
        """One remedy with one kind of model. Raises InputError, with the nearest name, where it was not tried."""
        for outcome in self.outcomes:
            if (outcome.remedy, outcome.learner) == (remedy, learner):
                return outcome
        known = [o.remedy for o in self.outcomes if o.learner == learner] or sorted({o.learner for o in self.outcomes})
        raise InputError(f"{remedy!r} was not tried with {learner!r}{did_you_mean(remedy, known)}")

    def between(self, remedy: str, other: str, figure: str, learner: str = "boosted") -> Interval:
        """A remedy's figure minus another one's, from how their difference varies between folds: the corrected resampled t-test
        (Nadeau & Bengio 2003)."""
        from scipy.special import stdtrit

        apart = np.subtract(self.of(remedy, learner).folds[figure], self.of(other, learner).folds[figure])
        value, many = float(apart.mean()), len(apart)
        spread = float(apart.std(ddof=1)) * math.sqrt(1 / many + 1 / (self.folds - 1))
        reach = spread * float(stdtrit(many - 1, (1 + LEVEL) / 2))
        return Interval(value, value - reach, value + reach, many)

    def sentence(self, figure: str = "average_precision") -> str:
        """The answer: for each kind of model which remedy raises the figure, or that none does.

        The intervals that decide are corrected for the number of remedies among which the best was looked for.
        figure: one that is better higher. Raises InputError for another.
        """
        if figure not in HIGHER:
            raise InputError(f"no answer about {figure!r}{did_you_mean(figure, sorted(HIGHER))}")
        return " ".join(self._answer(learner, figure) for learner in dict.fromkeys(o.learner for o in self.outcomes))

    def _answer(self, learner: str, figure: str) -> str:
        words = figure.replace("_", " ").replace("at precision", f"at {self.precision:.0%} precision")
        model = NAMES[learner][:1].upper() + NAMES[learner][1:]  # type: ignore[index]
        same = (NOTHING,) if figure == "balanced_accuracy" else (NOTHING, THRESHOLD)  # whose chances are the same
        tried = [o for o in self.outcomes if o.learner == learner and o.remedy not in same]
        found = {o.remedy: o.difference(figure, len(tried)) for o in tried}
        best = max(found, key=lambda name: found[name].value)
        if found[best].low <= 0:
            return f"{model}: no benefit found in {words}; the most, {_said(found[best])}, is with {best}."
        cheap = [
            name for name in (THRESHOLD, WEIGHTS, OVERSAMPLING, SMOTE) if name in found and name != best and found[name].low > 0
        ]
        also = f"; {cheap[0]} gives {_said(found[cheap[0]])}" if cheap else ""
        return f"{model}: {best} raises {words} by {_said(found[best])}{also}."

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        outcomes = [
            asdict(o) | {"differences": {name: o.difference(name).to_dict() for name in o.figures}} for o in self.outcomes
        ]
        return asdict(self) | {"outcomes": outcomes, "sentence": self.sentence()}


def compare_remedies(
    table: Table,
    make_rows: MakeRows | Mapping[str, MakeRows] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
    ratios: Iterable[float] = (1.0,),
    learners: Iterable[Learner] = ("boosted", "linear"),
    rare: str | None = None,
    precision: float = PRECISION,
    budget_seconds: float | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Try every remedy for a table's rare class by nested cross-validation.

    table: with a target of classes; folds are stratified by class, and no subject is ever on both sides of one.
    make_rows: called as make_rows(training fold, n, seed) once for each fold; fits on that fold and returns n rows, of which
    those of the rare class are used: condition on it. Several makers by name; None for the other remedies only.
    ratios: of the rare class to all others that adding made rows aims at, in (0, 1]; each is a remedy of its own.
    rare: the class; by default the rarest with enough rows. precision: at which recall is taken.
    budget_seconds: folds that have not begun by then are left out, but for the first three; `Comparison.tried` says how many
    were tried, and what is found then depends on the machine's speed. Else the same arguments give the same figures.
    Raises InputError for arguments that make no sense, DataError where there is no rare class, or too few of its rows in a fold
    or among those that were made.
    """
    seed, ratios, learners = check_seed(seed), tuple(ratios), tuple(learners)
    _check(folds, ratios, learners, precision)
    try:
        label = rare_label(table, rare)
        labels = class_labels(table)
        place = _folds(table, labels == label, folds, seed)
        tried: list[_Tried] = []
        started = time.monotonic()
        for k in range(folds):
            if k >= LEAST_FOLDS and budget_seconds is not None and time.monotonic() - started >= budget_seconds:
                break
            progress("balance: fold", k, folds)
            fold = _Fold(table.filter(place != k), table.filter(place == k), label, ratios, precision, seed + k)
            tried.append(fold.compare(_named(make_rows), learners))
    except SkipMetricError as reason:
        raise DataError(f"the remedies cannot be compared: {reason}") from reason
    progress("balance: done", folds, folds)
    outcomes = tuple(outcome for learner in learners for outcome in _outcomes(learner, tried, folds))
    leaked = {name: float(np.mean([fold.leaked[name] for fold in tried])) for name in tried[0].leaked}
    assert table.schema.target is not None
    name, rare_rows = table.schema.target.name, int((labels == label).sum())
    return Comparison(name, label, len(table), rare_rows, folds, len(tried), seed, precision, outcomes, leaked)


@dataclass(frozen=True, eq=False)
class _Tried:
    """What one fold gave: figures and their differences to nothing, by learner and remedy."""

    figures: dict[tuple[Learner, str], dict[str, Figure]]
    differences: dict[tuple[Learner, str], dict[str, Figure]]
    added: dict[str, int]
    leaked: dict[str, float]


@dataclass(frozen=True, eq=False)
class _Fold:
    """One outer fold: the rows that everything is fitted on, and those that nothing has seen."""

    train: Table
    test: Table
    label: str
    ratios: tuple[float, ...]
    precision: float
    seed: int

    def compare(self, makers: Mapping[str, MakeRows], learners: tuple[Learner, ...]) -> _Tried:
        made = {name: self._made(name, make) for name, make in makers.items()}
        rows = Table.concat(list(made.values())) if made else self.train.head(0)
        evidence = Evidence(self.train, self.test, rows, self.seed)
        assert evidence.target is not None
        case = build_case(evidence, evidence.target.labels.index(self.label), self._parts(made), CAP, LEAST_TESTED)
        tested = len(case.truth)
        draws = np.random.default_rng([self.seed, 4]).multinomial(tested, np.full(tested, 1 / tested), DRAWS).astype(np.float32)
        values, differences, added = {}, {}, {}
        for learner in learners:
            told = try_all(case, learner, self.seed)
            found = {name: figures(case.truth, said, case.share, draws, self.precision) for name, said in told.items()}
            for remedy, by_name in found.items():
                added[remedy] = told[remedy].added
                values[learner, remedy] = by_name
                differences[learner, remedy] = {name: f.minus(found[NOTHING][name]) for name, f in by_name.items()}
        return _Tried(values, differences, added, self._leaked(evidence, made))

    def _made(self, name: str, make: MakeRows) -> Table:
        """The rows of the rare class that a maker makes, knowing the training fold only."""
        made = make(self.train, max(self._wanted(ratio) for ratio in self.ratios), self.seed)
        names = [c.name for c in self.train.schema.made]
        made = Table(conform(self.train, made.arrow), self.train.schema.select(names))
        found = made.filter(class_labels(made) == self.label)
        if len(found) < LEAST_RARE:
            raise DataError(
                f"make_rows ({name}) made {len(found)} rows of the class {self.label}; {LEAST_RARE} are needed: "
                "let it make rows of that class only"
            )
        return found

    def _wanted(self, ratio: float) -> int:
        """Rows of the rare class that are missing to a ratio to all others."""
        rare = int((class_labels(self.train) == self.label).sum())
        return max(LEAST_RARE, round(ratio * (len(self.train) - rare)) - rare)

    def _parts(self, made: Mapping[str, Table]) -> dict[str, slice]:
        """Which of the made rows each remedy adds."""
        parts, start = {}, 0
        for name, rows in made.items():
            for ratio in self.ratios:
                parts[remedy_of(name, ratio, self.ratios)] = slice(start, start + min(len(rows), self._wanted(ratio)))
            start += len(rows)
        return parts

    def _leaked(self, evidence: Evidence, made: Mapping[str, Table]) -> dict[str, float]:
        known, start, found = evidence.identities, 0, {}
        strange = np.isin(known["synthetic"], known["holdout"]) & ~np.isin(known["synthetic"], known["train"])
        for name, rows in made.items():
            found[name] = float(strange[start : start + len(rows)].mean())
            start += len(rows)
        return found


def remedy_of(maker: str, ratio: float, ratios: tuple[float, ...]) -> str:
    """The name of the remedy that adds a maker's rows up to one of these ratios."""
    return f"rows from {maker}" if len(ratios) == 1 else f"rows from {maker} to 1:{1 / ratio:.3g}"


def _outcomes(learner: Learner, tried: list[_Tried], folds: int) -> list[Outcome]:
    """The outcome of each remedy with one kind of model."""
    remedies = [remedy for other, remedy in tried[0].figures if other == learner]
    names = list(tried[0].figures[learner, remedies[0]])
    apart = {(r, n): [fold.differences[learner, r][n] for fold in tried] for r in remedies for n in names}
    beyond = {key: _beyond(figures) for key, figures in apart.items()}
    found = []
    for remedy in remedies:
        apiece = {name: tuple(figure.value for figure in apart[remedy, name]) for name in names}
        errors = {}
        for name in names:
            if all(figure.error == 0 for figure in apart[remedy, name]):  # the same chances: nothing differs
                errors[name] = 0.0
                continue
            # a remedy's own spread comes from few folds: it is never taken for less than that of all remedies together
            pooled = float(np.mean([beyond[other, name] for other in remedies if other not in (NOTHING, THRESHOLD)]))
            errors[name] = _error_of_mean(apart[remedy, name], max(pooled, beyond[remedy, name]), folds)
        means = {name: float(np.mean([fold.figures[learner, remedy][name].value for fold in tried])) for name in names}
        found.append(Outcome(learner, remedy, float(np.mean([fold.added[remedy] for fold in tried])), means, apiece, errors))
    return found


def _beyond(folds: list[Figure]) -> float:
    """How much the folds' differences vary beyond what their test rows bring: the variance between training runs."""
    return max(0.0, float(np.var([f.value for f in folds], ddof=1)) - float(np.mean([f.error**2 for f in folds])))


def _error_of_mean(tried: list[Figure], training: float, folds: int) -> float:
    """Of the mean over the folds that were tried: test rows are each in one, training rows in several, as Nadeau & Bengio
    (2003) allow for."""
    many = len(tried)
    return math.sqrt(sum(f.error**2 for f in tried) / many**2 + training * (1 / many + 1 / (folds - 1)))


def _named(make_rows: MakeRows | Mapping[str, MakeRows] | None) -> Mapping[str, MakeRows]:
    if make_rows is None:
        return {}
    return {"the generator": make_rows} if callable(make_rows) else make_rows


def _check(folds: int, ratios: tuple[float, ...], learners: tuple[str, ...], precision: float) -> None:
    if not isinstance(folds, int) or folds < LEAST_FOLDS:
        raise InputError(f"folds is {folds!r}; give 3 or more: the interval comes from how much they differ")
    if not ratios or not all(0 < ratio <= 1 for ratio in ratios):
        raise InputError(
            f"ratios is {ratios!r}; give shares above 0 and up to 1, at which the class is as frequent as all others"
        )
    for learner in learners:
        if learner not in NAMES:
            raise InputError(f"no learner {learner!r}{did_you_mean(learner, list(NAMES))}")
    if not 0 < precision < 1:
        raise InputError(f"precision is {precision!r}; give one above 0 and below 1")


def rare_label(table: Table, rare: str | None = None) -> str:
    """The rare class that was asked for, or the rarest with enough rows. Raises InputError; DataError where there is none."""
    target = table.schema.target
    if target is None:
        raise InputError("no target is named; name one with target=")
    column = Evidence(table, None, table.head(0), 0).target
    if column is None:
        raise InputError(f"the target {target.name!r} is not learned; it cannot be predicted")
    if rare is None:
        try:
            return column.label(rare_class(column, CAP, 0))
        except SkipMetricError as reason:
            raise DataError(f"the remedies cannot be compared: {reason}") from reason
    if rare not in column.labels:
        raise InputError(f"no class {rare!r} of the target {target.name!r}{did_you_mean(rare, list(column.labels))}")
    return rare


def class_labels(table: Table) -> np.ndarray:
    """The class of each row in words, "null" where it is not known: shape (rows,)."""
    assert table.schema.target is not None
    values = table.column(table.schema.target.name)
    return np.array(["null" if value is None else str(value) for value in values.to_pylist()], dtype=object)


def _folds(table: Table, rare: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row, shape (rows,): as many rare rows in each, or as many subjects that have one."""
    subject = table.schema.subject
    units = np.arange(len(table))
    if subject is not None:
        values = table.column(subject.name).combine_chunks()
        codes = pc.dictionary_encode(values).indices
        units = np.asarray(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)).astype(np.int64)
        alone = units < 0  # rows of unknown subjects are each on their own
        units[alone] = units.max(initial=0) + 1 + np.arange(int(alone.sum()))
    count = int(units.max(initial=0)) + 1
    marked = np.bincount(units, weights=rare, minlength=count) > 0
    rng, place = np.random.default_rng([seed, 5]), np.empty(count, dtype=np.int64)
    for chosen in (marked, ~marked):
        order = rng.permutation(np.flatnonzero(chosen))
        place[order] = np.arange(len(order)) % folds
    return np.asarray(place[units])


def _said(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]".replace("-", "−")
