"""Noisy marginals and a model that fits them: the best tables that are known under a privacy budget.

`_mst` holds MST (McKenna, Miklau and Sheldon, "Winning the NIST Contest", 2021), `_aim` AIM (McKenna, Mullins, Sheldon and
Miklau, "AIM: An Adaptive and Iterative Mechanism for Differentially Private Synthetic Data", 2022). Both learn from noisy
counts alone; what fits these best is estimated in `_graphical_model`, and rows are drawn from that. `_network` has
AIM's rounds with a network in that place (GEM; Liu, Vietri and Wu, 2021), which does not grow with what hangs together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from synth.data.conditions import Where
from synth.data.encoding import Encoded
from synth.data.schema import Column, Schema
from synth.data.table import Table
from synth.errors import ConfigError, GenerationError, MissingExtraError, did_you_mean
from synth.generators._aim import aim
from synth.generators._exact_counts import ExactCounts
from synth.generators._graphical_model import GraphicalModel, NoisyMarginal
from synth.generators._hyperparameters import whole_number
from synth.generators._mst import mst
from synth.generators._network import network
from synth.generators._product_mixture import ProductMixture
from synth.generators._within import Within, chance_within
from synth.generators.base import Generator
from synth.privacy.domains import PrivateDomain
from synth.privacy.mechanisms import Noise
from synth.progress import Progress

if TYPE_CHECKING:
    from synth.generators._private import Access

METHODS = ("aim", "mst", "network")
COMPONENTS = 512  # a model of D cells in all takes 2 kB × D; with twice as many, twice the time
LEAST = -1_000.0  # log-likelihood of a row: less is not told apart


@dataclass
class Marginals(Generator):
    """Counts of few columns at a time, with noise, and a distribution that has them: of highest entropy, or a network's.

    Everything is paid for out of a budget: without one there is nothing to fit. What was measured stays with the model
    (`measurements`), and may be given to anyone: it is as private as the rows drawn. Conditions on any columns are exact.
    """

    method: Literal["aim", "mst", "network"] = "aim"  # mst counts a tree, faster; a network takes wide tables
    degree: int = 2  # aim, network: columns of the marginals that are to come out right (aim: beside the target)
    rounds: int = 8  # aim, network: measurements of each column, at most; the paper's 16 take longer, and bring nothing
    max_cells: int = 1_000_000  # of the model's tables, or a network's marginal: what it takes in memory and time
    iterations: int = 50  # aim, network: passes or steps of the estimation after each round; the last time there are more
    components: int = COMPONENTS  # network: of the mixture that it learns

    name: ClassVar[str] = "marginals"
    summary: ClassVar[str] = "noisy marginals (AIM, MST or a network) under a privacy budget, which it needs; exact conditions"
    needs: ClassVar[str] = "opendp"  # to fit, and torch for a network; sampling takes numpy alone
    private: ClassVar[bool] = True
    needs_budget: ClassVar[bool] = True

    def _validate(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method is {self.method!r}{did_you_mean(str(self.method), METHODS)}; give aim, mst or network")
        whole_number("degree", self.degree, 2, 3)
        whole_number("rounds", self.rounds, 2)
        whole_number("max_cells", self.max_cells, 1)
        whole_number("iterations", self.iterations, 1)
        whole_number("components", self.components, 2)
        if self.method != "network" and self.components != COMPONENTS:
            raise ConfigError(f"components is {self.components!r}, and {self.method} has none; leave it out, or name network")
        if find_spec("opendp") is None:
            raise MissingExtraError(f"{self.name}, which adds noise to counts,", "opendp", "dp")
        if self.method == "network" and find_spec("torch") is None:
            raise MissingExtraError(f"{self.name} with a network", "torch", "torch")

    # fit -----------------------------------------------------------------------------------------------------------

    def _fit_private(self, rows: Encoded, schema: Schema, access: Access, progress: Progress) -> None:
        domain, noise = access.domain, access.noise
        counts = ExactCounts(domain.encode(rows, schema), domain.sizes, domain.names, access.budget.rows_per_unit)
        target = _place(domain, schema.target)
        self._domain = domain
        self._model, self._measured = learn(counts, noise, self, progress, target=target)

    @property
    def measurements(self) -> list[tuple[tuple[str, ...], np.ndarray, float]]:
        """All that was measured: column names, noisy counts (int64, one axis for each column, a place for each cell of the
        domain), and the noise's standard deviation in rows. Raises NotFittedError before `fit`."""
        self.fitted  # noqa: B018 - raises before fit
        names = self._domain.names
        return [(tuple(names[c] for c in m.columns), m.counts.astype(np.int64), m.sigma) for m in self._measured]

    def counted(self, rows: Table) -> list[np.ndarray]:
        """How many of these rows lie in each place of each of `measurements`, int64 arrays of the same shapes, no noise added.

        Free for rows that were drawn from this model; of real rows it tells what noise has to hide.
        """
        codes = self._domain.encode(self.fitted.encode(rows), self.fitted.learned_schema)
        found = []
        for one in self._measured:
            shape = tuple(self._domain.sizes[column] for column in one.columns)
            places = np.ravel_multi_index(tuple(codes[:, column] for column in one.columns), shape)
            found.append(np.bincount(places, minlength=int(np.prod(shape))).reshape(shape))
        return found

    # sampling ------------------------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        return self._domain.decode(self._model.sample(n, rng), rng)

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """Exact: the model given the cells that clauses allow, each by the share of its values that they allow."""
        within = {clause.column: Within.of(self._domain[clause.column], clause) for clause in where.clauses}
        place = {name: place for place, name in enumerate(self._domain.names)}
        try:
            codes = self._model.sample(n, rng, {place[name]: one.shares for name, one in within.items()})
        except GenerationError:
            raise GenerationError(
                f"no row has a value that the condition on {', '.join(within)} allows, as far as is declared or was measured;\n"
                "widen the condition"
            ) from None
        rows = self._domain.decode(codes, rng)
        columns = tuple(
            within[column.name].draw(codes[:, place[column.name]], column, rng) if column.name in within else column
            for column in rows.columns
        )
        return Encoded(columns, n)

    # likelihood ----------------------------------------------------------------------------------------------------

    def _score(self, rows: Encoded) -> np.ndarray:
        """The model's, of the row's cells, and of its values in these cells; where that is nothing, what is least."""
        codes = self._domain.encode(rows, self.fitted.learned_schema)
        total = self._model.log_chance(codes)
        for place, column in enumerate(self._domain.columns):
            within = chance_within(column, codes[:, place], rows[column.name].values)
            total += np.log(np.maximum(within, np.finfo(np.float64).tiny))
        return np.maximum(total, LEAST)

    # saving --------------------------------------------------------------------------------------------------------

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        model, arrays = self._model.state()
        measured = [{"columns": list(one.columns), "sigma": one.sigma} for one in self._measured]
        flat = np.concatenate([one.counts.reshape(-1) for one in self._measured])
        state = {"domain": self._domain.to_dict(), "model": model, "measured": measured}
        return state, {**arrays, "measured": flat.astype(np.int64)}

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        self._domain = PrivateDomain.from_dict(state["domain"])
        kind = ProductMixture if self.method == "network" else GraphicalModel
        self._model = kind.restore(state["model"], arrays)
        self._measured, begin = [], 0
        for one in state["measured"]:
            shape = [self._domain.sizes[column] for column in one["columns"]]
            end = begin + int(np.prod(shape))
            self._measured.append(
                NoisyMarginal(tuple(one["columns"]), arrays["measured"][begin:end].reshape(shape), one["sigma"])
            )
            begin = end


def _place(domain: PrivateDomain, column: Column | None) -> int | None:
    """Where a column is among those that are learned."""
    return domain.names.index(column.name) if column is not None and column.name in domain.names else None


def learn(
    counts: ExactCounts, noise: Noise, how: Marginals, progress: Progress, *, target: int | None = None
) -> tuple[GraphicalModel | ProductMixture, list[NoisyMarginal]]:
    """What these hyperparameters make of counts, and what was measured of them; it costs all that the allowance has left.

    target: the column that the others are to predict.
    """
    if how.method == "mst":
        return mst(counts, noise, max_cells=how.max_cells, progress=progress)
    common: dict[str, Any] = {
        "degree": how.degree,
        "rounds": how.rounds,
        "max_cells": how.max_cells,
        "iterations": how.iterations,
        "progress": progress,
    }
    if how.method == "aim":
        return aim(counts, noise, target=target, **common)
    return network(counts, noise, components=how.components, **common)
