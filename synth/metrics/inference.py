"""Attribute inference: whether the synthetic rows tell an attacker who knows all else of a person the one thing he does not.

After Anonymeter (Giomi et al. 2023), with two attacks in place of its one: the value of the nearest synthetic row, and a forest
trained on the synthetic rows. What strangers lose as well is what the population gives away, and is taken off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from synth.metrics._risk import SEARCHED, Attack, Rate, Targets, leaned, ranks, reading, strongest, targets
from synth.metrics.distance import positions, spans
from synth.metrics.evidence import SIDES, Compared, Evidence, Side
from synth.metrics.learners import draw
from synth.metrics.registry import NothingThereError, Reading, SkipMetricError, metric

TOLERANCE = 0.05  # of the span of the middle nine tenths of the training values: how near a guessed number must come
MOST_COLUMNS = 8  # columns that are attacked
MOST_CLASSES = 30  # categories that the forest may guess, the most frequent ones
TREES = 12  # of a forest: each sees all rows and splits down to single ones
TRAINED = 16_000  # synthetic rows that the forest is trained on
LEAST_KNOWN = 100  # rows of each table whose value is known
FEATURES = "sqrt"  # columns that a tree looks at for each split
LEAF = 5  # targets in a leaf of the trees that say how easy they are
BLOCK = 4_000_000  # products of a target and a synthetic row that are held at a time: 16 MB


@dataclass(frozen=True, eq=False)
class Guessed:
    """How the attacks on one column went, target by target.

    train, control: positions of the targets in the training table and in the holdout, those whose value is known.
    ease: for the targets of each side, how surely other real rows give their value away.
    """

    column: Compared
    train: np.ndarray
    control: np.ndarray
    attacks: tuple[Attack, Attack]
    ease: tuple[np.ndarray, np.ndarray]
    baseline: float

    def strongest(self) -> Attack:
        """The successes of the stronger attack, in the order of `train` and `control`."""
        return strongest(self.attacks)

    def rates(self, attack: Attack, train: np.ndarray, control: np.ndarray) -> tuple[Rate, Rate]:
        """The rates of success among some targets of each side (boolean masks), adjusted for how easy they happen to be."""
        eases = self.ease[0][train], self.ease[1][control]
        mean = float(np.mean([ease.mean() for ease in eases]))
        found = leaned(attack.train[train], eases[0], mean), leaned(attack.control[control], eases[1], mean)
        return Rate(found[0].value, found[0].n / attack.chosen), Rate(found[1].value, found[1].n / attack.chosen)


@metric("privacy.attribute_inference", better="lower", bounds=(-1.0, 1.0), cost=6.5)
def attribute_inference(evidence: Evidence) -> Iterator[Reading]:
    """For each sensitive column: how much more of it an attacker learns of training rows than of strangers; 0 is nothing.

    The residual risk of Anonymeter for an attacker who knows a row's other columns. A number counts as guessed within 5% of the
    span of the middle nine tenths of its values. Its interval is Donner and Zou's for a ratio of rates; both rates are
    adjusted for how well other real rows give the targets' values away (out of bag), which only narrows it.
    """
    for column in secrets(evidence)[:MOST_COLUMNS]:
        try:
            found = guessed(evidence, column)
        except SkipMetricError as why:
            yield Reading(columns=(column.name,), skipped=str(why))
            continue
        attack = found.strongest()
        everyone = np.ones(len(found.train), dtype=bool), np.ones(len(found.control), dtype=bool)
        detail = {"baseline": found.baseline}
        if not column.is_category:
            detail["tolerance"] = _tolerance(column)
        yield reading(*found.rates(attack, *everyone), attack, found.attacks, detail, (column.name,))
    for column in secrets(evidence)[MOST_COLUMNS:]:
        yield Reading(columns=(column.name,), skipped=f"more than {MOST_COLUMNS} columns are sensitive; the first are attacked")


def secrets(evidence: Evidence) -> tuple[Compared, ...]:
    """The columns that are attacked: the sensitive ones, or the target where none is named.

    Raises NothingThereError where there is neither, or no other column to infer from.
    """
    named = tuple(evidence.column(c.name) for c in evidence.train.schema.sensitive if c.is_learned)
    if not named and evidence.target is not None:
        named = (evidence.target,)
    if not named:
        raise NothingThereError("no column is named as sensitive or as target; name some with sensitive=")
    if len(evidence.columns) < 2:
        raise NothingThereError("there is no other column to infer it from")
    return named


def secrets_of_groups(evidence: Evidence) -> tuple[Compared, ...]:
    """The secrets that are attacked group by group: where only one column is sensitive, the target of its groups as well.

    Raises NothingThereError as `secrets` does.
    """
    named = secrets(evidence)
    alone = len(named) == 1 and evidence.target is not None and evidence.target.name != named[0].name
    return (*named, evidence.target) if alone and evidence.target is not None else named


def guessed(evidence: Evidence, column: Compared) -> Guessed:
    """Attack one of the `secrets`, or of those of groups, once for all metrics that ask.

    Raises SkipMetricError where there are too few targets or synthetic rows that have a value.
    """
    return evidence.once(f"inference.{column.name}", lambda: _guessed(evidence, column))


def _guessed(evidence: Evidence, column: Compared) -> Guessed:
    known = _known(evidence)
    there = {side: ~column.null(side)[rows] for side, rows in known.rows.items()}
    rows = {side: known.rows[side][there[side]] for side in SIDES}
    sizes = [len(rows[side]) for side in SIDES]
    if min(sizes) < LEAST_KNOWN:
        counts = f"{sizes[0]} training rows, {sizes[1]} strangers and {sizes[2]} synthetic rows"
        raise SkipMetricError(f"insufficient: {counts} have a value; {LEAST_KNOWN} of each are needed")
    others = np.flatnonzero([other.name != column.name for other in evidence.columns])
    X = {side: known.codes[side][np.ix_(there[side], others)] for side in SIDES}
    y = {side: column.of(side)[rows[side]] for side in SIDES}
    rng = evidence.rng(f"inference.{column.name}")
    ease = _ease(column, np.concatenate([X["train"], X["holdout"]]), np.concatenate([y["train"], y["holdout"]]), rng)
    told = _forest(column, X["synthetic"], y["synthetic"], (X["train"], X["holdout"]), rng)
    near = _nearest_values(evidence)[column.name]
    nearest, forest = (
        Attack(name, _right(column, said[0], y["train"]), _right(column, said[1], y["holdout"]))
        for name, said in (("nearest", near), ("forest", told))
    )
    usual = np.bincount(y["synthetic"]).argmax() if column.is_category else np.median(y["synthetic"])
    baseline = float(_right(column, np.full(sizes[0], usual), y["train"]).mean())
    eases = ease[: sizes[0]], ease[sizes[0] :]
    return Guessed(column, rows["train"], rows["holdout"], (nearest, forest), eases, baseline)


def _right(column: Compared, guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which guesses are right: shape (targets,)."""
    return np.asarray(guess == truth) if column.is_category else np.asarray(np.abs(guess - truth) <= _tolerance(column))


def _tolerance(column: Compared) -> float:
    """How far from the value a guess still counts; 0 where nearly all values are one."""
    seen = column.train[~np.isnan(column.train)]
    low, high = np.quantile(seen, [0.05, 0.95]) if len(seen) else (0.0, 0.0)
    return TOLERANCE * float(high - low)


def _nearest_values(evidence: Evidence) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each secret its value in the synthetic row nearest in all other columns, for the targets that have one."""
    return evidence.once("inference.nearest", lambda: _search(evidence, targets(evidence)))


def _search(evidence: Evidence, who: Targets) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """One product of all targets with all synthetic rows serves every secret: its own dimensions are taken off again."""
    place, parts = positions(evidence), spans(evidence)
    pool = draw(evidence, "synthetic", SEARCHED, "inference.nearest")
    rows = place["synthetic"][pool]
    turned = np.ascontiguousarray(rows.T)
    step = max(1, BLOCK // len(rows))
    hidden = [column for column in secrets_of_groups(evidence)[:MOST_COLUMNS] if not column.null("synthetic")[pool].all()]
    found: dict[str, list[np.ndarray]] = {column.name: [] for column in hidden}
    sides: tuple[tuple[Side, np.ndarray], ...] = (("train", who.train), ("holdout", who.control))
    for side, chosen in sides:
        best = {column.name: np.empty(len(chosen), dtype=np.int64) for column in hidden}
        for start in range(0, len(chosen), step):
            block = place[side][chosen[start : start + step]]
            # q·r − ‖r‖²/2 grows as the distance falls
            near = block @ turned - _half(rows)
            for column in hidden:
                own = parts[column.name]
                less = near - (block[:, own] @ turned[own] - _half(rows[:, own]))
                less[:, column.null("synthetic")[pool]] = -np.inf
                best[column.name][start : start + step] = less.argmax(axis=1)
        for column in hidden:
            known = ~column.null(side)[chosen]
            found[column.name].append(column.synthetic[pool[best[column.name][known]]])
    return {name: (train, control) for name, (train, control) in found.items()}


def _half(rows: np.ndarray) -> np.ndarray:
    return np.asarray((rows * rows).sum(axis=1) / 2)


@dataclass(frozen=True, eq=False)
class _Known:
    """The rows of the targets and of the attacker's synthetic table, as numbers that keep their order."""

    rows: dict[Side, np.ndarray]
    codes: dict[Side, np.ndarray]


def _known(evidence: Evidence) -> _Known:
    return evidence.once("inference.known", lambda: _read(evidence))


def _read(evidence: Evidence) -> _Known:
    who = targets(evidence)
    rows: dict[Side, np.ndarray] = {
        "train": who.train,
        "holdout": who.control,
        "synthetic": draw(evidence, "synthetic", TRAINED, "inference.known"),
    }
    return _Known(rows, {side: grid.astype(np.float32) for side, grid in ranks(evidence, rows).items()})


def _forest(
    column: Compared, X: np.ndarray, y: np.ndarray, queries: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What trees that were grown on synthetic rows, down to single ones, guess by a majority or on average."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if not column.is_category:
        totals = [np.zeros(len(Q)) for Q in queries]
        for _ in range(TREES):
            tree = DecisionTreeRegressor(max_features=FEATURES, random_state=int(rng.integers(2**31))).fit(X, y)
            for total, Q in zip(totals, queries):
                total += tree.predict(Q) / TREES
        return totals[0], totals[1]
    classes = _frequent(y)
    keep = np.isin(y, classes)
    votes = [np.zeros((len(Q), len(classes))) for Q in queries]
    for _ in range(TREES):  # one after the other, since a tree of many classes is large
        tree = DecisionTreeClassifier(max_features=FEATURES, random_state=int(rng.integers(2**31))).fit(X[keep], y[keep])
        for vote, Q in zip(votes, queries):
            vote += tree.predict_proba(Q)
    return classes[votes[0].argmax(axis=1)], classes[votes[1].argmax(axis=1)]


def _ease(column: Compared, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How surely the other targets of both sides together give each one's value away, out of bag: shape (targets,)."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    classes = _frequent(y) if column.is_category else np.empty(0)
    code = np.where(np.isin(y, classes), np.searchsorted(classes, y), len(classes)) if column.is_category else y
    kind = DecisionTreeClassifier if column.is_category else DecisionTreeRegressor
    total, times = np.zeros(len(y)), np.zeros(len(y))
    for _ in range(TREES):
        bag = rng.integers(len(y), size=len(y))
        out = np.ones(len(y), dtype=bool)
        out[bag] = False
        tree = kind(max_features=FEATURES, min_samples_leaf=LEAF, random_state=int(rng.integers(2**31))).fit(X[bag], code[bag])
        times[out] += 1
        if not column.is_category:
            total[out] += tree.predict(X[out])
            continue
        place = np.searchsorted(tree.classes_, code[out]).clip(max=len(tree.classes_) - 1)
        chance = tree.predict_proba(X[out])[np.arange(int(out.sum())), place]
        total[out] += np.where(tree.classes_[place] == code[out], chance, 0.0)
    guess = total / np.maximum(times, 1)
    return guess if column.is_category else _right(column, guess, y).astype(float)


def _frequent(y: np.ndarray) -> np.ndarray:
    """The most frequent categories, in order."""
    tally = np.bincount(y)
    return np.asarray(np.sort(np.argsort(-tally, kind="stable")[: min(MOST_CLASSES, int((tally > 0).sum()))]))
