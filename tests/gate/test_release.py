"""Approval, export and verification: what is signed is what arrives, and any difference is said."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth.errors import ConfigError, DataError, InputError, NotApprovedError, VerificationError
from synth.folder import home
from synth.gate.approval import Approval, approve
from synth.gate.dsse import opened, pre_authentication_encoding, seal
from synth.gate.export import export
from synth.gate.keys import PrivateKey, default_key
from synth.gate.policy import Policy
from synth.gate.verify import verify

Exported = Callable[..., Path]


def refused(folder: Path, **options: object) -> str:
    """What verification says of a folder that must not pass."""
    with pytest.raises(VerificationError) as said:
        verify(folder, **options)  # type: ignore[arg-type]
    assert len(str(said.value).splitlines()) <= 3
    return str(said.value)


def another_key(folder: Path) -> Path:
    """The public key of somebody else."""
    (folder / "home").mkdir()
    before = os.environ["SYNTH_HOME"]
    os.environ["SYNTH_HOME"] = str(folder / "home")
    try:
        default_key()
    finally:
        os.environ["SYNTH_HOME"] = before
    return folder / "home" / "keys" / "synth.pub"


# the round trip --------------------------------------------------------------------------------------------------------


def test_what_is_exported_is_verified(exported: Exported, made: SimpleNamespace) -> None:
    folder = exported()
    verified = verify(folder, policy=None)
    assert verified.approved_by == "Ada"
    assert verified.rows == 60
    assert [signer.keyid for signer in verified.signers] == [default_key().keyid]
    assert (verified.policy, verified.policy_version) == ("small", "1.0.0")
    names = {file.name for file in folder.iterdir()}
    assert names == {
        "attestation.json", "README.md", "croissant.json", "data.parquet", "openlineage.json", "policy.json", "prov.json",
        "evidence.html", "provenance.parquet", "report.html", "verdict.json",
    }  # fmt: skip
    assert set(verified.files) == names - {"attestation.json"}
    assert json.loads(json.dumps(verified.to_dict()))["rows"] == 60
    table = made.rows()
    assert pq.read_table(folder / "data.parquet").to_pylist() == table.arrow.to_pylist()


def test_exported_rows_are_not_marked_as_quarantined(exported: Exported) -> None:
    metadata = pq.read_metadata(exported() / "data.parquet").metadata or {}
    assert b"synth:status" not in metadata


def test_rows_leave_in_every_format_that_was_signed(made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = made.approved()
    folder = export(table, approval, tmp_path / "both", formats=("parquet", "csv"))
    assert {"data.parquet", "data.csv"} <= set(verify(folder).files)
    with pytest.raises(NotApprovedError, match="may not leave as 'arrow'"):
        export(table, approval, tmp_path / "arrow", formats=("arrow",))
    assert not (tmp_path / "arrow").exists()


def test_the_envelope_is_dsse_around_an_in_toto_test_result(made: SimpleNamespace) -> None:
    _, approval = made.approved()
    envelope = json.loads(approval.to_bytes())
    payload = base64.b64decode(envelope["payload"])
    kind = b"application/vnd.in-toto+json"
    message = b"DSSEv1 28 " + kind + b" " + str(len(payload)).encode() + b" " + payload
    assert pre_authentication_encoding(kind.decode(), payload) == message
    public = Ed25519PublicKey.from_public_bytes(default_key().public.raw)
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), message)
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement["predicate"]["result"] == "PASSED"
    assert statement["predicate"]["failedTests"] == []
    bound = {entry["name"]: entry["digest"]["sha256"] for entry in statement["predicate"]["configuration"]}
    assert set(statement["predicate"]) == {"result", "configuration", "passedTests", "warnedTests", "failedTests"}
    assert set(bound) == {"policy/small", "schema", "measurements", "model/trees", "attempt"}
    assert bound["policy/small"] == Policy.parse(made.policy).digest()
    assert bound["model/trees"] == "ab" * 32


def test_the_pre_authentication_encoding_is_the_specification_s() -> None:
    """The example of the DSSE protocol, byte for byte."""
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


# tampering -------------------------------------------------------------------------------------------------------------


def test_one_flipped_byte_of_the_rows(exported: Exported) -> None:
    file = exported() / "data.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    said = refused(file.parent)
    assert "data.parquet was altered" in said
    assert hashlib.sha256(content).hexdigest()[:16] in said


def test_one_edited_number_of_the_verdict(exported: Exported) -> None:
    file = exported() / "verdict.json"
    text = file.read_text()
    assert '"score": 0.02' in text
    file.write_text(text.replace('"score": 0.02', '"score": 0.01', 1))
    assert "verdict.json was altered" in refused(file.parent)


def test_no_attestation(exported: Exported) -> None:
    folder = exported()
    (folder / "attestation.json").unlink()
    assert "holds no attestation.json" in refused(folder)


def test_another_exports_attestation(exported: Exported) -> None:
    folder, other = exported(0), exported(1)
    shutil.copy(other / "attestation.json", folder / "attestation.json")
    said = refused(folder)
    assert "about other files" in said
    assert "data.parquet" in said


def test_another_key(exported: Exported, tmp_path: Path) -> None:
    folder, stranger = exported(), another_key(tmp_path)
    said = refused(folder, key=stranger)
    assert "unknown key" in said
    assert default_key().keyid[:16] in said
    assert str(stranger) in said


def test_a_key_inside_the_export_is_not_trusted(exported: Exported, tmp_path: Path) -> None:
    folder = exported()
    pem = home() / "keys" / "synth.pub"
    inside = folder / "synth.pub"
    shutil.move(pem, inside)
    assert "unknown key" in refused(folder)
    assert "not covered by the signature" in refused(folder, key=inside)


def test_a_signature_over_other_words(exported: Exported) -> None:
    file = exported() / "attestation.json"
    envelope = json.loads(file.read_text())
    payload = base64.b64decode(envelope["payload"]).replace(b'"approvedBy":"Ada"', b'"approvedBy":"Eve"')
    envelope["payload"] = base64.b64encode(payload).decode()
    file.write_text(json.dumps(envelope, indent=1) + "\n")
    assert "does not fit its content" in refused(file.parent)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"payloadType": 3}'])
def test_a_garbled_attestation(exported: Exported, content: bytes) -> None:
    folder = exported()
    (folder / "attestation.json").write_bytes(content)
    said = refused(folder)
    assert "garbled" in said or "not an in-toto statement" in said


@pytest.mark.parametrize("name", ["README.md", "verdict.json", "croissant.json", "provenance.parquet"])
def test_a_missing_file(exported: Exported, name: str) -> None:
    folder = exported()
    (folder / name).unlink()
    assert f"{name} is missing" in refused(folder)


def test_missing_rows(exported: Exported) -> None:
    folder = exported()
    (folder / "data.parquet").unlink()
    assert "rows are missing" in refused(folder)


def test_an_added_file_or_folder(exported: Exported) -> None:
    folder = exported()
    (folder / "extra").mkdir()
    assert "extra is not covered by the signature" in refused(folder)
    (folder / "extra").rmdir()
    (folder / "data.csv").write_text("a\n1\n")
    assert "data.csv was altered" in refused(folder)


def test_another_policy(exported: Exported, made: SimpleNamespace, tmp_path: Path) -> None:
    folder = exported()
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text(made.policy)
    other.write_text(made.policy.replace("0.01", "0.02", 1))
    assert verify(folder, policy=same).policy == "small"
    assert "another policy" in refused(folder, policy=other)
    with pytest.raises(ConfigError):
        verify(folder, policy=tmp_path / "none.yaml")


def test_a_trusted_key_cannot_pass_off_something_else_as_an_approval(exported: Exported) -> None:
    """Signed by the right key, but no approval: another predicate, another result, another form."""
    folder = exported()
    payload, _ = opened((folder / "attestation.json").read_bytes())
    sound = json.loads(payload)
    for change in (
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"predicate": {**sound["predicate"], "result": "FAILED"}},
        {"predicate": {"result": "PASSED"}},
        {"subject": [{"name": "data.parquet"}]},
        {"predicate": []},
    ):
        (folder / "attestation.json").write_bytes(seal(sound | change, default_key()))
        assert "not an approval" in refused(folder)
    files = {file.name for file in folder.iterdir()} - {"attestation.json"}
    (folder / "verdict.json").write_text("[1]")
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    subjects = [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()]
    (folder / "attestation.json").write_bytes(seal(sound | {"subject": subjects}, default_key()))
    assert "not a verdict" in refused(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "not a folder" in refused(tmp_path / "none")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_caught(data: st.DataObject, made: SimpleNamespace) -> None:
    place = home() / "flips"
    if not place.exists():
        export(*made.approved(), place)
    file = place / data.draw(st.sampled_from(sorted(file.name for file in place.iterdir())))
    sound = file.read_bytes()
    content = bytearray(sound)
    content[data.draw(st.integers(0, len(sound) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        file.write_bytes(content)
        refused(place)
    finally:
        file.write_bytes(sound)
    verify(place)


def test_any_other_last_character_of_the_signature_is_caught(exported: Exported) -> None:
    """The last character of a base64 text has spare bits; they are held to be zero."""
    file = exported() / "attestation.json"
    envelope = json.loads(file.read_text())
    signature = envelope["signatures"][0]["sig"]
    assert signature.endswith("==")
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/":
        if last != signature[-3]:
            envelope["signatures"][0]["sig"] = f"{signature[:-3]}{last}=="
            file.write_text(json.dumps(envelope, indent=1) + "\n")
            refused(file.parent)


# approval --------------------------------------------------------------------------------------------------------------


def test_only_an_approved_verdict_is_signed(made: SimpleNamespace) -> None:
    table = made.rows()
    for value in (0.9, 0.055):
        items = (made.figure("fidelity.shape", value, reference=0.01), *made.good()[1:])
        verdict = Policy.parse(made.policy).judge(made.measured(table, items))
        with pytest.raises(NotApprovedError, match=f"the verdict is {verdict.decision} .fidelity.shape"):
            approve(verdict, table, by="Ada", key=default_key(), terms=made.terms(), documents=made.documents(verdict, table))


def test_a_verdict_about_other_rows_signs_nothing(made: SimpleNamespace) -> None:
    table, other = made.rows(0), made.rows(1)
    verdict = Policy.parse(made.policy).judge(made.measured(table, made.good()))
    with pytest.raises(NotApprovedError, match="about other rows"):
        approve(verdict, other, by="Ada", key=default_key(), terms=made.terms(), documents=made.documents(verdict, other))


def test_a_format_that_the_policy_forbids_is_not_signed(made: SimpleNamespace) -> None:
    with pytest.raises(NotApprovedError, match="does not let rows leave as 'arrow'"):
        made.approved(formats=("parquet", "arrow"))


def test_the_documents_must_hold_this_verdict_and_be_plain_files(made: SimpleNamespace) -> None:
    table = made.rows()
    verdict = Policy.parse(made.policy).judge(made.measured(table, made.good()))
    for documents in ({}, {"verdict.json": b"{}"}):
        with pytest.raises(NotApprovedError, match="do not hold this verdict"):
            made.approved(documents=documents)
    for name in ("../README.md", "a/b", "", "..", "attestation.json", "data.xlsx"):
        with pytest.raises(NotApprovedError, match="cannot be named"):
            made.approved(documents={"verdict.json": verdict.to_bytes(), name: b"x"})


# export ----------------------------------------------------------------------------------------------------------------


def nothing_left(folder: Path) -> bool:
    return not any(folder.iterdir())


def test_other_rows_or_documents_do_not_leave(made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = made.approved()
    with pytest.raises(NotApprovedError, match=r"data\.parquet is not what was approved"):
        export(made.rows(1), approval, tmp_path / "out")
    with pytest.raises(NotApprovedError, match=r"data\.parquet is not what was approved"):
        export(table.take(list(range(59, -1, -1))), approval, tmp_path / "out")
    for documents, words in [
        ({**approval.documents, "README.md": b"better"}, "README.md is not what was approved"),
        ({"verdict.json": approval.documents["verdict.json"]}, "which is not here"),
        ({**approval.documents, "more.txt": b"more"}, "more.txt is not what was approved"),
    ]:
        with pytest.raises(NotApprovedError, match=words):
            export(table, replace(approval, documents=documents), tmp_path / "out")
    assert nothing_left(tmp_path)


def test_an_altered_or_foreign_approval_lets_nothing_out(made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = made.approved()
    envelope = json.loads(approval.to_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"approvedBy":"Ada"', b'"approvedBy":"Eve"')
    forged = json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}, indent=1) + "\n"
    with pytest.raises(NotApprovedError, match="not signed by a key that this machine trusts, or was altered"):
        export(table, Approval.from_bytes(forged.encode(), documents=approval.documents), tmp_path / "out")
    stranger = PrivateKey.load(another_key(tmp_path).with_suffix(".pem"))
    _, foreign = made.approved(key=stranger)
    with pytest.raises(NotApprovedError, match="not signed by a key that this machine trusts"):
        export(table, Approval.from_bytes(foreign.to_bytes(), documents=foreign.documents), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(table, foreign, tmp_path / "out")  # it signed a moment ago: whose it is, is certain
    assert verify(tmp_path / "out", key=tmp_path / "home" / "keys" / "synth.pub").signers[0].keyid == stranger.keyid


def test_somebody_elses_folder_is_not_touched(made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = made.approved()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="not empty"):
        export(table, approval, tmp_path / "photos")
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["one.jpg"]


def test_an_earlier_export_is_kept(made: SimpleNamespace, tmp_path: Path) -> None:
    export(*made.approved(0), tmp_path / "out")
    export(*made.approved(1), tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "out.1"]
    for folder in tmp_path.iterdir():
        verify(folder)


def test_a_full_disk_leaves_nothing(made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = made.approved()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(DataError, match=r"cannot (be )?writ"):
            export(table, approval, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert nothing_left(tmp_path)
    export(table, approval, tmp_path / "out")


def test_a_path_through_a_file_is_refused_in_words(made: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="in the way"):
        export(*made.approved(), tmp_path / "file" / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_an_interrupt_leaves_nothing(made: SimpleNamespace, tmp_path: Path) -> None:
    table, approval = made.approved()

    class Interrupted(dict[str, bytes]):
        """Documents whose last one arrives together with Ctrl-C."""

        def items(self):  # type: ignore[no-untyped-def]
            yield from list(super().items())[:-1]
            os.kill(os.getpid(), signal.SIGINT)
            yield list(super().items())[-1]

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            export(table, replace(approval, documents=Interrupted(approval.documents)), tmp_path / "out")
    finally:
        signal.signal(signal.SIGINT, before)
    assert nothing_left(tmp_path)


def test_the_same_rows_give_the_same_files(made: SimpleNamespace, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export(*made.approved(), tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        if file.name != "attestation.json":  # which says when
            assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


# what a recipient needs ------------------------------------------------------------------------------------------------


def test_verification_needs_only_cryptography(exported: Exported) -> None:
    code = """
        import sys
        from synth.gate.verify import verify
        verify(sys.argv[1])
        heavy = {"numpy", "pyarrow", "pandas", "polars", "sklearn", "scipy", "torch", "pydantic", "matplotlib"}
        print(sorted(heavy & set(sys.modules)))
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(exported())], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[]"


def test_a_key_that_is_none_is_an_error_of_usage(exported: Exported) -> None:
    folder = exported()
    with pytest.raises(InputError, match="not a public key"):
        verify(folder, key=folder / "README.md")
