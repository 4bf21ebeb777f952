"""Models trained on synthetic rows are judged on real ones, and groups one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.contest import contest, score
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.measurement import Interval

Three = tuple[Table, Table, Table]


def values(table: Table, name: str) -> np.ndarray:
    return np.array(table.column(name).to_pylist())


def held(measurement: Interval | None) -> Interval:
    assert measurement is not None
    return measurement


def test_the_score_is_the_area_of_the_target(three: Three) -> None:
    play = contest(Evidence(*three, 0))
    truth = values(three[1], "paid") == "yes"
    assert score(play, play.real)[0] == pytest.approx(roc_auc_score(truth, play.real[:, 1]))


def test_the_score_of_many_classes_and_of_numbers(three: Three) -> None:
    many = contest(Evidence(*(t.with_roles(target="step") for t in three), 0))
    one_hot = values(three[1], "step")[:, None] == np.array(("low", "middle", "high"))[None]
    assert score(many, many.real)[0] == pytest.approx(roc_auc_score(one_hot, many.real, average="macro"))
    number = contest(Evidence(*(t.with_roles(target="age") for t in three), 0))
    assert score(number, number.real)[0] == pytest.approx(r2_score(values(three[1], "age"), number.real))


def test_the_spread_of_a_gap_is_that_of_drawing_the_test_rows_again(three: Three) -> None:
    play = contest(Evidence(*three, 0))
    rng = np.random.default_rng(0)
    gap = score(play, play.real)[1] - score(play, play.synthetic)[1]
    error = gap.std() / np.sqrt(len(gap))
    again = []
    for _ in range(200):
        pick = rng.integers(0, len(play.truth), len(play.truth))
        drawn = replace(play, truth=play.truth[pick], synthetic=play.synthetic[pick], real=play.real[pick])
        again.append(score(drawn, drawn.real)[0] - score(drawn, drawn.synthetic)[0])
    assert error == pytest.approx(np.std(again), rel=0.2)


def test_fresh_rows_train_as_well_and_shuffled_labels_do_not(three: Three) -> None:
    train, holdout, fresh = three
    good = evaluate(train, holdout, fresh, only="utility")
    assert held(good["utility.gap"].score).low < 0.02
    assert held(good["utility.tstr"].score).value > 0.8
    index = fresh.columns.index("paid")
    shuffled = fresh.arrow.set_column(index, "paid", pa.array(np.random.default_rng(0).permutation(values(fresh, "paid"))))
    bad = evaluate(train, holdout, replace(fresh, arrow=shuffled), only="utility")
    assert held(bad["utility.gap"].score).low > 0.2
    assert held(bad["utility.tstr"].reference).value == held(good["utility.tstr"].reference).value


def test_a_class_that_training_on_synthetic_rows_never_saw_costs_its_area(three: Three) -> None:
    train, holdout, fresh = (t.with_roles(target="step") for t in three)
    measured = evaluate(train, holdout, fresh.filter(values(fresh, "step") != "low"), only="utility")
    assert held(measured["utility.gap"].score).low > 0.05


def test_the_judges_keep_their_heads_among_rare_classes() -> None:
    # three common classes and six of a few rows each, all plain to see: boosting without shrinkage loses itself here
    rng = np.random.default_rng(0)
    shares = np.array([0.57, 0.22, 0.19, 0.008, 0.004, 0.003, 0.002, 0.002, 0.001])
    names = tuple(f"c{i}" for i in range(9))

    def rows() -> Table:
        code = rng.choice(9, 8_000, p=shares)
        columns = {f"x{i}": (code == i) * 5.0 + rng.normal(size=8_000) for i in range(9)}
        kinds = [Column(name, Kind.DECIMAL) for name in columns]
        target = Column("c", Kind.CATEGORICAL, Role.TARGET, categories=names)
        return Table(pa.table(columns | {"c": np.array(names)[code]}), Schema((*kinds, target)))

    measured = evaluate(rows(), rows(), rows(), only=["utility.tstr"])
    assert held(measured["utility.tstr"].reference).value > 0.97


# groups --------------------------------------------------------------------------------------------------------------


def grouped(rows: int, seed: int, *, women: float = 0.4, rate: float = 0.5, rare: int = 10) -> Table:
    """`sex` decides how `x` goes with `y`; `rare` rows belong to a third group."""
    rng = np.random.default_rng(seed)
    sex = np.where(rng.random(rows) < women, "f", "m")
    sex[:rare] = "x"
    x = rng.normal(size=rows)
    base = np.where(sex == "f", np.log(rate / (1 - rate)), 0.0)
    y = rng.random(rows) < 1 / (1 + np.exp(-base - 2 * x))
    kinds = (
        Column("sex", Kind.CATEGORICAL, Role.SENSITIVE, categories=("f", "m", "x")),
        Column("old", Kind.BOOLEAN, Role.SENSITIVE, nullable=True),
        Column("x", Kind.DECIMAL),
        Column("y", Kind.BOOLEAN, Role.TARGET),
    )
    old = pa.array(rng.random(rows) < 0.5, mask=rng.random(rows) < 0.1)
    return Table(pa.table({"sex": sex, "old": old, "x": x, "y": y}), Schema(kinds))


def test_a_group_that_shrank_is_named_and_a_small_one_is_insufficient() -> None:
    measured = evaluate(grouped(2_000, 1), grouped(2_000, 2), grouped(2_000, 3, women=0.2), only=["fairness.group_share"])
    women = measured["fairness.group_share[sex=f]"]
    assert held(women.score).low > 0.15
    assert held(women.reference).high < 0.05
    assert women.detail["ratio"] == pytest.approx(0.5, abs=0.05)
    assert measured["fairness.group_share[sex=x]"].status == "skipped"
    assert measured["fairness.group_share[sex=x]"].reason.startswith("insufficient: the group has 10 training rows")


def test_crossings_and_nulls_are_groups() -> None:
    measured = evaluate(*(grouped(2_000, seed) for seed in (1, 2, 3)), only=["fairness.group_share"])
    labels = {m.label for m in measured}
    assert "fairness.group_share[sex=f, old=True]" in labels
    assert "fairness.group_share[old=null]" in labels
    assert all(held(m.score).low < 0.02 for m in measured if m.status == "ok")


def test_a_group_that_vanished_has_no_share_and_no_outcome() -> None:
    fake = grouped(2_000, 3)
    measured = evaluate(grouped(2_000, 1), grouped(2_000, 2), fake.filter(values(fake, "sex") != "f"), only="fairness")
    assert held(measured["fairness.group_share[sex=f]"].score).value == pytest.approx(0.4, abs=0.03)
    gone = measured["fairness.label_gap[sex=f]"]
    assert (gone.status, gone.reason) == (
        "skipped",
        "insufficient: the group has 0 synthetic rows with a known target, 30 are needed",
    )


def test_a_group_whose_outcomes_changed_is_named() -> None:
    measured = evaluate(grouped(2_000, 1), grouped(2_000, 2), grouped(2_000, 3, rate=0.2), only=["fairness.label_gap"])
    assert held(measured["fairness.label_gap[sex=f]"].score).low > 0.1
    assert held(measured["fairness.label_gap[sex=m]"].score).low < 0.03
    assert measured["fairness.label_gap[sex=f]"].detail["real_share"] == pytest.approx(0.5, abs=0.05)


def test_a_group_that_the_model_fails_is_named() -> None:
    fake = grouped(3_000, 3)
    women = values(fake, "sex") == "f"
    x = values(fake, "x")
    x[women] = np.random.default_rng(0).permutation(x[women])
    broken = replace(fake, arrow=fake.arrow.set_column(2, "x", pa.array(x)))
    measured = evaluate(grouped(3_000, 1), grouped(3_000, 2), broken, only=["fairness.tstr_gap"])
    assert held(measured["fairness.tstr_gap[sex=f]"].score).low > 0.1
    assert held(measured["fairness.tstr_gap[sex=m]"].score).low < 0.03


def test_a_sensitive_number_is_cut_into_quarters(draw: Callable[[int, int], Table]) -> None:
    measured = evaluate(*(draw(1_000, seed).with_roles(sensitive=["age"]) for seed in (1, 2, 3)), only=["fairness.group_share"])
    assert len(measured) == 4
    assert all(m.detail["real_share"] == pytest.approx(0.25, abs=0.03) for m in measured)
