"""What every generator promises, checked."""

from __future__ import annotations

import json
import tempfile
import typing
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from synth.check.alternatives import alternatives
from synth.check.cases import Case, bytes_of, learned, must_raise
from synth.check.conformance import Broken, CannotRun, Conformance, conform, require
from synth.check.fits import declared, fit, paid
from synth.data.conditions import Where
from synth.data.encoding import encode
from synth.data.example import example_conditions, example_table
from synth.data.schema import Role
from synth.data.table import Table
from synth.errors import BudgetError, ConditionError, ConfigError, DataError, GenerationError, NotFittedError
from synth.generators._shards import Joined, Part, Shards, drawn_here
from synth.generators._storage import FILES, load
from synth.generators.base import Generator
from synth.progress import silent

SIGMAS = 5.0  # a null rate may differ from the real one by so many standard errors: one false alarm in two million
NULL_ROWS = 4_000  # rows drawn to tell a null rate
CONDITIONED_ROWS = 150
SHARD_ROWS = 50  # in each of the parts that are drawn by themselves
OF_THE_MACHINE = (
    "device",
    "devices",
    "precision",
    "max_seconds",
)  # where a network is trained, and how long: need not matter here
UNDER_BUDGET = "private_"  # how a hyperparameter begins that matters under a privacy budget alone
NONSENSE = "no such value"  # of any hyperparameter: a config or a command line may well give a text for a number


def check_generator(generator: Generator | type[Generator], table: Table | None = None) -> Conformance:
    """Check every promise of a generator, in order, on fresh copies of it.

    generator: an instance (whose hyperparameters are used) or a class. table: the rows to learn from; by default a small table
    with a column of every kind, nulls, a key and free text.
    Returns the checks that passed. Raises CheckFailed at the first one that does not.
    """
    instance = generator() if isinstance(generator, type) else generator
    table = example_table() if table is None else table
    case = Case(instance, declared(table) if instance.needs_budget else table)
    return conform(type(instance).__name__, CHECKS, case)


# the checks ------------------------------------------------------------------------------------------------------------


def _params(case: Case) -> None:
    from sklearn.base import clone

    own = case.generator.get_params()
    declared = {f.name for f in fields(case.generator)}
    require(set(own) == declared, f"get_params gives {sorted(own)}, the fields are {sorted(declared)}")
    copy = clone(case.generator)
    require(copy.get_params() == own, "sklearn.base.clone does not keep the hyperparameters")
    require(not copy.is_fitted, "sklearn.base.clone keeps what was fitted")
    for name, value in own.items():
        require(copy.set_params(**{name: value}) is copy, "set_params does not return the generator")
    must_raise(ConfigError, lambda: copy.set_params(**{NONSENSE: 1}), "set_params with an unknown name")
    require(bool(case.generator.name and case.generator.summary), "`name` or `summary` is empty")


def _not_fitted(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        must_raise(NotFittedError, lambda: case.fresh().sample(1), "sample before fit")
        must_raise(NotFittedError, lambda: case.fresh().save(Path(folder) / "model"), "save before fit")


def _fit_returns_itself(case: Case) -> None:
    model = case.fresh()
    calls: list[tuple[int, int]] = []
    require(
        fit(model, case.table, progress=lambda stage, done, total: calls.append((done, total))) is model, "fit returns another"
    )
    require(model.is_fitted, "is_fitted is false after fit")
    require(bool(calls) and calls[-1][0] == calls[-1][1], "fit does not report its progress up to the end")
    require(all(0 <= done <= total for done, total in calls), "fit reports more steps done than there are")


def _input_not_mutated(case: Case) -> None:
    before = bytes_of(case.table.arrow)
    fit(case.fresh(), case.table).sample(5)
    require(bytes_of(case.table.arrow) == before, "fit changes the table it is given")


def _shape(case: Case) -> None:
    for n in (0, 1, 7, len(case.table) + 13):
        rows = case.model.sample(n)
        require(isinstance(rows, Table), f"sample gives a {type(rows).__name__} for a model that was fitted on a Table")
        require(len(rows) == n, f"sample({n}) gives {len(rows)} rows")
        require(rows.schema == case.made.schema, f"sample({n}) has another schema than the table that was fitted")
        require(rows.arrow.schema.equals(case.made.arrow.schema), f"sample({n}) has other physical types than the table")
    for bad in (-1, 1.5, True, "10", None):
        must_raise(ConfigError, lambda bad=bad: case.model.sample(bad), f"sample({bad!r})")  # type: ignore[misc]


def _legal_values(case: Case) -> None:
    rows = case.model.sample(len(case.table))
    try:
        made = encode(rows)
    except DataError as problem:
        raise Broken(f"a value outside the schema is drawn: {problem}") from problem
    for column in made.columns:
        require(column.is_category or bool(np.isfinite(column.values[~column.null]).all()), f"{column.name!r} holds infinity")


def _keys(case: Case) -> None:
    keys = [column.name for column in case.made.schema.columns if column.role is Role.KEY]
    if not keys:
        raise CannotRun("the table has no key")
    rows = case.model.sample(len(case.table))
    for name in keys:
        values = rows.column(name)
        require(values.null_count == 0 and len(values.unique()) == len(rows), f"key {name!r} is not unique")


def _nulls(case: Case) -> None:
    rows = case.model.sample(NULL_ROWS, seed=3)
    told = [column.name for column in case.made.schema.columns if column.is_learned or not case.generator.needs_budget]
    for name in told:  # under a budget nobody asks how often what is issued anew was null
        real = case.made.column(name).null_count / len(case.made)
        fake = rows.column(name).null_count / NULL_ROWS
        error = np.sqrt(real * (1 - real) * (1 / NULL_ROWS + 1 / len(case.made)))
        require(
            abs(fake - real) <= SIGMAS * error, f"{name!r} is null in {fake:.1%} of the rows, in {real:.1%} of the real ones"
        )


def _same_seed(case: Case) -> None:
    again = fit(case.fresh(), case.table)
    alike = learned(again) == learned(case.model) if again.receipt else again.digest() == case.model.digest()
    require(alike, "two fits with one seed give two models")  # receipts differ: each fit was paid for
    first, second = (bytes_of(model.sample(100, seed=5).arrow) for model in (case.model, again))
    require(first == second, "two fits with one seed give other rows for one seed")
    require(bytes_of(case.model.sample(100, seed=5).arrow) == first, "sampling twice with one seed gives other rows")


def _other_seed(case: Case) -> None:
    learned = [column.name for column in case.made.schema.learned]  # what is re-issued is the base's doing
    first, second = (bytes_of(case.model.sample(100, seed=seed).arrow.select(learned)) for seed in (5, 6))
    require(first != second, "two seeds give the same rows")


def _refit(case: Case) -> None:
    model = fit(case.fresh(), case.other(), seed=9)
    require(learned(model) != learned(case.model), "a fit on other rows learns the same")
    fit(model, case.table)
    require(learned(model) == learned(case.model), "a second fit remembers the first")
    require(bytes_of(model.sample(50).arrow) == bytes_of(case.model.sample(50).arrow), "a second fit remembers the first")


def _where(case: Case) -> None:
    some = False
    for condition in example_conditions(case.made):
        some = True
        rows = case.model.sample(CONDITIONED_ROWS, where=condition, seed=2)
        require(len(rows) == CONDITIONED_ROWS, f"where {condition} gives {len(rows)} rows of {CONDITIONED_ROWS}")
        kept = len(rows.where(condition))
        require(kept == len(rows), f"{len(rows) - kept} of {len(rows)} rows break where {condition}")
        again = case.model.sample(CONDITIONED_ROWS, where=condition, seed=2)
        require(bytes_of(again.arrow) == bytes_of(rows.arrow), f"where {condition} gives other rows for the same seed")
    if not some:
        raise CannotRun("no column can be conditioned on")
    must_raise(ConditionError, lambda: case.model.sample(1, where={NONSENSE: 1}), "a condition on an unknown column")


def _save(case: Case) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        case.model.save(folder)
        _without_pickle(folder)
        again = load(folder, method=type(case.generator))
        require(again.get_params() == case.model.get_params(), "loading loses hyperparameters")
        require(again.digest() == case.model.digest(), "a loaded model differs from the one that was saved")
        for where in (None, *list(example_conditions(case.made))[:1]):
            same = bytes_of(again.sample(60, where=where).arrow) == bytes_of(case.model.sample(60, where=where).arrow)
            require(same, "a loaded model gives other rows")


def _shards(case: Case) -> None:
    """Parts of a sample do not depend on who draws them: each by a model loaded for it alone, the last one first."""
    where = next(example_conditions(case.made), None)
    with tempfile.TemporaryDirectory() as parent:
        case.model.save(Path(parent) / "model")
        for condition in (None, *([] if where is None else [where])):
            n, size = 3 * SHARD_ROWS - 7, SHARD_ROWS
            asked = Where.parse(condition, case.model.fitted.schema)
            here = [bytes_of(part.arrow) for part in drawn_here(Joined(Shards(case.model, (Part(n, asked),), 6, size)), silent)]
            alone = {}
            for k in (2, 1, 0):
                loaded = load(Path(parent) / "model", method=type(case.generator))
                alone[k] = Shards(loaded, (Part(n, asked),), 6, size).draw(k)
            joined = Joined(Shards(case.model, (Part(n, asked),), 6, size))
            there = [bytes_of(joined.add(k, alone[k]).arrow) for k in (0, 1, 2)]
            require(here == there, "a part of a sample depends on what was drawn before it by the same worker")
            require(len(set(here)) == 3, "two parts of a sample hold the same rows")


def _without_pickle(folder: Path) -> None:
    """Every file is JSON, or arrays that numpy reads without pickle."""
    for path in sorted(folder.rglob("*")):
        require(path.name in FILES or path.suffix == ".safetensors", f"the model folder holds {path.name}, which is not known")
    json.loads((folder / "model.json").read_bytes())
    try:
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            for name in arrays.files:
                arrays[name]
    except ValueError as problem:
        raise Broken(f"the model's arrays need pickle: {problem}") from problem


def _provenance(case: Case) -> None:
    where = next(example_conditions(case.made), None)
    rows = case.model.sample(9, where=where, seed=4)
    mark = rows.provenance
    require(mark is not None, "the rows do not say where they come from")
    said = (mark.generator, mark.model_digest, mark.seed, mark.rows)
    wanted = (case.generator.name, case.model.digest(), 4, 9)
    require(said == wanted, f"the rows say they come from {said}, not from {wanted}")
    require(mark.where is not None or where is None, "the rows do not name their condition")


def _impute(case: Case) -> None:
    """Observed cells stay, learned ones are filled, one seed gives one result; a method that cannot says so."""
    table = case.other()
    if not case.model.has_impute:
        must_raise(ConfigError, lambda: case.model.impute(table), "impute by a method that cannot")
        return
    before = bytes_of(table.arrow)
    done = case.model.impute(table, seed=1)
    require(bytes_of(table.arrow) == before, "impute changes the table it is given")
    require(done.schema == table.schema and done.arrow.schema.equals(table.arrow.schema), "impute changes schema or types")
    learned = {column.name for column in case.made.schema.learned}
    for name in table.columns:
        old, new = table.column(name), done.column(name)
        seen = old.is_valid()
        require(new.filter(seen).equals(old.filter(seen)), f"impute changes observed cells of {name!r}")
        if name in learned:
            require(new.null_count == 0, f"impute leaves {new.null_count} cells of {name!r} empty")
        else:
            require(new.equals(old), f"impute changes {name!r}, which is not learned")
    try:
        encode(done)
    except DataError as problem:
        raise Broken(f"impute fills in a value outside the schema: {problem}") from problem
    require(bytes_of(case.model.impute(table, seed=1).arrow) == bytes_of(done.arrow), "one seed fills in two ways")
    if done.arrow != table.arrow:
        require(bytes_of(case.model.impute(table, seed=2).arrow) != bytes_of(done.arrow), "two seeds fill in the same way")
    some = next(iter(learned))
    must_raise(
        DataError, lambda: case.model.impute(table.select([n for n in table.columns if n != some])), "impute without a column"
    )
    must_raise(NotFittedError, lambda: case.fresh().impute(table), "impute before fit")


def _frames(case: Case) -> None:
    if case.generator.needs_budget:
        raise CannotRun("under a budget a frame is refused, since nobody declared what is in it")
    packages = [package for package in ("pandas", "polars") if find_spec(package)]
    if not packages:
        raise CannotRun("neither pandas nor polars is installed")
    target = None if case.made.schema.target is None else case.made.schema.target.name
    sensitive = [column.name for column in case.made.schema.sensitive]
    frame: Any
    before: Any
    for package in packages:
        frame, before = ((case.made.to_pandas if package == "pandas" else case.made.to_polars)() for _ in range(2))
        made = case.fresh().fit(frame, target=target, sensitive=sensitive).sample(20)
        require(type(made) is type(frame), f"a {package} frame in gives a {type(made).__name__} out")
        require(list(made.columns) == list(frame.columns), f"a {package} frame comes back with other columns")
        require(list(made.dtypes) == list(frame.dtypes), f"a {package} frame comes back with other dtypes")
        require(frame.equals(before), f"fit changes the {package} frame it is given")


def _hyperparameters(case: Case) -> None:
    """Each hyperparameter has a value that changes what is learned or drawn, unless all others are refused; nonsense is."""
    where = next(example_conditions(case.made), None)

    def told(model: Generator) -> tuple[bytes, ...]:
        try:
            given = bytes_of(model.sample(200, where=where, seed=7).arrow)
        except GenerationError as problem:  # a hyperparameter may make a condition too rare for the method
            given = str(problem).encode()
        return learned(model), bytes_of(model.sample(200, seed=7).arrow), given

    before = told(case.model)
    hints = typing.get_type_hints(type(case.generator))
    for name, value in case.generator.get_params().items():
        must_raise(ConfigError, lambda name=name: fit(case.fresh(**{name: NONSENSE}), case.table), f"{name}={NONSENSE!r}")  # type: ignore[misc]
        if name in OF_THE_MACHINE or name.startswith(UNDER_BUDGET):
            continue
        accepted: list[Any] = []
        for other in alternatives(value, hints[name], tuple(encode(case.made.head(1)))):
            try:
                model = fit(case.fresh(**{name: other}), case.table)
            except ConfigError:
                continue
            accepted.append(other)
            if told(model) != before:
                break
        else:
            require(
                not accepted, f"hyperparameter {name!r} changes nothing: {value!r} and {accepted} give the same model and rows"
            )


def _budget(case: Case) -> None:
    """A privacy budget is refused, or paid for: rows are legal, conditions hold, the receipt is saved, no knob is dead."""
    if case.generator.needs_budget:
        raise CannotRun("it learns under a budget alone, so all other checks are of that")
    if not case.generator.private:
        must_raise(ConfigError, lambda: paid(case.fresh(), case.table), "a budget given to a method that takes none")
        return
    table = declared(case.table)
    model = paid(case.fresh(), table)
    require(model.receipt is not None and not model.receipt.secure, "a fit under a budget with a seed gives no receipt of both")
    rows = model.sample(CONDITIONED_ROWS)
    try:
        encode(rows)
    except DataError as problem:
        raise Broken(f"under a budget a value outside the schema is drawn: {problem}") from problem
    require(rows.arrow.schema.equals(case.made.arrow.schema), "under a budget rows have other physical types than the table")
    where = next(example_conditions(case.made), None)
    if where is not None:
        given = model.sample(CONDITIONED_ROWS, where=where, seed=2)
        require(len(given) == len(given.where(where)) == CONDITIONED_ROWS, f"under a budget rows break where {where}")
    with tempfile.TemporaryDirectory() as parent:
        model.save(Path(parent) / "model")
        again = load(Path(parent) / "model", method=type(case.generator))
    require(again.receipt == model.receipt, "loading loses the receipt")
    require(
        bytes_of(again.sample(60).arrow) == bytes_of(model.sample(60).arrow), "a model loaded after a paid fit gives other rows"
    )
    hints = typing.get_type_hints(type(case.generator))
    for name in [name for name in case.generator.get_params() if name.startswith(UNDER_BUDGET)]:
        must_raise(ConfigError, lambda name=name: paid(case.fresh(**{name: NONSENSE}), table), f"{name}={NONSENSE!r}")  # type: ignore[misc]
        value = case.generator.get_params()[name]
        for other in alternatives(value, hints[name], ()):
            try:
                changed = paid(case.fresh(**{name: other}), table)
            except (ConfigError, BudgetError):
                continue
            require(learned(changed) != learned(model), f"hyperparameter {name!r} changes nothing under a budget")
            break


CHECKS: dict[str, Callable[[Case], None]] = {
    "parameters": _params,
    "not fitted": _not_fitted,
    "fit": _fit_returns_itself,
    "input not mutated": _input_not_mutated,
    "rows and schema": _shape,
    "legal values": _legal_values,
    "keys": _keys,
    "nulls": _nulls,
    "same seed": _same_seed,
    "other seed": _other_seed,
    "refit forgets": _refit,
    "where": _where,
    "save and load": _save,
    "shards": _shards,
    "provenance": _provenance,
    "impute": _impute,
    "frames": _frames,
    "hyperparameters": _hyperparameters,
    "budget": _budget,
}
