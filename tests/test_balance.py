"""`synth balance`: an honest answer, then a table that is judged; a sampler outside the fold changes the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

import synth
import synth.balance as job
from synth.data.table import Table
from synth.errors import ConfigError, DataError, InputError
from synth.metrics.answer import answer
from synth.metrics.nested import Comparison, Outcome
from tests.cli.conftest import cli  # noqa: F401 - a fixture
from tests.metrics.test_balance import simulated

FIGURES = ("average_precision", "recall_at_precision", "balanced_accuracy", "brier")


# sentences ------------------------------------------------------------------------------------------------------------


def compared(learner: str = "boosted", base: float = 0.5, **gains: dict[str, float]) -> Comparison:
    """A comparison in which each remedy changes figures by so much, give or take .01."""
    names = {
        "weights": "class weights", "threshold": "threshold tuning", "oversampling": "oversampling", "smote": "SMOTE",
        "rows": "rows from trees",
    }  # fmt: skip
    outcomes = [outcome(learner, "nothing", base, {})]
    outcomes += [outcome(learner, said, base, gains.get(name, {})) for name, said in names.items()]
    return Comparison("y", "yes", 1_000, 50, 5, 5, 0, 0.9, tuple(outcomes), {"trees": 0.0})


def outcome(learner: str, remedy: str, base: float, gains: dict[str, float]) -> Outcome:
    jitter = np.array([-0.01, 0.0, 0.01, -0.005, 0.005])
    folds = {name: tuple(gains.get(name, 0.0) + jitter * (name in gains)) for name in FIGURES}
    errors = {name: 0.004 if name in gains else 0.0 for name in FIGURES}
    return Outcome(learner, remedy, 100.0, {name: base + gains.get(name, 0.0) for name in FIGURES}, folds, errors)


def test_rows_that_help_are_the_answer_with_their_interval() -> None:
    said = answer(compared(rows={"average_precision": 0.06, "recall_at_precision": 0.08}, smote={"average_precision": 0.01}))
    assert (said.kind, said.remedy) == ("rows", "rows from trees")
    assert said.sentence == (
        "Rows from trees raise average precision by 0.060 [0.050, 0.070] and recall at 90% precision by 0.080 [0.070, 0.090]."
    )


def test_a_simpler_remedy_that_gives_as_much_is_named_and_made_rows_stay_on_offer() -> None:
    said = answer(compared(rows={"average_precision": 0.06}, oversampling={"average_precision": 0.06}))
    assert said.kind == "rows"
    assert said.sentence.endswith("; oversampling gives as much (0.060 [0.050, 0.070]).")
    alone = answer(compared(smote={"average_precision": 0.06}))
    assert (alone.kind, alone.remedy) == ("remedy", "SMOTE")
    assert alone.sentence.startswith("SMOTE raises average precision by 0.060")


def test_a_threshold_gives_what_oversampling_gives_with_better_calibration() -> None:
    said = answer(
        compared(
            threshold={"balanced_accuracy": 0.1},
            oversampling={"balanced_accuracy": 0.1, "brier": 0.08, "average_precision": -0.01},
        )
    )
    assert (said.kind, said.remedy) == ("threshold", "threshold tuning")
    assert said.sentence.startswith(
        "Threshold tuning gives what oversampling gives (balanced accuracy .600 against .600), with better calibration "
        "(Brier score .500 against .580); no benefit found in average precision (the most is 0.000"
    )


def test_where_nothing_helps_that_is_said() -> None:
    said = answer(compared(rows={"average_precision": 0.005}))
    assert (said.kind, said.remedy) == ("nothing", None)
    assert said.sentence == "No benefit found in average precision (the most is 0.005 [−0.005, 0.015], with rows from trees)."


def test_the_kind_of_model_that_ranks_best_has_the_word() -> None:
    strong, weak = compared("boosted", 0.7), compared("linear", 0.4, rows={"average_precision": 0.06})
    both = Comparison("y", "yes", 1_000, 50, 5, 5, 0, 0.9, (*weak.outcomes, *strong.outcomes), {})
    said = answer(both)
    assert (said.kind, said.learner) == ("nothing", "boosted")
    assert said.others[0].startswith("A linear model: rows from trees raise average precision by 0.060")


def test_two_remedies_are_compared_by_the_corrected_resampled_t_test() -> None:
    found = compared(rows={"average_precision": 0.06}).between("rows from trees", "nothing", "average_precision")
    spread = np.std([-0.01, 0.0, 0.01, -0.005, 0.005], ddof=1) * math.sqrt(1 / 5 + 1 / 4)
    assert found.high - found.value == pytest.approx(2.776 * spread, rel=1e-3)


# the protocol ---------------------------------------------------------------------------------------------------------


def test_a_sampler_outside_the_fold_changes_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    table = simulated(1_200, 1, signal=0.5)
    how = {"generators": ["smote"], "ratios": [1.0], "learners": ["boosted"], "folds": 3}
    honest, seen = synth.balance(table, **how), []
    inside = job.rows_of

    def outside(train: Table, rare: str, generator: str, n: int, seed: int, **more: object) -> Table:
        seen.append(len(train))
        return inside(table, rare, generator, n, seed)  # knows the test folds, and the holdout

    monkeypatch.setattr(job, "rows_of", outside)
    leaky = synth.balance(table, **how)
    assert max(seen) < 0.8 * len(table)  # what the protocol hands out: four fifths, without the test fold
    gain = [done.comparison.of("rows from smote").difference("average_precision") for done in (honest, leaky)]
    assert gain[0].value < 0.1
    assert gain[1].low > 0.05
    assert honest.answer.kind != "rows"
    assert leaky.answer.kind == "rows"


def test_time_that_is_up_leaves_three_folds_and_says_so() -> None:
    done = synth.balance(simulated(900, 1), generators=[], learners=["linear"], budget_seconds=0.0)
    assert (done.comparison.tried, done.comparison.folds) == (3, 5)
    assert done.notes == ("3 of 5 folds were tried before the time was up.",)
    assert (done.run, done.path) == (None, None)


def test_what_makes_no_sense_is_refused_before_any_work() -> None:
    table = simulated(900, 1)
    with pytest.raises(InputError, match=r"a ratio of 0\.02 adds nothing: the class yes is at 0\.0\d+ of all other rows"):
        synth.balance(table, ratios=[0.02])
    with pytest.raises(ConfigError, match="no generator 'treees'; did you mean 'trees'"):
        synth.balance(table, generators=["treees"])
    with pytest.raises(ConfigError, match="rows of marginals cannot be compared"):
        synth.balance(table, generators=["marginals"])
    with pytest.raises(InputError, match="there is no folder"):
        synth.balance(table, anyway=True)
    with pytest.raises(InputError, match="max_rows is 5"):
        synth.balance(table, max_rows=5)
    with pytest.raises(DataError, match="no class of the target 'fraud' is rare"):
        synth.balance(simulated(900, 1, share=0.4))


# the command ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def arrests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = synth.read("bundled:arrests")
    file = tmp_path_factory.mktemp("data") / "arrests.csv"
    pyarrow.csv.write_csv(table.take(np.random.default_rng(0).permutation(len(table))[:2_000]).arrow, file)
    return file


SHORT = ("--target", "released", "--folds", "3", "--learners", "linear", "--ratios", "1")


def test_from_a_table_to_an_answer_and_a_verified_export(cli: Callable[..., object], tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "balanced"
    ended = cli("balance", "bundled:arrests", *SHORT, "--out", out, "--anyway", "--format", "parquet,csv", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["rows"] == {"generator": "trees", "ratio": 1.0}
    assert told["answer"]["sentence"]
    assert told["verdict"]["decision"] == "approved"
    written = json.loads((out / "balance.json").read_text())
    assert written["answer"] == told["answer"]
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()][:2] == ["read", "compare"]
    synth.verify(out / "export")
    rows = synth.read(out / "export" / "data.parquet").column("released").value_counts().to_pylist()
    assert len({count["counts"] for count in rows}) == 1, "at 1:1 both classes have equally many rows"
    assert len(synth.replay(out / "export", rows=[0, 17])) == 2
    page = (out / "balance.html").read_text()
    assert told["answer"]["sentence"].replace("'", "&#39;") in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert cli("gate", out, "--policy", "class-balance").code == 0


def test_where_no_rows_help_none_are_made_and_the_command_is_done(
    cli: Callable[..., object],  # noqa: F811
    arrests: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "balanced"
    for _ in range(2):  # an earlier result is kept under the next free name
        ended = cli("balance", arrests, *SHORT, "--out", out, "--generators", "independent")
        assert ended.code == 0, ended.err
    assert "o benefit found in average precision" in ended.out
    assert "--anyway" in ended.out
    assert sorted(path.name for path in out.iterdir()) == ["balance.html", "balance.json", "config.yaml", "log.jsonl"]
    assert (tmp_path / "balanced.1" / "balance.json").read_bytes() == (out / "balance.json").read_bytes()
    assert "No rows were made" in (out / "balance.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "relased"), "did you mean 'released'"),
        (("--target", "released", "--rare", "Nein"), "no class 'Nein'"),
        (("--target", "released", "--learners", "boost"), "no learner 'boost'"),
        (("--target", "released", "--ratios", "a,b"), "is no list of numbers"),
        (("--target", "age"), "is a number and has no classes"),
        ((), "no target is named"),
    ],
)
def test_bad_input_is_refused_in_words_and_leaves_nothing(
    cli: Callable[..., object],  # noqa: F811
    arrests: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    words: str,
) -> None:
    ended = cli("balance", arrests, *options, "--out", tmp_path / "out")
    assert ended.code == 2
    assert words in ended.err
    assert len(ended.err.strip().splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


def test_a_broken_off_comparison_leaves_nothing(arrests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "compare_remedies", stop)
    with pytest.raises(KeyboardInterrupt):
        synth.balance(arrests, target="released", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
