"""What the trees learn beyond splits: discounts, scales, settled numbers, repeated columns and a guess at the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import synth
from synth.data.encoding import EncodedColumn
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.generators._codes import Codebook, calendar
from synth.generators._equal import repeated
from synth.generators._forest import grow, plant
from synth.generators.trees import Trees


def book_of(values: np.ndarray, decimals: int | None = 0) -> Codebook:
    return Codebook.of(EncodedColumn("x", values.astype(np.float64), decimals=decimals))[0]


def made_of(target: str | None = None, **columns: np.ndarray) -> Table:
    arrays = {name: pa.array(values) for name, values in columns.items()}
    schema = []
    for name, values in arrays.items():
        role = Role.TARGET if name == target else Role.FEATURE
        if pa.types.is_string(values.type):
            schema.append(Column(name, Kind.CATEGORICAL, role, categories=tuple(sorted(values.unique().to_pylist()))))
        else:
            kind = Kind.INTEGER if pa.types.is_integer(values.type) else Kind.DECIMAL
            schema.append(Column(name, kind, role, decimals=2 if kind is Kind.DECIMAL else None))
    return Table(pa.table(arrays), Schema(tuple(schema)))


def column(rows: Table, name: str) -> np.ndarray:
    return np.asarray(rows.column(name).to_numpy())


# discounts -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, dict[bool, object]]:
    """A column of many rare values in leaves of ten, with and without discount."""
    rng = np.random.default_rng(0)
    features = rng.random((4_000, 3)).astype(np.float32)
    codes = np.minimum(rng.geometric(0.08, 4_000) - 1, 59).astype(np.int32)
    rows = np.arange(4_000)
    trees = [
        grow(features, codes, codes, classify=True, grow_rows=rows, donor_rows=rows, min_samples_leaf=10, seed=seed)
        for seed in range(2)
    ]
    return features, codes, {discount: plant(trees, relatives=60 * discount) for discount in (False, True)}


def test_a_discount_keeps_the_margin_value_by_value(planted: tuple) -> None:
    """What leaves give to each other equals what they get: over the training rows each value keeps its share exactly."""
    features, codes, forests = planted
    wanted = np.bincount(codes, minlength=60) / len(codes)
    for forest in forests.values():
        node, weight = forest.candidates((features,))
        counts = forest.counts(forest.run_code)
        share = np.divide(
            counts, counts.sum(axis=1, keepdims=True), out=np.zeros(counts.shape), where=counts.any(axis=1)[:, None]
        )
        law = (weight[:, :, None] * share[node]).sum(axis=(0, 1)) / len(features)
        np.testing.assert_allclose(law, wanted, atol=1e-12)


def test_a_discount_takes_half_of_its_chance_from_what_a_leaf_holds_once(planted: tuple) -> None:
    features, codes, forests = planted
    rare = np.flatnonzero(np.bincount(codes, minlength=60)[codes] < 40)
    own = {}
    for discount, forest in forests.items():
        parts = {code: forest.restricted(forest.run_code == code) for code in np.unique(codes[rare])}
        own[discount] = np.mean([forest.shares_of([parts[codes[row]]], (features[row : row + 1],))[0, 0] for row in rare])
    margin = np.mean([(codes == codes[row]).mean() for row in rare])
    assert own[False] > 5 * margin
    assert own[True] - margin < 0.6 * (own[False] - margin)


def test_a_discounted_forest_draws_what_it_says(planted: tuple) -> None:
    features, _, forests = planted
    forest = forests[True]
    rng = np.random.default_rng(1)
    same = np.repeat(features[:1], 40_000, axis=0)
    drawn = np.bincount(forest.run_code[forest.draw(same, rng.integers(2, size=len(same)), rng)], minlength=60) / len(same)
    parts = [forest.restricted(forest.run_code == code) for code in range(60)]
    told = forest.shares_of(parts, (features[:1],))[0]
    assert told.sum() == pytest.approx(1)
    assert np.abs(drawn - told).sum() < 0.05
    assert all(forest.highest_share(part) >= share - 1e-12 for part, share in zip(parts, told, strict=True))


# scales --------------------------------------------------------------------------------------------------------------------


def test_ages_are_a_scale_and_codes_with_favourites_are_not() -> None:
    rng = np.random.default_rng(2)
    ages = np.clip(rng.normal(40, 15, 20_000).round(), 17, 90)
    hours = np.where(rng.random(20_000) < 0.7, rng.choice([20, 35, 40, 45, 50, 60], 20_000), rng.integers(1, 99, 20_000))
    assert book_of(ages).smooth
    assert not book_of(hours).smooth
    assert not book_of(rng.integers(0, 16, 20_000)).smooth


def test_a_favourite_among_rare_values_is_a_spike_and_a_broad_hump_is_not() -> None:
    rng = np.random.default_rng(3)
    amounts = np.concatenate([rng.integers(100, 20_000, 9_000), np.repeat([1_000, 2_000, 5_000], 40), np.zeros(900)])
    book = book_of(amounts)
    assert set(book.values[book.spike]) == {0, 1_000, 2_000, 5_000}
    hump = book_of(np.clip(rng.normal(150, 60, 20_000).round(), 0, 400))
    assert not hump.spike[(hump.values > 60) & (hump.values < 240)].any()


def test_values_that_occur_often_move_to_values_that_were_seen() -> None:
    """Credit limits come in steps of 500: nothing may be drawn in between."""
    rng = np.random.default_rng(4)
    limits = rng.integers(1, 300, 6_000) * 500
    book, codes = Codebook.of(EncodedColumn("x", limits.astype(np.float64), decimals=0))
    assert book.smooth
    moved = book.between(codes, rng.permutation(codes), rng.random(len(codes)))
    assert set(moved) <= set(limits.tolist())
    assert (moved != limits).mean() > 0.9


# numbers that others settle ------------------------------------------------------------------------------------------------


def test_only_numbers_that_others_settle_have_small_leaves() -> None:
    rng = np.random.default_rng(5)
    a = rng.normal(0, 1, 3_000)
    rows = made_of(
        a=a.round(2) + np.arange(3_000) * 1e-9,
        settled=np.round(3 * a + rng.normal(0, 0.3, 3_000), 2),
        noise=rng.normal(0, 1, 3_000).round(2),
    )
    fitted = Trees(min_samples_leaf=100, min_samples_leaf_smooth=10, condition_on=("a",)).fit(rows)
    leaves = {name: int((part.forest.left < 0).sum()) for name, part in fitted._columns.items()}
    assert leaves["settled"] > 4 * leaves["noise"]


# repeated columns ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bills() -> Table:
    """A fifth of all bills is paid in full, most of the others in part."""
    rng = np.random.default_rng(6)
    bill = rng.lognormal(8, 1, 6_000).round(2)
    full = rng.random(6_000) < 0.2
    return made_of(bill=bill, paid=np.where(full, bill, (bill * rng.beta(1, 6, 6_000)).round(2)))


def test_a_bill_that_is_paid_in_full_is_paid_in_full(bills: Table) -> None:
    fake = Trees().fit(bills).sample(6_000, seed=1)
    equal = (column(fake, "bill") == column(fake, "paid")).mean()
    assert equal == pytest.approx(0.2, abs=0.03)
    assert not set(column(fake, "bill")[column(fake, "bill") == column(fake, "paid")]) <= set(column(bills, "bill"))


def test_conditions_and_missing_cells_know_of_repeated_columns(bills: Table) -> None:
    fitted = Trees().fit(bills)
    big = fitted.sample(3_000, where="paid > 3000 and bill > 3000")
    assert (column(big, "paid") > 3_000).all()
    free = fitted.sample(60_000, seed=2).where("paid > 3000 and bill > 3000")
    wanted = (column(free, "bill") == column(free, "paid")).mean()
    assert (column(big, "bill") == column(big, "paid")).mean() == pytest.approx(wanted, abs=0.05)
    last = fitted._order[-1]
    holes = bills.to_pandas()
    holes.loc[:499, last] = np.nan
    filled = fitted.impute(holes)
    assert (filled["bill"] == filled["paid"])[:500].mean() == pytest.approx(0.2, abs=0.06)


def test_equal_spikes_say_nothing() -> None:
    rng = np.random.default_rng(7)
    a, b = (np.where(rng.random(5_000) < 0.5, 0.0, rng.lognormal(8, 1, 5_000).round(2)) for _ in range(2))
    names, which = repeated(book_of(a, decimals=2), a, [("b", b)], rng)
    assert names == ()
    assert (which == -1).all()


# the guess -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def voters() -> tuple[Table, Table]:
    """A target to which twelve columns add a little each: no single tree can follow."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(12_000, 12)).round(2)
    y = np.where(rng.random(12_000) < 1 / (1 + np.exp(-1.2 * x.sum(axis=1))), "yes", "no")
    rows = made_of("y", **{f"x{i}": x[:, i] for i in range(12)}, y=y)
    return rows.take(np.arange(8_000)), rows.take(np.arange(8_000, 12_000))


def learned_from(rows: Table, held: Table) -> float:
    names = [name for name in rows.columns if name != "y"]
    X, Z = (np.column_stack([column(part, name) for name in names]) for part in (rows, held))
    judge = HistGradientBoostingClassifier(random_state=0).fit(X, column(rows, "y") == "yes")
    return float(roc_auc_score(column(held, "y") == "yes", judge.predict_proba(Z)[:, 1]))


def test_a_target_of_many_causes_keeps_them_by_the_guess(voters: tuple[Table, Table]) -> None:
    train, held = voters
    real = learned_from(train, held)
    with_guess = learned_from(Trees().fit(train).sample(8_000, seed=1), held)
    without = learned_from(Trees(guess=False).fit(train).sample(8_000, seed=1), held)
    assert real - with_guess < 0.5 * (real - without)


def test_a_model_with_a_guess_and_repeats_loads_to_the_same_rows(bills: Table, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    late = np.where(rng.random(len(bills)) < 0.3, "late", "not")
    rows = made_of("late", bill=column(bills, "bill"), paid=column(bills, "paid"), late=late)
    fitted = Trees().fit(rows)
    assert fitted._columns["late"].questions.guess is not None
    assert any(part.repeats for part in fitted._columns.values())
    fitted.save(tmp_path / "model")
    loaded = synth.load(tmp_path / "model")
    assert loaded.sample(500, seed=3).arrow.equals(fitted.sample(500, seed=3).arrow)
    assert loaded.digest() == fitted.digest()


def test_more_rows_than_max_rows_are_sampled_and_the_margins_stay() -> None:
    rng = np.random.default_rng(10)
    rows = made_of(a=rng.choice(["x", "y"], 20_000, p=[0.8, 0.2]), b=rng.integers(0, 1_000, 20_000))
    fitted = Trees(max_rows=2_000).fit(rows)
    assert fitted._books["a"].rows == 2_000
    assert (column(fitted.sample(20_000), "a") == "x").mean() == pytest.approx(0.8, abs=0.03)


# dates -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sales() -> Table:
    """A shop that is closed on Sundays, sells twice as much on Saturdays, and is busiest at noon."""
    rng = np.random.default_rng(11)
    day = rng.integers(0, 700, 9_000)
    day = day[(day + 3) % 7 != 6][:6_000]
    when = np.datetime64("1970-01-01T00:00:00") + (day * 86_400 + rng.normal(12, 2, 6_000).clip(8, 18) * 3_600).astype(np.int64)
    amount = np.round(np.where((day + 3) % 7 == 5, 200, 100) + rng.normal(0, 10, 6_000), 2)
    return synth.read(pa.table({"when": pa.array(when), "amount": amount}))


def test_sundays_stay_closed_and_saturdays_busy(sales: Table) -> None:
    fake = Trees().fit(sales).sample(6_000, seed=1).to_pandas()
    weekday, hour = fake["when"].dt.weekday, fake["when"].dt.hour
    assert (weekday == 6).mean() < 0.001
    assert fake["amount"][weekday == 5].mean() == pytest.approx(200, abs=5)
    assert fake["amount"][weekday < 5].mean() == pytest.approx(100, abs=5)
    assert 8 <= hour.min() <= hour.max() <= 18
    assert not set(fake["when"]) <= set(sales.to_pandas()["when"])
    seconds = sales.to_pandas().assign(when=lambda f: f["when"].astype("datetime64[s]").astype("int64"))
    by_number = synth.read(seconds)  # without a calendar
    blind = Trees().fit(by_number).sample(6_000, seed=1).to_pandas()
    assert ((blind["when"] // 86_400 + 3) % 7 == 6).mean() > 0.03


def test_a_condition_on_a_date_holds_and_loses_nothing(sales: Table) -> None:
    fitted = Trees().fit(sales)
    rows = fitted.sample(2_000, where="when between '1970-06-01' and '1970-06-30' and amount > 150").to_pandas()
    assert rows["when"].dt.month.eq(6).all()
    free = fitted.sample(80_000, seed=2).where("when between '1970-06-01' and '1970-06-30' and amount > 150").to_pandas()
    x, y = (part["when"].dt.day.value_counts(normalize=True) for part in (rows, free))
    assert x.subtract(y, fill_value=0).abs().sum() / 2 < 0.08


def test_places_in_the_calendar_are_those_of_the_calendar() -> None:
    moments = np.array(["2024-02-29T06:00", "1969-12-31T18:00"], dtype="datetime64[s]").astype(np.float64)
    places = calendar(np.append(moments, np.nan), 86_400)
    np.testing.assert_allclose(places, [[3, 1, 28, 0.25], [2, 11, 30, 0.75], [-1, -1, -1, -1]])
