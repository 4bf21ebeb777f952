"""What a data scientist would take each column for, with the reason in words."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from synth.data.frames import to_arrow
from synth.data.inference import infer
from synth.data.schema import Column, Kind, Role
from synth.data.sources import read
from synth.errors import DataError, SchemaError

RNG = np.random.default_rng(0)
N = 400


def column(values: Any, name: str = "x", **roles: Any) -> Column:
    frame = values if isinstance(values, (pa.Table, pl.DataFrame)) else pd.DataFrame({name: values})
    return infer(to_arrow(frame)[0], **roles).column(name)


KINDS: dict[str, tuple[Any, str, Kind, Role]] = {
    "ages": (RNG.integers(17, 90, N), "age", Kind.INTEGER, Role.FEATURE),
    "weights with many distinct values": (RNG.integers(10_000, 900_000, N), "fnlwgt", Kind.INTEGER, Role.FEATURE),
    "flags of 0 and 1": (RNG.integers(0, 2, N), "flag", Kind.INTEGER, Role.FEATURE),
    "whole numbers with NaN": (np.where(np.arange(N) % 7, np.arange(N) % 50, np.nan), "count", Kind.INTEGER, Role.FEATURE),
    "prices": (RNG.integers(100, 9999, N) / 100, "price", Kind.DECIMAL, Role.FEATURE),
    "exact decimals": ([Decimal("1.20"), Decimal("3.45")] * 200, "price", Kind.DECIMAL, Role.FEATURE),
    "unique numbers named like an id": (RNG.permutation(N) + 9000, "encounter_id", Kind.IDENTIFIER, Role.KEY),
    "unique numbers in camel case": (RNG.permutation(N) + 9000, "playerID", Kind.IDENTIFIER, Role.KEY),
    "a row counter": (np.arange(N), "instant", Kind.IDENTIFIER, Role.KEY),
    "a row counter from one": (np.arange(1, N + 1), "instant", Kind.IDENTIFIER, Role.KEY),
    "unique numbers that count nothing": (RNG.permutation(N) * 37, "reading", Kind.INTEGER, Role.FEATURE),
    "an id as pandas stores it beside nulls": (
        np.where(np.arange(N) % 9, np.arange(N) + 0.0, np.nan),
        "user_id",
        Kind.IDENTIFIER,
        Role.FEATURE,
    ),
    "an id with few distinct values": (RNG.integers(0, 8, N), "admission_type_id", Kind.CATEGORICAL, Role.FEATURE),
    "an id that repeats": (RNG.integers(0, 150, N), "customer_id", Kind.IDENTIFIER, Role.FEATURE),
    "years named like an id": (RNG.integers(1871, 2020, N), "yearID", Kind.INTEGER, Role.FEATURE),
    "numbers too long for a double": (RNG.integers(2**60, 2**62, N), "hash", Kind.IDENTIFIER, Role.FEATURE),
    "colours": (RNG.choice(["red", "green"], N), "colour", Kind.CATEGORICAL, Role.FEATURE),
    "words that name things": ([f"a{i:05}" for i in RNG.permutation(N)], "serial", Kind.IDENTIFIER, Role.FEATURE),
    "words that name things and are called id": ([f"a{i:05}" for i in range(N)], "id", Kind.IDENTIFIER, Role.KEY),
    "sentences": ([f"I lost my card number {i} on the way home" for i in range(N)], "message", Kind.TEXT, Role.FEATURE),
    "true and false": (RNG.integers(0, 2, N).astype(bool), "flag", Kind.BOOLEAN, Role.FEATURE),
    "dates": (pd.Series([dt.date(2020, 1, 1), dt.date(2021, 5, 5)] * 200, dtype=object), "day", Kind.DATETIME, Role.FEATURE),
    "moments": (pd.date_range("2020", periods=N, freq="h"), "at", Kind.DATETIME, Role.FEATURE),
    "ordered categories": (
        pd.Categorical(["b", "a"] * 200, categories=["b", "a"], ordered=True),
        "g",
        Kind.ORDINAL,
        Role.FEATURE,
    ),
    "dates written as text": ([f"2020-01-{i:02}" for i in range(1, 29)] * 10, "day", Kind.CATEGORICAL, Role.FEATURE),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_column_is_taken_for_what_it_is(case: str) -> None:
    values, name, kind, role = KINDS[case]
    found = column(values, name)
    assert (found.kind, found.role) == (kind, role), found.why
    assert found.why


def test_names_and_addresses_of_people_are_never_learned() -> None:
    people = {
        "email": [f"p{i % 150}@example.org" for i in range(N)],
        "phone": [f"+44 20 7946 {i % 150:04}" for i in range(N)],
        "nameFirst": [first for first in ("Ada", "Grace", "Alan", "Edsger", "Barbara") for _ in range(80)],
        "mobile": [491700000000 + i % 150 for i in range(N)],
    }
    people["nameFirst"] = [name + "abcdefghijklmnopqrstuvwxyz"[i % 26] for i, name in enumerate(people["nameFirst"])]
    for name, values in people.items():
        found = column(values, name)
        assert found.kind is Kind.IDENTIFIER, found.why
        assert found.provider is not None
        assert "recognised" in found.why


@pytest.mark.parametrize("role", ["target", "sensitive"])
def test_few_whole_numbers_are_classes_in_a_target_and_groups_in_a_sensitive_column(role: str) -> None:
    assert column(RNG.integers(0, 2, N), **{role: "x"}).categories == (0, 1)
    assert column([0.0, 1.0] * 200, **{role: "x"}).categories == (0.0, 1.0)
    assert column(RNG.integers(0, 500, N), **{role: "x"}).kind is Kind.INTEGER
    assert column(RNG.normal(size=N), **{role: "x"}).kind is Kind.DECIMAL
    assert column([f"a{i}" for i in range(N)], **{role: "x"}).kind is Kind.CATEGORICAL
    assert column(np.arange(N), **{role: "x"}).kind is Kind.INTEGER


def test_a_role_or_kind_that_is_named_is_noted_as_declared() -> None:
    assert column(np.arange(N) % 9, subject="x").declared == ("role",)
    assert column(np.arange(N) % 9, subject="x").kind is Kind.IDENTIFIER
    assert column(np.arange(N) % 9, key=["x"]).role is Role.KEY
    assert column(np.arange(N), kinds={"x": "integer"}).declared == ("kind",)
    assert column(np.arange(N), time="x").kind is Kind.INTEGER


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([0.5, 1.25], 2),
        ([0.1, 0.2, 0.30000000000000004], 17),
        ([1e-9, 1.0], 9),
        ([1 / 3, 0.5], 17),
        (np.array([0.1, 2.75], dtype="float32"), 2),
        (RNG.integers(0, 10**7, 1000) / 1000, 3),
        ([Decimal("1.20"), Decimal("1.25")], 2),
        ([Decimal("1.20"), Decimal("1.50")], 1),
    ],
)
def test_the_number_of_decimals_is_as_many_as_the_values_need(values: Any, decimals: int) -> None:
    assert column(values).decimals == decimals


@pytest.mark.parametrize(
    ("values", "unit", "minimum"),
    [
        (["2020-01-01", "2020-03-01"], "day", "2020-01-01"),
        (["2020-01-01 03:00", "2020-03-01"], "hour", "2020-01-01T03"),
        (["2020-01-01 03:30", "2020-03-01"], "minute", "2020-01-01T03:30"),
        (["2020-01-01 03:30:01", "2020-03-01"], "second", "2020-01-01T03:30:01"),
        (["1920-01-01 03:30:01.5", "2020-03-01"], "millisecond", "1920-01-01T03:30:01.500"),
        (["2020-01-01 03:30:01.000001", "2020-03-01"], "microsecond", "2020-01-01T03:30:01.000001"),
        (["1970-01-01 03:30:01.000000001", "1970-03-01"], "nanosecond", "1970-01-01T03:30:01.000000001"),
        # so many nanoseconds since 1970 that a double would skip some
        (["2020-01-01 03:30:01.000000001", "2020-03-01"], "microsecond", "2020-01-01T03:30:01.000000"),
    ],
)
def test_the_unit_of_a_moment_is_the_finest_step_used(values: list[str], unit: str, minimum: str) -> None:
    for zone in (None, "Asia/Kolkata"):
        moments = (
            pd.Series(pd.to_datetime(values, format="ISO8601"))
            .astype("datetime64[ns]")
            .dt.tz_localize("UTC")
            .dt.tz_convert(zone)
        )
        found = column(moments)
        assert (found.unit, found.minimum) == (unit, minimum)


def test_levels_are_in_an_order_that_does_not_depend_on_the_rows() -> None:
    assert column(["b", "a", "C", None, "b"]).categories == ("C", "a", "b")
    assert column(["10", "9", "2", "x"]).categories == ("2", "9", "10", "x")
    assert column(["1", "-1"]).categories == ("-1", "1")
    assert column([3, 1, 2] * 20, target="x").categories == (1, 2, 3)
    assert column(pd.Categorical(["b", "a"], categories=["b", "spare", "a"])).categories == ("b", "spare", "a")
    assert column(pl.DataFrame({"x": pl.Series(["b", "a"], dtype=pl.Enum(["b", "spare", "a"]))})).categories == (
        "b",
        "spare",
        "a",
    )
    pl.Series(["zzz", "yyy"], dtype=pl.Categorical)  # polars pools the levels of all columns
    assert column(pl.DataFrame({"x": pl.Series(["b", "a"], dtype=pl.Categorical)})).categories == ("a", "b")


def test_a_column_with_a_million_distinct_words_is_an_identifier_at_once() -> None:
    words = pa.table({"x": [f"w{i}" for i in range(1_000_000)]})
    start = time.perf_counter()
    assert column(words).kind is Kind.IDENTIFIER
    with pytest.raises(SchemaError, match="1,000,000 distinct values, and at most 100,000"):
        column(words, target="x")
    with pytest.raises(SchemaError, match="1,000,000 distinct values, and at most 100,000"):
        column(words, kinds={"x": "categorical"})
    assert time.perf_counter() - start < 30  # seconds, on a busy machine; unrefused it would take minutes


@pytest.mark.parametrize(
    ("values", "roles", "words"),
    [
        (["a", "b"], {"kinds": {"x": "integer"}}, "cannot be integer: it holds"),
        ([0.5, 1.5], {"kinds": {"x": "integer"}}, "with a fraction"),
        ([1, 2], {"kinds": {"x": "datetime"}}, "rather than dates"),
        ([1, 2], {"kinds": {"x": "boolean"}}, "rather than true and false"),
        (["a", "b"], {"kinds": {"x": "number"}}, "kind of column 'x' is 'number'"),
        ([2**60, 1], {"kinds": {"x": "integer"}}, "beyond the 2\\^53"),
        ([2**60, 1], {"target": "x"}, "beyond the 2\\^53"),
        (["a", "b"], {"time": "x"}, "cannot be ordered in time"),
    ],
)
def test_a_kind_that_the_values_cannot_have_is_refused(values: Any, roles: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        column(values, **roles)


def test_numbers_with_a_few_words_are_refused_but_codes_are_not() -> None:
    with pytest.raises(DataError, match=r"'unknown' in row 3 \(2 such rows\)"):
        column(["1", "2.5", "unknown", "unknown", *map(str, range(100))])
    codes = [f"{i:03}" for i in range(30)] * 3 + ["V57"]
    assert column(codes).kind is Kind.CATEGORICAL
    assert column(["N"] * 100 + [str(i) for i in range(30)] * 3).kind is Kind.CATEGORICAL


ADULT = {
    "integer": "age fnlwgt education_num capital_gain capital_loss hours_per_week",
    "categorical": "workclass education marital_status occupation relationship race sex native_country income",
}
DIABETES = {
    "identifier": "encounter_id",
    "integer": "patient_nbr time_in_hospital num_lab_procedures number_diagnoses",
    "categorical": "race gender age weight admission_type_id discharge_disposition_id diag_1 diag_2 diag_3 examide readmitted",
}
PLAYERS = {
    "identifier": "playerID nameFirst nameLast",
    "datetime": "birthDate deathDate",
    "integer": "weight height",
    "categorical": "birthCountry bats throws",
}
FIELDING = {"identifier": "playerID", "integer": "yearID G GS InnOuts PO A E DP", "categorical": "teamID lgID POS"}
CENSUS = {
    "categorical": "PUMA SEX MSP HISP RAC1P INDP INDP_CAT DVET",
    "integer": "AGEP PINCP PINCP_DECILE EDU",
    "decimal": "DENSITY",
}


@pytest.mark.parametrize(
    ("name", "kinds", "seconds"),
    [
        ("adult_train", ADULT, 0.3),
        ("diabetes130", DIABETES, 2),
        ("baseball_players", PLAYERS, 1),
        ("baseball_fielding", FIELDING, 1),
        ("sdnist_national2019", CENSUS, 1),
        ("banking77_train", {"text": "text", "categorical": "label"}, 1),
        ("bank_marketing", {"integer": "age balance day duration pdays", "categorical": "job marital month y"}, 1),
        ("kddcup99_10pct", {"integer": "duration land logged_in", "decimal": "serror_rate", "categorical": "service label"}, 5),
        ("default_credit", {"integer": "LIMIT_BAL AGE PAY_0 BILL_AMT1", "categorical": "SEX EDUCATION MARRIAGE"}, 1),
    ],
)
def test_real_tables_are_read_as_a_data_scientist_would(
    name: str, kinds: dict[str, str], seconds: float, shared_data: Callable[[str], Path]
) -> None:
    path = shared_data(f"{name}.parquet")
    start = time.perf_counter()
    schema = read(path).schema
    took = time.perf_counter() - start
    for kind, names in kinds.items():
        for column in names.split():
            assert schema.column(column).kind == kind, (column, schema.column(column).why)
    assert took < seconds * 5  # the machine may be busy; value by value in Python it would take minutes


def test_the_default_of_a_credit_is_a_class_once_it_is_the_target(shared_data: Callable[[str], Path]) -> None:
    table = read(shared_data("default_credit.parquet"), target="default payment next month")
    assert table.schema.target is not None
    assert table.schema.target.categories == (0, 1)
