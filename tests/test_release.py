"""A release: what only people can say is demanded, the plan says why, and evidence leaves with the rows under the signature."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import synth
from synth.attempt import Attempt
from synth.balance import default_folder
from synth.climbing import descend
from synth.data.bundled import load_bundled
from synth.data.files import write_csv
from synth.errors import BudgetError, ConfigError, DataError, SchemaError
from synth.first_config import first_config
from synth.forecast import Measuring
from synth.gate.verdict import Finding
from synth.release import plan_release, release

POLICY = """
name: small-release
version: 1.0.0
title: As privacy-release, in a few seconds
description: Limits that a few thousand rows can show to be kept.
profile: public
requires: {holdout: true}
formats: [parquet, csv]
checks:
  - {measure: validity.schema, limit: 0, why: "Broken cells were never checked."}
  - {measure: fidelity.shape, excess: 0.1, why: "Columns must look like real ones."}
  - {measure: privacy.exact_copies, excess: 0.05, end: favourable, why: "Copies are not synthetic."}
  - {measure: privacy.membership_auc, limit: 0.6, why: "Members must not be told from strangers."}
"""
OPEN: dict[str, Any] = {"subject": None, "sensitive": ["sex"], "budget": None}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    write_csv(synth.read(load_bundled("arrests")), folder / "arrests.csv")
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    return folder


def command(files: Path, *given: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "synth", "release", str(files / "arrests.csv"), *given]
    return subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=files, timeout=300)


# what must be declared ---------------------------------------------------------------------------------------------------


def test_what_nobody_declared_is_demanded_by_every_flag_that_is_missing(files: Path) -> None:
    said = command(files, "--sensitive", "sex")
    assert said.returncode == 2
    assert "--subject COL|none" in said.stderr
    assert "--no-budget" in said.stderr
    assert "--sensitive A,B" not in said.stderr, "that was declared"
    assert not (files / "reports").exists()


def test_too_few_rows_for_the_policy_are_refused_with_what_to_do_instead(files: Path) -> None:
    few = synth.read(files / "arrests.csv").head(1_500)
    write_csv(few, files / "few.csv")
    with pytest.raises(DataError, match="1,500 rows are too few for privacy-release, which wants 1,000 real rows held out"):
        plan_release(files / "few.csv", **OPEN)


def test_more_rows_are_held_out_where_the_policy_asks_for_them(files: Path) -> None:
    write_csv(synth.read(files / "arrests.csv").head(2_500), files / "some.csv")
    for name in ("some.csv", "arrests.csv"):  # fewer than the 5,000 strangers that a public release wants
        assert plan_release(files / name, **OPEN).config.split.holdout == 0.5
    assert plan_release(files / "some.csv", **OPEN, policy="research").config.split.holdout == 0.4
    assert plan_release(files / "arrests.csv", **OPEN, policy="research").config.split.holdout == 0.3


@pytest.mark.parametrize("rows", [2_200, 12_000, 40_000])
@pytest.mark.parametrize("name", ["Mein Export (2).v1.csv", "bank.csv", "---.csv"])
def test_every_job_calls_a_file_the_same_and_holds_the_same_share_out(rows: int, name: str, tmp_path: Path) -> None:
    rng, file = np.random.default_rng(0), tmp_path / name
    kind = np.where(rng.random(rows) < 0.05, "rare", "usual")
    pd.DataFrame({"x": rng.normal(size=rows).round(2), "n": rng.integers(0, 90, rows), "kind": kind}).to_csv(file, index=False)
    proposed = first_config(file, job="release").config
    planned = plan_release(file, subject=None, sensitive=(), budget=None).config
    assert (proposed.name, proposed.split.holdout) == (planned.name, planned.split.holdout)
    assert default_folder(str(file)).name == f"{planned.name}-balanced"
    assert planned.name == {"M": "Mein-Export-2-.v1", "b": "bank", "-": "table"}[name[0]]
    assert 0.3 <= planned.split.holdout <= 0.5


def test_a_plan_says_what_why_and_what_it_takes(files: Path) -> None:
    plan = plan_release(files / "arrests.csv", target="released", **OPEN)
    said = str(plan)
    assert plan.config.policy == "privacy-release"
    assert plan.config.generator.prefer == "private"
    assert "the most private of 16 settings" in said
    assert re.search(r"takes about \d+ (s|min)( to \d+ (s|min))? and \d+", said)
    assert not plan.doubts


def test_a_column_that_repeats_names_is_doubted_until_it_is_declared(tmp_path: Path) -> None:
    rows = synth.read(load_bundled("arrests")).arrow.to_pandas()
    rows["patient_nbr"] = [f"P{100_000 + 7 * (i // 2)}" for i in range(len(rows))]
    rows.to_csv(tmp_path / "patients.csv", index=False)
    doubts = plan_release(tmp_path / "patients.csv", **OPEN).doubts
    assert len(doubts) == 1
    assert "'patient_nbr'" in doubts[0]
    assert "--subject" in doubts[0]
    declared = plan_release(tmp_path / "patients.csv", **OPEN | {"subject": "patient_nbr"})
    assert not declared.doubts
    assert "all rows of one patient_nbr stay on one side" in str(declared)


# under a budget ----------------------------------------------------------------------------------------------------------


def test_a_budget_without_a_declaration_is_refused_with_the_command_that_begins_one(files: Path) -> None:
    with pytest.raises(ConfigError, match=r"synth schema .* --draft"):
        plan_release(files / "arrests.csv", **OPEN | {"budget": synth.Budget(1.0, 1e-5)})


def test_under_a_budget_the_plan_buys_only_what_can_be_bought(files: Path) -> None:
    table = synth.read(files / "arrests.csv")
    columns: dict[str, Any] = {c.name: {"kind": str(c.kind), "nullable": False} for c in table.schema.columns}
    for column in table.schema.columns:
        if column.categories is not None:
            columns[column.name]["categories"] = list(column.categories)
        elif column.minimum is not None:
            columns[column.name] |= {"minimum": column.minimum, "maximum": column.maximum}
    budget = OPEN | {"budget": synth.Budget(1.0, 1e-5)}
    whole = files / "whole.json"
    whole.write_text(json.dumps({"columns": columns}))
    plan = plan_release(files / "arrests.csv", schema=whole, **budget)
    assert (plan.config.generator.name, plan.config.policy) == ("marginals", "private-release")
    assert plan.config.privacy is not None
    assert plan.config.privacy.facts_share == 0
    assert plan.seconds is None, "nobody counts the rows for a plan under a budget"

    del columns["age"]["maximum"]
    part = files / "part.json"
    part.write_text(json.dumps({"columns": columns}))
    bought = plan_release(files / "arrests.csv", schema=part, **budget)
    assert bought.config.privacy is not None
    assert bought.config.privacy.facts_share == pytest.approx(0.1)
    assert "age (maximum)" in str(bought)

    del columns["age"]["kind"]
    none = files / "none.json"
    none.write_text(json.dumps({"columns": columns}))
    with pytest.raises(SchemaError, match="'age' does not declare"):
        plan_release(files / "arrests.csv", schema=none, **budget)


def test_a_budget_that_is_spent_is_refused_before_the_file_is_opened(files: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path))
    synth.Ledger().open_account("people", synth.Budget(0.5, 1e-5), by="a test")
    nowhere = {"schema": files / "whole.json", "dataset": "people", "budget": synth.Budget(1.0, 1e-5)}
    with pytest.raises(BudgetError, match="people"):
        plan_release(tmp_path / "not-there.csv", **OPEN | nowhere)


# the run -----------------------------------------------------------------------------------------------------------------


def test_who_does_not_agree_to_the_plan_has_done_nothing(files: Path, tmp_path: Path) -> None:
    assert release(files / "arrests.csv", **OPEN, out=tmp_path / "no", agree=lambda plan: False) is None
    assert not (tmp_path / "no").exists()


def test_one_command_leaves_an_export_with_its_evidence_under_the_signature(files: Path, tmp_path: Path) -> None:
    given = (
        "--target",
        "released",
        "--subject",
        "none",
        "--sensitive",
        "sex",
        "--no-budget",
        "--policy",
        str(files / "policy.yaml"),
    )
    said = command(files, *given, "--out", str(tmp_path / "run"), "--json")
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    evidence = Path(told["evidence"])
    assert evidence == tmp_path / "run" / "export" / "evidence.html"
    page = evidence.read_text(encoding="utf-8")
    for words in (
        "EDPB Opinion 28/2024",
        "ISO/IEC 27559",
        "NIST SP 800-226",
        "No differential privacy is claimed",
        "membership_auc",
    ):
        assert words in page
    search = json.loads((tmp_path / "run" / "search.json").read_text())
    assert search["prefer"] == "private"
    assert "the most private setting" in search["why"]
    told_of = {name.split(".")[0] for attempt in search["attempts"] for name in attempt["figures"]}
    assert told_of == {"fidelity", "validity"}, "attacks have no say in which setting is most private"

    evidence.write_text(page.replace("No differential privacy is claimed", "Differential privacy is claimed"), encoding="utf-8")
    with pytest.raises(synth.errors.VerificationError, match="evidence"):
        synth.verify(tmp_path / "run" / "export")


def test_too_few_rows_to_exclude_harm_do_not_make_a_setting_useless(files: Path) -> None:
    """Else the search would go on to ever more faithful settings, which remember more."""

    def attempt(*found: tuple[str, str]) -> Attempt:
        findings = tuple(Finding(check, outcome, "block", "why", "message") for check, outcome in found)
        return Attempt({}, 0, (), findings, 0.0)

    assert attempt(("utility.gap", "inconclusive"), ("fidelity.shape", "pass")).serves
    assert not attempt(("utility.gap", "fail")).serves
    assert not attempt(("fidelity.shape", "error")).serves


def test_what_measuring_takes_grows_with_rows_columns_and_classes_and_falls_without_attacks() -> None:
    """A plan for 102,000 rows of 50 columns once said 2 minutes and 582 MiB where it took 12 minutes and 2.8 GB."""
    rng = np.random.default_rng(0)

    def table(columns: int, classes: int) -> synth.Table:
        features = {f"c{k}": rng.integers(0, 9, 600).astype(str) for k in range(columns)}
        return synth.read(pd.DataFrame(features | {"y": (np.arange(600) % classes).astype(str)}), target="y")

    usual = Measuring.of(table(20, 2), 20_000)
    assert Measuring.of(table(20, 2), 40_000).seconds > usual.seconds
    assert Measuring.of(table(40, 2), 20_000).seconds > 1.5 * usual.seconds
    assert Measuring.of(table(20, 9), 20_000).seconds > 1.5 * usual.seconds
    assert Measuring.of(table(20, 2), 20_000, attacks=False).seconds < usual.seconds
    assert Measuring.of(table(40, 2), 20_000).peak_bytes > 1.5 * usual.peak_bytes


# the search for the most private setting ---------------------------------------------------------------------------------


def descended(rungs: int, serves: Any, attempts: int = 99) -> tuple[int, bool, list[tuple[int, int]]]:
    made: list[tuple[int, int]] = []

    def tried(rung: int, look: int) -> bool:
        made.append((rung, look))
        return bool(serves(rung, look))

    return *descend(rungs, tried, lambda: len(made) < attempts), made


@pytest.mark.parametrize("rungs", [1, 2, 7, 16])
def test_the_most_private_rung_that_serves_is_found(rungs: int) -> None:
    for last in range(rungs):
        found, ended, made = descended(rungs, lambda rung, look, last=last: rung <= last)
        assert (found, ended) == (last, True)
        assert len(set(made)) == len(made)


def test_a_rung_that_served_by_luck_gives_way_and_where_none_serves_the_safest_is_left() -> None:
    assert descended(16, lambda rung, look: rung <= (9, 6)[look])[:2] == (6, True)
    assert descended(16, lambda rung, look: False)[:2] == (15, True)
    assert descended(16, lambda rung, look: rung <= 9, 0)[:2] == (15, False)
    found, ended, made = descended(16, lambda rung, look: rung <= 9, 3)
    assert not ended
    assert (found, 0) in made
