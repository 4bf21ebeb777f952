"""Shadow models: the generator fitted again with and without the rows that are easiest to tell, to learn what each leaves.

Shokri et al. 2017 and Carlini et al. 2022 (LiRA), for synthetic tables after Stadler et al. 2022 and Meeus et al. 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.data.table import Table
from synth.metrics.combinations import prints
from synth.metrics.distance import neighbours, positions
from synth.metrics.evidence import Evidence
from synth.metrics.intervals import clopper_pearson, delong
from synth.metrics.measurement import Interval
from synth.metrics.membership import found_at
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

TARGETS = 100  # rows that are attacked, about half of them members
FEWEST = 20  # members, and controls, among them
LONELY = 5  # the neighbour whose distance says how lonely a row is
POOL = 20_000  # training rows, and as many holdout rows, among which the loneliest are looked for
LEAST_MODELS = 4
SUBSETS = 60  # sets of columns in which targets may agree with synthetic rows


@dataclass(frozen=True, eq=False)
class Targets:
    """Positions of the attacked rows in the training table and in the holdout, and of the rows that fill shadow tables up."""

    members: np.ndarray
    controls: np.ndarray
    train: np.ndarray
    holdout: np.ndarray


@metric("privacy.shadow", better="lower", cost=60.0)
def shadow(evidence: Evidence) -> Iterator[Reading]:
    """Area under the ROC curve of an attack by shadow models on the most vulnerable rows; 0.5 is chance.

    The loneliest rows of training and holdout rows taken together are the targets: which of them were trained on is to be told.
    Each of k shadow models is fitted to as many rows as the generator was (fewer where there are not twice as many), half of
    the targets among them, so that each target is in half of the tables. What the synthetic rows say of a target is compared
    with what they say when it is in and when it is out. The interval is DeLong's. Costs k fits and k samples; an attacker needs
    rows of the population for it.
    """
    model, number = evidence.model, evidence.shadow - evidence.shadow % 2
    if evidence.shadow == 0:
        raise NothingThereError("no shadow models were asked for")
    if model is None or not all(callable(getattr(model, name, None)) for name in ("fit", "sample_table", "get_params")):
        raise SkipMetricError("shadow models need the generator behind the rows, one that can be fitted again")
    if number < LEAST_MODELS:
        raise SkipMetricError(f"{evidence.shadow} shadow models cannot say what is usual; {LEAST_MODELS} are needed")
    if not evidence.rows("holdout"):
        raise SkipMetricError("there is no holdout to take strangers from who stand alone")
    who = _targets(evidence)
    rng = evidence.rng("shadow.models")
    total = len(who.members) + len(who.controls)
    inside = np.zeros((number, total), dtype=bool)
    for pair in range(0, number, 2):  # each target in one of two models
        inside[pair] = rng.permutation(total) < total // 2
        inside[pair + 1] = ~inside[pair]
    signs = np.array([_signs(evidence, who, _released(evidence, who, part, rng)) for part in inside])
    scores = likelihood_ratio(signs, inside, _signs(evidence, who, evidence.synthetic))
    members, controls = scores[: len(who.members)], scores[len(who.members) :]
    area = delong(members, controls)
    alarm = 1 / len(controls)  # the threshold that no control passes
    found = found_at(members, controls, 0.0)
    low, high = clopper_pearson(found * len(members), len(members))
    detail: dict[str, Any] = {
        "models": number,
        "members": len(members),
        "controls": len(controls),
        "found_without_false_alarm": Interval(found, low, high, len(members)).to_dict(),
        "one_alarm_is": alarm,
        "reference": "chance: rows that left nothing behind cannot be told",
    }
    yield Reading(area, Interval(0.5, 0.5, 0.5, area.n), detail=detail)


def _targets(evidence: Evidence) -> Targets:
    """The loneliest of equally many training and holdout rows, by their distance to the others of either table."""
    rng, place = evidence.rng("shadow.targets"), positions(evidence)
    size = min(evidence.rows("train"), evidence.rows("holdout"), POOL)
    if size < TARGETS:
        raise SkipMetricError(
            f"{size} training and holdout rows are too few to find rows that stand alone; {TARGETS} are needed"
        )
    train, held = rng.permutation(evidence.rows("train"))[:size], rng.permutation(evidence.rows("holdout"))[:size]
    both = np.concatenate([place["train"][train], place["holdout"][held]])
    lonely = neighbours(both, both, LONELY, exclude_self=True)[0]
    single = np.flatnonzero(lonely[:, 0] > 0)  # of equal rows nobody can say which was in
    chosen = single[np.argsort(-lonely[single, -1], kind="stable")[:TARGETS]]
    members, controls = np.sort(train[chosen[chosen < size]]), np.sort(held[chosen[chosen >= size] - size])
    if min(len(members), len(controls)) < FEWEST:
        raise SkipMetricError(f"{len(members)} members and {len(controls)} controls stand alone; {FEWEST} of each are needed")
    others = (np.arange(evidence.rows("train")), np.arange(evidence.rows("holdout")))
    return Targets(members, controls, np.setdiff1d(others[0], members), np.setdiff1d(others[1], controls))


def _released(evidence: Evidence, who: Targets, inside: np.ndarray, rng: np.random.Generator) -> Table:
    """The synthetic rows of a shadow model fitted to these targets and to rows of both tables."""
    from sklearn.base import clone

    assert evidence.holdout is not None
    size = min(evidence.rows("train"), (len(who.train) + len(who.holdout)) // 2) - int(inside.sum())
    filling = rng.permutation(len(who.train) + len(who.holdout))[:size]
    here, there = np.split(inside, [len(who.members)])
    train = np.concatenate([who.members[here], who.train[filling[filling < len(who.train)]]])
    held = np.concatenate([who.controls[there], who.holdout[filling[filling >= len(who.train)] - len(who.train)]])
    seed = int(rng.integers(2**31))
    names = [column.name for column in evidence.train.schema.made]
    parts = [(evidence.train, train), (evidence.holdout, held)]
    model = clone(evidence.model).fit(Table.concat([t.select(names).take(np.sort(rows)) for t, rows in parts]), seed=seed)
    made: Table = model.sample_table(evidence.rows("synthetic"), seed=seed)
    return made


def _signs(evidence: Evidence, who: Targets, made: Table) -> np.ndarray:
    """What a synthetic table says of each target, shape (targets, 3).

    How near its nearest and its fifth nearest row lie, and the share of sets of columns in which some row agrees with it.
    """
    seen = evidence.with_synthetic(made)
    place = positions(seen)
    targets = np.concatenate([place["train"][who.members], place["holdout"][who.controls]])
    far = neighbours(targets, place["synthetic"], min(LONELY, len(made)))[0]
    known = np.concatenate([prints(seen, "train", who.members), prints(seen, "holdout", who.controls)], axis=1)
    fake = prints(seen, "synthetic", np.arange(len(made)))
    rng, agree = evidence.rng("shadow.columns"), np.zeros(len(targets))
    for _ in range(SUBSETS):
        columns = rng.permutation(len(known))[: rng.integers(min(2, len(known)), len(known) + 1)]
        agree += np.isin(*(part[columns].sum(axis=0, dtype=np.uint64) for part in (known, fake)))
    return np.column_stack([-far[:, 0], -far[:, -1], agree / SUBSETS])


def likelihood_ratio(signs: np.ndarray, inside: np.ndarray, released: np.ndarray) -> np.ndarray:
    """How much likelier what was released is with each target in than out, up to a constant: shape (targets,).

    signs: of shape (models, targets, signs), inside: (models, targets), released: (targets, signs). Normal with one covariance,
    about a mean of each target's own, with a difference between in and out that all targets share: so few models tell no more.
    """
    usual = signs.mean(axis=0)
    apart = signs - usual
    both = [apart[mask] for mask in (inside, ~inside)]
    difference = both[0].mean(axis=0) - both[1].mean(axis=0)
    left = np.concatenate([part - part.mean(axis=0) for part in both])
    scatter = left.T @ left / len(left)
    scatter += np.diag(np.maximum(1e-6 * np.diag(scatter), 1e-12))
    return np.asarray((released - usual) @ np.linalg.solve(scatter, difference))
