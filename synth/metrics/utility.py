"""Whether a model trained on synthetic rows does real work: train on synthetic, test on real (TSTR, Esteban et al. 2017).

Every interval covers both the draw of the test rows and the draw of the training rows: models trained on other rows of the
same population differ, and a gap within that difference is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from synth.metrics.contest import Contest, both, contest, lost, score, standard_error, training_variance
from synth.metrics.evidence import Evidence
from synth.metrics.intervals import normal
from synth.metrics.measurement import Interval
from synth.metrics.models import NAMES, Learner
from synth.metrics.registry import Reading, metric

NOTHING_LOST = "by definition: as many real rows in place of the synthetic ones lose nothing"
BOUNDS = (-1.0, 1.0)


@metric("utility.tstr", better="higher", bounds=BOUNDS, cost=1.8)
def tstr(evidence: Evidence) -> Iterator[Reading]:
    """How well boosted trees trained on synthetic rows predict real holdout rows; the reference trained on real rows.

    Area under the ROC curve for two classes, its mean over classes for more, R² for a number (cut at −1).
    """
    play = contest(evidence)
    yield Reading(
        _reached(play, play.synthetic),
        _reached(play, play.real),
        detail={"metric": play.metric, "training_rows": play.rows},
    )


@metric("utility.gap", better="lower", bounds=BOUNDS)
def gap(evidence: Evidence) -> Iterator[Reading]:
    """What is lost by training boosted trees on synthetic instead of real rows, judged on the same holdout rows."""
    yield _gap(evidence, "boosted")


@metric("utility.gap_linear", better="lower", bounds=BOUNDS, cost=0.4)
def gap_linear(evidence: Evidence) -> Iterator[Reading]:
    """What is lost by training a linear model on synthetic instead of real rows, judged on the same holdout rows.

    Logistic regression for classes, ridge regression for a number, on standardised numbers and one-hot categories.
    """
    yield _gap(evidence, "linear")


@metric("utility.gap_forest", better="lower", bounds=BOUNDS, cost=1.0)
def gap_forest(evidence: Evidence) -> Iterator[Reading]:
    """What is lost by training a forest on synthetic instead of real rows, judged on the same holdout rows."""
    yield _gap(evidence, "forest")


def _gap(evidence: Evidence, learner: Learner) -> Reading:
    play = contest(evidence, learner)
    value, error = lost(play)
    detail = {
        "metric": play.metric,
        "reference": NOTHING_LOST,
        "model": NAMES[learner],
        "training_rows": play.rows,
        "tstr": _reached(play, play.synthetic).to_dict(),
        "trtr": _reached(play, play.real).to_dict(),
        "error_of_training": math.sqrt(2 * training_variance(play)),
    }
    return Reading(normal(value, error, len(play.truth), BOUNDS), Interval(0.0, 0.0, 0.0, len(play.truth)), detail=detail)


def _reached(play: Contest, told: np.ndarray) -> Interval:
    value, influence = score(play, told)
    error = both(standard_error(influence) ** 2, training_variance(play), play.freedom)
    return normal(max(-1.0, value), error, len(play.truth), BOUNDS)
