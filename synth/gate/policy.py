"""`Policy`: rules on measurements, in YAML, each with its reason; and what the rules say of a table.

A rule compares a figure, or its excess over what real rows score, with a limit; `synth.gate.judging` says how. A figure that
is missing, crashed, was skipped or is not a number is never a pass. Any blocking fail rejects; else anything blocking that is
not a pass makes the verdict inconclusive, unless the policy says what else such a doubt means (`meaning`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from synth.data.yaml_text import parse_yaml
from synth.errors import ConfigError, InputError, did_you_mean
from synth.gate.attempts import SKETCH, AttemptLog
from synth.gate.judging import judge_all
from synth.gate.requirements import unmet
from synth.gate.rules import (
    PARTS,
    RENAMED,
    Approvers,
    Attempts,
    Check,
    Format,
    Meaning,
    Part,
    Requirements,
    Signers,
    WaiverRules,
)
from synth.gate.verdict import Attempt, Profile, Verdict, decide
from synth.gate.waivers import Waiver
from synth.gate.waiving import waive
from synth.metrics.measurement import Measurements

PINNED = re.compile(r"(?P<name>.+)@(?P<pin>\d+\.\d+\.\d+|sha256:[0-9a-fA-F]*)")
LEAST_HEX = 8  # digits of a digest that pin a policy


class Policy(Part):
    """Rules on measurements. Its digest names its exact content."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$", description="semantic version")
    title: str
    description: str
    profile: Profile = Field(
        "internal",
        description="who may see the rows: anybody, a partner under agreement, or only the house that holds the real ones",
    )
    requires: Requirements = Requirements()
    checks: tuple[Check, ...] = Field(min_length=1)
    meaning: Meaning = Meaning()
    waivers: WaiverRules = WaiverRules()
    approvers: Signers = Field(
        Approvers(automatic=True), description="who signs: a number of persons, or more about it; by default the machine alone"
    )
    attempts: Attempts = Attempts()
    formats: tuple[Format, ...] = Field(("parquet", "csv", "arrow"), min_length=1)

    @model_validator(mode="after")
    def _one_rule_a_measure(self) -> Self:
        if twice := _twice([check.measure for check in self.checks]):
            raise ValueError("; ".join(twice))
        return self

    def __repr__(self) -> str:
        blocking = sum(check.severity == "block" for check in self.checks)
        return f"Policy({self.name} {self.version}: {len(self.checks)} rules, {blocking} can block; {self.title})"

    __str__ = __repr__

    @classmethod
    def load(cls, source: str | Path) -> Policy:
        """A packaged policy by name, or a policy file; pinned by "research@3.0.0" or "research@sha256:<8 or more digits>".

        Raises ConfigError, with the nearest right name or key, and where the policy is not the one that was pinned.
        """
        pinned = None if Path(source).exists() else PINNED.fullmatch(str(source))
        policy = cls._of(pinned["name"] if pinned else source)
        if pinned:
            policy._check_pin(pinned["pin"])
        return policy

    @classmethod
    def _of(cls, source: str | Path) -> Policy:
        if str(source) in packaged():
            return cls.parse(_packaged_text(str(source)), origin=f"policy {source}")
        policy = cls.parse(text_of(source), origin=str(source))
        if policy.name in packaged() and policy.digest() != cls.load(policy.name).digest():
            raise ConfigError(
                f"{source} is named {policy.name!r} but is not the packaged policy of that name; give it a name of its own,\n"
                "or exports approved under it pass for what they are not"
            )
        return policy

    def _check_pin(self, pin: str) -> None:
        digest = self.digest()
        if pin.startswith("sha256:"):
            wanted = pin.removeprefix("sha256:").lower()
            if len(wanted) < LEAST_HEX:
                raise ConfigError(f"{pin!r} pins a policy by {len(wanted)} digits of its digest; give {LEAST_HEX} or more")
            if digest.startswith(wanted):
                return
        elif pin == self.version:
            return
        known = [version for name, version, known in released() if name == self.name and (version == pin or known[:8] in pin)]
        earlier = f"; {known[0]} came with an earlier synth" if known else ""
        raise ConfigError(
            f"policy {self.name!r} is version {self.version} (sha256:{digest[:12]}…), not {pin}{earlier};\n"
            f"see `synth policies show {self.name}`, and pin the one that you have read"
        )

    @classmethod
    def parse(cls, text: str, *, origin: str = "policy") -> Policy:
        """Check a policy's YAML. Raises ConfigError."""
        found = _validated(text)
        if isinstance(found, Policy):
            return found
        more = f" (and {len(found) - 1} more; `synth policies validate` names them all)" if len(found) > 1 else ""
        raise ConfigError(f"{origin}: {found[0]}{more}")

    @classmethod
    def mistakes(cls, text: str) -> tuple[str, ...]:
        """Every mistake in a policy's YAML, in words; nothing where it is a policy."""
        found = _validated(text)
        return () if isinstance(found, Policy) else found

    def digest(self) -> str:
        """SHA-256 (hex) of the policy as canonical JSON."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The policy as canonical JSON: the bytes that its digest is of."""
        plain = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return plain.encode()

    def judge(self, measurements: Measurements, *, waivers: Iterable[Waiver] = (), log: AttemptLog | None = None) -> Verdict:
        """What the rules say of these measurements, as an attempt that is logged and counts, whatever comes of it.

        The same measurements under the same policy are the same attempt. waivers: whose signatures were checked; one that does
        not fit these rows, this policy or today is refused in the verdict. log: by default this machine's.
        Raises InputError for what is not the `Measurements` of `evaluate`, and what the log raises.
        """
        found = _checked(measurements)
        with (AttemptLog.of_machine() if log is None else log).attempt(
            data=_sketch(found),
            policy=self.name,
            policy_version=self.version,
            policy_digest=self.digest(),
            measurements=found.digest(),
            synthetic=found.context["digests"]["synthetic"],
        ) as logged:
            verdict = self._verdict(found, Attempt(logged.number, logged.total), waivers)
            logged.decided(verdict.decision)
        return replace(verdict, entry=logged.entry)

    def assess(self, measurements: Measurements) -> Verdict:
        """What the rules say of these measurements, for a look: nothing is logged, and the verdict cannot be signed.

        Raises InputError for what is not the `Measurements` of `evaluate`.
        """
        return self._verdict(_checked(measurements), None, ())

    def persons_needed(self, verdict: Verdict) -> int:
        """How many persons must sign an approval; 0 where the key of the machine that judged is enough."""
        late = verdict.attempt is None or verdict.attempt.number > self.attempts.person_after
        return 0 if self.approvers.automatic and not verdict.waived and not late else self.approvers.count

    def _verdict(self, measurements: Measurements, attempt: Attempt | None, waivers: Iterable[Waiver]) -> Verdict:
        context = {key: value for key, value in measurements.context.items() if key != SKETCH}
        digests = {**context.get("digests", {}), "measurements": measurements.digest()}
        judged = unmet(self.requires, context, self.meaning)
        number = attempt.number if attempt is not None and self.attempts.widen else 1
        for check in self.checks:
            judged += judge_all(check, measurements.named(check.measure), self.meaning, number)
        findings, refused = waive(
            tuple(judged), waivers, self.waivers, synthetic=digests.get("synthetic"), policy_digest=self.digest()
        )
        return Verdict(
            decision=decide(findings),
            policy=self.name,
            policy_version=self.version,
            policy_digest=self.digest(),
            findings=findings,
            context={**context, "digests": digests},
            profile=self.profile,
            formats=self.formats,
            attempt=attempt,
            refused_waivers=refused,
            measurements=measurements,
            rules=self.to_bytes(),
        )


def packaged() -> tuple[str, ...]:
    """The names of the policies that come with synth."""
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml")))


def released() -> tuple[tuple[str, str, str], ...]:
    """Every version of every packaged policy that was ever released: name, version and digest."""
    lines = _folder().joinpath("released.txt").read_text(encoding="utf-8").splitlines()
    entries = [line.split() for line in lines if line and not line.startswith("#")]
    return tuple((name, version, digest) for name, version, digest in entries)


def text_of(source: str | Path) -> str:
    """What a policy file, or the packaged policy of that name, holds. Raises ConfigError where there is none."""
    path = Path(source)
    if str(source) in packaged():
        return _packaged_text(str(source))
    if path.suffix not in (".yaml", ".yml", ".json") and not path.exists():
        raise ConfigError(f"no policy {str(source)!r}{did_you_mean(str(source), packaged())}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"policy file {path} cannot be read: {problem}") from problem


def _folder() -> Traversable:
    return resources.files("synth.gate").joinpath("policies")


def _packaged_text(name: str) -> str:
    return _folder().joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def _checked(measurements: Measurements) -> Measurements:
    if not isinstance(measurements, Measurements):
        raise InputError(
            f"a {type(measurements).__name__} cannot be judged; give the Measurements that synth.evaluate(train, holdout, "
            "synthetic) returns"
        )
    return measurements


def _sketch(measurements: Measurements) -> Any:
    """Which real rows the figures are about, for the log."""
    if SKETCH not in measurements.context:
        raise InputError(
            "these measurements do not say which real rows they are about, so the attempt cannot be counted;\n"
            "evaluate the rows again, or have a look only: Policy.assess(measurements)"
        )
    return measurements.context[SKETCH]


def _validated(text: str) -> Policy | tuple[str, ...]:
    """The policy that a YAML text holds, or all that is wrong with it."""
    try:
        document = parse_yaml(text)
    except ValueError as problem:
        return (f"is not YAML: {problem}",)
    try:
        return Policy.model_validate(document)
    except ValidationError as problem:
        emptied = ("checks",) if _raw_names(document) else None  # every rule is wrong, which is not to have none
        found = [error for error in problem.errors() if error["type"] != "too_short" or error["loc"] != emptied]
    errors = sorted(found, key=lambda error: error["type"] != "extra_forbidden")  # a misspelt key may explain the others
    said = [_in_words(error["loc"], error["type"], error["msg"]) for error in errors]
    if any(error["loc"] for error in errors):  # rules that are wrong by themselves were not yet looked at together
        said += _twice(_raw_names(document))
    return tuple(dict.fromkeys(said))


def _in_words(place: tuple[int | str, ...], kind: str, message: str) -> str:
    """A mistake in one line, with the nearest right key."""
    path = ".".join(str(step) for step in place)
    if kind != "extra_forbidden":
        return f"{path or 'the policy'}: {message.removeprefix('Value error, ')}"
    key = str(place[-1])
    if key in RENAMED:
        return f"unknown key {path!r}: {RENAMED[key]}"
    model = PARTS.get(".".join(step for step in place[:-1] if isinstance(step, str)), Policy)
    return f"unknown key {path!r}{did_you_mean(key, model.model_fields)}"


def _twice(names: list[str]) -> list[str]:
    return [f"two rules are about {name!r}; keep one" for name in dict.fromkeys(names) if names.count(name) > 1]


def _raw_names(document: Any) -> list[str]:
    """The measures that a document which is not a policy yet has rules about."""
    rules = document.get("checks") if isinstance(document, dict) else None
    return [str(rule["measure"]) for rule in rules or () if isinstance(rule, dict) and "measure" in rule]
