"""A model for each class: shares are those that were asked for, and a rare class's rows owe nothing to the common one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import ks_2samp

import synth
from synth.balance import rows_of
from synth.data.table import Table
from synth.errors import ConfigError, GenerationError
from synth.generators.by_class import ByClass
from tests.metrics.test_balance import rare_rows, simulated


@pytest.fixture(scope="module")
def table() -> Table:
    return simulated(3_000, 1, share=0.04, signal=2.0)


@pytest.fixture(scope="module")
def even(table: Table) -> ByClass:
    return ByClass(ratio=1.0).fit(table, seed=0)


def classes(table: Table) -> Counter[str]:
    return Counter(table.column("fraud").to_pylist())


def test_classes_come_in_the_shares_that_are_asked_for(table: Table, even: ByClass) -> None:
    assert classes(even.sample(1_000, seed=1)) == {"yes": 500, "no": 500}
    assert sum(classes(even.sample(1, seed=seed))["yes"] for seed in range(40)) == pytest.approx(20, abs=12)
    natural = len(rare_rows(table)) / len(table)
    for model, share in (
        (ByClass(), natural),
        (ByClass(ratio=0.25), 0.2),
        (ByClass(of="copula", apart=False, ratio=0.25), 0.2),
    ):
        assert classes(model.fit(table, seed=0).sample(2_000, seed=1))["yes"] == pytest.approx(2_000 * share, abs=1)
    low = ByClass(ratio=0.001).fit(table, seed=0)
    assert classes(low.sample(2_000, seed=1))["yes"] == pytest.approx(2_000 * natural, abs=1), "never rarer than it was"


def test_rows_of_a_rare_class_lie_where_its_own_rows_do(table: Table, even: ByClass) -> None:
    fresh = rare_rows(simulated(60_000, 2, share=0.04, signal=2.0))
    rival = synth.Trees(condition_on=("fraud",)).fit(table, seed=0)

    def apart(model: synth.Generator) -> float:
        made = model.sample(2_000, where={"fraud": "yes"}, seed=1)
        return max(float(ks_2samp(values(made, name), values(fresh, name)).statistic) for name in ("x", "y"))

    assert apart(even) < 0.12
    assert apart(even) <= apart(rival) + 0.02


def values(table: Table, name: str) -> np.ndarray:
    return np.array(table.column(name).drop_null().to_pylist())


def test_what_the_other_classes_hold_makes_no_difference_to_a_class(table: Table, even: ByClass) -> None:
    alone = rows_of(table, "yes", "trees", 200, 0)
    assert alone.equals(even.sample(200, where={"fraud": "yes"}, seed=0))


def test_classes_of_a_few_rows_share_a_model_and_are_all_there() -> None:
    table = simulated(600, 1, share=0.3)
    kinds = np.array(["a"] * 3 + ["b"] * 5 + ["c"] * 592)
    arrow = table.arrow.drop_columns(["fraud"]).append_column("sort", [kinds])
    table = synth.read(arrow, target="sort")
    model = ByClass().fit(table, seed=0)
    assert set(classes_of(model.sample(3_000, seed=1))) == {"a", "b", "c"}
    assert classes_of(model.sample(50, where={"sort": "a"}, seed=1)) == {"a": 50}
    assert len(model.sample(50, where="sort in ('a', 'c') and x > 0", seed=1)) == 50
    with pytest.raises(ConfigError, match="the class a of the target 'sort' has too few rows"):
        ByClass(ratio=1.0, rare="a").fit(table)


def classes_of(table: Table) -> Counter[str]:
    return Counter(table.column("sort").to_pylist())


def test_a_boolean_target_has_classes_too() -> None:
    arrow = simulated(600, 1).arrow
    rare = np.array(arrow.column("fraud").to_pylist()) == "yes"
    table = synth.read(arrow.drop_columns(["fraud"]).append_column("is_fraud", [rare]), target="is_fraud")
    made = rows_of(table, "True", "independent", 30, 0)
    assert made.column("is_fraud").to_pylist() == [True] * 30
    assert len(ByClass(of="independent", ratio=1.0, rare="True").fit(table).sample(10)) == 10


def test_a_class_that_training_never_had_is_not_made() -> None:
    table = simulated(600, 1)
    model = ByClass().fit(table.filter(np.array(table.column("fraud").to_pylist()) == "no"), seed=0)
    with pytest.raises(GenerationError, match="no training row has the class that the condition on 'fraud' asks for"):
        model.sample(10, where={"fraud": "yes"})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"of": "by-class"}, "of is 'by-class'"),
        ({"of": "marginals"}, "cannot be fitted to a class by itself"),
        ({"of": "treees"}, "did you mean 'trees'"),
        ({"ratio": 0.0}, "ratio is 0.0"),
        ({"rare": "yes"}, "a ratio beside it"),
        ({"ratio": 1.0, "rare": "yse"}, "did you mean 'yes'"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(params: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ByClass(**params).fit(simulated(600, 1))  # type: ignore[arg-type]
