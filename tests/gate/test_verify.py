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
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError as Unverified
from securesystemslib.signer import SSlibKey

from synth.errors import InputError, VerificationError
from synth.gate.dsse import add_signature, opened, seal, to_line
from synth.gate.keys import home
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

    def key_files(self) -> list[Path]:
        place = self.folder.parent / "trusted"
        return [public_file(name, place) for name in self.keys]


Make = Callable[[Path], Given]
CASES: list[Any] = []


def case(words: str | None, *, attack: str | None = None) -> Callable[[Make], Make]:
    """One export to check, made in an empty folder. words: what both must say of it; None where it is sound."""

    def add(make: Make) -> Make:
        marks = [] if attack is None else [pytest.mark.attack(attack, f"both verifiers: “{words}”")]
        CASES.append(pytest.param(make, words, id=make.__name__, marks=marks))
        return make

    return add


# sound -----------------------------------------------------------------------------------------------------------------


@case(None)
def sound(place: Path) -> Given:
    return Given(Export().write(place / "export"))


@case(None)
def sound_with_two_signers(place: Path) -> Given:
    return Given(Export(signers=("ada", "bob")).write(place / "export"), keys=("bob", "ada"))


@case(None)
def sound_with_a_waiver(place: Path) -> Given:
    return Given(Export(waivers=[waiver()]).write(place / "export"))


@case(None)
def sound_as_csv(place: Path) -> Given:
    return Given(Export("csv").write(place / "export"))


@case(None)
def sound_in_three_formats(place: Path) -> Given:
    return Given(Export("parquet", ("csv", "arrow")).write(place / "export"))


@case(None)
def sound_for_hugging_face(place: Path) -> Given:
    return Given(Export("huggingface").write(place / "export"))


@case(None)
def sound_under_the_policy_that_was_asked_for(place: Path) -> Given:
    folder = Export().write(place / "export")
    shutil.copy(folder / "policy.json", place / "policy.json")
    return Given(folder, policy=place / "policy.json")


@case(None)
def sound_though_others_were_revoked(place: Path) -> Given:
    revoke("key", key_of("eve").keyid, reason="lost", by="Ada", key=key_of("ada"), path=place / "list")
    revoke("approval", "0" * 64, reason="error", by="Bob", key=key_of("bob"), path=place / "list")
    return Given(Export().write(place / "export"), keys=("ada", "bob"), revocations=(place / "list",))


# altered files ---------------------------------------------------------------------------------------------------------


def edited(place: Path, name: str, layout: str = "parquet") -> Given:
    folder = Export(layout).write(place / "export")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    return Given(folder)


@case("data.parquet was altered", attack="edits one byte of the exported rows")
def edited_rows(place: Path) -> Given:
    return edited(place, "data.parquet")


@case("data/train-00001-of-00002.parquet was altered", attack="edits one part of a Hugging Face folder")
def edited_part(place: Path) -> Given:
    return edited(place, "data/train-00001-of-00002.parquet", "huggingface")


@case("verdict.json was altered", attack="edits a figure of the verdict")
def edited_verdict(place: Path) -> Given:
    return edited(place, "verdict.json")


@case("policy.json was altered", attack="edits the policy after the judgement, in the export")
def edited_policy(place: Path) -> Given:
    return edited(place, "policy.json")


@case("README.md was altered", attack="edits the data card")
def edited_card(place: Path) -> Given:
    return edited(place, "README.md")


@case("croissant.json was altered", attack="edits the Croissant metadata")
def edited_croissant(place: Path) -> Given:
    return edited(place, "croissant.json", "csv")


@case("provenance.parquet was altered", attack="edits where the rows come from")
def edited_provenance(place: Path) -> Given:
    return edited(place, "provenance.parquet")


@case("README.md was altered", attack="puts the card of another layout, signed too, beside the rows")
def card_of_another_layout(place: Path) -> Given:
    folder = Export("csv").write(place / "export")
    (folder / "README.md").write_bytes(Export().files()["README.md"])
    return Given(folder)


@case("README.md is missing", attack="removes a document")
def removed_document(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "README.md").unlink()
    return Given(folder)


@case("train-00001-of-00002.parquet is missing", attack="removes one part of the rows")
def removed_part(place: Path) -> Given:
    folder = Export("huggingface").write(place / "export")
    (folder / "data" / "train-00001-of-00002.parquet").unlink()
    return Given(folder)


@case("the rows are missing", attack="removes the rows")
def removed_rows(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "data.parquet").unlink()
    return Given(folder)


@case("is not covered by the signature", attack="adds a file to the export")
def added_file(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "more.txt").write_text("more")
    return Given(folder)


@case("is not covered by the signature", attack="adds a file to the folder of the rows")
def added_part(place: Path) -> Given:
    folder = Export("huggingface").write(place / "export")
    (folder / "data" / "train-00002-of-00002.parquet").write_text("more")
    return Given(folder)


@case("is not covered by the signature", attack="puts another format of the rows into an export that stands alone")
def added_format(place: Path) -> Given:
    folder = Export("huggingface").write(place / "export")
    (folder / "data.parquet").write_bytes(Export().files()["data.parquet"])
    return Given(folder)


@case("is a link", attack="links the exported rows to a file outside")
def linked_rows(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "data.parquet").rename(place / "elsewhere")
    (folder / "data.parquet").symlink_to(place / "elsewhere")
    return Given(folder)


@case("is a link", attack="links the folder of the rows to one outside")
def linked_folder(place: Path) -> Given:
    folder = Export("huggingface").write(place / "export")
    (folder / "data").rename(place / "elsewhere")
    (folder / "data").symlink_to(place / "elsewhere")
    return Given(folder)


@case("is a link", attack="links one part of the rows to a file outside")
def linked_part(place: Path) -> Given:
    folder = Export("huggingface").write(place / "export")
    part = folder / "data" / "train-00000-of-00002.parquet"
    part.rename(place / "elsewhere")
    part.symlink_to(place / "elsewhere")
    return Given(folder)


@case("README.md is not a file|'README.md' is not a file", attack="puts a folder in the place of a document")
def folder_for_a_file(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    return Given(folder)


# the signatures --------------------------------------------------------------------------------------------------------


@case("holds no attestation.json", attack="removes the attestation")
def no_attestation(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "attestation.json").unlink()
    return Given(folder)


@case("garbled", attack="replaces the attestation by something else")
def garbled(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "attestation.json").write_text("[1]\n")
    return Given(folder)


@case("altered|about other files", attack="swaps the attestations of two exports")
def swapped(place: Path) -> Given:
    folder = Export().write(place / "export")
    other = Export(rows=b"other ", verdict={"note": "another"}).write(place / "other")
    shutil.copy(other / "attestation.json", folder / "attestation.json")
    return Given(folder)


@case("data.parquet was altered", attack="puts new rows under an old approval")
def replayed_approval(place: Path) -> Given:
    folder = Export(rows=b"new ").write(place / "export")
    (folder / "attestation.json").write_bytes(Export().envelope())
    return Given(folder)


@case("unknown key", attack="signs with a key of their own")
def strange_key(place: Path) -> Given:
    return Given(Export(signers=("eve",)).write(place / "export"))


@case("unknown key", attack="forges a key that goes by the approver's name")
def key_of_the_same_name(place: Path) -> Given:
    public_file("eve", place, called="ada")  # beside the real one: a name proves nothing
    return Given(Export(signers=("eve",), said={"approvedBy": "Ada"}).write(place / "export"))


@case("unknown key", attack="brings their public key inside the export")
def key_in_the_export(place: Path) -> Given:
    folder = Export(signers=("eve",)).write(place / "export")
    public_file("eve", folder)
    return Given(folder)


def _claim_to_be_ada(document: dict[str, Any]) -> None:
    document["signatures"][0]["keyid"] = key_of("ada").keyid


@case("does not fit its content", attack="signs with their own key, under the key id of the approver")
def borrowed_key_id(place: Path) -> Given:
    folder = Export(signers=("eve",)).write(place / "export")
    rewritten(folder, _claim_to_be_ada)
    return Given(folder)


def _say_eve(document: dict[str, Any]) -> None:
    payload = base64.b64decode(document["payload"]).replace(b'"approvedBy":"Ada"', b'"approvedBy":"Eve"')
    document["payload"] = base64.b64encode(payload).decode()


@case("does not fit its content", attack="edits the signed statement")
def edited_statement(place: Path) -> Given:
    folder = Export().write(place / "export")
    rewritten(folder, _say_eve)
    return Given(folder)


@case("one form", attack="adds an unsigned remark to the envelope")
def remark(place: Path) -> Given:
    folder = Export().write(place / "export")
    rewritten(folder, lambda document: document.update(note="by the president"))
    return Given(folder)


@case("unknown key", attack="adds a signature of their own to a sound one")
def extra_strange_signature(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "attestation.json").write_bytes(add_signature((folder / "attestation.json").read_bytes(), key_of("eve")))
    return Given(folder)


@case("2 signed, and the approval says that 1", attack="adds the signature of a trusted key that was not asked for")
def extra_signature(place: Path) -> Given:
    folder = Export().write(place / "export")
    (folder / "attestation.json").write_bytes(add_signature((folder / "attestation.json").read_bytes(), key_of("bob")))
    return Given(folder, keys=("ada", "bob"))


@case("1 signed, and the approval says that 2", attack="removes one of two signatures")
def removed_signature(place: Path) -> Given:
    folder = Export(signers=("ada", "bob")).write(place / "export")
    rewritten(folder, lambda document: document["signatures"].pop())
    return Given(folder, keys=("ada", "bob"))


@case("altered", attack="counts one signature twice, where two approvers must sign")
def signed_twice(place: Path) -> Given:
    folder = Export(said={"signers": 2}).write(place / "export")
    rewritten(folder, lambda document: document["signatures"].append(document["signatures"][0]))
    return Given(folder, keys=("ada", "bob"))


@case("requester's own key", attack="approves what they asked for themselves, where somebody else must")
def requester_signs(place: Path) -> Given:
    said = {"automatic": False, "requester": key_of("ada").keyid}
    return Given(Export(said=said).write(place / "export"))


# what was signed -------------------------------------------------------------------------------------------------------


@case("not an approval: (it is )?a rejection", attack="passes a signed rejection off as an approval")
def rejection(place: Path) -> Given:
    export = Export(predicate={"result": "FAILED"}, said={"reason": "rows of one family"})
    return Given(export.write(place / "export"))


@case("not an approval", attack="passes another statement of the approver's off as an approval")
def another_statement(place: Path) -> Given:
    return Given(Export(statement={"predicateType": "https://slsa.dev/provenance/v1"}).write(place / "export"))


@case("not an approval of synth's|form that synth writes", attack="signs a statement that leaves out until when it holds")
def no_end(place: Path) -> Given:
    return Given(Export(said={"expiresAt": None}).write(place / "export"))


@case("that was not approved|table was not approved", attack="signs a verdict that rejects")
def rejected(place: Path) -> Given:
    return Given(Export(verdict={"decision": "rejected"}).write(place / "export"))


@case("another policy", attack="signs a verdict under another policy than the one that is stated")
def verdict_under_another_policy(place: Path) -> Given:
    verdict = {"policy": {"name": "small", "version": "1.0.0", "digest": "0" * 64}}
    return Given(Export(verdict=verdict).write(place / "export"))


@case("of another attempt|of attempt", attack="states another attempt than the verdict's")
def another_attempt(place: Path) -> Given:
    return Given(Export(said={"attempt": {"number": 1, "total": 1}}).write(place / "export"))


@case("approved under another policy", attack="hands out an export that a laxer policy approved")
def wrong_policy(place: Path) -> Given:
    (place / "policy.json").write_bytes(canonical(RULES | {"version": "2.0.0"}))
    return Given(Export().write(place / "export"), policy=place / "policy.json")


@case("approved under another policy")
def wrong_policy_by_digest(place: Path) -> Given:
    return Given(Export().write(place / "export"), policy="0" * 64)


@case("the policy wants 2", attack="states one signer where the policy wants two")
def fewer_signers_than_the_policy_wants(place: Path) -> Given:
    rules = RULES | {"approvers": RULES["approvers"] | {"automatic": False, "count": 2}}
    return Given(Export(rules=rules, said={"automatic": False}).write(place / "export"))


@case("the policy wants 1", attack="lets the machine approve alone where the policy wants a person")
def machine_alone(place: Path) -> Given:
    rules = RULES | {"approvers": RULES["approvers"] | {"automatic": False}}
    return Given(Export(rules=rules).write(place / "export"))


@case("the policy wants 1", attack="lets the machine approve the sixth attempt alone, where the policy wants a person by then")
def machine_alone_too_often(place: Path) -> Given:
    attempt = {"attempt": {"number": 6, "total": 6}}
    return Given(Export(said=attempt, verdict=attempt).write(place / "export"))


@case("longer than the", attack="approves for longer than the policy allows")
def too_long(place: Path) -> Given:
    return Given(Export(said={"expiresAt": (NOW + timedelta(days=500)).isoformat()}).write(place / "export"))


# time and revocation ---------------------------------------------------------------------------------------------------


@case("the approval expired on", attack="uses an approval that has expired")
def expired(place: Path) -> Given:
    said = {"approvedAt": (NOW - timedelta(days=9)).isoformat(), "expiresAt": (NOW - timedelta(seconds=1)).isoformat()}
    return Given(Export(said=said).write(place / "export"))


@case("clocks? is wrong", attack="sets the clock back to before the approval, so that it has not expired")
def clock_set_back(place: Path) -> Given:
    return Given(Export(said={"approvedAt": (NOW + timedelta(minutes=30)).isoformat()}).write(place / "export"))


@case("revoked: .* was revoked by '?Bob'?.*stolen", attack="signs with a stolen key that was revoked")
def revoked_key(place: Path) -> Given:
    revoke("key", key_of("ada").keyid, reason="stolen", by="Bob", key=key_of("bob"), path=place / "list")
    return Given(Export().write(place / "export"), keys=("ada", "bob"), revocations=(place / "list",))


@case("revoked: .* was revoked by '?Ada'?.*error", attack="uses an approval that was revoked")
def revoked_approval(place: Path) -> Given:
    folder = Export().write(place / "export")
    payload, _ = opened((folder / "attestation.json").read_bytes())
    revoke("approval", hashlib.sha256(payload).hexdigest(), reason="error", by="Ada", key=key_of("ada"), path=place / "list")
    return Given(folder, revocations=(place / "list",))


@case("unknown key|not signed by a key that is trusted", attack="hands in a revocation list of their own")
def strange_list(place: Path) -> Given:
    revoke("key", key_of("bob").keyid, reason="stolen", by="Eve", key=key_of("eve"), path=place / "list")
    return Given(Export().write(place / "export"), revocations=(place / "list",))


@case("was taken out", attack="takes the line about their key out of a revocation list")
def shortened_list(place: Path) -> Given:
    for name in ("ada", "eve"):
        revoke("key", key_of(name).keyid, reason="stolen", by="Bob", key=key_of("bob"), path=place / "list")
    lines = (place / "list").read_bytes().splitlines(keepends=True)
    (place / "list").write_bytes(b"".join(lines[1:]))
    return Given(Export().write(place / "export"), keys=("ada", "bob"), revocations=(place / "list",))


@case("altered", attack="edits a line of a revocation list")
def edited_list(place: Path) -> Given:
    revoke("key", key_of("ada").keyid, reason="stolen", by="Bob", key=key_of("bob"), path=place / "list")
    (place / "list").write_bytes((place / "list").read_bytes().replace(b'{"payload"', b'{ "payload"'))
    return Given(Export().write(place / "export"), keys=("ada", "bob"), revocations=(place / "list",))


@case("waiver of '?fidelity.trend'? expired", attack="exports once more under a waiver that has run out since")
def expired_waiver(place: Path) -> Given:
    return Given(Export(waivers=[waiver(expires=(NOW - timedelta(seconds=1)).isoformat())]).write(place / "export"))


@case("waived otherwise", attack="hides a waiver from the statement that is signed")
def hidden_waiver(place: Path) -> Given:
    return Given(Export(waivers=[waiver()], said={"waivers": []}).write(place / "export"))


@case("about another table", attack="uses the waiver of another table")
def waiver_of_another_table(place: Path) -> Given:
    return Given(Export(waivers=[waiver(synthetic="6" * 64)]).write(place / "export"))


@case("the policy wants 1", attack="lets the machine approve alone what was waived")
def waived_by_a_machine(place: Path) -> Given:
    return Given(Export(waivers=[waiver()], said={"automatic": True}).write(place / "export"))


@case("waiver of 'fidelity.trend' is by a key|the waiver of fidelity.trend no longer holds", attack="waives with a stolen key")
def waiver_by_a_revoked_key(place: Path) -> Given:
    revoke("key", key_of("carl").keyid, reason="stolen", by="Ada", key=key_of("ada"), path=place / "list")
    return Given(Export(waivers=[waiver(keyid=key_of("carl").keyid)]).write(place / "export"), revocations=(place / "list",))


# both ------------------------------------------------------------------------------------------------------------------


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
    assert printed.out.startswith("verified: 60 rows, approved by 'Ada'") == (code == 0)
    return printed.err or None


@pytest.mark.parametrize(("make", "words"), CASES)
def test_both_verifiers_say_the_same(
    make: Make, words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = make(tmp_path)
    for said in (said_by_synth(given), said_by_the_script(given, monkeypatch, capsys)):
        if words is None:
            assert said is None
        else:
            assert said is not None
            assert re.search(words, said), said
            assert len(said.splitlines()) <= 3


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
    for make, words in ((expired, "expired"), (revoked_key, "revoked"), (expired_waiver, "expired"), (wrong_policy, "policy")):
        (tmp_path / make.__name__).mkdir()
        given = make(tmp_path / make.__name__)
        with pytest.raises(VerificationError, match=words):
            verify(given.folder / "data.parquet", key=given.key_files(), revocations=given.revocations, policy=given.policy)


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


@pytest.mark.attack("edits the signed statement, or one of two signatures", "securesystemslib refuses it too")
@pytest.mark.parametrize("change", [_say_eve, lambda document: document["signatures"].pop()])
def test_securesystemslib_refuses_a_tampered_attestation(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    folder = Export(signers=("ada", "bob")).write(tmp_path / "export")
    rewritten(folder, change)
    with pytest.raises(Unverified):
        envelope_of(folder).verify(independent_keys("ada", "bob"), threshold=2)
