"""Each planted fault is what it says, and the self-test tells what the fault caused from what was there before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import synth
from synth.data.table import Table
from synth.errors import InputError
from synth.gate.planted import FAULTS, KEY, Planted, Soil
from synth.gate.selftest import planting, prepare, self_test
from synth.metrics.distance import nearest, positions
from synth.metrics.evidence import Evidence
from synth.metrics.registry import NothingThereError

NAMED = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def real(shared_data: Callable[[str], Path]) -> tuple[Table, Table]:
    table = synth.read(shared_data("adult.parquet"), target="income", sensitive=["sex", "race"])
    rows = np.random.default_rng(0).permutation(len(table))
    return table.take(rows[:3_000]), table.take(rows[3_000:9_000])


@pytest.fixture(scope="module")
def soil(real: tuple[Table, Table]) -> Soil:
    return prepare(*real, seed=0)


def planted(name: str, soil: Soil) -> Planted:
    return NAMED[name].plant(replace(soil, rng=planting(0)))


def rows(table: Table) -> list[str]:
    return [repr(row) for row in table.arrow.to_pylist()]


def share_nearer_to_training(train: Table, holdout: Table, made: Table) -> float:
    """The share of the rows that lie nearer to a training row than to any of equally many held-out rows; ½ by chance."""
    place = positions(Evidence(train, holdout, made, 0))
    count = min(len(train), len(holdout))
    to_train, to_holdout = (nearest(place["synthetic"], place[side][:count]) for side in ("train", "holdout"))
    return float((to_train < to_holdout).mean() + (to_train == to_holdout).mean() / 2)


@pytest.mark.parametrize("name", list(NAMED))
def test_a_fault_keeps_the_size_and_the_real_rows(name: str, soil: Soil) -> None:
    train, holdout, made = planted(name, soil)
    assert len(made) == max(len(soil.good), len(train) if name in ("copies 100%", "jittered copies") else 0)
    if name != "leaked key":
        assert (train, holdout) == (soil.train, soil.holdout)
    assert planted(name, soil)[2].digest() == made.digest()  # the same seed plants the same


@pytest.mark.parametrize(("name", "share"), [("copies 0.1%", 0.001), ("copies 1%", 0.01), ("copies 10%", 0.1)])
def test_so_many_copies_are_planted(name: str, share: float, soil: Soil) -> None:
    known = set(rows(soil.train))
    before = sum(row in known for row in rows(soil.good))
    after = sum(row in known for row in rows(planted(name, soil)[2]))
    assert after - before == pytest.approx(share * len(soil.good), abs=max(2, before))


def test_margins_stay_and_relations_go_in_a_factorised_table(soil: Soil) -> None:
    made = planted("factorised", soil)[2]
    for name in made.columns:
        assert Counter(made.column(name).to_pylist()) == Counter(soil.good.column(name).to_pylist())
    assert not set(rows(made)) & set(rows(soil.good))


def test_one_number_is_scaled_and_one_column_is_constant(soil: Soil) -> None:
    scaled, constant = planted("scaled column", soil)[2], planted("constant column", soil)[2]
    changed = [c for c in scaled.columns if not scaled.column(c).equals(soil.good.column(c).cast(scaled.column(c).type))]
    assert changed == ["fnlwgt"]
    assert np.allclose(scaled.column("fnlwgt").to_numpy(), 1_000 * soil.good.column("fnlwgt").to_numpy())
    assert [c for c in constant.columns if len(constant.column(c).unique()) == 1] == ["fnlwgt"]


def test_a_class_and_a_group_are_gone(soil: Soil) -> None:
    assert set(planted("collapsed class", soil)[2].column("income").to_pylist()) == {"<=50K"}
    before, after = (table.column("race").to_pylist() for table in (soil.good, planted("erased group", soil)[2]))
    real = Counter(soil.train.column("race").to_pylist())
    assert set(before) - set(after) == {min((race for race in real if real[race] >= 100), key=lambda race: real[race])}


def test_labels_change_in_one_group_only(soil: Soil) -> None:
    made = planted("swapped labels", soil)[2]
    changed = np.array(made.column("income").to_pylist()) != np.array(soil.good.column("income").to_pylist())
    race = np.array(made.column("race").to_pylist())
    second = Counter(race.tolist()).most_common(2)[1][0]
    assert set(race[changed]) == {second}
    assert (race == second).sum() == changed.sum()


def test_a_key_of_the_training_rows_leaks(soil: Soil) -> None:
    train, holdout, made = planted("leaked key", soil)
    assert set(made.column(KEY).to_pylist()) <= set(train.column(KEY).to_pylist())
    assert not set(holdout.column(KEY).to_pylist()) & set(train.column(KEY).to_pylist())


def test_memorised_outliers_pass_the_distance_to_the_closest_record(soil: Soil) -> None:
    """What is reported of DCR, the share of rows that lie nearer to the training rows, sees nothing of 1% near copies."""
    assert share_nearer_to_training(*planted("memorised outliers", soil)) == pytest.approx(0.5, abs=0.03)
    assert share_nearer_to_training(*planted("jittered copies", soil)) > 0.8


def test_a_table_without_groups_or_classes_says_so(real: tuple[Table, Table]) -> None:
    numbers = [table.select(["age", "fnlwgt", "education_num", "hours_per_week"]) for table in real]
    bare = prepare(*numbers, seed=0)
    for name in ("collapsed class", "erased group", "swapped labels"):
        with pytest.raises(NothingThereError):
            planted(name, bare)
    words = prepare(*(table.select(["sex", "race"]) for table in real), seed=0)
    with pytest.raises(NothingThereError, match="no column holds numbers"):
        planted("scaled column", words)


def test_the_self_test_names_what_the_fault_set_off(real: tuple[Table, Table]) -> None:
    train, holdout = real
    faults = tuple(NAMED[name] for name in ("factorised", "copies 10%", "leaked key"))
    seen: list[str] = []
    found = self_test(
        train, holdout.head(2_000), policies=["privacy-release", "research"], faults=faults,
        progress=lambda stage, done, total: seen.append(stage),
    )  # fmt: skip
    trials = {trial.fault: trial for trial in found.trials}
    assert list(trials) == ["clean", "factorised", "copies 10%", "leaked key"]
    assert "fidelity.detection" in trials["factorised"].checks
    assert {"privacy.exact_copies", "privacy.unique_copies"} <= set(trials["copies 10%"].checks)
    assert trials["leaked key"].caught_by["privacy-release"] == ("privacy.identifier_copies",)
    assert trials["copies 10%"].decisions["privacy-release"] == "rejected"
    assert not set(trials["clean"].checks) & set(trials["factorised"].checks)
    assert seen[0] == "self-test: clean"
    assert json.loads(json.dumps(found.to_dict()))["rows"] == {"training": 3_000, "holdout": 1_000, "planted": 1_000}
    assert "factorised" in repr(found)


def test_too_few_held_out_rows_are_refused(real: tuple[Table, Table]) -> None:
    for few in (None, real[1].head(399)):
        with pytest.raises(InputError, match="a self-test needs 400 held-out rows"):
            self_test(real[0], few)
