"""Other tools' definitions: what they say of two samples is what the originals said, and they are never computed unasked.

The originals' figures are those that `benchmarks/compat_originals.py` printed in an environment of each. Where one draws at
random without a seed, numpy's global generator was seeded with 0 before; nothing else was fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.compat_originals import TABLES, WELL_SCALED, samples
from synth.data.table import Table
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Measurement
from synth.metrics.registry import chosen, metrics

SHAPE, TREND, STRONG = "fidelity.shape@sdmetrics-0.11", "fidelity.trend@sdmetrics-0.11", "fidelity.trend@sdmetrics-0.27"
C2ST, ACCURACY, MLE = "fidelity.c2st@sdmetrics", "fidelity.accuracy@mostlyai", "utility.mle@tabsyn"
PRECISION, RECALL = "fidelity.alpha_precision@synthcity", "fidelity.beta_recall@synthcity"
CHEAP = [SHAPE, TREND, STRONG, C2ST, PRECISION, RECALL, ACCURACY]

ORIGINALS = {
    "adult_train": {
        SHAPE: 0.9803858402144897,  # sdmetrics 0.11.1: Column Shapes (0.27.0 says the same)
        TREND: 0.9019949050391177,  # sdmetrics 0.11.1: Column Pair Trends
        STRONG: 0.8720714285714285,  # sdmetrics 0.27.0: Column Pair Trends
        PRECISION: 0.9693195402298851,  # synthcity 0.2.12: delta_precision_alpha_naive
        RECALL: 0.28146666666666653,  # synthcity 0.2.12: delta_coverage_beta_naive
        ACCURACY: 0.9241262515262516,  # mostlyai-qa 1.10.11: accuracy, overall
        MLE: 0.8872814495254531,  # TabSyn at cb5ac0f with xgboost 3.2.0: best_auroc_scores, roc_auc
    },
    "default_credit": {
        SHAPE: 0.9800833333333333,
        TREND: 0.9182014508940127,
        STRONG: 0.8061599544320739,
        C2ST: 0.9931535733634684,  # sdmetrics 0.11.1 and 0.27.0: LogisticDetection
        PRECISION: 0.9691022988505748,
        RECALL: 0.17646666666666655,
        ACCURACY: 0.8605918972332015,
        MLE: 0.7249449711907998,
    },
}
AUTHENTICITY = {"adult_train": 0.578, "default_credit": 0.653}  # synthcity 0.2.12: authenticity_naive
PARTS = {  # mostlyai-qa 1.10.11
    "adult_train": {
        "univariate": 0.9845833333333335,
        "bivariate": 0.9338761904761904,
        "trivariate": 0.8539192307692308,
        "univariate_max": 0.9792280000000001,
        "bivariate_max": 0.9480612380952381,
        "trivariate_max": 0.8965847032967034,
    },
    "default_credit": {
        "univariate": 0.9760520833333333,
        "bivariate": 0.8693759057971014,
        "trivariate": 0.7363477025691699,
        "univariate_max": 0.9743295833333333,
        "bivariate_max": 0.9332596014492754,
        "trivariate_max": 0.8547323023715415,
    },
}
BEST = {  # TabSyn: each score of the model that was best by it
    "adult_train": {"f1": 0.5587467362924282, "weighted_f1": 0.6387221848150606, "accuracy": 0.84},
    "default_credit": {"f1": 0.31385642737896496, "weighted_f1": 0.4365258249194114, "accuracy": 0.7955},
}


@pytest.fixture(scope="module")
def three_of(shared_data: Callable[[str], Path]) -> Callable[[str], tuple[pa.Table, pa.Table, pa.Table]]:
    """Training, holdout and disturbed rows of one real table."""
    kept: dict[str, tuple[pa.Table, pa.Table, pa.Table]] = {}

    def of(name: str) -> tuple[pa.Table, pa.Table, pa.Table]:
        if name not in kept:
            kept[name] = samples(pq.read_table(shared_data(f"{name}.parquet")))
        return kept[name]

    return of


Three = Callable[[str], tuple[pa.Table, pa.Table, pa.Table]]


def figure(tables: tuple[Any, Any, Any], name: str, target: str | None) -> Measurement:
    return evaluate(*tables, target=target, only=name)[name]


def value(tables: tuple[Any, Any, Any], name: str, target: str | None = None) -> float:
    found = figure(tables, name, target)
    assert found.score is not None, found.reason
    return found.score.value


@pytest.mark.parametrize(("table", "name"), [(t, n) for t, figures in ORIGINALS.items() for n in figures if n != MLE])
def test_each_says_what_its_original_says(three_of: Three, table: str, name: str) -> None:
    assert value(three_of(table), name, TABLES[table]) == pytest.approx(ORIGINALS[table][name], abs=1e-6)


@pytest.mark.parametrize("table", TABLES)
def test_so_do_the_parts_in_the_detail(three_of: Three, table: str) -> None:
    parts = figure(three_of(table), ACCURACY, TABLES[table]).detail
    assert {name: parts[name] for name in PARTS[table]} == pytest.approx(PARTS[table], abs=1e-6)
    assert figure(three_of(table), PRECISION, TABLES[table]).detail["authenticity"] == pytest.approx(AUTHENTICITY[table])


def test_logistic_detection_of_adult_where_it_converges(three_of: Three) -> None:
    tables = [table.select(list(WELL_SCALED)) for table in three_of("adult_train")]
    assert value((tables[0], tables[1], tables[2]), C2ST, "income") == pytest.approx(0.9889217724385598, abs=1e-6)


def test_logistic_detection_of_all_of_adult_depends_on_the_build_as_the_original_does(three_of: Three) -> None:
    told = 0.9884001792972346, 0.9950024110005589  # sdmetrics with SciPy 1.17.1 and NumPy 2.4.6; with 1.11.4 and 1.26.4
    found = value(three_of("adult_train"), C2ST, "income")
    assert min(told) - 0.01 < found < max(told) + 0.01  # in the first of the two, to the last digit


@pytest.mark.parametrize("table", TABLES)
def test_the_best_of_thirty_six_models_is_tabsyns(three_of: Three, table: str) -> None:
    pytest.importorskip("xgboost")
    found = figure(three_of(table), MLE, TABLES[table])
    assert found.score is not None, found.reason
    assert found.score.value == pytest.approx(ORIGINALS[table][MLE], abs=1e-6)
    figures = {name: found.detail["figures"][name] for name in BEST[table]}
    assert figures == pytest.approx(BEST[table], abs=1e-6)


@pytest.mark.skipif(find_spec("xgboost") is not None, reason="the extra `mle` is installed")
def test_without_xgboost_the_extra_is_named(draw: Callable[[int, int], Table]) -> None:
    train, holdout, other = (draw(200, seed).arrow.select(["age", "city", "paid"]) for seed in (1, 2, 3))
    assert "synth[mle]" in figure((train, holdout, other), MLE, "paid").reason


def test_none_is_computed_unasked() -> None:
    theirs = {m.name for m in metrics() if "@" in m.name}
    assert theirs >= set(ORIGINALS["default_credit"])
    assert not theirs & {m.name for m in chosen(None)}
    assert not theirs & {m.name for m in chosen(["fidelity", "utility"])}
    assert [m.name for m in chosen(STRONG)] == [STRONG]


@pytest.mark.parametrize("name", CHEAP)
def test_fresh_rows_agree_with_the_reference(three_of: Three, name: str) -> None:
    train, holdout, _ = three_of("default_credit")
    rows = train.num_rows // 2
    halves = holdout.slice(0, rows), holdout.slice(rows)
    found = figure((train, *halves), name, TABLES["default_credit"])
    assert found.score is not None, found.reason
    assert found.reference is not None
    noise = np.hypot(found.score.high - found.score.low, found.reference.high - found.reference.low)
    assert abs(found.score.value - found.reference.value) < noise


def test_a_column_on_another_scale_is_not_seen_by_trends_bins(draw: Callable[[int, int], Table]) -> None:
    train, other = draw(800, 1).arrow, draw(800, 2).arrow
    place = other.schema.get_field_index("gain")
    scaled = other.set_column(place, "gain", pa.array(np.asarray(other.column("gain")) * 1_000))
    pair = [table.select(["gain", "sex"]) for table in (train, other, scaled)]
    assert value((pair[0], None, pair[2]), TREND) == value((pair[0], None, pair[1]), TREND)


def test_a_constant_synthetic_column_costs_trend_nothing(draw: Callable[[int, int], Table]) -> None:
    train, other = (draw(800, seed).arrow.select(["age", "wage", "gain"]) for seed in (1, 2))
    flat = other.set_column(0, "age", pa.array([40] * len(other)))
    detail = figure((train, None, flat), TREND, None).detail
    assert detail["undefined"] == ["age × wage", "age × gain"]


def test_a_factorised_table_passes_logistic_detection(draw: Callable[[int, int], Table]) -> None:
    train, other = draw(1_400, 1), draw(1_400, 2).arrow
    rng = np.random.default_rng(0)
    shuffled = pa.table({n: other.column(n).take(pa.array(rng.permutation(len(other)))) for n in other.column_names})
    assert value((train, None, shuffled), C2ST) > 0.9


def test_a_copy_of_the_training_rows_has_the_best_recall(draw: Callable[[int, int], Table]) -> None:
    train = draw(800, 1).arrow.drop_columns(["wage"])
    assert value((train, None, train), RECALL) > 0.99


def _odd(kind: str) -> tuple[pa.Table, pa.Table]:
    """A training and a synthetic table with something wrong."""
    rng = np.random.default_rng(3)
    n = 3 if kind == "three rows" else 400
    plain = {"a": rng.normal(size=n), "b": rng.integers(0, 5, n), "c": rng.choice(["x", "y", "z"], n)}
    other = {"a": rng.normal(size=n), "b": rng.integers(0, 5, n), "c": rng.choice(["x", "y", "z"], n)}
    match kind:
        case "a constant column":
            plain["b"] = other["b"] = np.zeros(n, dtype=int)
        case "a constant synthetic column":
            other["a"] = np.zeros(n)
        case "nulls":
            plain["a"], other["a"] = np.where(rng.random(n) < 0.2, np.nan, plain["a"]), np.full(n, np.nan)
        case "infinities":
            other["a"] = np.where(rng.random(n) < 0.2, np.inf, other["a"])
        case "a new category":
            other["c"] = np.where(rng.random(n) < 0.2, "new", other["c"])
        case "one class":
            other["c"] = np.full(n, "x")
        case "many categories":
            plain["c"], other["c"] = (np.array([f"v{i}" for i in rng.integers(0, 10_000, n)]) for _ in range(2))
        case "a single column":
            plain, other = {"c": plain["c"]}, {"c": other["c"]}
    tables = [pa.table({name: pa.array(v, from_pandas=True) for name, v in t.items()}) for t in (plain, other)]
    return tables[0], tables[1]


@pytest.mark.parametrize("name", [*CHEAP, MLE])
@pytest.mark.parametrize(
    "kind",
    [
        "three rows",
        "a constant column",
        "a constant synthetic column",
        "nulls",
        "infinities",
        "a new category",
        "one class",
        "many categories",
        "a single column",
    ],
)
def test_odd_tables_give_a_number_or_a_reason(name: str, kind: str) -> None:
    train, other = _odd(kind)
    found = figure((train, train, other), name, "c")
    if name == MLE and "synth[mle]" in found.reason:
        return
    assert found.status != "error", found.reason
    assert found.score is not None or found.reason
