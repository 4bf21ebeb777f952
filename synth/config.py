"""A run config: pydantic models read from YAML, with the nearest right key in the error for a wrong one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from synth.data.blind import read_blind
from synth.data.constraints import check_constraints
from synth.data.sources import read
from synth.data.table import Table
from synth.data.yaml_text import parse_yaml
from synth.errors import ConfigError, did_you_mean
from synth.privacy.budget import Budget

BESIDE_A_BUDGET = {  # why a part of a config does not go with a budget
    "generator.fit_to_policy": "a search looks at the rows again and again",
    "generator.seed": "who knew the seed of the noise could take it off again",
    "evaluate": "exact figures on real rows are outside any budget",
    "split": "which rows a seed holds out changes altogether with one row more",
    "data.holdout": "nothing is measured on held-out rows",
    "tracking": "what is tracked is about exact figures",
}
EXPERIMENT = "synth"  # where runs are tracked that name no experiment


class Part(BaseModel):
    """Base of every part of a config: frozen, and no key that nothing reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class DataConfig(Part):
    """Which table, and what its columns are for."""

    source: str = Field(description="a file, or `bundled:NAME` for a table that comes with synth")
    otherwise: str | None = Field(None, description="what to read where `source` is a file that is not there")
    holdout: str | None = Field(None, description="a file of rows never trained on; without it the source is split")
    schema_: str | dict[str, Any] | None = Field(None, alias="schema", description="a schema file, or overrides in place")
    target: str | None = Field(None, description="the column that models are to predict")
    sensitive: list[str] | None = Field(None, description="the columns that people must be treated alike by")
    subject: str | None = Field(None, description="the column that names the person a row is about")
    key: str | None = Field(None, description="the column that names the row; it is issued anew")
    time: str | None = Field(None, description="the column that orders the rows in time")
    drop: list[str] | None = Field(None, description="columns that are left out of everything made")


class SplitConfig(Part):
    """How the rows are parted where no holdout file is given."""

    holdout: float = Field(0.3, gt=0, lt=1, description="share of the rows, or of the subjects, that is held out")
    by: Literal["row", "subject", "time"] | None = Field(None, description="by default what the schema calls for")
    seed: int | None = Field(None, ge=0, description="by default the run's seed")


class GeneratorConfig(Part):
    """Which method, with which hyperparameters."""

    name: str = Field("trees", description="a method of `synth generators`")
    params: dict[str, Any] = Field(default_factory=dict, description="its hyperparameters; by default its own")
    seed: int | None = Field(None, ge=0, description="by default the run's seed")
    fit_to_policy: bool = Field(
        False,
        description="choose the most faithful setting that keeps the policy's limits on membership and copies, on an inner "
        "split of the training rows",
    )
    prefer: Literal["faithful", "private"] = Field(
        "faithful",
        description="with `fit_to_policy`: the most faithful setting that keeps those limits, or the most private one that "
        "the policy's other blocking rules still let through",
    )
    search_seconds: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="with `fit_to_policy`: how long to search, so that what is chosen "
        "depends on how fast the machine is; by default to the end",
    )

    @model_validator(mode="after")
    def _only_for_a_search(self) -> Self:
        for name, given in (("search_seconds", self.search_seconds is not None), ("prefer", self.prefer != "faithful")):
            if given and not self.fit_to_policy:
                raise ValueError(f"`{name}` goes with `fit_to_policy: true`; nothing is searched without it")
        return self


class SampleConfig(Part):
    """How many rows are made, and under which condition."""

    n: int | None = Field(
        None, ge=1, description="by default as many as the training table has; under a budget about as many, by noisy counts"
    )
    where: str | dict[str, Any] | None = Field(None, description="a condition that every row satisfies")
    seed: int | None = Field(None, ge=0, description="by default the run's seed")


class EvaluateConfig(Part):
    """What is measured, and how much time it may take."""

    only: list[str] | None = Field(
        None, min_length=1, description="metrics or families; by default all. A policy's rule on another one is then missing"
    )
    budget_seconds: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="what has not begun by then is skipped; by default there is no limit"
    )
    fits: int = Field(
        0, ge=0, le=100, description="further fits of the generator, with other seeds, for the spread between fits"
    )
    shadow: int = Field(
        0, ge=0, le=1000, description="shadow models for the attack on the most vulnerable rows; each costs a fit"
    )


class ExportConfig(Part):
    """Which files an approved table leaves in."""

    formats: tuple[Literal["parquet", "csv", "arrow", "huggingface"], ...] = Field(
        ("parquet",), min_length=1, description="`huggingface`, a folder for its hub, goes alone"
    )

    @model_validator(mode="after")
    def _one_folder(self) -> Self:
        if "huggingface" in self.formats and len(self.formats) > 1:
            raise ValueError("`huggingface` goes alone, with a README.md of its own; leave the other formats out")
        return self


class TrackingConfig(Part):
    """Where a run is written down beside its folder, so that many can be compared. Needs the extra `mlflow`."""

    uri: str = Field(
        description="an MLflow store: `sqlite:///FILE`, or the `http://…` or `https://…` of a server",
        pattern=r"^(sqlite:///|https?://)[^\s]+$",
    )
    experiment: str = Field(EXPERIMENT, min_length=1, max_length=500, description="made where it is not there")


class PrivacyConfig(Part):
    """The privacy budget of a run: what may become known about any one row or subject, and of which data set it is spent."""

    epsilon: float = Field(gt=0, allow_inf_nan=False, description="the most that may become known; 1 is strict, 10 is loose")
    delta: float = Field(gt=0, lt=1, description="the chance that ε may be missed by; far below one over the rows")
    dataset: str = Field(min_length=1, description="the ledger's name for these people, the same whenever they are looked at")
    unit: Literal["row", "subject"] = Field("row", description="what is protected: a row, or all rows of a subject")
    rows_per_subject: int | None = Field(None, ge=1, description="with `unit: subject`: the most rows that one has")
    facts_share: float = Field(
        0.0, ge=0, le=0.9, description="share of the budget that buys what the schema does not declare; 0 refuses to"
    )

    judging_share: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="share of the budget that buys noisy counts of columns and pairs to judge the rows by; by default none for "
        "marginals, which keeps the counts that it learned from, and 0.1 for other methods",
    )

    @property
    def budget(self) -> Budget:
        """Raises ConfigError for a unit that does not fit."""
        return Budget(self.epsilon, self.delta, self.unit, self.rows_per_subject)


class RunConfig(Part):
    """One job: a real table in, a judged synthetic table out."""

    name: str = Field(description="names the run folder", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str | None = Field(None, description="heads the report; by default the name")
    seed: int = Field(0, ge=0, description="same data, config and seed: the same bytes")
    data: DataConfig
    split: SplitConfig = SplitConfig()
    generator: GeneratorConfig = GeneratorConfig()
    sample: SampleConfig = SampleConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    policy: str = Field("privacy-release", description="a packaged policy, or a policy file")
    export: ExportConfig = ExportConfig()
    tracking: TrackingConfig | None = Field(None, description="by default no run is tracked")
    privacy: PrivacyConfig | None = Field(None, description="a privacy budget, and what it is spent on; by default none")

    @field_validator("data", mode="before")
    @classmethod
    def _source_alone(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _nothing_beside_the_budget(self) -> Self:
        """Under a budget the rows are looked at once, through noise."""
        if self.privacy is None:
            return self
        beside = {
            "generator.fit_to_policy": self.generator.fit_to_policy,
            "generator.seed": self.generator.seed is not None,
            "evaluate": self.evaluate != EvaluateConfig(),
            "split": self.split != SplitConfig(),
            "data.holdout": self.data.holdout is not None,
            "tracking": self.tracking is not None,
        }
        for name, given in beside.items():
            if given:
                raise ValueError(f"`{name}` does not go with `privacy`: {BESIDE_A_BUDGET[name]}; leave it out")
        return self

    @field_validator("generator", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def seed_of(self, part: SplitConfig | GeneratorConfig | SampleConfig) -> int:
        """The seed of one step: its own, or the run's."""
        return self.seed if part.seed is None else part.seed

    def to_yaml(self) -> str:
        """The config with every default written out, as it is kept in the run folder.

        Where it is tracked is left out: that makes no difference to the run, and a URI may hold a password.
        """
        document = self.model_dump(by_alias=True, mode="json", exclude={"tracking"})
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON Schema (draft 2020-12) of a run config, as it is published."""
        version = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:synth:schema:run-config:1"}
        document = cls.model_json_schema(by_alias=True)
        for name, stands_for in (("data", "source"), ("generator", "name")):
            short = {"type": "string", "description": f"short for its `{stands_for}` alone"}
            document["properties"][name] = {"anyOf": [{"$ref": f"#/$defs/{name.capitalize()}Config"}, short]}
        return version | document

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
        """Read a config file; `overrides` are texts such as "generator.params.min_samples_leaf=30".

        ${NAME} and ${NAME:-default} stand for environment variables. Paths in `data` that are not absolute start at the
        working directory. Raises ConfigError for a file that is missing or not YAML, and for keys and values that are not
        allowed, with the nearest right key.
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as problem:
            raise ConfigError(f"config {file} cannot be read: {problem.strerror}; give the path of a YAML file") from problem
        except UnicodeDecodeError as problem:
            raise ConfigError(f"config {file} is not UTF-8 text (byte {problem.start}); save it as UTF-8") from problem
        return cls.from_text(text, overrides, origin=f"config {file}")

    @classmethod
    def from_text(cls, text: str, overrides: Sequence[str] = (), *, origin: str = "config") -> RunConfig:
        """The config that a YAML text holds, as `load` reads it from a file. Raises ConfigError."""
        document = value_of(text, origin)
        if not isinstance(document, dict):
            raise ConfigError(f"{origin} is empty or not a mapping; it needs at least `name` and `data`")
        for override in overrides:
            _set(document, override)
        return cls.parse(_expand(document), origin=origin.removeprefix("config "))

    @classmethod
    def parse(cls, document: dict[str, Any], *, origin: str = "config") -> RunConfig:
        """Check a config that is already in memory. Raises ConfigError."""
        try:
            return cls.model_validate(document)
        except ValidationError as problem:
            raise ConfigError(_in_words(problem, origin)) from None


def whole_table(config: RunConfig) -> Table:
    """All rows of a config, none refused for what it holds: an error would tell of a row, and under a budget none may."""
    return read_blind(_source(config), schema=config.data.schema_, **_roles(config))


def _roles(config: RunConfig) -> dict[str, Any]:
    return {role: getattr(config.data, role) for role in ("target", "sensitive", "subject", "key", "time", "drop")}


def _source(config: RunConfig) -> str:
    part = config.data
    here = part.otherwise is None or part.source.startswith("bundled:") or Path(part.source).exists()
    return part.source if here or part.otherwise is None else part.otherwise


def tables(config: RunConfig) -> tuple[Table, Table]:
    """The training and holdout rows of a config, under one schema."""
    part, source = config.data, _source(config)
    holdout = part.holdout if source == part.source else None
    table = read(source, schema=part.schema_, **_roles(config))
    check_constraints(table)
    if holdout is not None:
        return table, read(holdout, schema=table.schema)
    return table.split(config.split.holdout, seed=config.seed_of(config.split), by=config.split.by)


def value_of(text: str, origin: str) -> Any:
    """The value that a YAML text stands for; nothing gives None. Raises ConfigError for what is not YAML."""
    try:
        return parse_yaml(text)
    except ValueError as problem:
        raise ConfigError(f"{origin} is not YAML: {problem}") from problem


def _set(document: dict[str, Any], override: str) -> None:
    path, mark, text = override.partition("=")
    if not mark or not path:
        raise ConfigError(f"--set {override!r} is not of the form a.b=value; write, for instance, generator.name=trees")
    *parents, last = path.strip().split(".")
    at: Any = document
    for name in parents:
        if isinstance(at.get(name), str):  # `generator: trees` is short for `generator: {name: trees}`
            at[name] = {"source" if name == "data" else "name": at[name]}
        at = at.setdefault(name, {})
        if not isinstance(at, dict):
            raise ConfigError(f"--set {override!r}: {name!r} is a single value; nothing can be set inside it")
    at[last] = value_of(text, f"--set {override!r}")


def _expand(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", _variable, value)
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    return [_expand(item) for item in value] if isinstance(value, list) else value


def _variable(match: re.Match[str]) -> str:
    name, default = match.group(1), match.group(2)
    found = os.environ.get(name, default)
    if found is None:
        raise ConfigError(f"the config uses ${{{name}}}, but that environment variable is not set; set it, or write a default")
    return found


def without_credentials(uri: str) -> str:
    """A URI without the name and the password that may stand in it, however the rest is written; SQLite's have none."""
    return uri if "sqlite:///" in uri else re.sub(r"^(.*?//|['\"]?).*@", r"\1", uri)


def _in_words(problem: ValidationError, origin: str) -> str:
    """The first mistake in one line, with the nearest right key."""
    mistakes = problem.errors()
    first = next((m for m in mistakes if m["type"] == "extra_forbidden"), mistakes[0])  # a misspelt key explains a missing one
    path = ".".join(str(step) for step in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1])
        words = f"{origin}: unknown key {path!r}{did_you_mean(str(first['loc'][-1]), known)}"
    elif first["type"] == "missing":
        words = f"{origin}: {path!r} is missing; every run config needs it"
    else:
        given = repr(first["input"])
        words = f"{origin}: {path} is {without_credentials(given) if path.startswith('tracking') else given}: {first['msg']}"
    return words + (f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else "")


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] | None = RunConfig
    for step in path:
        field = model.model_fields.get(str(step)) if model is not None else None
        inner = field.annotation if field is not None else None
        inner = next((one for one in get_args(inner) if isinstance(one, type) and issubclass(one, BaseModel)), inner)
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]
