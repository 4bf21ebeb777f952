"""Fidelity from counts: each planted fault is seen by the figure that is about it, and fresh rows pass all of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.evaluation import evaluate
from synth.metrics.histograms import Pairing, Sample, replicates, subsampled, total_variation
from synth.metrics.joint_tables import chance_deviation, entropy, entropy_book
from synth.metrics.measurement import Measurement, Measurements

Three = tuple[Table, Table, Table]
COUNTS = [
    f"fidelity.{name}"
    for name in (
        *("pairs", "worst_pair", "mutual_information", "triples", "missingness"),
        *("rare_categories", "rare_combinations", "tails", "temporal", "subject_structure"),
    )
]
ON_ADULT = [name for name in COUNTS if name not in ("fidelity.temporal", "fidelity.subject_structure")]


def value(measured: Measurements, name: str) -> float:
    score = measured[name].score
    assert score is not None, measured[name].reason
    return score.value


def excess(m: Measurement, end: str = "value") -> float:
    assert m.score is not None, m.reason
    assert m.reference is not None
    return float(getattr(m.score, end)) - float(getattr(m.reference, {"value": "value", "low": "high", "high": "low"}[end]))


def changed(given: Table, name: str, values: pa.Array) -> Table:
    return replace(given, arrow=given.arrow.set_column(given.arrow.column_names.index(name), name, values))


def shuffled(given: Table, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    columns = [given.arrow.column(name).take(pa.array(rng.permutation(len(given)))) for name in given.arrow.column_names]
    return replace(given, arrow=pa.table(columns, schema=given.arrow.schema))


@pytest.fixture(scope="module")
def adult(shared_data: Callable[[str], Path]) -> Three:
    """Training, holdout and fresh rows of Adult."""
    table = synth.read(shared_data("adult.parquet"), target="income", sensitive=["sex", "race"])
    order = np.random.default_rng(0).permutation(len(table))
    return tuple(table.take(order[i * 6_000 : (i + 1) * 6_000]) for i in range(3))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def population(draw: Callable[[int, int], Table]) -> Three:
    return draw(3_000, 1), draw(3_000, 2), draw(3_000, 3)


# fresh rows ----------------------------------------------------------------------------------------------------------


def test_fresh_rows_of_adult_lie_where_real_rows_do(adult: Three) -> None:
    for m in evaluate(*adult, only=ON_ADULT):
        assert m.status == "ok", m
        assert excess(m, "low") < 0 < excess(m, "high"), m


def test_the_excess_of_fresh_rows_is_centred_and_its_interval_holds_it(draw: Callable[[int, int], Table]) -> None:
    only = [*COUNTS[:-1], "fidelity.trend", "fidelity.shape"]
    runs = [evaluate(*(draw(800, 10 * seed + i) for i in range(3)), seed=seed, only=only) for seed in range(16)]
    for name in only:
        found = [m[name] for m in runs]
        gaps = np.array([excess(m) for m in found])
        assert abs(gaps.mean()) < 3 * gaps.std() / 4 + 1e-3, name
        inside = [excess(m, "low") <= 0 <= excess(m, "high") for m in found]
        assert np.mean(inside) >= 0.8, name


@pytest.mark.parametrize(("held", "made"), [(500, 3_000), (3_000, 500)])
def test_the_reference_is_fair_whatever_the_sizes(draw: Callable[[int, int], Table], held: int, made: int) -> None:
    names = ["fidelity.pairs", "fidelity.triples", "fidelity.mutual_information", "fidelity.tails", "fidelity.temporal"]
    runs = [evaluate(draw(3_000, 7), draw(held, 100 + s), draw(made, 200 + s), seed=s, only=names) for s in range(6)]
    for name in names:
        assert abs(np.mean([excess(m[name]) for m in runs])) < 0.3 * np.mean([value(m, name) for m in runs]), name


# dependence ----------------------------------------------------------------------------------------------------------


def test_a_factorised_table_is_found_by_what_counts_columns_together(adult: Three) -> None:
    measured = evaluate(adult[0], adult[1], shuffled(adult[0]), only=ON_ADULT)
    assert excess(measured["fidelity.pairs"], "low") > 0.03
    assert excess(measured["fidelity.triples"], "low") > 0.1
    assert excess(measured["fidelity.worst_pair"], "low") > 0.5
    assert excess(measured["fidelity.mutual_information"], "low") > 0.2
    assert excess(measured["fidelity.missingness"], "low") > 0.05
    assert excess(measured["fidelity.rare_combinations"], "low") > 0.02
    assert set(measured["fidelity.worst_pair"].detail["columns"]) == {"education", "education_num"}


def test_two_numbers_whose_correlation_is_kept_and_whose_relation_is_lost() -> None:
    rng = np.random.default_rng(0)

    def curve(n: int) -> Table:
        x = rng.normal(size=n)
        return pairs_of(x, x**2 + 0.1 * rng.normal(size=n))

    def pairs_of(x: np.ndarray, y: np.ndarray) -> Table:
        return Table(pa.table({"x": x, "y": y}), Schema((Column("x", Kind.DECIMAL), Column("y", Kind.DECIMAL))))

    train, holdout, fresh = (curve(2_000) for _ in range(3))
    lost = evaluate(train, holdout, shuffled(fresh), only=[*COUNTS[:3], "fidelity.trend"])
    assert excess(lost["fidelity.trend"]) < 0.05
    for name in COUNTS[:3]:
        assert excess(lost[name], "low") > 0.3, name


def test_three_columns_of_which_any_two_are_independent() -> None:
    rng = np.random.default_rng(0)
    kinds = tuple(Column(name, Kind.CATEGORICAL, categories=("0", "1")) for name in "abcdefgh")

    def parity(n: int, broken: bool = False) -> Table:
        bits = rng.integers(0, 2, (8, n))
        bits[2] = rng.integers(0, 2, n) if broken else bits[0] ^ bits[1]
        return Table(pa.table({c.name: pa.array(b.astype(str)) for c, b in zip(kinds, bits)}), Schema(kinds))

    measured = evaluate(parity(1_500), parity(1_500), parity(1_500, broken=True), only=["fidelity.triples", "fidelity.pairs"])
    assert abs(excess(measured["fidelity.pairs"])) < 0.01
    worst = measured["fidelity.triples"].detail["worst"][0]
    assert worst["columns"] == ["a", "b", "c"]
    assert worst["error"] > 0.4
    assert worst["dependence"] == pytest.approx(np.log(2), abs=0.01)


def test_a_single_broken_pair_is_named_among_sound_ones(population: Three) -> None:
    train, holdout, fresh = population
    moved = changed(fresh, "wage", fresh.arrow.column("wage").take(pa.array(np.random.default_rng(0).permutation(len(fresh)))))
    broken = evaluate(train, holdout, moved, only=["fidelity.worst_pair"])["fidelity.worst_pair"]
    sound = evaluate(train, holdout, fresh, only=["fidelity.worst_pair"])["fidelity.worst_pair"]
    assert "wage" in broken.detail["columns"]
    assert excess(broken, "low") > 0.02 > excess(sound, "low")


@pytest.mark.parametrize("name", ["age", "fnlwgt", "capital_gain", "hours_per_week"])
def test_a_column_a_thousand_times_too_large_fails_pairs(adult: Three, name: str) -> None:
    train, holdout, fresh = adult
    scaled = changed(fresh, name, pa.array(fresh.arrow.column(name).to_numpy() * 1_000))
    measured = evaluate(train, holdout, scaled, only=["fidelity.pairs", "fidelity.worst_pair", "fidelity.tails"])
    assert excess(measured["fidelity.pairs"]) > (0.008 if name == "capital_gain" else 0.05)  # nine tenths are 0 and stay so
    assert excess(measured["fidelity.worst_pair"], "low") > 0.04
    assert excess(measured["fidelity.tails"]) > 0.03


def test_a_column_that_became_constant_is_no_perfect_column(population: Three) -> None:
    train, holdout, fresh = population
    constant = changed(fresh, "wage", pa.array(np.full(len(fresh), np.nanmedian(numbers(fresh, "wage")))))
    measured = evaluate(train, holdout, constant, only=COUNTS)
    assert excess(measured["fidelity.pairs"], "low") > 0.1
    assert excess(measured["fidelity.mutual_information"], "low") > 0.02
    ends = {end["end"]: end["error"] for end in measured["fidelity.tails"].detail["worst"]}
    assert min(ends["wage (upper)"], ends["wage (lower)"]) > 0.9


def numbers(given: Table, name: str) -> np.ndarray:
    return np.array([np.nan if v is None else float(v) for v in given.column(name).to_pylist()])


# nulls, rare values and ends ------------------------------------------------------------------------------------------


def test_nulls_that_no_longer_go_together(population: Three) -> None:
    rng = np.random.default_rng(0)

    def gone(given: Table, together: bool) -> Table:
        first = rng.random(len(given)) < 0.3
        second = first if together else rng.permutation(first)
        wage, city = (given.arrow.column(name).combine_chunks() for name in ("wage", "city"))
        given = changed(given, "wage", pa.compute.if_else(pa.array(first), pa.scalar(None, wage.type), wage))
        return changed(given, "city", pa.compute.if_else(pa.array(second), pa.scalar(None, city.type), city))

    train, holdout, fresh = population
    measured = evaluate(gone(train, True), gone(holdout, True), gone(fresh, False), only=["fidelity.missingness"])
    assert excess(measured["fidelity.missingness"], "low") > 0.2
    kept = evaluate(gone(train, True), gone(holdout, True), gone(fresh, True), only=["fidelity.missingness"])
    assert excess(kept["fidelity.missingness"], "low") < 0


def test_nulls_where_no_real_row_has_any_are_a_difference_and_none_anywhere_is_nothing() -> None:
    rng = np.random.default_rng(0)
    schema = Schema((Column("x", Kind.DECIMAL, nullable=True), Column("y", Kind.DECIMAL)))
    train, holdout, fresh = (Table(pa.table({"x": x, "y": y}), schema) for x, y in rng.normal(size=(3, 2, 900)))
    holed = changed(fresh, "x", pa.array(fresh.arrow.column("x").to_numpy(), mask=rng.random(900) < 0.2))
    measured = evaluate(train, holdout, holed, only=["fidelity.missingness"])["fidelity.missingness"]
    assert measured.score is not None
    assert 0.15 < measured.score.low < measured.score.high < 0.25
    assert measured.detail["columns"]["x"]["train"] == 0
    assert evaluate(train, holdout, fresh, only=["fidelity.missingness"])["fidelity.missingness"].status == "absent"


def test_a_generator_that_halves_what_is_rare(adult: Three) -> None:
    train, holdout, fresh = adult
    place = fresh.arrow.column("native_country").combine_chunks()
    rare = np.array([v is not None and v != "United-States" for v in place.to_pylist()])
    rare &= np.random.default_rng(0).random(len(fresh)) < 0.7
    fake = changed(fresh, "native_country", pa.compute.if_else(pa.array(rare), pa.scalar("United-States", place.type), place))
    measured = evaluate(train, holdout, fake, only=["fidelity.rare_categories", "fidelity.missing_categories"])
    assert excess(measured["fidelity.rare_categories"], "low") > 0.05
    assert measured["fidelity.rare_categories"].detail["worst"][0]["category"].startswith("native_country=")


def test_tails_by_hand() -> None:
    kind = Schema((Column("x", Kind.DECIMAL),))
    train = Table(pa.table({"x": np.arange(1_000.0)}), kind)
    cut = Table(pa.table({"x": np.clip(np.arange(1_000.0), 20, 979)}), kind)
    detail = evaluate(train, None, cut, only=["fidelity.tails"])["fidelity.tails"].detail
    # 10 rows lie above the upper 1% quantile (989) and 10 below the lower one (10): none of the clipped ones does
    assert {end["end"]: end["error"] for end in detail["worst"]} == {
        "x (upper)": pytest.approx(1.0),
        "x (lower)": pytest.approx(1.0),
    }
    far = np.arange(1_000.0)
    far[-5:] *= 10
    detail = evaluate(train, None, Table(pa.table({"x": far}), kind), only=["fidelity.tails"])["fidelity.tails"].detail
    assert detail["worst"][0]["end"] == "x (upper)"
    assert detail["worst"][0]["error"] == pytest.approx(0.5)
    assert detail["worst"][0]["reach"] > 100


def test_a_spike_at_the_end_is_no_tail() -> None:
    rng = np.random.default_rng(0)
    kind = Schema((Column("x", Kind.DECIMAL),))
    spiked = [Table(pa.table({"x": np.clip(rng.normal(size=2_000), -1, 1)}), kind) for _ in range(3)]
    measured = evaluate(*spiked, only=["fidelity.tails"])["fidelity.tails"]
    assert (measured.status, "no number has a tail" in measured.reason) == ("absent", True)


# time and subjects ---------------------------------------------------------------------------------------------------


EVENTS = Schema(
    (
        Column("at", Kind.DATETIME, unit="minute"),
        Column("who", Kind.IDENTIFIER, Role.SUBJECT),
        Column("sex", Kind.CATEGORICAL, categories=("f", "m")),
        Column("mood", Kind.CATEGORICAL, categories=("bad", "good")),
    ),
    time="at",
)


def events(subjects: int, seed: int, subject: bool = True) -> Table:
    """Visits on workdays in office hours, a few for each person, about a week apart."""
    rng = np.random.default_rng(seed)
    visits = rng.geometric(0.4, subjects) if subject else np.ones(subjects, dtype=int)
    who = np.repeat(np.arange(subjects), visits)
    week = np.repeat(rng.integers(0, 90, subjects), visits) + np.concatenate([np.arange(v) for v in visits])
    minutes = ((week * 7 + 4 + rng.integers(0, 5, len(who))) * 24 + rng.integers(8, 18, len(who))) * 60 + rng.integers(
        0, 60, len(who)
    )
    arrow = pa.table(
        {
            "at": pa.array([dt.datetime(2020, 1, 2) + dt.timedelta(minutes=int(m)) for m in minutes], pa.timestamp("s")),
            "who": pa.array([f"{seed}-{i}" for i in who]),
            "sex": pa.array(np.where(rng.random(subjects) < 0.5, "f", "m")[who]),
            "mood": pa.array(np.where(rng.random(len(who)) < 0.5, "bad", "good")),
        }
    )
    return Table(arrow, EVENTS) if subject else Table(arrow.drop_columns(["who"]), EVENTS.select(["at", "sex", "mood"]))


def test_fresh_visits_lie_where_real_ones_do_and_each_fault_is_seen() -> None:
    train, holdout, fresh = (events(600, seed) for seed in range(3))
    only = ["fidelity.temporal", "fidelity.subject_structure"]
    for m in evaluate(train, holdout, fresh, only=only):
        assert excess(m, "low") < 0 < excess(m, "high"), m
    strangers = changed(fresh, "who", pa.array([f"new-{i}" for i in range(len(fresh))]))
    single = evaluate(train, holdout, strangers, only=only)
    assert excess(single["fidelity.subject_structure"], "low") > 0.3
    assert excess(single["fidelity.temporal"], "low") > 0.05  # nobody comes back after a week
    mixed = evaluate(train, holdout, shuffled(fresh), only=only)["fidelity.subject_structure"]
    worst = mixed.detail["columns"][0]
    assert (worst["column"], worst["error"] > 0.2) == ("sex", True)  # which was constant; moods were as changeable before


def test_rows_at_the_weekend_or_at_night_are_seen() -> None:
    train, holdout, fresh = (events(1_200, seed, subject=False) for seed in range(3))
    moments = fresh.arrow.column("at").cast(pa.int64()).to_numpy()
    measured = [
        evaluate(
            train, holdout, changed(fresh, "at", pa.array(moments + shift).cast(pa.timestamp("s"))), only=["fidelity.temporal"]
        )
        for shift in (0, 2 * 86_400, 12 * 3_600)
    ]
    parts = [m["fidelity.temporal"].detail["parts"] for m in measured]
    assert parts[0]["at: weekdays"]["error"] < 0.1 < 0.35 < parts[1]["at: weekdays"]["error"]
    assert parts[0]["at: hours of the day"]["error"] < 0.1 < 0.9 < parts[2]["at: hours of the day"]["error"]
    assert excess(measured[0]["fidelity.temporal"], "low") < 0 < excess(measured[1]["fidelity.temporal"], "low")


def test_a_regular_series_whose_order_was_lost() -> None:
    hours = np.arange(6_000) * 3_600
    rng = np.random.default_rng(0)
    schema = Schema((Column("at", Kind.DATETIME, unit="hour"), Column("x", Kind.DECIMAL)), time="at")

    def of(seconds: np.ndarray) -> Table:
        return Table(pa.table({"at": pa.array(seconds).cast(pa.timestamp("s")), "x": rng.normal(size=len(seconds))}), schema)

    order = rng.permutation(hours)
    train, holdout, fresh, drawn = of(order[:2_000]), of(order[2_000:4_000]), of(order[4_000:]), of(rng.choice(hours, 2_000))
    sound, broken = (evaluate(train, holdout, made, only=["fidelity.temporal"])["fidelity.temporal"] for made in (fresh, drawn))
    assert sound.detail["parts"]["at: gaps"]["error"] < 0.1 < 0.15 < broken.detail["parts"]["at: gaps"]["error"]


# odd tables ----------------------------------------------------------------------------------------------------------


def test_five_hundred_columns_are_quick_and_say_how_many_pairs_were_taken() -> None:
    rng = np.random.default_rng(0)
    schema = Schema(tuple(Column(f"x{i}", Kind.DECIMAL) for i in range(500)))
    tables = [
        Table(
            pa.table({f"x{i}": column for i, column in enumerate(rng.normal(size=(500, 600)) + rng.normal(size=600))}), schema
        )
        for _ in range(3)
    ]
    measured = evaluate(*tables, only=COUNTS)
    assert not [m for m in measured if m.status == "error"]
    assert measured["fidelity.pairs"].detail["pairs_in_all"] == 124_750
    assert measured["fidelity.pairs"].detail["pairs"] == 1_500
    assert sum(m.seconds for m in measured) < 20


@pytest.mark.parametrize("kind", ["levels", "null", "constant", "one subject", "infinite"])
def test_odd_columns_have_a_figure_or_a_reason(kind: str) -> None:
    rng = np.random.default_rng(0)
    n = 800
    names = tuple(f"c{i}" for i in range(100_000))
    columns = {
        "levels": (Column("odd", Kind.CATEGORICAL, categories=names), pa.array(rng.choice(names, n))),
        "null": (Column("odd", Kind.DATETIME, nullable=True, unit="day"), pa.array([None] * n, pa.date32())),
        "constant": (Column("odd", Kind.DECIMAL), pa.array(np.full(n, 2.5))),
        "one subject": (Column("odd", Kind.IDENTIFIER, Role.SUBJECT), pa.array(["a"] * n)),
        "infinite": (Column("odd", Kind.DECIMAL), pa.array(np.where(rng.random(n) < 0.01, np.inf, rng.normal(size=n)))),
    }
    column, values = columns[kind]
    table = Table(
        pa.table({"odd": values, "x": rng.normal(size=n), "y": rng.normal(size=n)}),
        Schema((column, Column("x", Kind.DECIMAL), Column("y", Kind.DECIMAL))),
    )
    for rows in (n, 3):
        for m in evaluate(table, table, table.head(rows), only=COUNTS):
            assert m.status != "error", m


# what the figures rest on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0, 1, 2, 5, 20, 100, 400, 800])
def test_what_chance_explains_is_the_mean_over_all_ways_to_share_rows_out(t: int) -> None:
    n, m = 500, 300
    taken = np.random.default_rng(t).hypergeometric(t, n + m - t, n, 50_000)
    simulated = np.abs(taken / n - (t - taken) / m).mean()
    assert chance_deviation(n, m)[t] == pytest.approx(simulated, rel=0.03)


def test_a_sparse_table_of_independent_columns_holds_no_information() -> None:
    rng = np.random.default_rng(0)
    tables = rng.multinomial(400, np.full(400, 1 / 400), 500)
    book = entropy_book(400)
    by_row = tables.reshape(500, 20, 20)
    information = entropy(by_row.sum(axis=2), book) + entropy(by_row.sum(axis=1), book) - entropy(tables, book)
    shares = tables / 400
    plain = 2 * np.log(20) + (shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)
    assert abs(information.mean()) < 0.06 < 0.3 < plain.mean()


def test_the_spread_of_a_distance_is_known_both_without_and_with_a_difference() -> None:
    rng = np.random.default_rng(0)
    p = np.full(30, 1 / 30)
    for q in (p, np.concatenate([p[:15] * 1.5, p[15:] * 0.5])):
        values, errors = [], []
        for _ in range(300):
            tables, samples = [], []
            for shares, side in ((p, "train"), (q, "synthetic")):
                tables.append(replicates(rng.multinomial(75, shares, 20)))
                samples.append(Sample(side, np.arange(1_500), np.arange(1_500) % 20, 20))  # type: ignore[arg-type]
            found = subsampled(total_variation(*tables), Pairing(*samples), (-1.0, 1.0))
            values.append(found.value)
            errors.append((found.high - found.low) / 2 / 2.093)  # Student's t of 19 degrees of freedom
        assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


def test_every_pair_and_triple_is_counted_where_there_are_few(population: Three) -> None:
    measured = evaluate(*population, only=["fidelity.pairs", "fidelity.triples"])
    assert measured["fidelity.pairs"].detail["pairs"] == len(list(combinations(range(9), 2)))
    assert measured["fidelity.triples"].detail["triples"] == len(list(combinations(range(9), 3)))
