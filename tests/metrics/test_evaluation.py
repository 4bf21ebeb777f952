"""Whatever the table, every metric gives a figure or says why not, and gives it again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Provenance, Table
from synth.errors import DataError, InputError
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.measurement import Measurements
from synth.metrics.registry import _METRICS, FAMILIES, Reading, chosen, metric, metrics

Three = tuple[Table, Table, Table]


def plain(measured: Measurements) -> list[dict[str, object]]:
    """The figures without what they cost."""
    return [{k: v for k, v in m.to_dict().items() if k != "seconds"} for m in measured]


def conforms(measured: Measurements) -> None:
    """What must hold of every set of figures: each a finite number between its bounds, or a reason; all of it JSON."""
    assert {m.name for m in measured} == {m.name for m in chosen(None)}
    for m in measured:
        if m.status != "ok":
            assert m.reason
            assert m.score is None
            continue
        for interval in (m.score, m.reference):
            if interval is None:
                continue
            assert interval.low <= interval.value <= interval.high, m
            assert m.bounds[0] <= interval.low, m
            assert interval.high <= m.bounds[1], m
            assert interval.n > 0, m
        assert m.seconds >= 0
    assert len({m.label for m in measured}) == len(measured)
    text = json.dumps(measured.to_dict(), allow_nan=False)
    assert plain(Measurements.from_dict(json.loads(text))) == json.loads(json.dumps(plain(measured)))


def statuses(measured: Measurements) -> dict[str, str]:
    return {m.label: m.status for m in measured}


def test_every_metric_measures_fresh_rows(measured: Measurements) -> None:
    conforms(measured)
    failed = [m for m in measured if m.status == "error"]
    assert not failed
    nothing_there = {"validity.constraints", "privacy.identifier_copies", "fidelity.subject_structure"}
    nothing_there |= {"privacy.shadow", "privacy.membership_likelihood"}  # of the generator
    nothing_there |= {"fairness.spread_share", "fairness.spread_labels", "fairness.spread_models"}  # of further fits
    assert {m.name for m in measured if m.status == "absent" and m.family not in ("balance", "image")} == nothing_there
    assert [m.family for m in measured] == sorted((m.family for m in measured), key=FAMILIES.index)


def test_every_figure_has_a_reference_where_real_rows_can_take_the_place(measured: Measurements) -> None:
    assert {m.name for m in measured if m.status == "ok" and m.reference is None} == set()


def test_the_same_arguments_give_the_same_figures(three: Three, measured: Measurements) -> None:
    assert plain(evaluate(*three)) == plain(measured)


def test_another_seed_draws_other_rows_to_judge_by(three: Three) -> None:
    one, other = (evaluate(*three, seed=seed, only=["fidelity.detection"]) for seed in (1, 2))
    assert one["fidelity.detection"].score != other["fidelity.detection"].score


def test_a_metric_gives_the_same_figures_alone_as_among_others(three: Three, measured: Measurements) -> None:
    for name in ("fidelity.trend", "privacy.membership_tpr", "fairness.tstr_gap"):
        alone = evaluate(*three, only=[name])
        assert {m.name for m in alone} == {name}
        assert plain(alone) == [row for row in plain(measured) if row["name"] == name]


def test_a_family_can_be_chosen_and_an_unknown_name_gets_the_nearest(three: Three) -> None:
    assert {m.family for m in evaluate(*three, only="validity")} == {"validity"}
    with pytest.raises(InputError, match=r"did you mean 'fidelity\.shape'"):
        evaluate(*three, only=["fidelity.shap"])


def test_frames_give_the_figures_of_the_tables_they_hold(three: Three) -> None:
    train, holdout, fake = three
    measured = evaluate(train, holdout.to_pandas(), fake.to_polars(), only=["fidelity.trend", "privacy.exact_copies"])
    assert plain(measured) == plain(evaluate(*three, only=["fidelity.trend", "privacy.exact_copies"]))


def test_a_frame_needs_no_schema(three: Three) -> None:
    measured = evaluate(*(t.to_pandas() for t in three), target="paid", sensitive=["sex"], only=["fairness.group_share"])
    assert measured.context["target"] == "paid"
    assert measured["fairness.group_share[sex=f]"].status == "ok"


def test_nothing_given_is_changed(three: Three) -> None:
    before = [table.digest() for table in three]
    frame = three[0].to_pandas()
    copy = frame.copy(deep=True)
    evaluate(frame, three[1], three[2])
    evaluate(*three, only=["fidelity.shape", "privacy.near_copies", "validity"])
    assert [table.digest() for table in three] == before
    assert frame.equals(copy)


def test_the_context_names_what_was_measured(three: Three) -> None:
    train, holdout, fake = three
    fake = replace(fake, provenance=Provenance("trees", "0" * 64, 3, 2_000))
    measured = evaluate(train, holdout, fake, seed=9, only="validity")
    assert measured.context["rows"] == dict.fromkeys(("train", "holdout", "synthetic"), len(train))
    assert measured.context["digests"]["synthetic"] == fake.digest()
    assert measured.context["digests"]["schema"] == train.schema.digest()
    assert measured.context["provenance"]["generator"] == "trees"
    assert (measured.context["seed"], measured.context["synth"]) == (9, synth.__version__)
    assert measured.synthetic is not None
    assert measured.synthetic.digest() == fake.digest()


def test_progress_names_each_metric_in_turn(three: Three) -> None:
    seen: list[tuple[str, int, int]] = []
    evaluate(*three, only="validity", workers=1, progress=lambda stage, done, total: seen.append((stage, done, total)))
    assert [step for _, step, _ in seen] == list(range(len(seen)))
    assert {stage for stage, _, _ in seen[:-1]} == {f"measure: {m.name}" for m in metrics() if m.family == "validity"}
    assert seen[-1] == ("measure: done", len(seen) - 1, len(seen) - 1)


def test_the_number_of_workers_changes_no_figure(three: Three) -> None:
    alone, together = (evaluate(*three, seed=2, workers=workers) for workers in (1, 4))
    assert plain(alone) == plain(together)


def test_what_a_budget_leaves_no_time_for_is_skipped_and_says_so(three: Three) -> None:
    measured = evaluate(*three, only="fidelity", budget_seconds=0.0)
    assert {m.status for m in measured} == {"skipped"}
    assert all("budget of 0 s" in m.reason for m in measured)


def test_a_metric_that_fails_is_an_error_and_the_others_go_on(three: Three) -> None:
    @metric("fidelity.broken", better="lower")
    def broken(evidence: Evidence) -> list[Reading]:
        """A metric that divides by nothing."""
        return [Reading() for _ in range(1 // 0)]

    try:
        measured = evaluate(*three, only=["fidelity.broken", "fidelity.shape"])
    finally:
        del _METRICS["fidelity.broken"]
    assert measured["fidelity.broken"].status == "error"
    assert "ZeroDivisionError" in measured["fidelity.broken"].reason
    assert measured["fidelity.shape"].status == "ok"


def test_a_metric_that_gives_nan_has_no_score(three: Three) -> None:
    from synth.metrics.measurement import Interval

    @metric("fidelity.nan", better="lower")
    def unknown(evidence: Evidence) -> list[Reading]:
        """A metric that knows nothing."""
        return [Reading(Interval(math.nan, 0.0, 1.0, 3))]

    try:
        measured = evaluate(*three, only=["fidelity.nan"])
    finally:
        del _METRICS["fidelity.nan"]
    assert measured["fidelity.nan"].status == "error"
    assert measured["fidelity.nan"].score is None


def test_without_a_holdout_what_needs_it_is_skipped(three: Three) -> None:
    train, _, fake = three
    measured = evaluate(train, None, fake)
    conforms(measured)
    for m in measured:
        if m.family == "privacy" and "copies" not in m.name and m.status != "absent":
            assert (m.status, "no holdout" in m.reason) == ("skipped", True), m
        assert m.reference is None
    assert measured["fidelity.shape"].status == "ok"
    assert measured["utility.tstr"].status == "skipped"


def test_tables_that_cannot_be_compared_are_refused(three: Three) -> None:
    train, holdout, fake = three
    with pytest.raises(DataError, match="'city' of the training table is missing"):
        evaluate(train, holdout, fake.arrow.drop_columns(["city"]))
    with pytest.raises(DataError, match="'diagnosis', which the training table does not"):
        evaluate(train, holdout, fake.arrow.append_column("diagnosis", pa.array(["a"] * len(fake))))
    with pytest.raises(DataError, match="synthetic table has no rows"):
        evaluate(train, holdout, fake.head(0))


# tables on which something is bound to be missing --------------------------------------------------------------------


def number(name: str, **facts: object) -> Column:
    return Column(name, Kind.DECIMAL, nullable=True, **facts)  # type: ignore[arg-type]


def split(table: Table) -> Three:
    third = len(table) // 3
    return tuple(table.take(np.arange(i * third, (i + 1) * third)) for i in range(3))  # type: ignore[return-value]


@pytest.mark.parametrize("rows", [1, 3, 70])
def test_hardly_any_rows(draw: Callable[[int, int], Table], rows: int) -> None:
    measured = evaluate(draw(rows, 1), draw(rows, 2), draw(rows, 3))
    conforms(measured)
    assert "error" not in statuses(measured).values()
    assert measured["privacy.membership_auc"].status == "skipped"


def test_few_holdout_rows_or_few_synthetic_ones(draw: Callable[[int, int], Table]) -> None:
    for sizes in ((900, 90, 900), (900, 900, 90), (90, 900, 900)):
        measured = evaluate(*(draw(n, seed) for seed, n in enumerate(sizes)))
        conforms(measured)
        assert "error" not in statuses(measured).values()


def test_columns_that_do_not_vary_or_hold_nothing() -> None:
    rng = np.random.default_rng(0)
    n = 3_000
    table = Table(
        pa.table(
            {
                "x": pa.array(rng.normal(size=n)),
                "constant": pa.array(np.full(n, 3.5)),
                "nothing": pa.array([None] * n, type=pa.float64()),
                "one": pa.array(["a"] * n),
                "none": pa.array([None] * n, type=pa.string()),
            }
        ),
        Schema(
            (
                number("x"),
                number("constant"),
                number("nothing"),
                Column("one", Kind.CATEGORICAL, Role.SENSITIVE, categories=("a",)),
                Column("none", Kind.CATEGORICAL, Role.TARGET, nullable=True, categories=("b",)),
            )
        ),
    )
    measured = evaluate(*split(table))
    conforms(measured)
    assert "error" not in statuses(measured).values()
    assert measured["fidelity.shape"].detail["columns"]["constant"] == 0
    assert measured["utility.tstr"].status == "skipped"


def test_a_constant_column_that_changed_is_no_perfect_column() -> None:
    rows = {"c": pa.array(np.full(300, 3.5)), "d": pa.array(np.full(300, 1.0))}
    table = Table(pa.table(rows), Schema((number("c"), number("d"))))
    fake = replace(table, arrow=table.arrow.set_column(0, "c", pa.array(np.full(300, 4.5))))
    measured = evaluate(table, table, fake)
    assert measured["fidelity.shape"].score is not None
    assert measured["fidelity.shape"].score.value == 0.5
    assert measured["fidelity.shape"].detail["columns"] == {"c": 1.0, "d": 0.0}


def test_a_single_column() -> None:
    table = Table(pa.table({"x": pa.array(np.random.default_rng(0).normal(size=3_000))}), Schema((number("x"),)))
    measured = evaluate(*split(table))
    conforms(measured)
    assert "error" not in statuses(measured).values()
    assert measured["fidelity.trend"].reason == "a single column has no pairs"


def test_a_hundred_thousand_categories() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 100_000, 6_000)
    names = tuple(f"c{i}" for i in range(100_000))
    table = Table(
        pa.table({"c": pa.array([names[i] for i in codes]), "x": pa.array(codes % 7 + rng.normal(size=6_000))}),
        Schema((Column("c", Kind.CATEGORICAL, categories=names), number("x", decimals=3))),
    )
    measured = evaluate(*split(table))
    conforms(measured)
    assert "error" not in statuses(measured).values()


def test_a_target_of_four_hundred_classes() -> None:
    rng = np.random.default_rng(0)
    codes = np.minimum(rng.geometric(0.02, 9_000), 400) - 1
    names = tuple(f"c{i}" for i in range(400))
    table = Table(
        pa.table({"c": pa.array([names[i] for i in codes]), "x": pa.array(codes + rng.normal(size=9_000))}),
        Schema((Column("c", Kind.CATEGORICAL, Role.TARGET, categories=names), number("x", decimals=3))),
    )
    measured = evaluate(*split(table), only="utility")
    assert measured["utility.tstr"].score is not None
    assert measured["utility.tstr"].score.value > 0.9


def test_moments_with_a_zone(draw: Callable[[int, int], Table]) -> None:
    rng = np.random.default_rng(0)
    ticks = rng.integers(1_550_000_000, 1_700_000_000, 1_500)
    at = Column("at", Kind.DATETIME, nullable=True, unit="second", minimum="2020-01-01", declared=("minimum",))
    table = Table(
        pa.table(
            {
                "at": pa.array(ticks * 1_000, type=pa.timestamp("ms", tz="Europe/Paris"), mask=rng.random(1_500) < 0.1),
                "x": pa.array(ticks / 1e9 + rng.normal(size=1_500)),
            }
        ),
        Schema((at, number("x"))),
    )
    measured = evaluate(*split(table))
    conforms(measured)
    assert "error" not in statuses(measured).values()
    assert measured["validity.schema"].score is not None
    early = (ticks[1_000:] < 1_577_836_800) & np.asarray(table.arrow.column("at").is_valid())[1_000:]
    assert measured["validity.schema"].score.value == pytest.approx(early.sum() / 1_000)


def test_sixty_columns_and_a_sample_of_their_pairs() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_200, 62)) + rng.normal(size=(1_200, 1))
    table = Table(pa.table({f"x{i}": pa.array(X[:, i]) for i in range(62)}), Schema(tuple(number(f"x{i}") for i in range(62))))
    measured = evaluate(*split(table), only="fidelity")
    trend = measured["fidelity.trend"]
    assert trend.detail["pairs_in_all"] == 62 * 61 // 2
    assert len(trend.detail["pairs"]) == 1_500


def test_a_target_of_one_class_among_the_synthetic_rows_is_never_a_pass(three: Three) -> None:
    train, holdout, fake = three
    measured = evaluate(train, holdout, fake.filter(np.array(fake.column("paid").to_pylist()) == "no"))
    conforms(measured)
    for name in ("utility.tstr", "utility.gap", "fairness.tstr_gap"):
        assert measured[name].status == "error"
        assert "a single class of the target 'paid' (no)" in measured[name].reason
    assert measured["fidelity.missing_classes"].score is not None
    assert measured["fidelity.missing_classes"].score.value == 0.5
    assert measured["fidelity.missing_classes"].detail["absent"] == ["paid=yes"]


def test_a_number_as_target(three: Three) -> None:
    measured = evaluate(*(t.with_roles(target="wage") for t in three))
    conforms(measured)
    assert "error" not in statuses(measured).values()
    assert measured["utility.tstr"].detail["metric"] == "R²"
    assert measured["fidelity.class_share"].status == "absent"


def test_many_classes_as_target_and_no_sensitive_column(three: Three) -> None:
    measured = evaluate(*(t.with_roles(target="city", sensitive=[]) for t in three))
    conforms(measured)
    assert "error" not in statuses(measured).values()
    assert measured["utility.tstr"].detail["metric"] == "macro AUC"
    assert measured["fairness.group_share"].status == "absent"


def test_values_that_training_never_saw_are_counted_and_no_crash(three: Three) -> None:
    train, holdout, fake = three
    arrow = fake.arrow
    n = len(fake)
    odd = {
        "age": pa.array(["abc"] * 10 + [str(v) for v in arrow.column("age").to_pylist()[10:]]),
        "wage": pa.array([math.inf] * 10 + arrow.column("wage").to_pylist()[10:]),
        "gain": pa.array([0.5] * 10 + [float(v) for v in arrow.column("gain").to_pylist()[10:]]),
        "city": pa.array(["Zürich"] * 10 + arrow.column("city").to_pylist()[10:]),
        "sex": pa.array([None] * 10 + arrow.column("sex").to_pylist()[10:]),
    }
    for name, values in odd.items():
        arrow = arrow.set_column(arrow.column_names.index(name), name, values)
    measured = evaluate(train, holdout, arrow)
    conforms(measured)
    assert "error" not in statuses(measured).values()
    assert measured["validity.schema"].detail["columns"] == dict.fromkeys(odd, 10)
    assert measured["validity.schema"].score is not None
    assert measured["validity.schema"].score.value == pytest.approx(50 / (10 * n))
