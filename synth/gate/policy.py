"""`Policy`: rules on measurements, in YAML, each with its reason; and what the rules say of a table.

A rule compares a figure, or its excess over what real rows score, with a limit; `synth.gate.judging` says how. A figure that
is missing, crashed, was skipped or is not a number is never a pass. Any blocking fail rejects; else anything blocking that is
not a pass makes the verdict inconclusive.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from synth.data.yaml_text import parse_yaml
from synth.errors import ConfigError, InputError, did_you_mean
from synth.gate.judging import judge_all
from synth.gate.verdict import Finding, Severity, Verdict, decide
from synth.metrics.measurement import Measurements


class Part(BaseModel):
    """Base of every part of a policy: frozen, and no key that nothing reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(Part):
    """One rule."""

    measure: str = Field(description="a metric by name; a metric with groups is judged group by group")
    limit: float | None = Field(None, description="how far the figure itself may go")
    excess: float | None = Field(None, description="how far it may go beyond what real rows score in its place")
    relative: float = Field(
        0.0,
        ge=0,
        description="with `excess`: further allowance, as a share of what real rows score (where strangers often coincide)",
    )
    severity: Severity = Field("block", description="block, warn, or only report")
    alarm: bool = Field(
        False,
        description="fails where harm is shown (the favourable end is beyond the limit); otherwise nothing was found, which is "
        "no evidence of safety",
    )
    confidence: float = Field(
        0.975,
        ge=0.9,
        lt=1,
        description="with which, one-sided, the unfavourable end must keep the limit; .975 is the end of the 95% interval",
    )
    insufficient: Literal["inconclusive", "note"] = Field(
        "inconclusive",
        description="what a group or column means whose rows are too few to decide: a blocking doubt, or a note; never a pass",
    )
    why: str = Field(min_length=10, description="the reason for the rule, in a sentence")

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        given = [value for value in (self.limit, self.excess) if value is not None]
        if len(given) != (0 if self.severity == "report" else 1):
            raise ValueError("a rule has either `limit` or `excess`; only one of severity `report` has neither")
        if self.relative and self.excess is None:
            raise ValueError("`relative` goes with `excess`")
        if "@" in self.measure and self.severity == "block":
            ours, _, theirs = self.measure.partition("@")
            raise ValueError(
                f"{self.measure!r} is the definition of {theirs}, kept for comparison with its faults: it can warn or report "
                f"but never block; give the rule the severity `report`, or name {ours!r}"
            )
        return self


class Requirements(Part):
    """What must be there before any figure counts."""

    holdout: bool = Field(True, description="whether real rows must have been held out")
    min_train: int = Field(0, ge=0)
    min_holdout: int = Field(0, ge=0)
    min_synthetic: int = Field(1, ge=0)
    target: bool = Field(False, description="whether a target column must be named")
    sensitive: bool = Field(False, description="whether sensitive columns must be named")


class Policy(Part):
    """Rules on measurements. Its digest names its exact content."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$", description="semantic version")
    title: str
    description: str
    requires: Requirements = Requirements()
    checks: tuple[Check, ...] = Field(min_length=1)
    formats: tuple[Literal["parquet", "csv", "arrow", "sql", "huggingface"], ...] = Field(("parquet", "csv", "arrow"), min_length=1)

    @model_validator(mode="after")
    def _one_rule_a_measure(self) -> Self:
        names = [check.measure for check in self.checks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are about {name!r}; keep one")
        return self

    def __repr__(self) -> str:
        blocking = sum(check.severity == "block" for check in self.checks)
        return f"Policy({self.name} {self.version}: {len(self.checks)} rules, {blocking} can block; {self.title})"

    __str__ = __repr__

    @classmethod
    def load(cls, source: str | Path) -> Policy:
        """A packaged policy by name, or a policy file. Raises ConfigError, with the nearest right name or key."""
        if str(source) in packaged():
            text = resources.files("synth.gate").joinpath("policies", f"{source}.yaml").read_text(encoding="utf-8")
            return cls.parse(text, origin=f"policy {source}")
        policy = cls._of_file(Path(source))
        if policy.name in packaged() and policy.digest() != cls.load(policy.name).digest():
            raise ConfigError(
                f"{source} is named {policy.name!r} but is not the packaged policy of that name; give it a name of its own,\n"
                "or exports approved under it pass for what they are not"
            )
        return policy

    @classmethod
    def _of_file(cls, path: Path) -> Policy:
        if path.suffix not in (".yaml", ".yml", ".json") and not path.exists():
            raise ConfigError(f"no policy {str(path)!r}{did_you_mean(str(path), packaged())}")
        try:
            return cls.parse(path.read_text(encoding="utf-8"), origin=str(path))
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigError(f"policy file {path} cannot be read: {problem}") from problem

    @classmethod
    def parse(cls, text: str, *, origin: str = "policy") -> Policy:
        """Check a policy's YAML. Raises ConfigError."""
        try:
            document = parse_yaml(text)
        except ValueError as problem:
            raise ConfigError(f"{origin} is not YAML: {problem}") from problem
        try:
            return cls.model_validate(document)
        except ValidationError as problem:
            raise ConfigError(_in_words(problem, origin)) from None

    def digest(self) -> str:
        """SHA-256 (hex) of the policy as canonical JSON."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The policy as canonical JSON: the bytes that its digest is of."""
        plain = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return plain.encode()

    def judge(self, measurements: Measurements) -> Verdict:
        """What the rules say of these measurements. Raises InputError for what is not the `Measurements` of `evaluate`."""
        if not isinstance(measurements, Measurements):
            raise InputError(
                f"a {type(measurements).__name__} cannot be judged; give the Measurements that synth.evaluate(train, holdout, "
                "synthetic) returns"
            )
        judged = self._requirements(measurements.context)
        for check in self.checks:
            judged += judge_all(check, measurements.named(check.measure))
        findings = tuple(judged)
        digests = {**measurements.context.get("digests", {}), "measurements": measurements.digest()}
        return Verdict(
            decision=decide(findings),
            policy=self.name,
            policy_version=self.version,
            policy_digest=self.digest(),
            findings=findings,
            context={**measurements.context, "digests": digests},
            formats=self.formats,
            measurements=measurements,
            rules=self.to_bytes(),
        )

    def _requirements(self, context: Any) -> list[Finding]:
        """What the policy asks for before any figure counts, where it is not there."""
        rows, need = context.get("rows", {}), self.requires
        short = [
            (f"requires.min_{side}", f"the {side} table has {rows.get(side) or 0:,} rows; the policy wants at least {least:,}")
            for side, least in (("train", need.min_train), ("holdout", need.min_holdout), ("synthetic", need.min_synthetic))
            if (rows.get(side) or 0) < least
        ]
        if need.holdout and not rows.get("holdout"):
            short.append(("requires.holdout", "no real rows were held out; give some, or most of privacy stays unmeasured"))
        if need.target and not context.get("target"):
            short.append(("requires.target", "no target column is named; name it with --target or in the schema"))
        if need.sensitive and not context.get("sensitive"):
            short.append(("requires.sensitive", "no sensitive column is named; name them with --sensitive or in the schema"))
        why = "What the policy must see before any figure counts."
        return [Finding(name, "missing", "block", message, why) for name, message in short]


def packaged() -> tuple[str, ...]:
    """The names of the policies that come with synth."""
    folder = resources.files("synth.gate").joinpath("policies")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def _in_words(problem: ValidationError, origin: str) -> str:
    """The first mistake in one line, with the nearest right key."""
    mistakes = problem.errors()
    first = next((m for m in mistakes if m["type"] == "extra_forbidden"), mistakes[0])
    path = ".".join(str(step) for step in first["loc"])
    if first["type"] == "extra_forbidden":
        parts: dict[str, type[Part]] = {"checks": Check, "requires": Requirements}
        model = parts.get(str(first["loc"][0]), Policy)
        words = f"unknown key {path!r}{did_you_mean(str(first['loc'][-1]), model.model_fields)}"
    else:
        words = f"{path or 'the policy'}: {first['msg']}"
    return f"{origin}: {words}" + (f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else "")
