"""Rows of the networks go the whole way of `synth balance`: compared at several ratios, made into a table, judged, exported."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

import synth
import synth.balance as job
import synth.generators._training as training
from synth.data.files import read_file
from synth.errors import ConfigError, MissingExtraError
from synth.generators import create
from synth.generators.by_class import ByClass
from synth.sklearn import SynthSampler
from tests.cli.conftest import cli  # noqa: F401 - a fixture
from tests.metrics.test_balance import simulated
from tests.test_sklearn import rows

NETWORKS = ("autoregressive", "gan", "diffusion")
SHORT: dict[str, dict[str, int]] = {  # of which a fit takes a second
    "autoregressive": {"epochs": 1, "width": 16, "hidden": 16},
    "gan": {"epochs": 1, "width": 16, "critic_width": 16},
    "diffusion": {"epochs": 1, "width": 16, "blocks": 1, "steps": 4},
}
POLICY = """
name: small-balance
version: 1.0.0
title: As class-balance, in a second
description: For rows that are to go the whole way, whatever a network of one epoch makes of them.
requires: {holdout: true, min_train: 200, min_holdout: 100, target: true}
checks:
  - {measure: validity.schema, limit: 0, why: "Broken cells were never checked."}
  - {measure: privacy.exact_copies, excess: 0.5, end: favourable, why: "Copies are not synthetic."}
formats: [parquet]
"""


@pytest.fixture(scope="module")
def arrests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = synth.read("bundled:arrests")
    file = tmp_path_factory.mktemp("data") / "arrests.csv"
    pyarrow.csv.write_csv(table.take(np.random.default_rng(0).permutation(len(table))[:1_200]).arrow, file)
    return file


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_is_compared_at_every_ratio_and_its_table_is_judged(
    network: str,
    cli: Callable[..., object],  # noqa: F811
    arrests: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("torch")
    out, policy = tmp_path / "balanced", tmp_path / "small.yaml"
    policy.write_text(POLICY)
    given = [part for name, value in SHORT[network].items() for part in ("--set", f"{network}.{name}={value}")]
    ended = cli(
        "balance", arrests, "--target", "released", "--generators", network, *given, "--ratios", "0.5,1",
        "--learners", "linear", "--folds", "3", "--anyway", "--policy", policy, "--out", out, "--json", "--quiet",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.err == "", "neither notices nor what libraries have to say"
    told = json.loads(ended.out)  # and nothing else on stdout
    compared = [f"rows from {network} to 1:2", f"rows from {network} to 1:1"]
    added = {o["remedy"]: o["added"] for o in told["comparison"]["outcomes"]}
    assert set(compared) < set(added)
    assert 0 < added[compared[0]] < added[compared[1]]
    assert told["comparison"]["leaked"][network] < 0.2, "of a table with few distinct rows some equal test rows by chance"
    page = (out / "balance.html").read_text()
    assert all(remedy in page for remedy in compared)
    assert told["answer"]["sentence"].replace("'", "&#39;") in page

    assert told["rows"]["generator"] == network
    config = (out / "config.yaml").read_text()
    assert f"of: {network}" in config
    assert all(f"{name}: {value}" in config for name, value in SHORT[network].items())
    synth.verify(out / "export")
    made = read_file(out / "export" / "data.parquet")
    classes = dict(zip(*np.unique(made.column("released").to_pylist(), return_counts=True), strict=True))
    assert classes["No"] == pytest.approx(told["rows"]["ratio"] * classes["Yes"], abs=1)
    model = synth.load(out / "model")
    assert isinstance(model, ByClass)
    assert dict(model.params or {}) == SHORT[network]
    assert len(synth.replay(out / "export", rows=[0, 17])) == 2, "any row can be drawn again"


def test_networks_and_trees_stand_side_by_side_and_the_progress_says_who_is_fitted() -> None:
    pytest.importorskip("torch")
    stages: list[str] = []
    names = ("trees", *NETWORKS)
    done = synth.balance(
        simulated(900, 1, share=0.1), generators=names, params=SHORT, ratios=(0.5, 1.0), learners=["linear"], folds=3,
        progress=lambda stage, done, total: stages.append(stage),
    )  # fmt: skip
    remedies = [outcome.remedy for outcome in done.comparison.outcomes]
    assert [name for name in remedies if name.startswith("rows from")] == [
        f"rows from {name} to {ratio}" for name in names for ratio in ("1:2", "1:1")
    ]
    assert {f"fit: {name}" for name in names} < set(stages)
    assert stages[-1] == "balance: done"


def test_how_long_networks_take_is_said_before_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(job, "compare_remedies", lambda *given, **named: pytest.fail(" | ".join(said)))

    def expected(**params: float) -> dict[str, float]:
        said.clear()
        with pytest.raises(pytest.fail.Exception, match="comparing remedies"):
            synth.balance(
                simulated(9_000, 1, share=0.1), generators=("trees", *NETWORKS),
                params=dict.fromkeys(NETWORKS, params) if params else None, notice=said.append,
            )  # fmt: skip
        return {
            name: int(n) * (60 if unit == "min" else 1)
            for name, n, unit in re.findall(r"5 fits of (\S+) about (\d+) (s|min)", said[0])
        }

    usual, short = expected(), expected(epochs=1)
    assert set(usual) == set(NETWORKS), "a fit of trees takes no time worth naming"
    assert all(short[name] < usual[name] for name in NETWORKS)
    held = expected(max_seconds=1)
    assert all(held[name] <= 5 * (1 + 8) for name in NETWORKS), "8 s until torch is there"


def test_a_network_that_is_broken_off_leaves_nothing(arrests: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "fit: autoregressive":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synth.balance(
            arrests, target="released", generators=["autoregressive"],
            params={"autoregressive": SHORT["autoregressive"]}, learners=["linear"], ratios=[1.0], out=tmp_path / "out",
            progress=stop,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("network", NETWORKS)
def test_without_torch_it_ends_before_anything_is_read(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(MissingExtraError, match=r"synth\[torch\]"):
        synth.balance(tmp_path / "not-there.csv", target="y", generators=["trees", network])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "gan.epochs=1"), "'gan' has hyperparameters and takes no part"),
        (("--set", "epochs=1"), "is not of the form GENERATOR.NAME=VALUE"),
        (("--generators", "gan", "--set", "gan.epoch=1"), "did you mean 'epochs'"),
        (("--generators", "gan", "--set", "gan.epochs=0"), "epochs is 0"),
        (("--generators", "autoregresive"), "did you mean 'autoregressive'"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(
    cli: Callable[..., object],  # noqa: F811
    arrests: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    words: str,
) -> None:
    ended = cli("balance", arrests, "--target", "released", *options, "--out", tmp_path / "out")
    assert ended.code == 2
    assert words in ended.err


def test_leaves_that_were_asked_for_are_kept() -> None:
    table = simulated(900, 1, share=0.1)
    usual, asked = (ByClass(params=params).fit(table, seed=0) for params in (None, {"min_samples_leaf": 40}))
    leaves = [[part.model.get_params()["min_samples_leaf"] for part in model._parts] for model in (usual, asked)]
    assert leaves == [[15, 15], [40, 40]]
    assert create("by-class", {"params": {"max_rows": 50}})._method(100).get_params()["max_rows"] == 50  # type: ignore[attr-defined]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_pipeline_takes_a_network_with_a_short_training(network: str) -> None:
    pytest.importorskip("torch")
    X, y = rows()
    sampler = SynthSampler(network, params=SHORT[network], random_state=0)
    made, labels = sampler.fit_resample(X, y)
    assert labels.value_counts()["yes"] == labels.value_counts()["no"]
    assert set(made["kind"][len(X) :]) <= {"a", "b"}
    assert sampler.generator_._parts[0].model.get_params()["epochs"] == 1
    with pytest.raises(ConfigError, match="has no hyperparameter 'leaves'"):
        SynthSampler(network, params={"leaves": 3}).fit_resample(X, y)
