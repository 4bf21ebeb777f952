"""Whether the chances that a model trained on synthetic rows gives can be believed on real rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from synth.metrics.contest import Contest, both, contest, standard_error
from synth.metrics.evidence import Evidence
from synth.metrics.intervals import jackknife_error, normal
from synth.metrics.measurement import Interval
from synth.metrics.rare_class import calibration_slope
from synth.metrics.registry import NothingThereError, Reading, metric
from synth.metrics.remedies import SURE
from synth.metrics.utility import NOTHING_LOST

BINS = 10  # with equally many test rows in each
GROUPS = 20  # of test rows, for the jackknife


@metric("utility.calibration", better="lower", bounds=(-1.0, 1.0))
def calibration(evidence: Evidence) -> Iterator[Reading]:
    """How much further off on average the chances of boosted trees are when trained on synthetic instead of real rows.

    Expected calibration error in bins of equally many test rows, less what sampling alone would give, the mean over classes
    for more than two. The interval is a jackknife over groups of test rows, paired, with the spread between training runs.
    """
    play = contest(evidence)
    if len(play.classes) == 0:
        raise NothingThereError(f"the target {play.target.name!r} is a number and has no chances")
    fake, real = _errors(play, play.synthetic), _errors(play, play.real)
    test = jackknife_error(fake[1:] - real[1:])
    error = both(test**2, 2 * _training_variance(play), play.freedom)
    n, squared = len(play.truth), _brier(play, play.synthetic) - _brier(play, play.real)
    facts = {"synthetic": _facts(play, play.synthetic, fake), "real": _facts(play, play.real, real)}
    facts["brier_gap_on_these_models"] = normal(float(squared.mean()), standard_error(squared), n, (-2.0, 2.0)).to_dict()
    yield Reading(
        normal(float(fake[0] - real[0]), error, n, (-1.0, 1.0)),
        Interval(0.0, 0.0, 0.0, n),
        detail={"reference": NOTHING_LOST} | facts,
    )


def _errors(play: Contest, told: np.ndarray) -> np.ndarray:
    """The calibration error of all test rows, then without each group of them, averaged over classes: shape (1 + groups,)."""
    wanted = play.classes[1:] if play.is_binary else play.classes
    found = []
    for code in wanted:
        place = int(np.flatnonzero(play.classes == code)[0])
        found.append(expected_error(told[:, place], play.truth == code))
    return np.asarray(np.mean(found, axis=0))


def expected_error(chances: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """Mean of |share of hits − mean chance| over bins of equally many rows, less what sampling gives; without each group too.

    A bin's difference d has the sampling error s. In its place d²/√(d² + s²) is taken: |d| where that is large, and little
    where it is small, without the kink at 0 that no jackknife can follow.
    """
    order = np.argsort(chances, kind="stable")
    bins = np.empty(len(chances), dtype=np.int64)
    bins[order] = np.arange(len(chances)) * BINS // len(chances)
    groups = np.arange(len(chances)) % GROUPS
    cell = groups * BINS + bins
    many, hits, told = (
        np.bincount(cell, weights=weights, minlength=GROUPS * BINS).reshape(GROUPS, BINS) for weights in (None, hit, chances)
    )
    many, hits, told = (np.vstack([table.sum(axis=0), table.sum(axis=0) - table]) for table in (many, hits, told))
    many = np.maximum(many, 1)
    rate = (hits + 1) / (many + 2)
    apart, noise = (hits - told) / many, rate * (1 - rate) / many
    return np.asarray((many * apart**2 / np.sqrt(apart**2 + noise)).sum(axis=1) / many.sum(axis=1))


def _training_variance(play: Contest) -> float:
    """As `between_parts`, with the jackknife for the test rows' share in how the parts differ."""
    found = []
    for parts in play.parts:
        errors = np.array([_errors(play, told) for told in parts])
        noise = np.mean([jackknife_error(e[1:] - errors[:, 1:].mean(axis=0)) ** 2 for e in errors])
        count = len(parts)
        found.append((float(np.var(errors[:, 0], ddof=1)) - float(noise) * count / (count - 1)) / count)
    return max(0.0, float(np.mean(found))) if found else 0.0


def _brier(play: Contest, told: np.ndarray) -> np.ndarray:
    """Each test row's squared error over all classes: shape (t,)."""
    return np.asarray(((told - (play.truth[:, None] == play.classes)) ** 2).sum(axis=1))


def _facts(play: Contest, told: np.ndarray, errors: np.ndarray) -> dict[str, Any]:
    facts = {"error": float(errors[0]), "brier": float(_brier(play, told).mean())}
    if play.is_binary:
        chances, hit = np.clip(told[:, 1], SURE, 1 - SURE), (play.truth == play.classes[1]).astype(np.float64)
        facts["slope"] = calibration_slope(hit, chances).value
        facts["shift"] = float((chances - hit).mean())
    return facts
