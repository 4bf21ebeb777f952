"""SMOTE and its family (Chawla et al., "SMOTE", JAIR 2002), as made by imbalanced-learn.

A new row lies between a training row and one of its nearest neighbours in the same class. The method therefore keeps training
rows: a saved model CONTAINS REAL ROWS and must be guarded like the table itself. It is for balancing classes, not for release.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from synth.data.conditions import Where
from synth.data.encoding import Encoded
from synth.data.schema import Schema
from synth.errors import ConfigError, GenerationError, did_you_mean
from synth.generators._estimate import TableSize
from synth.generators.base import Generator
from synth.progress import Progress

Kind = Literal["auto", "smote", "smotenc", "smoten", "borderline", "adasyn", "random"]
KINDS = get_args(Kind)
MOST_ROUNDS = 20  # ADASYN makes about as many rows as it is asked for; asked this often, it has made enough or none


@dataclass
class Smote(Generator):
    """Rows between neighbours of one class. The fitted model contains training rows: it is not for release.

    Classes (of a categorical target) come in their training shares, or as `where` on the target says. Without one, or with a
    numeric target, all rows are one class. Numbers are scaled to unit deviation to find neighbours. A class of m rows has at
    most m - 1 neighbours to offer; a class of one row can only be repeated. While rows are made, a missing number stands at its
    column's median and a missing category at the commonest one; each new row then takes over which cells are missing from a
    random training row of its class, so that nulls keep their rates and their company.
    """

    kind: Kind = "auto"  # auto: smote for numbers, smoten for categories, smotenc for both
    k_neighbors: int | None = None  # neighbours a row is mixed with; None: 5 (Chawla et al. 2002)
    m_neighbors: int | None = None  # borderline only: neighbours that tell whether a row is near the border; None: 10
    max_rows: int = 3_000  # training rows kept per class, drawn at random; neighbours are searched among them

    name: ClassVar[str] = "smote"
    summary: ClassVar[str] = "the SMOTE family, for balancing classes; the model CONTAINS TRAINING ROWS, not for release"
    refusal: ClassVar[str] = (
        "it gives real rows back, moved a little, and no noise on that hides a row; fit marginals, which "
        "learns from noisy counts"
    )

    def _validate(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind is {self.kind!r}{did_you_mean(str(self.kind), KINDS)}")
        for name, lowest in (("k_neighbors", 1), ("m_neighbors", 1), ("max_rows", 2)):
            value = getattr(self, name)
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if (value is not None or name == "max_rows") and (not whole or value < lowest):
                raise ConfigError(f"{name} is {value!r}; give a whole number, {lowest} or more")
        if self.kind == "random" and self.k_neighbors is not None:
            raise ConfigError("k_neighbors is not read by kind='random', which repeats rows; leave it out")
        if self.kind != "borderline" and self.m_neighbors is not None:
            raise ConfigError("m_neighbors is read by kind='borderline' only; leave it out")

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        target = schema.target
        self._target = target.name if target is not None and rows[target.name].is_category else None
        classes = rows[self._target].values if self._target is not None else np.zeros(rows.rows, dtype=np.int32)
        self._template = rows.take(np.arange(0))
        self._classes, self._counts = np.unique(classes, return_counts=True)
        kept = [np.flatnonzero(classes == label) for label in self._classes]
        kept = [np.sort(rng.choice(r, self.max_rows, replace=False)) if len(r) > self.max_rows else r for r in kept]
        self._rows = rows.take(np.concatenate(kept))
        self._made_of = self._choose()
        if self._made_of in ("borderline", "adasyn"):
            self._check_borders(rng)
        progress("fit", 1, 1)

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        """One pass over the rows; what is kept of each class."""
        kept = min(size.rows, size.classes * self.max_rows) * 8 * len(size.columns)
        return 0.05 + 3e-8 * size.rows * len(size.columns), 40 * size.rows + 3 * kept + 2e6, kept

    def _check_borders(self, rng: np.random.Generator) -> None:
        """Raise ConfigError where a class has no border to make rows at: it would only come to light when rows are drawn."""
        for label in self._classes:
            try:
                self._of_class(label, 1, rng)
            except GenerationError as problem:
                raise ConfigError(f"{problem}") from problem

    def _choose(self) -> str:
        """Which method of the family fits the columns. Raises ConfigError where the one that was asked for cannot."""
        features = [column for column in self._template.columns if column.name != self._target]
        categories = [column.name for column in features if column.is_category]
        numbers = [column.name for column in features if not column.is_category]
        kind = self.kind
        if not features:
            raise ConfigError("the target is the only learned column, so there is nothing to mix; use the method 'independent'")
        if kind == "auto":
            kind = "smote" if not categories else "smotenc" if numbers else "smoten"
        if kind in ("smote", "borderline", "adasyn") and categories:
            raise ConfigError(f"kind={kind!r} mixes numbers only, and column {categories[0]!r} is categorical; use kind='auto'")
        if kind == "smoten" and numbers:
            raise ConfigError(f"kind='smoten' mixes categories only, and column {numbers[0]!r} is a number; use kind='auto'")
        if kind == "smotenc" and not (categories and numbers):
            raise ConfigError(
                "kind='smotenc' mixes numbers and categories, and the columns are all of one sort; use kind='auto'"
            )
        if kind in ("smoten", "borderline", "adasyn") and len(self._classes) < 2:
            raise ConfigError(
                f"kind={kind!r} compares classes, and there is no categorical target of two or more; name a target, "
                "or use kind='random'"
            )
        return kind

    # sampling ------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._make(n, np.ones(len(self._classes), dtype=bool), rng)

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """A clause on the target chooses the classes; the caller rejects rows that break the others."""
        allowed = np.ones(len(self._classes), dtype=bool)
        for clause in where.clauses:
            if clause.column == self._target:
                allowed = clause.holds(self._classes)
                if not allowed.any():
                    raise GenerationError(
                        f"no training row has the class that the condition on {self._target!r} asks for; widen the condition"
                    )
        return self._make(n, allowed, rng)

    def _make(self, n: int, allowed: np.ndarray, rng: np.random.Generator) -> Encoded:
        share = self._counts * allowed / (self._counts * allowed).sum()
        wanted = rng.multinomial(n, share)
        parts = [self._of_class(label, int(count), rng) for label, count in zip(self._classes, wanted, strict=True) if count]
        order = rng.permutation(n)
        names = list(self._template)
        if not parts:
            return self._template
        return self._template.with_values({name: np.concatenate([part[name] for part in parts])[order] for name in names})

    def _of_class(self, label: int, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """New rows of one class, as encoded values by column."""
        mine = np.ones(self._rows.rows, bool) if self._target is None else self._rows[self._target].values == label
        members = np.flatnonzero(mine)
        if self._made_of == "random" or len(members) == 1:
            picked = members[rng.integers(len(members), size=count)]
            return {column.name: column.values[picked] for column in self._rows.columns}
        features = [column for column in self._rows.columns if column.name != self._target]
        matrix, centre, scale = self._matrix()
        made = self._oversample(matrix, mine, count, rng) * scale + centre
        holes = members[rng.integers(len(members), size=count)]
        out: dict[str, np.ndarray] = {}
        for place, column in enumerate(features):
            values = made[:, place]
            if column.is_category:
                out[column.name] = np.where(column.null[holes], -1, np.rint(values)).astype(np.int32)
            else:
                grid = column.decimals
                values = values if grid is None or grid >= 17 else np.round(values, grid)
                out[column.name] = np.where(column.null[holes], np.nan, values)
        if self._target is not None:
            out[self._target] = np.full(count, label, dtype=np.int32)
        return out

    def _matrix(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The kept rows without nulls, numbers scaled, of shape (rows, features); the centres and scales to undo it."""
        columns, centres, scales = [], [], []
        for column in self._rows.columns:
            if column.name == self._target:
                continue
            present = column.values[~column.null]
            if column.is_category:
                fill = int(np.bincount(present).argmax()) if len(present) else 0
                columns.append(np.where(column.null, fill, column.values).astype(np.float64))
                centres.append(0.0)
                scales.append(1.0)
            else:
                centre = float(np.median(present)) if len(present) else 0.0
                scale = float(present.std()) if len(present) else 1.0
                scale = scale if scale > 0 else 1.0
                columns.append((np.where(column.null, centre, column.values) - centre) / scale)
                centres.append(centre)
                scales.append(scale)
        return np.column_stack(columns), np.array(centres), np.array(scales)

    def _oversample(self, matrix: np.ndarray, mine: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` new rows of the class of these rows, of shape (count, features)."""
        if self._made_of in ("smote", "smotenc"):  # only rows of the class itself matter; imbalanced-learn wants another class
            members = matrix[mine]
            matrix, mine = np.vstack([members, members[:1]]), np.arange(len(members) + 1) < len(members)
        members = int(mine.sum())
        rounds: list[np.ndarray] = []
        have = 0
        for _ in range(MOST_ROUNDS):
            # ADASYN shares its rows out over all members and rounds each share: asked for a few rows, it makes none.
            ask = max(count - have, 4 * members) if self._made_of == "adasyn" else count - have
            sampler = self._sampler(members, members + ask, int(rng.integers(2**31)))
            with warnings.catch_warnings():
                # It warns that the class grows larger than the others: that is what it is asked to do.
                warnings.simplefilter("ignore", UserWarning)
                try:
                    rows, _ = sampler.fit_resample(matrix, mine.astype(int))
                except (ValueError, RuntimeError) as problem:
                    raise self._without_border(problem) from problem
            made = np.asarray(rows[len(matrix) :], dtype=np.float64)
            rounds.append(made[rng.permutation(len(made))])
            have += len(made)
            if have >= count:
                return np.concatenate(rounds)[:count]
            if not len(made):
                break
        raise self._without_border(f"{have:,} of {count:,} rows made")

    def _without_border(self, problem: Exception | str) -> GenerationError:
        return GenerationError(f"{self._made_of} could not make rows of one class: {problem};\nuse kind='smote' or kind='auto'")

    def _sampler(self, members: int, total: int, seed: int) -> Any:
        """The imbalanced-learn sampler that brings class 1 from `members` rows to `total`."""
        from imblearn.over_sampling import ADASYN, SMOTE, SMOTEN, SMOTENC, BorderlineSMOTE

        near = min(5 if self.k_neighbors is None else self.k_neighbors, members - 1)
        shared = {"sampling_strategy": {1: total}, "random_state": seed}
        if self._made_of == "adasyn":
            return ADASYN(n_neighbors=near, **shared)
        if self._made_of == "borderline":
            around = 10 if self.m_neighbors is None else self.m_neighbors
            return BorderlineSMOTE(k_neighbors=near, m_neighbors=around, **shared)
        if self._made_of == "smotenc":
            features = [column for column in self._template.columns if column.name != self._target]
            return SMOTENC([i for i, column in enumerate(features) if column.is_category], k_neighbors=near, **shared)
        return (SMOTEN if self._made_of == "smoten" else SMOTE)(k_neighbors=near, **shared)

    # saving --------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {f"rows.{place}": column.values for place, column in enumerate(self._rows.columns)}
        state = {"target": self._target, "made_of": self._made_of, "contains_training_rows": True}
        return state, {**arrays, "classes": self._classes, "counts": self._counts}

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._template = template
        self._target, self._made_of = state["target"], state["made_of"]
        self._classes, self._counts = arrays["classes"], arrays["counts"]
        self._rows = template.with_values({name: arrays[f"rows.{place}"] for place, name in enumerate(template)})
