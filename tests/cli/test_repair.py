"""A repair deals rows out as it says, leaves through the gate like any sample, and is judged by models on real rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synth
from synth.data.schema import Column, Kind, Role, Schema
from synth.data.table import Table
from synth.errors import ConfigError, DataError, GenerationError, InputError, SchemaError
from synth.metrics.group_effects import Effect, effects
from synth.metrics.measurement import Interval
from synth.progress import silent
from synth.repairing import plan
from synth.replay import replay
from synth.report.repair_words import verdict_on

Cli = Callable[..., Any]
SCHEMA = Schema(
    (
        Column("id", Kind.IDENTIFIER, Role.KEY, provider="sequence"),
        Column("sex", Kind.CATEGORICAL, Role.SENSITIVE, categories=("f", "m", "x")),
        Column("age", Kind.INTEGER, Role.SENSITIVE, nullable=True),
        Column("x", Kind.DECIMAL),
        Column("y", Kind.BOOLEAN, Role.TARGET, nullable=True),
    )
)


def population(rows: int, seed: int) -> Table:
    """`y` follows `x` and is rarer among women; there are a few of a third sex."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m", "x"], rows, p=[0.25, 0.745, 0.005])
    x = rng.normal(size=rows)
    y = rng.random(rows) < 1 / (1 + np.exp(-2 * x + 1.2 * (sex == "f")))
    columns = {
        "id": np.arange(rows),
        "sex": sex,
        "age": pa.array(rng.integers(18, 80, rows), mask=rng.random(rows) < 0.05),
        "x": x,
        "y": pa.array(y, mask=rng.random(rows) < 0.02),
    }
    return Table(pa.table(columns), SCHEMA)


def values(table: Table, name: str) -> np.ndarray:
    return np.array(table.column(name).to_pylist())


# how rows are dealt out ------------------------------------------------------------------------------------------------


@given(st.integers(1, 3_000), st.floats(0, 1), st.sampled_from(["counts", "labels"]))
@settings(max_examples=40, deadline=None)
def test_the_parts_add_up_and_lie_between_nature_and_parity(n: int, strength: float, toward: str) -> None:
    found = plan(PEOPLE, toward, by=["sex"], n=n, strength=strength)
    assert sum(cell.rows for cell in found.cells) == n
    assert found.left == ({"sex": "x"},)
    for cell in found.cells:
        if cell.group == {"sex": "x"} or strength == 0:
            assert abs(cell.rows - cell.seen * n / len(PEOPLE)) < 1 + n * 0.001
        elif toward == "counts" and strength == 1:
            assert abs(cell.rows - n * (1 - few()) / 2) < 1 + n * 0.001
    if toward == "labels" and strength == 1 and n > 1_000:
        rates = {}
        for sex in "fm":
            rows = {cell.outcome: cell.rows for cell in found.cells if cell.group == {"sex": sex}}
            rates[sex] = rows["True"] / (rows["True"] + rows["not True"])
        assert abs(rates["f"] - rates["m"]) < 0.01


PEOPLE = population(2_000, 0)


def test_an_outcome_that_few_rows_of_a_group_have_is_not_multiplied() -> None:
    women = values(PEOPLE, "sex") == "f"
    lucky = np.flatnonzero(women & np.array([value is True for value in PEOPLE.column("y").to_pylist()]))
    scarce = PEOPLE.take(np.setdiff1d(np.arange(len(PEOPLE)), lucky[29:]))
    found = plan(scarce, "labels", by=["sex"])
    assert {"sex": "f"} in found.left
    kept = next(cell for cell in found.cells if cell.group == {"sex": "f"} and cell.outcome == "True")
    assert (kept.seen, kept.rows) == (29, 29)


def few() -> float:
    return float((values(PEOPLE, "sex") == "x").mean())


def test_every_row_is_of_the_group_that_it_was_asked_for_and_no_key_repeats() -> None:
    model = synth.Trees(trees_per_column=1).fit(PEOPLE, seed=0)
    found = plan(PEOPLE, "counts", n=1_500)  # sex × quarters of age, and the unknown ages
    rows = model.sample_parts(found.parts, seed=3)
    start = 0
    for cell in found.cells:
        assert len(rows.take(np.arange(start, start + cell.rows)).where(cell.where)) == cell.rows
        start += cell.rows
    assert start == len(rows) == 1_500
    assert len(set(rows.column("id").to_pylist())) == 1_500
    assert rows.provenance is not None
    assert [count for count, _ in rows.provenance.parts] == [count for count, _ in found.parts]
    assert rows.equals(model.sample_parts(found.parts, seed=3))
    sizes = Counter(tuple(cell.group.values()) for cell in found.cells for _ in range(cell.rows) if cell.seen >= 30)
    assert max(sizes.values()) - min(sizes.values()) <= 1
    with pytest.raises(ConfigError, match="no part is given"):
        model.sample_parts([])


def test_a_group_that_the_model_cannot_make_is_named() -> None:
    model = synth.Trees(trees_per_column=1).fit(PEOPLE.where("sex != 'x'"), seed=0)
    with pytest.raises(GenerationError, match="sex = 'x'"):
        model.sample_parts([(10, "sex = 'f'"), (10, "sex = 'x'")])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"toward": "count"}, ConfigError, "did you mean 'counts'"),
        ({"strength": 1.5}, ConfigError, "a strength of 1.5 is none"),
        ({"n": 0}, ConfigError, "n is 0"),
        ({"by": ["x"]}, SchemaError, "'x' is no sensitive column"),
        ({"by": []}, InputError, "0 columns"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        plan(PEOPLE, **options)


# whether it helps ------------------------------------------------------------------------------------------------------


def test_a_change_that_helps_is_seen_with_its_sign_and_one_that_is_none_is_not() -> None:
    train, holdout = population(1_500, 1), population(2_000, 2)
    good = [population(1_500, seed) for seed in (3, 4)]
    bad = []
    for table in good:
        y, women = values(table, "y"), values(table, "sex") == "f"
        y[women] = [None if value is None else not value for value in y[women]]
        place = table.columns.index("y")
        bad.append(replace(table, arrow=table.arrow.set_column(place, "y", pa.array(y.tolist()))))
    whole, groups = effects(train, holdout, bad, good, seed=0, progress=silent)
    told = {(e.what, e.of): e for e in whole}
    for key in (("accuracy", "all rows"), ("difference of accuracies", "sex"), ("equalized odds difference", "sex")):
        assert told[key].says == "better", key
    women = {e.what: e for e in groups if e.of == "sex f"}
    assert women["accuracy"].says == "better"
    assert women["true positive rate"].change.value > 0.1
    assert women["accuracy"].change.value == pytest.approx(women["accuracy"].after - women["accuracy"].before)
    assert {e.says for e in groups if e.of == "sex m" and e.what == "accuracy"} == {"no change shown"}
    same, _ = effects(train, holdout, good, [population(1_500, seed) for seed in (5, 6)], seed=0, progress=silent)
    assert {e.says for e in same} == {"no change shown"}


def effect(what: str, of: str, says: Any) -> Effect:
    return Effect(what, of, 0.2, 0.2, 0.1, Interval(-0.1, -0.15, -0.05, 100), says)


def test_it_says_when_it_does_not_help_and_what_it_costs() -> None:
    none = verdict_on(
        [effect("AUC", "all rows", "no change shown"), effect("equalized odds difference", "sex", "no change shown")]
    )
    assert not none.helps
    assert none.answer.startswith("No benefit found")
    costly = verdict_on([effect("accuracy", "all rows", "worse"), effect("demographic parity difference", "sex", "better")])
    assert not costly.helps
    assert "more alike" in costly.answer
    assert "it costs accuracy from 0.200 to 0.100" in costly.answer
    moved = verdict_on(
        [effect("demographic parity difference", "sex", "better"), effect("equalized odds difference", "sex", "worse")]
    )
    assert not moved.helps
    assert "moves the difference" in moved.answer
    assert verdict_on([effect("demographic parity difference", "sex", "better")]).helps


# the way out -----------------------------------------------------------------------------------------------------------


RULES = """
name: sound
version: 1.0.0
title: sound rows
description: for this test
checks:
  - {measure: validity.schema, limit: 0, why: "nothing else was checked"}
  - {measure: privacy.exact_copies, excess: 0.1, end: favourable, why: "copies are not synthetic"}
"""


def test_repaired_rows_are_a_sample_like_any_other(cli: Cli, people: Path, tmp_path: Path) -> None:
    head, *lines = people.read_text().splitlines()
    for name, part in (("train", lines[:400]), ("holdout", lines[400:])):
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *part]) + "\n")
    model, out = tmp_path / "model", tmp_path / "out"
    synth.Trees(trees_per_column=1).fit(synth.read(tmp_path / "train.csv", target="rich"), seed=0).save(model)
    given = ("--real", tmp_path / "train.csv", "--target", "rich", "--sensitive", "sex", "--toward", "labels", "--draws", 2)
    ended = cli("repair", model, *given, "--holdout", tmp_path / "holdout.csv", "--out", out, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["toward"] == "labels"
    assert told["meaning"].startswith("Parity of labels makes the outcome equally frequent")
    rows = synth.read(out / "synthetic.parquet")
    rates = {sex: float((values(rows, "rich")[values(rows, "sex") == sex] == "yes").mean()) for sex in "fm"}
    assert abs(rates["f"] - rates["m"]) < 0.01
    assert rows.mark == "quarantined"
    page = (out / "report.html").read_text()
    assert told["answer"].split(":")[0].split(";")[0] in page
    assert "<script" not in page
    (tmp_path / "sound.yaml").write_text(RULES)
    assert cli("gate", out, "--policy", tmp_path / "sound.yaml").code == 0
    assert cli("export", out, "--to", tmp_path / "export").code == 0
    again = replay(tmp_path / "export", rows=[0, len(rows) - 1], model=model)
    assert [entry.sample.where for entry in again.entries if entry.sample] == [
        "sex = 'f' and rich = 'yes'",
        "sex = 'm' and rich = 'no'",
    ]
    assert "sex = 'f' and rich = 'yes'" in (tmp_path / "export" / "README.md").read_text()
    gone = cli("repair", model, *given, "--holdout", tmp_path / "gone.csv", "--out", tmp_path / "no")
    assert (gone.code, (tmp_path / "no").exists()) == (2, False)


def test_a_repair_needs_held_out_rows_and_the_model_that_saw_these() -> None:
    model = synth.Trees(trees_per_column=1).fit(PEOPLE.select(["sex", "x", "y"]), seed=0)
    with pytest.raises(InputError, match="judged by models on real rows that the generator never saw"):
        synth.repair(model, PEOPLE, None)
    with pytest.raises(DataError, match="the model trees was not fitted on the columns"):
        synth.repair(model, PEOPLE, PEOPLE)
    with pytest.raises(ConfigError, match="draws is 1"):
        synth.repair(model, PEOPLE, PEOPLE, draws=1)
