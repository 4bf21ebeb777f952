"""Attacks on persons succeed where rows were copied, and on nobody where they were not; their intervals hold what they say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics._risk import Attack, Rate, leaned, residual, strongest
from synth.metrics.distance import positions, spans
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.inference import guessed, secrets
from synth.metrics.measurement import Interval, Measurements
from synth.metrics.singling_out import _Predicates, _Rows

Three = tuple[Table, Table, Table]
ALL = [
    "privacy.attribute_inference",
    "privacy.singling_out_univariate",
    "privacy.singling_out_multivariate",
    "privacy.linkability",
]
ROWS = 2_500


@pytest.fixture(scope="module")
def draws(shared_data: Callable[[str], Path]) -> Three:
    """Training, holdout and fresh rows of a real table."""
    adult = synth.read(shared_data("adult.parquet"), target="income", sensitive=["sex", "race"])
    order = np.random.default_rng(0).permutation(len(adult))
    return tuple(adult.take(order[i * ROWS : (i + 1) * ROWS]) for i in range(3))  # type: ignore[return-value]


def scores(measured: Measurements) -> dict[str, Interval]:
    return {m.label: m.score for m in measured if m.score is not None}


def shuffled(table: Table) -> Table:
    """Each column in an order of its own: the same values, and no row."""
    rng = np.random.default_rng(0)
    columns = [table.arrow.column(name).take(pa.array(rng.permutation(len(table)))) for name in table.columns]
    return replace(table, arrow=pa.table(columns, schema=table.arrow.schema))


def test_copies_give_their_people_away(draws: Three) -> None:
    train, holdout, _ = draws
    found = scores(evaluate(train, holdout, train, only=ALL))
    assert len(found) == 5
    for label, score in found.items():
        assert score.low > (0.9 if "singling" not in label else 0.8), (label, score)


def test_fresh_rows_give_nobody_away(draws: Three) -> None:
    measured = evaluate(*draws, only=ALL)
    for m in measured:
        assert m.score is not None, m.reason
        assert m.score.low < 0.01, m
        assert m.score.n >= 1_000
        assert m.reference == Interval(0.0, 0.0, 0.0, m.score.n)
        assert 0 < m.detail["power"] < 0.12


def test_trees_without_restraint_give_people_away(draws: Three) -> None:
    train, holdout, _ = draws
    fake = synth.Trees(min_samples_leaf=1).fit(train, seed=0).sample(len(train), seed=1)
    found = scores(evaluate(train, holdout, fake, only=ALL))
    assert found["privacy.linkability"].low > 0.005
    assert found["privacy.singling_out_multivariate"].low > 0.0
    assert found["privacy.attribute_inference[sex]"].low > 0.05


def test_values_without_their_rows_give_only_values_away(draws: Three) -> None:
    train, holdout, _ = draws
    found = scores(evaluate(train, holdout, shuffled(train), only=ALL))
    for label in ("privacy.linkability", "privacy.attribute_inference[sex]", "privacy.attribute_inference[race]"):
        assert found[label].low < 0.005, (label, found[label])
    # a weight that one person has, and everybody can read, singles him out
    assert found["privacy.singling_out_univariate"].low > 0.9


def test_a_number_is_guessed_within_its_tolerance(three: Three) -> None:
    train, holdout, fresh = three
    copied, honest = (
        evaluate(train, holdout, fake, only=ALL[0])["privacy.attribute_inference[age]"] for fake in (train, fresh)
    )
    assert copied.score is not None and copied.score.low > 0.9  # noqa: PT018
    assert honest.score is not None and honest.score.low < 0.0 < honest.score.high  # noqa: PT018
    ages = np.array(train.column("age").to_pylist())
    low, high = np.quantile(ages, [0.05, 0.95])
    assert honest.detail["tolerance"] == pytest.approx(0.05 * (high - low))


def test_equal_rows_are_nobody() -> None:
    # all but a few rows are one of six: copies of those name nobody, and what is left is too little for an attack
    rng = np.random.default_rng(0)
    kinds = Schema((Column("a", Kind.INTEGER), Column("b", Kind.INTEGER, Role.TARGET)))
    tables = [Table(pa.table({"a": rng.integers(0, 3, 900), "b": rng.integers(0, 2, 900)}), kinds) for _ in range(2)]
    measured = evaluate(tables[0], tables[1], tables[0], only=ALL)
    assert {m.status for m in measured} <= {"skipped", "absent"}
    assert "without equal rows" in measured["privacy.linkability"].reason


def test_a_larger_training_table_is_at_no_more_risk_by_itself() -> None:
    rng = np.random.default_rng(0)
    names = "abcdef"
    kind = Schema(tuple(Column(name, Kind.INTEGER, Role.SENSITIVE if name == "f" else Role.FEATURE) for name in names))

    def rows(n: int) -> Table:
        common = rng.geometric(0.2, n)
        return Table(pa.table({name: common + rng.geometric(0.3, n) for name in names}), kind)

    risks = [scores(evaluate(rows(3_000), rows(1_000), rows(3_000), seed=i, only=ALL)) for i in range(3)]
    for label in risks[0]:
        assert abs(np.mean([risk[label].value for risk in risks])) < 0.04, label


def test_without_what_they_need_they_say_so(three: Three) -> None:
    train, holdout, fresh = three
    assert {m.status for m in evaluate(train, None, fresh, only=ALL)} == {"skipped"}
    assert {m.status for m in evaluate(train.head(3), holdout.head(3), fresh.head(3), only=ALL)} <= {"skipped", "absent"}
    plain = Schema((Column("x", Kind.INTEGER),))
    alone = [Table(pa.table({"x": np.arange(i, 2_000 + i)}), plain) for i in range(3)]
    measured = evaluate(*alone, only=ALL)
    assert measured["privacy.attribute_inference"].status == "absent"
    assert measured["privacy.linkability"].status == "absent"


def test_odd_columns_give_a_figure_or_a_reason() -> None:
    rng = np.random.default_rng(0)
    many = [f"level {i}" for i in range(5_000)]
    kinds = Schema(
        (
            Column("constant", Kind.INTEGER, Role.SENSITIVE),
            Column("empty", Kind.DECIMAL, Role.SENSITIVE, nullable=True),
            Column("wild", Kind.DECIMAL, Role.SENSITIVE, nullable=True),
            Column("many", Kind.CATEGORICAL, Role.SENSITIVE, categories=tuple(many)),
            Column("x", Kind.INTEGER),
        )
    )

    def rows(n: int) -> Table:
        return Table(
            pa.table(
                {
                    "constant": np.ones(n, dtype=int),
                    "empty": pa.array([None] * n, pa.float64()),
                    "wild": rng.choice([1.0, 1e300, np.inf, -np.inf], n),
                    "many": pa.array(np.array(many)[rng.integers(0, len(many), n)]),
                    "x": rng.integers(0, 10**9, n),
                }
            ),
            kinds,
        )

    measured = evaluate(rows(600), rows(600), rows(600), only=ALL)
    assert not [m for m in measured if m.status == "error"]
    assert "nothing is left" in measured["privacy.attribute_inference[constant]"].reason
    assert "have a value" in measured["privacy.attribute_inference[empty]"].reason
    assert measured["privacy.attribute_inference[many]"].status == "ok"


def test_success_is_known_target_by_target(three: Three) -> None:
    train, holdout, _ = three
    evidence = Evidence(train, holdout, train, 0)
    column = next(c for c in secrets(evidence) if c.name == "sex")
    found = guessed(evidence, column)
    attack = found.strongest()
    young = evidence.column("age").train[found.train] < 40
    other = evidence.column("age").holdout[found.control] < 40
    assert attack.train.shape == found.train.shape
    assert residual(*found.rates(attack, young, other), int(young.sum())).low > 0.9


def test_the_columns_of_a_point_are_where_they_are_said_to_be(three: Three) -> None:
    evidence = Evidence(*three, 0)
    parts = spans(evidence)
    assert sum(part.stop - part.start for part in parts.values()) == positions(evidence)["train"].shape[1]
    sex = positions(evidence)["train"][:, parts["sex"]]
    assert len(np.unique(sex, axis=0)) == 2


def test_predicates_single_out_the_rows_that_a_look_at_each_row_finds() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 8, (60, 4)).astype(np.int32)
    low = rng.integers(-1, 8, (500, 3))
    asked = _Predicates(rng.integers(0, 4, (500, 3)), low, low + rng.integers(0, 3, (500, 3)))
    values = codes[:, asked.columns]
    holds = ((values >= asked.low) & (values <= asked.high)).all(axis=2)
    expected = np.where(holds.sum(axis=0) == 1, holds.argmax(axis=0), -1)
    assert (expected >= 0).sum() > 20
    assert (_Rows(codes).singled(asked) == expected).all()


def test_residual_risk_is_what_the_paper_says() -> None:
    found = residual(Rate(0.6, 1_000), Rate(0.5, 1_000), 1_000)
    assert found.value == pytest.approx((0.6 - 0.5) / (1 - 0.5))
    error = math.sqrt(0.4 * 0.6 / 1_000 / 0.5**2 + 0.8**2 * 0.25 / 1_000 / 0.5**2)  # the delta method agrees in large samples
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_residual_risk_lies_in_its_interval(hits: int, strangers: int) -> None:
    found = residual(Rate(hits / 500, 500), Rate(strangers / 500, 500), 500)
    assert -1 <= found.low <= found.value <= found.high <= 1
    if strangers < 500:
        assert (found.value > 0) == (hits > strangers)


def test_the_interval_holds_no_risk_as_often_as_it_says_though_the_stronger_attack_is_taken() -> None:
    rng = np.random.default_rng(0)
    held = {"chosen": 0, "leaned": 0}
    for _ in range(400):
        hard = [rng.random(1_500) for _ in range(2)]  # how hard the targets are, which both attacks feel
        attacks = [Attack(name, *(rng.random(1_500) < 0.9 - 0.8 * side for side in hard)) for name in ("one", "other")]
        best = strongest((attacks[0], attacks[1]))
        found = residual(*(Rate(float(side.mean()), 1_500 / best.chosen) for side in (best.train, best.control)), 1_500)
        held["chosen"] += found.low <= 0 <= found.high
        mean = float(np.mean([-side.mean() for side in hard]))
        first = attacks[0]
        rates = [leaned(hits, -side, mean) for hits, side in zip((first.train, first.control), hard)]
        assert rates[0].n > 1_500
        found = residual(rates[0], rates[1], 1_500)
        held["leaned"] += found.low <= 0 <= found.high
    for way, count in held.items():
        assert 0.92 <= count / 400 <= 0.985, (way, count)
