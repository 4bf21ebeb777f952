"""Copies are seen however they are disguised, an attack finds members where there are any, and nobody where there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.distance import nearest, positions
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.measurement import Interval, Measurements
from synth.metrics.membership import Attack, found_at

Three = tuple[Table, Table, Table]
COPIES = ["privacy.exact_copies", "privacy.unique_copies", "privacy.near_copies"]


def score(measured: Measurements, name: str) -> Interval:
    found = measured[name].score
    assert found is not None, measured[name].reason
    return found


def beyond(measured: Measurements, name: str) -> float:
    """How far the favourable end of the interval lies beyond what real rows score."""
    reference = measured[name].reference
    assert reference is not None
    return score(measured, name).low - reference.value


def jittered(table: Table, seed: int) -> Table:
    """The same rows with every number off by up to 1%, on its grid."""
    rng = np.random.default_rng(seed)
    arrow = table.arrow
    for column in table.schema.learned:
        if column.kind in (Kind.INTEGER, Kind.DECIMAL):
            index, kind = arrow.column_names.index(column.name), arrow.schema.field(column.name).type
            values = np.array([np.nan if v is None else v for v in arrow.column(index).to_pylist()], dtype=float)
            off = np.round(values * (1 + rng.uniform(-0.01, 0.01, len(values))), column.decimals or 0)
            arrow = arrow.set_column(index, column.name, pa.array(off, mask=np.isnan(off)).cast(kind))
    return replace(table, arrow=arrow)


def part(good: Table, bad: Table, share: float) -> Table:
    """Good rows with a share of bad ones among them."""
    count = round(share * len(good))
    return Table.concat([good.head(len(good) - count), bad.head(count)])


def test_a_copy_is_caught_by_everything(three: Three) -> None:
    train, holdout, _ = three
    measured = evaluate(train, holdout, train, only="privacy")
    assert score(measured, "privacy.exact_copies").value == 1.0
    assert score(measured, "privacy.membership_knn").low > 0.99
    assert score(measured, "privacy.membership_domias").low > 0.6
    assert score(measured, "privacy.membership_auc").low > 0.99
    assert score(measured, "privacy.membership_tpr").low > 0.95
    assert measured["privacy.membership_auc"].detail["strongest"] == "knn"


def test_a_jittered_copy_is_caught_though_no_row_is_equal(three: Three) -> None:
    train, holdout, _ = three
    measured = evaluate(train, holdout, jittered(train, 0), only="privacy")
    assert score(measured, "privacy.exact_copies").value < 0.2
    assert beyond(measured, "privacy.near_copies") > 0.5
    assert score(measured, "privacy.membership_auc").low > 0.8


def test_one_copied_row_in_a_hundred_is_seen(draw: Callable[[int, int], Table]) -> None:
    train, holdout, fresh = (draw(6_000, seed) for seed in (1, 2, 3))
    measured = evaluate(train, holdout, part(fresh, train, 0.01), only=COPIES)
    assert beyond(measured, "privacy.exact_copies") > 0.005
    assert beyond(measured, "privacy.unique_copies") > 0.005
    disguised = evaluate(train, holdout, part(fresh, jittered(train, 0), 0.02), only=COPIES)
    assert beyond(disguised, "privacy.near_copies") > 0.0


def test_fresh_rows_are_nobodys_copies(draw: Callable[[int, int], Table]) -> None:
    train, holdout = draw(2_000, 1), draw(2_000, 2)
    for seed in (10, 11):
        measured = evaluate(train, holdout, draw(2_000, seed), seed=seed, only="privacy")
        for name in COPIES:
            assert beyond(measured, name) < 0.005, (seed, measured[name])
        for name in ("knn", "domias", "auc"):
            assert score(measured, f"privacy.membership_{name}").low < 0.51, (seed, name)
        assert score(measured, "privacy.membership_tpr").low < 0.015


def test_equal_rows_name_nobody() -> None:
    # six possible rows, many times each: every synthetic row is a copy, and so is every holdout row
    kinds = Column("a", Kind.INTEGER), Column("b", Kind.INTEGER)
    rng = np.random.default_rng(0)
    tables = [Table(pa.table({"a": rng.integers(0, 3, 900), "b": rng.integers(0, 2, 900)}), Schema(kinds)) for _ in range(3)]
    measured = evaluate(*tables, only="privacy")
    assert score(measured, "privacy.exact_copies").value == 1.0
    assert beyond(measured, "privacy.exact_copies") < 0.005
    assert score(measured, "privacy.unique_copies").value == 0.0
    assert measured["privacy.membership_auc"].status == "skipped"
    assert "0 members" in measured["privacy.membership_auc"].reason


def test_a_training_table_full_of_equal_rows_gives_no_attack_by_itself() -> None:
    # a commoner row is likelier to lie near a synthetic one: members and controls must be equally common
    rng = np.random.default_rng(0)
    kind = Schema((Column("a", Kind.INTEGER), Column("b", Kind.INTEGER)))

    def rows(n: int) -> Table:
        return Table(pa.table({"a": rng.geometric(0.01, n), "b": rng.geometric(0.05, n)}), kind)

    areas = [
        score(evaluate(rows(8_000), rows(2_000), rows(8_000), only=["privacy.membership_knn"]), "privacy.membership_knn")
        for _ in range(5)
    ]
    assert abs(np.mean([area.value for area in areas]) - 0.5) < 0.02


def test_copies_through_a_text_file_are_still_equal(three: Three) -> None:
    # 12.3 written as 12.30000001 by somebody's arithmetic is the same value on a grid of two decimals
    train, holdout, _ = three
    index = train.columns.index("wage")
    off = pa.array([None if v is None else v + 1e-8 for v in train.column("wage").to_pylist()])
    fake = replace(train, arrow=train.arrow.set_column(index, "wage", off))
    assert score(evaluate(train, holdout, fake, only=["privacy.exact_copies"]), "privacy.exact_copies").value == 1.0


def test_the_threshold_of_false_alarms() -> None:
    controls = np.arange(1_000.0)
    assert found_at(np.arange(1_000.0), controls, 0.01) == pytest.approx(0.01)
    assert found_at(np.arange(1_000.0) + 2_000, controls, 0.01) == 1.0
    assert found_at(np.arange(1_000.0) - 2_000, controls, 0.01) == 0.0
    assert found_at(np.zeros(50), np.zeros(70), 0.01) == pytest.approx(0.01)  # ties tell nothing
    assert found_at(np.repeat([5.0, 1.0], [30, 70]), np.repeat([5.0, 1.0], [1, 99]), 0.01) == pytest.approx(0.30)


def test_the_intervals_of_an_attack_that_knows_nothing_hold_chance() -> None:
    rng = np.random.default_rng(0)
    areas = rates = 0
    for _ in range(200):
        members = rng.normal(size=800)
        both = [members, members + rng.normal(size=800) / 2]
        attack = Attack("blind", (both[0], both[1]), (rng.normal(size=400), rng.normal(size=400) * np.sqrt(1.25)))
        area, rate = attack.area(), attack.caught()
        areas += area.low <= 0.5 <= area.high
        rates += rate.low <= 0.01 <= rate.high
    assert 0.92 <= areas / 200 <= 0.99
    assert rates / 200 >= 0.93


def test_distances_are_those_of_the_words(draw: Callable[[int, int], Table]) -> None:
    kinds = (
        Column("x", Kind.DECIMAL, nullable=True),
        Column("c", Kind.CATEGORICAL, nullable=True, categories=("a", "b", "d")),
    )
    real = Table(pa.table({"x": [0.0, 10.0, None], "c": ["a", "a", None]}), Schema(kinds))
    fake = Table(pa.table({"x": [0.0, 10.0, 0.0, None, 10.0], "c": ["a", "b", None, "a", "d"]}), Schema(kinds))
    place = positions(Evidence(real, None, fake, 0))
    gap = place["synthetic"][:, None, :] - place["train"][None, :, :]
    #         to (0, a)  (10, a)  (∅, ∅)
    wanted = [[0, 1, 2], [2, 1, 2], [1, 2, 1], [1, 1, 1], [2, 1, 2]]
    assert (gap**2).sum(axis=2) == pytest.approx(np.array(wanted), abs=1e-6)


def test_the_search_agrees_with_scikit_learn() -> None:
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    rows, queries = rng.random((700, 9)).astype(np.float32), rng.random((1_100, 9)).astype(np.float32)
    queries[:50] = rows[:50] + np.float32(1e-5)
    expected = (
        NearestNeighbors(n_neighbors=1, algorithm="brute").fit(rows.astype(float)).kneighbors(queries.astype(float))[0][:, 0]
    )
    assert nearest(queries, rows) == pytest.approx(expected, abs=1e-7)


def test_an_identifier_that_somebody_has_is_seen() -> None:
    kinds = Schema(
        (
            Column("id", Kind.IDENTIFIER, Role.KEY),
            Column("mail", Kind.IDENTIFIER, nullable=True, provider="email"),
            Column("x", Kind.INTEGER),
        )
    )

    def rows(first: int) -> Table:
        mails = [None, *(f"p{first + i}@example.org" for i in range(99))]
        return Table(pa.table({"id": range(100), "mail": mails, "x": range(100)}), kinds)

    train, holdout, fresh = rows(0), rows(100), rows(200)
    name = "privacy.identifier_copies"
    clean = evaluate(train, holdout, fresh, only=[name])
    assert score(clean, f"{name}[mail]").value == 0.0
    leaked = evaluate(train, holdout, part(fresh, train, 0.5), only=[name])
    assert leaked[name].detail["copies"] == 49
    assert beyond(leaked, name) > 0.3
