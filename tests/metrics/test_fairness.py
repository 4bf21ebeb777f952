"""What is done to one group is found in that group, at crossings too, and fresh real rows look fair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.metrics.evaluation import evaluate
from synth.metrics.evidence import Evidence
from synth.metrics.group_models import (
    Measure,
    accuracy,
    contrasts,
    false_positive_rate,
    models,
    precision,
    selection_rate,
    true_positive_rate,
)
from synth.metrics.groups import crossings, groups, per_person, shuffled
from synth.metrics.intervals import newcombe, wilson
from synth.metrics.measurement import Interval, Measurement, Measurements
from synth.metrics.outcomes import combined, favoured

Three = tuple[Table, Table, Table]
ROWS = 2_400
SCHEMA = Schema(
    (
        Column("sex", Kind.CATEGORICAL, Role.SENSITIVE, categories=("f", "m")),
        Column("skin", Kind.CATEGORICAL, Role.SENSITIVE, categories=("a", "b", "c")),
        Column("old", Kind.BOOLEAN, Role.SENSITIVE),
        Column("x", Kind.DECIMAL),
        Column("z", Kind.DECIMAL),
        Column("job", Kind.CATEGORICAL, categories=("i", "j", "k")),
        Column("y", Kind.CATEGORICAL, Role.TARGET, categories=("no", "yes")),
    )
)


def people(rows: int, seed: int) -> Table:
    """`y` follows `x` and is rarer among women; `job` and `z` go with `sex`."""
    rng = np.random.default_rng(seed)
    sex = np.where(rng.random(rows) < 0.4, "f", "m")
    skin = rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1])
    x = rng.normal(size=rows)
    z = rng.normal(size=rows) + 0.8 * (sex == "f")
    job = np.where(rng.random(rows) < 0.5, "k", np.where(sex == "f", "i", "j"))
    y = rng.random(rows) < 1 / (1 + np.exp(-2 * x + 0.8 * (sex == "f")))
    columns = {"sex": sex, "skin": skin, "old": rng.random(rows) < 0.5, "x": x, "z": z, "job": job}
    return Table(pa.table(columns | {"y": np.where(y, "yes", "no")}), SCHEMA)


@pytest.fixture(scope="module")
def trio() -> Three:
    return people(ROWS, 1), people(ROWS, 2), people(ROWS, 3)


@pytest.fixture(scope="module")
def fresh(trio: Three) -> Measurements:
    """All fairness figures about fresh real rows."""
    return evaluate(*trio, only="fairness")


def values(table: Table, name: str) -> np.ndarray:
    return np.array(table.column(name).to_pylist())


def changed(table: Table, name: str, new: np.ndarray) -> Table:
    place = table.columns.index(name)
    return replace(table, arrow=table.arrow.set_column(place, name, pa.array(new)))


def held(interval: Interval | None) -> Interval:
    assert interval is not None
    return interval


def excess(m: Measurement) -> tuple[float, float]:
    """The ends of what the figure has beyond real rows."""
    score, real = held(m.score), held(m.reference)
    value = score.value - real.value
    low = value - math.hypot(score.value - score.low, real.high - real.value)
    return low, value + math.hypot(score.high - score.value, real.value - real.low)


def found(measurements: Iterable[Measurement]) -> set[str]:
    """The figures that real rows do not explain."""
    return {m.label for m in measurements if m.score is not None and not excess(m)[0] <= 0 <= excess(m)[1]}


# fresh rows ----------------------------------------------------------------------------------------------------------


def test_fresh_rows_look_fair(fresh: Measurements) -> None:
    assert not [m for m in fresh if m.status == "error"]
    assert held(fresh["fairness.erased_groups"].score).value == 0
    assert held(fresh["fairness.shrunk_groups"].score).value == 0
    taken = [m for m in fresh if m.score is not None]
    assert len(found(taken)) <= 0.1 * len(taken)


def test_groups_of_three_columns_are_judged_and_small_crossings_named_once(fresh: Measurements) -> None:
    labels = {m.label: m.status for m in fresh}
    assert labels["fairness.group_share[sex=f, skin=b, old=True]"] == "ok"
    assert labels["fairness.tpr_gap[sex=f, skin=a, old=True]"] == "ok"
    few = evaluate(*(people(900, seed) for seed in (1, 2, 3)), only="fairness")
    small = [m for m in few if m.group and len(m.group) == 3 and m.reason.startswith("insufficient: the group has")]
    assert {m.name for m in small if "training rows" in m.reason} == {"fairness.group_share"}


def test_masks_and_counts_of_crossings_agree(trio: Three) -> None:
    evidence = Evidence(*trio, 0)
    assert len(groups(evidence)) == 2 + 3 + 2 + 6 + 4 + 6 + 12
    for group in groups(evidence):
        for side in ("train", "holdout", "synthetic"):
            assert group.of(side).sum() == group.sizes[side]  # type: ignore[arg-type]
    for crossing in crossings(evidence):
        assert crossing.counts["train"].sum() == ROWS


# sizes ---------------------------------------------------------------------------------------------------------------


def test_an_erased_crossing_is_named_though_each_of_its_groups_is_there(trio: Three) -> None:
    train, holdout, fake = trio
    gone = (values(fake, "sex") == "f") & (values(fake, "skin") == "c")
    measured = evaluate(train, holdout, fake.filter(~gone), only=["fairness.erased_groups", "fairness.shrunk_groups"])
    erased = measured["fairness.erased_groups"]
    assert held(erased.score).value > 0
    assert held(erased.reference).value == 0
    assert erased.detail["erased"][0]["group"] == {"sex": "f", "skin": "c"}
    assert all(entry["group"]["sex"] == "f" and entry["group"]["skin"] == "c" for entry in erased.detail["erased"])


def test_a_group_that_shrank_to_a_quarter_is_named_and_one_that_swelled(trio: Three) -> None:
    train, holdout, fake = trio
    rare = np.flatnonzero(values(fake, "skin") == "c")
    others = np.flatnonzero(values(fake, "skin") != "c")
    fewer = fake.take(np.concatenate([rare[: len(rare) // 4], others]))
    measured = evaluate(train, holdout, fewer, only=["fairness.shrunk_groups", "fairness.erased_groups"])
    assert measured["fairness.shrunk_groups"].detail["shrunk"][0]["group"] == {"skin": "c"}
    assert held(measured["fairness.erased_groups"].score).value == 0
    more = fake.take(np.concatenate([np.repeat(rare, 4), others]))
    swollen = evaluate(train, holdout, more, only=["fairness.shrunk_groups"])["fairness.shrunk_groups"]
    assert swollen.detail["swollen"][0]["group"] == {"skin": "c"}
    assert held(swollen.score).value == 0


def test_few_rows_of_a_group_may_be_absent_by_chance(trio: Three) -> None:
    train, holdout, fake = trio
    few = np.flatnonzero(values(fake, "skin") == "c")[:100]
    measured = evaluate(train, holdout, fake.take(np.setdiff1d(np.arange(200), few)), only=["fairness.erased_groups"])
    named = [set(entry["group"].items()) for entry in measured["fairness.erased_groups"].detail["erased"]]
    assert not [group for group in named if ("skin", "c") in group and len(group) == 3]


# outcomes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "sign"), [(0.5, 1), (-0.4, -1)])
def test_an_amplified_label_gap_has_its_sign(trio: Three, share: float, sign: int) -> None:
    train, holdout, fake = trio
    y, women = values(fake, "y"), values(fake, "sex") == "f"
    chosen = np.random.default_rng(0).random(len(y)) < abs(share)
    y[women & chosen & (y == ("yes" if sign > 0 else "no"))] = "no" if sign > 0 else "yes"
    measured = evaluate(train, holdout, changed(fake, "y", y), only=["fairness.label_amplification"])
    found = measured["fairness.label_amplification[sex]"]
    assert sign * held(found.score).value > 0.1
    assert min(sign * held(found.score).low, sign * held(found.score).high) > 0.02
    assert found.detail["groups"] == ["m", "f"]
    assert found.detail["outcome"] == "yes"
    old = held(measured["fairness.label_amplification[old]"].score)
    assert old.low < 0 < old.high


@given(st.integers(0, 40), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_the_interval_of_two_rates_is_newcombes(a: int, b: int) -> None:
    both = combined([(1.0, wilson(a, 40)), (-1.0, wilson(b, 60))])
    known = newcombe(a, 40, b, 60)
    assert (both.low, both.high) == (pytest.approx(known.low), pytest.approx(known.high))


def test_the_favoured_outcome(trio: Three) -> None:
    evidence = Evidence(*trio, 0)
    assert evidence.target is not None
    assert favoured(evidence.target).label == "yes"
    many = Evidence(*(table.with_roles(target="job") for table in trio), 0)
    assert many.target is not None
    assert favoured(many.target).label == "k"  # the most frequent of three
    number = Evidence(*(table.with_roles(target="x") for table in trio), 0)
    assert number.target is not None
    assert favoured(number.target).above == pytest.approx(np.median(values(trio[0], "x")))


# models --------------------------------------------------------------------------------------------------------------


def test_a_swapped_label_in_one_group_is_found_in_that_group(trio: Three) -> None:
    train, holdout, fake = trio
    y, women = values(fake, "y"), values(fake, "sex") == "f"
    y[women] = np.where(y[women] == "yes", "no", "yes")
    names = ["tstr_gap", "tpr_gap", "accuracy_gap", "group_pairs", "equalized_odds_gap"]
    measured = evaluate(train, holdout, changed(fake, "y", y), only=[f"fairness.{name}" for name in names])
    wrong = found(measured)
    for name in ("tstr_gap", "tpr_gap", "accuracy_gap", "group_pairs"):
        assert f"fairness.{name}[sex=f]" in wrong
        assert f"fairness.{name}[sex=m]" not in wrong
    assert "fairness.equalized_odds_gap[sex]" in wrong


def test_the_chance_in_the_training_rows_is_in_the_interval(fresh: Measurements) -> None:
    # a large group's test rows alone would make its interval half as wide
    m = fresh["fairness.calibration_gap[sex=m]"]
    assert m.detail["training_share"] > 0.5
    assert held(m.reference).value == 0


def test_gaps_are_of_the_same_test_rows(fresh: Measurements) -> None:
    m = fresh["fairness.selection_rate_gap[sex=f]"]
    assert held(m.score).value == pytest.approx(m.detail["synthetic"] - m.detail["real"])
    assert m.detail["outcome"] == "yes"


def test_too_few_positives_are_insufficient() -> None:
    train, holdout, fake = (people(1_000, seed) for seed in (1, 2, 3))
    y = values(holdout, "y")
    y[np.flatnonzero((values(holdout, "skin") == "c") & (y == "yes"))[20:]] = "no"
    measured = evaluate(train, changed(holdout, "y", y), fake, only=["fairness.tpr_gap"])
    assert measured["fairness.tpr_gap[skin=c]"].reason == (
        "insufficient: the group has 20 test rows with the outcome, 30 are needed"
    )


ORACLES: dict[Measure, str] = {
    selection_rate: "selection_rate",
    true_positive_rate: "true_positive_rate",
    false_positive_rate: "false_positive_rate",
    precision: "precision_score",
    accuracy: "accuracy_score",
}


def _oracle(evidence: Evidence, columns: list[str], told: str) -> tuple[object, dict[str, float]]:
    """Fairlearn's figures of the same predictions: by group, and the differences between groups."""
    import fairlearn.metrics as fl
    import sklearn.metrics as sk

    at = models(evidence)
    selected = (at.synthetic if told == "synthetic" else at.real).selected
    assert evidence.holdout is not None
    who = evidence.holdout.to_pandas()[columns].astype(str).iloc[at.play.test]
    frame = fl.MetricFrame(
        metrics={name: getattr(fl, name, None) or getattr(sk, name) for name in ORACLES.values()},
        y_true=at.truth,
        y_pred=selected,
        sensitive_features=who,
    )
    whole = {
        name: getattr(fl, name)(at.truth, selected, sensitive_features=who)
        for name in ("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference")
    }
    return frame.by_group, whole


def _agrees(evidence: Evidence, measured: Measurements, columns: list[str]) -> None:
    for told in ("synthetic", "real"):
        by_group, whole = _oracle(evidence, columns, told)
        compared = 0
        for measure, name in ORACLES.items():
            for group, _, at in contrasts(evidence, measure):
                if at is None or set(group.name) != set(columns):
                    continue
                key = tuple(group.name[column] for column in columns)
                theirs = by_group[name].loc[key if len(key) > 1 else key[0]]  # type: ignore[index]
                assert getattr(at, told).value == pytest.approx(theirs, abs=1e-12)
                compared += 1
        assert compared >= 2 * len(ORACLES)
        label = ", ".join(columns)
        parity = measured[f"fairness.demographic_parity[{label}]"]
        odds = measured[f"fairness.equalized_odds[{label}]"]
        ours = [held(m.score if told == "synthetic" else m.reference).value for m in (parity, odds)]
        assert ours[0] == pytest.approx(whole["demographic_parity_difference"], abs=1e-12)
        assert ours[1] == pytest.approx(whole["equalized_odds_difference"], abs=1e-12)
        assert parity.detail[told]["ratio"] == pytest.approx(whole["demographic_parity_ratio"], abs=1e-12)


@pytest.mark.parametrize("columns", [["skin"], ["sex", "old"]])
def test_groups_figures_are_fairlearns(trio: Three, fresh: Measurements, columns: list[str]) -> None:
    _agrees(Evidence(*trio, 0), fresh, columns)


def test_groups_figures_are_fairlearns_on_a_real_table(shared_data: Callable[[str], Path]) -> None:
    adult = synth.read(shared_data("adult.parquet"), target="income", sensitive=["sex", "workclass"])
    order = np.random.default_rng(0).permutation(len(adult))
    three = [adult.take(order[i * 3_000 : (i + 1) * 3_000]) for i in range(3)]
    measured = evaluate(*three, only=["fairness.demographic_parity", "fairness.equalized_odds"])
    _agrees(Evidence(*three, 0), measured, ["sex"])  # type: ignore[arg-type]


def test_rows_of_one_person_count_as_one(trio: Three) -> None:
    rng = np.random.default_rng(0)
    influence = rng.normal(size=500)
    influence -= influence.mean()
    alone = per_person(influence, None)
    assert per_person(influence, np.arange(500)) == pytest.approx(alone)
    assert per_person(np.repeat(influence, 2), np.repeat(np.arange(500), 2)) == pytest.approx(alone)
    schema = Schema((Column("who", Kind.IDENTIFIER, Role.SUBJECT), *SCHEMA.columns))
    people = [pa.array(np.arange(ROWS) // 2)] * 3
    twice = [Table(t.arrow.add_column(0, "who", who), schema) for t, who in zip(trio, people)]
    evidence = Evidence(*twice, 0)  # type: ignore[arg-type]
    drawn = shuffled(evidence, "train", np.arange(ROWS), rng)
    assert len(set(drawn[: ROWS // 4] // 2) & set(drawn[ROWS // 4 :] // 2)) <= 1
    assert not [m for m in evaluate(*twice, only="fairness") if m.status == "error"]


# rows, attacks, proxies ----------------------------------------------------------------------------------------------


def test_a_group_whose_column_was_shuffled_is_named(trio: Three) -> None:
    train, holdout, fake = trio
    z, rare = values(fake, "z"), values(fake, "skin") == "c"
    z[rare] += 1.5
    measured = evaluate(train, holdout, changed(fake, "z", z), only=["fairness.group_fidelity"])
    assert "fairness.group_fidelity[skin=c]" in found(measured)
    assert not {f"fairness.group_fidelity[skin={skin}]" for skin in "ab"} & found(measured)
    assert next(iter(measured["fairness.group_fidelity[skin=c]"].detail["worst"])) == "z"


def test_a_group_whose_rows_are_copies_is_attacked_and_others_are_not(trio: Three) -> None:
    train, holdout, fake = trio
    own = values(train, "skin") == "b"
    leaked = Table.concat([fake.filter(values(fake, "skin") != "b"), train.filter(own)])
    measured = evaluate(train, holdout, leaked, only=["fairness.group_membership"])
    copied = measured["fairness.group_membership[skin=b]"]
    assert held(copied.score).low > 0.8
    assert copied.detail["beyond_whole"] > 0.1
    assert excess(copied)[0] > 0.05
    assert held(measured["fairness.group_membership[skin=a]"].score).low < 0.55


INFERENCE = "fairness.group_attribute_inference"


def test_a_group_whose_rows_are_copies_gives_its_values_away_and_others_do_not(trio: Three) -> None:
    train, holdout, fake = trio
    own = values(train, "skin") == "b"
    leaked = Table.concat([fake.filter(values(fake, "skin") != "b"), train.filter(own)])
    measured = evaluate(train, holdout, leaked, only=[INFERENCE])
    for secret in ("old", "sex"):
        copied = measured[f"{INFERENCE}[{secret} of skin=b]"]
        assert held(copied.score).low > 0.8
        assert copied.detail["beyond_whole"] > 0.3
        assert copied.reference == Interval(0.0, 0.0, 0.0, copied.detail["attacks"])
        assert copied.detail["attacks"] <= own.sum()
        for other in "ac":
            honest = held(measured[f"{INFERENCE}[{secret} of skin={other}]"].score)
            assert honest.low < 0.0 < honest.high, (secret, other)
    part, whole = held(measured[f"{INFERENCE}[old of sex=f]"].score), copied.detail["whole"]
    assert abs(part.value - whole) < 0.2, "of women as many rows are copies as of everybody"
    assert held(measured[f"{INFERENCE}[old of sex=f, skin=b]"].score).low > 0.7
    assert f"{INFERENCE}[sex of sex=f]" not in {m.label for m in measured}


def test_fresh_rows_give_no_groups_values_away(trio: Three) -> None:
    found = [m for m in evaluate(*trio, only=[INFERENCE]) if m.score is not None]
    assert len(found) > 20
    assert sum(held(m.score).low <= 0 <= held(m.score).high for m in found) >= 0.85 * len(found)
    assert all(held(m.score).low < 0.05 for m in found)


def test_what_of_a_group_is_guessed_is_the_whole_tables_figure_where_the_group_is_everybody(trio: Three) -> None:
    """The same attack, counted within groups: where all are of one group, both are one figure."""
    one = Schema((Column("all", Kind.CATEGORICAL, Role.SENSITIVE, categories=("of us",)), *SCHEMA.columns))
    tables = [Table(t.arrow.add_column(0, "all", pa.array(["of us"] * len(t))), one) for t in trio]
    measured = evaluate(*tables, only=[INFERENCE, "privacy.attribute_inference"])
    for secret in ("sex", "skin"):
        group, whole = measured[f"{INFERENCE}[{secret} of all=of us]"], measured[f"privacy.attribute_inference[{secret}]"]
        assert group.score == whole.score
        assert group.detail["beyond_whole"] == 0.0


def test_a_small_group_is_named_and_where_one_column_is_sensitive_the_target_is_the_secret(trio: Three) -> None:
    schema = Schema(tuple(replace(c, role=Role.FEATURE) if c.name in ("sex", "old") else c for c in SCHEMA.columns))
    few = [Table(t.arrow.slice(0, 700), schema) for t in trio]
    few[0] = few[0].filter((values(few[0], "skin") != "c") | (np.arange(len(few[0])) < 100))
    measured = evaluate(*few, only=[INFERENCE])
    assert {m.columns for m in measured} == {("y",)}
    assert measured[f"{INFERENCE}[y of skin=a]"].score is not None
    small = measured[f"{INFERENCE}[y of skin=c]"]
    assert small.status == "skipped"
    assert small.reason.startswith("insufficient: the group has")
    alone = Schema(tuple(replace(c, role=Role.FEATURE) if c.role is Role.TARGET else c for c in schema.columns))
    nothing = evaluate(*(Table(t.arrow, alone) for t in few), only=[INFERENCE])
    assert {m.status for m in nothing} == {"absent"}
    assert "name another, or a target" in next(iter(nothing)).reason


def test_a_strengthened_proxy_and_a_lost_one(trio: Three, fresh: Measurements) -> None:
    train, holdout, fake = trio
    women = values(fake, "sex") == "f"
    strong = changed(fake, "z", values(fake, "z") + 2.0 * women)
    lost = changed(fake, "sex", np.random.default_rng(0).permutation(values(fake, "sex")))
    above, below = (
        evaluate(train, holdout, table, only=["fairness.proxy_leakage"])["fairness.proxy_leakage[sex]"]
        for table in (strong, lost)
    )
    assert excess(above)[0] > 0.03
    assert excess(below)[1] < -0.1
    low, high = excess(fresh["fairness.proxy_leakage[sex]"])
    assert low < 0.02
    assert high > -0.02


# fits ----------------------------------------------------------------------------------------------------------------

SPREAD = ["fairness.spread_share", "fairness.spread_labels", "fairness.spread_models"]


def test_the_spread_between_fits_needs_three_of_them(trio: Three) -> None:
    measured = evaluate(*trio, only=SPREAD, repeats=[people(ROWS, 4)])
    assert {m.status for m in measured} == {"absent"}
    assert "give further fits with repeats=" in measured["fairness.spread_share"].reason


def test_fits_that_agree_and_fits_that_do_not(trio: Three) -> None:
    train, holdout, fake = trio
    steady = evaluate(train, holdout, fake, only=SPREAD, repeats=[people(ROWS, seed) for seed in (4, 5)])
    assert {m.name for m in steady if m.status == "ok"} == set(SPREAD)
    assert held(steady["fairness.spread_share[sex=f]"].score).low < 0.02
    women = [np.flatnonzero((values(t, "sex") == "f") & (values(t, "y") == "yes")) for t in (fake, people(ROWS, 4))]
    uneven = [people(ROWS, 4).take(np.setdiff1d(np.arange(ROWS), women[1])), Table.concat([fake, fake.take(women[0])])]
    wild = evaluate(train, holdout, fake, only=SPREAD, repeats=uneven)
    for name in SPREAD:
        m = wild[f"{name}[sex=f]"]
        assert held(m.score).low > held(m.reference).value
