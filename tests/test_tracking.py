"""Runs in MLflow: what goes there, what never does, and that no run is lost where a store fails."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from synth import tracking
from synth.config import RunConfig, TrackingConfig
from synth.data.sketch import SKETCH
from synth.errors import ConfigError, MissingExtraError, VerificationError
from synth.gate.policy import Policy
from synth.gate.verify import verify
from synth.metrics.measurement import Interval, Measurement
from synth.run import Run, run
from synth.tracking import Tracked, TrackingError, _clean, _name, destination, track, without_credentials

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow about what it uses itself

HERE = Path(__file__).resolve().parents[1]
POLICY = """
name: small
version: 1.0.0
title: For tracking
description: Approves what a small run makes.
requires: {holdout: true, min_synthetic: 50}
checks:
  - {measure: fidelity.shape, limit: LIMIT, why: "Single columns are looked at."}
formats: [parquet, csv]
"""
CONFIG = {
    "name": "people",
    "seed": 7,
    "generator": {"name": "independent"},
    "sample": {"n": 200},
    "evaluate": {"only": ["fidelity.shape", "fairness.group_share"]},
    "export": {"formats": ["csv"]},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """An approved run, and the home that its key and log lie in."""
    folder, home = tmp_path_factory.mktemp("tracked"), tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    columns = (rng.integers(18, 80, 400), rng.choice(["Aachen", "Köln/Bonn"], 400), rng.choice(["f", "m"], 400))
    lines = [",".join(map(str, cells)) for cells in zip(*columns)]
    (folder / "people.csv").write_text("\n".join(["age,town,sex", *lines]) + "\n")
    (folder / "policy.yaml").write_text(POLICY.replace("LIMIT", "0.9"))
    (folder / "strict.yaml").write_text(POLICY.replace("LIMIT", "0.0").replace("small", "strict"))
    data = {"source": str(folder / "people.csv"), "sensitive": ["sex", "town"]}
    (folder / "config.yaml").write_text(json.dumps({**CONFIG, "data": data, "policy": str(folder / "policy.yaml")}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTH_HOME", str(home))
        run(folder / "config.yaml", out=folder / "people")
        yield folder, home


@pytest.fixture
def work(done: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of that run, with a table, a config and two policies, in which a test works."""
    shutil.copytree(done[0], tmp_path / "work")
    shutil.copytree(done[1], tmp_path / "home")
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server on this machine."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", port, "--workers", 1]
    options += ["--backend-store-uri", f"sqlite:///{folder / 'store.db'}", "--artifacts-destination", folder / "files"]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *map(str, options)],
            stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the server and its worker, a session of their own
        process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no MLflow server: {log.read_text()[-2_000:]}")


@pytest.fixture(params=["sqlite", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A SQLite file, and a server."""
    if request.param == "server":
        return str(request.getfixturevalue("server"))
    return f"sqlite:///{tmp_path / 'mlruns.db'}"


def there(tracked: Tracked, uri: str) -> Any:
    return MlflowClient(tracking_uri=uri).get_run(tracked.run_id)


def files_there(tracked: Tracked, uri: str, to: Path) -> dict[str, bytes]:
    client = MlflowClient(tracking_uri=uri)
    to.mkdir()
    root = Path(client.download_artifacts(tracked.run_id, "", str(to)))
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# what goes there ------------------------------------------------------------------------------------------------------------


def test_a_run_reads_back_as_it_is(work: Path, store: str, tmp_path: Path) -> None:
    one = Run.open("people")
    tracked = track(one, TrackingConfig(uri=store, experiment="Wer & wann/1"))
    found = there(tracked, store)
    assert (found.info.run_name, found.info.status) == ("people", "FINISHED")
    assert MlflowClient(tracking_uri=store).get_experiment(found.info.experiment_id).name == "Wer & wann/1"

    config = RunConfig.load("config.yaml")
    assert found.data.params["generator.name"] == "independent"
    assert found.data.params["seed"] == "7"
    assert json.loads(found.data.params["evaluate.only"]) == config.evaluate.only
    assert found.data.params["data.source"] == config.data.source

    sought = {}
    for figure in one.measurements:
        if figure.score is not None:
            ends = {"": figure.score.value, "/low": figure.score.low, "/high": figure.score.high, "/n": figure.score.n}
            sought |= {_name(figure) + end: value for end, value in ends.items()}
        if figure.reference is not None:
            sought[_name(figure) + "/reference"] = figure.reference.value
    assert sought["fidelity.shape/low"] < sought["fidelity.shape"] < sought["fidelity.shape/high"]
    assert any("Köln_Bonn-" in name for name in sought), "a group whose name MLflow forbids"
    assert found.data.metrics == pytest.approx(sought | {"attempt": 1})

    verdict = one.verdict
    assert verdict is not None
    tags = {name.removeprefix("synth."): value for name, value in found.data.tags.items() if name.startswith("synth.")}
    assert tags["decision"] == tags["standing"] == "approved"
    assert (tags["policy"], tags["policy_version"], tags["policy_digest"]) == ("small", "1.0.0", verdict.policy_digest)
    assert (tags["generator"], tags["seed"], tags["version"]) == ("independent", "7", one.measurements.context["synth"])

    digests = one.measurements.context["digests"]
    inputs = {entry.dataset.name: entry for entry in found.inputs.dataset_inputs}
    assert set(inputs) == {"people/train", "people/holdout", "people/synthetic"}
    for side in ("train", "holdout", "synthetic"):
        dataset = inputs[f"people/{side}"].dataset
        assert json.loads(dataset.source) == {"sha256": digests[side]}
        assert digests[side].startswith(dataset.digest)
    assert [tag.value for tag in inputs["people/train"].tags] == ["training"]


@pytest.mark.attack(
    "reads a tracking store for what must not leave a run", "no rows, no model and no sketch of the real rows are there"
)
def test_neither_rows_nor_model_nor_sketch_go_there(work: Path, store: str, tmp_path: Path) -> None:
    one = Run.open("people")
    files = files_there(track(one, TrackingConfig(uri=store)), store, tmp_path / "read")
    assert sorted(files) == [
        *("config.yaml", "export/README.md", "export/attestation.json", "measurements.json"),
        *("metric_names.json", "report.html", "verdict.json"),
    ]
    for name in ("config.yaml", "verdict.json", "report.html", "export/attestation.json", "export/README.md"):
        assert files[name] == (work / "people" / name).read_bytes()
    assert not any(content.startswith(b"PAR1") for content in files.values())
    sketch = one.measurements.context[SKETCH]
    assert sketch
    assert not any(str(mark).encode() in content for mark in sketch for content in files.values())
    said = json.loads(files["measurements.json"])
    assert said["measurements"] == [figure.to_dict() for figure in one.measurements]
    names = json.loads(files["metric_names.json"])
    assert set(names) <= {_name(figure) for figure in one.measurements}
    assert {_name(one.measurements[label]): label for label in names.values()} == names


def test_the_same_state_is_written_once_and_a_new_verdict_anew(work: Path, store: str) -> None:
    to = TrackingConfig(uri=store, experiment="once")
    first, second = track(Run.open("people"), to), track(Run.open("people"), to)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.run_id == second.run_id

    Run.open("people").judge(Policy.load("strict.yaml"))
    third = track(Run.open("people"), to)
    assert third.is_new
    found = there(third, store)
    assert (found.data.tags["synth.decision"], found.data.tags["synth.policy"]) == ("rejected", "strict")
    assert not [file.path for file in MlflowClient(tracking_uri=store).list_artifacts(third.run_id) if file.path == "export"]


# names ----------------------------------------------------------------------------------------------------------------------

PARTS = st.text(min_size=1, max_size=300) | st.sampled_from([".", "..", "/", "a/b", "a:b", "a b", " a", "a\n", "ä", "%", "[x]"])


def figure(group: dict[str, str]) -> Measurement:
    return Measurement("fairness.rate", "lower", Interval(0.1, 0.0, 0.2, 10), None, group=group)


@given(PARTS, PARTS, PARTS, PARTS)
def test_every_name_is_allowed_and_no_two_figures_share_one(a: str, b: str, c: str, d: str) -> None:
    first, second = figure({a: b}), figure({c: d})
    for one in (first, second):
        for end in ("", "/low", "/reference"):
            _validate_metric_name(_name(one) + end)
    _validate_param_name(_clean(f"generator.params.{a}"))
    assert (_name(first) == _name(second)) == ((a, b) == (c, d))


# what fails -----------------------------------------------------------------------------------------------------------------


def nobody() -> str:
    """An address at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://ada:secret@127.0.0.1:{free.getsockname()[1]}"


def synth(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(HERE), "COLUMNS": "200"}
    command = [sys.executable, "-m", "synth", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


def test_a_run_is_complete_where_the_server_is_not_there_and_can_be_tracked_later(work: Path, tmp_path: Path) -> None:
    address = nobody()
    ended = synth("run", "config.yaml", "--out", "again", "--track", address, "--json")
    assert ended.returncode == 2
    *_, last = ended.stderr.strip().split("synth: ")
    assert last.startswith("again is complete, but could not be tracked at http://127.0.0.1")
    assert "Connection refused" in last
    assert f"track it again: synth track again --to {without_credentials(address)}" in last
    assert "secret" not in ended.stderr + ended.stdout
    assert json.loads(ended.stdout)["decision"] == "approved"
    assert verify(work / "again" / "export").rows == 200
    assert "secret" not in (work / "again" / "config.yaml").read_text()

    ended = synth("track", "again", "--to", f"sqlite:///{tmp_path / 'later.db'}", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["is_new"] is True


def test_a_store_that_fails_half_way_does_not_pass_for_done(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    to = TrackingConfig(uri=f"sqlite:///{tmp_path / 'mlruns.db'}")
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_send_files", fail)
        with pytest.raises(TrackingError, match=r"people is complete, but .* No space left on device"):
            track(Run.open("people"), to)
    assert track(Run.open("people"), to).is_new
    client = MlflowClient(tracking_uri=to.uri)
    experiment = client.get_experiment_by_name("synth")
    assert sorted(one.info.status for one in client.search_runs([experiment.experiment_id])) == ["FAILED", "FINISHED"]


def test_what_cannot_be_tracked_is_said_before_any_work(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for uri in ("mlruns", "postgresql://ada:secret@host/db", "sqlite:///", "https://"):
        with pytest.raises(ConfigError, match="give an MLflow store"):
            destination(uri)
    with pytest.raises(ConfigError, match=r"'tracking.experimen'.*did you mean 'experiment'"):
        RunConfig.parse({"name": "a", "data": "b", "tracking": {"uri": "sqlite:///a.db", "experimen": "c"}})
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "mlflow" else found(name, *rest))
    config = RunConfig.load("config.yaml", ["tracking.uri=sqlite:///mlruns.db"])
    with pytest.raises(MissingExtraError, match=r"pip install 'synth\[mlflow\]'"):
        run(config, out="never")
    assert not Path("never").exists()


@pytest.mark.parametrize(
    "tracking",
    [{"uri": uri} for uri in ("postgresql://ada:secret@host/db", "http//ada:secret@host", "http://ada:se cret@host", 3)]
    + ["http://ada:secret@host", {"uri": "http://ada:secret@host", "experiment": ""}],
)
def test_a_password_is_in_no_message(tracking: object) -> None:
    with pytest.raises(ConfigError, match="tracking") as said:
        RunConfig.parse({"name": "a", "data": "b", "tracking": tracking})
    assert "cret" not in str(said.value)
    if isinstance(tracking, dict) and isinstance(tracking["uri"], str) and len(tracking) == 1:
        with pytest.raises(ConfigError, match="give an MLflow store") as told:
            destination(tracking["uri"])
        assert "cret" not in str(told.value)


@pytest.mark.attack("edits a figure of a run before it is tracked", "refused: it is not as it was sealed")
def test_an_edited_run_is_not_tracked(work: Path, tmp_path: Path) -> None:
    file = work / "people" / "measurements.json"
    document = json.loads(file.read_text())
    document["measurements"][0]["score"]["value"] = 0.0
    file.write_text(json.dumps(document))
    with pytest.raises(VerificationError):
        track(Run.open("people"), TrackingConfig(uri=f"sqlite:///{tmp_path / 'mlruns.db'}"))
    assert not (tmp_path / "mlruns.db").exists()


# commands -------------------------------------------------------------------------------------------------------------------


def test_gate_and_evaluate_track_too(work: Path, server: str) -> None:
    rejected = synth("gate", "people", "--policy", "strict.yaml", "--track", server)
    assert rejected.returncode == 1, rejected.stderr
    assert f"at {server}" in rejected.stderr
    options = ["--real", "people.csv", "--synthetic", "people/export/data.csv", "--only", "fidelity.shape", "--out", "judged"]
    measured = synth("evaluate", *options, "--track", server, "--quiet")
    assert measured.returncode == 0, measured.stderr
    assert measured.stderr == ""
    client = MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name("synth")
    (found,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'judged'")
    assert found.data.tags["synth.decision"] == "not judged"
    assert found.data.params["real"] == "people.csv"
    assert [entry.dataset.name for entry in found.inputs.dataset_inputs] == ["people/train", "people/synthetic"]


def test_two_processes_may_make_one_new_store_at_once(work: Path, tmp_path: Path) -> None:
    shutil.copytree("people", "others")
    store = f"sqlite:///{tmp_path / 'new' / 'mlruns.db'}"
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    commands = [[sys.executable, "-m", "synth", "track", name, "--to", store, "--json"] for name in ("people", "others")]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [json.loads(process.communicate(timeout=200)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all(one["is_new"] for one in said)


# the network ----------------------------------------------------------------------------------------------------------------

HEARD = """
import json, sys
heard = []
sys.addaudithook(lambda event, arguments: heard.append(str(arguments[1])) if event == "socket.connect" else None)
sys.path.insert(0, sys.argv.pop(1))
from synth.cli import main
try:
    main()
except SystemExit as end:
    print(json.dumps({"code": end.code, "heard": heard, "mlflow": "mlflow" in sys.modules}), file=sys.stderr)
"""


def heard(*arguments: object, **environment: str) -> dict[str, Any]:
    """What a command connects to, and whether it imports MLflow."""
    command = [sys.executable, "-c", HEARD, str(HERE), *map(str, arguments)]
    for name in ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS"):  # by which MLflow would know that it is being tested
        environment[name] = ""
    kept = {name: value for name, value in (os.environ | environment).items() if value}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=kept, timeout=300)
    said: dict[str, Any] = json.loads(ended.stderr.strip().splitlines()[-1])
    return said


def test_nothing_is_sent_anywhere_unless_it_is_asked_for(work: Path, server: str, tmp_path: Path) -> None:
    assert heard("run", "config.yaml", "--out", "silent") == {"code": 0, "heard": [], "mlflow": False}
    told = heard("track", "silent", "--to", f"sqlite:///{tmp_path / 'mlruns.db'}", MLFLOW_DISABLE_TELEMETRY="false")
    assert told == {"code": 0, "heard": [], "mlflow": True}
    told = heard("track", "silent", "--to", server, MLFLOW_DISABLE_TELEMETRY="false")
    address = ("127.0.0.1", int(server.rsplit(":", 1)[1]))
    assert (told["code"], set(told["heard"])) == (0, {str(address)})


def test_the_network_would_be_heard(work: Path, tmp_path: Path) -> None:
    told = heard("track", "people", "--to", nobody())
    assert told["code"] == 2
    assert told["heard"]


def test_the_environment_is_put_back(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "11")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    before = dict(os.environ)
    track(Run.open("people"), TrackingConfig(uri=f"sqlite:///{tmp_path / 'mlruns.db'}"))
    assert dict(os.environ) == before
