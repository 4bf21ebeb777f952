"""A config is read strictly, and its errors name the nearest right key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from synth.cli.jobs import DEMO
from synth.config import RunConfig
from synth.errors import ConfigError

HERE = Path(__file__).resolve().parents[1]


def config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("file", sorted((HERE / "configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_config_of_the_repository_is_valid_and_survives_its_own_writing(file: Path, tmp_path: Path) -> None:
    loaded = RunConfig.load(file)
    assert RunConfig.load(config(tmp_path, loaded.to_yaml())) == loaded


@pytest.mark.parametrize("file", sorted((HERE / "configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_config_of_the_repository_is_of_the_published_form(file: Path) -> None:
    schema = json.loads((HERE / "docs" / "schemas" / "run-config.schema.json").read_text(encoding="utf-8"))
    assert schema == RunConfig.json_schema(), "docs/schemas/run-config.schema.json is stale; run: make docs"
    form = Draft202012Validator(schema)
    form.validate(yaml.safe_load(file.read_text()))
    form.validate(yaml.safe_load(RunConfig.load(file).to_yaml()))
    assert not form.is_valid(yaml.safe_load(file.read_text()) | {"evaluate": {"fits": -1}})
    assert not form.is_valid(yaml.safe_load(file.read_text()) | {"genrator": "trees"})


def test_a_value_can_be_set_from_the_command_line(tmp_path: Path) -> None:
    file = config(tmp_path, "name: a\ndata: {source: x.csv}\ngenerator: trees\n")
    loaded = RunConfig.load(file, ["generator.params.min_samples_leaf=30", "sample.where=age > 3", "seed=7"])
    assert loaded.generator.params == {"min_samples_leaf": 30}
    assert loaded.sample.where == "age > 3"
    assert loaded.seed_of(loaded.split) == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\ndata: {sorce: x.csv}", "data.sorce.*did you mean 'source'"),
        ("name: a\ndata: x.csv\ngenrator: trees", "genrator.*did you mean 'generator'"),
        ("name: a\ndata: x.csv\nsplit: {holdout: 1.5}", "split.holdout is 1.5"),
        ("name: ../a\ndata: x.csv", "name is '../a'"),
        ("name: a", "'data' is missing"),
        ("name: a\ndata: ${SURELY_NOT_SET}/x.csv", "SURELY_NOT_SET"),
        ("- a", "not a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_a_mistake_is_named_in_at_most_three_lines(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        RunConfig.load(config(tmp_path, text))
    assert str(caught.value).count("\n") < 3


def test_a_missing_config_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        RunConfig.load(tmp_path / "nowhere.yaml")


def test_an_environment_variable_has_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = config(tmp_path, "name: a\ndata: '${FOLDER_OF_TABLES:-here}/x.csv'")
    assert RunConfig.load(file).data.source == "here/x.csv"
    monkeypatch.setenv("FOLDER_OF_TABLES", "there")
    assert RunConfig.load(file).data.source == "there/x.csv"


def test_a_config_that_is_no_text_is_said(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        RunConfig.load(file)


def test_the_demo_is_the_config_that_is_published() -> None:
    published = Path(__file__).resolve().parents[1] / "configs" / "arrests.yaml"
    assert RunConfig.parse(DEMO) == RunConfig.load(published)
