"""Runs and verdicts, written down in MLflow when asked, so that many can be compared.

What goes there is what the run's own report says: figures, config, verdict; rows and model stay in the run folder. Nothing is
sent unless a store is named, and MLflow's own telemetry is off while it works for us.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shlex
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from pydantic import ValidationError

from synth.config import EXPERIMENT, TrackingConfig, without_credentials
from synth.data.sketch import SKETCH
from synth.errors import ConfigError, MissingExtraError, SynthError
from synth.folder import alone
from synth.metrics.measurement import Measurement, Measurements
from synth.run_folder import Run

PATIENCE = 120.0  # seconds to wait for another process that writes to the same SQLite file; making a new store takes ten
LONGEST = 6_000  # characters of a parameter or a tag; MLflow's own limit
LONGEST_NAME = 200  # characters of a name, below MLflow's 250, with room for what `_figures` puts behind it
BATCH = {"metrics": 1_000, "params": 100}  # MLflow's limits on one request
DIGEST = 36  # characters of a data set's digest, all that MLflow's tables hold

SETTINGS = {  # of MLflow while it works for us, where the environment does not say otherwise
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for what `--json` says
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is not there is said at once, and not after four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}  # whatever the environment says


class TrackingError(SynthError):
    """The store could not be written to. The run folder is complete all the same."""

    def __init__(self, run: Path, to: TrackingConfig, why: str) -> None:
        self.run = run
        named = "" if to.experiment == EXPERIMENT else f" --experiment {shlex.quote(to.experiment)}"
        uri = without_credentials(to.uri)
        again = f"synth track {shlex.quote(str(run))} --to {shlex.quote(uri)}{named}"
        super().__init__(
            f"{run} is complete, but could not be tracked at {uri}: {why.replace(to.uri, uri)}\n"
            f"when that is mended, track it again: {again}"
        )


@dataclass(frozen=True)
class Tracked:
    """Where a run was written down."""

    uri: str  # without a password
    experiment: str
    run_id: str  # MLflow's
    is_new: bool  # False where the same state of the run was tracked before

    def __str__(self) -> str:
        before = "" if self.is_new else " (as before: nothing has changed since)"
        return f"tracked  run {self.run_id} of experiment {self.experiment!r} at {self.uri}{before}"


def destination(uri: str, experiment: str | None = None) -> TrackingConfig:
    """Where to track, checked before any work. Raises ConfigError, MissingExtraError."""
    try:
        to = TrackingConfig(uri=uri) if experiment is None else TrackingConfig(uri=uri, experiment=experiment)
    except ValidationError as problem:
        said = f"{without_credentials(uri)!r}: {problem.errors()[0]['msg']}"
        raise ConfigError(f"{said}; give an MLflow store: sqlite:///FILE, http://… or https://…") from None
    check_installed()
    return to


def check_installed() -> None:
    """Raise MissingExtraError where MLflow is not installed."""
    for package in ("mlflow", "sqlalchemy", "alembic"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("tracking", package, "mlflow")


def track(run: Run, to: TrackingConfig) -> Tracked:
    """Write a run down in MLflow: parameters, figures, data sets by digest, verdict and report; no rows, no model.

    A run whose state has been tracked there before is found, and not written twice; judged or exported again it is a new one.
    Raises DataError and VerificationError where the run is damaged or edited, ConfigError where its figures are internal (exact
    ones of rows made under a privacy budget), TrackingError where the store fails.
    """
    check_installed()
    run.check()
    if run.measurements.are_internal:
        raise ConfigError(
            f"{run.path} holds internal figures: exact, of rows made under a privacy budget, and outside of it; they stay in "
            "their folder.\nTrack a run of public ones (`synth evaluate --public`)"
        )
    record = _record(run)
    try:
        with _quiet_mlflow(), _alone_in(to.uri):
            return _send(record, to)
    except Exception as problem:  # whatever MLflow, its database or its network say: the run is safe, and that is what counts
        raise TrackingError(run.path, to, _why(problem)) from problem


def _why(problem: BaseException) -> str:
    """The system's own words where it was the system that refused, else those of the error."""
    root = problem
    while (deeper := root.__cause__ or root.__context__) is not None:
        root = deeper
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return " ".join(str(problem).split())[:200] or type(problem).__name__


# what is written down ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """All that leaves for the store."""

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    datasets: tuple[tuple[str, str, int, str], ...]  # name, digest, rows, what it was to the run
    files: Mapping[str, bytes]  # by path

    def digest(self) -> str:
        """SHA-256 (hex) of it all: what tells one state of a run from another."""
        files = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        said = [self.name, dict(self.params), dict(self.metrics), dict(self.tags), self.datasets, files]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _record(run: Run) -> Record:
    measured = run.measurements
    names = {_name(figure): figure.label for figure in measured}
    return Record(
        name=run.path.absolute().name,
        params=_params(run),
        metrics=_figures(measured) | _attempt(run),
        tags=_tags(run),
        datasets=_datasets(run),
        files=_files(run) | {"metric_names.json": _json({name: label for name, label in names.items() if name != label})},
    )


def _params(run: Run) -> dict[str, str]:
    """The config, or what `synth evaluate` was given, as `generator.params.min_samples_leaf` and so on."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in flattened(config_of(run))
    }
    return {_clean(name): _cut(text) for name, text in texts.items()}


def config_of(run: Run) -> dict[str, Any]:
    """The run's config, or what `synth evaluate` was given; nothing where the folder holds neither."""
    for name in ("config.yaml", "evaluated.json"):
        if (run.path / name).is_file():
            return dict(yaml.safe_load((run.path / name).read_bytes()))
    return {}


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a config with its place: "generator.params.min_samples_leaf"."""
    for name, value in values.items():
        if isinstance(value, dict) and value and prefix + name != "data.schema":  # which is keyed by columns
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _figures(measured: Measurements) -> dict[str, float]:
    """Every figure that has a score: its value, the ends of its interval, its n, and what real rows score."""
    found: dict[str, float] = {}
    for figure in measured:
        name, score, real = _name(figure), figure.score, figure.reference
        if score is not None:
            found |= {name: score.value, f"{name}/low": score.low, f"{name}/high": score.high, f"{name}/n": float(score.n)}
        if real is not None:
            found |= {f"{name}/reference": real.value}
    return found


def _attempt(run: Run) -> dict[str, float]:
    verdict = run.verdict
    return {} if verdict is None or verdict.attempt is None else {"attempt": float(verdict.attempt.number)}


def _tags(run: Run) -> dict[str, str]:
    measured, verdict = run.measurements, run.verdict
    origin = measured.context.get("provenance") or {}
    without = [f"{figure.label}: {figure.status}" for figure in measured if figure.score is None]
    tags = {
        "decision": "not judged" if verdict is None else verdict.decision,
        "standing": run.standing,
        "policy": None if verdict is None else verdict.policy,
        "policy_version": None if verdict is None else verdict.policy_version,
        "policy_digest": None if verdict is None else verdict.policy_digest,
        "generator": origin.get("generator"),
        "model_digest": origin.get("model_digest"),
        "synthetic_digest": measured.context["digests"]["synthetic"],
        "seed": measured.context["seed"],
        "version": measured.context["synth"],
        "figures_without_score": ", ".join(without),
    }
    return {f"synth.{name}": _cut(str(value)) for name, value in tags.items() if value not in (None, "")}


def _datasets(run: Run) -> tuple[tuple[str, str, int, str], ...]:
    context, config = run.measurements.context, config_of(run)
    data = config.get("data") or {}
    source = Path(str(data.get("source") or config.get("real") or "table").removeprefix("bundled:")).stem
    uses = {"train": "training", "holdout": "holdout", "synthetic": "synthetic"}
    return tuple(
        (f"{source}/{side}", context["digests"][side], context["rows"][side], use)
        for side, use in uses.items()
        if context["digests"].get(side) is not None
    )


def _files(run: Run) -> dict[str, bytes]:
    """What a person reads of a run. The figures leave without the sketch of the real rows."""
    figures = run.measurements.to_dict()
    figures["context"] = {name: value for name, value in figures["context"].items() if name != SKETCH}
    files = {"measurements.json": _json(figures)}
    for name in ("config.yaml", "evaluated.json", "verdict.json", "report.html"):
        if (run.path / name).is_file():
            files[name] = (run.path / name).read_bytes()
    if run.exported is not None and run.standing == "approved":
        for name in ("attestation.json", "README.md"):
            files[f"export/{name}"] = (run.exported / name).read_bytes()
    return files


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


# names that MLflow takes --------------------------------------------------------------------------------------------------


def _name(figure: Measurement) -> str:
    """`fairness.rate[sex=f, age=old]` is `fairness.rate/sex:f/age:old`; a part with other characters in it gets a digest."""
    inside = (
        [f"{_part(key)}:{_part(value)}" for key, value in figure.group.items()] if figure.group else map(_part, figure.columns)
    )
    return _short("/".join((figure.name.replace("@", ":"), *inside)))


def _clean(name: str) -> str:
    """The name of a parameter: of its parts between dots, those with forbidden characters in them get a digest."""
    return _short(".".join(map(_part, name.split("."))))


def _part(text: object) -> str:
    """A part as it is, or with `_` for what is not allowed, and then a digest, so that no two become the same."""
    plain = str(text)
    if re.fullmatch(r"[\w-](?:[\w .-]*[\w-])?", plain):
        return plain
    return re.sub(r"[^\w-]", "_", plain) + "-" + _mark(plain)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}-{_mark(name)}"


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"


# MLflow -----------------------------------------------------------------------------------------------------------------


@contextmanager
def _quiet_mlflow() -> Iterator[None]:
    """MLflow without telemetry, retries without end, and remarks on its own dependencies."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in before} | NO_TELEMETRY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in (*SETTINGS, *NO_TELEMETRY):
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


def _alone_in(uri: str) -> Any:
    """Two processes that make the tables of one new SQLite file at once would stumble over each other."""
    file = _sqlite_file(uri)
    return nullcontext() if file is None else alone(file, patience=PATIENCE)


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///").split("?")[0]).absolute() if uri.startswith("sqlite:///") else None


def _send(record: Record, to: TrackingConfig) -> Tracked:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=to.uri)
    experiment, digest = _experiment(client, to), record.digest()
    done = f"tags.`synth.record` = '{digest}' and attributes.status = 'FINISHED'"
    if earlier := client.search_runs([experiment], done, max_results=1):
        return Tracked(without_credentials(to.uri), to.experiment, earlier[0].info.run_id, is_new=False)

    id_ = client.create_run(experiment, run_name=record.name, tags={**record.tags, "synth.record": digest}).info.run_id
    try:
        at = int(time.time() * 1_000)
        params = [Param(name, value) for name, value in record.params.items()]
        metrics = [Metric(name, value, at, 0) for name, value in record.metrics.items()]
        for start in range(0, len(params), BATCH["params"]):
            client.log_batch(id_, params=params[start : start + BATCH["params"]])
        for start in range(0, len(metrics), BATCH["metrics"]):
            client.log_batch(id_, metrics=metrics[start : start + BATCH["metrics"]])
        client.log_inputs(id_, datasets=[_input(*dataset) for dataset in record.datasets])
        _send_files(client, id_, record.files)
        client.set_terminated(id_, "FINISHED")
    except BaseException:
        with suppress(Exception):  # the store may be gone; then the run stays RUNNING there, and is not found as done
            client.set_terminated(id_, "FAILED")
        raise
    return Tracked(without_credentials(to.uri), to.experiment, id_, is_new=True)


def _experiment(client: Any, to: TrackingConfig) -> str:
    """The experiment's id; it is made where it is missing, in SQLite with its files beside the database."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(to.experiment)
    if found is None:
        file = _sqlite_file(to.uri)
        place = None if file is None else (file.parent / "mlartifacts" / quote(to.experiment, safe="")).as_uri()
        try:
            return str(client.create_experiment(to.experiment, artifact_location=place))
        except MlflowException:  # somebody else made it in this moment
            found = client.get_experiment_by_name(to.experiment)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise ValueError(f"the experiment {to.experiment!r} was deleted there; restore it, or choose another name")
    return str(found.experiment_id)


def _input(name: str, digest: str, rows: int, use: str) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"sha256": digest})  # whole; MLflow has room for a part of it in the digest's own place
    dataset = Dataset(name, digest[:DIGEST], "synth", source, profile=json.dumps({"num_rows": rows}))
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", use)])


def _send_files(client: Any, run_id: str, files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        client.log_artifacts(run_id, folder)
