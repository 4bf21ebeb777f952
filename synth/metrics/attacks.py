"""The membership attacks: each gives every member and every control a score, the higher the likelier it was trained on.

The attacker knows the synthetic rows and some real rows that were never trained on (his reference), and asks of a row whether
the synthetic ones speak for it more than the reference does. None of them learns from who is a member: with fresh real rows as
synthetic, members and controls are exchangeable, and every score is worth a coin.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.errors import InputError
from synth.metrics.combinations import BINS, prints, times
from synth.metrics.distance import neighbours, positions
from synth.metrics.evidence import Evidence
from synth.metrics.learners import Judge, draw, features
from synth.metrics.membership import Attack, trial
from synth.metrics.registry import NothingThereError, SkipMetricError

SEARCHED = 40_000  # synthetic rows among which neighbours and agreements are looked for
TRAINED = 16_000  # synthetic rows that the density ratio is learned from
TINY = 1e-9  # keeps the ratio of two distances finite where a row was copied
RADII = (1, 2, 4)  # the reference row, in order of distance, at which the ball ends in which synthetic rows are counted
COUNTED = 32  # synthetic rows up to which a ball is counted
LIKE = 20  # groups of strangers that are about equally lonely
SUBSETS = 150  # sets of columns in which rows may agree
NARROWEST = 3  # the part of all columns that such a set has at least: a third, so that rare values alone make no agreement


@dataclass(frozen=True, eq=False)
class Distances:
    """From each attacked row to the nearest rows, the nearest first: lists have an entry for each half as the controls.

    Of synthetic rows: `members`, shape (members, COUNTED), and `controls`. Of the reference: `members_own`, `controls_own`, of
    shape (rows, max(RADII)), and `strangers_own`, of reference rows to the rest of the reference; they are the other half's
    controls.
    """

    members: np.ndarray
    controls: tuple[np.ndarray, ...]
    members_own: tuple[np.ndarray, ...]
    controls_own: tuple[np.ndarray, ...]
    strangers_own: tuple[np.ndarray, ...]


def distances(evidence: Evidence) -> Distances:
    """What three of the attacks go by."""
    return evidence.once("membership_distances", lambda: _distances(evidence))


def _distances(evidence: Evidence) -> Distances:
    who, place = trial(evidence), positions(evidence)
    fake = place["synthetic"][draw(evidence, "synthetic", SEARCHED, "membership_knn")]
    members, halves = place["train"][who.members], [place["holdout"][half] for half in who.controls]
    own = [place["holdout"][rows] for rows in who.reference]
    near, far = min(COUNTED, len(fake)), max(RADII)
    return Distances(
        neighbours(members, fake, near)[0],
        tuple(neighbours(half, fake, near)[0] for half in halves),
        tuple(neighbours(members, rows, far)[0] for rows in own),
        tuple(neighbours(half, rows, far)[0] for half, rows in zip(halves, own)),
        # the first one is the row itself
        tuple(neighbours(half, rows, far + 1)[0][:, 1:] for half, rows in zip(halves[::-1], own)),
    )


def knn(evidence: Evidence) -> Attack:
    """The distance to the attacker's own nearest row over that to the nearest synthetic row."""
    return evidence.once("membership_knn", lambda: _by_distance(evidence, "knn", _ratio))


def _ratio(fake: np.ndarray, own: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(own[:, 0] + TINY) - np.log(fake[:, 0] + TINY))


def local(evidence: Evidence) -> Attack:
    """How many synthetic rows lie as near as the attacker's own first, second and fourth nearest row do."""
    return evidence.once("membership_local", lambda: _by_distance(evidence, "local", _counts))


def _counts(fake: np.ndarray, own: np.ndarray) -> np.ndarray:
    inside = [(fake <= own[:, k - 1 : k]).sum(axis=1) for k in RADII]
    return np.asarray(np.log(np.array(inside) + 0.5).mean(axis=0))


def _by_distance(evidence: Evidence, name: str, score: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Attack:
    far = distances(evidence)
    members = [score(far.members, own) for own in far.members_own]
    controls = [score(fake, own) for fake, own in zip(far.controls, far.controls_own)]
    return Attack(name, (members[0], members[1]), (controls[0], controls[1]))


def distance(evidence: Evidence) -> Attack:
    """How much nearer the nearest synthetic row lies than it does to strangers who are equally lonely, in their deviations.

    Distance to the closest record as an attack, with each row's own difficulty taken off (Watson et al. 2022).
    """
    return evidence.once("membership_distance", lambda: _distance(evidence))


def _distance(evidence: Evidence) -> Attack:
    far, members, controls = distances(evidence), [], []
    for half in (0, 1):
        usual = _Usual(far.strangers_own[half][:, 0], far.controls[1 - half][:, 0])
        members.append(usual.nearer(far.members_own[half][:, 0], far.members[:, 0]))
        controls.append(usual.nearer(far.controls_own[half][:, 0], far.controls[half][:, 0]))
    return Attack("distance", (members[0], members[1]), (controls[0], controls[1]))


class _Usual:
    """Mean and deviation of strangers' distances to the synthetic rows, by their distance to each other."""

    def __init__(self, own: np.ndarray, fake: np.ndarray) -> None:
        groups = np.array_split(np.argsort(own, kind="stable"), min(LIKE, max(1, len(own) // 10)))
        self._own = np.array([own[group].mean() for group in groups])
        self._mean = np.array([fake[group].mean() for group in groups])
        self._deviation = np.maximum(np.array([fake[group].std() for group in groups]), TINY)

    def nearer(self, own: np.ndarray, fake: np.ndarray) -> np.ndarray:
        expected, deviation = (np.interp(own, self._own, part) for part in (self._mean, self._deviation))
        return np.asarray((expected - fake) / deviation)


def domias(evidence: Evidence) -> Attack:
    """How much denser the synthetic rows lie than the attacker's own (DOMIAS, van Breugel et al. 2023), by boosted trees."""
    return evidence.once("membership_domias", lambda: _domias(evidence))


def _domias(evidence: Evidence) -> Attack:
    who, columns = trial(evidence), evidence.columns
    fake = features(columns, "synthetic", draw(evidence, "synthetic", TRAINED, "membership_domias"))
    members, controls = [], []
    for half, reference in zip(who.controls, who.reference):
        own = features(columns, "holdout", reference)
        y = np.repeat([1, 0], [len(fake), len(own)])
        # the log-odds of synthetic against reference are the log of the ratio of their densities, up to a constant
        judge = Judge.of_classes(columns, np.vstack([fake, own]), y, evidence.seed)
        members.append(judge.log_odds(features(columns, "train", who.members)))
        controls.append(judge.log_odds(features(columns, "holdout", half)))
    return Attack("domias", (members[0], members[1]), (controls[0], controls[1]))


def subsets(evidence: Evidence) -> Attack:
    """In how many sets of columns the row agrees with a synthetic row though it agrees with none of the attacker's own.

    A generator that copies a row piece by piece leaves no whole row that is near; it leaves the pieces. In every third set
    numbers agree where they fall into the same fiftieth of the training rows. Sets of columns in which many strangers agree
    with synthetic rows alone count less: each is set off by the strangers' mean and deviation.
    """
    return evidence.once("membership_subsets", lambda: _subsets(evidence))


def _subsets(evidence: Evidence) -> Attack:
    who, width = trial(evidence), len(evidence.columns)
    fake = draw(evidence, "synthetic", SEARCHED, "membership_subsets")
    rng = evidence.rng("membership_subsets.columns")
    members = [np.zeros(len(who.members)) for _ in range(2)]
    controls = [np.zeros(len(half)) for half in who.controls]
    for bins, share in ((None, 2 / 3), (BINS, 1 / 3)):
        seen = {
            "members": prints(evidence, "train", who.members, bins),
            "fake": prints(evidence, "synthetic", fake, bins),
            "first": prints(evidence, "holdout", who.reference[1], bins),
            "second": prints(evidence, "holdout", who.reference[0], bins),
        }
        attacked = [np.searchsorted(who.reference[1 - half], who.controls[half]) for half in range(2)]
        for _ in range(round(SUBSETS * share)):
            columns = rng.permutation(width)[: rng.integers(max(1, width // NARROWEST), width + 1)]
            sums = {name: _sum(part, columns) for name, part in seen.items()}
            known = {name: times(sums[name], sums["fake"]) > 0 for name in ("members", "first", "second")}
            halves = ("first", "second")
            for half, (name, own) in enumerate(zip(halves, halves[::-1])):
                strangers = known[own] & (times(sums[own], sums[own]) == 1)
                weight = 1 / (strangers.std() + 0.02)
                members[half] += weight * (known["members"] & (times(sums["members"], sums[own]) == 0))
                alone = known[name] & (times(sums[name], sums[own]) == 0)
                controls[half] += weight * alone[attacked[half]]
    return Attack("subsets", (members[0], members[1]), (controls[0], controls[1]))


def _sum(part: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.asarray(part[columns].sum(axis=0, dtype=np.uint64))


def likelihood(evidence: Evidence) -> Attack:
    """How much likelier the generator finds a row than strangers like it: its log-likelihood beyond what trees expect.

    What a stranger with these values would score is learned from the attacker's own rows (Bertran et al. 2023, there by
    quantile regression). Raises NothingThereError where no generator is at hand or it does not know how likely a row is.
    """
    return evidence.once("membership_likelihood", lambda: _likelihood(evidence))


def _likelihood(evidence: Evidence) -> Attack:
    model = evidence.model
    if model is None:
        raise NothingThereError("the generator behind the rows is not at hand; its likelihood cannot be asked")
    if not callable(getattr(model, "score", None)) or not getattr(model, "has_score", True):
        raise NothingThereError(f"{type(model).__name__} does not know how likely a row is")
    who = trial(evidence)
    known, strange = (_scores(model, table) for table in (evidence.train, evidence.holdout))
    columns, members, controls = evidence.columns, [], []
    for half, reference in zip(who.controls, who.reference):
        judge = Judge.of_numbers(columns, features(columns, "holdout", reference), strange[reference], evidence.seed)
        members.append(known[who.members] - judge.numbers(features(columns, "train", who.members)))
        controls.append(strange[half] - judge.numbers(features(columns, "holdout", half)))
    return Attack("likelihood", (members[0], members[1]), (controls[0], controls[1]))


def _scores(model: Any, table: Any) -> np.ndarray:
    """Log-likelihoods of a table's rows; where the model rules a row out, that of the unlikeliest one that it does not."""
    try:
        scores = np.asarray(model.score(table), dtype=np.float64)
    except InputError as problem:  # whose words may quote a value
        raise SkipMetricError(
            "the generator cannot score these rows: they are not of the table that it was fitted to"
        ) from problem
    fine = np.isfinite(scores)
    if scores.shape != (len(table),) or not fine.any():
        raise SkipMetricError("the generator gives no likelihood for each of these rows")
    return np.where(fine, scores, scores[fine].min())


def ensemble(evidence: Evidence) -> Attack:
    """All attacks at once: −log of the share of rows that score as high, added up over them (Fisher's combination)."""
    return evidence.once("membership_ensemble", lambda: _ensemble(evidence))


def _ensemble(evidence: Evidence) -> Attack:
    single = [attack(evidence) for attack in (knn, local, distance, domias, subsets)]
    members, controls = [], []
    for half in (0, 1):
        size = len(single[0].members[half])
        summed = np.sum([_surprise(a.members[half], a.controls[half]) for a in single], axis=0)
        members.append(summed[:size])
        controls.append(summed[size:])
    return Attack("ensemble", (members[0], members[1]), (controls[0], controls[1]))


def _surprise(members: np.ndarray, controls: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    both = np.concatenate([members, controls])
    return np.asarray(-np.log(1 - (rankdata(both) - 0.5) / len(both)))


def attacks(evidence: Evidence) -> tuple[Attack, ...]:
    """Every attack that can be carried out here."""
    able: list[Attack] = [attack(evidence) for attack in (knn, domias, local, distance, subsets)]
    with suppress(SkipMetricError):
        able.append(likelihood(evidence))
    return (*able, ensemble(evidence))
