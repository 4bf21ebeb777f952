"""A search finds the most faithful setting that keeps the policy's limits, says so when there is none, and is on record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import synth
from synth import tuning
from synth.config import RunConfig
from synth.data.table import Table
from synth.errors import ConfigError, InputError
from synth.gate.policy import Policy
from synth.generators import by_name, create, names
from synth.run import Run, run
from synth.tuning import Tuned, climb, fit_to_policy

POLICY = """
name: small-release
version: 1.0.0
title: As privacy-release, for a table of a few thousand rows
description: Limits that a few thousand rows can show to be kept.
requires: {holdout: true}
checks:
  - {measure: fidelity.shape, excess: 0.1, why: "Columns must look like real ones."}
  - {measure: privacy.exact_copies, excess: 0.0005, end: favourable, why: "Copies are not synthetic."}
  - {measure: privacy.memorised, excess: 0.002, end: favourable, why: "Rows far nearer to a training row were memorised."}
  - {measure: privacy.membership_auc, limit: 0.6, why: "Members must not be told from strangers."}
  - {measure: privacy.membership_tpr, limit: 0.05, why: "Nor may some of them be."}
"""
ONLY = ["fidelity.shape", "privacy.exact_copies", "privacy.memorised", "privacy.membership_auc", "privacy.membership_tpr"]


def people(n: int, seed: int = 0) -> Table:
    """Rows that trees of small leaves remember: amounts that hang together."""
    rng = np.random.default_rng(seed)
    age, sex = rng.integers(18, 90, n), rng.choice(["f", "m"], n)
    income = np.round(np.exp(rng.normal(7 + age / 100, 0.5)), 2)
    columns = {
        "age": age,
        "sex": sex,
        "income": income,
        "rent": np.round(income * rng.uniform(0.2, 0.5, n), 2),
        "rich": np.where(income > np.median(income), "yes", "no"),
    }
    return synth.read(pa.table(columns), target="rich")


@pytest.fixture(scope="module")
def rules() -> Policy:
    return Policy.parse(POLICY)


@pytest.fixture(scope="module")
def train() -> Table:
    return people(4_000)


@pytest.fixture(scope="module")
def tuned(train: Table, rules: Policy) -> Tuned:
    return fit_to_policy(train, rules, seed=0)


# the search, on a simulated ladder ---------------------------------------------------------------------------------------


Made = list[tuple[int, int]]  # the attempts of a search: rung and split


def searched(rungs: int, keeps: Callable[[int, int], bool], attempts: float = math.inf) -> tuple[int, bool, Made]:
    """What a search finds that has time for so many attempts, whether it ended, and what it tried."""
    made: Made = []

    def kept(rung: int, look: int) -> bool:
        made.append((rung, look))
        return keeps(rung, look)

    return *climb(rungs, kept, lambda: len(made) < attempts), made


@pytest.mark.parametrize("rungs", [1, 2, 7, 16])
def test_the_most_faithful_rung_that_keeps_the_limits_is_found_in_few_attempts(rungs: int) -> None:
    for first in range(rungs):
        found, ended, made = searched(rungs, lambda rung, look, first=first: rung >= first)
        assert (found, ended) == (first, True)
        assert len(set(made)) == len(made) <= 2 + math.ceil(math.log2(rungs))
        assert made[-1] == (first, 1), "what was found was tried on the second split, too"


def test_where_the_most_private_rung_breaks_the_limits_no_other_is_tried() -> None:
    assert searched(16, lambda rung, look: False) == (15, True, [(15, 0)])


def test_a_rung_that_kept_the_limits_by_luck_gives_way_to_the_next_that_keeps_them_again() -> None:
    found, ended, made = searched(16, lambda rung, look: rung >= (5, 8)[look])
    assert (found, ended) == (8, True)
    assert made[-4:] == [(5, 1), (6, 1), (7, 1), (8, 1)]


def test_where_nothing_holds_on_the_second_split_the_most_private_rung_is_left() -> None:
    found, _, made = searched(16, lambda rung, look: look == 0 and rung >= 12)
    assert found == 15
    assert made[-1] == (15, 1)


@pytest.mark.parametrize("attempts", range(9))
def test_a_search_out_of_time_leaves_a_rung_that_kept_the_limits(attempts: int) -> None:
    found, ended, made = searched(16, lambda rung, look: rung >= (5, 6)[look], attempts)
    assert ended == (attempts >= 7)
    assert len(made) <= attempts
    failed = {rung for rung, look in made if rung < (5, 6)[look]}
    assert found not in failed
    assert found == 15 if attempts < 2 else (found, 0) in made or (found, 1) in made


# a real search -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in names() if by_name(name).ladder])
def test_every_ladder_is_of_settings_that_can_be_fitted(name: str) -> None:
    ladder = by_name(name).ladder
    assert len({json.dumps(rung) for rung in ladder}) == len(ladder)
    for rung in ladder:
        assert rung.keys() == ladder[0].keys()
        create(name, rung)._validate()


def told(rules: Policy, train: Table, holdout: Table, model: Any) -> dict[str, str]:
    """What the policy says of rows of a model that saw only `train`."""
    rows = model.sample(len(train), seed=7)
    verdict = rules.assess(synth.evaluate(train, holdout, rows, seed=7, only=ONLY, model=model))
    return {finding.check: finding.outcome for finding in verdict.findings}


def test_leaves_of_one_row_are_rejected_and_the_setting_that_was_found_is_not(
    train: Table, rules: Policy, tuned: Tuned
) -> None:
    holdout = people(4_000, seed=1)  # rows that no search saw
    greedy = synth.Trees(min_samples_leaf=1, min_samples_leaf_smooth=1, discount=False).fit(train, seed=0)
    assert told(rules, train, holdout, greedy)["privacy.membership_auc"] == "fail"
    assert set(told(rules, train, holdout, tuned.model).values()) == {"pass"}
    ladder = synth.Trees.ladder
    assert tuned.outcome == "within"
    assert ladder[0] != tuned.params != ladder[-1], "neither the most faithful setting, which leaks, nor the most private one"


def test_what_was_chosen_held_on_the_second_split_and_what_is_next_to_it_did_not(tuned: Tuned) -> None:
    chosen = [attempt for attempt in tuned.attempts if attempt.params == tuned.params]
    assert {attempt.outcome for attempt in chosen} == {"within"}
    assert 1 in {attempt.seed for attempt in chosen}
    before = synth.Trees.ladder[synth.Trees.ladder.index(tuned.params) - 1]
    assert "within" not in {attempt.outcome for attempt in tuned.attempts if attempt.params == before}
    assert "of the next one privacy.membership" in tuned.why


def test_every_attempt_tells_likeness_and_leak_with_interval_and_floor(tuned: Tuned) -> None:
    assert len(tuned.attempts) >= 3
    for attempt in tuned.attempts:
        for name in ("fidelity.detection", "privacy.membership_auc", "privacy.membership_tpr", "privacy.exact_copies"):
            figure = attempt[name]
            assert figure.score is not None
            assert figure.reference is not None
            assert figure.score.low <= figure.score.value <= figure.score.high
        assert attempt.seconds > 0
    with pytest.raises(KeyError, match=r"did you mean 'fidelity\.detection'"):
        _ = tuned.attempts[0]["fidelity.detektion"]


def test_more_private_settings_are_less_faithful_and_leak_less(tuned: Tuned) -> None:
    """What bisection rests on."""
    ladder = synth.Trees.ladder
    private, *_, faithful = sorted((a for a in tuned.attempts if a.seed == 0), key=lambda a: -ladder.index(a.params))
    leak = [attempt["privacy.membership_auc"].score for attempt in (faithful, private)]
    likeness = [attempt["fidelity.detection"].score for attempt in (faithful, private)]
    assert all(leak)
    assert leak[0].value > leak[1].value  # type: ignore[union-attr]
    assert likeness[0].value < likeness[1].value  # type: ignore[union-attr]


def test_the_model_is_that_of_the_chosen_setting_on_all_rows(train: Table, tuned: Tuned) -> None:
    assert synth.Trees(**tuned.params).fit(train, seed=0).digest() == tuned.model.digest()


def test_a_frame_gives_a_model_that_gives_frames(train: Table, rules: Policy) -> None:
    found = fit_to_policy(train.to_pandas(), rules, target="rich", budget_seconds=0)
    assert type(found.model.sample(5)).__name__ == "DataFrame"
    assert found.model.fitted.schema.target is not None


def test_no_person_is_on_both_sides_of_an_inner_split(rules: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = people(600).to_pandas()
    rows["who"] = [f"p{i // 3}" for i in range(len(rows))]
    seen: list[tuple[set[str], set[str], int]] = []

    def spy(inner: Table, strangers: Table, made: Table, **options: Any) -> Any:
        seen.append((set(inner.column("who").to_pylist()), set(strangers.column("who").to_pylist()), len(made)))
        return synth.evaluate(inner, strangers, made, **options)

    monkeypatch.setattr(tuning, "evaluate", spy)
    schema = {"columns": {"who": {"role": "subject"}}}
    found = fit_to_policy(synth.read(rows, schema=schema, target="rich"), rules, n=1_200)
    (inner, strangers, made), *_ = seen
    assert inner
    assert strangers
    assert not inner & strangers
    assert made == 2 * found.rows["train"], "twice as many rows will be drawn as there are, so an attempt draws twice its own"


def test_too_few_rows_to_decide_are_said_to_be_and_the_most_private_setting_is_taken(rules: Policy) -> None:
    found = fit_to_policy(people(500), rules)
    assert found.outcome == "undecided"
    assert found.params == synth.Trees.ladder[-1]
    assert len(found.attempts) == 1
    assert "too few" in found.why
    assert "could not be measured" in found.why


def test_a_policy_that_no_setting_keeps_is_said_not_to_be_kept(train: Table) -> None:
    strict = Policy.parse(POLICY.replace("limit: 0.6", "limit: 0.45"))
    found = fit_to_policy(train, strict)
    assert found.outcome == "beyond"
    assert found.params == synth.Trees.ladder[-1]
    assert "does not keep the limits" in found.why
    assert "it must be at most 0.45" in found.why


def test_without_time_nothing_is_tried_and_that_is_said(train: Table, rules: Policy) -> None:
    found = fit_to_policy(train, rules, budget_seconds=0)
    assert found.attempts == ()
    assert found.outcome == "undecided"
    assert found.params == synth.Trees.ladder[-1]
    assert "untried" in found.why
    with pytest.raises(InputError, match="-1 seconds is no time"):
        fit_to_policy(train, rules, budget_seconds=-1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"generator": "independent"}, "'independent' has no ladder.*have one: trees"),
        ({"generator": "treez"}, "did you mean 'trees'"),
        ({"params": {"min_samples_leaf": 5}}, "'min_samples_leaf' is given, but fitting to the policy is what chooses it"),
        ({"n": 0}, "n is 0; give how many rows will be drawn"),
        ({"params": {"leaf": 5}}, "no hyperparameter 'leaf'"),
        ({"policy": "class-balance"}, "'class-balance' has no blocking rule on membership"),
    ],
)
def test_what_cannot_be_searched_is_refused(train: Table, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fit_to_policy(train, **options)


# the record --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, train: Table) -> Path:
    """A folder with a policy, training rows and a holdout."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "policy.yaml").write_text(POLICY)
    train.to_pandas().to_csv(folder / "train.csv", index=False)
    people(4_000, seed=1).to_pandas().to_csv(folder / "holdout.csv", index=False)
    return folder


def job(files: Path, **generator: Any) -> RunConfig:
    return RunConfig.parse(
        {
            "name": "people",
            "data": {"source": str(files / "train.csv"), "holdout": str(files / "holdout.csv"), "target": "rich"},
            "generator": {"name": "trees", "fit_to_policy": True, **generator},
            "evaluate": {"only": ONLY},
            "policy": str(files / "policy.yaml"),
        }
    )


@pytest.fixture(scope="module")
def done(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTH_HOME", str(tmp_path_factory.mktemp("home")))
        return run(job(files), out=tmp_path_factory.mktemp("runs") / "people")


def test_a_run_finds_again_what_its_training_rows_alone_give(done: Run, tuned: Tuned) -> None:
    """Two searches with one seed give the same record, and the holdout, which only the run has, no part in it."""
    assert done.measurements.context["search"] == tuned.record
    assert synth.load(done.path / "model").get_params() == tuned.model.get_params()


def test_the_attempts_are_in_the_folder_the_log_the_figures_and_the_verdict(done: Run, tuned: Tuned) -> None:
    written = json.loads((done.path / "search.json").read_text())
    assert len(written["attempts"]) == len(tuned.attempts)
    assert all(attempt["seconds"] >= 0 and attempt["findings"] for attempt in written["attempts"])
    assert written["model"] == synth.load(done.path / "model").digest()
    log = [json.loads(line) for line in (done.path / "log.jsonl").read_text().splitlines()]
    search = next(line for line in log if line["step"] == "search")
    assert (search["attempts"], search["chosen"]) == (len(tuned.attempts), dict(tuned.params))
    assert done.verdict is not None
    assert done.verdict.decision == "approved"
    assert done.verdict.context["search"] == tuned.record
    assert RunConfig.load(done.path / "config.yaml").generator.fit_to_policy


def test_the_pages_and_the_card_tell_what_was_tried_and_what_was_chosen(done: Run, tuned: Tuned) -> None:
    assert done.exported is not None
    setting = ", ".join(f"{name} {value}" for name, value in tuned.params.items())
    for page in (done.path / "report.html", done.exported / "report.html"):
        text = page.read_text()
        assert "How the setting was chosen" in text
        assert text.count("<small>(chosen)</small>") == sum(attempt.params == tuned.params for attempt in tuned.attempts)
        assert setting in text
        assert f"{len(tuned.attempts)} attempts among {tuned.rungs} settings of trees" in text
    card = (done.exported / "README.md").read_text()
    assert f"Among {tuned.rungs} settings, by {len(tuned.attempts)} attempts" in card
    assert f"`min_samples_leaf` {tuned.params['min_samples_leaf']}" in card


def test_measurements_with_a_search_are_of_the_published_form(done: Run) -> None:
    from jsonschema import Draft202012Validator

    from synth.metrics.format import schema

    document = json.loads((done.path / "measurements.json").read_text())
    form = Draft202012Validator(schema())
    form.validate(document)
    del document["context"]["search"]["attempts"]
    assert not form.is_valid(document)


def test_a_search_without_a_ladder_or_without_an_end_is_refused_before_any_work(files: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'smote' has no ladder"):
        run(job(files, name="smote"), out=tmp_path / "run")
    with pytest.raises(ConfigError, match="`search_seconds` goes with `fit_to_policy: true`"):
        job(files, fit_to_policy=False, search_seconds=5)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_search_leaves_nothing(files: Path, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "search: attempt 2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job(files), out=tmp_path / "runs" / "people", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_keep_the_limits_says_so_and_goes_on_to_its_verdict(files: Path, tmp_path: Path) -> None:
    said: list[str] = []
    ended = run(job(files, search_seconds=0), out=tmp_path / "run", notice=said.append)
    assert any("untried" in text for text in said)
    assert ended.verdict is not None
    assert ended.verdict.context["search"]["attempts"] == []
