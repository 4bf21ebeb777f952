"""What somebody who knows pandas and scikit-learn sees first: how things print, and what a mistake says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import synth
from synth.approving import approve, export
from synth.errors import ConfigError, DataError, InputError, NotApprovedError, NotFittedError, SchemaError
from synth.metrics.evaluation import evaluate


def frame(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, rows)
    rich = np.where(age + rng.normal(0, 9, rows) > 60, "y", "n")
    return pd.DataFrame({"age": age, "sex": rng.choice(["f", "m"], rows), "rich": rich})


@pytest.fixture(scope="module")
def measured() -> synth.Measurements:
    train, holdout = synth.read(frame(), target="rich", sensitive="sex").split(0.5, seed=0)
    fake = synth.Independent().fit(train, seed=0).sample(150, seed=1)
    return evaluate(train, holdout, fake, seed=0, only=["validity", "fidelity.shape", "fairness.group_share"])


# how things print -----------------------------------------------------------------------------------------------------


def test_measurements_print_a_line_for_each_figure(measured: synth.Measurements) -> None:
    first, *lines = str(measured).splitlines()
    assert first == f"Measurements({len(measured)} figures on 200 train, 200 holdout, 150 synthetic rows)"
    assert len(lines) == len(measured)
    shape = measured["fidelity.shape"]
    assert shape.score is not None
    line = next(line for line in lines if "fidelity.shape" in line)
    assert f"{shape.score.value:.4f} [{shape.score.low:.4f}, {shape.score.high:.4f}]  real rows " in line
    assert any("validity.keys" in line and "absent: no column is a key" in line for line in lines)
    assert str(shape) == f"Measurement(fidelity.shape: {shape.score}, n = {shape.score.n:,}; real rows {shape.reference})"


def test_measurements_as_a_frame_hold_every_figure(measured: synth.Measurements) -> None:
    flat = measured.to_pandas()
    assert list(flat["label"]) == [m.label for m in measured]
    for m, (_, row) in zip(measured, flat.iterrows(), strict=True):
        assert (row["status"], np.isnan(row["value"])) == (m.status, m.score is None)
        if m.score is not None:
            assert (row["value"], row["low"], row["high"], row["n"]) == (m.score.value, m.score.low, m.score.high, m.score.n)


def test_a_verdict_prints_its_decision_and_what_stands_in_the_way(measured: synth.Measurements) -> None:
    verdict = synth.Policy.load("research").judge(measured)
    first, *lines = str(verdict).splitlines()
    assert first.startswith(f"Verdict({verdict.decision} under research {verdict.policy_version}: ")
    assert sum(int(count) for count in re.findall(r"(\d+) [a-z]+[,)]", first)) == len(verdict.findings)
    assert len(lines) == len(verdict.blocking) > 0
    assert all(finding.check in line for finding, line in zip(verdict.blocking, lines, strict=True))
    assert "requires.min_train: missing, block; " in repr(verdict.findings[0])


def test_a_policy_and_a_schema_print_on_few_lines() -> None:
    policy = synth.Policy.load("privacy-release")
    blocking = sum(check.severity == "block" for check in policy.checks)
    assert str(policy).startswith(
        f"Policy(privacy-release {policy.version}: {len(policy.checks)} rules, {blocking} can block; "
    )
    table = synth.read(frame(), target="rich")
    assert (
        repr(table.schema.column("rich"))
        == "Column('rich', categorical, role='target', categories=['n', 'y'], declared=['role'])"
    )
    assert len(repr(table.schema).splitlines()) == 2 + len(table.columns)
    many = synth.Column("c", synth.data.schema.Kind.CATEGORICAL, categories=tuple(f"v{i}" for i in range(5_000)))
    assert repr(many) == "Column('c', categorical, categories=['v0', 'v1', 'v2', 'v3', 'v4', 'v5', … 5,000 in all])"


def test_an_approval_prints_whatever_its_bytes_are() -> None:
    assert repr(synth.Approval(b"junk")) == "Approval(4 bytes that are not an approval of synth's)"


# what a mistake says ----------------------------------------------------------------------------------------------------


def test_fit_and_evaluate_take_the_path_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    frame().to_parquet(file)
    rows = synth.Independent().fit(file, target="rich").sample(100)
    assert len(rows) == 100
    assert evaluate(str(file), None, rows, only="validity.schema")["validity.schema"].status == "ok"


def test_one_sensitive_column_may_be_given_as_text() -> None:
    table = synth.read(frame())
    assert [column.name for column in table.with_roles(sensitive="sex").schema.sensitive] == ["sex"]
    assert synth.Independent().fit(table, sensitive="sex").fitted.schema.column("sex").role == "sensitive"


def fitted() -> synth.Independent:
    return synth.Independent().fit(frame())


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "sample before fit": (lambda: synth.Trees().sample(3), NotFittedError, r"not fitted; call fit\(table\) first"),
    "a target that is not there": (lambda: synth.Trees().fit(frame(), target="rihc"), SchemaError, "did you mean 'rich'"),
    "a file that is not there": (lambda: synth.Trees().fit("rows.parquet"), DataError, "rows.parquet is not there"),
    "an address": (lambda: synth.read("https://example.org/rows.csv"), DataError, "download it first"),
    "nothing": (lambda: synth.read(None), DataError, "type NoneType is not a table"),
    "a model in place of rows": (lambda: evaluate(frame(), None, fitted()), DataError, "type synth.Independent is not a table"),
    "no such metric": (lambda: evaluate(frame(), None, frame(), only="fidelity.shap"), InputError, "'fidelity.shape'"),
    "a seed of text": (lambda: fitted().sample(3, seed="a"), ConfigError, "seed is 'a'; give a whole number"),
    "no seed": (lambda: fitted().sample(3, seed=None), ConfigError, "seed is None"),
    "a negative seed": (lambda: synth.Independent().fit(frame(), seed=-1), ConfigError, "seed is -1"),
    "a seed to split by": (lambda: synth.read(frame()).split(seed=0.5), ConfigError, "seed is 0.5"),
    "a seed to evaluate with": (lambda: evaluate(frame(), None, frame(), seed="0"), ConfigError, "seed is '0'"),
    "rows, not figures": (lambda: synth.Policy.load("research").judge(frame()), InputError, "DataFrame cannot be judged"),
    "figures in place of a verdict": (lambda: approve(frame()), InputError, "a DataFrame cannot be approved"),
    "no approval": (lambda: export(frame(), None, "nowhere"), NotApprovedError, "this is none: sign a verdict"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_words_and_leaves_nothing(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, kind, words = MISTAKES[mistake]
    with pytest.raises(kind, match=words) as raised:
        make()
    assert len(str(raised.value).splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_is_not_there_is_named_with_the_nearest_one(measured: synth.Measurements) -> None:
    with pytest.raises(KeyError, match=r"did you mean 'fidelity\.shape'"):
        _ = measured["fidelity.shap"]
