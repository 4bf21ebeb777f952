"""Whether rows of a rare class that were made help a model on real rows, beside the remedies that cost nothing.

The synthetic rows were made from the training rows alone, so the holdout is an outer test fold that no remedy has seen, at its
natural prevalence; thresholds are tuned by cross-validation inside the training rows. Corrections help weak learners more
than boosted trees (Elor & Averbuch-Elor 2022, arXiv 2201.08528) and tend to cost calibration (Carriero et al. 2024, arXiv
2404.19494): both kinds of models are asked, and "no benefit found" is an answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.metrics.contest import both, question
from synth.metrics.evidence import Compared, Evidence
from synth.metrics.intervals import LEVEL, normal
from synth.metrics.learners import features
from synth.metrics.measurement import Interval
from synth.metrics.models import NAMES, Learner
from synth.metrics.rare_class import DRAWS, PRECISION, STEEPEST, Figure, figures
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric
from synth.metrics.remedies import NOTHING, OVERSAMPLING, THRESHOLD, Case, Told, fit, training, try_all

RARE = 0.2  # share of the training rows below which a class is rare
LEAST_RARE = 25  # training, test and synthetic rows of the rare class that are needed
CAP = 20_000  # training rows, at their natural prevalence
TESTED = 50_000  # holdout rows
MARGIN = 1.5  # by which the rows of a class must be expected to exceed what is needed, where they are drawn
FREEDOM = 2  # of the variance between training runs: two remedies, each on two halves
LEARNERS: tuple[Learner, ...] = ("boosted", "linear")
SYNTHETIC = "synthetic rows"
BOUNDS = (-1.0, 1.0)
COPIES = "copies of real rows: random oversampling by equally many"


@dataclass(frozen=True, eq=False)
class Trials:
    """All remedies with one kind of model: the figures of each on the test rows, and how much differences vary with training.

    spread: for each figure, the standard deviation of a remedy's difference to nothing between training runs.
    """

    learner: Learner
    told: Mapping[str, Told]
    figures: Mapping[str, Mapping[str, Figure]]  # by remedy, then by figure
    spread: Mapping[str, float]
    tested: int

    def difference(self, figure: str, remedy: str, base: str = NOTHING, level: float = LEVEL) -> Interval:
        """A remedy's figure minus another remedy's, with the paired interval over test and training rows."""
        gap = self.figures[remedy][figure].minus(self.figures[base][figure])
        pair = {remedy, base}
        same = pair <= {NOTHING, THRESHOLD} and figure != "balanced_accuracy"  # one model: nothing differs
        error = 0.0 if same or remedy == base else both(gap.error**2, self.spread[figure] ** 2, FREEDOM)
        bounds = (-np.inf, np.inf) if "slope" in figure else BOUNDS
        return normal(gap.value, error, self.tested, bounds, level)

    def distance(self, remedy: str, base: str = NOTHING) -> Interval:
        """How much further than another remedy's the calibration slope is from 1."""
        name = "calibration_slope"
        mine, other = self.figures[remedy][name], self.figures[base][name]
        parts = np.sign(mine.value - 1) * mine.parts - np.sign(other.value - 1) * other.parts
        value = abs(mine.value - 1) - abs(other.value - 1)
        error = both(Figure(value, parts).error ** 2, self.spread[name] ** 2, FREEDOM)
        return normal(value, error, self.tested, (-10.0, 10.0))

    def to_dict(self) -> dict[str, Any]:
        """The table of remedies as JSON values: for each its figures and their differences to nothing."""
        return {
            remedy: {
                "added": self.told[remedy].added,
                "threshold": self.told[remedy].threshold,
                "figures": {name: figure.value for name, figure in found.items()},
                "differences": {name: self.difference(name, remedy).to_dict() for name in found},
            }
            for remedy, found in self.figures.items()
        }


@metric("balance.average_precision", better="higher", bounds=BOUNDS, cost=8.0)
def average_precision(evidence: Evidence) -> Iterator[Reading]:
    """What the synthetic rows of the rare class, added to the training rows, do to average precision: added minus not.

    The reference adds equally many copies of real training rows of the class instead.
    """
    yield _reading(evidence, "average_precision")


@metric("balance.recall_at_precision", better="higher", bounds=BOUNDS)
def recall_at_precision(evidence: Evidence) -> Iterator[Reading]:
    """What the synthetic rows of the rare class do to the share of it that is found at 90% precision: added minus not."""
    yield _reading(evidence, "recall_at_precision")


@metric("balance.balanced_accuracy", better="higher", bounds=BOUNDS)
def balanced_accuracy(evidence: Evidence) -> Iterator[Reading]:
    """Balanced accuracy with the synthetic rows of the rare class added, minus that of a tuned threshold, which adds none."""
    yield _reading(evidence, "balanced_accuracy", THRESHOLD)


@metric("balance.brier", better="lower", bounds=BOUNDS)
def brier(evidence: Evidence) -> Iterator[Reading]:
    """What the synthetic rows of the rare class do to the Brier score, after prior correction: added minus not."""
    yield _reading(evidence, "brier_corrected")


@metric("balance.calibration", better="lower", bounds=(-10.0, 10.0))
def calibration(evidence: Evidence) -> Iterator[Reading]:
    """How much further from 1 the synthetic rows of the rare class take the calibration slope.

    Prior correction moves all log odds alike and leaves the slope as it is.
    """
    trials, detail = _trials(evidence)
    best = trials["boosted"]
    slopes = [best.figures[remedy]["calibration_slope"].value for remedy in (NOTHING, OVERSAMPLING, SYNTHETIC)]
    if max(abs(slope) for slope in slopes) >= STEEPEST:
        raise SkipMetricError("the models tell the test rows of the class apart without a mistake: there is no slope")
    yield Reading(best.distance(SYNTHETIC), best.distance(OVERSAMPLING), detail={"reference": COPIES} | detail)


def _reading(evidence: Evidence, figure: str, base: str = NOTHING) -> Reading:
    trials, detail = _trials(evidence)
    best = trials["boosted"]
    other = {
        NAMES[learner]: trial.difference(figure, SYNTHETIC, base).to_dict()
        for learner, trial in trials.items()
        if trial is not best
    }
    return Reading(
        best.difference(figure, SYNTHETIC, base),
        best.difference(figure, OVERSAMPLING, base),
        detail={"reference": COPIES, "against": base, "with_other_models": other} | detail,
    )


def _trials(evidence: Evidence) -> tuple[dict[Learner, Trials], dict[str, Any]]:
    """The trials of each kind of model, and what all metrics of the family tell in their detail."""
    return evidence.once("balance", lambda: _compare(evidence))


def _compare(evidence: Evidence) -> tuple[dict[Learner, Trials], dict[str, Any]]:
    target, _ = question(evidence)
    code = rare_class(target, CAP, LEAST_RARE)
    case = build_case(evidence, code, {SYNTHETIC: slice(None)}, CAP)
    trials = {learner: judge(case, learner, evidence.seed, evidence.rng(f"balance.{learner}")) for learner in LEARNERS}
    detail = {
        "class": target.label(code),
        "share": case.share,
        "rule": f"the rarest class with {LEAST_RARE} rows, where it has under {RARE:.0%} of the training rows",
        "training_rows": len(case.y),
        "rare_rows": int(case.y.sum()),
        "added": case.adding,
        "precision": PRECISION,
        "remedies": {NAMES[learner]: trial.to_dict() for learner, trial in trials.items()},
        "sentence": " ".join(sentence(trial, target.label(code), SYNTHETIC) for trial in trials.values()),
    }
    return trials, detail


def rare_class(target: Compared, cap: int, tested: int) -> int:
    """The code of the rarest class that is left with enough rows, of `cap` training rows and of the test rows.

    tested: how many test rows of it are needed. Raises NothingThereError where no class is rare, SkipMetricError where none
    that is has enough rows.
    """
    if not target.is_category:
        raise NothingThereError(f"the target {target.name!r} is a number and has no classes")
    tally, held = (
        np.bincount(codes[codes >= 0], minlength=target.levels or 0).astype(np.float64)
        for codes in (target.train, target.holdout)
    )
    rare = (tally > 0) & (tally < RARE * tally.sum())
    if (tally > 0).sum() < 2 or not rare.any():
        raise NothingThereError(
            f"no class of the target {target.name!r} is rare: none has under {RARE:.0%} of the training rows"
        )
    spared = MARGIN if tally.sum() > cap else 1.0  # a draw of the rows may have somewhat fewer
    enough = rare & (tally * min(1.0, cap / tally.sum()) >= LEAST_RARE * spared) & (held >= tested)
    if not enough.any():
        raise SkipMetricError(f"no rare class of the target {target.name!r} has {LEAST_RARE} training and {tested} test rows")
    return int(np.where(enough, tally, np.inf).argmin())


def build_case(evidence: Evidence, code: int, made: Mapping[str, slice], cap: int, tested: int = LEAST_RARE) -> Case:
    """The class against the others; `made` names parts of the synthetic table, whose rows of the class are added.

    Made rows are added until the class is as frequent as the others together, or there are no more. Raises SkipMetricError
    where too few training, test or made rows have the class.
    """
    target, inputs = question(evidence)
    rng = evidence.rng("balance.rows")

    def known(side: Any, most: int) -> np.ndarray:
        rows = np.flatnonzero(~target.null(side))
        return rows if len(rows) <= most else np.sort(rng.permutation(rows)[:most])

    train, test = known("train", cap), known("holdout", TESTED)
    y, truth = (target.train[train] == code).astype(np.int64), (target.holdout[test] == code).astype(np.int64)
    room = int(len(y) - 2 * y.sum())
    rows = np.arange(evidence.rows("synthetic"))
    added = {name: rows[part][target.synthetic[part] == code] for name, part in made.items()}
    counts = {"training rows": int(y.sum()), "test rows": int(truth.sum())} | {
        name: len(found) for name, found in added.items()
    }
    for name, count in counts.items():
        needed = tested if name == "test rows" else LEAST_RARE
        if count < needed:
            raise SkipMetricError(f"the class {target.label(code)} has too few rows: {count} {name}, {needed} are needed")
    if len(truth) - truth.sum() < LEAST_RARE or room <= 0:
        raise SkipMetricError(f"the class {target.label(code)} is not rare among the rows that are compared")
    return Case(
        inputs,
        features(inputs, "train", train),
        y,
        features(inputs, "holdout", test),
        truth,
        {name: features(inputs, "synthetic", np.sort(rng.permutation(found)[:room])) for name, found in added.items()},
    )


def judge(case: Case, learner: Learner, seed: int, rng: np.random.Generator, precision: float = PRECISION) -> Trials:
    """Try all remedies with one kind of model; halves of the training rows show how much their differences vary."""
    told = try_all(case, learner, seed)
    draws = rng.multinomial(len(case.truth), np.full(len(case.truth), 1 / len(case.truth)), DRAWS).astype(np.float32)
    found = {name: figures(case.truth, said, case.share, draws, precision) for name, said in told.items()}
    compared = frozenset({NOTHING, OVERSAMPLING, *case.made})
    halves = []
    for half in case.halves(rng):
        said = {name: fit(half, learner, seed, added, weight) for name, added, weight in training(half, rng, compared)}
        halves.append({name: figures(case.truth, s, half.share, draws, precision) for name, s in said.items()})
    names = found[NOTHING]
    spread = {name: math.sqrt(_training_variance(halves, name)) for name in names}
    return Trials(learner, told, found, spread, len(case.truth))


def _training_variance(halves: list[dict[str, dict[str, Figure]]], figure: str) -> float:
    """Of a remedy's difference to nothing between training runs on all rows, from two on half of them.

    What the test rows add to the difference of the halves is known and taken off; all remedies that were tried are pooled.
    """
    found = []
    for remedy in halves[0]:
        if remedy != NOTHING:
            first, second = (half[remedy][figure].minus(half[NOTHING][figure]) for half in halves)
            apart = first.minus(second)
            found.append(apart.value**2 - apart.error**2)
    return max(0.0, float(np.mean(found))) / 2 / 2


def sentence(trials: Trials, label: str, remedy: str) -> str:
    """The answer for one kind of model, in a sentence or two."""
    figure = "average_precision"
    mine = trials.difference(figure, remedy)
    others = [name for name in trials.figures if name not in (NOTHING, remedy)]
    # the best of several others is picked by its figure: its interval is corrected for that
    rivals = {name: trials.difference(figure, name, level=1 - (1 - LEVEL) / len(others)) for name in others}
    best = max(rivals, key=lambda name: rivals[name].value)
    model = NAMES[trials.learner][:1].upper() + NAMES[trials.learner][1:]
    if mine.low > 0:
        beyond = trials.difference(figure, remedy, best)
        also = (
            f", and by {_said(beyond)} over {best}"
            if beyond.low > 0
            else f"; {best} does about as well" * (rivals[best].low > 0)
        )
        return f"{model}: {remedy} of the class {label} raise average precision by {_said(mine)}{also}."
    verdict = f"lower average precision by {_said(mine)}" if mine.high < 0 else f"show no benefit ({_said(mine)})"
    helped = f"{best} raises it by {_said(rivals[best])}" if rivals[best].low > 0 else "nor does any other remedy"
    joined = "" if mine.high < 0 and helped.startswith("nor") else f"; {helped}"
    return f"{model}: {remedy} of the class {label} {verdict} in average precision{joined}.".replace(
        f"precision by {_said(mine)} in average precision", f"precision by {_said(mine)}"
    )


def _said(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]".replace("-", "−")
