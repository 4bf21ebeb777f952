"""Keys: made once, kept to their owner, refused in words."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from synth.errors import InputError
from synth.folder import home
from synth.gate.keys import PrivateKey, PublicKey, default_key, list_keys, trusted


def test_a_first_key_is_made_once_and_said() -> None:
    said: list[str] = []
    key = default_key(notice=said.append)
    assert default_key(notice=said.append).keyid == key.keyid
    private, public = home() / "keys" / "synth.pem", home() / "keys" / "synth.pub"
    assert len(said) == 1
    assert str(private) in said[0]
    assert str(public) in said[0]
    assert [known.keyid for known in list_keys()] == [key.keyid]
    assert list_keys()[0].can_sign
    assert {file.name for file in private.parent.iterdir()} == {"synth.pem", "synth.pub"}


def test_the_private_key_is_its_owner_s_alone() -> None:
    before = os.umask(0)  # the most careless of settings
    try:
        default_key()
    finally:
        os.umask(before)
    folder = home() / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "synth.pem").stat().st_mode) == 0o600


def test_a_public_half_that_was_lost_comes_back() -> None:
    key = default_key()
    (home() / "keys" / "synth.pub").unlink()
    assert trusted() == ()
    default_key()
    assert trusted() == (key.public,)


def test_many_first_uses_at_once_agree_on_one_key() -> None:
    code = "from synth.gate.keys import default_key; print(default_key().keyid)"
    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(lambda _: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True), range(6)))
    assert {one.returncode for one in ended} == {0}, [one.stderr for one in ended]
    assert {one.stdout.strip() for one in ended} == {default_key().keyid}


def test_every_public_key_in_the_folder_is_trusted() -> None:
    default_key()
    other = Ed25519PrivateKey.generate().public_key()
    (home() / "keys" / "ada.pub").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert len(trusted()) == 2
    assert {known.public_file.name: known.can_sign for known in list_keys()} == {"ada.pub": False, "synth.pub": True}


def test_a_signature_is_of_one_key_and_one_message() -> None:
    key = default_key()
    signature = key.sign(b"this")
    assert key.public.signed(b"this", signature)
    assert not key.public.signed(b"that", signature)
    assert not key.public.signed(b"this", signature[:-1])
    assert not PublicKey(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).signed(b"this", signature)


def test_what_is_no_key_is_refused_in_words(tmp_path: Path) -> None:
    default_key()
    own = home() / "keys"
    locked, garbage = tmp_path / "locked.pem", tmp_path / "garbage.pem"
    secret = BestAvailableEncryption(b"secret")
    locked.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    garbage.write_bytes(b"-----BEGIN nothing")
    curve = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ec.pem").write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "ec.pub").write_bytes(curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for load, file, words in [
        (PrivateKey.load, tmp_path / "none.pem", "cannot be read"),
        (PrivateKey.load, locked, "passphrase"),
        (PrivateKey.load, garbage, "not a private key"),
        (PrivateKey.load, own / "synth.pub", "not a private key"),
        (PrivateKey.load, tmp_path / "ec.pem", "another kind"),
        (PublicKey.load, tmp_path / "none.pub", "cannot be read"),
        (PublicKey.load, garbage, "not a public key"),
        (PublicKey.load, own / "synth.pem", "give the .pub file"),
        (PublicKey.load, tmp_path / "ec.pub", "another kind"),
    ]:
        with pytest.raises(InputError, match=words):
            load(file)


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SYNTH_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set SYNTH_HOME"):
        default_key()
