"""`synth fit --policy`: the search is told and kept with the model, and the exit code says how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synth.errors import DataError
from synth.run import evaluate_files

POLICY = """
name: lenient
version: 1.0.0
title: What nearly every setting keeps
description: Two limits, so that a search ends soon.
checks:
  - {measure: privacy.exact_copies, excess: 0.0005, end: favourable, why: "Copies are not synthetic."}
  - {measure: privacy.membership_auc, limit: 0.9, why: "Members must not be told from strangers."}
"""


@pytest.fixture
def amounts(tmp_path: Path) -> Path:
    """A table of which no two rows are alike, so that attacks have enough of them."""
    rng = np.random.default_rng(0)
    income = np.round(np.exp(rng.normal(7, 0.5, 1_200)), 2)
    rent = np.round(income * rng.uniform(0.2, 0.5, 1_200), 2)
    rich = np.where(income > 1_100, "yes", "no")
    (tmp_path / "policy.yaml").write_text(POLICY)
    file = tmp_path / "amounts.csv"
    file.write_text("\n".join(["income,rent,rich", *(f"{i},{r},{y}" for i, r, y in zip(income, rent, rich))]) + "\n")
    return file


def test_a_saved_model_keeps_its_search_and_an_evaluation_with_it_tells_it(
    cli: Callable[..., Any], amounts: Path, tmp_path: Path
) -> None:
    model, fake = tmp_path / "model", tmp_path / "fake.parquet"
    ended = cli("fit", amounts, "--out", model, "--target", "rich", "--policy", tmp_path / "policy.yaml")
    assert ended.code == 0
    search = json.loads((model / "search.json").read_text())
    assert ended.out.count("(chosen)") == 2
    assert f"{len(search['attempts'])} attempts among {search['ladder']} settings" in ended.out
    assert search["why"] in ended.out

    assert cli("sample", model, "-n", 500, "--out", fake).code == 0

    def told(to: str) -> Any:
        options = {"target": "rich", "only": ["fidelity.shape"], "model": model}
        return evaluate_files(amounts, None, fake, tmp_path / to, **options).measurements.context["search"]

    assert told("told")["chosen"] == search["chosen"]
    assert "seconds" not in told("again")["attempts"][0]
    (model / "search.json").write_text(json.dumps(search | {"model": "0" * 64}))
    with pytest.raises(DataError, match="about another model"):
        told("other")
    (model / "search.json").write_text("[]")
    with pytest.raises(DataError, match="cannot be read as the record of a search"):
        told("damaged")

    assert cli("fit", amounts, "--out", model).code == 0
    assert not (model / "search.json").exists(), "a model that was fitted without a search keeps no older one's"


def test_a_search_that_could_decide_nothing_ends_with_its_own_code(
    cli: Callable[..., Any], people: Path, tmp_path: Path
) -> None:
    ended = cli("fit", people, "--out", tmp_path / "model", "--policy", "privacy-release", "--json")
    assert ended.code == 3
    assert json.loads(ended.out)["search"]["outcome"] == "undecided"
    strict = tmp_path / "strict.yaml"
    strict.write_text(POLICY.replace("0.9", "0.1"))
    assert cli("fit", people, "--out", tmp_path / "model", "--policy", strict, "--budget-seconds", 0).code == 3


def test_a_search_without_a_limit_a_ladder_or_a_policy_is_refused(
    cli: Callable[..., Any], people: Path, tmp_path: Path
) -> None:
    fit = ("fit", people, "--out", tmp_path / "model")
    assert "goes with --policy" in cli(*fit, "--budget-seconds", 5).err
    assert "'independent' has no ladder" in cli(*fit, "--policy", "research", "--generator", "independent").err
    assert "no blocking rule on membership" in cli(*fit, "--policy", "class-balance").err
    assert "did you mean 'research'" in cli(*fit, "--policy", "reserch").err
    assert not (tmp_path / "model").exists()


def test_limits_that_even_the_most_private_setting_breaks_end_with_one(
    cli: Callable[..., Any], amounts: Path, tmp_path: Path
) -> None:
    strict = tmp_path / "strict.yaml"
    strict.write_text(POLICY.replace("0.9", "0.1"))
    ended = cli("fit", amounts, "--out", tmp_path / "model", "--policy", strict)
    assert ended.code == 1
    assert "even the most private setting does not keep the limits" in ended.out
