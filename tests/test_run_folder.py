"""What people decide about a run: who must sign, who may not, what is waived or rejected; and that an edit is noticed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from synth import run_folder
from synth.approving import approve
from synth.errors import InputError, NotApprovedError, VerificationError
from synth.folder import home
from synth.gate.approval import terms_of
from synth.gate.attempts import AttemptLog
from synth.gate.dsse import all_signed_by, opened, seal
from synth.gate.keys import default_key, new_key, trusted
from synth.gate.policy import Policy
from synth.gate.terms import now
from synth.gate.verify import verify
from synth.gate.waivers import WAIVER, Waiver
from synth.run import evaluate_files
from synth.run_folder import Run

POLICY = """
name: house
version: 1.0.0
title: The house's own policy
description: For the tests of what people decide.
profile: partner
requires: {holdout: true, min_synthetic: 50}
approvers: APPROVERS
attempts: {widen: false, person_after: 3}
checks:
  - {measure: validity.schema, limit: 0, why: "Cells must be what the schema says."}
  - {measure: fidelity.shape, limit: 0.9, why: "Columns must look like real ones."}
  - {measure: fidelity.trend, limit: LIMIT, why: "Relations must look like real ones."}
"""


def policy(approvers: str = "{count: 1, automatic: true}", limit: float = 0.9) -> Policy:
    return Policy.parse(POLICY.replace("APPROVERS", approvers).replace("LIMIT", str(limit)))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `synth evaluate` leaves, and the home whose key sealed it."""
    place = tmp_path_factory.mktemp("measured")
    for name, shift in (("real", 0), ("held", 1), ("fake", 2)):
        lines = [
            f"{18 + (7 * i + shift) % 50},{20 + (11 * i * i + shift) % 70},{'fm'[(i * i + shift) % 2]}" for i in range(160)
        ]
        (place / f"{name}.csv").write_text("\n".join(["age,hours,sex", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTH_HOME", str(place / "home"))
        only = ["validity.schema", "fidelity.shape", "fidelity.trend"]
        evaluate_files(place / "real.csv", place / "held.csv", place / "fake.csv", place / "run", only=only)
    return place


@pytest.fixture
def run(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    shutil.copytree(measured / "home", tmp_path / "home")
    shutil.copytree(measured / "run", tmp_path / "run")
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path / "home"))
    return Run.open(tmp_path / "run")


# who must sign ---------------------------------------------------------------------------------------------------------


def test_a_machine_signs_alone_where_the_policy_lets_it(run: Run, tmp_path: Path) -> None:
    assert run.standing == "not judged yet"
    assert run.judge(policy()).decision == "approved"
    assert run.standing == "approved"
    assert run.export(tmp_path / "out") == tmp_path / "out"
    verify(tmp_path / "out")


def test_two_people_must_sign_and_the_machine_is_none_of_them(run: Run, tmp_path: Path) -> None:
    run.judge(policy("2"))
    assert run.standing == "waiting for 2 of 2 signatures"
    with pytest.raises(NotApprovedError, match="waiting for 2 of 2"):
        run.export(tmp_path / "out")
    with pytest.raises(NotApprovedError, match="asked for this approval, so it cannot give it"):
        run.approve(default_key())
    ada, bo, cy = new_key("ada"), new_key("bo"), new_key("cy")
    assert run.approve(ada).missing == 1
    with pytest.raises(NotApprovedError, match="signatures"):
        run.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="has signed this already"):
        run.approve(ada)
    with pytest.raises(InputError, match="none can add a name"):
        run.approve(bo, by="Bo")
    assert run.approve(bo).missing == 0
    with pytest.raises(NotApprovedError, match="nobody else need sign"):
        run.approve(cy)
    run.export(tmp_path / "out")
    verify(tmp_path / "out")
    signers = all_signed_by((tmp_path / "out" / "attestation.json").read_bytes(), trusted())
    assert {key.keyid for key in signers} == {ada.keyid, bo.keyid}


@pytest.mark.attack("the requester signs as an approver", "refused")
def test_whoever_asked_cannot_approve_even_by_hand(run: Run, tmp_path: Path) -> None:
    run.judge(policy("{count: 1, automatic: false}"))
    shutil.copy(run.path / "request.json", run.path / "approval.json")  # the request is signed already, by the machine
    with pytest.raises((NotApprovedError, VerificationError)):
        run.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_person_signs_under_a_name(run: Run, tmp_path: Path) -> None:
    run.judge(policy("{count: 1, automatic: false}"))
    approval = run.approve(new_key("ada"), by="Ada Lovelace")
    assert approval.annotations["approvedBy"] == "Ada Lovelace"
    run.export(tmp_path / "out")
    assert verify(tmp_path / "out").approved_by == "Ada Lovelace"


def test_a_person_may_sign_in_place_of_the_machine(run: Run, tmp_path: Path) -> None:
    run.judge(policy())
    ada = new_key("ada")
    run.approve(home() / "keys" / "ada.pem", by="Ada")
    run.export(tmp_path / "out")
    assert verify(tmp_path / "out", key=home() / "keys" / "ada.pub").approved_by == "Ada"
    assert {key.keyid for key in all_signed_by((tmp_path / "out" / "attestation.json").read_bytes(), trusted())} == {ada.keyid}


def test_nobody_can_sign_what_the_policy_rejected(run: Run) -> None:
    assert run.judge(policy(limit=0.0)).decision == "rejected"
    with pytest.raises(NotApprovedError, match="is rejected"):
        run.approve(new_key("ada"))
    assert run.approval is None


@pytest.mark.attack("a request for approval is edited, or written by a stranger", "no signature is put under it")
def test_only_what_was_judged_is_signed(run: Run) -> None:
    run.judge(policy("{count: 1, automatic: false}"))
    ada, file = new_key("ada"), run.path / "request.json"
    sound = file.read_bytes()
    payload, _ = opened(sound)
    statement = json.loads(payload)
    statement["subject"][0]["digest"]["sha256"] = "0" * 64
    file.write_bytes(seal(statement, default_key()))
    with pytest.raises(VerificationError, match="something else than what was judged"):
        run.approve(ada)
    file.write_bytes(seal(json.loads(payload), _stranger()))
    with pytest.raises(VerificationError, match="not by a key that this machine trusts"):
        run.approve(ada)
    file.write_bytes(sound)
    assert run.approve(ada).missing == 0


@pytest.mark.attack("a stranger signs first, in the approval that people are to complete", "nobody adds a signature to theirs")
def test_nobody_signs_beside_a_stranger(run: Run) -> None:
    run.judge(policy("2"))
    payload, _ = opened((run.path / "request.json").read_bytes())
    (run.path / "approval.json").write_bytes(seal(json.loads(payload), _stranger()))
    with pytest.raises(VerificationError, match="by a key that this machine does not trust"):
        run.approve(new_key("ada"))


def test_a_request_that_has_ended_is_not_signed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.judge(policy("{count: 1, automatic: false, days: 2}"))
    ada, later = new_key("ada"), now() + timedelta(days=3)
    monkeypatch.setattr(run_folder, "now", lambda: later)
    with pytest.raises(NotApprovedError, match="the request ended on"):
        run.approve(ada)


def test_a_verdict_that_was_not_logged_is_not_signed(run: Run) -> None:
    with pytest.raises(NotApprovedError, match="was not logged as an attempt"):
        approve(policy().assess(run.measurements), key=new_key("ada"))


@pytest.mark.attack("a verdict is edited in the run folder before a person signs", "refused")
def test_an_edited_verdict_is_not_signed(run: Run, tmp_path: Path) -> None:
    run.judge(policy("{count: 1, automatic: false}"))
    file = run.path / "verdict.json"
    document = json.loads(file.read_bytes())
    document["findings"][-1]["value"] = 0.001
    file.write_text(json.dumps(document))
    with pytest.raises(VerificationError, match="something else than what was judged"):
        run.approve(new_key("ada"))


@pytest.mark.attack("a rejected verdict is edited to approved, finding by finding", "nothing is signed or exported")
def test_a_verdict_that_was_turned_round_by_hand_lets_nothing_out(run: Run, tmp_path: Path) -> None:
    run.judge(policy())
    sound = (run.path / "verdict.json").read_bytes()
    run.judge(policy(limit=0.0))
    (run.path / "verdict.json").write_bytes(sound)
    with pytest.raises(NotApprovedError):
        run.export(tmp_path / "out")
    with pytest.raises(NotApprovedError, match=r"not at hand, or were\s+edited"):
        run.approve(new_key("ada"))


@pytest.mark.attack("the policy is edited after judging", "refused: the rules are not those of the verdict")
def test_an_edited_policy_is_not_what_was_judged_under(run: Run, tmp_path: Path) -> None:
    run.judge(policy())
    (run.path / "policy.json").write_bytes(policy(limit=0.95).to_bytes())
    with pytest.raises((NotApprovedError, VerificationError)):
        run.export(tmp_path / "out")
    with pytest.raises(NotApprovedError, match=r"not at hand, or were\s+edited"):
        run.approve(new_key("ada"))


def _stranger():  # type: ignore[no-untyped-def]
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from synth.gate.keys import PrivateKey

    return PrivateKey(Ed25519PrivateKey.generate())


# seals -----------------------------------------------------------------------------------------------------------------


@pytest.mark.attack("a figure is edited in measurements.json", "refused by the gate")
def test_an_edited_figure_is_not_judged(run: Run) -> None:
    file = run.path / "measurements.json"
    document = json.loads(file.read_bytes())
    document["measurements"][0]["score"]["value"] = 0.0
    file.write_text(json.dumps(document))
    with pytest.raises(VerificationError, match=r"measurements\.json is not what was measured"):
        Run.open(run.path).judge(policy())
    assert not (run.path / "verdict.json").exists()


@pytest.mark.attack("a measurements.json is written by hand", "refused by the gate: nothing sealed it")
def test_figures_without_a_seal_are_not_judged(run: Run) -> None:
    (run.path / "seal.json").unlink()
    with pytest.raises(VerificationError, match=r"holds no seal\.json"):
        run.judge(policy())


@pytest.mark.attack("figures written by hand are sealed with a key of the attacker's own", "refused: nobody trusts that key")
def test_a_stranger_s_seal_counts_for_nothing(run: Run) -> None:
    payload, _ = opened((run.path / "seal.json").read_bytes())
    (run.path / "seal.json").write_bytes(seal(json.loads(payload), _stranger()))
    with pytest.raises(VerificationError, match="not by a key that this machine trusts"):
        run.judge(policy())


@pytest.mark.attack("a signed waiver is put in the place of the seal", "refused")
def test_something_else_that_was_signed_is_no_seal(run: Run) -> None:
    (run.path / "seal.json").write_bytes(seal({"_type": "x", "predicateType": WAIVER, "subject": []}, default_key()))
    with pytest.raises(VerificationError, match="no seal"):
        run.judge(policy())


@pytest.mark.attack("the rows of a run are replaced after they were measured", "refused by gate, approve and export")
def test_other_rows_are_not_judged_signed_or_exported(run: Run, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    run.judge(policy())
    file = run.path / "synthetic.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    for deed in (lambda r: r.judge(policy()), lambda r: r.approve(new_key("ada")), lambda r: r.export(tmp_path / "out")):
        with pytest.raises(VerificationError, match=r"synthetic\.parquet is not what was measured"):
            deed(Run.open(run.path))
    assert not (tmp_path / "out").exists()


# waivers ---------------------------------------------------------------------------------------------------------------

STRICT = 0.0  # a limit on trends that no table keeps


def waived(run: Run, days: int = 30) -> Waiver:
    key = new_key("ada")
    waiver, _ = run.waive(
        "fidelity.trend", key, owner="Bo", reason="a pilot of three weeks", approver="Ada Lovelace", days=days
    )
    return waiver


def test_a_waived_check_no_longer_blocks_and_a_person_must_sign(run: Run, tmp_path: Path) -> None:
    assert run.judge(policy(limit=STRICT)).decision == "rejected"
    waiver = waived(run)
    verdict = run.judge(policy(limit=STRICT))
    assert verdict.decision == "approved"
    assert [finding.check for finding in verdict.waived] == ["fidelity.trend"]
    assert run.standing == "waiting for 1 of 1 signatures"
    with pytest.raises(NotApprovedError, match="waiting"):
        run.export(tmp_path / "out")
    approval = run.approve(new_key("bo"))
    assert approval.terms.expires == waiver.expires, "an approval ends with the waiver that it rests on"
    run.export(tmp_path / "out")
    verify(tmp_path / "out")
    for name in ("README.md", "report.html", "verdict.json"):
        said = (tmp_path / "out" / name).read_text()
        assert "a pilot of three weeks" in said, name
        assert "Ada Lovelace" in said, name
    assert "a pilot of three weeks" in (run.path / "report.html").read_text()


def test_a_waiver_is_a_person_s_word_about_something_that_blocks(run: Run) -> None:
    with pytest.raises(NotApprovedError, match="not judged yet"):
        waived(run)
    run.judge(policy(limit=STRICT))
    facts = {"owner": "Bo", "reason": "a pilot", "approver": "Ada", "days": 30}
    with pytest.raises(NotApprovedError, match="a person's word"):
        run.waive("fidelity.trend", default_key(), **facts)  # type: ignore[arg-type]
    key = new_key("cy")
    for check, words in (("fidelity.shape", "nothing to waive"), ("no.such", "nothing to waive"), ("validity.schema", "never")):
        with pytest.raises(NotApprovedError, match=words):
            run.waive(check, key, **facts)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="91 days is refused"):
        run.waive("fidelity.trend", key, **facts | {"days": 91})  # type: ignore[arg-type]
    for name in ("owner", "reason", "approver"):
        with pytest.raises(InputError, match=f"its {name} in words"):
            run.waive("fidelity.trend", key, **facts | {name: "  "})  # type: ignore[arg-type]
    assert not (run.path / "waivers").exists()


@pytest.mark.attack("a waiver's end is edited, or it is written by a stranger", "refused by the gate")
def test_an_altered_waiver_is_refused(run: Run) -> None:
    run.judge(policy(limit=STRICT))
    waiver = waived(run)
    (file,) = (run.path / "waivers").iterdir()
    later = replace(waiver, expires=now().replace(year=now().year + 1).isoformat())
    payload, _ = opened(file.read_bytes())
    statement = json.loads(payload) | {"predicate": later.to_dict()}
    file.write_bytes(seal(statement, _stranger()))
    with pytest.raises(VerificationError, match="not signed by a key that this machine trusts"):
        run.judge(policy(limit=STRICT))
    file.write_bytes(seal(statement, default_key()))  # who signs must be who it says
    with pytest.raises(VerificationError, match="is no waiver"):
        run.judge(policy(limit=STRICT))


@pytest.mark.attack("an old waiver is copied into another run", "it does not count: it is bound to other rows")
def test_a_waiver_for_other_rows_does_not_count(run: Run) -> None:
    run.judge(policy(limit=STRICT))
    waived(run)
    (file,) = (run.path / "waivers").iterdir()
    payload, _ = opened(file.read_bytes())
    waiver = json.loads(payload)["predicate"] | {"synthetic": "0" * 64}
    statement = json.loads(payload) | {"predicate": waiver}
    statement["subject"][0]["digest"]["sha256"] = "0" * 64
    from synth.gate.keys import PrivateKey

    file.write_bytes(seal(statement, PrivateKey.load(home() / "keys" / "ada.pem")))
    verdict = run.judge(policy(limit=STRICT))
    assert verdict.decision == "rejected"
    assert "about other rows" in verdict.refused_waivers[0]


# rejections ------------------------------------------------------------------------------------------------------------


def test_a_rejection_withdraws_and_then_only_a_person_can_approve(run: Run, tmp_path: Path) -> None:
    run.judge(policy())
    ada = new_key("ada")
    file = run.reject(ada, by="Ada", reason="the source was withdrawn")
    statement = json.loads(opened(file.read_bytes())[0])
    assert statement["predicate"]["result"] == "FAILED"
    assert "the source was withdrawn" in json.dumps(statement)
    assert all_signed_by(file.read_bytes(), [ada.public]) == (ada.public,)
    assert run.standing == "rejected by a person"
    for deed in (lambda: run.export(tmp_path / "out"), lambda: run.approve(ada)):
        with pytest.raises(NotApprovedError, match="rejected by a person"):
            deed()
    run.judge(policy())
    assert run.approval is not None
    assert run.approval.missing == 1, "the machine cannot overrule a person"
    run.approve(new_key("bo"))
    run.export(tmp_path / "out")
    verify(tmp_path / "out")


@pytest.mark.attack("a signed rejection is passed off as an approval", "refused")
def test_a_rejection_is_no_approval(run: Run, tmp_path: Path) -> None:
    run.judge(policy())
    run.export(tmp_path / "out")
    file = run.reject(default_key(), by="Ada", reason="no")
    shutil.copy(file, tmp_path / "out" / "attestation.json")
    with pytest.raises(VerificationError, match=r"rejection|not an approval"):
        verify(tmp_path / "out")
    shutil.copy(file, run.path / "approval.json")
    (run.path / "rejection.json").unlink()
    with pytest.raises((NotApprovedError, VerificationError)):
        run.export(tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_rejection_needs_a_judgement_and_a_reason(run: Run) -> None:
    with pytest.raises(NotApprovedError, match="not judged yet"):
        run.reject(default_key(), by="Ada", reason="no")
    run.judge(policy())
    with pytest.raises(InputError, match="reason in words"):
        run.reject(default_key(), by="Ada", reason=" ")


# attempts --------------------------------------------------------------------------------------------------------------


def test_every_decision_is_a_line_in_the_log(run: Run, tmp_path: Path) -> None:
    run.judge(policy(limit=STRICT))
    waived(run)
    run.judge(policy(limit=STRICT))
    run.approve(new_key("bo"))
    run.export(tmp_path / "out")
    run.reject(new_key("cy"), by="Cy", reason="a copy was found")
    kinds = [entry.kind for entry in AttemptLog.of_machine().entries()]
    assert kinds == ["attempt", "decision", "waiver", "decision", "approval", "export", "rejection"]


@pytest.mark.attack("the log of attempts is deleted to begin anew", "the runs that it forgets are no longer judged or exported")
def test_a_log_that_forgets_this_run_is_noticed(run: Run, tmp_path: Path) -> None:
    run.judge(policy())
    for file in home().glob("attempts*"):
        file.unlink()
    for deed in (lambda: run.judge(policy()), lambda: run.export(tmp_path / "out")):
        with pytest.raises(VerificationError, match="does not know attempt 1 under house"):
            deed()


def test_the_attestation_names_the_attempt_and_its_line(run: Run) -> None:
    run.judge(policy())
    approval = run.approval
    assert approval is not None
    assert approval.annotations["attempt"] == {"number": 1, "total": 1}
    (line,) = (e for e in approval.statement["predicate"]["configuration"] if e["name"] == "attempt")
    assert line["digest"]["sha256"] == AttemptLog.of_machine().entries()[0].digest
    assert terms_of(approval.statement).automatic
