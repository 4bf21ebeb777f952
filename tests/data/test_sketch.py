"""A sketch says which rows it is of, whatever their order, split or frame; it tells other rows apart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synth
from synth.data.sketch import SIZE, checked, contained, same_data, sketch
from synth.data.table import Table
from synth.errors import InputError


def people(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": np.round(rng.normal(3_000, 500, n), 2),
            "town": rng.choice(["Aachen", "Bonn", "Celle"], n),
            "since": pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 2_000, n), unit="D"),
            "member": rng.random(n) < 0.3,
        }
    )


def of(*tables: Any) -> list[str]:
    read = [table if isinstance(table, Table) else synth.read(table) for table in tables]
    return sketch(read, [column.name for column in read[0].schema.learned])


def test_a_resplit_by_any_seed_is_the_same_data() -> None:
    table = synth.read(people(3_000))
    assert of(*table.split(0.3, seed=1)) == of(*table.split(0.5, seed=2)) == of(table)


def test_neither_the_order_of_rows_nor_of_columns_nor_a_row_twice_matters() -> None:
    frame = people(1_000)
    assert of(frame) == of(frame.sample(frac=1, random_state=3)) == of(frame[frame.columns[::-1]])
    assert of(frame) == of(pd.concat([frame, frame.head(100)]))


def test_a_value_counts_as_what_it_is_whatever_holds_it() -> None:
    frame = people(500)
    plain = of(frame)
    assert of(pl.from_pandas(frame)) == plain
    assert of(pa.Table.from_pandas(frame, preserve_index=False)) == plain
    assert of(frame.assign(town=pd.Categorical(frame["town"], categories=["Zell", "Celle", "Bonn", "Aachen"]))) == plain
    assert of(frame.assign(age=frame["age"].astype("float64"))) == plain
    assert of(frame.assign(age=pd.Categorical(frame["age"]))) == plain
    assert of(frame.assign(income=frame["income"].astype("float32"))) == plain
    assert of(frame.assign(since=frame["since"].dt.date)) == plain
    assert of(frame.assign(since=frame["since"].astype("datetime64[s]"))) == plain
    assert of(frame.assign(member=frame["member"].astype("int8"))) == plain


def test_roles_do_not_matter() -> None:
    frame = people(500)
    assert of(synth.read(frame, target="member", sensitive=["town"])) == of(synth.read(frame, target="town"))


def test_a_null_is_a_value_of_its_own() -> None:
    frame = pd.DataFrame({"a": pd.array([0, None, 1, 2], dtype="Int64"), "b": ["x", "y", None, "z"]})
    assert len(set(of(frame))) == 4
    assert of(frame) == of(frame.astype({"a": "float64"}))
    assert not set(of(frame)) & set(of(frame.fillna({"a": 0, "b": "x"}).iloc[1:3]))


@pytest.mark.parametrize(
    ("column", "value"),
    [("age", 17), ("income", 0.01), ("town", "Bonnn"), ("since", dt.datetime(1999, 1, 1)), ("member", None)],
)
def test_a_row_with_another_value_is_another_row(column: str, value: Any) -> None:
    frame = people(20)
    other = frame.copy().astype({column: object})
    other.loc[0, column] = value
    one, two = (
        sketch([synth.read(f, schema=None)], list(frame.columns)) for f in (frame, other.convert_dtypes(convert_integer=False))
    )
    assert len(set(one) & set(two)) == 19


def test_values_that_change_places_between_columns_are_other_rows() -> None:
    frame = pd.DataFrame({"a": np.arange(50) % 7 + 0.5, "b": np.arange(50) % 11 + 100.25})
    assert not same_data(of(frame), of(frame.rename(columns={"a": "b", "b": "a"})))


def test_another_table_of_the_same_columns_is_other_data() -> None:
    assert contained(of(people(3_000, seed=0)), of(people(3_000, seed=1))) == 0


def test_two_halves_of_a_table_are_two_data_sets_and_each_is_part_of_the_whole() -> None:
    frame = people(4_000)
    one, other = of(frame.head(2_000)), of(frame.tail(2_000))
    assert contained(one, other) == 0
    assert same_data(one, of(frame))
    assert same_data(of(frame), other)


def test_fresh_draws_of_a_third_of_the_rows_are_the_same_data() -> None:
    frame = people(9_000)
    drawn = [of(frame.sample(frac=0.36, random_state=seed)) for seed in range(12)]
    assert all(same_data(one, other) for one in drawn for other in drawn)


@given(drop=st.floats(0, 0.9), add=st.floats(0, 0.5), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_what_is_estimated_is_near_the_truth(drop: float, add: float, seed: int) -> None:
    """Sketches of sets of 64-bit numbers, as rows give: drop some, add some of another table."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**63, 2_000, dtype=np.uint64)
    kept, new = base[int(drop * 2_000) :], rng.integers(0, 2**63, int(add * 2_000), dtype=np.uint64)
    other = np.concatenate([kept, new])
    truth = len(kept) / min(len(base), len(other))
    one, two = ([f"{v:016x}" for v in np.unique(values)[:SIZE].tolist()] for values in (base, other))
    fewest = SIZE * min(len(base), len(other)) / max(len(base), len(other))  # numbers that the estimate rests on, about
    assert abs(contained(one, two) - truth) < 5 * np.sqrt(0.25 / fewest) + 1e-9
    assert contained(one, two) == contained(two, one)


@given(st.lists(st.tuples(st.integers(-5, 5), st.sampled_from(["a", "b", None])), min_size=1, max_size=60), st.randoms())
@settings(max_examples=60, deadline=None)
def test_of_few_rows_nothing_is_estimated(rows: list[tuple[int, str | None]], random: Any) -> None:
    table = synth.Schema.from_dict(
        {
            "columns": [
                {"name": "n", "kind": "integer"},
                {"name": "t", "kind": "categorical", "categories": ["a", "b"], "nullable": True},
            ]
        }
    )

    def made(values: list[tuple[int, str | None]]) -> Table:
        arrow = pa.table(
            {"n": pa.array([n for n, _ in values], pa.int64()), "t": pa.array([t for _, t in values], pa.string())}
        )
        return Table(arrow, table)

    some = random.sample(rows, random.randint(1, len(rows)))
    whole, part = sketch([made(rows)], ["n", "t"]), sketch([made(some)], ["n", "t"])
    assert len(whole) == len(set(rows))
    assert len(part) == len(set(some))
    assert contained(whole, part) == 1
    assert checked(whole) == tuple(whole)


@pytest.mark.parametrize("name", ["adult", "magic_gamma", "diabetes130"])
def test_real_tables_are_told_apart_from_their_own_other_half(shared_data: Callable[[str], Path], name: str) -> None:
    table = synth.read(shared_data(f"{name}.parquet"))
    rows = np.random.default_rng(0).permutation(len(table))
    half, tenth = len(table) // 2, len(table) // 10
    whole = of(table)
    assert contained(of(table.take(rows[:half])), of(table.take(rows[half:]))) < 0.05
    assert contained(whole, of(table.take(rows[tenth:]))) == 1
    assert contained(whole, of(table.take(rows[:tenth]))) == 1
    assert of(*table.split(0.3, seed=5)) == whole


def test_a_table_of_few_distinct_rows_cannot_be_told_from_its_like(shared_data: Callable[[str], Path]) -> None:
    """Skin: three numbers to 255 and a class; half of what one half holds, the other holds as well."""
    table = synth.read(shared_data("skin_segmentation.parquet"))
    rows = np.random.default_rng(0).permutation(len(table))
    assert same_data(of(table.take(rows[::2])), of(table.take(rows[1::2])))


@pytest.mark.parametrize(
    "numbers", [None, [], "0" * 16, ["0" * 15], ["G" * 16], ["F" * 16], ["1" * 16, "0" * 16], ["0" * 16] * 2, [1, 2], {"a": 1}]
)
def test_what_is_no_sketch_is_refused(numbers: Any) -> None:
    with pytest.raises(InputError, match="measure the rows again"):
        checked(numbers)


def test_evaluate_tells_the_sketch_and_the_figures_do_not_change_with_it() -> None:
    train, holdout = synth.read(people(600)).split(0.4, seed=0)
    measured = synth.evaluate(train, holdout, people(300, seed=5), only="fidelity.shape")
    again = synth.evaluate(*synth.read(people(600)).split(0.3, seed=9), people(300, seed=6), only="fidelity.shape", seed=4)
    assert measured.context["data_sketch"] == again.context["data_sketch"]
    alone = synth.evaluate(train, None, people(300, seed=5), only="fidelity.shape")
    assert same_data(alone.context["data_sketch"], measured.context["data_sketch"])


def test_a_holdout_of_odd_types_still_has_a_sketch() -> None:
    train = people(300)
    odd = people(200, seed=1).astype({"age": str})
    odd["town"], odd["income"] = [b"\xff"] * 200, [dt.time(9, 30)] * 200
    made = of(train, synth.read(people(200, seed=1)))
    measured = synth.evaluate(train, odd, people(100, seed=2), only="fidelity.shape")
    assert same_data(measured.context["data_sketch"], made)
