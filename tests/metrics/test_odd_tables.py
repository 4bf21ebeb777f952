"""Whatever the table, every registered metric gives a number or a stated reason: no traceback, no warning, no long wait.

A table of `ODD` is three frames as a person would hand them over (training, holdout, synthetic), with something wrong in them.
Metrics are found by `metrics()`: a new one is tested by being there. A failure names the table, the metric and what it said.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from synth.data.frames import as_table
from synth.data.table import Table
from synth.errors import DataError
from synth.gate.policy import Policy
from synth.metrics.evaluation import evaluate
from synth.metrics.measurement import Interval, Measurement, Measurements
from synth.metrics.registry import chosen, metrics

ROWS = 900  # the fewest that every attack takes
FEW = 400  # where the oddity is nothing to an attack
SECONDS = 20.0  # of CPU for one table and all metrics
DELIBERATE = "CannotTrainError"  # the one error that states a fact about the table: its rows can train nothing


@dataclass(frozen=True)
class Odd:
    """Three frames, with what a person would say of their columns."""

    train: Any
    holdout: Any
    synthetic: Any
    target: str | None = "y"
    sensitive: tuple[str, ...] | None = ("s",)
    seconds: float = SECONDS


def people(rows: int, seed: int) -> pd.DataFrame:
    """Ordinary rows: numbers, categories, a group and a target that hang together."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    s = rng.choice(["f", "m"], rows)
    return pd.DataFrame(
        {
            "x": x.round(3),
            "k": rng.poisson(np.exp(1 + x / 2)),
            "c": np.array(["red", "green", "blue"])[np.clip(np.rint(x + 1 + rng.normal(size=rows) / 2), 0, 2).astype(int)],
            "s": s,
            "y": np.where(rng.random(rows) < 1 / (1 + np.exp(-2 * x - (s == "f"))), "yes", "no"),
        }
    )


def three(change: Callable[[pd.DataFrame, int], pd.DataFrame], rows: int = ROWS, **how: Any) -> Odd:
    """The same oddity in all three tables; `change` is given the frame and its number."""
    return Odd(*(change(people(rows, seed), seed) for seed in range(3)), **how)


def spoilt(change: Callable[[pd.DataFrame], pd.DataFrame], **how: Any) -> Odd:
    """Ordinary real rows, and synthetic ones with something wrong in them."""
    return Odd(people(ROWS, 0), people(ROWS, 1), change(people(ROWS, 2)), **how)


def declared(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Odd:
    """The same oddity in all three tables, of a sort that no schema would be inferred from: ordinary rows give the schema."""
    schema = as_table(people(ROWS, 0), target="y", sensitive="s").schema

    def table(seed: int) -> Table:
        frame = change(people(ROWS, seed))
        types = pa.schema([("x", pa.float64()), ("k", pa.int64()), ("c", pa.string()), ("s", pa.string()), ("y", pa.string())])
        return Table(pa.Table.from_pandas(frame, schema=types, preserve_index=False), schema)

    return Odd(*(table(seed) for seed in range(3)), target=None, sensitive=None)


# the odd tables ------------------------------------------------------------------------------------------------------

ODD: dict[str, Callable[[], Odd]] = {}


def odd(make: Callable[[], Odd]) -> Callable[[], Odd]:
    ODD[make.__name__] = make
    return make


@odd
def nan() -> Odd:
    return three(lambda d, i: d.assign(x=d["x"].mask(np.arange(len(d)) % 3 == 0), k=d["k"].astype(float).mask(d["k"] > 4)))


@odd
def nan_that_real_rows_never_have() -> Odd:
    return spoilt(lambda d: d.assign(x=np.nan, c=d["c"].mask(d["c"] == "red")))


@odd
def infinities_in_synthetic() -> Odd:
    return spoilt(lambda d: d.assign(x=d["x"].mask(d["x"] > 1, np.inf).mask(d["x"] < -1, -np.inf)))


@odd
def infinities_everywhere() -> Odd:
    return declared(lambda d: d.assign(x=d["x"].mask(d["x"] > 1, np.inf).mask(d["x"] < -1, -np.inf)))


@odd
def nothing_but_infinity() -> Odd:
    return declared(lambda d: d.assign(x=np.inf))


@odd
def new_categories() -> Odd:
    return spoilt(lambda d: d.assign(c=[f"new {i % 50}" for i in range(len(d))], s=d["s"].replace("m", "x")))


@odd
def a_new_target_class() -> Odd:
    return spoilt(lambda d: d.assign(y=["maybe" if i % 4 == 0 else v for i, v in enumerate(d["y"])]))


@odd
def words_where_numbers_belong() -> Odd:
    return spoilt(lambda d: d.assign(k=["many" if v > 3 else str(v) for v in d["k"]]))


@odd
def three_rows() -> Odd:
    return three(lambda d, i: d, rows=3)


@odd
def three_synthetic_rows() -> Odd:
    return spoilt(lambda d: d.head(3))


@odd
def one_row_each() -> Odd:
    return three(lambda d, i: d, rows=1)


@odd
def columns_without_a_value() -> Odd:
    return declared(lambda d: d.assign(x=np.nan, c=None))


@odd
def a_target_and_a_group_without_a_value() -> Odd:
    return declared(lambda d: d.assign(y=None, s=None))


@odd
def columns_that_lost_every_value() -> Odd:
    return spoilt(lambda d: d.assign(x=np.nan, c=None, s=None, y=None))


@odd
def a_target_of_one_class() -> Odd:
    return three(lambda d, i: d.assign(y="yes"), rows=FEW)


@odd
def a_target_of_one_synthetic_class() -> Odd:
    return spoilt(lambda d: d.assign(y="yes"))


@odd
def a_group_of_one_class() -> Odd:
    return three(lambda d, i: d.assign(y=np.where(d["s"] == "f", "yes", d["y"])), rows=FEW)


@odd
def a_group_that_vanished() -> Odd:
    return spoilt(lambda d: d.assign(s="m"))


@odd
def a_class_of_two_rows() -> Odd:
    return three(lambda d, i: d.assign(y=["rare" if j < 2 else "common" for j in range(len(d))]), rows=FEW)


@odd
def constant_columns() -> Odd:
    return three(lambda d, i: d.assign(x=1.5, k=7, c="one", s="f"))


@odd
def nothing_but_constants() -> Odd:
    return three(lambda d, i: d.assign(x=1.5, k=7, c="one", s="f", y="yes"), rows=FEW)


@odd
def rows_that_are_all_the_same() -> Odd:
    same = people(1, 0)
    return Odd(*(same.loc[[0] * ROWS].reset_index(drop=True) for _ in range(3)))


@odd
def copies_of_the_training_rows() -> Odd:
    return Odd(people(ROWS, 0), people(ROWS, 1), people(ROWS, 0))


@odd
def five_hundred_columns() -> Odd:
    def wide(i: int) -> pd.DataFrame:
        rng = np.random.default_rng(i)
        common = rng.normal(size=(300, 1))
        numbers = pd.DataFrame((common + rng.normal(size=(300, 400))).round(2), columns=[f"x{j}" for j in range(400)])
        words = pd.DataFrame(rng.choice(["a", "b", "c"], (300, 98)), columns=[f"c{j}" for j in range(98)])
        both = {"s": rng.choice(["f", "m"], 300), "y": np.where(common[:, 0] > 0, "yes", "no")}
        return pd.concat([numbers, words, pd.DataFrame(both)], axis=1)

    return Odd(*(wide(i) for i in range(3)), seconds=60.0)


@odd
def a_hundred_thousand_levels() -> Odd:
    book = [f"level {i}" for i in range(100_000)]

    def tall(i: int) -> pa.Table:
        rng = np.random.default_rng(i)
        codes = rng.integers(0, len(book), 2_000, dtype=np.int32)
        frame = people(2_000, i).drop(columns="c")
        return pa.Table.from_pandas(frame, preserve_index=False).append_column(
            "c", pa.DictionaryArray.from_arrays(pa.array(codes), book)
        )

    return Odd(*(tall(i) for i in range(3)), seconds=40.0)


@odd
def every_value_its_own_category() -> Odd:
    return three(lambda d, i: d.assign(c=pd.Categorical([f"{i} {j}" for j in range(len(d))])), rows=FEW)


@odd
def moments_with_zones() -> Odd:
    def at(d: pd.DataFrame, i: int) -> pd.DataFrame:
        ticks = pd.Timestamp("2024-03-30", tz="Europe/Paris") + pd.to_timedelta(np.arange(len(d)) * 97, unit="min")
        return d.assign(at=pd.Series(ticks).mask(d["x"] > 1), day=pd.Series(ticks).dt.date)

    return three(at, rows=FEW)


@odd
def moments_in_two_zones() -> Odd:
    start = pd.Timestamp("2024-03-30", tz="Europe/Paris")
    given = three(lambda d, i: d.assign(at=start + pd.to_timedelta(np.arange(len(d)) * 97, unit="min")))
    return Odd(given.train, given.holdout, given.synthetic.assign(at=given.synthetic["at"].dt.tz_convert("Asia/Tokyo")))


@odd
def nothing_but_text() -> Odd:
    def written(d: pd.DataFrame, i: int) -> pd.DataFrame:
        return pd.DataFrame({"c": d["c"], "s": d["s"], "y": d["y"], "t": d["c"] + " and " + d["s"]})

    return three(written, rows=FEW)


@odd
def free_text_and_a_group() -> Odd:
    said = ["the weather was {}", "nobody came {} times", "it is {} and it was late", "see the note of {}"]
    return three(
        lambda d, i: pd.DataFrame({"t": [said[j % 4].format(f"{i}-{j}") for j in range(len(d))], "s": d["s"], "y": d["y"]}),
        rows=FEW,
    )


@odd
def none_and_nan_in_one_column() -> Odd:
    mixed = {0: None, 1: np.nan, 2: pd.NA}
    return three(
        lambda d, i: d.assign(c=pd.Series([mixed.get(j % 5, v) for j, v in enumerate(d["c"])], dtype="object")), rows=FEW
    )


@odd
def booleans_with_nulls() -> Odd:
    def flags(d: pd.DataFrame, i: int) -> pd.DataFrame:
        loose = pd.Series([None if v > 1 else bool(v > 0) for v in d["x"]], dtype="object")
        return d.assign(b=pd.array(d["x"] > 0, dtype="boolean"), n=loose, y=d["y"] == "yes")

    return three(flags, rows=FEW)


@odd
def a_single_number() -> Odd:
    return three(lambda d, i: d[["x"]], target=None, sensitive=())


@odd
def a_single_category() -> Odd:
    return three(lambda d, i: d[["c"]], target=None, sensitive=())


@odd
def a_single_column_that_is_target_and_all() -> Odd:
    return three(lambda d, i: d[["y"]], sensitive=(), rows=FEW)


@odd
def a_target_and_a_group_alone() -> Odd:
    return three(lambda d, i: d[["y", "s"]], rows=FEW)


@odd
def empty_strings_as_categories() -> Odd:
    return three(
        lambda d, i: d.assign(c=d["c"].replace("red", ""), s=d["s"].replace("f", ""), y=d["y"].replace("no", "")), rows=FEW
    )


@odd
def names_that_are_odd() -> Odd:
    names = {"x": "a, b", "k": "[k]", "c": "x=1", "s": "größe\n", "y": "fidelity.shape"}
    return three(lambda d, i: d.rename(columns=names), target=names["y"], sensitive=(names["s"],), rows=FEW)


@odd
def huge_integers() -> Odd:
    big = np.int64(2**62)
    return three(lambda d, i: d.assign(k=big + d["k"].to_numpy(), u=np.uint64(2**63) + d["k"].to_numpy().astype(np.uint64)))


@odd
def numbers_of_all_sizes() -> Odd:
    return three(lambda d, i: d.assign(x=np.where(d["x"] > 0, 1e150, 1e-300) * d["x"], k=d["x"] * 1e-12))


@odd
def a_number_as_target_and_as_group() -> Odd:
    return three(lambda d, i: d, target="x", sensitive=("k",))


@odd
def more_columns_than_rows() -> Odd:
    return three(lambda d, i: d.assign(**{f"z{j}": d["x"] for j in range(40)}), rows=30)


# what every metric must do about them --------------------------------------------------------------------------------


@dataclass
class Found:
    """What one table gave, and what it cost."""

    measured: Measurements
    cpu: float
    warned: list[str] = field(default_factory=list)


def measure(given: Odd, only: tuple[str, ...] | None = None, holdout: bool = True) -> Found:
    held = given.holdout if holdout else None
    with warnings.catch_warnings(record=True) as caught:  # named below with all else that is wrong, rather than one at a time
        warnings.simplefilter("always")
        began = time.process_time()
        found = evaluate(given.train, held, given.synthetic, target=given.target, sensitive=given.sensitive, only=only)
        return Found(found, time.process_time() - began, [f"{w.category.__name__}: {w.message}" for w in caught])


@cache
def default(table: str) -> Found:
    return measure(ODD[table]())


def faults(measured: Iterable[Measurement]) -> list[str]:
    """Everything that is wrong with figures, in words."""
    said = []
    labels: set[str] = set()
    for m in measured:
        if m.label in labels:
            said.append(f"{m.label}: given twice")
        labels.add(m.label)
        if m.status == "error" and not m.reason.startswith(DELIBERATE):
            said.append(f"{m.label}: {m.reason}")
        if m.score is None and not m.reason:
            said.append(f"{m.label}: neither a number nor a reason")
        for what, interval in (("figure", m.score), ("reference", m.reference)):
            if interval is None:
                continue
            low, high = m.bounds
            if not all(math.isfinite(v) for v in (interval.value, interval.low, interval.high)):
                said.append(f"{m.label}: its {what} is not finite: {interval}")
            elif not low <= interval.low <= interval.value <= interval.high <= high:
                said.append(f"{m.label}: its {what} {interval} is out of order or outside {m.bounds}")
    return said


def must_be_sound(table: str, found: Found, seconds: float) -> None:
    said = [*faults(found.measured), *dict.fromkeys(found.warned)]
    assert not said, f"{len(said)} faults on the table {table!r}:\n  " + "\n  ".join(said)
    json.dumps(found.measured.to_dict(), allow_nan=False)
    dearest = sorted(found.measured, key=lambda m: -m.seconds)[:3]
    told = ", ".join(f"{m.label} {m.seconds:.1f} s" for m in dearest)
    assert found.cpu < seconds, f"{table!r} took {found.cpu:.1f} s of CPU, {seconds:g} are allowed; dearest: {told}"


SLOW = ("five_hundred_columns",)
MARKED = [pytest.param(table, marks=pytest.mark.slow if table in SLOW else ()) for table in ODD]


@pytest.mark.parametrize("table", MARKED)
def test_every_metric_gives_a_number_or_a_reason(table: str) -> None:
    given, found = ODD[table](), default(table)
    must_be_sound(table, found, given.seconds)
    assert {m.name for m in found.measured} == {m.name for m in chosen(None)}, "each metric is heard of"


@pytest.mark.parametrize("table", ["nan", "three_rows", "constant_columns", "a_single_number", "new_categories"])
def test_every_metric_gives_a_number_or_a_reason_without_a_holdout(table: str) -> None:
    must_be_sound(table, measure(ODD[table](), holdout=False), SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("table", ODD)
def test_what_is_computed_on_request_gives_a_number_or_a_reason(table: str) -> None:
    names = tuple(m.name for m in metrics() if m.on_request)
    if not names:
        pytest.skip("nothing is computed on request only")
    must_be_sound(table, measure(ODD[table](), names), 600.0)


def test_the_faults_that_are_looked_for_are_found() -> None:
    """A check that cannot fail is none: each fault, planted."""
    half, beyond = Interval(0.5, 0.4, 0.6, 9), Interval(1.5, 1.4, 1.6, 9)
    sound = Measurement("fidelity.mine", "lower", half, half)
    assert faults([sound, Measurement("fidelity.other", "lower", status="skipped", reason="too few rows")]) == []
    assert faults([Measurement("utility.tstr", "higher", status="error", reason=f"{DELIBERATE}: a single class")]) == []
    planted = {
        "given twice": [sound, sound],
        "ZeroDivisionError": [Measurement("fidelity.mine", "lower", status="error", reason="ZeroDivisionError: no")],
        "out of order or outside": [Measurement("fidelity.mine", "lower", beyond, half)],
        "its reference": [Measurement("fidelity.mine", "lower", half, beyond)],
    }
    for words, found in planted.items():
        assert len(faults(found)) == 1
        assert words in faults(found)[0]
    with pytest.raises(AssertionError, match=r"1 faults on the table 'nan':\s+RuntimeWarning: loud"):
        must_be_sound("nan", Found(Measurements((sound,), {}), 0.1, ["RuntimeWarning: loud"]), SECONDS)
    with pytest.raises(AssertionError, match=r"took 30\.0 s of CPU, 20 are allowed; dearest: fidelity\.mine"):
        must_be_sound("nan", Found(Measurements((sound,), {}), 30.0), SECONDS)


@pytest.mark.parametrize(("value", "words"), [(np.nan, "null in every row"), (np.inf, "numbers must be finite")])
def test_a_training_column_that_nothing_can_be_learned_from_is_refused_in_words(value: float, words: str) -> None:
    real = people(50, 0)
    with pytest.raises(DataError, match=words):
        evaluate(real.assign(x=value), None, real, target="y", sensitive="s")


@pytest.mark.parametrize("missing", ["x", "c", "y"])
def test_a_missing_column_is_refused_in_words(missing: str) -> None:
    real = people(50, 0)
    with pytest.raises(DataError, match=f"{missing!r} of the training table is missing"):
        evaluate(real, None, real.drop(columns=missing), target="y", sensitive="s")
    with pytest.raises(DataError, match=f"the holdout table cannot be compared: column {missing!r}"):
        evaluate(real, real.drop(columns=missing), real, target="y", sensitive="s")


# what must be seen ---------------------------------------------------------------------------------------------------


def related(rows: int, seed: int) -> pd.DataFrame:
    """Columns that all hang together: what is lost when each is drawn by itself."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    x = {f"x{j}": (z + rng.normal(size=rows) / 4).round(3) for j in range(4)}
    c = {f"c{j}": np.array(["low", "mid", "high"])[np.digitize(z + rng.normal(size=rows) / 4, [-0.5, 0.5])] for j in range(3)}
    return pd.DataFrame({**x, **c, "y": np.where(z + rng.normal(size=rows) / 2 > 0, "yes", "no")})


def judged(synthetic: pd.DataFrame, *only: str) -> tuple[Measurements, dict[str, str]]:
    """The figures, and what the policy `research` says of each."""
    found = evaluate(related(1_500, 0), related(1_500, 1), synthetic, target="y", only=only or None)
    return found, {finding.check: finding.outcome for finding in Policy.load("research").assess(found).findings}


def test_fresh_rows_pass_what_the_odd_ones_fail() -> None:
    only = ("fidelity.shape", "fidelity.trend", "fidelity.worst_column", "fidelity.detection")
    _, outcomes = judged(related(1_500, 2), *only)
    assert {outcomes[name] for name in only} == {"pass"}


def test_a_factorised_table_is_told_from_the_real_one() -> None:
    rng = np.random.default_rng(0)
    loose = pd.DataFrame({name: rng.permutation(values) for name, values in related(1_500, 2).items()})
    found, _ = judged(loose, "fidelity.detection")
    assert found["fidelity.detection"].score is not None
    assert found["fidelity.detection"].score.value >= 0.9


@pytest.mark.parametrize("column", ["x0", "x3"])
def test_a_column_times_a_thousand_fails_shape_and_pairs(column: str) -> None:
    fake = related(1_500, 2)
    _, outcomes = judged(fake.assign(**{column: fake[column] * 1_000}))
    assert outcomes["fidelity.shape"] == "fail"
    assert outcomes["fidelity.worst_column"] == "fail"
    assert outcomes["fidelity.trend"] == "fail"


@pytest.mark.parametrize(("column", "value"), [("x0", 0.0), ("c0", "mid")])
def test_a_constant_column_fails(column: str, value: object) -> None:
    _, outcomes = judged(related(1_500, 2).assign(**{column: value}))
    assert outcomes["fidelity.worst_column"] == "fail"
    assert outcomes["fidelity.trend"] == "fail"
