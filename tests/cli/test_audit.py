"""An audit finds what was done to a group, names it, and passes fresh real rows; its figures are fairlearn's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fairlearn.metrics as fl
import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics as sk

import synth
from synth.audit import Audit, audit
from synth.data.table import Table
from synth.errors import DataError, InputError
from synth.metrics.evidence import Evidence
from synth.metrics.group_models import models
from synth.report.fairness_words import UNSEEN

Three = tuple[Table, Table, Table]
RATES = {
    "fairness.selection_rate_gap": fl.selection_rate,
    "fairness.tpr_gap": fl.true_positive_rate,
    "fairness.fpr_gap": fl.false_positive_rate,
    "fairness.ppv_gap": sk.precision_score,
    "fairness.accuracy_gap": sk.accuracy_score,
}


def values(table: Table, name: str) -> np.ndarray:
    return np.array(table.column(name).to_pylist())


def changed(table: Table, name: str, new: np.ndarray) -> Table:
    place = table.columns.index(name)
    kind = table.arrow.schema.field(name).type
    return replace(table, arrow=table.arrow.set_column(place, name, pa.array(new.tolist()).cast(kind)))


@pytest.fixture(scope="module")
def arrests() -> Three:
    """Training, holdout and synthetic rows."""
    table = synth.read("bundled:arrests", target="released", sensitive=["sex", "colour"])
    train, holdout = table.split(0.4, seed=0)
    model = synth.Trees(trees_per_column=1).fit(train, seed=0)
    return train, holdout, model.sample(len(train), seed=1)


@pytest.fixture(scope="module")
def sound(arrests: Three, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """An audit of rows that nothing was done to."""
    return audit(*arrests, out=tmp_path_factory.mktemp("audits") / "sound")


# what is found ---------------------------------------------------------------------------------------------------------


def test_rows_that_keep_every_group_pass_and_the_folder_takes_the_usual_way_out(sound: Audit, tmp_path: Path) -> None:
    assert sound.decision == "approved", sound.answer
    assert "none vanished, shrank or swelled" in sound.answer
    assert sound.path is not None
    names = {file.name for file in sound.path.iterdir()}
    assert {"measurements.json", "verdict.json", "report.html", "synthetic.parquet", "approval.json"} <= names
    assert "a model trained on them is fair to people" in str(sound)
    frame = sound.to_pandas()
    told = frame[(frame.group == "colour Black") & (frame.figure == "fairness.group_share")].iloc[0]
    assert 0.2 < told.synthetic < 0.3


def test_an_erased_crossing_is_named_though_each_of_its_groups_is_there(arrests: Three) -> None:
    train, holdout, fake = arrests
    gone = (values(fake, "sex") == "Female") & (values(fake, "colour") == "Black")
    found = audit(train, holdout, fake.filter(~gone))
    assert found.decision == "rejected"
    assert found.found.answer[0].startswith("Erased: 1 of 8 groups: Black × Female (0 rows where about")
    assert [(lost.group, lost.how) for lost in found.found.lost] == [("colour Black, sex Female", "erased")]
    assert "colour Black, sex Female" in found.to_html()


def test_an_amplified_label_gap_is_named(arrests: Three, tmp_path: Path, cli: Callable[..., object]) -> None:
    train, holdout, fake = arrests
    label, black = values(fake, "released"), values(fake, "colour") == "Black"
    label[black & (label == "Yes") & (np.random.default_rng(0).random(len(label)) < 0.4)] = "No"
    for name, table in (("train", train), ("holdout", holdout), ("fake", changed(fake, "released", label))):
        with (tmp_path / f"{name}.csv").open("wb") as file:
            synth.data.sources.write_csv(table, file)
    ended = cli(
        "audit", "--real", tmp_path / "train.csv", "--holdout", tmp_path / "holdout.csv", "--synthetic", tmp_path / "fake.csv",
        "--target", "released", "--sensitive", "sex,colour", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    told = json.loads(ended.out)
    assert (ended.code, told["decision"]) == (1, "rejected")
    assert re.search(
        r"gap in released Yes between White and Black grew from 1\d\.\d points .* to [34]\d\.\d", told["answer"][0]
    )
    gap = next(gap for gap in told["gaps"] if gap["column"] == "colour")
    assert gap["finding"] == "fail"
    assert gap["change"]["low"] > 0.08
    assert next(gap for gap in told["gaps"] if gap["column"] == "sex")["finding"] != "fail"
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["decision"] == "rejected"


def test_a_group_whose_values_are_given_away_is_named_with_what_is_learned_of_it(arrests: Three) -> None:
    train, holdout, fake = arrests
    copied = train.filter(values(train, "colour") == "Black")
    found = audit(train, holdout, Table.concat([fake.filter(values(fake, "colour") == "White"), copied]))
    name = "fairness.group_attribute_inference"
    cells = {row.group: row.cells[name] for row in found.found.groups if name in row.cells}
    black, white = cells["colour Black"], cells["colour White"]
    assert (black.finding, black.about) == ("fail", "sex")
    assert black.apart.low > 0.2
    assert black.real == 0.0
    assert white.apart.low < 0.0
    assert white.finding != "fail"
    rules = {f.check: f.outcome for f in found.verdict.findings}
    assert rules[f"{name}[sex of colour=Black]"] == "fail"
    page = found.to_html()
    assert "Attribute inference risk" in page
    assert f"{name}[sex of colour=Black]" in page


def test_without_held_out_rows_it_says_what_cannot_be_measured(arrests: Three) -> None:
    train, _, fake = arrests
    black = (
        np.where(values(train, "colour") == "Black", "<b>Black", "White"),
        np.where(values(fake, "colour") == "Black", "<b>Black", "White"),
    )
    odd = [
        synth.read(t.to_pandas().assign(colour=c), target="released", sensitive=["colour"])
        for t, c in zip((train, fake), black)
    ]
    found = audit(odd[0], None, odd[1])
    assert found.decision == "inconclusive"
    assert found.found.answer[-1] == UNSEEN
    missing = {name for line in found.found.unmeasured for name in line.what}
    assert {"fairness.tpr_gap", "fairness.label_amplification", "fairness.group_membership"} <= missing
    assert any(name.startswith("fairness.group_attribute_inference") for name in missing)
    page = found.to_html()
    assert UNSEEN in page.replace("&#39;", "'")
    assert "<b>Black" not in page
    assert "&lt;b&gt;Black" in page
    erased = audit(odd[0], None, odd[1].filter(values(odd[1], "colour") == "White"))
    assert erased.decision == "rejected"  # what needs no holdout still counts
    assert erased.found.answer[-1] == UNSEEN


# the figures -----------------------------------------------------------------------------------------------------------


def _agrees(found: Audit, three: Three, column: str, outcome: str) -> None:
    """Each figure that both compute is fairlearn's, to the last digits."""
    train, holdout, fake = three
    at = models(Evidence(train, holdout, fake, 0))
    who = values(holdout, column)[at.play.test]
    target = train.schema.target
    assert target is not None
    for told in ("synthetic", "real"):
        said = (at.synthetic if told == "synthetic" else at.real).selected
        theirs = fl.MetricFrame(metrics=RATES, y_true=at.truth, y_pred=said, sensitive_features=who).by_group
        compared = 0
        for group in theirs.index:
            for name in RATES:
                m = next((m for m in found.measurements.named(name) if m.group == {column: group}), None)
                if m is not None and m.score is not None:
                    assert m.detail[told] == pytest.approx(theirs.loc[group, name], abs=1e-12)
                    compared += 1
        assert compared >= 2 * len(RATES) - 1
        for name, theirs_of in (
            ("fairness.demographic_parity", fl.demographic_parity_difference),
            ("fairness.equalized_odds", fl.equalized_odds_difference),
        ):
            ours = found.measurements[f"{name}[{column}]"].detail[told]["difference"]
            kept = np.isin(who, [row.group.split(" ", 1)[1] for row in found.found.groups if row.columns == (column,)])
            assert ours == pytest.approx(theirs_of(at.truth[kept], said[kept], sensitive_features=who[kept]), abs=1e-12)
    gap = next(gap for gap in found.found.gaps if gap.column == column)
    for table, side in ((fake, "synthetic"), (holdout, "holdout")):
        label = values(table, target.name) == outcome
        rates = fl.MetricFrame(metrics=fl.selection_rate, y_true=label, y_pred=label, sensitive_features=values(table, column))
        for group, told_rates in gap.rates.items():
            assert told_rates[side] == pytest.approx(rates.by_group[group], abs=1e-12)


def test_figures_are_fairlearns_on_the_bundled_table(sound: Audit, arrests: Three) -> None:
    _agrees(sound, arrests, "colour", "Yes")


def test_fresh_rows_of_adult_pass_and_figures_are_fairlearns(shared_data: Callable[[str], Path]) -> None:
    adult = synth.read(shared_data("adult.parquet"), target="income", sensitive=["sex", "race"])
    order = np.random.default_rng(0).permutation(len(adult))
    three = tuple(adult.take(order[i * 5_000 : (i + 1) * 5_000]) for i in range(3))
    found = audit(*three)
    assert found.decision == "approved", found.answer
    assert found.found.lost == ()
    _agrees(found, three, "sex", ">50K")  # type: ignore[arg-type]


# one real table alone --------------------------------------------------------------------------------------------------


def test_of_one_real_table_rows_are_made_audited_and_the_model_is_left(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    asked = ("bundled:arrests", "--target", "released", "--sensitive", "sex,colour", "--out", str(out))
    done = cli("audit", *asked, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["verdict"]["decision"] == "approved"
    rows = json.loads((out / "measurements.json").read_text())["context"]["rows"]
    table = synth.read("bundled:arrests")
    assert rows["train"] + rows["holdout"] == len(table)
    assert rows["synthetic"] == rows["train"]
    assert "rows that trees made of bundled:arrests" in (out / "report.html").read_text()
    assert len(synth.load(out / "model").sample(5)) == 5


def test_rows_of_a_method_that_forgets_how_columns_go_together_are_not_fair(arrests: Three) -> None:
    found = audit("bundled:arrests", target="released", sensitive="colour", generator="independent")
    assert found.decision == "rejected", found.answer
    assert "independent made of bundled:arrests" in found.title


def test_half_of_what_belongs_together_is_refused(cli: Any, tmp_path: Path) -> None:
    for given in (
        (),
        ("bundled:arrests", "--real", "real.csv"),
        ("--real", "real.csv"),
        ("--real", "real.csv", "--synthetic", "fake.csv", "--generator", "trees"),
    ):
        done = cli("audit", *given, "--target", "released", "--out", str(tmp_path / "no"))
        assert done.code == 2, given
        assert "give one real table alone (synth audit DATA)" in done.err
    with pytest.raises(InputError, match="no synthetic rows"):
        audit("bundled:arrests", synth.read("bundled:arrests"), target="released", sensitive="colour")
    assert not (tmp_path / "no").exists()


# what is refused -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_audited_is_refused_in_words(arrests: Three, tmp_path: Path) -> None:
    train, holdout, fake = arrests
    with pytest.raises(
        DataError, match="the synthetic table cannot be compared: column 'age' of the training table is missing"
    ):
        audit(train, holdout, fake.select([name for name in fake.columns if name != "age"]), out=tmp_path / "out")
    with pytest.raises(DataError, match="it has the column 'extra', which the training table does not"):
        audit(train, holdout, fake.to_pandas().assign(extra=1))
    plain = synth.read(train.to_pandas())
    with pytest.raises(InputError, match="no sensitive column is named, so there is no group"):
        audit(plain, holdout, fake, target="released")
    with pytest.raises(InputError, match="no target is named"):
        audit(plain, holdout, fake, sensitive="sex")
    with pytest.raises(InputError, match="did you mean 'colour'"):
        audit(plain, holdout, fake, target="released", sensitive=["color"])
    assert not (tmp_path / "out").exists()


# the page --------------------------------------------------------------------------------------------------------------


def test_the_page_stands_alone_and_leads_with_the_answer(sound: Audit) -> None:
    page = sound.to_html()
    assert page == sound.to_html()
    assert "<script" not in page
    assert not re.search(r"(src|href)=(?!\"#)|url\((?!#)|@import", page), "nothing but places on the page itself"
    assert "default-src 'none'" in page
    assert page.index("Approved") < page.index("none vanished") < page.index("Who is missing") < page.index("What was compared")
    assert "prefers-color-scheme:dark" in page
    assert len(page.encode()) < 200_000
