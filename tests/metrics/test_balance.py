"""Rows of a rare class are judged by what they do to models on untouched real rows, beside remedies that cost nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, precision_recall_curve, roc_auc_score

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import DataError, InputError
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Interval
from synth.metrics.nested import Comparison, compare_remedies
from synth.metrics.rare_class import DRAWS, average_precision, calibration_slope, figures, recall_at_precision
from synth.metrics.remedies import Case, Told, best_threshold, training

SCHEMA = Schema(
    (
        Column("x", Kind.DECIMAL, nullable=True),
        Column("y", Kind.DECIMAL),
        Column("kind", Kind.CATEGORICAL, nullable=True, categories=("a", "b", "c")),
        Column("fraud", Kind.CATEGORICAL, Role.TARGET, categories=("no", "yes")),
    )
)


def simulated(rows: int, seed: int, share: float = 0.05, signal: float = 1.5) -> Table:
    """Rows of which a share is rare and lies apart by `signal` standard deviations."""
    rng = np.random.default_rng(seed)
    rare = rng.random(rows) < share
    kind = np.where(rare, rng.choice(3, rows, p=[0.5, 0.4, 0.1]), rng.choice(3, rows, p=[0.2, 0.3, 0.5]))
    return Table(
        pa.table(
            {
                "x": pa.array(rng.normal(size=rows) + signal * rare, mask=rng.random(rows) < 0.05),
                "y": pa.array(rng.normal(size=rows) * (1 + rare)),
                "kind": pa.array(np.array(["a", "b", "c"])[kind], mask=rng.random(rows) < 0.05),
                "fraud": pa.array(np.where(rare, "yes", "no")),
            }
        ),
        SCHEMA,
    )


def spotted(rows: int, seed: int) -> Table:
    """Rows of which one in twenty is rare, in twelve spots that take many rows to learn."""
    table, rng = simulated(rows, seed, signal=0.0), np.random.default_rng(seed)
    rare, spot = np.array(table.column("fraud").to_pylist()) == "yes", rng.integers(0, 12, rows) * np.pi / 6
    arrow = table.arrow
    for name, at in (("x", np.cos(spot)), ("y", np.sin(spot))):
        values = np.where(rare, 1.5 * at + rng.normal(size=rows) / 8, 1.2 * rng.normal(size=rows))
        arrow = arrow.set_column(arrow.column_names.index(name), name, pa.array(values))
    return replace(table, arrow=arrow)


def rare_rows(table: Table) -> Table:
    return table.filter(np.array(table.column("fraud").to_pylist()) == "yes")


def held(interval: Interval | None) -> Interval:
    assert interval is not None
    return interval


# figures --------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_figures_are_those_of_scikit_learn_ties_included(seed: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.append([0, 1], rng.random(150) < 0.2).astype(np.int64)
    chances = np.clip((rng.integers(0, values, len(truth)) + 3 * truth) / (values + 4), 0.01, 0.99)
    draws = rng.multinomial(len(truth), np.full(len(truth), 1 / len(truth)), 5).astype(np.float32)
    found = figures(truth, Told(chances, 0.2), 0.2, draws)
    assert found["average_precision"].value == pytest.approx(average_precision_score(truth, chances))
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, chances))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(truth, chances >= 0.5))
    precision, recall, _ = precision_recall_curve(truth, chances)
    assert found["recall_at_precision"].value == pytest.approx(recall[precision >= 0.9].max())
    for figure in found.values():
        if not figure.drawn:
            assert figure.parts.mean() == pytest.approx(0, abs=1e-9)


def test_the_calibration_slope_is_that_of_a_regression_on_the_log_odds() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 1, 4_000)
    truth = (rng.random(4_000) < 1 / (1 + np.exp(-0.6 * odds))).astype(np.int64)
    found = calibration_slope(truth, 1 / (1 + np.exp(-odds)))
    fitted = LogisticRegression(C=np.inf, tol=1e-8).fit(odds[:, None], truth)
    assert found.value == pytest.approx(float(fitted.coef_[0, 0]), rel=1e-3)
    assert abs(found.value - 0.6) < 3 * found.error


def test_standard_errors_are_those_of_drawing_the_test_rows_again() -> None:
    def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        truth = (rng.random(1_500) < 0.1).astype(np.int64)
        return truth, 1 / (1 + np.exp(2 - 1.5 * truth - rng.normal(size=1_500)))

    rng = np.random.default_rng(0)
    draws = rng.multinomial(1_500, np.full(1_500, 1 / 1_500), DRAWS).astype(np.float32)
    for measure in (average_precision, calibration_slope, lambda t, c: recall_at_precision(t, c, draws, 0.5)):
        again = [measure(*drawn(seed)) for seed in range(60)]
        spread = float(np.std([figure.value for figure in again]))
        assert float(np.mean([figure.error for figure in again])) == pytest.approx(spread, rel=0.25)


def test_prior_correction_undoes_what_oversampling_does_to_the_chances() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(-3, 1, 20_000)
    natural, share = 0.07, 0.5
    shifted = odds - np.log(natural / (1 - natural)) + np.log(share / (1 - share))
    corrected = Told(1 / (1 + np.exp(-shifted)), share).corrected(natural)
    assert corrected == pytest.approx(1 / (1 + np.exp(-odds)))


def test_the_best_threshold_is_found_and_ties_stay_together() -> None:
    chances, truth = np.array([0.1, 0.2, 0.2, 0.6, 0.9]), np.array([0, 0, 1, 1, 1])
    assert best_threshold(chances, truth) == pytest.approx(0.4)
    assert best_threshold(np.full(4, 0.3), np.array([0, 1, 0, 1])) <= 0.3


# remedies -------------------------------------------------------------------------------------------------------------


def test_every_remedy_adds_equally_many_rows_of_the_class_and_smote_invents_no_category(
    draw: Callable[[int, int], Table],
) -> None:
    from synth.metrics.balance import build_case
    from synth.metrics.evidence import Evidence

    evidence = Evidence(simulated(900, 1), simulated(900, 2), simulated(900, 3), 0)
    case = build_case(evidence, 1, {"synthetic rows": slice(None)}, 10_000)
    added = {name: rows for name, rows, _ in training(case, np.random.default_rng(0))}
    count = len(case.made["synthetic rows"])
    assert {name: len(rows) for name, rows in added.items() if len(rows)} == dict.fromkeys(
        ("oversampling", "SMOTE", "synthetic rows"), count
    )
    place = [c.name for c in case.columns].index("kind")
    kinds = added["SMOTE"][:, place]
    assert set(kinds[~np.isnan(kinds)]) <= {0.0, 1.0, 2.0}
    assert isinstance(case, Case)
    halves = case.halves(np.random.default_rng(0))
    assert abs(int(halves[0].y.sum()) - int(halves[1].y.sum())) <= 1
    assert sum(len(half.y) for half in halves) == len(case.y)


# metrics --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def helped() -> synth.Measurements:
    """Many fresh real rows of a class of which training has 50: they must help."""
    return evaluate(spotted(1_000, 1), spotted(6_000, 2), rare_rows(spotted(16_000, 3)), only="balance")


def test_fresh_real_rows_of_a_rare_class_help(helped: synth.Measurements) -> None:
    gain = helped["balance.average_precision"]
    assert held(gain.score).low > 0
    assert gain.detail["sentence"].startswith("Boosted trees: synthetic rows of the class yes raise average precision by")
    assert gain.detail["class"] == "yes"


def test_the_table_of_remedies_shows_what_weights_cost(helped: synth.Measurements) -> None:
    table = helped["balance.brier"].detail["remedies"]["boosted trees"]
    assert set(table) == {"nothing", "threshold tuning", "class weights", "oversampling", "SMOTE", "synthetic rows"}
    assert table["class weights"]["differences"]["brier"]["low"] > 0
    assert table["threshold tuning"]["differences"]["average_precision"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 6_000}
    assert table["threshold tuning"]["differences"]["balanced_accuracy"]["low"] > 0
    assert table["synthetic rows"]["figures"]["brier_corrected"] < table["synthetic rows"]["figures"]["brier"]


def test_rows_of_the_other_class_under_a_false_label_do_harm() -> None:
    fake = simulated(1_500, 3)
    labels = fake.columns.index("fraud")
    false = replace(fake, arrow=fake.arrow.set_column(labels, "fraud", pa.array(["yes"] * len(fake))))
    measured = evaluate(simulated(1_500, 1), simulated(3_000, 2), false, only=["balance.average_precision"])
    assert held(measured["balance.average_precision"].score).high < 0
    assert "lower average precision" in measured["balance.average_precision"].detail["sentence"]


def test_copies_of_the_training_rows_are_no_benefit() -> None:
    train = simulated(1_500, 1)
    measured = evaluate(train, simulated(3_000, 2), train, only=["balance.average_precision"])
    assert held(measured["balance.average_precision"].score).low < 0.01


def test_where_no_class_is_rare_there_is_nothing_to_balance(draw: Callable[[int, int], Table]) -> None:
    even = [simulated(600, seed, share=0.4) for seed in (1, 2, 3)]
    assert {m.status for m in evaluate(*even, only="balance")} == {"absent"}
    numbers = [draw(400, seed).with_roles(target="wage") for seed in (1, 2, 3)]
    assert {m.status for m in evaluate(*numbers, only="balance")} == {"absent"}
    few = [simulated(600, seed, share=0.01) for seed in (1, 2, 3)]
    assert {m.status for m in evaluate(*few, only="balance")} == {"skipped"}
    lost = evaluate(simulated(900, 1), simulated(900, 2), simulated(900, 3, share=0.0), only="balance")
    assert lost["balance.brier"].reason == "the class yes has too few rows: 0 synthetic rows, 25 are needed"


# nested cross-validation ----------------------------------------------------------------------------------------------


def resampled(train: Table, n: int, seed: int) -> Table:
    """A maker that copies rows of the class out of the rows that it is given."""
    found = rare_rows(train)
    return found.take(np.random.default_rng(seed).integers(0, len(found), n))


def compare(table: Table, **how: object) -> Comparison:
    return compare_remedies(table, folds=3, learners=["boosted"], **how)  # type: ignore[arg-type]


def test_a_sampler_outside_the_fold_inflates_the_figures_and_the_protocol_does_not() -> None:
    table = simulated(1_200, 1, signal=0.5)
    honest = compare(table, make_rows=resampled)
    leaky = compare(table, make_rows=lambda train, n, seed: resampled(table, n, seed))  # looks at the test folds
    before = compare(Table.concat([table, *[rare_rows(table)] * 2]))  # oversampled before the split
    name, figure = "rows from the generator", "average_precision"
    assert honest.of(name).difference(figure).low < 0.05
    assert leaky.of(name).difference(figure).low > 0.1
    assert before.of("nothing").figures[figure] > honest.of("nothing").figures[figure] + 0.3
    assert (honest.leaked["the generator"], leaky.leaked["the generator"] > 0.2) == (0.0, True)
    assert "no benefit found" in honest.sentence()
    assert leaky.sentence().startswith("Boosted trees: rows from the generator raises average precision by")


def test_a_maker_sees_every_row_but_those_that_it_is_tested_on() -> None:
    table, seen = simulated(900, 1), []

    def maker(train: Table, n: int, seed: int) -> Table:
        seen.append(train)
        return resampled(train, n, seed)

    found = compare(table, make_rows={"copies": maker}, ratios=(0.2, 1.0))
    left_out = [len(table) - len(train) for train in seen]
    assert (len(seen), sum(left_out)) == (3, len(table))
    rare = [len(rare_rows(table)) - len(rare_rows(train)) for train in seen]
    assert max(rare) - min(rare) <= 1
    assert found.of("rows from copies to 1:5").added < found.of("rows from copies to 1:1").added
    again = compare(table, make_rows={"copies": maker}, ratios=(0.2, 1.0))
    assert again.to_dict() == found.to_dict()


def test_no_subject_is_on_both_sides_of_a_fold() -> None:
    table = simulated(900, 1)
    people = Column("who", Kind.IDENTIFIER, Role.SUBJECT, provider="sequence")
    subjects = np.random.default_rng(0).integers(0, 200, 900)
    table = Table(table.arrow.append_column("who", pa.array(subjects)), Schema((*SCHEMA.columns, people)))
    known: list[set[int]] = []

    def maker(train: Table, n: int, seed: int) -> Table:
        known.append(set(train.column("who").to_pylist()))
        return resampled(train, n, seed)

    compare(table, make_rows=maker)
    everyone = set(subjects.tolist())
    apart = [everyone - seen for seen in known]
    assert sum(len(some) for some in apart) == len(everyone)


def test_what_makes_no_sense_is_refused_in_words() -> None:
    table = simulated(600, 1)
    with pytest.raises(InputError, match="folds is 1"):
        compare_remedies(table, folds=1)
    with pytest.raises(InputError, match=r"ratios is \(2.0,\)"):
        compare_remedies(table, ratios=[2.0])
    with pytest.raises(InputError, match="no class 'yse' of the target 'fraud'; did you mean 'yes'"):
        compare_remedies(table, rare="yse")
    with pytest.raises(InputError, match="no learner 'boost'"):
        compare_remedies(table, learners=["boost"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="none has under 20%"):
        compare_remedies(simulated(600, 1, share=0.4))
    with pytest.raises(DataError, match="made 0 rows of the class yes"):
        compare(simulated(900, 1), make_rows=lambda train, n, seed: train.filter(np.zeros(len(train), dtype=bool)))
    with pytest.raises(InputError, match="'smote' was not tried"):
        compare(simulated(900, 1)).of("smote")


def test_on_mammograms_corrections_cost_calibration_and_a_threshold_decides_as_well(shared_data: Callable[[str], Path]) -> None:
    table = synth.read(shared_data("mammography.parquet"), target="class")
    table = table.take(np.random.default_rng(0).permutation(len(table))[:5_000])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare_remedies(table, folds=3, learners=["linear"])
    weights, threshold = (found.of(name, "linear") for name in ("class weights", "threshold tuning"))
    assert weights.difference("brier").low > 0.03
    assert threshold.difference("balanced_accuracy").low > 0.1
    assert abs(threshold.figures["balanced_accuracy"] - weights.figures["balanced_accuracy"]) < 0.05
