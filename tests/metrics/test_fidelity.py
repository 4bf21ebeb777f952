"""Shape and trend agree with computation by hand, see each planted fault, and leave fresh rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import ks_2samp

from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurement, Measurements

Three = tuple[Table, Table, Table]
FIDELITY = ["fidelity.shape", "fidelity.worst_column", "fidelity.trend", "fidelity.detection"]


def value(measured: Measurements, name: str) -> float:
    score = measured[name].score
    assert score is not None, measured[name].reason
    return score.value


def excess(measurement: Measurement) -> float:
    assert measurement.score is not None
    assert measurement.reference is not None
    return measurement.score.value - measurement.reference.value


def table(columns: dict[str, list[object]], *kinds: Column) -> Table:
    return Table(pa.table(columns), Schema(kinds))


def changed(given: Table, name: str, values: object) -> Table:
    return replace(given, arrow=given.arrow.set_column(given.columns.index(name), name, pa.array(values)))


def numbers(given: Table, name: str) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in given.column(name).to_pylist()], dtype=float)


def test_shape_by_hand() -> None:
    kinds = Column("c", Kind.CATEGORICAL, nullable=True, categories=("a", "b", "c")), Column("x", Kind.DECIMAL, nullable=True)
    real = table({"c": ["a", "a", "b", None], "x": [1.0, 2.0, 3.0, None]}, *kinds)
    fake = table({"c": ["a", "b", "b", "c"], "x": [1.0, None, None, None]}, *kinds)
    measured = evaluate(real, None, fake, only=["fidelity.shape", "fidelity.worst_column"])
    # c: |½−¼| + |¼−½| + |0−¼| + |¼−0| = 1, half of it; x: up to 3 lie ¾ of the real rows and ¼ of the others
    assert measured["fidelity.shape"].detail["columns"] == {"c": 0.5, "x": 0.5}
    assert value(measured, "fidelity.shape") == 0.5
    assert measured["fidelity.worst_column"].detail["column"] == "c"


def test_shape_of_numbers_is_the_ks_distance() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=500), rng.normal(0.3, 2, 700).round(1)
    kind = Column("x", Kind.DECIMAL)
    measured = evaluate(table({"x": list(a)}, kind), None, table({"x": list(b)}, kind), only=["fidelity.shape"])
    assert value(measured, "fidelity.shape") == pytest.approx(ks_2samp(a, b).statistic)


def test_trend_of_categories_by_hand() -> None:
    kinds = (
        Column("c", Kind.CATEGORICAL, categories=("a", "b")),
        Column("d", Kind.CATEGORICAL, nullable=True, categories=("u", "v")),
    )
    real = table({"c": ["a", "a", "b", "b"], "d": ["u", "u", "v", None]}, *kinds)
    fake = table({"c": ["a", "a", "b", "b"], "d": ["v", "u", "u", None]}, *kinds)
    # au ½→¼, av 0→¼, bv ¼→0, bu 0→¼, b∅ as it was
    assert value(evaluate(real, None, fake, only=["fidelity.trend"]), "fidelity.trend") == pytest.approx(0.5)


def test_trend_of_numbers_is_half_the_difference_of_correlations() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400)), rng.normal(size=(2, 400))
    a[1] += a[0]
    b[1] -= 2 * b[0]
    kinds = Column("x", Kind.DECIMAL), Column("y", Kind.DECIMAL)
    real, fake = (table({"x": list(v[0]), "y": list(v[1])}, *kinds) for v in (a, b))
    expected = abs(np.corrcoef(a)[0, 1] - np.corrcoef(b)[0, 1]) / 2
    assert value(evaluate(real, None, fake, only=["fidelity.trend"]), "fidelity.trend") == pytest.approx(expected)


def test_a_lost_pattern_of_nulls_is_a_trend_error() -> None:
    rng = np.random.default_rng(0)
    gone = rng.random(1_000) < 0.4
    kinds = Column("x", Kind.DECIMAL, nullable=True), Column("y", Kind.DECIMAL, nullable=True)
    x, y = rng.normal(size=(2, 1_000))
    real = Table(pa.table({"x": pa.array(x, mask=gone), "y": pa.array(y, mask=gone)}), Schema(kinds))
    fake = Table(pa.table({"x": pa.array(x, mask=gone), "y": pa.array(y, mask=gone[::-1])}), Schema(kinds))
    assert value(evaluate(real, None, fake, only=["fidelity.trend"]), "fidelity.trend") > 0.3


def test_a_spike_does_not_hide_what_goes_with_it(draw: Callable[[int, int], Table]) -> None:
    # nine tenths of `gain` are 0; the other tenth goes with `paid`, until it is shuffled
    train, holdout, fresh = (draw(8_000, seed) for seed in (1, 2, 3))
    shuffled = changed(fresh, "gain", np.random.default_rng(0).permutation(numbers(fresh, "gain").astype(int)))
    only = ["fidelity.trend"]
    pairs = {}
    for name, fake in (("fresh", fresh), ("shuffled", shuffled)):
        detail = evaluate(train, holdout, fake, only=only)["fidelity.trend"].detail
        i, j = detail["names"].index("gain"), detail["names"].index("paid")
        pairs[name] = next(error for a, b, error in detail["pairs"] if (a, b) == (i, j))
    assert pairs["shuffled"] > 2 * pairs["fresh"]


def test_shuffled_columns_are_told_apart_though_each_is_perfect(three: Three) -> None:
    train, holdout, _ = three
    rng = np.random.default_rng(0)
    columns = [train.arrow.column(name).take(pa.array(rng.permutation(len(train)))) for name in train.columns]
    shuffled = replace(train, arrow=pa.table(columns, schema=train.arrow.schema))
    measured = evaluate(train, holdout, shuffled, only=[*FIDELITY, "utility"])
    assert value(measured, "fidelity.shape") == 0.0
    assert excess(measured["fidelity.trend"]) > 0.005
    assert value(measured, "fidelity.detection") > 0.6
    assert value(measured, "utility.gap") > 0.1


def test_a_column_on_another_scale_fails_shape_trend_and_range(three: Three) -> None:
    train, holdout, fresh = three
    measured = evaluate(
        train, holdout, changed(fresh, "age", numbers(fresh, "age").astype(int) * 1_000), only=[*FIDELITY, "validity"]
    )
    assert value(measured, "fidelity.worst_column") == pytest.approx(1.0)
    assert measured["fidelity.worst_column"].detail["column"] == "age"
    assert excess(measured["fidelity.shape"]) > 0.08
    assert excess(measured["fidelity.trend"]) > 0.05
    assert value(measured, "fidelity.detection") > 0.99
    assert value(measured, "validity.range") == 1.0


def test_a_spiked_column_on_another_scale_is_out_of_range(three: Three) -> None:
    train, holdout, fresh = three
    measured = evaluate(
        train, holdout, changed(fresh, "gain", numbers(fresh, "gain").astype(int) * 1_000), only=["validity.range"]
    )
    assert 0.08 < value(measured, "validity.range") < 0.12
    reference = measured["validity.range"].reference
    assert reference is not None
    assert reference.value < 0.005


def test_a_missing_rare_class_is_named(draw: Callable[[int, int], Table]) -> None:
    train, holdout, fresh = (draw(3_000, seed).with_roles(target="city") for seed in (1, 2, 3))
    without = fresh.filter(np.array(fresh.column("city").to_pylist()) != "Èze")
    measured = evaluate(train, holdout, without, only=["fidelity"])
    assert measured["fidelity.missing_classes"].detail["absent"] == ["city=Èze"]
    assert value(measured, "fidelity.missing_classes") == pytest.approx(1 / 6)  # five cities and null
    lost = measured["fidelity.class_share[city=Èze]"]
    assert lost.detail["ratio"] == 0
    assert lost.score is not None
    assert lost.score.low > 0.01
    kept = evaluate(train, holdout, fresh, only=["fidelity.missing_classes", "fidelity.missing_categories"])
    assert [m.score.value for m in kept if m.score is not None] == [0.0, 0.0]


def test_fresh_rows_lie_where_real_rows_do(draw: Callable[[int, int], Table]) -> None:
    train, holdout = draw(1_000, 1), draw(1_000, 2)
    for seed in range(10, 13):
        measured = evaluate(train, holdout, draw(1_000, seed), seed=seed, only=FIDELITY)
        for name in FIDELITY:
            m = measured[name]
            assert m.score is not None
            assert m.reference is not None
            assert m.score.low < m.reference.high, (seed, m)
            assert excess(m) < 0.05, (seed, m)


@pytest.mark.parametrize(("held", "made"), [(400, 4_000), (4_000, 400)])
def test_the_reference_is_fair_whatever_the_sizes(draw: Callable[[int, int], Table], held: int, made: int) -> None:
    # noise falls with the number of rows: unless both rest on as many, the larger table would look better
    train = draw(4_000, 1)
    gaps = []
    for seed in range(6):
        measured = evaluate(train, draw(held, 100 + seed), draw(made, 200 + seed), seed=seed, only=FIDELITY[:3])
        gaps.append(
            [excess(measured[name]) / max(value(measured, name), 1e-9) for name in ("fidelity.shape", "fidelity.trend")]
        )
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.25


def test_the_intervals_of_shape_and_trend_hold_their_expectation(draw: Callable[[int, int], Table]) -> None:
    measured = [evaluate(draw(500, 2 * seed), None, draw(500, 2 * seed + 1), only=FIDELITY[:3:2]) for seed in range(60)]
    for name in ("fidelity.shape", "fidelity.trend"):
        scores = [m[name].score for m in measured]
        truth = np.mean([s.value for s in scores if s is not None])
        hits = [s.low <= truth <= s.high for s in scores if s is not None]
        assert np.mean(hits) >= 0.9


def test_copies_are_not_recognised_across_folds(three: Three) -> None:
    # were a copy in one fold and its original in another, the area would move far from a half
    train, holdout, _ = three
    assert value(evaluate(train, holdout, train, only=["fidelity.detection"]), "fidelity.detection") == pytest.approx(
        0.5, abs=0.01
    )


def test_detection_sees_what_a_factorised_table_hides() -> None:
    rng = np.random.default_rng(0)
    n = 1_500
    side = rng.integers(0, 2, (2, n))
    kinds = Column("a", Kind.INTEGER), Column("b", Kind.INTEGER), Column("y", Kind.INTEGER, Role.TARGET)
    real = Table(pa.table({"a": side[0], "b": side[1], "y": side[0] ^ side[1]}), Schema(kinds))
    broken = Table(pa.table({"a": side[0], "b": side[1], "y": rng.permutation(side[0] ^ side[1])}), Schema(kinds))
    assert value(evaluate(real, None, broken, only=["fidelity.detection"]), "fidelity.detection") > 0.7
