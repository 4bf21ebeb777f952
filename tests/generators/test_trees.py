"""What the trees keep of a table, what they do not give away, and what happens at the edges."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import ConfigError, GenerationError
from synth.generators.independent import Independent
from synth.generators.trees import Trees


def table(roles: dict[str, Role] | None = None, **columns: np.ndarray | list[object]) -> Table:
    """Text becomes categories, floats decimals, integers integers."""
    arrays = {name: pa.array(values) for name, values in columns.items()}
    made = []
    for name, values in arrays.items():
        role = (roles or {}).get(name, Role.FEATURE)
        nullable = values.null_count > 0
        if pa.types.is_string(values.type):
            levels = tuple(sorted(v for v in values.unique().to_pylist() if v is not None))
            made.append(Column(name, Kind.CATEGORICAL, role, nullable, categories=levels))
        else:
            kind = Kind.INTEGER if pa.types.is_integer(values.type) else Kind.DECIMAL
            made.append(Column(name, kind, role, nullable))
    return Table(pa.table(arrays), Schema(tuple(made)))


def numbers(rows: Table, name: str) -> np.ndarray:
    return np.asarray(rows.column(name).to_numpy(), dtype=np.float64)


def distance(a: Table, b: Table, *names: str) -> float:
    """Total variation between the joint tables of some categories."""
    shares: dict[tuple[object, ...], list[float]] = {}
    for side, rows in enumerate((a, b)):
        for cell in zip(*(rows.column(name).to_pylist() for name in names), strict=True):
            shares.setdefault(cell, [0.0, 0.0])[side] += 1 / len(rows)
    return sum(abs(x - y) for x, y in shares.values()) / 2


@pytest.fixture(scope="module")
def related() -> Table:
    """Three causes and two effects, one of them a number that depends on two causes at once."""
    rng = np.random.default_rng(0)
    n = 4_000
    a, b = rng.choice(["x", "y", "z"], n, p=[0.6, 0.3, 0.1]), rng.integers(0, 50, n)
    c = np.where(rng.random(n) < np.where(a == "x", 0.8, 0.2), "yes", "no")
    d = np.where(c == "yes", b, 50 - b) + rng.normal(0, 1, n)
    return table({"c": Role.TARGET, "a": Role.SENSITIVE}, a=a, b=b, c=c, d=d)


@pytest.fixture(scope="module")
def model(related: Table) -> Trees:
    return Trees().fit(related)


def test_relations_survive_that_independent_columns_lose(related: Table, model: Trees) -> None:
    fake, floor = model.sample(4_000), Independent().fit(related).sample(4_000)
    assert distance(related, fake, "a", "c") < 0.03 < 0.15 < distance(related, floor, "a", "c")
    for answer in ("yes", "no"):
        wanted = np.corrcoef(numbers(related.where({"c": answer}), "b"), numbers(related.where({"c": answer}), "d"))[0, 1]
        slice_ = fake.where({"c": answer})
        assert np.corrcoef(numbers(slice_, "b"), numbers(slice_, "d"))[0, 1] == pytest.approx(wanted, abs=0.05)
    assert abs(np.corrcoef(numbers(floor, "b"), numbers(floor, "d"))[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("generator", "condition"),
    [
        (Trees(), "c = 'yes' and a in ('y', 'z')"),
        (Trees(condition_on=("b", "c")), "b between 10 and 14 and c = 'no'"),
        (Trees(condition_on=("d", "a", "b")), "d > 45 and a = 'x'"),
        (Trees(condition_on=("d", "b")), "d between 40 and 45 and b < 20"),
        (Trees(), "b < 10 and c = 'yes'"),
    ],
    ids=str,
)
def test_a_condition_gives_the_rows_that_rejection_would(related: Table, generator: Trees, condition: str) -> None:
    """Drawn directly, and picked out of many free rows, the same slice: restricting columns in turn would be biased."""
    fitted = generator.fit(related)
    direct, free = fitted.sample(4_000, where=condition), fitted.sample(150_000, seed=1).where(condition)
    assert len(direct) == len(direct.where(condition)) == 4_000
    assert len(free) > 1_000
    noise = 1.5 * np.sqrt(1 / 4_000 + 1 / len(free))
    assert distance(direct, free, "a", "c") < 0.02 + noise
    for name in ("b", "d"):
        x, y = np.sort(numbers(direct, name)), np.sort(numbers(free, name))
        grid = np.union1d(x, y)
        gap = np.abs(np.searchsorted(x, grid, "right") / len(x) - np.searchsorted(y, grid, "right") / len(y)).max()
        assert gap < 1.8 * np.sqrt(1 / len(x) + 1 / len(y)), name


@pytest.mark.parametrize("condition", [None, "b < 25 and d > 10"])
def test_a_row_alone_and_one_at_any_place_have_the_same_distribution(model: Trees, condition: str | None) -> None:
    """Donors are shared out evenly within a sample: neither its size nor the order of its rows may show."""
    many = model.sample(40_000, where=condition, seed=1)
    alone = Table.concat([model.sample(1, where=condition, seed=seed) for seed in range(600)])
    first = Table.concat([model.sample(40, where=condition, seed=seed).head(1) for seed in range(600)])
    for rows in (alone, first, many.head(4_000), many.take(np.arange(36_000, 40_000))):
        assert distance(rows, many, "a", "c") < 0.02 + 1.3 / np.sqrt(len(rows))
        assert numbers(rows, "d").mean() == pytest.approx(numbers(many, "d").mean(), abs=4 * 15 / np.sqrt(len(rows)))


def test_a_rare_conjunction_of_leading_categories_needs_no_luck() -> None:
    rng = np.random.default_rng(1)
    a = np.where(rng.random(50_000) < 0.002, "rare", "common")
    b = np.where(rng.random(50_000) < 0.002, "rare", "common")
    a[0] = b[0] = "rare"
    fitted = Trees(condition_on=("a", "b"), min_samples_leaf=5).fit(table(a=a, b=b, c=rng.random(50_000)))
    started = time.perf_counter()
    rows = fitted.sample(5_000, where="a = 'rare' and b = 'rare'")
    assert set(rows.column("a").to_pylist()) == set(rows.column("b").to_pylist()) == {"rare"}
    assert time.perf_counter() - started < 5


def test_a_condition_no_training_row_was_near_is_refused(related: Table) -> None:
    fitted = Trees(condition_on=("b",)).fit(related)
    with pytest.raises(GenerationError, match="widen the condition"):
        fitted.sample(5, where="b > 1000")


def test_leaves_of_one_row_copy_rows_and_the_default_does_not() -> None:
    rng = np.random.default_rng(2)
    columns = {f"c{i}": rng.integers(0, 30, 2_000) for i in range(6)}
    real = table(**columns)
    rows = set(map(tuple, real.to_pandas().to_numpy().tolist()))

    def copied(generator: Trees) -> float:
        made = generator.fit(real).sample(2_000).to_pandas().to_numpy().tolist()
        return sum(tuple(row) in rows for row in made) / len(made)

    alone = Trees(min_samples_leaf=1, trees_per_column=1, subsample=1.0, discount=False)
    assert copied(alone) > 0.5
    assert copied(Trees()) < 0.01


def test_near_unique_numbers_are_not_repeated_but_spikes_are() -> None:
    rng = np.random.default_rng(3)
    income = np.where(rng.random(3_000) < 0.3, 0.0, rng.lognormal(8, 1, 3_000))
    real = table(group=rng.choice(["a", "b"], 3_000), income=income)
    fake = numbers(Trees().fit(real).sample(3_000), "income")
    assert np.mean(fake == 0) == pytest.approx(0.3, abs=0.04)
    above = fake[fake != 0]
    assert above.min() >= income[income > 0].min(), "nothing is drawn between the spike and the rest"
    assert np.isin(above, income).mean() < 0.2
    assert np.isin(numbers(Trees(interpolate=False).fit(real).sample(3_000), "income"), income).all()


def test_nulls_keep_their_company() -> None:
    rng = np.random.default_rng(4)
    group = rng.choice(["a", "b"], 3_000)
    value = np.where((group == "a") & (rng.random(3_000) < 0.5), None, np.round(rng.normal(size=3_000), 3))
    fake = Trees().fit(table(group=group, value=list(value))).sample(4_000)
    assert fake.where({"group": "b"}).column("value").null_count == 0
    assert fake.where({"group": "a"}).column("value").null_count / len(fake.where({"group": "a"})) == pytest.approx(
        0.5, abs=0.05
    )


def test_the_number_of_threads_does_not_change_the_model(related: Table) -> None:
    import os
    import subprocess
    import sys

    script = (
        "import os; os.cpu_count = lambda: {cores}\n"
        "from synth.data.example import example_table\n"
        "from synth.generators.trees import Trees\n"
        "print(Trees(trees_per_column=2, min_samples_leaf=5, min_samples_leaf_smooth=3).fit(example_table()).digest())"
    )
    digests = set()
    for cores in (1, 4):
        threads = {"OMP_NUM_THREADS": str(cores), "OPENBLAS_NUM_THREADS": str(cores)}
        done = subprocess.run(
            [sys.executable, "-c", script.format(cores=cores)],
            env={**os.environ, **threads, "PYTHONPATH": str(Path(synth.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


# edges ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "generator", [Trees(), Trees(honest=True, min_samples_leaf=1), Trees(min_samples_leaf=1), Independent()]
)
def test_small_and_dull_tables_work(generator: synth.Generator) -> None:
    for columns in (
        {"a": [1, 2], "b": ["x", "y"]},
        {"a": [7] * 300, "b": ["x"] * 300, "c": np.arange(300)},
        {"a": [None, None, 1.5], "b": ["x", None, "x"]},
        {"a": [0.1] * 299 + [None], "b": np.arange(300)},
    ):
        rows = generator.fit(table(**columns)).sample(50)  # type: ignore[arg-type]
        assert len(rows) == 50
    assert set(generator.fit(table(a=[3, 3, 3], b=["x", "x", "x"])).sample(9).column("a").to_pylist()) == {3}


def test_a_category_of_thousands_of_levels_is_drawn_with_its_relation() -> None:
    rng = np.random.default_rng(5)
    n = 30_000
    group = rng.choice(["a", "b"], n)
    level = rng.integers(0, 20_000, n) * 2 + (group == "a")
    real = table(group=group, level=np.array([f"level {i}" for i in level]), number=rng.normal(size=n))
    started = time.perf_counter()
    fake = Trees().fit(real).sample(n)
    assert time.perf_counter() - started < 60
    assert len(fake.column("level").unique()) > 10_000


@pytest.mark.slow
def test_five_hundred_columns_finish() -> None:
    rng = np.random.default_rng(6)
    base = rng.normal(size=(600, 5))
    wide = table(**{f"c{i}": base[:, i % 5] + rng.normal(size=600) for i in range(500)})
    started = time.perf_counter()
    fake = Trees(trees_per_column=1).fit(wide).sample(1_000)
    assert time.perf_counter() - started < 240
    assert np.corrcoef(numbers(fake, "c0"), numbers(fake, "c5"))[0, 1] > 0.25


@pytest.mark.parametrize(
    "bad",
    [
        {"min_samples_leaf": 0},
        {"min_samples_leaf": 2.5},
        {"trees_per_column": True},
        {"subsample": 0.0},
        {"subsample": 1.0, "honest": True},
        {"discount": None},
        {"subsample": "half"},
        {"condition_on": 3},
        {"max_rows": 1},
        {"honest": 1},
        {"condition_on": "a"},
        {"condition_on": ("a", "a")},
        {"condition_on": ("aa",)},
    ],
    ids=str,
)
def test_a_hyperparameter_out_of_range_is_refused_with_its_name(related: Table, bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(bad)))):
        Trees(**bad).fit(related)  # type: ignore[arg-type]


# real data -----------------------------------------------------------------------------------------------------------------


def test_adult_comes_close_to_its_real_floor(shared_data: Callable[[str], Path]) -> None:
    roles = {"target": "income", "sensitive": ["sex", "race"]}
    train = synth.read(shared_data("adult_train.parquet"), **roles).take(np.arange(12_000))
    holdout = synth.read(shared_data("adult_test.parquet"), schema=train.schema)
    fitted = Trees().fit(train)
    fake = fitted.sample(len(train))
    wanted = ["fidelity.shape", "fidelity.trend", "privacy.exact_copies", "privacy.membership_knn"]
    figures = synth.evaluate(train, holdout, fake, only=wanted)
    value = {name: figures[name].score.value for name in wanted}
    real = {name: figures[name].reference.value for name in wanted}
    assert value["fidelity.shape"] <= 1.1 * real["fidelity.shape"]
    assert value["fidelity.trend"] <= 1.15 * real["fidelity.trend"]
    assert value["privacy.exact_copies"] <= real["privacy.exact_copies"]
    assert value["privacy.membership_knn"] <= 0.55
    condition = "income = '>50K' and sex = 'Female'"
    started = time.perf_counter()
    rows = fitted.sample(10_000, where=condition)
    assert time.perf_counter() - started < 5  # 0.05 s on an idle machine
    assert len(rows.where(condition)) == 10_000
    assert distance(train.where(condition), rows, "race", "education") < 0.12
