"""`Generator`: `fit(table)` once, `sample(n, where=…)` often.

The public methods validate and do everything that is the same for every method: what is learned and what is re-issued,
constraints kept by construction, exact conditions, physical types, seeds, saving. A method writes these hooks:

    _fit(rows, schema, rng, progress)   learn from the encoded rows
    _fit_private(rows, schema, …)       the same under a privacy budget, where the method can (optional)
    _sample(n, rng)                     n encoded rows
    _sample_where(n, where, rng)        the same, conditioned as far as the method can without bias (optional)
    _score(rows)                        how likely each encoded row is, where the method knows (optional)
    _impute(rows, rng, progress)        the encoded rows with a value in place of every null (optional)
    _estimate(size) and _plans()        what a fit costs, and hyperparameters that make it cost less (optional)
    _state() and _restore(…)            what was learned, as JSON values and arrays

Hyperparameters are the fields of the subclass's dataclass. `get_params`, `set_params` and `sklearn.base.clone` work as in
scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from synth.data.conditions import Where
from synth.data.table import Table
from synth.errors import ConfigError, DataError, NotFittedError, did_you_mean
from synth.generators._estimate import Estimate, TableSize, check_memory
from synth.generators._fitted import Fitted
from synth.generators._missing import fillers
from synth.generators._shards import SHARD, Part, Shards, in_memory, to_file
from synth.generators._training import Checkpoint
from synth.progress import Progress, silent
from synth.seed import check_seed

if TYPE_CHECKING:
    from synth.data.encoding import Encoded
    from synth.data.schema import Schema
    from synth.generators._judging import Judging
    from synth.generators._private import Access, Receipt
    from synth.privacy.accounting import Curve
    from synth.privacy.budget import Budget
    from synth.workers import Workers

# What `sample` returns: a `Table` when a `Table` was fitted, else the kind of frame that was (pandas, polars, Arrow).
Rows = Any


@dataclass
class Generator:
    """Base of every method. Subclasses are dataclasses whose fields are the hyperparameters."""

    name: ClassVar[str] = ""  # its registry name, which is its file name
    summary: ClassVar[str] = ""  # one line, shown by `synth generators`
    ladder: ClassVar[tuple[Mapping[str, Any], ...]] = ()  # settings to fit to a policy with, the most faithful first; or none
    keeps_checkpoints: ClassVar[bool] = False  # whether an interrupted fit can go on where it was
    private: ClassVar[bool] = False  # whether it can learn under a privacy budget
    needs_budget: ClassVar[bool] = False  # whether it learns under one alone
    bins_share: ClassVar[float] = 0.1  # of the zCDP part of its cost, for bins that follow the rows: decision 026
    refusal: ClassVar[str] = "it learns from the rows as they are; fit marginals, which learns from noisy counts alone"

    _shard_rows: ClassVar[int] = SHARD

    # hooks ---------------------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        """Raise ConfigError for a hyperparameter outside its range."""

    def _fit(self, rows: Encoded, schema: Schema, rng: np.random.Generator, progress: Progress) -> None:
        raise NotImplementedError

    def _fit_private(self, rows: Encoded, schema: Schema, access: Access, progress: Progress) -> None:
        """Learn from the encoded rows through noise and cells alone: `access.noise`, `access.domain`."""
        raise NotImplementedError

    def _private_cost(self, budget: Budget, delta: float, aside: int = 0) -> Curve:
        """What a fit under a budget costs, its thresholds taking `delta`: all the zCDP that there is in it.

        aside: micro-ρ of the cost that are spent on other counts (`Judging`): part of its zCDP, and none of the method's.
        """
        from synth.privacy.accounting import ATTO, Curve, micro_rho, rounded_up

        return Curve(micro_rho(budget.epsilon, budget.delta - delta), atto_delta=rounded_up(delta, ATTO))

    def _sample(self, n: int, rng: np.random.Generator) -> Encoded:
        raise NotImplementedError

    def _sample_where(self, n: int, where: Where, rng: np.random.Generator) -> Encoded:
        """Rows that satisfy as much of `where` as the method can condition on without bias; the caller rejects the rest."""
        return self._sample(n, rng)

    def _score(self, rows: Encoded) -> np.ndarray:
        """Log-likelihood of each row in nats, shape (rows,), finite. A method that has none leaves this hook alone."""
        raise NotImplementedError

    def _impute(self, rows: Encoded, rng: np.random.Generator, progress: Progress) -> Encoded:
        """The same rows, with draws given the observed cells in place of nulls. A method that cannot leaves this hook alone."""
        raise NotImplementedError

    def _estimate(self, size: TableSize) -> tuple[float, float, float]:
        """Seconds, peak bytes of memory beside table and encoding, and bytes of the model. A method may leave it unsaid."""
        raise NotImplementedError

    def _plans(self) -> Iterator[Mapping[str, Any]]:
        """Hyperparameters that need less memory than these, the least harmful first."""
        return iter(())

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        raise NotImplementedError

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray], template: Encoded) -> None:
        """Take back what `_state` gave. `template` has the learned columns and no rows."""
        raise NotImplementedError

    # fit -----------------------------------------------------------------------------------------------------------

    def fit(
        self,
        data: Any,
        *,
        seed: int = 0,
        target: str | None = None,
        sensitive: str | Iterable[str] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        budget: Budget | None = None,
        dataset: str | None = None,
        ledger: str | Path | None = None,
        facts_share: float = 0.0,
        judging_share: float = 0.0,
        noise_seed: int | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Learn from a table. Fitting again forgets what was learned before; the input is never changed.

        data: a `Table`, or a pandas, polars or Arrow frame, or a file's path, whose schema is then inferred.
        target, sensitive: column names, where the table's schema does not already give them.
        checkpoint: a folder in which a neural method keeps its unfinished training, for a fit that may be killed; it is gone
        when the fit is done. resume: go on from what lies there, to the same model as if nothing had happened.
        budget: what may become known about any one row or subject: the method then learns through noise alone, from what the
        schema declares. It is spent on `dataset`, a name that stands for these people in the ledger (by default a path's file
        name), of which the first budget is the cap, and stays spent if the fit fails. ledger: its file, by default this
        machine's. facts_share: the share of the budget that buys what is not declared; 0 refuses to. judging_share: the share
        that buys noisy counts to judge rows by (`judging`), for methods that keep none. noise_seed: for tests alone; such a
        model says that its noise is known, and nothing drawn from it is exported.
        Raises DataError or SchemaError for data that cannot be used, ConfigError for a hyperparameter out of range, and
        TooLargeError, before it starts, where it would need more memory than there is (or than SYNTH_MEMORY_LIMIT says);
        ConfigError for a checkpoint of a method that keeps none, DataError for one of another fit; and under a budget
        BudgetError for one that the data set has no room for, before any row is read, SchemaError for what is not declared.
        """
        from synth.data.frames import as_table

        self.forget()
        self._validate()
        if checkpoint is not None and not self.keeps_checkpoints:
            raise ConfigError(f"{self.name or type(self).__name__} keeps no checkpoints, and is soon done; fit it without")
        if resume and checkpoint is None:
            raise ConfigError("resume goes on from a checkpoint; name the folder that it is in")
        seed = check_seed(seed)
        given: dict[str, Any] = {"budget": budget, "dataset": dataset, "ledger": ledger, "noise_seed": noise_seed}
        shares: dict[str, Any] = {"facts_share": facts_share, "judging_share": judging_share}
        if any(shares.values()) or any(value is not None for value in given.values()):
            from synth.generators._private import fit_paid

            reading: dict[str, Any] = {"target": target, "sensitive": sensitive}
            done = fit_paid(self, data, reading, seed=seed, checkpoint=checkpoint, progress=progress, **given, **shares)
            self.__dict__["_fitted"], self.__dict__["_receipt"], self.__dict__["_judging"] = done
            return self
        if self.needs_budget:
            raise ConfigError(
                f"{self.name} learns through noise alone, and takes a privacy budget to pay for it; give it one, such as "
                "epsilon 1 and delta 1e-5,\nor fit trees, which keeps more and promises nothing"
            )
        table = as_table(data, target=target, sensitive=sensitive)
        check_memory(self, table)
        fitted, rows = Fitted.learn(table, gives_table=isinstance(data, Table), seed=seed)
        self.__dict__["_kept_in"] = None if checkpoint is None else Checkpoint(Path(checkpoint), resume)
        try:
            self._fit(rows, fitted.learned_schema, np.random.default_rng([seed, 0]), progress)
        finally:
            del self.__dict__["_kept_in"]
        if checkpoint is not None:
            with suppress(OSError):  # it was never written to, or holds something else
                Path(checkpoint).rmdir()
        self.__dict__["_fitted"] = fitted
        return self

    @property
    def receipt(self) -> Receipt | None:
        """What was spent on a fit under a privacy budget, and on what; None for a fit without. Raises NotFittedError."""
        self.fitted  # noqa: B018 - raises before fit
        receipt: Receipt | None = self.__dict__.get("_receipt")
        return receipt

    @property
    def judging(self) -> Judging | None:
        """Noisy counts that were bought to judge rows by; None for a fit without. Raises NotFittedError."""
        self.fitted  # noqa: B018 - raises before fit
        judging: Judging | None = self.__dict__.get("_judging")
        return judging

    @property
    def has_estimate(self) -> bool:
        """Whether the method knows what a fit costs, so that `estimate` can be called."""
        return type(self)._estimate is not Generator._estimate

    def estimate(self, data: Any, *, target: str | None = None, sensitive: str | Iterable[str] | None = None) -> Estimate:
        """What `fit` of this table would cost in time and memory, told from a few thousand of its rows.

        Raises ConfigError where the method does not know, and as `fit` does for data and hyperparameters it cannot use.
        """
        from synth.data.frames import as_table

        if not self.has_estimate:
            raise ConfigError(f"{type(self).__name__} does not know what a fit costs; it has no estimate to give")
        self._validate()
        return self._cost(TableSize.of(as_table(data, target=target, sensitive=sensitive)))

    def _cost(self, size: TableSize) -> Estimate:
        seconds, peak, model = self._estimate(size)
        return Estimate(size.rows, len(size.columns), seconds, round(size.encoded_bytes + peak), round(model))

    @property
    def _checkpoint(self) -> Checkpoint | None:
        """During `_fit`: where an unfinished training is kept, if the caller said so."""
        kept: Checkpoint | None = self.__dict__.get("_kept_in")
        return kept

    def forget(self) -> None:
        """Drop everything learned; the hyperparameters stay."""
        names = {f.name for f in fields(self)}
        for attribute in [a for a in self.__dict__ if a not in names]:
            del self.__dict__[attribute]

    @property
    def fitted(self) -> Fitted:
        """What the base learned: schema, physical types, null rates. Raises NotFittedError before `fit`."""
        fitted = self.__dict__.get("_fitted")
        if fitted is None:
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(table) first")
        assert isinstance(fitted, Fitted)
        return fitted

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has learned a table, so that `sample` and `save` can be called."""
        return "_fitted" in self.__dict__

    # sample --------------------------------------------------------------------------------------------------------

    def sample(self, n: int, *, where: Any = None, seed: int = 0, progress: Progress = silent) -> Rows:
        """Draw n rows; with `where`, rows that all satisfy it.

        where: text as in SQL ("income = '>50K' and age between 30 and 40") or a mapping ({"income": ">50K"}).
        Returns a `Table` when a `Table` was fitted, else the kind of frame that was; the same seed gives the same rows.
        Raises NotFittedError before `fit`, ConditionError for a condition that no row can satisfy, GenerationError where the
        condition is too rare to be met by the method.
        """
        table = self.sample_table(n, where=where, seed=seed, progress=progress)
        return table if self.fitted.gives_table else table.to_frame()

    def sample_table(self, n: int, *, where: Any = None, seed: int = 0, progress: Progress = silent) -> Table:
        """The rows of `sample` as a `Table`, whatever kind of frame was fitted."""
        return in_memory(self._shards_of(((n, where),), seed), progress)

    def sample_to(
        self,
        path: str | Path,
        n: int,
        *,
        where: Any = None,
        seed: int = 0,
        workers: Workers | None = None,
        progress: Progress = silent,
    ) -> Path:
        """Draw n rows into one Parquet file, in memory that does not grow with n; these are the rows of `sample`.

        path: ends in .parquet; the file appears whole or not at all, and its metadata says that its rows are not approved, and
        where they come from (`synth.data.quarantine.origin_of`): the provenance that `sample` gives.
        workers: who draws them, such as `synth.Processes(2)`; by default this process. The bytes do not depend on it.
        Returns the path. Raises as `sample` does, DataError where the file cannot be written, TooLargeError
        where the disk has no room for it, WorkerError where a worker dies.
        """
        file = Path(path)
        if file.suffix != ".parquet":
            raise DataError(
                f"{file}: unapproved rows are written as .parquet only, since other formats cannot carry the mark that says "
                "so;\nname a .parquet file, or release them with `synth run` and `synth export --format csv`"
            )
        to_file(self._shards_of(((n, where),), seed), file, workers, progress)
        return file

    def sample_parts(self, parts: Iterable[tuple[int, Any]], *, seed: int = 0, progress: Progress = silent) -> Table:
        """One sample of several parts, each with its number of rows and its condition, one part after the other.

        What must not repeat among the rows of a sample, such as a key, repeats in no two parts either; the provenance names
        each part. Raises as `sample` does, and ConfigError for no part at all.
        """
        asked = tuple(parts)
        if not asked:
            raise ConfigError("no part is given to draw; give at least one, as (rows, condition)")
        return in_memory(self._shards_of(asked, seed), progress)

    def _shards_of(self, asked: tuple[tuple[int, Any], ...], seed: int) -> Shards:
        """What was asked for, checked."""
        fitted, parts = self.fitted, []
        for n, where in asked:
            if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
                raise ConfigError(f"n is {n!r}; give the number of rows as a whole number, 0 or more")
            condition = Where.parse(where, fitted.schema)
            fitted.check_condition(condition)
            parts.append(Part(int(n), condition))
        return Shards(self, tuple(parts), check_seed(seed), self._shard_rows)

    # likelihood ----------------------------------------------------------------------------------------------------

    @property
    def has_score(self) -> bool:
        """Whether the method knows how likely a row is, so that `score` can be called."""
        return type(self)._score is not Generator._score

    def score(self, data: Any) -> np.ndarray:
        """How likely each row is under the fitted model: log-likelihood in nats, float64 of shape (rows,).

        data: a `Table`, a pandas, polars or Arrow frame, or a path, with the learned columns; others are passed over.
        A number counts with the probability of the cell around it, as wide as the grid that it is written on, so that scores of
        rows can be compared with each other, but not those of models that were fitted to other columns.
        Raises NotFittedError before `fit`, ConfigError where the method has no likelihood, DataError where a learned column is
        missing or holds a category that the schema does not list.
        """
        from synth.data.frames import as_table

        fitted = self.fitted
        if not self.has_score:
            raise ConfigError(f"{type(self).__name__} does not know how likely a row is; it has no score to give")
        return self._score(fitted.encode(data if isinstance(data, Table) else as_table(data)))

    # filling in ----------------------------------------------------------------------------------------------------

    @property
    def has_impute(self) -> bool:
        """Whether the method can fill in missing cells, so that `impute` can be called."""
        return type(self)._impute is not Generator._impute

    def impute(self, data: Any, *, seed: int = 0, progress: Progress = silent) -> Rows:
        """The rows with every missing cell of the learned columns filled in: drawn given the row's observed cells.

        data: a `Table`, a pandas, polars or Arrow frame, or a path, with the learned columns. Observed cells, types, the order
        of the rows, and columns that are not learned (keys, identifiers, free text) come back as they are, nulls of the latter
        among them. Returns a `Table` for a `Table`, else the kind of frame that was given.
        What comes back holds real cells: it is not synthetic, and as confidential as the data.
        Raises NotFittedError before `fit`, ConfigError where the method cannot fill in or a missing column is tied to others by
        a constraint, DataError where a learned column is missing or holds a category that the schema does not list,
        GenerationError where a constraint cannot be kept or a column was null in every training row.
        """
        from synth.data.frames import as_table
        from synth.generators._imputing import impute

        self.fitted  # noqa: B018 - raises before fit
        if not self.has_impute:
            raise ConfigError(f"{type(self).__name__} cannot fill in missing cells; {fillers()} can: fit one of them")
        table = data if isinstance(data, Table) else as_table(data)
        done = replace(impute(self, table, np.random.default_rng([check_seed(seed), 2]), progress), mark="real")
        return done if isinstance(data, Table) else done.to_frame()

    # identity ------------------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """SHA-256 (hex) of the fitted model as it would be saved."""
        self.fitted  # noqa: B018 - raises before fit
        if "_digest" not in self.__dict__:
            from synth.generators._storage import digest

            self.__dict__["_digest"] = digest(self)
        return str(self.__dict__["_digest"])

    def save(self, path: str | Path) -> None:
        """Write the fitted model as a folder of JSON and npz; whole or not at all. Loading it runs no code."""
        from synth.generators._storage import save

        save(self, path)

    # scikit-learn habits -------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Change hyperparameters. Raises ConfigError for a name that is not one."""
        known = [f.name for f in fields(self)]
        for name, value in params.items():
            if name not in known:
                raise ConfigError(f"{type(self).__name__} has no hyperparameter {name!r}{did_you_mean(name, known)}")
            setattr(self, name, value)
        return self
