"""What other training rows do to groups of real people: models trained before and after, asked about the same real rows.

Both are trained on equally many rows, several times over, each time on rows drawn anew. The change of a figure is their mean
difference; its interval holds the chance in the test rows, on which all models are asked alike (so that much of it cancels),
and in the rows that each was trained on. How the generator itself would vary, fitted to other people, is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from synth.data.table import Table
from synth.metrics.contest import Contest, both, judged_classes, pick, question, score
from synth.metrics.evidence import Evidence
from synth.metrics.group_models import (
    Figure,
    Measure,
    Told,
    accuracy,
    false_positive_rate,
    selection_rate,
    told_of,
    trained_on,
    true_positive_rate,
)
from synth.metrics.groups import LEAST, Group, divisions, judged, per_person, subjects
from synth.metrics.intervals import LEVEL, normal
from synth.metrics.measurement import Interval
from synth.metrics.outcomes import favoured
from synth.progress import Progress

TRAINED, TESTED = 30_000, 20_000  # rows that a model is trained on and asked about at most
Says = Literal["better", "worse", "no change shown"]
MEASURES: dict[str, tuple[Measure, ...]] = {  # of which groups lie apart, by the figure's name
    "selection rates": (selection_rate,),
    "error rates": (true_positive_rate, false_positive_rate),
    "accuracies": (accuracy,),
}
DEFINED = {
    "selection rates": "demographic parity difference",
    "error rates": "equalized odds difference",
    "accuracies": "difference of accuracies",
}
OF_A_GROUP: dict[str, Measure] = {
    "selected": selection_rate,
    "true positive rate": true_positive_rate,
    "false positive rate": false_positive_rate,
    "accuracy": accuracy,
}


@dataclass(frozen=True)
class Effect:
    """One figure of models trained on real rows, on rows before and on rows after, and its change from before to after."""

    what: str
    of: str  # the whole, a set of columns such as "sex × race", or a group such as "sex Female"
    real: float
    before: float
    after: float
    change: Interval  # after less before
    says: Says | Literal["more", "less"]  # "more" and "less" of a rate that is neither good nor bad by itself

    def to_dict(self) -> dict[str, Any]:
        """The effect as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Asked:
    """What all models say of the test rows."""

    evidence: Evidence
    play: Contest
    truth: np.ndarray
    who: np.ndarray | None
    real: tuple[np.ndarray, Told]
    before: tuple[tuple[np.ndarray, Told], ...]
    after: tuple[tuple[np.ndarray, Told], ...]

    def rates(self, measure: Measure, told: Told, rows: np.ndarray) -> tuple[Figure, np.ndarray]:
        """A group's figure under a model, and each test row's influence on it, as on a mean over all of them."""
        found = measure(self.truth[rows], Told(told.selected[rows], told.chance[rows]))
        influence = np.zeros(len(rows))
        if found.base >= LEAST:
            influence[rows] = found.influence * len(rows) / int(rows.sum())
        return found, influence


def effects(
    train: Table,
    holdout: Table,
    before: Sequence[Table],
    after: Sequence[Table],
    *,
    seed: int,
    progress: Progress,
) -> tuple[tuple[Effect, ...], tuple[Effect, ...]]:
    """How models differ by having been trained on the rows after instead of those before: as a whole, and for each group.

    before, after: equally many draws, two or more, of the same number of rows each. What is said of a change holds for all
    figures of the same list together (Bonferroni). Raises as `metrics.contest` does where there is nothing to ask.
    """
    asked = _ask(Evidence(train, holdout, before[0], seed), before, after, progress)
    whole = [*_scores(asked), *_gaps(asked)]
    groups = list(_groups(asked))
    return _said(whole), _said(groups)


def _ask(evidence: Evidence, before: Sequence[Table], after: Sequence[Table], progress: Progress) -> Asked:
    divisions(evidence)
    target, _ = question(evidence)
    test = np.flatnonzero(~target.null("holdout"))
    test = pick(evidence, test, min(TESTED, len(test)), "holdout")
    classes = judged_classes(target, test) if target.is_category else np.empty(0, dtype=np.int64)
    outcome = favoured(target)
    spread = 1.0 if target.is_category else float(np.nanstd(target.train)) or 1.0
    rows = min(TRAINED, int((~target.null("train")).sum()), *(len(table) for table in (*before, *after)))
    play = Contest(target, rows, test, target.holdout[test], classes, np.empty(0), np.empty(0))
    total, done = 1 + len(before) + len(after), 0

    def ask(fit: Evidence, synthetic: bool) -> tuple[np.ndarray, Told]:
        nonlocal done
        progress("train models", done, total)
        side: Any = "synthetic" if synthetic else "train"
        usable = np.flatnonzero(~fit.column(target.name).null(side))
        drawn = np.sort(fit.rng(f"effects.{side}").permutation(usable)[:rows])
        said = trained_on(fit, play, drawn, synthetic=synthetic)
        done += 1
        return said, told_of(play, outcome, said, spread)

    real = ask(evidence, False)
    first, second = (tuple(ask(evidence.with_synthetic(table), True) for table in tables) for tables in (before, after))
    progress("train models", total, total)
    who = subjects(evidence, "holdout")
    return Asked(evidence, play, outcome.hits(play.truth), None if who is None else who[test], real, first, second)


# figures ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Change:
    """An effect before anything is said of it: which way is good (0 for neither), and its standard error."""

    what: str
    of: str
    real: float
    before: float
    after: float
    error: float
    n: int
    good: int

    @property
    def change(self) -> float:
        return self.after - self.before


def _said(changes: list[_Change]) -> tuple[Effect, ...]:
    """With what can be said of each, at a level that holds for all of them together."""
    level = 1 - (1 - LEVEL) / max(1, len(changes))
    out = []
    for at in changes:
        sure = normal(at.change, at.error, at.n, (-1.0, 1.0), level)
        says: Any = "no change shown"
        if sure.low > 0 or sure.high < 0:
            way = 1 if at.change > 0 else -1
            says = ("more" if way > 0 else "less") if at.good == 0 else "better" if way == at.good else "worse"
        change = normal(at.change, at.error, at.n, (-1.0, 1.0))
        out.append(Effect(at.what, at.of, at.real, at.before, at.after, change, says))
    return tuple(out)


def _paired(
    asked: Asked, before: list[tuple[float, np.ndarray]], after: list[tuple[float, np.ndarray]], base: int, counts: bool
) -> tuple[float, float, float]:
    """Means before and after, and the standard error of their difference. Each draw has a value and the rows' influences."""
    values = np.array([[value for value, _ in side] for side in (before, after)])
    influence = np.mean([i for _, i in after], axis=0) - np.mean([i for _, i in before], axis=0)
    sampled = per_person(influence, asked.who) + (1 / (base + 2) ** 2 if counts else 0.0)
    draws = values.shape[1]
    trained = float(values.var(axis=1, ddof=1).sum()) / draws  # rows before and after were drawn apart
    return float(values[0].mean()), float(values[1].mean()), both(sampled, trained, 2 * (draws - 1))


def _scores(asked: Asked) -> Iterator[_Change]:
    """What a model is worth on all real rows."""
    everyone = np.ones(len(asked.truth), dtype=bool)

    def area(at: tuple[np.ndarray, Told]) -> tuple[float, np.ndarray]:
        return score(asked.play, at[0])

    def right(at: tuple[np.ndarray, Told]) -> tuple[float, np.ndarray]:
        found, influence = asked.rates(accuracy, at[1], everyone)
        return found.value, influence

    worth: tuple[tuple[str, Callable[[Any], tuple[float, np.ndarray]], bool], ...]
    worth = ((asked.play.metric, area, False), ("accuracy", right, True))
    for what, of, counts in worth:
        first, second, error = _paired(
            asked, [of(at) for at in asked.before], [of(at) for at in asked.after], len(everyone), counts
        )
        yield _Change(what, "all rows", of(asked.real)[0], first, second, error, len(everyone), 1)


def _gaps(asked: Asked) -> Iterator[_Change]:
    """How far apart the groups of each set of columns lie: the two that are furthest apart on the mean of the draws."""
    sets: dict[tuple[str, ...], list[tuple[Group, np.ndarray]]] = {}
    for group, rows in _tested(asked):
        sets.setdefault(tuple(group.name), []).append((group, rows))
    for columns, members in sets.items():
        for name, measures in MEASURES.items():
            sides = [_widest(asked, members, measures, told) for told in (asked.before, asked.after, (asked.real,))]
            if any(side is None for side in sides):
                continue
            (before, base), (after, other), (real, _) = (side for side in sides if side is not None)
            first, second, error = _paired(asked, before, after, min(base, other), True)
            what = f"{DEFINED[name]}"
            yield _Change(what, " × ".join(columns), real[0][0], first, second, error, min(base, other), -1)


def _tested(asked: Asked) -> Iterator[tuple[Group, np.ndarray]]:
    """The groups that have the real rows to be judged, with which of the test rows are theirs."""
    for group in judged(asked.evidence, asked.play.target.name):
        rows = group.of("holdout")[asked.play.test]
        if not group.insufficient and rows.sum() >= LEAST:
            yield group, rows


def _widest(
    asked: Asked,
    members: list[tuple[Group, np.ndarray]],
    measures: tuple[Measure, ...],
    told: Sequence[tuple[np.ndarray, Told]],
) -> tuple[list[tuple[float, np.ndarray]], int] | None:
    """The widest difference of a rate between two groups: in each draw, with the rows' influences; and what it rests on."""
    best: tuple[float, list[tuple[float, np.ndarray]], int] | None = None
    for measure in measures:
        figures = [[asked.rates(measure, at[1], rows) for at in told] for _, rows in members]
        figures = [draws for draws in figures if draws[0][0].base >= LEAST]
        if len(figures) < 2:
            continue
        means = [float(np.mean([found.value for found, _ in draws])) for draws in figures]
        top, bottom = figures[int(np.argmax(means))], figures[int(np.argmin(means))]
        apart = [(a.value - b.value, i - j) for (a, i), (b, j) in zip(top, bottom)]
        width = max(means) - min(means)
        if best is None or width > best[0]:
            best = width, apart, min(top[0][0].base, bottom[0][0].base)
    return None if best is None else best[1:]


def _groups(asked: Asked) -> Iterator[_Change]:
    for group, rows in _tested(asked):
        for what, measure in OF_A_GROUP.items():
            sides = [[asked.rates(measure, at[1], rows) for at in told] for told in (asked.before, asked.after)]
            if sides[0][0][0].base < LEAST:
                continue
            pairs = [[(found.value, influence) for found, influence in side] for side in sides]
            base = sides[0][0][0].base
            first, second, error = _paired(asked, pairs[0], pairs[1], base, True)
            real = asked.rates(measure, asked.real[1], rows)[0].value
            named = ", ".join(f"{column} {value}" for column, value in group.name.items())
            good = 1 if measure is accuracy else 0
            if not math.isnan(error):
                yield _Change(what, named, real, first, second, error, base, good)
