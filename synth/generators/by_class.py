"""A model for each class of the target, and classes in the shares that are asked for: rows to balance a rare class with.

A method that learns all rows together looks at a rare class through leaves and layers that the common ones fill, so that its
rows lie too near to theirs (decision 031). Here each class is learned from its own rows alone, as densities are in kernel
discriminant analysis (Hand, Kernel Discriminant Analysis, 1982).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from synth.data.conditions import Clause, Where
from synth.data.encoding import Encoded
from synth.data.schema import Kind, Schema
from synth.errors import ConfigError, GenerationError, did_you_mean
from synth.generators._effort import Drawn, Effort
from synth.generators._estimate import TableSize
from synth.generators._hyperparameters import real_number
from synth.generators.base import Generator
from synth.progress import Progress

FEW = 20  # rows below which a class has no model of its own: it shares one with the next larger classes
LEAF_SHARE = 0.01  # of a class's rows that a leaf of its trees holds, from FINEST to the method's own default
FINEST, FINEST_SMOOTH = 15, 5  # min_samples_leaf, and for numbers that others settle: decision 031
NETWORKS = ("autoregressive", "diffusion", "gan", "sdv-ctgan", "sdv-tvae")  # few rows of a class alone teach them nothing


def learns_apart(method: str) -> bool:
    """Whether a method learns a class from its own rows alone; networks learn it from all rows, and are asked for the class."""
    return method not in NETWORKS


@dataclass(frozen=True, eq=False)
class _Part:
    """What was learned of some classes together. A single class is learned without the target, which says nothing there."""

    codes: tuple[int, ...]
    rows: int
    model: Generator

    @property
    def alone(self) -> bool:
        return len(self.codes) == 1


@dataclass
class ByClass(Generator):
    """A method fitted to each class of the target by itself. With `ratio` the rare class comes as often as that asks for.

    Without a target that is a category all rows are one class, and this is the method behind it. Classes of under 20 rows
    share a model. Trees have smaller leaves for small classes, so that there is a shape to learn.
    """

    of: str = "trees"  # the method behind it
    params: Mapping[str, Any] | None = None  # its hyperparameters; None: its defaults
    ratio: float | None = None  # rows of the rare class to all others, at least; None: every class as often as it was
    rare: str | None = None  # the rare class; None: the rarest one that has a model of its own
    apart: bool | None = None  # each class by itself, or one model of all rows, asked for each class; None: networks the latter

    name: ClassVar[str] = "by-class"
    summary: ClassVar[str] = (
        "another method for each class of the target, in the shares that are asked for: to balance a rare class"
    )
    refusal: ClassVar[str] = "how rare each class is is read off the rows; fit marginals, which counts classes through noise"

    def _validate(self) -> None:
        if self.apart is not None and not isinstance(self.apart, bool):
            raise ConfigError(f"apart is {self.apart!r}; give true, false or nothing")
        if self.rare is not None and (not isinstance(self.rare, str) or self.ratio is None):
            raise ConfigError(
                f"rare is {self.rare!r}; give the class as text, and a ratio beside it, which is about that class"
            )
        if self.ratio is not None:
            real_number("ratio", self.ratio, above=0.0, most=1.0)
        if self.params is not None and not isinstance(self.params, Mapping):
            raise ConfigError(f"params is {self.params!r}; give hyperparameters of {self.of} by name, or nothing")
        method = self._method(FEW)
        if method.needs_budget or method.name == self.name:
            raise ConfigError(f"of is {self.of!r}, which cannot be fitted to a class by itself; name trees or copula")
        method._validate()

    @property
    def _is_apart(self) -> bool:
        return learns_apart(self.of) if self.apart is None else self.apart

    def _method(self, rows: int) -> Generator:
        """The method behind it, for a class of so many rows. Leaves that were asked for are left as they are."""
        from synth.generators import create

        made, given = create(self.of, self.params), self.params or {}
        if self.of == "trees" and self._is_apart:
            leaves = {
                "min_samples_leaf": (LEAF_SHARE * rows, FINEST),
                "min_samples_leaf_smooth": (LEAF_SHARE * rows / 3, FINEST_SMOOTH),
            }
            for name, (share, least) in leaves.items():
                if name not in given:
                    made.set_params(**{name: int(np.clip(share, least, getattr(made, name)))})
        return made

    # fit -----------------------------------------------------------------------------------------------------------

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        self._template = rows.take(np.arange(0))
        self._target = _target_of(rows, schema)
        codes = np.zeros(rows.rows, dtype=np.int32) if self._target is None else rows[self._target].values
        classes, counts = np.unique(codes, return_counts=True)
        self._counts = {int(code): int(count) for code, count in zip(classes, counts)}
        groups = self._groups()
        self._rare = None if self.ratio is None else self._rare_code(schema, groups)
        seed = int(rng.integers(2**31))
        self._parts: list[_Part] = []
        for done, group in enumerate(groups):
            here = np.flatnonzero(np.isin(codes, group))
            model = self._method(len(here))
            own = np.random.default_rng([seed, *(code + 1 for code in group)])  # whatever the other classes are

            mine = self._learned_by(group, rows.take(here))
            model._fit(mine, schema.select(tuple(mine)), own, _part_of(progress, done, len(groups)))
            self._parts.append(_Part(group, len(here), model))

    def _groups(self) -> list[tuple[int, ...]]:
        """The classes that are learned together, the smallest first."""
        if not self._is_apart or self._target is None:
            return [tuple(self._counts)]
        groups: list[tuple[int, ...]] = []
        open_, size = [], 0
        for code in sorted(self._counts, key=lambda code: (self._counts[code], code)):
            open_.append(code)
            size += self._counts[code]
            if size >= FEW:
                groups.append(tuple(sorted(open_)))
                open_, size = [], 0
        return groups or [tuple(self._counts)]

    def _rare_code(self, schema: Schema, groups: list[tuple[int, ...]]) -> int:
        """The code of the class that `ratio` is about. Raises ConfigError where there is none."""
        if self._target is None:
            raise ConfigError("ratio is of a class to all others, and there is no target that is a category; name a target")
        labels = [str(value) for value in schema.column(self._target).legal]
        if self.rare is not None and self.rare not in labels:
            raise ConfigError(f"no class {self.rare!r} of the target {self._target!r}{did_you_mean(self.rare, labels)}")
        alone = [group[0] for group in groups if len(group) == 1] if self._is_apart else [c for c in self._counts if c >= 0]
        able = [code for code in alone if code >= 0 and (self.rare is None or labels[code] == self.rare)]
        if not able or len(self._counts) < 2:
            raise ConfigError(
                f"the class {self.rare or 'that is rare'} of the target {self._target!r} has too few rows to be learned; "
                f"{FEW} are needed, and another class"
            )
        return min(able, key=lambda code: self._counts[code])

    def _learned_by(self, group: tuple[int, ...], rows: Encoded) -> Encoded:
        """The columns that a part learns: without the target where it has one class only."""
        if self._target is None or len(group) > 1:
            return rows
        columns = tuple(column for column in rows.columns if column.name != self._target)
        if not columns:
            raise ConfigError("the target is the only learned column, so classes have nothing to differ in; fit independent")
        return Encoded(columns, rows.rows)

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        method = self._method(size.rows)
        return method._estimate(size) if method.has_estimate else (0.0, 0.0, 0.0)

    # sample --------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        drawn = self._draw(n, None, (), rng)
        return Encoded(drawn.columns, drawn.rows)

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """A clause on the target chooses the classes. Where it leaves one model, that conditions on the others as it can; how
        often several models satisfy them is not known, and the caller rejects."""
        asked = next((clause for clause in where.clauses if clause.column == self._target), None)
        return self._draw(n, asked, tuple(clause for clause in where.clauses if clause is not asked), rng)

    def _draw(self, n: int, asked: Clause | None, others: tuple[Clause, ...], rng: np.random.Generator) -> Drawn:
        allowed = {code for code in self._counts if asked is None or bool(asked.holds(np.array([code]))[0])}
        draws = list(self._shares(allowed))
        if not draws:
            raise GenerationError(
                f"no training row has the class that the condition on {self._target!r} asks for; name another"
            )
        total = sum(share for _, _, share in draws)
        ends = np.cumsum([share / total for _, _, share in draws]) * n
        counts = np.diff(np.floor(ends + rng.random()), prepend=np.floor(0.0)).astype(np.int64)  # systematic sampling
        counts[-1] = n - counts[:-1].sum()
        values: dict[str, list[np.ndarray]] = {name: [] for name in self._template}
        effort = Effort()
        for (part, codes, _), count in zip(draws, counts):
            if count == 0 and n > 0:
                continue
            clauses = others if len(draws) == 1 else ()
            if len(codes) < len(part.codes):
                assert self._target is not None
                clauses = (*clauses, Clause(self._target, Kind.CATEGORICAL, frozenset(codes)))
            made = self._of_part(part, int(count), clauses, rng)
            effort += made.effort if isinstance(made, Drawn) else Effort(*[float(count)] * 3)
            for name in self._template:
                single = name == self._target and part.alone
                values[name].append(np.full(made.rows, part.codes[0]) if single else made[name].values)
        order = rng.permutation(n)
        rows = self._template.with_values({name: np.concatenate(v)[order] for name, v in values.items()})
        return Drawn(rows.columns, rows.rows, effort)

    def _of_part(self, part: _Part, n: int, clauses: tuple[Clause, ...], rng: np.random.Generator) -> Encoded:
        learned = self.fitted.learned_schema
        return part.model._sample_where(n, Where(clauses, learned), rng) if clauses else part.model._sample(n, rng)

    def _shares(self, allowed: set[int]) -> Iterator[tuple[_Part, tuple[int, ...], float]]:
        """What is drawn: from which part, which of its classes, and how often."""
        rows = sum(self._counts.values())
        natural = {code: count / rows for code, count in self._counts.items()}
        share = dict(natural)
        if self._rare is not None:
            assert self.ratio is not None
            wanted = max(natural[self._rare], self.ratio / (1 + self.ratio))
            share = {code: s * (1 - wanted) / (1 - natural[self._rare]) for code, s in natural.items()}
            share[self._rare] = wanted
        for part in self._parts:
            apart = [(self._rare,), tuple(code for code in part.codes if code != self._rare)]
            for codes in apart if self._rare in part.codes and not part.alone else [part.codes]:
                kept = tuple(code for code in codes if code in allowed)
                if kept:
                    yield part, kept, sum(share[code] for code in kept)

    # saving --------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        parts: list[dict[str, Any]] = []
        arrays: dict[str, np.ndarray] = {}
        for place, part in enumerate(self._parts):
            state, held = part.model._state()
            parts.append({"codes": list(part.codes), "rows": part.rows, "state": state})
            arrays |= {f"{place}.{name}": values for name, values in held.items()}
        counts = [[code, count] for code, count in self._counts.items()]
        return {"target": self._target, "rare": self._rare, "counts": counts, "parts": parts}, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._template, self._target, self._rare = template, state["target"], state["rare"]
        self._counts = dict(state["counts"])
        self._parts = []
        for place, saved in enumerate(state["parts"]):
            codes, start = tuple(saved["codes"]), f"{place}."
            model = self._method(saved["rows"])
            held = {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
            model._restore(saved["state"], held, self._learned_by(codes, template))
            self._parts.append(_Part(codes, saved["rows"], model))


def _part_of(progress: Progress, place: int, parts: int) -> Progress:
    """How one of several parts reports itself."""

    def so_far(stage: str, done: int, total: int) -> None:
        progress(stage, place * total + done, parts * total)

    return so_far


def _target_of(rows: Encoded, schema: Schema) -> str | None:
    """The target's name, where it is a category that the method sees."""
    target = schema.target
    return target.name if target is not None and target.name in rows and rows[target.name].is_category else None
