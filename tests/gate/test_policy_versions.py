"""A policy's version and digest name what it says; its published form describes it; version 3 judges as version 2 did."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
import yaml

from synth.errors import ConfigError
from synth.gate import schemas
from synth.gate.policy import Policy, packaged, released, text_of
from synth.gate.verdict import Verdict
from tests.gate.planted_figures import every, said

HERE = Path(__file__).parent


def unreleased(policy: Policy) -> str:
    """What is wrong with a packaged policy's entry in released.txt, or nothing."""
    entries = [(version, digest) for name, version, digest in released() if name == policy.name]
    if (policy.version, policy.digest()) in entries:
        return ""
    was = dict(entries).get(policy.version)
    why = "is in no release" if was is None else "was changed: raise its version"
    return f"{policy.name} {policy.version} {why}, then add: {policy.name} {policy.version} {policy.digest()}"


@pytest.mark.parametrize("name", packaged())
def test_a_packaged_policy_is_what_was_released_under_its_version(name: str) -> None:
    assert not unreleased(Policy.load(name))


@pytest.mark.parametrize("name", packaged())
@pytest.mark.attack(
    "loosens a packaged policy and leaves its version", "the list of released versions does not know its content"
)
def test_a_packaged_policy_cannot_change_under_its_version(name: str) -> None:
    document = yaml.safe_load(text_of(name))
    document["checks"][0]["why"] += " Really."
    assert "was changed: raise its version" in unreleased(Policy.model_validate(document))
    assert "is in no release" in unreleased(Policy.model_validate(document | {"version": "9.0.0"}))


def test_no_version_is_released_twice() -> None:
    assert len({(name, version) for name, version, _ in released()}) == len(released()) == len({line[2] for line in released()})


def test_version_3_says_of_every_planted_figure_what_version_2_said() -> None:
    """Made with the code and policies of version 2: 46 cases for each of its 98 rules. Rules that came later are not in it."""
    before = json.loads((HERE / "version2.json").read_text())
    now = every()
    assert {name: {rule: now[name][rule] for rule in rules} for name, rules in before.items()} == before
    assert set(now) - set(before) == {"image-release", "private-release"}  # which there were not
    assert sum(len(cases.split()) for rules in before.values() for cases in rules.values()) == 46 * 98


@pytest.mark.parametrize("excess", [0.0499, 0.0525])
def test_a_limit_that_was_moved_shows_in_that_comparison(excess: float) -> None:
    before = json.loads((HERE / "version2.json").read_text())["research"]["fidelity.shape"]
    research = Policy.load("research")
    check = next(check for check in research.checks if check.measure == "fidelity.shape")
    moved = research.model_copy(update={"checks": (check.model_copy(update={"excess": excess}),)})
    assert said(research, check, "lower") == before
    assert said(moved, check, "lower") != before


@pytest.mark.parametrize("name", packaged())
def test_a_pin_by_version_or_digest_loads_that_very_policy(name: str) -> None:
    policy = Policy.load(name)
    for pin in (policy.version, f"sha256:{policy.digest()[:8]}", f"sha256:{policy.digest().upper()}"):
        assert Policy.load(f"{name}@{pin}") == policy


@pytest.mark.parametrize(
    ("pin", "words"),
    [
        ("2.0.0", r"is version 3\.0\.0 \(sha256:9a971f6a4d61…\), not 2\.0\.0; 2\.0\.0 came with an earlier synth"),
        ("9.9.9", r"is version 3\.0\.0 .*, not 9\.9\.9;\n"),
        ("sha256:01b8d7d92676", "came with an earlier synth"),
        ("sha256:00000000", "not sha256:00000000"),
        ("sha256:9a971f6", "by 7 digits of its digest; give 8 or more"),
        ("sha256:", "by 0 digits"),
    ],
)
@pytest.mark.attack(
    "puts another version of a policy in the place of the pinned one", "the pin does not fit, and it is refused"
)
def test_a_wrong_pin_is_refused_in_words(pin: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Policy.load(f"research@{pin}")


def test_a_file_can_be_pinned_too_and_may_have_an_at_in_its_name(made: SimpleNamespace, tmp_path: Path) -> None:
    for name in ("mine.yaml", "mine@1.0.0"):
        (tmp_path / name).write_text(made.policy)
        assert Policy.load(tmp_path / name).version == "1.0.0"
    assert Policy.load(f"{tmp_path / 'mine.yaml'}@1.0.0").name == "small"
    with pytest.raises(ConfigError, match=r"not 1\.0\.1"):
        Policy.load(f"{tmp_path / 'mine.yaml'}@1.0.1")
    with pytest.raises(ConfigError, match="no policy 'mine@9'"):
        Policy.load("mine@9")


# the published forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", packaged())
def test_the_form_of_a_policy_describes_the_packaged_ones(name: str) -> None:
    form = schemas.policy()
    jsonschema.Draft202012Validator.check_schema(form)
    for document in (yaml.safe_load(text_of(name)), json.loads(Policy.load(name).to_bytes())):
        jsonschema.validate(document, form)
    document = yaml.safe_load(text_of(name))
    jsonschema.validate(document | {"approvers": 2}, form)
    for wrong in ({"approvers": "Ada"}, {"profile": "everybody"}, {"attempts": {"widens": True}}, {"formats": ["xlsx"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | wrong, form)


def test_the_form_of_a_verdict_describes_verdicts(made: SimpleNamespace) -> None:
    form = schemas.verdict()
    jsonschema.Draft202012Validator.check_schema(form)
    policy = Policy.parse(made.policy)
    items = (made.figure("fidelity.shape", 0.21, reference=0.01),)
    for verdict in (policy.judge(made.measured(made.rows(), made.good())), policy.assess(made.measured(made.rows(), items))):
        document = json.loads(verdict.to_bytes())
        jsonschema.validate(document, form)
        assert Verdict.from_bytes(verdict.to_bytes()).profile == "internal"
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | {"decision": "fine"}, form)


def test_every_field_of_a_verdict_is_in_its_form(made: SimpleNamespace) -> None:
    document = json.loads(Policy.parse(made.policy).judge(made.measured(made.rows(), made.good())).to_bytes())
    form = schemas.verdict()
    assert set(document) == set(form["properties"])
    assert set(document["policy"]) == set(form["properties"]["policy"]["properties"])
    for finding in document["findings"]:
        assert set(finding) == set(form["$defs"]["finding"]["properties"])


def test_what_a_policy_says_round_trips_through_its_own_canonical_json() -> None:
    for name in packaged():
        policy = Policy.load(name)
        assert Policy.parse(policy.to_bytes().decode()) == policy
