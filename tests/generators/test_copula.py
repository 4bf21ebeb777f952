"""A Gaussian copula: the margins are the table's, conditions and imputations have the model's own conditional law."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chisquare, ks_2samp, norm

from synth import load
from synth.check import check_generator
from synth.data.conditions import Where
from synth.data.example import example_table
from synth.data.schema import Column, Kind, Schema
from synth.data.table import Table
from synth.errors import ConfigError, GenerationError
from synth.generators._bridge import correlations, hermite_of, nearest_correlation
from synth.generators._codes import Codebook
from synth.generators._margins import Margin
from synth.generators._truncated import _few, draw_between, draw_truncated, log_mass
from synth.generators.copula import Copula


def _table(columns: dict[Column, object]) -> Table:
    schema = Schema(tuple(columns))
    return Table(pa.table([pa.array(v) for v in columns.values()], names=list(schema.names)), schema)


def _normal_pair(r: float, rows: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multivariate_normal([0, 0], [[1, r], [r, 1]], size=rows)


@pytest.mark.parametrize("generator", [Copula(interpolate=False), Copula(shrinkage=0.3)], ids=str)
def test_other_hyperparameters_keep_the_promises_too(generator: Copula) -> None:
    check_generator(generator)


@pytest.mark.parametrize(("name", "value"), [("interpolate", 1), ("shrinkage", 1.5), ("shrinkage", True), ("shrinkage", "a")])
def test_nonsense_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        Copula(**{name: value}).fit(example_table(50))  # type: ignore[arg-type]


# the correlations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[0.0], [1.3], [-1.0, 0.2, 0.9], list(np.linspace(-3, 3, 400))], ids=len)
@pytest.mark.parametrize("r", [-0.8, 0.3, 0.9])
def test_the_correlation_behind_coarse_columns_is_found_without_bias(cuts: list[float], r: float) -> None:
    """Normal scores of a column cut in two would say less than two thirds of it."""
    z = _normal_pair(r, 60_000, np.random.default_rng(0))
    coarse, fine = np.digitize(z[:, 0], cuts), z[:, 1]
    ranked = {"coarse": coarse, "fine": np.digitize(fine, norm.ppf(np.arange(1, 300) / 300))}
    scores, hermite = [], []
    for codes in ranked.values():
        book = Codebook("x", int(codes.max()) + 1, np.bincount(codes), 0)
        margin = Margin(book, np.arange(book.levels), True)
        scores.append(margin.scores[codes])
        hermite.append(hermite_of(margin.ends, margin.scores))
    table = np.column_stack(scores)
    found = correlations(lambda some: (table[some], np.ones_like(table[some], dtype=bool)), np.array(hermite), len(table), 0.0)
    assert found[0, 1] == pytest.approx(r, abs=0.02)


def test_the_nearest_correlation_matrix_is_one() -> None:
    rng = np.random.default_rng(0)
    wild = np.clip(np.corrcoef(rng.normal(size=(30, 10))) * 1.8, -0.95, 0.95)
    np.fill_diagonal(wild, 1.0)
    assert np.linalg.eigvalsh(wild)[0] < 0
    found = nearest_correlation(wild)
    assert np.linalg.eigvalsh(found)[0] > 0
    assert np.allclose(np.diag(found), 1.0)
    lifted = wild + (0.001 - np.linalg.eigvalsh(wild)[0]) * np.eye(30)
    scaled = lifted / lifted[0, 0]
    assert np.linalg.norm(found - wild) < np.linalg.norm(scaled - wild)


def test_correlated_columns_come_out_as_correlated_as_they_went_in() -> None:
    rng = np.random.default_rng(1)
    z = _normal_pair(0.7, 20_000, rng)
    rank = np.exp(z[:, 0])
    real = _table({Column("x", Kind.DECIMAL, decimals=4): rank, Column("b", Kind.BOOLEAN): z[:, 1] > 0.8})
    made = Copula().fit(real, seed=0).sample(20_000, seed=1).to_pandas()
    seen = real.to_pandas()
    for frame, other in ((seen, made), (made, seen)):
        means = [frame.loc[frame["b"] == side, "x"].rank(pct=True).mean() for side in (False, True)]
        others = [other.loc[other["b"] == side, "x"].rank(pct=True).mean() for side in (False, True)]
        assert means == pytest.approx(others, abs=0.015)


def test_levels_are_laid_along_what_the_other_columns_say_of_them() -> None:
    """The names of the levels say nothing; the number beside them gives their order back, whatever the shuffling."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=5_000)
    level = np.digitize(x + rng.normal(size=5_000) / 3, [-1.2, -0.5, 0, 0.6, 1.1])
    names = np.array(["ox", "ant", "yak", "bee", "cat", "emu"])
    real = _table(
        {
            Column("x", Kind.DECIMAL, decimals=3): np.round(x, 3),
            Column("a", Kind.CATEGORICAL, categories=tuple(sorted(names))): names[level],
        }
    )
    model = Copula().fit(real)
    found = [sorted(names)[code] for code in model._margins["a"].order]
    assert found in (names.tolist(), names[::-1].tolist())
    made = model.sample(5_000, seed=3).to_pandas()
    for name in names:
        assert made.loc[made["a"] == name, "x"].mean() == pytest.approx(x[names[level] == name].mean(), abs=0.25)


def test_columns_that_are_null_together_stay_so() -> None:
    rng = np.random.default_rng(3)
    hole = rng.random(3_000) < 0.2
    x = np.where(hole, np.nan, rng.integers(0, 9, 3_000))
    y = np.where(hole, None, rng.choice(["a", "b"], 3_000))
    real = _table(
        {
            Column("x", Kind.INTEGER, nullable=True): pa.array(x, from_pandas=True),
            Column("y", Kind.CATEGORICAL, nullable=True, categories=("a", "b")): pa.array(list(y)),
        }
    )
    made = Copula().fit(real).sample(3_000, seed=1).to_pandas()
    assert (made["x"].isna() == made["y"].isna()).all()
    assert made["x"].isna().mean() == pytest.approx(0.2, abs=0.03)


# margins ---------------------------------------------------------------------------------------------------------------


def test_numbers_move_between_seen_ones_keep_their_grid_and_their_spikes() -> None:
    rng = np.random.default_rng(4)
    x = np.where(rng.random(4_000) < 0.3, 0.0, np.round(rng.lognormal(5, 1, 4_000), 2))
    model = Copula().fit(_table({Column("x", Kind.DECIMAL, decimals=2): x, Column("c", Kind.BOOLEAN): x > 100}))
    made = model.sample(4_000, seed=1).to_pandas()["x"].to_numpy()
    assert (made == 0).mean() == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(made, np.round(made, 2))
    assert ks_2samp(x, made).pvalue > 0.01
    assert np.isin(made[made > 0], x).mean() < 0.5  # not copied; on so fine a grid some meet by chance


def test_days_are_drawn_on_the_weekdays_that_were_seen() -> None:
    rng = np.random.default_rng(5)
    weeks = np.sort(rng.choice(3_000, 900, replace=False))
    day = np.datetime64("1970-01-05") + weeks * 7 + rng.integers(0, 5, 900)  # Mondays to Fridays
    real = _table(
        {Column("day", Kind.DATETIME, unit="day"): pa.array(day, pa.date32()), Column("c", Kind.BOOLEAN): weeks > 900}
    )
    model = Copula().fit(real)
    made = model.sample(5_000, seed=1).to_pandas()["day"].astype("datetime64[s]")
    assert (made.dt.dayofweek < 5).all()
    some = (
        model.sample(200, where="day between '1980-01-01' and '1981-06-30'", seed=2).to_pandas()["day"].astype("datetime64[s]")
    )
    assert some.between("1980-01-01", "1981-06-30").all()


# conditions ------------------------------------------------------------------------------------------------------------


def _rejected(model: Copula, where: str, wanted: int) -> Table:
    """What plain rejection gives."""
    made = model.sample(400_000, seed=11)
    return made.where(where).head(wanted)


CONDITIONS = [
    "city = 'Espoo' and sex = 'female'",
    "city in ('Aarhus', 'Delft') and age between 30 and 50",
    "income between 15000 and 25000 and grade != 'middle' and member is not null",
    "city is null and left = 'yes'",
    "age = 40 and joined >= '2018-01-01'",
    "income = 0 and city != 'Cork' and age not in (30, 31, 60)",
]


@pytest.fixture(scope="module")
def model() -> Copula:
    return Copula().fit(example_table(2_000), seed=0)


@pytest.mark.parametrize("where", CONDITIONS)
def test_conditioned_rows_have_the_law_that_rejection_gives(model: Copula, where: str) -> None:
    """Each other column against brute force: none differs, at one in a thousand for the worst of them."""
    plain = _rejected(model, where, 3_000)
    rows = model.sample(3_000, where=where, seed=12)
    assert len(rows) == len(rows.where(where)) == 3_000
    assert len(plain) > 300
    assert rows.provenance is not None
    assert rows.provenance.acceptance is not None
    assert rows.provenance.acceptance > 0.5
    ours, theirs = rows.to_pandas(), plain.to_pandas()
    p_values = []
    for column in rows.schema.learned:
        a, b = ours[column.name], theirs[column.name]
        if column.kind.is_category or a.isna().any() or b.isna().any():
            a, b = (s.astype(object).where(s.notna(), "null").map(str) if column.kind.is_category else s.isna() for s in (a, b))
            levels = sorted(set(a) | set(b), key=str)
            counts = np.array([[(s == level).sum() for level in levels] for s in (a, b)])
            counts = counts[:, counts.sum(axis=0) >= 10]
            if counts.shape[1] > 1:
                expected = counts.sum(axis=0) * (counts.sum(axis=1, keepdims=True) / counts.sum())
                p_values.append(chisquare(counts.ravel(), expected.ravel(), ddof=counts.shape[1]).pvalue)
        else:
            if column.kind is Kind.DATETIME:
                a, b = (s.astype("datetime64[s]").astype("int64") for s in (a, b))
            p_values.append(ks_2samp(a, b).pvalue)
    assert min(p_values) > 0.001 / len(p_values)


def test_an_equality_on_a_number_that_never_repeats_fixes_it() -> None:
    rng = np.random.default_rng(6)
    z = _normal_pair(0.9, 4_000, rng)
    real = _table({Column("x", Kind.DECIMAL): z[:, 0], Column("y", Kind.DECIMAL): z[:, 1]})
    model = Copula().fit(real)
    where = {"x": 1.2345}
    rows = model.sample(2_000, where=where, seed=1).to_pandas()
    assert (rows["x"] == 1.2345).all()
    assert rows["y"].mean() == pytest.approx(0.9 * 1.2345, abs=0.06)
    assert rows["y"].std() == pytest.approx(np.sqrt(1 - 0.81), abs=0.04)


def test_a_rare_condition_takes_no_time_and_what_cannot_be_is_said(model: Copula) -> None:
    began = time.perf_counter()
    rows = model.sample(2_000, where="income between 20000 and 60000 and age <= 21 and city = 'Espoo' and left = 'no'", seed=1)
    assert len(rows) == 2_000
    assert time.perf_counter() - began < 5
    with pytest.raises(GenerationError, match="no training row was near"):
        model.sample(10, where="age = 150")


def test_a_truncated_normal_vector_has_the_law_that_rejection_gives() -> None:
    rng = np.random.default_rng(7)
    mixed = rng.normal(size=(4, 4))
    covariance = mixed @ mixed.T + 0.3 * np.eye(4)
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    unions = [
        np.array([[-np.inf, -0.5], [0.1, 0.4]]),
        np.array([[0.3, np.inf]]),
        np.array([[-1.0, -0.2], [0.5, 2.0]]),
        np.array([[-np.inf, 0.7]]),
    ]
    made, effort = draw_truncated(20_000, correlation, unions, rng)
    assert effort.acceptance > 0.5
    assert effort.effective == effort.found
    plain = rng.standard_normal((600_000, 4)) @ np.linalg.cholesky(correlation).T
    for k, union in enumerate(unions):
        plain = plain[((plain[:, k, None] > union[:, 0]) & (plain[:, k, None] < union[:, 1])).any(axis=1)]
    assert len(plain) > 5_000
    for k in range(4):
        assert ks_2samp(made[:, k], plain[:, k]).pvalue > 1e-3
    assert np.cov(made.T) == pytest.approx(np.cov(plain.T), abs=0.05)


def test_probabilities_far_out_in_a_tail_keep_their_digits() -> None:
    low, high = np.array([30.0, -31.0, -1.0, 3.0]), np.array([31.0, -30.0, 2.0, 3.0])
    mass = log_mass(low, high)
    assert mass[0] == pytest.approx(norm.logsf(30))
    assert mass[0] == mass[1]
    assert mass[2] == pytest.approx(np.log(norm.cdf(2) - norm.cdf(-1)))
    assert mass[3] == -np.inf
    z = draw_between(np.full(1_000, 30.0), np.full(1_000, np.inf), np.random.default_rng(0))
    assert z.min() >= 30
    assert z.mean() - 30 == pytest.approx(1 / 30, rel=0.15)


def test_many_intervals_are_joined_over_the_gaps_that_hold_least() -> None:
    edges = np.arange(-3.0, 3.0, 0.05)
    many = np.column_stack([edges, edges + 0.02])
    joined = _few([many, np.array([[0.0, 1.0], [2.0, 3.0]])])
    assert len(joined[0]) * len(joined[1]) <= 200
    for low, high in many:  # none is lost
        assert ((joined[0][:, 0] <= low) & (joined[0][:, 1] >= high)).any()


# filling in and saving -------------------------------------------------------------------------------------------------


def test_missing_cells_are_drawn_given_the_observed_ones() -> None:
    """Where one of two correlated numbers is missing, draws have the mean and the spread of a regression."""
    rng = np.random.default_rng(8)
    z = _normal_pair(0.8, 6_000, rng)
    columns = (Column("x", Kind.DECIMAL, nullable=True), Column("y", Kind.DECIMAL))
    real = _table(dict(zip(columns, z.T, strict=True)))
    model = Copula().fit(real)
    asked = np.repeat([-1.0, 0.0, 1.5], 2_000)
    holes = _table({columns[0]: pa.array([None] * 6_000, pa.float64()), columns[1]: asked})
    done = model.impute(holes, seed=1).to_pandas()
    assert np.array_equal(done["y"], asked)
    for value in (-1.0, 0.0, 1.5):
        drawn = done.loc[done["y"] == value, "x"]
        assert drawn.mean() == pytest.approx(0.8 * value, abs=0.07)
        assert drawn.std() == pytest.approx(0.6, abs=0.05)


def test_missing_cells_given_categories_have_the_law_of_conditioned_rows() -> None:
    real = example_table(3_000)
    whole = np.logical_and.reduce([np.asarray(real.column(column.name).is_valid()) for column in real.schema.learned])
    model = Copula().fit(real.take(np.flatnonzero(whole)))
    rows = model.sample(3_000, where="city = 'Cork' and sex = 'male' and left = 'yes'", seed=4)
    frame, holed = rows.to_pandas(), rows.arrow
    for name in ("age", "income", "grade", "member", "joined", "seen"):
        place, field = holed.schema.get_field_index(name), holed.schema.field(name)
        holed = holed.set_column(place, field, pa.nulls(len(rows), field.type))
    done = model.impute(Table(holed, _nullable(rows.schema)), seed=5).to_pandas()
    assert ks_2samp(done["age"], frame["age"]).pvalue > 1e-3
    assert ks_2samp(done["income"], frame["income"]).pvalue > 1e-3
    both = [pd_["age"].astype(float).corr(pd_["income"].astype(float), method="spearman") for pd_ in (done, frame)]
    assert both[0] == pytest.approx(both[1], abs=0.05)
    assert (done["grade"] == frame["grade"]).mean() < 0.6
    shares = [f["grade"].value_counts(normalize=True).reindex(["low", "middle", "high"]).to_numpy() for f in (done, frame)]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)


def _nullable(schema: Schema) -> Schema:
    return Schema(tuple(replace(column, nullable=True) for column in schema.columns))


def test_a_saved_model_gives_the_same_conditioned_rows(model: Copula, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    for where in CONDITIONS[:3]:
        assert again.sample(50, where=where, seed=1).arrow.equals(model.sample(50, where=where, seed=1).arrow)
    assert Where.parse(CONDITIONS[0], model.fitted.schema)


def test_columns_without_values_or_with_one_are_kept() -> None:
    real = _table(
        {
            Column("none", Kind.INTEGER, nullable=True): pa.nulls(50, pa.int64()),
            Column("one", Kind.CATEGORICAL, categories=("a", "b")): ["b"] * 50,
            Column("one_or_null", Kind.INTEGER, nullable=True): pa.array([7, None] * 25),
            Column("x", Kind.INTEGER): np.arange(50),
        }
    )
    model = Copula().fit(real)
    made = model.sample(400, seed=1).to_pandas()
    assert made["none"].isna().all()
    assert (made["one"] == "b").all()
    assert set(made["one_or_null"].dropna()) == {7}
    assert made["one_or_null"].isna().mean() == pytest.approx(0.5, abs=0.1)
    assert len(model.sample(20, where={"one_or_null": 7, "one": "b"})) == 20
    with pytest.raises(GenerationError, match="no training row"):
        model.sample(1, where={"one": "a"})


def test_a_category_of_many_levels_is_light() -> None:
    rng = np.random.default_rng(9)
    levels = 30_000
    codes = np.minimum((rng.pareto(0.7, 40_000) * 40).astype(int), levels - 1)
    names = tuple(f"v{i}" for i in range(levels))
    real = _table(
        {
            Column("big", Kind.CATEGORICAL, categories=names): [names[c] for c in codes],
            Column("y", Kind.BOOLEAN): codes % 2 == 0,
        }
    )
    began = time.perf_counter()
    model = Copula().fit(real)
    rows = model.sample(500, where={"big": list(names[:4_000:2]), "y": True}, seed=1)
    assert len(rows) == 500
    assert time.perf_counter() - began < 20
    assert model._correlation.shape == (2, 2)
