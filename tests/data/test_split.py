"""Holdout rows are new: no subject, and by time no moment, on both sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.data.sources import read
from synth.data.table import Table
from synth.errors import DataError, SchemaError


def people(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "row": np.arange(rows),
            "who": rng.integers(0, rows // 4, rows).astype(str),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 500, rows), unit="D"),
            "x": rng.normal(size=rows).round(3),
            "y": rng.choice(["a", "b"], rows),
        }
    )


def rows_of(table: Table) -> list[int]:
    return [int(row) for row in table.column("row").to_pylist()]


def test_every_row_is_on_one_side_in_its_order() -> None:
    train, holdout = read(people()).split(0.3, seed=1)
    assert len(train) == 140
    assert len(holdout) == 60
    assert sorted(rows_of(train) + rows_of(holdout)) == list(range(200))
    assert rows_of(train) == sorted(rows_of(train))


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    table = read(people())
    assert rows_of(table.split(0.3, seed=1)[1]) == rows_of(table.split(0.3, seed=1)[1])
    assert rows_of(table.split(0.3, seed=1)[1]) != rows_of(table.split(0.3, seed=2)[1])


@settings(max_examples=50, deadline=None)
@given(st.integers(20, 300), st.floats(0.15, 0.85), st.integers(0, 1000), st.sampled_from([None, "time"]))
def test_no_subject_is_on_both_sides(rows: int, holdout: float, seed: int, by: str | None) -> None:
    table = read(people(rows, seed), subject="who", time="when")
    train, held = table.split(holdout, seed=seed, by=by)  # type: ignore[arg-type]
    left, right = set(train.column("who").to_pylist()), set(held.column("who").to_pylist())
    assert not left & right
    largest = max(np.unique(table.column("who").to_pylist(), return_counts=True)[1])
    assert abs(len(held) - holdout * rows) <= largest + 1


def test_rows_without_a_subject_are_each_their_own() -> None:
    frame = people(100)
    frame.loc[:59, "who"] = None
    train, held = read(frame, subject="who").split(0.5, seed=0)
    assert len(train) + len(held) == 100
    assert 0 < held.column("who").null_count < 60


def test_by_time_the_latest_rows_are_held_out() -> None:
    train, held = read(people(), time="when").split(0.25)
    assert len(held) == 50
    assert max(train.column("when").to_pylist()) <= min(held.column("when").to_pylist())


def test_by_time_the_subjects_seen_last_are_held_out_whole() -> None:
    train, held = read(people(), subject="who", time="when").split(0.25, by="time")
    last = people().groupby("who")["when"].max()
    assert last[list(set(train.column("who").to_pylist()))].max() <= last[list(set(held.column("who").to_pylist()))].min()


def test_rows_without_a_time_are_trained_on() -> None:
    frame = people()
    frame.loc[::10, "when"] = pd.NaT
    _, held = read(frame, time="when").split(0.25)
    assert held.column("when").null_count == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.3, 0.5, 0.9]))
def test_a_rare_class_is_never_missing_from_either_side(seed: int, holdout: float) -> None:
    frame = people(100)
    frame["y"] = ["rare"] * 2 + ["once"] + ["common"] * 97
    train, held = read(frame, target="y").split(holdout, seed=seed)
    assert len(held) == round(100 * holdout)
    for side in (train, held):
        assert {"rare", "common"} <= set(side.column("y").to_pylist())


def test_classes_that_are_not_rare_are_drawn_without_strata() -> None:
    plain, classes = read(people()), read(people(), target="y")
    assert rows_of(plain.split(0.3, seed=5)[1]) == rows_of(classes.split(0.3, seed=5)[1])


@pytest.mark.parametrize("holdout", [0, 1, -0.1, 1.5, float("nan"), "0.3", None, True])
def test_a_share_outside_its_range_is_refused(holdout: object) -> None:
    with pytest.raises(DataError, match="above 0 and below 1"):
        read(people()).split(holdout)  # type: ignore[arg-type]


def test_a_side_that_would_be_too_small_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        read(people(20)).split(0.01)
    with pytest.raises(DataError, match="at least 2"):
        read(people(20).head(1)).split(0.5)
    one = people(20)
    one["who"] = "the same"
    with pytest.raises(DataError, match="one subject only"):
        read(one, subject="who").split(0.5)
    one.loc[0, "who"] = "another"
    with pytest.raises(DataError, match="no split by 'who' leaves 2 rows on each side"):
        read(one, subject="who").split(0.5)


def test_a_way_that_the_schema_does_not_allow_is_refused() -> None:
    table = read(people(), subject="who")
    with pytest.raises(SchemaError, match="on both sides"):
        table.split(0.3, by="row")
    with pytest.raises(SchemaError, match="orders the rows"):
        table.split(0.3, by="time")
    with pytest.raises(SchemaError, match="role subject"):
        read(people()).split(0.3, by="subject")
    with pytest.raises(DataError, match="did you mean 'row'"):
        table.split(0.3, by="rows")  # type: ignore[arg-type]
