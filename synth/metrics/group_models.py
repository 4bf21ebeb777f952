"""Whether a model trained on synthetic rows treats groups of real rows as one trained on real rows does.

Each figure is taken of both models on the same real test rows. What they differ by has two sources of chance: the test rows,
and the training rows, of which another sample gives another model. The first is measured by the rows' influences, the second
by models trained on disjoint parts of the real rows. Without it every third interval misses a large group in which nothing
is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from synth.metrics.contest import Contest, contest, score
from synth.metrics.evidence import Evidence, Side
from synth.metrics.groups import LEAST, Group, divisions, judged, per_person, shuffled, subjects, too_few
from synth.metrics.intervals import LEVEL, normal, z_of
from synth.metrics.learners import Judge, features
from synth.metrics.measurement import Interval
from synth.metrics.outcomes import Favoured, favoured
from synth.metrics.registry import Reading, metric
from synth.metrics.utility import NOTHING_LOST

PARTS = 4  # disjoint parts of the real rows that a model each is trained on: 3 degrees of freedom for each group
PART = 6_000  # rows of a part at most
TESTED = 20_000  # test rows that groups are judged on at most, drawn from all
SHRINKS = 0.75  # the training noise's variance falls with rows^this: between .8 and 1.2 on Adult; less is the safe side
SHARED = 4  # degrees of freedom that all groups' mean gets beside a group's own 3, chosen for even coverage at all sizes
TINY = 1e-12  # keeps a variance above 0
SAME_MODEL = "by definition: a model trained on as many fresh real rows differs by chance alone"


@dataclass(frozen=True, eq=False)
class Told:
    """What one model says of the test rows, shape (t,): whether it predicts the favoured outcome, and how likely that is.

    Of a number: whether it predicts more than the training rows' median, and the predicted number in standard deviations.
    """

    selected: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of some test rows: its value, each row's influence on it (they sum to 0), and the rows that it is a rate of."""

    value: float
    influence: np.ndarray
    base: int
    counts: bool = True  # whether rows are counted, so that figures that agree on few of them may do so by chance
    who: np.ndarray | None = None  # whom each row is about, where several may be about one person


Measure = Callable[[np.ndarray, Told], Figure]


def selection_rate(truth: np.ndarray, told: Told) -> Figure:
    """Share of the rows that are predicted the favoured outcome."""
    return _rate(told.selected, np.ones(len(truth), dtype=bool))


def true_positive_rate(truth: np.ndarray, told: Told) -> Figure:
    """Among the rows that have the outcome, the share that is predicted it."""
    return _rate(told.selected, truth)


def false_positive_rate(truth: np.ndarray, told: Told) -> Figure:
    """Among the rows that have another outcome, the share that is predicted it."""
    return _rate(told.selected, ~truth)


def precision(truth: np.ndarray, told: Told) -> Figure:
    """Among the rows that are predicted the outcome, the share that has it (positive predictive value)."""
    return _rate(truth, told.selected)


def accuracy(truth: np.ndarray, told: Told) -> Figure:
    """Share of the rows that are predicted what they are."""
    return _rate(told.selected == truth, np.ones(len(truth), dtype=bool))


def _rate(hits: np.ndarray, among: np.ndarray) -> Figure:
    base = int(among.sum())
    if base == 0:
        return Figure(math.nan, np.full(len(hits), math.nan), 0)
    value = float((hits & among).sum() / base)
    return Figure(value, np.where(among, hits - value, 0.0) * (len(hits) / base), base)


def calibration(truth: np.ndarray, told: Told) -> Figure:
    """Mean predicted probability less the observed share; of a number, both in standard deviations of the training rows'."""
    off = told.chance - truth
    value = float(off.mean()) if len(off) else math.nan
    return Figure(value, off - value, len(off), counts=False)


@dataclass(frozen=True, eq=False)
class Models:
    """The models that are compared, and those that show how much a model varies with its training rows."""

    play: Contest
    outcome: Favoured
    truth: np.ndarray  # boolean, shape (t,): which test rows have the favoured outcome
    who: np.ndarray | None  # whom each test row is about, where the schema says
    observed: np.ndarray  # the same as numbers, or the target in standard deviations
    synthetic: Told
    real: Told
    parts: tuple[Told, ...]
    part_says: tuple[np.ndarray, ...]  # as `Contest.real`, for the scores of `utility`
    spread: float  # of a number's training values, what its predictions are divided by; 1 for classes
    smaller: float  # the training noise's variance on all rows, as a share of that on a part

    def figure(self, measure: Measure, told: Told, rows: np.ndarray) -> Figure:
        truth = self.observed if measure is calibration else self.truth
        found = measure(truth[rows], Told(told.selected[rows], told.chance[rows]))
        return found if self.who is None else replace(found, who=self.who[rows])


def models(evidence: Evidence) -> Models:
    """Train the models, once for all metrics that need them. Raises as `utility.contest` and `favoured` do."""
    return evidence.once("group_models", lambda: _models(evidence))


def _models(evidence: Evidence) -> Models:
    divisions(evidence)  # without sensitive columns there is no group to train for
    play = _fewer(evidence, contest(evidence))
    outcome = favoured(play.target)
    spread = 1.0 if play.target.is_category else float(np.nanstd(play.target.train)) or 1.0
    usable = np.flatnonzero(~play.target.null("train"))
    size = min(PART, play.rows // PARTS)
    drawn = shuffled(evidence, "train", usable, evidence.rng("fairness.parts"))
    says = tuple(trained_on(evidence, play, np.sort(drawn[i * size : (i + 1) * size])) for i in range(PARTS))
    truth = outcome.hits(play.truth)
    told = [told_of(play, outcome, said, spread) for said in (play.synthetic, play.real, *says)]
    observed = truth.astype(np.float64) if play.target.is_category else play.truth / spread
    who = subjects(evidence, "holdout")
    who = None if who is None else who[play.test]
    return Models(
        play, outcome, truth, who, observed, told[0], told[1], tuple(told[2:]), says, spread, (size / play.rows) ** SHRINKS
    )


def _fewer(evidence: Evidence, play: Contest) -> Contest:
    """The same contest on TESTED test rows: every model is asked about each of them."""
    if len(play.test) <= TESTED:
        return play
    kept = np.sort(evidence.rng("fairness.tested").permutation(len(play.test))[:TESTED])
    return replace(play, test=play.test[kept], truth=play.truth[kept], synthetic=play.synthetic[kept], real=play.real[kept])


def told_by(fit: Evidence, at: Models) -> Told:
    """What a model trained on another fit's synthetic rows says of the same test rows."""
    target = fit.column(at.play.target.name)
    usable = np.flatnonzero(~target.null("synthetic"))
    drawn = np.sort(fit.rng("fairness.fits").permutation(usable)[: at.play.rows])
    return told_of(at.play, at.outcome, trained_on(fit, at.play, drawn, synthetic=True), at.spread)


def trained_on(evidence: Evidence, play: Contest, rows: np.ndarray, synthetic: bool = False) -> np.ndarray:
    """What a model trained on some rows says of the test rows, as `Contest.real`."""
    side: Side = "synthetic" if synthetic else "train"
    target = evidence.column(play.target.name)
    inputs = tuple(column for column in evidence.columns if column.name != target.name)
    X, y, T = features(inputs, side, rows), target.of(side)[rows], features(inputs, "holdout", play.test)
    if len(play.classes) == 0:
        return Judge.of_numbers(inputs, X, y, evidence.seed).numbers(T)
    y = np.where(np.isin(y, play.classes), y, -1)
    seen = np.unique(y)
    out = np.zeros((len(play.test), len(play.classes)))
    chances = Judge.of_classes(inputs, X, y, evidence.seed).chances(T) if len(seen) > 1 else np.ones((len(T), 1))
    for place, code in enumerate(play.classes):
        if code in seen:
            out[:, place] = chances[:, int(np.searchsorted(seen, code))]
    return out


def told_of(play: Contest, outcome: Favoured, said: np.ndarray, spread: float) -> Told:
    if outcome.code is None:
        return Told(said > outcome.above, said / spread)
    place = np.flatnonzero(play.classes == outcome.code)
    if len(place) == 0:  # too rare among the test rows to be judged: it is never predicted
        return Told(np.zeros(len(said), dtype=bool), np.zeros(len(said)))
    chance = said[:, place[0]]
    # the most probable class, as `predict` gives it: for two classes a probability above one half
    others = np.delete(said, place[0], axis=1).max(axis=1, initial=0.0)
    return Told(chance > np.maximum(others, 1 - said.sum(axis=1)), chance)


@dataclass(frozen=True, eq=False)
class Contrast:
    """One figure of one group under both models, with the two parts of what their difference varies by.

    sampled: variance by the test rows. trained: variance by the training rows, of the difference of two models.
    """

    group: Group
    synthetic: Figure
    real: Figure
    sampled: float
    trained: float

    @property
    def difference(self) -> float:
        return self.synthetic.value - self.real.value

    def variance(self, synthetic: float, real: float) -> float:
        """Of synthetic · figure − real · figure: (1, 1) is the difference, (1, 0) the model trained on synthetic rows alone."""
        if synthetic == real:
            return synthetic**2 * (self.sampled + self.trained)
        noise = self.trained * (synthetic**2 + real**2) / 2
        return _sampled(self.synthetic, self.real, (synthetic, real)) + noise


def contrasts(evidence: Evidence, measure: Measure) -> tuple[tuple[Group, str, Contrast | None], ...]:
    """A figure of every group under both models; or why it was not taken, with None."""
    return evidence.once(f"contrasts.{measure.__name__}", lambda: _contrasts(evidence, measure))


def _contrasts(evidence: Evidence, measure: Measure) -> tuple[tuple[Group, str, Contrast | None], ...]:
    at = models(evidence)
    found: list[tuple[Group, str, Pair | None]] = []
    for group in judged(evidence, at.play.target.name):
        rows = group.of("holdout")[at.play.test]
        fake, real, *parts = (at.figure(measure, told, rows) for told in (at.synthetic, at.real, *at.parts))
        why = group.insufficient or too_few(int(rows.sum()), "test rows") or too_few(min(fake.base, real.base), BASES[measure])
        found.append((group, why, None if why else _pair(fake, real, [part for part in parts if part.base >= LEAST])))
    return _with_training_noise(found, at.smaller)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two models' figures, and those of models trained on parts of the real rows: how they vary beside what the test rows
    explain (NaN where too few of them have the figure)."""

    synthetic: Figure
    real: Figure
    sampled: float
    part_sampled: float
    ratio: float


def _pair(fake: Figure, real: Figure, parts: list[Figure]) -> Pair:
    sampled = _sampled(fake, real)
    if len(parts) < 2:
        return Pair(fake, real, sampled, sampled, math.nan)
    pairs = [(a, b) for i, a in enumerate(parts) for b in parts[:i]]
    apart = float(np.mean([(a.value - b.value) ** 2 for a, b in pairs]))
    chance = float(np.mean([_sampled(a, b) for a, b in pairs]))
    return Pair(fake, real, sampled, chance, apart / chance)


def _sampled(first: Figure, second: Figure, weights: tuple[float, float] = (1.0, 1.0)) -> float:
    """The variance of a difference by its rows' influences. For what is counted, half a discordant row is added on either side
    (Agresti & Min 2005), since two models that agree on thirty rows need not agree on the next."""
    influence = weights[0] * first.influence - weights[1] * second.influence
    spread = per_person(influence, first.who)
    return spread + (1 / (min(first.base, second.base) + 2) ** 2 if first.counts else TINY)


def _with_training_noise(
    found: list[tuple[Group, str, Pair | None]], smaller: float
) -> tuple[tuple[Group, str, Contrast | None], ...]:
    """Each group's training noise: how many times more the models of parts differ in it than its test rows explain, drawn
    toward the mean of all groups, since three degrees of freedom tell little of one."""
    from scipy.special import stdtrit

    ratios = [pair.ratio for _, _, pair in found if pair is not None and not math.isnan(pair.ratio)]
    usual = float(np.mean(ratios)) if ratios else 1.0
    own = PARTS - 1
    wider = (float(stdtrit(own + SHARED, 0.5 + LEVEL / 2)) / z_of()) ** 2  # Student's t, for an interval by the normal
    out: list[tuple[Group, str, Contrast | None]] = []
    for group, why, pair in found:
        if pair is None:
            out.append((group, why, None))
            continue
        ratio = usual if math.isnan(pair.ratio) else (own * pair.ratio + SHARED * usual) / (own + SHARED)
        noise = max(ratio - 1, 0.0) * pair.part_sampled * smaller * wider
        out.append((group, "", Contrast(group, pair.synthetic, pair.real, pair.sampled, noise)))
    return tuple(out)


def _gaps(evidence: Evidence, measure: Measure, bounds: tuple[float, float] = (-1.0, 1.0)) -> Iterator[Reading]:
    outcome = models(evidence).outcome.label
    for group, why, at in contrasts(evidence, measure):
        if at is None:
            yield Reading(group=group.name, skipped=why)
            continue
        value = min(bounds[1], max(bounds[0], at.difference))
        found = normal(value, math.sqrt(at.variance(1, 1)), at.real.base, bounds)
        detail = {
            "outcome": outcome,
            "synthetic": at.synthetic.value,
            "real": at.real.value,
            "training_share": at.trained / (at.trained + at.sampled),
            "reference": SAME_MODEL,
        }
        yield Reading(found, Interval(0.0, 0.0, 0.0, found.n), group=group.name, detail=detail)


BASES: dict[Measure, str] = {
    selection_rate: "test rows",
    true_positive_rate: "test rows with the outcome",
    false_positive_rate: "test rows without the outcome",
    precision: "test rows that both models predict the outcome of",
    accuracy: "test rows",
    calibration: "test rows",
}


@metric("fairness.selection_rate_gap", better="nearer", bounds=(-1.0, 1.0))
def selection_rate_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: how much oftener a model trained on synthetic, not real rows predicts the outcome.

    On the same real test rows; the outcome is that of `outcomes.favoured`, predicted where it is the most probable class. The
    interval holds the chance in the test rows and in the training rows.
    """
    yield from _gaps(evidence, selection_rate)


@metric("fairness.tpr_gap", better="nearer", bounds=(-1.0, 1.0))
def tpr_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: true positive rate of a model trained on synthetic rows less that of one trained on real."""
    yield from _gaps(evidence, true_positive_rate)


@metric("fairness.fpr_gap", better="nearer", bounds=(-1.0, 1.0))
def fpr_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: false positive rate of a model trained on synthetic rows less that of one trained on real."""
    yield from _gaps(evidence, false_positive_rate)


@metric("fairness.ppv_gap", better="nearer", bounds=(-1.0, 1.0))
def ppv_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: the precision of a model trained on synthetic rows less that of one trained on real."""
    yield from _gaps(evidence, precision)


@metric("fairness.accuracy_gap", better="nearer", bounds=(-1.0, 1.0))
def accuracy_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: the accuracy of a model trained on synthetic rows less that of one trained on real."""
    yield from _gaps(evidence, accuracy)


@metric("fairness.calibration_gap", better="nearer", bounds=(-1.0, 1.0))
def calibration_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: how much more a model overstates the outcome for training on synthetic rows.

    Mean predicted probability less observed share; of a number, in standard deviations of the training rows, cut at ±1.
    """
    yield from _gaps(evidence, calibration)


@metric("fairness.tstr_gap", better="lower", bounds=(-1.0, 1.0), cost=1.2)
def tstr_gap(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive group: what its holdout rows lose when the model is trained on synthetic instead of real rows.

    Area under the ROC curve for two classes, its mean over classes for more, R² for a number. The interval holds the chance in
    the test rows and in the training rows.
    """
    play = models(evidence).play
    for group, why, at in evidence.once("contrasts.score", lambda: _scores(evidence)):
        if at is None:
            yield Reading(group=group.name, skipped=why)
            continue
        lost = max(-1.0, min(1.0, -at.difference))
        detail = {
            "metric": play.metric,
            "synthetic": at.synthetic.value,
            "real": at.real.value,
            "training_share": at.trained / (at.trained + at.sampled) if at.trained else 0.0,
            "reference": NOTHING_LOST,
        }
        found = normal(lost, math.sqrt(at.sampled + at.trained), at.real.base, (-1.0, 1.0))
        yield Reading(found, Interval(0.0, 0.0, 0.0, found.n), group=group.name, detail=detail)


def _scores(evidence: Evidence) -> tuple[tuple[Group, str, Contrast | None], ...]:
    at = models(evidence)
    found: list[tuple[Group, str, Pair | None]] = []
    for group in judged(evidence, at.play.target.name):
        rows = group.of("holdout")[at.play.test]
        why = group.insufficient or too_few(int(rows.sum()), "test rows")
        if why:
            found.append((group, why, None))
            continue
        fake, real, *parts = (_score(at, said, rows) for said in (at.play.synthetic, at.play.real, *at.part_says))
        if math.isnan(fake.value):
            why = "insufficient: the group's test rows hold too few rows of a second class"
        found.append((group, why, None if why else _pair(fake, real, parts)))
    return _with_training_noise(found, at.smaller)


def _score(at: Models, said: np.ndarray, rows: np.ndarray) -> Figure:
    value, influence = score(at.play, said, rows)
    return Figure(value, influence, int(rows.sum()), who=None if at.who is None else at.who[rows])
