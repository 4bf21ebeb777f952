"""`synth evaluate` and its options, the verdict for CI systems, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from jsonschema import Draft202012Validator

from synth.config import RunConfig
from synth.errors import ConfigError, InputError
from synth.metrics import format as form
from synth.metrics.registry import metrics
from synth.run import run

Cli = Callable[..., Any]


@pytest.fixture
def tables(people: Path, tmp_path: Path) -> list[object]:
    """The options that name three tables and a new folder."""
    lines = people.read_text().splitlines()
    for name, rows in {"train": lines[1:300], "holdout": lines[300:550], "fake": lines[550:], "again": lines[400:650]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    given = {"--real": "train", "--holdout": "holdout", "--synthetic": "fake"}
    return [
        *(part for option, name in given.items() for part in (option, tmp_path / f"{name}.csv")),
        *("--target", "rich", "--sensitive", "sex", "--out", tmp_path / "out"),
    ]


def test_only_some_metrics_or_families(cli: Cli, tables: list[object], tmp_path: Path) -> None:
    ended = cli("evaluate", *tables, "--only", "validity,fidelity.shape", "--json")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    Draft202012Validator(form.schema()).validate(document)
    Draft202012Validator(form.schema()).validate(json.loads((tmp_path / "out" / "measurements.json").read_text()))
    names = {m["name"] for m in document["measurements"]}
    assert names == {m.name for m in metrics() if m.family == "validity" and not m.on_request} | {"fidelity.shape"}


def test_a_budget_that_is_spent_says_so(cli: Cli, tables: list[object]) -> None:
    ended = cli("evaluate", *tables, "--budget-seconds", 0, "--workers", 1)
    assert ended.code == 0, ended.err
    assert "Could not be computed" in ended.out
    assert "budget of 0 s" in ended.out


def test_further_fits_and_the_model_are_named_in_the_context(
    cli: Cli, tables: list[object], people: Path, tmp_path: Path
) -> None:
    assert cli("fit", tmp_path / "train.csv", "--out", tmp_path / "model", "--target", "rich").code == 0
    ended = cli(
        "evaluate", *tables, "--only", "fidelity.shape", "--also", f"{tmp_path / 'again.csv'},{tmp_path / 'holdout.csv'}",
        "--model", tmp_path / "model", "--shadow", 1, "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    context = json.loads(ended.out)["context"]
    assert len(context["repeats"]) == 2
    assert len(context["model"]) == 64
    assert context["shadow"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "fidelity.shap"], "did you mean 'fidelity.shape'"),
        (["--only", "privcy"], "did you mean 'privacy'"),
        (["--only", " , "], "no metric is named"),
        (["--budget-seconds", "-1"], "-1.0 seconds is no time"),
        (["--budget-seconds", "nan"], "is no time"),
        (["--budget-seconds", "soon"], "--budget-seconds"),
        (["--workers", "0"], "0 threads"),
        (["--shadow", "2"], "no model is given"),
        (["--shadow", "-1"], "-1 shadow models"),
        (["--model", "nowhere"], "nowhere"),
        (["--also", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_a_bad_option_is_refused_in_words_and_leaves_nothing(
    options: list[str], words: str, cli: Cli, tables: list[object], tmp_path: Path
) -> None:
    ended = cli("evaluate", *tables, *options)
    assert ended.code == 2
    assert words in ended.err
    assert len(ended.err.strip().splitlines()) <= 3
    assert not (tmp_path / "out").exists()


def test_a_model_of_other_columns_is_refused(cli: Cli, tables: list[object], tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n" + "\n".join(f"{i},{i % 7}" for i in range(60)) + "\n")
    assert cli("fit", tmp_path / "other.csv", "--out", tmp_path / "model").code == 0
    ended = cli("evaluate", *tables, "--model", tmp_path / "model")
    assert ended.code == 2
    assert "was not fitted on the columns" in ended.err


def test_the_table_is_grouped_and_folded_and_names_what_is_missing(cli: Cli, tables: list[object]) -> None:
    ended = cli("evaluate", *tables, "--only", "validity,fidelity,fairness.group_share")
    lines = [line.rstrip() for line in ended.out.splitlines()]
    headings = [line for line in lines if line in ("Validity", "Fidelity", "Fairness")]
    assert headings == ["Validity", "Fidelity", "Fairness"]
    assert sum("fairness.group_share" in line for line in lines) == 1
    assert any("+1 more" in line for line in lines)
    assert ended.out.index("Could not be computed") < ended.out.index("the schema has no constraints")


def test_metrics_are_listed_by_family_and_the_schema_is_printed(cli: Cli) -> None:
    told = cli("metrics").out
    assert told.index("Validity") < told.index("Fidelity") < told.index("Fairness")
    assert ("On request only" in told) == any(m.on_request for m in metrics())
    assert "fidelity.shape" not in cli("metrics", "privacy").out
    assert cli("metrics", "privcy").code == 2
    assert json.loads(cli("metrics", "--schema").out) == json.loads(form.text())
    assert {m["name"] for m in json.loads(cli("metrics", "--json").out)["metrics"]} == {m.name for m in metrics()}


# the verdict for CI systems ------------------------------------------------------------------------------------------


def test_gate_writes_the_verdict_as_sarif_and_junit(cli: Cli, tables: list[object], tmp_path: Path) -> None:
    assert cli("evaluate", *tables, "--only", "validity,fidelity").code == 0
    sarif, junit = tmp_path / "gate.sarif", tmp_path / "gate.xml"
    junit.write_text("what was there before")
    ended = cli("gate", tmp_path / "out", "--policy", "research", "--sarif", sarif, "--junit", junit, "--json")
    verdict = json.loads(ended.out)
    run_of = json.loads(sarif.read_text())["runs"][0]
    assert run_of["invocations"][0]["exitCode"] == ended.code != 0
    assert [r["message"]["text"].split(": ")[0] for r in run_of["results"]] == [f["check"] for f in verdict["findings"]]
    cases = list(Xml.fromstring(junit.read_bytes()).iter("testcase"))
    assert [case.attrib["name"] for case in sorted(cases, key=lambda c: c.attrib["name"])] == sorted(
        f["check"] for f in verdict["findings"]
    )


def test_a_file_that_cannot_be_written_is_refused_before_the_judgement(cli: Cli, tables: list[object], tmp_path: Path) -> None:
    assert cli("evaluate", *tables, "--only", "validity").code == 0
    for option in ("--sarif", "--junit"):
        for path in (tmp_path / "nowhere" / "gate", tmp_path):
            ended = cli("gate", tmp_path / "out", option, path)
            assert ended.code == 2
            assert "cannot write" in ended.err
    assert not (tmp_path / "out" / "verdict.json").exists()


# the part of a config ------------------------------------------------------------------------------------------------


def config(people: Path, **evaluate: object) -> RunConfig:
    return RunConfig.parse(
        {
            "name": "people",
            "data": {"source": str(people), "target": "rich", "sensitive": ["sex"]},
            "generator": {"name": "trees", "params": {"trees_per_column": 1}},
            "policy": "research",
            "evaluate": evaluate,
        }
    )


def test_a_config_says_what_is_measured_with_how_many_fits(people: Path, tmp_path: Path) -> None:
    done = run(config(people, only=["fidelity.shape"], fits=2, shadow=1), out=tmp_path / "run")
    context = done.measurements.context
    assert {m.name for m in done.measurements} == {"fidelity.shape"}
    assert len(set(context["repeats"])) == 2, "each fit has a seed of its own"
    assert context["digests"]["synthetic"] not in context["repeats"]
    assert context["model"] == context["provenance"]["model_digest"]
    assert context["shadow"] == 1
    again = run(config(people, only=["fidelity.shape"], fits=2, shadow=1), out=tmp_path / "again")
    assert again.measurements.digest() == done.measurements.digest()


def test_a_config_that_names_an_unknown_metric_is_refused_before_any_work(people: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"did you mean 'fidelity\.shape'"):
        run(config(people, only=["fidelity.shap"]), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"onyl": ["privacy"]}, "evaluate.onyl.*did you mean 'only'"),
        ({"only": []}, "evaluate.only"),
        ({"budget_seconds": -1}, "evaluate.budget_seconds is -1"),
        ({"budget_seconds": float("nan")}, "evaluate.budget_seconds is nan"),
        ({"fits": -1}, "evaluate.fits is -1"),
        ({"shadow": "many"}, "evaluate.shadow is 'many'"),
    ],
)
def test_a_mistake_in_that_part_is_named(part: dict[str, object], words: str, people: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        config(people, **part)


# Ctrl-C --------------------------------------------------------------------------------------------------------------

SLOW_METRICS = """
import os, time
from synth.metrics.measurement import Interval
from synth.metrics.registry import Reading, metric
from synth.cli import main

for number in range(6):
    @metric(f"fidelity.slow_{number}", better="lower")
    def slow(evidence):
        "A metric that takes its time."
        os.write(1, b"at work\\n")  # at once: two metrics are at work, and print writes a line in two pieces
        time.sleep(1.0)
        yield Reading(Interval(0.5, 0.4, 0.6, 1))

main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_evaluation_ends_with_the_metrics_at_work_and_leaves_nothing(
    number: signal.Signals, tables: list[object], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SLOW_METRICS, "evaluate", *map(str, tables), "--workers", "2"]
    only = ",".join(f"fidelity.slow_{i}" for i in range(6))
    before = sorted(path.name for path in tmp_path.iterdir())
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "--only", only], text=True, env={**os.environ}, **piped) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == "at work\n"
            process.send_signal(number)
            asked = time.monotonic()
            rest, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 2, said
    assert said.strip() == "synth: interrupted; nothing half-done was left behind"
    assert rest.count("at work") <= 2, "no metric is begun after the interruption"
    assert time.monotonic() - asked < 15
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.slow
def test_a_self_test_shows_what_was_caught(cli: Cli, tables: list[object], people: Path, tmp_path: Path) -> None:
    lines = people.read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join([lines[0], *lines[1:380]]) + "\n")
    (tmp_path / "holdout.csv").write_text("\n".join([lines[0], *lines[380:800]]) + "\n")
    ended = cli("evaluate", *tables, "--only", "validity", "--self-test")
    assert ended.code == 0, ended.err
    assert "Would the checks have caught it?" in ended.out
    found = {t["fault"]: t for t in json.loads((tmp_path / "out" / "self_test.json").read_text())["trials"]}
    assert "validity.range" in found["scaled column"]["caught_by"]["research"]
    assert "privacy.identifier_copies" in found["leaked key"]["caught_by"]["research"]
    assert found["clean"]["caught_by"]["research"] == []
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Would the checks have caught it?" in page
    assert "memorised outliers" in page


def test_a_self_test_wants_rows_to_plant_into(cli: Cli, tables: list[object], tmp_path: Path) -> None:
    ended = cli("evaluate", *tables, "--self-test")
    assert ended.code == 2
    assert "a self-test needs 400 held-out rows, there are 250" in ended.err
    assert not (tmp_path / "out").exists()
