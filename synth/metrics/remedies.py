"""What can be done about a rare class, each remedy fitted on training rows only and asked about untouched test rows.

Nothing, class weights, a tuned threshold, random oversampling, SMOTE (Chawla et al. 2002), and rows of the class that a
generator made. The remedies that add rows add equally many, so that their rows are compared and not their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from synth.metrics.evidence import Compared
from synth.metrics.models import Learner, Model, learn_classes

NOTHING, WEIGHTS, THRESHOLD, OVERSAMPLING, SMOTE = "nothing", "class weights", "threshold tuning", "oversampling", "SMOTE"
NEIGHBOURS = 5  # of SMOTE, the paper's number
SURE = 1e-6  # chances are kept this far from 0 and 1, so that their odds are numbers


@dataclass(frozen=True, eq=False)
class Case:
    """A rare class against all others: training rows, made rows of the class, and test rows, as the features of models.

    X: shape (n, columns), y: shape (n,), 1 for the rare class. asked: shape (t, columns), truth: shape (t,), at the natural
    prevalence. made: rows of the rare class by the name of the remedy that adds them, each of shape (m, columns).
    """

    columns: tuple[Compared, ...]
    X: np.ndarray
    y: np.ndarray
    asked: np.ndarray
    truth: np.ndarray
    made: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the rare class among the training rows."""
        return float(self.y.mean())

    @property
    def room(self) -> int:
        """Rows of the rare class that can be added until it is as frequent as the others together."""
        return int(len(self.y) - 2 * self.y.sum())

    @property
    def adding(self) -> int:
        """How many rows the other remedies add: as many as the largest of the made ones, else up to equal shares."""
        return max((len(rows) for rows in self.made.values()), default=self.room)

    def halves(self, rng: np.random.Generator) -> tuple[Case, Case]:
        """Disjoint halves of the training rows of each class and of the made rows; the test rows stay."""
        place = np.empty(len(self.y), dtype=np.int64)
        for label in (0, 1):
            rows = rng.permutation(np.flatnonzero(self.y == label))
            place[rows] = np.arange(len(rows)) % 2
        parts = []
        for k in (0, 1):
            made = {name: rows[k::2] for name, rows in self.made.items()}
            parts.append(replace(self, X=self.X[place == k], y=self.y[place == k], made=made))
        return parts[0], parts[1]


@dataclass(frozen=True, eq=False)
class Told:
    """What a model says of the test rows after a remedy.

    chances: of the rare class, shape (t,). share: of the rare class in what the model was trained on. threshold: the chance at
    which the remedy decides for the rare class. added: rows that it added.
    """

    chances: np.ndarray
    share: float
    threshold: float = 0.5
    added: int = 0

    def corrected(self, natural: float) -> np.ndarray:
        """The chances with their odds moved from the share that was trained on to the natural one (Elkan 2001)."""
        chances = np.clip(self.chances, SURE, 1 - SURE)
        odds = chances / (1 - chances) * (natural / (1 - natural)) * ((1 - self.share) / self.share)
        return np.asarray(odds / (1 + odds))


def try_all(case: Case, learner: Learner, seed: int) -> dict[str, Told]:
    """Every remedy with one kind of model, "nothing" first."""
    rng = np.random.default_rng([seed, 3])
    found = {}
    for name, added, weight in training(case, rng):
        found[name] = fit(case, learner, seed, added, weight)
        if name == NOTHING:
            threshold = tuned(case, learner, seed, rng)
            found[THRESHOLD] = replace(found[NOTHING], threshold=threshold)
    return found


def training(
    case: Case, rng: np.random.Generator, only: frozenset[str] | None = None
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """For each remedy that trains a model of its own: the rows of the rare class that it adds, and the weights of all rows."""
    none = np.empty((0, case.X.shape[1]))
    rare = case.X[case.y == 1]

    def wanted(name: str) -> bool:
        return only is None or name in only

    if wanted(NOTHING):
        yield NOTHING, none, None
    if wanted(WEIGHTS):
        yield WEIGHTS, none, np.where(case.y == 1, 0.5 / case.share, 0.5 / (1 - case.share))
    if wanted(OVERSAMPLING):
        yield OVERSAMPLING, rare[rng.integers(0, len(rare), case.adding)], None
    if wanted(SMOTE):
        yield SMOTE, interpolated(case, rng), None
    for name, rows in case.made.items():
        if wanted(name):
            yield name, rows, None


def fit(case: Case, learner: Learner, seed: int, added: np.ndarray, weight: np.ndarray | None = None) -> Told:
    """A model trained on the case's rows and those that are added, and what it says of the test rows."""
    X, y = np.concatenate([case.X, added]), np.concatenate([case.y, np.ones(len(added), dtype=case.y.dtype)])
    share = float(y.mean()) if weight is None else float(weight[y == 1].sum() / weight.sum())
    model = learn_classes(learner, case.columns, X, y, seed, weight)
    return Told(_rare(model, case.asked), share, added=len(added))


def tuned(case: Case, learner: Learner, seed: int, rng: np.random.Generator) -> float:
    """The threshold with the best balanced accuracy by cross-validation in two folds, inside the training rows."""
    halves = case.halves(rng)
    chances, truth = [], []
    for seen, other in (halves, halves[::-1]):
        model = learn_classes(learner, case.columns, seen.X, seen.y, seed)
        chances.append(_rare(model, other.X))
        truth.append(other.y)
    return best_threshold(np.concatenate(chances), np.concatenate(truth))


def best_threshold(chances: np.ndarray, truth: np.ndarray) -> float:
    """Where to cut chances so that balanced accuracy is best, halfway to the next lower chance."""
    order = np.argsort(-chances, kind="stable")
    ordered, hits = chances[order], truth[order]
    gain = np.cumsum(hits) / max(1, hits.sum()) - np.cumsum(1 - hits) / max(1, (1 - hits).sum())
    ends = np.flatnonzero(np.append(ordered[:-1] > ordered[1:], True))  # all rows of one chance go together
    best = int(ends[gain[ends].argmax()])
    return float(ordered[best] if best + 1 == len(ordered) else (ordered[best] + ordered[best + 1]) / 2)


def interpolated(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Rows of the rare class by SMOTE: SMOTE-NC where categories are among the columns, SMOTE-N where they are all.

    Nulls are the median of a number and a category of their own; the rows made have no null numbers.
    """
    from imblearn import over_sampling

    category = np.array([column.is_category for column in case.columns])
    rare = int(case.y.sum())
    filled = case.X.copy()
    for j, column in enumerate(case.columns):
        null = np.isnan(filled[:, j])
        if column.is_category:
            filled[null, j] = column.levels or 0
        else:
            known = filled[~null & (case.y == 1), j]
            filled[null, j] = float(np.median(known)) if len(known) else 0.0
    plan = {1: rare + case.adding}
    facts = {"sampling_strategy": plan, "k_neighbors": min(NEIGHBOURS, rare - 1), "random_state": int(rng.integers(2**31))}
    if category.all():
        sampler = over_sampling.SMOTEN(**facts)
    elif category.any():
        sampler = over_sampling.SMOTENC(np.flatnonzero(category).tolist(), **facts)
    else:
        sampler = over_sampling.SMOTE(**facts)
    kept = np.ones(len(filled), dtype=bool)
    if not category.all():  # only SMOTE-N looks at the other classes
        kept[np.flatnonzero(case.y == 0)[1:]] = False
    made = np.asarray(sampler.fit_resample(filled[kept], case.y[kept])[0])[int(kept.sum()) :]
    for j, column in enumerate(case.columns):
        if column.is_category:
            made[made[:, j] == (column.levels or 0), j] = np.nan
    return made


def _rare(model: Model, X: np.ndarray) -> np.ndarray:
    return model.chances(X)[:, 1]
