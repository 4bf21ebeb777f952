"""What a recipient is told of sound exports and of tampered ones: by `synth verify`, and by the script that needs no synth.

Each case is tried with both, and both must say the same words of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError as Unverified
from securesystemslib.signer import SSlibKey

from synth.errors import InputError, VerificationError
from synth.folder import home
from synth.gate.dsse import add_signature, opened, seal, to_line
from synth.gate.export import export
from synth.gate.keys import default_key
from synth.gate.revocation import Revocations, revoke
from synth.gate.verify import verify
from tests.gate.handmade import LAYOUTS, NOW, RULES, Export, canonical, key_of, public_file, rewritten, waiver

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "verify.py"


@dataclass(frozen=True)
class Given:
    """A folder, and how its recipient checks it."""

    folder: Path
    keys: tuple[str, ...] = ("ada",)
    policy: str | Path | None = None
    revocations: tuple[Path, ...] = ()
    machine: bool = False  # whether this machine's own key signed

    def key_files(self) -> list[Path]:
        if self.machine:
            return [home() / "keys" / "synth.pub"]
        place = self.folder.parent / "trusted"
        return [public_file(name, place) for name in self.keys]


Both = Callable[[Given, str | None], None]


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Both:
    """Checks an export with both; words: what both must say of it, as a pattern; None where it is sound."""

    def check(given: Given, words: str | None) -> None:
        for said in (said_by_synth(given), said_by_the_script(given, monkeypatch, capsys)):
            if words is None:
                assert said is None
            else:
                assert said is not None
                assert re.search(words, said), said
                assert len(said.splitlines()) <= 3

    return check


def said_by_synth(given: Given) -> str | None:
    """What `synth verify` has against an export; None where it has nothing."""
    try:
        verify(given.folder, key=given.key_files(), policy=given.policy, revocations=given.revocations)
    except VerificationError as problem:
        return str(problem)
    return None


def said_by_the_script(given: Given, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str | None:
    """What the script has against it."""
    arguments = ["verify.py", str(given.folder), *(a for key in given.key_files() for a in ("--key", str(key)))]
    arguments += ["--policy", str(given.policy)] if given.policy else []
    arguments += [a for file in given.revocations for a in ("--revocations", str(file))]
    monkeypatch.setattr(sys, "argv", arguments)
    code: object = 0
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    printed = capsys.readouterr()
    assert code == (4 if printed.err else 0)
    assert printed.out.startswith("verified: 60 rows, approved by 'Ada") == (code == 0)
    return printed.err or None


# sound -----------------------------------------------------------------------------------------------------------------


def test_sound(tmp_path: Path, both: Both) -> None:
    both(Given(Export().write(tmp_path / "export")), None)


def test_sound_with_two_signers(tmp_path: Path, both: Both) -> None:
    both(Given(Export(signers=("ada", "bob")).write(tmp_path / "export"), keys=("bob", "ada")), None)


def test_sound_with_a_waiver(tmp_path: Path, both: Both) -> None:
    both(Given(Export(waivers=[waiver()]).write(tmp_path / "export")), None)


def test_sound_as_csv(tmp_path: Path, both: Both) -> None:
    both(Given(Export("csv").write(tmp_path / "export")), None)


def test_sound_in_three_formats(tmp_path: Path, both: Both) -> None:
    both(Given(Export("parquet", ("csv", "arrow")).write(tmp_path / "export")), None)


def test_sound_for_hugging_face(tmp_path: Path, both: Both) -> None:
    both(Given(Export("huggingface").write(tmp_path / "export")), None)


def test_sound_under_the_policy_that_was_asked_for(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    shutil.copy(folder / "policy.json", tmp_path / "policy.json")
    both(Given(folder, policy=tmp_path / "policy.json"), None)


def test_sound_though_others_were_revoked(tmp_path: Path, both: Both) -> None:
    revoke("key", key_of("eve").keyid, reason="lost", by="Ada", key=key_of("ada"), path=tmp_path / "list")
    revoke("approval", "0" * 64, reason="error", by="Bob", key=key_of("bob"), path=tmp_path / "list")
    both(Given(Export().write(tmp_path / "export"), keys=("ada", "bob"), revocations=(tmp_path / "list",)), None)


@pytest.mark.parametrize("layout", ["parquet", "csv", "arrow", "huggingface"])
def test_what_is_exported_is_sound(layout: str, tmp_path: Path, both: Both, made: SimpleNamespace) -> None:
    policy = made.policy.replace("formats: [parquet, csv]", "formats: [parquet, csv, arrow, huggingface]")
    export(*made.approved(policy=policy), tmp_path / "export", formats=(layout,))
    both(Given(tmp_path / "export", machine=True, policy=tmp_path / "export" / "policy.json"), None)


# altered files ---------------------------------------------------------------------------------------------------------


def edited(place: Path, name: str, layout: str = "parquet") -> Given:
    folder = Export(layout).write(place / "export")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    return Given(folder)


@pytest.mark.attack("edits one byte of the exported rows", "exit 4 from both verifiers: data.parquet was altered")
def test_edited_rows(tmp_path: Path, both: Both) -> None:
    both(edited(tmp_path, "data.parquet"), "data.parquet was altered")


@pytest.mark.attack("reorders the exported rows", "exit 4 from both verifiers: data.parquet was altered")
@pytest.mark.attack("drops a column of the exported rows", "exit 4 from both verifiers: data.parquet was altered")
@pytest.mark.parametrize("change", ["order", "column"])
def test_reshaped_rows(change: str, tmp_path: Path, both: Both, made: SimpleNamespace) -> None:
    export(*made.approved(), tmp_path / "export")
    file = tmp_path / "export" / "data.parquet"
    table = pq.read_table(file)
    pq.write_table(table.drop_columns("age") if change == "column" else table.sort_by("age"), file)
    both(Given(tmp_path / "export", machine=True), "data.parquet was altered")


@pytest.mark.attack(
    "edits one part of a Hugging Face folder", "exit 4 from both verifiers: data/train-00001-of-00002.parquet was altered"
)
def test_edited_part(tmp_path: Path, both: Both) -> None:
    both(edited(tmp_path, "data/train-00001-of-00002.parquet", "huggingface"), "data/train-00001-of-00002.parquet was altered")


@pytest.mark.attack("edits a figure of the verdict", "exit 4 from both verifiers: verdict.json was altered")
def test_edited_verdict(tmp_path: Path, both: Both) -> None:
    both(edited(tmp_path, "verdict.json"), "verdict.json was altered")


@pytest.mark.attack(
    "edits the policy after the judgement, in the export", "exit 4 from both verifiers: policy.json was altered"
)
def test_edited_policy(tmp_path: Path, both: Both) -> None:
    both(edited(tmp_path, "policy.json"), "policy.json was altered")


@pytest.mark.attack("edits the data card", "exit 4 from both verifiers: README.md was altered")
def test_edited_card(tmp_path: Path, both: Both) -> None:
    both(edited(tmp_path, "README.md"), "README.md was altered")


@pytest.mark.attack("edits the Croissant metadata", "exit 4 from both verifiers: croissant.json was altered")
def test_edited_croissant(tmp_path: Path, both: Both) -> None:
    both(edited(tmp_path, "croissant.json", "csv"), "croissant.json was altered")


@pytest.mark.attack("edits where the rows come from", "exit 4 from both verifiers: provenance.parquet was altered")
def test_edited_provenance(tmp_path: Path, both: Both) -> None:
    both(edited(tmp_path, "provenance.parquet"), "provenance.parquet was altered")


@pytest.mark.attack(
    "puts the card of another layout, signed too, beside the rows", "exit 4 from both verifiers: README.md was altered"
)
def test_card_of_another_layout(tmp_path: Path, both: Both) -> None:
    folder = Export("csv").write(tmp_path / "export")
    (folder / "README.md").write_bytes(Export().files()["README.md"])
    both(Given(folder), "README.md was altered")


@pytest.mark.attack("removes a document", "exit 4 from both verifiers: README.md is missing")
def test_removed_document(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "README.md").unlink()
    both(Given(folder), "README.md is missing")


@pytest.mark.attack("removes one part of the rows", "exit 4 from both verifiers: train-00001-of-00002.parquet is missing")
def test_removed_part(tmp_path: Path, both: Both) -> None:
    folder = Export("huggingface").write(tmp_path / "export")
    (folder / "data" / "train-00001-of-00002.parquet").unlink()
    both(Given(folder), "train-00001-of-00002.parquet is missing")


@pytest.mark.attack("removes the rows", "exit 4 from both verifiers: the rows are missing")
def test_removed_rows(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "data.parquet").unlink()
    both(Given(folder), "the rows are missing")


@pytest.mark.attack("adds a file to the export", "exit 4 from both verifiers: is not covered by the signature")
def test_added_file(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "more.txt").write_text("more")
    both(Given(folder), "is not covered by the signature")


@pytest.mark.attack("adds a file to the folder of the rows", "exit 4 from both verifiers: is not covered by the signature")
def test_added_part(tmp_path: Path, both: Both) -> None:
    folder = Export("huggingface").write(tmp_path / "export")
    (folder / "data" / "train-00002-of-00002.parquet").write_text("more")
    both(Given(folder), "is not covered by the signature")


@pytest.mark.attack(
    "puts another format of the rows into an export that stands alone",
    "exit 4 from both verifiers: is not covered by the signature",
)
def test_added_format(tmp_path: Path, both: Both) -> None:
    folder = Export("huggingface").write(tmp_path / "export")
    (folder / "data.parquet").write_bytes(Export().files()["data.parquet"])
    both(Given(folder), "is not covered by the signature")


@pytest.mark.attack("links the exported rows to a file outside", "exit 4 from both verifiers: it is a link")
def test_linked_rows(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "data.parquet").rename(tmp_path / "elsewhere")
    (folder / "data.parquet").symlink_to(tmp_path / "elsewhere")
    both(Given(folder), "is a link")


@pytest.mark.attack("links the folder of the rows to one outside", "exit 4 from both verifiers: it is a link")
def test_linked_folder(tmp_path: Path, both: Both) -> None:
    folder = Export("huggingface").write(tmp_path / "export")
    (folder / "data").rename(tmp_path / "elsewhere")
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    both(Given(folder), "is a link")


@pytest.mark.attack("links one part of the rows to a file outside", "exit 4 from both verifiers: it is a link")
def test_linked_part(tmp_path: Path, both: Both) -> None:
    folder = Export("huggingface").write(tmp_path / "export")
    part = folder / "data" / "train-00000-of-00002.parquet"
    part.rename(tmp_path / "elsewhere")
    part.symlink_to(tmp_path / "elsewhere")
    both(Given(folder), "is a link")


@pytest.mark.attack("puts a folder in the place of a document", "exit 4 from both verifiers: a folder stands in its place")
def test_folder_for_a_file(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    both(Given(folder), "README.md is not a file|'README.md' is not a file")


# the signatures --------------------------------------------------------------------------------------------------------


@pytest.mark.attack("removes the attestation", "exit 4 from both verifiers: holds no attestation.json")
def test_no_attestation(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "attestation.json").unlink()
    both(Given(folder), "holds no attestation.json")


@pytest.mark.attack("replaces the attestation by something else", "exit 4 from both verifiers: the attestation is garbled")
def test_garbled(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "attestation.json").write_text("[1]\n")
    both(Given(folder), "garbled")


@pytest.mark.attack("swaps the attestations of two exports", "exit 4 from both verifiers: the attestation is of another export")
def test_swapped(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    other = Export(rows=b"other ", verdict={"note": "another"}).write(tmp_path / "other")
    shutil.copy(other / "attestation.json", folder / "attestation.json")
    both(Given(folder), "altered|about other files")


@pytest.mark.attack("puts new rows under an old approval", "exit 4 from both verifiers: data.parquet was altered")
def test_replayed_approval(tmp_path: Path, both: Both) -> None:
    folder = Export(rows=b"new ").write(tmp_path / "export")
    (folder / "attestation.json").write_bytes(Export().envelope())
    both(Given(folder), "data.parquet was altered")


@pytest.mark.attack("signs with a key of their own", "exit 4 from both verifiers: unknown key")
def test_strange_key(tmp_path: Path, both: Both) -> None:
    both(Given(Export(signers=("eve",)).write(tmp_path / "export")), "unknown key")


@pytest.mark.attack("forges a key that goes by the approver's name", "exit 4 from both verifiers: unknown key")
def test_key_of_the_same_name(tmp_path: Path, both: Both) -> None:
    public_file("eve", tmp_path, called="ada")  # beside the real one: a name proves nothing
    both(Given(Export(signers=("eve",), said={"approvedBy": "Ada"}).write(tmp_path / "export")), "unknown key")


@pytest.mark.attack("brings their public key inside the export", "exit 4 from both verifiers: unknown key")
def test_key_in_the_export(tmp_path: Path, both: Both) -> None:
    folder = Export(signers=("eve",)).write(tmp_path / "export")
    public_file("eve", folder)
    both(Given(folder), "unknown key")


def _claim_to_be_ada(document: dict[str, Any]) -> None:
    document["signatures"][0]["keyid"] = key_of("ada").keyid


@pytest.mark.attack(
    "signs with their own key, under the key id of the approver", "exit 4 from both verifiers: does not fit its content"
)
def test_borrowed_key_id(tmp_path: Path, both: Both) -> None:
    folder = Export(signers=("eve",)).write(tmp_path / "export")
    rewritten(folder, _claim_to_be_ada)
    both(Given(folder), "does not fit its content")


def _say_eve(document: dict[str, Any]) -> None:
    payload = base64.b64decode(document["payload"]).replace(b'"approvedBy":"Ada"', b'"approvedBy":"Eve"')
    document["payload"] = base64.b64encode(payload).decode()


@pytest.mark.attack("edits the signed statement", "exit 4 from both verifiers: does not fit its content")
def test_edited_statement(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    rewritten(folder, _say_eve)
    both(Given(folder), "does not fit its content")


@pytest.mark.attack(
    "adds an unsigned remark to the envelope", "exit 4 from both verifiers: the envelope is not in its one form"
)
def test_remark(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    rewritten(folder, lambda document: document.update(note="by the president"))
    both(Given(folder), "one form")


@pytest.mark.attack("adds a signature of their own to a sound one", "exit 4 from both verifiers: unknown key")
def test_extra_strange_signature(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "attestation.json").write_bytes(add_signature((folder / "attestation.json").read_bytes(), key_of("eve")))
    both(Given(folder), "unknown key")


@pytest.mark.attack(
    "adds the signature of a trusted key that was not asked for",
    "exit 4 from both verifiers: 2 signed, where the approval says that 1 does",
)
def test_extra_signature(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    (folder / "attestation.json").write_bytes(add_signature((folder / "attestation.json").read_bytes(), key_of("bob")))
    both(Given(folder, keys=("ada", "bob")), "2 signed, and the approval says that 1")


@pytest.mark.attack("removes one of two signatures", "exit 4 from both verifiers: 1 signed, where the approval says that 2 do")
def test_removed_signature(tmp_path: Path, both: Both) -> None:
    folder = Export(signers=("ada", "bob")).write(tmp_path / "export")
    rewritten(folder, lambda document: document["signatures"].pop())
    both(Given(folder, keys=("ada", "bob")), "1 signed, and the approval says that 2")


@pytest.mark.attack("counts one signature twice, where two approvers must sign", "exit 4 from both verifiers: altered")
def test_signed_twice(tmp_path: Path, both: Both) -> None:
    folder = Export(said={"signers": 2}).write(tmp_path / "export")
    rewritten(folder, lambda document: document["signatures"].append(document["signatures"][0]))
    both(Given(folder, keys=("ada", "bob")), "altered")


@pytest.mark.attack(
    "approves what they asked for themselves, where somebody else must", "exit 4 from both verifiers: requester's own key"
)
def test_requester_signs(tmp_path: Path, both: Both) -> None:
    said = {"automatic": False, "requester": key_of("ada").keyid}
    both(Given(Export(said=said).write(tmp_path / "export")), "requester's own key")


# what was signed -------------------------------------------------------------------------------------------------------


@pytest.mark.attack(
    "passes a signed rejection off as an approval",
    "exit 4 from both verifiers: what was signed is a rejection, with its reason",
)
def test_rejection(tmp_path: Path, both: Both) -> None:
    export = Export(predicate={"result": "FAILED"}, said={"reason": "rows of one family"})
    both(Given(export.write(tmp_path / "export")), "not an approval: (it is )?a rejection")


@pytest.mark.attack(
    "passes another statement of the approver's off as an approval",
    "exit 4 from both verifiers: what was signed is not an approval",
)
def test_another_statement(tmp_path: Path, both: Both) -> None:
    both(
        Given(Export(statement={"predicateType": "https://slsa.dev/provenance/v1"}).write(tmp_path / "export")),
        "not an approval",
    )


@pytest.mark.attack(
    "signs a statement that leaves out until when it holds", "exit 4 from both verifiers: what was signed is not an approval"
)
def test_no_end(tmp_path: Path, both: Both) -> None:
    both(
        Given(Export(said={"expiresAt": None}).write(tmp_path / "export")), "not an approval of synth's|form that synth writes"
    )


@pytest.mark.attack("signs a verdict that rejects", "exit 4 from both verifiers: the verdict does not approve")
def test_rejected(tmp_path: Path, both: Both) -> None:
    both(
        Given(Export(verdict={"decision": "rejected"}).write(tmp_path / "export")),
        "that was not approved|table was not approved",
    )


@pytest.mark.attack(
    "signs a verdict under another policy than the one that is stated",
    "exit 4 from both verifiers: verdict and statement are of different policies",
)
def test_verdict_under_another_policy(tmp_path: Path, both: Both) -> None:
    verdict = {"policy": {"name": "small", "version": "1.0.0", "digest": "0" * 64}}
    both(Given(Export(verdict=verdict).write(tmp_path / "export")), "another policy")


@pytest.mark.attack(
    "states another attempt than the verdict's", "exit 4 from both verifiers: the verdict is of another attempt"
)
def test_another_attempt(tmp_path: Path, both: Both) -> None:
    both(Given(Export(said={"attempt": {"number": 1, "total": 1}}).write(tmp_path / "export")), "of another attempt|of attempt")


@pytest.mark.attack(
    "hands out an export that a laxer policy approved", "exit 4 from both verifiers: approved under another policy"
)
def test_wrong_policy(tmp_path: Path, both: Both) -> None:
    (tmp_path / "policy.json").write_bytes(canonical(RULES | {"version": "2.0.0"}))
    both(Given(Export().write(tmp_path / "export"), policy=tmp_path / "policy.json"), "approved under another policy")


def test_wrong_policy_by_digest(tmp_path: Path, both: Both) -> None:
    both(Given(Export().write(tmp_path / "export"), policy="0" * 64), "approved under another policy")


@pytest.mark.attack("states one signer where the policy wants two", "exit 4 from both verifiers: the policy wants two to sign")
def test_fewer_signers_than_the_policy_wants(tmp_path: Path, both: Both) -> None:
    rules = RULES | {"approvers": RULES["approvers"] | {"automatic": False, "count": 2}}
    both(Given(Export(rules=rules, said={"automatic": False}).write(tmp_path / "export")), "the policy wants 2")


@pytest.mark.attack(
    "lets the machine approve alone where the policy wants a person",
    "exit 4 from both verifiers: the policy wants a person to sign",
)
def test_machine_alone(tmp_path: Path, both: Both) -> None:
    rules = RULES | {"approvers": RULES["approvers"] | {"automatic": False}}
    both(Given(Export(rules=rules).write(tmp_path / "export")), "the policy wants 1")


@pytest.mark.attack(
    "lets the machine approve the sixth attempt alone, where the policy wants a person by then",
    "exit 4 from both verifiers: the policy wants a person to sign",
)
def test_machine_alone_too_often(tmp_path: Path, both: Both) -> None:
    attempt = {"attempt": {"number": 6, "total": 6}}
    both(Given(Export(said=attempt, verdict=attempt).write(tmp_path / "export")), "the policy wants 1")


@pytest.mark.attack(
    "approves for longer than the policy allows", "exit 4 from both verifiers: approved for longer than the policy allows"
)
def test_too_long(tmp_path: Path, both: Both) -> None:
    both(
        Given(Export(said={"expiresAt": (NOW + timedelta(days=500)).isoformat()}).write(tmp_path / "export")), "longer than the"
    )


# time and revocation ---------------------------------------------------------------------------------------------------


@pytest.mark.attack("uses an approval that has expired", "exit 4 from both verifiers: the approval expired on")
def test_expired(tmp_path: Path, both: Both) -> None:
    said = {"approvedAt": (NOW - timedelta(days=9)).isoformat(), "expiresAt": (NOW - timedelta(seconds=1)).isoformat()}
    both(Given(Export(said=said).write(tmp_path / "export")), "the approval expired on")


@pytest.mark.attack(
    "sets the clock back to before the approval, so that it has not expired",
    "exit 4 from both verifiers: approved in the future, so that one of two clocks is wrong",
)
def test_clock_set_back(tmp_path: Path, both: Both) -> None:
    both(
        Given(Export(said={"approvedAt": (NOW + timedelta(days=1)).isoformat()}).write(tmp_path / "export")),
        "clocks? is wrong",
    )


@pytest.mark.attack(
    "signs with a stolen key that was revoked", "exit 4 from both verifiers: the key was revoked, by whom and why"
)
def test_revoked_key(tmp_path: Path, both: Both) -> None:
    revoke("key", key_of("ada").keyid, reason="stolen", by="Bob", key=key_of("bob"), path=tmp_path / "list")
    both(
        Given(Export().write(tmp_path / "export"), keys=("ada", "bob"), revocations=(tmp_path / "list",)),
        "revoked: .* was revoked by '?Bob'?.*stolen",
    )


@pytest.mark.attack(
    "uses an approval that was revoked", "exit 4 from both verifiers: the approval was revoked, by whom and why"
)
def test_revoked_approval(tmp_path: Path, both: Both) -> None:
    folder = Export().write(tmp_path / "export")
    payload, _ = opened((folder / "attestation.json").read_bytes())
    revoke("approval", hashlib.sha256(payload).hexdigest(), reason="error", by="Ada", key=key_of("ada"), path=tmp_path / "list")
    both(Given(folder, revocations=(tmp_path / "list",)), "revoked: .* was revoked by '?Ada'?.*error")


@pytest.mark.attack(
    "hands in a revocation list of their own", "exit 4 from both verifiers: the list is not signed by a trusted key"
)
def test_strange_list(tmp_path: Path, both: Both) -> None:
    revoke("key", key_of("bob").keyid, reason="stolen", by="Eve", key=key_of("eve"), path=tmp_path / "list")
    both(
        Given(Export().write(tmp_path / "export"), revocations=(tmp_path / "list",)),
        "unknown key|not signed by a key that is trusted",
    )


@pytest.mark.attack(
    "takes the line about their key out of a revocation list",
    "exit 4 from both verifiers: a line of the list was taken out, added or changed",
)
def test_shortened_list(tmp_path: Path, both: Both) -> None:
    for name in ("ada", "eve"):
        revoke("key", key_of(name).keyid, reason="stolen", by="Bob", key=key_of("bob"), path=tmp_path / "list")
    lines = (tmp_path / "list").read_bytes().splitlines(keepends=True)
    (tmp_path / "list").write_bytes(b"".join(lines[1:]))
    both(Given(Export().write(tmp_path / "export"), keys=("ada", "bob"), revocations=(tmp_path / "list",)), "was taken out")


@pytest.mark.attack("edits a line of a revocation list", "exit 4 from both verifiers: altered")
def test_edited_list(tmp_path: Path, both: Both) -> None:
    revoke("key", key_of("ada").keyid, reason="stolen", by="Bob", key=key_of("bob"), path=tmp_path / "list")
    (tmp_path / "list").write_bytes((tmp_path / "list").read_bytes().replace(b'{"payload"', b'{ "payload"'))
    both(Given(Export().write(tmp_path / "export"), keys=("ada", "bob"), revocations=(tmp_path / "list",)), "altered")


@pytest.mark.attack("exports once more under a waiver that has run out since", "exit 4 from both verifiers: the waiver expired")
def test_expired_waiver(tmp_path: Path, both: Both) -> None:
    both(
        Given(Export(waivers=[waiver(expires=(NOW - timedelta(seconds=1)).isoformat())]).write(tmp_path / "export")),
        "waiver of '?fidelity.trend'? expired",
    )


@pytest.mark.attack(
    "hides a waiver from the statement that is signed",
    "exit 4 from both verifiers: the verdict was waived otherwise than what was signed",
)
def test_hidden_waiver(tmp_path: Path, both: Both) -> None:
    both(Given(Export(waivers=[waiver()], said={"waivers": []}).write(tmp_path / "export")), "waived otherwise")


@pytest.mark.attack("uses the waiver of another table", "exit 4 from both verifiers: the waiver is about another table")
def test_waiver_of_another_table(tmp_path: Path, both: Both) -> None:
    both(Given(Export(waivers=[waiver(synthetic="6" * 64)]).write(tmp_path / "export")), "about another table")


@pytest.mark.attack(
    "lets the machine approve alone what was waived", "exit 4 from both verifiers: the policy wants a person to sign"
)
def test_waived_by_a_machine(tmp_path: Path, both: Both) -> None:
    both(Given(Export(waivers=[waiver()], said={"automatic": True}).write(tmp_path / "export")), "the policy wants 1")


@pytest.mark.attack("waives with a stolen key", "exit 4 from both verifiers: the waiver's signer was revoked")
def test_waiver_by_a_revoked_key(tmp_path: Path, both: Both) -> None:
    revoke("key", key_of("carl").keyid, reason="stolen", by="Ada", key=key_of("ada"), path=tmp_path / "list")
    both(
        Given(
            Export(waivers=[waiver(keyid=key_of("carl").keyid)]).write(tmp_path / "export"), revocations=(tmp_path / "list",)
        ),
        "waiver of 'fidelity.trend' is by a key|the waiver of fidelity.trend no longer holds",
    )


# the script itself ----------------------------------------------------------------------------------------------------


def test_the_script_ends_with_0_or_4(tmp_path: Path) -> None:
    given = Given(Export(signers=("ada", "bob")).write(tmp_path / "export"), keys=("ada", "bob"))
    keys = [argument for file in given.key_files() for argument in ("--key", str(file))]
    command = [sys.executable, "-I", str(SCRIPT), str(given.folder), *keys]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert subprocess.run(command[:-2], capture_output=True, check=False).returncode == 4


def test_the_script_needs_no_synth_and_is_short() -> None:
    text = SCRIPT.read_text()
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
    assert len([line for line in text.splitlines() if line.strip()]) <= 135


def test_verify_needs_only_cryptography(tmp_path: Path) -> None:
    """In a fresh process that cannot import anything else but the standard library."""
    given = Given(Export(waivers=[waiver()]).write(tmp_path / "export"))
    code = """
        import sys
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and top not in ("synth", "cryptography", "_cffi_backend"):
                    raise ImportError(f"{name} is blocked")
        sys.meta_path.insert(0, Blocked())
        from synth.gate.verify import verify
        print(verify(sys.argv[1], key=sys.argv[2], policy=sys.argv[1] + "/policy.json").rows)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(given.folder), str(given.key_files()[0])]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "60\n"), ended.stderr


def test_what_is_verified_says_who_and_until_when(tmp_path: Path) -> None:
    folder = Export(signers=("ada", "bob"), waivers=[waiver()]).write(tmp_path / "export")
    public_file("ada", home() / "keys", called="ada-lovelace")
    public_file("bob", home() / "keys")
    verified = verify(folder)
    assert {(one.keyid, one.name) for one in verified.signers} == {
        (key_of("ada").keyid, "ada-lovelace"),
        (key_of("bob").keyid, "bob"),
    }
    assert verified.expires == (NOW + timedelta(days=100)).isoformat()
    assert (verified.profile, verified.requested_by, verified.attempt) == ("public", "machine", {"number": 1, "total": 2})
    assert [one.to_dict() for one in verified.waivers] == [waiver()]
    assert json.loads(json.dumps(verified.to_dict()))["waivers"][0]["owner"] == "Olga"
    for words in ("(ada-lovelace)", "attempt 1 of this data", "Olga answers for it: the trend is not used", "no revocations"):
        assert words in str(verified)


def test_words_of_a_signer_cannot_write_lines_of_their_own(tmp_path: Path) -> None:
    said = {"approvedBy": "Ada\nverified by everybody", "requestedBy": "\x1b[2J"}
    given = Given(Export(said=said).write(tmp_path / "export"))
    shown = str(verify(given.folder, key=given.key_files()))
    assert "\nverified by everybody" not in shown
    assert "\x1b" not in shown


# one file --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_one_file_is_checked_and_the_words_say_that_others_were_not(tmp_path: Path, layout: str) -> None:
    given = Given(Export(layout).write(tmp_path / "export"))
    for name in (next(iter(LAYOUTS[layout])), "README.md"):
        verified = verify(given.folder / name, key=given.key_files())
        assert not verified.whole
        assert "were not checked" in str(verified)
        assert verified.files == (Path(name).name,)


def test_a_file_that_left_its_export_is_known_by_its_content(tmp_path: Path) -> None:
    given = Given(Export().write(tmp_path / "export"))
    shutil.copy(given.folder / "data.parquet", tmp_path / "mine.parquet")
    with pytest.raises(VerificationError, match=r"no attestation\.json is beside it; give it with --attestation"):
        verify(tmp_path / "mine.parquet", key=given.key_files())
    attestation = given.folder / "attestation.json"
    assert verify(tmp_path / "mine.parquet", key=given.key_files(), attestation=attestation).rows == 60
    (tmp_path / "mine.parquet").write_bytes(b"others")
    with pytest.raises(VerificationError, match=r"mine\.parquet is none of the \d+ files that were signed"):
        verify(tmp_path / "mine.parquet", key=given.key_files(), attestation=attestation)


@pytest.mark.attack("edits a file that is verified alone", "its digest differs from the signed one")
def test_one_altered_file(tmp_path: Path) -> None:
    given = edited(tmp_path, "data.parquet")
    with pytest.raises(VerificationError, match=r"data\.parquet was altered"):
        verify(given.folder / "data.parquet", key=given.key_files())
    (given.folder / "data.parquet").rename(tmp_path / "elsewhere")
    (given.folder / "data.parquet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VerificationError, match="is a link"):
        verify(given.folder / "data.parquet", key=given.key_files())


def test_one_file_of_an_approval_that_no_longer_holds(tmp_path: Path) -> None:
    ended = {"approvedAt": (NOW - timedelta(days=9)).isoformat(), "expiresAt": (NOW - timedelta(seconds=1)).isoformat()}
    revoke("key", key_of("ada").keyid, reason="stolen", by="Ada", key=key_of("ada"), path=tmp_path / "list")
    lax = waiver(expires=(NOW - timedelta(seconds=1)).isoformat())
    for number, (made, options, words) in enumerate(
        (
            (Export(said=ended), {}, "the approval expired"),
            (Export(waivers=[lax]), {}, "the waiver of fidelity.trend expired"),
            (Export(), {"revocations": tmp_path / "list"}, "revoked"),
            (Export(), {"policy": "0" * 64}, "under another policy"),
        )
    ):
        given = Given(made.write(tmp_path / str(number)))
        with pytest.raises(VerificationError, match=words):
            verify(given.folder / "data.parquet", key=given.key_files(), **options)  # type: ignore[arg-type]


# revocations -----------------------------------------------------------------------------------------------------------


def test_this_machines_own_list_is_looked_through_without_being_named(tmp_path: Path) -> None:
    given = Given(Export().write(tmp_path / "export"))
    public_file("bob", home() / "keys")
    revoke("key", key_of("ada").keyid, reason="stolen", by="Bob", key=key_of("bob"))
    with pytest.raises(VerificationError, match="revoked by Bob"):
        verify(given.folder, key=given.key_files())
    assert verify(given.folder, key=given.key_files(), revocations=()).revocations == 0


def test_the_end_of_a_list_can_be_cut_off_unseen_so_verify_says_how_long_it_was(tmp_path: Path) -> None:
    for name in ("eve", "ada"):
        revoke("key", key_of(name).keyid, reason="stolen", by="Bob", key=key_of("bob"), path=tmp_path / "list")
    lines = (tmp_path / "list").read_bytes().splitlines(keepends=True)
    (tmp_path / "list").write_bytes(lines[0])
    given = Given(Export().write(tmp_path / "export"), keys=("ada", "bob"))
    verified = verify(given.folder, key=given.key_files(), revocations=tmp_path / "list")
    assert verified.revocations == 1
    assert "1 revocation looked through" in str(verified)


def test_a_list_that_cannot_be_read_is_not_an_empty_list(tmp_path: Path) -> None:
    given = Given(Export().write(tmp_path / "export"))
    with pytest.raises(InputError, match="cannot be read"):
        verify(given.folder, key=given.key_files(), revocations=tmp_path / "none")


@pytest.mark.parametrize(
    ("what", "digest", "reason", "by"),
    [
        ("key", "ab", "lost", "Ada"),
        ("file", "0" * 64, "lost", "Ada"),
        ("key", "0" * 64, " ", "Ada"),
        ("key", "0" * 64, "lost", ""),
    ],
)
def test_a_revocation_that_says_nothing_is_not_written(tmp_path: Path, what: Any, digest: str, reason: str, by: str) -> None:
    with pytest.raises(InputError):
        revoke(what, digest, reason=reason, by=by, key=key_of("ada"), path=tmp_path / "list")
    assert not (tmp_path / "list").exists()


def test_signed_lines_that_are_no_revocations_make_the_list_refused(tmp_path: Path) -> None:
    for statement in (
        {},
        {"_type": "x"},
        {"subject": [], "predicate": {}},
        {"subject": [{"name": "key", "digest": {}}], "predicate": 3},
    ):
        (tmp_path / "list").write_bytes(to_line(seal(statement, key_of("ada"))))
        with pytest.raises(VerificationError, match="for its line 1: it is signed, but is no revocation"):
            Revocations.load([tmp_path / "list"], [key_of("ada").public])


# others' tools ---------------------------------------------------------------------------------------------------------


def independent_keys(*names: str) -> list[SSlibKey]:
    """The keys as securesystemslib reads them. DSSE leaves it to the signer what a key's id is."""
    return [SSlibKey(key_of(name).keyid, "ed25519", "ed25519", {"public": key_of(name).public.raw.hex()}) for name in names]


def envelope_of(folder: Path) -> Envelope:
    document = json.loads((folder / "attestation.json").read_bytes())
    return Envelope.from_dict(document)


@pytest.mark.parametrize("signers", [("ada",), ("ada", "bob")])
def test_securesystemslib_verifies_the_attestation_with_a_threshold(tmp_path: Path, signers: tuple[str, ...]) -> None:
    envelope = envelope_of(Export(signers=signers).write(tmp_path / "export"))
    accepted = envelope.verify(independent_keys("ada", "bob"), threshold=len(signers))
    assert set(accepted) == {key_of(name).keyid for name in signers}
    with pytest.raises(Unverified):
        envelope.verify(independent_keys("ada", "eve"), threshold=2)


def test_securesystemslib_verifies_what_is_exported(tmp_path: Path, made: SimpleNamespace) -> None:
    public = default_key().public
    folder = export(*made.approved(), tmp_path / "export")
    key = SSlibKey(public.keyid, "ed25519", "ed25519", {"public": public.raw.hex()})
    assert set(envelope_of(folder).verify([key], threshold=1)) == {public.keyid}


def test_the_statement_has_the_form_of_in_toto_field_by_field(made: SimpleNamespace) -> None:
    """Statement v1, ResourceDescriptor v1 and the predicate test-result v0.1, as their specifications list the fields."""
    _, approval = made.approved()
    payload, _ = opened(approval.to_bytes())
    statement = json.loads(payload)
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    predicate, descriptor = statement["predicate"], {"name", "uri", "digest", "content", "mediaType", "annotations"}
    assert set(predicate) <= {"result", "configuration", "url", "passedTests", "warnedTests", "failedTests"}
    assert predicate["result"] in ("PASSED", "WARNED", "FAILED")
    for tests in ("passedTests", "warnedTests", "failedTests"):
        assert all(isinstance(test, str) for test in predicate[tests])
    names = [subject["name"] for subject in statement["subject"]]
    assert len(names) == len(set(names)) > 0
    for one in (*statement["subject"], *predicate["configuration"]):
        assert set(one) <= descriptor
        assert set(one["digest"]) == {"sha256"}
        assert re.fullmatch("[0-9a-f]{64}", one["digest"]["sha256"])
        assert isinstance(one.get("annotations", {}), dict)


@pytest.mark.attack("edits the signed statement, or one of two signatures", "securesystemslib refuses it too")
@pytest.mark.parametrize("change", [_say_eve, lambda document: document["signatures"].pop()])
def test_securesystemslib_refuses_a_tampered_attestation(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    folder = Export(signers=("ada", "bob")).write(tmp_path / "export")
    rewritten(folder, change)
    with pytest.raises(Unverified):
        envelope_of(folder).verify(independent_keys("ada", "bob"), threshold=2)
